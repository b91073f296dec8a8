# Libraries of replicated data types: Automerge, Yjs (through pycrdt) and Loro, as their Python
# bindings offer them. A row is a map in a map; all of it stays in the memory of one process.

import os
import time

import workload
from processes import Unavailable, memory


class Library:
    """What all have in common: two documents in this process, bytes handed over in memory."""

    def __init__(self, run):
        self.run, self.load = run, run.workload
        try:
            self.module = __import__(self.package)
        except ImportError as error:
            raise Unavailable(f"{self.package} is not installed; Config/setup --peers installs it") from error

    def version(self):
        """The package's version."""
        from importlib.metadata import version
        return version(self.package)

    def measure(self):
        """Every cell. Latency is missing: a library has no connection and no file to watch."""
        cells = {}
        path = f"{self.run.folder}/document"
        before = memory(os.getpid())[0]

        def insert(_):
            self.left = self.empty()
            begin = time.perf_counter()
            with open(path, "wb") as file:
                for batch in self.load.batches():
                    file.write(self.insert(self.left, batch))
                    file.flush()
            return time.perf_counter() - begin

        cells["insert"] = self.run.plain.beside(insert)
        left = self.left
        saved = self.save(left)
        cells["size"] = len(saved)
        idle = memory(os.getpid())[0] - before
        begin = time.perf_counter()
        right = self.copy(left)
        with open(path, "wb") as file:
            file.write(self.save(right))
        cells["catch_up"] = time.perf_counter() - begin
        cells["memory"] = (idle, memory(os.getpid())[1] - before)
        self.change(left, self.load.left, "priority", 1000)
        self.change(right, self.load.right, "priority", 1000)
        begin = time.perf_counter()
        cells["exchange_bytes"] = self.exchange(left, right)
        cells["exchange_ms"] = (time.perf_counter() - begin) * 1000
        if any(self.read(d, k, "priority") != 1000 for d in (left, right)
               for k in self.load.left + self.load.right):
            raise RuntimeError(f"{self.name} differs after an exchange")
        cells["concurrent"] = self.concurrent(left, right)
        return cells

    def concurrent(self, left, right):
        """What becomes of two columns of one row that are changed apart."""
        key = self.load.left[0]
        self.change(left, [key], "title", "apart")
        self.change(right, [key], "notes", "apart")
        self.exchange(left, right)
        row = [self.read(right, key, column) for column in ("title", "notes")]
        return "merged" if row == ["apart", "apart"] else "one side lost"


class Automerge(Library):
    """Automerge with its own sync protocol."""

    name, package = "Automerge", "automerge"

    def empty(self):
        from automerge import core
        self.core, self.table = core, None
        document = core.Document()
        with document.transaction() as change:
            self.table = change.put_object(core.ROOT, "tasks", core.ObjType.Map)
        return document

    def kind(self, value):
        return self.core.ScalarType.Int if isinstance(value, int) else self.core.ScalarType.Str

    def insert(self, document, batch):
        heads = document.get_heads()
        with document.transaction() as change:
            for row in batch:
                entry = change.put_object(self.table, row[0], self.core.ObjType.Map)
                for column, value in zip(workload.COLUMNS, row[1:]):
                    change.put(entry, column, self.kind(value), value)
        return b"".join(each.raw_bytes for each in document.get_changes(heads))

    def save(self, document):
        return document.save()

    def copy(self, document):
        return self.core.Document.load(document.save())

    def change(self, document, keys, column, value):
        with document.transaction() as change:
            for key in keys:
                change.put(document.get(self.table, key)[1], column, self.kind(value), value)

    def read(self, document, key, column):
        return document.get(document.get(self.table, key)[1], column)[0][1]

    def exchange(self, left, right):
        size, states = 0, (self.core.SyncState(), self.core.SyncState())
        sides = ((left, right, *states), (right, left, *reversed(states)))
        is_talking = True
        while is_talking:
            is_talking = False
            for sender, receiver, mine, theirs in sides:
                message = sender.generate_sync_message(mine)
                if message is None:
                    continue
                data = message.encode()
                size, is_talking = size + len(data), True
                receiver.receive_sync_message(theirs, self.core.Message.decode(data))
        return size


class Yjs(Library):
    """Yjs: state vectors and what lies beyond them."""

    name, package = "Yjs (pycrdt)", "pycrdt"

    def empty(self):
        return self.module.Doc()

    def table(self, document):
        return document.get("tasks", type=self.module.Map)

    def insert(self, document, batch):
        before, table = document.get_state(), self.table(document)
        with document.transaction():
            for row in batch:
                table[row[0]] = self.module.Map(dict(zip(workload.COLUMNS, row[1:])))
        return document.get_update(before)

    def save(self, document):
        return document.get_update()

    def copy(self, document):
        made = self.module.Doc()
        made.apply_update(document.get_update())
        return made

    def change(self, document, keys, column, value):
        table = self.table(document)
        with document.transaction():
            for key in keys:
                table[key][column] = value

    def read(self, document, key, column):
        return self.table(document)[key][column]

    def exchange(self, left, right):
        states = left.get_state(), right.get_state()
        updates = left.get_update(states[1]), right.get_update(states[0])
        left.apply_update(updates[1])
        right.apply_update(updates[0])
        return sum(map(len, states + updates))


class Loro(Library):
    """Loro: version vectors and updates beyond them."""

    name, package = "Loro", "loro"

    def empty(self):
        return self.module.LoroDoc()

    def insert(self, document, batch):
        before, table = document.oplog_vv, document.get_map("tasks")
        for row in batch:
            entry = table.insert_container(row[0], self.module.LoroMap())
            for column, value in zip(workload.COLUMNS, row[1:]):
                entry.insert(column, value)
        document.commit()
        return document.export(self.module.ExportMode.Updates(before))

    def save(self, document):
        return document.export(self.module.ExportMode.Snapshot())

    def copy(self, document):
        made = self.module.LoroDoc()
        made.import_(self.save(document))
        return made

    def entry(self, document, key):
        return document.get_map("tasks").get(key).container

    def change(self, document, keys, column, value):
        for key in keys:
            self.entry(document, key).insert(column, value)
        document.commit()

    def read(self, document, key, column):
        return self.entry(document, key).get(column).value

    def exchange(self, left, right):
        vectors = left.oplog_vv, right.oplog_vv
        size = sum(len(vector.encode()) for vector in vectors)
        updates = [document.export(self.module.ExportMode.Updates(vector))
                   for document, vector in ((left, vectors[1]), (right, vectors[0]))]
        left.import_(updates[1])
        right.import_(updates[0])
        return size + sum(map(len, updates))
