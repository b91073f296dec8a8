// Clocks and numbers at their ends: what is far off is applied, named, and never catching.

import CausalModel
import SQLite
import Store
import TestKit
import Testing
import Values

private let tasks = "CREATE TABLE tasks(id TEXT PRIMARY KEY NOT NULL, title TEXT, note TEXT)"

@Suite struct ExtremesTests {
    private func expectEqual(_ cluster: Cluster) throws {
        #expect(Set(try cluster.digests()).count == 1)
        for member in cluster.members { #expect(try member.replica.verify() == []) }
    }

    /// Writes whose time is any number that a broken clock can give, the ceiling of stamps
    /// included.
    @Test(arguments: [
        "9e9", "-9e9", "9e300", "0", "NULL", "1e999", "'text'", "1.4e15", "2488069.5",
    ])
    func aBrokenClockStopsNobody(day: String) throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[1].app.execute("INSERT INTO tasks VALUES('b', 'before', NULL)")
        try cluster.converge(rounds: 1)
        try cluster[0].app.execute(
            """
            INSERT INTO tasks VALUES('a', 'one', NULL);
            UPDATE tasks SET note = 'far' WHERE id = 'b';
            UPDATE _starling_journal_1 SET at = \(day)
            """)
        try cluster.converge(rounds: 1)
        // What saw the far write beats it, again and again, on both sides.
        for round in 0..<4 {
            let member = round % 2
            try cluster[member].app.execute("UPDATE tasks SET title = 'round \(round)'")
            try cluster.converge(rounds: 1)
        }
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT DISTINCT title FROM tasks") == [
                    [.string("round 3")]
                ])
            #expect(try cluster[member].replica.conflictCount() == 0)
        }
        try expectEqual(cluster)
        // Elsewhere the clock did not follow: an unrelated row is not pulled along.
        try cluster[1].app.execute("INSERT INTO tasks VALUES('c', 'mine', NULL)")
        var stamp = Stamp.zero
        try cluster[1].replica.fold()
        try cluster[1].replica.forEachKernel { facts in
            for write in facts.kernel.writes where facts.kernel.writes.count == 1 {
                if write.values.contains(where: { $0.value == .string("mine") }) {
                    stamp = write.stamp
                }
            }
        }
        #expect(stamp.milliseconds <= cluster.clock.milliseconds + 61_000)
    }

    @Test func theOffenderIsNamed() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute(
            "INSERT INTO tasks VALUES('a', 'one', NULL); UPDATE _starling_journal_1 SET at = 4e6")
        try cluster.converge(rounds: 1)
        #expect(Array(cluster[1].replica.clockOffenders.keys) == [cluster[0].replica.origin])
    }

    /// A peer that claims numbers of ours which we never gave out.
    @Test func numbersThatWereNeverGivenOutEndTheOrigin() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        let before = cluster[0].replica.origin
        try cluster[1].app.execute("INSERT INTO tasks VALUES('a', 'one', NULL)")
        let delta = try #require(
            try cluster[1].replica.openDelta(base: VersionVector(), resume: nil))
        let chunk = try #require(try delta.next())
        var header = delta.header
        delta.close()
        header.snapshot[before] = 1 << 60 - 1
        _ = try cluster[0].replica.applyWhole(chunk, of: header)
        #expect(cluster[0].replica.origin != before)
        #expect(!cluster[0].replica.problems.isEmpty)
        try cluster[0].app.execute("UPDATE tasks SET title = 'two'")
        try cluster.converge()
        #expect(try cluster.rows(1, "SELECT title FROM tasks") == [[.string("two")]])
        try expectEqual(cluster)
    }

    /// Interrupted after each chunk, resumed with what changed meanwhile; rows come once, or again.
    @Test func aTransferResumesAfterEveryChunk() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        cluster[0].replica.bounds.chunkRowsMax = 3
        for number in 0..<20 {
            try cluster[0].app.execute("INSERT INTO tasks VALUES('k\(number)', 'v', NULL)")
        }
        var sent = 0
        for round in 0..<40 {
            let sender = cluster[0].replica
            let point = try cluster[1].replica.resumePoint(from: sender.origin)
            #expect((point == nil) == (round == 0))
            let base = try cluster[1].replica.summary().vector
            let delta = try #require(try sender.openDelta(base: base, resume: point))
            defer { delta.close() }
            guard let chunk = try delta.next() else {
                _ = try cluster[1].replica.finish(delta.header)
                break
            }
            sent += chunk.rows
            _ = try cluster[1].replica.apply(chunk, of: delta.header)
            if round < 3 {
                try cluster[0].app.execute("UPDATE tasks SET note = '\(round)' WHERE id = 'k0'")
            }
            cluster[1].replica = try cluster.open(cluster[1].path)
        }
        #expect((20...26).contains(sent))
        #expect(
            try cluster.rows(1, "SELECT count(*), max(note) FROM tasks")
                == [[.integer(20), .string("2")]])
        try expectEqual(cluster)
    }
}
