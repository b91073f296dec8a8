// A copy through the log, for a member that waits for one and meets nobody who could give it; and how a
// member finds out from the log alone that it has to take one.

internal import CausalModel
internal import Store
internal import Wire

/// A member that waits for a copy, as others see it.
struct LogAsker {
    let origin: Origin
    /// Of the same life. From the second time on nobody leaves it to another to offer.
    var asks = 1
    /// When it asked last.
    var askedAt: Milliseconds
    /// When this member offers; nil once it has.
    var offerAt: Milliseconds?
    /// Of its offer.
    var nonce: [UInt8]?
}

/// What a member that waits has said.
struct LogAsking {
    var askAt: Milliseconds?
    var delay: Milliseconds = 0
    /// Since when an offer counts as taken.
    var acceptedAt: Milliseconds?
}

/// A copy that was promised.
struct LogServing: Equatable {
    let node: String
    let origin: Origin
}

extension Forwarder {
    // MARK: Waiting

    /// While the replica waits, the log is read for its copy alone, from the beginning: what was read in the
    /// life before says nothing, nor does this, should the copy come another way. True when it begins anew.
    func keepJoining() throws -> Bool {
        let wanted = replica.isJoining ? replica.origin : nil
        guard state.joining != wanted else { return false }
        forgetLog()
        askers = [:]
        serving = []
        asking.askAt = nil
        asking.acceptedAt = nil
        state.joining = wanted
        try save()
        return true
    }

    /// When it is to ask: soon if nobody nearby serves it, and again while nothing comes.
    func askDue(_ now: Milliseconds) -> Milliseconds {
        if asking.askAt == nil {
            let first = limits.askMilliseconds.lowerBound
            asking.askAt = now + first / 2 + jitter(0...first / 2)
        }
        let moving = transfers.values.filter { $0.copyFor == replica.origin }.compactMap(\.readAt)
        let heard = (moving + [asking.acceptedAt].compactMap { $0 }).max()
        return max(asking.askAt ?? now, heard.map { $0 + limits.staleMilliseconds } ?? now)
    }

    func ask(_ now: Milliseconds) throws -> Bool {
        guard askDue(now) <= now else { return false }
        let range = limits.askMilliseconds
        guard copyWanted() != nil || !isServedNearby() else {
            asking.askAt = now + range.lowerBound
            return false
        }
        asking.delay = min(max(2 * asking.delay, range.lowerBound), range.upperBound)
        asking.askAt = now + asking.delay
        asking.acceptedAt = nil
        try append(.joining(LogJoining(origin: replica.origin, step: .ask)))
        return true
    }

    /// Of all that stands in the log, a replica that waits takes its copy and keys.
    func takeWaiting(
        _ message: LogMessage, of author: String, key: [UInt8], _ now: Milliseconds
    ) throws {
        switch message {
        case .part(let part):
            let isBeginning = part.start?.copyFor == replica.origin
            // Half a list of members may not have its author any more.
            guard author != node, !replica.isSettling,
                isBeginning && mayWrite(author)
                    || transfers[author]?.transfer == part.transfer
            else { return }
            if isBeginning { for other in transfers.keys where other != author { end(other) } }
            try takeOrRefuse(part, of: author, key: key, now)
        case .joining(let joining):
            guard case .offer(let nonce) = joining.step, joining.origin == replica.origin,
                author != node, mayWrite(author), asking.acceptedAt == nil,
                copyWanted().map({ $0 == author }) ?? true
            else { return }
            asking.acceptedAt = now
            try append(.joining(LogJoining(origin: replica.origin, step: .accept(nonce: nonce))))
        case .grants(let grants): onGrants?(grants, author)
        default: break
        }
    }

    // MARK: Serving

    /// Somebody waits, or somebody else takes care of it.
    func take(_ joining: LogJoining, of author: String, _ now: Milliseconds) {
        guard author != node, letIn != nil else { return }
        if case .outdated = joining.step {} else if !mayWrite(node) { return }
        switch joining.step {
        case .ask:
            forgetAskers(now)
            guard !isCopyMoving(joining.origin, now) else { return }
            serving.removeAll { $0.node == author }
            var asker = LogAsker(origin: joining.origin, askedAt: now)
            if let known = askers[author], known.origin == joining.origin {
                asker.asks = known.asks + 1
            }
            asker.offerAt = now + jitter(limits.offerMilliseconds)
            askers[author] = asker
        case .offer:
            for (name, asker) in askers
            where asker.origin == joining.origin && asker.asks == 1 && asker.offerAt != nil {
                askers[name]?.offerAt = nil
            }
        case .outdated:
            // Of two that find each other out of date one decides.
            let isMutual = outdatedAuthors[author] != nil
            guard joining.origin == replica.origin, mayWrite(author), !isMutual || author < node
            else { return }
            outdatedBy = author
        case .accept(let nonce):
            guard let asker = askers[author], asker.origin == joining.origin else { return }
            askers[author] = nil
            guard asker.nonce == nonce else { return }
            serving.append(LogServing(node: author, origin: joining.origin))
        }
    }

    /// Whether this member leaves the log to another on its network. Not while somebody asks again: what that
    /// one knows of the members may be old, and it may know this one alone.
    var isResting: Bool {
        isStandingBy && !standsIn && serving.isEmpty
            && !askers.values.contains { $0.asks > 1 }
    }

    /// Somebody lacks what this member has although another appends here: perhaps that one's changes are
    /// not taken there, and this one's are. The second time it appends itself for a while.
    func noteUnmet(_ vector: VersionVector, _ now: Milliseconds) {
        guard isStandingBy, mayWrite(node), !vector.covers(replica.vector) else { return }
        unmet = unmet.filter { $0 + 3 * limits.standInMilliseconds > now } + [now]
        guard unmet.count > 1 else { return }
        unmet = []
        standsInUntil = now + limits.standInMilliseconds
    }

    /// Nobody that has not asked for long waits any more.
    private func forgetAskers(_ now: Milliseconds) {
        let since = now - 2 * limits.askMilliseconds.upperBound
        askers = askers.filter { $0.value.askedAt > since }
    }

    private func isCopyMoving(_ origin: Origin, _ now: Milliseconds) -> Bool {
        transfers.values.contains {
            guard $0.copyFor == origin, let readAt = $0.readAt else { return false }
            return readAt + limits.staleMilliseconds > now
        }
    }

    /// When an offer, or the next batch of a copy, is due.
    var servingDeadline: Milliseconds {
        serving.isEmpty ? askers.values.compactMap(\.offerAt).min() ?? .max : .min
    }

    /// Makes an offer, or begins or goes on with a copy: lets the member in, then tells all.
    func serve(_ now: Milliseconds) throws -> Bool {
        if let name = askers.keys.sorted().first(where: { askers[$0]?.offerAt ?? .max <= now }),
            let origin = askers[name]?.origin
        {
            let nonce = randomBytes(LogJoining.nonceBytes)
            try append(.joining(LogJoining(origin: origin, step: .offer(nonce: nonce))))
            askers[name]?.nonce = nonce
            askers[name]?.offerAt = nil
            return true
        }
        guard let job = serving.first else { return false }
        guard mayWrite(node), try letIn?(job.node, job.origin) == true else {
            serving.removeFirst()
            return true
        }
        let summary = try replica.summary()
        ownSchema = summary.schemaFingerprint
        let hasBegun = try !summary.isJoining && beginCopy(job, summary, now)
        if !hasBegun { serving.removeFirst() }
        return true
    }

    private func beginCopy(_ job: LogServing, _ summary: ReplicaSummary, _ now: Milliseconds) throws
        -> Bool
    {
        let nothing = VersionVector()
        var resume: ResumePoint?
        if let open = transfers[node], open.copyFor == job.origin, open.source == summary.origin,
            open.floor == replica.floor, summary.vector.covers(open.snapshot),
            let position = open.position
        {
            resume = ResumePoint(
                source: open.source, receiver: open.source, base: nothing, snapshot: open.snapshot,
                position: DeltaPosition(dot: position), began: open.began)
        }
        guard
            let source = try replica.openLogDelta(
                base: nothing, resume: resume, isCoveredOnly: true)
        else { return false }
        // It goes on with what stands in the log, or begins anew.
        let open = source.header.isFromStart ? nil : transfers[node]
        if open == nil { paidUntil = max(paidUntil, now) + limits.appendMilliseconds }
        building = LogBuilding(
            source: source, transfer: open?.transfer ?? randomBytes(LogPart.transferBytes),
            base: nothing, number: open?.next ?? 0, previous: open?.lastKey ?? [],
            copyFor: job.origin)
        return true
    }

    /// The member takes part, whoever served it; or its copy has ended.
    func endServing(_ node: String, _ origin: Origin) {
        serving.removeAll { $0 == LogServing(node: node, origin: origin) }
        if askers[node]?.origin == origin { askers[node] = nil }
    }

    // MARK: Out of date

    /// A member has forgotten deletes that this replica has not seen: it takes a copy. Of two that have
    /// counted without each other, one does.
    ///
    /// - Parameter origin: what the author numbered under. Of a life that is over, which the log still
    ///   tells of, nothing holds; one that it has gone on from is the present one.
    func noteFloor(
        _ floor: VersionVector, _ vector: VersionVector, of author: String, under origin: Origin?,
        continuing past: [Origin] = []
    ) {
        let own = replica.vector
        guard author != node, !replica.isJoining, !own.isEmpty, !own.covers(floor),
            mayWrite(author), let origin,
            ([origin] + past).contains(where: { isPresent(author, $0) })
        else { return }
        let isBehind = !vector.covers(replica.floor)
        if !isBehind || author < node || !mayWrite(node) { outdatedBy = author }
    }

    /// Somebody told what this replica cannot take: one of the two has not seen what the other has
    /// forgotten. If it is the other, it has to hear of that.
    func refuseOutdated(
        _ part: LogPart, _ floor: VersionVector, of author: String, under origin: Origin,
        _ now: Milliseconds
    ) {
        count(.outdated)
        let vector = part.snapshot
        let past = part.start?.continued ?? []
        noteFloor(floor, vector, of: author, under: origin, continuing: past)
        guard author != node, !vector.covers(replica.floor) else { return }
        let due = (stood?.at ?? .min / 2) + limits.staleMilliseconds
        let soon = max(due, now + jitter(limits.othersMilliseconds))
        standingAt = min(standingAt ?? .max, soon)
    }

    /// Tells somebody whose changes nobody here takes that it has to take a copy, now and then.
    func sendAway(_ author: String, _ origin: Origin, _ now: Milliseconds) {
        guard letIn != nil, mayWrite(node), !isStandingBy else { return }
        if let told = outdatedAuthors[author], told + limits.staleMilliseconds > now { return }
        outdatedAuthors[author] = now
        try? append(.joining(LogJoining(origin: origin, step: .outdated)))
    }

    /// By whom this replica was found out of date since this was asked last.
    package func takeOutdated() -> String? {
        defer { outdatedBy = nil }
        return outdatedBy
    }
}
