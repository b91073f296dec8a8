// One connection to another node: TCP below, TLS on it, frames on that. And what comes before: the
// handshake, in which both sides prove their keys or are nobody.

internal import Sync
internal import Transport
internal import Trust
internal import Wire

/// A connection as the engine sees it: open, the peer's key proved.
final class PeerConnection: Link {
    let stream: Transport.Stream
    private let channel: SecureChannel
    private let encoder = FrameEncoder(frameBytesMax: TransportLimits.frameBytesMax)
    private var decoder = FrameDecoder(limits: .beforeHello)
    var id: LinkID?
    /// Whose key the other side has proved.
    let node: String
    /// The engine has not closed it.
    private(set) var isWanted = true

    /// A message with one very large row is queued whole.
    private static let writeQueueBytesMax = 512 << 20

    init(_ stream: Transport.Stream, _ channel: SecureChannel, to node: String) {
        self.node = node
        self.stream = stream
        self.channel = channel
        stream.writeQueueBytesMax = Self.writeQueueBytesMax
    }

    var queuedBytes: Int { stream.queuedBytes }

    func send(_ frame: [UInt8]) {
        guard stream.isOpen else { return }
        do { try channel.send(encoder.encode(FrameChecksum.close(frame))) } catch {
            return stream.close()
        }
        _ = stream.write(channel.takeOutput())
    }

    func close() {
        isWanted = false
        channel.end()
        _ = stream.write(channel.takeOutput())
        stream.finish(timeout: 2000)
    }

    func abort() {
        isWanted = false
        stream.close()
    }

    /// - Throws: `TrustError` when what came was changed on the way.
    func feed(_ bytes: RawSpan) throws {
        decoder.feed(try channel.receive([UInt8](copying: bytes)))
        if channel.hasPeerEnded { stream.pauseReading() }
    }

    /// What came together with the end of the handshake.
    func feed(plain: [UInt8]) { decoder.feed(plain) }

    /// The peer has said that nothing follows.
    var hasPeerEnded: Bool { channel.hasPeerEnded }

    /// The next whole frame that has come in; nil until more bytes come.
    func nextFrame() throws -> [UInt8]? { try decoder.next().map { try FrameChecksum.open($0) } }

    /// The peer has said who it is, and may send more at once.
    func trust() { decoder.limits = .afterHello }
}

/// A TCP connection on which the keys are not proved yet: a few seconds, a few KiB, then it is something
/// or gone.
final class Handshake {
    struct Outcome {
        var stream: Transport.Stream
        var channel: SecureChannel
        var key: PublicKey
        /// Bytes that came with the end of the handshake.
        var plain: [UInt8]
    }

    static let milliseconds: UInt64 = 5000

    let stream: Transport.Stream
    private let channel: SecureChannel
    private var timer: Transport.Timer?
    private var completion: ((Result<Outcome, any Error>) -> Void)?

    /// - Parameters:
    ///   - mayTalk: whether the owner of a key may be at the other end.
    ///   - completion: called once, never from here, unless ``cancel()`` comes first; the stream is
    ///     closed when it failed.
    init(
        _ stream: Transport.Stream, _ context: SecureContext, role: SecureChannel.Role,
        on loop: EventLoop, mayTalk: @escaping (PublicKey) -> Bool,
        completion: @escaping (Result<Outcome, any Error>) -> Void
    ) throws {
        self.stream = stream
        self.completion = completion
        channel = try SecureChannel(context, role: role, mayTalk: mayTalk)
        timer = loop.schedule(after: Self.milliseconds) { [unowned self] in
            fail(TransportError(.timedOut, "\(stream.peerAddress) did not prove its key in time"))
        }
        stream.onRead = { [unowned self] in received([UInt8](copying: $0)) }
        stream.onClose = { [unowned self] reason in
            finish(
                .failure(
                    TransportError(.closed, "\(stream.peerAddress) ended the handshake: \(reason)"))
            )
        }
        _ = stream.write(channel.takeOutput())
        stream.resumeReading()
    }

    private func received(_ bytes: [UInt8]) {
        do {
            let plain = try channel.receive(bytes)
            _ = stream.write(channel.takeOutput())
            guard channel.isOpen, let key = channel.peer else { return }
            stream.pauseReading()
            finish(.success(Outcome(stream: stream, channel: channel, key: key, plain: plain)))
        } catch {
            // The alert tells the other side why.
            let stream = stream
            _ = stream.write(channel.takeOutput())
            finish(.failure(error))
            stream.finish(timeout: 1000)
        }
    }

    private func fail(_ error: any Error) {
        let stream = stream
        finish(.failure(error))
        stream.close()
    }

    private func finish(_ result: Result<Outcome, any Error>) {
        timer?.cancel()
        stream.onRead = nil
        stream.onClose = nil
        guard let completion else { return }
        self.completion = nil
        completion(result)
    }

    /// Without effect once it is complete.
    func cancel() {
        guard completion != nil else { return }
        completion = nil
        fail(TransportError(.closed, "not needed any more"))
    }
}
