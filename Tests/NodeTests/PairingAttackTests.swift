// Invitations in the wrong hands: used twice, used again after a removal, by who says anything else, and
// newcomers whom somebody else answers.

import Node
import Testing

@Suite(.fewAtOnce) struct PairingAttackTests {
    private func invite(_ node: TestNode) async throws -> String {
        try #require(try await node.ask("invite")["invitation"]?.string)
    }

    private func join(_ node: TestNode, _ line: String, _ words: String...) async throws -> Answer {
        try await node.command(["join", line, "--no-discovery", "--json"] + words)
    }

    private func members(_ node: TestNode) async throws -> Int {
        try await node.ask("members")["members"]?.array?.count ?? 0
    }

    /// Reproducer: the invitation that a machine once came by let it in again after it was removed, as if
    /// the first answer had been lost.
    @Test func removedMemberDoesNotComeBackByItsOldInvitation() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        let line = try await invite(ann)
        let bob = flock.add(TestNode("bob", in: flock))
        #expect(try await join(bob, line, "--name", "bob").code == 0)
        #expect(try await members(ann) == 2)
        try await ann.ask("members", "remove", "bob")
        // The same key, and nothing else of what it was.
        for file in ["identity.json", "introducer.json", "config.json5", "data.db"] {
            _ = try await flock.run(["rm", "-f", "\(bob.home)/\(file)"])
        }
        let answer = try await join(bob, line)
        #expect(answer.code == 6 && answer.errors.contains("was removed"), "\(answer)")
        #expect(try await members(ann) == 1)
    }

    @Test func ofTwoWhoUseOneInvitationAtOnceOneIsLetIn() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        for round in 0..<3 {
            let line = try await invite(ann)
            let children = try (0..<2).map { number in
                try flock.spawn(
                    [
                        Flock.program, "--home", flock.path("n\(round)-\(number)"), "join", line,
                        "--no-discovery", "--json",
                    ], name: "join")
            }
            var codes: [Int32] = []
            for child in children { codes.append(try await child.exit()) }
            let told = children.map(\.errors).joined()
            #expect(codes.sorted() == [0, 6], "\(codes) \(told)")
            #expect(told.contains("used already"))
            #expect(try await members(ann) == round + 2)
        }
    }

    /// The one-time key opens the door to one question, and to nothing of the sync protocol.
    @Test func guestThatSaysAnythingElseIsSentAway() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        let line = try await invite(ann)
        let told = try await flock.python(
            AttackScripts.guests, [try #require(ann.address), flock.path("eve"), line])
        let lines = told.split(separator: "\n")
        #expect(lines.count == 6, "\(told)")
        for line in lines {
            // Not a frame, but nothing or a line that says what is wrong.
            #expect(
                line.hasSuffix("ended b''") || line.hasSuffix("ended b'{\"ok\":fal'"), "\(told)")
        }
        #expect(try await members(ann) == 0)
        #expect(try await ann.status()["peers"]?.array?.isEmpty == true)
        // Nothing of that has used it.
        let bob = flock.add(TestNode("bob", in: flock))
        #expect(try await join(bob, line).code == 0)
    }

    /// Reproducer: whoever had an old invitation could hold all places of newcomers.
    @Test func guestsOfOneInvitationLeaveRoomForThoseOfAnother() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        let old = try await ann.ask("invite")
        try await ann.ask("invite", "--revoke", try #require(old["id"]?.string))
        let guests = try flock.spawn(
            [
                Flock.python, "-c", AttackScripts.guestsThatStay, try #require(ann.address),
                flock.path("eve"), try #require(old["invitation"]?.string),
            ], name: "guests")
        try await guests.line(with: "stay")
        let bob = flock.add(TestNode("bob", in: flock))
        let answer = try await join(bob, try await invite(ann))
        #expect(answer.code == 0, "\(answer)")
        guests.send("enough")
    }

    /// What answers in the place of the inviter, without its key and, as after a theft, with it.
    @Test func newcomerIsNotHeldByWhoAnswersWrongly() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        let line = try await invite(ann)
        try await ann.stop()
        let other = flock.path("other")
        let modes = [
            "other": "another node answers there", "garbage": "not found",
            "endless": "longer than", "wrong": "different versions",
            "closes": "ended the exchange",
        ]
        // All at once: two of them are tried until the end of all patience.
        var children: [(mode: String, join: ChildProcess, server: ChildProcess)] = []
        for mode in modes.keys.sorted() {
            let server = try flock.spawn(
                [
                    Flock.python, "-c", Self.answers, "\(flock.host):0", other, mode, ann.home,
                ], name: "answers")
            let address = try await server.line(with: "listens on ").text
            let child = try flock.spawn(
                [
                    Flock.program, "--home", flock.path("van-\(mode)"), "join", line,
                    "--no-discovery", "--peer", String(address.dropFirst("listens on ".count)),
                ], name: "join")
            children.append((mode, child, server))
        }
        for (mode, child, _) in children {
            let code = try await child.exit()
            let words = try #require(modes[mode])
            #expect(code != 0 && child.errors.contains(words), "\(mode): \(child.errors)")
            for file in ["identity.json", "introducer.json"] {
                #expect(!Path.exists("\(flock.path("van-\(mode)"))/\(file)"))
            }
        }
        // The invitation is as good as before.
        try await ann.start()
        #expect(try await join(flock.add(TestNode("bob", in: flock)), line).code == 0)
    }

    private static let answers =
        AttackScripts.prelude + """
            mode, home = rest
            server = socket.create_server((host, int(port)))
            context = tls(make_key(folder) if mode == "other" else home, server=True)
            # As a node does, it asks for a certificate, and looks at none.
            context.verify_mode = ssl.CERT_NONE
            say("listens on %s:%d" % server.getsockname())
            while True:
                s = server.accept()[0]
                try:
                    if mode == "garbage":
                        s.sendall(os.urandom(500))
                        continue
                    s = context.wrap_socket(s, server_side=True)
                    if mode == "endless":
                        for number in range(1000): s.sendall(b"x" * 10000)
                    if mode == "wrong": s.sendall(b'{"ok":true,"result":{"group":"x"}}\\n')
                    if mode != "closes": s.recv(65536)
                    s.close()
                except OSError: pass
            """
}
