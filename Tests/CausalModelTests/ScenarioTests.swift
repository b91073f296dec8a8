// Where designs of this kind have gone wrong elsewhere, one short history each. Every step is judged
// by the oracle; the expectations say in plain words what must be seen.

import CausalModel
import TestKit
import Testing
import Values

@Suite struct ScenarioTests {
    private let three = OracleCluster.Shape(replicas: 3)
    private let deleteWins = OracleCluster.Shape(policy: .deleteWins)

    private func integer(_ value: Int64) -> Value { .integer(value) }

    /// "Present on both sides, so keep" brought removed elements back in Riak's sets and maps.
    @Test func whatWasRemovedStaysRemoved() throws {
        let cluster = try OracleCluster.after(
            [.insert(0), .sync(0, 1), .sync(0, 2), .delete(0), .sync(0, 1), .sync(2, 1)], three)

        #expect(!cluster.isVisible(1, 0))
        #expect(!(try cluster.healed().isVisible(2, 0)))
    }

    /// Ties break on the origin's bytes, never on a local number.
    @Test func tiesBreakAlikeEverywhere() throws {
        let cluster = try OracleCluster.after(
            [
                .insert(0), .sync(0, 1), .sync(0, 2), .update(0, value: 1, at: 9),
                .update(1, value: 2, at: 9), .update(2, value: 3, at: 9),
            ], three)
        let greatest = try #require(
            cluster.replicas.indices.max {
                cluster.replicas[$0].origin < cluster.replicas[$1].origin
            })
        let healed = try cluster.healed()

        for replica in 0..<3 {
            #expect(healed.kernel(replica).shown(0) == integer(Int64(greatest + 1)))
        }
    }

    /// A broken transfer leaves the vector where it was, and nothing is missing afterwards.
    @Test func aBrokenTransferLeavesNoHole() throws {
        let shape = OracleCluster.Shape(rows: 3)
        let cluster = try OracleCluster.after(
            [
                .insert(0, row: 0), .insert(0, row: 1), .insert(0, row: 2), .open(0, 1),
                .chunk(0, 1), .cut(0, 1),
            ], shape)
        #expect(cluster.replicas[1].vector.isEmpty)
        #expect(!cluster.replicas[1].isWhole)

        let healed = try cluster.healed()
        #expect(healed.replicas[1].isWhole)
        #expect((0..<3).allSatisfy { healed.isVisible(1, $0) })
    }

    /// A resumed transfer goes on after the rows that came, unless they have changed since.
    @Test func aResumedTransferSendsOnlyWhatIsMissing() throws {
        let shape = OracleCluster.Shape(rows: 3)
        let broken: [OracleStep] = [
            .insert(0, row: 0), .insert(0, row: 1), .insert(0, row: 2), .open(0, 1), .chunk(0, 1),
            .chunk(0, 1), .cut(0, 1),
        ]
        let resumed = try OracleCluster.after(broken + [.open(0, 1)], shape)
        #expect(resumed.deltas[1]?.rows.map(\.row) == [2])

        let changed = try OracleCluster.after(broken + [.update(0, row: 0), .open(0, 1)], shape)
        #expect(changed.deltas[1]?.rows.map(\.row) == [0, 2])
    }

    /// A delete that comes before the insert it removes, from a third replica.
    @Test func aDeleteBeforeItsInsertStillRemovesIt() throws {
        let cluster = try OracleCluster.after(
            [
                .insert(0), .sync(0, 1), .delete(1), .open(1, 2), .chunk(1, 2), .cut(1, 2),
                .sync(0, 2),
            ], three)

        #expect(!cluster.isVisible(2, 0))
    }

    /// The vector speaks for a row that was collected.
    @Test func aCollectedRowDoesNotComeBackBesideItsSuccessor() throws {
        let cluster = try OracleCluster.after([
            .insert(0), .sync(0, 1), .delete(0), .sync(0, 1), .collect(replica: 1),
            .insert(1, value: 2), .sync(1, 0),
        ])

        #expect(cluster.kernel(0).writes.count == 1)
        #expect(cluster.kernel(0).conflicts.isEmpty)
    }

    /// Reproducer: seed 7073652. Collecting is undone with the power that it was done on, and what is
    /// written then is concurrent to the delete.
    @Test func aCollectionThatWasNotDurableNeverHappened() throws {
        let cluster = try OracleCluster.after([
            .insert(1), .sync(1, 0), .delete(1), .sync(1, 0), .collect(replica: 0),
            .crash(replica: 0), .update(0, value: 3), .sync(1, 0),
        ])

        #expect(cluster.kernel(0).conflicts == [.presence])
    }

    @Test func aRowIsNotCollectedBeforeEveryoneSaidThatTheyHaveItsDelete() throws {
        let steps: [OracleStep] = [.insert(0), .sync(0, 1), .sync(0, 2), .delete(0), .sync(0, 1)]
        var cluster = try OracleCluster.after(steps, three)

        let collected = (0..<3).filter { cluster.perform(.collect(replica: $0)) }

        #expect(collected == [])
        #expect(cluster.failure == nil)
    }

    /// A re-insert stamps every column: an old value that comes late does not leak into it.
    @Test func aReinsertHidesOldValues() throws {
        let shape = OracleCluster.Shape(knownColumns: [2, 1])
        let cluster = try OracleCluster.after(
            [
                .insert(0), .sync(0, 1), .update(0, columns: 2, value: 2), .delete(1),
                .insert(1, value: 3, at: 9), .sync(0, 1),
            ], shape)

        // The writer of the re-insert does not know column 1: it shows its default.
        #expect(cluster.kernel(1).shown(1) == nil)
        #expect(cluster.kernel(1).shown(0) == integer(3))
    }

    /// What a replica does not know yet it keeps and hands on.
    @Test func unknownColumnsSurviveWritersThatDoNotKnowThem() throws {
        let shape = OracleCluster.Shape(replicas: 3, knownColumns: [2, 1, 2])
        let cluster = try OracleCluster.after(
            [.insert(0, value: 1), .sync(0, 1), .update(1, columns: 1, value: 3), .sync(1, 2)],
            shape)

        #expect(cluster.kernel(2).shown(0) == integer(3))
        #expect(cluster.kernel(2).shown(1) == integer(2))
        #expect(cluster.kernel(2).conflicts.isEmpty)
    }

    /// What saw a value beats it, whatever the clocks.
    @Test func aWriteFromTheFutureIsBeatenByWhatSawIt() throws {
        let cluster = try OracleCluster.after([
            .insert(0, at: 1 << 60), .sync(0, 1), .update(1, value: 3, at: 5), .sync(1, 0),
        ])

        #expect(cluster.kernel(0).shown(0) == integer(3))
        #expect(cluster.kernel(0).conflicts.isEmpty)
    }

    @Test func atTheCeilingReplacementNeedsNoStamp() throws {
        let ceiling = Stamp.ceiling.raw
        let cluster = try OracleCluster.after([
            .insert(0, at: ceiling), .sync(0, 1), .update(1, value: 2, at: 5), .sync(1, 0),
            .update(0, value: 3, at: 5), .sync(0, 1), .delete(1, at: 5),
            .insert(1, value: 1, at: 5),
            .sync(1, 0),
        ])

        #expect(cluster.kernel(0).greatestStamp == .ceiling)
        #expect(cluster.kernel(0).shown(0) == integer(1))
        #expect(cluster.kernel(0).writes.count == 1)
    }

    /// At the ceiling a re-insert is no younger than what it replaced: an update that saw only the
    /// replaced one is of the greater birth, and columns without a dot of that birth show defaults.
    @Test func columnsWithoutTheGreatestBirthShowDefaults() throws {
        let ceiling = Stamp.ceiling.raw
        let cluster = try OracleCluster.after(
            [
                .insert(2, at: ceiling), .sync(2, 0), .sync(2, 1), .delete(1), .insert(1, value: 2),
                .update(0, value: 3), .sync(1, 0),
            ], three)

        #expect(cluster.replicas[1].origin < cluster.replicas[2].origin)
        #expect(cluster.kernel(0).shown(0) == integer(3))
        #expect(cluster.kernel(0).shown(1) == nil)
        #expect(cluster.kernel(0).writes.contains { $0.value(1) == integer(3) })
    }

    /// An insert over a parked row saw nothing of it: both are kept, the younger is shown.
    @Test func anInsertBesideAParkedRowKeepsBoth() throws {
        let cluster = try OracleCluster.after([
            .insert(0, value: 1), .sync(0, 1), .insertBeside(1, value: 2), .sync(1, 0),
        ])
        let kernel = cluster.kernel(0)
        let elder = try #require(kernel.writes.map(\.birth).min())

        #expect(kernel.shown(0) == integer(2))
        #expect(kernel.conflicts == [.birth(elder)])
        #expect(
            kernel.values(of: elder) == [ColumnValue(0, integer(1)), ColumnValue(1, integer(2))])
    }

    /// A delete that does not know the old values leaves none behind.
    @Test func anErasingDeleteLeavesOnlyItself() throws {
        let cluster = try OracleCluster.after([.insert(0), .update(0, value: 3), .erase(0)])

        #expect(cluster.kernel(0).writes.map(\.isDelete) == [true])
        #expect(cluster.kernel(0).shownValues.isEmpty)
    }

    // MARK: The table "what happens"

    @Test func updateAgainstDelete() throws {
        let steps: [OracleStep] = [.insert(0), .sync(0, 1), .update(0, value: 3), .delete(1)]
        let added = try OracleCluster.after(steps).healed()
        let deleted = try OracleCluster.after(steps, deleteWins).healed()

        // Add-wins: whole again, not a husk.
        #expect(added.isVisible(1, 0))
        #expect(
            added.kernel(1).shownValues == [ColumnValue(0, integer(3)), ColumnValue(1, integer(1))])
        #expect(added.kernel(1).conflicts == [.presence])
        // Delete-wins: gone, the lost update reported, its values kept.
        #expect(!deleted.isVisible(0, 0))
        #expect(deleted.kernel(0).conflicts == [.presence])
        #expect(deleted.kernel(0).shown(0) == integer(3))
    }

    @Test(arguments: [PresencePolicy.addWins, .deleteWins])
    func deleteAgainstDelete(_ policy: PresencePolicy) throws {
        let shape = OracleCluster.Shape(policy: policy)
        let steps: [OracleStep] = [.insert(0), .sync(0, 1), .delete(0), .delete(1)]
        let cluster = try OracleCluster.after(steps, shape).healed()

        #expect(!cluster.isVisible(0, 0))
        #expect(cluster.kernel(0).conflicts.isEmpty)
    }

    @Test(arguments: [PresencePolicy.addWins, .deleteWins])
    func insertAgainstInsert(_ policy: PresencePolicy) throws {
        let shape = OracleCluster.Shape(policy: policy)
        let steps: [OracleStep] = [.insert(0, value: 1, at: 5), .insert(1, value: 2, at: 4)]
        let cluster = try OracleCluster.after(steps, shape).healed()
        let kernel = cluster.kernel(1)
        let elder = Birth(Stamp(raw: 4), cluster.replicas[1].origin)

        #expect(kernel.shownValues == [ColumnValue(0, integer(1)), ColumnValue(1, integer(2))])
        #expect(kernel.conflicts == [.birth(elder)])
        #expect(
            kernel.values(of: elder) == [ColumnValue(0, integer(2)), ColumnValue(1, integer(3))])
    }

    @Test func deleteAndReinsertAgainstDelete() throws {
        let steps: [OracleStep] = [.insert(0), .sync(0, 1), .delete(0), .insert(0), .delete(1)]

        #expect(try OracleCluster.after(steps).healed().isVisible(1, 0))
        #expect(!(try OracleCluster.after(steps, deleteWins).healed().isVisible(1, 0)))
    }
}
