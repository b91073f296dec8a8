// kill -9 of nodes and of apps in the middle of anything: nothing that was committed is lost, no
// file is damaged, and all nodes become equal.

import Node
import TestKit
import Testing

@Suite(.fewAtOnce) struct NodeKillTests {
    private static let rounds = 50

    @Test(.timeLimit(.minutes(10))) func fiftyKillsLoseNoCommittedWrite() async throws {
        let seed = FaultMode.seed
        var random = SeededGenerator(seed: seed)
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "cid", schema: Scripts.tables)
        var writers: [ChildProcess?] = [nil, nil, nil]
        func diary(_ node: TestNode) -> String { flock.path("diary-\(node.name)") }
        func write(_ index: Int) throws {
            let node = nodes[index]
            writers[index] = try flock.spawn(
                [
                    Flock.python, "-c", Scripts.writer, node.file, diary(node), node.name,
                    "\(random.below(1 << 30))", "0.004",
                ], name: "writer-\(node.name)")
        }
        for (index, node) in nodes.enumerated() {
            try await node.start(peers: Array(nodes[..<index]))
        }
        try await flock.converge(nodes)
        for index in nodes.indices { try write(index) }
        try await flock.until("everybody writes") {
            nodes.allSatisfy { Files.exists(diary($0)) }
        }

        for round in 1...Self.rounds {
            try await Task.sleep(for: .milliseconds(random.below(400)))
            let index = random.below(nodes.count)
            let isNode = random.chance(3, in: 4)
            let victim = isNode ? nodes[index].process : writers[index]
            guard let victim, victim.isRunning else {
                let who = nodes[index].name + (isNode ? "'s node" : "'s writer")
                let errors = writers[index]?.errors ?? ""
                Issue.record(
                    "seed \(seed), round \(round): \(who) ended by itself\n\(errors)\(flock.story)")
                return
            }
            victim.kill()
            try await Task.sleep(for: .milliseconds(random.below(150)))
            if isNode {
                try nodes[index].launch(peers: nodes.filter { $0 !== nodes[index] })
            } else {
                try write(index)
            }
        }

        for writer in writers { writer?.endInput() }
        for writer in writers { try await writer?.exit() }
        for node in nodes { try await node.ready() }
        try await flock.converge(nodes)
        let found = try await flock.python(
            Scripts.checker,
            nodes.map(\.file) + ["--"] + nodes.flatMap { [$0.name, diary($0)] })
        flock.expect(
            found.hasPrefix("checked "), "seed \(seed): \(found.prefix(4000))")
        print("kill loop, seed \(seed): \(found.suffix(30))")
        let all =
            "SELECT * FROM own ORDER BY 1; SELECT * FROM shared ORDER BY 1; "
            + "SELECT * FROM fought ORDER BY 1"
        let shown = try await nodes[0].sql(all)
        for node in nodes {
            flock.expect(try await node.sql(all) == shown, "seed \(seed): \(node.name) differs")
            try await node.expectSound()
            #expect(try await node.stop() == 0)
        }
    }
}
