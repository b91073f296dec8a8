// A small cluster of model replicas, driven one step at a time. After each step every row that the
// step touched is judged by the oracle, and every vector that moved by what was applied.

package import CausalModel
import Values

/// One thing that happens. A step that cannot happen now is none.
package enum OracleStep: Hashable, Sendable {
    /// A local write. `columns` counts for updates only, `value` makes the values, `stamp` is the
    /// time of the write.
    case write(
        replica: Int, row: Int, OracleOperation, columns: ColumnMask, value: Int, stamp: Stamp)
    /// Opens a delta for what replica `base` lacks by its vector; it is `to` or a relay's guess.
    case open(from: Int, to: Int, base: Int)
    /// The next row of the open delta arrives.
    case chunk(from: Int, to: Int)
    /// A row that came before comes again.
    case replay(from: Int, to: Int, index: Int)
    /// END arrives, if all rows did.
    case end(from: Int, to: Int)
    /// The connection breaks.
    case cut(from: Int, to: Int)
    /// A whole transfer, resumed if one was broken.
    case sync(from: Int, to: Int)
    /// Power loss: back to what was durable, and all connections are gone.
    case crash(replica: Int)
    case collect(replica: Int)
    /// The sponsor commits a JOIN for one who is not a member, or no longer: a new origin.
    case join(sponsor: Int, newcomer: Int)
    /// A member is evicted.
    case remove(by: Int, member: Int)
}

/// Replicas, what is between them, and the ghost history that judges them.
package struct OracleCluster: Sendable {
    package struct Shape: Sendable {
        package var replicas = 2
        /// How many of them, from the first, are members from the start; all when nil.
        package var founders: Int?
        package var rows = 1
        package var columns = 2
        package var policy = PresencePolicy.addWins
        package var variant: OracleVariant?
        /// Per replica how many of the columns it knows; all when it is shorter.
        package var knownColumns: [Int] = []

        package init(
            replicas: Int = 2, founders: Int? = nil, rows: Int = 1, columns: Int = 2,
            policy: PresencePolicy = .addWins, variant: OracleVariant? = nil,
            knownColumns: [Int] = []
        ) {
            self.replicas = replicas
            self.founders = founders
            self.rows = rows
            self.columns = columns
            self.policy = policy
            self.variant = variant
            self.knownColumns = knownColumns
        }

        package func knownColumns(of replica: Int) -> Int {
            replica < knownColumns.count ? knownColumns[replica] : columns
        }
    }

    package let shape: Shape
    package internal(set) var replicas: [OracleReplica] = []
    /// What power loss takes each replica back to.
    package internal(set) var durable: [OracleReplica]
    package internal(set) var history: OracleHistory
    /// By sender × count + receiver.
    package internal(set) var deltas: [OracleDelta?]
    /// The same, for the wrong variant that keeps positions with the sender.
    var senderPositions: [OracleResumePoint?]
    package internal(set) var failure: OracleFailure?
    /// How many JOINs there were: each gives an origin that never was.
    var joins: UInt64 = 0

    package init(_ shape: Shape) {
        self.shape = shape
        for index in 0..<shape.replicas {
            // Neither in the order of the replicas nor against it.
            let place = shape.replicas + (index % 2 == 0 ? index : -index)
            let origin = Origin(high: 0, low: UInt64(place))
            replicas.append(
                OracleReplica(origin: origin, rows: shape.rows, replicas: shape.replicas))
        }
        var list = OracleMembers()
        let founders = shape.founders ?? shape.replicas
        for index in 0..<founders {
            list.insert(OracleMemberChange(replica: index, joined: replicas[index].origin))
        }
        for index in 0..<founders { replicas[index].members = list }
        durable = replicas
        history = OracleHistory(columnCount: shape.columns)
        deltas = Array(repeating: nil, count: shape.replicas * shape.replicas)
        senderPositions = Array(repeating: nil, count: shape.replicas * shape.replicas)
    }

    func link(_ from: Int, _ to: Int) -> Int { from * shape.replicas + to }

    package func isVisible(_ replica: Int, _ row: Int) -> Bool {
        replicas[replica].rows[row].kernel.isVisible(shape.policy)
    }

    /// Performs `step`; false when it cannot happen now. Sets ``failure`` when the oracle objects.
    @discardableResult
    package mutating func perform(_ step: OracleStep) -> Bool {
        switch step {
        case .write(let replica, let row, let operation, let columns, let value, let stamp):
            return write(replica, row, operation, columns, value, stamp)
        case .open(let from, let to, let base): return open(from, to, base: base)
        case .chunk(let from, let to): return chunk(from, to)
        case .replay(let from, let to, let index): return replay(from, to, index)
        case .end(let from, let to): return end(from, to)
        case .cut(let from, let to):
            guard deltas[link(from, to)] != nil else { return false }
            deltas[link(from, to)] = nil
            return true
        case .sync(let from, let to):
            if deltas[link(from, to)] == nil {
                guard open(from, to, base: to) else { return false }
            }
            while failure == nil, chunk(from, to) {}
            return failure == nil && end(from, to)
        case .crash(let replica): return crash(replica)
        case .collect(let replica): return collect(replica)
        case .join(let sponsor, let newcomer): return join(sponsor, newcomer)
        case .remove(let remover, let member): return remove(remover, member)
        }
    }

    // MARK: Judging

    mutating func judge(_ replica: Int, _ row: Int) {
        guard failure == nil else { return }
        let held = replicas[replica].rows[row]
        failure = history.judge(
            held.kernel, merged: held.merged, collected: replicas[replica].collected)
    }

    /// A vector never covers a dot that was not applied.
    mutating func judgeVector(_ replica: Int) {
        guard failure == nil else { return }
        let covered = history.covered(by: replicas[replica].vector)
        var merged = EventSet()
        for row in replicas[replica].rows { merged.formUnion(row.merged) }
        for change in replicas[replica].members.changes {
            if let event = change.event { merged.insert(event) }
        }
        if !covered.isSubset(of: merged) {
            failure = OracleFailure("the vector of \(replica) covers what was not applied")
        }
    }

    /// What a row has seen, its context with the vector, is exactly what was merged into it.
    package func contextFailure(_ replica: Int) -> OracleFailure? {
        let covered = history.covered(by: replicas[replica].vector)
        for (index, row) in replicas[replica].rows.enumerated() {
            var seen = history.covered(by: row.context)
            seen.formUnion(covered)
            seen.formIntersection(history.all(of: index))
            if seen != row.merged {
                return OracleFailure("replica \(replica), row \(index): context is not exact")
            }
        }
        return nil
    }
}
