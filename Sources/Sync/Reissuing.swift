// When rows lie beyond the vector and nobody here has the rest of them, what was lost with an origin is
// issued again: by the replica that wrote under it, or by all when it was a removed member's, or nobody's.

internal import CausalModel
internal import Store
internal import Wire

extension SyncEngine {
    /// Looks whether rows of lost origins lie beyond every vector; after half a minute of that they are
    /// issued again.
    func reissueLost(_ now: Milliseconds) {
        guard let own, !own.isWhole else {
            stillSince = nil
            isReissuing = false
            unknownSince = [:]
            unknownLookAt = nil
            return
        }
        let live = Set(links.values.compactMap { $0.session.stated?.origin })
        let unknown = lookForUnknown(now)
        guard isReissuing || nobodyTells(of: live, unknown, own) else {
            stillSince = nil
            return
        }
        let since = stillSince ?? now
        stillSince = since
        guard isReissuing || now - since >= SyncLimits.stillMilliseconds else { return }
        stillSince = now
        do {
            let rows = try replica.reissueLost(except: live, unknown: unknown)
            isReissuing = rows > 0
            guard rows > 0 else { return }
            wantRefresh(at: now)
            onEvent?(.reissued(rows: rows))
        } catch {
            isReissuing = false
            if !isRetryable(error) { onEvent?(.storeTrouble("\(error)")) }
        }
    }

    /// No peer knows more of the lost origins than this replica does, whatever else they tell each other.
    /// What a peer knows is known from its statements, and from the snapshots that it sends from: it states
    /// neither twice. What a reader has on top is nobody's business.
    private func nobodyTells(of live: Set<Origin>, _ unknown: [Origin], _ own: ReplicaSummary)
        -> Bool
    {
        let lost = (replica.endedOrigins + replica.removedOrigins + unknown)
            .filter { !live.contains($0) }
        // Who has not said yet who it is may be anybody, and again and again.
        let peers = links.values.filter { $0.session.phase != .greeting }
        return !lost.isEmpty && !peers.isEmpty
            && peers.allSatisfy { peer in
                guard peer.isActive else { return false }
                let has = peer.session.peerHas
                return !mayWrite(peer) || lost.allSatisfy { has[$0] <= own.vector[$0] }
            }
    }

    /// The origins with rows beyond the vector of which nobody has said for long whose they are. So it is
    /// with those of a removed member that had gone on under others and was met once more: no list names
    /// them.
    private func lookForUnknown(_ now: Milliseconds) -> [Origin] {
        guard membership?()?.origins != nil, !isBroken(.unknownKept) else { return [] }
        if now >= unknownLookAt ?? now {
            unknownLookAt = now + SyncLimits.stillMilliseconds
            do {
                let found = try replica.unknownOrigins()
                unknownSince = Dictionary(
                    uniqueKeysWithValues: found.map { ($0, unknownSince[$0] ?? now) })
            } catch {
                if !isRetryable(error) { onEvent?(.storeTrouble("\(error)")) }
            }
        }
        let since = now - SyncLimits.unknownMilliseconds
        return unknownSince.filter { $0.value <= since }.keys.sorted()
    }

    /// When ``reissueLost(_:)`` has something to do at the earliest.
    var reissueDeadline: Milliseconds {
        if isReissuing { return lastNow + 1 }
        let still = stillSince.map { $0 + SyncLimits.stillMilliseconds } ?? .max
        return min(still, unknownLookAt ?? .max)
    }
}
