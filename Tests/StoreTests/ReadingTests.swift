// What a running node asks its replica all the time.

import SQLite
import Store
import TestKit
import Testing

@Suite struct ReadingTests {
    private let cluster: Cluster

    init() throws {
        cluster = try Cluster(
            2,
            schema: """
                CREATE TABLE a(id TEXT PRIMARY KEY NOT NULL, v);
                CREATE TABLE b(id TEXT PRIMARY KEY NOT NULL)
                """,
            track: ["a", "b"])
    }

    /// A digest is a sum: who can choose rows can choose what it comes to. The count moves all the same,
    /// with what peers bring and with what programs write, and for no other table.
    @Test func everyChangeOfATableIsCounted() throws {
        let replica = cluster[1].replica
        let (digest, count) = (replica.digest(ofTable: "a"), replica.changeCount(ofTable: "A"))
        try cluster[0].app.execute("INSERT INTO a VALUES('x', 1)")
        try cluster.send(0, 1)
        let after = replica.changeCount(ofTable: "a")
        #expect(after > count && replica.digest(ofTable: "a") != digest)
        // Nothing new is no change.
        try cluster.send(0, 1)
        _ = try replica.summary()
        #expect(replica.changeCount(ofTable: "a") == after)
        try cluster[1].app.execute("DELETE FROM a")
        _ = try replica.summary()
        #expect(replica.changeCount(ofTable: "a") == after + 1)
        #expect(replica.changeCount(ofTable: "b") == 0)
        #expect(replica.changeCount(ofTable: "none") == 0)
    }
}
