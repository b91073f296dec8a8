// One scenario of two nodes that can be run again and again from the same files: a catch-up,
// conflicts from both sides, deletes, and local writes while all of it goes on.

import CPlatform
import CausalModel
import Node
import SQLite
import Store
import Testing
import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The node `ann` meets the faults, its peer `bob` does not.
final class FaultRig {
    /// What ann does in the catch-up.
    enum Role: String, CaseIterable { case receiver, sender }

    let flock = Flock()
    let role: Role
    let ann: TestNode
    let bob: TestNode
    private var files: [HomeFiles] = []
    private var runCount = 0
    /// What an app committed, and nobody else wrote: it has to be shown, everywhere.
    private var committed: [String: String] = [:]
    /// Titles of which one may lose, but none may go.
    private static let contested = [
        "base-1": ["by ann", "by bob"], "same": ["born at ann", "born at bob"],
    ]
    private static let bulkRows = 300

    // MARK: The files

    init(_ role: Role) async throws {
        self.role = role
        let nodes = try await flock.nodes(
            "ann", "bob", schema: "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, n);")
        (ann, bob) = (nodes[0], nodes[1])
        try write(ann, (1...9).map { "INSERT INTO jobs VALUES('base-\($0)', 'base', \($0))" })
        try await bob.start()
        try await ann.start(peers: [bob])
        try await flock.converge(ann, bob)
        for node in nodes { #expect(try await node.stop() == 0) }

        let bulk = """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(Self.bulkRows))
            INSERT INTO jobs SELECT 'bulk-' || i, hex(randomblob(500)), i FROM n
            """
        try write(role == .receiver ? bob : ann, [bulk])
        try write(
            ann,
            [
                "UPDATE jobs SET title = 'by ann' WHERE id = 'base-1'",
                "DELETE FROM jobs WHERE id = 'base-2'",
                "INSERT INTO jobs VALUES('same', 'born at ann', 1)",
                "INSERT INTO jobs VALUES('ann-offline', 'committed', 1)",
            ])
        try write(
            bob,
            [
                "UPDATE jobs SET title = 'by bob' WHERE id = 'base-1'",
                "UPDATE jobs SET title = 'survives' WHERE id = 'base-2'",
                "INSERT INTO jobs VALUES('same', 'born at bob', 2)",
                "INSERT INTO jobs VALUES('bob-offline', 'committed', 1)",
            ])
        files = nodes.map { HomeFiles(of: $0.home) }
    }

    /// As an app does it: one transaction for each statement.
    private func write(_ node: TestNode, _ statements: [String]) throws {
        let app = try Connection(path: node.file, mode: .readWrite, busyTimeoutMilliseconds: 20_000)
        for statement in statements { try app.execute(statement) }
    }

    private func restore() {
        committed = ["ann-offline": "committed", "bob-offline": "committed", "base-2": "survives"]
        for home in files { home.restore() }
        for node in [ann, bob] {
            for end in ["out", "err"] { _ = unlink(flock.path("node-\(node.name).\(end)")) }
        }
    }

    // MARK: The scenario

    /// What became of ann in one run.
    struct Outcome {
        var exitCode: Int32
        /// The fault was met.
        var isHit: Bool
        /// What ann said while it ran with the fault.
        var log: String
        /// The calls that failed, as the tracer shows them.
        var refused: [String]
        var trace: String

        /// SQLite asked for it and goes on without: it opens a file for reading that it cannot have
        /// for writing, and takes no notice when a folder cannot be flushed.
        var isAbsorbed: Bool {
            guard let line = refused.first else { return false }
            let isDatabase = line.contains("/data.db") || line.contains("/ann\"")
            return line.contains(" openat(") && isDatabase
                || line.contains(" fdatasync(") && line.contains("/ann>)")
        }

        /// The calls around the fault: by them one sees who asked.
        var surroundings: String {
            let lines = trace.split(separator: "\n")
            guard let fault = lines.firstIndex(where: { $0.contains("(INJECTED)") }) else {
                return ""
            }
            return lines[max(0, fault - 20)..<min(lines.count, fault + 20)].joined(separator: "\n")
        }

        /// It came when everything had been made durable and the node had said its last word:
        /// SQLite tidies its files up, and leaves what it cannot.
        var isAtTheEnd: Bool {
            let lines = trace.split(separator: "\n")
            guard let fault = lines.firstIndex(where: { $0.contains("(INJECTED)") }) else {
                return false
            }
            return lines[..<fault].contains { $0.contains(" info stopped") }
        }
    }

    /// Runs the scenario, with a fault in it, and everything that has to hold afterwards.
    func run(_ point: FaultPoint?) async throws -> Outcome {
        runCount += 1
        let trace = flock.path("trace-\(runCount)")
        restore()
        try bob.launch()
        try await settled("bob runs") { bob.isAnswering }
        ann.tracer = point?.tracer(trace: trace) ?? Strace.counting(trace: trace)
        try ann.launch(peers: [bob])
        try await live(
            isLasting: { if case .errorFromThenOn = point?.fault { true } else { false } }())
        // A pipe or a socket was hit by another order of the calls; SIGTERM may be lost with it.
        func isOffTarget() -> Bool { refusals(trace).contains { !$0.contains(ann.home) } }
        ann.process?.signal(SIGTERM)
        try await settled("ann ends") { ann.process?.isRunning != true || isOffTarget() }
        ann.kill()
        let code = try await ann.stop()
        let refused = refusals(trace)
        let outcome = Outcome(
            exitCode: code, isHit: !isOffTarget() && (code == 128 + SIGKILL || !refused.isEmpty),
            log: ann.log, refused: refused,
            trace: String(decoding: Files.read(trace) ?? [], as: UTF8.self))
        ann.tracer = []
        try await recover(DotLedger())
        _ = unlink(trace)
        return outcome
    }

    /// Kills ann again and again at these calls, while apps write, and lets it recover in the end.
    func runKills(_ points: [FaultPoint]) async throws {
        runCount += 1
        restore()
        try bob.launch()
        try await settled("bob runs") { bob.isAnswering }
        var ledger = DotLedger()
        for (round, point) in points.enumerated() {
            let trace = flock.path("trace-\(runCount)-\(round)")
            ann.tracer = point.tracer(trace: trace)
            for node in [ann, bob] {
                let key = "\(node.name)-round-\(round)"
                try commit(node, "INSERT INTO jobs VALUES('\(key)', 'committed', 1)", [key])
            }
            try ann.launch(peers: [bob])
            try await settled("ann is killed or has nothing to do") {
                ann.process?.isRunning != true || areEqual()
            }
            ann.kill()
            _ = unlink(trace)
            try look(into: &ledger, "round \(round)")
        }
        ann.tracer = []
        try await recover(ledger)
    }

    private func refusals(_ trace: String) -> [String] {
        String(decoding: Files.read(trace) ?? [], as: UTF8.self).split(separator: "\n")
            .filter { $0.contains("(INJECTED)") }.map(String.init)
    }

    /// The part with both nodes up. Every wait ends when ann does.
    private func live(isLasting: Bool) async throws {
        try commit(ann, "INSERT INTO jobs VALUES('ann-early', 'committed', 1)", ["ann-early"])
        func isOver() -> Bool {
            ann.process?.isRunning != true || isLasting && ann.log.contains(" error ")
        }
        try await settled("ann catches up") { isOver() || areEqual() }
        // An app that writes after ann's end recovers the file; every other time ann has to.
        if ann.process?.isRunning != true, runCount % 2 == 0 { return }
        try commit(
            ann,
            "INSERT INTO jobs VALUES('ann-a', 'committed', 1), ('ann-b', 'committed', 2), "
                + "('base-3', 'committed', 3) ON CONFLICT DO UPDATE SET title = excluded.title",
            ["ann-a", "ann-b", "base-3"])
        try commit(
            bob, "UPDATE jobs SET title = 'committed' WHERE id IN ('base-4', 'base-5')",
            ["base-4", "base-5"])
        try commit(ann, "DELETE FROM jobs WHERE id = 'base-6'", [])
        committed["base-6"] = ""
        try await settled("ann and bob are equal") { isOver() || areEqual() }
    }

    private func commit(_ node: TestNode, _ statement: String, _ keys: [String]) throws {
        try write(node, [statement])
        for key in keys { committed[key] = "committed" }
    }

    private func areEqual() -> Bool {
        guard let one = ann.facts(), let other = bob.facts() else { return false }
        return one["journal"] == 0 && other["journal"] == 0 && one["digest"] == other["digest"]
            && one["vector"]?.numbers == other["vector"]?.numbers
    }

    private func settled(
        _ what: String, at place: SourceLocation = #_sourceLocation, _ condition: () -> Bool
    ) async throws {
        try await flock.until(what, 90, at: place, condition)
    }

    // MARK: Afterwards

    /// Starts ann without faults; both become equal, and nothing is lost or told twice.
    private func recover(_ earlier: DotLedger) async throws {
        var ledger = earlier
        try look(into: &ledger, "after the fault")
        try ann.launch(peers: [bob])
        try await settled("ann and bob are equal after the fault") { areEqual() }
        try await checkEnd(&ledger)
    }

    /// Notes what the dots of both files name, with ann stopped and bob running.
    private func look(into ledger: inout DotLedger, _ when: String) throws {
        let copies = ["ann", "bob"].map { flock.path("\($0)-\(runCount).db") }
        defer { for path in copies { for end in ["", "-wal", "-shm"] { _ = unlink(path + end) } } }
        // Not opened: whoever opens it would recover it in the node's place.
        for end in ["", "-wal"] {
            if let bytes = Files.read(ann.file + end) { Files.write(bytes, to: copies[0] + end) }
        }
        try DotLedger.copy(bob.file, to: copies[1])
        for path in copies { try ledger.add(path, seenAt: "\(path) \(when)") }
    }

    private func checkEnd(_ ledger: inout DotLedger) async throws {
        for node in [ann, bob] {
            let code = try await node.stop()
            flock.expect(code == 0, "\(node.name) ends with \(code)")
        }
        var shown: [[[Value]]] = []
        for node in [ann, bob] {
            let reader = try Connection(path: node.file, mode: .readWrite)
            let answer = try reader.string("PRAGMA integrity_check")
            flock.expect(answer == "ok", "\(node.name) is damaged: \(answer ?? "")")
            shown.append(try reader.query("SELECT * FROM jobs ORDER BY id"))
        }
        flock.expect(shown[0] == shown[1], "equal digests and different rows")
        for node in [ann, bob] {
            try checkContent(of: node)
            try ledger.add(node.file, seenAt: "\(node.name) at the end")
        }
        flock.expect(ledger.contradictions.isEmpty, "\(ledger.contradictions)")
        flock.expect(ledger.count > Self.bulkRows, "only \(ledger.count) dots were seen")
    }

    private func checkContent(of node: TestNode) throws {
        let reader = try Connection(path: node.file, mode: .readWrite)
        for (key, title) in committed {
            let found = try reader.string(
                "SELECT title FROM jobs WHERE id = ?1", [.text(Array(key.utf8))])
            flock.expect(
                found ?? "" == title, "\(node.name) shows \(found ?? "nothing") for \(key)")
        }
        let bulk = try reader.integer("SELECT count(*) FROM jobs WHERE id LIKE 'bulk-%'")
        flock.expect(bulk == Int64(Self.bulkRows), "\(node.name) has \(bulk ?? 0) rows of the bulk")

        let problems = try node.contradictions()
        flock.expect(problems.isEmpty, "\(node.name): \(problems)")
        let replica = try Replica(path: node.file, environment: .system)
        var kept: Set<String> = []
        try replica.forEachKernel { facts in
            for write in facts.kernel.writes {
                for entry in write.values {
                    if case .text(let bytes) = entry.value {
                        kept.insert(String(decoding: bytes, as: UTF8.self))
                    }
                }
            }
        }
        for title in Self.contested.values.joined() {
            flock.expect(kept.contains(title), "\(node.name) has lost '\(title)'")
        }
    }
}

extension TestNode {
    /// What `status` says, asked without a program of its own; nil when nobody answers.
    func facts() -> JSONValue? {
        guard let client = try? ControlClient(home: Home(path: home), timeoutMilliseconds: 500)
        else { return nil }
        return try? client.call(ControlRequest(command: "status"), silenceMilliseconds: 10_000)
    }

    var isAnswering: Bool { facts() != nil }
}

extension JSONValue {
    /// The members of an object whose order means nothing.
    fileprivate var numbers: [String: Int64] {
        var numbers: [String: Int64] = [:]
        for member in object?.members ?? [] { numbers[member.key] = member.value.int }
        return numbers
    }
}
