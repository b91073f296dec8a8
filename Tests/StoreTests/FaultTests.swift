// What goes wrong around a store: locks, disks, damage, hostile peers. Each ends in an error that
// says what to do, and loses nothing.

import CausalModel
import Codec
import SQLite
import Store
import TestKit
import Testing
import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

private let tasks = """
    CREATE TABLE tasks(
        id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER NOT NULL DEFAULT 0, note TEXT)
    """

@Suite struct FaultTests {
    private func failure(_ body: () throws -> Void) -> StoreError? {
        do {
            try body()
            return nil
        } catch {
            return error as? StoreError
        }
    }

    @Test func aLockedDatabaseIsBusyAndNothingIsLost() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[1].app.execute("INSERT INTO tasks VALUES('r','remote',0,NULL)")
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
        let delta = try #require(
            try cluster[1].replica.openDelta(base: VersionVector(), resume: nil))
        let chunk = try #require(try delta.next())
        try cluster[0].app.execute("BEGIN IMMEDIATE; UPDATE tasks SET title='two'")
        let folded = try #require(failure { _ = try cluster[0].replica.fold() })
        #expect(folded.code == .busy)
        #expect(folded.isRetryable)
        let applied = failure { _ = try cluster[0].replica.applyWhole(chunk, of: delta.header) }
        #expect(applied?.code == .busy)
        try cluster[0].app.execute("COMMIT")
        _ = try cluster[0].replica.applyWhole(chunk, of: delta.header)
        delta.close()
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title FROM tasks ORDER BY id")
                    == [[.string("two")], [.string("remote")]])
        }
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func aFullDiskIsAnErrorWithoutDamage() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[1].app.execute(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            INSERT INTO tasks SELECT 'k' || i, hex(zeroblob(100)), i, NULL FROM n
            """)
        let replica = cluster[0].replica
        let pages = try cluster[0].app.integer("PRAGMA page_count") ?? 0
        try replica.limitPages(Int(pages) + 20)
        let error = try #require(failure { try cluster.send(1, 0) })
        #expect(error.code == .disk)
        #expect(error.description.contains("free some space"))
        #expect(try replica.verify() == [])
        try replica.limitPages(1_000_000)
        try cluster.converge()
        #expect(try cluster.rows(0, "SELECT count(*) FROM tasks") == [[.integer(3000)]])
        #expect(try replica.verify() == [])
        #expect(Set(try cluster.digests()).count == 1)
    }

    @Test func aFileThatCannotBeOpenedSaysWhy() throws {
        let folder = TemporaryDirectory()
        let path = folder.file("text.db")
        let text = Array("this is no database, however long it may be".utf8)
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        #expect(write(file, text, text.count) == text.count)
        close(file)
        let cluster = try Cluster(0)
        #expect(failure { _ = try cluster.open(path) }?.code == .damaged)
        let missing = failure { _ = try cluster.open(folder.file("none/here.db")) }
        #expect(missing != nil)
    }

    @Test func aReadOnlyFileIsRefusedWithARemedy() throws {
        let folder = TemporaryDirectory()
        let path = folder.file("data.db")
        try Connection(path: path).execute(tasks)
        chmod(path, 0o400)
        let cluster = try Cluster(0)
        guard access(path, W_OK) != 0 else {
            print("not tested: this user may write every file, so none is read-only")
            return
        }
        let error = try #require(failure { _ = try cluster.open(path) })
        #expect(error.code == .disk)
        #expect(error.description.contains("writable"))
    }

    /// Any stored value of the bookkeeping may be anything: an error or a repair, never a crash.
    @Test func damagedBookkeepingIsAnError() throws {
        let places = [
            ("_starling_row", "record"), ("_starling_row", "key"), ("_starling_row", "context"),
            ("_starling_origin", "origin"), ("_starling_origin", "seen"),
            ("_starling_table", "structure"), ("_starling_table", "armed"),
            ("_starling_table", "state"), ("_starling_table", "scan"),
            ("_starling_column", "name"), ("_starling_layout", "columns"),
            ("_starling_dot", "key"), ("_starling_dot", "tbl"), ("_starling_meta", "value"),
            ("_starling_dot", "number"), ("_starling_transfer", "snapshot"),
            ("_starling_snapshot", "vector"), ("_starling_journal_1", "op"),
            ("_starling_journal_1", "at"), ("_starling_journal_1", "c0"),
            ("_starling_parked", "key"), ("_starling_conflict", "key"),
            ("_starling_deleted", "key"), ("_starling_deleted", "number"),
            ("_starling_deleted", "origin"),
        ]
        let values = [
            "x''", "x'ff'", "x'0001ffffffffffffffffff7f'", "NULL", "-1", "9e99", "'text'",
            "9223372036854775807",
        ]
        for (table, column) in places {
            for value in values {
                let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
                try cluster[1].app.execute("INSERT INTO tasks VALUES('b','zwei',0,NULL)")
                try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
                try cluster.converge(rounds: 1)
                let delta = try #require(
                    try cluster[1].replica.openDelta(base: VersionVector(), resume: nil))
                let chunk = try #require(try delta.next())
                delta.close()
                try cluster[0].app.execute("DELETE FROM tasks WHERE id = 'b'")
                _ = try cluster[0].replica.fold()
                try cluster[0].app.execute("INSERT INTO tasks VALUES('c','three',0,NULL)")
                try? cluster[0].app.execute("UPDATE \(table) SET \(column) = \(value)")
                var found: [StoreError] = []
                func attempt(_ body: () throws -> Void) {
                    do { try body() } catch let error as StoreError {
                        found.append(error)
                    } catch {
                        Issue.record("\(table).\(column) = \(value): \(error) is no StoreError")
                    }
                }
                for replica in [cluster[0].replica, try? cluster.open(cluster[0].path)] {
                    guard let replica else { continue }
                    attempt { _ = try replica.fold() }
                    attempt { _ = try replica.verify() }
                    attempt { _ = try replica.summary() }
                    attempt {
                        _ = try replica.deletedRowFacts(
                            StabilityGroup(writers: ["n1"], readers: [], removals: .init()))
                    }
                    attempt {
                        _ = try replica.collect(
                            StabilityGroup(writers: [], readers: [], removals: .init()))
                    }
                    attempt { _ = try replica.apply(chunk, of: delta.header) }
                    attempt { _ = try replica.resumePoint(from: cluster[1].replica.origin) }
                    attempt {
                        guard
                            let delta = try replica.openDelta(base: VersionVector(), resume: nil)
                        else { return }
                        defer { delta.close() }
                        while try delta.next() != nil {}
                    }
                    attempt { try replica.finishScans() }
                    attempt { _ = try replica.conflicts() }
                    attempt { try replica.records(of: "tasks") { _ in } }
                }
                for error in found where error.code == .invalidDelta {
                    Issue.record("\(table).\(column) = \(value) is blamed on the peer: \(error)")
                }
            }
        }
    }
}
