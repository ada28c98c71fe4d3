#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compares with Debian's nfdump in the same run and writes the ratios to bench/results.md.

    bench/run.py [--build DIR] [--only disk|read|ingest|query|growth|start|cluster|heal|query-cluster]... [--pairs N] [--scale FACTOR] [--case TEXT]
                 [--before DIR]

Both sides get the same export messages: flows that sc-exporter generates into a capture. nfcapd receives its payloads over
UDP at a rate at which it loses nothing (Debian's reads no captures), sc-collector reads it. Times are those of whole processes, in alternating runs (A B A B ...); a ratio is that of one pair, and the
median, least and greatest over the pairs are reported. Before anything is timed both sides must give the same answers.

Captures and nfcapd's files are kept in DIR/bench and used again while the parameters are the same; our own store is
made anew whenever the collector was rebuilt. With --scale other than 1 the results go to DIR/bench/results.md.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import data
import harness
from harness import Side

TOP = pathlib.Path(__file__).resolve().parent.parent
STEADY_RATE = 150_000  # flows/s that both sides take without loss


def disk(bench):
    """Bytes per flow of 2 M generated v5 flows against nfcapd with LZ4."""
    sets = data.DataSet(bench, "v5", flows=bench.scaled(2_000_000), options=["--protocol", "v5"], seed=1, windows=2)
    ours, theirs = sets.store(), sets.nfcapd_files()
    sets.check_counts()
    flows = sets.flows
    sc, nf = harness.folder_bytes(ours), harness.folder_bytes(theirs)
    return [dict(name="bytes per flow, v5", goal="at most 0.45 of nfcapd -y (LZ4)", ratio=[sc / nf], unit="sc / nfcapd",
                 better="less", limit=0.45, note=f"{sc / flows:.1f} and {nf / flows:.1f} bytes a flow")]


def read(bench):
    """CPU time per flow of --read against that of nfcapd receiving the same flows."""
    sets = data.DataSet(bench, "v9", **data.QUERY_SET(bench))
    sets.nfcapd_files()
    theirs = sets.meta["nfcapd_cpu_s"]
    cpu, wall = [], []
    for _ in range(bench.pairs):
        run = sets.read_into(bench.folder / "read.sc")
        cpu.append(theirs / run.cpu)
        wall.append(theirs / run.wall)
    shutil.rmtree(bench.folder / "read.sc", ignore_errors=True)
    return [dict(name="--read, CPU time a flow, v9", goal="-", ratio=cpu, unit="nfcapd CPU / sc CPU", better="more"),
            dict(name="--read, wall time a flow, v9", goal="-", ratio=wall, unit="nfcapd CPU / sc wall", better="more",
                 note="nfcapd's side is its user + system time: its wall time is the sender's")]


def ingest(bench):
    """The highest rate without loss, same sender; and CPU time a flow at a rate that both sustain."""
    sets = data.DataSet(bench, "ingest", flows=bench.scaled(2_000_000), options=["--protocol", "v9", "--ipv6", "20"],
                        seed=3, windows=1)
    capture, flows = sets.capture(), sets.flows
    rates, cpu = [], []
    for _ in range(max(3, bench.pairs // 2)):
        nf = data.lossless_rate(bench, data.Nfcapd, capture, flows)
        sc = data.lossless_rate(bench, data.Collector, capture, flows)
        rates.append(sc / nf)
    for _ in range(bench.pairs):
        nf = data.receive(bench, data.Nfcapd, capture, flows, STEADY_RATE)
        sc = data.receive(bench, data.Collector, capture, flows, STEADY_RATE)
        cpu.append(nf.cpu / sc.cpu)
    return [dict(name="lossless UDP ingest, v9", goal="at least nfcapd's rate", ratio=rates, unit="sc rate / nfcapd rate",
                 better="more", limit=1.0, note="one sender, which shares the cores with the collector"),
            dict(name=f"UDP ingest, CPU time a flow at {STEADY_RATE:,} flows/s", goal="-", ratio=cpu, unit="nfcapd / sc", better="more")]


def query(bench):
    """Queries over 10 M generated v9 flows, 3 M hosts, a fifth IPv6, in nfdump, DuckDB, sc-query, and sc-query of the build --before."""
    import engine_run
    return engine_run.rows(bench)


def growth(bench):
    """Ten times the flows, 100 M, in ten times the time at most."""
    import engine_run
    return engine_run.growth(bench)


def start(bench):
    """A query of an empty store: what sc-query takes to begin and to end; and a lone rank of a cluster query, which has MPI."""
    store = bench.folder / "empty.sc"
    store.mkdir(exist_ok=True)
    rank = Side([bench.program("sc-query-rank"), "--", "--output-items=p", str(store)])
    sc = Side([bench.program("sc-query"), "--output-items=p", str(store)])
    pairs = harness.alternate(rank, sc, 3 * bench.pairs)
    return [dict(name="start to end of sc-query", goal="below 0.010 s", ratio=[b.wall for _, b in pairs], unit="seconds",
                 better="less", limit=0.010),
            dict(name="the same with MPI", goal="-", ratio=[a.wall / b.wall for a, b in pairs],
                 unit="sc-query-rank time / sc-query time", better="more")]


def cluster(bench):
    """One proxy and two subcollectors, each a process on the same cores, against one collector that stores: IPFIX over TCP."""
    import cluster_run
    flows = bench.scaled(12_000_000)  # long enough that what is seen a fraction of a second late does not matter
    rows = []
    for copies, goal in ((1, 0.5), (2, 0.3)):
        label = "1 copy" if copies == 1 else f"{copies} copies"
        wall, cpu, proxy, spread = [], [], [], []
        for _ in range(max(3, bench.pairs // 2)):
            alone = cluster_run.single(bench, flows)
            many = cluster_run.cluster(bench, flows, copies)
            wall.append(alone.seconds / many.seconds)
            cpu.append(many.cpu / alone.cpu)
            proxy.append(many.proxy_cpu / alone.cpu)
            spread.append(many.spread)
        rows.append(dict(name=f"proxy throughput, {label}", goal=f"at least {goal}", ratio=wall,
                         unit="cluster / single node, flows/s until durable", better="more", limit=goal))
        rows.append(dict(name=f"CPU time a flow, {label}", goal="-", ratio=cpu,
                         unit="all processes of the cluster / single node", better="less",
                         note=f"{1e9 * alone.cpu / flows:.0f} ns of CPU a flow on the single node, "
                              f"{1e9 * many.cpu / flows:.0f} in the cluster; {many.wire / flows:.1f} bytes a flow on the wire, "
                              f"{many.disk / flows:.1f} on the disks before the windows are sealed"))
        rows.append(dict(name=f"CPU time a flow of the proxy, {label}", goal="-", ratio=proxy, unit="proxy / single node",
                         better="less"))
        rows.append(dict(name=f"spread over the subcollectors, {label}", goal="at most 1.05", ratio=spread,
                         unit="flows, largest / mean", better="less", limit=1.05))
    rates = [cluster_run.outbox(bench, bench.scaled(4_000_000)) for _ in range(3)]
    rows.append(dict(name="outbox, drained at", goal="-", ratio=[d / w for w, d in rates],
                     unit="flows/s out of it to two nodes / flows/s into it", better="more",
                     note="into it " + ", ".join(f"{w / 1e6:.2f}" for w, _ in rates) + " M flows/s, out of it "
                          + ", ".join(f"{d / 1e6:.2f}" for _, d in rates)))
    for what, seconds in cluster_run.detection(bench, 20).items():
        rows.append(dict(name=f"a subcollector that was {what}: the proxy knows", goal="worst of 20 below 2.5 s" if what in
                         ("killed", "frozen") else "-", ratio=seconds, unit="seconds", better="less",
                         **({"limit": 2.5, "worst": True} if what in ("killed", "frozen") else {})))
    return rows


def heal(bench):
    """A subcollector with 10 GB on a new disk, in a cluster of three with two copies: until it has them again, and what others notice."""
    import heal_run
    return heal_run.rows(bench)


def query_cluster(bench):
    """Queries over hosts that are namespaces with an sshd of their own, and ranks by hand, all on the same cores."""
    import query_cluster_run as run
    try:
        run.kit(bench).require()
    except SystemExit:  # it says what is not there
        return []
    runs = max(5, bench.pairs)
    load = os.getloadavg()[0]
    hosts = {n: run.latency(bench, n, bench.scaled(100_000), runs) for n in run.HOSTS}
    return latency_rows(run, hosts) + reduce_rows(run, bench) + rank_rows(run, bench, hosts, load)


def latency_rows(run, hosts):
    rows = []
    for n, found in hosts.items():
        parts = {p: statistics.median(a.parts[p] for a in found.asked) for p in run.PARTS}
        parts["end"] = statistics.median(a.end for a in found.asked)
        what = ", ".join(f"{p} {1000 * s:.0f}" for p, s in parts.items())
        rows.append(dict(name=f"a small query over {n} host{'s' * (n > 1)}", goal="-", ratio=[a.whole for a in found.asked], unit="seconds",
                         better="less",
                         note=f"ms, medians: {what}; a probe of all {1000 * statistics.median(found.probes):.0f}; of the processor "
                              f"{1000 * statistics.median(a.cpu_here for a in found.asked):.0f} where it is asked and "
                              f"{1000 * statistics.median(a.cpu_there for a in found.asked):.0f} on each host"))
    three = hosts[3].asked
    rows.append(dict(name="launch overhead at three hosts", goal="at most 0.7 s", ratio=[a.parts["launch"] for a in three], unit="seconds",
                     better="less", limit=0.7))
    rows.append(dict(name="the same with mpiexec's end", goal="-", ratio=[a.parts["launch"] + a.end for a in three], unit="seconds",
                     better="less"))
    cheap, dear = hosts[3].cheap, hosts[3].logins
    rows.append(dict(name="an ssh, its processor time where it begins", goal="-", ratio=[d[1] / c[1] for d, c in zip(dear, cheap)],
                     unit="default key exchange / curve25519", better="less",
                     note=" and ".join(f"{1000 * statistics.median(cpu for _, cpu in side):.0f} ms" for side in (dear, cheap))))
    return rows


def reduce_rows(run, bench):
    """Zipf, 1 M addresses, 8 ranks. Bytes are the same each time."""
    options = dict(ranks=8, groups=bench.scaled(1_000_000), rows=bench.scaled(6_000_000))
    all_ways = {way: run.simulated(bench, "reduce", f"--way={way}", limit=10, **options) for way in ("gather", "exchange", "tput")}
    gather, exchange, tput = (all_ways[way] for way in ("gather", "exchange", "tput"))
    more = {n: run.simulated(bench, "reduce", "--way=tput", limit=n, **options)["bytes"] for n in (100, 1000)}
    more = ", ".join(f"{n}: {size / 1e3:.0f} kB" for n, size in more.items())
    return [dict(name="bytes for the first 10 of 1 M groups at 8 ranks, TPUT", goal="20x less", ratio=[gather["bytes"] / tput["bytes"]],
                 unit="everything sent / TPUT", better="more", limit=20,
                 note=f"{gather['bytes'] / 1e6:.1f} MB and {tput['bytes'] / 1e3:.0f} kB; TPUT for the first {more}"),
            dict(name="the same, against the exchange", goal="-", ratio=[exchange["bytes"] / tput["bytes"]], unit="exchange / TPUT",
                 better="more"),
            dict(name="bytes of the busiest rank", goal="-", ratio=[gather["busiest_bytes"] / exchange["busiest_bytes"]],
                 unit="everything sent / exchange", better="more")]


def rank_rows(run, bench, hosts, load):
    """Ranks by hand, over a store in eight parts; and all that bench/simulate.py wants to know, into a file."""
    flows = bench.scaled(2_000_000)
    stores = run.parts_of_a_store(bench, 8, flows)
    words = ("-s", "srcip#bytes", "-l", "10")
    pairs = max(3, bench.pairs // 2)
    one = run.by_hand(bench, stores, 1, 1, words)
    others = [(f"{n} ranks with a thread each", run.by_hand(bench, stores, n, 1, words)) for n in (2, 4, 8)]
    others += [("one rank with two threads", run.by_hand(bench, stores, 1, 2, words)),
               ("sc-query itself, two threads", run.alone(bench, stores, 2, words))]
    rows = []
    for name, side in others:
        both = harness.alternate(one, side, pairs)
        name = f"top 10 addresses by hand, {name}"
        rows += [dict(name=f"{name}: elapsed", goal="-", ratio=[a.wall / b.wall for a, b in both],
                      unit="one rank with a thread / these", better="more",
                      note=f"{statistics.median(a.wall for a, _ in both):.2f} s and {statistics.median(b.wall for _, b in both):.2f} s"),
                 dict(name=f"{name}: processor", goal="-", ratio=[b.cpu / a.cpu for a, b in both],
                      unit="these / one rank with a thread", better="less")]
    cores = harness.alternate(run.by_hand(bench, stores, 1, 2, words), run.by_hand(bench, stores, 2, 1, words), pairs)
    rows.append(dict(name="top 10 addresses by hand, a rank for each core: elapsed", goal="-", ratio=[a.wall / b.wall for a, b in cores],
                     unit="one rank with two threads / two ranks with one", better="more"))
    run.remember(bench, stores, flows, hosts, load)
    return rows


SECTIONS = {"disk": disk, "read": read, "ingest": ingest, "query": query, "growth": growth, "start": start, "cluster": cluster,
            "heal": heal, "query-cluster": query_cluster}


class Bench:
    def __init__(self, args):
        self.build = (TOP / args.build).resolve()
        self.pairs = args.pairs
        self.scale = args.scale
        self.case = args.case
        self.before = pathlib.Path(args.before).resolve() if args.before else None
        self.sources = TOP / "bench"
        self.folder = self.build / "bench"
        self.folder.mkdir(parents=True, exist_ok=True)

    def program(self, name):
        return str(self.build / "bin" / name)

    def scaled(self, flows):
        return max(30_000, int(flows * self.scale))


def verdict(row, median):
    if "limit" not in row:
        return "-"
    value = max(row["ratio"]) if row.get("worst") else median
    good = value <= row["limit"] if row["better"] == "less" else value >= row["limit"]
    return "met" if good else "not met"


def render(results):
    nfdump = subprocess.run(["nfdump", "-V"], capture_output=True, text=True, check=False).stdout.split(":")[-1].strip()
    lines = ["# Results", "",
             "Written by `make bench`; the method is at the top of `bench/run.py`. Ratios of paired runs on one machine with "
             f"{results['cpus']} cores ({results['machine']}); nfdump {nfdump}.", ""]
    for section, rows in results["sections"].items():
        lines += [f"## {section}: {SECTIONS[section].__doc__.strip()}", "",
                  "| what | ratio | median | least | greatest | goal | |", "|---|---|---|---|---|---|---|"]
        notes = []
        for row in rows:
            median = statistics.median(row["ratio"])
            digits = 3 if row["unit"] == "seconds" else 2
            lines.append(f"| {row['name']} | {row['unit']} | {median:.{digits}f} | {min(row['ratio']):.{digits}f} | "
                         f"{max(row['ratio']):.{digits}f} | {row['goal']} | {verdict(row, median)} |")
            if row.get("note"):
                notes.append(f"{row['name']}: {row['note']}.")
        lines += ["", *(note + "\n" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description="Compares with nfdump.")
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", action="append", choices=SECTIONS)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of flows, for a quick look")
    parser.add_argument("--case", default="", metavar="TEXT", help="only queries whose name contains TEXT; writes nothing")
    parser.add_argument("--before", metavar="DIR", help="the build of another commit, for the queries")
    args = parser.parse_args()
    bench = Bench(args)
    memory = bench.folder / "results.json"
    results = json.loads(memory.read_text()) if memory.exists() else {}
    if results.get("scale") != args.scale:
        results = {"sections": {}}
    results.update(scale=args.scale, cpus=harness.cpus(), machine=harness.machine())
    for section in args.only or SECTIONS:
        print(f"== {section}: {SECTIONS[section].__doc__.strip()}", flush=True)
        results["sections"][section] = SECTIONS[section](bench)
        for row in results["sections"][section]:
            print(f"   {row['name']}: {statistics.median(row['ratio']):.2f} ({row['unit']})", flush=True)
        if args.case:
            continue
        results["sections"] = {k: results["sections"][k] for k in SECTIONS if k in results["sections"]}
        memory.write_text(json.dumps(results, indent=1))
    if args.case:
        return 0
    target = TOP / "bench" / "results.md" if args.scale == 1 else bench.folder / "results.md"
    target.write_text(render(results), encoding="utf-8")
    print(f"written to {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
