#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=300 beside=any
"""The store of a running member is deleted: the sums over all stores stay exact, or the answer names what is missing, to the flow."""
import json
import re
import subprocess
import tempfile

import cluster_kit as kit

BOTH, SUB, PROXY = ["proxy", "subcollector"], ["subcollector"], ["proxy"]


def wipe(node):
    """rm -rf STORE"""
    subprocess.run(["rm", "-rf", str(node.store)], check=False)


def is_noticed(node, before=0):
    """It answers again, under the lock that it took anew."""
    status = node.status()
    return status is not None and status["store"]["wiped"] > before and (node.store / "collector.lock").exists()


def drained(cluster):
    return kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.proxies()), 60)


def received(cluster, count):
    return kit.wait_for(lambda: sum(n.status()["received"]["flows"] for n in cluster.proxies()) == count and cluster.has_accepted(), 60)


def two_copies(folder):
    """Twice, while flows come: to the member as a proxy, too, whose outbox goes with it."""
    cluster = kit.Cluster(folder, 3, 2).start()
    n1, n2, n3 = cluster.nodes
    exporters, sent = [kit.Exporter(n1, 1), kit.Exporter(n2, 2)], set()

    def send(part):
        for i, exporter in enumerate(exporters):
            sent.update(exporter.send((2 * part + i) * 1000, 1000))

    for part in range(30):
        send(part)
        if part in (10, 20):
            before = n2.status()["store"]["wiped"]
            wipe(n2)
            kit.check(f"two copies: it is noticed ({part})", kit.wait_for(lambda before=before: is_noticed(n2, before)), n2.log.read_text())
        kit.wait_for(lambda: False, 0.05)
    kit.check("two copies: all is accepted", received(cluster, len(sent)), cluster.logs())
    kit.check("two copies: and safe", drained(cluster), cluster.logs())
    told = subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), "status", str(n2.store)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False).stdout
    kit.check("two copies: the status has a problem", "PROBLEM   the store was deleted under this process" in told, told)
    stores = [n.store for n in cluster.nodes]
    kit.wait_for(lambda: kit.query(stores, "--output-items=p").returncode == 0)  # a tally later
    kit.check_numbers("two copies: every flow once, over all stores", stores, sent)
    kit.check_numbers("two copies: and over those that were not deleted", [n1.store, n3.store], sent)
    send(40)
    kit.check("two copies: it takes batches again", received(cluster, len(sent)) and drained(cluster) and n2.name in n1.usable(), cluster.logs())
    kit.check("two copies: all end with 0", cluster.stop() == [0, 0, 0], cluster.logs())
    kit.check_numbers("two copies: and after the end", stores, sent)
    kit.check("two copies: the deleted one has a part of it", kit.numbers([n2.store])[0], n2.log.read_text())


def said_missing(stores):
    """Flows that the answer says are missing, its exit status, and the answer."""
    done = kit.query(stores, "--output-format=json", "--output-items=p")
    lines = json.loads(done.stdout)["missing"]
    return sum(int(n) for line in lines for n in re.findall(r"are missing, with (\d+) records", line)), done.returncode, done.stdout


def one_copy(folder):
    """What the member held alone is missing, and named by what others were told."""
    cluster = kit.Cluster(folder, 3, 1, roles=[BOTH, SUB, SUB]).start()
    proxy, lost = cluster.nodes[0], cluster.nodes[1]
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 30000))
    kit.check("one copy: all is safe", received(cluster, len(sent)) and drained(cluster), cluster.logs())
    kit.check("one copy: and told", kit.wait_for(lambda: cluster.has_told(len(sent))), cluster.logs())
    stores = [n.store for n in cluster.nodes]
    alone = set(kit.numbers([lost.store])[0])
    wipe(lost)
    kit.check("one copy: it is noticed", kit.wait_for(lambda: is_noticed(lost)), lost.log.read_text())
    more = set(exporter.send(100000, 5000))
    kit.check("one copy: what comes is safe", received(cluster, len(sent) + len(more)) and drained(cluster), cluster.logs())
    kit.check("one copy: what was told is told again, in the new store too",
              kit.wait_for(lambda: cluster.has_told(len(sent) + len(more))), cluster.logs())
    got, _ = kit.numbers(stores)
    kit.check("one copy: the rest is there, once", set(got) == (sent - alone) | more and set(got.values()) == {1}, len(got))
    missing, status, answer = said_missing(stores)
    kit.check("one copy: the answer names what is missing, to the flow", status == 3 and missing == len(alone) > 0,
              f"{missing}, {len(alone)}: {answer}")
    kit.check("one copy: all end with 0", cluster.stop() == [0, 0, 0], cluster.logs())


def proxy_alone(folder):
    """A node that writes no segments: its lock, its socket and its outbox are made anew, and what it has in memory arrives."""
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB])
    proxy = cluster.nodes[0]
    proxy.start()
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 8000))
    kit.check("proxy: it accepts, and has nobody to give it to", received(cluster, len(sent)) and proxy.waiting() > 0, cluster.logs())
    wipe(proxy)
    kit.check("proxy: it is noticed", kit.wait_for(lambda: is_noticed(proxy)), proxy.log.read_text())
    kit.check("proxy: what the outbox lost is counted",
              kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["outbox_deleted_batches"] > 0), proxy.status()["cluster"])
    kit.check("proxy: and told", kit.wait_for(lambda: "were deleted, so far 1 with" in proxy.log.read_text()), proxy.log.read_text())
    sent |= set(exporter.send(10000, 8000))
    kit.check("proxy: it goes on accepting", received(cluster, len(sent)), cluster.logs())
    kit.check("proxy: into an outbox that is there", list((proxy.store / "outbox").glob("*.scout")), cluster.logs())
    for n in cluster.nodes[1:]:
        n.start()
    kit.check("proxy: what it had in memory arrives", drained(cluster), cluster.logs())
    stores = [n.store for n in cluster.nodes[1:]]
    kit.check("proxy: all end with 0", cluster.stop() == [0, 0, 0], cluster.logs())
    kit.check_numbers("proxy: every flow once", stores, sent)


def proxy_replayed(folder):
    """What an earlier process left is in the outbox alone: when that goes, answers name it, to the flow."""
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB])
    proxy = cluster.nodes[0]
    proxy.start()
    exporter = kit.Exporter(proxy)
    sent = exporter.send(0, 8000)
    kit.check("replayed: it is accepted", received(cluster, len(sent)), cluster.logs())
    proxy.kill()
    proxy.start()
    wipe(proxy)
    kit.check("replayed: it is noticed", kit.wait_for(lambda: is_noticed(proxy)), proxy.log.read_text())
    for n in cluster.nodes[1:]:
        n.start()
    kit.check("replayed: what cannot be read is counted",
              kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["unreadable_records"] == len(sent), 60), cluster.logs())
    stores = [n.store for n in cluster.nodes[1:]]
    kit.check("replayed: and named as missing, to the flow", kit.wait_for(lambda: said_missing(stores)[:2] == (len(sent), 3)),
              said_missing(stores))
    exporter = kit.Exporter(proxy)
    more = exporter.send(10000, 1000)
    kit.check("replayed: what comes is safe", received(cluster, len(more)) and drained(cluster), cluster.logs())
    kit.check("replayed: all end with 0", cluster.stop() == [0, 0, 0], cluster.logs())
    kit.check("replayed: and is there once", kit.numbers(stores)[0] == {n: 1 for n in more}, cluster.logs())


def main():
    for scenario in (two_copies, one_copy, proxy_alone, proxy_replayed):
        with tempfile.TemporaryDirectory(prefix="sc-wiped.") as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
