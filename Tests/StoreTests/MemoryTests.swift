// What a replica gives back of memory and of the disk, and that it goes on as before.

import CausalModel
import SQLite
import TestKit
import Testing
import Values

@testable import Store

@Suite struct MemoryTests {
    private static let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"

    private func cacheBytes(_ replica: Replica) -> Int {
        ([replica.connection] + replica.readers).reduce(0) { $0 + $1.cacheBytes }
    }

    @Test func cachesAreGivenBackAndReadAgain() throws {
        let cluster = try Cluster(2, schema: Self.schema, track: ["t"])
        let (first, second) = (cluster[0].replica, cluster[1].replica)
        let rows = 5_000
        try cluster[0].app.run(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
            INSERT INTO t SELECT i, 'value ' || i FROM n
            """, [.integer(Int64(rows))])
        #expect(try cluster.send(0, 1) == rows)
        for replica in [first, second] {
            let before = cacheBytes(replica)
            replica.releaseMemory()
            let after = cacheBytes(replica)
            #expect(before > 256 * 1024 && after < before / 4, "\(before) → \(after) bytes")
        }
        try cluster[1].app.execute("UPDATE t SET v = 'other' WHERE id % 100 = 0")
        #expect(try cluster.send(1, 0) == rows / 100)
        #expect(try first.summary().digest == second.summary().digest)
        #expect(try first.summary().vector == second.summary().vector)
    }

    /// A snapshot that is being read is left as it is, and so are pages that are not written yet.
    @Test func whatIsUnderWayIsNotDisturbed() throws {
        let cluster = try Cluster(2, schema: Self.schema, track: ["t"])
        let (first, second) = (cluster[0].replica, cluster[1].replica)
        try cluster[0].app.execute(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
            INSERT INTO t SELECT i, 'value ' || i FROM n
            """)
        _ = try first.summary()
        let delta = try #require(try first.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        try second.connection.transaction {
            try second.connection.execute("INSERT INTO t VALUES(-1, 'mine')")
            second.releaseMemory()
        }
        var rows = 0
        while let chunk = try delta.next() {
            first.releaseMemory()
            rows += chunk.rows
            _ = try second.apply(chunk, of: delta.header)
            second.releaseMemory()
        }
        _ = try second.finish(delta.header)
        #expect(rows == 5_000)
        #expect(try cluster[1].app.integer("SELECT count(*) FROM t") == 5_001)
    }

    /// Reproducer: after a copy a WAL of ten times the size of the data stayed beside the file for as long as
    /// the node ran.
    @Test func aLargeLogIsCut() throws {
        let cluster = try Cluster(1, schema: Self.schema, track: ["t"])
        let (replica, app) = (cluster[0].replica, cluster[0].app)
        replica.bounds.logBytesMax = 64 << 10
        try app.execute("PRAGMA wal_autocheckpoint = 0")
        func logBytes() throws -> Int { try replica.connection.logBytes() }
        func grow() throws {
            try app.execute(
                """
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                INSERT INTO t(v) SELECT 'value ' || i FROM n
                """)
            _ = try replica.summary()
            #expect(try logBytes() > 4 * replica.bounds.logBytesMax)
        }
        try grow()
        try replica.checkpointIfSafe()
        #expect(try logBytes() <= replica.bounds.logBytesMax)
        // Not while somebody reads from it; and no write is lost on trying.
        try grow()
        let reader = try Connection(path: cluster[0].path)
        try reader.execute("BEGIN")
        #expect(try reader.integer("SELECT count(*) FROM t") == 10_000)
        let vector = replica.vector
        for _ in 0..<Limits.checkpointsBetweenCuts {
            try replica.checkpointIfSafe()
            #expect(try logBytes() > replica.bounds.logBytesMax)
        }
        try app.execute("INSERT INTO t(v) VALUES('more')")
        #expect(try reader.integer("SELECT count(*) FROM t") == 10_000)
        try reader.execute("COMMIT")
        var checkpoints = 0
        while try logBytes() > replica.bounds.logBytesMax,
            checkpoints <= Limits.checkpointsBetweenCuts
        {
            try replica.checkpointIfSafe()
            checkpoints += 1
        }
        #expect(try logBytes() <= replica.bounds.logBytesMax)
        #expect(try app.integer("SELECT count(*) FROM t") == 10_001)
        #expect(try replica.summary().vector.distance(beyond: vector) == 1)
        #expect(try app.string("PRAGMA integrity_check") == "ok")
    }
}
