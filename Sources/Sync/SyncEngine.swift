// Owns the sessions of one node and drives its replica with them. The event loop of the real node
// and the simulator of the tests call the same few functions; time and randomness come from them.

package import CausalModel
package import Store
package import Wire

/// All sessions of one replica, on one thread.
///
/// Every entry point takes the present time of one steady clock in milliseconds and returns when
/// all that could be done is done; ``nextDeadline`` says when to call ``tick(_:)`` next. Calls of
/// the replica block for tens of milliseconds at most; after each chunk the caller gets the thread
/// back.
package final class SyncEngine {
    package let configuration: SyncConfiguration
    let replica: any SyncReplica
    let isRetryable: (any Error) -> Bool
    let random: () -> UInt64

    /// Told of everything that happens; must not call the engine back.
    package var onEvent: ((SyncEvent) -> Void)?

    /// Who belongs to the group now; nil, or a door that gives nil, admits everybody as a writer, and nothing
    /// is ever collected.
    ///
    /// Asked often: it must be cheap, must see what the replica has just taken in, and must not call the
    /// engine back.
    package var membership: (() -> Membership?)?

    /// Writes into the list of members that a node has joined under an origin, and takes it in at once, on
    /// disk. Must not call the engine back.
    ///
    /// `isAlone`: nobody else takes part any more; all others have to take a copy.
    package var noteJoined: ((_ node: String, _ origin: Origin, _ isAlone: Bool) throws -> Void)?

    /// Whether deleted rows go for good once all members have seen their deletes.
    ///
    /// Only where ``Membership/origins`` says who takes part is it safe beyond a group in which nobody comes,
    /// goes, or is restored.
    package var collectsDeletedRows = false

    /// Whether this node forwards to the group's relay, or would if nobody else here did.
    var forwards = false

    package internal(set) var book: PeerBook
    var links: [LinkID: PeerLink] = [:]
    private var lastLink: UInt64 = 0

    /// The latest durable summary; nil until the store gave one.
    package internal(set) var own: ReplicaSummary?
    var refreshAt: Milliseconds?
    var lastRefreshAt: Milliseconds?
    /// When a program of this machine committed last.
    var programWroteAt: Milliseconds?
    /// How often the replica was looked at with success.
    package private(set) var looks = 0
    private var refreshDelay = SyncLimits.storeRetryMilliseconds.lowerBound
    var lastChoice: UInt64 = 0
    /// Processes of a peer that were replaced by a newer one: their return means a clone.
    var retiredRuns: [String: [UInt64]] = [:]
    var originChanges: [String: Int] = [:]
    /// When each peer has sent this replica for a copy, of late.
    var sentAt: [String: [Milliseconds]] = [:]
    /// Since when nothing moved although rows lie beyond the vector.
    var stillSince: Milliseconds?
    var isReissuing = false
    /// Origins with rows beyond the vector whose author nobody has named, and since when.
    var unknownSince: [Origin: Milliseconds] = [:]
    var unknownLookAt: Milliseconds?
    /// Of a wrong design alone.
    var keptPositions: [String: ResumePoint] = [:]
    /// The origin that this replica has joined under last, as it was covered by its vector.
    var lastJoin: (origin: Origin, dot: Dot)?
    /// When this replica's own standing is looked at next.
    var standingAt: Milliseconds = .min
    /// When the last copy was settled, and for how long after one the list is not believed.
    var settledAt: Milliseconds?
    var disbelief = SyncLimits.disbeliefMilliseconds.lowerBound
    /// By whom this replica was found out of date, and until when it takes a copy of nobody else.
    var copyWanted: (node: String, until: Milliseconds)?
    /// From when on the group may go on from this file.
    var leadAt: Milliseconds = .max
    /// When a peer that seems not to take part any more is looked at again.
    var graceEnd: Milliseconds?
    /// When deleted rows are looked at next; nil while nothing was learned since.
    var collectAt: Milliseconds?
    var lastCollectAt: Milliseconds?
    var asking = AskingState()
    /// Counts what peers may have to be told: a new look at the replica, another way to take part.
    var newsCount = 0
    var manner: Manner?
    /// The one link that bulk rows are fetched from.
    var pulling: LinkID?

    var lastNow: Milliseconds = .min
    private var plannedWake: Milliseconds?
    private(set) var isShuttingDown = false

    /// - Parameters:
    ///   - random: 64 uniformly random bits a call.
    ///   - isRetryable: whether an error of the replica goes away by itself: a busy database.
    package init(
        configuration: SyncConfiguration, replica: any SyncReplica,
        random: @escaping () -> UInt64, isRetryable: @escaping (any Error) -> Bool
    ) {
        self.configuration = configuration
        self.replica = replica
        self.random = random
        self.isRetryable = isRetryable
        book = PeerBook(node: configuration.node)
    }

    // MARK: Entry points

    /// A connection is up. Both sides speak at once.
    ///
    /// - Parameter authenticated: the node whose key the other side has proved; nil when nothing was
    ///   proved and its hello is believed.
    package func linkOpened(
        _ link: any Link, direction: LinkDirection, address: PeerAddress?,
        authenticated: String? = nil, now: Milliseconds
    ) -> LinkID {
        let now = advance(to: now)
        lastLink += 1
        let id = LinkID(lastLink)
        let session = Session(
            configuration: configuration, direction: direction, authenticated: authenticated,
            now: now)
        let peer = PeerLink(
            id: id, link: link, address: address, authenticated: authenticated, session: session,
            now: now)
        links[id] = peer
        if case .dialed(let dial) = direction {
            peer.record = book.connected(dial)
            // Who has proved its key is known before it says a word.
            if let authenticated, authenticated != configuration.node {
                peer.record = book.identified(
                    dialed: peer.record, as: authenticated, name: "", address: address, now: now)
            }
        }
        guard links.count <= SyncLimits.sessionsMax, !isShuttingDown else {
            refuse(peer, SyncError(.shuttingDown, "this node takes no more connections"), now)
            return id
        }
        // A key may be known when it is shown and no more when it is proved.
        cutStrangers(now)
        guard links[id] != nil else { return id }
        if own == nil { refresh(now) }
        run(
            peer.session.opened(
                origin: own?.origin ?? Origin(high: 0, low: 0),
                schemaFingerprint: own?.schemaFingerprint ?? 0), peer, now)
        settle(now)
        return id
    }

    /// One frame came in, whole.
    package func received(_ id: LinkID, _ frame: [UInt8], now: Milliseconds) {
        let now = advance(to: now)
        guard let peer = links[id] else { return }
        peer.bytesIn &+= UInt64(frame.count)
        do throws(SyncError) {
            try take(frame, peer, now)
        } catch {
            refuse(peer, error, now)
        }
        settle(now)
    }

    /// Bytes of an unfinished frame came in: the peer lives.
    package func heard(_ id: LinkID, now: Milliseconds) {
        links[id]?.session.heard(advance(to: now))
    }

    /// The link's queue has room again.
    package func linkWritable(_ id: LinkID, now: Milliseconds) {
        let now = advance(to: now)
        settle(now)
    }

    /// The link is gone without a goodbye.
    ///
    /// - Parameter code: why, where that is known.
    package func linkClosed(
        _ id: LinkID, reason: String, code: GoodbyeMessage.Code? = nil, now: Milliseconds
    ) {
        let now = advance(to: now)
        guard let peer = links[id] else { return }
        forget(peer, reason: reason, refusal: code, now)
        settle(now)
    }

    /// Programs wrote, or the node itself did: fold and push.
    package func storeChanged(now: Milliseconds) {
        let now = advance(to: now)
        wantRefresh(at: max(now, (lastRefreshAt ?? .min / 2) + configuration.pushGap))
        settle(now)
    }

    /// A program of this machine committed.
    package func programWrote(now: Milliseconds) {
        programWroteAt = max(now, lastNow)
        storeChanged(now: now)
    }

    /// Time passed; see ``nextDeadline``.
    package func tick(_ now: Milliseconds) {
        let now = advance(to: now)
        for peer in sortedLinks {
            notePassage(of: peer, now)
            run(peer.session.tick(now), peer, now)
        }
        settle(now)
    }

    /// When ``tick(_:)`` must be called at the latest; nil for never.
    package var nextDeadline: Milliseconds? { plannedWake }

    /// The addresses to connect to now, each in the order to try.
    ///
    /// Call it after every other entry point; the outcome goes to ``linkOpened`` or
    /// ``dialFailed(_:reason:now:)``.
    package func takeDials(_ now: Milliseconds) -> [Dial] {
        let now = advance(to: now)
        guard !isShuttingDown else { return [] }
        let dials = book.takeDials(now: now)
        plannedWake = earliestDeadline(now)
        return dials
    }

    /// None of a dial's addresses answered.
    package func dialFailed(_ dial: DialID, reason: String, now: Milliseconds) {
        let now = advance(to: now)
        book.dialFailed(
            dial, reason: reason, now: now, jitter: jitter(SyncLimits.backoffJitterMilliseconds))
        settle(now)
    }

    /// Changes what is known of peers: addresses found, lost, given or remembered.
    package func updateBook(_ now: Milliseconds, _ change: (inout PeerBook) -> Void) {
        let now = advance(to: now)
        change(&book)
        settle(now)
    }

    /// A person wants it now: back-off is forgotten, the replica is looked at.
    package func syncNow(_ now: Milliseconds) {
        book.resetBackoff()
        storeChanged(now: now)
    }

    /// Addresses or routes of this machine changed: probe what stands, dial what does not.
    package func networkChanged(_ now: Milliseconds) {
        let now = advance(to: now)
        book.resetBackoff()
        probeAll(now)
        settle(now)
    }

    /// Says goodbye to everybody; no connection is taken afterwards.
    package func shutDown(_ now: Milliseconds) {
        isShuttingDown = true
        let now = advance(to: now)
        for peer in sortedLinks {
            refuse(peer, SyncError(.shuttingDown, "the peer's node was stopped"), now)
        }
        plannedWake = nil
    }

    // MARK: Time

    /// Time never runs backwards here; a jump forward probes all connections.
    func advance(to now: Milliseconds) -> Milliseconds {
        let now = max(now, lastNow)
        let isJump = plannedWake.map { now - $0 > SyncLimits.clockJumpMilliseconds } ?? false
        lastNow = now
        if isJump {
            plannedWake = nil
            book.resetBackoff()
            probeAll(now)
        }
        return now
    }

    private func probeAll(_ now: Milliseconds) {
        for peer in sortedLinks { run(peer.session.probe(now), peer, now) }
    }

    /// A queue that drains is a sign of life: on a slow line one chunk can take longer than the
    /// peer may be silent.
    private func notePassage(of peer: PeerLink, _ now: Milliseconds) {
        let queued = peer.link.queuedBytes
        if queued + 1024 <= peer.queuedSeen {
            peer.session.heard(now)
            peer.queuedSeen = queued
        } else {
            peer.queuedSeen = max(peer.queuedSeen, queued)
        }
    }

    // MARK: The round

    /// In the order in which they were opened, so that a seed means one run.
    var sortedLinks: [PeerLink] { links.values.sorted { $0.id < $1.id } }

    /// Does everything that is due: processing, folding, statements, requests, deltas.
    func settle(_ now: Milliseconds) {
        guard !isShuttingDown else { return }
        cutStrangers(now)
        for peer in sortedLinks {
            drain(peer, now)
            cutStrangers(now)
        }
        if let due = refreshAt, due <= now {
            refresh(now)
            cutStrangers(now)
        }
        keepStanding(now)
        settleStandings(now)
        if let due = refreshAt, due <= now { refresh(now) }
        noteNews(now)
        for peer in sortedLinks { announce(peer, now) }
        schedulePulls(now)
        for peer in sortedLinks where peer.isActive { push(peer, now) }
        reissueLost(now)
        collect(now)
        askForReports(now)
        plannedWake = earliestDeadline(now)
    }

    private func earliestDeadline(_ now: Milliseconds) -> Milliseconds? {
        var earliest = min(refreshAt ?? .max, book.nextDeadline ?? .max, reissueDeadline)
        earliest = min(earliest, collectAt ?? .max, standingDeadline ?? .max)
        earliest = min(earliest, asking.dueAt ?? .max)
        for peer in links.values {
            earliest = min(earliest, peer.session.nextDeadline)
            let isAtOnce = peer.hasMore || peer.storingAt != nil
            earliest = min(earliest, isAtOnce ? now : peer.blockedUntil ?? .max)
            // What waits for the replica is done with the refresh.
            guard let own, peer.isActive, peer.told != nil, mayState(own) else { continue }
            earliest = min(earliest, peer.statementDueAt ?? .max, peer.noteDueAt ?? .max)
            earliest = min(earliest, pushDeadline(peer))
            if mayPull(own), mayWrite(peer) { earliest = min(earliest, peer.checkAt) }
            let stuck = peer.progressAt + SyncLimits.pullStuckMilliseconds
            if peer.id == pulling, stuck > now { earliest = min(earliest, stuck) }
        }
        return earliest == .max ? nil : max(earliest, now)
    }

    // MARK: The replica's own state

    func wantRefresh(at time: Milliseconds) { refreshAt = min(refreshAt ?? .max, time) }

    /// Folds, makes durable, and learns where the replica stands.
    func refresh(_ now: Milliseconds) {
        refreshAt = nil
        do {
            let summary = try replica.summary(whileReceiving: hasFreshRows(now))
            lastRefreshAt = now
            looks += 1
            refreshDelay = SyncLimits.storeRetryMilliseconds.lowerBound
            let previous = own
            own = summary
            wantCollection(now)
            if previous != summary {
                newsCount += 1
                ownChanged(summary, after: previous, now)
            }
        } catch {
            let isBusy = isRetryable(error)
            wantRefresh(at: now + (isBusy ? refreshDelay : SyncLimits.storeTroubleMilliseconds))
            refreshDelay = min(refreshDelay * 2, SyncLimits.storeRetryMilliseconds.upperBound)
            if !isBusy { onEvent?(.storeTrouble("\(error)")) }
        }
    }

    private func ownChanged(
        _ summary: ReplicaSummary, after previous: ReplicaSummary?, _ now: Milliseconds
    ) {
        for peer in sortedLinks where peer.isActive {
            compareDigests(peer, now)
        }
        guard summary.floor != previous?.floor else { return }
        for peer in sortedLinks where peer.isActive { _ = try? refuseOutdated(peer, now) }
    }

    /// Continues under a new origin; everybody is told.
    func takeNewOrigin(because reason: String, _ now: Milliseconds) throws {
        try replica.takeNewOrigin(because: reason)
        onEvent?(.newOrigin(reason: reason))
        own = nil
        refresh(now)
    }
}
