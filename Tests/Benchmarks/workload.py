# The workload of `starling bench` for programs that are not ours: the same table, the same kind of
# rows, the same statements. Plain SQLite runs it here, and everything else is measured against that.

import os
import random
import sqlite3
import statistics
import time

CREATE = """
CREATE TABLE tasks(
    id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL DEFAULT 0, notes TEXT NOT NULL DEFAULT '')
"""
INSERT = "INSERT INTO tasks(id, title, done, priority, updated_at, notes) VALUES(?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE tasks SET priority = ? WHERE id = ?"
COLUMNS = ("title", "done", "priority", "updated_at", "notes")

SEED = 0x57A211F6
ROWS_PER_TRANSACTION = 1000
CHANGED_ROWS = 100
RUNS = 3
LATENCY_SAMPLES = 200


class Workload:
    """Rows, the same for one seed, and the keys that are changed on each side."""

    def __init__(self, count):
        draw = random.Random(SEED)
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["".join(draw.choices(letters, k=draw.randint(3, 9))) for _ in range(4096)]

        def text(length):
            wanted, made = length * 9 // 10 + draw.randrange(length // 5), ""
            while len(made) < wanted:
                made += (" " if made else "") + draw.choice(words)
            return made

        def uuid():
            bits = draw.getrandbits(128) & ~(0xF000 << 64) | 0x4000 << 64
            digits = f"{bits & ~(3 << 62) | 2 << 62:032x}"
            return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

        self.rows = [
            (uuid(), text(40), draw.randrange(2), draw.randrange(5),
             1_700_000_000_000 + draw.randrange(1 << 36), text(100))
            for _ in range(count)
        ]
        keys = [row[0] for row in draw.sample(self.rows, min(count, 2 * CHANGED_ROWS))]
        self.left = keys[: len(keys) // 2]
        self.right = keys[len(keys) // 2:]

    def batches(self):
        """The rows by transaction."""
        for start in range(0, len(self.rows), ROWS_PER_TRANSACTION):
            yield self.rows[start:start + ROWS_PER_TRANSACTION]


def open_sqlite(path):
    """A connection as most apps have it: WAL, synchronous NORMAL; transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def create_sqlite(path):
    """A file with the empty table. A connection must be closed by hand: it is in a reference cycle."""
    connection = open_sqlite(path)
    connection.execute(CREATE)
    connection.close()


def insert_sqlite(path, workload):
    """Inserts everything. Returns seconds."""
    connection = open_sqlite(path)
    begin = time.perf_counter()
    for batch in workload.batches():
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, batch)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begin
    connection.close()
    return seconds


def update_sqlite(connection, keys, priority):
    """Changes one column of rows in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(UPDATE, [(priority, key) for key in keys])
    connection.execute("COMMIT")


def file_bytes(path):
    """The size of a database after its log is moved into it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return os.path.getsize(path)


class Plain:
    """What plain SQLite takes for the same rows, in turn with the peer: A B A B A B."""

    def __init__(self, folder, workload):
        self.path, self.workload = f"{folder}/plain.db", workload
        self.seconds, self.bytes = 0.0, 0

    def beside(self, insert):
        """Runs `insert(number)`, which returns seconds, beside plain SQLite. Returns its median."""
        plain, other = [], []
        for number in range(RUNS):
            create_sqlite(self.path)
            plain.append(insert_sqlite(self.path, self.workload))
            self.bytes = file_bytes(self.path)
            os.remove(self.path)
            other.append(insert(number))
        self.seconds = statistics.median(plain)
        return statistics.median(other)


def percentile(samples, part):
    """The value that this part of all samples does not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, -(-int(part * 1000) * len(ordered) // 1000) - 1)]
