// Who uses that a machine may be asked: somebody between the two, somebody who guesses, somebody who says
// anything else, and somebody who only stays.

import Testing

@testable import Node
@testable import Trust

@Suite(.fewAtOnce) struct NearbyAttackTests {
    private func members(_ node: TestNode) async throws -> Int {
        try await node.ask("members")["members"]?.array?.count ?? 0
    }

    private func started(_ flock: Flock) async throws -> (ann: TestNode, address: String) {
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        return (ann, try #require(ann.address))
    }

    /// It ends TLS on both sides and plays both exchanges by the rules: two codes that differ, and the
    /// person who sees both says no.
    @Test func whoStandsInTheMiddleShowsTwoCodesAndGetsNothing() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let middle = try Middleman(.ownNonces, before: try #require(HostPort(address)))
        let asking = try Asking("van", try middle.listen(flock.host), in: flock)
        middle.run { middle.codes.newcomer != nil && middle.codes.inviter != nil }
        #expect(middle.problem == nil, "\(String(describing: middle.problem))")
        let (here, there) = (try await inviting.code(), try await asking.code())
        #expect(here == middle.codes.inviter && there == middle.codes.newcomer)
        #expect(here != there)
        let no = try await ann.command("invite", "--deny")
        #expect(no.code == 0 && no.output == "Nobody was let in.\n", "\(no)")
        middle.run { middle.answer != nil }
        guard case .error(let error) = middle.answer else {
            Issue.record("the middle was answered \(String(describing: middle.answer))")
            return
        }
        #expect(error.code == "refused")
        #expect(try await members(ann) == 0)
        // What it can do is take the newcomer into a group of its own. That is said on the screen, with
        // the fingerprint of who did it, and it is not ann's.
        let group = String(repeating: "5d", count: 16)
        try middle.pretend(group: group)
        middle.run { !asking.process.isRunning }
        let (code, result, _) = try await asking.end()
        #expect(code == 0 && result["group"]?.string == group)
        let own = try await ann.ask("members")["fingerprint"]
        #expect(result["inviter"]?["fingerprint"] != own)
        #expect(try await members(ann) == 0)
    }

    /// It carries the exchange as it is, so that both would show one code: the newcomer notices that the
    /// commitment was made for another channel.
    @Test func exchangeThatIsCarriedAcrossIsNoticed() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let middle = try Middleman(.verbatim, before: try #require(HostPort(address)))
        let asking = try Asking("van", try middle.listen(flock.host), in: flock)
        middle.run { !asking.process.isRunning }
        let (code, _, errors) = try await asking.end()
        #expect(code == 6 && errors.contains("changed its mind"), "\(errors)")
        #expect(!asking.process.output.contains("\"address\""), "\(asking.process.output)")
        #expect(!Path.exists("\(asking.home)/identity.json"))
        // Ann's screen has a code with nothing to compare it with.
        _ = try await inviting.code()
        _ = try await ann.ask("invite", "--deny")
        #expect(try await members(ann) == 0)
    }

    /// Nobody is taken into a group before its screen had something to compare.
    @Test func yesBeforeAnyCodeIsNone() async throws {
        let flock = Flock()
        let middle = try Middleman(.yesAtOnce, before: HostPort(host: flock.host, port: 1))
        let asking = try Asking("van", try middle.listen(flock.host), in: flock)
        middle.run { !asking.process.isRunning }
        let (code, _, errors) = try await asking.end()
        #expect(code == 6 && errors.contains("different versions"), "\(errors)")
        #expect(!Path.exists("\(asking.home)/identity.json"))
    }

    /// Each code that the other side could learn was on the screen, and there are three.
    @Test func guessesAreSeenAndFew() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let told = try await flock.python(Self.asks, [address, flock.path("eve"), "guess", "12"])
        let lines = told.split(separator: "\n")
        let codes = lines.count { $0.contains("nonce") }
        #expect(lines.count == 12 && codes == 3, "\(told)")
        #expect(try await inviting.process.exit() == 6)
        #expect(inviting.askers == 3)
        #expect(inviting.process.errors.contains("three codes were shown"))
        #expect(try await members(ann) == 0)
        #expect(try await ann.status()["strangers"]?.int ?? 0 >= 12)
        // Ann goes on, and invites by a line.
        let line = try #require(try await ann.ask("invite")["invitation"]?.string)
        let bob = flock.add(TestNode("bob", in: flock))
        #expect(try await bob.command("join", line, "--no-discovery").code == 0)
    }

    /// Before a code is confirmed an asker hears two random numbers, or why not.
    @Test func askerThatSaysAnythingElseIsSentAway() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let told = try await flock.python(
            Self.asks, [address, flock.path("eve"), "odd"], withinSeconds: 240)
        let lines = told.split(separator: "\n")
        #expect(lines.count == 8, "\(told)")
        let identity = try ann.identity
        for line in lines {
            #expect(line.contains(" ended "), "\(told)")
            for secret in [identity.node, identity.group, "ann", "jobs", "roof"] {
                #expect(!line.contains(secret), "\(secret) in \(line)")
            }
        }
        #expect(inviting.askers == 0 && inviting.process.isRunning)
        #expect(try await members(ann) == 0)
        #expect(try await ann.status()["peers"]?.array?.isEmpty == true)
    }

    /// They keep strangers' places: sixteen of one address, and others come in meanwhile.
    @Test func askersThatStayKeepOnlyTheirOwnPlaces() async throws {
        let flock = Flock()
        let (ann, address) = try await started(flock)
        let inviting = try await Inviting(ann, in: flock)
        let pid = try #require(ann.process?.pid)
        let crowd = try flock.spawn(
            [
                Flock.python, "-c", Self.asks, address, flock.path("eve"), "stay", "\(pid)",
                "127.203.1.1",
            ], name: "stay")
        try await crowd.line(with: "stay")
        let van = try Asking("van", address, in: flock)
        let code = try await inviting.code()
        #expect(try await van.code() == code)
        _ = try await ann.ask("invite", "--confirm", code)
        #expect(try await van.end().code == 0)
        crowd.send("enough")
        try await crowd.exit()
        let most = try #require(crowd.output.split(separator: "\n").last.flatMap { Int($0) })
        // Sixteen, the newcomer, commands on the control socket.
        #expect((8...26).contains(most), "\(most) sockets")
    }

    private static let asks =
        AttackScripts.prelude + """
            import json
            mode = rest[0]
            def public(der):
                at = der.index(bytes.fromhex("2b6570032100")) + 6
                return der[at:at + 32]
            def own(home):
                return public(run("openssl", "pkey", "-in", home + "/pem", "-pubout", "-outform", "DER"))
            def person(home):
                # A key, as a file that openssl reads, too.
                secret = bytes.fromhex(open(make_key(home) + "/key").read().split("\\n")[1])
                text = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + secret)
                with open(home + "/pem", "w") as file:
                    file.write("-----BEGIN PRIVATE KEY-----\\n" + text.decode())
                    file.write("\\n-----END PRIVATE KEY-----\\n")
                return home
            channel, node = person(folder + "/channel"), person(folder + "/node")
            context = tls(channel)
            def request(s):
                text = b"starling join 1" + own(node) + public(s.getpeercert(True)) + own(channel)
                open(folder + "/text", "wb").write(text)
                proof = run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", node + "/pem",
                    "-in", folder + "/text")
                return json.dumps({"v": 1, "key": own(node).hex(), "name": "eve", "machine": "eve",
                    "proof": proof.hex()}).encode() + b"\\n"
            nonce = json.dumps({"nonce": os.urandom(32).hex()}).encode() + b"\\n"
            if mode == "guess":
                for number in range(int(rest[1])):
                    said = b""
                    try:
                        s = context.wrap_socket(dial())
                        s.sendall(request(s))
                        said = s.recv(65536)
                        s.sendall(nonce)
                        said += s.recv(65536)
                        s.close()
                        time.sleep(0.2)
                    except OSError: pass
                    say(number, said)
            if mode == "odd":
                hello = b"\\x00\\x00\\x00\\x05\\x01\\xa0abc"
                for name in ["frames", "endless", "nothing", "empty", "nonce", "forged", "twice", "half"]:
                    s = context.wrap_socket(dial())
                    try:
                        if name == "frames": s.sendall(hello * 100 + b"\\n")
                        if name == "endless": s.sendall(b"x" * 100000)
                        if name == "empty": s.sendall(b"\\n")
                        if name == "nonce": s.sendall(nonce)
                        if name == "forged":
                            shown, other = (own(k).hex().encode() for k in (node, channel))
                            s.sendall(request(s).replace(shown, other))
                        if name == "twice": s.sendall(request(s) * 2)
                        if name == "half": s.sendall(request(s))
                    except OSError: pass
                    heard = hear(s)
                    say(name, "open" if heard is None else "ended", heard)
            if mode == "stay":
                base, most, held = sockets(rest[1]), 0, []
                for number in range(60):
                    try: held.append(context.wrap_socket(dial(rest[2])))
                    except OSError: pass
                    if number == 30: say("stay")
                    most = max(most, sockets(rest[1]) - base)
                end = time.time() + 60
                while time.time() < end and not select.select([sys.stdin], [], [], 0.05)[0]:
                    most = max(most, sockets(rest[1]) - base)
                    for s in select.select(held, [], [], 0)[0]:
                        held.remove(s)
                        try: held.append(context.wrap_socket(dial(rest[2])))
                        except OSError: pass
                say(most)
            """
}
