#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=600 beside=any
"""A cluster returns to full strength by itself: whatever a member lacks it pulls from those who hold it, until any one store may be
lost again. Sums are the same at every moment."""
import itertools
import json
import pathlib
import shutil
import tempfile
import time

import cluster_kit as kit

WINDOW = 5


def healing(node):
    status = node.status()
    return status["cluster"]["healing"] if status else None


def problems(node):
    status = node.status()
    return status["cluster"]["problems"] if status else None


def whole(node, since):
    """Nothing lacks, as a look that began after `since` (wall clock) shows."""
    h = healing(node)
    return h and h["whole_at"] and kit.parse_time(h["whole_at"]) > since and not h["lacking_batches"]


class Case:
    """A cluster with flows in it, some windows of them."""

    def __init__(self, folder, name, count=3, replication=2, **options):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.name = name
        self.cluster = kit.Cluster(self.folder, count, replication, window=WINDOW, **options)
        self.sent = set()
        self.exporters = {}

    def start(self):
        self.cluster.start()
        return self

    def node(self, number):
        return self.cluster.nodes[number]

    def send(self, node, count):
        exporter = self.exporters.get(node.name)
        if exporter is None or node.child.pid != exporter[0]:
            exporter = self.exporters[node.name] = (node.child.pid, kit.Exporter(node))
        first = max(self.sent, default=-1) + 1
        self.sent |= set(exporter[1].send(first, count))

    def send_for(self, seconds, nodes, each=500):
        """Small pieces, so that there are batches of all nodes in all windows."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for node in nodes:
                self.send(node, each)
            time.sleep(0.3)

    def stores(self):
        return [n.store for n in self.cluster.nodes if "subcollector" in n.roles and n.store.exists()]

    def exact(self, what, stores=None):
        """All flows are there, each once."""
        return kit.check_numbers(f"heal: {self.name}: {what}", stores or self.stores(), self.sent)

    def settled(self):
        """All is accepted, and its windows are over."""
        kit.wait_for(self.cluster.has_accepted, 30)
        kit.wait_for(lambda: all(n.waiting() == 0 for n in self.cluster.proxies() if n.child.poll() is None), 30)

    def heals(self, nodes=None, seconds=90):
        """All become whole, while sums stay the same."""
        nodes = nodes or [n for n in self.cluster.nodes if "subcollector" in n.roles and n.child.poll() is None]
        began, end, good = time.time(), time.monotonic() + seconds, True
        while time.monotonic() < end:
            if all(whole(n, began + WINDOW + 6) for n in nodes):
                break
            got, status = kit.numbers(self.stores())
            good = good and status == 0 and set(got) == self.sent and max(got.values()) == 1
            time.sleep(1)
        kit.check(f"heal: {self.name}: all are whole", all(whole(n, began) for n in nodes), json.dumps([healing(n) for n in nodes], indent=1))
        kit.check(f"heal: {self.name}: sums were the same at every moment", good)

    def any_may_be_lost(self, lost=1):
        """Whichever stores are taken away."""
        stores = self.stores()
        for left in itertools.combinations(stores, len(stores) - lost):
            got, status = kit.numbers(left)
            if status == 0 and set(got) == self.sent and max(got.values()) == 1:
                continue
            kit.check(f"heal: {self.name}: any {lost} may be lost", False,
                      f"left {[s.name for s in left]}: exit {status}, {len(got)} of {len(self.sent)}\n{kit.query(left, '-I').stderr[-1500:]}")
            return
        kit.check(f"heal: {self.name}: any {lost} may be lost", True)

    def stop(self):
        self.cluster.stop()
        if kit.FAILED:
            print(self.cluster.logs()[-6000:])


def away(folder):
    """A member is gone for some windows, and comes back."""
    c = Case(folder, "away").start()
    c.send_for(2, c.cluster.nodes)
    c.settled()
    c.node(1).kill()
    c.send_for(2 * WINDOW, [c.node(0), c.node(2)])
    c.settled()
    c.node(1).start()
    c.send_for(2, c.cluster.nodes)
    c.settled()
    c.heals()
    c.exact("all stores")
    c.any_may_be_lost()
    h = [healing(n) for n in c.cluster.nodes]
    kit.check("heal: away: something was pulled", sum(x["pulled_batches"] for x in h) > 0, h)
    kit.check("heal: away: no problem is left", all(problems(n) == [] for n in c.cluster.nodes), [problems(n) for n in c.cluster.nodes])
    c.stop()


def wiped(folder):
    """The disk of a member is replaced while it is away."""
    c = Case(folder, "wiped").start()
    c.send_for(2 * WINDOW, c.cluster.nodes)
    c.settled()
    c.node(1).stop()
    shutil.rmtree(c.node(1).store)
    c.exact("without the store")
    c.node(1).start()
    c.heals()
    c.any_may_be_lost()
    c.stop()


def main():
    with tempfile.TemporaryDirectory() as folder:
        for case in (away, wiped):
            case(folder)
    raise SystemExit(kit.FAILED != 0)


if __name__ == "__main__":
    main()
