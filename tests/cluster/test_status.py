#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""sc-admin status --cluster: every node is asked by ssh, or what stands for it; what they hold is compared."""
import tempfile

import cluster_kit as kit
from ssh_kit import Sshd, Stub, has_sshd


def total(answer, key):
    return sum(w[key] for w in answer["windows"])


def node_of(answer, name):
    return next(n for n in answer["nodes"] if n["name"] == name)


def all_well(cluster, stub):
    answer, done = stub.json()
    kit.check("well: exit 0", done.returncode == 0 and answer["well"], (done, answer))
    kit.check("well: all three run", all(n["reachable"] and n["running"] and n["problem"] is None and n["differs"] is None
                                         for n in answer["nodes"]), answer["nodes"])
    accepted = sum(n.status()["cluster"]["proxy"]["batches"] for n in cluster.nodes)
    kit.check("well: every batch is whole", total(answer, "known") == total(answer, "whole") == accepted > 0 and
              total(answer, "waiting") == total(answer, "missing") == total(answer, "one_copy") == 0,
              (accepted, answer["windows"]))
    kit.check("well: each is used by three proxies", all(n["usable_by"] == n["proxies_asked"] == 3 for n in answer["nodes"]),
              answer["nodes"])
    asked = (stub.folder / "asked").read_text().splitlines()
    kit.check("well: this node is not asked by ssh, the others with fixed words",
              [asked[i + 1:i + 7] for i, w in enumerate(asked) if w == "--"] ==
              [[n.address, "sc-admin", "status", "--json", "--windows", "12"] for n in cluster.nodes[1:]] or
              [asked[i + 1:i + 7] for i, w in enumerate(asked) if w == "--"] ==
              [[n.address, "sc-admin", "status", "--json", "--windows", "12"] for n in reversed(cluster.nodes[1:])], asked)
    kit.check("well: ssh asks nobody, and for no longer than it must",
              "BatchMode=yes" in asked and "ConnectTimeout=5" in asked and asked[0] == "-v", asked)
    text = stub.status().stdout
    lines = text.splitlines()
    kit.check("well: the table names all, in 120 columns", all(any(line.startswith(n.name + " ") and " up " in line for line in lines)
                                                               for n in cluster.nodes) and
              max(map(len, lines)) <= 120 and "PROBLEM" not in text, text)
    return answer


def troubles(cluster, stub, before):
    n1, n2, n3 = cluster.nodes
    stub.mark("down", n3)
    answer, done = stub.json()
    kit.check("unreachable: exit 3, and the node is named with what ssh said", done.returncode == 3 and
              not node_of(answer, "n3")["reachable"] and
              node_of(answer, "n3")["problem"] == f"ssh: connect to host {n3.address} port 22: No route to host", answer["nodes"])
    kit.check("unreachable: the others hold one copy of what it has", total(answer, "missing") == 0 and
              0 < total(answer, "one_copy") and total(answer, "one_copy") + total(answer, "whole") == total(before, "whole"),
              answer["windows"])
    stub.mark("hang", n2)
    answer, done = stub.json("--timeout", "3s")
    kit.check("hanging: it is given up, by name", done.returncode == 3 and
              node_of(answer, "n2")["problem"] == "no answer within 3 s", answer["nodes"])
    kit.check("hanging: what neither told is missing, to the batch", total(answer, "known") == total(before, "known") and
              total(answer, "missing") > 0 and total(answer, "missing") + total(answer, "one_copy") == total(before, "whole"),
              answer["windows"])
    text = stub.status("--timeout", "3s").stdout
    kit.check("hanging: the table says both", "n2: no answer within 3 s" in text and "UNREACHABLE" in text and
              max(map(len, text.splitlines())) <= 120, text)
    stub.mark("hang", n2, False)
    stub.mark("down", n3, False)
    stub.mark("talk", n2)
    answer, done = stub.json()
    kit.check("no status: a node that answers something else", done.returncode == 3 and
              node_of(answer, "n2")["problem"] is not None, answer["nodes"])
    stub.mark("talk", n2, False)
    n2.kill()
    answer, done = stub.json()
    kit.check("down: a node without a collector is reachable, and what it holds counts", done.returncode == 3 and
              node_of(answer, "n2")["reachable"] and not node_of(answer, "n2")["running"] and
              total(answer, "whole") == total(before, "whole"), answer)
    n2.start()
    kit.wait_for(lambda: n1.usable() == ["n1", "n2", "n3"])
    n3.stop()
    cluster.file.write_text(cluster.file.read_text().replace("version: 1", "version: 2"))
    n3.start()
    kit.wait_for(lambda: n1.usable() == ["n1", "n2", "n3"])
    kit.wait_for(lambda: all(n.status()["cluster"]["problems"] for n in cluster.nodes))
    answer, done = stub.json()
    kit.check("version: nodes with another membership file are told", done.returncode == 3 and not answer["well"] and
              node_of(answer, "n3")["differs"] is None and
              node_of(answer, "n2")["differs"] == "its collector has version 1 of the membership file, not 2", answer["nodes"])
    told = stub.status().stdout
    kit.check("version: in the table too", "PROBLEM   n2: its collector has version 1" in told, told)
    kit.check("version: what two say is told once", told.count("n3 has version 2 of the membership file, this node 1") == 1 and
              "PROBLEM   n1 and 1 more: n3 has" in told, told)
    for n in cluster.nodes:
        n.reload()
    kit.check("version: they agree again", kit.wait_for(lambda: all(n.status()["cluster"]["problems"] == [] for n in cluster.nodes)),
              cluster.logs())


def from_outside(cluster, stub):
    """From a machine that is no member every node is asked by ssh."""
    elsewhere = cluster.folder / "elsewhere.yaml"
    elsewhere.write_text(f"store: {cluster.folder}/nothing\n")
    answer, done = stub.json("-c", str(elsewhere), str(cluster.file), config=False)
    kit.check("outside: the same answer", done.returncode == 0 and len(answer["nodes"]) == 3 and answer["well"], (done, answer))
    for n in cluster.nodes:
        stub.mark("down", n)
    answer, done = stub.json(f"--cluster={cluster.file}", "-c", str(elsewhere), config=False)
    kit.check("outside: nobody answers: exit 1", done.returncode == 1 and not answer["well"], (done, answer))
    for n in cluster.nodes:
        stub.mark("down", n, False)
    done = stub.status("-c", str(elsewhere), config=False)
    kit.check("outside: which cluster? exit 2", done.returncode == 2 and "--cluster=FILE" in done.stderr, done)
    answer, done = stub.json(ssh="/nonexistent/ssh")
    kit.check("outside: without ssh the node itself still answers", done.returncode == 3 and
              node_of(answer, "n1")["running"] and "cannot run /nonexistent/ssh" in node_of(answer, "n2")["problem"], answer)


# ---- with a real sshd ----

def through_sshd(cluster, stub):
    if not has_sshd():
        return
    sshd = Sshd(cluster, "status --json --windows 50")
    try:
        kit.wait_for(lambda: "listening" in (sshd.folder / "log").read_text())
        answer, done = stub.json(ssh=f"ssh -F {sshd.client}")
        kit.check("sshd: with keys that can do nothing else the answer is the same", done.returncode == 0 and answer["well"] and
                  all(n["running"] for n in answer["nodes"]), (done, answer, (sshd.folder / "log").read_text()))
        (sshd.folder / "known").write_text("")
        answer, done = stub.json(ssh=f"ssh -F {sshd.client}")
        kit.check("sshd: a host that is not known is refused, in words", done.returncode == 3 and
                  "Host key verification failed." in node_of(answer, "n2")["problem"], answer["nodes"])
    finally:
        sshd.stop()


def main():
    with tempfile.TemporaryDirectory() as folder:
        cluster = kit.Cluster(folder, 3, 2).start()
        stub = Stub(cluster)
        exporter = kit.Exporter(cluster.nodes[0])
        sent = exporter.send(0, 30000)
        kit.wait_for(lambda: cluster.nodes[0].status()["received"]["flows"] == len(sent))
        kit.wait_for(cluster.has_accepted)
        kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.nodes), 30)
        kit.wait_for(lambda: cluster.has_told(len(sent)))
        before = all_well(cluster, stub)
        troubles(cluster, stub, before)
        from_outside(cluster, stub)
        through_sshd(cluster, stub)
        cluster.stop()
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
