// Delta: everything that lies beyond a vector, read from one snapshot through the index on
// (origin, number), chunk by chunk. The cost grows with the difference, never with the table.

package import CausalModel
internal import Codec
internal import SQLite
internal import Values

extension Replica {
    package func openDelta(base: VersionVector, resume: ResumePoint?) throws
        -> (any DeltaSource)?
    {
        try openDelta(base: base, resume: resume, DeltaScope())
    }

    func openDelta(base: VersionVector, resume: ResumePoint?, _ scope: DeltaScope) throws
        -> (any DeltaSource)?
    {
        try translated {
            let reader = try readerConnection()
            do {
                try openSnapshot(reader)
                // A dot must never be sent with the value of a later change.
                if let entry = tableInDoubt, !isBroken(.unreadRowsSent) {
                    throw StoreError(
                        .busy, "the rows of \(entry.name) are compared with what is known of them")
                }
                // What this snapshot tells must be on disk first.
                try makeDurable()
                let delta = try DeltaReader(
                    replica: self, connection: reader, base: base, resume: fitting(resume, base),
                    scope: scope)
                if delta.header.rows == 0, base.covers(vector) {
                    delta.close()
                    return nil
                }
                return delta
            } catch {
                giveBack(reader)
                throw error
            }
        }
    }

    /// A resume point is used only when it is of this very delta.
    private func fitting(_ resume: ResumePoint?, _ base: VersionVector) -> ResumePoint? {
        guard let resume, resume.source == origin, resume.base == base,
            vector.covers(resume.snapshot)
        else { return nil }
        // A row that was sent and is collected since would stay there for ever: no delta names it.
        if let began = resume.began, !began.covers(floor), !isBroken(.copyGoesOnPastFloor) {
            return nil
        }
        return resume
    }

    /// Opens a read snapshot in which the journal is empty: every value in it belongs to its dot.
    ///
    /// The snapshot itself is asked: what was committed since the fold is in it, and is folded before
    /// another one is tried. Only this replica writes the bookkeeping, so that what it mirrors in
    /// memory is what the snapshot holds.
    private func openSnapshot(_ reader: Connection) throws {
        while true {
            try fold()
            try reader.execute("BEGIN DEFERRED")
            if try reader.cachedInteger("PRAGMA schema_version") == schemaVersion,
                try isJournalEmpty(in: reader)
            {
                return
            }
            try reader.execute("ROLLBACK")
        }
    }

    private func readerConnection() throws -> Connection {
        if let reader = readers.popLast() { return reader }
        let reader = try Connection(
            path: path, mode: .readWrite, busyTimeoutMilliseconds: Limits.busyMilliseconds)
        try reader.execute(
            "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -4000")
        return reader
    }

    func giveBack(_ reader: Connection) {
        if reader.isInTransaction { try? reader.execute("ROLLBACK") }
        if readers.count < 2 { readers.append(reader) }
    }
}

/// Which rows beyond the base a delta is of.
struct DeltaScope {
    /// Rows whose only news lies beyond the vector stay out.
    var isCoveredOnly = false
    /// Of this table only.
    var table: Int64?
    /// Only rows with a change beyond this.
    var beyond = VersionVector()
}

/// One outgoing delta over one read snapshot.
final class DeltaReader: DeltaSource {
    let header: DeltaHeader
    private let replica: Replica
    private let connection: Connection
    private let base: VersionVector
    private let resume: ResumePoint?
    private let origins: [Origin]
    private let table: Int64?
    /// Numbers of one origin beyond `lower`, up to `upper`.
    private struct Scan {
        var origin: Origin
        var ordinal: Int
        var lower: UInt64
        var upper: UInt64
        /// Of rows with a change beyond the vector, which may have others below it.
        var isMixed = false
        func has(_ dot: Dot) -> Bool {
            dot.origin == origin && dot.number > lower && dot.number <= upper
        }
    }

    /// The origins with rows beyond the base, ascending by bytes, and where each scan begins.
    private let scans: [Scan]
    private let rowReader: RowReader
    private let dots: Statement
    private var scan = 0
    private var isScanOpen = false
    private var isClosed = false
    private var last: Dot?
    private let stampBase: Int64
    /// A row that did not fit into the chunk before.
    private var held: (entry: TableEntry, key: [UInt8], row: Row, dot: Dot)?

    init(
        replica: Replica, connection: Connection, base: VersionVector, resume: ResumePoint?,
        scope: DeltaScope
    ) throws {
        self.replica = replica
        self.connection = connection
        self.base = base
        self.resume = resume
        origins = replica.origins
        stampBase = replica.clock.milliseconds / 1000 * 1000
        dots = try connection.cached(
            """
            SELECT number, tbl, key FROM _starling_dot
            WHERE origin = ?1 AND number > ?2 AND number <= ?3 AND (?4 IS NULL OR tbl = ?4)
            ORDER BY number
            """)
        table = scope.table
        let count = try connection.cached(
            """
            SELECT count(*) FROM _starling_dot
            WHERE origin = ?1 AND number > ?2 AND number <= ?3 AND (?4 IS NULL OR tbl = ?4)
            """)
        var scans: [Scan] = []
        var rows = 0
        for (ordinal, origin) in replica.origins.enumerated() {
            let lower = max(
                DeltaReader.lower(
                    origin, base: base, resume: resume, isCoveredOnly: scope.isCoveredOnly),
                scope.beyond[origin])
            let upper = scope.isCoveredOnly ? replica.vector[origin] : UInt64(Int64.max)
            count.reset()
            try count.bind(Int64(ordinal), at: 1)
            try count.bind(Int64(clamping: lower), at: 2)
            try count.bind(Int64(clamping: upper), at: 3)
            if let table { try count.bind(table, at: 4) } else { try count.bindNull(at: 4) }
            guard try count.step() else { continue }
            let found = Int(count.int(0))
            count.reset()
            if found > 0 {
                rows += found
                scans.append(
                    Scan(origin: origin, ordinal: ordinal, lower: lower, upper: upper))
            }
        }
        self.scans = scans.sorted { $0.origin < $1.origin } + Self.mixed(replica, scope)
        var accesses: [Int64: TableAccess] = [:]
        // A program may alter a table while the delta is read: the snapshot has the structure of
        // now.
        let structures = replica.tables.compactMapValues { $0.isLive ? $0.armed : nil }
        rowReader = RowReader(
            readRow: try connection.cached(
                "SELECT record, hash, context FROM _starling_row WHERE tbl = ?1 AND key = ?2"),
            access: { entry in
                guard let armed = structures[entry.id] else { return nil }
                if let known = accesses[entry.id] { return known }
                let access = try TableAccess(armed, entry: entry, connection: connection)
                accesses[entry.id] = access
                return access
            },
            context: { try Replica.snapshotVector($0, in: connection) })
        var header = DeltaHeader(
            source: replica.origin, base: base, snapshot: try DeltaReader.snapshot(replica),
            rows: rows, bytes: rows * 100)
        header.hasUnsettled = try replica.hasRowsOfRemoved()
        header.isFromStart = resume == nil
        if base.isEmpty { header.floor = replica.floor }
        self.header = header
    }

    /// A row is indexed by its last dot alone: behind all others come those whose last dot lies beyond the
    /// vector, in the order of the greatest of these. What is urgent comes with the transfer, too.
    private static func mixed(_ replica: Replica, _ scope: DeltaScope) -> [Scan] {
        guard scope.isCoveredOnly, scope.table == nil, !isBroken(.mixedRowsLeftOut) else {
            return []
        }
        return replica.origins.enumerated().map { ordinal, origin in
            Scan(
                origin: origin, ordinal: ordinal, lower: replica.vector[origin],
                upper: UInt64(Int64.max), isMixed: true)
        }.sorted { $0.origin < $1.origin }
    }

    private static func snapshot(_ replica: Replica) throws -> VersionVector {
        guard isBroken(.endAnnouncesHalfReceived) else { return replica.vector }
        var vector = replica.vector
        for (ordinal, origin) in replica.origins.enumerated() {
            let number = try replica.connection.integer(
                "SELECT max(number) FROM _starling_dot WHERE origin = ?1",
                [.integer(Int64(ordinal))])
            vector[origin] = max(vector[origin], UInt64(number ?? 0))
        }
        return vector
    }

    /// Rows up to the position were sent; of those only what the older snapshot lacks is looked at.
    private static func lower(
        _ origin: Origin, base: VersionVector, resume: ResumePoint?, isCoveredOnly: Bool
    ) -> UInt64 {
        guard let resume else { return base[origin] }
        let sent = max(base[origin], resume.snapshot[origin])
        let position = resume.position.dot
        if isBroken(.resumeWithoutLookingAgain), origin <= position.origin {
            return origin < position.origin ? .max >> 1 : position.number
        }
        // Among the rows behind all others.
        let isBehind = isCoveredOnly && position.number > resume.snapshot[position.origin]
        if origin < position.origin || isBehind { return sent }
        if origin == position.origin { return max(base[origin], min(position.number, sent)) }
        return base[origin]
    }

    func next() throws -> DeltaChunk? {
        guard !isClosed else { return nil }
        return try replica.translated {
            var encoder = ChunkEncoder(stampBase: stampBase)
            while encoder.count < replica.bounds.chunkRowsMax,
                encoder.byteCount < replica.bounds.chunkBytesMax
            {
                guard let item = try held ?? nextRow() else { break }
                held = nil
                try add(item, to: &encoder)
            }
            guard encoder.count > 0, let last else { return nil }
            held = try nextRow()
            return DeltaChunk(
                body: encoder.finish(), rows: encoder.count, position: DeltaPosition(dot: last),
                isLast: held == nil)
        }
    }

    private func add(
        _ item: (entry: TableEntry, key: [UInt8], row: Row, dot: Dot),
        to encoder: inout ChunkEncoder
    ) throws {
        var context = item.row.context
        var base = base
        if isBroken(.currentVectorAsContext) { context = replica.vector }
        if isBroken(.valuesLeftOutByContext), let context { base.join(context) }
        try encoder.add(
            item.entry, key: item.key, kernel: item.row.kernel, context: context,
            base: base, layout: { try self.replica.layoutForSending($0, entry: item.entry) })
        last = item.dot
    }

    /// The next row in the order of the delta; each row once, at its first origin.
    private func nextRow() throws -> (entry: TableEntry, key: [UInt8], row: Row, dot: Dot)? {
        while scan < scans.count {
            let current = scans[scan]
            if !isScanOpen {
                dots.reset()
                try dots.bind(Int64(current.ordinal), at: 1)
                try dots.bind(Int64(clamping: current.lower), at: 2)
                try dots.bind(Int64(clamping: current.upper), at: 3)
                if let table { try dots.bind(table, at: 4) } else { try dots.bindNull(at: 4) }
                isScanOpen = true
            }
            guard try dots.step() else {
                dots.reset()
                isScanOpen = false
                scan += 1
                continue
            }
            let dot = Dot(current.origin, UInt64(dots.int(0)))
            if isBroken(.halfReceivedNotOffered), !header.snapshot.contains(dot) { continue }
            guard let entry = replica.tables[dots.int(1)] else { continue }
            let key = dots.bytes(2)
            guard var row = try rowReader.read(entry, key: key, origins: origins) else {
                throw StoreError(.damaged, "the index of changes names a row that is not there")
            }
            let heads = Replica.heads(row.kernel)
            if current.isMixed {
                guard isNextMixed(row, heads, at: dot) else { continue }
            } else if heads.contains(where: { head in
                head.origin < current.origin && scans.contains { !$0.isMixed && $0.has(head) }
            }) {
                continue
            }
            if row.isHollow { throw StoreError.hollow(entry) }
            if let context = row.context, header.snapshot.covers(context) { row.context = nil }
            return (entry, key, row, dot)
        }
        return nil
    }

    /// Whether a row is to be told at a dot beyond the vector: at the greatest such of it, when it has news
    /// that the vector covers, or may have had. When the delta is resumed among these rows, all are told
    /// again: their last dots may have changed since.
    private func isNextMixed(_ row: Row, _ heads: [Dot], at dot: Dot) -> Bool {
        let snapshot = header.snapshot
        let last = heads.filter { !snapshot.contains($0) }.max {
            ($0.origin, $0.number) < ($1.origin, $1.number)
        }
        // Some other change of it is looked at before these rows.
        let isTold = heads.contains { head in scans.contains { !$0.isMixed && $0.has(head) } }
        return last == dot && !isTold
            && (row.kernel.writes.contains { !base.contains($0.dot) && snapshot.contains($0.dot) }
                || mayHideNews(row) && !isBroken(.hiddenNewsLeftOut))
    }

    /// Whether a change beyond the base that the vector covers may be gone from the row, replaced by one
    /// beyond the vector: a reader that is told the vector must not keep what that change had replaced.
    /// Whoever replaced it had seen it, and so has the row. Once told, the base is as far.
    private func mayHideNews(_ row: Row) -> Bool {
        guard let context = row.context else { return !base.covers(header.snapshot) }
        return context.entries.contains { seen in
            base[seen.origin] < min(seen.number, header.snapshot[seen.origin])
        }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        dots.reset()
        rowReader.readRow.reset()
        replica.giveBack(connection)
    }

    deinit { close() }
}

extension Replica {
    /// The layout number of a write that was read; it was stored under one.
    func layoutForSending(_ write: Write, entry: TableEntry) throws -> Int {
        try knownLayout(of: write, entry: entry) ?? rawWrite { try layout(of: write, entry: entry) }
    }
}
