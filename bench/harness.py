# SPDX-License-Identifier: BSD-3-Clause
"""Whole processes, timed in alternation, and the comparison of their answers."""
import csv
import dataclasses
import ipaddress
import json
import os
import pathlib
import platform
import re
import subprocess
import time


@dataclasses.dataclass
class Run:
    wall: float  # seconds
    cpu: float   # user + system, seconds
    rss: int     # KiB; never below what this interpreter itself has, about 15 MiB
    status: int


@dataclasses.dataclass
class Side:
    command: list

    def measure(self, stdout=subprocess.DEVNULL):
        begin = time.perf_counter()
        child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"bench: exit {child.returncode}: {' '.join(self.command)}")
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, child.returncode)

    def answer(self):
        done = subprocess.run(self.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: exit {done.returncode}: {' '.join(self.command)}\n{done.stderr}")
        return done.stdout

    def count_lines(self):
        """Lines of the answer, without holding it."""
        with subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
            count = 0
            while block := child.stdout.read(1 << 20):
                count += block.count(b"\n")
        return count


def in_turn(sides, times):
    """The runs of each side, in turn: A B C A B C ...; each once before, unmeasured, so that all find their files in memory."""
    for side in sides:
        side.measure()
    return list(zip(*([side.measure() for side in sides] for _ in range(times))))


def forget(folders):
    """Of what lies in folders nothing is in the page cache afterwards."""
    os.sync()
    for path in (p for folder in folders for p in pathlib.Path(folder).rglob("*") if p.is_file()):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def in_turn_cold(sides, folders, times):
    """The same; each run finds its files on the disk."""
    def once(side):
        forget(folders)
        return side.measure()
    return list(zip(*([once(side) for side in sides] for _ in range(times))))


def alternate(first, second, pairs):
    return list(zip(*in_turn([first, second], pairs)))


def machine():
    """What it is made of."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{model[1].strip() if model else platform.machine()}, {memory:.0f} GiB"


def cpus():
    return len(os.sched_getaffinity(0))


def folder_bytes(path):
    """Bytes of the data files: those that end in .tmp, locks and sockets are none."""
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file() and not p.name.endswith((".tmp", ".lock")))


# ---- do both sides say the same? ----

def differ(name, nf, sc):
    raise SystemExit(f"bench: {name}: the answers differ\n  nfdump:   {nf}\n  sc-query: {sc}")


def nfdump_total(text):
    found = re.search(r"total flows: (\d+)", text)
    return int(found[1]) if found else None


def same_count(name, nf, sc):
    theirs = nfdump_total(nf.answer())
    ours = json.loads(sc.answer())["summary"]["flows"]
    if theirs != ours:
        differ(name, theirs, ours)


def nfdump_top(text):
    """(value, flows, bytes) of the lines of nfdump -N -s X -o csv. The names of its columns differ from run to run."""
    rows = [line.split(",") for line in text.splitlines()]
    return [(normal(row[4]), int(row[5]), int(row[9])) for row in rows if len(row) == 14 and row[5].isdigit()]


def normal(value):
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value


def same_top(name, nf, sc):
    theirs = nfdump_top(nf.answer())
    rows = list(csv.DictReader(sc.answer().splitlines()))
    ours = [(normal(next(iter(row.values()))), int(row["flows"]), int(row["bytes"])) for row in rows]
    # Equal sort values may stand in any order, and the last one may differ.
    if len(theirs) < 5 or sorted(theirs)[:-1] != sorted(ours)[:-1]:
        differ(name, theirs, ours)


def same_groups(name, nf, sc):
    """All groups; names of protocols are numbers."""
    numbers = {"TCP": "6", "UDP": "17", "ICMP": "1", "ICMP6": "58", "GRE": "47", "ESP": "50"}
    theirs = sorted((numbers.get(value, value), flows, octets) for value, flows, octets in nfdump_top(nf.answer()))
    ours = sorted((next(iter(row.values())), int(row["flows"]), int(row["bytes"])) for row in csv.DictReader(sc.answer().splitlines()))
    if not ours or theirs != ours:
        differ(name, theirs, ours)


def same_ports(name, nf, sc):
    """As same_top; ICMP's type and code are a destination port for exporters and for us, port 0 for nfdump."""
    theirs = {row[0]: row[1:] for row in nfdump_top(nf.answer()) if row[0] != "0"}
    rows = csv.DictReader(sc.answer().splitlines())
    ours = {row["dstport"]: (int(row["flows"]), int(row["bytes"])) for row in rows}
    common = theirs.keys() & ours.keys()
    if len(common) < 7 or any(theirs[port] != ours[port] for port in common):
        differ(name, theirs, ours)


def same_sums(name, nf, sc):
    """The bytes of the top groups."""
    theirs = [int(line) for line in nf.answer().splitlines() if line.strip().isdigit()]
    ours = [int(row["bytes"]) for row in csv.DictReader(sc.answer().splitlines())]
    if not theirs or theirs != ours:
        differ(name, theirs, ours)


def same_lines(name, nf, sc):
    theirs, ours = nf.count_lines(), sc.count_lines()
    if abs(theirs - ours) > 5:  # heads and feet
        differ(name, f"{theirs} lines", f"{ours} lines")
