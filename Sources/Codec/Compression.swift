// Zstandard for whole chunks, with the output bounded before it is made.

internal import CZstd

/// One-shot Zstandard (RFC 8878).
package enum Zstandard {
    /// `bytes` compressed; nil when that would not be shorter.
    package static func compress(_ bytes: [UInt8], level: Int32 = 1) -> [UInt8]? {
        let bound = ZSTD_compressBound(bytes.count)
        var size = 0
        let output = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            size = ZSTD_compress(buffer.baseAddress, bound, bytes, bytes.count, level)
            count = ZSTD_isError(size) == 0 ? size : 0
        }
        return ZSTD_isError(size) == 0 && output.count < bytes.count ? output : nil
    }

    /// The content of `bytes`.
    ///
    /// - Throws: ``CodecError`` for damaged input or more than `limit` bytes of content; nothing is
    ///   allocated for a size that is only claimed beyond it.
    package static func decompress(_ bytes: [UInt8], limit: Int) throws(CodecError) -> [UInt8] {
        let claimed = ZSTD_getFrameContentSize(bytes, bytes.count)
        // The two largest values say "unknown" and "not a frame".
        guard claimed < UInt64.max - 1 else {
            throw CodecError(.malformed, "compressed data has no valid header")
        }
        guard claimed <= UInt64(limit) else {
            throw CodecError(.tooLarge, "compressed data is larger than the limit")
        }
        let capacity = Int(claimed)
        var size = 0
        let output = [UInt8](unsafeUninitializedCapacity: max(1, capacity)) { buffer, count in
            size = ZSTD_decompress(buffer.baseAddress, capacity, bytes, bytes.count)
            count = ZSTD_isError(size) == 0 ? size : 0
        }
        guard ZSTD_isError(size) == 0, output.count == capacity else {
            throw CodecError(.malformed, "compressed data is damaged")
        }
        return output
    }
}
