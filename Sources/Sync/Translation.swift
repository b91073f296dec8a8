// Between the wire's types and the store's: the format on the wire may change without the store.

internal import CausalModel
internal import Store
internal import Wire

extension HeaderMessage {
    init(_ header: DeltaHeader, isContinuation: Bool) {
        self.init(
            source: header.source, base: header.base, snapshot: header.snapshot,
            rows: header.rows, bytes: header.bytes, isContinuation: isContinuation)
        hasUnsettled = header.hasUnsettled
        isFromStart = header.isFromStart
        floor = header.floor
    }

    var header: DeltaHeader {
        var header = DeltaHeader(
            source: source, base: base, snapshot: snapshot, rows: rows, bytes: bytes)
        header.isFromStart = isFromStart
        header.floor = floor
        return header
    }
}

extension ChunkMessage {
    init(_ chunk: DeltaChunk) {
        self.init(
            body: chunk.body, rows: chunk.rows, position: chunk.position.dot, isLast: chunk.isLast)
    }

    var chunk: DeltaChunk {
        DeltaChunk(
            body: body, rows: rows, position: DeltaPosition(dot: position), isLast: isLast)
    }
}

extension ResumeMessage {
    init(_ point: ResumePoint) {
        self.init(
            source: point.source, receiver: point.receiver, base: point.base,
            snapshot: point.snapshot, position: point.position.dot, began: point.began)
    }

    var point: ResumePoint {
        ResumePoint(
            source: source, receiver: receiver, base: base, snapshot: snapshot,
            position: DeltaPosition(dot: position), began: began)
    }
}

extension StatementMessage {
    init(_ summary: ReplicaSummary, choice: UInt64 = 0, credit: Int = 0) {
        self.init(
            origin: summary.origin, vector: summary.vector, isWhole: summary.isWhole,
            beyondHash: summary.beyondHash, digest: summary.digest,
            schemaFingerprint: summary.schemaFingerprint, floor: summary.floor, choice: choice,
            credit: credit)
    }

    /// True when a peer that was told this learns nothing from a statement of `summary`. The floor
    /// rises only over what all members have said that they have: nobody waits for it.
    func says(_ summary: ReplicaSummary) -> Bool {
        origin == summary.origin && vector == summary.vector && isWhole == summary.isWhole
            && beyondHash == summary.beyondHash && hasUnsettled == summary.hasUnsettled
            && schemaFingerprint == summary.schemaFingerprint
    }
}
