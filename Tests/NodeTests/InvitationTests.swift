// The line that one person gives another.

import Testing

@testable import Node
@testable import Trust

@Suite struct InvitationTests {
    private let inviter: PublicKey
    private let invitation: Invitation

    init() throws {
        inviter = try NodeKey(secret: [UInt8](repeating: 7, count: 32)).publicKey
        invitation = Invitation(
            inviter: inviter, secret: Array(0..<16), expiresSeconds: 1_800_000_000, name: "Büro",
            addresses: [HostPort(host: "192.168.1.20", port: 7878)])
    }

    @Test func lineReadsBackHoweverItIsWritten() throws {
        let line = invitation.line
        #expect(line.hasPrefix(Invitation.prefix) && line.utf8.count < 180)
        for written in [
            line, line.lowercased(), "  \(line)\n", line.replacing("0", with: "O"),
            line.replacing("1", with: "I"), line.map(String.init).joined(separator: " "),
        ] {
            #expect(try Invitation(line: written) == invitation)
        }
        for count in [0, 1, Invitation.addressesMax] {
            var other = invitation
            other.addresses = (0..<count).map { HostPort(host: "fd00::\($0)", port: 1) }
            other.name = String(repeating: "n", count: count)
            #expect(try Invitation(line: other.line) == other)
        }
    }

    /// Every letter that is wrong, missing or twice is noticed before anybody is asked.
    @Test func mistypedLetterIsNoticed() throws {
        let letters = Array(invitation.line)
        for place in letters.indices {
            var changed = letters
            changed[place] = letters[place] == "7" ? "8" : "7"
            var cut = letters
            cut.remove(at: place)
            var doubled = letters
            doubled.insert(letters[place], at: place)
            for wrong in [changed, cut, doubled] {
                let text = String(wrong)
                // A dash more or less is none.
                guard text.filter({ $0 != "-" }) != invitation.line.filter({ $0 != "-" }) else {
                    continue
                }
                #expect(throws: NodeError(.usage, "")) { try Invitation(line: text) }
            }
        }
    }

    @Test func oneTimeKeyIsOfTheSecretAlone() throws {
        var other = invitation
        other.name = "another"
        other.expiresSeconds = 1
        #expect(try other.oneTimeKey().publicKey == invitation.oneTimeKey().publicKey)
        other.secret[15] ^= 1
        #expect(try other.oneTimeKey().publicKey != invitation.oneTimeKey().publicKey)
    }

    @Test func requestProvesItsKeyForOneInvitation() throws {
        let newcomer = try NodeKey()
        let oneTime = try invitation.oneTimeKey().publicKey
        let names = PairingNames(wanted: "van", machine: "host")
        let request = try PairingRequest(
            key: newcomer, names: names, group: "0a", inviter: inviter, oneTime: oneTime)
        let read = try PairingRequest(line: request.line, inviter: inviter, oneTime: oneTime)
        #expect(read.key == newcomer.publicKey && read.names == names)
        #expect(read.group == "0a")
        // The same words for another inviter or another invitation prove nothing.
        let stranger = try NodeKey().publicKey
        for (other, secret) in [(stranger, oneTime), (inviter, stranger)] {
            #expect(throws: NodeError(.refused, "")) {
                try PairingRequest(line: request.line, inviter: other, oneTime: secret)
            }
        }
        let stolen = String(decoding: request.line, as: UTF8.self)
            .replacing(newcomer.publicKey.hex, with: stranger.hex)
        #expect(throws: NodeError(.refused, "")) {
            try PairingRequest(line: Array(stolen.utf8), inviter: inviter, oneTime: oneTime)
        }
        for line in ["", "{}", "[]", "{\"v\":2}", String(repeating: "[", count: 1000)] {
            #expect(throws: NodeError(.refused, "")) {
                try PairingRequest(line: Array(line.utf8), inviter: inviter, oneTime: oneTime)
            }
        }
    }

    @Test func baseThirtyTwoTakesOnlyWhatItMakes() {
        for count in 0..<40 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
            let text = Base32.text(bytes)
            #expect(Base32.bytes(text.utf8) == bytes)
            #expect(text.utf8.count == (count * 8 + 4) / 5)
        }
        for wrong in ["U", "0", "01", "é", "0U00", "ZZZZZZZZZ"] {
            #expect(Base32.bytes(wrong.utf8) == nil, "\(wrong)")
        }
    }
}
