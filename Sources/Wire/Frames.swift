// Long messages in frames of bounded size: a row with a large blob must travel, and a frame must
// not grow for it. Cutting and joining are by bytes, whatever the message.

/// Cuts messages into frames.
package enum MessageFrames {
    /// The frames of one message, in order; nearly always one.
    ///
    /// - Throws: ``WireError`` (`tooLarge`) when the peer would refuse the message.
    package static func of(_ message: Message) throws(WireError) -> [[UInt8]] {
        let whole = message.encoded
        if whole.count <= WireLimits.frameBytesMax { return [whole] }
        guard whole.count <= whole.first.flatMap(Message.bytesMax) ?? 0 else {
            throw WireError(
                .tooLarge,
                "one row is larger than the \(WireLimits.chunkBytesMax) bytes that can be sent")
        }
        let step = WireLimits.frameBytesMax - 1
        return stride(from: 0, to: whole.count, by: step).map { start in
            let end = min(start + step, whole.count)
            let kind = end == whole.count ? Message.Kind.lastPart : Message.Kind.part
            return [kind] + whole[start..<end]
        }
    }
}

extension Message {
    /// The longest message of a kind that may travel in parts; nil for the kinds that may not.
    fileprivate static func bytesMax(_ kind: UInt8) -> Int? {
        switch kind {
        case Kind.chunk, Kind.wholeDelta: WireLimits.messageBytesMax
        case Kind.schema, Kind.state, Kind.statement, Kind.want, Kind.deltaBegin:
            WireLimits.describingMessageBytesMax
        default: nil
        }
    }
}

/// Joins frames to messages; one for each connection.
package struct MessageAssembler: Sendable {
    private var parts: [UInt8] = []

    package init() {}

    /// True between the first and the last part of a long message.
    package var isAssembling: Bool { !parts.isEmpty }

    /// Takes one frame; returns a message when it is complete.
    ///
    /// - Parameter isTrusted: false before the peer's hello is accepted: only short frames then.
    /// - Throws: ``WireError`` for frames that are too long, out of order or no message.
    package mutating func take(_ frame: [UInt8], isTrusted: Bool) throws(WireError) -> Message? {
        guard frame.count <= (isTrusted ? WireLimits.frameBytesMax : WireLimits.helloBytesMax)
        else { throw WireError(.tooLarge, "a frame of \(frame.count) bytes is above the limit") }
        guard let kind = frame.first, kind == Message.Kind.part || kind == Message.Kind.lastPart
        else {
            guard parts.isEmpty else {
                throw WireError(.malformed, "a message came between the parts of another")
            }
            return try Message(decoding: frame)
        }
        guard isTrusted else { throw WireError(.malformed, "a long message came before the hello") }
        guard let limit = (parts.first ?? frame.dropFirst().first).flatMap(Message.bytesMax) else {
            throw WireError(.malformed, "a message in parts is of a kind that is never long")
        }
        guard parts.count + frame.count - 1 <= limit else {
            throw WireError(.tooLarge, "a message in parts is above the limit")
        }
        parts.append(contentsOf: frame.dropFirst())
        guard kind == Message.Kind.lastPart else { return nil }
        let whole = parts
        parts = []
        return try Message(decoding: whole)
    }
}
