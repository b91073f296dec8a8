// How a member comes to hold an epoch's secret: wrapped for its key, signed by who gives it.

internal import RelayProtocol
package import Trust

/// One epoch's secret for one member.
///
/// HPKE (RFC 9180) to the X25519 form of the member's own key, so that nothing has to be published first;
/// bound to the group, the epoch, the giver and the receiver; signed by the giver. It may travel
/// anywhere: only the receiver can open it.
///
///     grant = 01  epoch (20)  giver (16)  receiver (16)  wrapped secret (80)  signature (64)
package struct EpochGrant: Hashable, Sendable {
    package static let byteCount = 1 + EpochID.byteCount + 2 * Nodes.byteCount + wrappedBytes + 64

    private static let version: UInt8 = 1
    private static let wrappedBytes = Epoch.secretByteCount + HybridEncryption.overheadBytes

    package let bytes: [UInt8]
    package let epoch: EpochID
    /// Ids of nodes. Both are only claims until ``open(with:in:granter:)``.
    package let granter: String
    package let receiver: String

    /// - Throws: ``TrustError`` of code `invalidKey` for a receiver's key that cannot be wrapped for.
    package static func make(
        _ epoch: Epoch, for receiver: PublicKey, in group: GroupSecret, by granter: NodeKey
    ) throws(TrustError) -> EpochGrant {
        guard let agreement = receiver.agreementKey, let to = Nodes.bytes(receiver.node),
            let from = Nodes.bytes(granter.publicKey.node)
        else { throw TrustError(.invalidKey, "a member's key cannot be used to wrap a secret") }
        let head = [version] + epoch.id.encoded + from + to
        let wrapped = try HybridEncryption.seal(
            epoch.secret, to: agreement, info: context(head, group))
        let signature = try granter.sign(context(head, group) + wrapped)
        guard let grant = EpochGrant(decoding: head + wrapped + signature) else {
            preconditionFailure("what was just made can be read")
        }
        return grant
    }

    /// Reads one; nil for what has another form. Nothing of it is proved by that.
    package init?(decoding bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes[0] == Self.version,
            let epoch = EpochID(encoded: Array(bytes[1..<1 + EpochID.byteCount]))
        else { return nil }
        let start = 1 + EpochID.byteCount
        self.bytes = bytes
        self.epoch = epoch
        granter = Nodes.text(bytes[start..<start + Nodes.byteCount])
        receiver = Nodes.text(bytes[start + Nodes.byteCount..<start + 2 * Nodes.byteCount])
    }

    /// The epoch; nil when the grant is for another node or group, was changed, or `granter` did not sign
    /// it.
    ///
    /// - Parameter granter: the key of the node ``granter``, whom the caller lets begin epochs.
    package func open(with key: NodeKey, in group: GroupSecret, granter: PublicKey) -> Epoch? {
        let (head, wrapped, signature) = parts
        guard granter.node == self.granter, key.publicKey.node == receiver,
            granter.hasSigned(Self.context(head, group) + wrapped, signature),
            let agreement = try? key.agreementKey(),
            let secret = HybridEncryption.open(
                wrapped, with: agreement, info: Self.context(head, group))
        else { return nil }
        return Epoch(id: epoch, secret: secret)
    }

    private var parts: (head: [UInt8], wrapped: [UInt8], signature: [UInt8]) {
        let end = bytes.count - 64
        let start = end - Self.wrappedBytes
        return (Array(bytes[..<start]), Array(bytes[start..<end]), Array(bytes[end...]))
    }

    private static func context(_ head: [UInt8], _ group: GroupSecret) -> [UInt8] {
        Array("starling epoch grant 1".utf8) + group.relayGroup.bytes + head
    }
}

/// Ids of nodes: 32 hexadecimal digits outside, 16 bytes inside.
enum Nodes {
    static let byteCount = 16

    static func bytes(_ node: String) -> [UInt8]? {
        guard node.utf8.count == 2 * byteCount else { return nil }
        return Hex.bytes(node)
    }

    static func text(_ bytes: some Sequence<UInt8>) -> String { Hex.text(bytes) }
}
