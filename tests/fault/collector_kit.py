# SPDX-License-Identifier: BSD-3-Clause
"""Starts a collector on loopback, sends it NetFlow v5 records that are all different, and asks the store for them."""
import csv
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import time

BUILD = pathlib.Path(os.environ.get("SC_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
RECORDS = 30  # in a datagram
failures = []


def check(name, good, detail=""):
    print(("ok " if good else "not ok ") + name + (f" # {detail}" if detail and not good else ""), flush=True)
    if not good:
        failures.append(name)
    return good


def finish():
    sys.exit(1 if failures else 0)


def program(name):
    return str(BUILD / "bin" / name)


class Collector:
    def __init__(self, store, log, *options, wrap=()):
        self.store = store
        self.log = pathlib.Path(log)
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [*wrap, program("sc-collector"), "--listen", "udp://127.0.0.1:0", "--store", str(store), *options],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=out)
        self.port = self.wait_for_port()

    def wait_for_port(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            match = re.search(r"listening udp 127\.0\.0\.1:(\d+)\n", self.log.read_text())
            if match:
                return int(match[1])
            time.sleep(0.02)
        self.kill()
        raise RuntimeError("the collector does not listen: " + self.log.read_text())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks it to end; the exit status."""
        self.process.terminate()
        return self.process.wait(60)


class Sender:
    """Sends records numbered from `first`; the number is the source address, and once more in the ports."""

    def __init__(self, first=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.next = first
        self.sent = []  # (time, first number after the datagram)
        self.sequence = 0

    def datagram(self):
        now = time.time()
        head = struct.pack("!HHIIIIBBH", 5, RECORDS, 100000, int(now), 0, self.sequence, 0, 0, 0)
        body = []
        for number in range(self.next, self.next + RECORDS):
            body.append(struct.pack("!IIIHHIIIIHHBBBBHHBBH", number, 0x0A000001, 0, 1, 2, 1, 100, 90000, 95000,
                                    number >> 16 & 0xFFFF, number & 0xFFFF, 0, 0x10, 6, 0, 0, 0, 24, 24, 0))
        self.next += RECORDS
        self.sequence += RECORDS
        return head + b"".join(body)

    def send(self, port, seconds, rate):
        """`rate` records a second, evenly."""
        begin = time.monotonic()
        datagrams = 0
        while (elapsed := time.monotonic() - begin) < seconds:
            while datagrams * RECORDS < elapsed * rate:
                self.socket.sendto(self.datagram(), ("127.0.0.1", port))
                self.sent.append((time.monotonic(), self.next))
                datagrams += 1
            time.sleep(0.002)

    def sent_until(self, moment):
        """Numbers below this were sent before the moment (of the monotonic clock)."""
        safe = 0
        for when, after in self.sent:
            if when > moment:
                break
            safe = after
        return safe


def stored_numbers(store):
    """How often each number is in the store, and the exit status of the query."""
    run = subprocess.run([program("sc-query"), "-l", "0", "--output-format=csv", "--output-items=r",
                          "--output-fields=srcip,srcport,dstport", "--progress-bar-type=none", str(store)],
                         capture_output=True, text=True, check=False)
    counts = {}
    for row in csv.DictReader(run.stdout.splitlines()):
        octets = [int(x) for x in row["srcip"].split(".")]
        number = octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3]
        if number != int(row["srcport"]) << 16 | int(row["dstport"]):
            raise ValueError(f"a record that was never sent: {row}")
        counts[number] = counts.get(number, 0) + 1
    return counts, run.returncode


def status(store):
    import json
    run = subprocess.run([program("sc-admin"), "status", "--json", str(store)], capture_output=True, text=True,
                         check=False)
    return json.loads(run.stdout) if run.returncode == 0 else None


def fill(path):
    """Takes all the space there is."""
    with open(path, "wb", buffering=0) as ballast:
        size = 1 << 20
        while size > 0:
            try:
                ballast.write(b"\0" * size)
            except OSError:
                size //= 2
