// The end of a copy: what it did not bring goes, or is issued again with everything that only this
// replica has.

internal import CausalModel
internal import Codec
internal import SQLite
internal import Values

extension Replica {
    /// Decides on every row that the copy did not bring, then issues again what only this replica has; a
    /// replica that does not settle is left alone.
    ///
    /// A row whose changes the copy has all seen was deleted and collected elsewhere: it goes here too. One
    /// that the copy's source had not heard of from a member that takes part stays as half received: that
    /// member will tell. Any other is issued again whole. In short transactions, and it goes on after a
    /// crash where it stopped. Complexity: O(rows).
    package func settleJoining() throws {
        while joining?.phase == .settling {
            let isDone = try write {
                guard joining?.phase == .settling else { return true }
                var count = try settleUnmentioned()
                if count == 0 { count = try reissueOwn() }
                try saveOwnNumber()
                return count == 0
            }
            if isDone { try write { try finishJoining() } }
        }
    }

    /// Rows that the copy did not bring, or that it may have brought back, up to one transaction of them;
    /// returns how many were found.
    private func settleUnmentioned() throws -> Int {
        guard let joining, !joining.began.isEmpty, !isBroken(.unmentionedKept) else { return 0 }
        var mentioned: [Int64] = []
        for row in try connection.query("SELECT id, vector FROM _starling_snapshot") {
            if case .integer(let id) = row[0], case .blob(let bytes) = row[1],
                try VersionVector(decoding: bytes).covers(joining.began.joined(joining.former))
            {
                mentioned.append(id)
            }
        }
        let list = mentioned.map(String.init).joined(separator: ",")
        let after = try settled()
        let telling = try tellingOrigins(joining)
        let found = try connection.query(
            """
            SELECT tbl, key FROM _starling_row
            WHERE (tbl, key) > (?1, ?2) AND (context IS NULL OR context NOT IN (\(list)))
            ORDER BY tbl, key LIMIT ?3
            """,
            [.integer(after.table), .blob(after.key), .integer(Int64(bounds.foldEntriesMax))])
        var last = after
        for row in found {
            guard case .integer(let id) = row[0], case .blob(let key) = row[1] else { continue }
            last = (id, key)
            guard let entry = tables[id] else { continue }
            try settleUnmentioned(entry, key: key, joining, telling)
        }
        try Bookkeeping.setMeta("settled_table", .integer(last.table), in: connection)
        try Bookkeeping.setMeta("settled_key", .blob(last.key), in: connection)
        return found.count
    }

    private func settled() throws -> (table: Int64, key: [UInt8]) {
        guard case .integer(let id)? = try Bookkeeping.meta("settled_table", in: connection),
            case .blob(let key)? = try Bookkeeping.meta("settled_key", in: connection)
        else { return (-1, []) }
        return (id, key)
    }

    private func settleUnmentioned(
        _ entry: TableEntry, key: [UInt8], _ joining: Joining, _ telling: Set<Origin>
    ) throws {
        guard let old = try loadCaptured(entry, key: key) else { return }
        if old.isHollow { throw StoreError.hollow(entry) }
        var row = old
        if old.context?.covers(joining.began) == true {
            guard wasCollected(old.kernel, joining) else { return }
            row.kernel.delete(nextSettledDot(), row.kernel.stamp(atLeast: clock))
            try settle(entry, key: key, old: old, row: &row)
            try noteTouched(entry, key: key, old: old, row: row)
            return try save(entry, key: key, old: old, row: row)
        }
        if old.kernel.isCovered(by: joining.copied) {
            row.kernel = Kernel()
            row.context = nil
            try settle(entry, key: key, old: old, row: &row)
            try noteTouched(entry, key: key, old: old, row: row)
            return try forget(entry, key: key, old: old)
        }
        // What others will tell waits for them as half received: their deletes have not seen a new dot.
        let waiting = isBroken(.heardIssuedAgain) ? [] : telling
        let isWaiting = { !joining.copied.contains($0) && waiting.contains($0.origin) }
        let beyond = old.kernel.writes.map(\.dot).filter { !joining.copied.contains($0) }
        guard !beyond.allSatisfy(isWaiting) else {
            // Without a context it would have seen the vector from here on, which is the copy's.
            row.context = seen(by: old)
            return try save(entry, key: key, old: old, row: row)
        }
        try issue(entry, key: key, old: old) { !isWaiting($0.dot) }
    }

    /// Origins of members that take part, and will tell what is theirs: by the copy, or by a word since of
    /// one that takes part by the copy. Whoever let in one of whom it says nothing may have been removed by
    /// then, and who was evicted may have said itself that it goes on: those who made the copy have
    /// collected without asking such a one.
    private func tellingOrigins(_ joining: Joining) throws -> Set<Origin> {
        let telling = activeOrigins.subtracting(lostOrigins)
        guard let copiedColumn, !joining.began.isEmpty, !isBroken(.unknownToCopyHeard) else {
            return telling
        }
        let words = try wordsOfCopy(copiedColumn, joining)
        return telling.filter { origin in
            guard let node = knownAuthors[origin], let word = words[[.string(node)]] else {
                return false
            }
            if word.isListed || isBroken(.evictedByCopyHeard) { return true }
            guard let author = word.since.flatMap({ knownAuthors[$0] }) else { return false }
            return words[[.string(author)]]?.isListed ?? false
        }
    }

    /// What a copy says of one member.
    private struct CopiedWord {
        /// It has joined, under whatever origin.
        var isListed: Bool
        /// By whom something else is said of that, beyond the copy.
        var since: Origin?
    }

    /// The members of whom the copy says anything, by key.
    private func wordsOfCopy(_ place: (table: String, column: String), _ joining: Joining) throws
        -> [[Value]: CopiedWord]
    {
        guard let entry = self.table(named: place.table),
            let column = entry.column(named: place.column)
        else { return [:] }
        let keys = try connection.query(
            "SELECT key FROM _starling_row WHERE tbl = ?1", [.integer(entry.id)])
        return try keys.reduce(into: [:]) { found, row in
            guard case .blob(let key) = row[0], let row = try load(entry, key: key) else { return }
            let copied = row.kernel.writes.filter { joining.copied.contains($0.dot) }
            guard !copied.isEmpty else { return }
            let kernel = Kernel(writes: copied)
            var isListed = false
            if case .text(let bytes)? = kernel.shown(column) {
                isListed = !bytes.isEmpty && kernel.isVisible(entry.policy)
            }
            let word = row.kernel.winner(column)?.dot
            let since = word.flatMap { joining.copied.contains($0) ? nil : $0.origin }
            found[try decodeKey(key)] = CopiedWord(isListed: isListed, since: since)
        }
    }

    /// Origins of which what lies beyond the copy comes from nobody else.
    private var lostOrigins: Set<Origin> {
        let provisional = joining.map { $0.abandoned + [$0.provisional] } ?? []
        return Set(provisional + endedOrigins + removedOrigins).subtracting([origin])
    }

    /// Whether this replica had all of a row that only the copy brought: it was deleted and forgotten here,
    /// by members who did not count the one that the copy is from.
    private func wasCollected(_ kernel: Kernel, _ joining: Joining) -> Bool {
        !isBroken(.collectedComesBack) && !kernel.isDeleted && kernel.isCovered(by: joining.former)
            && kernel.isCovered(by: floor)
    }

    /// Takes a kernel out of the bookkeeping; its row has left the app's table.
    private func forget(_ entry: TableEntry, key: [UInt8], old: Row) throws {
        let kernel = Kernel()
        statements.removeRow.reset()
        try statements.removeRow.bind(entry.id, at: 1)
        try statements.removeRow.bind(blob: key, at: 2)
        try statements.removeRow.run()
        try saveHeads(entry, key: key, old: old.kernel, new: kernel)
        try saveDeleted(entry, key: key, old: old.kernel, new: kernel)
        try saveConflicts(entry, key: key, old: old.kernel, new: kernel)
        entry.digest = entry.digest &- old.counted
        changedTables.insert(entry.id)
        hasVisibleChange = true
    }

    /// Issues again what lies beyond the copy under origins of this replica's own, of members who were
    /// removed, and of whoever takes part no more, known or not; returns how many rows.
    private func reissueOwn() throws -> Int {
        guard let joining else { return 0 }
        let provisional = Set(joining.abandoned + [joining.provisional])
        // Who takes part tells its own. The copy's source may know of nobody else who wrote what was here.
        let had = isBroken(.unheardKept) ? [] : joining.former.entries.map(\.origin)
        let telling = try tellingOrigins(joining)
        let lost = lostOrigins.union(Set(had).subtracting(telling).subtracting([origin]))
        var count = 0
        for past in lost.sorted() where count < bounds.foldEntriesMax {
            let beyond = provisional.contains(past) ? 0 : joining.copied[past]
            let limit = bounds.foldEntriesMax - count
            for (entry, key) in try rowsBeyond(past, number: beyond, limit: limit) {
                guard let old = try loadCaptured(entry, key: key) else { continue }
                if old.isHollow { throw StoreError.hollow(entry) }
                let isIssued = try issue(entry, key: key, old: old) {
                    lost.contains($0.dot.origin)
                        && (provisional.contains($0.dot.origin)
                            || !joining.copied.contains($0.dot))
                }
                if isIssued { count += 1 }
            }
        }
        return count
    }

    /// Gives those writes of a row new dots, and saves it. Where the rest is a deleted row, others may have
    /// forgotten it: it is issued again with them, and where deletes do not win, their insert or update
    /// replaces the deletes.
    @discardableResult
    private func issue(
        _ entry: TableEntry, key: [UInt8], old: Row, which isLost: (Write) -> Bool
    ) throws -> Bool {
        var row = old
        var seen = self.seen(by: old) ?? VersionVector()
        seen.join(vector)
        let lost = old.kernel.writes.filter(isLost)
        guard !lost.isEmpty else { return false }
        let rest = Kernel(writes: old.kernel.writes.filter { !isLost($0) })
        let isReplacing = entry.policy == .addWins && lost.contains(where: \.isPresent)
        let believed = believedColumns(entry, rest)
        let given = vector[origin]
        var writes = old.kernel.writes.map { write in
            var write = write
            guard isLost(write) || rest.isDeleted && !isBroken(.forgottenDeleteMet) else {
                return write
            }
            if seen[write.dot.origin] < write.dot.number {
                seen[write.dot.origin] = write.dot.number
            }
            if isReplacing, !isLost(write) { write.isPresent = false }
            if let believed, isLost(write) {
                write.lose(believed)
                if let copied = rest.writes.map(\.birth).max(), isBroken(.believedLeftBehind) {
                    write.birth = min(write.birth, copied)
                }
            }
            if !write.isDead { write.dot = nextSettledDot() }
            return write
        }
        if let believed, vector[origin] == given, !isBroken(.believedGoneUnsaid) {
            confirm(believed, &writes, &seen)
        }
        if let believed { writes += saidAnew(believed, rest, writes) }
        row.kernel = Kernel(writes: writes)
        guard row.kernel != old.kernel else { return false }
        for own in joining.map({ $0.abandoned + [$0.provisional] }) ?? [] { seen[own] = 0 }
        row.context = seen
        try settle(entry, key: key, old: old, row: &row)
        try noteTouched(entry, key: key, old: old, row: row)
        try save(entry, key: key, old: old, row: row)
        return true
    }

    /// All that was lost of a row went for what the copy brought: that has a new number, or nobody who has it
    /// would hear that the rest is gone.
    private func confirm(
        _ believed: ColumnSet, _ writes: inout [Write], _ seen: inout VersionVector
    ) {
        for place in writes.indices
        where writes[place].values.contains(where: { believed.contains($0.column) }) {
            let dot = writes[place].dot
            seen[dot.origin] = max(seen[dot.origin], dot.number)
            writes[place].dot = nextSettledDot()
        }
    }

    /// A row that was once inserted anew hides what the copy brought of before: that is said again beside it.
    /// The row cannot be as of before again: others may have changed it since, and would hide the rest.
    private func saidAnew(_ believed: ColumnSet, _ rest: Kernel, _ writes: [Write]) -> [Write] {
        guard let latest = writes.map(\.birth).max(), !isBroken(.believedBornAnew) else {
            return []
        }
        return rest.valuedColumns.filter(believed.contains).compactMap { column in
            guard let word = rest.winner(column), word.birth < latest,
                let value = word.value(column)
            else { return nil }
            return Write(
                dot: nextSettledDot(), stamp: word.stamp, birth: latest, isPresent: false,
                columns: ColumnSet([column]), values: [ColumnValue(column, value)])
        }
    }

    /// The columns of a row in which what the copy brought stands alone; nil for none.
    private func believedColumns(_ entry: TableEntry, _ rest: Kernel) -> ColumnSet? {
        guard let copiedColumn, TableEntry.folded(entry.name) == copiedColumn.table,
            let column = entry.column(named: copiedColumn.column),
            rest.valuedColumns.contains(column)
        else { return nil }
        return ColumnSet([column])
    }

    /// A number under the origin that goes on.
    private func nextSettledDot() -> Dot {
        let number = vector[origin] + 1
        vector[origin] = number
        return Dot(origin, number)
    }

    /// Nothing of the provisional origin is left: the new life begins.
    private func finishJoining() throws {
        guard let joining, joining.phase == .settling else { return }
        // A program may have written since.
        guard try reissueOwn() == 0 else { return }
        if !joining.began.isEmpty, !isBroken(.copyWithoutFloor) {
            // What was forgotten here and not there was deleted again.
            floor = joining.floor
            try Bookkeeping.setMeta("floor", .blob(floor.encoded), in: connection)
        }
        if isBroken(.contextsForgotten) {
            let own = Set(endedOrigins + joining.abandoned + [joining.provisional])
            for id in try idleSnapshots(own.contains) {
                try connection.run("DELETE FROM _starling_snapshot WHERE id = ?1", [.integer(id)])
            }
            lastSnapshot = nil
        }
        vector[joining.provisional] = 0
        try connection.run(
            "UPDATE _starling_origin SET seen = 0 WHERE ord = ?1",
            [.integer(Int64(try ordinalForWriting(joining.provisional)))])
        try connection.run("DELETE FROM _starling_copy")
        try connection.run(
            "DELETE FROM _starling_meta WHERE name IN ('settled_table', 'settled_key')")
        self.joining = nil
        try saveJoining()
        try saveOwnNumber()
        problems["origin"] = joiningReason.map { "continues under a new origin: \($0)" }
    }

    /// Snapshots that say nothing beyond the vector but of origins that bring nothing any more.
    func idleSnapshots(_ isOver: (Origin) -> Bool) throws -> [Int64] {
        try connection.query("SELECT id, vector FROM _starling_snapshot").compactMap { row in
            guard case .integer(let id) = row[0], case .blob(let bytes) = row[1] else { return nil }
            let seen = try VersionVector(decoding: bytes)
            let isIdle = seen.entries.allSatisfy {
                isOver($0.origin) || $0.number <= vector[$0.origin]
            }
            return isIdle ? id : nil
        }
    }
}
