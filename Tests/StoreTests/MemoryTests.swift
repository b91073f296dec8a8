// What a replica gives back when nothing happens, and that it goes on as before.

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
}
