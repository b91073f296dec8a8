// What a person sees after two machines were apart: every edit is shown or kept.

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

@Suite struct MergeTests {
    @Test func insertsUpdatesAndDeletesTravel() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL),('b','two',1,'x')")
        try cluster.converge()
        #expect(try cluster.rows(1, "SELECT * FROM tasks ORDER BY id").count == 2)
        try cluster[1].app.execute(
            "UPDATE tasks SET title='uno' WHERE id='a'; DELETE FROM tasks WHERE id='b'")
        try cluster.converge()
        let shown = try cluster.rows(0, "SELECT * FROM tasks")
        #expect(shown == [[.string("a"), .string("uno"), .integer(0), .null]])
        let digests = try cluster.digests()
        #expect(digests[0] == digests[1])
        #expect(try cluster[0].replica.conflictCount() == 0)
    }

    @Test func editsOfDifferentColumnsBothSurvive() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
        try cluster.converge()
        try cluster[0].app.execute("UPDATE tasks SET title='left' WHERE id='a'")
        try cluster[1].app.execute("UPDATE tasks SET note='right' WHERE id='a'")
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title, note FROM tasks")
                    == [[.string("left"), .string("right")]])
            #expect(try cluster[member].replica.conflictCount() == 0)
        }
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func concurrentEditsOfOneColumnKeepTheLoser() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
        try cluster.converge()
        try cluster[0].app.execute("UPDATE tasks SET title='left' WHERE id='a'")
        try cluster[1].app.execute("UPDATE tasks SET title='right' WHERE id='a'")
        try cluster.converge()
        let conflicts = try (0..<3).map { try cluster[$0].replica.conflicts() }
        #expect(Set(conflicts.map { $0.map(\.id) }).count == 1)
        let item = try #require(conflicts[2].first)
        #expect(conflicts[2].count == 1)
        let shown = try cluster.rows(2, "SELECT title FROM tasks")[0][0]
        let lost = try #require(item.losers.first?.values.first?.value)
        #expect(Set([shown, lost]) == [.string("left"), .string("right")])
        try cluster[2].replica.restoreConflict(item.id)
        try cluster.converge()
        for member in 0..<3 {
            #expect(try cluster.rows(member, "SELECT title FROM tasks") == [[lost]])
            #expect(try cluster[member].replica.conflictCount() == 0)
        }
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func updateBesideDeleteBringsBackTheWholeRow() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'keep me')")
        try cluster.converge()
        try cluster[0].app.execute("DELETE FROM tasks")
        try cluster[1].app.execute("UPDATE tasks SET done=1")
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title, done, note FROM tasks")
                    == [[.string("one"), .integer(1), .string("keep me")]])
            #expect(try cluster[member].replica.conflicts().map(\.kind) == [.presence])
        }
        let id = try cluster[0].replica.conflicts()[0].id
        try cluster[0].replica.restoreConflict(id)
        try cluster.converge()
        for member in 0..<2 {
            #expect(try cluster.rows(member, "SELECT * FROM tasks").isEmpty)
            #expect(try cluster[member].replica.conflictCount() == 0)
        }
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func rowsBornApartUnderOneKeyNeverMix() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','left',0,NULL)")
        try cluster[1].app.execute("INSERT INTO tasks VALUES('a','right',1,'r')")
        try cluster.converge()
        let shown = try cluster.rows(0, "SELECT title, done, note FROM tasks")[0]
        let left: [Value] = [.string("left"), .integer(0), .null]
        let right: [Value] = [.string("right"), .integer(1), .string("r")]
        #expect(shown == left || shown == right)
        #expect(try cluster.rows(1, "SELECT title, done, note FROM tasks")[0] == shown)
        let item = try #require(try cluster[0].replica.conflicts().first)
        #expect(item.kind == .birth)
        try cluster[1].replica.restoreConflict(item.id)
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title, done, note FROM tasks")[0]
                    == (shown == left ? right : left))
            #expect(try cluster[member].replica.conflictCount() == 0)
        }
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func copiesOfOneDatabaseJoinInSilence() throws {
        let cluster = try Cluster(0)
        let content = tasks + "; INSERT INTO tasks VALUES('a','one',0,NULL),('b','two',1,'x')"
        try cluster.add("left", schema: content, track: ["tasks"])
        try cluster.add("right", schema: content, track: ["tasks"])
        try cluster.converge()
        #expect(try cluster[0].replica.conflictCount() == 0)
        #expect(try cluster.rows(0, "SELECT count(*) FROM tasks") == [[.integer(2)]])
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func aFreshNodeGetsTheTableFromItsPeer() throws {
        let cluster = try Cluster(1, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute(
            "CREATE INDEX by_title ON tasks(title); INSERT INTO tasks VALUES('a','one',0,NULL)")
        try cluster.add("fresh")
        try cluster.converge()
        #expect(
            try cluster.rows(1, "SELECT id, title FROM tasks") == [[.string("a"), .string("one")]])
        #expect(
            try cluster.rows(1, "SELECT count(*) FROM sqlite_schema WHERE name='by_title'")
                == [[.integer(1)]])
        try cluster[1].app.execute("INSERT INTO tasks VALUES('b','from fresh',0,NULL)")
        try cluster.converge()
        #expect(try cluster.rows(0, "SELECT count(*) FROM tasks") == [[.integer(2)]])
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func anAddedColumnReachesTheOthers() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
        try cluster.converge()
        try cluster[0].app.execute(
            "ALTER TABLE tasks ADD COLUMN colour TEXT DEFAULT 'red'; UPDATE tasks SET colour='blue'"
        )
        try cluster[1].app.execute("INSERT INTO tasks VALUES('b','two',0,NULL)")
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT id, colour FROM tasks ORDER BY id")
                    == [[.string("a"), .string("blue")], [.string("b"), .string("red")]])
        }
        #expect(Set(try cluster.digests()).count == 1)
    }
}

@Suite struct CoalescingTests {
    /// Reproducer: an update and a delete within one second became one delete, whose old values
    /// were taken for those of the older insert: equal vectors, different contents.
    @Test func aWriteBeforeADeleteKeepsItsOwnDot() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n'),('b','two',0,'n')")
        try cluster.converge()
        try cluster[0].app.execute(
            """
            UPDATE tasks SET title='changed' WHERE id='a'; DELETE FROM tasks WHERE id='a';
            INSERT OR REPLACE INTO tasks VALUES('b','replaced',1,'m');
            DELETE FROM tasks WHERE id='b';
            INSERT INTO tasks VALUES('c','void',0,NULL); DELETE FROM tasks WHERE id='c'
            """)
        try cluster[1].app.execute("UPDATE tasks SET note='kept'")
        try cluster.converge()
        #expect(Set(try cluster.digests()).count == 1)
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT id, title, note FROM tasks ORDER BY id").first
                    == [.string("a"), .string("changed"), .string("kept")])
        }
    }
}

@Suite struct SchemaOrderTests {
    /// Reproducer: Chinook's InvoiceLine names Invoice and Track, and comes before Track.
    @Test func childrenDescribedBeforeTheirParentsAreMade() throws {
        let schema = """
            CREATE TABLE a_line(id TEXT PRIMARY KEY NOT NULL, head TEXT REFERENCES z_head(id));
            CREATE TABLE z_head(id TEXT PRIMARY KEY NOT NULL, up TEXT REFERENCES a_line(id))
            """
        let cluster = try Cluster(1, schema: schema, track: ["a_line", "z_head"])
        try cluster[0].app.execute(
            "INSERT INTO z_head VALUES('h', NULL); INSERT INTO a_line VALUES('l','h')")
        try cluster.add("fresh")
        try cluster.converge()
        #expect(try cluster.rows(1, "SELECT head FROM a_line") == [[.string("h")]])
        #expect(cluster[1].replica.problems.isEmpty)
        #expect(Set(try cluster.digests()).count == 1)
    }
}
