// The live stream: what it costs, that it does not echo, and that differences are seen.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Wire

/// Counts messages by kind.
private final class Tally {
    var kinds: [String: Int] = [:]
    var frames = 0

    init(_ network: SimulatedNetwork) {
        network.onFrame = { [unowned self] frame, _ in
            guard let message = try? Message(decoding: frame) else { return }
            frames += 1
            let name = "\(message)".prefix { $0.isLetter }
            kinds[String(name), default: 0] += 1
        }
    }
}

@Suite struct StreamTests {
    @Test func equalReplicasCostOneRoundTrip() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 50)
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 2_000))
        cluster.network.stop(cluster.nodes[0])
        cluster.network.restart(cluster.nodes[0])
        cluster.network.latencyRange = 100...100
        let tally = Tally(cluster.network)
        let opened = cluster.replicas.map(\.openedSources)
        let start = cluster.network.now
        #expect(
            cluster.network.run(for: 20_000) {
                cluster.nodes.allSatisfy { $0.engine.connectedPeers == 1 }
            })
        let last = cluster.network.connections.last
        #expect(cluster.network.now - (last?.openedAt ?? start) == 200)
        cluster.network.run(for: 5_000)
        #expect(tally.kinds == ["hello": 2, "state": 2, "want": 2])
        #expect(cluster.replicas.map(\.openedSources) == opened)
        #expect(cluster.nodes.allSatisfy { $0.engine.isSynced(cluster.network.now) })
    }

    @Test func oneCommitCostsOneDeltaAndOneStatement() {
        let cluster = Cluster(2)
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000)
        let tally = Tally(cluster.network)
        cluster.write(0, "key", "value")
        cluster.network.run(for: 5_000)
        #expect(tally.kinds == ["wholeDelta": 1, "statement": 1])
        #expect(cluster.replicas[1].stated["node0"]?.vector == cluster.replicas[0].vector)
        #expect(cluster.replicas[0].stated["node1"]?.vector == cluster.replicas[0].vector)
    }

    @Test func nothingIsSentTwiceInAFullMesh() {
        let cluster = Cluster(5)
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000)
        for round in 0..<20 {
            cluster.write(round % 5, "key\(round)", "value")
            cluster.network.run(for: 200)
        }
        #expect(cluster.isConverged)
        // Twenty changes, four others each: nobody forwards what the others have.
        #expect(cluster.replicas.reduce(0) { $0 + $1.sentRows } == 80)
        cluster.expectSound()
    }

    @Test func changesAreForwardedAlongAChainWithoutEcho() {
        let cluster = Cluster(5)
        for index in 0..<4 {
            cluster.network.discover(cluster.nodes[index], cluster.nodes[index + 1])
        }
        cluster.network.run(for: 5_000)
        let start = cluster.network.now
        cluster.write(0, "key", "value")
        #expect(cluster.network.run(for: 2_000) { cluster.replicas[4].value("key") == "value" })
        #expect(cluster.network.now - start < 4 * 70)
        cluster.network.run(for: 5_000)
        #expect(cluster.replicas.map(\.sentRows) == [1, 1, 1, 1, 0])
    }

    @Test func aBurstOfCommitsIsJoinedIntoFewDeltas() {
        let cluster = Cluster(2)
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000)
        let tally = Tally(cluster.network)
        for commit in 0..<200 {
            cluster.network.schedule(at: cluster.network.now + Milliseconds(commit / 4)) {
                cluster.write(0, "key\(commit)", "value")
            }
        }
        cluster.network.run(for: 5_000)
        #expect(cluster.isConverged)
        #expect(cluster.replicas[0].sentRows == 200)
        #expect(tally.kinds["wholeDelta", default: 0] <= 30)
    }

    @Test func writesOnBothSidesAtOnceMeetAndRest() {
        let cluster = Cluster(2)
        cluster.network.latencyRange = 5...25
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000)
        for index in 0..<50 {
            cluster.network.schedule(at: cluster.network.now + Milliseconds(index * 7)) {
                cluster.write(0, "key\(index % 10)", "left \(index)")
                cluster.write(1, "key\(index % 10)", "right \(index)")
            }
        }
        cluster.network.run(for: 3_000)
        #expect(cluster.isConverged)
        let tally = Tally(cluster.network)
        cluster.network.run(for: 9_000)
        #expect(tally.frames <= 4)
        cluster.expectSound()
    }

    @Test func structureGoesBeforeRowsAndSettles() {
        let cluster = Cluster(2)
        cluster.replicas[0].addColumn("first")
        cluster.replicas[1].addColumn("second")
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000)
        #expect(cluster.replicas[0].columns == ["value", "first", "second"])
        #expect(cluster.replicas[0].columns == cluster.replicas[1].columns)

        var order: [String] = []
        cluster.network.onFrame = { frame, end in
            guard end.node === cluster.nodes[0], let message = try? Message(decoding: frame) else {
                return
            }
            order.append(String("\(message)".prefix { $0.isLetter }))
        }
        cluster.replicas[0].addColumn("third")
        cluster.write(0, "key", "value")
        cluster.network.run(for: 5_000)
        #expect(order.first == "schema")
        #expect(order.filter { $0 == "schema" }.count == 1)
        #expect(cluster.replicas[1].columns.contains("third"))
    }

    @Test func equalVectorsWithDifferentContentAreSaidAloud() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 5)
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 2_000))
        cluster.replicas[1].corrupt("row3")
        cluster.write(0, "key", "value")
        cluster.network.run(for: 2_000)
        for (index, node) in cluster.nodes.enumerated() {
            #expect(node.events.contains(.divergence(node: "node\(1 - index)")))
            let status = node.engine.peersStatus(cluster.network.now).first
            #expect(status?.isDivergent == true)
            #expect(status?.remedy != nil)
            #expect(!node.engine.isSynced(cluster.network.now))
        }
    }

    @Test func syncedMeansStatedByBothSides() {
        let cluster = Cluster(2)
        cluster.network.latencyRange = 50...50
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000)
        #expect(cluster.nodes[0].engine.isSynced(cluster.network.now))
        cluster.replicas[0].write("key", "value")
        // Not even the file watch has seen it, and yet it counts.
        #expect(!cluster.nodes[0].engine.isSynced(cluster.network.now))
        cluster.network.enter(cluster.nodes[0]) { $0.storeChanged(now: cluster.network.now) }
        cluster.network.run(for: 60)
        #expect(cluster.replicas[1].value("key") == "value")
        #expect(!cluster.nodes[0].engine.isSynced(cluster.network.now))
        cluster.network.run(for: 60)
        #expect(cluster.nodes[0].engine.isSynced(cluster.network.now))
    }

    @Test func progressIsKnownFromTheStart() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 500)
        cluster.network.latencyRange = 20...20
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000) { cluster.replicas[1].rows.count >= 100 }
        let status = cluster.nodes[1].engine.peersStatus(cluster.network.now).first
        let progress = status?.progress.first
        #expect(progress?.isIncoming == true)
        #expect(progress?.rowsTotal == 500)
        #expect((100...200).contains(progress?.rowsDone ?? 0))
        #expect(status?.ahead == 500)
        let other = cluster.nodes[0].engine.peersStatus(cluster.network.now).first
        #expect(other?.behind == 500)
        #expect(other?.progress.first?.isIncoming == false)
        #expect((status?.bytesIn ?? 0) > 1_000)
    }
}
