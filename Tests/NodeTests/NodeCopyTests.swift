// Existing databases: tracked whole with their foreign keys and composite keys, and two copies of one
// database tracked on both sides.

import Node
import Testing

@Suite struct NodeCopyTests {
    /// An app's database as it stood before anybody heard of synchronisation.
    private static let shop = """
        CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL, mail TEXT UNIQUE);
        CREATE TABLE item(code TEXT PRIMARY KEY NOT NULL, price REAL CHECK(price >= 0), extra BLOB);
        CREATE TABLE [Order Details](
            customer INTEGER NOT NULL REFERENCES customer(id) ON DELETE CASCADE,
            item TEXT NOT NULL REFERENCES item(code), count INTEGER DEFAULT 1,
            PRIMARY KEY(customer, item)) WITHOUT ROWID;
        CREATE INDEX by_count ON [Order Details](count DESC);
        CREATE VIEW totals AS SELECT customer, sum(count) AS n FROM [Order Details] GROUP BY 1;
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
        INSERT INTO customer SELECT i, 'name ' || i, 'm' || i || '@example.org' FROM n;
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
        INSERT INTO item SELECT 'code-' || i, i * 0.1, CAST('x' || i AS BLOB) FROM n;
        INSERT INTO [Order Details] SELECT c.id, i.code, c.id % 7 FROM customer c, item i
            WHERE (c.id + i.rowid) % 10 = 0;
        """
    private static let content = """
        SELECT * FROM customer ORDER BY 1;
        SELECT code, price, typeof(price), quote(extra) FROM item ORDER BY 1;
        SELECT * FROM [Order Details] ORDER BY 1, 2;
        """

    @Test func wholeDatabaseIsTrackedAndCopied() async throws {
        let flock = Flock()
        let ann = try await flock.node("ann")
        let bob = try await flock.node("bob")
        try await ann.sql(Self.shop)
        let tracked = try await ann.ask("track", "--all")
        let states = (tracked["tables"]?.array ?? []).map { $0["state"] }
        #expect(states == ["tracked", "tracked", "tracked"])
        // A second time it says that they are.
        let again = try await ann.ask("track", "--all")
        #expect(again["tables"]?.array?.allSatisfy { $0["state"] == "already" } == true)
        try await ann.start()
        try await bob.start(peers: [ann])
        let content = try await ann.sql(Self.content)
        try await bob.shows(Self.content, String(content.dropLast()))
        try await flock.converge(ann, bob)
        try await bob.shows("PRAGMA foreign_key_check", "")

        // Cascades of either side arrive as what they are.
        try await bob.sql("PRAGMA foreign_keys = ON; DELETE FROM customer WHERE id = 10")
        try await ann.shows("SELECT count(*) FROM customer WHERE id = 10", "0")
        try await ann.shows("SELECT count(*) FROM [Order Details] WHERE customer = 10", "0")
        try await flock.converge(ann, bob)
        #expect(try await ann.status()["parked"] == 0)
    }

    @Test func twoCopiesOfOneDatabaseJoinWithoutConflicts() async throws {
        let flock = Flock()
        let ann = try await flock.node("ann")
        let bob = try await flock.node("bob")
        for node in [ann, bob] {
            try await node.sql(Self.shop)
            try await node.ask("track", "--all")
        }
        // One row differs before they meet: that, and only that, is a conflict.
        try await bob.sql("UPDATE item SET price = 77 WHERE code = 'code-7'")
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(ann, bob)
        let conflicts = try await ann.conflicts()
        #expect(conflicts.count == 1, "\(conflicts.prefix(3))")
        #expect(conflicts.first?["key"]?["code"] == "code-7")
        #expect(try await ann.sql(Self.content) == bob.sql(Self.content))
        try await ann.sql("UPDATE customer SET name = 'new' WHERE id = 3")
        try await bob.shows("SELECT name FROM customer WHERE id = 3", "new")
        try await flock.converge(ann, bob)
        for node in [ann, bob] { try await node.expectSound() }
    }
}
