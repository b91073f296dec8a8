// The memory of one libuv handle, freed once, after libuv has let go of it.
// Timers, watches, listeners and streams each own one.

internal import CUV

/// What stands behind a handle.
protocol HandleOwner: AnyObject {
    /// The loop closes: close the handle, and call out no earlier than in a later callback.
    func loopCloses()
}

/// One handle of libuv.
///
/// An open handle is kept alive by the loop, and keeps its owner alive; both end with `close()`.
final class Handle {
    private let raw: UnsafeMutableRawPointer
    private(set) var loop: EventLoop?
    /// Who gets the callbacks; nil before it is known and after the end.
    var owner: (any HandleOwner)?
    /// Memory that must live as long as the handle, such as a request.
    var attachment: AnyObject?
    private(set) var isClosing = false
    private var onClosed: (() -> Void)?

    /// Allocates a handle and lets `start` initialise it.
    ///
    /// - Throws: ``TransportError`` when the loop is closing or libuv refuses.
    init(
        _ kind: uv_handle_type, on loop: EventLoop, _ task: String,
        start: (UnsafeMutableRawPointer) -> Int32
    ) throws {
        guard !loop.isClosing else {
            throw TransportError(.closed, "\(task): the event loop is closing")
        }
        raw = .allocate(byteCount: uv_handle_size(kind), alignment: 16)
        let status = start(raw)
        guard status == 0 else {
            raw.deallocate()
            throw TransportError(uv: status, task)
        }
        self.loop = loop
        loop.handleCount += 1
        // Balanced in `finish`, when libuv has let go of the memory.
        uv_handle_set_data(base, Unmanaged.passRetained(self).toOpaque())
    }

    /// The handle as libuv's type `C`. Precondition: the handle was made as a `C`, or `C` is one of
    /// its base types, and it is not closed.
    func pointer<C>(to type: C.Type) -> UnsafeMutablePointer<C> {
        raw.assumingMemoryBound(to: type)
    }

    var base: UnsafeMutablePointer<uv_handle_t> { pointer(to: uv_handle_t.self) }
    var stream: UnsafeMutablePointer<uv_stream_t> { pointer(to: uv_stream_t.self) }

    /// The object behind a pointer that libuv passed to a callback.
    static func of<C>(_ pointer: UnsafeMutablePointer<C>?) -> Handle? {
        guard let pointer else { return nil }
        let base = UnsafeRawPointer(pointer).assumingMemoryBound(to: uv_handle_t.self)
        guard let data = uv_handle_get_data(base) else { return nil }
        return Unmanaged<Handle>.fromOpaque(data).takeUnretainedValue()
    }

    /// The owner of the handle behind a pointer that libuv passed to a callback.
    static func owner<C, Owner: HandleOwner>(
        of pointer: UnsafeMutablePointer<C>?, as type: Owner.Type
    ) -> Owner? {
        of(pointer)?.owner as? Owner
    }

    /// Closes the handle; idempotent. `then` runs in a later callback, when the memory is gone;
    /// only the first call's is kept.
    func close(then: (() -> Void)? = nil) {
        guard !isClosing else { return }
        isClosing = true
        onClosed = then
        uv_close(base) { pointer in Handle.of(pointer)?.finish() }
    }

    private func finish() {
        raw.deallocate()
        loop?.handleCount -= 1
        let then = onClosed
        onClosed = nil
        then?()
        attachment = nil
        owner = nil
        loop = nil
        Unmanaged.passUnretained(self).release()
    }
}

/// The memory of one libuv request, freed with the object; the owner keeps it until the request's
/// callback has run.
final class Request<C> {
    let pointer: UnsafeMutablePointer<C>

    init(_ kind: uv_req_type) {
        pointer = UnsafeMutableRawPointer.allocate(
            byteCount: uv_req_size(kind), alignment: 16
        ).assumingMemoryBound(to: C.self)
    }

    deinit { UnsafeMutableRawPointer(pointer).deallocate() }
}
