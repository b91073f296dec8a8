// Peers that break the protocol, by accident or on purpose: told why, cut off, nothing else.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Wire

@Suite struct HostileTests {
    enum Moment: CaseIterable { case greeting, stating, active, receiving }

    private func peer(at moment: Moment) -> RawPeer {
        let peer = RawPeer(rows: 3)
        if moment == .greeting { return peer }
        peer.greet()
        if moment == .stating { return peer }
        peer.say(.state(RawPeer.statement()))
        if moment == .active { return peer }
        peer.say(.deltaBegin(RawPeer.header(to: 5)))
        return peer
    }

    @Test(arguments: Moment.allCases) func garbageEndsTheConnection(moment: Moment) {
        var random = SeededGenerator(seed: 41)
        for _ in 0..<300 {
            let peer = peer(at: moment)
            let bytes = (0..<random.below(80)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            peer.say(bytes: bytes)
            // Kinds of 128 and more may be skipped; all else is the end.
            if bytes.first ?? 0 < 128 {
                #expect(peer.isClosed)
                #expect(peer.goodbye?.code == .malformed)
                #expect(peer.engine.connectedPeers == 0)
            }
        }
    }

    @Test(arguments: Moment.allCases) func framesBeyondTheLimitEndTheConnection(moment: Moment) {
        let peer = peer(at: moment)
        let limit = moment == .greeting ? WireLimits.helloBytesMax : WireLimits.frameBytesMax
        peer.say(bytes: [UInt8](repeating: 200, count: limit + 1))
        #expect(peer.goodbye?.code == .tooLarge)
        #expect(peer.isClosed)
    }

    @Test func messagesOutOfTurnEndTheConnection() {
        let whole = Message.wholeDelta(RawPeer.header(to: 1), RawPeer.chunk)
        let cases: [(Moment, [Message])] = [
            (.greeting, [.ping(1)]), (.greeting, [.state(RawPeer.statement())]),
            (.greeting, [.chunk(RawPeer.chunk)]), (.greeting, [whole]),
            (.stating, [RawPeer.hello()]), (.stating, [.deltaEnd]), (.stating, [.credit(1)]),
            (.stating, [.want(WantMessage(base: VersionVector(), isFetch: true, resume: nil))]),
            (.active, [RawPeer.hello()]), (.active, [.state(RawPeer.statement())]),
            (.active, [.chunk(RawPeer.chunk)]), (.active, [.deltaEnd]),
            (.active, [.credit(1)]), (.active, [.credit(65_536)]), (.active, [.credit(0)]),
            (.active, [.deltaBegin(RawPeer.header(to: 1, isContinuation: true))]),
            (.receiving, [.deltaEnd, .deltaEnd]),
            (.receiving, [.deltaEnd, .chunk(RawPeer.chunk)]),
            (.receiving, [.deltaBegin(RawPeer.header(to: 3, isContinuation: true))]),
        ]
        for (moment, messages) in cases {
            let peer = peer(at: moment)
            for message in messages {
                peer.say(message)
                peer.advance(0)
            }
            #expect(peer.goodbye?.code == .malformed, "\(moment) \(messages)")
            #expect(peer.isClosed)
        }
    }

    @Test func chunksWithoutCreditEndTheConnection() {
        let peer = peer(at: .receiving)
        peer.replica.failures = { MemoryError(isRetryable: true, description: "locked") }
        for _ in 0..<SyncLimits.creditWindow { peer.say(.chunk(RawPeer.chunk)) }
        #expect(!peer.isClosed)
        peer.say(.chunk(RawPeer.chunk))
        #expect(peer.goodbye?.text.contains("credit") == true)
        #expect(peer.isClosed)
    }

    @Test func aFloodEndsTheConnection() {
        let peer = peer(at: .active)
        for number in 0..<SyncLimits.messagesPerSecondMax + 1 where !peer.isClosed {
            peer.say(.ping(UInt64(number)))
        }
        #expect(peer.goodbye?.code == .flood)

        let patient = self.peer(at: .active)
        patient.replica.failures = { MemoryError(isRetryable: true, description: "locked") }
        patient.say(.deltaBegin(RawPeer.header(to: 5)))
        patient.say(.chunk(RawPeer.chunk))
        for _ in 0..<SyncLimits.inboxMessagesMax + 1 where !patient.isClosed {
            patient.say(.statement(RawPeer.statement()))
        }
        #expect(patient.goodbye?.code == .flood)
    }

    @Test func skippableMessagesAreSkipped() {
        for moment in Moment.allCases where moment != .greeting {
            let peer = peer(at: moment)
            peer.say(bytes: [255, 1, 2, 3])
            #expect(!peer.isClosed)
        }
    }

    @Test func aLyingVectorCostsAFewOriginsAndNoMore() {
        let peer = RawPeer(rows: 3)
        var announced: [String] = []
        peer.engine.onEvent = { if case .newOrigin(let reason) = $0 { announced.append(reason) } }
        peer.activate()
        for _ in 0..<20 where !peer.isClosed {
            let vector = VersionVector([(peer.replica.origin, 1 << 50)])
            peer.say(.statement(RawPeer.statement(vector)))
        }
        #expect(announced.count == SyncLimits.originChangesMax)
        #expect(peer.goodbye?.code == .malformed)
    }

    @Test func aDamagedChunkIsRefusedWithTheStoresWords() {
        let peer = peer(at: .receiving)
        peer.say(
            .chunk(
                ChunkMessage(
                    body: [9, 9, 9], rows: 1, position: Dot(RawPeer.origin, 1), isLast: true)))
        #expect(peer.goodbye?.code == .storeFailed)
        #expect(peer.replica.rows.count == 3)
        #expect(peer.replica.vector[RawPeer.origin] == 0)
    }

    @Test func anyOrderOfWellFormedMessagesIsSurvived() {
        var random = SeededGenerator(seed: 42)
        for round in 0..<400 {
            let peer = RawPeer(seed: UInt64(round), rows: 30)
            if random.chance(9, in: 10) { peer.activate() }
            for _ in 0..<40 where !peer.isClosed {
                switch random.below(6) {
                case 0: peer.advance(Milliseconds(random.below(3_000)))
                case 1:
                    let base = random.chance(1, in: 2) ? VersionVector() : peer.replica.vector
                    peer.say(.want(WantMessage(base: base, isFetch: true, resume: nil)))
                case 2: peer.say(.deltaBegin(RawPeer.header(to: UInt64(1 + random.below(9)))))
                case 3: peer.say(.wholeDelta(RawPeer.header(to: 9), RawPeer.chunk))
                default: peer.say(MessageTests.message(&random))
                }
            }
            if !peer.isClosed {
                peer.engine.linkClosed(peer.link, reason: "end", now: peer.now)
            }
            #expect(peer.replica.openSources == 0, "round \(round)")
            #expect(peer.replica.closedTwice == 0, "round \(round)")
        }
    }
}
