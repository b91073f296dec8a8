// What a person may want to look at in a row after a merge: exactly true concurrency, nothing else.

/// One conflict of one row.
package enum RowConflict: Hashable, Sendable {
    /// Writes of one column that did not see each other hold other values than the one shown.
    /// `losers` ascend by LWW order.
    case cell(column: ColumnID, losers: [Write])
    /// A row born apart under the same key is kept whole beside the one shown.
    case birth(Birth)
    /// A delete and an insert or update did not see each other.
    case presence
}

extension Kernel {
    /// All conflicts of this row, in a fixed order.
    ///
    /// Siblings and elder births whose values equal what is shown are none: two copies of one
    /// database join in silence. A row that is deleted and that no insert or update contests has
    /// none either: it may be collected, and collecting changes nothing that anyone can see.
    /// Complexity: O(writes × columns).
    package var conflicts: [RowConflict] {
        guard writes.count > 1, let birth, writes.contains(where: { $0.isPresent && !$0.isDelete })
        else { return [] }
        var found: [RowConflict] = []
        if isPresenceContested { found.append(.presence) }
        let columns = valuedColumns
        for column in columns {
            let losers = siblings(column, birth: birth)
            if !losers.isEmpty { found.append(.cell(column: column, losers: losers)) }
        }
        for elder in Set(writes.map(\.birth)).sorted() where elder != birth {
            let differs = columns.contains { column in
                writes.contains { write in
                    write.birth == elder && write.columns.contains(column)
                        && write.value(column) != shown(column)
                }
            }
            if differs { found.append(.birth(elder)) }
        }
        return found
    }

    /// Live writes of `column` in the shown incarnation whose value differs from the shown one.
    private func siblings(_ column: ColumnID, birth: Birth) -> [Write] {
        guard let winner = winner(column) else { return [] }
        return writes.filter {
            $0.birth == birth && $0.columns.contains(column) && $0.dot != winner.dot
                && $0.value(column) != winner.value(column)
        }.sorted { $0.isBeaten(by: $1) }
    }

    /// The row as the incarnation `elder` holds it, for the columns it still has values of.
    package func values(of elder: Birth) -> [ColumnValue] {
        valuedColumns.compactMap { column in
            let candidates = writes.filter { $0.birth == elder && $0.columns.contains(column) }
            guard let best = candidates.max(by: { $0.isBeaten(by: $1) }),
                let value = best.value(column)
            else { return nil }
            return ColumnValue(column, value)
        }
    }

    /// What is shown in every column that has a value.
    package var shownValues: [ColumnValue] {
        valuedColumns.compactMap { column in shown(column).map { ColumnValue(column, $0) } }
    }
}
