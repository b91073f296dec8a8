# Servers that a comparison starts for itself, each in a folder of its own, and ends by its process id.
# Also what they take of memory, and a cable between two of them that can be cut.

import os
import shutil
import socket
import subprocess
import sys
import time

DEADLINE = 120.0


class Unavailable(Exception):
    """A program or a library is not installed here."""


def need(name, *places):
    """The path of a program; says what is missing otherwise."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *places]))
    if not found:
        raise Unavailable(f"{name} is not installed; Config/setup --peers installs it")
    return found


# How exactly a time to sight is measured: who looks without a pause takes a core from who is measured.
LOOK = 0.0001


# A server is idle when nothing was asked of it for so many seconds.
QUIET = 6.0


def rest():
    """Lets servers become idle, and give back what they do not need."""
    time.sleep(QUIET)


def wait(what, is_done, seconds=DEADLINE, nap=0.002):
    """Repeats `is_done` until it is true, with a nap between."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}, which did not happen")
        time.sleep(nap)


def free_port(host="127.0.0.1"):
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


class Server:
    """A child process; what it says goes into `log`."""

    def __init__(self, words, log, **options):
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options)
        self.pid = self.child.pid

    def check(self):
        """Fails with the last words of a server that ended."""
        if self.child.poll() is not None:
            with open(self.log, "rb") as file:
                raise RuntimeError(f"ended: {file.read()[-500:].decode(errors='replace')}")

    def stop(self):
        """Ends it in good order, and by force if that takes too long."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def memory(self):
        """Resident bytes: now, and the most there ever was."""
        return memory(self.pid)


def memory(pid):
    """Resident bytes of one process: now, and the most there ever was."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))


def children(pid):
    """A process and all below it."""
    found = [pid]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                for child in file.read().split():
                    found += children(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def shared_memory_once(pid):
    """Bytes of a process and all below it, where each shared page counts once (PSS)."""
    total = 0
    for each in children(pid):
        try:
            with open(f"/proc/{each}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class Cable:
    """A TCP forwarder in a process of its own: cut, mended, and asked what went through."""

    def __init__(self, host, port):
        self.child = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(__file__), "cable.py"), host, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline())

    def _ask(self, word):
        self.child.stdin.write(word + "\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().split()

    def cut(self):
        """Closes what is open and refuses connections."""
        self._ask("cut")

    def mend(self):
        """Takes connections again, and counts from nothing."""
        self._ask("mend")

    def traffic(self):
        """Bytes both ways, and the times of the first connection and of the last byte, in seconds."""
        words = self._ask("traffic")
        return int(words[0]), int(words[1]) / 1e9, int(words[2]) / 1e9

    def settled(self, silence=0.5):
        """The bytes of an exchange, once nothing more goes through."""
        wait("silence on the cable", lambda: time.monotonic() - self.traffic()[2] > silence, nap=0.05)
        return self.traffic()[0]

    def stop(self):
        """Ends the process."""
        self.child.stdin.close()
        self.child.wait()
