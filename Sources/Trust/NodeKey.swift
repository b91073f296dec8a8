// A node's own key, and the certificate that carries its public half into TLS.

internal import COpenSSL

/// An Ed25519 key pair. It is never printed, encoded into JSON or compared: only its 32 secret bytes
/// leave it, for the file that keeps them.
package final class NodeKey {
    let pointer: OpaquePointer
    package let publicKey: PublicKey

    /// A new key from the system's generator.
    package convenience init() throws(TrustError) {
        try self.init(secret: try newRawKey(byteCount: PublicKey.byteCount))
    }

    /// - Throws: ``TrustError`` of code `invalidKey` unless there are 32 bytes.
    package init(secret: [UInt8]) throws(TrustError) {
        let key = try privateKey(EVP_PKEY_ED25519, secret, byteCount: PublicKey.byteCount)
        guard let shown = rawPublicKey(key) else {
            EVP_PKEY_free(key)
            throw ErrorQueue.failure("read a public key")
        }
        pointer = key
        publicKey = shown
    }

    deinit { EVP_PKEY_free(pointer) }

    /// What the key's file holds; to be kept where nobody else can read it.
    package func secret() throws(TrustError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: PublicKey.byteCount)
        var count = bytes.count
        ErrorQueue.clear()
        guard EVP_PKEY_get_raw_private_key(pointer, &bytes, &count) == 1, count == bytes.count
        else { throw ErrorQueue.failure("read a key") }
        return bytes
    }

    /// A signature of `message` (RFC 8032): 64 bytes, the same each time.
    package func sign(_ message: [UInt8]) throws(TrustError) -> [UInt8] {
        ErrorQueue.clear()
        guard let digest = EVP_MD_CTX_new() else { throw ErrorQueue.failure("sign") }
        defer { EVP_MD_CTX_free(digest) }
        var signature = [UInt8](repeating: 0, count: 64)
        var count = signature.count
        guard EVP_DigestSignInit(digest, nil, nil, nil, pointer) == 1,
            EVP_DigestSign(digest, &signature, &count, message, message.count) == 1,
            count == signature.count
        else { throw ErrorQueue.failure("sign") }
        return signature
    }

    /// A certificate of this key, signed by itself (RFC 5280, RFC 8410). It says nothing but the key:
    /// the same name for everybody, and valid always, since clocks here may be wrong.
    func makeCertificate() throws(TrustError) -> OpaquePointer {
        ErrorQueue.clear()
        guard let certificate = X509_new() else {
            throw ErrorQueue.failure("make a certificate")
        }
        let name = X509_get_subject_name(certificate)
        let isMade =
            X509_set_version(certificate, 2) == 1
            && ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1
            && ASN1_TIME_set_string(X509_getm_notBefore(certificate), "19700101000000Z") == 1
            && ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z") == 1
            && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, "starling", -1, -1, 0) == 1
            && X509_set_issuer_name(certificate, name) == 1
            && X509_set_pubkey(certificate, pointer) == 1
            && X509_sign(certificate, pointer, nil) > 0
        guard isMade else {
            X509_free(certificate)
            throw ErrorQueue.failure("make a certificate")
        }
        return certificate
    }
}

/// The Ed25519 public key of a key in OpenSSL; nil for a key of another kind.
func rawPublicKey(_ key: OpaquePointer?) -> PublicKey? {
    guard let key, EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 else { return nil }
    var bytes = [UInt8](repeating: 0, count: PublicKey.byteCount)
    var count = bytes.count
    guard EVP_PKEY_get_raw_public_key(key, &bytes, &count) == 1 else { return nil }
    return try? PublicKey(bytes: Array(bytes.prefix(count)))
}

/// A secret key from the system's generator.
func newRawKey(byteCount: Int) throws(TrustError) -> [UInt8] {
    var secret = [UInt8](repeating: 0, count: byteCount)
    ErrorQueue.clear()
    guard RAND_priv_bytes(&secret, Int32(secret.count)) == 1 else {
        throw ErrorQueue.failure("draw random bytes for a key")
    }
    return secret
}

/// A key of OpenSSL's, to be freed by the caller.
///
/// - Throws: ``TrustError`` of code `invalidKey` unless there are `byteCount` bytes.
func privateKey(
    _ type: Int32, _ secret: [UInt8], byteCount: Int
) throws(TrustError) -> OpaquePointer {
    guard secret.count == byteCount else {
        throw TrustError(
            .invalidKey, "a secret key has \(byteCount) bytes, and here are \(secret.count)")
    }
    ErrorQueue.clear()
    guard let key = EVP_PKEY_new_raw_private_key(type, nil, secret, secret.count) else {
        throw ErrorQueue.failure("make a key")
    }
    return key
}
