// What must not wait behind the rest: when much is to be appended, changes of urgent tables go first, as rows
// that are received half. The transfer that brings them again with everything else counts; they do not.

internal import CausalModel
internal import RelayProtocol
internal import Store
internal import Wire

extension Forwarder {
    /// Puts changes of the urgent tables before the next part of a long transfer, the first table's first;
    /// false when none is new, or little waits.
    ///
    /// At most as much as one request takes: the rest keeps its place. Complexity: O(changes since the last
    /// time).
    func appendUrgent(_ summary: ReplicaSummary) throws -> Bool {
        guard !urgentTables.isEmpty, !urgentSent.covers(summary.vector),
            queuedChanges >= limits.urgentChangesMin
        else { return false }
        let before = outbox.count
        do {
            for table in urgentTables { try appendUrgent(table) }
        } catch {
            outbox.removeSubrange(before...)
            throw error
        }
        urgentSent = summary.vector
        return outbox.count > before
    }

    private func appendUrgent(_ table: String) throws {
        let base = state.vector
        guard
            let source = try replica.openUrgentDelta(
                of: table, base: base, beyond: base.joined(urgentSent))
        else { return }
        defer { source.close() }
        while let chunk = try source.next() {
            let bytes = outbox.reduce(0) { $0 + $1.entry.content.count }
            guard bytes < batchBytes / 2, outbox.count < limits.batchEntriesMax / 2 else { return }
            // Each stands for itself; of one that does not fit into an entry nothing goes early.
            let alone = LogBuilding(
                source: source, transfer: randomBytes(LogPart.transferBytes), base: base,
                number: 0, previous: [])
            let parts = try parts(of: chunk, isEnd: false, alone)
            if parts.count == 1 { try append(.urgent(parts[0])) }
        }
    }

    /// Joins urgent rows. What cannot be taken changes nothing: they come again with their transfer.
    func take(urgent part: LogPart, of author: String) throws {
        guard author != node else { return }
        guard let start = part.start, let body = part.body, !part.isEnd, body.isFirstPiece,
            body.isLastPiece
        else { return count(.malformed) }
        guard standing(author, start) == .joined else { return count(.reader) }
        let own = replica.vector
        guard !own.covers(part.snapshot) else { return }
        guard own.covers(start.base), start.floor.isEmpty || own.covers(start.floor),
            replica.floor.isEmpty || part.snapshot.covers(replica.floor)
        else { return count(.belowBase) }
        if let schema = start.schema, try replica.adoptSchema(schema) {
            onEvent?(.applied(node: author, rows: 0, hasChanged: true))
        }
        onEvent?(.author(node: author, origin: start.source))
        let chunk = DeltaChunk(
            body: body.bytes, rows: body.rows, position: DeltaPosition(dot: body.position),
            isLast: false)
        let header = DeltaHeader(
            source: start.source, base: start.base, snapshot: part.snapshot, rows: start.rows,
            bytes: 0)
        let outcome = try replica.applyLogged(
            chunk, of: header, isEnd: false, notes: unsaved, logVector: state.vector)
        unsaved = [:]
        onEvent?(.applied(node: author, rows: outcome.rows, hasChanged: outcome.hasChanged))
        if outcome.hasEndedOrigin {
            originChanges[author, default: 0] += 1
            onEvent?(.newOrigin(reason: "the log has changes of this node that its file lost"))
        }
    }
}
