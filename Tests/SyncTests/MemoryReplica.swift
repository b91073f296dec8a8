// A replica in memory, with the same kernels, contexts and vector rules as the real store and none
// of its files: the session tests run thousands of clusters with it.

import CausalModel
import Codec
import Store
import TestNetwork
import Values

/// An error that goes away, as a locked database does, or one that does not.
struct MemoryError: RetryableError, CustomStringConvertible {
    var isRetryable: Bool
    var description: String
}

/// One table of text keys and text values.
final class MemoryReplica: SyncReplica {
    struct Row {
        var kernel = Kernel()
        /// What was merged into this row beyond the vector.
        var context = VersionVector()
        var hash: UInt64 = 0
    }

    private(set) var origin: Origin
    private(set) var vector = VersionVector()
    private(set) var floor = VersionVector()
    /// What a test says of origins of members that are gone.
    var over: [Origin] = []
    /// What it says when it is asked whether a peer knows less than before.
    var hasPeerGoneBack = false
    private(set) var rows: [String: Row] = [:]
    var stated: [String: PeerStatement] = [:]
    private(set) var columns: Set<String> = ["value"]
    private var resumePoints: [Origin: ResumePoint] = [:]
    private var journal: [(key: String, value: String?)] = []
    private var digest: UInt64 = 0
    /// Rows with a context.
    private var beyond: Set<String> = []
    private var clock: UInt64 = 1
    private var nextOrigin: () -> Origin

    var chunkRows = 10
    /// Counts down with every call that may fail; the call at which it reaches zero fails.
    var failures: (() -> MemoryError?)?

    // What happened, for the tests.
    private(set) var appliedRows = 0
    fileprivate(set) var sentRows = 0
    /// Whether rows were on their way, at each look of the engine.
    var looks: [Bool] = []
    private(set) var newOrigins: [String] = []
    private(set) var collections:
        [(writers: Set<String>, readers: Set<String>, removals: VersionVector)] = []
    fileprivate(set) var openSources = 0
    fileprivate(set) var closedTwice = 0
    /// Sources that went away without being closed.
    fileprivate(set) var droppedSources = 0
    fileprivate(set) var openedSources = 0
    fileprivate(set) var lastResume: ResumePoint?

    init(nextOrigin: @escaping () -> Origin) {
        self.nextOrigin = nextOrigin
        origin = nextOrigin()
    }

    private func mayFail() throws {
        if let error = failures?() { throw error }
    }

    // MARK: A program's side

    func write(_ key: String, _ value: String?) { journal.append((key, value)) }

    func value(_ key: String) -> String? {
        guard let row = rows[key], row.kernel.isVisible(.addWins),
            case .text(let bytes)? = row.kernel.shown(0)
        else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    var visible: [String: String] {
        var all: [String: String] = [:]
        for key in rows.keys { all[key] = value(key) }
        return all
    }

    func addColumn(_ name: String) { columns.insert(name) }

    /// Changes content behind the vector's back: a defect that digests must find.
    func corrupt(_ key: String) {
        guard var write = rows[key]?.kernel.writes.first else { return }
        write.values = [ColumnValue(0, .string("damaged"))]
        set(key, Row(kernel: Kernel(writes: [write])))
    }

    private func set(_ key: String, _ row: Row) {
        var row = row
        digest ^= rows[key]?.hash ?? 0
        row.hash = 0
        if !row.kernel.isDeleted {
            var writer = ByteWriter()
            MemoryReplica.encode(key, Row(kernel: row.kernel), &writer)
            row.hash = hash64(writer.bytes)
        }
        digest ^= row.hash
        rows[key] = row
        if row.context.isEmpty { beyond.remove(key) } else { beyond.insert(key) }
    }

    /// An older copy of this replica, as a restored file is.
    func copy() -> MemoryReplica {
        let copy = MemoryReplica(nextOrigin: nextOrigin)
        copy.origin = origin
        copy.vector = vector
        copy.floor = floor
        copy.rows = rows
        copy.digest = digest
        copy.beyond = beyond
        copy.columns = columns
        copy.resumePoints = resumePoints
        copy.journal = journal
        copy.clock = clock
        copy.chunkRows = chunkRows
        return copy
    }

    private func fold() {
        for (key, value) in journal {
            clock += 1
            let dot = Dot(origin, vector[origin] + 1)
            var row = rows[key] ?? Row()
            let stamp = row.kernel.stamp(atLeast: Stamp(raw: clock))
            if let value {
                let values = [ColumnValue(0, .string(value))]
                if row.kernel.isVisible(.addWins) {
                    row.kernel.update(dot, stamp, columns: ColumnSet([0]), values: values)
                } else {
                    row.kernel.insert(dot, stamp, values: values)
                }
            } else {
                row.kernel.delete(dot, stamp)
            }
            set(key, row)
            vector[origin] = dot.number
        }
        journal = []
    }

    // MARK: SyncReplica

    func summary() throws -> ReplicaSummary {
        try mayFail()
        fold()
        var dots: [Dot] = []
        for key in beyond {
            for write in rows[key]?.kernel.writes ?? [] where !vector.contains(write.dot) {
                dots.append(write.dot)
            }
        }
        var writer = ByteWriter()
        for dot in dots.sorted() {
            writer.raw(dot.origin.bytes)
            writer.varint(dot.number)
        }
        return ReplicaSummary(
            origin: origin, vector: vector, isWhole: dots.isEmpty,
            beyondHash: dots.isEmpty ? 0 : hash64(writer.bytes), digest: digest,
            schemaFingerprint: hash64(Array(columns.sorted().joined(separator: ",").utf8)),
            floor: floor)
    }

    func openDelta(base: VersionVector, resume: ResumePoint?) throws -> (any DeltaSource)? {
        try mayFail()
        lastResume = resume
        var selected: [(Dot, String, Row)] = []
        for (key, row) in rows {
            guard let first = row.kernel.writes.map(\.dot).first(where: { !base.contains($0) })
            else { continue }
            if let resume, resume.source == origin, resume.base == base,
                first <= resume.position.dot, row.kernel.isCovered(by: resume.snapshot)
            {
                continue
            }
            selected.append((first, key, row))
        }
        if selected.isEmpty, base.covers(vector) { return nil }
        selected.sort { $0.0 < $1.0 }
        let header = DeltaHeader(
            source: origin, base: base, snapshot: vector, rows: selected.count,
            bytes: selected.count * 50)
        openSources += 1
        openedSources += 1
        return MemorySource(self, header, selected)
    }

    func resumePoint(from source: Origin) throws -> ResumePoint? { resumePoints[source] }

    func apply(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        try mayFail()
        fold()
        let count = try join(chunk, header)
        resumePoints[header.source] = ResumePoint(
            source: header.source, receiver: origin, base: header.base, snapshot: header.snapshot,
            position: chunk.position)
        return ApplyOutcome(rows: count, hasChanged: count > 0)
    }

    func finish(_ header: DeltaHeader) throws -> ApplyOutcome {
        try mayFail()
        fold()
        end(header)
        return ApplyOutcome(rows: 0, hasChanged: true)
    }

    func applyWhole(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        try mayFail()
        fold()
        let count = try join(chunk, header)
        end(header)
        return ApplyOutcome(rows: count, hasChanged: true)
    }

    private func join(_ chunk: DeltaChunk, _ header: DeltaHeader) throws -> Int {
        guard vector.covers(header.base) else {
            throw MemoryError(isRetryable: false, description: "the delta's base is not covered")
        }
        var reader = ByteReader(chunk.body)
        var count = 0
        while !reader.isAtEnd {
            let (key, other) = try MemoryReplica.decode(&reader)
            var row = rows[key] ?? Row()
            let seen = row.context
            row.kernel.join(
                other.kernel, hasSeen: { self.vector.contains($0) || seen.contains($0) },
                otherHasSeen: { header.snapshot.contains($0) || other.context.contains($0) })
            row.context.join(other.context)
            row.context.join(header.snapshot)
            if vector.covers(row.context) { row.context = VersionVector() }
            set(key, row)
            count += 1
            for write in other.kernel.writes { clock = max(clock, write.stamp.raw) }
        }
        appliedRows += count
        return count
    }

    private func end(_ header: DeltaHeader) {
        vector.join(header.snapshot)
        for key in beyond {
            guard var row = rows[key], vector.covers(row.context) else { continue }
            row.context = VersionVector()
            set(key, row)
        }
        resumePoints[header.source] = nil
    }

    func schemaDescription() throws -> CBOR { .array(columns.sorted().map { .text($0) }) }

    func adoptSchema(_ description: CBOR) throws -> Bool {
        try mayFail()
        let before = columns
        for item in description.arrayValue ?? [] { columns.insert(item.textValue ?? "") }
        return columns != before
    }

    func takeNewOrigin(because reason: String) throws {
        fold()
        newOrigins.append(reason)
        origin = nextOrigin()
    }

    /// It has no marker, and so knows of no lost origin.
    func reissueLost(except live: Set<Origin>, unknown: [Origin]) throws -> Int { 0 }

    func unknownOrigins() throws -> [Origin] { [] }

    func collect(_ group: StabilityGroup) throws -> CollectOutcome {
        let (writers, readers, removals) = (group.writers, group.readers, group.removals)
        try mayFail()
        fold()
        collections.append((writers, readers, removals))
        let stated = writers.union(readers).map { self.stated[$0]?.vector ?? VersionVector() }
        let isStable =
            writers.allSatisfy { vector.covers(self.stated[$0]?.vector ?? vector) }
            && stated.allSatisfy { $0.covers(removals) }
        let gone = rows.filter { _, row in
            isStable && row.kernel.isDeleted && row.context.isEmpty
                && (stated + [vector]).allSatisfy { row.kernel.isCovered(by: $0) }
        }
        for (key, row) in gone {
            floor.join(VersionVector(row.kernel.writes.map { ($0.dot.origin, $0.dot.number) }))
            rows[key] = nil
        }
        return CollectOutcome(rows: gone.count, hasMore: false, keepsRows: hasDeletedRows)
    }

    // MARK: Rows as bytes

    fileprivate static func encode(_ key: String, _ row: Row, _ writer: inout ByteWriter) {
        func put(_ origin: Origin) { writer.raw(origin.bytes) }
        writer.string(Array(key.utf8))
        writer.varint(row.context.entries.count)
        for entry in row.context.entries {
            put(entry.origin)
            writer.varint(entry.number)
        }
        writer.varint(row.kernel.writes.count)
        for write in row.kernel.writes {
            put(write.dot.origin)
            writer.varint(write.dot.number)
            writer.varint(write.stamp.raw)
            writer.varint(write.birth.stamp.raw)
            put(write.birth.origin)
            writer.byte(
                (write.isDelete ? 1 : 0) | (write.isPresent ? 2 : 0) | (write.columns.isAll ? 4 : 0)
            )
            writer.varint(write.columns.listed.count)
            for column in write.columns.listed { writer.varint(Int(column)) }
            writer.value(write.value(0) ?? .null)
        }
    }

    private static func decode(_ reader: inout ByteReader) throws -> (String, Row) {
        func origin() throws -> Origin {
            let high = try reader.fixed64()
            return Origin(high: high, low: try reader.fixed64())
        }
        let key = String(decoding: try reader.string(), as: UTF8.self)
        var row = Row()
        for _ in 0..<(try reader.count()) {
            let source = try origin()
            row.context[source] = try reader.varint()
        }
        var writes: [Write] = []
        for _ in 0..<(try reader.count()) {
            let dotOrigin = try origin()
            let dot = Dot(dotOrigin, try reader.varint())
            let stamp = Stamp(raw: try reader.varint())
            let birthStamp = Stamp(raw: try reader.varint())
            let birth = Birth(birthStamp, try origin())
            let flags = try reader.byte()
            var listed: [ColumnID] = []
            for _ in 0..<(try reader.count()) { listed.append(ColumnID(try reader.varint())) }
            let value = try reader.value()
            writes.append(
                Write(
                    dot: dot, stamp: stamp, birth: birth, isDelete: flags & 1 != 0,
                    isPresent: flags & 2 != 0,
                    columns: ColumnSet(isAll: flags & 4 != 0, listed: listed),
                    values: value.isNull ? [] : [ColumnValue(0, value)]))
        }
        row.kernel = Kernel(writes: writes)
        return (key, row)
    }
}

/// A delta of a memory replica: the rows as they were when it was opened.
private final class MemorySource: DeltaSource {
    let header: DeltaHeader
    private let replica: MemoryReplica
    private var rest: ArraySlice<(Dot, String, MemoryReplica.Row)>
    private var isClosed = false

    init(
        _ replica: MemoryReplica, _ header: DeltaHeader, _ rows: [(Dot, String, MemoryReplica.Row)]
    ) {
        self.replica = replica
        self.header = header
        rest = rows[...]
    }

    func next() throws -> DeltaChunk? {
        if let error = replica.failures?() { throw error }
        let part = rest.prefix(replica.chunkRows)
        guard let last = part.last else { return nil }
        rest = rest.dropFirst(part.count)
        var writer = ByteWriter()
        for (_, key, row) in part { MemoryReplica.encode(key, row, &writer) }
        replica.sentRows += part.count
        return DeltaChunk(
            body: writer.bytes, rows: part.count, position: DeltaPosition(dot: last.0),
            isLast: rest.isEmpty)
    }

    // A process that died gave its snapshots back without a word.
    deinit {
        guard !isClosed else { return }
        replica.openSources -= 1
        replica.droppedSources += 1
    }

    func close() {
        if isClosed { replica.closedTwice += 1 } else { replica.openSources -= 1 }
        isClosed = true
    }
}
