// Which names on the network are worth a look before all others: those that members would have.

internal import Synchronization
internal import Trust

/// The keys of members, for the discovery thread.
///
/// A name is a salt and half a tag of it. It says no more than the tag in the record, and only whoever
/// knows the group and the key can make one: a stranger can say a member's name again, and not a thousand of
/// them. It is no proof of anything.
final class Acquaintances: Sendable {
    private struct Known {
        var keys: [PublicKey] = []
        var group: [UInt8] = []
    }

    private static let tagBytes = 8

    private let known = Mutex(Known())

    static func name(of key: PublicKey, group: [UInt8], salt: [UInt8]) -> String {
        Hexadecimal.text(salt + key.tag(group: group, salt: salt).prefix(tagBytes))
    }

    func know(_ keys: [PublicKey], group: String) {
        known.withLock { $0 = Known(keys: keys, group: Hexadecimal.bytes(group) ?? []) }
    }

    /// Whether it is the name of a member. O(members).
    func mayBe(_ name: String) -> Bool {
        guard let bytes = Hexadecimal.bytes(name),
            bytes.count == Announcements.saltBytes + Self.tagBytes
        else { return false }
        let salt = Array(bytes.prefix(Announcements.saltBytes))
        let known = known.withLock { $0 }
        let tag = bytes.suffix(Self.tagBytes)
        return known.keys.contains {
            $0.tag(group: known.group, salt: salt).prefix(Self.tagBytes).elementsEqual(tag)
        }
    }
}
