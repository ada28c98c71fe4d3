#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=120 beside=quiet
"""sc-query-guard: the rank's end is told, a request to stop reaches it, and neither it nor a daemon that hangs outlives the other."""
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import cluster_kit as kit

GUARD = kit.BUILD / "bin" / "sc-query-guard"


def guard(script, *words):
    """The guard of rank 7, whose rank is a shell script."""
    return subprocess.Popen([GUARD, "/bin/sh", "-c", script, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env={**os.environ, "OMPI_COMM_WORLD_RANK": "7"})


def runs(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def gone(pid, seconds):
    return kit.wait_for(lambda: not runs(pid), seconds) is True


def ends_by_itself():
    child = guard('echo answer; echo "$0" >&2; exit 3', "a b'c")
    out, err = child.communicate(timeout=20)
    kit.check("its output, words and exit status pass", (out, err, child.returncode) == ("answer\n", "a b'c\n", 3),
              (out, err, child.returncode))


def is_killed():
    begin = time.monotonic()
    child = guard("kill -SEGV $$")
    line = child.stderr.readline()
    told = time.monotonic() - begin
    kit.check("a death is told", line == f"\x1esc-died 7 {int(signal.SIGSEGV)}\n", line)
    child.communicate(timeout=20)
    kit.check("before the daemon sees one", child.returncode == 128 + signal.SIGSEGV and
              time.monotonic() - begin - told > 3, (child.returncode, told))


def is_asked_to_stop():
    child = guard("trap 'echo stopped; exit 0' USR1; echo ready; while :; do sleep .05; done")
    child.stdout.readline()
    child.send_signal(signal.SIGUSR1)
    out, err = child.communicate(timeout=20)
    kit.check("SIGUSR1 reaches the rank", (out, err, child.returncode) == ("stopped\n", "", 0), (out, err, child.returncode))


def the_guard_is_killed():
    child = guard("echo $$; exec sleep 60")
    rank = int(child.stdout.readline())
    os.kill(rank, signal.SIGSTOP)
    child.kill()
    kit.check("without a guard the rank is ended, even one that stands still", gone(rank, 10), rank)
    child.communicate(timeout=20)


DAEMON = """
import subprocess, sys, time
child = subprocess.Popen([sys.argv[1], "/bin/sh", "-c", sys.argv[2]], stdin=subprocess.DEVNULL)
if sys.argv[3] == "hangs":
    time.sleep(60)
child.wait() if sys.argv[3] == "waits" else time.sleep(1)
"""


def daemon(script, way):
    child = subprocess.Popen([sys.executable, "-c", DAEMON, GUARD, script, way], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
    return child, int(child.stdout.readline())


def the_daemon_ends():
    child, rank = daemon("echo $$; exec sleep 60", "leaves")
    child.wait(20)
    kit.check("without a daemon the rank is ended", gone(rank, 10), rank)
    child.stdout.close()


def the_daemon_hangs():
    begin = time.monotonic()
    child, _ = daemon("echo $$", "hangs")
    child.wait(30)
    kit.check("a daemon that hangs is ended, in time", child.returncode == -signal.SIGKILL and 4 < time.monotonic() - begin < 20,
              (child.returncode, time.monotonic() - begin))
    child.stdout.close()


def the_daemon_is_well():
    child, rank = daemon("echo $$", "waits")
    kit.check("one that ends is left alone", child.wait(30) == 0 and gone(rank, 5), child.returncode)
    child.stdout.close()


def cannot_run():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([GUARD, f"{folder}/x"], capture_output=True, text=True, check=False, timeout=20)
    kit.check("a program that is not there is told", done.returncode == 127 and
              done.stderr == f"sc-query-guard: cannot run {folder}/x: No such file or directory\n", done)
    done = subprocess.run([GUARD], capture_output=True, text=True, check=False, timeout=20)
    kit.check("so is the use", done.returncode == 2 and done.stderr.startswith("usage: "), done)


def run(case):
    case()
    sys.exit(1 if kit.FAILED else 0)


def main():
    cases = (ends_by_itself, is_killed, is_asked_to_stop, the_guard_is_killed, the_daemon_ends, the_daemon_hangs, the_daemon_is_well,
             cannot_run)
    # Each in a process of its own, which is the daemon of the guards that it starts: it must not outlive them for long.
    processes = [multiprocessing.Process(target=run, args=(case,)) for case in cases]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    kit.check("each case came to its end", all(p.exitcode == 0 for p in processes), [p.exitcode for p in processes])
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
