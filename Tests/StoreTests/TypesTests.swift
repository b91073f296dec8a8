// Every storage class under every affinity arrives bit for bit, in every encoding, under odd names.

import CausalModel
import SQLite
import Store
import TestKit
import Testing
import Values

@Suite struct TypesTests {
    static let values: [Value] = [
        .null, .integer(0), .integer(-1), .integer(.max), .integer(.min), .integer(1 << 53 + 1),
        .real(-0.0), .real(1), .real(0.1), .real(.infinity), .real(-.infinity),
        .real(.leastNonzeroMagnitude), .real(.greatestFiniteMagnitude),
        .real(9_007_199_254_740_992),
        .text([]), .string("007"), .string("1e3"), .string(" 12 "), .string("żółw 🐦"), .text([0]),
        .text([0x61, 0, 0x62]), .text([0xff, 0xfe, 0x80]), .text([0xed, 0xa0, 0x80]),
        .string("5f0c1c1e-2a2b-4c3d-8e4f-0123456789ab"),
        .string("5F0C1C1E-2A2B-4C3D-8E4F-0123456789AB"),
        .string("5F0c1C1E-2A2B-4C3D-8E4F-0123456789AB"), .blob([]), .blob([0]),
        .blob([0xff, 0x00, 0x61]), .blob(Array(repeating: 7, count: 100_000)),
    ]

    private let schema = """
        CREATE TABLE "odd ""name"", with [brackets] and ünïcode"(
            id INTEGER PRIMARY KEY, t TEXT, n NUMERIC, i INTEGER, r REAL, b BLOB, u, a ANY,
            "key" TEXT DEFAULT 'd', [Order By] VARCHAR(3))
        """
    private let name = "odd \"name\", with [brackets] and ünïcode"

    @Test(arguments: ["UTF-8", "UTF-16le", "UTF-16be"])
    func valuesArriveBitForBit(encoding: String) throws {
        let cluster = try Cluster(0)
        let pragma = "PRAGMA encoding = '\(encoding)'; "
        try cluster.add("left", schema: pragma + schema, track: [name])
        try cluster.add("right", schema: schema, track: [name])
        try cluster.add("fresh")
        let app = cluster[0].app
        let columns = ["t", "n", "i", "r", "b", "u", "a", "key", "Order By"]
        let list = columns.map(quotedIdentifier).joined(separator: ", ")
        for (index, value) in TypesTests.values.enumerated() {
            try app.run(
                "INSERT INTO \(quotedIdentifier(name))(id, \(list)) "
                    + "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [.integer(Int64(index))] + columns.map { _ in value })
        }
        // The same by updates, in another order.
        try app.run("INSERT INTO \(quotedIdentifier(name))(id) VALUES(1000)")
        try cluster.converge(rounds: 2)
        for value in TypesTests.values.reversed() {
            for column in columns {
                try app.run(
                    "UPDATE \(quotedIdentifier(name)) SET \(quotedIdentifier(column)) = ? "
                        + "WHERE id = 1000",
                    [value])
            }
            try cluster.send(0, 1)
            let query = "SELECT * FROM \(quotedIdentifier(name)) WHERE id = 1000"
            #expect(try cluster.rows(0, query) == cluster.rows(1, query))
        }
        try cluster.converge(rounds: 2)
        let query =
            "SELECT *, typeof(t), typeof(n), typeof(i), typeof(r), typeof(a) FROM "
            + "\(quotedIdentifier(name)) ORDER BY id"
        let expected = try cluster.rows(0, query)
        #expect(expected.count == TypesTests.values.count + 1)
        #expect(try cluster.rows(1, query) == expected)
        #expect(try cluster.rows(2, query) == expected)
        #expect(Set(try cluster.digests()).count == 1)
        for member in cluster.members { #expect(try member.replica.verify() == []) }
    }

    @Test func keysOfEveryClassNameTheirRows() throws {
        let cluster = try Cluster(
            2,
            schema:
                "CREATE TABLE k(a NOT NULL, b TEXT NOT NULL, v, PRIMARY KEY(a, b)) WITHOUT ROWID",
            track: ["k"])
        var count: Int64 = 0
        for value in TypesTests.values where !value.isNull {
            try cluster[0].app.run("INSERT OR IGNORE INTO k VALUES(?1, 'x', 1)", [value])
            count += Int64(cluster[0].app.changes)
        }
        try cluster.converge(rounds: 2)
        #expect(try cluster.rows(1, "SELECT count(*) FROM k") == [[.integer(count)]])
        try cluster[1].app.execute("UPDATE k SET v = 2")
        try cluster.converge(rounds: 2)
        #expect(try cluster.rows(0, "SELECT count(*) FROM k WHERE v = 2") == [[.integer(count)]])
        try cluster[0].app.execute("DELETE FROM k")
        try cluster.converge(rounds: 2)
        #expect(try cluster.rows(1, "SELECT count(*) FROM k") == [[.integer(0)]])
        #expect(Set(try cluster.digests()).count == 1)
        for member in cluster.members { #expect(try member.replica.verify() == []) }
    }
}
