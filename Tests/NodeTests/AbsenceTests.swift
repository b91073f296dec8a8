// Deleted rows go once all who take part have seen their deletes; who is away holds them back until it is
// evicted, and loses nothing by that.

import CausalModel
import Glibc
import Sync
import Synchronization
import TestKit
import Testing
import Transport
import Trust

@testable import Node
@testable import Store

/// A node in this process, on a thread of its own, of which a test can change what takes too long.
private final class ThreadedService: Sendable {
    private struct State {
        var stop: (@Sendable () -> Void)?
        var result: Result<Void, any Error>?
    }
    private let state = Mutex(State())

    init(_ options: RunOptions, change: @escaping @Sendable (NodeService) -> Void) {
        TestThread.start { [self] in
            let result = Result {
                let context = try NodeContext(home: options.home, pid: getpid())
                let service = try NodeService(context: context, options: options)
                service.onReady = { [self] in
                    // It holds itself by this.
                    service.onReady = nil
                    change(service)
                    let (mailbox, bound) = (
                        service.loop.mailbox, LoopBound(service, on: service.loop)
                    )
                    state.withLock { $0.stop = { mailbox.post { _ in bound.value.stop(nil) } } }
                }
                try service.run()
            }
            // The service goes, and with it what it has locked.
            state.withLock {
                $0.stop = nil
                $0.result = result
            }
        }
    }

    /// Why it does not run (any more).
    var problem: String? { state.withLock { $0.result.map { "the node ended: \($0)" } } }

    func stop() async throws {
        state.withLock { $0.stop }?()
        while true {
            if let result = state.withLock({ $0.result }) { return try result.get() }
            await Task.yield()
        }
    }
}

@Suite(.fewAtOnce) struct AbsenceTests {
    private func member(_ name: String, origin: UInt64? = 7) throws -> Member {
        Member(
            key: try NodeKey().publicKey, name: name, role: .writer, introducer: "",
            sinceMilliseconds: 0, origin: origin.map { Origin(high: $0, low: $0) })
    }

    private func statement(_ member: Member, seen: Int64) -> PeerStatement {
        PeerStatement(
            node: member.node, name: member.name, vector: VersionVector(), origin: nil,
            seenMilliseconds: seen, ageMilliseconds: 0)
    }

    @Test func whoWasNotSeenForNinetyDaysIsOverdue() throws {
        let day: Int64 = 86_400_000
        let now = 1_000 * day
        let (near, far, new) = try (member("near"), member("far"), member("new"))
        let out = try member("out", origin: nil)
        let others = [near, far, new, out]
        func overdue(
            near nearSeen: Int64, far farSeen: Int64, linked: Set<String> = [],
            running: Int64 = 2 * 3_600_000
        ) -> [String] {
            Absence.overdue(
                others,
                [
                    statement(near, seen: nearSeen), statement(far, seen: farSeen),
                    statement(new, seen: 0), statement(out, seen: 1),
                ], linked: linked, now: now, running: running
            ).map(\.name)
        }
        #expect(overdue(near: now - 1, far: now - 91 * day) == ["far"])
        #expect(overdue(near: now - 1, far: now - 89 * day) == [])
        // A session that stands for months says nothing new.
        #expect(overdue(near: now - 95 * day, far: now - 91 * day, linked: [near.node]) == ["far"])
        // Whoever sees nobody may be the one who was away, or has a wrong clock.
        #expect(overdue(near: now - 95 * day, far: now - 91 * day) == [])
        #expect(overdue(near: now + 95 * day, far: now - 91 * day) == [])
        #expect(overdue(near: now - 1, far: now - 91 * day, running: 1_000) == [])
    }

    @Test func deletedRowsShrinkToNothingAndAnEvictedMemberLosesNothing() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "cid", schema: AttackTests.jobs)
        let (ann, bob, cid) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await cid.start(peers: [ann, bob])
        try await ann.sql("INSERT INTO jobs VALUES('a','1'),('b','2'),('c','3'),('d','4')")
        try await flock.converge(ann, bob, cid)
        func kept(_ node: TestNode) async throws -> (Int64?, [String]) {
            let facts = try await node.status()["deleted_rows"]
            return (facts?["kept"]?.int, (facts?["waits_for"]?.array ?? []).compactMap(\.string))
        }

        try await ann.sql("DELETE FROM jobs WHERE id = 'a'")
        try await flock.until("an idle, connected group keeps no deleted row") {
            for node in [ann, bob, cid] {
                guard try await kept(node).0 == 0,
                    try await node.sql("SELECT count(*) FROM jobs") == "4\n"
                else { return false }
            }
            return true
        }

        // Away, it holds back what it has not seen deleted.
        try await cid.stop()
        try await ann.sql("DELETE FROM jobs WHERE id = 'b'")
        try await flock.until("it is kept for cid alone") {
            let facts = try await kept(ann)
            return facts.0 == 1 && facts.1 == ["cid"]
        }
        let told = try await ann.command("status")
        #expect(told.output.contains("1 row, kept for cid"), "\(told)")

        // Evicted, it is waited for no more, and what it writes meanwhile is not lost.
        let evicted = try await ann.ask("members", "evict", "cid")
        #expect(evicted["action"] == "evicted")
        try await flock.until("nothing is kept") {
            let (first, second) = (try await kept(ann), try await kept(bob))
            return first.0 == 0 && second.0 == 0
        }
        let members = try await ann.ask("members")["members"]?.array ?? []
        #expect(members.filter { $0["takes_part"] == false }.map { $0["name"] } == ["cid"])
        try await cid.sql(
            "UPDATE jobs SET title = 'changed away' WHERE id = 'c'; INSERT INTO jobs VALUES('e','5')"
        )
        try await cid.start(peers: [ann])
        try await flock.converge(ann, bob, cid)
        for node in [ann, bob, cid] {
            #expect(
                try await node.sql("SELECT * FROM jobs ORDER BY id")
                    == "c|changed away\nd|4\ne|5\nj1|roof\n")
        }
        try await flock.until("cid takes part again") {
            let all = try await ann.ask("members")["members"]?.array ?? []
            return all.allSatisfy { $0["takes_part"] == true }
        }
        for node in nodes { #expect(try await node.stop() == 0) }
        try await flock.expectProof(of: nodes)
    }

    /// The policy in a whole node: of what takes 90 days and an hour, the statement of who is away is as old,
    /// and the node believes that it has run for two hours.
    @Test func aNodeEvictsWhomNobodyHasSeenForNinetyDays() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "cid", schema: AttackTests.jobs)
        let (ann, bob, cid) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await cid.start(peers: [ann, bob])
        try await ann.sql("INSERT INTO jobs VALUES('a','1'),('b','2')")
        try await flock.converge(ann, bob, cid)
        try await cid.stop()
        try await ann.sql("DELETE FROM jobs WHERE id = 'a'")
        try await flock.converge(ann, bob)
        #expect(try await ann.stop() == 0)
        let kept = "SELECT count(*) FROM _starling_deleted"
        #expect(try await ann.sql(kept) == "1\n")
        let away = try cid.identity.node
        try await ann.sql(
            "UPDATE _starling_peer SET seen = seen - 91 * 86400000 WHERE node = '\(away)'")

        let listen = try #require(ann.address.flatMap { HostPort($0) })
        let run = ThreadedService(
            RunOptions(home: Home(path: ann.home), listen: listen, peers: [], discovery: false)
        ) { service in
            service.absence.startedAt = service.now - 2 * Absence.runningMillisecondsMin
        }
        try await flock.until("cid is evicted") {
            if let problem = run.problem { throw ProcessError(description: problem) }
            let who = "SELECT name FROM starling_members WHERE origin = ''"
            return try await ann.sql(who) == "cid\n"
        }
        try await flock.until("nothing is kept for it") {
            let (first, second) = (try await ann.sql(kept), try await bob.sql(kept))
            return first == "0\n" && second == "0\n"
        }
        try await run.stop()
        try await ann.start(peers: [bob])
        try await cid.start(peers: [ann])
        try await flock.converge(ann, bob, cid)
        for node in nodes { #expect(try await node.sql("SELECT id FROM jobs") == "b\nj1\n") }
    }

    /// The one writer's file is put back while only a reader is there: it goes on from that file.
    @Test func aWriterAmongReadersGoesOnFromItsOlderFile() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: AttackTests.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await ann.sql("INSERT INTO jobs VALUES('a','1')")
        try await flock.converge(ann, bob)
        _ = try await ann.ask("members", "role", "bob", "reader")
        try await flock.until("bob knows") { try await bob.status()["role"] == "reader" }
        _ = try await ann.ask("backup", flock.path("old.db"))
        try await ann.sql("INSERT INTO jobs VALUES('b','2')")
        try await flock.until("bob has it") {
            try await bob.sql("SELECT count(*) FROM jobs WHERE id = 'b'") == "1\n"
        }
        try await ann.stop()
        _ = try await flock.run([
            "sh", "-c",
            "rm -f \(ann.file)-wal \(ann.file)-shm && cp \(flock.path("old.db")) \(ann.file)",
        ])
        try await ann.start(peers: [bob])
        try await ann.sql("INSERT INTO jobs VALUES('c','3')")
        try await flock.until("bob follows") {
            let mine = try await ann.sql("SELECT count(*) FROM jobs WHERE id = 'c'")
            let theirs = try await bob.sql("SELECT count(*) FROM jobs WHERE id = 'c'")
            return mine == "1\n" && theirs == "1\n"
        }
        // What only the reader has stays there, as a change that nobody takes.
        try await flock.until("it is told") {
            try await bob.status()["refused"]?.int ?? 0 > 0
        }
        #expect(try await bob.sql("SELECT title FROM jobs WHERE id = 'b'") == "2\n")
        for node in nodes { #expect(try await node.stop() == 0) }
    }

    /// Reproducer: starling-sim --seed 9730667 --nodes 2 --steps 272. The one writer's file is put back
    /// behind its own change of a role, which now only the reader knows, of whom nobody takes anything: the
    /// reader says so as the writer that it is by the other's list, and both have one list again.
    @Test func aRoleThatOnlyItsReaderKnowsComesBack() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: AttackTests.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(ann, bob)
        _ = try await ann.ask("backup", flock.path("old.db"))
        _ = try await ann.ask("members", "role", "bob", "reader")
        try await flock.until("bob knows") { try await bob.status()["role"] == "reader" }
        try await ann.stop()
        _ = try await flock.run([
            "sh", "-c",
            "rm -f \(ann.file)-wal \(ann.file)-shm && cp \(flock.path("old.db")) \(ann.file)",
        ])
        try await ann.start(peers: [bob])
        func roles(_ node: TestNode) async throws -> [String] {
            (try await node.ask("members")["members"]?.array ?? []).map {
                "\($0["name"]?.string ?? "") \($0["role"]?.string ?? "")"
            }.sorted()
        }
        try await flock.until("both have one list") {
            let lists = [try await roles(ann), try await roles(bob)]
            return lists.allSatisfy { $0 == ["ann writer", "bob reader"] }
        }
        try await flock.until("bob is a reader again") {
            try await bob.status()["role"] == "reader"
        }
        try await flock.converge(ann, bob)
        try await bob.sql("INSERT INTO jobs VALUES('r','of a reader')")
        try await flock.until("which is refused") {
            try await bob.status()["refused"]?.int ?? 0 > 0
        }
        #expect(try await ann.sql("SELECT count(*) FROM jobs WHERE id = 'r'") == "0\n")
        for node in nodes { #expect(try await node.stop() == 0) }
    }
}
