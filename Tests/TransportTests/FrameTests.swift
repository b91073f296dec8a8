// Frames: every way to cut the bytes gives the same messages, and every limit holds.

import TestKit
import Testing

@testable import Transport

struct FrameTests {
    private static let small = FrameLimits(frameBytesMax: 7, messageBytesMax: 40)
    /// Lengths around the frame limit, the empty message included.
    private static let messages = [0, 1, 6, 7, 8, 14, 15, 0, 40].map { pattern($0, from: $0) }

    private static var wire: [UInt8] {
        var wire: [UInt8] = []
        for message in messages { FrameEncoder(frameBytesMax: 7).encode(message, into: &wire) }
        return wire
    }

    private func decode(_ pieces: [ArraySlice<UInt8>], _ limits: FrameLimits = small) throws
        -> [[UInt8]]
    {
        var decoder = FrameDecoder(limits: limits)
        var messages: [[UInt8]] = []
        for piece in pieces {
            decoder.feed(piece)
            while let message = try decoder.next() { messages.append(message) }
        }
        #expect(decoder.isAtBoundary)
        return messages
    }

    @Test("the header is big-endian, its top bit says that more follows")
    func layout() {
        let encoder = FrameEncoder(frameBytesMax: 2)
        #expect(encoder.encode([1, 2, 3]) == [0x80, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3])
        #expect(encoder.encode([1, 2]) == [0, 0, 0, 2, 1, 2])
        #expect(encoder.encode([]) == [0, 0, 0, 0])
        for count in 0..<9 {
            #expect(encoder.encode(pattern(count)).count == encoder.encodedBytes(of: count))
        }
    }

    @Test("every split into two feeds, and byte by byte")
    func splits() throws {
        let wire = Self.wire
        for cut in 0...wire.count {
            #expect(try decode([wire[..<cut], wire[cut...]]) == Self.messages, "cut at \(cut)")
        }
        #expect(try decode(wire.indices.map { wire[$0...$0] }) == Self.messages)
    }

    @Test("a stream cut at any byte gives the messages before the cut and nothing else")
    func cuts() throws {
        let wire = Self.wire
        var ends: [Int] = []
        for message in Self.messages {
            ends.append((ends.last ?? 0) + FrameEncoder(frameBytesMax: 7).encode(message).count)
        }
        for cut in 0...wire.count {
            var decoder = FrameDecoder(limits: Self.small)
            decoder.feed(wire[..<cut])
            var count = 0
            while let message = try decoder.next() {
                #expect(message == Self.messages[count])
                count += 1
            }
            #expect(count == ends.count { $0 <= cut })
            #expect(decoder.isAtBoundary == (cut == 0 || ends.contains(cut)), "cut at \(cut)")
        }
    }

    @Test("random messages in random pieces", arguments: 0..<20 as Range<UInt64>)
    func random(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let frameBytesMax = 1 + random.below(5000)
        let encoder = FrameEncoder(frameBytesMax: frameBytesMax)
        let messages = (0..<50).map { _ in
            pattern(random.below(random.chance(1, in: 10) ? 60_000 : 300), from: random.below(999))
        }
        let wire = messages.flatMap { encoder.encode($0) }
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        while start < wire.count {
            let end = min(wire.count, start + random.below(random.chance(1, in: 3) ? 9 : 70_000))
            pieces.append(wire[start..<end])
            start = end
        }
        let limits = FrameLimits(frameBytesMax: frameBytesMax, messageBytesMax: 60_000)
        #expect(try decode(pieces, limits) == messages, "seed \(seed)")
    }

    @Test("raw spans are taken like arrays")
    func spans() throws {
        var decoder = FrameDecoder(limits: Self.small)
        let wire: [UInt8] = [0, 0, 0, 2, 9, 8]
        wire.withUnsafeBytes { decoder.feed($0.bytes) }
        #expect(try decoder.next() == [9, 8])
    }

    @Test("an oversized frame fails at its header, without waiting for the payload")
    func largeFrame() {
        for header: [UInt8] in [[0, 0, 0, 8], [0x80, 0, 0, 8], [0x7f, 255, 255, 255]] {
            var decoder = FrameDecoder(limits: Self.small)
            decoder.feed(header)
            #expect(throws: TransportError(.frameTooLarge, "")) { try decoder.next() }
            // It stays failed, and keeps nothing.
            decoder.feed([0, 0, 0, 0])
            #expect(throws: TransportError(.frameTooLarge, "")) { try decoder.next() }
            #expect(decoder.bufferedBytes == 0)
        }
    }

    @Test("an oversized message fails at the header that makes it so")
    func largeMessage() throws {
        let wire = FrameEncoder(frameBytesMax: 7).encode(pattern(41))
        var decoder = FrameDecoder(limits: Self.small)
        // Five whole frames and the header of the sixth.
        decoder.feed(wire[..<(5 * 11 + 3)])
        #expect(try decoder.next() == nil)
        decoder.feed(wire[(5 * 11 + 3)...(5 * 11 + 3)])
        #expect(throws: TransportError(.messageTooLarge, "")) { try decoder.next() }
    }

    @Test("the errors name the limit and its value")
    func errors() {
        var decoder = FrameDecoder(limits: Self.small)
        decoder.feed([0, 0, 1, 0])
        let error = #expect(throws: TransportError.self) { try decoder.next() }
        #expect(error?.description.contains("256 bytes exceeds the limit of 7") == true)
    }

    @Test("an empty fragment that promises more is refused")
    func emptyFragment() {
        var decoder = FrameDecoder(limits: Self.small)
        decoder.feed([0x80, 0, 0, 0])
        #expect(throws: TransportError(.emptyFragment, "")) { try decoder.next() }
    }

    @Test("an empty last fragment ends a message")
    func emptyEnd() throws {
        var decoder = FrameDecoder(limits: Self.small)
        decoder.feed([0x80, 0, 0, 1, 5, 0, 0, 0, 0])
        #expect(try decoder.next() == [5])
        #expect(decoder.isAtBoundary)
    }

    @Test("memory follows what arrived, never what a header claims")
    func memory() throws {
        var decoder = FrameDecoder(limits: .afterHello)
        decoder.feed([0, 0x10, 0, 0])
        #expect(try decoder.next() == nil)
        #expect(decoder.bufferedBytes == 0)
        for arrived in 1...1000 {
            decoder.feed([7])
            #expect(try decoder.next() == nil)
            #expect(decoder.bufferedBytes == arrived)
        }
        #expect(!decoder.isAtBoundary)
    }

    @Test("raised limits hold for what is in the same piece of bytes")
    func raised() throws {
        let hello = FrameEncoder(frameBytesMax: 4096).encode(pattern(100))
        let large = FrameEncoder(frameBytesMax: 1 << 20).encode(pattern(1 << 20))
        var decoder = FrameDecoder(limits: .beforeHello)
        decoder.feed(hello + large)
        #expect(try decoder.next()?.count == 100)
        decoder.limits = .afterHello
        #expect(try decoder.next() == pattern(1 << 20))

        var strict = FrameDecoder(limits: .beforeHello)
        strict.feed(hello + large)
        #expect(try strict.next()?.count == 100)
        #expect(throws: TransportError(.frameTooLarge, "")) { try strict.next() }
    }

    @Test("garbage gives messages or an error, and never more bytes than came")
    func garbage() {
        for seed in 0..<300 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            var decoder = FrameDecoder(limits: .init(frameBytesMax: 300, messageBytesMax: 900))
            var fed = 0
            var taken = 0
            do {
                for _ in 0..<40 {
                    // Small numbers make plausible headers.
                    let piece = (0..<random.below(40)).map { _ in
                        random.chance(2, in: 3) ? 0 : UInt8(truncatingIfNeeded: random.next())
                    }
                    decoder.feed(piece)
                    fed += piece.count
                    while let message = try decoder.next() { taken += message.count }
                    #expect(decoder.bufferedBytes + taken <= fed, "seed \(seed)")
                }
            } catch {
                #expect(error is TransportError, "seed \(seed)")
            }
        }
    }
}
