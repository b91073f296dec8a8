// Who may do what: readers, the removed, and the table that says so.

import Node
import Testing

@Suite(.fewAtOnce) struct MembersTests {
    private static let jobs = """
        CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title);
        INSERT INTO jobs VALUES('j1','roof');
        """

    @Test func readerGetsEverythingAndIsTakenNothing() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "red", schema: Self.jobs)
        let (ann, bob, red) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await red.start(peers: [ann, bob])
        try await flock.converge(nodes)
        try await ann.ask("members", "role", "red", "reader")
        try await flock.until("red knows what it is") {
            try await red.status()["role"] == "reader"
        }
        try await red.sql(
            "INSERT INTO jobs VALUES('r1','of red'); UPDATE jobs SET title='red' WHERE id='j1'")
        try await flock.until("red is told") { try await red.status()["refused"] == 2 }
        let status = try await red.command("status")
        #expect(status.output.contains("reader") && status.output.contains("refused"))
        let refused = try await red.ask("records", "jobs", "--state", "refused")
        #expect(refused["records"]?.array?.count == 2)

        // Everything else goes on: red gets what others write, and they nothing of red's.
        try await bob.sql("INSERT INTO jobs VALUES('b1','of bob')")
        for node in nodes { try await node.shows("SELECT title FROM jobs WHERE id='b1'", "of bob") }
        #expect(try await ann.ask("wait", "--synced", "--timeout", "60")["synced"] == true)
        #expect(try await ann.sql("SELECT count(*) FROM jobs WHERE title LIKE '%red'") == "0\n")
        #expect(try await bob.sql("SELECT count(*) FROM jobs WHERE title LIKE '%red'") == "0\n")
        // A delete is refused as well, and stays to be seen though its row is gone here.
        try await red.sql("DELETE FROM jobs WHERE id='b1'")
        try await flock.until("red is told of its delete") {
            try await red.status()["refused"] == 3
        }
        let listed = try await red.ask("records", "jobs", "--state", "refused")["records"]?.array
        #expect(
            listed?.count { $0["deleted"] == true } == 1 && listed?.count == 3, "\(listed ?? [])")
        let shown = try await red.command("records", "jobs", "--state", "refused")
        #expect(shown.output.contains("deleted here"), "\(shown)")
        try await bob.shows("SELECT title FROM jobs WHERE id='b1'", "of bob")
        // Nothing says that all is everywhere.
        let waited = try await red.command("wait", "--synced", "--timeout", "60")
        #expect(waited.code == 4 && waited.output.contains("3 changes"), "\(waited)")
        #expect(try await red.command("sync").code == 4)
        // It is no source for others: nothing is said to wait here for one that is away.
        try await bob.stop()
        try await ann.sql("INSERT INTO jobs VALUES('a2','while bob is away')")
        try await red.shows("SELECT title FROM jobs WHERE id='a2'", "while bob is away")
        try await flock.until("red sees that bob is away, and nothing waits for it") {
            let away = try await red.status()["peers"]?.array?.first { $0["name"] == "bob" }
            return away?["behind"] == 0 && away?["state"] != "connected"
        }
        let at = try await ann.status()["peers"]?.array?.first { $0["name"] == "bob" }
        #expect(at?["behind"] == 1, "\(at ?? .null)")
        try await bob.start(peers: [ann])
        // What would stay here alone is not done, or is said.
        try await red.sql("CREATE TABLE own(id TEXT PRIMARY KEY NOT NULL, v)")
        let tracked = try await red.command("track", "own")
        #expect(tracked.code == 0 && tracked.output.contains("reader"), "\(tracked)")
        try await red.ask("untrack", "own")
        // A reader lets nobody in and removes nobody.
        for words in [
            ["invite"], ["members", "remove", "bob"], ["members", "rename", "bob", "x"],
        ] {
            let answer = try await red.command(words)
            #expect(answer.code == 6 && answer.errors.contains("reader"), "\(answer)")
        }
        // With the role of a writer what it wrote is everybody's, as if it had come now.
        try await ann.ask("members", "role", "red", "writer")
        try await ann.shows("SELECT title FROM jobs WHERE id='r1'", "of red")
        try await flock.converge(nodes)
        #expect(try await red.status()["refused"] == 0)
        #expect(try await red.command("wait", "--synced", "--timeout", "60").code == 0)
    }

    /// A conflict is settled by who may write: what a reader settles would be so on its screen alone.
    @Test func readerSettlesNoConflict() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "red", schema: Self.jobs)
        let (ann, red) = (nodes[0], nodes[1])
        try await ann.start()
        try await red.start(peers: [ann])
        try await flock.converge(nodes)
        try await red.stop()
        try await red.sql("UPDATE jobs SET title='one' WHERE id='j1'")
        try await ann.sql("UPDATE jobs SET title='two' WHERE id='j1'")
        try await red.start(peers: [ann])
        try await flock.converge(nodes)
        try await flock.until("red has the conflict") { try await red.status()["conflicts"] == 1 }
        try await ann.ask("members", "role", "red", "reader")
        try await flock.until("red knows what it is") {
            try await red.status()["role"] == "reader"
        }
        let id = try #require(
            try await red.ask("conflicts")["conflicts"]?.array?.first?["id"]?.string)
        for verb in ["restore", "dismiss"] {
            let answer = try await red.command("conflicts", verb, id)
            #expect(answer.code == 6 && answer.errors.contains("reader"), "\(answer)")
        }
        #expect(try await red.status()["conflicts"] == 1)
        try await ann.ask("conflicts", "restore", id)
        try await flock.until("nothing is left of it") { try await red.status()["conflicts"] == 0 }
    }

    /// A removal reaches who was away through any other member, also without the remover.
    @Test func removedMemberGetsNothingMore() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "cid", "mal", schema: Self.jobs)
        let (ann, bob, cid, mal) = (nodes[0], nodes[1], nodes[2], nodes[3])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await cid.start(peers: [ann, bob])
        try await mal.start(peers: [ann, bob, cid])
        try await flock.converge(nodes)
        try await cid.stop()
        let answer = try await ann.ask("members", "remove", "mal")
        #expect(answer["action"] == "removed")
        try await flock.until("bob has cut mal off") {
            let peers = try await bob.status()["peers"]?.array ?? []
            return !peers.contains { $0["name"] == "mal" }
        }
        try await ann.sql("INSERT INTO jobs VALUES('after','secret')")
        try await bob.shows("SELECT title FROM jobs WHERE id='after'", "secret")
        // The remover goes; cid was away, learns it from bob alone, and mal gets nothing of cid either.
        try await ann.stop()
        try await cid.start(peers: [bob])
        try await cid.shows("SELECT title FROM jobs WHERE id='after'", "secret")
        try await mal.sql("INSERT INTO jobs VALUES('m','of mal')")
        try await mal.ask("members", "rename", "ann", "Nobody")
        _ = try await mal.command("sync")
        try await flock.until("mal is refused by all") {
            let peers = try await mal.status()["peers"]?.array ?? []
            return peers.allSatisfy { $0["state"] != "connected" && $0["state"] != "syncing" }
                && peers.contains { $0["last_error"]?.string?.contains("key") == true }
        }
        #expect(try await mal.sql("SELECT count(*) FROM jobs WHERE id='after'") == "0\n")
        let told = try await mal.status()
        #expect(told["state"] == "attention")
        #expect(
            told["problems"]?.array?.contains { $0["code"] == "unknown_key" } == true, "\(told)")
        let why = try await mal.command("why", "bob")
        #expect(why.code == 4 && why.output.contains("new invitation"), "\(why) \(told)")
        let doctor = try await mal.command("doctor")
        #expect(doctor.code == 1 && doctor.output.contains("does not know this node's key"))
        for node in [bob, cid] {
            #expect(try await node.sql("SELECT count(*) FROM jobs WHERE id='m'") == "0\n")
            let members = try await node.ask("members")["members"]?.array ?? []
            #expect(Set(members.compactMap { $0["name"]?.string }) == ["ann", "bob", "cid"])
        }
        // Nobody waits for it any more.
        let records = try await bob.ask("records", "jobs")
        #expect(records["peers"]?.array?.contains { $0["name"] == "mal" } == false)
        // And it comes back by a new invitation only, with a new key.
        let line = try #require(try await bob.ask("invite", "--for", "Mal")["invitation"]?.string)
        let again = flock.add(TestNode("again", in: flock))
        let joined = try await again.command("join", line, "--no-discovery", "--json")
        #expect(joined.code == 0, "\(joined)")
        try await again.start(peers: [bob])
        try await again.shows("SELECT title FROM jobs WHERE id='after'", "secret")
    }

    /// A member that was removed while it was away lets somebody in, and the two are a group of their own:
    /// that is said, though they are in sync with each other.
    @Test func removedMemberThatLetsOthersInIsTold() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "mal", schema: Self.jobs)
        let (ann, mal) = (nodes[0], nodes[1])
        try await ann.start()
        try await mal.start(peers: [ann])
        try await flock.converge(nodes)
        try await mal.stop()
        try await ann.ask("members", "remove", "mal")
        try await mal.start(peers: [ann])
        let nia = try await flock.node("nia", via: mal)
        try await nia.start(peers: [mal])
        try await nia.shows("SELECT count(*) FROM jobs WHERE id='j1'", "1")
        func isTold() async throws -> Bool {
            try await mal.status()["problems"]?.array?.contains { $0["code"] == "unknown_key" }
                == true
        }
        _ = try await mal.command("sync")
        try await flock.until("mal is told beside its own guest") { try await isTold() }
        #expect(try await mal.command("doctor").code == 1)
        let line = try await mal.command("invite")
        #expect(line.code == 0 && line.output.contains("may have been removed"), "\(line)")
    }

    /// Whoever was let in finds a database from before that: it does not found a second group.
    @Test func databaseFromBeforeTheGroupIsTold() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        let old = flock.path("old.db")
        try await ann.ask("backup", old)
        let bob = try await flock.node("bob")
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(ann, bob)
        try await ann.stop()
        for end in ["", "-wal", "-shm"] {
            _ = try await flock.run(["rm", "-f", ann.file + end])
        }
        _ = try await flock.run(["cp", old, ann.file])
        try await ann.start()
        let problems = try await ann.status()["problems"]?.array ?? []
        #expect(problems.contains { $0["code"] == "members" && $0["state"] == "fail" })
        let answer = try await ann.command("invite")
        #expect(answer.code == 6 && answer.errors.contains("from before"), "\(answer)")
        // Another member lets it in again, with its key and all.
        try await ann.stop()
        let line = try #require(try await bob.ask("invite")["invitation"]?.string)
        let joined = try await ann.command("join", line, "--no-discovery", "--json")
        #expect(joined.code == 0, "\(joined)")
        try await ann.start(peers: [bob])
        try await flock.converge(ann, bob)
        #expect(try await ann.ask("members")["members"]?.array?.count == 2)
    }

    @Test func memberIsRenamedForAll() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        try await bob.ask("members", "rename", "bob", "Werkstatt 2")
        try await flock.until("ann calls it so") {
            let peers = try await ann.status()["peers"]?.array ?? []
            return peers.first?["name"] == "Werkstatt 2"
        }
        for (words, text) in [
            (["members", "rename", "nobody", "x"], "no member"),
            (["members", "remove", "ann"], "cannot remove itself"),
            (["members", "rename", "bob"], "needs NAME"),
            (["members", "rename", "Werkstatt 2", "a\u{7}b"], "control characters"),
            (["untrack", "starling_members"], "stays tracked"),
        ] {
            let answer = try await ann.command(words)
            #expect(answer.code != 0 && (answer.errors + answer.output).contains(text), "\(answer)")
        }
        // By the beginning of its node, without a running node.
        try await ann.stop()
        let node = try #require(try await bob.status()["node"]?.string)
        try await ann.ask("members", "remove", String(node.prefix(8)))
        #expect(try await ann.ask("members")["members"]?.array?.count == 1)
    }

    /// The table is the file's: what a program does to it by mistake is told, and removes nobody.
    @Test func tableOfMembersSurvivesAProgram() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        // A row that names a node which is not that of its key names nobody.
        try await ann.sql(
            """
            INSERT INTO starling_members SELECT 'ffffffffffffffffffffffffffffffff', key, 'x', 'writer',
                'x', 0, '' FROM starling_members LIMIT 1
            """)
        try await flock.until("the row is told") {
            let problems = try await ann.status()["problems"]?.array ?? []
            return problems.contains { $0["code"] == "members" }
        }
        #expect(try await ann.ask("members")["members"]?.array?.count == 2)
        try await ann.sql("DELETE FROM starling_members WHERE name = 'x'")
        try await ann.stop()
        try await ann.sql("DROP TABLE starling_members")
        let answer = try await ann.command("run")
        #expect(answer.code == 1 && answer.errors.contains("starling_members"), "\(answer)")
        #expect(try await bob.ask("members")["members"]?.array?.count == 2)
    }

    /// Let in again by who does not know of the removal, with the very key: removal wins, on both sides
    /// and whoever speaks first.
    @Test func removalWinsOverWhoLetsTheSameKeyInMeanwhile() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "mal", schema: Self.jobs)
        let (ann, bob, mal) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(ann, bob)
        let facts = try await bob.ask("members")["members"]?.array ?? []
        let key = try #require(facts.first { $0["name"] == "mal" }?["key"])
        try await bob.stop()
        // Bob is away, believes in mal, and says so.
        try await ann.ask("members", "remove", "mal")
        let added = try bob.answer("members.add", ["key": key, "name": "Mal", "role": "writer"])
        #expect(added["action"] == "added")
        #expect(try await bob.ask("members")["members"]?.array?.count == 3)
        try await bob.start(peers: [ann])
        try await flock.converge(ann, bob)
        for node in [ann, bob] {
            let members = try await node.ask("members")["members"]?.array ?? []
            #expect(Set(members.compactMap { $0["name"]?.string }) == ["ann", "bob"])
        }
        try await mal.start(peers: [ann, bob])
        try await flock.until("both refuse mal") {
            let peers = try await mal.status()["peers"]?.array ?? []
            return peers.count == 2
                && peers.allSatisfy { $0["last_error"]?.string?.contains("key") == true }
        }
        #expect(try await mal.trySQL("SELECT title FROM jobs").output.isEmpty)
        // Nor does the same key come back by hand.
        for node in [ann, bob] {
            #expect(try await node.stop() == 0)
            let error = #expect(throws: ControlError.self) {
                try node.answer("members.add", ["key": key, "name": "Mal", "role": "writer"])
            }
            #expect(error?.message.contains("was removed") == true)
        }
    }
}
