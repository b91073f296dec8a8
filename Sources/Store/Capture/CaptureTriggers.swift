// The text of the capture triggers. It runs inside every write of every program that has the file
// open, so it may contain nothing that can fail, and nothing newer than SQLite 3.24.

internal import SQLite

/// Builds the triggers of one table.
///
/// Measured choices: one UPDATE trigger with a WHEN clause and a mask costs what one trigger per
/// column costs, and keeps the schema small and an UPDATE of many columns one entry;
/// `julianday('now')` is the cheapest clock that every SQLite has; a journal as wide as the table
/// costs what a narrow one does.
struct CaptureTriggers {
    private let schema: TableSchema
    private let id: Int64
    private let stored: [ColumnSchema]
    private let key: [(position: Int, column: ColumnSchema)]
    private let victimKeys: [IndexSchema]
    /// A name under which SQL reaches the hidden rowid, if the table has one that is not a column.
    private let rowID: String?

    init(_ schema: TableSchema, id: Int64) throws {
        self.schema = schema
        self.id = id
        stored = schema.storedColumns
        key = zip(schema.keyPositions, schema.primaryKey).map { ($0, $1) }
        guard schema.kind == .table, !key.isEmpty, key.count == schema.primaryKey.count,
            schema.columns.count <= SchemaLimits.columnsMax
        else {
            throw SchemaError(
                .capture,
                "\(StructureGuard.shown(schema.name)) cannot be captured: it needs a PRIMARY KEY of"
                    + " stored columns, and at most \(SchemaLimits.columnsMax) columns")
        }
        let keyNames = Set(key.map { foldedName($0.column.name) })
        victimKeys = schema.indexes.filter { index in
            // Who holds the same key in a unique index that contains the primary key is the same
            // row.
            let names = index.columns.filter { $0.collation == "BINARY" }
                .compactMap { $0.name.map(foldedName) }
            return index.isUnique && index.origin != .primaryKey
                && !keyNames.isSubset(of: names)
                && index.columns.allSatisfy { $0.name != nil }
        }
        rowID =
            schema.isWithoutRowID || schema.hasRowIDAlias
            ? nil : ["_rowid_", "rowid", "oid"].first { schema.column($0) == nil }
    }

    /// The names of the rowid that are not columns.
    private var rowIDNames: [String] {
        ["_rowid_", "rowid", "oid"].filter { schema.column($0) == nil }
    }

    /// The key's columns in the journal and among the victims.
    var keyList: String { key.map { "c\($0.position)" }.joined(separator: ", ") }

    var statements: [String] {
        [
            insertTrigger, updateTrigger, moveTrigger, deleteTrigger, victimInsertTrigger,
            victimUpdateTrigger,
        ].compactMap { $0 }
    }

    // MARK: The journal

    private static let now = "julianday('now')"

    private func name(_ event: String) -> String { quotedIdentifier("_starling_\(id)_\(event)") }
    private var table: String { quotedIdentifier(schema.name) }
    private var journal: String { quotedIdentifier(Capture.journalTable(id: id)) }
    private var victims: String { quotedIdentifier(Capture.victimTable(id: id)) }
    private var allList: String { stored.indices.map { "c\($0)" }.joined(separator: ", ") }

    private func values(_ row: String, _ columns: [ColumnSchema]) -> String {
        columns.map { "\(row).\(quotedIdentifier($0.name))" }.joined(separator: ", ")
    }

    private var insertEntry: String {
        "INSERT INTO \(journal)(op, at, \(keyList)) VALUES(1, \(Self.now), "
            + "\(values("NEW", key.map(\.column))));"
    }

    private var deleteEntry: String {
        "INSERT INTO \(journal)(op, at, \(allList)) VALUES(3, \(Self.now), "
            + "\(values("OLD", stored)));"
    }

    private var insertTrigger: String {
        "CREATE TRIGGER \(name("insert")) AFTER INSERT ON \(table) BEGIN \(insertEntry) END"
    }

    /// A row that is deleted in a way that triggers see is no longer a victim.
    private var deleteTrigger: String {
        "CREATE TRIGGER \(name("delete")) AFTER DELETE ON \(table) BEGIN \(deleteEntry)"
            + "\(forgetOld) END"
    }

    /// Changes of columns outside the key.
    private var updateTrigger: String? {
        let keyNames = Set(key.map(\.position))
        let changes = stored.indices.filter { !keyNames.contains($0) }
            .map { (position: $0, differs: differs(stored[$0])) }
        guard !changes.isEmpty else { return nil }
        let cols: String
        if stored.count <= Capture.maskColumnsMax {
            cols = balanced(
                changes.map { "\($0.differs) * \(Int64(1) << Int64($0.position))" }, " + ")
        } else {
            cols = balanced(
                stored.indices.map { keyNames.contains($0) ? "'0'" : differs(stored[$0]) }, " || ")
        }
        let isSameRow = key.map { "NOT \(differs($0.column))" }.joined(separator: " AND ")
        return """
            CREATE TRIGGER \(name("update")) AFTER UPDATE ON \(table) \
            WHEN \(isSameRow) AND \(balanced(changes.map(\.differs), " OR ")) \
            BEGIN INSERT INTO \(journal)(op, at, cols, \(keyList)) \
            VALUES(2, \(Self.now), \(cols), \(values("NEW", key.map(\.column)))); END
            """
    }

    /// A change of the key: the old row goes, a new one comes.
    private var moveTrigger: String {
        var names = key.map(\.column.name)
        if schema.hasRowIDAlias { names += rowIDNames }
        let list = names.map(quotedIdentifier).joined(separator: ", ")
        return """
            CREATE TRIGGER \(name("move")) AFTER UPDATE OF \(list) ON \(table) \
            WHEN \(balanced(key.map { differs($0.column) }, " OR ")) \
            BEGIN \(deleteEntry)\(forgetOld) \(insertEntry) END
            """
    }

    /// True when the column has another value: `IS NOT` alone takes 1 for 1.0, and 'a' for 'A'
    /// under NOCASE. Columns that cannot hold equal values of two classes are spared the second
    /// look.
    private func differs(_ column: ColumnSchema) -> String {
        let name = quotedIdentifier(column.name)
        let isOther =
            "NEW.\(name) IS NOT OLD.\(name)"
            + (column.collation == "BINARY" ? "" : " COLLATE BINARY")
        let isOneClass =
            column.affinity == .text || column.affinity == .real
            || schema.isStrict && column.affinity != .none
        if isOneClass { return "(\(isOther))" }
        return "(\(isOther) OR typeof(NEW.\(name)) IS NOT typeof(OLD.\(name)))"
    }

    /// Joins in a tree: SQLite limits the depth of expressions, and a chain is as deep as it is
    /// long.
    private func balanced(_ terms: some RandomAccessCollection<String>, _ glue: String) -> String {
        guard terms.count > 1 else { return terms.first ?? "" }
        let half = terms.index(terms.startIndex, offsetBy: terms.count / 2)
        return "(\(balanced(terms[..<half], glue))\(glue)\(balanced(terms[half...], glue)))"
    }
}

// MARK: - Victims of REPLACE

extension CaptureTriggers {
    // A REPLACE deletes the rows in its way, and with recursive_triggers off no trigger sees it.
    // Only before the write can they be found, and only after it is known whether they went: the
    // write may be ignored, fail, or become an UPSERT. What was found is kept in the victims'
    // table, one row per key at most, until the reader of the journal asks which are gone. Nothing
    // is concluded inside the triggers, so statements nested in one another by cascades or by the
    // app's own triggers cannot spoil each other's records.

    /// An INSERT over the same primary key needs no record: its own entry tells it.
    private var victimInsertTrigger: String? {
        guard !victimKeys.isEmpty || rowID != nil else { return nil }
        var isOther = isOtherRow("NEW")
        // With an automatic key, NEW's rowid is -1 before the insert.
        if schema.hasRowIDAlias, let name = key.first?.column.name {
            isOther = "(\(isOther) OR NEW.\(quotedIdentifier(name)) IS -1)"
        }
        let source = source(ofHolders: victimKeyTerms, isOther)
        let isPossible = victimKeys.isEmpty ? rowID.map { "NEW.\($0) IS NOT -1" } : nil
        return """
            CREATE TRIGGER \(name("victim_insert")) BEFORE INSERT ON \(table) \
            WHEN \(isPossible ?? "EXISTS(SELECT 1 \(source))") BEGIN \(record(source)) END
            """
    }

    /// An UPDATE records the holder of its new key too: pushing it out can cascade to the very row
    /// that is updated, and then nothing is written that would tell.
    private var victimUpdateTrigger: String {
        let parts = victimKeys.flatMap(\.columns).compactMap { $0.name.flatMap(schema.column) }
        var names = schema.isWithoutRowID ? [] : rowIDNames
        var changes = rowID.map { ["NEW.\($0) IS NOT OLD.\($0)"] } ?? []
        for column in key.map(\.column) + parts where !names.contains(column.name) {
            names.append(column.name)
            changes.append(differs(column))
        }
        // A change of any column may bring a row into a partial index or change a generated column.
        let isOpen =
            parts.contains(where: \.isGenerated) || victimKeys.contains { $0.partialSQL != nil }
        let columns =
            isOpen ? "" : " OF \(names.map(quotedIdentifier).joined(separator: ", "))"
        let isChange = isOpen ? "" : "\(balanced(changes, " OR ")) AND "
        let sameKey = key.map { key in
            let name = quotedIdentifier(key.column.name)
            return "\(table).\(name) = NEW.\(name)"
        }.joined(separator: " AND ")
        let source = source(ofHolders: victimKeyTerms + [sameKey], isOtherRow("OLD"))
        return """
            CREATE TRIGGER \(name("victim_update")) BEFORE UPDATE\(columns) ON \(table) \
            WHEN \(isChange)EXISTS(SELECT 1 \(source)) BEGIN \(record(source)) END
            """
    }

    /// The rows that hold a unique value of NEW. Whether there are any is asked in the WHEN clause:
    /// it is one search in the common case that there are none, where the body would be three.
    private func source(ofHolders terms: [String], _ isOther: String) -> String {
        let holders = terms.map { "(\($0))" }.joined(separator: " OR ")
        return "FROM \(table) WHERE (\(holders)) AND \(isOther)"
    }

    private func record(_ source: String) -> String {
        // The unary plus takes the column's affinity away, so that the victims' index can be used.
        let keys = key.map { "+\(quotedIdentifier($0.column.name))" }.joined(separator: ", ")
        let left = key.count == 1 ? keyList : "(\(keyList))"
        let columns = stored.map { quotedIdentifier($0.name) }.joined(separator: ", ")
        return """
            DELETE FROM \(victims) WHERE \(left) IN (SELECT \(keys) \(source)); \
            INSERT INTO \(victims)(at, \(allList)) SELECT \(Self.now), \(columns) \(source);
            """
    }

    /// Per unique key beside the primary one: the row of the table holds NEW's value.
    private var victimKeyTerms: [String] {
        var terms = victimKeys.map { index in
            var parts = index.columns.map { part in holds(part) }
            if let condition = index.partialSQL { parts.append("(\(condition))") }
            return parts.joined(separator: " AND ")
        }
        if let rowID { terms.append("\(table).\(rowID) = NEW.\(rowID)") }
        return terms
    }

    private func holds(_ part: IndexSchema.Column) -> String {
        let name = quotedIdentifier(part.name ?? "")
        let column = schema.column(part.name ?? "")
        var value = "NEW.\(name)"
        // OR REPLACE puts the default in the place of a NULL that is not allowed, after this
        // trigger.
        if let column, column.isNotNull, let sql = column.defaultSQL {
            value = "ifnull(\(value), \(sql))"
        }
        let collation = part.collation == column?.collation ? "" : " COLLATE \(part.collation)"
        return "\(table).\(name) = \(value)\(collation)"
    }

    private func isOtherRow(_ row: String) -> String {
        let terms = key.map { key in
            let name = quotedIdentifier(key.column.name)
            return "\(table).\(name) IS NOT \(row).\(name)"
        }
        return terms.count == 1 ? terms[0] : "(\(terms.joined(separator: " OR ")))"
    }

    private var forgetOld: String {
        let terms = key.map { "c\($0.position) = +OLD.\(quotedIdentifier($0.column.name))" }
        return " DELETE FROM \(victims) WHERE \(terms.joined(separator: " AND "));"
    }

    var hasVictims: String { "SELECT EXISTS(SELECT 1 FROM \(victims))" }

    var settleVictims: String {
        """
        INSERT INTO \(journal)(op, at, \(allList)) SELECT 3, at, \(allList) FROM \(victims) \
        WHERE \(isGone) ORDER BY \(victims)._rowid_
        """
    }

    var goneVictims: String { "SELECT count(*) FROM \(victims) WHERE \(isGone)" }

    private var isGone: String {
        let isSame = key.map {
            "\(table).\(quotedIdentifier($0.column.name)) = \(victims).c\($0.position)"
        }
        return "NOT EXISTS(SELECT 1 FROM \(table) WHERE \(isSame.joined(separator: " AND ")))"
    }

    var forgetVictims: String { "DELETE FROM \(victims)" }
}
