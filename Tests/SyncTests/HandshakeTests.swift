// Who may talk to whom, and which of two connections survives.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Wire

@Suite struct HandshakeTests {
    private func dialEachOther(_ cluster: Cluster) {
        for (near, far) in [(0, 1), (1, 0)] {
            let address = cluster.nodes[far].address
            cluster.network.enter(cluster.nodes[near]) { engine in
                engine.updateBook(cluster.network.now) { $0.add(fixed: address) }
            }
        }
    }

    @Test func crossingDialsLeaveExactlyOneConnection() {
        for seed in UInt64(1)...1_000 {
            let cluster = Cluster(2, seed: seed)
            let slowest = 1 + Milliseconds(cluster.network.random.below(80))
            cluster.network.latencyRange = 1...slowest
            let delay = Milliseconds(cluster.network.random.below(60))
            let (first, second) = seed % 2 == 0 ? (0, 1) : (1, 0)
            let pairs = [(first, second, Milliseconds(0)), (second, first, delay)]
            for (near, far, wait) in pairs {
                let address = cluster.nodes[far].address
                cluster.network.schedule(at: cluster.network.now + wait) {
                    cluster.network.enter(cluster.nodes[near]) { engine in
                        engine.updateBook(cluster.network.now) { $0.add(fixed: address) }
                    }
                }
            }
            cluster.network.run(for: 10_000)
            let count = cluster.network.connections.count
            let open = cluster.network.openConnections(cluster.nodes[0], cluster.nodes[1]).count
            #expect(open == 1, "seed \(seed)")
            #expect(count <= 3, "seed \(seed)")
            cluster.network.run(for: 60_000)
            #expect(cluster.network.connections.count == count, "seed \(seed): flapping")
            #expect(cluster.nodes.allSatisfy { $0.engine.connectedPeers == 1 }, "seed \(seed)")
        }
    }

    @Test func severalAddressesOfOnePeerLeaveOneConnection() {
        for seed in UInt64(1)...100 {
            let cluster = Cluster(2, seed: seed)
            cluster.network.latencyRange = 1...40
            for index in 0..<2 {
                cluster.nodes[index].aliases = (0..<3).map {
                    PeerAddress(host: "192.168.\(index).\($0)", port: 5_000)
                }
            }
            for (near, far) in [(0, 1), (1, 0)] {
                let addresses = cluster.nodes[far].aliases
                cluster.network.enter(cluster.nodes[near]) { engine in
                    engine.updateBook(cluster.network.now) { book in
                        for address in addresses { book.add(fixed: address) }
                    }
                }
            }
            cluster.network.run(for: 60_000)
            let count = cluster.network.connections.count
            cluster.network.run(for: 600_000)
            let open = cluster.network.openConnections(cluster.nodes[0], cluster.nodes[1]).count
            #expect(open == 1, "seed \(seed)")
            #expect(cluster.network.connections.count == count, "seed \(seed): flapping")
        }
    }

    @Test func anotherGroupIsRefusedWithTheRemedy() {
        let cluster = Cluster(1)
        let stranger = cluster.network.addNode(
            "stranger", replica: cluster.makeReplica(), group: "other")
        cluster.network.discover(cluster.nodes[0], stranger)
        cluster.network.run(for: 5_000)

        let status = cluster.nodes[0].engine.peersStatus(cluster.network.now)
        #expect(status.first?.state == .refused)
        #expect(status.first?.lastError?.contains("group") == true)
        #expect(status.first?.remedy?.contains("starling join") == true)
        // Such a peer is left alone for a long time, until a person asks.
        let count = cluster.network.connections.count
        cluster.network.run(for: 10 * 60_000)
        #expect(cluster.network.connections.count == count)
        cluster.network.enter(cluster.nodes[0]) { $0.syncNow(cluster.network.now) }
        cluster.network.run(for: 100)
        #expect(cluster.network.connections.count == count + 1)
    }

    @Test func versionsThatDoNotMeetAreRefused() throws {
        let configuration = SyncConfiguration(
            node: "near", group: "g", name: "near", run: 1, listenPort: 1)
        func hello(_ versions: ClosedRange<UInt64>) -> Message {
            .hello(
                HelloMessage(
                    versions: versions, group: "g", node: "far", run: 2, name: "far",
                    origin: Origin(high: 1, low: 1), listenPort: 1, schemaFingerprint: 0, dial: 0))
        }
        let cases: [(ClosedRange<UInt64>, GoodbyeMessage.Code?)] = [
            (0...0, .versionTooOld), (2...9, .versionTooNew), (0...9, nil), (1...1, nil),
        ]
        for (versions, code) in cases {
            var session = Session(configuration: configuration, direction: .accepted, now: 0)
            do throws(SyncError) {
                _ = try session.receive(hello(versions), now: 1)
                #expect(code == nil)
            } catch {
                #expect(error.code == code)
            }
        }
    }

    @Test func theNodeItselfIsNoticedAndNeverDialledAgain() {
        let cluster = Cluster(1)
        let own = cluster.nodes[0].address
        cluster.network.enter(cluster.nodes[0]) { engine in
            engine.updateBook(cluster.network.now) { $0.add(fixed: own) }
        }
        cluster.network.run(for: 3_600_000)

        #expect(cluster.network.connections.count == 1)
        let status = cluster.nodes[0].engine.peersStatus(cluster.network.now)
        #expect(status.map(\.state) == [.isSelf])
    }

    @Test func aPeerThatSharesAnAddressWithThisNodeIsReachedByItsOther() {
        let cluster = Cluster(2)
        let bridge = PeerAddress(host: "172.17.0.1", port: 4_000)
        cluster.nodes[0].aliases = [bridge]
        let other = cluster.nodes[1]
        cluster.network.enter(cluster.nodes[0]) { engine in
            engine.updateBook(cluster.network.now) {
                $0.discovered(
                    node: other.name, name: "", addresses: [bridge, other.address],
                    now: cluster.network.now)
            }
        }
        cluster.network.run(for: 5_000)
        #expect(cluster.nodes[0].engine.connectedPeers == 1)
    }

    @Test func aCopiedHomeIsRefusedOnBothSides() {
        let cluster = Cluster(1)
        let clone = cluster.network.addNode("node0", replica: cluster.makeReplica())
        let address = clone.address
        cluster.network.enter(cluster.nodes[0]) { engine in
            engine.updateBook(cluster.network.now) { $0.add(fixed: address) }
        }
        cluster.network.run(for: 5_000)
        let status = cluster.nodes[0].engine.peersStatus(cluster.network.now)
        #expect(status.first?.state == .refused)
        #expect(status.first?.remedy?.contains("identity") == true)
    }

    @Test func twoClonesAtAThirdNodeAreNoticed() {
        let cluster = Cluster(1)
        let original = cluster.network.addNode("twin", replica: cluster.makeReplica())
        let clone = cluster.network.addNode("twin", replica: cluster.makeReplica())
        for twin in [original, clone] { cluster.network.discover(twin, cluster.nodes[0]) }
        cluster.network.run(for: 120_000)
        // One of the two is connected, the other was told why not, and there is no to and fro.
        #expect(cluster.nodes[0].engine.connectedPeers == 1)
        #expect(cluster.network.connections.count < 8)
        let told = [original, clone].flatMap(\.events).contains {
            if case .refused(_, _, let reason) = $0 { return reason.contains("two running nodes") }
            return false
        }
        #expect(told)
    }

    @Test func aRestartedPeerReplacesItsHalfDeadConnection() {
        let cluster = Cluster(2)
        cluster.network.discoverAll()
        cluster.network.run(for: 60_000)
        let old = cluster.network.openConnections(cluster.nodes[0], cluster.nodes[1])
        // The machine of node 1 loses power: nobody is told; it comes back and dials.
        for connection in old { connection.isBlackHole = true }
        let stopped = cluster.nodes[1]
        cluster.network.restart(stopped)
        let start = cluster.network.now
        #expect(cluster.network.run(for: 10_000) { stopped.engine.connectedPeers == 1 })
        #expect(cluster.network.now - start < 1_000)
        cluster.write(0, "key", "after")
        #expect(cluster.network.run(for: 1_000) { cluster.replicas[1].value("key") == "after" })
    }

    @Test func oneProcessThatLostItsConnectionIsNotBlockedByIt() {
        // Each side in turn believes in the old connection, of either direction.
        for (believer, seed) in [(0, UInt64(1)), (1, 2), (0, 3), (1, 4)] {
            let cluster = Cluster(2, seed: seed)
            let starter = Int(seed % 2)
            let other = cluster.nodes[1 - starter]
            cluster.network.discover(cluster.nodes[starter], other)
            cluster.network.run(for: 60_000)
            let old = cluster.network.openConnections(cluster.nodes[0], cluster.nodes[1])[0]
            old.isBlackHole = true
            let loser = cluster.nodes[1 - believer]
            let end = old.dialer === loser ? old.dialerEnd : old.acceptorEnd
            if let id = end?.id {
                end?.isClosed = true
                cluster.network.enter(loser) {
                    $0.linkClosed(id, reason: "reset", now: cluster.network.now)
                }
            }
            let isBack = cluster.network.run(for: 10_000) {
                cluster.nodes.allSatisfy { $0.engine.connectedPeers == 1 }
                    && cluster.network.connections.count == 2
                    && old.dialerEnd?.isClosed == true && old.acceptorEnd?.isClosed == true
            }
            #expect(isBack, "believer \(believer) seed \(seed)")
        }
    }

    @Test func anOriginThatTwoNodesUseIsGivenUpByBoth() {
        let cluster = Cluster(1)
        let twin = cluster.replicas[0].copy()
        let other = cluster.network.addNode("other", replica: twin)
        cluster.network.discover(cluster.nodes[0], other)
        cluster.network.run(for: 10_000)

        #expect(cluster.replicas[0].newOrigins.count == 1)
        #expect(twin.newOrigins.count == 1)
        #expect(cluster.replicas[0].origin != twin.origin)
        #expect(cluster.nodes[0].engine.connectedPeers == 1)
    }

    @Test func aReplicaThatWasRolledBackTakesANewOriginAndGetsItsOwnRowsBack() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 5)
        _ = try? cluster.replicas[0].summary()
        let old = cluster.replicas[0].copy()
        cluster.fill(0, rows: 30, prefix: "later")
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 5_000))
        cluster.network.stop(cluster.nodes[0])

        // The file of before is put back, under the same identity.
        let restored = cluster.network.addNode("node0", replica: old)
        cluster.network.discover(restored, cluster.nodes[1])
        cluster.network.run(for: 5_000)
        #expect(old.newOrigins.count == 1)
        #expect(old.visible == cluster.replicas[1].visible)
        old.write("again", "x")
        cluster.network.enter(restored) { $0.storeChanged(now: cluster.network.now) }
        cluster.network.run(for: 1_000)
        #expect(cluster.replicas[1].value("again") == "x")
    }
}
