// The forwarder's incoming side: entries to messages, messages to the store, in the order of the log.
// What cannot be taken changes nothing but a counter, and is asked for where it is missed.

internal import CausalModel
internal import RelayProtocol
internal import Store
internal import Wire

extension Forwarder {
    /// Looks at the next item of an answer; false when there is none.
    func readNext(_ now: Milliseconds) throws -> Bool {
        if snapshot != nil { return try readSnapshot(now) }
        guard read < inbox.count else {
            guard let answer else { return false }
            try endAnswer(answer, now)
            return true
        }
        if case .item(let item) = inbox[read] { try take(item, now) }
        read += 1
        return true
    }

    /// All items of an answer were looked at.
    private func endAnswer(_ end: LogAnswerEnd, _ now: Milliseconds) throws {
        let before = state.position
        state.position = end.position
        do { try save() } catch {
            state.position = before
            throw error
        }
        inbox = []
        read = 0
        answer = nil
        isCaughtUp = !end.hasMore
        if isCaughtUp, let acknowledged, acknowledged.request <= end.request {
            // The relay said that it has them, and showed all it has: they are made anew, after a while.
            count(.vanished)
            dropOutbox()
            let range = limits.vanishedMilliseconds
            vanishedDelay = min(max(range.lowerBound, vanishedDelay * 2), range.upperBound)
            appendAt = now + vanishedDelay
        }
        guard isCaughtUp else { return }
        if lacks.isEmpty || replica.vector.covers(lacks) {
            lacks = VersionVector()
            wantAt = nil
            wantDelay = 0
        }
    }

    private func take(_ item: SyncAnswer.Item, _ now: Milliseconds) throws {
        switch item {
        case .own(let key):
            guard let place = outbox.firstIndex(where: { $0.entry.key == key }) else {
                return count(.unasked)
            }
            try seen(place, now)
        case .entry(let entry):
            if let place = outbox.firstIndex(where: { $0.entry.key == entry.key }),
                outbox[place].entry == entry
            {
                return try seen(place, now)
            }
            received.entries += 1
            received.bytes += entry.content.count
            state.entries += 1
            state.bytes += entry.content.count
            switch seal.open(entry, purposes: [.message, .grants]) {
            case .refused(let reason): refuse(reason)
            case .opened(let author, let bytes):
                guard let message = try? LogMessage(decoding: bytes) else {
                    return count(.malformed)
                }
                try take(message, of: author, key: entry.key, now)
            }
        }
    }

    /// An entry of this process stands in the log.
    private func seen(_ place: Int, _ now: Milliseconds) throws {
        let own = outbox[place]
        try take(own.message, of: node, key: own.entry.key, now)
        outbox.remove(at: place)
        acknowledged?.keys.remove(own.entry.key)
        if acknowledged?.keys.isEmpty ?? true { acknowledged = nil }
        state.entries += 1
        state.bytes += own.entry.content.count
        appended.entries += 1
        appended.bytes += own.entry.content.count
        vanishedDelay = 0
    }

    private func refuse(_ reason: LogRefusal) {
        count(reason)
        guard reason == .unknownEpoch || reason == .stranger, state.rewind == nil else { return }
        // It may be known later: everything from here on is read again then.
        state.rewind = answer?.place
    }

    private func take(
        _ message: LogMessage, of author: String, key: [UInt8], _ now: Milliseconds
    ) throws {
        if replica.isJoining { return try takeWaiting(message, of: author, key: key, now) }
        switch message {
        case .part(let part): try takeOrRefuse(part, of: author, key: key, now)
        case .urgent(let part):
            guard originChanges[author] ?? 0 <= SyncLimits.originChangesMax else {
                return count(.malformed)
            }
            do { try take(urgent: part, of: author) } catch let error as StoreError
                where error.code == .invalidDelta
            {
                count(.malformed)
            }
        case .standing(let standing):
            if standing.wants {
                state.vector.meet(standing.vector)
                state.schemas = []
                noteUnmet(standing.vector, now)
            }
            // A reader has changes that nobody takes.
            if author != node, mayWrite(author), !replica.vector.covers(standing.vector) {
                lack(standing.vector, now, after: limits.lackMilliseconds)
            }
            noteFloor(standing.floor, standing.vector, of: author, under: standing.origin)
            if let origin = standing.origin { endServing(author, origin) }
            report(standing, of: author)
            noteStated(standing.vector, now)
        case .grants(let grants): onGrants?(grants, author)
        case .snapshotStored:
            state.entries = 0
            state.bytes = 0
            snapshotAt = nil
            if author != node { writing = nil }
        case .joining(let joining): take(joining, of: author, now)
        case .ignorable: break
        }
    }

    func takeOrRefuse(
        _ part: LogPart, of author: String, key: [UInt8], _ now: Milliseconds
    ) throws {
        guard originChanges[author] ?? 0 <= SyncLimits.originChangesMax else {
            return count(.malformed)
        }
        do { try take(part, of: author, in: author, key: key, now) } catch let error
            as StoreError
            where error.code == .invalidDelta
        {
            count(.malformed)
            end(author)
        }
    }

    /// What is read late was heard at some time since: nobody counts as away because this member was.
    private func report(_ standing: LogStanding, of author: String) {
        guard author != node else { return }
        var reports = mayWrite(author) ? standing.reports : []
        if let origin = standing.origin {
            reports.append(
                StatementReport(
                    node: author, name: "", origin: origin, vector: standing.vector,
                    ageMilliseconds: 0))
        }
        if !reports.isEmpty { onReports?(reports) }
    }

    /// Something that the log has is missing here: it is asked for, if nothing brings it before.
    func lack(_ vector: VersionVector, _ now: Milliseconds, after delay: Milliseconds) {
        guard !replica.vector.covers(vector) else { return }
        lacks.join(vector)
        let wait = max(wantDelay, delay)
        wantAt = min(wantAt ?? .max, now + wait)
    }

    // MARK: Parts

    /// - Parameter slot: the name under which the transfer is kept: the author, but in a snapshot.
    func take(
        _ part: LogPart, of author: String, in slot: String, key: [UInt8], _ now: Milliseconds
    ) throws {
        guard let transfer = try transfer(for: part, of: author, slot, key, now) else { return }
        try take(part, transfer, author, slot, key, now)
    }

    /// The transfer that a part goes on with, as it was before it; nil when it cannot be taken.
    private func transfer(
        for part: LogPart, of author: String, _ slot: String, _ key: [UInt8], _ now: Milliseconds
    ) throws -> LogTransfer? {
        let open = transfers[slot].flatMap { $0.transfer == part.transfer ? $0 : nil }
        let own = replica.vector
        guard let start = part.start else {
            let isNext = open.map { $0.next == part.number && $0.lastKey == part.previous } ?? false
            if let open, isNext || isBroken(.gapInLogTaken) && open.next <= part.number {
                let floor = isBroken(.laterFloorUnsaid) ? VersionVector() : part.floor
                if mayTake(part.snapshot, floor) { return open }
                refuseOutdated(part, part.floor, of: author, under: open.source, now)
                end(slot)
                return nil
            }
            if let open, part.number < open.next {
                count(.replayed)
                return nil
            }
            if own.covers(part.snapshot) {
                count(.replayed)
            } else if author != node, mayWrite(author), outdatedAuthors[author] == nil {
                miss(part, .gap, now)
            } else {
                count(.reader)
            }
            if open != nil { end(slot) }
            return nil
        }
        if open != nil {
            count(.replayed)
            return nil
        }
        guard mayTake(part.snapshot, start.floor) else {
            refuseOutdated(part, start.floor, of: author, under: start.source, now)
            return nil
        }
        // A snapshot may be older than the life that its author leads now.
        guard slot != author || isTaken(author, start, part.snapshot, now) else {
            // Others may bring the same, by whom it is taken.
            if author != node { lack(part.snapshot, now, after: limits.lackMilliseconds) }
            return nil
        }
        guard own.covers(start.base) else {
            miss(part, .belowBase, now)
            return nil
        }
        if slot == author, author != node, own.covers(part.snapshot),
            state.vector.covers(part.snapshot), start.rows > 0, start.copyFor == nil
        {
            // Harmless, and most often a relay that tells the same again.
            count(.replayed)
        }
        if let schema = start.schema, author != node {
            if try replica.adoptSchema(schema) {
                onEvent?(.applied(node: author, rows: 0, hasChanged: true))
            }
            state.told(schema: start.schemaFingerprint)
        } else if start.schema != nil {
            state.told(schema: start.schemaFingerprint)
        }
        onEvent?(.author(node: author, origin: start.source))
        return LogTransfer(
            part, start, key: key,
            isCounted: slot == author && state.vector.covers(start.base), now: now)
    }

    /// Whether a transfer of this author is taken: of one that does not take part what is here anyway.
    private func isTaken(
        _ author: String, _ start: LogPart.Start, _ snapshot: VersionVector, _ now: Milliseconds
    ) -> Bool {
        guard !replica.vector.covers(snapshot) else { return true }
        switch standing(author, start) {
        case .joined:
            outdatedAuthors[author] = nil
            return true
        case .reader: count(.reader)
        case .outdated:
            count(.outdated)
            if author != node { sendAway(author, start.source, now) }
        }
        return false
    }

    /// Whether rows of this snapshot may come in: its author and this replica have seen all that the other
    /// has collected, or they are here already and are only noted.
    private func mayTake(_ snapshot: VersionVector, _ floor: VersionVector) -> Bool {
        let own = replica.vector
        // Nothing but its copy comes so far.
        if replica.isJoining || isBroken(.floorNotChecked) { return true }
        return own.covers(snapshot)
            || (floor.isEmpty || own.isEmpty || own.covers(floor))
                && (replica.floor.isEmpty || snapshot.covers(replica.floor))
    }

    private func miss(_ part: LogPart, _ reason: LogRefusal, _ now: Milliseconds) {
        count(reason)
        if reason != .replayed {
            let first = limits.wantMilliseconds.lowerBound
            lack(part.snapshot, now, after: jitter(first...(2 * first)))
        }
    }

    private func take(
        _ part: LogPart, _ before: LogTransfer, _ author: String, _ slot: String, _ key: [UInt8],
        _ now: Milliseconds
    ) throws {
        var transfer = before
        guard part.snapshot.covers(transfer.snapshot) else { return count(.malformed) }
        transfer.snapshot = part.snapshot
        transfer.next = part.number + 1
        transfer.lastKey = key
        transfer.readAt = now
        var notes = unsaved
        let chunk = try assemble(part, &transfer, slot, &notes)
        if case .malformed = chunk { return count(.malformed) }
        if let body = part.body, body.isLastPiece {
            transfer.position = body.position
            transfer.rowsDone += body.rows
        }
        var vector = state.vector
        if part.isEnd {
            for piece in 0..<before.pieces {
                notes.updateValue(nil, forKey: LogTransfer.pieceNote(slot, piece))
            }
            notes.updateValue(nil, forKey: LogTransfer.note(slot))
            if transfer.isCounted { vector.join(transfer.snapshot) }
            if isAwaited(transfer) {
                var ended = state
                ended.joining = nil
                notes[LogState.note] = ended.encoded
            }
        } else {
            notes[LogTransfer.note(slot)] = transfer.encoded
        }
        try apply(chunk, transfer, part.isEnd, author, &notes, vector)
        unsaved = notes
        state.vector = vector
        if part.isEnd {
            if isAwaited(transfer) { state.joining = nil }
            if author == node, let job = serving.first, transfer.copyFor == job.origin {
                endServing(job.node, job.origin)
            }
            transfers[slot] = nil
            othersAt = nil
            noteStated(part.snapshot, now)
        } else {
            transfers[slot] = transfer
        }
    }
}
