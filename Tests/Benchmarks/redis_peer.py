# Redis with one replica: what is written on the primary goes to the replica, and nothing comes back.
# Rows are hashes; the append-only file is written once a second, much as SQLite's NORMAL is.

import os
import socket
import statistics
import subprocess
import time

import workload
from processes import LOOK, Cable, Server, free_port, need, rest, wait


def encode(*words):
    """One command in Redis's protocol (RESP 2)."""
    parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Client:
    """A connection that sends commands and reads as many answers."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.socket.makefile("rb")

    def send(self, data, count=1):
        """Sends commands. Returns the last answer."""
        self.socket.sendall(data)
        return [self.answer() for _ in range(count)][-1]

    def call(self, *words):
        """One command and its answer."""
        return self.send(encode(*words))

    def answer(self):
        """One answer: text, or None where there is none."""
        line = self.answers.readline()
        if line[:1] == b"$":
            length = int(line[1:])
            return None if length < 0 else self.answers.read(length + 2)[:-2].decode()
        return line[1:].strip().decode() if line[:1] != b"-" else "error " + line[1:].decode()


class Redis:
    """A primary and its replica."""

    name = "Redis replica"

    def __init__(self, run):
        self.run, self.load = run, run.workload
        # Debian's redis-tools has the server under the name of its checker: one program, by name.
        self.program = need("redis-check-rdb", "/usr/bin")
        self.servers = []

    def version(self):
        """The server's version."""
        words = subprocess.run(
            ["redis-server", "--version"], executable=self.program, capture_output=True, text=True)
        return words.stdout.split("v=")[1].split()[0]

    def start(self, name):
        """A server. Returns it with its port."""
        folder = f"{self.run.folder}/{name}"
        os.mkdir(folder)
        port = free_port()
        words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder,
                 "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no",
                 "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb"]
        server = Server(words, f"{folder}/log", executable=self.program)
        self.servers.append(server)

        def answers():
            server.check()
            try:
                return Client(port).call("PING") == "PONG"
            except OSError:
                return False

        wait("redis to answer", answers, nap=0.02)
        return server, port

    def measure(self):
        """Every cell."""
        cells, cable = {}, None
        try:
            primary, port = self.start("primary")
            cells["insert"] = self.run.plain.beside(lambda _: self.insert(Client(port)))
            self.writer = Client(port)
            cells["size"] = self.size(f"{self.run.folder}/primary")
            replica, self.replica_port = self.start("replica")
            self.reader = Client(self.replica_port)
            cable = Cable("127.0.0.1", port)
            begin = time.monotonic()
            self.reader.call("REPLICAOF", "127.0.0.1", cable.port)
            self.wait_for_replica()
            cells["catch_up"] = time.monotonic() - begin
            copying = max(primary.memory()[1], replica.memory()[1])
            cells["exchange_bytes"], cells["exchange_ms"] = self.exchange(cable)
            answer = self.reader.call("HSET", self.load.left[0], "title", "apart")
            cells["concurrent"] = "refused" if "READONLY" in answer else "taken"
            # The cable adds two hops; latency is measured without it.
            self.reader.call("REPLICAOF", "127.0.0.1", port)
            self.wait_for_replica()
            cells["latency_ms"] = self.latency()
            rest()
            cells["memory"] = (max(primary.memory()[0], replica.memory()[0]), copying)
        finally:
            if cable:
                cable.stop()
            for server in self.servers:
                server.stop()
        return cells

    def insert(self, client):
        """Seconds for all rows, a thousand in a MULTI."""
        batches = []
        for batch in self.load.batches():
            commands = [encode("MULTI")]
            for row in batch:
                pairs = [word for pair in zip(workload.COLUMNS, row[1:]) for word in pair]
                commands.append(encode("HSET", row[0], *pairs))
            batches.append((b"".join(commands), len(batch) + 1))
        client.call("FLUSHALL")
        begin = time.perf_counter()
        for data, count in batches:
            client.send(data, count)
            client.socket.sendall(encode("EXEC"))
            # An array of as many answers.
            for _ in range(int(client.answers.readline()[1:])):
                client.answer()
        return time.perf_counter() - begin

    def size(self, folder):
        """Bytes on disk after a rewrite of the append-only file."""
        self.writer.call("BGREWRITEAOF")
        wait("redis to rewrite its file", lambda: "aof_rewrite_in_progress:0"
             in self.writer.call("INFO", "persistence"), nap=0.05)
        time.sleep(0.2)
        wait("redis to rewrite its file", lambda: "aof_rewrite_in_progress:0"
             in self.writer.call("INFO", "persistence"), nap=0.05)
        aof = f"{folder}/appendonlydir"
        return sum(os.path.getsize(f"{aof}/{name}") for name in os.listdir(aof))

    def wait_for_replica(self):
        """Until the replica has every row and its link stands."""
        rows = str(len(self.load.rows))
        wait("the replica", lambda: "master_link_status:up" in self.reader.call("INFO", "replication")
             and self.reader.call("DBSIZE") == rows)

    def exchange(self, cable):
        """Bytes and milliseconds of 200 rows that change on the primary while the cable is cut."""
        sizes, times = [], []
        keys = self.load.left + self.load.right
        for round_number in range(5):
            priority = str(1000 + round_number)
            cable.cut()
            for key in keys:
                self.writer.call("HSET", key, "priority", priority)
            cable.mend()
            wait("the replica", lambda: self.reader.call("HGET", keys[-1], "priority") == priority, nap=LOOK)
            times.append((time.monotonic() - cable.traffic()[1]) * 1000)
            # The replica says every second that it is there: what the first half second took counts.
            time.sleep(0.5)
            sizes.append(cable.traffic()[0])
        return statistics.median(sizes), statistics.median(times)

    def latency(self):
        """Milliseconds from the primary's answer to the sight on the replica."""
        samples = []
        for number in range(workload.LATENCY_SAMPLES):
            key, priority = self.load.left[number % len(self.load.left)], str(5000 + number)
            self.writer.call("HSET", key, "priority", priority)
            begin = time.perf_counter()
            wait("the replica", lambda: self.reader.call("HGET", key, "priority") == priority, nap=LOOK)
            samples.append((time.perf_counter() - begin) * 1000)
            time.sleep(0.005 + number % 16 / 1000)
        return workload.percentile(samples, 0.5), workload.percentile(samples, 0.99)
