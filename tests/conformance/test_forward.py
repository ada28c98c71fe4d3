#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=300 beside=any
"""sc-collector --forward to collectors that are not ours (nfcapd over UDP, libfixbuf over TCP), to a second one of ours,
and to some that are dead, deaf or unknown: who gets what, what is counted, and that nothing else suffers.
"""
import contextlib
import glob
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import peer_kit as kit
from peer_kit import check, program, run, same, started, tool, wait_for

FLOWS = 60000
UNKNOWN_HOST = "no..such.host"  # no name server is asked for such a name


class Collector:
    """sc-collector with a store and a listener at `scheme`; `stop` gives its exit status."""

    def __init__(self, folder, name, scheme="udp", options=(), config=None):
        self.store, self.log = folder / name, folder / f"{name}.log"
        options = list(options)
        if config is not None:
            self.config = folder / f"{name}.yaml"
            self.config.write_text(config)
            options += ["-c", str(self.config)]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([program("sc-collector"), "--listen", f"{scheme}://127.0.0.1:0", "--store",
                                             str(self.store), *options], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_for(lambda: self.listening(scheme) or self.process.poll() is not None, f"the start of {name}")
        check(self.listening(scheme), f"{name} does not listen: {self.log.read_text()}")
        self.port = int(self.listening(scheme)[1])

    def listening(self, scheme):
        return re.search(rf"listening {scheme} 127\.0\.0\.1:(\d+)\n", self.log.read_text())

    def status(self):
        return json.loads(run(program("sc-admin"), "status", "--json", str(self.store)))

    def destination(self, index=0):
        return self.status()["forward"][index]

    def wait_received(self, flows):
        wait_for(lambda: self.status()["received"]["flows"] >= flows, f"{flows} flows")

    def wait_settled(self, index, flows):
        """Until all is offered and nothing waits; the destination's status."""
        def settled():
            f = self.destination(index)["flows"]
            return f["offered"] == flows and f["waiting"] == 0
        wait_for(settled, f"{flows} flows for destination {index}")
        return self.destination(index)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(kit.PATIENCE)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def collector(*args, **options):
    c = Collector(*args, **options)
    try:
        yield c
    finally:
        c.end()


def send(folder, port, *more, flows=FLOWS, protocol="ipfix", rate=60000):
    v6 = [] if protocol == "v5" else ["--ipv6", "25"]
    return kit.export(folder, "--generate", "--flows", str(flows), "--protocol", protocol, *v6, "--rate", str(rate),
                      "--exporters", "2", "--to", f"udp://127.0.0.1:{port}", *more)


def account(destination, offered):
    """Every flow is in one place."""
    f = destination["flows"]
    total = f["sent"] + f["dropped"] + f["skipped"] + f["waiting"]
    check(f["offered"] == offered == total, f"{destination['to']}: {f} of {offered} flows")
    return f


def stored(store):
    answer = json.loads(run(program("sc-query"), "--output-format=json", "-a", "proto", "-l", "0", str(store)))
    check(answer["complete"] is True, "the answer is not complete")
    return {key: sum(r[key] for r in answer["records"]) for key in ("flows", "packets", "bytes")}


def check_stored(store, truth):
    same(stored(store), truth, ("flows", "packets", "bytes"))


# ---- others ----

def nfcapd(folder, protocol):
    """All three protocols over UDP, without a sequence number missing."""
    port, files, log = kit.free_port(), folder / "nf", folder / "nfcapd.log"
    files.mkdir()
    with started(tool("nfcapd"), "-y", "-w", str(files), "-p", str(port), "-b", "127.0.0.1", "-B", "2000000", "-t", "3600",
                 log=log) as peer:
        wait_for(lambda: kit.udp_is_open(port) or peer.poll() is not None, "nfcapd's start")
        config = f"forward:\n  - {{to: 'udp://127.0.0.1:{port}', protocol: {protocol}}}\n"
        with collector(folder, "store", config=config) as c:
            truth = send(folder, c.port, protocol=protocol)
            got = account(c.wait_settled(0, truth["flows"]), truth["flows"])
            check(got["sent"] == truth["flows"], f"{got}")
            check(c.stop() == 0, "the collector's exit status")
        kit.wait_until_read(port)
        peer.send_signal(signal.SIGTERM)
        peer.wait(kit.PATIENCE)
    sums = {"flows": 0, "packets": 0, "bytes": 0}
    for path in sorted(glob.glob(str(files / "nfcapd.2*"))):
        stats, rows, _ = kit.nfdump_totals(path)
        check(stats["Sequence failures"] == "0", f"nfcapd saw {stats['Sequence failures']} sequence failures")
        check(int(stats["Flows"]) == len(rows), f"{len(rows)} records of {stats['Flows']}")
        for key, column in (("packets", 11), ("bytes", 12)):
            sums[key] += sum(int(row[column]) for row in rows)
        sums["flows"] += len(rows)
    same(sums, truth, sums)
    check_stored(folder / "store", truth)


def fixbuf(folder):
    port, log = kit.free_port(socket.SOCK_STREAM), folder / "fixbuf.log"
    with started(program("fixbuf_peer", "tests"), "collect", "127.0.0.1", str(port), "1", log=log) as peer:
        wait_for(lambda: "listening" in log.read_text() or peer.poll() is not None, "fixbuf_peer's start")
        with collector(folder, "store", options=["--forward", f"tcp://127.0.0.1:{port}"]) as c:
            truth = send(folder, c.port)
            c.wait_received(truth["flows"])
            check(c.stop() == 0, "the collector's exit status")
            check("were not sent" not in c.log.read_text(), "something was not sent")
        peer.wait(kit.PATIENCE)
        check(peer.returncode == 0, log.read_text())
    got = json.loads(log.read_text().splitlines()[-1])
    same(got, truth, ("flows", "packets", "bytes", "first_ms", "last_ms"))


# ---- ourselves ----

def records(store, fields, *options):
    lines = run(program("sc-query"), "-l", "0", "--output-format=ndjson", f"--output-fields={fields}", *options,
                str(store), timeout=120).splitlines()
    return sorted(lines)


FIELDS = ("first,last,srcip,dstip,srcport,dstport,proto,flags,tos,packets,bytes,srcas,dstas,srcmask,dstmask,inif,"
          "outif,nexthop,exporterip,odid,sampling,dir,fwd,srcvlan,dstvlan")


def check_forwarded(first, second, flows):
    """Every record of the first store is in the second, with the first one's receive time as the record's own."""
    mine = records(first, "received," + FIELDS)
    theirs = [r.replace('"collectionTimeMilliseconds":', '"received":', 1)
              for r in records(second, "collectionTimeMilliseconds," + FIELDS)]
    check(len(mine) == flows, f"{len(mine)} records instead of {flows}")
    check(mine == theirs, "records differ: " + str(next((x for x in zip(mine, theirs) if x[0] != x[1]), len(theirs))))


def ourselves(folder, protocol, scheme):
    with collector(folder, "second", scheme) as second, \
            collector(folder, "first", options=["--forward", f"{scheme}://127.0.0.1:{second.port}"]) as first:
        truth = send(folder, first.port, protocol=protocol)
        first.wait_settled(0, truth["flows"])
        second.wait_received(truth["flows"])
        check(first.stop() == 0 and second.stop() == 0, "exit status")
    check_forwarded(folder / "first", folder / "second", truth["flows"])


def v5_message(sequence, records_count, sampling):
    now = time.time()
    head = struct.pack("!HHIIIIBBH", 5, records_count, 100000, int(now), 0, sequence, 0, 3, 1 << 14 | sampling)
    body = struct.pack("!IIIHHIIIIHHBBBBHHBBH", 0x0A000001, 0x0A000002, 0, 1, 2, 1, 100, 90000, 95000, 5, 6, 0, 0x10, 6, 0, 0,
                       0, 24, 24, 0)
    return head + records_count * body


def ipfix_options(domain, interface, name):
    """An options template (scope ingressInterface; interfaceName), a record of it; and a sampling interval of 50."""
    template = struct.pack("!HHHHHHHH", 300, 2, 1, 10, 4, 82, 8, 0)[:14]
    sampling = struct.pack("!HHHHHHH", 301, 2, 1, 149, 4, 34, 4)
    sets = struct.pack("!HH", 3, 4 + len(template) + len(sampling)) + template + sampling
    sets += struct.pack("!HHI8s", 300, 16, interface, name) + struct.pack("!HHII", 301, 12, domain, 50)
    return struct.pack("!HHIII", 10, 16 + len(sets), int(time.time()), 0, domain) + sets


def sampling_and_options(folder):
    """Each flow keeps the sampling of its exporter; what exporters tell keeps its origin; no sampling leaks to others."""
    with collector(folder, "second", "tcp") as second, \
            collector(folder, "first", options=["--forward", f"tcp://127.0.0.1:{second.port}"]) as first:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
            a.bind(("127.0.0.2", 0))
            b.bind(("127.0.0.3", 0))
            for i in range(4):
                a.sendto(v5_message(i * 10, 10, 100), ("127.0.0.1", first.port))
                b.sendto(v5_message(i * 10, 10, 0), ("127.0.0.1", first.port))
            a.sendto(ipfix_options(77, 4, b"eth0\0\0\0\0"), ("127.0.0.1", first.port))
        first.wait_settled(0, 80)
        wait_for(lambda: first.destination()["options"]["sent"] == 1, "the options record")
        second.wait_received(80)
        options = first.destination()["options"]
        check(options["offered"] == 2 and options["skipped"] == 1, f"options: {options}")
        check(first.stop() == 0 and second.stop() == 0, "exit status")
    check_forwarded(folder / "first", folder / "second", 80)
    rates = {(json.loads(r)["exporterip"], json.loads(r)["sampling"]) for r in records(folder / "second", FIELDS)}
    check(rates == {("127.0.0.2", 100), ("127.0.0.3", None)}, f"sampling: {rates}")
    told = [json.loads(r) for r in records(folder / "second", "exporterip,odid,inif,interfaceName", "--record-kind=options")]
    check(told == [{"exporterip": "127.0.0.2", "odid": 77, "inif": 4, "interfaceName": "eth0"}], f"options: {told}")


def proxy(folder):
    """A node of a cluster forwards what it accepts as a proxy."""
    link = kit.free_port(socket.SOCK_STREAM)
    (folder / "cluster.yaml").write_text(f"version: 1\nreplication: 1\nmembers:\n  - {{name: alpha, address: '127.0.0.1:{link}'}}\n")
    config = f"cluster: {folder / 'cluster.yaml'}\nnode: alpha\n"
    with collector(folder, "second", "tcp") as second, \
            collector(folder, "first", config=config, options=["--forward", f"tcp://127.0.0.1:{second.port}"]) as first:
        truth = send(folder, first.port)
        first.wait_settled(0, truth["flows"])
        second.wait_received(truth["flows"])
        check(first.stop() == 0 and second.stop() == 0, "exit status")
    check_stored(folder / "first", truth)
    check_forwarded(folder / "first", folder / "second", truth["flows"])


# ---- trouble ----

def dead_and_deaf(folder):
    """One that is dead, one that never reads, one that no name service knows: the store and a good one get everything."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, collector(folder, "good", "tcp") as good:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        dead = kit.free_port(socket.SOCK_STREAM)
        config = "forward-memory: 16M\nforward:\n" + "".join(f"  - to: {to}\n" for to in (
            f"tcp://127.0.0.1:{good.port}", f"tcp://127.0.0.1:{dead}", f"tcp://127.0.0.1:{deaf.getsockname()[1]}",
            f"tcp://{UNKNOWN_HOST}:4739"))
        with collector(folder, "first", config=config) as c:
            truth = send(folder, c.port, flows=400000, rate=150000)
            c.wait_settled(0, truth["flows"])
            wait_for(lambda: c.destination(2)["state"] == "stalled", "the stall")
            table = run(program("sc-admin"), "status", str(c.store))
            check(f"tcp://127.0.0.1:{dead}" in table and "stalled" in table, table)
            status = c.status()["forward"]
            counts = [account(d, truth["flows"]) for d in status]
            check(counts[0]["sent"] == truth["flows"], f"the good one: {counts[0]}")
            check(counts[1]["sent"] == 0 and counts[1]["dropped"] > 0, f"the dead one: {counts[1]}")
            check(counts[2]["sent"] > 0 and counts[2]["dropped"] > 0, f"the deaf one: {counts[2]}")
            check([d["state"] for d in status] == ["up", "connecting", "stalled", "connecting"], "states")
            check("refused" in status[1]["last_error"] and UNKNOWN_HOST in status[3]["last_error"], "errors")
            check(all(d["queue_bytes"] <= d["queue_limit_bytes"] for d in status), "a queue beyond its bound")
            check(c.stop() == 0, "the collector's exit status")
            log = c.log.read_text()
            check(len(re.findall(r"flows and \d+ options records were not sent", log)) == 3, "the account at the end: " + log)
        good.wait_received(truth["flows"])
        check(good.stop() == 0, "exit status")
    check_stored(folder / "first", truth)
    check_stored(folder / "good", truth)


def restarted(folder):
    """A destination that is killed and comes back gets what was received meanwhile."""
    port = kit.free_port(socket.SOCK_STREAM)
    with collector(folder, "first", options=["--forward", f"tcp://127.0.0.1:{port}"]) as c:
        before = send(folder, c.port, flows=5000)
        c.wait_received(before["flows"])
        with started(program("sc-collector"), "--listen", f"tcp://127.0.0.1:{port}", "--store", str(folder / "one"),
                     log=folder / "one.log") as one:
            c.wait_settled(0, before["flows"])
            time.sleep(1.5)  # until it is durable there
            one.kill()
            one.wait()
        wait_for(lambda: c.destination()["state"] == "connecting", "the end of the connection")
        meanwhile = send(folder, c.port, "--seed", "2", flows=7000)
        c.wait_received(before["flows"] + meanwhile["flows"])
        with started(program("sc-collector"), "--listen", f"tcp://127.0.0.1:{port}", "--store", str(folder / "two"),
                     log=folder / "two.log") as two:
            d = c.wait_settled(0, before["flows"] + meanwhile["flows"])
            check(d["flows"]["dropped"] == 0 and d["connects"] == 2, f"{d}")
            check(c.stop() == 0, "exit status")
            two.send_signal(signal.SIGTERM)
            two.wait(kit.PATIENCE)
    check_stored(folder / "one", before)
    check_stored(folder / "two", meanwhile)


def reloaded(folder):
    """SIGHUP: a destination comes, another goes; that which stays keeps its connection."""
    with collector(folder, "a", "tcp") as a, collector(folder, "b", "tcp") as b:
        def config(*targets):
            return "forward:\n" + "".join(f"  - to: tcp://127.0.0.1:{t.port}\n" for t in targets)
        with collector(folder, "first", config=config(a)) as c:
            one = send(folder, c.port, flows=5000)
            c.wait_settled(0, one["flows"])
            c.config.write_text(config(a, b))
            c.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(c.status()["forward"]) == 2 and c.destination(1)["state"] == "up", "the second destination")
            two = send(folder, c.port, "--seed", "2", flows=6000)
            check(c.wait_settled(0, one["flows"] + two["flows"])["connects"] == 1, "the first was connected anew")
            c.wait_settled(1, two["flows"])
            c.config.write_text("forward: []\n")
            c.process.send_signal(signal.SIGHUP)
            wait_for(lambda: not c.status()["forward"], "the end of forwarding")
            three = send(folder, c.port, "--seed", "3", flows=1000)
            c.wait_received(one["flows"] + two["flows"] + three["flows"])
            c.config.write_text("forward:\n  - to: tls://127.0.0.1:1\n")
            c.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "the configuration stays as it is" in c.log.read_text(), "the refusal")
            check(c.stop() == 0, "exit status")
        check(a.stop() == 0 and b.stop() == 0, "exit status")
    check_stored(folder / "b", two)
    check(stored(folder / "a")["flows"] == one["flows"] + two["flows"], "the first destination's flows")


def shared(folder):
    """Three that share by round-robin: together they get everything once."""
    with collector(folder, "a", "tcp") as a, collector(folder, "b", "tcp") as b, collector(folder, "c", "tcp") as c:
        config = "forward:\n" + "".join(f"  - {{to: 'tcp://127.0.0.1:{t.port}', mode: round-robin}}\n" for t in (a, b, c))
        with collector(folder, "first", config=config) as first:
            wait_for(lambda: all(d["state"] == "up" for d in first.status()["forward"]), "the connections")
            truth = send(folder, first.port, rate=20000)
            first.wait_received(truth["flows"])
            check(first.stop() == 0, "exit status")
        for peer in (a, b, c):
            check(peer.stop() == 0, "exit status")
    parts = [stored(folder / name) for name in "abc"]
    same({k: sum(p[k] for p in parts) for k in parts[0]}, truth, parts[0])
    check(all(p["flows"] > 0 for p in parts), f"shares: {[p['flows'] for p in parts]}")


def refused(folder):
    cases = [
        (["--forward", "tls://h:1"], "unknown scheme"),
        (["--forward", "h:1"], "is no URL"),
        (["--forward", "tcp://h:1", "--forward", "tcp://h:1"], "a second time"),
        (["--forward", "udp://h:0"], "port 0"),
        (["--listen", "udp://[::]:17999", "--forward", "udp://127.0.0.1:17999"], "round for ever"),
        (["--read", "x.pcap", "--forward", "tcp://h:1"], "sc-exporter --read"),
    ]
    (folder / "c.yaml").write_text("forward:\n  - {to: 'tcp://h:1', protocol: v9}\n")
    cases.append((["-c", str(folder / "c.yaml")], "c.yaml:2: forward[0]: \"tcp://h:1\": NetFlow v9 goes over udp"))
    for options, text in cases:
        done = subprocess.run([program("sc-collector"), "--check-config", *options], capture_output=True, text=True,
                              timeout=kit.PATIENCE, check=False)
        check(done.returncode == 2 and text in done.stderr, f"{options}: {done.returncode}, {done.stderr}")


def cases():
    for protocol in ("v5", "v9", "ipfix"):
        yield f"nfcapd_{protocol}", lambda f, p=protocol: nfcapd(f, p)
        yield f"ourselves_{protocol}_tcp", lambda f, p=protocol: ourselves(f, p, "tcp")
    yield "ourselves_ipfix_udp", lambda f: ourselves(f, "ipfix", "udp")
    for case in (fixbuf, sampling_and_options, proxy, dead_and_deaf, restarted, reloaded, shared, refused):
        yield case.__name__, case


if __name__ == "__main__":
    sys.exit(kit.main(cases()))
