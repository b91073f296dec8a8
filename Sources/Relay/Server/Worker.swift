// Threads with a connection to the store each, and the work that they do.

internal import RelayProtocol

/// Something for a worker to do with its store.
struct Work: Sendable {
    /// Whether it can be done once more when the connection broke, without knowing whether it was done.
    var isRepeatable = true
    /// Does it; what it returns is called when it is durable.
    var run: @Sendable (RelayStore) throws -> @Sendable () -> Void
    /// Called in place of that when it failed, or was not begun.
    var fail: @Sendable (RelayError) -> Void
}

/// The threads of one queue.
final class Workers: Sendable {
    let queue = WorkQueue<Work>()
    private let threads: [RelayThread]

    /// A store that cannot be reached is not tried again before this time.
    private static let pauseMilliseconds: Int64 = 500

    /// - Parameter commitCountMax: works that share a transaction.
    init(
        count: Int, commitCountMax: Int, connect: @escaping @Sendable () throws -> RelayStore
    ) throws {
        let queue = queue
        threads = try (0..<count).map { _ in
            try RelayThread {
                var worker = Worker(connect: connect)
                while true {
                    let works = queue.take(upTo: commitCountMax)
                    if works.isEmpty { return }
                    worker.perform(works)
                }
            }
        }
    }

    /// Does the work soon; `isUrgent` work however much waits.
    func add(_ work: Work, isUrgent: Bool = false) {
        guard !queue.add(work, isUrgent: isUrgent) else { return }
        work.fail(
            RelayError(.unavailable, "the relay is busy or stopping: try again", retrySeconds: 2))
    }

    /// Does what waits, then ends the threads.
    func stop() {
        queue.close()
        for thread in threads { thread.join() }
    }

    private struct Worker {
        let connect: @Sendable () throws -> RelayStore
        var store: RelayStore?
        var failure: (error: RelayError, moment: Int64)?

        init(connect: @escaping @Sendable () throws -> RelayStore) { self.connect = connect }

        mutating func perform(_ works: [Work]) {
            let again = attempt(works)
            guard !again.isEmpty else { return }
            for work in attempt(again.map(\.work)) { work.work.fail(work.error) }
        }

        /// - Returns: works that were not done since the connection broke, and can be repeated.
        private mutating func attempt(_ works: [Work]) -> [(work: Work, error: RelayError)] {
            let store: RelayStore
            do { store = try connected() } catch {
                for work in works { work.fail(error) }
                return []
            }
            let results = Self.run(works, store)
            let isBroken = store.session.isBroken
            if isBroken { self.store = nil }
            var again: [(Work, RelayError)] = []
            for (work, result) in zip(works, results) {
                switch result {
                case .success(let done): done()
                case .failure(let error) where isBroken && work.isRepeatable:
                    again.append((work, error))
                case .failure(let error): work.fail(error)
                }
            }
            return again
        }

        private mutating func connected() throws(RelayError) -> RelayStore {
            if let store { return store }
            let moment = RelayClock.monotonicMilliseconds()
            if let failure, moment - failure.moment < Workers.pauseMilliseconds {
                throw failure.error
            }
            do {
                let made = try connect()
                store = made
                failure = nil
                return made
            } catch {
                let error = RelayError(error)
                failure = (error, RelayClock.monotonicMilliseconds())
                throw error
            }
        }

        private typealias Done = @Sendable () -> Void

        /// One alone brings its own transaction; several share one, and each can fail on its own.
        private static func run(_ works: [Work], _ store: RelayStore) -> [Result<Done, RelayError>]
        {
            func attempt(_ work: Work) -> Result<Done, RelayError> {
                do { return .success(try work.run(store)) } catch {
                    return .failure(RelayError(error))
                }
            }
            if works.count == 1 { return [attempt(works[0])] }
            do {
                return try store.session.transaction { works.map(attempt) }
            } catch {
                // Nothing of it is there, whatever each thought.
                return works.map { _ in .failure(RelayError(error)) }
            }
        }
    }
}
