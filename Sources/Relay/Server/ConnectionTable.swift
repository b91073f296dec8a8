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
    }

    private let entries = Mutex<[UInt: Entry]>([:])

    var count: Int { entries.withLock { $0.count } }

    func opened(_ connection: UInt, socket: Int32, deadline: Int64) {
        entries.withLock { $0[connection] = Entry(socket: socket, deadline: deadline) }
    }

    /// Before its socket is closed: no other one can have its number yet.
    func closed(_ connection: UInt) { entries.withLock { $0[connection] = nil } }

    func set(_ connection: UInt, deadline: Int64?) {
        entries.withLock { $0[connection]?.deadline = deadline }
    }

    /// Shuts the sockets of those that are too slow; the library notices, and closes them.
    ///
    /// - Returns: how many.
    func cut(at moment: Int64) -> Int {
        entries.withLock { all in
            var count = 0
            for (connection, entry) in all {
                guard let deadline = entry.deadline, deadline <= moment else { continue }
                _ = shutdown(entry.socket, Int32(SHUT_RDWR))
                all[connection]?.deadline = nil
                count += 1
            }
            return count
        }
    }
}
