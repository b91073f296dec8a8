// The TXT record and the rules of the announcement: what we write is sound, and nothing that a
// stranger writes does harm.

import TestKit
import Testing

@testable import Discovery

@Suite struct TXTRecordTests {
    @Test func roundTrip() {
        let pairs = ["v": "1", "group": "a1b2", "empty": "", "with": "a=b=c"]
        #expect(TXTRecord.decode(TXTRecord.encode(pairs)) == pairs)
        #expect(TXTRecord.encode([:]) == [0])
        #expect(TXTRecord.decode([0]) == [:])
        #expect(TXTRecord.decode([]) == [:])
    }

    @Test func orderOnTheWireIsFixed() {
        #expect(TXTRecord.encode(["b": "2", "a": "1"]) == Array("\u{3}a=1\u{3}b=2".utf8))
    }

    @Test(arguments: [
        [255, 1, 2],  // a length beyond the end
        [3, 0xc3, 0x28, 0x3d],  // no UTF-8
        [2, 0x3d, 0x61],  // no key
        [4, 0x61, 0x3d, 0x1b, 0x5b],  // a control character
        [0, 0, 0, 0],
    ])
    func malformedIsLeftOut(_ bytes: [UInt8]) {
        #expect(TXTRecord.decode(bytes) == [:])
        // What stands before it is kept.
        #expect(TXTRecord.decode([3, 0x41, 0x3d, 0x31] + bytes) == ["a": "1"])
    }

    @Test func readingIsBounded() {
        let many = (0..<200).flatMap { number -> [UInt8] in
            let text = Array("k\(number)=v".utf8)
            return [UInt8(text.count)] + text
        }
        #expect(TXTRecord.decode(many).count == DiscoveryLimits.txtPairsMax)
        let long = [[UInt8]](repeating: [255] + [UInt8](repeating: 0x61, count: 255), count: 100)
        #expect(TXTRecord.decode(long.flatMap { $0 }).count == 1)
    }

    @Test func anyBytesAreRead() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let bytes = (0..<generator.below(64)).map { _ in UInt8(generator.below(256)) }
            for (key, value) in TXTRecord.decode(bytes) {
                #expect(TXTRecord.isKey(key), "seed \(seed)")
                #expect(value.utf8.allSatisfy { $0 >= 0x20 }, "seed \(seed)")
            }
        }
    }

    @Test func announcementsThatCannotWorkAreRefused() throws {
        let good = try ServiceAnnouncement(instanceName: "a1b2", port: 1, txt: ["v": "1"])
        #expect(good.txt == ["v": "1"])
        func refused(_ name: String, _ port: UInt16, _ txt: [String: String]) -> Bool {
            do {
                _ = try ServiceAnnouncement(instanceName: name, port: port, txt: txt)
                return false
            } catch {
                return error.code == .announcement
            }
        }
        #expect(refused("", 1, [:]))
        #expect(refused(String(repeating: "x", count: 64), 1, [:]))
        #expect(refused("a\nb", 1, [:]))
        #expect(refused("a", 0, [:]))
        #expect(refused("a", 1, ["": "1"]))
        #expect(refused("a", 1, ["k=": "1"]))
        #expect(refused("a", 1, ["k": String(repeating: "x", count: 254)]))
        let long = String(repeating: "x", count: 200)
        #expect(refused("a", 1, ["k": long, "l": long]))
    }

    @Test func relationsBetweenLimits() {
        #expect(DiscoveryLimits.txtAnnouncedBytesMax < DiscoveryLimits.txtReadBytesMax)
        #expect(DiscoveryLimits.lookupLingerMs < DiscoveryLimits.lookupMs)
        #expect(DiscoveryLimits.addressSettleMs < DiscoveryLimits.lookupLingerMs)
        #expect(DiscoveryLimits.lookupMs < DiscoveryLimits.unreachedLookupMs)
        #expect(DiscoveryLimits.unreachedLookupMs < DiscoveryLimits.browseUnreachedMs)
        #expect(DiscoveryLimits.browseConfirmMs < DiscoveryLimits.browseUnreachedMs)
        #expect(DiscoveryLimits.lookupMs < DiscoveryLimits.callBlockedMs)
        #expect(DiscoveryLimits.callBlockedMs < 25_000)
        // Two references for good, and per lookup a resolve and a query for each address family.
        #expect(2 + 3 * DiscoveryLimits.lookupsMax < 256 / 8)
    }
}
