// Members that come, go and come back while rows are collected: who is served, who is heard, and
// what a newcomer has when its copy has ended.

import CausalModel
import TestKit
import Testing
import Values

@Suite struct MembershipTests {
    private let three = OracleCluster.Shape(replicas: 3)
    private let newcomer = OracleCluster.Shape(replicas: 3, founders: 2)

    /// What each wrong variant does, in the steps of its scenario and not when all heals.
    @Test(
        arguments: [
            (.joinAfterCopy, "covers what was not applied"),
            (.newcomerWritesBeforeEnd, "collected dots"),
            (.copyJoinedOverOldRows, "covers what was not applied"),
            (.floorNotChecked, "covers what was not applied"),
        ] as [(OracleVariant, String)])
    func theLastStepIsWhatTheOracleObjectsTo(_ variant: OracleVariant, _ message: String) throws {
        let scenario = try #require(CanaryTests.scenarios.first { $0.variant == variant })
        var cluster = OracleCluster(
            .init(
                replicas: scenario.replicas, founders: scenario.founders, rows: 2,
                variant: variant))
        for step in scenario.steps.dropLast() { cluster.perform(step) }
        #expect(cluster.failure == nil)

        cluster.perform(try #require(scenario.steps.last))

        #expect(cluster.failure?.message.contains(message) == true)
    }

    @Test func aPeerBelowTheFloorIsRefusedUntilItRejoins() throws {
        var cluster = try OracleCluster.after(
            CanaryTests.evicted.dropLast() + [.update(2, value: 3), .collect(replica: 0)], three)
        let former = cluster.replicas[2].origin
        let floor = cluster.replicas[0].floor
        #expect(!floor.isEmpty)
        #expect(!cluster.replicas[2].vector.covers(floor))

        for step in [.sync(0, 2), .sync(2, 0), .open(2, 0)] as [OracleStep] {
            let happened = cluster.perform(step)
            #expect(!happened)
        }
        #expect(cluster.isVisible(2, 0))

        for step in [.join(0, 2), .sync(0, 2), .insert(2, value: 2), .sync(0, 1), .sync(2, 1)]
            as [OracleStep]
        {
            let happened = cluster.perform(step)
            #expect(happened, "\(step)")
        }
        #expect(cluster.failure == nil)
        #expect(cluster.replicas[2].origin != former)
        #expect(cluster.replicas[2].floor == floor)
        #expect(cluster.kernel(1).writes.map(\.dot.origin) == [cluster.replicas[2].origin])
        #expect(try cluster.healed().isVisible(0, 0))
    }

    @Test func aNewcomerNumbersNothingBeforeItsCopyEnded() throws {
        var cluster = try OracleCluster.after(
            [.insert(0), .join(0, 2), .open(0, 2), .chunk(0, 2)], newcomer)
        var happened = cluster.perform(.update(2, value: 3))
        #expect(!happened)
        happened = cluster.perform(.sync(2, 1))
        #expect(!happened)

        happened = cluster.perform(.end(0, 2)) && cluster.perform(.update(2, value: 3))
        #expect(happened)
        #expect(try cluster.healed().kernel(1).shown(0) == .integer(3))
    }

    /// Between its JOIN and its first statement nothing is collected without it.
    @Test func aNewcomerCountsFromItsJoin() throws {
        let shared: [OracleStep] = [.insert(0), .sync(0, 1), .join(0, 2), .open(0, 2)]
        let deleted: [OracleStep] = [.delete(1), .sync(1, 0), .sync(0, 1), .sync(1, 0)]
        var cluster = try OracleCluster.after(shared + deleted, newcomer)
        for replica in 0..<3 {
            let happened = cluster.perform(.collect(replica: replica))
            #expect(!happened)
        }

        let caughtUp: [OracleStep] = [
            .cut(0, 2), .sync(0, 2), .sync(0, 1), .sync(2, 0), .sync(1, 0), .collect(replica: 0),
        ]
        cluster = try OracleCluster.after(shared + deleted + caughtUp, newcomer)
        #expect(cluster.kernel(0).isEmpty)
    }

    /// One that is not a member by the receiver's own list is not heard, however it came in.
    @Test func whoIsUnknownIsNotHeard() throws {
        var cluster = try OracleCluster.after(
            [.insert(0), .join(0, 2), .sync(0, 2), .update(2, value: 3)], newcomer)
        let early = cluster.perform(.sync(2, 1))
        #expect(!early)

        let late = cluster.perform(.sync(0, 1)) && cluster.perform(.sync(2, 1))
        #expect(late)
        #expect(cluster.kernel(1).shown(0) == .integer(3))
    }
}
