#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""No clock deletes what retention would keep, and no clock bends an answer: members behind, ahead, and set while they run."""
import concurrent.futures
import pathlib
import re
import subprocess
import tempfile
import time

import cluster_kit as kit

DAY = 86400
WINDOW = 10
ASKS_S = 1  # no longer does a proxy that starts wait for the others' time (collect/receiver.h)
KEEP = "retention:\n  age: 1d\n"
BOTH, SUB, PROXY = ["proxy", "subcollector"], ["subcollector"], ["proxy"]


def accepted(node):
    status = node.status()
    return status["cluster"]["proxy"]["records"] if status else 0


class Site:
    """A cluster of three, of which one has a clock that can be set; what was sent so far is there, once, at every step."""

    def __init__(self, folder, name, roles=None):
        self.name, self.sent = name, set()
        self.cluster = kit.Cluster(folder, 3, 2, roles=roles, window=WINDOW)
        self.nodes = self.cluster.nodes
        self.stores = [n.store for n in self.nodes if "subcollector" in n.roles]
        self.odd = self.nodes[2]
        self.odd.env = kit.other_clock(folder, 0)
        self.began = self.restarted = time.time()

    def start(self, *nodes):
        for n in nodes or self.nodes:
            n.start(extra=KEEP)
        return self

    def check(self, what, good, detail=None):
        return kit.check(f"{self.name}: {what}", good, detail if detail is not None else self.cluster.logs())

    def send(self, node, count=2000):
        """By way of that proxy, in four batches, until all copies are there."""
        exporter, begun = kit.Exporter(node), accepted(node)
        for part in range(1, 5):
            self.sent |= set(exporter.send(len(self.sent), count // 4))
            kit.wait_for(lambda part=part: accepted(node) == begun + part * count // 4)
        self.check(f"{len(self.sent)} flows are safe", kit.wait_for(lambda: accepted(node) == begun + count and node.waiting() == 0))
        exporter.close()

    def exact(self, when):
        """Of a proxy that seems silent, as it was heard of last by a clock that is right only now, or on a machine that stood still,
        one hears again within a second."""
        answers = []

        def is_heard():
            answers.append(kit.query_numbers(self.stores))
            return not re.search("proxy .*(is silent since|which is to come)", answers[-1].stderr)

        kit.wait_for(is_heard)
        kit.check_answer(f"{self.name}: {when}, every flow is there once", answers[-1], self.sent)

    def restart(self, node):
        node.stop()
        self.restarted = time.time()
        node.start(extra=KEEP)

    def set_clock(self, ahead_s):
        kit.set_clock(self.odd.env, ahead_s)

    def says(self, node, *parts):
        status = node.status()
        return status and any(all(p in sentence for p in parts) for sentence in status["cluster"]["problems"])

    def await_word(self, what, node, *parts):
        """What others told is known for ten seconds more."""
        self.check(what, kit.wait_for(lambda: self.says(node, *parts), 40), node.status())

    def await_quiet(self, node):
        self.check(f"{node.name} has no problem any more", kit.wait_for(lambda: node.status()["cluster"]["problems"] == []), node.status())

    def windows(self):
        """Of all files, as seconds since 1970."""
        names = [p.name for s in self.stores for p in s.rglob("*.sc*") if p.suffix in (".scs", ".sclive")]
        return sorted({int(time.mktime(time.strptime(n[:16] + "+0000", "%Y%m%dT%H%M%SZ%z"))) - time.timezone for n in names})

    def windows_are_right(self):
        """All are of the time since the begin."""
        now, windows = time.time(), self.windows()
        return windows and all(self.began - 2 * WINDOW < w <= now for w in windows)

    def new_window(self):
        """Flows of then and those of now lie in two."""
        time.sleep(WINDOW - time.time() % WINDOW + 0.1)

    def expired(self):
        return sum(n.status()["store"]["expired_windows"] for n in self.nodes if "subcollector" in n.roles and n.status())


def admin(node, *words):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *map(str, words), str(node.store)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


def was_told_in_time(site, ahead_s):
    """Whether the proxy knew both others before it would have read without: they have told when they take batches."""
    def others():
        log = site.odd.log.read_text().rpartition(" ends, by SIGTERM")[2]
        return re.findall(r"^(\S+Z) info n[12] takes batches", log, re.MULTILINE)

    return kit.wait_for(lambda: len(others()) == 2) and kit.parse_time(others()[1]) - ahead_s < site.restarted + ASKS_S


def start_off(folder, name, ahead_s):
    """A proxy with that clock has flows before the others can tell it the time; where they were too slow then, that of a new site."""
    for attempt in range(5):
        inner = pathlib.Path(folder) / str(attempt)
        inner.mkdir()
        site = Site(inner, name).start()
        site.set_clock(ahead_s)
        site.odd.stop()
        for n in site.nodes[:2]:
            n.freeze()
        site.restart(site.odd)
        exporter = kit.Exporter(site.odd)
        site.sent |= set(exporter.send(0, 500))
        time.sleep(0.1)
        for n in site.nodes[:2]:
            n.thaw()
        in_time = was_told_in_time(site, ahead_s)
        exporter.close()
        if in_time:
            break
        site.cluster.stop()
    site.check("the others tell the time within a second", in_time)
    site.check("its first flows are safe", kit.wait_for(lambda: accepted(site.odd) == 500 and site.odd.waiting() == 0))
    return site


def proxy_off(folder, ahead_s):
    """It stamps by the others, from its first flow on."""
    which = "ahead of" if ahead_s > 0 else "behind"
    site = start_off(folder, f"a proxy {which} the others", ahead_s)
    site.send(site.odd)
    site.exact("at once")
    site.check("windows are those of the others", site.windows_are_right(), site.windows())
    site.await_word("it says so in its status", site.odd, "this node's clock is 17", which, "median", "are stamped by that")
    site.check("and in its log", kit.wait_for(lambda: "are stamped by that" in site.odd.log.read_text()))
    site.check("and to who asks", "PROBLEM   this node's clock is 17" in admin(site.odd, "status").stdout, admin(site.odd, "status").stdout)
    site.new_window()
    site.send(site.odd)
    for n in site.nodes[:2]:  # retention is run in the first second
        site.restart(n)
    time.sleep(2)
    site.exact("when retention was run")
    site.set_clock(0)
    site.await_quiet(site.odd)
    site.send(site.odd)
    site.exact("with the right time again")
    site.check("nothing was deleted, all end with 0", site.expired() == 0 and set(site.cluster.stop()) == {0})


def node_off(folder, ahead_s):
    """A node that starts with a clock by which all is old, or nothing; then it is set while it runs, and set back."""
    which = "ahead of" if ahead_s > 0 else "behind"
    site = Site(folder, f"a node {which} the others")
    site.start()
    site.send(site.nodes[0])
    site.new_window()
    site.send(site.nodes[0])
    site.set_clock(ahead_s)
    site.restart(site.odd)
    site.await_word("it pauses expiry by age", site.odd, "nothing expires by age, for ", "this node's clock is 17", which)
    site.check("its log says so", kit.wait_for(lambda: "nothing expires by age" in site.odd.log.read_text()))
    site.check("it says how long", kit.wait_for(lambda: site.odd.status()["store"]["age_paused_s"] >= 3), site.odd.status()["store"])
    site.exact("after its first seconds")
    site.check("the others go on", all(n.status()["store"]["age_paused_s"] == 0 for n in site.nodes[:2]))
    site.send(site.nodes[0])
    site.send(site.odd)
    site.exact("with what came meanwhile")
    site.set_clock(0)
    site.await_quiet(site.odd)
    site.check("its log says that it goes on", "windows expire by age again" in site.odd.log.read_text())
    time.sleep(2)
    site.exact("when retention has made up for it")
    site.set_clock(ahead_s)
    site.await_word("set while it runs, it pauses", site.odd, "nothing expires by age, for ", which)
    site.send(site.odd)
    site.check("windows are still those of the others", site.windows_are_right(), site.windows())
    site.exact("with what it took since")
    site.check("nothing was deleted", site.expired() == 0)
    alone(site, ahead_s)
    site.set_clock(0)
    site.start(*site.nodes[:2])
    site.await_quiet(site.odd)
    site.exact("when all are back")
    site.check("nothing was deleted, all end with 0", site.expired() == 0 and set(site.cluster.stop()) == {0})


def alone(site, ahead_s):
    """Without the others: while it runs it knows that it was wrong, and when it starts it asks first."""
    for n in site.nodes[:2]:
        n.stop()
    site.await_word("alone it knows that it was set", site.odd, "nothing expires by age, for ", "the clock was set 17",
                    "forward" if ahead_s > 0 else "back")
    site.restart(site.odd)
    site.await_word("alone from the start it waits for the others", site.odd, "the clocks of two other members were not heard of")


def bytes_go_on(folder):
    """Expiry that needs no clock; and the horizon is not ahead of the others' time."""
    site = Site(folder, "bytes")
    site.start()
    site.send(site.nodes[0])
    site.new_window()
    site.send(site.nodes[0])
    site.set_clock(2 * DAY)
    site.odd.stop()
    site.odd.start(extra=KEEP + "  bytes: 1\n")
    site.check("windows go for their bytes", kit.wait_for(lambda: site.odd.status()["store"]["expired_windows"] > 0), site.odd.status()["store"])
    site.await_word("while age waits", site.odd, "nothing expires by age, for ")
    horizon = int((site.odd.store / "horizon").read_text(encoding="ascii").split()[0])
    site.check("the horizon is not ahead", 0 < horizon <= time.time() * 1000, horizon)
    site.check("all end with 0", set(site.cluster.stop()) == {0})


def late(folder):
    """An outbox that is two days old: its windows are kept their retention from now on."""
    site = Site(folder, "late", roles=[SUB, SUB, PROXY])
    site.set_clock(-2 * DAY)
    site.start(site.odd)
    exporter = kit.Exporter(site.odd)
    site.sent |= set(exporter.send(0, 2000))
    site.check("the outbox has them", kit.wait_for(lambda: site.odd.status()["received"]["flows"] == 2000 and site.odd.has_accepted()))
    exporter.close()
    site.odd.stop()
    site.set_clock(0)
    site.start()
    site.check("they are safe", kit.wait_for(lambda: site.odd.waiting() == 0))
    site.exact("on arrival")
    site.check("two days late", site.windows()[0] < time.time() - 2 * DAY + 120, site.windows())
    site.send(site.odd)
    for n in site.nodes[:2]:
        site.restart(n)
        site.check(f"{n.name} knows the time", kit.wait_for(lambda n=n: n.status()["store"]["age_paused_s"] == 0), n.status()["store"])
    time.sleep(2)
    site.exact("when retention was run")
    site.check("nothing was deleted, all end with 0", site.expired() == 0 and set(site.cluster.stop()) == {0})


class Single(kit.Node):
    """A collector without a cluster."""

    def write_config(self, extra=""):
        self.config.write_text(f"listeners: ['tcp://{self.address}:{self.port}']\nstore: {self.store}\nwindow: {WINDOW}\n{extra}")


def single(folder):
    """It has nobody to ask, and sees that its clock is set; neither time nor a reload makes it right, a start does."""
    node = Single(kit.Cluster(folder, 1, 1, window=WINDOW), "n1", "127.0.77.1", BOTH)
    node.env = kit.other_clock(folder, 0)
    node.start(extra=KEEP)
    exporter, sent = kit.Exporter(node), set()
    for _ in range(2):
        sent |= set(exporter.send(len(sent), 1000))
        kit.wait_for(lambda: node.status()["store"]["flows"] == len(sent))
        time.sleep(WINDOW - time.time() % WINDOW + 0.1)
    sent |= set(exporter.send(len(sent), 1000))
    exporter.close()

    def problem():
        status = node.status()
        return status["store"]["clock_problem"] or "" if status else "no answer"

    kit.check("single: at first it is believed", problem() == "", problem())
    kit.set_clock(node.env, 2 * DAY)
    kit.check("single: it sees that it was set", kit.wait_for(lambda: "the clock was set 17" in problem() and "s forward" in problem()), problem())
    kit.check("single: who asks is told", "PROBLEM   nothing expires by age, for " in admin(node, "status").stdout, admin(node, "status").stdout)
    node.reload()
    kit.check("single: a reload does not make it right", kit.wait_for(lambda: "is read again" in node.log.read_text()) and
              not kit.wait_for(lambda: problem() == "", 2), problem())
    kit.check_numbers("single: nothing is deleted", [node.store], sent)
    kit.set_clock(node.env, 0)
    kit.check("single: set back, it is believed", kit.wait_for(lambda: problem() == "" and "expire by age again" in node.log.read_text()), problem())
    kit.check_numbers("single: still nothing is deleted", [node.store], sent)
    kit.set_clock(node.env, 2 * DAY)
    node.stop()
    node.start(extra=KEEP)
    kit.check("single: a start takes it as it is", kit.wait_for(lambda: node.status()["store"]["expired_windows"] > 0), node.status()["store"])
    kit.check("single: it ends with 0", node.stop() == 0, node.log.read_text())


SCENARIOS = ((proxy_off, -2 * DAY), (proxy_off, 2 * DAY), (node_off, 2 * DAY), (node_off, -2 * DAY), (bytes_go_on,), (late,), (single,))


def run(scenario, *words):
    with tempfile.TemporaryDirectory(prefix="sc-clocks.") as folder:
        scenario(folder, *words)


def main():
    """Some at a time: they wait most of it."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(run, *scenario) for scenario in SCENARIOS]:
            done.result()
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
