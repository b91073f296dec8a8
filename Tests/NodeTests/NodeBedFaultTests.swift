// What a network does to nodes that find each other by themselves, while foreign programs write on
// every machine: halves, one-way cables, loss, delay, daemons that go, addresses that change.

import Node
import Testing

@Suite(
    .fewAtOnce, .enabled(if: NodeBed.isAvailable, "needs the bed; the reason is on stderr"),
    .timeLimit(.minutes(20)))
struct NodeBedFaultTests {
    /// The switch in user space, which can lose and delay single frames in one direction.
    private static let switchInUserSpace = ["BED_SWITCH": "user"]

    private func link(
        _ bed: NodeBed, _ from: String, _ to: String, delay: Int = 0, jitter: Int = 0, loss: Int = 0
    ) async throws {
        try await bed.run("link", from, to, "\(delay)", "\(jitter)", "\(loss)", "0", "0")
    }

    /// Minutes in the long mode; in CI as long as it takes until the others miss it (30 s).
    @Test func partitionForMinutesHeals() async throws {
        let cluster = try await BedCluster()
        let (ann, cid) = (cluster.nodes[0], cluster.nodes[2])
        try await cluster.start()
        try await cluster.bed.run("isolate", "3")
        try await cluster.flock.until("the others miss cid", 60) {
            cluster.linked(ann).count == 1 && cluster.linked(cid).isEmpty
        }
        try await cluster.pause(full: 180, short: 0)
        try await cluster.progress()
        try await cluster.bed.run("heal")
        try await cluster.flock.until("cid is back", 120) { cluster.linked(cid).count == 2 }
        try await cluster.finish()
    }

    /// What ann sends to bob is lost, what bob sends to ann arrives: neither takes the link for a
    /// good one, and cid forwards.
    @Test func oneWayCutIsNoticedAndGoneAround() async throws {
        let cluster = try await BedCluster(environment: Self.switchInUserSpace)
        let (ann, bob) = (cluster.nodes[0], cluster.nodes[1])
        try await cluster.start()
        try await link(cluster.bed, "1", "2", loss: 100)
        try await cluster.flock.until("ann and bob miss each other", 90) {
            cluster.linked(ann).map { $0["name"] } == ["cid"]
                && cluster.linked(bob).map { $0["name"] } == ["cid"]
        }
        try await cluster.pause(full: 120, short: 0)
        // Equal with the cut in place.
        try await cluster.quiet()
        try await cluster.bed.run("heal")
        try await cluster.flock.until("ann and bob meet again", 120) {
            cluster.linked(ann).count == 2 && cluster.linked(bob).count == 2
        }
        try await cluster.finish()
    }

    /// Three of ten frames are lost in each direction, all the time.
    @Test func thirtyPerCentLossIsSlowAndNothingElse() async throws {
        let cluster = try await BedCluster(environment: Self.switchInUserSpace)
        try await cluster.start(secondsBetweenWrites: "0.2")
        let before = try await cluster.bed.retransmissions(on: 1)
        try await link(cluster.bed, "*", "*", loss: 30)
        try await cluster.pause(full: 120, short: 10)
        try await cluster.progress()
        try await cluster.quiet(withinSeconds: 600)
        let after = try await cluster.bed.retransmissions(on: 1)
        #expect(after > before + 10, "nothing was lost")
        print("30 % loss: \(after - before) segments sent again")
        try await cluster.finish()
    }

    @Test func delayWithJitterIsSlowAndNothingElse() async throws {
        let cluster = try await BedCluster(environment: Self.switchInUserSpace)
        try await cluster.start()
        // Frames overtake each other.
        try await link(cluster.bed, "*", "*", delay: 200, jitter: 80)
        try await cluster.pause(full: 120, short: 5)
        try await cluster.progress()
        let (ann, bob) = (cluster.nodes[0], cluster.nodes[1])
        let began = ContinuousClock.now
        try await ann.sql("INSERT INTO own VALUES('\(ann.name)-delayed', 1)")
        try await bob.shows("SELECT v FROM own WHERE id = 'ann-delayed'", "1")
        // No frame is faster than the delay less the jitter.
        #expect(ContinuousClock.now - began > .milliseconds(120), "nothing was delayed")
        try await ann.sql("DELETE FROM own WHERE id = 'ann-delayed'")
        try await cluster.finish(withinSeconds: 300)
    }

    /// The links stand while no machine has Avahi; what starts meanwhile is found when it is back.
    @Test func daemonsGoAndComeBack() async throws {
        let cluster = try await BedCluster()
        let (ann, bob) = (cluster.nodes[0], cluster.nodes[1])
        try await cluster.start()
        for machine in ["1", "2", "3"] { try await cluster.bed.run("avahi-kill9", machine) }
        try await cluster.bed.run("dbus-stop", "1")
        try await cluster.flock.until("everybody misses Avahi") {
            cluster.nodes.allSatisfy { node in
                (node.facts()?["problems"]?.array ?? []).contains { $0["code"] == "discovery" }
            }
        }
        try await cluster.progress()
        #expect(cluster.nodes.allSatisfy { cluster.linked($0).count == 2 })

        // Bob comes back elsewhere and remembers nobody, as nobody can tell where he is.
        try await cluster.bed.signal(bob, on: 2, "KILL")
        try await bob.process?.exit()
        _ = try await cluster.flock.run(["rm", "-f", "\(bob.home)/peers.json"])
        Files.write("{ listen: \"0.0.0.0:9191\" }", to: "\(bob.home)/config.json5")
        try await bob.start()
        #expect(cluster.linked(bob).isEmpty)

        try await cluster.bed.run("dbus-start", "1")
        for machine in ["1", "2", "3"] { try await cluster.bed.run("avahi-start", machine) }
        try await cluster.flock.until("bob is found", 180) {
            cluster.linked(bob).count == 2 && cluster.linked(ann).count == 2
        }
        try await cluster.flock.until("nobody misses Avahi") {
            cluster.nodes.allSatisfy { node in
                !(node.facts()?["problems"]?.array ?? []).contains { $0["code"] == "discovery" }
            }
        }
        try await cluster.finish()
    }

    /// Name, salt and tag of the node that is announced with this address; nil when there is none.
    private func announced(_ address: String, _ cluster: BedCluster) async throws -> [String]? {
        let lines = try await cluster.bed.browse(on: 1).split(separator: "\n").map {
            $0.split(separator: ";", omittingEmptySubsequences: false).map(String.init)
        }
        guard let line = lines.first(where: { $0.count > 9 && $0[0] == "=" && $0[7] == address })
        else { return nil }
        let marks = line[9].split(separator: "\"").map(String.init)
        return [line[3]] + marks.filter { $0.hasPrefix("salt=") || $0.hasPrefix("tag=") }
    }

    /// A running node's machine gets another address, as after a change of the network. There it is found,
    /// and nobody sees by what it announces that it is the same.
    @Test func nodeMovesToANewAddress() async throws {
        // Without IPv6 there is no second address that would stay.
        let cluster = try await BedCluster(environment: ["BED_V6": "0"])
        let (ann, bob) = (cluster.nodes[0], cluster.nodes[1])
        try await cluster.start()
        var before: [String]?
        try await cluster.flock.until("bob is announced", 60) {
            before = try await announced("10.77.0.2", cluster)
            return before != nil
        }
        try await cluster.bed.run(
            "exec", "2", "ip", "addr", "del", "10.77.0.2/24", "dev", "eth0")
        try await cluster.bed.run(
            "exec", "2", "ip", "addr", "add", "10.77.0.99/24", "dev", "eth0")
        try await cluster.flock.until("bob is reached at the new address", 120) {
            let address = cluster.linked(ann).first { $0["name"] == "bob" }?["address"]?.string
            return address?.hasPrefix("10.77.0.99:") == true && cluster.linked(bob).count == 2
        }
        try await cluster.flock.until("bob is announced as somebody else", 120) {
            guard let old = before, let new = try await announced("10.77.0.99", cluster) else {
                return false
            }
            return old.count == 3 && new.count == 3 && Set(old).isDisjoint(with: new)
        }
        try await cluster.progress()
        try await cluster.finish()
    }
}
