# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of other people's programs share: programs in the background, waiting for what they do, and one line per case.

SC_BUILD is the build directory (bin/ and tests/ in it).
"""
import contextlib
import csv
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("SC_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
PATIENCE = 30  # seconds for anything that a peer should do at once
TCP_TIME_WAIT, TCP_LISTEN = 6, 10  # in /proc/net/tcp


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def same(got, want, keys):
    for key in keys:
        check(got[key] == want[key], f"{key}: {got[key]} instead of {want[key]}")


# ---- programs ----

def program(name, folder="bin"):
    path = BUILD / folder / name
    if not path.exists():
        raise Skip(f"{name} is not built")
    return str(path)


def tool(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Skip(f"{name} is not installed")
    return path


def run(*command, timeout=PATIENCE, **options):
    """Runs to the end and gives its standard output; failing is a failure of the test."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, **options)
    check(done.returncode == 0, f"{pathlib.Path(command[0]).name} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


@contextlib.contextmanager
def started(*command, log):
    """A program in the background; ended by its own process id when it is still there."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < end, f"{what} took longer than {PATIENCE} s")
        time.sleep(0.05)


def free_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sockets_at(port, *tables):
    """(state, bytes that wait to be read) of each socket bound to the port of 127.0.0.1, or of all addresses."""
    out = []
    for table in tables:
        with open(f"/proc/net/{table}", encoding="ascii") as f:
            for line in f.readlines()[1:]:
                column = line.split()
                if column[1].endswith(f":{port:04X}"):
                    out.append((int(column[3], 16), int(column[4].split(":")[1], 16)))
    return out


def udp_is_open(port):
    return bool(sockets_at(port, "udp", "udp6"))


def wait_until_read(port):
    """Until whoever is bound to the UDP port has taken all datagrams that were sent before."""
    wait_for(lambda: all(unread == 0 for _, unread in sockets_at(port, "udp", "udp6")), "the reading of what was sent")


def wait_until_closed(port):
    """Until whoever listens at the TCP port has read every connection to its end."""
    over = (TCP_TIME_WAIT, TCP_LISTEN)
    wait_for(lambda: all(state in over for state, _ in sockets_at(port, "tcp", "tcp6")), "the end of the connections")


# ---- sc-exporter and nfcapd ----

def export(folder, *options):
    truth = folder / "truth.json"
    run(program("sc-exporter"), *options, "--truth", str(truth))
    return json.loads(truth.read_text())


def nfdump_totals(path):
    """Totals that nfcapd counted, the records that nfdump shows, the earliest start in ms."""
    stats = {}
    for line in run(tool("nfdump"), "-r", path, "-I").splitlines():
        name, _, value = line.partition(":")
        stats[name.strip()] = value.strip()
    text = run(tool("nfdump"), "-r", path, "-q", "-o", "csv")
    rows = [r for r in csv.reader(text.splitlines()) if len(r) > 20 and r[0][:1].isdigit()]
    starts = run(tool("nfdump"), "-r", path, "-q", "-o", "fmt:%tsr").split()
    return stats, rows, min(int(t.replace(".", "")) for t in starts)


# ---- the cases ----

def main(cases):
    """Runs cases, pairs of a name and a function of a folder, or those whose names hold an argument; the exit status."""
    counts = {"ok": 0, "not ok": 0, "skip": 0}
    for name, case in cases:
        if len(sys.argv) > 1 and not any(part in name for part in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(pathlib.Path(folder))
                result, reason = "ok", ""
            except Skip as why:
                result, reason = "skip", f" {why}"
            except (Failure, subprocess.TimeoutExpired, KeyError, ValueError, OSError) as why:
                result, reason = "not ok", f" {type(why).__name__}: {why}"
        counts[result] += 1
        print(f"{result} {name}{reason}", flush=True)
    if counts["not ok"]:
        return 1
    return 0 if counts["ok"] else 77
