// The program whole: who is asked, what is printed, which code is returned.

import Node
import TestKit
import Testing

@testable import StarlingCommand

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite struct CommandLineApplicationTests {
    private let folder = TemporaryDirectory()
    private let home: Home
    private let harness: CommandLineHarness

    init() throws {
        home = Home(path: folder.file("home"))
        _ = try Home.create(home, database: nil, name: "Attic", group: nil, nowMilliseconds: 0)
        harness = CommandLineHarness(home: home)
    }

    // MARK: Who is asked

    @Test(arguments: [
        (["status"], "status", "{}"), (["peers"], "peers", "{}"), (["digest"], "digest", "{}"),
        (["doctor"], "doctor", "{}"), (["conflicts"], "conflicts", "{}"),
        (["conflicts", "show", "7"], "conflicts.show", "{\"id\":\"7\"}"),
        (["conflicts", "restore", "7"], "conflicts.restore", "{\"id\":\"7\"}"),
        (["conflicts", "dismiss", "7"], "conflicts.dismiss", "{\"id\":\"7\"}"),
        (["records", "t"], "records", "{\"table\":\"t\",\"state\":null}"),
        (
            ["records", "t", "--state", "parked"], "records",
            "{\"table\":\"t\",\"state\":\"parked\"}"
        ),
        (
            ["track", "a", "b"], "track",
            "{\"tables\":[\"a\",\"b\"],\"all\":false,\"delete_wins\":false}"
        ),
        (
            ["track", "--all", "--delete-wins"], "track",
            "{\"tables\":[],\"all\":true,\"delete_wins\":true}"
        ),
        (["untrack", "a"], "untrack", "{\"tables\":[\"a\"],\"all\":false}"),
        (
            ["watch", "a", "--since", "5"], "watch", "{\"tables\":[\"a\"],\"since\":\"5\"}"
        ),
        (["backup", "/b/./c"], "backup", "{\"file\":\"/b/c\"}"),
    ])
    func withoutANodeTheFileAnswers(words: [String], command: String, arguments: String) throws {
        harness.offline = { _ in [.result([:])] }
        #expect(harness.starling(words).code == .success)
        let request = try #require(harness.requests.first)
        #expect(request.command == command)
        #expect(JSONValue.object(request.arguments).text == arguments)
    }

    @Test(arguments: [["sync"], ["wait"], ["wait", "--synced"], ["why", "Kitchen"]])
    func whatNeedsTheNodeSaysSo(words: [String]) {
        let run = harness.starling(words)
        #expect(run.code == .notRunning)
        #expect(run.err == "starling: the node is not running: start it with `starling run`\n")
        #expect(run.out.isEmpty && harness.requests.isEmpty)
        let json = harness.starling(words + ["--json"])
        #expect(json.out.hasPrefix("{\"error\":{\"code\":\"not_running\",\"message\":\""))
    }

    @Test func theRunningNodeIsAskedFirst() throws {
        let server = try ControlTestServer(home: home) { request in
            .replies([.result(["digest": .string("of \(request.command)")])])
        }
        defer { server.stop() }
        #expect(harness.starling("digest").out == "of digest\n")
        #expect(harness.requests.isEmpty)
    }

    @Test func aProcessThatHoldsTheHomeSilentlyIsNamed() throws {
        let lock = try home.lock(pid: getpid())
        let run = harness.starling("status")
        #expect(run.code == .refused)
        #expect(run.err.contains("process \(getpid()) holds \(home.path)"))
        #expect(harness.requests.isEmpty)
        withExtendedLifetime(lock) {}
    }

    // MARK: What is returned

    @Test(arguments: [
        ("usage", ExitCode.usage), ("not_running", .notRunning), ("timeout", .notSynced),
        ("not_synced", .notSynced), ("bad_home", .configuration),
        ("bad_configuration", .configuration), ("refused", .refused), ("not_found", .failure),
        ("of_a_later_version", .failure),
    ])
    func errorsBecomeExitCodes(code: String, exit: ExitCode) {
        harness.offline = { _ in [.error(ControlError(code: code, message: "words"))] }
        let run = harness.starling("digest", "--json")
        #expect(run.code == exit)
        #expect(run.err == "starling: words\n")
        #expect(run.out == "{\"error\":{\"code\":\"\(code)\",\"message\":\"words\"}}\n")
    }

    @Test func aMissingHomeIsNamedByEveryCommand() {
        for command in ["status", "sync", "run", "digest"] {
            let run = harness.starling(command, "--home", folder.file("none"))
            #expect(run.code == .configuration, "\(command)")
            #expect(run.err.contains("starling init"))
        }
        let doctor = harness.starling("doctor", "--home", folder.file("none"))
        #expect(doctor.code == .configuration)
        #expect(doctor.out.hasPrefix("fail  home: there is no node in"))
    }

    @Test func aHandlerThatForgetsItsAnswerIsAnError() {
        harness.offline = { _ in [.event(1)] }
        #expect(harness.starling("digest").code == .failure)
    }

    @Test func waitTellsWhetherItIsSynced() throws {
        let server = try ControlTestServer(home: home) { request in
            let isLong = request.arguments["timeout_ms"] == 60_000
            let peers: JSONValue = request.arguments["timeout_ms"] == 1_000 ? 0 : 1
            return .replies([
                .event(["progress": ["what": "Sending", "done": 1, "total": 2]]),
                .result(
                    isLong
                        ? ["synced": true, "waited_ms": 5, "peers": 2, "behind": 0, "ahead": 0]
                        : [
                            "synced": false, "waited_ms": 1500, "peers": peers, "behind": 3,
                            "ahead": 0,
                        ]),
            ])
        }
        defer { server.stop() }
        let good = harness.starling("wait", "--synced", "--timeout", "60")
        #expect(good.code == .success && good.out == "In sync with 2 connected peers.\n")
        let bad = harness.starling("wait", "--timeout", "1.5")
        #expect(bad.code == .notSynced)
        #expect(
            bad.out == "Not in sync after 1 s with 1 connected peer: 3 changes to send, 0 to "
                + "receive.\n")
        let alone = harness.starling("wait", "--timeout", "1")
        #expect(alone.code == .notSynced)
        #expect(
            alone.out == "Not in sync after 1 s: no peer is connected; see starling status\n")
    }

    @Test func aReaderThatGoesAwayEndsItQuietly() {
        var sent = 0
        harness.offline = { _ in
            (0..<100).map { _ in .event(["key": "x"]) } + [.result([:])]
        }
        harness.writesMax = 3
        let run = harness.starling("watch")
        #expect(run.code == .brokenPipe)
        #expect(run.err.isEmpty)
        sent = run.out.split(separator: "\n").count
        #expect(sent == 3)
    }

    // MARK: What is printed

    @Test func recordsStreamAndAreOneObjectForScripts() throws {
        harness.offline = { _ in
            [
                .event(["peers": [["node": "k1", "name": "Kitchen"], ["node": "s1", "name": ""]]]),
                .event(["records": [["key": ["id": 1], "state": "synced", "peers": ["k1", "s1"]]]]),
                .event(["records": [["key": ["a": "x", "b": 2], "state": "saved", "peers": []]]]),
                .result(["table": "t", "counts": ["saved": 1, "pending": 0, "synced": 1]]),
            ]
        }
        #expect(
            harness.starling("records", "t").out == """
                synced      id=1  on Kitchen and s1
                saved       a="x" b=2
                2 rows of t: 1 saved, 1 synced

                """)
        let json = try JSONValue(parsing: harness.starling("records", "t", "--json").out)
        #expect(json.object?.keys == ["peers", "records", "table", "counts"])
        #expect(json["records"]?.array?.count == 2)
        harness.offline = { _ in [.result(["table": "t", "counts": [:]])] }
        #expect(
            harness.starling("records", "t", "--json").out
                == "{\"peers\":[],\"records\":[],\"table\":\"t\",\"counts\":{}}\n")
    }

    @Test func conflictsAreShownWithWhatIsKept() {
        harness.offline = { _ in
            [
                .result([
                    "now_ms": 600_000,
                    "conflicts": [
                        [
                            "id": "c1", "table": "jobs", "key": ["id": 12], "kind": "cell",
                            "column": "title",
                            "shown": ["value": "Door", "name": "Attic", "time_ms": 540_000],
                            "siblings": [
                                ["id": "c1.1", "value": "Gate", "name": "Shed", "time_ms": 300_000]
                            ],
                        ],
                        [
                            "id": "c2", "table": "jobs", "key": ["id": 13], "kind": "delete",
                            "column": .null, "shown": .null,
                            "siblings": [["id": "c2.1", "value": ["title": "a", "hours": 1.5]]],
                        ],
                    ],
                ])
            ]
        }
        #expect(
            harness.starling("conflicts").out == """
                c1  jobs id=12  column title
                    shown  "Door"  Attic, 1 min ago
                    kept   "Gate"  Shed, 5 min ago
                c2  jobs id=13  deleted and changed at the same time
                    shown  no row
                    kept   title="a" hours=1.5

                starling conflicts restore ID   shows what was kept, on all nodes
                starling conflicts dismiss ID   keeps what is shown, on all nodes

                """)
    }

    @Test func trackPrintsWhatHasToBeKnown() {
        harness.offline = { _ in
            [
                .result([
                    "tables": [
                        ["table": "a", "state": "tracked", "rows": 1200, "warnings": ["keys"]],
                        ["table": "b", "state": "refused", "rows": .null, "error": "no key"],
                        ["table": "c", "state": "tracked", "rows": 1, "warnings": ["c. It is so"]],
                        ["table": "d", "state": "tracked", "rows": 1, "warnings": ["d. It is so"]],
                    ]
                ])
            ]
        }
        let run = harness.starling("track", "--all")
        #expect(
            run.out == """
                tracked  a, 1,200 rows
                    note: keys
                refused  b
                    no key
                tracked  c, 1 row
                    note: c. It is so
                tracked  d, 1 row
                    note: d (see above)

                """)
        #expect(run.code == .failure)
    }

    @Test func doctorFailsWhenACheckFails() {
        harness.offline = { _ in
            [
                .result([
                    "checks": [
                        DoctorCheck("file", .ok, "integrity is good").json,
                        DoctorCheck("avahi", .fail, "not installed", remedy: "install it").json,
                    ]
                ])
            ]
        }
        let run = harness.starling("doctor")
        #expect(run.code == .failure)
        #expect(
            run.out == """
                ok    file: integrity is good
                fail  avahi: not installed
                      → install it

                1 failure, 0 warnings.

                """)
    }

    @Test func initPassesItsWordsOnAndSaysWhatComesNext() {
        var given: InitializeOptions?
        harness.initialize = { options in
            given = options
            return [
                "node": "n", "group": "g", "origin": "o", "db": "/d.db", "name": "Kitchen",
                "home": "/h", "fingerprint": "AAAA-BBBB",
            ]
        }
        let run = harness.starling("init", "--home", "/h", "--db", "/d.db", "--name", "Kitchen")
        #expect(
            given
                == InitializeOptions(
                    home: Home(path: "/h"), database: "/d.db", name: "Kitchen", group: nil))
        #expect(run.out.contains("AAAA-BBBB") && run.out.contains("starling invite"))
        // What earlier versions had is gone, and said to be.
        #expect(harness.starling("init", "--group", "12").code == .usage)
    }

    @Test func runGetsWhatItWasGiven() {
        var given: RunOptions?
        harness.run = { given = $0 }
        let run = harness.starling("run", "--listen", "[::]:0", "--peer", "a", "--no-discovery")
        #expect(run.code == .success && run.out.isEmpty)
        #expect(
            given
                == RunOptions(
                    home: home, listen: HostPort(host: "::", port: 0),
                    peers: [HostPort(host: "a", port: 7878)], discovery: false))
        harness.run = { _ in throw NodeError(.refused, "a node runs already") }
        #expect(harness.starling("run").code == .refused)
    }

    @Test func progressIsDrawnOnATerminalAndGoesWithoutATrace() {
        harness.offline = { _ in
            [
                .event(["progress": ["what": "Copying", "done": 5, "total": 10, "unit": "MB"]]),
                .result(["file": "/b", "bytes": 10_000_000]),
            ]
        }
        #expect(harness.starling("backup", "/b").err.isEmpty)
        harness.isTerminal = true
        let run = harness.starling("backup", "/b")
        #expect(run.err.contains("Copying  ████████████░░░░░░░░░░░░ 50 %  5 of 10 MB"))
        #expect(run.err.hasSuffix("\r\u{1b}[K"))
        #expect(run.out == "Wrote /b, 10.0 MB.\n")
        #expect(harness.starling("backup", "/b", "--json").err.isEmpty)
    }

    @Test func benchPrintsATable() {
        harness.bench = { options in
            [
                "rows": .int(Int64(options.rows)), "machine": "2 cores",
                "versions": ["sqlite": "3.40.1"],
                "results": [
                    [
                        "id": "insert", "what": "bulk insert", "value": 1.2, "text": "1.20 ×",
                        "goal": ["text": "≤ 1.3 ×"], "met": true, "others": "cr-sqlite 6 ×",
                    ]
                ],
            ]
        }
        #expect(
            harness.starling("bench", "--rows", "1000").out == """
                1,000 rows on 2 cores
                  sqlite 3.40.1

                what         value   goal          others
                bulk insert  1.20 ×  ≤ 1.3 ×  met  cr-sqlite 6 ×

                """)
        #expect(harness.starling("demo").out == "one\n")
    }
}
