// The forwarder's outgoing side: what is not in the log is appended as one transfer, batch by batch. A batch
// is built from the store, sent, and seen in the log before the next one; where a transfer stands is known
// from the log itself, so that nothing needs to be remembered of it.

internal import CausalModel
internal import Codec
internal import RelayProtocol
internal import Store
internal import Wire

/// An entry that waits to be seen in the log.
struct LogOutgoing {
    var entry: LogEntry
    var message: LogMessage
}

/// A batch of a transfer that is being read from the store.
struct LogBuilding {
    let source: any DeltaSource
    let transfer: [UInt8]
    let base: VersionVector
    var number: Int
    var previous: [UInt8]
    var bytes = 0
    /// A copy for whoever waits under this origin.
    var copyFor: Origin?
}

extension Forwarder {
    /// Builds a piece of what is to be appended; false when nothing is due.
    func buildNext(_ now: Milliseconds) throws -> Bool {
        if writing?.source != nil { return try writeSnapshot() }
        if let building {
            try build(building)
            return true
        }
        guard isCaughtUp, outbox.isEmpty, !isResting, !isBusy, !needsSnapshot,
            appendAt.map({ $0 <= now }) ?? true
        else { return false }
        appendAt = nil
        if replica.isJoining { return try ask(now) }
        if isStandingBy, !standsIn { return try serve(now) }
        // Of a file that was changed for an older one nothing in the log is taken for granted.
        guard replica.vector.covers(state.vector) else {
            forgetLog()
            try save()
            return true
        }
        if let due = wantAt, due <= now { return try appendStanding(wants: true, now) }
        if try serve(now) || beginTransfer(now) { return true }
        if let due = standingDue(now), due <= now { return try appendStanding(wants: false, now) }
        return try beginSnapshot(now)
    }

    /// When something is to be appended, given that all was read.
    func appendDeadline(_ now: Milliseconds) -> Milliseconds {
        if replica.isJoining { return askDue(now) }
        guard mayWrite(node) else { return wantAt ?? .max }
        var earliest = min(wantAt ?? .max, standingAt ?? .max, servingDeadline)
        if let due = transferDue(now) { earliest = min(earliest, due) }
        return min(earliest, snapshotAt ?? .max)
    }

    // MARK: Standing

    private func appendStanding(wants: Bool, _ now: Milliseconds) throws -> Bool {
        standingAt = now + limits.standingMilliseconds.upperBound
        if wants {
            let range = limits.wantMilliseconds
            wantDelay = min(max(2 * wantDelay, 2 * range.lowerBound), range.upperBound)
            wantAt = nil
            guard !lacks.isEmpty, !replica.vector.covers(lacks) else {
                lacks = VersionVector()
                wantDelay = 0
                return true
            }
            wantAt = now + wantDelay
        }
        // Nothing is said before it is on disk.
        let summary = try replica.summary()
        try append(
            .standing(
                LogStanding(
                    vector: summary.vector, wants: wants,
                    origin: summary.hasUnsettled ? nil : summary.origin,
                    reports: reports?() ?? [], floor: replica.floor)))
        stood = (summary.vector, now)
        return true
    }

    /// When this member is to say where it stands: now and then, so that whoever was shown another log, or
    /// less of it, finds out although nobody writes.
    private func standingDue(_ now: Milliseconds) -> Milliseconds? {
        guard !replica.vector.isEmpty else { return nil }
        if standingAt == nil {
            let first = limits.standingMilliseconds.lowerBound
            standingAt = now + first / 2 + jitter(0...first / 2)
        }
        return standingAt
    }

    /// Somebody stands just where this member does. If all know the same of this one, to say it again would
    /// tell nobody more; if not, deleted rows may wait for its word.
    func noteStated(_ vector: VersionVector, _ now: Milliseconds) {
        guard vector == replica.vector else { return }
        let isKnown = stood.map { $0.vector == vector } ?? false
        // A file that cannot be read now may have some.
        let keepsRows = (try? replica.hasDeletedRows) ?? true
        let most =
            !isKnown && keepsRows
            ? limits.collectMilliseconds : limits.standingMilliseconds.upperBound
        let due = now + most / 2 + jitter(0...most / 2)
        guard isKnown else {
            standingAt = min(standingAt ?? .max, due)
            return
        }
        standingAt = min(due, (stood?.at ?? now) + limits.silenceMilliseconds)
    }

    // MARK: Transfers

    /// What is here and not in the log, in changes.
    package var queuedChanges: UInt64 { replica.vector.distance(beyond: state.vector) }

    /// Bytes that were sealed and not seen in the log yet; and a guess for what was not, 100 for a change.
    package var queuedBytes: Int {
        let sealed = outbox.reduce(0) { $0 + $1.entry.content.count }
        return sealed > 0 ? sealed : Int(clamping: queuedChanges) * 100
    }

    var isSchemaNew: Bool {
        guard let fingerprint = ownSchema, fingerprint != 0 else { return false }
        return !state.schemas.contains(fingerprint)
    }

    /// When the next transfer is to begin or to go on; nil while there is nothing to append.
    private func transferDue(_ now: Milliseconds) -> Milliseconds? {
        guard mayWrite(node) else { return nil }
        let own = replica.vector
        guard !state.vector.covers(own) || isSchemaNew else {
            othersAt = nil
            return nil
        }
        let me = replica.origin
        let isOwn = own[me] > state.vector[me] || transfers[node]?.source == me || isSchemaNew
        let due = isOwn ? paidDue(now) : othersAt ?? now + jitter(limits.othersMilliseconds)
        if !isOwn { othersAt = due }
        // Somebody else may be in the middle of bringing the very same.
        return max(due, coveringUntil(own, now) ?? 0)
    }

    /// When the next transfer may begin, so that not more leave than a relay takes of a group.
    private func paidDue(_ now: Milliseconds) -> Milliseconds {
        guard transfers[node] == nil else { return now }
        return max(now, paidUntil - Int64(limits.appendsMax - 1) * limits.appendMilliseconds)
    }

    /// Until when transfers of others that will bring all of `vector` are waited for; nil for none.
    private func coveringUntil(_ vector: VersionVector, _ now: Milliseconds) -> Milliseconds? {
        var coming = state.vector
        var until: Milliseconds = .max
        for (author, transfer) in transfers where author != node && transfer.isCounted {
            guard let readAt = transfer.readAt, readAt + limits.staleMilliseconds > now else {
                continue
            }
            coming.join(transfer.snapshot)
            until = min(until, readAt + limits.staleMilliseconds)
        }
        return until < .max && coming.covers(vector) ? until : nil
    }

    private func beginTransfer(_ now: Milliseconds) throws -> Bool {
        guard let due = transferDue(now), due <= now else { return false }
        let summary = try replica.summary()
        guard !summary.isJoining else { return false }
        ownSchema = summary.schemaFingerprint
        if try appendUrgent(summary) { return true }
        var resume: ResumePoint?
        var base = state.vector
        var next: (transfer: [UInt8], number: Int, previous: [UInt8]) = (randomBytes(16), 0, [])
        if let open = transfers[node], open.copyFor == nil, open.source == summary.origin,
            open.isCounted,
            state.vector.covers(open.base), summary.vector.covers(open.snapshot),
            !state.vector.covers(open.snapshot)
        {
            base = open.base
            next = (open.transfer, open.next, open.lastKey)
            resume = open.position.map {
                ResumePoint(
                    source: open.source, receiver: open.source, base: base,
                    snapshot: open.snapshot, position: DeltaPosition(dot: $0))
            }
        }
        let hasRows = !state.vector.covers(summary.vector)
        guard hasRows || isSchemaNew else { return false }
        let source =
            try replica.openLogDelta(base: base, resume: resume, isCoveredOnly: true)
            ?? NoRows(summary, base)
        if next.number == 0 { paidUntil = max(paidUntil, now) + limits.appendMilliseconds }
        building = LogBuilding(
            source: source, transfer: next.transfer, base: base, number: next.number,
            previous: next.previous)
        return true
    }

    /// Reads one chunk into the batch.
    private func build(_ before: LogBuilding) throws {
        var current = before
        let chunk: DeltaChunk?
        do { chunk = try current.source.next() } catch {
            current.source.close()
            building = nil
            outbox = []
            throw error
        }
        let isEnd = chunk?.isLast ?? true
        for var part in try parts(of: chunk, isEnd: isEnd, current) {
            if part.start == nil { part.previous = current.previous }
            let entry = try sealed(.part(part), .message)
            current.previous = entry.key
            current.number += 1
            current.bytes += entry.content.count
            outbox.append(LogOutgoing(entry: entry, message: .part(part)))
        }
        building = current
        let isFull = current.bytes >= batchBytes / 2 || outbox.count >= limits.batchEntriesMax
        // Behind the vector come rows that would all be told again: they go to their end at once.
        let snapshot = current.source.header.snapshot
        let isBehind = chunk.map { !snapshot.contains($0.position.dot) } ?? false
        if isEnd || isFull && !isBehind {
            current.source.close()
            building = nil
        }
    }

    /// The parts that carry a chunk, pieces of it where it is long.
    func parts(
        of chunk: DeltaChunk?, isEnd: Bool, _ current: LogBuilding, isSchemaTold: Bool? = nil
    ) throws -> [LogPart] {
        let header = current.source.header
        let floor = current.copyFor == nil ? replica.floor : header.floor
        let start = try current.number > 0 ? nil : start(current, floor, isSchemaTold)
        guard let chunk else {
            return [
                LogPart(
                    transfer: current.transfer, number: current.number, start: start,
                    floor: start == nil ? floor : VersionVector(), snapshot: header.snapshot,
                    body: nil, isEnd: isEnd)
            ]
        }
        var parts: [LogPart] = []
        var from = 0
        repeat {
            let to = min(from + WireLimits.logBodyBytesMax, chunk.body.count)
            let isLast = to == chunk.body.count
            parts.append(
                LogPart(
                    transfer: current.transfer, number: current.number + parts.count,
                    start: parts.isEmpty ? start : nil,
                    floor: parts.isEmpty && start != nil ? VersionVector() : floor,
                    snapshot: header.snapshot,
                    body: LogPart.Body(
                        bytes: Array(chunk.body[from..<to]), rows: chunk.rows,
                        position: chunk.position.dot, isFirstPiece: from == 0,
                        isLastPiece: isLast), isEnd: isEnd && isLast))
            from = to
        } while from < chunk.body.count
        return parts
    }

    private func start(
        _ current: LogBuilding, _ floor: VersionVector, _ isSchemaTold: Bool?
    ) throws -> LogPart.Start {
        let header = current.source.header
        let isTold = isSchemaTold ?? (current.copyFor != nil || isSchemaNew)
        var start = LogPart.Start(
            source: header.source, base: current.base, floor: floor, rows: header.rows,
            bytes: header.bytes, schema: isTold ? try replica.schemaDescription() : nil,
            schemaFingerprint: ownSchema ?? 0, copyFor: current.copyFor)
        (start.joined, start.continued) = claim()
        return start
    }

    // MARK: Entries

    func randomBytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let word = random()
            for shift in stride(from: 0, to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
        return Array(bytes.prefix(count))
    }

    func sealed(_ message: LogMessage, _ purpose: LogPurpose) throws -> LogEntry {
        let key = randomBytes(24)
        return LogEntry(
            key: key, content: try seal.seal(message.encoded, purpose: purpose, key: key))
    }

    func append(_ message: LogMessage, _ purpose: LogPurpose = .message) throws {
        outbox.append(LogOutgoing(entry: try sealed(message, purpose), message: message))
    }

    /// Whether ``append(grants:)`` may be called now.
    package var canAppendGrants: Bool {
        isCaughtUp && outbox.isEmpty && building == nil && !isBusy && !isStandingBy
    }

    /// Lets members have keys: a message of its own, before anything that needs them.
    package func append(grants: [[UInt8]]) throws { try append(.grants(grants), .grants) }

    func dropOutbox() {
        building?.source.close()
        building = nil
        outbox = []
        acknowledged = nil
    }
}

/// A delta without rows: the structures of tables only.
private final class NoRows: DeltaSource {
    let header: DeltaHeader
    init(_ summary: ReplicaSummary, _ base: VersionVector) {
        header = DeltaHeader(
            source: summary.origin, base: base, snapshot: summary.vector, rows: 0, bytes: 0)
    }
    func next() throws -> DeltaChunk? { nil }
    func close() {}
}
