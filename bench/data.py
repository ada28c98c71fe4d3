# SPDX-License-Identifier: BSD-3-Clause
"""The data of the bench: captures of generated flows, and what each side stored of them."""
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import harness

NFCAPD_RATE = 60_000  # flows/s at which nfcapd loses nothing
WINDOW_S = 300
START = "2026-01-05T08:00:00Z"  # export time of the first generated flow


def QUERY_SET(bench):
    return dict(flows=bench.scaled(10_000_000), options=["--protocol", "v9", "--hosts", "3000000", "--ipv6", "19"], seed=7,
                windows=4)  # 1000 s of the export clock


def GROWTH_SET(bench):
    """Ten times as many, in as many windows as it takes, of another seed."""
    return {**QUERY_SET(bench), "flows": bench.scaled(100_000_000), "seed": 11}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- collectors as processes ----

@dataclasses.dataclass
class Received:
    flows: int
    cpu: float
    rate: float  # flows/s that the sender really reached


class Process:
    """A collector on a free port, stopped by SIGTERM."""

    def __init__(self, command, ready):
        self.log = []
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)
        seen = threading.Event()
        threading.Thread(target=self.drain, args=(ready, seen), daemon=True).start()
        if not seen.wait(10):
            self.child.kill()
            raise SystemExit(f"bench: not ready: {' '.join(command)}\n{''.join(self.log)}")

    def drain(self, ready, seen):
        for line in self.child.stdout:
            self.log.append(line)
            if ready in line:
                seen.set()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime


class Nfcapd:
    name = "nfcapd"

    def __init__(self, bench, folder, window_s=WINDOW_S):
        del bench
        folder.mkdir(parents=True)
        self.folder, self.port = folder, free_port()
        self.process = Process(["nfcapd", "-y", "-b", "127.0.0.1", "-p", str(self.port), "-w", str(folder), "-t",
                                str(window_s), "-B", str(4 << 20)], "Startup")

    def stop(self):
        return self.process.stop()

    def count(self):
        out = harness.Side(["nfdump", "-R", str(self.folder), "-o", "null"]).answer()
        return harness.nfdump_total(out) or 0


class Collector:
    name = "sc-collector"

    def __init__(self, bench, folder, window_s=WINDOW_S):
        self.bench, self.folder, self.port = bench, folder, free_port()
        self.process = Process([bench.program("sc-collector"), "--store", str(folder), "--window", str(window_s),
                                "--listen", f"udp://127.0.0.1:{self.port}"], "listening")

    def stop(self):
        return self.process.stop()

    def count(self):
        return count_store(self.bench, self.folder)


def count_store(bench, store):
    text = harness.Side([bench.program("sc-query"), "--output-items=p", "--output-format=json", str(store)]).answer()
    return json.loads(text)["summary"]["flows"]


def send(bench, port, rate, *arguments):
    """Runs the exporter to its end and returns the seconds it took."""
    begin = time.perf_counter()
    done = subprocess.run([bench.program("sc-exporter"), *arguments, "--rate", str(rate), "--to",
                           f"udp://127.0.0.1:{port}"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: sc-exporter: exit {done.returncode}: {done.stderr}")
    return time.perf_counter() - begin


def receive(bench, kind, capture, flows, rate):
    """One run of a collector against the replay of a capture."""
    folder = bench.folder / f"ingest.{kind.name}"
    shutil.rmtree(folder, ignore_errors=True)
    collector = kind(bench, folder)
    seconds = send(bench, collector.port, rate, "--read", str(capture))
    time.sleep(1.5)
    cpu = collector.stop()
    out = Received(collector.count(), cpu, flows / seconds)
    shutil.rmtree(folder, ignore_errors=True)
    print(f"   {kind.name}: {rate} flows/s asked, {out.rate:.0f} sent, {flows - out.flows} flows lost", flush=True)
    return out


def lossless_rate(bench, kind, capture, flows):
    """The greatest rate at which nothing was lost, by growth and bisection; what the sender reached counts."""
    def reached(rate):
        run = receive(bench, kind, capture, flows, rate)
        return run.rate if run.flows == flows else None

    low, high, best = 0, 200_000, 0
    while (rate := reached(high)) is not None:
        best, low = max(best, rate), high
        if rate < 0.85 * high:
            return best  # the sender is at its end
        high = int(high * 1.5)
    for _ in range(3):
        middle = (low + high) // 2
        if (rate := reached(middle)) is None:
            high = middle
        else:
            low, best = middle, max(best, rate)
    return best


# ---- captures ----

def payloads(path):
    """The UDP payloads of a capture as sc-exporter writes it: IPv4 packets, no link layer or Ethernet."""
    with open(path, "rb") as file:
        link = struct.unpack("<IHHiIII", file.read(24))[6]
        skip = {1: 14, 12: 0, 14: 0, 101: 0, 228: 0}[link] + 28
        while head := file.read(16):
            packet = file.read(struct.unpack("<IIII", head)[2])
            yield packet[skip:]


def replay(path, port, flows, flows_a_second):
    """Sends the payloads at a steady pace, a few at a time."""
    messages = sum(1 for _ in payloads(path))
    messages_a_second = flows_a_second * messages / flows
    begin = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        for number, payload in enumerate(payloads(path)):
            if number % 8 == 0:
                time.sleep(max(0.0, begin + number / messages_a_second - time.perf_counter()))
            out.send(payload)


class DataSet:
    """Generated flows: as a capture, as nfcapd's files, as our store."""

    def __init__(self, bench, name, flows, options, seed, windows):
        self.bench, self.flows, self.windows, self.seed = bench, flows, windows, seed
        self.generate = ["--generate", "--flows", str(flows), "--seed", str(seed), "--start", START, *options]
        key = hashlib.sha256(json.dumps([self.generate, windows]).encode()).hexdigest()[:12]
        self.folder = bench.folder / f"{name}-{key}"
        self.folder.mkdir(exist_ok=True)
        self.meta_path = self.folder / "meta.json"
        self.meta = json.loads(self.meta_path.read_text()) if self.meta_path.exists() else {}

    def remember(self, **facts):
        self.meta.update(facts)
        self.meta_path.write_text(json.dumps(self.meta, indent=1))

    def capture_path(self):
        return self.folder / "flows.pcap"

    def capture(self):
        path = self.capture_path()
        if not self.meta.get("captured"):
            print(f"   generating {self.flows} flows", flush=True)
            harness.Side([self.bench.program("sc-exporter"), *self.generate, "--write", str(path)]).measure()
            self.remember(captured=True)
        return path

    def forget_capture(self):
        """It is large, and not needed any more while the store is there."""
        self.capture_path().unlink(missing_ok=True)
        self.remember(captured=False)

    def nfcapd_files(self):
        path = self.folder / "nfcapd"
        if "nfcapd_cpu_s" in self.meta:
            return path
        capture = self.capture()
        shutil.rmtree(path, ignore_errors=True)
        seconds = self.flows / NFCAPD_RATE
        print(f"   sending {self.flows} flows to nfcapd, {seconds:.0f} s", flush=True)
        collector = Nfcapd(self.bench, path, window_s=max(10, int(seconds / self.windows)))
        replay(capture, collector.port, self.flows, NFCAPD_RATE)
        time.sleep(3)
        self.remember(nfcapd_cpu_s=collector.stop())
        return path

    def read_into(self, store):
        shutil.rmtree(store, ignore_errors=True)
        return harness.Side([self.bench.program("sc-collector"), "--store", str(store), "--read",
                             str(self.capture())]).measure()

    def store(self):
        """Our store, made anew when the collector is another program than the one that made it."""
        path = self.folder / "store"
        program = hashlib.sha256(pathlib.Path(self.bench.program("sc-collector")).read_bytes()).hexdigest()
        if self.meta.get("collector") != program or not path.exists():
            self.read_into(path)
            self.remember(collector=program)
        return path

    def store_of(self, build):
        """That of the collector of another build, which may write another format; made anew each time."""
        path = self.folder / "store.before"
        shutil.rmtree(path, ignore_errors=True)
        harness.Side([str(build / "bin" / "sc-collector"), "--store", str(path), "--read", str(self.capture())]).measure()
        return path

    def check_counts(self):
        nf = harness.nfdump_total(harness.Side(["nfdump", "-R", str(self.folder / "nfcapd"), "-o", "null"]).answer())
        sc = count_store(self.bench, self.folder / "store")
        if not nf == sc == self.flows:
            print(f"bench: {self.flows} flows were sent, nfcapd has {nf}, our store {sc}", file=sys.stderr)
            raise SystemExit(1)
