// Capture: what any program does to a table is noted in a journal beside it, by triggers in the
// file. This file arms and disarms them; CaptureTriggers.swift has their text, and the reasons.

package import SQLite
package import Values

/// Capture of one table by triggers.
///
/// Armed under number N, a table has beside it `_starling_journal_N`, with one row per change:
///
/// | column | content |
/// |---|---|
/// | `seq` | INTEGER PRIMARY KEY: the order of the changes in this table |
/// | `op` | ``Operation`` |
/// | `at` | time of the write, as a Julian day (REAL, UTC); see ``milliseconds(julianDay:)`` |
/// | `cols` | updates only: the columns that changed; see ``changedColumns(_:count:)`` |
/// | `c0`, `c1`, … | the stored columns of the table, in its order, untyped |
///
/// An insert or update fills only the key's columns, a delete all of them with the values that were
/// there. An UPDATE that changes the key is a delete and an insert. An UPDATE that changes nothing
/// leaves no entry.
///
/// Beside it is `_starling_victim_N`, the rows that a `REPLACE` *may* have pushed out: SQLite tells
/// no trigger which ones it did. ``settle(_:id:in:)`` turns those that are gone into delete
/// entries; call it in the transaction that reads the journal, before reading.
///
/// What a reader must know: entries name keys, and the table says what is there now. An insert or
/// update whose row is gone without a delete entry after it is possible when the app's own triggers
/// change the row that is being written; it means the row is gone. Keys in untyped columns can be
/// equal to SQLite and differ in storage class (1 and 1.0): they are one key.
///
/// Not captured, because no trigger can see it: writes while triggers are turned off for the
/// connection, DROP TABLE, an UPDATE from 0.0 to -0.0, which SQL cannot tell apart, and a row that
/// is pushed out by an INSERT OR REPLACE with an explicit rowid of -1 (-1 stands for "automatic").
///
/// What the app notices: `total_changes()` counts the triggers' rows too. As with any trigger,
/// a multi-row UPDATE may visit the rows in another order, and with `recursive_triggers` on SQLite
/// (3.40) refuses some UPDATE OR REPLACE statements. In a STRICT table a value of the wrong class
/// fails before `OR IGNORE` can ignore its row.
package enum Capture {
    package enum Operation: Int64, Sendable {
        case insert = 1
        case update = 2
        case delete = 3
    }

    /// Above this number of stored columns, `cols` is a text of '0' and '1', no integer any more.
    package static let maskColumnsMax = 62

    package static func journalTable(id: Int64) -> String { "_starling_journal_\(id)" }
    package static func victimTable(id: Int64) -> String { "_starling_victim_\(id)" }

    /// Creates or completes the journal of `schema` and (re)creates its triggers.
    ///
    /// Entries already in the journal stay; they were written under the columns the table had then,
    /// so fold them before a table is armed again that lost columns or changed their order.
    ///
    /// - Precondition: in a transaction of the caller; ``TableSchema/problems(in:)`` has no error.
    /// - Throws: ``SchemaError`` when the table has no key, ``SQLiteError`` when the file cannot
    ///   be written.
    package static func arm(_ schema: TableSchema, id: Int64, in connection: Connection) throws {
        let triggers = try CaptureTriggers(schema, id: id)
        try dropTriggers(id: id, in: connection)
        try complete(
            journalTable(id: id),
            fixed: "seq INTEGER PRIMARY KEY, op, at, cols", schema.storedColumns.count,
            in: connection)
        let victims = victimTable(id: id)
        try complete(victims, fixed: "at", schema.storedColumns.count, in: connection)
        // Found by key when a victim is recorded again, deleted, or moved.
        let index = quotedIdentifier(victims + "_key")
        try connection.execute(
            """
            DROP INDEX IF EXISTS \(index);
            CREATE INDEX \(index) ON \(quotedIdentifier(victims))(\(triggers.keyList))
            """)
        for statement in triggers.statements { try connection.execute(statement) }
    }

    /// Removes triggers, journal and victims; unfolded entries are lost.
    package static func disarm(id: Int64, in connection: Connection) throws {
        try dropTriggers(id: id, in: connection)
        for table in [journalTable(id: id), victimTable(id: id)] {
            try connection.execute("DROP TABLE IF EXISTS \(quotedIdentifier(table))")
        }
    }

    /// True when exactly the triggers that `schema` needs are in the file, word by word, and what
    /// they write to is there. A table that was dropped, rebuilt or altered is not armed any more.
    package static func isArmed(
        _ schema: TableSchema, id: Int64, in connection: Connection
    ) throws -> Bool {
        let expected = try CaptureTriggers(schema, id: id)
        let present = try connection.query(
            """
            SELECT sql FROM main.sqlite_master
            WHERE type = 'trigger' AND name GLOB ?1 ORDER BY sql
            """, [.string("_starling_\(id)_*")])
        guard present.map({ $0[0] }) == expected.statements.sorted().map(Value.string) else {
            return false
        }
        let count = schema.storedColumns.count
        guard try width(of: journalTable(id: id), in: connection) ?? 0 >= count else {
            return false
        }
        return try width(of: victimTable(id: id), in: connection) ?? 0 >= count
    }

    /// Turns the recorded victims that are gone into delete entries, and forgets all of them.
    ///
    /// Cheap when there are none. The entries carry the time of the statement that pushed the row
    /// out, and the row's values before it.
    ///
    /// - Precondition: inside the write transaction that reads the journal.
    package static func settle(_ schema: TableSchema, id: Int64, in connection: Connection) throws {
        try settle(try CaptureTriggers(schema, id: id), in: connection)
    }

    static func settle(_ triggers: CaptureTriggers, in connection: Connection) throws {
        let probe = try connection.cached(triggers.hasVictims)
        let isNeeded = try probe.step() && probe.int(0) == 1
        probe.reset()
        guard isNeeded else { return }
        try connection.cached(triggers.settleVictims).run()
        try connection.cached(triggers.forgetVictims).run()
    }

    /// The time of a journal entry in milliseconds since 1970 (UTC).
    package static func milliseconds(julianDay: Double) -> Int64 {
        let milliseconds = (julianDay - 2_440_587.5) * 86_400_000 + 0.5
        // A file that someone tampered with may hold anything.
        return (0..<0x7fff_ffff_ffff).contains(milliseconds) ? Int64(milliseconds) : 0
    }

    /// The positions of the stored columns that `cols` names, ascending.
    package static func changedColumns(_ cols: Value, count: Int) -> [Int] {
        switch cols {
        case .integer(let mask): (0..<min(count, 63)).filter { mask >> $0 & 1 == 1 }
        case .text(let flags):
            flags.indices.filter { $0 < count && flags[$0] == UInt8(ascii: "1") }
        default: []
        }
    }

    private static func dropTriggers(id: Int64, in connection: Connection) throws {
        let names = try connection.query(
            "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND name GLOB ?1",
            [.string("_starling_\(id)_*")])
        for row in names {
            try connection.execute("DROP TRIGGER \(quotedIdentifier(row[0].pragmaText))")
        }
    }

    /// The number of `c…` columns; nil when there is no such table.
    private static func width(of table: String, in connection: Connection) throws -> Int? {
        let names = try connection.query(
            "SELECT name FROM pragma_table_info(?1, 'main')", [.string(table)])
        guard !names.isEmpty else { return nil }
        return names.count { $0[0].pragmaText.hasPrefix("c") && $0[0].pragmaText != "cols" }
    }

    /// Creates `table`, or adds the columns it lacks.
    private static func complete(
        _ table: String, fixed: String, _ count: Int, in connection: Connection
    ) throws {
        let name = quotedIdentifier(table)
        if let present = try width(of: table, in: connection) {
            for number in present..<max(present, count) {
                try connection.execute("ALTER TABLE \(name) ADD COLUMN c\(number)")
            }
        } else {
            let columns = (0..<count).map { ", c\($0)" }.joined()
            try connection.execute("CREATE TABLE \(name)(\(fixed)\(columns))")
        }
    }
}
