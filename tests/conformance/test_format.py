#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=120 beside=any
"""Whether the files of a store are what their description says: segment.py, a reader that was written from the
description alone, reads every column of every row group, and what it reads must be what sc-query shows.

    test_format.py [TEXT]...          only the stores whose name contains one of the texts

The stores are made by sc-collector --read of generated flows (v5, v9, ipfix), of messages that are composed here
(made: all kinds of columns, options records) and of captures, where they are (docs/conformance.md); one more by a
collector that is killed while it writes (live).
"""
import collections
import datetime
import ipaddress
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import time

import compare
import pipeline
import segment
from pipeline import check

CAPTURES = pipeline.TOP.parent / "shared" / "captures"
CASES = ("akv_srv6", "gl_nprobe_netflow9", "ic2_example_flows", "ls_ipfix_barracuda_firewall",
         "ls_netflow_9_cisco_asa_2", "ls_netflow_9_h3c_netstream_with_varstring",
         "ls_netflow_9_palo_alto_pan_os_with_app_id", "ls_netflow_9_template_with_0_length_fields",
         "pm_403_ipfixv10_bmp_ipv6_cisco_locrib_peerdown_vrf", "sf_ipfix_usec")
GENERATED = {"v5": ("--flows=4000", "--hosts=2000", "--rate=10"),
             "v9": ("--flows=3000", "--ipv6=30", "--exporters=3", "--rate=10"),
             "ipfix": ("--flows=10000", "--ipv6=20", "--hosts=3000", "--rate=50")}
LATE = "2026-01-01 23:57"  # the windows lie on two days
LIVE_FLOWS = 1000
FLIPS = 150
COLLECTOR, V9, SCOPE = 0xfffffffd, 0xffffffff, 0xfffffffe


class Results:
    def __init__(self):
        self.good = True

    def fact(self, name, way, *arguments):
        try:
            way(*arguments)
        except Exception as why:  # whatever it is, it is this fact's failure; the others go on
            kind = "" if isinstance(why, pipeline.Failure) else type(why).__name__ + ": "
            print(f"not ok {name}: {kind}{str(why).strip()[:500]}", flush=True)
            self.good = False
        else:
            print(f"ok {name}", flush=True)


# ---- messages of our own: every kind of column ----

class Maker:
    """IPFIX messages with data and options records, always the same ones."""

    def __init__(self):
        self.chance = random.Random(20260101)
        self.sequence, self.number = 0, 0

    def octets(self, least, most):
        return self.chance.randbytes(self.chance.randint(least, most))

    def ipv4(self):
        return struct.pack(">I", 0x0a000000 | int(self.chance.paretovariate(0.7)) % 3000)

    def ipv6(self):
        family = self.chance.choice([0x20010db8 << 96, 0xfd << 120, 0x64ff9b << 96, 0])
        return (family | int(self.chance.paretovariate(0.5)) % (1 << 40)).to_bytes(16, "big")

    def counter(self, length):
        return int(min(self.chance.paretovariate(0.4) * 40, 256**length - 1)).to_bytes(length, "big")

    def ntp(self, ms):
        return struct.pack(">II", ms // 1000 + 2208988800, self.chance.getrandbits(32))

    def any_bytes(self, length):
        return lambda: self.chance.randbytes(length)

    def templates(self, now):
        """{template: [(PEN, element, length or None, value)]}; the value of a function of nothing."""
        chance = self.chance

        def millisecond():
            return struct.pack(">Q", now + chance.randint(-60000, 0))

        def word(*choices):
            return lambda: chance.choice(choices)

        flows = [(0, 4, 1, word(b"\6", b"\x11")), (0, 7, 2, self.any_bytes(2)), (0, 11, 2, word(b"\0\x35", b"\1\xbb"))]
        return {
            256: [(0, 8, 4, self.ipv4), (0, 12, 4, self.ipv4), *flows, (0, 1, 8, lambda: self.counter(8)),
                  (0, 2, 4, lambda: self.counter(4)), (0, 152, 8, millisecond), (0, 153, 8, millisecond),
                  (0, 82, None, word(b"eth0", b"eth1", "h\u00fclle".encode(), b"", b"bad\xff", b"nul\0\0")),
                  (0, 434, 4, self.any_bytes(4)), (0, 56, 6, self.any_bytes(6)), (0, 276, 1, word(b"\1", b"\2")),
                  (0, 320, 8, lambda: struct.pack(">d", chance.gauss(0, 1e6))), (29305, 1, 8, self.any_bytes(8)),
                  (29305, 2, 3, lambda: self.counter(3)), (64999, 77, None, lambda: self.octets(0, 40)),
                  (0, 148, 8, self.count)],
            257: [(0, 27, 16, self.ipv6), (0, 28, 16, self.ipv6), *flows, (0, 154, 8, lambda: self.ntp(now)),
                  (0, 155, 8, lambda: self.ntp(now)), (0, 313, None, lambda: self.octets(20, 300)),
                  (0, 85, 8, lambda: self.counter(8)), (0, 86, 8, lambda: self.counter(8)),
                  (0, 291, None, lambda: b"\3\0\7\0\2" + self.octets(1, 4) * 2), (0, 7, 2, self.any_bytes(2)),
                  (0, 3, 1, word(b"\0", b"\1", b"\5")), (64999, 78, 3, word(b"abc", b"xyz")), (0, 148, 8, self.count)],
            258: [(0, 8, 5, self.any_bytes(5)), (0, 1, 8, lambda: self.counter(8)), (0, 323, 8, millisecond),
                  (0, 22, 4, lambda: struct.pack(">I", chance.randrange(5000))),
                  (0, 21, 4, lambda: struct.pack(">I", chance.randrange(5000, 9000))),
                  (0, 160, 8, lambda: struct.pack(">Q", now - 10000)), (0, 148, 8, self.count)],
            259: [(0, 27, 16, self.ipv6), (0, 193, 1, word(b"\x3a", b"\x06")), (0, 150, 4, self.seconds(now)),
                  (0, 231, 8, lambda: self.counter(8)), (0, 298, 8, lambda: self.counter(8)),
                  (0, 161, 4, lambda: struct.pack(">I", chance.randrange(5000))), (0, 148, 8, self.count)],
            260: [(0, 158, 4, self.any_bytes(4)), (0, 159, 4, self.any_bytes(4)), (0, 148, 8, self.count)],
            261: [(0, 148, 8, self.count), (0, 323, 8, millisecond)],
            300: [(0, 149, 4, word(b"\0\0\0\1")), (0, 346, 4, word(b"\0\0\xfd\xe7")), (0, 303, 2, self.any_bytes(2)),
                  (0, 341, None, word(b"first", b"second", b"third")), (0, 41, 8, lambda: self.counter(8))],
        }

    def count(self):
        self.number += 1
        return struct.pack(">Q", self.number)

    def seconds(self, now):
        return lambda: struct.pack(">I", now // 1000 - self.chance.randrange(100))

    @staticmethod
    def template_set(templates):
        out = b""
        for number, fields in templates.items():
            is_options = number == 300
            part = struct.pack(">HH", number, len(fields)) + (b"\0\1" if is_options else b"")
            for pen, element, length, _ in fields:
                part += struct.pack(">HH", element | (0x8000 if pen else 0), 65535 if length is None else length)
                part += struct.pack(">I", pen) if pen else b""
            out += struct.pack(">HH", 3 if is_options else 2, 4 + len(part)) + part
        return out

    @staticmethod
    def record(fields):
        out = b""
        for _, _, length, make in fields:
            value = make()
            if length is None:
                out += bytes([len(value)]) if len(value) < 255 else b"\xff" + struct.pack(">H", len(value))
            out += value
        return out

    def message(self, now, body, records):
        out = struct.pack(">HHIII", 10, 16 + len(body), now // 1000, self.sequence, 1) + body
        self.sequence += records
        return out

    def datagrams(self, start_ms):
        """(source port, ms, payload): two windows of 300 s."""
        yield 4000, start_ms, self.message(start_ms, self.template_set(self.templates(start_ms)), 0)
        for step in range(240):
            now = start_ms + step * 2000
            templates = self.templates(now)
            number = self.chance.choice([256] * 8 + [257] * 6 + [258, 259, 260, 261, 300])
            body = b"".join(self.record(templates[number]) for _ in range(8))
            yield 4000, now, self.message(now, struct.pack(">HH", number, 4 + len(body)) + body, 8)


# ---- stores ----

def run(program, *arguments):
    done = subprocess.run([pipeline.program(program), *arguments], capture_output=True, text=True,
                          timeout=pipeline.PATIENCE, check=False)
    check(done.returncode == 0, f"{program} ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def make_store(folder, name):
    """The store of a source, and {kind of records: how many were stored}."""
    capture, store = folder / f"{name}.pcap", folder / name
    if name in GENERATED:
        run("sc-exporter", "--generate", f"--protocol={name}", f"--start={LATE}", f"--write={capture}",
            *GENERATED[name])
    elif name == "made":
        pipeline.write_pcap(capture, Maker().datagrams(1767225600000))
    else:
        capture = CAPTURES / f"{name}.pcap"
    done = pipeline.Import(store, capture)
    check(done.flows > 0, f"{name} has no flows")
    check(done.options > 0 or name != "made", "no options records are made")
    return store, {segment.FLOWS: done.flows, segment.OPTIONS: done.options}


class Read:
    """What segment.py reads of a store, or of one file: [(path, Segment, [Columns])] in the order of the names."""

    def __init__(self, libraries, place, streams=None):
        self.libraries, self.place = libraries, place
        self.streams = streams or segment.Streams(libraries)
        self.encodings, self.files = collections.Counter(), []
        self.pages = 0  # of the largest filter
        paths = [place] if place.is_file() else sorted([*place.rglob("*.scs"), *place.rglob("*.sclive")])
        check(paths, "there is no segment")
        for path in paths:
            if not path.name.startswith("."):
                self.add(path)

    def add(self, path):
        file = segment.read_segment(self.libraries, path)
        check(not file.damage, f"{path.name}: {file.damage}")
        columns = [segment.Columns(group, self.streams) for group in file.groups]
        for one in columns:
            self.encodings += one.encodings
        for entry in filter(None, (group.entry_of(segment.FILTER) for group in file.groups)):
            self.pages = max(self.pages, -(-entry.length // segment.PAGE))
        self.files.append((path, file, columns))

    def groups(self):
        for _, file, columns in self.files:
            yield from zip(file.groups, columns)

    def records(self, kind):
        """{name: shown value} of the rows, each batch once."""
        seen, out = set(), []
        for _, file, columns in self.files:
            by_group = {group.offset: one for group, one in zip(file.groups, columns)}
            for group, span in file.rows(seen):
                if group.kind == kind:
                    values = shown_columns(by_group[group.offset], span)
                    names = list(values)
                    for row in zip(*values.values()):
                        out.append({name: value for name, value in zip(names, row) if value is not None})
        return out


# ---- values as sc-query shows them ----

def element_names():
    """{(PEN, id): (name, type)}"""
    return {(pen, number): (name, kind) for name, (pen, number, kind) in pipeline.elements().items()}


ELEMENTS = element_names()
KINDS = {"float64": segment.FLOAT, "float32": segment.FLOAT, "ipv4Address": segment.ADDRESS,
         "ipv6Address": segment.ADDRESS, "octetArray": segment.BYTES, "string": segment.BYTES,
         "basicList": segment.BYTES, "subTemplateList": segment.BYTES, "subTemplateMultiList": segment.BYTES,
         **{f"signed{bits}": segment.INT for bits in (8, 16, 32, 64)}}


def describe(key):
    """Name and type that a column is shown with."""
    name, kind = ELEMENTS.get((key.pen, key.id), (None, "octetArray"))
    if name is None:
        name = f"{ {V9: 'v9', SCOPE: 'scope'}.get(key.pen, key.pen) }:{key.id}"
    if key.kind != KINDS.get(kind, segment.UINT):
        check(key.kind == segment.BYTES, f"{name} is a column of kind {key.kind}")
        name, kind = name + ":bytes", "octetArray"
    return name + (f"#{key.instance + 1}" if key.instance else ""), kind


def show_time(ns, decimals):
    seconds, rest = divmod(ns, 10**9)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError):  # beyond the year 9999
        return str(ns // 10**(9 - decimals))
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 10**(9 - decimals):0{decimals}d}Z"


def show_string(data):
    data = data.rstrip(b"\0")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex()}


SHOW = {
    "string": show_string,
    "macAddress": lambda value: ":".join(f"{value:012x}"[i:i + 2] for i in range(0, 12, 2)),
    "dateTimeSeconds": lambda value: show_time(value * 10**9, 3),
    "dateTimeMilliseconds": lambda value: show_time(value * 10**6, 3),
    "dateTimeMicroseconds": lambda value: show_time(compare.ntp_to_unix(value, 10**9), 9),
    "dateTimeNanoseconds": lambda value: show_time(compare.ntp_to_unix(value, 10**9), 9),
}


def show_address(value):
    if segment.IPV4_FIRST <= value <= segment.IPV4_LAST:
        return str(ipaddress.IPv4Address(value & 0xffffffff))
    return str(ipaddress.IPv6Address(value))


def show(kind, column_kind, value):
    if value is None:
        return None
    if column_kind == segment.ADDRESS:
        return show_address(value)
    if kind in SHOW:
        return SHOW[kind](value)
    return "0x" + value.hex() if column_kind == segment.BYTES else value


def shown_columns(columns, span):
    out = {}
    for key, values in columns.values.items():
        name, kind = describe(key)
        check(name not in out, f"two columns are named {name}")
        out[name] = [show(kind, key.kind, value) for value in values[span.first:span.first + span.rows]]
    return out


# ---- facts about columns ----

def without_nulls(pairs):
    return {name: value for name, value in pairs if value is not None}


def ask(place, kind):
    options = ["--record-kind=options"] if kind == segment.OPTIONS else []
    return pipeline.query(place, *options, row=without_nulls)


def text_of(record):
    return json.dumps(record, sort_keys=True)


def compare_records(read, kind, count=None):
    """All records of a kind, `count` of them, are those that sc-query shows."""
    ours, theirs = read.records(kind), ask(read.place, kind)
    check(count in (None, len(ours)), f"{len(ours)} records are read, {count} were stored")
    check(len(ours) == len(theirs), f"{len(ours)} records are read, sc-query shows {len(theirs)}")
    for mine, other in zip(sorted(ours, key=text_of), sorted(theirs, key=text_of)):
        if mine != other:
            wrong = {name: (mine.get(name), other.get(name)) for name in {*mine, *other}
                     if mine.get(name) != other.get(name)}
            raise pipeline.Failure(f"(read, shown): {wrong}")


# ---- facts about statistics ----

def fixed(factor):
    return lambda value, _: value * factor


def ntp(value, _):
    return compare.ntp_to_unix(value, 1000)


def before_export(value, row):
    exported = row(COLLECTOR, 8)
    return None if exported is None else exported - value // 1000 & segment.WORD


def behind_first(divisor):
    def way(value, row):
        first = field("first", row)
        return None if first is None else first + value // divisor & segment.WORD
    return way


SAME = fixed(1)
FIELDS = {
    "first": [(0, 152, SAME), (0, 150, fixed(1000)), (0, 154, ntp), (0, 156, ntp), (COLLECTOR, 20, SAME),
              (0, 158, before_export)],
    "last": [(0, 153, SAME), (0, 151, fixed(1000)), (0, 155, ntp), (0, 157, ntp), (COLLECTOR, 21, SAME),
             (0, 159, before_export), (0, 161, behind_first(1)), (0, 162, behind_first(1000))],
    "received": [(COLLECTOR, 4, SAME), (0, 258, SAME)],
    "observed": [(0, 323, SAME)],
    "protocol": [(0, 4, SAME), (0, 193, SAME)],
    "flows": [(0, 3, SAME)],
    "packets": [(0, 2, SAME), (0, 86, SAME), (0, 298, SAME)],
    "bytes": [(0, 1, SAME), (0, 85, SAME), (0, 231, SAME)],
}


def field(name, row):
    """The first present source of a field of a record; row(PEN, id) is a value of it."""
    for pen, number, way in FIELDS[name]:
        value = row(pen, number)
        if value is not None:
            value = way(value, row)
        if value is not None:
            return value
    return None


def bounds_of(values):
    values = [value for value in values if value is not None]
    return (min(values), max(values)) if values else (segment.WORD, 0)


def statistics_of(group, columns):
    times, totals = collections.defaultdict(list), {}
    for number in range(group.rows):
        def row(pen, element):
            kind = KINDS.get(ELEMENTS[pen, element][1], segment.UINT)
            values = columns.values.get(segment.Key(pen, element, 0, kind))
            return None if values is None else values[number]
        for name in ("first", "last", "received"):
            times[name].append(field(name, row))
        times["time"].append(next((value for name in ("first", "observed", "received")
                                   if (value := field(name, row)) is not None), None))
        protocol = field("protocol", row)
        total = totals.setdefault(256 if protocol is None or protocol > 255 else protocol, [0, 0, 0, 0])
        for i, value in enumerate([1, field("flows", row) or 1, field("packets", row), field("bytes", row)]):
            total[i] = total[i] + (value or 0) & segment.WORD
    protocols = [segment.Protocol(protocol, *total) for protocol, total in sorted(totals.items())]
    return segment.Statistics(segment.Bounds(**{name: bounds_of(values) for name, values in times.items()}), protocols)


def same_statistics(stated, found):
    for name, bounds in vars(found.bounds).items():
        got = getattr(stated.bounds, name)
        check(got == bounds or bounds[0] > bounds[1] and got[0] > got[1], f"{name} {got}, in fact {bounds}")
    check(stated.protocols == found.protocols, f"protocols {stated.protocols}, in fact {found.protocols}")


def merge(parts):
    out = segment.Statistics(segment.Bounds(*[(segment.WORD, 0)] * 4), [])
    totals = {}
    for part in parts:
        for name, (least, greatest) in vars(part.bounds).items():
            before = getattr(out.bounds, name)
            setattr(out.bounds, name, (min(least, before[0]), max(greatest, before[1])))
        for protocol in part.protocols:
            sums = totals.setdefault(protocol.protocol, [0] * 4)
            totals[protocol.protocol] = [a + b & segment.WORD for a, b in zip(sums, protocol[1:])]
    out.protocols = [segment.Protocol(protocol, *sums) for protocol, sums in sorted(totals.items())]
    return out


def check_statistics(read):
    for path, file, columns in read.files:
        found = [statistics_of(group, one) for group, one in zip(file.groups, columns)]
        for group, one in zip(file.groups, found):
            same_statistics(group.statistics, one)
        if file.footer:
            check_footer(path, file, found)


def check_footer(path, file, found):
    flows = [one for group, one in zip(file.groups, found) if group.kind == segment.FLOWS]
    same_statistics(file.footer.statistics, merge(flows))
    check(file.footer.head == file.data[:segment.HEAD], f"{path.name}: the footer's copy of the head differs")
    for (*_, bounds, _), one in zip(file.footer.groups, found, strict=True):
        same_statistics(segment.Statistics(bounds, []), segment.Statistics(one.bounds, []))


# ---- facts about files ----

def check_pages(read):
    """What is written today has filters in pages."""
    check(not any(group.entry_of(segment.BLOOM) for group, _ in read.groups()), "a filter has no pages")


def check_files(read):
    """Names, heads, and that a walk from the head meets the row groups that the footer lists."""
    for path, file, _ in read.files:
        name = re.fullmatch(r"(\d{8}T\d{6}Z)-([0-9a-f]{16})-(\d{8})\.(scs|sclive)", path.name)
        check(name, f"a file is named {path.name}")
        start = datetime.datetime.fromtimestamp(file.head.window_ms / 1000, datetime.timezone.utc)
        check(f"{start:%Y%m%dT%H%M%SZ}" == name[1] and int(name[2], 16) == file.head.stream,
              f"{path.name} has a head with {file.head}")
        check(path.parent.parts[-3:] == tuple(f"{start:%Y/%m/%d}".split("/")), f"{path} is of {start}")
        check(file.head.window_ms % (file.head.window_s * 1000) == 0, f"{path.name}: {file.head}")
        for group in file.groups:
            received = group.statistics.bounds.received
            check(file.head.window_ms <= received[0] <= received[1] < file.head.window_ms + 1000 * file.head.window_s,
                  f"{path.name}: received {received}, window {file.head}")
        walked = segment.Segment(read.libraries, file.data, False)
        check([group.offset for group in walked.groups] == [group.offset for group in file.groups],
              f"{path.name}: a walk does not meet the row groups of the footer")


def check_spans(read, sealed):
    """The ids are unique; segments are sealed when they should be."""
    ids = [span[:3] for group, _ in read.groups() for span in group.spans]
    check(len(ids) == len(set(ids)), "a batch id occurs twice")
    for path, file, _ in read.files:
        check((file.footer is not None) == sealed and not file.unfinished, f"{path.name} is not as expected")


def check_bloom(read, sealed):
    """Filters hold all that they should, and little else. The dictionary has what the columns use and nothing else."""
    chance, tried, wrong = random.Random(5), 0, 0
    for group, columns in read.groups():
        used = {value for key, values in columns.values.items() if key.kind == segment.ADDRESS for value in values}
        check(used - {None} == set(columns.addresses), "the address dictionary is not what the columns use")
        entry = group.entry_of(segment.BLOOM, segment.FILTER)
        check((entry is not None) == bool(columns.addresses and sealed and group.kind == segment.FLOWS),
              "a row group with a filter that it should not have, or without the one that it should")
        if entry is None:
            continue
        bloom = segment.Bloom(read.libraries, group.chunk(entry), entry.role)
        for address in columns.addresses:
            for bits in segment.prefixes(address):
                check(bloom.contains(address, bits), f"{show_address(address)}/{bits} is not in the filter")
        for _ in range(200):
            tried += 1
            wrong += bloom.contains(segment.IPV4_FIRST | chance.getrandbits(32), 128)
    check(wrong <= tried / 20, f"{wrong} of {tried} addresses are in a filter without having been added")


def check_damage(read):
    """A row group with a changed head or meta is left out, the others are read; by the walk, too."""
    _, file, _ = max(read.files, key=lambda one: len(one[1].groups))
    check(len(file.groups) >= 2, f"{len(file.groups)} row groups")
    for sealed in (True, False):
        for place in (0, 16, 56, segment.HEAD, segment.HEAD + 200):
            changed = bytearray(file.data)
            changed[file.groups[0].offset + place] ^= 16
            broken = segment.Segment(read.libraries, changed, sealed)
            check(broken.damage and [group.offset for group in broken.groups] == [g.offset for g in file.groups[1:]],
                  f"byte {place} of a row group, {sealed}: {broken.damage}")
    changed = bytearray(file.data)
    changed[-segment.TRAILER] ^= 1
    broken = segment.Segment(read.libraries, changed, True)
    check(broken.damage and len(broken.groups) == len(file.groups), "without the trailer row groups are missing")
    changed = bytearray(file.data)
    changed[20] ^= 1
    broken = segment.Segment(read.libraries, changed, True)
    check(broken.damage and broken.head == file.head, "the head is not read from the footer")


def check_flips(libraries, path):
    """No changed bit of a sealed file goes unnoticed."""
    data, chance = path.read_bytes(), random.Random(9)
    places = {0, 8, len(data) - 1, len(data) - 20, *(chance.randrange(len(data)) for _ in range(FLIPS))}
    for place in sorted(places):
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        try:
            file = segment.Segment(libraries, changed, True)
            for group in file.groups:
                for entry in group.entries:
                    group.chunk(entry)
            check(file.damage, f"a changed bit at {place} goes unnoticed")
        except segment.Damaged:
            pass


# ---- a collector that is killed ----

def run_collector(folder):
    """A store with a live file of several row groups, as a killed collector leaves it."""
    collector = pipeline.Collector(folder, "udp", "--window=1h")
    try:
        for part in range(3):
            run("sc-exporter", "--generate", f"--flows={LIVE_FLOWS}", f"--seed={part}", "--ipv6=25", "--exporters=2",
                "--rate=5000", f"--to=udp://127.0.0.1:{collector.port}")
            await_flows(collector.store, (part + 1) * LIVE_FLOWS)
        time.sleep(1.1)
    finally:
        collector.kill()
    return collector.store


def await_flows(store, count):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if sum(1 for _ in store.rglob("*.sclive")) and len(ask(store, segment.FLOWS)) >= count:
            return
        time.sleep(0.2)
    raise pipeline.Failure(f"{count} flows do not appear in the store")


def check_cut(read, place, data, groups):
    """A live file with these bytes ends in an unfinished row group behind so many whole ones."""
    place.write_bytes(data)
    cut = Read(read.libraries, place, read.streams)
    file = cut.files[0][1]
    check(file.unfinished and len(file.groups) == groups,
          f"{len(file.groups)} row groups of {groups}, unfinished {file.unfinished}")
    compare_records(cut, segment.FLOWS)


def check_cuts(read, folder):
    path, file, _ = max(read.files, key=lambda one: len(one[1].groups))  # two when the hour has just ended
    last = file.groups[-1]
    check(len(file.groups) >= 2, f"a live file has {len(file.groups)} row groups")
    for length in (1, 20, segment.HEAD, segment.HEAD + 100, last.length // 2, last.length - 1):
        check_cut(read, folder / path.name, file.data[:last.offset + length], len(file.groups) - 1)
    for zeros in (1, 64, 5000):
        check_cut(read, folder / path.name, file.data[:last.offset] + bytes(zeros), len(file.groups) - 1)
    for length in (1, segment.HEAD - 1):
        check_cut(read, folder / path.name, file.data[:length], 0)


def check_example():
    """Each byte of the example in docs/formats.md is that of the file."""
    data = (pipeline.TOP / "tests/data/v1.scs").read_bytes()
    text = (pipeline.TOP / "docs/formats.md").read_text(encoding="utf-8")
    lines = re.findall(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} {1,2})+)", text, re.MULTILINE)
    check(len(lines) > 50, f"the example has {len(lines)} lines")
    for place, octets in lines:
        octets, place = bytes.fromhex(octets), int(place, 16)
        found = data[place:place + len(octets)]
        check(found == octets, f"at {place:04x} there is {found.hex()}")


# ---- all ----

def check_contents(results, read, name, counts, sealed):
    results.fact(f"{name}: flows", compare_records, read, segment.FLOWS, counts[segment.FLOWS])
    results.fact(f"{name}: options records", compare_records, read, segment.OPTIONS, counts[segment.OPTIONS])
    results.fact(f"{name}: statistics", check_statistics, read)
    results.fact(f"{name}: addresses and Bloom filters", check_bloom, read, sealed)


def check_store(results, read, name, counts, sealed=True):
    check_contents(results, read, name, counts, sealed)
    results.fact(f"{name}: files and heads", check_files, read)
    results.fact(f"{name}: spans", check_spans, read, sealed)
    if sealed:
        results.fact(f"{name}: filters in pages", check_pages, read)


def check_met(streams, encodings, pages):
    check(pages > 1, "no filter has several pages")
    layouts = {layout for layout, _ in streams.met} - {"plane"}
    check(layouts == set(range(8)) and set(encodings) == set(range(7)),
          f"layouts {sorted(layouts)}, encodings {sorted(encodings)}")
    for what in (segment.NONE, segment.LZ4, segment.ZSTD):
        check(any(compression == what for _, compression in streams.met), f"compression {what} is not met")


class Session:
    """The stores of one run of this test."""

    def __init__(self, libraries, folder):
        self.libraries, self.folder, self.results = libraries, folder, Results()
        self.streams, self.encodings, self.pages = segment.Streams(libraries), collections.Counter(), 0

    def read(self, place):
        read = Read(self.libraries, place, self.streams)
        self.encodings += read.encodings
        self.pages = max(self.pages, read.pages)
        return read

    def sealed(self, name):
        place, counts = make_store(self.folder, name)
        read = self.read(place)
        check_store(self.results, read, name, counts)
        return read

    def made(self, name):
        read = self.sealed(name)
        self.results.fact(f"{name}: a changed bit is noticed", check_flips, self.libraries, read.files[0][0])
        self.results.fact(f"{name}: row groups beside a damaged one", check_damage, read)

    def live(self, name):
        read = self.read(run_collector(self.folder))
        check_store(self.results, read, name, {segment.FLOWS: 3 * LIVE_FLOWS, segment.OPTIONS: 0}, False)
        self.results.fact(f"{name}: a file that is cut", check_cuts, read, self.folder)

    def golden(self, name):
        """tests/data/NAME, with which tests/unit/store/test_golden.c tests that old files are readable."""
        read = self.read(pipeline.TOP / "tests" / "data" / name)
        flows, options = (1154, 40) if name.endswith(".scs") else (304, 40)
        check_contents(self.results, read, name, {segment.FLOWS: flows, segment.OPTIONS: options},
                       name.endswith(".scs"))

    def run(self, name, way):
        if len(sys.argv) < 2 or any(text in name for text in sys.argv[1:]):
            self.results.fact(f"{name}: is read", way, name)


def main():
    try:
        libraries = segment.Libraries()
    except OSError as why:
        print(f"skip format {why}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        session = Session(libraries, pathlib.Path(folder))
        for name in GENERATED:
            session.run(name, session.sealed)
        session.run("made", session.made)
        for name in ("v1.scs", "v1.sclive", "v2.scs", "v2.sclive", "v2b.scs"):
            session.run(name, session.golden)
        session.run("live", session.live)
        for name in CASES if CAPTURES.is_dir() else ():
            session.run(name, session.sealed)
        if not CAPTURES.is_dir():
            print("skip captures there are none in ../shared/captures")
        if len(sys.argv) < 2:
            session.results.fact("docs/formats.md: the example", check_example)
            session.results.fact("every layout and encoding is met", check_met, session.streams, session.encodings, session.pages)
    return 0 if session.results.good else 1


if __name__ == "__main__":
    sys.exit(main())
