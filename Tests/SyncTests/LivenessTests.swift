// Noticing that a peer is gone, and not believing it too soon.

import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Wire

@Suite struct LivenessTests {
    private func connected(_ seed: UInt64 = 1) -> Cluster {
        let cluster = Cluster(2, seed: seed)
        cluster.network.discover(cluster.nodes[0], cluster.nodes[1])
        cluster.network.run(for: 5_000)
        return cluster
    }

    @Test func aDeadPeerIsNoticedWithinThirtySeconds() {
        let cluster = connected()
        cluster.network.run(for: 123_456)
        #expect(cluster.nodes[0].engine.connectedPeers == 1)
        cluster.network.separate(cluster.nodes[0], cluster.nodes[1], breaks: false)
        let start = cluster.network.now
        #expect(
            cluster.network.run(for: 60_000) {
                cluster.nodes.allSatisfy { $0.engine.connectedPeers == 0 }
            })
        #expect((19_000...30_000).contains(cluster.network.now - start))
    }

    @Test func anIdleConnectionCostsFewPings() {
        let cluster = connected()
        var frames = 0
        cluster.network.onFrame = { _, _ in frames += 1 }
        cluster.network.run(for: 600_000)
        #expect(cluster.nodes[0].engine.connectedPeers == 1)
        #expect((60...130).contains(frames))
    }

    @Test func aMachineThatSleptProbesAtOnce() {
        let cluster = connected()
        let start = cluster.network.now
        cluster.network.freeze(cluster.nodes[0])
        cluster.network.run(for: 1_000)
        // The other side goes away without a word while this one sleeps.
        cluster.network.separate(cluster.nodes[0], cluster.nodes[1], breaks: false)
        cluster.network.run(for: 3_600_000)
        cluster.network.thaw(cluster.nodes[0])
        #expect(cluster.network.now - start >= 3_600_000)
        let awake = cluster.network.now
        #expect(cluster.network.run(for: 10_000) { cluster.nodes[0].engine.connectedPeers == 0 })
        #expect(cluster.network.now - awake <= SyncLimits.probeMilliseconds)
    }

    @Test func aShortSleepKeepsTheConnection() {
        let cluster = connected()
        let count = cluster.network.connections.count
        cluster.network.freeze(cluster.nodes[0])
        cluster.network.run(for: 18_000)
        cluster.network.thaw(cluster.nodes[0])
        cluster.network.run(for: 60_000)
        #expect(cluster.network.connections.count == count)
        #expect(cluster.nodes.allSatisfy { $0.engine.connectedPeers == 1 })
    }

    @Test func aChangedNetworkProbesAndRedials() {
        let cluster = connected()
        cluster.network.separate(cluster.nodes[0], cluster.nodes[1], breaks: false)
        cluster.network.run(for: 1_000)
        cluster.network.join(cluster.nodes[0], cluster.nodes[1])
        cluster.network.enter(cluster.nodes[0]) { $0.networkChanged(cluster.network.now) }
        let start = cluster.network.now
        #expect(
            cluster.network.run(for: 20_000) {
                cluster.network.connections.count == 2
                    && cluster.nodes.allSatisfy { $0.engine.connectedPeers == 1 }
            })
        #expect(cluster.network.now - start < 5_000)
    }

    @Test func aSilentCallerIsDroppedAfterFiveSeconds() {
        let peer = RawPeer()
        peer.advance(4_999)
        #expect(!peer.isClosed)
        peer.advance(1)
        #expect(peer.isClosed)
        #expect(peer.goodbye?.code == .timeout)
    }

    @Test func aSlowLineWithLargeChunksIsNotTakenForDead() {
        let cluster = Cluster(2)
        cluster.replicas[0].chunkRows = 1
        var random = SeededGenerator(seed: 5)
        // Each chunk takes about a minute and a half.
        for row in 0..<3 {
            let noise = (0..<10_000).map { _ in String(random.next(), radix: 36) }.joined()
            cluster.replicas[0].write("\(row)", noise)
        }
        cluster.network.bytesPerMillisecond = 1
        cluster.network.discover(cluster.nodes[0], cluster.nodes[1])
        #expect(cluster.converge(within: 1_200_000))
        #expect(cluster.network.connections.count == 1)
    }
}
