# SPDX-License-Identifier: BSD-3-Clause
"""A cluster on loopback addresses under load from sc-exporter, and a single collector under the same."""
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import data
import harness


@dataclasses.dataclass
class Load:
    seconds: float  # until everything is durable
    cpu: float      # of all collectors
    wire: int = 0   # bytes from the proxy to subcollectors
    disk: int = 0
    proxy_cpu: float = 0.0
    spread: float = 0.0  # flows of the busiest lane against the mean


def kit(bench):
    """The cluster tests' processes; they want to know the build."""
    os.environ["SC_BUILD"] = str(bench.build)
    folder = str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "cluster")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import cluster_kit
    cluster_kit.VERIFY = ""
    return cluster_kit


def spread(store):
    """Of the flows that the proxies' tallies call accepted: the lane with most against the mean."""
    lanes = {}
    for tally in pathlib.Path(store).rglob("*.tally"):
        for line in tally.read_text().splitlines():
            words = line.split()
            if words[0] == "lane":
                lanes[words[1]] = lanes.get(words[1], 0) + int(words[3])
    return max(lanes.values()) * len(lanes) / sum(lanes.values())


def send(bench, port, address, flows):
    done = subprocess.run([bench.program("sc-exporter"), "--generate", "--flows", str(flows), "--seed", "5", "--hosts", "3000000", "--ipv6", "19",
                           "--protocol", "ipfix", "--to", f"tcp://{address}:{port}"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: sc-exporter: {done.stderr}")


def end(node):
    node.child.terminate()
    _, status, usage = os.wait4(node.child.pid, 0)
    node.child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def cpu_of(node):
    """Seconds of CPU that a running process has used."""
    fields = pathlib.Path(f"/proc/{node.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    proxy_cpu = cpu_of(proxy)
    cpu = sum(end(n) for n in nodes.nodes)
    stores = [str(n.store) for n in nodes.nodes[1:]]
    total = data.json.loads(harness.Side([bench.program("sc-query"), "--output-items=p", "--output-format=json",
                                          *stores]).answer())["summary"]["flows"]
    if total != flows:
        raise SystemExit(f"bench: {flows} flows were sent, the cluster has {total}")
    disk = sum(harness.folder_bytes(pathlib.Path(s)) for s in stores)
    most = spread(stores[0])
    shutil.rmtree(folder)
    return Load(seconds, cpu, wire, disk, proxy_cpu, most)


# ---- what happens when something is away ----

def outbox(bench, flows):
    """Flows/s into the outbox while no subcollector is there, and out of it when both are back. (write, drain)"""
    folder = pathlib.Path(tempfile.mkdtemp(dir=bench.folder))
    module = kit(bench)
    nodes = module.Cluster(folder, 3, 2, roles=[["proxy"], ["subcollector"], ["subcollector"]], window=3600).start()
    proxy = nodes.nodes[0]
    for n in nodes.nodes[1:]:
        n.freeze()
    if not module.wait_for(lambda: proxy.usable() == []):
        raise SystemExit("bench: the proxy does not notice that all are gone")
    begin = time.perf_counter()
    send(bench, proxy.port, proxy.address, flows)
    if not module.wait_for(lambda: proxy.status()["cluster"]["proxy"]["records"] >= flows, 120):
        raise SystemExit(f"bench: the outbox did not take everything: {proxy.status()}")
    write = flows / (time.perf_counter() - begin)
    for n in nodes.nodes[1:]:
        n.thaw()
    begin = time.perf_counter()
    if not module.wait_for(lambda: proxy.waiting() == 0, 120):
        raise SystemExit(f"bench: the outbox did not drain: {proxy.status()}")
    drain = flows / (time.perf_counter() - begin)
    nodes.stop()
    shutil.rmtree(folder)
    return write, drain


def until(condition, seconds=20.0):
    """Seconds until the condition holds, looked at every 5 ms."""
    begin = time.perf_counter()
    while not condition():
        if time.perf_counter() - begin > seconds:
            raise SystemExit("bench: it did not happen")
        time.sleep(0.005)
    return time.perf_counter() - begin


def detection(bench, rounds):
    """Seconds until a proxy uses a subcollector no more, and again: killed and started, frozen and thawed."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=bench.folder))
    module = kit(bench)
    nodes = module.Cluster(folder, 3, 2, roles=[["proxy"], ["subcollector"], ["subcollector"]], window=3600).start()
    proxy, victim = nodes.nodes[:2]
    exporter = module.Exporter(proxy)
    out = {"killed": [], "started": [], "frozen": [], "thawed": []}
    everyone = proxy.usable()
    for i in range(rounds):
        exporter.send(i * 2000, 1000)
        victim.kill()
        out["killed"].append(until(lambda: victim.name not in proxy.usable()))
        exporter.send(i * 2000 + 1000, 1000)
        victim.start()
        out["started"].append(until(lambda: proxy.usable() == everyone))
        victim.freeze()
        out["frozen"].append(until(lambda: victim.name not in proxy.usable()))
        victim.thaw()
        out["thawed"].append(until(lambda: proxy.usable() == everyone))
    exporter.close()
    nodes.stop()
    shutil.rmtree(folder)
    return out
