// A member with a real key that means harm: it says to the real engine of a real file whatever a test
// wants, and has a real file of its own, so that what it says can be well formed.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import Testing
import Wire

/// The far end of one link, and the node at the near end.
final class HostileMember: Link {
    static let wallClock: Int64 = 1_800_000_000_000
    static let schema = "CREATE TABLE tasks(id TEXT PRIMARY KEY NOT NULL, title TEXT, note TEXT)"

    let folder = TemporaryDirectory()
    /// The file under attack, and a program that uses it.
    let victim: Replica
    let app: Connection
    let engine: SyncEngine
    /// The attacker's own file, and the means to write it.
    let mine: Replica
    let pen: Connection
    private(set) var now: Milliseconds = 10_000
    private(set) var link = LinkID(0)
    private(set) var isClosed = false
    private(set) var received: [Message] = []
    private(set) var events: [SyncEvent] = []
    var queuedBytes = 0
    private var assembler = MessageAssembler()

    /// - Parameter origin: under which the attacker numbers; a random one for nil.
    init(as origin: ((Origin) -> Origin)? = nil) throws {
        let folder = folder
        func make(_ name: String, _ random: @escaping () -> UInt64) throws -> (Replica, Connection)
        {
            let app = try Connection(path: folder.file(name))
            try app.execute(Self.schema)
            let replica = try Replica(
                path: folder.file(name),
                environment: Replica.Environment(
                    wallClock: { Self.wallClock }, random: random))
            _ = try replica.track(["tasks"])
            try replica.finishScans()
            return (replica, app)
        }
        var random = SeededGenerator(seed: 7)
        let (attacked, program) = try make("victim.db") { random.next() }
        (victim, app) = (attacked, program)
        try program.execute("INSERT INTO tasks VALUES('own', 'of the victim', NULL)")
        _ = try attacked.summary()
        var words: [UInt64] = []
        if let forged = origin?(attacked.origin) { words = [forged.high, forged.low] }
        var others = SeededGenerator(seed: 8)
        (mine, pen) = try make("mine.db") { words.isEmpty ? others.next() : words.removeFirst() }
        var choice = SeededGenerator(seed: 9)
        engine = SyncEngine(
            configuration: SyncConfiguration(
                node: "node", group: "group", name: "node", run: 1, listenPort: 1),
            replica: attacked, random: { choice.next() },
            isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
        engine.membership = { Membership(roles: ["node": .writer, "raw": .writer]) }
        engine.onEvent = { [unowned self] in events.append($0) }
    }

    // MARK: Link

    func send(_ frame: [UInt8]) {
        if let message = try? assembler.take(frame, isTrusted: true) { received.append(message) }
    }
    func close() { isClosed = true }
    func abort() { isClosed = true }

    // MARK: Saying

    /// Connects, again when it was cut off, and is greeted.
    func connect(stating vector: VersionVector = VersionVector(), from origin: Origin? = nil) {
        greet()
        say(.state(statement(vector, from: origin)))
    }

    func greet(from origin: Origin? = nil) {
        if !isClosed { engine.linkClosed(link, reason: "again", now: now) }
        isClosed = false
        received = []
        assembler = MessageAssembler()
        link = engine.linkOpened(
            self, direction: .accepted, address: PeerAddress(host: "10.9.9.9", port: 9),
            authenticated: "raw", now: now)
        say(
            .hello(
                HelloMessage(
                    group: "group", node: "raw", run: 5, name: "raw", origin: origin ?? mine.origin,
                    listenPort: 0, schemaFingerprint: 0, dial: 1)))
    }

    func statement(_ vector: VersionVector, from origin: Origin? = nil) -> StatementMessage {
        StatementMessage(
            origin: origin ?? mine.origin, vector: vector, isWhole: true, beyondHash: 0, digest: 1,
            schemaFingerprint: 0)
    }

    func say(_ message: Message) {
        for frame in (try? MessageFrames.of(message)) ?? [] { say(bytes: frame) }
    }

    func say(bytes: [UInt8]) { engine.received(link, bytes, now: now) }

    /// All that the attacker's file holds as one delta, said to come from a replica at `snapshot`.
    func sayMine(snapshot: VersionVector? = nil, base: VersionVector = VersionVector()) throws {
        _ = try mine.summary()
        guard let delta = try mine.openDelta(base: VersionVector(), resume: nil) else { return }
        defer { delta.close() }
        guard let chunk = try delta.next() else { return }
        say(.wholeDelta(header(snapshot ?? delta.header.snapshot, base), message(chunk)))
    }

    func message(_ chunk: DeltaChunk) -> ChunkMessage {
        ChunkMessage(
            body: chunk.body, rows: chunk.rows, position: chunk.position.dot, isLast: chunk.isLast)
    }

    func header(_ snapshot: VersionVector, _ base: VersionVector = VersionVector())
        -> HeaderMessage
    {
        HeaderMessage(source: mine.origin, base: base, snapshot: snapshot, rows: 1, bytes: 1)
    }

    /// A delta without a row, which claims that all up to `snapshot` was said.
    func sayEmpty(_ snapshot: VersionVector) {
        say(.deltaBegin(header(snapshot)))
        say(.deltaEnd)
    }

    func advance(_ milliseconds: Milliseconds) {
        now += milliseconds
        var rounds = 0
        repeat {
            engine.tick(now)
            rounds += 1
        } while rounds < 100 && (engine.nextDeadline ?? .max) <= now
    }

    // MARK: Looking

    var goodbye: GoodbyeMessage? {
        for case .goodbye(let goodbye) in received { return goodbye }
        return nil
    }

    var newOrigins: Int {
        events.count { if case .newOrigin = $0 { true } else { false } }
    }

    /// The node is as sound as before and goes on: a program writes, and a change has a number.
    func expectSound(sourceLocation: SourceLocation = #_sourceLocation) throws {
        try app.execute("INSERT OR REPLACE INTO tasks VALUES('after', 'the attack', NULL)")
        engine.storeChanged(now: now)
        advance(1_000)
        let own = try victim.summary()
        #expect(own.vector[own.origin] > 0, sourceLocation: sourceLocation)
        #expect(try victim.verify() == [], sourceLocation: sourceLocation)
        #expect(
            try app.string("PRAGMA integrity_check") == "ok", sourceLocation: sourceLocation)
        let kept = try app.string("SELECT title FROM tasks WHERE id = 'own'")
        #expect(kept == "of the victim", sourceLocation: sourceLocation)
        // What it says of itself can be read by its peers.
        let told = Message.statement(
            StatementMessage(
                origin: own.origin, vector: own.vector, isWhole: own.isWhole,
                beyondHash: own.beyondHash, digest: own.digest,
                schemaFingerprint: own.schemaFingerprint))
        var reader = MessageAssembler()
        let read = try MessageFrames.of(told).compactMap { try reader.take($0, isTrusted: true) }
        #expect(read == [told], sourceLocation: sourceLocation)
    }
}
