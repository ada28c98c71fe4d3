#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs a suite of checks and tests, one step after another, and ends with "N passed, M failed, K skipped".

    tests/run.py SUITE [--build DIR] [--jobs N] [--only TEXT]... [--fuzz-seconds S] [--list]

Suites: check (fast), test (all that CI runs), long (nightly depth), fuzz (the fuzz targets only).
Exit: 0 when nothing failed, 1 otherwise.

Builds lie in DIR/test/{release,asan,tsan,clang}, the log of each step in DIR/test/log/. Tests are found by their names:

    tests/unit/ROOM/test_*.c      cmocka, a process for each file, under ASan and UBSan; those of CONCURRENT under TSan too. The
                                  program is unit_ROOM, the step "asan ROOM/test_X": --only "asan ROOM", --only test_X
    tests/conformance/compare.py  the decoder against captures; test_*.py: real peers
    tests/fault/test_*.py         injected faults, crashes, bad input
    tests/cluster/test_*.py       several nodes
    tests/fuzz/fuzz_*.c           libFuzzer targets; seeds in tests/fuzz/seeds/TARGET/ or tests/fuzz/corpus/TARGET/

A Python test runs with the environment below and prints one line per fact: "ok NAME", "not ok NAME" or
"skip NAME REASON". Exit status 77 skips it whole; another one than 0, no such line at all, or a time-out is a failure.
It may say what it needs in a comment among its first lines: "# run: build=release limit=120" (the build that SC_BUILD
names, asan unless told otherwise; seconds, 900 unless told otherwise). "rounds=1": the suite long runs it that often at most.
"beside=any": it mostly waits, and minds no load: it runs beside others that say so, and beside clang-tidy and a build, which
get the time that nobody else wants. "beside=quiet": it mostly waits, but measures times: it runs beside its like only. Either
has a network of its own then, in which only lo is up, so that ports and what is counted of them are its own; where the machine
gives none, it runs alone, as all do that say neither.

    SC_BUILD    the build directory, absolute; the programs are in $SC_BUILD/bin
    SC_LONG     "1" in the suite long, else unset
    TMPDIR      an empty folder, deleted after the step
"""
import argparse
import concurrent.futures
import dataclasses
import fnmatch
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
CONCURRENT = ("base/test_shared", "collect/*", "forward/*", "net/test_dial", "relay/*", "daemon/*", "group/test_spill", "query/test_parallel", "source/test_copies",
              "libsc/test_reader", "cluster/test_muster", "cluster/test_reduce", "cluster/test_listing", "cluster/test_nomem")
ONE_THREAD = ("relay/test_dispatch",)  # a long walk of one thread: the suite long alone runs it under TSan
WAITING = ("collect/test_receiver", "relay/test_lane_store", "collect/test_storer", "cluster/test_job", "daemon/test_control",
           "relay/test_lane_news", "relay/test_lane_heal", "relay/test_heal_model", "relay/test_healer", "collect/test_keeper", "forward/*", "cluster/test_ask", "relay/test_handover")  # for the clock: no core
NOT_IN_CHECK = ("store/test_fault",)  # a minute long: every operation of the store fails once
LIMIT_S = 900
SKIPPED = 77  # exit status of a test that cannot run here
FOUND = 1  # of a fuzz target that found something: libFuzzer's own choice is 77, too
CAPTURE_CASES = 87  # docs/conformance.md
SHOWN_LINES = 25
ERROR_LINE = re.compile(r"\berror:|^E(rror)?:|[a-zA-Z]Sanitizer:|runtime error:|^not ok|^  \S+: |Traceback|Error: ")


@dataclasses.dataclass
class Step:
    name: str
    command: list
    limit: int = LIMIT_S
    counts: str = "self"  # "self": the step is one test; "lines": its ok/not ok lines are; "cases": compare.py's
    env: dict = dataclasses.field(default_factory=dict)
    memory: bool = False  # its TMPDIR may lie in memory: it tests no disk
    optional_tool: str = ""  # the step is skipped where this program is missing
    tests: int = 1  # how many tests are skipped when the step is
    spare: bool = False  # it runs beside the other steps of its group, in the time that they leave


@dataclasses.dataclass
class Outcome:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list = dataclasses.field(default_factory=list)  # what to show of a step that failed or skipped


def count_lines(text):
    """Counts TAP-like result lines; cmocka's and ours."""
    out = Outcome()
    planned = None
    for line in text.splitlines():
        plan = re.match(r"1\.\.(\d+)\s*$", line)
        if plan:
            planned = (planned or 0) + int(plan[1])
        elif re.match(r"skip\b|(not )?ok\b.*#\s*SKIP\b", line, re.IGNORECASE):
            out.skipped += 1
            out.notes.append(line)
        elif re.match(r"ok\b", line):
            out.passed += 1
        elif re.match(r"not ok\b", line):
            out.failed += 1
            out.notes.append(line)
    seen = out.passed + out.failed + out.skipped
    if planned is not None and seen < planned:
        out.failed += 1
        out.notes.append(f"{planned} tests were planned, {seen} reported")
    elif seen == 0:
        out.failed += 1
        out.notes.append("no test reported a result")
    return out


def count_cases(text):
    """Counts the lines of compare.py -v: "CASE: N records, ok" or "..., N problems"."""
    verdicts = re.findall(r"^(\S+): \d+ records, (ok|\d+ problems)$", text, re.MULTILINE)
    out = Outcome(passed=sum(v == "ok" for _, v in verdicts))
    out.notes = [f"{case}: {verdict}" for case, verdict in verdicts if verdict != "ok"]
    out.failed = len(out.notes)
    if not verdicts:
        out.failed = 1
        out.notes = ["no case reported a result"]
    return out


def telling_lines(log):
    """What to show of a failed step: the lines that speak of errors, and the last ones."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    errors = list(dict.fromkeys(line for before, line in zip([""] + lines, lines)
                                if ERROR_LINE.search(line) or (before.startswith("not ok") and line.startswith("  "))))
    return errors[:SHOWN_LINES] if errors else lines[-SHOWN_LINES:]


def memory_folder():
    """/dev/shm where it has room: hundreds of syncs take no time there. None: the usual place."""
    shared = pathlib.Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > 2 << 30 else None


class Runner:
    def __init__(self, build, jobs):
        self.build = build
        self.work = build / "test"
        self.logs = self.work / "log"
        self.jobs = jobs
        self.total = Outcome()
        self.failed_steps = []
        self.lock = threading.Lock()
        self.running = set()
        self.started = 0
        self.planned = 0
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)

    def log_of(self, step):
        return self.logs / (re.sub(r"[^\w.-]+", "-", step.name) + ".log")

    def execute(self, step, log):
        """Runs the command to its end or its limit. Returns (exit status or None on time-out, text)."""
        scratch = tempfile.mkdtemp(prefix="sct-", dir=memory_folder() if step.memory else None)
        env = {**os.environ, "TMPDIR": scratch, **step.env}
        for variable in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            env.pop(variable, None)
        with open(log, "wb") as out:
            try:
                child = subprocess.Popen(step.command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                         stderr=subprocess.STDOUT, start_new_session=True)
            except OSError as error:
                out.write(f"{step.command[0]}: {error.strerror}\n".encode())
                return 127, ""
            with self.lock:
                self.running.add(child.pid)
            try:
                status = child.wait(step.limit)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                self.end_group(child)
                with self.lock:
                    self.running.discard(child.pid)
        shutil.rmtree(scratch, ignore_errors=True)
        return status, log.read_text(encoding="utf-8", errors="replace")

    @staticmethod
    def end_group(child):
        """Ends what the step left behind: its own process group, no other."""
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()

    def judge(self, step, status, text):
        if status == SKIPPED:
            return Outcome(skipped=step.tests, notes=text.splitlines()[-1:])
        if step.counts == "self":
            out = Outcome(passed=1) if status == 0 else Outcome(failed=1)
        else:
            out = count_cases(text) if step.counts == "cases" else count_lines(text)
        if status is None:
            out.failed += step.counts != "self"
            out.notes.append(f"stopped after {step.limit} s")
        elif status != 0 and out.failed == 0:
            out.failed += 1
            out.notes.append(f"exit status {status}" if status > 0 else f"killed by signal {-status}")
        return out

    def run(self, step):
        begin = time.monotonic()
        tool = step.optional_tool
        if tool and shutil.which(tool) is None:
            out = Outcome(skipped=1, notes=[f"skip {step.name}: {tool} is not installed"])
        else:
            out = self.judge(step, *self.execute(step, self.log_of(step)))
        self.report(step, out, time.monotonic() - begin)
        return out.failed == 0

    def report(self, step, out, seconds):
        with self.lock:
            self.started += 1
            verdict = "FAILED" if out.failed else "ok"
            if step.counts != "self":
                verdict = f"{'FAILED: ' if out.failed else ''}{out.passed} passed"
                verdict += f", {out.failed} failed" if out.failed else ""
            verdict += f", {out.skipped} skipped" if out.skipped else ""
            print(f"[{self.started:3}/{self.planned}] {step.name:<44} {seconds:7.1f} s  {verdict}", flush=True)
            for line in out.notes[:SHOWN_LINES]:
                print("          " + line)
            if out.failed:
                self.show_failure(step)
            self.total.passed += out.passed
            self.total.failed += out.failed
            self.total.skipped += out.skipped

    def show_failure(self, step):
        log = self.log_of(step)
        for line in telling_lines(log):
            print("        | " + line[:200])
        print(f"          log: {log}", flush=True)
        self.failed_steps.append((step.name, log))

    def run_group(self, steps):
        """Steps that may run side by side; two of those that use spare time, or wait, beside the others."""
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool, concurrent.futures.ThreadPoolExecutor(2) as spare:
            done = [(spare if step.spare else pool).submit(self.run, step) for step in steps]
            return all([d.result() for d in done])

    def stop(self):
        with self.lock:
            for pid in self.running:
                try:
                    os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def finish(self, seconds):
        if self.failed_steps:
            print("\nfailed steps:")
            for name, log in self.failed_steps:
                print(f"  {name}: {log}")
        print(f"\ntook {int(seconds) // 60} min {int(seconds) % 60} s")
        print(f"{self.total.passed} passed, {self.total.failed} failed, {self.total.skipped} skipped", flush=True)
        return 1 if self.total.failed else 0


# ---- the steps ----

BUILDS = {
    "release": ["-DSC_WERROR=ON", "-DSC_BENCH=ON", "-DSC_UNIT=OFF"],
    "asan": ["-DSC_WERROR=ON", "-DSC_SANITIZE=address"],
    "tsan": ["-DSC_WERROR=ON", "-DSC_SANITIZE=thread"],
    "clang": ["-DSC_WERROR=ON", "-DSC_SANITIZE=address", "-DSC_FUZZ=ON", "-DSC_TESTS=OFF", "-DCMAKE_C_COMPILER=clang"],
}
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def sources(*patterns, folder="src"):
    return sorted(str(p.relative_to(TOP)) for pattern in patterns for p in (TOP / folder).rglob(pattern))


def format_step():
    files = [f for folder in ("src", "tests", "include", "bench") for f in sources("*.c", "*.h", folder=folder)]
    return Step("format", ["clang-format-14", "--dry-run", "--Werror", *files], optional_tool="clang-format-14")


def text_steps():
    return [format_step(), Step("layers", [sys.executable, "scripts/check-layers.py"]),
            Step("circles", [sys.executable, "scripts/check-circles.py"]),
            Step("house rules", [sys.executable, "tests/lint.py"], counts="lines")]


def build_step(args, kind, targets=()):
    folder = args.work / kind
    configure = ["cmake", "-S", str(TOP), "-B", str(folder), *BUILDS[kind]]
    build = ["cmake", "--build", str(folder), "-j", str(args.jobs)]
    if targets:
        build += ["--target", *targets]
    return Step(f"build {kind}", [sys.executable, __file__, "--chain", *configure, "--then", *build], limit=900)


def tidy_step(args):
    database = args.work / "release"
    return Step("clang-tidy", ["run-clang-tidy-14", "-quiet", "-p", str(database), "-j", str(args.jobs),
                               re.escape(str(TOP / "src")) + "/.*"], limit=900, optional_tool="run-clang-tidy-14")


def lint_programs_step(args):
    return Step("programs", [sys.executable, "tests/lint.py", str(args.work / "release")], counts="lines")


def unit_names():
    """ROOM/test_X of each file of unit tests."""
    return [f"{p.parent.name}/{p.stem}" for p in sorted((TOP / "tests" / "unit").glob("*/test_*.c"))]


def unit_program(name):
    return "unit_" + name.split("/")[0]


def is_one_of(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def concurrent_names(everything=False):
    return [n for n in unit_names() if everything or (is_one_of(n, CONCURRENT) and n not in ONE_THREAD)]


def unit_steps(args, kind, names):
    env = {**SANITIZERS, "CMOCKA_MESSAGE_OUTPUT": "tap"}
    # TSan's shadow does not fit everywhere that address space randomisation puts things.
    wrapper = ["setarch", "-R"] if kind == "tsan" and works(["setarch", "-R", "true"]) else []
    return [Step(f"{kind} {name}", [*wrapper, str(args.work / kind / "tests" / unit_program(name)), name.split("/")[1]],
                 counts="lines", env=env, memory=True, spare=is_one_of(name, WAITING)) for name in names]


def works(command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def in_spare_time(step):
    """It gets what others leave: beside two busy cores that is little."""
    return dataclasses.replace(step, command=["nice", "-n", "19", *step.command], limit=4 * step.limit, spare=True)


OWN_NETWORK = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def directive(path):
    head = "\n".join(path.read_text(encoding="utf-8").splitlines()[:12])
    line = re.search(r"^# run:(.*)$", head, re.MULTILINE)
    return dict(word.split("=", 1) for word in line[1].split()) if line else {}


def python_steps(args, folder, rounds=1):
    """The steps by what they may run beside: {"any", "quiet" or "": [Step]}."""
    steps = {"any": [], "quiet": [], "": []}
    for path in sorted((TOP / "tests" / folder).glob("test_*.py")):
        wish = directive(path)
        env = {**SANITIZERS, "SC_BUILD": str(args.work / wish.get("build", "asan")), "PYTHONDONTWRITEBYTECODE": "1"}
        limit = int(wish.get("limit", LIMIT_S))
        if args.suite == "long":
            env["SC_LONG"] = "1"
            limit *= 10
        beside = wish.get("beside", "") if args.own_network else ""
        command = [*(OWN_NETWORK if beside else []), sys.executable, str(path)]
        times = min(rounds, int(wish.get("rounds", rounds)))
        for number in range(times):
            name = f"{folder}/{path.name}" + (f" round {number + 1}" if times > 1 else "")
            steps[beside].append(Step(name, command, limit=limit, counts="lines", env=env))
    return steps


def python_groups(args, rounds, spare):
    """All Python tests; the steps `spare` run beside those that mind no load."""
    kinds = [python_steps(args, folder, rounds) for folder in ("conformance", "fault", "cluster")]
    together = {beside: [step for kind in kinds for step in kind[beside]] for beside in kinds[0]}
    for steps in together.values():
        steps.sort(key=lambda step: -step.limit)  # the long ones first: no core waits for the last one
    return [[*map(in_spare_time, spare), *together["any"]], together["quiet"], *together[""]]


def capture_steps(args):
    """The decoder against the expectations beside real captures."""
    compare = TOP / "tests" / "conformance" / "compare.py"
    command = [sys.executable, str(compare), "-v", "--dump", str(args.work / "asan" / "tests" / "decode_dump")]
    return [Step("conformance/compare.py", command, counts="cases", tests=CAPTURE_CASES, env=SANITIZERS)]


def fuzz_steps(args, seconds):
    steps = []
    for path in sorted((TOP / "tests" / "fuzz").glob("fuzz_*.c")):
        found = args.work / "fuzz" / path.stem
        found.mkdir(parents=True, exist_ok=True)
        seeds = [str(d) for d in (TOP / "tests/fuzz/seeds" / path.stem, TOP / "tests/fuzz/corpus" / path.stem)
                 if d.is_dir()]
        command = [str(args.work / "clang" / "fuzz" / path.stem), f"-max_total_time={seconds}", "-timeout=20",
                   "-rss_limit_mb=2048", "-print_final_stats=1", f"-error_exitcode={FOUND}", f"-artifact_prefix={found}/crash-",
                   str(found), *seeds]
        steps.append(Step(f"fuzz {path.stem} {seconds} s", command, limit=seconds + 120, env=SANITIZERS))
    return steps


def demo_steps(args):
    steps = [Step("demo", ["sh", "scripts/demo.sh", str(args.work / "release")], limit=180)]
    if os.geteuid() == 0 and works(["unshare", "--net", "true"]):
        steps.append(Step("demo-cluster", ["sh", "scripts/demo-cluster.sh", str(args.work / "release")], limit=180))
    return steps


def suite_check(args):
    names = [name for name in unit_names() if name not in NOT_IN_CHECK]
    return [*text_steps(), build_step(args, "asan"), unit_steps(args, "asan", names)]


def suite_fuzz(args):
    return [build_step(args, "clang"), fuzz_steps(args, args.fuzz_seconds or 600)]


def suite_test(args, rounds=1, fuzz_seconds=10, everything=False):
    names = concurrent_names(everything)
    steps = [*text_steps(), build_step(args, "release"), lint_programs_step(args)]
    steps += [build_step(args, "asan"), unit_steps(args, "asan", unit_names())]
    if names:
        steps += [build_step(args, "tsan", sorted({unit_program(n) for n in names})), unit_steps(args, "tsan", names)]
    steps += capture_steps(args)
    steps += python_groups(args, rounds, [tidy_step(args), build_step(args, "clang")])
    if (TOP / "scripts" / "demo.sh").exists():
        steps += demo_steps(args)
    return [*steps, fuzz_steps(args, args.fuzz_seconds or fuzz_seconds)]


def suite_long(args):
    return suite_test(args, rounds=5, fuzz_seconds=120, everything=True)


SUITES = {"check": suite_check, "test": suite_test, "long": suite_long, "fuzz": suite_fuzz}


def chain(words):
    """Runs commands separated by --then until one fails."""
    while words:
        end = words.index("--then") if "--then" in words else len(words)
        print("$", " ".join(words[:end]), flush=True)
        status = subprocess.run(words[:end], check=False).returncode
        if status != 0:
            return status if status > 0 else 128 - status
        words = words[end + 1:]
    return 0


def parse_arguments():
    parser = argparse.ArgumentParser(description="Runs a suite of checks and tests.")
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--build", default="build", help="build directory (default: build)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--only", action="append", metavar="TEXT", help="only the steps whose name contains TEXT")
    parser.add_argument("--fuzz-seconds", type=int, metavar="S", help="time per fuzz target")
    parser.add_argument("--list", action="store_true", help="print the steps, run nothing")
    args = parser.parse_args()
    args.build = (TOP / args.build).resolve()
    args.work = args.build / "test"
    args.own_network = works([*OWN_NETWORK, "true"])
    return args


def select(groups, only):
    """Every entry as a list of steps; with --only just those that match, and the builds."""
    lists = [[g] if isinstance(g, Step) else g for g in groups]
    if only:
        lists = [[s for s in steps if any(text in s.name for text in only)] for steps in lists]
    return [steps for steps in lists if steps]


def main():
    if sys.argv[1:2] == ["--chain"]:
        return chain(sys.argv[2:])
    args = parse_arguments()
    groups = select(SUITES[args.suite](args), args.only)
    if args.list:
        print("\n".join(step.name for steps in groups for step in steps))
        return 0
    begin = time.monotonic()
    runner = Runner(args.build, args.jobs)
    runner.planned = sum(len(steps) for steps in groups)
    try:
        for steps in groups:
            runner.run_group(steps)
    except KeyboardInterrupt:
        runner.stop()
        print("\ninterrupted", file=sys.stderr)
        os._exit(130)
    return runner.finish(time.monotonic() - begin)


if __name__ == "__main__":
    sys.exit(main())
