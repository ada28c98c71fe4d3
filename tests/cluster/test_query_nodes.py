# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=120
"""What a query over all nodes says of itself: who took part, what was read, how far it is. The nodes are folders of this machine,
and a script stands in for ssh: it runs what it is given here, or fails as a machine that is down does. On one machine Open MPI's
daemons cannot have the same ports, so that parameter is cut out; nor the same folder for what is temporary. They do not start where lo
is the only network: so not beside others."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import cluster_kit as kit

BIN = kit.BUILD / "bin"
FLOWS = {"alpha": 3000, "beta": 5000, "gamma": 7000}
HOSTS = {name: f"198.51.100.{i + 1}" for i, name in enumerate(FLOWS)}
SSH = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    -o) shift 2 ;;
    -*) shift ;;
    *) break ;;
    esac
done
case " $DOWN " in
*" $1 "*) echo "ssh: connect to host $1: No route to host" >&2; exit 255 ;;
esac
own=$STANDIN/$1.tmp
mkdir -p "$own"
shift
exec env -i PATH="$PATH" HOME="$HOME" TMPDIR="$own" sh -c "$(printf '%s' "$*" | sed 's/--mca oob_tcp_dynamic_ipv[46]_ports "[0-9,]*"//g')"
"""


def make_stores(folder):
    for seed, (name, flows) in enumerate(FLOWS.items()):
        capture = folder / f"{name}.pcap"
        for command in ([BIN / "sc-exporter", "--generate", "--flows", str(flows), "--seed", str(seed + 1), "--start", "2026-01-01",
                         "--write", capture], [BIN / "sc-collector", "--store", folder / name, "--read", capture]):
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    members = "".join(f"  - {{name: {n}, address: '{a}:4741', roles: [subcollector]}}\n" for n, a in HOSTS.items())
    (folder / "cluster.yaml").write_text("version: 1\nreplication: 1\nmembers:\n" + members)
    (folder / "ssh").write_text(SSH)
    (folder / "ssh").chmod(0o755)


def query(folder, *options, down=()):
    env = {**os.environ, "SC_SSH": str(folder / "ssh"), "DOWN": " ".join(HOSTS[n] for n in down),
           "STANDIN": str(folder)}
    return subprocess.run([str(BIN / "sc-query"), f"--cluster={folder / 'cluster.yaml'}", *options, str(folder / "%n")],
                          env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)


def healthy(folder):
    done = query(folder, "--output-format=json", "--output-items=p")
    answer = json.loads(done.stdout)
    cluster = answer["cluster"]
    nodes = {n["name"]: n for n in cluster["nodes"]}
    kit.check("nodes: complete, all answered at the first attempt, in one round",
              done.returncode == 0 and answer["complete"] and (cluster["asked"], cluster["answered"], cluster["attempts"],
                                                               cluster["rounds"]) == (3, 3, 1, 1), done)
    kit.check("nodes: each says how many records it had, and they add up",
              {n: v["records"] for n, v in nodes.items()} == FLOWS and answer["summary"]["records"] == sum(FLOWS.values()), nodes)
    kit.check("nodes: each says what it read", all(v["rows_read"] == FLOWS[n] and v["bytes_read"] > 0 and v["row_groups"] > 0 and
                                                   v["batches"]["home"] > 0 and v["batches"]["replica"] == 0 and
                                                   v["answered"] and v["version"] for n, v in nodes.items()), nodes)
    kit.check("nodes: home batches of all are the sum", cluster["batches"]["home"] ==
              sum(v["batches"]["home"] for v in nodes.values()), cluster)
    done = query(folder, "--output-items=p")
    kit.check("nodes: pretty ends with one line", done.stdout.endswith("seconds\n3 of 3 nodes answered\n"), done)
    done = query(folder, "-s", "proto", "--output-format=ndjson", "--output-items=r,p")
    last = json.loads(done.stdout.splitlines()[-1])
    kit.check("nodes: the last line of ndjson has them", last["cluster"]["answered"] == 3, done)
    done = query(folder, "-s", "proto", "--output-format=csv")
    kit.check("nodes: csv is records only", "answered" not in done.stdout and done.returncode == 0, done)


def one_is_down(folder):
    done = query(folder, "--output-format=json", "--output-items=p", down=["beta"])
    answer = json.loads(done.stdout)
    nodes = {n["name"]: n for n in answer["cluster"]["nodes"]}
    kit.check("down: no proxy tells what there ought to be, so the answer is partial", done.returncode == 3 and
              not answer["complete"] and answer["summary"]["records"] == FLOWS["alpha"] + FLOWS["gamma"], done)
    kit.check("down: the node and the reason are named", not nodes["beta"]["answered"] and
              "No route to host" in nodes["beta"]["problem"] and answer["cluster"]["answered"] == 2, nodes)
    kit.check("down: it is no damage", answer["damage"] == [], answer)
    kit.check("down: it took a second attempt", answer["cluster"]["attempts"] == 2, answer["cluster"])
    kit.check("down: and stderr has a line", f"sc-query: node beta takes no part: ssh: connect to host {HOSTS['beta']}: No route"
              in done.stderr, done)
    done = query(folder, "--output-items=p", down=["beta"])
    kit.check("down: pretty says so in its last lines", "2 of 3 nodes answered" in done.stdout.splitlines()[-2] and
              done.stdout.splitlines()[-1].startswith("node beta takes no part: ssh: connect"), done)
    done = query(folder, "--output-format=json", "--output-items=p", down=list(HOSTS))
    kit.check("down: of nobody nothing comes", done.returncode == 1 and done.stdout == "" and
              all(f"node {n}: ssh: connect to host" in done.stderr for n in HOSTS), done)


def progress(folder):
    place = folder / "progress.json"
    done = query(folder, "-s", "srcip", "--progress-bar-type=json", f"--progress-bar-dest={place}")
    told = json.loads(place.read_text())
    kit.check("progress: at the end all of all nodes is read", done.returncode == 0 and told["percent"] == 100 and
              told["rows"] == sum(FLOWS.values()) and told["bytes"] > 0 and
              {n["name"]: n["rows"] for n in told["nodes"]} == FLOWS and
              all(n["phase"] == "end" and n["done"] == n["total"] > 0 for n in told["nodes"]), told)
    query(folder, "-s", "srcip", "--progress-bar-type=nodes", f"--progress-bar-dest={place}")
    lines = place.read_text().splitlines()
    kit.check("progress: a line for each node", [line.split()[0] for line in lines] == list(FLOWS) and
              all("100 %" in line for line in lines), lines)
    done = subprocess.run([BIN / "sc-query", "--output-items=p", "--progress-bar-type=json", f"--progress-bar-dest={place}",
                           folder / "gamma"], check=False, capture_output=True)
    told = json.loads(place.read_text())
    kit.check("progress: without a cluster too", told["rows"] == FLOWS["gamma"] and "nodes" not in told, told)


def programs():
    """Only the rank has MPI; ldd lists what the libraries need too."""
    needed = {p: subprocess.run(["ldd", BIN / p], check=True, capture_output=True, text=True).stdout
              for p in ("sc-query", "sc-query-rank")}
    kit.check("programs: sc-query has no MPI", not any(x in needed["sc-query"] for x in ("libmpi", "libopen-rte", "libmpich")),
              needed["sc-query"])
    kit.check("programs: its rank has", "libmpi" in needed["sc-query-rank"], needed["sc-query-rank"])
    env = {**os.environ, "PMI_RANK": "0", "PMI_SIZE": "2"}  # what another mpiexec sets, which this MPI does not know
    env.pop("OMPI_COMM_WORLD_SIZE", None)
    done = subprocess.run([BIN / "sc-query-rank", "--", "--output-items=p", "/nonexistent"], env=env, check=False, text=True,
                          capture_output=True, timeout=60)
    kit.check("programs: a rank that another MPI started says so", done.returncode == 2 and "not of the MPI" in done.stderr, done)


def broken(folder):
    """One clear line for each."""
    def ask(program, **env):
        done = subprocess.run([program, f"--cluster={folder / 'cluster.yaml'}", "--output-items=p", folder / "%n"], check=False,
                              capture_output=True, text=True, timeout=60, env={**os.environ, "SC_SSH": str(folder / "ssh"), "STANDIN": str(folder), **env})
        return done, done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    alone = folder / "sc-query"
    shutil.copy(BIN / "sc-query", alone)
    done, good = ask(alone)
    kit.check("broken: no rank program beside sc-query", good and f"cannot run {folder}/sc-query-rank: No such" in done.stderr, done)
    odd = folder / "a;b c"
    odd.mkdir()
    for program in ("sc-query", "sc-query-rank"):
        shutil.copy(BIN / program, odd / program)
    done, good = ask(odd / "sc-query")
    kit.check("broken: a path that a shell would read otherwise", good and "';' in its path" in done.stderr, done)
    done, good = ask(BIN / "sc-query", SC_MPIEXEC="/nonexistent/mpiexec")
    kit.check("broken: no mpiexec", good and "/nonexistent/mpiexec" in done.stderr and "Open MPI" in done.stderr, done)
    (folder / "none.yaml").write_text("version: 1\nreplication: 1\nmembers:\n"
                                      "  - {name: p, address: '198.51.100.9:4741', roles: [proxy]}\n")
    done = subprocess.run([BIN / "sc-query", f"--cluster={folder / 'none.yaml'}"], check=False, capture_output=True, text=True)
    kit.check("broken: a cluster that stores nothing", done.returncode == 2 and "subcollector" in done.stderr, done)


def main():
    programs()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_stores(folder)
        healthy(folder)
        one_is_down(folder)
        progress(folder)
        broken(folder)


main()
raise SystemExit(kit.FAILED != 0)
