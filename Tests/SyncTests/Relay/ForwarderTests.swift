// The forwarder between members that meet at a relay only.

import CausalModel
import RelayProtocol
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Values
import Wire

@Suite struct ForwarderTests {
    @Test func rowsOfOneMemberAppearOnTheOther() throws {
        let cluster = try LogCluster(2, owners: 1, seed: 1)
        try cluster.write(0, "a", "one")
        #expect(cluster.converge(within: 10_000))
        try cluster.expectEqual()
        try cluster.write(1, "b", "two")
        #expect(cluster.converge(within: 10_000))
        try cluster.expectEqual()
        // The log holds one entry for each change, and no echo of it.
        #expect(cluster.relay.log.count == 2)
        #expect(cluster.members[0].forwarder.refused.isEmpty)
    }

    @Test func everythingAppendedIsCoveredByTheLog() throws {
        let cluster = try LogCluster(2, owners: 2, seed: 2)
        try cluster.write(0, "a", "one")
        let member = cluster.members[0]
        #expect(member.forwarder.queuedChanges == 1)
        // Read once, built, and sent; but not seen in the log yet.
        cluster.step(0)
        cluster.answer(0)
        cluster.step(0)
        #expect(!member.replica.logVector.covers(member.replica.vector))
        cluster.answer(0)
        cluster.step(0)
        #expect(member.replica.logVector.covers(member.replica.vector))
        #expect(member.forwarder.queuedChanges == 0)
    }

    @Test func manyRowsTravelInPartsAndAreSeenWhole() throws {
        let cluster = try LogCluster(3, owners: 1, seed: 3) {
            $0.bounds.chunkRowsMax = 10
            $0.limits.batchEntriesMax = 4
        }
        for row in 0..<300 { try cluster.write(0, "row\(row)", "text \(row)") }
        // Who reads sees how far it is.
        var seen: [(rows: Int, done: Int)] = []
        cluster.members[1].forwarder.onEvent = { [unowned cluster] _ in
            if let now = cluster.members[1].forwarder.incoming(cluster.now) { seen.append(now) }
        }
        #expect(cluster.converge(within: 60_000))
        try cluster.expectEqual()
        #expect(cluster.relay.log.count == 30)
        #expect(seen.contains { $0.rows == 300 && 0 < $0.done && $0.done < 300 }, "\(seen)")
        #expect(cluster.members[1].forwarder.incoming(cluster.now) == nil)
    }

    @Test func aRowLargerThanAPartTravelsInPieces() throws {
        let cluster = try LogCluster(2, owners: 1, seed: 4)
        try cluster.write(0, "large", "x", bytes: 1_700_000)
        try cluster.write(0, "small", "y")
        #expect(cluster.converge(within: 60_000))
        try cluster.expectEqual()
        #expect(cluster.relay.log.count >= 4)
    }

    @Test(arguments: [UInt64(1), 2, 3, 4])
    func aMemberKilledInTheMiddleOfATransferGoesOnWithIt(seed: UInt64) throws {
        let cluster = try LogCluster(2, owners: 1, seed: seed) {
            $0.bounds.chunkRowsMax = 5
            $0.limits.batchEntriesMax = 3
            $0.limits.batchBytesMax = 4_000
        }
        for row in 0..<100 { try cluster.write(0, "row\(row)", "text \(row)") }
        for kill in 0..<6 {
            for _ in 0..<2 {
                cluster.step(0)
                cluster.answer(0)
                cluster.step(0, work: cluster.random.below(4))
            }
            try cluster.members[kill % 2].restart()
            cluster.advance(100)
        }
        #expect(cluster.converge(within: 60_000), "seed \(seed)")
        try cluster.expectEqual()
        // It went on, and did not begin again: twenty chunks, and what was under way at each kill.
        #expect(cluster.relay.log.count <= 20 + 6 * 3)
    }

    @Test func twoTransfersThatInterleaveAreBothTaken() throws {
        let cluster = try LogCluster(3, owners: 3, seed: 5) {
            $0.bounds.chunkRowsMax = 5
            $0.limits.batchEntriesMax = 2
        }
        for row in 0..<60 {
            try cluster.write(0, "a\(row)", "of the first")
            try cluster.write(1, "b\(row)", "of the second")
        }
        #expect(cluster.converge(within: 60_000))
        try cluster.expectEqual()
    }

    @Test func aLogThatIsAnotherIsFilledAgain() throws {
        let cluster = try LogCluster(2, owners: 1, seed: 6)
        for row in 0..<20 { try cluster.write(0, "row\(row)", "text") }
        #expect(cluster.converge(within: 10_000))
        cluster.relay.startAnew()
        let newcomer = try cluster.add("node2", isOwner: false)
        #expect(cluster.converge(within: 30_000))
        try cluster.expectEqual()
        #expect(cluster.members[0].forwarder.refused[.wentBack] == 1)
        #expect(newcomer.forwarder.refused.isEmpty)
    }

    @Test func aLogThatWentBackIsCompletedAgain() throws {
        let cluster = try LogCluster(3, owners: 3, seed: 7)
        for row in 0..<20 {
            try cluster.write(row % 3, "row\(row)", "text")
            cluster.round()
            cluster.advance(300)
        }
        #expect(cluster.converge(within: 10_000))
        cluster.relay.rollBack(to: 5)
        try cluster.add("node3", isOwner: false)
        #expect(cluster.converge(within: 30_000))
        try cluster.expectEqual()
    }

    @Test func whoCannotReadAnEpochGoesOnOnceItHasTheKey() throws {
        let cluster = try LogCluster(3, owners: 3, seed: 8)
        try cluster.write(0, "a", "one")
        #expect(cluster.converge(within: 10_000))
        for index in 0...1 {
            cluster.members[index].seal.epochs = [0, 1]
            cluster.members[index].seal.epoch = 1
        }
        try cluster.write(0, "b", "secret")
        try cluster.write(1, "c", "secret, too")
        cluster.advance(5_000)
        #expect(!cluster.converge(within: 10_000))
        let late = cluster.members[2]
        #expect(late.forwarder.refused[.unknownEpoch] ?? 0 > 0)
        #expect(try cluster.rows(2).count == 1)
        // It does not stand still: what it writes itself still goes out.
        try cluster.write(2, "d", "of the third")
        _ = cluster.converge(within: 10_000)
        #expect(try cluster.rows(0).count == 4)
        late.seal.epochs = [0, 1]
        late.forwarder.trustChanged()
        #expect(cluster.converge(within: 30_000))
        try cluster.expectEqual()
    }

    @Test func entriesOfAMemberThatIsNotKnownYetAreReadLater() throws {
        let cluster = try LogCluster(2, owners: 2, seed: 9)
        cluster.members[1].seal.members = ["node1"]
        try cluster.write(0, "a", "one")
        #expect(!cluster.converge(within: 5_000))
        #expect(cluster.members[1].forwarder.refused[.stranger] == 1)
        cluster.members[1].seal.members = ["node0", "node1"]
        cluster.members[1].forwarder.trustChanged()
        #expect(cluster.converge(within: 10_000))
        try cluster.expectEqual()
    }

    @Test func whatARemovedMemberAppendsChangesNothing() throws {
        let cluster = try LogCluster(3, owners: 3, seed: 10)
        try cluster.write(0, "a", "one")
        #expect(cluster.converge(within: 10_000))
        for index in 0...1 { cluster.members[index].seal.removed = ["node2"] }
        try cluster.write(2, "b", "of the removed")
        try cluster.write(0, "c", "of a member")
        for _ in 0..<40 {
            cluster.round()
            cluster.advance(500)
        }
        #expect(try cluster.rows(0).count == 2)
        #expect(try cluster.rows(1) == cluster.rows(0))
        #expect(cluster.members[0].forwarder.refused[.removed] ?? 0 > 0)
    }

    @Test func aLongLogIsCutAndANewcomerStartsFromTheSnapshot() throws {
        let cluster = try LogCluster.withSnapshot()
        #expect(cluster.isConverged)
        let snapshot = try #require(cluster.relay.snapshots.last)
        cluster.relay.letGo(before: Int(snapshot.covers.number))
        try cluster.add("node2", isOwner: false)
        #expect(cluster.converge(within: 20_000))
        try cluster.expectEqual()
        try cluster.write(2, "z", "of the newcomer")
        #expect(cluster.converge(within: 20_000))
        try cluster.expectEqual()
    }

    @Test func whoStandsByAppendsNothingAndTakesOver() throws {
        let cluster = try LogCluster(2, owners: 2, seed: 12)
        cluster.members[1].forwarder.isStandingBy = true
        try cluster.write(1, "a", "one")
        #expect(!cluster.converge(within: 10_000))
        #expect(try cluster.rows(0).isEmpty)
        cluster.members[1].forwarder.isStandingBy = false
        #expect(cluster.converge(within: 10_000))
        try cluster.expectEqual()
    }

    @Test func anHourWithoutTheRelayIsCaughtUpInOneGo() throws {
        let cluster = try LogCluster(4, owners: 4, seed: 13)
        try cluster.write(0, "a", "one")
        #expect(cluster.converge(within: 10_000))
        cluster.relay.isDown = true
        for minute in 0..<60 {
            for member in 0..<4 {
                try cluster.write(member, "own\(member)-\(minute)", "text")
                try cluster.write(member, "shared\(minute)", "of \(member)")
            }
            for member in 0..<4 {
                cluster.step(member)
                cluster.answer(member)
            }
            cluster.advance(60_000)
        }
        let before = cluster.relay.log.count
        cluster.relay.isDown = false
        #expect(cluster.converge(within: 120_000))
        try cluster.expectEqual()
        // A delta of each, and not an entry for each change.
        #expect(cluster.relay.log.count - before <= 12)
    }

    @Test func clocksThatAreHoursApartLoseNoLaterWrite() throws {
        let cluster = try LogCluster(3, owners: 3, seed: 14) {
            $0.clockErrors = ["node0": 5 * 3_600_000, "node1": -7 * 3_600_000]
        }
        for round in 0..<6 {
            // Each has seen what the one before wrote.
            try cluster.write(round % 3, "k", "round \(round)")
            #expect(cluster.converge(within: 20_000))
        }
        for index in 0..<3 {
            #expect(try cluster.rows(index).first?[1] == .string("round 5"))
        }
        try cluster.expectEqual()
    }

    @Test func manyWritesShareTransfersOnceTooManyWouldLeave() throws {
        let cluster = try LogCluster(2, owners: 2, seed: 15) {
            $0.limits.appendMilliseconds = 100
            $0.limits.appendsMax = 5
        }
        #expect(cluster.converge(within: 10_000))
        let before = cluster.relay.log.count
        for row in 0..<200 {
            try cluster.write(0, "row\(row)", "text")
            cluster.round()
            cluster.advance(10)
        }
        #expect(cluster.converge(within: 10_000))
        try cluster.expectEqual()
        // Five at once, then one in a tenth of a second, for two seconds.
        #expect((5...30).contains(cluster.relay.log.count - before))
    }

    /// Members that meet at a relay only hear there where the others stand, and let deleted rows go.
    @Test func deletedRowsGoOnceAllHaveSaidThatTheySawIt() throws {
        let cluster = try LogCluster(3, owners: 3, seed: 31) {
            $0.limits.collectMilliseconds = 5_000
        }
        for row in 0..<5 { try cluster.write(row % 3, "row\(row)", "text") }
        #expect(cluster.converge(within: 60_000))
        func kept() throws -> [Int64] {
            try cluster.members.map {
                try $0.app.integer("SELECT count(*) FROM _starling_deleted") ?? -1
            }
        }
        try cluster.members[1].app.run("DELETE FROM notes WHERE id = 'row1'")
        try cluster.look(cluster.members[1])
        #expect(cluster.converge(within: 60_000))
        #expect(try kept() == [1, 1, 1])
        var heard: [Int: Set<String>] = [:]
        for (index, member) in cluster.members.enumerated() {
            member.forwarder.onReports = { reports in
                for report in reports {
                    heard[index, default: []].insert(report.node)
                    // As the engine does.
                    guard member.replica.vector.covers(report.vector) else { continue }
                    _ = try? member.replica.noteReport(
                        of: report.node, name: "", origin: report.origin, vector: report.vector,
                        ageMilliseconds: 0)
                }
            }
        }
        let names = Set(cluster.members.map(\.name))
        for _ in 0..<200 {
            cluster.round()
            cluster.advance(1_000)
            for member in cluster.members {
                _ = try member.replica.collect(
                    StabilityGroup(writers: names.subtracting([member.name]), readers: []))
                try cluster.look(member)
            }
        }
        #expect(heard.count == 3, "\(heard)")
        #expect(try kept() == [0, 0, 0])
        #expect(cluster.isConverged)
        // Then they are quiet: a word of each once in a while.
        let entries = cluster.relay.log.count
        for _ in 0..<60 {
            cluster.round()
            cluster.advance(1_000)
        }
        #expect(cluster.relay.log.count - entries <= 6)
    }

    /// What the log has of the time before a delete was collected is here already.
    @Test func whoTookACopyReadsTheOldLogAndRepeatsNothing() throws {
        let cluster = try LogCluster(2, owners: 1, seed: 23)
        for key in ["a", "b", "c"] { try cluster.write(0, key, "one") }
        let (old, new) = (cluster.members[0].replica, cluster.members[1].replica)
        func readAll(_ index: Int) {
            for _ in 0..<4 {
                cluster.step(index)
                while cluster.members[index].open.contains(where: { !$0.isWaiting }) {
                    cluster.answer(index)
                    cluster.step(index)
                }
                cluster.answer(index)
            }
        }
        readAll(0)
        try cluster.members[0].app.execute("DELETE FROM notes WHERE id = 'a'")
        try cluster.look(cluster.members[0])
        readAll(0)
        #expect(try old.collect(StabilityGroup(writers: [], readers: [])).rows == 1)
        try new.beginJoining(because: "it was let in")
        _ = try new.adoptSchema(try old.schemaDescription())
        let copy = try #require(try old.openDelta(base: VersionVector(), resume: nil))
        while let chunk = try copy.next() { _ = try new.apply(chunk, of: copy.header) }
        _ = try new.finish(copy.header)
        copy.close()
        try new.settleJoining()
        #expect(!new.floor.isEmpty)

        let entries = cluster.relay.log.count
        #expect(entries > 0)
        try cluster.look(cluster.members[1])
        readAll(1)
        #expect(cluster.members[1].forwarder.refused.isEmpty)
        #expect(new.logVector.covers(new.vector))
        #expect(cluster.relay.log.count == entries)
    }

    /// One member forwards for those it meets: they are spoken for.
    @Test func theOneThatForwardsSpeaksForTheOthers() throws {
        let cluster = try LogCluster(2, owners: 2, seed: 32) {
            $0.limits.collectMilliseconds = 5_000
        }
        let report = StatementReport(
            node: "quiet", name: "Quiet", origin: Origin(high: 3, low: 4),
            vector: VersionVector(), ageMilliseconds: 12)
        cluster.members[0].forwarder.reports = { [report] }
        var heard: [StatementReport] = []
        cluster.members[1].forwarder.onReports = { heard += $0 }
        try cluster.write(0, "a", "one")
        for _ in 0..<120 where !heard.contains(report) {
            cluster.round()
            cluster.advance(1_000)
        }
        #expect(heard.contains(report))
        #expect(heard.contains { $0.node == "node0" && !$0.vector.isEmpty })
        // A reader says where it stands itself, and nothing of others.
        cluster.members[1].forwarder.mayWrite = { $0 != "node0" }
        heard = []
        for _ in 0..<200 where heard.isEmpty {
            cluster.round()
            cluster.advance(1_000)
        }
        #expect(heard.map(\.node) == ["node0"])
    }
}
