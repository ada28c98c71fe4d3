#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=300 beside=any
"""Messages of our own through our programs: what sc-query shows of them, name by name and value by value.

    test_pipeline_messages.py [TEXT]... only the tests whose name contains one of the texts

Each case goes as a capture to --read, over UDP, and where all is IPFIX over TCP in pieces cut at random (SC_SEED=N
does it again) and as a file to --read. SC_BUILD is the build directory.
"""
import contextlib
import ipaddress
import struct
import sys

import pipeline
from pipeline import check

PORT = 40000  # of the exporter in captures
SECONDS = 1700000000  # export time, 2023-11-14T22:13:20Z
UPTIME = 1000000  # ms, of v5 and v9: the exporter began at 21:56:40
NTP = SECONDS + 2208988800 << 32
EXPORTED = "2023-11-14T22:13:20.000Z"
BEGAN = "2023-11-14T21:56:40.000Z"
WITHOUT_WAY = ("exporterAddress", "exporterPort", "receiveTime")  # checked apart


# ---- messages ----

def number(value, size):
    return value.to_bytes(size, "big", signed=value < 0)


def address(text):
    return ipaddress.ip_address(text).packed


def a_set(set_id, *contents, padding=0):
    body = b"".join(contents) + bytes(padding)
    return struct.pack(">HH", set_id, 4 + len(body)) + body


def specifiers(fields):
    """(id, length) or (id, length, enterprise) each."""
    return b"".join(struct.pack(">HH", *f) if len(f) == 2 else struct.pack(">HHI", f[0] | 0x8000, *f[1:])
                    for f in fields)


def template(number_of, *fields, set_id=2):
    return a_set(set_id, struct.pack(">HH", number_of, len(fields)), specifiers(fields))


def template_v9(number_of, *fields):
    return template(number_of, *fields, set_id=0)


def options_template(number_of, scopes, *fields):
    return a_set(3, struct.pack(">HHH", number_of, len(fields), scopes), specifiers(fields))


def options_template_v9(number_of, scopes, *fields):
    lengths = 4 * scopes, 4 * (len(fields) - scopes)
    return a_set(1, struct.pack(">HHH", number_of, *lengths), specifiers(fields), padding=2)


def withdrawal(number_of):
    return a_set(2, struct.pack(">HH", number_of, 0))


def v5(*records, sequence=0, sampling=0):
    return struct.pack(">HHIIIIBBH", 5, len(records), UPTIME, SECONDS, 0, sequence, 1, 2, sampling) + b"".join(records)


def v9(*sets, sequence=0, domain=7, count=1):
    """The count is wrong nearly always, as it is in the field."""
    return struct.pack(">HHIIII", 9, count, UPTIME, SECONDS, sequence, domain) + b"".join(sets)


def ipfix(*sets, sequence=0, domain=7, seconds=SECONDS):
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), seconds, sequence, domain) + body


def text(value):
    """Variable length, the short form."""
    return bytes([len(value)]) + value


def long_text(value):
    """Variable length, the form of three bytes, which is legal for short values too."""
    return b"\xff" + struct.pack(">H", len(value)) + value


# ---- records ----

def shown(version, domain=7, **fields):
    return {"observationDomain": domain, "exportVersion": version, "exportTime": EXPORTED, **fields}


class Case:
    def __init__(self, name, messages, flows, options=(), malformed=0, undecodable=0, ways="read udp", lossy=False):
        self.name = name
        self.messages = [m if isinstance(m, tuple) else (PORT, m) for m in messages]
        self.flows, self.options = list(flows), list(options)
        self.malformed, self.undecodable = malformed, undecodable
        self.ways = ways.split()
        self.lossy = lossy  # not all that is sent can be taken for messages

    def exit_status(self):
        if not self.lossy and self.malformed + self.undecodable == 0:
            return 0
        return 3 if self.flows or self.options else 1


ALL = "read udp tcp file"
ADDRESSES = ((8, 4), (12, 4))  # fields of most templates here
PAIR = address("192.0.2.7") + address("198.51.100.9")
SYSTEM = {"scope:System": "0x00000000"}
PAIR_SHOWN = {"sourceAddress": "192.0.2.7", "destinationAddress": "198.51.100.9"}


def v5_record(last_port, first=900000, last=950000):
    counters = struct.pack(">HHIIII", 3, 4, 10, 1500, first, last)
    rest = struct.pack(">HHBBBBHHBBH", 1024, last_port, 0, 0x1b, 6, 8, 64500, 64501, 24, 16, 0)
    return PAIR + address("192.0.2.254") + counters + rest


def v5_shown(last_port, **fields):
    return shown(5, domain=0x102, **PAIR_SHOWN, nextHopAddress="192.0.2.254", ingressInterface=3, egressInterface=4,
                 packetDeltaCount=10, octetDeltaCount=1500, sourceTransportPort=1024,
                 destinationTransportPort=last_port, tcpControlBits=0x1b, protocolIdentifier=6, ipClassOfService=8,
                 bgpSourceAsNumber=64500, bgpDestinationAsNumber=64501, sourceIPv4PrefixLength=24,
                 destinationIPv4PrefixLength=16, systemInitTime=BEGAN,
                 **{"flowStart": "2023-11-14T22:11:40.000Z", "flowEnd": "2023-11-14T22:12:30.000Z", **fields})


def cases_v5():
    yield Case("v5", [v5(v5_record(53), v5_record(80), sampling=0x4000 | 100)],
               [v5_shown(53, samplingRate=100), v5_shown(80, samplingRate=100)])
    yield Case("v5 gap", [v5(v5_record(53)), v5(v5_record(80), sequence=6)],
               [v5_shown(53), v5_shown(80, sequenceGap=5)])
    yield Case("v5 first after last, sentinel", [v5(v5_record(1, 950000, 900000), v5_record(2, 0xFFFFFFFF, 900000))],
               [v5_shown(1, flowStart="2023-11-14T22:12:30.000Z", flowEnd="2023-11-14T22:11:40.000Z"),
                v5_shown(2, flowStart="2024-01-03T14:59:27.295Z", flowEnd="2023-11-14T22:11:40.000Z")])
    yield Case("v5 of a wrong length", [v5(v5_record(53))[:-1]], [], malformed=1)
    yield Case("v5 whole and broken", [v5(v5_record(53)), v5(v5_record(80)) + b"\1"], [v5_shown(53), v5_shown(80)],
               malformed=1)
    yield Case("v5 where a stream of IPFIX belongs", [v5(v5_record(53))], [], ways="tcp", lossy=True)


def cases_v9():
    fields = (*ADDRESSES, (1, 4), (2, 4), (22, 4), (21, 4))
    data = PAIR + struct.pack(">IIII", 1500, 10, 900000, 950000)
    record = {**PAIR_SHOWN, "octetDeltaCount": 1500, "packetDeltaCount": 10, "systemInitTime": BEGAN,
              "flowStart": "2023-11-14T22:11:40.000Z", "flowEnd": "2023-11-14T22:12:30.000Z"}
    layout = template_v9(256, *fields)
    yield Case("v9", [v9(layout, a_set(256, data, data, padding=3))], [shown(9, **record)] * 2)
    yield Case("v9 data before template", [v9(a_set(256, data)), v9(layout, sequence=1)], [shown(9, **record)])
    yield Case("v9 without template", [v9(a_set(256, data))], [], undecodable=1)
    yield Case("v9 zero-filled tail", [v9(layout, a_set(256, data)) + bytes(200)], [shown(9, **record)])
    yield Case("v9 cut off", [v9(layout, a_set(256, data, data))[:-10]], [shown(9, **record)], malformed=1)
    options = options_template_v9(257, 1, (1, 4), (48, 1), (49, 1), (50, 4))
    samplers = a_set(257, bytes(4), b"\1\2", number(1000, 4), bytes(4), b"\2\2", number(50, 4))
    sampled = template_v9(258, *ADDRESSES, (48, 1), (1, 4))
    flows = a_set(258, PAIR, b"\2", number(9000, 4), PAIR, b"\1", number(8000, 4))
    yield Case("v9 sampling by options", [v9(options, sampled, samplers), v9(flows, sequence=1)],
               [shown(9, **PAIR_SHOWN, samplerId=2, octetDeltaCount=9000, samplingRate=50),
                shown(9, **PAIR_SHOWN, samplerId=1, octetDeltaCount=8000, samplingRate=1000)],
               [shown(9, **SYSTEM, samplerId=1, samplerMode=2, samplerRandomInterval=1000),
                shown(9, **SYSTEM, samplerId=2, samplerMode=2, samplerRandomInterval=50)])
    vendors = template_v9(259, (4, 1), (50123, 3), (50123, 2))
    yield Case("v9 types of vendors", [v9(vendors, a_set(259, b"\x11abc\0\1"))],
               [shown(9, protocolIdentifier=17, **{"v9:50123": "0x616263", "v9:50123#2": "0x0001"})])
    first, second = v9(template_v9(256, (4, 1))), v9(template_v9(256, (7, 2)))
    yield Case("v9 two exporters", [(PORT, first), (PORT + 1, second), (PORT, v9(a_set(256, b"\6"), sequence=1)),
                                    (PORT + 1, v9(a_set(256, b"\0\x35"), sequence=1))],
               [shown(9, protocolIdentifier=6), shown(9, sourceTransportPort=53)])


def names_v9():
    """Interfaces by scope and by field, applications; names that change between two messages."""
    interfaces = options_template_v9(257, 1, (2, 4), (82, 8))
    applications = options_template_v9(258, 1, (1, 4), (95, 4), (96, 8))
    layout = template_v9(256, (10, 4), (14, 4), (95, 4))
    def named(number_of, name):
        return a_set(257, number(number_of, 4), name.encode().ljust(8, b"\0"))
    def flow(inside, outside):
        return a_set(256, number(inside, 4), number(outside, 4), b"\3\0\0\x35")
    def record(inside, outside, **fields):
        return shown(9, ingressInterface=inside, egressInterface=outside, applicationId="0x03000035", **fields)
    def option(number_of, name):
        return shown(9, **{"scope:Interface": f"0x{number_of:08x}"}, interfaceName=name)
    dns = a_set(258, bytes(4), b"\3\0\0\x35", b"dns".ljust(8, b"\0"))
    own = template_v9(259, (95, 4), (96, 4)), a_set(259, b"\3\0\0\x35own\0")
    yield Case("v9 names by options", [v9(interfaces, applications, layout, named(3, "Gi0/3"), dns, flow(3, 4)),
                                       v9(named(3, "Gi1/3"), named(4, "Gi0/4"), flow(3, 4), flow(4, 9), sequence=1),
                                       v9(*own, sequence=2)],
               [record(3, 4, ingressInterfaceName="Gi0/3", toldApplicationName="dns"),
                record(3, 4, ingressInterfaceName="Gi1/3", egressInterfaceName="Gi0/4", toldApplicationName="dns"),
                record(4, 9, ingressInterfaceName="Gi0/4", toldApplicationName="dns"),
                shown(9, applicationId="0x03000035", applicationName="own", toldApplicationName="dns")],
               [option(3, "Gi0/3"), shown(9, **SYSTEM, applicationId="0x03000035", applicationName="dns"),
                option(3, "Gi1/3"), option(4, "Gi0/4")])


def names_ipfix():
    """Two domains with the same numbers; VRFs; the address that the exporter tells of itself."""
    options = options_template(257, 1, (10, 4), (82, 65535), (234, 4), (236, 65535))
    itself = options_template(258, 1, (144, 4), (130, 4))
    layout = template(256, (10, 4), (14, 4), (234, 4))
    def names(name, vrf):
        return a_set(257, number(7, 4), text(name), number(1, 4), text(vrf))
    def option(domain, name, vrf):
        return shown(10, domain, ingressInterface=7, interfaceName=name, ingressVRFID=1, VRFname=vrf)
    flow = a_set(256, number(7, 4), number(8, 4), number(1, 4))
    record = {"ingressInterface": 7, "egressInterface": 8, "ingressVRFID": 1}
    told = a_set(258, number(1, 4), address("198.51.100.77"))
    yield Case("names by options", [ipfix(options, itself, layout, names(b"xe-0", b"red"), flow, told, flow),
                                    ipfix(options, layout, names(b"ae1", b"blue"), flow, domain=8)],
               [shown(10, **record, ingressInterfaceName="xe-0", ingressVRFName="red"),
                shown(10, **record, ingressInterfaceName="xe-0", ingressVRFName="red",
                      toldExporterAddress="198.51.100.77"),
                shown(10, 8, **record, ingressInterfaceName="ae1", ingressVRFName="blue")],
               [option(7, "xe-0", "red"), shown(10, exportingProcessId=1, exporterIPv4Address="198.51.100.77"),
                option(8, "ae1", "blue")], ways=ALL)


def cases_names():
    yield from names_v9()
    yield from names_ipfix()


def value_case(name, fields, values, *records):
    """IPFIX: one template, the bytes of its records, and what they are shown as."""
    return Case(name, [ipfix(template(256, *fields), a_set(256, values))], [shown(10, **r) for r in records], ways=ALL)


def cases_text():
    values = (text("Žluťoučký \"kůň\"\n".encode()) + b"eth0\0\0\0\0" + long_text(b"\3\0\0\x50") +
              text(b"caf\xe9") + b"eth1\0\0\0\0" + text(b"") + text(b"") + bytes(8) + text(b"\1"))
    yield value_case("strings and variable length", [(371, 65535), (82, 8), (95, 65535)], values,
                     {"userName": "Žluťoučký \"kůň\"\n", "interfaceName": "eth0", "applicationId": "0x03000050"},
                     {"userName": {"hex": "636166e9"}, "interfaceName": "eth1", "applicationId": "0x"},
                     {"userName": "", "interfaceName": "", "applicationId": "0x01"})
    large = b"x" * 30000
    yield value_case("a message of 60,000 bytes", [(371, 65535)], long_text(large) * 2,
                     *[{"userName": large.decode()}] * 2)
    yield value_case("enterprise elements", [(4, 1), (100, 4, 32473), (5, 2, 4294967290)], b"\x11\1\2\3\4\5\6",
                     {"protocolIdentifier": 17, "32473:100": "0x01020304", "4294967290:5": "0x0506"})
    yield value_case("an element three times", [(70, 3), (70, 3), (4, 1), (70, 3)], b"aaabbb\x06ccc",
                     {"mplsTopLabelStackSection": "0x616161", "mplsTopLabelStackSection#2": "0x626262",
                      "protocolIdentifier": 6, "mplsTopLabelStackSection#3": "0x636363"})
    basic = b"\xff" + struct.pack(">HH", 10, 4) + number(1, 4) + number(2, 4)
    yield value_case("a list", [(4, 1), (291, 65535)], b"\6" + text(basic),
                     {"protocolIdentifier": 6, "basicList": "0x" + basic.hex()})


def cases_numbers():
    milliseconds = SECONDS * 1000
    yield value_case("biflow", [(1, 8), (2, 8), (1, 8, 29305), (2, 8, 29305), (152, 8), (152, 8, 29305)],
                     struct.pack(">6Q", 2**64 - 1, 10, 700, 5, milliseconds, milliseconds + 7),
                     {"octetDeltaCount": 2**64 - 1, "packetDeltaCount": 10, "reverseOctetDeltaCount": 700,
                      "reversePacketDeltaCount": 5, "flowStartMilliseconds": EXPORTED,
                      "reverseFlowStartMilliseconds": "2023-11-14T22:13:20.007Z"})
    yield value_case("reduced size", [(1, 3), (2, 5), (7, 1), (434, 3), (320, 4)],
                     number(0xABCDEF, 3) + number(2**40 - 2, 5) + b"\x35" + number(-5, 3) + struct.pack(">f", 0.5),
                     {"octetDeltaCount": 0xABCDEF, "packetDeltaCount": 2**40 - 2, "sourceTransportPort": 53,
                      "mibObjectValueInteger": -5, "absoluteError": 0.5})
    yield value_case("numbers of all kinds", [(434, 4), (320, 8), (311, 8), (276, 1), (56, 6), (70, 3)],
                     number(-2**31, 4) + struct.pack(">dd", 1234.56789, 1 / 3) + b"\2\x02\0\x5e\x10\x20\x30\1\2\3",
                     {"mibObjectValueInteger": -2**31, "absoluteError": 1234.56789, "samplingProbability": 1 / 3,
                      "samplingRate": 3, "dataRecordsReliability": 2, "sourceMacAddress": "02:00:5e:10:20:30",
                      "mplsTopLabelStackSection": "0x010203"})
    wrong = ipfix(template(256, (1, 9), (8, 2), (152, 4), (4, 1)), a_set(256, bytes(range(1, 17))))
    right = ipfix(template(257, (1, 4), *ADDRESSES), a_set(257, number(9, 4), PAIR), sequence=1)
    as_bytes = {"octetDeltaCount:bytes": "0x010203040506070809", "sourceIPv4Address:bytes": "0x0a0b",
                "flowStartMilliseconds:bytes": "0x0c0d0e0f", "protocolIdentifier": 16}
    yield Case("wrong lengths", [wrong, right], [shown(10, **as_bytes), shown(10, octetDeltaCount=9, **PAIR_SHOWN)],
               ways=ALL)


def cases_times_and_addresses():
    yield value_case("times", [(150, 4), (153, 8), (154, 8), (157, 8), (323, 8)],
                     struct.pack(">IQQQQ", SECONDS, SECONDS * 1000 + 1, NTP | 1 << 31, NTP | 0xFFFFFFFF, 0),
                     {"flowStartSeconds": EXPORTED, "flowEndMilliseconds": "2023-11-14T22:13:20.001Z",
                      "flowStartMicroseconds": "2023-11-14T22:13:20.500000000Z",
                      "flowEndNanoseconds": "2023-11-14T22:13:20.999999999Z",
                      "observationTimeMilliseconds": "1970-01-01T00:00:00.000Z"})
    yield value_case("times since the exporter's start", [(160, 8), (22, 4), (21, 4)],
                     struct.pack(">QII", SECONDS * 1000 - UPTIME, 900000, 950000),
                     {"systemInitTimeMilliseconds": BEGAN, "systemInitTime": BEGAN,
                      "flowStart": "2023-11-14T22:11:40.000Z", "flowEnd": "2023-11-14T22:12:30.000Z"})
    both = PAIR[:4] + address("2001:db8::1")
    yield value_case("both families", [(60, 1), (8, 4), (27, 16)], b"\6" + both + b"\4" + both,
                     {"ipVersion": 6, "sourceAddress": "2001:db8::1", "sourceIPv4Address": "192.0.2.7"},
                     {"ipVersion": 4, "sourceAddress": "192.0.2.7", "sourceIPv6Address": "2001:db8::1"})


LAYOUT, DATA, RECORD = template(256, *ADDRESSES), a_set(256, PAIR), shown(10, **PAIR_SHOWN)


def cases_templates():
    ports, two_ports = template(256, (7, 2), (11, 2)), a_set(256, b"\0\1\0\2")
    yield Case("padding and reserved sets", [ipfix(LAYOUT, a_set(256, PAIR, padding=3), a_set(5, b"abcd"), DATA)],
               [RECORD] * 2, malformed=1, ways=ALL)
    yield Case("domains", [ipfix(LAYOUT), ipfix(ports, domain=8), ipfix(DATA), ipfix(two_ports, domain=8)],
               [RECORD, shown(10, domain=8, sourceTransportPort=1, destinationTransportPort=2)], ways=ALL)
    yield Case("redefinition", [ipfix(LAYOUT, DATA), ipfix(ports, two_ports, sequence=1)],
               [RECORD, shown(10, sourceTransportPort=1, destinationTransportPort=2)], ways=ALL)
    early = [ipfix(DATA), ipfix(LAYOUT, sequence=1)]
    yield Case("data before template", early, [RECORD], ways="read udp file")
    yield Case("data before template on a stream", early, [], undecodable=1, ways="tcp")
    withdrawn = [ipfix(LAYOUT, DATA), ipfix(withdrawal(256), sequence=1), ipfix(DATA, sequence=1)]
    yield Case("withdrawal of a stream", withdrawn, [RECORD], undecodable=1, ways="tcp file")
    yield Case("withdrawal that UDP ignores", withdrawn, [RECORD] * 2)
    options = options_template(257, 1, (149, 4), (304, 2), (305, 4), (306, 4))
    selector = a_set(257, number(7, 4), b"\0\1", number(1, 4), number(99, 4))
    yield Case("sampling by options", [ipfix(options, selector, LAYOUT), ipfix(DATA, sequence=1)],
               [{**RECORD, "samplingRate": 100}],
               [shown(10, observationDomainId=7, selectorAlgorithm=1, samplingPacketInterval=1,
                      samplingPacketSpace=99)], ways=ALL)


def cases_streams():
    first, second, noise = ipfix(LAYOUT, DATA), ipfix(DATA, sequence=1), b"\xff" * 40
    yield Case("lost messages", [first, ipfix(DATA, DATA, sequence=4)], [RECORD, {**RECORD, "sequenceGap": 3}, RECORD],
               ways=ALL)
    broken = ipfix(LAYOUT, DATA[:-8])
    yield Case("a broken message between whole ones", [first, broken, second], [RECORD] * 2, malformed=1, ways=ALL)
    yield Case("a file with damage", [first, noise, second], [RECORD] * 2, ways="file", lossy=True)
    yield Case("a file that is cut off", [first, second[:-1]], [RECORD], ways="file", lossy=True)
    yield Case("a stream with damage", [first, noise, second], [RECORD], ways="tcp", lossy=True)
    yield Case("a stream that is cut off", [first, second[:-1]], [RECORD], ways="tcp", lossy=True)
    yield Case("a bad stream and a good one", [(PORT, ipfix(LAYOUT)), (PORT + 1, ipfix(LAYOUT)), (PORT, noise),
                                               (PORT + 1, ipfix(DATA))], [RECORD], ways="tcp", lossy=True)


CASES = (cases_v5, cases_v9, cases_names, cases_text, cases_numbers, cases_times_and_addresses, cases_templates,
         cases_streams)


# ---- the ways ----

def row_of(pairs):
    """A record without its nulls."""
    names = [name for name, _ in pairs]
    check(len(set(names)) == len(names), f"a name stands twice in {names}")
    return {name: value for name, value in pairs if value is not None}


def compare(case, store, source):
    """source: what exporterAddress, exporterPort and receiveTime must be; None: not compared."""
    for kind, want in (("flows", case.flows), ("options", case.options)):
        got = pipeline.query(store, f"--record-kind={kind}", row=row_of) if store.exists() else []
        from_where = [[row.pop(name, None) for name in WITHOUT_WAY] for row in got]
        check(len(got) == len(want), f"{len(got)} {kind} instead of {len(want)}: {got}")
        for g, w in zip(got, want):
            different = {n: (g.get(n), w.get(n)) for n in g.keys() | w.keys() if g.get(n) != w.get(n)}
            check(not different, f"{kind}: (shown, expected): {different}")
            check(all(type(g[n]) is type(w[n]) for n in g), f"{kind}: a number for a string in {g}")
        for got_source in from_where:
            check(all(w is None or g == w for g, w in zip(got_source, source)),
                  f"{kind} come from {got_source}, not {source}")


def check_import(case, done):
    check(done.status == case.exit_status(), f"exit status {done.status}: {done.complaints[-300:]}")
    check((done.flows, done.options, done.malformed, done.undecodable) ==
          (len(case.flows), len(case.options), case.malformed, case.undecodable), f"the summary tells {vars(done)}")
    check((done.also != "") == case.lossy, f"the summary also tells{done.also}")
    check(("is missing" in done.complaints) == (case.undecodable != 0), f"of missing templates: {done.complaints[-300:]}")


def read_capture(case, folder):
    pipeline.write_pcap(folder / "c.pcap", [(port, SECONDS * 1000 + 250, payload) for port, payload in case.messages])
    check_import(case, pipeline.Import(folder / "store", folder / "c.pcap"))
    one_port = PORT if all(port == PORT for port, _ in case.messages) else None
    compare(case, folder / "store", ("192.0.2.1", one_port, "2023-11-14T22:13:20.250Z"))


def read_file(case, folder):
    (folder / "c.ipfix").write_bytes(b"".join(payload for _, payload in case.messages))
    check_import(case, pipeline.Import(folder / "store", folder / "c.ipfix"))
    compare(case, folder / "store", (None, None, EXPORTED))


def finish(case, collector):
    sums = collector.received(0 if case.lossy else len(case.messages))
    collector.stop()
    if not case.lossy:
        got = (sums["flows"], sums["options"], sums["malformed"], sums["no_template_sets"] - sums["recovered_sets"])
        check(got == (len(case.flows), len(case.options), case.malformed, case.undecodable), f"the status tells {sums}")
    compare(case, collector.store, ("127.0.0.1", None, None))


def over_udp(case, folder):
    with pipeline.collecting("udp") as collector:
        collector.send_datagrams(case.messages)
        finish(case, collector)


def over_tcp(case, folder):
    chance = pipeline.random.Random(f"{pipeline.SEED} {case.name}")
    with pipeline.collecting("tcp") as collector, contextlib.ExitStack() as sockets:
        streams = {}
        for port, payload in case.messages:
            if port not in streams:
                streams[port] = sockets.enter_context(collector.connect())
            collector.send_stream(streams[port], pipeline.cut(payload, chance))
        sockets.close()
        finish(case, collector)


def asked(case, folder):
    """A function that gives the values of the fields it is asked for, of a store with the case's messages."""
    pipeline.write_pcap(folder / "c.pcap", [(port, SECONDS * 1000, payload) for port, payload in case.messages])
    check_import(case, pipeline.Import(folder / "store", folder / "c.pcap"))
    return lambda *options, fields: pipeline.query(folder / "store", *options, fields=fields,
                                                   row=lambda pairs: [v for _, v in pairs])


def fields_of_applications(case, folder):
    """applicationName of the record, else what was told of its id."""
    ask = asked(case, folder)
    groups = ask("-a", "appname", "-o", "flows#desc", fields="appname,flows")
    check(groups == [["dns", 3], ["own", 1]], f"-a appname gives {groups}")
    some = ask("-f", "appname own or outifname Gi0/4", fields="appname,inifname")
    check(some == [["dns", "Gi1/3"], ["own", None]], f"the filter gives {some}")


def fields_of_names(case, folder):
    """The short names: in groups, in filters, and what stands where nothing was told."""
    ask = asked(case, folder)
    top = ask("-s", "inifname", fields="inifname,flows")
    check(top == [["xe-0", 2], ["ae1", 1]], f"-s inifname gives {top}")
    pairs = ask("-a", "ifname", "-o", "flows#desc", fields="ifname,flows")
    check(pairs == [["xe-0", 2], ["ae1", 1]], f"-a ifname gives {pairs}")
    some = ask("-f", "invrfname blue or exporterip 198.51.100.77", fields="invrfname,outvrfname,outifname,exporterip")
    check(some == [["red", None, None, "198.51.100.77"], ["blue", None, None, "192.0.2.1"]], f"the filter gives {some}")


WAYS = {"read": read_capture, "udp": over_udp, "tcp": over_tcp, "file": read_file}


def tests():
    for cases in CASES:
        for case in cases():
            for way in case.ways:
                yield f"{case.name} ({way})", WAYS[way], case
    yield "v9 names by options (fields)", fields_of_applications, next(names_v9())
    yield "names by options (fields)", fields_of_names, next(names_ipfix())


if __name__ == "__main__":
    sys.exit(pipeline.run_tests(tests()))
