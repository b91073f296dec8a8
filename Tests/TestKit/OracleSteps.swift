// The steps of the model cluster: local writes, transfers in pieces, power loss, collection.

import CausalModel
import Values

extension OracleCluster {
    // MARK: Local writes

    mutating func write(
        _ replica: Int, _ row: Int, _ operation: OracleOperation, _ columns: ColumnMask,
        _ value: Int, _ wanted: Stamp
    ) -> Bool {
        guard isVisible(replica, row) != (operation == .insert) else { return false }
        // Outside, nothing is numbered.
        let hasJoined = replicas[replica].members.contains(replicas[replica].origin)
        let breaks =
            shape.variant == .newcomerWritesBeforeEnd && replicas[replica].isAwaitingCopy
        guard hasJoined || breaks else { return false }
        let held = replicas[replica].rows[row]
        let number = replicas[replica].vector[replicas[replica].origin] + 1
        let dot = Dot(replicas[replica].origin, number)
        let stamp =
            shape.variant == .stampNotAboveRow ? wanted : held.kernel.stamp(atLeast: wanted)
        let known = shape.knownColumns(of: replica)
        var event = GhostEvent(
            row: row, dot: dot, operation: operation, stamp: stamp,
            birth: Birth(stamp, dot.origin), columns: 0, values: [], seen: held.merged)
        switch operation {
        case .insert, .insertBeside, .erase: event.columns = history.everyColumn
        case .update: event.columns = columns
        case .delete: break
        }
        if operation == .insertBeside { event.seen = EventSet() }
        if !operation.isInsert {
            let birth = history.birth(held.merged, history.life(of: held.merged))
            event.birth = birth ?? event.birth
        }
        if !operation.isDelete {
            for column in 0..<known where event.columns >> ColumnMask(column) & 1 == 1 {
                // One column in four repeats the value 0, so that equal values meet as well.
                let entry = Value.integer(Int64((value + column) & 3))
                event.values.append(ColumnValue(ColumnID(column), entry))
            }
        }
        if shape.variant != .stampNotAboveRow, stamp < .ceiling,
            let older = held.merged.first(where: {
                !history.closed.contains($0) && !(history.events[$0].stamp < stamp)
            })
        {
            failure = OracleFailure("a stamp is not above that of event \(older), which it saw")
        }
        let index = history.append(event)
        apply(event, replica)
        replicas[replica].vector[dot.origin] = number
        if shape.variant == .contextsOnly {
            replicas[replica].rows[row].context[dot.origin] = number
        }
        replicas[replica].rows[row].merged.insert(index)
        judge(replica, row)
        return true
    }

    private mutating func apply(_ event: GhostEvent, _ replica: Int) {
        var kernel = replicas[replica].rows[event.row].kernel
        switch event.operation {
        case .insert where shape.variant == .reinsertLeavesDefaults:
            var writes = kernel.writes
            let columns = ColumnSet(event.values.dropLast().map(\.column))
            for index in writes.indices {
                writes[index].isPresent = false
                writes[index].lose(columns)
            }
            writes.append(
                Write(
                    dot: event.dot, stamp: event.stamp, birth: event.birth,
                    columns: writes.isEmpty ? .all : columns, values: event.values))
            kernel = Kernel(writes: writes)
        case .insert: kernel.insert(event.dot, event.stamp, values: event.values)
        case .insertBeside: kernel.insertBeside(event.dot, event.stamp, values: event.values)
        case .update:
            kernel.update(
                event.dot, event.stamp, columns: columnSet(event.columns), values: event.values)
        case .delete: kernel.delete(event.dot, event.stamp)
        case .erase: kernel.delete(event.dot, event.stamp, erasing: true)
        }
        replicas[replica].rows[event.row].kernel = kernel
    }

    /// The kernel's set for a mask whose last bit stands for every column beyond the named ones.
    private func columnSet(_ mask: ColumnMask) -> ColumnSet {
        let isAll = mask >> ColumnMask(shape.columns) & 1 == 1
        var listed: [ColumnID] = []
        for column in 0..<shape.columns where (mask >> ColumnMask(column) & 1 == 1) != isAll {
            listed.append(ColumnID(column))
        }
        return ColumnSet(isAll: isAll, listed: listed)
    }

    // MARK: Transfers

    mutating func open(_ from: Int, _ to: Int, base: Int) -> Bool {
        guard from != to, deltas[link(from, to)] == nil, isAdmitted(from, to) else {
            return false
        }
        let isCopy = replicas[to].isAwaitingCopy
        let vector = isCopy ? VersionVector() : replicas[base].vector
        // A receiver below the base refuses the delta.
        guard replicas[to].vector.covers(vector) || shape.variant == .deltaBelowBaseTaken
        else { return false }
        var resume = replicas[to].resumePoints[from]
        if shape.variant == .positionKeptBySender { resume = senderPositions[link(from, to)] }
        if let point = resume, !vector.covers(point.base) { resume = nil }
        var delta = replicas[from].delta(base: vector, resume: resume, variant: shape.variant)
        if isCopy { delta.copy = OracleCopy(of: replicas[from]) }
        deltas[link(from, to)] = delta
        // Nothing is sent or stated before it is durable.
        if shape.variant != .sentBeforeDurable { durable[from] = replicas[from] }
        durable[to] = replicas[to]
        if !isCopy { replicas[from].statements[to].join(replicas[to].vector) }
        if shape.variant == .vectorMovedAtStart { move(to, delta.snapshot) }
        return true
    }

    mutating func chunk(_ from: Int, _ to: Int) -> Bool {
        guard var delta = deltas[link(from, to)], delta.sent < delta.rows.count else {
            return false
        }
        let sent = delta.rows[delta.sent]
        delta.sent += 1
        let snapshot = seenByLaw(delta, from)
        replicas[to].join(sent, snapshot: snapshot, variant: shape.variant)
        let point = OracleResumePoint(
            base: delta.base, snapshot: snapshot, position: sent.place)
        replicas[to].resumePoints[from] = point
        senderPositions[link(from, to)] = point
        deltas[link(from, to)] = delta
        judge(to, sent.row)
        if shape.variant == .vectorMovedWithEachChunk { move(to, delta.snapshot) }
        return true
    }

    mutating func replay(_ from: Int, _ to: Int, _ index: Int) -> Bool {
        guard let delta = deltas[link(from, to)], index < delta.sent else { return false }
        replicas[to].join(
            delta.rows[index], snapshot: seenByLaw(delta, from), variant: shape.variant)
        judge(to, delta.rows[index].row)
        return true
    }

    private func seenByLaw(_ delta: OracleDelta, _ from: Int) -> VersionVector {
        shape.variant == .currentVectorAsContext ? replicas[from].vector : delta.snapshot
    }

    mutating func end(_ from: Int, _ to: Int) -> Bool {
        guard let delta = deltas[link(from, to)], delta.sent == delta.rows.count else {
            return false
        }
        deltas[link(from, to)] = nil
        replicas[to].resumePoints[from] = nil
        senderPositions[link(from, to)] = nil
        replicas[to].end(delta.snapshot, variant: shape.variant)
        learnMembers(delta, from, to)
        replicas[to].statements[from].join(delta.snapshot)
        judgeVector(to)
        if let copy = delta.copy { for gone in copy.gone { judge(to, gone.row) } }
        return true
    }

    private mutating func move(_ replica: Int, _ snapshot: VersionVector) {
        replicas[replica].end(snapshot, variant: shape.variant)
        judgeVector(replica)
    }

    // MARK: Faults and collection

    mutating func crash(_ replica: Int) -> Bool {
        let origin = replicas[replica].origin
        history.forget(origin, after: durable[replica].vector[origin])
        replicas[replica] = durable[replica]
        // What was collected and not durable was not collected.
        history.closed = EventSet()
        for other in replicas { history.closed.formUnion(other.closed) }
        for other in 0..<shape.replicas {
            deltas[link(replica, other)] = nil
            deltas[link(other, replica)] = nil
        }
        return true
    }

    mutating func collect(_ replica: Int) -> Bool {
        let history = history
        let count = replicas[replica].collect(
            as: replica, shape.policy, shape.variant, index: { history.index(of: $0) })
        self.history.closed.formUnion(replicas[replica].closed)
        for row in replicas[replica].rows.indices where count > 0 { judge(replica, row) }
        return count > 0
    }

    // MARK: Healing

    /// Lets everything through, and demands that all replicas become equal and whole.
    package mutating func heal() {
        let count = shape.replicas
        readmit()
        // A JOIN must be known before the newcomer is heard: then a ring is not enough.
        var pairs = (0..<2 * count - 2).map { ($0 % count, ($0 + 1) % count) }
        if joins > 0 {
            pairs = (0..<3 * count * count).map { ($0 / count % count, $0 % count) }
        }
        for (from, to) in pairs where from != to {
            if failure != nil { return }
            deltas[link(from, to)] = nil
            perform(.sync(from: from, to: to))
        }
        guard failure == nil else { return }
        for index in 0..<count {
            if replicas[index].vector != replicas[0].vector {
                failure = OracleFailure("replica \(index) did not catch up")
            } else if !replicas[index].isWhole, shape.variant != .contextsOnly {
                failure = OracleFailure("replica \(index) did not become whole")
            }
        }
        for row in 0..<shape.rows where failure == nil {
            let all = history.all(of: row)
            for index in 0..<count where replicas[index].rows[row].merged != all {
                failure = OracleFailure("replica \(index) lacks events of row \(row)")
            }
            for index in 0..<count { judge(index, row) }
        }
    }
}
