// The engine's incoming side: frames to messages, messages to effects, effects to the store. What
// the store refuses for a moment waits at the head of its link's queue and is tried again.

internal import CausalModel
internal import Store
internal import Wire

extension SyncEngine {
    /// Takes one frame in. Pings do not wait behind rows.
    func take(_ frame: [UInt8], _ peer: PeerLink, _ now: Milliseconds) throws(SyncError) {
        try peer.session.countFrame(now: now)
        let message: Message?
        do {
            message = try peer.assembler.take(frame, isTrusted: peer.session.phase != .greeting)
        } catch {
            throw SyncError(error)
        }
        guard let message else { return }
        try peer.session.arrived(message)
        switch message {
        case .ping, .pong:
            run(try peer.session.receive(message, now: now), peer, now)
        default:
            peer.inbox.append(message)
            peer.inboxBytes += frame.count
            guard peer.inbox.count <= SyncLimits.inboxMessagesMax,
                peer.inboxBytes <= SyncLimits.inboxBytesMax
            else { throw SyncError(.flood, "more messages came than were asked for") }
        }
    }

    /// Processes what waits, until the store is busy or one chunk is done.
    func drain(_ peer: PeerLink, _ now: Milliseconds) {
        leaveTurn(peer, now)
        if let until = peer.blockedUntil, until > now { return }
        peer.blockedUntil = nil
        peer.hasMore = false
        var hasWorked = false
        while links[peer.id] != nil {
            if peer.pending.isEmpty {
                guard !peer.inbox.isEmpty else { break }
                if hasWorked {
                    peer.hasMore = true
                    return
                }
                let message = peer.inbox.removeFirst()
                if peer.inbox.isEmpty { peer.inboxBytes = 0 }
                do throws(SyncError) {
                    peer.pending = try peer.session.receive(message, now: now)
                } catch {
                    return refuse(peer, error, now)
                }
                continue
            }
            let effect = peer.pending[0]
            do {
                try perform(effect, peer, now)
                if !peer.pending.isEmpty { peer.pending.removeFirst() }
                peer.retryDelay = SyncLimits.storeRetryMilliseconds.lowerBound
                hasWorked = hasWorked || effect.isHeavy
            } catch {
                return failed(error, peer, now)
            }
        }
    }

    /// Programs of this machine wait for the file while a chunk is stored, and look at most every 100 ms
    /// whether it is free: between two chunks it is, for as long as the last one took where programs write,
    /// for a moment where none has of late. Into a copy that this replica waits for nobody writes.
    private func leaveTurn(_ peer: PeerLink, _ now: Milliseconds) {
        guard let began = peer.storingAt else { return }
        peer.storingAt = nil
        guard own?.isJoining == false else { return }
        let isShared =
            programWroteAt.map { now - $0 < SyncLimits.programMilliseconds } ?? false
        let pause = min(
            SyncLimits.turnMillisecondsMax, isShared ? now - began : (now - began) / 8)
        guard pause > 0 else { return }
        peer.hasMore = false
        peer.blockedUntil = max(peer.blockedUntil ?? now, now + pause)
    }

    private func failed(_ error: any Error, _ peer: PeerLink, _ now: Milliseconds) {
        if isRetryable(error) {
            peer.blockedUntil = now + peer.retryDelay
            peer.retryDelay = min(
                peer.retryDelay * 2, SyncLimits.storeRetryMilliseconds.upperBound)
            return
        }
        onEvent?(.storeTrouble("\(error)"))
        refuse(
            peer, SyncError(.storeFailed, "\(configuration.node) could not store: \(error)"), now)
    }

    /// Effects that cannot fail, at once.
    func run(_ effects: [Effect], _ peer: PeerLink, _ now: Milliseconds) {
        for effect in effects {
            switch effect {
            case .send(let message): send(message, peer, now)
            case .refuse(let error): refuse(peer, error, now)
            default: peer.pending.append(effect)
            }
        }
    }

    private func perform(_ effect: Effect, _ peer: PeerLink, _ now: Milliseconds) throws {
        if effect.bringsRows, try refuseOutdated(peer, now) { return }
        switch effect {
        case .send(let message): send(message, peer, now)
        case .refuse(let error): refuse(peer, error, now)
        case .greeted(let hello): greeted(peer, hello, now)
        case .stated(let statement, let isFirst):
            if isFirst {
                try activate(peer, statement, now)
            } else {
                try noteStatement(peer, statement, now)
            }
        case .adoptSchema(_, let description):
            // A reader changes nothing, structures included.
            peer.heldSchema = mayWrite(peer) ? nil : description
            if mayWrite(peer), try replica.adoptSchema(description) { wantRefresh(at: now) }
        case .wanted(let want):
            peer.closeSource()
            peer.interrupted = nil
            peer.want = want
        case .credited: break
        case .asked(let nodes): try answer(nodes, peer, now)
        case .reported(let reports): if mayWrite(peer) { try take(reports, now) }
        case .apply(_, let header), .finish(let header), .applyWhole(_, let header):
            guard mayWrite(peer), peer.session.incoming?.isRefused != true else {
                return drop(effect, peer, now)
            }
            guard try isBelievable(header, of: peer, now) else { return }
            try apply(effect, peer, now)
        case .left(let goodbye): try left(peer, goodbye, now)
        }
    }

    private func apply(_ effect: Effect, _ peer: PeerLink, _ now: Milliseconds) throws {
        switch effect {
        case .apply(let chunk, let header):
            let outcome = try replica.apply(chunk.chunk, of: header.header)
            peer.progressAt = now
            peer.storingAt = now
            run(peer.session.applied(rows: outcome.rows), peer, now)
            if outcome.hasChanged { report(outcome, peer) }
            noteEndedOrigin(outcome, peer, now)
        case .finish(let header):
            let outcome = try replica.finish(header.header)
            peer.session.finished()
            finished(outcome, peer, now)
        case .applyWhole(let chunk, let header):
            let outcome = try replica.applyWhole(chunk.chunk, of: header.header)
            peer.creditOwed += peer.session.appliedWhole()
            finished(outcome, peer, now)
            noteEndedOrigin(outcome, peer, now)
        default: break
        }
    }

    /// What a reader sends is not taken, nor the rest of a delta of which a part was not. It gets its
    /// credit back, so that the link lives on, and is told with the next statement, if it was not told
    /// before.
    private func drop(_ effect: Effect, _ peer: PeerLink, _ now: Milliseconds) {
        switch effect {
        case .apply:
            peer.session.refuseIncoming()
            run(peer.session.applied(rows: 0), peer, now)
        case .finish:
            peer.session.finished()
            pullEnded(peer)
        default: peer.creditOwed += peer.session.appliedWhole()
        }
        wantStatement(peer, at: now + SyncLimits.statementDelayMilliseconds)
    }

    /// A delta came to its end: say so to its sender at once, to the others soon.
    private func finished(_ outcome: ApplyOutcome, _ peer: PeerLink, _ now: Milliseconds) {
        peer.progressAt = now
        report(outcome, peer)
        pullEnded(peer)
        wantRefresh(at: now)
        let earliest = (peer.lastStatementAt ?? .min / 2) + configuration.pushGap
        peer.isStatementForced = true
        wantStatement(peer, at: max(now, earliest))
        noteLater(peer, now)
    }

    private func report(_ outcome: ApplyOutcome, _ peer: PeerLink) {
        onEvent?(
            .applied(node: peer.peerNode, rows: outcome.rows, hasChanged: outcome.hasChanged))
    }

    // MARK: Sending

    func send(_ message: Message, _ peer: PeerLink, _ now: Milliseconds) {
        guard isMember(peer) else { return cut(peer, now) }
        do {
            for frame in try MessageFrames.of(message) {
                peer.bytesOut &+= UInt64(frame.count)
                peer.link.send(frame)
            }
            peer.queuedSeen = max(peer.queuedSeen, peer.link.queuedBytes)
        } catch {
            onEvent?(.storeTrouble(error.message))
            refuse(peer, SyncError(.storeFailed, error.message), now)
        }
    }
}

extension Effect {
    /// Something of the peer's replica comes into this one.
    fileprivate var bringsRows: Bool {
        switch self {
        case .apply, .finish, .applyWhole: true
        default: false
        }
    }

    /// Work of the store that others should not wait behind.
    fileprivate var isHeavy: Bool {
        switch self {
        case .apply, .finish, .applyWhole, .adoptSchema: true
        default: false
        }
    }
}
