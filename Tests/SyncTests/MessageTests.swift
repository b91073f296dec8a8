// The wire format: what was encoded comes back, and nothing else does any harm.

import CausalModel
import Codec
import TestKit
import Testing
import Wire

@Suite struct MessageTests {
    static func origin(_ random: inout SeededGenerator) -> Origin { .random(using: &random) }

    static func vector(_ random: inout SeededGenerator) -> VersionVector {
        var vector = VersionVector()
        for _ in 0..<random.below(6) {
            vector[.random(using: &random)] = random.next() >> UInt64(5 + random.below(59))
        }
        return vector
    }

    static func header(_ random: inout SeededGenerator) -> HeaderMessage {
        let base = vector(&random)
        var snapshot = random.chance(1, in: 2) ? base : vector(&random)
        snapshot.join(vector(&random))
        if let first = base.entries.first, random.chance(1, in: 3) { snapshot[first.origin] = 0 }
        var header = HeaderMessage(
            source: origin(&random), base: base, snapshot: snapshot, rows: random.below(1 << 20),
            bytes: random.below(1 << 30), isContinuation: random.chance(1, in: 2))
        header.isFromStart = random.chance(1, in: 2)
        if random.chance(1, in: 2) { header.floor = vector(&random) }
        return header
    }

    static func chunk(_ random: inout SeededGenerator, bodyMax: Int = 400) -> ChunkMessage {
        let isNoise = random.chance(1, in: 2)
        let body = (0..<random.below(bodyMax)).map { index in
            isNoise ? UInt8(truncatingIfNeeded: random.next()) : UInt8(index % 7)
        }
        return ChunkMessage(
            body: body, rows: random.below(1_000),
            position: Dot(origin(&random), random.next() >> 5), isLast: random.chance(1, in: 2))
    }

    static func statement(_ random: inout SeededGenerator) -> StatementMessage {
        StatementMessage(
            origin: origin(&random), vector: vector(&random), isWhole: random.chance(1, in: 2),
            beyondHash: random.next(), digest: random.next(), schemaFingerprint: random.next(),
            floor: random.chance(1, in: 2) ? vector(&random) : VersionVector(),
            choice: random.next(), credit: random.below(5))
    }

    static func message(_ random: inout SeededGenerator) -> Message {
        switch random.below(13) {
        case 0:
            return .hello(
                HelloMessage(
                    versions: 1...UInt64(1 + random.below(9)), group: "group", node: "node-7",
                    run: random.next(), name: "Ada's laptop é", origin: origin(&random),
                    listenPort: UInt16(random.below(65_536)), schemaFingerprint: random.next(),
                    dial: random.next()))
        case 1: return .state(statement(&random))
        case 2:
            return .schema(
                fingerprint: random.next(),
                description: .map([.text("t"): .array([.integer(-3), .text("a"), .null])]))
        case 3:
            let base = vector(&random)
            let resume = ResumeMessage(
                source: origin(&random), receiver: origin(&random), base: base,
                snapshot: vector(&random), position: Dot(origin(&random), random.next() >> 5),
                began: random.chance(1, in: 2) ? vector(&random) : nil)
            return .want(
                WantMessage(
                    base: base, isFetch: random.chance(1, in: 2),
                    resume: random.chance(1, in: 2) ? resume : nil))
        case 4: return .deltaBegin(header(&random))
        case 5: return .chunk(chunk(&random))
        case 6: return .deltaEnd
        case 7: return .wholeDelta(header(&random), chunk(&random))
        case 8: return .credit(random.below(5))
        case 9: return .statement(statement(&random))
        case 10: return .ping(random.next())
        case 11: return .pong(random.next())
        default: return .goodbye(GoodbyeMessage(.wrongGroup, "another group"))
        }
    }

    @Test func everyMessageComesBack() throws {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<3_000 {
            let message = Self.message(&random)
            #expect(try Message(decoding: message.encoded) == message)
        }
    }

    @Test func aMessageCutAnywhereIsRefused() {
        var random = SeededGenerator(seed: 12)
        for _ in 0..<150 {
            let bytes = Self.message(&random).encoded
            for count in 0..<bytes.count {
                #expect(throws: WireError.self) {
                    _ = try Message(decoding: Array(bytes[..<count]))
                }
            }
        }
    }

    @Test func aFlippedByteIsRefusedOrStillWellFormed() {
        var random = SeededGenerator(seed: 13)
        for _ in 0..<150 {
            let bytes = Self.message(&random).encoded
            for index in bytes.indices {
                var damaged = bytes
                damaged[index] ^= UInt8(1 << random.below(8))
                // Either an error or a message that can be encoded again: never a crash.
                if let message = try? Message(decoding: damaged) {
                    #expect((try? Message(decoding: message.encoded)) == message)
                }
            }
        }
    }

    @Test func randomBytesAreRefusedOrWellFormed() {
        var random = SeededGenerator(seed: 14)
        for _ in 0..<20_000 {
            var bytes = (0..<random.below(60)).map { _ in
                UInt8(truncatingIfNeeded: random.next())
            }
            if !bytes.isEmpty { bytes[0] = UInt8(random.below(18)) }
            if let message = try? Message(decoding: bytes) {
                #expect((try? Message(decoding: message.encoded)) == message)
            }
        }
    }

    @Test func aHelloOfTheLongestNamesFitsItsLimit() throws {
        let long = String(repeating: "x", count: 128)
        let hello = Message.hello(
            HelloMessage(
                group: long, node: long, run: .max, name: String(repeating: "é", count: 500),
                origin: Origin(high: .max, low: .max), listenPort: .max, schemaFingerprint: .max,
                dial: .max))
        #expect(hello.encoded.count < WireLimits.helloBytesMax)
        var assembler = MessageAssembler()
        #expect(try assembler.take(hello.encoded, isTrusted: false) != nil)
    }

    @Test func limitsFitEachOther() {
        #expect(WireLimits.helloBytesMax < WireLimits.frameBytesMax)
        #expect(WireLimits.messageBytesMax > WireLimits.chunkBytesMax + 64 * 1024)
        #expect(WireLimits.goodbyeTextBytesMax + 64 < WireLimits.helloBytesMax)
        #expect(WireLimits.vectorOriginsMax * 26 < 2 * WireLimits.frameBytesMax)
    }
}

@Suite struct VectorCodingTests {
    @Test func vectorsAreCompactAndStrict() throws {
        var random = SeededGenerator(seed: 21)
        var vector = VersionVector()
        for _ in 0..<100 { vector[.random(using: &random)] = 1 + UInt64(random.below(10_000)) }
        let bytes = encodeVector(vector)
        #expect(bytes.count <= 2 + 100 * 18)
        #expect(try decodeVector(bytes) == vector)

        let entry = Array(bytes[1..<17]) + [1]
        #expect(throws: WireError.self) { _ = try decodeVector([2] + entry + entry) }
        #expect(throws: WireError.self) { _ = try decodeVector([1] + entry.dropLast() + [0]) }
        #expect(throws: WireError.self) { _ = try decodeVector([1] + entry + [0]) }
        let tooHigh: [UInt8] = Array(repeating: 0x80, count: 8) + [0x10]
        #expect(throws: WireError.self) { _ = try decodeVector([1] + entry.dropLast() + tooHigh) }
        #expect(throws: WireError.self) { _ = try decodeVector([0xff, 0xff, 0xff, 0x7f]) }
    }

    @Test func aVectorAgainstABaseNamesOnlyWhatDiffers() throws {
        var random = SeededGenerator(seed: 22)
        for _ in 0..<500 {
            let base = MessageTests.vector(&random)
            var vector = random.chance(1, in: 2) ? base : MessageTests.vector(&random)
            if let entry = base.entries.first { vector[entry.origin] = UInt64(random.below(3)) }
            let bytes = encodeVector(vector, against: base)
            #expect(try decodeVector(bytes, against: base) == vector)
        }
        let some = MessageTests.vector(&random)
        #expect(encodeVector(some, against: some) == [0])
    }
}

@Suite struct FrameTests {
    @Test func aLongMessageTravelsInParts() throws {
        var random = SeededGenerator(seed: 31)
        let body = (0..<3_000_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let message = Message.chunk(
            ChunkMessage(
                body: body, rows: 1, position: Dot(Origin(high: 1, low: 1), 1), isLast: true))
        let frames = try MessageFrames.of(message)
        #expect(frames.count == 3)
        #expect(frames.allSatisfy { $0.count <= WireLimits.frameBytesMax })

        var assembler = MessageAssembler()
        #expect(try assembler.take(frames[0], isTrusted: true) == nil)
        #expect(try assembler.take(frames[1], isTrusted: true) == nil)
        #expect(try assembler.take(frames[2], isTrusted: true) == message)
        #expect(!assembler.isAssembling)
    }

    @Test func partsOutOfOrderAreRefused() throws {
        let ping = Message.ping(1).encoded
        var assembler = MessageAssembler()
        #expect(try assembler.take([14, 6, 0xa0], isTrusted: true) == nil)
        #expect(throws: WireError.self) { _ = try assembler.take(ping, isTrusted: true) }

        var fresh = MessageAssembler()
        #expect(throws: WireError.self) { _ = try fresh.take([14, 6], isTrusted: false) }
        #expect(throws: WireError.self) { _ = try fresh.take([14, 11, 0], isTrusted: true) }
        let large = [UInt8](repeating: 6, count: WireLimits.helloBytesMax + 1)
        #expect(throws: WireError.self) { _ = try fresh.take(large, isTrusted: false) }
    }

    @Test func aBombIsNotUnpacked() throws {
        let zeros = [UInt8](repeating: 0, count: WireLimits.chunkBytesMax + 1)
        let packed = try #require(Zstandard.compress(zeros))
        let fields: [CBOR: CBOR] = [
            .text("z"): .bytes(packed), .text("n"): .unsigned(1),
            .text("p"): .bytes([UInt8](repeating: 1, count: 17)), .text("l"): .bool(true),
        ]
        let error = #expect(throws: WireError.self) {
            _ = try Message(decoding: [6] + CBOR.map(fields).encoded)
        }
        #expect(error?.code == .tooLarge)
    }

    @Test func unknownKindsAreSkippedOnlyWhenMarked() throws {
        #expect(try Message(decoding: [200, 1, 2, 3]) == .ignorable(kind: 200))
        let error = #expect(throws: WireError.self) { _ = try Message(decoding: [99, 0xa0]) }
        #expect(error?.code == .unknownKind)
    }

    @Test func damagedFrameIsNoFrame() throws {
        var random = SeededGenerator(seed: 5)
        for count in [0, 1, 7, 8, 9, 300, 5_000] {
            let frame = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let closed = FrameChecksum.close(frame)
            #expect(closed.count == count + FrameChecksum.bytes)
            #expect(try FrameChecksum.open(closed) == frame)
            for place in closed.indices where place < 400 {
                var damaged = closed
                damaged[place] ^= UInt8(1 + random.below(255))
                #expect(throws: WireError.self) { _ = try FrameChecksum.open(damaged) }
                #expect(throws: WireError.self) {
                    _ = try FrameChecksum.open(Array(closed[..<place]))
                }
            }
        }
        // The same on every machine: XXH3 of nothing, little-endian.
        #expect(FrameChecksum.close([]) == [0xc2, 0x94, 0xd3, 0x38, 0x05, 0x80, 0x06, 0x2d])
    }
}
