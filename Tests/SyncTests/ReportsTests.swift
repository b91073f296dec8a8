// Members that never meet hear of each other through those between them: deleted rows go, and nobody can
// make a node believe what it cannot check.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Values
import Wire

@Suite struct ReportsTests {
    /// Files in a row, each linked with the next one only.
    private func chain(_ count: Int, seed: UInt64) throws -> FileCluster {
        let cluster = try FileCluster(count, owners: count, seed: seed)
        let roles = Dictionary(
            uniqueKeysWithValues: cluster.nodes.map { ($0.name, Membership.Role.writer) })
        for node in cluster.nodes {
            node.engine.membership = { Membership(roles: roles) }
            node.engine.collectsDeletedRows = true
        }
        for row in 0..<10 {
            try cluster.apps[0].run(
                "INSERT INTO tasks(id, title) VALUES(?1, 'title')", [.string("row\(row)")])
        }
        for left in 0..<count {
            for right in (left + 1)..<count where right > left + 1 {
                cluster.network.separate(cluster.nodes[left], cluster.nodes[right])
            }
        }
        for index in 1..<count {
            cluster.network.discover(cluster.nodes[index - 1], cluster.nodes[index])
        }
        #expect(cluster.converge(within: 60_000))
        return cluster
    }

    private func kept(_ cluster: FileCluster) throws -> [Int64] {
        try cluster.apps.map { try $0.integer("SELECT count(*) FROM _starling_deleted") ?? -1 }
    }

    @Test(arguments: [3, 5]) func deletedRowsGoFromAGroupInARow(nodes: Int) throws {
        let cluster = try chain(nodes, seed: UInt64(nodes))
        try cluster.run(0, "DELETE FROM tasks WHERE id <> 'row7'")
        #expect(cluster.converge(within: 60_000))
        #expect(try kept(cluster).allSatisfy { $0 == 9 })
        cluster.network.run(for: 20 * 60_000)
        #expect(try kept(cluster) == Array(repeating: 0, count: nodes))
        #expect(cluster.isConverged)
        // And when nothing is left, nobody is asked more than once an hour.
        var asks = 0
        cluster.network.onFrame = { frame, _ in
            var assembler = MessageAssembler()
            if case .ask = try? assembler.take(frame, isTrusted: true) { asks += 1 }
        }
        cluster.network.run(for: 6 * 3_600_000)
        let sides = 2 * (nodes - 1)
        #expect((6...7 * sides).contains(asks), "\(asks)")
    }

    @Test func whoIsAwayHoldsItBackAllTheSame() throws {
        let cluster = try chain(4, seed: 9)
        cluster.network.stop(cluster.nodes[3])
        try cluster.run(0, "DELETE FROM tasks WHERE id = 'row1'")
        cluster.network.run(for: 2 * 3_600_000)
        #expect(try kept(cluster) == [1, 1, 1, 0])
    }

    // MARK: What is believed

    private static let far = Origin(high: 77, low: 1)

    private func report(
        _ node: String, _ vector: VersionVector, origin: Origin = far
    ) -> Message {
        .reports([
            StatementReport(
                node: node, name: "Far", origin: origin, vector: vector, ageMilliseconds: 5)
        ])
    }

    private func peer(
        _ roles: [String: Membership.Role], origins: [String: Origin]? = nil
    ) -> RawPeer {
        let peer = RawPeer(rows: 2, authenticated: "raw") { replica in
            Membership(
                roles: roles,
                origins: origins.map { origins in
                    origins.merging(["node": replica.origin, "raw": RawPeer.origin]) { $1 }
                }, joins: [replica.origin: [Dot(replica.origin, 1)]])
        }
        peer.greet()
        var state = RawPeer.statement(peer.replica.vector)
        if origins != nil { state.joined = Dot(peer.replica.origin, 1) }
        peer.say(.state(state))
        peer.advance(1_000)
        return peer
    }

    @Test func onlyWhatIsHereIsNoted() throws {
        let peer = peer(["node": .writer, "raw": .writer, "far": .writer, "read": .reader])
        let own = try peer.replica.summary().vector
        // Beyond this replica: nobody else can check it.
        peer.say(report("far", own.joined(VersionVector([(Self.far, UInt64(1) << 59)]))))
        #expect(peer.replica.stated["far"] == nil)
        peer.say(report("far", own))
        #expect(peer.replica.stated["far"]?.vector == own)
        // Less than was heard before.
        peer.say(report("far", VersionVector()))
        #expect(peer.replica.stated["far"]?.vector == own)
        // Of a reader, what it wrote itself says nothing.
        peer.say(report("read", own.joined(VersionVector([(Self.far, UInt64(4))]))))
        #expect(peer.replica.stated["read"]?.vector == own)
        // No member, the node itself, and one that is linked: it speaks for itself.
        let direct = peer.replica.stated["raw"]
        for node in ["stranger", "node", "raw"] { peer.say(report(node, own)) }
        #expect(peer.replica.stated["stranger"] == nil && peer.replica.stated["node"] == nil)
        #expect(peer.replica.stated["raw"] == direct && !peer.isClosed)
    }

    @Test func aReaderIsNotHeardAboutOthers() throws {
        let peer = peer(["node": .writer, "raw": .reader, "far": .writer])
        peer.say(report("far", try peer.replica.summary().vector))
        #expect(peer.replica.stated["far"] == nil && !peer.isClosed)
    }

    /// A statement counts for the origin that it was made under.
    @Test func aReportUnderAnotherOriginIsNotNoted() throws {
        let peer = peer(
            ["node": .writer, "raw": .writer, "far": .writer], origins: ["far": Self.far])
        let own = try peer.replica.summary().vector
        peer.say(report("far", own, origin: Origin(high: 77, low: 2)))
        #expect(peer.replica.stated["far"] == nil)
        peer.say(report("far", own))
        #expect(peer.replica.stated["far"]?.origin == Self.far)
    }

    @Test func whoAsksIsToldWhatIsKnownAndNotTooOften() throws {
        let peer = peer(["node": .writer, "raw": .writer, "far": .writer])
        let own = try peer.replica.summary().vector
        peer.say(report("far", own))
        func answers() -> [[StatementReport]] {
            peer.received.compactMap { if case .reports(let reports) = $0 { reports } else { nil } }
        }
        peer.say(.ask(["far", "nobody", "raw"]))
        #expect(answers().map { $0.map(\.node) } == [["far"]])
        #expect(answers().first?.first?.vector == own)
        for _ in 0..<20 { peer.say(.ask(["far"])) }
        #expect(answers().count == 1)
        peer.advance(SyncLimits.answerMilliseconds)
        peer.say(.ask(["far"]))
        #expect(answers().count == 2 && !peer.isClosed)
    }
}
