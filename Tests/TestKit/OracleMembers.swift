// The member list of the model: who counts for stability, and who is heard. A change of it has a dot
// like any other change; a list travels whole with a delta and is taken over with the vector.

package import CausalModel

/// One change of the member list.
package struct OracleMemberChange: Hashable, Sendable {
    /// Nil for those who founded the group.
    package var dot: Dot?
    /// The replica that comes, goes, or comes back.
    package var replica: Int
    /// The origin that a JOIN lets in.
    package var joined: Origin?
    /// The origin that is removed: by an eviction, or by the JOIN that replaces it.
    package var removed: Origin?
    /// Ghost: the index of the event.
    package var event: Int?
}

/// A set of origins that grows in both halves, joined and removed: removal wins, for ever.
package struct OracleMembers: Hashable, Sendable {
    package private(set) var changes: [OracleMemberChange] = []

    package init() {}

    package func isRemoved(_ origin: Origin) -> Bool { changes.contains { $0.removed == origin } }

    package func contains(_ origin: Origin) -> Bool {
        changes.contains { $0.joined == origin } && !isRemoved(origin)
    }

    /// The replicas that count for stability, each with its origin.
    package var present: [(replica: Int, origin: Origin)] {
        changes.compactMap { change in
            guard let origin = change.joined, !isRemoved(origin) else { return nil }
            return (change.replica, origin)
        }
    }

    /// The dots of all removals.
    package var removals: [Dot] { changes.compactMap { $0.removed == nil ? nil : $0.dot } }

    package mutating func insert(_ change: OracleMemberChange) { changes.append(change) }

    /// Takes over what `other` has more, and returns it.
    package mutating func join(_ other: OracleMembers) -> [OracleMemberChange] {
        if changes == other.changes { return [] }
        let more = other.changes.filter { !changes.contains($0) }
        changes += more
        return more
    }
}

extension OracleReplica {
    /// True from the JOIN of this replica until its copy ended: its vector does not cover the JOIN.
    package var isAwaitingCopy: Bool { !members.contains(origin) && !members.isRemoved(origin) }

    /// Whether a live dot of `origin` lies beyond the vector.
    func hasHalfReceived(_ origin: Origin) -> Bool {
        rows.contains { $0.context[origin] > vector[origin] }
    }

    /// Takes over a member list whose changes the vector covers.
    mutating func learn(_ list: OracleMembers) -> [OracleMemberChange] {
        let more = members.join(list)
        // What an earlier origin of the same replica stated is no statement of the new one.
        for change in more where change.joined != nil && change.dot != nil {
            statements[change.replica] = VersionVector()
        }
        return more
    }

    /// The part of a copy that is silent in its rows: rows that the sponsor has collected.
    mutating func takeSilence(_ copy: OracleCopy) {
        floor = copy.floor
        for (row, merged) in copy.gone where rows[row].kernel.isEmpty {
            rows[row].merged.formUnion(merged)
            // A row that another sponsor's half copy brought is still there.
            var silent = merged
            silent.formIntersection(copy.collected)
            collected.formUnion(silent)
        }
    }
}

/// What goes with a delta from nothing, for a newcomer.
package struct OracleCopy: Sendable {
    package var floor: VersionVector
    /// Ghost: what the sponsor had collected.
    package var collected: EventSet
    /// Ghost: per row that is not there what was merged into it.
    package var gone: [(row: Int, merged: EventSet)]

    init(of sponsor: OracleReplica) {
        floor = sponsor.floor
        collected = sponsor.collected
        gone = sponsor.rows.indices.compactMap { row in
            let held = sponsor.rows[row]
            return held.kernel.isEmpty && !held.merged.isEmpty ? (row, held.merged) : nil
        }
    }
}
