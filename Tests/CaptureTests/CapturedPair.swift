// Two databases that get the same statements, one captured and one not, and the judgement of what
// the journal says against what really changed.

import SQLite
import Store
import TestKit
import Testing
import Values

/// What a program sees of one statement.
struct Outcome: Equatable, CustomStringConvertible {
    /// The extended result code; 0 when the statement worked.
    var code: Int32 = 0
    var changes = 0
    var lastRowID: Int64 = 0

    var description: String { "code \(code), \(changes) changes, rowid \(lastRowID)" }
}

extension Connection {
    /// Runs one statement of an app; a failure is part of the outcome.
    func outcome(of sql: String) -> Outcome {
        do {
            try execute(sql)
            // A failed INSERT may count or not, whether the table has triggers or not.
            let isInsert = sql.hasPrefix("INSERT")
            return Outcome(changes: changes, lastRowID: isInsert ? lastInsertRowID : 0)
        } catch let error as SQLiteError {
            return Outcome(code: error.code.rawValue)
        } catch {
            return Outcome(code: -1)
        }
    }
}

/// The content of a table by its key, with every value as it is stored.
typealias Content = [[Value]: [Value]]

/// One captured table.
struct CapturedTable {
    var schema: TableSchema
    var id: Int64

    /// 1 and 1.0 are one key to SQLite.
    func canonicalKey(of row: [Value]) -> [Value] {
        schema.keyPositions.map { position in
            if case .real(let number) = row[position], let whole = Int64(exactly: number) {
                return .integer(whole)
            }
            return row[position]
        }
    }

    func content(in connection: Connection) throws -> Content {
        let columns = schema.storedColumns.map { quotedIdentifier($0.name) }
        let rows = try connection.query(
            "SELECT \(columns.joined(separator: ", ")) FROM \(quotedIdentifier(schema.name))")
        return Content(uniqueKeysWithValues: rows.map { (canonicalKey(of: $0), $0) })
    }
}

/// One entry of a journal.
struct Entry: Equatable {
    var operation: Capture.Operation
    var at: Double
    var changed: Set<Int>
    var values: [Value]
}

/// A captured database and its twin.
final class CapturedPair {
    let captured: Connection
    let plain: Connection
    private(set) var tables: [CapturedTable] = []
    private var before: [Content] = []

    /// Both databases are in memory, unless `path` names a file for the captured one.
    init(_ setup: String, tables names: [String], path: String = ":memory:") throws {
        captured = try Connection(path: path)
        plain = try Connection(path: ":memory:")
        try captured.execute(setup)
        try plain.execute(setup)
        for (index, name) in names.enumerated() {
            let schema = try #require(try TableSchema.read(name, from: captured))
            let errors = schema.problems(in: captured).filter { $0.severity == .error }
            #expect(errors.isEmpty)
            tables.append(CapturedTable(schema: schema, id: Int64(index + 1)))
        }
        try arm()
        before = try tables.map { try $0.content(in: captured) }
        try setMark()
    }

    /// Gives both connections the same `changes()` and `last_insert_rowid()`, which the judgement
    /// would disturb: a node reads journals on a connection of its own.
    private func setMark() throws {
        for connection in [captured, plain] {
            try connection.execute(
                """
                CREATE TEMP TABLE IF NOT EXISTS mark(v);
                REPLACE INTO temp.mark(rowid) VALUES(-987654)
                """)
        }
    }

    func arm() throws {
        for table in tables {
            try captured.transaction { try Capture.arm(table.schema, id: table.id, in: captured) }
            #expect(try Capture.isArmed(table.schema, id: table.id, in: captured))
        }
    }

    /// Runs `statements` on both sides and returns what is wrong, or nil.
    func run(_ statements: [String]) throws -> String? {
        for statement in statements {
            let expected = plain.outcome(of: statement)
            let outcome = captured.outcome(of: statement)
            guard outcome == expected else {
                return "captured: \(outcome), plain: \(expected) at: \(statement)"
            }
        }
        // A COMMIT that failed, as deferred keys make it, leaves the transaction open.
        for connection in [captured, plain] where connection.isInTransaction {
            try connection.execute("ROLLBACK")
        }
        return try judge()
    }

    /// Judges what happened since the last call, and empties the journals.
    func judge() throws -> String? {
        for (index, table) in tables.enumerated() {
            let after = try table.content(in: captured)
            guard try table.content(in: plain) == after else {
                return "\(table.schema.name) differs from its twin"
            }
            let entries = try takeEntries(of: table)
            if let fault = table.fault(in: entries, from: before[index], to: after) {
                return "\(table.schema.name): \(fault)"
            }
            before[index] = after
        }
        try setMark()
        return nil
    }

    /// The settled entries of a table's journal, which is empty afterwards.
    func takeEntries(of table: CapturedTable) throws -> [Entry] {
        try captured.takeEntries(of: table)
    }
}

extension Connection {
    func takeEntries(of table: CapturedTable) throws -> [Entry] {
        try Capture.settle(table.schema, id: table.id, in: self)
        let journal = quotedIdentifier(Capture.journalTable(id: table.id))
        let count = table.schema.storedColumns.count
        let entries = try query("SELECT * FROM \(journal) ORDER BY seq").map { row in
            guard case .integer(let number) = row[1], case .real(let at) = row[2] else {
                throw SchemaError(.capture, "an entry has no operation or time")
            }
            return Entry(
                operation: try #require(Capture.Operation(rawValue: number)), at: at,
                changed: Set(Capture.changedColumns(row[3], count: count)),
                values: Array(row[4..<(4 + count)]))
        }
        try execute("DELETE FROM \(journal)")
        return entries
    }
}

extension CapturedTable {
    /// Replays `entries` over `before`; nil when they explain `after` exactly.
    func fault(in entries: [Entry], from before: Content, to after: Content) -> String? {
        var isPresent: [[Value]: Bool] = [:]
        var seen: [[Value]: [Entry]] = [:]
        var early: Set<[Value]> = []
        for entry in entries {
            let key = canonicalKey(of: entry.values)
            let wasPresent = isPresent[key] ?? (before[key] != nil)
            switch entry.operation {
            case .insert:
                isPresent[key] = true
                early.remove(key)
            case .update:
                // A cascade on the row that is being moved comes before the move itself.
                if !wasPresent { early.insert(key) }
                guard !entry.changed.isEmpty else { return "update of nothing in \(key)" }
            case .delete:
                guard wasPresent else { return "delete of the absent row \(key)" }
                guard seen[key] != nil || before[key] == entry.values else {
                    return "delete of \(key) with other values than it had"
                }
                isPresent[key] = false
            }
            seen[key, default: []].append(entry)
        }
        if let key = early.first { return "update of the absent row \(key)" }
        for key in Set(before.keys).union(after.keys) {
            guard let entries = seen[key] else {
                if before[key] != after[key] { return "no entry for \(key)" }
                continue
            }
            if (isPresent[key] ?? (before[key] != nil)) != (after[key] != nil) {
                return "presence of \(key) is not as the journal says"
            }
            guard entries.allSatisfy({ $0.operation == .update }) else { continue }
            guard let old = before[key], let new = after[key] else { return "lost \(key)" }
            let really = Set(old.indices.filter { old[$0] != new[$0] })
            let told = entries.reduce(into: Set<Int>()) { $0.formUnion($1.changed) }
            guard really.isSubset(of: told), entries.count > 1 || really == told else {
                return "columns \(really.sorted()) of \(key) changed, told were \(told.sorted())"
            }
        }
        let strange = seen.keys.first {
            before[$0] == nil && after[$0] == nil && isPresent[$0] == true
        }
        return strange.map { "an entry says \($0) is there" }
    }
}
