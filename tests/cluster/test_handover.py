#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""A proxy that takes over decodes at once what an exporter sends whose templates only another proxy has heard."""
import socket
import struct
import tempfile
import time

import cluster_kit as kit

PROXY, SUB = ["proxy"], ["subcollector"]
NARROW, WIDE = [(7, 2), (11, 2), (8, 4)], [(7, 2), (11, 2), (8, 4), (12, 4), (2, 4)]


class Exporter:
    """NetFlow v9 over UDP from one port to any proxy, as to a virtual IP that moves."""

    def __init__(self, domain):
        self.domain, self.sequence, self.fields = domain, 0, NARROW
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.77.200", 0))

    def send(self, node, set_id, body):
        header = struct.pack("!HHIIII", 9, 1, 1000000, int(time.time()), self.sequence, self.domain)
        self.socket.sendto(header + struct.pack("!HH", set_id, 4 + len(body)) + body, (node.address, node.port))
        self.sequence += 1

    def define(self, node, fields):
        self.fields = fields
        self.send(node, 0, struct.pack("!HH", 256, len(fields)) + b"".join(struct.pack("!HH", *f) for f in fields))

    def data(self, node, flows):
        self.send(node, 256, bytes(flows * sum(length for _, length in self.fields)))


def account(node, domain):
    """The node's account of an exporter, all numbers 0 before it was heard."""
    status = node.status() or {"exporters": []}
    found = [e for e in status["exporters"] if e["domain"] == domain]
    return found[0] if found else {"flows": 0, "no_template_sets": 0, "lost": 0, "messages": 0}


def check_decoded(name, node, exporter, flows, messages, missed=0):
    kit.wait_for(lambda: account(node, exporter.domain)["messages"] >= messages, 5)
    e = account(node, exporter.domain)
    kit.check(name, (e["messages"], e["flows"], e["no_template_sets"], e["lost"]) == (messages, flows, missed, 0),
              f"{e}\n{node.cluster.logs()}")


def settle():
    """A second until it is told, some ticks on the way."""
    kit.wait_for(lambda: False, 2.5)


def forget(node):
    node.kill()
    for name in ("templates.state", "templates.journal"):
        (node.store / name).unlink(missing_ok=True)


def others_in_front(cluster, exporter):
    """The members are numbered anew while the proxies run: each goes on telling what it itself knows, to a new relay too."""
    a, b, old, new = cluster.nodes
    new.stop()
    cluster.write_members(2, [b, old, a])
    for n in (a, b, old):
        n.reload()
    kit.check("renumbered: the members are taken over",
              kit.wait_for(lambda: all(n.status()["cluster"]["version"] == 2 for n in (a, b, old))), cluster.logs())
    exporter.define(a, NARROW)
    settle()
    before = account(b, exporter.domain)
    exporter.data(b, 6)
    check_decoded("renumbered: a proxy tells on", b, exporter, before["flows"] + 6, before["messages"] + 1)
    cluster.write_members(3, [new, b, a])
    new.start()
    for n in (a, b, old):
        n.reload()
    kit.check("renumbered: a new relay is connected", kit.wait_for(lambda: a.usable() == b.usable() == [new.name]), cluster.logs())
    kit.check("renumbered: the old relay ends in good order", old.stop() == 0, old.log.read_text())
    forget(b)
    b.start()
    settle()
    exporter.data(b, 3)
    check_decoded("renumbered: a new relay is told all", b, exporter, 3, 1)


def scenario(folder):
    cluster = kit.Cluster(folder, 4, 1, roles=[PROXY, PROXY, SUB, SUB]).start()
    a, b = cluster.nodes[:2]
    one, two, other = Exporter(1), Exporter(2), Exporter(3)
    one.define(a, WIDE)
    two.define(a, WIDE)
    one.data(a, 3)
    settle()
    one.data(b, 5)
    check_decoded("taken over: the standby decodes the first datagram", b, one, 5, 1)

    one.define(b, NARROW)
    one.data(b, 4)
    other.define(a, WIDE)  # so that a tells its old ones again
    settle()
    one.data(b, 4)
    check_decoded("own: what the exporter says to a proxy itself wins", b, one, 13, 4)
    one.sequence += 1000  # others had them
    one.data(a, 6)
    check_decoded("back: the first proxy knows the new template, and misses nothing", a, one, 9, 3)

    forget(a)
    a.start()
    settle()
    two.data(a, 7)
    check_decoded("restarted: a proxy without its store gets back what it had told", a, two, 7, 1)

    forget(b)
    forget(a)
    b.start("receivers: 3\n")  # whichever the exporter's datagrams reach
    settle()
    two.data(b, 8)
    check_decoded("late: a proxy that comes when the other is gone gets its templates", b, two, 8, 1)

    cluster.nodes[2].kill()
    cluster.nodes[3].kill()
    for n in (cluster.nodes[2], cluster.nodes[3], a):
        n.start()
    kit.check("all relays new: they are connected", kit.wait_for(lambda: len(a.usable()) == 2 and len(b.usable()) == 2),
              cluster.logs())
    settle()
    two.data(a, 2)
    check_decoded("all relays new: they are told again", a, two, 2, 1)
    others_in_front(cluster, two)
    kit.check("they end in good order", cluster.stop() == [0, 0, None, 0], cluster.logs())


def main():
    with tempfile.TemporaryDirectory() as folder:
        scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
