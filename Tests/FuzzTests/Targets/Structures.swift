// The structure of a peer's tables: its CBOR, and the SQL fragments in it.

import Codec
import SQLite
import Values

@testable import Store

func sampleSchemas() throws -> [TableSchema] {
    let connection = try Connection(path: ":memory:")
    try connection.execute(
        """
        CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE);
        CREATE TABLE jobs(
            a TEXT NOT NULL, b VARCHAR(10, 2) NOT NULL DEFAULT 'x',
            c REAL CHECK(c > 0) DEFAULT (1 + 2), customer REFERENCES customers(id)
            ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
            total AS (coalesce(c, 0) * 2) STORED, PRIMARY KEY(a, b)) WITHOUT ROWID;
        CREATE UNIQUE INDEX jobs_c ON jobs(c DESC, a COLLATE RTRIM) WHERE c IS NOT NULL;
        CREATE INDEX jobs_l ON jobs(lower(a));
        CREATE TABLE strict(k ANY PRIMARY KEY NOT NULL, v INT) STRICT;
        """)
    return try ["customers", "jobs", "strict"].compactMap {
        try TableSchema.read($0, from: connection)
    }
}

private let structureWords =
    phrases(
        "name", "columns", "withoutRowID", "strict", "autoincrement", "rowIDAlias", "keyConflict",
        "indexes", "foreignKeys", "checks", "type", "notNull", "notNullConflict", "default",
        "collation", "key", "generated", "stored", "unique", "partial", "origin", "conflict",
        "expression", "descending", "parent", "parentColumns", "onDelete", "onUpdate", "deferred")
    + [[0xf5], [0xf4], [0x80], [0xa0]]

let sqlWords = phrases(
    "'", "\"", "`", "[", "]", "--", "/*", "*/", "(", ")", ",", ";", "CHECK", "NOT NULL", "PRIMARY",
    "KEY", "REFERENCES", "DEFAULT", "COLLATE", "AS", "CASE", "WHEN", "END", "SELECT", "x'00'",
    "1e5", "0x1f", "||", "->>", "abs(", "lower(", "CURRENT_TIME", "NULL", "IS", "IN", "LIKE")

extension FuzzTarget {
    static let schema = FuzzTarget(
        name: "schema", bytesMax: 2048, words: structureWords + sqlWords,
        seeds: { try sampleSchemas().map(\.cbor.encoded) },
        check: { bytes in
            guard let item = try? CBOR(decoding: bytes), let schema = try? TableSchema(cbor: item)
            else { return }
            try promise(
                try TableSchema(cbor: schema.cbor) == schema, "a structure does not come again")
            guard let statements = try? schema.createStatements() else { return }
            try promise(!statements.isEmpty, "a structure makes no statement")
            for column in schema.columns { _ = try? schema.addColumnStatement(column) }
        })

    /// SQL fragments that become part of a CREATE statement.
    static let expression = FuzzTarget(
        name: "expression", bytesMax: 96, words: sqlWords,
        seeds: {
            [
                "a > 0 AND lower(b) <> 'x''y'", "coalesce(a, \"b\", [a], `b`)", "x'00ff' IS NOT b",
                "CASE WHEN a THEN -1.5e+3 ELSE 0x1F END", "a -- b", "1) , c(2", "a /* b */",
                "VARCHAR(10, -2)", "DOUBLE PRECISION", "a->>'$.x' || ?1",
            ].map { Array($0.utf8) }
        },
        check: { bytes in
            guard let sql = String(validating: bytes, as: UTF8.self) else { return }
            let tokens = SQLTokenizer.tokens(of: sql)
            try promise(tokens.allSatisfy { !$0.text.isEmpty }, "a token is empty")
            let normal = SQLToken.normalForm(tokens)
            try promise(normal.utf8.count <= 2 * sql.utf8.count, "the normal form is long")
            for token in tokens { _ = token.name }
            if (try? StructureGuard.checkType(sql)) != nil { try checkInTable("a \(sql), b") }
            guard (try? StructureGuard.checkedExpression(sql)) != nil else { return }
            try checkInTable("a, b, CHECK(\(sql))")
        })

    /// What passed the guard stays inside its parentheses: two columns, one table.
    private static func checkInTable(_ body: String) throws {
        let connection = try Connection(path: ":memory:")
        guard (try? connection.execute("CREATE TABLE t(\(body))")) != nil else { return }
        let made = try connection.query("SELECT type, name FROM sqlite_schema")
        try promise(made == [[.string("table"), .string("t")]], "another object was made: \(body)")
        let columns = try connection.query(
            "SELECT name, \"notnull\", pk FROM pragma_table_info('t')")
        try promise(
            columns == [
                [.string("a"), .integer(0), .integer(0)], [.string("b"), .integer(0), .integer(0)],
            ], "other columns were made: \(body)")
    }
}
