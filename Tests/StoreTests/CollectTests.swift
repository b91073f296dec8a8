// Deleted rows go for good once nothing can bring them back, and nobody can see that they went.

import CausalModel
import SQLite
import Store
import Testing
import Values

private let tasks = """
    CREATE TABLE tasks(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER, note TEXT)
    """

extension Cluster {
    /// `from` says to `to` where it stands, as peers do all the time.
    func state(_ from: Int, _ to: Int) throws {
        let vector = try members[from].replica.summary().vector
        try members[to].replica.noteStatement(
            of: members[from].name, name: members[from].name, origin: members[from].replica.origin,
            vector: vector)
    }

    func stateAll() throws {
        for from in members.indices {
            for to in members.indices where from != to { try state(from, to) }
        }
    }

    /// How many rows `member` collects, with everybody or only `others` as members.
    @discardableResult
    func collect(
        _ member: Int, others: [Int]? = nil, removals: VersionVector = VersionVector()
    ) throws -> Int {
        let others = others ?? members.indices.filter { $0 != member }
        return try members[member].replica.collect(
            StabilityGroup(
                writers: Set(others.map { members[$0].name }), readers: [], removals: removals)
        ).rows
    }

    /// Rows, dots and deleted rows in the bookkeeping.
    func kept(_ member: Int) throws -> [Int64] {
        try ["_starling_row", "_starling_dot", "_starling_deleted"].map {
            try members[member].app.integer("SELECT count(*) FROM \($0)") ?? -1
        }
    }

    /// The dots that are alive under the only key there is.
    func dots(_ member: Int) throws -> [Dot] {
        var dots: [Dot] = []
        try members[member].replica.forEachKernel { dots += $0.kernel.writes.map(\.dot) }
        return dots
    }
}

@Suite struct CollectTests {
    /// Everybody has a row; member 0 deletes it, and those of `seenBy` take that in.
    private func deleted(_ count: Int, seenBy: [Int]) throws -> Cluster {
        let cluster = try Cluster(count, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        try cluster[0].app.execute("DELETE FROM tasks")
        for member in seenBy { try cluster.send(0, member) }
        try cluster.stateAll()
        return cluster
    }

    private func expectSound(
        _ cluster: Cluster, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(Set(try cluster.digests()).count == 1, sourceLocation: sourceLocation)
        for member in cluster.members {
            #expect(
                try member.replica.verify() == [], "\(member.name)", sourceLocation: sourceLocation)
        }
    }

    @Test func aRowGoesWhenAllHaveSeenItsDelete() throws {
        let cluster = try deleted(2, seenBy: [1])
        let dots = try cluster.dots(0)
        #expect(try cluster.kept(0) == [1, 1, 1])

        #expect(try cluster.collect(0) == 1)
        #expect(try cluster.kept(0) == [0, 0, 0])
        #expect(dots.allSatisfy(cluster[0].replica.floor.contains))
        // One has collected and the other has not: nobody sees a difference.
        #expect(try cluster.kept(1) == [1, 1, 1])
        #expect(cluster[0].replica.vector == cluster[1].replica.vector)
        try expectSound(cluster)

        #expect(try cluster.collect(1) == 1)
        #expect(try cluster.kept(1) == [0, 0, 0])
        try expectSound(cluster)
        #expect(try cluster.collect(0) == 0)
    }

    @Test func theFloorIsKeptInTheFile() throws {
        let cluster = try deleted(2, seenBy: [1])
        try cluster.collect(0)
        let opened = try cluster.open(cluster[0].path)
        #expect(!opened.floor.isEmpty)
        #expect(opened.floor == cluster[0].replica.floor)
    }

    // MARK: The three clauses

    /// d ∈ K[m] for every m.
    @Test func whoHasNotSeenTheDeleteHoldsItBack() throws {
        let cluster = try deleted(3, seenBy: [1])
        #expect(try cluster.collect(0) == 0)
        #expect(try cluster.collect(1) == 0)

        try cluster.send(0, 2)
        // What counts is what it said, not what it has.
        #expect(try cluster.collect(0) == 0)
        try cluster.state(2, 0)
        #expect(try cluster.collect(0) == 1)
        #expect(try cluster.collect(1) == 0)
        try expectSound(cluster)
    }

    @Test func whoNeverSaidAnythingHoldsItBack() throws {
        let cluster = try deleted(2, seenBy: [1])
        let replica = cluster[0].replica
        #expect(
            try replica.collect(
                StabilityGroup(writers: ["n1", "n2"], readers: [], removals: VersionVector())
            ).rows
                == 0)
        #expect(
            try replica.collect(
                StabilityGroup(writers: ["n1"], readers: [], removals: VersionVector())
            ).rows == 1)
    }

    /// K[m] ≤ the own vector: member 1 has seen the delete, and before that changed the row.
    @Test func aChangeStillToComeHoldsItBack() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[1].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        try cluster[0].app.execute("DELETE FROM tasks")
        try cluster[1].app.execute("UPDATE tasks SET title = 'mine'")
        try cluster.send(0, 1)
        try cluster.stateAll()
        #expect(try cluster.collect(0) == 0)

        // The whole row comes back, and not a husk of one column.
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title, done, note FROM tasks")
                    == [[.string("mine"), .integer(0), .string("n")]])
        }
        try expectSound(cluster)
    }

    /// The same clause for a change that has nothing to do with the row: the vector is one.
    @Test func whoIsBehindAMemberCollectsNothing() throws {
        let cluster = try deleted(2, seenBy: [1])
        try cluster[1].app.execute("INSERT INTO tasks VALUES('b','two',0,'n')")
        try cluster.state(1, 0)
        #expect(try cluster.collect(0) == 0)
        try cluster.send(1, 0)
        #expect(try cluster.collect(0) == 1)
        try cluster.converge()
        try expectSound(cluster)
    }

    /// Of a reader nothing is taken: what it has and others have not is not awaited. Its K[m] counts.
    @Test func aReaderHoldsItBackOnlyUntilItHasSeenTheDelete() throws {
        let cluster = try deleted(2, seenBy: [])
        let replica = cluster[0].replica
        func collect(removals: VersionVector = VersionVector()) throws -> Int {
            try replica.collect(StabilityGroup(writers: [], readers: ["n1"], removals: removals))
                .rows
        }
        try cluster[1].app.execute("INSERT INTO tasks VALUES('own','two',0,'n')")
        try cluster.state(1, 0)
        #expect(try collect() == 0)
        try cluster.send(0, 1)
        try cluster.state(1, 0)
        #expect(try cluster.collect(0) == 0)
        let beyond = VersionVector([(replica.origin, replica.vector[replica.origin] + 1)])
        #expect(try collect(removals: beyond) == 0)
        #expect(try collect() == 1)
    }

    /// K[m] covers every removal of a member.
    @Test func whoHasNotSeenARemovalHoldsItBack() throws {
        let cluster = try deleted(3, seenBy: [1])
        // Member 0 removes member 2: some change of its own says so.
        try cluster[0].app.execute("INSERT INTO tasks VALUES('removal of 2','',0,'')")
        let vector = try cluster[0].replica.summary().vector
        let removals = VersionVector([
            (cluster[0].replica.origin, vector[cluster[0].replica.origin])
        ])
        #expect(try cluster.collect(0, others: [1], removals: removals) == 0)

        try cluster.send(0, 1)
        try cluster.state(1, 0)
        #expect(try cluster.collect(0, others: [1], removals: removals) == 1)
        // A removal that is known to be there, but not what it came with.
        let beyond = VersionVector([
            (cluster[0].replica.origin, vector[cluster[0].replica.origin] + 1)
        ])
        #expect(try cluster.collect(1, others: [0], removals: beyond) == 0)
    }

    // MARK: Rows that must stay

    @Test func aRowThatAnUpdateKeepsHiddenStaysUntilThatIsDismissed() throws {
        let cluster = try Cluster(2)
        for member in cluster.members {
            try member.app.execute(tasks)
            _ = try member.replica.track(["tasks"], policy: .deleteWins)
        }
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        try cluster[0].app.execute("UPDATE tasks SET title = 'kept'")
        try cluster[1].app.execute("DELETE FROM tasks")
        try cluster.converge()
        try cluster.stateAll()
        #expect(try cluster.rows(0, "SELECT * FROM tasks").isEmpty)
        #expect(try cluster.collect(0) == 0)
        let item = try #require(try cluster[0].replica.conflicts().first)

        try cluster[1].replica.dismissConflict(item.id)
        try cluster.converge()
        try cluster.stateAll()
        #expect(try cluster.collect(0) == 1)
        #expect(try cluster.collect(1) == 1)
        try expectSound(cluster)
    }

    @Test func aRowThatIsReceivedHalfStays() throws {
        let cluster = try deleted(2, seenBy: [1])
        // A whole delta again, from a newer snapshot, whose end does not come.
        try cluster[1].app.execute("INSERT INTO tasks VALUES('b','two',0,'n')")
        let sender = cluster[1].replica
        let delta = try #require(try sender.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        while let chunk = try delta.next() {
            _ = try cluster[0].replica.apply(chunk, of: delta.header)
        }
        // All of its dots are in the vector, and it has seen more than that.
        #expect(try cluster.dots(0).contains { !cluster[0].replica.vector.contains($0) })
        #expect(try cluster.collect(0, others: []) == 0)
        #expect(
            try cluster[0].replica.deletedRowFacts(
                StabilityGroup(writers: [], readers: [], removals: .init())
            ).rows
                == 1)

        _ = try cluster[0].replica.finish(delta.header)
        #expect(try cluster.collect(0, others: []) == 1)
        #expect(try cluster[0].replica.verify() == [])
    }

    @Test func aDeleteThatIsReceivedHalfStays() throws {
        let cluster = try deleted(2, seenBy: [])
        let delta = try #require(
            try cluster[0].replica.openDelta(base: cluster[1].replica.vector, resume: nil))
        defer { delta.close() }
        let chunk = try #require(try delta.next())
        _ = try cluster[1].replica.apply(chunk, of: delta.header)
        #expect(try cluster.rows(1, "SELECT * FROM tasks").isEmpty)
        #expect(try cluster.collect(1, others: []) == 0)
        #expect(try cluster.kept(1)[2] == 1)
        _ = try cluster[1].replica.finish(delta.header)
        #expect(try cluster.collect(1, others: []) == 1)
    }

    /// An older file was put back, and a delete that it forgot lies half received: it is issued again,
    /// and still sees what no vector will cover.
    @Test func aDeleteThatIsIssuedAgainStays() throws {
        let cluster = try deleted(2, seenBy: [])
        let lost = cluster[0].replica.origin
        let delta = try #require(
            try cluster[0].replica.openDelta(base: cluster[1].replica.vector, resume: nil))
        let chunk = try #require(try delta.next())
        _ = try cluster[1].replica.apply(chunk, of: delta.header)
        delta.close()
        // Member 1 plays both parts: it has half of what nobody can complete, and wrote it.
        cluster[1].replica.endedOrigins = [lost]
        #expect(try cluster[1].replica.reissueLost(except: [], unknown: []) == 1)
        #expect(try cluster.dots(1).allSatisfy(cluster[1].replica.vector.contains))
        #expect(try cluster.collect(1, others: []) == 0)
        #expect(try cluster[1].replica.verify() == [])
    }

    // MARK: Coming back

    /// Rows are shared, one deletes, the other learns it, collects, and makes the row again: the first
    /// must not keep its delete beside the new row.
    @Test func aRowMadeAgainAfterItWasCollectedReplacesTheDelete() throws {
        let cluster = try deleted(2, seenBy: [1])
        #expect(try cluster.collect(1) == 1)
        try cluster[1].app.execute("INSERT INTO tasks VALUES('a','again',1,NULL)")
        try cluster.send(1, 0)
        #expect(try cluster.dots(0) == cluster.dots(1))
        #expect(try cluster.dots(0).count == 1)
        #expect(try cluster[0].replica.conflictCount() == 0)
        #expect(try cluster.rows(0, "SELECT title FROM tasks") == [[.string("again")]])
        try expectSound(cluster)
    }

    /// Whatever comes again of what was collected stays away: the vector speaks for it.
    @Test func whatWasCollectedDoesNotComeBack() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        // Deltas of everything: before the delete, and while member 1 still holds it.
        let alive = try #require(
            try cluster[2].replica.openDelta(base: VersionVector(), resume: nil))
        defer { alive.close() }
        try cluster[0].app.execute("DELETE FROM tasks")
        try cluster.converge()
        try cluster.stateAll()
        let dead = try #require(
            try cluster[1].replica.openDelta(base: VersionVector(), resume: nil))
        defer { dead.close() }
        #expect(try cluster.collect(0) == 1)
        for delta in [alive, dead] {
            let chunk = try #require(try delta.next())
            #expect(chunk.rows == 1)
            _ = try cluster[0].replica.apply(chunk, of: delta.header)
            #expect(try cluster.kept(0) == [0, 0, 0])
            _ = try cluster[0].replica.finish(delta.header)
        }
        #expect(try cluster.rows(0, "SELECT * FROM tasks").isEmpty)
        try expectSound(cluster)
    }

    /// Who starts with nothing gets the same from one that has collected and from one that has not.
    @Test func aCopyIsTheSameFromBoth() throws {
        for source in 0..<2 {
            let cluster = try deleted(2, seenBy: [1])
            #expect(try cluster.collect(0) == 1)
            try cluster[0].app.execute("INSERT INTO tasks VALUES('b','two',0,'n')")
            try cluster.send(0, 1)
            try cluster.add("fresh", schema: tasks, track: ["tasks"])
            try cluster.send(source, 2)
            try cluster.send(1 - source, 2)
            try cluster.send(2, 0)
            try cluster.send(2, 1)
            try expectSound(cluster)
        }
    }
}
