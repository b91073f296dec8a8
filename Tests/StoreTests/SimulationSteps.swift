// What can happen to a simulated cluster, and what must hold when it is quiet again.

import CausalModel
import SQLite
import Store
import TestKit
import Values

extension Simulation {
    func run(steps: Int) throws {
        for _ in 0..<steps {
            try step()
            try collectOrState()
        }
        try quiesce()
        try collectEverything()
        try checkEnd()
    }

    private func step() throws {
        let index = generator.below(members.count)
        switch generator.below(40) {
        case 0..<14: write(index)
        case 14..<17: try local(index, "folds") { _ = try $0.fold() }
        case 17: try local(index, "scans") { _ = try $0.scanSlice() }
        case 18: try reopen(index)
        case 19: try settleConflict(index)
        case 20:
            clock.milliseconds += Int64(generator.below(5_000)) - 1_500
            if generator.chance(1, in: 10) {
                clock.milliseconds += Int64(generator.below(20) - 10) * 86_400_000
            }
        case 21: try generator.chance(1, in: 2) ? alter(index) : rebuild(index)
        case 22: try late(index)
        case 23: try exchangeSchema(index, generator.below(members.count))
        case 24: try replay()
        case 25:
            if !collects, members.count < 4, generator.chance(1, in: 3) {
                try addMember(isFresh: true)
            }
        case 26:
            if generator.chance(1, in: 4) {
                try local(index, "takes a new origin") { try $0.takeNewOrigin(because: "test") }
            }
        case 27..<31: try openTransfer(index)
        default: try advanceTransfer()
        }
    }

    private func write(_ index: Int) {
        let here = tables.filter { members[index].tables.contains($0.name) }
        if here.isEmpty { return }
        run(program.statement(here), at: index)
    }

    private func reopen(_ index: Int) throws {
        for transfer in transfers where transfer.from == index { transfer.delta.close() }
        transfers.removeAll { $0.from == index || $0.to == index }
        log.append("\(members[index].name) is opened again")
        members[index].replica = try open(members[index].path)
    }

    private func settleConflict(_ index: Int) throws {
        let isRestore = generator.chance(1, in: 2)
        try local(index, "folds") { try $0.fold() }
        let items = try members[index].replica.conflicts()
        guard !items.isEmpty else { return }
        let item = items[generator.below(items.count)]
        try local(index, "\(isRestore ? "restores" : "dismisses") \(item.kind) \(item.key)") {
            if isRestore {
                try $0.restoreConflict(item.id)
            } else {
                try $0.dismissConflict(item.id)
            }
        }
    }

    private func alter(_ index: Int) throws {
        let here = tables.filter { members[index].tables.contains($0.name) }
        guard !here.isEmpty, generator.chance(1, in: 3) else { return }
        let table = here[generator.below(here.count)]
        let name = "e\(generator.below(2))"
        let fallback = name == "e0" ? "" : " DEFAULT 'x'"
        let sql = "ALTER TABLE \(table.quotedName) ADD COLUMN \(name)\(fallback)"
        try? members[index].strict.execute(sql)
        let update = "UPDATE \(table.quotedName) SET \(name) = 'n\(generator.below(3))'"
        try? members[index].strict.execute(update)
        setTimes(at: index)
        log.append("\(members[index].name): \(sql); \(update)")
    }

    /// The documented way to change a table: build another, copy, drop, rename. Rows change
    /// meanwhile.
    private func rebuild(_ index: Int) throws {
        let here = tables.filter { members[index].tables.contains($0.name) }
        guard !here.isEmpty else { return }
        let table = here[generator.below(here.count)]
        let app = members[index].lax
        let texts = try app.query(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1 UNION ALL "
                + "SELECT sql FROM sqlite_schema "
                + "WHERE type = 'index' AND tbl_name = ?1 AND sql <> ''",
            [.string(table.name)]
        ).map { row in
            if case .text(let bytes) = row[0] { String(decoding: bytes, as: UTF8.self) } else { "" }
        }
        guard let create = texts.first, let start = create.firstIndex(of: "(") else { return }
        try app.execute("BEGIN; CREATE TABLE fresh\(create[start...])")
        try app.execute("INSERT INTO fresh SELECT * FROM \(table.quotedName)")
        var other = table
        other.name = "fresh"
        for _ in 0..<generator.below(4) where app.isInTransaction {
            let statement = program.statement([other])
            log.append("\(members[index].name), in a rebuild of \(table.name): \(statement)")
            do { try app.execute(statement) } catch let error as SQLiteError
                where error.isConstraint
            {}
        }
        // OR ROLLBACK takes the new table back, too.
        guard app.isInTransaction else { return }
        try app.execute("DROP TABLE \(table.quotedName)")
        try app.execute("ALTER TABLE fresh RENAME TO \(table.quotedName)")
        do {
            for index in texts.dropFirst() { try app.execute(index) }
            try app.execute("COMMIT")
        } catch let error as SQLiteError where error.isConstraint {
            try app.execute("ROLLBACK")
            return
        }
        log.append("\(members[index].name) has rebuilt \(table.name)")
        if hasOracle {
            try local(index, "folds") {
                try $0.fold()
                try $0.finishScans()
            }
        }
    }

    private func late(_ index: Int) throws {
        if let table = tables.first(where: { !members[index].tables.contains($0.name) }),
            generator.chance(1, in: 2),
            try members[index].strict.query("PRAGMA table_info(\(table.quotedName))").isEmpty
        {
            try create(table, at: index)
        }
        try local(index, "tracks") { _ in try self.track(index) }
    }

    private func exchangeSchema(_ from: Int, _ to: Int) throws {
        guard from != to else { return }
        let description = try members[from].replica.schemaDescription()
        try receive(to, "takes up the schema of \(members[from].name)") {
            _ = try $0.adoptSchema(description)
        }
        for table in tables {
            let found = try members[to].strict.query("PRAGMA table_info(\(table.quotedName))")
            if !found.isEmpty { members[to].tables.insert(table.name) }
        }
        // Showing what came before the schema is no local change; whatever else was found is.
        try local(to, "scans") { try $0.finishScans() }
    }

    // MARK: Transfers

    private func openTransfer(_ from: Int) throws {
        let to = generator.below(members.count)
        guard from != to else { return }
        if generator.chance(2, in: 3) { try exchangeSchema(from, to) }
        let sender = members[from].replica
        let receiver = members[to].replica
        try local(from, "folds") {
            try $0.fold()
            if generator.chance(1, in: 2) { try $0.finishScans() }
        }
        var base = receiver.vector
        let point = try receiver.resumePoint(from: sender.origin)
        if let point, generator.chance(1, in: 2) { base = point.base }
        do {
            try retried {
                guard let delta = try sender.openDelta(base: base, resume: point) else { return }
                log.append(
                    "\(members[from].name) sends to \(members[to].name)"
                        + (point == nil ? "" : ", resumed")
                )
                transfers.append(Transfer(from: from, to: to, delta: delta, waiting: nil))
            }
        } catch let error as StoreError where error.isRetryable && sender.isScanning {
            // After a rebuild nothing goes out before the table is read.
            try local(from, "reads its tables") { try $0.finishScans() }
        }
        if transfers.count > 2 { try dropTransfer(0) }
    }

    private func dropTransfer(_ place: Int) throws {
        transfers[place].delta.close()
        transfers.remove(at: place)
    }

    private func advanceTransfer() throws {
        guard !transfers.isEmpty else { return }
        let place = generator.below(transfers.count)
        let transfer = transfers[place]
        let header = transfer.delta.header
        if generator.chance(1, in: 12) { return try dropTransfer(place) }
        var chunk: DeltaChunk?
        try retried { chunk = try transfer.delta.next() }
        let name = members[transfer.from].name
        guard let chunk else {
            try receive(transfer.to, "ends the delta of \(name)") { _ = try $0.finish(header) }
            return try dropTransfer(place)
        }
        seen.append((transfer.to, header, chunk))
        if seen.count > 30 { seen.removeFirst() }
        try receive(transfer.to, "takes \(chunk.rows) rows of \(name)") {
            _ = try $0.apply(chunk, of: header)
        }
    }

    private func replay() throws {
        guard !seen.isEmpty else { return }
        let old = seen[generator.below(seen.count)]
        try receive(old.to, "takes an old chunk again") {
            _ = try $0.apply(old.chunk, of: old.header)
        }
    }

    // MARK: The end

    private func quiesce() throws {
        for transfer in transfers { transfer.delta.close() }
        transfers.removeAll()
        for index in members.indices { try local(index, "tracks") { _ in try self.track(index) } }
        for _ in 0..<3 {
            for from in members.indices {
                for to in members.indices { try exchangeSchema(from, to) }
            }
        }
        for index in members.indices { try local(index, "tracks") { _ in try self.track(index) } }
        for _ in 0..<8 {
            var isQuiet = true
            for from in members.indices {
                for to in members.indices where from != to {
                    isQuiet = try !sendWhole(from, to) && isQuiet
                }
            }
            if isQuiet { return }
        }
        throw SimulationFailure(description: "the cluster does not become quiet")
    }

    private func sendWhole(_ from: Int, _ to: Int) throws -> Bool {
        for index in [from, to] {
            try local(index, "folds") {
                try $0.fold()
                try $0.finishScans()
            }
        }
        let base = members[to].replica.vector
        let point = try members[to].replica.resumePoint(from: members[from].replica.origin)
        guard let delta = try members[from].replica.openDelta(base: base, resume: point) else {
            return false
        }
        defer { delta.close() }
        while let chunk = try delta.next() {
            try receive(to, "takes \(chunk.rows) rows of \(members[from].name)") {
                _ = try $0.apply(chunk, of: delta.header)
            }
        }
        try receive(to, "ends the delta") { _ = try $0.finish(delta.header) }
        return true
    }

    private func checkEnd() throws {
        var problems: [String] = []
        var expected:
            (summary: ReplicaSummary, shown: [String], conflicts: [String], parked: [String])?
        for (index, member) in members.enumerated() {
            problems += try member.replica.verify().map { "\(member.name): \($0)" }
            let summary = try member.replica.summary()
            if !summary.isWhole { problems.append("\(member.name) is not whole") }
            if try member.replica.journalCount() > 0 { problems.append("a journal has entries") }
            let shown = try shownRows(member)
            let conflicts = try member.replica.conflicts().map(\.id).sorted()
            let parked = try member.replica.parkedRows().map { "\($0.table) \($0.key)" }.sorted()
            if let expected {
                if expected.summary.vector != summary.vector { problems.append("other vector") }
                if expected.summary.digest != summary.digest { problems.append("other digest") }
                if expected.summary.schemaFingerprint != summary.schemaFingerprint {
                    problems.append(
                        "other schema: \(member.replica.problems)"
                    )
                }
                if expected.shown != shown {
                    problems.append("shows\n  \(shown)\n  and not\n  \(expected.shown)")
                }
                if expected.conflicts != conflicts { problems.append("other conflicts") }
                if expected.parked != parked {
                    problems.append("parks \(parked), the first \(expected.parked)")
                }
            } else {
                expected = (summary, shown, conflicts, parked)
            }
            if hasOracle {
                oracle.checkEnd(
                    try SimulationOracle.content(member.replica), collected: gone[index] ?? [:],
                    at: member.name)
            }
        }
        problems += oracle.failures + oracleFailures
        if !problems.isEmpty {
            throw SimulationFailure(description: problems.joined(separator: "\n"))
        }
    }

    /// The rows of all tables by column names, since columns may stand in another order.
    private func shownRows(_ member: Member) throws -> [String] {
        var rows: [String] = []
        for table in tables.sorted(by: { $0.name < $1.name }) {
            let columns = try member.strict.query("PRAGMA table_info(\(table.quotedName))").map {
                row in
                if case .text(let bytes) = row[1] {
                    String(decoding: bytes, as: UTF8.self)
                } else {
                    ""
                }
            }.sorted()
            if columns.isEmpty { continue }
            let list = columns.map(quotedIdentifier).joined(separator: ", ")
            rows += try member.strict.query("SELECT \(list) FROM \(table.quotedName)")
                .map { "\(table.name) \($0)" }.sorted()
        }
        return rows
    }
}
