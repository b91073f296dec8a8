// Wrong designs must be caught: each variant by a directed scenario that the right design passes,
// and most of them at random within a bounded number of runs.

import CausalModel
import TestKit
import Testing

@Suite struct CanaryTests {
    struct Scenario: Sendable {
        var variant: OracleVariant
        var replicas = 2
        var founders: Int?
        var steps: [OracleStep]

        init(
            _ variant: OracleVariant, replicas: Int = 2, founders: Int? = nil,
            _ steps: [OracleStep]
        ) {
            self.variant = variant
            self.replicas = replicas
            self.founders = founders
            self.steps = steps
        }
    }

    /// For each variant the scenario that shows what is wrong with it.
    static let scenarios = joins + transfers + collections + memberships

    static let joins = [
        Scenario(
            .receiverVectorNotCounted,
            [.insert(0), .sync(0, 1), .delete(1), .insert(1), .update(0), .sync(0, 1)]),
        Scenario(
            .senderVectorNotCounted,
            [.insert(0), .sync(0, 1), .delete(1), .insert(1), .sync(1, 0)]),
        Scenario(
            .snapshotVectorForgotten,
            [.insert(1), .delete(1), .open(1, 0), .chunk(1, 0), .insert(0), .sync(0, 1)]),
        Scenario(
            .currentVectorAsContext,
            [.insert(0), .open(0, 1), .delete(0), .chunk(0, 1), .end(0, 1), .sync(0, 1)]),
        Scenario(
            .joinKeepsEverything, [.insert(0), .sync(0, 1), .delete(0), .insert(0), .sync(0, 1)]),
        Scenario(
            .stampNotAboveRow, [.insert(0, at: 40), .sync(0, 1), .update(1, value: 1, at: 4)]),
        Scenario(.reinsertLeavesDefaults, [.insert(0), .delete(0), .insert(0)]),
    ]

    static let transfers = [
        Scenario(.deltaByCellDotsOnly, [.insert(0), .sync(0, 1), .delete(0), .sync(0, 1)]),
        Scenario(
            .halfReceivedNotOffered, replicas: 3,
            [
                .insert(1), .sync(1, 0), .delete(1), .insert(1), .open(1, 0), .chunk(1, 0),
                .sync(0, 2),
            ]),
        Scenario(
            .endAnnouncesHalfReceived, replicas: 3,
            [.insert(1, row: 0), .insert(1, row: 1), .open(1, 0), .chunk(1, 0), .sync(0, 2)]),
        Scenario(
            .valuesLeftOutByContext, replicas: 3,
            [.insert(1), .open(1, 0), .chunk(1, 0), .sync(0, 2)]),
        Scenario(.deltaBelowBaseTaken, [.insert(0), .open(from: 0, to: 1, base: 0), .end(0, 1)]),
        Scenario(
            .resumeWithoutLookingAgain,
            [
                .insert(0, row: 0), .insert(0, row: 1), .open(0, 1), .chunk(0, 1), .cut(0, 1),
                .update(0, row: 0), .sync(0, 1),
            ]),
        Scenario(.vectorMovedAtStart, [.insert(0), .open(0, 1)]),
        Scenario(
            .vectorMovedWithEachChunk,
            [.insert(0, row: 0), .insert(0, row: 1), .open(0, 1), .chunk(0, 1)]),
        Scenario(
            .positionKeptBySender,
            [.insert(1), .open(1, 0), .chunk(1, 0), .crash(replica: 0), .sync(1, 0)]),
        Scenario(
            .sentBeforeDurable,
            [.insert(0), .sync(0, 1), .crash(replica: 0), .insert(0, value: 2), .sync(0, 1)]),
    ]

    static let collections = [
        Scenario(
            .contextsOnly,
            [
                .insert(0), .sync(0, 1), .delete(0), .sync(0, 1), .collect(replica: 1), .insert(1),
                .sync(1, 0),
            ]),
        Scenario(
            .collectedWithoutWholeVector,
            [
                .insert(1), .sync(1, 0), .delete(0), .update(1), .sync(0, 1), .sync(0, 1),
                .collect(replica: 0),
            ]),
        Scenario(
            .hiddenRowsCollected,
            [
                .insert(0), .sync(0, 1), .update(0), .delete(1), .sync(0, 1), .sync(1, 0),
                .sync(0, 1), .collect(replica: 1),
            ]),
    ]

    /// A row is shared and deleted; replica 2 sees neither the delete nor its own eviction; then the
    /// row is collected.
    static let evicted: [OracleStep] = [
        .insert(0), .sync(0, 1), .sync(0, 2), .delete(0), .remove(0, 2), .sync(0, 1), .sync(0, 1),
        .collect(replica: 0),
    ]

    static let memberships = [
        Scenario(
            .joinAfterCopy, replicas: 3, founders: 2,
            [
                .insert(0), .sync(0, 1), .join(0, 2), .open(0, 2), .chunk(0, 2), .cut(0, 2),
                .delete(1), .sync(1, 0), .sync(0, 1), .sync(1, 0), .collect(replica: 0),
                .sync(0, 2),
            ]),
        Scenario(
            .newcomerWritesBeforeEnd, replicas: 3, founders: 2,
            [
                .insert(0), .sync(0, 1), .delete(0), .sync(0, 1), .join(0, 2), .open(0, 2),
                .collect(replica: 1), .insert(2), .chunk(0, 2), .end(0, 2), .sync(0, 1),
                .sync(2, 1),
            ]),
        Scenario(.copyJoinedOverOldRows, replicas: 3, evicted + [.join(0, 2), .sync(0, 2)]),
        Scenario(.floorNotChecked, replicas: 3, evicted + [.sync(0, 2)]),
    ]

    @Test func everyVariantHasAScenario() {
        #expect(Set(Self.scenarios.map(\.variant)) == Set(OracleVariant.allCases))
    }

    @Test(arguments: scenarios.map(\.variant))
    func scenarioCatchesTheVariant(_ variant: OracleVariant) throws {
        let scenario = try #require(Self.scenarios.first { $0.variant == variant })
        let policy: PresencePolicy = variant == .hiddenRowsCollected ? .deleteWins : .addWins
        var shape = OracleCluster.Shape(
            replicas: scenario.replicas, founders: scenario.founders, rows: 2, policy: policy)
        #expect(OracleRun.replay(scenario.steps, shape) == nil)

        shape.variant = variant
        #expect(OracleRun.replay(scenario.steps, shape) != nil)
    }

    /// Fewer than this many in 1,000 runs fail: random runs alone are no check of these.
    static let rare: Set<OracleVariant> = [
        .halfReceivedNotOffered, .contextsOnly, .positionKeptBySender,
        .collectedWithoutWholeVector, .hiddenRowsCollected, .sentBeforeDurable,
        // Members do not change in these runs.
        .joinAfterCopy, .newcomerWritesBeforeEnd, .copyJoinedOverOldRows, .floorNotChecked,
    ]

    @Test(arguments: OracleVariant.allCases.filter { !rare.contains($0) })
    func randomRunsCatchTheVariant(_ variant: OracleVariant) {
        let caught = (0..<UInt64(1_000)).contains { seed in
            let policy: PresencePolicy = seed % 2 == 0 ? .addWins : .deleteWins
            return OracleRun.random(seed: seed, policy: policy, variant: variant) != nil
        }

        #expect(caught)
    }
}
