// Who may exchange what: the engine asks before it sends, and again after each change of the replica.

package import CausalModel
internal import Wire

/// The members of the group as this replica knows them.
package struct Membership: Sendable, Equatable {
    package enum Role: String, Sendable {
        /// Its changes are everybody's.
        case writer
        /// It is sent everything; nothing is taken from it.
        case reader
    }

    /// By node; this node's own, once it is known to be a member.
    package var roles: [String: Role]
    /// The dots by which members were removed, or made readers, or joined; any more changes of the list
    /// do no harm.
    package var removals: VersionVector
    /// The origin under which each member has joined; nil when nobody keeps count, and whoever is a
    /// member takes part.
    package var origins: [String: Origin]?
    /// The dots by which the list says that this node has joined under its origin, and under the one that
    /// is listed.
    package var joins: [Origin: [Dot]]

    package init(
        roles: [String: Role], removals: VersionVector = VersionVector(),
        origins: [String: Origin]? = nil, joins: [Origin: [Dot]] = [:]
    ) {
        self.roles = roles
        self.removals = removals
        self.origins = origins
        self.joins = joins
    }

    /// What becomes of the origins whose authors are known. Nothing more is taken of an origin that is
    /// over: its author is no writer, or has joined under another since it joined under that one; so may
    /// `node` itself, but under `present`. The author of an active one, which is another node, will tell
    /// what it wrote under it.
    package func sortOrigins(
        authors: [Origin: String], joined: Set<Origin>, at node: String, under present: Origin
    ) -> (over: [Origin], active: Set<Origin>) {
        let over = authors.filter { origin, author in
            let listed = origins?[author]
            let isReplaced = joined.contains(origin) && listed != origin
            if author == node { return isReplaced && listed != nil && origin != present }
            return roles[author] != .writer || isReplaced
        }
        let others = authors.filter { $0.value != node }
        return (over.keys.sorted(), Set(others.keys).subtracting(over.keys))
    }
}

extension SyncEngine {
    /// Cuts the links of those who are no members (any more), at once and without a word.
    func cutStrangers(_ now: Milliseconds) {
        guard let members = membership?() else { return }
        if book.members != members.roles { book.members = members.roles }
        for peer in sortedLinks where !isMember(peer, members) { cut(peer, now) }
    }

    /// Whether a byte may go to this peer. Every frame asks.
    func isMember(_ peer: PeerLink) -> Bool {
        membership?().map { isMember(peer, $0) } ?? true
    }

    private func isMember(_ peer: PeerLink, _ members: Membership) -> Bool {
        guard let node = peer.authenticated ?? peer.session.peer?.node else { return true }
        return node == configuration.node || members.roles[node] != nil
    }

    /// Ends the link without another byte.
    func cut(_ peer: PeerLink, _ now: Milliseconds) {
        peer.link.abort()
        forget(
            peer, reason: "\(peer.name) is no member of this group any more", refusal: .notMember,
            now)
    }

    /// Whether changes of this peer are taken: not before it says by whose word it takes part, which decides
    /// how it stands.
    func mayWrite(_ peer: PeerLink) -> Bool {
        guard let members = membership?() else { return true }
        let hasSaidSo = members.origins == nil || peer.session.stated?.joined != nil
        return members.roles[peer.node] == .writer && standing(of: peer) == .joined
            && (hasSaidSo || isBroken(.copyOfRemovedCounts))
    }
}
