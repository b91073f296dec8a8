// Copies, clones, restored files and second nodes: a number never names two changes, and whoever
// would make it so is told why.

import Node
import Testing

@Suite struct NodeIdentityTests {
    private static let notes = """
        CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, body TEXT);
        INSERT INTO notes VALUES('n1','one'),('n2','two');
        """

    private func origin(_ node: TestNode) async throws -> String {
        try await node.status()["origin"]?.string ?? ""
    }

    private func copy(_ from: String, to: String, in flock: Flock) async throws {
        let answer = try await flock.run(["cp", from, to])
        #expect(answer.code == 0, "\(answer)")
    }

    /// The log of SQLite's file belongs to its content; who restores a file takes it away.
    private func removeLog(of file: String, in flock: Flock) async throws {
        _ = try await flock.run(["rm", "-f", "\(file)-wal", "\(file)-shm"])
    }

    @Test func copiedFileInAnotherHomeIsAnotherReplica() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.notes)[0]
        try await ann.start()
        try await ann.stop()
        let path = flock.path("copy.db")
        try await copy(ann.file, to: path, in: flock)
        let eve = try await flock.node("eve", database: path)
        #expect(try await origin(ann) != origin(eve))

        // Both number on from the same content; nothing is taken for what it is not.
        try await ann.sql("UPDATE notes SET body = 'ann' WHERE id = 'n1'")
        try await eve.sql("UPDATE notes SET body = 'eve' WHERE id = 'n1'")
        try await eve.sql("UPDATE notes SET body = 'zwei' WHERE id = 'n2'")
        try await ann.start()
        try await eve.start(peers: [ann])
        try await flock.converge(ann, eve)
        try await ann.shows("SELECT body FROM notes WHERE id = 'n2'", "zwei")
        let conflicts = try await ann.conflicts()
        #expect(conflicts.count == 1)
        #expect(try await eve.conflicts().map { $0["id"] } == conflicts.map { $0["id"] })
    }

    @Test(arguments: ["same inode", "another file"])
    func restoredFileComesBackUnderANewOrigin(how: String) async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.notes)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        try await ann.stop()
        let old = flock.path("old.db")
        try await copy(ann.file, to: old, in: flock)

        try await ann.start(peers: [bob])
        try await ann.sql("UPDATE notes SET body = 'later' WHERE id = 'n1'")
        try await ann.sql("INSERT INTO notes VALUES('n3','three')")
        try await flock.converge(nodes)
        let before = try await origin(ann)
        try await ann.stop()

        if how == "another file" { _ = try await flock.run(["rm", ann.file]) }
        try await copy(old, to: ann.file, in: flock)
        try await removeLog(of: ann.file, in: flock)
        // Written to the old state before the node sees it.
        try await ann.sql("INSERT INTO notes VALUES('n4','four')")
        try await ann.start(peers: [bob])
        try await flock.converge(nodes)
        flock.expect(try await origin(ann) != before, "the origin was kept")
        for node in nodes {
            try await node.shows(
                "SELECT id, body FROM notes ORDER BY id", "n1|later\nn2|two\nn3|three\nn4|four")
            #expect(try await node.conflicts().isEmpty)
        }
    }

    @Test func backupIsAClone() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.notes)[0]
        try await ann.start()
        let path = flock.path("clone.db")
        // Taken while the node runs and an app writes.
        try await ann.sql("INSERT INTO notes VALUES('n3','three')")
        let facts = try await ann.ask("backup", path)
        #expect(facts["file"]?.string == path)
        #expect(try await ann.command("backup", path).code == 6)
        let eve = try await flock.node("eve", database: path)
        try await eve.expectSound()
        #expect(try await eve.sql("SELECT count(*) FROM notes") == "3\n")
        #expect(try await origin(ann) != origin(eve))
        try await eve.start(peers: [ann])
        try await flock.converge(ann, eve)
        #expect(try await ann.conflicts().isEmpty)
        try await eve.sql("DELETE FROM notes WHERE id = 'n1'")
        try await ann.shows("SELECT count(*) FROM notes", "2")
    }

    @Test func copiedHomeIsRefusedInWordsAndDivergesNowhere() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.notes)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        try await bob.stop()
        try await ann.stop()
        let twin = try await ann.copiedHome(to: "twin")
        #expect(try await origin(twin) != origin(ann))
        try await ann.sql("UPDATE notes SET body = 'ann' WHERE id = 'n1'")
        try await twin.sql("UPDATE notes SET body = 'twin' WHERE id = 'n1'")
        try await ann.start()
        try await twin.start(peers: [ann])
        try await flock.until("the twin tells what is wrong") {
            let peers = try await twin.ask("peers")["peers"]?.array ?? []
            return peers.contains {
                $0["state"] == "refused"
                    && $0["last_error"]?.string?.contains("two running nodes") == true
            }
        }
        // The one that was called says so too.
        let problems = try await ann.status()["problems"]?.array ?? []
        #expect(problems.contains { $0["message"]?.string?.contains("two running nodes") == true })
        #expect(try await twin.status()["state"] == "attention")

        // Whatever a third one hears from both, it comes out even with the one that stays.
        try await bob.start(peers: [ann, twin])
        try await bob.sql("INSERT INTO notes VALUES('n3','bob')")
        try await twin.stop()
        // One that heard of two keeps away from the older process: a start makes it the newer.
        try await ann.stop()
        try await ann.start(peers: [bob])
        try await flock.converge(ann, bob)
        #expect(
            try await ann.sql("SELECT * FROM notes ORDER BY 1")
                == bob.sql("SELECT * FROM notes ORDER BY 1"))
    }

    @Test func secondNodeIsRefused() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.notes)[0]
        try await ann.start()
        let again = try await ann.command("run", "--no-discovery", "--listen", "\(flock.host):0")
        #expect(again.code == 6)
        #expect(again.errors.contains("runs on \(ann.home) already"))
        let other = flock.path("other")
        let second = try await flock.run([
            Flock.program, "--home", other, "init", "--db", ann.file,
        ])
        #expect(second.code == 6)
        #expect(second.errors.contains("another node works on \(ann.file)"))
        #expect(second.errors.contains("starling backup"))
        #expect(!Files.exists("\(other)/identity.json"))
        // The first one is none the worse for it.
        #expect(try await ann.status()["running"] == true)
    }

    /// Reproducer: `starling status` in the moment of the start made `starling run` fail with
    /// exit code 6, as if a node ran already.
    @Test func aCommandAtWorkDelaysTheStartAndDoesNotRefuseIt() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.notes)[0]
        let holder = try flock.spawn(
            [
                Flock.python, "-c",
                """
                import fcntl, sys, time
                f = open(sys.argv[1], "a")
                fcntl.flock(f, fcntl.LOCK_EX)
                print("held", flush=True)
                time.sleep(1.5)
                """, "\(ann.home)/lock",
            ], name: "holder")
        try await holder.line(with: "held")
        try await ann.start()
        #expect(try await ann.stop() == 0)
    }

    @Test(arguments: ["replaced", "removed"])
    func fileThatGoesUnderTheNodeEndsIt(how: String) async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.notes)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        let other = flock.path("other.db")
        try await ann.sql("VACUUM INTO '\(other)'")
        if how == "replaced" {
            _ = try await flock.run(["mv", other, ann.file])
        } else {
            _ = try await flock.run(["rm", ann.file])
        }
        let code = try await #require(ann.process).exit(withinSeconds: 30)
        #expect(code == 1)
        flock.expect(ann.log.contains("was replaced while the node ran"), "no words about it")
        guard how == "replaced" else { return }
        // What took its place joins as what it is: a copy.
        try await removeLog(of: ann.file, in: flock)
        try await ann.start(peers: [bob])
        try await bob.sql("INSERT INTO notes VALUES('n9','nine')")
        try await ann.shows("SELECT body FROM notes WHERE id = 'n9'", "nine")
        try await flock.converge(nodes)
    }
}
