// Reads a table's structure from the file: pragmas first, the text of the declaration for the rest.

package import SQLite
internal import Values

extension TableSchema {
    /// The structure of `table` in the main database; nil when there is none of that name.
    ///
    /// The name is compared as SQLite does, and comes back as the table was declared.
    ///
    /// - Throws: ``SQLiteError`` when the file cannot be read.
    package static func read(_ table: String, from connection: Connection) throws -> TableSchema? {
        let found = try connection.query(
            """
            SELECT l.name, l.type, l.wr, l.strict, m.sql
            FROM pragma_table_list AS l
            LEFT JOIN main.sqlite_master AS m ON m.name = l.name AND m.type IN ('table', 'view')
            WHERE l.schema = 'main' AND l.name = ?1 COLLATE NOCASE
            """, [.string(table)])
        guard let row = found.first else { return nil }
        let name = row[0].pragmaText
        let kind = Kind(rawValue: row[1].pragmaText) ?? .virtual
        let declaration = TableDeclaration(sql: kind == .table ? row[4].pragmaText : "")
        let isStrict = row[3] == .integer(1)

        var schema = TableSchema(
            name: name, kind: kind,
            columns: try readColumns(name, declaration, isStrict: isStrict, from: connection),
            isWithoutRowID: row[2] == .integer(1), isStrict: isStrict,
            isAutoincrement: declaration.isAutoincrement,
            primaryKeyConflict: declaration.primaryKeyConflict, checks: declaration.checks)
        schema.indexes = try readIndexes(name, declaration, from: connection)
        schema.foreignKeys = try readForeignKeys(name, declaration, from: connection)
        // A rowid table keeps its key in an index of its own, unless the key is the rowid.
        schema.hasRowIDAlias =
            kind == .table && !schema.isWithoutRowID && schema.primaryKey.count == 1
            && !schema.indexes.contains { $0.origin == .primaryKey }
        return schema
    }

    private static func readColumns(
        _ table: String, _ declaration: TableDeclaration, isStrict: Bool,
        from connection: Connection
    ) throws -> [ColumnSchema] {
        try connection.query(
            """
            SELECT name, type, "notnull", dflt_value, pk, hidden
            FROM pragma_table_xinfo(?1, 'main') ORDER BY cid
            """, [.string(table)]
        ).map { row in
            let name = row[0].pragmaText
            let declared = declaration.columns[foldedName(name)] ?? .init()
            let isGenerated = row[5] == .integer(2) || row[5] == .integer(3)
            return ColumnSchema(
                name: name,
                declaredType: SQLToken.normalForm(SQLTokenizer.tokens(of: row[1].pragmaText)),
                isNotNull: row[2] != .integer(0),
                notNullConflict: declared.notNullConflict,
                defaultSQL: row[3].isNull ? nil : normalDefault(row[3].pragmaText),
                collation: declared.collation,
                primaryKeyPosition: row[4].pragmaNumber,
                generatedSQL: isGenerated ? declared.generatedSQL ?? "NULL" : nil,
                isStored: row[5] == .integer(3), isInStrictTable: isStrict)
        }
    }

    /// `DEFAULT word` and `DEFAULT "word"` mean the text 'word', which in parentheses they would
    /// not.
    private static func normalDefault(_ sql: String) -> String {
        let tokens = SQLTokenizer.tokens(of: sql)
        if tokens.count == 1, let name = tokens[0].name, tokens[0].kind != .string {
            let literals = [
                "NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP",
            ]
            if tokens[0].kind == .quotedName || !literals.contains(where: tokens[0].isWord) {
                return quotedLiteral(name)
            }
        }
        return SQLToken.normalForm(tokens)
    }

    private static func readIndexes(
        _ table: String, _ declaration: TableDeclaration, from connection: Connection
    ) throws -> [IndexSchema] {
        var uniques = declaration.uniques
        let rows = try connection.query(
            """
            SELECT l.name, l."unique", l.origin, l.partial, m.sql
            FROM pragma_index_list(?1, 'main') AS l
            LEFT JOIN main.sqlite_master AS m ON m.name = l.name AND m.type = 'index'
            ORDER BY l.seq DESC
            """, [.string(table)])
        let indexes = try rows.map { row in
            let origin = IndexSchema.Origin(rawValue: row[2].pragmaText) ?? .statement
            let text = origin == .statement ? IndexDeclaration(sql: row[4].pragmaText) : nil
            let columns = try readIndexColumns(row[0].pragmaText, text, from: connection)
            var index = IndexSchema(
                name: origin == .statement ? row[0].pragmaText : nil, columns: columns,
                isUnique: row[1] != .integer(0), partialSQL: text?.partialSQL, origin: origin)
            let names = columns.map { foldedName($0.name ?? "") }
            if origin == .uniqueConstraint,
                let found = uniques.firstIndex(where: {
                    $0.columns.map(foldedName) == names
                })
            {
                index.conflict = uniques.remove(at: found).conflict
            }
            return index
        }
        return sorted(indexes)
    }

    private static func readIndexColumns(
        _ index: String, _ text: IndexDeclaration?, from connection: Connection
    ) throws -> [IndexSchema.Column] {
        try connection.query(
            """
            SELECT seqno, cid, name, "desc", coll FROM pragma_index_xinfo(?1, 'main')
            WHERE key = 1 ORDER BY seqno
            """, [.string(index)]
        ).map { row in
            let position = row[0].pragmaNumber
            let expression =
                position < text?.expressions.count ?? 0 ? text?.expressions[position] : nil
            return IndexSchema.Column(
                name: row[2].isNull ? nil : row[2].pragmaText,
                expressionSQL: row[2].isNull ? expression ?? "NULL" : nil,
                collation: normalCollation(row[4].pragmaText),
                isDescending: row[3] == .integer(1))
        }
    }

    /// One order for equal sets of indexes.
    static func sorted(_ indexes: [IndexSchema]) -> [IndexSchema] {
        func rank(_ index: IndexSchema) -> (Int, String, String) {
            let origin =
                switch index.origin {
                case .primaryKey: 0
                case .uniqueConstraint: 1
                case .statement: 2
                }
            let columns = index.columns.map {
                "\($0.name ?? "")\0\($0.expressionSQL ?? "")\0\($0.collation)\0\($0.isDescending)"
            }
            return (origin, index.name ?? "", columns.joined(separator: "\u{1}"))
        }
        return indexes.sorted { rank($0) < rank($1) }
    }

    private static func readForeignKeys(
        _ table: String, _ declaration: TableDeclaration, from connection: Connection
    ) throws -> [ForeignKey] {
        let rows = try connection.query(
            """
            SELECT id, "table", "from", "to", on_delete, on_update
            FROM pragma_foreign_key_list(?1, 'main') ORDER BY id DESC, seq
            """, [.string(table)])
        var keys: [ForeignKey] = []
        var last: Value?
        for row in rows {
            if row[0] != last {
                last = row[0]
                let number = keys.count
                keys.append(
                    ForeignKey(
                        columns: [], parentTable: row[1].pragmaText, parentColumns: [],
                        onDelete: ForeignKey.Action(rawValue: row[4].pragmaText) ?? .noAction,
                        onUpdate: ForeignKey.Action(rawValue: row[5].pragmaText) ?? .noAction,
                        isDeferred: number < declaration.deferrals.count
                            && declaration.deferrals[number]))
            }
            keys[keys.count - 1].columns.append(row[2].pragmaText)
            if !row[3].isNull { keys[keys.count - 1].parentColumns.append(row[3].pragmaText) }
        }
        for index in keys.indices where keys[index].parentColumns.isEmpty {
            let key = try connection.query(
                "SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE pk > 0 ORDER BY pk",
                [.string(keys[index].parentTable)]
            ).map { $0[0].pragmaText }
            if key.count == keys[index].columns.count { keys[index].parentColumns = key }
        }
        return keys
    }
}

extension Value {
    /// A name or number that a pragma returned; the empty text and 0 stand for anything else.
    var pragmaText: String {
        if case .text(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { "" }
    }

    var pragmaNumber: Int {
        if case .integer(let number) = self { Int(truncatingIfNeeded: number) } else { 0 }
    }
}
