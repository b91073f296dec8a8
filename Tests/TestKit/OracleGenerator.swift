// Draws the steps of a random run from one seed, with whichever faults that seed has switched on.

package import CausalModel

/// A stream of steps that suit the state of a cluster.
package struct OracleGenerator: Sendable {
    package let shape: OracleCluster.Shape
    package let length: Int
    private var generator: SeededGenerator
    /// Per replica how far its clock is ahead.
    private var offsets: [UInt64] = []
    private var time: UInt64 = 1
    private let faults: Faults
    /// Steps that follow whatever is drawn.
    private var pending: [OracleStep] = []

    private struct Faults: Sendable {
        var hasCuts: Bool
        var hasCrashes: Bool
        var hasCollection: Bool
        var hasRelay: Bool
        var hasOddWrites: Bool
    }

    package init(seed: UInt64, policy: PresencePolicy, variant: OracleVariant? = nil) {
        var generator = SeededGenerator(seed: seed)
        let replicas = 2 + generator.below(5) / 2
        var known: [Int] = []
        if generator.chance(1, in: 4) {
            for _ in 0..<replicas { known.append(1 + generator.below(2)) }
        }
        shape = OracleCluster.Shape(
            replicas: replicas, rows: 1 + generator.below(6) / 2, columns: 2, policy: policy,
            variant: variant, knownColumns: known)
        length = 8 + generator.below(16)
        for _ in 0..<replicas {
            offsets.append([0, 0, 1, 40][generator.below(4)])
        }
        if generator.chance(1, in: 16) { offsets[0] = Stamp.ceiling.raw - 3 }
        faults = Faults(
            hasCuts: generator.chance(1, in: 2), hasCrashes: generator.chance(1, in: 4),
            hasCollection: generator.chance(1, in: 2), hasRelay: generator.chance(1, in: 4),
            hasOddWrites: generator.chance(1, in: 4))
        self.generator = generator
    }

    /// The next step; nil for a draw that suits nothing.
    package mutating func next(_ cluster: OracleCluster) -> OracleStep? {
        if !pending.isEmpty { return pending.removeLast() }
        let draw = generator.below(20)
        if draw < 8 { return write(cluster) }
        if draw == 8, faults.hasCrashes { return .crash(replica: generator.below(shape.replicas)) }
        if draw == 9, faults.hasCollection {
            return .collect(replica: generator.below(shape.replicas))
        }
        if draw == 10, faults.hasCollection { meet() }
        return transfer(cluster)
    }

    /// Everyone meets everyone, so that deletes become stable, and some collect.
    private mutating func meet() {
        let count = shape.replicas
        for replica in 0..<count where generator.chance(1, in: 2) {
            pending.append(.collect(replica: replica))
        }
        for round in 0..<2 * count - 1 {
            pending.append(.sync(from: (round + 1) % count, to: round % count))
        }
    }

    private mutating func write(_ cluster: OracleCluster) -> OracleStep {
        let replica = generator.below(shape.replicas)
        let row = generator.below(shape.rows)
        // Two writes in three share a time: births tie.
        if generator.chance(1, in: 3) { time += 1 }
        let operation: OracleOperation
        if cluster.isVisible(replica, row) {
            switch generator.below(16) {
            case 0..<5: operation = .delete
            case 5 where faults.hasOddWrites: operation = .insertBeside
            case 6 where faults.hasOddWrites: operation = .erase
            default: operation = .update
            }
        } else {
            operation = .insert
        }
        let known = ColumnMask(shape.knownColumns(of: replica))
        var columns = ColumnMask(generator.below(1 << Int(known)))
        if faults.hasOddWrites, generator.chance(1, in: 8) {
            columns |= 1 << ColumnMask(shape.columns)
        } else if columns == 0, generator.chance(3, in: 4) {
            columns = 1
        }
        let raw = Swift.min(offsets[replica] + time, Stamp.ceiling.raw)
        return .write(
            replica: replica, row: row, operation, columns: columns, value: generator.below(4),
            stamp: Stamp(raw: raw))
    }

    private mutating func transfer(_ cluster: OracleCluster) -> OracleStep {
        let from = generator.below(shape.replicas)
        let to = (from + 1 + generator.below(shape.replicas - 1)) % shape.replicas
        guard let delta = cluster.deltas[cluster.link(from, to)] else {
            if generator.chance(1, in: 3) { return .sync(from: from, to: to) }
            let base = faults.hasRelay ? generator.below(shape.replicas) : to
            return .open(from: from, to: to, base: base)
        }
        let draw = generator.below(8)
        if draw == 0, faults.hasCuts { return .cut(from: from, to: to) }
        if draw == 1, delta.sent > 0 {
            return .replay(from: from, to: to, index: generator.below(delta.sent))
        }
        if delta.sent == delta.rows.count { return .end(from: from, to: to) }
        return .chunk(from: from, to: to)
    }
}
