// Urgent tables: of much that waits for a relay their changes go first, and nothing is lost or doubled by it.

import CausalModel
import RelayProtocol
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Values

@Suite struct UrgentTests {
    /// Two members with two tables, of which `alarms` is urgent; requests are small.
    private func cluster(seed: UInt64, urgent: [String] = ["alarms"]) throws -> LogCluster {
        let cluster = try LogCluster(2, owners: 2, seed: seed) {
            $0.bounds.chunkRowsMax = 10
            $0.limits.batchEntriesMax = 4
            $0.limits.urgentChangesMin = 50
            $0.urgent = urgent
        }
        for member in cluster.members {
            try member.app.execute("CREATE TABLE alarms(id TEXT PRIMARY KEY NOT NULL, text)")
            _ = try member.replica.track(["alarms"])
            try member.replica.finishScans()
            try cluster.look(member)
        }
        #expect(cluster.converge(within: 60_000))
        return cluster
    }

    private func alarm(_ cluster: LogCluster, _ key: String) throws {
        try cluster.members[0].app.run("INSERT INTO alarms VALUES(?1, 'now')", [.string(key)])
        try cluster.look(cluster.members[0])
    }

    private func count(_ cluster: LogCluster, _ table: String) throws -> Int64 {
        try cluster.members[1].app.integer("SELECT count(*) FROM \(table)") ?? -1
    }

    /// Until the log has so many entries more, and the other has read them.
    private func append(_ cluster: LogCluster, _ entries: Int) {
        let wanted = cluster.relay.log.count + entries
        var turns = 0
        while cluster.relay.log.count < wanted, turns < 1_000 {
            cluster.step(0)
            cluster.answer(0)
            turns += 1
        }
        for _ in 0..<20 {
            cluster.step(1)
            cluster.answer(1)
        }
        cluster.step(1)
    }

    @Test(arguments: [true, false])
    func changesOfAnUrgentTableArriveBeforeTheRest(isUrgent: Bool) throws {
        let cluster = try cluster(seed: 1, urgent: isUrgent ? ["alarms"] : [])
        for row in 0..<300 { try cluster.write(0, "row\(row)", "text \(row)") }
        try alarm(cluster, "fire")
        append(cluster, 1)
        #expect(try count(cluster, "alarms") == (isUrgent ? 1 : 0))
        #expect(try count(cluster, "notes") < 60)
        // It moved no vector: everything else is still to come, and so is it.
        #expect(!cluster.members[1].replica.vector.covers(cluster.members[0].replica.vector))

        // One that is written while the rest is on its way goes before what is left of it.
        append(cluster, 8)
        #expect(try count(cluster, "notes") < 200)
        try alarm(cluster, "flood")
        append(cluster, 5)
        #expect(try count(cluster, "alarms") == (isUrgent ? 2 : 0))
        #expect(try count(cluster, "notes") < 250)
        #expect(cluster.converge(within: 120_000))
        try cluster.expectEqual()
        #expect(try count(cluster, "alarms") == 2 && count(cluster, "notes") == 300)
        #expect(cluster.members.allSatisfy { $0.forwarder.refused.isEmpty })
    }

    @Test func theFirstTableOfTheListGoesFirst() throws {
        let cluster = try cluster(seed: 2, urgent: ["alarms", "notes"])
        for row in 0..<60 { try cluster.write(0, "row\(row)", "text \(row)") }
        try alarm(cluster, "fire")
        append(cluster, 1)
        #expect(try count(cluster, "alarms") == 1)
        #expect(cluster.converge(within: 120_000))
        try cluster.expectEqual()
    }

    /// What went early is not taken for a part of the transfer, whoever dies when.
    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6])
    func killsInBetweenLoseNothing(seed: UInt64) throws {
        let cluster = try cluster(seed: seed)
        for row in 0..<150 { try cluster.write(0, "row\(row)", "text \(row)") }
        for kill in 0..<8 {
            try alarm(cluster, "alarm\(kill)")
            for _ in 0..<3 {
                cluster.step(0, work: cluster.random.below(4))
                cluster.answer(0)
            }
            cluster.step(1, work: cluster.random.below(4))
            cluster.answer(1)
            try cluster.members[kill % 2].restart()
            cluster.advance(100)
        }
        #expect(cluster.converge(within: 120_000), "seed \(seed)")
        try cluster.expectEqual()
        #expect(try count(cluster, "alarms") == 8, "seed \(seed)")
    }

    /// A few changes leave in one request as they are.
    @Test func littleIsNotSentTwice() throws {
        let cluster = try cluster(seed: 3)
        let before = cluster.relay.log.count
        try alarm(cluster, "fire")
        #expect(cluster.converge(within: 60_000))
        #expect(cluster.relay.log.count == before + 1)
    }
}
