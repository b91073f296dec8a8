// Unix sockets at any path. The system's address holds 108 bytes, a home folder may be deeper: then
// the folder is opened and the socket is reached through the open folder.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

package enum ControlSocket {
    /// Makes a listening socket at `path`, for its owner only, replacing a stale one.
    ///
    /// The caller holds the home's lock, which is what proves that the old one is stale. The
    /// descriptor does not block and can be handed to an event loop (`uv_pipe_open`).
    package static func listen(at path: String) throws(SystemError) -> FileDescriptor {
        let socket = try make()
        let number = socket.number
        if unlink(path) != 0, Path.exists(path) { throw SystemError(number: EADDRINUSE) }
        try withAddress(path) { (address, length) throws(SystemError) in
            try systemCall { bind(number, address, length) }
        }
        try systemCall { chmod(path, 0o600) }
        try systemCall { Self.startListening(number) }
        return socket
    }

    /// Connects without blocking; waits while the queue of the listener is full.
    ///
    /// - Throws: ENOENT or ECONNREFUSED when nobody listens, ETIMEDOUT.
    package static func connect(
        to path: String, timeoutMilliseconds: Int
    ) throws(SystemError) -> FileDescriptor {
        let socket = try make()
        let number = socket.number
        let deadline = MonotonicClock.milliseconds() + Int64(timeoutMilliseconds)
        while true {
            do throws(SystemError) {
                try withAddress(path) { (address, length) throws(SystemError) in
                    try systemCall { Self.startConnecting(number, address, length) }
                }
                return socket
            } catch {
                guard error.number == EAGAIN else { throw error }
                guard MonotonicClock.milliseconds() < deadline else {
                    throw SystemError(number: ETIMEDOUT)
                }
                _ = poll(nil, 0, 10)
            }
        }
    }

    private static func make() throws(SystemError) -> FileDescriptor {
        #if os(Linux)
        // In one call, so that a program started meanwhile by another thread inherits nothing.
        let flags = Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        #else
        let flags: Int32 = 0
        #endif
        #if canImport(Glibc)
        let kind = Int32(SOCK_STREAM.rawValue)
        #else
        let kind = SOCK_STREAM
        #endif
        let number = try systemCall { socket(AF_UNIX, kind | flags, 0) }
        let file = FileDescriptor(number: number)
        #if !os(Linux)
        try systemCall { fcntl(number, F_SETFD, FD_CLOEXEC) }
        try systemCall { fcntl(number, F_SETFL, O_NONBLOCK) }
        #endif
        return file
    }

    /// The names of the C functions, out of reach of the methods above.
    private static func startListening(_ number: Int32) -> Int32 {
        #if canImport(Glibc)
        Glibc.listen(number, 16)
        #elseif canImport(Musl)
        Musl.listen(number, 16)
        #else
        Darwin.listen(number, 16)
        #endif
    }

    private static func startConnecting(
        _ number: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t
    ) -> Int32 {
        #if canImport(Glibc)
        Glibc.connect(number, address, length)
        #elseif canImport(Musl)
        Musl.connect(number, address, length)
        #else
        Darwin.connect(number, address, length)
        #endif
    }

    private static func withAddress(
        _ path: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Int32
    ) throws(SystemError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        var name = Array(path.utf8)
        var folder: FileDescriptor?
        if name.count >= capacity {
            #if os(Linux)
            // Valid as long as the folder is open, which is until the call is done.
            let opened = try FileDescriptor(
                opening: Path.parent(of: path), O_RDONLY | O_DIRECTORY)
            name = Array("/proc/self/fd/\(opened.number)/\(Path.name(of: path))".utf8)
            folder = consume opened
            #endif
            guard name.count < capacity else { throw SystemError(number: ENAMETOOLONG) }
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result: Result<Int32, SystemError> = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { rebound in
                Result { () throws(SystemError) in try body(rebound, length) }
            }
        }
        _ = consume folder
        _ = try result.get()
    }
}

/// Time that only goes forward, for deadlines.
package enum MonotonicClock {
    package static func milliseconds() -> Int64 {
        var now = timespec()
        _ = clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}

/// The time of day, for what people read.
package enum WallClock {
    /// Unix time.
    package static func milliseconds() -> Int64 {
        var now = timespec()
        _ = clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}
