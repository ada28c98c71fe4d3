#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=600 beside=any
"""A cluster returns to full strength by itself: whatever a member lacks it pulls from those who hold it, until any one store may be
lost again. Sums are the same at every moment."""
import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import cluster_kit as kit
from ssh_kit import Stub

WINDOW = 5


def healing(node):
    status = node.status()
    return status["cluster"]["healing"] if status else None


def problems(node):
    status = node.status()
    return status["cluster"]["problems"] if status else None


def whole(node, since):
    """Nothing lacks, as a look that began after `since` (wall clock) shows."""
    h = healing(node)
    return h and h["whole_at"] and kit.parse_time(h["whole_at"]) > since and not h["lacking_batches"]


class Case:
    """A cluster with flows in it, some windows of them."""

    def __init__(self, folder, name, count=3, replication=2, **options):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.name = name
        self.failed = kit.FAILED
        self.cluster = kit.Cluster(self.folder, count, replication, window=WINDOW, **options)
        self.sent = set()
        self.exporters = {}

    def start(self):
        self.cluster.start()
        return self

    def node(self, number):
        return self.cluster.nodes[number]

    def send(self, node, count):
        exporter = self.exporters.get(node.name)
        if exporter is None or node.child.pid != exporter[0]:
            exporter = self.exporters[node.name] = (node.child.pid, kit.Exporter(node))
        first = max(self.sent, default=-1) + 1
        self.sent |= set(exporter[1].send(first, count))

    def send_for(self, seconds, nodes, each=500):
        """Small pieces, so that there are batches of all nodes in all windows."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for node in nodes:
                self.send(node, each)
            time.sleep(0.3)

    def stores(self):
        return [n.store for n in self.cluster.nodes if "subcollector" in n.roles and n.store.exists()]

    def exact(self, what, stores=None):
        """All flows are there, each once."""
        return kit.check_numbers(f"heal: {self.name}: {what}", stores or self.stores(), self.sent)

    def settled(self):
        """All is accepted, and its windows are over."""
        kit.wait_for(self.cluster.has_accepted, 30)
        kit.wait_for(lambda: all(n.waiting() == 0 for n in self.cluster.proxies() if n.child.poll() is None), 30)

    def heals(self, nodes=None, seconds=90):
        """All become whole, while sums stay the same."""
        nodes = nodes or [n for n in self.cluster.nodes if "subcollector" in n.roles and n.child.poll() is None]
        began, end, good = time.time(), time.monotonic() + seconds, True
        while time.monotonic() < end:
            if all(whole(n, began + WINDOW + 6) for n in nodes):
                break
            got, status = kit.numbers(self.stores())
            good = good and status == 0 and set(got) == self.sent and max(got.values()) == 1
            time.sleep(1)
        kit.check(f"heal: {self.name}: all are whole", all(whole(n, began) for n in nodes), json.dumps([healing(n) for n in nodes], indent=1))
        kit.check(f"heal: {self.name}: sums were the same at every moment", good)

    def any_may_be_lost(self, lost=1):
        """Whichever stores are taken away."""
        stores = self.stores()
        for left in itertools.combinations(stores, len(stores) - lost):
            got, status = kit.numbers(left)
            if status == 0 and set(got) == self.sent and max(got.values()) == 1:
                continue
            kit.check(f"heal: {self.name}: any {lost} may be lost", False,
                      f"left {[s.name for s in left]}: exit {status}, {len(got)} of {len(self.sent)}\n{kit.query(left, '-I').stderr[-1500:]}")
            return
        kit.check(f"heal: {self.name}: any {lost} may be lost", True)

    def stop(self):
        self.cluster.stop()
        if kit.FAILED != self.failed:
            print(self.cluster.logs()[-6000:])


def away(folder):
    """All but one are gone for some windows, and come back."""
    c = Case(folder, "away").start()
    c.send_for(2, c.cluster.nodes)
    c.settled()
    others = c.cluster.nodes[1:]
    for n in others:
        n.kill()
    c.send_for(2 * WINDOW, [c.node(0)])
    c.settled()
    got, status = kit.numbers([n.store for n in others])
    kit.check("heal: away: the others lack what came meanwhile", 0 < len(set(c.sent) - set(got)) < len(c.sent),
              f"exit {status}, {len(got)} of {len(c.sent)}")
    for n in others:
        n.start()
    c.send_for(2, c.cluster.nodes)
    c.settled()
    c.heals()
    c.exact("all stores")
    c.any_may_be_lost()
    h = [healing(n) for n in c.cluster.nodes]
    kit.check("heal: away: something was pulled", sum(x["pulled_batches"] for x in h) > 0, h)
    kit.check("heal: away: no problem is left", all(problems(n) == [] for n in c.cluster.nodes), [problems(n) for n in c.cluster.nodes])
    c.stop()


def wiped(folder):
    """The disk of a member is replaced while it is away: what was told of the windows comes back, too."""
    c = Case(folder, "wiped").start()
    c.send_for(2 * WINDOW, c.cluster.nodes)
    c.settled()
    c.node(1).stop()
    shutil.rmtree(c.node(1).store)
    c.exact("without the store")
    c.node(1).start()
    c.heals()
    c.any_may_be_lost()
    kit.check("heal: wiped: its tallies are those of the others", kit.wait_for(lambda: c.cluster.has_told(len(c.sent)), 30),
              [kit.told_safe(s) for s in c.stores()])
    streams = [sorted(p.name for p in (s / ".streams").iterdir()) for s in c.stores()]
    kit.check("heal: wiped: it knows the streams of the others", kit.wait_for(lambda: streams[0] == streams[1] == streams[2]), streams)
    c.stop()


def replaced_alone(folder):
    """What a replaced disk got back is named where it is not whole: a store by itself is honest about what it was never given."""
    c = Case(folder, "honest").start()
    c.send_for(WINDOW, c.cluster.nodes)
    c.settled()
    c.node(1).stop()
    shutil.rmtree(c.node(1).store)
    c.node(1).start()
    c.heals()
    got, status = kit.numbers([c.node(1).store])
    kit.check("heal: honest: a store of three with two copies alone is partial, and says so", status == 3 and set(got) < c.sent,
              f"exit {status}, {len(got)} of {len(c.sent)}")
    c.stop()


def admin(*words):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)


def sealed(store):
    return sorted(p for p in store.rglob("*.scs"))


def repaired(folder):
    """A bit flips in a file: repair takes the row group away, and others give it again."""
    c = Case(folder, "repaired").start()
    c.send_for(2 * WINDOW, c.cluster.nodes)
    c.settled()
    node = c.node(0)
    kit.wait_for(lambda: sealed(node.store) and not list(node.store.rglob("*.sclive")))
    for path in sealed(node.store):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content)
    kit.check("heal: repaired: verify finds the damage", admin("verify", node.store).returncode == 3)
    done = admin("repair", node.store)
    kit.check("heal: repaired: repair says what is left to be done", done.returncode == 3 and "has a copy less now" in done.stdout, done)
    done = admin("repair", "--cluster", node.store)
    kit.check("heal: repaired: repair --cluster waits for what others give", done.returncode == 0 and "everything that ought to be here is" in done.stdout,
              done)
    done = admin("heal", node.store)
    kit.check("heal: repaired: heal has nothing to do", done.returncode == 0 and done.stdout.startswith("0 batches"), done)
    done = admin("heal", "--dry-run", node.store)
    kit.check("heal: repaired: nothing lacks", done.returncode == 0 and "nothing lacked at" in done.stdout, done)
    c.exact("all stores")
    c.any_may_be_lost()
    c.node(1).stop()
    done = admin("heal", node.store)
    kit.check("heal: repaired: who is away is named", done.returncode == 3 and "n2" in done.stdout, done)
    node.stop()
    done = admin("heal", node.store)
    kit.check("heal: repaired: nobody heals without a collector", done.returncode == 1 and "no collector" in done.stderr, done)
    c.stop()


def expired(folder):
    """A member has deleted more than its retention says, as by a clock that jumped: it comes back, and so does the horizon."""
    c = Case(folder, "expired").start()
    c.send_for(2 * WINDOW, c.cluster.nodes)
    c.settled()
    node = c.node(2)
    kit.wait_for(lambda: sealed(node.store) and not list(node.store.rglob("*.sclive")))
    windows = len({p.name[:16] for p in sealed(node.store)})
    done = admin("expire", "--bytes", "1", node.store)
    left = len({p.name[:16] for p in sealed(node.store)})
    kit.check("heal: expired: windows are deleted", done.returncode == 0 and left < windows, done)
    horizon = node.store / "horizon"
    before = int(horizon.read_text().split()[0])
    c.heals()
    c.exact("all stores")
    c.any_may_be_lost()
    kit.check("heal: expired: the horizon goes back", kit.wait_for(lambda: int(horizon.read_text().split()[0]) < before, 30), horizon.read_text())
    kit.check("heal: expired: all tallies are here", kit.wait_for(lambda: c.cluster.has_told(len(c.sent)), 30), [kit.told_safe(s) for s in c.stores()])
    c.stop()


def change_members(c):
    """Another membership file for all that run."""
    c.version = getattr(c, "version", 1) + 1
    c.cluster.write_members(c.version, c.cluster.nodes)
    reread_members(c)


def drain(c, stub, wanted, *words):
    """The membership file changed by sc-admin, and not when it ends with another status. What it says."""
    before = c.cluster.file.read_text()
    done = admin("drain", f"--cluster={c.cluster.file}", "--ssh", f"{stub.link} -v", "-c", c.cluster.nodes[0].config, *words)
    changed = c.cluster.file.read_text() != before
    kit.check(f"heal: {c.name}: sc-admin drain {' '.join(words)}: {wanted}", done.returncode == wanted and changed == (wanted == 0), done)
    if changed:
        c.version = getattr(c, "version", 1) + 1
        reread_members(c)
    return done.stdout + done.stderr


def reread_members(c):
    for n in c.cluster.nodes:
        if n.child and n.child.poll() is None:
            n.reload()
    kit.check(f"heal: {c.name}: version {c.version} is in use", kit.wait_for(
        lambda: all((n.status() or {"cluster": {"version": 0}})["cluster"]["version"] == c.version
                    for n in c.cluster.nodes if n.child and n.child.poll() is None)))


def leaving(stub, node):
    """Whether the status of the cluster says that it may go, and why."""
    status, _ = stub.json()
    one = next(n for n in status["nodes"] if n["name"] == node.name)
    return one["may_go"], one["leaving"]


def leaves(folder):
    """A member drains, and is gone for good: those that stay have all of it twice. Then one comes."""
    c = Case(folder, "leaves", count=4).start()
    stub = Stub(c.cluster)
    c.send_for(2 * WINDOW, c.cluster.nodes)
    c.settled()
    odd = c.node(1)
    drain(c, stub, 3, "--gone", odd.name)
    odd.state = "draining"
    drain(c, stub, 0, odd.name)
    c.send_for(2, c.cluster.nodes)
    c.settled()
    kit.check("heal: leaves: who does not leave is not told to", leaving(stub, c.node(2)) == (False, None), leaving(stub, c.node(2)))
    kit.check("heal: leaves: in the end it may go", kit.wait_for(lambda: leaving(stub, odd)[0], 90), leaving(stub, odd))
    stub.mark("down", c.node(3))
    kit.check("heal: leaves: not while one is silent", leaving(stub, odd)[0] is False and c.node(3).name in leaving(stub, odd)[1], leaving(stub, odd))
    said = drain(c, stub, 3, "--gone", odd.name)
    kit.check("heal: leaves: it is said why it may not be gone", f"{odd.name} may not go yet" in said and "--force" in said, said)
    stub.mark("down", c.node(3), False)
    kit.check("heal: leaves: it is said in the text", f"MAY GO    {odd.name}: all that it holds is with others" in stub.status().stdout, stub.status())
    status = odd.status()["cluster"]
    kit.check("heal: leaves: who drains is told so", {m["name"]: m["state"] for m in status["members"]}["n2"] == "draining", status["members"])
    other = c.folder / "other.yaml"
    shutil.copyfile(c.cluster.file, other)
    done = [admin("drain", "-c", odd.config, f"--cluster={other}", *words, odd.name).returncode for words in (["--gone", "--force"], ["--undo"], [], ["--undo", "--force"], [])]
    kit.check("heal: leaves: by force it is gone, and it may stay after all", done == [0, 2, 2, 0, 0] and
              other.read_text() == c.cluster.file.read_text().replace("version: 2", "version: 5"), f"{done} {other.read_text()}")
    c.cluster.nodes.remove(odd)
    drain(c, stub, 0, "--gone", odd.name)
    odd.state = "gone"
    odd.stop()
    shutil.rmtree(odd.store)
    c.exact("without it")
    c.any_may_be_lost()
    c.cluster.nodes.insert(1, odd)
    kit.check("heal: leaves: its line stays", leaving(stub, odd)[0] is False and "has windows of it" in leaving(stub, odd)[1], leaving(stub, odd))
    c.cluster.nodes.remove(odd)
    c.send_for(2, c.cluster.nodes)
    c.settled()
    c.heals()
    c.any_may_be_lost()
    new = c.cluster.make_node(5, ["proxy", "subcollector"])
    c.cluster.nodes.append(new)
    c.cluster.nodes.insert(1, odd)
    c.version += 1
    c.cluster.write_members(c.version, c.cluster.nodes)
    c.cluster.nodes.remove(odd)
    new.start()
    for n in c.cluster.nodes[:-1]:
        n.reload()
    c.send_for(2, c.cluster.nodes)
    c.settled()
    c.heals()
    c.any_may_be_lost()
    c.stop()
    (c.folder / f"{new.address}.yaml").symlink_to(new.config)
    for n in c.cluster.nodes:
        admin("expire", "--bytes", "1", n.store)
    kit.check("heal: leaves: when all is expired its line may go", leaving(stub, odd) == (True, "nobody has windows of it: its line may go"), leaving(stub, odd))


def copies(folder):
    """One copy becomes two, and three; then the ring is turned round."""
    c = Case(folder, "copies", replication=1).start()
    c.send_for(2 * WINDOW, c.cluster.nodes)
    c.settled()
    for replication in (2, 3):
        c.cluster.replication = replication
        change_members(c)
        c.heals()
        c.any_may_be_lost(replication - 1)
    c.cluster.replication = 2
    c.cluster.nodes.reverse()
    change_members(c)
    c.send_for(WINDOW, c.cluster.nodes)
    c.settled()
    c.heals()
    c.any_may_be_lost()
    c.stop()


def formats_of(nodes):
    """Of the sealed files that nodes hold."""
    return {path.read_bytes()[8] for n in nodes for path in sealed(n.store)}


def formats(folder):
    """The format of the files changes while members are full: one is told before the others, a disk is replaced, all is lent and read."""
    c = Case(folder, "formats").start()
    c.send_for(2 * WINDOW, c.cluster.nodes)
    c.settled()
    kit.wait_for(lambda: all(sealed(n.store) for n in c.cluster.nodes))
    kit.check("heal: formats: nobody writes what was not asked for", formats_of(c.cluster.nodes) == {1}, formats_of(c.cluster.nodes))
    c.cluster.format = 2
    c.cluster.write_members(2, c.cluster.nodes)
    first, other = c.cluster.nodes[:2]
    first.reload()
    kit.wait_for(lambda: first.status()["cluster"]["version"] == 2)
    c.send_for(WINDOW, c.cluster.nodes)
    c.settled()
    kit.check("heal: formats: who was told writes the new one", kit.wait_for(lambda: 2 in formats_of([first]) and formats_of(c.cluster.nodes[1:]) == {1}),
              [formats_of([n]) for n in c.cluster.nodes])
    other.stop()
    shutil.rmtree(other.store)
    c.cluster.format = None
    c.cluster.write_members(1, c.cluster.nodes)
    other.start()
    c.heals()
    c.any_may_be_lost()
    c.cluster.format, c.version = 2, 2
    c.cluster.write_members(2, c.cluster.nodes)
    reread_members(c)
    c.send_for(WINDOW, c.cluster.nodes)
    c.settled()
    c.heals()
    c.exact("all stores")
    c.any_may_be_lost()
    kit.check("heal: formats: in the end all do", kit.wait_for(lambda: all(2 in formats_of([n]) for n in c.cluster.nodes)),
              [formats_of([n]) for n in c.cluster.nodes])
    c.stop()


def main():
    only = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for case in (away, wiped, replaced_alone, repaired, expired, leaves, copies, formats):
            if not only or case.__name__ in only:
                case(folder)
    raise SystemExit(kit.FAILED != 0)


if __name__ == "__main__":
    main()
