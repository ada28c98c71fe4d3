# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of scenarios in which what an operator does, or a clock, would make an answer dishonest or delete too much: retention, archives,
clocks, windows of other lengths, certificates, a full outbox, an upgrade. What was accepted is counted once at every step."""
import math
import os
import pathlib
import shutil
import time

import cluster_kit as kit
import lab_truth
from lab_scenario import ALL, PROXY

DAY = 86400
WINDOW = 5
KEEPS_NOTHING = "retention:\n  bytes: 1\n"  # but the last window
TOP = pathlib.Path(__file__).resolve().parents[2]


# ---- retention ----

def by_hand(boundary):
    """The options for what was before, windows that begin there stay."""
    return ["--age", f"{math.ceil(time.time() - boundary) + 1}s"]


def expire(s, node, *options):
    done = kit.admin("expire", *options, node.store)
    s.check(f"{node.name} has expired", "" if done.returncode == 0 and not done.stdout.startswith("0 windows") else done)


def names_alike(s, truth, away, odd):
    """One has expired some windows, another is away: with or without the one that expired, what the others lack is named. Healing goes
    on, and may give back some of it meanwhile."""
    sets = [frozenset(truth.stores.index(n.store) for n in some) for some in ([], [odd], [away], [odd, away])]

    def is_exact():
        before = truth.held_now()
        found = [truth.compare(gone, before) for gone in sets]
        return truth.held_now() == before and found
    found = kit.wait_for(is_exact, 30)
    s.check("what is missing is named alike", "it was never at rest" if not found else "\n".join(text for text, _ in found if text))


def kept_since(stores):
    since = lab_truth.named_missing(stores)[2].get("kept_since")
    return kit.parse_time(since) if since else 0


def kept_windows(node):
    return {path.name[:16] for kind in ("*.scs", "*.sclive") for path in node.store.rglob(kind)}


def expire_everywhere(s):
    """By the retention that all are given, one after the other, and that is taken from them before the load goes on: what comes then is
    kept. What all have expired who should hold it is not missing."""
    s.expired |= s.known
    for node in s.rng.sample(s.subs, len(s.subs)):
        node.extra = KEEPS_NOTHING
        s.restart(node)
        done = kit.wait_for(lambda n=node: len(kept_windows(n)) <= 1, 40)
        s.check(f"{node.name} keeps its last window only", "" if done else kept_windows(node))
        s.moment(f"{node.name} has expired all but its last window")
    for node in s.subs:
        node.extra = ""
        node.write_config()
        node.reload()
    s.is_strong, s.is_uneven = False, True


def expired(s):
    """One expires what another, who is away, should hold: no answer hides it. When all have, nothing is called missing."""
    s.set_up(ALL, [2, 3], window=WINDOW)
    s.sleep(WINDOW, 8.0)
    s.rests("before")
    old, boundary = set(s.known), s.last_window_ends()
    time.sleep(max(0.0, boundary + 0.1 - time.time()))
    s.go_on()
    away = s.rng.choice(s.pure)
    others, there = [n for n in s.subs if n is not away], [n for n in s.nodes if n is not away]
    odd, retention = s.rng.choice(others), s.rng.random() < 0.5
    s.kill(away)
    s.sleep(1.0, 4.0)
    s.rests(f"{away.name} is away", there)
    s.check("windows are sealed", "" if kit.wait_for(lambda: s.is_sealed(others), 40) else "not all")
    truth = lab_truth.Truth(s.stores())
    s.say(f"{odd.name} expires {'by its retention' if retention else 'by hand'}")
    if retention:
        odd.extra = KEEPS_NOTHING
        s.restart(odd)
        done = kit.wait_for(lambda: odd.status()["store"]["expired_windows"] > 0)
        s.check(f"{odd.name} has expired", "" if done else odd.status()["store"])
    else:
        expire(s, odd, *by_hand(boundary))
    s.rests(f"{odd.name} has expired", there)
    names_alike(s, truth, away, odd)
    s.start(away)
    s.go_on()
    s.moment("all are back")
    s.rests("all are back")
    s.returns_to_strength()
    expire_everywhere(s)
    s.go_on()
    s.sleep(1.0, 3.0)
    s.rests("all have expired it")
    left, since = old & s.known, kept_since(s.stores())
    s.check("it is gone, and it is said since when all is kept", "" if not left and boundary <= since <= time.time() else
            f"{len(left)} flows are left; all is kept since {since}, and they came before {boundary}")


class Archive:
    """Where a node's windows go before retention deletes them, unless the tape is full."""

    def __init__(self, s, node, sign):
        self.folder, script = s.folder / f"{node.name}.archive", s.folder / f"{node.name}.sh"
        self.folder.mkdir()
        script.write_text(f"#!/bin/sh\nif [ -e {sign} ]; then echo 'the tape is full' >&2; exit 7; fi\n"
                          f"exec {TOP}/contrib/archive/sc-archive-copy {self.folder}\n")
        script.chmod(0o755)
        node.extra = f"{KEEPS_NOTHING}  archive: [{script}]\n"


def archive_of(node):
    status = node.status()
    return status["store"]["archive"] if status else None


def gone_windows(node):
    status = node.status()
    return status["store"]["expired_windows"] if status else 0


def archived(s):
    """Retention keeps nothing, and the archive command fails for a while: nothing goes before the archive has it."""
    s.set_up(ALL, [1, 2, 3], window=WINDOW)
    s.sleep(WINDOW, 8.0)
    sign = s.folder / "full"
    sign.touch()
    s.archives = [Archive(s, node, sign).folder for node in s.subs]
    for node in s.rng.sample(s.subs, len(s.subs)):
        s.restart(node)
    s.say("all would expire, and the archive takes nothing")
    told = kit.wait_for(lambda: all((a := archive_of(n)) and "the tape is full" in (a["problem"] or "") for n in s.subs), 40)
    s.check("the problem is told", "" if told else [archive_of(n) for n in s.subs])
    s.moment("nothing is archived")
    s.restart(s.rng.choice(s.nodes))
    s.rests("nothing is archived")
    gone = [gone_windows(n) for n in s.subs]
    s.check("nothing has gone", "" if not any(gone) else gone)
    s.go_on()
    sign.unlink()
    for node in s.rng.sample(s.subs, len(s.subs)):
        node.reload()
    s.check("the archive takes windows", "" if kit.wait_for(lambda: all(map(gone_windows, s.subs)), 60) else [archive_of(n) for n in s.subs])
    s.moment("windows are archived")
    s.rests("windows are archived")
    left = set(kit.numbers(s.stores())[0])
    s.check("windows have gone", "" if s.known - left else f"{len(left)} flows are left")
    s.is_uneven = True  # and more go until the end


# ---- losses ----

def named_flows(s):
    return sum(records for _, records in lab_truth.named_missing(s.stores())[0].values())


def accept(s, *options):
    done = kit.admin("accept-loss", "--all", *options, *s.stores())
    s.check(f"accept-loss {' '.join(options)}", "" if done.returncode == 0 else done)


def accepted(s):
    """There is one copy, and a disk is lost: what was on it is named, to the flow, until the loss is accepted."""
    s.set_up(ALL, [1], window=WINDOW)
    s.sleep(1.0, 6.0)
    s.rests("before")
    node = s.rng.choice(s.pure)
    lost = set(kit.numbers([node.store])[0])
    s.say(f"the disk of {node.name} is lost for good, with {len(lost)} flows")
    s.restart(node, lambda: shutil.rmtree(node.store), lambda: s.sleep(0.0, 3.0))
    s.expired |= lost
    s.check("what is lost is named", "" if kit.wait_for(lambda: named_flows(s) == len(lost), 30) else named_flows(s))
    accept(s)
    s.step("the loss is accepted")
    if s.rng.random() < 0.5:
        s.rests("before it is taken back")
        accept(s, "--undo")
        s.check("what is lost is named again", "" if kit.wait_for(lambda: named_flows(s) == len(lost), 30) else named_flows(s))
        accept(s)
        s.go_on()
    s.restart(s.rng.choice(s.nodes))
    s.moment("one has restarted")
    s.sleep(0.5, 2.0)


# ---- clocks and windows ----

def jumped(s):
    """A clock jumps two days, and back: nothing expires by age for that. What was expired by hand meanwhile comes back."""
    def prepare(s):
        s.odd = s.rng.choice(s.nodes)
        s.faults = s.shim(s.odd)
        for node in s.nodes:
            node.extra = "retention:\n  age: 1d\n"
    s.set_up(ALL, [2, 3], window=WINDOW, prepare=prepare)
    s.sleep(1.0, 4.0)
    s.rests("before")
    s.check("windows are sealed", "" if kit.wait_for(lambda: s.is_sealed(s.subs), 40) else "not all")  # they are as old as their files
    s.go_on()
    off, restarts, too_much = s.rng.choice([-2, 2, 2]) * DAY, s.rng.random() < 0.7, s.rng.random() < 0.5
    s.say(f"the clock of {s.odd.name} is {off} s off")
    (s.faults / "clock").write_text(str(off))
    s.sleep(0.5, 2.0)
    s.moment("a clock has jumped")
    if restarts:
        s.restart(s.odd)
    s.step("a clock is off")
    if too_much:
        victim = s.odd if s.odd in s.subs else s.rng.choice(s.subs)
        s.say(f"{victim.name} has expired too much")
        s.rests("before it expires")
        kit.wait_for(lambda: s.is_sealed([victim]), 40)
        kit.admin("expire", "--bytes", "1", victim.store)
        s.go_on()
        s.moment("it has expired too much")
    (s.faults / "clock").write_text("0")
    s.sleep(0.5, 2.0)
    s.moment("the clock is right again")
    s.returns_to_strength()
    gone = [gone_windows(n) for n in s.subs]
    s.check("no clock has deleted anything", "" if not any(gone) else gone)


def windows(s):
    """Proxies whose windows are of different lengths, which change with a restart."""
    def prepare(s):
        for node, length in zip(s.rng.sample(s.proxies, len(s.proxies)) + s.pure, s.rng.sample([10, 20, 60], 3) * 3):
            node.window = length
    s.set_up(ALL, [1, 2, 3], window=10, prepare=prepare)
    s.say("windows of " + " ".join(str(n.window) for n in s.nodes))
    s.sleep(1.0, 4.0)
    for _ in range(2):
        node = s.rng.choice(s.nodes)
        node.window = s.rng.choice([10, 20, 30])
        s.say(f"{node.name} takes windows of {node.window}")
        s.restart(node, lambda: s.sleep(0.0, 2.0))
        s.moment("windows change")
        s.step("windows have changed")
    s.freeze(s.rng.choice(s.subs), s.rng.uniform(0.5, 3.0))
    s.returns_to_strength()


# ---- the link, the outbox, the program ----

def renew(s):
    """Other certificates for all, read under load one after the other."""
    read = {n: n.log.read_text().count("certificate is valid for") for n in s.nodes}
    s.cluster.certify("--renew")
    order = s.rng.sample(s.nodes, len(s.nodes))
    middle = s.rng.randrange(len(order))
    for number, node in enumerate(order):
        node.reload()
        if number == middle:
            s.restart(s.rng.choice(order))
            s.moment("some have the new certificates")
        s.sleep(0.0, 0.3)
    taken = kit.wait_for(lambda: all(n.log.read_text().count("certificate is valid for") > read[n] for n in s.nodes))
    s.check("all have read their new certificates", "" if taken else s.said)


def secret(s):
    """All of it over TLS, with certificates that are exchanged under load, kills and freezes."""
    s.set_up(ALL, [1, 2, 3], window=10, tls=s.folder / "tls")
    links = [n.status()["cluster"]["link"] for n in s.nodes]
    s.check("the link is secret", "" if set(links) == {"tls"} else links)
    for _ in range(2):
        s.sleep(0.5, 2.0)
        s.say("renew")
        renew(s)
        if s.rng.random() < 0.5:
            s.freeze(s.rng.choice(s.nodes), s.rng.uniform(0.5, 5.0))
        else:
            s.restart(s.rng.choice(s.nodes), lambda: s.sleep(0.0, 2.0))
        s.moment("certificates were exchanged")
        s.step("certificates were exchanged")


def is_blocked(node):
    status = node.status()
    return status and status["cluster"]["proxy"]["blocked"]


def fill_until_blocked(s, node):
    """What it releases is taken, too."""
    def blocked():
        s.fill(node, 0, f"ballast-{time.monotonic_ns()}")
        return is_blocked(node)
    return kit.wait_for(blocked, 60)


def outbox_full(s):
    """The disk of a proxy's outbox is full, until there is room again, or it is ended, or killed."""
    def prepare(s):
        s.odd = s.rng.choice([n for n in s.proxies if n.roles == PROXY])
        s.lab.disk(s.odd.store, "24m")
    s.set_up([l for l in ALL if PROXY in l], [1, 2, 3], window=10, prepare=prepare)
    fate = s.rng.choice(["it waits", "it ends", "it ends", "it is killed"])
    s.sleep(0.5, 3.0)
    s.begin_trouble(s.odd)
    s.say(f"the outbox of {s.odd.name} is full, {fate}")
    s.check("it takes nothing", "" if fill_until_blocked(s, s.odd) else s.odd.status()["cluster"]["proxy"])
    s.moment("an outbox is full")
    s.sleep(0.0, 3.0)
    if fate != "it waits":
        (s.end if fate == "it ends" else s.kill)(s.odd)
        s.moment("its proxy is gone")
    for path in s.odd.store.glob("ballast*"):
        path.unlink()
    if fate != "it waits":
        s.start(s.odd)
    s.end_trouble(s.odd)
    s.step("there is room again")
    s.sleep(0.5, 2.0)


def rolling(s):
    """Each node is ended and started in turn, as for an upgrade, proxies too. SC_BEFORE names a build of which all are at first."""
    before = pathlib.Path(os.environ.get("SC_BEFORE", kit.BUILD))

    def prepare(s):
        for node in s.nodes:
            node.build = before
    s.set_up(ALL, [1, 2, 3], window=10, prepare=prepare)
    for node in s.rng.sample(s.nodes, len(s.nodes)):
        s.sleep(0.3, 1.5)
        s.end(node)
        s.moment(f"{node.name} is down")
        node.build = kit.BUILD
        s.start(node)
        s.moment(f"{node.name} is up")
        s.step(f"{node.name} is upgraded")
    s.returns_to_strength()


KINDS = [windows, expired, archived, accepted, jumped, secret, outbox_full, rolling]
