#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=300 rounds=1
"""sc-query --cluster at the edges of what it is told and of its own life, over namespaces with sshd: without a path, while stores expire,
and killed itself. SC_SEED=N repeats a run; SC_ONLY=WORD runs the scenarios whose name contains it. SC_LONG: more of all."""
import json
import os
import pathlib
import random
import sys
import tempfile
import time

import cluster_kit as kit
import lab_kit
import query_kit
import random_flows
from query_kit import TOTALS, describe, summary, whole

LONG = os.environ.get("SC_LONG") is not None
SEED = int(os.environ.get("SC_SEED", int(time.time())))
BOTH, SUB = ["proxy", "subcollector"], ["subcollector"]


def seed_of(name):
    return random.Random(f"{SEED} {name}")


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
              all(f"node n{n}: /nonexistent/n{n}: No such file" in done.stderr for n in (1, 2, 3, 4)), describe(done))
    done = site.ask(*TOTALS, paths=[site.folder / "%n", "/nonexistent"])
    kit.check("no path: one of two that is not there is missing", done.returncode == 3 and summary(done)[0] == len(flows) and
              any("/nonexistent" in line for line in summary(done)[2]), describe(done))
    guard(site, second)
    whole("no path: all is well again", site.ask(*TOTALS, paths=[]), flows)


SCENARIOS = (own_stores,)


def chosen(scenario):
    return os.environ.get("SC_ONLY", "") in scenario.__name__


def main():
    query_kit.require()
    lab_kit.end_on_signals()
    print(f"# SC_SEED={SEED}", flush=True)
    with tempfile.TemporaryDirectory() as folder, query_kit.Site(pathlib.Path(folder), 4, 2, [BOTH, SUB, SUB, SUB]) as site:
        flows = random_flows.make(seed_of("four"), 100000 if LONG else 10000)
        site.feed(flows, SEED)
        whole("four nodes are well", site.ask(*TOTALS), flows)
        for scenario in filter(chosen, SCENARIOS):
            begin = time.monotonic()
            scenario(site, flows)
            print(f"# {scenario.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
