// `starling status`, word for word, in the situations that people meet.

import Node
import TestKit
import Testing

@testable import StarlingCommand

@Suite struct CommandLineStatusTests {
    private static let now: Int64 = 1_700_000_000_000

    private static func peer(
        _ name: String, _ state: String, behind: Int64 = 0, ahead: Int64 = 0,
        seen: Int64? = 0, error: String? = nil, retries: Int64 = 0, next: Int64? = nil
    ) -> JSONValue {
        [
            "node": .string("\(name.lowercased())0123456789"), "name": .string(name),
            "address": "192.168.1.20:7878", "state": .string(state), "behind": .int(behind),
            "ahead": .int(ahead), "last_seen_ms": JSONValue(optional: seen.map { now - $0 }),
            "last_error": JSONValue(optional: error), "retries": .int(retries),
            "next_try_ms": JSONValue(optional: next.map { now + $0 }),
        ]
    }

    private static func status(
        peers: [JSONValue], tables: [JSONValue] = ["jobs", "customers"], journal: Int64 = 0,
        conflicts: Int64 = 0, parked: Int64 = 0, running: Bool = true,
        problems: [JSONValue] = []
    ) -> JSONValue {
        [
            "node": "aaaabbbbccccdddd0000111122223333", "name": "Attic",
            "group": "5d8c0f3a9b7e4c1d8a6f2e0b4c9d7a13", "origin": "0f",
            "state": "synced", "tables": .array(tables), "vector": ["0f": 12],
            "digest": "00112233445566778899aabbccddeeff", "journal": .int(journal),
            "conflicts": .int(conflicts), "parked": .int(parked), "peers": .array(peers),
            "running": .bool(running), "now_ms": .int(now), "problems": .array(problems),
        ]
    }

    private static let facts = """

          node    Attic aaaabbbb
          tables  jobs, customers
          digest  0011223344556677

        """

    private static let kitchen = peer("Kitchen", "connected")
    private static let minutes: Int64 = 60_000

    static let situations: [(JSONValue, String)] = [
        (
            status(peers: [kitchen, peer("Shed", "connected")]),
            """
            In sync with 2 peers.
            \(facts)
              Kitchen  connected  192.168.1.20:7878  in sync
              Shed     connected  192.168.1.20:7878  in sync

            """
        ),
        (
            status(peers: [
                kitchen,
                peer(
                    "Shed", "waiting", behind: 3, seen: 4 * minutes,
                    error: "Connection refused", retries: 5, next: 12_000),
            ]),
            """
            3 changes here wait for Shed (last seen 4 min ago).
            In sync with Kitchen.
            \(facts)
              Kitchen  connected  192.168.1.20:7878  in sync
              Shed     waiting    192.168.1.20:7878  3 to send  last seen 4 min ago, next try in 12 s
              Shed: Connection refused (5 tries); see starling why Shed

            """
        ),
        (
            status(peers: [
                peer("Kitchen", "offline", behind: 1, seen: nil),
                peer("Shed", "offline", seen: 50 * 3_600_000),
            ]),
            """
            1 change here waits for Kitchen (never seen).
            This node has never seen Kitchen: if no other member has either, and it will not come, \
            starling members remove Kitchen
            Shed (last seen 2 days ago) is away and has everything from here.
            \(facts)
              Kitchen  offline  192.168.1.20:7878  1 to send             last seen never
              Shed     offline  192.168.1.20:7878  nothing waits for it  last seen 2 days ago

            """
        ),
        (
            status(peers: [peer("Kitchen", "syncing", behind: 5, ahead: 1200)], journal: 1),
            """
            Syncing with Kitchen: 5 changes to send, 1,200 changes to receive.
            1 change written here is being taken in.
            \(facts)
              Kitchen  syncing  192.168.1.20:7878  5 to send, 1,200 to receive

            """
        ),
        (
            status(peers: []),
            """
            No peer is known yet. Let another machine in: starling invite
            \(facts)
            """
        ),
        (
            status(peers: [], tables: [], running: false),
            """
            The node is not running, so nothing is exchanged: start it with starling run.
            No table is kept the same yet: starling track --all

              node    Attic aaaabbbb
              tables  none
              digest  0011223344556677

            """
        ),
        (
            status(
                peers: [peer("Kitchen", "offline", behind: 2, seen: 5000)], journal: 7,
                running: false),
            """
            The node is not running, so nothing is exchanged: start it with starling run.
            2 changes here wait for Kitchen (last seen 5 s ago).
            7 changes written here wait to be taken in.
            \(facts)
              Kitchen  offline  192.168.1.20:7878  2 to send  last seen 5 s ago

            """
        ),
        (
            status(
                peers: [kitchen], conflicts: 2, parked: 1,
                problems: [
                    [
                        "code": "clock", "message": "The clock of Kitchen is 3 min ahead",
                        "remedy": "set it, or run an NTP client there", "state": "warn",
                    ]
                ]),
            """
            In sync with Kitchen.
            2 conflicts to look at: starling conflicts
            1 row is parked, because a constraint refuses it: starling records TABLE --state parked
            The clock of Kitchen is 3 min ahead: set it, or run an NTP client there
            \(facts)
              Kitchen  connected  192.168.1.20:7878  in sync

            """
        ),
        (
            status(
                peers: [
                    peer("Shed", "refused", seen: 1000, error: "it is of another group", retries: 1)
                ],
                tables: (1...30).map { .string("table\($0)") }),
            """
            Shed does not sync with this node: starling why Shed

              node    Attic aaaabbbb
              tables  table1, table2, table3, table4, table5, table6, table7 and 23 more
              digest  0011223344556677

              Shed  refused  192.168.1.20:7878  nothing waits for it  last seen just now
              Shed: it is of another group; see starling why Shed

            """
        ),
    ]

    private let folder = TemporaryDirectory()

    private func harness(_ status: JSONValue) throws -> CommandLineHarness {
        let home = Home(path: folder.path)
        if !Path.exists(home.identityPath) {
            _ = try Home.create(home, database: nil, name: "A", group: nil, nowMilliseconds: 0)
        }
        let harness = CommandLineHarness(home: home)
        harness.offline = { _ in [.result(status)] }
        return harness
    }

    @Test(arguments: situations.indices)
    func saysHowThingsStand(index: Int) throws {
        let (status, expected) = Self.situations[index]
        let harness = try harness(status)
        let run = harness.starling("status")
        #expect(run.out == expected)
        #expect(run.code == .success && run.err.isEmpty)
        #expect(harness.starling("status", "--json").out == status.text + "\n")
    }

    @Test func aTerminalGetsColoursAndAPipeGetsNone() throws {
        let harness = try harness(Self.status(peers: [Self.kitchen]))
        #expect(!harness.starling("status").out.contains("\u{1b}"))
        harness.colours = true
        #expect(
            harness.starling("status").out.hasPrefix("\u{1b}[32mIn sync with Kitchen.\u{1b}[0m"))
    }

    @Test func namesFromElsewhereCannotSteerTheTerminal() throws {
        let evil = Self.peer("a\u{1b}[2J\u{202e}b\n", "waiting", error: "x\u{7}\r\n")
        let run = try harness(Self.status(peers: [evil], tables: ["t\u{9b}1m"])).starling("status")
        let harmful = run.out.unicodeScalars.filter {
            $0.value < 0x20 && $0 != "\n" || (0x7f..<0xa0).contains($0.value) || $0 == "\u{202e}"
        }
        #expect(harmful.isEmpty)
        #expect(run.out.contains("a\\u{1b}[2J\\u{202e}b\\u{a}"))
    }

    @Test func anAnswerThatLacksEverythingIsStillShown() throws {
        for status: JSONValue in [
            [:], 7, ["peers": [7, .null, [:]], "tables": 3, "journal": "x"],
        ] {
            #expect(try harness(status).starling("status").code == .success)
        }
    }
}
