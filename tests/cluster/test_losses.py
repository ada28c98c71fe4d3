#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""What cannot be had any more: it is named, holds up nobody, can be accepted as lost, and counts when it comes back after all."""
import json
import re
import shutil
import subprocess
import tempfile

import cluster_kit as kit

BOTH, SUB, PROXY = ["proxy", "subcollector"], ["subcollector"], ["proxy"]


def admin(*arguments):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *map(str, arguments)], capture_output=True, text=True, check=False)


def ask(stores):
    """Exit status, records said to be missing or in the outbox of a silent stream, records known to be lost, and the answer."""
    done = kit.query(stores, "--output-format=json", "--output-items=p")
    answer = json.loads(done.stdout)
    counts = [int(n) for line in answer["missing"] for n in re.findall(r"(?:are missing, with|batches with) (\d+) records", line)]
    return done.returncode, sum(counts), answer.get("known_lost", {}).get("records", 0), answer


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)
        f.seek(offset)
        f.write(bytes([byte[0] ^ 0x10]))


def unreadable(folder):
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB]).start()
    proxy, stores = cluster.nodes[0], [n.store for n in cluster.nodes[1:]]
    exporter = kit.Exporter(proxy)
    for n in cluster.nodes[1:]:
        n.kill()
    kit.wait_for(lambda: proxy.usable() == [])
    sent = set(exporter.send(0, 30000))
    kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["records"] == len(sent))
    held = proxy.status()["cluster"]["proxy"]["held_bytes"]
    kit.check("unreadable: what waits is held in memory", 0 < held <= 64 << 20, held)
    proxy.kill()
    proxy.start()  # what an earlier process accepted is in the outbox only: nobody holds its bytes
    state = proxy.status()["cluster"]["proxy"]
    kit.check("unreadable: all is found by the next process", (state["waiting_records"], state["held_bytes"]) == (len(sent), 0), state)
    outbox = sorted((proxy.store / "outbox").glob("*.scout"))[0]
    flip(outbox, 64 + 100)
    for n in cluster.nodes[1:]:
        n.start()
    done = kit.wait_for(lambda: proxy.waiting() == 0, 30) is not None
    state = proxy.status()["cluster"]["proxy"]
    kit.check("unreadable: one batch is given up, the others are sent", done and state["unreadable_batches"] == 1, (state, cluster.logs()))
    told = admin("status", proxy.store).stdout
    kit.check("unreadable: sc-admin status says so", "1 batches (%d records) in the outbox cannot be read" % state["unreadable_records"] in told, told)
    kit.wait_for(lambda: ask(stores)[0] == 3, 5)
    status, missing, known, answer = ask(stores)
    kit.check("unreadable: the answer names it", (status, missing, known) == (3, state["unreadable_records"], 0), answer)
    got, _ = kit.numbers(stores)
    kit.check("unreadable: everything else is there once", set(got) < sent and len(sent) - len(got) == missing and set(got.values()) == {1},
              (len(got), missing))
    done = admin("accept-loss", "--all", "--dry-run", *stores)
    kit.check("unreadable: a dry run records nothing", done.returncode == 0 and f"with {missing} flows" in done.stdout and ask(stores)[0] == 3,
              done.stdout + done.stderr)
    done = admin("accept-loss", "--all", *stores)
    kit.check("unreadable: accepted, the answer is complete and says how much is lost",
              done.returncode == 0 and ask(stores)[:3] == (0, 0, missing), (done.stdout, done.stderr, ask(stores)))
    told = kit.query(stores).stdout
    kit.check("unreadable: also in the summary for people", f"{missing} records known lost" in told, told[-500:])
    kit.check("unreadable: the proxy ends with 0", proxy.stop() == 0, proxy.log.read_text())
    flip(outbox, 64 + 100)
    proxy.start()
    kit.check("unreadable: what is found again is sent", kit.wait_for(lambda: ask(stores)[2] == 0, 10), (ask(stores), proxy.log.read_text()))
    kit.check_numbers("unreadable: then every flow is there once", stores, sent)
    kit.check("unreadable: and nothing is left", kit.wait_for(lambda: proxy.waiting() == 0) and set(cluster.stop()) == {0} and
              not list((proxy.store / "outbox").glob("*.scout")), cluster.logs())


def damaged_at_the_start(folder):
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB]).start()
    proxy, stores = cluster.nodes[0], [n.store for n in cluster.nodes[1:]]
    exporter = kit.Exporter(proxy)
    first = set(exporter.send(0, 5000))
    kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["records"] == len(first) and proxy.waiting() == 0)
    kit.wait_for(lambda: cluster.has_told(len(first)))
    cluster.nodes[1].freeze()
    cluster.nodes[2].freeze()
    sent = first | set(exporter.send(10000, 20000))
    kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["records"] == len(sent))
    proxy.kill()
    outbox = sorted((proxy.store / "outbox").glob("*.scout"))[0]
    records = [m.start() for m in re.finditer(b"SCOB", outbox.read_bytes())]
    flip(outbox, records[-2] + 70)
    for n in cluster.nodes[1:]:
        n.thaw()
    proxy.start()
    state = proxy.status()["cluster"]["proxy"]
    kit.check("damaged: what lies behind the damage is found", state["outbox_damaged"] == 1 and state["replayed"] >= len(records) - 3,
              (state, len(records)))
    kit.check("damaged: and what is safe is not sent again", state["replayed"] < len(records) - 1, (state, len(records)))
    kit.wait_for(lambda: proxy.waiting() == 0)
    got, _ = kit.numbers(stores)
    kit.check("damaged: all but at most that one record are there once", set(got) <= sent and len(sent) - len(got) <= 8192 and
              set(got.values()) == {1}, (len(sent), len(got)))
    cluster.stop()


def gone(folder):
    """A node that had the only copy is gone for good, then a proxy."""
    cluster = kit.Cluster(folder, 3, 1, roles=[BOTH, SUB, SUB]).start()
    proxy, left = cluster.nodes[0], [n.store for n in cluster.nodes[:2]]
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 50000))
    kit.wait_for(lambda: proxy.status()["received"]["flows"] == len(sent))
    kit.wait_for(cluster.has_accepted)
    kit.wait_for(lambda: proxy.waiting() == 0)
    kit.wait_for(lambda: cluster.has_told(len(sent)))
    status, missing, known, answer = ask(left)
    kit.check("gone: what was there is missing", status == 3 and missing > 0 and known == 0, answer)
    new = cluster.folder / "new"
    new.mkdir()
    done = admin("accept-loss", "--all", *left, new)
    kit.check("gone: a new node's store, which heard of nothing, is told too, and misses nothing",
              (new / ".lost").is_dir() and ask([new])[0] == 0, ask([new]))
    kit.check("gone: accepted", done.returncode == 0 and ask(left)[:3] == (0, 0, missing), (done.stdout, done.stderr, ask(left)))
    kit.check("gone: each store alone knows it", all((s / ".lost").is_dir() for s in left))
    kit.check_numbers("gone: with the node after all nothing is lost", [n.store for n in cluster.nodes], sent)
    kit.check("gone: and nothing is called so", ask([n.store for n in cluster.nodes])[:3] == (0, 0, 0), ask(left))
    stream = proxy.status()["cluster"]["proxy"]["stream"]
    proxy.kill()
    kit.wait_for(lambda: ask(left)[0] == 3)
    kit.check("gone: a killed proxy is silent", ask(left)[0] == 3, ask(left))
    done = admin("accept-loss", "--stream", stream, *left)
    kit.check("gone: with fewer stores than lanes nothing is recorded", done.returncode == 1 and
              "2 of the 3 stores that the cluster had" in done.stderr and ask(left)[0] == 3, (done.stdout, done.stderr, ask(left)))
    done = admin("accept-loss", "--force", "--stream", "1", *left)
    kit.check("gone: another stream is no matter", done.returncode == 0 and "nothing is missing" in done.stdout and ask(left)[0] == 3,
              done.stdout)
    done = admin("accept-loss", "--force", "--stream", stream, *left)
    kit.check("gone: until it is given up", done.returncode == 0 and "silent, and closed" in done.stdout and ask(left)[0] == 0,
              (done.stdout, done.stderr, ask(left)))
    parts = [left[0] / ".replica" / "n3", next(p for p in left[0].iterdir() if p.name.isdigit())]
    refused = [admin("accept-loss", "--all", p) for p in parts if p.exists()]
    kit.check("gone: no parts of stores", refused and all(d.returncode == 1 and "not the whole store" in d.stderr for d in refused) and
              not any((p / ".lost").exists() for p in parts), [(d.returncode, d.stdout, d.stderr) for d in refused])
    kit.check("gone: usage", admin("accept-loss", *left).returncode == 2 and admin("accept-loss", "--all").returncode == 2 and
              admin("accept-loss", "--stream", "xyz", *left).returncode == 2)
    cluster.stop()


def first_second(folder):
    """A proxy that dies before it told of anything for the second time, its disk with it, is missed all the same, whoever answers."""
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB])
    proxy, stores = cluster.nodes[0], [n.store for n in cluster.nodes[1:]]
    for n in cluster.nodes[1:]:
        n.start()
    proxy.start()
    kit.Exporter(proxy).send(0, 5000)
    kit.wait_for(lambda: kit.numbers(stores)[0])
    proxy.kill()
    shutil.rmtree(proxy.store)
    for asked in (stores[:1], stores[1:], stores):
        names = [s.name for s in asked]
        kit.wait_for(lambda asked=asked: ask(asked)[0] == 3, 10)
        status, _, _, answer = ask(asked)
        kit.check(f"first second: it is silent, by {names}", status == 3 and any("proxy n1 is silent" in m for m in answer["missing"]), answer)
    cluster.stop()


def main():
    for scenario in (unreadable, damaged_at_the_start, gone, first_second):
        with tempfile.TemporaryDirectory() as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
