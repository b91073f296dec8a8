// Reads the log of a relay in order, applies what stands in it, and appends what it lacks. It does no
// I/O: requests go out as values, answers come in, and time and randomness are given.

package import CausalModel
internal import RelayProtocol
package import Store
package import Wire

/// One replica's side of a relay's log.
///
/// The log is a pipe, never a member: only what a member says there of itself, sealed, counts as its
/// statement. What every reader has that has read so far is the log's *vector*, and the next delta begins
/// there, so that reading in order is always safe, whoever appends. It moves with the ENDs of transfers that
/// began at or below it, and goes down when a reader says that it lacks something; each reader reckons it
/// from the log alone.
///
/// The host calls ``work(_:)`` until it returns false, then takes requests; ``nextDeadline`` says when to
/// call again. Everything runs on one thread, and one call is one short transaction at most.
package final class Forwarder {
    package let node: String
    let replica: any LogReplica
    let seal: any LogSeal
    let random: () -> UInt64
    let isRetryable: (any Error) -> Bool
    package var limits = ForwarderLimits()
    /// Tables whose changes go before all others when much waits, the most urgent first.
    package var urgentTables: [String] = []
    /// What of them went before the rest, in this process.
    var urgentSent = VersionVector()

    /// Whether changes of a member are taken.
    package var mayWrite: (String) -> Bool = { _ in true }
    /// How the author of a transfer stands of which this replica does not have all.
    package var standing: (_ author: String, _ start: LogPart.Start) -> AuthorStanding = { _, _ in
        .joined
    }
    /// Whether an author numbers under that origin, as far as is known.
    package var isPresent: (_ author: String, _ origin: Origin) -> Bool = { _, _ in true }
    /// How this replica takes part.
    package var claim: () -> (joined: Dot?, continued: [Origin]) = { (nil, []) }
    /// Told of what happened; must not call back.
    package var onEvent: ((SyncEvent) -> Void)?
    /// Grants stood in the log, of any member. A new key is told by ``trustChanged()``, later.
    package var onGrants: (([[UInt8]], _ author: String) -> Void)?
    /// The log is another than it was: nothing of what was appended is in it.
    package var onLogLost: (() -> Void)?
    /// Members said where they and others stand.
    package var onReports: (([StatementReport]) -> Void)?
    /// Where the members stand that this one meets, and speaks for.
    package var reports: (() -> [StatementReport])?
    /// What a snapshot has to carry of them.
    package var grants: (() -> [[UInt8]])?
    /// Writes into the list of members that one has joined under an origin, if it may: true when the list
    /// says so. Without it nobody is served.
    package var letIn: ((_ node: String, _ origin: Origin) throws -> Bool)?
    /// Whether a member on this network gives this replica its copy.
    package var isServedNearby: () -> Bool = { false }
    /// The only member of which a copy is taken at present.
    package var copyWanted: () -> String? = { nil }

    // In the file, or on its way there.
    var state = LogState()
    var transfers: [String: LogTransfer] = [:]
    var unsaved: LogNotes = [:]
    var inbox: [LogIncoming] = []
    var read = 0
    var answer: LogAnswerEnd?
    /// Nothing stood behind the position when it was looked at last.
    package internal(set) var isCaughtUp = false
    /// Vectors of transfers that this reader could not take.
    var lacks = VersionVector()
    var wantAt: Milliseconds?
    var wantDelay: Milliseconds = 0
    var originChanges: [String: Int] = [:]
    var needsSnapshot = false
    /// Members or keys changed since something could not be opened.
    var isTrustNew = false
    var snapshotTry = 0
    var snapshotRetryAt: Milliseconds?
    var snapshot: LogSnapshotReading?
    /// How often of late the log could not be read on, and when the last time; nothing is asked before.
    var setbacks = (count: 0, at: Milliseconds.min / 2, until: Milliseconds.min / 2)

    // Copies through the log.
    var asking = LogAsking()
    var askers: [String: LogAsker] = [:]
    var serving: [LogServing] = []
    var outdatedBy: String?
    /// When somebody lacked something although another appends here; and until when this one does, too.
    var unmet: [Milliseconds] = []
    var standsInUntil: Milliseconds = .min
    var standsIn = false
    /// Authors of whom nothing is taken before they have taken a copy, and when each was told.
    var outdatedAuthors: [String: Milliseconds] = [:]

    // Appending.
    var outbox: [LogOutgoing] = []
    /// The request whose answer said that these entries are in the log, and which were not seen there yet.
    var acknowledged: (request: UInt64, keys: Set<[UInt8]>)?
    /// Not before: what was appended last was not seen in the log.
    var appendAt: Milliseconds?
    var vanishedDelay: Milliseconds = 0
    var building: LogBuilding?
    /// Up to when transfers that left are paid for; see ``ForwarderLimits/appendMilliseconds``.
    var paidUntil: Milliseconds = 0
    var othersAt: Milliseconds?
    var standingAt: Milliseconds?
    /// Its last word on where it stands.
    var stood: (vector: VersionVector, at: Milliseconds)?
    var ownSchema: UInt64?
    var batchBytes: Int
    var writing: LogSnapshotWriting?
    var snapshotAt: Milliseconds?
    var isSnapshotWanted = false

    // Requests.
    var working: LogRequest?
    var waiting: LogRequest?
    private var lastRequest: UInt64 = 0
    private var blockedUntil: Milliseconds?
    private var retryDelay = SyncLimits.storeRetryMilliseconds.lowerBound
    private var standbyAt: Milliseconds = 0
    /// What changed nothing, by reason, in this process.
    package internal(set) var refused: [LogRefusal: Int] = [:]
    package internal(set) var appended = (entries: 0, bytes: 0)
    package internal(set) var received = (entries: 0, bytes: 0)
    /// Why the store cannot take what stands in the log; nil while it can.
    package private(set) var trouble: String?

    /// Another member on this network appends; this one looks now and then.
    package var isStandingBy = false {
        didSet { if oldValue, !isStandingBy { isCaughtUp = false } }
    }

    package init(
        node: String, replica: any LogReplica, seal: any LogSeal, log: [UInt8],
        random: @escaping () -> UInt64, isRetryable: @escaping (any Error) -> Bool
    ) throws {
        self.node = node
        self.replica = replica
        self.seal = seal
        self.random = random
        self.isRetryable = isRetryable
        batchBytes = limits.batchBytesMax
        try load(log)
    }

    /// What is known of another log means nothing for this one.
    private func load(_ log: [UInt8]) throws {
        let notes = try replica.logNotes()
        let vector = (notes["vector"]).flatMap { try? decodeVector($0) } ?? VersionVector()
        if notes["log"] == log, let bytes = notes[LogState.note],
            let known = LogState(bytes, vector: vector)
        {
            state = known
            for (name, value) in notes where name.hasPrefix(LogTransfer.prefix) {
                transfers[String(name.dropFirst(LogTransfer.prefix.count))] = LogTransfer(value)
            }
        } else {
            for name in notes.keys where name != "vector" { unsaved.updateValue(nil, forKey: name) }
            unsaved["log"] = log
            try save()
        }
    }

    // MARK: Requests and answers

    /// What to ask the relay now. Each stands until ``answered(_:_:now:)``.
    package func takeRequests(_ now: Milliseconds) -> [LogRequest] {
        guard !isBusy, max(blockedUntil ?? now, setbacks.until) <= now else { return [] }
        if isResting, standbyAt <= now {
            isCaughtUp = false
            standbyAt = now + limits.standbyMilliseconds
        }
        var requests: [LogRequest] = []
        if working == nil, let kind = nextWork(now) {
            let next = request(kind)
            working = next
            requests.append(next)
        }
        if working == nil, waiting == nil, isCaughtUp, !isResting {
            let next = request(
                .sync(after: state.position, waitSeconds: limits.waitSeconds, entries: []))
            waiting = next
            requests.append(next)
        }
        return requests
    }

    private func request(_ kind: LogRequest.Kind) -> LogRequest {
        lastRequest += 1
        return LogRequest(id: lastRequest, kind: kind)
    }

    private func nextWork(_ now: Milliseconds) -> LogRequest.Kind? {
        if needsSnapshot {
            guard snapshotRetryAt.map({ $0 <= now }) ?? true else { return nil }
            return .getSnapshot(previous: snapshotTry % 2 == 1)
        }
        let isDue = building == nil && acknowledged == nil
        let entries = isDue ? nextBatch : []
        if !isCaughtUp || !entries.isEmpty {
            return .sync(after: state.position, waitSeconds: 0, entries: entries)
        }
        if let writing, writing.isWhole {
            return .putSnapshot(covers: writing.covers, bytes: writing.bytes)
        }
        return nil
    }

    /// The entries that wait, up to what one request may have.
    private var nextBatch: [LogEntry] {
        var bytes = 0
        var entries: [LogEntry] = []
        for item in outbox.prefix(limits.batchEntriesMax) {
            bytes += item.entry.content.count
            guard entries.isEmpty || bytes <= batchBytes else { break }
            entries.append(item.entry)
        }
        return entries
    }

    /// The replica is as it says now; called after each look at it.
    package func replicaChanged(_ summary: ReplicaSummary) {
        ownSchema = summary.schemaFingerprint
    }

    /// The relay answered, or did not.
    package func answered(_ id: UInt64, _ reply: LogReply, now: Milliseconds) {
        let request: LogRequest
        if let working, working.id == id {
            request = working
            self.working = nil
        } else if let waiting, waiting.id == id {
            request = waiting
            self.waiting = nil
        } else {
            return
        }
        switch (request.kind, reply) {
        case (.sync(let after, _, let entries), .synced(let answer)):
            synced(request.id, after, entries, answer)
        case (.getSnapshot, .snapshot(let covers, let bytes)): begin(covers, bytes, now)
        case (.putSnapshot, .stored): snapshotStored()
        case (_, .refused(let reason)): refused(reason, now)
        default: break
        }
    }

    private func synced(
        _ id: UInt64, _ after: LogPosition?, _ entries: [LogEntry], _ answer: SyncAnswer
    ) {
        let keys = Set(entries.map(\.key)).intersection(outbox.map(\.entry.key))
        if !keys.isEmpty { acknowledged = (id, keys) }
        // Another answer was faster: what follows it is read again.
        guard after == state.position, !isBusy else {
            isCaughtUp = false
            return
        }
        if answer.items.isEmpty, answer.position == state.position, !answer.hasMore,
            outbox.isEmpty
        {
            isCaughtUp = true
            return
        }
        inbox = answer.items.map { .item($0) }
        read = 0
        self.answer = LogAnswerEnd(
            request: id, place: LogPlace(position: state.position, vector: state.vector),
            position: answer.position, hasMore: answer.hasMore)
    }

    private func refused(_ reason: Reason, _ now: Milliseconds) {
        switch reason {
        case .otherLog, .rolledBack:
            noteSetback(now)
            startOver()
        case .snapshotNeeded:
            noteSetback(now)
            needsSnapshot = true
        case .keyConflict:
            count(.conflict)
            dropOutbox()
        case .tooLarge:
            batchBytes = max(batchBytes / 2, WireLimits.logBodyBytesMax)
            dropOutbox()
        case .quota: isSnapshotWanted = true
        case .olderSnapshot: writing = nil
        case .noSnapshot:
            needsSnapshot = false
            isCaughtUp = false
        default: break
        }
    }

    /// The log is another, or lost its end: everything in it is read again, and what only members have is
    /// appended again.
    private func startOver() {
        count(.wentBack)
        forgetLog()
        saveSoon()
    }

    func forgetLog() {
        onLogLost?()
        for author in transfers.keys { end(author) }
        state = LogState()
        inbox = []
        answer = nil
        isCaughtUp = false
        writing = nil
        snapshot = nil
        needsSnapshot = false
        urgentSent = VersionVector()
        dropOutbox()
    }

    /// Somebody is a member now, or a key is here: what could not be opened is looked at again.
    package func trustChanged() {
        snapshotRetryAt = nil
        isTrustNew = state.rewind != nil
    }

    /// Goes back to the first entry that could not be opened, once nothing else is being read.
    func rewindIfDue() {
        guard isTrustNew, !isBusy, let place = state.rewind else { return }
        isTrustNew = false
        for author in transfers.keys { end(author) }
        state.position = place.position
        state.vector = place.vector
        state.rewind = nil
        isCaughtUp = false
        dropOutbox()
        saveSoon()
    }

    // MARK: Work

    /// An answer is being read.
    package var isBusy: Bool { read < inbox.count || answer != nil || snapshot != nil }

    /// Does one piece of what is to be done; false when nothing is left to do at once.
    package func work(_ now: Milliseconds) -> Bool {
        if let until = blockedUntil {
            if until > now { return false }
            blockedUntil = nil
        }
        standsIn = standsInUntil > now
        // Between the end of its copy and what it issues again it says nothing, and takes nothing.
        if replica.isSettling { return false }
        rewindIfDue()
        do {
            let hasWorked = try keepJoining() || readNext(now) || buildNext(now)
            retryDelay = SyncLimits.storeRetryMilliseconds.lowerBound
            if hasWorked { trouble = nil }
            return hasWorked
        } catch {
            let isBusy = isRetryable(error)
            blockedUntil = now + (isBusy ? retryDelay : SyncLimits.storeTroubleMilliseconds)
            retryDelay = min(retryDelay * 2, SyncLimits.storeRetryMilliseconds.upperBound)
            if !isBusy {
                trouble = "\(error)"
                onEvent?(.storeTrouble("\(error)"))
            }
            return false
        }
    }

    /// When ``work(_:)`` is to be called again although nothing happens; nil for never.
    package func nextDeadline(_ now: Milliseconds) -> Milliseconds? {
        if let blockedUntil { return blockedUntil }
        if isBusy || building != nil || writing?.source != nil { return now }
        var earliest = setbacks.until > now ? setbacks.until : snapshotRetryAt ?? .max
        if isResting {
            earliest = min(earliest, standbyAt)
        } else if isCaughtUp, outbox.isEmpty {
            earliest = min(earliest, max(appendDeadline(now), appendAt ?? 0))
        }
        return earliest == .max ? nil : max(earliest, now)
    }
}
