#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=900 rounds=1 beside=quiet
"""sc-query --cluster over namespaces with sshd: random queries against one process over all stores, and what becomes of the answer when
nodes, ranks, files and ssh fail. SC_SEED=N repeats a run; SC_ONLY=WORD runs the scenarios whose name contains it. SC_LONG: more of all."""
import collections
import json
import os
import pathlib
import re
import shlex
import signal
import sys
import tempfile
import threading
import time

import cluster_kit as kit
import lab_kit
import query_edges
import query_kit
import random_flows
import random_query
from query_kit import LONG, SEED, TOTALS, describe, seed_of, summary, whole

BOTH, SUB, PROXY = ["proxy", "subcollector"], ["subcollector"], ["proxy"]
JSON = "--output-format=json"


# ---- two answers ----

def plain(text):
    """Without the time that it took."""
    return re.sub(r'"elapsed_ms": \d+', "", re.sub(r"; \d+\.\d{3} seconds", "", text))


def forgiven(text):
    """Without what the cluster tells about its nodes."""
    text = re.sub(r'"cluster": .*, "elapsed_ms"', '"elapsed_ms"', text)
    text = re.sub(r"(?m)^\d+ of \d+ nodes answered.*\n|^node \w+ takes no part: .*\n", "", text)
    return re.sub(r'"damage": \["node n\d+ takes no part: [^"]*"\]', '"damage": []', re.sub(r"\ndamage: node n\d takes no part: .*", "", text))


def parse(text, form, items):
    """(records as a multiset, all else) of a listing."""
    lines = text.splitlines()
    if form == "json":
        answer = json.loads(text)
        return collections.Counter(json.dumps(r) for r in answer.pop("records", [])), {**answer, "elapsed_ms": 0}
    if form == "ndjson":
        rest = [line for line in lines if line.startswith('{"summary"') or line.startswith('{"metadata"')]
        return collections.Counter(line for line in lines if line not in rest), [plain(line) for line in rest]
    end = lines.index("") if items != "r" and "" in lines else len(lines)
    return collections.Counter(lines[1:end]), lines[:1] + lines[end:]


def first_difference(there, here):
    ours, theirs = there.splitlines(), here.splitlines()
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return f"line {at + 1} of {len(ours)}, local {len(theirs)}:\n{ours[at:at + 3]}\nlocal {theirs[at:at + 3]}"


def difference(query, form, items, there, here, everything):
    """None, or how the cluster's answer differs from that of one process."""
    if there.returncode != here.returncode or there.returncode != 0:
        return f"cluster {describe(there)}\nlocal {describe(here)}"
    there.stdout = forgiven(there.stdout)
    if query.exact or items in ("p", "m"):
        return None if plain(there.stdout) == plain(here.stdout) else first_difference(there.stdout, here.stdout)
    ours, rest = parse(there.stdout, form, items)
    theirs, wanted_rest = parse(here.stdout, form, items)
    if not query.limited and (query.kind != "sorted" or "-l" not in query.options):
        return None if (ours, rest) == (theirs, wanted_rest) else \
            f"only cluster {list((ours - theirs).items())[:3]}\nonly local {list((theirs - ours).items())[:3]}\n{rest}\n{wanted_rest}"
    some, _ = parse(everything().stdout, form, items)
    return None if not ours - some and ours.total() == theirs.total() else \
        f"{ours.total()} records, local {theirs.total()}; unknown {list((ours - some).items())[:3]}"


def random_form(rng, query):
    """(format, items)"""
    forms = ["json", "ndjson", "csv"] + (["pretty"] if query.exact else [])
    return rng.choice(forms), rng.choice(("r", "r", "r,p", "r,p,m", "p", "m"))


def special(rng):
    """Queries that the generator does not make: everything, options records, windows, zones, conversions."""
    return rng.choice((
        ["--output-fields=all", "-o", "flowId"],
        ["--output-fields=all", "-o", "bytes,flowId", "-l", "40"],
        ["--record-kind=options", "-o", "odid,ingressInterface", "--output-fields=odid,ingressInterface,interfaceName"],
        ["--record-kind=options", "-a", "odid", "--output-fields=flows"],
        ["-s", "net", "-s", "inifname#bytes"],
        ["-t", "now", "-s", "odid,exporterip"],
        ["-a", "received/1m", "-T", "-2h", "--time-field=received"],
        ["-s", "first/1h", "--time-zone=Europe/Prague"] if pathlib.Path("/usr/share/zoneinfo/Europe/Prague").exists() else ["-s", "tos"],
        ["-o", "first,flowId", "--output-fields=first,last,duration,flags,proto,bytes,flowId", "--output-ts-conv=pretty",
         "--output-duration-conv=str", "--output-tcpflags-conv=str", "--output-proto-conv=str", "--output-volume-conv=metric-prefix"],
        ["-a", "proto", "--scale-sampling"],
        ["-s", "srcip,dstip,srcport,dstport,proto#bytes", "-l", "0"],
        ["-o", "exporterip,odid,flowId", "--output-fields=exporterip,odid,flowId,inifname,outifname"]))


class Exact:
    exact, limited, kind = True, False, "special"

    def __init__(self, options):
        self.options = options


def compare(site, rng, flows, count, machines=None, stores=None):
    """`count` random queries, asked of the cluster and of one process. [what was wrong]"""
    generator = random_query.Generator(rng, flows)
    wrong = []
    for _ in range(count):
        query = Exact(special(rng)) if rng.random() < .2 else generator.query()
        form, items = random_form(rng, query)
        words = [*query.options, f"--output-format={form}", f"--output-items={items}"]
        machine = rng.choice(machines or [site.outside])
        there, here = site.ask(*words, machine=machine), site.ask_here(*words, stores=stores)

        def everything(query=query, form=form, items=items):
            limit = query.options.index("-l") if "-l" in query.options else len(query.options)
            return site.ask_here(*query.options[:limit], *query.options[limit + 2:], f"--output-format={form}",
                                 f"--output-items={items}", stores=stores)
        problem = difference(query, form, items, there, here, everything)
        if not problem and form == "ndjson" and items == "r" and isinstance(query, random_query.Query) and stores is None:
            problem = query.problem(flows, there.stdout)  # the order, too
        if problem:
            wrong.append(f"from {machine.name}: {shlex.join(words)}\n{problem}")
    return wrong


# ---- scenarios ----

def sizes(folder):
    """Random placement on some nodes: the cluster answers as one process does."""
    for count, queries in ((2, 60), (3, 100), (5, 80), (8, 60)) if LONG else ((3, 8), (5, 6)):
        rng = seed_of(f"sizes {count}")
        here = folder / str(count)
        here.mkdir()
        roles = [BOTH if n < 2 or rng.random() < .3 else SUB for n in range(count)]
        with query_kit.Site(here, count, 2, roles) as site:
            flows = random_flows.make(rng, 20000 if LONG else 3000)
            site.feed(flows, rng.random())
            wrong = compare(site, rng, flows, queries, [site.outside, *(n.machine for n in site.cluster.nodes)])
            kit.check(f"sizes: {queries} random queries of {count} nodes, asked from anywhere, are answered as by one process",
                      not wrong, f"SC_SEED={SEED}, {len(wrong)} wrong\n" + "\n".join(wrong[:5]))
            kit.check(f"sizes: no program is left on {count} nodes", site.quiet(), site.running())


def command_by_hand(site):
    hosts = ",".join(n.address for n in site.cluster.nodes)
    return ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-H", hosts, "--mca", "plm_rsh_agent", site.ssh(),
            "--mca", "btl", "tcp,self", str(kit.BUILD / "bin" / "sc-query"), *TOTALS, str(site.folder / "%h")]


def by_hand(site, flows):
    """fdistdump's way: mpiexec starts sc-query itself; %h is the machine's name."""
    command = command_by_hand(site)
    done = site.outside.run(command, timeout=60)
    whole("by hand: mpiexec ... sc-query '/path/%h' gives the answer", done, flows)
    done = site.outside.run([*command[:-2], "--output-itms=p", "x"], timeout=60)
    kit.check("by hand: a wrong word is told", "unrecognized option" in done.stderr and done.returncode == 2,
              describe(done, 3000))


def explained(site, flows):
    """Each node says what its time went into; together they looked at every flow once."""
    done = site.ask(JSON, "--output-items=r,p", "--explain=analyze", "-s", "srcip#distinct(dstip)")
    told = re.findall(r"(?m)^(n\d): (\d+) rows looked at, (\d+) selected; of all threads open [\d.]+ ms, filter .*, "
                      r"put together [\d.]+ ms$", done.stderr)
    kit.check("explained: a line of each node", sorted(name for name, *_ in told) == ["n1", "n2", "n3", "n4"], describe(done, 3000))
    kit.check("explained: each flow was looked at once", sum(int(rows) for _, rows, _ in told) == len(flows), told)


def node_lost(site, flows):
    """Nodes that are gone: two neighbours, then one of them; others have what it had."""
    pair = next((p for p in (("n2", "n3"), ("n3", "n4")) if summary(
        site.ask_here(*TOTALS, stores=[s for s in site.stores if s.name not in p]))[0] != len(flows)), ("n3", "n4"))
    for name in pair:
        site.kill_node(name)
    done = site.ask(*TOTALS)
    count, complete, missing, _ = summary(done)
    lost = sum(int(n) for line in missing for n in re.findall(r"with (\d+) records", line))
    kit.check("lost: with two neighbours dead it exits with 3", done.returncode == 3 and complete is False, describe(done))
    kit.check("lost: and names the windows, to the flow", count is not None and 0 < lost == len(flows) - count and
              any(re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", line) for line in missing), (lost, count, len(flows), missing))
    site.revive_node(pair[1])
    kit.wait_for(lambda: len(site.cluster.nodes[0].usable()) == len(site.stores) - 1)
    done = site.ask(*TOTALS)
    whole("lost: with one node dead the answer is complete", done, flows, rf"node {pair[0]} takes no part: .+")
    wrong = compare(site, seed_of("lost"), flows, 20 if LONG else 1, stores=[s for s in site.stores if s.name != pair[0]])
    kit.check("lost: and random queries are answered as over the others' stores", not wrong, "\n".join(wrong[:3]))
    kit.check("lost: no program is left", site.quiet(), site.running())
    site.revive_node(pair[0])
    kit.wait_for(lambda: len(site.cluster.nodes[0].usable()) == len(site.stores))
    whole("lost: both are back", site.ask(*TOTALS), flows)


def kill_later(site, name, delay, killed):
    """Kills a node's rank so long after it began."""
    pid = site.rank_of(name)
    time.sleep(delay)
    try:
        os.kill(pid, signal.SIGKILL)
        killed.append(name)
    except (OSError, TypeError):
        pass


def ranks_killed(site, flows):
    """kill -9 of a rank at any moment: the answer is whole; a node whose rank dies twice takes no part."""
    rng = seed_of("killed")
    rounds, killed, wrong = 20 if LONG else 3, [], []
    words = [JSON, "--output-items=r,p", "-s", "srcip,dstip,srcport#bytes", "-s", "dstport,proto", "-l", "50"]
    here = site.ask_here(*words)
    for number in range(rounds + 5):
        if number >= rounds and killed:
            break
        name, delay = rng.choice(["n1", "n2", "n3", "n4"]), rng.random() * .6
        if number >= rounds:  # a quick machine was through each time: as soon as there is one
            delay = 0
        child = site.start(*words)
        killer = threading.Thread(target=kill_later, args=(site, name, delay, killed))
        killer.start()
        done = site.finish(child)
        killer.join()
        there, wanted = json.loads(done.stdout or "{}"), json.loads(here.stdout)
        if done.returncode != 0 or there.get("results") != wanted["results"] or there.get("summary") != wanted["summary"] or \
                not site.quiet():
            wrong.append((name, delay, describe(done), site.running()))
    kit.check(f"killed: the answer is whole and nothing is left in {rounds} rounds", not wrong, f"SC_SEED={SEED} {wrong[:3]}")
    kit.check("killed: ranks were met", len(killed) > 0, killed)


def nodes_killed(site, flows):
    """A machine loses its power at any moment of the query: nothing comes from it any more, no end of a connection either."""
    rng = seed_of("power")
    rounds, wrong, times = 20 if LONG else 1, [], []
    words = [JSON, "--output-items=r,p", "-s", "srcip,dstip,srcport#bytes", "-s", "dstport,proto", "-l", "50", "--node-timeout=2"]
    here = json.loads(site.ask_here(*words[:-1]).stdout)
    for _ in range(rounds):
        name, delay = rng.choice(["n2", "n3", "n4"]), rng.random() * .9
        begin = time.monotonic()
        child = site.start(*words)
        time.sleep(delay)
        site.power_off(name)
        done = site.finish(child)
        times.append(time.monotonic() - begin)
        there = json.loads(done.stdout or "{}")
        if done.returncode != 0 or there.get("results") != here["results"] or there.get("summary") != here["summary"] or not site.quiet():
            wrong.append((name, delay, describe(done), site.running()))
        site.power_on(name)
        kit.wait_for(lambda: len(site.cluster.nodes[0].usable()) == len(site.stores))
    kit.check(f"power: a machine is gone at any moment, the answer is whole, in {rounds} rounds", not wrong, f"SC_SEED={SEED} {wrong[:3]}")
    print(f"# power: {', '.join(f'{t:.1f}' for t in times)} s", flush=True)


def always_killed(site, flows):
    """The rank of a node dies as often as it is started."""
    stop = threading.Event()

    def kill_all():
        while not stop.is_set():
            for _, pid, _ in site.running(("sc-query-rank",), [site.lab.machines["n2"]]):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(.02)
    killer = threading.Thread(target=kill_all)
    killer.start()
    done = site.ask(*TOTALS)
    stop.set()
    killer.join()
    whole("killed: a rank that dies always: the others answer", done, flows,
          "node n2 takes no part: its part of the query died twice: Killed")
    kit.check("killed: nothing is left", site.quiet(), site.running())


def hung(site, flows):
    """A rank that stands still is cut off, wherever it stands."""
    child = site.start(*TOTALS, "--node-timeout=2")
    pid = site.rank_of("n2")
    time.sleep(seed_of("hung").random() * .1)
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    done = site.finish(child)
    whole("hung: a rank that stands still is cut off, the others answer", done, flows)
    kit.check("hung: in time", time.monotonic() - begin < 30, time.monotonic() - begin)
    kit.check("hung: the stopped rank is gone, too", site.quiet(), site.running())


def interrupted(site, flows):
    """Ctrl-C at any moment leaves nothing running."""
    rng = seed_of("interrupted")
    left, wrong = [], []
    for number in range(10 if LONG else 3):
        child = site.start(*TOTALS)
        time.sleep(.1 + rng.random() * .9 if number else .5)
        for pid in [p for _, p, name in site.running(("sc-query",), [site.outside])]:
            os.kill(pid, signal.SIGINT)
        done = site.finish(child)
        if done.returncode not in (0, 1, 3) or "Traceback" in done.stderr:
            wrong.append(describe(done))
        if not site.quiet(15):
            left.append(site.running())
    kit.check("interrupted: Ctrl-C leaves no program on any machine", not left, left)
    kit.check("interrupted: and the answer is partial, or whole if it was too late", not wrong, wrong)


def damaged(site, flows):
    """What cannot be read at one node is read at another."""
    store = site.node("n2").store
    files = sorted((p for p in store.rglob("*.sc*") if p.suffix in (".scs", ".sclive")), key=lambda p: -p.stat().st_size)
    before = {p: p.read_bytes() for p in files}
    for path in files:
        data = bytearray(before[path])
        for at in range(300, len(data), 400):
            data[at] ^= 0x55
        with open(path, "r+b") as out:
            out.write(data)
    every = "bytes > 0 and packets > 0 and proto >= 0 and flowId >= 0 and srcip != 1.2.3.4 and dstip != 1.2.3.4"
    whole("damaged: all files of a node: the others have it", site.ask(*TOTALS, "-f", every), flows, r"n2: .*")
    done = site.ask("--output-format=ndjson", "-o", "flowId", "--output-fields=flowId,srcip,dstip,bytes")
    here = site.ask_here("--output-format=ndjson", "-o", "flowId", "--output-fields=flowId,srcip,dstip,bytes")
    kit.check("damaged: a sorted listing is the same", done.returncode == 0 and done.stdout == here.stdout, describe(done))
    for path, data in before.items():
        with open(path, "r+b") as out:
            out.write(data)
    whole("damaged: repaired, nothing is told", site.ask(*TOTALS, "-f", every), flows)


# ---- what is wrong with ssh, programs and words ----

def one_line(name, done, *words, status=1, lines=5):
    """One clear line of each kind, not mpiexec's."""
    told = [line for line in done.stderr.splitlines() if line]
    kit.check(name, done.returncode == status and all(re.search(w, done.stderr + done.stdout) for w in words) and len(told) <= lines and
              "ORTE" not in done.stderr and "-----" not in done.stderr, f"{words} {describe(done, 3000)}")


RANK = kit.BUILD / "bin" / "sc-query-rank"


def with_program(site, name, prepare):
    """A node whose sshd shows another sc-query-rank to those who come in."""
    machine = site.node(name).machine
    site.unguard(machine)
    site.guard(machine, prepare)


def other_version(site, flows):
    """A node of another version, that may not even know the query's words, takes no part; when all others are of one, it is told, too."""
    other = site.folder / "other-rank"
    version, words = re.search(rb"sc-query ((\d+\.\d+\.\d+) \(ranks \d+\))", RANK.read_bytes()).groups()
    next_one = version.replace(b"(ranks ", b"(ranks-")
    other.write_bytes(RANK.read_bytes().replace(version, next_one).replace(b"output-items\0", b"output-parts\0"))
    other.chmod(0o755)
    alike = site.folder / "alike-rank"
    alike.write_bytes(RANK.read_bytes().replace(words, words[:-1] + (b"9" if words[-1:] != b"9" else b"8")))
    alike.chmod(0o755)
    with_program(site, "n2", f"mount --bind {alike} {RANK}")
    done = site.ask(*TOTALS)
    whole("other version: of the same protocol all take part", done, flows)
    kit.check("other version: and at once", json.loads(done.stdout or "{}").get("cluster", {}).get("attempts") == 1, describe(done, 3000))
    mount = f"mount --bind {other} {RANK}"
    here, there = version.decode(), next_one.decode()
    with_program(site, "n2", mount)
    done = site.ask(*TOTALS)
    whole("other version: the others answer, and the node is named", done, flows,
          f"sc-query: node n2 takes no part: it has version {re.escape(there)} of sc-query, this is {re.escape(here)}$")
    kit.check("other version: at the second attempt, with one line", json.loads(done.stdout or "{}").get("cluster", {}).get("attempts") == 2 and
              done.stderr.count("\n") == 1, describe(done, 3000))
    whole("other version: also while records stream", site.ask(*TOTALS, "--stream"), flows, "node n2 takes no part: it has version")
    done = site.outside.run(command_by_hand(site), timeout=60)
    kit.check("other version: by hand it is an error, told in a line", done.returncode == 1 and done.stdout == "" and
              re.search(rf"(?m)^sc-query: .*node n2: it has version {re.escape(there)} of sc-query, this is {re.escape(here)}$", done.stderr),
              describe(done, 3000))
    for node in site.cluster.nodes:
        with_program(site, node.name, mount)
    alone = f"sc-query: version {re.escape(here)}, as here, is that of no other node"
    one_line("other version: of a machine that no node agrees with: nothing, and why", site.ask(*TOTALS), alone,
             *(f"node n{n}: it has version" for n in (1, 2, 3, 4)), lines=6)
    node = site.node("n3")
    done = site.ask(*TOTALS, machine=node.machine, prepare=site.own_config(node))
    count, complete, _, _ = summary(done)
    kit.check("other version: a node that no other agrees with answers with what it has, and why", done.returncode == 3 and
              not complete and 0 < count < len(flows) and re.search(alone, done.stderr), describe(done, 3000))
    for node in site.cluster.nodes:
        with_program(site, node.name, "true")
    whole("other version: all is well again", site.ask(*TOTALS), flows)
    kit.check("other version: nothing is left", site.quiet(), site.running())


def other_programs(site, flows):
    """A node without the program, or with one that does not work: the others answer, or the node is named."""
    with_program(site, "n2", f"mount -t tmpfs none {RANK.parent}")
    whole("missing: without the program a node takes no part", site.ask(*TOTALS), flows, "node n2 takes no part: .*(No such file|not found)")
    stub = site.folder / "stub"
    stub.write_text("#!/bin/sh\necho 'libfancy.so.7: cannot open shared object file' >&2\nexit 127\n")
    stub.chmod(0o755)
    with_program(site, "n2", f"mount --bind {stub} {RANK}")
    whole("broken: a program that does not run: the node takes no part", site.ask(*TOTALS), flows, "node n2 takes no part: libfancy")
    with_program(site, "n2", "true")
    whole("other programs: all is well again", site.ask(*TOTALS), flows)


def refusals(site, _flows):
    """ssh that does not work, and words that must not be taken for others."""
    site.key("stranger")
    one_line("refused: a wrong key", site.ask(*TOTALS, ssh=site.ssh("stranger")), *(f"node n{n}: .*Permission denied" for n in (1, 2, 3, 4)))
    one_line("refused: an ssh that is not there", site.ask(*TOTALS, ssh="/nonexistent/ssh"), "node n1: cannot start /nonexistent/ssh: No such file")
    one_line("refused: an ssh that does nothing", site.ask(*TOTALS, ssh="/bin/false"), "node n1: sc-query-rank does not run there")
    one_line("refused: mpiexec is not there", site.ask(*TOTALS, env={"SC_MPIEXEC": "/nonexistent/mpiexec"}),
             "cannot start /nonexistent/mpiexec: No such file")
    ran = site.folder / "ran"
    for host in (f"-oProxyCommand=touch {ran}", "a b", "a'b", 'a\\"b', "a;b", "$(touch x)", "a\\nb"):
        file = site.folder / "evil.yaml"
        file.write_text(f'version: 1\nreplication: 1\nmembers:\n  - {{name: n1, address: "{host}:4741", roles: [subcollector]}}\n')
        done = site.ask(*TOTALS, cluster=file)
        kit.check(f"refused: {host} is no host", done.returncode == 2 and done.stderr.startswith("sc-query: "), describe(done))
    kit.check("refused: nothing was run", not ran.exists() and site.quiet(), site.running())
    done = site.ask(*TOTALS, "-f", ":")
    kit.check("refused: a word that mpiexec takes for its own", done.returncode == 2, describe(done))


def odd_words(site, flows):
    """Blanks, quotes, newlines and what a shell would expand, in words and paths, arrive as they are."""
    users = sum(f.get("username") == 'carol, of "sales"' for f in flows)
    done = site.ask(*TOTALS, "-f", 'username = "carol, of \\"sales\\""\n# it\'s $HOME `id` \\ ; | & > <\n')
    kit.check("odd words: a filter with all of them", done.returncode == 0 and summary(done)[0] == users > 0, (users, describe(done)))
    odd = site.folder / "a b'c\"d$HOME;e\n-f"
    odd.mkdir(exist_ok=True)
    for node in site.cluster.nodes:
        link = odd / node.name
        if not link.exists():
            link.symlink_to(node.store)
    whole("odd words: a path with all of them", site.ask(*TOTALS, paths=[odd / "%n"]), flows)


def expired(site, flows):
    """Files that are gone between the plan and the reading are read elsewhere, or missing; never an error."""
    node, kept = site.node("n2"), site.folder / "kept"
    kept.mkdir(exist_ok=True)
    wrong = []
    for round_ in range(6 if LONG else 2):
        child = site.start(*TOTALS)
        site.rank_of("n2")
        time.sleep(.02 * round_)
        moved = [(p, kept / f"{i}{p.suffix}") for i, p in enumerate(p for p in node.store.rglob("*.sc*") if p.suffix in (".scs", ".sclive"))]
        for path, place in moved:
            path.rename(place)
        done = site.finish(child)
        for path, place in moved:
            place.rename(path)
        if done.returncode != 0 or summary(done)[0] != len(flows):
            wrong.append(describe(done))
    kit.check("expired: files that go away meanwhile are read elsewhere", not wrong, wrong)


def dropped(site, _flows):
    """What a collector dropped is missing from the answer of all nodes, whichever of them was told of it, and counted once."""
    told = [next(store.rglob("20*.tally")) for store in site.stores[:2]]
    before = {path: path.read_text(encoding="utf-8") for path in told}
    for path, text in before.items():
        path.write_text(f"{text.rstrip()}\nlane fffffffe 2 77 1 5 2 77 1 5\n", encoding="utf-8")
    here = json.loads(site.ask_here(*TOTALS, JSON).stdout)
    done = site.ask(*TOTALS, JSON)
    there = json.loads(done.stdout)
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")
    lines = [line for line in there["missing"] if "77 records were dropped by collector n1" in line]
    kit.check("dropped: the answer of all nodes tells it", done.returncode == 3 and there["complete"] is False and lines, describe(done))
    kit.check("dropped: as one process over all stores does", there["missing"] == here["missing"], (there["missing"], here["missing"]))
    kit.check("dropped: windows are told once", len(lines) == len({p.name for p in told}), (lines, told))


# The last one forges tallies of running nodes, which may have told them to others before they are what they were again.
SCENARIOS = (by_hand, explained, node_lost, ranks_killed, nodes_killed, always_killed, hung, interrupted, damaged, expired, odd_words,
             refusals, other_version, other_programs, *query_edges.SCENARIOS, dropped)


def chosen(scenario):
    return os.environ.get("SC_ONLY", "") in scenario.__name__


def four_nodes(folder):
    """Scenarios that leave the cluster as it was."""
    with query_kit.Site(folder, 4, 2, [BOTH, SUB, SUB, SUB]) as site:
        flows = random_flows.make(seed_of("four"), 100000 if LONG else 10000)
        site.feed(flows, SEED)
        whole("four nodes are well", site.ask(*TOTALS), flows)
        own = [summary(site.ask_here(*TOTALS, stores=[s]))[0] for s in site.stores]
        kit.check("four nodes have something each, none all", all(n and n < len(flows) for n in own), own)
        for scenario in filter(chosen, SCENARIOS):
            begin = time.monotonic()
            scenario(site, flows)
            print(f"# {scenario.__name__}: {time.monotonic() - begin:.1f} s", flush=True)


def main():
    query_kit.require()
    lab_kit.end_on_signals()
    print(f"# SC_SEED={SEED}", flush=True)
    for part in (sizes, query_edges.expiring, four_nodes):
        if part is four_nodes and any(map(chosen, SCENARIOS)) or chosen(part):
            with tempfile.TemporaryDirectory() as folder:
                begin = time.monotonic()
                part(pathlib.Path(folder))
                print(f"# {part.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
