// Messages, vectors, dots and compressed bodies: all that the wire module decodes.

import CausalModel
import Codec
import Store
import Values

@testable import Wire

let sampleOrigins = [
    Origin(high: 1, low: 2), Origin(high: 1, low: 3), Origin(high: 0xffff_ffff_ffff_ffff, low: 9),
]

let sampleVectors: [VersionVector] = {
    let pairs: [(Origin, UInt64)] = [
        (sampleOrigins[0], 300), (sampleOrigins[1], 7), (sampleOrigins[2], 1 << 59),
    ]
    var first = VersionVector()
    first[sampleOrigins[0]] = 1
    return [VersionVector(), first, VersionVector(pairs)]
}()

/// One of each kind.
let sampleMessages: [Message] = {
    let statement = StatementMessage(
        origin: sampleOrigins[0], vector: sampleVectors[2], isWhole: false, beyondHash: 5,
        digest: .max, schemaFingerprint: 3, choice: 1, credit: 2)
    let header = HeaderMessage(
        source: sampleOrigins[1], base: sampleVectors[1], snapshot: sampleVectors[2], rows: 3,
        bytes: 1000, isContinuation: false)
    let chunk = ChunkMessage(
        body: [1, 2, 3], rows: 1, position: Dot(sampleOrigins[0], 3), isLast: true)
    let packed = ChunkMessage(
        body: [UInt8](repeating: 7, count: 300), rows: 1, position: Dot(sampleOrigins[0], 3),
        isLast: false)
    return [
        .hello(
            HelloMessage(
                group: "g", node: "n", run: 1, name: "Büro", origin: sampleOrigins[0],
                listenPort: 7878, schemaFingerprint: 2, dial: 4)),
        .state(statement), .statement(statement),
        .schema(fingerprint: 5, description: .array([.map([.text("table"): .null])])),
        .want(
            WantMessage(
                base: sampleVectors[2], isFetch: true,
                resume: ResumeMessage(
                    source: sampleOrigins[0], receiver: sampleOrigins[1], base: sampleVectors[1],
                    snapshot: sampleVectors[2], position: Dot(sampleOrigins[0], 9)))),
        .want(WantMessage(base: VersionVector(), isFetch: false, resume: nil)),
        .deltaBegin(header), .chunk(chunk), .chunk(packed), .deltaEnd, .wholeDelta(header, packed),
        .credit(4), .ping(1), .pong(.max), .goodbye(GoodbyeMessage(.flood, "too much")),
        .ignorable(kind: 200),
    ]
}()

extension FuzzTarget {
    static let message = FuzzTarget(
        name: "message", bytesMax: 512,
        words: ["m", "v", "g", "n", "r", "t", "o", "p", "s", "d", "w", "b", "h", "c", "f", "y"]
            .map { [0x61] + Array($0.utf8) } + [[0x61, 0x7a, 0x58], [0x28, 0xb5, 0x2f, 0xfd]],
        seeds: { sampleMessages.map(\.encoded) },
        check: { bytes in
            let message: Message
            do { message = try Message(decoding: bytes) } catch { return }
            try promise(
                try Message(decoding: message.encoded) == message, "a message does not come again")
        })

    /// The byte strings inside messages; each has one spelling.
    static let vector = FuzzTarget(
        name: "vector", bytesMax: 256,
        seeds: {
            var seeds: [[UInt8]] = []
            for vector in sampleVectors {
                seeds.append([0] + encodeVector(vector))
                for base in sampleVectors {
                    let difference = encodeVector(vector, against: base)
                    seeds.append([1] + FuzzInput.piece(encodeVector(base)) + difference)
                }
            }
            return seeds + [[2] + encodeDot(Dot(sampleOrigins[2], 99))]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            switch input.below(3) {
            case 0:
                let spelling = input.all()
                let vector = try? decodeVector(spelling)
                let stored = try? VersionVector(decoding: spelling)
                try promise(vector == stored, "the store and the wire read another vector")
                guard let vector else { return }
                try promise(encodeVector(vector) == spelling, "a vector has two spellings")
                try promise(vector.encoded == spelling, "a stored vector has two spellings")
            case 1:
                guard let base = try? decodeVector(input.bytes()) else { return }
                let spelling = input.all()
                guard let vector = try? decodeVector(spelling, against: base) else { return }
                try promise(
                    encodeVector(vector, against: base) == spelling, "a vector has two spellings")
            default:
                let spelling = input.all()
                guard let dot = try? decodeDot(spelling) else { return }
                try promise(encodeDot(dot) == spelling, "a dot has two spellings")
            }
        })

    /// Zstandard frames that may claim any size.
    static let compression = FuzzTarget(
        name: "compression", bytesMax: 1024,
        words: [[0x28, 0xb5, 0x2f, 0xfd], [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 16, 0]],
        seeds: {
            let texts: [[UInt8]] = [
                [UInt8](repeating: 7, count: 5000), Array("starling starling starling".utf8),
                (0..<2000).map { UInt8(truncatingIfNeeded: $0 * $0 / 7) },
            ]
            return texts.compactMap { Zstandard.compress($0) }.map { [200] + $0 }
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            let limit = 1 << (input.below(20))
            guard let content = try? Zstandard.decompress(input.all(), limit: limit) else { return }
            try promise(content.count <= limit, "more came out than the limit allows")
            guard let again = Zstandard.compress(content) else { return }
            try promise(
                try Zstandard.decompress(again, limit: content.count) == content,
                "content does not come again")
        })
}
