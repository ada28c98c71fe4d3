# SPDX-License-Identifier: BSD-3-Clause
"""Honest exporters that send beside an attack, and the parts that attacks are made of."""
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import collector_kit as kit  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
UDP_RATE = 20000  # flows a second of the honest exporter over UDP
TCP_RATE = 4000
SECONDS = 12 if os.environ.get("SC_LONG") else 6  # that honest exporters send
HONEST = "127.0.0.1"
MEMORY = {"exporter-memory": 64 << 20, "queue-memory": 64 << 20}
QUERY_WITHIN_S = 3


# ---- messages ----

def ipfix(*sets, sequence=0, domain=0):
    body = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(body), int(time.time()), sequence & 0xFFFFFFFF, domain) + body


def v9(*sets, sequence=0, domain=0, uptime=1000000):
    return struct.pack("!HHIIII", 9, len(sets), uptime, int(time.time()), sequence & 0xFFFFFFFF, domain) + b"".join(sets)


def data(number, body):
    return struct.pack("!HH", number, 4 + len(body)) + body


def field(element, length, pen=None):
    return struct.pack("!HH", element, length) if pen is None else struct.pack("!HHI", element | 0x8000, length, pen)


def template(number, *fields):
    return struct.pack("!HH", number, len(fields)) + b"".join(field(*f) for f in fields)


def options_template(number, scopes, *fields):
    return struct.pack("!HHH", number, len(fields), scopes) + b"".join(field(*f) for f in fields)


def templates(*records):
    return data(2, b"".join(records))


def options_templates(*records):
    return data(3, b"".join(records))


def variable(text):
    return (bytes([len(text)]) if len(text) < 255 else b"\xff" + struct.pack("!H", len(text))) + text


# ---- where from ----

class Attacker:
    """Sends from 127.0.0.2 (or another address of the loopback), a pause after so many bytes so that the kernel keeps up."""

    def __init__(self, collector):
        self.collector = collector
        self.sent = 0
        self.since_pause = 0

    def socket(self, address="127.0.0.2", port=0):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, port))
        s.connect(("127.0.0.1", self.collector.port))
        return s

    def send(self, s, message):
        s.send(message)
        self.sent += 1
        self.since_pause += 1000 + len(message)
        if self.since_pause > 1 << 20:
            self.since_pause = 0
            time.sleep(0.01)

    def stream(self, address="127.0.0.2"):
        s = socket.socket()
        s.bind((address, 0))
        s.settimeout(5)
        s.connect(("127.0.0.1", self.collector.tcp_port))
        return s


class Exporter:
    """sc-exporter, honest: so many flows at a rate."""

    def __init__(self, folder, url, rate, protocol, seconds):
        self.flows = rate * seconds
        self.truth = pathlib.Path(folder) / f"{protocol}.json"
        self.process = subprocess.Popen(
            [kit.program("sc-exporter"), "--generate", "--flows", str(self.flows), "--rate", str(rate), "--protocol",
             protocol, "--to", url, "--truth", str(self.truth)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait(self):
        _, err = self.process.communicate(timeout=120)
        if self.process.returncode != 0:
            raise RuntimeError(f"sc-exporter: {err.decode()}")


class Collector(kit.Collector):
    """One that listens on UDP and TCP, with little memory, so that bounds are met."""

    def __init__(self, folder, *options):
        folder = pathlib.Path(folder)
        configuration = folder / "collector.yaml"
        configuration.write_text("".join(f"{key}: {value >> 20}M\n" for key, value in MEMORY.items()))
        super().__init__(folder / "store", folder / "log", "-c", str(configuration), "--listen", "tcp://127.0.0.1:0", *options)
        self.tcp_port = int(re.search(r"listening tcp 127\.0\.0\.1:(\d+)\n", self.log_text())[1])
        self.peak = 0
        self.watching = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def wait_for_port(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            if "listening tcp" in self.log_text():
                break
            time.sleep(0.02)
        return super().wait_for_port()

    def log_text(self):
        return self.log.read_text(errors="replace")

    def resident(self):
        try:
            return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) << 10
        except (OSError, TypeError):
            return 0

    def watch(self):
        while not self.watching.wait(0.05):
            self.peak = max(self.peak, self.resident())

    def status(self, *options):
        run = subprocess.run([kit.program("sc-admin"), "status", "--json", *options, str(self.store)], capture_output=True,
                             text=True, check=False)
        return json.loads(run.stdout) if run.returncode == 0 else None

    def stop(self):
        self.watching.set()
        self.watcher.join()
        return super().stop()


def query(store, *options):
    run = subprocess.run([kit.program("sc-query"), "--output-format=json", "--progress-bar-type=none", *options, str(store)],
                         capture_output=True, text=True, check=False)
    if run.returncode not in (0, 3):
        raise RuntimeError(f"sc-query: {run.stderr}")
    return json.loads(run.stdout)


# ---- what docs/security.md promises ----

def units(text):
    number, unit = re.search(r"([\d.,]+) ([KMG])iB", text).groups()
    return int(float(number.replace(",", "")) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit])


def share_of_newcomers():
    """The row of newcomers: one part in so many of exporter-memory."""
    text = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
    return {"a quarter": 4}[re.search(r"^\| newcomers and strangers together \| (a quarter) of it", text, re.MULTILINE)[1]]


def process_ceiling():
    """The row of the process: "`exporter-memory` x A + `queue-memory` x B + N MiB"."""
    text = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
    row = re.search(r"^\| the process, in all \| ([^|]*) \|", text, re.MULTILINE)[1]
    total = 0
    for term in row.split("+"):
        factor = re.search(r"`([a-z-]+)` x ([\d.]+)", term)
        total += int(MEMORY[factor[1]] * float(factor[2])) if factor else units(term)
    return total


# ---- one attack ----

def marked(number):
    """A flow of the honest kind that can be found: NetFlow v5, source 192.0.2.N."""
    record = struct.pack("!IIIHHIIIIHHBBBBHHBBH", 0xC0000200 + number, 0x0A000001, 0, 1, 2, 1, 100, 90000, 95000, 1, 2, 0, 0x10, 6, 0,
                         0, 0, 24, 24, 0)
    return struct.pack("!HHIIIIBBH", 5, 1, 100000, int(time.time()), 0, number, 0, 0, 0) + record


def latency(collector, number):
    """Seconds until a datagram is answered by a query; it is sent again each second, since the kernel may drop one."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((HONEST, 0))
    s.connect(("127.0.0.1", collector.port))
    begin = time.monotonic()
    sent = 0
    while time.monotonic() - begin < 60:
        if time.monotonic() - begin >= sent:
            s.send(marked(number))
            sent += 1
        answer = query(collector.store, "-l", "1", "-f", f"srcip 192.0.2.{number}", "-T", "-10m")
        if answer["records"]:
            return time.monotonic() - begin
        time.sleep(0.05)
    return float("inf")


def stored_of(store, address):
    answer = query(store, "-s", "exporterport#flows", "-l", "0", "-f", f"exporterip {address} and not srcip 192.0.2.0/24")
    return {int(r["exporterport"]): int(r["flows"]) for r in answer["records"]}


class Scene:
    """A collector, two honest exporters, an attack. check_* after the `with`."""

    def __init__(self, name, attack, *options, seconds=SECONDS):
        self.name = name
        self.attack = attack
        self.options = options
        self.seconds = seconds

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            collector = Collector(folder, *self.options)
            try:
                self.play(collector, folder)
            finally:
                if collector.process.poll() is None:
                    collector.kill()

    def play(self, collector, folder):
        self.quiet = latency(collector, 1)
        udp = Exporter(folder, f"udp://127.0.0.1:{collector.port}", UDP_RATE, "v5", self.seconds)
        tcp = Exporter(folder, f"tcp://127.0.0.1:{collector.tcp_port}", TCP_RATE, "ipfix", self.seconds)
        failure = []
        attacker = Attacker(collector)

        def attack():
            try:
                self.attack(attacker)
            except Exception as error:  # the check below names it
                failure.append(repr(error))

        thread = threading.Thread(target=attack)
        thread.start()
        time.sleep(self.seconds / 3)
        self.beside = latency(collector, 2)
        udp.wait()
        tcp.wait()
        thread.join(120)
        self.check("the attack itself went as planned", not failure and not thread.is_alive(), failure)
        self.settle(collector)
        self.state = collector.status("--top", "1024")
        self.log_text = collector.log_text()
        self.judge(collector, udp, tcp)

    @staticmethod
    def settle(collector):
        """Until all that was received is stored."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            queue = (collector.status() or {}).get("queue", {"batches_held": 1})
            if queue["batches_held"] == 0:
                break
            time.sleep(0.1)
        time.sleep(1.2)

    def check(self, fact, good, detail=""):
        return kit.check(f"{self.name}: {fact}", good, detail)

    def judge(self, collector, udp, tcp):
        alive = self.check("the collector lives", collector.process.poll() is None, collector.log_text()[-2000:])
        if not alive:
            return
        stored = stored_of(collector.store, HONEST)
        drops = sum(v.get("kernel_drops", 0) for v in self.state["listeners"])
        over_tcp = {e["port"] for e in self.state["exporters"] if e["transport"] == "tcp" and e["exporter"] == HONEST}
        of_tcp = sum(n for port, n in stored.items() if port in over_tcp)
        of_udp = sum(n for port, n in stored.items() if port not in over_tcp)
        self.check("all honest flows over TCP are stored", of_tcp == tcp.flows, (of_tcp, tcp.flows, self.state["received"]))
        self.check("of the honest flows over UDP only those are missing that the kernel dropped",
                   udp.flows - 30 * drops <= of_udp <= udp.flows, (of_udp, udp.flows, drops, self.state["received"]))
        allowed = max(QUERY_WITHIN_S, 3 * self.quiet)
        self.check("a datagram can be queried in time", self.beside <= allowed, (self.beside, self.quiet))
        memory, queue = self.state["exporter_memory"], self.state["queue"]
        self.check("each budget is kept", memory["bytes"] <= MEMORY["exporter-memory"] == memory["limit_bytes"] and
                   memory["newcomers_bytes"] <= memory["newcomers_limit_bytes"] == MEMORY["exporter-memory"] // share_of_newcomers() and
                   queue["peak_bytes"] <= queue["limit_bytes"] == MEMORY["queue-memory"], (memory, queue))
        ceiling = process_ceiling()
        self.check("memory stays below its ceiling", collector.peak <= ceiling, (collector.peak >> 20, ceiling >> 20))
        self.check("it ends in good order", collector.stop() == 0, collector.log_text()[-2000:])
