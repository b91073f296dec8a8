# Syncthing on the folder that holds the database file: what people use who have no better way. It
# moves blocks of files and knows nothing of rows, so the database is closed while it works.

import json
import os
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree

import workload
from processes import Cable, Server, children, free_port, memory, need, rest, wait

KEY = "bench"
LATENCY_SAMPLES = 5
OPTIONS = {
    "globalAnnounceEnabled": "false", "localAnnounceEnabled": "false", "relaysEnabled": "false",
    "natEnabled": "false", "urAccepted": "-1", "crashReportingEnabled": "false",
    "startBrowser": "false", "autoUpgradeIntervalH": "0", "reconnectionIntervalS": "1",
    "setLowPriority": "false",
}


class Device:
    """One Syncthing with one folder."""

    def __init__(self, program, home):
        self.program, self.home = program, home
        self.share = f"{home}/share"
        self.port, self.api = free_port(), free_port()
        subprocess.run([program, "generate", "--home", home, "--no-default-folder"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.id = subprocess.run(
            [program, "--home", home, "--device-id"], capture_output=True, text=True).stdout.strip()
        os.mkdir(self.share)
        self.server = None

    def configure(self, other, address):
        """One folder, shared with one device at `address`."""
        path = f"{self.home}/config.xml"
        tree = ElementTree.parse(path)
        root, options = tree.getroot(), tree.getroot().find("options")
        for name, value in [*OPTIONS.items(), ("listenAddress", f"tcp://127.0.0.1:{self.port}")]:
            for old in options.findall(name):
                options.remove(old)
            ElementTree.SubElement(options, name).text = value
        root.find("gui/address").text = f"127.0.0.1:{self.api}"
        root.find("gui/apikey").text = KEY
        for old in root.findall("device"):
            root.remove(old)
        folder = ElementTree.SubElement(
            root, "folder", id="bench", label="bench", path=self.share, type="sendreceive",
            rescanIntervalS="3600", fsWatcherEnabled="true", fsWatcherDelayS="1")
        ElementTree.SubElement(folder, "maxConflicts").text = "10"
        for device, where in ((self.id, "dynamic"), (other.id, address)):
            ElementTree.SubElement(folder, "device", id=device)
            entry = ElementTree.SubElement(root, "device", id=device, name=device[:7])
            ElementTree.SubElement(entry, "address").text = where
            ElementTree.SubElement(entry, "paused").text = "false"
        tree.write(path)

    def start(self):
        """Runs it."""
        environment = dict(os.environ, STNOUPGRADE="1", HOME=self.home)
        words = [self.program, "--home", self.home, "--no-browser", "--no-restart"]
        self.server = Server(words, f"{self.home}/log", env=environment)

        def answers():
            self.server.check()
            try:
                return "myID" in self.ask("system/status")
            except (OSError, urllib.error.URLError):
                return False

        wait("syncthing to answer", answers, nap=0.1)

    def ask(self, what, method="GET"):
        """One call of its REST interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api}/rest/{what}", method=method, headers={"X-API-Key": KEY})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else {}

    def scan(self):
        """Looks for changed files now."""
        self.ask("db/scan?folder=bench", "POST")

    def set_paused(self, other, is_paused):
        """Ends the connection, or dials at once."""
        self.ask(f"system/{'pause' if is_paused else 'resume'}?device={other.id}", "POST")

    def memory(self):
        """Resident bytes now and at most, with the process that watches over the one that works."""
        parts = [memory(pid) for pid in children(self.server.pid)]
        return tuple(map(sum, zip(*parts)))

    def is_idle(self):
        """Nothing to fetch, and nothing under way."""
        status = self.ask("db/status?folder=bench")
        return status["state"] == "idle" and status["needBytes"] == 0


class Syncthing:
    """Two devices and the cable between them."""

    name = "Syncthing (whole file)"

    def __init__(self, run):
        self.run, self.load = run, run.workload
        self.program = need("syncthing", "/usr/bin")

    def version(self):
        """The program's version."""
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True)
        return done.stdout.split()[1].lstrip("v")

    def measure(self):
        """Every cell."""
        cells, cable = {}, None
        left = Device(self.program, f"{self.run.folder}/left")
        right = Device(self.program, f"{self.run.folder}/right")
        self.left, self.right = left, right
        try:
            cable = Cable("127.0.0.1", left.port)
            left.configure(right, "dynamic")
            right.configure(left, f"tcp://127.0.0.1:{cable.port}")
            left.start()
            cells["insert"] = self.run.plain.beside(self.insert)
            self.leave_log(self.file(left))
            left.scan()
            wait("a scan", left.is_idle, nap=0.05)
            cells["size"] = os.path.getsize(self.file(left)) + self.index_bytes(left)
            right.start()
            wait("the whole file", lambda: os.path.exists(self.file(right)))
            cells["catch_up"] = time.monotonic() - cable.traffic()[1]
            wait("silence", lambda: left.is_idle() and right.is_idle(), nap=0.05)
            cells["latency_ms"] = self.latency()
            cells["exchange_bytes"], cells["exchange_ms"] = self.exchange(cable)
            rest()
            cells["memory"] = tuple(map(max, zip(left.memory(), right.memory())))
            cells["concurrent"] = self.concurrent(cable)
        finally:
            for part in (left.server, right.server, cable):
                if part:
                    part.stop()
        return cells

    @staticmethod
    def file(device):
        """The database in the shared folder."""
        return f"{device.share}/app.db"

    @staticmethod
    def index_bytes(device):
        """What it keeps about the files."""
        folder = f"{device.home}/index-v0.14.0.db"
        if not os.path.isdir(folder):
            return 0
        return sum(os.path.getsize(f"{folder}/{name}") for name in os.listdir(folder))

    def insert(self, _):
        """Seconds for all rows, while the folder is watched."""
        path = self.file(self.left)
        if os.path.exists(path):
            os.remove(path)
        workload.create_sqlite(path)
        return workload.insert_sqlite(path, self.load)

    @staticmethod
    def leave_log(path):
        """One file without a log beside it, so that a copy of it is whole."""
        connection = sqlite3.connect(path, timeout=30)
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.close()

    def change(self, device, keys, priority):
        """Rows of one side's file."""
        connection = sqlite3.connect(self.file(device), isolation_level=None)
        workload.update_sqlite(connection, keys, priority)
        connection.close()

    def shows(self, device, key, priority):
        """Whether a device's file has a change; a file that is being replaced has not."""
        try:
            connection = sqlite3.connect(f"file:{self.file(device)}?mode=ro", uri=True)
            try:
                row = connection.execute("SELECT priority FROM tasks WHERE id = ?", (key,)).fetchone()
            finally:
                connection.close()
        except sqlite3.Error:
            return False
        return row == (priority,)

    def latency(self):
        """Milliseconds from a commit to its sight in the other's file, with the shortest delay that the
        watcher can be told."""
        samples = []
        for number in range(LATENCY_SAMPLES):
            key, priority = self.load.left[number % len(self.load.left)], 5000 + number
            self.change(self.left, [key], priority)
            begin = time.perf_counter()
            wait("the other's file", lambda: self.shows(self.right, key, priority), nap=0.005)
            samples.append((time.perf_counter() - begin) * 1000)
            time.sleep(0.5)
        return workload.percentile(samples, 0.5), workload.percentile(samples, 0.99)

    def exchange(self, cable):
        """Bytes and milliseconds of 200 rows that one side changed while they were apart."""
        keys = self.load.left + self.load.right
        self.right.set_paused(self.left, True)
        self.change(self.left, keys, 1000)
        self.left.scan()
        cable.mend()
        self.right.set_paused(self.left, False)
        wait("the other's file", lambda: self.shows(self.right, keys[-1], 1000), nap=0.005)
        milliseconds = (time.monotonic() - cable.traffic()[1]) * 1000
        return cable.settled(1.0), milliseconds

    def concurrent(self, cable):
        """What becomes of two columns of one row that are changed apart."""
        self.right.set_paused(self.left, True)
        for device, priority in ((self.left, 2000), (self.right, 2001)):
            self.change(device, self.load.left[:1], priority)
            device.scan()
        self.right.set_paused(self.left, False)
        wait("a conflict copy", lambda: any(
            ".sync-conflict-" in name for device in (self.left, self.right)
            for name in os.listdir(device.share)), nap=0.05)
        return "two files"
