// A hand-made peer: says to one engine whatever the test wants, and reads what it answers.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Wire

/// The far end of one accepted link.
final class RawPeer: Link {
    let replica: MemoryReplica
    let engine: SyncEngine
    private(set) var now: Milliseconds = 10_000
    private(set) var link = LinkID(0)
    private(set) var isClosed = false
    private(set) var isAborted = false
    private(set) var received: [Message] = []
    private(set) var frames = 0
    var queuedBytes = 0
    private var assembler = MessageAssembler()

    /// - Parameters:
    ///   - authenticated: the node whose key this end has proved.
    ///   - membership: what the engine asks about members.
    init(
        node: String = "node", seed: UInt64 = 1, rows: Int = 0, authenticated: String? = nil,
        membership: ((MemoryReplica) -> Membership?)? = nil
    ) {
        var random = SeededGenerator(seed: seed)
        replica = MemoryReplica(nextOrigin: { .random(using: &random) })
        for row in 0..<rows { replica.write("row\(row)", "value") }
        engine = SyncEngine(
            configuration: SyncConfiguration(
                node: node, group: "group", name: node, run: 1, listenPort: 1),
            replica: replica, random: { random.next() },
            isRetryable: { ($0 as? MemoryError)?.isRetryable ?? false })
        if let membership {
            engine.membership = { [replica] in
                // The real one reads what the replica has just taken in, and does not write.
                membership(replica)
            }
        }
        open(authenticated)
    }

    /// One more connection to the same engine.
    init(beside other: RawPeer, authenticated: String? = nil) {
        replica = other.replica
        engine = other.engine
        now = other.now
        open(authenticated)
    }

    private func open(_ authenticated: String?) {
        link = engine.linkOpened(
            self, direction: .accepted, address: PeerAddress(host: "10.9.9.9", port: 9),
            authenticated: authenticated, now: now)
    }

    func send(_ frame: [UInt8]) {
        frames += 1
        if let message = try? assembler.take(frame, isTrusted: true) { received.append(message) }
    }

    func close() { isClosed = true }
    func abort() {
        isClosed = true
        isAborted = true
    }

    func say(_ message: Message) { say(bytes: message.encoded) }

    func say(bytes: [UInt8]) { engine.received(link, bytes, now: now) }

    func advance(_ milliseconds: Milliseconds) {
        now += milliseconds
        var rounds = 0
        repeat {
            engine.tick(now)
            rounds += 1
        } while rounds < 100 && (engine.nextDeadline ?? .max) <= now
    }

    var goodbye: GoodbyeMessage? {
        for case .goodbye(let goodbye) in received { return goodbye }
        return nil
    }

    // MARK: Usual words

    static let origin = Origin(high: 77, low: 7)

    static func hello(node: String = "raw", group: String = "group", run: UInt64 = 5) -> Message {
        .hello(
            HelloMessage(
                group: group, node: node, run: run, name: "raw", origin: origin, listenPort: 0,
                schemaFingerprint: 0, dial: 1))
    }

    static func statement(_ vector: VersionVector = VersionVector()) -> StatementMessage {
        StatementMessage(
            origin: origin, vector: vector, isWhole: true, beyondHash: 0, digest: 0,
            schemaFingerprint: 0)
    }

    static func header(to number: UInt64, isContinuation: Bool = false) -> HeaderMessage {
        HeaderMessage(
            source: origin, base: VersionVector(), snapshot: VersionVector([(origin, number)]),
            rows: 1, bytes: 1, isContinuation: isContinuation)
    }

    static let chunk = ChunkMessage(
        body: [], rows: 0, position: Dot(origin, 1), isLast: false)

    func greet() { say(Self.hello()) }

    func activate() {
        greet()
        say(.state(Self.statement()))
    }

    /// The last statement of the engine, or its state.
    var told: StatementMessage? {
        received.reversed().lazy.compactMap {
            switch $0 {
            case .state(let statement), .statement(let statement): statement
            default: nil
            }
        }.first
    }

    var credits: Int {
        received.reduce(0) { sum, message in
            switch message {
            case .credit(let count): sum + count
            case .statement(let statement): sum + statement.credit
            default: sum
            }
        }
    }
}
