// A member that waits for a copy and meets the others at a relay only: one serves it, old words let in
// nobody, and how authors of the log stand.

import CausalModel
import SQLite
import Store
import Sync
import TestNetwork
import Testing
import Values
import Wire

@Suite struct LogCopyTests {
    /// Who let whom in, under which origins.
    private final class Doors {
        var opened: [(at: String, node: String, origin: Origin)] = []
    }

    /// Three members that are equal; all may let others in.
    private func group(_ seed: UInt64, rows: Int = 40) throws -> (LogCluster, Doors) {
        let cluster = try LogCluster(3, owners: 1, seed: seed) {
            $0.limits.batchEntriesMax = 3
            $0.bounds.chunkRowsMax = 4
        }
        let doors = Doors()
        for member in cluster.members { open(member, doors) }
        for row in 0..<rows { try cluster.write(0, "row\(row)", "text \(row)") }
        #expect(cluster.converge(within: 600_000))
        return (cluster, doors)
    }

    private func open(_ member: LogMember, _ doors: Doors) {
        member.forwarder.letIn = { [unowned member] node, origin in
            if !doors.opened.contains(where: { $0.at == member.name && $0.origin == origin }) {
                doors.opened.append((member.name, node, origin))
            }
            return true
        }
    }

    /// Everybody but those that are `away` works for so long, or until the member has its copy.
    private func run(
        _ cluster: LogCluster, _ late: LogMember, away: Set<Int> = [], seconds: Int,
        until isDone: () -> Bool = { false }
    ) throws {
        for _ in 0..<(seconds * 10) where !isDone() {
            for index in cluster.members.indices where !away.contains(index) {
                cluster.step(index)
                for _ in cluster.members[index].open { cluster.answer(index) }
                cluster.step(index)
            }
            if late.replica.isSettling {
                try late.replica.settleJoining()
                try cluster.look(late)
            }
            cluster.advance(100)
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func whoWaitsGetsOneCopyOfOneMember(seed: UInt64) throws {
        let (cluster, doors) = try group(seed)
        let late = cluster.members[2]
        // What only it has is issued again, and what the others have seen since is in its copy.
        try late.replica.beginJoining(because: "a test")
        try late.app.execute("INSERT INTO notes(id, text) VALUES('own', 'mine')")
        try cluster.write(0, "row1", "changed")
        try run(cluster, late, seconds: 120) { !late.replica.isJoining }
        #expect(!late.replica.isJoining, "seed \(seed)")
        #expect(cluster.converge(within: 600_000), "seed \(seed)")
        #expect(doors.opened.count == 1, "seed \(seed): \(doors.opened)")
        #expect(doors.opened.first?.node == late.name)
        #expect(doors.opened.first?.origin == late.replica.origin)
        let rows = try cluster.members.map {
            try $0.app.query("SELECT count(*), sum(text IN ('mine', 'changed')) FROM notes")
        }
        #expect(rows.allSatisfy { $0 == [[.integer(41), .integer(2)]] }, "\(rows)")
    }

    @Test func wordsThatARelaySaysAgainLetInNobody() throws {
        let (cluster, doors) = try group(4, rows: 5)
        let late = cluster.members[2]
        try late.replica.beginJoining(because: "a test")
        try run(cluster, late, seconds: 120) { !late.replica.isJoining }
        #expect(cluster.converge(within: 600_000))
        #expect(doors.opened.count == 1)
        // It waits once more, and is let in under another origin.
        try late.replica.beginJoining(because: "a test")
        try run(cluster, late, seconds: 200) { !late.replica.isJoining }
        #expect(cluster.converge(within: 600_000))
        #expect(Set(doors.opened.map(\.origin)).count == 2)
        let before = (doors.opened.count, try late.replica.summary())
        for held in cluster.relay.log { cluster.relay.put(held.entry) }
        try run(cluster, late, seconds: 300)
        #expect(doors.opened.count == before.0, "\(doors.opened)")
        #expect(cluster.isConverged)
        #expect(try late.replica.summary().vector == before.1.vector)
    }

    @Test func aCopyThatStopsIsTakenOfAnother() throws {
        let (cluster, doors) = try group(5)
        let late = cluster.members[2]
        try late.replica.beginJoining(because: "a test")
        try run(cluster, late, seconds: 120) { !doors.opened.isEmpty }
        let server = try #require(doors.opened.first?.at)
        let index = try #require(cluster.members.firstIndex { $0.name == server })
        try run(cluster, late, away: [index], seconds: 900) { !late.replica.isJoining }
        #expect(!late.replica.isJoining)
        #expect(Set(doors.opened.map(\.at)).count == 2, "\(doors.opened)")
        #expect(cluster.converge(within: 600_000))
    }

    /// Somebody near serves it: it asks nobody else.
    @Test func whoIsServedNearbyDoesNotAsk() throws {
        let (cluster, doors) = try group(6, rows: 3)
        let late = cluster.members[2]
        var isNear = true
        late.forwarder.isServedNearby = { isNear }
        try late.replica.beginJoining(because: "a test")
        try run(cluster, late, seconds: 120)
        #expect(doors.opened.isEmpty && late.replica.isJoining)
        isNear = false
        try run(cluster, late, seconds: 120) { !late.replica.isJoining }
        #expect(!late.replica.isJoining)
    }

    /// What stands in a log is judged by the list of members, and by what its author says of itself.
    @Test func authorsStandAsTheirClaimsSay() {
        let cluster = Cluster(1)
        let node = cluster.nodes[0]
        cluster.write(0, "row", "1")
        cluster.network.run(for: 1_000)
        let own = Origin(high: 1, low: 1)
        let (listed, fresh, past) = (
            Origin(high: 2, low: 2), Origin(high: 3, low: 3), Origin(high: 4, low: 4)
        )
        let known = Membership(
            roles: [node.name: .writer, "a": .writer, "b": .writer, "r": .reader],
            origins: [node.name: own, "a": listed])
        node.engine.membership = { known }
        func standing(
            _ author: String, _ source: Origin, joined: Dot? = nil, continued: [Origin] = []
        ) -> AuthorStanding {
            var start = LogPart.Start(
                source: source, base: VersionVector(), floor: VersionVector(), rows: 0, bytes: 0,
                schema: nil, schemaFingerprint: 0)
            start.joined = joined
            start.continued = continued
            return node.engine.standing(ofAuthor: author, start)
        }
        #expect(standing("a", listed) == .joined)
        #expect(standing("r", fresh) == .reader)
        #expect(standing("nobody", fresh) == .reader)
        // Under another origin: by the word of a member that takes part, or having gone on.
        #expect(standing("a", fresh) == .outdated)
        #expect(standing("b", fresh, joined: Dot(listed, 9)) == .joined)
        #expect(standing("b", fresh, joined: Dot(past, 9)) == .outdated)
        #expect(standing("a", fresh, joined: Dot(fresh, 1), continued: [listed]) == .joined)
        #expect(standing("a", fresh, joined: Dot(fresh, 1), continued: [past]) == .outdated)
        // An earlier life of this node, while others take part, and while nobody does.
        #expect(standing(node.name, past) == .outdated)
        let alone = Membership(roles: known.roles, origins: [node.name: own])
        node.engine.membership = { alone }
        #expect(standing(node.name, past) == .joined)
        #expect(node.engine.isPresent(node.name, own) && !node.engine.isPresent("a", listed))
    }
}
