// Wrong designs must be caught: each variant by a directed scenario that the right design passes,
// and most of them at random within a bounded number of runs.

import CausalModel
import TestKit
import Testing

@Suite struct CanaryTests {
    /// The scenario that shows what is wrong with a variant.
    static func scenario(_ variant: OracleVariant) -> (steps: [OracleStep], replicas: Int) {
        switch variant {
        case .deltaByCellDotsOnly: ([.insert(0), .sync(0, 1), .delete(0), .sync(0, 1)], 2)
        case .receiverVectorNotCounted:
            (
                [
                    .insert(0), .sync(0, 1), .delete(1), .insert(1), .update(0), .sync(0, 1),
                ], 2
            )
        case .senderVectorNotCounted:
            ([.insert(0), .sync(0, 1), .delete(1), .insert(1), .sync(1, 0)], 2)
        case .contextsOnly:
            (
                [
                    .insert(0), .sync(0, 1), .delete(0), .sync(0, 1), .collect(replica: 1),
                    .insert(1), .sync(1, 0),
                ], 2
            )
        case .snapshotVectorForgotten:
            ([.insert(1), .delete(1), .open(1, 0), .chunk(1, 0), .insert(0), .sync(0, 1)], 2)
        case .currentVectorAsContext:
            ([.insert(0), .open(0, 1), .delete(0), .chunk(0, 1), .end(0, 1), .sync(0, 1)], 2)
        case .halfReceivedNotOffered:
            (
                [
                    .insert(1), .sync(1, 0), .delete(1), .insert(1), .open(1, 0), .chunk(1, 0),
                    .sync(0, 2),
                ], 3
            )
        case .endAnnouncesHalfReceived:
            (
                [
                    .insert(1, row: 0), .insert(1, row: 1), .open(1, 0), .chunk(1, 0), .sync(0, 2),
                ], 3
            )
        case .valuesLeftOutByContext:
            ([.insert(1), .open(1, 0), .chunk(1, 0), .sync(0, 2)], 3)
        case .deltaBelowBaseTaken: ([.insert(0), .open(from: 0, to: 1, base: 0), .end(0, 1)], 2)
        case .resumeWithoutLookingAgain:
            (
                [
                    .insert(0, row: 0), .insert(0, row: 1), .open(0, 1), .chunk(0, 1), .cut(0, 1),
                    .update(0, row: 0), .sync(0, 1),
                ], 2
            )
        case .vectorMovedAtStart: ([.insert(0), .open(0, 1)], 2)
        case .vectorMovedWithEachChunk:
            ([.insert(0, row: 0), .insert(0, row: 1), .open(0, 1), .chunk(0, 1)], 2)
        case .stampNotAboveRow:
            ([.insert(0, at: 40), .sync(0, 1), .update(1, value: 1, at: 4)], 2)
        case .reinsertLeavesDefaults: ([.insert(0), .delete(0), .insert(0)], 2)
        case .joinKeepsEverything:
            ([.insert(0), .sync(0, 1), .delete(0), .insert(0), .sync(0, 1)], 2)
        case .positionKeptBySender:
            (
                [
                    .insert(1), .open(1, 0), .chunk(1, 0), .crash(replica: 0), .sync(1, 0),
                ], 2
            )
        case .sentBeforeDurable:
            (
                [
                    .insert(0), .sync(0, 1), .crash(replica: 0), .insert(0, value: 2), .sync(0, 1),
                ], 2
            )
        case .collectedWithoutWholeVector:
            (
                [
                    .insert(1), .sync(1, 0), .delete(0), .update(1), .sync(0, 1), .sync(0, 1),
                    .collect(replica: 0),
                ], 2
            )
        case .hiddenRowsCollected:
            (
                [
                    .insert(0), .sync(0, 1), .update(0), .delete(1), .sync(0, 1), .sync(1, 0),
                    .sync(0, 1), .collect(replica: 1),
                ], 2
            )
        }
    }

    private func shape(_ variant: OracleVariant, isWrong: Bool) -> OracleCluster.Shape {
        OracleCluster.Shape(
            replicas: Self.scenario(variant).replicas, rows: 2,
            policy: variant == .hiddenRowsCollected ? .deleteWins : .addWins,
            variant: isWrong ? variant : nil)
    }

    @Test(arguments: OracleVariant.allCases)
    func scenarioCatchesTheVariant(_ variant: OracleVariant) {
        let steps = Self.scenario(variant).steps

        #expect(OracleRun.replay(steps, shape(variant, isWrong: true)) != nil)
        #expect(OracleRun.replay(steps, shape(variant, isWrong: false)) == nil)
    }

    /// Fewer than this many in 1,000 runs fail: random runs alone are no check of these.
    static let rare: Set<OracleVariant> = [
        .halfReceivedNotOffered, .contextsOnly, .positionKeptBySender,
        .collectedWithoutWholeVector, .hiddenRowsCollected, .sentBeforeDurable,
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
