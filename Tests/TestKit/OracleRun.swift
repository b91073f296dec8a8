// Runs of the model cluster: at random from one seed, exhaustively in small scopes, and the search
// for the shortest sequence of steps that still fails.

package import CausalModel

/// A run that failed, and how to repeat it.
package struct OracleTrace: Error, Sendable, CustomStringConvertible {
    package var shape: OracleCluster.Shape
    package var steps: [OracleStep]
    package var failure: OracleFailure
    package var seed: UInt64?

    package var description: String {
        let lines = steps.map { "  \($0)" }.joined(separator: "\n")
        let origin = seed.map { "seed \($0), " } ?? ""
        return "\(origin)\(shape.policy), \(shape.replicas) replicas, \(shape.rows) rows: "
            + "\(failure.message)\n\(lines)"
    }

    /// The same failure, or another, with as few steps as dropping single ones can reach.
    package func shrunk() -> OracleTrace {
        var best = self
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for index in best.steps.indices.reversed() {
                var fewer = best.steps
                fewer.remove(at: index)
                guard let failure = OracleRun.replay(fewer, shape) else { continue }
                best.steps = fewer
                best.failure = failure
                hasChanged = true
            }
        }
        return best
    }
}

package enum OracleRun {
    /// Performs `steps` and heals; returns what the oracle objected to.
    package static func replay(
        _ steps: [OracleStep], _ shape: OracleCluster.Shape
    ) -> OracleFailure? {
        var cluster = OracleCluster(shape)
        for step in steps {
            cluster.perform(step)
            if let failure = cluster.failure { return failure }
        }
        cluster.heal()
        return cluster.failure
    }

    /// One random run; nil when the oracle has no objection.
    ///
    /// Each seed draws the size of the cluster, how its clocks stand, and which faults are on.
    package static func random(
        seed: UInt64, policy: PresencePolicy, variant: OracleVariant? = nil
    ) -> OracleTrace? {
        var generator = OracleGenerator(seed: seed, policy: policy, variant: variant)
        var cluster = OracleCluster(generator.shape)
        for _ in 0..<generator.length {
            guard let step = generator.next(cluster) else { continue }
            cluster.perform(step)
            if cluster.failure != nil { break }
        }
        if cluster.failure == nil { cluster.heal() }
        guard let failure = cluster.failure else { return nil }
        // The run is repeated only when it failed: keeping the steps would slow all others.
        var again = OracleGenerator(seed: seed, policy: policy, variant: variant)
        var repeated = OracleCluster(again.shape)
        var steps: [OracleStep] = []
        for _ in 0..<again.length where repeated.failure == nil {
            guard let step = again.next(repeated) else { continue }
            steps.append(step)
            repeated.perform(step)
        }
        return OracleTrace(shape: again.shape, steps: steps, failure: failure, seed: seed)
    }

    /// All sequences of up to `depth` steps of `alphabet`.
    ///
    /// - Returns: the number of states visited, and the first failure.
    package static func exhaust(
        _ shape: OracleCluster.Shape, depth: Int, healsAtLeaves: Bool = false,
        visit: (inout OracleCluster) -> OracleFailure? = { _ in nil }
    ) -> (states: Int, trace: OracleTrace?) {
        var search = OracleSearch(shape: shape, healsAtLeaves: healsAtLeaves)
        search.descend(OracleCluster(shape), depth, visit)
        return (search.states, search.trace)
    }
}

/// Depth-first search through everything that can happen.
struct OracleSearch {
    let shape: OracleCluster.Shape
    let healsAtLeaves: Bool
    var states = 0
    var path: [OracleStep] = []
    var trace: OracleTrace?

    init(shape: OracleCluster.Shape, healsAtLeaves: Bool) {
        self.shape = shape
        self.healsAtLeaves = healsAtLeaves
    }

    mutating func descend(
        _ cluster: OracleCluster, _ depth: Int, _ visit: (inout OracleCluster) -> OracleFailure?
    ) {
        for step in steps(cluster, depth) {
            var next = cluster
            guard next.perform(step) else { continue }
            states += 1
            path.append(step)
            var failure = next.failure ?? visit(&next)
            if depth > 1 {
                if failure == nil { descend(next, depth - 1, visit) }
            } else if healsAtLeaves, failure == nil {
                next.heal()
                failure = next.failure
            }
            if trace == nil, let failure {
                trace = OracleTrace(shape: shape, steps: path, failure: failure)
            }
            path.removeLast()
            if trace != nil { return }
        }
    }

    /// Every step worth trying: a clock that stands still, values that tell the writes apart.
    private func steps(_ cluster: OracleCluster, _ depth: Int) -> [OracleStep] {
        var steps: [OracleStep] = []
        let stamp = Stamp(raw: 1)
        let value = cluster.history.events.count
        for replica in 0..<shape.replicas {
            for row in 0..<shape.rows {
                func write(_ operation: OracleOperation, _ columns: ColumnMask = 1) {
                    steps.append(
                        .write(
                            replica: replica, row: row, operation, columns: columns, value: value,
                            stamp: stamp))
                }
                if cluster.isVisible(replica, row) {
                    write(.update)
                    write(.delete)
                    write(.insertBeside)
                } else {
                    write(.insert)
                }
            }
            for other in 0..<shape.replicas where other != replica {
                if let delta = cluster.deltas[cluster.link(replica, other)] {
                    if delta.sent < delta.rows.count {
                        steps.append(.chunk(from: replica, to: other))
                    } else {
                        steps.append(.end(from: replica, to: other))
                    }
                    steps.append(.cut(from: replica, to: other))
                } else if depth > 1 {
                    steps.append(.open(from: replica, to: other, base: other))
                    steps.append(.sync(from: replica, to: other))
                } else {
                    steps.append(.sync(from: replica, to: other))
                }
            }
        }
        return steps
    }
}
