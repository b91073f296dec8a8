// What collecting costs, what is told about it, and files from before there was any.

import CausalModel
import SQLite
import Store
import Testing
import Values

private let tasks = """
    CREATE TABLE tasks(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER, note TEXT)
    """

@Suite struct CollectWorkTests {
    private func filled(_ count: Int, rows: Int) throws -> Cluster {
        let cluster = try Cluster(count, schema: tasks, track: ["tasks"])
        for row in 0..<rows {
            try cluster[0].app.run("INSERT INTO tasks VALUES(?1,'t',0,'n')", [.string("row\(row)")])
        }
        try cluster.converge()
        return cluster
    }

    @Test func manyRowsGoInShortTransactions() throws {
        let cluster = try filled(2, rows: 25)
        try cluster[0].app.execute("DELETE FROM tasks WHERE id <> 'row7'")
        try cluster.converge()
        try cluster.stateAll()
        let replica = cluster[0].replica
        replica.bounds.collectRowsMax = 10
        var slices: [CollectOutcome] = []
        repeat {
            slices.append(
                try replica.collect(
                    StabilityGroup(writers: ["n1"], readers: [], removals: VersionVector())))
        } while slices.last?.hasMore == true
        #expect(slices.map(\.rows) == [10, 10, 4])
        #expect(try cluster.kept(0) == [1, 1, 0])
        #expect(try replica.verify() == [])
        #expect(Set(try cluster.digests()).count == 1)
    }

    /// A row with two deletes that did not see each other waits under the one that is missing, and is
    /// looked at again only when that one comes.
    @Test func aRowWaitsUnderTheDotThatIsMissing() throws {
        let cluster = try filled(3, rows: 1)
        try cluster[0].app.execute("DELETE FROM tasks")
        try cluster[1].app.execute("DELETE FROM tasks")
        let base = try cluster[2].replica.summary().vector
        try cluster.send(0, 1)
        try cluster.send(1, 0)
        try cluster.state(1, 0)
        func place() throws -> Value? {
            try cluster[0].app.first(
                """
                SELECT o.origin FROM _starling_deleted d
                JOIN _starling_origin o ON o.ord = d.origin
                """)
        }
        // Member 2 has the delete under which it waits first, and not the other one.
        let origins = (0..<2).map { cluster[$0].replica.origin }
        let first = try place()
        let missing = try #require(origins.first { .blob($0.bytes) != first })
        var stated = try cluster[0].replica.summary().vector
        stated[missing] = base[missing]
        try cluster[0].replica.noteStatement(
            of: "n2", name: "n2", origin: Origin(high: 0, low: 0), vector: stated)

        #expect(try cluster.collect(0) == 0)
        #expect(try place() == .blob(missing.bytes))
        #expect(try cluster[0].replica.verify() == [])
        // No transaction is made for a row that waits.
        let changes = try cluster[0].app.integer("PRAGMA data_version")
        #expect(try cluster.collect(0) == 0)
        #expect(try cluster[0].app.integer("PRAGMA data_version") == changes)
        #expect(
            try cluster[0].replica.deletedRowFacts(
                StabilityGroup(writers: ["n1", "n2"], readers: [], removals: .init()))
                == DeletedRowFacts(rows: 1, waitsFor: ["n2"]))

        try cluster.send(0, 2)
        try cluster.state(2, 0)
        #expect(try cluster.collect(0) == 1)
    }

    @Test func factsNameThoseWhoHoldRowsBack() throws {
        let cluster = try filled(4, rows: 3)
        func facts(_ members: Set<String> = ["n1", "n2", "n3"]) throws -> DeletedRowFacts {
            try cluster[0].replica.deletedRowFacts(
                StabilityGroup(writers: members, readers: [], removals: VersionVector()))
        }
        #expect(try facts() == DeletedRowFacts(rows: 0, waitsFor: []))
        try cluster[0].app.execute("DELETE FROM tasks WHERE id < 'row2'")
        try cluster.send(0, 1)
        try cluster.stateAll()
        #expect(try facts() == DeletedRowFacts(rows: 2, waitsFor: ["n2", "n3"]))
        // One has what is not here, one never said anything.
        try cluster.send(0, 2)
        try cluster[2].app.execute("INSERT INTO tasks VALUES('new','t',0,'n')")
        try cluster.stateAll()
        #expect(
            try facts(["n1", "n2", "unheard"])
                == DeletedRowFacts(rows: 2, waitsFor: ["n2", "unheard"]))
        try cluster.converge()
        try cluster.stateAll()
        #expect(try facts() == DeletedRowFacts(rows: 2, waitsFor: []))
        #expect(try cluster.collect(0) == 2)
        #expect(try facts() == DeletedRowFacts(rows: 0, waitsFor: []))
    }

    @Test func theDotsOfATableAreToldAsAVector() throws {
        let cluster = try filled(2, rows: 3)
        #expect(try cluster[0].replica.liveDots(inTable: "none").isEmpty)
        #expect(try cluster[0].replica.liveDots(inTable: "tasks") == cluster[0].replica.vector)
        try cluster[1].app.execute("DELETE FROM tasks WHERE id = 'row1'")
        try cluster.converge()
        let vector = cluster[0].replica.vector
        #expect(vector[cluster[1].replica.origin] == 1)
        #expect(try cluster[0].replica.liveDots(inTable: "tasks") == vector)
        try cluster.stateAll()
        try cluster.collect(0)
        #expect(
            try cluster[0].replica.liveDots(inTable: "tasks")[cluster[1].replica.origin] == 0)
    }

    /// A table that is known only by its rows is collected like any other.
    @Test func rowsOfATableThatIsNotHereGoToo() throws {
        let cluster = try filled(2, rows: 1)
        try cluster[0].app.execute("DELETE FROM tasks")
        try cluster.add("bare")
        let delta = try #require(
            try cluster[0].replica.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        while let chunk = try delta.next() {
            _ = try cluster[2].replica.apply(chunk, of: delta.header)
        }
        _ = try cluster[2].replica.finish(delta.header)
        #expect(try cluster.kept(2)[2] == 1)
        #expect(try cluster.collect(2, others: []) == 1)
        #expect(try cluster.kept(2) == [0, 0, 0])
        #expect(try cluster[2].replica.verify() == [])
    }

    /// What a program makes under the key of a deleted row while no trigger looks is a row of its own.
    @Test func aRowMadeAgainUnseenIsNotCollected() throws {
        let cluster = try filled(2, rows: 1)
        try cluster[0].app.execute("DELETE FROM tasks")
        try cluster.converge()
        try cluster.stateAll()
        // Rebuilt, so that the triggers are gone.
        try cluster[0].app.execute(
            """
            CREATE TABLE fresh(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER, note TEXT);
            INSERT INTO fresh VALUES('row0','unseen',1,'m');
            DROP TABLE tasks; ALTER TABLE fresh RENAME TO tasks;
            """)
        #expect(try cluster.collect(0) == 0)
        try cluster.converge()
        #expect(try cluster.rows(1, "SELECT title FROM tasks") == [[.string("unseen")]])
        for member in cluster.members { #expect(try member.replica.verify() == []) }
        #expect(Set(try cluster.digests()).count == 1)
    }

    /// A file from before deleted rows were queued: they counted in the digest, and nobody waited.
    @Test func anOlderFileIsTakenUp() throws {
        let cluster = try filled(2, rows: 5)
        try cluster[0].app.execute("DELETE FROM tasks WHERE id < 'row3'")
        try cluster.converge()
        let app = cluster[0].app
        let sum = try app.query("SELECT hash FROM _starling_row").reduce(UInt64(0)) { sum, row in
            guard case .integer(let hash) = row[0] else { return sum }
            return sum &+ UInt64(bitPattern: hash)
        }
        try app.execute(
            """
            DROP TABLE _starling_deleted; DELETE FROM _starling_meta WHERE name = 'floor';
            UPDATE _starling_table SET digest = \(Int64(bitPattern: sum)) WHERE name = 'tasks'
            """)
        cluster[0].replica = try cluster.open(cluster[0].path)
        try cluster[0].replica.lookAtSchema()
        #expect(try cluster[0].replica.verify() == [])
        #expect(Set(try cluster.digests()).count == 1)
        try cluster.stateAll()
        #expect(try cluster.collect(0) == 3)
        // Once only.
        cluster[0].replica = try cluster.open(cluster[0].path)
        #expect(try cluster[0].replica.verify() == [])
    }

    /// What others have heard of a member counts, unless more was heard of it here.
    @Test func reportsOfOthersAreNotedOnlyForward() throws {
        let cluster = try filled(2, rows: 3)
        let replica = cluster[0].replica
        let hour: Int64 = 3_600_000
        let origin = cluster[1].replica.origin
        let (low, high) = (
            VersionVector([(origin, UInt64(1))]), VersionVector([(origin, UInt64(2))])
        )
        func held() throws -> PeerStatement? {
            try replica.peerStatements().first { $0.node == "far" }
        }
        func note(_ vector: VersionVector?, _ origin: Origin, age: Int64) throws -> Bool {
            try replica.noteReport(
                of: "far", name: "Far", origin: origin, vector: vector, ageMilliseconds: age)
        }
        // A time alone says nothing of who was never heard of.
        #expect(try !note(nil, origin, age: 0) && held() == nil)
        #expect(try note(high, origin, age: 100 * hour))
        #expect(try held()?.vector == high && held()?.ageMilliseconds == 100 * hour)
        #expect(try !note(low, origin, age: 90 * hour))
        #expect(try held()?.vector == high)
        // It was seen since: that is worth a write after an hour, and never goes back.
        #expect(try !note(nil, origin, age: 5 * hour))
        #expect(try held()?.ageMilliseconds == 5 * hour && held()?.vector == high)
        #expect(try !note(high, origin, age: 50 * hour))
        #expect(try held()?.ageMilliseconds == 5 * hour)
        #expect(try !note(high, origin, age: 5 * hour - 1_000))
        #expect(try held()?.ageMilliseconds == 5 * hour)
        // Under another origin it begins anew, also when it has less.
        let other = Origin(high: 9, low: 9)
        #expect(try note(low, other, age: 200 * hour))
        #expect(try held()?.origin == other && held()?.vector == low)
        #expect(try held()?.name == "Far")
    }

    /// Reproducer: who had been removed from a group was forgotten, and was let in again.
    @Test func deletedRowsOfATableThatIsKeptStay() throws {
        let cluster = try filled(2, rows: 4)
        let replica = cluster[0].replica
        try cluster[0].app.execute("DELETE FROM tasks WHERE id = 'row1'")
        try cluster.converge()
        try cluster.stateAll()
        let group = StabilityGroup(writers: ["n1"], readers: [])
        // One waits since before the table was kept.
        #expect(try replica.deletedRowFacts(group).rows == 1)
        try replica.keepDeletedRows(of: "tasks")
        #expect(try replica.verify() == [])
        #expect(try replica.collect(group).rows == 0)
        try cluster[0].app.execute("DELETE FROM tasks WHERE id = 'row2'")
        try cluster.converge()
        try cluster.stateAll()
        let outcome = try replica.collect(group)
        #expect(outcome.rows == 0 && !outcome.hasMore && !outcome.keepsRows)
        for key in ["row1", "row2"] {
            #expect(try replica.hasKernel(table: "tasks", key: [.string(key)]))
        }
        #expect(try replica.deletedRowFacts(group).rows == 0)
        #expect(try replica.verify() == [])
    }
}
