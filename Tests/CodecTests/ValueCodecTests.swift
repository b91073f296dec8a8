// Values cross the codec bit for bit, each in one encoding only, and damage is an error or another
// value, never a crash.

import Codec
import TestKit
import Testing
import Values

@Suite struct ValueCodecTests {
    private func encode(_ value: Value) -> [UInt8] {
        var writer = ByteWriter()
        writer.value(value)
        return writer.bytes
    }

    private func decode(_ bytes: [UInt8]) throws -> Value {
        var reader = ByteReader(bytes)
        let value = try reader.value()
        try reader.requireEnd()
        return value
    }

    private static let uuid = "0123abcd-4567-89ef-0123-456789abcdef"

    @Test(
        arguments: [
            .null, .integer(0), .integer(0x6f), .integer(0x70), .integer(-1), .integer(.max),
            .integer(.min), .real(0), .real(-0.0), .real(1), .real(.infinity), .real(-.infinity),
            .real(.leastNonzeroMagnitude), .text([]), .text([0]), .text([0xff, 0xfe]), .blob([]),
            .string(uuid), .string(uuid.uppercased()),
            .string("0123ABCD-4567-89ef-0123-456789abcdef"),
            .string("00000000-0000-0000-0000-000000000000"), .string(uuid + "0"),
            .string("0123abcd-4567-89ef-0123-456789abcdeg"),
            .string("0123abcd04567-89ef-0123-456789abcde"),
            .blob(Array(uuid.utf8)),
        ] as [Value])
    func edgesComeBack(_ value: Value) throws {
        #expect(try decode(encode(value)) == value)
    }

    @Test(arguments: 0..<UInt64(8)) func randomValuesComeBack(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            let value = generator.value()
            #expect(try decode(encode(value)) == value, "seed \(seed)")
        }
    }

    @Test func everyLengthOfTextAndBlobComesBack() throws {
        for count in 0...300 {
            let content = [UInt8](repeating: UInt8(truncatingIfNeeded: count), count: count)
            #expect(try decode(encode(.text(content))) == .text(content))
            #expect(try decode(encode(.blob(content))) == .blob(content))
        }
    }

    /// The bits of a real cross as they are, those of the NaNs as well.
    @Test func everyKindOfRealComesBack() throws {
        var generator = SeededGenerator(seed: 21)
        for exponent in 0..<UInt64(2_048) {
            for mantissa in [0, 1, generator.next() >> 12] {
                for sign in [0, 1 as UInt64] {
                    let bits = sign << 63 | exponent << 52 | mantissa
                    guard
                        case .real(let number) = try decode(
                            encode(.real(Double(bitPattern: bits))))
                    else {
                        Issue.record("bits \(bits) are no real any more")
                        continue
                    }
                    #expect(number.bitPattern == bits)
                }
            }
        }
    }

    @Test func commonValuesAreShort() {
        #expect(encode(.integer(1)).count == 1)
        #expect(encode(.string("open")).count == 5)
        #expect(encode(.string(Self.uuid)).count == 17)
        #expect(encode(.string(Self.uuid.uppercased())).count == 17)
    }

    /// One value has one encoding: rows are found by the bytes of their keys.
    @Test(
        arguments: [
            [2, 10],  // 5 has a byte of its own.
            [3, 1, 0x61],  // Short text has its length in the head.
            [6] + [UInt8](repeating: 0x11, count: 16),  // Digits alone count as lower case.
            [0xa4] + Array(uuid.utf8), [0xa4] + Array(uuid.uppercased().utf8),
            [3, 0xa4, 0x00] + Array(uuid.utf8), [4, 0x81, 0x00, 7], [0x07], [0x0f],
        ] as [[UInt8]])
    func otherEncodingsAreRefused(_ bytes: [UInt8]) {
        #expect(throws: CodecError(.malformed, "")) { try decode(bytes) }
    }

    /// What decodes at all encodes to the same bytes again.
    @Test(arguments: 0..<UInt64(4)) func damageIsAnErrorOrAValue(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var inputs = Damage.random(
            &generator, heads: Array(0...0x10) + [0x80, 0xa4, 0xff], count: 5_000)
        for _ in 0..<20 { inputs += Damage.all(of: encode(generator.value())) }
        var errors = 0
        for input in inputs {
            var reader = ByteReader(input)
            guard let value = try? reader.value() else {
                errors += 1
                continue
            }
            #expect(encode(value) == Array(input[..<reader.position]), "seed \(seed)")
        }

        #expect(errors > 100)
        #expect(errors < inputs.count)
    }
}
