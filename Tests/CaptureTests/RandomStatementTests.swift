// Thousands of random statements on tables of every shape: capture disturbs none of them, and the
// journal explains every difference.

import SQLite
import Store
import TestKit
import Testing
import Values

/// A database of one shape.
struct Shape: Sendable, CustomTestStringConvertible {
    var name: String
    var setup: String
    var tables: [String]
    var testDescription: String { name }

    static let wideColumns = (0..<70).map { $0 == 40 ? "k TEXT PRIMARY KEY NOT NULL" : "w\($0)" }

    static let all: [Shape] = [
        Shape(
            name: "rowid alias",
            setup: "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INTEGER, c)", tables: ["t"]),
        Shape(
            name: "text key",
            setup: "CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, a TEXT COLLATE NOCASE, b REAL, c)",
            tables: ["t"]),
        Shape(
            name: "untyped key", setup: "CREATE TABLE t(a, k PRIMARY KEY NOT NULL, b NUMERIC)",
            tables: ["t"]),
        Shape(
            name: "composite key",
            setup: "CREATE TABLE t(v, b INT NOT NULL, a TEXT NOT NULL, w TEXT, PRIMARY KEY(a, b))",
            tables: ["t"]),
        Shape(
            name: "without rowid",
            setup: """
                CREATE TABLE t(a TEXT, v, b INTEGER, u INTEGER UNIQUE, PRIMARY KEY(b, a))
                  WITHOUT ROWID
                """, tables: ["t"]),
        Shape(
            name: "rowid alias, two unique indexes",
            setup: """
                CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE,
                  x INTEGER, y TEXT COLLATE NOCASE, v, UNIQUE(x, y COLLATE RTRIM))
                """, tables: ["t"]),
        Shape(
            name: "text key, several unique indexes",
            setup: """
                CREATE TABLE t(v INTEGER CHECK(v IS NOT 3), id TEXT PRIMARY KEY NOT NULL,
                  u TEXT NOT NULL DEFAULT 'a' UNIQUE, n INTEGER, g AS (n / 2), h TEXT);
                CREATE UNIQUE INDEX tn ON t(n DESC);
                CREATE UNIQUE INDEX th ON t(h COLLATE NOCASE);
                CREATE UNIQUE INDEX tg ON t(g, u)
                """, tables: ["t"]),
        Shape(
            name: "partial unique index",
            setup: """
                CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, owner INTEGER, active INTEGER, v TEXT);
                CREATE UNIQUE INDEX one ON t(owner) WHERE active > 3 AND v IS NOT "b"
                """, tables: ["t"]),
        Shape(
            name: "conflict clauses of the table",
            setup: """
                CREATE TABLE t(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, u TEXT UNIQUE ON CONFLICT
                  REPLACE, w INTEGER UNIQUE ON CONFLICT IGNORE, x TEXT NOT NULL ON CONFLICT REPLACE
                  DEFAULT 'c', y UNIQUE ON CONFLICT FAIL, UNIQUE(x, w) ON CONFLICT REPLACE)
                """, tables: ["t"]),
        Shape(
            name: "odd names",
            setup: """
                CREATE TABLE [Order Details](
                  "it's ""odd"" x" TEXT, `back``tick` INTEGER UNIQUE, [key of it] TEXT NOT NULL,
                  'rowid' INTEGER, "NEW" REAL, c0 TEXT, "select" UNIQUE, PRIMARY KEY([key of it]))
                """, tables: ["Order Details"]),
        Shape(
            name: "70 columns",
            setup: "CREATE TABLE t(\(wideColumns.joined(separator: ", ")), UNIQUE(w3))",
            tables: ["t"]),
        Shape(
            name: "strict",
            setup: """
                CREATE TABLE t(k ANY NOT NULL PRIMARY KEY, i INT, r REAL UNIQUE, s TEXT, b BLOB,
                  a ANY) STRICT
                """, tables: ["t"]),
        Shape(
            name: "cascades",
            setup: """
                PRAGMA foreign_keys = ON;
                CREATE TABLE p(id INTEGER PRIMARY KEY, u TEXT UNIQUE, boss INTEGER
                  REFERENCES p(id) ON DELETE CASCADE ON UPDATE CASCADE);
                CREATE TABLE c(id TEXT PRIMARY KEY NOT NULL, p INTEGER REFERENCES p
                  ON DELETE CASCADE ON UPDATE CASCADE, q TEXT DEFAULT 'a' UNIQUE
                  REFERENCES p(u) ON DELETE SET NULL ON UPDATE SET DEFAULT
                  DEFERRABLE INITIALLY DEFERRED);
                CREATE TABLE s(a TEXT, b INTEGER, up TEXT, n INTEGER, PRIMARY KEY(a),
                  FOREIGN KEY(up) REFERENCES s(a) ON DELETE SET NULL ON UPDATE CASCADE)
                  WITHOUT ROWID
                """, tables: ["p", "c", "s"]),
    ]
}

@Suite struct RandomStatementTests {
    static let statementsPerRun = 400

    @Test(arguments: Shape.all, [0, 1, 2]) func journalExplainsEveryDifference(
        shape: Shape, round: Int
    ) throws {
        let pragmas = [
            "", "PRAGMA recursive_triggers = ON;", "PRAGMA encoding = 'UTF-16le';",
        ]
        let seed = SeededGenerator.fresh()
        let pair = try CapturedPair(pragmas[round] + shape.setup, tables: shape.tables)
        try pair.plain.addIdleTriggers(to: shape.tables)
        var statements = StatementGenerator(seed: seed, tables: pair.tables.map(\.schema))
        for number in 0..<Self.statementsPerRun {
            let batch = statements.next()
            if let fault = try pair.run(batch) {
                Issue.record(
                    """
                    seed \(seed), \(shape.name), round \(round), step \(number): \(fault)
                    \(batch.joined(separator: ";\n"))
                    """
                )
                return
            }
        }
    }
}

extension Connection {
    /// Any trigger changes how SQLite works: the rows of an UPDATE are visited in another order, on
    /// which statements that collide with themselves depend; with recursive_triggers some UPDATE OR
    /// REPLACE fail that would not; and a failed INSERT does not leave its deferred foreign keys
    /// counted. So the twin gets triggers that do nothing.
    func addIdleTriggers(to tables: [String]) throws {
        for (table, event) in tables.flatMap({ [($0, "UPDATE"), ($0, "DELETE"), ($0, "INSERT")] }) {
            try execute(
                """
                CREATE TRIGGER "idle \(table) \(event)" AFTER \(event) ON "\(table)"
                BEGIN SELECT 1; END
                """)
        }
    }
}

extension SeededGenerator {
    /// A new seed; every test that uses one prints it on failure.
    static func fresh() -> UInt64 { .random(in: 0...UInt64(UInt32.max)) }
}
