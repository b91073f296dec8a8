// How one relay process hears of another's appends: NOTIFY, sent beside the append and not in its
// transaction, since transactions that notify commit one after the other.

internal import CPostgreSQL
internal import RelayProtocol
internal import Synchronization
internal import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Two threads: one says which groups have grown, several groups at once; the other listens. A bell that is
/// not heard for a while is no loss: the relay polls meanwhile, and once more when it is heard again.
final class PostgreSQLBell: RelayBell {
    private let url: String
    private let database: PostgreSQLRelayDatabase
    private let rung = WorkQueue<Int64>()
    private let state = Mutex(State())

    private struct State {
        var isHeard = false
        var isStopping = false
        var threads: [RelayThread] = []
        /// A pipe that ends the listener's wait.
        var wake: [Int32] = [-1, -1]
    }

    private static let channel = "starling_relay"
    /// A payload holds 8,000 bytes; a number 20 and a comma.
    private static let groupsPerNotice = 300
    private static let pauseMilliseconds = 200

    init(url: String, database: PostgreSQLRelayDatabase) {
        self.url = url
        self.database = database
    }

    deinit {
        let wake = state.withLock { $0.wake }
        for end in wake where end >= 0 { _ = close(end) }
    }

    var isHeard: Bool { state.withLock { $0.isHeard } }

    func start(_ heard: @escaping @Sendable ([Int64]) -> Void) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw RelayError(.failed, "no pipe: raise the limit of open files")
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        state.withLock { [ends] in $0.wake = ends }
        let threads = [
            try RelayThread { [self] in say() }, try RelayThread { [self] in listen(heard) },
        ]
        state.withLock { $0.threads = threads }
    }

    func ring(_ group: Int64) { rung.add(group) }

    func stop() {
        let (threads, wake) = state.withLock {
            $0.isStopping = true
            return ($0.threads, $0.wake)
        }
        rung.close()
        var byte: UInt8 = 0
        _ = write(wake[1], &byte, 1)
        for thread in threads { thread.join() }
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    // MARK: Saying

    private func say() {
        var connection: PostgreSQLConnection?
        while true {
            let groups = Set(rung.take(upTo: Self.groupsPerNotice))
            if groups.isEmpty { return }
            guard database.canNotify else { continue }
            let payload = groups.map(String.init).joined(separator: ",")
            // Once more on a new connection; then it is left to those who poll.
            for _ in 0..<2 {
                do {
                    if connection?.isOpen != true { connection = try sayer() }
                    _ = try connection?.run(
                        "SELECT CAST(1 AS bigint) FROM (SELECT pg_notify($1, $2)) AS said",
                        [.string(Self.channel), .string(payload)])
                    break
                } catch { connection = nil }
            }
        }
    }

    private func sayer() throws -> PostgreSQLConnection {
        let made = try PostgreSQLConnection(url: url)
        // A notice need not survive a crash: nobody waits for a disk.
        try made.execute("SET synchronous_commit = off")
        return made
    }

    // MARK: Listening

    private func listen(_ heard: @Sendable ([Int64]) -> Void) {
        while !isStopping {
            if database.canNotify, let connection = try? PostgreSQLConnection(url: url),
                (try? connection.execute("LISTEN \(Self.channel)")) != nil
            {
                state.withLock { $0.isHeard = true }
                // Whatever was said while nobody listened: look at all groups.
                heard([])
                hear(connection, heard)
                state.withLock { $0.isHeard = false }
            }
            _ = waited(for: -1, milliseconds: Self.pauseMilliseconds)
        }
    }

    /// Returns when the connection has gone or the bell stops.
    private func hear(_ connection: PostgreSQLConnection, _ heard: @Sendable ([Int64]) -> Void) {
        while !isStopping, connection.isOpen {
            _ = waited(for: PQsocket(connection.pointer), milliseconds: 5000)
            guard PQconsumeInput(connection.pointer) == 1 else { return }
            var groups: [Int64] = []
            while let notice = PQnotifies(connection.pointer) {
                let payload = String(cString: notice.pointee.extra)
                groups += payload.split(separator: ",").compactMap { Int64($0) }
                PQfreemem(notice)
            }
            if !groups.isEmpty { heard(groups) }
        }
    }

    /// Waits for a socket, or for the end.
    private func waited(for socket: Int32, milliseconds: Int) -> Bool {
        let wake = state.withLock { $0.wake[0] }
        var files = [
            pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
            pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
        ]
        return poll(&files, 2, Int32(milliseconds)) > 0
    }
}
