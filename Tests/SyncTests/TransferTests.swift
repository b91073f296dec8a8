// Bulk rows: cut anywhere and resumed, slowed down, interrupted by a busy store.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Wire

@Suite struct TransferTests {
    private func small(_ seed: UInt64 = 7) -> Cluster {
        let cluster = Cluster(2, seed: seed)
        for replica in cluster.replicas { replica.chunkRows = 3 }
        cluster.fill(0, rows: 6, prefix: "a")
        cluster.fill(1, rows: 4, prefix: "b")
        return cluster
    }

    @Test func aSessionCutAtEveryByteStillEndsEqual() {
        var size = 0
        let whole = small()
        whole.network.onFrame = { frame, _ in size += frame.count + 4 }
        whole.network.discoverAll()
        #expect(whole.converge(within: 5_000))
        whole.network.run(for: 100)
        #expect(size > 500)

        for cut in 0..<size {
            let cluster = small()
            cluster.network.onConnection = { connection in
                if connection === cluster.network.connections.first {
                    connection.bytesUntilCut = cut
                }
            }
            cluster.network.discoverAll()
            #expect(cluster.converge(within: 20_000), "cut at byte \(cut)")
            cluster.expectSound("cut at byte \(cut)")
        }
    }

    @Test func everyConnectionCutAtTheSameFrameStillEndsEqual() {
        for frames in 10..<24 {
            let cluster = small(UInt64(frames))
            cluster.network.onConnection = { $0.framesUntilCut = frames }
            cluster.network.discoverAll()
            // Progress is kept: even connections of a few frames bring it to its end.
            #expect(cluster.converge(within: 3_600_000), "\(frames) frames")
            cluster.expectSound("\(frames) frames")
        }
    }

    @Test func aBrokenTransferResumes() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 1_000)
        cluster.network.onConnection = { connection in
            if connection === cluster.network.connections.first { connection.framesUntilCut = 100 }
        }
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 10_000))
        #expect(cluster.replicas[0].lastResume != nil)
        // At most the chunks in flight were sent twice.
        #expect(cluster.replicas[0].sentRows <= 1_000 + 10 * SyncLimits.creditWindow)
        cluster.expectSound()
    }

    @Test func aBrokenTransferResumesAlthoughTheReceiverWrites() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 1_000)
        cluster.network.onConnection = { connection in
            if connection === cluster.network.connections.first {
                connection.framesUntilCut = 100
            } else {
                cluster.replicas[1].write("mine", "x")
            }
        }
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 10_000))
        #expect(cluster.replicas[0].sentRows <= 1_000 + 10 * SyncLimits.creditWindow)
    }

    @Test func chunksInFlightStayWithinTheWindow() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 500)
        var sent = 0
        var credited = 0
        var most = 0
        cluster.network.onFrame = { frame, _ in
            guard let message = try? Message(decoding: frame) else { return }
            switch message {
            case .chunk, .wholeDelta: sent += 1
            case .credit(let count): credited += count
            case .statement(let statement): credited += statement.credit
            default: break
            }
            most = max(most, sent - credited)
        }
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 10_000))
        #expect(most == SyncLimits.creditWindow)
    }

    @Test func aSlowLineIsFedOnlyAsFastAsItDrains() {
        let cluster = Cluster(2)
        let body = String(repeating: "0123456789abcdef", count: 1_500)
        for row in 0..<400 { cluster.replicas[0].write("\(row)", body + "\(row)") }
        cluster.network.bytesPerMillisecond = 2
        var most = 0
        cluster.network.onFrame = { _, end in most = max(most, end.queuedBytes) }
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 3_600_000))
        #expect(most <= SyncLimits.queueHighWaterBytes + WireLimits.frameBytesMax)
        cluster.expectSound()
    }

    @Test func aSnapshotHeldTooLongIsGivenBackAndTheDeltaGoesOn() {
        let cluster = Cluster(2)
        var random = SeededGenerator(seed: 4)
        for row in 0..<400 {
            let noise = (0..<60).map { _ in String(random.next(), radix: 36) }.joined()
            cluster.replicas[0].write("\(row)", noise)
        }
        // About half a minute for all of it, in one connection.
        cluster.network.bytesPerMillisecond = 6
        var begins = 0
        var continuations = 0
        cluster.network.onFrame = { frame, _ in
            if case .deltaBegin(let header)? = try? Message(decoding: frame) {
                begins += 1
                if header.isContinuation { continuations += 1 }
            }
        }
        cluster.network.discoverAll()
        var writes = 0
        for second in 1...25 {
            cluster.network.schedule(at: cluster.network.now + Milliseconds(second) * 1_000) {
                cluster.write(0, "\(second * 3)", "new \(second)")
                writes += 1
            }
        }
        #expect(cluster.converge(within: 600_000))
        #expect(continuations >= 2)
        #expect(cluster.replicas[0].openSources == 0)
        #expect(cluster.network.connections.filter(\.isOpen).count == 1)
        cluster.expectSound()
    }

    @Test func aStuckPullGivesWay() {
        let cluster = Cluster(3)
        cluster.fill(0, rows: 2_000)
        cluster.network.discover(cluster.nodes[1], cluster.nodes[0])
        #expect(cluster.network.run(for: 5_000) { cluster.replicas[1].visible.count == 2_000 })
        // Node 2 fetches from node 0, which falls silent in the middle; node 1 has it too.
        cluster.network.discover(cluster.nodes[2], cluster.nodes[0])
        cluster.network.run(for: 100) { cluster.replicas[2].rows.count > 200 }
        cluster.network.separate(cluster.nodes[2], cluster.nodes[0], breaks: false)
        cluster.network.discover(cluster.nodes[2], cluster.nodes[1])
        let start = cluster.network.now
        #expect(cluster.network.run(for: 60_000) { cluster.replicas[2].visible.count == 2_000 })
        #expect(cluster.network.now - start < 11_500)
    }

    @Test func halfReceivedRowsAreOfferedOnward() {
        let cluster = Cluster(3)
        cluster.fill(0, rows: 100)
        cluster.network.onConnection = { $0.framesUntilCut = 22 }
        cluster.network.discover(cluster.nodes[1], cluster.nodes[0])
        #expect(cluster.network.run(for: 1_000) { cluster.replicas[1].rows.count >= 20 })
        cluster.network.stop(cluster.nodes[0])
        cluster.network.run(for: 100)
        cluster.network.onConnection = nil
        let half = cluster.replicas[1].rows.count
        #expect(half < 100)

        cluster.network.discover(cluster.nodes[2], cluster.nodes[1])
        #expect(cluster.network.run(for: 5_000) { cluster.replicas[2].rows.count == half })
        // Both stay half, agree on it, and are quiet.
        let sent = cluster.replicas[1].sentRows
        cluster.network.run(for: 120_000)
        #expect(cluster.replicas[1].sentRows == sent)
        #expect(cluster.replicas[2].sentRows == 0)

        cluster.network.restart(cluster.nodes[0])
        cluster.network.discover(cluster.nodes[0], cluster.nodes[2])
        #expect(cluster.network.run(for: 60_000) { cluster.isConverged })
        cluster.expectSound(hasStops: true)
    }

    @Test func halfReceivedRowsReachWhoListensAlready() {
        let cluster = Cluster(3)
        cluster.fill(0, rows: 200)
        cluster.network.discover(cluster.nodes[1], cluster.nodes[2])
        cluster.network.run(for: 5_000)
        cluster.network.discover(cluster.nodes[1], cluster.nodes[0])
        #expect(cluster.network.run(for: 1_000) { cluster.replicas[1].rows.count >= 100 })
        cluster.network.stop(cluster.nodes[0])
        cluster.network.run(for: 5_000)
        let half = cluster.replicas[1].rows.count
        #expect((100..<200).contains(half))
        #expect(cluster.replicas[2].rows.count == half)
        // Neither is whole, both agree, and there is no to and fro.
        #expect(cluster.replicas[1].sentRows == half)
        cluster.network.run(for: 120_000)
        #expect(cluster.replicas[1].sentRows == half)
        #expect(cluster.replicas[2].sentRows == 0)
        #expect(cluster.nodes[1].engine.peersStatus(cluster.network.now).first?.isWhole == false)
    }

    @Test func aBusyStoreDelaysAndLosesNothing() {
        for seed in UInt64(1)...40 {
            let cluster = Cluster(2, seed: seed)
            cluster.fill(0, rows: 60, prefix: "a")
            cluster.fill(1, rows: 60, prefix: "b")
            var random = SeededGenerator(seed: seed)
            for replica in cluster.replicas {
                replica.failures = {
                    random.chance(1, in: 3)
                        ? MemoryError(isRetryable: true, description: "database is locked") : nil
                }
            }
            cluster.network.discoverAll()
            cluster.network.run(for: 20_000)
            for replica in cluster.replicas { replica.failures = nil }
            #expect(cluster.isConverged, "seed \(seed)")
            #expect(cluster.network.connections.count == 1, "seed \(seed)")
            cluster.expectSound()
        }
    }

    @Test func aStoreThatFailsForGoodIsShownAndTriedAgain() {
        let cluster = Cluster(2)
        cluster.fill(0, rows: 20)
        let full = MemoryError(isRetryable: false, description: "the disk is full")
        var calls = 0
        cluster.network.discoverAll()
        cluster.replicas[1].failures = {
            calls += 1
            return calls > 3 && calls < 30 ? full : nil
        }
        cluster.network.run(for: 2_000)
        let isTold = cluster.nodes[1].events.contains(.storeTrouble("the disk is full"))
        #expect(isTold)
        #expect(cluster.converge(within: 120_000))
    }

    @Test func aRowLargerThanAFrameArrives() {
        let cluster = Cluster(2)
        var random = SeededGenerator(seed: 9)
        let noise = (0..<250_000).map { _ in String(random.next(), radix: 36) }.joined()
        cluster.replicas[0].write("large", noise)
        cluster.network.discoverAll()
        #expect(cluster.network.run(for: 5_000) { cluster.replicas[1].value("large") == noise })
    }

    /// What lies beyond the vector changes with every chunk: it is looked at in whole once rows stop coming.
    @Test func whatIsHalfReceivedIsLookedAtOnceNothingComes() {
        let peer = RawPeer(rows: 1)
        peer.activate()
        func look() -> Bool? {
            peer.replica.write("row0", "value \(peer.now)")
            peer.engine.storeChanged(now: peer.now)
            peer.advance(100)
            return peer.replica.looks.last
        }
        #expect(look() == false)
        peer.say(.deltaBegin(RawPeer.header(to: 2)))
        peer.say(.chunk(RawPeer.chunk))
        #expect(look() == true)
        // The peer says that it lives, and sends nothing.
        for _ in 0..<11 {
            peer.say(.ping(1))
            peer.advance(1_000)
        }
        #expect(look() == false)
        peer.say(.chunk(RawPeer.chunk))
        #expect(look() == true)
        peer.engine.linkClosed(peer.link, reason: "the connection broke", now: peer.now)
        peer.advance(100)
        #expect(peer.replica.looks.last == false)
    }

    /// Reproducer: chunk after chunk was stored without a pause, and a program that wrote meanwhile waited
    /// for 2.3 seconds. Storing takes 20 milliseconds here.
    @Test(arguments: [false, true])
    func theFileIsLeftToProgramsBetweenChunks(isWritten: Bool) {
        let peer = RawPeer(rows: 1)
        peer.activate()
        if isWritten { peer.engine.programWrote(now: peer.now) }
        peer.say(.deltaBegin(RawPeer.header(to: 2)))
        peer.say(.chunk(RawPeer.chunk))
        #expect(peer.engine.nextDeadline.map { $0 <= peer.now } == true)
        #expect(peer.credits == 1)
        peer.advance(20)
        peer.say(.chunk(RawPeer.chunk))
        peer.advance(isWritten ? 19 : 1)
        #expect(peer.credits == 1)
        peer.advance(1)
        #expect(peer.credits == 2)
        // Not for longer than is fair.
        peer.say(.chunk(RawPeer.chunk))
        #expect(peer.credits == 3)
        peer.advance(1_000)
        peer.say(.chunk(RawPeer.chunk))
        peer.advance(49)
        #expect(peer.credits == 3)
        peer.advance(1)
        #expect(peer.credits == 4)
    }
}
