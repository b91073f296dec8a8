// What the forwarder keeps in the file, and small helps of all its parts.

internal import Store
internal import Wire

extension Forwarder {
    func count(_ refusal: LogRefusal) { refused[refusal, default: 0] += 1 }

    func saveSoon() { unsaved[LogState.note] = state.encoded }

    /// Writes what is not written yet; after an error it is tried again with the next.
    func save() throws {
        unsaved[LogState.note] = state.encoded
        try replica.note(unsaved, logVector: state.vector)
        unsaved = [:]
    }

    /// Forgets an author's transfer.
    func end(_ author: String) {
        guard let transfer = transfers.removeValue(forKey: author) else { return }
        dropPieces(transfer, author)
        unsaved.updateValue(nil, forKey: LogTransfer.note(author))
    }

    func dropPieces(_ transfer: LogTransfer, _ author: String) {
        for piece in 0..<transfer.pieces {
            unsaved.updateValue(nil, forKey: LogTransfer.pieceNote(author, piece))
        }
    }

    func jitter(_ range: ClosedRange<Milliseconds>) -> Milliseconds {
        range.lowerBound
            + Milliseconds(random() % UInt64(range.upperBound - range.lowerBound + 1))
    }
}
