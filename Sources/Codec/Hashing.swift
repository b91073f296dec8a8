// The hash behind digests: XXH3, 64 bits. It finds accidents, it does not resist an attacker.

internal import CXXHash

/// XXH3 of `bytes` (<https://xxhash.com>); the same value on every machine.
package func hash64(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
    bytes.withUnsafeBytes { starling_xxh3($0.baseAddress, $0.count, seed) }
}
