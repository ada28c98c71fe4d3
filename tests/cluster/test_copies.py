#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""Every flow that a proxy accepted is counted exactly once, whichever node is lost."""
import json
import re
import tempfile

import cluster_kit as kit


def drained(cluster):
    return kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.proxies() if n.child.poll() is None), 30)


def all_well(folder):
    cluster = kit.Cluster(folder, 3, 2).start()
    a, b = kit.Exporter(cluster.nodes[0], 1), kit.Exporter(cluster.nodes[1], 2)
    sent = set(a.send(0, 30000)) | set(b.send(100000, 30000))
    kit.wait_for(lambda: sum(n.status()["received"]["flows"] for n in cluster.nodes) == len(sent))
    kit.wait_for(cluster.has_accepted)
    kit.check("well: everything is acknowledged", drained(cluster), cluster.logs())
    stores = [n.store for n in cluster.nodes]
    kit.check_numbers("well: all three stores give every flow once, while they are written", stores, sent)
    for i in range(3):
        kit.check_numbers(f"well: any two do: without n{i + 1}", stores[:i] + stores[i + 1:], sent)
    def stored():
        return [n.status()["cluster"]["subcollector"]["records"] for n in cluster.nodes]
    kit.wait_for(lambda: sum(stored()) == 2 * len(sent))
    counts = stored()
    kit.check("well: two copies of each flow", sum(counts) == 2 * len(sent), counts)
    kit.check("well: an even share for each", max(counts) <= 1.25 * sum(counts) / 3, counts)
    kit.check("well: all end with 0", cluster.stop() == [0, 0, 0], cluster.logs())
    kit.check_numbers("well: and after the end", stores, sent)
    out = kit.query(stores, "--output-format=csv", "--output-fields=exporterip,odid", "-l", "5").stdout
    kit.check("well: the original exporter and domain are there",
              all(line.split(",")[0] in ("127.0.0.1", "127.0.77.1", "127.0.77.2") and line.split(",")[1] in "12"
                  for line in out.splitlines()[1:]), out)


BOTH, SUB, PROXY = ["proxy", "subcollector"], ["subcollector"], ["proxy"]


def killed(folder):
    cluster = kit.Cluster(folder, 3, 2, roles=[BOTH, SUB, SUB]).start()
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
    kit.wait_for(cluster.has_accepted)
    kit.check("killed: all is with the others", drained(cluster), cluster.nodes[0].status()["cluster"])
    stores = [n.store for n in cluster.nodes]
    kit.check_numbers("killed: the survivors give every flow once", [stores[0], stores[2]], sent)
    cluster.nodes[1].start()
    kit.check("killed: it takes part again", kit.wait_for(lambda: len(cluster.nodes[0].usable()) == 3),
              cluster.nodes[0].log.read_text())
    sent |= set(exporter.send(900000, 20000))
    kit.wait_for(lambda: cluster.nodes[0].status()["received"]["flows"] == len(sent))
    kit.wait_for(cluster.has_accepted)
    drained(cluster)
    kit.check_numbers("killed: with its store every flow is still there once", stores, sent)
    kit.check("killed: it holds new flows",
              kit.wait_for(lambda: cluster.nodes[1].status()["cluster"]["subcollector"]["records"] > 0), cluster.logs())
    cluster.stop()


def proxy_killed(folder):
    """Accepted is accepted: what the outbox holds is sent by the next process under the same ids."""
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB]).start()
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
    stores = [n.store for n in cluster.nodes[1:]]
    kit.wait_for(lambda: kit.query(stores, "--output-items=p").returncode == 0)  # a tally later
    kit.check_numbers("proxy: every accepted flow is there once", stores, sent)
    kit.check("proxy: nothing is left in the outbox", cluster.stop() == [0, 0, 0] and
              not list((proxy.store / "outbox").glob("*.scout")), list((proxy.store / "outbox").iterdir()))


def said_missing(stores, *options):
    """Flows that the answer says are missing, and its exit status."""
    done = kit.query(stores, "--output-format=json", "--output-items=p", *options)
    answer = json.loads(done.stdout)
    counts = [int(n) for line in answer["missing"] for n in re.findall(r"are missing, with (\d+) records", line)]
    return sum(counts), done.returncode, answer


def honest(folder):
    """With more failures than copies the answer says what is not there, to the flow."""
    cluster = kit.Cluster(folder, 3, 1, roles=[BOTH, SUB, SUB]).start()
    proxy = cluster.nodes[0]
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 50000))
    kit.wait_for(lambda: proxy.status()["received"]["flows"] == len(sent))
    kit.wait_for(cluster.has_accepted)
    drained(cluster)
    kit.wait_for(lambda: cluster.has_told(len(sent)))
    stores = [n.store for n in cluster.nodes]
    without = []  # what each has alone; on a very slow machine a batch may have gone to two
    for left_out in range(3):
        some = stores[:left_out] + stores[left_out + 1:]
        got, _ = kit.numbers(some)
        missing, status, answer = said_missing(some)
        without.append(missing)
        kit.check(f"honest: without n{left_out + 1} what is missing is named to the flow",
                  missing == len(sent) - len(got) and status == (3 if missing else 0) and answer["complete"] == (missing == 0),
                  (status, missing, len(sent) - len(got), answer))
    kit.check("honest: and something is", max(without) > 0, without)
    missing, status, answer = said_missing(stores)
    kit.check("honest: all together are complete", status == 0 and answer["complete"] and missing == 0, answer)
    missing, status, answer = said_missing(stores[1:], "-T", "2020-01-01#2020-01-02")
    kit.check("honest: what is missing elsewhere is no matter", status == 0 and answer["complete"], answer)
    proxy.kill()
    kit.wait_for(lambda: said_missing(stores)[1] == 3)
    missing, status, answer = said_missing(stores)
    kit.check("honest: a proxy that is killed is silent, by name", status == 3 and
              any("proxy n1 is silent since" in line for line in answer["missing"]), answer)
    proxy.start()
    kit.check("honest: until it is back",
              kit.wait_for(lambda: said_missing(stores)[1] == 0, 10), said_missing(stores))
    cluster.stop()
    kit.wait_for(lambda: False, 3.5)
    missing, status, answer = said_missing(stores)
    kit.check("honest: a cluster that ended in good order is complete for ever", status == 0 and answer["complete"], answer)


def segments(store):
    return sorted(p for p in store.rglob("*") if p.suffix in (".scs", ".sclive"))


def flip(path, places):
    data = bytearray(path.read_bytes())
    for at in places(len(data)):
        data[at] ^= 0x55
    path.write_bytes(data)


def damaged(folder):
    """What is damaged on one node is read from another, and told; what no node has whole is missing, to the flow."""
    cluster = kit.Cluster(folder, 3, 2).start()
    exporter = kit.Exporter(cluster.nodes[0])
    sent = set(exporter.send(0, 60000))
    kit.wait_for(lambda: cluster.nodes[0].status()["received"]["flows"] == len(sent))
    kit.wait_for(cluster.has_accepted)
    drained(cluster)
    kit.wait_for(lambda: cluster.has_told(len(sent)))
    cluster.stop()
    stores = [n.store for n in cluster.nodes]
    files = segments(stores[0])
    whole = {f: f.read_bytes() for f in files}
    own = max((f for f in files if ".replica" not in f.parts), key=lambda f: f.stat().st_size)
    every_column = ("bytes > 0 and packets > 0 and srcport >= 0 and dstport >= 0 and proto 6 and flowId >= 0 and "
                    "srcip != 0.0.0.0 and dstip != 0.0.0.0 and duration >= 0 and exporterip != 0.0.0.0")
    items = ("--output-format=json", "--output-items=p,m", "-f", every_column)
    well = json.loads(kit.query(stores, *items).stdout)
    told = 0
    for place in range(1, 32):  # somewhere in the file: a chunk, a head, a directory
        flip(own, lambda size, place=place: [size * place // 32])
        done = kit.query(stores, *items)
        answer = json.loads(done.stdout)
        kit.check(f"damaged: one byte at {place}/32 of a file: the answer is complete",
                  done.returncode == 0 and answer["complete"] and answer["summary"] == well["summary"] and
                  answer["metadata"] == well["metadata"], answer)
        kit.check(f"damaged: one byte at {place}/32: the file is named where it was read",
                  all(str(own) in line for line in answer["damage"]) and answer["missing"] == [], answer)
        own.write_bytes(whole[own])
        told += len(answer["damage"])
    kit.check("damaged: single bytes were met", told > 0, (own, len(whole[own])))
    for f in files:
        flip(f, lambda size: range(0, size, 200))
    kit.check_numbers("damaged: all files of a node: every flow is there once", stores, sent)
    done = kit.query(stores, "--output-format=json", "--output-items=p")
    answer = json.loads(done.stdout)
    kit.check("damaged: all files of a node are named", all(any(str(f) in line for line in answer["damage"]) for f in files) and
              "sc-query: damage: " in done.stderr, (answer, done.stderr))
    for f in segments(stores[1]):
        flip(f, lambda size: range(0, size, 200))
    got, status = kit.numbers(stores)
    missing, said, answer = said_missing(stores)
    kit.check("damaged: on two nodes: what no node has is missing, to the flow", status == 3 and said == 3 and
              0 < missing == len(sent) - len(got) and max(got.values(), default=0) <= 1, (missing, len(sent) - len(got), answer))


def main():
    for scenario in (all_well, killed, proxy_killed, honest, damaged):
        with tempfile.TemporaryDirectory() as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
