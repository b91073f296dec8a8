// Zstandard with a bound: what is larger is refused before it is made, what is damaged is an error
// or other bytes, never a crash.

import Codec
import TestKit
import Testing

@Suite struct CompressionTests {
    private func text(_ count: Int) -> [UInt8] {
        Array(String(repeating: "a job sheet, ", count: count / 13 + 1).utf8.prefix(count))
    }

    @Test(arguments: [100, 1_000, 100_000]) func contentComesBack(_ count: Int) throws {
        let content = text(count)
        let packed = try #require(Zstandard.compress(content))

        #expect(packed.count < content.count)
        #expect(try Zstandard.decompress(packed, limit: count) == content)
    }

    @Test func whatWouldNotGetShorterIsLeft() {
        var generator = SeededGenerator(seed: 4)

        #expect(Zstandard.compress([]) == nil)
        #expect(Zstandard.compress([1]) == nil)
        #expect(Zstandard.compress(generator.bytes(1_000)) == nil)
    }

    /// 64 MiB of zeros are 2 KiB compressed.
    @Test func aBombIsRefusedBeforeItIsMade() throws {
        let bomb = try #require(Zstandard.compress([UInt8](repeating: 0, count: 64 << 20)))

        #expect(bomb.count < 10_000)
        #expect(throws: CodecError(.tooLarge, "")) {
            try Zstandard.decompress(bomb, limit: 1 << 20)
        }
    }

    @Test func theLimitIsExact() throws {
        let content = text(5_000)
        let packed = try #require(Zstandard.compress(content))

        #expect(try Zstandard.decompress(packed, limit: 5_000) == content)
        #expect(throws: CodecError(.tooLarge, "")) {
            try Zstandard.decompress(packed, limit: 4_999)
        }
        #expect(throws: CodecError(.tooLarge, "")) { try Zstandard.decompress(packed, limit: 0) }
    }

    /// Two frames, of which only the first says how large it is, are more than was claimed.
    @Test func aSecondFrameIsRefused() throws {
        let packed = try #require(Zstandard.compress(text(500)))

        #expect(throws: CodecError(.malformed, "")) {
            try Zstandard.decompress(packed + packed, limit: 10_000)
        }
    }

    @Test(
        arguments: [
            [], [0x28], [0x28, 0xb5, 0x2f, 0xfd],
            // A frame without a content size: nothing says how large it gets.
            [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x01, 0x00, 0x00],
            // It claims 2^64 − 3 bytes.
            [
                0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0,
                0,
            ],
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        ] as [[UInt8]])
    func whatIsNoFrameIsRefused(_ bytes: [UInt8]) {
        #expect(throws: CodecError.self) { try Zstandard.decompress(bytes, limit: 1 << 20) }
    }

    /// It claims more than it holds, as much as the limit allows.
    @Test func aLieAboutTheSizeIsRefused() {
        let frame: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0x00, 0x00, 0x10, 0x00, 1, 0, 0]
        #expect(throws: CodecError(.malformed, "")) {
            try Zstandard.decompress(frame, limit: 1 << 20)
        }
    }

    @Test func damageIsAnErrorOrOtherBytes() throws {
        let content = text(600) + Array(0...255)
        let packed = try #require(Zstandard.compress(content))
        var errors = 0
        for damaged in Damage.all(of: packed) {
            guard let found = try? Zstandard.decompress(damaged, limit: 4_096) else {
                errors += 1
                continue
            }
            #expect(found.count <= 4_096)
        }

        #expect(errors > packed.count)
    }

    @Test func everyTruncationIsAnError() throws {
        let packed = try #require(Zstandard.compress(text(2_000)))
        for count in 0..<packed.count {
            #expect(throws: CodecError.self) {
                try Zstandard.decompress(Array(packed[..<count]), limit: 4_096)
            }
        }
    }
}
