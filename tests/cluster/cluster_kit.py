# SPDX-License-Identifier: BSD-3-Clause
"""A cluster on addresses of the loopback network: nodes as processes, numbered flows, and what the stores hold of them."""
import collections
import datetime
import errno
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ["SC_BUILD"])
VERIFY = "verify-seals: full\n"  # of this build's nodes; a benchmark takes the default
FAILED = 0


def check(name, good, detail=""):
    global FAILED
    FAILED += not good
    print(("ok " if good else "not ok ") + name, flush=True)
    if not good and detail:
        print("  " + str(detail)[-3000:].replace("\n", "\n  "), flush=True)
    return good


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    return None


def parse_time(text):
    """Seconds since 1970 of a time in a status."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def written(address):
    """As it stands before a port."""
    return f"[{address}]" if ":" in address else address


def assignable_ports():
    """Below those that the system gives out, in any order."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    ports = list(range(10000, max(first, 32768)))
    random.shuffle(ports)
    return ports


PORTS = assignable_ports()


def free_port(address, kind=socket.SOCK_STREAM):
    """Given once in this process, and to nobody by the system: it stays free while a node is yet to start, or is down."""
    while True:
        port = PORTS.pop()
        with socket.socket(family(address), kind) as s:
            try:
                s.bind((address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port


class Node:
    build = BUILD  # whose collector it runs

    def __init__(self, cluster, name, address, roles, link_port=0, port=0):
        self.cluster, self.name, self.address, self.roles = cluster, name, address, roles
        self.host = address  # as the membership file has it: it may be a name
        self.state, self.weight = None, None  # in the membership file
        self.link_port = link_port or free_port(address)
        self.port = port or free_port(address)
        self.store = cluster.folder / name
        self.log = cluster.folder / f"{name}.log"
        self.config = cluster.folder / f"{name}.yaml"
        self.child = None
        self.window = cluster.window
        self.env = {}  # on top of this process's
        self.wrap = []  # goes before the program
        self.extra = ""  # lines of its configuration

    def write_config(self, extra=""):
        at = f"{written(self.address)}:{self.port}"
        self.config.write_text(f"listeners: ['tcp://{at}', 'udp://{at}']\n"
                               f"store: {self.store}\nwindow: {self.window}\nlog-level: info\n"
                               f"{VERIFY if self.build == BUILD else ''}"
                               f"cluster: {self.cluster.file}\nnode: {self.name}\n{self.link()}{self.extra}{extra}")

    def link(self):
        """Over TLS, where the cluster has certificates; plain between machines only when it is said."""
        if self.cluster.tls:
            return f"tls: {self.cluster.tls}\n"
        return "" if self.address.startswith("127.") else "link: plain\n"

    def command(self):
        return [*self.wrap, str(self.build / "bin" / "sc-collector"), "-c", str(self.config)]

    def start(self, extra=""):
        self.write_config(extra)
        begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env={**os.environ, **self.env})
        if "proxy" in self.roles:
            ready = wait_for(lambda: b"listening tcp" in self.log.read_bytes()[begin:] or self.child.poll() is not None)
        else:
            ready = wait_for(lambda: self.status() is not None or self.child.poll() is not None)
        if not ready or self.child.poll() is not None:
            raise SystemExit(f"{self.name} did not start:\n{self.log.read_text()}")
        return self

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def freeze(self):
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.child.send_signal(signal.SIGCONT)

    def stop(self):
        if self.child is None or self.child.poll() is not None:
            return None
        self.child.send_signal(signal.SIGCONT)
        self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def status(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(str(self.store / "control.sock"))
                s.sendall(b"status\n")
                answer = b""
                while block := s.recv(65536):
                    answer += block
            return json.loads(answer)
        except (OSError, ValueError):
            return None

    def has_accepted(self):
        """All that its decoders have is in its outbox, or dropped and counted. Exporters and sums are not published at the same time."""
        status = self.status()
        if not status:
            return False
        received = status["received"]
        return received["flows"] >= sum(e["flows"] for e in status["exporters"]) and status["cluster"]["proxy"]["records"] >= received["flows"] + received["options"] - received["dropped_full"]

    def decoded(self, port):
        """Flows of the exporter over TCP whose end has that port."""
        status = self.status()
        return sum(e["flows"] for e in status["exporters"] if e["port"] == port and e["transport"] == "tcp") if status else 0

    def usable(self):
        """Names of the subcollectors that this proxy uses."""
        status = self.status()
        return sorted(m["name"] for m in status["cluster"]["members"] if m.get("usable")) if status else []

    def member(self, name):
        """What this proxy knows of another node."""
        return next((m for m in self.status()["cluster"]["members"] if m["name"] == name), None)

    def waiting(self):
        status = self.status()
        return status["cluster"]["proxy"]["waiting_batches"] if status else None


class Cluster:
    """Nodes n1, n2, ...; `roles` gives those of each, by default both. `tls`: the folder of their certificates, which are made."""

    def __init__(self, folder, count, replication, roles=None, window=60, tls=None):
        self.folder = pathlib.Path(folder)
        self.window = window
        self.file = self.folder / "cluster.yaml"
        both = ["proxy", "subcollector"]
        self.nodes = [self.make_node(i + 1, roles[i] if roles else both) for i in range(count)]
        self.replication, self.format = replication, None
        self.write_members(1, self.nodes)
        self.tls = tls
        if tls:
            self.certify()

    def certify(self, *options):
        """The certificates of all members, by sc-admin. Its words."""
        return subprocess.run([str(BUILD / "bin" / "sc-admin"), "certs", f"--cluster={self.file}", *options, str(self.tls)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    def write_members(self, version, nodes):
        """The membership file; in one step, as a reader may come at any time."""
        lines = [f"version: {version}", f"replication: {self.replication}", *([f"format: {self.format}"] if self.format else []), "members:"]
        for n in nodes:
            more = "".join(f", {key}: {value}" for key, value in (("weight", n.weight), ("state", n.state)) if value)
            lines.append(f"  - {{name: {n.name}, address: '{written(n.host)}:{n.link_port}', roles: [{', '.join(n.roles)}]{more}}}")
        fresh = self.file.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.rename(self.file)

    def make_node(self, number, roles):
        return Node(self, f"n{number}", f"127.0.77.{number}", roles)

    def start(self):
        for n in self.nodes:
            n.start()
        everyone = sorted(n.name for n in self.nodes if "subcollector" in n.roles)
        for n in self.proxies():
            if not wait_for(lambda n=n: n.usable() == everyone):
                raise SystemExit(f"{n.name} does not use all subcollectors:\n{n.log.read_text()}")
        return self

    def proxies(self):
        return [n for n in self.nodes if "proxy" in n.roles]

    def has_accepted(self):
        """All that the proxies which run have decoded is in their outboxes."""
        return all(n.has_accepted() for n in self.proxies() if n.child.poll() is None)

    def has_told(self, flows, stores=None):
        """Every store knows of so many flows that they are safe."""
        return all(told_safe(s) == flows for s in stores or [n.store for n in self.nodes if "subcollector" in n.roles])

    def stop(self):
        """Proxies first: somebody has to hear their last words."""
        return [n.stop() for n in sorted(self.nodes, key=lambda n: "proxy" not in n.roles)]

    def logs(self):
        return "\n".join(f"--- {n.name}\n{n.log.read_text()}" for n in self.nodes if n.log.exists())


# ---- clocks ----

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static const volatile long *ahead_s;
__attribute__((constructor)) static void find(void)
{
    const char *path = getenv("SC_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        ahead_s = at;
}
int clock_gettime(clockid_t id, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, out);
    if (id == CLOCK_REALTIME && ahead_s != NULL)
        out->tv_sec += *ahead_s;
    return result;
}
"""


def other_clock(folder, ahead_s):
    """The environment of a node whose wall clock is so far ahead: a library is loaded before the system's."""
    library = pathlib.Path(folder) / "clock.so"
    source = library.with_suffix(".c")
    if not library.exists():
        source.write_text(CLOCK)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    options = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))
    number, path = tempfile.mkstemp(prefix="clock.", dir=folder)
    os.close(number)
    env = {"LD_PRELOAD": str(library), "SC_CLOCK": path, "ASAN_OPTIONS": options}
    set_clock(env, ahead_s)
    return env


def set_clock(env, ahead_s):
    """It steps, also while the node runs."""
    with open(env["SC_CLOCK"], "r+b") as f:
        f.write(struct.pack("@l", ahead_s))


# ---- numbered flows ----

FIELDS = [(148, 8), (8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8), (2, 8), (152, 8), (153, 8)]


class Exporter:
    """Sends numbered flows as IPFIX over TCP, or in datagrams. What the socket took and a proxy then drops is not known here: tests
    that count stop the proxy's receivers in an orderly way, or ask it what it accepted."""

    def __init__(self, node, domain=1, connect=socket.create_connection, datagrams=False):
        self.domain, self.sequence, self.datagrams = domain, 0, datagrams
        self.socket = connect((node.address, node.port), 10)
        self.template()

    def template(self):
        body = struct.pack("!HH", 256, len(FIELDS)) + b"".join(struct.pack("!HH", *f) for f in FIELDS)
        self.message(2, body, 0)

    def message(self, set_id, body, records):
        length = 16 + 4 + len(body)
        self.socket.sendall(struct.pack("!HHIII", 10, length, int(time.time()), self.sequence, self.domain)
                            + struct.pack("!HH", set_id, 4 + len(body)) + body)
        self.sequence += records

    def send(self, first, count):
        now = int(time.time() * 1000)
        most = 25 if self.datagrams else 500
        if self.datagrams:
            self.template()
        for start in range(first, first + count, most):
            numbers = range(start, min(start + most, first + count))
            body = b"".join(struct.pack("!QIIHHBQQQQ", n, 0x0A000000 + n % 65536, 0x0B000001, n % 60000, 443, 6, 100 + n % 7,
                                        1, now - 1000, now) for n in numbers)
            self.message(256, body, len(numbers))
        return range(first, first + count)

    def close(self):
        self.socket.close()


def told_safe(store):
    """Flows that are safe by the tallies that a store keeps: the sixth number of a lane (src/store/tally.h)."""
    words = [line.split() for path in store.rglob("*.tally") for line in path.read_text(encoding="utf-8").splitlines()]
    return sum(int(w[7]) for w in words if w and w[0] == "lane")


def query(stores, *options):
    return subprocess.run([str(BUILD / "bin" / "sc-query"), *options, *map(str, stores)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


def admin(*words):
    return subprocess.run([str(BUILD / "bin" / "sc-admin"), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)


def count_numbers(text):
    """How often each flow number is in an answer."""
    return collections.Counter(int(line) for line in text.splitlines()[1:])


def query_numbers(stores):
    return query(stores, "--output-format=csv", "--output-fields=flowId")


def numbers(stores):
    """How often each flow number is in the stores, by the query; and the exit status."""
    done = query_numbers(stores)
    return count_numbers(done.stdout), done.returncode


def check_answer(name, done, wanted):
    """Of such a query."""
    got, wanted = count_numbers(done.stdout), set(wanted)
    missing, extra = wanted - set(got), set(got) - wanted
    double = [n for n, times in got.items() if times > 1]
    return check(name, done.returncode == 0 and not missing and not extra and not double,
                 f"exit {done.returncode}, {len(got)} of {len(wanted)} flows, missing {sorted(missing)[:5]} ({len(missing)}), "
                 f"not sent {sorted(extra)[:5]}, double {double[:5]} ({len(double)})\n{done.stderr}")


def check_numbers(name, stores, wanted):
    return check_answer(name, query_numbers(stores), wanted)
