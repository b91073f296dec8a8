// Who somebody is: an Ed25519 public key, and the two short forms that people and programs use.

internal import COpenSSL

/// An Ed25519 public key (RFC 8032): 32 bytes.
package struct PublicKey: Hashable, Comparable, Sendable {
    package static let byteCount = 32

    package let bytes: [UInt8]

    /// - Throws: ``TrustError`` of code `invalidKey` for any other number of bytes.
    package init(bytes: [UInt8]) throws(TrustError) {
        guard bytes.count == Self.byteCount else {
            throw TrustError(.invalidKey, "a public key has 32 bytes, and here are \(bytes.count)")
        }
        self.bytes = bytes
    }

    package static func < (left: PublicKey, right: PublicKey) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    /// The id of the node with this key: the first 128 bits of a SHA-256 of it, in hexadecimal.
    package var node: String {
        sha256(Array("starling node 1".utf8) + bytes).prefix(16).map { byte in
            let digits = String(byte, radix: 16)
            return byte < 16 ? "0" + digits : digits
        }.joined()
    }

    /// What two people compare aloud: six groups of four letters and digits, 120 bits of a SHA-256.
    package var fingerprint: String {
        let hash = sha256(Array("starling fingerprint 1".utf8) + bytes)
        let letters = Array(Base32.text(hash.prefix(15)))
        return stride(from: 0, to: letters.count, by: 4)
            .map { String(letters[$0..<$0 + 4]) }.joined(separator: "-")
    }

    /// What stands in an announcement on the network: who knows the group and the key recognises it, and
    /// with another salt it is another text to everybody else, whoever knows the key included. 128 bits.
    ///
    /// - Parameters:
    ///   - group: 16 bytes that only members know.
    ///   - salt: of one length always.
    package func tag(group: [UInt8], salt: [UInt8]) -> [UInt8] {
        // All parts but the last have a fixed length, and the hash is cut: nothing can be appended.
        Array(sha256(Array("starling announcement 2".utf8) + group + salt + bytes).prefix(16))
    }

    /// What stands in an announcement as long as an invitation with this one-time key is open: who has the
    /// invitation finds its giver by it. 64 bits: a guess costs a handshake, and no more.
    package func invitationTag(salt: [UInt8]) -> [UInt8] {
        Array(sha256(Array("starling announced invitation 1".utf8) + salt + bytes).prefix(8))
    }

    /// Whether the owner of this key signed `message` (RFC 8032).
    package func hasSigned(_ message: [UInt8], _ signature: [UInt8]) -> Bool {
        guard let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, bytes, bytes.count),
            let digest = EVP_MD_CTX_new()
        else { return false }
        defer {
            EVP_MD_CTX_free(digest)
            EVP_PKEY_free(key)
            ErrorQueue.clear()
        }
        return EVP_DigestVerifyInit(digest, nil, nil, nil, key) == 1
            && EVP_DigestVerify(digest, signature, signature.count, message, message.count) == 1
    }
}

/// SHA-256 (FIPS 180-4).
package func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let code = EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil)
    precondition(code == 1, "SHA-256 is a part of every OpenSSL")
    return digest
}
