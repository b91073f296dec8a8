// A member whose file went back, or that was evicted, comes back into its group over the relay: real
// processes that meet nobody on a network.

import Node
import Testing

@Suite(.fewAtOnce) struct RelayCopyTests {
    private static let schema = """
        CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, done);
        INSERT INTO jobs VALUES('j1','roof',0),('j2','door',0);
        """

    private func origin(_ node: TestNode) async throws -> String {
        try await node.status()["origin"]?.string ?? ""
    }

    private func stopAll(_ nodes: [TestNode]) async throws {
        for node in nodes { try await node.stop() }
    }

    /// Nodes that were on one network until they had the relay, and start without each other.
    private func parted(
        _ flock: Flock, _ relay: ServedRelay, _ names: [String]
    ) async throws -> [TestNode] {
        let nodes = try await RelayNodeTests.parted(flock, relay, names, schema: Self.schema)
        for node in nodes { try await node.start() }
        try await flock.converge(nodes)
        return nodes
    }

    @Test(.timeLimit(.minutes(20)))
    func aRestoredFileTakesItsCopyFromTheLog() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob", "cid"])
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.stop()
        let old = flock.path("old.db")
        #expect(try await flock.run(["cp", ann.file, old]).code == 0)

        try await ann.start()
        try await ann.sql("UPDATE jobs SET title = 'later' WHERE id = 'j1'")
        try await ann.sql("INSERT INTO jobs VALUES('j3','gate',0)")
        try await bob.sql("DELETE FROM jobs WHERE id = 'j2'")
        try await flock.converge(nodes)
        let before = try await origin(ann)
        try await ann.stop()
        for end in ["-wal", "-shm"] { _ = try await flock.run(["rm", "-f", ann.file + end]) }
        #expect(try await flock.run(["cp", old, ann.file]).code == 0)
        // Written to the old state before the node sees it.
        try await ann.sql("INSERT INTO jobs VALUES('j4','wall',0)")
        try await ann.start()
        try await flock.converge(nodes)
        flock.expect(try await origin(ann) != before, "the origin was kept")
        for node in nodes {
            try await node.shows(
                "SELECT id, title FROM jobs ORDER BY id", "j1|later\nj3|gate\nj4|wall")
            #expect(try await node.conflicts().isEmpty)
            #expect(
                (try await node.status()["peers"]?.array ?? []).allSatisfy {
                    $0["state"] == "offline"
                })
        }
        // It takes part again: what it writes is taken, and it forwards.
        try await ann.sql("INSERT INTO jobs VALUES('j5','path',0)")
        try await bob.shows("SELECT title FROM jobs WHERE id = 'j5'", "path")
        #expect(try await ann.status()["joining"] != true)
        try await stopAll(nodes)
        for node in nodes { try await node.expectSound() }
    }

    /// Evicted while it was away, with a row that the others have deleted and forgotten since.
    @Test(.timeLimit(.minutes(20)))
    func anEvictedMemberTakesItsCopyFromTheLog() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob", "cid"])
        let (ann, bob, cid) = (nodes[0], nodes[1], nodes[2])
        try await ann.stop()
        try await bob.sql("DELETE FROM jobs WHERE id = 'j2'")
        try await ann.sql("INSERT INTO jobs VALUES('own','of the evicted',0)")
        try await bob.ask("members", "evict", "ann")
        try await flock.converge([bob, cid])
        for node in [bob, cid] {
            try await flock.until("\(node.name) has forgotten the deleted row", 240) {
                _ = try await node.command("sync")
                return try await node.sql("SELECT count(*) FROM _starling_deleted") == "0\n"
            }
        }
        let before = try await origin(ann)
        try await ann.start()
        try await flock.converge(nodes)
        flock.expect(try await origin(ann) != before, "the origin was kept")
        for node in nodes { try await node.shows("SELECT id FROM jobs ORDER BY id", "j1\nown") }
        try await stopAll(nodes)
        for node in nodes { try await node.expectSound() }
    }

    /// Killed in the middle of a copy of some size, at both ends in turn: it comes whole all the same.
    @Test(.timeLimit(.minutes(20)))
    func aCopyInTheLogSurvivesKills() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob"])
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.stop()
        let old = flock.path("old.db")
        #expect(try await flock.run(["cp", ann.file, old]).code == 0)
        try await ann.start()
        try await bob.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
            INSERT INTO jobs SELECT 'b' || i, hex(randomblob(200)), i FROM n
            """)
        try await flock.converge(nodes)
        try await ann.stop()
        for end in ["-wal", "-shm"] { _ = try await flock.run(["rm", "-f", ann.file + end]) }
        #expect(try await flock.run(["cp", old, ann.file]).code == 0)
        try await ann.start()
        try await flock.until("ann says that it takes a copy") {
            let facts = try await ann.status()["relay"]
            return facts?["state"] == "copying" && facts?["reason"]?.string != nil
        }
        for round in 0..<3 {
            let seen = try await bob.status()["relay"]?["appended"]?.int ?? 0
            // Who lost its server waits a minute before it asks again; a fast copy may be there by now.
            try await flock.until("bob appends, or all is there", 240) {
                let appended = try await bob.status()["relay"]?["appended"]?.int ?? 0
                let isThere = try await ann.sql("SELECT count(*) FROM jobs") == "20002\n"
                return appended > seen || isThere
            }
            let victim = round % 2 == 0 ? ann : bob
            victim.kill()
            try await victim.start()
        }
        try await flock.converge(nodes, withinSeconds: 400)
        try await ann.shows("SELECT count(*) FROM jobs", "20002")
        try await stopAll(nodes)
        for node in nodes { try await node.expectSound() }
    }
}
