// Threads of the relay's own, for calls that block, and the queue through which work reaches them.

internal import RelayProtocol
internal import Threads

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A thread of the relay's own.
final class RelayThread: Sendable {
    private let thread: SystemThread

    /// - Throws: ``RelayError`` when the system refuses the thread.
    init(_ run: @escaping @Sendable () -> Void) throws {
        do { thread = try SystemThread(stackBytes: RelayLimits.threadStackBytes, run) } catch {
            throw RelayError(
                .failed,
                "the system refused a thread (errno \(error.number)): raise the limit of processes for "
                    + "this user")
        }
    }

    /// Waits until it has ended; to be called once.
    func join() { thread.finish() }
}

/// Work for threads, in order.
final class WorkQueue<Element: Sendable>: Sendable {
    private nonisolated(unsafe) let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(
        capacity: 1)
    private nonisolated(unsafe) let signal = UnsafeMutablePointer<pthread_cond_t>.allocate(
        capacity: 1)
    private nonisolated(unsafe) var elements: [Element] = []
    /// How many of the first elements are taken already.
    private nonisolated(unsafe) var taken = 0
    private nonisolated(unsafe) var isClosed = false

    init() {
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        #if !canImport(Darwin)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        #endif
        pthread_cond_init(signal, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(signal)
        pthread_mutex_destroy(lock)
        signal.deallocate()
        lock.deallocate()
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body()
    }

    /// - Returns: false when the queue is full or closed; `isUrgent` work is taken always.
    @discardableResult
    func add(_ element: Element, isUrgent: Bool = false) -> Bool {
        locked {
            guard !isClosed, isUrgent || elements.count - taken < RelayLimits.workCountMax else {
                return false
            }
            elements.append(element)
            pthread_cond_signal(signal)
            return true
        }
    }

    /// Waits for work; takes up to `count` elements. Empty when the queue is closed and has none left.
    func take(upTo count: Int) -> [Element] {
        locked {
            while elements.count == taken, !isClosed { pthread_cond_wait(signal, lock) }
            let some = Array(elements[taken..<min(taken + count, elements.count)])
            taken += some.count
            // Moved together now and then, so that taking is O(1) on average.
            if taken == elements.count || taken > 4096 {
                elements.removeFirst(taken)
                taken = 0
            }
            return some
        }
    }

    /// What waits, after this time at the latest, which may be nothing.
    func takeAll(withinMilliseconds limit: Int) -> [Element] {
        var until = timespec()
        #if canImport(Darwin)
        clock_gettime(CLOCK_REALTIME, &until)
        #else
        clock_gettime(CLOCK_MONOTONIC, &until)
        #endif
        let nanoseconds = until.tv_nsec + (limit % 1000) * 1_000_000
        until.tv_sec += limit / 1000 + nanoseconds / 1_000_000_000
        until.tv_nsec = nanoseconds % 1_000_000_000
        return locked {
            while elements.count == taken, !isClosed {
                if pthread_cond_timedwait(signal, lock, &until) != 0 { break }
            }
            let all = Array(elements[taken...])
            elements = []
            taken = 0
            return all
        }
    }

    var isEnded: Bool { locked { isClosed } }

    /// No more work is taken; what is there is still given out.
    func close() {
        locked {
            isClosed = true
            pthread_cond_broadcast(signal)
        }
    }
}
