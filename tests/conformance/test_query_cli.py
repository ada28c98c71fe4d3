#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""sc-query as a user meets it: exit codes, messages, formats, times, stopping; and its answers against the truth
that sc-exporter writes about generated flows. SC_BUILD is the build directory."""
import csv
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("SC_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
QUERY, EXPORTER, COLLECTOR = (str(BUILD / "bin" / name) for name in ("sc-query", "sc-exporter", "sc-collector"))
BEGIN = "2026-11-20T10:00:00Z"
BEGIN_S = 1795168800
MAX = 2 ** 64 - 1


def run(*options, env=None, **more):
    return subprocess.run([QUERY, *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, stdin=subprocess.DEVNULL, check=False, env={**os.environ, **(env or {})}, **more)


def same(got, want, what=""):
    assert got == want, f"{what}: {got!r} instead of {want!r}"


def expect(done, code, *words):
    assert done.returncode == code, f"exit {done.returncode} instead of {code}: {done.args[1:]} {done.stderr}"
    for word in words:
        assert word in done.stderr + done.stdout, f"{word!r} is not in {done.stderr + done.stdout!r}"
    return done


def ask(*options):
    """A complete json answer."""
    done = expect(run(*options, "--output-format=json"), 0)
    assert not done.stderr, done.stderr
    answer = json.loads(done.stdout)
    same(answer["complete"], True)
    same(answer["missing"], [])
    assert isinstance(answer["elapsed_ms"], int)
    return answer


def rows(*options):
    return list(csv.DictReader(expect(run(*options, "--output-format=csv"), 0).stdout.splitlines()))


# ---- data ----

def make(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command[0]} exits {done.returncode}: {done.stdout}"


def generate(folder, name, flows, *options):
    capture, truth, store = folder / f"{name}.ipfix", folder / f"{name}.json", folder / name
    make([EXPORTER, "--generate", "--flows", str(flows), "--start", BEGIN, "--write", str(capture), "--truth", str(truth),
          *options])
    make([COLLECTOR, "--read", str(capture), "--store", str(store), "--log-level", "error"])
    return store, json.loads(truth.read_text())


def ipfix(records, fields, domain=7):
    """An IPFIX file (RFC 5655) with one template; fields: (id, length) or (id, length, PEN)."""
    template = struct.pack("!HH", 256, len(fields))
    for field in fields:
        template += struct.pack("!HH", field[0] | (0x8000 if len(field) > 2 else 0), field[1])
        template += struct.pack("!I", field[2]) if len(field) > 2 else b""
    sets = struct.pack("!HH", 2, 4 + len(template)) + template
    out = b""
    for i in range(0, max(len(records), 1), 50):
        data = b"".join(b"".join(value.to_bytes(length, "big") if isinstance(value, int) else value
                                 for value, (_, length, *_) in zip(record, fields)) for record in records[i:i + 50])
        body = sets + struct.pack("!HH", 256, 4 + len(data)) + data
        out += struct.pack("!HHIII", 10, 16 + len(body), BEGIN_S + 60, i, domain) + body
        sets = b""
    return out


def store_of(folder, name, records, fields):
    path = folder / f"{name}.ipfix"
    path.write_bytes(ipfix(records, fields))
    make([COLLECTOR, "--read", str(path), "--store", str(folder / name), "--log-level", "error"])
    return folder / name


BASIC = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 2), (1, 8), (2, 8), (152, 8), (153, 8)]


def basic(n, **changed):
    record = {"srcip": 0x0a000001 + n, "dstip": 0xc0000201, "srcport": 40000 + n, "dstport": 53, "proto": 17, "flags": 0,
              "bytes": 100 + n, "packets": 1, "first": (BEGIN_S + n) * 1000, "last": (BEGIN_S + n) * 1000 + 500}
    return [*{**record, **changed}.values()]


class Data:
    """Stores that several cases read."""

    def __init__(self, folder):
        self.folder = folder
        self.large, self.truth = generate(folder, "large", 150000, "--seed", "11", "--ipv6", "25")
        self.small = store_of(folder, "small", [basic(n) for n in range(10)], BASIC)
        hours = [1792879200000 + 3600000 * n for n in range(30)]  # from 2026-10-24T22:00Z
        self.days = store_of(folder, "days", [basic(n, first=ms, last=ms) for n, ms in enumerate(hours)], BASIC)
        self.empty = folder / "empty"
        self.empty.mkdir()


# ---- exit codes and messages ----

def wrong_usage_is_2_and_says_why(data):
    small = data.small
    for words, options in (
            (["--nope", "--help"], ["--nope"]),
            (["scrip", "did you mean", "srcip"], ["--output-fields=scrip"]),
            (["scrip", "srcip"], ["-a", "scrip"]),
            (["scrip", "srcip"], ["-o", "scrip"]),
            (["scrip", "srcip"], ["-s", "srcip#scrip"]),
            (["between or beside the commas"], ["-a", "srcip,"]),
            (["rate"], ["-a", "bps"]),
            (["asc or desc"], ["-o", "bytes#up"]),
            (["two filters"], ["-f", "dst port 53", "--filter", "proto udp"]),
            (["srcip,dstport"], ["-a", "srcip", "-a", "dstport"]),
            (["bytes,packets"], ["-o", "bytes", "-o", "packets"]),
            (["one -T"], ["-T", "-1h", "-T", "-2h"]),
            (["one -t"], ["-t", "-1h", "-t", "-2h"]),
            (["bucket"], ["-a", "bytes/1x"]),
            (["bucket"], ["-a", "duration/1x"]),
            (["--output-format"], ["-o", "csv"]),  # nfdump's way
            (["exclude"], ["-s", "srcip", "-a", "dstip"]),
            (["exclude"], ["-t", "2026-11-20", "-T", "2026-11-20"]),
            (["whole number"], ["-l", "many"]),
            (["whole number"], ["-l", "-1"]),
            (["2026-11-23"], ["-T", "noon-ish"]),
            (["empty"], ["-T", "2026-11-21#2026-11-20"]),
            (["Europe/Prague"], ["--time-zone=Middle/Earth"]),
            (["Europe/Prague"], ["--time-zone=Europe/Prague2"]),  # no zone, and not taken for UTC
            (["Europe/Prague"], ["--time-zone=Europe"]),
            (["--output-ts-conv=k"], ["--output-ts-conv=k"]),
            (["make it a key", "min(dstport)"], ["-a", "srcip", "--output-fields=dstport"]),
            (["dstip has no sum: make it a key"], ["-a", "srcip", "--output-fields=dstip"]),
            (["pretty", "ndjson"], ["--output-format=xml"]),
            (["records (r)"], ["--output-items=q"]),
            (["empty"], ["--output-items="]),
            (["empty"], ["--output-fields="]),
            (["1 to 256"], ["--num-threads=0"]),
            (["time span"], ["--timeout=0"]),
            (["500M"], ["--memory-limit=lots"]),
            (["received"], ["--time-field=begin"]),
            (["options"], ["--record-kind=all"]),
            (["metric-prefix"], ["--output-volume-conv=k"])):
        done = expect(run(small, *options), 2)
        for word in words:
            assert word in done.stderr, f"{options}: {word!r} is not in {done.stderr!r}"
        assert not done.stdout, f"{options}: {done.stdout!r} on standard output"


def a_wrong_filter_is_2_with_a_caret(data):
    done = expect(run(data.small, "-f", "proto 6 and dst prot 53"), 2, "did you mean \"dstport\"")
    lines = done.stderr.splitlines()
    same(lines[1], "proto 6 and dst prot 53")
    same(lines[2], " " * lines[1].index("dst") + "^")


def nothing_there_is_1(data):
    default = "/var/lib/securitycloud"
    if not os.path.exists(default):
        done = expect(run(), 1, default)
        same(done.stdout, "")
    expect(run(data.folder / "none"), 1, "none", "No such file")
    done = expect(run("dst port 53"), 2, "it is a filter", "-f 'dst port 53'")
    same(done.stdout, "")
    expect(run("dst net 10.0.0.0/8 and tcp"), 2, "-f 'dst net 10.0.0.0/8 and tcp'")
    expect(run(data.small, "dst", "port", "53"), 2, f"-f 'dst port 53' {data.small}")
    expect(run(data.folder / "large.ipfix"), 1, "sc-collector --read")


def an_empty_store_is_0(data):
    expect(run(data.empty), 0, "0 flows, 0 packets, 0 bytes")
    same(ask(data.empty)["records"], [])
    same(ask(data.empty)["summary"]["flows"], 0)
    same(ask(data.empty, "-s", "srcip")["records"], [])
    same(expect(run(data.empty, "--output-format=ndjson"), 0).stdout, "")
    same(expect(run(data.empty, "--output-fields=all", "--output-format=csv"), 0).stdout, "")
    same(ask(data.small, "-f", "dst port 54")["records"], [])
    same(ask(data.empty, "--output-items=m")["metadata"], [])


def one_of_several_paths_is_3(data):
    none = data.folder / "none"
    done = expect(run(none, data.small, "--output-format=json"), 3, "No such file")
    answer = json.loads(done.stdout)
    same(len(answer["records"]), 10)
    same(answer["complete"], False)
    assert str(none) in answer["missing"][0]
    done = expect(run(data.small, "dst port 53"), 2, "-f 'dst port 53'")
    assert done.stdout == "", done.stdout
    expect(run(none, data.small, data.folder / "none2"), 3, f"PARTIAL ANSWER: cannot open {none}", ", and 1 more")
    expect(run(data.small, data.folder / "small.ipfix", "--output-format=csv"), 3, "sc-collector --read")
    quiet = expect(run(none, data.small, "-v", "0", "--output-format=csv"), 3)
    same(quiet.stderr, "")


def help_and_version_are_0(_data):
    done = expect(run("--help"), 0, "--filter", "--output-format", "exit status")
    for option in {w.split("=")[0].strip("[](),:") for w in done.stdout.split() if w.startswith("--")}:
        told = run(option)
        assert "unrecognized" not in told.stderr, f"{option} stands in --help and is unknown"
    expect(run("--version"), 0, "sc-query ")


# ---- formats ----

def json_is_one_object(data):
    answer = ask(data.small, "-o", "srcport")
    same(list(answer), ["records", "summary", "complete", "missing", "damage", "elapsed_ms"])
    same(answer["records"][1],
         {"first": "2026-11-20T10:00:01.000Z", "duration": 500, "proto": 17, "srcip": "10.0.0.2", "srcport": 40001,
          "dstip": "192.0.2.1", "dstport": 53, "flags": 0, "packets": 1, "bytes": 101})
    same({k: answer["summary"][k] for k in ("records", "flows", "packets", "bytes")},
         {"records": 10, "flows": 10, "packets": 10, "bytes": 1045})
    same(list(ask(data.small, "--output-items=r")), ["records", "complete", "missing", "damage", "elapsed_ms"])
    same(list(ask(data.small, "--output-items=processed-records-summary")), ["summary", "complete", "missing", "damage", "elapsed_ms"])
    answer = ask(data.small, "--output-items=metadata-summary")
    same(answer["metadata"], [{"proto": 17, "records": 10, "flows": 10, "packets": 10, "bytes": 1045}])


def csv_and_ndjson_are_records_only(data):
    text = expect(run(data.small, "-o", "srcport", "--output-format=csv"), 0).stdout.splitlines()
    same(text[0], "first,duration,proto,srcip,srcport,dstip,dstport,flags,packets,bytes")
    same(text[2], f"{(BEGIN_S + 1) * 1000},500,17,10.0.0.2,40001,192.0.2.1,53,0,1,101")
    same(len(text), 11)
    lines = expect(run(data.small, "-o", "srcport", "--output-format=ndjson"), 0).stdout.splitlines()
    same(json.loads(lines[9])["srcport"], 40009)
    same(len(lines), 10)
    lines = expect(run(data.small, "-l", "2", "--output-format=ndjson", "--output-items=r,p"), 0).stdout.splitlines()
    same(len(lines), 3)
    same(json.loads(lines[2])["summary"]["records"], 2)
    text = expect(run(data.small, "-l", "1", "--output-format=csv", "--output-items=p,r,m"), 0).stdout.splitlines()
    same(text[2:], ["", "records,flows,packets,bytes", "1,1,1,100", "", "proto,records,flows,packets,bytes", "17,10,10,10,1045"])


def pretty_fits_and_aligns(data):
    for options in ([], ["-f", "ipv4", "-l", "500"], ["-f", "ipv4", "-s", "srcip"], ["-s", "srcip"],
                    ["-a", "srcip,dstport", "-l", "5"], ["-f", "ipv6", "-l", "50"]):
        text = expect(run(data.large, "-l", "20", *options), 0).stdout
        table = text.split("\n\n", maxsplit=1)[0].splitlines()
        assert len(table) > 1
        same({len(line) for line in table}, {len(table[0])}, "widths")
        if "ipv6" not in options and not any("2001:" in line for line in table):  # two IPv6 addresses leave no room
            assert len(table[0]) <= 120, table[0]
    for options in (["-s", "srcip"], ["-s", "srcip#bytes", "--output-volume-conv=none"], ["-s", "srcip,dstport", "-l", "999"]):
        table = expect(run(data.large, "-f", "ipv6 or dst port 53", *options), 0).stdout.split("\n\n", maxsplit=1)[0].splitlines()
        assert any("2001:" in line for line in table)
        same(len({len(line) for line in table}), 1, "widths of groups with IPv6")
    expect(run(data.small), 0, "first [UTC]", "processed records: 10 flows, 10 packets, 1.0 k bytes")
    expect(run(data.small, "--time-zone=Europe/Prague"), 0, "first [Europe/Prague]", "2026-11-20 11:00:00.000")


def numbers_beyond_2_to_53_are_exact(data):
    records = [basic(0, bytes=MAX - 5, packets=MAX), basic(1, bytes=2 ** 53 + 1, dstport=80), basic(2, bytes=4, dstport=81)]
    store = store_of(data.folder, "exact", records, BASIC)
    same([r["bytes"] for r in ask(store, "-o", "srcport")["records"]], [MAX - 5, 2 ** 53 + 1, 4])
    same(ask(store, "-f", "not dst port 80")["summary"]["bytes"], MAX - 1)
    same(ask(store, "-a", "proto", "-f", "dst port 80 or dst port 81")["records"][0]["bytes"], 2 ** 53 + 5)
    same(ask(store, "-a", "proto", "--output-fields=max(packets),min(bytes)")["records"][0],
         {"proto": 17, "max(packets)": MAX, "min(bytes)": 4})
    same(rows(store, "-f", f"bytes = {MAX - 5}")[0]["packets"], str(MAX))
    same(json.loads(run(store, "-f", "dst port 80", "--output-format=ndjson").stdout)["bytes"], 2 ** 53 + 1)


def conversions(data):
    got = rows(data.small, "-l", "1", "--output-ts-conv=pretty", "--output-duration-conv=str", "--output-proto-conv=str",
               "--output-tcpflags-conv=str", "--output-fields=first,duration,proto,flags")[0]
    same(got, {"first": "2026-11-20T10:00:00.000Z", "duration": "00:00:00.500", "proto": "UDP", "flags": "........"})
    record = ask(data.small, "-l", "1", "--output-proto-conv=str", "--output-tcpflags-conv=str")["records"][0]
    same((record["proto"], record["flags"]), ("UDP", "........"))
    fields = ["-a", "proto", "--output-fields=avg(duration),avg(bytes)"]
    same(expect(run(data.small, *fields), 0).stdout.splitlines()[1].split(), ["UDP", "00:00:00.500", "104.5"])
    same(rows(data.small, *fields)[0]["avg(duration)"], "500")
    items = [data.small, "--output-items=p,m"]
    expect(run(*items), 0, "10 flows, 10 packets, 1.0 k bytes; ", " 10 packets,    1.0 k bytes\n")
    expect(run(*items, "--output-volume-conv=none"), 0, "10 flows, 10 packets, 1045 bytes; ", " 1045 bytes\n")
    expect(run(*items, "--output-volume-conv=binary-prefix"), 0, "1.0 Ki bytes; ", " 1.0 Ki bytes\n")


def keys_are_spelt_as_asked(data):
    same(list(ask(data.small, "-a", "sa", "--output-fields=fl,OCTETS,bps", "-l", "1")["records"][0]), ["sa", "fl", "OCTETS", "bps"])
    same(list(ask(data.small, "--output-fields=Sa,dst-port,octetDeltaCount", "-l", "1")["records"][0]),
         ["Sa", "dst-port", "octetDeltaCount"])
    same(list(ask(data.small, "-a", "srcip,srcip/24", "--output-fields=flows", "-l", "1")["records"][0]),
         ["srcip", "srcip/24", "flows"])


def null_is_null(data):
    store = store_of(data.folder, "few", [(0x0a000001, 5)], [(8, 4), (1, 8)])
    record = ask(store)["records"][0]
    same((record["dstip"], record["dstport"], record["srcip"], record["bytes"]), (None, None, "10.0.0.1", 5))
    same(rows(store)[0]["dstip"], "")
    same(ask(store, "-a", "dstip", "--output-fields=flows,bytes,packets")["records"],
         [{"dstip": None, "flows": 1, "bytes": 5, "packets": None}])
    assert " - " in expect(run(store), 0).stdout


def all_fields_are_all_columns(data):
    answer = ask(data.small, "--output-fields=all", "-o", "srcport", "-l", "1")["records"][0]
    for name, value in (("sourceAddress", "10.0.0.1"), ("sourceTransportPort", 40000), ("octetDeltaCount", 100),
                        ("flowStartMilliseconds", "2026-11-20T10:00:00.000Z"), ("observationDomain", 7)):
        same(answer[name], value, name)
    store = store_of(data.folder, "unknown", [basic(0) + [0xabcd]], BASIC + [(4711, 2, 64999)])
    same(ask(store, "--output-fields=all")["records"][0]["64999:4711"], "0xabcd")


# ---- what is asked ----

def statistics(data):
    answer = ask(data.large, "-s", "srcip", "-s", "dstport#bytes#asc", "-l", "3")
    same([r["name"] for r in answer["results"]], ["srcip", "dstport#bytes#asc"])
    same([len(r["records"]) for r in answer["results"]], [3, 3])
    assert "records" not in answer
    same(len(ask(data.large, "-s", "srcip")["records"]), 10)
    same(ask(data.large, "-s", "srcip/bytes")["records"], ask(data.large, "-s", "srcip#bytes")["records"])
    same(ask(data.large, "-s", "srcip/24/64/packets")["records"], ask(data.large, "-s", "srcip/24/64#packets#desc")["records"])
    same(ask(data.large, "-s", "srcip")["records"], ask(data.large, "-a", "srcip", "-o", "flows#desc", "-l", "10")["records"])
    text = expect(run(data.large, "-s", "proto", "-s", "srcip", "-l", "2"), 0).stdout
    assert "statistic proto\n" in text and "statistic srcip\n" in text


def limit_and_order_win_wherever_they_stand(data):
    want = ask(data.large, "-s", "srcip#bytes", "-l", "4")["records"]
    for options in (["-l", "4", "-s", "srcip", "-o", "bytes"], ["-o", "bytes", "-s", "srcip#flows", "-l", "4"],
                    ["-s", "srcip#flows#asc", "-l", "4", "-o", "bytes#desc"]):
        same(ask(data.large, *options)["records"], want, options)
        done = expect(run(*options, "--output-format=json", data.large), 0)
        same(json.loads(done.stdout)["records"], want, options)
    same(len(ask(data.large, "-s", "dstport", "-l", "0")["records"]), len(rows(data.large, "-a", "dstport")))
    same(len(rows(data.small)), 10)
    same(len(rows(data.small, "-l", "3")), 3)
    same(len(rows(data.small, "-l", "0")), 10)


def a_listing_shows_what_it_is_sorted_by(data):
    usual = list(rows(data.small, "-l", "1")[0])
    same(list(rows(data.small, "-l", "1", "-o", "bps,BYT,duration")[0]), [*usual, "bps"])
    same(list(rows(data.small, "-l", "1", "-o", "bps", "--output-fields=srcip")[0]), ["srcip"])


def answers_against_the_truth(data):
    truth = data.truth
    summary = ask(data.large, "--output-items=p")["summary"]
    same((summary["flows"], summary["packets"], summary["bytes"]), (truth["flows"], truth["packets"], truth["bytes"]))
    metadata = ask(data.large, "--output-items=m")["metadata"]
    same([(p["proto"], p["flows"], p["packets"], p["bytes"]) for p in metadata],
         [(p["proto"], p["flows"], p["packets"], p["bytes"]) for p in truth["protocols"]])
    protocols = sorted(ask(data.large, "-s", "proto", "--output-fields=flows,packets,bytes")["records"], key=lambda r: r["proto"])
    same(protocols, truth["protocols"])
    same(ask(data.large, "-f", "dst port 53", "--output-items=p")["summary"]["flows"], truth["dstport_53_flows"])
    for name, statistic in (("top_srcip_by_flows", "srcip#flows"), ("top_srcip_by_bytes", "srcip#bytes"),
                            ("top_dstport_by_flows", "dstport#flows")):
        column = statistic.split("#")[1]
        for threads in ("1", "2", "7"):
            got = ask(data.large, "-s", statistic, "--output-fields=flows,packets,bytes", "--num-threads", threads)["records"]
            want = truth[name][:10]
            same([r[column] for r in got], [r[column] for r in want], name)
            certain = want[:-1] if len({r[column] for r in want}) == len(want) else []  # ties are ordered as each likes
            same(got[:len(certain)], certain, name)
    same(len(ask(data.large, "-a", "srcip,dstip,srcport,dstport,proto", "--output-fields=flows")["records"]),
         truth["distinct_5tuples"])
    times = ask(data.large, "-a", "exportversion", "--output-fields=first,last")["records"]
    same((times[0]["first"], times[0]["last"]), (truth["first"], truth["last"]))
    listed = rows(data.large)
    same(len(listed), truth["flows"])
    same(sum(int(r["bytes"]) for r in listed), truth["bytes"])
    parts = [ask(data.large, "--output-items=p", "-f", f)["summary"]["flows"] for f in ("ipv4", "ipv6", "not ipv4 and not ipv6")]
    same(sum(parts), truth["flows"])


def pair_keys_count_a_record_once_in_the_summary(data):
    answer = ask(data.small, "-a", "port", "-o", "port#asc", "--output-fields=flows")
    same(answer["records"][0], {"port": 53, "flows": 10})
    same(len(answer["records"]), 11)
    same(answer["summary"]["records"], 10)


def scaled_counters(data):
    records = [basic(0, bytes=100) + [10], basic(1, bytes=MAX) + [3], basic(2, bytes=7) + [1]]
    store = store_of(data.folder, "sampled", records, BASIC + [(34, 4)])
    same([r["bytes"] for r in ask(store, "-o", "srcport")["records"]], [100, MAX, 7])
    answer = ask(store, "-o", "bytes#asc,srcport", "--scale-sampling", "--output-fields=bytes,packets,octetDeltaCount,flows,bps")
    same([(r["bytes"], r["packets"], r["octetDeltaCount"], r["flows"]) for r in answer["records"]],
         [(7, 1, 7, 1), (1000, 10, 100, 1), (MAX, 3, MAX, 1)])
    same([r["bps"] for r in answer["records"]][:2], [112, 16000])
    same(answer["summary"]["sampling_intervals"], [3, 10])
    same((answer["summary"]["sampled_records"], answer["summary"]["scaled"]), (2, True))
    only = ["-f", "bytes < 1000", "--scale-sampling"]  # filters see what was exported
    summary = ask(store, *only, "--output-items=p")["summary"]
    same((summary["bytes"], summary["packets"], summary["flows"]), (1007, 11, 2))
    same(ask(store, *only, "-a", "proto", "--output-fields=bytes,packets,bpp,max(bytes),flows")["records"],
         [{"proto": 17, "bytes": 1007, "packets": 11, "bpp": 91.545, "max(bytes)": 1000, "flows": 2}])
    assert "counters are scaled up" in expect(run(store, "--scale-sampling"), 0).stdout
    assert "counters are as exported" in expect(run(store), 0).stdout


def time_ranges(data):
    def count(*options):
        return ask(data.small, "--output-items=p", *options)["summary"]["records"]
    same(count("-T", "2026-11-20T10:00:02Z#2026-11-20T10:00:05Z"), 3)
    same(count("-T", "2026-11-20 10:00:02#+3s"), 3)
    same(count("-T", f"@{BEGIN_S + 9}"), 1)
    same(count("-T", "2026-11-20T11:00:02+01:00#2026-11-20T11:00:05+01:00"), 3)
    same(count("-T", "2026-11-20 11:00:02#2026-11-20 11:00:05", "--time-zone=Europe/Prague"), 3)
    same(count("-T", "2026/11/20.10:00:00#2026/11/20.10:00:01"), 1)
    same(count("-T", "-1s"), 0)
    same(count("-T", "2026-11-20T10:00:02.500Z#2026-11-20T10:00:03Z", "--time-field=last"), 1)
    same(count("-T", "2026-11-20T10:00:02.400Z#2026-11-20T10:00:02.600Z", "--time-field=overlap"), 1)
    same(count("-T", "2026-11-20T10:00:02.600Z#2026-11-20T10:00:02.700Z", "--time-field=overlap"), 0)
    same(count("-T", "2026-11-20T10:01:00Z#2026-11-20T10:01:01Z", "--time-field=received"), 10)
    same(count("-t", "2026-11-20T10:04:59Z"), 10)
    same(count("-t", "2026-11-20T10:05:00Z"), 0)
    same(count("-t", "2026-11-20T09:59:59Z"), 0)


def system_zone(data):
    done = expect(run(data.small, "-l", "1", "--time-zone=system", env={"TZ": "Asia/Tokyo"}), 0, "2026-11-20 19:00:00.000")
    assert "[UTC]" not in done.stdout
    expect(run(data.small, "-l", "1", env={"TZ": "Asia/Tokyo"}), 0, "[UTC]", "2026-11-20 10:00:00.000")


def zones(data):
    for zone, shown in (("utc", "first [UTC]"), ("CET-1CEST", "first [CET-1CEST]"), ("<+03>-3", "13:00:00.000"),
                        ("America/New_York", "05:00:00.000")):
        expect(run(data.small, "-l", "1", f"--time-zone={zone}"), 0, shown)


def buckets_and_prefixes(data):
    got = ask(data.small, "-a", "first/4s", "-o", "first", "--output-fields=flows")["records"]
    same(got, [{"first": f"2026-11-20T10:00:0{n}.000Z", "flows": flows} for n, flows in ((0, 4), (4, 4), (8, 2))])
    got = ask(data.small, "-a", "duration/100ms,bytes/1k", "--output-fields=flows")["records"]
    same(got, [{"duration": 500, "bytes": 0, "flows": 10}])
    same(ask(data.small, "-a", "duration/200", "--output-fields=flows")["records"], [{"duration": 400, "flows": 10}])
    got = ask(data.small, "-a", "srcip/30,dstport/50", "-o", "srcip", "--output-fields=bytes")["records"]
    same(got, [{"srcip": f"10.0.0.{n}", "dstport": 50, "bytes": b} for n, b in ((0, 303), (4, 418), (8, 324))])


def days_begin_at_midnight_of_the_zone(data):
    def count(zone):
        done = expect(run(data.days, "-a", "first/1d", "-o", "first", "--output-fields=flows", "--output-format=ndjson",
                          *zone), 0)
        return [(row["first"][:19], row["flows"]) for row in map(json.loads, done.stdout.splitlines())]

    same(count([]), [("2026-10-24T00:00:00", 2), ("2026-10-25T00:00:00", 24), ("2026-10-26T00:00:00", 4)])
    # The clocks go back on 2026-10-25: that day has 25 hours.
    same(count(["--time-zone=CET-1CEST,M3.5.0,M10.5.0/3"]), [("2026-10-25T00:00:00", 25), ("2026-10-26T00:00:00", 5)])


def listings_stand_in_line(data):
    for options in (["-l", "300"], ["-l", "300", "-o", "bytes"], ["-f", "host 203.0.113.77"]):
        lines = expect(run(data.large, *options), 0).stdout.split("\n\n")[0].splitlines()
        same({len(line) for line in lines}, {len(lines[0])}, options)
    assert any(":" in line.split()[4] for line in expect(run(data.large, "-l", "300"), 0).stdout.splitlines()[1:301])


def options_records(data):
    same(rows(data.small, "--record-kind=options", "--output-fields=odid"), [])
    template = struct.pack("!HHHHHHHHHHHH", 3, 24, 257, 3, 1, 149, 4, 34, 4, 82, 4, 0)
    message = template + struct.pack("!HHII4s", 257, 16, 7, 100, b"eth0")
    path = data.folder / "options.ipfix"
    path.write_bytes(struct.pack("!HHIII", 10, 16 + len(message), BEGIN_S, 0, 7) + message)
    make([COLLECTOR, "--read", str(path), "--store", str(data.folder / "options"), "--log-level", "error"])
    record = ask(data.folder / "options", "--record-kind=options")["records"][0]
    same((record["samplingInterval"], record["interfaceName"]), (100, "eth0"))
    same(len(rows(data.small, "--record-kind=flows", "--output-fields=odid")), 10)


# ---- limits, stopping ----

def memory_limit_is_a_clean_error(data):
    done = expect(run(data.large, "-a", "srcip,dstip,srcport", "--memory-limit=100k", "--output-format=json"), 1, "--memory-limit")
    same(done.stdout, "")
    expect(run(data.large, "-s", "srcip", "--memory-limit=1G"), 0)


def metadata_reads_no_chunk(data):
    store = data.folder / "zeroed"
    shutil.copytree(data.small, store)
    path = next(store.rglob("*.scs"))
    want = ask(store, "--output-items=m")["metadata"]
    whole = path.read_bytes()
    path.write_bytes(whole[:600] + bytes(len(whole) - 600 - 1500) + whole[-1500:])
    same(ask(store, "--output-items=m")["metadata"], want)


def damage_is_3_and_the_rest_is_shown(data):
    store = data.folder / "damaged"
    shutil.copytree(data.large, store)
    path = next(store.rglob("*.scs"))
    whole = bytearray(path.read_bytes())
    magic = b"\x89SCRGRP\n"
    second = whole.index(magic, whole.index(magic) + 1)
    for at in range(second + 4000, second + 60000, 50):
        whole[at] ^= 0x55
    path.write_bytes(whole)
    done = expect(run(store, "--output-fields=all", "--output-format=json", "-a", "srcip,dstip,srcport,dstport,proto",
                      "--output-fields=flows,packets,bytes,flags,duration"), 3, "missing")
    answer = json.loads(done.stdout)
    same(answer["complete"], False)
    assert str(path) in answer["missing"][0], answer["missing"]
    assert 0 < answer["summary"]["flows"] < data.truth["flows"]
    same(sum(r["flows"] for r in answer["records"]), answer["summary"]["flows"])


def slow_reader(data, *options):
    return subprocess.Popen([QUERY, str(data.large), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL, bufsize=0)


def an_interrupt_is_3_and_the_answer_whole(data):
    query = slow_reader(data, "--output-format=json", "--num-threads=1")
    begin = query.stdout.read(1000)  # the pipe is full behind it
    time.sleep(0.3)
    query.send_signal(signal.SIGINT)
    time.sleep(0.1)
    rest, told = query.communicate(timeout=60)
    same(query.returncode, 3, told)
    answer = json.loads(begin + rest)
    same(answer["complete"], False)
    assert "interrupted" in answer["missing"][0]
    assert 0 < len(answer["records"]) < data.truth["flows"]
    same(answer["summary"]["records"], len(answer["records"]))
    same(answer["summary"]["bytes"], sum(r["bytes"] for r in answer["records"]))


def a_timeout_is_3_and_the_answer_whole(data):
    query = slow_reader(data, "--output-format=json", "--num-threads=1", "--timeout=1s")
    begin = query.stdout.read(1000)
    time.sleep(1.5)
    rest, told = query.communicate(timeout=60)
    same(query.returncode, 3, told)
    answer = json.loads(begin + rest)
    assert "--timeout" in answer["missing"][0]
    done = expect(run(data.large, "--timeout=1ms", "-s", "srcip,dstip", "--output-format=json"), 3, "--timeout")
    same(json.loads(done.stdout)["complete"], False)
    expect(run(data.small, "--timeout=1h"), 0)


def a_closed_pipe_is_no_failure(data):
    for options in (["--output-format=csv"], ["--output-format=json", "-o", "bytes"], ["-a", "srcip,srcport"]):
        query = slow_reader(data, *options)
        query.stdout.read(100)
        query.stdout.close()
        told = query.stderr.read()
        same(query.wait(60), 0, told)
        same(told, b"")
        query.stderr.close()


def a_full_disk_is_1(data):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([QUERY, str(data.large), "--output-format=csv"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)
    same(done.returncode, 1)
    assert "cannot write the output" in done.stderr and "No space" in done.stderr, done.stderr


def explain_and_progress_go_to_stderr(data):
    done = expect(run(data.large, "-f", "dst port 53", "-s", "srcip", "--explain", "--output-format=json"), 0)
    json.loads(done.stdout)
    assert "filter: dstport = 53" in done.stderr and "row groups: " in done.stderr and "time by stage" not in done.stderr
    for options, use in ((("-f", "dst port 53", "-s", "srcip"), "groups"), (("-l", "3"), "texts"), (("--output-items=p",), "sums")):
        done = expect(run(data.large, "--explain=analyze", *options), 0)
        found = re.search(r"rows: (\d+) looked at, (\d+) selected", done.stderr)
        times = dict(re.findall(r"^  (open|filter|read columns|put together|groups|texts|sums|all) +([0-9.]+) ms", done.stderr, re.MULTILINE))
        assert found and 0 < int(found[2]) <= int(found[1]), done.stderr
        assert set(times) == {"open", "filter", "read columns", "put together", "all", use}, done.stderr
    expect(run(data.large, "--explain=much"), 2, "--explain takes analyze, or nothing")
    bar = data.folder / "bar"
    expect(run(data.large, "-s", "srcip", "--progress-bar-type=json", f"--progress-bar-dest={bar}"), 0)
    same(json.loads(bar.read_text())["percent"], 100)
    done = expect(run(data.large, "-s", "srcip", "--progress-bar-type=none"), 0)
    same(done.stderr, "")


def a_bar_is_wiped_before_the_records(data):
    ours, theirs = pty.openpty()
    with subprocess.Popen([QUERY, str(data.large), "-s", "proto"], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as query:
        os.close(theirs)
        text = b""
        try:
            while piece := os.read(ours, 65536):
                text += piece
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        same(query.wait(60), 0)
    bar, table = text.split(b"\r            \r")
    assert b"100 % read" in bar and b"%" not in table, text
    assert table.startswith(b" proto "), table
    expect(run(data.small, "--progress-bar-dest=/nonexistent/bar"), 0, "cannot write the progress to /nonexistent/bar")
    expect(run(data.small, "--explain"), 0, "filter: any")


def sums_beyond_64_bits_say_so(data):
    half = 2 ** 63
    store = store_of(data.folder, "vast", [basic(0, bytes=half), basic(1, bytes=half + 500), basic(2, bytes=7, proto=6)], BASIC)
    answer = ask(store, "-a", "proto", "-o", "bytes#desc", "--output-fields=bytes,avg(bytes)")
    same([r["bytes"] for r in answer["records"]], [MAX, 7])
    same((answer["summary"]["bytes"], answer["saturated"]), (MAX, True))
    text = expect(run(store, "-a", "proto", "-o", "bytes#desc", "--output-fields=bytes", "--output-items=r,p,m"), 0).stdout
    assert "18.4 E+\n" in text and "+: a sum of 18446744073709551615 or more" in text, text
    same(text.count("18.4 E+"), 3, text)  # the group, the summary, the total of UDP
    assert "saturated" not in ask(store, "-a", "proto", "-f", "proto tcp", "--output-fields=bytes")
    same([r["bytes"] for r in ask(store, "-a", "proto", "-f", "bytes > 100", "--output-fields=bytes")["records"]], [MAX])


def nothing_is_obeyed_by_a_terminal(data):
    name = "x\u202e\x1b[1m\u2028\x9b=1+1".encode()
    store = store_of(data.folder, "names", [basic(0) + [name]], BASIC + [(82, len(name))])
    only = ["--output-fields=interfaceName"]
    escaped = r"x\xe2\x80\xae\x1b[1m\xe2\x80\xa8\xc2\x9b=1+1"
    for options in (only, ["-a", "interfaceName", *only]):
        assert escaped in expect(run(store, *options), 0).stdout
        for form in ("json", "ndjson"):
            text = expect(run(store, *options, f"--output-format={form}"), 0).stdout
            assert text.replace("\n", "").isprintable(), text
            assert json.dumps(name.decode()) in text, text
    text = subprocess.run([QUERY, store, *only, "--output-format=csv"], stdout=subprocess.PIPE, timeout=60, check=True).stdout
    same(text, b'interfaceName\n"' + name + b'"\n')  # for programs: every byte as it was exported


def times_without_a_date_are_marked(data):
    late = 2 ** 63
    store = store_of(data.folder, "late", [basic(0, first=late, last=late)], BASIC)
    mark = f"out-of-range:{late}"
    same(ask(store, "--output-fields=first")["records"], [{"first": mark}])
    assert mark in expect(run(store, "--output-fields=first"), 0).stdout
    same([r["first"] for r in rows(store, "--output-fields=first")], [str(late)])
    same([r["first"] for r in rows(store, "--output-fields=first", "--output-ts-conv=str")], [mark])


CASES = (wrong_usage_is_2_and_says_why, a_wrong_filter_is_2_with_a_caret, nothing_there_is_1, an_empty_store_is_0,
         one_of_several_paths_is_3, help_and_version_are_0, json_is_one_object, csv_and_ndjson_are_records_only,
         pretty_fits_and_aligns, numbers_beyond_2_to_53_are_exact, conversions, keys_are_spelt_as_asked, null_is_null,
         all_fields_are_all_columns, statistics, limit_and_order_win_wherever_they_stand,
         a_listing_shows_what_it_is_sorted_by, answers_against_the_truth,
         pair_keys_count_a_record_once_in_the_summary, scaled_counters, time_ranges, system_zone, zones,
         buckets_and_prefixes, days_begin_at_midnight_of_the_zone,
         listings_stand_in_line, options_records,
         memory_limit_is_a_clean_error, metadata_reads_no_chunk, damage_is_3_and_the_rest_is_shown,
         an_interrupt_is_3_and_the_answer_whole, a_timeout_is_3_and_the_answer_whole, a_closed_pipe_is_no_failure,
         a_full_disk_is_1, explain_and_progress_go_to_stderr, a_bar_is_wiped_before_the_records,
         sums_beyond_64_bits_say_so, nothing_is_obeyed_by_a_terminal, times_without_a_date_are_marked)


def main():
    for path in (QUERY, EXPORTER, COLLECTOR):
        if not os.path.exists(path):
            print(f"skip query_cli {os.path.basename(path)} is not built")
            return 77
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        data = Data(pathlib.Path(folder))
        for case in CASES:
            try:
                case(data)
                print(f"ok {case.__name__}", flush=True)
            except (AssertionError, OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as why:
                failed += 1
                print(f"not ok {case.__name__}: {type(why).__name__} {why}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
