#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""Records as large as a message lets them be, more of them at once than the link took in one batch: nobody else notices."""
import os
import socket
import struct
import tempfile
import time

import cluster_kit as kit

FAT, VALUE, FIRST_FAT = 2300, 64400, 10**6
NUMBER, TEXT = (148, 8), (82, 65535)


def fat_stream(first):
    """Numbered records with one string each, as one IPFIX stream: none of its bytes compress."""
    def message(set_id, body, sequence):
        return struct.pack("!HHIIIHH", 10, 20 + len(body), int(time.time()), sequence, 7, set_id, 4 + len(body)) + body

    template = struct.pack("!HHHHHH", 300, 2, *NUMBER, *TEXT)
    data = (message(300, struct.pack("!QBH", first + i, 255, VALUE) + os.urandom(VALUE), i) for i in range(FAT))
    return message(2, template, 0) + b"".join(data)


def send_fat(node, first):
    """As fast as it goes: a proxy that takes longer than 200 ms for a batch sends it before it is large."""
    stream = fat_stream(first)
    with socket.create_connection((node.address, node.port), 10) as s:
        s.settimeout(120)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        s.sendall(stream)


def deaths(proxy):
    return {m["name"]: m["deaths"] for m in proxy.status()["cluster"]["members"] if "deaths" in m}


def accepted(proxy, records):
    """The proxy has that many in batches, and all of these are with the subcollectors."""
    def done():
        status = proxy.status()
        return status and status["cluster"]["proxy"]["records"] >= records and proxy.waiting() == 0
    return kit.wait_for(done, 90)


def main():
    with tempfile.TemporaryDirectory(prefix="sc-bounds.") as folder:
        c = kit.Cluster(folder, 3, 2, roles=[["proxy"], ["subcollector"], ["subcollector"]])
        c.start()
        proxy, stores = c.nodes[0], [n.store for n in c.nodes[1:]]
        honest = kit.Exporter(proxy)
        wanted = list(honest.send(0, 1000))
        before = deaths(proxy)
        send_fat(proxy, FIRST_FAT)
        wanted += range(FIRST_FAT, FIRST_FAT + FAT)
        wanted += honest.send(1000, 1000)
        kit.check("all is accepted, sent and acknowledged", accepted(proxy, len(wanted)), c.logs())
        kit.check("no connection dies of it", deaths(proxy) == before, f"{before} {deaths(proxy)}\n{c.logs()}")
        kit.check_numbers("all can be queried, once", stores, wanted)
        kit.check("the end is in good order", c.stop() == [0, 0, 0], c.logs())
        kit.check("nothing is left in the outbox", not list(proxy.store.glob("outbox/*.scout")), c.logs())
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
