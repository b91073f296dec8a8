"""A client of the relay in another language, written from Sources/Relay/Relay.docc/Protocol.md alone.

Usage: client.py URL GROUP CREDENTIAL   appends, reads, waits, conflicts; prints "ok" when all is as the page says.
"""

import http.client
import os
import struct
import sys
import threading
import urllib.parse

MAGIC = b"SRL\x01"


class Refused(Exception):
    def __init__(self, response, text):
        super().__init__(text)
        self.status = response.status
        self.reason = response.getheader("Starling-Reason")
        self.entry = response.getheader("Starling-Entry")


class Relay:
    def __init__(self, url, group, credential):
        parts = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=90)
        self.path = f"/v1/groups/{group}"
        self.headers = {"Authorization": f"Bearer {credential}"}

    def request(self, method, path, body=b"", headers=None):
        self.connection.request(method, self.path + path, body, {**self.headers, **(headers or {})})
        response = self.connection.getresponse()
        content = response.read()
        if response.status >= 300:
            raise Refused(response, content.decode())
        return response, content

    def enrol(self, token=None):
        headers = {"Starling-Token": token} if token else {}
        return self.request("PUT", "", headers=headers)[0].status

    def sync(self, entries=(), after="", wait=0):
        """Returns outcomes, items, whether there is more, and the position to go on from."""
        body = b""
        if entries:
            body = MAGIC + b"".join(
                bytes([len(key)]) + key + struct.pack(">I", len(content)) + content
                for key, content in entries)
        return decode(self.request("POST", f"/sync?after={after}&wait={wait}", body)[1])


def decode(body):
    if body[:4] != MAGIC:
        raise ValueError("no answer of this version")
    place, outcomes, items = 4, [], []

    def take(count):
        nonlocal place
        if place + count > len(body):
            raise ValueError("the answer was cut")
        place += count
        return body[place - count:place]

    while True:
        kind = take(1)
        if kind == b"A":
            outcomes.append(take(1)[0])
        elif kind == b"E":
            key = take(take(1)[0])
            items.append((key, take(struct.unpack(">I", take(4))[0])))
        elif kind == b"K":
            items.append((take(take(1)[0]), None))
        elif kind == b"P":
            more, position = take(1)[0], take(24).hex()
            if place != len(body):
                raise ValueError("something follows the end")
            return outcomes, items, more == 1, position
        else:
            raise ValueError(f"unknown part {kind!r}")


def expect(condition, text):
    if not condition:
        sys.exit(f"not as the page says: {text}")


def main(url, group, credential):
    relay = Relay(url, group, credential)
    expect(relay.enrol() == 201 and relay.enrol() == 200, "enrolling")
    one, two, three = ((os.urandom(16), text) for text in (b"one", b"two", b"three" * 100_000))

    outcomes, items, more, start = relay.sync([one, two])
    expect(outcomes == [0, 0] and items == [(one[0], None), (two[0], None)] and not more, "appending")
    outcomes, items, more, _ = relay.sync([one, three], after=start)
    expect(outcomes == [1, 0] and items == [(three[0], None)], "appending again")
    _, items, more, end = relay.sync()
    expect(items == [one, two, three] and not more, "reading all")
    expect(relay.sync(after=start)[1] == [three], "reading on")

    try:
        relay.sync([(os.urandom(16), b"new"), (one[0], b"other")])
        expect(False, "a conflict")
    except Refused as refused:
        expect((refused.status, refused.reason, refused.entry) == (409, "key-conflict", "1"), "a conflict")
    expect(relay.sync(after=end)[1] == [], "nothing of a refused request is appended")

    answers = []
    reader = Relay(url, group, credential)
    waiting = threading.Thread(target=lambda: answers.append(reader.sync(after=end, wait=50)))
    waiting.start()
    four = (os.urandom(64), b"")
    relay.sync([four], after=end)
    waiting.join()
    expect(answers[0][1] == [four], "waiting")

    snapshot = os.urandom(1_000_000)
    relay.request("PUT", f"/snapshot?covers={start}", snapshot)
    response, content = relay.request("GET", "/snapshot")
    expect(content == snapshot and response.getheader("Starling-Covers") == start, "a snapshot")
    for position, reason in (("00" * 24, "other-log"), ("zz", "bad-request")):
        try:
            relay.sync(after=position)
            expect(False, reason)
        except Refused as refused:
            expect(refused.reason == reason, reason)
    try:
        Relay(url, group, "00" * 32).sync()
        expect(False, "a stranger")
    except Refused as refused:
        expect((refused.status, refused.reason) == (401, "unauthorized"), "a stranger")
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:4])
