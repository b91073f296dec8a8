// The single thread on which a node runs: sockets, timers, signals and file events.
// A wrapper of one libuv loop; see <https://docs.libuv.org/en/v1.x/loop.html>.

internal import CUV

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// One event loop.
///
/// Everything here belongs to the thread that calls ``run()``; only ``mailbox`` may be used from
/// other threads. The loop keeps open handles alive, and they keep the loop: it goes only after
/// ``close()``, which whoever made the loop must call. It is not an executor of Swift concurrency.
package final class EventLoop {
    private enum Phase { case open, running, closing, closed }

    let raw: UnsafeMutablePointer<uv_loop_t>
    /// The door for other threads.
    package let mailbox = Mailbox()
    /// Shared by all reads: libuv fills it and hands it over before the next read begins.
    let readBuffer: UnsafeMutableRawBufferPointer
    /// Handles that libuv still knows, the loop's own two included; 0 after ``close()``.
    package internal(set) var handleCount = 0
    /// Requests on libuv's thread pool (name look-ups).
    var requestCount = 0
    private var phase = Phase.open
    private var wake: Handle?
    private var idle: Handle?
    private var deferred: [() -> Void] = []

    /// The version of libuv in this process, as `1.44.2`.
    package static var libraryVersion: String { String(cString: uv_version_string()) }

    /// Makes a loop and, for the whole process, turns SIGPIPE off.
    ///
    /// - Throws: ``TransportError`` when the system gives no more descriptors or memory.
    package init() throws {
        starling_ignore_sigpipe()
        let task = "cannot make an event loop"
        raw = UnsafeMutableRawPointer.allocate(byteCount: uv_loop_size(), alignment: 16)
            .assumingMemoryBound(to: uv_loop_t.self)
        readBuffer = .allocate(byteCount: TransportLimits.readBufferBytes, alignment: 16)
        let status = uv_loop_init(raw)
        guard status == 0 else {
            phase = .closed
            UnsafeMutableRawPointer(raw).deallocate()
            throw TransportError(uv: status, task)
        }
        do {
            let wake = try Handle(UV_ASYNC, on: self, task) { [raw] pointer in
                uv_async_init(raw, pointer.assumingMemoryBound(to: uv_async_t.self)) { pointer in
                    Handle.owner(of: pointer, as: LoopOwner.self)?.loop?.runPosted()
                }
            }
            wake.owner = LoopOwner(self)
            self.wake = wake
            let idle = try Handle(UV_IDLE, on: self, task) { [raw] pointer in
                uv_idle_init(raw, pointer.assumingMemoryBound(to: uv_idle_t.self))
            }
            idle.owner = LoopOwner(self)
            self.idle = idle
            mailbox.open(wake)
            mailbox.adoptThread()
        } catch {
            close()
            throw error
        }
    }

    deinit { readBuffer.deallocate() }

    /// Serves events until ``stop()``. It may be called again afterwards.
    package func run() {
        precondition(phase == .open, "run() was called on a loop that runs or is closed")
        mailbox.adoptThread()
        phase = .running
        uv_run(raw, UV_RUN_DEFAULT)
        phase = .open
    }

    /// Makes ``run()`` return after the callbacks that are due now; before `run()`, makes it return
    /// at once. Other threads post it: `mailbox.post { $0.stop() }`.
    package func stop() {
        guard !isClosing else { return }
        uv_stop(raw)
    }

    /// Milliseconds of a clock that never jumps; its zero is arbitrary.
    package var now: UInt64 {
        guard phase != .closed else { return uv_hrtime() / 1_000_000 }
        uv_update_time(raw)
        return uv_now(raw)
    }

    /// True once ``close()`` has begun: nothing new can be opened.
    package var isClosing: Bool { phase == .closing || phase == .closed }

    /// Runs `work` on this thread after the current callback has returned, in order.
    ///
    /// It keeps callbacks from running inside the calls that cause them. Dropped on a closed loop.
    package func soon(_ work: @escaping () -> Void) {
        guard let idle, !idle.isClosing else { return }
        deferred.append(work)
        guard deferred.count == 1 else { return }
        uv_idle_start(idle.pointer(to: uv_idle_t.self)) { pointer in
            Handle.owner(of: pointer, as: LoopOwner.self)?.loop?.runDeferred()
        }
    }

    private func runDeferred() {
        if let idle { uv_idle_stop(idle.pointer(to: uv_idle_t.self)) }
        let batch = deferred
        deferred = []
        for work in batch { work() }
    }

    private func runPosted() {
        for work in mailbox.take() { work(self) }
    }

    /// Closes every handle, runs the callbacks that this causes (each stream's `onClose`, each
    /// pending connect's completion), runs what was posted, and frees the loop. Idempotent.
    ///
    /// Precondition: not called from a callback.
    ///
    /// - Returns: true when nothing is left. False when a name look-up did not end within
    ///   ``TransportLimits/closeMillisecondsMax``; the loop's memory is then left to the process.
    @discardableResult
    package func close() -> Bool {
        precondition(phase != .running, "close() was called while the loop runs")
        guard phase == .open else { return phase == .closed && handleCount == 0 }
        phase = .closing
        mailbox.adoptThread()
        let deadline = now + TransportLimits.closeMillisecondsMax
        while true {
            closeHandles()
            uv_run(raw, UV_RUN_NOWAIT)
            if handleCount <= ownHandleCount, requestCount == 0, deferred.isEmpty, mailbox.isEmpty {
                break
            }
            if now >= deadline { break }
            if requestCount > 0 { usleep(500) }
        }
        mailbox.close()
        wake?.close()
        idle?.close()
        uv_run(raw, UV_RUN_NOWAIT)
        wake = nil
        idle = nil
        deferred = []
        phase = .closed
        guard uv_loop_close(raw) == 0 else { return false }
        UnsafeMutableRawPointer(raw).deallocate()
        return handleCount == 0
    }

    private var ownHandleCount: Int { (wake == nil ? 0 : 1) + (idle == nil ? 0 : 1) }

    private func closeHandles() {
        uv_walk(
            raw,
            { pointer, _ in
                guard let handle = Handle.of(pointer), !handle.isClosing else { return }
                if let owner = handle.owner { owner.loopCloses() } else { handle.close() }
            }, nil)
    }
}

/// Stands behind the loop's own handles, which `close()` closes last.
private final class LoopOwner: HandleOwner {
    // Weak, since the handle keeps the loop already.
    weak var loop: EventLoop?
    init(_ loop: EventLoop) { self.loop = loop }
    func loopCloses() {}
}
