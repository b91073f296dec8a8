// One request and its answer, between the thread of HTTP and the workers.

internal import CMicroHTTPD
internal import RelayProtocol
internal import Synchronization

/// One request. The connection is suspended while a worker has it; whoever sets the answer resumes it.
final class Exchange: Sendable {
    /// Of the HTTP library; also the name of the connection in the table of connections.
    let connection: UInt
    let address: String
    let begun: Int64
    private let state: Mutex<State>

    private struct State {
        var request: RelayRequest?
        var body: [UInt8] = []
        var bodyBytesMax: Int64 = 0
        var received: Int64 = 0
        var held = 0
        var answer: RelayAnswer?
        var isSuspended = false
        var isIntroduced = false
        var upload: Upload?
        /// Whom a proxy names.
        var client: String?
    }

    /// A snapshot that is being received.
    struct Upload: Sendable {
        var snapshot: Int64
        var group: Int64
        var pieces: Int64 = 0
        var isFinished = false
    }

    init(connection: UInt, address: String, begun: Int64) {
        self.connection = connection
        self.address = address
        self.begun = begun
        state = Mutex(State())
    }

    var request: RelayRequest? { state.withLock { $0.request } }
    var label: String { request?.kind.label ?? "other" }

    func understand(_ request: RelayRequest, bodyBytesMax: Int64) {
        state.withLock {
            $0.request = request
            $0.bodyBytesMax = bodyBytesMax
        }
    }

    // MARK: The body

    enum Reception {
        case goOn
        /// More than may come.
        case tooMuch
        /// Nothing of it is wanted, and it does not end.
        case endless
        /// A piece of a snapshot is full.
        case piece([UInt8])
    }

    /// Takes a part of the body, which is thrown away when the request is refused already.
    func receive(_ part: UnsafeRawBufferPointer) -> Reception {
        state.withLock {
            $0.received += Int64(part.count)
            $0.isIntroduced = false
            if $0.answer != nil {
                return $0.received > RelayLimits.refusedBytesMax ? .endless : .goOn
            }
            guard $0.received <= $0.bodyBytesMax else { return .tooMuch }
            $0.body.append(contentsOf: part)
            guard $0.upload != nil, $0.body.count >= RelayLimits.pieceBytes else { return .goOn }
            let piece = Array($0.body.prefix(RelayLimits.pieceBytes))
            $0.body.removeFirst(piece.count)
            return .piece(piece)
        }
    }

    var received: Int64 { state.withLock { $0.received } }

    /// Notes that so many bytes of the body are in memory, here or with a worker.
    func hold(bytes: Int) { state.withLock { $0.held += bytes } }

    /// Notes that they are not any more; nil is all of them.
    ///
    /// - Returns: how many there were.
    func letGo(bytes: Int?) -> Int {
        state.withLock {
            let count = min($0.held, bytes ?? .max)
            $0.held -= count
            return count
        }
    }

    /// Whom refusals are counted for.
    var client: String { state.withLock { $0.client } ?? address }
    func nameClient(_ name: String) { state.withLock { $0.client = name } }

    /// The body, or what is left of it; the exchange has none then.
    func takeBody() -> [UInt8] {
        state.withLock { state in
            defer { state.body = [] }
            return state.body
        }
    }

    /// The connection is suspended before its body.
    func introduce() { state.withLock { $0.isIntroduced = true } }

    /// Whether this is the first call since then; true once.
    func isBackFromIntroduction() -> Bool {
        state.withLock { state in
            defer { state.isIntroduced = false }
            return state.isIntroduced
        }
    }

    // MARK: Snapshots being received

    func begin(_ upload: Upload) { state.withLock { $0.upload = upload } }

    /// The number of the next piece.
    func nextPiece() -> (upload: Upload, number: Int64)? {
        state.withLock {
            guard let upload = $0.upload else { return nil }
            $0.upload?.pieces += 1
            return (upload, upload.pieces)
        }
    }

    func finishUpload() { state.withLock { $0.upload?.isFinished = true } }

    /// The upload that was broken off, if there was one.
    var brokenUpload: Upload? {
        state.withLock { state in state.upload.flatMap { $0.isFinished ? nil : $0 } }
    }

    // MARK: The answer

    var answer: RelayAnswer? { state.withLock { $0.answer } }

    /// Sets the answer, of which there is one only.
    ///
    /// - Returns: false when there was one.
    @discardableResult
    func set(_ answer: RelayAnswer) -> Bool {
        state.withLock {
            guard $0.answer == nil else { return false }
            $0.answer = answer
            return true
        }
    }

    /// On the thread of HTTP, before a worker gets it.
    func suspend() {
        state.withLock { $0.isSuspended = true }
        MHD_suspend_connection(OpaquePointer(bitPattern: connection))
    }

    /// Gives it back to the thread of HTTP.
    func resume() {
        let wasSuspended = state.withLock { state in
            defer { state.isSuspended = false }
            return state.isSuspended
        }
        if wasSuspended { MHD_resume_connection(OpaquePointer(bitPattern: connection)) }
    }

    var isSuspended: Bool { state.withLock { $0.isSuspended } }
}

/// A snapshot on its way to a client, piece by piece.
final class Download: Sendable {
    let exchange: Exchange
    let snapshot: RelayStore.Snapshot
    private let state = Mutex(State())

    private struct State {
        var number: Int64 = -1
        var piece: AnswerBytes?
        var isBroken = false
    }

    init(_ exchange: Exchange, _ snapshot: RelayStore.Snapshot) {
        self.exchange = exchange
        self.snapshot = snapshot
    }

    enum Part {
        case bytes(Int)
        case needs(Int64)
        case broken
    }

    /// Copies what there is at `place`.
    func read(at place: UInt64, into buffer: UnsafeMutableRawPointer, max: Int) -> Part {
        let number = Int64(place) / Int64(RelayLimits.pieceBytes)
        let offset = Int(Int64(place) % Int64(RelayLimits.pieceBytes))
        return state.withLock {
            if $0.isBroken { return .broken }
            guard $0.number == number, let piece = $0.piece else { return .needs(number) }
            guard offset < piece.count else { return .broken }
            let count = min(max, piece.count - offset)
            buffer.copyMemory(from: piece.start + offset, byteCount: count)
            return .bytes(count)
        }
    }

    /// - Parameter piece: nil when the snapshot has gone.
    func loaded(_ piece: [UInt8]?, number: Int64) {
        state.withLock {
            $0.number = number
            $0.piece = piece.map(AnswerBytes.init)
            $0.isBroken = piece == nil
        }
    }
}
