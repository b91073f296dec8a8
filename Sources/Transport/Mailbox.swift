// The one door through which other threads reach a loop.
// Everything else of the transport belongs to the loop's thread.

internal import CUV
internal import Synchronization

/// Hands work from any thread to the thread of one ``EventLoop``.
///
/// Work runs in the order in which it was posted, and one wake-up serves all that waits. It is not
/// a task queue for long work: that would hold up every connection.
package final class Mailbox: Sendable {
    package typealias Work = @Sendable (EventLoop) -> Void

    private struct State {
        /// The handle that wakes the loop, while it is open: libuv forbids a wake-up after that.
        /// Kept as an address, since a pointer may not be sent to another thread.
        var wake: UInt = 0
        var work: [Work] = []
        var thread: UInt = 0
    }

    private let state = Mutex(State())

    /// Runs `work` on the loop's thread, soon.
    ///
    /// - Returns: false when the loop is closed or ``TransportLimits/postedWorkCountMax`` pieces of
    ///   work wait already; then `work` never runs.
    @discardableResult
    package func post(_ work: @escaping Work) -> Bool {
        state.withLock { state in
            guard let wake = UnsafeMutablePointer<uv_async_t>(bitPattern: state.wake),
                state.work.count < TransportLimits.postedWorkCountMax
            else { return false }
            state.work.append(work)
            // The first entry wakes the loop, which takes all that has come by then.
            if state.work.count == 1 { uv_async_send(wake) }
            return true
        }
    }

    /// True on the thread that runs the loop.
    package var isLoopThread: Bool {
        let current = UInt(starling_thread())
        return state.withLock { $0.thread == current }
    }

    func open(_ handle: Handle) {
        let wake = UInt(bitPattern: handle.pointer(to: uv_async_t.self))
        state.withLock { $0.wake = wake }
    }

    /// Makes the calling thread the one that ``isLoopThread`` is true for.
    func adoptThread() {
        let current = UInt(starling_thread())
        state.withLock { $0.thread = current }
    }

    func take() -> [Work] {
        state.withLock { state in
            let work = state.work
            state.work = []
            return work
        }
    }

    var isEmpty: Bool { state.withLock { $0.work.isEmpty } }

    /// From here on `post` refuses; what waits is dropped.
    func close() {
        state.withLock { state in
            state.wake = 0
            state.work = []
        }
    }
}

/// A value of the loop's thread that other threads may carry but not open.
///
/// It lets posted work reach objects that are not `Sendable`: the work opens the box when it runs.
/// The box may be dropped on any thread, so the loop's side should keep the value alive too.
package struct LoopBound<Value>: @unchecked Sendable {
    private let stored: Value
    private let mailbox: Mailbox

    package init(_ value: Value, on loop: EventLoop) {
        stored = value
        mailbox = loop.mailbox
    }

    /// The value. Precondition: called on the loop's thread.
    package var value: Value {
        precondition(mailbox.isLoopThread, "a value of the loop was opened on another thread")
        return stored
    }
}
