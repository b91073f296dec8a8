// Any sequence of messages, bytes and pauses, said to the real session engine over a real store.

import CausalModel
import Store
import Sync
import TestKit
import Wire

/// The far end of one link; it counts what is sent and reads it as a peer would.
private final class AttackedLink: Link {
    var frames = 0
    var bytes = 0
    var isClosed = false
    var queuedBytes = 0
    private var assembler = MessageAssembler()
    private(set) var failure: (any Error)?

    func send(_ frame: [UInt8]) {
        frames += 1
        bytes += frame.count
        if isClosed { failure = FuzzFailure(description: "a frame was sent after the end") }
        do { _ = try assembler.take(frame, isTrusted: true) } catch { failure = failure ?? error }
    }

    func close() { isClosed = true }
    func abort() { isClosed = true }
}

/// One peer's side of the story that the input tells.
private struct Attack {
    let engine: SyncEngine
    let link = AttackedLink()
    let id: LinkID
    let fixture: StoreFixture
    var now: Milliseconds = 10_000

    init(_ replica: Replica, _ fixture: StoreFixture) {
        var generator = SeededGenerator(seed: 5)
        self.fixture = fixture
        engine = SyncEngine(
            configuration: SyncConfiguration(
                node: "node", group: "group", name: "node", run: 1, listenPort: 1),
            replica: replica, random: { generator.next() },
            isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
        id = engine.linkOpened(
            link, direction: .accepted, address: PeerAddress(host: "10.9.9.9", port: 9), now: now)
    }

    mutating func step(_ input: inout FuzzInput) throws {
        let before = link.frames
        switch input.below(12) {
        case 0: engine.received(id, input.bytes(), now: now)
        case 1: now += 1 << Milliseconds(input.below(16))
        case 2: engine.heard(id, now: now)
        case 3: engine.storeChanged(now: now)
        case 4: engine.networkChanged(now)
        case 5:
            link.queuedBytes = Int(input.byte()) << 12
            engine.linkWritable(id, now: now)
        default: engine.received(id, message(&input).encoded, now: now)
        }
        var rounds = 0
        while let due = engine.nextDeadline, due <= now {
            engine.tick(now)
            rounds += 1
            try promise(rounds < 200, "the engine is never done")
        }
        try promise(link.frames - before < 200, "one step makes \(link.frames - before) frames")
        if let failure = link.failure { throw failure }
    }

    private func vector(_ input: inout FuzzInput) -> VersionVector {
        switch input.below(4) {
        case 0: VersionVector()
        case 1: fixture.header.snapshot
        case 2: VersionVector([(fixture.header.source, UInt64(input.byte()))])
        default: VersionVector([(engine.own?.origin ?? sampleOrigins[1], UInt64(input.byte()))])
        }
    }

    private func message(_ input: inout FuzzInput) -> Message {
        let source = fixture.header.source
        func header(_ input: inout FuzzInput) -> HeaderMessage {
            HeaderMessage(
                source: source, base: vector(&input), snapshot: vector(&input), rows: 3, bytes: 9,
                isContinuation: input.byte() & 3 == 3)
        }
        func chunk(_ input: inout FuzzInput) -> ChunkMessage {
            let isLast = input.byte() & 1 == 0
            let own = input.bytes()
            return ChunkMessage(
                body: own.isEmpty ? fixture.chunk : own, rows: 3, position: Dot(source, 1),
                isLast: isLast)
        }
        func statement(_ input: inout FuzzInput) -> StatementMessage {
            StatementMessage(
                origin: source, vector: vector(&input), isWhole: input.byte() < 200, beyondHash: 0,
                digest: UInt64(input.byte()), schemaFingerprint: UInt64(input.below(3)),
                choice: UInt64(input.below(3)), credit: input.below(6))
        }
        switch input.below(10) {
        case 0:
            return .hello(
                HelloMessage(
                    group: input.byte() < 250 ? "group" : "other", node: "raw", run: 5, name: "raw",
                    origin: source, listenPort: 0, schemaFingerprint: 0, dial: 1))
        case 1: return .state(statement(&input))
        case 2: return .statement(statement(&input))
        case 3:
            let base = vector(&input)
            let isResumed = input.byte() > 200
            return .want(
                WantMessage(
                    base: base, isFetch: input.byte() < 128,
                    resume: isResumed
                        ? ResumeMessage(
                            source: engine.own?.origin ?? source, receiver: source, base: base,
                            snapshot: vector(&input), position: Dot(source, 1)) : nil))
        case 4: return .deltaBegin(header(&input))
        case 5: return .chunk(chunk(&input))
        case 6: return .wholeDelta(header(&input), chunk(&input))
        case 7: return .deltaEnd
        case 8: return .credit(input.below(6))
        default: return .schema(fingerprint: 1, description: fixture.description)
        }
    }
}

extension FuzzTarget {
    static let session = FuzzTarget(
        name: "session", bytesMax: 512,
        seeds: {
            let start: [UInt8] = [6, 0, 0, 6, 1, 1, 0, 0, 0, 0, 0]
            return [
                start + [6, 4, 0, 1, 0, 6, 5, 0, 0, 6, 7, 1, 9], start + [6, 3, 0, 0, 0, 1, 12],
                start + [6, 6, 0, 1, 0, 0, 0, 6, 2, 1, 0, 0, 0, 0, 1], start + [6, 9, 6, 8, 1],
                [0, 3, 1, 2, 3], start + [1, 15, 1, 15, 2, 3, 4, 5, 255],
            ]
        },
        check: { bytes in
            let fixture = try StoreFixture.shared()
            try fixture.withVictim { replica, _ in
                var input = FuzzInput(bytes)
                var attack = Attack(replica, fixture)
                while !input.isAtEnd, !attack.link.isClosed { try attack.step(&input) }
                if !attack.link.isClosed {
                    attack.engine.linkClosed(attack.id, reason: "end", now: attack.now)
                }
                try promise(attack.engine.connectedPeers == 0, "a session outlived its link")
            }
        })
}
