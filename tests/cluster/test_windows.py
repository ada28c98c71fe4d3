#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""Nodes with windows of different lengths: each takes the others' batches, every flow has its copies, and is counted once, sealed or not."""
import collections
import pathlib
import subprocess
import tempfile
import time

import cluster_kit as kit


class Node(kit.Node):
    length = 60

    def write_config(self, extra=""):
        super().write_config(extra)
        self.config.write_text(self.config.read_text().replace("window: 60", f"window: {self.length}"))


class Cluster(kit.Cluster):
    def make_node(self, number, roles):
        return Node(self, f"n{number}", f"127.0.77.{number}", roles)


def lengths(store):
    """Lengths of the windows of all segments, by the 64 bytes at their head (src/store/segment_writer.c)."""
    found = collections.Counter()
    for path in [*store.rglob("*.scs"), *store.rglob("*.sclive")]:
        head = path.read_bytes()[:64]
        if len(head) == 64 and any(head):
            found[int.from_bytes(head[24:28], "little")] += 1
    return found


def sealed(store):
    return not list(store.rglob("*.sclive")) and bool(list(store.rglob("*.scs")))


def verified(store):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), "verify", str(store)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)


def each_has_its_copies(cluster, sent, what):
    stores = [n.store for n in cluster.nodes]
    kit.check_numbers(f"windows: {what}: all three: every flow once, and complete", stores, sent)
    for away in range(3):
        left = [s for i, s in enumerate(stores) if i != away]
        kit.check_numbers(f"windows: {what}: without n{away + 1}: every flow once, and complete", left, sent)


def main():
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(pathlib.Path(folder), 3, 2)
        for node, length in zip(cluster.nodes, (10, 60, 20)):
            node.length = length
        cluster.start()
        sent = set()
        exporters = [kit.Exporter(n) for n in cluster.nodes]
        for number in range(4):
            for i, exporter in enumerate(exporters):
                sent |= set(exporter.send((number * 3 + i) * 10000, 3000))
            time.sleep(1)
        kit.wait_for(lambda: cluster.has_accepted() and all(n.waiting() == 0 for n in cluster.nodes))
        kit.wait_for(lambda: cluster.has_told(len(sent)))
        each_has_its_copies(cluster, sent, "live")
        kit.check("windows: nothing was refused", all(sum(n.status()["cluster"]["subcollector"]["link_refused"].values()) == 0 and
                                                      n.status()["cluster"]["subcollector"]["damaged"] == 0 for n in cluster.nodes), cluster.logs())
        kit.check("windows: each store has windows of each length", all(set(lengths(n.store)) == {10, 20, 60} for n in cluster.nodes),
                  [lengths(n.store) for n in cluster.nodes])
        for exporter in exporters:
            exporter.close()
        cluster.nodes[1].kill()  # what it leaves live is sealed by the next process, under the lengths that it has
        cluster.nodes[1].length = 20
        cluster.nodes[1].start()
        exporter = kit.Exporter(cluster.nodes[2])  # a lane is opened by the next batch for it
        for number in range(200):
            sent |= set(exporter.send(500000 + number * 100, 50))
            time.sleep(0.02)
        exporter.close()
        kit.check("windows: all are sealed when they are over", kit.wait_for(lambda: all(sealed(n.store) for n in cluster.nodes), 100),
                  [str(p) for n in cluster.nodes for p in n.store.rglob("*.sclive")])
        kit.check("windows: sealed under their own lengths", all(set(lengths(n.store)) == {10, 20, 60} for n in cluster.nodes),
                  [lengths(n.store) for n in cluster.nodes])
        each_has_its_copies(cluster, sent, "sealed")
        kit.check("windows: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
        each_has_its_copies(cluster, sent, "at rest")
        for node in cluster.nodes:
            done = verified(node.store)
            kit.check(f"windows: {node.name} is whole", done.returncode == 0, done)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
