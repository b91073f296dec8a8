# PostgreSQL with a logical subscription: what is committed on the publisher is applied on the
# subscriber, one way. Two clusters of the installed version, each in a folder of its own.

import os
import pwd
import shutil
import statistics
import subprocess
import time

import workload
from processes import LOOK, Cable, Server, Unavailable, free_port, rest, shared_memory_once, wait

CONFIGURATION = """
listen_addresses = '127.0.0.1'
wal_level = logical
max_wal_size = '1GB'
# An abrupt end may lose the last commits, as with SQLite's NORMAL; latency is measured with `on`.
synchronous_commit = off
# A subscriber dials again at once, so that an exchange does not wait for a timer.
wal_retrieve_retry_interval = '100ms'
"""
INSERT = workload.INSERT.replace("?", "%s")
CREATE = workload.CREATE.replace("updated_at INTEGER", "updated_at BIGINT")


def programs():
    """The folder with the newest installed version's programs."""
    base = "/usr/lib/postgresql"
    found = sorted(os.listdir(base), key=int) if os.path.isdir(base) else []
    for version in reversed(found):
        if os.path.exists(f"{base}/{version}/bin/initdb"):
            return f"{base}/{version}/bin"
    raise Unavailable("PostgreSQL is not installed; Config/setup --peers installs it")


class PostgreSQL:
    """A publisher and its subscriber."""

    name = "PostgreSQL logical"

    def __init__(self, run):
        try:
            import psycopg
        except ImportError as error:
            raise Unavailable("psycopg is not installed; Config/setup --peers installs it") from error
        self.psycopg = psycopg
        self.run, self.load = run, run.workload
        self.bin = programs()
        # It refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        self.servers = []

    def version(self):
        """The server's version."""
        done = subprocess.run([f"{self.bin}/postgres", "--version"], capture_output=True, text=True)
        return done.stdout.split()[2]

    def start(self, name):
        """A cluster. Returns its server and port."""
        folder = f"{self.run.folder}/{name}"
        os.mkdir(folder)
        options = {"user": self.user, "cwd": folder} if self.user else {"cwd": folder}
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            os.chmod(self.run.folder, 0o711)
        subprocess.run(
            [f"{self.bin}/initdb", "-D", f"{folder}/data", "-U", "bench", "-A", "trust", "-E", "UTF8",
             "--locale=C"], check=True, stdout=subprocess.DEVNULL, **options)
        with open(f"{folder}/data/postgresql.conf", "a") as file:
            file.write(CONFIGURATION)
        port = free_port()
        server = Server(
            [f"{self.bin}/postgres", "-D", f"{folder}/data", "-p", str(port), "-k", folder],
            f"{self.run.folder}/{name}.log", **options)
        self.servers.append(server)

        def answers():
            server.check()
            try:
                self.connect(port).close()
                return True
            except self.psycopg.OperationalError:
                return False

        wait("postgres to answer", answers, nap=0.05)
        return server, port

    def connect(self, port):
        """A connection that begins no transaction by itself."""
        return self.psycopg.connect(
            f"host=127.0.0.1 port={port} user=bench dbname=postgres connect_timeout=10", autocommit=True)

    def measure(self):
        """Every cell."""
        cells, cable = {}, None
        try:
            publisher, port = self.start("publisher")
            subscriber, other = self.start("subscriber")
            self.writer, self.reader = self.connect(port), self.connect(other)
            cells["insert"] = self.run.plain.beside(self.insert)
            self.writer.execute("VACUUM tasks")
            cells["size"] = self.one(self.writer, "SELECT pg_total_relation_size('tasks')")
            self.writer.execute("CREATE PUBLICATION bench FOR TABLE tasks")
            self.reader.execute(CREATE)
            cable = Cable("127.0.0.1", port)
            cells["catch_up"], copying = self.catch_up(cable, (publisher, subscriber))
            cells["exchange_bytes"], cells["exchange_ms"] = self.exchange(cable)
            cells["latency_ms"] = self.latency()
            rest()
            idle = max(shared_memory_once(server.pid) for server in (publisher, subscriber))
            cells["memory"] = (idle, max(idle, copying))
            cells["concurrent"] = self.concurrent()
        finally:
            for connection in (getattr(self, "writer", None), getattr(self, "reader", None)):
                if connection:
                    connection.close()
            # The subscriber first: a publisher waits for its senders.
            for server in reversed(self.servers):
                server.stop()
            if cable:
                cable.stop()
            for name in ("publisher", "subscriber"):
                shutil.rmtree(f"{self.run.folder}/{name}", ignore_errors=True)
        return cells

    @staticmethod
    def one(connection, statement, *values):
        """The first value of the first row; None where there is none."""
        row = connection.execute(statement, values or None).fetchone()
        return row[0] if row else None

    def insert(self, _):
        """Seconds for all rows, with a pipeline of prepared statements in each transaction."""
        self.writer.execute("DROP TABLE IF EXISTS tasks")
        self.writer.execute(CREATE)
        cursor = self.writer.cursor()
        begin = time.perf_counter()
        for batch in self.load.batches():
            with self.writer.transaction():
                cursor.executemany(INSERT, batch)
        return time.perf_counter() - begin

    def catch_up(self, cable, servers):
        """Seconds of a subscription's first copy, and the most memory of either server."""
        peak, begin = 0, time.monotonic()
        self.reader.execute(
            f"CREATE SUBSCRIPTION bench CONNECTION 'host=127.0.0.1 port={cable.port} user=bench "
            "dbname=postgres' PUBLICATION bench")
        deadline = begin + 120
        while self.one(self.reader, "SELECT count(*) FROM tasks") < len(self.load.rows):
            peak = max(peak, *(shared_memory_once(server.pid) for server in servers))
            if time.monotonic() > deadline:
                raise TimeoutError("waited for a subscription's first copy")
        return time.monotonic() - begin, peak

    def priority(self, key):
        """What the subscriber shows."""
        return self.one(self.reader, "SELECT priority FROM tasks WHERE id = %s", key)

    def exchange(self, cable):
        """Bytes and milliseconds of 200 rows that change on the publisher while the cable is cut."""
        self.writer.execute("SET synchronous_commit = on")
        keys, sizes, times = self.load.left + self.load.right, [], []
        wait("the subscription", lambda: self.one(
            self.reader, "SELECT srsubstate FROM pg_subscription_rel") == "r", nap=0.05)
        for round_number in range(5):
            priority = 1000 + round_number
            cable.cut()
            with self.writer.transaction():
                self.writer.cursor().executemany(
                    "UPDATE tasks SET priority = %s WHERE id = %s", [(priority, key) for key in keys])
            time.sleep(0.3)
            cable.mend()
            wait("the subscriber", lambda: self.priority(keys[-1]) == priority, nap=LOOK)
            times.append((time.monotonic() - cable.traffic()[1]) * 1000)
            sizes.append(cable.settled())
        return statistics.median(sizes), statistics.median(times)

    def latency(self):
        """Milliseconds from a durable commit to its sight on the subscriber."""
        samples = []
        for number in range(workload.LATENCY_SAMPLES):
            key, priority = self.load.left[number % len(self.load.left)], 5000 + number
            self.writer.execute("UPDATE tasks SET priority = %s WHERE id = %s", (priority, key))
            begin = time.perf_counter()
            wait("the subscriber", lambda: self.priority(key) == priority, nap=LOOK)
            samples.append((time.perf_counter() - begin) * 1000)
            time.sleep(0.005 + number % 16 / 1000)
        return workload.percentile(samples, 0.5), workload.percentile(samples, 0.99)

    def concurrent(self):
        """What becomes of one key that is inserted on both sides."""
        for connection in (self.reader, self.writer):
            connection.execute("INSERT INTO tasks(id, title) VALUES('apart', 'apart')")
        errors = "SELECT apply_error_count FROM pg_stat_subscription_stats"
        wait("the conflict", lambda: (self.one(self.reader, errors) or 0) > 0, nap=0.05)
        return "stops"
