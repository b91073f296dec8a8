// X25519: two keys, one secret; and how a node's signing key serves for it, so that whoever knows a
// member can also send it a secret.

internal import COpenSSL

/// An X25519 key pair (RFC 7748). Like ``NodeKey`` it is never printed.
package final class AgreementKey {
    private let pointer: OpaquePointer
    /// 32 bytes, a coordinate as RFC 7748 writes it.
    package let publicKey: [UInt8]

    package static let byteCount = 32

    /// A new key from the system's generator.
    package convenience init() throws(TrustError) {
        try self.init(secret: try newRawKey(byteCount: Self.byteCount))
    }

    /// - Throws: ``TrustError`` of code `invalidKey` unless there are 32 bytes.
    package init(secret: [UInt8]) throws(TrustError) {
        let key = try privateKey(EVP_PKEY_X25519, secret, byteCount: Self.byteCount)
        var shown = [UInt8](repeating: 0, count: Self.byteCount)
        var count = shown.count
        guard EVP_PKEY_get_raw_public_key(key, &shown, &count) == 1, count == shown.count else {
            EVP_PKEY_free(key)
            throw ErrorQueue.failure("read a public key")
        }
        (pointer, publicKey) = (key, shown)
    }

    deinit { EVP_PKEY_free(pointer) }

    /// The secret that both sides compute (RFC 7748, section 6.1); nil for a public key that is none, or
    /// one of the few for which the secret would be zero, whatever the own key.
    package func sharedSecret(with other: [UInt8]) -> [UInt8]? {
        guard other.count == Self.byteCount,
            let peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nil, other, other.count)
        else { return nil }
        defer {
            EVP_PKEY_free(peer)
            ErrorQueue.clear()
        }
        guard let context = EVP_PKEY_CTX_new(pointer, nil) else { return nil }
        defer { EVP_PKEY_CTX_free(context) }
        var secret = [UInt8](repeating: 0, count: Self.byteCount)
        var count = secret.count
        guard EVP_PKEY_derive_init(context) == 1, EVP_PKEY_derive_set_peer(context, peer) == 1,
            EVP_PKEY_derive(context, &secret, &count) == 1, count == secret.count,
            secret.contains(where: { $0 != 0 })
        else { return nil }
        return secret
    }
}

extension NodeKey {
    /// The X25519 form of this key: the scalar with which Ed25519 signs (RFC 8032, section 5.1.5). That
    /// one pair may serve for both is shown in E. Thormarker, "On using the same key pair for Ed25519
    /// and an X25519 based KEM" (2021).
    package func agreementKey() throws(TrustError) -> AgreementKey {
        let seed = try secret()
        var hash = [UInt8](repeating: 0, count: 64)
        ErrorQueue.clear()
        guard EVP_Digest(seed, seed.count, &hash, nil, EVP_sha512(), nil) == 1 else {
            throw ErrorQueue.failure("hash a key")
        }
        // X25519 clears and sets the same bits of it as Ed25519 does.
        return try AgreementKey(secret: Array(hash.prefix(AgreementKey.byteCount)))
    }
}

extension PublicKey {
    /// The X25519 form of this key, u = (1 + y) / (1 - y) modulo 2^255 - 19 (RFC 7748, section 4.1); nil for
    /// the neutral element, which has none.
    package var agreementKey: [UInt8]? {
        var little = bytes
        // The highest bit is the sign of x.
        little[31] &= 0x7f
        guard let context = BN_CTX_new() else { return nil }
        BN_CTX_start(context)
        defer {
            BN_CTX_end(context)
            BN_CTX_free(context)
            ErrorQueue.clear()
        }
        guard let prime = BN_CTX_get(context), let y = BN_CTX_get(context),
            let above = BN_CTX_get(context), let below = BN_CTX_get(context),
            let one = BN_CTX_get(context), let u = BN_CTX_get(context),
            BN_set_word(one, 1) == 1, BN_set_word(prime, 0) == 1, BN_set_bit(prime, 255) == 1,
            BN_sub_word(prime, 19) == 1, BN_lebin2bn(little, 32, y) != nil,
            BN_mod_add(above, one, y, prime, context) == 1,
            BN_mod_sub(below, one, y, prime, context) == 1, BN_is_zero(below) == 0,
            BN_mod_inverse(below, below, prime, context) != nil,
            BN_mod_mul(u, above, below, prime, context) == 1
        else { return nil }
        var coordinate = [UInt8](repeating: 0, count: AgreementKey.byteCount)
        guard BN_bn2lebinpad(u, &coordinate, Int32(coordinate.count)) == Int32(coordinate.count)
        else { return nil }
        return coordinate
    }
}
