// Every way in which a short byte string is damaged, for decoders that must not crash.

import Codec
import TestKit
import Testing

enum Damage {
    /// `bytes` cut at every place, with every byte changed in several ways, and with bytes
    /// inserted, removed and appended.
    static func all(of bytes: [UInt8]) -> [[UInt8]] {
        var result: [[UInt8]] = []
        for place in 0...bytes.count { result.append(Array(bytes[..<place])) }
        for place in bytes.indices {
            for flip in [0x01, 0x10, 0x20, 0x40, 0x80, 0x7f, 0xff] as [UInt8] {
                var changed = bytes
                changed[place] ^= flip
                result.append(changed)
            }
            var longer = bytes
            longer.insert(0xff, at: place)
            result.append(longer)
            var shorter = bytes
            shorter.remove(at: place)
            result.append(shorter)
        }
        return result + [bytes + [0], bytes + bytes]
    }

    /// Random bytes, of which many begin like something real.
    static func random(
        _ generator: inout SeededGenerator, heads: [UInt8], count: Int
    ) -> [[UInt8]] {
        (0..<count).map { _ in
            let tail = generator.bytes(generator.below(24))
            return generator.chance(1, in: 4)
                ? tail : [heads[generator.below(heads.count)]] + tail
        }
    }
}
