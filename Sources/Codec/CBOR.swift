// CBOR (RFC 8949): the self-describing part of messages and stored descriptors. Deterministic
// encoding (§4.2): shortest heads, definite lengths, map keys in a fixed order.

/// One CBOR data item of the kinds Starling uses.
///
/// Equality is that of the encoded bytes: texts are compared as UTF-8 and not up to Unicode's
/// canonical equivalence, under which two columns of one table could have one name; `0.0` is not
/// `-0.0`.
package enum CBOR: Hashable, Sendable {
    case unsigned(UInt64)
    /// The number −1 − n.
    case negative(UInt64)
    case bytes([UInt8])
    case text(String)
    case array([CBOR])
    /// Pairs in ascending order of the keys' encoded bytes.
    case map([CBOR: CBOR])
    case bool(Bool)
    case null
    case double(Double)

    package static func integer(_ value: Int64) -> CBOR {
        value < 0 ? .negative(UInt64(bitPattern: ~value)) : .unsigned(UInt64(value))
    }

    package static let depthMax = 16

    package static func == (left: CBOR, right: CBOR) -> Bool {
        switch (left, right) {
        case (.unsigned(let a), .unsigned(let b)), (.negative(let a), .negative(let b)): a == b
        case (.bytes(let a), .bytes(let b)): a == b
        case (.text(let a), .text(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a == b
        case (.map(let a), .map(let b)): a == b
        case (.bool(let a), .bool(let b)): a == b
        case (.null, .null): true
        case (.double(let a), .double(let b)): a.bitPattern == b.bitPattern
        default: false
        }
    }

    package func hash(into hasher: inout Hasher) {
        switch self {
        case .unsigned(let value), .negative(let value): hasher.combine(value)
        case .bytes(let content): hasher.combine(content)
        case .text(let content):
            for byte in content.utf8 { hasher.combine(byte) }
        case .array(let items): hasher.combine(items)
        case .map(let pairs): hasher.combine(pairs)
        case .bool(let value): hasher.combine(value)
        case .null: break
        case .double(let value): hasher.combine(value.bitPattern)
        }
    }

    // MARK: Encoding

    package var encoded: [UInt8] {
        var writer = ByteWriter()
        write(to: &writer)
        return writer.bytes
    }

    private func write(to writer: inout ByteWriter) {
        switch self {
        case .unsigned(let value): CBOR.head(0, value, &writer)
        case .negative(let value): CBOR.head(1, value, &writer)
        case .bytes(let content):
            CBOR.head(2, UInt64(content.count), &writer)
            writer.raw(content)
        case .text(let content):
            CBOR.head(3, UInt64(content.utf8.count), &writer)
            writer.raw(Array(content.utf8))
        case .array(let items):
            CBOR.head(4, UInt64(items.count), &writer)
            for item in items { item.write(to: &writer) }
        case .map(let pairs):
            CBOR.head(5, UInt64(pairs.count), &writer)
            let ordered = pairs.map { ($0.key.encoded, $0.value) }
                .sorted { $0.0.lexicographicallyPrecedes($1.0) }
            for (key, value) in ordered {
                writer.raw(key)
                value.write(to: &writer)
            }
        case .bool(let value): writer.byte(value ? 0xf5 : 0xf4)
        case .null: writer.byte(0xf6)
        case .double(let value):
            writer.byte(0xfb)
            writer.fixed64(value.bitPattern)
        }
    }

    private static func head(_ major: UInt8, _ value: UInt64, _ writer: inout ByteWriter) {
        let high = major << 5
        let size: Int
        switch value {
        case 0..<24:
            writer.byte(high | UInt8(value))
            return
        case ..<0x100:
            writer.byte(high | 24)
            size = 1
        case ..<0x1_0000:
            writer.byte(high | 25)
            size = 2
        case ..<0x1_0000_0000:
            writer.byte(high | 26)
            size = 4
        default:
            writer.byte(high | 27)
            size = 8
        }
        for shift in stride(from: (size - 1) * 8, through: 0, by: -8) {
            writer.byte(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
    }

    // MARK: Decoding

    /// Decodes one item that fills `bytes`.
    ///
    /// - Parameter itemsMax: how many items it may hold, itself and keys included: in memory an item
    ///   takes up to a hundred times its one byte.
    package init(decoding bytes: [UInt8], itemsMax: Int = .max) throws(CodecError) {
        var reader = ByteReader(bytes)
        var left = itemsMax
        self = try CBOR.read(&reader, &left, depth: 0)
        try reader.requireEnd()
    }

    private static func read(
        _ reader: inout ByteReader, _ left: inout Int, depth: Int
    ) throws(CodecError) -> CBOR {
        guard depth < depthMax else { throw CodecError(.tooLarge, "data is nested too deep") }
        left -= 1
        guard left >= 0 else { throw CodecError(.tooLarge, "there are too many data items") }
        let initial = try reader.byte()
        switch initial {
        case 0xf4: return .bool(false)
        case 0xf5: return .bool(true)
        case 0xf6: return .null
        case 0xfb: return .double(Double(bitPattern: try reader.fixed64()))
        default: break
        }
        let value = try argument(initial & 31, &reader)
        switch initial >> 5 {
        case 0: return .unsigned(value)
        case 1: return .negative(value)
        case 2: return .bytes(try reader.raw(try length(value, reader)))
        case 3:
            guard
                let text = String(
                    validating: try reader.raw(try length(value, reader)), as: UTF8.self)
            else { throw CodecError(.malformed, "a text is not UTF-8") }
            return .text(text)
        case 4:
            var items: [CBOR] = []
            for _ in 0..<(try length(value, reader)) {
                items.append(try read(&reader, &left, depth: depth + 1))
            }
            return .array(items)
        case 5:
            var pairs: [CBOR: CBOR] = [:]
            for _ in 0..<(try length(value, reader)) {
                let key = try read(&reader, &left, depth: depth + 1)
                guard pairs[key] == nil else {
                    throw CodecError(.malformed, "a map has one key twice")
                }
                pairs[key] = try read(&reader, &left, depth: depth + 1)
            }
            return .map(pairs)
        default: throw CodecError(.malformed, "an unknown kind of data item")
        }
    }

    private static func length(_ value: UInt64, _ reader: ByteReader) throws(CodecError) -> Int {
        guard value <= UInt64(reader.remaining) else {
            throw CodecError(.truncated, "a length goes beyond the end of the data")
        }
        return Int(value)
    }

    private static func argument(_ info: UInt8, _ reader: inout ByteReader) throws(CodecError)
        -> UInt64
    {
        let size: Int
        switch info {
        case 0..<24: return UInt64(info)
        case 24: size = 1
        case 25: size = 2
        case 26: size = 4
        case 27: size = 8
        default: throw CodecError(.malformed, "an unknown kind of length")
        }
        var value: UInt64 = 0
        for _ in 0..<size { value = value << 8 | UInt64(try reader.byte()) }
        return value
    }

    // MARK: Reading fields

    package subscript(_ key: String) -> CBOR? {
        guard case .map(let pairs) = self else { return nil }
        return pairs[.text(key)]
    }

    package var unsignedValue: UInt64? {
        guard case .unsigned(let value) = self else { return nil }
        return value
    }

    package var integerValue: Int64? {
        switch self {
        case .unsigned(let value): Int64(exactly: value)
        case .negative(let value): value <= UInt64(Int64.max) ? ~Int64(value) : nil
        default: nil
        }
    }

    package var bytesValue: [UInt8]? {
        guard case .bytes(let value) = self else { return nil }
        return value
    }

    package var textValue: String? {
        guard case .text(let value) = self else { return nil }
        return value
    }

    package var arrayValue: [CBOR]? {
        guard case .array(let value) = self else { return nil }
        return value
    }

    package var boolValue: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }
}
