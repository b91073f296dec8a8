// What a node says of itself on the network, and what others can make of it.

import Testing

@testable import Discovery
@testable import Node
@testable import Sync
@testable import Trust

@Suite struct AnnouncementTests {
    private let ann: PublicKey
    private let bob: PublicKey
    private let group = String(repeating: "5d", count: 16)

    init() throws {
        ann = try NodeKey(secret: [UInt8](repeating: 1, count: 32)).publicKey
        bob = try NodeKey(secret: [UInt8](repeating: 2, count: 32)).publicKey
    }

    private func peer(_ txt: [String: String], at host: String = "10.0.0.2") -> DiscoveredPeer {
        DiscoveredPeer(instanceName: "x", txt: txt, addresses: [host], port: 9, interfaces: [1])
    }

    @Test func memberIsRecognisedByWhoHasItsKeyAndByNobodyElse() throws {
        let record = Announcements().record(of: ann, group: group)
        #expect(Announcements.owner(of: peer(record), among: [bob, ann], group: group) == ann)
        #expect(Announcements.owner(of: peer(record), among: [bob], group: group) == nil)
        #expect(Announcements.owner(of: peer(record), among: [], group: group) == nil)
        // Whoever knows the key alone, as everybody does who ever connected, knows nothing.
        let otherGroup = String(repeating: "5e", count: 16)
        #expect(Announcements.owner(of: peer(record), among: [ann], group: otherGroup) == nil)
        // Nothing in it is a name of the node, its key, or the same as last time.
        let again = Announcements()
        let other = again.record(of: ann, group: group)
        #expect(record["tag"] != other["tag"] && record["salt"] != other["salt"])
        let names = [Announcements(), again].map { $0.instanceName(of: ann, group: group) }
        #expect(names[0] != names[1])
        let shown = record.values.joined() + names[1]
        for secret in [ann.node, ann.node.prefix(8).description, ann.hex, ann.fingerprint, group] {
            #expect(!shown.contains(secret))
        }
        #expect(Set(record.keys) == ["salt", "tag", "proto"])
        // And what it announces can be announced.
        _ = try ServiceAnnouncement(instanceName: names[1], port: 1, txt: record)
    }

    /// A hint for which look comes first; a stranger can repeat a name, and make none.
    @Test func namesOfMembersAreKnownBeforeAnyLook() {
        let known = Acquaintances()
        let names = (0..<5).map { _ in Announcements().instanceName(of: ann, group: group) }
        #expect(!known.mayBe(names[0]))
        known.know([bob, ann], group: group)
        for name in names {
            #expect(known.mayBe(name))
            for other in [
                "\(name) #2", name + "00", String(name.dropLast(2)), "zz" + name.dropFirst(2),
            ] {
                #expect(!known.mayBe(other), "\(other)")
            }
        }
        #expect(!known.mayBe(String(names[0].prefix(16)) + String(names[1].suffix(16))))
        known.know([ann], group: String(repeating: "5e", count: 16))
        #expect(!known.mayBe(names[0]))
        known.know([bob], group: group)
        #expect(!known.mayBe(names[0]))
    }

    /// Who has an open invitation finds its giver by it, and nobody else finds anything.
    @Test func giverOfAnInvitationIsFoundByIt() throws {
        let keys = (0..<8).map { _ in try? NodeKey().publicKey }.compactMap(\.self)
        let own = Announcements()
        let record = own.record(of: ann, group: group, invitations: keys)
        for (place, key) in keys.enumerated() {
            #expect(
                Announcements.isInvited(by: peer(record), key)
                    == (place < Announcements.invitationsMax))
        }
        #expect(!Announcements.isInvited(by: peer(record), bob))
        #expect(!Announcements.isInvited(by: peer(own.record(of: ann, group: group)), keys[0]))
        #expect(!Announcements.isInvited(by: peer(["inv": record["inv"] ?? ""]), keys[0]))
        // It fits, and is another text under another salt.
        _ = try ServiceAnnouncement(
            instanceName: own.instanceName(of: ann, group: group), port: 1, txt: record)
        let other = Announcements().record(of: ann, group: group, invitations: keys)
        #expect(other["inv"] != record["inv"])
    }

    /// That it may be asked is all that it says, and only while it may.
    @Test func whoIsOpenToBeAskedSaysSo() throws {
        let own = Announcements()
        let record = own.record(of: ann, group: group, isOpen: true)
        #expect(Announcements.isOpen(peer(record)))
        #expect(Set(record.keys) == ["salt", "tag", "proto", "ask"] && record["ask"] == "1")
        #expect(!Announcements.isOpen(peer(own.record(of: ann, group: group))))
        #expect(!Announcements.isOpen(peer(["ask": ""])))
        let keys = (0..<8).map { _ in try? NodeKey().publicKey }.compactMap(\.self)
        _ = try ServiceAnnouncement(
            instanceName: own.instanceName(of: ann, group: group), port: 1,
            txt: own.record(of: ann, group: group, invitations: keys, isOpen: true))
    }

    @Test func wrongTagsAndMalformedOnesAreNobodys() {
        let record = Announcements().record(of: ann, group: group)
        let (salt, tag) = (record["salt"] ?? "", record["tag"] ?? "")
        let saltOfAnother = Announcements().record(of: ann, group: group)["salt"] ?? ""
        for txt in [
            [:], ["tag": tag], ["salt": salt], ["salt": salt, "tag": ""], ["salt": "", "tag": tag],
            ["salt": salt, "tag": String(tag.dropLast(2))], ["salt": salt, "tag": tag + "00"],
            ["salt": String(salt.dropLast(2)), "tag": tag], ["salt": salt + "00", "tag": tag],
            ["salt": saltOfAnother, "tag": tag], ["salt": "zz" + salt.dropFirst(2), "tag": tag],
            ["salt": salt, "tag": "g" + tag.dropFirst()],
            ["salt": salt.dropLast() + "", "tag": tag],
            ["salt": tag, "tag": salt], ["node": ann.node, "group": "g"],
        ] {
            #expect(
                Announcements.owner(of: peer(txt), among: [ann, bob], group: group) == nil, "\(txt)"
            )
        }
    }

    /// Ann's own words, said at other addresses: a dial or two more, whose handshakes fail there; where she
    /// was reached before is kept, however many there are.
    @Test func copiedTagCostsDialsAndLosesNoAddressThatWorked() throws {
        var book = PeerBook(node: "me")
        book.members = ["me": .writer, ann.node: .writer]
        let real = PeerAddress(host: "10.0.0.2", port: 9)
        book.discovered(node: ann.node, name: "", addresses: [real], now: 0)
        let dials = book.takeDials(now: 1_000)
        let dialed = dials.first.flatMap { book.connected($0.id) }
        let record = try #require(dialed)
        _ = book.identified(
            dialed: record, as: ann.node, name: "ann", address: real, now: 1_000)
        for number in 0..<1_000 {
            let copy = peer(
                Announcements().record(of: ann, group: group),
                at: "10.66.\(number / 250).\(number % 250)")
            let owner = try #require(Announcements.owner(of: copy, among: [ann], group: group))
            book.discovered(
                node: owner.node, name: "",
                addresses: copy.addresses.map { PeerAddress(host: $0, port: copy.port) }, now: 2_000
            )
        }
        book.closed(
            record, reason: "gone", refusal: nil, isConnectedElsewhere: false, heldFor: 60_000,
            now: 3_000, jitter: 0)
        let later = book.takeDials(now: 1_000_000)
        let again = try #require(later.first)
        #expect(again.addresses.first == real)
        #expect(again.addresses.count == SyncLimits.addressesMax)
        let more = book.takeDials(now: 2_000_000)
        #expect(more.isEmpty, "one peer is one dial")
        // Who is no member is not dialled, whatever it announces.
        book.discovered(node: bob.node, name: "", addresses: [real], now: 4_000)
        let others = book.takeDials(now: 3_000_000)
        #expect(others.isEmpty)
    }

    @Test func linesOfTheLogAreOneLineEach() {
        let name = "x\n2026-01-01T00:00:00Z error all is lost\u{1b}[2J\u{9b}31m\u{202e}\r"
        let line = Log.onOneLine("connected with \(name)")
        #expect(
            line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f..<0xa0).contains($0.value) }
        )
        #expect(!line.contains("\u{202e}"))
        #expect(Log.onOneLine("Büro → gut") == "Büro → gut")
    }
}
