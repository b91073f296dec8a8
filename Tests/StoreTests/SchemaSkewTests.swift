// Nodes that know other tables and columns than their peers: nothing is lost, everything is
// forwarded.

import CausalModel
import SQLite
import Store
import TestKit
import Testing
import Values

private let tasks = """
    CREATE TABLE tasks(
        id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER NOT NULL DEFAULT 0, note TEXT)
    """

@Suite struct SchemaSkewTests {
    /// One delta without any talk of schemas.
    private func sendBlind(_ cluster: Cluster, _ from: Int, _ to: Int) throws {
        try cluster[from].replica.fold()
        try cluster[from].replica.finishScans()
        let base = try cluster[to].replica.summary().vector
        guard let delta = try cluster[from].replica.openDelta(base: base, resume: nil) else {
            return
        }
        defer { delta.close() }
        while let chunk = try delta.next() {
            _ = try cluster[to].replica.apply(chunk, of: delta.header)
        }
        _ = try cluster[to].replica.finish(delta.header)
    }

    private func expectEqual(_ cluster: Cluster) throws {
        #expect(Set(try cluster.digests()).count == 1)
        for member in cluster.members { #expect(try member.replica.verify() == []) }
    }

    @Test func unknownTablesAndColumnsAreForwardedAndShownLater() throws {
        let cluster = try Cluster(1, schema: tasks, track: ["tasks"])
        try cluster.add("between")
        try cluster.add("end")
        try cluster[0].app.execute(
            """
            INSERT INTO tasks VALUES('a','one',0,NULL);
            ALTER TABLE tasks ADD COLUMN colour DEFAULT 'red';
            UPDATE tasks SET colour='blue'; INSERT INTO tasks(id) VALUES('b')
            """)
        try sendBlind(cluster, 0, 1)
        #expect(try cluster[1].replica.tableFacts().map(\.state) == ["not_tracked"])
        try sendBlind(cluster, 1, 2)
        try expectEqual(cluster)
        // The end hears of the structure from the start only, the one between never did.
        _ = try cluster[2].replica.adoptSchema(try cluster[0].replica.schemaDescription())
        try cluster[2].replica.finishScans()
        let shown = try cluster.rows(2, "SELECT id, title, colour FROM tasks ORDER BY id")
        #expect(
            shown
                == [
                    [.string("a"), .string("one"), .string("blue")],
                    [.string("b"), .null, .string("red")],
                ])
        try cluster[2].app.execute("UPDATE tasks SET title='late' WHERE id='b'")
        try sendBlind(cluster, 2, 1)
        try sendBlind(cluster, 1, 0)
        #expect(
            try cluster.rows(0, "SELECT title, colour FROM tasks WHERE id='b'")
                == [[.string("late"), .string("red")]])
        try expectEqual(cluster)
    }

    @Test func anUnknownColumnOfAKnownTableIsKeptThroughLocalEdits() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
        try cluster.converge()
        try cluster[0].app.execute(
            "ALTER TABLE tasks ADD COLUMN colour; UPDATE tasks SET colour='blue'")
        try sendBlind(cluster, 0, 1)
        try cluster[1].app.execute("UPDATE tasks SET title='two'")
        try sendBlind(cluster, 1, 2)
        try cluster[2].app.execute("DELETE FROM tasks; ")
        try cluster[1].app.execute("UPDATE tasks SET note='n'")
        try cluster.converge()
        for member in 0..<3 {
            #expect(
                try cluster.rows(member, "SELECT title, note, colour FROM tasks")
                    == [[.string("two"), .string("n"), .string("blue")]])
        }
        try expectEqual(cluster)
    }

    @Test func anInsertReplacesColumnsThatItsWriterDoesNotKnow() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute(
            """
            INSERT INTO tasks VALUES('a','one',0,NULL);
            ALTER TABLE tasks ADD COLUMN colour DEFAULT 'red';
            UPDATE tasks SET colour='blue'
            """)
        try sendBlind(cluster, 0, 1)
        try cluster[1].app.execute("REPLACE INTO tasks VALUES('a','anew',0,NULL)")
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title, colour FROM tasks")
                    == [[.string("anew"), .string("red")]])
        }
        try expectEqual(cluster)
    }

    @Test func anUntrackedTableIsKeptAndForwarded() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL),('b','two',0,'x')")
        try cluster.converge()
        try cluster[0].app.execute("UPDATE tasks SET title='three' WHERE id='b'")
        try cluster[1].replica.untrack(["tasks"])
        try cluster[1].app.execute("UPDATE tasks SET title='mine alone'")
        try sendBlind(cluster, 0, 1)
        try sendBlind(cluster, 1, 2)
        #expect(
            try cluster.rows(2, "SELECT title FROM tasks ORDER BY id")
                == [[.string("one")], [.string("three")]])
        #expect(
            try cluster.rows(1, "SELECT DISTINCT title FROM tasks") == [[.string("mine alone")]])
        #expect(Set(try cluster.digests()).count == 1)
        // Tracked again, the file's rows and the group's join: what differs is a conflict.
        _ = try cluster[1].replica.track(["tasks"])
        try cluster.converge()
        #expect(try cluster[0].replica.conflictCount() == 2)
        try expectEqual(cluster)
    }

    @Test func aTableThatWasDroppedIsNamedAndNothingGoesWrong() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL),('b','two',0,'x')")
        try sendBlind(cluster, 0, 1)
        try cluster[1].app.execute("DROP TABLE tasks")
        try cluster[1].replica.fold()
        #expect(try cluster[1].replica.tableFacts().map(\.state) == ["missing"])
        #expect(cluster[1].replica.problems.values.contains { $0.contains("create it again") })
        try cluster[0].app.execute("UPDATE tasks SET note='n' WHERE id='a'")
        let before = cluster[1].replica.vector
        #expect(throws: StoreError.self) { try sendBlind(cluster, 0, 1) }
        #expect(cluster[1].replica.vector == before)
        try sendBlind(cluster, 0, 2)
        for member in [0, 2] {
            #expect(
                try cluster.rows(member, "SELECT title, note FROM tasks ORDER BY id")
                    == [[.string("one"), .string("n")], [.string("two"), .string("x")]])
        }
        // Made again with its rows, it goes on as if nothing had been.
        try cluster[1].app.execute(tasks + "; INSERT INTO tasks VALUES('a','one',0,NULL)")
        try cluster[1].replica.fold()
        #expect(cluster[1].replica.problems.isEmpty)
        try cluster.converge()
        #expect(
            try cluster.rows(2, "SELECT title, note FROM tasks") == [
                [.string("one"), .string("n")]
            ])
        try expectEqual(cluster)
    }

    /// What left with a dropped table must not reach others as rows without values.
    @Test func aNodeWithoutItsTableSendsNoHollowRows() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
        try sendBlind(cluster, 0, 1)
        try cluster[1].app.execute("DROP TABLE tasks")
        try cluster.add("fresh", schema: tasks, track: ["tasks"])
        let error = #expect(throws: StoreError.self) { try sendBlind(cluster, 1, 2) }
        #expect(error?.description.contains("create it again") == true)
        try sendBlind(cluster, 0, 2)
        #expect(try cluster.rows(2, "SELECT title FROM tasks") == [[.string("one")]])
    }
}
