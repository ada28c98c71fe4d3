#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""A command of the operator gets each window before retention deletes it: what it does not take is kept, as long as the disk has room;
reception waits for nothing of that."""
import os
import pathlib
import re
import subprocess
import tempfile
import time

import collector_kit as kit

RATE = 3000
TOP = pathlib.Path(__file__).resolve().parents[2]


def wait_for(condition, seconds=40.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    return None


def archive_of(store):
    answer = kit.status(store)
    return answer["store"]["archive"] if answer else None


def segments(folder):
    return sorted(p.name for p in folder.rglob("*.scs"))


def windows(folder):
    return sorted({p.name.split("-")[0] for p in folder.rglob("*.sc*") if p.suffix in (".scs", ".sclive")})


class Lab:
    """A collector whose retention keeps nothing, and a command that copies what it is given unless it is told to fail."""

    def __init__(self, folder, disk=None, timeout="20s"):
        self.folder = pathlib.Path(folder)
        self.store = (disk or self.folder) / "store"
        self.copy, self.told, self.sign = self.folder / "copy", self.folder / "told", self.folder / "sign"
        self.copy.mkdir()
        self.script, self.config = self.folder / "archive", self.folder / "collector.yaml"
        self.script.write_text(f"""#!/bin/sh
echo "$SC_WINDOW $SC_STORE $PWD $#" >> {self.told}
case $(cat {self.sign} 2> /dev/null) in
    fail) echo 'the tape is full' >&2; exit 7 ;;
    hang) sleep 1000 ;;
esac
exec xargs -d '\\n' cp -p --parents -t "$1"
""")
        self.script.chmod(0o755)
        self.timeout, self.sender = timeout, kit.Sender()
        self.collector, self.before = None, 0

    def write_config(self):
        self.config.write_text(f"retention:\n  bytes: 1\n  archive: [{self.script}, {self.copy}]\n  archive-timeout: {self.timeout}\n")
        return self

    def write_documented(self):
        """The block of docs/operations.md, with folders that are here."""
        text = (TOP / "docs" / "operations.md").read_text(encoding="utf-8")
        block = re.search(r"\n    (retention:\n      age: 30d\n      archive:.*\n      archive-timeout:.*\n)", text)[1]
        for there, here in (("age: 30d", "bytes: 1"), ("/usr/local/share/securitycloud", str(TOP / "contrib")),
                            ("/mnt/archive/flows", str(self.copy)), ("    ", "")):
            block = block.replace(there, here)
        self.config.write_text(block)
        return self

    def start(self):
        """Retention begins with the start; then it has its turn each minute."""
        self.before = self.sender.next
        self.collector = kit.Collector(self.store, self.folder / "log", "--window", "2", "-c", str(self.config))
        return self

    def fill(self):
        """Some windows, before there is a retention."""
        self.config.write_text("log-level: info\n")
        self.start().send(7)
        self.collector.stop()
        return self

    def log(self):
        return self.collector.log.read_text()

    def send(self, seconds):
        self.sender.send(self.collector.port, seconds, RATE)
        return wait_for(lambda: kit.status(self.store)["received"]["flows"] == self.sender.next - self.before)

    def reload(self):
        before = self.log().count("the configuration is read again")
        self.collector.process.send_signal(1)
        return wait_for(lambda: self.log().count("the configuration is read again") > before)


def taken(folder):
    lab = Lab(folder)
    lab.fill().write_config().start()
    done = wait_for(lambda: len(windows(lab.store)) == 1 and archive_of(lab.store)["waiting_windows"] == 0)
    kit.check("taken: all windows but the newest go", done, (windows(lab.store), archive_of(lab.store), lab.log()))
    archive, told = archive_of(lab.store), lab.told.read_text().split("\n")[:-1]
    kit.check("taken: each once, the oldest first, in the folder of the store", len(told) == archive["windows"] >= 3 and
              told == sorted(told) and all(line.split()[1:] == [str(lab.store), str(lab.store), "1"] for line in told), (told, archive))
    kit.check("taken: nothing failed", archive["failures"] == 0 and archive["problem"] is None and archive["unarchived_windows"] == 0, archive)
    kit.check("taken: the collector ends", lab.collector.stop() == 0, lab.log())
    here, there = kit.stored_numbers(lab.store), kit.stored_numbers(lab.copy)
    kit.check("taken: the archive is a store, and with the rest of the other one it is everything",
              there[1] == 0 and set(here[0]) | set(there[0]) == set(range(lab.sender.next)) and not set(here[0]) & set(there[0]) and
              max(there[0].values()) == 1, (len(here[0]), len(there[0]), lab.sender.next))


def documented(folder):
    lab = Lab(folder)
    lab.fill().write_documented()
    lab.copy.rename(lab.copy.with_suffix(".away"))
    lab.start()
    problem = wait_for(lambda: archive_of(lab.store)["problem"])
    kit.check("documented: a folder that is not there takes nothing", problem and str(lab.copy) in problem and len(windows(lab.store)) > 2,
              (problem, windows(lab.store)))
    lab.copy.with_suffix(".away").rename(lab.copy)
    done = wait_for(lambda: archive_of(lab.store)["problem"] is None and archive_of(lab.store)["waiting_windows"] == 0)
    lab.collector.stop()
    here, there = kit.stored_numbers(lab.store), kit.stored_numbers(lab.copy)
    kit.check("documented: it is copied when it is there", done and there[1] == 0 and
              set(here[0]) | set(there[0]) == set(range(lab.sender.next)) and not set(here[0]) & set(there[0]), (here[1], there[1], lab.log()))


def refused(folder):
    lab = Lab(folder)
    lab.sign.write_text("fail")
    lab.fill().write_config().start()
    problem = wait_for(lambda: archive_of(lab.store)["problem"])
    kit.check("refused: the reason is told", problem == "the archive command ended with status 7: the tape is full", archive_of(lab.store))
    text = subprocess.run([kit.program("sc-admin"), "status", str(lab.store)], capture_output=True, text=True, check=False).stdout
    kit.check("refused: as a problem", f"windows wait to be deleted: {problem}" in text, text)
    before = windows(lab.store)
    lab.send(3)
    kit.check("refused: it is kept, and all behind it", len(before) >= 2 and windows(lab.store)[:len(before)] == before and
              kit.status(lab.store)["store"]["expired_windows"] == 0, (before, windows(lab.store)))
    calls = len(lab.told.read_text().split("\n")) - 1
    kit.check("refused: it is tried again after a pause", calls == 1 and wait_for(lambda: archive_of(lab.store)["failures"] == 2),
              (calls, lab.told.read_text()))
    kit.check("refused: and only that one", len({line.split()[0] for line in lab.told.read_text().split("\n")[:-1]}) == 1, lab.told.read_text())
    by_hand = subprocess.run([kit.program("sc-admin"), "expire", "-c", str(lab.config), str(lab.store)], capture_output=True, text=True,
                             check=False)
    kit.check("refused: by hand it is kept too", by_hand.returncode == 1 and "are kept, as the archive does not have" in by_hand.stdout and
              "the tape is full" in by_hand.stderr and windows(lab.store)[:len(before)] == before, by_hand)
    lab.sign.unlink()
    lab.reload()
    kit.check("refused: with the next configuration at once", wait_for(lambda: archive_of(lab.store)["waiting_windows"] == 0 and
              archive_of(lab.store)["windows"] >= len(before) - 1, 15), (archive_of(lab.store), lab.log()))
    lab.collector.stop()


def hangs(folder):
    """Reception goes on, the command is ended with all that it started, and the collector does not wait for it at its end."""
    lab = Lab(folder, timeout="4s")
    lab.sign.write_text("hang")
    lab.fill().write_config().start()
    kit.check("hangs: it runs", wait_for(lambda: archive_of(lab.store)["running"]), archive_of(lab.store))
    kit.check("hangs: what comes is stored meanwhile", lab.send(2) and kit.status(lab.store)["queue"]["batches_waiting"] < 10, kit.status(lab.store))
    problem = wait_for(lambda: archive_of(lab.store)["problem"])
    kit.check("hangs: after its time it is ended", (problem or "").startswith("the archive command took longer than 4 s"), archive_of(lab.store))
    kit.check("hangs: tried again", wait_for(lambda: archive_of(lab.store)["running"]), archive_of(lab.store))
    begin = time.monotonic()
    kit.check("hangs: the collector's end does not wait for it", lab.collector.stop() == 0 and time.monotonic() - begin < 4, lab.log())
    left = subprocess.run(["pgrep", "-f", str(lab.script)], capture_output=True, text=True, check=False).stdout
    kit.check("hangs: and nothing of it is left", left == "", left)


def nearly_full(folder, disk):
    lab = Lab(folder, disk=disk)
    lab.sign.write_text("fail")
    lab.fill().write_config().start()
    wait_for(lambda: archive_of(lab.store)["problem"])
    before = windows(lab.store)
    kit.check("full: windows are kept while there is room", len(before) >= 2 and archive_of(lab.store)["unarchived_windows"] == 0, before)
    free = os.statvfs(disk)
    with open(disk / "ballast", "wb") as ballast:
        ballast.write(b"\0" * (free.f_bavail * free.f_frsize - (1 << 20)))
    gone = wait_for(lambda: archive_of(lab.store)["unarchived_windows"])
    kit.check("full: then they go all the same, and are counted", gone and before[0] not in windows(lab.store), (archive_of(lab.store), lab.log()))
    kit.check("full: the log says it loudly", "were deleted that the archive does NOT have" in lab.log(), lab.log())
    text = subprocess.run([kit.program("sc-admin"), "status", str(lab.store)], capture_output=True, text=True, check=False).stdout
    kit.check("full: the status too", "windows were deleted that the archive does not have" in text, text)
    lab.collector.stop()


def on_small_disk(folder):
    disk = pathlib.Path(folder) / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)], check=False).returncode == 0
    if not mounted:
        print("skip nearly full # a tmpfs cannot be mounted")
        return
    try:
        nearly_full(folder, disk)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def main():
    for test in (taken, documented, refused, hangs, on_small_disk):
        with tempfile.TemporaryDirectory(prefix="sc-archive-") as folder:
            test(folder)
    kit.finish()


if __name__ == "__main__":
    main()
