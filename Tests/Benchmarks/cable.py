# A cable between two servers, as a process: forwards TCP from a port of its own to HOST PORT. Reads
# `cut`, `mend` and `traffic` from its input, one a line, and answers each with one line.

import selectors
import socket
import sys
import time

CHUNK = 1 << 18


class Forwarder:
    """Forwards until its input ends."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.selector = selectors.DefaultSelector()
        self.pairs = {}
        self.listener = None
        self.port = 0
        self.reset()
        self.listen()

    def reset(self):
        """Counts from nothing."""
        self.bytes, self.accepted_at, self.last_at = 0, 0, time.monotonic_ns()

    def listen(self):
        """Takes connections; on the same port each time."""
        if self.listener:
            return
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ)

    def cut(self):
        """Closes everything."""
        for one in list(self.pairs):
            self.close(one)
        if self.listener:
            self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None

    def close(self, one):
        """Closes a connection on both sides."""
        other = self.pairs.pop(one, None)
        if other is None:
            return
        self.pairs.pop(other, None)
        for end in (one, other):
            self.selector.unregister(end)
            end.close()

    def accept(self):
        """Connects onward for a connection that came."""
        near, _ = self.listener.accept()
        if not self.accepted_at:
            self.accepted_at = time.monotonic_ns()
        try:
            far = socket.create_connection(self.target)
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(end, selectors.EVENT_READ)
        self.pairs[near], self.pairs[far] = far, near

    def forward(self, one):
        """Moves what is there."""
        try:
            data = one.recv(CHUNK)
            if data:
                self.pairs[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self.close(one)
            return
        self.bytes += len(data)
        self.last_at = time.monotonic_ns()

    def command(self, word):
        """Does what was said. Returns the answer."""
        if word == "cut":
            self.cut()
        elif word == "mend":
            self.reset()
            self.listen()
        return f"{self.bytes} {self.accepted_at or self.last_at} {self.last_at}"

    def run(self):
        """Forwards and obeys."""
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        print(self.port, flush=True)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    print(self.command(line.strip()), flush=True)
                elif key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.pairs:
                    self.forward(key.fileobj)


Forwarder(sys.argv[1], int(sys.argv[2])).run()
