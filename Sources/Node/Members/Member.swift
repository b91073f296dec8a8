// One member of the group, as the table of members has it.

internal import CausalModel
internal import SQLite
internal import Sync
internal import Trust
internal import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A node that was let in.
struct Member: Equatable {
    var key: PublicKey
    var name: String
    var role: Membership.Role
    /// The node that let it in; its own, for the founder.
    var introducer: String
    /// Unix time.
    var sinceMilliseconds: Int64
    /// The origin under which it has joined; nil before its first copy, and when it needs a new one.
    var origin: Origin?

    var node: String { key.node }

    /// The table's row; nil when the row is not one that Starling writes. A row whose node is not that of
    /// its key names nobody.
    init?(row: [Value]) {
        guard row.count == 7, case .text(let node) = row[0], case .text(let hex) = row[1],
            case .text(let name) = row[2], case .text(let role) = row[3],
            case .text(let introducer) = row[4], case .integer(let since) = row[5],
            case .text(let origin) = row[6],
            let key = PublicKey(hex: String(decoding: hex, as: UTF8.self)),
            Array(key.node.utf8) == node,
            let known = Membership.Role(rawValue: String(decoding: role, as: UTF8.self))
        else { return nil }
        self.key = key
        // Any program can write the table.
        let said = String(decoding: name, as: UTF8.self)
        self.name = (try? Identity.checkedName(said)) ?? String(key.node.prefix(8))
        self.role = known
        self.introducer = String(decoding: introducer, as: UTF8.self)
        sinceMilliseconds = since
        self.origin = Origin(hex: String(decoding: origin, as: UTF8.self))
    }

    init(
        key: PublicKey, name: String, role: Membership.Role, introducer: String,
        sinceMilliseconds: Int64, origin: Origin? = nil
    ) {
        self.key = key
        self.name = name
        self.role = role
        self.introducer = introducer
        self.sinceMilliseconds = sinceMilliseconds
        self.origin = origin
    }

    var row: [Value] {
        [
            .string(node), .string(key.hex), .string(name),
            .string(role.rawValue), .string(introducer), .integer(sinceMilliseconds),
            .string(origin?.hex ?? ""),
        ]
    }
}

/// Whom a newcomer believes until it has its own row in the table of members: the one key that the
/// invitation named.
struct Introducer: Equatable {
    var key: PublicKey
    var name: String
    /// What the newcomer was let in as.
    var role: Membership.Role

    init(key: PublicKey, name: String, role: Membership.Role) {
        self.key = key
        self.name = name
        self.role = role
    }

    init?(content: [UInt8]) {
        guard let value = try? JSONValue(parsing: content), value["v"] == 1,
            let key = value["key"]?.string.flatMap(PublicKey.init(hex:)),
            let name = value["name"]?.string,
            let role = value["role"]?.string.flatMap(Membership.Role.init(rawValue:))
        else { return nil }
        self.init(key: key, name: name, role: role)
    }

    var content: [UInt8] {
        let value: JSONValue = [
            "v": 1, "key": .string(key.hex), "name": .string(name),
            "role": .string(role.rawValue),
        ]
        return value.encoded + [0x0a]
    }
}

extension Home {
    var introducerPath: String { "\(path)/introducer.json" }

    /// nil for a node that founds its group or has become a member.
    func introducer() throws(NodeError) -> Introducer? {
        let content: [UInt8]
        do { content = try AtomicFile.read(introducerPath, bytesMax: 1 << 16) } catch {
            if error.number == ENOENT { return nil }
            throw NodeError(.badHome, error.explain("cannot read \(introducerPath)"), cause: error)
        }
        guard let introducer = Introducer(content: content) else {
            throw NodeError(
                .badHome, "\(introducerPath) is damaged: remove the folder \(path) and join again")
        }
        return introducer
    }
}
