// Snapshots by members, and what they let go: entries and older snapshots, after the time of grace.

package import RelayProtocol
internal import Values

extension RelayStore {
    /// A snapshot as a reader needs it.
    package struct Snapshot: Sendable {
        package var id: Int64
        package var covers: LogPosition
        package var size: Int64
    }

    /// States of a snapshot in the store.
    private enum State {
        static let receiving: Int64 = 0
        static let complete: Int64 = 1
        /// Nobody is given it; its pieces are being removed.
        static let doomed: Int64 = 2
    }

    // MARK: Storing

    /// Begins a snapshot that covers the log up to `covers`.
    ///
    /// - Throws: what ``check(_:in:)`` throws, `olderSnapshot`, `quota`.
    package func beginSnapshot(
        _ name: GroupName, digest: [UInt8], covers: LogPosition, size: Int64
    ) throws -> (id: Int64, group: Int64) {
        try session.transaction {
            let group = try group(name, digest: digest, locks: true)
            try check(covers, in: group)
            let newest = try complete(group.id).last
            guard (newest?.covers ?? 0) <= covers.number else {
                throw RelayError(
                    .olderSnapshot,
                    "there is a snapshot that covers more than this one: keep that one")
            }
            guard group.bytes + size <= quota.bytes else { throw Self.quotaReached }
            let rows = try session.query(
                "INSERT INTO relay_snapshots (grp, covers, link, size, complete, created_ms) "
                    + "VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                [
                    .integer(group.id), .integer(covers.number), .blob(covers.link), .integer(0),
                    .integer(State.receiving), .integer(now()),
                ])
            return (rows.first?.first?.number ?? 0, group.id)
        }
    }

    /// Keeps piece `number` of a snapshot, from 0.
    package func addPiece(_ content: [UInt8], number: Int64, to snapshot: Int64, of group: Int64)
        throws
    {
        try session.transaction {
            let size = Int64(content.count)
            let fits = try session.run(
                "UPDATE relay_groups SET bytes = bytes + $1 WHERE id = $2 AND bytes + $3 <= $4",
                [.integer(size), .integer(group), .integer(size), .integer(quota.bytes)])
            guard fits == 1 else { throw Self.quotaReached }
            let isWanted = try session.run(
                "UPDATE relay_snapshots SET size = size + $1 WHERE id = $2 AND complete = $3",
                [.integer(size), .integer(snapshot), .integer(State.receiving)])
            guard isWanted == 1 else { throw RelayError.unauthorized }
            try session.run(
                "INSERT INTO relay_pieces (snapshot, number, content) VALUES ($1, $2, $3)",
                [.integer(snapshot), .integer(number), .blob(content)])
        }
    }

    /// Makes a snapshot the newest one of its group.
    package func finishSnapshot(_ snapshot: Int64, of group: Int64, graceMilliseconds: Int64) throws
    {
        try session.transaction {
            let moment = now()
            _ = try session.query(
                "SELECT head FROM relay_groups WHERE id = $1" + session.lockingClause,
                [.integer(group)])
            let isWanted = try session.run(
                "UPDATE relay_snapshots SET complete = $1, created_ms = $2 "
                    + "WHERE id = $3 AND complete = $4",
                [
                    .integer(State.complete), .integer(moment), .integer(snapshot),
                    .integer(State.receiving),
                ])
            guard isWanted == 1 else { throw RelayError.unauthorized }
            try session.run(
                "UPDATE relay_groups SET used_ms = $1 WHERE id = $2",
                [.integer(moment), .integer(group)])
            try thin(group, graceMilliseconds: graceMilliseconds)
        }
    }

    /// Gives up a snapshot that is not complete.
    package func dropSnapshot(_ snapshot: Int64) throws {
        try session.run(
            "UPDATE relay_snapshots SET complete = $1 WHERE id = $2 AND complete = $3",
            [.integer(State.doomed), .integer(snapshot), .integer(State.receiving)])
    }

    // MARK: Reading

    /// The newest snapshot, or the one before it.
    ///
    /// - Throws: `noSnapshot`.
    package func snapshot(_ name: GroupName, digest: [UInt8], previous: Bool) throws -> Snapshot {
        let group = try group(name, digest: digest)
        let all = try complete(group.id)
        guard let found = (previous ? all.dropLast() : all[...]).last else {
            throw RelayError(
                .noSnapshot,
                previous
                    ? "the group has no snapshot before the newest" : "the group has no snapshot")
        }
        let covers = LogPosition(
            generation: group.generation, number: found.covers, link: found.link)
        return Snapshot(id: found.id, covers: covers, size: found.size)
    }

    /// A piece of a snapshot; nil behind the last, or when the snapshot went away meanwhile.
    package func piece(_ number: Int64, of snapshot: Int64) throws -> [UInt8]? {
        try session.query(
            "SELECT content FROM relay_pieces WHERE snapshot = $1 AND number = $2",
            [.integer(snapshot), .integer(number)]
        ).first?[0].blobBytes
    }

    private struct Row {
        var id: Int64
        var covers: Int64
        var link: [UInt8]
        var size: Int64
        var created: Int64
    }

    /// Complete snapshots, the newest last.
    private func complete(_ group: Int64) throws -> [Row] {
        try session.query(
            "SELECT id, covers, link, size, created_ms FROM relay_snapshots "
                + "WHERE grp = $1 AND complete = $2 ORDER BY covers, created_ms, id",
            [.integer(group), .integer(State.complete)]
        ).map {
            Row(
                id: $0[0].number, covers: $0[1].number, link: $0[2].blobBytes ?? [],
                size: $0[3].number, created: $0[4].number)
        }
    }

    // MARK: Letting go

    /// Keeps three snapshots at most: the last one that is older than the time of grace (what it covers
    /// can go), the first one after it (which takes its place in time), and the newest.
    private func thin(_ group: Int64, graceMilliseconds: Int64) throws {
        let all = try complete(group)
        let old = now() - graceMilliseconds
        let settled = all.lastIndex { $0.created <= old }
        var kept = Set([all.last?.id].compactMap(\.self))
        if let settled { kept.insert(all[settled].id) }
        let next = settled.map { $0 + 1 } ?? 0
        if next < all.count { kept.insert(all[next].id) }
        for row in all where !kept.contains(row.id) {
            try session.run(
                "UPDATE relay_snapshots SET complete = $1 WHERE id = $2",
                [.integer(State.doomed), .integer(row.id)])
        }
    }

    /// Groups with a snapshot that is older than the time of grace and covers entries that are kept.
    package func releasable(graceMilliseconds: Int64, count: Int) throws -> [Int64] {
        try session.query(
            "SELECT DISTINCT s.grp FROM relay_snapshots s JOIN relay_groups g ON g.id = s.grp "
                + "WHERE s.complete = $1 AND s.created_ms <= $2 AND s.covers >= g.first LIMIT $3",
            [
                .integer(State.complete), .integer(now() - graceMilliseconds),
                .integer(Int64(count)),
            ]
        ).map { $0[0].number }
    }

    /// Lets go some of what a settled snapshot of the group covers, and forgets old keys.
    ///
    /// - Returns: whether there is more to let go.
    package func release(
        _ group: Int64, graceMilliseconds: Int64, keyMilliseconds: Int64
    ) throws -> Bool {
        try session.transaction {
            let found = try session.query(
                "SELECT first FROM relay_groups WHERE id = $1" + session.lockingClause,
                [.integer(group)])
            guard let first = found.first?[0].number else { return false }
            try thin(group, graceMilliseconds: graceMilliseconds)
            let old = now() - graceMilliseconds
            let settled = try complete(group).last { $0.created <= old }
            try forgetKeys(group, before: first, olderThan: now() - keyMilliseconds)
            guard let settled, settled.covers >= first else { return false }
            let last = min(settled.covers, first + Int64(RelayLimits.releaseCountMax) - 1)
            let range: [Value] = [.integer(group), .integer(first), .integer(last)]
            let sums = try session.query(
                "SELECT COUNT(*), CAST(COALESCE(SUM(length(content) + length(key)), 0) AS BIGINT) "
                    + "FROM relay_entries WHERE grp = $1 AND number >= $2 AND number <= $3", range)
            let links = try session.query(
                "SELECT link FROM relay_entries WHERE grp = $1 AND number = $2",
                [.integer(group), .integer(last)])
            guard let sum = sums.first, let link = links.first?[0] else { return false }
            try session.run(
                "UPDATE relay_entries SET content = NULL "
                    + "WHERE grp = $1 AND number >= $2 AND number <= $3", range)
            try session.run(
                "UPDATE relay_groups SET first = $1, base = $2, entries = entries - $3, "
                    + "bytes = bytes - $4 WHERE id = $5",
                [.integer(last + 1), link, sum[0], sum[1], .integer(group)])
            return last < settled.covers
        }
    }

    private func forgetKeys(_ group: Int64, before first: Int64, olderThan moment: Int64) throws {
        let rows = try session.query(
            "SELECT number, created_ms FROM relay_entries "
                + "WHERE grp = $1 AND number < $2 ORDER BY number LIMIT $3",
            [.integer(group), .integer(first), .integer(Int64(RelayLimits.releaseCountMax))])
        guard let last = rows.prefix(while: { $0[1].number < moment }).last else { return }
        try session.run(
            "DELETE FROM relay_entries WHERE grp = $1 AND number <= $2", [.integer(group), last[0]])
    }

    /// Removes some pieces of snapshots that nobody needs, and uploads that were broken off.
    ///
    /// - Returns: whether there is more to remove.
    package func sweep() throws -> Bool {
        try session.run(
            "UPDATE relay_snapshots SET complete = $1 WHERE complete = $2 AND created_ms < $3",
            [
                .integer(State.doomed), .integer(State.receiving),
                .integer(now() - Int64(RelayLimits.uploadSecondsMax) * 1000),
            ])
        return try session.transaction {
            let doomed = try session.query(
                "SELECT id, grp FROM relay_snapshots WHERE complete = $1 ORDER BY id LIMIT 1",
                [.integer(State.doomed)])
            guard let row = doomed.first else { return false }
            // Group first, as everywhere else, so that two processes never wait for each other.
            _ = try session.query(
                "SELECT head FROM relay_groups WHERE id = $1" + session.lockingClause, [row[1]])
            let pieces = try session.query(
                "SELECT number, CAST(length(content) AS BIGINT) FROM relay_pieces "
                    + "WHERE snapshot = $1 ORDER BY number LIMIT 64", [row[0]])
            guard let last = pieces.last else {
                try session.run("DELETE FROM relay_snapshots WHERE id = $1", [row[0]])
                return true
            }
            // Another process may have removed them since they were looked up.
            let removed = try session.run(
                "DELETE FROM relay_pieces WHERE snapshot = $1 AND number <= $2", [row[0], last[0]])
            if removed == pieces.count {
                let bytes = pieces.reduce(0) { $0 + $1[1].number }
                try session.run(
                    "UPDATE relay_groups SET bytes = bytes - $1 WHERE id = $2",
                    [.integer(bytes), row[1]])
            }
            return true
        }
    }
}
