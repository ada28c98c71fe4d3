#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""The exit statuses of the programs are those of their manual pages: a table, and each status that a page has is in it."""
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ["SC_BUILD"])
MAN = pathlib.Path(__file__).resolve().parents[2] / "man"
FAILED = 0

# {s}: a store with flows, {d}: one with a damaged segment, {e}: a folder to make things in, {n}: an empty one, {x}: what is not there, {b}: a file with an error
# in it, {m}: a membership file of nodes that are not there, {f}: flows in a file, {t}: no flows, {l}: {f} and what is no message.
TABLE = {
    "sc-collector": [
        (0, "--version"), (0, "--check-config -c {c}"), (0, "--read {f} --store {e}/0"),
        (1, "--read {x} --store {e}/1"), (1, "--read {t} --store {e}/2"), (1, "--listen udp://192.0.2.1:5 --store {e}/3"),
        (1, "--listen udp://127.0.0.1:0 --store /proc/none"), (1, "--read {f} --store /proc/none"),
        (2, "--none"), (2, "word"), (2, "-c {x}"), (2, "-c {b}"), (2, "--check-config -c {b}"), (2, "--window 77"), (2, "--read {f} -c {b}"),
        (2, "--listen udp://127.0.0.1:0 --store {long}"), (2, "--read {f} --store {long}"), (2, "--listen none"),
        (3, "--read {l} --store {e}/4")],
    "sc-admin": [
        (0, "--version"), (0, "verify {s}"), (0, "repair {s}"), (0, "expire --age 1d {n}"), (0, "accept-loss --all {s}"),
        (0, "certs --cluster={m} {e}/tls"),
        (1, "status {s}"), (1, "ping {s}"), (1, "status {x}"), (1, "verify {x}"), (1, "repair {x}"), (1, "expire --age 1d {x}"),
        (1, "status --cluster={m} --ssh false"), (1, "certs --cluster={m} /proc/none"),
        (2, ""), (2, "word"), (2, "--none"), (2, "status -c {b}"), (2, "status -c {x}"), (2, "status --cluster={x}"),
        (2, "status --cluster={b}"), (2, "certs --cluster={x} {e}/c"), (2, "certs --cluster={b} {e}/c"), (2, "expire --age none {s}"),
        (2, "ping --timeout 0 {s}"), (2, "accept-loss {s}"), (2, "accept-loss --all"), (2, "verify"),
        (3, "verify {d}")],
    "sc-query": [
        (0, "{s}"), (0, "{n}"), (0, "-f 'port 1' {s}"), (1, "{x}"), (1, "--cluster={m} --ssh false -s srcip"),
        (2, "--none"), (2, "-f none {s}"), (2, "-T none {s}"), (2, "-s none {s}"), (2, "-l x {s}"), (2, "--cluster={x} -s srcip"),
        (2, "--cluster={b} -s srcip"), (3, "{s} {x}"), (3, "{d}")],
    "sc-exporter": [
        (0, "--generate --flows 5 --write {e}/1.ipfix"), (1, "--generate --flows 5 --write {x}/1.ipfix"),
        (1, "--generate --flows 5 --to tcp://127.0.0.1:1"), (1, "--read {x} --to udp://127.0.0.1:9"),
        (1, "--store {x} --to udp://127.0.0.1:9"),
        (2, ""), (2, "--none"), (2, "--generate --to none"), (2, "--generate --protocol v4 --to udp://127.0.0.1:9"),
        (2, "--store {s} -f none --to udp://127.0.0.1:9")],
}


def check(name, good, detail=""):
    global FAILED
    FAILED += not good
    print(("ok " if good else "not ok ") + name + (f" # {detail}" if detail and not good else ""), flush=True)


def run(program, words):
    return subprocess.run([str(BUILD / "bin" / program), *shlex.split(words)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=100, env={k: v for k, v in os.environ.items() if k != "SC_SSH"})


def documented(program):
    """The statuses of the page's section EXIT STATUS."""
    page = (MAN / f"{program}.1").read_text(encoding="utf-8")
    section = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.Sh ", page, re.M | re.S)[1]
    return {int(n) for n in re.findall(r"^\.It (\d+)$", section, re.M)}


def damage(store):
    """One byte in the middle of a segment."""
    path = next(p for p in store.rglob("*") if p.is_file() and p.stat().st_size > 1000)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 4] ^= 0x55
    path.write_bytes(whole)


def make(folder):
    """What the table's words stand for."""
    names = {k: folder / k for k in "sdemxbcftn"}
    names["f"], names["t"], names["l"] = folder / "f.ipfix", folder / "t", folder / "l.ipfix"
    names["long"] = "/tmp/" + "/".join(["x" * 100] * 35)
    names["e"].mkdir()
    names["n"].mkdir()
    names["b"].write_text("none: 1\n")
    names["c"].write_text("window: 60\n")
    names["t"].write_text("no flows\n")
    names["m"].write_text("version: 1\nreplication: 1\nmembers:\n  - {name: n1, address: '192.0.2.1:4800', roles: [subcollector]}\n")
    run("sc-exporter", f"--generate --flows 2000 --write {names['f']}")
    names["l"].write_bytes(names["f"].read_bytes() + b"\0\x0a\0\x18" + bytes(12) + b"\xff\xff\0\x04" + bytes(4))
    for store in "sd":
        run("sc-collector", f"--read {names['f']} --store {names[store]}")
    damage(names["d"])
    return names


def daemon(folder):
    """The daemon is ended by a signal; a second one on its store cannot run, and says why."""
    words = [str(BUILD / "bin" / "sc-collector"), "--listen", "udp://127.0.0.1:0", "--store", str(folder / "daemon")]
    log = folder / "daemon.log"
    for number, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")):
        with open(log, "wb") as out:
            first = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=out)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and " begins: a single node, store " not in log.read_text():
            time.sleep(0.02)
        second = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
        check(f"a second daemon: 1, beside the first ({name})", second.returncode == 1 and
              "another collector is writing to the store" in second.stderr, second)
        first.send_signal(number)
        check(f"ended by {name}: 0", first.wait(60) == 0, log.read_text())
        check(f"the log's last line says so ({name})", re.search(rf"ends, by {name}: 0 flows and 0 options records were stored, "
              "0 records were lost here\n$", log.read_text()) is not None, log.read_text())


def main():
    with tempfile.TemporaryDirectory(prefix="sc-exit.") as name:
        folder = pathlib.Path(name)
        names = make(folder)
        for program, cases in TABLE.items():
            check(f"{program}: the table has what the page has", {code for code, _ in cases} == documented(program), documented(program))
            for code, words in cases:
                done = run(program, words.format(**names))
                check(f"{program} {words}: {code}", done.returncode == code, f"{done.returncode}: {done.stderr[-600:]}")
        daemon(folder)
    return 1 if FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
