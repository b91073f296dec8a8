// One-shot and repeating timers of the loop.

internal import CUV

/// A running timer; it fires although nobody keeps this object, until it is cancelled.
package final class Timer: HandleOwner {
    private var handle: Handle?
    private var action: (() -> Void)?
    private let repeats: Bool

    fileprivate init(
        on loop: EventLoop, after: UInt64, repeating: UInt64?, _ action: @escaping () -> Void
    ) {
        self.action = action
        repeats = repeating != nil
        // Only a closing loop refuses; its timers never fire.
        handle = try? Handle(UV_TIMER, on: loop, "cannot start a timer") { pointer in
            uv_timer_init(loop.raw, pointer.assumingMemoryBound(to: uv_timer_t.self))
        }
        guard let handle else {
            self.action = nil
            return
        }
        handle.owner = self
        // libuv counts from the start of the loop's turn, which may be long ago.
        uv_update_time(loop.raw)
        uv_timer_start(
            handle.pointer(to: uv_timer_t.self),
            { pointer in Handle.owner(of: pointer, as: Timer.self)?.fire() },
            after, repeating.map { max($0, 1) } ?? 0)
    }

    private func fire() {
        let action = self.action
        if !repeats { cancel() }
        action?()
    }

    /// True until it is cancelled or, without repetition, has fired.
    package var isActive: Bool { action != nil }

    /// Stops the timer for good; idempotent. Its action does not run afterwards.
    package func cancel() {
        action = nil
        handle?.close()
        handle = nil
    }

    func loopCloses() { cancel() }
}

extension EventLoop {
    /// Runs `action` after some milliseconds and then, if wanted, at every interval.
    ///
    /// Timers that are due together fire in the order of their times, then of their start. A
    /// repeating timer that is late skips nothing and catches up on nothing.
    @discardableResult
    package func schedule(
        after milliseconds: UInt64, repeating interval: UInt64? = nil,
        _ action: @escaping () -> Void
    ) -> Timer {
        Timer(on: self, after: milliseconds, repeating: interval, action)
    }
}
