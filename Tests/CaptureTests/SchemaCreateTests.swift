// Tables made from their structure, and hostile structures that must make nothing.

import SQLite
import Store
import TestKit
import Testing
import Values

@Suite struct SchemaCreateTests {
    static let samples =
        Shape.all.map(\.setup) + [
            """
            CREATE TABLE t(id INTEGER PRIMARY KEY DESC ON CONFLICT IGNORE,
              "a""b" VARCHAR(20) NOT NULL ON CONFLICT FAIL DEFAULT 'it''s' COLLATE RTRIM,
              c DECIMAL(10, -2) DEFAULT -1.5, d AS (c + 1),
              e INT AS (d * 2) STORED, u DEFAULT word UNIQUE ON CONFLICT ROLLBACK,
              v DEFAULT CURRENT_TIMESTAMP,
              w DEFAULT (lower(hex(randomblob(16)))), x DEFAULT (x'00'),
              y DEFAULT NULL, z DEFAULT TRUE,
              CHECK(c IN (1, 2) OR c BETWEEN 3 AND 4), CHECK(length("a""b") < 5));
            CREATE INDEX i1 ON t(lower("a""b") COLLATE NOCASE DESC, c)
              WHERE c > 1 AND "a""b" LIKE 'x%';
            CREATE UNIQUE INDEX [i 2] ON t("a""b" COLLATE BINARY, e)
            """,
            """
            CREATE TABLE t(a TEXT COLLATE NOCASE, b, PRIMARY KEY(a COLLATE BINARY, b DESC))
              WITHOUT ROWID
            """,
            "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b ANY) STRICT",
            """
            CREATE TABLE t(a INT PRIMARY KEY NOT NULL, b TIMESTAMP WITHOUT TIME ZONE,
              c UNSIGNED BIG INT)
            """,
        ]

    @Test(arguments: samples) func createdTableEqualsTheOriginal(sql: String) throws {
        let source = try Connection(path: ":memory:")
        try source.execute(sql)
        let target = try Connection(path: ":memory:")
        try target.execute("PRAGMA foreign_keys = ON")
        let names = try source.query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for name in names.map({ CapturedOne.text($0[0]) }) {
            let schema = try #require(try TableSchema.read(name, from: source))
            try schema.create(in: target)
            let made = try #require(try TableSchema.read(name, from: target))
            #expect(made.isLike(schema))
            #expect(try made.createStatements() == schema.createStatements())
        }
        // What was in the source can be copied, so the tables behave alike.
        #expect(!target.isInTransaction)
    }

    static let good = TableSchema(
        name: "t",
        columns: [
            ColumnSchema(
                name: "id", declaredType: "TEXT", isNotNull: true, primaryKeyPosition: 1),
            ColumnSchema(name: "v", declaredType: "INTEGER"),
        ],
        indexes: [
            IndexSchema(
                name: nil, columns: [.init(name: "id")], isUnique: true, origin: .primaryKey)
        ])

    static let hostileExpressions = [
        "1); DROP TABLE victim; --", "1) , evil TEXT DEFAULT (1", ")(", "(1", "1))((", "",
        "(SELECT v FROM victim)", "1 /* */", "1 -- x", "?1", ":a", "@a", "$a", "1; 2",
        "load_extension('x')", "\"load_extension\"('x')", "readfile('/etc/passwd')", "'unended",
        "[unended", "\"unended", "x'zz' 'y", "RAISE(ABORT, 'x')", "PRAGMA", "v MATCH 'x'",
        "EXISTS (VALUES(1))", "fts3_tokenizer('x')", "1\u{0}2", "writefile('/tmp/x', 'y')",
        String(repeating: "(", count: 200) + "1" + String(repeating: ")", count: 200),
        String(repeating: "1+", count: 20000) + "1", "edit(v)", "no_such_function(v)", "{}",
        "1 \\ 2",
    ]

    @Test(arguments: hostileExpressions) func hostileExpressionMakesNothing(sql: String) throws {
        var variants: [TableSchema] = []
        var schema = Self.good
        schema.columns[1].defaultSQL = sql
        variants.append(schema)
        schema = Self.good
        schema.columns[1].generatedSQL = sql
        variants.append(schema)
        schema = Self.good
        schema.checks = [sql]
        variants.append(schema)
        schema = Self.good
        schema.indexes.append(
            IndexSchema(name: "i", columns: [.init(name: "v")], isUnique: false, partialSQL: sql))
        variants.append(schema)
        schema = Self.good
        schema.indexes.append(
            IndexSchema(
                name: "i", columns: [.init(name: nil, expressionSQL: sql)], isUnique: false))
        variants.append(schema)
        for schema in variants { try expectNothing(from: schema, .expression) }
    }

    static let hostileTypes = [
        "INTEGER PRIMARY KEY", "TEXT, evil TEXT", "TEXT DEFAULT (1)", "TEXT)", "(5)", "TEXT(1,2,3)",
        "TEXT(x)", "TEXT -- ", "TEXT /* */ NOT NULL", "\"TEXT\"", "TEXT; DROP TABLE victim", "'x'",
        "TEXT REFERENCES victim", "TEXT(SELECT)", "TEXT COLLATE NOCASE",
        String(repeating: "A", count: 300),
    ]

    @Test(arguments: hostileTypes) func hostileTypeMakesNothing(type: String) throws {
        var schema = Self.good
        schema.columns[1].declaredType = type
        try expectNothing(from: schema, .type)
    }

    @Test(arguments: [
        "sqlite_master", "SQLITE_x", "_starling_journal_1", "_STARLING_x", "", "a\u{0}b",
        String(repeating: "n", count: 256),
    ])
    func reservedNameMakesNothing(name: String) throws {
        var schema = Self.good
        schema.name = name
        try expectNothing(from: schema, .name)
        schema = Self.good
        schema.indexes.append(
            IndexSchema(name: name, columns: [.init(name: "v")], isUnique: false))
        try expectNothing(from: schema, .name)
    }

    @Test func contradictionMakesNothing() throws {
        var schema = Self.good
        schema.columns[0].primaryKeyPosition = 2
        try expectNothing(from: schema, .structure)
        schema = Self.good
        schema.indexes[0].columns = [.init(name: "v")]
        try expectNothing(from: schema, .structure)
        schema = Self.good
        schema.hasRowIDAlias = true
        try expectNothing(from: schema, .structure)
        schema = Self.good
        schema.kind = .view
        try expectNothing(from: schema, .structure)
        schema = Self.good
        schema.columns[0].collation = "x\") PRIMARY KEY --"
        try expectNothing(from: schema, .collation)
        schema = Self.good
        schema.columns = []
        try expectNothing(from: schema, .limit)
        schema = Self.good
        schema.columns += (0..<2000).map { ColumnSchema(name: "n\($0)") }
        try expectNothing(from: schema, .limit)
        schema = Self.good
        schema.isAutoincrement = true
        try expectNothing(from: schema, .mismatch)
        schema = Self.good
        schema.columns[1].affinity = .text
        try expectNothing(from: schema, .mismatch)
        schema = Self.good
        schema.foreignKeys = [
            ForeignKey(columns: ["nothing"], parentTable: "t", parentColumns: ["id"])
        ]
        try expectNothing(from: schema, .structure)
    }

    /// Names are only ever quoted: this one is odd, not hostile.
    @Test func oddNamesAreNames() throws {
        var schema = Self.good
        schema.name = "t\"; DROP TABLE victim; --"
        schema.columns[1].name = "v\" TEXT, \"evil"
        let connection = try victim()
        try schema.create(in: connection)
        #expect(try TableSchema.read(schema.name, from: connection) == schema)
        #expect(try connection.integer("SELECT v FROM victim") == 1)
    }

    @Test func tableThatExistsIsLeftAlone() throws {
        let connection = try victim()
        var schema = Self.good
        schema.name = "victim"
        #expect(throws: SQLiteError.self) { try schema.create(in: connection) }
        #expect(try connection.integer("SELECT v FROM victim") == 1)
        // An index of that name belongs to another table: nothing of the new one stays.
        schema = Self.good
        schema.indexes.append(
            IndexSchema(name: "taken", columns: [.init(name: "v")], isUnique: false))
        #expect(throws: SQLiteError.self) { try schema.create(in: connection) }
        #expect(try TableSchema.read("t", from: connection) == nil)
        #expect(!connection.isInTransaction)
    }

    @Test func createJoinsTheTransactionOfTheCaller() throws {
        let connection = try victim()
        try connection.execute("BEGIN")
        try Self.good.create(in: connection)
        #expect(connection.isInTransaction)
        try connection.execute("ROLLBACK")
        #expect(try TableSchema.read("t", from: connection) == nil)
    }

    @Test func addedColumnsEqualTheOriginal() throws {
        let connection = try victim()
        try Self.good.create(in: connection)
        try connection.execute("INSERT INTO t VALUES('a', 1)")
        let added = [
            ColumnSchema(name: "n \"1\"", declaredType: "TEXT", isNotNull: true, defaultSQL: "'x'"),
            ColumnSchema(
                name: "n2", declaredType: "REAL", defaultSQL: "- 1.5", collation: "NOCASE"),
            ColumnSchema(name: "n3", generatedSQL: "v + 1"), ColumnSchema(name: "n4"),
        ]
        for column in added {
            try connection.execute(Self.good.addColumnStatement(column))
        }
        let schema = try #require(try TableSchema.read("t", from: connection))
        #expect(Array(schema.columns.dropFirst(2)) == added)
        #expect(try connection.first("SELECT \"n \"\"1\"\"\" FROM t") == .string("x"))

        for refused in [
            ColumnSchema(name: "k", primaryKeyPosition: 1),
            ColumnSchema(name: "k", isNotNull: true),
            ColumnSchema(name: "k", generatedSQL: "v", isStored: true),
        ] {
            #expect(throws: SchemaError(.structure, "")) {
                try Self.good.addColumnStatement(refused)
            }
        }
        #expect(throws: SchemaError(.expression, "")) {
            try Self.good.addColumnStatement(ColumnSchema(name: "k", defaultSQL: "1); DROP"))
        }
    }

    private func victim() throws -> Connection {
        let connection = try Connection(path: ":memory:")
        try connection.execute(
            "CREATE TABLE victim(v); INSERT INTO victim VALUES(1); CREATE INDEX taken ON victim(v)")
        return connection
    }

    private func expectNothing(
        from schema: TableSchema, _ code: SchemaError.Code,
        at location: SourceLocation = #_sourceLocation
    ) throws {
        let connection = try victim()
        let before = try connection.query("SELECT * FROM sqlite_master")
        let error = #expect(throws: SchemaError.self, sourceLocation: location) {
            try schema.create(in: connection)
        }
        #expect(error?.code == code, sourceLocation: location)
        #expect(
            try connection.query("SELECT * FROM sqlite_master") == before, sourceLocation: location)
        #expect(
            try connection.integer("SELECT v FROM victim") == 1, sourceLocation: location)
        #expect(!connection.isInTransaction, sourceLocation: location)
    }
}
