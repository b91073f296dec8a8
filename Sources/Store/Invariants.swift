// What must always hold and is cheap to look at, in release builds, too. What does not hold is said aloud,
// and the node goes on: nothing is lost by that, and a person can look.

internal import CausalModel

extension Replica {
    /// Looks at a row that came, before it is joined. Complexity: O(writes of the row, and
    /// their values).
    ///
    /// - A dot names one change for ever: the same one with another stamp or value is a file that went back
    ///   and was not noticed, or a lie.
    /// - What lies below the floor is seen by whoever writes: nobody changes a row that was collected here.
    func expectSound(
        _ entry: TableEntry, _ held: Kernel?, _ writes: [Write], hasSeen: (Dot) -> Bool
    ) {
        guard let held else {
            let base = writes.first { $0.columns.isAll && hasSeen($0.dot) }
            guard let base, floor.contains(base.dot),
                writes.contains(where: { $0.isPresent && !$0.isDelete && !hasSeen($0.dot) })
            else { return }
            return noteBroken(
                "a change of a row of \(entry.name) came whose writer had not seen the delete that is "
                    + "forgotten here")
        }
        // Both ascend by dot.
        var mine = held.writes[...]
        for write in writes {
            while let first = mine.first, first.dot < write.dot { mine.removeFirst() }
            guard let same = mine.first, same.dot == write.dot else { continue }
            guard same.stamp != write.stamp || same.birth != write.birth || differs(same, write)
            else { continue }
            noteBroken(
                "two changes of a row of \(entry.name) have one number, \(write.dot.number) of "
                    + "\(write.dot.origin.hex.prefix(8))")
        }
    }

    /// Whether both have a value of one column, and not the same.
    private func differs(_ mine: Write, _ came: Write) -> Bool {
        guard !mine.areValuesOmitted, !came.areValuesOmitted, mine.values != came.values else {
            return false
        }
        var held = mine.values[...]
        for value in came.values {
            while let first = held.first, first.column < value.column { held.removeFirst() }
            if let same = held.first, same.column == value.column, same.value != value.value {
                return true
            }
        }
        return false
    }

    /// Says that something does not hold that must; the first one stays until the node ends.
    func noteBroken(_ what: String) {
        guard problems["invariant"] == nil else { return }
        problems["invariant"] = "what must never be has been: \(what)"
    }
}
