// Members that meet at a relay only: real files, a program that writes each, and real forwarders.

import CausalModel
import RelayProtocol
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Values

/// One member: a file, a program that writes it, and a forwarder.
final class LogMember {
    let name: String
    let path: String
    let app: Connection
    let seal: PlainSeal
    private(set) var replica: Replica
    private(set) var forwarder: Forwarder
    var events: [SyncEvent] = []
    /// Requests that are under way.
    var open: [LogRequest] = []
    private let open1: (String) throws -> Replica
    private let makeForwarder: (Replica, PlainSeal) throws -> Forwarder
    /// Handles of processes that ended: closed by nobody, as after kill -9.
    private var past: [Replica] = []

    init(
        _ name: String, path: String, open: @escaping (String) throws -> Replica,
        forwarder: @escaping (Replica, PlainSeal) throws -> Forwarder
    ) throws {
        self.name = name
        self.path = path
        open1 = open
        makeForwarder = forwarder
        app = try Connection(path: path)
        seal = PlainSeal(author: name)
        replica = try open(path)
        self.forwarder = try forwarder(replica, seal)
        try begin()
    }

    private func begin() throws {
        forwarder.onEvent = { [unowned self] in events.append($0) }
        forwarder.replicaChanged(try replica.summary())
    }

    func restart() throws {
        past.append(replica)
        open = []
        replica = try open1(path)
        forwarder = try makeForwarder(replica, seal)
        try begin()
    }
}

/// Members around one relay, in simulated time.
final class LogCluster {
    let folder = TemporaryDirectory()
    let relay: SimulatedRelay
    let seed: UInt64
    private(set) var members: [LogMember] = []
    private(set) var now: Milliseconds = 1_000_000
    var random: SeededGenerator
    var limits = ForwarderLimits()
    var urgent: [String] = []
    var bounds = Limits.Bounds()
    /// By how much a member's clock is wrong, in milliseconds.
    var clockErrors: [String: Int64] = [:]
    /// Every key that a program was told is written.
    private(set) var written: Set<String> = []

    static let schema =
        "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, text TEXT, size INTEGER, body BLOB)"

    init(_ count: Int, owners: Int, seed: UInt64, _ configure: (LogCluster) -> Void = { _ in })
        throws
    {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        relay = SimulatedRelay(seed: seed ^ 0x5eed)
        limits.wantMilliseconds = 1_000...60_000
        limits.standingMilliseconds = 10_000...60_000
        configure(self)
        for index in 0..<count { try add("node\(index)", isOwner: index < owners) }
    }

    /// Two members with a log that is long enough for a snapshot, which is there.
    static func withSnapshot() throws -> LogCluster {
        let cluster = try LogCluster(2, owners: 1, seed: 11) {
            $0.limits.snapshotEntriesMin = 20
            $0.limits.snapshotBytesMin = 100
            $0.limits.snapshotJitterMilliseconds = 1_000
            $0.bounds.chunkRowsMax = 4
        }
        for row in 0..<60 {
            try cluster.write(0, "row\(row % 20)", "text \(row)")
            cluster.round()
            cluster.advance(200)
        }
        _ = cluster.converge(within: 10_000)
        for _ in 0..<40 {
            cluster.round()
            cluster.advance(200)
        }
        return cluster
    }

    @discardableResult
    func add(_ name: String, isOwner: Bool) throws -> LogMember {
        let member = try LogMember(
            name, path: folder.file("\(name).db"),
            open: { [unowned self] path in
                let replica = try Replica(
                    path: path,
                    environment: Replica.Environment(
                        wallClock: { [unowned self] in
                            1_800_000_000_000 + now + clockErrors[name, default: 0]
                        },
                        random: { [unowned self] in random.next() }))
                replica.bounds = bounds
                return replica
            },
            forwarder: { [unowned self] replica, seal in
                let forwarder = try Forwarder(
                    node: name, replica: replica, seal: seal, log: [7],
                    random: { [unowned self] in random.next() },
                    isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
                forwarder.limits = limits
                forwarder.urgentTables = urgent
                return forwarder
            })
        if isOwner {
            try member.app.execute(Self.schema)
            _ = try member.replica.track(["notes"])
            try member.replica.finishScans()
            member.forwarder.replicaChanged(try member.replica.summary())
        }
        members.append(member)
        return member
    }

    func write(_ index: Int, _ key: String, _ text: String, bytes: Int = 0) throws {
        let member = members[index]
        guard
            try member.replica.tableFacts().contains(where: {
                $0.name == "notes" && $0.state == "synced"
            })
        else { return }
        try member.app.run(
            """
            INSERT INTO notes(id, text, size, body) VALUES(?1, ?2, 0, zeroblob(?3))
            ON CONFLICT(id) DO UPDATE SET text = excluded.text
            """, [.string(key), .string(text), .integer(Int64(bytes))])
        written.insert(key)
        try look(member)
    }

    func look(_ member: LogMember) throws {
        member.forwarder.replicaChanged(try member.replica.summary())
    }

    /// A member does some of its work; its requests go out.
    func step(_ index: Int, work: Int = .max) {
        let member = members[index]
        // As a node does, beside everything else: rows that came before their table are shown.
        if member.replica.isScanning {
            do { _ = try member.replica.scanSlice() } catch {
                Issue.record("seed \(seed): \(member.name) cannot scan: \(error)")
            }
        }
        var left = work
        while left > 0, member.forwarder.work(now) { left -= 1 }
        member.open += member.forwarder.takeRequests(now)
    }

    /// The relay answers the oldest request of a member, or any.
    func answer(_ index: Int, any: Bool = false) {
        let member = members[index]
        guard !member.open.isEmpty else { return }
        let place =
            any
            ? random.below(member.open.count)
            : member.open.firstIndex { !$0.isWaiting } ?? 0
        let request = member.open[place]
        let reply = relay.answer(request, of: member.name)
        // Nothing there to tell: a waiting request stays.
        if request.isWaiting, case .synced(let answer) = reply, answer.items.isEmpty,
            case .sync(let after, _, _) = request.kind, answer.position == after
        {
            return
        }
        member.open.remove(at: place)
        member.forwarder.answered(request.id, reply, now: now)
    }

    func advance(_ milliseconds: Milliseconds) { now += milliseconds }

    /// Everybody works and is answered, once.
    func round() {
        for index in members.indices {
            step(index)
            var turns = 0
            while members[index].open.contains(where: { !$0.isWaiting }) {
                turns += 1
                if turns > 2_000 {
                    Issue.record("seed \(seed): \(members[index].name) asks without end")
                    print(members[index].open, members[index].forwarder.refused)
                    return
                }
                let before = members[index].open.count
                for _ in 0..<before { answer(index) }
                step(index)
                if members[index].open.isEmpty { break }
            }
            answer(index)
            step(index)
        }
    }

    var isConverged: Bool {
        let summaries = members.compactMap { try? $0.replica.summary() }
        guard summaries.count == members.count, let first = summaries.first else { return false }
        return summaries.allSatisfy {
            $0.vector == first.vector && $0.isWhole && $0.digest == first.digest
        }
    }

    /// Runs rounds until all are equal; false when that takes longer than so much simulated time.
    func converge(within limit: Milliseconds) -> Bool {
        let end = now + limit
        while now < end {
            round()
            if isConverged { return true }
            // To the next moment at which anybody wants to do something.
            let due = members.compactMap { $0.forwarder.nextDeadline(now) }.min() ?? now
            advance(min(max(due - now, 100), limit / 40))
        }
        return false
    }

    func rows(_ index: Int) throws -> [[Value]] {
        try members[index].app.query("SELECT id, text, size, length(body) FROM notes ORDER BY id")
    }

    /// What differs between the members, or was written and is nowhere; empty when all is well.
    func differences() throws -> [String] {
        let first = try rows(0)
        let keys = Set(
            first.compactMap { row in
                if case .text(let bytes) = row[0] { return String(decoding: bytes, as: UTF8.self) }
                return nil
            })
        var found = written.subtracting(keys).sorted().map { "seed \(seed): \($0) is lost" }
        for index in members.indices where try rows(index) != first {
            found.append("seed \(seed): members 0 and \(index) differ")
        }
        return found
    }

    func expectEqual(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try differences() == [], sourceLocation: sourceLocation)
    }
}
