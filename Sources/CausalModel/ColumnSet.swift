// The columns whose value a write still holds: a finite set, or all but a finite set.

/// A column of one table, numbered by the replica that holds the kernel.
package typealias ColumnID = Int32

/// A set of columns that may be "every column there is or will be".
///
/// An insert writes every column, those unknown to its writer included; an update writes a few.
/// Both kinds shrink as later writes replace them.
package struct ColumnSet: Hashable, Sendable {
    /// True: all columns except `listed`. False: just `listed`.
    package private(set) var isAll: Bool
    /// Ascending, without repetition.
    package private(set) var listed: [ColumnID]

    package static let all = ColumnSet(isAll: true, listed: [])
    package static let none = ColumnSet(isAll: false, listed: [])

    /// - Precondition: `listed` ascends without repetition.
    package init(isAll: Bool, listed: [ColumnID]) {
        self.isAll = isAll
        self.listed = listed
    }

    package init(_ columns: some Sequence<ColumnID>) {
        isAll = false
        listed = Set(columns).sorted()
    }

    package var isEmpty: Bool { !isAll && listed.isEmpty }

    package func contains(_ column: ColumnID) -> Bool { listed.contains(column) != isAll }

    /// What stays after `columns` were replaced.
    package mutating func subtract(_ columns: ColumnSet) {
        switch (isAll, columns.isAll) {
        case (true, true):
            // Of all but A, without all but B: the columns of B that are not in A.
            listed = columns.listed.filter { !listed.contains($0) }
            isAll = false
        case (true, false): listed = merged(listed, columns.listed)
        case (false, true): listed.removeAll { !columns.listed.contains($0) }
        case (false, false):
            if !columns.listed.isEmpty { listed.removeAll { columns.listed.contains($0) } }
        }
    }

    package func intersection(_ other: ColumnSet) -> ColumnSet {
        if self == other { return self }
        switch (isAll, other.isAll) {
        case (true, true): return ColumnSet(isAll: true, listed: merged(listed, other.listed))
        case (true, false):
            return ColumnSet(isAll: false, listed: other.listed.filter { !listed.contains($0) })
        case (false, true):
            return ColumnSet(isAll: false, listed: listed.filter { !other.listed.contains($0) })
        case (false, false):
            return ColumnSet(isAll: false, listed: listed.filter { other.listed.contains($0) })
        }
    }

    private func merged(_ left: [ColumnID], _ right: [ColumnID]) -> [ColumnID] {
        if right.isEmpty { return left }
        if left.isEmpty { return right }
        return Set(left).union(right).sorted()
    }
}
