// The seam between the owner's threads and the discovery thread: wishes go in under a lock and wake
// the thread through a pipe; a second pipe tells that the thread has ended.

import CPlatform
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The wishes that wait for the discovery thread. Wishes of one kind are merged, so it cannot grow.
final class DiscoveryMailbox: Sendable {
    struct Wishes {
        var resolve: Set<String> = []
        var unreached: [String]?
        var refresh = false
    }

    private struct State {
        var wishes = Wishes()
        var isStopping = false
        var isAbandoned = false
        var thread: UInt?
        var busySince: Int64?
    }

    private let state = Mutex(State())
    private let wake: DescriptorPair
    private let done: DescriptorPair

    /// - Throws: `DiscoveryError.Code.resources` when no descriptor is left.
    init() throws(DiscoveryError) {
        wake = try DescriptorPair()
        done = try DescriptorPair()
    }

    /// Readable when there is something to take.
    var wakeDescriptor: Int32 { wake.reader }
    var isStopping: Bool { state.withLock { $0.isStopping } }
    /// The owner no longer listens.
    var isAbandoned: Bool { state.withLock { $0.isAbandoned } }

    func post(_ change: (inout Wishes) -> Void) {
        state.withLock { change(&$0.wishes) }
        wake.signal()
    }

    func postStop() {
        state.withLock { $0.isStopping = true }
        wake.signal()
    }

    /// Since when the thread has been at work without coming back to wait, or nil while it waits.
    var busySince: Int64? { state.withLock { $0.busySince } }

    func markBusy(since time: Int64?) { state.withLock { $0.busySince = time } }

    /// Called by the discovery thread before anything else.
    func adoptThread() { state.withLock { $0.thread = Self.ownThread } }

    /// Whether the caller is the discovery thread, which must not wait for itself.
    var isOwnThread: Bool { state.withLock { $0.thread == Self.ownThread } }

    /// The thread's handle is an integer or a pointer, depending on the system.
    private static var ownThread: UInt {
        #if canImport(Glibc)
        pthread_self()
        #else
        UInt(bitPattern: pthread_self())
        #endif
    }

    func abandon() { state.withLock { $0.isAbandoned = true } }

    func take() -> Wishes {
        wake.drain()
        return state.withLock { state in
            defer { state.wishes = Wishes() }
            return state.wishes
        }
    }

    func markDone() { done.signal() }

    /// Waits until the thread has ended. The signal stays, so that several may wait.
    func waitUntilDone(milliseconds: Int64) -> Bool {
        let deadline = monotonicMs() + milliseconds
        while true {
            let left = max(0, deadline - monotonicMs())
            var entry = pollfd(fd: done.reader, events: Int16(POLLIN), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: left))
            if count > 0 { return true }
            if count == 0 || starling_errno() != EINTR { return false }
        }
    }
}

/// A pipe that carries no content, only "something happened".
private struct DescriptorPair: ~Copyable, Sendable {
    let reader: Int32
    let writer: Int32

    init() throws(DiscoveryError) {
        var ends: (Int32, Int32) = (-1, -1)
        let code = withUnsafeMutableBytes(of: &ends) { bytes in
            pipe(bytes.assumingMemoryBound(to: Int32.self).baseAddress)
        }
        guard code == 0 else {
            throw DiscoveryError(
                code: .resources,
                message: "no descriptor is left for discovery (errno \(starling_errno())): "
                    + "raise the limit of open files")
        }
        (reader, writer) = ends
        for descriptor in [reader, writer] {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        }
    }

    deinit {
        close(reader)
        close(writer)
    }

    /// A full pipe is as good as one more byte: the reader has not looked yet.
    borrowing func signal() {
        var byte: UInt8 = 1
        while write(writer, &byte, 1) < 0, starling_errno() == EINTR {}
    }

    borrowing func drain() {
        var buffer: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        while true {
            let count = read(reader, &buffer, 32)
            if count == 32 || (count < 0 && starling_errno() == EINTR) { continue }
            return
        }
    }
}

/// Milliseconds of a clock that never jumps.
func monotonicMs() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
