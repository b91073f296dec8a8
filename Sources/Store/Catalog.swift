// The tables that the replica knows, in memory and in the bookkeeping.

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

extension Replica {
    /// The entry of that name, compared as SQLite does.
    func table(named name: String) -> TableEntry? {
        // Asked for with every event of every session: most ask for the name as it is written.
        if let entry = tables.values.first(where: { $0.name == name }) { return entry }
        let wanted = TableEntry.folded(name)
        return tables.values.first { TableEntry.folded($0.name) == wanted }
    }

    func reloadTables() throws {
        tables.removeAll()
        for row in try connection.query(
            "SELECT id, name, state, policy, digest, structure, armed, scan FROM _starling_table")
        {
            guard case .integer(let id) = row[0], case .text(let name) = row[1],
                case .integer(let state) = row[2], case .integer(let policy) = row[3],
                case .integer(let digest) = row[4], case .integer(let scan) = row[7]
            else { throw StoreError(.damaged, "the list of tables in the file is damaged") }
            let entry = TableEntry(
                id: id, name: String(decoding: name, as: UTF8.self),
                state: TableState(rawValue: state) ?? .unknown,
                policy: PresencePolicy(rawValue: UInt8(truncatingIfNeeded: policy)) ?? .addWins,
                digest: UInt64(bitPattern: digest), scan: ScanPhase(rawValue: scan) ?? .none)
            if case .blob(let bytes) = row[5] {
                entry.structure = try TableSchema(cbor: CBOR(decoding: bytes))
            }
            if case .blob(let bytes) = row[6] {
                entry.armed = try TableSchema(cbor: CBOR(decoding: bytes))
            }
            tables[id] = entry
        }
        try reloadColumns()
        for entry in tables.values { try makeAccess(entry) }
        updateRelations()
    }

    private func reloadColumns() throws {
        for row in try connection.query(
            "SELECT tbl, id, name, dropped FROM _starling_column ORDER BY tbl, id")
        {
            guard case .integer(let id) = row[0], let entry = tables[id],
                case .integer(let column) = row[1], column == Int64(entry.columns.count),
                case .text(let name) = row[2]
            else { throw StoreError(.damaged, "the list of columns in the file is damaged") }
            let text = String(decoding: name, as: UTF8.self)
            entry.columns.append(
                TableEntry.Column(
                    name: text, nameHash: TableEntry.hash(text),
                    isDropped: row[3] == .integer(1)))
        }
        for row in try connection.query(
            "SELECT tbl, id, columns FROM _starling_layout ORDER BY tbl, id")
        {
            guard case .integer(let id) = row[0], let entry = tables[id],
                case .integer(let number) = row[1], number == Int64(entry.layouts.count),
                case .blob(let bytes) = row[2]
            else { throw StoreError(.damaged, "the list of layouts in the file is damaged") }
            var reader = ByteReader(bytes)
            var columns: [ColumnID] = []
            while !reader.isAtEnd {
                columns.append(ColumnID(try reader.index(below: entry.columns.count)))
            }
            entry.layouts.append(columns)
        }
    }

    /// Makes the statements on the app's table; none when the table is not live.
    func makeAccess(_ entry: TableEntry) throws {
        guard entry.state == .live || entry.state == .leaving, let armed = entry.armed else {
            entry.access = nil
            return
        }
        do {
            entry.access = try TableAccess(armed, entry: entry, connection: connection)
        } catch let error as SQLiteError where error.code.primary == 1 {
            // The table is not what it was; re-arming finds out what it is now.
            entry.access = nil
            schemaVersion = -1
        }
    }

    /// Who refers to whom, parents first.
    func updateRelations() {
        childIDs.removeAll()
        for entry in tables.values { entry.parentColumns = [] }
        let live = tables.values.filter { $0.armed != nil && $0.isLive }.sorted { $0.id < $1.id }
        for entry in live {
            for foreignKey in entry.armed?.foreignKeys ?? [] {
                guard let parent = table(named: foreignKey.parentTable), parent.isLive else {
                    continue
                }
                if childIDs[parent.id]?.contains(entry.id) != true {
                    childIDs[parent.id, default: []].append(entry.id)
                }
                parent.parentColumns.formUnion(
                    foreignKey.parentColumns.compactMap { parent.column(named: $0) })
            }
        }
        tablesInDependencyOrder = dependencyOrder(live)
    }

    private func dependencyOrder(_ live: [TableEntry]) -> [TableEntry] {
        var ordered: [TableEntry] = []
        var done: Set<Int64> = []
        func visit(_ entry: TableEntry) {
            guard done.insert(entry.id).inserted else { return }
            for parent in entry.armed?.foreignParents ?? [] {
                if let parent = table(named: parent) { visit(parent) }
            }
            ordered.append(entry)
        }
        for entry in live { visit(entry) }
        return ordered
    }

    // MARK: Writing; called inside a transaction

    func addTable(_ name: String, state: TableState, policy: PresencePolicy) throws -> TableEntry {
        try connection.run(
            "INSERT INTO _starling_table(name, state, policy, digest) VALUES(?1, ?2, ?3, 0)",
            [.string(name), .integer(state.rawValue), .integer(Int64(policy.rawValue))])
        let entry = TableEntry(
            id: connection.lastInsertRowID, name: name, state: state, policy: policy)
        tables[entry.id] = entry
        return entry
    }

    func saveTable(_ entry: TableEntry) throws {
        try connection.run(
            """
            UPDATE _starling_table SET state = ?2, policy = ?3, structure = ?4, armed = ?5,
                scan = ?6
            WHERE id = ?1
            """,
            [
                .integer(entry.id), .integer(entry.state.rawValue),
                .integer(Int64(entry.policy.rawValue)),
                entry.structure.map { .blob($0.cbor.encoded) } ?? .null,
                entry.armed.map { .blob($0.cbor.encoded) } ?? .null,
                .integer(entry.scan.rawValue),
            ])
    }

    /// The id of a column, given out at first use.
    func columnForWriting(_ name: String, entry: TableEntry) throws -> ColumnID {
        if let id = entry.column(named: name) { return id }
        let id = entry.columns.count
        guard id < Limits.columnsMax else {
            throw StoreError(.invalidDelta, "\(entry.name) would have too many columns")
        }
        try connection.run(
            "INSERT INTO _starling_column(tbl, id, name) VALUES(?1, ?2, ?3)",
            [.integer(entry.id), .integer(Int64(id)), .string(name)])
        entry.columns.append(
            TableEntry.Column(name: name, nameHash: TableEntry.hash(name), isDropped: false))
        return ColumnID(id)
    }

    func addLayout(_ columns: [ColumnID], entry: TableEntry) throws -> Int {
        var writer = ByteWriter()
        for column in columns { writer.varint(UInt64(column)) }
        let number = entry.layouts.count
        try connection.run(
            "INSERT INTO _starling_layout(tbl, id, columns) VALUES(?1, ?2, ?3)",
            [.integer(entry.id), .integer(Int64(number)), .blob(writer.bytes)])
        entry.layouts.append(columns)
        return number
    }
}
