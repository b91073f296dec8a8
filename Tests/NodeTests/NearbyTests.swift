// Joining by six digits: the same on both screens, confirmed on one; and everything that is not that.

import Node
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite(.fewAtOnce) struct NearbyTests {
    private func started(_ flock: Flock) async throws -> (ann: TestNode, address: String) {
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        return (ann, try #require(ann.address))
    }

    private func members(_ node: TestNode) async throws -> Int {
        try await node.ask("members")["members"]?.array?.count ?? 0
    }

    /// Nothing of a home is left that was not joined, apart from its key and its file.
    private func expectNoMember(_ asking: Asking) {
        for file in ["identity.json", "introducer.json"] {
            #expect(!Path.exists("\(asking.home)/\(file)"))
        }
    }

    @Test func equalCodesThatAreConfirmedMakeAMember() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock, "--reader", "--ttl", "2m")
        let asking = try Asking("van", address, in: flock)
        let code = try await asking.code()
        let asker = try await inviting.event("asker")
        #expect(asker["code"]?.string == code && code.utf8.count == 6)
        #expect(asker["name"] == "van")
        // Before the answer nobody is anything, and the newcomer was told nothing.
        #expect(try await members(ann) == 0)
        #expect(!asking.process.output.contains("ann"))
        #expect(Path.exists("\(asking.home)/identity.json"))

        let spaced = "\(code.prefix(3)) \(code.suffix(3))"
        let confirmed = try await ann.ask("invite", "--confirm", spaced)
        let (exit, result, errors) = try await asking.end()
        #expect(exit == 0, "\(errors)")
        #expect(result["name"] == "van" && result["role"] == "reader")
        #expect(result["inviter"]?["name"] == "ann")
        #expect(try await inviting.process.exit() == 0)
        #expect(inviting.result["node"] == result["node"] && confirmed["node"] == result["node"])
        #expect(inviting.result["fingerprint"] == result["fingerprint"])

        let van = flock.add(TestNode("van", in: flock))
        try await van.start()
        try await van.shows("SELECT title FROM jobs", "roof")
        try await flock.converge(ann, van)
        #expect(try await van.ask("members")["role"] == "reader")
        #expect(try await members(ann) == 2)
        #expect(try await ann.ask("members")["invitations"]?.array?.isEmpty == true)
        try await flock.until("van believes the table") {
            !Path.exists("\(van.home)/introducer.json")
        }
        // It was for one.
        let late = try await Asking("late", address, in: flock).end()
        #expect(late.code == 6 && late.errors.contains("not open to be asked"), "\(late)")
    }

    /// As people use it: the question on one screen, the answer typed there.
    @Test func personAnswersAtTheQuestion() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try flock.spawn(
            [Flock.program, "--home", ann.home, "invite", "--nearby", "--for", "Van"],
            name: "nearby")
        try await inviting.line(with: "Waiting for it to ask")
        // Typed before there is a question, and so no answer.
        inviting.send("y")
        for (name, answer, code) in [("eve", "n", Int32(6)), ("van", "y", 0)] {
            let asking = try flock.spawn(
                [Flock.program, "--home", flock.path(name), "join", "--peer", address], name: name)
            let shown = try await asking.line(with: "code here").text
            try await flock.until("the same code is here") { inviting.output.contains(shown) }
            try await asking.line(with: "Waiting for the answer")
            #expect(asking.output.contains("Compare it with the code on the other screen"))
            // A person who reads takes longer than that.
            try await Task.sleep(for: .milliseconds(1100))
            inviting.send(answer)
            #expect(try await asking.exit() == code, "\(asking.errors) \(inviting.output)")
            #expect(asking.errors.contains("said no") == (answer == "n"))
        }
        #expect(try await inviting.exit() == 0)
        #expect(inviting.output.contains("Van (") && inviting.output.contains("is a member now"))
        #expect(inviting.output.contains("Nobody was let in. Waiting for another to ask."))
        #expect(try await members(ann) == 2)
    }

    @Test func whoIsDeniedIsToldAndTheNextMayAsk() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let before = try await ann.status()["strangers"]?.int ?? 0
        let inviting = try await Inviting(ann, in: flock)
        let eve = try Asking("eve", address, in: flock)
        let code = try await inviting.code()
        #expect(try await ann.ask("invite", "--deny")["denied"]?.string == code)
        let denied = try await eve.end()
        #expect(denied.code == 6 && denied.errors.contains("said no"), "\(denied)")
        expectNoMember(eve)
        #expect(try await inviting.event("asker_left")["reason"] == "denied")

        // The other screen's code, typed in, and it is another: that is a no.
        let mal = try Asking("mal", address, in: flock)
        let shown = try await inviting.code()
        let wrong = shown == "123456" ? "654321" : "123456"
        let answer = try await ann.command("invite", "--confirm", wrong)
        #expect(answer.code == 6 && answer.errors.contains("not the code"), "\(answer)")
        #expect(try await mal.end().code == 6)
        // A guess more there is not.
        let again = try await ann.command("invite", "--confirm", shown)
        #expect(again.code == 1 && again.errors.contains("nobody asks"), "\(again)")
        #expect(try await ann.status()["strangers"]?.int ?? 0 >= before + 2)

        let van = try Asking("van", address, in: flock)
        let yes = try await ann.command("invite", "--confirm", try await inviting.code())
        #expect(yes.code == 0 && yes.output.hasPrefix("van ("), "\(yes)")
        #expect(yes.output.contains("is a member now") && !yes.output.contains("starling join"))
        #expect(try await van.end().code == 0)
        #expect(try await members(ann) == 2)
    }

    @Test func secondAskerIsToldThatItIsBusy() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let van = try Asking("van", address, in: flock)
        let code = try await inviting.code()
        let other = try await Asking("other", address, in: flock).end()
        #expect(other.code == 6 && other.errors.contains("is busy"), "\(other)")
        #expect(inviting.askers == 1)
        let second = try await ann.command("invite", "--nearby", "--json")
        #expect(second.code == 6 && second.errors.contains("runs here already"), "\(second)")
        _ = try await ann.ask("invite", "--confirm", code)
        #expect(try await van.end().code == 0)
    }

    @Test func whoGoesAwayMakesRoom() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let gone = try Asking("gone", address, in: flock)
        let old = try await inviting.code()
        gone.process.kill()
        let left = try await inviting.event("asker_left")
        #expect(left["reason"] == "gone" && left["code"]?.string == old && left["left"] == 2)
        // What comes too late is for nobody.
        #expect(try await ann.command("invite", "--confirm", old).errors.contains("nobody asks"))
        let van = try Asking("van", address, in: flock)
        _ = try await inviting.code()
        // And the inviting side goes: Ctrl-C.
        inviting.process.signal(SIGINT)
        let ended = try await van.end()
        #expect(ended.code == 6 && ended.errors.contains("nobody waits"), "\(ended)")
        expectNoMember(van)
        // The node itself is killed.
        let again = try await Inviting(ann, in: flock)
        let last = try Asking("last", address, in: flock)
        _ = try await again.code()
        ann.kill()
        let cut = try await last.end()
        #expect(cut.code == 1 && cut.errors.contains("went away before anybody answered"), "\(cut)")
        #expect(try await again.process.exit() == 3)
        #expect(try await members(ann) == 0)
    }

    @Test func nobodyAnswersInTime() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock, "--ttl", "4s")
        let van = try Asking("van", address, in: flock)
        _ = try await van.code()
        let (code, _, errors) = try await van.end()
        #expect(code == 4 && errors.contains("nobody answered"), "\(errors)")
        #expect(try await inviting.process.exit() == 4)
        #expect(inviting.process.errors.contains("nobody was let in"))
        expectNoMember(van)
        // Nobody waits now, neither here nor there.
        #expect(try await ann.command("invite", "--deny").errors.contains("nobody may ask"))
        let nobody = try await ann.command([
            "--home", flock.path("x"), "join", "--no-discovery", "--json",
        ])
        #expect(nobody.code == 2, "\(nobody)")
        #expect(try await members(ann) == 0)
    }

    /// Whoever it takes for the inviter gets nothing of what it has.
    @Test func nodeThatHasTablesDoesNotJoinByACode() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let bob = flock.add(TestNode("bob", in: flock))
        try await bob.ask("init", "--name", "bob")
        try await bob.sql(AttackTests.jobs)
        try await bob.ask("track", "--all")
        let answer = try await bob.command("join", "--peer", address, "--json")
        #expect(answer.code == 6 && answer.errors.contains("only a new one joins"), "\(answer)")
        #expect(inviting.askers == 0)
        // And a reader, or a removed member, lets nobody in.
        let invited = try await ann.ask("invite", "--reader")["invitation"]?.string ?? ""
        let rea = flock.add(TestNode("rea", in: flock))
        #expect(try await rea.command("join", invited, "--no-discovery").code == 0)
        try await rea.start()
        let refused = try await rea.command("invite", "--nearby", "--json")
        #expect(refused.code == 6 && refused.errors.contains("is a reader"), "\(refused)")
    }

    /// Reproducer: Ctrl-C while the other screen was looked at left a home folder with which nobody could
    /// ask again.
    @Test func whatWasInterruptedGoesOn() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let first = try Asking("van", address, in: flock)
        let old = try await inviting.code()
        #expect(try await first.code() == old)
        first.process.signal(SIGINT)
        #expect(try await first.process.exit() == 130)
        try await inviting.event("asker_left")
        let second = try Asking("van", address, in: flock)
        let code = try await inviting.code()
        _ = try await ann.ask("invite", "--confirm", code)
        let (exit, result, errors) = try await second.end()
        #expect(exit == 0 && result["name"] == "van", "\(errors)")
        #expect(try await members(ann) == 2)
    }
}
