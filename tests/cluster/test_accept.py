#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""sc-admin accept-loss: only who sees the stores of all says what is lost; it is recorded in each, can be taken back, and is the
store's owner's also when root did it."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import cluster_kit as kit
from ssh_kit import ADMIN, Sshd, Stub, has_sshd

OWNER = 65534  # any user that is not root


def admin(*arguments, **how):
    return subprocess.run([str(ADMIN), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **how)


def ask(stores, program=kit.BUILD / "bin" / "sc-query", **how):
    """Exit status, records said to be missing, records known to be lost."""
    command = [str(program), "--output-format=json", "--output-items=p", *map(str, stores)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **how)
    answer = json.loads(done.stdout)
    counts = [int(n) for line in answer["missing"] for n in re.findall(r"are missing, with (\d+) records", line)]
    return done.returncode, sum(counts), answer.get("known_lost", {}).get("records", 0)


def flows_of(text):
    return sum(int(n) for n in re.findall(r"batches with (\d+) flows", text))


def recorded(stores):
    return [(s / ".lost").is_dir() and any((s / ".lost").iterdir()) for s in stores]


class Lab:
    def __init__(self, folder, replication, window=60):
        self.cluster = kit.Cluster(folder, 3, replication, window=window).start()
        self.stub, self.stores = Stub(self.cluster), [n.store for n in self.cluster.nodes]
        self.exporter, self.sent = kit.Exporter(self.cluster.nodes[0]), 0

    def send(self, count):
        self.exporter.send(self.sent, count)
        self.sent += count
        kit.wait_for(lambda: self.cluster.nodes[0].status()["received"]["flows"] == self.sent)
        kit.wait_for(lambda: self.cluster.has_accepted() and self.cluster.nodes[0].waiting() == 0)

    def accept(self, *options, all_streams=("--all",)):
        return admin("accept-loss", "--cluster", "--ssh", self.stub.link, "-c", self.cluster.nodes[0].config, *all_streams, *options)

    def lose(self, folder):
        """The segments below a folder; what the proxies told of them stays."""
        gone = 0
        for path in folder.rglob("*.sc*"):
            if ".replica" in path.relative_to(folder).parts or path.suffix not in (".scs", ".sclive"):
                continue
            path.unlink()
            gone += 1
        return gone


def too_few(lab):
    for which in (lab.stores[:1], lab.stores[:2], lab.stores[:1] * 3):
        done = admin("accept-loss", "--all", *which)
        kit.check(f"too few: {len(set(which))} stores of three, {len(which)} named: refused, nothing recorded",
                  done.returncode == 1 and f"{len(set(which))} of the 3 stores" in done.stderr and not any(recorded(lab.stores)), done)
    done = admin("accept-loss", "--all", "--dry-run", "-c", lab.cluster.nodes[0].config, lab.stores[0])
    kit.check("too few: by the membership file too, and in a dry run", done.returncode == 1 and
              "1 of the 3 stores that the membership file knows of" in done.stderr, done)
    done = admin("accept-loss", "--all", *lab.stores)
    kit.check("too few: all of them lack nothing", done.returncode == 0 and "nothing is missing" in done.stdout, done)
    done = lab.accept()
    kit.check("too few: nor does the cluster", done.returncode == 0 and "nothing is missing" in done.stdout and
              not any(recorded(lab.stores)), done)


def one_is_away(lab):
    n3, two = lab.cluster.nodes[2], lab.stores[:2]
    kit.wait_for(lambda: lab.cluster.has_told(lab.sent))
    _, missing, _ = ask(two)
    lab.stub.mark("down", n3)
    done = lab.accept()
    kit.check("away: a member that does not answer is named, and nothing recorded", done.returncode == 1 and
              "n3 does not answer: ssh: connect to host" in done.stderr and not any(recorded(lab.stores)), done)
    done = lab.accept("--force", "--dry-run")
    kit.check("away: a dry run tells what it alone holds", done.returncode == 0 and flows_of(done.stdout) == missing > 0 and
              not any(recorded(lab.stores)), (missing, done))
    done = lab.accept("--force")
    kit.check("away: without it, when that is said; to the record", done.returncode == 0 and
              "recorded as lost for good at n1, n2" in done.stdout and recorded(lab.stores) == [True, True, False] and
              ask(two) == (0, 0, missing), (missing, ask(two), done))
    done = lab.accept("--undo")
    kit.check("away: it is not taken back at some without a word", done.returncode == 1 and "n3 does not answer" in done.stderr and
              ask(two) == (0, 0, missing), done)
    done = lab.accept("--undo", "--force", "--dry-run")
    kit.check("away: a dry run of the undo tells it", done.returncode == 0 and flows_of(done.stdout) == missing and
              ask(two) == (0, 0, missing), done)
    done = lab.accept("--undo", "--force", all_streams=("--stream", "1"))
    kit.check("away: another stream is no matter", done.returncode == 0 and ask(two) == (0, 0, missing), done)
    stream = lab.cluster.nodes[0].status()["cluster"]["proxy"]["stream"]
    done = lab.accept("--undo", "--force", all_streams=("--stream", stream))
    kit.check("away: taken back, it is missing again", done.returncode == 0 and "taken back at n1, n2" in done.stdout and
              ask(two) == (3, missing, 0), (ask(two), done))
    lab.stub.mark("down", n3, False)
    done = lab.accept()
    kit.check("away: with all there is nothing to accept", done.returncode == 0 and "nothing is missing" in done.stdout, done)
    (lab.cluster.folder / f"{n3.address}.yaml").unlink()
    (lab.cluster.folder / f"{n3.address}.yaml").symlink_to(lab.cluster.nodes[1].config)
    done = lab.accept()
    kit.check("away: two names of one machine are not two stores", done.returncode == 1 and
              "n3 does not answer: it takes itself for member n2" in done.stderr, done)
    (lab.cluster.folder / f"{n3.address}.yaml").unlink()
    (lab.cluster.folder / f"{n3.address}.yaml").symlink_to(n3.config)


def half_done(lab):
    lab.cluster.nodes[2].stop()
    kit.check("half: what one node held is gone", lab.lose(lab.stores[2]) > 0)
    _, missing, known = ask(lab.stores)
    kit.check("half: and missing", missing > 0 and known == 0, (missing, known))
    (lab.stores[1] / ".lost").touch()
    done = lab.accept()
    kit.check("half: who recorded it and who did not is said by name", done.returncode == 1 and flows_of(done.stdout) == missing and
              "recorded as lost for good at n1, n3" in done.stdout and "n2 did NOT record it: " in done.stderr and
              "run it again" in done.stderr, done)
    (lab.stores[1] / ".lost").unlink()
    done = lab.accept()
    kit.check("half: again, at all of them", done.returncode == 0 and "at n1, n2, n3" in done.stdout and
              ask(lab.stores) == (0, 0, missing), (ask(lab.stores), done))
    done = lab.accept()
    kit.check("half: once more changes nothing", done.returncode == 0 and ask(lab.stores) == (0, 0, missing), (ask(lab.stores), done))
    done = admin("accept-loss", "--undo", "--all", *lab.stores)
    kit.check("half: by paths it is taken back as well", done.returncode == 0 and flows_of(done.stdout) == missing and
              ask(lab.stores) == (3, missing, 0) and not any((s / ".lost").exists() for s in lab.stores), (ask(lab.stores), done))
    done = admin("accept-loss", "--undo", "--all", *lab.stores)
    kit.check("half: and then there is nothing", done.returncode == 0 and "nothing was recorded" in done.stdout, done)
    return missing


def usage(lab):
    config = lab.cluster.nodes[0].config
    for words in (["--cluster"], ["--member", "--all"], ["--all", "--member", "--cluster"], ["--all", "--timeout", "1s", lab.stores[0]],
                  ["--all", f"--cluster={lab.cluster.file}", lab.stores[0]]):
        kit.check(f"usage: {' '.join(map(str, words))[:40]}", admin("accept-loss", *words, "-c", config).returncode == 2)
    done = subprocess.run([str(ADMIN), "accept-loss", "--member", "-c", str(config)], input="{}", capture_output=True, text=True, check=False)
    kit.check("usage: a member that is asked nonsense says so", done.returncode == 0 and "makes no sense" in json.loads(done.stdout)["problem"],
              done)


def from_outside(lab):
    """From a machine that is no member; and by a key that can do nothing else."""
    elsewhere = lab.cluster.folder / "elsewhere.yaml"
    elsewhere.write_text(f"store: {lab.cluster.folder}/nothing\n")
    words = ["accept-loss", "--all", "--dry-run", "-c", elsewhere, "--cluster", lab.cluster.file]
    done = admin(*words, "--ssh", lab.stub.link)
    kit.check("outside: the same answer", done.returncode == 0 and "nothing is missing" in done.stdout, done)
    done = admin("accept-loss", "--all", "-c", elsewhere, "--cluster")
    kit.check("outside: of which cluster has to be said", done.returncode == 2 and "--cluster=FILE" in done.stderr, done)
    if not has_sshd():
        return
    sshd = Sshd(lab.cluster, "accept-loss --member")
    try:
        kit.wait_for(lambda: "listening" in (sshd.folder / "log").read_text())
        done = admin(*words, "--ssh", f"ssh -F {sshd.client}")
        kit.check("outside: through sshd as well", done.returncode == 0 and "nothing is missing" in done.stdout,
                  (done, (sshd.folder / "log").read_text()))
    finally:
        sshd.stop()


# ---- run as root ----

def owners(folder):
    return {(p.lstat().st_uid, p.lstat().st_gid) for p in [folder, *folder.rglob("*")]}


def modes(folder):
    return {oct(p.stat().st_mode & 0o777) for p in folder.rglob("*") if p.is_file()} | {oct(folder.stat().st_mode & 0o777)}


def damage(store):
    path = sorted(p for p in store.rglob("*.scs") if ".replica" not in p.parts)[0]
    with open(path, "r+b") as f:
        f.seek(path.stat().st_size // 2)
        f.write(b"damage here, where a row group lies")
    return path


def as_root(lab, missing):
    if os.geteuid() != 0:
        print("skip as root: this is another user")
        return
    for n in lab.cluster.nodes:
        n.stop()
    with tempfile.TemporaryDirectory(prefix="sc-owned.", dir="/tmp") as folder:  # that the other user gets to, as its program
        os.chmod(folder, 0o755)
        of_another(lab, missing, pathlib.Path(folder))


def of_another(lab, missing, folder):
    copy = folder / "owned"
    program = shutil.copy(kit.BUILD / "bin" / "sc-query", folder)
    shutil.copytree(lab.stores[0], copy, symlinks=True, ignore=shutil.ignore_patterns("control.sock", "*.lock"))
    for path in [copy, *copy.rglob("*")]:
        os.chown(path, OWNER, OWNER)
        os.chmod(path, 0o750 if path.is_dir() else 0o640)
    done = admin("accept-loss", "--force", "--all", copy, umask=0o077)
    kit.check("root: what is accepted belongs to the store's owner", done.returncode == 0 and owners(copy) == {(OWNER, OWNER)} and
              modes(copy / ".lost") == {"0o640", "0o750"}, (owners(copy), done))
    status, told, known = ask([copy], program, user=OWNER, group=OWNER, extra_groups=[], cwd=folder)
    kit.check("root: who reads it, and the answer is complete", status == 0 and told == 0 and known >= missing, (status, told, known))
    path = damage(copy)
    done = admin("repair", copy, umask=0o077)
    kit.check("root: so does what is repaired", done.returncode == 3 and "has a copy less now" in done.stdout and path.with_name(path.name + ".damaged").exists() and
              owners(copy) == {(OWNER, OWNER)} and oct(path.stat().st_mode & 0o777) == "0o640", (owners(copy), done))
    (copy / "horizon").unlink(missing_ok=True)
    early = copy / "2020" / "01" / "01"
    early.mkdir(parents=True)
    shutil.copy2(path, early / ("20200101T000000Z" + path.name[16:]))
    done = admin("expire", "--age", "1000d", copy, umask=0o077)
    kit.check("root: and the horizon of what expired", done.returncode == 0 and "1 windows" in done.stdout and (copy / "horizon").exists() and
              owners(copy) == {(OWNER, OWNER)} and oct((copy / "horizon").stat().st_mode & 0o777) == "0o640", (owners(copy), done))


def one_copy(folder):
    lab = Lab(folder, 1, window=5)
    lab.send(50000)
    kit.check("a window is sealed", kit.wait_for(lambda: list(lab.stores[0].rglob("*.scs"))))
    too_few(lab)
    usage(lab)
    from_outside(lab)
    one_is_away(lab)
    as_root(lab, half_done(lab))
    lab.cluster.stop()


def two_copies(folder):
    """Copies in different places, of which some are lost: each batch counts once, and so does each that is nowhere."""
    lab = Lab(folder, 2)
    n2, n3 = lab.cluster.nodes[1:]
    lab.send(20000)
    n3.kill()
    lab.send(20000)
    n3.start()
    kit.wait_for(lambda: all("n3" in n.usable() for n in lab.cluster.nodes))
    lab.send(20000)
    kit.wait_for(lambda: lab.cluster.has_told(lab.sent))
    kit.check("copies: nothing is missing", "nothing is missing" in lab.accept().stdout and ask(lab.stores) == (0, 0, 0))
    n2.stop()
    n3.stop()
    kit.check("copies: those of one lane are gone at one node, and all of another's own", lab.lose(n2.store) > 0 and
              lab.lose(n3.store / ".replica" / "n2") + lab.lose(n3.store) > 0)
    status, missing, known = ask(lab.stores)
    kit.check("copies: some had no other", status == 3 and 0 < missing < lab.sent and known == 0, (status, missing, known))
    done = lab.accept()
    kit.check("copies: exactly these are accepted", done.returncode == 0 and flows_of(done.stdout) == missing and
              ask(lab.stores) == (0, 0, missing), (missing, ask(lab.stores), done))
    lab.cluster.stop()


def main():
    for scenario in (one_copy, two_copies):
        with tempfile.TemporaryDirectory() as folder:
            scenario(folder)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
