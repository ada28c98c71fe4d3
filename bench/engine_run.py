# SPDX-License-Identifier: BSD-3-Clause
"""Queries over flows of real cardinality, in four engines: nfdump, DuckDB, sc-query as it is and as it was at another commit. Whole processes
are timed, of DuckDB the query alone on an open connection. Every side gives the same answers before it is timed."""
import csv
import dataclasses
import json
import shutil
import statistics
import subprocess
import types

import data
import harness
from harness import Side

FIELDS = ("first,last,srcip,dstip,srcport,dstport,proto,flags,tos,packets,bytes,inif,outif,srcas,dstas,srcmask,dstmask,nexthop,exporterip,"
          "received")
CSV_FIELDS = ("first,last,duration,srcip,dstip,srcport,dstport,proto,flags,tos,packets,bytes,inif,outif,srcas,dstas,"
              "srcmask,dstmask,nexthop,exporterip")
SUMS = "count(*) as flows, sum(packets) as packets, sum(bytes) as bytes, min(first), max(last), bit_or(flags)"
THREADS = (1, 2, 4, 8)


@dataclasses.dataclass
class Case:
    """`same` compares nfdump's answer with ours; `column`: of ours, what DuckDB's rows have in their column `place`, too."""
    name: str
    sc: list
    nfdump: list = None
    same: types.FunctionType = None
    duckdb: str = None
    column: str = "bytes"
    place: int = 0
    quiet: bool = False  # of nfdump: without its summary
    pairs: int = 7
    threads: bool = False
    memory: bool = False
    cold: bool = False
    new: bool = False  # --before may not know it
    goals: tuple = (None, None)  # times quicker than before; than DuckDB
    grows: bool = False  # is asked of ten times the flows, too


def top(keys, where="", order="bytes"):
    """Aggregations as sc-query has them without further words."""
    return f"select {order}, * from (select {keys}, {SUMS} from flows {where} group by {keys}) order by {order} desc limit 10"


CASES = [
    Case("Q1 totals", ["--output-items=p", "--output-format=json"], ["-o", "null"], harness.same_count,
         "select count(*), sum(packets), sum(bytes) from flows", column=None, goals=(1, 20)),
    Case("Q2 dst port 53 by protocol", ["-f", "dst port 53", "-a", "proto", "--output-format=csv"],
         ["-o", "csv", "-s", "proto/flows", "dst port 53"], harness.same_groups,
         f"select flows, * from (select proto, {SUMS} from flows where dstport = 53 group by proto) order by flows desc", column="flows",
         threads=True, cold=True, goals=(5, 2.5), grows=True),
    Case("Q3 list dst port 53 and TCP", ["-f", "dst port 53 and proto tcp", "--output-format=csv", f"--output-fields={CSV_FIELDS}"],
         ["-o", "csv", "dst port 53 and proto tcp"], harness.same_lines,
         "select * from flows where dstport = 53 and proto = 6", column=None, quiet=True, cold=True,
         goals=(3, 1.5)),
    Case("Q4 TCP by source, top 10 by bytes", ["-f", "proto tcp", "-s", "srcip#bytes", "-l", "10", "--output-format=csv"],
         ["-o", "csv", "-n", "10", "-s", "srcip/bytes", "proto tcp"], harness.same_top, top("srcip", "where proto = 6"), threads=True,
         memory=True, cold=True, goals=(6, 2.5), grows=True),
    Case("Q5 5-tuple, top 10 by bytes", ["-s", "srcip,dstip,srcport,dstport,proto#bytes", "-l", "10", "--output-format=csv"],
         ["-o", "fmt:%byt", "-n", "10", "-s", "record/bytes"], harness.same_sums, top("srcip, dstip, srcport, dstport, proto"), pairs=3,
         threads=True, memory=True, goals=(2.5, 3), grows=True),
    Case("Q6 an absent host", ["-f", "host 198.18.255.254", "--output-items=p", "--output-format=json"],
         ["-o", "null", "host 198.18.255.254"], harness.same_count,
         "select count(*) from flows where srcip = md5_number('198.18.255.254') or dstip = md5_number('198.18.255.254')", column=None, goals=(1.3, 15)),
    Case("Q7 top 10 destination ports", ["-s", "dstport#flows", "-l", "10", "--output-format=csv"],
         ["-o", "csv", "-n", "10", "-s", "dstport/flows"], harness.same_ports, top("dstport", order="flows"), column="flows",
         threads=True, cold=True, goals=(3, 5), grows=True),
    Case("Q8 everything as CSV", ["--output-format=csv", f"--output-fields={CSV_FIELDS}"], ["-o", "csv"], harness.same_lines, quiet=True,
         pairs=2, goals=(2, None)),
    Case("Q9 distinct destinations of a source, top 10",
         ["-s", "srcip#distinct(dstip)", "-l", "10", "--output-fields=distinct(dstip)", "--output-format=csv"],
         duckdb="select d, * from (select srcip, count(distinct dstip) as d from flows group by srcip) order by d desc limit 10",
         column="distinct(dstip)", pairs=5, memory=True, new=True, goals=(None, 3)),
    Case("Q10 pairs, top 10 by bytes", ["-s", "srcip,dstip#bytes", "-l", "10", "--output-format=csv"],
         ["-A", "srcip,dstip", "-O", "bytes", "-n", "10", "-o", "fmt:%byt"], harness.same_sums, top("srcip, dstip"), pairs=3, memory=True,
         goals=(2.4, 3.5), grows=True),
    Case("Q11 the 10 largest flows", ["-o", "bytes", "-l", "10", "--output-format=csv", f"--output-fields={CSV_FIELDS}"],
         ["-O", "bytes", "-n", "10", "-o", "fmt:%byt"], harness.same_sums, "select bytes, * from flows order by bytes desc limit 10",
         goals=(20, 1)),
    Case("Q12 everything by bytes, as CSV", ["-o", "bytes", "--output-format=csv", f"--output-fields={CSV_FIELDS}"], ["-O", "bytes", "-o", "csv"],
         harness.same_lines, quiet=True, pairs=2, memory=True),
]


class DuckDB:
    """Queries of a file of ours; with npm, else there is none."""

    def __init__(self, bench, sets, store):
        self.folder = bench.folder / "duckdb"
        self.file = sets.folder / "flows.duckdb"
        self.bench, self.sets, self.store = bench, sets, store

    def install(self):
        self.folder.mkdir(exist_ok=True)
        source = self.bench.sources / "duckdb"
        for name in ("package.json", "duckdb.js"):
            shutil.copy(source / name, self.folder / name)
        try:
            done = subprocess.run(["npm", "install", "--no-package-lock", "--silent"], cwd=self.folder, stdin=subprocess.DEVNULL, check=False)
        except FileNotFoundError:
            return False
        return done.returncode == 0

    def table(self):
        """The flows as text; none when the database has them."""
        text = self.sets.folder / "flows.csv"
        if self.file.exists() and self.sets.meta.get("duckdb"):
            return text
        self.file.unlink(missing_ok=True)
        with open(text, "wb") as out:
            subprocess.run([self.bench.program("sc-query"), "--output-format=csv", f"--output-fields={FIELDS}", self.store], check=True,
                           stdin=subprocess.DEVNULL, stdout=out)
        return text

    def run(self, cases, times):
        """{name: {seconds, rows}}"""
        text = self.table()
        queries = json.dumps([dict(name=c.name, sql=c.duckdb) for c in cases])
        done = subprocess.run(["node", "duckdb.js", str(self.file), str(text), str(times), str(harness.cpus())], cwd=self.folder, input=queries,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: DuckDB: {done.stderr}")
        self.sets.remember(duckdb=True)
        text.unlink(missing_ok=True)
        return json.loads(done.stdout)


def same_as_duckdb(case, sc, rows):
    if case.column is None:
        return
    ours = sorted(row[case.column] for row in csv.DictReader(sc.answer().splitlines()))
    theirs = sorted(str(row[case.place]) for row in rows)
    if ours != theirs:
        raise SystemExit(f"bench: {case.name}: the answers differ\n  DuckDB:   {theirs}\n  sc-query: {ours}")


def side(bench, case, store, build, *more):
    return Side([str(build / "bin" / "sc-query"), *case.sc, *more, store])


def middle(values):
    return statistics.median(values)


def times(case, nf, duck, now, before):
    """A row for each peer; the seconds are in the note of the first."""
    ours = [run.wall for run in now]
    rows = []
    note = f"{middle(ours):.3f} s"
    peers = [("nfdump", [run.wall for run in nf], None), ("DuckDB", duck, case.goals[1]), ("before", [run.wall for run in before], case.goals[0])]
    for name, seconds, goal in peers:
        if seconds:
            note += f", {name} {middle(seconds):.3f} s"
            rows.append(dict(name=case.name, ratio=[a / b for a, b in zip(seconds, ours)], unit=f"{name} / sc-query", better="more",
                             **(dict(goal=f"at least {goal}", limit=goal) if goal else dict(goal="-"))))
    rows[0]["note"] = note
    return rows


def threads(bench, case, store):
    """What more threads cost and give."""
    runs = {n: [] for n in THREADS}
    for _ in range(3):
        for n in THREADS:
            runs[n].append(side(bench, case, store, bench.build, f"--num-threads={n}").measure())
    one = runs[1]
    rows = [dict(name=f"{case.name}: CPU of {n} threads", goal="at most 1.15" if n == 8 else "-",
                 ratio=[a.cpu / b.cpu for a, b in zip(runs[n], one)], unit="CPU time / of one thread", better="less",
                 **({"limit": 1.15} if n == 8 else {})) for n in THREADS[1:]]
    rows[0]["note"] = "elapsed with " + ", ".join(f"{n}: {middle(r.wall for r in runs[n]):.3f} s" for n in THREADS)
    return rows


def memory(case, nf, now, before):
    name, note = f"{case.name}: peak memory", f"{middle(r.rss for r in now) / 1024:.0f} MiB"
    if not nf:
        return [dict(name=name, goal="-", ratio=[r.rss / 1024 for r in now], unit="MiB", better="less")]
    rows = [dict(name=name, goal="-", ratio=[a.rss / b.rss for a, b in zip(nf, now)], unit="nfdump / sc-query",
                 better="more", note=f"{note}, nfdump {middle(r.rss for r in nf) / 1024:.0f} MiB")]
    if before:
        rows.append(dict(name=f"{case.name}: peak memory", goal="at most 1.3", ratio=[a.rss / b.rss for a, b in zip(now, before)],
                         unit="sc-query / before", better="less", limit=1.3))
    return rows


def measure(bench, case, files, store, duck):
    now = side(bench, case, store, bench.build)
    nf = Side(["nfdump", "-R", files, "-q" if case.quiet else "-N", *case.nfdump]) if case.nfdump else None
    before = side(bench, case, bench.store_before, bench.before) if bench.before and not case.new else None
    if nf:
        case.same(case.name, nf, now)
    if duck:
        same_as_duckdb(case, now, duck["rows"])
    sides = [s for s in (now, nf, before) if s]

    def runs(found):
        """nfdump's, ours, before's."""
        found = dict(zip(map(id, sides), found))
        return [found.get(id(s), []) if s else [] for s in (nf, now, before)]
    warm = runs(harness.in_turn(sides, min(bench.pairs, case.pairs)))
    rows = times(case, warm[0], duck["seconds"] if duck else [], *warm[1:])
    rows += memory(case, *warm) if case.memory else []
    if case.cold:
        cold = runs(harness.in_turn_cold(sides, [p for p in (store, files, bench.before and bench.store_before) if p], 3))
        rows += times(dataclasses.replace(case, name=f"{case.name}, cold cache", goals=(None, None)), cold[0], [], *cold[1:])
    return rows + (threads(bench, case, store) if case.threads else [])


def rows(bench):
    sets = data.DataSet(bench, "v9", **data.QUERY_SET(bench))
    store, files = str(sets.store()), str(sets.nfcapd_files())
    sets.check_counts()
    if bench.before:
        bench.store_before = str(sets.store_of(bench.before))
    cases = [c for c in CASES if bench.case in c.name]
    duck = DuckDB(bench, sets, store)
    asked = [c for c in cases if c.duckdb]
    answers = duck.run(asked, bench.pairs) if asked and duck.install() else {}
    if not answers:
        print("   without DuckDB: npm is not there, or cannot install it", flush=True)
    return [row for case in cases for row in measure(bench, case, files, store, answers.get(case.name))]


# ---- ten times the flows ----

CARDINALITIES = {"sources": "srcip", "pairs": "srcip,dstip", "5-tuples": "srcip,dstip,srcport,dstport,proto"}


def count_groups(bench, store, keys):
    first = keys.split(",", maxsplit=1)[0]
    return Side([bench.program("sc-query"), "-a", keys, "--output-format=csv", f"--output-fields={first}", store]).count_lines() - 1


def growth(bench):
    few = data.DataSet(bench, "v9", **data.QUERY_SET(bench))
    many = data.DataSet(bench, "v9", **data.GROWTH_SET(bench))
    stores = [str(few.store()), str(many.store())]
    many.forget_capture()
    rows = []
    for case in (c for c in CASES if c.grows and bench.case in c.name):
        small, large = harness.in_turn([side(bench, case, store, bench.build) for store in stores], 3)
        rows.append(dict(name=case.name, goal="at most 10.5", ratio=[b.wall / a.wall for a, b in zip(small, large)],
                         unit=f"time of {many.flows:,} flows / of {few.flows:,}", better="less", limit=10.5,
                         note=f"{middle(r.wall for r in large):.2f} s, {middle(r.rss for r in large) / 1024:.0f} MiB; "
                              f"{middle(r.wall for r in small):.3f} s, {middle(r.rss for r in small) / 1024:.0f} MiB"))
    counts = ", ".join(f"{count_groups(bench, stores[0], keys) / 1e6:.2f} M {name}" for name, keys in CARDINALITIES.items())
    rows[0]["note"] += f". The sets: {counts} (seed {few.seed}); {count_groups(bench, stores[1], 'srcip') / 1e6:.2f} M sources (seed {many.seed})"
    return rows
