# SPDX-License-Identifier: BSD-3-Clause
"""One scenario in the laboratory: a cluster under load, from a seed, the faults that may be done to it, and what must hold after.

What a flow's fate must be is known from the exporter's socket. Over TCP a flow is to be there when the kernel of its proxy
acknowledged it and no death of that proxy lies within a second after that; what was not acknowledged on a connection that broke, or
was acknowledged later than that, may be there (longer on a machine that is busy: see Lag). All of UDP may be there; how much is not is measured.
"""
import collections
import errno
import fcntl
import os
import pathlib
import random
import select
import socket
import subprocess
import threading
import time

import cluster_kit as kit
import lab_truth

BOTH, SUB, PROXY = ["proxy", "subcollector"], ["subcollector"], ["proxy"]
THREE = [[BOTH, BOTH, SUB], [PROXY, PROXY, SUB, SUB, SUB], [BOTH, PROXY, SUB, SUB]]
FIVE = [[PROXY, PROXY, SUB, SUB, SUB, SUB, SUB], [BOTH, BOTH, SUB, SUB, SUB], [BOTH, PROXY, SUB, SUB, SUB, SUB]]
ALL = THREE + FIVE
UNCERTAIN_S = 1.0  # from the proxy's kernel to its outbox, on a machine that has time; else in addition:
LAGS = 10  # as many times as long as the machine lately let the laboratory itself wait
AFTER_S = 3.0  # this long after a trouble a proxy may still have in its sockets what it was sent before
SIOCOUTQ = 0x5411
DISK = "96m"
HERE = pathlib.Path(__file__).resolve().parent

Sent = collections.namedtuple("Sent", "when numbers")


class Source(threading.Thread):
    """An exporter that numbers its flows. Over TCP it knows which of them the proxy's kernel has, and connects again."""

    def __init__(self, node, machine, first, rate, udp):
        super().__init__(daemon=True)
        self.node, self.machine, self.first, self.next, self.rate, self.udp = node, machine, first, first, rate, udp
        self.exporter, self.domain = None, first
        self.here, self.port = 0, 0  # of the connection: flows that it was given, and its end
        self.on_the_way = []  # Sent, not acknowledged
        self.acknowledged = []  # (Sent, when known)
        self.uncertain = set()
        self.steps = 0
        self.resting = False  # it pauses, and nothing that it sent is on its way
        self.pausing, self.ending = threading.Event(), threading.Event()

    def connect(self, address, _timeout):
        made = self.machine.connect(address, 10, socket.SOCK_DGRAM if self.udp else socket.SOCK_STREAM)
        made.settimeout(120)
        self.here, self.port = 0, made.getsockname()[1]
        return made

    def run(self):
        while not self.ending.wait(0.05):
            if self.pausing.is_set():
                self.resting = not (self.look() and self.on_the_way)
            else:
                self.step()

    def step(self):
        count = max(1, self.rate // 20)
        numbers = range(self.next, self.next + count)
        try:
            self.exporter = self.exporter or kit.Exporter(self.node, self.domain, self.connect, datagrams=self.udp)
            self.next += count  # also when it fails: part of it may be on its way
            self.on_the_way.append(Sent(time.monotonic(), numbers))
            self.exporter.send(numbers.start, count)
            self.here += count
        except OSError:
            self.broken()
        self.look()
        self.steps += 1

    def look(self):
        """Notes what has arrived. False: the connection is gone."""
        if self.udp:
            self.uncertain.update(*(s.numbers for s in self.on_the_way))
            self.on_the_way = []
        if self.exporter is None or self.udp:
            return False
        if self.exporter.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or self.has_ended():
            self.broken()
            return False
        if int.from_bytes(fcntl.ioctl(self.exporter.socket, SIOCOUTQ, bytes(4)), "little") == 0:
            now = time.monotonic()
            self.acknowledged += [(s, now) for s in self.on_the_way]
            self.on_the_way = []
        return True

    def has_ended(self):
        """The proxy has; it never says anything else."""
        return bool(select.select([self.exporter.socket], [], [], 0)[0])

    def is_decoded(self):
        """What the present connection was given. Of datagrams nothing is known."""
        return self.udp or not self.look() or self.node.decoded(self.port) >= self.here

    def broken(self):
        if self.udp and self.exporter:
            return  # a datagram that nobody took
        if self.exporter:
            self.exporter.close()
        self.exporter = None
        self.uncertain.update(*(s.numbers for s in self.on_the_way))
        self.on_the_way = []

    def fates(self, deaths):
        """(must, may); `deaths` of its proxy: (since when what it was sent is uncertain, until when)."""
        must, may = set(), set(self.uncertain)
        for sent, known in self.acknowledged:
            near = any(begin < known and sent.when < end for begin, end in deaths)
            (may if near else must).update(sent.numbers)
        may.update(*(s.numbers for s in self.on_the_way))
        return must, may


class Lag(threading.Thread):
    """How late this process is woken, the most of the last seconds: others are woken no sooner."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = collections.deque([0.0], maxlen=250)
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set():
            begin = time.monotonic()
            self.ending.wait(0.02)
            self.seen.append(time.monotonic() - begin - 0.02)

    def most(self):
        return max(list(self.seen))


class Scenario:
    def __init__(self, kind, seed, folder, lab):
        self.kind, self.seed, self.folder, self.lab = kind, seed, pathlib.Path(folder), lab
        self.rng = random.Random(seed)
        self.said = []
        self.cluster = None
        self.lag = Lag()
        self.lag.start()
        self.troubles = collections.defaultdict(list)  # name: [begin, end or None]
        self.deaths = collections.defaultdict(list)  # name: [begin of uncertainty, end or None]
        self.archives = []  # folders that are read with the stores
        self.is_strong = False  # each batch is to have its copies in the end
        self.is_uneven = False  # some keep windows that others have expired
        self.ends = []  # exit statuses of nodes that were ended
        self.known = set()  # flows that the last rest has found
        self.expired = set()  # flows that may be gone, and need not be named

    # ---- setting up ----

    def set_up(self, layouts, copies, window=None, prepare=None, **options):
        roles = self.rng.choice(layouts)
        self.copies = self.rng.choice(copies)
        self.cluster = self.lab.cluster(self.folder, len(roles), self.copies, roles=roles,
                                        window=window or self.rng.choice([10, 60, 300]), **options)
        self.nodes, self.proxies = self.cluster.nodes, self.cluster.proxies()
        self.subs = [n for n in self.nodes if "subcollector" in n.roles]
        self.pure = [n for n in self.subs if "proxy" not in n.roles]
        letters = {1: {"proxy": "p", "subcollector": "s"}, 2: {"proxy": "b"}}
        self.said.append(" ".join(letters[len(n.roles)][n.roles[0]] for n in self.nodes) + f", {self.copies} copies")
        if prepare:
            prepare(self)
        self.cluster.start()
        self.sources = []
        for i, proxy in enumerate(self.proxies):
            place = self.lab.machine(f"x{i + 1}")
            for udp, rates in ((False, [400, 3000, 6000]), (True, [200, 1000])):
                first = (2 * i + 1 + udp) * 10_000_000
                self.sources.append(Source(proxy, place, first, self.rng.choice(rates), udp))
        for source in self.sources:
            source.start()
        time.sleep(1.0)

    def shim(self, node):
        """Puts `node` under the shim; before its start."""
        library, faults = self.folder / "lab_shim.so", self.folder / f"{node.name}.faults"
        if not library.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "lab_shim.c")], check=True)
        faults.mkdir()
        node.wrap = ["env", f"LD_PRELOAD={library}", f"LAB_FAULTS={faults}"]
        return faults

    # ---- faults ----

    def say(self, text):
        self.said.append(text)

    def sleep(self, least, most=None):
        time.sleep(self.rng.uniform(least, most or least))

    def begin_trouble(self, node):
        self.troubles[node.name].append([time.monotonic(), None])

    def end_trouble(self, node):
        self.troubles[node.name][-1][1] = time.monotonic()

    def begin_death(self, node):
        now = time.monotonic()
        recent = [begin for begin, end in self.troubles[node.name] if end is None or end > now - AFTER_S]
        self.deaths[node.name].append([min([now, *recent]) - UNCERTAIN_S - LAGS * self.lag.most(), None])

    def kill(self, node):
        self.say(f"kill {node.name}")
        self.begin_death(node)
        node.kill()

    def end(self, node):
        self.say(f"end {node.name}")
        self.begin_death(node)
        self.ends.append(node.stop())

    def start(self, node):
        node.start()
        self.deaths[node.name][-1][1] = time.monotonic() + 0.2

    def restart(self, node, *between):
        """Ended or killed; its disk, say, is changed while it is away."""
        self.rng.choice([self.end, self.kill])(node)
        for change in between:
            change()
        self.start(node)

    def freeze(self, node, seconds):
        self.say(f"freeze {node.name} {seconds:.1f} s")
        self.begin_trouble(node)
        node.freeze()
        end = time.monotonic() + seconds
        if seconds > 5:
            self.moment(f"{node.name} is frozen")
        time.sleep(max(0.0, end - time.monotonic()))
        node.thaw()
        self.end_trouble(node)

    def heal(self):
        self.lab.heal()

    def fill(self, node, left, name="ballast"):
        """Fills the file system of a node's store but for `left` bytes. None: gives the room back."""
        ballast = node.store / name
        if left is None:
            ballast.unlink()
            return
        with open(ballast, "wb") as file:
            while True:
                free = os.statvfs(node.store)
                try:
                    os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))
                    return
                except OSError as why:  # the node wrote meanwhile, and what it left is less
                    if why.errno != errno.ENOSPC:
                        raise

    # ---- the end ----

    def pause(self, sources):
        """Each has sent once more when they rest. False: one cannot."""
        begun = {source: source.steps for source in sources if not source.pausing.is_set()}
        if not kit.wait_for(lambda: all(source.steps > count for source, count in begun.items()), 60):
            return False
        for source in sources:
            source.resting = False
            source.pausing.set()
        return kit.wait_for(lambda: all(source.resting for source in sources), 60)

    def settle(self, alive=None):
        """Waits until all that `alive` proxies were given is safe, and the load rests. Returns what did not happen, or ""."""
        proxies = [n for n in self.proxies if alive is None or n in alive]
        for udp in (True, False):  # where all is decoded that came over TCP, what came in datagrams before is
            if not self.pause([s for s in self.sources if s.udp == udp]):
                return "an exporter cannot send"
        if not kit.wait_for(lambda: all(s.is_decoded() for s in self.sources if s.node in proxies) and
                            all(n.has_accepted() for n in proxies), 60):
            return f"not all is accepted: {[(s.node.name, s.here, s.node.decoded(s.port)) for s in self.sources if not s.udp]}"
        if not kit.wait_for(lambda: all(n.waiting() == 0 for n in proxies), 60):
            return f"batches wait: {[(n.name, n.waiting()) for n in proxies]}"
        everyone = sorted(n.name for n in self.subs if alive is None or n in alive)
        if not kit.wait_for(lambda: all(n.usable() == everyone for n in proxies), 20):
            return f"not all are used: {[(n.name, n.usable()) for n in proxies]}"
        return ""

    def go_on(self):
        """The load does, after it was made to rest."""
        for source in self.sources:
            source.pausing.clear()

    def rests(self, what, alive=None):
        """Between two faults: all proxies are there; `alive`: all nodes that are. The load rests, and what was accepted so far
        is there once."""
        wrong = self.settle(alive)
        problem, summary = self.judge(self.stores())
        self.check(f"{what}: {summary}", wrong or problem)

    def step(self, what):
        """A rest, and the load goes on."""
        self.rests(what)
        self.go_on()

    def moment(self, what):
        """In the midst of a fault and under load: nothing is there twice or was never sent, what a rest has found is there, and no batch
        is missing."""
        stores = [*self.stores(), *self.archives]
        got, _ = kit.numbers(stores)
        sent = set().union(*(range(source.first, source.next) for source in self.sources))
        double = [n for n, times in got.items() if times > 1]
        gone = self.known - set(got) - self.expired
        strange = set(got) - sent
        missing, _, _ = lab_truth.named_missing(stores)
        self.check(f"{what}: once at that moment, too", "" if not (double or gone or strange or missing) else
                   f"{len(double)} double {double[:5]}, {len(gone)} gone {sorted(gone)[:5]}, {len(strange)} not sent, {missing}")

    def is_sealed(self, nodes):
        """All windows of their stores are; the load has to rest."""
        return all(not list(n.store.rglob("*.sclive")) and list(n.store.rglob("*.scs")) for n in nodes)

    def is_whole(self, node, since):
        status = node.status()
        whole = status and status["cluster"]["healing"]["whole_at"]
        return whole and kit.parse_time(whole) > since

    def last_window_ends(self):
        """Wall clock: when those are over in which flows may have come until now."""
        now = time.time()
        return max(now - now % n.window + n.window for n in self.proxies)

    def returns_to_strength(self):
        """What lacks somewhere comes there by itself, and the answer is the same at every moment. The load rests, and each batch has its
        copies from now on."""
        self.heal()
        wrong = self.settle()
        since, end = self.last_window_ends() + 6, time.monotonic() + 150  # the last window is over, and looked at
        while not wrong and not all(self.is_whole(n, since) for n in self.subs):
            wrong, _ = self.judge(self.stores())
            if not wrong and time.monotonic() > end:
                wrong = [n.status()["cluster"]["healing"] for n in self.subs]
        self.check("all become whole, and the answer is the same meanwhile", wrong)
        self.is_strong = True

    def change_members(self, members, version):
        """With the states that they have now."""
        self.cluster.write_members(version, members)
        for node in self.nodes:
            node.reload()
        done = kit.wait_for(lambda: all((n.status() or {"cluster": {"version": 0}})["cluster"]["version"] == version for n in self.nodes), 20)
        self.check(f"version {version} of the members is in use", "" if done else self.said)

    def take_in(self, node):
        """It runs, and counts from now on."""
        self.nodes.append(node)
        for role, some in (("proxy", self.proxies), ("subcollector", self.subs)):
            if role in node.roles:
                some.append(node)

    def take_out(self, node):
        """It has ended, and counts no more."""
        for some in (self.nodes, self.subs, self.pure):
            if node in some:
                some.remove(node)

    def stores(self, without=()):
        return [n.store for n in self.subs if n not in without]

    def judge(self, stores):
        """What is wrong with the answer over `stores` and what is archived, or ""; and a summary."""
        stores = [*stores, *self.archives]
        complete = kit.wait_for(lambda: lab_truth.named_missing(stores)[1] == 0, 60)
        got, status = kit.numbers(stores)
        must, may, udp, lost = set(), set(), 0, 0
        for source in self.sources:
            ends = [(begin, end or float("inf")) for begin, end in self.deaths[source.node.name]]
            certain, uncertain = source.fates(ends)
            must |= certain
            may |= uncertain
            if source.udp:
                udp += len(uncertain)
                lost += sum(n not in got for n in uncertain - self.expired)
        missing, extra = must - set(got) - self.expired, set(got) - must - may
        double = [n for n, times in got.items() if times > 1]
        summary = f"{len(must)} flows accepted, {len(may) - udp} uncertain, {lost} of {udp} over UDP lost before acceptance"
        if complete and status == 0 and not missing and not extra and not double:
            self.known = set(got)
            return "", summary
        return (f"exit {status}, {len(got)} flows, {len(missing)} missing {sorted(missing)[:5]}, {len(extra)} not sent "
                f"{sorted(extra)[:5]}, {len(double)} double {double[:5]}, {lab_truth.named_missing(stores)[2]['missing']}"), summary

    def check(self, name, wrong):
        if not kit.check(f"lab: seed {self.seed} {self.kind}: {name}", not wrong, str(wrong)[:3000]):
            print("  " + self.cluster.logs().replace("\n", "\n  "), flush=True)

    def finish(self):
        """All is well again: everything accepted is there once, and what is not is named to the flow."""
        self.heal()
        wrong = self.settle()
        problem, summary = self.judge(self.stores())
        self.check(f"{'; '.join(self.said)}; {summary}", wrong or problem)
        for source in self.sources:
            source.ending.set()
            source.join()
        time.sleep(2.2 + LAGS * self.lag.most())  # all nodes have the last tallies, also those that end before another proxy
        ends = self.ends + self.cluster.stop()
        self.check("all end with 0", "" if set(ends) == {0} else f"ends {ends}")
        return self.check_names()

    def check_names(self):
        """Without some stores the answer names what is missing, to the flow."""
        truth = lab_truth.Truth(self.stores())
        count = len(truth.stores)
        sets = [frozenset(i for i in range(count) if number >> i & 1) for number in range(0, (1 << count) - 1)]
        if self.kind != "gone":
            sets = [sets[0]] + self.rng.sample(sets[1:], min(6, len(sets) - 1))
        results = [truth.compare(gone, uneven=self.is_uneven) for gone in sets]
        wrong = "\n".join(text for text, _ in results if text)
        lacking = sum(lacks for _, lacks in results)
        short = sum(n < self.copies for n in truth.copies().values())
        self.check(f"{len(truth.all)} batches, {short} with fewer copies; {len(sets)} sets of stores are left out, "
                   f"{lacking} with loss, and named exactly", wrong)
        return truth, lacking
