#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=200 beside=any
"""A full disk: flows are kept in memory and stored when there is room again; what is too much is dropped and counted."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import collector_kit as kit

RATE = 20000


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def all_received(store, sender):
    """But for what the kernel dropped."""
    answer = kit.status(store)
    if answer is None:
        return False
    return answer["received"]["flows"] + kit.RECORDS * answer["listeners"][0]["kernel_drops"] >= sender.next


def is_blocked(store):
    answer = kit.status(store)
    return answer is not None and answer["store"]["blocked"]


def dropped_by_answer(store):
    """Records that an answer says were dropped, and its exit status."""
    answer = subprocess.run([kit.program("sc-query"), "-l", "1", "--output-format=json", "--progress-bar-type=none",
                             str(store)], capture_output=True, text=True, check=False)
    missing = json.loads(answer.stdout)["missing"]
    return sum(int(n) for line in missing for n in re.findall(r": (\d+) records were dropped by collector", line)), answer.returncode


def run(disk, folder):
    store, log, ballast = disk / "store", folder / "log", disk / "ballast"
    collector = kit.Collector(store, log, "--window", "60")
    sender = kit.Sender()
    sender.send(collector.port, 1.5, RATE)
    wait_until(lambda: all_received(store, sender), 20)
    kit.fill(ballast)
    sender.send(collector.port, 2, RATE)
    kit.check("full disk: the collector says so", wait_until(lambda: is_blocked(store), 30), log.read_text())
    answer = kit.status(store)
    kit.check("full disk: the reason is told", "No space left" in (answer["store"]["problem"] or ""),
              str(answer["store"]))
    kit.check("full disk: flows wait in memory", answer["queue"]["bytes"] > 0, str(answer["queue"]))
    ballast.unlink()
    kit.check("full disk: it goes on when there is room", wait_until(lambda: not is_blocked(store), 20),
              log.read_text())
    sender.send(collector.port, 1, RATE)
    wait_until(lambda: all_received(store, sender), 20)
    answer = kit.status(store)
    dropped = answer["received"]["dropped_full"] + answer["listeners"][0]["kernel_drops"]
    kit.check("full disk: nothing that fits in memory is dropped", dropped == 0, str(answer["received"]))
    kit.check("full disk: the collector ends well", collector.stop() == 0, log.read_text())
    counts, code = kit.stored_numbers(store)
    missing = sum(1 for n in range(sender.next) if n not in counts)
    kit.check("full disk: every record is there", missing == 0, f"{missing} of {sender.next} missing")
    kit.check("full disk: none is there twice", len(counts) == sum(counts.values()))
    kit.check("full disk: the query is complete", code == 0, f"exit {code}")
    verify = subprocess.run([kit.program("sc-admin"), "verify", str(store)], capture_output=True, text=True, check=False)
    kit.check("full disk: the store is whole", verify.returncode == 0, verify.stdout + verify.stderr)


def run_bounded(disk, folder):
    """Memory for 16 MiB of flows on a disk that stays full: the newest are dropped and counted, the oldest kept."""
    store, log, ballast, conf = disk / "store2", folder / "log2", disk / "ballast", folder / "conf.yaml"
    conf.write_text("queue-memory: 16M\n")
    collector = kit.Collector(store, log, "-c", str(conf), "--window", "60")
    sender = kit.Sender()
    sender.send(collector.port, 1, RATE)
    wait_until(lambda: all_received(store, sender), 20)
    kit.fill(ballast)
    sender.send(collector.port, 12, 2 * RATE)
    wait_until(lambda: all_received(store, sender) and kit.status(store)["received"]["dropped_full"] > 0, 20)
    time.sleep(1.5)  # the last batch is handed over or dropped half a second after its first record
    answer = kit.status(store)
    dropped = answer["received"]["dropped_full"]
    kit.check("full memory: what is dropped is counted", dropped > 0, str(answer["received"]))
    kit.check("full memory: the bound holds", answer["queue"]["peak_bytes"] <= 16 << 20, str(answer["queue"]))
    ballast.unlink()
    kit.check("full memory: it goes on when there is room", wait_until(lambda: not is_blocked(store), 20),
              log.read_text())
    kit.check("full memory: the collector ends well", collector.stop() == 0, log.read_text())
    counts, _ = kit.stored_numbers(store)
    lost = answer["listeners"][0]["kernel_drops"]
    kit.check("full memory: stored and dropped are what was sent", len(counts) + dropped + lost == sender.next,
              f"{len(counts)} + {dropped} + {lost} != {sender.next}")
    kit.check("full memory: the oldest are kept", all(n in counts for n in range(RATE)))
    kit.check("full memory: the log tells it, with the exporter",
              re.search(r"records were dropped, the last ones mostly of exporter 127\.0\.0\.1: the queue was full",
                        log.read_text()) is not None, log.read_text())
    lines = [int(n) for n in re.findall(r"(\d+) records were dropped", log.read_text())]
    kit.check("full memory: the log is not flooded, its last line is written at the end", len(lines) <= 2 and sum(lines) == dropped,
              log.read_text())
    told, code = dropped_by_answer(store)
    kit.check("full memory: the answer tells what was dropped", told == dropped, f"{told} != {dropped}")
    kit.check("full memory: the answer is not complete", code == 3, f"exit {code}")
    accept = subprocess.run([kit.program("sc-admin"), "accept-loss", "--all", str(store)], capture_output=True,
                            text=True, check=False)
    kit.check("full memory: the loss can be accepted", accept.returncode == 0, accept.stdout + accept.stderr)
    told, code = dropped_by_answer(store)
    kit.check("full memory: the answer is complete then", (told, code) == (0, 0), f"{told}, exit {code}")


def received(store):
    answer = kit.status(store)
    return 0 if answer is None else answer["received"]["flows"] + kit.RECORDS * sum(l["kernel_drops"] for l in answer["listeners"])


def run_ending(disk, folder):
    """A disk that stays full to the end, with several receivers before it: the collector ends all the same, and tells what it lost."""
    store, log, ballast, conf = disk / "store4", folder / "log4", disk / "ballast", folder / "conf4.yaml"
    conf.write_text("receivers: 8\nqueue-memory: 16M\n")
    collector = kit.Collector(store, log, "-c", str(conf), "--window", "60")
    senders = [kit.Sender(first=n * 10000000) for n in range(24)]  # each has a port: they spread over the receivers
    for sender in senders:
        sender.send(collector.port, 0.1, RATE)
    count = sum(sender.next % 10000000 for sender in senders)
    wait_until(lambda: received(store) >= count, 20)
    time.sleep(1.5)  # it is on the disk
    kit.fill(ballast)
    for sender in senders * 10:
        sender.send(collector.port, 0.05, 2 * RATE)
    count = sum(sender.next % 10000000 for sender in senders)
    kit.check("full to the end: all is received", wait_until(lambda: received(store) >= count, 20), str(kit.status(store)))
    kit.check("full to the end: the collector says so", wait_until(lambda: is_blocked(store), 30), log.read_text())
    lost = kit.RECORDS * sum(l["kernel_drops"] for l in kit.status(store)["listeners"])
    for sender in senders:  # is in the receivers' batches at the end
        sender.send(collector.port, 0.01, RATE)
    count = sum(sender.next % 10000000 for sender in senders)
    try:
        code = collector.stop()
    except subprocess.TimeoutExpired:
        collector.kill()
        code = None
    kit.check("full to the end: the collector ends, and not well", code not in (None, 0), f"exit {code}: {log.read_text()}")
    ballast.unlink()
    counts, _ = kit.stored_numbers(store)
    told = sum(int(n) for n in re.findall(r"(\d+) records were dropped", log.read_text()))
    kit.check("full to the end: stored and told are what was sent", len(counts) + told + lost == count,
              f"{len(counts)} + {told} + {lost} != {count}: {log.read_text()}")


def expire(store, age):
    done = subprocess.run([kit.program("sc-admin"), "expire", "--age", age, str(store)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def run_expire(disk, folder):
    """What is to make room on a full disk needs none itself, whatever was expired before."""
    store, log, ballast = disk / "store3", folder / "log3", disk / "ballast"
    collector = kit.Collector(store, log, "--window", "60")
    sender = kit.Sender()
    sender.send(collector.port, 1, RATE)
    wait_until(lambda: all_received(store, sender), 20)
    kit.check("retention: the collector ends well", collector.stop() == 0, log.read_text())
    segment = next(path for path in store.rglob("*.sc*") if path.suffix in (".scs", ".sclive"))
    old = [store / year / "01/01" / f"{year}0101T000000Z-00000000000000ab-00000001.scs" for year in ("2020", "2022")]
    for path in old:
        path.parent.mkdir(parents=True)
        path.write_bytes(segment.read_bytes())
    since_2021 = int(time.time() - 1609459200) // 86400
    for path, days in zip(old, (since_2021, 30)):
        kit.fill(ballast.with_name(f"ballast-{days}"))
        code, text = expire(store, f"{days}d")
        kit.check(f"retention: a full disk, {path.name[:8]}", code == 0 and text.startswith("1 windows") and not path.exists(), text)
    for path in disk.glob("ballast*"):
        path.unlink()
    kit.check("retention: the newest window is kept", segment.exists(), str(list(store.rglob("*.sc*"))))
    verify = subprocess.run([kit.program("sc-admin"), "verify", str(store)], capture_output=True, text=True, check=False)
    kit.check("retention: the store is whole", verify.returncode == 0, verify.stdout + verify.stderr)


def main():
    if os.geteuid() != 0:
        print("skip full disk # it mounts a small tmpfs, which only root may")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        disk = folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], capture_output=True,
                                 text=True, check=False)
        if mounted.returncode != 0:
            print("skip full disk # a tmpfs cannot be mounted: " + mounted.stderr.strip())
            return
        try:
            run(disk, folder)
            run_bounded(disk, folder)
            run_expire(disk, folder)
            run_ending(disk, folder)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=False)
    kit.finish()


if __name__ == "__main__":
    sys.exit(main())
