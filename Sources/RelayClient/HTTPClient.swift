// A client of HTTP/1.1 over libcurl, on one thread of its own. What it is told and what it tells are plain
// values; nothing of libcurl is seen outside.

internal import CCurl
internal import Synchronization
internal import Threads

/// Sends requests to one relay, several at a time: one can wait while another appends.
///
/// TLS is verified, redirections are not followed, proxies and passwords of the environment are not used.
/// After a change of the network, make a new client, or the first request may go into a connection
/// that is dead.
package final class HTTPClient: Sendable {
    package typealias Completion = @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void

    private let engine: HTTPEngine
    private let thread: SystemThread
    private let isFinished = Mutex(false)

    /// - Throws: ``HTTPFailure`` when libcurl is not installed, or the system refuses a thread or memory.
    package init(_ settings: HTTPSettings) throws(HTTPFailure) {
        let bytes = RelayClientLimits.threadStackBytes
        try HTTPEngine.load()
        guard let engine = HTTPEngine(settings),
            let thread = try? SystemThread(stackBytes: bytes, { engine.run() })
        else {
            throw HTTPFailure(
                .noAnswer,
                "the system has no room for an HTTP client: free memory, or raise the limit of processes "
                    + "for this user")
        }
        self.engine = engine
        self.thread = thread
    }

    deinit { close() }

    /// Sends a request.
    ///
    /// - Parameter completion: runs once, on the client's thread, and must not block it.
    /// - Returns: nil when the client is closed or ``RelayClientLimits/requestCountMax`` requests are
    ///   under way; then `completion` never runs.
    package func submit(
        _ request: HTTPRequest, completion: @escaping Completion
    ) -> HTTPRequestID? { engine.submit(request, completion) }

    /// Breaks a request off: it ends as `cancelled`, unless it has ended just now.
    package func cancel(_ id: HTTPRequestID) { engine.cancel(id) }

    /// Breaks everything off, waits until all completions have run, and ends the thread. On the client's own
    /// thread it does not wait.
    package func close() {
        engine.close()
        let isFirst = isFinished.withLock { isFinished in
            defer { isFinished = true }
            return !isFinished
        }
        if isFirst { thread.finish() }
    }
}

/// The thread's side.
private final class HTTPEngine: Sendable {
    private enum Order: Sendable {
        case send(HTTPRequestID, HTTPRequest, HTTPClient.Completion)
        case cancel(HTTPRequestID)
    }

    private struct State {
        var orders: [Order] = []
        var underWay = 0
        var lastID: UInt64 = 0
        var isOpen = true
    }

    /// The library is loaded by who first needs it: most nodes have no relay.
    static func load() throws(HTTPFailure) {
        if let reason = starling_curl_load() {
            throw HTTPFailure(.noAnswer, String(cString: reason))
        }
    }

    /// libcurl asks for it once, before any thread uses it.
    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private let settings: HTTPSettings
    private let state = Mutex(State())
    /// Used by the thread alone, but for the call that wakes it.
    private nonisolated(unsafe) let multi: UnsafeMutableRawPointer

    init?(_ settings: HTTPSettings) {
        guard Self.isReady, let multi = curl_multi_init() else { return nil }
        self.settings = settings
        self.multi = multi
        starling_curl_limit(multi, RelayClientLimits.idleConnectionCountMax)
    }

    deinit { curl_multi_cleanup(multi) }

    func submit(
        _ request: HTTPRequest, _ completion: @escaping HTTPClient.Completion
    ) -> HTTPRequestID? {
        let id = state.withLock { state -> HTTPRequestID? in
            guard state.isOpen, state.underWay < RelayClientLimits.requestCountMax else {
                return nil
            }
            state.underWay += 1
            state.lastID += 1
            let id = HTTPRequestID(number: state.lastID)
            state.orders.append(.send(id, request, completion))
            return id
        }
        if id != nil { curl_multi_wakeup(multi) }
        return id
    }

    func cancel(_ id: HTTPRequestID) {
        state.withLock { $0.orders.append(.cancel(id)) }
        curl_multi_wakeup(multi)
    }

    func close() {
        state.withLock { $0.isOpen = false }
        curl_multi_wakeup(multi)
    }

    // MARK: On the thread

    func run() {
        var transfers: [HTTPRequestID: HTTPTransfer] = [:]
        while true {
            let (orders, isOpen) = state.withLock { state in
                defer { state.orders = [] }
                return (state.orders, state.isOpen)
            }
            for order in orders { take(order, &transfers) }
            if !isOpen {
                for transfer in transfers.values { cancel(transfer) }
                return
            }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            finish(&transfers)
            var timeout: Milliseconds = 60_000
            let now = ClientClock.monotonic
            for transfer in transfers.values {
                let deadline = transfer.deadline(now: now)
                if deadline <= now {
                    transfers[transfer.id] = nil
                    remove(transfer)
                    transfer.failForTime()
                } else {
                    timeout = min(timeout, deadline - now)
                }
            }
            curl_multi_poll(multi, nil, 0, Int32(timeout), nil)
        }
    }

    private func take(_ order: Order, _ transfers: inout [HTTPRequestID: HTTPTransfer]) {
        switch order {
        case .cancel(let id):
            if let transfer = transfers.removeValue(forKey: id) { cancel(transfer) }
        case .send(let id, let request, let completion):
            let transfer = HTTPTransfer(
                id, request, settings, now: ClientClock.monotonic, completion: completion)
            guard let transfer, curl_multi_add_handle(multi, transfer.easy) == CURLM_OK else {
                state.withLock { $0.underWay -= 1 }
                completion(.failure(HTTPFailure(.noAnswer, "the request could not be prepared")))
                return
            }
            transfers[id] = transfer
        }
    }

    private func finish(_ transfers: inout [HTTPRequestID: HTTPTransfer]) {
        var code = CURLE_OK
        while let owner = starling_curl_ended(multi, &code) {
            let transfer = Unmanaged<HTTPTransfer>.fromOpaque(owner).takeUnretainedValue()
            transfers[transfer.id] = nil
            remove(transfer)
            transfer.end(code)
        }
    }

    private func cancel(_ transfer: HTTPTransfer) {
        remove(transfer)
        transfer.fail(.cancelled, "the request was broken off")
    }

    private func remove(_ transfer: HTTPTransfer) {
        curl_multi_remove_handle(multi, transfer.easy)
        state.withLock { $0.underWay -= 1 }
    }
}
