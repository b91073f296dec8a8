// When to dial whom: back-off, resets, addresses, neighbours. The book is fed through an engine, as
// the node feeds it.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Testing

@Suite struct PeerBookTests {
    private final class Dialler {
        let engine: SyncEngine
        var now: Milliseconds = 1_000

        init(node: String = "m", seed: UInt64 = 1) {
            var random = SeededGenerator(seed: seed)
            engine = SyncEngine(
                configuration: SyncConfiguration(
                    node: node, group: "g", name: node, run: 1, listenPort: 1),
                replica: MemoryReplica(nextOrigin: { .random(using: &random) }),
                random: { random.next() }, isRetryable: { _ in false })
        }

        func update(_ change: (inout PeerBook) -> Void) { engine.updateBook(now, change) }

        func discover(_ node: String, _ hosts: [String] = ["10.0.0.1"]) {
            update {
                $0.discovered(
                    node: node, name: node,
                    addresses: hosts.map { PeerAddress(host: $0, port: 7) }, now: now)
            }
        }

        /// Waits for the next dial and lets it fail; returns how long it took to come.
        func failNext() -> Milliseconds {
            let start = now
            while true {
                let dials = engine.takeDials(now)
                if let dial = dials.first {
                    engine.dialFailed(dial.id, reason: "no route", now: now)
                    return now - start
                }
                guard let next = engine.nextDeadline, next > now else { return -1 }
                now = next
            }
        }
    }

    @Test func delaysDoubleUpToAQuarterOfAnHour() {
        let dialler = Dialler()
        dialler.update { $0.add(fixed: PeerAddress(host: "h", port: 1)) }
        #expect(dialler.failNext() == 0)
        for attempt in 0..<14 {
            let delay = dialler.failNext()
            let base = min(900_000, Milliseconds(1_000) << attempt)
            #expect((base..<base + 1_000).contains(delay), "attempt \(attempt)")
        }
        let status = dialler.engine.peersStatus(dialler.now).first
        #expect(status?.state == .unreachable)
        #expect(status?.retries == 15)
        #expect(status?.lastError == "no route")
        #expect((status?.nextTryAt ?? 0) > dialler.now)
    }

    @Test func aPersonAndADiscoveryEndTheWait() {
        let dialler = Dialler(node: "a")
        dialler.discover("x")
        #expect(dialler.failNext() == 0)
        for _ in 0..<6 { _ = dialler.failNext() }
        dialler.engine.syncNow(dialler.now)
        #expect(dialler.failNext() == 0)
        for _ in 0..<6 { _ = dialler.failNext() }
        // The same announcement again is no news; a return after it went away is.
        dialler.discover("x")
        #expect(dialler.failNext() > 30_000)
        dialler.update { $0.lost(node: "x") }
        dialler.discover("x")
        #expect(dialler.failNext() == 0)
        for _ in 0..<6 { _ = dialler.failNext() }
        dialler.discover("x", ["10.0.0.2"])
        #expect(dialler.failNext() == 0)
    }

    @Test func ofTwoThatFindEachOtherOneDialsFirst() {
        let small = Dialler(node: "a")
        let great = Dialler(node: "z")
        small.discover("m")
        great.discover("m")
        #expect(small.failNext() == 0)
        #expect(great.failNext() == SyncLimits.politenessMilliseconds)
    }

    @Test func theNodeItselfIsNotDialled() {
        let dialler = Dialler(node: "m")
        dialler.discover("m")
        #expect(dialler.engine.takeDials(dialler.now).isEmpty)
        #expect(dialler.engine.peersStatus(dialler.now).isEmpty)
    }

    @Test func familiesAlternateAndAnnouncedAddressesComeFirst() {
        let dialler = Dialler(node: "a")
        dialler.update {
            $0.restore([
                RememberedPeer(
                    node: "x", name: "X", addresses: [PeerAddress(host: "10.9.9.9", port: 7)])
            ])
        }
        dialler.discover("x", ["10.0.0.1", "10.0.0.2", "fe80::1%eth0", "fd00::2"])
        let order = dialler.engine.takeDials(dialler.now).first?.addresses.map(\.host)
        #expect(order == ["10.0.0.1", "fe80::1%eth0", "10.0.0.2", "fd00::2", "10.9.9.9"])
    }

    @Test func whatIsRememberedComesBack() {
        let dialler = Dialler(node: "a")
        dialler.discover("x", ["10.0.0.2", "10.0.0.1"])
        dialler.discover("b")
        let remembered = dialler.engine.book.remembered
        #expect(remembered.map(\.node) == ["b", "x"])

        let next = Dialler(node: "a")
        next.update { $0.restore(remembered) }
        #expect(next.engine.takeDials(next.now).map(\.node) == ["b", "x"])
        #expect(next.engine.book.remembered == remembered)
    }

    @Test func aKnownAddressIsOnePeerHoweverItWasFound() {
        let dialler = Dialler(node: "a")
        dialler.update { $0.add(fixed: PeerAddress(host: "10.0.0.1", port: 7)) }
        dialler.discover("x")
        #expect(dialler.engine.peersStatus(dialler.now).count == 1)
        #expect(dialler.engine.takeDials(dialler.now).count == 1)
    }

    @Test func thousandsOfAnnouncementsAreBounded() {
        let dialler = Dialler(node: "a")
        dialler.update { book in
            for index in 0..<(SyncLimits.peersMax + 10) {
                book.restore([
                    RememberedPeer(
                        node: "n\(index)", name: "",
                        addresses: [PeerAddress(host: "h\(index)", port: 1)])
                ])
            }
            for index in 0..<100 { book.add(fixed: PeerAddress(host: "f\(index)", port: 1)) }
        }
        #expect(dialler.engine.peersStatus(dialler.now).count == SyncLimits.peersMax)
        dialler.discover("n1", (0..<100).map { "10.0.0.\($0)" })
        let status = dialler.engine.peersStatus(dialler.now).first { $0.node == "n1" }
        #expect(status?.addresses.count == SyncLimits.addressesMax)
        #expect(dialler.engine.takeDials(dialler.now).count <= SyncLimits.dialsMax)
    }

    @Test func aLargeGroupIsAConnectedGraphOfFewLinks() {
        var random = SeededGenerator(seed: 3)
        let names = (0..<120).map { _ in String(random.next(), radix: 16) }
        var links: [String: Set<String>] = [:]
        for name in names {
            let dialler = Dialler(node: name)
            dialler.update { book in
                book.restore(
                    names.map {
                        RememberedPeer(
                            node: $0, name: $0, addresses: [PeerAddress(host: $0, port: 1)])
                    })
            }
            for dial in dialler.engine.takeDials(dialler.now) {
                guard let other = dial.node else { continue }
                links[name, default: []].insert(other)
                links[other, default: []].insert(name)
            }
        }
        var reached: Set<String> = [names[0]]
        var front = [names[0]]
        var rounds = 0
        while !front.isEmpty {
            front = front.flatMap { links[$0] ?? [] }.filter { reached.insert($0).inserted }
            rounds += 1
        }
        #expect(reached.count == names.count)
        #expect(rounds <= 8)
        let average = Double(links.values.reduce(0) { $0 + $1.count }) / Double(names.count)
        #expect((6.0...8.0).contains(average))
    }

    /// An address is one member's at a time: who answered there has it from now on.
    @Test func addressGoesToWhoAnsweredThere() {
        let dialler = Dialler()
        let (stale, good) = (
            PeerAddress(host: "10.0.0.1", port: 7), PeerAddress(host: "h", port: 7)
        )
        dialler.discover("x", [stale.host, good.host])
        dialler.update { $0.answered(by: "y", at: stale, insteadOf: "x") }
        let dials = dialler.engine.takeDials(dialler.now + 10_000)
        #expect(dials.first { $0.node == "x" }?.addresses == [good])
        #expect(dials.first { $0.node == "y" }?.addresses == [stale])
        // Of somebody unknown, or of the member itself, nothing is said by it.
        dialler.update {
            $0.answered(by: "y", at: good, insteadOf: "nobody")
            $0.answered(by: "x", at: good, insteadOf: "x")
        }
        #expect(dialler.engine.book.remembered.first { $0.node == "x" }?.addresses == [good])
    }
}
