// The structure of a table as it is read: what pragmas tell and what only the text tells.

import SQLite
import Store
import TestKit
import Testing
import Values

@Suite struct SchemaReadTests {
    private func read(_ sql: String, _ table: String = "t") throws -> TableSchema {
        let connection = try Connection(path: ":memory:")
        try connection.execute(sql)
        return try #require(try TableSchema.read(table, from: connection))
    }

    @Test func everyPartIsRead() throws {
        let schema = try read(
            """
            CREATE TABLE /* a ) comment */ [t](
              id INTEGER CONSTRAINT pk PRIMARY KEY ON CONFLICT REPLACE AUTOINCREMENT,
              "a,b" VARCHAR (20) NOT NULL ON CONFLICT IGNORE DEFAULT 'it''s ('
                COLLATE nocase, -- x ,
              `c` DOUBLE PRECISION DEFAULT -1.5 CHECK (c > 0 AND c <> ')'),
              'd' DEFAULT (1+2) UNIQUE ON CONFLICT FAIL, e DEFAULT word, f DEFAULT TRUE,
              g INT GENERATED ALWAYS AS ("c" * 2) STORED, h AS (lower([a,b])) VIRTUAL,
              p INTEGER REFERENCES parent ON DELETE SET DEFAULT ON UPDATE NO ACTION NOT NULL,
              CONSTRAINT u UNIQUE (c, `d` COLLATE rtrim DESC) ON CONFLICT ROLLBACK
              CHECK(id < 5),
              FOREIGN KEY (c, "d") REFERENCES "other"('x', [y]) MATCH FULL
                DEFERRABLE INITIALLY DEFERRED
            );
            CREATE TABLE parent(k TEXT PRIMARY KEY);
            CREATE UNIQUE INDEX "i 1" ON t(c DESC, lower("a,b") COLLATE RTRIM) WHERE d IS NOT NULL
            """)
        #expect(schema.name == "t")
        #expect(schema.kind == .table)
        #expect(schema.isAutoincrement && schema.hasRowIDAlias)
        #expect(!schema.isWithoutRowID && !schema.isStrict)
        #expect(schema.primaryKeyConflict == .replace)
        #expect(schema.columns.map(\.name) == ["id", "a,b", "c", "d", "e", "f", "g", "h", "p"])
        #expect(schema.storedColumns.map(\.name) == ["id", "a,b", "c", "d", "e", "f", "p"])
        #expect(schema.checks == ["c > 0 AND c <> ')'", "id < 5"])

        let text = try #require(schema.column("A,B"))
        #expect(text.declaredType == "VARCHAR(20)" && text.affinity == .text)
        #expect(text.isNotNull && text.notNullConflict == .ignore)
        #expect(text.collation == "NOCASE" && text.defaultSQL == "'it''s ('")
        #expect(schema.column("c")?.defaultSQL == "- 1.5")
        #expect(schema.column("c")?.affinity == .real)
        #expect(schema.column("d")?.defaultSQL == "1 + 2")
        #expect(schema.column("e")?.defaultSQL == "'word'")
        #expect(schema.column("f")?.defaultSQL == "TRUE")
        #expect(
            schema.column("g")?.generatedSQL == "\"c\" * 2" && schema.column("g")?.isStored == true)
        #expect(schema.column("h")?.generatedSQL == "lower([a,b])")
        #expect(schema.column("h")?.isStored == false)
        #expect(schema.column("p")?.isNotNull == true)

        #expect(
            schema.foreignKeys == [
                ForeignKey(
                    columns: ["p"], parentTable: "parent", parentColumns: ["k"],
                    onDelete: .setDefault),
                ForeignKey(
                    columns: ["c", "d"], parentTable: "other", parentColumns: ["x", "y"],
                    isDeferred: true),
            ])
        #expect(schema.foreignParents == ["parent", "other"])
        let unique = schema.indexes.filter { $0.origin == .uniqueConstraint }
        #expect(Set(unique.compactMap(\.conflict)) == [.fail, .rollback])
        #expect(
            unique.contains {
                $0.columns.last == .init(name: "d", collation: "RTRIM", isDescending: true)
            })
        let index = try #require(schema.indexes.first { $0.origin == .statement })
        #expect(index.name == "i 1" && index.isUnique && index.partialSQL == "d IS NOT NULL")
        #expect(
            index.columns == [
                .init(name: "c", isDescending: true),
                .init(name: nil, expressionSQL: "lower(\"a,b\")", collation: "RTRIM"),
            ])
    }

    @Test func kindsOfKeys() throws {
        #expect(try read("CREATE TABLE t(id integer primary key)").hasRowIDAlias)
        #expect(try read("CREATE TABLE t(a, id INTEGER, PRIMARY KEY(id))").hasRowIDAlias)
        #expect(try !read("CREATE TABLE t(id INT PRIMARY KEY)").hasRowIDAlias)
        #expect(try !read("CREATE TABLE t(id INTEGER PRIMARY KEY DESC)").hasRowIDAlias)
        #expect(try !read("CREATE TABLE t(id INTEGER PRIMARY KEY) WITHOUT ROWID").hasRowIDAlias)
        let composite = try read(
            "CREATE TABLE t(a, g AS (a), b, c, PRIMARY KEY(c, a)) WITHOUT ROWID, STRICT".replacing(
                ", STRICT", with: ""))
        #expect(composite.primaryKey.map(\.name) == ["c", "a"])
        #expect(composite.keyPositions == [2, 0])
        #expect(composite.isWithoutRowID)
    }

    @Test func kindsOfTables() throws {
        #expect(try read("CREATE TABLE x(a); CREATE VIEW t AS SELECT a FROM x").kind == .view)
        #expect(try read("CREATE VIRTUAL TABLE t USING fts5(a)").kind == .virtual)
        #expect(try read("CREATE VIRTUAL TABLE t USING fts5(a)", "t_data").kind == .shadow)
        let connection = try Connection(path: ":memory:")
        #expect(try TableSchema.read("nothing", from: connection) == nil)
        try connection.execute("CREATE TEMP TABLE t(a)")
        #expect(try TableSchema.read("t", from: connection) == nil)
    }

    @Test func affinities() {
        let cases: [(String, Affinity)] = [
            ("INT", .integer), ("CHARINT", .integer), ("FLOATING POINT", .integer),
            ("NVARCHAR(5)", .text), ("CLOB", .text), ("", .none), ("BLOB", .none),
            ("DOUBLE", .real), ("DECIMAL(10,5)", .numeric), ("ANY", .numeric), ("DATE", .numeric),
        ]
        for (type, affinity) in cases {
            #expect(ColumnSchema.affinity(ofType: type) == affinity)
        }
        #expect(ColumnSchema.affinity(ofType: "ANY", isStrict: true) == .none)
    }

    @Test func namesThatUnicodeEquatesStayApart() throws {
        let composed = "\u{e9}"
        let decomposed = "e\u{301}"
        let schema = try read(
            "CREATE TABLE t(\(composed) COLLATE NOCASE, \(decomposed) TEXT PRIMARY KEY NOT NULL)")
        #expect(schema.columns.count == 2)
        #expect(schema.keyPositions == [1])
        #expect(schema.column(decomposed)?.declaredType == "TEXT")
        #expect(schema.column(composed)?.collation == "NOCASE")
    }

    @Test func spellingDoesNotMatter() throws {
        let one = try read("create table t(a text primary key not null, b default(1+2),check(b>0))")
        let other = try read(
            """
            CREATE TABLE IF NOT EXISTS "t" ( [a] /* c */ text NOT  NULL
              , `b` DEFAULT ( 1 + 2 ) CHECK ( b > 0 ) , CONSTRAINT x PRIMARY KEY ( "a" ) )
            """)
        #expect(one == other)
    }
}
