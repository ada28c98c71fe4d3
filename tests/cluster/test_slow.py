#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=240 beside=quiet
"""A disk that stalls. A subcollector's: it beats and does not acknowledge; nothing waits for it, and nothing is lost or double.
A proxy's: nobody is dead for that, its status is told, and what its exporters send over TCP waits for the disk."""
import json
import pathlib
import subprocess
import tempfile
import time

import cluster_kit as kit
import stall_kit

SUB, PROXY = ["subcollector"], ["proxy"]
FLOWS = 4_000_000
STALLED_S = 5  # of the proxy: more than the 2 s of silence after which a member counts as dead


def start(folder, nodes, extra="", who=1, wish=()):
    """A proxy and subcollectors; the disk of the node `who` can be stalled."""
    folder = pathlib.Path(folder)
    cluster = kit.Cluster(folder, nodes, 2, roles=[PROXY] + [SUB] * (nodes - 1))
    stall = folder / "stall"
    cluster.nodes[who].env = {**stall_kit.environment(folder, stall), **dict(wish)}
    for n in cluster.nodes:
        n.start(extra)
    everyone = sorted(n.name for n in cluster.nodes[1:])
    kit.wait_for(lambda: cluster.nodes[0].usable() == everyone)
    return cluster, stall


def accepted(proxy):
    return proxy.status()["cluster"]["proxy"]["records"]


def stalled(folder):
    cluster, stall = start(folder, 4)
    proxy, slow = cluster.nodes[0], "n2"
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 8000))
    kit.wait_for(lambda: accepted(proxy) == len(sent) and proxy.waiting() == 0)
    before_it = set(sent)
    stall.touch()
    begin = time.monotonic()
    for part in range(10, 26):
        sent |= set(exporter.send(part * 10000, 2000))
        time.sleep(0.2)
    kit.check("slow: the proxy notices, and it is not dead",
              kit.wait_for(lambda: proxy.member(slow)["slow"] and proxy.member(slow)["usable"], 5), proxy.member(slow))
    told = subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), "status", str(proxy.store)], capture_output=True, text=True, check=False)
    kit.check("slow: sc-admin status says so", any(line.startswith("n2 ") and " slow " in line for line in told.stdout.splitlines()),
              told.stdout + told.stderr)
    before = proxy.member(slow)["in_flight"]
    sent |= set(exporter.send(500000, 20000))
    kit.wait_for(lambda: accepted(proxy) == len(sent))
    kit.check("slow: it gets nothing new", kit.wait_for(lambda: proxy.waiting() <= before) and
              proxy.member(slow)["waiting"] == 0 and proxy.member(slow)["in_flight"] <= before, proxy.status()["cluster"])
    early = time.monotonic() - begin < 9
    kit.check("slow: what it was sent is not copied at once",
              not early or proxy.status()["cluster"]["proxy"]["copied_late"] == 0, proxy.status()["cluster"]["proxy"])
    kit.check("slow: others get copies in time", kit.wait_for(lambda: proxy.waiting() == 0, 25), proxy.status()["cluster"])
    kit.check("slow: by then all is twice with the others", proxy.status()["cluster"]["proxy"]["copied_late"] > 0 and
              proxy.member(slow)["deaths"] == 0, proxy.status()["cluster"])
    stores = [n.store for n in cluster.nodes[1:]]
    for left_out in (1, 2):
        rest = [s for i, s in enumerate(stores) if i not in (0, left_out)]
        got, _ = kit.numbers(rest)
        kit.check(f"slow: without n2 and n{left_out + 2} every flow is there once", set(got) >= sent - before_it and set(got.values()) == {1},
                  f"{len(got)} of {len(sent)}")
    stall.unlink()
    kit.check("slow: it takes part again", kit.wait_for(lambda: not proxy.member(slow)["slow"]), proxy.member(slow))
    had = proxy.member(slow)["acknowledged"]
    sent |= set(exporter.send(900000, 20000))
    kit.wait_for(lambda: accepted(proxy) == len(sent) and proxy.waiting() == 0)
    kit.check("slow: and gets new batches", proxy.member(slow)["acknowledged"] > had, proxy.status()["cluster"])
    kit.check("slow: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    kit.check_numbers("slow: every flow once in the end", stores, sent)


def small_outbox(folder):
    """Far more than the outbox holds is accepted while one of four is stuck."""
    cluster, stall = start(folder, 5, "outbox: {bytes: 64M}\n")
    proxy = cluster.nodes[0]
    stall.touch()
    done = subprocess.run([str(kit.BUILD / "bin" / "sc-exporter"), "--generate", "--flows", str(FLOWS), "--to",
                           f"tcp://{proxy.address}:{proxy.port}"], capture_output=True, text=True, check=False)
    kit.check("small outbox: a stuck member does not stop the proxy", done.returncode == 0 and
              kit.wait_for(lambda: accepted(proxy) == FLOWS, 20) is not None and stall.exists(), proxy.status()["cluster"])
    sizes = [m["bytes_sent"] for m in proxy.status()["cluster"]["members"] if m["subcollector"]]
    kit.check("small outbox: more than it holds went through it", sum(sizes) / 2 > 64 << 20, sizes)
    kit.check("small outbox: it is empty while that one is still stuck",
              kit.wait_for(lambda: proxy.waiting() == 0, 30) is not None and stall.exists() and
              proxy.member("n2")["acknowledged"] < proxy.member("n3")["acknowledged"] / 10, proxy.status()["cluster"])
    kit.check("small outbox: nothing was dropped", proxy.status()["received"]["dropped_full"] == 0, proxy.status()["received"])
    stall.unlink()
    kit.check("small outbox: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    answer = kit.query([n.store for n in cluster.nodes[1:]], "--output-items=p", "--output-format=json")
    summary = json.loads(answer.stdout)
    kit.check("small outbox: every flow once", answer.returncode == 0 and summary["summary"]["flows"] == FLOWS, answer.stdout)


def stalled_proxy(folder):
    """Longer than its members are silent before they count as dead, in the midst of traffic."""
    cluster, stall = start(folder, 3, who=0, wish={"STALL_ALL": "1"})
    proxy = cluster.nodes[0]
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 20000))
    kit.wait_for(lambda: accepted(proxy) > 0)
    stall.touch()
    sent |= set(exporter.send(20000, 20000))
    begin, told = time.monotonic(), []
    while time.monotonic() < begin + STALLED_S:
        told.append(proxy.status())
        time.sleep(0.1)
    kit.check("stalled proxy: its status is told all the time", all(told), [status is not None for status in told])
    usable = [sorted(m["name"] for m in s["cluster"]["members"] if m.get("usable")) for s in told if s]
    kit.check("stalled proxy: nobody is dead for that", all(u == ["n2", "n3"] for u in usable), usable)
    silent = kit.query([n.store for n in cluster.nodes[1:]], "--output-items=p", "--output-format=json").stdout
    kit.check("stalled proxy: nor is it silent", "is silent" not in silent, silent)
    stall.unlink()
    kit.check("stalled proxy: then all is accepted and safe",
              kit.wait_for(lambda: accepted(proxy) == len(sent) and proxy.waiting() == 0, 60), proxy.status()["cluster"])
    kit.check("stalled proxy: nobody was dead", [proxy.member(n)["deaths"] for n in ("n2", "n3")] == [0, 0], proxy.status()["cluster"])
    kit.check("stalled proxy: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    kit.check_numbers("stalled proxy: every flow once in the end", [n.store for n in cluster.nodes[1:]], sent)


def late_members(folder):
    """A proxy starts, and one member answers before the others: what that one has is not released before they were asked."""
    cluster = kit.Cluster(folder, 4, 2, roles=[PROXY] + [SUB] * 3).start()
    proxy, late = cluster.nodes[0], cluster.nodes[2:]
    for node in late:
        node.freeze()
    proxy.kill()
    begin = time.monotonic()
    proxy.start()
    exporter = kit.Exporter(proxy)
    sent = set(exporter.send(0, 20000))
    kit.wait_for(lambda: proxy.member("n2")["acknowledged"] > 0)
    for node in late:
        node.thaw()
    kit.wait_for(lambda: proxy.usable() == ["n2", "n3", "n4"])
    in_time = time.monotonic() - begin < 2.5
    kit.wait_for(lambda: accepted(proxy) == len(sent) and proxy.waiting() == 0)
    kit.check("late members: each batch has its copies", not in_time or proxy.status()["cluster"]["proxy"]["released_short"] == 0,
              proxy.status()["cluster"])
    kit.check("late members: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    kit.check_numbers("late members: every flow once", [n.store for n in cluster.nodes[1:]], sent)


def main():
    for scenario in (stalled, small_outbox, stalled_proxy, late_members):
        with tempfile.TemporaryDirectory() as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
