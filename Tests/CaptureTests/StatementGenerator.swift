// Random statements of an app for any table, from its structure and one seed.

import SQLite
import Store
import TestKit
import Values

/// Makes statements that often collide: few values, every conflict clause, every form of write.
struct StatementGenerator {
    var random: SeededGenerator
    let tables: [TableSchema]

    init(seed: UInt64, tables: [TableSchema]) {
        random = SeededGenerator(seed: seed)
        self.tables = tables
    }

    /// What an app does next: one statement, or several in a transaction or savepoint.
    mutating func next() -> [String] {
        switch random.below(12) {
        case 0:
            let end = random.chance(1, in: 3) ? "ROLLBACK" : "COMMIT"
            return ["BEGIN"] + many() + [end]
        case 1:
            let undo = random.chance(1, in: 2) ? ["ROLLBACK TO s"] : []
            return ["SAVEPOINT s"] + many() + undo + ["RELEASE s"]
        case 2: return many()
        default: return [statement()]
        }
    }

    private mutating func many() -> [String] {
        (0..<(1 + random.below(4))).map { _ in statement() }
    }

    private mutating func statement() -> String {
        let table = tables[random.below(tables.count)]
        switch random.below(10) {
        case 0...4: return insert(table)
        case 5...7: return update(table)
        case 8: return random.chance(1, in: 6) ? insertFromItself(table) : delete(table)
        default: return delete(table)
        }
    }

    private mutating func conflict() -> String {
        let clauses = ["", "", " OR REPLACE", " OR REPLACE", " OR IGNORE", " OR FAIL"]
        return (clauses + [" OR ABORT", " OR ROLLBACK"])[random.below(8)]
    }

    // MARK: Statements

    private mutating func insert(_ table: TableSchema) -> String {
        var names = table.storedColumns.filter { column in
            random.chance(column.primaryKeyPosition > 0 && !table.hasRowIDAlias ? 19 : 16, in: 20)
        }.map(\.name)
        if table.hasRowIDAlias && random.chance(1, in: 3) {
            names.removeAll { $0 == table.primaryKey[0].name }
        }
        let rowID = !table.isWithoutRowID && random.chance(1, in: 8) ? rowIDName(table) : nil
        let conflict = conflict()
        let into = "INSERT\(conflict) INTO \(quotedIdentifier(table.name))"
        if names.isEmpty { return "\(into) DEFAULT VALUES" }
        let rows = (0..<[1, 1, 1, 2, 3][random.below(5)]).map { _ in
            let values =
                names.map { literal(table.column($0), isStrict: table.isStrict) }
                + (rowID == nil ? [] : ["\(random.below(12))"])
            return "(\(values.joined(separator: ", ")))"
        }.joined(separator: ", ")
        let list = (names.map(quotedIdentifier) + (rowID.map { [$0] } ?? []))
            .joined(separator: ", ")
        // SQLite 3.40 damages indexes when an UPSERT meets a REPLACE clause of the table.
        let hasReplace =
            table.primaryKeyConflict == .replace
            || table.indexes.contains { $0.conflict == .replace }
        let upsert = !hasReplace && conflict.isEmpty && random.chance(1, in: 2) ? upsert(table) : ""
        return "\(into)(\(list)) VALUES \(rows)\(upsert)"
    }

    private mutating func upsert(_ table: TableSchema) -> String {
        if random.chance(1, in: 4) { return " ON CONFLICT DO NOTHING" }
        let targets =
            [table.primaryKey.map(\.name)]
            + table.indexes.filter { $0.isUnique && $0.partialSQL == nil }
            .map { $0.columns.compactMap(\.name) }
        let target = targets[random.below(targets.count)].map(quotedIdentifier)
        return " ON CONFLICT(\(target.joined(separator: ", "))) DO UPDATE SET"
            + " \(assignments(table, isUpsert: true))"
    }

    private mutating func insertFromItself(_ table: TableSchema) -> String {
        let columns = table.storedColumns
        let values = columns.map { column in
            column.primaryKeyPosition > 0 || random.chance(1, in: 3)
                ? literal(column, isStrict: table.isStrict) : quotedIdentifier(column.name)
        }
        let name = quotedIdentifier(table.name)
        let list = columns.map { quotedIdentifier($0.name) }.joined(separator: ", ")
        return "INSERT\(conflict()) INTO \(name)(\(list))"
            + " SELECT \(values.joined(separator: ", ")) FROM \(name) LIMIT 3"
    }

    private mutating func update(_ table: TableSchema) -> String {
        "UPDATE\(conflict()) \(quotedIdentifier(table.name)) SET"
            + " \(assignments(table, isUpsert: false))\(condition(table))"
    }

    private mutating func delete(_ table: TableSchema) -> String {
        let filter = condition(table)
        // An empty table teaches little.
        let limit = filter.isEmpty ? " WHERE \(random.below(4)) = 0" : filter
        return "DELETE FROM \(quotedIdentifier(table.name))\(limit)"
    }

    private mutating func assignments(_ table: TableSchema, isUpsert: Bool) -> String {
        if !isUpsert && !table.isWithoutRowID && random.chance(1, in: 15),
            let name = rowIDName(table)
        {
            return "\(name) = \(random.below(10))"
        }
        let columns = table.storedColumns
        return (0..<[1, 1, 1, 2, 4][random.below(5)]).map { _ in
            let column = columns[random.below(columns.count)]
            let name = quotedIdentifier(column.name)
            let value: String
            switch random.below(8) {
            case 0: value = name
            case 1 where isUpsert: value = "excluded.\(name)"
            case 1 where !table.isStrict, 2 where !table.isStrict: value = "\(name) + 1"
            default: value = literal(column, isStrict: table.isStrict)
            }
            return "\(name) = \(value)"
        }.joined(separator: ", ")
    }

    private mutating func condition(_ table: TableSchema) -> String {
        if random.chance(1, in: 8) { return "" }
        let columns = table.primaryKey + table.storedColumns
        let column = columns[random.below(columns.count)]
        let sign = ["=", "=", "=", "IS", "<", ">="][random.below(6)]
        return " WHERE \(quotedIdentifier(column.name)) \(sign) \(literal(column, isStrict: false))"
    }

    private func rowIDName(_ table: TableSchema) -> String? {
        ["rowid", "_rowid_", "oid"].first { table.column($0) == nil }
    }

    // MARK: Values

    /// A STRICT table gets values of the right class: a wrong one fails before and after other
    /// checks, depending on whether the table has any BEFORE trigger at all.
    private mutating func literal(_ column: ColumnSchema?, isStrict: Bool) -> String {
        guard let column else { return "NULL" }
        let isKey = column.primaryKeyPosition > 0
        if random.chance(1, in: isKey ? 60 : 15) { return "NULL" }
        if isStrict && column.declaredType == "BLOB" { return "x'0\(random.below(5))'" }
        // Above the greatest rowid, SQLite gives out random ones.
        let isRowID = isKey && column.declaredType == "INTEGER"
        if !isStrict && !isRowID && random.chance(1, in: 12) {
            return Self.odd[random.below(Self.odd.count)]
        }
        switch column.affinity {
        case .integer, .numeric: return "\(random.below(8))"
        case .real: return ["0.5", "1", "2.0", "2.5", "1e300"][random.below(5)]
        case .text: return ["'a'", "'A'", "'b'", "'c'", "'c '", "'d'", "'\u{e9}'"][random.below(7)]
        case .none: return ["1", "1.0", "'1'", "x'31'", "'a'", "'A'", "2.5"][random.below(7)]
        }
    }

    private static let odd = [
        "'x'", "x'00ff'", "''", "x''", "9223372036854775807", "-9223372036854775808",
        "-9223372036854775808.0", "1.5", "'1e2'", "'\u{1F426}'", "CAST(x'ff61' AS TEXT)",
        "CAST(x'610062' AS TEXT)", "zeroblob(3)", "-1", "1e999",
    ]
}
