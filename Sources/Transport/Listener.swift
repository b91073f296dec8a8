// Accepting connections over TCP and Unix-domain sockets.

internal import CUV

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// An open listener; it accepts although nobody keeps this object, until it is closed.
package final class Listener: HandleOwner {
    private let loop: EventLoop
    private let handle: Handle
    private var onConnection: ((Stream) -> Void)?
    /// Where it listens, with the port that was really taken.
    package let address: Endpoint
    /// A connection could not be accepted, say for lack of descriptors; the listener goes on.
    package var onError: ((TransportError) -> Void)?

    fileprivate init(
        _ handle: Handle, on loop: EventLoop, at address: Endpoint,
        _ onConnection: @escaping (Stream) -> Void
    ) {
        self.handle = handle
        self.loop = loop
        self.address = address
        self.onConnection = onConnection
        handle.owner = self
    }

    /// Stops listening and removes the socket file; idempotent. Accepted streams live on.
    package func close() {
        onConnection = nil
        onError = nil
        handle.close()
    }

    func loopCloses() { close() }

    fileprivate func connectionCame(_ status: Int32) {
        let task = "cannot accept a connection on \(address)"
        guard status == 0 else {
            onError?(TransportError(uv: status, task))
            return
        }
        do {
            let isUnix = address.port == nil
            let accepted = try isUnix ? loop.makePipe(task) : loop.makeTCP(task)
            let status = uv_accept(handle.stream, accepted.stream)
            guard status == 0 else {
                accepted.close()
                throw TransportError(uv: status, task)
            }
            let stream = Stream(
                accepted, on: loop, local: isUnix ? address : nil,
                peer: isUnix ? .unix(path: "") : nil)
            onConnection?(stream)
        } catch {
            onError?(error as? TransportError ?? TransportError(.system, "\(task): \(error)"))
        }
    }
}

extension EventLoop {
    /// Listens for TCP connections.
    ///
    /// Host `::` takes IPv4 too, shown as such. Port 0 takes a free port: see ``Listener/address``.
    /// A host name is looked up while the caller waits: give numbers outside of start-up.
    ///
    /// - Parameter onConnection: gets each new stream, which does not read yet.
    /// - Throws: ``TransportError``: `addressInUse`, `addressNotAvailable`, `unknownHost` or
    ///   `denied`.
    package func listen(
        host: String, port: UInt16, _ onConnection: @escaping (Stream) -> Void
    ) throws -> Listener {
        let task = "cannot listen on \(Endpoint.tcp(host: host, port: port))"
        let address = try RawAddress(host: host, port: port) ?? lookUp(host, port, task)
        let handle = try makeTCP(task)
        do {
            let tcp = handle.pointer(to: uv_tcp_t.self)
            try check(address.withPointer { uv_tcp_bind(tcp, $0, 0) }, task)
            try listen(handle, task)
            let actual = RawAddress { uv_tcp_getsockname(tcp, $0, $1) } ?? address
            return Listener(handle, on: self, at: actual.endpoint, onConnection)
        } catch {
            handle.close()
            throw error
        }
    }

    /// Listens on a socket file that only this user can open (mode 0600).
    ///
    /// The file of a listener that is gone is replaced; that of a live one is an error. Two
    /// programs that start at the same moment on one path need a lock of their own.
    ///
    /// - Throws: ``TransportError``: `addressInUse` for a live listener or a file that is no
    ///   socket, `invalidAddress` for a path that is too long, `notFound`, `denied`.
    package func listen(
        unixPath path: String, _ onConnection: @escaping (Stream) -> Void
    ) throws -> Listener {
        let task = "cannot listen on \(path)"
        try checkUnixPath(path, task)
        try preparePath(path, task)
        let handle = try makePipe(task)
        do {
            let pipe = handle.pointer(to: uv_pipe_t.self)
            try check(
                uv_pipe_bind(pipe, path), task,
                remedy: "check that this user may write to the folder")
            // Nobody can connect before the mode is set: connects are refused until `listen`.
            guard chmod(path, 0o600) == 0 else {
                throw TransportError(uv: uv_translate_sys_error(errno), task)
            }
            try listen(handle, task)
            return Listener(handle, on: self, at: .unix(path: path), onConnection)
        } catch {
            handle.close()
            throw error
        }
    }

    private func listen(_ handle: Handle, _ task: String) throws {
        let status = uv_listen(handle.stream, TransportLimits.listenBacklogCount) {
            pointer, status in
            Handle.owner(of: pointer, as: Listener.self)?.connectionCame(status)
        }
        try check(status, task)
    }

    private func check(_ status: Int32, _ task: String, remedy: String? = nil) throws {
        guard status >= 0 else { throw TransportError(uv: status, task, remedy: remedy) }
    }

    private func lookUp(_ host: String, _ port: UInt16, _ task: String) throws -> RawAddress {
        let request = Request<uv_getaddrinfo_t>(UV_GETADDRINFO)
        var hints = starling_tcp_hints()
        // Without a callback the call waits.
        try check(uv_getaddrinfo(raw, request.pointer, nil, host, "\(port)", &hints), task)
        let list = request.pointer.pointee.addrinfo
        defer { uv_freeaddrinfo(list) }
        guard let entry = list?.pointee, let pointer = entry.ai_addr,
            let address = RawAddress(pointer, length: Int(entry.ai_addrlen))
        else { throw TransportError(.unknownHost, "\(task): the name has no address") }
        return address
    }

    fileprivate func makeTCP(_ task: String) throws -> Handle {
        try Handle(UV_TCP, on: self, task) { [raw] pointer in
            uv_tcp_init(raw, pointer.assumingMemoryBound(to: uv_tcp_t.self))
        }
    }

    fileprivate func makePipe(_ task: String) throws -> Handle {
        try Handle(UV_NAMED_PIPE, on: self, task) { [raw] pointer in
            uv_pipe_init(raw, pointer.assumingMemoryBound(to: uv_pipe_t.self), 0)
        }
    }

    private func preparePath(_ path: String, _ task: String) throws {
        var info = stat()
        // libuv reports a missing folder as a missing right.
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "."
        guard stat(String(folder), &info) == 0 else {
            throw TransportError(
                uv: uv_translate_sys_error(errno), task, remedy: "check that the folder exists")
        }
        guard lstat(path, &info) == 0 else { return }
        guard info.st_mode & S_IFMT == S_IFSOCK else {
            throw TransportError(
                .addressInUse, "\(task): a file that is no socket is there: move it away")
        }
        let code = starling_unix_probe(path)
        switch code {
        case 0:
            throw TransportError(
                .addressInUse, "\(task): another node listens there: stop it first")
        case ECONNREFUSED:
            guard unlink(path) == 0 || errno == ENOENT else {
                throw TransportError(uv: uv_translate_sys_error(errno), task)
            }
        case ENOENT: break
        default: throw TransportError(uv: uv_translate_sys_error(code), task)
        }
    }
}

/// libuv would cut a long path and use another file.
func checkUnixPath(_ path: String, _ task: String) throws {
    let bytesMax = starling_unix_path_max()
    guard !path.isEmpty, path.utf8.count <= bytesMax, !path.utf8.contains(0) else {
        throw TransportError(
            .invalidAddress,
            "\(task): a socket's path has 1 to \(bytesMax) bytes: choose a shorter home folder")
    }
}
