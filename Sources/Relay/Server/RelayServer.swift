// A relay process: HTTP in front, workers with the store behind, and a clock thread for what has a time.

internal import RelayProtocol
internal import Synchronization

/// A relay. It is no member of any group: what passes through it is opaque to it.
///
///     init ──start()──▶ serves ──stop()──▶ ended
package final class RelayServer: Sendable {
    let configuration: RelayConfiguration
    let database: any RelayDatabase
    let log: RelayLog
    let metrics = RelayMetrics()
    let waiters = Waiters()
    let table = ConnectionTable()
    let writers: Workers
    let readers: Workers
    let rates: Meters<RelayRequest.Access>
    let failures: Meters<String>
    let bell: (any RelayBell)?
    private let wall: @Sendable () -> Int64
    let state = Mutex(State())

    struct State {
        var isStopping = false
        /// Requests that are not over.
        var active = 0
        /// Bytes of bodies in memory.
        var bodyBytes = 0
        var isPolling = false
        var totals: (groups: Int64, entries: Int64, bytes: Int64)?
        var totalsMoment = Int64.min
        var daemon: HTTPDaemon?
        var callbacks: HTTPDaemon.Callbacks?
        var clock: RelayThread?
    }

    private let ticks = WorkQueue<Int>()
    private static let tickMilliseconds = 100
    private static let stopMillisecondsMax: Int64 = 5000
    private static let maintenanceMilliseconds: Int64 = 60_000
    private static let quietPollMilliseconds: Int64 = 1000

    /// Opens the store, so that what is wrong with it is told at once; nothing is served yet.
    ///
    /// - Parameters:
    ///   - log: gets lines without secrets.
    ///   - wall: milliseconds since 1970.
    package init(
        _ configuration: RelayConfiguration, log: RelayLog,
        wall: @escaping @Sendable () -> Int64 = RelayClock.wallMilliseconds
    ) throws {
        self.configuration = configuration
        self.log = log
        self.wall = wall
        let database = configuration.storage.database
        self.database = database
        _ = try database.connect()
        let quota = configuration.quota
        let connect: @Sendable () throws -> RelayStore = {
            RelayStore(try database.connect(), quota: quota, now: wall)
        }
        writers = try Workers(
            count: database.writerCount, commitCountMax: database.commitCountMax, connect: connect)
        readers = try Workers(count: database.readerCount, commitCountMax: 1, connect: connect)
        rates = Meters(perSecond: Double(quota.requestsPerSecond), burst: quota.burst)
        let failuresMax = configuration.connections.failuresPerAddress
        failures = Meters(perSecond: Double(failuresMax) / 10, burst: failuresMax)
        bell = database.bell()
    }

    /// The port on which it listens; 0 before ``start()``.
    package var port: UInt16 { state.withLock { $0.daemon?.port ?? 0 } }

    /// Begins to serve.
    package func start() throws {
        try bell?.start { [weak self] groups in self?.heard(groups) }
        let callbacks = HTTPDaemon.Callbacks(self)
        let daemon = try HTTPDaemon(configuration, handler: callbacks)
        let clock = try RelayThread { [weak self, ticks] in
            var next = Schedule()
            while !ticks.isEnded {
                let pause = self?.tick(&next) ?? Self.tickMilliseconds
                _ = ticks.takeAll(withinMilliseconds: pause)
            }
        }
        state.withLock {
            $0.daemon = daemon
            $0.callbacks = callbacks
            $0.clock = clock
        }
    }

    /// Answers who waits, finishes what is at work, closes all connections; to be called once.
    package func stop() {
        let (daemon, clock) = state.withLock {
            $0.isStopping = true
            return ($0.daemon, $0.clock)
        }
        daemon?.quiesce()
        ticks.close()
        clock?.join()
        bell?.stop()
        for waiter in waiters.takeDue(at: .max) { answerEmpty(waiter) }
        writers.stop()
        readers.stop()
        // One that was parked in the meantime.
        for waiter in waiters.takeDue(at: .max) { answerEmpty(waiter) }
        let deadline = RelayClock.monotonicMilliseconds() + Self.stopMillisecondsMax
        let rest = WorkQueue<Int>()
        while state.withLock({ $0.active }) > 0, RelayClock.monotonicMilliseconds() < deadline {
            _ = rest.takeAll(withinMilliseconds: 10)
        }
        daemon?.stop()
        state.withLock {
            $0.daemon = nil
            $0.callbacks = nil
        }
    }

    var isStopping: Bool { state.withLock { $0.isStopping } }

    // MARK: The clock

    /// When what is due next, on the monotonic clock.
    private struct Schedule {
        var maintenance = Int64.min
        var poll = Int64.min
        var cut = Int64.min
    }

    /// - Returns: after how many milliseconds to come again.
    private func tick(_ next: inout Schedule) -> Int {
        let now = RelayClock.monotonicMilliseconds()
        for waiter in waiters.takeDue(at: now) { answerEmpty(waiter) }
        if now >= next.cut {
            next.cut = now + 250
            let count = table.cut(at: now)
            if count > 0 { metrics.count { $0.cutConnections += count } }
        }
        if now >= next.maintenance {
            next.maintenance = now + Self.maintenanceMilliseconds
            maintain()
        }
        // A bell that is heard can still miss something: who rings may die before he does.
        let isDeaf = bell.map { !$0.isHeard } ?? false
        let interval = isDeaf ? Int64(database.pollMilliseconds) : Self.quietPollMilliseconds
        if next.poll > now + interval { next.poll = now + interval }
        if now >= next.poll {
            next.poll = now + interval
            poll()
        }
        return isDeaf ? database.pollMilliseconds : Self.tickMilliseconds
    }

    // MARK: Waking

    /// The groups have new entries, of this process or of another.
    func wake(_ group: Int64) {
        let woken = waiters.take(group: group)
        guard !woken.isEmpty else { return }
        metrics.count { $0.wakeUps += woken.count }
        readers.add(readings(woken), isUrgent: true)
    }

    /// - Parameter groups: empty when nobody knows which.
    private func heard(_ groups: [Int64]) {
        if groups.isEmpty { poll() }
        for group in Set(groups) { wake(group) }
    }

    /// Looks whether a group that is waited for has grown, or gone.
    func poll() {
        guard waiters.count > 0 else { return }
        let mayPoll = state.withLock { state in
            defer { state.isPolling = true }
            return !state.isPolling && !state.isStopping
        }
        guard mayPoll else { return }
        metrics.count { $0.bellPolls += 1 }
        let end: @Sendable () -> Void = { [self] in
            state.withLock { $0.isPolling = false }
        }
        readers.add(
            Work(
                run: { store in
                    let wanted = self.waiters.groups
                    let heads = try store.heads(Array(wanted.keys))
                    for (group, number) in wanted {
                        // One that has gone is told by the read.
                        if let head = heads[group], head <= number { continue }
                        self.wake(group)
                    }
                    return end
                }, fail: { _ in end() }))
    }

    // MARK: Cleaning up

    /// Lets go what snapshots cover, group by group, in steps between which others append.
    package func maintain() {
        let grace = Int64(configuration.graceSeconds) * 1000
        step { store in
            if try store.sweep() { return true }
            return false
        }
        writers.add(
            Work(
                run: { store in
                    let groups = try store.releasable(graceMilliseconds: grace, count: 1000)
                    return { for group in groups { self.release(group) } }
                }, fail: { error in self.log.warning("clean-up: \(error.debugDescription)") }
            ))
    }

    private func release(_ group: Int64) {
        let grace = Int64(configuration.graceSeconds) * 1000
        let keys = Int64(configuration.keySeconds) * 1000
        step { store in
            try store.release(group, graceMilliseconds: grace, keyMilliseconds: keys)
        }
    }

    /// Does a small work again and again until it says that nothing is left.
    private func step(_ body: @escaping @Sendable (RelayStore) throws -> Bool) {
        writers.add(
            Work(
                run: { store in
                    let isMore = try body(store)
                    return { if isMore { self.step(body) } }
                }, fail: { error in self.log.warning("clean-up: \(error.debugDescription)") }
            ))
    }
}

extension RelayConfiguration.Storage {
    /// The engine.
    package var database: any RelayDatabase {
        switch self {
        case .file(let path): SQLiteRelayDatabase(path: path)
        case .postgreSQL(let url): PostgreSQLRelayDatabase(url: url)
        }
    }
}

/// Where the relay's lines go.
package struct RelayLog: Sendable {
    package enum Level: String, Sendable { case info, warning, error }

    private let write: @Sendable (Level, String) -> Void

    package init(_ write: @escaping @Sendable (Level, String) -> Void) { self.write = write }

    func info(_ words: String) { write(.info, words) }
    func warning(_ words: String) { write(.warning, words) }
    func error(_ words: String) { write(.error, words) }
}
