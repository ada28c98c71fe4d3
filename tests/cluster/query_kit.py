# SPDX-License-Identifier: BSD-3-Clause
"""Clusters that can be asked: a laboratory's machines with a name of their own and sshd, flows in their stores, and the query from
any of them.

    with query_kit.Site(folder, 3, 2, roles) as site:      # a laboratory, a cluster of collectors, sshd on each machine
        site.feed(flows)                                    # random_flows.Flow records, by several exporters
        there = site.ask("-s", "srcip")                     # sc-query --cluster, from a machine that is no member
        here = site.ask_here("-s", "srcip")                 # one process over all stores
"""
import contextlib
import json
import os
import pathlib
import pwd
import random
import re
import shlex
import shutil
import signal
import subprocess
import time

import cluster_kit as kit
import lab_kit
import random_flows

SSHD = "/usr/sbin/sshd"
PROGRAMS = ("sc-query", "sc-query-guard", "sc-query-rank", "orted", "mpiexec", "mpirun", "orterun", "ssh")
DEADLINE_S = 120
PARTS = 12
LONG = os.environ.get("SC_LONG") is not None
SEED = int(os.environ.get("SC_SEED", int(time.time())))
TOTALS = ["--output-format=json", "--output-items=p"]


def seed_of(name):
    return random.Random(f"{SEED} {name}")


def require():
    """Ends the test, skipped, where clusters cannot be asked."""
    for tool, package in ((SSHD, "openssh-server"), ("ssh", "openssh-client"), ("ssh-keygen", "openssh-client"),
                          ("mpiexec", "openmpi-bin"), ("unshare", "util-linux")):
        if shutil.which(tool) is None:
            print(f"skip query {tool} is not installed ({package})", flush=True)
            raise SystemExit(77)
    if "OpenRTE" not in subprocess.run(["mpiexec", "--version"], capture_output=True, text=True, check=False).stdout:
        print("skip query mpiexec is not Open MPI's", flush=True)
        raise SystemExit(77)
    lab_kit.require()


def named(machine, command, prepare="true"):
    """A command on a machine that has a name of its own, too. `prepare`: for the shell, before; what it mounts only this command sees."""
    return machine.command(["unshare", "--uts", "--mount", "--", "sh", "-c", f'hostname "$0" && {prepare} && exec "$@"', machine.name,
                            *map(str, command)])


def plain_shell():
    """For prepare: what a login to the machine runs is not whatever the user's shell reads first (which takes time, waits for locks
    of its own, and does not like to be killed)."""
    file = pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir) / ".bashrc"
    return f"mount --bind /dev/null {shlex.quote(str(file))}" if file.exists() else "true"


def processes(machine):
    """{id: name} of the programs of a query on a machine."""
    found = {}
    for pid in lab_kit.run("ip", "netns", "pids", machine.namespace, check=False).stdout.split():
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            continue
        name, state = re.search(r"\((.*)\) (\S)", stat).groups()
        if name in PROGRAMS and state != "Z":
            found[int(pid)] = name
    return found


def describe(done, limit=600):
    return f"exit {done.returncode}: {done.stdout[:limit]} {done.stderr[:limit]}"


def summary(done):
    """(flows, complete, missing, damage) of an answer to TOTALS."""
    try:
        answer = json.loads(done.stdout)
        return answer["summary"]["flows"], answer["complete"], answer["missing"], answer["damage"]
    except (ValueError, KeyError):
        return None, None, [describe(done)], []


def whole(name, done, flows, damage=None):
    """The answer is complete, and `damage` (a regular expression) is told, if given."""
    count, complete, missing, told = summary(done)
    told = told + done.stderr.splitlines()
    return kit.check(name, done.returncode == 0 and count == len(flows) and complete and not missing and
                     (damage is None or any(re.search(damage, line) for line in told)),
                     (count, len(flows), complete, missing, told, describe(done)))


class Site:
    """`network`: as of lab_kit.Lab. `options`: of lab_kit.Cluster."""

    def __init__(self, folder, count, replication, roles=None, window=60, network=lab_kit.NETWORK, **options):
        self.folder = pathlib.Path(folder)
        self.lab = lab_kit.Lab(network)
        self.options = options
        self.wish = (count, replication, roles, window)
        self.guards = {}  # name of the machine: its sshd

    def __enter__(self):
        self.lab.__enter__()
        try:
            self.begin(*self.wish)
        except BaseException:
            self.lab.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.lab.__exit__()

    def begin(self, count, replication, roles, window):
        self.key("client")
        self.key("host")
        shutil.copyfile(self.folder / "client.pub", self.folder / "authorized")
        self.cluster = self.lab.cluster(self.folder, count, replication, roles=roles, window=window, **self.options)
        self.outside = self.lab.machine("x1")
        for node in self.cluster.nodes:
            self.guard(node.machine)
        self.prepare()
        self.cluster.start()
        self.stores = [n.store for n in self.cluster.nodes if "subcollector" in n.roles]

    def prepare(self):
        """What a test does before the collectors start."""

    # ---- ssh ----

    def key(self, name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", self.folder / name], check=True)

    def guard(self, machine, prepare="true", options=()):
        """sshd, with further options; see named()."""
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it
        log = open(self.folder / f"sshd-{machine.name}.log", "ab")
        with log:
            self.guards[machine.name] = subprocess.Popen(
                named(machine, [SSHD, "-D", "-e", "-f", "/dev/null", "-h", self.folder / "host", "-o",
                                f"AuthorizedKeysFile={self.folder / 'authorized'}", "-o", "StrictModes=no", "-o", "UsePAM=no",
                                "-o", "UseDNS=no", "-o", "PermitRootLogin=yes", "-o", "PidFile=none", *options,
                                *self.guard_options(machine)],
                      f"{plain_shell()} && {prepare}"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.lab.children.append(self.guards[machine.name])
        if not kit.wait_for(lambda: self.reaches(machine), 10):
            raise SystemExit(f"sshd does not answer on {machine.name}")

    def guard_options(self, _machine):
        """More words for the sshd of a machine."""
        return []

    def reaches(self, machine):
        try:
            machine.connect((machine.address, 22), 1).close()
            return True
        except OSError:
            return False

    def unguard(self, machine):
        self.guards[machine.name].kill()
        self.guards[machine.name].wait()

    def ssh(self, key="client"):
        return f"ssh -i {self.folder / key} -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=2"

    # ---- nodes ----

    def own_config(self, node, text=None):
        """For named(): the node's configuration, or another text, is where its machine's programs look for it."""
        etc = self.folder / f"etc-{node.name}"
        if not etc.exists():
            subprocess.run(["cp", "-a", "/etc", etc], check=True)
            (etc / "securitycloud").mkdir(exist_ok=True)
        (etc / "securitycloud" / "collector.yaml").write_text(text or node.config.read_text())
        return f"mount --bind {etc} /etc"

    def node(self, name):
        return next(n for n in self.cluster.nodes if n.name == name)

    def kill_node(self, name):
        """Collector and sshd are gone, and nothing reaches the machine."""
        node = self.node(name)
        node.kill()
        self.lab.unplug(name)

    def revive_node(self, name):
        self.lab.plug(name)
        self.node(name).start()

    def power_off(self, name):
        """The cable first, so that nobody is told."""
        node = self.node(name)
        self.lab.unplug(name)
        for pid in lab_kit.run("ip", "netns", "pids", node.machine.namespace, check=False).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        node.kill()
        self.unguard(node.machine)

    def power_on(self, name):
        self.lab.plug(name)
        self.guard(self.node(name).machine)
        self.node(name).start()

    # ---- flows ----

    def drained(self):
        running = [n for n in self.cluster.proxies() if n.child.poll() is None]
        return kit.wait_for(lambda: all(n.waiting() == 0 for n in running), 60)

    def feed(self, flows, seed=1):
        """Each flow by one of a few exporters, to any proxy, in many batches: their order and places are random."""
        rng = random.Random(seed)
        proxies = self.cluster.proxies()
        before = sum(n.status()["received"]["flows"] for n in proxies)
        parts = random_flows.divide(flows, rng, PARTS)
        for number, part in enumerate(parts):
            proxy = proxies[number % len(proxies)]
            random_flows.send(part, lambda a, p=proxy: self.outside.connect((p.address, p.port), 10), domain=number + 1)
            time.sleep(.3)  # what comes later is another batch
        total = before + len(flows)
        if not kit.wait_for(lambda: sum(n.status()["received"]["flows"] for n in proxies) == total, 60):
            raise SystemExit(f"flows got lost on the way\n{self.cluster.logs()}")
        time.sleep(0.6)  # what lies in a proxy's lane becomes a batch
        if not self.drained():
            raise SystemExit(f"flows wait\n{self.cluster.logs()}")
        time.sleep(1.2)  # a tally later

    # ---- questions ----

    def command(self, *options, paths=None, ssh=None, cluster=None, program=None):
        paths = [self.folder / "%n"] if paths is None else paths
        file = self.cluster.file if cluster is None else cluster
        return [str(program or kit.BUILD / "bin" / "sc-query"), f"--cluster={file}" if file else "--cluster",
                f"--ssh={ssh or self.ssh()}", *map(str, options), *map(str, paths)]

    def start(self, *options, machine=None, env=None, prepare="true", **more):
        """The question, running."""
        return subprocess.Popen(named(machine or self.outside, self.command(*options, **more), prepare), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})

    def finish(self, child):
        try:
            out, err = child.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
            child.kill()
            out, err = child.communicate()
            err += "\nthe test stopped waiting"
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def ask(self, *options, **more):
        return self.finish(self.start(*options, **more))

    def ask_here(self, *options, stores=None):
        return kit.query(stores or self.stores, *options)

    # ---- what runs ----

    def running(self, names=PROGRAMS, machines=None):
        """[(machine, id, name)] of a query's programs."""
        return [(m.name, pid, name) for m in (machines or self.lab.machines.values()) for pid, name in processes(m).items()
                if name in names]

    def rank_of(self, name, seconds=20):
        """The id of a node's rank, once it runs."""
        machine = self.lab.machines[name]
        return kit.wait_for(lambda: next((pid for _, pid, _ in self.running(("sc-query-rank",), [machine])), None), seconds)

    def quiet(self, seconds=15):
        """True once no program of a query runs anywhere."""
        return kit.wait_for(lambda: not self.running(), seconds) is True
