// What is listed as a conflict, and what is not: an ordinary overwrite is none.

import CausalModel
import TestKit
import Testing
import Values

@Suite struct ConflictTests {
    private func conflicts(_ steps: [OracleStep], _ shape: OracleCluster.Shape = .init()) throws
        -> [RowConflict]
    {
        let cluster = try OracleCluster.after(steps, shape).healed()
        #expect(cluster.kernel(0).conflicts == cluster.kernel(1).conflicts)
        return cluster.kernel(0).conflicts
    }

    private let shared: [OracleStep] = [.insert(0), .sync(0, 1)]

    @Test func anOverwriteIsNone() throws {
        #expect(
            try conflicts(shared + [.update(1, value: 3), .sync(1, 0), .update(0, value: 2)]) == [])
    }

    @Test func differentColumnsAreNone() throws {
        let steps = shared + [.update(0, columns: 1, value: 3), .update(1, columns: 2, value: 3)]

        #expect(try conflicts(steps) == [])
    }

    @Test func equalValuesAreNone() throws {
        #expect(try conflicts(shared + [.update(0, value: 3), .update(1, value: 3)]) == [])
        #expect(try conflicts([.insert(0, value: 2, at: 4), .insert(1, value: 2, at: 8)]) == [])
    }

    @Test func differentValuesOfOneColumnAreOne() throws {
        let found = try conflicts(
            shared + [.update(0, value: 3, at: 9), .update(1, value: 2, at: 8)])

        guard case .cell(0, let losers)? = found.first, found.count == 1 else {
            Issue.record("found \(found)")
            return
        }
        #expect(losers.map { $0.value(0) } == [.integer(2)])
    }

    @Test func losersAscend() throws {
        let shape = OracleCluster.Shape(replicas: 3)
        let steps: [OracleStep] = [
            .insert(0), .sync(0, 1), .sync(0, 2), .update(0, value: 1, at: 9),
            .update(1, value: 2, at: 8), .update(2, value: 3, at: 7),
        ]
        guard case .cell(0, let losers)? = try conflicts(steps, shape).first else {
            Issue.record("no conflict")
            return
        }
        #expect(losers.map(\.stamp.raw) == [7, 8])
    }

    @Test func aLaterWriteSettlesIt() throws {
        let steps =
            shared + [
                .update(0, value: 3), .update(1, value: 2), .sync(0, 1), .update(1, value: 1),
            ]

        #expect(try conflicts(steps) == [])
    }

    /// A row that is deleted, uncontested, may be collected at any time: were its conflicts listed,
    /// collecting would make them vanish.
    @Test(arguments: [PresencePolicy.addWins, .deleteWins])
    func aDeletedRowHasNone(_ policy: PresencePolicy) throws {
        let shape = OracleCluster.Shape(policy: policy)
        let siblings = shared + [.update(0, value: 3), .update(1, value: 2), .sync(0, 1)]
        let births: [OracleStep] = [.insert(0, value: 1), .insert(1, value: 2), .sync(0, 1)]

        #expect(try conflicts(siblings, shape).count == 1)
        #expect(try conflicts(siblings + [.delete(1)], shape) == [])
        #expect(try conflicts(births + [.delete(1)], shape) == [])
    }

    /// An update that did not see the delete brings the row back, and its conflicts with it.
    @Test func aDeleteUndoneListsThemAgain() throws {
        let steps =
            shared + [
                .update(0, value: 3), .update(1, value: 2), .sync(0, 1), .delete(1),
                .update(0, columns: 2, value: 1),
            ]
        let found = try conflicts(steps)

        #expect(found.count == 2)
        #expect(found.first == .presence)
    }
}
