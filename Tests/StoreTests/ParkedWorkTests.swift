// What it costs to keep rows whose parents come later.

import SQLite
import TestKit
import Testing
import Values

@testable import Store

@Suite struct ParkedWorkTests {
    private static let schema = """
        CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent(id));
        CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT)
        """

    /// Steps of SQLite for a copy in which all children come before their parents, since these were changed
    /// later.
    private func work(children: Int) throws -> Int64 {
        let cluster = try Cluster(2, schema: Self.schema, track: ["parent", "child"])
        try cluster[0].app.run(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
            INSERT INTO parent SELECT i, 'first' FROM n
            """, [.integer(Int64(children / 10))])
        try cluster[0].app.run(
            """
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)
            INSERT INTO child SELECT i, i % (?1 / 10) + 1 FROM n
            """, [.integer(Int64(children))])
        _ = try cluster[0].replica.summary()
        try cluster[0].app.execute("UPDATE parent SET name = 'second'")
        let steps = try cluster[1].replica.connection.steps { try cluster.send(0, 1) }
        #expect(try cluster[1].app.integer("SELECT count(*) FROM child") == Int64(children))
        #expect(try cluster[1].replica.verify() == [])
        return steps
    }

    /// Reproducer: each row that was parked, or shown again, counted all the others: 40,000 children took 48
    /// seconds, and ten times as many an hour and more.
    @Test func eachRowCostsTheSame() throws {
        let (few, many) = try (work(children: 2_000), work(children: 8_000))
        #expect(many < 6 * few, "\(few) and \(many) hundred steps for four times the rows")
    }
}
