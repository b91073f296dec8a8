// Schema between peers: tables and columns travel as structure, are created where they lack, and
// are kept by name where they cannot be shown yet.

internal import CausalModel
package import Codec
internal import SQLite
internal import Values

extension Replica {
    /// The structures of all tables that are synced here, or that peers have described.
    package func schemaDescription() throws -> CBOR {
        .array(
            tables.values.sorted { $0.id < $1.id }.compactMap { entry in
                guard let structure = entry.structure, entry.state != .untracked else { return nil }
                return .map([
                    .text("table"): structure.cbor,
                    .text("policy"): .unsigned(UInt64(entry.policy.rawValue)),
                ])
            })
    }

    /// The same on replicas that know the same tables and columns, in whatever order.
    var schemaFingerprint: UInt64 {
        var sum: UInt64 = 0
        for entry in tables.values {
            guard let structure = entry.structure, entry.state != .untracked else { continue }
            sum &+= RowHash.mix(entry.nameHash &+ UInt64(entry.policy.rawValue))
            for column in structure.columns {
                sum &+= RowHash.mix(entry.nameHash ^ RowHash.mix(TableEntry.hash(column.name)))
            }
        }
        return sum
    }

    package func adoptSchema(_ description: CBOR) throws -> Bool {
        guard let items = description.arrayValue, items.count <= Limits.tablesMax else {
            throw StoreError(.invalidDelta, "a peer's description of its tables is malformed")
        }
        var described: [(schema: TableSchema, policy: PresencePolicy)] = []
        for item in items {
            guard let table = item["table"], let policy = item["policy"]?.unsignedValue else {
                throw StoreError(.invalidDelta, "a peer's description of a table is malformed")
            }
            do {
                described.append(
                    (
                        try TableSchema(cbor: table),
                        PresencePolicy(rawValue: UInt8(truncatingIfNeeded: policy)) ?? .addWins
                    ))
            } catch {
                throw StoreError(
                    .invalidDelta, "a peer's description of a table is malformed: \(error)")
            }
        }
        var hasChanged = false
        for (schema, policy) in parentsFirst(described) {
            hasChanged = try adopt(schema, policy) || hasChanged
        }
        return hasChanged
    }

    /// The order in which each table finds the parents it names, as far as there is one.
    private func parentsFirst(_ described: [(schema: TableSchema, policy: PresencePolicy)]) -> [(
        schema: TableSchema, policy: PresencePolicy
    )] {
        var byName: [String: Int] = [:]
        for (index, item) in described.enumerated() {
            byName[TableEntry.folded(item.schema.name)] = index
        }
        var done: Set<Int> = []
        var ordered: [(schema: TableSchema, policy: PresencePolicy)] = []
        func visit(_ index: Int) {
            guard done.insert(index).inserted else { return }
            for parent in described[index].schema.foreignParents {
                if let place = byName[TableEntry.folded(parent)] { visit(place) }
            }
            ordered.append(described[index])
        }
        for index in described.indices { visit(index) }
        return ordered
    }

    /// One table in one transaction: one that cannot be taken up does not stop the others.
    private func adopt(_ schema: TableSchema, _ policy: PresencePolicy) throws -> Bool {
        let folded = TableEntry.folded(schema.name)
        guard !fixedTables.contains(folded) else { return false }
        let subject = "table \(folded)"
        do {
            try StructureGuard.checkNewName(schema.name)
            return try write {
                let entry: TableEntry
                if let known = table(named: schema.name) {
                    entry = known
                } else {
                    guard tables.count < bounds.tablesMax else {
                        throw StoreError(.untrackable, "peers have described too many tables")
                    }
                    entry = try addTable(schema.name, state: .unknown, policy: policy)
                }
                var hasChanged = try adopt(policy, entry)
                switch entry.state {
                case .live: hasChanged = try addMissingColumns(schema, to: entry) || hasChanged
                case .unknown: hasChanged = try takeUp(schema, entry: entry) || hasChanged
                case .untracked, .missing, .leaving: break
                }
                updateRelations()
                schemaVersion = try connection.integer("PRAGMA schema_version") ?? -1
                return hasChanged
            }
        } catch let error as StoreError where error.isRetryable || error.code == .disk {
            throw error
        } catch {
            let name = StructureGuard.shown(schema.name)
            noteProblem(subject, "a peer's table \(name) cannot be made here: \(error)")
            return false
        }
    }

    /// Keeps what a peer caused, as long as it is not too much.
    private func noteProblem(_ subject: String, _ text: String) {
        let hasRoom = problems.count < Limits.problemsMax - 1
        problems[problems[subject] != nil || hasRoom ? subject : "table"] = text
    }

    /// Nodes that disagree settle on delete-wins, whoever spoke first.
    private func adopt(_ policy: PresencePolicy, _ entry: TableEntry) throws -> Bool {
        guard policy == .deleteWins, entry.policy != policy else { return false }
        entry.policy = policy
        try saveTable(entry)
        if entry.isLive { try beginScan(entry, .show) }
        return true
    }

    private func takeUp(_ schema: TableSchema, entry: TableEntry) throws -> Bool {
        let subject = "table \(TableEntry.folded(schema.name))"
        let isNew = entry.structure == nil
        if try TableSchema.read(schema.name, from: connection) != nil {
            entry.structure = schema
            try saveTable(entry)
            noteProblem(
                subject,
                "peers sync the table \(schema.name), and this file has one of that name that is "
                    + "not tracked: run `starling track \(schema.name)` to join it")
            return isNew
        }
        connection.dropCachedStatements()
        try schema.create(in: connection)
        guard let made = try TableSchema.read(schema.name, from: connection) else {
            throw StoreError(.damaged, "the table \(schema.name) was made and is not there")
        }
        // Tables that name each other cannot both come second; the later one mends the earlier.
        if let first = made.problems(in: connection).first(where: {
            $0.severity == .error && $0.code != .foreignKeyMismatch
        }) {
            throw StoreError(.untrackable, first.message)
        }
        entry.state = .live
        problems[subject] = nil
        try arm(entry, made)
        // Rows that came before the table was known are shown now.
        try beginScan(entry, .show)
        return true
    }

    func addMissingColumns(_ schema: TableSchema, to entry: TableEntry) throws -> Bool {
        guard let armed = entry.armed else { return false }
        let count = schema.columns.count { armed.column($0.name) == nil } + armed.columns.count
        guard count <= SchemaLimits.columnsMax else {
            throw SchemaError(.limit, "the table would have \(count) columns, which are too many")
        }
        var hasChanged = false
        for column in schema.columns where armed.column(column.name) == nil {
            // One that was here and was dropped by a program stays away.
            if let id = entry.column(named: column.name), entry.columns[Int(id)].isDropped {
                continue
            }
            connection.dropCachedStatements()
            try connection.execute(try armed.addColumnStatement(column))
            hasChanged = true
        }
        guard hasChanged, let made = try TableSchema.read(entry.name, from: connection) else {
            return false
        }
        try arm(entry, made)
        try beginScan(entry, .show)
        return true
    }
}
