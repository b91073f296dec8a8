// One table as the replica knows it: its columns, layouts and policy, whether or not the table
// exists in the file. The rows' kernels are numbered by the ids given out here.

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// How far a known table is synced here.
enum TableState: Int64, Sendable {
    /// Tracked, in the file, captured.
    case live = 0
    /// Peers sync it; this file has no such table yet, or has one that is not tracked.
    case unknown = 1
    /// Tracked before and given up here: kernels are kept and forwarded.
    case untracked = 2
    /// Tracked, but a program dropped it.
    case missing = 3
    /// Being given up: values move from the table into the kernels.
    case leaving = 4
}

/// What a scan of a table is doing.
enum ScanPhase: Int64, Sendable {
    case none = 0
    /// Rows of the table against their kernels: inserts and updates that were not captured.
    case rows = 1
    /// Kernels against the rows of the table: deletes that were not captured.
    case kernels = 2
    /// Kernels into the table: rows and columns that became known.
    case show = 3
}

final class TableEntry {
    struct Column {
        var name: String
        var nameHash: UInt64
        var isDropped: Bool
    }

    let id: Int64
    let name: String
    let nameHash: UInt64
    var state: TableState
    var policy: PresencePolicy
    var digest: UInt64
    var scan: ScanPhase
    /// The scan numbers what was there before tracking, or in a new column: triggers have seen all else,
    /// so that every value of a dot is its own. Not known any more after a new start.
    var isScanCaptured = false
    /// Index is the ``ColumnID``.
    var columns: [Column]
    /// Index is the layout's id.
    var layouts: [[ColumnID]]
    /// As exchanged with peers; nil only before the first description.
    var structure: TableSchema?
    /// The structure that the triggers are made for; set when live.
    var armed: TableSchema?
    /// Statements on the app's table; set when live.
    var access: TableAccess?
    /// The columns besides the primary key that foreign keys name.
    var parentColumns: Set<ColumnID> = []

    /// The unique indexes besides the primary key.
    var uniqueIndexes: [IndexSchema] {
        armed?.indexes.filter { $0.isUnique && $0.origin != .primaryKey } ?? []
    }

    init(
        id: Int64, name: String, state: TableState, policy: PresencePolicy, digest: UInt64 = 0,
        scan: ScanPhase = .none, columns: [Column] = [], layouts: [[ColumnID]] = [],
        structure: TableSchema? = nil, armed: TableSchema? = nil
    ) {
        self.id = id
        self.name = name
        nameHash = TableEntry.hash(name)
        self.state = state
        self.policy = policy
        self.digest = digest
        self.scan = scan
        self.columns = columns
        self.layouts = layouts
        self.structure = structure
        self.armed = armed
    }

    /// The hash of a table's or column's name as SQLite compares names: ASCII case is folded.
    static func hash(_ name: String) -> UInt64 { hash64(Array(folded(name).utf8), seed: 1) }

    static func folded(_ name: String) -> String {
        String(
            decoding: name.utf8.map { (0x41...0x5a).contains($0) ? $0 + 0x20 : $0 }, as: UTF8.self)
    }

    func column(named name: String) -> ColumnID? {
        let wanted = TableEntry.folded(name)
        return columns.firstIndex { TableEntry.folded($0.name) == wanted }.map { ColumnID($0) }
    }

    /// True when rows may be shown in the app's table.
    var isLive: Bool { access != nil && (state == .live || state == .leaving) }
}

/// Prepared access to the rows of one table of the app.
final class TableAccess {
    let table: String
    let keyColumns: [String]
    /// The synced columns that the table has now, ascending by id; results come in this order.
    let columns: [ColumnID]
    let names: [String]
    /// What a column shows that no write has a value of.
    let defaults: [Value]
    private let schema: TableSchema
    private let tableID: Int64
    private var madeTriggers: CaptureTriggers?
    private let connection: Connection
    private let select: Statement
    private let insertSQL: String
    /// Prepared at first use: a snapshot only reads.
    private var insert: Statement?
    private var remove: Statement?
    private let keyCondition: String

    init(_ schema: TableSchema, entry: TableEntry, connection: Connection) throws {
        table = quotedIdentifier(schema.name)
        self.connection = connection
        self.schema = schema
        tableID = entry.id
        keyColumns = schema.primaryKey.map(\.name)
        var pairs: [(ColumnID, ColumnSchema)] = []
        for column in schema.storedColumns where column.primaryKeyPosition == 0 {
            guard let id = entry.column(named: column.name) else { continue }
            pairs.append((id, column))
        }
        pairs.sort { $0.0 < $1.0 }
        columns = pairs.map(\.0)
        names = pairs.map { quotedIdentifier($0.1.name) }
        defaults = try pairs.map { _, column in
            guard let sql = column.defaultSQL else { return .null }
            // The text comes from this file's own schema, where SQLite has accepted it.
            return try connection.first("SELECT \(sql)") ?? .null
        }
        let keys = keyColumns.map(quotedIdentifier)
        keyCondition = keys.map { "\($0) = ?" }.joined(separator: " AND ")
        let all = keys + names
        let list = names.isEmpty ? "1" : names.joined(separator: ", ")
        select = try connection.prepare("SELECT \(list) FROM \(table) WHERE \(keyCondition)")
        insertSQL =
            "INSERT INTO \(table)(\(all.joined(separator: ", "))) VALUES("
            + all.map { _ in "?" }.joined(separator: ", ") + ")"
    }

    /// The texts of the table's capture, made at first use.
    func triggers() throws -> CaptureTriggers {
        let triggers = try madeTriggers ?? CaptureTriggers(schema, id: tableID)
        madeTriggers = triggers
        return triggers
    }

    /// The row's values in the order of `columns`; nil when there is no such row.
    func read(_ key: [Value]) throws -> [Value]? {
        select.reset()
        try select.bind(key)
        defer { select.reset() }
        guard try select.step() else { return nil }
        return columns.isEmpty ? [] : select.values()
    }

    func insert(_ key: [Value], _ values: [Value]) throws {
        let insert = try self.insert ?? connection.prepare(insertSQL)
        self.insert = insert
        insert.reset()
        try insert.bind(key)
        try insert.bind(values, from: Int32(key.count) + 1)
        try insert.run()
    }

    /// Sets the columns whose places in `columns` are given.
    func update(_ key: [Value], places: [Int], values: [Value]) throws {
        let assignments = places.map { "\(names[$0]) = ?" }.joined(separator: ", ")
        let statement = try connection.cached(
            "UPDATE \(table) SET \(assignments) WHERE \(keyCondition)")
        for (offset, place) in places.enumerated() {
            try statement.bind(values[place], at: Int32(offset) + 1)
        }
        try statement.bind(key, from: Int32(places.count) + 1)
        try statement.run()
    }

    func delete(_ key: [Value]) throws {
        let remove =
            try self.remove
            ?? connection.prepare("DELETE FROM \(table) WHERE \(keyCondition)")
        self.remove = remove
        remove.reset()
        try remove.bind(key)
        try remove.run()
    }

    func place(of column: ColumnID) -> Int? { columns.firstIndex(of: column) }
}
