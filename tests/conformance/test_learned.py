#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""Elements that an exporter defines (RFC 5610): flows before and after the definition, with restarts between them, are
asked for by name; on a single node and in a cluster, where another process holds them.

    test_learned.py                     SC_BUILD is the build directory
"""
import json
import pathlib
import struct
import subprocess
import sys

import pipeline
from pipeline import check
from test_pipeline_messages import address, a_set, ipfix, number, options_template, template, text

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
import cluster_kit as kit  # noqa: E402 (needs the path)

PEN = 64999
UNSIGNED32, FLOAT64, BOOLEAN, MAC, STRING, MILLISECONDS, IPV4 = 3, 10, 11, 12, 13, 15, 18
DELTA_COUNTER, OCTETS = 3, 2
MS = 1700000000123
FLOW = template(256, (8, 4), (12, 4), (7, 4, PEN), (8, 65535, PEN), (9, 4, PEN), (10, 8, PEN), (11, 8, PEN), (12, 1, PEN),
                (13, 6, PEN))
LONG = template(257, (8, 4), (12, 4), (7, 9, PEN))  # a length that no unsigned32 has
DEFINITIONS = options_template(300, 2, (346, 4), (303, 2), (339, 1), (344, 1), (345, 2), (342, 8), (343, 8), (341, 65535))
PAIR = address("192.0.2.7") + address("198.51.100.9")


def flow(counter, name):
    return (PAIR + number(counter, 4) + text(name) + address("203.0.113.5") + struct.pack(">dQ", 2.5, MS) + b"\x01" +
            bytes.fromhex("001b213c9df8"))


def definition(element, kind, name, semantics=0, units=0, pen=PEN):
    return struct.pack(">IHBBHQQ", pen, element, kind, semantics, units, 0, 0) + text(name)


BEFORE = ipfix(FLOW, LONG, a_set(256, flow(3, b"alpha"), flow(40, b"beta")), a_set(257, PAIR + number(1, 9)))
TOLD = ipfix(DEFINITIONS, a_set(300, definition(7, UNSIGNED32, b"myCounter", DELTA_COUNTER, OCTETS),
                                definition(8, STRING, b"myName"), definition(9, IPV4, b"myHost"),
                                definition(10, FLOAT64, b"myRatio"), definition(11, MILLISECONDS, b"myTime"),
                                definition(12, BOOLEAN, b"srcip"),  # a name that is taken
                                definition(13, MAC, b"my\x1b[31mMac"),  # one that nobody can write
                                definition(1, STRING, b"stolen", pen=0)))  # the registry's
AFTER = ipfix(FLOW, a_set(256, flow(500, b"alpha")))
BY_NAME = {"myCounter": 3, "myName": "alpha", "myHost": "203.0.113.5", "myRatio": 2.5, "myTime": "2023-11-14T22:13:20.123Z",
           f"{PEN}:12": 1, f"{PEN}:13": "00:1b:21:3c:9d:f8"}


def ask(stores, *options, status=0):
    done = subprocess.run([pipeline.program("sc-query"), *map(str, stores), *options], capture_output=True, text=True,
                          timeout=pipeline.PATIENCE, check=False)
    check(done.returncode == status, f"sc-query {' '.join(options)} ended with {done.returncode}: {done.stderr}")
    return done.stdout if status == 0 else done.stderr


def rows(stores, *options):
    return [json.loads(line) for line in ask(stores, "--output-format=ndjson", *options).splitlines()]


def collect(folder, message, flows, options):
    """One life of a collector."""
    collector = pipeline.Collector(folder, "udp")
    try:
        collector.send_datagrams([(0, message)])
        sums = collector.received(1)
        check((sums["flows"], sums["options"]) == (flows, options), f"received: {sums}")
        collector.stop()
    finally:
        collector.kill()
    return collector.store


def by_name(stores, counters):
    """What is the same wherever the flows lie: `counters` of the flows that have one that fits."""
    got = rows(stores, "--output-fields=" + ",".join(BY_NAME), "-f", "myCounter < 10")
    check(got == [BY_NAME], f"by name: {got}")
    got = sorted(row["myCounter"] for row in rows(stores, "--output-fields=myCounter", "-f", "exists MYCOUNTER"))
    check(got == counters, f"counters: {got}, not {counters}")
    got = rows(stores, "--output-fields=myCounter:bytes,myCounter", "-f", f"exists {PEN}:7:bytes")
    check(got == [{"myCounter:bytes": "0x000000000000000001", "myCounter": None}], f"misfits: {got}")
    got = rows(stores, "-a", "myName", "--output-fields=myCounter,flows", "-o", "myCounter#desc", "-f", "exists myName")
    want = {"alpha": (sum(counters) - 40, len(counters) - 1), "beta": (40, 1)}
    check({row["myName"]: (row["myCounter"], row["flows"]) for row in got} == want, f"groups: {got}")
    check([row["myCounter"] for row in got] == sorted((pair[0] for pair in want.values()), reverse=True), f"order: {got}")
    got = rows(stores, "-s", "myHost/24#myCounter")
    check({row["myHost"]: row["myCounter"] for row in got}.get("203.0.113.0") == sum(counters), f"statistic: {got}")


def shown_everywhere(store):
    """All columns, all formats."""
    got = rows([store], "--output-fields=all", "-f", "not exists myName")
    check(len(got) == 1 and got[0]["myCounter:bytes"] == "0x000000000000000001" and got[0]["myCounter"] is None,
          f"all columns: {got}")
    got = rows([store], "--output-fields=all", "-f", "myCounter 3")
    check(all(got[0][name] == value for name, value in BY_NAME.items()), f"all columns: {got}")
    lines = ask([store], "--output-format=csv", "--output-fields=myName,myCounter", "-o", "myCounter#asc").splitlines()
    check([line for line in lines if "alpha" in line or "beta" in line] == ["alpha,3", "beta,40", "alpha,500"], lines)
    got = json.loads(ask([store], "--output-format=json", "--output-fields=myCounter", "-f", "myName beta"))
    check('{"myCounter": 40}' in json.dumps(got), f"json: {got}")
    shown = ask([store], "--output-fields=myName,myTime,myCounter", "-f", "myRatio > 2.4 and myCounter >= 500")
    check("alpha" in shown and "2023-11-14" in shown and "500" in shown, shown)
    check("did you mean \"myCounter\"" in ask([store], "-f", "myCountre 5", status=2), "no near name")
    got = rows([store], "--output-fields=octetDeltaCount,srcip", "-f", "myCounter 3")
    check(got == [{"octetDeltaCount": None, "srcip": "192.0.2.7"}], f"names that are taken: {got}")


def single_node(_case, folder):
    store = collect(folder, BEFORE, 3, 0)
    raw = rows([store], f"--output-fields={PEN}:7", "-f", f"exists {PEN}:7")
    check([row[f"{PEN}:7"] for row in raw] == ["0x00000003", "0x00000028", "0x000000000000000001"], f"raw: {raw}")
    check("unknown field" in ask([store], "-f", "myCounter > 5", status=2), "known before it was defined")
    check(not (store / "elements").exists(), "a list of elements without any")
    collect(folder, TOLD, 0, 8)
    by_name([store], [3, 40])
    day = next(store.glob("2*/*/*"))
    check(len(rows([day], "--output-fields=myCounter", "-f", "myCounter 40")) == 1, "a part of the store")
    lines = [line for line in (store / "elements").read_text().splitlines() if not line.startswith("#")]
    check(len(lines) == 7 and "\x1b" not in "".join(lines) and "stolen" not in "".join(lines), lines)
    stamp = (store / "elements").stat()
    collect(folder, TOLD, 0, 8)
    again = (store / "elements").stat()
    check((stamp.st_ino, stamp.st_mtime_ns) == (again.st_ino, again.st_mtime_ns), "written again without a change")
    collect(folder, AFTER, 1, 0)
    by_name([store], [3, 40, 500])
    shown_everywhere(store)


def several_stores(_case, folder):
    """The definition is in one store, the flows in another."""
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    flows = collect(folder / "a", BEFORE, 3, 0)
    defined = collect(folder / "b", TOLD, 0, 8)
    by_name([flows, defined], [3, 40])
    by_name([defined, flows], [3, 40])


def damaged_list(_case, folder):
    store = collect(folder, TOLD, 0, 8)
    collect(folder, BEFORE, 3, 0)
    whole = (store / "elements").read_bytes()
    (store / "elements").write_bytes(whole.replace(b"myHost", b"my\xffHost").replace(b"string", b"strung"))
    done = subprocess.run([pipeline.program("sc-query"), str(store), "--output-fields=myCounter", "-f", "myCounter 40"],
                          capture_output=True, text=True, timeout=pipeline.PATIENCE, check=False)
    check(done.returncode == 0 and "2 lines" in done.stderr and "40" in done.stdout, done.stdout + done.stderr)
    collect(folder, TOLD, 0, 8)
    check((store / "elements").read_bytes().count(b"\n") == whole.count(b"\n"), "not learned again")
    by_name([store], [3, 40])


def cluster(_case, folder):
    """A proxy decodes; two subcollectors store what they are sent."""
    nodes = kit.Cluster(folder, 3, 2, roles=[["proxy"], ["subcollector"], ["subcollector"]]).start()
    try:
        proxy, stores = nodes.nodes[0], [n.store for n in nodes.nodes[1:]]
        sender = kit.socket.create_connection((proxy.address, proxy.port), 10)
        for message, flows, options in ((BEFORE, 3, 0), (TOLD, 3, 8), (AFTER, 4, 8)):
            sender.sendall(message)
            check(kit.wait_for(lambda f=flows, o=options: [proxy.status()["received"][k] for k in ("flows", "options")]
                               == [f, o]), "not received")
            kit.wait_for(lambda: False, 0.5)
        check(kit.wait_for(lambda: proxy.waiting() == 0), nodes.logs())
        check(all((s / "elements").exists() for s in stores), "acknowledged without a list of elements")
        by_name(stores, [3, 40, 500])
        sender.close()
    finally:
        ended = nodes.stop()
    check(ended == [0, 0, 0], nodes.logs())
    by_name(stores, [3, 40, 500])
    by_name(stores[:1], [3, 40, 500])  # two copies: each node has all
    check(stores[0].joinpath("elements").read_bytes() == stores[1].joinpath("elements").read_bytes(), "lists differ")
    check(not list(stores[0].glob(".replica/*/elements")), "a list for a replica")


def main():
    tests = [("single node", single_node, None), ("several stores", several_stores, None),
             ("damaged list", damaged_list, None), ("cluster", cluster, None)]
    return pipeline.run_tests(tests)


if __name__ == "__main__":
    sys.exit(main())
