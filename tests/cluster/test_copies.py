#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240
"""Every flow that a proxy accepted is counted exactly once, whichever node is lost."""
import tempfile

import cluster_kit as kit


def drained(cluster):
    return kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.proxies() if n.child.poll() is None), 30)


def all_well(folder):
    cluster = kit.Cluster(folder, 3, 2).start()
    a, b = kit.Exporter(cluster.nodes[0], 1), kit.Exporter(cluster.nodes[1], 2)
    sent = set(a.send(0, 30000)) | set(b.send(100000, 30000))
    kit.wait_for(lambda: sum(n.status()["received"]["flows"] for n in cluster.nodes) == len(sent))
    kit.wait_for(lambda: False, 0.6)
    kit.check("well: everything is acknowledged", drained(cluster), cluster.logs())
    stores = [n.store for n in cluster.nodes]
    kit.check_numbers("well: all three stores give every flow once, while they are written", stores, sent)
    for i in range(3):
        kit.check_numbers(f"well: any two do: without n{i + 1}", stores[:i] + stores[i + 1:], sent)
    counts = [n.status()["cluster"]["subcollector"]["records"] for n in cluster.nodes]
    kit.check("well: two copies of each flow", sum(counts) == 2 * len(sent), counts)
    kit.check("well: an even share for each", max(counts) <= 1.25 * sum(counts) / 3, counts)
    kit.check("well: all end with 0", cluster.stop() == [0, 0, 0], cluster.logs())
    kit.check_numbers("well: and after the end", stores, sent)
    out = kit.query(stores, "--output-format=csv", "--output-fields=exporterip,odid", "-l", "5").stdout
    kit.check("well: the original exporter and domain are there",
              all(line.split(",")[0] in ("127.0.0.1", "127.0.77.1", "127.0.77.2") and line.split(",")[1] in "12"
                  for line in out.splitlines()[1:]), out)


def killed(folder):
    cluster = kit.Cluster(folder, 3, 2).start()
    exporter = kit.Exporter(cluster.nodes[0])
    sent = set()
    for part in range(40):
        sent |= set(exporter.send(part * 1000, 1000))
        if part == 10:
            cluster.nodes[1].kill()
        kit.wait_for(lambda: False, 0.05)
    kit.check("killed: the proxy notices", kit.wait_for(lambda: cluster.nodes[0].usable() == ["n1", "n3"], 5),
              cluster.nodes[0].log.read_text())
    kit.wait_for(lambda: cluster.nodes[0].status()["received"]["flows"] == len(sent))
    kit.wait_for(lambda: False, 0.6)
    kit.check("killed: all is with the others", drained(cluster), cluster.nodes[0].status()["cluster"])
    stores = [n.store for n in cluster.nodes]
    kit.check_numbers("killed: the survivors give every flow once", [stores[0], stores[2]], sent)
    cluster.nodes[1].start()
    kit.check("killed: it takes part again", kit.wait_for(lambda: len(cluster.nodes[0].usable()) == 3),
              cluster.nodes[0].log.read_text())
    sent |= set(exporter.send(900000, 20000))
    kit.wait_for(lambda: cluster.nodes[0].status()["received"]["flows"] == len(sent))
    kit.wait_for(lambda: False, 0.6)
    drained(cluster)
    kit.check_numbers("killed: with its store every flow is still there once", stores, sent)
    after = cluster.nodes[1].status()["cluster"]["subcollector"]["records"]
    kit.check("killed: it holds new flows", after > 0, after)
    cluster.stop()


def proxy_killed(folder):
    """Accepted is accepted: what the outbox holds is sent by the next process under the same ids."""
    cluster = kit.Cluster(folder, 3, 2, roles=[["proxy"], ["subcollector"], ["subcollector"]]).start()
    proxy = cluster.nodes[0]
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 8000))
    kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["records"] == len(sent))
    drained(cluster)
    for n in cluster.nodes[1:]:
        n.kill()
    kit.check("proxy: it notices that all are gone", kit.wait_for(lambda: proxy.usable() == []), proxy.log.read_text())
    sent |= set(exporter.send(10000, 20000))
    kit.check("proxy: it goes on accepting", kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["records"] == len(sent)),
              proxy.status()["cluster"]["proxy"])
    proxy.kill()
    for n in cluster.nodes:
        n.start()
    kit.check("proxy: the next process finds the batches",
              proxy.status()["cluster"]["proxy"]["replayed"] > 0, proxy.log.read_text())
    kit.check("proxy: and sends them", drained(cluster), proxy.status()["cluster"])
    kit.check_numbers("proxy: every accepted flow is there once", [n.store for n in cluster.nodes[1:]], sent)
    kit.check("proxy: nothing is left in the outbox", cluster.stop() == [0, 0, 0] and
              not list((proxy.store / "outbox").glob("*.scout")), list((proxy.store / "outbox").iterdir()))


def main():
    for scenario in (all_well, killed, proxy_killed):
        with tempfile.TemporaryDirectory() as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
