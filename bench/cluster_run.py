# SPDX-License-Identifier: BSD-3-Clause
"""A cluster on loopback addresses under load from sc-exporter, and a single collector under the same."""
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import time

import data
import harness


@dataclasses.dataclass
class Load:
    seconds: float  # until everything is durable
    cpu: float      # of all collectors
    wire: int = 0   # bytes from the proxy to subcollectors
    disk: int = 0


def kit(bench):
    """The cluster tests' processes; they want to know the build."""
    os.environ["SC_BUILD"] = str(bench.build)
    folder = str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "cluster")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import cluster_kit
    return cluster_kit


def send(bench, port, address, flows):
    done = subprocess.run([bench.program("sc-exporter"), "--generate", "--flows", str(flows), "--seed", "5", "--ipv6", "20",
                           "--protocol", "ipfix", "--to", f"tcp://{address}:{port}"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: sc-exporter: {done.stderr}")


def end(node):
    node.child.terminate()
    _, status, usage = os.wait4(node.child.pid, 0)
    node.child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def single(bench, flows):
    folder = bench.folder / "single"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    module = kit(bench)
    node = module.Node(type("Alone", (), {"folder": folder, "window": 3600, "file": ""})(), "n1", "127.0.77.1",
                       ["proxy", "subcollector"])
    node.write_config = lambda extra="": node.config.write_text(
        f"listeners: ['tcp://{node.address}:{node.port}']\nstore: {node.store}\nwindow: 3600\n")
    node.start()
    begin = time.perf_counter()
    send(bench, node.port, node.address, flows)
    if not module.wait_for(lambda: (s := node.status()) and s["received"]["flows"] == flows
                           and s["queue"]["batches_held"] == 0 and s["store"]["flows"] == flows, 120):
        raise SystemExit("bench: the single collector did not store everything")
    seconds = time.perf_counter() - begin
    cpu = end(node)
    shutil.rmtree(folder)
    return Load(seconds, cpu)


def cluster(bench, flows, copies):
    folder = bench.folder / "cluster"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    module = kit(bench)
    nodes = module.Cluster(folder, 3, copies, roles=[["proxy"], ["subcollector"], ["subcollector"]], window=3600).start()
    proxy = nodes.nodes[0]
    begin = time.perf_counter()
    send(bench, proxy.port, proxy.address, flows)

    def safe():
        status = proxy.status()
        return status and status["cluster"]["proxy"]["records"] >= flows \
            and status["cluster"]["proxy"]["waiting_batches"] == 0

    if not module.wait_for(safe, 180):
        raise SystemExit(f"bench: the cluster did not store everything: {proxy.status()}")
    seconds = time.perf_counter() - begin
    wire = sum(m.get("bytes_sent", 0) for m in proxy.status()["cluster"]["members"])
    cpu = sum(end(n) for n in nodes.nodes)
    stores = [str(n.store) for n in nodes.nodes[1:]]
    total = data.json.loads(harness.Side([bench.program("sc-query"), "--output-items=p", "--output-format=json",
                                          *stores]).answer())["summary"]["flows"]
    if total != flows:
        raise SystemExit(f"bench: {flows} flows were sent, the cluster has {total}")
    disk = sum(harness.folder_bytes(pathlib.Path(s)) for s in stores)
    shutil.rmtree(folder)
    return Load(seconds, cpu, wire, disk)
