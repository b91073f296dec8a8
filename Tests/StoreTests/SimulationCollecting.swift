// Collection in simulated clusters: at any moment, also while deltas are half on their way, which an
// engine would not do.

import CausalModel
import Store
import TestKit

extension Simulation {
    /// Someone says where it stands, or someone collects.
    func collectOrState() throws {
        guard collects, collector.chance(1, in: 2) else { return }
        let index = collector.below(members.count)
        let other = collector.below(members.count)
        if collector.chance(2, in: 3) {
            if index != other { try state(index, to: other) }
        } else {
            try collect(index)
        }
    }

    private func state(_ from: Int, to: Int) throws {
        try local(from, "states") { try $0.fold() }
        let name = members[from].name
        try members[to].replica.noteStatement(
            of: name, name: name, origin: members[from].replica.origin,
            vector: members[from].replica.vector)
    }

    /// Returns whether more can go.
    @discardableResult
    private func collect(_ index: Int) throws -> Bool {
        if hasOracle {
            try local(index, "folds") {
                try $0.fold()
                try $0.finishScans()
            }
        }
        let others = Set(members.map(\.name)).subtracting([members[index].name])
        var outcome = CollectOutcome(rows: 0, hasMore: false, keepsRows: false)
        try retried {
            outcome = try members[index].replica.collect(
                StabilityGroup(writers: others, readers: [], removals: VersionVector()))
        }
        collectedRows += outcome.rows
        log.append("\(members[index].name) collects \(outcome.rows) rows")
        guard hasOracle else { return outcome.hasMore }
        let before = lastContent[index] ?? [:]
        let after = try contentWhenQuiet(index)
        for (name, writes) in before where after[name] != writes {
            let isKept = writes.values.contains { $0.isPresent && !$0.isDelete }
            guard after[name] == nil, !isKept else {
                throw SimulationFailure(description: "a collection changed \(name)")
            }
            gone[index, default: [:]][name] = writes
        }
        lastContent[index] = after
        return outcome.hasMore
    }

    /// Once everybody has said that it has everything, no deleted row is left.
    func collectEverything() throws {
        guard collects else { return }
        for from in members.indices {
            for to in members.indices where from != to { try state(from, to: to) }
        }
        for (index, member) in members.enumerated() {
            while try collect(index) {}
            let facts = try member.replica.deletedRowFacts(
                StabilityGroup(
                    writers: Set(members.map(\.name)).subtracting([member.name]), readers: [],
                    removals: VersionVector()))
            if facts != DeletedRowFacts(rows: 0, waitsFor: []) {
                throw SimulationFailure(description: "\(member.name) keeps \(facts)")
            }
        }
    }
}
