#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=240 beside=any
"""Independent peers over loopback: what sc-exporter sends is read by nfcapd, tshark and libfixbuf with the totals of
its truth file; what softflowd, pmacctd and libfixbuf export is collected and queried with the totals that are known.

A peer whose package is absent is skipped.
"""
import contextlib
import glob
import json
import signal
import socket
import struct
import subprocess
import sys
import time

import peer_kit as kit
from peer_kit import PATIENCE, Failure, check, export, free_port, nfdump_totals, program, run, same, started, tool, wait_for

FLOWS = 20000


def generated(protocol, *more):
    v6 = [] if protocol == "v5" else ["--ipv6", "25"]
    return ["--generate", "--flows", str(FLOWS), "--protocol", protocol, *v6, *more]


# ---- what others make of our messages ----

def nfcapd(folder, protocol):
    port = free_port()
    log = folder / "nfcapd.log"
    with started(tool("nfcapd"), "-y", "-w", str(folder), "-p", str(port), "-b", "127.0.0.1", "-B", "20000000", "-t", "3600",
                 log=log) as peer:
        wait_for(lambda: kit.udp_is_open(port) or peer.poll() is not None, "nfcapd's start")
        truth = export(folder, *generated(protocol, "--exporters", "2", "--rate", "20000", "--to", f"udp://127.0.0.1:{port}"))
        kit.wait_until_read(port)
        peer.send_signal(signal.SIGTERM)
        peer.wait(PATIENCE)
    files = sorted(glob.glob(str(folder / "nfcapd.2*")))
    check(files, "nfcapd wrote no file: " + log.read_text()[-300:])
    flows = packets = octets = dns = 0
    first_ms = []
    for path in files:
        stats, rows, first = nfdump_totals(path)
        first_ms.append(first)
        check(stats["Sequence failures"] == "0", f"nfcapd saw {stats['Sequence failures']} sequence failures")
        flows += int(stats["Flows"])
        check(int(stats["Flows"]) == len(rows), f"{len(rows)} records of {stats['Flows']}")
        for row in rows:
            packets += int(row[11])
            octets += int(row[12])
            dns += int(row[6]) == 53
    got = {"flows": flows, "packets": packets, "bytes": octets, "dstport_53_flows": dns, "first_ms": min(first_ms)}
    same(got, truth, got)


def tshark(folder, protocol):
    capture = folder / "flows.pcap"
    truth = export(folder, *generated(protocol, "--write", str(capture)))
    fields = ["cflow.packets", "cflow.octets", "cflow.srcport", "_ws.malformed"]
    out = run(tool("tshark"), "-r", str(capture), "-d", "udp.port==2055,cflow", "-T", "fields",
              *[x for f in fields for x in ("-e", f)], timeout=120)
    flows = packets = octets = 0
    for line in out.splitlines():
        column = [[v for v in c.split(",") if v] for c in (line.split("\t") + [""] * len(fields))[:len(fields)]]
        packets += sum(map(int, column[0]))
        octets += sum(map(int, column[1]))
        flows += len(column[2])
        check(not column[3], "tshark calls a message malformed")
    same({"flows": flows, "packets": packets, "bytes": octets}, truth, ("flows", "packets", "bytes"))


def fixbuf_collects(folder):
    port, exporters = free_port(socket.SOCK_STREAM), 3
    log = folder / "fixbuf.log"
    with started(program("fixbuf_peer", "tests"), "collect", "127.0.0.1", str(port), str(exporters), log=log) as peer:
        wait_for(lambda: "listening" in log.read_text() or peer.poll() is not None, "fixbuf_peer's start")
        truth = export(folder, *generated("ipfix", "--exporters", str(exporters), "--message-size", "20000", "--to",
                                          f"tcp://127.0.0.1:{port}"))
        peer.wait(PATIENCE)
        check(peer.returncode == 0, log.read_text())
    got = json.loads(log.read_text().splitlines()[-1])
    same(got, truth, ("flows", "packets", "bytes", "first_ms", "last_ms"))
    check(got["dns"] == truth["dstport_53_flows"], f"{got['dns']} flows to port 53")
    tcp = [p["flows"] for p in truth["protocols"] if p["proto"] == 6]
    check([got["tcp"]] == tcp, f"{got['tcp']} flows of TCP instead of {tcp}")
    check(0 < got["ipv6"] < FLOWS, f"{got['ipv6']} flows of IPv6")


# ---- our collector and query ----

@contextlib.contextmanager
def collecting(folder, scheme):
    """sc-collector on a free port: gives the port; the store is whole after the block."""
    store, log = folder / "store", folder / "collector.log"
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    port = free_port(kind)
    with started(program("sc-collector"), "--listen", f"{scheme}://127.0.0.1:{port}", "--store", str(store), log=log) as peer:
        wait_for(lambda: f":{port}" in log.read_text() or peer.poll() is not None, "sc-collector's start")
        yield port
        if scheme == "udp":
            kit.wait_until_read(port)
        else:
            kit.wait_until_closed(port)
        peer.send_signal(signal.SIGTERM)
        peer.wait(PATIENCE)
        check(peer.returncode == 0, f"sc-collector ended with {peer.returncode}: {log.read_text()[-500:]}")


def query(folder, *options):
    return json.loads(run(program("sc-query"), "--output-format=json", *options, str(folder / "store")))


def groups(folder, key, *options):
    """{value of key: (flows, packets, bytes)}"""
    answer = query(folder, "-a", key, "-l", "0", f"--output-fields={key},flows,packets,bytes", *options)
    check(answer["complete"] is True, "the answer is not complete")
    return {r[key]: (r["flows"], r["packets"], r["bytes"]) for r in answer["records"]}


def totals(by_key):
    return dict(zip(("flows", "packets", "bytes"), map(sum, zip(*by_key.values()))))


def check_known(folder, known):
    by_port = groups(folder, "dstport")
    same(totals(by_port) if by_port else {"flows": 0, "packets": 0, "bytes": 0}, known, ("flows", "packets", "bytes"))
    check(by_port == known["dstport"], f"by destination port: {by_port} instead of {known['dstport']}")
    by_source = groups(folder, "srcip")
    check(by_source == known["srcip"], f"by source: {len(by_source)} of {len(known['srcip'])} addresses are right")


def packet(source, destination, payload):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, 17, 0, socket.inet_aton(source),
                         socket.inet_aton(destination))
    checksum = sum(struct.unpack(">10H", header))
    checksum = (checksum & 0xffff) + (checksum >> 16)
    return header[:10] + struct.pack(">H", ~(checksum + (checksum >> 16)) & 0xffff) + header[12:] + payload


def write_packets(path, flows=200):
    """One-way UDP flows as Ethernet frames; returns what a probe must count."""
    known = {"flows": 0, "packets": 0, "bytes": 0, "dstport": {}, "srcip": {}}
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        when = time.time() - 60
        for i in range(flows):
            source, port = f"10.1.{i // 100}.{i % 100 + 1}", 53 if i % 2 else 4000 + i % 3
            count, size = 1 + i % 5, i % 300
            data = packet(source, "192.0.2.1", struct.pack(">HHHH", 1024 + i, port, 8 + size, 0) + bytes(size))
            frame = bytes.fromhex("020000000002020000000001" "0800") + data
            for _ in range(count):
                out.write(struct.pack("<IIII", int(when), int(when % 1 * 1e6), len(frame), len(frame)) + frame)
                when += 0.01
            for totals_of in (known["dstport"].setdefault(port, [0, 0, 0]), known["srcip"].setdefault(source, [0, 0, 0])):
                for k, v in enumerate((1, count, count * len(data))):
                    totals_of[k] += v
            known["flows"] += 1
            known["packets"] += count
            known["bytes"] += count * len(data)
    for key in ("dstport", "srcip"):
        known[key] = {k: tuple(v) for k, v in known[key].items()}
    return known


def softflowd(folder, version):
    probe, control = tool("softflowd"), tool("softflowctl")
    known = write_packets(folder / "packets.pcap")
    with collecting(folder, "udp") as port:
        with started(probe, "-r", str(folder / "packets.pcap"), "-n", f"127.0.0.1:{port}", "-v", str(version), "-d", "-p",
                     str(folder / "pid"), "-c", str(folder / "control"), log=folder / "softflowd.log") as peer:
            end = time.monotonic() + PATIENCE
            while peer.poll() is None and time.monotonic() < end:
                # 1.1.0 waits for something to happen before it reads the file: ask it how it does
                subprocess.run([control, "-c", str(folder / "control"), "statistics"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False)
                time.sleep(0.2)
            check(peer.returncode == 0, f"softflowd: {peer.returncode}, " + (folder / "softflowd.log").read_text()[-300:])
    check_known(folder, known)


def pmacctd(folder, version):
    probe = tool("pmacctd")
    known = write_packets(folder / "packets.pcap")
    with collecting(folder, "udp") as port:
        (folder / "pmacctd.conf").write_text(
            "daemonize: false\n"
            f"pcap_savefile: {folder / 'packets.pcap'}\n"
            "plugins: nfprobe\n"
            "aggregate: src_host, dst_host, src_port, dst_port, proto, tos\n"
            f"nfprobe_receiver: 127.0.0.1:{port}\n"
            f"nfprobe_version: {version}\n"
            "plugin_pipe_size: 1024000\n"
            "plugin_buffer_size: 10240\n")
        with started(probe, "-f", str(folder / "pmacctd.conf"), log=folder / "pmacctd.log") as peer:
            try:
                peer.wait(PATIENCE)
            except subprocess.TimeoutExpired as late:
                raise Failure("pmacctd does not end") from late
            time.sleep(1)  # its plugin is another process
    check_known(folder, known)


def fixbuf_exports(folder):
    count = 30000
    with collecting(folder, "tcp") as port:
        sent = json.loads(run(program("fixbuf_peer", "tests"), "export", "127.0.0.1", str(port), str(count)))
    by_protocol, by_port = groups(folder, "proto"), groups(folder, "dstport")
    same(totals(by_protocol), sent, ("flows", "packets", "bytes"))
    check(by_protocol[6][0] == sent["tcp"], f"{by_protocol[6][0]} flows of TCP instead of {sent['tcp']}")
    check(by_port[53][0] == sent["dns"], f"{by_port[53][0]} flows to port 53 instead of {sent['dns']}")
    v6 = totals(groups(folder, "proto", "-f", "src net 2001:db8::/32"))
    check(v6["flows"] == sent["ipv6"], f"{v6['flows']} flows of IPv6 instead of {sent['ipv6']}")


def ourselves(folder, protocol):
    """sc-exporter to sc-collector: every figure of the truth from sc-query; then the store sent on to a second one."""
    with collecting(folder, "udp") as port:
        truth = export(folder, *generated(protocol, "--exporters", "3", "--rate", "20000", "--to", f"udp://127.0.0.1:{port}"))
    by_protocol = groups(folder, "proto")
    want = {p["proto"]: (p["flows"], p["packets"], p["bytes"]) for p in truth["protocols"]}
    check(by_protocol == want, f"by protocol: {by_protocol} instead of {want}")
    tops = (("srcip", "flows", "top_srcip_by_flows"), ("srcip", "bytes", "top_srcip_by_bytes"),
            ("dstport", "flows", "top_dstport_by_flows"))
    for key, order, name in tops:
        found = sorted(groups(folder, key).values(), key=lambda v: v[("flows", "packets", "bytes").index(order)])[-10:]
        top = sorted((t["flows"], t["packets"], t["bytes"]) for t in truth[name])
        index = ("flows", "packets", "bytes").index(order)
        check(sorted(v[index] for v in found) == sorted(t[index] for t in top), f"{name}: {found} instead of {top}")
    tuples = query(folder, "-a", "srcip,dstip,srcport,dstport,proto", "-l", "0")["records"]
    check(len(tuples) == truth["distinct_5tuples"], f"{len(tuples)} 5-tuples instead of {truth['distinct_5tuples']}")
    again = export(folder, "--store", str(folder / "store"), "--protocol", protocol, "--write", str(folder / "again.pcap"))
    same(again, truth, ("flows", "packets", "bytes", "first", "last", "distinct_5tuples", "protocols", "top_srcip_by_flows"))


# ---- the list ----

def cases():
    for protocol in ("v5", "v9", "ipfix"):
        yield f"nfcapd_{protocol}", lambda f, p=protocol: nfcapd(f, p)
        yield f"tshark_{protocol}", lambda f, p=protocol: tshark(f, p)
        yield f"ourselves_{protocol}", lambda f, p=protocol: ourselves(f, p)
    yield "fixbuf_collects", fixbuf_collects
    yield "fixbuf_exports", fixbuf_exports
    for version in (5, 9, 10):
        yield f"softflowd_{version}", lambda f, v=version: softflowd(f, v)
        yield f"pmacctd_{version}", lambda f, v=version: pmacctd(f, v)


if __name__ == "__main__":
    sys.exit(kit.main(cases()))
