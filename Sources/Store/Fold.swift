// Fold: journal entries become dots. Entries of one row within one second become one change; the
// stamp is the time of the write, not of the fold.

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// What programs did to one row within one second.
private struct PendingChange {
    enum Kind { case insert, update, delete }
    var kind: Kind
    var second: Int64
    var columns: Set<ColumnID> = []
    /// Of a delete: the values that went with the row, in the order of the table's access.
    var oldValues: [Value]?
}

/// One row's entries in the order of the journal.
private struct RowEntries {
    var changes: [PendingChange] = []

    /// Entries of one second become one change. Only a delete stands for itself: what was written
    /// before it in that second is a change of its own, since the values that go with the
    /// delete may belong to it, and to no dot that peers have.
    mutating func add(
        _ kind: PendingChange.Kind, second: Int64, columns: Set<ColumnID> = [],
        oldValues: [Value]? = nil
    ) {
        let last = changes.last.flatMap { $0.second == second ? $0 : nil }
        switch (last?.kind, kind) {
        case (.insert, .update): return
        case (.update, .update): changes[changes.count - 1].columns.formUnion(columns)
        case (.delete, .delete): changes[changes.count - 1].oldValues = oldValues
        case (_, .insert):
            while let last = changes.last, last.second == second { changes.removeLast() }
            changes.append(PendingChange(kind: .insert, second: second))
        default:
            changes.append(
                PendingChange(kind: kind, second: second, columns: columns, oldValues: oldValues))
        }
    }

    /// Takes away inserts of a row that nobody saw and that went in the same second, with the
    /// deletes that go with them: the values that those carry belong to no dot.
    mutating func removeFleeting(isShown: Bool) {
        var isShown = isShown
        var kept: [PendingChange] = []
        var index = 0
        while index < changes.count {
            let change = changes[index]
            index += 1
            if change.kind == .insert, !isShown, index < changes.count,
                changes[index].kind == .delete, changes[index].second == change.second
            {
                index += 1
                continue
            }
            isShown = change.kind != .delete
            kept.append(change)
        }
        changes = kept
    }
}

extension Replica {
    /// Folds until the journal is empty, in short transactions. Returns true when anything changed.
    @discardableResult
    package func fold() throws -> Bool {
        try translated {
            hasVisibleChange = false
            var version: Int64 = -1
            repeat {
                try rawWrite {
                    version = try connection.cachedInteger("PRAGMA data_version") ?? -1
                    try rearmIfNeeded()
                    try foldBatch()
                }
            } while try !isJournalEmpty()
            foldedDataVersion = version
            return hasVisibleChange
        }
    }

    /// Entries that wait in the journals of all tables, and rows that went without one.
    package func journalCount() throws -> Int {
        try translated {
            var count: Int64 = 0
            for entry in tables.values where entry.isLive {
                count +=
                    try connection.integer(
                        "SELECT count(*) FROM \(Capture.journalTable(id: entry.id))") ?? 0
                if let triggers = try entry.access?.triggers() {
                    count += try connection.cachedInteger(triggers.goneVictims) ?? 0
                }
            }
            return Int(count)
        }
    }

    /// Whether no entry waits, as `connection` sees the file; the replica's own when nil.
    func isJournalEmpty(in connection: Connection? = nil) throws -> Bool {
        try !tables.values.contains {
            try $0.isLive && hasJournalEntry($0, in: connection ?? self.connection)
        }
    }

    /// Whether anything of the table is to be folded. A row that went because another took its rowid leaves
    /// no entry, only that it may have gone.
    private func hasJournalEntry(_ entry: TableEntry, in connection: Connection) throws -> Bool {
        let victims = " UNION ALL SELECT 1 FROM \(Capture.victimTable(id: entry.id))"
        let probe = try connection.cached(
            "SELECT 1 FROM \(Capture.journalTable(id: entry.id))"
                + "\(isBroken(.victimsAloneMissed) ? "" : victims) LIMIT 1")
        defer { probe.reset() }
        return try probe.step()
    }

    /// Folds what exceeds one transaction before another kind of work begins.
    func prefoldLargeJournal() throws {
        while try isJournalLarge() {
            try rawWrite {
                try rearmIfNeeded()
                try foldBatch()
            }
        }
    }

    private func isJournalLarge() throws -> Bool {
        for entry in tables.values where entry.isLive {
            let probe = try connection.cached(
                """
                SELECT 1 FROM \(Capture.journalTable(id: entry.id))
                LIMIT 1 OFFSET \(bounds.foldEntriesMax / 2)
                """)
            let isLarge = try probe.step()
            probe.reset()
            if isLarge { return true }
        }
        return false
    }

    /// Folds everything inside the open transaction.
    func foldWithinTransaction() throws {
        while try foldBatch() {}
    }

    /// Folds one batch of every table, parents first. Returns false when nothing was there.
    @discardableResult
    func foldBatch() throws -> Bool {
        var budget = bounds.foldEntriesMax
        var found = false
        for entry in tablesInDependencyOrder where entry.isLive && budget > 0 {
            let count = try foldBatch(entry, limit: budget)
            budget -= count
            found = found || count > 0
        }
        if found { try saveOwnNumber() }
        return found
    }

    func foldBatch(_ entry: TableEntry, limit: Int) throws -> Int {
        guard try hasJournalEntry(entry, in: connection), let plan = try journalPlan(entry) else {
            return 0
        }
        let journal = Capture.journalTable(id: entry.id)
        if let triggers = try entry.access?.triggers() {
            try Capture.settle(triggers, in: connection)
        }
        let statement = try connection.cached("SELECT * FROM \(journal) ORDER BY seq LIMIT ?1")
        try statement.bind(Int64(limit), at: 1)
        var order: [[UInt8]] = []
        var rows: [[UInt8]: RowEntries] = [:]
        var last: Int64 = 0
        var count = 0
        while try statement.step() {
            count += 1
            last = statement.int(0)
            guard let key = plan.key(statement) else { continue }
            if rows[key] == nil { order.append(key) }
            plan.add(statement, to: &rows[key, default: RowEntries()])
        }
        statement.reset()
        guard count > 0 else { return 0 }
        let isLast =
            try count < limit
            || connection.first("SELECT 1 FROM \(journal) WHERE seq > ?1", [.integer(last)]) == nil
        for key in order {
            guard let entries = rows[key] else { continue }
            try apply(entries, to: entry, key: key, isLastBatch: isLast)
        }
        try connection.run("DELETE FROM \(journal) WHERE seq <= ?1", [.integer(last)])
        return count
    }

    /// Turns one row's entries into dots.
    ///
    /// `isLastBatch`: no entry waits behind these.
    private func apply(
        _ entries: RowEntries, to entry: TableEntry, key: [UInt8], isLastBatch: Bool
    ) throws {
        guard let access = entry.access else { return }
        let firstFresh = vector[author] + 1
        // The first delete has the values of the row as it was, the last those of its successors.
        let deletes = entries.changes.filter { $0.kind == .delete }
        let first = isBroken(.fleetingValuesTaken) ? deletes.last : deletes.first
        let old = try reader.read(
            entry, key: key, origins: origins, absentValues: first?.oldValues)
        var row = old ?? Row()
        var entries = entries
        entries.removeFleeting(isShown: row.isShown)
        let last = entries.changes.last
        let oldValues = last?.kind == .delete ? last?.oldValues : nil
        let current =
            if let old, old.isShown { old.tableValues } else {
                try access.read(try decodeKey(key))
            }
        var hasChanged = false
        for change in entries.changes {
            hasChanged = try apply(change, to: &row, entry: entry) || hasChanged
        }
        if row.isShown, current == nil, isLastBatch {
            // Gone without a delete entry, as when a trigger of the app removes what is being
            // written.
            if old == nil { return }
            row.kernel.delete(nextDot(), row.kernel.stamp(atLeast: clock), erasing: true)
            row.isShown = false
        }
        guard hasChanged else { return }
        if !entry.parentColumns.isEmpty {
            let isWhole = entries.changes.contains { $0.kind != .update }
            let columns = entries.changes.flatMap(\.columns)
            noteVacated(entry, old: old, columns: isWhole ? .all : ColumnSet(columns))
        }
        let values = oldValues ?? current
        fillFreshValues(&row.kernel, from: firstFresh, values: values, access: access)
        row.tableValues = row.isShown ? current : nil
        try noteTouched(entry, key: key, old: old, row: row)
        try save(entry, key: key, old: old, row: row)
        if (parkedCounts[entry.id] ?? 0) > 0 { try unpark(entry, key: key) }
    }

    /// Applies one change to the kernel; returns false when it means nothing.
    private func apply(_ change: PendingChange, to row: inout Row, entry: TableEntry) throws -> Bool
    {
        let isVisible = row.kernel.isVisible(entry.policy)
        let isHere = isVisible && row.isShown
        // Before the scan has passed, other columns may have changed while no trigger looked.
        let all = entry.scan == .rows ? entry.access.map { ColumnSet($0.columns) } : nil
        let stamp = row.kernel.stamp(atLeast: stamp(second: change.second))
        switch change.kind {
        case .insert:
            if isVisible, !row.isShown {
                row.kernel.insertBeside(nextDot(), stamp, values: [])
            } else if isBroken(.reinsertLeavesDefaults), let named = entry.access?.columns.first,
                row.isStored
            {
                row.kernel.update(nextDot(), stamp, columns: ColumnSet([named]), values: [])
            } else {
                row.kernel.insert(nextDot(), stamp, values: [])
            }
            row.isShown = true
        case .update:
            guard isHere else {
                row.kernel.insert(nextDot(), stamp, values: [])
                row.isShown = true
                return true
            }
            row.kernel.update(
                nextDot(), stamp, columns: all ?? ColumnSet(change.columns), values: [])
        case .delete:
            guard isHere else { return false }
            if let all { row.kernel.update(nextDot(), stamp, columns: all, values: []) }
            row.kernel.delete(nextDot(), row.kernel.stamp(atLeast: stamp))
            row.isShown = false
        }
        return true
    }

    /// Gives the values in the table to the fresh writes, and to nothing else.
    private func fillFreshValues(
        _ kernel: inout Kernel, from first: UInt64, values: [Value]?, access: TableAccess
    ) {
        for index in kernel.writes.indices {
            let write = kernel.writes[index]
            guard write.dot.origin == author, write.dot.number >= first, !write.columns.isEmpty
            else { continue }
            var filled: [ColumnValue] = []
            filled.reserveCapacity(access.columns.count)
            for (place, column) in access.columns.enumerated()
            where write.columns.contains(column) {
                filled.append(ColumnValue(column, values?[place] ?? .null))
            }
            kernel.setValues(filled, ofWriteAt: index)
        }
    }
}

/// How the journal of one table maps to keys and columns.
private struct JournalPlan {
    /// Statement columns of the key, in key order.
    var keyPlaces: [Int32]
    /// Column ids by position in the journal; nil for key columns and columns that went.
    var columns: [ColumnID?]
    /// For each place of the table's access, the statement column of its old value.
    var oldPlaces: [Int32?]
    var allColumns: Set<ColumnID>

    private static let firstColumn: Int32 = 4

    init(_ armed: TableSchema, entry: TableEntry, access: TableAccess) {
        let journaled = armed.storedColumns
        keyPlaces = armed.primaryKey.compactMap { key in
            journaled.firstIndex { $0.name == key.name }.map { Int32($0) + JournalPlan.firstColumn }
        }
        columns = journaled.map { $0.primaryKeyPosition > 0 ? nil : entry.column(named: $0.name) }
        let ids = columns
        oldPlaces = access.columns.map { column in
            ids.firstIndex(of: column).map { Int32($0) + JournalPlan.firstColumn }
        }
        allColumns = Set(access.columns)
    }

    /// The entry's key; nil when it cannot be a key (a program stored NULL).
    func key(_ statement: Statement) -> [UInt8]? {
        var values: [Value] = []
        values.reserveCapacity(keyPlaces.count)
        for place in keyPlaces {
            let value = statement.value(place)
            if value.isNull { return nil }
            values.append(value)
        }
        return encodeKey(values)
    }

    func add(_ statement: Statement, to entries: inout RowEntries) {
        let second = Capture.milliseconds(julianDay: statement.double(2)) / 1000
        switch statement.int(1) {
        case Capture.Operation.insert.rawValue: entries.add(.insert, second: second)
        case Capture.Operation.delete.rawValue:
            entries.add(
                .delete, second: second,
                oldValues: oldPlaces.map { $0.map { statement.value($0) } ?? .null })
        default:
            entries.add(.update, second: second, columns: changedColumns(statement))
        }
    }

    private func changedColumns(_ statement: Statement) -> Set<ColumnID> {
        var changed: Set<ColumnID> = []
        for place in Capture.changedColumns(statement.value(3), count: columns.count) {
            if let column = columns[place] { changed.insert(column) }
        }
        // A column that the triggers do not know yet changed: stamp what there is.
        return changed.isEmpty ? allColumns : changed
    }
}

extension Replica {
    private func journalPlan(_ entry: TableEntry) throws -> JournalPlan? {
        guard let armed = entry.armed, let access = entry.access else { return nil }
        return JournalPlan(armed, entry: entry, access: access)
    }

    // MARK: Numbers

    /// The next dot of this replica. Called inside a transaction, which ends with `saveOwnNumber`.
    func nextDot() -> Dot {
        let number = vector[author] + 1
        vector[author] = number
        return Dot(author, number)
    }

    func saveOwnNumber() throws {
        for own in isJoining ? [author, origin] : [origin] {
            try connection.run(
                "UPDATE _starling_origin SET seen = ?2 WHERE ord = ?1",
                [.integer(Int64(ordinals[own] ?? 0)), .integer(Int64(vector[own]))])
        }
    }
}
