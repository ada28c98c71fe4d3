# SPDX-License-Identifier: BSD-3-Clause
"""Scenarios of test_query_cluster.py: sc-query --cluster at the edges of what it is told and of its own life: without a path, while
stores expire, and killed itself."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import cluster_kit as kit
import lab_kit
import query_kit
import random_flows
from query_kit import LONG, SEED, TOTALS, describe, seed_of, summary, whole

BOTH, SUB = ["proxy", "subcollector"], ["subcollector"]


# ---- no path ----

def records_of(done):
    """{node: records} of an answer to TOTALS; -1 where a node did not answer."""
    return {n["name"]: n.get("records", -1) for n in json.loads(done.stdout or '{"cluster": {"nodes": []}}')["cluster"]["nodes"]}


def guard(site, *nodes, text=None):
    """The programs that come in by ssh find their node's own configuration, or this text."""
    for node in nodes:
        site.unguard(node.machine)
        site.guard(node.machine, site.own_config(node, text))


def own_stores(site, flows):
    """Without a path each node reads the store of its own configuration; a node that finds none takes no part."""
    guard(site, *site.cluster.nodes)
    there = site.ask(*TOTALS)
    done = site.ask(*TOTALS, paths=[])
    whole("no path: each node reads its own store", done, flows)
    kit.check("no path: the same records at the same nodes as with one", len(records_of(done)) == 4 and
              records_of(done) == records_of(there), (records_of(done), records_of(there)))
    node = site.node("n3")
    done = site.ask(*TOTALS, paths=[], cluster="", machine=node.machine, prepare=site.own_config(node))
    whole("no path, no file: a member's own configuration names the cluster, too", done, flows)
    kit.check("no path, no file: with the same records at each", records_of(done) == records_of(there), records_of(done))
    done = site.ask(*TOTALS, paths=[], cluster="")
    kit.check("no path, no file: another machine says what it wants", done.returncode == 2 and "which cluster?" in done.stderr,
              describe(done))
    second = site.node("n2")
    guard(site, second, text="stor: /x\n")
    done = site.ask(*TOTALS, paths=[])
    whole("no path: a node's configuration is wrong: the others answer", done, flows,
          "node n2 takes no part: /etc/securitycloud/collector.yaml:1: .*stor")
    whole("no path: it takes part when a path is given", site.ask(*TOTALS), flows)
    guard(site, second, text=second.config.read_text().replace(str(second.store), "/nonexistent/store"))
    whole("no path: a node's store is not there: the others answer", site.ask(*TOTALS, paths=[]), flows,
          "node n2 takes no part: /nonexistent/store: No such file")
    done = site.ask(*TOTALS, paths=["/nonexistent/%n"])
    kit.check("no path: of nobody's store nothing comes", done.returncode == 1 and done.stdout == "" and
              "version" not in done.stderr and all(f"node n{n}: /nonexistent/n{n}: No such file" in done.stderr for n in (1, 2, 3, 4)), describe(done))
    done = site.ask(*TOTALS, paths=[site.folder / "%n", "/nonexistent"])
    kit.check("no path: one of two that is not there is missing", done.returncode == 3 and summary(done)[0] == len(flows) and
              any("/nonexistent" in line for line in summary(done)[2]), describe(done))
    guard(site, second)
    whole("no path: all is well again", site.ask(*TOTALS, paths=[]), flows)


# ---- retention ----

class Kept:
    """The files of a store's windows, to be put back after they were expired."""

    def __init__(self, folder, node):
        self.node, self.copy = node, folder / f"kept-{node.name}"
        subprocess.run(["cp", "-al", node.store, self.copy], check=True)

    def put_back(self):
        (self.node.store / "horizon").unlink(missing_ok=True)
        for path in self.copy.rglob("*"):
            place = self.node.store / path.relative_to(self.copy)
            if path.is_file() and not place.exists() and path.suffix in (".scs", ".tally"):
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place)


def expire(node):
    """All windows but the newest, by the administrator."""
    done = subprocess.run([kit.BUILD / "bin" / "sc-admin", "expire", "--bytes", "1", "-c", node.config], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0 or done.stdout.startswith("0 windows"):
        raise SystemExit(f"sc-admin expire: {done}")


def retain(node):
    """The same by the collector, when it starts."""
    node.stop()
    node.start(extra="retention:\n  bytes: 1\n")
    if not kit.wait_for(lambda: int((node.store / "horizon").read_text().split()[0]) > 0):
        raise SystemExit(f"{node.name} expires nothing:\n{node.log.read_text()}")


LIST = ["--output-format=json", "--output-items=r,p", "-o", "flowId", "--output-fields=flowId,bytes"]


def answer_of(done):
    """(numbers of the flows, the answer)"""
    answer = json.loads(done.stdout)
    return [r["flowId"] for r in answer["records"]], answer


def numbers_here(site):
    return set(answer_of(site.ask_here(*LIST))[0])


def ask_while(site, rng, nodes, act):
    """A query, during which something is done to the stores of some nodes; their ranks stand still meanwhile, wherever they are."""
    child = site.start(*LIST)
    ranks = [site.rank_of(n.name) for n in nodes]
    time.sleep(rng.random() * .25)
    for number, pid in [(signal.SIGSTOP, p) for p in ranks] + [(None, None)] + [(signal.SIGCONT, p) for p in ranks]:
        if number is None:
            for node in nodes:
                act(node)
            continue
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it was through
    return site.finish(child)


def ask_in_plan(site, node, act):
    """A query, during which something is done when all nodes but this one have told what they expect, and none has listed its files: what
    it knows of a proxy's stream does not end until then."""
    slow = node.store / ".streams" / f"{1:016x}"
    os.mkfifo(slow)
    end = os.open(slow, os.O_RDWR)
    child = site.start(*LIST)
    met = kit.wait_for(lambda: any(slow.samefile(p) for _, pid, _ in site.running(("sc-query-rank",), [node.machine])
                                   for p in pathlib.Path(f"/proc/{pid}/fd").iterdir() if p.exists()))
    time.sleep(.3)  # the others are through
    act()
    os.write(end, b"securitycloud stream 1\nproxy another\nheard 1\nclosed 1\n")
    os.close(end)
    slow.unlink()
    return site.finish(child), met is not None


def problem_of(done, before, after):
    """None, or what is wrong with an answer of while the stores shrank from `before` to `after`."""
    if done.returncode not in (0, 3):
        return describe(done)
    numbers, answer = answer_of(done)
    got = set(numbers)
    honest = answer["complete"] == (done.returncode == 0) and bool(answer["missing"]) == (done.returncode == 3)
    if len(got) != len(numbers) or answer["summary"]["flows"] != len(got) or not after <= got <= before or not honest or \
            (done.returncode == 3 and got == before):
        return f"{len(numbers)} flows, {len(got)} different, of {len(before)}, {len(after)} kept; {describe(done, 200)} {answer['missing']}"
    return None


def expiring(folder):
    """Windows that are expired while a query runs are read at another node; where all expire them, they are there or not, and nothing is
    an error, nothing counted twice."""
    rng, wrong = seed_of("expiring"), []
    with query_kit.Site(folder, 4, 2, [BOTH, SUB, SUB, SUB], window=5) as site:
        flows = random_flows.make(rng, 8000)
        for half in (flows[:4000], flows[4000:]):
            site.feed(half, rng.random())
        kit.wait_for(lambda: not any(list(s.rglob("*.sclive")) for s in site.stores), 20)
        nodes = site.cluster.nodes
        kept = {n.name: Kept(folder, n) for n in nodes}
        before = numbers_here(site)
        kit.check("expiring: all is there before", before == set(range(len(flows))), len(before))
        for _ in range(30 if LONG else 6):
            node = rng.choice(nodes)
            done = ask_while(site, rng, [node], expire)
            problem = problem_of(done, before, before)
            if problem or done.returncode != 0:
                wrong.append((node.name, problem, describe(done)))
            kept[node.name].put_back()
        kit.check("expiring: what one node expires is read at the others", not wrong, f"SC_SEED={SEED} {wrong[:3]}")
        wrong, seen = [], set()
        for number in range(20 if LONG else 5):
            done = ask_while(site, rng, nodes, expire)
            after = numbers_here(site)
            problem = problem_of(done, before, after)
            seen.add((done.returncode, len(answer_of(done)[0])))
            if problem:
                wrong.append((number, problem))
            again = site.ask(*LIST)
            if again.returncode != 0 or answer_of(again)[0] != sorted(after):
                wrong.append((number, "afterwards", describe(again)))
            for one in kept.values():
                one.put_back()
        kit.check("expiring: what all expire is there or not, once, and told", not wrong, f"SC_SEED={SEED} {wrong[:3]}")
        kit.check("expiring: put back, all is there again", numbers_here(site) == before)
        print(f"# exit, flows: {sorted(seen)}", flush=True)
        done, met = ask_in_plan(site, nodes[2], lambda: [expire(n) for n in nodes if n is not nodes[2]])
        after = numbers_here(site)
        kit.check("expiring: between what is expected and what is listed: nothing is expected of it any more", met and
                  done.returncode == 0 and answer_of(done)[0] == sorted(after) and after < before, (met, len(after), describe(done)))
        for one in kept.values():
            one.put_back()
        done = ask_while(site, rng, nodes, retain)
        after = numbers_here(site)
        kit.check("expiring: so it is when collectors do it", problem_of(done, before, after) is None and after < before,
                  problem_of(done, before, after))
        kit.check("expiring: nothing is left", site.quiet(), site.running())


# ---- sc-query itself is killed ----

SOON_S = 10
LAUNCH_S = 20  # that a launch may take, and more for each node
DEAF_S = 20  # until a guard kills a daemon that reads nothing, and more


def kill_asker(site, delay, stopped=None, names=("sc-query-rank",)):
    """kill -9 of sc-query so long after it, or after a node's rank, began. There the first program of these names is stopped before.
    (seconds until nothing of the query ran, or what was left; whether sc-query was met)"""
    child = site.start(*TOTALS, "--node-timeout=60")
    if stopped is not None:
        site.rank_of(stopped)
        time.sleep(delay)
        found = next((pid for _, pid, name in site.running(names, [site.lab.machines[stopped]])), None)
        if found is None:
            site.finish(child)
            return 0, False
        os.kill(found, signal.SIGSTOP)
        time.sleep(.5)  # the others wait for it
    else:
        time.sleep(delay)
    met = child.poll() is None
    for _, pid, _ in site.running(("sc-query",), [site.outside]):
        os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    child.communicate()
    took = time.monotonic() - begin if site.quiet(SOON_S if stopped is None else DEAF_S) else site.running()
    for _, pid, _ in site.running():  # not for the next one
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    site.quiet()
    return took, met


def check_killed(name, took):
    print(f"# {name}: {[(round(s, 1), met) for s, met in took if isinstance(s, float)]}", flush=True)
    kit.check(f"killed{name}: soon nothing is left", not any(isinstance(s, list) for s, _ in took), took)
    kit.check(f"killed{name}: it was running", any(met for _, met in took), took)


def killed(site, flows):
    """kill -9 of sc-query at any moment, also while a rank, a daemon or mpiexec does not move: soon nothing of it runs on any machine."""
    rng, begin = seed_of("killed"), time.monotonic()
    site.ask(*TOTALS)
    usual = time.monotonic() - begin
    check_killed("", [kill_asker(site, rng.random() * usual) for _ in range(30 if LONG else 10)])
    rounds = range(4 if LONG else 1)
    check_killed(" beside a stopped rank", [kill_asker(site, rng.random() * .2, n) for _ in rounds for n in ("n1", "n2", "n3", "n4")])
    check_killed(" beside a stopped daemon", [kill_asker(site, 0, n, ("orted",)) for _ in rounds for n in ("n1", "n3")])
    check_killed(" beside a stopped mpiexec", [kill_asker(site, 0, "x1", ("mpiexec", "orterun")) for _ in rounds])
    whole("killed: the next query is well", site.ask(*TOTALS), flows)


# ---- a rank that is never heard ----

NEVER_HEARD = {  # what happens to the rank and its guard between the report of their node's daemon and the first sign of life
    "killed": "kill -KILL $PPID $$",
    "stopped": "kill -STOP $PPID $$",
}


def stand_in(site, name, script):
    """On a node this script is what the guard runs as the rank; asked for its version it is well."""
    path = site.folder / "rank-of-nothing"
    rank = kit.BUILD / "bin" / "sc-query-rank"
    version = subprocess.run([rank, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    path.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{version}' && exit\n{script}\n")
    path.chmod(0o755)
    machine = site.node(name).machine
    site.unguard(machine)
    site.guard(machine, f"mount --bind {path} {rank}" if script else "true")


def never_heard(site, flows):
    """A rank and its guard are gone before the first sign of life: that costs --node-timeout, not the time that a launch may take."""
    for what, script in NEVER_HEARD.items():
        stand_in(site, "n3", script)
        begin = time.monotonic()
        done = site.ask(*TOTALS, "--node-timeout=2")
        took = time.monotonic() - begin
        print(f"# never heard, {what}: {took:.1f} s", flush=True)
        whole(f"never heard, {what}: the others answer", done, flows, "node n3 takes no part: .+")
        kit.check(f"never heard, {what}: before a launch could be given up", took < LAUNCH_S, took)
        kit.check(f"never heard, {what}: nothing is left", site.quiet(DEAF_S), site.running())
    stand_in(site, "n3", "")
    whole("never heard: all is well again", site.ask(*TOTALS), flows)


# ---- strangers at the ports of a query ----

JUNK = (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x00" * 64, b"\xff" * 4096, bytes(range(256)) * 16)


def ports_of_query(machine):
    """TCP ports that the programs of a query listen at on a machine (Open MPI draws them)."""
    out = lab_kit.run("ip", "netns", "exec", machine.namespace, "ss", "-ltnpH", check=False).stdout
    return [int(line.split()[3].rsplit(":", 1)[1]) for line in out.splitlines()
            if any(f'"{name}"' in line for name in ("orted", "mpiexec", "orterun", "sc-query-rank"))]


def pester(site, rng, child):
    """Connects to every port of a running query from a machine that has no part in it, with bytes that mean nothing, until it ends."""
    met, kept = 0, []
    machines = [n.machine for n in site.cluster.nodes] + [site.outside]
    while child.poll() is None and met < 60:
        time.sleep(.1)
        for machine in machines:
            for port in ports_of_query(machine):
                try:
                    stranger = site.node("n1").machine.connect((machine.address, port), 1)
                    stranger.sendall(rng.choice(JUNK))
                    kept.append(stranger)
                    met += 1
                except OSError:
                    continue
    for stranger in kept:
        stranger.close()
    return met


def strangers(site, flows):
    """Junk at Open MPI's ports never makes an answer wrong: it is whole, or there is none, and soon, and nothing is left."""
    rng, met, wrong = seed_of("strangers"), 0, []
    for _ in range(20 if LONG else 3):
        child = site.start(*TOTALS, "--node-timeout=5")
        if rng.random() < .7:
            held = site.rank_of("n2")  # one rank waits, so that there is time
            with contextlib.suppress(ProcessLookupError):
                os.kill(held, signal.SIGSTOP)
                threading.Timer(1, lambda p=held: os.kill(p, signal.SIGCONT)).start()
        met += pester(site, rng, child)
        done = site.finish(child)
        count, complete, missing, _ = summary(done)
        good = (done.returncode == 0 and count == len(flows) and complete and not missing) or \
            (done.returncode in (1, 3) and not complete and (done.stderr or missing))
        if not good:
            wrong.append(describe(done))
    print(f"# {met} connections of strangers", flush=True)
    kit.check("strangers: junk at the ports of a query makes no answer wrong", not wrong and met > 3, (met, wrong))
    kit.check("strangers: and leaves nothing running", site.quiet())
    whole("strangers: the next query is well", site.ask(*TOTALS), flows)


SCENARIOS = (own_stores, killed, never_heard, strangers)

