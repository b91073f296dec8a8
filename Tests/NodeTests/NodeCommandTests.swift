// The command line as a new user meets it: every command with and without a running node.

import Node
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite(.fewAtOnce) struct NodeCommandTests {
    private static let jobs = """
        CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title);
        INSERT INTO jobs VALUES('j1','roof'),('j2','door');
        """
    private static let all = [
        "init", "track", "untrack", "run", "status", "peers", "why", "sync", "wait", "records",
        "conflicts", "digest", "watch", "doctor", "backup", "demo", "bench",
    ]

    @Test func everyCommandHasHelp() async throws {
        let flock = Flock()
        for command in Self.all {
            let answer = try await flock.run([Flock.program, command, "--help"])
            #expect(answer.code == 0 && answer.output.contains("starling \(command)"), "\(answer)")
        }
        for verb in ["show", "restore", "dismiss"] {
            let answer = try await flock.run([Flock.program, "conflicts", verb, "--help"])
            #expect(answer.code == 0, "\(answer)")
        }
        #expect(try await flock.run([Flock.program, "stauts"]).errors.contains("status"))
        let nowhere = try await flock.run([
            Flock.program, "--home", flock.path("none"), "status", "--json",
        ])
        #expect(nowhere.code == 5 && nowhere.json["error"]?["code"] != nil, "\(nowhere)")
    }

    /// Exit codes of every command: without a running node, and with one.
    private static let codes: [(words: [String], stopped: Int32, running: Int32)] = [
        (["status"], 0, 0), (["peers"], 0, 0), (["why", "nobody"], 3, 1), (["sync"], 3, 4),
        (["wait", "--synced", "--timeout", "0.1"], 3, 4), (["records", "jobs"], 0, 0),
        (["records", "jobs", "--state", "saved"], 0, 0), (["records", "nothing"], 1, 1),
        (["records", "jobs", "--state", "odd"], 2, 2), (["conflicts"], 0, 0),
        (["conflicts", "show", "ff"], 1, 1), (["conflicts", "restore", "ff"], 1, 1),
        (["conflicts", "dismiss", "ff"], 1, 1), (["digest"], 0, 0), (["doctor"], 0, 0),
        (["track", "jobs"], 0, 0), (["track"], 2, 2), (["untrack", "nothing"], 1, 1),
        (["init"], 6, 6),
    ]

    @Test func everyCommandAnswersWithAndWithoutANode() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        for (words, stopped, _) in Self.codes { try await check(ann, words, stopped) }
        try await ann.start()
        for (words, _, running) in Self.codes { try await check(ann, words, running) }
        let copy = flock.path("copy.db")
        try await check(ann, ["backup", copy], 0)
        try await check(ann, ["untrack", "jobs"], 0)
        #expect(try await ann.status()["tables"] == [])
        #expect(try await ann.sql("SELECT count(*) FROM jobs") == "2\n")
        try await check(ann, ["track", "jobs"], 0)
        #expect(try await ann.stop() == 0)
    }

    private func check(_ node: TestNode, _ words: [String], _ code: Int32) async throws {
        let forPeople =
            ["backup", "untrack"].contains(words.first) ? nil : try await node.command(words)
        let answer = try await node.command(words + ["--json"])
        #expect(answer.code == code, "\(answer)")
        #expect(answer.json.object != nil, "no object: \(answer)")
        guard let forPeople else { return }
        #expect(forPeople.code == code, "\(forPeople)")
        if code != 0, words.first != "sync", words.first != "wait" {
            #expect(!(forPeople.errors + forPeople.output).isEmpty)
        }
    }

    @Test func watchTellsChangesAndGoesOnWhereItStopped() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        let watch = try flock.spawn(
            [Flock.program, "--home", bob.home, "watch", "jobs"], name: "watch")
        // It tells nothing of what was before it.
        try await flock.until("the watch stands") {
            try await ann.sql("INSERT OR IGNORE INTO jobs VALUES('probe', random())")
            try await ann.sql("UPDATE jobs SET title = random() WHERE id = 'probe'")
            return watch.output.contains("probe")
        }
        try await ann.sql("INSERT INTO jobs VALUES('j3','wall')")
        let inserted = try await watch.line(with: "\"j3\"").text
        let event = try JSONValue(parsing: Array(inserted.utf8))
        #expect(event["operation"] == "insert")
        #expect(event["row"]?["title"] == "wall")
        let since = try #require(event["since"]?.string)
        watch.signal(SIGINT)
        #expect(try await watch.exit() == 130)

        try await ann.sql("DELETE FROM jobs WHERE id = 'j1'")
        try await bob.sql("UPDATE jobs SET title = 'gate' WHERE id = 'j2'")
        try await flock.converge(nodes)
        let more = try flock.spawn(
            [Flock.program, "--home", bob.home, "watch", "jobs", "--since", since], name: "watch")
        let deleted = try await more.line(with: "\"j1\"").text
        #expect(deleted.contains("\"delete\""))
        try await more.line(with: "gate")
        #expect(!more.output.contains("\"j3\""))
        // The node's end is told to those who watch.
        #expect(try await bob.stop() == 0)
        try await more.exit()

        let offline = try await bob.command("watch", "jobs", "--since", since)
        #expect(offline.code == 0 && offline.output.contains("gate"), "\(offline)")
        #expect(try await bob.command("watch", "--since", "nonsense").code == 2)
    }

    @Test func recordsTellWhereEachRowIs() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        func counts(_ node: TestNode) async throws -> [String: Int64] {
            var counts: [String: Int64] = [:]
            let facts = try await node.ask("records", "jobs")["counts"]?.object
            for member in facts?.members ?? [] where member.value != 0 {
                counts[member.key] = member.value.int
            }
            return counts
        }
        #expect(try await counts(ann) == ["saved": 2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        try await flock.until("synced") { try await counts(ann) == ["synced": 2] }
        try await bob.stop()
        try await ann.sql("INSERT INTO jobs VALUES('j3','wall')")
        try await ann.sql("UPDATE jobs SET title = 'a' WHERE id = 'j1'")
        try await bob.sql("UPDATE jobs SET title = 'b' WHERE id = 'j1'")
        let found = try await counts(ann)
        flock.expect(found == ["synced": 1, "saved": 2], "\(found)")
        let saved = try await ann.ask("records", "jobs", "--state", "saved")
        #expect(saved["records"]?.array?.count == 2)
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        try await flock.until("all states") {
            try await counts(ann) == ["synced": 2, "conflicted": 1]
        }
    }

    /// Reproducer: what exceeded the queue of the control socket ended `watch` and `records` with
    /// "the node stopped", and the node held all of it in memory.
    @Test func watchOfALargeTableComesWhole() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        try await ann.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            INSERT INTO jobs SELECT 'k' || i, printf('%.*c', 30000, 'x') FROM n;
            """)
        try await ann.start()
        let watch = try flock.spawn(
            [
                "sh", "-c",
                "'\(Flock.program)' --home '\(ann.home)' watch --since 0 | grep -c -m 3002 ''",
            ], name: "watch")
        try await watch.line(with: "3002")
        // Others are served meanwhile and afterwards.
        #expect(try await ann.ask("records", "jobs")["records"]?.array?.count == 3002)
        #expect(try await ann.stop() == 0)
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
    func signalEndsTheNodeCleanly(number: Int32) async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        // Also one that nobody listens on, so that a dial is under way or waits.
        let waiting = try flock.spawn(
            [Flock.program, "--home", ann.home, "wait", "--synced"], name: "wait")
        let watch = try flock.spawn([Flock.program, "--home", ann.home, "watch"], name: "watch")
        try await flock.converge(nodes)
        let clock = ContinuousClock()
        let started = clock.now
        ann.process?.signal(number)
        #expect(try await ann.process?.exit() == 0)
        flock.expect(clock.now - started < .seconds(10), "it took \(clock.now - started)")
        #expect(!Files.exists("\(ann.home)/control.sock"))
        try await waiting.exit()
        try await watch.exit()
        // Clean: the next run keeps its origin.
        let before = try await ann.status()["origin"]
        try await ann.start(peers: [bob])
        #expect(try await ann.status()["origin"] == before)
        try await flock.converge(nodes)
    }

    /// The real one, on few rows: each figure is there and was measured.
    @Test func benchMeasuresWhatItNames() async throws {
        let flock = Flock()
        let answer = try await flock.run([Flock.program, "bench", "--rows", "1000", "--json"])
        #expect(answer.code == 0, "\(answer)")
        let results = answer.json["results"]?.array ?? []
        let ids = results.compactMap { $0["id"]?.string }
        for id in [
            "plain_insert", "insert_captured", "catch_up", "latency", "tls_throughput",
            "tls_handshake",
        ] {
            #expect(ids.contains(id), "\(ids)")
        }
        for result in results {
            let value = result["value"]
            let figures = [value, value?["p50"], value?["tcp"], value?["tls"]].compactMap {
                switch $0 {
                case .double(let figure)?: figure
                case .int(let figure)?: Double(figure)
                default: nil
                }
            }
            // So few rows take so little time that a difference of two can be below nothing.
            #expect(!figures.isEmpty && figures.allSatisfy { $0 != 0 && $0.isFinite }, "\(result)")
        }
    }
}
