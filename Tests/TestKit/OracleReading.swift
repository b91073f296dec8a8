// What a row must be, declared over a set of events: no joins, no contexts, no kernels. The
// definitions are those of the design; ties of the ceiling stamp are settled by causality.

package import CausalModel
import Values

/// The live part of one row's events.
package struct OracleLife: Sendable {
    /// Events that nothing in the set has replaced as presence.
    package var presence: EventSet
    /// The same per column; the last entry stands for every column beyond the named ones.
    package var columns: [EventSet]

    /// Events that are alive in any way.
    package var any: EventSet {
        var result = presence
        for column in columns { result.formUnion(column) }
        return result
    }
}

extension OracleHistory {
    /// Which of `merged`, events of one row, are alive, and as what.
    ///
    /// An operation replaces the presence of all it saw; a write of a column replaces all writes of
    /// that column that it saw.
    package func life(of merged: EventSet) -> OracleLife {
        var overwritten = EventSet()
        var written = [EventSet](repeating: EventSet(), count: columnCount + 1)
        var replaced = written
        for index in merged {
            let seen = events[index].seen
            overwritten.formUnion(seen)
            var mask = events[index].columns
            while mask != 0 {
                let column = mask.trailingZeroBitCount
                mask &= mask &- 1
                written[column].insert(index)
                replaced[column].formUnion(seen)
            }
        }
        for column in written.indices { written[column].subtract(replaced[column]) }
        return OracleLife(presence: merged.subtracting(overwritten), columns: written)
    }

    /// visible(r): add-wins: some maximal event inserts or updates; delete-wins: all do.
    package func isVisible(_ merged: EventSet, _ policy: PresencePolicy) -> Bool {
        var overwritten = EventSet()
        for index in merged { overwritten.formUnion(events[index].seen) }
        var additions = 0
        var deletions = 0
        for index in merged.subtracting(overwritten) {
            if events[index].operation.isDelete { deletions += 1 } else { additions += 1 }
        }
        return additions > 0 && (policy == .addWins || deletions == 0)
    }

    /// birth(r): the greatest (stamp, origin) among inserts of the row.
    ///
    /// Where the ceiling was reached, an insert can be no greater than what it replaced: then the
    /// greatest birth among events that are still alive.
    package func birth(_ merged: EventSet, _ life: @autoclosure () -> OracleLife) -> Birth? {
        var best: Birth?
        for index in hasCeiling ? life().any : open(merged) {
            guard hasCeiling || events[index].operation.isInsert else { continue }
            let birth = events[index].birth
            if let held = best, birth < held { continue }
            best = birth
        }
        return best
    }

    /// shown(r,c): the write with the greatest (birth, stamp, origin), overwritten ones included:
    /// what saw a write always beats it.
    ///
    /// Where the ceiling was reached, the greatest among those not overwritten, if it is of the
    /// row's birth.
    package func shownEvent(
        _ column: Int, _ merged: EventSet, _ life: OracleLife, birth: Birth?
    ) -> Int? {
        var best: Int?
        let bit: ColumnMask = 1 << ColumnMask(column)
        for index in hasCeiling ? life.columns[column] : open(merged)
        where events[index].columns & bit != 0 {
            if let held = best, events[index].isBeaten(by: events[held]) { continue }
            best = index
        }
        guard let best, !hasCeiling || events[best].birth == birth else { return nil }
        return best
    }

    /// One conflict as the oracle names it.
    package enum Conflict: Hashable, Sendable {
        case presence
        /// The dots of the losers, ascending by LWW order.
        case cell(column: Int, losers: [Dot])
        case birth(Birth)
    }

    /// Exactly true concurrency: live events that did not see each other and say different things.
    ///
    /// A row that is deleted and that nothing contests has none: it may be collected at any time,
    /// and collecting changes nothing that anyone can see.
    package func conflicts(_ merged: EventSet, _ life: OracleLife) -> [Conflict] {
        var isInserted = false
        var isDeleted = false
        for index in life.presence {
            if events[index].operation.isDelete { isDeleted = true } else { isInserted = true }
        }
        guard isInserted, let birth = birth(merged, life) else { return [] }
        var found: [Conflict] = isDeleted ? [.presence] : []
        var elders: Set<Birth> = []
        for column in 0..<columnCount {
            let winner = shownEvent(column, merged, life, birth: birth)
            let shown = winner.flatMap { events[$0].value(column) }
            var losers: [GhostEvent] = []
            for index in life.columns[column] where events[index].value(column) != shown {
                if events[index].birth != birth {
                    elders.insert(events[index].birth)
                } else {
                    losers.append(events[index])
                }
            }
            if losers.isEmpty { continue }
            losers.sort { $0.isBeaten(by: $1) }
            found.append(.cell(column: column, losers: losers.map(\.dot)))
        }
        return found + elders.sorted().map { .birth($0) }
    }
}
