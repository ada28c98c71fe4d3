#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=600 rounds=1
"""A cluster is upgraded node by node under load, from the version that landed before to this one, and back: every flow is there once
in any mixture, and both versions' programs read all that either has written.

SC_BEFORE names a build of the earlier version; without it one of the revision LANDED is made, in the suite long only."""
import os
import pathlib
import subprocess
import tempfile
import threading
import time

import cluster_kit as kit

LANDED = "f136149"
PROGRAMS = ("sc-collector", "sc-query", "sc-admin")


def build_before(folder):
    if "SC_BEFORE" in os.environ:
        return pathlib.Path(os.environ["SC_BEFORE"])
    if "SC_LONG" not in os.environ:
        print(f"skip upgrade: no build of {LANDED}: set SC_BEFORE, or make test-long")
        raise SystemExit(77)
    source, build = folder / "source", folder / "build"
    source.mkdir()
    top = pathlib.Path(__file__).resolve().parents[2]
    archive = subprocess.run(["git", "-C", top, "archive", LANDED], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
    subprocess.run(["cmake", "-S", source, "-B", build, "-DSC_TESTS=OFF"], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["cmake", "--build", build, "-j2", "--target", *PROGRAMS], stdout=subprocess.DEVNULL, check=True)
    return build


class Load:
    """One exporter for each node: it sends numbered flows while its node runs, and stops in good order before it ends."""

    def __init__(self, nodes):
        self.lock, self.numbers, self.sent = threading.Lock(), 0, set()
        self.over = False
        self.pause = {n.name: threading.Event() for n in nodes}
        self.rests = {n.name: threading.Event() for n in nodes}
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in nodes]
        for t in self.threads:
            t.start()

    def run(self, node):
        exporter, here = None, 0
        while not self.over:
            if self.pause[node.name].is_set():
                if exporter is not None:
                    exporter.close()
                exporter = None
                self.rests[node.name].set()
                time.sleep(0.05)
                continue
            self.rests[node.name].clear()
            if exporter is None:
                exporter, here = kit.Exporter(node, domain=int(node.name[1:])), 0
            with self.lock:
                first, self.numbers = self.numbers, self.numbers + 400
            exporter.send(first, 400)
            with self.lock:
                self.sent |= set(range(first, first + 400))
            here += 400
            time.sleep(0.1)
        kit.wait_for(lambda: node.decoded(exporter.socket.getsockname()[1]) >= here, 30)

    def restart(self, node, build):
        """With another program, in good order."""
        self.pause[node.name].set()
        self.rests[node.name].wait()
        kit.wait_for(node.has_accepted, 30)
        node.stop()
        node.build = build
        node.start()
        self.pause[node.name].clear()

    def end(self):
        self.over = True
        for t in self.threads:
            t.join()


def numbers_by(build, stores):
    done = subprocess.run([str(build / "bin" / "sc-query"), "--output-format=csv", "--output-fields=flowId", *map(str, stores)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = [int(line) for line in done.stdout.splitlines()[1:]]
    return found, done


def exact(name, cluster, load, builds):
    kit.wait_for(cluster.has_accepted, 30)
    kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.nodes), 60)
    for build in builds:
        found, done = numbers_by(build, [n.store for n in cluster.nodes])
        kit.check(name, sorted(found) == sorted(load.sent) and done.returncode == 0,
                  f"{build}: exit {done.returncode}, {len(found)} of {len(load.sent)}, {len(found) - len(set(found))} double\n{done.stderr[-800:]}")


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        before = build_before(folder)
        kit.Node.build = before
        cluster = kit.Cluster(folder, 3, 2, window=10).start()
        load = Load(cluster.nodes)
        time.sleep(8)
        for build, name in ((kit.BUILD, "upgraded"), (before, "taken back"), (kit.BUILD, "upgraded again")):
            for node in cluster.nodes:
                load.restart(node, build)
                time.sleep(4)
                usable = kit.wait_for(lambda: all(n.usable() == ["n1", "n2", "n3"] for n in cluster.nodes), 30)
                kit.check(f"upgrade: {node.name} {name}: all use all", usable, [n.usable() for n in cluster.nodes])
        load.end()
        exact("upgrade: every flow once, by either program", cluster, load, (kit.BUILD, before))
        since = time.time() + cluster.window + 6
        whole = kit.wait_for(lambda: all((h := n.status()["cluster"]["healing"])["whole_at"] and kit.parse_time(h["whole_at"]) > since
                                         for n in cluster.nodes), 90)
        kit.check("upgrade: all are whole", whole, [n.status()["cluster"]["healing"] for n in cluster.nodes])
        for one in cluster.nodes:
            found, done = numbers_by(kit.BUILD, [n.store for n in cluster.nodes if n is not one])
            kit.check(f"upgrade: {one.name} may be lost", sorted(found) == sorted(load.sent) and done.returncode == 0, done.stderr[-800:])
        exact("upgrade: every flow once after healing, by either program", cluster, load, (kit.BUILD, before))
        cluster.stop()
        if kit.FAILED:
            print(cluster.logs()[-8000:])
    raise SystemExit(kit.FAILED != 0)


if __name__ == "__main__":
    main()
