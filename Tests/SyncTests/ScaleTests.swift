// Large groups: each node dials a few neighbours, and yet everybody gets everything.

import CausalModel
import Glibc
import Store
import Sync
import TestKit
import TestNetwork
import Testing

@Suite struct ScaleTests {
    /// `STARLING_SCALE=1000` runs the size that the design names; it takes a minute.
    private var size: Int {
        getenv("STARLING_SCALE").flatMap { Int(String(cString: $0)) } ?? 25
    }

    @Test func aLargeGroupConvergesThroughNeighbours() {
        let count = size
        // A thousand origins in every vector would need tens of gigabytes for all nodes together.
        let writers = min(count, 25)
        let cluster = Cluster(count, seed: 77)
        cluster.network.latencyRange = 1...20
        let peers = cluster.nodes.map {
            RememberedPeer(node: $0.name, name: $0.name, addresses: [$0.address])
        }
        for node in cluster.nodes {
            cluster.network.enter(node) { engine in
                engine.updateBook(cluster.network.now) { $0.restore(peers) }
            }
        }
        #expect(
            cluster.network.run(for: 60_000) {
                cluster.nodes.allSatisfy { $0.engine.connectedPeers >= 2 }
            })
        for node in stride(from: 0, to: count, by: max(1, count / writers)) {
            cluster.write(node, "key\(node)", "value \(node)")
        }
        let start = cluster.network.now
        #expect(cluster.converge(within: 120_000))
        let links = cluster.network.connections.filter(\.isOpen).count
        let rows = cluster.replicas.reduce(0) { $0 + $1.sentRows }
        print(
            "\(count) nodes: equal \(cluster.network.now - start) ms after \(writers) wrote, "
                + "\(2 * links / count) links a node, "
                + "\(Double(rows) / Double(writers * (count - 1))) sends of each row to each node")

        let later = cluster.network.now
        cluster.write(0, "one", "more")
        #expect(
            cluster.network.run(for: 10_000) {
                cluster.replicas.allSatisfy { $0.value("one") != nil }
            })
        print("\(count) nodes: one change everywhere after \(cluster.network.now - later) ms")
        #expect(cluster.network.now - later < 3_000)
    }
}
