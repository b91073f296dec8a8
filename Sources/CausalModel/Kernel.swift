// The causal kernel of one row: the writes that are still alive in it, and the total,
// commutative, associative, idempotent join of two kernels.

package import Values

/// One column's value inside a write.
package struct ColumnValue: Hashable, Sendable {
    package var column: ColumnID
    package var value: Value

    package init(_ column: ColumnID, _ value: Value) {
        self.column = column
        self.value = value
    }
}

/// What is left of one dot in one row.
///
/// A dot is alive as presence (`isPresent`), as the value of some columns (`columns`), or both.
/// A write with neither is dropped from its kernel.
package struct Write: Hashable, Sendable {
    package var dot: Dot
    package var stamp: Stamp
    package var birth: Birth
    /// The tag of the presence: − for a delete, + for an insert or update.
    package var isDelete: Bool
    package var isPresent: Bool
    package var columns: ColumnSet
    /// The values, ascending by column, of live columns only. A column of `columns` without a value
    /// was unknown to the writer: it shows its default.
    package var values: [ColumnValue]
    /// True when a delta left the values out because its base vector covers the dot.
    package var areValuesOmitted: Bool

    package init(
        dot: Dot, stamp: Stamp, birth: Birth, isDelete: Bool = false, isPresent: Bool = true,
        columns: ColumnSet, values: [ColumnValue] = [], areValuesOmitted: Bool = false
    ) {
        self.dot = dot
        self.stamp = stamp
        self.birth = birth
        self.isDelete = isDelete
        self.isPresent = isPresent
        self.columns = columns
        self.values = values
        self.areValuesOmitted = areValuesOmitted
    }

    package var isDead: Bool { !isPresent && columns.isEmpty }

    package func value(_ column: ColumnID) -> Value? {
        for entry in values where entry.column == column { return entry.value }
        return nil
    }

    /// LWW order: birth first, then stamp, then the origin's bytes; the number settles writes of
    /// one origin that took the ceiling.
    package func isBeaten(by other: Write) -> Bool {
        if birth != other.birth { return birth < other.birth }
        if stamp != other.stamp { return stamp < other.stamp }
        return dot < other.dot
    }

    /// Replaces the columns in `replaced`: they are no longer this write's.
    package mutating func lose(_ replaced: ColumnSet) {
        columns.subtract(replaced)
        trimValues()
    }

    package mutating func trimValues() {
        if columns.isAll && columns.listed.isEmpty { return }
        values.removeAll { !columns.contains($0.column) }
    }
}

/// Which of concurrent presence tags wins, by table.
package enum PresencePolicy: UInt8, Sendable {
    case addWins = 0
    case deleteWins = 1
}

/// The live writes of one row, sorted by dot.
///
/// Presence is an OR-Set (Shapiro, Preguiça, Baquero, Zawirski 2011) without tombstones: a removed
/// dot is known by being seen and absent. Cells are multi-value registers shown as LWW. What a
/// kernel has *seen* is not stored here: it is the row's context and the replica's vector, given
/// to `join` by the caller.
package struct Kernel: Hashable, Sendable {
    package private(set) var writes: [Write]

    package init() { writes = [] }

    /// - Precondition: every dot occurs once; dead writes are dropped, the rest sorted.
    package init(writes: [Write]) {
        self.writes = writes.count == 1 ? writes : writes.sorted { $0.dot < $1.dot }
        self.writes.removeAll { $0.isDead }
    }

    package var isEmpty: Bool { writes.isEmpty }

    // MARK: Reading

    /// The greatest birth: that of the incarnation that is shown.
    package var birth: Birth? { writes.lazy.map(\.birth).max() }

    package var greatestStamp: Stamp { writes.lazy.map(\.stamp).max() ?? .zero }

    package func isVisible(_ policy: PresencePolicy) -> Bool {
        var hasInsert = false
        var hasDelete = false
        for write in writes where write.isPresent {
            if write.isDelete { hasDelete = true } else { hasInsert = true }
        }
        return hasInsert && (policy == .addWins || !hasDelete)
    }

    /// No insert or update is alive: nobody sees the row, and nothing contests that.
    ///
    /// Such a row has no conflict and may be collected; no digest counts it.
    package var isDeleted: Bool { !writes.contains { $0.isPresent && !$0.isDelete } }

    /// A + and a − are alive together: an update or insert, and a delete, that did not see each
    /// other.
    package var isPresenceContested: Bool {
        writes.contains { $0.isPresent && $0.isDelete }
            && writes.contains { $0.isPresent && !$0.isDelete }
    }

    /// The write whose value is shown in `column`; nil when the column shows its default.
    package func winner(_ column: ColumnID) -> Write? {
        guard let best = winnerIndex(column) else { return nil }
        return writes[best]
    }

    package func winnerIndex(_ column: ColumnID) -> Int? {
        var best: Int?
        for index in writes.indices where writes[index].columns.contains(column) {
            if best.map({ writes[$0].isBeaten(by: writes[index]) }) ?? true { best = index }
        }
        guard let best, writes[best].birth == birth else { return nil }
        return best
    }

    /// The value shown in `column`; nil when it is the column's default.
    package func shown(_ column: ColumnID) -> Value? { winner(column)?.value(column) }

    /// Every column that a live write holds a value of, ascending.
    package var valuedColumns: [ColumnID] {
        if writes.count == 1 { return writes[0].values.map(\.column) }
        var columns: Set<ColumnID> = []
        for write in writes { for entry in write.values { columns.insert(entry.column) } }
        return columns.sorted()
    }

    /// True when `seen` covers every live dot.
    package func isCovered(by seen: VersionVector) -> Bool {
        writes.allSatisfy { seen.contains($0.dot) }
    }

    // MARK: Local writes

    /// A stamp for a local write: `wanted`, or the least above every stamp of the row.
    package func stamp(atLeast wanted: Stamp) -> Stamp {
        writes.isEmpty || isBroken(.stampNotAboveRow) ? wanted : max(wanted, greatestStamp.next)
    }

    /// An insert by a program that saw no row under this key: it replaces all live dots.
    package mutating func insert(_ dot: Dot, _ stamp: Stamp, values: [ColumnValue]) {
        writes = [Kernel.insertWrite(dot, stamp, values: values)]
    }

    /// An insert over a row that is visible but parked: the program never saw that row, so both
    /// stay.
    package mutating func insertBeside(_ dot: Dot, _ stamp: Stamp, values: [ColumnValue]) {
        add(Kernel.insertWrite(dot, stamp, values: values))
    }

    private static func insertWrite(_ dot: Dot, _ stamp: Stamp, values: [ColumnValue]) -> Write {
        Write(
            dot: dot, stamp: stamp, birth: Birth(stamp, dot.origin), columns: .all, values: values)
    }

    /// An update of `columns`: it replaces all live presence and all live dots of those columns.
    ///
    /// - Precondition: the row has a birth, or the write makes one as an insert does.
    package mutating func update(
        _ dot: Dot, _ stamp: Stamp, columns: ColumnSet, values: [ColumnValue]
    ) {
        let birth = birth ?? Birth(stamp, dot.origin)
        replacePresence()
        if !columns.isEmpty {
            for index in writes.indices { writes[index].lose(columns) }
        }
        add(Write(dot: dot, stamp: stamp, birth: birth, columns: columns, values: values))
    }

    /// A delete: it replaces all live presence; cells stay alive, so that a concurrent update
    /// brings back the whole row.
    ///
    /// `erasing` also replaces every column, for a delete whose old values are not known.
    package mutating func delete(_ dot: Dot, _ stamp: Stamp, erasing: Bool = false) {
        let birth = birth ?? Birth(stamp, dot.origin)
        if erasing { writes = [] }
        replacePresence()
        let columns: ColumnSet = erasing ? .all : .none
        add(Write(dot: dot, stamp: stamp, birth: birth, isDelete: true, columns: columns))
    }

    private mutating func replacePresence() {
        for index in writes.indices { writes[index].isPresent = false }
    }

    private mutating func add(_ write: Write) {
        writes.removeAll { $0.isDead }
        let place = writes.firstIndex { write.dot < $0.dot } ?? writes.endIndex
        writes.insert(write, at: place)
    }

    /// Sets the value of `column` in the write of `dot`; used when values are read from a table.
    package mutating func setValues(_ values: [ColumnValue], ofWriteAt index: Int) {
        writes[index].values = values
    }

    // MARK: Join

    /// The join of two kernels of one row: a dot stays that both have, or that one has and the
    /// other has not seen.
    ///
    /// - Parameters:
    ///   - hasSeen: what the holder of `self` has seen: the row's context and its vector.
    ///   - otherHasSeen: the same of the sender: the row's context and its snapshot vector.
    package mutating func join(
        _ other: Kernel, hasSeen: (Dot) -> Bool, otherHasSeen: (Dot) -> Bool
    ) {
        var result: [Write] = []
        result.reserveCapacity(writes.count + other.writes.count)
        var mine = 0
        var theirs = 0
        while mine < writes.count || theirs < other.writes.count {
            if theirs == other.writes.count
                || mine < writes.count && writes[mine].dot < other.writes[theirs].dot
            {
                if !otherHasSeen(writes[mine].dot) { result.append(writes[mine]) }
                mine += 1
            } else if mine == writes.count || other.writes[theirs].dot < writes[mine].dot {
                if !hasSeen(other.writes[theirs].dot) { result.append(other.writes[theirs]) }
                theirs += 1
            } else {
                let both = Kernel.merged(writes[mine], other.writes[theirs])
                if !both.isDead { result.append(both) }
                mine += 1
                theirs += 1
            }
        }
        writes = result
    }

    /// One dot that both sides still have: alive where it is alive in both.
    ///
    /// A dot names one change, so the rest of the two is equal; should it differ, after damage or
    /// from a hostile member, the greater is taken on every side.
    private static func merged(_ left: Write, _ right: Write) -> Write {
        var write = left.areValuesOmitted ? right : left
        if left.stamp != right.stamp || left.birth != right.birth {
            write.stamp = max(left.stamp, right.stamp)
            write.birth = max(left.birth, right.birth)
        }
        write.isDelete = left.isDelete || right.isDelete
        write.isPresent = left.isPresent && right.isPresent
        write.columns = left.columns.intersection(right.columns)
        write.areValuesOmitted = left.areValuesOmitted && right.areValuesOmitted
        if !left.areValuesOmitted, !right.areValuesOmitted, left.values != right.values {
            write.values = mergedValues(left.values, right.values)
        }
        write.trimValues()
        return write
    }

    /// The values of both; of two that differ, the one that a fixed order puts last.
    private static func mergedValues(_ left: [ColumnValue], _ right: [ColumnValue])
        -> [ColumnValue]
    {
        var values: [ColumnID: Value] = [:]
        for entry in left + right {
            guard let held = values[entry.column] else {
                values[entry.column] = entry.value
                continue
            }
            if held.precedes(entry.value) { values[entry.column] = entry.value }
        }
        return values.keys.sorted().compactMap { column in
            values[column].map { ColumnValue(column, $0) }
        }
    }
}
