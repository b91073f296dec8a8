// What goes out: the answer to a request, then every change as it comes. Own changes leave at once;
// those of others wait a moment, so that a peer that has them already can say so.

internal import CausalModel
internal import Store
internal import Wire

extension SyncEngine {
    /// Sends what `peer` lacks, as far as credit and queue allow.
    func push(_ peer: PeerLink, _ now: Milliseconds) {
        if let until = peer.pushBlockedUntil {
            if until > now { return }
            peer.pushBlockedUntil = nil
        }
        guard let own, mayPush(peer, own) else { return peer.closeSource() }
        do {
            giveBackIfHeldTooLong(peer, now)
            // Several deltas may follow each other; each pass sends one whole or stops.
            var passes = 0
            while links[peer.id] != nil, passes < 4, hasRoom(peer) {
                passes += 1
                if peer.outgoing == nil {
                    guard try open(peer, own, now) else { break }
                }
                try pump(peer, now)
                if peer.outgoing != nil { break }
            }
        } catch {
            trouble(error, peer, now)
        }
    }

    /// Whether rows may go to this peer now. Under another origin nothing is sent before that is said.
    private func mayPush(_ peer: PeerLink, _ own: ReplicaSummary) -> Bool {
        peer.told?.origin == own.origin && peer.accepts && mayServe(peer)
    }

    private func hasRoom(_ peer: PeerLink) -> Bool {
        peer.session.credit > 0 && peer.link.queuedBytes < SyncLimits.queueHighWaterBytes
    }

    /// When `push` has to be called again although nothing happens.
    func pushDeadline(_ peer: PeerLink) -> Milliseconds {
        guard let own, peer.isActive, mayPush(peer, own) else { return .max }
        if let until = peer.pushBlockedUntil { return until }
        var earliest = peer.outgoing.map { $0.openedAt + SyncLimits.sourceHeldMilliseconds } ?? .max
        if peer.outgoing == nil, hasRoom(peer) { earliest = min(earliest, peer.forwardAt ?? .max) }
        return earliest
    }

    // MARK: Opening

    /// Opens the next delta, if one is due; true when a source is open.
    private func open(_ peer: PeerLink, _ own: ReplicaSummary, _ now: Milliseconds) throws -> Bool {
        if let interrupted = peer.interrupted {
            return try reopen(peer, interrupted, now)
        }
        if let want = peer.want {
            let resume = keptPosition(peer, want) ?? want.resume?.point
            let source = try replica.openDelta(base: want.base, resume: resume)
            peer.want = nil
            peer.isSubscribed = true
            if let source {
                begin(peer, source, resume, own, now)
                return true
            }
            if want.isFetch {
                peer.isStatementForced = true
                wantStatement(peer, at: now)
            }
            return false
        }
        guard peer.isSubscribed, isPushDue(peer, own, now) else { return false }
        let base = peer.session.known
        guard let source = try replica.openDelta(base: base, resume: nil) else {
            // The store knows better: there is nothing beyond the base.
            peer.session.sentDelta(to: own.vector)
            peer.beyondSent = own.beyondHash
            return false
        }
        begin(peer, source, nil, own, now)
        return true
    }

    private func begin(
        _ peer: PeerLink, _ source: any DeltaSource, _ resume: ResumePoint?,
        _ own: ReplicaSummary, _ now: Milliseconds
    ) {
        peer.forwardAt = nil
        peer.beyondSent = own.beyondHash
        peer.outgoing = Outgoing(
            source: source, header: source.header, openedAt: now, resume: resume)
    }

    /// Whether the live stream has something for this peer now; sets the time for what waits.
    private func isPushDue(_ peer: PeerLink, _ own: ReplicaSummary, _ now: Milliseconds) -> Bool {
        let known = peer.session.known
        if own.vector[own.origin] > known[own.origin] { return true }
        let hasBeyond =
            !own.isWhole && own.beyondHash != peer.beyondSent
            && own.beyondHash != peer.session.stated?.beyondHash
            && !links.values.contains { isReceiving($0, now) }
        guard hasBeyond || !known.covers(own.vector) else {
            peer.forwardAt = nil
            return false
        }
        guard let due = peer.forwardAt else {
            peer.forwardAt =
                now + SyncLimits.forwardDelayMilliseconds
                + jitter(SyncLimits.forwardJitterMilliseconds)
            return false
        }
        return due <= now
    }

    // MARK: Sending

    /// Reads and sends chunks while there is room.
    private func pump(_ peer: PeerLink, _ now: Milliseconds) throws {
        while var current = peer.outgoing, hasRoom(peer) {
            let chunk = try current.source.next()
            peer.retryDelay = SyncLimits.storeRetryMilliseconds.lowerBound
            let header = HeaderMessage(current.header, isContinuation: current.isContinuation)
            if !current.isBegun {
                if let chunk, chunk.isLast, !current.isContinuation {
                    peer.session.sentChunk()
                    send(.wholeDelta(header, ChunkMessage(chunk)), peer, now)
                    return ended(peer, now)
                }
                send(.deltaBegin(header), peer, now)
                current.isBegun = true
            }
            guard links[peer.id] != nil else { return }
            if let chunk {
                peer.session.sentChunk()
                current.position = chunk.position
                keepPosition(peer, current.header, chunk.position)
                current.rowsDone += chunk.rows
                peer.outgoing = current
                send(.chunk(ChunkMessage(chunk)), peer, now)
                if !chunk.isLast { continue }
            }
            guard links[peer.id] != nil else { return }
            send(.deltaEnd, peer, now)
            return ended(peer, now)
        }
    }

    /// A wrong design, for the simulator alone: the sender goes on from where it believes that it was.
    private func keepPosition(_ peer: PeerLink, _ header: DeltaHeader, _ position: DeltaPosition) {
        guard isBroken(.positionKeptBySender), let receiver = peer.session.stated?.origin else {
            return
        }
        keptPositions[peer.node] = ResumePoint(
            source: header.source, receiver: receiver, base: header.base,
            snapshot: header.snapshot, position: position)
    }

    private func keptPosition(_ peer: PeerLink, _ want: WantMessage) -> ResumePoint? {
        guard isBroken(.positionKeptBySender), let kept = keptPositions[peer.node],
            kept.base == want.base, kept.receiver == peer.session.stated?.origin
        else { return nil }
        return kept
    }

    private func ended(_ peer: PeerLink, _ now: Milliseconds) {
        guard let current = peer.outgoing, links[peer.id] != nil else { return }
        peer.closeSource()
        peer.session.sentDelta(to: current.header.snapshot)
        // A peer that has our snapshot knows where we stand.
        peer.told?.vector.join(current.header.snapshot)
    }

    // MARK: Snapshots held too long

    /// A slow peer must not keep the database's log from being recycled.
    private func giveBackIfHeldTooLong(_ peer: PeerLink, _ now: Milliseconds) {
        guard let current = peer.outgoing,
            now - current.openedAt >= SyncLimits.sourceHeldMilliseconds
        else { return }
        var resume = current.resume
        if let position = current.position, let receiver = peer.session.stated?.origin {
            resume = ResumePoint(
                source: current.header.source, receiver: receiver, base: current.header.base,
                snapshot: current.header.snapshot, position: position,
                began: current.resume?.began)
        }
        peer.interrupted = Interrupted(
            base: current.header.base, resume: resume, source: current.header.source,
            isBegun: current.isBegun || current.isContinuation, rowsDone: current.rowsDone)
        peer.closeSource()
    }

    /// Goes on with an interrupted delta from a newer snapshot.
    private func reopen(_ peer: PeerLink, _ interrupted: Interrupted, _ now: Milliseconds) throws
        -> Bool
    {
        let source = try replica.openDelta(base: interrupted.base, resume: interrupted.resume)
        peer.interrupted = nil
        guard let source else { return false }
        var next = Outgoing(
            source: source, header: source.header, openedAt: now, resume: interrupted.resume)
        next.isContinuation = interrupted.isBegun && source.header.source == interrupted.source
        next.rowsDone = interrupted.rowsDone
        peer.outgoing = next
        return true
    }
}
