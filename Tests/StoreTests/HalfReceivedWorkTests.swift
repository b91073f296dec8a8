// What it costs to say where a replica stands in the middle of a large delta.

import CausalModel
import SQLite
import TestKit
import Testing
import Values

@testable import Store

@Suite struct HalfReceivedWorkTests {
    /// Reproducer: each commit of a program while rows came was followed by a look at all rows that had come.
    @Test func eachLookCostsTheSame() throws {
        let cluster = try Cluster(
            2, schema: "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", track: ["t"])
        let (first, second) = (cluster[0].replica, cluster[1].replica)
        try cluster[0].app.execute(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
            INSERT INTO t SELECT i, 'value ' || i FROM n
            """)
        _ = try first.summary()
        let delta = try #require(try first.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        func look(whileReceiving: Bool) throws -> (steps: Int64, summary: ReplicaSummary) {
            var summary: ReplicaSummary?
            let steps = try second.connection.steps {
                summary = try second.summary(whileReceiving: whileReceiving)
            }
            return (steps, try #require(summary))
        }
        let whole = try look(whileReceiving: true).summary
        #expect(whole.isWhole && whole.beyondHash == 0)
        var steps: [Int64] = []
        var hashes: Set<UInt64> = []
        while let chunk = try delta.next() {
            _ = try second.apply(chunk, of: delta.header)
            let quick = try look(whileReceiving: true)
            #expect(!quick.summary.isWhole && quick.summary.beyondHash == 0)
            steps.append(quick.steps)
            hashes.insert(try second.summary().beyondHash)
            second.beyondHash = 0
        }
        #expect(steps.count > 3 && hashes.count == steps.count)
        let (least, most) = (steps.min() ?? 0, steps.max() ?? 0)
        #expect(most <= least + 2, "hundreds of steps after each chunk: \(steps)")
        #expect(try look(whileReceiving: false).steps > 10 * (most + 1))
        // Once whole, it is said at once.
        _ = try second.finish(delta.header)
        let end = try look(whileReceiving: true).summary
        #expect(end.isWhole && end.beyondHash == 0)
        #expect(try end.digest == first.summary().digest)
    }
}
