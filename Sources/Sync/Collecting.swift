// When deleted rows go for good, and what that means for whoever has not seen them go: between two
// nodes of which one is out of date nothing flows.

internal import CausalModel
package import Store
internal import Wire

extension SyncEngine {
    // MARK: Collecting

    /// Something was learned: look again soon, at most every few seconds.
    func wantCollection(_ now: Milliseconds) {
        guard collectsDeletedRows, membership != nil else { return }
        let earliest = (lastCollectAt ?? .min / 2) + SyncLimits.collectGapMilliseconds
        collectAt = min(collectAt ?? .max, max(now, earliest))
    }

    /// Lets a slice of the deleted rows go that every member has seen, while nothing else is to be done.
    func collect(_ now: Milliseconds) {
        guard let due = collectAt, due <= now else { return }
        collectAt = nil
        guard collectsDeletedRows, own != nil, let known = membership?(),
            known.roles[configuration.node] != nil
        else { return }
        lastCollectAt = now
        guard isIdle(now) else { return wantCollection(now) }
        do {
            let outcome = try replica.collect(known.stabilityGroup(without: configuration.node))
            if outcome.hasMore { collectAt = now + SyncLimits.collectSliceMilliseconds }
            if outcome.keepsRows { wantReports(now) }
            guard outcome.rows > 0 else { return }
            // The floor has risen: the summary tells.
            wantRefresh(at: now)
            onEvent?(.collected(rows: outcome.rows))
        } catch {
            wantCollection(now)
            if !isRetryable(error) { onEvent?(.storeTrouble("\(error)")) }
        }
    }

    /// No delta is on its way and no message waits.
    private func isIdle(_ now: Milliseconds) -> Bool {
        links.values.allSatisfy { peer in
            !isReceiving(peer, now) && peer.outgoing == nil && peer.interrupted == nil
                && peer.inbox.isEmpty && peer.pending.isEmpty
        }
    }

    // MARK: Out of date

    /// Ends the link when one of the two has collected what the other has not seen deleted: rows that
    /// are gone would come back, or stay. True when it did, or will soon.
    ///
    /// Who has nothing at all is given a copy: it has nothing to bring back.
    func refuseOutdated(_ peer: PeerLink, _ now: Milliseconds) throws -> Bool {
        guard let own, let stated = peer.session.stated else { return false }
        // Nothing flows, and who has to take a copy is settled by the list of members.
        guard standing(of: peer) != .outdated, !isBroken(.floorNotChecked) else { return false }
        let had = peer.session.peerHad
        // A node that has nothing takes its copy.
        let isBehind =
            try !own.vector.isEmpty && !own.isJoining && !had.isEmpty
            && !own.vector.covers(stated.floor)
            // Look again before believing it: the summary may be older than what was sent.
            && !replica.summary().vector.covers(stated.floor)
        let isPeerBehind = !had.isEmpty && !had.covers(own.floor)
        // Of two that have counted without each other, one decides, and a writer for a reader.
        let isYielding =
            isBehind && membership?()?.origins != nil && !isDecider(over: peer.node)
        if isPeerBehind && !isYielding || isBehind && outranks(peer) {
            if mayHearFirst(from: peer) {
                peer.isLate = true
                return true
            }
            refuse(peer, outdated(peer.peerNode, configuration.node), now)
            return true
        }
        guard isBehind else { return false }
        let late = outdated(configuration.node, peer.peerNode)
        guard membership?()?.origins != nil else {
            refuse(peer, late, now)
            return true
        }
        // Two that do not know of each other may send this replica from one to the other without end.
        if mayBeSent(by: peer.peerNode, now) {
            try rejoin(because: late.message, sentBy: peer.node, now)
        } else {
            // Not as out of date: whoever hears that takes a copy itself.
            let text = "\(late.message); it waits before another copy"
            refuse(peer, SyncError(.shuttingDown, text), now)
        }
        return true
    }

    private func outdated(_ late: String, _ other: String) -> SyncError {
        SyncError(
            .outOfDate,
            "\(late.prefix(8)) is out of date: it has not seen deletes that \(other.prefix(8)) has already "
                + "forgotten")
    }
}

extension Membership {
    /// Whose statements count for what `node` collects: those of all who take part.
    package func stabilityGroup(without node: String) -> StabilityGroup {
        let others = roles.filter { $0.key != node && (origins == nil || origins?[$0.key] != nil) }
        return StabilityGroup(
            writers: Set(others.filter { $0.value == .writer }.keys),
            readers: Set(others.filter { $0.value == .reader }.keys), origins: origins,
            removals: removals)
    }
}
