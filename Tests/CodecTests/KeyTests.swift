// Keys are equal as bytes when, and only when, SQLite holds them equal under BINARY collation.

import Codec
import TestKit
import Testing
import Values

@Suite struct KeyTests {
    static let samples: [Value] = [
        .integer(0), .integer(1), .integer(-1), .integer(.max), .integer(.min), .integer(1 << 53),
        .integer((1 << 53) + 1), .integer(.max - 1), .real(0), .real(-0.0), .real(1), .real(-1),
        .real(0x1p53), .real(0x1p53 + 2), .real(0x1p63), .real(-0x1p63), .real(-0x1p64),
        .real(0.5), .real(.infinity), .real(-.infinity), .real(.greatestFiniteMagnitude),
        .real(.leastNonzeroMagnitude), .real(9_223_372_036_854_774_784), .text([]), .string("a"),
        .string("A"), .string("1"), .string("1.0"), .string("a "), .text([0x61, 0]), .blob([]),
        .blob([0x61]), .string("é"), .string("e\u{301}"),
        .string("0123abcd-4567-89ef-0123-456789abcdef"),
        .string("0123ABCD-4567-89EF-0123-456789ABCDEF"),
        .blob(Array("0123abcd-4567-89ef-0123-456789abcdef".utf8)),
    ]

    @Test func bytesAgreeWithSQLite() throws {
        let opinion = try SQLiteOpinion()
        for left in Self.samples {
            for right in Self.samples {
                let areEqual = encodeKey([left]) == encodeKey([right])
                #expect(
                    try opinion.areEqual(left, right) == areEqual, "\(left) against \(right)")
            }
        }
    }

    @Test func randomNumbersAgreeWithSQLite() throws {
        let opinion = try SQLiteOpinion()
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<2_000 {
            let integer = generator.integer()
            let number = generator.chance(1, in: 2) ? Double(integer) : generator.real()
            let areEqual = encodeKey([.integer(integer)]) == encodeKey([.real(number)])
            #expect(
                try opinion.areEqual(.integer(integer), .real(number)) == areEqual,
                "\(integer) against \(number)")
        }
    }

    /// No composite key is another one's bytes, whatever its parts.
    @Test func compositeKeysAreEqualPartByPart() {
        var generator = SeededGenerator(seed: 9)
        var keys: [[Value]] = []
        for _ in 0..<120 {
            keys.append(
                (0..<1 + generator.below(3)).map { _ in
                    Self.samples[generator.below(Self.samples.count)]
                })
        }
        for left in keys {
            for right in keys {
                let areEqual =
                    left.count == right.count
                    && zip(left, right).allSatisfy { encodeKey([$0]) == encodeKey([$1]) }
                #expect((encodeKey(left) == encodeKey(right)) == areEqual)
            }
        }
    }

    @Test func keysComeBackAsEqualKeys() throws {
        let opinion = try SQLiteOpinion()
        var generator = SeededGenerator(seed: 10)
        for _ in 0..<500 {
            let key = [generator.value(), generator.value()]
            let back = try decodeKey(encodeKey(key))
            #expect(back.count == 2)
            for (left, right) in zip(key, back) { #expect(try opinion.areEqual(left, right)) }
            #expect(encodeKey(back) == encodeKey(key))
        }
    }

    /// A second spelling of a key would be a second row under it.
    @Test func keysHaveOneSpelling() {
        var one = ByteWriter()
        one.value(.real(1))
        var zero = ByteWriter()
        zero.value(.real(-0.0))

        #expect(throws: CodecError(.malformed, "")) { try decodeKey(one.bytes) }
        #expect(throws: CodecError(.malformed, "")) { try decodeKey(zero.bytes) }
        #expect(throws: CodecError(.malformed, "")) { try decodeKey([2, 10]) }
    }

    @Test(arguments: 0..<UInt64(4)) func damageIsAnErrorOrAKey(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var inputs = Damage.random(&generator, heads: Array(0...0x10), count: 3_000)
        for _ in 0..<20 {
            inputs += Damage.all(of: encodeKey([generator.value(), generator.value()]))
        }
        for input in inputs {
            guard let key = try? decodeKey(input) else { continue }
            #expect(encodeKey(key) == input, "seed \(seed)")
        }
    }
}
