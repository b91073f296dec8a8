// A member that was let in and never came: nothing is said to be there, everybody says why, and it ends
// when it comes or is removed.

import Node
import Testing

@Suite(.fewAtOnce) struct NeverSeenTests {
    /// Reproducer: `sync` ended with code 4 and "not reached", and rows stayed pending, for ever and with no
    /// word of what to do.
    @Test func memberThatNeverCameIsNamedWithTheRemedy() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "beni", "cid", schema: AttackTests.jobs)
        let (ann, bob, beni) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await flock.converge(ann, bob)
        _ = try await ann.ask("members", "remove", "cid")

        let sync = try await ann.command("sync")
        #expect(sync.code == 4 && sync.output.contains("Exchanged with 1 peer"), "\(sync)")
        #expect(sync.output.contains("beni was let in and has never been seen"), "\(sync)")
        #expect(sync.output.contains("starling members remove beni"), "\(sync)")
        let failed = try await ann.command("sync", "--json").json["failed"]?.array ?? []
        #expect(failed.count == 1 && failed[0]["never_seen"] == true, "\(failed)")
        let status = try await ann.command("status")
        #expect(
            status.output.contains("This node has never seen beni"), "\(status)")
        #expect(!status.output.contains("beni (never seen) is away and has everything"))
        let why = try await ann.command("why", "beni")
        #expect(why.code == 4 && why.output.contains("members remove beni"), "\(why)")
        let records = try await ann.command("records", "jobs")
        #expect(records.output.contains("pending") && records.output.contains("beni has never"))

        // It comes: everything is there, and nobody says anything of it.
        try await beni.start(peers: [ann])
        try await flock.converge(ann, bob, beni)
        try await flock.until("all have it") { try await ann.command("sync").code == 0 }
        #expect(!(try await ann.command("status")).output.contains("has never seen"))
        // Gone again, it was seen: that is another thing to say.
        try await beni.stop()
        try await ann.sql("INSERT INTO jobs VALUES('later','door')")
        try await flock.until("beni is missed") {
            try await ann.status()["peers"]?.array?.contains {
                $0["name"] == "beni" && $0["state"] != "connected"
            } ?? false
        }
        let away = try await ann.command("sync", "--json")
        #expect(
            away.code == 4 && away.json["failed"]?.array?.first?["never_seen"] == false, "\(away)")
        _ = try await ann.ask("members", "remove", "beni")
        try await flock.until("nobody waits for it") {
            let records = try await ann.command("records", "jobs", "--json")
            let sync = try await ann.command("sync")
            return sync.code == 0 && records.json["counts"]?["pending"] == 0
        }
    }
}
