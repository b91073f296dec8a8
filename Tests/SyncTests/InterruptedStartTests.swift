// A node that waits for a copy, finds that the group can go on from its file, and dies on the way.

import CausalModel
import SQLite
import Store
import Sync
import TestNetwork
import Testing
import Values

/// Reproducer: starling-sim --seed 10100321 --nodes 4 --steps 373. The disk failed between the decision to go
/// on from an empty file and its end: the node neither waited for a copy any more nor took part, for ever.
@Suite struct InterruptedStartTests {
    /// As that failure left the file: the decision is in it, and its end is not.
    private func interrupt(_ cluster: FileCluster, _ node: Int) throws {
        try cluster.replicas[node].beginJoining(because: "a test")
        let place = "WHERE name = 'joining'"
        let found = try cluster.apps[node].first("SELECT value FROM _starling_meta \(place)")
        guard case .blob(var bytes)? = found else {
            Issue.record("the file does not say that it waits")
            return
        }
        bytes[0] = bytes[0] & 0x80 | 2
        try cluster.apps[node].run(
            "UPDATE _starling_meta SET value = ?1 \(place)", [.blob(bytes)])
        try cluster.restart(node)
        #expect(cluster.replicas[node].isSettling)
        #expect(try cluster.replicas[node].summary().vector.isEmpty)
    }

    @Test func whoIsStillAloneGoesOn() throws {
        let cluster = try FileCluster(1, owners: 0)
        try interrupt(cluster, 0)
        try cluster.replicas[0].endJoiningAlone()
        #expect(!cluster.replicas[0].isJoining)
    }

    @Test func whoIsNotAloneAnyMoreTakesACopy() throws {
        let cluster = try FileCluster(2, owners: 1)
        try cluster.run(0, "INSERT INTO tasks(id, title) VALUES('a', 'one')")
        try interrupt(cluster, 1)
        // The first takes part, and lets the other in.
        let names = cluster.nodes.map(\.name)
        var origins = [names[0]: cluster.replicas[0].origin]
        for node in 0..<2 {
            cluster.nodes[node].engine.membership = { [unowned cluster] in
                let own = cluster.replicas[node]
                var membership = Membership(
                    roles: Dictionary(uniqueKeysWithValues: names.map { ($0, .writer) }),
                    origins: origins, joins: [own.origin: [Dot(cluster.replicas[0].origin, 1)]])
                // An old list, until the copy brings another.
                if own.isJoining, own.vector.isEmpty { membership.origins = [:] }
                return membership
            }
            cluster.nodes[node].engine.noteJoined = { name, origin, _ in origins[name] = origin }
        }
        let before = cluster.replicas[1].origin
        cluster.network.discoverAll()
        #expect(cluster.converge(within: 60_000))
        #expect(!cluster.replicas[1].isJoining)
        #expect(cluster.replicas[1].origin != before)
        #expect(try cluster.rows(1).count == 1)
    }
}
