#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""What differs between members is a problem by name within seconds, wherever it is asked, and ends when it does not differ any more."""
import json
import os
import pathlib
import subprocess
import tempfile
import time

import cluster_kit as kit


def problems(node):
    status = node.status()
    return status["cluster"]["problems"] if status else None


def told(node, *parts):
    """A sentence with all of the parts."""
    return any(all(p in sentence for p in parts) for sentence in problems(node) or [])


def see(cluster, what, *parts, of=None):
    """All (but the odd one itself) say it. How long the last took is in the detail, so that it can be looked at."""
    began = time.monotonic()
    nodes = [n for n in cluster.nodes if n is not of]
    good = kit.wait_for(lambda: all(told(n, *parts) for n in nodes), 15)
    return kit.check(f"facts: {what}", good, f"{time.monotonic() - began:.1f} s, {[problems(n) for n in cluster.nodes]}")


def agree(cluster, what):
    return kit.check(f"facts: {what}: they agree again", kit.wait_for(lambda: all(problems(n) == [] for n in cluster.nodes), 20),
                     [problems(n) for n in cluster.nodes])


def admin(node, *words):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, env={**os.environ, **node.env})


class Node(kit.Node):
    """One whose configuration can be made to differ."""
    change = staticmethod(lambda text: text)

    def write_config(self, extra=""):
        super().write_config(extra)
        self.config.write_text(self.change(self.config.read_text()))


class Cluster(kit.Cluster):
    def make_node(self, number, roles):
        return Node(self, f"n{number}", f"127.0.77.{number}", roles)


def restarted(node, change=lambda text: text):
    """With another configuration, or its own."""
    node.stop()
    node.change = change
    node.start()


def all_known(cluster):
    """Proxies only, subcollectors only: what does not meet is passed on."""
    names = {n.name for n in cluster.nodes}

    def known(node):
        status = node.status()
        facts = {m["name"]: m["facts"] for m in status["cluster"]["members"]} if status else {}
        return set(facts) == names and all(f and f["window_s"] == 60 and abs(f["clock_ahead_ms"]) < 1500 for f in facts.values())
    kit.check("facts: everybody knows everybody", kit.wait_for(lambda: all(known(n) for n in cluster.nodes), 20),
              json.dumps([n.status()["cluster"]["members"] for n in cluster.nodes]))
    kit.check("facts: nothing differs", all(problems(n) == [] for n in cluster.nodes), [problems(n) for n in cluster.nodes])


def windows(cluster):
    odd = cluster.nodes[2]
    restarted(odd, lambda text: text.replace("window: 60", "window: 20"))
    see(cluster, "another length of windows", f"{odd.name} has windows of 20 s", "of 60 s", of=odd)
    kit.check("facts: it sees that it is alone with it", kit.wait_for(lambda: len(problems(odd)) == 4) and
              all("this node of 20 s" in sentence for sentence in problems(odd)), problems(odd))
    shown = admin(cluster.nodes[0], "status", cluster.nodes[0].store)
    kit.check("facts: sc-admin status shows it", f"PROBLEM   {odd.name} has windows of 20 s" in shown.stdout, shown)
    kit.check("facts: the log has it once", kit.wait_for(lambda: cluster.nodes[0].log.read_text().count(f"{odd.name} has windows of 20 s") == 1),
              cluster.nodes[0].log.read_text())
    restarted(odd)
    agree(cluster, "windows")


def files(cluster):
    """One node with a file of its own: version, ring order, copies, address."""
    odd = cluster.nodes[3]
    text = cluster.file.read_text()
    own = cluster.folder / "own.yaml"
    members = [line for line in text.splitlines() if line.startswith("  - ")]
    cases = (("a version that is behind", text.replace("version: 1", "version: 2"), "has version 2 of the membership file, this node 1"),
             ("another order of the ring", text.replace("\n".join(members), "\n".join(members[1:] + members[:1])), "the ring of"),
             ("another number of copies", text.replace("replication: 2", "replication: 1"), "keeps 1 copies"),
             ("another address", text.replace("roles: [proxy]}", "roles: [proxy], from: [127.0.99.1]}", 1), "(addresses)"))
    for what, changed, sentence in cases:
        kit.check(f"facts: {what}: it is another file", changed != text)
        own.write_text(changed)
        restarted(odd, lambda t: t.replace(str(cluster.file), str(own)))
        see(cluster, what, odd.name, sentence, of=odd)
    restarted(odd)
    agree(cluster, "files")


def clocks(cluster):
    """A node whose clock is ahead."""
    odd = cluster.nodes[1]
    odd.env = kit.other_clock(cluster.folder, 172800)
    restarted(odd)
    see(cluster, "a clock that is two days ahead", f"the clock of {odd.name} is 17", "ahead of", of=odd)
    odd.env = {}
    restarted(odd)
    agree(cluster, "clocks")


def namesakes(cluster):
    """Two processes that are the same member: nobody takes a restart for that."""
    kit.check("facts: no restart was taken for a second node", "two nodes are called" not in cluster.logs(), cluster.logs())
    first = cluster.nodes[0]
    second = Node(cluster, first.name, first.address, first.roles, link_port=first.link_port)
    second.store, second.log, second.config = (cluster.folder / f"second{suffix}" for suffix in ("", ".log", ".yaml"))
    second.start()
    see(cluster, "two nodes with one name", f"two nodes are called {first.name}")
    kit.check("facts: the second sees it, too", kit.wait_for(lambda: told(second, "two nodes are called")), problems(second))
    second.stop()
    agree(cluster, "namesakes")


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        cluster = Cluster(folder, 5, 2, roles=[["proxy"], ["subcollector"], ["subcollector"], ["proxy"], ["subcollector"]]).start()
        for scenario in (all_known, windows, files, clocks, namesakes):
            scenario(cluster)
        kit.check("facts: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
