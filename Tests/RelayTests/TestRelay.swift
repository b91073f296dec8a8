// A relay in this process, on either engine, as long as the value lives.

import Relay
import RelayProtocol
import Synchronization
import TestKit
import Testing

/// The engines behind a relay.
enum Engine: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case sqlite, postgreSQL
    var testDescription: String { rawValue }
}

/// A calendar that tests set.
final class TestCalendar: Sendable {
    private let moment = Mutex<Int64>(1_700_000_000_000)
    var now: Int64 { moment.withLock { $0 } }
    func pass(seconds: Int64) { moment.withLock { $0 += seconds * 1000 } }
}

/// A place for a log: a file, or a database of the test's own.
final class TestStorage: Sendable {
    let storage: RelayConfiguration.Storage
    private nonisolated(unsafe) let folder = TemporaryDirectory()

    init(_ engine: Engine) throws {
        switch engine {
        case .sqlite: storage = .file(folder.file("relay.db"))
        case .postgreSQL: storage = .postgreSQL(try PostgreSQLCluster.shared().newDatabase())
        }
    }
}

final class TestRelay: Sendable {
    let server: RelayServer
    let place: TestStorage
    let calendar: TestCalendar
    private let isStopped = Mutex(false)

    /// - Parameter change: of the configuration, which is open.
    init(
        _ engine: Engine, in place: TestStorage? = nil, calendar: TestCalendar = TestCalendar(),
        _ change: (inout RelayConfiguration) -> Void = { _ in }
    ) throws {
        let place = try place ?? TestStorage(engine)
        var configuration = RelayConfiguration()
        configuration.storage = place.storage
        configuration.port = 0
        configuration.isOpen = true
        configuration.quota.requestsPerSecond = 100_000
        configuration.quota.burst = 100_000
        change(&configuration)
        self.place = place
        self.calendar = calendar
        server = try RelayServer(
            configuration, log: RelayLog { _, _ in }, wall: { calendar.now })
        try server.start()
    }

    deinit { stop() }

    func stop() {
        let isFirst = isStopped.withLock { isStopped in
            defer { isStopped = true }
            return !isStopped
        }
        if isFirst { server.stop() }
    }

    func client(timeoutSeconds: Int = 60) throws -> RelayClient {
        try RelayClient(port: server.port, timeoutSeconds: timeoutSeconds)
    }

    /// A store on the same place, as a command of the operator has it.
    func store(_ change: (inout RelayConfiguration.Quota) -> Void = { _ in }) throws -> RelayStore {
        var quota = RelayConfiguration.Quota()
        change(&quota)
        let calendar = calendar
        return RelayStore(try place.storage.database.connect(), quota: quota) { calendar.now }
    }
}

/// Runs `body` on a thread of its own: tests wait there, and not on the pool's few threads.
func onThread<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try await withTaskExecutorPreference(ThreadExecutor.shared) { try body() }
}

/// A thread for each job. What a test records there is the test's, since it is its task still.
private final class ThreadExecutor: TaskExecutor {
    static let shared = ThreadExecutor()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        TestThread.start { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
