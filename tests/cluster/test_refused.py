#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""A batch that a subcollector does not take holds up no other one: others get it, else it waits in the outbox, and is named."""
import os
import subprocess
import tempfile

import cluster_kit as kit


def member(proxy, name, what):
    return proxy.member(name)[what]


def send_parts(proxy, exporter):
    """Numbers of flows, sent so that each part is a batch at least."""
    sent = []
    for part in range(8):
        sent += exporter.send(part * 1000, 700)
        kit.wait_for(lambda: proxy.status()["cluster"]["proxy"]["records"] >= len(sent))
    return sent


def one_refuses(folder):
    """One node's clock is two days behind: to it, all windows lie far ahead."""
    c = kit.Cluster(folder, 4, 2, roles=[["proxy"], ["subcollector"], ["subcollector"], ["subcollector"]])
    proxy, odd = c.nodes[0], c.nodes[3]
    odd.env = kit.other_clock(folder, -2 * 86400)
    c.start()
    exporter = kit.Exporter(proxy)
    wanted = send_parts(proxy, exporter)
    kit.check("one refuses: all is safe with the others", kit.wait_for(lambda: c.has_accepted() and proxy.waiting() == 0), c.logs())
    exporter.close()
    kit.check("one refuses: nobody died of it", all(member(proxy, n.name, "deaths") == 0 for n in c.nodes[1:]), c.logs())
    kit.check("one refuses: it was offered some", "does not take a batch" in proxy.log.read_text(), c.logs())
    kit.check("one refuses: it says why", "the link refused batches and tallies of windows that cannot be, or more than a day ahead" in odd.log.read_text(),
              odd.log.read_text())
    status = odd.status()["cluster"]["subcollector"]
    kit.check("one refuses: and calls none damaged", status["damaged"] == status["link_refused"]["batch"] == 0 and
              status["link_refused"]["window"] > 0, status)
    told = subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), "status", str(odd.store)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False).stdout
    kit.check("one refuses: the status says it in its words", "more than a day ahead: are the clocks right?" in told and
              "damaged" not in told, told)
    kit.check("one refuses: all have two copies", proxy.status()["cluster"]["proxy"]["released_short"] == 0, proxy.status()["cluster"])
    kit.check("one refuses: all end with 0", set(c.stop()) == {0}, c.logs())
    log = odd.log.read_text()
    kit.check("one refuses: its log begins with who it is", f"begins: node {odd.name}, subcollector, store {odd.store}, window 60 s, "
              "version 1 of the membership file with 4 members and 2 copies, link plain\n" in log, log)
    kit.check("one refuses: and ends with what came of it", log.endswith("ends, by SIGTERM: 0 flows and 0 options records were stored, "
              "0 records were lost here\n"), log)
    kit.check("one refuses: so does the proxy's", f"{len(wanted)} records were accepted, of which 0 stay in the outbox, 0 records were lost here" in
              proxy.log.read_text(), proxy.log.read_text())
    kit.check_numbers("one refuses: every flow once", [n.store for n in c.nodes[1:3]], wanted)


def all_refuse(folder):
    """The outbox holds what was cut while the proxy's clock was ahead."""
    c = kit.Cluster(folder, 3, 2, roles=[["proxy"], ["subcollector"], ["subcollector"]], window=60)
    proxy, stores = c.nodes[0], [n.store for n in c.nodes[1:]]
    proxy.env = kit.other_clock(folder, 3 * 86400)
    proxy.start()
    exporter = kit.Exporter(proxy)
    exporter.send(10**6, 500)
    kit.check("all refuse: the outbox has a batch", kit.wait_for(lambda: c.has_accepted() and proxy.waiting() == 1), c.logs())
    exporter.close()
    kit.check("all refuse: and keeps it", proxy.stop() == 0, c.logs())
    proxy.env = {}
    c.start()
    exporter = kit.Exporter(proxy)
    wanted = send_parts(proxy, exporter)
    kit.check("all refuse: the others are safe", kit.wait_for(lambda: c.has_accepted() and proxy.waiting() == 1), c.logs())
    exporter.close()
    kit.check("all refuse: nobody died of it", all(member(proxy, n.name, "deaths") == 0 for n in c.nodes[1:]), c.logs())
    kit.check("all refuse: it is named", all(member(proxy, n.name, "refused") == 1 for n in c.nodes[1:]), proxy.status()["cluster"])
    told = subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), "status", str(proxy.store)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False).stdout
    kit.check("all refuse: the status has a problem", "PROBLEM   n2 does not take 1 batches of this node" in told, told)
    kit.check("all refuse: all end with 0", set(c.stop()) == {0}, c.logs())
    kit.check("all refuse: the outbox has it still", any(os.scandir(proxy.store / "outbox")), c.logs())
    got, _ = kit.numbers(stores)
    kit.check("all refuse: every flow of the others once", set(got) == set(wanted) and set(got.values()) == {1}, len(got))


def main():
    for scenario in (one_refuses, all_refuse):
        with tempfile.TemporaryDirectory(prefix="sc-refused.") as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
