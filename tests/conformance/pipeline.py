# SPDX-License-Identifier: BSD-3-Clause
"""Our programs from end to end: messages go in by sc-collector, records come back by sc-query.

The records are those of compare.py: the columns of `--output-fields=all` under their (PEN, id, instance). What the
answer does not tell exactly is said here: the times of dateTimeMicroseconds and dateTimeNanoseconds come back in
whole ns (compare.Nanoseconds), and the zero bytes at the end of a string are not shown (compare.Text).
"""
import concurrent.futures
import contextlib
import datetime
import errno
import functools
import ipaddress
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import compare

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SC_BUILD", TOP / "build"))
PATIENCE = 60  # seconds for what takes a moment
SEED = int(os.environ.get("SC_SEED", random.SystemRandom().randrange(10**6)))  # of the cuts of streams
MOST_CUTS = 60
RECEIVE_FILL = 65536  # bytes waiting in a socket above which a sender of datagrams pauses


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def program(name, folder="bin"):
    return str(BUILD / folder / name)


# ---- captures: classic pcap of raw IPv4 with UDP, as the cases are ----

class Datagram:
    def __init__(self, address, port, ms, payload):
        self.session = (address, port)
        self.ms = ms
        self.payload = payload


def read_pcap(path):
    data = pathlib.Path(path).read_bytes()
    magic, link = struct.unpack_from("<I16xI", data)
    check(magic == 0xa1b2c3d4 and link in (101, 228), f"{path}: not a capture of raw IPv4")
    out, at = [], 24
    while at < len(data):
        seconds, micros, size, _ = struct.unpack_from("<4I", data, at)
        packet = data[at + 16:at + 16 + size]
        header = (packet[0] & 15) * 4
        port, _, length = struct.unpack_from(">3H", packet, header)
        out.append(Datagram(socket.inet_ntoa(packet[12:16]), port, seconds * 1000 + micros // 1000,
                            packet[header + 8:header + length]))
        at += 16 + size
    return out


def write_pcap(path, datagrams, destination=2055):
    """Datagrams from 192.0.2.1 to 192.0.2.2: (source port, ms, payload) each."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for port, ms, payload in datagrams:
            udp = struct.pack(">4H", port, destination, 8 + len(payload), 0) + payload
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton("192.0.2.1"),
                             socket.inet_aton("192.0.2.2"))
            out.write(struct.pack("<4I", ms // 1000, ms % 1000 * 1000, len(ip + udp), len(ip + udp)) + ip + udp)


# ---- what sc-query shows, back to values ----

@functools.cache
def elements():
    """{name: (PEN, id, type)}, the reverse forms of IANA's too."""
    out = {}
    for line in (TOP / "src/ie/elements.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pen, number, name, kind = line.split("\t")[:4]
            out[name] = (int(pen), int(number), kind)
            if pen == "0":
                out["reverse" + name[0].upper() + name[1:]] = (29305, int(number), kind)
    return out


@functools.cache
def column_key(name):
    """((PEN, id, instance), type) of a column that sc-query names so."""
    plain, _, instance = name.partition("#")
    instance = int(instance) - 1 if instance else 0
    plain, is_bytes = plain.removesuffix(":bytes"), plain.endswith(":bytes")
    if is_bytes:
        return (*elements()[plain][:2], instance), "octetArray"
    if plain in elements():
        pen, number, kind = elements()[plain]
        return (pen, number, instance), kind
    pen, _, number = plain.partition(":")
    pen = {"v9": compare.PSEUDO_PEN[-1], "scope": compare.PSEUDO_PEN[-2]}.get(pen) or int(pen)
    return (pen, int(number), instance), "octetArray"


@functools.lru_cache(maxsize=65536)
def parse_ns(text):
    """RFC 3339 with Z and any number of decimals; what lies beyond the year 9999 is a plain number."""
    if text.isdigit():
        return None
    seconds, _, decimals = text.rstrip("Z").partition(".")
    check(text.endswith("Z") and len(decimals) in (3, 9), f"a time is shown as {text}")
    moment = datetime.datetime.fromisoformat(seconds + "+00:00")
    return int(moment.timestamp()) * 10**9 + int(decimals.ljust(9, "0"))


def parse_time(kind, text):
    ns = parse_ns(text)
    if kind in ("dateTimeMicroseconds", "dateTimeNanoseconds"):
        return compare.Nanoseconds(int(text) if ns is None else ns)
    ms = int(text) if ns is None else ns // 10**6
    return ms // 1000 if kind == "dateTimeSeconds" else ms


def parse_hex(digits):
    """A string that is no UTF-8 is an object, and only that."""
    raw = bytes.fromhex(digits)
    check(raw.decode("utf-8", "replace").encode() != raw, f"{digits} is shown as if it were no UTF-8")
    return compare.Text(raw)


def parse_value(kind, value):
    if not isinstance(value, str):
        return value
    if kind == "string":
        return compare.Text(value.encode())
    if value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if kind.startswith("dateTime"):
        return parse_time(kind, value)
    if kind == "macAddress":
        return int(value.replace(":", ""), 16)
    return ipaddress.ip_address(value)


def parse_row(pairs):
    if [name for name, _ in pairs] == ["hex"]:  # an object in the place of a value
        return parse_hex(pairs[0][1])
    fields, names = {}, set()
    for name, value in pairs:
        check(name not in names, f"two columns are named {name}")
        names.add(name)
        if value is not None:
            key, kind = column_key(name)
            fields[key] = parse_value(kind, value)
    return compare.Record(fields)


def query(store, *options, fields="all", row=parse_row):
    """All records in their order; row() gets the names and values of one."""
    done = subprocess.run([program("sc-query"), str(store), "--output-format=ndjson", f"--output-fields={fields}",
                           "--num-threads=1", *options], capture_output=True, timeout=PATIENCE, check=False)
    check(done.returncode == 0, f"sc-query ended with {done.returncode}: {done.stderr.decode()[-300:]}")
    return [json.loads(line, object_pairs_hook=row) for line in done.stdout.splitlines()]


class Answer:
    """What came of one run: the records, and the counters when they are known."""

    def __init__(self, store, outcome=None):
        made = store.exists()  # --read makes none for files that it cannot read
        self.flows = query(store) if made else []
        self.options = query(store, "--record-kind=options") if made else []
        self.outcome = outcome


# ---- sc-collector --read ----

SUMMARY = re.compile(r"(\d+) messages, (\d+) flows, (\d+) options records, (\d+) malformed, (\d+) data sets without "
                     r"template(.*)")


class Import:
    """`sc-collector --read`: exit status, summary line and complaints."""

    def __init__(self, store, *paths):
        done = subprocess.run([program("sc-collector"), *[f"--read={path}" for path in paths], f"--store={store}"],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.status, self.complaints = done.returncode, done.stderr
        line = SUMMARY.fullmatch(done.stdout.strip())
        check(line is not None and self.status in (0, 1, 3),
              f"sc-collector --read ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
        self.messages, self.flows, self.options, self.malformed, self.undecodable = map(int, line.groups()[:5])
        self.also = line[6]


# ---- the daemon ----

def receive_fills(port):
    with open("/proc/net/udp", encoding="ascii") as lines:
        return [int(words[4].split(":")[1], 16) for words in map(str.split, lines)
                if words[1:3] == [f"0100007F:{port:04X}", "00000000:0000"]]


def receive_fill(port):
    """Bytes that wait in the fullest of the UDP sockets bound to a port of 127.0.0.1."""
    for _ in range(20):  # the list is no snapshot: where other sockets close while it is read, it leaves some out
        fills = receive_fills(port)
        if fills:
            return max(fills)
        time.sleep(0.01)
    raise Failure(f"nobody has UDP port {port}")


class Collector:
    """A running sc-collector with one listener; senders() of datagrams or streams. Stopped, its store is whole."""

    def __init__(self, folder, scheme, *options):
        self.store = pathlib.Path(folder) / "store"
        self.log = []
        self.begin_ms = int(time.time() * 1000)
        command = [program("sc-collector"), f"--listen={scheme}://127.0.0.1:0", f"--store={self.store}", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.port, listening = None, threading.Event()
        self.reader = threading.Thread(target=self.read_log, args=(scheme, listening), daemon=True)
        self.reader.start()
        listening.wait(PATIENCE)
        if self.port is None:
            self.kill()
            raise Failure("sc-collector does not listen: " + "".join(self.log)[-500:])

    def read_log(self, scheme, listening):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.match(rf"listening {scheme} 127\.0\.0\.1:(\d+)$", line)
            if found:
                self.port = int(found[1])
                listening.set()
        listening.set()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()

    def stop(self):
        """Ends it by SIGTERM. Returns the times, ms, at which something can have been received."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as late:
            raise Failure("sc-collector does not end on SIGTERM") from late
        finally:
            self.kill()
        check(self.process.returncode == 0,
              f"sc-collector ended with {self.process.returncode}: {''.join(self.log)[-1000:]}")
        return range(self.begin_ms, int(time.time() * 1000) + 1)

    def status(self):
        """What the control socket answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(PATIENCE)
            here = os.getcwd()
            s.connect(os.path.relpath(self.store / "control.sock", here))
            s.sendall(b"status\n")
            text = b""
            while piece := s.recv(65536):
                text += piece
        return json.loads(text)

    def received(self, messages):
        """The sums of all that was received, once it is so many messages."""
        end = time.monotonic() + PATIENCE
        while True:
            sums = self.status()["received"]
            if sums["messages"] >= messages:
                return sums
            check(time.monotonic() < end, f"{sums['messages']} of {messages} messages were received")
            time.sleep(0.02)

    # -- senders --

    def await_room(self):
        """Returns when datagrams fit into the collector's socket."""
        end = time.monotonic() + PATIENCE
        while receive_fill(self.port) > RECEIVE_FILL:
            check(time.monotonic() < end, "sc-collector reads no datagrams")
            time.sleep(0.0005)

    def send_datagrams(self, messages):
        """Sends (session, payload) in their order, each session from a port of its own: {session: port}."""
        ports = {}
        with contextlib.ExitStack() as sockets:
            senders = {}
            for session, payload in messages:
                if session not in senders:
                    s = senders[session] = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    s.bind(("127.0.0.1", 0))
                    ports[session] = s.getsockname()[1]
                senders[session].sendto(payload, ("127.0.0.1", self.port))
                self.await_room()
        return ports

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def await_read(self, sender):
        """Returns when the collector has read what was sent on this connection, or has closed it."""
        here, there = f"0100007F:{self.port:04X}", f"0100007F:{sender.getsockname()[1]:04X}"
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with open("/proc/net/tcp", encoding="ascii") as lines:
                words = next((w for w in map(str.split, lines) if w[1:3] == [here, there]), None)
            if words is not None and len(words) < 5:
                continue  # the table changed while it was read
            if words is None or words[4].endswith(":00000000"):
                return
            time.sleep(0.0002)
        raise Failure("sc-collector reads no stream")

    def send_stream(self, sender, pieces):
        """Each piece is read before the next one is sent."""
        for piece in pieces:
            try:
                sender.sendall(piece)
            except OSError as error:
                check(error.errno in (errno.EPIPE, errno.ECONNRESET), f"cannot send: {error}")
                return
            self.await_read(sender)


def cut(stream, chance):
    """Pieces of a stream; some of the cuts lie within the header of its first message."""
    places = set(chance.sample(range(1, len(stream)), min(MOST_CUTS, len(stream) - 1)))
    places.update(chance.randrange(1, min(16, len(stream))) for _ in range(3))
    ends = [*sorted(places), len(stream)]
    return [stream[begin:end] for begin, end in zip([0, *ends], ends)]


@contextlib.contextmanager
def collecting(scheme, *options):
    """A collector with a store of its own; ended in any case."""
    with tempfile.TemporaryDirectory() as folder:
        collector = Collector(folder, scheme, *options)
        try:
            yield collector
        finally:
            collector.kill()


# ---- tests ----

def run_test(test):
    name, way, case = test
    with tempfile.TemporaryDirectory() as folder:
        try:
            way(case, pathlib.Path(folder))
            return True, f"ok {name}"
        except Exception as why:  # whatever it is, it is this test's failure; the others go on
            kind = "" if isinstance(why, Failure) else type(why).__name__ + ": "
            return False, f"not ok {name}: {kind}{str(why).strip()}"


def run_tests(tests):
    """Runs (name, way(case, folder), case) side by side, those that the command line names. Returns the exit status."""
    print(f"SC_SEED={SEED}", flush=True)
    wanted = [test for test in tests if len(sys.argv) < 2 or any(text in test[0] for text in sys.argv[1:])]
    good = True
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for ok, line in pool.map(run_test, wanted):
            good = good and ok
            print(line, flush=True)
    return 0 if good else 1
