// Bringing one row of the app's table in line with its kernel, and parking what a constraint
// refuses.

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// Why a visible row is not in its table.
package enum ParkReason: Int64, Sendable {
    /// A row with an older birth holds one of its unique values.
    case unique = 1
    /// CHECK, NOT NULL or a STRICT type refuses its values.
    case check = 2
    /// Its foreign key names a row that is not shown.
    case foreignKey = 3
}

/// A parent row that left, or changed, the values that children refer to.
struct VacatedParent {
    var table: Int64
    /// Key and values as they were, by column name; nil when nobody knows.
    var values: [String: Value]?
}

extension Replica {
    /// Shows, changes or hides the row in the app's table as `row.kernel` says; sets `isShown` and
    /// `tableValues`. A row that a constraint refuses is parked, and nothing else happens.
    func settle(_ entry: TableEntry, key: [UInt8], old: Row?, row: inout Row) throws {
        guard let access = entry.access, entry.state == .live else {
            row.isShown = false
            row.tableValues = nil
            return
        }
        let keyValues = try decodeKey(key)
        let wasShown = old?.isShown ?? false
        guard row.kernel.isVisible(entry.policy) else {
            if wasShown { try access.delete(keyValues) }
            row.isShown = false
            row.tableValues = nil
            try unpark(entry, key: key)
            return
        }
        let values = shownValues(row.kernel, access: access)
        do {
            if wasShown, let before = old?.tableValues {
                let places = values.indices.filter { values[$0] != before[$0] }
                if !places.isEmpty { try access.update(keyValues, places: places, values: values) }
            } else {
                try access.insert(keyValues, values)
            }
            row.isShown = true
            row.tableValues = values
            if !wasShown { try unpark(entry, key: key) }
        } catch let error as SQLiteError where error.isConstraint || error.isTooBig {
            if !wasShown, error.isPrimaryKey {
                uncaptured.insert(entry.id)
                throw StoreError(
                    .busy, "a row of \(entry.name) was written without capture; it is looked at")
            }
            if wasShown { try access.delete(keyValues) }
            row.isShown = false
            row.tableValues = nil
            try park(
                entry, key: key, reason: error.isUnique ? .unique : .check,
                detail: error.message)
        }
    }

    func park(_ entry: TableEntry, key: [UInt8], reason: ParkReason, detail: String) throws {
        try unpark(entry, key: key)
        try connection.run(
            """
            INSERT OR REPLACE INTO _starling_parked(tbl, key, reason, detail)
            VALUES(?1, ?2, ?3, ?4)
            """,
            [.integer(entry.id), .blob(key), .integer(reason.rawValue), .string(detail)])
        parkedCounts[entry.id, default: 0] += 1
        dirty.insert(entry.id)
    }

    /// Takes the parked mark away, if there is one.
    func unpark(_ entry: TableEntry, key: [UInt8]) throws {
        guard (parkedCounts[entry.id] ?? 0) > 0 else { return }
        try connection.run(
            "DELETE FROM _starling_parked WHERE tbl = ?1 AND key = ?2",
            [.integer(entry.id), .blob(key)])
        // One at most. The rows are not counted again: there may be as many as the table has.
        parkedCounts[entry.id, default: 0] -= connection.changes
    }

    /// Collects what the constraint work at the end of the transaction has to look at.
    func noteTouched(_ entry: TableEntry, key: [UInt8], old: Row?, row: Row) throws {
        changedTables.insert(entry.id)
        if (parkedCounts[entry.id] ?? 0) > 0 { dirty.insert(entry.id) }
        if row.isShown, entry.armed?.foreignKeys.isEmpty == false {
            touched[entry.id, default: []].insert(key)
        }
        let children = childTables(of: entry)
        guard !children.isEmpty else { return }
        let wasShown = old?.isShown ?? false
        if row.isShown {
            for child in children where (parkedCounts[child.id] ?? 0) > 0 { dirty.insert(child.id) }
        }
        if wasShown, !row.isShown || hasParentColumnChanged(entry, old: old, row: row) {
            vacated.append(
                VacatedParent(table: entry.id, values: try namedValues(entry, key: key, row: old)))
        }
    }

    /// For rows whose values in the table are those after a program's write: what they were before,
    /// and so which children referred to them, nobody knows.
    func noteVacated(_ entry: TableEntry, old: Row?, columns: ColumnSet) {
        guard old?.isShown == true, entry.parentColumns.contains(where: columns.contains) else {
            return
        }
        vacated.append(VacatedParent(table: entry.id, values: nil))
    }

    private func hasParentColumnChanged(_ entry: TableEntry, old: Row?, row: Row) -> Bool {
        // Only non-key columns can change under one key; few parents are named by those.
        guard !entry.parentColumns.isEmpty, let before = old?.tableValues,
            let after = row.tableValues
        else { return false }
        return before != after
    }

    /// The row's key and values by folded column name, as the table holds or held them.
    func namedValues(_ entry: TableEntry, key: [UInt8], row: Row?) throws -> [String: Value] {
        guard let access = entry.access else { return [:] }
        var named: [String: Value] = [:]
        for (name, value) in zip(access.keyColumns, try decodeKey(key)) {
            named[TableEntry.folded(name)] = value
        }
        let values =
            row?.tableValues ?? row.map { shownValues($0.kernel, access: access) } ?? []
        for (column, value) in zip(access.columns, values) {
            named[TableEntry.folded(entry.columns[Int(column)].name)] = value
        }
        return named
    }

    /// The live tables with a foreign key to `entry`.
    func childTables(of entry: TableEntry) -> [TableEntry] {
        (childIDs[entry.id] ?? []).compactMap { tables[$0] }
    }
}
