// Chunks that no honest replica sends: cut, flipped, random, and well formed lies.

import CausalModel
import Codec
import SQLite
import Store
import TestKit
import Testing
import Values

private let schema = """
    CREATE TABLE tasks(
        id TEXT PRIMARY KEY NOT NULL, title TEXT UNIQUE, done INTEGER NOT NULL DEFAULT 0, note TEXT)
    """

@Suite struct HostileChunkTests {
    /// A chunk with inserts, updates, a delete, siblings and two births.
    private func sample() throws -> (header: DeltaHeader, chunk: DeltaChunk) {
        let cluster = try Cluster(2, schema: schema, track: ["tasks"], seed: 9)
        for member in 0..<2 {
            try cluster[member].app.execute(
                """
                INSERT INTO tasks VALUES('a','n\(member)',0,NULL),('m\(member)','x\(member)',1,'n');
                """)
        }
        try cluster.converge()
        for member in 0..<2 {
            try cluster[member].app.execute(
                """
                UPDATE tasks SET note='by \(member)' WHERE id='m0'; DELETE FROM tasks WHERE id='m1'
                """
            )
        }
        try cluster.converge()
        let delta = try #require(
            try cluster[0].replica.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        return (delta.header, try #require(try delta.next()))
    }

    private func content(_ member: Cluster.Member) throws -> [[Value]] {
        try member.app.query("SELECT * FROM tasks ORDER BY 1")
            + member.app.query("SELECT tbl, key, record FROM _starling_row ORDER BY 1, 2")
            + member.app.query("SELECT * FROM _starling_dot")
            + member.app.query("SELECT origin, seen FROM _starling_origin WHERE seen > 0")
    }

    /// Applies bytes that may be anything; what was refused must have changed nothing.
    private func attempt(_ bytes: [UInt8], _ header: DeltaHeader, _ cluster: Cluster) throws -> Bool
    {
        let before = try content(cluster[0])
        let chunk = DeltaChunk(
            body: bytes, rows: 1, position: DeltaPosition(dot: Dot(header.source, 1)), isLast: true)
        do {
            _ = try cluster[0].replica.apply(chunk, of: header)
            return true
        } catch let error as StoreError {
            #expect(error.code == .invalidDelta, "\(String(reflecting: error))")
            #expect(try content(cluster[0]) == before)
            return false
        }
    }

    private func victim() throws -> Cluster {
        let cluster = try Cluster(1, schema: schema, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('mine','t',0,NULL),('a','own',3,'o')")
        try cluster[0].replica.fold()
        return cluster
    }

    @Test func aChunkCutAtAnyByteIsRefused() throws {
        let (header, chunk) = try sample()
        let cluster = try victim()
        for length in 0..<chunk.body.count {
            #expect(try !attempt(Array(chunk.body[..<length]), header, cluster), "\(length) bytes")
        }
        #expect(try attempt(chunk.body, header, cluster))
        #expect(try cluster[0].replica.verify() == [])
    }

    @Test func aChunkWithAnyByteFlippedIsRefusedOrConsistent() throws {
        let (header, chunk) = try sample()
        for place in chunk.body.indices {
            let cluster = try victim()
            for mask: UInt8 in [0x01, 0x80, 0xff, 0x10] {
                var bytes = chunk.body
                bytes[place] ^= mask
                _ = try attempt(bytes, header, cluster)
            }
            #expect(try cluster[0].replica.verify() == [], "byte \(place)")
            _ = try cluster[0].replica.conflicts()
            _ = try cluster[0].replica.summary()
        }
    }

    @Test func randomBytesAreRefused() throws {
        let (header, chunk) = try sample()
        var generator = SeededGenerator(seed: 4)
        let cluster = try victim()
        for _ in 0..<500 {
            var bytes = (0..<generator.below(200)).map { _ in UInt8(generator.below(256)) }
            if generator.chance(1, in: 2) {
                bytes = Array(chunk.body[..<generator.below(chunk.body.count)]) + bytes
            }
            _ = try attempt(bytes, header, cluster)
        }
        #expect(try cluster[0].replica.verify() == [])
    }

    /// Random bytes at random places, several at once: deeper into the rows than single flips.
    @Test func randomlyDamagedChunksNeverCrash() throws {
        let (header, chunk) = try sample()
        var generator = SeededGenerator(seed: 5)
        for round in 0..<40 {
            let cluster = try victim()
            for _ in 0..<25 {
                var bytes = chunk.body
                for _ in 0...generator.below(4) {
                    bytes[generator.below(bytes.count)] = UInt8(generator.below(256))
                }
                _ = try attempt(bytes, header, cluster)
            }
            let found = try cluster[0].replica.verify()
            #expect(found == [], "round \(round)")
        }
    }

    /// A dot names one change for ever: who says otherwise is told on.
    @Test(arguments: [false, true]) func oneDotWithTwoChangesIsSaid(isSame: Bool) throws {
        let cluster = try Cluster(2, schema: schema, track: ["tasks"], seed: 3)
        // Two files that run under one origin, as after a copy that no marker noticed.
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL)")
        try cluster[0].replica.fold()
        try cluster[0].replica.backup(to: cluster.folder.file("copy.db"))
        let copy = try cluster.open(cluster.folder.file("copy.db"))
        #expect(copy.origin == cluster[0].replica.origin)
        try cluster[0].app.execute("UPDATE tasks SET note = 'here' WHERE id = 'a'")
        try cluster.send(0, 1)
        let app = try Connection(path: cluster.folder.file("copy.db"))
        try app.execute("UPDATE tasks SET note = '\(isSame ? "here" : "there")' WHERE id = 'a'")
        try copy.fold()
        let delta = try #require(try copy.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        _ = try cluster[1].replica.apply(try #require(try delta.next()), of: delta.header)
        let problem = cluster[1].replica.problems["invariant"]
        #expect(
            (problem?.contains("have one number, 2 of") == true) == !isSame, "\(problem ?? "-")")
    }

    /// Whoever may talk to a replica has seen what that has collected.
    @Test func aChangeThatHasNotSeenAForgottenDeleteIsSaid() throws {
        let cluster = try Cluster(2, schema: schema, track: ["tasks"], seed: 4)
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,NULL),('b','two',0,NULL)")
        try cluster.converge()
        try cluster[0].app.execute("DELETE FROM tasks")
        try cluster[0].replica.fold()
        #expect(try cluster.collect(0, others: []) == 2)
        #expect(cluster[0].replica.problems["invariant"] == nil)
        try cluster[1].app.execute("UPDATE tasks SET note = 'late' WHERE id = 'a'")
        try cluster.send(1, 0)
        #expect(cluster[0].replica.problems["invariant"]?.contains("forgotten here") == true)
    }
}
