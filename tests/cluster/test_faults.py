#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=240
"""Random faults, from a seed that is printed (SC_SEED=N repeats one): subcollectors and proxies are killed, frozen and started
again while flows come in. Afterwards every flow that must have been accepted is counted exactly once, and none that was not sent.

A flow that was given to a proxy's socket less than a second before the proxy was killed, or while it was away, may be lost: it
was not accepted.
"""
import os
import random
import tempfile
import threading
import time

import cluster_kit as kit

BOTH, SUB, PROXY = ["proxy", "subcollector"], ["subcollector"], ["proxy"]
SECONDS = 6.0
UNCERTAIN_S = 1.0


class Source(threading.Thread):
    """An exporter that numbers its flows, and connects again when its proxy goes."""

    def __init__(self, node, first, rate):
        super().__init__(daemon=True)
        self.node, self.next, self.rate = node, first, rate
        self.sent = []  # (time, range)
        self.ending = False

    def run(self):
        exporter = None
        while not self.ending:
            try:
                exporter = exporter or kit.Exporter(self.node, domain=self.next)
                count = max(1, self.rate // 20)
                numbers = range(self.next, self.next + count)
                self.next += count  # also when it fails: part of it may be on its way
                self.sent.append((time.monotonic(), numbers))
                exporter.send(numbers.start, count)
            except OSError:
                exporter = None
            time.sleep(0.05)
        if exporter:
            exporter.close()


def layout(rng):
    return rng.choice([[BOTH, BOTH, BOTH], [PROXY, PROXY, SUB, SUB, SUB], [BOTH, PROXY, SUB, SUB, SUB], [BOTH, BOTH, SUB, SUB, SUB]])


def act(rng, cluster, killed_at, said):
    """One fault and its end."""
    node = rng.choice(cluster.nodes)
    fault = rng.choice(["kill", "kill", "freeze"])
    pause = rng.uniform(0.2, 3.0)
    said.append(f"{fault} {node.name} {pause:.1f} s")
    if fault == "kill":
        death = time.monotonic()
        node.kill()
        time.sleep(pause)
        node.start()
        killed_at.setdefault(node.name, []).append((death, time.monotonic()))
    else:
        node.freeze()
        time.sleep(pause)
        node.thaw()


def must_be_there(sources, killed_at):
    must, may = set(), set()
    for source in sources:
        deaths = killed_at.get(source.node.name, [])
        for when, numbers in source.sent:
            near = any(death - UNCERTAIN_S < when < back + 0.1 for death, back in deaths)
            (may if near else must).update(numbers)
    return must, may


def scenario(seed, folder):
    rng = random.Random(seed)
    roles = layout(rng)
    copies = rng.choice([1, 2, 2, 3])
    cluster = kit.Cluster(folder, len(roles), copies, roles=roles).start()
    sources = [Source(n, (i + 1) * 10_000_000, rng.choice([500, 4000, 12000])) for i, n in enumerate(cluster.proxies())]
    killed_at, said = {}, []
    for source in sources:
        source.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(rng.uniform(0.0, 0.8))
        act(rng, cluster, killed_at, said)
    time.sleep(0.5)
    for source in sources:
        source.ending = True
        source.join()
    time.sleep(1.0)
    what = f"seed {seed}: {len(roles)} nodes, {copies} copies, {', '.join(said)}"
    drained = kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.proxies()), 40)
    must, may = must_be_there(sources, killed_at)
    stores = [n.store for n in cluster.nodes if "subcollector" in n.roles]
    complete = kit.wait_for(lambda: kit.query(stores, "--output-items=p", "--output-format=json").returncode == 0, 10)
    got, status = kit.numbers(stores)
    missing = must - set(got)
    extra = set(got) - must - may
    double = [n for n, times in got.items() if times > 1]
    good = drained and complete and status == 0 and not missing and not extra and not double
    kit.check(f"faults: {what}", good,
              f"drained {drained}, exit {status}, {len(got)} flows, {len(missing)} of {len(must)} missing {sorted(missing)[:5]}, "
              f"{len(extra)} not sent, {len(double)} double {double[:5]}\n"
              + kit.query(stores, "--output-items=p", "--output-format=json").stdout + cluster.logs())
    ends = cluster.stop()
    kit.check(f"faults: seed {seed}: all end with 0", set(ends) == {0}, (ends, cluster.logs()))


def main():
    count = 60 if os.environ.get("SC_LONG") else 5
    first = int(os.environ.get("SC_SEED", random.randrange(1 << 30)))
    for seed in [first] if "SC_SEED" in os.environ else range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            scenario(seed, folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
