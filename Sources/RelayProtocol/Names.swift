// How groups, credentials and positions are written: lower-case hexadecimal digits, so that any
// language reads and writes them without a library.

/// Lower-case hexadecimal digits.
package enum Hex {
    private static let digits = Array("0123456789abcdef".utf8)

    package static func text(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// nil for an odd number of digits, capital letters or anything else.
    package static func bytes(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        var high: UInt8?
        for letter in text.utf8 {
            let value: UInt8
            switch letter {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = letter - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = letter - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return high == nil ? bytes : nil
    }
}

/// The opaque id of a group: 16 to 32 bytes that tell the relay nothing.
package struct GroupName: Hashable, Sendable {
    package let bytes: [UInt8]

    package static let byteCounts = 16...32

    /// nil for another number of bytes.
    package init?(_ bytes: [UInt8]) {
        guard Self.byteCounts.contains(bytes.count) else { return nil }
        self.bytes = bytes
    }

    /// Reads its hexadecimal digits.
    package init?(text: some StringProtocol) {
        guard text.utf8.count <= 2 * Self.byteCounts.upperBound, let bytes = Hex.bytes(text)
        else { return nil }
        self.init(bytes)
    }

    package var text: String { Hex.text(bytes) }
}

/// What proves to the relay that somebody belongs to a group: 32 bytes that members derive from the
/// group's secret. It is never printed; the relay keeps only its SHA-256.
package struct Credential: Sendable {
    package let bytes: [UInt8]

    package static let byteCount = 32

    /// nil for another number of bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Reads 64 hexadecimal digits.
    package init?(text: some StringProtocol) {
        guard text.utf8.count == 2 * Self.byteCount, let bytes = Hex.bytes(text) else { return nil }
        self.init(bytes)
    }

    package var text: String { Hex.text(bytes) }
}

/// A place in a group's log, behind one of its entries. Opaque to clients, who keep and return it.
///
/// It names the log by a random generation, the number of the entry, and the link of the chain of hashes
/// over everything up to it: a relay that was restored from a backup, and went on differently, does
/// not recognise the positions that it gave out in the part that it lost.
package struct LogPosition: Hashable, Sendable {
    package var generation: [UInt8]
    package var number: Int64
    package var link: [UInt8]

    package static let partBytes = 8
    /// The position as bytes, as it stands in an answer.
    package static let byteCount = 3 * partBytes

    package init(generation: [UInt8], number: Int64, link: [UInt8]) {
        self.generation = generation
        self.number = number
        self.link = link
    }

    /// Reads 24 bytes; nil for another count or a number that is none.
    package init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        let all = Array(bytes)
        let number = all[8..<16].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let signed = Int64(exactly: number) else { return nil }
        self.init(generation: Array(all[..<8]), number: signed, link: Array(all[16...]))
    }

    /// Reads 48 hexadecimal digits.
    package init?(text: some StringProtocol) {
        guard text.utf8.count == 2 * Self.byteCount, let bytes = Hex.bytes(text) else { return nil }
        self.init(bytes)
    }

    package var bytes: [UInt8] {
        let middle = (0..<8).map { UInt8(truncatingIfNeeded: number >> Int64(56 - 8 * $0)) }
        return generation + middle + link
    }

    package var text: String { Hex.text(bytes) }
}
