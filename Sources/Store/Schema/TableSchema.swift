// The structure of one table as values: what a peer needs to create it, and what capture, apply and
// the checks of `track` need to know. It is read from the file, and it arrives from peers.

/// How SQLite converts a value that is stored in a column (<https://sqlite.org/datatype3.html>).
package enum Affinity: UInt8, Sendable, Hashable {
    /// No conversion: untyped columns, BLOB, and ANY in a STRICT table.
    case none
    case text, numeric, integer, real
}

/// An `ON CONFLICT` clause of a constraint.
package enum ConflictClause: String, Sendable, Hashable {
    case rollback = "ROLLBACK"
    case abort = "ABORT"
    case fail = "FAIL"
    case ignore = "IGNORE"
    case replace = "REPLACE"
}

/// One column. Expressions are in normal form: see ``SQLToken/normalForm(_:)``.
package struct ColumnSchema: Sendable, Hashable {
    package var name: String
    /// As declared, in normal form; empty for an untyped column.
    package var declaredType: String
    package var isNotNull: Bool
    package var notNullConflict: ConflictClause?
    /// The expression after DEFAULT, without its parentheses.
    package var defaultSQL: String?
    /// BINARY, NOCASE, RTRIM in capitals; any other name as declared.
    package var collation: String
    /// The position in the primary key, from 1; 0 when the column is not part of it.
    package var primaryKeyPosition: Int
    /// The expression of a generated column.
    package var generatedSQL: String?
    package var isStored: Bool
    package var affinity: Affinity

    package var isGenerated: Bool { generatedSQL != nil }

    package init(
        name: String, declaredType: String = "", isNotNull: Bool = false,
        notNullConflict: ConflictClause? = nil, defaultSQL: String? = nil,
        collation: String = "BINARY", primaryKeyPosition: Int = 0, generatedSQL: String? = nil,
        isStored: Bool = false, isInStrictTable: Bool = false
    ) {
        self.name = name
        self.declaredType = declaredType
        self.isNotNull = isNotNull
        self.notNullConflict = notNullConflict
        self.defaultSQL = defaultSQL
        self.collation = collation
        self.primaryKeyPosition = primaryKeyPosition
        self.generatedSQL = generatedSQL
        self.isStored = isStored
        affinity = Self.affinity(ofType: declaredType, isStrict: isInStrictTable)
    }

    /// The affinity that SQLite derives from a declared type (section 3.1 of its data type page).
    package static func affinity(ofType type: String, isStrict: Bool = false) -> Affinity {
        let upper = asciiUppercased(type)
        if isStrict && upper == "ANY" { return .none }
        if upper.contains("INT") { return .integer }
        if ["CHAR", "CLOB", "TEXT"].contains(where: upper.contains) { return .text }
        if upper.isEmpty || upper.contains("BLOB") { return .none }
        if ["REAL", "FLOA", "DOUB"].contains(where: upper.contains) { return .real }
        return .numeric
    }
}

/// One index, the implicit ones of PRIMARY KEY and UNIQUE included.
package struct IndexSchema: Sendable, Hashable {
    package enum Origin: String, Sendable, Hashable {
        case primaryKey = "pk"
        case uniqueConstraint = "u"
        case statement = "c"
    }

    package struct Column: Sendable, Hashable {
        /// Nil when the index is on an expression.
        package var name: String?
        package var expressionSQL: String?
        package var collation: String
        package var isDescending: Bool

        package init(
            name: String?, expressionSQL: String? = nil, collation: String = "BINARY",
            isDescending: Bool = false
        ) {
            self.name = name
            self.expressionSQL = expressionSQL
            self.collation = collation
            self.isDescending = isDescending
        }
    }

    /// Nil for the implicit indexes, whose names SQLite makes up.
    package var name: String?
    package var columns: [Column]
    package var isUnique: Bool
    /// The condition of a partial index.
    package var partialSQL: String?
    package var origin: Origin
    package var conflict: ConflictClause?

    package init(
        name: String?, columns: [Column], isUnique: Bool, partialSQL: String? = nil,
        origin: Origin = .statement, conflict: ConflictClause? = nil
    ) {
        self.name = name
        self.columns = columns
        self.isUnique = isUnique
        self.partialSQL = partialSQL
        self.origin = origin
        self.conflict = conflict
    }
}

/// One foreign key of the table.
package struct ForeignKey: Sendable, Hashable {
    package enum Action: String, Sendable, Hashable {
        case noAction = "NO ACTION"
        case restrict = "RESTRICT"
        case setNull = "SET NULL"
        case setDefault = "SET DEFAULT"
        case cascade = "CASCADE"
    }

    package var columns: [String]
    package var parentTable: String
    /// Resolved to the parent's primary key when the declaration leaves them out; empty when the
    /// parent does not exist or its key does not fit.
    package var parentColumns: [String]
    package var onDelete: Action
    package var onUpdate: Action
    /// Checked at COMMIT (`DEFERRABLE INITIALLY DEFERRED`).
    package var isDeferred: Bool

    package init(
        columns: [String], parentTable: String, parentColumns: [String],
        onDelete: Action = .noAction, onUpdate: Action = .noAction, isDeferred: Bool = false
    ) {
        self.columns = columns
        self.parentTable = parentTable
        self.parentColumns = parentColumns
        self.onDelete = onDelete
        self.onUpdate = onUpdate
        self.isDeferred = isDeferred
    }
}

/// The structure of one table.
///
/// Two tables with equal values behave alike for every statement. It is not the table's SQL: the
/// text of the declaration, its comments and its constraint names are not kept.
package struct TableSchema: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        case table, view, virtual, shadow
    }

    package var name: String
    package var kind: Kind
    /// In table order, generated columns included.
    package var columns: [ColumnSchema]
    package var isWithoutRowID: Bool
    package var isStrict: Bool
    package var isAutoincrement: Bool
    /// The primary key is another name of the rowid (`INTEGER PRIMARY KEY`).
    package var hasRowIDAlias: Bool
    package var primaryKeyConflict: ConflictClause?
    /// In a fixed order that does not depend on when they were created.
    package var indexes: [IndexSchema]
    package var foreignKeys: [ForeignKey]
    package var checks: [String]

    package init(
        name: String, kind: Kind = .table, columns: [ColumnSchema], isWithoutRowID: Bool = false,
        isStrict: Bool = false, isAutoincrement: Bool = false, hasRowIDAlias: Bool = false,
        primaryKeyConflict: ConflictClause? = nil, indexes: [IndexSchema] = [],
        foreignKeys: [ForeignKey] = [], checks: [String] = []
    ) {
        self.name = name
        self.kind = kind
        self.columns = columns
        self.isWithoutRowID = isWithoutRowID
        self.isStrict = isStrict
        self.isAutoincrement = isAutoincrement
        self.hasRowIDAlias = hasRowIDAlias
        self.primaryKeyConflict = primaryKeyConflict
        self.indexes = indexes
        self.foreignKeys = foreignKeys
        self.checks = checks
    }

    /// The columns whose values are data: all but the generated ones, in table order. The journal's
    /// `c0, c1, …` are these.
    package var storedColumns: [ColumnSchema] { columns.filter { !$0.isGenerated } }

    /// The primary key's columns in the key's own order.
    package var primaryKey: [ColumnSchema] {
        columns.filter { $0.primaryKeyPosition > 0 }
            .sorted { $0.primaryKeyPosition < $1.primaryKeyPosition }
    }

    /// The position of each key column among ``storedColumns``, in the key's own order.
    package var keyPositions: [Int] {
        let stored = storedColumns
        return stored.indices.filter { stored[$0].primaryKeyPosition > 0 }
            .sorted { stored[$0].primaryKeyPosition < stored[$1].primaryKeyPosition }
    }

    /// The column of that name, compared as SQLite does (ASCII letters without case).
    package func column(_ name: String) -> ColumnSchema? {
        let wanted = foldedName(name)
        return columns.first { foldedName($0.name) == wanted }
    }

    /// The tables that this one refers to, itself excluded, each once.
    package var foreignParents: [String] {
        var seen: Set = [foldedName(name)]
        return foreignKeys.map(\.parentTable).filter { seen.insert(foldedName($0)).inserted }
    }
}

/// What makes two names one name to SQLite: the bytes, ASCII letters without case. (`String` would
/// also take composed and decomposed letters for the same.)
func foldedName(_ name: String) -> [UInt8] {
    name.utf8.map { 0x41...0x5a ~= $0 ? $0 | 0x20 : $0 }
}

func asciiLowercased(_ text: String) -> String {
    String(
        decoding: foldedName(text), as: UTF8.self)
}

func asciiUppercased(_ text: String) -> String {
    String(
        decoding: text.utf8.map { 0x61...0x7a ~= $0 ? $0 & 0xdf : $0 }, as: UTF8.self)
}

/// The built-in collations in capitals, others as they are.
func normalCollation(_ name: String) -> String {
    let upper = asciiUppercased(name)
    return ["BINARY", "NOCASE", "RTRIM"].contains(upper) ? upper : name
}
