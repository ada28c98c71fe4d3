#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""SIGHUP rereads the membership file: under load a node is added and one removed, and every flow is counted once."""
import tempfile
import threading
import time

import cluster_kit as kit


class Load(threading.Thread):
    """Numbered flows to some proxies, until it is told to end."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.exporters = [kit.Exporter(n, i + 1) for i, n in enumerate(nodes)]
        self.sent, self.ending, self.failed = set(), False, None

    def run(self):
        part = 0
        try:
            while not self.ending:
                self.sent |= set(self.exporters[part % len(self.exporters)].send(part * 1000, 700))
                part += 1
                time.sleep(0.02)
        except OSError as e:
            self.failed = e

    def end(self):
        self.ending = True
        self.join()


def version(node):
    return node.status()["cluster"]["version"]


def everywhere(cluster, nodes, number):
    for n in nodes:
        n.reload()
    return kit.wait_for(lambda: all(version(n) == number for n in nodes))


def drained(nodes):
    return kit.wait_for(lambda: all(n.waiting() == 0 for n in nodes), 30)


def add_and_remove(folder):
    cluster = kit.Cluster(folder, 4, 2)
    n1, n2, n3, n4 = cluster.nodes
    cluster.write_members(1, [n1, n2, n3])
    for n in (n1, n2, n3):
        n.start()
    kit.wait_for(lambda: all(n.usable() == ["n1", "n2", "n3"] for n in (n1, n2, n3)))
    load = Load([n1, n3])
    load.start()
    time.sleep(1)
    cluster.write_members(2, [n1, n4, n2, n3])  # in the middle of the ring
    n4.start()
    kit.check("members: all take over the new file", everywhere(cluster, [n1, n2, n3], 2), cluster.logs())
    kit.check("members: the new one is used", kit.wait_for(lambda: all("n4" in n.usable() for n in cluster.nodes)), cluster.logs())
    kit.check("members: it gets batches", kit.wait_for(lambda: n1.member("n4")["acknowledged"] > 3), n1.status()["cluster"])
    kit.check("members: connections to the others stay", all(n1.member(m)["connects"] == 1 and n1.member(m)["deaths"] == 0
                                                            for m in ("n1", "n2", "n3")), n1.status()["cluster"])
    time.sleep(1)
    cluster.write_members(3, [n1, n4, n3])
    kit.check("members: one is removed", everywhere(cluster, [n1, n3, n4], 3) and n1.member("n2") is None, cluster.logs())
    kit.check("members: and why it gets nothing more", "n2 is not connected (the membership file has changed)" in n1.log.read_text(),
              n1.log.read_text())
    kit.check("members: the others stay", n1.usable() == ["n1", "n3", "n4"] and n1.member("n3")["connects"] == 1 and
              n1.member("n4")["connects"] == 1, n1.status()["cluster"])
    n2.reload()
    kit.check("members: the removed one goes on as before, and says why",
              kit.wait_for(lambda: "no member is called" in n2.log.read_text()) and version(n2) == 2, n2.log.read_text())
    time.sleep(1)
    kit.check("members: the removed one ends with 0", n2.stop() == 0, n2.log.read_text())
    load.end()
    kit.wait_for(lambda: sum(n.status()["received"]["flows"] for n in (n1, n3)) == len(load.sent) and n1.has_accepted() and n3.has_accepted())
    kit.check("members: no exporter was cut off", load.failed is None, load.failed)
    kit.check("members: everything is acknowledged", drained([n1, n3, n4]), cluster.logs())
    kit.check_numbers("members: every flow once in all four", [n.store for n in cluster.nodes], load.sent)
    kit.check_numbers("members: and in the three that are left", [n.store for n in (n1, n3, n4)], load.sent)
    kit.check_numbers("members: and in the first three", [n.store for n in (n1, n2, n3)], load.sent)
    lanes = sorted(p.name for n in (n1, n2, n3, n4) for p in (n.store / ".replica").iterdir())
    kit.check("members: lanes have names", "n4" in lanes and not [p for p in lanes if p.startswith("lane-")], lanes)
    refused(cluster, n1)
    kit.check("members: all end with 0", set(n.stop() for n in (n4, n3, n1)) == {0}, cluster.logs())


def refused(cluster, node):
    """Files that are not taken over: the old members stay."""
    members = [n for n in cluster.nodes if n.name != "n2"]
    said = {"its version is 2": lambda: cluster.write_members(2, members),
            "count it up": lambda: cluster.write_members(3, members[:2]),
            "no member is called": lambda: cluster.write_members(4, members[1:]),
            "unknown key": lambda: cluster.file.write_text("version: 5\nmembres: []\n")}
    for sentence, write in said.items():
        write()
        node.reload()
        kit.check(f"members: refused: {sentence}", kit.wait_for(lambda s=sentence: s in node.log.read_text()) and version(node) == 3 and
                  node.usable() == ["n1", "n3", "n4"], node.log.read_text())


def moves(folder):
    """A subcollector that moves to another port is found there, and what was on its way to it is sent again."""
    cluster = kit.Cluster(folder, 3, 2, roles=[["proxy"], ["subcollector"], ["subcollector"]]).start()
    proxy, moving = cluster.nodes[0], cluster.nodes[1]
    load = Load([proxy])
    load.start()
    time.sleep(0.5)
    moving.kill()
    moving.link_port = kit.free_port(moving.address)
    cluster.write_members(2, cluster.nodes)
    moving.start()
    proxy.reload()
    kit.check("moves: it is used at its new address", kit.wait_for(lambda: version(proxy) == 2 and proxy.usable() == ["n2", "n3"]),
              cluster.logs())
    time.sleep(0.5)
    load.end()
    kit.wait_for(lambda: proxy.status()["received"]["flows"] == len(load.sent) and proxy.has_accepted())
    kit.check("moves: everything is acknowledged", drained([proxy]), cluster.logs())
    kit.check_numbers("moves: every flow once", [n.store for n in cluster.nodes[1:]], load.sent)
    moving.port = kit.free_port(moving.address)
    moving.write_config("forward: [{to: 'udp://127.0.0.1:9'}]\n")
    moving.reload()
    kit.check("moves: a subcollector says that it uses no listeners and forwards nothing",
              kit.wait_for(lambda: "listeners, forward: this node is a subcollector only" in moving.log.read_text()), moving.log.read_text())
    kit.check("moves: all end with 0", set(cluster.stop()) == {0}, cluster.logs())


def log_levels(folder):
    """SIGHUP changes what is logged, by the threads of the proxy and of the subcollector too."""
    cluster = kit.Cluster(folder, 2, 1).start()
    one, other = cluster.nodes
    kit.wait_for(lambda: one.usable() == other.usable() == ["n1", "n2"])
    one.write_config("outbox: {sync: yes}\n")
    one.reload()
    kit.check("log level: what cannot change says so", kit.wait_for(lambda: "takes effect at the next start: outbox" in one.log.read_text()), one.log.read_text())
    for level, lines in (("error", set()), ("info", {"n2 is not connected", "is disconnected"})):
        one.write_config(f"log-level: {level}\n")
        one.config.write_text(one.config.read_text().replace("log-level: info\n", "", 1))
        one.reload()
        time.sleep(1.5)
        begin = one.log.stat().st_size
        other.kill()
        kit.wait_for(lambda: one.usable() == ["n1"])
        other.start()
        kit.wait_for(lambda: one.usable() == ["n1", "n2"] and other.usable() == ["n1", "n2"])
        said = one.log.read_text()[begin:]
        kit.check(f"log level: {level}: what both threads say", {t for t in ("n2 is not connected", "is disconnected") if t in said} == lines,
                  said)
    kit.check("log level: all end with 0", set(cluster.stop()) == {0}, cluster.logs())


def main():
    for scenario in (add_and_remove, moves, log_levels):
        with tempfile.TemporaryDirectory() as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
