// The commands about tables, rows and conflicts: the same whether the node runs or not.

internal import CausalModel
internal import Codec
internal import Store
internal import Values

extension NodeContext {
    // MARK: Tables

    func track(_ arguments: JSONObject, isTracking: Bool) throws -> JSONValue {
        var names = (arguments["tables"]?.array ?? []).compactMap(\.string)
        let isAll = arguments["all"] == true
        let known = try userTables()
        if isAll {
            names =
                isTracking
                ? try replica.tableNames().filter { !Self.ownTables.contains($0.lowercased()) }
                : known.filter { $0.state == "synced" }.map(\.name)
        }
        guard isTracking else { return try untrack(names) }
        let policy: PresencePolicy = arguments["delete_wins"] == true ? .deleteWins : .addWins
        let already = Set(known.filter { $0.state == "synced" }.map { $0.name.lowercased() })
        var results: [JSONValue] = []
        var wanted: [String] = []
        for name in names {
            if already.contains(name.lowercased()) {
                results.append(trackResult(name, state: "already"))
            } else {
                wanted.append(name)
            }
        }
        results += try trackEach(wanted, policy)
        return ["tables": .array(results)]
    }

    /// Tracks what can be tracked: a refused table takes those with it that refer to it.
    private func trackEach(_ names: [String], _ policy: PresencePolicy) throws -> [JSONValue] {
        var wanted: [String] = []
        var refused: [JSONValue] = []
        for name in names {
            do {
                _ = try replica.trackProblems([name])
                wanted.append(name)
            } catch let error as StoreError where error.code == .notFound {
                refused.append(trackResult(name, state: "refused", error: error.message))
            }
        }
        while !wanted.isEmpty {
            let reports = try replica.track(wanted, policy: policy)
            if reports.allSatisfy(\.isTracked) {
                return reports.map { report in
                    trackResult(
                        report.table, state: "tracked",
                        warnings: report.problems.map(\.message) + readerWarnings)
                } + refused
            }
            for report in reports {
                let errors = report.problems.filter { $0.severity == .error }
                guard !errors.isEmpty else { continue }
                wanted.removeAll { $0.lowercased() == report.table.lowercased() }
                refused.append(
                    trackResult(
                        report.table, state: "refused",
                        warnings: report.problems.filter { $0.severity == .warning }
                            .map(\.message),
                        error: errors.map(\.message).joined(separator: "; ")))
            }
        }
        return refused
    }

    private var readerWarnings: [String] {
        replica.isReader
            ? ["this node is a reader: others take neither this table nor its rows from here"] : []
    }

    private func untrack(_ names: [String]) throws -> JSONValue {
        var results: [JSONValue] = []
        for name in names {
            guard !Self.ownTables.contains(name.lowercased()) else {
                let text =
                    "\(name) is Starling's own and says who belongs to the group: it stays tracked"
                results.append(trackResult(name, state: "refused", error: text))
                continue
            }
            do {
                try replica.untrack([name])
                results.append(trackResult(name, state: "untracked"))
            } catch let error as StoreError where error.code == .notFound {
                results.append(trackResult(name, state: "refused", error: error.message))
            }
        }
        return ["tables": .array(results)]
    }

    private func trackResult(
        _ name: String, state: String, warnings: [String] = [], error: String? = nil
    ) -> JSONValue {
        let rows =
            state == "refused"
            ? nil : try? replica.tableFacts().first { $0.name.lowercased() == name.lowercased() }
        return [
            "table": .string(name), "state": .string(state),
            "rows": JSONValue(optional: rows.map { Int64($0.rows) }),
            "warnings": .array(warnings.map { .string($0) }),
            "error": JSONValue(optional: error),
        ]
    }

    // MARK: Records

    /// All of it at once; a running node goes page by page.
    func records(_ arguments: JSONObject, reply: (ControlReply) -> Void) throws -> JSONValue {
        var listing = try RecordListing(arguments, self, reply: reply)
        while true {
            if let result = try listing.page(of: self, reply: reply) { return result }
        }
    }

    // MARK: Conflicts

    func conflictsList() throws -> JSONValue {
        let authors = try authorNames()
        return [
            "conflicts": .array(
                try replica.conflicts().filter(Self.isUsers)
                    .map { .object(conflictFacts($0, authors)) }),
            "now_ms": .int(WallClock.milliseconds()),
        ]
    }

    /// Of the members the shown is all that counts: a removal is no loser to be brought back.
    private static func isUsers(_ item: ConflictItem) -> Bool {
        !ownTables.contains(item.table.lowercased())
    }

    func conflictCount() throws -> Int { try replica.conflictCount(except: Self.ownTables) }

    func conflictShow(_ id: String) throws -> JSONValue {
        let (item, _) = try findConflict(id)
        var facts = conflictFacts(item, try authorNames())
        let row = try replica.shownRow(table: item.table, key: item.key.map(\.value))
        facts["row"] = row.map { JSONValue(row: $0) } ?? .null
        facts["now_ms"] = .int(WallClock.milliseconds())
        return .object(facts)
    }

    func conflictSettle(_ id: String, isRestore: Bool) throws -> JSONValue {
        let (item, loser) = try findConflict(id)
        guard !replica.isReader else {
            throw NodeError(
                .refused,
                "this node is a reader, and nobody takes what it settles: do it on a writer")
        }
        if isRestore {
            guard loser != nil || item.losers.count == 1 else {
                throw NodeError(
                    .usage,
                    "conflict \(id) has \(item.losers.count) kept values: name one of them by its "
                        + "own id, as `starling conflicts show \(id)` prints it")
            }
            try replica.restoreConflict(item.id, loser: loser)
        } else {
            try replica.dismissConflict(item.id)
        }
        return [
            "id": .string(item.id), "action": .string(isRestore ? "restored" : "dismissed"),
            "table": .string(item.table), "key": JSONValue(row: item.key),
            "conflicts": .int(Int64(try conflictCount())),
        ]
    }

    /// A conflict by its own id, or by `id-n`, the n-th of its siblings from 1.
    private func findConflict(_ id: String) throws -> (ConflictItem, Int?) {
        let parts = id.split(separator: "-", maxSplits: 1)
        do {
            let item = try replica.conflict(String(parts.first ?? ""))
            guard Self.isUsers(item) else {
                throw NodeError(
                    .refused, "that is about the members: use `starling members` to change them")
            }
            guard parts.count == 2 else { return (item, nil) }
            guard let number = Int(parts[1]), number > 0, number <= item.losers.count else {
                throw NodeError(.notFound, "conflict \(item.id) has no kept value \(id)")
            }
            return (item, number - 1)
        } catch let error as StoreError where error.code == .notFound {
            throw NodeError(.notFound, error.message, cause: error)
        }
    }

    /// Names of nodes by the origin they number under now; older origins stay nameless.
    private func authorNames() throws -> [Origin: String] {
        var names = [replica.origin: name]
        for (origin, node) in replica.knownAuthors where node != identity.node {
            names[origin] = self.name(of: node, else: String(node.prefix(8)))
        }
        return names
    }

    private func conflictFacts(_ item: ConflictItem, _ authors: [Origin: String]) -> JSONObject {
        let kind =
            switch item.kind {
            case .cell: "cell"
            case .birth: "row"
            case .presence: "delete"
            }
        func value(_ values: [(column: String, value: Value)]) -> JSONValue {
            item.kind == .cell
                ? values.first.map { JSONValue($0.value) } ?? .null
                : JSONValue(row: values)
        }
        let siblings: [JSONValue] = item.losers.enumerated().map { index, loser in
            [
                "id": .string("\(item.id)-\(index + 1)"), "value": value(loser.values),
                "deleted": .bool(loser.isDelete), "origin": .string(loser.origin.hex),
                "name": JSONValue(optional: authors[loser.origin]),
                "time_ms": .int(loser.stampMilliseconds),
            ]
        }
        let shown: JSONValue =
            item.isRowVisible
            ? ["id": .string(item.id), "value": value(item.shown), "deleted": false] : .null
        return [
            "id": .string(item.id), "table": .string(item.table),
            "key": JSONValue(row: item.key), "kind": .string(kind),
            "column": JSONValue(optional: item.column), "shown": shown,
            "siblings": .array(siblings),
        ]
    }

    // MARK: Watch

    /// Sends what changed beyond `since`; returns where to go on.
    ///
    /// With `goesOn` false the rest is left for a later call.
    func changes(
        since: VersionVector, tables: Set<String>?, while goesOn: () -> Bool = { true },
        reply: (ControlReply) -> Void
    ) throws -> VersionVector {
        try replica.changes(since: since, tables: tables, while: goesOn) { change in
            // The group's secret is nobody's news.
            guard change.table.lowercased() != GroupTable.table else { return }
            let operation = change.isDelete ? "delete" : change.isInsert ? "insert" : "update"
            reply(
                .event([
                    "table": .string(change.table), "key": JSONValue(row: change.key),
                    "operation": .string(operation),
                    "columns": .array(change.columns.map { .string($0) }),
                    "row": change.row.map { JSONValue(row: $0) } ?? .null,
                    "parked": .bool(change.isParked), "origin": .string(change.origin.hex),
                    "time_ms": .int(change.stampMilliseconds),
                    "since": .string(Self.token(change.since)),
                ]))
        }
    }

    /// A vector as text, for `--since`.
    static func token(_ vector: VersionVector) -> String { Hexadecimal.text(vector.encoded) }

    static func vector(token: String) throws -> VersionVector {
        if token.isEmpty || token == "0" { return VersionVector() }
        guard let bytes = Hexadecimal.bytes(token),
            let vector = try? VersionVector(decoding: bytes)
        else {
            throw NodeError(
                .usage, "--since takes what a line of `starling watch` carries as \"since\", or 0")
        }
        return vector
    }

    // MARK: Backup

    func backup(_ arguments: JSONObject) throws -> JSONValue {
        guard let file = arguments["file"]?.string else { throw NodeError(.usage, "name a file") }
        guard !Path.exists(file) else {
            throw NodeError(.refused, "\(file) exists: name a new file")
        }
        try replica.backup(to: file)
        return ["file": .string(file), "bytes": .int(Path.size(of: file))]
    }
}
