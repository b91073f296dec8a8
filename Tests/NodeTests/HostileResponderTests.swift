// Whole nodes on a network with somebody who answers everything: thousands of services that are none, the
// tags of members at other addresses, names and records of every kind.

import Node
import Testing

@Suite(.fewAtOnce) struct HostileResponderTests {
    private let flock = Flock()

    /// Resident kilobytes of a node on a machine of the bed.
    private func memory(_ node: TestNode, _ bed: NodeBed) async throws -> Int {
        let lock = Files.read("\(node.home)/lock").flatMap { try? JSONValue(parsing: $0) }
        let pid = try #require(lock?["pid"]?.int)
        let answer = try await flock.run(node.machine + ["grep", "VmRSS", "/proc/\(pid)/status"])
        return try #require(
            answer.output.split(separator: " ").compactMap { Int($0) }.first, "\(answer)")
    }

    private func isLinked(_ node: TestNode) async throws -> Bool {
        try await node.status()["peers"]?.array?.contains {
            $0["state"] == "connected" || $0["state"] == "syncing"
        } ?? false
    }

    private func stop(_ node: TestNode, on machine: Int, _ bed: NodeBed) async throws {
        try await bed.signal(node, on: machine, "TERM")
        #expect(try await node.process?.exit() == 0)
    }

    @Test(
        .enabled(if: NodeBed.isAvailable, "needs the bed; the reason is on stderr"),
        .timeLimit(.minutes(10)))
    func twoNodesFindEachOtherBesideWhoAnswersEverything() async throws {
        let nodes = try await flock.nodes("ann", "bob", schema: AttackTests.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        let bed = try await NodeBed(machines: 3, in: flock)
        for (index, node) in nodes.enumerated() { node.machine = bed.machine(index + 1) }
        try await ann.start()
        let before = try await memory(ann, bed)
        let folder = flock.path("mallory")
        _ = try await flock.run(["mkdir", "-p", folder])
        let mallory = try flock.spawn(
            bed.machine(3) + [
                Flock.python, "-c", ResponderScripts.everything, "10.77.0.3:4444", folder,
                "10.77.0.1", "10.77.0.2",
            ], name: "mallory")
        try await mallory.line(with: "floods")

        // Bob comes in the middle of it, and knows no address.
        try await bob.start()
        try await flock.until("the two are linked", 200) { try await isLinked(bob) }
        try await bob.shows("SELECT title FROM jobs", "roof")
        // And again, after both forgot where the other was.
        for (index, node) in nodes.enumerated() {
            try await stop(node, on: index + 1, bed)
            _ = try await flock.run(["rm", "-f", "\(node.home)/peers.json"])
        }
        for node in nodes { try await node.start() }
        try await flock.until("the two are linked again", 200) { try await isLinked(bob) }
        try await bob.sql("INSERT INTO jobs VALUES('b','of bob')")
        try await ann.shows("SELECT count(*) FROM jobs", "2")

        // Now it takes their names, too: the link stands, and where the other was is remembered.
        mallory.send("copy")
        try await flock.until("somebody has another's name") {
            for node in nodes {
                let problems = try await node.status()["problems"]?.array ?? []
                if problems.contains(where: { $0["code"] == "discovery" }) { return true }
            }
            return false
        }
        try await bob.sql("INSERT INTO jobs VALUES('c','under another name')")
        try await ann.shows("SELECT count(*) FROM jobs", "3")
        try await stop(ann, on: 1, bed)
        try await mallory.line(with: "dialled")
        try await ann.start()
        try await flock.until("the two are linked in spite of it", 200) { try await isLinked(bob) }
        try await flock.converge(nodes)

        // It is nobody's peer, was dialled some times, and was told nothing; and nothing has grown.
        for node in nodes {
            let status = try await node.status()
            let peers = status["peers"]?.array ?? []
            #expect(peers.count == 1, "\(peers)")
            #expect(peers.first?["retries"]?.int ?? 0 < 20, "\(peers)")
            #expect(status["members"] == 2)
            let after = try await memory(node, bed)
            #expect(after < before + (16 << 10), "\(before) kB, then \(after) kB")
        }
        mallory.send("enough")
        #expect(try await mallory.exit() == 0, "\(mallory.errors)")
        var seen: [String: Int] = [:]
        for line in mallory.output.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2 { seen[String(words[0])] = Int(words[1]) }
        }
        #expect(seen["copied"] ?? 0 >= 4 && seen["packets"] ?? 0 > 50, "\(seen)")
        #expect(seen["heard"] == 0, "\(seen)")
        #expect((1...100).contains(seen["connections"] ?? 0), "\(seen)")
        for (index, node) in nodes.enumerated() { try await stop(node, on: index + 1, bed) }
    }
}
