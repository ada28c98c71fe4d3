# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of scenarios after which batches have too few copies, or have them in the wrong places: they get them by themselves, and the
answer is the same at every moment (Scenario.returns_to_strength)."""
import concurrent.futures
import shutil
import subprocess

import cluster_kit as kit
from lab_scenario import ALL, BOTH, SUB

WINDOW = 5


def healed(s):
    """Members are killed and frozen, as many that batches have too few copies."""
    s.set_up(ALL, [2, 2, 3], window=WINDOW)
    for _ in range(2):
        away = s.rng.sample(s.subs, min(len(s.subs) - 1, s.copies))
        for node in away:
            s.kill(node)
        s.sleep(1.0, 6.0)
        s.moment("some are away")
        for node in away:
            s.start(node)
        s.sleep(0.0, 1.5)
        s.step("they are back")
    s.freeze(s.rng.choice(s.nodes), s.rng.uniform(0.5, 3.0))
    s.returns_to_strength()


def replaced(s):
    """The disk of a subcollector is lost while all runs."""
    s.set_up(ALL, [2, 3], window=WINDOW)
    s.sleep(1.0, 6.0)
    node = s.rng.choice(s.pure)
    s.say(f"the disk of {node.name} is replaced")
    s.restart(node, lambda: shutil.rmtree(node.store), lambda: s.sleep(0.0, 3.0))
    s.moment("its disk is new")
    s.sleep(0.0, 4.0)
    s.returns_to_strength()


def leaves(s):
    """A subcollector drains under load, and is gone with its disk."""
    s.set_up([l for l in ALL if len(l) > 3], [2], window=WINDOW)
    members, odd = list(s.nodes), s.rng.choice(s.pure)
    s.say(f"{odd.name} leaves")
    odd.state = "draining"
    s.change_members(members, 2)
    s.sleep(1.0, 5.0)
    s.returns_to_strength()
    odd.state = "gone"
    odd.stop()
    shutil.rmtree(odd.store)
    s.take_out(odd)
    s.go_on()
    s.change_members(members, 3)
    s.moment("it is gone")
    s.returns_to_strength()


def joins(s):
    """A subcollector comes under load, before or after the others know of it, anywhere on the ring; another restarts meanwhile."""
    s.set_up(ALL, [1, 2, 3], window=WINDOW)
    s.sleep(1.0, 4.0)
    fresh, members = s.cluster.make_node(len(s.nodes) + 1, s.rng.choice([SUB, BOTH])), list(s.nodes)
    members.insert(s.rng.randrange(len(members) + 1), fresh)
    early = s.rng.random() < 0.5
    s.say(f"{fresh.name} joins, {'before' if early else 'after'} the others know of it")
    s.cluster.write_members(2, members)
    if early:
        fresh.start()
        s.sleep(0.0, 2.0)
    s.change_members(members, 2)
    if not early:
        s.sleep(0.0, 2.0)
        fresh.start()
    s.take_in(fresh)
    s.moment("it has joined")
    s.step("it takes part")
    s.restart(s.rng.choice(s.nodes[:-1]))
    s.moment("one has restarted")
    s.sleep(2.0, 3.0)
    s.returns_to_strength()
    status = fresh.status()["cluster"]
    share = status["healing"]["pulled_batches"] if s.copies > 1 else status["subcollector"]["batches"]  # its own lane is new
    s.check("it has its share, also of what was before it", "" if share else status)


def reordered(s):
    """The order of the ring and the weights change under load, twice, beside a restart."""
    s.set_up(ALL, [1, 2, 3], window=WINDOW)
    for version in (2, 3):
        s.sleep(0.5, 3.0)
        members = s.rng.sample(s.nodes, len(s.nodes))
        for node in members:
            node.weight = s.rng.choice([1, 1, 2, 5, 1000])
        s.say("the ring is " + " ".join(f"{n.name}*{n.weight}" for n in members))
        s.change_members(members, version)
        s.moment(f"version {version}")
        if s.rng.random() < 0.5:
            s.restart(s.rng.choice(s.nodes))
        s.step(f"by version {version}")
    s.returns_to_strength()


def more_copies(s):
    """One copy becomes two, and three, while somebody restarts."""
    s.set_up(ALL, [1], window=WINDOW)
    for version, copies in enumerate(s.rng.choice([[2, 3], [2], [3]]), 2):
        s.go_on()
        s.sleep(1.0, 4.0)
        s.say(f"now {copies} copies")
        s.copies = s.cluster.replication = copies
        s.change_members(list(s.nodes), version)
        s.moment(f"{copies} copies are wanted")
        s.restart(s.rng.choice(s.nodes))
        s.returns_to_strength()


def wiped(s):
    """rm -rf of the store under its collector, outbox and all: it goes on in a new one."""
    s.set_up(ALL, [2, 3], window=WINDOW)
    for node in s.rng.sample(s.subs, s.rng.choice([1, 1, 2])):
        s.go_on()
        s.sleep(1.0, 5.0)
        s.say(f"wipe {node.name}")
        before = node.status()["store"]["wiped"]
        subprocess.run(["rm", "-rf", str(node.store)], stderr=subprocess.DEVNULL, check=False)  # it may write while this goes on
        noticed = kit.wait_for(lambda n=node, b=before: (n.status() or {"store": {"wiped": 0}})["store"]["wiped"] > b, 30)
        s.check("it is noticed", "" if noticed else node.name)
        s.moment("it has a new store")
        s.returns_to_strength()


def flip_bits(s, node):
    """In some of its sealed segments."""
    paths = sorted(node.store.rglob("*.scs"))
    chosen = s.rng.sample(paths, s.rng.randint(1, len(paths)))
    s.say(f"bits flip in {len(chosen)} of {len(paths)} segments of {node.name}")
    for path in chosen:
        content = bytearray(path.read_bytes())
        content[s.rng.randrange(len(content))] ^= 1 << s.rng.randrange(8)
        path.write_bytes(content)


def broken(s):
    """Bits flip in one of the copies: the others are read, and repair has it given again."""
    s.set_up(ALL, [2, 3], window=WINDOW)
    s.sleep(2.0, 5.0)
    node = s.rng.choice(s.subs)
    s.rests("before")
    s.check("its windows are sealed", "" if kit.wait_for(lambda: s.is_sealed([node]), 40) else list(node.store.rglob("*.sc*")))
    flip_bits(s, node)
    found = kit.admin("verify", node.store)
    s.check("verify finds the damage", "" if found.returncode == 3 else found)
    s.rests("bits have flipped")
    s.go_on()
    s.moment("bits have flipped")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        repair = pool.submit(kit.admin, "repair", *s.rng.choice([["--cluster"], []]), node.store)
        while not repair.done():
            s.moment("it is repaired")
            s.sleep(0.5)
    s.check("repair leaves nothing but copies to be made", "" if repair.result().returncode in (0, 3) else repair.result())
    s.returns_to_strength()
    verdict = kit.admin("verify", node.store)
    s.check("its store is whole", "" if verdict.returncode == 0 else verdict)


KINDS = [healed, replaced, leaves, joins, reordered, more_copies, wiped, broken]
