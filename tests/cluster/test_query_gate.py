# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=120 beside=any
"""contrib/ssh/sc-query-gate: what sc-query --cluster asks for passes as it was, all else is refused and runs nothing."""
import os
import pathlib
import subprocess
import tempfile

import cluster_kit as kit

GATE = pathlib.Path(__file__).resolve().parent.parent.parent / "contrib" / "ssh" / "sc-query-gate"

# As Open MPI 4.1 builds it, with what cluster/launch.c sets.
LAUNCH = (' orted --daemonize -mca ess "env" -mca ess_base_jobid "258342912" -mca ess_base_vpid 1 -mca ess_base_num_procs "3" '
          '-mca orte_node_regex "vm,[1:0].0.0.2,[1:0].0.0.3@0(3)" '
          '-mca orte_hnp_uri "258342912.0;tcp://192.0.2.2:23001,23002;tcp6://[fd00::2]:23003" --mca plm_rsh_no_tree_spawn "1" '
          '--mca btl "tcp,self" --mca pml "ob1" --mca orte_base_help_aggregate "0" '
          '--mca oob_tcp_dynamic_ipv4_ports "23001,23002" --mca oob_tcp_dynamic_ipv6_ports "23001,23002" '
          '--mca btl_tcp_port_min_v4 "23500" --mca btl_tcp_port_range_v4 "500" --mca btl_tcp_port_min_v6 "23500" '
          '--mca btl_tcp_port_range_v6 "500" -mca plm "rsh" -mca plm_rsh_agent "/p/sc-query-guard --reach ,192.0.2.1,fd77%3A%3A11,%25 ssh -i /k/key -o BatchMode=yes" '
          '--mca odls_base_sigkill_timeout "0" -mca rmaps_base_oversubscribe "1" -mca hwloc_base_binding_policy "none" -mca pmix "^s1,s2,cray,isolated"')
PAIR = ' -mca {} "{}"'

HOSTILE = {
    "nothing": "",
    "blanks": "   ",
    "a shell": "sh -c id",
    "another program": "/usr/bin/id",
    "a program behind": LAUNCH + "; id",
    "a program behind a pipe": LAUNCH + " | id",
    "a program in the background": LAUNCH + " & id",
    "a line behind": LAUNCH + "\nid",
    "a line before": "id\n" + LAUNCH,
    "a substitution": LAUNCH + PAIR.format("btl", "$(id)"),
    "backquotes": LAUNCH + PAIR.format("btl", "`id`"),
    "a variable": LAUNCH + PAIR.format("btl", "$HOME"),
    "a backslash": LAUNCH + " \\x",
    "a redirection": LAUNCH + " > /tmp/x",
    "a pattern": LAUNCH + " /tmp/*",
    "a variable before it": "PATH=/tmp:/bin orted --daemonize",
    "orted by path": LAUNCH.replace("orted", "/tmp/orted", 1),
    "something like orted": LAUNCH.replace("orted", "orted2", 1),
    "an open quotation": LAUNCH + ' -mca btl "tcp',
    "words without a blank": LAUNCH + ' -mca btl "tcp,self""x"',
    "a quotation within a word": LAUNCH + " -mca btl tcp,se\"lf",
    "a parameter that loads code": LAUNCH + PAIR.format("mca_base_component_path", "/tmp"),
    "a parameter that reads a file": LAUNCH + PAIR.format("mca_base_param_files", "/tmp/x"),
    "a parameter that runs a program": LAUNCH + PAIR.format("orte_fork_agent", "/tmp/x"),
    "another launcher": LAUNCH + PAIR.format("plm", "slurm"),
    "a value of a known parameter": LAUNCH + PAIR.format("btl_tcp_port_min_v4", "23500 -x"),
    "a pattern as a value": LAUNCH + PAIR.format("pmix", "^s1,s2,cray"),
    "an address that is none": LAUNCH + PAIR.format("orte_hnp_uri", "file:/tmp/x"),
    "an option": LAUNCH + " --prefix /tmp",
    "a parameter without a value": LAUNCH + " -mca btl",
    "a parameter without a name": LAUNCH + " -mca",
    "the program with an option": "{rank} --supervised --node a -- -l 1 /etc",
    "the program with a word more": "{rank} --version x",
    "the program alone": "{rank}",
    "the program by name": "sc-query-rank --version",
}


def main():
    with tempfile.TemporaryDirectory() as folder:
        bin_folder = pathlib.Path(folder, "bin")
        bin_folder.mkdir()
        ran = pathlib.Path(folder, "ran")
        for name in ("orted", "sc-query-rank", "sc-query-guard", "id"):
            program = bin_folder / name
            program.write_text(f'#!/bin/sh\nfor w in "$0" "$@"; do printf "%s\\n" "$w"; done >> {ran}\n')
            program.chmod(0o755)
        rank = bin_folder / "sc-query-rank"
        env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}

        def run(command, *words):
            ran.unlink(missing_ok=True)
            done = subprocess.run([str(GATE), *(words or [str(rank)])], env={**env, "SSH_ORIGINAL_COMMAND": command},
                                  cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            return done, ran.read_text().splitlines() if ran.exists() else []

        done, words = run(LAUNCH)
        kit.check("gate: the daemon is started", done.returncode == 0 and words[:2] == [str(bin_folder / "orted"), "--daemonize"],
                  (done, words))
        kit.check("gate: with the parameters that were asked for",
                  all(x in words for x in ("258342912.0;tcp://192.0.2.2:23001,23002;tcp6://[fd00::2]:23003",
                                           "vm,[1:0].0.0.2,[1:0].0.0.3@0(3)", "^s1,s2,cray,isolated", "tcp,self")), words)
        kit.check("gate: but starts no daemons itself, and one program only",
                  words[-6:] == ["-mca", "plm_rsh_agent", "false", "-mca", "orte_fork_agent", f"{GATE} --run {rank}"], words)
        done, words = run(f"{rank} --version")
        kit.check("gate: the program tells its version", done.returncode == 0 and words == [str(rank), "--version"], (done, words))
        guard = bin_folder / "sc-query-guard"
        done, words = run("", "--run", str(rank), str(guard), str(rank), "--node", "a b", "--", "-f", "$(id); *")
        kit.check("gate: the daemon starts the program under its guard, its words as they are",
                  words == [str(guard), str(rank), "--node", "a b", "--", "-f", "$(id); *"], (done, words))
        for what, started in (("another program", ["/bin/sh"]), ("none", []), ("the program without the guard", [rank]),
                              ("another program under the guard", [guard, "/bin/sh"]), ("the guard alone", [guard]),
                              ("another guard", ["/tmp/sc-query-guard", rank]), ("the guard as ssh", [guard, "--reach", "", "/bin/sh"])):
            done, words = run("", "--run", str(rank), *map(str, started))
            kit.check(f"gate: the daemon starts {what}: refused", done.returncode == 126 and words == [], (done, words))
        for what, command in HOSTILE.items():
            done, words = run(command.replace("{rank}", str(rank)))
            kit.check(f"gate: {what}: refused", done.returncode == 126 and words == [] and
                      done.stderr.startswith("sc-query-gate: refused: ") and done.stderr.count("\n") == 1, (done, words))


main()
raise SystemExit(kit.FAILED != 0)
