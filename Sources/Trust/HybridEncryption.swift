// A secret for one receiver, whose public key is all that the sender knows.

/// HPKE in base mode, single-shot (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
/// ChaCha20-Poly1305. It does not prove who sent something: sign what has to be somebody's.
package enum HybridEncryption {
    /// What sealing adds: the ephemeral public key and the tag.
    package static let overheadBytes = AgreementKey.byteCount + ChaChaPoly.tagBytes

    /// `plain` for the owner of `receiver`: the ephemeral public key, then the ciphertext.
    ///
    /// - Parameters:
    ///   - receiver: an X25519 public key.
    ///   - info: what both sides have to agree on.
    ///   - ephemeral: a new key unless a test wants the bytes of the standard.
    /// - Throws: ``TrustError`` of code `invalidKey` for a receiver's key that is none.
    package static func seal(
        _ plain: [UInt8], to receiver: [UInt8], info: [UInt8], authenticating context: [UInt8] = [],
        ephemeral: AgreementKey? = nil
    ) throws(TrustError) -> [UInt8] {
        let own: AgreementKey
        if let ephemeral { own = ephemeral } else { own = try AgreementKey() }
        guard let shared = own.sharedSecret(with: receiver) else {
            throw TrustError(.invalidKey, "a receiver's key cannot be used")
        }
        let (key, nonce) = keys(shared, encapsulated: own.publicKey, receiver: receiver, info: info)
        let sealed = try ChaChaPoly.seal(plain, key: key, nonce: nonce, authenticating: context)
        return own.publicKey + sealed
    }

    /// The content; nil when it is for another key, or anything of it or its context was changed.
    package static func open(
        _ sealed: [UInt8], with key: AgreementKey, info: [UInt8],
        authenticating context: [UInt8] = []
    ) -> [UInt8]? {
        guard sealed.count >= overheadBytes else { return nil }
        let encapsulated = Array(sealed.prefix(AgreementKey.byteCount))
        guard let shared = key.sharedSecret(with: encapsulated) else { return nil }
        let (secret, nonce) = keys(
            shared, encapsulated: encapsulated, receiver: key.publicKey, info: info)
        return ChaChaPoly.open(
            Array(sealed.dropFirst(AgreementKey.byteCount)), key: secret, nonce: nonce,
            authenticating: context)
    }

    // MARK: The key schedule

    private static let kem = Array("KEM".utf8) + [0, 0x20]
    private static let suite = Array("HPKE".utf8) + [0, 0x20, 0, 0x01, 0, 0x03]
    private static let version = Array("HPKE-v1".utf8)

    /// Sections 4.1 (ExtractAndExpand) and 5.1 (KeySchedule, base mode).
    private static func keys(
        _ agreed: [UInt8], encapsulated: [UInt8], receiver: [UInt8], info: [UInt8]
    ) -> (key: [UInt8], nonce: [UInt8]) {
        let shared = expand(
            extract([], kem, "eae_prk", agreed), kem, "shared_secret", encapsulated + receiver, 32)
        let context =
            [0] + extract([], suite, "psk_id_hash", []) + extract([], suite, "info_hash", info)
        let secret = extract(shared, suite, "secret", [])
        return (
            expand(secret, suite, "key", context, ChaChaPoly.keyBytes),
            expand(secret, suite, "base_nonce", context, ChaChaPoly.nonceBytes)
        )
    }

    /// LabeledExtract of section 4.
    private static func extract(
        _ salt: [UInt8], _ suite: [UInt8], _ label: String, _ secret: [UInt8]
    ) -> [UInt8] {
        HKDF.extract(salt: salt, secret: version + suite + Array(label.utf8) + secret)
    }

    /// LabeledExpand of section 4.
    private static func expand(
        _ key: [UInt8], _ suite: [UInt8], _ label: String, _ info: [UInt8], _ count: Int
    ) -> [UInt8] {
        let length = [UInt8(count >> 8), UInt8(count & 0xff)]
        return HKDF.expand(
            key, info: length + version + suite + Array(label.utf8) + info, count: count)
    }
}
