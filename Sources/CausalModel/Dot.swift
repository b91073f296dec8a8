// Who wrote what, and when: origins, dots and hybrid stamps. Plain values with total orders, the
// same on every machine; nothing here reads a clock or draws a random number.

/// A 128-bit random id under which a replica numbers its changes.
///
/// Ordered by its bytes, so that ties break alike everywhere.
package struct Origin: Hashable, Comparable, Sendable {
    package var high: UInt64
    package var low: UInt64

    @inlinable
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// From 16 bytes, most significant first; nil for any other length.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        for (index, byte) in bytes.enumerated() {
            if index < 8 {
                words.0 = words.0 << 8 | UInt64(byte)
            } else {
                words.1 = words.1 << 8 | UInt64(byte)
            }
        }
        self.init(high: words.0, low: words.1)
    }

    /// From 32 hexadecimal digits; nil for anything else.
    package init?(hex: String) {
        let digits = Array(hex.utf8)
        // `UInt64` would take a sign as well.
        guard digits.count == 32, !digits.contains(UInt8(ascii: "+")),
            !digits.contains(UInt8(ascii: "-")),
            let high = UInt64(String(decoding: digits[..<16], as: UTF8.self), radix: 16),
            let low = UInt64(String(decoding: digits[16...], as: UTF8.self), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    package static func random(using generator: inout some RandomNumberGenerator) -> Origin {
        Origin(high: generator.next(), low: generator.next())
    }

    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16)
        for word in [high, low] {
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
        return bytes
    }

    package var hex: String {
        func digits(_ word: UInt64) -> String {
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return digits(high) + digits(low)
    }

    @inlinable
    package static func < (left: Origin, right: Origin) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}

/// One row change: the `number`-th of its `origin`, counting from 1.
///
/// Dotted version vectors: Preguiça, Baquero, Almeida, Fonte, Gonçalves 2012.
package struct Dot: Hashable, Comparable, Sendable {
    package var origin: Origin
    package var number: UInt64

    @inlinable
    package init(_ origin: Origin, _ number: UInt64) {
        self.origin = origin
        self.number = number
    }

    @inlinable
    package static func < (left: Dot, right: Dot) -> Bool {
        left.origin != right.origin ? left.origin < right.origin : left.number < right.number
    }
}

/// A hybrid logical clock value: 48 bits of Unix milliseconds, then 16 bits of counter.
///
/// Kulkarni, Demirbas et al. 2014. Kept below 2^47 milliseconds; counter overflow carries into
/// the milliseconds.
package struct Stamp: Hashable, Comparable, Sendable {
    package var raw: UInt64

    /// The last stamp there is; replacement needs no stamp, so a write may take it again.
    package static let ceiling = Stamp(raw: (1 << 63) - 1)
    package static let zero = Stamp(raw: 0)

    @inlinable
    package init(raw: UInt64) { self.raw = raw }

    /// `milliseconds` since 1970, clamped to the representable range.
    package init(milliseconds: Int64, counter: UInt16 = 0) {
        let clamped = UInt64(max(0, min(milliseconds, (1 << 47) - 1)))
        raw = clamped << 16 | UInt64(counter)
    }

    package var milliseconds: Int64 { Int64(raw >> 16) }
    package var counter: UInt16 { UInt16(truncatingIfNeeded: raw) }

    /// The least stamp above this one, or the ceiling.
    package var next: Stamp { raw >= Stamp.ceiling.raw ? .ceiling : Stamp(raw: raw + 1) }

    @inlinable
    package static func < (left: Stamp, right: Stamp) -> Bool { left.raw < right.raw }
}

/// The insert that made one incarnation of a row.
package struct Birth: Hashable, Comparable, Sendable {
    package var stamp: Stamp
    package var origin: Origin

    @inlinable
    package init(_ stamp: Stamp, _ origin: Origin) {
        self.stamp = stamp
        self.origin = origin
    }

    @inlinable
    package static func < (left: Birth, right: Birth) -> Bool {
        left.stamp != right.stamp ? left.stamp < right.stamp : left.origin < right.origin
    }
}
