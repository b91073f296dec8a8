// Makes sealed entries: signed by their author, encrypted with a key of the epoch, padded.

internal import RelayProtocol
package import Trust

/// The form of a sealed entry:
///
///     sealed = head  tag (16)  ciphertext
///     head   = 01  epoch (20)  salt (32)
///     tag    = HMAC-SHA-256 of head and the entry's key, with a key of the group's secret, cut
///
/// The ciphertext is ChaCha20-Poly1305 (RFC 8439) under a key of the epoch and the salt, with the head,
/// the tag, the group and the entry's key as associated data. The relay sees the version, the epoch
/// and the padded size; purpose, author and content are inside.
enum SealedForm {
    static let version: UInt8 = 1
    static let saltBytes = 32
    static let tagBytes = 16
    static let headBytes = 1 + EpochID.byteCount + saltBytes
    static let overheadBytes = headBytes + tagBytes + ChaChaPoly.tagBytes

    static func tag(head: [UInt8], key: [UInt8], tagKey: [UInt8]) -> [UInt8] {
        Array(hmacSHA256(key: tagKey, head + key).prefix(tagBytes))
    }

    /// What the ciphertext is bound to. Every part but the last has a fixed length.
    static func context(head: [UInt8], tag: [UInt8], group: GroupName, key: [UInt8]) -> [UInt8] {
        head + tag + group.bytes + key
    }

    /// What the author signs: this content in this place, and nowhere else.
    static func statement(
        head: [UInt8], group: GroupName, key: [UInt8], signed: [UInt8]
    ) -> [UInt8] {
        Array("starling sealed entry 1".utf8) + sha256(head + group.bytes + key) + sha256(signed)
    }
}

/// Seals what one node writes.
package struct Sealer {
    /// How an entry's salt is chosen.
    package enum Salt: Sendable {
        /// The same key, epoch and content give the same bytes, so that an entry whose append was lost
        /// can be made again and is *known* to the relay. Nothing is told by it that the entry's
        /// key does not tell. Another version of Zstandard may give other bytes: a key conflict
        /// stays possible, and is resolved by another key.
        case repeatable
        case random
    }

    private let group: GroupSecret
    private let groupName: GroupName
    private let tagKey: [UInt8]
    private let author: NodeKey
    private let node: [UInt8]

    package init(group: GroupSecret, author: NodeKey) {
        self.group = group
        self.author = author
        groupName = group.relayGroup
        tagKey = group.tagKey
        guard let node = Nodes.bytes(author.publicKey.node) else {
            preconditionFailure("a node's id has 16 bytes")
        }
        self.node = node
    }

    /// An entry's content for the relay.
    ///
    /// - Parameters:
    ///   - header: up to ``RelayClientLimits/headerBytesMax``; never packed.
    ///   - body: up to ``RelayClientLimits/bodyBytesMax``; packed with Zstandard where that helps.
    ///   - key: the entry's key in the log, 16 to 64 bytes: the entry is bound to it.
    /// - Throws: ``TrustError`` when OpenSSL fails.
    package func seal(
        _ purpose: EntryPurpose, header: [UInt8] = [], body: [UInt8], key: [UInt8], epoch: Epoch,
        salt choice: Salt = .repeatable
    ) throws(TrustError) -> [UInt8] {
        precondition(Framing.keyBytes.contains(key.count), "a key has 16 to 64 bytes")
        precondition(header.count <= RelayClientLimits.headerBytesMax, "the header is too long")
        precondition(body.count <= RelayClientLimits.bodyBytesMax, "the body is too long")
        let entry = PlainEntry(author: node, purpose: purpose, header: header, body: body)
        let signed = entry.signed
        let salt =
            switch choice {
            case .repeatable: epoch.repeatableSalt(sha256(groupName.bytes + key) + signed)
            case .random: randomBytes(SealedForm.saltBytes)
            }
        let head = [SealedForm.version] + epoch.id.encoded + salt
        var plain = signed
        plain += try author.sign(
            SealedForm.statement(head: head, group: groupName, key: key, signed: signed))
        plain += [UInt8](repeating: 0, count: Padding.padded(plain.count) - plain.count)
        let tag = SealedForm.tag(head: head, key: key, tagKey: tagKey)
        let (secret, nonce) = epoch.entryKey(salt: salt, group: groupName)
        let sealed = try ChaChaPoly.seal(
            plain, key: secret, nonce: nonce,
            authenticating: SealedForm.context(head: head, tag: tag, group: groupName, key: key))
        return head + tag + sealed
    }
}
