// Apply: rows of a peer are joined as they come, in short transactions; the vector moves only with
// the delta's END, to the join with the sender's snapshot vector.

package import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// How one chunk's tables and columns map to this replica's.
private struct ChunkMapping {
    var entry: TableEntry
    /// Local column by the sender's number.
    var columns: [ColumnID]
    /// True when both sides number the columns alike, as is common.
    var isIdentity: Bool
    var keyCount: Int?
}

extension Replica {
    package func apply(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        isBulk = !chunk.isLast
        defer { isBulk = false }
        return try write {
            hasVisibleChange = false
            let before = origin
            if isBroken(.vectorMovedAtStart) { try advance(to: header.snapshot) }
            let rows = try join(chunk, header)
            if isBroken(.vectorMovedWithEachChunk) { try advance(to: header.snapshot) }
            try keepPosition(chunk, header)
            return ApplyOutcome(
                rows: rows, hasChanged: hasVisibleChange, hasEndedOrigin: origin != before)
        }
    }

    package func finish(_ header: DeltaHeader) throws -> ApplyOutcome {
        try write {
            hasVisibleChange = false
            let before = origin
            try end(header)
            return ApplyOutcome(rows: 0, hasChanged: true, hasEndedOrigin: origin != before)
        }
    }

    package func applyWhole(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        try write {
            hasVisibleChange = false
            let before = origin
            let rows = try join(chunk, header)
            try end(header)
            return ApplyOutcome(rows: rows, hasChanged: true, hasEndedOrigin: origin != before)
        }
    }

    package func resumePoint(from source: Origin) throws -> ResumePoint? {
        try translated {
            let rows = try connection.query(
                """
                SELECT receiver, base, snapshot, origin, number FROM _starling_transfer
                WHERE source = ?1
                """, [.blob(source.bytes)])
            guard let row = rows.first, case .blob(let receiver) = row[0],
                case .blob(let base) = row[1], case .blob(let snapshot) = row[2],
                case .blob(let dotOrigin) = row[3], case .integer(let number) = row[4],
                let receiverOrigin = Origin(bytes: receiver), receiverOrigin == origin,
                let positionOrigin = Origin(bytes: dotOrigin),
                let position = UInt64(exactly: number)
            else { return nil }
            return ResumePoint(
                source: source, receiver: receiverOrigin,
                base: try VersionVector(decoding: base),
                snapshot: try VersionVector(decoding: snapshot),
                position: DeltaPosition(dot: Dot(positionOrigin, position)),
                began: try copyBegan(from: source))
        }
    }

    // MARK: Inside the transaction

    func join(_ chunk: DeltaChunk, _ header: DeltaHeader) throws -> Int {
        guard vector.covers(header.base) || isBroken(.deltaBelowBaseTaken) else {
            throw StoreError(
                .invalidDelta, "the delta leaves out values that this node does not have")
        }
        var decoder = try received { () throws(CodecError) in try ChunkDecoder(chunk.body) }
        let mappings = try decoder.tables.map { try mapping($0) }
        var count = 0
        while let row = try received({ () throws(CodecError) in try decoder.next() }) {
            try join(row, mappings[row.table], header)
            count += 1
        }
        return count
    }

    /// Decodes what came from a peer; what is stored here and does not decode is another error.
    private func received<Result>(_ body: () throws(CodecError) -> Result) throws -> Result {
        do { return try body() } catch {
            throw StoreError(.invalidDelta, "a chunk of a peer does not decode: \(error)")
        }
    }

    private func mapping(_ table: ChunkTable) throws -> ChunkMapping {
        let folded = TableEntry.folded(table.name)
        guard !folded.hasPrefix("_starling_"), !folded.hasPrefix("sqlite_") else {
            throw StoreError(.invalidDelta, "a peer sent rows of an internal table")
        }
        let entry: TableEntry
        if let known = self.table(named: table.name) {
            entry = known
        } else {
            guard tables.count < bounds.tablesMax else {
                throw StoreError(.invalidDelta, "a peer sent too many tables")
            }
            entry = try addTable(table.name, state: .unknown, policy: .addWins)
        }
        let columns = try table.columns.map { try columnForWriting($0, entry: entry) }
        guard Set(columns).count == columns.count else {
            throw StoreError(.invalidDelta, "a peer sent a table with one column twice")
        }
        return ChunkMapping(
            entry: entry, columns: columns,
            isIdentity: columns.enumerated().allSatisfy { Int($1) == $0 },
            keyCount: entry.access?.keyColumns.count)
    }

    private func join(_ received: ChunkRow, _ mapping: ChunkMapping, _ header: DeltaHeader) throws {
        let entry = mapping.entry
        // Of a table that is not known here nobody knows yet how many columns its key has.
        let keyValues = try self.received { () throws(CodecError) in try decodeKey(received.key) }
        guard !keyValues.isEmpty, keyValues.count == mapping.keyCount ?? keyValues.count,
            encodeKey(keyValues) == received.key, !keyValues.contains(.null)
        else {
            throw StoreError(.invalidDelta, "a peer sent a row of \(entry.name) with a bad key")
        }
        var writes = received.writes
        if !mapping.isIdentity { writes = writes.map { translate($0, mapping.columns) } }
        for write in writes {
            if write.dot.origin == origin, write.dot.number > vector[origin] {
                try startOrigin()
                problems["origin"] = "a peer knew changes of this node that its file lost"
            }
            observe(write.stamp, of: write.dot.origin)
            guard origins.count < Limits.originsMax else {
                throw StoreError(.invalidDelta, "a peer sent rows of too many origins")
            }
            _ = try ordinalForWriting(write.dot.origin)
            _ = try ordinalForWriting(write.birth.origin)
        }
        let old = try loadCaptured(entry, key: received.key)
        if let old, old.isHollow { throw StoreError.hollow(entry) }
        var row = old ?? Row()
        let before = row.kernel
        let mine = seen(by: old)
        let hasSeen: (Dot) -> Bool = { [vector] in
            if isBroken(.joinKeepsEverything) { return false }
            if isBroken(.contextsOnly) { return old != nil && (mine ?? vector).contains($0) }
            return !isBroken(.receiverVectorNotCounted) && vector.contains($0)
                || mine?.contains($0) ?? false
        }
        expectSound(entry, old?.kernel, writes, hasSeen: hasSeen)
        row.kernel.join(
            Kernel(writes: writes), hasSeen: hasSeen,
            otherHasSeen: {
                if isBroken(.joinKeepsEverything) { return false }
                if isBroken(.contextsOnly), let context = received.context {
                    return context.contains($0)
                }
                return !isBroken(.senderVectorNotCounted) && header.snapshot.contains($0)
                    || received.context?.contains($0) ?? false
            })
        guard
            row.kernel.writes.allSatisfy({ !$0.areValuesOmitted }) || isBroken(.deltaBelowBaseTaken)
        else {
            throw StoreError(.invalidDelta, "a peer left out values that this node does not have")
        }
        if old == nil, row.kernel.isEmpty { return }
        row.context = context(mine, header, received)
        if row.kernel == before, row.context == old?.context { return }
        try settle(entry, key: received.key, old: old, row: &row)
        try noteTouched(entry, key: received.key, old: old, row: row)
        try save(entry, key: received.key, old: old, row: row)
    }

    /// What the row has seen now beyond the replica's vector; nil when nothing.
    private func context(_ mine: VersionVector?, _ header: DeltaHeader, _ received: ChunkRow)
        -> VersionVector?
    {
        if isBroken(.snapshotVectorForgotten) { return mine ?? received.context }
        if mine == nil, received.context == nil {
            return !isJoining && vector.covers(header.snapshot) ? nil : header.snapshot
        }
        var seen = header.snapshot
        if let mine { seen.join(mine) }
        if let context = received.context { seen.join(context) }
        return !isJoining && vector.covers(seen) ? nil : seen
    }

    private func translate(_ write: Write, _ columns: [ColumnID]) -> Write {
        var write = write
        write.columns = ColumnSet(
            isAll: write.columns.isAll,
            listed: write.columns.listed.map { columns[Int($0)] }.sorted())
        write.values = write.values.map { ColumnValue(columns[Int($0.column)], $0.value) }
            .sorted { $0.column < $1.column }
        return write
    }

    private func keepPosition(_ chunk: DeltaChunk, _ header: DeltaHeader) throws {
        try noteCopyBegan(header)
        try connection.run(
            """
            INSERT OR REPLACE INTO _starling_transfer(
                source, receiver, base, snapshot, origin, number) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
            """,
            [
                .blob(header.source.bytes), .blob(origin.bytes), .blob(header.base.encoded),
                .blob(header.snapshot.encoded), .blob(chunk.position.dot.origin.bytes),
                .integer(Int64(chunk.position.dot.number)),
            ])
    }

    /// Moves the vector, and forgets where a broken transfer from that source stands.
    func end(_ header: DeltaHeader) throws {
        guard vector.covers(header.base) || isBroken(.deltaBelowBaseTaken) else {
            throw StoreError(.invalidDelta, "the delta begins beyond what this node has")
        }
        try checkRoom(for: header.snapshot)
        if header.snapshot[origin] > vector[origin] {
            // Numbers of this node that it does not know: whatever they were, it must not use them.
            try startOrigin()
            problems["origin"] = "a peer knew changes of this node that its file lost"
        }
        try advance(to: header.snapshot)
        try connection.run(
            "DELETE FROM _starling_transfer WHERE source = ?1", [.blob(header.source.bytes)])
        try noteCopyEnded(header)
        // What its rows have seen is asked for until the last of them is settled.
        for row in try connection.query("SELECT id, vector FROM _starling_snapshot") {
            guard case .blob(let bytes) = row[1], !isJoining else { continue }
            if vector.covers(try VersionVector(decoding: bytes)) {
                try connection.run("DELETE FROM _starling_snapshot WHERE id = ?1", [row[0]])
                lastSnapshot = nil
            }
        }
        for (id, count) in parkedCounts where count > 0 { dirty.insert(id) }
    }

    /// A vector that no peer would read must not come to be: nobody could take it back.
    private func checkRoom(for snapshot: VersionVector) throws {
        guard vector.entries.count + snapshot.entries.count > Limits.vectorOriginsMax else {
            return
        }
        let fresh = snapshot.entries.count { vector[$0.origin] == 0 }
        guard fresh == 0 || vector.entries.count + fresh <= Limits.vectorOriginsMax else {
            throw StoreError(
                .invalidDelta,
                "a peer names more than the \(Limits.vectorOriginsMax) origins that can be known: "
                    + "look at `starling members` for one that is not yours")
        }
    }
}
