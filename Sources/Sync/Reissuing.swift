// When nothing moves any more and rows still lie beyond the vector, what was lost with an origin is
// issued again by the replica that wrote under it.

internal import CausalModel
internal import Store
internal import Wire

extension SyncEngine {
    /// Looks whether the exchange stands still with rows beyond every vector; after half a minute of
    /// that, those of the replica's own lost origins are issued again.
    func reissueLost(_ now: Milliseconds) {
        guard let own, !own.isWhole, isReissuing || isStill(own, now) else {
            stillSince = nil
            isReissuing = false
            return
        }
        let since = stillSince ?? now
        stillSince = since
        guard isReissuing || now - since >= SyncLimits.stillMilliseconds else { return }
        stillSince = now
        let live = links.values.compactMap { $0.session.stated?.origin }
        do {
            let rows = try replica.reissueLost(except: Set(live))
            isReissuing = rows > 0
            guard rows > 0 else { return }
            wantRefresh(at: now)
            onEvent?(.reissued(rows: rows))
        } catch {
            isReissuing = false
            if !isRetryable(error) { onEvent?(.storeTrouble("\(error)")) }
        }
    }

    /// Every peer stands just where this replica does, and nothing is on the way. Where a peer stands is
    /// known from its statements, and from the snapshots that it sent from: it states neither twice. What
    /// a reader has on top is nobody's business.
    private func isStill(_ own: ReplicaSummary, _ now: Milliseconds) -> Bool {
        // Who has not said yet who it is may be anybody, and again and again.
        let peers = links.values.filter { $0.session.phase != .greeting }
        return !peers.isEmpty
            && peers.allSatisfy { peer in
                guard peer.isActive, !isReceiving(peer, now), peer.outgoing == nil,
                    peer.inbox.isEmpty, let stated = peer.session.stated
                else { return false }
                let isSame =
                    mayWrite(peer)
                    ? peer.session.peerHas == own.vector : peer.session.peerHas.covers(own.vector)
                return peer.accepts && peer.told?.says(own) ?? false && isSame
                    && stated.beyondHash == own.beyondHash
            }
    }

    /// When ``reissueLost(_:)`` has something to do at the earliest.
    var reissueDeadline: Milliseconds {
        isReissuing ? lastNow + 1 : stillSince.map { $0 + SyncLimits.stillMilliseconds } ?? .max
    }
}
