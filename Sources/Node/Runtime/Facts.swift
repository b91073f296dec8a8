// The facts of a node as JSON, from its replica and, while it runs, its sessions. Shapes:
// `Facts.md`.

internal import CausalModel
internal import Codec
package import Store
internal import Sync
internal import Trust
internal import Values

/// A replica opened for one home folder, with all that its facts need.
package final class NodeContext {
    package let home: Home
    package let identity: Identity
    package let configuration: Configuration
    package let replica: Replica
    let marker: Marker
    let key: NodeKey
    let members: Members
    let keys: GroupKeys
    private let locks: [FileLock]
    /// Told of what keeps facts from being whole, apart from a locked database.
    var onTrouble: ((any Error) -> Void)?

    /// Takes the locks, opens the database and proves that it is the one that was left.
    package init(home: Home, pid: Int32) throws {
        self.home = home
        identity = try home.identity()
        key = try home.key()
        guard key.publicKey.node == identity.node else {
            throw NodeError(
                .badHome,
                "\(home.identityPath) and \(home.keyPath) are of two different nodes: put back the "
                    + "two that belong together")
        }
        configuration = try home.configuration()
        let database = home.databasePath(configuration)
        locks = [
            try home.lock(pid: pid), try home.lockDatabase(database, pid: pid),
        ]
        do {
            replica = try Replica(path: database, environment: .system)
        } catch let error as StoreError {
            throw NodeError(.failed, "cannot open \(database): \(error)", cause: error)
        }
        var generator = SystemRandomNumberGenerator()
        marker = try Marker(home: home, replica: replica, random: { generator.next() })
        do {
            try replica.lookAtSchema()
            members = try Members(
                own: key.publicKey, isMember: identity.isMember, home: home, replica: replica)
            keys = try GroupKeys(home: home, key: key, members: members, replica: replica)
        } catch let error as StoreError {
            throw NodeError(.failed, "cannot open \(database): \(error)", cause: error)
        }
    }

    package var name: String {
        configuration.name ?? members.byNode[identity.node]?.name ?? identity.name
    }

    /// Tables that are Starling's and synced like any other.
    static let ownTables: Set<String> = [Members.table, GroupTable.table]

    /// The tables of the file's owner, without Starling's own.
    func userTables() throws -> [TableFacts] {
        try replica.tableFacts().filter { !Self.ownTables.contains($0.name.lowercased()) }
    }

    /// What there is for a peer to take, and what it has that is taken from it. Nobody takes anything from a
    /// reader, so nothing waits there.
    func distances(to node: String, _ stated: VersionVector) -> (behind: Int64, ahead: Int64) {
        let sends = members.ownRole != .reader
        let isReader = members.byNode[node]?.role == .reader
        return (
            sends ? Int64(clamping: replica.vector.distance(beyond: stated)) : 0,
            isReader ? 0 : Int64(clamping: stated.distance(beyond: replica.vector))
        )
    }

    /// The name of a peer as the members have it.
    func name(of node: String, else said: String) -> String {
        members.byNode[node]?.name ?? said
    }

    /// Leaves everything on disk and the marker clean.
    package func close() throws { try marker.close(replica) }
}

extension Replica.Environment {
    /// The machine's clock and random numbers.
    package static var system: Replica.Environment {
        Replica.Environment(
            wallClock: { WallClock.milliseconds() },
            random: { UInt64.random(in: .min ... .max) })
    }
}

extension NodeContext {
    static func digestText(_ digest: UInt64) -> String {
        let digits = String(digest, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    func digestFacts() throws -> JSONValue {
        let summary = try replica.summary()
        var tables = JSONObject()
        for (name, digest) in replica.tableDigests() {
            tables.append(name, .string(Self.digestText(digest)))
        }
        return ["digest": .string(Self.digestText(summary.digest)), "tables": .object(tables)]
    }

    /// Peers as the file knows them, for a node that does not run.
    func storedPeers() throws -> [PeerFact] {
        let cache = PeerCache(of: home)
        return try replica.peerStatements().map { statement in
            let cached = cache.entries.first { $0.node == statement.node }
            let distances = distances(to: statement.node, statement.vector)
            return PeerFact(
                node: statement.node, name: name(of: statement.node, else: statement.name),
                address: cached?.addresses.first?.description, state: "offline",
                behind: distances.behind, ahead: distances.ahead,
                lastSeen: statement.seenMilliseconds > 0 ? statement.seenMilliseconds : nil)
        }
    }

    func statusFacts(peers: [PeerFact], live: LiveFacts?) throws -> JSONValue {
        // Neither a locked database nor a failing disk must keep anyone from seeing how things stand.
        var summary: ReplicaSummary?
        do { summary = try replica.summary() } catch { onTrouble?(error) }
        var vector = JSONObject()
        for entry in replica.vector.entries {
            vector.append(entry.origin.hex, .int(Int64(entry.number)))
        }
        do { try members.look() } catch { onTrouble?(error) }
        let facts = try userTables()
        let problems = self.problems(live: live, facts: facts)
        let journal = try replica.journalCount()
        return [
            "node": .string(identity.node), "name": .string(name),
            "group": .string(identity.group), "origin": .string(replica.origin.hex),
            "state": .string(
                state(peers: peers, live: live, problems: problems, journal: journal)),
            "tables": .array(
                facts.filter { $0.state == "synced" }.map { .string($0.name) }),
            "vector": .object(vector),
            "digest": .string(Self.digestText(summary?.digest ?? replica.digest)),
            "journal": .int(Int64(journal)),
            "conflicts": .int(Int64(try conflictCount())),
            "parked": .int(Int64(replica.parkedCount())),
            "peers": .array(peers.map(\.json)),
            "running": .bool(live != nil), "db": .string(replica.path),
            "listen": JSONValue(optional: live?.listen),
            "role": JSONValue(optional: members.ownRole?.rawValue),
            "fingerprint": .string(members.own.fingerprint),
            "members": .int(Int64(members.byNode.count)),
            "refused": .int(Int64(clamping: try refusedChanges())),
            "deleted_rows": try deletedRowFacts(),
            "joining": .bool(replica.isJoining),
            "strangers": .int(Int64(live?.strangers ?? 0)),
            "now_ms": .int(WallClock.milliseconds()),
            "relay": live?.relay ?? storedRelay,
            "problems": .array(problems.map(\.json)),
        ]
    }

    /// The relay as the file knows it, for a node that does not run.
    private var storedRelay: JSONValue {
        guard keys.table.secret != nil, let url = keys.table.url else { return .null }
        return [
            "url": .string(url), "state": "stopped",
            "queued_changes": .int(
                Int64(clamping: replica.vector.distance(beyond: replica.logVector))),
        ]
    }

    private func state(
        peers: [PeerFact], live: LiveFacts?, problems: [ProblemFact], journal: Int
    ) -> String {
        guard live != nil else { return "stopped" }
        if problems.contains(where: { $0.state == "fail" })
            || peers.contains(where: { $0.state == "refused" })
        {
            return "attention"
        }
        if peers.isEmpty { return "alone" }
        if replica.isJoining || peers.contains(where: { $0.state == "syncing" }) {
            return "syncing"
        }
        if journal > 0 || peers.contains(where: { $0.behind ?? 0 > 0 }) { return "pending" }
        return "synced"
    }

    /// What a person should know or do something about.
    private func problems(live: LiveFacts?, facts: [TableFacts]) -> [ProblemFact] {
        var found = replica.problems.sorted { $0.key < $1.key }.map { subject, message in
            let code = ["origin", "invariant"].contains(subject) ? subject : "table"
            return ProblemFact(
                code: code, message: message,
                remedy: code == "invariant"
                    ? "see with `starling members` whether a home was copied and runs twice, and "
                        + "keep a backup of the file for a report" : nil,
                state: code == "origin" ? "warn" : "fail")
        }
        for (origin, milliseconds) in replica.clockOffenders.sorted(by: { $0.key < $1.key }) {
            let ahead = (milliseconds - WallClock.milliseconds()) / 1000
            if ahead <= 0 { continue }
            let author = replica.knownAuthors[origin].map { name(of: $0, else: $0) }
            let whose = author ?? "origin \(origin.hex.prefix(8))"
            found.append(
                ProblemFact(
                    code: "clock", message: "changes of \(whose) are dated \(ahead) s ahead",
                    remedy: "set the clock of that machine right"))
        }
        for table in facts where table.isScanning {
            found.append(
                ProblemFact(code: "scanning", message: "the rows of \(table.name) are being read"))
        }
        if let problem = members.problem {
            found.append(
                ProblemFact(
                    code: "members", message: problem, remedy: "DELETE them", state: "warn"))
        }
        if members.isForgotten {
            found.append(
                ProblemFact(code: "members", message: Members.forgotten, state: "fail"))
        } else if members.ownRole == nil {
            found.append(
                ProblemFact(
                    code: "removed", message: "this node was removed from its group",
                    remedy: "what is here stays here; to come back, let a member run `starling "
                        + "invite`, and join with a new home folder", state: "fail"))
        }
        return found + (live?.problems ?? [])
    }
}

/// What only a running node knows.
struct LiveFacts {
    var listen: String?
    var problems: [ProblemFact]
    var relay: JSONValue = .null
    /// Connections that proved no member's key.
    var strangers = 0
}

/// Something that a person should know.
struct ProblemFact: Equatable {
    var code: String
    var message: String
    var remedy: String?
    var state = "warn"

    var json: JSONValue {
        [
            "code": .string(code), "message": .string(message),
            "remedy": JSONValue(optional: remedy), "state": .string(state),
        ]
    }
}

/// One peer as `status` and `peers` show it.
struct PeerFact {
    var node: String?
    var name: String
    var address: String?
    var state: String
    var behind: Int64?
    var ahead: Int64?
    var lastSeen: Int64?
    var lastError: String?
    var remedy: String?
    var retries: Int64 = 0
    var nextTry: Int64?
    var isDivergent = false

    /// It was let in, or is only an address, and no link with it ever stood.
    var isNeverSeen: Bool { lastSeen == nil && state != "connected" && state != "syncing" }

    var json: JSONValue {
        [
            "node": JSONValue(optional: node), "name": .string(name),
            "address": JSONValue(optional: address), "state": .string(state),
            "behind": JSONValue(optional: behind), "ahead": JSONValue(optional: ahead),
            "last_seen_ms": JSONValue(optional: lastSeen),
            "last_error": JSONValue(optional: lastError), "retries": .int(retries),
            "next_try_ms": JSONValue(optional: nextTry),
        ]
    }
}

extension JSONValue {
    /// Named values as an object, in their order.
    init(row: [(column: String, value: Values.Value)]) {
        var object = JSONObject()
        for item in row { object.append(item.column, JSONValue(item.value)) }
        self = .object(object)
    }
}
