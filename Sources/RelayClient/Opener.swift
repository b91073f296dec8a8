// Opens sealed entries, or says why not. What comes from a relay can be anything at all.

internal import Codec
internal import RelayProtocol
package import Trust

/// Why an entry was not opened.
package struct OpeningError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Also the words under which a status counts them.
    package enum Reason: String, Sendable, CaseIterable {
        /// Sealed by a newer program, or so it says: nothing proves it.
        case unknownVersion
        /// Made for another group or another key of the log, or its head was changed, or never sealed at
        /// all.
        case foreign
        /// Of this group and for this key, in an epoch whose secret this node does not hold.
        case unknownEpoch
        /// Its bytes were changed.
        case tampered
        /// The author is no member, or none any more.
        case notMember
        /// The author that it names did not sign it.
        case wrongSignature
        /// Whole, but of a purpose that is not read in this place.
        case wrongPurpose
        /// Longer than the caller allows, packed or unpacked.
        case tooLarge
        /// Signed by a member, and of a form that this program does not know.
        case malformed
    }

    package var reason: Reason
    /// The epoch that the entry names, as soon as the group's tag proves that a member named it.
    package var epoch: EpochID?
    /// The author that the entry names, once it was decrypted.
    package var author: String?

    package init(_ reason: Reason, epoch: EpochID? = nil, author: String? = nil) {
        self.reason = reason
        self.epoch = epoch
        self.author = author
    }

    package var description: String {
        switch reason {
        case .unknownVersion:
            "an entry was sealed by a newer version of Starling: update this node"
        case .foreign: "an entry was not made for this group and place"
        case .unknownEpoch: "an entry waits for the key of epoch \(epoch?.number ?? 0)"
        case .tampered: "an entry was changed after it was sealed"
        case .notMember: "an entry is of a node that is no member"
        case .wrongSignature: "an entry was not signed by the node that it names"
        case .wrongPurpose: "an entry stands where entries of its kind do not belong"
        case .tooLarge: "an entry is larger than this node takes"
        case .malformed: "an entry has a form that this node does not know: update it"
        }
    }
}

/// Opens entries of one group in the epochs that this node holds.
package struct Opener: Sendable {
    private let groupName: GroupName
    private let tagKey: [UInt8]
    package private(set) var epochs: [EpochID: Epoch]

    /// An opener with the group's base epoch.
    package init(group: GroupSecret) {
        groupName = group.relayGroup
        tagKey = group.tagKey
        let base = group.baseEpoch
        epochs = [base.id: base]
    }

    package mutating func add(_ epoch: Epoch) { epochs[epoch.id] = epoch }

    /// The epoch in which to write: the greatest that is held.
    package var current: Epoch {
        guard let greatest = epochs.values.max(by: { $0.id < $1.id }) else {
            preconditionFailure("the base epoch is always held")
        }
        return greatest
    }

    /// The content of an entry.
    ///
    /// Nothing is unpacked before the author's signature was verified, and nothing beyond `bodyBytesMax`
    /// is allocated, whatever the entry claims. Cost: one pass of HMAC over the head alone until the
    /// group is proved.
    ///
    /// - Parameters:
    ///   - key: the entry's key in the log.
    ///   - purposes: those that are read in this place.
    ///   - publicKey: the key of a node, if it may write in this epoch; nil refuses the entry.
    package func open(
        _ sealed: [UInt8], key: [UInt8], purposes: Set<EntryPurpose>, bodyBytesMax: Int,
        publicKey: (_ node: String, _ epoch: EpochID) -> PublicKey?
    ) throws(OpeningError) -> SealedContent {
        guard let version = sealed.first else { throw OpeningError(.foreign) }
        guard version == SealedForm.version else { throw OpeningError(.unknownVersion) }
        guard sealed.count >= SealedForm.overheadBytes, Framing.keyBytes.contains(key.count) else {
            throw OpeningError(.foreign)
        }
        let head = Array(sealed[..<SealedForm.headBytes])
        let tag = Array(sealed[SealedForm.headBytes..<SealedForm.headBytes + SealedForm.tagBytes])
        let encoded = Array(head[1..<1 + EpochID.byteCount])
        guard areEqual(tag, SealedForm.tag(head: head, key: key, tagKey: tagKey)),
            let id = EpochID(encoded: encoded)
        else { throw OpeningError(.foreign) }
        guard let epoch = epochs[id] else { throw OpeningError(.unknownEpoch, epoch: id) }
        // Packing never makes a body longer, and padding adds an eighth at most.
        let roomMax =
            (bodyBytesMax + RelayClientLimits.headerBytesMax + RelayClientLimits.paddedBytesMin) / 8
            * 9
        guard sealed.count <= roomMax + SealedForm.overheadBytes else {
            throw OpeningError(.tooLarge, epoch: id)
        }
        let (secret, nonce) = epoch.entryKey(
            salt: Array(head[(1 + EpochID.byteCount)...]), group: groupName)
        let plain = ChaChaPoly.open(
            Array(sealed[(SealedForm.headBytes + SealedForm.tagBytes)...]), key: secret,
            nonce: nonce,
            authenticating: SealedForm.context(head: head, tag: tag, group: groupName, key: key))
        guard let plain else { throw OpeningError(.tampered, epoch: id) }
        guard let (entry, signed, signature) = PlainEntry.decode(plain) else {
            throw OpeningError(.malformed, epoch: id)
        }
        let author = Nodes.text(entry.author)
        guard let member = publicKey(author, id), member.node == author else {
            throw OpeningError(.notMember, epoch: id, author: author)
        }
        let statement = SealedForm.statement(
            head: head, group: groupName, key: key, signed: signed)
        guard member.hasSigned(statement, signature) else {
            throw OpeningError(.wrongSignature, epoch: id, author: author)
        }
        return try Self.content(entry, author: author, id, purposes, bodyBytesMax)
    }

    private static func content(
        _ entry: PlainEntry, author: String, _ epoch: EpochID, _ purposes: Set<EntryPurpose>,
        _ bodyBytesMax: Int
    ) throws(OpeningError) -> SealedContent {
        guard purposes.contains(entry.purpose) else {
            throw OpeningError(.wrongPurpose, epoch: epoch, author: author)
        }
        var body = entry.payload
        if entry.isPacked {
            do { body = try Zstandard.decompress(entry.payload, limit: bodyBytesMax) } catch {
                throw OpeningError(
                    error.code == .tooLarge ? .tooLarge : .malformed, epoch: epoch, author: author)
            }
        }
        guard body.count <= bodyBytesMax, entry.header.count <= RelayClientLimits.headerBytesMax
        else { throw OpeningError(.tooLarge, epoch: epoch, author: author) }
        return SealedContent(
            purpose: entry.purpose, author: author, epoch: epoch, header: entry.header, body: body)
    }
}
