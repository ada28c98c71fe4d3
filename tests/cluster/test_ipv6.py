#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=300 beside=any
"""Members by other addresses than dotted ones: machines that have IPv6 alone, names of hosts, IPv4 in IPv6's form. Flows over the link,
plain and with TLS, the query and the status over all nodes."""
import json
import pathlib
import subprocess
import tempfile

import cluster_kit as kit
import lab_kit
import query_kit
import random_flows
from query_kit import TOTALS, describe, seed_of, whole

BIN = kit.BUILD / "bin"
NAMES = ["alpha.one.example", "beta.one.example", "beta.two.example"]  # the same up to a dot, and without one


class Named(query_kit.Site):
    """The proxy's address is a name, which files of its own tell to all programs; subcollectors listen at theirs."""

    def prepare(self):
        hosts = self.folder / "hosts"
        hosts.write_text("".join(f"{n.address} {name}\n" for n, name in zip(self.cluster.nodes, NAMES)))
        self.hosts = f"mount --bind {hosts} /etc/hosts"
        for node in self.cluster.nodes:
            node.wrap = ["unshare", "--mount", "--", "sh", "-c", f'{self.hosts} && exec "$@"', "sh"]
        self.name(self.cluster.nodes[:1])

    def name(self, nodes, file="cluster.yaml", names=NAMES):
        """A membership file with names for some nodes."""
        for node, name in zip(nodes, names):
            node.host = name
        self.cluster.file = self.folder / file
        self.cluster.write_members(1, self.cluster.nodes)


def send(name, site):
    flows = random_flows.make(seed_of(name), 2000)
    site.feed(flows)
    kit.check_numbers(f"{name}: every flow once, over the link", site.stores, range(len(flows)))
    return flows


def ask(name, site, flows, prepare="true"):
    """The query from a machine that is no member and from one that is: every node answers, at once."""
    for machine in (site.outside, site.cluster.nodes[1].machine):
        done = site.ask(*TOTALS, machine=machine, prepare=prepare)
        whole(f"{name}: the query from {machine.name}", done, flows)
        told = json.loads(done.stdout or '{"cluster": {}}')["cluster"]
        kit.check(f"{name}: of all nodes, at the first attempt", told.get("answered") == len(site.stores) and told["attempts"] == 1,
                  describe(done, 2000))


def ask_status(name, site, prepare="true"):
    for node in site.cluster.nodes:
        site.unguard(node.machine)
        site.guard(node.machine, site.own_config(node), ["-o", f"SetEnv=PATH={BIN}:/usr/bin:/bin"])
    command = [BIN / "sc-admin", "status", f"--cluster={site.cluster.file}", f"--ssh={site.ssh()}", "--json"]
    done = subprocess.run(query_kit.named(site.outside, command, prepare), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    nodes = json.loads(done.stdout or '{"nodes": []}')["nodes"]
    kit.check(f"{name}: the status of all nodes", done.returncode == 0 and len(nodes) == 3 and all(n["running"] for n in nodes),
              describe(done, 2000))


def check_config(site, node, more="", prepare="true"):
    config = site.folder / "checked.yaml"
    config.write_text(f"store: {site.folder / 'checked'}\ncluster: {site.cluster.file}\nnode: {node}\n{more}")
    return site.outside.run(["sh", "-c", f'{prepare} && exec "$@"', "sh", BIN / "sc-collector", "--check-config", "-c", config])


def elsewhere(name, site, switch):
    """A system on which any address can be bound: the link between machines is not plain for that."""
    done = check_config(site, "n1", prepare=f"echo 1 > /proc/sys/net/{switch}")
    kit.check(f"{name}: members elsewhere want certificates, whatever can be bound", done.returncode == 2 and
              "is on another machine" in done.stderr, describe(done))


def listens_by_number(name, site):
    """A subcollector cannot listen at a name: it says so before it starts."""
    done = check_config(site, "n2", "link: plain\n")
    kit.check(f"{name}: --check-config wants a subcollector's address as a number", done.returncode == 2 and
              "n2: the address of a subcollector is needed as a number" in done.stderr, describe(done))


def ipv6(folder):
    with query_kit.Site(folder, 3, 2, network=lab_kit.NETWORK6) as site:
        flows = send("IPv6", site)
        ask("IPv6", site, flows)
        colons = site.ssh().replace("ssh ", "ssh -o SetEnv=SC_TEST=a:b ", 1)
        whole("IPv6: colons among the words for ssh", site.ask(*TOTALS, ssh=colons), flows)
        ask_status("IPv6", site)
        elsewhere("IPv6", site, "ipv6/ip_nonlocal_bind")


def ipv6_tls(folder):
    with query_kit.Site(folder, 3, 2, network=lab_kit.NETWORK6, tls=folder / "tls") as site:
        send("IPv6 with TLS", site)


def names(folder):
    with Named(folder, 3, 2, [["proxy"], ["subcollector"], ["subcollector"]]) as site:
        flows = send("names", site)
        site.name(site.cluster.nodes, "named.yaml")
        ask("names", site, flows, site.hosts)
        ask_status("names", site, site.hosts)
        listens_by_number("names", site)
        site.name(site.cluster.nodes, "numbers.yaml", [n.address for n in site.cluster.nodes])
        elsewhere("names", site, "ipv4/ip_nonlocal_bind")


def mapped(folder):
    cluster = kit.Cluster(folder, 2, 2)
    for node in cluster.nodes:
        node.host = f"::ffff:{node.address}"
    cluster.write_members(1, cluster.nodes)
    cluster.start()
    first = cluster.nodes[0]
    sent = kit.Exporter(first).send(0, 3000)
    kit.wait_for(lambda: first.status()["received"]["flows"] == len(sent) and first.has_accepted() and first.waiting() == 0)
    kit.check_numbers("IPv4 in IPv6's form: every flow once", [n.store for n in cluster.nodes], sent)
    kit.check("IPv4 in IPv6's form: all end with 0", set(cluster.stop()) == {0}, cluster.logs())


def main():
    query_kit.require()
    lab_kit.end_on_signals()
    for scenario in (mapped, ipv6, ipv6_tls, names):
        with tempfile.TemporaryDirectory() as folder:
            scenario(pathlib.Path(folder))
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
