// What is said while rows move: the request, the delta's header, its chunks.

package import CausalModel
internal import Codec

/// Where a broken transfer stands, as its receiver kept it.
package struct ResumeMessage: Sendable, Equatable {
    package var source: Origin
    package var receiver: Origin
    package var base: VersionVector
    package var snapshot: VersionVector
    package var position: Dot
    /// Of a copy: the snapshot that its first rows are from.
    package var began: VersionVector?

    package init(
        source: Origin, receiver: Origin, base: VersionVector, snapshot: VersionVector,
        position: Dot, began: VersionVector? = nil
    ) {
        self.began = began
        self.source = source
        self.receiver = receiver
        self.base = base
        self.snapshot = snapshot
        self.position = position
    }

    var item: CBOR {
        var fields = Fields()
        fields["o"] = .bytes(source.bytes)
        fields["r"] = .bytes(receiver.bytes)
        fields["b"] = .bytes(encodeVector(base))
        fields["v"] = .bytes(encodeVector(snapshot, against: base))
        fields["p"] = .bytes(encodeDot(position))
        if let began { fields["w"] = .bytes(encodeVector(began, against: base)) }
        return fields.item
    }

    init(_ fields: Fields) throws(WireError) {
        source = try fields.origin("o")
        receiver = try fields.origin("r")
        base = try fields.vector("b")
        snapshot = try decodeVector(try fields.bytes("v"), against: base)
        position = try decodeDot(try fields.bytes("p"))
        began = fields["w"] == nil ? nil : try decodeVector(try fields.bytes("w"), against: base)
    }
}

/// Asks for everything beyond `base`, and for what comes later.
package struct WantMessage: Sendable, Equatable {
    package var base: VersionVector
    /// False: the sender of this believes that there is nothing to fetch now.
    package var isFetch: Bool
    package var resume: ResumeMessage?

    package init(base: VersionVector, isFetch: Bool, resume: ResumeMessage?) {
        self.base = base
        self.isFetch = isFetch
        self.resume = resume
    }

    var item: CBOR {
        var fields = Fields()
        fields["v"] = .bytes(encodeVector(base))
        fields["f"] = .bool(isFetch)
        if let resume { fields["r"] = resume.item }
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        base = try fields.vector("v")
        isFetch = try fields.flag("f")
        resume = fields["r"] == nil ? nil : try ResumeMessage(try fields.fields("r"))
    }
}

/// What a delta is about.
package struct HeaderMessage: Sendable, Equatable {
    package var source: Origin
    package var base: VersionVector
    package var snapshot: VersionVector
    package var rows: Int
    package var bytes: Int
    /// The delta that is under way goes on from a newer snapshot.
    package var isContinuation: Bool
    /// As in ``StatementMessage``.
    package var hasUnsettled = false
    /// All rows beyond the base come: no broken transfer goes on.
    package var isFromStart = false
    /// Of a copy, whose base is empty: what its sender has collected.
    package var floor = VersionVector()

    package init(
        source: Origin, base: VersionVector, snapshot: VersionVector, rows: Int, bytes: Int,
        isContinuation: Bool = false
    ) {
        self.source = source
        self.base = base
        self.snapshot = snapshot
        self.rows = rows
        self.bytes = bytes
        self.isContinuation = isContinuation
    }

    var item: CBOR {
        var fields = Fields()
        fields["o"] = .bytes(source.bytes)
        fields["b"] = .bytes(encodeVector(base))
        fields["v"] = .bytes(encodeVector(snapshot, against: base))
        fields["n"] = .unsigned(min(UInt64(max(0, rows)), WireLimits.rowsMax))
        fields["y"] = .unsigned(min(UInt64(max(0, bytes)), WireLimits.bytesMax))
        fields["c"] = .bool(isContinuation)
        if hasUnsettled { fields["u"] = .bool(true) }
        if isFromStart { fields["s"] = .bool(true) }
        if !floor.isEmpty { fields["l"] = .bytes(encodeVector(floor, against: snapshot)) }
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        source = try fields.origin("o")
        base = try fields.vector("b")
        snapshot = try decodeVector(try fields.bytes("v"), against: base)
        rows = try fields.count("n", max: WireLimits.rowsMax)
        bytes = try fields.count("y", max: WireLimits.bytesMax)
        isContinuation = try fields.flag("c")
        hasUnsettled = fields["u"] == nil ? false : try fields.flag("u")
        isFromStart = fields["s"] == nil ? false : try fields.flag("s")
        if fields["l"] != nil { floor = try decodeVector(try fields.bytes("l"), against: snapshot) }
    }
}

/// A run of rows; the body is the store's and opaque here.
package struct ChunkMessage: Sendable, Equatable {
    package var body: [UInt8]
    package var rows: Int
    package var position: Dot
    package var isLast: Bool

    package init(body: [UInt8], rows: Int, position: Dot, isLast: Bool) {
        self.body = body
        self.rows = rows
        self.position = position
        self.isLast = isLast
    }

    /// Compressed where that is shorter: level 1 keeps up with the store, small bodies get level 3.
    var item: CBOR {
        var fields = Fields()
        let level: Int32 = body.count < WireLimits.smallBodyBytesMax ? 3 : 1
        let compressed = WireLimits.compressedBodyBytesMin...WireLimits.compressedBodyBytesMax
        if compressed.contains(body.count),
            let packed = Zstandard.compress(body, level: level)
        {
            fields["z"] = .bytes(packed)
        } else {
            fields["b"] = .bytes(body)
        }
        fields["n"] = .unsigned(min(UInt64(max(0, rows)), WireLimits.rowsMax))
        fields["p"] = .bytes(encodeDot(position))
        fields["l"] = .bool(isLast)
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        if fields["z"] == nil {
            body = try fields.bytes("b")
        } else {
            do {
                body = try Zstandard.decompress(
                    try fields.bytes("z"), limit: WireLimits.compressedBodyBytesMax)
            } catch let error as CodecError {
                throw WireError(
                    error.code == .tooLarge ? .tooLarge : .malformed,
                    "the body of a chunk: \(error.message)")
            } catch {
                throw WireError(.malformed, "the body of a chunk is missing")
            }
        }
        guard body.count <= WireLimits.chunkBytesMax else {
            throw WireError(.tooLarge, "the body of a chunk is above its limit")
        }
        rows = try fields.count("n", max: WireLimits.rowsMax)
        position = try decodeDot(try fields.bytes("p"))
        isLast = try fields.flag("l")
    }
}
