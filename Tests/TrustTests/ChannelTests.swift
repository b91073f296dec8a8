// Channels between nodes that know each other, and what becomes of everybody else.

import TestKit
import Testing
import Trust

@Suite struct ChannelTests {
    private let ann: NodeKey
    private let bob: NodeKey

    init() throws {
        ann = try NodeKey()
        bob = try NodeKey()
    }

    private func isKnown(_ side: Wiretap.Side, _ key: PublicKey) -> Bool {
        key == (side == .client ? bob : ann).publicKey
    }

    @Test(arguments: [1, 7, 1_000, Int.max]) func twoNodesTalk(pieceBytes: Int) throws {
        let wire = try Wiretap(ann, bob, trusts: isKnown)
        wire.pieceBytes = pieceBytes
        wire.run()
        #expect(wire[.client].isOpen && wire[.server].isOpen)
        #expect(wire[.client].peer == bob.publicKey)
        #expect(wire[.server].peer == ann.publicKey)
        var random = SeededGenerator(seed: 1)
        let there = (0..<100_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let back = (0..<3_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        try wire[.client].send(there)
        try wire[.server].send(back)
        try wire[.server].send([])
        wire.run()
        #expect(wire.received(.server) == there)
        #expect(wire.received(.client) == back)
        #expect(Set(wire.sent[0]).count == 256, "what is on the wire is not what was said")
        #expect(wire.sent[0].count < 102_000 && wire.sent[0].count > 100_000)
        wire[.client].end()
        wire.run()
        #expect(wire[.server].hasPeerEnded && !wire[.client].hasPeerEnded)
        #expect(wire.errors == [nil, nil])
    }

    /// A ticket would be what the server says next, unasked: with it a key need not be proved again.
    @Test func nobodyGetsATicket() throws {
        let wire = try Wiretap(ann, bob, trusts: isKnown)
        var flights: [Wiretap.Side] = []
        wire.tamper = { from, bytes in
            if !bytes.isEmpty, flights.last != from { flights.append(from) }
            return bytes
        }
        wire.run()
        #expect(wire[.client].isOpen && wire[.server].isOpen)
        #expect(flights == [.client, .server, .client])
    }

    /// Both ends have it, and no other channel, be it of the same two keys.
    @Test func bothEndsShareWhatNobodyElseHas() throws {
        var seen: Set<[UInt8]> = []
        for _ in 0..<4 {
            let wire = try Wiretap(ann, bob, trusts: isKnown)
            wire.run()
            let binding = try wire[.client].binding()
            #expect(try wire[.server].binding() == binding)
            #expect(binding.count == TrustLimits.bindingBytes)
            seen.insert(binding)
        }
        #expect(seen.count == 4)
    }

    @Test func strangerIsRefusedBeforeItHearsAnything() throws {
        let eve = try NodeKey()
        let wire = try Wiretap(eve, bob, trusts: isKnown)
        wire.run()
        #expect(wire.error(.server) == TrustError(.notTrusted, ""))
        #expect(!wire[.server].isOpen && wire[.server].peer == nil)
        #expect(wire.error(.client) == TrustError(.notTrustedThere, ""))
        #expect(wire.received == [[], []])
        #expect(throws: TrustError(.notTrusted, "")) { try wire[.server].receive([1]) }
        #expect(throws: TrustError(.notTrusted, "")) { try wire[.server].send([1]) }
    }

    /// The key of who answers is looked at before the client shows its own.
    @Test func clientTellsAStrangerNothing() throws {
        let eve = try NodeKey()
        let wire = try Wiretap(ann, eve) { side, key in side == .server || key == bob.publicKey }
        wire.run()
        #expect(wire.error(.client) == TrustError(.notTrusted, ""))
        #expect(wire.error(.server) == TrustError(.notTrustedThere, ""))
        #expect(wire[.server].peer == nil)
    }

    /// Whether a node may meet its own key is its own decision: a session tells a copy by it.
    @Test func nodeTalksToItselfOnlyWhenItSaysSo() throws {
        let wire = try Wiretap(ann, ann) { _, key in key != ann.publicKey }
        wire.run()
        #expect(wire.error(.client) == TrustError(.notTrusted, ""))
        #expect(!wire[.server].isOpen)
    }

    /// Whatever is changed on the way: nobody takes a byte that was not said, nor a wrong key.
    @Test func everyChangedByteOfAHandshakeIsNoticed() throws {
        let plain = try Wiretap(ann, bob, trusts: isKnown)
        plain.run()
        var unnoticed = 0
        for side in Wiretap.Side.allCases {
            for place in 0..<plain.sent[side.rawValue].count {
                let wire = try Wiretap(ann, bob, trusts: isKnown)
                var passed = 0
                wire.tamper = { from, bytes in
                    guard from == side else { return bytes }
                    defer { passed += bytes.count }
                    guard bytes.indices.contains(place - passed) else { return bytes }
                    var bytes = bytes
                    bytes[place - passed] ^= 0x20
                    return bytes
                }
                wire.run()
                #expect(wire.received == [[], []])
                #expect(wire[.client].peer == nil || wire[.client].peer == bob.publicKey)
                #expect(wire[.server].peer == nil || wire[.server].peer == ann.publicKey)
                if wire[.client].isOpen, wire[.server].isOpen { unnoticed += 1 }
            }
        }
        // The versions in the headers of records are no part of what is signed, and say nothing
        // (RFC 8446, section 5.1); a change of anything else ends the handshake on one side.
        #expect(unnoticed <= 20, "\(unnoticed) changes ended in two open channels")
    }

    @Test func recordedConversationSaidAgainOpensNothing() throws {
        let first = try Wiretap(ann, bob, trusts: isKnown)
        first.run()
        try first[.client].send(Array("once".utf8))
        first.run()
        #expect(first.received(.server) == Array("once".utf8))
        let again = try SecureChannel(SecureContext(key: bob), role: .server) { _ in true }
        var plain: [UInt8] = []
        let error = #expect(throws: TrustError.self) { plain += try again.receive(first.sent[0]) }
        #expect(error?.code == .protocolBroken)
        #expect(plain.isEmpty && !again.isOpen)
    }

    @Test func changedAndMissingRecordsEndTheChannel() throws {
        for isDropped in [true, false] {
            let wire = try Wiretap(ann, bob, trusts: isKnown)
            wire.run()
            wire.tamper = { _, bytes in
                if isDropped { return [] }
                var bytes = bytes
                bytes[bytes.count / 2] ^= 1
                return bytes
            }
            try wire[.client].send(Array("first".utf8))
            wire.run()
            wire.tamper = { $1 }
            // Told that something was wrong, it says nothing more.
            _ = try? wire[.client].send(Array("second".utf8))
            wire.run()
            #expect(wire.received(.server).isEmpty)
            #expect(wire.error(.server) == TrustError(.protocolBroken, ""))
        }
    }

    @Test func noiseAndEndlessGreetingsAreRefused() throws {
        var random = SeededGenerator(seed: 5)
        let server = try SecureContext(key: bob)
        for count in [1, 5, 100, 20_000] {
            let channel = try SecureChannel(server, role: .server) { _ in true }
            var refused: TrustError?
            do {
                let noise = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                #expect(try channel.receive(noise).isEmpty)
            } catch { refused = error }
            #expect(refused?.code == .protocolBroken || count < 5)
            #expect(!channel.isOpen)
        }
        // Whole records that promise a handshake message of 16 MB.
        let channel = try SecureChannel(server, role: .server) { _ in true }
        var bytes = 0
        let record: [UInt8] =
            [22, 3, 1, 4, 0, 1, 255, 255, 255] + [UInt8](repeating: 0, count: 1_020)
        #expect(throws: TrustError(.protocolBroken, "")) {
            for _ in 0..<1_000 {
                _ = try channel.receive(record)
                bytes += record.count
            }
        }
        #expect(bytes <= TrustLimits.handshakeBytesMax)
    }

    @Test func wordsHoldNoKey() throws {
        let eve = try NodeKey()
        let wire = try Wiretap(eve, bob, trusts: isKnown)
        wire.run()
        for error in wire.errors.compactMap(\.self) {
            #expect(!error.description.contains("0x"))
            #expect(error.debugDescription.contains("SSL"))
        }
    }
}
