// What a copy leaves and takes, when it has begun more than once.

import CausalModel
import SQLite
import Store
import Testing
import Values

@Suite struct CopyTests {
    private let tasks = """
        CREATE TABLE tasks(
            id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER NOT NULL DEFAULT 0, note)
        """

    /// Reproducer: starling-sim --seed 9980188 --nodes 5 --steps 466. A copy had begun, a program wrote, and
    /// another copy began: a row that both brought, and that was here before, seemed to be one that was
    /// collected here. It was deleted, for everybody.
    @Test(arguments: [1, 3])
    func whatTwoCopiesBroughtWasHereBefore(attempts: Int) throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        let (source, late) = (cluster[0].replica, cluster[1].replica)
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n'),('b','two',0,'n')")
        try cluster.converge()
        try cluster[0].app.execute("DELETE FROM tasks WHERE id = 'b'")
        try cluster.converge()
        #expect(try cluster.collect(1, others: []) == 1)
        #expect(late.floor.covers(source.vector))

        source.bounds.chunkRowsMax = 1
        for attempt in 0..<attempts {
            try late.beginJoining(because: "attempt \(attempt)")
            let delta = try #require(try source.openDelta(base: VersionVector(), resume: nil))
            _ = try late.apply(try #require(try delta.next()), of: delta.header)
            delta.close()
            try cluster[1].app.execute("INSERT INTO tasks(id) VALUES('mine\(attempt)')")
            try late.fold()
        }
        try late.beginJoining(because: "at last")
        let delta = try #require(try source.openDelta(base: VersionVector(), resume: nil))
        while let chunk = try delta.next() { _ = try late.apply(chunk, of: delta.header) }
        _ = try late.finish(delta.header)
        delta.close()
        try late.settleJoining()
        #expect(try cluster.rows(1, "SELECT note FROM tasks WHERE id = 'a'") == [[.string("n")]])
        try cluster.converge()
        #expect(
            try cluster.rows(0, "SELECT count(*) FROM tasks")
                == [[.integer(Int64(1 + attempts))]])
        #expect(source.vector == late.vector)
        #expect(try source.summary().digest == late.summary().digest)
    }

    /// Reproducer: starling-sim --seed 9980372 --nodes 4 --steps 208. A replica had a change of somebody of
    /// whom its new group has never heard, in a row that its copy brought, too: it stayed half received for
    /// ever.
    @Test func changesOfSomebodyUnknownAreIssuedAgainAfterACopy() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        let (source, late) = (cluster[0].replica, cluster[1].replica)
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        try cluster[2].app.execute("UPDATE tasks SET note = 'unheard'")
        try cluster.send(2, 1)
        late.activeOrigins = [source.origin]
        try late.beginJoining(because: "it was away")
        try cluster[0].app.execute("UPDATE tasks SET done = 1")
        try cluster.send(0, 1)
        try late.settleJoining()
        #expect(try late.summary().isWhole)
        try cluster.send(1, 0)
        #expect(try source.summary().isWhole)
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT done, note FROM tasks")
                    == [[.integer(1), .string("unheard")]])
        }
        #expect(source.vector == late.vector)
    }

    /// Reproducer: HostileRelayTests with STARLING_SEED=5001. Of a row that was inserted below the
    /// vector and changed beyond it by the same author, a delta for the log left the insert out, and claimed
    /// it: its columns were lost for whoever read it, for ever.
    @Test func ofARowThatIsHalfReceivedTheLogGetsWhatTheVectorCovers() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        let (author, forwarder, reader) = (
            cluster[0].replica, cluster[1].replica, cluster[2].replica
        )
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',7,'n')")
        try cluster.send(0, 1)
        try cluster[0].app.execute("UPDATE tasks SET title = 'two'")
        try cluster[0].app.execute("INSERT INTO tasks(id) VALUES('b'), ('c')")
        try author.fold()
        author.bounds.chunkRowsMax = 1
        let half = try #require(try author.openDelta(base: forwarder.vector, resume: nil))
        while let chunk = try half.next(), !chunk.isLast {
            _ = try forwarder.apply(chunk, of: half.header)
        }
        half.close()
        #expect(try !forwarder.summary().isWhole)

        let log = try #require(
            try forwarder.openLogDelta(base: VersionVector(), resume: nil, isCoveredOnly: true))
        var rows = 0
        while let chunk = try log.next() {
            rows += chunk.rows
            _ = try reader.apply(chunk, of: log.header)
        }
        _ = try reader.finish(log.header)
        log.close()
        // A row whose news lies beyond the vector may hide some below it: it is told once.
        #expect(rows == 2)
        #expect(reader.vector == forwarder.vector)
        #expect(
            try forwarder.openLogDelta(base: forwarder.vector, resume: nil, isCoveredOnly: true)
                == nil)
        #expect(
            try cluster.rows(2, "SELECT done, note FROM tasks WHERE id = 'a'")
                == [[.integer(7), .string("n")]])
        try cluster.converge()
        #expect(Set(try cluster.digests()).count == 1)
    }
}
