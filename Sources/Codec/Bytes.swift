// Appending to and reading from plain byte arrays: LEB128 numbers, lengths, fixed-size words.
// Readers check every bound; a length never makes them allocate more than the bytes that are there.

/// Builds a byte string.
package struct ByteWriter: Sendable {
    package var bytes: [UInt8]

    package init(reserving capacity: Int = 0) {
        bytes = []
        if capacity > 0 { bytes.reserveCapacity(capacity) }
    }

    package mutating func byte(_ value: UInt8) { bytes.append(value) }

    /// LEB128: seven bits a byte, least significant first.
    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    package mutating func varint(_ value: Int) { varint(UInt64(value)) }

    /// A signed number as a zigzag LEB128, so that small ones of either sign are short.
    package mutating func zigzag(_ value: Int64) {
        varint(UInt64(bitPattern: value << 1) ^ UInt64(bitPattern: value >> 63))
    }

    /// Eight bytes, most significant first.
    package mutating func fixed64(_ value: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
    }

    package mutating func raw(_ content: [UInt8]) { bytes.append(contentsOf: content) }

    /// A length, then the bytes.
    package mutating func string(_ content: [UInt8]) {
        varint(content.count)
        bytes.append(contentsOf: content)
    }
}

/// Walks a byte string.
package struct ByteReader: Sendable {
    private let bytes: [UInt8]
    package private(set) var position: Int

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        position = 0
    }

    package var isAtEnd: Bool { position == bytes.count }
    package var remaining: Int { bytes.count - position }

    package mutating func byte() throws(CodecError) -> UInt8 {
        guard position < bytes.count else {
            throw CodecError(.truncated, "the data ends too early")
        }
        defer { position += 1 }
        return bytes[position]
    }

    package mutating func varint() throws(CodecError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let next = try byte()
            if shift == 63, next > 1 {
                throw CodecError(.malformed, "a number is wider than 64 bits")
            }
            value |= UInt64(next & 0x7f) << shift
            if next < 0x80 {
                if next == 0, shift > 0 {
                    throw CodecError(.malformed, "a number is written with needless bytes")
                }
                return value
            }
            shift += 7
            if shift > 63 { throw CodecError(.malformed, "a number is wider than 64 bits") }
        }
    }

    /// A number that is an amount of things still to be read, each at least one byte long.
    package mutating func count() throws(CodecError) -> Int {
        let value = try varint()
        guard value <= UInt64(remaining) else {
            throw CodecError(.truncated, "a count goes beyond the end of the data")
        }
        return Int(value)
    }

    /// A number below `bound`.
    package mutating func index(below bound: Int) throws(CodecError) -> Int {
        let value = try varint()
        guard value < UInt64(bound) else {
            throw CodecError(.malformed, "an index points outside its table")
        }
        return Int(value)
    }

    package mutating func zigzag() throws(CodecError) -> Int64 {
        let value = try varint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    package mutating func fixed64() throws(CodecError) -> UInt64 {
        guard remaining >= 8 else { throw CodecError(.truncated, "the data ends too early") }
        var value: UInt64 = 0
        for offset in 0..<8 { value = value << 8 | UInt64(bytes[position + offset]) }
        position += 8
        return value
    }

    package mutating func raw(_ count: Int) throws(CodecError) -> [UInt8] {
        guard count >= 0, count <= remaining else {
            throw CodecError(.truncated, "a length goes beyond the end of the data")
        }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    package mutating func string() throws(CodecError) -> [UInt8] { try raw(try count()) }

    package func requireEnd() throws(CodecError) {
        guard isAtEnd else { throw CodecError(.malformed, "there is more data than expected") }
    }
}
