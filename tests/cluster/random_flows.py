# SPDX-License-Identifier: BSD-3-Clause
"""Seeded random flows of several shapes, as Python objects and as IPFIX: what a store must hold of them is known without asking it.

A flow is a dictionary of sc-query's names of fields; a field that its template does not have is absent. "number" (flowId) is its
own. Addresses are ipaddress objects, times are ms since 1970."""
import ipaddress
import socket
import struct
import time

# name: (element, bytes); 0: of variable length
ELEMENTS = {"flowId": (148, 8), "proto": (4, 1), "srcport": (7, 2), "dstport": (11, 2), "bytes": (1, 8), "packets": (2, 8),
            "first": (152, 8), "last": (153, 8), "flags": (6, 2), "tos": (5, 1), "inif": (10, 4), "outif": (14, 4),
            "srcas": (16, 4), "dstas": (17, 4), "srcvlan": (58, 2), "dstvlan": (59, 2), "username": (371, 0),
            "tcpWindowSize": (186, 2)}
ADDRESSES = {4: {"srcip": (8, 4), "dstip": (12, 4)}, 6: {"srcip": (27, 16), "dstip": (28, 16)}}
COMMON = ["flowId", "srcip", "dstip", "proto", "bytes", "packets", "first", "last"]
SHAPES = [(4, [*COMMON, "srcport", "dstport", "flags", "tos", "inif", "outif"]),
          (4, [*COMMON, "srcport", "dstport", "srcas", "dstas", "inif", "outif", "username"]),
          (6, [*COMMON, "srcport", "dstport", "flags", "srcas", "dstas", "tcpWindowSize"]),
          (4, [*COMMON, "tos", "srcvlan", "dstvlan"])]
USERS = ["", "alice", "Bob", "carol, of \"sales\"", "dörte", "eve"]
PORTS = [22, 53, 80, 123, 443, 8080]
DOMAIN_OPTIONS = 90


def address(rng, version, wide):
    if version == 6:
        return ipaddress.ip_address((0x20010db8 << 96) + (rng.randrange(3) << 64) + min(int(rng.expovariate(0.05)), wide))
    return ipaddress.ip_address(0x0a000000 + (rng.randrange(4) << 16) + min(int(rng.expovariate(0.02)), wide))


def make_one(rng, number, base_ms):
    version, names = rng.choices(SHAPES, (5, 3, 3, 1))[0]
    first = base_ms + rng.randrange(600000)
    packets = 1 + int(rng.expovariate(0.2))
    values = {"flowId": number, "srcip": address(rng, version, 3000), "dstip": address(rng, version, 300),
              "proto": rng.choices((6, 17, 1, 47), (6, 4, 1, 1))[0], "bytes": packets * rng.randrange(40, 1500), "packets": packets,
              "first": first, "last": first + int(rng.expovariate(0.0005)),
              "srcport": rng.randrange(1024, 65536) if rng.random() < .7 else rng.choice(PORTS), "dstport": rng.choice(PORTS),
              "flags": rng.choice((0x02, 0x12, 0x18, 0x1b, 0x11, 0x04)), "tos": rng.choice((0, 0, 0, 8, 46)),
              "inif": rng.randrange(1, 5), "outif": rng.randrange(1, 5), "srcas": rng.choice((0, 64500, 64501, 4200000000)),
              "dstas": rng.choice((64500, 64502, 3320)), "srcvlan": rng.randrange(1, 4), "dstvlan": rng.randrange(1, 4),
              "username": rng.choice(USERS), "tcpWindowSize": rng.randrange(65536)}
    return {"version": version, **{name: values[name] for name in names}}


def make(rng, count, base_ms=None):
    base_ms = base_ms or (int(time.time()) - 900) * 1000
    return [make_one(rng, number, base_ms) for number in range(count)]


def divide(flows, rng, count):
    parts = [[] for _ in range(count)]
    for flow in flows:
        parts[rng.randrange(count)].append(flow)
    return parts


# ---- as IPFIX ----

def template(number):
    version, names = SHAPES[number]
    fields = [{**ELEMENTS, **ADDRESSES[version]}[name] for name in names]
    return struct.pack("!HH", 256 + number, len(fields)) + b"".join(struct.pack("!HH", e, n or 65535) for e, n in fields)


def encode(value, length):
    if isinstance(value, str):
        text = value.encode()
        return bytes([len(text)]) + text
    return value.packed if hasattr(value, "packed") else value.to_bytes(length, "big")


def record(flow):
    version = flow["version"]
    elements = {**ELEMENTS, **ADDRESSES[version]}
    return b"".join(encode(value, elements[name][1]) for name, value in flow.items() if name != "version")


def shape_of(flow):
    names = [name for name in flow if name != "version"]
    return SHAPES.index((flow["version"], names))


def message(sets, sequence, domain):
    body = b"".join(struct.pack("!HH", number, 4 + len(data)) + data for number, data in sets)
    return struct.pack("!HHIII", 10, 16 + len(body), int(time.time()), sequence, domain) + body


def messages(flows, domain):
    yield message([(2, b"".join(template(i) for i in range(len(SHAPES))))], 0, domain)
    for at in range(0, len(flows), 100):
        some = flows[at:at + 100]
        sets = {}
        for flow in some:
            sets.setdefault(256 + shape_of(flow), []).append(record(flow))
        yield message([(number, b"".join(data)) for number, data in sets.items()], at, domain)


def options_messages(domain, count):
    """Options records: names of interfaces, by ingressInterface (scope) and interfaceName."""
    fields = struct.pack("!HHH", 400, 2, 1) + struct.pack("!HHHH", 10, 4, 82, 65535)
    yield message([(3, fields)], 0, domain)
    data = b"".join(struct.pack("!I", n) + encode(f"eth{domain}/{n}", 0) for n in range(1, count + 1))
    yield message([(400, data)], 0, domain)


def send(flows, connect, domain):
    """Over TCP; names of interfaces too."""
    made = connect(None)
    with made:
        for one in [*options_messages(domain, 4), *messages(flows, domain)]:
            made.sendall(one)
        made.shutdown(socket.SHUT_WR)
