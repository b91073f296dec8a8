# Starling's column: two nodes of the release build, driven like the others from outside, as an app in
# any language has them: plain SQL on the file, and the command line.

import json
import os
import sqlite3
import statistics
import subprocess
import time

import workload
from processes import LOOK, Cable, Server, Unavailable, rest, wait

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


class Node:
    """A home folder, its file, and the process that runs it."""

    def __init__(self, program, home):
        self.program, self.home = program, home
        self.path = f"{home}/data.db"
        self.server = None

    def call(self, *words):
        """One command; returns what it prints."""
        done = subprocess.run(
            [self.program, *words, "--home", self.home], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"starling {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def start(self, host, peer=None):
        """Runs the node. Returns its port."""
        words = [self.program, "run", "--home", self.home, "--no-discovery", "--listen", f"{host}:0"]
        self.server = Server(words + (["--peer", peer] if peer else []), f"{self.home}/log")
        port = []

        def listens():
            self.server.check()
            done = subprocess.run(
                [self.program, "status", "--json", "--home", self.home], capture_output=True, text=True)
            listen = json.loads(done.stdout).get("listen") if done.returncode == 0 else None
            port[:] = [int(listen.rsplit(":", 1)[1])] if listen else []
            return bool(port)

        wait("a node to listen", listens, nap=0.05)
        return port[0]

    def stop(self):
        """Ends the node."""
        if self.server:
            self.server.stop()
            self.server = None


class Starling:
    """Two nodes and the cable between them."""

    name = "Starling"

    def __init__(self, run):
        self.run, self.load = run, run.workload
        self.program = run.starling
        if not os.access(self.program, os.X_OK):
            raise Unavailable(f"{self.program} is missing; swift build -c release makes it")

    def version(self):
        """The program's version."""
        return subprocess.run(
            [self.program, "--version"], capture_output=True, text=True).stdout.split()[-1]

    def tracked(self, name):
        """A node with an empty tracked table."""
        node = Node(self.program, f"{self.run.folder}/{name}")
        node.call("init", "--name", name)
        workload.create_sqlite(node.path)
        node.call("track", "tasks")
        return node

    def measure(self):
        """Every cell."""
        cells = {}
        cells["insert"] = self.run.plain.beside(self.insert)
        cable = None
        try:
            port = self.left.start("127.0.0.3")
            self.wait_for_changes(self.left, len(self.load.rows))
            cells["size"] = workload.file_bytes(self.left.path)
            cable = Cable("127.0.0.3", port)
            cells["catch_up"] = self.catch_up(cable)
            copying = max(self.left.server.memory()[1], self.right.server.memory()[1])
            cells["exchange_bytes"], cells["exchange_ms"] = self.exchange(cable)
            cells["concurrent"] = self.concurrent(cable)
            self.right.stop()
            self.right.start("127.0.0.2", f"127.0.0.3:{port}")
            cells["latency_ms"] = self.latency()
            rest()
            idle = max(self.left.server.memory()[0], self.right.server.memory()[0])
            cells["memory"] = (idle, copying)
        finally:
            for part in (cable, getattr(self, "right", None), self.left):
                if part:
                    part.stop()
        return cells

    def insert(self, number):
        """Seconds for all rows in a tracked table."""
        self.left = self.tracked(f"left{number}")
        return workload.insert_sqlite(self.left.path, self.load)

    def changes(self, node):
        """Changes that a node's vector covers."""
        connection = sqlite3.connect(node.path, timeout=30)
        try:
            return connection.execute("SELECT sum(seen) FROM _starling_origin").fetchone()[0] or 0
        finally:
            connection.close()

    def wait_for_changes(self, node, count):
        """Until a node has numbered so many changes."""
        wait("a node to number changes", lambda: self.changes(node) >= count, nap=0.005)

    def catch_up(self, cable):
        """Seconds of the copy to an empty node, from its first connection on."""
        line = json.loads(self.left.call("invite", "--for", "right", "--json"))["invitation"]
        self.right = Node(self.program, f"{self.run.folder}/right")
        self.right.call("join", line, "--no-discovery")
        # What it remembers would lead it around the cable.
        os.remove(f"{self.right.home}/peers.json")
        self.right.start("127.0.0.2", f"127.0.0.1:{cable.port}")
        self.wait_for_changes(self.right, len(self.load.rows))
        end = time.monotonic()
        self.equal()
        return end - cable.traffic()[1]

    def equal(self):
        """Both nodes say that they have the same."""
        for node in (self.left, self.right):
            node.call("wait", "--synced", "--timeout", "60")
        if self.left.call("digest") != self.right.call("digest"):
            raise RuntimeError("two nodes differ after an exchange")

    def offline(self, cable, changes):
        """Changes on both sides while the cable is cut, until each node has numbered its own."""
        cable.cut()
        for node, change in zip((self.left, self.right), changes):
            before = self.changes(node)
            connection = workload.open_sqlite(node.path)
            count = change(connection)
            connection.close()
            self.wait_for_changes(node, before + count)
        time.sleep(0.1)
        cable.mend()

    def exchange(self, cable):
        """Bytes and milliseconds of 100 + 100 changed rows, medians of several rounds."""
        sizes, times = [], []
        for round_number in range(7):
            priority = 1000 + round_number

            def change(keys):
                def work(connection):
                    workload.update_sqlite(connection, keys, priority)
                    return len(keys)
                return work

            self.offline(cable, (change(self.load.left), change(self.load.right)))
            watchers = [(sqlite3.connect(self.left.path), self.load.right[-1]),
                        (sqlite3.connect(self.right.path), self.load.left[-1])]
            with subprocess.Popen(
                    [self.program, "sync", "--home", self.right.home],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as nudge:
                wait("a small difference", lambda: all(
                    seen.execute("SELECT priority FROM tasks WHERE id = ?", (key,)).fetchone()[0]
                    == priority for seen, key in watchers), nap=LOOK)
                end = time.monotonic()
                nudge.wait()
            times.append((end - cable.traffic()[1]) * 1000)
            sizes.append(cable.settled())
            for seen, _ in watchers:
                seen.close()
        self.equal()
        return statistics.median(sizes), statistics.median(times)

    def concurrent(self, cable):
        """What becomes of two columns of one row that are changed apart."""
        key = self.load.left[0]

        def change(column):
            def work(connection):
                connection.execute(f"UPDATE tasks SET {column} = 'apart' WHERE id = ?", (key,))
                return 1
            return work

        self.offline(cable, (change("title"), change("notes")))
        self.right.call("sync")
        self.equal()
        connection = sqlite3.connect(self.right.path, timeout=30)
        row = connection.execute("SELECT title, notes FROM tasks WHERE id = ?", (key,)).fetchone()
        connection.close()
        return "merged" if row == ("apart", "apart") else "one side lost"

    def latency(self):
        """Milliseconds from a commit to its sight on the other node."""
        self.equal()
        writer = workload.open_sqlite(self.left.path)
        reader = sqlite3.connect(self.right.path, timeout=30, isolation_level=None)
        samples = []
        for number in range(workload.LATENCY_SAMPLES):
            key, priority = self.load.left[number % len(self.load.left)], 5000 + number
            writer.execute(workload.UPDATE, (priority, key))
            begin = time.perf_counter()
            version = None

            def is_there():
                nonlocal version
                now = reader.execute("PRAGMA data_version").fetchone()[0]
                if now == version:
                    return False
                version = now
                return reader.execute(
                    "SELECT priority FROM tasks WHERE id = ?", (key,)).fetchone()[0] == priority

            wait("a change on the other node", is_there, nap=LOOK)
            samples.append((time.perf_counter() - begin) * 1000)
            time.sleep(0.005 + number % 16 / 1000)
        writer.close()
        reader.close()
        return workload.percentile(samples, 0.5), workload.percentile(samples, 0.99)
