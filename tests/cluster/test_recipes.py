#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=300 beside=any
"""What documents tell people to type. A cluster is set up on three machines as docs/operations.md has it, and the commands of README,
docs/operations.md and the manual pages are run there as they stand; in all documents, options and subcommands are such as the programs have."""
import collections
import contextlib
import functools
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

import cluster_kit as kit
import lab_kit
import query_kit

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = kit.BUILD / "bin"
PROGRAMS = ("sc-collector", "sc-query", "sc-exporter", "sc-admin")
NODES = {"alpha": "192.0.2.1", "beta": "192.0.2.2", "gamma": "192.0.2.3"}  # as in contrib/cluster.yaml
FLOWS = 10000
SSHD = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-o", "UsePAM=yes", "-o", "StrictModes=no", "-o", "PidFile=none",
        "-o", "Subsystem=sftp internal-sftp"]
COUNT = "sc-query --cluster --output-items=p --output-format=json"

Line = collections.namedtuple("Line", "place text")


# ---- what is written ----

def blocks(path):
    """[[Line]]: indented and fenced blocks of a document, displays and literals of a manual page."""
    found, fenced, more = [], False, False
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text.startswith(("```", ".Bd -literal", ".Ed")):
            fenced, more = not fenced, False
            continue
        inside = fenced or text.startswith(("    ", ".Dl ")) or (more and text == "")
        if inside and not more:
            found.append([])
        more = inside
        if inside:
            found[-1].append(Line(f"{path.name}:{number}", text if fenced else re.sub(r"^(    |\.Dl (\$ )?)", "", text)))
    return found


def lines(path):
    """The lines of all blocks; one that goes on in the next is one."""
    for block in blocks(path):
        before = ""
        for line in block:
            text = before + line.text.replace(r"\e", "\\")
            before = text[:-1] if text.endswith("\\") else ""
            if not before:
                yield Line(line.place, text)


def quoted(path):
    """`commands` within the text."""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for command in re.findall(r"`(sc-[a-z]+ [^`]*)`", text):
            yield Line(f"{path.name}:{number}", command)


def commands(text):
    """[[word]] of a line: what is between the signs of a shell."""
    found = [[]]
    words = shlex.shlex(re.sub(r"\s#\s.*", "", text), posix=True, punctuation_chars=True)
    words.whitespace_split, words.commenters = True, ""
    try:
        for word in words:
            if word and set(word) <= set("&|;()<>"):
                found.append([])
            else:
                found[-1].append(word)
    except ValueError:  # a quotation mark that is none: prose
        return []
    return [c for c in found if c]


@functools.lru_cache
def help_of(program):
    return subprocess.run([BIN / program, "--help"], capture_output=True, text=True, check=True).stdout


def problem_of(command):
    """None, or what of a command its program does not know."""
    program = pathlib.Path(command[0]).name
    if program not in PROGRAMS:
        return None
    known = set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", help_of(program)))
    wanted = [re.match(r"--[\w-]+|-[A-Za-z]", w) for w in command[1:]]
    unknown = [w[0] for w in wanted if w and w[0] not in known]
    if program == "sc-admin" and len(command) > 1 and re.fullmatch(r"[a-z-]+", command[1]):
        unknown += [command[1]] if not re.search(rf"(?m)^ .*\b{command[1]}\b", help_of(program)) else []
    return f"{program} has no {', '.join(unknown)}" if unknown else None


def documents():
    return [TOP / "README.md", *sorted((TOP / "docs").glob("*.md")), *sorted((TOP / "man").glob("*.[18]"))]


def check_options():
    seen, wrong = 0, []
    for path in documents():
        for line in [*lines(path), *(quoted(path) if path.suffix == ".md" else [])]:
            for command in commands(line.text):
                seen += pathlib.Path(command[0]).name in PROGRAMS
                problem = problem_of(command)
                wrong += [f"{line.place}: {problem}"] if problem else []
    kit.check(f"documents: in {seen} commands, options and subcommands are known to their programs", seen > 60 and not wrong, "\n".join(wrong))
    strange = ("true && sc-query -s 'a b' srcip#bytes --nosuch=1   # 'twas", "sc-admin nosuch", "sc-collector -Z")
    kit.check("documents: an option that is not there is told", all(problem_of(commands(text)[-1]) for text in strange))


def check_files(installed):
    """What documents and contributed files name below /usr/local is installed there."""
    texts = {p: p.read_text(encoding="utf-8") for p in [*documents(), *(TOP / "contrib").rglob("*")] if p.is_file()}
    named = {(p.name, file) for p, text in texts.items() for file in re.findall(r"/usr/local/((?:bin|share)/[\w./-]*\w)", text)}
    missing = sorted(f"{name}: /usr/local/{file}" for name, file in named if not (installed / file).exists())
    kit.check(f"documents: {len(named)} installed files that are named are there", len(named) > 5 and not missing, missing)


# ---- machines that are installed as documented ----

class Place:
    """A machine whose /usr/local, /etc, /root, /home and /var/lib are its own."""

    def __init__(self, lab, folder, name, address=None):
        self.machine = lab.machine(name, address)
        self.folder = folder / name
        for part in ("root", "home", "lib"):
            (self.folder / part).mkdir(parents=True)
        subprocess.run(["cp", "-a", "/etc", self.folder / "etc"], check=True)
        self.settings = self.folder / "etc" / "securitycloud"
        shutil.rmtree(self.settings, ignore_errors=True)
        self.settings.mkdir()
        self.store = self.folder / "lib" / "securitycloud"
        self.mounts = " && ".join(f"mount --bind {source} {target}" for source, target in (
            (folder / "usr-local", "/usr/local"), (self.folder / "etc", "/etc"), (self.folder / "root", "/root"),
            (self.folder / "home", "/home"), (self.folder / "lib", "/var/lib")))
        done = self.run("\n".join(["set -e", "useradd alice", "useradd mallory", *find(r"^(useradd|install -d|usermod) ")]))
        kit.check(f"{name}: users, groups and the store's folder are made", done.returncode == 0, query_kit.describe(done))
        users = (line.split(":") for line in (self.folder / "etc" / "passwd").read_text(encoding="utf-8").splitlines())
        self.child = None
        self.uid, self.gid = next((int(u[2]), int(u[3])) for u in users if u[0] == "securitycloud")

    def command(self, words):
        return query_kit.named(self.machine, ["env", "HOME=/root", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *words],
                               f"{self.mounts} && cd /root")

    def run(self, text):
        return subprocess.run(self.command(["sh", "-c", text]), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=60)

    def start(self, lab, words):
        log = open(self.folder / "log", "ab")
        with log:
            lab.children.append(subprocess.Popen(self.command(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return lab.children[-1]

    def collect(self, lab):
        self.child = self.start(lab, ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "sc-collector"])

    def let_in(self, user, line):
        keys = self.folder / ("root" if user == "root" else f"home/{user}") / ".ssh"
        keys.mkdir(parents=True, exist_ok=True)
        with open(keys / "authorized_keys", "a", encoding="utf-8") as file:
            file.write(line + "\n")


OPERATIONS = TOP / "docs" / "operations.md"


def find(pattern):
    """The lines of docs/operations.md's blocks that match."""
    return [line.text for line in lines(OPERATIONS) if re.search(pattern, line.text)]


def settings_of(word):
    """The one block of docs/operations.md with a line that begins so."""
    found = [b for b in blocks(OPERATIONS) if any(line.text.startswith(word) for line in b)]
    return "\n".join(line.text for line in found[0]) + "\n"


def make_keys(folder, places, made=False):
    """Root of each machine can log in to the others; they know each other's keys."""
    for name in () if made else ("host", "root"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    for place in places:
        shutil.copyfile(folder / "host", place.folder / "etc" / "ssh" / "ssh_host_ed25519_key")
        (place.folder / "etc" / "ssh" / "ssh_known_hosts").write_text("* " + (folder / "host.pub").read_text())
        place.let_in("root", (folder / "root.pub").read_text())
        shutil.copyfile(folder / "root", place.folder / "root" / ".ssh" / "id_ed25519")
        (place.folder / "root" / ".ssh" / "id_ed25519").chmod(0o600)


def settings_for(name, window=300):
    return settings_of("node: alpha").replace("alpha", name).replace("window: 300", f"window: {window}")


def set_up(lab, folder, window=300):
    """{name: Place} of a cluster and of a machine of its own, by the text of the documents."""
    places = {name: Place(lab, folder, name, address) for name, address in {**NODES, "single": "192.0.2.9"}.items()}
    make_keys(folder, places.values())
    for name in NODES:
        place = places[name]
        shutil.copyfile(TOP / "contrib" / "cluster.yaml", place.settings / "cluster.yaml")
        (place.settings / "collector.yaml").write_text(settings_for(name, window))
    first = places["alpha"]
    done = first.run(find("^sc-admin certs")[0])
    kit.check("cluster: the certificates are made", done.returncode == 0, query_kit.describe(done))
    for name in NODES:
        tls = places[name].settings / "tls"
        tls.mkdir()
        for file in ("authority.pem", f"{name}.pem", f"{name}.key"):
            shutil.copyfile(first.folder / "root" / "tls" / file, tls / file)
        (tls / f"{name}.key").chmod(0o640)
        shutil.chown(tls / f"{name}.key", "root", places[name].gid)
        done = places[name].run("sc-collector --check-config")
        kit.check(f"cluster: the settings of {name} are valid", done.returncode == 0, query_kit.describe(done))
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it
    for name, place in places.items():
        place.start(lab, SSHD)
        if name in NODES:
            place.collect(lab)
        (first.folder / "root" / name).mkdir()
        (first.folder / "root" / name / "store").symlink_to(place.store)  # as over NFS
        (place.folder / "lib" / name).mkdir()
        (place.folder / "lib" / name / "store").symlink_to("/var/lib/securitycloud")
    (first.folder / "root" / "FILE").symlink_to("/etc/securitycloud/cluster.yaml")
    return places


def status_of(place):
    """Of its collector; {} while there is none."""
    done = place.run("sc-admin status --json")
    return json.loads(done.stdout)["cluster"] if done.returncode == 0 else {}


def uses_all(place):
    members = status_of(place).get("members", [])
    return len(members) >= len(NODES) and all(m.get("usable", False) for m in members)


def feed(place, flows=FLOWS):
    """What README sends, to one proxy; all of it is safe and told so, `flows` in all."""
    if not kit.wait_for(lambda: uses_all(place)):
        raise SystemExit(f"not all nodes are used: {status_of(place)} {(place.folder / 'log').read_text()}")
    place.run(next(line.text for line in lines(TOP / "README.md") if line.text.startswith("sc-exporter")))
    kit.wait_for(lambda: status_of(place)["proxy"]["records"] >= flows and status_of(place)["proxy"]["waiting_batches"] == 0)
    kit.wait_for(lambda: place.run(COUNT).returncode == 0)
    done = place.run(COUNT)
    kit.check("cluster: every flow is there", done.returncode == 0 and query_kit.summary(done)[0] == flows, query_kit.describe(done))


def check_users(place):
    """Who is in the group may query, and nobody else."""
    for user, may in (("alice", True), ("mallory", False)):
        done = place.run(f"setpriv --reuid={user} --regid={user} --init-groups sc-query -s srcip /var/lib/securitycloud")
        good = done.returncode in (0, 3) and done.stdout if may else done.returncode == 1 and "Permission denied" in done.stderr
        kit.check(f"users: {user} may {'' if may else 'not '}query", good, query_kit.describe(done))  # 3: other nodes have the rest


def check_settings(place):
    """Blocks that are files for sc-collector, and those that are installed."""
    texts = ["\n".join(line.text for line in b) for b in blocks(OPERATIONS)] + [(TOP / "contrib" / "collector.yaml").read_text()]
    texts = [t for t in texts if re.match(r"(#.*\n|\n)*[a-z-]+:( |$)", t, re.MULTILINE)]
    for text in texts:
        (place.folder / "root" / "some.yaml").write_text(text + "\n")
        done = place.run("sc-collector --check-config -c some.yaml")
        kit.check(f"settings: {text.splitlines()[0]} ...", done.returncode == 0, query_kit.describe(done))
    kit.check("settings: in documents and files", len(texts) == 5, texts)


# ---- what is typed ----

NOT_HERE = (r"example\.net|analysis\.example|monday\.pcap|/data/flows"  # hosts and files of others
            r"|^sysctl|^make|^python3|^cmake|^perf|^build/|^tests/|^SC_BUILD"
            r"|^sc-admin drain")  # the members are others then: test_heal.py
INSTEAD = (("'/data/%n/", "'/var/lib/%n/"), ("2000000", "20000"))  # folders that are here; less of the same


def typed(path):
    """The commands of a document that can be run here."""
    return [line for line in lines(path) if re.match(r"sc-|ssh-keygen", line.text) and not re.search(NOT_HERE, line.text)]


def install_key(places, purpose):
    """The line of authorized_keys for a key that was made, for the user that is then asked for."""
    line, user = find(f"^restrict,.* {purpose}$")[0], re.search(rf"-l (\w+) -i \S*/{purpose}-key", find(f"-i .*/{purpose}-key'")[0])[1]
    public = (places["alpha"].settings / f"{purpose}-key.pub").read_text().split()[1]
    for name in NODES:
        places[name].let_in(user, line.replace("AAAA...", public))


def type_in(places, line):
    where = "alpha" if re.search("--cluster|^ssh-keygen|alpha/|^sc-admin heal", line.text) else "single"
    text = functools.reduce(lambda t, pair: t.replace(*pair), INSTEAD, line.text)
    done = places[where].run(text)
    good = done.returncode == 0 and "PROBLEM" not in done.stdout and (done.stdout or not line.text.startswith("sc-query"))
    kit.check(f"{line.place} at {where}: {line.text}", good, query_kit.describe(done, 3000))
    made = re.match(r"ssh-keygen .*/(\w+)-key$", line.text)
    if made:
        install_key(places, made[1])


def type_all(lab, places):
    for name in ("README.md", "docs/operations.md", *(f"man/{program}.1" for program in PROGRAMS)):
        for line in typed(TOP / name):
            if line.text.endswith("&"):
                places["single"].start(lab, ["sh", "-c", "exec " + line.text[:-1]])
                kit.check(f"{line.place}: {line.text}", kit.wait_for(lambda: places["single"].run("sc-admin ping").returncode == 0))
            else:
                type_in(places, line)


@contextlib.contextmanager
def installed():
    """(Lab, folder): the programs are installed in its usr-local."""
    query_kit.require()
    lab_kit.end_on_signals()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        subprocess.run(["cmake", "--install", kit.BUILD, "--prefix", folder / "usr-local"], capture_output=True, check=True)
        with lab_kit.Lab() as lab:
            yield lab, folder


def main():
    check_options()
    with installed() as (lab, folder):
        check_files(folder / "usr-local")
        places = set_up(lab, folder)
        check_settings(places["alpha"])
        feed(places["alpha"])
        check_users(places["alpha"])
        type_all(lab, places)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
