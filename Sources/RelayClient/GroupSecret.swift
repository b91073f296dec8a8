// What all members of a group share with each other and never with the relay, and what comes of it.

package import RelayProtocol
internal import Trust

/// The secret of a group, for its whole life: 32 random bytes that travel to members only.
///
/// It names the group at the relay, proves that a sealed entry was made for this group, and gives the
/// first epoch. It is never printed. It is not what keeps a removed member out: epochs are.
package struct GroupSecret: Sendable {
    package static let byteCount = 32

    package let bytes: [UInt8]

    /// A new one from the system's generator.
    package init() { bytes = randomBytes(Self.byteCount) }

    /// One that was kept; nil for another number of bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// What the relay calls the group: 16 bytes that tell nothing.
    package var relayGroup: GroupName {
        guard let name = GroupName(derive("relay group", count: 16)) else {
            preconditionFailure("a name has 16 bytes")
        }
        return name
    }

    /// The epoch that every member has by the group's secret alone: number 0. The group's first one;
    /// and what grants of later ones are sealed in, so that nobody has to hold one key to get another.
    package var baseEpoch: Epoch {
        let id = EpochID(number: 0, bytes: derive("base epoch id", count: EpochID.randomByteCount))
        guard let id, let epoch = Epoch(id: id, secret: derive("base epoch secret", count: 32))
        else { preconditionFailure("an epoch's id has 16 bytes, its secret 32") }
        return epoch
    }

    /// What proves that an entry's head was made by somebody with this secret.
    var tagKey: [UInt8] { derive("entry tag", count: 32) }

    /// HKDF (RFC 5869) with a purpose: one key gives nothing away of another.
    private func derive(_ purpose: String, count: Int) -> [UInt8] {
        HKDF.derive(bytes, info: Array("starling group 1 \(purpose)".utf8), count: count)
    }
}
