// Two networks without a path between them, and one relay that both reach: machines of the bed with real
// Avahi daemons, on which nodes find those of their own network by themselves.

import Node
import Testing

@Suite(
    .fewAtOnce, .enabled(if: NodeBed.isAvailable, "needs the bed; the reason is on stderr"),
    .timeLimit(.minutes(20)))
struct RelayBedTests {
    private static let schema = "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, done);"
    private static let relayMachine = 5

    /// Ann and bob are on one network, cid and dan on the other, the relay is on machine 5.
    private struct Homes {
        let flock = Flock()
        let bed: NodeBed
        let nodes: [TestNode]
        private let store: String
        private(set) var relay: ChildProcess

        init() async throws {
            nodes = try await flock.nodes("ann", "bob", "cid", "dan", schema: RelayBedTests.schema)
            bed = try await NodeBed(machines: RelayBedTests.relayMachine, in: flock)
            store = flock.path("relay.db")
            relay = try Self.serve(flock, bed, store)
            for (index, node) in nodes.enumerated() {
                node.machine = bed.machine(index + 1) + Self.clock(RelayBedTests.clocks[index])
                try await node.start()
            }
            // A group meets once, and agrees on its relay.
            try await meets(nodes[0], 3)
            try await flock.converge(nodes)
            try await nodes[0].ask("relay", "join", RelayBedTests.url)
            for node in nodes {
                try await flock.until("\(node.name) reaches the relay") {
                    ["connected", "standing_by"].contains(try await state(node))
                }
            }
            for left in ["1", "2"] {
                for right in ["3", "4"] { try await bed.run("cut", left, right) }
            }
            for node in nodes { try await meets(node, 1) }
        }

        /// Words before a program for which it is so much later than it is.
        static func clock(_ hours: Int) -> [String] {
            let script = """
                LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1) FAKETIME="$0h" \
                FAKETIME_DONT_FAKE_MONOTONIC=1 exec "$@"
                """
            return ["sh", "-c", script, "\(hours < 0 ? "" : "+")\(hours)"]
        }

        /// How many hours a running node is ahead.
        func hoursAhead(_ node: TestNode) async throws -> Int {
            let told = try await node.status()["now_ms"]?.int ?? 0
            return Int((Double(told - WallClock.milliseconds()) / 3_600_000).rounded())
        }

        private static func serve(_ flock: Flock, _ bed: NodeBed, _ store: String) throws
            -> ChildProcess
        {
            try flock.spawn(
                bed.machine(RelayBedTests.relayMachine) + [
                    Flock.program, "relay", "serve", "--open", "--store", store, "--listen",
                    "\(RelayBedTests.host):7879",
                ], name: "relay")
        }

        /// kill -9, and another process on the same store.
        mutating func replaceRelay() async throws {
            try await bed.run(
                "exec", "5", "pkill", "-9", "-f", "relay serve --open --store \(store)")
            try await relay.exit()
            relay = try Self.serve(flock, bed, store)
        }

        /// Waits until a node is linked with so many.
        func meets(_ node: TestNode, _ count: Int) async throws {
            try await flock.until("\(node.name) meets \(count)") {
                (try await node.status()["peers"]?.array ?? []).count {
                    $0["state"] == "connected" || $0["state"] == "syncing"
                } == count
            }
        }

        func state(_ node: TestNode) async throws -> String {
            try await node.status()["relay"]?["state"]?.string ?? ""
        }

        func end() async throws {
            for node in nodes { try await node.expectSound() }
            for (index, node) in nodes.enumerated() {
                try await bed.signal(node, on: index + 1, "TERM")
                #expect(try await node.process?.exit() == 0)
            }
        }
    }

    private static let host = "10.77.0.5"
    private static let url = "http://\(host):7879"
    /// By how many hours each machine's clock is ahead.
    private static let clocks = [-7, 0, 0, 5]

    /// On two of the machines the clocks are twelve hours apart.
    @Test func twoNetworksMeetAtTheRelayOnly() async throws {
        var homes = try await Homes()
        let nodes = homes.nodes
        for (node, hours) in zip(nodes, Self.clocks) {
            #expect(try await homes.hoursAhead(node) == hours, "\(node.name)")
        }
        let (ann, bob, cid, dan) = (nodes[0], nodes[1], nodes[2], nodes[3])
        // In each network one forwards and the other leaves it to that one.
        for pair in [[ann, bob], [cid, dan]] {
            try await homes.flock.until("one of two forwards") {
                var states: Set<String> = []
                for node in pair { states.insert(try await homes.state(node)) }
                return states == ["connected", "standing_by"]
            }
        }
        for (node, id) in [(ann, "a"), (bob, "b"), (cid, "c"), (dan, "d")] {
            try await node.sql("INSERT INTO jobs VALUES('\(id)','of \(node.name)',0)")
        }
        for node in nodes { try await node.shows("SELECT count(*) FROM jobs", "4") }

        // The internet is gone for as long as it takes to write for an hour; both networks go on.
        try await homes.bed.run("link-down", "5")
        let hour = """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 360)
            INSERT INTO jobs SELECT '%-' || i, 'every ten seconds', i FROM n;
            UPDATE jobs SET title = 'changed by %' WHERE id IN ('a', 'c');
            """
        func edits(_ name: String) -> String {
            hour.split(separator: "%", omittingEmptySubsequences: false).joined(separator: name)
        }
        try await ann.sql(edits("ann"))
        try await dan.sql(edits("dan"))
        try await bob.shows("SELECT count(*) FROM jobs", "364")
        try await cid.shows("SELECT count(*) FROM jobs", "364")
        try await homes.flock.until("somebody says that the relay is away") {
            for node in nodes {
                let relay = try await node.status()["relay"]
                if relay?["failures"]?.int ?? 0 > 0, relay?["last_error"]?.string != nil {
                    return true
                }
            }
            return false
        }
        #expect(try await cid.sql("SELECT count(*) FROM jobs WHERE id LIKE 'ann-%'") == "0\n")
        try await homes.bed.run("link-up", "5")
        for node in nodes { _ = try await node.command("sync", "--json") }
        for node in nodes { try await node.shows("SELECT count(*) FROM jobs", "724") }
        try await homes.flock.converge(nodes)
        // Two wrote one column of two rows without each other: both titles are kept.
        for node in nodes { #expect(try await node.conflicts().count == 2) }

        // Killed in the middle of a day's work, and back on the same store.
        for row in 0..<20 {
            try await bob.sql("INSERT INTO jobs VALUES('bob-\(row)','x',0)")
            if row == 10 { try await homes.replaceRelay() }
        }
        for node in nodes { _ = try await node.command("sync", "--json") }
        for node in nodes { try await node.shows("SELECT count(*) FROM jobs", "744") }
        try await homes.flock.converge(nodes)
        for node in nodes {
            let refused = try await node.status()["relay"]?["refused"]?.object
            // What the one that took over said again is counted, and nothing else.
            let reasons = Set((refused?.members ?? []).map(\.key))
            #expect(reasons.isSubset(of: ["replayed"]), "\(node.name): \(reasons)")
        }
        try await homes.end()
    }
}
