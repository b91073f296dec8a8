// Two and three real nodes over loopback, and foreign programs that write the tables: what one
// machine writes, all show.

import Node
import Testing

@Suite(.fewAtOnce) struct NodePairTests {
    private static let jobs = """
        CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER DEFAULT 0, note);
        INSERT INTO jobs VALUES('j1','roof',0,NULL),('j2','door',0,x'00ff');
        """

    @Test func freshNodeGetsTablesAndEveryChange() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.sql("CREATE INDEX by_title ON jobs(title)")
        try await ann.start()
        try await bob.start(peers: [ann])
        try await bob.shows(
            "SELECT id, title, done, quote(note) FROM jobs ORDER BY id",
            "j1|roof|0|NULL\nj2|door|0|X'00FF'")
        try await bob.shows("SELECT count(*) FROM sqlite_master WHERE name = 'by_title'", "1")

        // Both directions, by two different clients.
        try await bob.sql("INSERT INTO jobs(id, title) VALUES('j3','wall')")
        try await ann.shows("SELECT title, done FROM jobs WHERE id = 'j3'", "wall|0")
        try await flock.python(
            """
            import sqlite3, sys
            c = sqlite3.connect(sys.argv[1])
            c.execute("UPDATE jobs SET done = 1, title = 'gate' WHERE id = 'j2'")
            c.execute("DELETE FROM jobs WHERE id = 'j1'")
            c.execute("INSERT OR REPLACE INTO jobs VALUES('j4', ?, 1.5, ?)",
                (chr(0xe4) + "\\x00b", 2**63 - 1))
            c.commit()
            """, [ann.file])
        let all = "SELECT id, hex(title), typeof(done), done, quote(note) FROM jobs ORDER BY id"
        try await bob.shows(all, try await ann.sql(all).dropLast().description)
        try await bob.shows("SELECT count(*) FROM jobs WHERE id = 'j1'", "0")
        try await flock.converge(ann, bob)

        let waited = try await ann.ask("wait", "--synced", "--timeout", "20")
        #expect(waited["synced"] == true)
        #expect(waited["peers"] == 1)
        for node in [ann, bob] {
            let records = try await node.ask("records", "jobs")
            #expect(records["counts"]?["synced"] == 3)
            #expect(try await node.status()["state"] == "synced")
            #expect(try await node.stop() == 0)
        }
        let digests = [try await ann.ask("digest"), try await bob.ask("digest")]
        #expect(digests[0] == digests[1])
    }

    @Test func waitTellsWithItsExitCode() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        #expect(try await ann.command("wait", "--synced", "--timeout", "1").code == 3)
        try await ann.start()
        #expect(try await ann.command("wait", "--synced", "--timeout", "0.2").code == 4)
        try await bob.start(peers: [ann])
        // The table comes with the copy.
        try await bob.shows("SELECT count(*) FROM jobs", "2")
        try await bob.sql(
            "BEGIN; "
                + (0..<500).map {
                    "INSERT INTO jobs(id) VALUES('k\($0)');"
                }.joined() + "COMMIT;")
        #expect(try await bob.command("wait", "--synced", "--timeout", "30").code == 0)
        #expect(try await ann.sql("SELECT count(*) FROM jobs") == "502\n")
        try await ann.stop()
        try await flock.until("bob notices") {
            try await bob.command("wait", "--synced", "--timeout", "0.1").code == 4
        }
        try await bob.stop()
    }

    @Test func editsOffTheNetKeepBothValuesAndSettleEverywhere() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "cid", schema: Self.jobs)
        let (ann, bob, cid) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await cid.start(peers: [ann, bob])
        try await flock.converge(nodes)
        for node in nodes { try await node.stop() }

        // j1: one cell on all three. j2: different columns. j3: one key, born twice.
        try await ann.sql("UPDATE jobs SET title = 'ann' WHERE id = 'j1'")
        try await bob.sql("UPDATE jobs SET title = 'bob' WHERE id = 'j1'")
        try await cid.sql("UPDATE jobs SET title = 'cid' WHERE id = 'j1'")
        try await ann.sql("UPDATE jobs SET title = 'both' WHERE id = 'j2'")
        try await bob.sql("UPDATE jobs SET done = 7 WHERE id = 'j2'")
        try await ann.sql("INSERT INTO jobs VALUES('j3','from ann',1,1)")
        try await bob.sql("INSERT INTO jobs VALUES('j3','from bob',2,2)")

        try await ann.start()
        try await bob.start(peers: [ann])
        try await cid.start(peers: [ann, bob])
        try await flock.converge(nodes)
        for node in nodes {
            try await node.shows("SELECT title, done FROM jobs WHERE id = 'j2'", "both|7")
        }
        let lists = [
            try await ann.conflicts(), try await bob.conflicts(), try await cid.conflicts(),
        ]
        let ids = lists.map { $0.compactMap { $0["id"]?.string }.sorted() }
        flock.expect(ids[0].count == 2 && ids[0] == ids[1] && ids[1] == ids[2], "\(lists)")
        let cell = try #require(lists[0].first { $0["column"] == "title" })
        var values = (cell["siblings"]?.array ?? []).compactMap { $0["value"]?.string }
        values.append(cell["shown"]?["value"]?.string ?? "")
        #expect(values.sorted() == ["ann", "bob", "cid"])

        // The number behind the dash is a person's: any number is answered.
        for number in ["0", "9", "-9223372036854775808", "9223372036854775808"] {
            let answer = try await cid.command(
                "conflicts", "show", "\(ids[0][0])-\(number)", "--json")
            #expect(answer.code == 1, "\(number): \(answer)")
        }

        // Restored on one node by the sibling's own id, it is settled on all.
        let sibling = try #require(cell["siblings"]?.array?.first)
        let restored = try #require(sibling["value"]?.string)
        try await cid.ask("conflicts", "restore", try #require(sibling["id"]?.string))
        for node in nodes {
            try await node.shows("SELECT title FROM jobs WHERE id = 'j1'", restored)
        }
        let row = try #require(lists[0].first { $0["kind"] == "row" })
        try await bob.ask("conflicts", "dismiss", try #require(row["id"]?.string))
        try await flock.until("no conflict is left") {
            for node in nodes where try await !node.conflicts().isEmpty { return false }
            return true
        }
        try await flock.converge(nodes)
        let shown = try await ann.sql("SELECT * FROM jobs ORDER BY id")
        for node in nodes {
            #expect(try await node.sql("SELECT * FROM jobs ORDER BY id") == shown)
            try await node.expectSound()
            #expect(try await node.stop() == 0)
        }
    }

    @Test func addedColumnTravels() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        try await bob.sql("ALTER TABLE jobs ADD COLUMN price REAL DEFAULT 2.5")
        try await bob.sql("UPDATE jobs SET price = 9.75 WHERE id = 'j1'")
        try await ann.shows("SELECT id, price FROM jobs ORDER BY id", "j1|9.75\nj2|2.5")
        // And back, into the new column.
        try await ann.sql("UPDATE jobs SET price = 0 WHERE id = 'j2'")
        try await bob.shows("SELECT id, price FROM jobs ORDER BY id", "j1|9.75\nj2|0.0")
        try await flock.converge(nodes)
    }

    @Test func changesAreForwardedAlongAChain() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        let bob = try await flock.node("bob")
        // Bob lets cid in before he knows more than ann himself.
        let cid = try await flock.node("cid", via: bob)
        let nodes = [ann, bob, cid]
        try await bob.start()
        // Nobody tells ann and cid of each other.
        try await ann.start(peers: [bob])
        try await cid.start(peers: [bob])
        try await cid.shows("SELECT title FROM jobs WHERE id = 'j1'", "roof")
        try await cid.sql("UPDATE jobs SET title = 'far' WHERE id = 'j1'")
        try await ann.shows("SELECT title FROM jobs WHERE id = 'j1'", "far")
        try await flock.converge(nodes)

        // What came while the middle was away goes on when it is back.
        try await bob.stop()
        try await ann.sql("INSERT INTO jobs(id) VALUES('a')")
        try await cid.sql("INSERT INTO jobs(id) VALUES('c')")
        try await bob.start(peers: [ann, cid])
        try await flock.converge(nodes)
        for node in nodes {
            try await node.shows("SELECT count(*) FROM jobs", "4")
        }
    }
}
