// A node that is stopped without being ended, as a machine that sleeps or hangs: the others say that
// they have lost it, and it goes on where it was.

import Node
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite(.fewAtOnce) struct NodeStopTests {
    /// SIGSTOP in the middle of a catch-up: for a minute in the long mode, in CI until the other
    /// has missed it (30 s).
    @Test(.timeLimit(.minutes(10)), arguments: FaultRig.Role.allCases)
    func stoppedNodeIsMissedAndGoesOn(role: FaultRig.Role) async throws {
        let flock = Flock()
        let nodes = try await flock.nodes(
            "ann", "bob", schema: "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, n);")
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
            INSERT INTO jobs SELECT 'a-' || i, hex(randomblob(50)), i FROM n;
            """)
        try await ann.start()
        try await bob.start(peers: [ann])
        let (stopped, other) = role == .sender ? (ann, bob) : (bob, ann)
        try await flock.until("the first rows are there") {
            try await bob.trySQL("SELECT 1 FROM jobs LIMIT 1").output == "1\n"
        }
        let began = ContinuousClock.now
        stopped.process?.signal(SIGSTOP)
        let had = try await bob.sql("SELECT count(*) FROM jobs").dropLast()
        try await flock.until("\(other.name) says that it has lost \(stopped.name)", 120) {
            other.log.contains(" lost ") && linked(other).isEmpty
        }
        let missed = ContinuousClock.now - began
        try await other.sql("INSERT INTO jobs VALUES('meanwhile', 'committed', 1)")
        if FaultMode.isFull {
            try await Task.sleep(until: began + .seconds(60))
        }
        #expect(linked(other).isEmpty)
        stopped.process?.signal(SIGCONT)

        try await flock.until("both are connected again") {
            linked(ann).count == 1 && linked(bob).count == 1
        }
        try await flock.converge(nodes)
        try await stopped.shows("SELECT title FROM jobs WHERE id = 'meanwhile'", "committed")
        #expect(try await bob.sql("SELECT count(*) FROM jobs") == "40001\n")
        print("stopped \(role) after \(had) rows: missed after \(missed)")
        for node in nodes { #expect(try await node.stop() == 0) }
        try await flock.expectProof(of: nodes)
    }

    private func linked(_ node: TestNode) -> [JSONValue] {
        (node.facts()?["peers"]?.array ?? []).filter {
            $0["state"] == "connected" || $0["state"] == "syncing"
        }
    }
}
