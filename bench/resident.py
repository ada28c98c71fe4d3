#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measures what a query session whose ranks stay would save and cost, with the prototype bench/resident/rank.c; writes bench/resident.md.

    cmake -S . -B build -DSC_BENCH=ON && cmake --build build
    bench/resident.py [--build DIR] [--flows N] [--idle SECONDS] [--rounds N]

Three hosts and the one that asks are network namespaces with names, sshd and TMPDIR of their own (tests/cluster/query_kit.py: root, Open
MPI, openssh). The session is started by sc-query itself, which finds the prototype where sc-query-rank ought to be: its supervisor
launches it, hears its signs of life and ends it. Every answer, of a session or not, is compared with that of one process over all
stores; one that differs ends the script.
"""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import types

import harness

TOP = pathlib.Path(__file__).resolve().parent.parent
HOSTS = ("n1", "n2", "n3")
QUESTIONS = {
    "totals": ["--output-items=p", "--output-format=json"],
    "top 10": ["-s", "srcip#bytes", "-l", "10", "--output-format=csv"],
}
MARK = b"\x1esc-answer "
WRAPPER = '#!/bin/sh\nexec mpiexec "$@" <"$SC_RESIDENT_STDIN"\n'
NAPS_US = (200, 10_000, 50_000)
WAIT_S = 60
PR_SET_CHILD_SUBREAPER = 36
ORPHANS_S = 20


def plain(text):
    """An answer without what two runs may differ in: how long it took, and who took part."""
    if not text.startswith("{"):
        return text
    answer = json.loads(text)
    answer.pop("elapsed_ms")
    answer.pop("cluster", None)
    return json.dumps(answer)


# ---- hosts ----

def make_site(kit, folder):
    class Site(kit.Site):
        """Hosts with stores and sshd, without collectors."""

        def begin(self, *_):
            self.key("client")
            self.key("host")
            shutil.copyfile(self.folder / "client.pub", self.folder / "authorized")
            self.outside = self.lab.machine("x1")
            self.temporary = {}
            for name in (*HOSTS, "x1"):
                self.temporary[name] = self.folder / f"{name}.tmp"
                self.temporary[name].mkdir()
            for name in HOSTS:
                self.guard(self.lab.machine(name), options=["-o", f"SetEnv=TMPDIR={self.temporary[name]}"])
            self.stores = [self.folder / name for name in HOSTS]
            self.cluster = types.SimpleNamespace(file=self.members("cluster.yaml", HOSTS))

        def members(self, name, hosts):
            lines = [f"  - {{name: {h}, address: '{self.lab.machines[h].address}:4741', roles: [subcollector]}}\n" for h in hosts]
            (self.folder / name).write_text("version: 1\nreplication: 1\nmembers:\n" + "".join(lines))
            return self.folder / name

        def start(self, *options, env=None, **more):
            return super().start(*options, env={"TMPDIR": str(self.temporary["x1"]), **(env or {})}, **more)

        def reaches(self, machine):
            with contextlib.suppress(OSError):
                self.outside.connect((machine.address, 22), 1).close()
                return True
            return False

    return Site(folder, len(HOSTS), 1)


def store_flows(build, site, name, flows, seed):
    capture = site.folder / "flows.pcap"
    for command in (["sc-exporter", "--generate", "--flows", flows, "--seed", seed, "--start", "2026-01-01", "--write", capture],
                    ["sc-collector", "--store", site.folder / name, "--read", capture]):
        subprocess.run([str(build / "bin" / command[0]), *map(str, command[1:])], check=True, stdin=subprocess.DEVNULL,
                       capture_output=True)
    capture.unlink()


# ---- a session ----

class Ended(Exception):
    pass


class Session:
    count = 0

    def __init__(self, site, *options, nap_us=10_000, cluster=None):
        Session.count += 1
        fifo = site.folder / f"questions-{Session.count}"
        os.mkfifo(fifo)
        self.questions = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
        self.begun = time.perf_counter()
        self.bytes = b""
        self.child = site.start("--stream", *options, program=site.folder / "session" / "sc-query", cluster=cluster, env={
            "SC_MPIEXEC": str(site.folder / "session" / "mpiexec"), "SC_RESIDENT_STDIN": str(fifo), "SC_RESIDENT_NAP_US": str(nap_us)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """The end of the questions; its exit status."""
        if self.questions >= 0:
            os.close(self.questions)
            self.questions = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(20)
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
        self.child.stderr.close()
        return self.child.returncode

    def await_bytes(self, seconds):
        ready, _, _ = select.select([self.child.stdout], [], [], seconds)
        if not ready:
            raise TimeoutError
        more = os.read(self.child.stdout.fileno(), 1 << 16)
        if not more:
            raise Ended
        self.bytes += more

    def send(self, words):
        os.write(self.questions, "\t".join(words).encode() + b"\n")

    def receive(self, seconds=WAIT_S):
        """(exit status, text) of the next answer. Ended: the session is over; TimeoutError."""
        deadline = time.monotonic() + seconds
        while (at := self.bytes.find(MARK)) < 0 or b"\n" not in self.bytes[at:]:
            self.await_bytes(max(0, deadline - time.monotonic()))
        end = self.bytes.index(b"\n", at)
        status, text = int(self.bytes[at + len(MARK):end].split()[0]), self.bytes[:at].decode()
        self.bytes = self.bytes[end + 1:]
        return status, text

    def ask(self, words):
        """(seconds, exit status, text)"""
        begin = time.perf_counter()
        self.send(words)
        status, text = self.receive()
        return time.perf_counter() - begin, status, text

    def await_end(self, seconds):
        """Seconds until sc-query is gone; None: not within `seconds`."""
        begin = time.perf_counter()
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return time.perf_counter() - begin


# ---- what it holds ----

def threads_ns(pid):
    """CPU time of a process: (its main thread, the others), ns."""
    main = others = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        used = int((task / "schedstat").read_text().split()[0])
        main, others = (main + used, others) if task.name == str(pid) else (main, others + used)
    return main, others


def memory_kib(pid):
    """(RSS, its private part and share of what is common)"""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(fields[name].split()[0]) for name in ("Rss", "Pss"))


def programs(machine):
    """{id: name} of all that runs on a machine. Starts nothing that would be measured, too."""
    there, found = os.stat(f"/run/netns/{machine.namespace}").st_ino, {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.stat(process / "ns" / "net").st_ino == there and "State:\tZ" not in (process / "status").read_text():
                found[int(process.name)] = (process / "comm").read_text().strip()
    return found


def adopt_orphans():
    """Open MPI's daemons outlive those who started them: they become our children, and so their CPU time is known."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit("resident: cannot adopt processes")


def reap(kept):
    """Those of our children that ended, but for `kept`."""
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for pid in set(map(int, children)) - kept:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def cpu_s(site):
    """CPU time that the machines' programs have used until now, with those that ended."""
    reap({child.pid for child in site.lab.children})
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for machine in site.lab.machines.values():
        for pid in programs(machine):
            with contextlib.suppress(OSError):
                ticks += sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]))
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def listening(lab, machine):
    """Ports that programs of MPI listen on, but for those of 127.0.0.1."""
    lines = lab.run("ip", "netns", "exec", machine.namespace, "ss", "-Hltnp", check=False).stdout.splitlines()
    ports = {line.split()[3].rsplit(":", 1)[1] for line in lines
             if "127.0.0.1" not in line.split()[3] and ("orted" in line or "sc-query" in line or "mpiexec" in line or "mpirun" in line)}
    return sorted(map(int, ports))


class Bench:
    def __init__(self, args, build, site, kit, lab):
        self.args, self.build, self.site, self.kit, self.lab = args, build, site, kit, lab
        self.lines = []
        self.expected = {}

    def say(self, *lines):
        self.lines += lines
        print("\n".join(lines), flush=True)

    def expect(self):
        """What one process over all stores answers."""
        for name, words in QUESTIONS.items():
            done = self.site.ask_here(*words)
            if done.returncode != 0:
                raise SystemExit(f"resident: {done.stderr}")
            self.expected[name] = plain(done.stdout)

    def judge(self, who, name, status, text):
        if status != 0 or plain(text) != self.expected[name]:
            raise SystemExit(f"resident: {who}, {name}: exit {status}\n{text}\nought to be\n{self.expected[name]}")

    def launch(self, name, ssh):
        begin = time.perf_counter()
        done = self.site.ask(*QUESTIONS[name], ssh=ssh)
        seconds = time.perf_counter() - begin
        self.judge("sc-query --cluster", name, done.returncode, done.stdout + (done.stderr if done.returncode else ""))
        return seconds

    def converse(self, session, name):
        seconds, status, text = session.ask(QUESTIONS[name])
        self.judge("the session", name, status, text)
        return seconds

    def first_answer(self, *options, **more):
        """A new session that has answered once, and seconds since its start."""
        session = Session(self.site, *options, **more)
        try:
            self.converse(session, "totals")
        except Ended:
            raise SystemExit(f"resident: the session does not begin: {session.child.stderr.read()}") from None
        except BaseException:
            session.close()
            raise
        return session, time.perf_counter() - session.begun

    def rank(self, name):
        return next(pid for pid, comm in programs(self.site.lab.machines[name]).items() if comm == "sc-query-rank")


# ---- latency ----

def spread(seconds):
    return f"{1000 * statistics.median(seconds):.0f} ({1000 * min(seconds):.0f} to {1000 * max(seconds):.0f})"


def timed(one, count):
    return [one() for _ in range(count)]


def enter(bench):
    begin = time.perf_counter()
    subprocess.run(bench.kit.named(bench.site.outside, ["true"]), check=True)
    return time.perf_counter() - begin


def begin_and_end(bench):
    session, seconds = bench.first_answer()
    if session.close() != 0:
        raise SystemExit("resident: a session that is told to end fails")
    return seconds


def in_turns(bench, name, shared):
    """Seconds of each way to ask; the session's questions, two a turn, disturb the others least: it looks for them seldom."""
    launched, sharing, session = [], [], []
    with bench.first_answer()[0] as slow:
        for _ in range(bench.args.rounds):
            launched.append(bench.launch(name, None))
            sharing.append(bench.launch(name, shared))
            session += timed(lambda: bench.converse(slow, name), 2)
    with bench.first_answer(nap_us=200)[0] as quick:
        return launched, sharing, session, timed(lambda: bench.converse(quick, name), 2 * bench.args.rounds)


def cpu_of(bench, one, end_s=0):
    """ms of CPU time on all machines for each of many queries; what ends `end_s` after the last included."""
    count = 2 * bench.args.rounds
    before = cpu_s(bench.site)
    timed(one, count)
    time.sleep(end_s)
    return 1000 * (cpu_s(bench.site) - before) / count


def efforts(bench, name, shared):
    yield cpu_of(bench, lambda: bench.launch(name, None), end_s=1)
    yield cpu_of(bench, lambda: bench.launch(name, shared), end_s=1)
    for nap_us in (10_000, 200):
        with bench.first_answer(nap_us=nap_us)[0] as session:
            yield cpu_of(bench, lambda: bench.converse(session, name))


def latency(bench):
    site, rounds = bench.site, bench.args.rounds
    shared = site.ssh() + f" -o ControlMaster=auto -o ControlPersist=600 -o ControlPath={site.folder}/%n.ssh"
    bare, starts = timed(lambda: enter(bench), rounds), timed(lambda: begin_and_end(bench), 5)
    bench.launch("totals", shared)
    bench.say("## Latency", "", "Milliseconds from the question to the end of its answer, median (least to greatest), "
              f"{rounds} queries each, {2 * rounds} in a session, in turns but for the last column. "
              f"To enter the namespace takes {spread(bare)} ms of the first two.", "",
              "| query | sc-query --cluster | the same, ssh shares connections | session, looks every 10 ms | session, every 0.2 ms |",
              "|---|---|---|---|---|")
    for name in QUESTIONS:
        bench.say(f"| {name} | " + " | ".join(spread(seconds) for seconds in in_turns(bench, name, shared)) + " |")
    bench.say("", "CPU time of all machines together, ms a query; it depends less than the latency on what else the machine does.", "",
              "| query | sc-query --cluster | the same, ssh shares connections | session, looks every 10 ms | session, every 0.2 ms |",
              "|---|---|---|---|---|")
    for name in QUESTIONS:
        bench.say(f"| {name} | " + " | ".join(f"{ms:.0f}" for ms in efforts(bench, name, shared)) + " |")
    bench.say("", f"From the start of a session to its first answer: {spread(starts)} ms, {len(starts)} sessions.", "")
    for host in HOSTS:
        address = site.lab.machines[host].address
        subprocess.run([*site.outside.command(shared.split()), "-O", "exit", address], check=False, capture_output=True)


# ---- what stays and what is new ----

def freshness(bench):
    site = bench.site
    with bench.first_answer()[0] as session:
        before = bench.expected["totals"]
        store_flows(bench.build, site, "n2", 20_000, 77)
        bench.expect()
        if bench.expected["totals"] == before:
            raise SystemExit("resident: no new flows")
        for name in QUESTIONS:
            bench.converse(session, name)
        _, status, text = session.ask(["-f", "no such field"])
        if status != 2 or text != "":
            raise SystemExit(f"resident: a filter that makes no sense: exit {status}\n{text}")
        bench.converse(session, "totals")
        program = site.folder / "session" / "sc-query-rank"
        kept = program.with_name("kept")
        program.rename(kept)
        shutil.copy(bench.build / "bin" / "sc-query-rank", program)  # as an upgrade does
        bench.converse(session, "totals")
        kept.rename(program)
    bench.say("## What it knows", "",
              "- Flows stored between two questions are in the second answer: stores, elements and plan are looked at anew each time.",
              "- A question that makes no sense ends with status 2, and the next one is answered.",
              "- A rank program that was replaced on disk is not noticed: the session goes on with the old one.", "")


# ---- memory, processor, ports ----

def hold(bench):
    site = bench.site
    bench.say("## What it holds", "", f"CPU: ms of a minute without a question, measured over {bench.args.idle} s, mean of the nodes. The rank's "
              "main thread looks for messages, its others beat (every 200 ms) and serve Open MPI.", "",
              "| looks every | rank, main thread | rank, others | orted | sshd | all of a node | all of the machine that asks |",
              "|---|---|---|---|---|---|---|")
    for nap_us in NAPS_US:
        with bench.first_answer(nap_us=nap_us)[0]:
            time.sleep(1)
            idle(bench, nap_us)
    with bench.first_answer()[0] as session:
        show_kinds(bench)
        memory(bench, "one query for totals")
        for _ in range(10):
            bench.converse(session, "top 10")
        memory(bench, "10 queries for the top 10")
        for _ in range(100):
            bench.converse(session, "totals")
        memory(bench, "100 more for totals")
    bench.say("")
    if not site.quiet():
        raise SystemExit(f"resident: still running: {site.running()}")


def of_node(bench, name):
    """The session's programs of a host: {kind: [ids]}; "sshd" of its log-in."""
    guard = bench.site.guards[name].pid
    found = {"sc-query-rank": [], "orted": [], "sshd": []}
    for pid, comm in programs(bench.site.lab.machines[name]).items():
        if comm in found and pid != guard:
            found[comm].append(pid)
    return found


def show_kinds(bench):
    kinds = of_node(bench, "n1")
    bench.say("", "Programs of one node: " + ", ".join(f"{len(pids)} {kind}" for kind, pids in kinds.items())
              + " (but the one that listens). Memory, MiB: resident (and with common pages divided among those who have them); ports that"
              " its programs listen on, not only for 127.0.0.1.", "", "| after | rank | orted | sshd | ports |", "|---|---|---|---|---|")


def idle(bench, nap_us):
    nodes = {name: of_node(bench, name) for name in HOSTS}
    asker = list(programs(bench.site.outside))
    watched = [pid for kinds in nodes.values() for pids in kinds.values() for pid in pids] + asker
    begin, before = time.perf_counter(), {pid: threads_ns(pid) for pid in watched}
    time.sleep(bench.args.idle)
    minute = (time.perf_counter() - begin) / 60
    used = {pid: tuple((b - a) / 1e6 / minute for a, b in zip(before[pid], threads_ns(pid))) for pid in watched}

    def mean(kind, part):
        return statistics.mean(sum(part(used[pid]) for pid in nodes[name][kind]) for name in HOSTS)
    parts = [mean("sc-query-rank", lambda u: u[0]), mean("sc-query-rank", lambda u: u[1]), mean("orted", sum), mean("sshd", sum)]
    bench.say(f"| {nap_us / 1000:g} ms | " + " | ".join(f"{ms:.0f}" for ms in (*parts, sum(parts), sum(sum(used[pid]) for pid in asker))) + " |")


def memory(bench, label):
    cells = []
    kinds = of_node(bench, "n1")
    for pids in kinds.values():
        both = [memory_kib(pid) for pid in pids]
        cells.append(f"{sum(b[0] for b in both) / 1024:.1f} ({sum(b[1] for b in both) / 1024:.1f})")
    ports = listening(bench.lab, bench.site.lab.machines["n1"])
    bench.say(f"| {label} | " + " | ".join(cells) + " | " + ", ".join(map(str, ports)) + " |")


# ---- deaths ----

def kill_rank(bench, session, before=None, after=None):
    """Kills n2's rank. `before`: a question just sent; `after`: one that is sent next. @return when."""
    pid = bench.rank("n2")
    if before:
        session.send(QUESTIONS[before])
        time.sleep(0.03)
    os.kill(pid, signal.SIGKILL)
    begin = time.perf_counter()
    if after:
        session.send(QUESTIONS[after])
    return begin


def killed(bench, **when):
    """Seconds until the session has ended, and until a new one has answered."""
    with bench.first_answer()[0] as session:
        time.sleep(1)
        begin = kill_rank(bench, session, **when)
        if session.await_end(WAIT_S) is None:
            raise SystemExit("resident: nobody notices a rank that was killed")
        ended = time.perf_counter() - begin
        again, _ = bench.first_answer()
        total = time.perf_counter() - begin
        again.close()
    return ended, total


def launched_killed(bench):
    """Seconds of a whole sc-query --cluster, a rank of which is killed as soon as it runs."""
    begin = time.perf_counter()
    child = bench.site.start(*QUESTIONS["top 10"])
    os.kill(bench.site.rank_of("n2"), signal.SIGKILL)
    done = bench.site.finish(child)
    bench.judge("sc-query --cluster", "top 10", done.returncode, done.stdout)
    return time.perf_counter() - begin


def unplugged(bench, others, left):
    """As killed(); the new session has a membership file without the node. What stays on the host is noted in `left`."""
    with bench.first_answer()[0] as session:
        bench.site.lab.unplug("n2")
        begin = time.perf_counter()
        if session.await_end(WAIT_S) is None:
            raise SystemExit("resident: nobody notices a cut cable")
        ended = time.perf_counter() - begin
        with Session(bench.site, cluster=others) as again:
            again.ask(QUESTIONS["totals"])
            total = time.perf_counter() - begin
    left.append(orphans(bench))
    settle(bench)
    return ended, total


def unwatched(bench):
    """A cable is cut, and the supervisor does not mind silence: what is noticed while idle, and after a question."""
    seconds = bench.args.idle
    with bench.first_answer("--node-timeout=1h")[0] as session:
        bench.site.lab.unplug("n2")
        idle_end = session.await_end(seconds)
        session.send(QUESTIONS["totals"])
        with contextlib.suppress(TimeoutError, Ended):
            session.receive(seconds)
            raise SystemExit("resident: an answer without a node's part")
        asked_end = session.child.poll()
        session.child.send_signal(signal.SIGINT)
        session.await_end(30)
    bench.site.lab.plug("n2")
    settle(bench)
    idle_seen, asked_seen = ("not noticed" if end is None else "noticed" for end in (idle_end, asked_end))
    return f"{idle_seen} within {seconds} s idle; {asked_seen} within {seconds} s after a question"


def orphans(bench):
    """(programs on the host that was cut off, some time later; seconds until they are gone once it is back, or None)"""
    def count():
        return sum(len(pids) for pids in of_node(bench, "n2").values())
    time.sleep(ORPHANS_S)
    before = count()
    bench.site.lab.plug("n2")
    begin = time.perf_counter()
    gone = bench.kit.kit.wait_for(lambda: count() == 0, WAIT_S)
    return before, time.perf_counter() - begin if gone else None


def settle(bench):
    """What a cut cable left running on the hosts is ended, by id, before the next test begins."""
    for name in HOSTS:
        for pids in of_node(bench, name).values():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    if not bench.kit.kit.wait_for(lambda: bench.site.reaches(bench.site.lab.machines["n2"]), 20):
        raise SystemExit("resident: the host does not come back")
    if not bench.site.quiet():
        raise SystemExit(f"resident: still running: {bench.site.running()}")


def deaths(bench):
    times = range(bench.args.deaths)
    bench.say("## When something dies", "", f"Seconds, each time of {len(times)}; after the end a new session was started at once.", "",
              "| what | until the session ended | until a new one had answered |", "|---|---|---|")

    def row(label, one):
        pairs = [one() for _ in times]
        bench.say(f"| {label} | " + " | ".join(", ".join(f"{value:.2f}" for value in column) for column in zip(*pairs)) + " |")
    row("a rank is killed, nobody asks", lambda: killed(bench))
    row("a rank is killed, a question follows at once", lambda: killed(bench, after="totals"))
    row("a rank is killed 30 ms after a question for the top 10", lambda: killed(bench, before="top 10"))
    alone = ", ".join(f"{launched_killed(bench):.2f}" for _ in times)
    bench.say(f"| for comparison: a rank of sc-query --cluster is killed as soon as it runs | - | {alone} for the whole query |")
    others = bench.site.members("others.yaml", [h for h in HOSTS if h != "n2"])
    left = []
    row("a cable is cut, nobody asks; the new session is told to do without the node", lambda: unplugged(bench, others, left))
    bench.say(f"| the same, and silence is no sign | {unwatched(bench)} | - |", "")
    bench.say("Programs of the session on the host whose cable was cut, " + f"{ORPHANS_S} s after the session's end: "
              + ", ".join(str(before) for before, _ in left) + "; seconds until they were gone, once the cable was back: "
              + ", ".join("not within a minute" if gone is None else f"{gone:.1f}" for _, gone in left) + ".", "")


def prepare(bench, resident):
    """Stores, and a folder in which sc-query finds the prototype beside itself."""
    site, folder = bench.site, bench.site.folder / "session"
    folder.mkdir()
    shutil.copy(bench.build / "bin" / "sc-query", folder / "sc-query")
    shutil.copy(resident, folder / "sc-query-rank")
    (folder / "mpiexec").write_text(WRAPPER)
    (folder / "mpiexec").chmod(0o755)
    for number, host in enumerate(HOSTS):
        store_flows(bench.build, site, host, bench.args.flows // len(HOSTS), number + 1)
    bench.expect()


SECTIONS = {"latency": latency, "freshness": freshness, "hold": hold, "deaths": deaths}


def main():
    parser = argparse.ArgumentParser(description="Measures a resident query session.")
    parser.add_argument("--build", default="build")
    parser.add_argument("--flows", type=int, default=1_000_000, help="in all stores")
    parser.add_argument("--idle", type=int, default=60, metavar="SECONDS", help="of each look at an idle session")
    parser.add_argument("--rounds", type=int, default=12, help="of queries")
    parser.add_argument("--deaths", type=int, default=3, help="of each kind")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="writes nothing")
    args = parser.parse_args()
    build = (TOP / args.build).resolve()
    resident = build / "bench-bin" / "sc-resident-rank"
    if not resident.exists():
        raise SystemExit(f"resident: {resident} is not built: cmake -DSC_BENCH=ON")
    os.environ["SC_BUILD"] = str(build)
    sys.path.insert(0, str(TOP / "tests" / "cluster"))
    import lab_kit
    import query_kit
    query_kit.require()
    lab_kit.end_on_signals()
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="sc-resident-") as name, make_site(query_kit, name) as site:
        bench = Bench(args, build, site, query_kit, lab_kit)
        prepare(bench, resident)
        bench.say("# A resident session, measured", "",
                  f"Written by `bench/resident.py`; the method is at its top. {len(HOSTS)} hosts as namespaces of one machine with "
                  f"{harness.cpus()} cores, {args.flows // len(HOSTS) * len(HOSTS):,} generated flows in all; the fourth host asks. "
                  f"Load of the machine before: {os.getloadavg()[0]:.1f}.", "")
        for section in args.only or SECTIONS:
            SECTIONS[section](bench)
    if not args.only:
        (TOP / "bench" / "resident.md").write_text("\n".join(bench.lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
