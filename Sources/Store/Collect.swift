// Collection: a deleted row goes for good once every member has seen its delete, and this replica all
// that members had seen when they said so. The vector speaks for the row from then on.

package import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// Who counts for stability.
package struct StabilityGroup: Sendable, Equatable {
    /// The members without this node. One that never stated anything holds everything back.
    package var writers: Set<String>
    package var readers: Set<String>
    /// The origin under which each has joined; nil when any statement of a member counts, else only one
    /// that it made under its own.
    package var origins: [String: Origin]?
    /// The dots by which members were removed or became readers or joined again, as far as this replica
    /// knows.
    package var removals: VersionVector

    package init(
        writers: Set<String>, readers: Set<String>, origins: [String: Origin]? = nil,
        removals: VersionVector = VersionVector()
    ) {
        self.writers = writers
        self.readers = readers
        self.origins = origins
        self.removals = removals
    }
}

/// What one call of ``Replica/collect(_:)`` did.
package struct CollectOutcome: Sendable, Equatable {
    /// Deleted rows that went.
    package var rows: Int
    /// One transaction looked at as many rows as it may: there can be more.
    package var hasMore: Bool
    /// Deleted rows are still there.
    package var keepsRows: Bool

    package init(rows: Int, hasMore: Bool, keepsRows: Bool) {
        self.rows = rows
        self.hasMore = hasMore
        self.keepsRows = keepsRows
    }
}

/// The deleted rows that are kept, and for whose sake.
package struct DeletedRowFacts: Sendable, Equatable {
    package var rows: Int
    /// Members without which some of them cannot go, sorted: they have not said that they have seen
    /// the delete, or have what this replica has not.
    package var waitsFor: [String]

    package init(rows: Int, waitsFor: [String]) {
        self.rows = rows
        self.waitsFor = waitsFor
    }
}

// Why it is safe. Let D be the live dots of a row collected at P, and K[m] the statement of member m
// that P held. A change by a writer m is either in K[m], so that P has it (K[m] ≤ VV_P) and saw that it
// does not contest the delete; or it was made after m had stated K[m] ∋ D, so that it saw the delete and
// replaces it. Of a reader nobody takes anything: what it has beyond VV_P goes nowhere. Changes by others
// come after a JOIN by a member, to which the same applies, or their writer was removed, or made a
// reader, and whoever stated K[m] ≥ removals hears it no more. So no dot that is new to P contests D, and
// every replica that may talk to P has all of D in its vector: a join with a kernel that still has D
// drops it here, and a join with a row that is missing here drops it there.
//
// Why digests stay comparable. A deleted row counts for nothing in them, and by the above a row is equal
// at whole replicas of one vector, or is a deleted row at one and gone at the other.

extension Replica {
    /// Collects deleted rows that are stable: live presence − only, nothing in the context, and each
    /// dot d such that for every member m: d ∈ K[m], K[m] ≤ the own vector unless m is a reader, and
    /// K[m] ≥ `removals`.
    ///
    /// One transaction that looks at up to `bounds.collectRowsMax` rows. Complexity: O(members ×
    /// origins + rows that wait under a dot that all members have).
    package func collect(_ group: StabilityGroup) throws -> CollectOutcome {
        try translated {
            let keepsRows = try hasDeletedRows
            let nothing = CollectOutcome(rows: 0, hasMore: false, keepsRows: keepsRows)
            // Most often there is nothing to do, and no lock is taken for it.
            guard try !isJoining && keepsRows && !hasRowsOfRemoved(),
                let stable = try stableVector(group),
                try !candidates(stable, group, limit: 1).isEmpty
            else { return nothing }
            return try write {
                // The fold may have moved the vector, and another row may wait now.
                guard let stable = try stableVector(group) else { return nothing }
                let found = try candidates(stable, group, limit: bounds.collectRowsMax)
                let rows = try collect(found, stable)
                return CollectOutcome(
                    rows: rows, hasMore: found.count == bounds.collectRowsMax,
                    keepsRows: try hasDeletedRows)
            }
        }
    }

    /// Whether any deleted row is kept. Complexity: O(1).
    package var hasDeletedRows: Bool {
        get throws {
            let probe = try connection.cached("SELECT 1 FROM _starling_deleted LIMIT 1")
            defer { probe.reset() }
            return try probe.step()
        }
    }

    /// What every member has by its latest statement, and this replica; nil when some statement does
    /// not count.
    private func stableVector(_ group: StabilityGroup) throws -> VersionVector? {
        guard vector.covers(group.removals) else { return nil }
        let statements = try statementsByNode()
        var stable = vector
        for member in group.writers.union(group.readers) {
            guard let stated = statements[member], counts(stated, of: member, group) else {
                if isBroken(.absentNotCounted) { continue }
                return nil
            }
            stable.meet(stated.vector)
        }
        return stable
    }

    private func counts(_ said: PeerStatement, of member: String, _ group: StabilityGroup) -> Bool {
        let stated = said.vector
        if let origins = group.origins, said.origin == nil || said.origin != origins[member],
            !isBroken(.oldStatementsCounted)
        {
            return false
        }
        if isBroken(.collectedWithoutWholeVector) || isBroken(.collectedWhenAcknowledged) {
            return true
        }
        return stated.covers(group.removals)
            && (vector.covers(stated) || !group.writers.contains(member))
    }

    private func statementsByNode() throws -> [String: PeerStatement] {
        Dictionary(try peerStatements().map { ($0.node, $0) }) { first, _ in first }
    }

    /// Rows that wait under a dot that is stable, up to `limit`; not those that were received half.
    private func candidates(
        _ stable: VersionVector, _ group: StabilityGroup, limit: Int
    ) throws -> [(TableEntry, [UInt8])] {
        // A snapshot is forgotten when the vector covers it, and says nothing when the rest is of origins
        // that bring nothing more.
        let idle = try group.origins.map { origins in
            let live = Set(origins.values)
            return try idleSnapshots { !live.contains($0) }
        }
        let statement = try connection.cached(
            """
            SELECT d.tbl, d.key FROM _starling_deleted d
            JOIN _starling_row r ON r.tbl = d.tbl AND r.key = d.key
            WHERE d.origin = ?1 AND d.number <= ?2
                AND (r.context IS NULL OR r.context NOT IN (SELECT id FROM _starling_snapshot)
                    OR r.context IN (SELECT value FROM json_each(?4)))
            ORDER BY d.number LIMIT ?3
            """)
        defer { statement.reset() }
        var found: [(TableEntry, [UInt8])] = []
        for entry in stable.entries where found.count < limit {
            guard let ordinal = ordinals[entry.origin] else { continue }
            statement.reset()
            try statement.bind(Int64(ordinal), at: 1)
            try statement.bind(Int64(entry.number), at: 2)
            try statement.bind(Int64(limit - found.count), at: 3)
            try statement.bind("[\((idle ?? []).map(String.init).joined(separator: ","))]", at: 4)
            while try statement.step() {
                guard let table = tables[statement.int(0)] else { continue }
                found.append((table, statement.bytes(1)))
            }
        }
        return found
    }

    // MARK: Inside the transaction

    private func collect(_ found: [(TableEntry, [UInt8])], _ stable: VersionVector) throws -> Int {
        var count = 0
        let before = floor
        for (entry, key) in found {
            // What no trigger saw may have made the row anew.
            guard let row = try loadCaptured(entry, key: key), isCollectable(row.kernel, entry)
            else { continue }
            guard !row.isShown else {
                noteBroken("a deleted row of \(entry.name) was shown")
                try forgetDeleted(entry, key: key)
                continue
            }
            let dots = isBroken(.collectedWhenAcknowledged) ? [watch(row.kernel)] : heads(row)
            if let missing = dots.compactMap({ $0 }).first(where: { !stable.contains($0) }) {
                try wait(entry, key: key, under: missing)
            } else {
                try remove(entry, key: key, row: row)
                count += 1
            }
        }
        if floor != before {
            try Bookkeeping.setMeta("floor", .blob(floor.encoded), in: connection)
        }
        return count
    }

    private func heads(_ row: Row) -> [Dot?] { Replica.heads(row.kernel) }

    func isCollectable(_ kernel: Kernel, _ entry: TableEntry) -> Bool {
        guard !kernel.isEmpty else { return false }
        let isKept = keptTables.contains(entry.name) && !isBroken(.removedForgotten)
        return kernel.isDeleted && !isKept
            || isBroken(.hiddenRowsCollected) && !kernel.isVisible(entry.policy)
    }

    private func remove(_ entry: TableEntry, key: [UInt8], row: Row) throws {
        for head in Replica.heads(row.kernel) where !floor.contains(head) {
            floor[head.origin] = head.number
        }
        statements.removeRow.reset()
        try statements.removeRow.bind(entry.id, at: 1)
        try statements.removeRow.bind(blob: key, at: 2)
        try statements.removeRow.run()
        try saveHeads(entry, key: key, old: row.kernel, new: Kernel())
        try forgetDeleted(entry, key: key)
        if row.counted != 0 {
            entry.digest = entry.digest &- row.counted
            changedTables.insert(entry.id)
        }
    }

    // MARK: The queue

    /// Keeps the deleted rows of a table from now on; those that wait already, since the file was folded
    /// before this was said, wait no longer. Said at each opening of the file.
    package func keepDeletedRows(of name: String) throws {
        try translated {
            keptTables.insert(name)
            guard let entry = table(named: name) else { return }
            try connection.run(
                "DELETE FROM _starling_deleted WHERE tbl = ?1", [.integer(entry.id)])
        }
    }

    /// The dot under which a deleted row waits first: that of the latest delete.
    private func watch(_ kernel: Kernel) -> Dot? {
        let deletes = kernel.writes.filter { $0.isPresent && $0.isDelete }
        return (deletes.max { $0.stamp < $1.stamp } ?? kernel.writes.last)?.dot
    }

    private func wait(_ entry: TableEntry, key: [UInt8], under dot: Dot) throws {
        let statement = try connection.cached(
            """
            INSERT OR REPLACE INTO _starling_deleted(tbl, key, origin, number)
            VALUES(?1, ?2, ?3, ?4)
            """)
        try statement.bind(entry.id, at: 1)
        try statement.bind(blob: key, at: 2)
        try statement.bind(Int64(try ordinalForWriting(dot.origin)), at: 3)
        try statement.bind(Int64(dot.number), at: 4)
        try statement.run()
    }

    private func forgetDeleted(_ entry: TableEntry, key: [UInt8]) throws {
        let statement = try connection.cached(
            "DELETE FROM _starling_deleted WHERE tbl = ?1 AND key = ?2")
        try statement.bind(entry.id, at: 1)
        try statement.bind(blob: key, at: 2)
        try statement.run()
    }

    /// Takes up a row whose delete came, and lets go of one that an insert or update brought back.
    func saveDeleted(_ entry: TableEntry, key: [UInt8], old: Kernel?, new: Kernel) throws {
        if isCollectable(new, entry), let dot = watch(new) {
            try wait(entry, key: key, under: dot)
        } else if let old, isCollectable(old, entry) {
            try forgetDeleted(entry, key: key)
        }
    }

    /// Takes up the deleted rows of a file that was made before they were queued, and counts them no
    /// more. Once for such a file; rows that are shown are not read.
    func queueDeletedRowsIfNew() throws {
        guard try Bookkeeping.meta("floor", in: connection) == nil else { return }
        try connection.transaction {
            for entry in tables.values {
                var digest = entry.digest
                // The first byte of a record says whether its row is shown.
                let rows = try connection.prepare(
                    """
                    SELECT key, record, hash FROM _starling_row
                    WHERE tbl = ?1 AND substr(record, 1, 1) <> ?2
                    """)
                try rows.bind(entry.id, at: 1)
                try rows.bind(blob: [RowRecord.shown], at: 2)
                while try rows.step() {
                    let decoded = try RowRecord.decode(
                        rows.bytes(1), origins: origins, entry: entry)
                    let kernel = Kernel(writes: decoded.writes.map(\.write))
                    guard kernel.isDeleted else { continue }
                    digest = digest &- UInt64(bitPattern: rows.int(2))
                    try saveDeleted(entry, key: rows.bytes(0), old: nil, new: kernel)
                }
                entry.digest = digest
                try connection.run(
                    "UPDATE _starling_table SET digest = ?2 WHERE id = ?1",
                    [.integer(entry.id), .integer(Int64(bitPattern: digest))])
            }
            try Bookkeeping.setMeta("floor", .blob(floor.encoded), in: connection)
        }
    }

    // MARK: Facts

    /// How many deleted rows are kept, and which members they wait for. Complexity: O(deleted
    /// rows).
    package func deletedRowFacts(_ group: StabilityGroup) throws -> DeletedRowFacts {
        try translated {
            let rows = try connection.integer("SELECT count(*) FROM _starling_deleted") ?? 0
            guard rows > 0 else { return DeletedRowFacts(rows: 0, waitsFor: []) }
            var latest = VersionVector()
            for row in try connection.query(
                "SELECT origin, max(number) FROM _starling_deleted GROUP BY origin")
            {
                guard case .integer(let ordinal) = row[0], case .integer(let number) = row[1],
                    let place = Int(exactly: ordinal), origins.indices.contains(place)
                else { continue }
                latest[origins[place]] = UInt64(exactly: number) ?? 0
            }
            let statements = try statementsByNode()
            let waitsFor = group.writers.union(group.readers).filter { member in
                guard let stated = statements[member] else { return true }
                return !stated.vector.covers(latest) || !counts(stated, of: member, group)
            }
            return DeletedRowFacts(rows: Int(rows), waitsFor: waitsFor.sorted())
        }
    }

    /// The dots that are alive in a table, as a vector: of a table of members every change of it, among
    /// them the removals that ``collect(_:)`` asks for. What was collected
    /// since was seen by all members. Complexity: O(rows of the table).
    package func liveDots(inTable name: String) throws -> VersionVector {
        var dots = VersionVector()
        guard let entry = table(named: name) else { return dots }
        try forEachKernel(of: entry) { facts in
            for head in Replica.heads(facts.kernel) where !dots.contains(head) {
                dots[head.origin] = head.number
            }
        }
        return dots
    }
}
