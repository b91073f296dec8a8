// The join of kernels is a semilattice on everything that can be reached, and none of the values it
// may be given after damage makes it depend on the order.

import CausalModel
import TestKit
import Testing
import Values

/// A kernel with what its holder has seen of the row.
private struct Seen: Equatable {
    var kernel: Kernel
    var vector: VersionVector

    static func join(_ left: Seen, _ right: Seen) -> Seen {
        var kernel = left.kernel
        kernel.join(
            right.kernel, hasSeen: { left.vector.contains($0) },
            otherHasSeen: { right.vector.contains($0) })
        return Seen(kernel: kernel, vector: left.vector.joined(right.vector))
    }
}

@Suite struct KernelLawTests {
    /// The states that one row goes through on all replicas of a random run without power loss or
    /// collection, half-received ones included.
    private func reachable(_ seed: UInt64, _ policy: PresencePolicy) -> [Seen] {
        var generator = OracleGenerator(seed: seed, policy: policy)
        var cluster = OracleCluster(generator.shape)
        var found: [Seen] = []
        for _ in 0..<generator.length {
            guard let step = generator.next(cluster) else { continue }
            switch step {
            case .crash, .collect: continue
            default: cluster.perform(step)
            }
            for replica in cluster.replicas {
                let row = replica.rows[0]
                let state = Seen(
                    kernel: row.kernel, vector: replica.vector.joined(row.context))
                if found.last != state, !found.contains(state) { found.append(state) }
            }
        }
        // Late states have the longest histories.
        return Array(found.suffix(9))
    }

    @Test(arguments: [PresencePolicy.addWins, .deleteWins])
    func joinIsASemilattice(_ policy: PresencePolicy) throws {
        for seed in 0..<UInt64(60) {
            #expect(throws: Never.self, "seed \(seed)") {
                try JoinLaws(Seen.join).check(reachable(seed, policy))
            }
        }
    }

    /// The states of these runs are worth their laws: they hold concurrent writes.
    @Test func reachableStatesHoldConflicts() {
        let states = (0..<UInt64(60)).flatMap { reachable($0, .addWins) }

        #expect(states.filter { !$0.kernel.conflicts.isEmpty }.count > 20)
        #expect(states.contains { $0.kernel.isPresenceContested })
        #expect(states.contains { $0.kernel.writes.count > 3 })
    }

    /// Joining the parts of a history in any order gives what joining them in another gives.
    @Test func orderAndRepetitionDoNotMatter() {
        for seed in 0..<UInt64(60) {
            var generator = SeededGenerator(seed: seed)
            let states = reachable(seed, .addWins)
            guard let first = states.first else { continue }
            let all = states.dropFirst().reduce(first, Seen.join)
            for _ in 0..<5 {
                let shuffled = (states + states).shuffled(using: &generator)
                #expect(shuffled.reduce(first, Seen.join) == all, "seed \(seed)")
            }
        }
    }

    /// Values left out for dots that the receiver has seen change nothing in what it ends up with.
    @Test func leavingValuesOutChangesNothing() {
        for seed in 0..<UInt64(60) {
            let states = reachable(seed, .addWins)
            for mine in states {
                for theirs in states {
                    var writes = theirs.kernel.writes
                    for index in writes.indices where mine.vector.contains(writes[index].dot) {
                        writes[index].values = []
                        writes[index].areValuesOmitted = true
                    }
                    let sparse = Seen(kernel: Kernel(writes: writes), vector: theirs.vector)
                    let both = Seen.join(mine, theirs)
                    #expect(Seen.join(mine, sparse) == both, "seed \(seed)")
                    #expect(Seen.join(sparse, mine) == both, "seed \(seed)")
                }
            }
        }
    }

    /// A dot names one change. Should two copies differ all the same, after damage or from a hostile
    /// member, everyone takes the same.
    @Test func differingCopiesOfOneDotJoinAlike() throws {
        let origin = Origin(high: 0, low: 1)
        var copies: [Seen] = []
        for stamp in [3, 5] as [UInt64] {
            for birth in [1, 2] as [UInt64] {
                for isDelete in [false, true] {
                    for values in [[], [ColumnValue(0, .integer(1))], [ColumnValue(0, .null)]] {
                        let write = Write(
                            dot: Dot(origin, 1), stamp: Stamp(raw: stamp),
                            birth: Birth(Stamp(raw: birth), origin), isDelete: isDelete,
                            columns: .all, values: values)
                        copies.append(
                            Seen(
                                kernel: Kernel(writes: [write]),
                                vector: VersionVector([(origin, UInt64(1))])))
                    }
                }
            }
        }

        try JoinLaws(Seen.join).check(copies)
    }
}
