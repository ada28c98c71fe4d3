#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=300 beside=any
"""The disk of a proxy's outbox is full: it takes flows again by itself when there is room, says meanwhile that it takes none, and what
waits before it at its end goes to the subcollectors, or is named by answers."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import cluster_kit as kit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fault"))
from collector_kit import fill  # noqa: E402

SUB, PROXY = ["subcollector"], ["proxy"]
DISK = "12m"  # less than a file of the outbox grows to
SMALL = "queue-memory: 16M\n"


def admin(*arguments):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *map(str, arguments)], capture_output=True, text=True, check=False)


def accepts(node):
    """Exit status and words of the question that a virtual IP depends on."""
    done = admin("ping", "--accepts", "--timeout=20s", node.store)
    return done.returncode, done.stdout + done.stderr


def state(node):
    status = node.status()
    return status["cluster"]["proxy"] if status else {}


class Feed:
    """Numbered flows over TCP to a proxy, as long as its socket takes them."""

    def __init__(self, node):
        self.exporter, self.next = kit.Exporter(node), 0
        self.exporter.socket.settimeout(1)

    def send(self, count):
        """Message by message: one that the socket does not take whole never arrives."""
        for _ in range(0, count, 500):
            self.exporter.send(self.next, 500)
            self.next += 500

    def send_until(self, condition, most=2_000_000):
        """False: the condition does not come true."""
        while self.next < most:
            try:
                self.send(5000)
            except TimeoutError:
                break
            if condition():
                return True
        return kit.wait_for(condition, 5)


def make(folder, disk):
    cluster = kit.Cluster(folder, 3, 2, roles=[PROXY, SUB, SUB])
    cluster.nodes[0].store = disk / "n1"
    for n in cluster.nodes:
        n.start(SMALL)
    proxy = cluster.nodes[0]
    kit.wait_for(lambda: proxy.usable() == ["n2", "n3"])
    return cluster, proxy, [n.store for n in cluster.nodes[1:]]


def by_itself(folder, disk):
    """The outbox fills its disk while nobody takes batches; then all of it is taken."""
    cluster, proxy, stores = make(folder, disk)
    kit.check("once full: it accepts at first", accepts(proxy) == (0, ""), accepts(proxy))
    for n in cluster.nodes[1:]:
        n.freeze()
    kit.wait_for(lambda: proxy.usable() == [])
    feed = Feed(proxy)
    kit.check("once full: it is blocked", feed.send_until(lambda: state(proxy)["blocked"]), state(proxy))
    refuses("once full", proxy)
    for n in cluster.nodes[1:]:
        n.thaw()
    kit.check("once full: it accepts again by itself", kit.wait_for(lambda: not state(proxy)["blocked"] and proxy.has_accepted() and
              proxy.waiting() == 0, 40), (state(proxy), proxy.log.read_text()))
    kit.check("once full: ping --accepts says so too", accepts(proxy) == (0, ""), accepts(proxy))
    # the file that is being written stays, with what waited in memory
    kit.check("once full: what is released takes no space", kit.wait_for(lambda: outbox_bytes(proxy) < 6 << 20),
              sorted((p.name, p.stat().st_size) for p in (proxy.store / "outbox").iterdir()))
    kit.check("once full: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    kit.check_numbers("once full: each flow is there once", stores, range(feed.next))


def refuses(name, proxy):
    """What it says while nothing is accepted."""
    kit.wait_for(lambda: accepts(proxy)[0] != 0, 20)
    code, said = accepts(proxy)
    kit.check(f"{name}: ping --accepts says so, in a sentence", code == 1 and "No space left" in said and said.count("\n") == 1, (code, said))
    shown = admin("status", proxy.store).stdout
    kit.check(f"{name}: status has a PROBLEM", re.search(r"PROBLEM +.*No space left", shown), shown)
    kit.check(f"{name}: ping alone is content", admin("ping", proxy.store).returncode == 0)


def outbox_bytes(node):
    return sum(path.stat().st_size for path in (node.store / "outbox").glob("*.scout"))


class Filler(threading.Thread):
    """Others, who take all the space there is, that of what is released too, sooner than the proxy tries again."""

    def __init__(self, disk):
        super().__init__(daemon=True)
        self.disk, self.over = disk, threading.Event()
        self.start()

    def run(self):
        ballast = 0
        while not self.over.wait(0.001):
            if os.statvfs(self.disk).f_bavail != 0:
                ballast += 1
                fill(self.disk / f"ballast-{ballast}")

    def end(self):
        self.over.set()
        self.join()
        for path in self.disk.glob("ballast*"):
            path.unlink()


def make_full(folder, disk, there):
    """A disk that is full, and flows that wait before it."""
    cluster, proxy, stores = make(folder, disk)
    feed = Feed(proxy)
    feed.send(20000)
    kit.wait_for(lambda: proxy.has_accepted() and proxy.waiting() == 0)
    if not there:
        for n in cluster.nodes[1:]:
            n.kill()
        kit.wait_for(lambda: proxy.usable() == [])
    filler = Filler(disk)
    kit.wait_for(lambda: os.statvfs(disk).f_bavail == 0)
    for _ in range(5):
        feed.send(5000)  # the queue holds them
    port = feed.exporter.socket.getsockname()[1]
    kit.check("full: all is received", kit.wait_for(lambda: proxy.decoded(port) == feed.next), proxy.status()["received"])
    kit.wait_for(lambda: accepts(proxy)[0] != 0, 30)
    return cluster, proxy, stores, feed, filler


def from_memory(folder, disk):
    """The disk is full until the proxy has ended, and subcollectors are there: what waits goes to them past the outbox."""
    cluster, proxy, stores, feed, filler = make_full(folder, disk, True)
    refuses("to its end", proxy)
    begun = time.monotonic()
    code = proxy.stop()
    kit.check("to its end: it ends soon, and well", code == 0 and time.monotonic() - begun < 15, (code, proxy.log.read_text()))
    kit.check_numbers("to its end: each flow is there once", stores, range(feed.next))
    filler.end()
    proxy.start(SMALL)
    kit.wait_for(lambda: proxy.usable() == ["n2", "n3"])
    feed.exporter = kit.Exporter(proxy)
    feed.send(5000)
    kit.wait_for(lambda: proxy.has_accepted() and proxy.waiting() == 0)
    kit.check("to its end: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    kit.check_numbers("to its end: after the next start too", stores, range(feed.next))


def named(stores, pattern):
    """Records that an answer names."""
    missing = json.loads(kit.query(stores, "-l", "1", "--output-format=json").stdout)["missing"]
    return sum(int(n) for line in missing for n in re.findall(pattern, line))


def check_loss(name, cluster, filler, feed, pattern):
    """All are started again, on a disk with room: what is not there is named, exactly."""
    proxy, stores = cluster.nodes[0], [n.store for n in cluster.nodes[1:]]
    filler.end()
    for n in (*cluster.nodes[1:], proxy):
        n.start(SMALL)
    kit.wait_for(lambda: proxy.usable() == ["n2", "n3"] and proxy.waiting() == 0)
    lost = feed.next - len(kit.numbers(stores)[0])
    kit.check(f"{name}: what is lost is named, exactly", lost > 0 and kit.wait_for(lambda: named(stores, pattern) == lost),
              (lost, kit.query(stores, "-l", "1").stderr, proxy.log.read_text()))
    kit.check(f"{name}: none is there twice", max(kit.numbers(stores)[0].values()) == 1)
    kit.check(f"{name}: all end with 0", set(cluster.stop()) == {0}, cluster.logs())


def nobody_there(folder, disk):
    """Nor is a subcollector: what has no room is lost. The next process tells it, and answers name it."""
    cluster, proxy, _, feed, filler = make_full(folder, disk, False)
    kit.check("nobody: it ends with 0", proxy.stop() == 0, proxy.log.read_text())
    check_loss("nobody", cluster, filler, feed, r": (\d+) records were dropped by collector n1")


def nobody_answers(folder, disk):
    """What went past the outbox reaches nobody: subcollectors that are thought to be there die with what was sent to them."""
    cluster, proxy, _, feed, filler = make_full(folder, disk, True)
    for n in cluster.nodes[1:]:
        n.freeze()
    kit.check("no answer: it ends with 0", proxy.stop() == 0, proxy.log.read_text())
    kit.check("no answer: the log says so", "were not acknowledged" in proxy.log.read_text(), proxy.log.read_text())
    for n in cluster.nodes[1:]:
        n.kill()
    check_loss("no answer", cluster, filler, feed, r"batches of proxy n1 are missing, with (\d+) records")


def roles(folder, _):
    """A node that is a subcollector only takes no flows of exporters, whatever its disk."""
    cluster = kit.Cluster(folder, 2, 1, roles=[PROXY, SUB])
    cluster.start()
    code, said = accepts(cluster.nodes[1])
    kit.check("roles: a subcollector accepts none", code == 1 and "subcollector only" in said and accepts(cluster.nodes[0])[0] == 0, (code, said))
    kit.check("roles: --accepts goes with ping alone", admin("status", "--accepts", cluster.nodes[0].store).returncode == 2)
    cluster.nodes[0].stop()
    code, said = accepts(cluster.nodes[0])
    kit.check("roles: nor does one that is not there", code == 1 and "no collector is running" in said, (code, said))
    cluster.stop()


def main():
    if os.geteuid() != 0:
        print("skip full outbox # it mounts a small tmpfs, which only root may")
        return 0
    for scenario in (by_itself, from_memory, nobody_there, nobody_answers, roles):
        with tempfile.TemporaryDirectory() as name:
            folder, disk = pathlib.Path(name), pathlib.Path(name) / "disk"
            disk.mkdir()
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], capture_output=True,
                                     text=True, check=False)
            if mounted.returncode != 0:
                print("skip full outbox # a tmpfs cannot be mounted: " + mounted.stderr.strip())
                return 0
            try:
                scenario(folder, disk)
            finally:
                subprocess.run(["umount", "-l", str(disk)], check=False)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
