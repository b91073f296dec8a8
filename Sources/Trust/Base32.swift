// Crockford's base 32: digits and capital letters without those that look or sound like others.
// https://www.crockford.com/base32.html

package enum Base32 {
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    /// Five bits a letter, the last one filled up with zeros. O(bytes).
    package static func text(_ bytes: some Sequence<UInt8>) -> String {
        var letters: [UInt8] = []
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 5 {
                count -= 5
                letters.append(alphabet[Int(bits >> count & 31)])
            }
            bits &= (1 << count) - 1
        }
        if count > 0 { letters.append(alphabet[Int(bits << (5 - count) & 31)]) }
        return String(decoding: letters, as: UTF8.self)
    }

    /// The bytes of a text in either case, with `O` read as 0 and `I` and `L` as 1; nil for any other
    /// character, or bits left over that ``text(_:)`` does not make.
    package static func bytes(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for letter in text {
            guard let value = value(letter) else { return nil }
            bits = bits << 5 | UInt32(value)
            count += 5
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(bits >> count))
                bits &= (1 << count) - 1
            }
        }
        return count < 5 && bits == 0 ? bytes : nil
    }

    private static func value(_ letter: UInt8) -> Int? {
        let isSmall = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter)
        let capital = isSmall ? letter - 0x20 : letter
        switch capital {
        case UInt8(ascii: "O"): return 0
        case UInt8(ascii: "I"), UInt8(ascii: "L"): return 1
        default: return alphabet.firstIndex(of: capital)
        }
    }
}
