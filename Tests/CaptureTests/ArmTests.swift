// Arming, altering, rebuilding: what a change of the schema does to the triggers, and how it shows.

import SQLite
import Store
import TestKit
import Testing
import Values

@Suite struct ArmTests {
    static let setup = """
        CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, a TEXT, b INTEGER UNIQUE);
        INSERT INTO t VALUES('x', 'a', 1)
        """

    private func isArmed(_ one: CapturedOne, _ name: String = "t") throws -> Bool {
        let schema = try #require(try TableSchema.read(name, from: one.connection))
        return try Capture.isArmed(schema, id: 7, in: one.connection)
    }

    @Test func armIsIdempotentAndKeepsEntries() throws {
        let one = try CapturedOne(Self.setup)
        try one.connection.execute("UPDATE t SET a = 'b'")
        try one.connection.transaction {
            try Capture.arm(one.table.schema, id: 7, in: one.connection)
        }
        #expect(try isArmed(one))
        #expect(try one.told("DELETE FROM t") == ["update x 1", "delete x"])
    }

    @Test func disarmLeavesNothing() throws {
        let one = try CapturedOne(Self.setup)
        // Number 70 begins like number 7.
        try one.connection.execute("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL)")
        let other = try #require(try TableSchema.read("u", from: one.connection))
        try Capture.arm(other, id: 70, in: one.connection)
        try Capture.disarm(id: 7, in: one.connection)

        #expect(try !isArmed(one))
        #expect(try Capture.isArmed(other, id: 70, in: one.connection))
        let left = try one.connection.query(
            "SELECT name FROM sqlite_master WHERE name GLOB '_starling_*7_*'")
        #expect(left.isEmpty)
        try one.connection.execute("INSERT INTO t VALUES('y', 'b', 2)")
    }

    @Test func renamesAreFollowed() throws {
        let one = try CapturedOne(Self.setup)
        try one.connection.execute(
            """
            ALTER TABLE t RENAME COLUMN a TO "a ""new"" name";
            ALTER TABLE t RENAME COLUMN k TO key;
            ALTER TABLE t RENAME TO "Order Details"
            """)
        #expect(try isArmed(one, "Order Details"))
        let schema = try TableSchema.read("order details", from: one.connection)
        one.table.schema = try #require(schema)
        #expect(
            try one.told(
                """
                UPDATE "Order Details" SET key = 'y';
                REPLACE INTO [Order Details] VALUES('z', 'q', 1)
                """
            )
                == ["delete x", "insert y", "insert z", "delete y"])
    }

    @Test func addedColumnIsNoticedAndCompleted() throws {
        let one = try CapturedOne(Self.setup)
        try one.connection.execute("UPDATE t SET a = 'b'; ALTER TABLE t ADD COLUMN c DEFAULT 5")
        #expect(try !isArmed(one))

        let schema = try #require(try TableSchema.read("t", from: one.connection))
        try one.connection.transaction { try Capture.arm(schema, id: 7, in: one.connection) }
        #expect(try isArmed(one))
        one.table.schema = schema
        #expect(
            try one.told("UPDATE t SET c = 6; REPLACE INTO t VALUES('y', 'a', 1, 1)")
                == ["update x 1", "update x 3", "insert y", "delete x"])
    }

    @Test func rebuildIsNoticed() throws {
        let one = try CapturedOne(Self.setup)
        try one.connection.execute(
            """
            CREATE TABLE new(k TEXT PRIMARY KEY NOT NULL, a TEXT, b INTEGER UNIQUE);
            INSERT INTO new SELECT * FROM t;
            DROP TABLE t;
            ALTER TABLE new RENAME TO t;
            UPDATE t SET a = 'unseen'
            """)
        #expect(try !isArmed(one))
        #expect(try one.told("SELECT 1").isEmpty)
        try one.connection.transaction {
            try Capture.arm(one.table.schema, id: 7, in: one.connection)
        }
        #expect(try isArmed(one))
        #expect(try one.told("UPDATE t SET a = 'seen'") == ["update x 1"])
    }

    @Test func dropTableTakesTheTriggersAlong() throws {
        let one = try CapturedOne(Self.setup)
        try one.connection.execute("DROP TABLE t")
        let triggers = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
        #expect(try one.connection.integer(triggers) == 0)
        #expect(try one.connection.integer("SELECT count(*) FROM _starling_journal_7") == 0)
        try Capture.disarm(id: 7, in: one.connection)
        #expect(try one.connection.integer("SELECT count(*) FROM sqlite_master") == 0)
    }

    /// Known: SQLite lets no column go that a trigger names. Disarmed, it goes.
    @Test func dropColumnFailsWhileArmed() throws {
        let one = try CapturedOne(Self.setup)
        #expect(throws: SQLiteError.self) {
            try one.connection.execute("ALTER TABLE t DROP COLUMN a")
        }
        #expect(try isArmed(one))
        try Capture.disarm(id: 7, in: one.connection)
        try one.connection.execute("ALTER TABLE t DROP COLUMN a")
    }

    @Test func changedTriggerOrIndexIsNoticed() throws {
        let one = try CapturedOne(Self.setup)
        try one.connection.execute("DROP TRIGGER _starling_7_delete")
        #expect(try !isArmed(one))
        try Capture.arm(one.table.schema, id: 7, in: one.connection)
        try one.connection.execute("CREATE UNIQUE INDEX more ON t(a)")
        #expect(try !isArmed(one))
        let schema = try #require(try TableSchema.read("t", from: one.connection))
        try Capture.arm(schema, id: 7, in: one.connection)
        try one.connection.execute("DROP TABLE _starling_victim_7")
        #expect(try !isArmed(one))
    }

    /// Old clients read the schema too: nothing newer than SQLite 3.24, and no function they may
    /// lack.
    @Test func triggersUseOldAndCommonSQL() throws {
        for shape in Shape.all where !shape.setup.contains("STRICT") {
            let connection = try Connection(path: ":memory:")
            try connection.execute(shape.setup)
            for (number, name) in shape.tables.enumerated() {
                let schema = try #require(try TableSchema.read(name, from: connection))
                try Capture.arm(schema, id: Int64(number), in: connection)
            }
            let texts = try connection.query(
                "SELECT sql FROM sqlite_master WHERE name GLOB '_starling_*' AND sql IS NOT NULL")
            for text in texts.map({ CapturedOne.text($0[0]) }) {
                for word in ["STRICT", "RETURNING", "RAISE", "WINDOW", "MATERIALIZED", "iif("] {
                    #expect(!text.contains(word))
                }
                let calls = text.matches(of: /([a-z_0-9]+)\(/).map { String($0.output.1) }
                #expect(Set(calls).isSubset(of: ["julianday", "typeof", "ifnull"]))
            }
        }
    }

    @Test func widestTableIsCaptured() throws {
        let columns = (1..<SchemaLimits.columnsMax).map { "c\($0)" }.joined(separator: ", ")
        let one = try CapturedOne("CREATE TABLE t(id INTEGER PRIMARY KEY, \(columns))")
        #expect(try one.told("INSERT INTO t(id, c5) VALUES(1, 1)") == ["insert 1"])
        #expect(try one.told("UPDATE t SET c5 = 2, c1500 = 'x'") == ["update 1 5 1500"])
        #expect(try one.told("DELETE FROM t") == ["delete 1"])
    }

    @Test func tableWithoutKeyCannotBeArmed() throws {
        let connection = try Connection(path: ":memory:")
        try connection.execute("CREATE TABLE t(v); CREATE VIEW w AS SELECT * FROM t")
        for name in ["t", "w"] {
            let schema = try #require(try TableSchema.read(name, from: connection))
            #expect(throws: SchemaError(.capture, "")) {
                try Capture.arm(schema, id: 1, in: connection)
            }
        }
    }
}
