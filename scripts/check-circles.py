#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Refuses circles between the files of a room under src/: files that need each other, directly or round several.

What needs what is read as text. A unit is FILE.c with its FILE.h; a header whose functions several files define is the interface
of these and a unit of its own, and so is a scanner or a grammar. A unit needs another one whose header it includes, or that
defines an sc_ function which it names in code. Rooms that may have circles are listed below the table of docs/architecture.md.

Prints the arrows of each circle and exits 1 when there is any, 2 when the list cannot be read.
"""
import collections
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
TABLE = TOP / "docs" / "architecture.md"
EXCEPTIONS = re.compile(r"^Rooms with circles of files: (.*)\.$", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*"(\w+)/([^"]+)"', re.MULTILINE)
# Not code: remarks, texts, lines of the preprocessor, and tags, which may be spelt as a function is.
NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^[ \t]*#(?:\\\n|[^\n])*'
                     r'|\b(?:struct|enum|union)\s+\w+', re.DOTALL | re.MULTILINE)
FUNCTION = re.compile(r"^(?!static (?!inline))(?!typedef)[a-z][\w \t\n*]*?\b(sc_\w+)\([^;{}]*\)(?:\s*__attribute__[^;{]*)?\s*([;{])",
                      re.MULTILINE)


class File:
    def __init__(self, path):
        text = path.read_text(encoding="utf-8", errors="replace")
        code = NO_CODE.sub(lambda m: "tag" if m[0][:1].isalpha() else " ", text)
        self.path, self.includes = path, INCLUDE.findall(text)
        found = [(m[1], m[2]) for m in FUNCTION.finditer(code)]
        self.declares = {name for name, end in found if end == ";"}
        self.defines = {name for name, end in found if end == "{"}
        self.names = set(re.findall(r"\bsc_\w+", inside_braces(code)))


def inside_braces(code):
    depth, out = 0, []
    for piece in re.split(r"([{}])", code):
        depth += (piece == "{") - (piece == "}")
        out.append(piece if depth else " ")
    return "".join(out)


def units_of(files):
    """The unit of each file, by the file's name."""
    definer = {name: file.path.name for file in files for name in file.defines}
    unit = {}
    for file in files:
        by = {definer[name] for name in file.declares if name in definer}
        own = file.path.with_suffix(".c").name
        paired = file.path.suffix == ".c" or (file.path.suffix == ".h" and by <= {own, file.path.name})
        unit[file.path.name] = file.path.stem if paired else file.path.name
    return unit, definer


def arrows_of(room, files):
    """What a unit takes from another one, by the two."""
    unit, definer = units_of(files)
    arrows = collections.defaultdict(set)
    for file in files:
        taken = [(name, f"{of}/{name}") for of, name in file.includes if of == room.name and name in unit]
        taken += [(definer[name], name) for name in file.names if name in definer]
        for source, what in taken:
            if unit[source] != unit[file.path.name]:
                arrows[unit[file.path.name], unit[source]].add(what)
    return arrows


def circles(arrows):
    """The arrows that are left when units go that need no other, or that no other needs."""
    arrows, before = dict(arrows), None
    while before != len(arrows):
        before = len(arrows)
        needing, needed = {a for a, _ in arrows}, {b for _, b in arrows}
        arrows = {(a, b): what for (a, b), what in arrows.items() if a in needed and b in needing}
    return arrows


def main():
    listed = EXCEPTIONS.search(TABLE.read_text(encoding="utf-8"))
    if listed is None:
        print(f"{TABLE}: no line of rooms with circles found", file=sys.stderr)
        return 2
    excepted, wrong = set(re.findall(r"\w+", listed[1])), []
    for room in sorted(path for path in (TOP / "src").iterdir() if path.is_dir()):
        files = [File(path) for path in sorted(room.iterdir()) if path.suffix in (".c", ".h", ".l", ".y")]
        left = circles(arrows_of(room, files))
        if room.name not in excepted:
            wrong.extend(f"src/{room.name}: {a} needs {b}: {' '.join(sorted(left[a, b]))}" for a, b in sorted(left))
        elif not left:
            wrong.append(f"docs/architecture.md: {room.name} has no circle any more")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
