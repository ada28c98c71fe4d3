#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=180 beside=any
"""libsc as somebody else's program sees it: installed, found by pkg-config, linked both ways."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SC_BUILD", TOP / "build")).resolve()
BIN = BUILD / "bin"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="libsc-"))
PREFIX = WORK / "usr"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
KINDS = ("shared", "static")
failed = False


def fact(name, good, detail=""):
    global failed
    failed = failed or not good
    print(f"{'ok' if good else 'not ok'} {name}" + (f": {detail}" if detail and not good else ""), flush=True)
    return good


def run(*command, **more):
    more.setdefault("timeout", 120)
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **more)


def must(*command, **more):
    done = run(*command, **more)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        print(f"not ok {words[:150]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        sys.exit(1)
    return done.stdout


def install():
    must("cmake", "--install", BUILD, "--prefix", PREFIX)
    pages = {f"man{page.suffix[1]}/{page.name}" for page in (TOP / "man").glob("*.[1-8]")}
    missing = [name for name in sorted(pages) if not (PREFIX / "share/man" / name).exists()]
    missing += [p.name for p in BIN.glob("sc-*") if not os.access(PREFIX / "bin" / p.name, os.X_OK)]
    fact("everything is installed", not missing and (PREFIX / "include/securitycloud/libsc.h").exists(), str(missing))
    example = TOP / "contrib/collector.yaml"
    fact("the examples are installed", all(
        (PREFIX / "share/doc/securitycloud" / name).exists()
        for name in ["read_store.c", "decode_datagram.c"] + ([example.name] if example.exists() else [])))
    return next(PREFIX.rglob("libsc.pc")).parent


def check_library(libdir):
    shared = libdir / "libsc.so"
    symbols = [line.split()[-1] for line in must("nm", "-D", "--defined-only", shared).splitlines()]
    names = {name.split("@")[0] for name in symbols} - {"LIBSC_0"}
    header = (PREFIX / "include/securitycloud/libsc.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^[a-z].*?(libsc_\w+)\(", header, re.MULTILINE))
    fact("libsc.so shows what its header declares", names == declared, str(names ^ declared))
    fact("libsc.so has a version of its own", "libsc.so.0" in must("objdump", "-p", shared))
    objects = must("ar", "t", libdir / "libsc.a").split()
    fact("libsc.a holds objects", len(objects) > 20 and all(name.endswith(".o") for name in objects))


def check_header(pkg):
    """The header stands alone, in the oldest C that it promises and in C++."""
    flags = must("pkg-config", "--cflags", "libsc", env=pkg).split()
    source = WORK / "alone.c"
    source.write_text("#include <securitycloud/libsc.h>\nint main(void)\n{\n    return libsc_version() == 0;\n}\n")
    done = run("cc", "-std=c99", *WARNINGS, *flags, "-c", source, "-o", WORK / "alone.o")
    fact("the header is C99", done.returncode == 0, done.stderr)
    compiler = next((c for c in ("c++", "clang++") if shutil.which(c)), None)
    if compiler is None:
        print("skip the header is C++: there is no C++ compiler")
        return
    done = run(compiler, "-x", "c++", "-std=c++11", *WARNINGS, *flags, "-c", source, "-o", WORK / "alone.o")
    fact("the header is C++", done.returncode == 0, done.stderr)


def link_flags(kind, pkg):
    flags = must("pkg-config", "--cflags", "--libs", "libsc", env=pkg).split()
    if kind == "static":
        # With both libraries in one folder, the archive is asked for by name.
        flags = must("pkg-config", "--static", "--cflags", "--libs", "libsc", env=pkg).split()
        flags = [word for f in flags for word in (["-Wl,-Bstatic", f, "-Wl,-Bdynamic"] if f == "-lsc" else [f])]
    return flags


def build(source, kind, pkg):
    program = WORK / f"{source.stem}-{kind}"
    done = run("cc", "-std=gnu11", *WARNINGS, source, "-o", program, *link_flags(kind, pkg))
    fact(f"{source.name} builds, {kind}", done.returncode == 0, done.stderr)
    needs = must("objdump", "-p", program)
    fact(f"{program.name} is linked as asked", ("libsc.so.0" in needs) == (kind == "shared"))
    return program


def header_example():
    """The program that the header shows, cut from its comment."""
    lines = (PREFIX / "include/securitycloud/libsc.h").read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(" *     #include"))
    end = next(i for i, line in enumerate(lines) if line == " *     }")
    source = WORK / "header_example.c"
    source.write_text("\n".join(line[7:] for line in lines[begin:end + 1]) + "\n")
    return source


def make_store():
    """Two exporters, both families. Returns the store and the truth."""
    must(BIN / "sc-exporter", "--generate", "--flows", 30000, "--ipv6", 25, "--exporters", 2, "--start", "2026-01-01",
         "--write", WORK / "flows.pcap", "--truth", WORK / "truth.json")
    must(BIN / "sc-collector", "--store", WORK / "store", "--read", WORK / "flows.pcap")
    return WORK / "store", json.loads((WORK / "truth.json").read_text())


def query(*arguments):
    done = run(BIN / "sc-query", *arguments)
    return sorted(done.stdout.splitlines()) if done.returncode == 0 else done.stderr


def check_reader(program, kind, store, truth, env):
    rows = [[int(cell or 0) for cell in line.split(",")]
            for line in must(program, "-o", "packets,bytes", store, env=env).splitlines()[1:]]
    sums = {"flows": len(rows), "packets": sum(r[0] for r in rows), "bytes": sum(r[1] for r in rows)}
    fact(f"sums are those of the truth, {kind}", all(truth[key] == value for key, value in sums.items()), str(sums))
    fields = "first,srcip,dstip,srcport,dstport,proto,packets,bytes,exporterip,odid"
    for text in ("", "proto udp and dst port 53", "src ip 10.0.0.0/8 and bytes > 10k", "ipv6 and not port 443"):
        asked = query("--output-format=csv", f"--output-fields={fields}", "-f", text, store)
        given = sorted(must(program, "-f", text, "-o", fields, store, env=env).splitlines())
        fact(f"records are those of sc-query, {kind}: {text or 'all'}", given == asked and len(given) > 10,
             f"{len(given)} and {len(asked)} lines")


def check_failures(program, store, env):
    done = run(program, WORK / "nowhere", env=env)
    fact("a bad path fails with its name", done.returncode == 1 and "nowhere" in done.stderr, done.stderr)
    done = run(program, "-f", "bytes >> 3", store, env=env)
    fact("a bad filter fails with its place",
         done.returncode == 2 and "^" in done.stderr and not done.stdout, done.stderr)
    done = run(program, "-o", "srcip,nosuchfield", store, env=env)
    fact("an unknown field fails with its name", done.returncode == 1 and "nosuchfield" in done.stderr, done.stderr)
    done = run(program, "-o", "bytes", store, WORK / "nowhere", env=env)
    fact("a bad path among good ones is missing",
         done.returncode == 3 and "missing: " in done.stderr and len(done.stdout.splitlines()) == 30001, done.stderr)


def check_decoder(program, kind, protocol, env):
    flows, truth_file = 1500, WORK / f"{kind}-{protocol}.json"
    with subprocess.Popen([program, "0", str(flows)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=env) as receiver:
        port = receiver.stderr.readline().split()[-1]
        with open(WORK / "received", "w", encoding="utf-8") as out:
            copier = subprocess.Popen(["cat"], stdin=receiver.stdout, stdout=out)
            must(BIN / "sc-exporter", "--generate", "--flows", flows, "--protocol", protocol, "--rate", 10000, "--to",
                 f"udp://127.0.0.1:{port}", "--truth", truth_file)
            accounts = receiver.stderr.read()
            copier.wait(30)
        status = receiver.wait(30)
    truth = json.loads(truth_file.read_text())
    rows = [line.split() for line in (WORK / "received").read_text().splitlines()]
    good = status == 0 and len(rows) == flows and sum(int(r[2]) for r in rows) == truth["packets"] and \
        sum(int(r[3]) for r in rows) == truth["bytes"] and f"{flows} flows, 0 lost" in accounts
    fact(f"a receiver decodes {protocol}, {kind}", good, f"exit {status}, {len(rows)} rows, {accounts}")


def main():
    if shutil.which("pkg-config") is None:
        print("pkg-config is not installed")
        return 77
    pkgdir = install()
    libdir = pkgdir.parent
    pkg = {**os.environ, "PKG_CONFIG_PATH": str(pkgdir)}
    env = {**os.environ, "LD_LIBRARY_PATH": str(libdir)}
    check_library(libdir)
    check_header(pkg)
    store, truth = make_store()
    for kind in KINDS:
        reader = build(TOP / "examples/read_store.c", kind, pkg)
        decoder = build(TOP / "examples/decode_datagram.c", kind, pkg)
        check_reader(reader, kind, store, truth, env)
        for protocol in ("v5", "v9", "ipfix"):
            check_decoder(decoder, kind, protocol, env)
        if kind == "shared":
            check_failures(reader, store, env)
    shown = must(build(header_example(), "shared", pkg), store, env=env)
    tls = sum(int(line.split(",")[0] or 0) for line in must(reader, "-f", "proto tcp and dst port 443", "-o", "bytes",
                                                           store).splitlines()[1:])
    fact("the program in the header works", shown == f"{tls} bytes\n" and tls > 0, shown)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        code = main()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(code)
