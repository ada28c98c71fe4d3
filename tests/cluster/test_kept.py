#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=180 beside=any
"""One node's retention never hides another's loss: a window of a lane is excused when all who should hold it have expired it, and not
before; who is away counts by the last horizon that was heard of it."""
import json
import re
import subprocess
import tempfile
import time

import cluster_kit as kit
from ssh_kit import ADMIN, Stub

WINDOW = 5


def admin(*arguments):
    return subprocess.run([str(ADMIN), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def ask(nodes):
    """Exit status, the sentences on what is missing, what is kept since when."""
    done = kit.query([n.store for n in nodes], "--output-format=json", "--output-items=p")
    answer = json.loads(done.stdout)
    return done.returncode, sorted(answer["missing"]), answer.get("kept_since")


def records(sentences):
    return sum(int(n) for line in sentences for n in re.findall(r"are missing, with (\d+) records", line))


def known_horizon(at, of):
    """What a store knows of a member."""
    file = at.store / "horizons"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((int(line.split()[2]) for line in lines if line.startswith("member ") and line.split()[3] == of.name), None)


def by_hand(node):
    """Its retention keeps no more either, or healing would bring it back."""
    node.write_config(extra="retention:\n  bytes: 1\n")
    node.reload()
    done = admin("expire", "-c", node.config)
    kit.check(f"{node.name}: expired by hand", done.returncode == 0 and not done.stdout.startswith("0 windows"), done)


def by_retention(node):
    node.stop()
    node.start(extra="retention:\n  bytes: 1\n")
    kit.check(f"{node.name}: expired by its retention", kit.wait_for(lambda: '"expired_windows": 0' not in json.dumps(node.status()["store"])),
              node.status()["store"])


class Lab:
    def __init__(self, folder):
        roles = [["proxy", "subcollector"], ["subcollector"], ["subcollector"], ["subcollector"]]
        self.cluster = kit.Cluster(folder, 4, 2, roles=roles, window=WINDOW).start()
        self.stub = Stub(self.cluster)
        self.exporter, self.sent, self.proxy = kit.Exporter(self.cluster.nodes[0]), 0, self.cluster.nodes[0]

    def send(self):
        """Some batches for every lane."""
        for _ in range(12):
            self.exporter.send(self.sent, 300)
            self.sent += 300
            kit.wait_for(lambda: self.proxy.status()["cluster"]["proxy"]["records"] == self.sent)
        kit.wait_for(lambda: self.proxy.status()["received"]["flows"] == self.sent)
        kit.wait_for(lambda: self.proxy.has_accepted() and self.proxy.waiting() == 0)

    def windows(self):
        done = admin("status", "--cluster", "--json", "--windows", "100", "--ssh", self.stub.link, "-c", self.proxy.config)
        status = json.loads(done.stdout)
        return {w["window"]: w for w in status["windows"]}, status.get("kept_since"), done.returncode

    def text(self):
        return admin("status", "--cluster", "--ssh", self.stub.link, "-c", self.proxy.config).stdout


def next_window():
    time.sleep(WINDOW - time.time() % WINDOW + 0.1)


def run(how, expire, folder):
    lab = Lab(folder)
    a, b, c, d = lab.cluster.nodes
    lab.send()
    next_window()
    lab.send()
    kit.wait_for(lambda: lab.cluster.has_told(lab.sent))
    old, _, _ = lab.windows()
    c.kill()
    kit.wait_for(lambda: c.name not in lab.proxy.usable())
    next_window()
    lab.send()
    kit.wait_for(lambda: lab.cluster.has_told(lab.sent, [n.store for n in (a, b, d)]))
    kit.check(f"{how}: before, three nodes hold all", ask([a, b, d])[:2] == (0, []), ask([a, b, d]))
    without = ask([a, d])
    kit.check(f"{how}: before, two of them do not", without[0] == 3 and records(without[1]) > 0, without)

    expire(b)
    wanted = kit.wait_for(lambda: known_horizon(a, b) and known_horizon(d, b))
    kit.check(f"{how}: the others know how far it expired", wanted and known_horizon(a, c) == known_horizon(d, c) == 0,
              [known_horizon(x, y) for x in (a, d) for y in (b, c)])
    gap = ask([a, d])
    kit.check(f"{how}: two name the same gap as before", gap == without, (without, gap))
    kit.check(f"{how}: so do three, with the one that expired its copies", ask([a, b, d]) == gap, (gap, ask([a, b, d])))
    kit.check(f"{how}: it alone lacks more, and says so", records(ask([b])[1]) > records(gap[1]), (gap, ask([b])))
    lab.stub.mark("down", c)
    windows, since, status = lab.windows()
    missing = sum(w["missing"] for w in windows.values())
    kit.check(f"{how}: the status keeps all windows, and counts what is missing", set(old) <= set(windows) and missing > 0 and
              status == 3 and since is None, (old.keys(), windows, since))

    lab.stub.mark("down", c, False)
    c.start()
    kit.check(f"{how}: nothing is missing when the last copy is back", kit.wait_for(lambda: ask([a, b, c, d])[:2] == (0, [])),
              ask([a, b, c, d]))
    kit.wait_for(lambda: len(lab.proxy.usable()) == 4)
    lab.send()
    kit.wait_for(lambda: lab.cluster.has_told(lab.sent, [a.store]))
    expire(c)
    horizon = kit.wait_for(lambda: known_horizon(a, c) and known_horizon(d, c))
    all_four = ask([a, b, c, d])
    kit.check(f"{how}: what all expired who should hold it is excused, and it is said since when all is kept",
              horizon and all_four[0] == 0 and all_four[2] is not None, all_four)
    c.kill()
    lab.stub.mark("down", c)
    kit.check(f"{how}: also by the last word of one that is away again", ask([a, b, d]) == all_four, (all_four, ask([a, b, d])))
    windows, since, _ = lab.windows()
    kit.check(f"{how}: the status says it too", since == all_four[2] and "kept since " in lab.text() and
              sum(w["missing"] for w in windows.values()) == 0, (windows, since, lab.text()))
    told = kit.query([n.store for n in (a, b, d)], "--output-items=p", "--output-format=pretty").stdout
    kit.check(f"{how}: and a summary", f"kept since {all_four[2]}" in told, told)
    lab.cluster.stop()


def main():
    for how, expire in (("expire", by_hand), ("retention", by_retention)):
        with tempfile.TemporaryDirectory(prefix="sc-kept-") as folder:
            run(how, expire, folder)
    raise SystemExit(kit.FAILED != 0)


if __name__ == "__main__":
    main()
