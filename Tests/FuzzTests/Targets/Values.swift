// CBOR and the bytes of SQL values and keys.

import Codec
import Values

extension FuzzTarget {
    static let cbor = FuzzTarget(
        name: "cbor", bytesMax: 512,
        seeds: {
            let nested = (0..<15).reduce(CBOR.null) { inner, _ in .array([inner]) }
            let items: [CBOR] = [
                .map([
                    .text("a"): .array([.unsigned(1), .negative(5), .bool(true), .null]),
                    .bytes([1, 2]): .double(-0.0), .unsigned(1 << 40): .text("é"),
                ]), nested, .array([.unsigned(.max), .negative(.max), .bytes([])]),
            ]
            return items.map(\.encoded)
        },
        check: { bytes in
            let item: CBOR
            do { item = try CBOR(decoding: bytes) } catch { return }
            let again = item.encoded
            try promise(again.count <= bytes.count, "the shortest form is longer than another")
            let second = try CBOR(decoding: again)
            try promise(second == item, "an item does not come again")
            try promise(second.encoded == again, "an item has two encodings")
        })

    /// One value, and a key; both have one spelling.
    static let value = FuzzTarget(
        name: "value", bytesMax: 128,
        words: phrases("01234567-89ab-cdef-0123-456789abcdef"),
        seeds: {
            let values: [Value] = [
                .null, .real(1.5), .real(-0.0), .real(.infinity), .integer(0), .integer(111),
                .integer(112), .integer(.min), .integer(.max), .text([]), .text(Array("a".utf8)),
                .text(Array("01234567-89ab-cdef-0123-456789abcdef".utf8)),
                .text(Array("01234567-89AB-CDEF-0123-456789ABCDEF".utf8)),
                .text([UInt8](repeating: 0x61, count: 128)), .blob([0, 1]),
            ]
            return [encodeKey(values), encodeKey([.integer(5)])]
                + values.map { value in
                    var writer = ByteWriter()
                    writer.value(value)
                    return writer.bytes
                }
        },
        check: { bytes in
            var reader = ByteReader(bytes)
            if let value = try? reader.value() {
                var writer = ByteWriter()
                writer.value(value)
                try promise(
                    writer.bytes == Array(bytes[..<reader.position]), "a value has two spellings")
            }
            if let key = try? decodeKey(bytes) {
                try promise(encodeKey(key) == bytes, "a key has two spellings")
            }
        })
}
