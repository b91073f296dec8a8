// Messages on a byte stream: pure values, no I/O.
//
// A message is one or more frames. A frame is a header of four bytes, big-endian, and a payload:
// the header's top bit says that more fragments of the same message follow, its other 31 bits are
// the length of the payload in bytes.

/// What one side accepts from the other; the owner changes it as trust grows.
package struct FrameLimits: Equatable, Sendable {
    /// Payload of one frame, in bytes.
    package var frameBytesMax: Int
    /// One assembled message, in bytes.
    package var messageBytesMax: Int

    /// Precondition: the frame limit is positive and fits 31 bits.
    package init(frameBytesMax: Int, messageBytesMax: Int) {
        precondition(
            (1...TransportLimits.frameLengthBytesMax).contains(frameBytesMax)
                && messageBytesMax >= 0, "frame limits out of range")
        self.frameBytesMax = frameBytesMax
        self.messageBytesMax = messageBytesMax
    }

    /// Before the peer has said who it is.
    package static let beforeHello = FrameLimits(
        frameBytesMax: TransportLimits.frameBytesMaxBeforeHello,
        messageBytesMax: TransportLimits.messageBytesMaxBeforeHello)
    /// Afterwards.
    package static let afterHello = FrameLimits(
        frameBytesMax: TransportLimits.frameBytesMax,
        messageBytesMax: TransportLimits.messageBytesMax)
}

/// Cuts messages into frames.
package struct FrameEncoder: Sendable {
    static let moreFlag: UInt32 = 1 << 31

    /// Payload of one frame, in bytes; the receiver's limit or less.
    package var frameBytesMax: Int

    /// Precondition: the limit is positive and fits 31 bits.
    package init(frameBytesMax: Int) {
        precondition(
            (1...TransportLimits.frameLengthBytesMax).contains(frameBytesMax),
            "frame limit out of range")
        self.frameBytesMax = frameBytesMax
    }

    /// Bytes that a message of `count` bytes takes on the wire.
    package func encodedBytes(of count: Int) -> Int {
        let frames = max(1, (count + frameBytesMax - 1) / frameBytesMax)
        return count + frames * TransportLimits.frameHeaderBytes
    }

    /// All frames of one message, ready to be written.
    package func encode(_ message: [UInt8]) -> [UInt8] {
        var wire: [UInt8] = []
        encode(message, into: &wire)
        return wire
    }

    /// Appends all frames of one message, so that several messages go out in one write.
    package func encode(_ message: [UInt8], into wire: inout [UInt8]) {
        // Not `reserveCapacity`: exact growth on every append would copy all again each time.
        var start = 0
        repeat {
            let end = min(start + frameBytesMax, message.count)
            let header = UInt32(end - start) | (end < message.count ? Self.moreFlag : 0)
            withUnsafeBytes(of: header.bigEndian) { wire.append(contentsOf: $0) }
            wire.append(contentsOf: message[start..<end])
            start = end
        } while start < message.count
    }
}

/// Assembles messages from whatever pieces arrive.
///
/// Give it bytes with `feed`, then call ``next()`` until it returns nil; only then is memory
/// bounded by one message and one piece. It keeps only bytes that arrived, however long a header
/// claims the payload to be. After an error it stays failed.
package struct FrameDecoder: Sendable {
    /// May be changed between two calls of ``next()``: it holds from the next header on.
    package var limits: FrameLimits

    /// Bytes that arrived and are not looked at, from `position` on.
    private var buffer: [UInt8] = []
    private var position = 0
    private var message: [UInt8] = []
    /// Payload bytes that the current frame still lacks; nil between frames.
    private var missing: Int?
    private var moreFollows = false
    private var failure: TransportError?

    package init(limits: FrameLimits) { self.limits = limits }

    /// Bytes kept: what is not yet taken as a message.
    package var bufferedBytes: Int { buffer.count - position + message.count }
    /// True when the input may end here: no message is half received.
    package var isAtBoundary: Bool {
        bufferedBytes == 0 && missing == nil && !moreFollows && failure == nil
    }

    package mutating func feed(_ bytes: RawSpan) {
        guard failure == nil else { return }
        compact()
        bytes.withUnsafeBytes { buffer.append(contentsOf: $0) }
    }

    package mutating func feed(_ bytes: some Collection<UInt8>) {
        guard failure == nil else { return }
        compact()
        buffer.append(contentsOf: bytes)
    }

    /// The next whole message, or nil when more bytes are needed.
    ///
    /// - Throws: ``TransportError``: `frameTooLarge`, `messageTooLarge` or `emptyFragment`, as soon
    ///   as the header that breaks the limit is complete, and again at each later call.
    package mutating func next() throws -> [UInt8]? {
        if let failure { throw failure }
        while true {
            if missing == nil {
                guard let header = takeHeader() else { return nil }
                do {
                    try begin(header)
                } catch {
                    buffer = []
                    position = 0
                    message = []
                    failure = error
                    throw error
                }
            }
            guard takePayload() else { return nil }
            if !moreFollows {
                let whole = message
                message = []
                return whole
            }
        }
    }

    private mutating func takeHeader() -> UInt32? {
        let bytes = TransportLimits.frameHeaderBytes
        guard buffer.count - position >= bytes else { return nil }
        let header = buffer[position..<position + bytes].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        position += bytes
        return header
    }

    /// Checks a header against the limits and starts its payload.
    private mutating func begin(_ header: UInt32) throws(TransportError) {
        let length = Int(header & ~FrameEncoder.moreFlag)
        let more = header & FrameEncoder.moreFlag != 0
        guard length <= limits.frameBytesMax else {
            throw TransportError(
                .frameTooLarge,
                "a frame of \(length) bytes exceeds the limit of \(limits.frameBytesMax): "
                    + "the other side is no Starling node or has not said hello")
        }
        guard message.count + length <= limits.messageBytesMax else {
            throw TransportError(
                .messageTooLarge,
                "a message of \(message.count + length) bytes or more exceeds the limit of "
                    + "\(limits.messageBytesMax): raise it on this node or send less at once")
        }
        guard length > 0 || !more else {
            throw TransportError(
                .emptyFragment,
                "an empty frame promises more: the other side speaks another protocol")
        }
        missing = length
        moreFollows = more
    }

    /// Moves what has arrived of the payload; true when the frame is whole.
    private mutating func takePayload() -> Bool {
        guard let wanted = missing else { return true }
        let part = min(wanted, buffer.count - position)
        message.append(contentsOf: buffer[position..<position + part])
        position += part
        missing = part == wanted ? nil : wanted - part
        return missing == nil
    }

    /// Drops what was taken before more is appended: at most three bytes move, if the owner takes
    /// all messages between two feeds.
    private mutating func compact() {
        guard position > 0 else { return }
        buffer.removeFirst(position)
        position = 0
    }
}
