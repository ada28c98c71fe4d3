#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a query over 10, 100 and 1,000 nodes would take, from what one node takes and a model of the network.

    bench/simulate.py [--measured FILE] [--validate | --docs] [--nodes N,N,...] [--rows N] [--cores N] [--gbit N] [--rtt-ms X]
                      [--oversubscribed X] [--session] [--cheap-ssh] [--slow-part X] [--seed N]

FILE is bench/query-cluster.json, which `bench/run.py --only query-cluster` writes. Nothing here is random but the nodes' times to
scan, by --seed.

The model, part by part; all times in seconds:

launch   Events. mpiexec starts at most 128 ssh at a time; each takes `ssh_cpu_here` of a core of the asking machine, then
         `login_cpu_there` on its node and `login_wait`, then reports, which takes `daemon_cpu_here` of the asking machine. When all have
         reported, the ranks begin: `rank_cpu` on each node and `rank_wait`.
plan     Messages of all ranks to rank 0, or from it, one after the other: `message` each; short ones through a tree. The bytes that came
         to rank 0 and went from it, and its time, as bench/ranks.c measured them with as many ranks; without the tallies' own way to it.
scan     Rows by rate and cores of a node, the slowest node counts: times are lognormal with `scan_sigma`, and --slow-part of the nodes
         take twice as long.
reduce   By the bytes and messages that bench/ranks.c measured with as many ranks; the busiest of them counts.
print    Three more messages of each.
end      mpiexec's end, measured, and a message of each.

Wire: each node has one of --gbit; what nodes send at once to rank 0 comes in through one. Short messages of many at once that
overflow the switch's buffer are sent again after `retransmission`. --oversubscribed divides what nodes can pass to each other at
once (the exchange), not what rank 0 gets.
"""
import argparse
import dataclasses
import heapq
import json
import math
import pathlib
import random
import statistics

CONCURRENT = 128  # plm_rsh_num_concurrent


@dataclasses.dataclass
class Figures:
    # Measured; see figures().
    start_cpu: float       # mpiexec's own, and what else is here once
    ssh_cpu_here: float    # of one ssh, most of it the key exchange
    cheap_ssh_cpu: float   # the same with curve25519
    daemon_cpu_here: float
    login_cpu_there: float
    login_wait: float
    rank_cpu: float
    end: float
    message: float         # of rank 0's time, to send or take a short one, with the connection that the first one makes
    plan_local: float      # a node lists its files
    planned: dict          # by ranks: bytes and seconds of rank 0
    rate: dict             # rows/s of a core, by kind of scan
    scan_sigma: float
    tput: dict             # by ranks: bytes and messages of the busiest one; 20,000 rows of each rank
    group_bytes: float
    group_cpu: float       # to put one into a table
    rank_wait: float = 0.0
    # Assumed.
    step_wait: float = 100e-6   # a rank that waits for another one looks each 200 us (src/cluster/ranks_mpi.c)
    record_bytes: float = 60.0  # of a listing
    switch_buffer: float = 4e6  # of the port to rank 0
    retransmission: float = 0.2


@dataclasses.dataclass
class World:
    nodes: int
    rows: float = 100e6      # of a node
    cores: int = 8
    gbit: float = 10.0
    rtt: float = 0.2e-3
    oversubscribed: float = 1.0
    slow_part: float = 0.0
    shared_cores: int = 0    # all hosts on these, as in the bench; 0: each has its own
    session: bool = False
    seed: int = 1

    def wire(self, size):
        return size * 8 / (self.gbit * 1e9)


# ---- launch ----

class Cores:
    """So many jobs at once, first come first served."""

    def __init__(self, count):
        self.free = [0.0] * count
        heapq.heapify(self.free)

    def run(self, ready, seconds):
        begin = max(ready, heapq.heappop(self.free))
        heapq.heappush(self.free, begin + seconds)
        return begin + seconds


def launch(f, w):
    """Hosts beside the asking machine: all nodes."""
    if w.session:
        return 0.0
    here = Cores(w.shared_cores or w.cores)
    begin = here.run(0.0, f.start_cpu)
    there = [here if w.shared_cores else Cores(w.cores) for _ in range(w.nodes)]
    # In the order of time: (when, what, host)
    events, waiting, reported = [(begin, 0, n) for n in range(min(CONCURRENT, w.nodes))], w.nodes - min(CONCURRENT, w.nodes), []
    heapq.heapify(events)
    while events:
        now, stage, host = heapq.heappop(events)
        if stage == 0:
            heapq.heappush(events, (here.run(now, f.ssh_cpu_here) + w.rtt, 1, host))
        elif stage == 1:
            heapq.heappush(events, (there[host].run(now, f.login_cpu_there) + f.login_wait, 2, host))
        else:
            reported.append(here.run(now, f.daemon_cpu_here))
            if waiting:
                heapq.heappush(events, (now, 0, w.nodes - waiting))
                waiting -= 1
    ready = max(reported)
    return max(here.run(ready, f.rank_cpu), *(there[n].run(ready, f.rank_cpu) for n in range(w.nodes))) + f.rank_wait


# ---- messages ----

def linear(f, w, times, size=64):
    """`times` times, all ranks to rank 0 or from it, one by one."""
    incast = f.retransmission if w.nodes * size > f.switch_buffer else 0.0
    return times * (w.rtt + f.step_wait + w.nodes * f.message + w.wire(w.nodes * size) + incast)


def tree(f, w, times):
    """`times` times, from rank 0 to all or back, through ranks that hand on."""
    return times * math.ceil(math.log2(max(w.nodes, 2))) * (w.rtt / 2 + f.step_wait + 2 * f.message)


def plan(f, w):
    size, seconds = between(f.planned, w.nodes)
    return f.plan_local + linear(f, w, 5) + tree(f, w, 8) + w.wire(size) + seconds


# ---- scan ----

def scan(f, w, kind):
    rng = random.Random(w.seed)
    mean = w.rows / (f.rate[kind] * (w.shared_cores / w.nodes if w.shared_cores else w.cores))
    slowest = 0.0
    for _ in range(w.nodes):
        slow = 2.0 if rng.random() < w.slow_part else 1.0
        slowest = max(slowest, slow * rng.lognormvariate(0, f.scan_sigma))
    return mean * slowest + tree(f, w, 5)


# ---- reduce ----

def between(table, nodes):
    """(bytes, messages) of the busiest rank, by logarithms between what was measured."""
    known = sorted(table.items())
    low = max((k for k in known if k[0] <= nodes), default=known[0])
    high = min((k for k in known if k[0] >= nodes), default=known[-1])
    if low[0] == high[0]:
        return low[1]
    part = math.log(nodes / low[0]) / math.log(high[0] / low[0])
    return tuple(math.exp(math.log(a) + part * (math.log(b) - math.log(a))) for a, b in zip(low[1], high[1]))


def gather(f, w, groups):
    return linear(f, w, 1) + tree(f, w, 4) + w.wire(w.nodes * groups * f.group_bytes) + w.nodes * groups * f.group_cpu


def tput(f, w):
    size, messages = between(f.tput, w.nodes)
    return messages * f.message + tree(f, w, 9) + w.wire(size) + size / f.group_bytes * f.group_cpu


def exchange(f, w, groups):
    """In step; each rank sends its share to each other."""
    step = w.rtt / 2 + 2 * f.message + f.step_wait
    passed = 2 * groups * f.group_bytes
    return tree(f, w, 5) + w.nodes * step + w.wire(passed * w.oversubscribed) + 2 * groups * f.group_cpu


def listing(f, w, limit):
    """Rank 0 asks one after the other for its first piece."""
    return w.nodes * (w.rtt + f.step_wait + 2 * f.message + w.wire(limit * f.record_bytes))


KINDS = {  # name: (scan, reduce)
    "count": ("count", lambda f, w: 0.0),
    "top 10 ports": ("ports", tput),
    "top 10 addresses, TPUT": ("addresses", tput),
    "top 10 5-tuples, exchange": ("tuples", lambda f, w: exchange(f, w, 1e6)),
    "the same, gathered": ("tuples", lambda f, w: gather(f, w, 1e6)),
    "sorted listing, -l 100": ("list", lambda f, w: listing(f, w, 100)),
}
PARTS = ("launch", "plan", "scan", "reduce", "print", "end")


def query(f, w, kind):
    name, reduce = KINDS[kind]
    parts = {"launch": launch(f, w), "plan": plan(f, w), "scan": scan(f, w, name), "reduce": reduce(f, w),
             "print": tree(f, w, 3), "end": 0.0 if w.session else f.end + w.nodes * f.message}
    return {part: parts[part] for part in PARTS}


# ---- what was measured ----

def fit(points):
    """(slope, where it begins) of a line through (x, y), least squares."""
    n, sx, sy = len(points), sum(x for x, _ in points), sum(y for _, y in points)
    slope = (n * sum(x * y for x, y in points) - sx * sy) / (n * sum(x * x for x, _ in points) - sx * sx)
    return slope, (sy - slope * sx) / n


ROOT_PLANS = ("add_ms", "assign_ms", "tell_ms", "found_ms", "judge_ms")  # what rank 0 does


def figures(facts):
    """Of query-cluster.json. What one host's launch takes beyond all that is known of its steps, it waits for its rank."""
    slope, begin = fit([(int(n), h["cpu_here"]) for n, h in facts["hosts"].items()])
    one, exchanged = facts["hosts"]["1"], facts["exchange"][-1]
    login_cpu_there = statistics.median(h["cpu_there"] for h in facts["hosts"].values())
    f = Figures(start_cpu=max(0.0, begin - facts["rank_cpu"]), ssh_cpu_here=facts["ssh_cpu"], cheap_ssh_cpu=facts["cheap_ssh_cpu"],
                daemon_cpu_here=max(0.0, slope - facts["ssh_cpu"]), login_cpu_there=login_cpu_there,
                login_wait=max(0.0, facts["ssh_seconds"] - facts["ssh_cpu"] - login_cpu_there), rank_cpu=facts["rank_cpu"],
                end=one["end"], message=facts["message"], plan_local=one["parts"]["plan"],
                planned={p["ranks"]: (p["bytes_in"] + p["bytes_out"], sum(p[k] for k in ROOT_PLANS) / 1e3) for p in facts["plan"]},
                rate=facts["rate"], scan_sigma=facts["scan_sigma"],
                tput={t["ranks"]: (t["busiest_bytes"], t["busiest_messages"]) for t in facts["tput"]},
                group_bytes=exchanged["bytes"] / exchanged["groups"],
                group_cpu=facts["gather"]["root_ms"] / 1e3 / facts["gather"]["groups"])
    f.rank_wait = max(0.0, one["parts"]["launch"] - launch(f, World(1, shared_cores=facts["cores"])))
    return f


# ---- tables ----

def head(*names):
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def measured_table(facts):
    lines = head("hosts", *(f"{part}, ms" for part in PARTS), "in all, ms", "processor where it is asked, ms", "a probe of all, ms")
    for n, host in facts["hosts"].items():
        parts = {**host["parts"], "end": host["end"]}
        lines.append(row(n, *(f"{1000 * parts[p]:.0f}" for p in PARTS), *(f"{1000 * host[k]:.0f}" for k in ("whole", "cpu_here", "probe"))))
    if facts["load"] > 1:
        lines += ["", f"**The machine was busy when this was measured (a load of {facts['load']:.0f} before): elapsed times here, and what of the",
                  "model hangs on them, are too long; processor times, bytes and messages are not.**"]
    return lines


def figures_table(f, facts):
    rates = ", ".join(f"{kind} {rate / 1e6:.1f}" for kind, rate in f.rate.items())
    return head("what", "measured") + [
        row("processor time of an ssh where it begins; with curve25519", f"{1000 * f.ssh_cpu_here:.0f} ms; {1000 * f.cheap_ssh_cpu:.0f} ms"),
        row("of mpiexec for each host", f"{1000 * f.daemon_cpu_here:.1f} ms"),
        row("of sshd on a host; of a rank that begins", f"{1000 * f.login_cpu_there:.0f} ms; {1000 * f.rank_cpu:.0f} ms"),
        row("an ssh that does nothing, from begin to end", f"{1000 * facts['ssh_seconds']:.0f} ms"),
        row("a short message at rank 0, at most", f"{1e6 * f.message:.0f} us"),
        row(f"the plan at rank 0, {facts['plan'][-1]['copies'] / 1e6:.0f} million copies of batches of {facts['plan'][-1]['ranks']:,} nodes",
            f"{1000 * f.planned[facts['plan'][-1]['ranks']][1]:.0f} ms, {f.planned[facts['plan'][-1]['ranks']][0] / 1e6:.0f} MB"),
        row("a group that comes to another rank", f"{1e6 * f.group_cpu:.2f} us, {f.group_bytes:.0f} bytes"),
        row("rows of a core, M/s", rates)]


def validation_table(f, facts):
    lines = head("hosts", "launch, measured", "model", "in all, measured", "model", "error")
    for n, host in facts["hosts"].items():
        w = World(int(n), rows=0.0, shared_cores=facts["cores"])
        started = launch(f, w)
        # So little is read and reduced that the messages alone count.
        whole = started + plan(f, w) + tree(f, w, 5 + 9 + 3) + f.end
        lines.append(row(n, f"{host['parts']['launch']:.2f}", f"{started:.2f}", f"{host['whole']:.2f}", f"{whole:.2f}",
                         f"{100 * (whole / host['whole'] - 1):+.0f} %"))
    return lines


def simulated_table(f, world, counts):
    lines = head("nodes", "query", *PARTS, "in all, s", "most of it")
    for nodes in counts:
        for kind in KINDS:
            parts = query(f, dataclasses.replace(world, nodes=nodes), kind)
            lines.append(row(nodes, kind, *(f"{s:.2f}" for s in parts.values()), f"{sum(parts.values()):.2f}", max(parts, key=parts.get)))
    return lines


def cheap_ssh(f):
    return dataclasses.replace(f, ssh_cpu_here=f.cheap_ssh_cpu)


def mended_table(f, world):
    """What the launch of 1,000 nodes would be, and a small query with it."""
    lines = head("1,000 nodes", "launch, s", "top 10 ports, s")
    for name, figures_, w in (("as it is", f, world), ("32 cores where it is asked", f, dataclasses.replace(world, cores=32)),
                              ("curve25519", cheap_ssh(f), world),
                              ("ranks that stay", f, dataclasses.replace(world, session=True))):
        parts = query(figures_, dataclasses.replace(w, nodes=1000), "top 10 ports")
        lines.append(row(name, f"{parts['launch']:.1f}", f"{sum(parts.values()):.1f}"))
    return lines


def write_docs(path, tables):
    """Puts each table between its marks."""
    text = path.read_text(encoding="utf-8")
    for name, lines in tables.items():
        begin, end = f"<!-- {name}: bench/simulate.py --docs -->\n", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"{path} has no place for {name}")
        at, to = text.index(begin) + len(begin), text.index(end)
        text = text[:at] + "\n".join(lines) + "\n" + text[to:]
    path.write_text(text, encoding="utf-8")


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="What a query over many nodes would take.")
    parser.add_argument("--measured", type=pathlib.Path, default=here / "query-cluster.json")
    parser.add_argument("--validate", action="store_true", help="the model against the hosts that were measured")
    parser.add_argument("--docs", action="store_true", help="write the tables of docs/scaling.md")
    parser.add_argument("--nodes", type=lambda text: [int(n) for n in text.split(",")], default=[10, 100, 1000])
    parser.add_argument("--rows", type=float, default=100e6, help="of each node")
    parser.add_argument("--cores", type=int, default=8, help="of each node, and where it is asked")
    parser.add_argument("--gbit", type=float, default=10.0)
    parser.add_argument("--rtt-ms", type=float, default=0.2)
    parser.add_argument("--oversubscribed", type=float, default=1.0)
    parser.add_argument("--slow-part", type=float, default=0.0, help="of the nodes take twice as long")
    parser.add_argument("--session", action="store_true", help="ranks that stay: no launch, no end")
    parser.add_argument("--cheap-ssh", action="store_true", help="curve25519 for ssh's key exchange")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    facts = json.loads(args.measured.read_text(encoding="utf-8"))
    f = figures(facts)
    world = World(0, rows=args.rows, cores=args.cores, gbit=args.gbit, rtt=args.rtt_ms / 1e3, oversubscribed=args.oversubscribed,
                  slow_part=args.slow_part, session=args.session, seed=args.seed)
    if args.docs:
        write_docs(here.parent / "docs" / "scaling.md",
                   {"measured": measured_table(facts), "figures": figures_table(f, facts), "validation": validation_table(f, facts),
                    "simulated": simulated_table(f, world, args.nodes), "mended": mended_table(f, world)})
    elif args.validate:
        print("\n".join(validation_table(f, facts)))
    else:
        print("\n".join(simulated_table(cheap_ssh(f) if args.cheap_ssh else f, world, args.nodes)))


if __name__ == "__main__":
    main()
