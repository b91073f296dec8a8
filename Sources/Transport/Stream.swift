// A byte stream over TCP or a Unix-domain socket: reading, closing, addresses.
// Writing and its queue are in Stream+Writing.swift.

internal import CPlatform
internal import CUV

/// One connection.
///
/// A new stream does not read: set the callbacks, then call ``resumeReading()``. Callbacks run on
/// the loop's thread, never inside a call of this class, each at most once where it says so, and
/// none after `onClose`. The loop keeps an open stream alive; it ends with ``close()``,
/// ``finish()``, the peer's end or an error. It knows bytes only; messages are ``FrameDecoder``'s.
package final class Stream: HandleOwner {
    /// Why a stream has ended.
    package enum CloseReason: Equatable, Sendable, CustomStringConvertible {
        case closedHere
        case closedByPeer
        case failed(TransportError)

        package var description: String {
            switch self {
            case .closedHere: "closed here"
            case .closedByPeer: "closed by the peer"
            case .failed(let error): error.description
            }
        }
    }

    let loop: EventLoop
    let handle: Handle
    package let localAddress: Endpoint
    package let peerAddress: Endpoint

    /// Bytes that arrived. They are the loop's buffer, valid during the call: copy what is kept.
    package var onRead: ((RawSpan) -> Void)?
    /// The peer has ended its side (once). If set, the stream stays open for writing and the owner
    /// ends it; if not, the end of the peer's side closes the stream.
    package var onEnd: (() -> Void)?
    /// The stream is gone (once, and last).
    package var onClose: ((CloseReason) -> Void)?
    /// The write queue has fallen to ``lowWaterBytes`` after it had risen above
    /// ``highWaterBytes``.
    package var onDrain: (() -> Void)?

    package var highWaterBytes = TransportLimits.highWaterBytes
    package var lowWaterBytes = TransportLimits.lowWaterBytes
    /// A queue beyond this closes the stream with code `queueFull`.
    package var writeQueueBytesMax = TransportLimits.writeQueueBytesMax

    // State of writing, see Stream+Writing.swift.
    let queue = ByteQueue()
    var flightBytes = 0
    var acceptedBytes: UInt64 = 0
    var completions: [(end: UInt64, run: (TransportError?) -> Void)] = []
    var isCongested = false
    /// Nothing more is written; with `isFinishing`, nothing more is delivered either.
    var isEnding = false
    var isFinishing = false
    let writeRequest = Request<uv_write_t>(UV_WRITE)
    let shutdownRequest = Request<uv_shutdown_t>(UV_SHUTDOWN)
    var finishTimer: Timer?
    var isEndSent = false

    /// Bytes read and bytes accepted by the kernel since the start.
    package private(set) var readBytes: UInt64 = 0
    package var writtenBytes: UInt64 { acceptedBytes - UInt64(queue.count) }

    private var isReading = false
    private(set) var hasPeerEnded = false
    private var closeReason: CloseReason?

    /// Takes over a connected handle.
    init(_ handle: Handle, on loop: EventLoop, local: Endpoint?, peer: Endpoint?) {
        self.loop = loop
        self.handle = handle
        if local == nil, peer == nil {
            let tcp = handle.pointer(to: uv_tcp_t.self)
            uv_tcp_nodelay(tcp, 1)
            uv_tcp_keepalive(tcp, 1, TransportLimits.keepAliveSeconds)
            let unknown = Endpoint.tcp(host: "?", port: 0)
            localAddress = RawAddress { uv_tcp_getsockname(tcp, $0, $1) }?.endpoint ?? unknown
            peerAddress = RawAddress { uv_tcp_getpeername(tcp, $0, $1) }?.endpoint ?? unknown
        } else {
            localAddress = local ?? .unix(path: "")
            peerAddress = peer ?? .unix(path: "")
        }
        handle.owner = self
    }

    /// False once the stream is closing.
    package var isOpen: Bool { closeReason == nil }

    /// The user at the other end of a Unix socket; nil when the system does not say.
    package var peerUser: UInt32? {
        var number: Int32 = -1
        guard isOpen, uv_fileno(handle.base, &number) == 0 else { return nil }
        return UInt32(exactly: starling_peer_user(number))
    }

    /// Starts or goes on reading; idempotent.
    package func resumeReading() {
        guard isOpen, !isReading, !hasPeerEnded else { return }
        let status = uv_read_start(
            handle.stream,
            { pointer, _, buffer in
                guard let loop = Handle.of(pointer)?.loop else { return }
                buffer?.pointee = uv_buf_init(
                    loop.readBuffer.baseAddress?.assumingMemoryBound(to: CChar.self),
                    UInt32(loop.readBuffer.count))
            },
            { pointer, count, buffer in
                guard let stream = Handle.owner(of: pointer, as: Stream.self) else { return }
                stream.received(count, buffer?.pointee.base)
            })
        guard status == 0 else { return fail(status, "cannot read from \(peerAddress)") }
        isReading = true
    }

    /// Stops reading, so that the kernel stops the peer; idempotent.
    ///
    /// A paused stream does not notice that its peer goes.
    package func pauseReading() {
        guard isReading else { return }
        isReading = false
        if isOpen { uv_read_stop(handle.stream) }
    }

    private func received(_ count: Int, _ start: UnsafeMutablePointer<CChar>?) {
        guard isOpen else { return }
        if count > 0 {
            readBytes += UInt64(count)
            guard !isFinishing else { return }
            onRead?(UnsafeRawBufferPointer(start: start, count: count).bytes)
        } else if count == Int(UV_EOF.rawValue) {
            pauseReading()
            hasPeerEnded = true
            if isFinishing { return isEndSent ? close(.closedHere) : () }
            guard let onEnd else { return close(.closedByPeer) }
            self.onEnd = nil
            onEnd()
            // Both sides have ended: nothing can come any more.
            if isEndSent { close(.closedByPeer) }
        } else if count < 0 {
            // The peer may well hang up hard on a stream that says goodbye.
            if isFinishing, isEndSent { return close(.closedHere) }
            fail(Int32(count), "the connection to \(peerAddress) broke")
        }
    }

    /// Ends the stream at once and drops what is queued; idempotent. To send the queue first, use
    /// ``finish()``.
    package func close() { close(.closedHere) }

    func loopCloses() { close(.closedHere) }

    func fail(_ status: Int32, _ task: String) {
        close(.failed(TransportError(uv: status, task)))
    }

    func close(_ reason: CloseReason) {
        guard isOpen else { return }
        closeReason = reason
        finishTimer?.cancel()
        finishTimer = nil
        handle.close { self.closed(reason) }
    }

    /// Runs when libuv has let go of the handle and of both requests.
    private func closed(_ reason: CloseReason) {
        let error: TransportError =
            if case .failed(let cause) = reason {
                cause
            } else {
                TransportError(.closed, "the connection to \(peerAddress) was \(reason)")
            }
        let pending = completions
        completions = []
        for completion in pending { completion.run(error) }
        let onClose = self.onClose
        self.onClose = nil
        onRead = nil
        onEnd = nil
        onDrain = nil
        onClose?(reason)
    }
}

extension Array<UInt8> {
    /// The bytes of a span, kept.
    package init(copying span: RawSpan) {
        self = span.withUnsafeBytes { [UInt8]($0) }
    }
}
