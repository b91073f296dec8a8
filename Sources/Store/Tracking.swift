// Which tables are synced: track, untrack, and re-arming when a program altered the schema.

package import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// One table as `status` shows it.
package struct TableFacts: Sendable, Equatable {
    package var name: String
    package var state: String
    package var isDeleteWins: Bool
    package var isScanning: Bool
    package var rows: Int
    package var parked: Int
}

extension TrackProblem.Code {
    /// A foreign key names a table that is not synced.
    package static let untrackedParent = Self(rawValue: "untracked-parent")
}

/// What `track` has to say about one table.
package struct TrackReport: Sendable {
    package var table: String
    package var isTracked: Bool
    package var problems: [TrackProblem]
}

extension Replica {
    /// The tables of the file that a person may want to sync, in name order.
    package func tableNames() throws -> [String] {
        try translated {
            try connection.query(
                """
                SELECT name FROM sqlite_schema WHERE type = 'table'
                AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
                AND name NOT LIKE '\\_starling\\_%' ESCAPE '\\' ORDER BY name
                """
            ).compactMap {
                guard case .text(let name) = $0[0] else { return nil }
                return String(decoding: name, as: UTF8.self)
            }
        }
    }

    /// Starts syncing tables, all of them or none: each must be fit for it, and each parent that a
    /// foreign key names must be among them or tracked before.
    ///
    /// Existing rows are numbered by scans that follow in short transactions.
    package func track(_ names: [String], policy: PresencePolicy = .addWins) throws
        -> [TrackReport]
    {
        try translated {
            var reports: [TrackReport] = []
            var schemas: [TableSchema] = []
            let wanted = Set(names.map(TableEntry.folded))
            for name in names {
                guard let schema = try TableSchema.read(name, from: connection) else {
                    throw StoreError(
                        .notFound,
                        "there is no table \(name) in \(path); `starling doctor` lists them")
                }
                var problems = schema.problems(in: connection)
                for parent in schema.foreignParents
                where !wanted.contains(TableEntry.folded(parent)) {
                    if let known = table(named: parent), known.isLive { continue }
                    problems.append(
                        TrackProblem(
                            .error, .untrackedParent,
                            "\(schema.name) refers to \(parent), which is not tracked: its rows "
                                + "would have no parent elsewhere; track both: "
                                + "`starling track \(parent) \(schema.name)`"))
                }
                reports.append(
                    TrackReport(table: schema.name, isTracked: false, problems: problems))
                schemas.append(schema)
            }
            if reports.contains(where: { $0.problems.contains { $0.severity == .error } }) {
                return reports
            }
            try write {
                for schema in schemas { try start(schema, policy: policy) }
                updateRelations()
            }
            for index in reports.indices { reports[index].isTracked = true }
            return reports
        }
    }

    private func start(_ schema: TableSchema, policy: PresencePolicy) throws {
        let entry: TableEntry
        // What peers said of the table while it was not tracked here.
        var told: TableSchema?
        if let known = table(named: schema.name) {
            if known.state == .live { return }
            entry = known
            told = known.state == .unknown ? known.structure : nil
            // Rows may have come before; a table that any node tracks as delete-wins is so on all.
            if policy == .deleteWins { entry.policy = policy }
        } else {
            entry = try addTable(schema.name, state: .live, policy: policy)
        }
        entry.state = .live
        problems["table \(TableEntry.folded(schema.name))"] = nil
        try arm(entry, schema)
        try addColumns(of: told, to: entry)
        try beginScan(entry, .rows, isCaptured: true)
    }

    private func addColumns(of told: TableSchema?, to entry: TableEntry) throws {
        guard let told else { return }
        do { _ = try addMissingColumns(told, to: entry) } catch let error as SQLiteError
            where !error.isBusy && !error.isFull && !error.isInputOutput
        {
            problems["table \(TableEntry.folded(entry.name))"] =
                "a column of \(entry.name) that peers have cannot be added here: \(error)"
        }
    }

    /// Makes journal and triggers for `schema`. Called inside a transaction, the journal empty.
    func arm(_ entry: TableEntry, _ schema: TableSchema) throws {
        for column in schema.storedColumns where column.primaryKeyPosition == 0 {
            _ = try columnForWriting(column.name, entry: entry)
        }
        connection.dropCachedStatements()
        try Capture.disarm(id: entry.id, in: connection)
        try Capture.arm(schema, id: entry.id, in: connection)
        entry.armed = schema
        entry.structure = schema
        try saveTable(entry)
        try makeAccess(entry)
        // An insert of this replica has values of just these columns.
        if let access = entry.access, !entry.layouts.contains(access.columns) {
            _ = try addLayout(access.columns, entry: entry)
        }
        schemaVersion = try connection.integer("PRAGMA schema_version") ?? -1
    }

    /// Stops syncing tables here. Their rows stay in the table, and what is known of them is kept
    /// and forwarded to others.
    package func untrack(_ names: [String]) throws {
        try translated {
            for name in names {
                guard let entry = table(named: name), entry.state == .live else {
                    throw StoreError(.notFound, "\(name) is not tracked")
                }
                try fold()
                try leave(entry)
                try write {
                    // What programs wrote meanwhile.
                    var last: [UInt8]? = []
                    while let after = last { last = try leaveSlice(entry, after: after) }
                    connection.dropCachedStatements()
                    try Capture.disarm(id: entry.id, in: connection)
                    entry.state = .untracked
                    entry.armed = nil
                    entry.access = nil
                    entry.scan = .none
                    try connection.run(
                        "DELETE FROM _starling_parked WHERE tbl = ?1", [.integer(entry.id)])
                    parkedCounts[entry.id] = 0
                    try saveTable(entry)
                    updateRelations()
                    schemaVersion = try connection.integer("PRAGMA schema_version") ?? -1
                }
            }
        }
    }

    // MARK: Schema changes by programs

    /// Re-arms what changed while nobody looked. It may fold, so the origin must be settled before.
    ///
    /// - Throws: ``StoreError``.
    package func lookAtSchema() throws { try translated { try rearmIfNeeded() } }

    /// Looks at the schema when its version moved: new columns, rebuilt and dropped tables.
    func rearmIfNeeded() throws {
        let version = try connection.integer("PRAGMA schema_version") ?? 0
        guard version != schemaVersion else { return }
        if connection.isInTransaction {
            try rearm()
        } else {
            // What is folded on the way is a change like any other.
            try rawWrite { try rearm() }
        }
        schemaVersion = try connection.integer("PRAGMA schema_version") ?? 0
    }

    func hasSchemaMoved() throws -> Bool {
        try connection.integer("PRAGMA schema_version") != schemaVersion
    }

    private func rearm() throws {
        for entry in tables.values.sorted(by: { $0.id < $1.id }) {
            switch entry.state {
            case .live: try rearm(entry)
            case .missing:
                if let schema = try TableSchema.read(entry.name, from: connection),
                    schema.problems(in: connection).allSatisfy({ $0.severity != .error })
                {
                    entry.state = .live
                    try arm(entry, schema)
                    try beginScan(entry, .rows)
                    problems["table \(TableEntry.folded(entry.name))"] = nil
                }
            case .unknown, .untracked, .leaving: break
            }
        }
        updateRelations()
    }

    private func rearm(_ entry: TableEntry) throws {
        guard let schema = try TableSchema.read(entry.name, from: connection) else {
            try foldOrphanedJournal(entry)
            connection.dropCachedStatements()
            try Capture.disarm(id: entry.id, in: connection)
            entry.state = .missing
            entry.access = nil
            try saveTable(entry)
            problems["table \(TableEntry.folded(entry.name))"] =
                "a program dropped the table \(entry.name), which is synced: create it again as it "
                + "was. Rows that are not in it then count as deleted, on all nodes"
            return
        }
        let isArmed = try Capture.isArmed(schema, id: entry.id, in: connection)
        if isArmed, entry.armed == schema {
            if entry.access == nil { try makeAccess(entry) }
            return
        }
        let errors = schema.problems(in: connection).filter { $0.severity == .error }
        if let first = errors.first {
            problems["table \(TableEntry.folded(entry.name))"] =
                "\(entry.name) was altered and cannot be synced as it is now: \(first.message)"
            entry.access = nil
            return
        }
        problems["table \(TableEntry.folded(entry.name))"] = nil
        // The old triggers did not know new columns, or were gone for a while: then the journal does
        // not say all that changed in its rows, and the scan that has begun makes the fold take
        // every column.
        let wasArmed = try entry.armed.map {
            try Capture.isArmed($0, id: entry.id, in: connection)
        }
        let isCaptured = wasArmed == true && !isInDoubt(entry)
        if wasArmed != true, !isBroken(.rebuildTrustsJournal) { try beginScan(entry, .rows) }
        try foldOrphanedJournal(entry)
        try arm(entry, schema)
        try beginScan(entry, .rows, isCaptured: isCaptured)
    }

    /// Folds what the old triggers wrote, as far as the table can still be read.
    private func foldOrphanedJournal(_ entry: TableEntry) throws {
        try makeAccess(entry)
        guard entry.access != nil,
            try connection.integer(
                "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                [.string(Capture.journalTable(id: entry.id))]) == 1
        else { return }
        // No other table: whether the triggers of the others were there is not known yet.
        while try foldBatch(entry, limit: bounds.foldEntriesMax) > 0 {}
        try saveOwnNumber()
    }

    /// Every table that the replica knows.
    package func tableFacts() throws -> [TableFacts] {
        try translated {
            try tables.values.sorted { $0.name < $1.name }.map { entry in
                let state =
                    switch entry.state {
                    case .live, .leaving: "synced"
                    case .unknown: "not_tracked"
                    case .untracked: "untracked"
                    case .missing: "missing"
                    }
                let rows =
                    entry.isLive
                    ? try connection.integer("SELECT count(*) FROM \(quotedIdentifier(entry.name))")
                    : 0
                return TableFacts(
                    name: entry.name, state: state, isDeleteWins: entry.policy == .deleteWins,
                    isScanning: entry.scan != .none, rows: Int(rows ?? 0),
                    parked: parkedCounts[entry.id] ?? 0)
            }
        }
    }
}
