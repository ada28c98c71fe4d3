#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks every #include under src/ against the table of rooms in docs/architecture.md.

Prints one line per violation and exits 1 when there is any, 2 when the table cannot be read.
"""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
TABLE = TOP / "docs" / "architecture.md"

# Headers by which a library of the table's fourth column is known. All other <...> headers are the C library's.
LIBRARIES = {
    "xxhash": r"xxh.*\.h",
    "zstd": r"(zstd|zdict).*\.h",
    "lz4": r"lz4.*\.h",
    "cyaml": r"(cyaml/.*|yaml\.h)",
    "event": r"(event2?/.*|event\.h|evutil\.h)",
    "pcap": r"pcap(/.*|\.h)",
    "jansson": r"jansson.*\.h",
    "openssl": r"openssl/.*",
    "mpi": r"mpi\.h",
}
ROW = re.compile(r"^\|\s*`src/(\w+)`\s*\|[^|]*\|([^|]*)\|([^|]*)\|\s*$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def words(cell):
    return set() if cell.strip() == "-" else set(cell.split())


def read_table():
    rooms = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        if row:
            rooms[row[1]] = (words(row[2]), words(row[3]))
    return rooms


def check_table(rooms):
    for room, (may_include, libraries) in rooms.items():
        for other in sorted(may_include - set(rooms)):
            yield f"docs/architecture.md: {room} may include {other}, which is no room"
        for library in sorted(libraries - set(LIBRARIES)):
            yield f"docs/architecture.md: {room} uses {library}, which scripts/check-layers.py does not know"


def check_include(rooms, room, quote, name):
    """What is wrong with the include, or None."""
    may_include, libraries = rooms[room]
    if quote == "<":
        library = next((k for k, pattern in LIBRARIES.items() if re.fullmatch(pattern, name)), None)
        if library is not None and library not in libraries:
            return f"{room} may not use {library}"
        return None
    parts = name.split("/")
    if parts[0] == "securitycloud":
        return None  # the public headers, under include/
    if len(parts) == 1:
        return f'name the room: "{room}/{name}"'
    if parts[0] not in rooms:
        return f"{parts[0]} is no room of docs/architecture.md"
    if parts[0] != room and parts[0] not in may_include:
        return f"{room} may not include {parts[0]}"
    return None


def check_file(rooms, path):
    where = path.relative_to(TOP)
    room = where.parts[1]
    if room not in rooms:
        yield f"{where}: {room} is no room of docs/architecture.md"
        return
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        include = INCLUDE.match(line)
        wrong = check_include(rooms, room, include[1], include[2]) if include else None
        if wrong:
            yield f"{where}:{number}: {include[2]}: {wrong}"


def main():
    rooms = read_table()
    if not rooms:
        print(f"{TABLE}: no table of rooms found", file=sys.stderr)
        return 2
    wrong = list(check_table(rooms))
    for path in sorted((TOP / "src").rglob("*")):
        if path.suffix in (".c", ".h", ".l", ".y"):
            wrong.extend(check_file(rooms, path))
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
