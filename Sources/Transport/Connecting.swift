// Opening a connection: name look-up, one address after the other, one time limit for all.

internal import CUV

/// A connect under way.
package final class Connecting: HandleOwner {
    package typealias Completion = (Result<Stream, TransportError>) -> Void

    private let loop: EventLoop
    private let target: Endpoint
    private let deadline: UInt64
    private var completion: Completion?
    private var addresses: ArraySlice<RawAddress> = []
    private var attempt: Handle?
    private var timer: Timer?
    private var lookUp: Request<uv_getaddrinfo_t>?
    private var lastError: TransportError?

    fileprivate init(
        _ target: Endpoint, on loop: EventLoop, timeout: UInt64, _ completion: @escaping Completion
    ) {
        self.loop = loop
        self.target = target
        deadline = loop.now + timeout
        self.completion = completion
    }

    private var task: String { "cannot connect to \(target)" }

    fileprivate func start() {
        guard !loop.isClosing else { return loopCloses() }
        switch target {
        case .unix: tryNext()
        case .tcp(let host, let port):
            if let address = RawAddress(host: host, port: port) {
                addresses = [address]
                tryNext()
            } else {
                resolve(host, port)
            }
        }
    }

    /// Gives up; the completion does not run. Idempotent, and without effect after the completion.
    package func cancel() { stop() }

    func loopCloses() {
        end(.failure(TransportError(.closed, "\(task): the event loop is closing")))
    }

    private func stop() {
        completion = nil
        timer?.cancel()
        timer = nil
        attempt?.close()
        attempt = nil
        if let lookUp {
            UnsafeMutableRawPointer(lookUp.pointer).withMemoryRebound(
                to: uv_req_t.self, capacity: 1
            ) { _ = uv_cancel($0) }
        }
    }

    /// Reports in a callback of its own.
    private func end(_ result: Result<Stream, TransportError>) {
        guard let completion else { return }
        stop()
        loop.soon { completion(result) }
    }

    private func resolve(_ host: String, _ port: UInt16) {
        let request = Request<uv_getaddrinfo_t>(UV_GETADDRINFO)
        request.pointer.pointee.data = Unmanaged.passRetained(self).toOpaque()
        var hints = starling_tcp_hints()
        let status = uv_getaddrinfo(
            loop.raw, request.pointer,
            { request, status, list in
                guard let data = request?.pointee.data else { return }
                let connecting = Unmanaged<Connecting>.fromOpaque(data).takeRetainedValue()
                connecting.resolved(status, list)
                uv_freeaddrinfo(list)
            }, host, "\(port)", &hints)
        guard status == 0 else {
            Unmanaged.passUnretained(self).release()
            return end(.failure(TransportError(uv: status, task)))
        }
        lookUp = request
        loop.requestCount += 1
        timer = loop.schedule(after: remaining) { [self] in
            end(
                .failure(
                    TransportError(
                        .timedOut,
                        "\(task): the name was not resolved in time: check the name server")))
        }
    }

    private func resolved(_ status: Int32, _ list: UnsafeMutablePointer<addrinfo>?) {
        loop.requestCount -= 1
        lookUp = nil
        guard completion != nil else { return }
        timer?.cancel()
        guard status == 0 else { return end(.failure(TransportError(uv: status, task))) }
        var next = list
        while let entry = next {
            if let address = entry.pointee.ai_addr {
                let raw = RawAddress(address, length: Int(entry.pointee.ai_addrlen))
                addresses += raw.map { [$0] } ?? []
            }
            next = entry.pointee.ai_next
        }
        tryNext()
    }

    private var remaining: UInt64 {
        let now = loop.now
        return deadline > now ? deadline - now : 0
    }

    private func tryNext() {
        guard completion != nil else { return }
        do {
            switch target {
            case .unix(let path): try attemptUnix(path)
            case .tcp:
                guard let address = addresses.popFirst() else {
                    let none = TransportError(.unknownHost, "\(task): the name has no address")
                    return end(.failure(lastError ?? none))
                }
                try attemptTCP(address)
            }
        } catch let error as TransportError {
            failed(error)
        } catch {
            failed(TransportError(.system, "\(task): \(error)"))
        }
    }

    private func attemptTCP(_ address: RawAddress) throws {
        let handle = try Handle(UV_TCP, on: loop, task) { pointer in
            uv_tcp_init(loop.raw, pointer.assumingMemoryBound(to: uv_tcp_t.self))
        }
        let request = adopt(handle)
        let status = address.withPointer { pointer in
            uv_tcp_connect(request.pointer, handle.pointer(to: uv_tcp_t.self), pointer) {
                request, status in
                Connecting.answered(request, status)
            }
        }
        guard status == 0 else { throw TransportError(uv: status, task) }
        // A silent address leaves time for those after it.
        timer = loop.schedule(after: remaining / UInt64(addresses.count + 1)) { [self] in
            failed(TransportError(uv: UV_ETIMEDOUT.rawValue, task))
        }
    }

    private func attemptUnix(_ path: String) throws {
        try checkUnixPath(path, task)
        let handle = try Handle(UV_NAMED_PIPE, on: loop, task) { pointer in
            uv_pipe_init(loop.raw, pointer.assumingMemoryBound(to: uv_pipe_t.self), 0)
        }
        let request = adopt(handle)
        uv_pipe_connect(request.pointer, handle.pointer(to: uv_pipe_t.self), path) {
            request, status in
            Connecting.answered(request, status)
        }
        timer = loop.schedule(after: remaining) { [self] in
            failed(TransportError(uv: UV_ETIMEDOUT.rawValue, task))
        }
    }

    private func adopt(_ handle: Handle) -> Request<uv_connect_t> {
        let request = Request<uv_connect_t>(UV_CONNECT)
        handle.attachment = request
        handle.owner = self
        attempt = handle
        return request
    }

    private static func answered(_ request: UnsafeMutablePointer<uv_connect_t>?, _ status: Int32) {
        guard let handle = Handle.of(request?.pointee.handle),
            let connecting = handle.owner as? Connecting, connecting.attempt === handle
        else { return }
        guard status == 0 else {
            return connecting.failed(TransportError(uv: status, connecting.task))
        }
        connecting.connected(handle)
    }

    private func connected(_ handle: Handle) {
        attempt = nil
        let isUnix = target.port == nil
        let stream = Stream(
            handle, on: loop, local: isUnix ? .unix(path: "") : nil, peer: isUnix ? target : nil)
        let completion = self.completion
        stop()
        completion?(.success(stream))
    }

    /// Ends the current attempt and goes on with the next address, in a later callback.
    private func failed(_ error: TransportError) {
        timer?.cancel()
        timer = nil
        attempt?.close()
        attempt = nil
        lastError = error
        guard !addresses.isEmpty else { return end(.failure(error)) }
        loop.soon { [self] in tryNext() }
    }
}

extension EventLoop {
    /// Opens a TCP connection to a numeric address or a host name.
    ///
    /// All addresses of a name are tried in turn; together they have `timeout` milliseconds. With 0
    /// the connect times out before anything can answer.
    ///
    /// - Parameter completion: runs once, later, unless the connect is cancelled: a new stream that
    ///   does not read yet, or the error of the last address.
    @discardableResult
    package func connect(
        host: String, port: UInt16, timeout milliseconds: UInt64,
        _ completion: @escaping Connecting.Completion
    ) -> Connecting {
        connect(to: .tcp(host: host, port: port), timeout: milliseconds, completion)
    }

    /// Opens a connection to an address or a socket file; see ``connect(host:port:timeout:_:)``.
    @discardableResult
    package func connect(
        to target: Endpoint, timeout milliseconds: UInt64,
        _ completion: @escaping Connecting.Completion
    ) -> Connecting {
        let connecting = Connecting(target, on: self, timeout: milliseconds, completion)
        connecting.start()
        return connecting
    }
}
