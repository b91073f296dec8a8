// Where every record is: derived from version vectors, never from a flag that could lie. Also the
// change feed of `watch`, which is a delta told row by row.

package import CausalModel
internal import Codec
internal import SQLite
package import Values

/// One record and where it is.
package struct RecordFacts: Sendable {
    package enum State: String, Sendable, CaseIterable {
        /// Only here.
        case saved
        /// Only here for good: this node is a reader, and nobody takes its changes.
        case refused
        /// In the relay's log, and not on all peers that were ever met.
        case relayed
        /// On some of the peers that were ever met.
        case pending
        /// On all of them.
        case synced
        /// Shown, with something beside it that a person may want to look at.
        case conflicted
        /// Kept out of its table by a constraint.
        case parked
    }

    package var key: [(column: String, value: Value)]
    package var state: State
    /// The nodes that have everything of this record.
    package var peers: [String]
    package var parkReason: String?
    /// It was deleted here, which nobody takes from a reader: listed as refused only.
    package var isDeleted = false
}

/// One change of the feed.
package struct ChangeFacts: Sendable {
    package var table: String
    package var key: [(column: String, value: Value)]
    /// The row as it is now; nil when it is deleted or parked.
    package var row: [(column: String, value: Value)]?
    package var isParked: Bool
    package var isDelete: Bool
    /// The latest change made the row; false for an update.
    package var isInsert: Bool
    /// The columns that the latest change wrote and that still show it.
    package var columns: [String]
    /// Goes on behind this change.
    package var since: VersionVector
    /// Who made the latest change to it.
    package var origin: Origin
    package var stampMilliseconds: Int64
}

extension Replica {
    /// Every visible record of a table in key order, given to `body` one by one; of a reader's also those
    /// that it deleted.
    package func records(
        of name: String, state wanted: RecordFacts.State? = nil,
        _ body: (RecordFacts) throws -> Void
    ) throws {
        var next: [UInt8]? = []
        while let after = next {
            next = try records(of: name, state: wanted, after: after, body)
        }
    }

    /// The records of up to 1000 rows behind the key `after`; the key to go on behind, nil at the
    /// end.
    package func records(
        of name: String, state wanted: RecordFacts.State?, after: [UInt8],
        _ body: (RecordFacts) throws -> Void
    ) throws -> [UInt8]? {
        try fold()
        return try translated {
            guard let entry = table(named: name) else {
                throw StoreError(.notFound, "\(name) is not tracked: run `starling track \(name)`")
            }
            let peers = try peerStatements()
            let parked = try parkedReasons(entry)
            let conflicted = Set(
                try connection.query(
                    "SELECT key FROM _starling_conflict WHERE tbl = ?1", [.integer(entry.id)]
                ).map { $0[0] })
            let keys = try connection.query(
                """
                SELECT key FROM _starling_row WHERE tbl = ?1 AND key > ?2
                ORDER BY key LIMIT 1000
                """, [.integer(entry.id), .blob(after)])
            for found in keys {
                guard case .blob(let key) = found[0] else { continue }
                guard let row = try load(entry, key: key) else { continue }
                let isDeleted = !row.kernel.isVisible(entry.policy)
                guard !isDeleted || isReader && !peers.isEmpty else { continue }
                let holders = peers.filter { row.kernel.isCovered(by: $0.vector) }
                guard !isDeleted || holders.isEmpty else { continue }
                let state: RecordFacts.State =
                    if isDeleted {
                        .refused
                    } else if parked[found[0]] != nil {
                        .parked
                    } else if conflicted.contains(found[0]) {
                        .conflicted
                    } else if !peers.isEmpty, holders.count == peers.count {
                        .synced
                    } else if row.kernel.isCovered(by: logVector) {
                        .relayed
                    } else if holders.isEmpty {
                        self.isReader && !peers.isEmpty ? .refused : .saved
                    } else {
                        .pending
                    }
                if let wanted, wanted != state { continue }
                try body(
                    RecordFacts(
                        key: try namedKey(key, entry: entry), state: state,
                        peers: holders.map(\.node), parkReason: parked[found[0]],
                        isDeleted: isDeleted))
            }
            guard keys.count == 1000, case .blob(let last)? = keys.last?[0] else { return nil }
            return last
        }
    }

    private func parkedReasons(_ entry: TableEntry) throws -> [Value: String] {
        var reasons: [Value: String] = [:]
        for row in try connection.query(
            "SELECT key, detail FROM _starling_parked WHERE tbl = ?1", [.integer(entry.id)])
        {
            if case .text(let detail) = row[1] {
                reasons[row[0]] = String(decoding: detail, as: UTF8.self)
            }
        }
        return reasons
    }

    /// Rows that constraints keep out of their tables.
    package func parkedCount() -> Int { parkedCounts.values.reduce(0, +) }

    /// The parked rows with the reason, by table and key.
    package func parkedRows() throws -> [(
        table: String, key: [(column: String, value: Value)], reason: String
    )] {
        try translated {
            try connection.query("SELECT tbl, key, detail FROM _starling_parked ORDER BY tbl, key")
                .compactMap { row in
                    guard case .integer(let id) = row[0], let entry = tables[id],
                        case .blob(let key) = row[1], case .text(let detail) = row[2]
                    else { return nil }
                    return (
                        entry.name, try namedKey(key, entry: entry),
                        String(decoding: detail, as: UTF8.self)
                    )
                }
        }
    }

    /// What changed beyond `since`, as it is now; the vector to go on from.
    ///
    /// A row that changed several times comes once. Complexity: O(changed rows).
    ///
    /// - Parameter goesOn: asked before each row; with false the rest is left for a later call,
    ///   from the
    ///   vector that is returned.
    package func changes(
        since: VersionVector, tables wanted: Set<String>? = nil,
        while goesOn: () -> Bool = { true }, _ body: (ChangeFacts) throws -> Void
    ) throws -> VersionVector {
        try fold()
        return try translated {
            let scanVector = vector
            var position = since
            for (ordinal, origin) in origins.enumerated() where vector[origin] > since[origin] {
                let statement = try connection.prepare(
                    """
                    SELECT tbl, key, number FROM _starling_dot
                    WHERE origin = ?1 AND number > ?2 AND number <= ?3 ORDER BY number
                    """)
                try statement.bind(Int64(ordinal), at: 1)
                try statement.bind(Int64(since[origin]), at: 2)
                try statement.bind(Int64(scanVector[origin]), at: 3)
                while try statement.step() {
                    guard goesOn() else { return position }
                    position[origin] = UInt64(statement.int(2))
                    guard let entry = tables[statement.int(0)],
                        wanted?.contains(TableEntry.folded(entry.name)) ?? true,
                        let row = try load(entry, key: statement.bytes(1)),
                        let latest = row.kernel.writes.max(by: { $0.stamp < $1.stamp })
                    else { continue }
                    let isEarlier = Replica.heads(row.kernel).contains { head in
                        head.origin < origin && head.number > since[head.origin]
                            && head.number <= scanVector[head.origin]
                    }
                    if isEarlier { continue }
                    let isVisible = row.kernel.isVisible(entry.policy)
                    try body(
                        ChangeFacts(
                            table: entry.name,
                            key: try namedKey(statement.bytes(1), entry: entry),
                            row: row.isShown
                                ? named(row.kernel.shownValues, entry: entry) : nil,
                            isParked: isVisible && !row.isShown, isDelete: !isVisible,
                            isInsert: latest.columns.isAll && latest.birth.stamp == latest.stamp,
                            columns: named(latest.values, entry: entry).map(\.column),
                            since: position, origin: latest.dot.origin,
                            stampMilliseconds: latest.stamp.milliseconds))
                }
                position[origin] = scanVector[origin]
            }
            return scanVector
        }
    }
}

extension Replica {
    /// What a table shows under `key`, key columns first; nil when no row is shown.
    package func shownRow(table name: String, key: [Value]) throws -> [(
        column: String, value: Value
    )]? {
        try translated {
            guard let entry = table(named: name), let access = entry.access,
                let values = try access.read(key)
            else { return nil }
            let named = zip(access.columns, values).map { column, value in
                (column: entry.columns[Int(column)].name, value: value)
            }
            return try namedKey(encodeKey(key), entry: entry) + named
        }
    }

    /// The digest of each table's content, by name.
    package func tableDigests() -> [(name: String, digest: UInt64)] {
        tables.values.sorted { $0.name < $1.name }.map { ($0.name, $0.digest) }
    }

    /// What speaks for or against syncing tables, without doing anything.
    package func trackProblems(_ names: [String]) throws -> [TrackProblem] {
        try translated {
            try names.flatMap { name -> [TrackProblem] in
                guard let schema = try TableSchema.read(name, from: connection) else {
                    throw StoreError(.notFound, "there is no table \(name) in \(path)")
                }
                return schema.problems(in: connection)
            }
        }
    }

    /// The node that numbers, or numbered, under each origin; of those that were met.
    package var knownAuthors: [Origin: String] { authors }

    /// A node said that it numbers under `origin`, or has joined under it, which makes it its origin until
    /// it joins again. A write only when that is news.
    package func noteAuthor(_ origin: Origin, node: String, hasJoined: Bool = false) throws {
        guard authors[origin] != node || (hasJoined && !joinedOrigins.contains(origin)) else {
            return
        }
        try translated {
            try connection.run(
                """
                INSERT INTO _starling_author(origin, node, joined) VALUES(?1, ?2, ?3)
                ON CONFLICT(origin) DO UPDATE SET
                    node = excluded.node, joined = max(joined, excluded.joined)
                """,
                [.blob(origin.bytes), .string(node), .integer(hasJoined ? 1 : 0)])
            authors[origin] = node
            if hasJoined { joinedOrigins.insert(origin) }
        }
    }

    /// A node has joined under `origin`, as the list of members says now. What it was known to number under
    /// before is over by that, whether it ever joined under it or not: nobody would tell the rest of it.
    package func noteJoined(_ origin: Origin, node: String) throws {
        try noteAuthor(origin, node: node, hasJoined: true)
        let unlisted = authors.filter { $0.value == node && !joinedOrigins.contains($0.key) }
        guard !unlisted.isEmpty, !isBroken(.unlistedKept) else { return }
        // What it said last may be newer than the list here.
        let last = try peerStatement(of: node)?.origin
        for past in unlisted.keys.sorted() where past != last {
            try noteAuthor(past, node: node, hasJoined: true)
        }
    }
}
