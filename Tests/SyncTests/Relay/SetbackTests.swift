// A relay that says again and again that the log is another, or begins later: it costs little.

import RelayProtocol
import Store
import Sync
import TestKit
import TestNetwork
import Testing

@Suite struct SetbackTests {
    /// Reproducer: starling-sim --seed 9990255 --nodes 5 --steps 379 --with relay --members, where the
    /// relay's snapshot led nowhere: it was read again and again without a pause.
    @Test func aSnapshotThatLeadsNowhereIsNotReadWithoutEnd() throws {
        let cluster = try LogCluster.withSnapshot()
        #expect(cluster.isConverged)
        let snapshot = try #require(cluster.relay.snapshots.last)
        cluster.relay.letGo(before: Int(snapshot.covers.number))
        cluster.relay.rollBack(to: cluster.relay.log.count, keepsSnapshots: true)
        #expect(requests(of: cluster, minutes: 30) < 200)
        // Paused; a person asks.
        let before = cluster.relay.requests
        cluster.round()
        #expect(cluster.relay.requests == before)
        for member in cluster.members { member.forwarder.tryAtOnce() }
        cluster.round()
        #expect(cluster.relay.requests > before)

        // Nothing was lost: enrolled anew, the log is filled by those who have it all.
        cluster.relay.startAnew()
        try cluster.write(0, "after", "all")
        #expect(cluster.converge(within: 30 * 60_000))
        try cluster.expectEqual()
    }

    /// The same of a log that is another each time.
    @Test func aLogThatIsAlwaysAnotherIsNotReadWithoutEnd() throws {
        let cluster = try LogCluster(2, owners: 2, seed: 12)
        try cluster.write(0, "a", "one")
        #expect(cluster.converge(within: 10_000))
        #expect(requests(of: cluster, minutes: 30, before: { $0.relay.startAnew() }) < 1_000)
        try cluster.write(1, "b", "two")
        #expect(cluster.converge(within: 30 * 60_000))
        try cluster.expectEqual()
    }

    /// How many requests come in so many simulated minutes.
    private func requests(
        of cluster: LogCluster, minutes: Int, before: (LogCluster) -> Void = { _ in }
    ) -> Int {
        let first = cluster.relay.requests
        let end = cluster.now + Milliseconds(minutes) * 60_000
        while cluster.now < end {
            before(cluster)
            cluster.round()
            cluster.advance(1_000)
            if cluster.relay.requests - first > 5_000 { break }
        }
        return cluster.relay.requests - first
    }
}
