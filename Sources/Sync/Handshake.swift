// The engine's decisions at the start and the end of a connection: which of two survives, whether
// an origin is still ours alone, what a goodbye means.

internal import CausalModel
internal import Store
internal import Wire

extension SyncEngine {
    // MARK: Hello

    /// A peer named itself. Between two connections of one pair the node with the smaller id
    /// decides; the other follows the first `state` it gets, so both keep the same one.
    func greeted(_ peer: PeerLink, _ hello: HelloMessage, _ now: Milliseconds) {
        peer.record = book.identified(
            dialed: peer.record, as: hello.node, name: hello.name,
            address: dialableAddress(of: peer, hello), now: now)
        if retiredRuns[hello.node]?.contains(hello.run) == true {
            let text = "two running nodes say that they are \(hello.node)"
            return refuse(peer, SyncError(.clonedIdentity, text), now)
        }
        for rival in rivals(of: peer) {
            guard let other = rival.session.peer else { continue }
            if other.run != hello.run {
                retire(other)
                let text = "a newer process of this node connected"
                refuse(rival, SyncError(.duplicate, text), now)
            } else if isDecider(over: hello.node) {
                let doomed = keeps(rival, against: peer, now) ? peer : rival
                let text = "another connection of the same two nodes was kept"
                refuse(doomed, SyncError(.duplicate, text), now)
                if doomed === peer { return }
            }
        }
        lastChoice += 1
        peer.ownChoice = lastChoice
        peer.isStateDue = true
        peer.stateLook = looks + 1
        wantRefresh(at: now)
    }

    private func rivals(of peer: PeerLink) -> [PeerLink] {
        sortedLinks.filter {
            $0 !== peer && $0.session.phase != .greeting && $0.peerNode == peer.peerNode
        }
    }

    func isDecider(over node: String) -> Bool { configuration.node < node }

    /// Whether the decider keeps `old` when `new` comes: only if both are young and cross, or the
    /// same side dialled `old` later.
    private func keeps(_ old: PeerLink, against new: PeerLink, _ now: Milliseconds) -> Bool {
        switch (old.session.direction, new.session.direction) {
        case (.dialed(let first), .dialed(let second)): return first > second
        case (.accepted, .accepted):
            return (old.session.peer?.dial ?? 0) > (new.session.peer?.dial ?? 0)
        case (.dialed, .accepted):
            return now - old.session.openedAt < SyncLimits.crossingMilliseconds
        case (.accepted, .dialed): return false
        }
    }

    private func retire(_ hello: HelloMessage) {
        var runs = retiredRuns[hello.node] ?? []
        runs.append(hello.run)
        retiredRuns[hello.node] = Array(runs.suffix(SyncLimits.retiredRunsMax))
    }

    /// Where this peer can be dialled: the address that was, or its host with its listening port.
    func dialableAddress(of peer: PeerLink, _ hello: HelloMessage) -> PeerAddress? {
        guard let address = peer.address else { return nil }
        if case .dialed = peer.session.direction { return address }
        guard hello.listenPort > 0 else { return nil }
        return PeerAddress(host: address.host, port: hello.listenPort)
    }

    // MARK: State

    /// The peer said where it stands: check origins, settle rivals, begin.
    func activate(_ peer: PeerLink, _ state: StatementMessage, _ now: Milliseconds) throws {
        guard let hello = peer.session.peer else { return }
        if !isDecider(over: hello.node) {
            let active = rivals(of: peer).filter(\.isActive)
            if active.contains(where: { $0.choice > state.choice }) {
                let text = "another connection of the same two nodes was kept"
                return refuse(peer, SyncError(.duplicate, text), now)
            }
            for rival in active {
                let text = "another connection of the same two nodes was kept"
                refuse(rival, SyncError(.duplicate, text), now)
            }
            peer.choice = state.choice
        }
        try checkOrigin(peer, state, now)
        guard links[peer.id] != nil else { return }
        noteAuthor(peer, state.origin)
        if membership?()?.origins != nil, standing(of: peer) == .joined,
            try replica.hasGoneBack(hello.node, origin: state.origin, vector: state.vector)
        {
            guard mayHearFirst(from: peer) else {
                let text =
                    "\(hello.node.prefix(8)) knows less than it said before: its file is an older copy"
                return refuse(peer, SyncError(.outOfDate, text), now)
            }
            peer.isLate = true
        }
        if countsStatements(of: peer), !peer.isLate {
            try replica.noteStatement(
                of: hello.node, name: hello.name, origin: state.origin, vector: state.vector)
            peer.lastNoteAt = now
            wantCollection(now)
        }
        guard try !refuseOutdated(peer, now) else { return }
        peer.progressAt = now
        if let record = peer.record { book.activated(record, now: now) }
        peer.isAnnounced = true
        onEvent?(.connected(node: hello.node, name: hello.name))
        compareDigests(peer, now)
    }

    func noteAuthor(_ peer: PeerLink, _ origin: Origin) {
        guard peer.author != origin else { return }
        peer.author = origin
        onEvent?(.author(node: peer.peerNode, origin: origin))
    }

    /// Two nodes must never number under one origin, and nobody can know more of ours than we do.
    func checkOrigin(_ peer: PeerLink, _ state: StatementMessage, _ now: Milliseconds) throws {
        let before = try own ?? replica.summary()
        if state.origin == before.origin {
            let reason =
                "the node \(peer.peerNode.prefix(8)) numbers its changes under the same origin"
            guard mayEndOrigin(peer, now) else { return }
            refuse(peer, SyncError(.originClash, reason), now)
            return try rejoin(because: reason, now)
        }
        try checkClaim(state.vector, of: peer, before, now)
    }

    /// Ends the origin when `vector` covers more of it than there is.
    private func checkClaim(
        _ vector: VersionVector, of peer: PeerLink, _ before: ReplicaSummary, _ now: Milliseconds
    ) throws {
        guard vector[before.origin] > before.vector[before.origin] else { return }
        // Look again before believing it: the summary may be older than what was sent.
        let current = try replica.summary()
        guard vector[current.origin] > current.vector[current.origin], mayEndOrigin(peer, now)
        else { return }
        try rejoin(
            because: "the node \(peer.peerNode.prefix(8)) knows more changes of this replica than "
                + "are here: the file is an older copy", now)
    }

    /// Whether the header of a delta leaves this node its origin, or ends it for good reasons. False when
    /// the peer was refused.
    func isBelievable(_ header: HeaderMessage, of peer: PeerLink, _ now: Milliseconds) throws
        -> Bool
    {
        guard originChanges[peer.peerNode] ?? 0 <= SyncLimits.originChangesMax else {
            _ = mayEndOrigin(peer, now)
            return false
        }
        try checkClaim(header.snapshot, of: peer, try own ?? replica.summary(), now)
        return links[peer.id] != nil
    }

    /// Rows of a peer had numbers of this node that it never gave: the store has ended the origin.
    func noteEndedOrigin(_ outcome: ApplyOutcome, _ peer: PeerLink, _ now: Milliseconds) {
        guard outcome.hasEndedOrigin else { return }
        originChanges[peer.peerNode, default: 0] += 1
        let reason = "rows of \(peer.peerNode.prefix(8)) have numbers of this node"
        guard membership?()?.origins == nil else {
            do { try rejoin(because: reason, now) } catch { onEvent?(.storeTrouble("\(error)")) }
            return
        }
        onEvent?(.newOrigin(reason: reason))
        wantRefresh(at: now)
    }

    /// Counts one more origin that ends because of what `peer` says. A file is restored now and then;
    /// who says it again and again is lying, and is refused.
    private func mayEndOrigin(_ peer: PeerLink, _ now: Milliseconds) -> Bool {
        let count = (originChanges[peer.peerNode] ?? 0) + 1
        guard count <= SyncLimits.originChangesMax else {
            let text = "the peer says again that it knows changes of ours that we never made"
            refuse(peer, SyncError(.malformed, text), now)
            return false
        }
        originChanges[peer.peerNode] = count
        return true
    }

    /// Whether a peer may send this replica for a copy: not more often than a member goes astray.
    func mayBeSent(by node: String, _ now: Milliseconds) -> Bool {
        let recent = (sentAt[node] ?? []).filter {
            now - $0 < SyncLimits.sentForCopyWindowMilliseconds
        }
        guard recent.count < SyncLimits.originChangesMax else { return false }
        sentAt[node] = recent + [now]
        return true
    }

    // MARK: The end

    /// The peer said goodbye.
    func left(_ peer: PeerLink, _ goodbye: GoodbyeMessage, _ now: Milliseconds) throws {
        let origin = peer.session.stated?.origin ?? peer.session.peer?.origin
        if goodbye.code == .originClash, let own, origin == own.origin, mayEndOrigin(peer, now) {
            try rejoin(because: goodbye.text, now)
        } else if goodbye.code == .outOfDate, own?.isJoining == false,
            membership?()?.origins != nil, !prevails(over: peer), mayBeSent(by: peer.peerNode, now)
        {
            try rejoin(because: goodbye.text, sentBy: peer.node, now)
        }
        peer.link.close()
        forget(peer, reason: goodbye.text, refusal: goodbye.code, now)
    }

    /// Who is out of date takes a copy and comes back by itself, where there is a list of who has joined.
    private func isCurable(_ code: GoodbyeMessage.Code?) -> Bool {
        code == .outOfDate && membership?()?.origins != nil
    }

    /// Tells the peer why, and ends the connection.
    func refuse(_ peer: PeerLink, _ error: SyncError, _ now: Milliseconds) {
        guard links[peer.id] != nil else { return }
        guard isMember(peer) else { return cut(peer, now) }
        let goodbye = Message.goodbye(GoodbyeMessage(error.code, error.message))
        if let frames = try? MessageFrames.of(goodbye) {
            for frame in frames { peer.link.send(frame) }
        }
        peer.link.close()
        forget(peer, reason: error.message, refusal: error.code, now)
    }

    /// The link is gone: its snapshot, its turn and its place are given back.
    func forget(
        _ peer: PeerLink, reason: String, refusal: GoodbyeMessage.Code?, _ now: Milliseconds
    ) {
        guard links.removeValue(forKey: peer.id) != nil else { return }
        let isHalfDone = peer.session.incoming != nil
        peer.closeSource()
        peer.session.close()
        peer.pending = []
        peer.inbox = []
        if pulling == peer.id { pulling = nil }
        // Rows that came without their end are offered onward: the summary tells.
        if isHalfDone { wantRefresh(at: now) }
        let node = peer.session.peer?.node
        if refusal == .selfConnection, let address = peer.address {
            book.foundSelf(at: address, record: peer.record)
        }
        if let record = peer.record {
            let isElsewhere = links.values.contains { $0.record == record }
            book.closed(
                record, reason: reason, refusal: isCurable(refusal) ? nil : refusal,
                isConnectedElsewhere: isElsewhere,
                heldFor: peer.session.activeAt.map { now - $0 } ?? 0, now: now,
                jitter: jitter(SyncLimits.backoffJitterMilliseconds))
            // Who was sent for a copy too often looks again as soon as it may be sent again.
            if let sent = sentAt[peer.peerNode], sent.count >= SyncLimits.originChangesMax {
                book.tryAgain(record, by: sent[0] + SyncLimits.sentForCopyWindowMilliseconds, now)
            }
        }
        if peer.isAnnounced, let node {
            onEvent?(.disconnected(node: node, reason: reason))
        } else if refusal?.isRefusal == true, !isCurable(refusal) {
            onEvent?(
                .refused(node: node, address: peer.address?.description, reason: reason))
        }
    }

    /// A random number of milliseconds in `0..<bound`.
    func jitter(_ bound: Milliseconds) -> Milliseconds {
        bound <= 0 ? 0 : Milliseconds(random() % UInt64(bound))
    }
}
