// The line of lookups and the course of one, with time as a parameter.

import Testing

@testable import Discovery

@Suite struct LookupTests {
    private static func target(_ name: String) -> LookupTarget {
        LookupTarget(instanceName: name, interface: 2)
    }

    private static let location = ServiceLocation(host: "h.local", port: 9, txt: [:], interface: 2)

    @Test func onlyAFewRunAndUrgentOnesGoFirst() {
        var queue = LookupQueue()
        for name in ["a", "b", "c", "d", "e"] {
            queue.enqueue(Self.target(name), .again, urgent: false)
        }
        queue.enqueue(Self.target("z"), .fresh, urgent: true)
        queue.enqueue(Self.target("e"), .fresh, urgent: true)
        queue.enqueue(Self.target("e"), .fresh, urgent: true)
        var names: [String] = []
        while let next = queue.next() { names.append(next.target.instanceName) }
        #expect(names == ["z", "e", "a", "b"])
        #expect(queue.running.count == DiscoveryLimits.lookupsMax)
        queue.finish(Self.target("z"))
        #expect(queue.next()?.target == Self.target("c"))
    }

    @Test func whatRunsIsAskedAgainAfterwards() {
        var queue = LookupQueue()
        queue.enqueue(Self.target("a"), .fresh, urgent: true)
        _ = queue.next()
        queue.enqueue(Self.target("a"), .again, urgent: true)
        #expect(queue.next() == nil)
        queue.finish(Self.target("a"))
        let next = queue.next()
        #expect(next?.target == Self.target("a") && next?.kind == .again)
    }

    @Test func theLineIsBounded() {
        var queue = LookupQueue()
        for number in 0..<10_000 { queue.enqueue(Self.target("\(number)"), .again, urgent: false) }
        var count = 0
        while let next = queue.next() {
            queue.finish(next.target)
            count += 1
        }
        #expect(count == DiscoveryLimits.lookupsQueuedMax)
        #expect(queue.isEmpty)
    }

    @Test func addressesSettleBeforeTheAnswer() {
        var progress = LookupProgress(kind: .fresh, now: 0)
        #expect(progress.located(Self.location, now: 5) == .query(host: "h.local", interface: 2))
        #expect(!progress.listensForLocation)
        progress.address("fe80::1%2", added: true, now: 10)
        progress.address("10.0.0.2", added: true, now: 20)
        progress.address("10.0.0.2", added: true, now: 69)
        #expect(progress.takeAnswer(now: 69) == nil)
        #expect(progress.nextDue == 70)
        let answer = progress.takeAnswer(now: 70)
        #expect(answer?.addresses == ["10.0.0.2", "fe80::1%2"])
        #expect(progress.isFinished(now: 70))
    }

    @Test func aRepeatedLookupListensPastACachedAnswer() {
        var progress = LookupProgress(kind: .again, now: 0)
        _ = progress.located(Self.location, now: 0)
        progress.address("10.0.0.2", added: true, now: 0)
        #expect(progress.takeAnswer(now: 50)?.port == 9)
        #expect(!progress.isFinished(now: 50))
        var moved = Self.location
        moved.port = 10
        #expect(progress.located(moved, now: 200) == .nothing, "the addresses are known")
        #expect(progress.takeAnswer(now: 250)?.port == 10)
        #expect(progress.isFinished(now: DiscoveryLimits.lookupLingerMs))
    }

    @Test func silenceEndsALookup() {
        var progress = LookupProgress(kind: .fresh, now: 0)
        var nowhere = Self.location
        nowhere.port = 0
        #expect(progress.located(nowhere, now: 0) == .nothing)
        #expect(!progress.isFinished(now: DiscoveryLimits.lookupMs - 1))
        #expect(progress.isFinished(now: DiscoveryLimits.lookupMs))
        #expect(progress.delivered == nil)
    }

    @Test func addressesAsText() {
        func text(_ bytes: [UInt8], _ kind: HostAddress.Kind) -> String? {
            bytes.withUnsafeBytes { HostAddress.text($0, kind, interface: 3) }
        }
        #expect(text([10, 0, 0, 2], .four) == "10.0.0.2")
        #expect(text([0, 0, 0, 0], .four) == nil)
        #expect(text([224, 0, 0, 251], .four) == nil)
        #expect(text([10, 0, 0], .four) == nil)
        #expect(text([UInt8](repeating: 1, count: 15), .six) == nil)
        let linkLocal: [UInt8] = [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1]
        #expect(text(linkLocal, .six) == "fe80::1%3")
        let global: [UInt8] = [0x20, 0x01] + [UInt8](repeating: 0, count: 13) + [1]
        #expect(text(global, .six) == "2001::1")
        #expect(text([UInt8](repeating: 0, count: 16), .six) == nil)
    }
}
