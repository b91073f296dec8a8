// XXH3 is the same on every machine: digests are compared between them.

import Codec
import Testing

@Suite struct HashingTests {
    @Test func knownValues() {
        #expect(hash64([]) == 0x2d06_8005_38d3_94c2)
        #expect(hash64(Array("a".utf8)) == 0xe6c6_32b6_1e96_4e1f)
        #expect(hash64(Array("abc".utf8)) == 0x78af_5f94_892f_3950)
    }

    /// Each length class of the algorithm, and the seed, count.
    @Test func everyLengthAndSeedHasItsOwn() {
        var seen: Set<UInt64> = []
        for count in 0...400 {
            let content = [UInt8](repeating: 7, count: count)
            seen.insert(hash64(content))
            seen.insert(hash64(content, seed: 1))
        }
        #expect(seen.count == 802)
    }
}
