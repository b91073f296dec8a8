// What SQLite does to capture, fact by fact: the statements that went wrong elsewhere.

import SQLite
import Store
import TestKit
import Testing
import Values

/// One captured table in memory.
final class CapturedOne {
    let connection: Connection
    var table: CapturedTable

    init(_ setup: String, table name: String = "t", path: String = ":memory:") throws {
        connection = try Connection(path: path)
        try connection.execute(setup)
        let schema = try #require(try TableSchema.read(name, from: connection))
        table = CapturedTable(schema: schema, id: 7)
        try connection.transaction { try Capture.arm(schema, id: 7, in: connection) }
    }

    /// Runs `sql` and returns the entries it left, as `insert b`, `update a 1`, `delete c`.
    func told(_ sql: String) throws -> [String] {
        try connection.execute(sql)
        return try connection.takeEntries(of: table).map { entry in
            let key = table.canonicalKey(of: entry.values).map(Self.text).joined(separator: "/")
            let changed = entry.changed.sorted().map { " \($0)" }.joined()
            return "\(entry.operation) \(key)\(changed)"
        }
    }

    static func text(_ value: Value) -> String {
        switch value {
        case .null: "NULL"
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .text(let bytes): String(decoding: bytes, as: UTF8.self)
        case .blob(let bytes): "blob of \(bytes.count)"
        }
    }
}

@Suite struct CaptureFactTests {
    static let victims = """
        CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, v);
        INSERT INTO t VALUES(1, 'a', 1), (2, 'b', 2), (3, 'c', 3);
        """

    @Test(arguments: ["", "PRAGMA recursive_triggers = ON;"])
    func replaceTellsItsVictims(pragma: String) throws {
        let one = try CapturedOne(pragma + Self.victims)
        func told(_ sql: String) throws -> Set<String> { Set(try one.told(sql)) }

        let replaced = try told("INSERT OR REPLACE INTO t VALUES(1, 'b', 9)")
        #expect(replaced.isSuperset(of: ["insert 1", "delete 2"]))
        #expect(replaced.subtracting(["delete 1"]).count == 2)
        #expect(try told("REPLACE INTO t(u, v) VALUES('c', 5)") == ["delete 3", "insert 4"])
        #expect(try told("INSERT OR IGNORE INTO t VALUES(1, 'zz', 5)").isEmpty)
        #expect(
            try told("INSERT INTO t VALUES(1, 'q', 5) ON CONFLICT(id) DO UPDATE SET u = 'q'")
                == ["update 1 1"])
        #expect(try told("INSERT INTO t VALUES(7, 'r', 1)") == ["insert 7"])
        #expect(
            try told("UPDATE OR REPLACE t SET u = 'q' WHERE id = 7") == ["delete 1", "update 7 1"])
        #expect(try told("INSERT INTO t VALUES(5, 's', 1)") == ["insert 5"])
        #expect(
            try told("UPDATE OR REPLACE t SET id = 4 WHERE id = 7").isSuperset(of: [
                "delete 7", "insert 4",
            ]))
    }

    @Test func victimsKeepAllTheirValues() throws {
        let one = try CapturedOne(Self.victims)
        try one.connection.execute("UPDATE t SET v = 'new' WHERE id = 2")
        try one.connection.execute("INSERT OR REPLACE INTO t VALUES(9, 'b', NULL)")
        let gone = try one.connection.takeEntries(of: one.table).filter {
            $0.operation == .delete
        }

        #expect(gone.map(\.values) == [[.integer(2), .string("b"), .string("new")]])
    }

    @Test func tableLevelReplaceTellsItsVictims() throws {
        let one = try CapturedOne(
            """
            CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, u UNIQUE ON CONFLICT REPLACE,
              d TEXT NOT NULL DEFAULT 'x' UNIQUE ON CONFLICT REPLACE);
            INSERT INTO t VALUES('a', 1, 'x'), ('b', 2, 'y')
            """)
        #expect(try one.told("INSERT INTO t VALUES('c', 2, 'z')") == ["insert c", "delete b"])
        // A NULL becomes the default, and that pushes out its holder.
        #expect(
            try one.told("INSERT OR REPLACE INTO t VALUES('d', 4, NULL)")
                == ["insert d", "delete a"])
    }

    /// An UPDATE of a column that is in no unique index can still push out a row.
    @Test func partialAndGeneratedKeysTellTheirVictims() throws {
        let partial = try CapturedOne(
            """
            CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, owner INTEGER, active INTEGER);
            CREATE UNIQUE INDEX one ON t(owner) WHERE active;
            INSERT INTO t VALUES('a', 1, 1), ('b', 1, 0), ('c', 2, 1)
            """)
        #expect(
            try partial.told("UPDATE OR REPLACE t SET active = 1 WHERE id = 'b'")
                == ["update b 2", "delete a"])
        #expect(try partial.told("INSERT INTO t VALUES('d', 2, 0)") == ["insert d"])

        let generated = try CapturedOne(
            """
            CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, n INTEGER, half AS (n / 2) UNIQUE);
            INSERT INTO t(id, n) VALUES('a', 2), ('b', 4)
            """)
        #expect(
            try generated.told("UPDATE OR REPLACE t SET n = 3 WHERE id = 'b'")
                == ["update b 1", "delete a"])
        #expect(
            try generated.told("REPLACE INTO t(id, n) VALUES('c', 2)") == ["insert c", "delete b"])
    }

    /// Before the insert, -1 stands for the number that SQLite will give.
    @Test func rowOfKeyMinusOneIsAVictimLikeOthers() throws {
        let one = try CapturedOne(Self.victims + "INSERT INTO t VALUES(-1, 'minus', 0)")
        #expect(try one.told("REPLACE INTO t(u) VALUES('minus')") == ["insert 4", "delete -1"])
        #expect(try one.told("REPLACE INTO t VALUES(-1, 'a', 0)") == ["insert -1", "delete 1"])
    }

    @Test func replaceByHiddenRowIDTellsItsVictim() throws {
        let one = try CapturedOne(
            """
            CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v);
            INSERT INTO t(rowid, id) VALUES(5, 'a'), (6, 'b')
            """)
        #expect(
            try one.told("INSERT OR REPLACE INTO t(rowid, id) VALUES(5, 'c')")
                == ["insert c", "delete a"])
        #expect(
            try one.told("UPDATE OR REPLACE t SET oid = 6 WHERE id = 'c'") == ["delete b"])
        #expect(try one.told("UPDATE t SET rowid = 9").isEmpty)
    }

    @Test func ignoredInsertsLeaveNothingBehind() throws {
        let one = try CapturedOne(Self.victims)
        for _ in 0..<50 {
            try one.connection.execute("INSERT OR IGNORE INTO t(u) VALUES('a'), ('b')")
        }
        let kept = try one.connection.integer("SELECT count(*) FROM _starling_victim_7")
        #expect(try #require(kept) <= 2)
        #expect(try one.told("SELECT 1").isEmpty)
        #expect(try one.connection.integer("SELECT count(*) FROM _starling_victim_7") == 0)
    }

    /// The outer conflict clause overrides the one inside a trigger, so nothing in there may fail.
    @Test func journalHasNoConstraints() throws {
        let one = try CapturedOne(Self.victims)
        for table in [Capture.journalTable(id: 7), Capture.victimTable(id: 7)] {
            let schema = try #require(try TableSchema.read(table, from: one.connection))
            #expect(schema.checks.isEmpty && schema.foreignKeys.isEmpty)
            #expect(schema.columns.allSatisfy { !$0.isNotNull })
            #expect(schema.indexes.allSatisfy { !$0.isUnique })
        }
    }

    @Test func upsertIsAnUpdate() throws {
        let one = try CapturedOne("CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, n INTEGER)")
        let sql = "INSERT INTO t VALUES('a', 1) ON CONFLICT(k) DO UPDATE SET n = n + 1"
        #expect(try one.told(sql) == ["insert a"])
        #expect(try one.told(sql) == ["update a 1"])
        #expect(try one.told("INSERT INTO t VALUES('a', 1) ON CONFLICT DO NOTHING").isEmpty)
    }

    @Test func updateThatChangesNothingTellsNothing() throws {
        let one = try CapturedOne(
            """
            CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, a TEXT COLLATE NOCASE, b, c NUMERIC);
            INSERT INTO t VALUES('k', 'a', 1, 5)
            """)
        #expect(try one.told("UPDATE t SET a = a, b = b, k = k").isEmpty)
        #expect(try one.told("UPDATE t SET a = 'A'") == ["update k 1"])
        #expect(try one.told("UPDATE t SET b = 1.0") == ["update k 2"])
        #expect(try one.told("UPDATE t SET b = '1.0'") == ["update k 2"])
        #expect(try one.told("UPDATE t SET b = x'312e30', c = 5.0") == ["update k 2"])
        #expect(try one.told("UPDATE t SET b = NULL, a = 'b'") == ["update k 1 2"])
        #expect(
            try one.told("UPDATE t SET c = -9223372036854775808")
                == ["update k 3"])
        #expect(try one.told("UPDATE t SET c = -9223372036854775808.0") == ["update k 3"])
    }

    @Test func changeOfTheKeyIsDeleteAndInsert() throws {
        let one = try CapturedOne(
            """
            CREATE TABLE t(a TEXT, b INTEGER, v, PRIMARY KEY(b, a)) WITHOUT ROWID;
            INSERT INTO t VALUES('x', 1, 'old')
            """)
        try one.connection.execute("UPDATE t SET a = 'y', v = 'new'")
        let entries = try one.connection.takeEntries(of: one.table)
        #expect(entries.map(\.operation) == [.delete, .insert])
        #expect(entries.first?.values == [.string("x"), .integer(1), .string("old")])
        #expect(entries.last?.values == [.string("y"), .integer(1), .null])
    }

    @Test func cascadesAreCaptured() throws {
        let one = try CapturedOne(
            """
            PRAGMA foreign_keys = ON;
            CREATE TABLE p(id INTEGER PRIMARY KEY);
            CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, p REFERENCES p ON DELETE CASCADE
              ON UPDATE SET NULL);
            INSERT INTO p VALUES(1), (2);
            INSERT INTO t VALUES('a', 1), ('b', 2)
            """)
        #expect(try one.told("DELETE FROM p WHERE id = 1") == ["delete a"])
        #expect(try one.told("UPDATE p SET id = 3") == ["update b 1"])
    }

    /// Pushing out row 5 cascades to row 3, which was to take its place.
    @Test func cascadeOntoTheUpdatedRowIsCaptured() throws {
        let one = try CapturedOne(
            """
            PRAGMA foreign_keys = ON;
            CREATE TABLE t(id INTEGER PRIMARY KEY, boss REFERENCES t ON DELETE CASCADE);
            INSERT INTO t VALUES(5, NULL), (3, 5)
            """)
        #expect(
            try Set(one.told("UPDATE OR REPLACE t SET id = 5 WHERE id = 3"))
                == ["delete 3", "delete 5"])
    }

    @Test func ownTriggersOfTheTableAreCaptured() throws {
        let one = try CapturedOne(
            """
            CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, n INTEGER DEFAULT 0);
            CREATE TRIGGER own AFTER INSERT ON t WHEN NEW.n < 3 BEGIN
              INSERT OR REPLACE INTO t(u, n) VALUES('next', NEW.n + 1);
            END
            """)
        try one.connection.execute("PRAGMA recursive_triggers = ON")
        #expect(
            try Set(one.told("INSERT INTO t(u) VALUES('first')"))
                == ["insert 1", "insert 2", "insert 3", "insert 4", "delete 2", "delete 3"])
    }

    @Test func entriesOfOneStatementHaveOneTime() throws {
        let one = try CapturedOne("CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, v)")
        let before = try one.connection.first("SELECT julianday('now')")
        try one.connection.execute(
            """
            WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO t SELECT 'k' || i, i FROM n
            """)
        let after = try one.connection.first("SELECT julianday('now')")
        let times = Set(try one.connection.takeEntries(of: one.table).map(\.at))
        #expect(times.count == 1)
        guard case .real(let low)? = before, case .real(let high)? = after else {
            Issue.record("julianday gave no number")
            return
        }
        #expect(times.allSatisfy { low <= $0 && $0 <= high })
        #expect(Capture.milliseconds(julianDay: 2_440_587.5) == 0)
        #expect(Capture.milliseconds(julianDay: 2_460_676.500001157) == 1_735_689_600_100)
        #expect(Capture.milliseconds(julianDay: .nan) == 0)
    }

    /// An untyped column keeps what a typed one would convert; so do the journal's.
    @Test func oldValuesComeAsTheyWere() throws {
        let values: [Value] = [
            .string("007"), .real(1), .integer(1), .blob([0x31]), .text([0x61, 0, 0x62]),
            .text([0xff, 0xfe]), .null, .real(-0.0), .integer(.min),
        ]
        let columns = values.indices.map { "v\($0)" }.joined(separator: ", ")
        let one = try CapturedOne("CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, \(columns))")
        let marks = Array(repeating: "?", count: values.count + 1).joined(separator: ", ")
        try one.connection.run("INSERT INTO t VALUES(\(marks))", [.string("01")] + values)
        try one.connection.execute("DELETE FROM t")

        let entries = try one.connection.takeEntries(of: one.table)
        #expect(entries.last?.values == [.string("01")] + values)

        let any = try Connection(path: ":memory:")
        try any.execute("CREATE TABLE t(v ANY); INSERT INTO t VALUES('007')")
        #expect(try any.first("SELECT v FROM t") == .integer(7))
    }

    @Test func vacuumDoesNotMatter() throws {
        let one = try CapturedOne(
            """
            CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, u UNIQUE);
            INSERT INTO t VALUES('a', 1), ('b', 2), ('c', 3); DELETE FROM t WHERE k = 'a'
            """)
        #expect(try one.told("INSERT OR IGNORE INTO t VALUES('x', 3)").isEmpty)
        try one.connection.execute("UPDATE t SET u = 4 WHERE k = 'b'; VACUUM")
        #expect(
            try one.told("INSERT OR REPLACE INTO t VALUES('d', 3)")
                == ["update b 1", "insert d", "delete c"])
    }

    /// A reader sees the entries of a transaction all at once or not at all.
    @Test func snapshotHoldsWholeTransactions() throws {
        let folder = TemporaryDirectory()
        let one = try CapturedOne(
            "PRAGMA journal_mode = WAL; CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, v)",
            path: folder.file("app.db"))
        let reader = try Connection(path: folder.file("app.db"), mode: .readOnly)
        let count = "SELECT count(*) FROM _starling_journal_7"
        try one.connection.execute(
            "BEGIN; INSERT INTO t VALUES('a', 1); INSERT INTO t VALUES('b', 2)")
        #expect(try reader.integer(count) == 0)
        try one.connection.execute("COMMIT")
        #expect(try reader.integer(count) == 2)
        try one.connection.execute("BEGIN; UPDATE t SET v = 3; ROLLBACK")
        #expect(try reader.integer(count) == 2)
    }

    @Test func connectionWithoutTriggersIsSilent() throws {
        let one = try CapturedOne("CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, v UNIQUE)")
        try one.connection.enableTriggers(false)
        #expect(
            try one.told(
                "INSERT INTO t VALUES('a', 1); REPLACE INTO t VALUES('b', 1); DELETE FROM t"
            ).isEmpty)
        try one.connection.enableTriggers(true)
        #expect(try one.told("INSERT INTO t VALUES('c', 1)") == ["insert c"])
    }

    /// The price of any BEFORE trigger in a STRICT table, kept here so that a change is noticed.
    @Test func strictTableRefusesAWrongClassBeforeItIgnores() throws {
        let one = try CapturedOne(
            "CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, n INT) STRICT"
        )
        let sql = "INSERT OR IGNORE INTO t VALUES(NULL, 'x')"
        #expect(one.connection.outcome(of: sql).code == 3091)
        try one.connection.enableTriggers(false)
        #expect(one.connection.outcome(of: sql).code == 0)
    }
}
