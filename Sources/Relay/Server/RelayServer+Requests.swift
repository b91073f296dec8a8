// What the relay does with a request on the threads of HTTP: take its body, and give it to a worker.

internal import RelayProtocol
internal import Synchronization

extension RelayServer: HTTPHandler {
    func opened(_ connection: UInt, socket: Int32) {
        let now = RelayClock.monotonicMilliseconds()
        let deadline = now + Int64(configuration.connections.headerSeconds) * 1000
        table.opened(connection, socket: socket, deadline: deadline)
    }

    func closed(_ connection: UInt) { table.closed(connection) }

    func began(_ exchange: Exchange, _ head: RequestHead) {
        state.withLock { $0.active += 1 }
        allowTime(exchange, bytes: 0)
        do {
            let request = try understood(exchange, head)
            if mustBeKnownFirst(request, head) { introduce(exchange, request) }
        } catch { refuse(exchange, RelayError(error)) }
    }

    private func understood(_ exchange: Exchange, _ head: RequestHead) throws -> RelayRequest {
        if isStopping {
            throw RelayError(.unavailable, "the relay is stopping: try again", retrySeconds: 2)
        }
        let request = try RelayRequest(head)
        let most = request.bodyBytesMax(configuration)
        exchange.understand(request, bodyBytesMax: most)
        guard let access = request.access else { return request }
        let now = RelayClock.monotonicMilliseconds()
        if let seconds = failures.refusal(client(exchange, head), at: now) {
            throw RelayError(
                .tooManyFailures,
                "too many refused requests from this address: check the group and its credential",
                retrySeconds: seconds)
        }
        // By credential, too: a stranger does not use up the rate of members.
        if let seconds = rates.take(access, at: now) {
            throw RelayError(
                .rate, "too many requests of this group: ask less often, with more in each",
                retrySeconds: seconds)
        }
        if let length = head.contentLength, length > most { throw tooLarge(most) }
        return request
    }

    private func tooLarge(_ most: Int64) -> RelayError {
        RelayError(.tooLarge, "the body may have \(most) bytes: send less at a time")
    }

    /// Whom refusals are counted for: the peer, or whom a proxy names.
    private func client(_ exchange: Exchange, _ head: RequestHead) -> String {
        guard configuration.proxies.contains(exchange.address),
            let last = head.header("X-Forwarded-For")?.split(separator: ",").last
        else { return exchange.address }
        let name = String(last.prefix(64)).trimmed
        exchange.nameClient(name)
        return name
    }

    /// Whether the group has to prove itself before more than a little is received.
    private func mustBeKnownFirst(_ request: RelayRequest, _ head: RequestHead) -> Bool {
        switch request.kind {
        case .putSnapshot: true
        case .sync:
            head.header("Transfer-Encoding") != nil
                || (head.contentLength ?? 0) > Int64(RelayLimits.strangerBodyBytesMax)
        default: false
        }
    }

    func received(_ exchange: Exchange, _ part: UnsafeRawBufferPointer) -> Bool {
        allowTime(exchange, bytes: exchange.received + Int64(part.count))
        let kept = exchange.answer == nil ? part.count : 0
        exchange.hold(bytes: kept)
        let isTooMuch = state.withLock {
            $0.bodyBytes += kept
            return kept > 0 && $0.bodyBytes > configuration.connections.bodyBytes
        }
        let reception = exchange.receive(part)
        switch reception {
        case .endless: return false
        case .tooMuch:
            refuse(exchange, tooLarge(exchange.request?.bodyBytesMax(configuration) ?? 0))
        case .piece(let piece): add(piece, exchange)
        case .goOn:
            if isTooMuch {
                refuse(
                    exchange,
                    RelayError(.unavailable, "the relay is busy: try again", retrySeconds: 5))
            }
        }
        return true
    }

    func ended(_ exchange: Exchange) {
        guard let request = exchange.request else { return }
        hold(exchange)
        let body = exchange.takeBody()
        switch request.kind {
        case .sync where body.isEmpty: read(exchange, request)
        case .sync: append(body, exchange, request)
        case .enrol(let token): enrol(exchange, request, token)
        case .rotate: rotate(body, exchange, request)
        case .putSnapshot: finishSnapshot(body, exchange)
        case .getSnapshot(let previous): findSnapshot(exchange, request, previous)
        case .health: checkHealth(exchange)
        case .metrics: describe(exchange)
        }
    }

    func answers(_ exchange: Exchange, _ answer: RelayAnswer) {
        let label = exchange.label
        metrics.count { $0.requests[label, default: [:]][answer.status, default: 0] += 1 }
        let size: Int64 =
            switch answer.body {
            case .bytes(let bytes): Int64(bytes.count)
            case .snapshot(let snapshot): snapshot.size
            }
        allowTime(exchange, bytes: size, from: RelayClock.monotonicMilliseconds())
    }

    func completed(_ exchange: Exchange) {
        letGo(exchange)
        if let upload = exchange.brokenUpload { drop(upload) }
        let idle = Int64(configuration.connections.idleSeconds) * 1000
        table.set(exchange.connection, deadline: RelayClock.monotonicMilliseconds() + idle)
        state.withLock { $0.active -= 1 }
    }

    // MARK: Helpers

    /// Half a minute, and what `bytes` take at the slowest speed that is suffered.
    private func allowTime(_ exchange: Exchange, bytes: Int64, from start: Int64? = nil) {
        let idle = Int64(configuration.connections.idleSeconds) * 500
        let transfer = bytes * 1000 / Int64(max(1, configuration.connections.bytesPerSecondMin))
        table.set(
            exchange.connection, deadline: (start ?? exchange.begun) + idle + transfer,
            isReceiving: start == nil)
    }

    /// The connection waits for a worker, as long as that takes.
    func hold(_ exchange: Exchange) {
        table.set(exchange.connection, deadline: nil)
        exchange.suspend()
    }

    /// Bytes of its body are not in memory any more: these, or all.
    func letGo(_ exchange: Exchange, bytes: Int? = nil) {
        let count = exchange.letGo(bytes: bytes)
        state.withLock { $0.bodyBytes -= count }
    }

    /// Sets the answer, and gives the connection back to HTTP.
    func finish(_ exchange: Exchange, _ answer: RelayAnswer) {
        _ = exchange.takeBody()
        letGo(exchange)
        exchange.set(answer)
        exchange.resume()
    }

    func refuse(_ exchange: Exchange, _ error: RelayError) {
        switch error.reason {
        case .unauthorized, .tokenNeeded, .taken:
            _ = failures.take(exchange.client, at: RelayClock.monotonicMilliseconds())
        case .failed:
            metrics.count { $0.storeFailures += 1 }
            log.error(error.debugDescription)
        case .unavailable, .storeFull:
            metrics.count { $0.storeFailures += 1 }
            if error.cause != nil { log.warning(error.debugDescription) }
        default: break
        }
        finish(exchange, RelayAnswer(error))
    }
}

extension String {
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
