// Compares a kernel with the events it stands for: write by write, and by everything a reader can
// ask of it.

package import CausalModel
import Values

/// What the oracle found wrong.
package struct OracleFailure: Error, Sendable, CustomStringConvertible {
    package var message: String
    package init(_ message: String) { self.message = message }
    package var description: String { message }
}

extension OracleHistory {
    /// Checks `kernel` against the exact set of events merged into it.
    ///
    /// - Parameters:
    ///   - merged: the events of one row.
    ///   - collected: events whose dots were collected as stable, and are rightly missing.
    package mutating func judge(
        _ kernel: Kernel, merged: EventSet, collected: EventSet
    ) -> OracleFailure? {
        let life = life(of: merged)
        let alive = life.any
        let expected = alive.subtracting(collected)
        if expected.isEmpty, kernel.isEmpty {
            return isVisible(merged, .addWins)
                ? OracleFailure("a visible row was collected") : nil
        }
        guard kernel.writes.count == expected.count else {
            return mismatch("live dots", kernel, expected)
        }
        for (place, write) in kernel.writes.enumerated() {
            if place > 0, !(kernel.writes[place - 1].dot < write.dot) {
                return mismatch("the order of dots", kernel, expected)
            }
            guard let index = index(of: write.dot), expected.contains(index) else {
                return mismatch("a live dot", kernel, expected)
            }
            if let what = difference(write, index, life) {
                return mismatch("the \(what) of \(name(write.dot))", kernel, expected)
            }
        }
        guard expected == alive else { return mismatch("collected dots", kernel, alive) }
        return isReadingNew(merged) ? judgeReading(kernel, merged, life) : nil
    }

    private func difference(_ write: Write, _ index: Int, _ life: OracleLife) -> String? {
        let event = events[index]
        if write.stamp != event.stamp { return "stamp" }
        if write.birth != event.birth { return "birth" }
        if write.isDelete != event.operation.isDelete { return "tag" }
        if write.isPresent != life.presence.contains(index) { return "presence" }
        if write.areValuesOmitted { return "left-out values" }
        let isAll = life.columns[columnCount].contains(index)
        if write.columns.isAll != isAll { return "further columns" }
        var listed = 0
        var valued = 0
        for column in 0..<columnCount {
            let isLive = life.columns[column].contains(index)
            if isLive != isAll {
                guard listed < write.columns.listed.count,
                    write.columns.listed[listed] == ColumnID(column)
                else { return "columns" }
                listed += 1
            }
            guard isLive, let value = event.value(column) else { continue }
            guard valued < write.values.count, write.values[valued].column == ColumnID(column),
                write.values[valued].value == value
            else { return "values" }
            valued += 1
        }
        if listed != write.columns.listed.count { return "columns" }
        return valued == write.values.count ? nil : "values"
    }

    private func judgeReading(
        _ kernel: Kernel, _ merged: EventSet, _ life: OracleLife
    ) -> OracleFailure? {
        for policy in [PresencePolicy.addWins, .deleteWins]
        where kernel.isVisible(policy) != isVisible(merged, policy) {
            return mismatch("visibility, \(policy)", kernel, life.any)
        }
        let birth = birth(merged, life)
        if kernel.birth != birth { return mismatch("the row's birth", kernel, life.any) }
        for column in 0...columnCount {
            let winner = shownEvent(column, merged, life, birth: birth)
            let value = winner.flatMap { events[$0].value(column) }
            if kernel.shown(ColumnID(column)) != value {
                return mismatch("what column \(column) shows", kernel, life.any)
            }
        }
        let found = kernel.conflicts.map { conflict -> Conflict in
            switch conflict {
            case .presence: .presence
            case .birth(let birth): .birth(birth)
            case .cell(let column, let losers):
                .cell(column: Int(column), losers: losers.map(\.dot))
            }
        }
        return found == conflicts(merged, life)
            ? nil : mismatch("conflicts", kernel, life.any)
    }

    // MARK: Words, built only for a failure

    private func name(_ dot: Dot) -> String { "\(dot.origin.low):\(dot.number)" }

    private func mismatch(_ what: String, _ kernel: Kernel, _ expected: EventSet) -> OracleFailure {
        let held = kernel.writes.map { write in
            let columns = (write.columns.isAll ? "all but " : "") + "\(write.columns.listed)"
            return "\(name(write.dot))\(write.isPresent ? (write.isDelete ? "−" : "+") : "")"
                + " \(columns)=\(write.values.map { "\($0.column):\($0.value)" })"
        }
        let wanted = expected.map { "\(name(events[$0].dot)) \(events[$0].operation)" }
        return OracleFailure(
            "wrong: \(what). Held: \(held.joined(separator: "; ")). Alive by the oracle: "
                + wanted.joined(separator: "; "))
    }
}
