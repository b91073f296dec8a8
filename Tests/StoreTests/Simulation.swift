// A cluster of replicas on real files, driven by one seed: programs, transfers, crashes, clocks.
// After the storm all replicas must be equal, whole, consistent in themselves, and hold what the
// oracle says.

import CausalModel
import SQLite
import Store
import TestKit
import Values

struct SimulationFailure: Error, CustomStringConvertible {
    var description: String
}

final class Simulation {
    final class Member {
        let name: String
        let path: String
        var replica: Replica
        let strict: Connection
        let lax: Connection
        var tables: Set<String> = []

        init(name: String, path: String, replica: Replica) throws {
            self.name = name
            self.path = path
            self.replica = replica
            strict = try Connection(path: path)
            try strict.execute("PRAGMA foreign_keys = ON; PRAGMA synchronous = OFF")
            lax = try Connection(path: path)
            try lax.execute("PRAGMA synchronous = OFF")
        }
    }

    struct Transfer {
        var from: Int
        var to: Int
        var delta: any DeltaSource
        var waiting: DeltaChunk?
    }

    let folder = TemporaryDirectory()
    let seed: UInt64
    var generator: SeededGenerator
    var program: RandomProgram
    let clock: Cluster.Clock
    var members: [Member] = []
    var transfers: [Transfer] = []
    /// Chunks that came once and may come again.
    var seen: [(to: Int, header: DeltaHeader, chunk: DeltaChunk)] = []
    var oracle = SimulationOracle()
    /// True: every local change is told apart from what peers bring, so that the oracle can follow.
    let hasOracle: Bool
    /// Deleted rows are collected; all who ever are members are so from the start.
    let collects: Bool
    var collector: SeededGenerator
    var collectedRows = 0
    /// What each member has collected, as it was then.
    var gone: [Int: SimulationOracle.Content] = [:]
    let tables: [RandomTable]
    var bounds = Limits.Bounds()
    var log: [String] = []

    init(seed: UInt64) throws {
        self.seed = seed
        var generator = SeededGenerator(seed: seed)
        clock = Cluster.Clock(seed: seed &* 31)
        clock.milliseconds = 4_102_444_800_000
        program = RandomProgram(generator: SeededGenerator(seed: seed &* 7919))
        hasOracle = generator.chance(2, in: 3)
        collector = SeededGenerator(seed: seed ^ 0xc011)
        collects = collector.chance(1, in: 2)
        var chosen = RandomTable.all.filter { _ in generator.chance(1, in: 2) }
        if chosen.isEmpty { chosen = [RandomTable.all[generator.below(3)]] }
        if chosen.contains(where: { $0.name == "children" }),
            !chosen.contains(where: { $0.name == "parents" })
        {
            chosen.append(RandomTable.all[3])
        }
        tables = chosen
        bounds.chunkRowsMax = 1 + generator.below(4)
        bounds.chunkBytesMax = generator.chance(1, in: 3) ? 40 : 100_000
        bounds.foldEntriesMax = generator.chance(1, in: 2) ? 2 + generator.below(4) : 2_000
        bounds.scanRowsMax = 1 + generator.below(4)
        bounds.collectRowsMax = bounds.scanRowsMax
        bounds.parkedEagerMax = generator.chance(1, in: 3) ? 0 : 1_000
        let count = 2 + generator.below(3)
        self.generator = generator
        for index in 0..<count { try addMember(isFresh: index > 1) }
    }

    // MARK: Members

    func open(_ path: String) throws -> Replica {
        let clock = clock
        let replica = try Replica(
            path: path,
            environment: Replica.Environment(
                wallClock: { clock.milliseconds }, random: { clock.generator.next() }))
        replica.bounds = bounds
        return replica
    }

    func addMember(isFresh: Bool) throws {
        let name = "n\(members.count)"
        let path = folder.file("\(name).db")
        let member = try Member(name: name, path: path, replica: try open(path))
        members.append(member)
        let index = members.count - 1
        if isFresh, generator.chance(1, in: 2) { return }
        for table in tables where table.name == tables[0].name || generator.chance(5, in: 6) {
            try create(table, at: index)
        }
    }

    /// Makes the table as a program does, with rows from before it was tracked, and tracks it.
    func create(_ table: RandomTable, at index: Int) throws {
        let member = members[index]
        guard !member.tables.contains(table.name) else { return }
        if table.name == "children", !member.tables.contains("parents") {
            for parent in tables where parent.name == "parents" { try create(parent, at: index) }
        }
        try member.strict.execute(table.create)
        member.tables.insert(table.name)
        for _ in 0..<generator.below(4) { run(program.statement([table]), at: index) }
    }

    func track(_ index: Int) throws {
        let member = members[index]
        let known = Set(
            try member.replica.tableFacts().filter { $0.state == "synced" }.map(\.name))
        var wanted = member.tables.subtracting(known)
        if wanted.contains("children") || known.contains("children"), !known.contains("parents") {
            guard member.tables.contains("parents") else {
                wanted.remove("children")
                return
            }
            wanted.insert("parents")
        }
        for isDeleteWins in [false, true] {
            let names = tables.filter {
                $0.isDeleteWins == isDeleteWins && wanted.contains($0.name)
            }.map(\.name)
            if names.isEmpty { continue }
            log.append("\(member.name) tracks \(names)")
            let reports = try member.replica.track(
                names, policy: isDeleteWins ? .deleteWins : .addWins)
            if let report = reports.first(where: { !$0.isTracked }) {
                throw SimulationFailure(description: "not tracked: \(report)")
            }
        }
    }

    // MARK: Programs

    func run(_ sql: String, at index: Int) {
        let member = members[index]
        let app = generator.chance(3, in: 4) ? member.strict : member.lax
        let here = tables.filter { member.tables.contains($0.name) }
        for statement in program.transaction(sql, here)
        where app.isInTransaction || !RandomProgram.endsTransaction(statement) {
            do {
                try app.execute(statement)
                log.append("\(member.name): \(statement)")
            } catch let error as SQLiteError where error.isConstraint {
                log.append("\(member.name): \(statement) -- refused")
            } catch {
                oracleFailures.append("the app failed: \(error) in \(statement)")
            }
        }
        if app.isInTransaction { try? app.execute("ROLLBACK") }
        setTimes(at: index)
    }

    var oracleFailures: [String] = []

    /// Gives the newest journal entries the simulated time.
    func setTimes(at index: Int) {
        let app = members[index].lax
        let step = generator.chance(1, in: 2) ? 0 : 700
        for id in 1...12 {
            for name in ["_starling_journal_\(id)", "_starling_victim_\(id)"] {
                let day = 2_440_587.5 + Double(clock.milliseconds) / 86_400_000
                try? app.execute(
                    """
                    UPDATE \(name) SET at = \(day) + (_rowid_ % 5) * \(step) / 86400000.0
                    WHERE at < 2480000
                    """)
            }
        }
    }

    // MARK: Local changes of replicas

    /// A change that only this replica makes; the oracle sees what it did.
    func local(_ index: Int, _ what: String, _ body: (Replica) throws -> Void) throws {
        let member = members[index]
        log.append("\(member.name) \(what)")
        guard hasOracle else { return try retried { try body(member.replica) } }
        var before = lastContent[index] ?? [:]
        let origin = member.replica.origin
        try retried { try body(member.replica) }
        let after = try contentWhenQuiet(index)
        // Who makes a collected row anew has seen its delete.
        before.merge((gone[index] ?? [:]).filter { after[$0.key] != nil }) { held, _ in held }
        oracle.local(before, after, origins: [origin, member.replica.origin])
        oracle.check(after, at: member.name)
        lastContent[index] = after
        try failIfWrong()
    }

    var lastContent: [Int: SimulationOracle.Content] = [:]

    /// The kernels, with nothing left in a journal: only then do values belong to their dots.
    func contentWhenQuiet(_ index: Int) throws -> SimulationOracle.Content {
        try retried { _ = try members[index].replica.fold() }
        return try SimulationOracle.content(members[index].replica)
    }

    func retried(_ body: () throws -> Void) throws {
        for _ in 0..<3 {
            do { return try body() } catch let error as StoreError where error.isRetryable {
                log.append("busy: \(error)")
            }
        }
        try body()
    }

    func failIfWrong() throws {
        let failures = oracle.failures + oracleFailures
        guard let first = failures.first else { return }
        throw SimulationFailure(description: "\(first) (\(failures.count) in all)")
    }

    /// Joins what a peer sent. Local changes come before, so that the oracle can tell them apart.
    func receive(_ index: Int, _ what: String, _ body: (Replica) throws -> Void) throws {
        if hasOracle {
            try local(index, "folds") {
                try $0.fold()
                try $0.finishScans()
            }
        }
        log.append("\(members[index].name) \(what)")
        try retried { try body(members[index].replica) }
        if hasOracle {
            lastContent[index] = try contentWhenQuiet(index)
            oracle.check(lastContent[index] ?? [:], at: members[index].name)
            try failIfWrong()
        }
    }
}
