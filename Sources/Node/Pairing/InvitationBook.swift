// The invitations that this node gave, without their secrets: whoever reads this file can pair with
// nobody.

internal import Sync
internal import Trust

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One invitation as its giver remembers it.
struct GivenInvitation: Equatable {
    enum State: String {
        case open
        /// Kept for one newcomer, which is about to be let in.
        case used
        /// That newcomer became a member: nothing more comes of it.
        case done
        case revoked, expired
    }

    /// The public half of its one-time key.
    var key: PublicKey
    /// What the newcomer is to be called; nil leaves it to the newcomer.
    var name: String?
    var role: Membership.Role
    /// Unix time.
    var expiresMilliseconds: Int64
    var state = State.open
    /// The newcomer's key, once it was used.
    var usedBy: PublicKey?

    /// What people call it by.
    var id: String { String(key.node.prefix(8)) }
}

/// The content of `invitations.json`. Used, revoked and expired ones stay for a month, so that who comes
/// with one is told what is wrong.
struct InvitationBook {
    private static let keptMilliseconds: Int64 = 30 * 86_400_000
    private static let entriesMax = 256
    private static let fileBytesMax = 1 << 20

    private let path: String
    private(set) var entries: [GivenInvitation]

    /// - Throws: `badHome` when the file is there and cannot be read.
    init(of home: Home) throws(NodeError) {
        path = "\(home.path)/invitations.json"
        do {
            let content = try AtomicFile.read(path, bytesMax: Self.fileBytesMax)
            let list = (try? JSONValue(parsing: content))?["invitations"]?.array ?? []
            entries = list.prefix(Self.entriesMax).compactMap(GivenInvitation.init(json:))
        } catch {
            guard error.number == ENOENT else {
                throw NodeError(.badHome, error.explain("cannot read \(path)"), cause: error)
            }
            entries = []
        }
    }

    subscript(key: PublicKey) -> GivenInvitation? { entries.first { $0.key == key } }

    mutating func add(_ invitation: GivenInvitation, now: Int64) throws(NodeError) {
        let kept = entries.filter { $0.expiresMilliseconds + Self.keptMilliseconds > now }
        try save([invitation] + kept.prefix(Self.entriesMax - 1))
    }

    /// On disk when it returns: it works for nobody else any more.
    mutating func use(_ key: PublicKey, by newcomer: PublicKey) throws(NodeError) {
        try change { entry in
            guard entry.key == key else { return }
            entry.state = .used
            entry.usedBy = newcomer
        }
    }

    /// Its newcomer is a member.
    mutating func finish(_ key: PublicKey) throws(NodeError) {
        try change { if $0.key == key { $0.state = .done } }
    }

    /// Ends those whose time is over, so that a clock that is set back opens none again.
    mutating func expire(now: Int64) throws(NodeError) {
        guard entries.contains(where: { $0.state == .open && $0.expiresMilliseconds <= now }) else {
            return
        }
        try change { entry in
            if entry.state == .open, entry.expiresMilliseconds <= now { entry.state = .expired }
        }
    }

    /// Revokes the open one of that id, or all of them for nil; returns how many.
    mutating func revoke(_ id: String?, now: Int64) throws(NodeError) -> Int {
        var count = 0
        try change { entry in
            guard entry.state == .open, entry.expiresMilliseconds > now,
                id.map({ entry.id == $0 }) ?? true
            else { return }
            entry.state = .revoked
            count += 1
        }
        return count
    }

    func open(now: Int64) -> [GivenInvitation] {
        entries.filter { $0.state == .open && $0.expiresMilliseconds > now }
    }

    private mutating func change(_ body: (inout GivenInvitation) -> Void) throws(NodeError) {
        var changed = entries
        for index in changed.indices { body(&changed[index]) }
        try save(changed)
    }

    private mutating func save(_ changed: [GivenInvitation]) throws(NodeError) {
        let value: JSONValue = ["v": 1, "invitations": .array(changed.map(\.json))]
        do { try AtomicFile.replace(path, with: value.encoded + [0x0a]) } catch {
            throw NodeError(.failed, error.explain("cannot write \(path)"), cause: error)
        }
        entries = changed
    }
}

extension GivenInvitation {
    fileprivate init?(json: JSONValue) {
        guard let key = json["key"]?.string.flatMap(PublicKey.init(hex:)),
            let role = json["role"]?.string.flatMap(Membership.Role.init(rawValue:)),
            let expires = json["expires_ms"]?.int,
            let state = json["state"]?.string.flatMap(State.init(rawValue:))
        else { return nil }
        self.key = key
        name = json["name"]?.string
        self.role = role
        expiresMilliseconds = expires
        self.state = state
        usedBy = json["used_by"]?.string.flatMap(PublicKey.init(hex:))
    }

    fileprivate var json: JSONValue {
        [
            "key": .string(key.hex), "name": JSONValue(optional: name),
            "role": .string(role.rawValue), "expires_ms": .int(expiresMilliseconds),
            "state": .string(state.rawValue), "used_by": JSONValue(optional: usedBy?.hex),
        ]
    }
}

extension PublicKey {
    /// 64 hexadecimal digits.
    var hex: String { Hexadecimal.text(bytes) }

    init?(hex: String) {
        guard let bytes = Hexadecimal.bytes(hex), let key = try? PublicKey(bytes: bytes) else {
            return nil
        }
        self = key
    }
}
