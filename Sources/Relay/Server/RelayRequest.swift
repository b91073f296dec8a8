// From the lines of an HTTP request to what is asked of the relay, or the reason why not.

internal import RelayProtocol
internal import Trust

/// A request as it came: what HTTP says, nothing understood yet.
struct RequestHead {
    var method: String
    var path: String
    var query: (String) -> String?
    var header: (String) -> String?

    /// The length that the client states; nil when it states none.
    var contentLength: Int64? { header("Content-Length").flatMap { Int64($0) } }
}

/// What is asked for.
struct RelayRequest: Sendable {
    enum Kind: Sendable, Equatable {
        case sync(after: LogPosition?, waitSeconds: Int)
        /// With the digest of the operator's token, if one was shown.
        case enrol(token: [UInt8]?)
        case rotate
        case putSnapshot(covers: LogPosition, size: Int64)
        case getSnapshot(previous: Bool)
        case health
        case metrics

        /// A label of the metrics.
        var label: String {
            switch self {
            case .sync: "sync"
            case .enrol: "enrol"
            case .rotate: "credential"
            case .putSnapshot: "snapshot_put"
            case .getSnapshot: "snapshot_get"
            case .health: "health"
            case .metrics: "metrics"
            }
        }
    }

    /// A group, and the digest of the credential shown.
    struct Access: Hashable, Sendable {
        var name: GroupName
        var digest: [UInt8]
    }

    var kind: Kind
    /// nil for `health` and `metrics`.
    var access: Access?

    /// - Throws: ``RelayError`` for everything that is not of the protocol.
    init(_ head: RequestHead) throws(RelayError) {
        if head.path == "/healthz" || head.path == "/metrics" {
            kind = head.path == "/healthz" ? .health : .metrics
            try Self.require(["GET", "HEAD"], head)
            return
        }
        let prefix = "/v1/groups/"
        guard head.path.hasPrefix(prefix) else { throw Self.nothingHere }
        let parts = head.path.dropFirst(prefix.count)
            .split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2 else { throw Self.nothingHere }
        let place = parts.count == 2 ? String(parts[1]) : ""
        switch place {
        case "":
            try Self.require(["PUT"], head)
            kind = .enrol(token: head.header("Starling-Token").map { sha256(Array($0.utf8)) })
        case "sync":
            try Self.require(["POST"], head)
            kind = .sync(
                after: try Self.position("after", head), waitSeconds: try Self.waitSeconds(head))
        case "credential":
            try Self.require(["POST"], head)
            kind = .rotate
        case "snapshot": kind = try Self.snapshot(head)
        default: throw Self.nothingHere
        }
        guard let name = GroupName(text: first) else {
            throw RelayError(
                .badRequest, "a group is written as 32 to 64 lower-case hexadecimal digits")
        }
        access = Access(name: name, digest: try Self.credential(head))
    }

    private static var nothingHere: RelayError {
        RelayError(
            .notFound,
            "there is nothing here: see /v1/groups/GROUP with /sync, /snapshot and /credential")
    }

    private static func require(_ methods: [String], _ head: RequestHead) throws(RelayError) {
        guard methods.contains(head.method) else {
            throw RelayError(
                .badMethod, "this path takes \(methods.joined(separator: " and ")) only")
        }
    }

    /// The digest of the credential in `Authorization`.
    private static func credential(_ head: RequestHead) throws(RelayError) -> [UInt8] {
        guard let text = head.header("Authorization") else { throw .unauthorized }
        let words = text.split(separator: " ")
        guard words.count == 2, words[0].lowercased() == "bearer",
            let credential = Credential(text: words[1])
        else { throw .unauthorized }
        return sha256(credential.bytes)
    }

    private static func position(
        _ name: String, _ head: RequestHead
    ) throws(RelayError) -> LogPosition? {
        guard let text = head.query(name), !text.isEmpty else { return nil }
        guard let position = LogPosition(text: text) else {
            throw RelayError(
                .badRequest, "\"\(name)\" is no position: give back what an earlier answer gave")
        }
        return position
    }

    private static func waitSeconds(_ head: RequestHead) throws(RelayError) -> Int {
        guard let text = head.query("wait"), !text.isEmpty else { return 0 }
        guard text.utf8.count <= 9, let seconds = Int(text), seconds >= 0 else {
            throw RelayError(.badRequest, "\"wait\" is a whole number of seconds")
        }
        return min(seconds, RelayLimits.waitSecondsMax)
    }

    private static func snapshot(_ head: RequestHead) throws(RelayError) -> Kind {
        guard head.method == "PUT" else {
            try require(["GET", "PUT"], head)
            return .getSnapshot(previous: head.query("previous") != nil)
        }
        guard let covers = try position("covers", head) else {
            throw RelayError(.badRequest, "\"covers\" says up to which position the snapshot goes")
        }
        guard let size = head.contentLength, size >= 0 else {
            throw RelayError(.lengthNeeded, "a snapshot needs its Content-Length")
        }
        return .putSnapshot(covers: covers, size: size)
    }

    /// The most bytes that its body may have.
    func bodyBytesMax(_ configuration: RelayConfiguration) -> Int64 {
        switch kind {
        case .sync: Int64(configuration.quota.requestBytes)
        case .putSnapshot: configuration.quota.bytes
        case .enrol, .rotate, .getSnapshot, .health, .metrics:
            Int64(RelayLimits.smallBodyBytesMax)
        }
    }
}

/// What is sent back.
struct RelayAnswer: Sendable {
    var status: Int
    var headers: [(name: String, value: String)] = []
    var body: Body

    enum Body: Sendable {
        case bytes(AnswerBytes)
        case snapshot(RelayStore.Snapshot)
    }

    /// A short text.
    static func text(_ status: Int, _ text: String) -> RelayAnswer {
        RelayAnswer(
            status: status, headers: [("Content-Type", "text/plain; charset=utf-8")],
            body: .bytes(AnswerBytes(Array(text.utf8))))
    }

    /// Bytes of the framing.
    static func framed(_ bytes: AnswerBytes) -> RelayAnswer {
        RelayAnswer(
            status: 200, headers: [("Content-Type", "application/octet-stream")],
            body: .bytes(bytes))
    }

    init(status: Int, headers: [(name: String, value: String)], body: Body) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    init(_ error: RelayError) {
        self = .text(error.reason.status, "\(error.message)\n")
        headers.append(("Starling-Reason", error.reason.rawValue))
        if let seconds = error.retrySeconds { headers.append(("Retry-After", "\(seconds)")) }
        if let index = error.index { headers.append(("Starling-Entry", "\(index)")) }
        if error.reason == .unauthorized { headers.append(("WWW-Authenticate", "Bearer")) }
    }
}

/// Bytes at a place that does not move, shared by all answers that are the same.
final class AnswerBytes: Sendable {
    nonisolated(unsafe) let start: UnsafeMutableRawPointer
    let count: Int

    init(_ bytes: [UInt8]) {
        count = bytes.count
        start = .allocate(byteCount: max(1, bytes.count), alignment: 1)
        bytes.withUnsafeBytes {
            if let base = $0.baseAddress { start.copyMemory(from: base, byteCount: count) }
        }
    }

    deinit { start.deallocate() }
}
