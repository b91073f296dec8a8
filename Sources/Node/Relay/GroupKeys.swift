// The keys with which entries are sealed: which epochs this node holds, who is granted which, and when a
// new one begins. The same whether the node runs or not.

internal import RelayClient
internal import RelayProtocol
internal import Store
internal import Sync
internal import Trust

/// The group's epochs as this node knows them.
///
/// A group begins in the epoch that follows from its secret. Whoever removes a member makes the next one
/// and grants it to all who remain, in the shared table and in the relay's log; what is written afterwards
/// cannot be read by the removed member, which was granted nothing.
final class GroupKeys {
    private let home: Home
    private let key: NodeKey
    private let members: Members
    let table: GroupTable
    private(set) var book: EpochBook
    /// Grants that stood in the log, of granters that were not known then.
    private var waiting: [EpochGrant] = []
    private static let waitingMax = 1_024

    init(home: Home, key: NodeKey, members: Members, replica: Replica) throws {
        self.home = home
        self.key = key
        self.members = members
        table = try GroupTable(replica: replica)
        book = try EpochBook(of: home)
        if let secret = table.secret { try openGrants(secret) }
    }

    private var node: String { key.publicKey.node }

    /// The key of a member, or this node's.
    func publicKey(of node: String) -> PublicKey? {
        if node == key.publicKey.node { return members.ownRole == nil ? nil : key.publicKey }
        if let member = members.byNode[node] { return member.key }
        return members.introducer?.key.node == node ? members.introducer?.key : nil
    }

    /// All epochs that are held, the base epoch among them.
    func held(_ secret: GroupSecret) -> [Epoch] { [secret.baseEpoch] + book.epochs }

    /// The epoch in which to write.
    func current(_ secret: GroupSecret) -> Epoch {
        held(secret).max { $0.id < $1.id } ?? secret.baseEpoch
    }

    /// The newest epoch that anybody was granted, whether this node was or not.
    func newest(_ secret: GroupSecret) -> EpochID {
        (table.grants.map(\.epoch) + [current(secret).id]).max() ?? secret.baseEpoch.id
    }

    // MARK: Taking

    /// Opens the grants for this node that it does not hold yet.
    ///
    /// - Returns: whether there is a new epoch.
    @discardableResult
    func openGrants(_ secret: GroupSecret) throws -> Bool {
        var hasNew = false
        for grant in table.grants + waiting where grant.receiver == node {
            guard !book.epochs.contains(where: { $0.id == grant.epoch }),
                let granter = publicKey(of: grant.granter),
                let epoch = grant.open(with: key, in: secret, granter: granter)
            else { continue }
            book.add(epoch)
            hasNew = true
        }
        waiting.removeAll { grant in book.epochs.contains { $0.id == grant.epoch } }
        if hasNew { try book.save(to: home) }
        return hasNew
    }

    /// Grants that stood in the log.
    func take(_ grants: [[UInt8]], _ secret: GroupSecret) throws -> Bool {
        for bytes in grants {
            guard let grant = EpochGrant(decoding: bytes), grant.receiver == node,
                waiting.count < Self.waitingMax, !waiting.contains(grant)
            else { continue }
            waiting.append(grant)
        }
        return try openGrants(secret)
    }

    // MARK: Giving

    /// Begins an epoch that only the present members have. Nothing to do for a group without a relay.
    func beginEpoch() throws {
        guard let secret = table.secret, members.ownRole == .writer else { return }
        let (next, isOver) = newest(secret).number.addingReportingOverflow(1)
        guard !isOver else { return }
        let epoch = Epoch(number: next)
        // Held before it is granted: a grant that is out is an epoch that this node writes in.
        book.add(epoch)
        try book.save(to: home)
        try table.add(try grants(of: epoch, for: members.byNode.values.map(\.key), secret))
    }

    private func grants(
        of epoch: Epoch, for receivers: [PublicKey], _ secret: GroupSecret
    ) throws -> [EpochGrant] {
        try receivers.map { receiver in
            do throws(TrustError) {
                return try EpochGrant.make(epoch, for: receiver, in: secret, by: key)
            } catch {
                throw NodeError(.failed, "cannot grant a key: \(error)", cause: error)
            }
        }
    }

    /// Members that lack a grant of an epoch that this node holds.
    func ungranted(_ secret: GroupSecret) -> [(epoch: Epoch, receiver: PublicKey)] {
        guard members.ownRole == .writer else { return [] }
        let granted = Set(table.grants.map(EpochBook.name))
        return book.epochs.flatMap { epoch in
            members.others.compactMap { member in
                let name = Hex.text(epoch.id.encoded) + "/" + member.node
                return granted.contains(name) ? nil : (epoch, member.key)
            }
        }
    }

    /// Grants what newcomers lack.
    func grantMissing(_ secret: GroupSecret, onlyIntroduced: Bool) throws {
        var made: [EpochGrant] = []
        for (epoch, receiver) in ungranted(secret) {
            if onlyIntroduced, members.byNode[receiver.node]?.introducer != node { continue }
            made += try grants(of: epoch, for: [receiver], secret)
        }
        try table.add(made)
    }

    /// Whether somebody who is no member any more was granted the newest epoch: two removals crossed.
    func isCurrentKnownToRemoved(_ secret: GroupSecret) -> Bool {
        let newest = newest(secret)
        return table.grants.contains {
            $0.epoch == newest && $0.receiver != node && members.byNode[$0.receiver] == nil
        }
    }

    // MARK: The log

    /// Grants of this node that the log has not been told.
    func unannounced() -> [EpochGrant] {
        table.grants.filter {
            $0.granter == node && $0.receiver != node
                && !book.announced.contains(EpochBook.name($0))
        }
    }

    /// Grants of this node stand in the log.
    func noteAnnounced(_ grants: [[UInt8]]) throws {
        book.announce(grants.compactMap { EpochGrant(decoding: $0) })
        try book.save(to: home)
    }

    /// They stand in another log, if anywhere.
    func forgetAnnounced() throws {
        guard !book.announced.isEmpty else { return }
        book.forgetAnnounced()
        try book.save(to: home)
    }

    func note(credential: EpochID) throws {
        guard book.credential != credential else { return }
        book.credential = credential
        try book.save(to: home)
    }
}
