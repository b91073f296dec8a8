// Threads with a connection to the store each, and the work that they do.

internal import RelayProtocol

/// Something for a worker to do with its store.
struct Work: Sendable {
    /// Whether it can be done once more when the connection broke, without knowing whether it was done.
    var isRepeatable = true
    /// Works with the same name can share a transaction, also where each store's lock is a group's.
    var group: GroupName?
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
            let results =
                works.count == 1
                ? [Self.run(works[0], store)]
                : store.session.lockingClause.isEmpty
                    ? Self.runTogether(works, store) : Self.runByGroup(works, store)
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

        /// Works that share a transaction, where the engine has one lock for all: each can fail on its own.
        private static func runTogether(
            _ works: [Work], _ store: RelayStore
        ) -> [Result<Done, RelayError>] {
            do { return try store.session.transaction { works.map { run($0, store) } } } catch {
                // Nothing of it is there, whatever each thought.
                return works.map { _ in .failure(RelayError(error)) }
            }
        }

        /// Works by group, where each group has a lock of its own: those of one group share a transaction,
        /// and are done one by one when any of them fails.
        private static func runByGroup(
            _ works: [Work], _ store: RelayStore
        ) -> [Result<Done, RelayError>] {
            var results = [Result<Done, RelayError>?](repeating: nil, count: works.count)
            for (name, indices) in Dictionary(grouping: works.indices, by: { works[$0].group })
            where name != nil && indices.count > 1 {
                let done = try? store.session.transaction {
                    try indices.map { try works[$0].run(store) }
                }
                for (index, done) in zip(indices, done ?? []) { results[index] = .success(done) }
                if store.session.isBroken { break }
            }
            return works.indices.map { results[$0] ?? run(works[$0], store) }
        }

        /// One alone brings its own transaction.
        private static func run(_ work: Work, _ store: RelayStore) -> Result<Done, RelayError> {
            do { return .success(try work.run(store)) } catch { return .failure(RelayError(error)) }
        }
    }
}
