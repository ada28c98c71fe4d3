# SPDX-License-Identifier: BSD-3-Clause
"""What stands for ssh: it runs the command here, with the configuration of the node, or fails as ssh would; and a real sshd."""
import json
import os
import pathlib
import shutil
import subprocess

import cluster_kit as kit
import query_kit

ADMIN = kit.BUILD / "bin" / "sc-admin"
STUB = """#!/bin/sh
# Stands for ssh: runs the command here, with the configuration of the node.
printf '%s\\n' "$@" >> {folder}/asked
while [ "$1" != -- ]; do shift; done
host=$2
shift 3
if [ -e {folder}/down-$host ]; then
    echo 'Warning: something that ssh says first' >&2
    echo "ssh: connect to host $host port 22: No route to host" >&2
    exit 255
fi
[ -e {folder}/hang-$host ] && sleep 1000
[ -e {folder}/talk-$host ] && echo 'Welcome!' && exit 0
if [ -e {folder}/clock-$host ]; then
    {admin} "$@" -c {folder}/$host.yaml | sed 's/"now_ms": *[0-9]*/"now_ms": 1000/'
    exit
fi
exec {admin} "$@" -c {folder}/$host.yaml
"""


class Stub:
    def __init__(self, cluster):
        self.cluster, self.folder = cluster, cluster.folder
        self.link = self.folder / "stub"
        self.link.write_text(STUB.format(folder=self.folder, admin=ADMIN))
        self.link.chmod(0o755)
        for n in cluster.nodes:
            (self.folder / f"{n.address}.yaml").symlink_to(n.config)

    def mark(self, what, node, there=True):
        path = self.folder / f"{what}-{node.address}"
        if there:
            path.touch()
        else:
            path.unlink()

    def status(self, *options, config=True, ssh=None):
        here = ["-c", str(self.cluster.nodes[0].config)] if config else []
        command = [str(ADMIN), "status", "--cluster", "--ssh", ssh or f"{self.link} -v", *here, *options]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def json(self, *options, **how):
        done = self.status("--json", *options, **how)
        try:
            return json.loads(done.stdout), done
        except ValueError:
            return None, done


# ---- with a real sshd ----

def has_sshd():
    there = (shutil.which("sshd") or os.path.exists("/usr/sbin/sshd")) and shutil.which("ssh")
    if not there:
        print("skip sshd: openssh-server and openssh-client are not here")
    return there


class Sshd:
    """On 127.0.0.1, with keys of its own, and one forced command for each node's key: sc-admin with these words."""

    def __init__(self, cluster, words):
        self.folder = cluster.folder / "sshd"
        self.folder.mkdir(mode=0o700)
        self.port = kit.free_port("127.0.0.1")
        self.run_folder = pathlib.Path("/run/sshd")
        self.made_run_folder = os.geteuid() == 0 and not self.run_folder.exists()
        if self.made_run_folder:
            self.run_folder.mkdir(mode=0o755)
        self.key("host")
        authorized = []
        config = ["Host *", "  IdentitiesOnly yes", f"  UserKnownHostsFile {self.folder}/known", "  StrictHostKeyChecking yes",
                  "  HostName 127.0.0.1", "  HostKeyAlias node", f"  Port {self.port}"]
        for n in cluster.nodes:
            command = f"{ADMIN} {words} -c {n.config}"
            authorized.append(f'restrict,command="{command}" {self.key(n.name)}')
            config += [f"Host {n.address}", f"  IdentityFile {self.folder}/{n.name}"]
        (self.folder / "authorized").write_text("\n".join(authorized) + "\n")
        (self.folder / "known").write_text(f"node {(self.folder / 'host.pub').read_text()}")
        self.client = self.folder / "client"
        self.client.write_text("\n".join(config) + "\n")
        (self.folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n")
        with open(self.folder / "log", "wb") as log:
            command = [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "config")]
            if os.geteuid() == 0:
                command = ["unshare", "--mount", "--", "sh", "-c", f'{query_kit.plain_shell()} && exec "$@"', "sh", *command]
            self.child = subprocess.Popen(command,
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def key(self, name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)], check=True,
                       stdin=subprocess.DEVNULL)
        return (self.folder / f"{name}.pub").read_text().strip()

    def stop(self):
        self.child.terminate()
        self.child.wait()
        if self.made_run_folder:
            self.run_folder.rmdir()
