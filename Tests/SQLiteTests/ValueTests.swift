// Every storage class crosses the wrapper bit for bit.

import SQLite
import TestKit
import Testing
import Values

@Suite struct ValueTests {
    static let samples: [Value] = [
        .null, .integer(0), .integer(.min), .integer(.max), .real(0.1), .real(-0.0), .real(1),
        .real(.greatestFiniteMagnitude), .real(.infinity), .text([]), .string("é\u{1F426}"),
        .text([0x61, 0, 0x62]), .text([0xff, 0xfe]), .blob([]), .blob([0, 1, 0xff]),
    ]

    @Test func bindAndReadIsIdentity() throws {
        let connection = try Connection(path: ":memory:")
        for value in Self.samples {
            #expect(try connection.first("SELECT ?1", [value]) == value)
        }
    }

    @Test func untypedColumnStoresEveryClass() throws {
        let connection = try Connection(path: ":memory:")
        try connection.execute("CREATE TABLE t(v)")
        for value in Self.samples { try connection.run("INSERT INTO t VALUES(?1)", [value]) }
        let stored = try connection.query("SELECT v FROM t ORDER BY rowid").map { $0[0] }

        #expect(stored == Self.samples)
    }

    @Test func equalityIsByClassAndBits() {
        #expect(Value.integer(1) != .real(1))
        #expect(Value.real(0) != .real(-0.0))
        #expect(Value.text([0x61]) != .blob([0x61]))
    }

    @Test func rollbackUndoesTheWholeTransaction() throws {
        struct Stop: Error {}
        let connection = try Connection(path: ":memory:")
        try connection.execute("CREATE TABLE t(v)")
        #expect(throws: Stop.self) {
            try connection.transaction {
                try connection.run("INSERT INTO t VALUES(1)")
                throw Stop()
            }
        }
        #expect(try connection.integer("SELECT count(*) FROM t") == 0)
        #expect(!connection.isInTransaction)
    }

    @Test func errorsNameTheReasonAndKeepSQLOutOfTheDescription() throws {
        let connection = try Connection(path: ":memory:")
        try connection.execute("CREATE TABLE t(v UNIQUE)")
        try connection.run("INSERT INTO t VALUES('secret')")
        let failure = #expect(throws: SQLiteError.self) {
            try connection.run("INSERT INTO t VALUES('secret')")
        }
        #expect(failure?.isUnique == true)
        #expect(failure?.description.contains("INSERT") == false)
        #expect(failure?.description.contains("secret") == false)
    }
}
