// Keys from keys: HMAC and HKDF with SHA-256.

internal import COpenSSL

/// HMAC-SHA-256 (RFC 2104): 32 bytes.
package func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    var code = [UInt8](repeating: 0, count: 32)
    var count: UInt32 = 0
    ErrorQueue.clear()
    let made = HMAC(
        EVP_sha256(), key, Int32(key.count), message, message.count, &code, &count)
    precondition(made != nil && count == 32, "HMAC with SHA-256 is a part of every OpenSSL")
    return code
}

/// HKDF with SHA-256 (RFC 5869). Not for passwords: the secret has to have the strength already.
package enum HKDF {
    package static let hashBytes = 32
    /// What one `info` can give at most (RFC 5869, section 2.3).
    package static let outputBytesMax = 255 * hashBytes

    /// Section 2.2: a key of 32 bytes out of a secret. An empty salt is 32 zeros.
    package static func extract(salt: [UInt8], secret: [UInt8]) -> [UInt8] {
        hmacSHA256(key: salt.isEmpty ? [UInt8](repeating: 0, count: hashBytes) : salt, secret)
    }

    /// Section 2.3: `count` bytes for the purpose that `info` names.
    ///
    /// - Precondition: `count` is at most ``outputBytesMax``.
    package static func expand(_ key: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
        precondition((0...outputBytesMax).contains(count), "HKDF gives 8,160 bytes at most")
        var output: [UInt8] = []
        var block: [UInt8] = []
        var number: UInt8 = 1
        while output.count < count {
            block = hmacSHA256(key: key, block + info + [number])
            output += block
            // 255 blocks are the most there are, so the last step may wrap.
            number &+= 1
        }
        return Array(output.prefix(count))
    }

    /// Both steps.
    package static func derive(
        _ secret: [UInt8], salt: [UInt8] = [], info: [UInt8], count: Int = hashBytes
    ) -> [UInt8] {
        expand(extract(salt: salt, secret: secret), info: info, count: count)
    }
}
