// Connections that are open, and until when each has to come on. The HTTP library cuts those that are
// silent; this cuts those that send or take one byte now and then.

internal import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

final class ConnectionTable: Sendable {
    private struct Entry {
        var socket: Int32
        /// On the monotonic clock, in milliseconds; nil while the relay itself is at work.
        var deadline: Int64?
        /// Whether more of a body has to come.
        var isReceiving = false

        /// Whether the peer has gone although more should come. The library, which asks only once for
        /// each event, can miss that when it happens while a connection is suspended.
        var isAbandoned: Bool {
            guard isReceiving else { return false }
            var byte: UInt8 = 0
            return recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 0
        }
    }

    private let entries = Mutex<[UInt: Entry]>([:])

    var count: Int { entries.withLock { $0.count } }

    func opened(_ connection: UInt, socket: Int32, deadline: Int64) {
        entries.withLock { $0[connection] = Entry(socket: socket, deadline: deadline) }
    }

    /// Before its socket is closed: no other one can have its number yet.
    func closed(_ connection: UInt) { entries.withLock { $0[connection] = nil } }

    func set(_ connection: UInt, deadline: Int64?, isReceiving: Bool = false) {
        entries.withLock {
            $0[connection]?.deadline = deadline
            $0[connection]?.isReceiving = isReceiving
        }
    }

    /// Shuts the sockets of those that are too slow, or whose peers have gone; the library notices, and
    /// closes them.
    ///
    /// - Returns: how many were too slow.
    func cut(at moment: Int64) -> Int {
        entries.withLock { all in
            var count = 0
            for (connection, entry) in all {
                let isSlow = entry.deadline.map { $0 <= moment } ?? false
                guard isSlow || entry.isAbandoned else { continue }
                _ = shutdown(entry.socket, Int32(SHUT_RDWR))
                all[connection]?.deadline = nil
                all[connection]?.isReceiving = false
                if isSlow { count += 1 }
            }
            return count
        }
    }
}
