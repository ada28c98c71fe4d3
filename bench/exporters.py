#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What many exporters cost: memory, CPU for each flow, size and time of the status.

    bench/exporters.py [--build DIR] [--exporters N] [--templates N] [--rounds N] [--compare DIR]

Starts a collector on loopback, sends from N addresses of 127/8 first templates (20 fields each), then in each round one datagram
of 20 flows from every exporter, and prints a line for the collector with 10 exporters and with N: the CPU for each flow and its
ratio is what counts. --compare: another build's programs in the same run.
"""
import argparse
import json
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import time

FIELDS = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (5, 1), (1, 4), (2, 4), (10, 4), (14, 4), (16, 4), (17, 4), (9, 1),
          (13, 1), (15, 4), (152, 8), (153, 8), (61, 1), (136, 1)]
RECORD = sum(length for _, length in FIELDS)
FLOWS = 20  # in a datagram


def ipfix(number, body, sequence):
    return struct.pack("!HHIIIHH", 10, 20 + len(body), int(time.time()), sequence, 1, number, 4 + len(body)) + body


def templates(count, i):
    records = b""
    for k in range(count):
        fields = FIELDS[(i + k) % 20:] + FIELDS[:(i + k) % 20]
        records += struct.pack("!HH", 256 + k, len(fields)) + b"".join(struct.pack("!HH", *f) for f in fields)
    return ipfix(2, records, 0)


def address(i):
    return f"127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}"


class Collector:
    def __init__(self, build, folder):
        self.store = pathlib.Path(folder) / "store"
        self.admin = str(build / "bin" / "sc-admin")
        self.log = pathlib.Path(folder) / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([str(build / "bin" / "sc-collector"), "--listen", "udp://127.0.0.1:0", "--store",
                                             str(self.store)], stderr=log)
        while "listening" not in self.log.read_text():
            time.sleep(0.05)
        self.port = int(self.log.read_text().split("127.0.0.1:")[1].split()[0])

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def status(self):
        begin = time.monotonic()
        text = subprocess.run([self.admin, "status", "--json", str(self.store)], capture_output=True, check=True).stdout
        return json.loads(text), len(text), time.monotonic() - begin

    def wait(self, messages):
        while self.status()[0]["received"]["messages"] < messages - sum(
                v.get("kernel_drops", 0) for v in self.status()[0]["listeners"]):
            time.sleep(0.2)


def measure(build, exporters, template_count, rounds):
    with tempfile.TemporaryDirectory() as folder:
        collector = Collector(build, folder)
        empty = collector.resident()
        sent = 0
        body = bytes(RECORD * FLOWS)

        def send(i, message):
            nonlocal sent
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((address(i), 9999))
            s.sendto(message, ("127.0.0.1", collector.port))
            s.close()
            sent += 1
            if sent % 500 == 0:
                time.sleep(0.01)

        for i in range(exporters):
            send(i, templates(template_count, i))
        collector.wait(sent)
        before, held = collector.cpu(), collector.resident()
        datagrams = max(exporters * rounds, 50000)
        for k in range(datagrams):
            send(k % exporters, ipfix(256, body, k // exporters * FLOWS))
        collector.wait(sent)
        time.sleep(3)
        cpu = collector.cpu() - before
        state, size, seconds = collector.status()
        flows = state["received"]["flows"]
        collector.process.terminate()
        collector.process.wait()
        return {"exporters": exporters, "flows": flows, "of": datagrams * FLOWS, "ns": cpu / max(flows, 1) * 1e9,
                "bytes": (held - empty) / exporters, "memory": held - empty, "status_bytes": size, "status_s": seconds}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--compare", type=pathlib.Path)
    parser.add_argument("--exporters", type=int, default=100000)
    parser.add_argument("--templates", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    for build in [args.build] + ([args.compare] if args.compare else []):
        few = measure(build, 10, args.templates, args.rounds)
        many = measure(build, args.exporters, args.templates, args.rounds)
        for row in (few, many):
            print(f"{row['exporters']:7} exporters: {row['flows']} of {row['of']} flows, {row['ns']:.0f} ns CPU a flow, "
                  f"{row['memory'] / 2**20:.0f} MiB ({row['bytes']:.0f} bytes an exporter), status {row['status_bytes']} bytes in "
                  f"{row['status_s']:.2f} s")
        print(f"CPU of a flow, {args.exporters} exporters against 10: {many['ns'] / few['ns']:.2f}")


if __name__ == "__main__":
    main()
