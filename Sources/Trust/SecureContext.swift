// What all channels of a node share: its key, its certificate, and the only way to speak.

internal import COpenSSL

/// TLS 1.3 (RFC 8446) with certificates of Ed25519 keys on both sides; no other version, no session
/// tickets, no resumption, no certificate authority.
package final class SecureContext {
    let pointer: OpaquePointer
    package let publicKey: PublicKey

    package init(key: NodeKey) throws(TrustError) {
        publicKey = key.publicKey
        ErrorQueue.clear()
        guard let context = SSL_CTX_new(TLS_method()) else {
            throw ErrorQueue.failure("prepare TLS")
        }
        let certificate: OpaquePointer
        do { certificate = try key.makeCertificate() } catch {
            SSL_CTX_free(context)
            throw error
        }
        defer { X509_free(certificate) }
        let suites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
        let isReady =
            starling_tls13_only(context) == 1
            && SSL_CTX_set_ciphersuites(context, suites) == 1
            && starling_tls_algorithms(context, "ed25519", "X25519") == 1
            && SSL_CTX_set_num_tickets(context, 0) == 1
            && SSL_CTX_use_certificate(context, certificate) == 1
            && SSL_CTX_use_PrivateKey(context, key.pointer) == 1
        guard isReady else {
            SSL_CTX_free(context)
            throw ErrorQueue.failure("prepare TLS")
        }
        starling_tls_settings(context, TrustLimits.certificateBytesMax)
        starling_tls_verify(context) { leaf, owner in
            guard let leaf, let owner else { return 0 }
            let channel = Unmanaged<SecureChannel>.fromOpaque(owner).takeUnretainedValue()
            return channel.accepts(rawPublicKey(X509_get0_pubkey(leaf))) ? 1 : 0
        }
        pointer = context
    }

    deinit { SSL_CTX_free(pointer) }
}

/// The limits of trust, each a named constant with its unit last in the name.
package enum TrustLimits {
    /// A certificate of ours has some 250 bytes.
    package static let certificateBytesMax = 4096
    /// Plain bytes of one TLS record (RFC 8446, section 5.1).
    package static let recordBytesMax = 16_384
    /// What a record adds to its plain bytes at the most, header and tag.
    package static let recordOverheadBytesMax = 256
    /// Bytes that a peer may send before it has proved its key.
    package static let handshakeBytesMax = 16_384
    /// What both ends of a channel have in common, and nobody else.
    package static let bindingBytes = 32
}
