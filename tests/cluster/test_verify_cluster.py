#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=300 beside=any
"""sc-admin verify --cluster: whether every batch that ought to be there is whole at every member that is to hold it, and who lacks
what; while flows come, with a damaged copy, with two, with a disk that was wiped, and with a member that does not answer."""
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import cluster_kit as kit
from ssh_kit import ADMIN, Sshd, Stub, has_sshd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))
import segment as segments  # noqa: E402  (beside the other tests of the format)

WINDOW = 5


def admin(*arguments, **how):
    return subprocess.run([str(ADMIN), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **how)


def flip(path, role, groups=None):
    """A bit in a chunk of that role in each row group, or in the first ones. The spans that are in them."""
    spans, content = [], bytearray(path.read_bytes())
    for group in segments.read_segment(segments.Libraries(), path).groups[:groups]:
        entry = next(e for e in group.entries if e.role == role and e.length)
        content[group.offset + entry.offset + entry.length // 2] ^= 0x10
        spans += group.spans
    path.write_bytes(content)
    return spans


def own(store):
    """Files of its own lane, in which all is with another one too."""
    return [p for p in sealed(store) if ".replica" not in p.parts]


def sealed(store):
    return sorted(store.rglob("*.scs"))


class Lab:
    def __init__(self, folder):
        self.cluster = kit.Cluster(folder, 3, 2, window=WINDOW).start()
        self.stub, self.nodes = Stub(self.cluster), self.cluster.nodes
        self.sent = 0

    def send(self, windows):
        """Through all proxies, so that each lane has batches, until so many windows more are sealed everywhere."""
        exporters = [kit.Exporter(n) for n in self.nodes]
        before = [len({p.name[:16] for p in sealed(n.store)}) for n in self.nodes]

        def enough():
            for e in exporters:
                self.sent += len(e.send(self.sent, 500))
            return all(len({p.name[:16] for p in sealed(n.store)}) >= b + windows for n, b in zip(self.nodes, before))
        kit.check("windows are sealed", kit.wait_for(enough, 60))
        for e in exporters:
            e.close()
        kit.wait_for(lambda: self.cluster.has_accepted() and all(n.waiting() == 0 for n in self.nodes), 30)

    def verify(self, *options):
        return admin("verify", "--cluster", "--ssh", self.stub.link, "-c", self.nodes[0].config, *options)

    def look(self):
        """What it says in JSON, and its end."""
        done = self.verify("--json")
        return (json.loads(done.stdout) if done.stdout else None), done

    def is_whole(self, name, seconds=60):
        """After a while: what was sent last is to be judged, and what lacks pulled."""
        done = []

        def judged():
            done[:] = [self.verify()]
            return done[0].returncode == 0
        return kit.check(name, kit.wait_for(judged, seconds), done[-1])

    def over(self):
        """All that was sent is in windows that are judged."""
        last = max(int_time(p) for n in self.nodes for p in sealed(n.store)) + WINDOW
        return kit.wait_for(lambda: kit.parse_time(self.look()[0]["over_by"]) > last, 60)


def int_time(path):
    return kit.parse_time(re.sub(r"(....)(..)(..)T(..)(..)(..)Z.*", r"\1-\2-\3T\4:\5:\6+00:00", path.name))


def node_of(found, name):
    return next(n for n in found["nodes"] if n["name"] == name)


def undisturbed(lab):
    """Flows come, and windows are sealed, while all is read."""
    lab.send(2)
    stop = threading.Event()
    exporter = kit.Exporter(lab.nodes[1])

    def flows():
        while not stop.wait(0.05):
            lab.sent += len(exporter.send(lab.sent, 100))
    thread = threading.Thread(target=flows)
    thread.start()
    begin, ends = len(sealed(lab.nodes[0].store)), []

    def some_are_sealed():
        ends.append(lab.verify())
        return len(sealed(lab.nodes[0].store)) > begin + 2 or ends[-1].returncode != 0
    good = kit.wait_for(some_are_sealed, 60)
    stop.set()
    thread.join()
    exporter.close()
    kit.check("undisturbed: whole each time, while flows come", good and all(d.returncode == 0 for d in ends), ends[-1])
    found, done = lab.look()
    kit.check("undisturbed: nothing is found", done.returncode == 0 and found["well"] and found["all_answered"] and not found["lacks"] and
              not found["missing"] and [n["state"] for n in found["nodes"]] == ["whole"] * 3, done)
    kit.check("undisturbed: all is read", all(n["records"] > 0 and n["files"] >= 2 for n in found["nodes"]), done)
    kit.check("undisturbed: it says so", "\nwhole: windows that were over by " in lab.verify().stdout)


def damaged(lab):
    """One bit of one copy."""
    lab.over()
    path = own(lab.nodes[0].store)[0]
    spans = flip(path, segments.COLUMN, 1)
    found, done = lab.look()
    n1, lacks = node_of(found, "n1"), found["lacks"]
    kit.check("damaged: the member and the file are named", done.returncode == 3 and n1["state"] == "DAMAGED" and
              [f["path"] for f in n1["findings"]] == [str(path)] and n1["damaged_files"] == 1, done)
    kit.check("damaged: what has one copy is told, and nothing is missing", len(lacks) == 1 and lacks[0]["node"] == lacks[0]["lane"] == "n1" and
              lacks[0]["damaged"] == n1["damaged_batches"] == len(spans) and lacks[0]["lacking"] == 0 and lacks[0]["copies_left"] == 1 and not found["missing"], done)
    kit.check("damaged: of the window of the file", kit.parse_time(lacks[0]["window"]) == int_time(path), (path, lacks))
    kit.check("damaged: the others are whole", [node_of(found, n)["state"] for n in ("n2", "n3")] == ["whole"] * 2, done)
    done = lab.verify()
    kit.check("damaged: in words, with what to do", done.returncode == 3 and f"n1: {path}" in done.stdout and "1 whole copy is left elsewhere" in
              done.stdout and f"on n1: sc-admin repair --cluster {lab.nodes[0].store}" in done.stdout and "NOT WHOLE" in done.stdout, done)
    done = admin("repair", lab.nodes[0].store)
    kit.check("damaged: repaired", done.returncode == 3 and "has a copy less now" in done.stdout, done)
    done = admin("repair", "--cluster", lab.nodes[0].store)
    kit.check("damaged: and pulled", done.returncode == 0, done)
    lab.is_whole("damaged: whole again")


def filtered(lab):
    """A filter is no row: the file is damaged, and its batches have their copies."""
    path = own(lab.nodes[0].store)[-1]
    flip(path, segments.BLOOM)
    found, done = lab.look()
    kit.check("filter: the file is named, and nothing lacks", done.returncode == 3 and node_of(found, "n1")["state"] == "DAMAGED" and
              [f["path"] for f in node_of(found, "n1")["findings"]] == [str(path)] and not found["lacks"] and not found["missing"], done)
    done = admin("repair", "--cluster", lab.nodes[0].store)
    kit.check("filter: repaired", done.returncode == 0 and "0 row groups lost" in done.stdout and lab.verify().returncode == 0, done)


def wiped(lab):
    lab.over()
    n3 = lab.nodes[2]
    held = node_of(lab.look()[0], "n3")
    kit.check("wiped: it held something", held["records"] > 0)
    n3.stop()
    shutil.rmtree(n3.store)
    found, done = lab.look()
    n3_now = node_of(found, "n3")
    kit.check("wiped: a store that is not there is named", done.returncode == 3 and n3_now["findings"] ==
              [{"path": str(n3.store), "text": "the store is not there"}], done)
    kit.check("wiped: all that lacks is of it", {x["node"] for x in found["lacks"]} == {"n3"} and {x["lane"] for x in found["lacks"]} == {"n2", "n3"} and
              all(x["copies_left"] == 1 and x["damaged"] == 0 for x in found["lacks"]), done)
    kit.check("wiped: nothing is missing", not found["missing"], done)
    n3.start()
    lab.is_whole("wiped: whole again, once it is healed", 120)


def expired(lab):
    """What a member deleted it lacks as long as its retention would keep it, as healing sees it."""
    lab.over()
    n3 = lab.nodes[2]
    n3.stop()
    done = admin("expire", "--bytes", "1", n3.store)
    kit.check("expired: windows are deleted", done.returncode == 0 and "0 windows" not in done.stdout, done)
    found, done = lab.look()
    kit.check("expired: it is to have them", done.returncode == 3 and {x["node"] for x in found["lacks"]} == {"n3"} and
              found["missing"] == [] and node_of(found, "n3")["findings"] == [], done)
    n3.write_config("retention: {bytes: 1}\n")
    found, done = lab.look()
    kit.check("expired: by its bytes it need not", done.returncode == 0 and found["lacks"] == [], done)
    n3.write_config("retention: {bytes: 1G}\n")
    found, done = lab.look()
    kit.check("expired: by so many bytes it is to have them", done.returncode == 3 and {x["node"] for x in found["lacks"]} == {"n3"}, done)
    n3.start()
    lab.is_whole("expired: whole again, once it is healed", 120)


def unread(lab):
    """A tally of one member that makes no sense: what to do is said."""
    lab.over()
    n3 = lab.nodes[2]
    n3.stop()
    tally = sorted(n3.store.rglob("*.tally"))[0]
    content = tally.read_bytes()
    tally.write_bytes(b"nothing that was ever written\n")
    found, done = lab.look()
    kit.check("unread: it is counted", done.returncode == 3 and node_of(found, "n3")["unreadable"] == 1, done)
    done = lab.verify()
    kit.check("unread: in words, with what to do", done.returncode == 3 and "UNREAD    n3 cannot read 1 of its tallies" in done.stdout and
              "on n3: mend what it cannot read" in done.stdout, done)
    tally.write_bytes(content)
    n3.start()
    lab.is_whole("unread: whole again")


def wrong_clock(lab):
    """A member whose clock is wrong is named, and nothing is called whole by it."""
    lab.stub.mark("clock", lab.nodes[2])
    found, done = lab.look()
    n3 = node_of(found, "n3")
    kit.check("clock: it is a problem", done.returncode == 3 and not found["well"] and n3["state"] == "SILENT" and n3["problem"].startswith("its clock is "), done)
    done = lab.verify()
    kit.check("clock: in words", done.returncode == 3 and "SILENT    n3 does not answer: its clock is " in done.stdout and "NOT WHOLE" in done.stdout, done)
    lab.stub.mark("clock", lab.nodes[2], False)


def silent(lab):
    n3 = lab.nodes[2]
    lab.stub.mark("down", n3)
    done = lab.verify()
    kit.check("silent: at least, and who", done.returncode == 3 and "n3 does not answer: ssh: connect to host" in done.stdout and
              "at least" in done.stdout and "again" in done.stdout, done)
    found, done = lab.look()
    kit.check("silent: whoever does not answer is not said to lack something", done.returncode == 3 and not found["well"] and
              not found["all_answered"] and not found["lacks"] and node_of(found, "n3")["state"] == "SILENT", done)
    lab.stub.mark("down", n3, False)
    lab.stub.mark("talk", n3)
    found, done = lab.look()
    kit.check("silent: nor who talks of something else", done.returncode == 3 and node_of(found, "n3")["state"] == "SILENT", done)
    lab.stub.mark("talk", n3, False)
    lab.stub.mark("hang", n3)
    done = lab.verify("--timeout", "3s")
    kit.check("silent: nor who says nothing", done.returncode == 3 and "n3 does not answer: no answer within 3 s" in done.stdout, done)
    lab.stub.mark("hang", n3, False)
    elsewhere = lab.cluster.folder / "elsewhere.yaml"
    elsewhere.write_text(f"store: {lab.cluster.folder}/nothing\n")
    outside = ["verify", f"--cluster={lab.cluster.file}", "-c", elsewhere, "--ssh", lab.stub.link]
    for n in lab.nodes:
        lab.stub.mark("down", n)
    done = admin(*outside)
    kit.check("silent: nobody answers", done.returncode == 1, done)
    for n in lab.nodes:
        lab.stub.mark("down", n, False)
    done = admin(*outside)
    kit.check("silent: from a machine that is no member", done.returncode == 0, done)


def by_ssh(lab):
    """By a key that can do nothing else."""
    if not has_sshd():
        return
    sshd = Sshd(lab.cluster, "verify --member")
    try:
        kit.wait_for(lambda: "listening" in (sshd.folder / "log").read_text())
        done = admin("verify", "--cluster", lab.cluster.file, "-c", lab.cluster.folder / "elsewhere.yaml", "--ssh", f"ssh -F {sshd.client}")
        kit.check("ssh: through sshd as well", done.returncode == 0, (done, (sshd.folder / "log").read_text()))
    finally:
        sshd.stop()


def read_all(terminal):
    """What was written to its other end, which is closed."""
    said = b""
    try:
        while block := os.read(terminal, 65536):
            said += block
    except OSError:  # EIO: there is no more
        pass
    os.close(terminal)
    return said.decode()


def shown(lab):
    """On a terminal, who still reads, and how far it is."""
    lab.stub.mark("hang", lab.nodes[2])
    parent, child = pty.openpty()
    command = [str(ADMIN), "verify", "--cluster", "--ssh", str(lab.stub.link), "-c", str(lab.nodes[0].config), "--timeout", "4s"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=child, text=True, check=False)
    os.close(child)
    said = read_all(parent)
    lab.stub.mark("hang", lab.nodes[2], False)
    kit.check("shown: who reads still", "reading: n3 0 %" in said and said.endswith("\r\x1b[K") and "reading" not in done.stdout, (said, done))


def usage(lab):
    config = lab.nodes[0].config
    for words in ([], ["--member", "--cluster"], ["--member", "--json"], ["--json", lab.nodes[0].store], ["--timeout", "1s", lab.nodes[0].store],
                  [f"--cluster={lab.cluster.file}", lab.nodes[0].store], ["--member", lab.nodes[0].store], ["--cluster", "--windows", "3"],
                  ["--cluster", "--dry-run"], ["--cluster", "--timeout", "8d"], ["-c", config, lab.nodes[0].store],
                  ["--cluster=/nonexistent/cluster.yaml"]):
        done = admin("verify", *words)
        kit.check(f"usage: {' '.join(map(str, words))[:40]}", done.returncode == 2 and done.stderr.startswith("sc-admin: "), done)
    done = admin("verify", "--cluster", lab.cluster.file, "-c", config, "--ssh", lab.stub.link)
    kit.check("usage: the membership file behind --cluster", done.returncode == 0, done)
    done = subprocess.run([str(ADMIN), "verify", "--member", "-c", str(config)], input="[]", capture_output=True, text=True, check=False)
    kit.check("usage: a member that is asked nonsense says so", done.returncode == 0 and "makes no sense" in json.loads(done.stdout)["problem"],
              done)
    done = subprocess.run([str(ADMIN), "verify", "--member", "-c", str(config)], input="{}", capture_output=True, text=True, check=False)
    kit.check("usage: it shows how far it is", done.stdout.startswith("\n" * 100 + "{"), done.stdout[:200])


def records_of(lines):
    return sum(int(n) for line in lines for n in re.findall(r"are missing, with (\d+) records", line))


def lost(lab):
    """Both copies of a window of a lane: then somebody says that it is gone for good."""
    lab.over()
    stores = [n.store for n in lab.nodes]
    path = own(stores[0])[1]
    copies = [p for p in sealed(stores[1] / ".replica" / "n1") if p.name[:16] == path.name[:16]]
    missing = sum(span.rows for span in flip(path, segments.COLUMN))
    kit.check("lost: a window has two copies", [sum(span.rows for span in flip(p, segments.COLUMN)) for p in copies] == [missing], copies)
    found, done = lab.look()
    kit.check("lost: what nobody has whole is missing, to the record", done.returncode == 3 and records_of(found["missing"]) == missing > 0,
              (missing, done))
    kit.check("lost: at both members, with no copy left", {x["node"] for x in found["lacks"] if x["copies_left"] == 0} == {"n1", "n2"}, done)
    kit.check("lost: both files are named", {f["path"] for n in found["nodes"] for f in n["findings"]} == {str(p) for p in [path, *copies]}, done)
    done = lab.verify()
    kit.check("lost: in words", done.returncode == 3 and "MISSING   window " in done.stdout and "accept-loss --cluster" in done.stdout, done)
    for store in stores[:2]:
        admin("repair", "--cluster", store)
    found, done = lab.look()
    kit.check("lost: repaired, it is missing still", done.returncode == 3 and records_of(found["missing"]) == missing and
              all(n["state"] == "whole" for n in found["nodes"]), done)
    done = admin("accept-loss", "--all", "--cluster", "--ssh", lab.stub.link, "-c", lab.nodes[0].config)
    kit.check("lost: accepted", done.returncode == 0 and "recorded as lost" in done.stdout, done)
    found, done = lab.look()
    kit.check("lost: it is no fault any more, and told", done.returncode == 0 and found["well"] and found["known_lost"]["records"] == missing, done)


def main():
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(pathlib.Path(folder))
        for scenario in (undisturbed, usage, shown, damaged, filtered, unread, wrong_clock, silent, by_ssh, expired, wiped, lost):
            scenario(lab)
        lab.cluster.stop()
        if kit.FAILED:
            print(lab.cluster.logs()[-4000:])
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
