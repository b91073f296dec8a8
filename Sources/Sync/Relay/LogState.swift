// What a reader of a relay's log remembers, and how it stands in the file. It is kept with the rows that
// were read, so that it is never ahead of them.

internal import CausalModel
internal import Codec
internal import RelayProtocol
internal import Store
internal import Wire

/// A place in the log, and what every reader has that has come so far.
struct LogPlace: Equatable {
    var position: LogPosition?
    var vector: VersionVector
}

/// The reader's small facts.
struct LogState: Equatable {
    /// Where the next answer begins; nil for the beginning of the log.
    var position: LogPosition?
    /// What every reader of the log has that has read it up to here: the join of the ENDs that all took.
    var vector = VersionVector()
    /// Where the first entry stands that could not be opened, and may be later.
    var rewind: LogPlace?
    /// Structures of tables that the log has told.
    var schemas: [UInt64] = []
    /// Entries and bytes since the last snapshot.
    var entries = 0
    var bytes = 0
    /// Of a replica that waits for a copy: the origin under which it has read all since. nil once the log has
    /// brought the copy, and in all others.
    var joining: Origin?

    static let schemasMax = 64
    static let note = "state"

    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.byte(2)
        writer.string(position?.bytes ?? [])
        writer.varint(entries)
        writer.varint(bytes)
        writer.varint(schemas.count)
        for schema in schemas { writer.fixed64(schema) }
        writer.byte(rewind == nil ? 0 : 1)
        if let rewind {
            writer.string(rewind.position?.bytes ?? [])
            writer.string(encodeVector(rewind.vector))
        }
        writer.string(joining?.bytes ?? [])
        return writer.bytes
    }

    init() {}

    /// nil for bytes of another version: the log is read again from its beginning then, which is safe.
    init?(_ bytes: [UInt8], vector: VersionVector) {
        self.vector = vector
        do {
            var reader = ByteReader(bytes)
            let version = try reader.byte()
            guard 1...2 ~= version else { return nil }
            position = LogPosition(try reader.string())
            entries = Int(clamping: try reader.varint())
            self.bytes = Int(clamping: try reader.varint())
            for _ in 0..<(try reader.count()) { schemas.append(try reader.fixed64()) }
            if try reader.byte() == 1 {
                let position = LogPosition(try reader.string())
                rewind = LogPlace(
                    position: position, vector: try decodeVector(try reader.string()))
            }
            if version > 1 { joining = Origin(bytes: try reader.string()) }
            try reader.requireEnd()
        } catch { return nil }
    }

    mutating func told(schema fingerprint: UInt64) {
        guard !schemas.contains(fingerprint) else { return }
        schemas = schemas.suffix(Self.schemasMax - 1) + [fingerprint]
    }
}

/// A transfer that has begun in the log and not ended. One for each author.
struct LogTransfer: Equatable {
    var transfer: [UInt8]
    var source: Origin
    var base: VersionVector
    var snapshot: VersionVector
    /// The number of the part that comes next, and the key of the one before it.
    var next: Int
    var lastKey: [UInt8]
    /// The last row of the last whole chunk.
    var position: Dot?
    /// Pieces of a chunk that is not whole yet, and their bytes.
    var pieces = 0
    var pieceBytes = 0
    /// Every reader took its beginning: its END counts.
    var isCounted: Bool
    var rows: Int
    var rowsDone = 0
    /// It is a copy for who waits under this origin: of the snapshot that it began with, and what was
    /// collected at its author.
    var copyFor: Origin?
    var began = VersionVector()
    var floor = VersionVector()
    /// When its last part was read by this process; nil when that was an earlier one.
    var readAt: Milliseconds?

    static let prefix = "transfer/"
    static func note(_ author: String) -> String { prefix + author }
    static func pieceNote(_ author: String, _ number: Int) -> String { "piece/\(author)/\(number)" }

    var header: DeltaHeader {
        var header = DeltaHeader(
            source: source, base: base, snapshot: snapshot, rows: rows, bytes: 0)
        if copyFor != nil {
            header.began = began
            header.floor = floor
        }
        return header
    }

    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.byte(2)
        writer.string(transfer)
        writer.raw(source.bytes)
        writer.string(encodeVector(base))
        writer.string(encodeVector(snapshot, against: base))
        writer.varint(next)
        writer.string(lastKey)
        writer.byte(position == nil ? 0 : 1)
        if let position {
            writer.raw(position.origin.bytes)
            writer.varint(position.number)
        }
        writer.varint(pieces)
        writer.varint(pieceBytes)
        writer.byte(isCounted ? 1 : 0)
        writer.varint(rows)
        writer.varint(rowsDone)
        writer.string(copyFor?.bytes ?? [])
        writer.string(encodeVector(began))
        writer.string(encodeVector(floor))
        return writer.bytes
    }

    init(
        _ part: LogPart, _ start: LogPart.Start, key: [UInt8], isCounted: Bool, now: Milliseconds
    ) {
        transfer = part.transfer
        source = start.source
        base = start.base
        snapshot = part.snapshot
        next = 0
        lastKey = key
        self.isCounted = isCounted
        rows = start.rows
        copyFor = start.copyFor
        if copyFor != nil {
            began = part.snapshot
            floor = start.floor
        }
        readAt = now
    }

    init?(_ bytes: [UInt8]) {
        do {
            var reader = ByteReader(bytes)
            // One that an earlier release kept is asked for again.
            guard try reader.byte() == 2 else { return nil }
            transfer = try reader.string()
            source = Origin(high: try reader.fixed64(), low: try reader.fixed64())
            base = try decodeVector(try reader.string())
            snapshot = try decodeVector(try reader.string(), against: base)
            next = Int(clamping: try reader.varint())
            lastKey = try reader.string()
            if try reader.byte() == 1 {
                let origin = Origin(high: try reader.fixed64(), low: try reader.fixed64())
                position = Dot(origin, try reader.varint())
            }
            pieces = Int(clamping: try reader.varint())
            pieceBytes = Int(clamping: try reader.varint())
            isCounted = try reader.byte() == 1
            rows = Int(clamping: try reader.varint())
            rowsDone = Int(clamping: try reader.varint())
            copyFor = Origin(bytes: try reader.string())
            began = try decodeVector(try reader.string())
            floor = try decodeVector(try reader.string())
            try reader.requireEnd()
        } catch { return nil }
    }
}

/// One thing that came from the relay and was not looked at yet.
enum LogIncoming {
    case item(SyncAnswer.Item)
    case snapshotPart(LogEntry)
}

/// How an answer ends, and where it began.
struct LogAnswerEnd {
    var request: UInt64
    var place: LogPlace
    var position: LogPosition
    var hasMore: Bool
}
