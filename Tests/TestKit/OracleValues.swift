// Random SQL values that go where codecs break, and what SQLite itself holds equal.

import SQLite
package import Values

extension SeededGenerator {
    /// A value of any storage class, often at an edge of its encoding.
    package mutating func value() -> Value {
        switch below(8) {
        case 0: return .null
        case 1: return .integer(integer())
        case 2: return .real(real())
        case 3: return .text(uuidLike())
        case 4: return .text(bytes(126 + below(4)))
        case 5: return .text(bytes(below(48)))
        case 6: return .blob(bytes(126 + below(4)))
        default: return .blob(bytes(below(48)))
        }
    }

    package mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    package mutating func integer() -> Int64 {
        let bits = Int64(bitPattern: next() >> UInt64(below(64)))
        switch below(4) {
        case 0: return [0, 1, -1, 0x6f, 0x70, .max, .min, .min + 1][below(8)]
        case 1: return ~bits
        default: return bits
        }
    }

    /// Any bits but those of NaN, which SQLite stores as NULL.
    package mutating func real() -> Double {
        switch below(3) {
        case 0:
            let edges: [Double] = [
                0, -0.0, 1, -1, 0.1, .infinity, -.infinity, .greatestFiniteMagnitude,
                .leastNonzeroMagnitude, -.leastNormalMagnitude, 0x1p63, -0x1p63, 0x1p53 + 2,
                9_007_199_254_740_992,
            ]
            return edges[below(edges.count)]
        case 1: return Double(integer())
        default:
            let number = Double(bitPattern: next())
            return number.isNaN ? 0.5 : number
        }
    }

    /// A text of 36 bytes that is a UUID, or nearly.
    package mutating func uuidLike() -> [UInt8] {
        let alphabet = Array(
            ["0123456789abcdef", "0123456789ABCDEF", "0123456789abcdefABCDEF", "0123456789"][
                below(4)
            ].utf8)
        var text: [UInt8] = []
        for place in 0..<36 {
            let isDash = place == 8 || place == 13 || place == 18 || place == 23
            text.append(isDash ? 0x2d : alphabet[below(alphabet.count)])
        }
        if chance(1, in: 4) { text[below(36)] = UInt8(truncatingIfNeeded: next()) }
        return text
    }
}

/// SQLite's own opinion on values.
package final class SQLiteOpinion {
    private let connection: Connection

    package init() throws { connection = try Connection(path: ":memory:") }

    /// Whether two key values are one under BINARY collation.
    package func areEqual(_ left: Value, _ right: Value) throws -> Bool {
        try connection.first("SELECT ?1 IS ?2", [left, right]) == .integer(1)
    }
}
