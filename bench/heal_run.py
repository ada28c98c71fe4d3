# SPDX-License-Identifier: BSD-3-Clause
"""A subcollector whose disk was replaced gets everything back from the others: how long, how many bytes, and what the rest of the cluster
notices of it. One proxy, three subcollectors, two copies, on loopback addresses; flows from sc-exporter."""
import contextlib
import dataclasses
import pathlib
import shutil
import statistics
import subprocess
import time

import cluster_run
import data
import harness

WINDOW_S = 20
FLOWS = 700_000_000
QUERIES, LOADS, LOAD_FLOWS = 20, 9, 12_000_000


@dataclasses.dataclass
class Healed:
    seconds: float  # from the start of the empty node until it says that it is whole
    lacked: int     # bytes that it had before
    pulled: int
    cpu: float      # of all subcollectors meanwhile


class Field:
    def __init__(self, bench, flows):
        self.bench, self.sent = bench, 0
        self.module = cluster_run.kit(bench)
        self.folder = bench.folder / "heal"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.cluster = self.module.Cluster(self.folder, 4, 2, roles=[["proxy"], *[["subcollector"]] * 3], window=WINDOW_S).start()
        self.proxy, *self.subs = self.cluster.nodes
        self.victim = self.subs[-1]
        self.load(flows)

    def load(self, flows):
        """Seconds until so many are safe."""
        begin = time.perf_counter()
        before = self.proxy.status()["cluster"]["proxy"]["records"]
        cluster_run.send(self.bench, self.proxy.port, self.proxy.address, flows)
        self.sent += flows

        def safe():
            status = self.proxy.status()["cluster"]["proxy"]
            return status["records"] >= before + flows and status["waiting_batches"] == 0
        if not self.module.wait_for(safe, 600):
            raise SystemExit(f"bench: the cluster did not store everything: {self.proxy.status()}")
        return time.perf_counter() - begin

    def query(self):
        """Seconds of a top N over the flows of two windows, from the stores that stay; and the answer."""
        begin = time.perf_counter()
        done = subprocess.run([self.bench.program("sc-query"), "-s", "srcip#bytes", "-l", "10", "--time-field=received", "-T",
                               self.range, "--output-format=csv", *(str(n.store) for n in self.subs[:-1])],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: sc-query: {done.returncode} {done.stderr}")
        return time.perf_counter() - begin, done.stdout

    def choose_range(self):
        """Two windows in the middle."""
        names = sorted({p.name[:15] for p in self.victim.store.rglob("*.scs")})
        middle = names[len(names) // 2]
        begin = time.mktime(time.strptime(middle, "%Y%m%dT%H%M%S")) - time.timezone
        text = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t)) for t in (begin, begin + 2 * WINDOW_S)]
        self.range = "#".join(text)

    def healing(self):
        status = self.victim.status()
        return status["cluster"]["healing"] if status else {"whole_at": None, "pulled_bytes": 0}

    def is_whole(self, since):
        at = self.healing()["whole_at"]
        return at is not None and self.module.parse_time(at) > since

    def settle(self):
        """Windows are over, sealed, and everybody has what he ought to."""
        since = time.time() + WINDOW_S + 6
        if not self.module.wait_for(lambda: self.is_whole(since) and
                                    not any(list(n.store.rglob("*.sclive")) for n in self.subs), 900):
            raise SystemExit(f"bench: the cluster does not come to rest: {self.healing()}")

    def segments(self):
        return sum(p.stat().st_size for p in self.victim.store.rglob("*.scs"))

    @contextlib.contextmanager
    def heal(self, hurry):
        """The victim's disk is replaced; what the block does, it does beside the healing. Fills in the Healed that it gives."""
        self.settle()  # what was pulled before is sealed
        done = Healed(0, self.segments(), 0, 0)
        self.victim.stop()
        shutil.rmtree(self.victim.store)
        cpu = [cluster_run.cpu_of(n) for n in self.subs[:-1]]
        begin, since = time.perf_counter(), time.time()
        self.victim.start()
        child = subprocess.Popen([self.bench.program("sc-admin"), "heal", str(self.victim.store)], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) if hurry else None
        self.module.wait_for(lambda: self.healing()["pulled_bytes"] > 0, 60)
        yield done
        if self.is_whole(since):
            raise SystemExit("bench: it was healed before the measurement was over: more flows are needed")
        if not self.module.wait_for(lambda: self.is_whole(since) and self.healing()["pulled_bytes"] >= done.lacked // 2, 3600):
            raise SystemExit(f"bench: it does not become whole: {self.healing()}")
        done.seconds = time.perf_counter() - begin
        done.pulled = self.healing()["pulled_bytes"]
        done.cpu = cluster_run.cpu_of(self.victim) + sum(cluster_run.cpu_of(n) - c for n, c in zip(self.subs, cpu))
        if child:
            child.wait(60)

    def check(self):
        """Without each store in turn nothing is missing, and the sum is what was sent."""
        for away in self.subs:
            done = subprocess.run([self.bench.program("sc-query"), "--output-items=p", "--output-format=json",
                                   *(str(n.store) for n in self.subs if n is not away)], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, check=False)
            total = data.json.loads(done.stdout)["summary"]["flows"]
            if done.returncode != 0 or total != self.sent:
                raise SystemExit(f"bench: {self.sent} flows were sent, {total} are there without {away.name} (exit {done.returncode})")

    def restart(self, tls):
        """All of them, with or without TLS."""
        self.cluster.stop()
        self.cluster.tls = self.folder / "tls" if tls else None
        if tls:
            self.cluster.certify()
        self.cluster.start()

    def close(self):
        self.cluster.stop()
        shutil.rmtree(self.folder)


def percentile(values, p):
    return sorted(values)[max(0, -(-len(values) * p // 100) - 1)]


def measure(bench, flows):
    field = Field(bench, flows)
    try:
        field.settle()
        field.choose_range()
        field.query()
        answer = field.query()[1]
        alone = [field.query()[0] for _ in range(QUERIES)]
        load = bench.scaled(LOAD_FLOWS)
        quiet = [field.load(load) for _ in range(LOADS)]
        with field.heal(False) as given:
            beside, loaded = [], []
            for _ in range(QUERIES):
                seconds, same = field.query()
                beside.append(seconds)
                if same != answer:
                    raise SystemExit(f"bench: while it heals the answer is another one:\n{answer}\n{same}")
            loaded = [field.load(load) for _ in range(LOADS)]
        again = [field.query()[0] for _ in range(QUERIES)]
        quiet += [field.load(load) for _ in range(LOADS)]
        field.settle()
        field.check()
        with field.heal(True) as hurried:
            pass
        field.check()
        field.restart(tls=True)
        with field.heal(True) as secret:
            pass
        field.check()
    finally:
        field.close()
    return dict(given=given, hurried=hurried, secret=secret, alone=alone + again, beside=beside, quiet=quiet, loaded=loaded)


def rows(bench):
    m = measure(bench, bench.scaled(FLOWS))
    given, hurried, secret = m["given"], m["hurried"], m["secret"]
    quiet = statistics.median(m["quiet"])
    p95 = percentile(m["alone"], 95)

    def words(h):
        return f"{h.lacked / 1e9:.2f} GB in {h.seconds:.0f} s, {h.pulled / h.seconds / 1e6:.0f} MB/s, {h.cpu / h.lacked * 1e9:.1f} s of CPU a GB"
    return [
        dict(name="bytes pulled", goal="at most 1.1", ratio=[h.pulled / h.lacked for h in (given, hurried, secret)],
             unit="pulled / bytes of the files that were lost", better="less", limit=1.1,
             note=f"{words(given)} beside the queries and the ingest of the rows below; hurried (sc-admin heal) {words(hurried)}; "
                  f"hurried over TLS {words(secret)}"),
        dict(name="from a new disk to full replication", goal="-", ratio=[given.seconds], unit="seconds", better="less"),
        dict(name="the same, hurried", goal="-", ratio=[hurried.seconds], unit="seconds", better="less"),
        dict(name="CPU time of healing over TLS", goal="-", ratio=[secret.cpu / secret.lacked / (hurried.cpu / hurried.lacked)],
             unit="TLS / plain, hurried", better="less"),
        dict(name="ingest while it heals", goal="at least 0.8", ratio=[quiet / s for s in m["loaded"]],
             unit="flows/s until safe, beside healing / without", better="more", limit=0.8),
        dict(name="query while it heals", goal="at most 1.5", ratio=[percentile(m["beside"], 95) / p95],
             unit="95th percentile, beside healing / without", better="less", limit=1.5,
             note=f"-s srcip#bytes over two windows, {QUERIES} beside healing and {2 * QUERIES} without: medians "
                  f"{statistics.median(m['beside']):.2f} and {statistics.median(m['alone']):.2f} s, 95th percentiles "
                  f"{percentile(m['beside'], 95):.2f} and {p95:.2f} s"),
    ]
