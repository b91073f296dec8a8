// Programs that write plain SQL at random: every statement form, on tables of every shape.

internal import SQLite

/// One table that random programs write, with the values they may use.
package struct RandomTable {
    package struct Column {
        package var name: String
        package var values: [String]
    }

    package var name: String
    package var create: String
    package var key: [Column]
    package var columns: [Column]
    package var isDeleteWins = false

    package var quotedName: String { quotedIdentifier(name) }

    /// A column beside the key whose values are unique.
    var uniqueColumn: String? {
        columns.first { create.contains(" \($0.name) TEXT UNIQUE") }?.name
    }

    /// The table's rows have a number of their own, which programs may change.
    var hasOwnRowID: Bool {
        !create.contains("WITHOUT ROWID") && !create.contains("INTEGER PRIMARY KEY")
    }

    package static let texts = ["'a'", "'b'", "'A'", "'c'", "''"]
    package static let numbers = ["1", "2", "3", "4"]
    package static let any = [
        "NULL", "1", "'1'", "1.0", "-0.0", "x'00ff'", "9007199254740993", "'a'", "1.5", "''",
    ]

    package static let all: [RandomTable] = [
        RandomTable(
            name: "notes",
            create:
                "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, a TEXT, b INTEGER DEFAULT 7, c)",
            key: [Column(name: "id", values: texts)],
            columns: [
                Column(name: "a", values: texts + ["NULL"]), Column(name: "b", values: any),
                Column(name: "c", values: any),
            ]),
        RandomTable(
            name: "items",
            create: """
                CREATE TABLE items(id INTEGER PRIMARY KEY, u TEXT UNIQUE,
                    lo INTEGER NOT NULL DEFAULT 0, hi INTEGER NOT NULL DEFAULT 5,
                    t TEXT COLLATE NOCASE, CHECK(lo <= hi));
                CREATE UNIQUE INDEX items_t ON items(t) WHERE lo > 0
                """,
            key: [Column(name: "id", values: numbers)],
            columns: [
                Column(name: "u", values: texts + ["NULL"]),
                Column(name: "lo", values: ["0", "3", "7"]),
                Column(name: "hi", values: ["1", "5", "9"]),
                Column(name: "t", values: texts + ["NULL"]),
            ]),
        RandomTable(
            name: "pairs",
            create: """
                CREATE TABLE pairs(x TEXT NOT NULL, y INTEGER NOT NULL, a, b TEXT,
                    PRIMARY KEY(x, y), UNIQUE(b, a)) WITHOUT ROWID
                """,
            key: [
                Column(name: "x", values: ["'a'", "'b'"]),
                Column(name: "y", values: ["1", "2", "3"]),
            ],
            columns: [
                Column(name: "a", values: ["1", "1.0", "'1'", "NULL", "x'01'"]),
                Column(name: "b", values: ["'a'", "'b'", "NULL"]),
            ]),
        RandomTable(
            name: "parents",
            create: """
                CREATE TABLE parents(id INTEGER PRIMARY KEY, code TEXT UNIQUE,
                    up INTEGER REFERENCES parents(id) ON DELETE CASCADE, note)
                """,
            key: [Column(name: "id", values: numbers)],
            columns: [
                Column(name: "code", values: texts + ["NULL"]),
                Column(name: "up", values: numbers + ["NULL", "NULL", "NULL"]),
                Column(name: "note", values: any),
            ]),
        RandomTable(
            name: "children",
            create: """
                CREATE TABLE children(id TEXT PRIMARY KEY NOT NULL,
                    p INTEGER REFERENCES parents(id) ON DELETE CASCADE ON UPDATE CASCADE,
                    pc TEXT REFERENCES parents(code) ON DELETE SET NULL, x TEXT UNIQUE)
                """,
            key: [Column(name: "id", values: texts)],
            columns: [
                Column(name: "p", values: numbers + ["NULL"]),
                Column(name: "pc", values: texts + ["NULL", "NULL", "NULL"]),
                Column(name: "x", values: texts + ["NULL"]),
            ]),
        RandomTable(
            name: "Order Details",
            create: """
                CREATE TABLE [Order Details]([Order Id] TEXT NOT NULL, "select" INTEGER NOT NULL,
                    [a b] TEXT DEFAULT 'd', "q""q" REAL, PRIMARY KEY([Order Id], "select"))
                """,
            key: [
                Column(name: "Order Id", values: ["'a'", "'b'"]),
                Column(name: "select", values: ["1", "2"]),
            ],
            columns: [
                Column(name: "a b", values: texts + ["NULL"]),
                Column(name: "q\"q", values: ["1", "-0.0", "1.5", "NULL"]),
            ], isDeleteWins: true),
    ]
}

/// Draws statements.
package struct RandomProgram {
    package var generator: SeededGenerator

    package init(generator: SeededGenerator) { self.generator = generator }

    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[generator.below(elements.count)]
    }

    /// `first`, by itself or with others on `tables` in a transaction or a savepoint, kept or taken back.
    package mutating func transaction(_ first: String, _ tables: [RandomTable]) -> [String] {
        guard generator.chance(2, in: 5) else { return [first] }
        let isSavepoint = generator.chance(1, in: 5)
        let isPlain = isSavepoint || generator.chance(3, in: 4)
        let rest = statements(tables) + (isPlain ? [] : saved(tables))
        if isSavepoint { return saved([first] + rest) }
        return ["BEGIN", first] + rest + [generator.chance(1, in: 4) ? "ROLLBACK" : "COMMIT"]
    }

    /// Of an app without a transaction, which a clause of a statement before has ended: not for it any more.
    package static func endsTransaction(_ statement: String) -> Bool {
        ["COMMIT", "ROLLBACK", "RELEASE"].contains { statement.hasPrefix($0) }
    }

    private mutating func statements(_ tables: [RandomTable]) -> [String] {
        (0..<generator.below(5)).map { _ in statement(tables) }
    }

    private mutating func saved(_ tables: [RandomTable]) -> [String] { saved(statements(tables)) }

    private mutating func saved(_ statements: [String]) -> [String] {
        let isUndone = generator.chance(1, in: 2)
        return ["SAVEPOINT s"] + statements + (isUndone ? ["ROLLBACK TO s"] : []) + ["RELEASE s"]
    }

    /// One statement on one of `tables`.
    package mutating func statement(_ tables: [RandomTable]) -> String {
        let table = pick(tables)
        switch generator.below(20) {
        case 0...6: return insert(table)
        case 7: return insertFromItself(table)
        case 8...13: return update(table)
        case 14, 15: return move(table)
        default:
            return "DELETE FROM \(table.quotedName) WHERE \(condition(table))"
        }
    }

    private mutating func insert(_ table: RandomTable) -> String {
        let clause = insertClause()
        if !table.hasOwnRowID, table.key.count == 1, generator.chance(1, in: 30) {
            return "\(clause) INTO \(table.quotedName) DEFAULT VALUES"
        }
        var columns = table.key
        for column in table.columns where generator.chance(3, in: 4) { columns.append(column) }
        if table.hasOwnRowID, generator.chance(1, in: 15) {
            columns.append(RandomTable.Column(name: "rowid", values: RandomTable.numbers))
        }
        let rows = (0..<(generator.chance(1, in: 4) ? 3 : 1)).map { _ in
            "(" + columns.map { pick($0.values) }.joined(separator: ", ") + ")"
        }
        var sql = "\(clause) INTO \(table.quotedName)("
        sql += columns.map { quotedIdentifier($0.name) }.joined(separator: ", ")
        sql += ") VALUES" + rows.joined(separator: ", ")
        if clause == "INSERT", generator.chance(1, in: 2), columns.count > table.key.count {
            var key = table.key.map { quotedIdentifier($0.name) }.joined(separator: ", ")
            if let unique = table.uniqueColumn, generator.chance(1, in: 3) { key = unique }
            let changed = quotedIdentifier(pick(Array(columns[table.key.count...])).name)
            sql +=
                generator.chance(1, in: 6)
                ? " ON CONFLICT DO NOTHING"
                : " ON CONFLICT(\(key)) DO UPDATE SET \(changed) = excluded.\(changed)"
        }
        return sql
    }

    /// What a statement that fails half way leaves of itself, and of its transaction, differs.
    private static let refusals = [" OR FAIL", " OR ABORT", " OR ROLLBACK"]

    private mutating func insertClause() -> String {
        let clauses = ["", "", "", " OR REPLACE", " OR REPLACE", " OR IGNORE", pick(Self.refusals)]
        return generator.chance(1, in: 6) ? "REPLACE" : "INSERT" + pick(clauses)
    }

    private mutating func updateClause() -> String {
        "UPDATE" + pick(["", "", "", " OR REPLACE", " OR IGNORE", pick(Self.refusals)])
    }

    /// Rows that are there already, some under another key or with another value.
    private mutating func insertFromItself(_ table: RandomTable) -> String {
        let columns = table.key + table.columns
        let values = columns.enumerated().map { place, column in
            generator.chance(place < table.key.count ? 2 : 1, in: 3)
                ? pick(column.values) : quotedIdentifier(column.name)
        }
        let names = columns.map { quotedIdentifier($0.name) }.joined(separator: ", ")
        return "\(insertClause()) INTO \(table.quotedName)(\(names)) SELECT "
            + "\(values.joined(separator: ", ")) FROM \(table.quotedName) LIMIT 3"
    }

    private mutating func update(_ table: RandomTable) -> String {
        var assignments = [assignment(pick(table.columns))]
        if generator.chance(1, in: 3) { assignments.append(assignment(pick(table.columns))) }
        if table.hasOwnRowID, generator.chance(1, in: 30) {
            assignments = ["rowid = \(1 + generator.below(9))"]
        }
        return "\(updateClause()) \(table.quotedName) SET \(assignments.joined(separator: ", "))"
            + " WHERE \(condition(table))"
    }

    private mutating func move(_ table: RandomTable) -> String {
        return "\(updateClause()) \(table.quotedName) SET \(assignment(pick(table.key)))"
            + " WHERE \(condition(table))"
    }

    private mutating func assignment(_ column: RandomTable.Column) -> String {
        let name = quotedIdentifier(column.name)
        if generator.chance(1, in: 12) { return "\(name) = \(name)" }
        if generator.chance(1, in: 20) { return "\(name) = \(name) + 1" }
        return "\(name) = \(pick(column.values))"
    }

    private mutating func condition(_ table: RandomTable) -> String {
        if generator.chance(1, in: 12) { return "1" }
        if generator.chance(1, in: 4) {
            let column = pick(table.columns)
            let sign = pick(["IS", "IS", "IS", "<", ">="])
            return "\(quotedIdentifier(column.name)) \(sign) \(pick(column.values))"
        }
        return table.key.map { "\(quotedIdentifier($0.name)) = \(pick($0.values))" }
            .joined(separator: " AND ")
    }
}
