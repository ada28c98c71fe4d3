#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""House rules that a compiler does not check. One "ok RULE" or "not ok RULE" line each, violations before it.

    tests/lint.py           the rules about text
    tests/lint.py BUILD     also those about the programs and libraries of a release build
"""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 1000
MAX_FUNCTION_LINES = 100
MAX_FILE_BYTES = 1 << 20
CODE = {".c", ".h", ".l", ".y"}
SCRIPTS = {".py", ".sh", ".awk"}
# Spelt so that this file does not trip over itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b(?!\+)|(?i:not imple" r"mented|place" r"holder)")
MACHINE_PATHS = re.compile(r"(?<![\w.$}/-])/(?:wo" r"rk|ho" r"me|ro" r"ot|Users)/\w")
PROGRAMS = ("sc-collector", "sc-query", "sc-exporter", "sc-admin")


def tree():
    """Files of the repository: tracked, and new ones that are not ignored."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP,
                            check=True, capture_output=True).stdout.decode()
    return [TOP / name for name in sorted(set(listed.split("\0"))) if name and (TOP / name).is_file()]


def text_of(path):
    data = path.read_bytes()
    return None if b"\0" in data else data.decode("utf-8", errors="replace")


class Files:
    def __init__(self):
        self.texts = {p.relative_to(TOP): t for p in tree() if (t := text_of(p)) is not None}

    def of(self, suffixes, *folders):
        for path, text in self.texts.items():
            if path.suffix in suffixes and (not folders or path.parts[0] in folders):
                yield path, text


def matches(items, pattern):
    for path, text in items:
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{path}:{number}: {line.strip()[:100]}"


def rule_spdx(files):
    for path, text in files.of(CODE | SCRIPTS):
        if not any("SPDX-License-Identifier: BSD-3-Clause" in line for line in text.splitlines()[:2]):
            yield f"{path}: the first line (the second of a script) has no SPDX licence"


def rule_file_length(files):
    for path, text in files.of(CODE | SCRIPTS, "src", "tests", "bench", "scripts", "include"):
        lines = text.count("\n")
        if lines > MAX_FILE_LINES:
            yield f"{path}: {lines} lines, more than {MAX_FILE_LINES}"


def functions(text):
    """(line, name, length) of function bodies: in this format their braces stand in the first column."""
    start, head = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            start = number
        elif start is None and re.match(r"[A-Za-z_].*\(", line):
            head = re.sub(r"\(.*", "", line).split()[-1].lstrip("*")
        elif line == "}" and start is not None:
            yield start, head, number - start + 1
            start = None


def rule_function_length(files):
    for path, text in files.of({".c", ".h"}):
        for line, name, length in functions(text):
            if length > MAX_FUNCTION_LINES:
                yield f"{path}:{line}: {name} has {length} lines, more than {MAX_FUNCTION_LINES}"


def rule_finished(files):
    yield from matches(files.of(CODE | SCRIPTS | {".md", ".txt", ".tsv"}), UNFINISHED)


def rule_no_machine_paths(files):
    everything = ((path, text) for path, text in files.texts.items())
    yield from matches(everything, MACHINE_PATHS)


def rule_no_exit(files):
    outside_cli = ((p, t) for p, t in files.of(CODE, "src") if p.parts[1] != "cli")
    yield from matches(outside_cli, re.compile(r"(?<![\w>.])(_?exit|_Exit|quick_exit|abort|assert)\s*\("))


def rule_header_guards(files):
    for path, text in files.of({".h"}, "src"):
        guard = "SC_" + "_".join(path.parts[1:]).upper().replace(".", "_").replace("-", "_")
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield f"{path}: no include guard {guard}"


def rule_prefix_of_names(files):
    """What a header of a room declares begins with sc_, what a public one declares with libsc_."""
    declared = re.compile(r"^(?!static|typedef|#|/|\s|\})[A-Za-z_][\w\s*]*?[\s*](\w+)\(")
    for path, text in files.of({".h"}, "src", "include"):
        prefix = "sc_" if path.parts[0] == "src" else "libsc_"
        for number, line in enumerate(text.splitlines(), 1):
            m = declared.match(line)
            if m and not m[1].startswith(prefix) and not m[1].isupper():
                yield f"{path}:{number}: {m[1]} has no prefix {prefix}"


def rule_tests_in_rooms(files):
    """A unit test lies in the folder of its room, or in across/: elsewhere nobody builds it."""
    for path, _ in files.of({".c"}, "tests"):
        if path.parts[1] == "unit" and path.name.startswith("test_"):
            room = path.parts[2]
            if len(path.parts) != 4 or not (room == "across" or (TOP / "src" / room).is_dir()):
                yield f"{path}: not in the folder of a room, tests/unit/ROOM/{path.name}"


def rule_no_large_files(_files):
    for path in tree():
        if path.stat().st_size > MAX_FILE_BYTES:
            yield f"{path.relative_to(TOP)}: {path.stat().st_size} bytes"


def rule_links(files):
    """Relative links of the documents lead somewhere."""
    for path, text in files.of({".md"}):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (TOP / path.parent / target).exists():
                yield f"{path}: link to {target}, which is not there"


def rule_make_targets(files):
    """`make X` in a document names a target of the Makefile."""
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    for path, text in files.of({".md"}):
        for target in re.findall(r"(?:`|^    )make ([a-z][\w-]*)", text, re.MULTILINE):
            if target not in targets:
                yield f"{path}: make {target} is no target"


# ---- rules about a build ----

def built(build):
    return [p for p in (build / "bin" / name for name in PROGRAMS) if p.exists()]


def help_of(program):
    run = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
                         check=False)
    return run.stdout + run.stderr


def long_options(text):
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]+)", text))


def rule_options_in_manual(build):
    """The options of --help and those of the manual page are the same."""
    for program in built(build):
        page = TOP / "man" / f"{program.name}.1"
        if not page.exists():
            page = TOP / "man" / f"{program.name}.8"
        if not page.exists():
            yield f"{program.name} has no page under man/"
            continue
        shown = long_options(help_of(program))
        described = long_options(page.read_text(encoding="utf-8").replace("\\-", "-").replace("Fl -", "--"))
        for option in sorted(shown - described):
            yield f"{page.name}: {option} of --help is missing"
        for option in sorted(described - shown):
            yield f"{page.name}: {option} is not in --help"


def rule_unknown_options(build):
    """An unknown option is a usage error: exit 2 with a message."""
    for program in built(build):
        run = subprocess.run([program, "--no-such-option"], capture_output=True, text=True, timeout=20,
                             stdin=subprocess.DEVNULL, check=False)
        if run.returncode != 2 or "no-such-option" not in run.stderr:
            yield f"{program.name} --no-such-option: exit {run.returncode}, stderr {run.stderr[:80]!r}"


def archives(build):
    return sorted(p for p in build.glob("libsc_*.a") if p.name != "libsc_cli.a")


def rule_no_mutable_globals(build):
    """No object of a library lies in a writable section; constants with relocations are in .data.rel.ro."""
    for archive in archives(build):
        table = subprocess.run(["objdump", "-t", archive], capture_output=True, text=True, check=True).stdout
        for line in table.splitlines():
            m = re.match(r"[0-9a-f]+ (.......) (\S+)\t([0-9a-f]+)\s+(?:\.hidden )?(\S+)", line)
            if m and "O" in m[1] and re.match(r"\.(data|bss|tdata|tbss)(?!\.rel\.ro)|\*COM\*", m[2]):
                yield f"{archive.name}: {m[4]} is mutable and global ({m[2]})"


TEXT_RULES = [rule_spdx, rule_file_length, rule_function_length, rule_finished, rule_no_machine_paths, rule_no_exit,
              rule_header_guards, rule_prefix_of_names, rule_tests_in_rooms, rule_no_large_files, rule_links,
              rule_make_targets]
BUILD_RULES = [rule_options_in_manual, rule_unknown_options, rule_no_mutable_globals]


def check(rule, argument):
    wrong = list(rule(argument))
    for line in wrong:
        print("  " + line)
    print(("not ok " if wrong else "ok ") + "lint " + rule.__name__.removeprefix("rule_").replace("_", " "), flush=True)
    return not wrong


def main():
    files = Files()
    good = [check(rule, files) for rule in TEXT_RULES]
    if len(sys.argv) > 1:
        build = pathlib.Path(sys.argv[1]).resolve()
        good += [check(rule, build) for rule in BUILD_RULES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
