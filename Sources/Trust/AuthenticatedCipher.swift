// Encryption that notices every change: ChaCha20-Poly1305, which is as fast without special
// instructions of the processor and leaks nothing by its time there.

internal import COpenSSL

/// AEAD_CHACHA20_POLY1305 (RFC 8439, section 2.8). One key and nonce are for one message, ever.
package enum ChaChaPoly {
    package static let keyBytes = 32
    package static let nonceBytes = 12
    package static let tagBytes = 16

    /// The encrypted bytes, and behind them the tag.
    ///
    /// - Precondition: the key has 32 bytes, the nonce 12.
    package static func seal(
        _ plain: [UInt8], key: [UInt8], nonce: [UInt8], authenticating context: [UInt8]
    ) throws(TrustError) -> [UInt8] {
        precondition(key.count == keyBytes && nonce.count == nonceBytes)
        ErrorQueue.clear()
        guard let cipher = EVP_CIPHER_CTX_new() else { throw ErrorQueue.failure("encrypt") }
        defer { EVP_CIPHER_CTX_free(cipher) }
        var tag = [UInt8](repeating: 0, count: tagBytes)
        var (count, isMade) = (Int32(0), false)
        var sealed = [UInt8](unsafeUninitializedCapacity: plain.count + tagBytes) {
            output, filled in
            isMade =
                EVP_EncryptInit_ex(cipher, EVP_chacha20_poly1305(), nil, key, nonce) == 1
                && EVP_EncryptUpdate(cipher, nil, &count, context, Int32(context.count)) == 1
                && EVP_EncryptUpdate(
                    cipher, output.baseAddress, &count, plain, Int32(plain.count)) == 1
            filled = isMade ? Int(count) : 0
        }
        isMade =
            isMade && sealed.count == plain.count
            // A stream cipher has nothing left to write at its end.
            && EVP_EncryptFinal_ex(cipher, &tag, &count) == 1 && count == 0
            && starling_get_tag(cipher, Int32(tagBytes), &tag) == 1
        guard isMade else { throw ErrorQueue.failure("encrypt") }
        sealed += tag
        return sealed
    }

    /// The content; nil when key, nonce, context or any byte is another than it was.
    ///
    /// - Precondition: the key has 32 bytes, the nonce 12.
    package static func open(
        _ sealed: [UInt8], key: [UInt8], nonce: [UInt8], authenticating context: [UInt8]
    ) -> [UInt8]? {
        precondition(key.count == keyBytes && nonce.count == nonceBytes)
        guard sealed.count >= tagBytes, sealed.count <= Int(Int32.max),
            let cipher = EVP_CIPHER_CTX_new()
        else { return nil }
        defer {
            EVP_CIPHER_CTX_free(cipher)
            ErrorQueue.clear()
        }
        let length = sealed.count - tagBytes
        let tag = Array(sealed[length...])
        var (count, isOpen) = (Int32(0), false)
        let plain = [UInt8](unsafeUninitializedCapacity: max(1, length)) { output, filled in
            isOpen =
                EVP_DecryptInit_ex(cipher, EVP_chacha20_poly1305(), nil, key, nonce) == 1
                && EVP_DecryptUpdate(cipher, nil, &count, context, Int32(context.count)) == 1
                && EVP_DecryptUpdate(cipher, output.baseAddress, &count, sealed, Int32(length)) == 1
            filled = isOpen ? Int(count) : 0
        }
        // Nothing of it is given out before the tag was found right.
        var rest = [UInt8](repeating: 0, count: tagBytes)
        guard isOpen, plain.count == length,
            starling_expect_tag(cipher, Int32(tagBytes), tag) == 1,
            EVP_DecryptFinal_ex(cipher, &rest, &count) == 1
        else { return nil }
        return plain
    }
}
