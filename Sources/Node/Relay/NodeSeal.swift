// Seals and opens entries for the forwarder, with the group's epochs and the members' keys.

internal import RelayClient
internal import RelayProtocol
internal import Store
internal import Sync
internal import Trust
internal import Wire

final class NodeSeal: LogSeal {
    private let secret: GroupSecret
    private let keys: GroupKeys
    private let members: Members
    private let sealer: Sealer
    private var opener: Opener
    /// Epochs of entries that could not be opened.
    private(set) var missing: Set<EpochID> = []
    /// How many epochs of the book are in the opener.
    private var taken = 0

    init(secret: GroupSecret, keys: GroupKeys, members: Members, key: NodeKey) {
        self.secret = secret
        self.keys = keys
        self.members = members
        sealer = Sealer(group: secret, author: key)
        opener = Opener(group: secret)
        takeEpochs()
    }

    /// Takes up epochs that are held by now.
    private func takeEpochs() {
        guard taken != keys.book.epochs.count else { return }
        taken = keys.book.epochs.count
        for epoch in keys.book.epochs { opener.add(epoch) }
        missing = missing.filter { id in opener.epochs[id] == nil }
    }

    private static func purpose(_ purpose: LogPurpose) -> EntryPurpose {
        switch purpose {
        case .message: .deltaPart
        case .grants: .keyEntry
        case .snapshot: .snapshotPart
        }
    }

    func seal(_ message: [UInt8], purpose: LogPurpose, key: [UInt8]) throws -> [UInt8] {
        takeEpochs()
        // Grants are for those who have no epoch yet.
        let epoch = purpose == .grants ? secret.baseEpoch : opener.current
        return try sealer.seal(Self.purpose(purpose), body: message, key: key, epoch: epoch)
    }

    func open(_ entry: LogEntry, purposes: Set<LogPurpose>) -> LogOpening {
        takeEpochs()
        do throws(OpeningError) {
            let content = try opener.open(
                entry.content, key: entry.key, purposes: Set(purposes.map(Self.purpose)),
                bodyBytesMax: WireLimits.logMessageBytesMax,
                publicKey: { [keys] node, _ in keys.publicKey(of: node) })
            return .opened(author: content.author, message: content.body)
        } catch {
            return .refused(refusal(error))
        }
    }

    private func refusal(_ error: OpeningError) -> LogRefusal {
        switch error.reason {
        case .unknownVersion: return .unknownVersion
        case .foreign: return .foreign
        case .tampered, .wrongSignature: return .tampered
        case .wrongPurpose, .malformed: return .malformed
        case .tooLarge: return .tooLarge
        case .unknownEpoch:
            if let epoch = error.epoch, missing.count < 64 { missing.insert(epoch) }
            return .unknownEpoch
        case .notMember:
            let wasMember = error.author.flatMap { try? members.wasMember($0) } ?? false
            return wasMember ? .removed : .stranger
        }
    }
}
