// Frames: the length-prefixed frames of a socket, and the parts of long messages.

import CausalModel
import Codec
import Wire

@testable import Transport

extension FuzzTarget {
    /// The stream of a socket in pieces of any size, under small limits.
    static let frames = FuzzTarget(
        name: "frames", bytesMax: 512,
        seeds: {
            let encoder = FrameEncoder(frameBytesMax: 16)
            return [
                [3, 15, 60] + encoder.encode([1, 2, 3]) + encoder.encode([]),
                [0, 15, 60] + encoder.encode([UInt8](repeating: 7, count: 40)),
                [9, 15, 60] + encoder.encode(FrameChecksum.close([1, 2, 3])),
                [9, 255, 255] + FrameEncoder(frameBytesMax: 200).encode(Array(0..<150)),
            ]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            let piece = 1 + input.below(40)
            let limits = FrameLimits(
                frameBytesMax: 1 + Int(input.byte()), messageBytesMax: 2 * Int(input.byte()))
            let stream = input.all()
            let whole = try decoded(stream, pieces: max(1, stream.count), limits)
            let pieces = try decoded(stream, pieces: piece, limits)
            try promise(
                whole.messages == pieces.messages && whole.failed == pieces.failed,
                "pieces of \(piece) bytes give other messages than the whole")
            for message in whole.messages {
                try promise(
                    try FrameChecksum.open(FrameChecksum.close(message)) == message,
                    "a closed frame does not open")
                guard let content = try? FrameChecksum.open(message) else { continue }
                try promise(FrameChecksum.close(content) == message, "a frame has two checksums")
            }
            let encoder = FrameEncoder(frameBytesMax: limits.frameBytesMax)
            let again = whole.messages.flatMap { encoder.encode($0) }
            let round = try decoded(again, pieces: piece, limits)
            try promise(
                round.messages == whole.messages && !round.failed, "messages do not come again")
        })

    private static func decoded(
        _ stream: [UInt8], pieces: Int, _ limits: FrameLimits
    ) throws -> (messages: [[UInt8]], failed: Bool) {
        var decoder = FrameDecoder(limits: limits)
        var messages: [[UInt8]] = []
        for start in stride(from: 0, to: stream.count, by: pieces) {
            let piece = stream[start..<min(start + pieces, stream.count)]
            decoder.feed(piece)
            do {
                while let message = try decoder.next() {
                    try promise(
                        message.count <= limits.messageBytesMax, "a message above its limit")
                    messages.append(message)
                }
            } catch is TransportError {
                try promise(decoder.bufferedBytes == 0, "bytes are kept after a failure")
                return (messages, true)
            }
            try promise(
                decoder.bufferedBytes <= limits.messageBytesMax + 4, "more is kept than a message")
        }
        return (messages, false)
    }

    /// Frames of one connection: whole messages and parts of long ones.
    static let assembler = FuzzTarget(
        name: "assembler", bytesMax: 512,
        seeds: {
            sampleMessages.map { message in
                let bytes = message.encoded
                let cut = bytes.count / 2
                return [1] + FuzzInput.piece(bytes)
                    + FuzzInput.piece([14] + bytes[..<cut]) + FuzzInput.piece([15] + bytes[cut...])
            }
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            let isTrusted = input.byte() & 1 == 1
            var assembler = MessageAssembler()
            while !input.isAtEnd {
                let message: Message?
                do { message = try assembler.take(input.bytes(), isTrusted: isTrusted) } catch {
                    return
                }
                guard let message else { continue }
                try promise(!assembler.isAssembling, "parts are left behind")
                var second = MessageAssembler()
                var again: Message?
                for frame in try MessageFrames.of(message) {
                    again = try second.take(frame, isTrusted: true)
                }
                try promise(again == message, "a message does not come again")
            }
        })
}
