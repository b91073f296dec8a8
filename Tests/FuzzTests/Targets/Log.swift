// What a member reads of a relay's log, once it was opened: any member can write anything.

import CausalModel
import Codec
import Wire

extension FuzzTarget {
    /// Messages of a log: what is taken means the same when it is written again.
    static let log = FuzzTarget(
        name: "log", bytesMax: 512,
        seeds: {
            let origin = Origin(high: 1, low: 2)
            let vector = VersionVector([(origin, UInt64(7))])
            let start = LogPart.Start(
                source: origin, base: vector, floor: vector, rows: 3, bytes: 300,
                schema: .array([.text("t")]), schemaFingerprint: 9)
            let body = LogPart.Body(
                bytes: [1, 2, 3], rows: 3, position: Dot(origin, 9), isFirstPiece: true,
                isLastPiece: true)
            let transfer = [UInt8](repeating: 5, count: LogPart.transferBytes)
            let first = LogPart(
                transfer: transfer, number: 0, start: start,
                snapshot: VersionVector([(origin, UInt64(9))]), body: body, isEnd: true)
            let later = LogPart(
                transfer: transfer, number: 3, start: nil, previous: [1, 2], snapshot: vector,
                body: nil, isEnd: true)
            let messages: [LogMessage] = [
                .part(first), .part(later), .standing(LogStanding(vector: vector, wants: true)),
                .grants([[1], [2, 3]]), .snapshotStored, .ignorable(kind: 200),
            ]
            return (messages + joining(origin, vector)).map(\.encoded)
        },
        check: { bytes in
            guard let message = try? LogMessage(decoding: bytes) else { return }
            let again = try LogMessage(decoding: message.encoded)
            try promise(again == message, "a message of a log changes when it is written again")
        })
    /// Words about a member that waits for a copy, and the first part of one.
    private static func joining(_ origin: Origin, _ vector: VersionVector) -> [LogMessage] {
        let nonce = [UInt8](repeating: 6, count: LogJoining.nonceBytes)
        let steps: [LogJoining.Step] = [
            .ask, .offer(nonce: nonce), .accept(nonce: nonce), .outdated,
        ]
        var start = LogPart.Start(
            source: origin, base: VersionVector(), floor: vector, rows: 1, bytes: 1, schema: nil,
            schemaFingerprint: 9, copyFor: origin)
        start.joined = Dot(origin, 4)
        start.continued = [origin]
        let copy = LogPart(
            transfer: nonce, number: 0, start: start, snapshot: vector, body: nil, isEnd: false)
        let standing = LogStanding(vector: vector, wants: false, origin: origin, floor: vector)
        return steps.map { .joining(LogJoining(origin: origin, step: $0)) }
            + [.part(copy), .standing(standing)]
    }
}
