// An app that is killed in the middle of its transaction beside a running node: what it had not
// committed is nowhere, what it had is everywhere, and nobody waits for it.

import Node
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite(.fewAtOnce) struct NodeAppKillTests {
    private static let jobs = "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, run, title);"

    /// One transaction of inserts, an update and a delete. Its cache is so small that pages reach
    /// the WAL long before the commit.
    private static let app = """
        import sqlite3, sys
        file, run = sys.argv[1:3]
        c = sqlite3.connect(file, timeout=20, isolation_level=None)
        c.execute("PRAGMA cache_size = 2")
        c.execute("PRAGMA synchronous = FULL")
        c.execute("BEGIN IMMEDIATE")
        for i in range(60):
            c.execute("INSERT INTO jobs VALUES(?, ?, ?)", ("%s-%d" % (run, i), run, "x" * 200))
        c.execute("UPDATE jobs SET title = ? WHERE id = 'kept'", (run,))
        c.execute("DELETE FROM jobs WHERE id = ?", ("old-" + run,))
        if len(sys.argv) > 3:
            print("in the middle", flush=True)
            sys.stdin.read()
        c.execute("COMMIT")
        """

    /// At every call that writes in the long mode, at some in CI.
    @Test(
        .enabled(if: Strace.isAvailable, "needs strace; the reason is on stderr"),
        .timeLimit(.minutes(FaultMode.isFull ? 60 : 10)))
    func killedAtAnyCallOfItsTransaction() async throws {
        let seed = FaultMode.seed
        var random = SeededGenerator(seed: seed)
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.sql("INSERT INTO jobs VALUES('kept', '', '')")
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)

        func run(_ name: String, _ tracer: [String]) async throws -> (code: Int32, trace: String) {
            try await ann.sql("INSERT INTO jobs VALUES('old-\(name)', '', '')")
            let child = try flock.spawn(
                tracer + [Flock.python, "-c", Self.app, ann.file, name], name: "app")
            let code = try await child.exit()
            return (code, child.errors)
        }
        let counting = flock.path("trace")
        let plain = try await run("plain", Strace.counting(trace: counting))
        flock.expect(plain.code == 0, plain.trace)
        let trace = String(decoding: Files.read(counting) ?? [], as: UTF8.self)
        let all = try FaultPoint.all(in: trace, home: ann.file).kills
        #expect(all.count > 20, "the trace shows too little:\n\(trace.prefix(4000))")
        let points = FaultMode.isFull ? all : FaultPoint.sample(all, 12, &random)
        var committed = 0
        for (index, point) in points.enumerated() {
            let name = "run\(index)"
            let result = try await run(name, point.tracer(trace: flock.path("trace-\(index)")))
            // The node's own writes move the app's: some points lie behind its end.
            #expect([0, 128 + SIGKILL].contains(result.code), "\(point): \(result)")
            try await flock.converge(nodes)
            let facts = """
                SELECT (SELECT count(*) FROM jobs WHERE run = '\(name)'),
                    (SELECT title = '\(name)' FROM jobs WHERE id = 'kept'),
                    (SELECT count(*) = 0 FROM jobs WHERE id = 'old-\(name)')
                """
            let shown = try await ann.sql(facts)
            flock.expect(
                shown == "60|1|1\n" || shown == "0|0|0\n" && result.code != 0,
                "\(point), seed \(seed): half a transaction: \(shown)")
            if shown == "60|1|1\n" { committed += 1 }
            #expect(try await bob.sql(facts) == shown, "\(point), seed \(seed)")
            try await ann.expectSound()
        }
        print(
            "app killed, seed \(seed): \(points.count) of \(all.count) points, \(committed) committed"
        )
        #expect(committed < points.count, "no fault was met")
        for node in nodes { #expect(try await node.stop() == 0) }
        try await flock.expectProof(of: nodes)
    }

    /// While it holds the write lock, rows from a peer wait; with its death they come in.
    @Test func killedWhileItHoldsTheLock() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.sql("INSERT INTO jobs VALUES('kept', '', 'first')")
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        for round in 1...5 {
            let app = try flock.spawn(
                [Flock.python, "-c", Self.app, ann.file, "round\(round)", "wait"], name: "app")
            try await app.line(with: "in the middle")
            try await bob.sql("INSERT INTO jobs VALUES('bob-\(round)', '', '')")
            app.kill()
            try await ann.shows("SELECT count(*) FROM jobs WHERE id = 'bob-\(round)'", "1")
            try await flock.converge(nodes)
        }
        for node in nodes {
            let shown = try await node.sql("SELECT count(*), max(title) FROM jobs WHERE run = ''")
            #expect(shown == "6|first\n")
            #expect(try await node.sql("SELECT count(*) FROM jobs") == "6\n")
            #expect(try await node.stop() == 0)
        }
        try await flock.expectProof(of: nodes)
    }
}
