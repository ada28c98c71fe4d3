#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""A proxy's connections end at members: what one that lies, at a member's address and under its name, answers on them loses no
batch, and stays bounded. The liar is a subcollector that this test plays."""
import os
import pathlib
import random
import socket
import struct
import tempfile
import threading
import time
import weakref

import cluster_kit as kit

LIAR = "127.0.77.9"
HELLO, BATCH, PART, ACK, BEAT, STATE, STATE_PART, REFUSED = 256, 257, 258, 259, 260, 263, 264, 265
MIB = 1 << 20


# ---- the link's messages (relay/link.h) ----

def message(set_id, body):
    return struct.pack("!HHIIIHH", 10, 20 + len(body), int(time.time()), 0, 0, set_id, 4 + len(body)) + body


def hello(name="liar"):
    return message(HELLO, struct.pack("!HQIB", 1, 1, 5, len(name)) + name.encode())


def beat(full=0, free=1 << 40):
    return message(BEAT, struct.pack("!QB", free, full))


def ack(stream, lane, first, last):
    return message(ACK, struct.pack("!QIQQ", stream, lane, first, last))


def refusal(stream, lane, sequence):
    return message(REFUSED, struct.pack("!QIQ", stream, lane, sequence))


def state(name, size, digest=0):
    return message(STATE, struct.pack("!QQIQB", 1 << 60, 0, size, digest, len(name)) + name.encode())


def state_part(data):
    return message(STATE_PART, struct.pack("!BH", 255, len(data)) + data)


class Liar(threading.Thread):
    """Answers each connection of a proxy with one script after the other; the last one for ever."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.listener = socket.create_server((LIAR, port))
        self.script, self.current, self.lanes, self.ended, self.said = None, None, set(), False, 0
        self.met = weakref.WeakSet()
        self.start()

    def run(self):
        while not self.ended:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.current = s
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        try:
            while not self.ended:
                self.script(self, s)
        except OSError:
            pass
        finally:
            s.close()

    def say(self, s, *messages):
        s.sendall(b"".join(messages))
        self.said += len(messages)

    def is_new(self, s):
        """Once for each connection: one that is silent for two seconds, as on a busy machine, is followed by another."""
        new = s not in self.met
        self.met.add(s)
        return new

    def begin(self, script):
        """From now on, on a new connection."""
        self.script, self.said = script, 0
        if self.current is not None:
            try:
                self.current.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def end(self):
        self.ended = True
        self.listener.close()


def drain(s):
    s.setblocking(False)
    try:
        while s.recv(1 << 20):
            pass
    except BlockingIOError:
        pass
    s.setblocking(True)


def memory(node):
    return next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{node.child.pid}/status").read_text().splitlines()
                if line.startswith("VmRSS")) * 1024


def refused(node, reason):
    return node.status()["cluster"]["proxy"]["link_refused"][reason]


def lane_of(name):
    """FNV-1a (src/conf/cluster.c)."""
    number = 2166136261
    for byte in name.encode():
        number = (number ^ byte) * 16777619 & 0xFFFFFFFF
    return number


class Case:
    """A proxy, a subcollector and a liar; two copies of everything."""

    def __init__(self, folder):
        self.cluster = kit.Cluster(folder, 2, 2, roles=[["proxy"], ["subcollector"]])
        self.proxy, self.real = self.cluster.nodes
        self.proxy.env = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=16"}  # its memory is measured
        self.liar_port = kit.free_port(LIAR)
        liar = kit.Node(self.cluster, "liar", LIAR, ["subcollector"], link_port=self.liar_port, port=4739)
        self.cluster.write_members(1, [*self.cluster.nodes, liar])
        self.liar = Liar(self.liar_port)
        self.sent = set()

    def stream(self):
        return int(self.proxy.status()["cluster"]["proxy"]["stream"], 16)

    def accepted(self):
        kit.wait_for(lambda: self.proxy.status()["received"]["flows"] == len(self.sent) and self.proxy.has_accepted())

    def complete(self, what):
        kit.check(f"answers: {what}: the proxy is alive", self.proxy.child.poll() is None, self.cluster.logs())
        kit.check(f"answers: {what}: nothing waits once the real member is there", kit.wait_for(lambda: self.proxy.waiting() == 0, 30),
                  self.proxy.status()["cluster"])
        got, _ = kit.numbers([self.real.store])
        kit.check(f"answers: {what}: every flow is there once", set(got) == self.sent and set(got.values()) <= {1},
                  (len(got), len(self.sent)))


def never_sent(case):
    """Full, so that it is sent nothing; it acknowledges everything and refuses everything, while nobody else is there."""
    proxy, real, liar = case.proxy, case.real, case.liar
    stream = case.stream()
    known = (lane_of("n2"), lane_of("liar"))

    def forge(liar, s):
        if liar.is_new(s):
            liar.say(s, hello())
        forged = [ack(stream, lane, first, last) for lane in known
                  for first, last in ((0, 0), (0, 100), (0, 5000), (0, 60000), (0, 2**64 - 1), (2**64 - 3, 2**64 - 1))]
        forged += [refusal(stream, lane, n) for lane in known for n in range(20)]
        liar.say(s, beat(full=1, free=0), *forged, ack(random.getrandbits(64), 7, 0, 60000))
        drain(s)
        time.sleep(0.05)

    real.kill()
    kit.wait_for(lambda: "n2" not in proxy.usable())
    liar.begin(forge)
    exporter = kit.Exporter(proxy)
    case.sent |= set(exporter.send(len(case.sent), 40000))
    case.accepted()
    before = proxy.waiting()
    kit.wait_for(lambda: liar.said > 1000, 20)
    kit.check("answers: never sent: nothing is released", before > 0 and proxy.waiting() == before and liar.said > 1000,
              (before, proxy.waiting(), liar.said, proxy.member("liar")))
    kit.check("answers: never sent: the refusals are counted", refused(proxy, "acknowledgement") > 100, proxy.status()["cluster"])
    real.start()
    case.complete("never sent")


def whole_ranges(case):
    """It takes batches and acknowledges whatever there may be; the real member has a copy of each all the same."""
    stream = case.stream()
    known = (lane_of("n2"), lane_of("liar"))

    def forge(liar, s):
        if liar.is_new(s):
            liar.say(s, hello())
        liar.say(s, beat(free=2**64 - 1), *[ack(stream, lane, 0, 60000) for lane in known])
        drain(s)
        time.sleep(0.01)

    case.liar.begin(forge)
    kit.wait_for(lambda: "liar" in case.proxy.usable())
    kit.wait_for(lambda: "n2" in case.proxy.usable())
    exporter = kit.Exporter(case.proxy)
    case.sent |= set(exporter.send(len(case.sent), 40000))
    case.accepted()
    case.complete("whole ranges")


def flapping(case):
    """Beats that say full and not full in turn, greetings over and over: the log and the others bear it."""
    def forge(liar, s):
        if liar.is_new(s):
            liar.say(s, hello())
        liar.say(s, *[beat(full=i % 2, free=2**64 - 1) for i in range(200)])
        drain(s)

    begin = time.monotonic()
    case.liar.begin(forge)
    exporter = kit.Exporter(case.proxy)
    case.sent |= set(exporter.send(len(case.sent), 10000))
    kit.wait_for(lambda: case.liar.said > 20000)
    case.accepted()
    case.complete("flapping")
    lines = case.proxy.log.read_text().count("liar has a disk that refuses what it is given")  # not full: so much is free
    kit.check("answers: flapping: few lines", 1 <= lines <= 2 + (time.monotonic() - begin) / 20, lines)
    case.liar.begin(lambda liar, s: (liar.say(s, *[hello()] * 100), time.sleep(0.05)))
    kit.check("answers: greetings: a second one is refused", kit.wait_for(lambda: refused(case.proxy, "malformed") > 0),
              case.proxy.status()["cluster"])


def garbage(case):
    """States of nobody, of others, garbage, of huge sizes; batches; nothing is read in return."""
    names = ["n1", "n2", "liar", "mallory", *[f"x{i}" for i in range(200)]]
    before, malformed = memory(case.proxy), refused(case.proxy, "malformed")
    turns = []

    def forge(liar, s):
        turn = len(turns)
        turns.append(turn)
        liar.say(s, hello(), beat())
        rng = random.Random(turn)
        kind = turn % 4
        if kind == 0:
            liar.say(s, state(rng.choice(names), 0xFFFFFFFF))
        elif kind == 1:  # almost whole, and wrong
            liar.say(s, state(rng.choice(names), 16 * MIB), *[state_part(bytes(65000))] * 259)
        elif kind == 2:
            liar.say(s, message(BATCH, struct.pack("!QIQQIIBIQ", 1, 7, 0, 0, 60, 100, 0, 64 * MIB, 0)), *[message(PART, struct.pack(
                "!BH", 255, 65000) + bytes(65000))] * 900)
        else:
            liar.say(s, *[state(name, 1, 0xC44BDFF4074EECDB) + state_part(b"\0") for name in names])  # XXH3 64 of that byte
        time.sleep(0.3)
        raise ConnectionError("the next one")

    case.liar.begin(forge)
    exporter = kit.Exporter(case.proxy)
    case.sent |= set(exporter.send(len(case.sent), 10000))
    kit.check("answers: garbage: it was all tried", kit.wait_for(lambda: len(turns) >= 8, 60), turns)
    kit.check("answers: garbage: states of nobody are counted", kit.wait_for(lambda: refused(case.proxy, "state") >= 200), case.proxy.status()["cluster"])
    kit.check("answers: garbage: what makes no sense is counted", kit.wait_for(lambda: refused(case.proxy, "malformed") >= malformed + 3), case.proxy.status()["cluster"])
    grown = memory(case.proxy) - before
    kit.check("answers: garbage: memory is bounded", grown < 256 * MIB, grown)
    case.complete("garbage")


def stored(case):
    """While it waits for the other copy, the real member has each flow."""
    return kit.wait_for(lambda: set(kit.numbers([case.real.store])[0]) == case.sent, 30)


def quiet(case):
    """The liar takes nothing any more: the others are all that there is."""
    case.liar.begin(lambda liar, s: (liar.say(s, hello(), beat(full=1)), time.sleep(600)))


def refusing(case):
    """It refuses whatever there may be."""
    stream = case.stream()
    lanes = (lane_of("n2"), lane_of("liar"))

    def forge(liar, s):
        if liar.is_new(s):
            liar.say(s, hello())
        liar.say(s, beat(), *[refusal(stream, lane, n) for lane in lanes for n in range(100)], refusal(random.getrandbits(64), 7, 1))
        drain(s)
        time.sleep(0.02)

    case.liar.begin(forge)
    kit.wait_for(lambda: "liar" in case.proxy.usable())
    exporter = kit.Exporter(case.proxy)
    for _ in range(4):
        case.sent |= set(exporter.send(len(case.sent), 10000))
        case.accepted()
    kit.check("answers: refusing: the others get all", stored(case), case.cluster.logs())
    kit.check("answers: refusing: few lines", case.proxy.log.read_text().count("liar does not take a batch") <= 10, case.proxy.log.read_text())
    quiet(case)
    case.complete("refusing")


def deaf(case):
    """It says that it lives, and reads nothing."""
    before = memory(case.proxy)

    def forge(liar, s):
        if liar.is_new(s):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            liar.say(s, hello())
        liar.say(s, beat())
        time.sleep(0.1)

    case.liar.begin(forge)
    kit.wait_for(lambda: "liar" in case.proxy.usable())
    exporter = kit.Exporter(case.proxy)
    case.sent |= set(exporter.send(len(case.sent), 200000))
    case.accepted()
    kit.check("answers: deaf: the others get all", stored(case), case.cluster.logs())
    kit.check("answers: deaf: it counts as slow", kit.wait_for(lambda: case.proxy.member("liar")["slow"]), case.proxy.status()["cluster"])
    grown = memory(case.proxy) - before
    kit.check("answers: deaf: memory is bounded", grown < 128 * MIB, grown)
    quiet(case)
    case.complete("deaf")


def main():
    with tempfile.TemporaryDirectory() as folder:
        case = Case(folder)
        quiet(case)
        for n in case.cluster.nodes:
            n.start()
        for scenario in (never_sent, whole_ranges, flapping, garbage, refusing, deaf):
            scenario(case)
        case.liar.end()
        kit.check("answers: all end with 0", set(case.cluster.stop()) == {0}, case.cluster.logs())
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
