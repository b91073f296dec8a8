// Pairing on machines with real Avahi daemons: the inviter is found by its announcement alone, and the
// announcement tells strangers nothing.

import Testing

@testable import Node

@Suite(.fewAtOnce) struct PairingBedTests {
    @Test(
        .enabled(if: NodeBed.isAvailable, "needs the bed; the reason is on stderr"),
        .timeLimit(.minutes(10)))
    func inviterIsFoundByItsAnnouncementAlone() async throws {
        let flock = Flock()
        let ann = try await flock.nodes(
            "ann", schema: "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title)")[0]
        let bed = try await NodeBed(machines: 2, in: flock)
        ann.machine = bed.machine(1)
        try await ann.start()
        try await ann.sql("INSERT INTO jobs VALUES('j1','roof')")
        let line = try #require(try await ann.ask("invite", "--for", "bob")["invitation"]?.string)
        var invitation = try Invitation(line: line)
        #expect(invitation.addresses.contains { $0.host.hasPrefix("10.77.0.") })
        invitation.addresses = []

        let bob = flock.add(TestNode("bob", in: flock))
        bob.machine = bed.machine(2)
        let answer = try await flock.run(
            bed.machine(2) + [
                Flock.program, "--home", bob.home, "join", invitation.line, "--json",
            ])
        #expect(answer.code == 0, "\(answer)")
        try await bob.start()
        try await bob.shows("SELECT title FROM jobs", "roof")
        try await flock.converge(ann, bob)

        // What is on the network says neither who nor what, and says something else the next time.
        let before = try await announcements(seenBy: bed, in: flock)
        #expect(before.count == 2, "\(before)")
        for node in [ann, bob] {
            let identity = try node.identity
            let own = try #require(try await node.ask("members")["members"]?.array)
                .first { $0["self"] == true }
            for secret in [
                identity.node, String(identity.node.prefix(8)), identity.group, node.name,
                own?["key"]?.string ?? "", own?["fingerprint"]?.string ?? "",
            ] {
                #expect(!before.contains { $0.contains(secret) }, "\(secret) in \(before)")
            }
        }
        try await bed.signal(ann, on: 1, "TERM")
        #expect(try await ann.process?.exit() == 0)
        try await ann.start()
        try await flock.converge(ann, bob)
        let after = try await announcements(seenBy: bed, in: flock, not: before)
        #expect(Set(before).intersection(after).count == 1, "\(before) \(after)")
        for (index, node) in [ann, bob].enumerated() {
            try await bed.signal(node, on: index + 1, "TERM")
            #expect(try await node.process?.exit() == 0)
        }
    }

    /// Whoever overheard a line that is over must not find its giver by it: not after it was revoked or used,
    /// nor when its time is up.
    @Test(
        .enabled(if: NodeBed.isAvailable, "needs the bed; the reason is on stderr"),
        .timeLimit(.minutes(10)))
    func invitationThatIsOverIsAnnouncedNoLonger() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        let bed = try await NodeBed(machines: 2, in: flock)
        ann.machine = bed.machine(1)
        try await ann.start()
        func said(_ isInviting: Bool, _ when: String) async throws {
            try await flock.until("\(isInviting ? "an" : "no") invitation is announced \(when)") {
                let seen = try await bed.browse(on: 2)
                return seen.contains("salt=") && seen.contains("inv=") == isInviting
            }
        }
        try await said(false, "at first")
        for ending in ["revoked", "used", "expired"] {
            let isShort = ending == "expired"
            let line = try #require(
                try await ann.ask("invite", "--ttl", isShort ? "10s" : "10m")["invitation"]?.string)
            try await said(true, "that will be \(ending)")
            switch ending {
            case "revoked": try await ann.ask("invite", "--revoke")
            case "used":
                let answer = try await flock.run(
                    bed.machine(2) + [
                        Flock.program, "--home", flock.path("bob"), "join", line, "--json",
                    ])
                #expect(answer.code == 0, "\(answer)")
            default: break
            }
            try await said(false, "once it was \(ending)")
        }
        try await bed.signal(ann, on: 1, "TERM")
        #expect(try await ann.process?.exit() == 0)
    }

    /// Nothing is carried from one to the other but what two screens show.
    @Test(
        .enabled(if: NodeBed.isAvailable, "needs the bed; the reason is on stderr"),
        .timeLimit(.minutes(10)))
    func machinesSideBySideFindEachOtherForACode() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        let eve = flock.add(TestNode("eve", in: flock))
        try await eve.ask("init", "--name", "eve")
        let bed = try await NodeBed(machines: 3, in: flock)
        for (index, node) in [ann, eve].enumerated() {
            node.machine = bed.machine(index * 2 + 1)
            try await node.start()
        }
        func join(_ name: String) throws -> ChildProcess {
            try flock.spawn(
                bed.machine(2) + [Flock.program, "--home", flock.path(name), "join", "--json"],
                name: "join")
        }
        // Before anybody may ask: it goes on looking, and finds who opens then.
        let early = try join("bob")
        let inviting = try await Inviting(ann, in: flock)
        let code = try await inviting.code()
        let line = try await early.line(with: "\"address\"").text
        #expect(line.contains("\"\(code)\""))
        _ = try await ann.ask("invite", "--confirm", code)
        #expect(try await early.exit() == 0, "\(early.errors)")
        let bob = flock.add(TestNode("bob", in: flock))
        bob.machine = bed.machine(2)
        try await bob.start()
        try await bob.shows("SELECT title FROM jobs", "roof")

        // It is said only while it is so.
        try await flock.until("nobody is open any more") {
            let said = try await bed.browse(on: 2)
            return said.contains("salt=") && !said.contains("ask=")
        }
        // Of two that are open nobody knows which is meant.
        let two = [try await Inviting(ann, in: flock), try await Inviting(eve, in: flock)]
        try await flock.until("both are open") {
            Set(
                try await bed.browse(on: 2).split(separator: "\n").filter {
                    $0.hasPrefix("=") && $0.contains("ask=")
                }.compactMap { $0.split(separator: ";").dropFirst(3).first }
            ).count == 2
        }
        let unsure = try join("cid")
        #expect(try await unsure.exit() == 6)
        #expect(unsure.errors.contains("2 machines on this network are open"), "\(unsure.errors)")
        #expect(unsure.errors.contains("10.77.0."))
        #expect(two.allSatisfy { $0.askers == 0 })
        for (node, machine) in [(ann, 1), (bob, 2), (eve, 3)] {
            try await bed.signal(node, on: machine, "TERM")
            #expect(try await node.process?.exit() == 0)
        }
    }

    /// The names and TXT records of the nodes that a machine sees, without addresses.
    private func announcements(
        seenBy bed: NodeBed, in flock: Flock, not before: [String] = []
    ) async throws -> [String] {
        var found: Set<String> = []
        try await flock.until("two nodes are announced") {
            let lines = try await bed.browse(on: 2).split(separator: "\n")
            found = Set(
                lines.filter { $0.hasPrefix("=") }.map { line in
                    let parts = line.split(separator: ";", omittingEmptySubsequences: false)
                    return parts.count > 9 ? "\(parts[3]) \(parts[9])" : "\(line)"
                })
            return found.count == 2 && found != Set(before)
        }
        return found.sorted()
    }
}
