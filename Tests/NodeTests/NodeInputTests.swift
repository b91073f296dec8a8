// What a node must survive and explain: strangers on its port, mistakes in its configuration,
// tables that cannot be synced.

import Node
import Testing

@Suite(.fewAtOnce) struct NodeInputTests {
    private static let jobs = """
        CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title);
        INSERT INTO jobs VALUES('j1','roof');
        """

    /// Does what `body` says: `connect()` is a bare connection, `connect(home)` one with the key of that
    /// home folder; `hello(s)` is the node's own first frame.
    private static func stranger(_ body: String) -> String {
        TLSScripts.prelude + """

            import ctypes, ctypes.util, random, socket, struct, sys, time
            host, port = sys.argv[1].rsplit(":", 1)
            random.seed(int(sys.argv[2]))
            home = sys.argv[3] if len(sys.argv) > 3 else None
            xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0").XXH3_64bits
            xxhash.argtypes, xxhash.restype = [ctypes.c_char_p, ctypes.c_size_t], ctypes.c_uint64
            contexts = {}
            def close(frame):
                # With the checksum that belongs to it.
                body = bytes(frame[4:-8])
                return bytes(frame[:4]) + body + struct.pack("<Q", xxhash(body, len(body)))
            def connect(home=None):
                s = socket.create_connection((host, int(port)), timeout=20)
                if not home: return s
                if home not in contexts: contexts[home] = tls(home)
                return contexts[home].wrap_socket(s)
            def exactly(s, n):
                b = b""
                while len(b) < n:
                    part = s.recv(n - len(b))
                    if not part: raise EOFError
                    b += part
                return b
            def hello(s):
                head = exactly(s, 4)
                return head + exactly(s, struct.unpack(">I", head)[0])
            def drain(s):
                try:
                    while s.recv(65536): pass
                except (ConnectionError, socket.timeout, ssl.SSLError): pass
            def ended(s, seconds):
                end = time.time() + seconds
                while time.time() < end:
                    s.settimeout(0.05)
                    try:
                        if s.recv(65536) == b"": return True
                    except socket.timeout: pass
                    except (ConnectionError, ssl.SSLError): return True
                return False

            """ + body
    }

    /// Bytes without a key: nothing but a count comes of them.
    @Test func strangersOnThePortDoNoHarm() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", schema: Self.jobs)
        let (ann, bob) = (nodes[0], nodes[1])
        try await ann.start()
        let address = try #require(ann.address)
        // Garbage, an HTTP request, records of TLS that are never finished, of absurd length or of another
        // version, a plain frame, silence, and whole handshakes with a key that nobody knows.
        let told = try await flock.python(
            Self.stranger(
                """
                kept = []
                for data in [os.urandom(1), os.urandom(5000), b"GET / HTTP/1.1\\r\\n\\r\\n",
                        b"\\x16\\x03\\x01\\x40\\x00half", b"\\x16\\x03\\x01\\xff\\xff" + bytes(100000),
                        b"\\x16\\x03\\x01\\x00\\x00" * 20000, b"\\x17\\x03\\x03\\x00\\x01x" * 2000,
                        b"\\x00\\x00\\x10\\x00half", b"\\x7f\\xff\\xff\\xff" + bytes(100000), b""]:
                    s = connect()
                    try: s.sendall(data)
                    except ConnectionError: pass
                    kept.append(s)
                for s in kept[:4]: s.close()
                for s in kept[4:]:
                    try: s.shutdown(socket.SHUT_WR)
                    except OSError: pass
                make_key(home)
                for number in range(5):
                    # TLS 1.3 lets a client be content before the other side has looked at its key.
                    try:
                        s = connect(home)
                        s.sendall(b"\\x00\\x00\\x00\\x05hello")
                        if s.recv(10): print("a stranger was answered")
                    except (ConnectionError, ssl.SSLError): pass
                old = tls(home)
                old.minimum_version = ssl.TLSVersion.TLSv1_2
                old.maximum_version = ssl.TLSVersion.TLSv1_2
                try:
                    old.wrap_socket(connect())
                    print("TLS 1.2 was spoken")
                except (ConnectionError, ssl.SSLError): pass
                """), [address, "\(Int.random(in: 0...9999))", flock.path("eve")])
        #expect(told.isEmpty, "\(told)")
        // All the while it serves those that it knows.
        try await bob.start(peers: [ann])
        try await bob.shows("SELECT title FROM jobs", "roof")
        try await bob.sql("INSERT INTO jobs VALUES('j2','door')")
        try await flock.converge(nodes)
        let status = try await ann.status()
        #expect(status["strangers"]?.int ?? 0 >= 6, "\(status)")
        #expect(status["peers"]?.array?.count == 1)
        #expect(ann.log.contains("refused a connection"))
        #expect(try await ann.stop() == 0)
    }

    /// A member that says anything: its link ends, and no other.
    @Test func changedHelloOfAMemberDoesNoHarm() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "mal", schema: Self.jobs)
        let (ann, bob, mal) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        let address = try #require(ann.address)
        let seed = "\(Int.random(in: 0...9999))"
        // The node's own hello back, and every single byte of it changed.
        try await flock.python(
            Self.stranger(
                """
                s = connect(home)
                own = hello(s)
                s.sendall(own)
                drain(s)
                for place in range(4, len(own)):
                    while True:
                        # So many at once is more than the node takes: later again.
                        try:
                            s = connect(home)
                            hello(s)
                            break
                        except (EOFError, ConnectionError, ssl.SSLError): time.sleep(0.05)
                    bad = bytearray(own)
                    bad[place] ^= 1 << random.randrange(8)
                    if place < len(own) - 8: bad = close(bad)
                    try: s.sendall(bad + os.urandom(random.randrange(40)))
                    except (ConnectionError, ssl.SSLError): pass
                    s.close()
                """), [address, seed, mal.home])
        try await bob.start(peers: [ann])
        try await bob.shows("SELECT title FROM jobs", "roof")
        try await bob.sql("INSERT INTO jobs VALUES('j2','door')")
        try await flock.converge(ann, bob)
        #expect(ann.log.contains("whose key it has not"))
        #expect(try await ann.stop() == 0)
    }

    /// Reproducer: a peer could send megabytes before it said who it is.
    @Test func frameBeforeTheHelloIsBounded() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "mal", schema: Self.jobs)
        let (ann, mal) = (nodes[0], nodes[1])
        try await ann.start()
        let told = try await flock.python(
            Self.stranger(
                """
                s = connect(home)
                hello(s)
                try: s.sendall(struct.pack(">I", 900000))
                except (ConnectionError, ssl.SSLError): pass
                if not ended(s, 3): print("still open")
                """), [try #require(ann.address), "1", mal.home])
        flock.expect(told.isEmpty, "a frame of 900,000 bytes was waited for: \(told)")
    }

    @Test func anotherGroupAndAnotherVersionAreExplained() async throws {
        let flock = Flock()
        let others = Flock()
        let nodes = try await flock.nodes("ann", "mal", schema: Self.jobs)
        let (ann, mal) = (nodes[0], nodes[1])
        let eve = try await others.nodes("eve", schema: Self.jobs)[0]
        try await ann.start()
        try await eve.start(peers: [ann])
        try await others.until("eve is told that nobody knows her") {
            let peers = try await eve.ask("peers")["peers"]?.array ?? []
            return peers.contains { $0["last_error"]?.string?.contains("key") == true }
        }
        let why = try await eve.command("why", try #require(ann.address), "--json")
        #expect(why.code == 4)
        #expect(why.json["summary"]?.string?.contains("key") == true)

        // A peer from the future says so in its hello: "v" is an array of two small numbers.
        try await flock.python(
            Self.stranger(
                """
                s = connect(home)
                own = bytearray(hello(s))
                place = own.index(b"\\x61v\\x82") + 3
                own[place] = own[place + 1] = 23
                node = own.index(b"\\x61n\\x78\\x20") + 4
                own[node:node + 32] = sys.argv[4].encode()
                s.sendall(close(own))
                drain(s)
                """),
            [try #require(ann.address), "1", mal.home, try Home(path: mal.home).identity().node])
        try await flock.until("ann tells about the version") { ann.log.contains("protocol") }
        #expect(try await ann.status()["running"] == true)
    }

    @Test func mistakeInTheConfigurationIsNamed() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        Files.write("{ lisen: \"127.0.0.1:0\" }", to: "\(ann.home)/config.json5")
        for words in [["run"], ["status"], ["status", "--json"]] {
            let answer = try await ann.command(words)
            #expect(answer.code == 5, "\(answer)")
            #expect(answer.errors.contains("lisen") && answer.errors.contains("listen"))
        }
        Files.write("{ listen: \"127.0.0.1:0\" ", to: "\(ann.home)/config.json5")
        #expect(try await ann.command("run").code == 5)
    }

    @Test func tablesThatCannotBeSyncedAreExplained() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        try await ann.sql(
            """
            CREATE TABLE keyless(a, b);
            CREATE TABLE nullable(id TEXT PRIMARY KEY, a);
            CREATE TABLE folded(id TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, a);
            CREATE TABLE numbered(id INTEGER PRIMARY KEY, a);
            CREATE VIEW seen AS SELECT 1 AS a;
            """)
        for (table, word) in [
            ("keyless", "PRIMARY KEY"), ("nullable", "NOT NULL"), ("folded", "NOCASE"),
            ("missing", "missing"), ("seen", "seen"),
        ] {
            let answer = try await ann.command("track", table, "--json")
            #expect(answer.code == 1, "\(answer)")
            let result = answer.json["tables"]?.array?.first
            #expect(result?["state"] == "refused")
            #expect(result?["error"]?.string?.contains(word) == true, "\(answer)")
        }
        // What can be tracked is tracked beside them; keys that machines give out are explained.
        let answer = try await ann.command("track", "--all", "--json")
        #expect(answer.code == 1)
        let numbered = answer.json["tables"]?.array?.first { $0["table"] == "numbered" }
        #expect(numbered?["state"] == "tracked")
        #expect(numbered?["warnings"]?.array?.isEmpty == false)
        // An app goes on writing all of them.
        for table in ["keyless", "nullable", "folded", "numbered"] {
            try await ann.sql("INSERT INTO \(table) VALUES(1, 2)")
        }
    }

    /// Numbers that overflow when they are added to the time.
    @Test func waitsOfAnyLengthAreTaken() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.jobs)[0]
        try await ann.start()
        for timeout in [Int64.min, -1, 0, Int64.max] {
            let client = try ControlClient(home: Home(path: ann.home))
            let request = ControlRequest(
                command: "wait", arguments: ["timeout_ms": .int(timeout)])
            // Nobody is there to sync with: only the last one goes on waiting.
            let answer = Result {
                try client.call(
                    request, silenceMilliseconds: timeout == .max ? 1_000 : 60_000,
                    onEvent: { _ in })
            }
            if timeout != .max { #expect(try answer.get()["synced"] == false, "\(timeout)") }
        }
        #expect(try await ann.status()["name"] != nil)
        #expect(try await ann.stop() == 0)
    }
}
