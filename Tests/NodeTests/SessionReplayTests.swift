// A real session, recorded on its way, said again to a node that has not heard it: cut at every
// byte, and with every byte changed. The node lives, its file is whole, and it shows nothing that was
// never said.

import Node
import TestKit
import Testing

@Suite(.fewAtOnce) struct SessionReplayTests {
    @Test(.timeLimit(.minutes(FaultMode.isFull ? 60 : 10)), arguments: ["cut", "flip"])
    func recordedSession(_ mode: String) async throws {
        let seed = FaultMode.seed
        let flock = Flock()
        let nodes = try await flock.nodes(
            "ann", "bob", schema: "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, n);")
        let (ann, bob) = (nodes[0], nodes[1])
        let states = try await record(ann, bob, to: flock.path("stream"), in: flock)

        // Bob is as he was; ann is only a voice from now on.
        try await bob.start()
        let bits = mode == "flip" && FaultMode.isFull ? "all" : "1"
        let found = try await flock.python(
            SessionScripts.replayer,
            [
                bob.address ?? "", flock.path("stream"), mode, "\(seed)", bits, bob.file,
                ann.home,
            ] + states, withinSeconds: 3000)
        flock.expect(found.hasPrefix("said "), "seed \(seed): \(found.prefix(4000))")
        print("recorded session, \(mode), seed \(seed): \(found)", terminator: "")
        #expect(bob.process?.isRunning == true)
        // What was whole has come in.
        #expect(try await bob.sql("SELECT title FROM jobs WHERE id = 'live'") == "of ann\n")
        #expect(try await bob.sql("SELECT title FROM jobs WHERE id = 'ann-1'") == "changed\n")
        if mode == "flip" {
            // A changed length may still be found out by the checksum, or not be answered.
            let payload = found.split(separator: ",").last?.split(separator: " ").first
            let told = bob.log.split(separator: "\n").count { $0.contains("damaged on its way") }
            flock.expect(
                payload.flatMap { Int($0) }.map { $0 <= told } == true,
                "\(told) changes were told: \(found)")
        }

        // The real ann again: nothing that was said meanwhile stands between them.
        try await ann.start(peers: [bob])
        try await flock.converge(ann, bob)
        #expect(try await ann.conflicts().count == 1)
        let all = "SELECT * FROM jobs ORDER BY id"
        #expect(try await ann.sql(all) == bob.sql(all))
        for node in nodes {
            #expect(try await node.stop() == 0)
        }
        try await flock.expectProof(of: nodes)
    }

    /// Lets ann and bob meet through a proxy that writes down what ann says; bob's files are then
    /// put back to before that.
    ///
    /// - Returns: copies of bob's database: before, and after each step of the session.
    private func record(
        _ ann: TestNode, _ bob: TestNode, to stream: String, in flock: Flock
    ) async throws -> [String] {
        func insert(_ node: TestNode, _ count: Int) -> String {
            (1...count).map {
                "INSERT INTO jobs VALUES('\(node.name)-\($0)', 'of \(node.name)', \($0));"
            }
            .joined()
        }
        try await ann.sql("INSERT INTO jobs VALUES('both', 'first', 0), ('gone', 'first', 0);")
        try await bob.start()
        try await ann.start(peers: [bob])
        try await flock.converge(ann, bob)
        for node in [ann, bob] { try await node.stop() }
        // Numbered before the session, so that its other half remembers nothing that is put back.
        try await ann.sql(insert(ann, 6) + "UPDATE jobs SET title = 'ann''s' WHERE id = 'both';")
        try await bob.sql(insert(bob, 6) + "UPDATE jobs SET title = 'bob''s' WHERE id = 'both';")
        for node in [ann, bob] {
            try await node.start()
            try await node.stop()
            // All that they say has to go through the proxy.
            _ = try await flock.run(["rm", "-f", "\(node.home)/peers.json"])
        }
        let files = HomeFiles(of: bob.home)
        var states: [String] = []
        func keep() throws {
            states.append(flock.path("state-\(states.count).db"))
            try DotLedger.copy(bob.file, to: states[states.count - 1])
        }
        try keep()

        try await bob.start()
        let proxy = try flock.spawn(
            [
                Flock.python, "-c", SessionScripts.recorder, "\(flock.host):0", bob.address ?? "",
                stream, ann.home, bob.home,
            ], name: "recorder")
        let line = try await proxy.line(with: "listens on ").text
        try await ann.start(["--peer", String(line.dropFirst("listens on ".count))])
        try await flock.converge(ann, bob)
        try keep()
        for statement in [
            "INSERT INTO jobs VALUES('live', 'of ann', 1)",
            "UPDATE jobs SET title = 'changed' WHERE id = 'ann-1'",
            "DELETE FROM jobs WHERE id = 'gone'",
        ] {
            try await ann.sql(statement)
            try await flock.converge(ann, bob)
            try keep()
        }
        try await ann.stop()
        try await proxy.exit()
        try await bob.stop()
        files.restore()
        return states
    }
}
