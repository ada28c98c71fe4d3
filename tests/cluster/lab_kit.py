# SPDX-License-Identifier: BSD-3-Clause
"""Machines in a laboratory: network namespaces, each with one cable to a switch in a namespace of its own, in which nftables cuts
and spoils what passes between two ports. Needs root, iproute2 and nftables; `require()` ends a test that has not got them.

    lab_kit.require()
    with lab_kit.Lab() as lab:
        cluster = lab.cluster(folder, 3, 2).start()     # cluster_kit's, each node on a machine of its own
        there = lab.machine("x1")
        exporter = kit.Exporter(cluster.nodes[0], connect=there.connect)
        lab.cut("n1", "n2")                             # both ways; lab.cut_way("n1", "n2"): what n1 sends
        lab.loss("n3", 5)                               # percent, both ways
        lab.heal()
        lab.unplug("n2"), lab.plug("n2")
        done = there.run(["ip", "neighbour"])

A machine's name is that of its port. Everything carries the tag of the run, which holds the id of its process: leaving the block
ends what runs in the namespaces, by id, and removes them and the file systems; so do SIGTERM and SIGINT, and what a run left that
was killed goes when the next begins.
"""
import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import cluster_kit as kit

PREFIX = "sclab"
NETWORK, NETWORK6 = "10.78.0.", "fd77::"
CLONE_NEWNET = 0x40000000
LINK_PORT, EXPORT_PORT = 4741, 4739
LIBC = ctypes.CDLL(None, use_errno=True)
COUNTER = itertools.count(1)


def run(*command, check=True, stdin=None):
    return subprocess.run(command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          capture_output=True, text=True, check=check)


def reason_to_skip():
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool, package in (("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")):
        if shutil.which(tool) is None:
            return f"{tool} is not installed ({package})"
    probe = f"{PREFIX}{os.getpid()}x0-probe"
    if run("ip", "netns", "add", probe, check=False).returncode != 0:
        return "network namespaces are not permitted here"
    try:
        return None if run(*inside(probe), "nft", "-f", "-", stdin=ruleset([]), check=False).returncode == 0 \
            else "nftables has no bridge here"
    finally:
        run("ip", "netns", "delete", probe, check=False)


def require():
    """Ends the test, skipped, where there can be no laboratory."""
    reason = reason_to_skip()
    if reason:
        print(f"skip laboratory {reason}", flush=True)
        raise SystemExit(77)


def ruleset(rules):
    return "\n".join(["table bridge lab", "delete table bridge lab", "table bridge lab {", "chain forward {",
                      "type filter hook forward priority 0", *rules, "}", "}", ""])


def inside(namespace):
    """What to put before a command; the process keeps its id."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


# ---- leftovers ----

def namespaces(tag):
    folder = pathlib.Path("/run/netns")
    return sorted(p.name for p in folder.glob(f"{tag}*")) if folder.is_dir() else []


def end_processes(namespace):
    for pid in run("ip", "netns", "pids", namespace, check=False).stdout.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass


def remove(tag):
    """All that carries a tag: processes, namespaces, file systems."""
    found = namespaces(tag + "-")
    for namespace in found:
        end_processes(namespace)
    for line in reversed(pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines()):
        source, target = line.split()[:2]
        if source == tag:
            run("umount", "-l", target, check=False)
    for namespace in found:
        run("ip", "netns", "delete", namespace, check=False)


def remove_stale():
    """What runs left that are no more."""
    mounted = pathlib.Path("/proc/mounts").read_text(encoding="utf-8")
    tags = {n.split("-")[0] for n in namespaces(PREFIX)} | set(re.findall(rf"^({PREFIX}\d+x\d+) ", mounted, re.MULTILINE))
    for tag in tags:
        owner = re.fullmatch(rf"{PREFIX}(\d+)x\d+", tag)
        if owner and not pathlib.Path("/proc", owner[1]).exists():
            remove(tag)


def end_on_signals():
    """SIGTERM and SIGINT leave the blocks in good order. Call it in the main thread."""
    def end(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


# ---- machines ----

class Machine:
    """A namespace with the interface eth0 and an address."""

    def __init__(self, lab, name, address):
        self.lab, self.name, self.address = lab, name, address
        self.namespace = f"{lab.tag}-{name}"
        run("ip", "netns", "add", self.namespace)
        port = f"to-{name}"
        lab.switch("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        lab.switch("ip", "link", "set", port, "master", "switch", "up")
        length = "64 nodad" if ":" in address else "24"
        batch = f"link set lo up\nlink set eth0 up\naddress add {address}/{length} dev eth0\n"
        run("ip", "-n", self.namespace, "-batch", "-", stdin=batch)

    def command(self, command):
        return [*inside(self.namespace), *map(str, command)]

    def run(self, command, **options):
        return subprocess.run(self.command(command), **{"stdin": subprocess.DEVNULL, "capture_output": True, "text": True,
                                                        "check": False, **options})

    def popen(self, command, **options):
        """Ended with the laboratory at the latest."""
        child = subprocess.Popen(self.command(command), **{"stdin": subprocess.DEVNULL, **options})
        self.lab.children.append(child)
        return child

    def open_socket(self, kind, family=socket.AF_INET):
        """A socket of this machine, in this process."""
        made = []

        def make():  # only this thread goes there
            with contextlib.suppress(OSError), open(f"/run/netns/{self.namespace}", "rb") as there:
                if LIBC.setns(there.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket(family, kind))
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not made:
            raise OSError(f"no socket in {self.namespace}")
        return made[0]

    def connect(self, address, timeout=None, kind=socket.SOCK_STREAM):
        """As socket.create_connection."""
        made = self.open_socket(kind, kit.family(address[0]))
        made.settimeout(timeout)
        try:
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made


class Node(kit.Node):
    """A node of a cluster on a machine."""

    def __init__(self, cluster, name, machine, roles):
        self.machine = machine
        super().__init__(cluster, name, machine.address, roles, link_port=LINK_PORT, port=EXPORT_PORT)

    def command(self):
        return self.machine.command(super().command())


class Cluster(kit.Cluster):
    def __init__(self, lab, folder, count, replication, **options):
        self.lab = lab
        super().__init__(folder, count, replication, **options)

    def make_node(self, number, roles):
        return Node(self, f"n{number}", self.lab.machine(f"n{number}"), roles)


# ---- without namespaces ----

class LoopbackPlace:
    @staticmethod
    def connect(address, timeout=None, kind=socket.SOCK_STREAM):
        made = socket.socket(socket.AF_INET, kind)
        made.settimeout(timeout)
        made.connect(address)
        return made


class Loopback:
    """Stands in for a Lab where there can be none: nodes are processes on loopback addresses, and no link is ever cut."""

    def __init__(self):
        self.clusters = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for cluster in self.clusters:
            for node in cluster.nodes:
                if node.child and node.child.poll() is None:
                    node.kill()

    def machine(self, _name):
        return LoopbackPlace()

    def cluster(self, folder, count, replication, **options):
        self.clusters.append(kit.Cluster(folder, count, replication, **options))
        return self.clusters[-1]

    def heal(self):
        pass


# ---- the switch ----

class Lab:
    """`network`: NETWORK6 for machines that have nothing but IPv6."""

    def __init__(self, network=NETWORK):
        self.network = network
        self.tag = f"{PREFIX}{os.getpid()}x{next(COUNTER)}"
        self.machines, self.children = {}, []
        self.rules = []

    def __enter__(self):
        remove_stale()
        try:
            run("ip", "netns", "add", f"{self.tag}-switch")
            batch = f"link add name switch type bridge\naddress add {NETWORK}254/24 dev switch\nlink set switch up\n"
            run("ip", "-n", f"{self.tag}-switch", "-batch", "-", stdin=batch)
        except BaseException:
            remove(self.tag)
            raise
        return self

    def __exit__(self, *_):
        before = [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT)] if in_main_thread() else []
        for child in self.children:
            if child.poll() is None:
                child.kill()
        remove(self.tag)
        for child in self.children:
            child.wait()
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before):
            signal.signal(number, handler)

    def switch(self, *command):
        return run(*inside(f"{self.tag}-switch"), *command)

    def machine(self, name, address=None):
        """A new machine; its address is the next one of the network unless given."""
        if len(f"to-{name}") > 15:
            raise ValueError(f"{name}: no name for an interface")
        self.machines[name] = Machine(self, name, address or f"{self.network}{len(self.machines) + 1}")
        return self.machines[name]

    def cluster(self, folder, count, replication, **options):
        """Nodes n1, n2, ... on machines of these names; options as cluster_kit.Cluster."""
        return Cluster(self, folder, count, replication, **options)

    def disk(self, path, size):
        """A file system of its own, in memory, at `path`; `size` as mount says it (16m)."""
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", self.tag, str(path))

    def load(self):
        run(*inside(f"{self.tag}-switch"), "nft", "-f", "-", stdin=ruleset(self.rules))

    def add(self, *rules):
        self.rules += rules
        self.load()

    def cut_way(self, source, target):
        """Nothing that `source` sends reaches `target`."""
        self.add(f'iifname "to-{source}" oifname "to-{target}" drop')

    def cut(self, one, other):
        self.add(*(f'iifname "to-{a}" oifname "to-{b}" drop' for a, b in ((one, other), (other, one))))

    def isolate(self, name, ways="both"):
        """`ways`: out: nobody hears it; in: it hears nobody; both. The carrier stays."""
        sides = {"out": "i", "in": "o", "both": "io"}[ways]
        self.add(*(f'{side}ifname "to-{name}" drop' for side in sides))

    def loss(self, name, percent):
        """Loses that many of its packets, either way."""
        self.add(*(f'{side}ifname "to-{name}" numgen random mod 100 < {percent} drop' for side in "io"))

    def heal(self):
        """Undoes cuts and losses; unplugged stays unplugged."""
        self.rules = []
        self.load()

    def unplug(self, name):
        """Pulls the cable: the carrier goes, too."""
        self.switch("ip", "link", "set", f"to-{name}", "down")

    def plug(self, name):
        self.switch("ip", "link", "set", f"to-{name}", "up")


def in_main_thread():
    return threading.current_thread() is threading.main_thread()
