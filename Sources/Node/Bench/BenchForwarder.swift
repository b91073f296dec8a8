// A cable between two nodes that can be cut, and that counts what goes through it: a TCP forwarder on
// a thread of its own. What it adds to the time of an exchange counts against the program.

import CPlatform
internal import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Forwards every connection that it takes to one address.
final class BenchForwarder: Sendable {
    private struct State: Sendable {
        var target: HostPort
        var isWanted = true
        var isOpen = false
        var isStopped = false
        var acceptedAt: Int64?
        var lastByteAt: Int64 = 0
        var bytes: Int64 = 0
    }

    /// What went through since the cable was last opened.
    struct Traffic: Sendable {
        /// When a connection was taken; nil before. Nanoseconds of ``Stopwatch``.
        var acceptedAt: Int64?
        var lastByteAt: Int64
        /// Both ways, without the headers of TCP and IP.
        var bytes: Int64
    }

    let port: UInt16
    private let state: Mutex<State>
    private static let pollMilliseconds: Int32 = 1

    init(to target: HostPort) throws {
        let listener = try Self.listen(port: 0)
        port = try Self.port(of: listener.number)
        state = Mutex(State(target: target))
        try start(listener.release())
    }

    var address: HostPort { HostPort(host: "127.0.0.1", port: port) }

    var traffic: Traffic {
        state.withLock {
            Traffic(acceptedAt: $0.acceptedAt, lastByteAt: $0.lastByteAt, bytes: $0.bytes)
        }
    }

    /// Closes what is open, and takes no connection until ``mend()``.
    func cut() { change(to: false) }

    /// Takes connections again; the counts begin anew.
    func mend() {
        state.withLock {
            $0.acceptedAt = nil
            $0.bytes = 0
        }
        change(to: true)
    }

    func stop() { state.withLock { $0.isStopped = true } }

    private func change(to isOpen: Bool) {
        state.withLock { $0.isWanted = isOpen }
        while !state.withLock({ $0.isOpen == isOpen || $0.isStopped }) {
            Stopwatch.sleep(milliseconds: 1)
        }
    }

    // MARK: The thread

    private func start(_ listener: Int32) throws {
        let box = Unmanaged.passRetained(Start(self, listener))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                if let raw {
                    let start = Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
                    start.forwarder.run(start.listener)
                }
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw NodeError(.failed, SystemError(number: code).explain("no thread to forward on"))
        }
        pthread_detach(thread)
    }

    private final class Start {
        let forwarder: BenchForwarder
        let listener: Int32
        init(_ forwarder: BenchForwarder, _ listener: Int32) {
            self.forwarder = forwarder
            self.listener = listener
        }
    }

    private func run(_ first: Int32) {
        var listener: Int32? = first
        var pairs: [(left: Int32, right: Int32)] = []
        func closeAll() {
            for pair in pairs {
                _ = close(pair.left)
                _ = close(pair.right)
            }
            pairs.removeAll()
            if let open = listener { _ = close(open) }
            listener = nil
        }
        while !state.withLock({ $0.isStopped }) {
            let isWanted = state.withLock { $0.isWanted }
            if !isWanted { closeAll() }
            if isWanted, listener == nil {
                listener = (try? Self.listen(port: port))?.release()
            }
            let isOpen = listener != nil
            state.withLock { $0.isOpen = isOpen }
            turn(listener, &pairs)
        }
        closeAll()
    }

    private func turn(_ listener: Int32?, _ pairs: inout [(left: Int32, right: Int32)]) {
        var waits = pairs.flatMap { [$0.left, $0.right] }
            .map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        if let listener { waits.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0)) }
        guard poll(&waits, nfds_t(waits.count), Self.pollMilliseconds) > 0 else { return }
        var open: [(left: Int32, right: Int32)] = []
        for (index, pair) in pairs.enumerated() {
            let isAlive =
                pass(pair.left, to: pair.right, waits[2 * index])
                && pass(pair.right, to: pair.left, waits[2 * index + 1])
            if isAlive {
                open.append(pair)
            } else {
                _ = close(pair.left)
                _ = close(pair.right)
            }
        }
        pairs = open
        if let listener, let wait = waits.last, wait.fd == listener, wait.revents != 0 {
            if let pair = accept(listener) { pairs.append(pair) }
        }
    }

    /// Moves what is there; false at the end of the connection.
    private func pass(_ from: Int32, to: Int32, _ wait: pollfd) -> Bool {
        guard wait.revents != 0 else { return true }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(from, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        var sent = 0
        while sent < count {
            let written = buffer.withUnsafeBytes {
                send(to, $0.baseAddress.map { $0 + sent }, count - sent, Self.noSignal)
            }
            guard written > 0 else { return false }
            sent += written
        }
        let now = Stopwatch.now()
        state.withLock {
            $0.bytes += Int64(count)
            $0.lastByteAt = now
        }
        return true
    }

    private func accept(_ listener: Int32) -> (left: Int32, right: Int32)? {
        let target = state.withLock { $0.target }
        let left = Self.acceptConnection(listener)
        guard left >= 0 else { return nil }
        let now = Stopwatch.now()
        guard let right = try? Self.connect(to: target) else {
            _ = close(left)
            return nil
        }
        Self.sendAtOnce(left)
        state.withLock { if $0.acceptedAt == nil { $0.acceptedAt = now } }
        return (left, right)
    }
}

extension BenchForwarder {
    #if os(Linux)
    private static let noSignal = Int32(MSG_NOSIGNAL)
    private static let streamKind = Int32(SOCK_STREAM.rawValue)
    #else
    private static let noSignal: Int32 = 0
    private static let streamKind = SOCK_STREAM
    #endif

    private static func acceptConnection(_ listener: Int32) -> Int32 {
        #if canImport(Glibc)
        Glibc.accept(listener, nil, nil)
        #elseif canImport(Musl)
        Musl.accept(listener, nil, nil)
        #else
        Darwin.accept(listener, nil, nil)
        #endif
    }

    private static func socketAddress(_ address: HostPort) -> sockaddr_in {
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = address.port.bigEndian
        raw.sin_addr.s_addr = inet_addr(address.host)
        return raw
    }

    private static func withAddress(
        _ address: HostPort, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(SystemError) {
        var raw = socketAddress(address)
        try systemCall {
            withUnsafePointer(to: &raw) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
    }

    private static func listen(port: UInt16) throws(SystemError) -> FileDescriptor {
        let file = FileDescriptor(number: try systemCall { socket(AF_INET, streamKind, 0) })
        let number = file.number
        var on: Int32 = 1
        setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        _ = fcntl(number, F_SETFD, FD_CLOEXEC)
        try withAddress(HostPort(host: "127.0.0.1", port: port)) { bind(number, $0, $1) }
        #if canImport(Glibc)
        try systemCall { Glibc.listen(number, 8) }
        #elseif canImport(Musl)
        try systemCall { Musl.listen(number, 8) }
        #else
        try systemCall { Darwin.listen(number, 8) }
        #endif
        return file
    }

    private static func port(of number: Int32) throws(SystemError) -> UInt16 {
        var raw = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try systemCall {
            withUnsafeMutablePointer(to: &raw) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    getsockname(number, $0, &length)
                }
            }
        }
        return UInt16(bigEndian: raw.sin_port)
    }

    private static func connect(to address: HostPort) throws(SystemError) -> Int32 {
        let file = FileDescriptor(number: try systemCall { socket(AF_INET, streamKind, 0) })
        let number = file.number
        _ = fcntl(number, F_SETFD, FD_CLOEXEC)
        #if canImport(Glibc)
        try withAddress(address) { Glibc.connect(number, $0, $1) }
        #elseif canImport(Musl)
        try withAddress(address) { Musl.connect(number, $0, $1) }
        #else
        try withAddress(address) { Darwin.connect(number, $0, $1) }
        #endif
        sendAtOnce(number)
        return file.release()
    }

    private static func sendAtOnce(_ number: Int32) {
        var on: Int32 = 1
        setsockopt(
            number, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        _ = fcntl(number, F_SETFD, FD_CLOEXEC)
    }
}
