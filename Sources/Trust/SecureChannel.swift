// One encrypted channel as a state machine: bytes in, bytes out. It knows no socket and reads no clock;
// OpenSSL works on memory only.

internal import COpenSSL

/// One side of a TLS connection.
///
///     handshake ──both keys proved and allowed──▶ open ──▶ ended
///
/// Feed what came from the network to ``receive(_:)``, and send what ``takeOutput()`` gives. Nothing
/// plain is taken or given before both sides have proved their keys and ``mayTalk`` has allowed the
/// peer's. After an error the channel is dead: send its output, which tells the peer why, and close.
package final class SecureChannel {
    package enum Role: Sendable { case client, server }

    package let role: Role
    /// The key that the peer has proved; nil before.
    package private(set) var peer: PublicKey?
    /// Both sides are sure of each other.
    package private(set) var isOpen = false
    /// The peer has said that nothing follows.
    package private(set) var hasPeerEnded = false

    private let context: SecureContext
    private let mayTalk: (PublicKey) -> Bool
    private let ssl: OpaquePointer
    private let input: OpaquePointer
    private let output: OpaquePointer
    private var presented: PublicKey?
    private var isRefused = false
    private var handshakeBytes = 0
    private var failure: TrustError?

    /// - Parameter mayTalk: asked once, during the handshake, with a key that the peer will have to
    ///   prove next, and which can be the node's own; must not call the channel.
    package init(
        _ context: SecureContext, role: Role, mayTalk: @escaping (PublicKey) -> Bool
    ) throws(TrustError) {
        self.context = context
        self.role = role
        self.mayTalk = mayTalk
        ErrorQueue.clear()
        guard let ssl = SSL_new(context.pointer) else {
            throw ErrorQueue.failure("begin a TLS connection")
        }
        guard let input = BIO_new(BIO_s_mem()), let output = BIO_new(BIO_s_mem()) else {
            SSL_free(ssl)
            throw ErrorQueue.failure("begin a TLS connection")
        }
        starling_bio_never_ends(input)
        starling_bio_never_ends(output)
        // The connection owns both from here on.
        SSL_set_bio(ssl, input, output)
        self.ssl = ssl
        self.input = input
        self.output = output
        if role == .client { SSL_set_connect_state(ssl) } else { SSL_set_accept_state(ssl) }
        starling_set_owner(ssl, Unmanaged.passUnretained(self).toOpaque())
        // A client speaks first. Whatever is wrong comes out with the first bytes.
        if role == .client { try shakeHands() }
    }

    deinit { SSL_free(ssl) }

    // MARK: Bytes

    /// Takes what came from the network, in pieces of any size.
    ///
    /// - Returns: the plain bytes that are complete now.
    /// - Throws: ``TrustError``, again at each later call.
    package func receive(_ bytes: [UInt8]) throws(TrustError) -> [UInt8] {
        if let failure { throw failure }
        if !isOpen {
            handshakeBytes += bytes.count
            guard handshakeBytes <= TrustLimits.handshakeBytesMax else {
                throw fail(TrustError(.protocolBroken, "the peer does not come to the point"))
            }
        }
        guard bytes.isEmpty || BIO_write(input, bytes, Int32(bytes.count)) == Int32(bytes.count)
        else { throw fail(ErrorQueue.failure("keep what came")) }
        if !isOpen { try shakeHands() }
        return isOpen ? try readPlain() : []
    }

    /// Encrypts `bytes`; ``takeOutput()`` has them then.
    ///
    /// - Precondition: the channel is open.
    package func send(_ bytes: [UInt8]) throws(TrustError) {
        if let failure { throw failure }
        precondition(isOpen, "nothing is said before both sides are known")
        var done = 0
        while done < bytes.count {
            ErrorQueue.clear()
            let count = bytes[done...].withUnsafeBytes {
                SSL_write(ssl, $0.baseAddress, Int32(clamping: $0.count))
            }
            guard count > 0 else { throw fail(explained(SSL_get_error(ssl, count))) }
            done += Int(count)
        }
    }

    /// What must go to the network now, in order.
    package func takeOutput() -> [UInt8] {
        let count = BIO_ctrl_pending(output)
        guard count > 0 else { return [] }
        let length = Int32(clamping: count)
        return [UInt8](unsafeUninitializedCapacity: Int(length)) { buffer, used in
            used = max(0, Int(BIO_read(output, buffer.baseAddress, length)))
        }
    }

    /// 32 bytes that only the two ends of this channel have, and that are others in each channel (RFC 8446,
    /// section 7.5): what was said in one channel means nothing in another.
    ///
    /// - Precondition: the channel is open.
    package func binding() throws(TrustError) -> [UInt8] {
        if let failure { throw failure }
        precondition(isOpen, "nothing is bound to a channel before both sides are known")
        let label = "EXPORTER-starling-binding-1"
        var bytes = [UInt8](repeating: 0, count: TrustLimits.bindingBytes)
        ErrorQueue.clear()
        guard
            SSL_export_keying_material(
                ssl, &bytes, bytes.count, label, label.utf8.count, nil, 0, 0) == 1
        else { throw ErrorQueue.failure("bind what is said to a TLS connection") }
        return bytes
    }

    /// Says that nothing follows; the output carries it.
    package func end() {
        guard failure == nil, isOpen else { return }
        ErrorQueue.clear()
        _ = SSL_shutdown(ssl)
        ErrorQueue.clear()
    }

    // MARK: Inside

    /// Called back from the handshake with the key that the peer claims.
    func accepts(_ key: PublicKey?) -> Bool {
        guard let key, mayTalk(key) else {
            isRefused = true
            return false
        }
        presented = key
        return true
    }

    private func shakeHands() throws(TrustError) {
        ErrorQueue.clear()
        let code = SSL_do_handshake(ssl)
        if code == 1 {
            guard let presented else {
                throw fail(TrustError(.protocolBroken, "the peer showed no key"))
            }
            peer = presented
            isOpen = true
            return
        }
        let reason = SSL_get_error(ssl, code)
        if reason != SSL_ERROR_WANT_READ { throw fail(explained(reason)) }
    }

    private func readPlain() throws(TrustError) -> [UInt8] {
        var plain: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: TrustLimits.recordBytesMax)
        while true {
            ErrorQueue.clear()
            let count = SSL_read(ssl, &buffer, Int32(buffer.count))
            if count > 0 {
                plain += buffer[..<Int(count)]
                continue
            }
            switch SSL_get_error(ssl, count) {
            case SSL_ERROR_WANT_READ: return plain
            case SSL_ERROR_ZERO_RETURN:
                hasPeerEnded = true
                return plain
            case let reason: throw fail(explained(reason))
            }
        }
    }

    private func fail(_ error: TrustError) -> TrustError {
        failure = error
        isOpen = false
        return error
    }

    /// What went wrong, in words for a person.
    private func explained(_ reason: Int32) -> TrustError {
        let found = ErrorQueue.take()
        let details = ["SSL error \(reason)"] + found.map(\.text)
        if isRefused {
            return TrustError(.notTrusted, "the peer's key is not known here", details: details)
        }
        let alerts = found.map { Int32(truncatingIfNeeded: $0.code & 0x7f_ffff) }
        if alerts.contains(where: Self.refusals.contains) {
            return TrustError(
                .notTrustedThere, "the peer does not know this node's key", details: details)
        }
        return TrustError(
            .protocolBroken, "the peer does not speak TLS 1.3 as a Starling node does",
            details: details)
    }

    /// Alerts of a peer that refuses a certificate (RFC 8446, section 6.2): the reason of such an error
    /// in OpenSSL is 1000 and the alert's number.
    private static let refusals: Set<Int32> = Set([42, 43, 44, 45, 46, 48, 49].map { 1000 + $0 })
}
