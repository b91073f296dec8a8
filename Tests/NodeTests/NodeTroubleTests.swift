// A full disk, a disk that cannot be written, a database that an app holds: the node says so, loses
// nothing and goes on when it is over.

import Node
import Testing

@Suite(.fewAtOnce) struct NodeTroubleTests {
    private static let jobs = "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, n INTEGER);"

    private func rows(_ count: Int, name: String, bytes: Int = 20) -> String {
        """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
        INSERT INTO jobs SELECT '\(name)-' || i, hex(randomblob(\(bytes / 2))), i FROM n;
        """
    }

    @Test(.enabled(if: SmallDisk.isAvailable, "needs mount namespaces; the reason is on stderr"))
    func fullDiskIsToldAndSurvived() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        let disk = try await SmallDisk(flock.path("bob"), megabytes: 3, in: flock)
        try await ann.start()
        let bob = try await flock.node("bob", prefix: disk.prefix)
        try await ann.sql(rows(8000, name: "a", bytes: 600))
        try await bob.start(peers: [ann])
        try await flock.until("bob says that its disk is full") {
            let status = try await bob.status()
            return status["state"] == "attention"
                && (status["problems"]?.array ?? []).contains {
                    $0["code"] == "store" && $0["message"]?.string?.contains("full") == true
                }
        }
        // It goes on answering, and does not fill its log.
        try await Task.sleep(for: .seconds(3))
        #expect(try await bob.status()["running"] == true)
        let complaints = bob.log.split(separator: "\n").count { $0.contains(" error ") }
        flock.expect(complaints < 8, "\(complaints) complaints")
        try await bob.expectSound()

        try await disk.remount("size=200m")
        try await bob.shows("SELECT count(*) FROM jobs", "8000")
        try await flock.converge(ann, bob)
        try await flock.until("the trouble is over") {
            try await !(bob.status()["problems"]?.array ?? []).contains { $0["code"] == "store" }
        }
        try await bob.expectSound()
        #expect(try await bob.stop() == 0)
    }

    @Test(.enabled(if: SmallDisk.isAvailable, "needs mount namespaces; the reason is on stderr"))
    func readOnlyDiskIsExplained() async throws {
        let flock = Flock()
        let disk = try await SmallDisk(flock.path("disk"), megabytes: 8, in: flock)
        let file = flock.path("disk/data.db")
        let ann = try await flock.node("ann", database: file, prefix: disk.prefix)
        try await ann.sql(Self.jobs)
        try await ann.ask("track", "jobs")
        try await disk.remount("ro")
        for words in [["run", "--no-discovery", "--listen", "\(flock.host):0"], ["status"]] {
            let answer = try await ann.command(words)
            #expect((1...6).contains(answer.code), "\(answer)")
            #expect(answer.errors.contains(file) && answer.errors.contains("ead-only"), "\(answer)")
        }
        try await disk.remount("rw")
        try await ann.start()
    }

    @Test func lockedDatabaseIsWaitedFor() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        let app = try flock.spawn(
            [
                Flock.python, "-c",
                """
                import sqlite3, sys
                c = sqlite3.connect(sys.argv[1], isolation_level=None)
                c.execute("BEGIN EXCLUSIVE")
                c.execute("INSERT INTO jobs VALUES('app', 'slow', 1)")
                print("locked", flush=True)
                sys.stdin.read()
                c.execute("COMMIT")
                """, ann.file,
            ], name: "app")
        try await app.line(with: "locked")
        try await bob.sql(rows(100, name: "b"))
        // Whoever asks how things stand gets an answer meanwhile.
        #expect(try await ann.status()["running"] == true)
        // Longer than any single wait of the node for the lock.
        try await Task.sleep(for: .seconds(4))
        #expect(try await ann.status()["running"] == true)
        app.endInput()
        try await app.exit()
        try await ann.shows("SELECT count(*) FROM jobs", "101")
        try await bob.shows("SELECT title FROM jobs WHERE id = 'app'", "slow")
        try await flock.converge(nodes)
        flock.expect(!ann.log.contains(" error "), "a busy database is no error")
    }

    @Test func nodeEndsCleanlyWhileAnAppHoldsTheDatabase() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        try await ann.start()
        let app = try flock.spawn(
            [
                Flock.python, "-c",
                """
                import sqlite3, sys
                c = sqlite3.connect(sys.argv[1], isolation_level=None)
                c.execute("INSERT INTO jobs VALUES('x', 'y', 1)")
                c.execute("BEGIN EXCLUSIVE")
                print("locked", flush=True)
                sys.stdin.read()
                c.execute("COMMIT")
                """, ann.file,
            ], name: "app")
        try await app.line(with: "locked")
        let code = try await ann.stop()
        flock.expect(code == 0, "exit code \(code)")
        app.endInput()
        try await app.exit()
        try await ann.start()
        #expect(try await ann.ask("records", "jobs")["counts"]?["saved"] == 1)
    }

    /// What an app meets while its machine catches up. An ordinary busy timeout never fails; short
    /// ones are counted and told.
    @Test func appWritesWhileItsNodeCatchesUp() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.sql(rows(20_000, name: "a", bytes: 60))
        try await bob.sql("CREATE TABLE local(id INTEGER PRIMARY KEY, v)")
        try await ann.start()
        func app(_ timeout: String) throws -> ChildProcess {
            try flock.spawn(
                [
                    Flock.python, "-c",
                    """
                    import select, sqlite3, sys, time
                    c = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
                    # What they wait for shall be the node, and not each other's file syncs.
                    c.execute("PRAGMA synchronous = OFF")
                    done = busy = 0
                    longest = 0.0
                    while not select.select([sys.stdin], [], [], 0.002)[0]:
                        start = time.monotonic()
                        try:
                            c.execute("INSERT INTO local(v) VALUES(1)")
                            done += 1
                        except sqlite3.OperationalError: busy += 1
                        longest = max(longest, time.monotonic() - start)
                    print("timeout", sys.argv[2], "done", done, "busy", busy, "longest ms",
                        round(longest * 1000))
                    """, bob.file, timeout,
                ], name: "app")
        }
        let apps = try ["5", "0.1", "0.02", "0"].map(app)
        try await bob.start(peers: [ann])
        try await bob.shows("SELECT count(*) FROM jobs", "20000")
        try await flock.converge(nodes)
        for app in apps { app.endInput() }
        for app in apps {
            try await app.exit()
            print("catch-up of 20000 rows in this build:", app.output, terminator: "")
        }
        flock.expect(apps[0].output.contains("busy 0 "), apps[0].output + apps[0].errors)
    }

    /// The app and the node share the disk that is full, and the node is killed on it.
    @Test(.enabled(if: SmallDisk.isAvailable, "needs mount namespaces; the reason is on stderr"))
    func diskFilledByAnAppIsSurvived() async throws {
        let flock = Flock()
        let bob = try await flock.nodes("bob", schema: Self.jobs)[0]
        let disk = try await SmallDisk(flock.path("ann"), megabytes: 2, in: flock)
        try await bob.start()
        let ann = try await flock.node("ann", prefix: disk.prefix)
        try await ann.start(peers: [bob])
        try await ann.shows("SELECT count(*) FROM jobs", "0")
        let app = try await flock.run(
            disk.prefix + [
                Flock.python, "-c",
                """
                import sqlite3, sys
                c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
                done = failed = 0
                while failed < 20:
                    try:
                        c.execute("INSERT INTO jobs VALUES(?, ?, 1)", ("app-%d" % done, "x" * 2000))
                        done += 1
                    except sqlite3.OperationalError as error:
                        assert "full" in str(error) or "I/O" in str(error), error
                        failed += 1
                print(done)
                """, ann.file,
            ])
        #expect(app.code == 0, "\(app)")
        let committed = app.output.filter { $0 != "\n" }
        #expect((Int(committed) ?? 0) > 50, "\(app)")
        try await flock.until("ann says that its disk is full") { ann.log.contains(" error ") }
        // Killed and started where nothing can be written: it says so, or waits for better times.
        ann.kill()
        try ann.launch(peers: [bob])
        try await flock.until("ann runs or says why not") {
            let isUp = try await ann.command("status", "--json").json["running"] == true
            return isUp || ann.process?.isRunning == false
        }
        if ann.process?.isRunning == false {
            flock.expect(
                ann.log.contains("full") || ann.log.contains("No space"), "ended in silence")
        }
        try await disk.remount("size=100m")
        if ann.process?.isRunning == false { try await ann.start(peers: [bob]) }
        try await bob.shows("SELECT count(*) FROM jobs", committed)
        try await flock.converge(ann, bob)
        try await ann.expectSound()
        #expect(try await ann.stop() == 0)
    }
}
