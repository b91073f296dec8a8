// Who this replica writes as, and when: origins, the vector and the hybrid clock. Also the
// statements that every row needs.

internal import CausalModel
internal import SQLite
internal import Values

extension Replica {
    // MARK: Origins

    /// Gives the replica a fresh origin. Called inside a transaction.
    func startOrigin() throws {
        let fresh = Origin(high: environment.random(), low: environment.random())
        let ordinal = try ordinalForWriting(fresh)
        try Bookkeeping.setMeta("origin", .integer(Int64(ordinal)), in: connection)
        origin = fresh
    }

    /// The local ordinal of `origin`, given out at first use. Called inside a transaction.
    func ordinalForWriting(_ origin: Origin) throws -> Int {
        if let ordinal = ordinals[origin] { return ordinal }
        let ordinal = origins.count
        try connection.run(
            "INSERT INTO _starling_origin(ord, origin, seen) VALUES(?1, ?2, 0)",
            [.integer(Int64(ordinal)), .blob(origin.bytes)])
        origins.append(origin)
        ordinals[origin] = ordinal
        return ordinal
    }

    /// Moves the vector to cover `target` too. Called inside a transaction.
    func advance(to target: VersionVector) throws {
        for entry in target.entries where entry.number > vector[entry.origin] {
            let ordinal = try ordinalForWriting(entry.origin)
            try connection.run(
                "UPDATE _starling_origin SET seen = ?2 WHERE ord = ?1",
                [.integer(Int64(ordinal)), .integer(Int64(entry.number))])
            vector[entry.origin] = entry.number
        }
    }

    package func takeNewOrigin(because reason: String) throws {
        try translated {
            // Without a fold before: what waits in the journal is numbered under the new origin.
            try rawWrite {
                try startOrigin()
                try connection.run("DELETE FROM _starling_transfer")
            }
            problems["origin"] = "continues under a new origin: \(reason)"
        }
    }

    /// A random number that the file and the marker outside it share; written anew at each start.
    package var nonce: Int64? {
        get throws {
            try translated {
                guard case .integer(let value)? = try Bookkeeping.meta("nonce", in: connection)
                else { return nil }
                return value
            }
        }
    }

    package func setNonce(_ nonce: Int64) throws {
        try translated {
            try Bookkeeping.setMeta("nonce", .integer(nonce), in: connection)
            try connection.syncFiles()
        }
    }

    /// A copy of the whole file, everything folded, that no node takes for the original.
    ///
    /// - Throws: ``StoreError`` when `target` cannot be written; it must not exist.
    package func backup(to target: String) throws {
        try fold()
        try translated {
            try makeDurable()
            let copy = try Connection(path: target)
            try connection.backup(to: copy)
            try copy.run("DELETE FROM _starling_meta WHERE name = 'nonce'")
            try copy.execute("PRAGMA journal_mode = DELETE")
        }
    }

    /// Runs SQL of the configuration that rebuilds a derived table, in one transaction.
    package func rebuildDerived(_ sql: String) throws {
        try translated {
            try connection.transaction { try connection.execute(sql) }
            needsSync = true
        }
    }

    /// What is wrong with the file's journal mode; nil when it is WAL.
    package func journalModeProblem() throws -> String? {
        try translated {
            let mode = try connection.string("PRAGMA journal_mode") ?? ""
            if mode == "wal" || path == ":memory:" { return nil }
            let again = try? connection.string("PRAGMA journal_mode = WAL")
            if again == "wal" { return nil }
            return "a program switched the database to journal mode \(mode), in which a node and a "
                + "program block each other: let it use WAL"
        }
    }

    /// What SQLite finds wrong in the file; empty when nothing.
    package func integrityProblems() throws -> [String] {
        try translated {
            try connection.query("PRAGMA quick_check(5)").compactMap {
                guard case .text(let text) = $0[0], text != Array("ok".utf8) else { return nil }
                return String(decoding: text, as: UTF8.self)
            }
        }
    }

    // MARK: Clock

    /// A stamp for a write that happened in the second `second` (Unix seconds): never behind what
    /// this replica has seen, except what lies too far in the future.
    func stamp(second: Int64) -> Stamp {
        let wanted = Stamp(milliseconds: second.multipliedReportingOverflow(by: 1000).partialValue)
        if wanted > clock { clock = wanted }
        return clock
    }

    /// Takes note of a received stamp; one too far ahead moves the clock only to the bound.
    func observe(_ stamp: Stamp, of origin: Origin) {
        guard stamp > clock else { return }
        let bound = Stamp(
            milliseconds: environment.wallClock() + Limits.clockAheadMilliseconds)
        if stamp <= bound {
            clock = stamp
        } else {
            guard clockOffenders[origin] != nil || clockOffenders.count < Limits.problemsMax else {
                return
            }
            clockOffenders[origin] = stamp.milliseconds
        }
    }
}

/// Statements on the bookkeeping that every row needs.
struct Statements {
    let readRow: Statement
    let writeRow: Statement
    let removeRow: Statement
    let addDot: Statement
    let removeDot: Statement

    init(_ connection: Connection) throws {
        readRow = try connection.prepare(
            "SELECT record, hash, context FROM _starling_row WHERE tbl = ?1 AND key = ?2")
        writeRow = try connection.prepare(
            """
            INSERT OR REPLACE INTO _starling_row(tbl, key, record, hash, context)
            VALUES(?1, ?2, ?3, ?4, ?5)
            """)
        removeRow = try connection.prepare("DELETE FROM _starling_row WHERE tbl = ?1 AND key = ?2")
        addDot = try connection.prepare(
            "INSERT INTO _starling_dot(origin, number, tbl, key) VALUES(?1, ?2, ?3, ?4)")
        removeDot = try connection.prepare(
            "DELETE FROM _starling_dot WHERE origin = ?1 AND number = ?2")
    }
}
