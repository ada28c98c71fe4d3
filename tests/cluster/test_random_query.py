#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=180 beside=any
"""sc-query on one machine against a slow and simple reading of its manual (random_query.py): random flows, random queries, with the
seed printed. SC_SEED=N repeats a run."""
import os
import pathlib
import random
import shlex
import subprocess
import tempfile
import time

import cluster_kit as kit
import random_flows
import random_query

LONG = os.environ.get("SC_LONG") is not None
FLOWS, QUERIES = (20000, 3000) if LONG else (4000, 400)


def store_flows(folder, flows):
    """In two stores of one machine; each flow is in one of them."""
    stores = []
    for number, part in enumerate(random_flows.divide(flows, random.Random(1), 2)):
        path, store = folder / f"{number}.ipfix", folder / f"store{number}"
        path.write_bytes(b"".join(random_flows.messages(part, number + 1)))
        subprocess.run([kit.BUILD / "bin" / "sc-collector", "--read", path, "--store", store, "--log-level", "error"], check=True)
        stores.append(store)
    return stores


def main():
    seed = int(os.environ.get("SC_SEED", int(time.time())))
    rng = random.Random(seed)
    print(f"# SC_SEED={seed}", flush=True)
    flows = random_flows.make(rng, FLOWS)
    generator = random_query.Generator(rng, flows)
    wrong, kinds, empty = [], {}, 0
    with tempfile.TemporaryDirectory() as folder:
        stores = store_flows(pathlib.Path(folder), flows)
        for _ in range(QUERIES):
            query = generator.query()
            done = kit.query(stores, *query.options, "--output-format=ndjson", f"--num-threads={rng.choice((1, 4))}")
            problem = query.problem(flows, done.stdout) if done.returncode == 0 else f"exit {done.returncode}: {done.stderr}"
            kinds[query.kind] = kinds.get(query.kind, 0) + 1
            empty += done.stdout == ""
            if problem:
                wrong.append(f"{shlex.join(query.options)}\n{problem}")
    kit.check(f"{QUERIES} random queries ({', '.join(f'{n} {k}' for k, n in sorted(kinds.items()))}) answer as the manual says",
              not wrong, f"SC_SEED={seed}, {len(wrong)} wrong:\n" + "\n".join(wrong[:12]))
    kit.check("random queries: most have an answer that is not empty", empty < QUERIES / 2, empty)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
