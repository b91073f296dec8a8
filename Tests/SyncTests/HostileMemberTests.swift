// What a member that means harm can say, and what comes of it: lies about vectors and numbers, forged
// changes, far-off clocks, floods and bombs.

import CausalModel
import Codec
import SQLite
import Store
import Sync
import TestKit
import Testing
import Wire

@Suite struct HostileMemberTests {
    private static let bob = Origin(high: 0xb0b, low: 1)

    // MARK: The victim's own origin

    /// A node believes a few times that it was rolled back, by whatever way it is told: in a statement, in
    /// the header of a delta, by rows, by using its origin, by a goodbye. Then it believes no more.
    @Test(arguments: ["statement", "header", "end", "rows", "clash", "goodbye"])
    func liesAboutTheVictimsOriginCostAFewOriginsAndNoMore(way: String) throws {
        var first: Origin?
        let mal = try HostileMember(as: {
            first = $0
            // Dots of the victim's origin, which it never gave.
            return way == "rows" ? $0 : Origin(high: 1, low: 2)
        })
        if way == "rows" || way == "header" {
            for number in 0..<5 {
                try mal.pen.execute("INSERT INTO tasks VALUES('forged\(number)', 'x', NULL)")
            }
        }
        var origins: Set<Origin> = [mal.victim.origin]
        for _ in 0..<12 {
            let own = mal.victim.origin
            let claim = VersionVector([(own, 1 << 50)])
            switch way {
            case "statement": mal.connect(stating: claim)
            case "header":
                mal.connect(from: Origin(high: 1, low: 2))
                try mal.sayMine(snapshot: claim)
            case "end":
                mal.connect()
                mal.sayEmpty(claim)
            case "rows":
                // Said under another name than the one that its rows have.
                mal.connect(from: Origin(high: 3, low: 4))
                try mal.sayMine(snapshot: VersionVector([(Self.bob, UInt64(1))]))
            case "clash": mal.connect(from: own)
            default:
                mal.greet(from: own)
                mal.say(.goodbye(GoodbyeMessage(.originClash, "the same origin")))
            }
            mal.advance(1_000)
            origins.insert(mal.victim.origin)
        }
        #expect(first != nil)
        #expect(origins.count > 1, "the lie was not even noticed")
        #expect(origins.count <= SyncLimits.originChangesMax + 2)
        if way != "rows" { #expect(mal.newOrigins == SyncLimits.originChangesMax) }
        #expect(!mal.victim.problems.isEmpty)
        try mal.expectSound()
    }

    // MARK: Others' origins

    /// It can say that it brings all of bob's changes and bring none: whoever believes it never asks bob
    /// for them. That cannot be prevented without signed changes, but it is seen as soon as bob speaks.
    @Test func changesOfAnotherThatAreClaimedAndWithheldAreSeen() throws {
        let mal = try HostileMember()
        mal.connect()
        mal.sayEmpty(VersionVector([(Self.bob, UInt64(3))]))
        #expect(mal.victim.vector[Self.bob] == 3)
        let own = try mal.victim.summary()
        mal.say(.statement(mal.statement(own.vector)))
        mal.advance(1_000)
        #expect(mal.events.contains(.divergence(node: "raw")))
        let status = mal.engine.peersStatus(mal.now)
        #expect(status.first?.isDivergent == true)
        try mal.expectSound()
    }

    @Test func changesForgedUnderAnotherOriginAreAppliedAndKeepNobodyFromWriting() throws {
        let mal = try HostileMember(as: { _ in Self.bob })
        try mal.pen.execute("INSERT INTO tasks VALUES('forged', 'in the name of bob', NULL)")
        mal.connect(from: Origin(high: 3, low: 4))
        try mal.sayMine()
        #expect(!mal.isClosed)
        #expect(try mal.app.string("SELECT title FROM tasks WHERE id = 'forged'") != nil)
        #expect(mal.newOrigins == 0)
        try mal.expectSound()
    }

    @Test func numbersOfTwoToTheSixtiethAreRefusedAndThoseBelowHarmNobody() throws {
        let mal = try HostileMember()
        for number in [UInt64(1) << 60, 1 << 63, .max] {
            mal.connect()
            mal.say(.statement(mal.statement(VersionVector([(Self.bob, number)]))))
            #expect(mal.goodbye?.code == .malformed, "\(number)")
            #expect(mal.isClosed)
            mal.connect()
            mal.sayEmpty(VersionVector([(Self.bob, number)]))
            #expect(mal.goodbye?.code == .malformed, "\(number)")
            #expect(mal.victim.vector[Self.bob] == 0)
        }
        mal.connect()
        mal.sayEmpty(VersionVector([(Self.bob, WireLimits.numberMax)]))
        #expect(mal.victim.vector[Self.bob] == WireLimits.numberMax)
        #expect(!mal.isClosed)
        // Sums of what peers are behind do not overflow.
        var many = VersionVector()
        for index in 0..<40 { many[Origin(high: 9, low: UInt64(index))] = WireLimits.numberMax }
        mal.say(.statement(mal.statement(many)))
        #expect(mal.engine.peersStatus(mal.now).first?.ahead ?? 0 > WireLimits.numberMax)
        try mal.expectSound()
    }

    /// Reproducer: one delta that named 50,000 origins made a vector that no peer would read: the node
    /// could never talk to anybody again.
    @Test func originsWithoutEndAreRefusedBeforeNobodyCanReadTheVector() throws {
        let mal = try HostileMember()
        func made(_ count: Int, _ high: UInt64) -> VersionVector {
            VersionVector((0..<count).map { (Origin(high: high, low: UInt64($0)), 1) })
        }
        mal.connect()
        mal.sayEmpty(made(20_000, 1))
        #expect(mal.victim.vector.entries.count == 20_001, "a large group is none of it")
        for high in UInt64(2)...4 {
            mal.connect()
            mal.sayEmpty(made(WireLimits.vectorOriginsMax - 20_000, high))
        }
        #expect(mal.goodbye?.code == .storeFailed)
        #expect(mal.victim.vector.entries.count < WireLimits.vectorOriginsMax)
        #expect(mal.newOrigins == 0)
        try mal.expectSound()
        // There is room for the origins that this node itself may need.
        #expect(Limits.vectorOriginsMax + 1_000 <= WireLimits.vectorOriginsMax)
    }

    // MARK: Clocks

    @Test func stampsYearsAheadAreAppliedNamedAndNotCatching() throws {
        let mal = try HostileMember()
        try mal.pen.execute(
            """
            INSERT INTO tasks VALUES('far', 'from the future', NULL);
            UPDATE _starling_journal_1 SET at = 2488069.5
            """)
        mal.connect()
        try mal.sayMine()
        #expect(!mal.isClosed)
        #expect(try mal.app.string("SELECT title FROM tasks WHERE id = 'far'") != nil)
        #expect(Array(mal.victim.clockOffenders.keys) == [mal.mine.origin])
        // What saw it wins over it; what did not is dated as ever.
        try mal.app.execute(
            "UPDATE tasks SET title = 'now' WHERE id = 'far'; INSERT INTO tasks(id) VALUES('new')")
        _ = try mal.victim.summary()
        var stamps: [Int64] = []
        try mal.victim.forEachKernel { facts in
            for write in facts.kernel.writes where write.dot.origin == mal.victim.origin {
                stamps.append(write.stamp.milliseconds)
            }
        }
        #expect(stamps.max() ?? 0 > HostileMember.wallClock + 86_400_000)
        #expect(
            stamps.count { $0 <= HostileMember.wallClock + Limits.clockAheadMilliseconds }
                == stamps.count - 1)
        #expect(try mal.app.string("SELECT title FROM tasks WHERE id = 'far'") == "now")
        try mal.expectSound()
    }

    // MARK: Amounts

    /// Ten gigabytes in small frames: what cuts them is the count of frames in a second, whatever is in
    /// them. Reproducer: pieces of a long message were not counted, and empty ones never ended.
    @Test(arguments: ["ping", "part", "empty part", "unknown", "statement"])
    func smallFramesWithoutEndAreCut(kind: String) throws {
        let mal = try HostileMember()
        mal.connect()
        let statement = Message.statement(mal.statement(VersionVector())).encoded
        if kind.hasSuffix("part") { mal.say(bytes: [14, 6]) }
        var sent = 0
        while !mal.isClosed, sent <= SyncLimits.messagesPerSecondMax {
            switch kind {
            case "ping": mal.say(.ping(1))
            case "part": mal.say(bytes: [14, 0])
            case "empty part": mal.say(bytes: [14])
            case "unknown": mal.say(bytes: [200, 1, 2, 3])
            default: mal.say(bytes: statement)
            }
            sent += 1
        }
        #expect(mal.isClosed)
        #expect(mal.goodbye?.code == .flood)
        // So much in each second is taken: it costs as much as it is.
        #expect(sent > 10_000)
        try mal.expectSound()
    }

    @Test func longMessagesEndAtTheirLimit() throws {
        let mal = try HostileMember()
        let piece = [UInt8](repeating: 0, count: WireLimits.frameBytesMax - 1)
        mal.connect()
        // A structure, which may be long, and is longer.
        mal.say(bytes: [14, 3] + piece.dropFirst())
        for _ in 0..<15 { mal.say(bytes: [14] + piece) }
        #expect(!mal.isClosed)
        for _ in 0..<2 { mal.say(bytes: [14] + piece) }
        #expect(mal.goodbye?.code == .tooLarge)
        for kind: UInt8 in [1, 9, 11, 13, 14, 99] {
            mal.connect()
            mal.say(bytes: [14, kind])
            #expect(mal.goodbye?.code == .malformed, "kind \(kind)")
        }
        try mal.expectSound()
    }

    /// A body of a chunk that claims little and unpacks to much, or claims much.
    @Test func bombsAreNotUnpacked() throws {
        let mal = try HostileMember()
        func say(_ packed: [UInt8]) {
            mal.connect()
            var position: [UInt8] = []
            for half in [Self.bob.high, Self.bob.low] {
                position += withUnsafeBytes(of: half.bigEndian) { Array($0) }
            }
            let chunk = CBOR.map([
                .text("z"): .bytes(packed), .text("n"): .unsigned(1),
                .text("p"): .bytes(position + [1]), .text("l"): .bool(true),
            ])
            mal.say(.deltaBegin(mal.header(VersionVector([(Self.bob, UInt64(1))]))))
            mal.say(bytes: [6] + chunk.encoded)
        }
        let large = [UInt8](repeating: 0, count: 64 << 20)
        let bomb = try #require(Zstandard.compress(large))
        #expect(bomb.count < 16_384)
        say(bomb)
        #expect(mal.goodbye?.code == .tooLarge)
        // Two frames one behind the other, of which the first says its size alone.
        let small = try #require(Zstandard.compress([UInt8](repeating: 0, count: 1_000)))
        say(small + bomb)
        #expect(mal.goodbye?.code == .malformed)
        // The size in the header made small: 32 bits of it behind the descriptor.
        var lying = bomb
        #expect(lying[4] & 0xc0 == 0x80)
        let place = lying[4] & 0x20 == 0 ? 6 : 5
        lying.replaceSubrange(place..<(place + 4), with: [100, 0, 0, 0])
        say(lying)
        #expect(mal.goodbye?.code == .malformed)
        try mal.expectSound()
    }
}
