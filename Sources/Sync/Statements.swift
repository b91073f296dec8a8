// Who knows what: telling peers where this replica stands, taking note of where they do, and
// comparing digests when both stand at one place.

internal import CausalModel
internal import Store
internal import Wire

/// How a replica takes part, beside what it has: the part of a statement that no summary holds.
struct Manner: Equatable {
    var joined: Dot?
    var continued: [Origin]
    var canLead: Bool
    var forwards: Bool
}

extension Manner {
    init(_ told: StatementMessage) {
        self.init(
            joined: told.joined, continued: told.continued, canLead: told.canLead,
            forwards: told.forwards)
    }
}

extension SyncEngine {
    // MARK: Telling

    func wantStatement(_ peer: PeerLink, at time: Milliseconds) {
        peer.statementDueAt = min(peer.statementDueAt ?? .max, time)
    }

    /// Sends what is due of: the state that opens a session, the schema, a statement.
    func announce(_ peer: PeerLink, _ now: Milliseconds) {
        guard let own, mayState(own) else { return }
        // What was sent on an earlier connection must not seem to be forgotten: after a fresh look only.
        if peer.isStateDue, looks >= peer.stateLook {
            peer.isStateDue = false
            send(.state(statement(for: peer, own, choice: peer.ownChoice)), peer, now)
        }
        // Nothing goes before the state that opens the session.
        guard peer.isActive, peer.told != nil else { return }
        announceSchema(peer, own, now)
        if let due = peer.noteDueAt, due <= now { noteNow(peer, now) }
        guard let due = peer.statementDueAt, due <= now else { return }
        peer.statementDueAt = nil
        // Nothing is stated before it was looked at: a summary that is due makes it wait.
        if let refreshAt, peer.isStatementForced {
            peer.statementDueAt = max(refreshAt, now + 1)
            return
        }
        guard isNews(for: peer, own) || peer.isStatementForced || peer.creditOwed > 0 else {
            return
        }
        peer.isStatementForced = false
        peer.lastStatementAt = now
        let credit = peer.creditOwed
        peer.creditOwed = 0
        send(.statement(statement(for: peer, own, credit: credit)), peer, now)
    }

    /// Whether `peer` would learn something from a statement.
    private func isNews(for peer: PeerLink, _ own: ReplicaSummary) -> Bool {
        guard let told = peer.told else { return true }
        return !told.says(own) || told.accepts != mayWrite(peer)
            || Manner(told) != manner(of: own)
    }

    private func manner(of own: ReplicaSummary) -> Manner {
        Manner(
            joined: ownJoin(own), continued: replica.continuedOrigins, canLead: canLead,
            forwards: forwards)
    }

    /// Plans a statement for every peer that was told something else. Much can change while a peer's own
    /// state is on its way, and nobody looks at it then: so it is done here alone, for all causes.
    func noteNews(_ now: Milliseconds) {
        guard let own else { return }
        let present = manner(of: own)
        if present != manner {
            noteLeading(present, now)
            manner = present
            newsCount += 1
        }
        for peer in sortedLinks where peer.isActive && peer.told != nil {
            let hasNewRole = peer.told?.accepts != mayWrite(peer)
            guard peer.newsSeen != newsCount || hasNewRole else { continue }
            peer.newsSeen = newsCount
            guard isNews(for: peer, own) else { continue }
            // Under another origin nothing is sent before that is said, nor by a peer whose changes are not
            // taken: all that waits for it.
            let isUrgent = hasNewRole || peer.told?.origin != own.origin
            wantStatement(
                peer, at: now + (isUrgent ? 0 : SyncLimits.statementDelayMilliseconds))
        }
    }

    private func statement(
        for peer: PeerLink, _ own: ReplicaSummary, choice: UInt64 = 0, credit: Int = 0
    ) -> StatementMessage {
        var statement = StatementMessage(own, choice: choice, credit: credit)
        let manner = manner(of: own)
        statement.accepts = mayWrite(peer)
        statement.joined = manner.joined
        statement.continued = manner.continued
        statement.hasUnsettled = own.hasUnsettled
        statement.canLead = manner.canLead
        statement.forwards = manner.forwards
        peer.told = statement
        return statement
    }

    /// Rows must find their tables: a structure that the peer may lack goes before them.
    private func announceSchema(_ peer: PeerLink, _ own: ReplicaSummary, _ now: Milliseconds) {
        let fingerprint = own.schemaFingerprint
        let theirs = peer.session.stated?.schemaFingerprint
        // What a peer could not take up before, it perhaps can when its own structures changed.
        guard fingerprint != theirs, peer.accepts, mayServe(peer),
            peer.schemaSent.map({ $0.own != fingerprint || $0.theirs != theirs }) ?? true
        else { return }
        do {
            let description = try replica.schemaDescription()
            peer.schemaSent = (fingerprint, theirs)
            send(.schema(fingerprint: fingerprint, description: description), peer, now)
        } catch {
            trouble(error, peer, now)
        }
    }

    // MARK: Listening

    /// The peer moved.
    func noteStatement(_ peer: PeerLink, _ statement: StatementMessage, _ now: Milliseconds)
        throws
    {
        try checkOrigin(peer, statement, now)
        guard links[peer.id] != nil, try !refuseOutdated(peer, now) else { return }
        noteAuthor(peer, statement.origin)
        noteLater(peer, now)
        if let own, peer.pull == .requested, peer.session.incoming == nil,
            own.vector.covers(statement.vector)
        {
            pullEnded(peer)
        }
        compareDigests(peer, now)
    }

    /// At once the first time, then at most every fifty milliseconds: it is a write.
    func noteLater(_ peer: PeerLink, _ now: Milliseconds) {
        let earliest = (peer.lastNoteAt ?? .min / 2) + SyncLimits.noteGapMilliseconds
        peer.noteDueAt = min(peer.noteDueAt ?? .max, max(now, earliest))
    }

    /// Stores what peers stated and what waits to be stored, for whoever asks where records are.
    package func noteStatements(_ now: Milliseconds) {
        let now = advance(to: now)
        for peer in sortedLinks where peer.isActive && peer.noteDueAt != nil { noteNow(peer, now) }
    }

    private func noteNow(_ peer: PeerLink, _ now: Milliseconds) {
        guard let hello = peer.session.peer else { return }
        peer.noteDueAt = nil
        do {
            guard let stated = peer.session.stated, countsStatements(of: peer) else { return }
            try replica.noteStatement(
                of: hello.node, name: hello.name, origin: stated.origin,
                vector: peer.session.peerHas)
            peer.lastNoteAt = now
            wantCollection(now)
        } catch {
            let isBusy = isRetryable(error)
            peer.noteDueAt =
                now
                + (isBusy
                    ? SyncLimits.storeRetryMilliseconds.upperBound
                    : SyncLimits.storeTroubleMilliseconds)
            if !isBusy { onEvent?(.storeTrouble("\(error)")) }
        }
    }

    // MARK: Comparing

    /// Equal vectors of whole replicas must mean equal content; if not, it is said aloud.
    func compareDigests(_ peer: PeerLink, _ now: Milliseconds) {
        guard let own, let stated = peer.session.stated,
            own.isWhole && stated.isWhole || isBroken(.digestsComparedHalfReceived),
            own.vector == stated.vector
        else { return }
        let isDivergent = own.digest != stated.digest
        guard isDivergent != peer.isDivergent else { return }
        peer.isDivergent = isDivergent
        if isDivergent {
            onEvent?(.divergence(node: peer.peerNode))
            // So that the peer sees it too.
            peer.isStatementForced = true
            wantStatement(peer, at: now)
        } else {
            onEvent?(.agreement(node: peer.peerNode))
        }
    }

    /// A call of the store failed on the sending side: later again, or the end of this link.
    func trouble(_ error: any Error, _ peer: PeerLink, _ now: Milliseconds) {
        if isRetryable(error) {
            peer.pushBlockedUntil = now + peer.retryDelay
            peer.retryDelay = min(
                peer.retryDelay * 2, SyncLimits.storeRetryMilliseconds.upperBound)
            return
        }
        onEvent?(.storeTrouble("\(error)"))
        refuse(
            peer, SyncError(.storeFailed, "\(configuration.node) could not read: \(error)"), now)
    }
}
