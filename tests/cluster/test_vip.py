#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=420 beside=quiet
"""The virtual IP of two proxies (contrib/keepalived) under faults: how long until the standby accepts what an exporter sends, and what
is lost meanwhile. Needs keepalived.

The exporter sends numbered flows to the address, NetFlow v9 over UDP, whose template it sends once at the very beginning, and IPFIX
over TCP. A take-over has taken from the fault to the sending of the first flow that the standby accepted."""
import collections
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import struct
import tempfile
import threading
import time

import cluster_kit as kit
import lab_kit

CONTRIB = pathlib.Path(__file__).resolve().parents[2] / "contrib" / "keepalived"
VIP, VIP6 = "10.78.0.100", "fd78::100"
ROUNDS = 10 if os.environ.get("SC_LONG") else 2
ASKED_S = 1.0  # what a take-over is to take
MOST_S = 3.0  # what fails the test, on a loaded machine too
UDP_DOMAIN, TCP_DOMAIN = 1, 2
TAKEN = collections.defaultdict(list)  # (fault, protocol): (seconds, flows lost)


# ---- the machines ----

class Node(lab_kit.Node):
    """Listens on all addresses, the virtual one too."""

    def write_config(self, extra=""):
        super().write_config(extra)
        self.config.write_text(self.config.read_text().replace(f"//{self.address}:{self.port}", f"//0.0.0.0:{self.port}"))


class Cluster(lab_kit.Cluster):
    def make_node(self, number, roles):
        return Node(self, f"n{number}", self.lab.machine(f"n{number}"), roles)


def command_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""  # it has ended meanwhile


class Keeper:
    """sc-vip-watch on a proxy's machine, with the configuration that is installed, for other addresses."""

    def __init__(self, node, other, number):
        self.node, self.machine = node, node.machine
        self.folder = node.cluster.folder / f"vip-{node.name}"
        self.folder.mkdir()
        self.log = self.folder / "log"
        lab_kit.run("ip", "-n", self.machine.namespace, "address", "add", f"fd78::{number}/64", "dev", "eth0", "nodad")
        conf = (CONTRIB / "keepalived.conf").read_text()
        for old, new in (("192.0.2.100", VIP), ("2001:db8::100", VIP6), ("192.0.2.1 ", node.address + " "),
                         ("192.0.2.2\n", other.address + "\n"), ("2001:db8::1 ", f"fd78::{number} "),
                         ("2001:db8::2\n", f"fd78::{3 - number}\n"), ("/run/sc-vip", str(self.folder)),
                         ("/usr/local/share/securitycloud/keepalived", str(CONTRIB)), ("priority 100", f"priority {100 + number}"),
                         ("    enable_script_security\n", "")):  # the folders above a test's may be anybody's
            assert old in conf, old
            conf = conf.replace(old, new)
        (self.folder / "keepalived.conf").write_text(conf)
        self.child, self.deaths = None, number

    def start(self):
        env = {**os.environ, "VIP_CONF": str(self.folder / "keepalived.conf"), "VIP_RUN": str(self.folder),
               "VIP_STORE": str(self.node.store), "VIP_OPTIONS": "--log-console --log-detail --no-syslog",
               "PATH": f"{kit.BUILD / 'bin'}:{os.environ['PATH']}"}
        with open(self.log, "ab") as log:
            self.child = self.machine.popen([CONTRIB / "sc-vip-watch"], env=env, stdout=log, stderr=log)
        return self

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(10)

    def holds(self, address=VIP):
        family = "-6" if ":" in address else "-4"
        return address in lab_kit.run("ip", "-n", self.machine.namespace, "-o", family, "address", "show", "to", address).stdout

    def is_well(self):
        return (self.folder / "failed").read_text().strip() == "0"

    def state(self):
        try:
            return (self.folder / "state").read_text().split()[0]
        except (OSError, IndexError):
            return None

    def processes(self):
        pids = lab_kit.run("ip", "netns", "pids", self.machine.namespace).stdout.split()
        return [int(p) for p in pids if command_of(p) == "keepalived"]


# ---- the exporter ----

class Sender(threading.Thread):
    """Numbered flows at a steady pace, as long as `going` is set; when each was sent."""

    def __init__(self, machine, pace_s):
        super().__init__(daemon=True)
        self.machine, self.pace_s = machine, pace_s
        self.sent = []
        self.going, self.ended = threading.Event(), threading.Event()
        self.idle = threading.Event()

    def run(self):
        while not self.ended.is_set():
            if not self.going.wait(0.05):
                self.idle.set()
                continue
            self.idle.clear()
            self.send(len(self.sent))
            time.sleep(self.pace_s)

    def pause(self):
        self.going.clear()
        self.idle.wait(5)


class UdpSender(Sender):
    def __init__(self, machine):
        super().__init__(machine, 0.002)
        self.socket = machine.connect((VIP, lab_kit.EXPORT_PORT), kind=socket.SOCK_DGRAM)
        self.messages = 0

    def message(self, set_id, body):
        header = struct.pack("!HHIIII", 9, 1, 1000000, int(time.time()), self.messages, UDP_DOMAIN)
        try:
            self.socket.send(header + struct.pack("!HH", set_id, 4 + len(body)) + body)
        except OSError:
            pass  # refused or unreachable: lost, as it would be without the message about it
        self.messages += 1

    def define(self):
        self.message(0, struct.pack("!HH", 256, 4) + struct.pack("!8H", 8, 4, 12, 4, 7, 2, 1, 4))

    def send(self, number):
        self.sent.append(time.monotonic())
        self.message(256, struct.pack("!IIHI", 0x0A000000 + number, 0x0B000001, 1, 100))


class TcpSender(Sender):
    """Connects again every 200 ms until somebody is there."""

    def __init__(self, machine):
        super().__init__(machine, 0.005)
        self.exporter = None

    def connect(self):
        node = collections.namedtuple("Node", "address port")(VIP, lab_kit.EXPORT_PORT)
        made = kit.Exporter(node, TCP_DOMAIN, connect=lambda address, _: self.machine.connect(address, 0.2))
        made.socket.settimeout(10)
        return made

    def send(self, number):
        try:
            if self.exporter is None:
                self.exporter = self.connect()
            self.sent.append(time.monotonic())
            self.exporter.send(number, 1)
        except OSError:
            if self.exporter is not None:
                self.exporter.close()
            self.exporter = None
            if len(self.sent) == number:  # it was not even connected
                time.sleep(0.05)


# ---- what came of it ----

def accepted(node, domain):
    status = node.status() or {"exporters": []}
    return sum(e["flows"] for e in status["exporters"] if e["domain"] == domain)


def stored(store):
    """The numbers in the store: (UDP, TCP)."""
    lines = kit.query([store], "--output-format=csv", "--output-fields=srcip,odid").stdout.splitlines()[1:]
    out = (collections.Counter(), collections.Counter())
    for line in lines:
        address, domain = line.split(",")
        out[int(domain) - 1][struct.unpack("!I", socket.inet_aton(address))[0] - 0x0A000000] += 1
    return out


class Lab:
    def __init__(self, lab, folder):
        self.lab = lab
        self.cluster = Cluster(lab, folder, 3, 1, roles=[["proxy"], ["proxy"], ["subcollector"]]).start()
        one, two = self.cluster.nodes[:2]
        self.keepers = [Keeper(one, two, 1).start(), Keeper(two, one, 2).start()]
        self.senders = []
        self.rounds = []  # (fault, protocol, first number, number after the last)

    def logs(self):
        return "\n".join(f"--- {k.node.name}\n{k.log.read_text()[-2500:]}" for k in self.keepers) + self.cluster.logs()[-1500:]

    def holders(self, address=VIP):
        return [k for k in self.keepers if k.holds(address)]

    def is_ready(self):
        """One has the address, the other one stands by."""
        holders = self.holders()
        return len(holders) == 1 and all(k.is_well() and len(k.processes()) == 2 for k in self.keepers) and \
            sorted(str(k.state()) for k in self.keepers) == ["BACKUP", "MASTER"] and holders[0].state() == "MASTER"

    def begin(self):
        kit.check("the address is on one machine", kit.wait_for(self.is_ready, 30), self.logs())
        there = self.lab.machine("x1")
        self.senders = [UdpSender(there), TcpSender(there)]
        self.senders[0].define()
        kit.wait_for(lambda: False, 0.3)
        self.senders[0].socket.send(b"")  # whatever waited for ARP has gone
        for s in self.senders:
            s.start()

    def round(self, fault, strike, mend):
        """One take-over; there may be none, which the numbers say."""
        if not kit.wait_for(self.is_ready, 30):
            return kit.check(f"{fault}: one machine has the address, another one stands by", False, self.logs())
        kit.wait_for(lambda: False, 2.0)  # templates, and the exporters' accounts
        old = self.holders()[0]
        new = next(k for k in self.keepers if k is not old)
        before = [accepted(new.node, d) for d in (UDP_DOMAIN, TCP_DOMAIN)]
        first = [len(s.sent) for s in self.senders]
        for s in self.senders:
            s.going.set()
        kit.wait_for(lambda: False, 1.0)
        struck = time.monotonic()
        strike(old)
        kit.wait_for(new.holds, 10)
        kit.wait_for(lambda: False, 2.0)
        alone = not old.holds()
        for s in self.senders:
            s.pause()
        kit.wait_for(lambda: False, 1.5)  # the accounts are a second old at most
        for i, (name, domain) in enumerate((("UDP", UDP_DOMAIN), ("TCP", TCP_DOMAIN))):
            s, got = self.senders[i], accepted(new.node, domain) - before[i]
            self.rounds.append((fault, name, first[i], len(s.sent)))
            TAKEN[fault, name].append(s.sent[-min(got, len(s.sent))] - struck if got > 0 else float("inf"))
        mend(old)
        return alone


def end_keepalived(keeper):
    """Both processes, or the one, or the other."""
    keeper.deaths += 1
    files = (("keepalived", "vrrp"), ("vrrp",), ("keepalived",))[keeper.deaths % 3]
    for pid in [int((keeper.folder / f"{name}.pid").read_text()) for name in files]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def faults(lab):
    """Name, what happens to the machine with the address, how it ends; whether the address must be gone from there."""
    return [("proxy killed", lambda k: k.node.kill(), lambda k: k.node.start(), True),
            ("proxy frozen", lambda k: k.node.freeze(), lambda k: k.node.thaw(), True),
            ("keepalived killed", end_keepalived, lambda k: None, True),
            ("cable pulled", lambda k: lab.unplug(k.machine.name), lambda k: lab.plug(k.machine.name), True),
            ("cut off in the switch", lambda k: lab.isolate(k.machine.name), lambda k: lab.heal(), False)]


def check_fault(there, fault, strike, mend, gone):
    alone = True
    for _ in range(ROUNDS):
        alone &= there.round(fault, strike, mend)
    if statistics.median(TAKEN[fault, "UDP"]) > MOST_S:  # a loaded machine gets a second chance
        alone &= there.round(fault, strike, mend)
    for protocol in ("UDP", "TCP"):
        kit.check(f"{fault}: the standby takes over, {protocol}", statistics.median(TAKEN[fault, protocol]) < MOST_S,
                  f"{TAKEN[fault, protocol]}\n{there.logs()}")
    if gone:
        kit.check(f"{fault}: the address is gone from the machine", alone, there.logs())


def report(there):
    """The table of docs/reliability.md."""
    numbers = stored(there.cluster.nodes[2].store)
    lost = collections.defaultdict(list)
    for fault, protocol, first, after in there.rounds:
        got = numbers[protocol == "TCP"]
        lost[fault, protocol].append(sum(n not in got for n in range(first, after)))
    print(f"# take-over in ms: median, worst of {ROUNDS}; flows lost: median, worst (UDP 500 flows/s, TCP 200 flows/s)")
    for (fault, protocol), seconds in TAKEN.items():
        gone = lost[fault, protocol]
        print(f"# {fault:22} {protocol}: {1000 * statistics.median(seconds):5.0f} {1000 * max(seconds):5.0f};"
              f" {statistics.median(gone):5.0f} {max(gone):5.0f}{'' if statistics.median(seconds) < ASKED_S else '  over what is asked'}")
    kit.check("no flow is there twice over UDP", max(numbers[0].values()) == 1, numbers[0].most_common(3))


def main():
    lab_kit.require()
    if shutil.which("keepalived") is None:
        print("skip virtual-ip keepalived is not installed", flush=True)
        raise SystemExit(77)
    lab_kit.end_on_signals()
    with tempfile.TemporaryDirectory() as folder, lab_kit.Lab() as lab:
        there = Lab(lab, folder)
        there.begin()
        for fault in faults(lab):
            check_fault(there, *fault)
        kit.check("in the end one machine has both addresses", kit.wait_for(there.is_ready, 30) and
                  there.holders() == there.holders(VIP6), there.logs())
        for s in there.senders:
            s.ended.set()
        kit.check("the watches end in good order", [k.stop() for k in there.keepers] == [0, 0] and not there.holders() and
                  not there.holders(VIP6), there.logs())
        kit.wait_for(lambda: all(n.waiting() == 0 for n in there.cluster.proxies()), 20)
        there.cluster.stop()
        report(there)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
