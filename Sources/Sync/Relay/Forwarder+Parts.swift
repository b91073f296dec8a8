// Parts of a transfer to chunks, and chunks to the store.

internal import CausalModel
internal import Store
internal import Wire

extension Forwarder {
    /// Rows that come with transfers which have begun and move, about, and how many of them are here; nil
    /// while none does. Complexity: O(authors × origins).
    package func incoming(_ now: Milliseconds) -> (rows: Int, done: Int)? {
        let (own, isWaiting) = (replica.vector, replica.isJoining)
        let moving = transfers.filter { author, transfer in
            guard let readAt = transfer.readAt, author != node else { return false }
            let isNews =
                isWaiting
                ? transfer.copyFor == replica.origin : !own.covers(transfer.snapshot)
            return isNews && readAt + limits.staleMilliseconds > now
        }
        guard !moving.isEmpty else { return nil }
        let done = moving.values.reduce(0) { $0 + $1.rowsDone }
        return (max(done, moving.values.reduce(0) { $0 + $1.rows }), done)
    }

    /// Whether it is the copy that this replica waits for.
    func isAwaited(_ transfer: LogTransfer) -> Bool {
        transfer.copyFor != nil && transfer.copyFor == state.joining
    }

    enum Assembled {
        case none, malformed
        case chunk(DeltaChunk)
    }

    /// The chunk that a part completes, if it does.
    func assemble(
        _ part: LogPart, _ transfer: inout LogTransfer, _ slot: String, _ notes: inout LogNotes
    ) throws -> Assembled {
        guard let body = part.body else { return .none }
        func forgetPieces() {
            for piece in 0..<transfer.pieces {
                notes.updateValue(nil, forKey: LogTransfer.pieceNote(slot, piece))
            }
            transfer.pieces = 0
            transfer.pieceBytes = 0
        }
        var bytes = body.bytes
        if body.isFirstPiece {
            forgetPieces()
        } else {
            guard transfer.pieces > 0 else { return .malformed }
        }
        guard body.isLastPiece else {
            guard transfer.pieceBytes + bytes.count <= WireLimits.chunkBytesMax else {
                return .malformed
            }
            notes[LogTransfer.pieceNote(slot, transfer.pieces)] = bytes
            transfer.pieces += 1
            transfer.pieceBytes += bytes.count
            return .none
        }
        if transfer.pieces > 0 {
            let stored = try replica.logNotes()
            var whole: [UInt8] = []
            for piece in 0..<transfer.pieces {
                let name = LogTransfer.pieceNote(slot, piece)
                let part: [UInt8]? = if let noted = notes[name] { noted } else { stored[name] }
                guard let part else { return .malformed }
                whole += part
            }
            bytes = whole + bytes
            forgetPieces()
        }
        return .chunk(
            DeltaChunk(
                body: bytes, rows: body.rows, position: DeltaPosition(dot: body.position),
                isLast: part.isEnd))
    }

    /// Joins rows, or notes only that they came: what the own vector covers is here already.
    func apply(
        _ chunk: Assembled, _ transfer: LogTransfer, _ isEnd: Bool, _ author: String,
        _ notes: inout LogNotes, _ vector: VersionVector
    ) throws {
        if replica.vector.covers(transfer.snapshot) {
            if notes.count > 64 {
                try replica.note(notes, logVector: vector)
                notes = [:]
            }
            return
        }
        var rows: DeltaChunk?
        if case .chunk(let chunk) = chunk { rows = chunk }
        guard rows != nil || isEnd else { return }
        let outcome = try replica.applyLogged(
            rows, of: transfer.header, isEnd: isEnd, notes: notes, logVector: vector)
        notes = [:]
        onEvent?(.applied(node: author, rows: outcome.rows, hasChanged: outcome.hasChanged))
        if outcome.hasEndedOrigin {
            if author != node { originChanges[author, default: 0] += 1 }
            onEvent?(.newOrigin(reason: "the log has changes of this node that its file lost"))
        }
    }
}
