// Foreign programs that attack a node: with every key and certificate but the right one, with too many
// connections, slowly, and with what others have said before.

enum AttackScripts {
    /// Python with what attackers need. `HOST:PORT` and a folder for keys come first in the arguments;
    /// `say(name, text)` is how a script reports.
    static let prelude =
        TLSScripts.prelude + """

            import ctypes, hashlib, select, socket, struct, sys, time
            address, folder = sys.argv[1:3]
            host, port = address.rsplit(":", 1)
            rest = sys.argv[3:]
            def say(*words): print(*words, flush=True)
            def dial(source=None):
                at = (source, 0) if source else None
                return socket.create_connection((host, int(port)), timeout=60, source_address=at)
            def run(*words): return subprocess.run(words, check=True, capture_output=True).stdout
            def hear(s, seconds=60):
                # What comes until the end; None when there is no end.
                said, end = b"", time.time() + seconds
                while time.time() < end:
                    s.settimeout(max(0.01, end - time.time()))
                    try: part = s.recv(65536)
                    except socket.timeout: return None
                    except OSError: return said
                    if not part: return said
                    said += part
                return None
            def sockets(pid):
                # How many a process has open.
                count = 0
                for name in os.listdir("/proc/%s/fd" % pid):
                    try: count += os.readlink("/proc/%s/fd/%s" % (pid, name)).startswith("socket:")
                    except OSError: pass
                return count
            def memory(pid):
                # Resident kilobytes.
                for line in open("/proc/%s/status" % pid):
                    if line.startswith("VmRSS"): return int(line.split()[1])
            def records(data):
                # The TLS records that `data` begins with, each with its header.
                found = []
                while len(data) >= 5 and len(data) >= 5 + struct.unpack(">H", data[3:5])[0]:
                    size = 5 + struct.unpack(">H", data[3:5])[0]
                    found.append(data[:size])
                    data = data[size:]
                return found
            def one_time(line, home):
                # The key that an invitation makes, as the key of a home folder.
                alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
                bits = "".join(format(alphabet.index(c), "05b") for c in line[len("STARLING1-"):])
                data = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits) // 8 * 8, 8))
                secret = hashlib.sha256(b"starling invitation 1" + data[32:48]).digest()
                os.makedirs(home, exist_ok=True)
                with open(home + "/key", "w") as file:
                    file.write("starling key 1\\n" + secret.hex() + "\\n")
                return home

            """

    /// Shows certificates of all kinds; says each kind and what was heard, which must be nothing.
    ///
    /// Arguments: the node of a member, and that member's public key.
    static let certificates =
        prelude + """
            node, public = rest[0], bytes.fromhex(rest[1])
            def make(name, subject, *kind):
                key, certificate = folder + "/" + name + ".key", folder + "/" + name + ".pem"
                run("openssl", "genpkey", *kind, "-out", key)
                run("openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=" + subject,
                    "-days", "9", "-out", certificate)
                return key, certificate
            ed = ("-algorithm", "ed25519")
            eve = make("eve", "starling", *ed)
            kinds = {
                "rsa": make("rsa", "starling", "-algorithm", "RSA"),
                "ecdsa": make("ec", "starling", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
                "ed448": make("ed448", "starling", "-algorithm", "ed448"),
                "ed25519": eve, "named": make("named", node, *ed)}
            # Behind a leaf of her own the certificate of an authority that eve made, and of the member.
            authority = make("authority", node, *ed)
            run("openssl", "req", "-new", "-key", eve[0], "-subj", "/CN=" + node,
                "-out", folder + "/request")
            run("openssl", "x509", "-req", "-in", folder + "/request", "-CA", authority[1], "-CAkey",
                authority[0], "-days", "9", "-set_serial", "7", "-out", folder + "/leaf")
            with open(folder + "/member.pem", "w") as file:
                der = bytes.fromhex("302a300506032b6570032100") + public
                text = base64.b64encode(der).decode()
                file.write("-----BEGIN PUBLIC KEY-----\\n" + text + "\\n-----END PUBLIC KEY-----\\n")
            run("openssl", "x509", "-req", "-in", folder + "/request", "-CA", authority[1], "-CAkey",
                authority[0], "-days", "9", "-set_serial", "8", "-force_pubkey", folder + "/member.pem",
                "-out", folder + "/member.crt")
            for second in ["authority.pem", "member.crt"]:
                path = folder + "/chain-" + second
                with open(path, "w") as file:
                    file.write(open(folder + "/leaf").read() + open(folder + "/" + second).read())
                kinds["chain with " + second] = (eve[0], path)
            for name, (key, certificate) in kinds.items():
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.load_cert_chain(certificate, key)
                heard = b""
                try: heard = hear(context.wrap_socket(dial()))
                except OSError: pass
                say(name, heard)
            # None at all.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            try: say("none", hear(context.wrap_socket(dial())))
            except OSError: say("none", b"")

            # The member's key in the certificate, and another one that signs: OpenSSL refuses to make
            # that, so the certificate changes after it was looked at.
            tls_library, crypto = ctypes.CDLL("libssl.so.3"), ctypes.CDLL("libcrypto.so.3")
            def call(library, name, *arguments):
                function = getattr(library, name)
                function.restype = ctypes.c_void_p
                return function(*arguments)
            P = ctypes.c_void_p
            c = P(call(tls_library, "SSL_CTX_new", P(call(tls_library, "TLS_client_method"))))
            tls_library.SSL_CTX_use_certificate_file(c, eve[1].encode(), 1)
            tls_library.SSL_CTX_use_PrivateKey_file(c, eve[0].encode(), 1)
            shown = P(call(tls_library, "SSL_CTX_get0_certificate", c))
            other = P(call(crypto, "EVP_PKEY_new_raw_public_key", 1087, None, public, ctypes.c_size_t(32)))
            assert crypto.X509_set_pubkey(shown, other) == 1
            wire = dial()
            wire.settimeout(None)
            connection = P(call(tls_library, "SSL_new", c))
            tls_library.SSL_set_fd(connection, wire.fileno())
            tls_library.SSL_connect(connection)
            buffer = ctypes.create_string_buffer(4096)
            count = tls_library.SSL_read(connection, buffer, 4096)
            say("borrowed key", buffer.raw[:max(0, count)])
            """

    /// A member's handshake whose last record waits for a line of input; then says what was heard.
    static let heldHandshake =
        prelude + """
            come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
            channel = tls(rest[0]).wrap_bio(come, go)
            def step():
                try:
                    channel.do_handshake()
                    return True
                except ssl.SSLWantReadError: return False
            wire = dial()
            step()
            wire.sendall(go.read())
            while not step(): come.write(wire.recv(65536))
            flight = records(go.read())
            say("records", len(flight))
            # The node sees the key, and not yet its proof.
            wire.sendall(b"".join(flight[:-1]))
            say("holds")
            sys.stdin.readline()
            try: wire.sendall(flight[-1])
            except OSError: pass
            wire.settimeout(60)
            heard = b""
            try:
                while True:
                    part = wire.recv(65536)
                    if not part: break
                    come.write(part)
                    try: heard += channel.read(65536)
                    except ssl.SSLWantReadError: pass
            except (OSError, ssl.SSLError): pass
            say("heard", heard)
            """

    /// Keeps a thousand connections open from forty addresses, of which each that is ended is made anew,
    /// until its input ends. Argument: the node's process.
    static let flood =
        prelude + """
            import random
            pid = rest[0]
            base, first = sockets(pid), memory(pid)
            hello = tls(make_key(folder + "/eve"))
            come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
            channel = hello.wrap_bio(come, go)
            try: channel.do_handshake()
            except ssl.SSLWantReadError: pass
            hello = go.read()
            said = [b"", b"\\x16", hello[:100], hello, b"GET / HTTP/1.1\\r\\n\\r\\n", os.urandom(3000)]
            held, made, most, largest = [], 0, 0, 0
            def more():
                global made
                s = None
                try:
                    s = dial("127.201.%d.1" % (made % 40))
                    s.setblocking(False)
                    s.send(said[made // 40 % len(said)])
                except OSError: pass
                made += 1
                if s: held.append(s)
            while True:
                while len(held) < 1000:
                    more()
                    if made > 1000: break
                most, largest = max(most, sockets(pid) - base), max(largest, memory(pid) - first)
                if made >= 1000 and not getattr(more, "told", False):
                    more.told = True
                    say("flooded")
                ended = []
                poll = select.poll()
                for s in held: poll.register(s, select.POLLIN)
                names = {s.fileno(): s for s in held}
                for number, _ in poll.poll(0):
                    try:
                        if not names[number].recv(65536): ended.append(names[number])
                    except BlockingIOError: pass
                    except OSError: ended.append(names[number])
                for s in ended:
                    s.close()
                    held.remove(s)
                if select.select([sys.stdin], [], [], 0.002)[0]: break
            say("made", made, "most", most, "kilobytes", largest)
            """

    /// Garbage that ends each handshake at once, from one address, on connections that are never closed.
    /// Says how many sockets the node had at the most. Argument: its process.
    static let garbage =
        prelude + """
            base, most, held = sockets(rest[0]), 0, []
            for number in range(300):
                s = dial("127.202.1.1")
                try: s.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
                except OSError: pass
                held.append(s)
                if number % 5 == 0: most = max(most, sockets(rest[0]) - base)
            say(most)
            """

    /// Handshakes that do not come to their end; says how long each was open.
    static let slow =
        prelude + """
            come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
            channel = tls(make_key(folder + "/eve")).wrap_bio(come, go)
            try: channel.do_handshake()
            except ssl.SSLWantReadError: pass
            hello = go.read()
            silent, half, slow = dial(), dial(), dial()
            begun = time.time()
            half.sendall(hello)
            open_, sent, told = {"silent": silent, "half": half, "slow": slow}, 0, {}
            while open_ and time.time() < begun + 60:
                try:
                    if sent < time.time() - begun:
                        slow.sendall(hello[sent:sent + 1])
                        sent += 1
                except OSError: pass
                for name, s in list(open_.items()):
                    s.settimeout(0.05)
                    try: over = not s.recv(65536)
                    except socket.timeout: over = False
                    except OSError: over = True
                    if over:
                        told[name] = time.time() - begun
                        del open_[name]
            for name, seconds in told.items(): say(name, "%.2f" % seconds)
            """

    /// Carries one connection and keeps what each side said. Arguments: address to listen on, file.
    static let carrier =
        prelude + """
            server = socket.create_server((host, 0))
            say("listens on %s:%d" % server.getsockname())
            with open(rest[0], "wb") as log:
                near = server.accept()[0]
                far = dial()
                while True:
                    for source in select.select([near, far], [], [])[0]:
                        data = source.recv(65536)
                        if not data: sys.exit(0)
                        if source is near: log.write(data); log.flush()
                        (far if source is near else near).sendall(data)
            """

    /// Says again what was recorded: whole, and with the first flight of one and the rest of another.
    /// Says what was heard inside TLS, as far as lengths can tell, and how each ended. Arguments: files.
    static let replay =
        prelude + """
            one, two = (open(path, "rb").read() for path in rest[:2])
            def parts(data):
                first = records(data)[0]
                return first, data[len(first):]
            for name, data in [("whole", one), ("spliced", parts(one)[0] + parts(two)[1]),
                    ("twice", parts(one)[0] + parts(one)[0] + parts(one)[1]), ("rest", parts(two)[1])]:
                s = dial()
                try: s.sendall(data)
                except OSError: pass
                heard = hear(s)
                # Of a node that went on to speak there would be more than its first flight and an alert.
                say(name, "ended" if heard is not None else "open", len(heard or b""))
            """

    /// Connects with a member's key as often as it can and says nothing; says how often it was greeted.
    static let crowd =
        prelude + """
            context, held, greeted = tls(rest[0]), [], 0
            for number in range(70):
                try:
                    s = context.wrap_socket(dial())
                    held.append(s)
                    s.settimeout(60)
                    if s.recv(10): greeted += 1
                except OSError: pass
            say("greeted", greeted)
            sys.stdin.readline()
            """

    /// Whoever proved the secret of an invitation says anything but a request. Says what was answered.
    /// Argument: the invitation.
    static let guests =
        prelude + """
            context = tls(one_time(rest[0], folder + "/guest"))
            hello = b"\\x00\\x00\\x00\\x05\\x01\\xa0abc"
            for name, data in [("frames", hello * 100), ("endless", b"x" * 100000), ("nothing", b""),
                    ("empty", b"\\n"), ("other", b"{}\\n{}\\n" + hello), ("deep", b"[" * 9000 + b"\\n")]:
                s = context.wrap_socket(dial())
                begun = time.time()
                try: s.sendall(data)
                except OSError: pass
                heard = hear(s)
                say(name, "open" if heard is None else "ended", heard[:9] if heard else b"")
            """

    /// Guests that stay, as many as they can be. Argument: the invitation.
    static let guestsThatStay =
        prelude + """
            context, held = tls(one_time(rest[0], folder + "/guest")), []
            for number in range(24):
                try: held.append(context.wrap_socket(dial()))
                except OSError: pass
            say("stay")
            while not select.select([sys.stdin], [], [], 0.05)[0]:
                # Who is sent away comes again at once.
                for s in select.select(held, [], [], 0)[0]:
                    try:
                        s.settimeout(0.01)
                        if s.recv(100): continue
                    except socket.timeout: continue
                    except OSError: pass
                    held.remove(s)
                    try: held.append(context.wrap_socket(dial()))
                    except OSError: pass
            """
}
