// Which file a group goes on from when all its members wait for a copy.

internal import CausalModel
internal import Store
internal import Wire

extension SyncEngine {
    /// Whether this replica could be what a group goes on from: it is a writer by its own list, and has taken
    /// part; and, while it waits for a copy, sees all without whom it would not go on. Of those who cannot
    /// nobody waits for the word: who has but half a list is no peer of some of the others.
    var canLead: Bool {
        guard let known = membership?() else { return true }
        let node = configuration.node
        // The founder's file from before its first number has nothing but the list.
        let hasPast =
            own?.isJoining != true || replica.joiningVector?.isEmpty == false
            || !replica.hasCopyBegun && known.origins?[node] != nil
        guard known.roles[node] == .writer, hasPast else { return false }
        return own?.isJoining != true || isBroken(.unseenDecides)
            || others(known).allSatisfy { active($0) != nil }
    }

    /// The writers who may be ahead of this replica. A copy that has begun tells of some before it tells of
    /// others; and who does not take part by its own list may have been away when others did.
    private func others(_ known: Membership) -> [String] {
        let node = configuration.node
        let isKnown = !replica.hasCopyBegun && known.origins?[node] != nil
        let all = isKnown ? Array((known.origins ?? [:]).keys) : Array(known.roles.keys)
        // Readers can let nobody in: what they have beyond this file stays there, as what nobody takes.
        return all.filter { $0 != node && known.roles[$0] != .reader }
    }

    private func active(_ node: String) -> StatementMessage? {
        sortedLinks.last { $0.isActive && $0.node == node }?.session.stated
    }

    /// Whether the group goes on from this file. Nobody else takes part whose changes are taken, as far as it
    /// knows: all others wait for a copy as well, each of them is here to say so, and this node is the first
    /// of them. And it has said for a moment that it can: another may have come to see the same.
    func mayLead(_ known: Membership, _ now: Milliseconds) -> Bool {
        let others = others(known)
        guard canLead, others.isEmpty || now >= leadAt else { return false }
        return others.allSatisfy { other in
            guard let stated = active(other) else { return false }
            if stated.joined != nil { return !stated.canLead }
            return stated.vector.isEmpty && (isDecider(over: other) || !stated.canLead)
        }
    }

    /// Notes since when this replica says that it can lead.
    func noteLeading(_ present: Manner, _ now: Milliseconds) {
        guard present.canLead, manner?.canLead != true else { return }
        leadAt = now + SyncLimits.leadGraceMilliseconds
    }
}
