// Foreign programs for recorded sessions: a proxy that writes down what one side says, and a client
// that says it again, cut or changed, to a node that has not heard it.

enum SessionScripts {
    /// Forwards one connection and records what the dialling side says inside TLS; ends with it.
    ///
    /// Arguments: address to listen on, address to forward to (both `HOST:PORT`), file, home of the
    /// dialling side, home of the other: with both keys it can stand between them. Prints the address that
    /// it got.
    static let recorder =
        TLSScripts.prelude + """

            import select, socket, sys
            here, there, path, dialling, other = sys.argv[1:6]
            def address(text): host, port = text.rsplit(":", 1); return (host, int(port))
            server = socket.create_server(address(here))
            print("listens on %s:%d" % server.getsockname(), flush=True)
            near = tls(other, server=True).wrap_socket(server.accept()[0], server_side=True)
            far = tls(dialling).wrap_socket(socket.create_connection(address(there)))
            with open(path, "wb") as log:
                while True:
                    for source in select.select([near, far], [], [])[0]:
                        while True:
                            try: data = source.recv(1 << 16)
                            except OSError: data = b""
                            if not data: sys.exit(0)
                            if source is near:
                                log.write(data); log.flush()
                                far.sendall(data)
                            else: near.sendall(data)
                            if not source.pending(): break
            """

    /// Says a recorded stream to a node again and again, each time cut one byte later, or with the
    /// next byte changed, and looks at the database after each.
    ///
    /// Arguments: node (`HOST:PORT`), stream, `cut` or `flip`, seed, `all` or the number of bits
    /// to change in each byte, database, home of who says it, then databases that hold every state the
    /// rows may have. Prints what is wrong, then `said` and counts.
    static let replayer =
        TLSScripts.prelude + """

            import random, socket, sqlite3, sys, time
            node, path, mode, seed, bits, file, home = sys.argv[1:8]
            voice = tls(home)
            random.seed(int(seed))
            host, port = node.rsplit(":", 1)
            stream = open(path, "rb").read()
            # Bytes of frame headers: a node may wait for what a changed length promises.
            header = [False] * len(stream)
            ends, at = [], 0
            while at < len(stream):
                length = int.from_bytes(stream[at:at + 4], "big") & 0x7fffffff
                for i in range(at, min(at + 4, len(stream))): header[i] = True
                at += 4 + length
                ends.append(at)
            assert ends[-1] == len(stream), "the stream ends in the middle of a frame"
            allowed = {}
            def rows(path):
                c = sqlite3.connect(path, timeout=20)
                found = {r[0]: r for r in c.execute("SELECT * FROM jobs")}
                c.close()
                return found
            states = [rows(p) for p in sys.argv[8:]]
            for state in states:
                for key, row in state.items(): allowed.setdefault(key, set()).add(row)
            least = set.intersection(*map(set, states))
            db = sqlite3.connect(file, timeout=20)
            def check(what):
                found = {r[0]: r for r in db.execute("SELECT * FROM jobs")}
                for key, row in found.items():
                    if row not in allowed.get(key, ()): print("WRONG after", what, row)
                for key in least - found.keys(): print("LOST after", what, key)
                answer = db.execute("PRAGMA integrity_check").fetchone()[0]
                if answer != "ok": print("DAMAGED after", what, answer)
            def hear(s, seconds):
                # True when the node has ended the connection.
                s.settimeout(seconds)
                try:
                    while s.recv(1 << 16): pass
                    return True
                except socket.timeout: return False
                except OSError: return True
            def say(data, what, must_refuse):
                # Who knows less than it said before is sent for a copy: each time is the first.
                db.execute("DELETE FROM _starling_peer")
                db.commit()
                s = voice.wrap_socket(socket.create_connection((host, int(port)), timeout=30))
                try: s.sendall(data)
                except OSError: pass
                if must_refuse:
                    if not hear(s, 60): print("KEPT OPEN after", what)
                elif not hear(s, 0.004):
                    try: s.shutdown(socket.SHUT_WR)
                    except OSError: pass
                    if not hear(s, 60): print("KEPT OPEN after", what)
                s.close()
            def changes():
                if bits == "all": return [1 << i for i in range(8)]
                return [random.randrange(1, 256) for _ in range(int(bits))]
            payload = count = 0
            if mode == "cut":
                for end in range(len(stream) + 1):
                    say(stream[:end], "%d bytes" % end, False)
                    check("%d bytes" % end)
                    count += 1
            else:
                for at in range(len(stream)):
                    for mask in changes():
                        what = "byte %d changed by %d" % (at, mask)
                        data = bytearray(stream)
                        data[at] ^= mask
                        say(bytes(data), what, not header[at])
                        check(what)
                        count += 1
                        payload += not header[at]
            print("said %d times, %d bytes, %d frames, %d in a payload"
                % (count, len(stream), len(ends), payload))
            """
}
