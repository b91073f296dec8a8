// What stands in the way of syncing a table, and what its owner should know before. Every message
// says what to do.

package import SQLite
internal import Values

/// One finding about a table that is to be tracked.
package struct TrackProblem: Sendable, Hashable, CustomStringConvertible {
    package enum Severity: String, Sendable, Hashable {
        /// The table cannot be tracked.
        case error
        /// It can, and its owner should know this.
        case warning
    }

    /// Stable names for programs.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        package static let notATable = Code(rawValue: "not-a-table")
        package static let reservedName = Code(rawValue: "reserved-name")
        package static let noKey = Code(rawValue: "no-key")
        package static let nullableKey = Code(rawValue: "nullable-key")
        package static let keyCollation = Code(rawValue: "key-collation")
        package static let generatedKey = Code(rawValue: "generated-key")
        package static let uniqueCollation = Code(rawValue: "unique-collation")
        package static let uniqueExpression = Code(rawValue: "unique-expression")
        package static let foreignKeyMismatch = Code(rawValue: "foreign-key-mismatch")
        package static let tooManyColumns = Code(rawValue: "too-many-columns")
        package static let integerKey = Code(rawValue: "integer-key")
        package static let realKey = Code(rawValue: "real-key")
        package static let autoincrement = Code(rawValue: "autoincrement")
        package static let triggers = Code(rawValue: "triggers")
        package static let anyType = Code(rawValue: "any-type")
        package static let notPortable = Code(rawValue: "not-portable")
        package static let unreadable = Code(rawValue: "unreadable")
    }

    package var severity: Severity
    package var code: Code
    package var message: String

    package init(_ severity: Severity, _ code: Code, _ message: String) {
        self.severity = severity
        self.code = code
        self.message = message
    }

    package var description: String { "\(severity.rawValue): \(message)" }
}

extension TableSchema {
    /// All findings about this table, errors first. Never throws: a file that cannot be read is
    /// itself a finding.
    package func problems(in connection: Connection) -> [TrackProblem] {
        let own = structureProblems
        // Of a view or a virtual table nothing else is worth saying.
        if own.contains(where: { $0.code == .notATable || $0.code == .reservedName }) { return own }
        var found = own + keyProblems + uniqueProblems + warnings
        do {
            found += try foreignKeyProblems(in: connection) + triggerProblems(in: connection)
        } catch {
            found.append(
                TrackProblem(.error, .unreadable, "\(shown) cannot be examined: \(error)"))
        }
        return found.filter { $0.severity == .error } + found.filter { $0.severity == .warning }
    }

    private var shown: String { "table \(StructureGuard.shown(name))" }

    private var structureProblems: [TrackProblem] {
        let folded = asciiLowercased(name)
        if folded.hasPrefix("_starling_") || folded.hasPrefix("sqlite_") {
            return [
                TrackProblem(
                    .error, .reservedName,
                    "\(shown) has a reserved name: rename it, or leave it untracked")
            ]
        }
        guard kind == .table else {
            return [
                TrackProblem(
                    .error, .notATable,
                    "\(StructureGuard.shown(name)) is a \(kind.rawValue), not a table with rows"
                        + " of its own: track the tables it is made from")
            ]
        }
        if columns.count > SchemaLimits.columnsMax {
            return [
                TrackProblem(
                    .error, .tooManyColumns,
                    "\(shown) has \(columns.count) columns; the most is"
                        + " \(SchemaLimits.columnsMax): split it")
            ]
        }
        return []
    }

    private var keyProblems: [TrackProblem] {
        let key = primaryKey
        guard !key.isEmpty else {
            return [
                TrackProblem(
                    .error, .noKey,
                    "\(shown) has no PRIMARY KEY, so a row has no name that two machines share:"
                        + " rebuild it with one, best a random text (UUID) declared"
                        + " TEXT PRIMARY KEY NOT NULL")
            ]
        }
        var found: [TrackProblem] = []
        let index = indexes.first { $0.origin == .primaryKey }
        for column in key {
            let name = StructureGuard.shown(column.name)
            if !column.isNotNull && !hasRowIDAlias && !isWithoutRowID {
                found.append(
                    TrackProblem(
                        .error, .nullableKey,
                        "key column \(name) of \(shown) accepts NULL, and several rows may have it:"
                            + " rebuild the table with \(name) declared NOT NULL"))
            }
            let collations =
                [column.collation]
                + (index?.columns.filter { $0.name == column.name }.map(\.collation) ?? [])
            if let other = collations.first(where: { $0 != "BINARY" }), !hasRowIDAlias {
                found.append(
                    TrackProblem(
                        .error, .keyCollation,
                        "key column \(name) of \(shown) compares by \(StructureGuard.shown(other)),"
                            + " so different texts name one row: rebuild the table with the key"
                            + " COLLATE BINARY (a UNIQUE index COLLATE \(other) beside it is fine)")
                )
            }
            if column.isGenerated {
                found.append(
                    TrackProblem(
                        .error, .generatedKey,
                        "key column \(name) of \(shown) is generated: use a stored column as key"))
            }
        }
        return found
    }

    private var uniqueProblems: [TrackProblem] {
        var found: [TrackProblem] = []
        for index in indexes where index.isUnique && index.origin != .primaryKey {
            let label = index.name.map { "UNIQUE index \(StructureGuard.shown($0))" }
            let indexShown = "\(label ?? "a UNIQUE constraint") of \(shown)"
            if index.columns.contains(where: { $0.name == nil }) {
                found.append(
                    TrackProblem(
                        .error, .uniqueExpression,
                        "\(indexShown) is on an expression: index a generated column with"
                            + " that expression instead"))
            }
            for part in index.columns
            where !["BINARY", "NOCASE", "RTRIM"].contains(part.collation) {
                found.append(
                    TrackProblem(
                        .error, .uniqueCollation,
                        "\(indexShown) uses the collation \(StructureGuard.shown(part.collation)),"
                            + " which other programs may lack or order otherwise: use BINARY,"
                            + " NOCASE or RTRIM"))
            }
        }
        return found
    }

    private var warnings: [TrackProblem] {
        var found: [TrackProblem] = []
        if primaryKey.count == 1, let key = primaryKey.first, key.affinity == .integer {
            found.append(
                TrackProblem(
                    .warning, .integerKey,
                    "\(shown) is keyed by the integer \(StructureGuard.shown(key.name)). Machines"
                        + " that give out numbers on their own give out the same ones. Rows born"
                        + " apart under one key are never mixed: one is shown, the other is kept"
                        + " whole as a conflict. A random text key (UUID) avoids it"))
        }
        if isAutoincrement {
            found.append(
                TrackProblem(
                    .warning, .autoincrement,
                    "\(shown) is AUTOINCREMENT: each file counts for itself, so the numbers are"
                        + " unique on one machine only; do not rely on their order either"))
        }
        for key in primaryKey where key.affinity == .real {
            found.append(
                TrackProblem(
                    .warning, .realKey,
                    "key column \(StructureGuard.shown(key.name)) of \(shown) is a floating-point"
                        + " number: values that look equal may name different rows; prefer an"
                        + " integer or text"))
        }
        for column in columns
        where !isStrict && asciiUppercased(column.declaredType) == "ANY" {
            found.append(
                TrackProblem(
                    .warning, .anyType,
                    "column \(StructureGuard.shown(column.name)) of \(shown) is declared ANY"
                        + " outside a STRICT table, which means NUMERIC: the text '007' is stored as"
                        + " 7; leave the type out to keep values as they are"))
        }
        do {
            _ = try createStatements()
        } catch {
            found.append(
                TrackProblem(
                    .warning, .notPortable,
                    "\(shown) cannot be created by Starling on a machine that lacks it (\(error));"
                        + " create it there by hand"))
        }
        return found
    }

    private func foreignKeyProblems(in connection: Connection) throws -> [TrackProblem] {
        try foreignKeys.compactMap { key in
            let parent =
                foldedName(key.parentTable) == foldedName(name)
                ? self : try TableSchema.read(key.parentTable, from: connection)
            if let parent, parent.hasUniqueKey(on: key.parentColumns) { return nil }
            let columns = key.columns.map(StructureGuard.shown).joined(separator: ", ")
            let target = StructureGuard.shown(key.parentTable)
            return TrackProblem(
                .error, .foreignKeyMismatch,
                "the foreign key \(columns) of \(shown) refers to \(target)"
                    + (parent == nil
                        ? ", which does not exist: create it first"
                        : ", which has no PRIMARY KEY or UNIQUE on those columns: add one"))
        }
    }

    /// A foreign key may refer to these columns (<https://sqlite.org/foreignkeys.html>, section 3).
    func hasUniqueKey(on names: [String]) -> Bool {
        let wanted = Set(names.map(foldedName))
        guard !wanted.isEmpty, wanted.count == names.count else { return false }
        if Set(primaryKey.map { foldedName($0.name) }) == wanted { return true }
        return indexes.contains { index in
            index.isUnique && index.partialSQL == nil
                && index.columns.count == wanted.count
                && index.columns.allSatisfy { part in
                    guard let name = part.name else { return false }
                    return wanted.contains(foldedName(name))
                        && column(name)?.collation == part.collation
                }
        }
    }

    private func triggerProblems(in connection: Connection) throws -> [TrackProblem] {
        let names = try connection.query(
            """
            SELECT name FROM main.sqlite_master
            WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE
              AND name NOT GLOB '_starling_*' ORDER BY name
            """, [.string(name)]
        ).map { StructureGuard.shown($0[0].pragmaText) }
        guard !names.isEmpty else { return [] }
        return [
            TrackProblem(
                .warning, .triggers,
                "\(shown) has triggers (\(names.joined(separator: ", "))). They run for the writes"
                    + " of this machine, not for changes that come from peers: what they write to"
                    + " tracked tables arrives as rows of its own")
        ]
    }
}
