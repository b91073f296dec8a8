// The log of every group, on one connection of a database: who may use it, appending, reading.
// Snapshots and what the operator does stand in the files beside this one.

package import RelayProtocol
internal import Trust
internal import Values

/// A relay's store, for one thread.
///
/// Every entry has a number, from 1, without gaps, and a link: a hash over its key, the digest of its
/// content and the link before it. Numbers are given under the lock of the group's row, so entries
/// become visible in their order, whatever process appends.
package final class RelayStore {
    let session: any RelaySession
    let now: () -> Int64
    let quota: RelayConfiguration.Quota

    /// - Parameter now: milliseconds since 1970.
    package init(
        _ session: any RelaySession, quota: RelayConfiguration.Quota,
        now: @escaping () -> Int64
    ) {
        self.session = session
        self.quota = quota
        self.now = now
    }

    /// Whether the database answers.
    package func check() throws { _ = try session.query("SELECT COUNT(*) FROM relay_schema", []) }

    // MARK: Groups

    /// A group's row.
    package struct Group: Sendable {
        package var id: Int64
        package var generation: [UInt8]
        package var head: Int64
        package var link: [UInt8]
        /// Number of the first entry that is kept; one more than `head` when there is none.
        package var first: Int64
        /// The link before it.
        package var base: [UInt8]
        package var entries: Int64
        package var bytes: Int64

        package var end: LogPosition {
            LogPosition(generation: generation, number: head, link: link)
        }

        /// Where the log begins: everything before is gone.
        package var start: LogPosition {
            LogPosition(generation: generation, number: first - 1, link: base)
        }
    }

    /// The link before the first entry of a log.
    static let rootLink = [UInt8](repeating: 0, count: LogPosition.partBytes)

    /// The group of this name, if `digest` is that of its credential. An unknown group is refused with the
    /// same error after the same work.
    ///
    /// - Parameters:
    ///   - digest: SHA-256 of the credential shown.
    ///   - locks: the group's row stays locked until the transaction ends.
    package func group(_ name: GroupName, digest: [UInt8], locks: Bool = false) throws -> Group {
        let found = try row(name, locks: locks)
        let expected = found?.credential ?? Self.nobody
        guard areEqual(expected, digest), let found else { throw RelayError.unauthorized }
        return found.group
    }

    /// The digest of nothing that anybody can show.
    private static let nobody = [UInt8](repeating: 0, count: 32)

    func row(_ name: GroupName, locks: Bool) throws -> (group: Group, credential: [UInt8])? {
        let rows = try session.query(
            "SELECT id, generation, head, link, first, base, entries, bytes, credential "
                + "FROM relay_groups WHERE name = $1" + (locks ? session.lockingClause : ""),
            [.blob(name.bytes)])
        guard let row = rows.first else { return nil }
        let group = Group(
            id: row[0].number, generation: row[1].blobBytes ?? [], head: row[2].number,
            link: row[3].blobBytes ?? [], first: row[4].number, base: row[5].blobBytes ?? [],
            entries: row[6].number, bytes: row[7].number)
        return (group, row[8].blobBytes ?? [])
    }

    // MARK: Appending

    /// What became of the entries of one request.
    package struct Appended: Sendable {
        package var group: Int64
        /// One for each entry, in order.
        package var outcomes: [SyncAnswer.Outcome] = []
        /// The numbers that these entries have in the log.
        package var numbers: Set<Int64> = []
        /// Those that are new, and the bytes of their content.
        package var newCount = 0
        package var newBytes = 0
    }

    /// Appends `entries`, all or none of them; an entry that is there already keeps its place.
    ///
    /// - Throws: `keyConflict` with the index of the entry, `quota`, and what ``check(_:in:)`` throws for
    ///   `after`; nothing is appended then.
    package func append(
        _ entries: [LogEntry], to name: GroupName, digest: [UInt8], after: LogPosition?
    ) throws -> Appended {
        try session.transaction {
            let group = try group(name, digest: digest, locks: true)
            if let after { try check(after, in: group) }
            var result = Appended(group: group.id)
            let known = try session.firstOfEach(
                "SELECT number, digest FROM relay_entries WHERE grp = $1 AND key = $2",
                entries.map { [.integer(group.id), .blob($0.key)] })
            var here: [[UInt8]: (number: Int64, digest: [UInt8])] = [:]
            var rows: [[Value]] = []
            var (head, link, bytes) = (group.head, group.link, Int64(0))
            let moment = Value.integer(now())
            for (index, entry) in entries.enumerated() {
                let digest = sha256(entry.content)
                let earlier =
                    known[index].map { (number: $0[0].number, digest: $0[1].blobBytes ?? []) }
                    ?? here[entry.key]
                if let earlier {
                    guard earlier.digest == digest else { throw Self.conflict(index) }
                    result.outcomes.append(.known)
                    result.numbers.insert(earlier.number)
                    continue
                }
                head += 1
                link = Self.link(after: link, group.generation, entry.key, digest)
                here[entry.key] = (head, digest)
                rows.append([
                    .integer(group.id), .integer(head), .blob(entry.key), .blob(digest),
                    .blob(link),
                    .blob(entry.content), moment,
                ])
                result.outcomes.append(.appended)
                result.numbers.insert(head)
                result.newBytes += entry.content.count
                bytes += Self.charge(entry)
            }
            result.newCount = rows.count
            guard !rows.isEmpty else { return result }
            try checkQuota(group, entries: Int64(rows.count), bytes: bytes)
            try session.runEach(
                "INSERT INTO relay_entries (grp, number, key, digest, link, content, created_ms) "
                    + "VALUES ($1, $2, $3, $4, $5, $6, $7)", rows)
            try session.run(
                "UPDATE relay_groups SET head = $1, link = $2, entries = entries + $3, "
                    + "bytes = bytes + $4, used_ms = $5 WHERE id = $6",
                [
                    .integer(head), .blob(link), .integer(Int64(rows.count)), .integer(bytes),
                    moment,
                    .integer(group.id),
                ])
            return result
        }
    }

    private static func conflict(_ index: Int) -> RelayError {
        RelayError(
            .keyConflict,
            "entry \(index) of the request has a key that was used with other bytes; nothing was appended: "
                + "give each entry a key of its own", index: index)
    }

    /// What an entry counts for in the quota.
    static func charge(_ entry: LogEntry) -> Int64 {
        Int64(entry.key.count + entry.content.count)
    }

    private func checkQuota(_ group: Group, entries: Int64, bytes: Int64) throws {
        guard group.entries + entries <= quota.entries, group.bytes + bytes <= quota.bytes else {
            throw Self.quotaReached
        }
    }

    static var quotaReached: RelayError {
        RelayError(
            .quota,
            "the group has used up its room on this relay: store a snapshot, so that old entries can go, "
                + "or ask the operator for more", retrySeconds: 3600)
    }

    /// The next link of the chain: the first bytes of a SHA-256.
    static func link(
        after link: [UInt8], _ generation: [UInt8], _ key: [UInt8], _ digest: [UInt8]
    ) -> [UInt8] {
        let all = generation + link + [UInt8(key.count)] + key + digest
        return Array(sha256(all).prefix(LogPosition.partBytes))
    }

    // MARK: Reading

    /// Whether the log can be read on from `position`.
    ///
    /// - Throws: `otherLog`, `rolledBack` or `snapshotNeeded`.
    package func check(_ position: LogPosition, in group: Group) throws {
        guard position.generation == group.generation else {
            throw RelayError(
                .otherLog,
                "the position is of another log, since the group was enrolled anew: start over, and append "
                    + "again what only members have")
        }
        let lost = RelayError(
            .rolledBack,
            "the relay has lost the end of its log, and with it this position: start over, and append again "
                + "what only members have")
        guard position.number <= group.head else { throw lost }
        guard position.number >= group.first - 1 else { throw Self.behind }
        let link: [UInt8]?
        if position.number == group.head {
            link = group.link
        } else if position.number == group.first - 1 {
            link = group.base
        } else {
            let found = try session.query(
                "SELECT link FROM relay_entries WHERE grp = $1 AND number = $2",
                [.integer(group.id), .integer(position.number)])
            link = found.first?[0].blobBytes
        }
        guard link == position.link else { throw lost }
    }

    private static var behind: RelayError {
        RelayError(
            .snapshotNeeded,
            "the entries behind this position are gone: get the snapshot, and go on from the position that "
                + "it covers")
    }

    /// What stands behind `position`, in order, up to the limits of an answer.
    ///
    /// - Parameters:
    ///   - position: nil is the beginning of the log.
    ///   - own: numbers of entries that the reader has: only their keys are given.
    /// - Throws: what ``check(_:in:)`` throws.
    package func read(
        _ name: GroupName, digest: [UInt8], after position: LogPosition?, own: Set<Int64> = []
    ) throws -> (group: Int64, answer: SyncAnswer) {
        let group = try group(name, digest: digest)
        let start =
            position ?? LogPosition(generation: group.generation, number: 0, link: Self.rootLink)
        try check(start, in: group)
        var answer = SyncAnswer(outcomes: [], items: [], hasMore: false, position: start)
        guard start.number < group.head else { return (group.id, answer) }
        let last = try end(of: group, after: start.number, own: own)
        let rows = try session.query(
            "SELECT number, key, link, content FROM relay_entries "
                + "WHERE grp = $1 AND number > $2 AND number <= $3 ORDER BY number",
            [.integer(group.id), .integer(start.number), .integer(last)])
        for row in rows {
            let key = row[1].blobBytes ?? []
            answer.position.number = row[0].number
            answer.position.link = row[2].blobBytes ?? []
            if own.contains(row[0].number) {
                answer.items.append(.own(key: key))
            } else {
                // Let go since the group's row was read.
                guard let content = row[3].blobBytes else { throw Self.behind }
                answer.items.append(.entry(LogEntry(key: key, content: content)))
            }
        }
        guard answer.position.number == last else { throw Self.behind }
        answer.hasMore = last < group.head
        return (group.id, answer)
    }

    /// The number of the last entry that fits into one answer.
    private func end(of group: Group, after number: Int64, own: Set<Int64>) throws -> Int64 {
        let sizes = try session.query(
            "SELECT number, CAST(COALESCE(length(content), 0) AS BIGINT) FROM relay_entries "
                + "WHERE grp = $1 AND number > $2 AND number <= $3 ORDER BY number LIMIT $4",
            [
                .integer(group.id), .integer(number), .integer(group.head),
                .integer(Int64(RelayLimits.answerEntriesMax)),
            ])
        var last = number + 1
        var bytes: Int64 = 0
        for row in sizes {
            if !own.contains(row[0].number) { bytes += row[1].number }
            if bytes > Int64(RelayLimits.answerBytesMax), row[0].number > number + 1 { break }
            last = row[0].number
        }
        return last
    }

    /// The heads of groups, those that are gone left out.
    package func heads(_ groups: [Int64]) throws -> [Int64: Int64] {
        var heads: [Int64: Int64] = [:]
        for start in stride(from: 0, to: groups.count, by: 500) {
            let list = groups[start..<min(start + 500, groups.count)]
            let rows = try session.firstOfEach(
                "SELECT id, head FROM relay_groups WHERE id = $1", list.map { [.integer($0)] })
            for row in rows { if let row { heads[row[0].number] = row[1].number } }
        }
        return heads
    }
}
