// Where members stand that this node is not linked with: it asks its peers, who pass on what they have
// heard. What is passed on is a true statement, only older, so that it is as good as one that was heard
// here: rows are collected by it, and nobody counts as absent whom some peer still meets.

internal import CausalModel
internal import Store
package import Wire

/// When peers are asked about others.
struct AskingState {
    var dueAt: Milliseconds?
    var gap = SyncLimits.askMilliseconds.lowerBound
    var lastAt: Milliseconds?
    /// Asked up to here in the order of node ids; the list goes round.
    var last = ""
}

extension SyncEngine {
    // MARK: Asking

    /// Deleted rows are kept, or something was learned of others: peers are asked soon.
    func wantReports(_ now: Milliseconds) {
        guard collectsDeletedRows, membership?() != nil else { return }
        asking.gap = SyncLimits.askMilliseconds.lowerBound
        let earliest = (asking.lastAt ?? now) + asking.gap
        asking.dueAt = min(asking.dueAt ?? .max, earliest)
    }

    /// Asks linked peers about members that are not linked, if it is time.
    func askForReports(_ now: Milliseconds) {
        guard collectsDeletedRows, let known = membership?(), own?.isJoining == false else {
            asking.dueAt = nil
            return
        }
        guard let due = asking.dueAt else {
            asking.dueAt = now + asking.gap
            return
        }
        guard due <= now else { return }
        asking.lastAt = now
        let asked = unlinkedMembers(known)
        for peer in sortedLinks where peer.isActive && peer.told != nil && !asked.isEmpty {
            send(.ask(asked), peer, now)
        }
        asking.last = asked.last ?? ""
        asking.gap = min(2 * asking.gap, SyncLimits.askMilliseconds.upperBound)
        asking.dueAt = now + asking.gap
    }

    /// Members that take part and are not linked, after the last that was asked for.
    private func unlinkedMembers(_ known: Membership) -> [String] {
        let linked = Set(links.values.map(\.node))
        let away = known.roles.keys.filter {
            $0 != configuration.node && !linked.contains($0)
                && (known.origins == nil || known.origins?[$0] != nil)
        }
        .sorted()
        let next = away.filter { $0 > asking.last } + away.filter { $0 <= asking.last }
        return Array(next.prefix(WireLimits.reportsMax))
    }

    // MARK: Answering

    /// Says what this node has heard of `nodes`.
    func answer(_ nodes: [String], _ peer: PeerLink, _ now: Milliseconds) throws {
        guard own?.isJoining == false, now >= peer.answerAt else { return }
        peer.answerAt = now + SyncLimits.answerMilliseconds
        let asked = Set(nodes)
        let found = try reports(now) { asked.contains($0) && $0 != peer.node }
        if !found.isEmpty { send(.reports(found), peer, now) }
    }

    /// What was heard of the linked members, for whoever does not meet them.
    package func reportsOfLinked(_ now: Milliseconds) throws -> [StatementReport] {
        let linked = Set(links.values.filter(\.isActive).map(\.node))
        return try reports(now) { linked.contains($0) }
    }

    private func reports(
        _ now: Milliseconds, about isAsked: (String) -> Bool
    ) throws -> [StatementReport] {
        // What waits to be noted is noted first.
        noteStatements(now)
        let linked = Set(links.values.filter(\.isActive).map(\.node))
        return try replica.peerStatements().filter { isAsked($0.node) }.prefix(
            WireLimits.reportsMax
        )
        .compactMap { said in
            guard let origin = said.origin else { return nil }
            return StatementReport(
                node: said.node, name: said.name, origin: origin, vector: said.vector,
                ageMilliseconds: linked.contains(said.node) ? 0 : max(0, said.ageMilliseconds))
        }
    }

    // MARK: Taking

    /// Notes what others have heard of members that are not linked here.
    ///
    /// Only what this replica has itself is noted: a statement beyond it would not count, and nobody can make
    /// it keep vectors that it does not know.
    package func take(_ reports: [StatementReport], _ now: Milliseconds) throws {
        guard let known = membership?(), let own, !own.isJoining else { return }
        var hasLearned = false
        for report in reports where report.node != configuration.node {
            guard let role = known.roles[report.node],
                known.origins == nil || known.origins?[report.node] == report.origin,
                !links.values.contains(where: { $0.node == report.node })
            else { continue }
            var vector: VersionVector? = report.vector
            if role == .reader {
                // What a reader wrote itself goes nowhere, and says nothing.
                vector?.meet(own.vector)
            } else if !own.vector.covers(report.vector) {
                vector = nil
            }
            let isNew = try replica.noteReport(
                of: report.node, name: report.name, origin: report.origin, vector: vector,
                ageMilliseconds: report.ageMilliseconds)
            hasLearned = hasLearned || isNew
        }
        guard hasLearned else { return }
        wantCollection(now)
        // Whoever asks this node next learns it, too.
        wantReports(now)
    }
}
