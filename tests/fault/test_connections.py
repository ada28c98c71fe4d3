#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=180 beside=quiet
"""Connections that say nothing take nothing from others: not the store's descriptors, not the places of other exporters, not the
answer to a ping; and the log stays short."""
import json
import pathlib
import re
import resource
import socket
import struct
import subprocess
import tempfile
import time

import collector_kit as kit

DESCRIPTORS = 1024  # of the collector; usual, and less than the connections
MANY = 1040
WINDOW_S = 5  # files have to be made while all of them are open
RATE, SECONDS = 20000, 3 * WINDOW_S
LOG_BYTES = 8000


def control(store, words=b""):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(2)
    try:
        client.connect(str(store / "control.sock"))
        client.sendall(words)
    except OSError:
        pass  # nobody takes it: the checks will tell
    return client


def ping(store):
    """As a check of keepalived does."""
    done = subprocess.run([kit.program("sc-admin"), "ping", "--timeout", "5s", str(store)], capture_output=True, text=True, check=False)
    return done.returncode == 0 or done.stdout + done.stderr


def tcp_port(collector):
    return int(re.search(r"listening tcp 127\.0\.0\.1:(\d+)\n", collector.log.read_text())[1])


def connect(port, source):
    made = socket.socket()
    made.settimeout(5)
    made.bind((source, 0))
    try:
        made.connect(("127.0.0.1", port))
    except OSError:
        pass
    return made


def ipfix(sets, sequence):
    return struct.pack("!HHIII", 10, 16 + len(sets), int(time.time()), sequence, 1) + sets


def message(number):
    """A template and a record of it."""
    template = struct.pack("!HHHH8H", 2, 24, 300, 4, 8, 4, 12, 4, 7, 2, 11, 2)
    return ipfix(template + struct.pack("!HHIIHH", 300, 16, number, 0x0A000001, number >> 16, number & 0xFFFF), 0)


def is_closed(connection):
    try:
        connection.setblocking(False)
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def start(folder):
    wrap = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh"]
    collector = kit.Collector(folder / "store", folder / "log", "--listen", "tcp://127.0.0.1:0", "--window", str(WINDOW_S), wrap=wrap)
    deadline = time.monotonic() + 20
    while "listening tcp" not in collector.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    return collector


def finish(name, collector, numbers, lost):
    kit.check(f"{name}: it ends with 0", collector.stop() == 0, collector.log.read_text()[-2000:])
    counts, status = kit.stored_numbers(collector.store)
    missing = len(set(numbers) - set(counts))
    kit.check(f"{name}: every flow is stored once, but for what the kernel dropped",
              status == 0 and missing <= lost and set(counts.values()) == {1}, f"exit {status}, {missing} of {len(numbers)} missing")
    size = collector.log.stat().st_size
    kit.check(f"{name}: the log stays short", size < LOG_BYTES, f"{size} bytes: {collector.log.read_text()[:2000]}")


def many(name, folder, sources):
    """Connections from `sources` that say nothing, beside an exporter over UDP and others over TCP."""
    collector = start(folder)
    port = tcp_port(collector)
    idle = [connect(port, sources[i % len(sources)]) for i in range(MANY)]
    clients = [control(collector.store) for _ in range(40)]
    answer = ping(collector.store)
    kit.check(f"{name}: a ping is answered", answer is True, answer)
    sender = kit.Sender()
    sender.send(collector.port, SECONDS, RATE)
    honest = [connect(port, f"127.0.0.{9 + i}") for i in range(3)]
    first = 1 << 30
    for i, one in enumerate(honest):
        one.sendall(message(first + i))
    answer = ping(collector.store)
    kit.check(f"{name}: and later", answer is True, answer)
    wanted = [*range(sender.next), *range(first, first + 3)]
    status, lost, deadline = None, 0, time.monotonic() + 60
    while time.monotonic() < deadline:
        status = kit.status(collector.store)
        lost = status["listeners"][0]["kernel_drops"] + status["listeners"][1].get("kernel_drops", 0) if status else 0
        if status and status["received"]["flows"] >= len(wanted) - lost * kit.RECORDS:
            break
        time.sleep(0.2)
    kit.check(f"{name}: other exporters over TCP are taken", not any(map(is_closed, honest)), json.dumps(status and status["listeners"]))
    kit.check(f"{name}: nothing is dropped", status and status["received"]["dropped_full"] == 0, status and status["received"])
    tcp = next(l for l in status["listeners"] if l["listener"].startswith("tcp")) if status else {}
    kit.check(f"{name}: they have their places and no more", status and "tcp" in status and
              status["tcp"]["open"] <= status["tcp"]["limit"] < DESCRIPTORS - 100 and tcp["refused"] + tcp["displaced"] > 0, tcp)
    if tcp.get("refused"):
        kit.check(f"{name}: the log names who was refused", f"of {sources[0]} is refused" in collector.log.read_text(),
                  collector.log.read_text()[:2000])
    for one in [*idle, *clients, *honest]:
        one.close()
    finish(name, collector, wanted, lost * kit.RECORDS)


def status_unread(folder):
    """Clients that ask for the status and never read it."""
    collector = start(folder)
    clients = [control(collector.store, b"status\n") for _ in range(100)]
    answer = ping(collector.store)
    kit.check("unread status: a ping is answered", answer is True, answer)
    kit.check("unread status: and so is a status", kit.status(collector.store) is not None)
    for one in clients:
        one.close()
    kit.check("unread status: it ends with 0", collector.stop() == 0, collector.log.read_text()[-2000:])


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    if min(hard, 4096) < MANY + 200:
        print("skip connections: not enough descriptors for the test itself")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, sources) in enumerate([("one host", ["127.0.0.2"]), ("many hosts", [f"127.0.1.{i}" for i in range(1, 251)])]):
            place = pathlib.Path(folder) / str(number)
            place.mkdir()
            many(name, place, sources)
        status_unread(pathlib.Path(folder))
    return 1 if kit.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
