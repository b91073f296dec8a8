// What stands in one entry of a relay's log, before it is sealed: a part of a delta, or a word about it.

package import CausalModel
package import Codec

/// One message to whoever reads the log. It has no addressee and no answer.
///
/// A kind of 128 or more may be skipped by who does not know it, as in ``Message``.
package enum LogMessage: Sendable, Equatable {
    case part(LogPart)
    /// Rows of one chunk ahead of the transfer that brings them again: they move no vector.
    case urgent(LogPart)
    case standing(LogStanding)
    /// Secrets of epochs for members, each readable by one of them only; opaque here.
    case grants([[UInt8]])
    /// A snapshot of all up to here is stored at the relay: the log is short again.
    case snapshotStored
    /// A member waits for a copy, or another would serve it.
    case joining(LogJoining)
    case ignorable(kind: UInt8)

    private enum Kind {
        static let part: UInt8 = 1
        static let standing: UInt8 = 2
        static let grants: UInt8 = 3
        static let snapshotStored: UInt8 = 128
        static let urgent: UInt8 = 129
        static let joining: UInt8 = 130
        static let optionalMin: UInt8 = 128
    }

    package var encoded: [UInt8] {
        let (kind, item) = kindAndItem
        var writer = ByteWriter()
        writer.byte(kind)
        writer.raw(item.encoded)
        return writer.bytes
    }

    private var kindAndItem: (UInt8, CBOR) {
        switch self {
        case .part(let part): return (Kind.part, part.item)
        case .urgent(let part): return (Kind.urgent, part.item)
        case .standing(let standing): return (Kind.standing, standing.item)
        case .grants(let grants):
            var fields = Fields()
            fields["g"] = .array(grants.map { .bytes($0) })
            return (Kind.grants, fields.item)
        case .snapshotStored: return (Kind.snapshotStored, Fields().item)
        case .joining(let joining): return (Kind.joining, joining.item)
        case .ignorable(let kind): return (kind, Fields().item)
        }
    }

    /// - Throws: ``WireError`` for bytes that are no such message; nothing is made for a size that is only
    ///   claimed.
    package init(decoding bytes: [UInt8]) throws(WireError) {
        guard let kind = bytes.first else { throw WireError(.malformed, "an empty message") }
        guard bytes.count <= WireLimits.logMessageBytesMax else {
            throw WireError(.tooLarge, "a message of a log is above its limit")
        }
        let item: CBOR
        do {
            item = try CBOR(
                decoding: Array(bytes.dropFirst()), itemsMax: WireLimits.schemaItemsMax)
        } catch {
            throw WireError(
                error.code == .tooLarge ? .tooLarge : .malformed,
                "a message of a log: \(error.message)")
        }
        switch kind {
        case Kind.part: self = .part(try LogPart(item))
        case Kind.urgent: self = .urgent(try LogPart(item))
        case Kind.standing: self = .standing(try LogStanding(item))
        case Kind.grants:
            guard let list = try Fields(item)["g"]?.arrayValue,
                list.count <= WireLimits.grantsMax
            else { throw WireError(.malformed, "a list of grants is missing or too long") }
            self = .grants(list.compactMap(\.bytesValue))
        case Kind.snapshotStored: self = .snapshotStored
        case Kind.joining: self = .joining(try LogJoining(item))
        case Kind.optionalMin...: self = .ignorable(kind: kind)
        default: throw WireError(.unknownKind, "a message of the kind \(kind) is not known")
        }
    }
}

/// One part of a transfer: a chunk of rows or a piece of one, and, with the last, the delta's END.
///
/// The first part says what the delta is about. Parts are taken in their order only; the vector moves
/// with END, and END always names the vector.
package struct LogPart: Sendable, Equatable {
    /// What the first part of a transfer says.
    package struct Start: Sendable, Equatable {
        /// The author's origin.
        package var source: Origin
        /// Values that it covers are left out: who is below it does not take the transfer.
        package var base: VersionVector
        /// What the author has collected: who has not seen it is out of date.
        package var floor: VersionVector
        package var rows: Int
        package var bytes: Int
        /// The structures of the author's tables; nil when the log has told them before.
        package var schema: CBOR?
        package var schemaFingerprint: UInt64
        /// It is a copy for the member that waits under this origin; to all others a transfer as any.
        package var copyFor: Origin?
        /// By which word its author takes part, and the origins it has gone on from since, as in a
        /// ``StatementMessage``.
        package var joined: Dot?
        package var continued: [Origin] = []

        package init(
            source: Origin, base: VersionVector, floor: VersionVector, rows: Int, bytes: Int,
            schema: CBOR?, schemaFingerprint: UInt64, copyFor: Origin? = nil
        ) {
            self.copyFor = copyFor
            self.source = source
            self.base = base
            self.floor = floor
            self.rows = rows
            self.bytes = bytes
            self.schema = schema
            self.schemaFingerprint = schemaFingerprint
        }
    }

    /// Rows, or a piece of them.
    package struct Body: Sendable, Equatable {
        package var bytes: [UInt8]
        /// Rows of the whole chunk.
        package var rows: Int
        package var position: Dot
        /// The chunk begins with this piece.
        package var isFirstPiece: Bool
        package var isLastPiece: Bool

        package init(
            bytes: [UInt8], rows: Int, position: Dot, isFirstPiece: Bool, isLastPiece: Bool
        ) {
            self.bytes = bytes
            self.rows = rows
            self.position = position
            self.isFirstPiece = isFirstPiece
            self.isLastPiece = isLastPiece
        }
    }

    package static let transferBytes = 16

    /// Random; one for each transfer.
    package var transfer: [UInt8]
    /// From 0, without a gap.
    package var number: Int
    /// In part 0, and only there.
    package var start: Start?
    /// In all others: the key of the part before, so that two versions of one part never mix.
    package var previous: [UInt8]
    /// In all others, too: what the author has collected by then, which the first part could not say.
    package var floor: VersionVector
    /// The author's vector in the snapshot that the rows were read from.
    package var snapshot: VersionVector
    package var body: Body?
    package var isEnd: Bool

    package init(
        transfer: [UInt8], number: Int, start: Start?, previous: [UInt8] = [],
        floor: VersionVector = VersionVector(), snapshot: VersionVector, body: Body?, isEnd: Bool
    ) {
        self.floor = floor
        self.transfer = transfer
        self.number = number
        self.start = start
        self.previous = previous
        self.snapshot = snapshot
        self.body = body
        self.isEnd = isEnd
    }

    var item: CBOR {
        var fields = Fields()
        fields["t"] = .bytes(transfer)
        if number > 0 { fields["i"] = .unsigned(UInt64(number)) }
        if let start {
            fields["o"] = .bytes(start.source.bytes)
            fields["b"] = .bytes(encodeVector(start.base))
            if !start.floor.isEmpty { fields["f"] = .bytes(encodeVector(start.floor)) }
            fields["n"] = .unsigned(min(UInt64(max(0, start.rows)), WireLimits.rowsMax))
            fields["y"] = .unsigned(min(UInt64(max(0, start.bytes)), WireLimits.bytesMax))
            if let schema = start.schema { fields["s"] = schema }
            fields["sf"] = .unsigned(start.schemaFingerprint)
            if let copyFor = start.copyFor { fields["j"] = .bytes(copyFor.bytes) }
            if let joined = start.joined { fields["jd"] = .bytes(encodeDot(joined)) }
            if !start.continued.isEmpty {
                fields["jc"] = .array(start.continued.map { .bytes($0.bytes) })
            }
            fields["v"] = .bytes(encodeVector(snapshot, against: start.base))
        } else {
            fields["k"] = .bytes(previous)
            if !floor.isEmpty { fields["f"] = .bytes(encodeVector(floor)) }
            fields["v"] = .bytes(encodeVector(snapshot))
        }
        if let body {
            fields["d"] = .bytes(body.bytes)
            fields["r"] = .unsigned(min(UInt64(max(0, body.rows)), WireLimits.rowsMax))
            fields["p"] = .bytes(encodeDot(body.position))
            if !body.isFirstPiece { fields["c"] = .bool(true) }
            if !body.isLastPiece { fields["m"] = .bool(true) }
        }
        if isEnd { fields["e"] = .bool(true) }
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        transfer = try fields.bytes("t")
        guard transfer.count == Self.transferBytes else {
            throw WireError(.malformed, "the name of a transfer has another length")
        }
        number =
            fields["i"] == nil ? 0 : try fields.count("i", max: WireLimits.partsMax)
        if number == 0 {
            let base = try fields.vector("b")
            var start = Start(
                source: try fields.origin("o"), base: base,
                floor: fields["f"] == nil ? VersionVector() : try fields.vector("f"),
                rows: try fields.count("n", max: WireLimits.rowsMax),
                bytes: try fields.count("y", max: WireLimits.bytesMax), schema: fields["s"],
                schemaFingerprint: try fields.number("sf"),
                copyFor: fields["j"] == nil ? nil : try fields.origin("j"))
            if fields["jd"] != nil { start.joined = try decodeDot(try fields.bytes("jd")) }
            start.continued = try fields.origins("jc", max: WireLimits.continuedMax)
            self.start = start
            snapshot = try decodeVector(try fields.bytes("v"), against: base)
            previous = []
            floor = VersionVector()
        } else {
            previous = try fields.bytes("k")
            floor = fields["f"] == nil ? VersionVector() : try fields.vector("f")
            snapshot = try fields.vector("v")
        }
        if fields["d"] != nil {
            let bytes = try fields.bytes("d")
            guard bytes.count <= WireLimits.logBodyBytesMax else {
                throw WireError(.tooLarge, "the rows of a part are above their limit")
            }
            body = Body(
                bytes: bytes, rows: try fields.count("r", max: WireLimits.rowsMax),
                position: try decodeDot(try fields.bytes("p")),
                isFirstPiece: fields["c"] == nil, isLastPiece: fields["m"] == nil)
        }
        isEnd = fields["e"] == nil ? false : try fields.flag("e")
        if isEnd, let body, !body.isLastPiece {
            throw WireError(.malformed, "a transfer ends in the middle of a chunk")
        }
    }
}

/// Where its author stood when it had read the log up to there.
package struct LogStanding: Sendable, Equatable {
    package var vector: VersionVector
    /// It lacks something that the log takes for granted: let the next delta begin at its vector.
    package var wants: Bool
    /// What its author numbers under; nil when what it says of its vector does not count for collecting.
    package var origin: Origin?
    /// Where members on its network stand who do not speak here themselves.
    package var reports: [StatementReport]
    /// What its author has collected: who has not seen it is out of date.
    package var floor: VersionVector

    package init(
        vector: VersionVector, wants: Bool, origin: Origin? = nil, reports: [StatementReport] = [],
        floor: VersionVector = VersionVector()
    ) {
        self.floor = floor
        self.vector = vector
        self.wants = wants
        self.origin = origin
        self.reports = reports
    }

    var item: CBOR {
        var fields = Fields()
        fields["v"] = .bytes(encodeVector(vector))
        if wants { fields["w"] = .bool(true) }
        if let origin { fields["o"] = .bytes(origin.bytes) }
        if !reports.isEmpty { fields["r"] = StatementReport.item(of: reports) }
        if !floor.isEmpty { fields["f"] = .bytes(encodeVector(floor)) }
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        vector = try fields.vector("v")
        wants = fields["w"] == nil ? false : try fields.flag("w")
        origin = fields["o"] == nil ? nil : try fields.origin("o")
        reports = fields["r"] == nil ? [] : try StatementReport.list(fields["r"])
        floor = fields["f"] == nil ? VersionVector() : try fields.vector("f")
    }
}
