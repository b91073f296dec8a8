// Loading and saving one row: its kernel, its place in the app's table, and everything that is
// derived from it (digest, dots, conflicts).

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// One row in memory, all values filled in.
struct Row {
    var kernel = Kernel()
    /// The row stands in the app's table.
    var isShown = false
    /// What this row has seen beyond the replica's vector; nil when nothing.
    var context: VersionVector?
    var hash: UInt64 = 0
    /// The values in the app's table as they are now, in the order of its access; nil when not
    /// read.
    var tableValues: [Value]?
    /// Columns by dot whose values only the table knew, when the row is gone from it.
    var held: [Dot: [ColumnID]] = [:]
    /// The values are in a table that is not there: the kernel can be neither sent nor changed.
    var isHollow = false
    /// True when the file has a kernel for the row.
    var isStored = false

    /// Its part of the table's digest. Nodes collect deleted rows at different moments, and those that
    /// still hold one must not differ from those that do not: no deleted row counts.
    var counted: UInt64 { kernel.isDeleted && !isBroken(.digestCountsDeleted) ? 0 : hash }
}

/// Reads kernels and their values through one connection: the writer's, or a snapshot's.
struct RowReader {
    let readRow: Statement
    let access: (TableEntry) throws -> TableAccess?
    let context: (Int64) throws -> VersionVector?

    /// The row under `key`; nil when there is no kernel.
    ///
    /// `absentValues`: what the table held before the delete that is being folded.
    func read(
        _ entry: TableEntry, key: [UInt8], origins: [Origin], absentValues: [Value]? = nil
    ) throws -> Row? {
        readRow.reset()
        try readRow.bind(entry.id, at: 1)
        try readRow.bind(blob: key, at: 2)
        defer { readRow.reset() }
        guard try readRow.step() else { return nil }
        let decoded = try RowRecord.decode(readRow.bytes(0), origins: origins, entry: entry)
        var row = Row(isShown: decoded.isShown, isStored: true)
        row.hash = UInt64(bitPattern: readRow.int(1))
        if !readRow.isNull(2) { row.context = try context(readRow.int(2)) }
        var writes = decoded.writes.map(\.write)
        if decoded.isShown, let access = try access(entry) {
            row.tableValues = try access.read(try decodeKey(key))
            let values = absentValues ?? row.tableValues
            for index in writes.indices where !decoded.writes[index].tableColumns.isEmpty {
                let columns = decoded.writes[index].tableColumns
                fill(&writes[index], columns, access: access, values: values)
                if values == nil { row.held[writes[index].dot] = columns }
            }
        }
        if decoded.isShown, row.tableValues == nil, try access(entry) == nil {
            row.isHollow = decoded.writes.contains { !$0.tableColumns.isEmpty }
        }
        row.kernel = Kernel(writes: writes)
        return row
    }

    /// Adds the values that the table holds. A row that is gone has a delete in the journal still
    /// to be folded, which brings the values; until then they are NULL and nobody sees them.
    private func fill(
        _ write: inout Write, _ columns: [ColumnID], access: TableAccess, values: [Value]?
    ) {
        var merged: [ColumnValue] = []
        merged.reserveCapacity(write.values.count + columns.count)
        for column in columns {
            guard let place = access.place(of: column) else { continue }
            merged.append(ColumnValue(column, values?[place] ?? .null))
        }
        if !write.values.isEmpty {
            merged.append(contentsOf: write.values)
            merged.sort { $0.column < $1.column }
        }
        write.values = merged
    }
}

extension StoreError {
    /// What a row needs whose table a program dropped.
    static func hollow(_ entry: TableEntry) -> StoreError {
        StoreError(
            .notFound,
            "rows of \(entry.name) cannot be synced because their table was dropped or cannot "
                + "be read: create it again as it was, with its rows")
    }
}

extension Replica {
    var reader: RowReader {
        RowReader(
            readRow: statements.readRow, access: { $0.isLive ? $0.access : nil },
            context: { [connection] in try Replica.snapshotVector($0, in: connection) })
    }

    func load(_ entry: TableEntry, key: [UInt8]) throws -> Row? {
        try reader.read(entry, key: key, origins: origins)
    }

    /// What the app's table shows for `kernel`, in the order of `access`.
    func shownValues(_ kernel: Kernel, access: TableAccess) -> [Value] {
        if kernel.writes.count == 1, !kernel.writes[0].isDelete {
            return zip(access.columns, access.defaults).map { column, fallback in
                kernel.writes[0].value(column) ?? fallback
            }
        }
        return zip(access.columns, access.defaults).map { column, fallback in
            kernel.shown(column) ?? fallback
        }
    }

    // MARK: Saving

    /// Stores `row` and what is derived from it. The app's table has been brought in line before:
    /// `row.isShown` says whether the row stands there, `row.tableValues` what it shows.
    func save(_ entry: TableEntry, key: [UInt8], old: Row?, row: Row) throws {
        var row = row
        row.hash = RowHash.of(row.kernel, key: key, entry: entry, scratch: &scratch)
        let access = entry.access
        let tableValues = row.tableValues
        let record = try RowRecord.encode(
            row.kernel, isShown: row.isShown,
            isInTable: { write, entry in
                guard let place = access?.place(of: entry.column) else { return false }
                guard let tableValues else {
                    // A later journal entry deletes the row, and brings the values that it had.
                    return row.held[write.dot]?.contains(entry.column)
                        ?? (row.kernel.winner(entry.column)?.dot == write.dot)
                }
                return tableValues[place] == entry.value
            },
            originIndex: { self.ordinals[$0] ?? 0 },
            layout: { try self.layout(of: $0, entry: entry) })
        try bindRow(entry, key: key, row: row, record: record)
        entry.digest = entry.digest &- (old?.counted ?? 0) &+ row.counted
        changedTables.insert(entry.id)
        try saveHeads(entry, key: key, old: old?.kernel, new: row.kernel)
        try saveDeleted(entry, key: key, old: old?.kernel, new: row.kernel)
        if row.kernel.writes.count > 1 || (old?.kernel.writes.count ?? 0) > 1 {
            try saveConflicts(entry, key: key, old: old?.kernel, new: row.kernel)
        }
        hasVisibleChange = true
    }

    private func bindRow(_ entry: TableEntry, key: [UInt8], row: Row, record: [UInt8]) throws {
        let statement = statements.writeRow
        statement.reset()
        try statement.bind(entry.id, at: 1)
        try statement.bind(blob: key, at: 2)
        try statement.bind(blob: record, at: 3)
        try statement.bind(Int64(bitPattern: row.hash), at: 4)
        if let context = row.context, isJoining || !vector.covers(context) {
            try statement.bind(try snapshotID(context), at: 5)
        } else {
            try statement.bindNull(at: 5)
        }
        try statement.run()
    }

    /// The greatest live number of each origin in a kernel.
    static func heads(_ kernel: Kernel) -> [Dot] {
        if isBroken(.presenceForgotten) {
            return kernel.writes.filter { !$0.columns.isEmpty }.map(\.dot)
        }
        if kernel.writes.count == 1 { return [kernel.writes[0].dot] }
        var heads: [Dot] = []
        // Writes are sorted by dot: the last of each origin is its greatest.
        for write in kernel.writes {
            if let last = heads.last, last.origin == write.dot.origin { heads.removeLast() }
            heads.append(write.dot)
        }
        return heads
    }

    func saveHeads(_ entry: TableEntry, key: [UInt8], old: Kernel?, new: Kernel) throws {
        let before = old.map(Replica.heads) ?? []
        let after = Replica.heads(new)
        for dot in before where !after.contains(dot) {
            let statement = statements.removeDot
            statement.reset()
            try statement.bind(Int64(ordinals[dot.origin] ?? 0), at: 1)
            try statement.bind(Int64(dot.number), at: 2)
            try statement.run()
        }
        for dot in after where !before.contains(dot) {
            let statement = statements.addDot
            statement.reset()
            try statement.bind(Int64(try ordinalForWriting(dot.origin)), at: 1)
            try statement.bind(Int64(dot.number), at: 2)
            try statement.bind(entry.id, at: 3)
            try statement.bind(blob: key, at: 4)
            do { try statement.run() } catch let error as SQLiteError where error.isConstraint {
                throw StoreError(
                    .invalidDelta,
                    "one change is claimed by two rows: a peer sent what no honest node sends")
            }
        }
    }

    func saveConflicts(_ entry: TableEntry, key: [UInt8], old: Kernel?, new: Kernel) throws {
        let items = new.conflicts.count
        if items > 0 {
            try connection.run(
                "INSERT OR REPLACE INTO _starling_conflict(tbl, key, items) VALUES(?1, ?2, ?3)",
                [.integer(entry.id), .blob(key), .integer(Int64(items))])
        } else {
            try connection.run(
                "DELETE FROM _starling_conflict WHERE tbl = ?1 AND key = ?2",
                [.integer(entry.id), .blob(key)])
        }
    }

    /// A layout whose columns, less the listed ones of `write`, are just those it has values of.
    func layout(of write: Write, entry: TableEntry) throws -> Int {
        if let known = knownLayout(of: write, entry: entry) { return known }
        return try addLayout(write.values.map(\.column), entry: entry)
    }

    func knownLayout(of write: Write, entry: TableEntry) -> Int? {
        entry.layouts.indices.reversed().first { fits(write, entry.layouts[$0]) }
    }

    private func fits(_ write: Write, _ layout: [ColumnID]) -> Bool {
        var index = 0
        for column in layout {
            if index < write.values.count, write.values[index].column == column {
                index += 1
            } else if !write.columns.listed.contains(column) {
                return false
            }
        }
        return index == write.values.count
    }

    // MARK: Snapshots that half-received rows have seen

    static func snapshotVector(_ id: Int64, in connection: Connection) throws -> VersionVector? {
        guard
            case .blob(let bytes)? = try connection.first(
                "SELECT vector FROM _starling_snapshot WHERE id = ?1", [.integer(id)])
        else { return nil }
        return try VersionVector(decoding: bytes)
    }

    /// The id under which `vector` is stored once, however many rows refer to it.
    func snapshotID(_ vector: VersionVector) throws -> Int64 {
        if let cached = lastSnapshot, cached.vector == vector { return cached.id }
        let bytes = Value.blob(vector.encoded)
        let id: Int64
        if let known = try connection.integer(
            "SELECT id FROM _starling_snapshot WHERE vector = ?1", [bytes])
        {
            id = known
        } else {
            try connection.run("INSERT INTO _starling_snapshot(vector) VALUES(?1)", [bytes])
            id = connection.lastInsertRowID
        }
        lastSnapshot = (vector, id)
        return id
    }
}
