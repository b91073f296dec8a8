// What becomes of rows whose origin can never complete them: a file was restored, and a peer had half
// received what it forgot.

package import CausalModel
internal import SQLite
internal import Values

extension Replica {
    /// Issues again, under the present origin, every live dot of an ended origin that lies beyond the
    /// vector: same tag, birth, stamp and value.
    ///
    /// Nobody can bring the rest of such a delta, so no vector would ever cover these dots. The replica that
    /// wrote under the origin does this, or, of a node that was removed, everybody who has such rows; what
    /// several issue is the same. And only when peers have nothing more to tell: a peer that has the
    /// origin's numbers in its vector brings them by an ordinary delta.
    /// One transaction of at most `bounds.foldEntriesMax` rows; call it until it returns 0.
    /// Complexity: O(rows to issue).
    package func reissueLost(except live: Set<Origin>, unknown: [Origin]) throws -> Int {
        let lost = (endedOrigins + removedOrigins + unknown).filter {
            $0 != origin && !live.contains($0) && ordinals[$0] != nil
        }
        guard !lost.isEmpty, !isJoining, !isBroken(.lostOriginKept) else { return 0 }
        return try write {
            hasVisibleChange = false
            var count = 0
            for origin in lost where count < bounds.foldEntriesMax {
                for (entry, key) in try rowsBeyond(
                    origin, number: vector[origin], limit: bounds.foldEntriesMax - count)
                where try reissue(entry, key: key, of: origin) {
                    count += 1
                }
            }
            if count > 0 { try saveOwnNumber() }
            return count
        }
    }

    package func unknownOrigins() throws -> [Origin] {
        let known = Set([origin, author] + endedOrigins + (joining?.abandoned ?? []))
        return try translated {
            try origins.filter {
                try authors[$0] == nil && !known.contains($0)
                    && !rowsBeyond($0, number: vector[$0], limit: 1).isEmpty
            }
        }
    }

    /// Rows with a live dot of `origin` above `number`, in its order.
    func rowsBeyond(_ origin: Origin, number: UInt64, limit: Int) throws -> [(TableEntry, [UInt8])]
    {
        guard let ordinal = ordinals[origin] else { return [] }
        return try connection.query(
            """
            SELECT tbl, key FROM _starling_dot WHERE origin = ?1 AND number > ?2
            ORDER BY number LIMIT ?3
            """,
            [.integer(Int64(ordinal)), .integer(Int64(number)), .integer(Int64(limit))]
        ).compactMap { row in
            guard case .integer(let id) = row[0], case .blob(let key) = row[1],
                let entry = tables[id]
            else { return nil }
            return (entry, key)
        }
    }

    private func reissue(_ entry: TableEntry, key: [UInt8], of lost: Origin) throws -> Bool {
        guard let old = try loadCaptured(entry, key: key), !old.isHollow, old.held.isEmpty else {
            return false
        }
        var row = old
        // The row has seen what it gives up, so whoever still holds it lets it go.
        var seen = old.context ?? vector
        let writes = old.kernel.writes.map { write in
            guard write.dot.origin == lost, write.dot.number > vector[lost] else { return write }
            var write = write
            seen[lost] = max(seen[lost], write.dot.number)
            write.dot = nextDot()
            return write
        }
        row.kernel = Kernel(writes: writes)
        guard row.kernel != old.kernel else { return false }
        row.context = vector.covers(seen) ? nil : seen
        try settle(entry, key: key, old: old, row: &row)
        try noteTouched(entry, key: key, old: old, row: row)
        try save(entry, key: key, old: old, row: row)
        return true
    }
}
