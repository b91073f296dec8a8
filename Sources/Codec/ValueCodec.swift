// The bytes of one SQL value, the same in keys, in stored records and on the wire.

package import Values

// One head byte, then the content:
//   00 NULL   01 real, 8 bytes of its bits   02 integer, zigzag   03 text, length   04 blob, length
//   05 text that is a lower-case UUID, 16 bytes   06 the same in upper case
//   10…7f the integers 0…111   80…ff text of 0…127 bytes
// One value has one encoding, and the reader refuses any other: rows are found by the bytes of
// their keys, and digests are made of bytes.
extension ByteWriter {
    package mutating func value(_ value: Value) {
        switch value {
        case .null: byte(0)
        case .real(let number):
            byte(1)
            fixed64(number.bitPattern)
        case .integer(let number):
            if (0..<0x70).contains(number) {
                byte(0x10 + UInt8(number))
            } else {
                byte(2)
                zigzag(number)
            }
        case .text(let content):
            if content.count == 36, let packed = packedUUID(content) {
                byte(packed.isUpper ? 6 : 5)
                fixed64(packed.high)
                fixed64(packed.low)
            } else if content.count < 0x80 {
                byte(0x80 | UInt8(content.count))
                raw(content)
            } else {
                byte(3)
                string(content)
            }
        case .blob(let content):
            byte(4)
            string(content)
        }
    }
}

extension ByteReader {
    package mutating func value() throws(CodecError) -> Value {
        let head = try byte()
        switch head {
        case 0: return .null
        case 1: return .real(Double(bitPattern: try fixed64()))
        case 2:
            let number = try zigzag()
            if (0..<0x70).contains(number) { throw notShortest }
            return .integer(number)
        case 3:
            let content = try string()
            if content.count < 0x80 { throw notShortest }
            return .text(content)
        case 4: return .blob(try string())
        case 5: return .text(uuidText(try fixed64(), try fixed64(), isUpper: false))
        case 6:
            let words = (try fixed64(), try fixed64())
            guard hasLetter(words.0) || hasLetter(words.1) else { throw notShortest }
            return .text(uuidText(words.0, words.1, isUpper: true))
        case 0x10..<0x80: return .integer(Int64(head - 0x10))
        case 0x80...:
            let content = try raw(Int(head & 0x7f))
            if content.count == 36, packedUUID(content) != nil { throw notShortest }
            return .text(content)
        default: throw CodecError(.malformed, "an unknown kind of value")
        }
    }
}

private let notShortest = CodecError(.malformed, "a value is not in its shortest form")

/// True when one of the sixteen hexadecimal digits of `word` is a letter.
private func hasLetter(_ word: UInt64) -> Bool {
    (0..<16).contains { word >> UInt64(4 * $0) & 15 > 9 }
}

private let dashPositions: [Int] = [8, 13, 18, 23]

/// A UUID's text as 16 bytes, when and only when the text can be made again from them.
private func packedUUID(_ text: [UInt8]) -> (high: UInt64, low: UInt64, isUpper: Bool)? {
    text.withUnsafeBufferPointer { text in
        for place in dashPositions where text[place] != 0x2d { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        var hasUpper = false
        var hasLower = false
        var digits = 0
        for index in 0..<36 where !(index == 8 || index == 13 || index == 18 || index == 23) {
            let digit: UInt8
            switch text[index] {
            case 0x30...0x39: digit = text[index] - 0x30
            case 0x61...0x66:
                digit = text[index] - 0x57
                hasLower = true
            case 0x41...0x46:
                digit = text[index] - 0x37
                hasUpper = true
            default: return nil
            }
            if digits < 16 {
                words.0 = words.0 << 4 | UInt64(digit)
            } else {
                words.1 = words.1 << 4 | UInt64(digit)
            }
            digits += 1
        }
        return hasUpper && hasLower ? nil : (words.0, words.1, hasUpper)
    }
}

private func uuidText(_ high: UInt64, _ low: UInt64, isUpper: Bool) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 36) { buffer, count in
        var place = 0
        for (word, start) in [(high, 0), (low, 16)] {
            for digit in 0..<16 {
                let index = start + digit
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    buffer[place] = 0x2d
                    place += 1
                }
                let nibble = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * digit)) & 15
                buffer[place] = nibble < 10 ? 0x30 + nibble : (isUpper ? 0x37 : 0x57) + nibble
                place += 1
            }
        }
        count = 36
    }
}

/// The canonical bytes of a primary key: equal for keys that SQLite holds equal under BINARY
/// collation, so that `1` and `1.0` are one key.
package func encodeKey(_ values: [Value]) -> [UInt8] {
    var writer = ByteWriter(reserving: 24)
    for value in values {
        if case .real(let number) = value, let whole = wholeNumber(number) {
            writer.value(.integer(whole))
        } else {
            writer.value(value)
        }
    }
    return writer.bytes
}

/// `number` as an integer that is exactly equal to it; nil when there is none.
///
/// `Int64(exactly:)` does the same, but a debug build of it needs the C mathematics library.
private func wholeNumber(_ number: Double) -> Int64? {
    guard number >= -0x1p63, number < 0x1p63 else { return nil }
    let whole = Int64(number)
    return Double(whole) == number ? whole : nil
}

/// The values of a key made by ``encodeKey(_:)``.
///
/// - Throws: ``CodecError`` for anything else, a second spelling of a key included: it would be a
///   second row under one key.
package func decodeKey(_ bytes: [UInt8]) throws(CodecError) -> [Value] {
    var reader = ByteReader(bytes)
    var values: [Value] = []
    while !reader.isAtEnd {
        let value = try reader.value()
        if case .real(let number) = value, wholeNumber(number) != nil {
            throw CodecError(.malformed, "a whole number in a key is not written as an integer")
        }
        values.append(value)
    }
    return values
}
