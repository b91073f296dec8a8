// Everything that can happen in small scopes, step by step: writes, transfers in pieces, broken and
// resumed, on one standing clock so that all births tie.

import CausalModel
import TestKit
import Testing

@Suite(.serialized) struct ExhaustiveTests {
    struct Scope: Sendable, CustomTestStringConvertible {
        var replicas: Int
        var rows: Int
        var depth: Int
        var policy: PresencePolicy
        /// What the search must have visited; fewer would mean that it lost steps.
        var statesMin: Int

        var testDescription: String {
            "\(replicas) replicas, \(rows) rows, \(depth) operations, \(policy)"
        }
    }

    static let scopes = [
        Scope(replicas: 2, rows: 1, depth: 6, policy: .addWins, statesMin: 150_000),
        Scope(replicas: 2, rows: 1, depth: 6, policy: .deleteWins, statesMin: 150_000),
        Scope(replicas: 2, rows: 2, depth: 5, policy: .addWins, statesMin: 80_000),
        Scope(replicas: 2, rows: 2, depth: 5, policy: .deleteWins, statesMin: 80_000),
        Scope(replicas: 3, rows: 1, depth: 5, policy: .addWins, statesMin: 750_000),
        Scope(replicas: 3, rows: 1, depth: 4, policy: .deleteWins, statesMin: 44_000),
    ]

    @Test(arguments: scopes)
    func noSequenceFails(_ scope: Scope) async {
        let shape = OracleCluster.Shape(
            replicas: scope.replicas, rows: scope.rows, columns: 1, policy: scope.policy)
        let result = await onOwnThread {
            OracleRun.exhaust(shape, depth: scope.depth) { cluster in
                for replica in 0..<scope.replicas {
                    if let failure = cluster.contextFailure(replica) { return failure }
                }
                return nil
            }
        }

        if let trace = result.trace { Issue.record(trace.shrunk()) }
        #expect(result.states >= scope.statesMin)
    }

    /// After any few steps, letting everything through makes all replicas equal.
    @Test(arguments: [PresencePolicy.addWins, .deleteWins], [2, 3])
    func everySequenceConverges(_ policy: PresencePolicy, _ replicas: Int) async {
        let shape = OracleCluster.Shape(replicas: replicas, rows: 1, columns: 1, policy: policy)
        let depth = replicas == 2 ? 5 : 3
        let result = await onOwnThread {
            OracleRun.exhaust(shape, depth: depth, healsAtLeaves: true)
        }

        if let trace = result.trace { Issue.record(trace.shrunk()) }
        #expect(result.states > 2_500)
    }

    /// `conflicts` is exactly true concurrency, told by pairs of events and nothing else.
    @Test(arguments: [PresencePolicy.addWins, .deleteWins])
    func conflictsAreConcurrentPairs(_ policy: PresencePolicy) async {
        let shape = OracleCluster.Shape(replicas: 2, rows: 1, columns: 2, policy: policy)
        let (trace, conflicting) = await onOwnThread {
            var conflicting = 0
            let result = OracleRun.exhaust(shape, depth: 5) { cluster in
                for replica in 0..<2 {
                    let held = cluster.replicas[replica].rows[0]
                    let expected = ConflictPairs(cluster.history, held.merged)
                    let found = ConflictPairs(held.kernel.conflicts)
                    if found != expected {
                        return OracleFailure("conflicts: found \(found), by pairs \(expected)")
                    }
                    if !held.kernel.conflicts.isEmpty { conflicting += 1 }
                }
                return nil
            }
            return (result.trace, conflicting)
        }

        if let trace { Issue.record(trace.shrunk()) }
        #expect(conflicting > 1_000)
    }
}

/// Where a row has conflicts, as sets: the coarsest thing on which two definitions must agree.
private struct ConflictPairs: Equatable {
    var isContested = false
    var columns: Set<Int> = []
    var elders: Set<Birth> = []

    init(_ conflicts: [RowConflict]) {
        for conflict in conflicts {
            switch conflict {
            case .presence: isContested = true
            case .cell(let column, _): columns.insert(Int(column))
            case .birth(let birth): elders.insert(birth)
            }
        }
    }

    /// Of each two events that did not see each other and that no later event of the same thing
    /// replaced: do they disagree, and about what?
    init(_ history: OracleHistory, _ merged: EventSet) {
        let events = history.events
        func isReplaced(_ event: Int, _ concerns: (GhostEvent) -> Bool) -> Bool {
            merged.contains { concerns(events[$0]) && events[$0].seen.contains(event) }
        }
        let maximal = merged.filter { !isReplaced($0) { _ in true } }
        guard maximal.contains(where: { !events[$0].operation.isDelete }) else { return }
        isContested = maximal.contains { events[$0].operation.isDelete }
        let youngest = merged.filter { events[$0].operation.isInsert }.map { events[$0].birth }
            .max()
        for column in 0..<history.columnCount {
            let bit: ColumnMask = 1 << ColumnMask(column)
            let live = merged.filter { event in
                events[event].columns & bit != 0
                    && !isReplaced(event) { $0.columns & bit != 0 }
            }
            for one in live {
                for other in live
                where events[one].birth == youngest && !events[one].seen.contains(other)
                    && !events[other].seen.contains(one)
                    && events[one].value(column) != events[other].value(column)
                {
                    if events[other].birth == youngest {
                        columns.insert(column)
                    } else if live.allSatisfy({
                        // The one that is shown, not one that is beaten within its birth.
                        events[$0].birth != youngest || $0 == one
                            || events[$0].isBeaten(by: events[one])
                    }) {
                        elders.insert(events[other].birth)
                    }
                }
            }
        }
    }
}
