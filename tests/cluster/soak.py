#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A soak of the programs: two proxies that store, two subcollectors more, two copies, windows of 10 s, ten minutes of retention; exporters
over TCP that number their flows; a fault each minute, from a seed. SC_BUILD names the build; root, for the machines are namespaces.

    soak.py [--minutes 60] [--rate FLOWS] [--seed N]

A connection lasts for half a minute, and its flows have its number as their observation domain. Both counters of a flow hold its own
number, in another form each, so that the sums over a connection tell whether its flows are there once, and are the first that it sent.
Each minute an answer over all stores is compared: connections that ended well have all their flows in it, those that broke a beginning that
is not shorter than what the proxy's kernel had a second before; an answer that says it is partial may lack some, and only then.
At the end: five minutes after the last fault every subcollector says that it is whole, and any of the stores may be left out.
Memory, descriptors and files of the processes are noted all the time; of the subcollector that is never killed they must be flat.

The last lines are rows for docs/reliability.md. Exit: 0 when all held.
"""
import argparse
import collections
import fcntl
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time

import cluster_kit as kit
import lab_kit
from lab_scenario import BOTH, SIOCOUTQ, SUB, UNCERTAIN_S, LAGS, Lag

FIELDS = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8), (2, 8), (152, 8), (153, 8)]
RECORD = struct.Struct("!4s4sHHB6sHIB3s8s8s")
FLOWS = 1000  # of a message
NUMBER, SHORT, BEGIN, END = b"\xa5NUMBR", b"\xa6NR", b"\xa7BEGINS\xa7", b"\xa8ENDS..\xa8"
WINDOW_S, CONNECTION_S, RETENTION = 10, 30, "10m"
WARM_UP = 12  # minutes: until retention deletes as much as comes
LOOK_BACK_S = 300
HEAL_S = 300


def messages(rng, count=16):
    """Bodies of messages, in which the numbers are to be replaced: FLOWS flows each, numbered 0 to 255 again and again."""
    made = []
    for _ in range(count):
        body = b"".join(RECORD.pack(rng.randbytes(4), b"\x0b" + rng.randbytes(3), rng.randrange(1024, 65536), rng.choice([53, 80, 443]),
                                    rng.choice([6, 17]), NUMBER, i % 256, 0, i % 256, SHORT, BEGIN, END) for i in range(FLOWS))
        assert all(body.count(word) == FLOWS for word in (NUMBER, SHORT, BEGIN, END))
        made.append(body)
    return made


def sums(flows):
    """Of the first so many flows of a connection: what both counters add up to."""
    octets = packets = 0
    for number in range((flows + FLOWS - 1) // FLOWS):
        here = min(FLOWS, flows - number * FLOWS)
        places = sum(i % 256 for i in range(here)) if here < FLOWS else PLACES
        octets += here * (number << 16) + places
        packets += (places << 24) + here * number
    return octets, packets


PLACES = sum(i % 256 for i in range(FLOWS))

Made = collections.namedtuple("Made", "proxy sent least when")  # a connection that ended: how many flows; surely; at what time


class Source(threading.Thread):
    """An exporter."""
    domains = iter(range(1, 1 << 32))

    def __init__(self, soak, proxy, machine, rate):
        super().__init__(daemon=True)
        self.soak, self.proxy, self.machine, self.rate = soak, proxy, machine, rate
        self.ending = threading.Event()
        self.made = {}  # domain: Made

    def run(self):
        while not self.ending.is_set():
            try:
                self.connection(next(self.domains))
            except OSError:
                self.ending.wait(0.2)

    def connection(self, domain):
        with self.machine.connect((self.proxy.address, self.proxy.port), 10) as there:
            there.settimeout(30)
            known = collections.deque([(0, 0)])  # (when, flows that the proxy's kernel had by then)
            sent, number = 0, 0
            begin = time.monotonic()
            try:
                self.message(there, domain, 0, 2, struct.pack("!HH", 256, len(FIELDS)) + b"".join(struct.pack("!HH", *f) for f in FIELDS))
                while not self.ending.is_set() and time.monotonic() < begin + CONNECTION_S:
                    now = int(time.time() * 1000)
                    body = self.soak.bodies[number % len(self.soak.bodies)]
                    for word, value in ((NUMBER, number.to_bytes(6, "big")), (SHORT, number.to_bytes(3, "big")),
                                        (BEGIN, (now - 1000).to_bytes(8, "big")), (END, now.to_bytes(8, "big"))):
                        body = body.replace(word, value)
                    sent += FLOWS  # also when it fails: part of it may be on its way
                    self.message(there, domain, sent - FLOWS, 256, body)
                    number += 1
                    self.look(there, known, sent)
                    self.ending.wait(max(0.0, begin + sent / self.rate - time.monotonic()))
                while known[-1][1] < sent:
                    time.sleep(0.02)
                    self.look(there, known, sent)
                    if there.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        raise OSError("the connection broke")
                self.wait_for_fate(domain, sent, sent)
            except OSError:
                died, sure = self.soak.begin_of_trouble(self.proxy), 0
                sure = max((flows for when, flows in known if when < died), default=0)
                self.made[domain] = Made(self.proxy.name, sent, sure, time.time())

    def wait_for_fate(self, domain, sent, had):
        """All of it is in the proxy's kernel: it is accepted, unless the proxy dies within the next second."""
        end = time.monotonic()
        self.ending.wait(UNCERTAIN_S + LAGS * self.soak.lag.most())
        safe = self.soak.begin_of_trouble(self.proxy) > end + UNCERTAIN_S or self.soak.is_well(self.proxy, end)
        self.made[domain] = Made(self.proxy.name, sent, had if safe else 0, time.time())

    @staticmethod
    def look(there, known, sent):
        if int.from_bytes(fcntl.ioctl(there, SIOCOUTQ, bytes(4)), "little") == 0:
            known.append((time.monotonic(), sent))
            if len(known) > 20000:
                known.popleft()

    @staticmethod
    def message(there, domain, sequence, set_id, body):
        length = 20 + len(body)
        there.sendall(struct.pack("!HHIII", 10, length, int(time.time()), sequence, domain) + struct.pack("!HH", set_id, length - 16) + body)


class Meter(threading.Thread):
    """Every three seconds, which is no part of a window: memory, descriptors and files of each node."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.ending = nodes, threading.Event()
        self.seen = collections.defaultdict(list)  # name: [(minute, kB, descriptors, files)]
        self.begin = time.monotonic()

    def run(self):
        while not self.ending.wait(3):
            for n in self.nodes:
                try:
                    text = pathlib.Path(f"/proc/{n.child.pid}/status").read_text(encoding="ascii")
                    memory = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon"))
                    descriptors = len(os.listdir(f"/proc/{n.child.pid}/fd"))
                except (OSError, StopIteration):
                    continue  # it is being killed
                files = sum(len(names) for _, _, names in os.walk(n.store))
                self.seen[n.name].append(((time.monotonic() - self.begin) / 60, memory, descriptors, files))

    def least(self, name, begin):
        """The least of each minute from then on: what a seal, a healing or a connection takes, it gives back."""
        minutes = collections.defaultdict(list)
        for row in self.seen[name]:
            minutes[int(row[0])].append(row[1:])
        return {m: [min(values) for values in zip(*minutes[m])] for m in sorted(minutes) if m >= begin}


class Soak:
    def __init__(self, folder, lab, args):
        self.rng = random.Random(args.seed)
        self.args, self.lab = args, lab
        self.bodies = messages(self.rng)
        self.lag = Lag()
        self.lag.start()
        self.cluster = lab.cluster(folder, 4, 2, roles=[BOTH, BOTH, SUB, SUB], window=WINDOW_S)
        self.nodes = self.cluster.nodes
        self.troubles = collections.defaultdict(list)  # name: [begin, end] of what its kernel had and may not have accepted
        self.faults = collections.Counter()
        for n in self.nodes:
            n.start(extra=f"retention:\n  age: {RETENTION}\n")
        self.sources = [Source(self, n, lab.machine(f"x{i + 1}"), args.rate / 2) for i, n in enumerate(self.cluster.proxies())]
        self.checked = self.partial = self.wrong = 0
        self.meter = Meter(self.nodes)

    # ---- faults ----

    def begin_of_trouble(self, node):
        """When the proxy last began to be in trouble, less what it may have had in its kernel only; or never."""
        began = self.troubles[node.name]
        return began[-1][0] - UNCERTAIN_S - LAGS * self.lag.most() if began else float("inf")

    def is_well(self, node, since):
        return all(end is not None and end < since for _, end in self.troubles[node.name])

    def down(self, node, how, least, most, wipe=False):
        self.troubles[node.name].append([time.monotonic(), None])
        how()
        if wipe:
            shutil.rmtree(node.store)
        time.sleep(self.rng.uniform(least, most))
        node.start(extra=f"retention:\n  age: {RETENTION}\n")
        self.troubles[node.name][-1][1] = time.monotonic()

    def troubled(self, node, begin, end):
        self.troubles[node.name].append([time.monotonic(), None])
        begin()
        time.sleep(self.rng.uniform(1, 15))
        end()
        self.troubles[node.name][-1][1] = time.monotonic()

    def fault(self):
        rng, nodes = self.rng, self.nodes
        killed = [n for n in nodes if n is not nodes[2]]
        kind = rng.choice(["kill a proxy", "kill a subcollector", "end and start", "freeze", "cut off", "cut one way", "loss", "replace a disk", "reload"])
        node = rng.choice({"kill a proxy": nodes[:2], "kill a subcollector": [nodes[3]], "end and start": killed,
                           "replace a disk": [nodes[3]]}.get(kind, nodes))
        self.faults[kind] += 1
        print(f"# {kind}: {node.name}", flush=True)
        if kind.startswith("kill"):
            self.down(node, node.kill, 0, 10)
        elif kind == "end and start":
            self.down(node, node.stop, 0, 5)
        elif kind == "replace a disk":
            self.down(node, rng.choice([node.kill, node.stop]), 0, 5, wipe=True)
        elif kind == "freeze":
            self.troubled(node, node.freeze, node.thaw)
        elif kind == "reload":
            for n in nodes:
                n.reload()
        elif kind == "loss":
            self.troubled(node, lambda: self.lab.loss(node.name, 5), self.lab.heal)
        else:
            ways = "both" if kind == "cut off" else rng.choice(["in", "out"])
            self.troubled(node, lambda: self.lab.isolate(node.name, ways), self.lab.heal)

    # ---- judging ----

    def answer(self, stores, since):
        """What there is of each connection whose flows came since then: {domain: (flows, octets, packets)}; and the status."""
        begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
        done = kit.query(stores, "-s", "odid", "-l", "0", "-T", begin, "--time-field=received", "--output-format=json",
                         "--output-fields=odid,flows,bytes,packets")
        if done.returncode not in (0, 3):
            return None, f"exit {done.returncode}: {done.stderr}"
        records = json.loads(done.stdout)["records"]
        return {r["odid"]: (r["flows"], r["bytes"], r["packets"]) for r in records}, done.returncode

    def judge(self, stores, since):
        """What is wrong with the answer about connections that began since then and ended; how many; and whether it says that it is complete."""
        ended = {d: m for s in self.sources for d, m in list(s.made.items()) if m.when < time.time() - 3 and m.when - 2 * CONNECTION_S - 60 > since}
        got, status = self.answer(stores, since)
        if got is None:
            return status, 0, False
        wrong = []
        for domain, m in ended.items():
            flows, octets, packets = got.get(domain, (0, 0, 0))
            enough = flows <= m.sent and (flows >= m.least or status == 3)
            if not enough or (status == 0 and (octets, packets) != sums(flows)):
                wrong.append(f"{domain} of {m.proxy}: {flows} flows of {m.least} to {m.sent}, sums {octets} {packets}, ought to be {sums(flows)}")
        return "\n".join(wrong[:10]), len(ended), status == 0

    def look(self):
        problem, count, complete = self.judge([n.store for n in self.nodes], time.time() - LOOK_BACK_S)
        self.checked += count
        self.partial += not complete
        self.wrong += bool(problem)
        if problem:
            kit.check("soak: sums are exact, or the answer says that it is partial", False, problem)
        return complete

    def run(self):
        self.meter.start()
        for s in self.sources:
            s.start()
        begin = time.monotonic()
        for minute in range(self.args.minutes):
            if minute < self.args.minutes - HEAL_S // 60:
                time.sleep(self.rng.uniform(2, 20))
                self.fault()
            time.sleep(max(0.0, begin + 60 * (minute + 1) - 5 - time.monotonic()))
            complete = self.look()
            print(f"# minute {minute + 1}: {sum(m.sent for s in self.sources for m in s.made.values()):,} flows, "
                  f"{'complete' if complete else 'partial'}, " +
                  ", ".join(f"{n.name} {self.meter.seen[n.name][-1][1:]}" for n in self.nodes if self.meter.seen[n.name]), flush=True)
            time.sleep(max(0.0, begin + 60 * (minute + 1) - time.monotonic()))

    def is_whole(self, node, since):
        status = node.status()
        whole = status and status["cluster"]["healing"]["whole_at"]
        return whole and kit.parse_time(whole) > since

    def end(self):
        now = time.time()
        whole = kit.wait_for(lambda: all(self.is_whole(n, now - 60) for n in self.nodes), 1)
        kit.check("soak: everything is whole five minutes after the last fault", whole,
                  [(n.name, (n.status() or {"cluster": {}})["cluster"].get("healing")) for n in self.nodes])
        for s in self.sources:
            s.ending.set()
        for s in self.sources:
            s.join(60)
        kit.check("soak: all is accepted and safe", kit.wait_for(lambda: self.cluster.has_accepted() and
                                                                 all(n.waiting() == 0 for n in self.cluster.proxies()), 60))
        ended = time.time()
        kit.wait_for(lambda: all(self.is_whole(n, ended + WINDOW_S + 6) for n in self.nodes), 90)
        self.meter.ending.set()
        every = [n.store for n in self.nodes]
        for away in [None, *self.nodes]:
            stores = [s for s in every if away is None or s != away.store]
            problem, count, complete = self.judge(stores, time.time() - LOOK_BACK_S)
            kit.check(f"soak: {count} connections are exact and complete without {away.name if away else 'a fault'}", not problem and complete and count, problem)
        ends = self.cluster.stop()
        kit.check("soak: all end with 0", set(ends) == {0}, ends)

    def flat(self):
        """Of the node that was never killed: medians of ten minutes each, and by how much of its mean the straight line through all rises."""
        last = self.args.minutes
        if last < WARM_UP + 20:
            print("# too short to tell whether memory, descriptors and files are flat", flush=True)
            return
        name = self.nodes[2].name
        least = self.meter.least(name, WARM_UP)
        minutes = list(least)
        for what, values in zip(("memory (kB)", "descriptors", "files"), zip(*least.values())):
            rise = statistics.linear_regression(minutes, values).slope * (minutes[-1] - minutes[0]) / statistics.mean(values)
            blocks = [int(statistics.median(values[i:i + 10])) for i in range(0, len(values) - 9, 9)]
            kit.check(f"soak: {what} of {name} at rest rises by {100 * rise:.1f} % from minute {WARM_UP} on; medians of ten minutes "
                      f"{blocks}", rise <= 0.05)

    def tell(self):
        accepted = sum(m.least for s in self.sources for m in s.made.values())
        print(f"# {accepted:,} flows for certain accepted, {accepted / self.args.minutes / 60:,.0f} a second; {self.checked} times a "
              f"connection compared, {self.partial} of {self.args.minutes} answers partial, {self.wrong} wrong", flush=True)
        print(f"# faults: {dict(self.faults)}", flush=True)


def main():
    lab_kit.end_on_signals()
    lab_kit.require()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 24))
    args = parser.parse_args()
    print(f"# seed {args.seed}, {args.minutes} minutes, {args.rate} flows a second", flush=True)
    with tempfile.TemporaryDirectory(prefix="sc-soak-") as folder, lab_kit.Lab() as lab:
        soak = Soak(folder, lab, args)
        soak.run()
        soak.end()
        soak.flat()
        soak.tell()
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
