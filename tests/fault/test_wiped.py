#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""A store is deleted under a running collector: it is made anew and said, what comes from then on is stored once; or another has it."""
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import collector_kit as kit
import test_restart

SAID = "was deleted while this process writes it"


def contents(store):
    """rm -rf STORE/*"""
    for path in store.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def folder_too(store):
    """rm -rf STORE"""
    subprocess.run(["rm", "-rf", str(store)], check=False)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    return None


def is_durable(store, flows):
    """So many since the start."""
    now = kit.status(store)
    return now and now["store"]["flows"] == flows and now["queue"]["batches_held"] == 0


def is_anew(store, before=0):
    """It answers again, under the lock that it took anew."""
    now = kit.status(store)
    return now and now["store"]["wiped"] > before and (store / "collector.lock").exists()


def send(sender, port, datagrams):
    """The numbers of the records."""
    first = sender.next
    for _ in range(datagrams):
        sender.socket.sendto(sender.datagram(), ("127.0.0.1", port))
        time.sleep(0.001)
    return range(first, sender.next)


def admin(*words):
    return subprocess.run([kit.program("sc-admin"), *words], capture_output=True, text=True, check=False).stdout


def wiped(folder, wipe):
    name = wipe.__name__
    store, log = folder / name / "store", folder / f"{name}.log"
    collector = kit.Collector(store, log)
    exporter, sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), kit.Sender()
    exporter.bind(("127.0.0.1", 0))
    exporter.sendto(test_restart.v9_template(), ("127.0.0.1", collector.port))
    send(sender, collector.port, 100)
    kit.check(f"{name}: what was sent is stored", wait_for(lambda: is_durable(store, 3000)), log.read_text())
    begin = time.monotonic()
    wipe(store)
    kit.check(f"{name}: it is noticed, and the collector answers again", wait_for(lambda: is_anew(store)), log.read_text())
    print(f"# {name}: after {time.monotonic() - begin:.2f} s", flush=True)
    kit.check(f"{name}: the log says it once", log.read_text().count(SAID) == kit.status(store)["store"]["wiped"] and re.search(f" error .*{SAID}", log.read_text()),
              log.read_text())
    told = admin("status", str(store))
    kit.check(f"{name}: the status has a problem", "PROBLEM   the store was deleted under this process" in told, told)
    second = subprocess.run([kit.program("sc-collector"), "--listen", "udp://127.0.0.1:0", "--store", str(store)],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    kit.check(f"{name}: no second one can start there", second.returncode == 1 and "another collector" in second.stderr, second)
    after = send(sender, collector.port, 70)
    kit.check(f"{name}: what comes is stored", wait_for(lambda: is_durable(store, 5100)), log.read_text())
    kit.check(f"{name}: all of that, once, and nothing else", kit.stored_numbers(store) == ({n: 1 for n in after}, 0), log.read_text())
    kit.check(f"{name}: the files beside it are there", wait_for(lambda: all((store / f).exists() for f in (
        "horizon", "templates.state", "templates.journal", "control.sock"))), list(store.iterdir()))
    time.sleep(2)  # as long as a change of templates takes to the disk
    collector.kill()
    collector = kit.Collector(store, log)
    exporter.sendto(test_restart.v9_data(1 << 20), ("127.0.0.1", collector.port))
    kit.check(f"{name}: the next process ends with 0", collector.stop() == 0, log.read_text())
    kit.check(f"{name}: it knew the templates, and has all of before", kit.stored_numbers(store) ==
              ({**{n: 1 for n in after}, 1 << 20: 1}, 0), log.read_text())
    kit.check(f"{name}: no socket is left behind", not (store / "control.sock").exists())


def while_it_comes(folder):
    """What is sent after it was noticed is stored once, whatever was on its way when the store was deleted; nothing is stored twice."""
    store, log = folder / "busy", folder / "busy.log"
    collector, sender = kit.Collector(store, log), kit.Sender()
    thread = threading.Thread(target=sender.send, args=(collector.port, 6, 10000))
    thread.start()
    for turn in (1, 2):
        time.sleep(1)
        before = kit.status(store)["store"]["wiped"]
        folder_too(store)
        kit.check(f"busy {turn}: it is noticed", wait_for(lambda before=before: is_anew(store, before)), log.read_text())
        noticed = time.monotonic()
    thread.join()
    kit.check("busy: it ends with 0", collector.stop() == 0, log.read_text())
    got, status = kit.stored_numbers(store)
    late = range(sender.sent_until(noticed), sender.next)
    kit.check("busy: all that came later is stored, nothing twice", status == 0 and set(late) <= set(got) and set(got.values()) == {1},
              f"{status}, {len(got)}, missing {len(set(late) - set(got))}")


def taken(folder):
    """Another collector was quicker: this one ends with 1, and leaves alone what is the other's."""
    store, log = folder / "taken", folder / "taken.log"
    first, sender = kit.Collector(store, log), kit.Sender()
    send(sender, first.port, 10)
    kit.check("taken: what was sent is stored", wait_for(lambda: is_durable(store, 300)), log.read_text())
    first.process.send_signal(signal.SIGSTOP)
    folder_too(store)
    second = kit.Collector(store, folder / "second.log")
    first.process.send_signal(signal.SIGCONT)
    kit.check("taken: the first ends with 1", first.process.wait(60) == 1, log.read_text())
    kit.check("taken: it says why", "another collector has it now" in log.read_text() and "ends, by the loss of its store" in log.read_text(),
              log.read_text())
    sent = send(sender, second.port, 10)
    kit.check("taken: the second one stores", wait_for(lambda: is_durable(store, 300)), second.log.read_text())
    kit.check("taken: its socket is the one that is there", kit.status(store)["pid"] == second.process.pid)
    kit.check("taken: it was never told of a deletion", kit.status(store)["store"]["wiped"] == 0 and second.stop() == 0, second.log.read_text())
    kit.check("taken: the store is its alone", kit.stored_numbers(store) == ({n: 1 for n in sent}, 0))


def main():
    with tempfile.TemporaryDirectory(prefix="sc-wiped.") as name:
        folder = pathlib.Path(name)
        wiped(folder, contents)
        wiped(folder, folder_too)
        while_it_comes(folder)
        taken(folder)
    kit.finish()


if __name__ == "__main__":
    main()
