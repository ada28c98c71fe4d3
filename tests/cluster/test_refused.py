#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""A batch that a subcollector does not take holds up no other one: others get it, else it waits in the outbox, and is named."""
import os
import re
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


def one_is_behind(folder):
    """One node's clock is two days behind: to it all windows lie far ahead, but it knows better by the others'."""
    c = kit.Cluster(folder, 4, 2, roles=[["proxy"], ["subcollector"], ["subcollector"], ["subcollector"]])
    proxy, odd = c.nodes[0], c.nodes[3]
    odd.env = kit.other_clock(folder, -2 * 86400)
    c.start()
    kit.wait_for(lambda: any("this node's clock is 17" in p and "behind the median" in p for p in odd.status()["cluster"]["problems"]))
    exporter = kit.Exporter(proxy)
    wanted = send_parts(proxy, exporter)
    kit.check("one is behind: all is safe", kit.wait_for(lambda: c.has_accepted() and proxy.waiting() == 0), c.logs())
    exporter.close()
    kit.check("one is behind: nobody died of it", all(member(proxy, n.name, "deaths") == 0 for n in c.nodes[1:]), c.logs())
    status = odd.status()["cluster"]["subcollector"]
    kit.check("one is behind: it refuses nothing", status["damaged"] == status["refused"] == 0 == sum(status["link_refused"].values()), status)
    kit.check("one is behind: it takes its share", status["records"] > 0 and kit.numbers([odd.store])[0], status)
    kit.check("one is behind: all have two copies", proxy.status()["cluster"]["proxy"]["released_short"] == 0, proxy.status()["cluster"])
    kit.check("one is behind: all end with 0", set(c.stop()) == {0}, c.logs())
    log = odd.log.read_text()
    kit.check("one is behind: its log begins with who it is", f"begins: node {odd.name}, subcollector, store {odd.store}, window 60 s, "
              "version 1 of the membership file with 4 members and 2 copies, link plain\n" in log, log)
    kit.check("one is behind: and ends with what came of it", re.search(r"ends, by SIGTERM: [1-9]\d* flows and 0 options records were stored, "
              r"0 records were lost here\n$", log), log)
    kit.check("one is behind: so does the proxy's", f"{len(wanted)} records were accepted, of which 0 stay in the outbox, 0 records were lost here" in
              proxy.log.read_text(), proxy.log.read_text())
    kit.check_numbers("one is behind: every flow once", [n.store for n in c.nodes[1:]], wanted)


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
    kit.check("all refuse: a batch was offered", "does not take a batch" in proxy.log.read_text(), c.logs())
    for n in c.nodes[1:]:
        kit.check(f"all refuse: {n.name} says why", "the link refused batches and tallies of windows that cannot be, or more than a day ahead"
                  in n.log.read_text(), n.log.read_text())
        shown = subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), "status", str(n.store)], stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, check=False).stdout
        kit.check(f"all refuse: {n.name}'s status says it in its words", "more than a day ahead: are the clocks right?" in shown and
                  "damaged" not in shown, shown)
    kit.check("all refuse: it is named", all(member(proxy, n.name, "refused") == 1 for n in c.nodes[1:]), proxy.status()["cluster"])
    told = subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), "status", str(proxy.store)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False).stdout
    kit.check("all refuse: the status has a problem", "PROBLEM   n2 does not take 1 batches of this node" in told, told)
    kit.check("all refuse: all end with 0", set(c.stop()) == {0}, c.logs())
    kit.check("all refuse: the outbox has it still", any(os.scandir(proxy.store / "outbox")), c.logs())
    got, _ = kit.numbers(stores)
    kit.check("all refuse: every flow of the others once", set(got) == set(wanted) and set(got.values()) == {1}, len(got))


def main():
    for scenario in (one_is_behind, all_refuse):
        with tempfile.TemporaryDirectory(prefix="sc-refused.") as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
