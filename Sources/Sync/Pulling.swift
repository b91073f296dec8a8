// From whom to fetch, and when. Bulk rows come from one peer at a time; a peer that brings nothing
// for ten seconds gives way to the next.

internal import CausalModel
internal import Store
internal import Wire

extension SyncEngine {
    /// Sends the requests whose turn has come.
    func schedulePulls(_ now: Milliseconds) {
        guard let own, mayPull(own) else { return }
        for peer in sortedLinks where peer.isActive && peer.told != nil && mayWrite(peer) {
            recheck(peer, own, now)
            // Nothing to fetch: say so at once, to be sent what comes later.
            if peer.pull == .waiting, !peer.hasNews(for: own) {
                peer.pull = .done
                request(peer, base: own.vector, resume: nil, isFetch: false, now)
            }
        }
        let waiting = sortedLinks.filter {
            $0.isActive && $0.told != nil && $0.pull == .waiting && !isBlocked($0, now)
                && mayWrite($0) && mayCopy($0, own, now)
        }
        guard let next = waiting.first else { return }
        if let pulling, let current = links[pulling] {
            guard now - current.progressAt >= SyncLimits.pullStuckMilliseconds else { return }
        }
        fetch(from: next, own, now)
    }

    /// Whether a replica that waits for its copy may take it from this peer.
    private func mayCopy(_ peer: PeerLink, _ own: ReplicaSummary, _ now: Milliseconds) -> Bool {
        guard own.isJoining, let copyWanted, now < copyWanted.until else { return true }
        return peer.node == copyWanted.node
    }

    /// A copy that has come to its end is settled before anything else is asked for.
    func mayPull(_ own: ReplicaSummary) -> Bool { !own.isJoining || own.vector.isEmpty }

    /// A safety net: what a peer has and does not bring is asked for again.
    private func recheck(_ peer: PeerLink, _ own: ReplicaSummary, _ now: Milliseconds) {
        guard now >= peer.checkAt else { return }
        peer.checkAt = now + SyncLimits.checkMilliseconds
        // A delta that is under way may just be slow.
        let patience =
            peer.session.incoming == nil
            ? SyncLimits.pullStuckMilliseconds : 2 * SyncLimits.checkMilliseconds
        guard peer.pull != .waiting, peer.hasNews(for: own), peer.inbox.isEmpty,
            now - peer.progressAt >= patience
        else { return }
        pullEnded(peer)
        peer.pull = .waiting
    }

    /// Whether a delta of this peer is on its way here. A sender that gives one up in the middle, since what
    /// was in it has come by another way, does not say so.
    func isReceiving(_ peer: PeerLink, _ now: Milliseconds) -> Bool {
        guard let delta = peer.session.incoming else { return false }
        return now - peer.progressAt < SyncLimits.pullStuckMilliseconds
            || own?.vector.covers(delta.header.snapshot) != true
    }

    /// Whether the rows of a delta arrive right now.
    func hasFreshRows(_ now: Milliseconds) -> Bool {
        links.values.contains {
            $0.session.incoming != nil && now - $0.progressAt < SyncLimits.pullStuckMilliseconds
        }
    }

    private func isBlocked(_ peer: PeerLink, _ now: Milliseconds) -> Bool {
        peer.pushBlockedUntil.map { $0 > now } ?? false
    }

    private func fetch(from peer: PeerLink, _ own: ReplicaSummary, _ now: Milliseconds) {
        guard let source = peer.session.stated?.origin else { return }
        do {
            var resume = try replica.resumePoint(from: source)
            if let point = resume, point.receiver != own.origin || own.vector.covers(point.snapshot)
            {
                resume = nil
            }
            peer.pull = .requested
            peer.progressAt = now
            pulling = peer.id
            request(peer, base: resume?.base ?? own.vector, resume: resume, isFetch: true, now)
        } catch {
            trouble(error, peer, now)
        }
    }

    private func request(
        _ peer: PeerLink, base: VersionVector, resume: ResumePoint?, isFetch: Bool,
        _ now: Milliseconds
    ) {
        let want = WantMessage(
            base: base, isFetch: isFetch, resume: resume.map { ResumeMessage($0) })
        send(.want(want), peer, now)
    }

    /// The rows that were asked for are here, or there were none.
    func pullEnded(_ peer: PeerLink) {
        if peer.pull == .requested { peer.pull = .done }
        if pulling == peer.id { pulling = nil }
    }
}
