#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=500 rounds=1 beside=quiet
"""The laboratory of faults: scenarios from a seed, which also chooses the kind, each on machines of its own, several at a time.
Where there can be no machines, those that need none run on loopback addresses.

    SC_SEED=N    that one scenario        SC_RUNS=M    M scenarios from there        SC_KINDS=a,b    of these kinds only

Each prints three facts: every accepted flow is in the answer once and nothing else; all processes end with 0; without some of the
stores the answer names what is missing, to the flow, against what the files hold (docs/reliability.md).
"""
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import cluster_kit as kit
import lab_changes
import lab_healing
import lab_kit
import lab_truth
from lab_scenario import ALL, FIVE, BOTH, DISK, PROXY, SUB, Scenario

AT_ONCE = 8
LONG_ROUNDS = 7


# ---- the kinds ----

def kill_some(s, nodes, seconds=7.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        s.sleep(0.0, 0.8)
        node = s.rng.choice(nodes)
        s.kill(node)
        s.sleep(0.2, 3.0)
        s.moment(f"{node.name} is dead")
        s.start(node)


def kill_subcollector(s):
    s.set_up(ALL, [1, 2, 3])
    kill_some(s, s.subs)


def kill_proxy(s):
    s.set_up(ALL, [1, 2, 3])
    kill_some(s, s.proxies)


def freeze_subcollector(s):
    s.set_up(ALL, [1, 2, 3])
    s.freeze(s.rng.choice(s.subs), 10)


def freeze_proxy(s):
    s.set_up(ALL, [1, 2, 3])
    s.freeze(s.rng.choice(s.proxies), 10)


def cut_off(s, ways, times=2):
    for _ in range(times):
        node, seconds = s.rng.choice(s.nodes), s.rng.uniform(1.0, 5.0)
        s.say(f"cut {node.name} {ways} {seconds:.1f} s")
        s.begin_trouble(node)
        s.lab.isolate(node.name, ways)
        time.sleep(seconds)
        s.moment(f"{node.name} is cut off")
        s.heal()
        s.end_trouble(node)
        s.sleep(0.2, 1.5)


def cut(s):
    s.set_up(ALL, [1, 2, 3])
    cut_off(s, "both")


def cut_one_way(s):
    s.set_up(ALL, [1, 2, 3])
    cut_off(s, s.rng.choice(["in", "out"]))


def loss(s):
    s.set_up(ALL, [1, 2, 3])
    nodes = s.rng.choice([s.nodes, s.rng.sample(s.nodes, 2)])
    s.say(f"5 % loss at {' '.join(n.name for n in nodes)}")
    for node in nodes:
        s.begin_trouble(node)
        s.lab.loss(node.name, 5)
    time.sleep(8)
    s.moment("packets are lost")
    s.heal()
    for node in nodes:
        s.end_trouble(node)


def full_disk(s):
    def prepare(s):
        s.disk_node = s.rng.choice(s.subs)
        s.lab.disk(s.disk_node.store, DISK)
    s.set_up(ALL, [1, 2, 3], prepare=prepare)
    left = s.rng.choice([0, 0, 300_000, 30_000_000])
    s.say(f"{s.disk_node.name} has {left} bytes left")
    s.begin_trouble(s.disk_node)
    s.fill(s.disk_node, left)
    other = next(n for n in s.proxies if n is not s.disk_node)
    avoided = kit.wait_for(lambda: s.disk_node.name not in other.usable(), 20)
    s.check("a full node is avoided", "" if avoided else f"{other.name} uses {other.usable()}")
    time.sleep(4)
    s.moment("a disk is full")
    s.fill(s.disk_node, None)
    s.end_trouble(s.disk_node)
    time.sleep(1)


def slow_sync(s):
    """What a node has not made durable is not released on its account: it may be killed before it has."""
    def prepare(s):
        s.slow = s.rng.choice(s.subs)
        s.faults = s.shim(s.slow)
    s.set_up(ALL, [1, 2, 2, 3], prepare=prepare)
    dies = s.rng.random() < 0.6
    s.say(f"each sync of {s.slow.name} takes 5 s")
    (s.faults / "sync").write_text("5000")
    time.sleep(4)
    if dies:
        s.kill(s.slow)
    time.sleep(4)
    s.moment("it still syncs")
    (s.faults / "sync").unlink()
    if dies:
        s.start(s.slow)


def restart_all(s):
    s.set_up(ALL, [1, 2, 3])
    for how in s.rng.choice([[s.kill], [s.end], [s.kill, s.kill], [s.kill, s.end]]):
        for node in s.rng.sample(s.nodes, len(s.nodes)):
            how(node)
        s.sleep(0.0, 1.0)
        s.moment("nobody is there")
        for node in s.rng.sample(s.nodes, len(s.nodes)):
            s.start(node)
        s.sleep(0.5, 2.0)


def clock_off(s):
    """The answer is not fooled either: a proxy that is dead is called silent, though a node with another clock keeps its word."""
    hours = s.rng.choice([-3600, 3600])
    early = s.rng.random() < 0.5

    def prepare(s):
        s.off = s.rng.choice(s.nodes)
        s.faults = s.shim(s.off)
        if early:
            (s.faults / "clock").write_text(str(hours))
    s.set_up(ALL, [1, 2, 3], prepare=prepare)
    s.say(f"the clock of {s.off.name} is {hours} s off, {'from the start' if early else 'then right, then off again'}")
    for text in [] if early else [str(hours), "0"]:
        time.sleep(2)
        (s.faults / "clock").write_text(text)
    time.sleep(2)
    (s.faults / "clock").write_text(str(hours))
    time.sleep(1)
    s.moment("a clock is off")
    victim = s.rng.choice([n for n in s.proxies if n is not s.off])
    s.kill(victim)
    def is_silent():
        _, status, answer = lab_truth.named_missing(s.stores())
        return status == 3 and any(f"proxy {victim.name} is silent" in line for line in answer["missing"])
    s.check("a dead proxy is silent by any clock", "" if kit.wait_for(is_silent, 15) else lab_truth.named_missing(s.stores()))
    s.start(victim)


def partial_view(s):
    """A proxy sees a node dead that the others see alive."""
    s.set_up(ALL, [1, 2, 3])
    for _ in range(2):
        proxy = s.rng.choice(s.proxies)
        node = s.rng.choice([n for n in s.subs if n is not proxy])
        s.say(f"{proxy.name} and {node.name} cut")
        s.lab.cut(proxy.name, node.name)
        s.sleep(2.0, 3.5)
        kit.wait_for(lambda p=proxy, n=node: n.name not in p.usable(), 15)
        seen = [node.name in n.usable() for n in s.proxies]
        s.check("one proxy sees it dead, the other alive", "" if seen == [n is not proxy for n in s.proxies] else str(seen))
        s.moment("they see different members")
        s.heal()
        s.sleep(0.2, 1.0)


def third_node(s):
    """What a frozen node was sent goes to a third, and then it stores its own."""
    s.set_up([l for l in ALL if len(l) > 3], [1, 2])
    s.freeze(s.rng.choice(s.pure), 3.5)


def adjacent_deaths(s):
    """Two neighbours on the ring die and stay away: the third copy is enough."""
    s.set_up([[PROXY, PROXY, SUB, SUB, SUB], [BOTH, BOTH, SUB, SUB, SUB], FIVE[0]], [3])
    first = s.rng.randrange(len(s.pure) - 1)
    dead = s.pure[first:first + 2]
    for node in dead:
        s.kill(node)
        s.sleep(0.0, 1.0)
    time.sleep(3)
    wrong = s.settle(alive=[n for n in s.nodes if n not in dead])
    problem, _ = s.judge(s.stores(without=dead))
    s.check("the survivors have it all", wrong or problem)
    for node in dead:
        s.start(node)


def gone(s):
    """Nothing fails, and then more stores are lost than there are copies: every set of stores is left out once."""
    s.set_up(ALL, [1, 2], window=10)
    time.sleep(s.rng.uniform(3.0, 8.0))


def mixed(s):
    s.set_up(ALL, [1, 2, 2, 3])
    end = time.monotonic() + 9
    while time.monotonic() < end:
        s.sleep(0.0, 0.5)
        fault = s.rng.choice(["kill", "kill", "freeze", "cut", "one way"])
        if fault == "kill":
            kill_some(s, s.nodes, 0.1)
        elif fault == "freeze":
            s.freeze(s.rng.choice(s.nodes), s.rng.uniform(0.2, 3.0))
        else:
            cut_off(s, "both" if fault == "cut" else s.rng.choice(["in", "out"]), 1)


NEED_MACHINES = [cut, cut_one_way, loss, full_disk, partial_view, mixed, lab_changes.outbox_full]
ONE_AT_A_TIME = [freeze_subcollector, full_disk, slow_sync, third_node]
KINDS = [*lab_changes.KINDS, *lab_healing.KINDS,  # these take long
         kill_subcollector, kill_proxy, freeze_subcollector, freeze_proxy, cut, cut_one_way, loss, full_disk, slow_sync, restart_all,
         clock_off, partial_view, third_node, adjacent_deaths, gone, mixed]


def one(seed):
    """A scenario in this process."""
    lab_kit.end_on_signals()
    kind = KINDS[seed % len(KINDS)]
    reason = lab_kit.reason_to_skip()
    if reason and kind in NEED_MACHINES:
        print(f"skip lab: seed {seed} {kind.__name__} {reason}")
        return 0
    with tempfile.TemporaryDirectory() as folder, lab_kit.Loopback() if reason else lab_kit.Lab() as lab:
        s = Scenario(kind.__name__, seed, folder, lab)
        try:
            kind(s)
            truth, lacking = s.finish()
        except (Exception, SystemExit) as error:
            if isinstance(error, SystemExit) and isinstance(error.code, int):
                raise
            logs = s.cluster.logs() if s.cluster else ""
            kit.check(f"lab: seed {seed} {s.kind}: {'; '.join(s.said)}", False, f"{error!r}\n{logs}")
            raise
        copies = truth.copies()
        if kind is gone:
            s.check("each batch has its copies, and losing more shows", "" if set(copies.values()) == {s.copies} and lacking else
                    f"{set(copies.values())}, {lacking}")
        if kind in ONE_AT_A_TIME and len(s.subs) > s.copies:
            few = sum(n < s.copies for n in copies.values())
            s.check("enough nodes were usable all the time, and each batch has its copies", f"{few} have fewer" if few else "")
        if s.is_strong:
            few = sum(n < s.copies for n in copies.values())
            s.check("each batch has its copies", f"{few} of {len(copies)} have fewer" if few else "")
        if kind is third_node:
            s.check("there are batches with a copy too many", "" if max(copies.values()) > s.copies else str(set(copies.values())))
    return 1 if kit.FAILED else 0


# ---- many ----

def run_all(seeds):
    waiting, children, lock, bad = list(seeds), set(), threading.Lock(), []

    def work():
        while True:
            with lock:
                if not waiting:
                    return
                seed = waiting.pop(0)
                child = subprocess.Popen([sys.executable, __file__, "--one", str(seed)], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                children.add(child)
            text, _ = child.communicate()
            with lock:
                children.discard(child)
                print(text, end="", flush=True)
                if child.returncode != 0:
                    bad.append(seed)
                    if "not ok" not in text:
                        kit.check(f"lab: seed {seed}", False, f"exit status {child.returncode}\n{text}")
    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        with lock:
            waiting.clear()
            for child in children:
                child.send_signal(signal.SIGTERM)
        raise
    return bad


def chosen_seeds():
    names = [kind.__name__ for kind in KINDS]
    wanted = os.environ["SC_KINDS"].split(",") if "SC_KINDS" in os.environ else names
    if not set(wanted) <= set(names):
        raise SystemExit(f"SC_KINDS: there is no {', no '.join(sorted(set(wanted) - set(names)))}; there are {', '.join(names)}")
    first = int(os.environ.get("SC_SEED", random.randrange(1 << 24) * len(KINDS)))
    count = 1 if "SC_SEED" in os.environ else len(wanted) * (LONG_ROUNDS if os.environ.get("SC_LONG") else 1)
    fitting = (seed for seed in itertools.count(first) if names[seed % len(names)] in wanted)
    return list(itertools.islice(fitting, int(os.environ.get("SC_RUNS", count))))


def main():
    if sys.argv[1:2] == ["--one"]:
        return one(int(sys.argv[2]))
    lab_kit.end_on_signals()
    seeds = chosen_seeds()
    print(f"# {len(seeds)} scenarios from seed {seeds[0]}", flush=True)
    bad = run_all(seeds)
    if bad:
        print(f"# failed; repeat with SC_SEED=N: {bad}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
