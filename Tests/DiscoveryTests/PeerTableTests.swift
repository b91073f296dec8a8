// The peer table without any network: events, answers and the time go in, and what it wants to do
// and to tell comes out.

import TestKit
import Testing

@testable import Discovery

@Suite struct PeerTableTests {
    private static let answer = LookupAnswer(
        port: 9, txt: ["v": "1"], addresses: ["10.0.0.2", "fe80::1%2"], interface: 2)

    private static func target(_ name: String, _ interface: UInt32) -> LookupTarget {
        LookupTarget(instanceName: name, interface: interface)
    }

    private static func peer(_ answers: LookupAnswer...) -> PeerTable.Effect {
        .tell(
            .appeared(
                DiscoveredPeer(
                    instanceName: "b", txt: answers[0].txt,
                    addresses: answers.flatMap(\.addresses), port: answers[0].port,
                    interfaces: answers.map(\.interface))))
    }

    private static func shown() -> PeerTable {
        var table = PeerTable(ownName: "a")
        _ = table.sighted("b", interface: 2)
        _ = table.answered(target("b", 2), answer)
        return table
    }

    @Test func eventsAreCountedPerInterface() {
        var table = PeerTable(ownName: "a")
        let once: [PeerTable.Effect] = [.lookUp(Self.target("b", 2), .fresh, urgent: true)]
        #expect(table.sighted("b", interface: 2) == once)
        #expect(table.sighted("b", interface: 2) == [], "IPv6 after IPv4")
        #expect(table.answered(Self.target("b", 2), Self.answer) == [Self.peer(Self.answer)])
        #expect(table.lost("b", interface: 2) == [], "one protocol is left")
        #expect(table.lost("b", interface: 7) == [], "never seen there")
        #expect(table.lost("b", interface: 2) == [.tell(.disappeared(instanceName: "b"))])
        #expect(table.lost("b", interface: 2) == [])
        #expect(table.count == 0)
    }

    @Test func interfacesOfOneInstanceAreMerged() {
        var table = Self.shown()
        _ = table.sighted("b", interface: 1)
        let other = LookupAnswer(
            port: 9, txt: ["v": "1"], addresses: ["192.168.0.2", "10.0.0.2"], interface: 1)
        let merged = DiscoveredPeer(
            instanceName: "b", txt: ["v": "1"],
            addresses: ["192.168.0.2", "10.0.0.2", "fe80::1%2"], port: 9, interfaces: [1, 2])
        #expect(table.answered(Self.target("b", 1), other) == [.tell(.appeared(merged))])
        #expect(table.lost("b", interface: 1) == [Self.peer(Self.answer)])
    }

    @Test func ownAndUnusableNamesAreDropped() {
        var table = PeerTable(ownName: "a")
        for name in ["a", "", "x\u{1b}[2J", String(repeating: "x", count: 64)] {
            #expect(table.sighted(name, interface: 2) == [])
            #expect(table.resolve(name) == [])
        }
        table.addOwnName("a #2")
        #expect(table.sighted("a #2", interface: 2) == [])
        #expect(table.count == 0)
    }

    @Test func anAnswerIsToldOnceAndAfterSilence() {
        var table = Self.shown()
        #expect(table.answered(Self.target("b", 2), Self.answer) == [])
        var moved = Self.answer
        moved.port = 10
        #expect(table.answered(Self.target("b", 2), moved) == [Self.peer(moved)])
        #expect(table.failed(Self.target("b", 2), now: 0) == [])
        #expect(table.answered(Self.target("b", 2), moved) == [Self.peer(moved)])
    }

    @Test func resolveAsksEveryKnownInterfaceOrAny() {
        var table = Self.shown()
        _ = table.sighted("b", interface: 1)
        #expect(
            table.resolve("b") == [
                .lookUp(Self.target("b", 1), .again, urgent: true),
                .lookUp(Self.target("b", 2), .again, urgent: true),
            ])
        #expect(table.resolve("c") == [.lookUp(Self.target("c", 0), .again, urgent: true)])
        #expect(table.failed(Self.target("c", 0), now: 0) == [])
        #expect(table.count == 1, "an instance that only a question made is forgotten")
    }

    @Test func failedLookupsAreRepeatedMoreAndMoreSeldom() throws {
        var table = PeerTable(ownName: nil)
        _ = table.sighted("b", interface: 2)
        var now: Int64 = 0
        var pauses: [Int64] = []
        for _ in 0..<12 {
            #expect(table.failed(Self.target("b", 2), now: now) == [])
            let due = try #require(table.nextDue)
            pauses.append(due - now)
            now = due
            let again = PeerTable.Effect.lookUp(Self.target("b", 2), .again, urgent: false)
            #expect(table.tick(now: now) == [again])
        }
        #expect(pauses.prefix(4) == [1000, 2000, 4000, 8000])
        #expect(pauses.last == DiscoveryLimits.lookupRetryMsMax)
    }

    @Test func unreachedAreLookedUpThoughNotAnnounced() {
        var table = Self.shown()
        table.browseOpened(now: 0)
        _ = table.sighted("b", interface: 2)
        table.setUnreached(["a", "b", "z"], now: 0)
        let due = DiscoveryLimits.unreachedLookupMs
        #expect(table.tick(now: due - 1) == [])
        let effects = table.tick(now: due)
        #expect(effects.contains(.lookUp(Self.target("z", 0), .again, urgent: false)))
        #expect(effects.contains(.lookUp(Self.target("b", 2), .again, urgent: false)))
        #expect(!effects.contains(.lookUp(Self.target("a", 0), .again, urgent: false)))
        #expect(table.tick(now: DiscoveryLimits.browseUnreachedMs).contains(.browseAgain))
        table.setUnreached([], now: 0)
        table.browseOpened(now: 0)
        _ = table.sighted("b", interface: 2)
        #expect(table.nextDue == DiscoveryLimits.browseIdleMs)
    }

    @Test func afterAFreshBrowseWhatIsNotSeenDisappears() {
        var table = Self.shown()
        _ = table.sighted("c", interface: 2)
        _ = table.answered(Self.target("c", 2), Self.answer)
        table.browseOpened(now: 100)
        _ = table.sighted("b", interface: 2)
        #expect(
            table.tick(now: 100 + DiscoveryLimits.browseConfirmMs)
                == [.tell(.disappeared(instanceName: "c"))])
        #expect(table.count == 1)
    }

    /// Reproducer: an instance that did not answer while a fresh browse was under way was forgotten, and
    /// nobody was told: its owner kept it for ever, and any number of them.
    @Test func whatIsForgottenIsToldToHaveDisappeared() {
        var table = Self.shown()
        table.browseOpened(now: 0)
        let gone = PeerTable.Effect.tell(.disappeared(instanceName: "b"))
        #expect(table.failed(Self.target("b", 2), now: 1) == [gone])
        #expect(table.tick(now: DiscoveryLimits.browseConfirmMs) == [])
        #expect(table.count == 0)
    }

    /// A responder that answers everything, under thousands of names, for hours: what is told to the owner
    /// and not taken back stays within the bound, and so does what is looked up.
    /// Reproducer: whoever answered under a thousand names kept everybody else out of the table, and a
    /// member behind thousands of lookups.
    @Test func strangersMakeRoomForWhoIsWanted() {
        var table = PeerTable(ownName: "a", isWanted: { $0.hasPrefix("member") })
        for number in 0..<DiscoveryLimits.instancesMax {
            let name = "s\(number)"
            let effects = table.sighted(name, interface: 2)
            #expect(effects == [.lookUp(Self.target(name, 2), .fresh, urgent: false)])
            #expect(table.answered(Self.target(name, 2), Self.answer).count == 1)
        }
        #expect(table.sighted("late", interface: 2) == [], "a stranger makes no stranger go")
        let effects = table.sighted("member", interface: 2)
        #expect(effects.count == 2)
        guard case .tell(.disappeared(let gone)) = effects.first else {
            Issue.record("nobody made room: \(effects)")
            return
        }
        #expect(gone.hasPrefix("s"))
        #expect(effects.last == .lookUp(Self.target("member", 2), .fresh, urgent: true))
        // It is not the one that goes, though it has not answered.
        #expect(table.sighted("later", interface: 2) == [])
        #expect(table.failed(Self.target("member", 2), now: 0) == [])
        let again = table.tick(now: DiscoveryLimits.lookupRetryMsMin)
        #expect(again == [.lookUp(Self.target("member", 2), .again, urgent: true)])
        #expect(table.answered(Self.target("member", 2), Self.answer).count == 1)
        #expect(table.count == DiscoveryLimits.instancesMax)
    }

    @Test func responderThatAnswersEverythingStaysWithinBounds() {
        var table = PeerTable(ownName: "a")
        var random = SeededGenerator(seed: 12)
        var held: Set<String> = []
        var most = 0
        var now: Int64 = 0
        func take(_ effects: [PeerTable.Effect]) {
            for case .tell(let event) in effects {
                switch event {
                case .appeared(let peer): held.insert(peer.instanceName)
                case .disappeared(let name): held.remove(name)
                default: break
                }
            }
        }
        for step in 0..<20_000 {
            let name = "s\(step < 2_000 ? step : random.below(20_000))"
            switch random.below(8) {
            case 0...2: take(table.sighted(name, interface: UInt32(1 + random.below(3))))
            case 3, 4:
                _ = table.sighted(name, interface: 2)
                take(table.answered(Self.target(name, 2), Self.answer))
            case 5: take(table.lost(name, interface: 2))
            case 6: take(table.failed(Self.target(name, 2), now: now))
            default:
                now += 100
                if random.chance(1, in: 20) { table.browseOpened(now: now) }
                take(table.tick(now: now))
            }
            most = max(most, table.count, held.count)
        }
        #expect(most <= DiscoveryLimits.instancesMax)
        #expect(held.count > 100, "it was no attack")
    }

    @Test func theTableIsBoundedAndKeepsPeersBeforeStrangers() {
        var table = Self.shown()
        for number in 0..<5000 { _ = table.sighted("s\(number)", interface: 2) }
        #expect(table.count == DiscoveryLimits.instancesMax)
        #expect(table.lost("b", interface: 2) == [.tell(.disappeared(instanceName: "b"))])
        for interface in UInt32(10)..<100 { _ = table.sighted("x", interface: interface) }
        let lookUps = table.resolve("x").count
        #expect(lookUps == DiscoveryLimits.interfacesPerInstanceMax)
    }
}
