#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compares decoded records with the expectations that lie beside real captures.

    compare.py --dump PROGRAM [--case NAME]... [-v] [CAPTURES]

CAPTURES (default ../shared/captures beside the repository) holds CASE.pcap, CASE.expected.jsonl[.gz] and
MANIFEST.tsv. Where the folder is absent the test says so and ends with 77. Every record of every case is compared:
kind, observation domain, each exported field, and the usual keys ("norm"). What is allowed to differ stands in
EXCEPTIONS with its reason, and in docs/conformance.md.

A record source is a callable that takes the path of a capture and returns (flows, options, outcome): two lists of
Record and a dictionary of sums (or None).
"""
import argparse
import gzip
import ipaddress
import json
import os
import subprocess
import sys

COLLECTOR = 0xFFFFFFFD
OBSERVATION_DOMAIN, SAMPLING_RATE = (COLLECTOR, 3, 0), (COLLECTOR, 5, 0)
EXPORT_VERSION, EXPORT_TIME = (COLLECTOR, 7, 0), (COLLECTOR, 8, 0)
FLOW_START, FLOW_END, SYSTEM_INIT = (COLLECTOR, 20, 0), (COLLECTOR, 21, 0), (COLLECTOR, 22, 0)
UNIFIED = {8: 10, 27: 10, 12: 11, 28: 11, 15: 12, 62: 12, 18: 13, 63: 13, 225: 14, 281: 14, 226: 15, 282: 15}
PSEUDO_PEN = {-1: 0xFFFFFFFF, -2: 0xFFFFFFFE}
ROUND = 1 << 32

# Case: (what, reason). `what` holds
#   "recovered=N"                    N flow records more, first, of data sets that came before their template
#   "either-zero"                    both addresses of a pair are zero: either may stand for the pair
#   "malformed=N", "no-template=N"   our counter is N where the manifest's differs
ZERO_FILLED = "a datagram filled up with zeros after its last set is accepted, not malformed"
WAITED = "data sets that wait for their template are decoded when it comes (RFC 7011 section 8); the expectation " \
         "gives them up. Without buffering the records are exactly the expected ones, which is compared too"
V5_COUNT = "the header counts more flows than there are: a malformed message, whose whole records are kept"
EXCEPTIONS = {
    "akv_physif": (["either-zero"], "the expectation took :: for a next hop that is zero in both families although "
                                    "ipVersion is 4; we take the one that ipVersion names"),
    "beats_netflow9_e10s_4_7byte_pad": (["recovered=2"], WAITED),
    "gl_nprobe_netflow9_4": (["recovered=14"], WAITED),
    "gli_data_datatemplate": (["recovered=3"], WAITED),
    "lnf9_malformed_4": (["malformed=0"], ZERO_FILLED),
    "ls_netflow5_invalid01": (["malformed=1"], V5_COUNT),
    "ls_netflow5_invalid02": (["malformed=1"], V5_COUNT),
    "ls_netflow9_cisco_aci": (["malformed=0"], ZERO_FILLED),
    "ls_netflow_9_palo_alto_1_flowset_in_large_zero_filled_packet": (["malformed=0"], ZERO_FILLED),
}


def allowance(case, name):
    """The N of an exception "name=N", True for a plain "name", None without one."""
    for what in EXCEPTIONS.get(case, ([], ""))[0]:
        key, _, number = what.partition("=")
        if key == name:
            return int(number) if number else True
    return None


class Record:
    """One decoded record: fields by (pen, id, instance); values int, float, bytes or ipaddress."""

    def __init__(self, fields):
        self.fields = fields

    def get(self, *ids):
        """The first present of some IANA elements, first instance."""
        for element in ids:
            value = self.fields.get((0, element, 0))
            if value is not None:
                return value
        return None


# ---- sources ----

def parse_value(kind, value):
    if kind == "a":
        return ipaddress.ip_address(value)
    if kind == "b":
        return bytes.fromhex(value)
    return value


def dump_source(*command):
    """Records as tests/conformance/decode_dump prints them."""
    def read(capture):
        done = subprocess.run([*command, capture], capture_output=True, check=True, text=True)
        flows, options, outcome = [], [], None
        for line in done.stdout.splitlines():
            row = json.loads(line)
            if row["kind"] == "outcome":
                outcome = row
                continue
            fields = {(f[0], f[1], f[2]): parse_value(f[3], f[4]) for f in row["fields"]}
            (flows if row["kind"] == "flow" else options).append(Record(fields))
        return flows, options, outcome
    return read


# ---- values ----

class Nanoseconds(int):
    """What a source that does not show NTP times says instead: whole ns of UTC."""


class Text(bytes):
    """A string as sources for people show it: without zero bytes at its end."""


def ntp_to_unix(ntp, units):
    """As RFC 7011 6.1.9: 32 bit seconds since 1900, 32 bit fraction; era 1 when the top bit is clear."""
    seconds, fraction = ntp >> 32, ntp & 0xFFFFFFFF
    seconds += -2208988800 if seconds & 0x80000000 else ROUND - 2208988800
    return seconds * units + (fraction * units >> 32)


def ntp_to_ms(time):
    return time // 10**6 if isinstance(time, Nanoseconds) else ntp_to_unix(time, 1000)


def as_bytes(value, length):
    """The bytes of any value of ours."""
    if isinstance(value, int):
        return (value % (1 << 64)).to_bytes(8, "big")[8 - min(length, 8):]
    if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return value.packed
    return value


def same_address(text, value):
    if not isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return False
    want = ipaddress.ip_address(text)
    if want.version == 6 and want.ipv4_mapped is not None:
        want = want.ipv4_mapped
    return want == value


def is_address(text):
    try:
        ipaddress.ip_address(text)
        return True
    except ValueError:
        return False


def same_text(want, value, length):
    if want.startswith("0x"):
        exact = bytes.fromhex(want[2:])
        if as_bytes(value, length) == (exact.rstrip(b"\0") if isinstance(value, Text) else exact):
            return True
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0") == want
    if isinstance(value, int):  # MAC
        return ":".join("%02x" % b for b in value.to_bytes(6, "big")) == want
    return is_address(want) and same_address(want, value)


def same_value(want, value, length):
    if isinstance(want, dict):
        ntp = want["ntp_s"] << 32 | want["ntp_frac"]
        return value == (ntp_to_unix(ntp, 10**9) if isinstance(value, Nanoseconds) else ntp)
    if isinstance(want, str):
        return same_text(want, value, length)
    return want == value


# ---- one record ----

def own_value(record, key):
    """Our value of an exported element and the keys that carry it: elements that the decoder moves are found again."""
    pen, element, instance = key
    if key in record.fields or pen != 0 or instance != 0:
        return record.fields.get(key), {key}
    if element in (21, 22):
        time, base = record.fields.get(FLOW_START if element == 22 else FLOW_END), record.fields.get(SYSTEM_INIT)
        return (None if time is None else (time - base) % ROUND), set()
    if element in UNIFIED:
        return record.fields.get((COLLECTOR, UNIFIED[element], 0)), set()
    return None, {key}


def compare_fields(want, record, problems):
    seen, accounted = {}, set()
    for pen, element, name, length, value in want["fields"]:
        pen = PSEUDO_PEN.get(pen, pen)
        instance = seen.get((pen, element), 0)
        seen[(pen, element)] = instance + 1
        own, keys = own_value(record, (pen, element, instance))
        accounted |= keys
        empty = length == 0 and (own is None or own == b"")
        if not empty and (own is None or not same_value(value, own, length)):
            problems.append(f"{name or ''}({pen}:{element}#{instance}) is {own!r}, expected {value!r}")
    for key in record.fields:
        if key[0] != COLLECTOR and key not in accounted:
            problems.append(f"field {key} was not exported")


def own_time(record, ms, s, us, ns, unified):
    if record.get(ms) is not None:
        return record.get(ms)
    if record.get(s) is not None:
        return record.get(s) * 1000
    if record.get(us, ns) is not None:
        return ntp_to_ms(record.get(us, ns))
    return record.fields.get(unified)


def unified(record, element):
    return record.fields.get((COLLECTOR, element, 0))


NORM = {
    "src": lambda r: unified(r, 10), "dst": lambda r: unified(r, 11), "nexthop": lambda r: unified(r, 12),
    "bgp_nexthop": lambda r: unified(r, 13), "post_nat_src": lambda r: unified(r, 14),
    "post_nat_dst": lambda r: unified(r, 15), "sport": lambda r: r.get(7), "dport": lambda r: r.get(11),
    "proto": lambda r: r.get(4), "octets": lambda r: r.get(1, 85, 231), "packets": lambda r: r.get(2, 86, 298),
    "flags": lambda r: r.get(6), "tos": lambda r: r.get(5), "in_if": lambda r: r.get(10), "out_if": lambda r: r.get(14),
    "src_as": lambda r: r.get(16), "dst_as": lambda r: r.get(17), "src_mask": lambda r: r.get(9, 29),
    "dst_mask": lambda r: r.get(13, 30), "vlan": lambda r: r.get(58), "direction": lambda r: r.get(61),
    "end_reason": lambda r: r.get(136), "icmp_tc": lambda r: r.get(32, 139), "obs_ms": lambda r: r.get(323),
    "start_ms": lambda r: own_time(r, 152, 150, 154, 156, FLOW_START),
    "end_ms": lambda r: own_time(r, 153, 151, 155, 157, FLOW_END),
}


def same_norm(key, value, record):
    if key == "sampling":  # the raw header word of v5
        return record.fields.get(SAMPLING_RATE) == ((value & 0x3FFF) or None)
    if isinstance(value, dict):  # no base was exported: only differences mean something
        own = record.fields.get(FLOW_START if key == "start_ms" else FLOW_END)
        return own is not None and (own - record.fields[SYSTEM_INIT]) % ROUND == value["sysuptime_ms"]
    own = NORM[key](record)
    return same_address(value, own) if isinstance(value, str) else own == value


def is_zero(address):
    return address is not None and not any(address.packed)


def compare_record(case, want, record):
    problems = []
    if record.fields.get(OBSERVATION_DOMAIN) != want["odid"]:
        problems.append(f"domain {record.fields.get(OBSERVATION_DOMAIN)}, expected {want['odid']}")
    if record.fields.get(EXPORT_VERSION) != want["ver"]:
        problems.append(f"version {record.fields.get(EXPORT_VERSION)}, expected {want['ver']}")
    if "fields" in want:
        compare_fields(want, record, problems)
    for key, value in want["norm"].items():
        if allowance(case, "either-zero") and value in ("::", "0.0.0.0") and is_zero(NORM[key](record)):
            continue
        if not same_norm(key, value, record):
            problems.append(f"norm.{key}: expected {value!r}")
    return problems


# ---- one case ----

def read_expected(folder, case):
    path = os.path.join(folder, case + ".expected.jsonl")
    opened = open(path, encoding="utf-8") if os.path.exists(path) else gzip.open(path + ".gz", "rt", encoding="utf-8")
    with opened as lines:
        rows = [json.loads(line) for line in lines]
    return [r for r in rows if r["kind"] == "flow"], [r for r in rows if r["kind"] == "options"]


def compare_counters(case, outcome, manifest, problems):
    for ours, theirs, name in (("no_template_sets", "undecodable_sets(no template)", "no-template"),
                               ("malformed", "malformed_events", "malformed")):
        want = allowance(case, name)
        want = int(manifest[theirs]) if want is None else want
        if outcome[ours] != want:
            problems.append(f"{ours} is {outcome[ours]}, expected {want}")


def compare_case(folder, case, source, manifest, recovered):
    """Returns (records compared, problems). `recovered` flow records stand before the expected ones."""
    flows, options = read_expected(folder, case)
    own_flows, own_options, outcome = source(os.path.join(folder, case + ".pcap"))
    problems = []
    if len(own_flows) != len(flows) + recovered:
        problems.append(f"{len(own_flows)} flow records, {recovered} of them recovered, expected {len(flows)}")
    if len(own_options) != len(options):
        problems.append(f"{len(own_options)} options records, expected {len(options)}")
    for kind, want, own in (("flow", flows, own_flows[recovered:]), ("options", options, own_options)):
        for i, (w, o) in enumerate(zip(want, own)):
            problems += [f"{kind} {i} (message {w['msg']}): {p}" for p in compare_record(case, w, o)]
    if outcome is not None:
        compare_counters(case, outcome, manifest, problems)
    return len(flows) + len(options), problems


def read_manifest(folder):
    with open(os.path.join(folder, "MANIFEST.tsv"), encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        return {row.split("\t")[0]: dict(zip(header, row.rstrip("\n").split("\t"))) for row in lines}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("captures", nargs="?", default=os.path.join(here, "../../../shared/captures"))
    parser.add_argument("--dump", required=True, help="the program decode_dump")
    parser.add_argument("--case", action="append", help="only this case")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each case")
    args = parser.parse_args()
    if not os.path.isdir(args.captures):
        print(f"skipped: no captures in {args.captures}")
        return 77
    manifest = read_manifest(args.captures)
    source, unbuffered = dump_source(args.dump), dump_source(args.dump, "--no-buffer")
    records, failed = 0, 0
    for case in args.case or sorted(manifest):
        recovered = allowance(case, "recovered") or 0
        count, problems = compare_case(args.captures, case, source, manifest[case], recovered)
        if recovered:
            problems += compare_case(args.captures, case, unbuffered, manifest[case], 0)[1]
        records += count
        failed += bool(problems)
        if problems or args.verbose:
            print(f"{case}: {count} records, {'ok' if not problems else f'{len(problems)} problems'}")
        for problem in problems[:10]:
            print(f"    {problem}")
    total = len(args.case or manifest)
    print(f"{total - failed} of {total} cases, {records} records; exceptions: {len(EXCEPTIONS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
