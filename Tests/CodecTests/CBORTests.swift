// CBOR against the examples of RFC 8949, appendix A, and against what a hostile peer may send.

import Codec
import TestKit
import Testing

@Suite struct CBORTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var value: CBOR
        var hex: String
        var testDescription: String { hex }
        init(_ value: CBOR, _ hex: String) {
            self.value = value
            self.hex = hex
        }
    }

    /// Appendix A, as far as the kinds are supported; 1.1 and more have no shorter exact form.
    static let examples: [Example] = [
        Example(.unsigned(0), "00"), Example(.unsigned(1), "01"), Example(.unsigned(10), "0a"),
        Example(.unsigned(23), "17"), Example(.unsigned(24), "1818"),
        Example(.unsigned(25), "1819"), Example(.unsigned(100), "1864"),
        Example(.unsigned(1_000), "1903e8"), Example(.unsigned(1_000_000), "1a000f4240"),
        Example(.unsigned(1_000_000_000_000), "1b000000e8d4a51000"),
        Example(.unsigned(.max), "1bffffffffffffffff"),
        Example(.negative(.max), "3bffffffffffffffff"), Example(.integer(-1), "20"),
        Example(.integer(-10), "29"), Example(.integer(-100), "3863"),
        Example(.integer(-1_000), "3903e7"), Example(.double(1.1), "fb3ff199999999999a"),
        Example(.double(1.0e+300), "fb7e37e43c8800759c"),
        Example(.double(-4.1), "fbc010666666666666"),
        Example(.double(.infinity), "fb7ff0000000000000"),
        Example(.double(.nan), "fb7ff8000000000000"),
        Example(.double(-.infinity), "fbfff0000000000000"), Example(.bool(false), "f4"),
        Example(.bool(true), "f5"), Example(.null, "f6"), Example(.bytes([]), "40"),
        Example(.bytes([1, 2, 3, 4]), "4401020304"), Example(.text(""), "60"),
        Example(.text("a"), "6161"), Example(.text("IETF"), "6449455446"),
        Example(.text("\"\\"), "62225c"), Example(.text("\u{fc}"), "62c3bc"),
        Example(.text("\u{6c34}"), "63e6b0b4"), Example(.text("\u{10151}"), "64f0908591"),
        Example(.array([]), "80"),
        Example(.array([.unsigned(1), .unsigned(2), .unsigned(3)]), "83010203"),
        Example(
            .array([
                .unsigned(1), .array([.unsigned(2), .unsigned(3)]),
                .array([.unsigned(4), .unsigned(5)]),
            ]), "8301820203820405"),
        Example(
            .array((1...25).map { .unsigned($0) }),
            "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
        Example(.map([:]), "a0"),
        Example(.map([.unsigned(1): .unsigned(2), .unsigned(3): .unsigned(4)]), "a201020304"),
        Example(
            .map([
                .text("a"): .unsigned(1), .text("b"): .array([.unsigned(2), .unsigned(3)]),
            ]), "a26161016162820203"),
        Example(
            .array([.text("a"), .map([.text("b"): .text("c")])]), "826161a161626163"),
        Example(
            .map([
                .text("a"): .text("A"), .text("b"): .text("B"), .text("c"): .text("C"),
                .text("d"): .text("D"), .text("e"): .text("E"),
            ]), "a56161614161626142616361436164614461656145"),
    ]

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8)
        return stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
    }

    @Test(arguments: examples) func appendixA(_ example: Example) throws {
        #expect(example.value.encoded == bytes(example.hex))
        #expect(try CBOR(decoding: bytes(example.hex)) == example.value)
    }

    /// Appendix A: simple values, short floats, tags, indefinite lengths. Appendix F: what is not
    /// well-formed.
    @Test(arguments: [
        "f7", "f0", "f818", "f8ff", "f90000", "fa47c35000", "c074323031332d30332d32315432303a30",
        "c11a514b67b0", "d74401020304", "5f42010243030405ff", "7f657374726561646d696e67ff", "9fff",
        "9f018202039f0405ffff", "bf61610161629f0203ffff", "ff", "00ff", "1c", "1d", "1e", "1f",
        "3c", "5c", "7c", "9c", "bc", "fc", "62c328", "63eda080", "0000", "",
    ])
    func theRestIsRefused(_ hex: String) {
        #expect(throws: CodecError.self) { try CBOR(decoding: bytes(hex)) }
    }

    @Test func mapsAreWrittenInTheOrderOfTheirKeysBytes() {
        let map = CBOR.map([
            .text("aa"): .null, .text("b"): .null, .unsigned(100): .null, .integer(-1): .null,
            .unsigned(10): .null, .array([.integer(-1)]): .null, .bool(false): .null,
        ])

        // RFC 8949 §4.2.1: 10, 100, −1, "b", "aa", [−1], false.
        #expect(map.encoded == bytes("a70af61864f620f66162f6626161f68120f6f4f6"))
    }

    @Test func depthIsLimited() throws {
        func nested(_ depth: Int) -> [UInt8] { [UInt8](repeating: 0x81, count: depth) + [0] }

        _ = try CBOR(decoding: nested(CBOR.depthMax - 1))
        #expect(throws: CodecError(.tooLarge, "")) { try CBOR(decoding: nested(CBOR.depthMax)) }
        #expect(throws: CodecError(.tooLarge, "")) { try CBOR(decoding: nested(1 << 20)) }
        let maps = [UInt8](repeating: 0xa1, count: 1 << 20)
        #expect(throws: CodecError(.tooLarge, "")) { try CBOR(decoding: maps) }
    }

    @Test(arguments: [
        "a2010201 03", "a2616101616102", "a2f6 01f602",
        "a2fb000000000000000001fb000000000000000002",
    ])
    func aKeyTwiceIsRefused(_ hex: String) {
        let input = bytes(hex.filter { $0 != " " })
        #expect(throws: CodecError(.malformed, "")) { try CBOR(decoding: input) }
    }

    /// Names are compared by their bytes, as SQLite does: é is not e with an accent put on.
    @Test func textsAreEqualByTheirBytes() throws {
        let composed = CBOR.text("\u{e9}")
        let decomposed = CBOR.text("e\u{301}")
        #expect(composed != decomposed)

        let input = bytes("a262c3a9016365cc8102")
        let map = try CBOR(decoding: input)
        #expect(map["\u{e9}"] == .unsigned(1))
        #expect(map["e\u{301}"] == .unsigned(2))
    }

    @Test func doublesAreEqualByTheirBits() {
        #expect(CBOR.double(0) != .double(-0.0))
        #expect(CBOR.double(.nan) == .double(.nan))
        #expect(CBOR.double(1) != .unsigned(1))
    }

    /// Lengths that only claim to be large ask for no memory.
    @Test(arguments: [
        "5b7fffffffffffffff", "7bffffffffffffffff", "9bffffffffffffffff", "bb8000000000000000",
        "9a00ffffff00", "5affffffff00",
    ])
    func claimedLengthsAreRefused(_ hex: String) {
        #expect(throws: CodecError(.truncated, "")) { try CBOR(decoding: bytes(hex)) }
    }

    @Test func integersAreReadWithinTheirRange() {
        #expect(CBOR.integer(.min).integerValue == .min)
        #expect(CBOR.integer(.max).integerValue == .max)
        #expect(CBOR.unsigned(1 << 63).integerValue == nil)
        #expect(CBOR.negative(1 << 63).integerValue == nil)
        #expect(CBOR.integer(-1).unsignedValue == nil)
    }

    @Test(arguments: 0..<UInt64(4)) func damageIsAnErrorOrAValue(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let heads = Array(0...UInt8.max)
        var inputs = Damage.random(&generator, heads: heads, count: 5_000)
        for _ in 0..<20 { inputs += Damage.all(of: item(&generator, 0).encoded) }
        var decoded = 0
        for input in inputs {
            guard let value = try? CBOR(decoding: input) else { continue }
            decoded += 1
            #expect((try? CBOR(decoding: value.encoded)) == value, "seed \(seed)")
        }

        #expect(decoded > 100)
    }

    @Test(arguments: 0..<UInt64(4)) func randomItemsComeBack(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let item = item(&generator, 0)
            let encoded = item.encoded
            #expect(try CBOR(decoding: encoded) == item, "seed \(seed)")
            #expect(try CBOR(decoding: encoded).encoded == encoded, "seed \(seed)")
        }
    }

    private func item(_ generator: inout SeededGenerator, _ depth: Int) -> CBOR {
        switch generator.below(depth < 4 ? 9 : 7) {
        case 0: return .integer(generator.integer())
        case 1: return .bytes(generator.bytes(generator.below(30)))
        case 2: return .text(String(generator.next(), radix: 36))
        case 3: return .bool(generator.chance(1, in: 2))
        case 4: return .null
        case 5: return .double(generator.real())
        case 6: return .unsigned(generator.next())
        case 7: return .array((0..<generator.below(5)).map { _ in item(&generator, depth + 1) })
        default:
            var pairs: [CBOR: CBOR] = [:]
            for _ in 0..<generator.below(5) {
                pairs[item(&generator, depth + 1)] = item(&generator, depth + 1)
            }
            return .map(pairs)
        }
    }
}
