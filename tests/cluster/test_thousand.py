#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""A membership file of 1,000, of whose members three run: every flow is counted once and kept twice, all are in the status, the file is
exchanged under load, and all end."""
import json
import subprocess
import tempfile

import cluster_kit as kit

MEMBERS = 1000
FLOWS = 4000


class Absent:
    """A member that does not run: its address refuses connections."""

    def __init__(self, number):
        self.name, self.host = f"away-{number}", f"127.0.{78 + number // 250}.{1 + number % 250}"
        self.link_port, self.roles, self.state, self.weight = 9, ["proxy", "subcollector"], None, None


def ring(nodes, absent, turn=0):
    """The nodes at equal distances among the others."""
    step = len(absent) // len(nodes)
    return [m for i, n in enumerate(nodes) for m in (n, *absent[(i + turn) % len(nodes) * step:][:step])] + absent[len(nodes) * step:]


def admin(node, *words):
    done = subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *words, "-c", str(node.config)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    return done.stdout


def feed(nodes, first):
    """Numbered flows, in many batches."""
    exporters = [kit.Exporter(n, i + 1) for i, n in enumerate(nodes)]
    sent = set()
    for part in range(FLOWS // 200):
        sent |= set(exporters[part % len(exporters)].send(first + part * 200, 200))
    return sent


def drained(cluster, flows):
    return kit.wait_for(lambda: sum(n.status()["received"]["flows"] for n in cluster.nodes) == flows and cluster.has_accepted() and
                        all(n.waiting() == 0 for n in cluster.nodes), 60)


def main():
    with tempfile.TemporaryDirectory() as folder:
        cluster = kit.Cluster(folder, 3, 2)
        absent = [Absent(i) for i in range(MEMBERS - 3)]
        cluster.write_members(1, ring(cluster.nodes, absent))
        for n in cluster.nodes:
            n.start()
        kit.check("thousand: the three use each other", kit.wait_for(lambda: all(n.usable() == ["n1", "n2", "n3"] for n in cluster.nodes), 60),
                  cluster.logs())
        sent = feed(cluster.nodes, 0)
        kit.check("thousand: everything is acknowledged", drained(cluster, len(sent)), cluster.logs())
        members = json.loads(admin(cluster.nodes[0], "status", "--json"))["cluster"]["members"]
        kit.check("thousand: all members are in the status", len(members) == MEMBERS and sum(bool(m.get("usable")) for m in members) == 3,
                  len(members))
        kit.check("thousand: and in its lines", sum(line.startswith("away-") for line in admin(cluster.nodes[0], "status").splitlines()) ==
                  MEMBERS - 3)
        cluster.write_members(2, ring(cluster.nodes, absent, 1))
        for n in cluster.nodes:
            n.reload()
        kit.check("thousand: another order of them is taken over", kit.wait_for(
            lambda: all(n.status()["cluster"]["version"] == 2 and n.usable() == ["n1", "n2", "n3"] for n in cluster.nodes), 60), cluster.logs())
        sent |= feed(cluster.nodes, FLOWS)
        kit.check("thousand: everything is acknowledged again", drained(cluster, len(sent)), cluster.logs())
        stores = [n.store for n in cluster.nodes]
        kit.check_numbers("thousand: every flow once", stores, sent)
        for gone in stores:
            kit.check_numbers(f"thousand: and without {gone.name}", [s for s in stores if s is not gone], sent)
        kit.check("thousand: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
