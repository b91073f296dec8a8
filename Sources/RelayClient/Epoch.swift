// An epoch: the time between two removals of members, and the key of what is written in it.

package import RelayProtocol
internal import Trust

/// Names an epoch: its number, and random bytes, since two members may begin one at the same time.
///
/// The greatest known id names the current epoch, so that all who know the same epochs agree.
package struct EpochID: Hashable, Comparable, Sendable {
    package static let randomByteCount = 16
    /// Encoded: the number's four bytes, the most significant first, then the random bytes.
    package static let byteCount = 4 + randomByteCount

    package let number: UInt32
    package let bytes: [UInt8]

    /// nil unless there are 16 bytes.
    package init?(number: UInt32, bytes: [UInt8]) {
        guard bytes.count == Self.randomByteCount else { return nil }
        (self.number, self.bytes) = (number, bytes)
    }

    /// Reads its 20 bytes; nil for another number of them.
    package init?(encoded: [UInt8]) {
        guard encoded.count == Self.byteCount else { return nil }
        number = encoded.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
        bytes = Array(encoded.dropFirst(4))
    }

    package var encoded: [UInt8] { BigEndian.bytes(number) + bytes }

    package static func < (left: EpochID, right: EpochID) -> Bool {
        left.number != right.number
            ? left.number < right.number : left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

/// An epoch and its secret. A member is removed by beginning another one, whose secret it is not given:
/// what is written then is unreadable to it. It is never printed.
///
/// When two members are removed at the same time, in two epochs of one number, each of the two removed
/// holds one of the secrets: whoever learns of both begins a further epoch.
package struct Epoch: Sendable {
    package static let secretByteCount = 32

    package let id: EpochID
    package let secret: [UInt8]

    /// A new one of this number.
    package init(number: UInt32) {
        guard let id = EpochID(number: number, bytes: randomBytes(EpochID.randomByteCount)) else {
            preconditionFailure("an epoch's id has 16 random bytes")
        }
        (self.id, secret) = (id, randomBytes(Self.secretByteCount))
    }

    /// One that was kept or granted; nil unless the secret has 32 bytes.
    package init?(id: EpochID, secret: [UInt8]) {
        guard secret.count == Self.secretByteCount else { return nil }
        (self.id, self.secret) = (id, secret)
    }

    /// What opens the relay's log in this epoch.
    ///
    /// It belongs to the epoch, so that a removed member's credential ends, too. When to change it is a
    /// choice between that and a member who meets the others only at the relay, and is locked out with
    /// the old one before it has read its grant. So: append the grants first, with the old credential;
    /// change it when every member that is left has shown that it holds the epoch, or
    /// ``RelayClientLimits/credentialGraceSeconds`` later. Until then a removed member reads what it
    /// cannot open, and appends what no one accepts. Refused with 401, a member tries the
    /// credentials of all epochs that it holds, the greatest first.
    package func credential(in group: GroupSecret) -> Credential {
        let bytes = HKDF.derive(
            secret, salt: group.bytes,
            info: Array("starling relay credential 1".utf8) + id.encoded,
            count: Credential.byteCount)
        guard let credential = Credential(bytes) else {
            preconditionFailure("a credential has 32 bytes")
        }
        return credential
    }

    /// The key and the nonce of one entry: the salt is another for every entry.
    func entryKey(salt: [UInt8], group: GroupName) -> (key: [UInt8], nonce: [UInt8]) {
        let both = HKDF.derive(
            secret, salt: salt,
            info: Array("starling entry 1".utf8) + id.encoded + group.bytes,
            count: ChaChaPoly.keyBytes + ChaChaPoly.nonceBytes)
        return (Array(both[..<ChaChaPoly.keyBytes]), Array(both[ChaChaPoly.keyBytes...]))
    }

    /// A salt made of what is sealed (after RFC 5297): the same for the same content and key, unlike any
    /// other for any other.
    func repeatableSalt(_ content: [UInt8]) -> [UInt8] {
        let key = HKDF.derive(secret, info: Array("starling entry salt 1".utf8) + id.encoded)
        return hmacSHA256(key: key, content)
    }
}

/// Numbers of four bytes, the most significant first.
enum BigEndian {
    static func bytes(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
    }
}
