// Conflicts as people see them: listed with what lost, restored or dismissed once for all nodes.

package import CausalModel
internal import Codec
internal import SQLite
package import Values

/// One conflict of one row, the same on every node.
package struct ConflictItem: Sendable {
    package enum Kind: String, Sendable {
        /// Writes of one column that did not see each other.
        case cell
        /// A row born apart under the same key.
        case birth
        /// A delete and a change that did not see each other.
        case presence
    }

    /// One value set that lost, with who wrote it and when.
    package struct Loser: Sendable {
        package var values: [(column: String, value: Value)]
        package var origin: Origin
        package var stampMilliseconds: Int64
        package var isDelete: Bool
    }

    package var id: String
    package var table: String
    package var key: [(column: String, value: Value)]
    package var kind: Kind
    package var column: String?
    /// What is shown now, in the columns that are concerned; empty when the row is hidden.
    package var shown: [(column: String, value: Value)]
    package var isRowVisible: Bool
    package var losers: [Loser]
}

extension Replica {
    /// How many conflicts there are, but for one table.
    package func conflictCount(except names: Set<String> = []) throws -> Int {
        try translated {
            let left = names.compactMap { table(named: $0).map { "\($0.id)" } }
            return Int(
                try connection.integer(
                    """
                    SELECT coalesce(sum(items), 0) FROM _starling_conflict
                    WHERE tbl NOT IN (SELECT value FROM json_each(?1))
                    """, [.string("[\(left.joined(separator: ","))]")]) ?? 0)
        }
    }

    /// All conflicts, by table and key; at most `limit` rows are looked at.
    package func conflicts(limit: Int = 10_000) throws -> [ConflictItem] {
        try fold()
        return try translated {
            var items: [ConflictItem] = []
            for found in try conflictedRows(limit: limit) {
                guard let row = try load(found.entry, key: found.key) else { continue }
                for conflict in row.kernel.conflicts {
                    items.append(try item(conflict, row: row, entry: found.entry, key: found.key))
                }
            }
            return items
        }
    }

    package func conflict(_ id: String) throws -> ConflictItem {
        guard let item = try conflicts(limit: .max).first(where: { $0.id == id }) else {
            throw StoreError(
                .notFound, "there is no conflict \(id); it may be settled: see `starling conflicts`"
            )
        }
        return item
    }

    private func conflictedRows(limit: Int) throws -> [(entry: TableEntry, key: [UInt8])] {
        try connection.query(
            "SELECT tbl, key FROM _starling_conflict ORDER BY tbl, key LIMIT ?1",
            [.integer(Int64(limit))]
        ).compactMap {
            guard case .integer(let id) = $0[0], let entry = tables[id],
                case .blob(let key) = $0[1]
            else { return nil }
            return (entry, key)
        }
    }

    // MARK: Settling

    /// Shows what lost, on every node: a local write that replaces the siblings.
    ///
    /// `loser` picks one of several; the last of the list, the one that lost narrowest, if not
    /// given.
    package func restoreConflict(_ id: String, loser: Int? = nil) throws {
        try settleConflict(id) { row, conflict, entry in
            switch conflict {
            case .cell(let column, let losers):
                let index = loser ?? losers.count - 1
                guard losers.indices.contains(index) else {
                    throw StoreError(
                        .notFound, "conflict \(id) has \(losers.count) values that lost")
                }
                let value = losers[index].value(column)
                update(
                    &row, columns: [column], values: value.map { [ColumnValue(column, $0)] } ?? [])
            case .birth(let elder):
                var values = row.kernel.shownValues
                for restored in row.kernel.values(of: elder) {
                    values.removeAll { $0.column == restored.column }
                    values.append(restored)
                }
                replaceAll(&row, values: values)
            case .presence:
                if row.kernel.isVisible(entry.policy) {
                    row.kernel.delete(nextDot(), stampForNow(row))
                } else {
                    row.kernel.update(nextDot(), stampForNow(row), columns: .none, values: [])
                }
            }
        }
    }

    /// Keeps what is shown and lets the siblings go, on every node.
    package func dismissConflict(_ id: String) throws {
        try settleConflict(id) { row, conflict, entry in
            let isVisible = row.kernel.isVisible(entry.policy)
            switch conflict {
            case .cell(let column, _):
                let shown = row.kernel.shown(column)
                update(
                    &row, columns: [column], values: shown.map { [ColumnValue(column, $0)] } ?? [])
            case .birth:
                replaceAll(&row, values: row.kernel.shownValues)
            case .presence:
                if row.kernel.isVisible(entry.policy) {
                    row.kernel.update(nextDot(), stampForNow(row), columns: .none, values: [])
                } else {
                    row.kernel.delete(nextDot(), stampForNow(row))
                }
                return
            }
            // What was hidden stays hidden.
            if !isVisible { row.kernel.delete(nextDot(), stampForNow(row)) }
        }
    }

    private func stampForNow(_ row: Row) -> Stamp {
        row.kernel.stamp(atLeast: stamp(second: environment.wallClock() / 1000))
    }

    private func update(_ row: inout Row, columns: [ColumnID], values: [ColumnValue]) {
        row.kernel.update(
            nextDot(), stampForNow(row), columns: ColumnSet(columns), values: values)
    }

    /// Writes the whole row anew: every column, those that nobody here knows included.
    private func replaceAll(_ row: inout Row, values: [ColumnValue]) {
        row.kernel.update(
            nextDot(), stampForNow(row), columns: .all,
            values: values.sorted { $0.column < $1.column })
    }

    private func settleConflict(
        _ id: String, _ body: (inout Row, RowConflict, TableEntry) throws -> Void
    ) throws {
        let wanted = try conflict(id)
        guard let entry = table(named: wanted.table) else { return }
        let key = encodeKey(wanted.key.map(\.value))
        try write {
            guard let old = try loadCaptured(entry, key: key),
                let conflict = old.kernel.conflicts.first(where: {
                    conflictID($0, row: old, entry: entry, key: key) == id
                })
            else { throw StoreError(.notFound, "conflict \(id) was settled meanwhile") }
            if old.isHollow { throw StoreError.hollow(entry) }
            var row = old
            try body(&row, conflict, entry)
            try saveOwnNumber()
            try settle(entry, key: key, old: old, row: &row)
            try noteTouched(entry, key: key, old: old, row: row)
            try save(entry, key: key, old: old, row: row)
        }
    }

    // MARK: Describing

    /// The same on every node: from names, key and dots.
    private func conflictID(_ conflict: RowConflict, row: Row, entry: TableEntry, key: [UInt8])
        -> String
    {
        var writer = ByteWriter()
        writer.raw(key)
        func add(_ dot: Dot) {
            writer.fixed64(dot.origin.high)
            writer.fixed64(dot.origin.low)
            writer.fixed64(dot.number)
        }
        switch conflict {
        case .cell(let column, let losers):
            writer.byte(1)
            writer.fixed64(entry.columns[Int(column)].nameHash)
            for loser in losers { add(loser.dot) }
        case .birth(let elder):
            writer.byte(2)
            writer.fixed64(elder.stamp.raw)
            writer.fixed64(elder.origin.high)
            writer.fixed64(elder.origin.low)
        case .presence:
            writer.byte(3)
            for write in row.kernel.writes where write.isPresent { add(write.dot) }
        }
        let digits = String(hash64(writer.bytes, seed: entry.nameHash) >> 16, radix: 16)
        return String(repeating: "0", count: 12 - digits.count) + digits
    }

    func named(_ values: [ColumnValue], entry: TableEntry) -> [(column: String, value: Value)] {
        values.map { (entry.columns[Int($0.column)].name, $0.value) }
    }

    func namedKey(_ key: [UInt8], entry: TableEntry) throws -> [(column: String, value: Value)] {
        let names = entry.structure?.primaryKey.map(\.name) ?? []
        return try decodeKey(key).enumerated().map { index, value in
            (index < names.count ? names[index] : "key\(index + 1)", value)
        }
    }

    private func item(_ conflict: RowConflict, row: Row, entry: TableEntry, key: [UInt8]) throws
        -> ConflictItem
    {
        let isVisible = row.kernel.isVisible(entry.policy)
        var item = ConflictItem(
            id: conflictID(conflict, row: row, entry: entry, key: key), table: entry.name,
            key: try namedKey(key, entry: entry), kind: .cell, column: nil, shown: [],
            isRowVisible: isVisible, losers: [])
        let shown = row.kernel.shownValues
        func loser(_ write: Write, _ values: [ColumnValue]) -> ConflictItem.Loser {
            ConflictItem.Loser(
                values: named(values, entry: entry), origin: write.dot.origin,
                stampMilliseconds: write.stamp.milliseconds, isDelete: write.isDelete)
        }
        switch conflict {
        case .cell(let column, let losers):
            item.column = entry.columns[Int(column)].name
            item.shown = named(shown.filter { $0.column == column }, entry: entry)
            item.losers = losers.map { write in
                loser(write, write.values.filter { $0.column == column })
            }
        case .birth(let elder):
            item.kind = .birth
            item.shown = named(shown, entry: entry)
            let values = named(row.kernel.values(of: elder), entry: entry)
            item.losers = [
                ConflictItem.Loser(
                    values: values, origin: elder.origin,
                    stampMilliseconds: elder.stamp.milliseconds, isDelete: false)
            ]
        case .presence:
            item.kind = .presence
            item.shown = isVisible ? named(shown, entry: entry) : []
            item.losers = row.kernel.writes.filter { $0.isPresent && $0.isDelete == isVisible }
                .map { loser($0, isVisible ? [] : shown) }
        }
        return item
    }
}
