// Numbers and lengths: round trips at their edges, one encoding for one number, and no trust in
// what claims to be long.

import Codec
import TestKit
import Testing

@Suite struct BytesTests {
    static let edges: [UInt64] = {
        var edges: [UInt64] = [0, .max]
        for shift in 0..<UInt64(64) { edges += [1 << shift, (1 << shift) - 1, (1 << shift) + 1] }
        return edges
    }()

    @Test func varintsComeBack() throws {
        for number in Self.edges {
            var writer = ByteWriter()
            writer.varint(number)
            var reader = ByteReader(writer.bytes)
            #expect(try reader.varint() == number)
            #expect(reader.isAtEnd)
            #expect(writer.bytes.count <= 10)
        }
    }

    @Test func signedNumbersComeBack() throws {
        for bits in Self.edges {
            for number in [Int64(bitPattern: bits), ~Int64(bitPattern: bits)] {
                var writer = ByteWriter()
                writer.zigzag(number)
                var reader = ByteReader(writer.bytes)
                #expect(try reader.zigzag() == number)
                #expect(reader.isAtEnd)
            }
        }
        var small = ByteWriter()
        small.zigzag(-64)
        #expect(small.bytes.count == 1)
    }

    @Test func fixedWordsComeBack() throws {
        for number in Self.edges {
            var writer = ByteWriter()
            writer.fixed64(number)
            var reader = ByteReader(writer.bytes)
            #expect(writer.bytes.count == 8)
            #expect(try reader.fixed64() == number)
        }
    }

    @Test func stringsComeBack() throws {
        var writer = ByteWriter(reserving: 300)
        for count in [0, 1, 127, 128, 129] { writer.string([UInt8](repeating: 7, count: count)) }
        var reader = ByteReader(writer.bytes)

        for count in [0, 1, 127, 128, 129] { #expect(try reader.string().count == count) }
        try reader.requireEnd()
    }

    @Test(
        arguments: [
            [], [0x80], [0xff, 0xff], [0x80, 0x00], [0xff, 0x00],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] as [[UInt8]])
    func otherVarintsAreRefused(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        #expect(throws: CodecError.self) { try reader.varint() }
    }

    /// A length of 2^63 and more asks for nothing.
    @Test func lengthsBeyondTheEndAreRefused() {
        for number in Self.edges where number > 3 {
            var writer = ByteWriter()
            writer.varint(number)
            writer.raw([1, 2, 3])
            var strings = ByteReader(writer.bytes)
            var counts = ByteReader(writer.bytes)
            #expect(throws: CodecError(.truncated, "")) { try strings.string() }
            #expect(throws: CodecError(.truncated, "")) { try counts.count() }
        }
        var reader = ByteReader([1, 2])
        #expect(throws: CodecError.self) { try reader.raw(3) }
        #expect(throws: CodecError.self) { try reader.raw(-1) }
        #expect(throws: CodecError.self) { try reader.raw(.max) }
        #expect(throws: CodecError.self) { try reader.fixed64() }
    }

    @Test func indexesStayBelowTheirBound() throws {
        var inside = ByteReader([4])
        #expect(try inside.index(below: 5) == 4)
        var outside = ByteReader([5])
        #expect(throws: CodecError(.malformed, "")) { try outside.index(below: 5) }
        var none = ByteReader([0])
        #expect(throws: CodecError(.malformed, "")) { try none.index(below: 0) }
    }

    @Test func whatIsLeftOverIsAnError() {
        var reader = ByteReader([1, 2])
        #expect(throws: CodecError(.malformed, "")) {
            _ = try reader.byte()
            try reader.requireEnd()
        }
    }
}
