// One replica of the model: the vector, and per row the kernel with its context. It follows the
// design's rules for writing, sending, joining, ending and collecting, one row at a time.

package import CausalModel

/// One row as a replica holds it. An empty kernel is a row that is not there.
package struct OracleRow: Sendable {
    package var kernel = Kernel()
    /// What has been merged beyond the replica's vector.
    package var context = VersionVector()
    /// Ghost: exactly the events merged into the row.
    package var merged = EventSet()
}

/// Where a broken transfer stands; kept by its receiver.
package struct OracleResumePoint: Sendable {
    package var base: VersionVector
    package var snapshot: VersionVector
    package var position: Dot
}

/// One row of a delta.
package struct OracleDeltaRow: Sendable {
    package var row: Int
    /// The row's place in the delta: its least live dot beyond the base.
    package var place: Dot
    package var content: OracleRow
}

/// A delta on its way: read from one snapshot of the sender.
package struct OracleDelta: Sendable {
    package var base: VersionVector
    package var snapshot: VersionVector
    package var rows: [OracleDeltaRow]
    package var members: OracleMembers
    /// What else a newcomer gets.
    package var copy: OracleCopy?
    package var sent = 0
}

/// The state of one replica.
package struct OracleReplica: Sendable {
    package let origin: Origin
    package var vector = VersionVector()
    package var rows: [OracleRow]
    /// What the vector covers of the member list.
    package var members = OracleMembers()
    /// The floor G: every dot that was collected here. Whoever has not seen it is out of date.
    package var floor = VersionVector()
    /// Per sender.
    package var resumePoints: [OracleResumePoint?]
    /// Per member the latest statement of its vector that this replica holds.
    package var statements: [VersionVector]
    /// Ghost: events that were alive in rows when this replica collected them.
    package var collected = EventSet()
    /// Ghost: everything that was merged into rows when this replica collected them.
    package var closed = EventSet()

    package init(origin: Origin, rows: Int, replicas: Int) {
        self.origin = origin
        self.rows = [OracleRow](repeating: OracleRow(), count: rows)
        resumePoints = [OracleResumePoint?](repeating: nil, count: replicas)
        statements = [VersionVector](repeating: VersionVector(), count: replicas)
    }

    /// No live dot lies beyond the vector.
    package var isWhole: Bool {
        for row in rows where !row.context.isEmpty { return false }
        return true
    }

    // MARK: Sending

    /// What lies beyond `base`, from one snapshot of this replica.
    ///
    /// - Parameter resume: the receiver's position in an earlier delta of this replica.
    package func delta(
        base: VersionVector, resume: OracleResumePoint?, variant: OracleVariant?
    ) -> OracleDelta {
        var snapshot = vector
        var sent: [OracleDeltaRow] = []
        for (index, row) in rows.enumerated() {
            if variant == .endAnnouncesHalfReceived { snapshot.join(row.context) }
            guard let place = place(of: row, beyond: base, variant) else { continue }
            if let resume, !(resume.position < place),
                variant == .resumeWithoutLookingAgain || row.kernel.isCovered(by: resume.snapshot)
            {
                continue
            }
            var content = row
            content.kernel = leavingOut(row, base, variant)
            sent.append(OracleDeltaRow(row: index, place: place, content: content))
        }
        if sent.count > 1 { sent.sort { $0.place < $1.place } }
        return OracleDelta(base: base, snapshot: snapshot, rows: sent, members: members)
    }

    private func place(
        of row: OracleRow, beyond base: VersionVector, _ variant: OracleVariant?
    ) -> Dot? {
        var least: Dot?
        for write in row.kernel.writes where !base.contains(write.dot) {
            if variant == .deltaByCellDotsOnly, write.columns.isEmpty { continue }
            if variant == .halfReceivedNotOffered, !vector.contains(write.dot) { continue }
            if let least, least < write.dot { continue }
            least = write.dot
        }
        return least
    }

    /// The row's kernel without the values that the receiver must have.
    private func leavingOut(
        _ row: OracleRow, _ base: VersionVector, _ variant: OracleVariant?
    ) -> Kernel {
        var isAny = false
        var writes = row.kernel.writes
        for index in writes.indices {
            let dot = writes[index].dot
            guard
                base.contains(dot)
                    || variant == .valuesLeftOutByContext && row.context.contains(dot)
            else { continue }
            writes[index].values = []
            writes[index].areValuesOmitted = true
            isAny = true
        }
        return isAny ? Kernel(writes: writes) : row.kernel
    }

    // MARK: Receiving

    /// Joins one row. The vector does not move.
    ///
    /// - Parameter snapshot: the sender's vector in the snapshot that the row was read from.
    package mutating func join(
        _ sent: OracleDeltaRow, snapshot: VersionVector, variant: OracleVariant?
    ) {
        var held = rows[sent.row]
        let content = sent.content
        let mine = variant == .receiverVectorNotCounted ? VersionVector() : vector
        let theirs = variant == .senderVectorNotCounted ? VersionVector() : snapshot
        let context = held.context
        switch variant {
        case .contextsOnly:
            held.kernel.join(
                content.kernel, hasSeen: { context.contains($0) },
                otherHasSeen: { content.context.contains($0) })
        case .joinKeepsEverything:
            held.kernel.join(
                content.kernel, hasSeen: { _ in false }, otherHasSeen: { _ in false })
        default:
            held.kernel.join(
                content.kernel, hasSeen: { mine.contains($0) || context.contains($0) },
                otherHasSeen: { theirs.contains($0) || content.context.contains($0) })
        }
        held.context.join(content.context)
        if variant == .contextsOnly {
            // Contexts are never trimmed: they are all that speaks for the row.
        } else {
            if variant != .snapshotVectorForgotten { held.context.join(snapshot) }
            held.context = held.context.beyond(vector)
        }
        held.merged.formUnion(content.merged)
        rows[sent.row] = held
    }

    /// Moves the vector, at the end of a delta.
    package mutating func end(_ snapshot: VersionVector, variant: OracleVariant?) {
        vector.join(snapshot)
        if variant == .contextsOnly { return }
        for index in rows.indices where !rows[index].context.isEmpty {
            rows[index].context = rows[index].context.beyond(vector)
        }
    }

    // MARK: Collecting

    /// Removes the rows whose deletes are stable, and raises the floor; returns how many.
    package mutating func collect(
        as member: Int, _ policy: PresencePolicy, _ variant: OracleVariant?,
        index: (Dot) -> Int?
    ) -> Int {
        guard members.contains(origin) else { return 0 }
        statements[member] = vector
        let counted = members.present.map { statements[$0.replica] }
        if variant != .collectedWithoutWholeVector {
            for statement in counted where !vector.covers(statement) { return 0 }
        }
        for removal in members.removals {
            for statement in counted where !statement.contains(removal) { return 0 }
        }
        var count = 0
        for place in rows.indices where isCollectable(rows[place], counted, policy, variant) {
            for write in rows[place].kernel.writes {
                floor[write.dot.origin] = max(floor[write.dot.origin], write.dot.number)
                if let event = index(write.dot) { collected.insert(event) }
            }
            closed.formUnion(rows[place].merged)
            rows[place].kernel = Kernel()
            rows[place].context = VersionVector()
            count += 1
        }
        return count
    }

    private func isCollectable(
        _ row: OracleRow, _ statements: [VersionVector], _ policy: PresencePolicy,
        _ variant: OracleVariant?
    ) -> Bool {
        if row.kernel.isEmpty || row.kernel.isVisible(policy) { return false }
        if !row.context.isEmpty, variant != .contextsOnly { return false }
        for write in row.kernel.writes {
            if write.isPresent, !write.isDelete, variant != .hiddenRowsCollected { return false }
            for statement in statements where !statement.contains(write.dot) { return false }
        }
        return true
    }
}

extension VersionVector {
    /// The entries that `other` does not cover.
    package func beyond(_ other: VersionVector) -> VersionVector {
        if other.covers(self) { return VersionVector() }
        var result = VersionVector()
        for entry in entries where entry.number > other[entry.origin] {
            result[entry.origin] = entry.number
        }
        return result
    }
}
