# SPDX-License-Identifier: BSD-3-Clause
"""Queries over hosts that are namespaces with a name and an sshd of their own, all on the cores of this machine; ranks by hand; and
the reduction between ranks that are threads (bench/ranks.c)."""
import dataclasses
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

import cluster_run
import data
import harness

HOSTS = (1, 2, 3, 5, 8)
PARTS = ("launch", "plan", "scan", "reduce", "print")
QUERY = ("-s", "dstport#flows", "-l", "10", "--output-format=csv")


@dataclasses.dataclass
class Asked:
    """A query, in seconds. `end`: what is left of the whole, most of it mpiexec's end."""
    whole: float
    parts: dict
    end: float
    cpu_here: float  # of all processes on the asking machine
    cpu_there: float  # of all on the others, each


def kit(bench):
    cluster_run.kit(bench)
    import lab_kit
    import query_kit
    lab_kit.end_on_signals()
    return query_kit


def make_site(bench, folder, hosts):
    """`hosts` subcollectors, the first one proxy, too; two copies where two can be. Each has its own place for what is temporary: Open
    MPI's daemons disturb each other in one."""
    module = kit(bench)

    class Site(module.Site):
        def temporary(self, name):
            path = self.folder / f"tmp-{name}"
            path.mkdir(exist_ok=True)
            return str(path)

        def guard_options(self, machine):
            """A home of its own, too: whatever a login shell finds in that of this machine's user is no part of a query."""
            own = self.temporary(machine.name)
            return ["-o", f"SetEnv=TMPDIR={own} HOME={own}"]

    roles = [["proxy", "subcollector"]] + [["subcollector"]] * (hosts - 1)
    return Site(folder, hosts, min(2, hosts), roles)


def fill(bench, site, flows):
    """Through the proxy; then the collectors end, and leave the cores to the queries."""
    proxy = site.cluster.nodes[0]
    done = site.outside.run([bench.program("sc-exporter"), "--generate", "--flows", str(flows), "--seed", "9", "--ipv6", "20",
                             "--protocol", "ipfix", "--to", f"tcp://{proxy.address}:{proxy.port}"])
    if done.returncode != 0:
        raise SystemExit(f"bench: sc-exporter: {done.stderr}")
    site.drained()
    if any(status != 0 for status in site.cluster.stop()):
        raise SystemExit(f"bench: a collector did not end well\n{site.cluster.logs()}")


def cpu_of_children(pid):
    """Seconds of the ended children of a process, and of theirs."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def ask(site, *words):
    before = [cpu_of_children(guard.pid) for guard in site.guards.values()]
    child = site.start("--explain", *words, env={"TMPDIR": site.temporary("x1")})
    with child.stderr, child.stdout:
        said, _ = child.stderr.read(), child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    parts = parts_of(said)
    attempts = re.search(r"attempts: (\d+), in all (\d+) ms", said)
    if child.returncode != 0 or attempts is None or attempts[1] != "1" or tuple(parts) != PARTS:
        raise SystemExit(f"bench: exit {child.returncode} of {child.args}\n{said}")
    whole = int(attempts[2]) / 1000
    time.sleep(0.1)  # sshd's last words
    after = [cpu_of_children(guard.pid) for guard in site.guards.values()]
    return Asked(whole, parts, whole - sum(parts.values()), usage.ru_utime + usage.ru_stime,
                 sum(b - a for a, b in zip(before, after)) / len(before))


def probe(site, program):
    """Seconds until all hosts have told the version of their program, asked at once: what a failed launch adds."""
    script = " & ".join([f"{site.ssh()} {n.address} {program} --version >/dev/null" for n in site.cluster.nodes] + ["wait"])
    begin = time.perf_counter()
    if site.outside.run(["sh", "-c", script]).returncode != 0:
        raise SystemExit("bench: the hosts do not answer")
    return time.perf_counter() - begin


@dataclasses.dataclass
class Hosts:
    asked: list
    probes: list  # seconds
    logins: list  # see login()
    cheap: list   # the same with a key exchange that takes less


def latency(bench, hosts, flows, runs):
    folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp", prefix="sc-bench-"))
    try:
        with make_site(bench, folder, hosts) as site:
            fill(bench, site, flows * hosts)
            ask(site, *QUERY)
            asked = [ask(site, *QUERY) for _ in range(runs)]
            probes = [probe(site, bench.program("sc-query-rank")) for _ in range(runs)]
            cheap = login(site, runs, ("-o", "KexAlgorithms=curve25519-sha256"))
            return Hosts(asked, probes, login(site, runs), cheap)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- ranks by hand ----

def parts_of_a_store(bench, count, flows):
    return [data.DataSet(bench, f"part{i}", flows=flows, options=["--protocol", "v9", "--ipv6", "20"], seed=100 + i, windows=1).store()
            for i in range(count)]


def by_hand(bench, stores, ranks, threads, words):
    """mpiexec ... sc-query: each rank reads its part of the stores. With a folder of its own, as another mpiexec may run."""
    own = bench.folder / "tmp"
    own.mkdir(exist_ok=True)
    command = ["env", f"TMPDIR={own}", "mpiexec", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "--oversubscribe",
               "--bind-to", "none", "--mca", "btl", "tcp,self"]
    for rank in range(ranks):
        mine = stores[rank * len(stores) // ranks:(rank + 1) * len(stores) // ranks]
        command += [":"] * (rank != 0) + ["-n", "1", bench.program("sc-query"), f"--num-threads={threads}", *words, *map(str, mine)]
    return harness.Side(command)


def alone(bench, stores, threads, words):
    return harness.Side([bench.program("sc-query"), f"--num-threads={threads}", *words, *map(str, stores)])


# ---- the reduction, between threads ----

def ranks_program(bench):
    """bench/ranks.c, made when it is wanted."""
    path = bench.build / "bench" / "bench-ranks"
    done = subprocess.run(["cmake", "--build", str(bench.build), "--target", "bench-ranks"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: {done.stdout}{done.stderr}")
    return str(path)


def simulated(bench, *words, **options):
    """What bench-ranks says, as a dict."""
    more = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run([ranks_program(bench), *words, *more], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: bench-ranks: {done.stderr}")
    return json.loads(done.stdout)


# ---- what bench/simulate.py starts from ----

def empty(bench):
    store = bench.folder / "empty.sc"
    store.mkdir(exist_ok=True)
    return store


RATES = {  # what one thread scans, by kind of query
    "count": ("-f", "dst port 53", "--output-items=p"),
    "ports": ("-s", "dstport#flows", "-l", "10"),
    "addresses": ("-s", "srcip#bytes", "-l", "10"),
    "tuples": ("-s", "srcip,dstip,srcport,dstport,proto#bytes", "-l", "10"),
    "list": ("-o", "bytes", "-l", "100"),
}
PLANNED = {"batches": 13_000, "windows": 12, "streams": 7, "gaps": 20}  # of each rank: an hour, each copy of a stream with gaps
MESSAGES = 5  # that pass between rank 0 and each other rank for a plan; the others go through a tree


def parts_of(said):
    """{part: seconds} as --explain tells them."""
    line = re.search(r"^parts: .*$", said, re.MULTILINE)
    return {name: int(ms) / 1000 for name, ms in re.findall(r"(\w+) (\d+) ms", line[0])} if line else {}


def explained(side):
    done = subprocess.run(side.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    parts = parts_of(done.stderr)
    if done.returncode != 0 or tuple(parts) != PARTS:
        raise SystemExit(f"bench: exit {done.returncode} of {done.args}\n{done.stderr}")
    return parts


def rates(bench, stores, flows, runs):
    """Rows a second of one thread over stores of so many flows each, by processor time and kind of query: a rank alone, as a rank scans otherwise than sc-query does."""
    def cpu(words, paths):
        side = harness.Side([bench.program("sc-query-rank"), "--", "--num-threads=1", *words, *map(str, paths)])
        return [side.measure().cpu for _ in range(runs + 1)][1:]

    start = statistics.median(cpu(RATES["count"], [empty(bench)]))
    found = {}
    for kind, words in RATES.items():
        mine = stores if kind == "count" else stores[:2]  # a count is so quick that its start hides it
        found[kind] = [len(mine) * flows / max(1e-3, seconds - start) for seconds in cpu(words, mine)]
    return found


def of_nothing(bench, ranks):
    """A query of empty stores."""
    return by_hand(bench, [empty(bench)] * ranks, ranks, 1, ["--explain", "-s", "dstport", "-l", "10"])


def message(bench, ranks, runs):
    """Seconds that rank 0 takes for a short message, at most: plans of nothing by so many ranks on the cores of this machine."""
    return [explained(of_nothing(bench, ranks))["plan"] / (MESSAGES * (ranks - 1)) for _ in range(runs)]


def login(site, runs, options=()):
    """(seconds, of them of the processor here) of an ssh that does nothing."""
    found = []
    for _ in range(runs):
        begin = time.perf_counter()
        child = subprocess.Popen(site.outside.command([*site.ssh().split(), *options, site.cluster.nodes[0].address, "true"]),
                                 stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit("bench: ssh does not reach a host")
        found.append((time.perf_counter() - begin, usage.ru_utime + usage.ru_stime))
    return found


def remember(bench, stores, flows, hosts, load):
    """All that bench/simulate.py starts from, to query-cluster.json beside it; of another --scale to where the results go."""
    runs = 5
    few = [of_nothing(bench, ranks).measure().cpu for ranks in (1, 4) for _ in range(runs)]
    middle = statistics.median
    measured = rates(bench, stores, flows, runs)
    facts = {
        "cores": harness.cpus(),
        "load": load,  # before, by others
        "hosts": {n: {"parts": {p: middle(a.parts[p] for a in found.asked) for p in PARTS}, "end": middle(a.end for a in found.asked),
                      "whole": middle(a.whole for a in found.asked), "probe": middle(found.probes),
                      "cpu_here": middle(a.cpu_here for a in found.asked), "cpu_there": middle(a.cpu_there for a in found.asked)}
                  for n, found in hosts.items()},
        "ssh_seconds": middle(s for found in hosts.values() for s, _ in found.logins),
        "ssh_cpu": middle(cpu for found in hosts.values() for _, cpu in found.logins),
        "cheap_ssh_seconds": middle(s for found in hosts.values() for s, _ in found.cheap),
        "cheap_ssh_cpu": middle(cpu for found in hosts.values() for _, cpu in found.cheap),
        "rank_cpu": (middle(few[runs:]) - middle(few[:runs])) / 3,
        "message": middle(message(bench, 16, runs)),
        "rate": {kind: middle(found) for kind, found in measured.items()},
        "scan_sigma": middle(statistics.stdev(found) / statistics.mean(found) for found in measured.values()),
        "plan": [simulated(bench, "plan", "--tallies", ranks=ranks, away=ranks // 50, **PLANNED) for ranks in (10, 100, 1000)],
        "tput": [simulated(bench, "reduce", "--way=tput", ranks=ranks, rows=20_000 * ranks) for ranks in (10, 100, 1000)],
        "gather": simulated(bench, "reduce", "--way=gather", ranks=100, rows=2_000_000),
        "exchange": [simulated(bench, "reduce", "--way=exchange", ranks=ranks, rows=20_000 * ranks) for ranks in (10, 100)],
    }
    target = bench.folder if bench.scale != 1 else pathlib.Path(__file__).resolve().parent
    (target / "query-cluster.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
