#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=400 beside=any
"""What a collector's full queue drops while its disk stalls: every answer over that window names it, from any store of the cluster,
with the number that the status has; an operator can accept it, and neither a restart nor a death forgets it."""
import json
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time

import cluster_kit as kit
import stall_kit

SUB, PROXY = ["subcollector"], ["proxy"]
SMALL = "queue-memory: 16M\n"
WINDOW_S = 60
EXPORT_LAG_S = 1800  # windows so long after what is asked for are judged, too (src/cli/query_job.c)


def admin(*arguments):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *map(str, arguments)], capture_output=True, text=True, check=False)


def moment(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def window_of(seconds):
    begin = int(seconds) // WINDOW_S * WINDOW_S
    return begin, begin + WINDOW_S


def ask(stores, window=None):
    """Exit status, {(window, collector): records dropped} as the answer says it, records known to be lost, and the answer."""
    period = ["-T", f"{moment(window[0])}#{moment(window[1])}", "--time-field=received"] if window else []
    done = kit.query(stores, "--output-format=json", "--output-items=p", *period)
    answer = json.loads(done.stdout)
    told = {(m[1], m[3]): int(m[2]) for line in answer["missing"]
            if (m := re.match(r"window (\S+): (\d+) records were dropped by collector (\S+): its queue was full", line))}
    return done.returncode, told, answer.get("known_lost", {}).get("records", 0), answer


def dropped(node):
    received = node.status()["received"]
    return received["dropped_full"] + received["dropped_aside"]


def connect(address, _):
    """As socket.create_connection, for datagrams."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(address)
    return s


def settle(node):
    """Nothing of what it was sent is on its way any more."""
    seen = []

    def is_quiet():
        status = node.status()
        seen.append((status["received"]["flows"], dropped(node)))
        time.sleep(0.3)
        return len(seen) > 3 and len(set(seen[-4:])) == 1 and status["queue"]["filling_bytes"] == 0

    kit.wait_for(is_quiet, 30)


def flood(node, exporter, stall):
    """Datagrams into a stalled disk, until records are dropped; all that are sent fall into one window."""
    begin, end = window_of(time.time())
    kit.wait_for(lambda: time.time() < end - 30 or time.time() >= end, 40)
    window = window_of(time.time())
    first = 1_000_000
    stall.touch()
    watcher = Watcher(node)
    while watcher.dropped < 20000 and time.time() < window[1] - 5:
        exporter.send(first, 1000)
        first += 1000
    watcher.stop()
    settle(node)
    return window


class Watcher(threading.Thread):
    """Asks a node what it dropped, beside what it is sent."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.dropped, self.ended = node, 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.1):
            self.dropped = dropped(self.node)

    def stop(self):
        self.ended.set()
        self.join()


def is_told(stores, number):
    return [sum(ask([s])[1].values()) for s in stores] == [number] * len(stores)


def proxy_drops(folder):
    stall = folder / "stall"
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB], window=WINDOW_S)
    proxy, stores = cluster.nodes[0], [n.store for n in cluster.nodes[1:]]
    proxy.env = {**stall_kit.environment(folder, stall), "STALL_ALL": "1"}
    for n in cluster.nodes:
        n.start(SMALL)
    kit.wait_for(lambda: proxy.usable() == ["n2", "n3"])
    exporter = kit.Exporter(proxy, datagrams=True, connect=connect)
    window = flood(proxy, exporter, stall)
    kit.check("drops: the proxy drops", dropped(proxy) > 0, proxy.status()["received"])
    stall.unlink()
    kit.wait_for(lambda: proxy.waiting() == 0 and proxy.has_accepted(), 60)
    number, key = dropped(proxy), (moment(window[0]), "n1")
    kit.check("drops: every store comes to tell it, exactly", kit.wait_for(lambda: is_told(stores, number), 20),
              (number, [ask([s]) for s in stores]))
    for which in ([stores[0]], [stores[1]], stores):
        status, told, _, answer = ask(which, window)
        kit.check(f"drops: window, number and collector, from {len(which)} stores", status == 3 and told == {key: number} and
                  not answer["complete"], (number, answer))
    other = (window[0] - 3600 - EXPORT_LAG_S, window[0] - EXPORT_LAG_S)
    kit.check("drops: windows before are complete", ask(stores, other)[:2] == (0, {}), ask(stores, other))
    later(cluster, exporter, stores, window)
    restart(proxy, stores, number)
    kill(proxy, stores, number)
    accept(stores, number)
    kit.check("drops: all end with 0", set(cluster.stop()) == {0}, cluster.logs())


def later(cluster, exporter, stores, window):
    """Flows of the next window, of which nothing is dropped."""
    proxy = cluster.nodes[0]
    kit.wait_for(lambda: time.time() >= window[1], 70)
    before = dropped(proxy)
    exporter.send(10, 500)
    after = (window[1], window[1] + 10 * WINDOW_S)
    kit.wait_for(lambda: ask(stores, after)[3]["summary"]["flows"] == 500, 20)
    status, told, _, answer = ask(stores, after)
    kit.check("drops: the window after is complete", dropped(proxy) == before and status == 0 and not told and
              answer["summary"]["flows"] == 500, answer)


def restart(proxy, stores, number):
    code = proxy.stop()
    proxy.start(SMALL)
    kit.wait_for(lambda: proxy.usable() == ["n2", "n3"])
    kit.check("drops: a restart forgets nothing", code == 0 and is_told(stores, number), [ask([s]) for s in stores])


def kill(proxy, stores, number):
    proxy.kill()
    proxy.start(SMALL)
    kit.wait_for(lambda: proxy.usable() == ["n2", "n3"])
    kit.check("drops: nor does a death", kit.wait_for(lambda: is_told(stores, number)), [ask([s]) for s in stores])


def accept(stores, number):
    done = admin("accept-loss", "--all", "--dry-run", *stores)
    kit.check("drops: a dry run tells it", done.returncode == 0 and f"with {number} flows" in done.stdout, done.stdout + done.stderr)
    done = admin("accept-loss", "--all", *stores)
    kit.check("drops: accepted, it is known, and the answer complete", done.returncode == 0 and
              [ask(s)[:3] for s in (stores, stores[:1], stores[1:])] == [(0, {}, number)] * 3,
              (done.stdout, done.stderr, ask(stores), [ask([s]) for s in stores]))


def told_meanwhile(folder):
    """While the proxy's disk is full it drops for as long as that takes: the others know it all the while."""
    full = folder / "full"
    cluster = kit.Cluster(folder, 2, 1, roles=[PROXY, SUB], window=WINDOW_S)
    proxy, stores = cluster.nodes[0], [cluster.nodes[1].store]
    proxy.env = {**stall_kit.environment(folder, folder / "stall"), "FULL_FILE": str(full)}
    for n in cluster.nodes:
        n.start(SMALL)
    kit.wait_for(lambda: proxy.usable() == ["n2"])
    exporter = kit.Exporter(proxy, datagrams=True, connect=connect)
    flood(proxy, exporter, full)
    number = dropped(proxy)
    kit.check("full: told while it is", number > 0 and kit.wait_for(lambda: is_told(stores, number)) and full.exists(),
              (number, ask(stores)))
    proxy.kill()
    full.unlink()
    proxy.start(SMALL)
    kit.wait_for(lambda: proxy.waiting() == 0)
    status, told, _, answer = ask(stores)
    kit.check("full: the death of the proxy forgets nothing", status == 3 and sum(told.values()) == number, (number, answer))
    kit.check("full: all end with 0", set(cluster.stop()) == {0}, cluster.logs())


class Single(kit.Node):
    """A collector without a cluster."""

    def __init__(self, folder):
        self.folder, self.window, self.file, self.tls = folder, WINDOW_S, None, None
        super().__init__(self, "alone", "127.0.77.1", PROXY)

    def write_config(self, extra=""):
        super().write_config(extra)
        lines = [line for line in self.config.read_text().splitlines() if not line.startswith(("cluster:", "node:"))]
        self.config.write_text("\n".join(lines) + "\n")


def single(folder):
    """A collector of its own, killed while it has dropped what it could not write down yet."""
    stall, node = folder / "stall", Single(folder)
    node.env = {**stall_kit.environment(folder, stall), "STALL_ALL": "1"}
    node.start(SMALL)
    exporter = kit.Exporter(node, datagrams=True, connect=connect)
    flood(node, exporter, stall)
    number = dropped(node)
    stall.unlink()
    kit.check("single: its answers tell it, exactly", number > 0 and kit.wait_for(lambda: is_told([node.store], number)),
              (number, ask([node.store])))
    flood(node, exporter, stall)
    more = dropped(node)
    node.kill()
    stall.unlink()
    node.start(SMALL)
    exporter.send(10, 100)
    kit.wait_for(lambda: node.status()["received"]["flows"] == 100)
    kit.check("single: it ends with 0", node.stop() == 0, node.log.read_text())
    status, told, _, answer = ask([node.store])
    kit.check("single: a death forgets nothing that was written", status == 3 and number <= sum(told.values()) <= more, (number, more, answer))
    done = admin("verify", node.store)
    kit.check("single: the store is whole", done.returncode == 0, done.stdout + done.stderr)
    done = admin("accept-loss", "--all", node.store)
    kit.check("single: accepted, the answer is complete", done.returncode == 0 and ask([node.store])[:3] == (0, {}, sum(told.values())),
              (done.stdout, done.stderr, ask([node.store])))


def main():
    for scenario in (proxy_drops, told_meanwhile, single):
        with tempfile.TemporaryDirectory() as folder:
            scenario(pathlib.Path(folder))
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
