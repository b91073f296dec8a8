// Defects that the simulator of whole nodes found, each told as the few steps it takes.

import CausalModel
import SQLite
import Store
import Testing
import Values

@Suite struct SimulatorFindingsTests {
    private let tasks = """
        CREATE TABLE tasks(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER, note TEXT)
        """

    private func expectEqual(_ cluster: Cluster) throws {
        #expect(Set(try cluster.digests()).count == 1)
        for member in cluster.members {
            #expect(try member.replica.verify() == [], "\(member.name)")
        }
        let first = try cluster.rows(0, "SELECT * FROM tasks ORDER BY id")
        #expect(try cluster.rows(1, "SELECT * FROM tasks ORDER BY id") == first)
    }

    /// Reproducer: starling-sim --seed 69 --nodes 3 --steps 150. The journal names the columns that
    /// changed before the triggers went; what a rebuild changed in the same row came under the
    /// dots of others, with values that those never had.
    @Test func whatARebuildChangesInARowThatWaitsInTheJournalIsNumbered() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        try cluster[0].app.execute(
            """
            UPDATE tasks SET note='captured';
            CREATE TABLE fresh(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER, note TEXT);
            INSERT INTO fresh SELECT * FROM tasks;
            UPDATE fresh SET title='changed', done=7;
            DROP TABLE tasks; ALTER TABLE fresh RENAME TO tasks;
            """)
        try cluster.converge()
        #expect(
            try cluster.rows(1, "SELECT title, done, note FROM tasks")
                == [[.string("changed"), .integer(7), .string("captured")]])
        try expectEqual(cluster)
    }

    /// The triggers were there all the time while a column was added: only what changed is numbered.
    @Test func aColumnAddedLateDoesNotClaimTheOthers() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        try cluster[1].app.execute("UPDATE tasks SET title='theirs'")
        cluster.clock.milliseconds += 5_000
        try cluster[0].app.execute("UPDATE tasks SET note='mine'; ALTER TABLE tasks ADD COLUMN e")
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title, note FROM tasks")
                    == [[.string("theirs"), .string("mine")]])
            #expect(try cluster[member].replica.conflicts().isEmpty)
        }
    }

    /// Reproducer: starling-sim --seed 197 --nodes 5 --steps 200. A row was deleted, made again and
    /// deleted in a later second before the node looked: the values of the fleeting row came under
    /// the dots of the one before, and an update by a peer brought back a row nobody had.
    @Test func aFleetingRowLeavesTheValuesOfTheOneBefore() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',1,'n')")
        try cluster.converge()
        try cluster[0].app.execute(
            """
            DELETE FROM tasks;
            UPDATE _starling_journal_1 SET at = at - 1;
            INSERT INTO tasks VALUES('a','fleeting',2,'f');
            DELETE FROM tasks;
            UPDATE _starling_journal_1 SET at = (SELECT max(at) FROM _starling_journal_1)
            WHERE seq > (SELECT min(seq) FROM _starling_journal_1)
            """)
        try cluster[1].app.execute("UPDATE tasks SET note='theirs'")
        try cluster.converge()
        for member in 0..<2 {
            #expect(
                try cluster.rows(member, "SELECT title, done, note FROM tasks")
                    == [[.string("one"), .integer(1), .string("theirs")]])
        }
        try expectEqual(cluster)
    }

    /// Reproducer: starling-sim --seed 1378 --nodes 3 --steps 477. Two tables were rebuilt while no
    /// node ran: looking at the first folded the journal of the second, too, which did not say
    /// what its rebuild had changed.
    @Test func twoTablesRebuiltAtOnceAreBothCompared() throws {
        let schema = tasks + "; " + tasks.replacing("tasks", with: "notes")
        let cluster = try Cluster(2, schema: schema, track: ["tasks", "notes"])
        for table in ["tasks", "notes"] {
            try cluster[0].app.execute("INSERT INTO \(table) VALUES('a','one',0,'n')")
        }
        try cluster.converge()
        for table in ["tasks", "notes"] {
            let create = tasks.replacing("tasks", with: "fresh")
            try cluster[0].app.execute(
                """
                UPDATE \(table) SET note='captured';
                \(create);
                INSERT INTO fresh SELECT * FROM \(table);
                UPDATE fresh SET title='changed', done=7;
                DROP TABLE \(table); ALTER TABLE fresh RENAME TO \(table);
                """)
        }
        try cluster.converge()
        for table in ["tasks", "notes"] {
            #expect(
                try cluster.rows(1, "SELECT title, done, note FROM \(table)")
                    == [[.string("changed"), .integer(7), .string("captured")]])
        }
        try expectEqual(cluster)
    }

    /// Reproducer: starling-sim --seed 1071 --nodes 2 --steps 149. Opening a file that was restored
    /// and rebuilt folded before anyone had looked at the marker: the numbers of its lost
    /// changes were given out again.
    @Test func openingAFileNumbersNothing() throws {
        let cluster = try Cluster(1, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster[0].replica.fold()
        let vector = cluster[0].replica.vector
        try cluster[0].app.execute(
            """
            UPDATE tasks SET note='later';
            CREATE TABLE fresh(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER, note TEXT);
            INSERT INTO fresh SELECT * FROM tasks;
            DROP TABLE tasks; ALTER TABLE fresh RENAME TO tasks;
            """)
        let opened = try cluster.open(cluster[0].path)
        #expect(opened.vector == vector)
        try opened.takeNewOrigin(because: "the marker says so")
        try opened.lookAtSchema()
        #expect(opened.vector[cluster[0].replica.origin] == vector[cluster[0].replica.origin])
        #expect(opened.vector[opened.origin] > 0)
    }

    /// Reproducer: starling-sim --seed 7009793 --nodes 2 --steps 2. A rebuild changed a row, and a peer
    /// asked before the scan came to it: the row's old dot went out with the new value.
    @Test func noDotIsSentWithTheValueOfALaterChange() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n'),('b','two',0,NULL)")
        try cluster[0].app.execute(
            """
            CREATE TABLE fresh(id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER, note TEXT);
            """)
        _ = try cluster[0].replica.summary()
        try cluster[0].app.execute(
            """
            INSERT INTO fresh SELECT id, title, 9, note FROM tasks;
            DROP TABLE tasks; ALTER TABLE fresh RENAME TO tasks;
            """)
        #expect(throws: StoreError(.busy, "")) {
            try cluster[0].replica.openDelta(base: VersionVector(), resume: nil)
        }
        try cluster[0].replica.finishScans()
        try cluster.converge()
        #expect(
            try cluster.rows(1, "SELECT done FROM tasks")
                == [[.integer(9)], [.integer(9)]])
        try expectEqual(cluster)
    }

    /// Tracking a table for the first time holds nothing up: what is numbered can go.
    @Test func firstScanHoldsNothingUp() throws {
        let cluster = try Cluster(2, schema: tasks, track: [])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n'),('b','two',0,NULL)")
        let replica = cluster[0].replica
        replica.bounds.scanRowsMax = 1
        _ = try replica.track(["tasks"])
        _ = try replica.scanSlice()
        #expect(replica.isScanning)
        let delta = try #require(try replica.openDelta(base: VersionVector(), resume: nil))
        #expect(delta.header.rows >= 1)
        delta.close()
    }

    /// Reproducer: starling-sim --seed 9600282 --nodes 3 --steps 241. Between two parts of a copy its
    /// receiver was not listed, and the source collected a row that had been sent: no later part names it.
    @Test func aCopyBeginsAnewWhenItsSourceHasCollectedMeanwhile() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        let (source, newcomer) = (cluster[0].replica, cluster[1].replica)
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n'),('b','two',0,'n')")
        try source.fold()
        source.bounds.chunkRowsMax = 1
        try newcomer.beginJoining(because: "it was let in")
        let first = try #require(try source.openDelta(base: VersionVector(), resume: nil))
        _ = try newcomer.apply(try #require(try first.next()), of: first.header)
        first.close()

        try cluster[0].app.execute("DELETE FROM tasks WHERE id='a'")
        try source.fold()
        #expect(try cluster.collect(0, others: []) == 1)

        let point = try #require(try newcomer.resumePoint(from: source.origin))
        let second = try #require(try source.openDelta(base: point.base, resume: point))
        while let chunk = try second.next() { _ = try newcomer.apply(chunk, of: second.header) }
        _ = try newcomer.finish(second.header)
        second.close()
        try newcomer.settleJoining()
        #expect(newcomer.vector == source.vector)
        try expectEqual(cluster)
    }

    /// Reproducer: starling-sim --seed 9900982 --nodes 3 --steps 274. A replica that took a copy did not know
    /// what the copy's source had collected, and met one that had not seen those deletes as an equal.
    @Test(arguments: [false, true])
    func whoTakesACopyIsBoundByTheFloorOfItsSource(isInterrupted: Bool) throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n'),('b','two',0,'n')")
        try cluster.converge()
        let (source, late) = (cluster[0].replica, cluster[1].replica)
        try cluster[0].app.execute("DELETE FROM tasks WHERE id='a'")
        try source.fold()
        #expect(try cluster.collect(0, others: []) == 1)

        try late.beginJoining(because: "it was away")
        let delta = try #require(try source.openDelta(base: VersionVector(), resume: nil))
        while let chunk = try delta.next() { _ = try late.apply(chunk, of: delta.header) }
        _ = try late.finish(delta.header)
        delta.close()
        if isInterrupted { cluster[1].replica = try cluster.open(cluster[1].path) }
        try cluster[1].replica.settleJoining()

        #expect(!source.floor.isEmpty)
        #expect(try cluster[1].replica.summary().floor == source.floor)
        let third = try cluster[2].replica.summary()
        #expect(!third.vector.covers(cluster[1].replica.floor))
    }

    /// A copy that claims to lack what it has not seen is refused: its receiver would call all others out
    /// of date.
    @Test func aFloorBeyondTheCopyIsRefused() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        let (source, late) = (cluster[0].replica, cluster[1].replica)
        try source.fold()
        try late.beginJoining(because: "it was let in")
        let delta = try #require(try source.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        while let chunk = try delta.next() { _ = try late.apply(chunk, of: delta.header) }
        var header = delta.header
        header.floor[source.origin] = header.snapshot[source.origin] + 1
        #expect(throws: StoreError(.invalidDelta, "")) { try late.finish(header) }
        #expect(late.isJoining)
        #expect(late.floor.isEmpty)
    }

    /// Reproducer: starling-sim --seed 9950643 --nodes 3 --steps 317. A replica had once inserted its row of
    /// the list anew, which hid the word that it has joined: it took one copy after the other.
    @Test func whatAReplicaInsertedAnewDoesNotHideTheWordOfItsCopy() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        let (source, late) = (cluster[0].replica, cluster[1].replica)
        late.copiedColumn = ("tasks", "note")
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'old')")
        try cluster.converge()
        cluster.clock.milliseconds += 60_000
        try cluster[1].app.execute("DELETE FROM tasks; INSERT INTO tasks VALUES('a','anew',1,NULL)")
        try late.fold()
        late.endedOrigins = [late.origin]
        try late.beginJoining(because: "it was away")
        cluster.clock.milliseconds += 60_000
        try cluster[0].app.execute("UPDATE tasks SET note = 'joined' WHERE id = 'a'")
        try cluster.send(0, 1)
        try late.settleJoining()
        #expect(try cluster.rows(1, "SELECT note FROM tasks") == [[.string("joined")]])
        try cluster.converge()
        try expectEqual(cluster)
        #expect(source.vector == late.vector)
    }

    /// A kill loop on processes, seed 9943: a restarted node took its copy from one that did not have yet
    /// what a third had sent it. The third's deletes had not seen what was issued again of that.
    @Test func whatOnlyTheCopysSourceLacksIsNotIssuedAgain() throws {
        let cluster = try Cluster(3, schema: tasks, track: ["tasks"])
        try cluster[2].app.execute("INSERT INTO tasks VALUES('a','one',0,'n')")
        try cluster.converge()
        // The third's newer rows reach the first alone.
        try cluster[2].app.execute(
            "INSERT INTO tasks VALUES('b','two',0,'n'),('c','three',0,'n'),('d','four',0,'n')")
        try cluster[2].replica.fold()
        try cluster[2].app.execute(
            "UPDATE tasks SET done = 1 WHERE id = 'a'; UPDATE tasks SET note = 'told' WHERE id = 'd'"
        )
        try cluster.send(2, 0)

        cluster[0].replica.activeOrigins = [cluster[1].replica.origin, cluster[2].replica.origin]
        try cluster[0].replica.beginJoining(because: "a test")
        try cluster[0].app.execute("UPDATE tasks SET note = 'mine' WHERE id = 'c'")
        try cluster.send(1, 0)
        try cluster[0].replica.settleJoining()
        #expect(!cluster[0].replica.isJoining)
        #expect(try cluster.rows(0, "SELECT count(*) FROM tasks") == [[.integer(4)]])

        // What stays half received has seen what it had seen: seed 9732540.
        try cluster[0].app.execute("UPDATE tasks SET note = 'mine' WHERE id = 'd'")
        try cluster.send(2, 0)
        #expect(try cluster[0].replica.conflicts().isEmpty)

        try cluster[2].app.execute("DELETE FROM tasks WHERE id < 'c'")
        try cluster.converge()
        for member in 0..<3 {
            #expect(
                try cluster.rows(member, "SELECT id, note FROM tasks ORDER BY id")
                    == [[.string("c"), .string("mine")], [.string("d"), .string("mine")]],
                "member \(member)")
        }
        try expectEqual(cluster)
    }

    /// Reproducer: starling-sim --seed 10010066 --nodes 5 --steps 357. A program gave one row the number of
    /// another: the row that went left no entry in the journal, and what peers said of it then was joined
    /// with values that were not there any more.
    @Test func aRowThatIsPushedOutByANumberAloneIsGone() throws {
        let cluster = try Cluster(2, schema: tasks, track: ["tasks"])
        try cluster[0].app.execute("INSERT INTO tasks VALUES('a','one',0,'n'),('b','two',0,'n')")
        try cluster.converge()
        try cluster[0].app.execute(
            "UPDATE OR REPLACE tasks SET rowid = (SELECT rowid FROM tasks WHERE id = 'a') "
                + "WHERE id = 'b'")
        #expect(try cluster[0].replica.journalCount() == 1)
        // A peer's change of the row comes before anything else is written.
        try cluster[1].app.execute("UPDATE tasks SET note = 'told' WHERE id = 'a'")
        try cluster.send(1, 0)
        #expect(
            try cluster.rows(0, "SELECT id, title, note FROM tasks ORDER BY id")
                == [
                    [.string("a"), .string("one"), .string("told")],
                    [.string("b"), .string("two"), .string("n")],
                ])
        try cluster.converge()
        try cluster[0].app.execute(
            "UPDATE OR REPLACE tasks SET rowid = (SELECT rowid FROM tasks WHERE id = 'a') "
                + "WHERE id = 'b'")
        try cluster.converge()
        #expect(try cluster.rows(1, "SELECT id FROM tasks") == [[.string("b")]])
        // What was not pushed out after all waits for nothing.
        try cluster[0].app.execute("UPDATE OR IGNORE tasks SET rowid = 1; SELECT 1")
        #expect(try cluster[0].replica.journalCount() == 0)
        try expectEqual(cluster)
    }
}
