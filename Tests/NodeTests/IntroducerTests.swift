// A newcomer of whom only somebody who is gone could have told the others.

import Node
import Testing

@Suite(.fewAtOnce) struct IntroducerTests {
    /// Who was let in by a machine that was removed before it told anybody is a stranger to the group, and is
    /// told so; by another member's invitation it comes in, and its rows with it.
    @Test func newcomerOfARemovedMemberNeedsAnotherInvitation() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: AttackTests.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        try await ann.stop()
        let line = try #require(try await bob.ask("invite")["invitation"]?.string)
        let cid = flock.add(TestNode("cid", in: flock))
        let answer = try await cid.command(["join", line, "--no-discovery", "--json"])
        #expect(answer.code == 0, "\(answer)")
        try await bob.stop()
        try await ann.start()
        try await ann.ask("members", "remove", "bob")

        try await cid.start(peers: [ann])
        try await flock.until("cid is told") {
            let status = try await cid.command("status").output
            return status.contains("has never seen bob: if it will not come, let another member")
        }
        #expect(try await ann.ask("members")["members"]?.array?.count == 1)
        try await cid.stop()

        // The one that let it in is not asked again for nothing; another group is another.
        let again = try await cid.command(["join", line, "--no-discovery", "--json"])
        #expect(again.code == 6 && again.errors.contains("belongs to a group already"), "\(again)")
        let second = try #require(try await ann.ask("invite")["invitation"]?.string)
        let rejoined = try await cid.command(["join", second, "--no-discovery", "--json"])
        #expect(rejoined.code == 0 && rejoined.json["inviter"]?["name"] == "ann", "\(rejoined)")
        try await cid.start(peers: [ann])
        try await flock.until("cid takes part") {
            try await cid.status()["joining"] == false
        }
        try await cid.shows("SELECT count(*) FROM jobs", "1")
        try await cid.sql("INSERT INTO jobs VALUES('c1','of cid')")
        try await ann.shows("SELECT title FROM jobs WHERE id = 'c1'", "of cid")
        #expect(try await ann.ask("members")["members"]?.array?.count == 2)
    }

    /// Whoever waits for a copy has data of its group, and takes no other's; the invitation is left for
    /// somebody else.
    @Test func whoHasDataOfAGroupJoinsNoOther() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: AttackTests.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(nodes)
        let old = flock.path("old.db")
        _ = try await bob.ask("backup", old)
        try await bob.sql("INSERT INTO jobs VALUES('b1','told')")
        try await ann.shows("SELECT title FROM jobs WHERE id = 'b1'", "told")
        try await ann.stop()
        try await bob.stop()
        _ = try await flock.run([
            "sh", "-c", "rm -f '\(bob.file)-wal' '\(bob.file)-shm'; cp '\(old)' '\(bob.file)'",
        ])

        let other = Flock()
        let dan = try await other.nodes("dan", schema: AttackTests.jobs)[0]
        try await dan.start()
        let line = try #require(try await dan.ask("invite")["invitation"]?.string)
        let answer = try await bob.command(["join", line, "--no-discovery", "--json"])
        #expect(answer.code == 6 && answer.errors.contains("another group"), "\(answer)")
        let eve = other.add(TestNode("eve", in: other))
        let joined = try await eve.command(["join", line, "--no-discovery", "--json"])
        #expect(joined.code == 0, "\(joined)")

        // It is still what it was.
        try await ann.start()
        try await bob.start(peers: [ann])
        try await bob.shows("SELECT title FROM jobs WHERE id = 'b1'", "told")
    }
}
