#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=600 beside=quiet
"""kill -9 under load: nothing that arrived more than two seconds before is missing, nothing is there twice.

    tests/fault/test_crash.py [ROUNDS]      default 5; 30 with SC_LONG
"""
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import collector_kit as kit

RATE = 30000  # records a second
LAG = 2.0     # what arrived so long before the crash is stored


def rounds():
    if len(sys.argv) > 1:
        return int(sys.argv[1])
    return 30 if os.environ.get("SC_LONG") else 5


def crash_once(store, log, first, pause):
    """Sends from number `first` until a kill. Returns (numbers that must be there end here, all that were sent end here)."""
    collector = kit.Collector(store, log, "--window", "5")
    sender = kit.Sender(first)
    sender.send(collector.port, pause, RATE)
    killed = time.monotonic()
    collector.kill()
    return max(first, sender.sent_until(killed - LAG)), sender.next


def judge(store, ranges, name):
    counts, code = kit.stored_numbers(store)
    missing = sum(1 for low, safe, _ in ranges for n in range(low, safe) if n not in counts)
    twice = sum(1 for c in counts.values() if c > 1)
    kit.check(f"crash {name}: nothing that arrived {LAG:g} s before is missing", missing == 0,
              f"{missing} of {sum(safe - low for low, safe, _ in ranges)}")
    kit.check(f"crash {name}: nothing is there twice", twice == 0, f"{twice}")
    kit.check(f"crash {name}: the query is complete", code == 0, f"exit {code}")


def main():
    seed = int(os.environ.get("SC_SEED", random.randrange(1 << 30)))
    chance = random.Random(seed)
    print(f"# seed {seed} (SC_SEED)")
    with tempfile.TemporaryDirectory() as folder:
        store, log = pathlib.Path(folder) / "store", pathlib.Path(folder) / "log"
        ranges, first = [], 0
        for number in range(rounds()):
            safe, after = crash_once(store, log, first, chance.uniform(2.5, 6))
            ranges.append((first, safe, after))
            first = after
            if rounds() <= 5 or number % 10 == 9:  # each reads all that is stored
                judge(store, ranges, f"round {number + 1}")
        # A collector started on what the crashes left seals it, and all is still there once.
        collector = kit.Collector(store, log, "--window", "5")
        time.sleep(9)
        kit.check("crash: the next collector ends well", collector.stop() == 0, log.read_text()[-500:])
        judge(store, ranges, "sealed")
        live = list(store.rglob("*.sclive"))
        kit.check("crash: live files that were left behind are sealed", not live, str(live))
        verify = subprocess.run([kit.program("sc-admin"), "verify", str(store)], capture_output=True, text=True,
                                check=False)
        kit.check("crash: the store is whole", verify.returncode == 0, verify.stdout[-500:] + verify.stderr[-500:])
    kit.finish()


if __name__ == "__main__":
    main()
