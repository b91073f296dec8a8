// The framing: what is written comes again, and nothing else is taken.

import RelayProtocol
import TestKit
import Testing

@Suite struct FramingTests {
    private static let entries = [
        LogEntry(key: [UInt8](repeating: 1, count: 16), content: []),
        LogEntry(key: [UInt8](repeating: 2, count: 64), content: [UInt8](0...255)),
    ]
    private static let answer = SyncAnswer(
        outcomes: [.appended, .known],
        items: [.entry(entries[1]), .own(key: entries[0].key), .entry(entries[0])], hasMore: true,
        position: LogPosition(
            generation: [1, 2, 3, 4, 5, 6, 7, 8], number: .max, link: [8, 7, 6, 5, 4, 3, 2, 1]))

    @Test func comesAgain() throws {
        #expect(try Framing.entries(ofRequest: Framing.request(Self.entries)) == Self.entries)
        #expect(try Framing.entries(ofRequest: Framing.request([])) == [])
        #expect(try Framing.entries(ofRequest: []) == [])
        #expect(try SyncAnswer(decoding: Self.answer.encoded) == Self.answer)
        #expect(LogPosition(text: Self.answer.position.text) == Self.answer.position)
    }

    /// The bytes of the page on the protocol: a client in another language relies on them.
    @Test func isWhatThePageSays() {
        let entry = LogEntry(key: Array("0123456789abcdef".utf8), content: Array("hi".utf8))
        #expect(
            Hex.text(Framing.request([entry]))
                == "53524c01" + "10" + "30313233343536373839616263646566" + "00000002" + "6869")
        let answer = SyncAnswer(
            outcomes: [.appended], items: [.own(key: entry.key)], hasMore: false,
            position: LogPosition(
                generation: [UInt8](repeating: 0xaa, count: 8), number: 258,
                link: [UInt8](repeating: 0xbb, count: 8)))
        #expect(
            Hex.text(answer.encoded)
                == "53524c01" + "4100" + "4b10" + "30313233343536373839616263646566" + "5000"
                + "aaaaaaaaaaaaaaaa" + "0000000000000102" + "bbbbbbbbbbbbbbbb")
    }

    @Test func refusesWhatIsCut() {
        let body = Framing.request(Self.entries)
        let ends = [4, 4 + 1 + 16 + 4]
        for count in 1..<body.count where !ends.contains(count) {
            #expect(throws: FramingError.self, "cut at \(count)") {
                try Framing.entries(ofRequest: Array(body.prefix(count)))
            }
        }
        let answer = Self.answer.encoded
        for count in 0..<answer.count {
            #expect(throws: FramingError.self, "cut at \(count)") {
                try SyncAnswer(decoding: Array(answer.prefix(count)))
            }
        }
        #expect(throws: FramingError.self) { try SyncAnswer(decoding: answer + [0]) }
    }

    @Test func refusesLengthsAndCounts() {
        let magic = Framing.magic
        let key = [UInt8](repeating: 1, count: 16)
        let huge: [UInt8] = [0xff, 0xff, 0xff, 0xff]
        #expect(throws: FramingError.self) {
            try Framing.entries(ofRequest: magic + [16] + key + huge)
        }
        for count in [0, 15, 65, 255] as [UInt8] {
            #expect(throws: FramingError.self) {
                try Framing.entries(
                    ofRequest: magic + [count] + [UInt8](repeating: 1, count: 300))
            }
        }
        #expect(throws: FramingError.self) {
            try Framing.entries(ofRequest: [0x53, 0x52, 0x4c, 2])
        }
        let many = (0...Framing.entryCountMax).map { LogEntry($0) }
        #expect(throws: FramingError.self) {
            try Framing.entries(ofRequest: Framing.request(many))
        }
    }

    @Test func namesHaveOneForm() {
        #expect(GroupName(text: String(repeating: "ab", count: 16)) != nil)
        for text in [
            "", "ab", String(repeating: "AB", count: 16), String(repeating: "a", count: 33),
        ] {
            #expect(GroupName(text: text) == nil, "\(text)")
        }
        #expect(GroupName(text: String(repeating: "ab", count: 33)) == nil)
        #expect(Credential(text: String(repeating: "0", count: 63)) == nil)
        #expect(LogPosition(text: String(repeating: "f", count: 48)) == nil)
    }
}
