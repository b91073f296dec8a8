// A machine on the network that answers every question of multicast DNS, truly or not, and more often than
// it is asked.

enum ResponderScripts {
    /// Arguments: `ADDRESS:PORT` of its own, a folder for keys, addresses of others. Says `floods` when it
    /// has said everything once. Told `copy`, it takes the names of nodes, too; says `dialled` when one
    /// comes. At the end it says what it has seen: `packets`, `connections`, bytes `heard` inside TLS,
    /// `copied` names.
    static let everything =
        AttackScripts.prelude
            + """
            import random, ssl, threading
            own, others = host, rest
            group = ("224.0.0.251", 5353)
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.bind(("", 5353))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                socket.inet_aton("224.0.0.251") + socket.inet_aton(own))
            PTR, TXT, AAAA, A, SRV = 12, 16, 28, 1, 33
            def label(b): return bytes([len(b)]) + b
            T = label(b"_starling") + label(b"_tcp") + label(b"local") + b"\\0"
            def host_name(n): return label(b"h%d" % n) + label(b"local") + b"\\0"
            def record(name, kind, ttl, data, flush=False):
                return name + struct.pack(">HHIH", kind, 0x8001 if flush else 1, ttl, len(data)) + data
            def pack(records, answers=None):
                return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)
            seen = {"packets": 0, "connections": 0, "heard": 0, "copied": 0}
            def send(records):
                part, size = [], 0
                for r in records + [None]:
                    if r is None or size + len(r) > 1300:
                        if part:
                            try: s.sendto(pack(part), group)
                            except OSError: pass
                        part, size = [], 0
                    if r is not None: part.append(r); size += len(r)

            # What the honest nodes say of themselves, to be said again by others.
            copied, nodes, takes = [], {}, False
            chance = random.Random(7)
            def text(n):
                kind = n % 8
                if kind == 0 and copied: return chance.choice(copied)
                if kind == 1: return bytes(chance.randrange(256) for _ in range(chance.randrange(1, 200)))
                if kind == 2: return b"".join(label(b"k%d=" % i + b"x" * 200) for i in range(5))
                if kind == 3: return label(b"salt=" + b"zz" * 8) + label(b"tag=\\xff\\x00\\x1b[2J")
                if kind == 4: return label(b"salt=") + label(b"tag=") + label(b"ask=1") * 9
                if kind == 5: return b"\\0"
                return b"".join(label(k + b"=" + bytes.hex(os.urandom(m)).encode())
                    for k, m in ((b"salt", 8), (b"tag", 16))) + label(b"proto=2")
            def name(n):
                kind = n % 16
                if kind == 1: return b"\\x1b[2J\\x07\\r\\n%d" % n
                if kind == 2: return b"x" * 55 + b"%08d" % n
                if kind == 3: return b"\\xff\\xfe%d" % n
                if kind == 4: return b"dots.and\\\\slashes %d" % n
                return b"%016x" % (n * 0x9e3779b97f4a7c15 % 2 ** 64)
            def where(n):
                # Itself, a member at a wrong port, nobody, everybody.
                return [own, *others, "10.77.0.99", "127.0.0.1", "255.255.255.255"][n % (4 + len(others))]
            def instance(n): return label(name(n)) + T
            def service(n, ttl=4500):
                port_ = [int(port), 1, 0, 65535, 22][n % 5]
                return [record(T, PTR, ttl, instance(n)),
                    record(instance(n), SRV, ttl, struct.pack(">HHH", 0, 0, port_) + host_name(n)),
                    record(instance(n), TXT, ttl, text(n)),
                    record(host_name(n), A, ttl, socket.inet_aton(where(n)))]

            numbers = {instance(i): i for i in range(%SERVICES%)}
            def read_name(data, at):
                labels, jumps, end = [], 0, None
                while True:
                    size = data[at]
                    if size >= 0xc0:
                        end = end or at + 2
                        at, jumps = (size & 0x3f) << 8 | data[at + 1], jumps + 1
                        if jumps > 20: raise ValueError
                    elif size == 0: return labels, end or at + 1
                    else: labels.append(data[at + 1:at + 1 + size]); at += 1 + size
            def learn(data):
                questions, answers, more, rest_ = struct.unpack(">HHHH", data[4:12])
                at, asked = 12, []
                for _ in range(questions):
                    labels, at = read_name(data, at)
                    asked.append((labels, struct.unpack(">H", data[at:at + 2])[0]))
                    at += 4
                for _ in range(answers + more + rest_):
                    labels, at = read_name(data, at)
                    kind, _, _, size = struct.unpack(">HHIH", data[at:at + 10])
                    said = data[at + 10:at + 10 + size]
                    if kind == TXT and b"tag=" in said and said not in copied:
                        copied.append(said)
                        nodes[labels[0]] = said
                        seen["copied"] += 1
                    at += 10 + size
                return asked
            def answer(asked):
                for labels, kind in asked:
                    if labels[-3:] == [b"_starling", b"_tcp", b"local"] and len(labels) == 3:
                        send([r for n in chance.sample(range(%SERVICES%), 40) for r in service(n)])
                    elif b"_starling" in labels:
                        # Half of those that are asked for are never there.
                        full = b"".join(map(label, labels)) + b"\\0"
                        n = numbers.get(full)
                        if n is not None and n % 2: send(service(n))
                    elif kind in (A, AAAA) and len(labels) == 2 and labels[0].startswith(b"h"):
                        full = b"".join(map(label, labels)) + b"\\0"
                        send([record(full, A, 120, socket.inet_aton(where(chance.randrange(99))))])

            def serve():
                listener = socket.create_server((own, int(port)), backlog=512)
                context = tls(make_key(folder + "/mallory"), server=True)
                def talk(c):
                    try:
                        c.settimeout(10)
                        c = context.wrap_socket(c, server_side=True)
                        # A client that is content with anybody would speak now.
                        seen["heard"] += len(c.recv(65536))
                    except OSError: pass
                    try: c.close()
                    except OSError: pass
                while True:
                    c = listener.accept()[0]
                    seen["connections"] += 1
                    if seen["connections"] == 1: say("dialled")
                    threading.Thread(target=talk, args=(c,), daemon=True).start()
            threading.Thread(target=serve, daemon=True).start()

            n, told = 0, False
            s.settimeout(0.005)
            while True:
                if select.select([sys.stdin], [], [], 0)[0]:
                    if sys.stdin.readline().strip() != "copy": break
                    takes = True
                begun = time.time()
                try:
                    while time.time() < begun + 0.03:
                        data = s.recvfrom(65536)[0]
                        seen["packets"] += 1
                        try: answer(learn(data))
                        except (IndexError, ValueError, struct.error): pass
                except socket.timeout: pass
                batch = []
                for _ in range(3):
                    # Now and then one goes, and comes again; of many there is a name and nothing else.
                    said = service(n % %SERVICES%, 0 if chance.randrange(8) == 0 else 4500)
                    batch += said[:1] if n % 2 == 0 and n % 16 else said
                    n += 1
                send(batch)
                if takes and n % 90 == 0:
                    for node, said in nodes.items():
                        full = label(node) + T
                        send([record(T, PTR, 120, full), record(full, TXT, 120, said, True),
                            record(full, SRV, 120, struct.pack(">HHH", 0, 0, int(port)) + host_name(0), True),
                            record(host_name(0), A, 120, socket.inet_aton(own))])
                send([os.urandom(chance.randrange(1, 600))])
                if n >= %SERVICES% and not told:
                    told = True
                    say("floods")
            for key, value in seen.items(): say(key, value)
            """.replacing("%SERVICES%", with: "\(services)")

    static let services = 1500
}
