// Nodes without a path between them, and one relay: real processes, from the command line.

import Node
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A relay as its operator runs it, on the address of the test.
final class ServedRelay {
    private unowned let flock: Flock
    private(set) var process: ChildProcess
    private(set) var address: String
    private var options: [String]

    init(in flock: Flock, _ options: [String] = ["--open"]) async throws {
        self.flock = flock
        self.options = options
        process = try Self.launch(flock, "\(flock.host):0", options)
        address = ""
        address = "\(flock.host):\(try await port())"
    }

    /// The port that it says it serves on, once it does.
    private func port() async throws -> Substring {
        var port: Substring = ""
        try await flock.until("the relay serves") {
            let line = process.errors.split(separator: "\n").first { $0.contains("serving") }
            port = line?.split(separator: ":").last ?? ""
            return !port.isEmpty
        }
        return port
    }

    var url: String { "http://\(address)" }

    private static func launch(
        _ flock: Flock, _ address: String, _ options: [String]
    ) throws -> ChildProcess {
        try flock.spawn(
            [
                Flock.program, "relay", "serve", "--listen", address, "--store",
                flock.path("relay.db"),
            ] + options, name: "relay")
    }

    /// kill -9.
    func kill() { process.kill() }

    /// On the same port and the same store.
    func restart(_ changed: [String]? = nil) async throws {
        options = changed ?? options
        process = try Self.launch(flock, address, options)
        _ = try await port()
    }
}

@Suite(.fewAtOnce) struct RelayNodeTests {
    private static let schema = "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, done);"

    /// Nodes that met once on one network, where the group joined a relay, and that do not meet again.
    static func parted(
        _ flock: Flock, _ relay: ServedRelay, _ names: [String], schema: String
    ) async throws -> [TestNode] {
        var nodes: [TestNode] = []
        for name in names { nodes.append(try await flock.node(name)) }
        try await nodes[0].sql(schema)
        try await nodes[0].ask("track", "--all")
        try await nodes[0].start()
        for node in nodes.dropFirst() { try await node.start(peers: [nodes[0]]) }
        try await nodes[0].ask("relay", "join", relay.url)
        try await flock.converge(nodes)
        for node in nodes {
            try await flock.until("\(node.name) knows the relay") {
                try await node.status()["relay"]?["url"]?.string == relay.url
            }
        }
        for node in nodes {
            try await node.stop()
            _ = unlink("\(node.home)/peers.json")
        }
        return nodes
    }

    private func parted(
        _ flock: Flock, _ relay: ServedRelay, _ names: [String]
    ) async throws -> [TestNode] {
        try await Self.parted(flock, relay, names, schema: Self.schema)
    }

    @Test(.timeLimit(.minutes(20)))
    func twoHomesWithoutAPathMeetAtTheRelay() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob"])
        let (ann, bob) = (nodes[0], nodes[1])
        for node in nodes { try await node.start() }
        try await ann.sql("INSERT INTO jobs VALUES('j1','roof',0)")
        try await bob.shows("SELECT title FROM jobs", "roof")
        try await bob.sql("UPDATE jobs SET done = 1")
        try await ann.shows("SELECT done FROM jobs", "1")
        #expect(
            (try await ann.status()["peers"]?.array ?? []).allSatisfy { $0["state"] == "offline" })
        try await flock.until("the row is in the log") {
            let answer = try await ann.command("records", "jobs", "--json")
            return answer.output.contains("\"relayed\"")
        }
        let facts = try await ann.status()["relay"]
        #expect(
            facts?["queued_changes"] == 0 && facts?["appended"]?.int ?? 0 > 0, "\(facts ?? .null)")
        // Both may have appended what they had from each other, at the same moment, before they parted.
        let refused = facts?["refused"]?.object?.members.map(\.key) ?? ["not said"]
        #expect(refused.allSatisfy { $0 == "replayed" }, "\(facts ?? .null)")

        // Killed in the middle, and back: nothing is lost, and nothing is there twice.
        relay.kill()
        for row in 0..<50 { try await ann.sql("INSERT INTO jobs VALUES('a\(row)','of ann',0)") }
        try await bob.sql("INSERT INTO jobs VALUES('b','of bob',0)")
        try await flock.until("ann notices") {
            let facts = try await ann.status()["relay"]
            return facts?["failures"]?.int ?? 0 > 0 && facts?["next_try_ms"]?.int != nil
        }
        let waiting = try await ann.status()["relay"]
        #expect(waiting?["queued_changes"] == 50, "\(waiting ?? .null)")
        #expect(waiting?["last_error"]?.string != nil)
        try await relay.restart()
        // A person need not wait for the next try.
        for node in nodes { _ = try await node.command("sync", "--json") }
        try await bob.shows("SELECT count(*) FROM jobs", "52")
        try await ann.shows("SELECT count(*) FROM jobs", "52")
        try await flock.converge(nodes)
    }

    @Test(.timeLimit(.minutes(20)))
    func nodesThatAreKilledLoseNothing() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob"])
        for node in nodes { try await node.start() }
        for round in 0..<4 {
            for (index, node) in nodes.enumerated() {
                try await node.sql(
                    """
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
                    INSERT INTO jobs SELECT 'r\(round)-\(index)-' || i, 'text', i FROM n
                    """)
            }
            nodes[round % 2].kill()
            try await nodes[round % 2].start()
        }
        // None needs a copy, even when killed between its marker and a commit.
        for node in nodes { #expect(try await node.status()["joining"] != true) }
        for node in nodes { try await node.shows("SELECT count(*) FROM jobs", "3200") }
        try await flock.converge(nodes)
        for node in nodes { try await node.expectSound() }
    }

    @Test(.timeLimit(.minutes(20)))
    func aRemovedMemberCanReadNothingThatIsWrittenAfter() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob", "cid"])
        let (ann, bob, cid) = (nodes[0], nodes[1], nodes[2])
        for node in nodes { try await node.start() }
        try await ann.sql("INSERT INTO jobs VALUES('before','all may know',0)")
        for node in nodes { try await node.shows("SELECT id FROM jobs", "before") }

        try await ann.ask("members", "remove", "cid")
        try await ann.sql("INSERT INTO jobs VALUES('after','cid must not know',0)")
        // Bob meets ann only at the relay: the key comes that way, too.
        try await bob.shows("SELECT count(*) FROM jobs", "2")
        #expect(try await bob.status()["relay"]?["epoch"] == 1)
        try await bob.sql("INSERT INTO jobs VALUES('bob','nor that',0)")
        try await ann.shows("SELECT count(*) FROM jobs", "3")
        // Cid still reads the log, and everything it ever had is there.
        try await flock.until("cid meets what it cannot read") {
            try await cid.status()["relay"]?["refused"]?["unknown_epoch"]?.int ?? 0 > 0
        }
        #expect(try await cid.sql("SELECT count(*) FROM jobs") == "1\n")
        // What it writes from now on is refused by all who know.
        try await cid.sql("INSERT INTO jobs VALUES('cid','of the removed',0)")
        try await flock.until("ann refuses it") {
            try await ann.status()["relay"]?["refused"]?["removed"]?.int ?? 0 > 0
        }
        #expect(try await ann.sql("SELECT count(*) FROM jobs") == "3\n")
        #expect(try await bob.sql("SELECT count(*) FROM jobs") == "3\n")
    }

    @Test(.timeLimit(.minutes(20)))
    func aTokenIsNeededAndSeenNowhere() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock, [])
        let nodes = try await flock.nodes("ann", schema: Self.schema)
        let ann = nodes[0]
        try await ann.start()
        let refused = try await ann.command("relay", "join", relay.url, "--json")
        #expect(refused.code != 0 && refused.errors.contains("token"), "\(refused)")
        #expect(try await ann.status()["relay"]?.isNull == true)
        let made = try await flock.run(
            [Flock.program, "relay", "token", "--store", flock.path("relay.db"), "--json"])
        let token = try #require(made.json["token"]?.string)
        let joined = try await flock.run(
            [Flock.program, "--home", ann.home, "relay", "join", relay.url, "--json"],
            environment: ["STARLING_RELAY_TOKEN": token])
        #expect(joined.code == 0 && joined.json["action"] == "enrolled", "\(joined)")
        try await flock.until("the relay is used") {
            try await ann.status()["relay"]?["state"] == "connected"
        }
        let secret = try await ann.sql("SELECT value FROM starling_relay WHERE item = 'secret'")
        let status = try await ann.command("status", "--json")
        for text in [status.output, joined.output, ann.log] {
            #expect(!text.contains(token) && !text.contains(secret.dropLast()))
        }
        #expect(try await ann.status()["tables"]?.array?.count == 1)
        let left = try await ann.ask("relay", "leave")
        #expect(left["action"] == "left")
        #expect(try await ann.status()["relay"]?.isNull == true)
        try await ann.stop()
        let feed = try await ann.command("watch", "--since", "0", "--json")
        #expect(feed.code == 0 && !feed.output.contains(secret.dropLast()))
    }

    /// A relay that takes little: what is urgent is in it, though it was written last.
    @Test(.timeLimit(.minutes(20)))
    func urgentTablesGoBeforeABacklogThatDoesNotFit() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob"])
        let (ann, bob) = (nodes[0], nodes[1])
        relay.kill()
        try await ann.sql("CREATE TABLE alarms(id TEXT PRIMARY KEY NOT NULL, text)")
        try await ann.ask("track", "--all")
        Files.write(
            Array("{ relay: { priority: ['alarms'] } }".utf8), to: "\(ann.home)/config.json5")
        try await ann.start()
        try await ann.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            INSERT INTO jobs SELECT 'j' || i, hex(randomblob(500)), 0 FROM n;
            INSERT INTO alarms VALUES('a', 'fire')
            """)
        try await flock.until("all of it waits") {
            try await ann.status()["relay"]?["queued_changes"]?.int ?? 0 >= 3001
        }
        let small = flock.path("small.json5")
        Files.write(Array("{ quota: { bytes: 400000 } }".utf8), to: small)
        try await relay.restart(["--open", "--config", small])
        for node in nodes { _ = try await node.command("sync", "--json") }
        try await bob.start()
        try await bob.shows("SELECT text FROM alarms", "fire")
        try await flock.until("ann says that the relay is full") {
            let error = try await ann.status()["relay"]?["last_error"]?.string
            return error?.contains("its room at the relay") == true
        }
        #expect(try await bob.sql("SELECT count(*) < 3000 FROM jobs") == "1\n")

        // With room again the rest comes.
        relay.kill()
        try await relay.restart(["--open"])
        for node in nodes { _ = try await node.command("sync", "--json") }
        try await flock.converge(nodes)
        try await bob.shows("SELECT count(*) FROM jobs", "3000")
    }

    /// Two networks of two nodes each, and no path between them but the relay.
    @Test(.timeLimit(.minutes(20)))
    func onOneNetworkOneForwardsAndAnotherTakesOver() async throws {
        let flock = Flock()
        let relay = try await ServedRelay(in: flock)
        let nodes = try await parted(flock, relay, ["ann", "bob", "cid", "dan"])
        let (ann, bob, cid, dan) = (nodes[0], nodes[1], nodes[2], nodes[3])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await cid.start()
        try await dan.start(peers: [cid])
        func state(_ node: TestNode) async throws -> String? {
            try await node.status()["relay"]?["state"]?.string
        }
        let first = try ann.identity.node < bob.identity.node ? ann : bob
        let second = first === ann ? bob : ann
        var states: [String?] = []
        do {
            try await flock.until("one of the two stands by") {
                states = [try await state(first), try await state(second)]
                return states == ["connected", "standing_by"]
            }
        } catch {
            Issue.record("\(states): \(try await second.status()["relay"] ?? .null)")
            throw error
        }
        // What the one that stands by writes goes over the other one.
        try await second.sql("INSERT INTO jobs VALUES('s','of who stands by',0)")
        for node in nodes { try await node.shows("SELECT id FROM jobs", "s") }
        #expect(try await second.status()["relay"]?["appended"]?.int == 0)

        first.kill()
        try await second.sql("INSERT INTO jobs VALUES('t','after the loss',0)")
        try await dan.shows("SELECT count(*) FROM jobs", "2", withinSeconds: 20)
        try await dan.sql("INSERT INTO jobs VALUES('d','of dan',0)")
        try await second.shows("SELECT count(*) FROM jobs", "3", withinSeconds: 20)
        try await first.start(peers: [second])
        try await flock.converge(nodes)
        for node in nodes { #expect(try await node.conflicts().isEmpty) }
    }
}
