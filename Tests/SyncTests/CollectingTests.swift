// When engines collect, and what becomes of a node that has not seen what others have forgotten.

import CausalModel
import SQLite
import Store
import Sync
import TestNetwork
import Testing
import Values
import Wire

@Suite struct CollectingTests {
    /// All nodes of the cluster, or some of them, are members, as far as `node` knows.
    private func admit(
        _ cluster: Cluster, _ nodes: [Int], at node: Int,
        removals: VersionVector = VersionVector(), readers: [String] = []
    ) {
        var membership = Membership(roles: [:], removals: removals)
        for index in nodes { membership.roles[cluster.nodes[index].name] = .writer }
        for reader in readers { membership.roles[reader] = .reader }
        let known = membership
        cluster.nodes[node].engine.membership = { known }
        cluster.nodes[node].engine.collectsDeletedRows = true
    }

    private func cluster(_ count: Int, members: [Int]? = nil) -> Cluster {
        let cluster = Cluster(count)
        let members = members ?? Array(0..<count)
        for node in members { admit(cluster, members, at: node) }
        cluster.fill(0, rows: 3)
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 10_000))
        return cluster
    }

    private func delete(_ cluster: Cluster, _ node: Int) {
        cluster.write(node, "row1", nil)
        #expect(cluster.converge(within: 10_000))
    }

    private func collected(_ node: SimulatedNode) -> Int {
        node.events.reduce(0) { sum, event in
            if case .collected(let rows) = event { return sum + rows }
            return sum
        }
    }

    @Test func anIdleGroupCollectsAndSaysSo() {
        let cluster = cluster(3)
        delete(cluster, 1)
        cluster.network.run(for: 30_000)
        for (node, replica) in zip(cluster.nodes, cluster.replicas) {
            #expect(replica.rows["row1"] == nil)
            #expect(replica.rows.count == 2)
            #expect(collected(node) == 1)
        }
        cluster.expectSound()
        // Nothing is left, and it is not looked at without end.
        let looks = cluster.replicas.map(\.collections.count)
        cluster.network.run(for: 3_600_000)
        for (replica, before) in zip(cluster.replicas, looks) {
            #expect(replica.collections.count == before)
        }
    }

    @Test func nothingIsCollectedWithoutMembers() {
        let cluster = cluster(2, members: [])
        for node in cluster.nodes { node.engine.collectsDeletedRows = true }
        // One knows a membership that it does not belong to, one a door behind which nothing is.
        admit(cluster, [1], at: 0)
        cluster.nodes[1].engine.membership = { nil }
        delete(cluster, 0)
        cluster.network.run(for: 60_000)
        for replica in cluster.replicas {
            #expect(replica.collections.isEmpty)
            #expect(replica.rows.count == 3)
        }
    }

    @Test func nothingIsCollectedUnlessTheHostWantsIt() {
        let cluster = cluster(2)
        for node in cluster.nodes { node.engine.collectsDeletedRows = false }
        delete(cluster, 0)
        cluster.network.run(for: 60_000)
        #expect(cluster.replicas.allSatisfy { $0.rows.count == 3 })
    }

    @Test func whoIsAwayHoldsItBackUntilItIsBack() {
        let cluster = cluster(3)
        cluster.network.stop(cluster.nodes[2])
        cluster.write(0, "row1", nil)
        cluster.network.run(for: 60_000)
        #expect(cluster.replicas[0].rows["row1"] != nil)
        #expect(cluster.replicas[1].rows["row1"] != nil)

        cluster.network.restart(cluster.nodes[2])
        admit(cluster, [0, 1, 2], at: 2)
        cluster.network.discoverAll()
        cluster.network.run(for: 60_000)
        for replica in cluster.replicas { #expect(replica.rows["row1"] == nil) }
        cluster.expectSound(hasStops: true)
    }

    @Test func rolesAndRemovalsAreHandedOn() {
        let cluster = cluster(2)
        let removals = VersionVector([(Origin(high: 1, low: 2), UInt64(3))])
        admit(cluster, [0, 1], at: 0, removals: removals, readers: ["far"])
        delete(cluster, 0)
        cluster.network.run(for: 30_000)
        #expect(cluster.replicas[0].collections.last?.writers == ["node1"])
        #expect(cluster.replicas[0].collections.last?.readers == ["far"])
        #expect(cluster.replicas[0].collections.last?.removals == removals)
        #expect(cluster.replicas[0].rows["row1"] != nil)
        #expect(cluster.replicas[1].rows["row1"] == nil)
    }

    @Test func filesForgetWhatAllHaveSeenDeleted() throws {
        let cluster = try FileCluster(3, owners: 3)
        let roles = Dictionary(
            uniqueKeysWithValues: cluster.nodes.map { ($0.name, Membership.Role.writer) })
        for node in cluster.nodes {
            node.engine.membership = { Membership(roles: roles) }
            node.engine.collectsDeletedRows = true
        }
        for row in 0..<40 {
            try cluster.apps[0].run(
                "INSERT INTO tasks(id, title) VALUES(?1, 'title')", [.string("row\(row)")])
        }
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 10_000))
        try cluster.run(1, "DELETE FROM tasks WHERE id <> 'row7'")
        try cluster.run(2, "UPDATE tasks SET title = 'kept' WHERE id = 'row9'")
        cluster.network.run(for: 60_000)
        for (replica, app) in zip(cluster.replicas, cluster.apps) {
            #expect(try app.integer("SELECT count(*) FROM _starling_row") == 2)
            #expect(try app.integer("SELECT count(*) FROM _starling_dot") == 4)
            #expect(try replica.verify() == [])
        }
        #expect(cluster.isConverged)
        try cluster.expectEqualTables()
    }

    // MARK: Out of date

    /// Node 2 is evicted while it is away; what it has not seen deleted is forgotten; then it is back.
    private func evicted() -> Cluster {
        let cluster = cluster(3)
        cluster.network.stop(cluster.nodes[2])
        for node in 0..<2 { admit(cluster, [0, 1], at: node) }
        cluster.write(0, "row1", nil)
        cluster.network.run(for: 30_000)
        #expect(cluster.replicas[0].rows["row1"] == nil)
        // Let in again as it is: nobody else is talked to at all.
        for node in 0..<2 { admit(cluster, [0, 1, 2], at: node) }
        cluster.network.restart(cluster.nodes[2])
        return cluster
    }

    @Test(arguments: [true, false]) func nothingFlowsWithANodeThatIsOutOfDate(dials: Bool) {
        let cluster = evicted()
        cluster.write(2, "row1", "of yesterday")
        cluster.write(2, "mine", "new")
        let (late, node) = (cluster.nodes[2], cluster.nodes[0])
        let frames = cluster.replicas.map(\.sentRows)
        cluster.network.discover(dials ? late : node, dials ? node : late)
        cluster.network.run(for: 60_000)

        #expect(cluster.replicas.map(\.sentRows) == frames)
        #expect(cluster.replicas[0].rows["row1"] == nil)
        #expect(cluster.replicas[0].value("mine") == nil)
        #expect(cluster.replicas[2].value("row1") == "of yesterday")
        for (one, other) in [(late, node), (node, late)] {
            let status = one.engine.peersStatus(cluster.network.now).first {
                $0.node == other.name
            }
            #expect(status?.state == .refused)
            #expect(status?.lastError?.hasPrefix("node2 is out of date") == true)
            #expect(status?.remedy?.contains("empty file") == true)
            let isTold = one.events.contains {
                if case .refused(_, _, let reason) = $0 { return reason.contains("out of date") }
                return false
            }
            #expect(isTold)
        }
    }

    /// A node that was connected all the time, and for which nobody waited.
    @Test func aLinkEndsWhenThePeerFallsBehindTheFloor() throws {
        let cluster = cluster(3)
        for node in cluster.nodes { node.engine.collectsDeletedRows = false }
        // What is sent to node 2 gets lost, and it does not notice for a while.
        for node in 0..<2 {
            cluster.network.silence(cluster.nodes[node], to: cluster.nodes[2])
        }
        cluster.write(0, "row1", nil)
        cluster.network.run(for: 1_000)
        let outcome = try cluster.replicas[0].collect(
            StabilityGroup(writers: ["node1"], readers: [], removals: VersionVector()))
        #expect(outcome.rows == 1)
        cluster.network.enter(cluster.nodes[0]) { $0.storeChanged(now: cluster.network.now) }
        cluster.network.run(for: 100)
        let peer = cluster.nodes[0].engine.peersStatus(cluster.network.now).first {
            $0.node == "node2"
        }
        #expect(peer?.lastError?.contains("out of date") == true)
    }

    @Test func aNodeWithNothingGetsACopy() {
        let cluster = cluster(2)
        delete(cluster, 0)
        cluster.network.run(for: 30_000)
        #expect(!cluster.replicas[0].floor.isEmpty)
        let replica = cluster.makeReplica()
        let fresh = cluster.network.addNode("fresh", replica: replica)
        for node in cluster.nodes {
            node.engine.membership = {
                Membership(roles: ["node0": .writer, "node1": .writer, "fresh": .writer])
            }
        }
        cluster.network.discover(fresh, cluster.nodes[0])
        cluster.network.run(for: 5_000)
        #expect(replica.visible == cluster.replicas[0].visible)
        replica.write("mine", "new")
        cluster.network.enter(fresh) { $0.storeChanged(now: cluster.network.now) }
        cluster.network.run(for: 5_000)
        #expect(cluster.replicas[1].value("mine") == "new")
    }

    // MARK: One link

    private static func vector(_ number: UInt64) -> VersionVector {
        VersionVector([(RawPeer.origin, number)])
    }

    /// A node that has seen all of the raw peer up to 5 and collected a row of it.
    private func collectedPeer() -> RawPeer {
        let peer = RawPeer(rows: 1)
        peer.activate()
        peer.replica.write("row0", nil)
        peer.engine.storeChanged(now: peer.now)
        peer.advance(100)
        _ = try? peer.replica.collect(
            StabilityGroup(writers: [], readers: [], removals: VersionVector()))
        #expect(!peer.replica.floor.isEmpty)
        return peer
    }

    @Test func aStatementBelowTheFloorEndsTheLink() {
        let peer = collectedPeer()
        peer.engine.storeChanged(now: peer.now)
        peer.advance(100)
        // It has nothing: that is no harm. Then it has something, and not what was collected.
        #expect(peer.goodbye == nil)
        peer.say(.statement(RawPeer.statement(Self.vector(3))))
        #expect(peer.goodbye?.code == .outOfDate)
        #expect(peer.isClosed)
    }

    @Test func rowsOfAPeerBelowTheFloorAreNotTaken() {
        let peer = collectedPeer()
        peer.engine.storeChanged(now: peer.now)
        peer.advance(100)
        let before = peer.replica.appliedRows
        peer.say(.wholeDelta(RawPeer.header(to: 3), RawPeer.chunk))
        #expect(peer.goodbye?.code == .outOfDate)
        #expect(peer.replica.appliedRows == before)
        #expect(peer.replica.vector[RawPeer.origin] == 0)
    }

    /// A statement that was made before the snapshot of a delta that came first.
    @Test func anOlderStatementIsNoStepBack() throws {
        let peer = collectedPeer()
        var full = try peer.replica.summary().vector
        full[RawPeer.origin] = 1
        let header = HeaderMessage(
            source: RawPeer.origin, base: VersionVector(), snapshot: full, rows: 0, bytes: 0,
            isContinuation: false)
        peer.say(.wholeDelta(header, RawPeer.chunk))
        peer.engine.storeChanged(now: peer.now)
        peer.advance(100)
        peer.say(.statement(RawPeer.statement(Self.vector(1))))
        #expect(peer.goodbye == nil)
    }

    @Test func aFloorAboveTheOwnVectorEndsTheLink() {
        let peer = RawPeer(rows: 1)
        peer.greet()
        var state = RawPeer.statement(Self.vector(5))
        state.floor = Self.vector(2)
        peer.say(.state(state))
        #expect(peer.goodbye?.code == .outOfDate)
        #expect(peer.goodbye?.text.hasPrefix("node is out of date") == true)
    }

    @Test func aNodeWithNothingTakesACopyFromAPeerWithAFloor() {
        let peer = RawPeer()
        peer.greet()
        var state = RawPeer.statement(Self.vector(5))
        state.floor = Self.vector(2)
        peer.say(.state(state))
        peer.say(.wholeDelta(RawPeer.header(to: 5), RawPeer.chunk))
        #expect(peer.goodbye == nil)
        #expect(peer.replica.vector == Self.vector(5))
    }

    /// Reproducer: starling-sim --seed 9700338 --nodes 5 --steps 173. A sender gave a delta up in the
    /// middle, when what it had begun had come by another way; the receiver waited for the rest, and kept
    /// deleted rows.
    @Test(arguments: [true, false])
    func aDeltaThatWasGivenUpHoldsNothingBack(isGivenUp: Bool) throws {
        let peer = RawPeer(rows: 2, authenticated: "raw") { _ in
            Membership(roles: ["node": .writer, "raw": .writer])
        }
        peer.engine.collectsDeletedRows = true
        peer.activate()
        peer.replica.write("row0", nil)
        peer.engine.storeChanged(now: peer.now)
        peer.advance(100)
        let own = try peer.replica.summary().vector
        if isGivenUp {
            peer.say(
                .deltaBegin(
                    HeaderMessage(
                        source: RawPeer.origin, base: VersionVector(), snapshot: own, rows: 2,
                        bytes: 2, isContinuation: false)))
        }
        for number in 0..<8 {
            peer.say(.statement(RawPeer.statement(own)))
            peer.say(.ping(UInt64(number)))
            peer.advance(5_000)
        }
        #expect(!peer.isClosed)
        #expect(peer.replica.rows["row0"] == nil && peer.replica.rows["row1"] != nil)
    }

    /// The state that opens a session is never older than what was sent before.
    @Test func theStateWaitsForAFreshLook() {
        let peer = RawPeer(rows: 1)
        var isBusy = true
        peer.replica.failures = {
            isBusy ? MemoryError(isRetryable: true, description: "busy") : nil
        }
        peer.greet()
        peer.advance(1_000)
        func states() -> Int {
            peer.received.reduce(0) { sum, message in
                if case .state = message { return sum + 1 }
                return sum
            }
        }
        #expect(states() == 0)
        isBusy = false
        peer.advance(1_000)
        #expect(states() == 1)
    }
}
