// Scans: comparing a table with its kernels in short transactions. They number what was there
// before tracking, find what happened while the triggers were gone, and show what became known.

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

extension Replica {
    /// True while a scan has work left.
    package var isScanning: Bool { tables.values.contains { $0.scan != .none && $0.isLive } }

    /// Does one slice of one scan. Returns false when no scan is left.
    @discardableResult
    package func scanSlice() throws -> Bool {
        guard
            let entry = tablesInDependencyOrder.first(where: { $0.scan != .none && $0.isLive })
        else { return false }
        hasVisibleChange = false
        try write {
            switch entry.scan {
            case .rows: try scanRows(entry)
            case .kernels: try scanKernels(entry)
            case .show: try scanShow(entry)
            case .none: break
            }
        }
        return true
    }

    /// Runs all scans to their end.
    package func finishScans() throws { while try scanSlice() {} }

    private func position(_ entry: TableEntry) throws -> [UInt8]? {
        guard
            case .blob(let key)? = try connection.first(
                "SELECT scanned FROM _starling_table WHERE id = ?1", [.integer(entry.id)])
        else { return nil }
        return key
    }

    private func advance(_ entry: TableEntry, to key: [UInt8]?, next: ScanPhase) throws {
        if key == nil { entry.scan = next }
        try connection.run(
            "UPDATE _starling_table SET scanned = ?2, scan = ?3 WHERE id = ?1",
            [
                .integer(entry.id), key.map { .blob($0) } ?? .null,
                .integer(entry.scan.rawValue),
            ])
    }

    /// Starts a scan from its beginning. One that only shows does not break off one that looks for
    /// what was not captured: showing is the last phase of that.
    func beginScan(_ entry: TableEntry, _ phase: ScanPhase, isCaptured: Bool = false) throws {
        if phase == .show, entry.scan == .rows || entry.scan == .kernels { return }
        entry.scan = phase
        entry.isScanCaptured = isCaptured
        try connection.run(
            "UPDATE _starling_table SET scanned = NULL, scan = ?2 WHERE id = ?1",
            [.integer(entry.id), .integer(phase.rawValue)])
    }

    /// A table of which values may belong to no dot yet: its triggers were gone, and the scan that looks
    /// what happened meanwhile has not come to its end.
    var tableInDoubt: TableEntry? { tables.values.first { isInDoubt($0) } }

    func isInDoubt(_ entry: TableEntry) -> Bool {
        entry.isLive && (entry.scan == .rows || entry.scan == .kernels) && !entry.isScanCaptured
    }

    // MARK: Rows against kernels

    private func scanRows(_ entry: TableEntry) throws {
        guard let access = entry.access else { return }
        let keys = access.keyColumns.map(quotedIdentifier).joined(separator: ", ")
        let start = try position(entry).map { try decodeKey($0) }
        let condition =
            start.map { "WHERE (\(keys)) > (\($0.map { _ in "?" }.joined(separator: ", ")))" } ?? ""
        let found = try connection.query(
            """
            SELECT \(keys) FROM \(access.table) \(condition) ORDER BY \(keys)
            LIMIT \(bounds.scanRowsMax)
            """, start ?? [])
        for key in found where !key.contains(.null) {
            try numberUncaptured(entry, key: encodeKey(key))
        }
        try saveOwnNumber()
        let last = found.count == bounds.scanRowsMax ? found.last.map { encodeKey($0) } : nil
        try advance(entry, to: last, next: .kernels)
    }

    /// The row, after what no trigger saw of it was numbered: only then do the values in the table
    /// belong to its dots.
    func loadCaptured(_ entry: TableEntry, key: [UInt8]) throws -> Row? {
        if entry.scan == .rows || entry.scan == .kernels {
            try numberUncaptured(entry, key: key)
        }
        return try load(entry, key: key)
    }

    /// Compares one row of the table with its kernel, and numbers what was not captured: an insert,
    /// a delete, or an update of every column, since nobody knows which changed.
    private func numberUncaptured(_ entry: TableEntry, key: [UInt8]) throws {
        guard let access = entry.access else { return }
        let keyValues = try decodeKey(key)
        let old = try load(entry, key: key)
        guard let current = try access.read(keyValues) else {
            if let old, old.isShown { try numberDelete(entry, key: key, old: old) }
            return
        }
        let now = environment.wallClock() / 1000
        var row = old ?? Row()
        let values = zip(access.columns, current).map { ColumnValue($0, $1) }
        if let old, old.isShown {
            let columns = uncapturedColumns(entry, key: key, row: old, current: current)
            if columns.isEmpty { return }
            row.kernel.update(
                nextDot(), row.kernel.stamp(atLeast: stamp(second: now)),
                columns: ColumnSet(columns), values: values.filter { columns.contains($0.column) })
        } else {
            let stamp = row.kernel.stamp(atLeast: stamp(second: now))
            if row.kernel.isVisible(entry.policy) {
                row.kernel.insertBeside(nextDot(), stamp, values: values)
            } else {
                row.kernel.insert(nextDot(), stamp, values: values)
            }
        }
        row.isShown = true
        row.tableValues = current
        noteVacated(entry, old: old, columns: .all)
        try saveOwnNumber()
        try noteTouched(entry, key: key, old: old, row: row)
        try save(entry, key: key, old: old, row: row)
        try unpark(entry, key: key)
    }

    /// The columns that changed without capture. Of values that a write has only the stored hash
    /// knows what they were: if it differs, any of them may have changed.
    private func uncapturedColumns(
        _ entry: TableEntry, key: [UInt8], row: Row, current: [Value]
    ) -> [ColumnID] {
        guard let access = entry.access else { return [] }
        // The values in memory are the table's.
        let hash = RowHash.of(row.kernel, key: key, entry: entry, scratch: &scratch)
        if hash != row.hash { return access.columns }
        return access.columns.enumerated().filter { place, column in
            row.kernel.shown(column) == nil && current[place] != access.defaults[place]
        }.map(\.element)
    }

    // MARK: Kernels against rows

    private func storedKeys(_ entry: TableEntry, after: [UInt8]?) throws -> [[UInt8]] {
        try connection.query(
            """
            SELECT key FROM _starling_row WHERE tbl = ?1 AND key > ?2 ORDER BY key
            LIMIT \(bounds.scanRowsMax)
            """, [.integer(entry.id), .blob(after ?? [])]
        ).compactMap {
            guard case .blob(let key) = $0[0] else { return nil }
            return key
        }
    }

    /// The row left without capture, and its values with it: the delete replaces them too.
    private func numberDelete(_ entry: TableEntry, key: [UInt8], old: Row) throws {
        var row = old
        let now = stamp(second: environment.wallClock() / 1000)
        row.kernel.delete(nextDot(), row.kernel.stamp(atLeast: now), erasing: true)
        row.isShown = false
        noteVacated(entry, old: old, columns: .all)
        try saveOwnNumber()
        try noteTouched(entry, key: key, old: old, row: row)
        try save(entry, key: key, old: old, row: row)
    }

    private func scanKernels(_ entry: TableEntry) throws {
        let keys = try storedKeys(entry, after: try position(entry))
        for key in keys {
            guard let old = try load(entry, key: key), old.isShown, old.tableValues == nil else {
                continue
            }
            try numberDelete(entry, key: key, old: old)
        }
        let last = keys.count == bounds.scanRowsMax ? keys.last : nil
        try advance(entry, to: last, next: .show)
    }

    // MARK: Kernels into the table

    /// Shows rows and columns that became known; hides what should not be there.
    private func scanShow(_ entry: TableEntry) throws {
        let keys = try storedKeys(entry, after: try position(entry))
        for key in keys {
            guard let old = try load(entry, key: key) else { continue }
            var row = old
            try settle(entry, key: key, old: old, row: &row)
            guard row.isShown != old.isShown || row.tableValues != old.tableValues else { continue }
            try noteTouched(entry, key: key, old: old, row: row)
            try save(entry, key: key, old: old, row: row)
        }
        let last = keys.count == bounds.scanRowsMax ? keys.last : nil
        try advance(entry, to: last, next: .none)
    }

    // MARK: Leaving

    /// Moves the values of shown rows from the table into their kernels, in short transactions.
    func leave(_ entry: TableEntry) throws {
        var last: [UInt8]? = []
        while let after = last { last = try write { try leaveSlice(entry, after: after) } }
    }

    /// One slice; its last key, nil when no row is left. Called inside a transaction.
    func leaveSlice(_ entry: TableEntry, after: [UInt8]) throws -> [UInt8]? {
        // The first byte of a record says whether its row is shown.
        let keys = try connection.query(
            """
            SELECT key FROM _starling_row WHERE tbl = ?1 AND key > ?2 AND substr(record, 1, 1) = ?3
            ORDER BY key LIMIT \(bounds.scanRowsMax)
            """, [.integer(entry.id), .blob(after), .blob([RowRecord.shown])])
        var last: [UInt8]?
        for found in keys {
            guard case .blob(let key) = found[0], let old = try loadCaptured(entry, key: key),
                old.isShown
            else { continue }
            last = key
            var row = old
            row.isShown = false
            row.tableValues = nil
            try save(entry, key: key, old: old, row: row)
        }
        return last
    }
}
