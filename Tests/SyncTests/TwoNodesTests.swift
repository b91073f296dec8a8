// Two engines, one link: first contact, the live stream, what it costs.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Wire

@Suite struct TwoNodesTests {
    @Test func bothSidesGetWhatTheyLack() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 25, prefix: "a")
        cluster.fill(1, rows: 35, prefix: "b")
        cluster.network.discoverAll()

        #expect(cluster.converge(within: 2_000))
        #expect(cluster.replicas[0].visible.count == 60)
        #expect(cluster.replicas[0].visible == cluster.replicas[1].visible)
        cluster.expectSound()
    }

    @Test func oneCommitArrivesWithinAMillisecondOfTheWire() {
        let cluster = Cluster(2)
        cluster.network.discoverAll()
        cluster.network.run(for: 5_000)
        let start = cluster.network.now
        cluster.write(0, "key", "value")

        #expect(cluster.network.run(for: 1_000) { cluster.replicas[1].value("key") == "value" })
        #expect(cluster.network.now - start <= 2)
    }

    /// Reproducer: that the other's changes are taken was said ten milliseconds after it was known, and
    /// nothing came before. Hello, state, request, rows: each takes a millisecond here.
    @Test func whoTakesPartIsSentRowsWithoutAPause() {
        let cluster = Cluster(2)
        let origins = Dictionary(
            uniqueKeysWithValues: zip(cluster.nodes.map(\.name), cluster.replicas.map(\.origin)))
        for (node, replica) in zip(cluster.nodes, cluster.replicas) {
            replica.write("row of \(node.name)", "value")
            _ = try? replica.summary()
            node.engine.membership = {
                Membership(
                    roles: origins.mapValues { _ in .writer }, origins: origins,
                    joins: [replica.origin: [Dot(replica.origin, 1)]])
            }
        }
        var connectedAt: Milliseconds?
        cluster.network.onConnection = { [unowned cluster] _ in connectedAt = cluster.network.now }
        cluster.network.discoverAll()
        let areEqual = cluster.network.run(for: 1_000) {
            cluster.replicas.allSatisfy { $0.visible.count == 2 }
        }
        #expect(areEqual)
        #expect(cluster.network.now - (connectedAt ?? 0) <= 5)
    }

    /// Whatever changes while two nodes greet each other is known to both soon, at whichever moment.
    @Test func newsInTheMiddleOfAGreetingArrive() {
        for moment in Milliseconds(0)..<60 {
            let cluster = Cluster(2)
            cluster.network.latencyRange = 5...20
            cluster.network.discoverAll()
            cluster.network.run(for: moment)
            for node in cluster.nodes {
                cluster.network.enter(node) { $0.setForwards(true, now: cluster.network.now) }
            }
            cluster.network.run(for: 5_000)
            #expect(cluster.nodes[0].engine.forwardingPeers == ["node1"], "after \(moment) ms")
            #expect(cluster.nodes[1].engine.forwardingPeers == ["node0"], "after \(moment) ms")
        }
    }
}
