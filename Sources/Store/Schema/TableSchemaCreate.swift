// Makes a table from its structure. The structure may come from a peer and is taken for hostile:
// it is judged part by part, run under an authorizer, read back, and compared.

package import SQLite

extension TableSchema {
    /// The CREATE statements of the table and its indexes.
    ///
    /// - Throws: ``SchemaError`` when a part is not what a table's structure may hold.
    package func createStatements() throws -> [String] {
        try checkStructure()
        var parts = try columns.map { try columnSQL($0) }
        if let key = primaryKeySQL { parts.append(key) }
        for index in indexes where index.origin == .uniqueConstraint {
            parts.append("UNIQUE(\(try indexColumnsSQL(index)))" + conflictSQL(index.conflict))
        }
        for check in checks {
            parts.append("CHECK(\(try StructureGuard.checkedExpression(check)))")
        }
        for key in foreignKeys { parts.append(try foreignKeySQL(key)) }
        var options: [String] = []
        if isWithoutRowID { options.append("WITHOUT ROWID") }
        if isStrict { options.append("STRICT") }
        let table = "CREATE TABLE \(quotedIdentifier(name))(\(parts.joined(separator: ", ")))"
        var statements = [(([table] + [options.joined(separator: ", ")]).joined(separator: " "))]
        for index in indexes where index.origin == .statement {
            statements.append(try indexSQL(index))
        }
        let bytes = statements.reduce(0) { $0 + $1.utf8.count }
        guard bytes <= SchemaLimits.statementBytesMax else {
            throw SchemaError(
                .limit,
                "the table's structure takes \(bytes) bytes, more than the allowed"
                    + " \(SchemaLimits.statementBytesMax): create it by hand")
        }
        return statements
    }

    /// `ALTER TABLE … ADD COLUMN` for one column of this table that `column` describes.
    ///
    /// - Throws: ``SchemaError``; a key column, a stored generated column, and a NOT NULL column
    ///   without a default cannot be added to a table that has rows.
    package func addColumnStatement(_ column: ColumnSchema) throws -> String {
        try StructureGuard.checkNewName(name)
        guard column.primaryKeyPosition == 0, !column.isStored,
            !column.isNotNull || column.isGenerated || column.defaultSQL != nil
        else {
            throw SchemaError(
                .structure,
                "the column \(StructureGuard.shown(column.name)) cannot be added to a table that"
                    + " exists: give it a default, and add it to no key")
        }
        return "ALTER TABLE \(quotedIdentifier(name)) ADD COLUMN \(try columnSQL(column))"
    }

    /// Creates the table and its indexes in the main database, or nothing.
    ///
    /// An authorizer allows only that; afterwards the table is read back, and must be the one
    /// described.
    ///
    /// - Throws: ``SchemaError`` when the structure is refused or comes out otherwise,
    ///   ``SQLiteError`` when a table or index of that name exists or the file cannot be written.
    package func create(in connection: Connection) throws {
        let statements = try createStatements()
        try connection.execute("SAVEPOINT starling_create")
        do {
            try connection.withAuthorizer(allowsWhileCreating) {
                for statement in statements { try connection.execute(statement) }
            }
            guard let made = try TableSchema.read(name, from: connection),
                made.isLike(self)
            else {
                throw SchemaError(
                    .mismatch,
                    "the table \(StructureGuard.shown(name)) did not come out as described: create"
                        + " it on this machine by hand, as it is on the others")
            }
            try connection.execute("RELEASE starling_create")
        } catch {
            // The outer transaction may be gone already; then there is nothing left to undo.
            try? connection.execute("ROLLBACK TO starling_create; RELEASE starling_create")
            throw error
        }
    }

    /// Equal but for what depends on other tables: parent columns that were left out.
    package func isLike(_ other: TableSchema) -> Bool {
        guard foreignKeys.count == other.foreignKeys.count else { return false }
        var left = self
        var right = other
        left.indexes = Self.sorted(left.indexes)
        right.indexes = Self.sorted(right.indexes)
        for index in left.foreignKeys.indices
        where left.foreignKeys[index].parentColumns.isEmpty
            || right.foreignKeys[index].parentColumns.isEmpty
        {
            left.foreignKeys[index].parentColumns = []
            right.foreignKeys[index].parentColumns = []
        }
        return left == right
    }

    private func checkStructure() throws {
        guard kind == .table else {
            throw SchemaError(.structure, "a \(kind.rawValue) is no table: only tables are created")
        }
        try StructureGuard.checkNewName(name)
        guard 1...SchemaLimits.columnsMax ~= columns.count,
            indexes.count <= SchemaLimits.indexesMax, checks.count <= SchemaLimits.checksMax,
            foreignKeys.count <= SchemaLimits.foreignKeysMax,
            indexes.allSatisfy({ 1...SchemaLimits.indexColumnsMax ~= $0.columns.count })
        else {
            throw SchemaError(
                .limit,
                "the table \(StructureGuard.shown(name)) has too many columns, indexes or"
                    + " constraints (or none)")
        }
        let positions = primaryKey.map(\.primaryKeyPosition)
        let keyIndexes = indexes.filter { $0.origin == .primaryKey }
        let keyNames = primaryKey.map { Optional($0.name) }
        guard positions == Array(1..<(positions.count + 1)),
            positions.isEmpty || hasRowIDAlias == keyIndexes.isEmpty, keyIndexes.count <= 1,
            keyIndexes.allSatisfy({ $0.columns.map(\.name) == keyNames }),
            !hasRowIDAlias || positions.count == 1
        else {
            throw SchemaError(
                .structure,
                "the primary key of \(StructureGuard.shown(name)) contradicts itself")
        }
        for index in indexes where index.origin != .statement {
            guard index.name == nil, index.partialSQL == nil, index.isUnique else {
                throw SchemaError(
                    .structure, "an index of a constraint cannot be named, partial or not unique")
            }
        }
    }

    private func columnSQL(_ column: ColumnSchema) throws -> String {
        try StructureGuard.checkName(column.name)
        try StructureGuard.checkType(column.declaredType)
        try StructureGuard.checkCollation(column.collation)
        var parts = [quotedIdentifier(column.name)]
        if !column.declaredType.isEmpty { parts.append(column.declaredType) }
        if isLoneDescendingInteger(column) {
            parts.append("PRIMARY KEY DESC" + conflictSQL(primaryKeyConflict))
        }
        if column.isNotNull { parts.append("NOT NULL" + conflictSQL(column.notNullConflict)) }
        if let sql = column.defaultSQL {
            parts.append("DEFAULT (\(try StructureGuard.checkedExpression(sql)))")
        }
        if column.collation != "BINARY" { parts.append("COLLATE \(column.collation)") }
        if let sql = column.generatedSQL {
            let expression = try StructureGuard.checkedExpression(sql)
            parts.append(
                "GENERATED ALWAYS AS (\(expression)) \(column.isStored ? "STORED" : "VIRTUAL")")
        }
        return parts.joined(separator: " ")
    }

    /// `INTEGER PRIMARY KEY DESC` on the column is the one spelling that is *not* the rowid.
    private func isLoneDescendingInteger(_ column: ColumnSchema) -> Bool {
        column.primaryKeyPosition == 1 && primaryKey.count == 1 && !hasRowIDAlias
            && !isWithoutRowID && asciiUppercased(column.declaredType) == "INTEGER"
    }

    private var primaryKeySQL: String? {
        let key = primaryKey
        guard let first = key.first, !isLoneDescendingInteger(first) else { return nil }
        if hasRowIDAlias {
            let suffix = isAutoincrement ? " AUTOINCREMENT" : ""
            return "PRIMARY KEY(\(quotedIdentifier(first.name))\(suffix))"
                + conflictSQL(primaryKeyConflict)
        }
        let index = indexes.first { $0.origin == .primaryKey }
        guard let index, let list = try? indexColumnsSQL(index) else { return nil }
        return "PRIMARY KEY(\(list))" + conflictSQL(primaryKeyConflict)
    }

    private func indexColumnsSQL(_ index: IndexSchema) throws -> String {
        try index.columns.map { part in
            try StructureGuard.checkCollation(part.collation)
            var sql: String
            if let expression = part.expressionSQL, part.name == nil, index.origin == .statement {
                sql = "(\(try StructureGuard.checkedExpression(expression)))"
            } else if let name = part.name, let column = column(name) {
                sql = quotedIdentifier(name)
                if column.collation == part.collation { return sql + descending(part) }
            } else {
                throw SchemaError(.structure, "an index names a column that the table lacks")
            }
            sql += " COLLATE \(part.collation)"
            return sql + descending(part)
        }.joined(separator: ", ")
    }

    private func descending(_ part: IndexSchema.Column) -> String {
        part.isDescending ? " DESC" : ""
    }

    private func indexSQL(_ index: IndexSchema) throws -> String {
        let indexName = index.name ?? ""
        try StructureGuard.checkNewName(indexName)
        var sql =
            "CREATE \(index.isUnique ? "UNIQUE " : "")INDEX \(quotedIdentifier(indexName)) ON "
            + "\(quotedIdentifier(name))(\(try indexColumnsSQL(index)))"
        if let condition = index.partialSQL {
            sql += " WHERE \(try StructureGuard.checkedExpression(condition))"
        }
        return sql
    }

    private func foreignKeySQL(_ key: ForeignKey) throws -> String {
        for name in key.columns + key.parentColumns + [key.parentTable] {
            try StructureGuard.checkName(name)
        }
        guard !key.columns.isEmpty,
            key.parentColumns.isEmpty || key.parentColumns.count == key.columns.count,
            key.columns.allSatisfy({ column($0) != nil })
        else {
            throw SchemaError(.structure, "a foreign key's columns do not fit each other")
        }
        func list(_ names: [String]) -> String {
            "(\(names.map(quotedIdentifier).joined(separator: ", ")))"
        }
        let parent =
            quotedIdentifier(key.parentTable)
            + (key.parentColumns.isEmpty ? "" : list(key.parentColumns))
        return "FOREIGN KEY\(list(key.columns)) REFERENCES \(parent)"
            + " ON DELETE \(key.onDelete.rawValue) ON UPDATE \(key.onUpdate.rawValue)"
            + (key.isDeferred ? " DEFERRABLE INITIALLY DEFERRED" : "")
    }

    private func conflictSQL(_ conflict: ConflictClause?) -> String {
        conflict.map { " ON CONFLICT \($0.rawValue)" } ?? ""
    }

    /// The authorizer while the statements of ``createStatements()`` run.
    private func allowsWhileCreating(_ action: Int32, _ first: String?, _ second: String?) -> Bool {
        let tables = [name, "sqlite_master", "sqlite_schema", "sqlite_sequence"]
        switch action {
        case AuthorizerAction.createTable:
            return first == name || first == "sqlite_sequence"
        case AuthorizerAction.createIndex:
            return second == name
        case AuthorizerAction.insert, AuthorizerAction.update, AuthorizerAction.delete:
            return first == "sqlite_master" || first == "sqlite_schema"
        case AuthorizerAction.read:
            return tables.contains(first ?? "")
        case AuthorizerAction.reindex:
            return true
        case AuthorizerAction.function:
            return StructureGuard.functions.contains(asciiLowercased(second ?? ""))
        default:
            return false
        }
    }
}

/// Action codes of SQLite's authorizer (<https://sqlite.org/c3ref/c_alter_table.html>).
private enum AuthorizerAction {
    static let createIndex: Int32 = 1
    static let createTable: Int32 = 2
    static let delete: Int32 = 9
    static let insert: Int32 = 18
    static let read: Int32 = 20
    static let update: Int32 = 23
    static let reindex: Int32 = 27
    static let function: Int32 = 31
}
