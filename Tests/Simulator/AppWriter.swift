// The programs beside a simulated node: random statements in every form, transactions, tables and
// columns made late, tables rebuilt.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Values

extension Machine {
    private var tablesHere: [RandomTable] {
        simulation.plan.tables.filter { tables.contains($0.name) }
    }

    /// One transaction of a program, committed or rolled back.
    func write() {
        guard let strict, let lax else { return }
        let here = tablesHere
        guard !here.isEmpty, lockedUntil == nil else { return }
        enterApp()
        let app = simulation.generator.chance(3, in: 4) ? strict : lax
        let first = simulation.program.statement(here)
        for statement in simulation.program.transaction(first, here)
        where app.isInTransaction || !RandomProgram.endsTransaction(statement) {
            run(statement, on: app)
        }
        if app.isInTransaction { try? app.execute("ROLLBACK") }
        simulation.committed(self)
    }

    /// Runs a statement; a refusal by a constraint is the app's own affair.
    @discardableResult
    func run(_ sql: String, on app: Connection) -> Bool {
        do {
            try app.execute(sql)
            simulation.note("\(name): \(sql)")
            return true
        } catch let error as SQLiteError where error.isConstraint {
            simulation.note("\(name): \(sql) -- refused")
        } catch let error as SQLiteError
            where appProcess.isDead || diskTroubleUntil != nil
            || (error.isBusy && lockedUntil != nil)
        {
            simulation.note("\(name): \(sql) -- \(error.code.rawValue)")
        } catch {
            simulation.fail(["a program failed: \(String(reflecting: error))"], self)
        }
        return false
    }

    /// Makes the table as a program does, with rows from before it is tracked.
    func create(_ table: RandomTable) {
        // A peer's structure may have come a moment ago.
        simulation.findTables(self)
        guard let strict, !tables.contains(table.name), lockedUntil == nil else { return }
        if table.name == "children", let parents = parentsTable { create(parents) }
        enterApp()
        // As one, lest a full disk leaves a table without its index.
        guard run("SAVEPOINT made; \(table.create); RELEASE made", on: strict) else {
            // Unless the failure has taken all back already.
            try? strict.execute("ROLLBACK TO made; RELEASE made")
            return
        }
        tables.insert(table.name)
        for _ in 0..<simulation.generator.below(4) {
            run(simulation.program.statement([table]), on: strict)
        }
        simulation.committed(self)
    }

    private var parentsTable: RandomTable? {
        simulation.plan.tables.first { $0.name == "parents" }
    }

    /// Tracks what was made here and is not tracked yet.
    func track() throws {
        guard let observed else { return }
        let known = Set(
            try observed.inner.tableFacts().filter { $0.state == "synced" }.map(\.name))
        var wanted = tables.subtracting(known)
        if wanted.contains("children"), !known.contains("parents"), !tables.contains("parents") {
            wanted.remove("children")
        }
        for isDeleteWins in [false, true] {
            let names = simulation.plan.tables.filter {
                $0.isDeleteWins == isDeleteWins && wanted.contains($0.name)
            }.map(\.name)
            if names.isEmpty { continue }
            simulation.note("\(name) tracks \(names)")
            let reports = try observed.local {
                try observed.inner.track(names, policy: isDeleteWins ? .deleteWins : .addWins)
            }
            for report in reports where !report.isTracked {
                simulation.fail(["not tracked: \(report)"], self)
            }
        }
        simulation.committed(self)
    }

    func addColumn() {
        guard let strict, lockedUntil == nil else { return }
        let here = tablesHere
        guard !here.isEmpty else { return }
        enterApp()
        let table = here[simulation.generator.below(here.count)]
        let column = "e\(simulation.generator.below(2))"
        let fallback = column == "e0" ? "" : " DEFAULT 'x'"
        let sql = "ALTER TABLE \(table.quotedName) ADD COLUMN \(column)\(fallback)"
        // It may be there already.
        do { try strict.execute(sql) } catch { simulation.note("\(name): \(sql) -- \(error)") }
        let value = "'n\(simulation.generator.below(3))'"
        do { try strict.execute("UPDATE \(table.quotedName) SET \(column) = \(value)") } catch {
            simulation.note("\(name): no column \(column) -- \(error)")
        }
        simulation.note("\(name): \(sql), filled with \(value)")
        simulation.committed(self)
    }

    /// The documented way to change a table: build another, copy, drop, rename.
    func rebuild() {
        guard let lax, lockedUntil == nil else { return }
        let here = tablesHere
        guard !here.isEmpty else { return }
        enterApp()
        let table = here[simulation.generator.below(here.count)]
        // Often with entries in the journal that no node has seen.
        if simulation.chance(1, in: 2) { run(simulation.program.statement([table]), on: lax) }
        do {
            try rebuild(table, with: lax)
            simulation.note("\(name) has rebuilt \(table.name)")
        } catch let error as SQLiteError where error.isConstraint || appProcess.isDead {
            simulation.note("\(name) cannot rebuild \(table.name): \(error)")
        } catch {
            if diskTroubleUntil == nil {
                simulation.fail(["a rebuild failed: \(String(reflecting: error))"], self)
            }
        }
        if lax.isInTransaction { try? lax.execute("ROLLBACK") }
        simulation.committed(self)
    }

    private func rebuild(_ table: RandomTable, with app: Connection) throws {
        let texts = try app.query(
            """
            SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1 UNION ALL
            SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql <> ''
            """, [.string(table.name)]
        ).map { row in
            if case .text(let bytes) = row[0] { String(decoding: bytes, as: UTF8.self) } else { "" }
        }
        guard let create = texts.first, let start = create.firstIndex(of: "(") else { return }
        try app.execute("BEGIN; CREATE TABLE fresh\(create[start...])")
        try app.execute("INSERT INTO fresh SELECT * FROM \(table.quotedName)")
        var other = table
        other.name = "fresh"
        for _ in 0..<simulation.generator.below(4) where app.isInTransaction {
            run(simulation.program.statement([other]), on: app)
        }
        // OR ROLLBACK takes the new table back, too.
        guard app.isInTransaction else { return }
        try app.execute("DROP TABLE \(table.quotedName)")
        try app.execute("ALTER TABLE fresh RENAME TO \(table.quotedName)")
        for index in texts.dropFirst() { try app.execute(index) }
        try app.execute("COMMIT")
    }

    /// A program takes the write lock and keeps it for a while, perhaps with a write in it.
    func holdLock(for milliseconds: Milliseconds) {
        guard let lax, lockedUntil == nil else { return }
        enterApp()
        do { try lax.execute("BEGIN IMMEDIATE") } catch {
            return simulation.note("\(name): no lock -- \(error)")
        }
        lockedUntil = simulation.network.now + milliseconds
        let here = tablesHere
        if !here.isEmpty { run(simulation.program.statement(here), on: lax) }
        simulation.note("\(name): a program holds the lock for \(milliseconds) ms")
        simulation.network.schedule(at: simulation.network.now + milliseconds) { [unowned self] in
            releaseLock()
        }
    }

    func releaseLock() {
        guard lockedUntil != nil else { return }
        lockedUntil = nil
        enterApp()
        if let lax, lax.isInTransaction {
            try? lax.execute(simulation.generator.chance(1, in: 3) ? "ROLLBACK" : "COMMIT")
        }
        simulation.committed(self)
    }
}
