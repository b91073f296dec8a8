// A replica: one SQLite file with its bookkeeping, and everything that changes it. This file opens
// it, keeps the small facts in memory, and frames every change as one short transaction.

package import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// One node's store: capture, fold, delta, apply, conflicts and digest over one SQLite file.
///
/// Not thread-safe: it belongs to one thread. Calls are synchronous; each write transaction handles
/// a bounded number of rows (``Limits``). It is not a cache and not a server: programs read and
/// write the same file with plain SQL at any time.
package final class Replica {
    /// What the surroundings provide: time and randomness are parameters.
    package struct Environment {
        /// Unix milliseconds.
        package var wallClock: () -> Int64
        package var random: () -> UInt64

        package init(wallClock: @escaping () -> Int64, random: @escaping () -> UInt64) {
            self.wallClock = wallClock
            self.random = random
        }
    }

    let connection: Connection
    let statements: Statements
    var environment: Environment
    package let path: String
    package var bounds = Limits.Bounds()
    /// Whether nobody takes this replica's changes; for what `records` tells.
    package var isReader = false
    /// Tables of the program itself, by lower-case name: no peer alters them.
    package var fixedTables: Set<String> = []
    /// Tables whose deleted rows are kept for ever, by name: who was removed from a group must be known as
    /// that whenever it comes again.
    var keptTables: Set<String> = []
    /// A column, with its table, in which a replica that comes back believes what its copy says: what was
    /// written of it here is not issued again.
    package var copiedColumn: (table: String, column: String)?

    // What follows mirrors the file, and is read again after a transaction that failed.
    package internal(set) var origins: [Origin] = []
    var ordinals: [Origin: Int] = [:]
    package internal(set) var vector = VersionVector()
    package internal(set) var origin = Origin(high: 0, low: 0)
    /// Every dot that was collected here. Whoever has not seen it is out of date.
    package internal(set) var floor = VersionVector()
    var clock = Stamp.zero
    var tables: [Int64: TableEntry] = [:]
    var schemaVersion: Int64 = -1
    var parkedCounts: [Int64: Int] = [:]
    var childIDs: [Int64: [Int64]] = [:]
    var tablesInDependencyOrder: [TableEntry] = []

    // What the running transaction has collected.
    var touched: [Int64: Set<[UInt8]>] = [:]
    var dirty: Set<Int64> = []
    var vacated: [VacatedParent] = []
    var hasVisibleChange = false
    /// True while a chunk in the middle of a delta is joined: much is still to come.
    var isBulk = false
    /// Constraint work was put off, and the rows that it is about are not known any more.
    var needsFullResolution = false
    /// The same as far as the file knows: true while any constraint work is put off.
    var isResolutionPending = false
    /// The mirror may not be what is in the file: reading it again failed.
    var isStale = false
    var changedTables: Set<Int64> = []
    /// Transactions that changed rows of a table, since this replica was opened.
    var changeCounts: [Int64: UInt64] = [:]
    var scratch = ByteWriter(reserving: 256)
    /// The snapshot that was looked up last; a transfer refers to one again and again.
    var lastSnapshot: (vector: VersionVector, id: Int64)?

    /// Tables in which a row was found that no trigger had seen; the next transaction scans them.
    var uncaptured: Set<Int64> = []
    /// True while this connection made commits that are not known to be on disk.
    var needsSync = true
    /// SQLite's count of what other connections committed, when all was flushed last.
    var syncedDataVersion: Int64 = -1
    /// The same count in the transaction that emptied the journals last, and at the last summary.
    var foldedDataVersion: Int64 = -1
    var summarizedDataVersion: Int64 = -1
    /// Over the rows beyond the vector, when it was asked for last while none was on its way.
    var beyondHash: UInt64 = 0
    /// When the database file had been written last, the last time it was flushed; 0 for never.
    var syncedModification: Int64 = 0
    var readers: [Connection] = []
    var checkpointer: Connection?
    /// How many checkpoints go by before the WAL is cut again.
    var checkpointsUntilCut = 0
    /// How long a call waits for another program's write lock. A node that must answer meanwhile
    /// waits a little and tries again.
    package var busyMilliseconds = Limits.busyMilliseconds {
        didSet { connection.setBusyTimeout(milliseconds: busyMilliseconds) }
    }
    /// Called before own numbers are committed: the origin, and the highest number given so far.
    package var willNumber: ((Origin, UInt64) throws -> Void)?
    /// The same for the provisional origin of a replica that waits for its copy.
    package var willNumberProvisionally: ((Dot) throws -> Void)?
    private var lastGiven: [Dot] = []
    /// Called before anything leaves: the highest own number that may be told. All that the vector has then
    /// may be told, too.
    package var willExport: ((Origin, UInt64) throws -> Void)?
    /// Origins that this replica wrote under and never will again, as the marker outside the file
    /// knows them.
    package var endedOrigins: [Origin] = []
    /// What every reader of the relay's log has; see ``LogReplica``.
    package internal(set) var logVector = VersionVector()
    /// How far this replica is on its way (back) into the group; nil when it takes part.
    var joining: Joining?
    var joiningReason: String?
    /// Earlier origins of this replica since which it has forgotten nothing, the last one first.
    package internal(set) var continuedOrigins: [Origin] = []
    /// Origins that are over, by the list of members: of nodes that were removed or became readers, and those
    /// that a node, this one too, has replaced. Nobody waits for the rest of what came of them.
    package var removedOrigins: [Origin] = []
    /// Origins of other members that take part: who writes under one will tell what it wrote.
    package var activeOrigins: Set<Origin> = []
    /// The node behind each origin, as far as it was met.
    var authors: [Origin: String] = [:]
    /// Those of them that a node has joined under, or has left for one that it has joined under: over once
    /// the list names another.
    package internal(set) var joinedOrigins: Set<Origin> = []
    /// Stamps that were too far ahead, by origin: for `status`.
    package internal(set) var clockOffenders: [Origin: Int64] = [:]
    /// Problems found on the way, by subject; shown in `status` until they are gone.
    package internal(set) var problems: [String: String] = [:]

    /// Opens the file and makes the bookkeeping if there is none. It numbers nothing: whoever opens
    /// a file that may be a copy settles that first, and then calls ``lookAtSchema()``.
    ///
    /// - Throws: ``StoreError`` when the file cannot be opened or written, is damaged or newer.
    package init(path: String, environment: Environment) throws {
        self.path = path
        self.environment = environment
        do {
            connection = try Connection(
                path: path, busyTimeoutMilliseconds: Limits.busyMilliseconds)
            try Replica.prepare(connection)
            statements = try Statements(connection)
        } catch let error as SQLiteError {
            throw StoreError(error)
        }
        try translated {
            try reload()
            try queueDeletedRowsIfNew()
            if isBroken(.foldBeforeMarker) { try rearmIfNeeded() }
        }
    }

    private static func prepare(_ connection: Connection) throws {
        let mode = try connection.string("PRAGMA journal_mode = WAL") ?? ""
        guard mode == "wal" || connection.path == ":memory:" else {
            throw StoreError(
                .fileChanged,
                "the database cannot use WAL mode (it stays in \(mode)): move it to a local disk")
        }
        // The node checkpoints by itself and only where it is safe; see checkpointIfSafe().
        try connection.execute(
            """
            PRAGMA wal_autocheckpoint = 0;
            PRAGMA synchronous = NORMAL;
            PRAGMA foreign_keys = OFF;
            PRAGMA cache_size = -8000;
            PRAGMA temp_store = MEMORY;
            PRAGMA recursive_triggers = OFF;
            """)
        // The triggers of the app and the capture triggers are for the app's own writes.
        try connection.enableTriggers(false)
        if try Bookkeeping.exists("_starling_meta", in: connection) {
            let version = try Bookkeeping.meta("format", in: connection)
            guard version == .integer(Bookkeeping.formatVersion) else {
                throw StoreError(
                    .newerFormat,
                    "the file was written by another version of Starling: update this one")
            }
            if try !Bookkeeping.exists("_starling_author", in: connection) {
                try connection.transaction { try connection.execute(Bookkeeping.authors) }
            }
            if try !Bookkeeping.exists("_starling_deleted", in: connection) {
                try connection.transaction { try connection.execute(Bookkeeping.deletedRows) }
            }
            if try !Bookkeeping.exists("_starling_copy", in: connection) {
                try connection.transaction { try connection.execute(Bookkeeping.joining) }
            }
            if try !Bookkeeping.exists("_starling_log", in: connection) {
                try connection.transaction { try connection.execute(Bookkeeping.log) }
            }
            return
        }
        try connection.transaction {
            try connection.execute(Bookkeeping.schema)
            try Bookkeeping.setMeta(
                "format", .integer(Bookkeeping.formatVersion), in: connection)
            try Bookkeeping.setMeta("floor", .blob(VersionVector().encoded), in: connection)
        }
    }

    // MARK: Transactions

    /// Runs `body`, and turns every error into a ``StoreError``.
    func translated<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as SQLiteError {
            throw StoreError(error)
        } catch let error as CodecError {
            throw StoreError(.damaged, "stored data does not decode: \(error)")
        }
    }

    /// One write transaction. Everything pending in the journal is folded first, in the same
    /// transaction, so that `body` sees what programs wrote. On an error all is as it was.
    func write<Result>(_ body: () throws -> Result) throws -> Result {
        try translated {
            do {
                if isStale { try reload() }
                try prefoldLargeJournal()
                return try connection.transaction {
                    let before = writtenState
                    try rearmIfNeeded()
                    if !isBroken(.foldAfterApply) { try foldWithinTransaction() }
                    try scanUncaptured()
                    let result = try body()
                    try completeTransaction(before)
                    return result
                }
            } catch {
                recover()
                throw error
            }
        }
    }

    private func scanUncaptured() throws {
        for id in uncaptured {
            if let entry = tables[id], entry.isLive { try beginScan(entry, .rows) }
        }
        uncaptured.removeAll()
    }

    /// One write transaction without a fold before `body`; the fold itself is one.
    func rawWrite<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            if isStale { try reload() }
            return try connection.transaction {
                let before = writtenState
                let result = try body()
                try completeTransaction(before)
                return result
            }
        } catch {
            recover()
            throw error
        }
    }

    /// What differs after a transaction that wrote anything: rows written by this connection so far,
    /// and the structure.
    private var writtenState: (rows: Int64, schema: Int64) {
        (connection.totalChanges, schemaVersion)
    }

    /// Constraint work, then the small facts that changed.
    private func completeTransaction(_ before: (rows: Int64, schema: Int64)) throws {
        try resolveOrPutOff()
        // Before the commit: a number that was given once is known outside the file, whatever becomes
        // of the file.
        let given = Dot(origin, vector[origin])
        let numbered = [given] + (provisionalDot.map { [$0] } ?? [])
        if numbered != lastGiven, !isBroken(.numbersNotedLate) {
            if let provisionalDot { try willNumberProvisionally?(provisionalDot) }
            try willNumber?(given.origin, given.number)
            lastGiven = numbered
        }
        for id in changedTables {
            changeCounts[id, default: 0] += 1
            guard let entry = tables[id] else { continue }
            try connection.run(
                "UPDATE _starling_table SET digest = ?2 WHERE id = ?1",
                [.integer(id), .integer(Int64(bitPattern: entry.digest))])
        }
        changedTables.removeAll(keepingCapacity: true)
        try saveClock()
        // Most looks into the journals find them empty, and leave nothing to flush.
        if writtenState != before { needsSync = true }
    }

    /// Constraint work reads rows, and a row with entries in a journal has values that belong to no
    /// dot yet: the work waits for the transaction that empties the journals.
    private func resolveOrPutOff() throws {
        if try isJournalEmpty() {
            if needsFullResolution { try touchEverything() }
            try resolveConstraints()
            touched.removeAll(keepingCapacity: true)
            dirty.removeAll(keepingCapacity: true)
            vacated.removeAll(keepingCapacity: true)
            needsFullResolution = false
        }
        let count = touched.values.reduce(vacated.count) { $0 + $1.count }
        if count > Limits.putOffRowsMax {
            needsFullResolution = true
            touched.removeAll()
            vacated.removeAll()
        }
        let isPending = needsFullResolution || count > 0 || !dirty.isEmpty
        guard isPending != isResolutionPending else { return }
        try Bookkeeping.setMeta("unresolved", .integer(isPending ? 1 : 0), in: connection)
        isResolutionPending = isPending
    }

    private var savedClockRaw: UInt64 = 0

    private func saveClock() throws {
        guard clock.raw != savedClockRaw else { return }
        try Bookkeeping.setMeta("clock", .integer(Int64(clock.raw)), in: connection)
        savedClockRaw = clock.raw
    }

    /// Reads everything that is mirrored in memory.
    func reload() throws {
        origins.removeAll()
        ordinals.removeAll()
        vector = VersionVector()
        for row in try connection.query(
            "SELECT ord, origin, seen FROM _starling_origin ORDER BY ord")
        {
            guard case .integer(let ordinal) = row[0], case .blob(let bytes) = row[1],
                case .integer(let seen) = row[2], let origin = Origin(bytes: bytes),
                ordinal == Int64(origins.count), seen >= 0
            else { throw StoreError(.damaged, "the list of origins in the file is damaged") }
            ordinals[origin] = origins.count
            origins.append(origin)
            if seen > 0 { vector[origin] = UInt64(seen) }
        }
        if case .integer(let raw)? = try Bookkeeping.meta("clock", in: connection), raw >= 0 {
            clock = Stamp(raw: UInt64(raw))
            savedClockRaw = clock.raw
        }
        switch try Bookkeeping.meta("floor", in: connection) {
        case .blob(let bytes)?: floor = try VersionVector(decoding: bytes)
        case nil: floor = VersionVector()
        default: throw StoreError(.damaged, "what was collected from the file is not readable")
        }
        if case .integer(let ordinal)? = try Bookkeeping.meta("origin", in: connection),
            origins.indices.contains(Int(ordinal))
        {
            origin = origins[Int(ordinal)]
        } else {
            try connection.transaction { try startOrigin() }
        }
        authors.removeAll()
        joinedOrigins.removeAll()
        for row in try connection.query("SELECT origin, node, joined FROM _starling_author") {
            guard case .blob(let bytes) = row[0], let origin = Origin(bytes: bytes),
                case .text(let node) = row[1]
            else { continue }
            authors[origin] = String(decoding: node, as: UTF8.self)
            if row[2] == .integer(1) { joinedOrigins.insert(origin) }
        }
        try reloadJoining()
        try reloadLog()
        try reloadTables()
        parkedCounts.removeAll()
        for row in try connection.query("SELECT tbl, count(*) FROM _starling_parked GROUP BY tbl") {
            if case .integer(let id) = row[0], case .integer(let count) = row[1] {
                parkedCounts[id] = Int(count)
            }
        }
        lastSnapshot = nil
        touched.removeAll()
        dirty.removeAll()
        vacated.removeAll()
        changedTables.removeAll()
        isResolutionPending =
            try Bookkeeping.meta("unresolved", in: connection) == .integer(1)
        needsFullResolution = isResolutionPending
        // A schema change that was rolled back is looked at again.
        schemaVersion = -1
        isStale = false
    }

    /// After a transaction that failed.
    private func recover() {
        isStale = true
        try? reload()
    }
}
