// What `track` says about a table: each finding for the table that deserves it, and for no other.

import SQLite
import Store
import TestKit
import Testing
import Values

@Suite struct TrackProblemTests {
    private func problems(_ sql: String, _ table: String = "t") throws -> [TrackProblem] {
        let connection = try Connection(path: ":memory:")
        try connection.execute(sql)
        let schema = try #require(try TableSchema.read(table, from: connection))
        return schema.problems(in: connection)
    }

    private func codes(_ sql: String, _ table: String = "t") throws -> [TrackProblem.Code] {
        try problems(sql, table).map(\.code)
    }

    @Test func goodTablesHaveNone() throws {
        for sql in [
            "CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v)",
            "CREATE TABLE t(a TEXT, b INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID",
            """
            CREATE TABLE t(a INT NOT NULL, b INT NOT NULL, c TEXT COLLATE NOCASE UNIQUE,
              PRIMARY KEY(a, b))
            """,
            """
            CREATE TABLE p(a TEXT PRIMARY KEY, u UNIQUE);
            CREATE TABLE t(id BLOB PRIMARY KEY NOT NULL, u REFERENCES p(u), p REFERENCES p)
            """,
        ] { #expect(try problems(sql).isEmpty) }
    }

    static let errors: [(String, TrackProblem.Code)] = [
        ("CREATE TABLE t(v)", .noKey),
        ("CREATE TABLE t(id TEXT PRIMARY KEY, v)", .nullableKey),
        ("CREATE TABLE t(a NOT NULL, b, PRIMARY KEY(a, b))", .nullableKey),
        ("CREATE TABLE t(id TEXT PRIMARY KEY COLLATE NOCASE NOT NULL)", .keyCollation),
        ("CREATE TABLE t(id TEXT NOT NULL, PRIMARY KEY(id COLLATE RTRIM))", .keyCollation),
        (
            "CREATE TABLE t(id BLOB PRIMARY KEY NOT NULL, v); CREATE UNIQUE INDEX i ON t(lower(v))",
            .uniqueExpression
        ),
        (
            "CREATE TABLE t(id BLOB PRIMARY KEY NOT NULL, p REFERENCES absent(x))",
            .foreignKeyMismatch
        ),
        (
            "CREATE TABLE p(x); CREATE TABLE t(id BLOB PRIMARY KEY NOT NULL, p REFERENCES p(x))",
            .foreignKeyMismatch
        ),
        (
            """
            CREATE TABLE p(x); CREATE UNIQUE INDEX i ON p(x) WHERE x > 1;
            CREATE TABLE t(id BLOB PRIMARY KEY NOT NULL, p REFERENCES p(x))
            """, .foreignKeyMismatch
        ),
    ]

    @Test(arguments: errors) func errorIsFound(sql: String, code: TrackProblem.Code) throws {
        let found = try problems(sql)
        #expect(found.filter { $0.severity == .error }.map(\.code) == [code])
        #expect(found.first?.severity == .error)
    }

    /// SQLite itself makes no such index where the collation is missing.
    @Test func uniqueIndexOfAnUnknownCollation() throws {
        let connection = try Connection(path: ":memory:")
        try connection.execute("CREATE TABLE t(id BLOB PRIMARY KEY NOT NULL, v UNIQUE)")
        var schema = try #require(try TableSchema.read("t", from: connection))
        for index in schema.indexes.indices where schema.indexes[index].origin != .primaryKey {
            schema.indexes[index].columns[0].collation = "odd"
        }
        #expect(
            schema.problems(in: connection).map(\.code) == [.uniqueCollation, .notPortable])
    }

    @Test func whatIsNoTable() throws {
        #expect(try codes("CREATE TABLE x(a); CREATE VIEW t AS SELECT a FROM x") == [.notATable])
        #expect(try codes("CREATE VIRTUAL TABLE t USING fts5(a)") == [.notATable])
        #expect(try codes("CREATE VIRTUAL TABLE t USING fts5(a)", "t_data") == [.notATable])
        #expect(try codes("CREATE TABLE t(v)", "sqlite_schema") == [.reservedName])
        #expect(
            try codes("CREATE TABLE _Starling_x(id INTEGER PRIMARY KEY)", "_starling_x")
                == [.reservedName])
    }

    @Test func warningsAreFound() throws {
        #expect(try codes("CREATE TABLE t(id INTEGER PRIMARY KEY)") == [.integerKey])
        #expect(
            try codes("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT)") == [
                .integerKey, .autoincrement,
            ])
        #expect(try codes("CREATE TABLE t(id REAL PRIMARY KEY NOT NULL)") == [.realKey])
        #expect(try codes("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v ANY)") == [.anyType])
        #expect(try codes("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v ANY) STRICT").isEmpty)
        let trigger = """
            CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL);
            CREATE TRIGGER own AFTER INSERT ON t BEGIN SELECT 1; END
            """
        #expect(try codes(trigger) == [.triggers])
        #expect(
            try codes("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v \"odd; type\")") == [
                .notPortable
            ])
    }

    /// Capture's own triggers and tables are no finding.
    @Test func captureIsNoFinding() throws {
        let one = try CapturedOne("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL)")
        #expect(one.table.schema.problems(in: one.connection).isEmpty)
    }

    @Test func messagesSayWhatToDo() throws {
        for (sql, _) in Self.errors {
            for problem in try problems(sql) {
                #expect(problem.message.contains(":") && problem.message.count > 40)
            }
        }
        let key = try problems("CREATE TABLE t(id INTEGER PRIMARY KEY)")[0].message
        #expect(key.contains("UUID") && key.contains("never"))
    }
}
