// The shown set as a function of the kernels: unique values go to the elder birth, then rows whose
// parent is not shown are hidden. Only the component that the transaction touched is looked at.

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

private struct Candidate {
    var key: [UInt8]
    var row: Row
    var values: [Value]
    var birth: Birth
}

extension Replica {
    /// Ends a transaction: everything its changes displaced or freed finds its place.
    func resolveConstraints() throws {
        var visited: Set<Int64> = []
        while let id = dirty.filter({ !visited.contains($0) }).min() {
            visited.insert(id)
            guard let entry = tables[id], entry.isLive else { continue }
            if isBulk, (parkedCounts[id] ?? 0) > bounds.parkedEagerMax {
                continue
            }
            try resolveUnique(entry)
        }
        try hideOrphans()
    }

    /// Marks every row that may be out of place, when nobody knows which were touched.
    func touchEverything() throws {
        for entry in tablesInDependencyOrder where entry.isLive {
            if (parkedCounts[entry.id] ?? 0) > 0 { dirty.insert(entry.id) }
            guard let access = entry.access else { continue }
            for foreignKey in entry.armed?.foreignKeys ?? [] {
                guard let parent = table(named: foreignKey.parentTable) else { continue }
                for key in try orphans(of: foreignKey, child: access, parent: parent) {
                    touched[entry.id, default: []].insert(key)
                }
            }
        }
    }

    // MARK: Step 1: unique values

    /// Visits the parked rows of a table and the rows they compete with by ascending birth, and
    /// shows each that its table takes.
    private func resolveUnique(_ entry: TableEntry) throws {
        guard let access = entry.access else { return }
        var candidates = try parkedCandidates(entry, access: access)
        guard !candidates.isEmpty else { return }
        let indexes = entry.uniqueIndexes
        if indexes.isEmpty {
            // Nothing competes: only rows whose parents may have come are worth a try.
            candidates = try candidates.filter { try mayHaveParents(entry, $0) }
        } else {
            try addHolders(&candidates, entry: entry, indexes: indexes)
        }
        candidates.sort {
            if isBroken(.firstComeKeepsUnique), $0.row.isShown != $1.row.isShown {
                return $0.row.isShown
            }
            return $0.birth != $1.birth
                ? $0.birth < $1.birth : $0.key.lexicographicallyPrecedes($1.key)
        }
        for candidate in candidates where candidate.row.isShown {
            try access.delete(try decodeKey(candidate.key))
        }
        for candidate in candidates { try admit(candidate, entry: entry, access: access) }
    }

    private func admit(_ candidate: Candidate, entry: TableEntry, access: TableAccess) throws {
        var row = candidate.row
        do {
            try access.insert(try decodeKey(candidate.key), candidate.values)
            row.isShown = true
            row.tableValues = candidate.values
            try unpark(entry, key: candidate.key)
        } catch let error as SQLiteError where error.isConstraint {
            row.isShown = false
            row.tableValues = nil
            try park(
                entry, key: candidate.key, reason: error.isUnique ? .unique : .check,
                detail: error.message)
        }
        guard row.isShown != candidate.row.isShown else { return }
        try noteTouched(entry, key: candidate.key, old: candidate.row, row: row)
        try save(entry, key: candidate.key, old: candidate.row, row: row)
    }

    private func parkedCandidates(_ entry: TableEntry, access: TableAccess) throws -> [Candidate] {
        var candidates: [Candidate] = []
        for found in try connection.query(
            "SELECT key FROM _starling_parked WHERE tbl = ?1", [.integer(entry.id)])
        {
            guard case .blob(let key) = found[0] else { continue }
            guard let candidate = try candidate(entry, key: key, access: access),
                !candidate.row.isShown
            else {
                try unpark(entry, key: key)
                continue
            }
            candidates.append(candidate)
        }
        return candidates
    }

    private func candidate(_ entry: TableEntry, key: [UInt8], access: TableAccess) throws
        -> Candidate?
    {
        guard let row = try loadCaptured(entry, key: key), row.kernel.isVisible(entry.policy),
            let birth = row.kernel.birth
        else { return nil }
        let values = row.tableValues ?? shownValues(row.kernel, access: access)
        return Candidate(key: key, row: row, values: values, birth: birth)
    }

    /// Adds the shown rows that hold a unique value of a candidate.
    private func addHolders(
        _ candidates: inout [Candidate], entry: TableEntry, indexes: [IndexSchema]
    ) throws {
        guard let access = entry.access else { return }
        var known = Set(candidates.map(\.key))
        for candidate in candidates {
            let named = try namedValues(entry, key: candidate.key, row: candidate.row)
            for index in indexes {
                let names = index.columns.compactMap(\.name)
                let values = names.compactMap { named[TableEntry.folded($0)] }
                guard values.count == index.columns.count, !values.contains(.null) else {
                    continue
                }
                for key in try holders(of: values, index: index, access: access)
                where known.insert(key).inserted {
                    if let holder = try self.candidate(entry, key: key, access: access) {
                        candidates.append(holder)
                    }
                }
            }
        }
    }

    private func holders(of values: [Value], index: IndexSchema, access: TableAccess) throws
        -> [[UInt8]]
    {
        let condition = index.columns.map {
            "\(quotedIdentifier($0.name ?? "")) = ? COLLATE \(quotedIdentifier($0.collation))"
        }.joined(separator: " AND ")
        let keys = access.keyColumns.map(quotedIdentifier).joined(separator: ", ")
        return try connection.query(
            "SELECT \(keys) FROM \(access.table) WHERE \(condition)", values
        )
        .map { encodeKey($0) }
    }

    private func mayHaveParents(_ entry: TableEntry, _ candidate: Candidate) throws -> Bool {
        let named = try namedValues(entry, key: candidate.key, row: candidate.row)
        for foreignKey in entry.armed?.foreignKeys ?? [] {
            if try hasParent(foreignKey, named) { continue }
            guard let parent = table(named: foreignKey.parentTable),
                (parkedCounts[parent.id] ?? 0) > 0
            else { return false }
        }
        return true
    }

    // MARK: Step 2: foreign keys

    /// Hides rows whose parent is not shown, until none is left; nothing is shown again here.
    private func hideOrphans() throws {
        while !touched.isEmpty || !vacated.isEmpty {
            // In a fixed order: what was not captured is numbered on the way.
            let rows = touched.sorted { $0.key < $1.key }
            touched.removeAll()
            for (id, keys) in rows {
                guard let entry = tables[id] else { continue }
                let inOrder =
                    isBroken(.orphansInHashOrder)
                    ? Array(keys) : keys.sorted { $0.lexicographicallyPrecedes($1) }
                for key in inOrder { try hideIfOrphan(entry, key: key) }
            }
            let parents = vacated
            vacated.removeAll()
            for (table, group) in Dictionary(grouping: parents, by: \.table) {
                guard let parent = tables[table] else { continue }
                try touchChildren(of: parent, vacated: group)
            }
        }
    }

    private func hideIfOrphan(_ entry: TableEntry, key: [UInt8]) throws {
        guard let access = entry.access, let old = try loadCaptured(entry, key: key), old.isShown,
            old.tableValues != nil
        else { return }
        let named = try namedValues(entry, key: key, row: old)
        guard
            let missing = try entry.armed?.foreignKeys.first(where: { try !hasParent($0, named) })
        else { return }
        var row = old
        try access.delete(try decodeKey(key))
        row.isShown = false
        row.tableValues = nil
        // Parked without making the table dirty: nothing is re-admitted in this step.
        let wasDirty = dirty.contains(entry.id)
        try park(
            entry, key: key, reason: .foreignKey,
            detail: "its row of \(missing.parentTable) is not there")
        if !wasDirty { dirty.remove(entry.id) }
        try noteTouched(entry, key: key, old: old, row: row)
        try save(entry, key: key, old: old, row: row)
    }

    /// True when the row that `foreignKey` names is in its table, or the key holds a NULL.
    private func hasParent(_ foreignKey: ForeignKey, _ named: [String: Value]) throws -> Bool {
        let values = foreignKey.columns.map { named[TableEntry.folded($0)] ?? .null }
        if values.contains(.null) { return true }
        guard foreignKey.parentColumns.count == values.count else { return true }
        let condition = foreignKey.parentColumns.map { "\(quotedIdentifier($0)) = ?" }
            .joined(separator: " AND ")
        let statement = try connection.cached(
            "SELECT 1 FROM \(quotedIdentifier(foreignKey.parentTable)) WHERE \(condition)")
        try statement.bind(values)
        defer { statement.reset() }
        return try statement.step()
    }

    /// Marks the children that refer to parents that left; they are looked at next.
    private func touchChildren(of parent: TableEntry, vacated: [VacatedParent]) throws {
        for child in childTables(of: parent) {
            guard let access = child.access else { continue }
            for foreignKey in child.armed?.foreignKeys ?? []
            where TableEntry.folded(foreignKey.parentTable) == TableEntry.folded(parent.name) {
                let keys = try orphans(
                    of: foreignKey, child: access, parent: parent, vacated: vacated)
                for key in keys { touched[child.id, default: []].insert(key) }
            }
        }
    }

    /// The rows of a child table whose parent is not there, in one pass.
    private func orphans(of foreignKey: ForeignKey, child: TableAccess, parent: TableEntry) throws
        -> [[UInt8]]
    {
        let keys = child.keyColumns.map { "c." + quotedIdentifier($0) }.joined(separator: ", ")
        let match = zip(foreignKey.parentColumns, foreignKey.columns).map {
            "p.\(quotedIdentifier($0)) = c.\(quotedIdentifier($1))"
        }.joined(separator: " AND ")
        let present = foreignKey.columns.map { "c.\(quotedIdentifier($0)) IS NOT NULL" }
            .joined(separator: " AND ")
        guard !match.isEmpty else { return [] }
        return try connection.query(
            """
            SELECT \(keys) FROM \(child.table) c WHERE \(present) AND NOT EXISTS(
                SELECT 1 FROM \(quotedIdentifier(parent.name)) p WHERE \(match))
            """
        ).map { encodeKey($0) }
    }

    private func orphans(
        of foreignKey: ForeignKey, child: TableAccess, parent: TableEntry,
        vacated: [VacatedParent]
    ) throws -> [[UInt8]] {
        if vacated.count > 20 || vacated.contains(where: { $0.values == nil }) {
            // Many at once: one pass over the child beats one search for each.
            return try orphans(of: foreignKey, child: child, parent: parent)
        }
        let keys = child.keyColumns.map { "c." + quotedIdentifier($0) }.joined(separator: ", ")
        var found: [[UInt8]] = []
        let condition = foreignKey.columns.map { "c.\(quotedIdentifier($0)) = ?" }
            .joined(separator: " AND ")
        for row in vacated {
            let values = foreignKey.parentColumns.map {
                row.values?[TableEntry.folded($0)] ?? .null
            }
            if values.contains(.null) { continue }
            found += try connection.query(
                "SELECT \(keys) FROM \(child.table) c WHERE \(condition)", values
            ).map { encodeKey($0) }
        }
        return found
    }
}
