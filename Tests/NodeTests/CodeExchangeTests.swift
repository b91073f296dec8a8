// Six digits from two nonces: equal for two ends of one channel, and for nobody else.

import TestKit
import Testing

@testable import Node
@testable import Trust

@Suite struct CodeExchangeTests {
    private let transcript: CodeTranscript
    private let keys: [PublicKey]

    init() throws {
        keys = try (1...6).map { try NodeKey(secret: [UInt8](repeating: $0, count: 32)).publicKey }
        transcript = CodeTranscript(
            inviter: keys[0], channelKey: keys[1], newcomer: keys[2],
            binding: [UInt8](repeating: 9, count: 32))
    }

    private func nonce(_ number: Int) -> [UInt8] {
        sha256(Array("nonce \(number)".utf8))
    }

    /// Runs both halves against each other, and returns the two codes.
    private func run(
        _ left: CodeTranscript, _ right: CodeTranscript, _ first: Int = 1, _ second: Int = 2
    ) throws -> (String?, String?) {
        var inviting = InvitingCode(left, nonce: nonce(first))
        var joining = JoiningCode(right, nonce: nonce(second))
        let answer = try joining.received(inviting.commitment)
        let reveal = try inviting.received(answer)
        #expect(joining.code == nil, "the newcomer's side knew it first")
        #expect(try joining.received(reveal) == nil)
        return (inviting.code, joining.code)
    }

    @Test func bothEndsOfOneChannelHaveOneCode() throws {
        var seen: Set<String> = []
        for number in 0..<200 {
            let codes = try run(transcript, transcript, number, number + 1000)
            #expect(codes.0 == codes.1)
            let code = try #require(codes.0)
            #expect(code.utf8.count == 6 && code.utf8.allSatisfy { (0x30...0x39).contains($0) })
            seen.insert(code)
        }
        #expect(seen.count > 195)
    }

    @Test func zerosInFrontAreShown() throws {
        let found = (0..<100_000).lazy.map { number in
            transcript.code(inviter: self.nonce(number), newcomer: self.nonce(-1))
        }.first { $0.hasPrefix("000") }
        let code = try #require(found)
        #expect(code.utf8.count == 6)
        #expect(CodeTranscript.shown(code) == "000 \(code.suffix(3))")
    }

    @Test func codesAreReadAsPeopleTypeThem() {
        for text in ["047291", "047 291", " 047-291\n", "0 4 7 2 9 1"] {
            #expect(CodeTranscript.read(text) == "047291", "\(text)")
        }
        for text in ["", "47291", "0472911", "04729a", "٠٤٧٢٩١", "yes", "-047291.0"] {
            #expect(CodeTranscript.read(text) == nil, "\(text)")
        }
    }

    /// Everything that the two must agree on is in the code, and in the commitment.
    @Test func anotherTranscriptIsAnotherCode() throws {
        var others = [transcript, transcript, transcript, transcript]
        others[0].inviter = keys[3]
        others[1].channelKey = keys[3]
        others[2].newcomer = keys[3]
        others[3].binding[31] ^= 1
        for other in others {
            #expect(
                other.code(inviter: nonce(1), newcomer: nonce(2))
                    != transcript.code(inviter: nonce(1), newcomer: nonce(2)))
            // A commitment that was made in one channel is none in the other.
            #expect(throws: NodeError(.refused, "")) { try run(transcript, other) }
        }
    }

    /// Two sessions with somebody in the middle: whatever it sends, it has fixed its share of each code
    /// before it knows the other's. In both orders of the two sessions.
    @Test func whoStandsBetweenTheTwoCannotMakeCodesEqual() throws {
        var generator = SeededGenerator(seed: 7)
        var equal = 0
        for round in 0..<300 {
            // The middle has its own keys towards both, and so two channels.
            var toNewcomer = transcript
            (toNewcomer.inviter, toNewcomer.binding) = (keys[3], nonce(round))
            var toInviter = transcript
            (toInviter.channelKey, toInviter.newcomer) = (keys[4], keys[5])
            toInviter.binding = nonce(round + 1000)
            let mine = (nonce(round + 2000), nonce(round + 3000))
            let theirs = (nonce(round + 4000), nonce(round + 5000))
            var newcomer = JoiningCode(toNewcomer, nonce: theirs.0)
            var inviter = InvitingCode(toInviter, nonce: theirs.1)
            var middleAsInviter = InvitingCode(toNewcomer, nonce: mine.0)
            var middleAsNewcomer = JoiningCode(toInviter, nonce: mine.1)
            let isNewcomerFirst = Bool.random(using: &generator)
            for step in [isNewcomerFirst, !isNewcomerFirst] {
                if step {
                    let answer = try newcomer.received(middleAsInviter.commitment)
                    _ = try newcomer.received(try middleAsInviter.received(answer))
                } else {
                    let answer = try middleAsNewcomer.received(inviter.commitment)
                    _ = try middleAsNewcomer.received(try inviter.received(answer))
                }
            }
            if newcomer.code == inviter.code { equal += 1 }
        }
        #expect(equal == 0)
    }

    /// What the middle would do if it could: choose its nonce once it knows the code that it needs.
    @Test func changedRevealIsRefused() throws {
        let inviting = InvitingCode(transcript, nonce: nonce(1))
        for bit in [0, 7, 100, 255] {
            var joining = JoiningCode(transcript, nonce: nonce(2))
            _ = try joining.received(inviting.commitment)
            var changed = nonce(1)
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: NodeError(.refused, "")) { try joining.received(.nonce(changed)) }
            #expect(joining.code == nil)
        }
    }

    @Test func stepsOutOfTurnAreRefused() throws {
        var inviting = InvitingCode(transcript, nonce: nonce(1))
        for wrong in [nil, CodeMessage.commitment(nonce(3))] {
            #expect(throws: NodeError(.refused, "")) { try inviting.received(wrong) }
        }
        let reveal = try inviting.received(.nonce(nonce(2)))
        // Once more, with another nonce, would be another guess at the code.
        #expect(throws: NodeError(.refused, "")) { try inviting.received(.nonce(nonce(3))) }

        var joining = JoiningCode(transcript, nonce: nonce(2))
        for wrong in [nil, reveal] {
            #expect(throws: NodeError(.refused, "")) { try joining.received(wrong) }
        }
        _ = try joining.received(inviting.commitment)
        for wrong in [nil, inviting.commitment] {
            #expect(throws: NodeError(.refused, "")) { try joining.received(wrong) }
        }
        _ = try joining.received(reveal)
        #expect(joining.code == inviting.code)
        #expect(throws: NodeError(.refused, "")) { try joining.received(reveal) }
    }

    @Test func messagesReadBackAndNothingElseIsOne() {
        for message in [CodeMessage.commitment(nonce(1)), .nonce(nonce(2))] {
            #expect(CodeMessage(message.json) == message)
            #expect(CodeMessage(line: message.json.encoded) == message)
        }
        for line in [
            "", "{}", "[]", "{\"nonce\":1}", "{\"nonce\":\"00\"}",
            "{\"nonce\":\"\(String(repeating: "zz", count: 32))\"}",
            "{\"commitment\":\"\(String(repeating: "0", count: 66))\"}",
            String(repeating: "[", count: 100),
        ] {
            #expect(CodeMessage(line: Array(line.utf8)) == nil, "\(line)")
        }
    }
}
