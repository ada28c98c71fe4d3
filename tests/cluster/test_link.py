#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""The link port is a door for members: what strangers, and a member that lies, send to a subcollector costs nobody else anything."""
import os
import re
import socket
import struct
import tempfile
import time

import cluster_kit as kit

STRANGER, LIAR = "127.0.66.6", "127.0.77.9"  # the liar is a member, a proxy that this test plays
HELLO, BATCH, PART, TALLY, STREAM = 256, 257, 258, 261, 262
MIB = 1 << 20


# ---- the link's messages (relay/link.h) ----

def message(set_id, body):
    return struct.pack("!HHIIIHH", 10, 20 + len(body), int(time.time()), 0, 0, set_id, 4 + len(body)) + body


def hello(name):
    return message(HELLO, struct.pack("!HQIB", 1, 1, 0, len(name)) + name.encode())


def tally(stream, window_ms, window_s, lane=7):
    return message(TALLY, struct.pack("!QIQI8Q", stream, lane, window_ms, window_s, *[1000, 999999, 0, 0] * 2))


def stream_news(stream):
    return message(STREAM, struct.pack("!QBB", stream, 0, 0))


def batch(stream, size):
    return message(BATCH, struct.pack("!QIQQIIBIQ", stream, 7, 0, 0, 60, 100, 0, size, 0))


def part(size):
    return message(PART, struct.pack("!BH", 255, size) + bytes(size))


def connect(node, source):
    s = socket.socket()
    s.bind((source, 0))
    s.settimeout(10)
    s.connect((node.address, node.link_port))
    return s


def say(node, source, *messages):
    """What is said, however it is taken."""
    s = connect(node, source)
    try:
        s.sendall(b"".join(messages))
    except OSError:
        pass
    return s


def all_heard(s):
    """Bytes until the other end closes; None: it does not within ten seconds, whatever it says."""
    heard, deadline = b"", time.monotonic() + 10
    try:
        while block := s.recv(65536):
            heard += block
            if time.monotonic() > deadline:
                return None
    except TimeoutError:
        return None
    except ConnectionError:
        pass
    return heard


def refused(node, reason):
    return node.status()["cluster"]["subcollector"].get("link_refused", {}).get(reason, 0)


def lines(node, sentence):
    return node.log.read_text().count(sentence)


def this_window(cluster):
    length = cluster.window * 1000
    return int(time.time() * 1000) // length * length


# ---- scenarios; each with the same cluster of three, which takes flows all the while ----

def complete(cluster, sent, what):
    kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.nodes))
    time.sleep(1.2)  # the tallies of it
    kit.check_numbers(f"link: {what}: every flow once, and complete", [n.store for n in cluster.nodes], sent)


def strangers(cluster):
    n1, n2, _ = cluster.nodes
    window = this_window(cluster)
    before = descriptors(n2)
    lies = [say(n2, STRANGER, hello("n1"), tally(0xDEAD, window, 60), stream_news(0xBEEF)) for _ in range(50)]
    heard = all_heard(lies[0])
    kit.check("link: an address that is no member's hears nothing", heard == b"", heard)
    kit.check("link: it is counted", kit.wait_for(lambda: refused(n2, "no_member_address") == 50), n2.status()["cluster"])
    for name in ("mallory", "n3", "n1"):
        s = say(n2, LIAR, hello(name), tally(0xDEAD, window, 60), stream_news(0xBEEF))
        kit.check(f"link: the name {name} from another's address is closed", all_heard(s) is not None, n2.log.read_text())
    kit.check("link: and counted", kit.wait_for(lambda: refused(n2, "no_member_name") == 3), n2.status()["cluster"])
    kit.check("link: the log tells it once", lines(n2, "from an address that is no member's") == 1 and lines(n2, STRANGER) == 1 and
              lines(n2, "no member's at that address") == 1 and lines(n2, "mallory (127.0.77.9") == 1, n2.log.read_text())
    kit.check("link: nothing is kept of it", not list(n2.store.glob(".streams/*dead")) + list(n2.store.glob(".streams/*beef")) +
              list(n2.store.glob("2*/**/*dead.tally")))
    crowd = [connect(n2, STRANGER) for _ in range(1100)]
    kit.check("link: 1,100 connections take no descriptors", kit.wait_for(lambda: descriptors(n2) <= before + 4), descriptors(n2))
    for s in crowd:
        s.close()
    kit.check("link: the proxies stay connected", n1.member("n2")["connects"] == 1, n1.status()["cluster"])


def named(cluster):
    """A member that the file knows by its host name."""
    n2 = cluster.nodes[1]
    kit.check("link: a host name is looked up", kit.wait_for(lambda: say(n2, "127.0.0.1", hello("named")) and lines(n2, "the proxy named")),
              n2.log.read_text())


def descriptors(node):
    return len(os.listdir(f"/proc/{node.child.pid}/fd"))


def silent(cluster):
    """Connections of a member's address that say nothing."""
    n2 = cluster.nodes[1]
    before = descriptors(n2)
    crowd = [connect(n2, LIAR) for _ in range(300)]
    kit.check("link: of those that do not greet there are eight", kit.wait_for(lambda: descriptors(n2) <= before + 9), descriptors(n2))
    again = say(n2, LIAR, hello("liar"))
    kit.check("link: who greets comes in all the same", kit.wait_for(lambda: lines(n2, "the proxy liar") == 1), n2.log.read_text())
    kit.check("link: the others are closed in time", kit.wait_for(lambda: refused(n2, "no_greeting") >= 7 and
                                                                 descriptors(n2) <= before + 2), n2.status()["cluster"])
    kit.check("link: and counted", kit.wait_for(lambda: refused(n2, "crowd") >= 290), n2.status()["cluster"])
    again.close()
    for s in crowd:
        s.close()


def unfinished(cluster):
    """Batches of 64 MiB that are never whole: two connections of a member at most, the rest is displaced."""
    n2 = cluster.nodes[1]
    held = []
    for i in range(5):
        held.append(say(n2, LIAR, hello("liar"), batch(i, 64 * MIB), *[part(65000)] * 500))
    kit.check("link: what is unfinished is bounded",
              kit.wait_for(lambda: 16 * MIB < n2.status()["cluster"]["subcollector"].get("unfinished_bytes", 0) <= 130 * MIB),
              n2.status()["cluster"])
    kit.check("link: the newest stay", kit.wait_for(lambda: refused(n2, "displaced") == 3), n2.status()["cluster"])
    for s in held:
        s.close()
    kit.check("link: and it comes back", kit.wait_for(lambda: n2.status()["cluster"]["subcollector"].get("unfinished_bytes", 0) < MIB),
              n2.status()["cluster"])
    announced = say(n2, LIAR, hello("liar"), batch(9, 64 * MIB), part(100))
    kit.check("link: what is announced takes little", kit.wait_for(lambda: n2.status()["cluster"]["subcollector"]["connections"] >= 3) and
              n2.status()["cluster"]["subcollector"].get("unfinished_bytes", 0) < MIB, n2.status()["cluster"])
    return announced


def lies(cluster):
    """A member that speaks of others' streams, of windows that cannot be, and of too many."""
    n1, n2, _ = cluster.nodes
    window = this_window(cluster)
    stream = int(n1.status()["cluster"]["proxy"]["stream"], 16)
    liar = say(n2, LIAR, hello("liar"), tally(stream, window, 60), stream_news(stream), tally(1, window + 10 * 86400000, 60))
    kit.check("link: another's stream is refused", kit.wait_for(lambda: refused(n2, "stream") >= 2), n2.status()["cluster"])
    kit.check("link: and a window far ahead", kit.wait_for(lambda: refused(n2, "window") >= 1), n2.status()["cluster"])
    began = time.monotonic()
    past = this_window(cluster) - 400 * 86400000
    for i in range(0, 100000, 100):
        liar.sendall(b"".join(tally(0x100000000 + k, past - k * 60000, 60, 1 + k % 50) for k in range(i, i + 100)))
    kit.check("link: 100,000 tallies are too many", kit.wait_for(lambda: refused(n2, "tallies") > 10000), n2.status()["cluster"])
    liar.close()
    time.sleep(1)
    files = len(list(n2.store.glob("20*/**/*-00000001*.tally")))
    kit.check("link: their files are few", files <= 256 * (2 + time.monotonic() - began) and files < 16384, files)
    folders = sorted(p.name for p in (n2.store / ".replica").iterdir())
    kit.check("link: no folder for a lane of nobody", set(folders) <= {"n1", "n3"}, folders)
    return stream


def flapping(cluster):
    """A proxy that says something and goes, 200 times: the log has some of its lines."""
    n1, n2, _ = cluster.nodes
    another = int(n1.status()["cluster"]["proxy"]["stream"], 16)
    for _ in range(200):
        s = say(n2, LIAR, hello("liar"), stream_news(another))
        s.recv(1)
        s.close()
    kit.check("link: who comes and goes has some lines a minute", 7 < lines(n2, "the proxy liar") <= 80, n2.log.read_text())


def all_told(node):
    """How often the log says that a proxy is connected, what it left out included."""
    text = node.log.read_text()
    return lines(node, "the proxy ") + sum(int(n) - 1 for n in re.findall(r"the proxy .*\(the last of (\d+) like it", text))


def main():
    with tempfile.TemporaryDirectory() as folder:
        cluster = kit.Cluster(folder, 3, 2)
        others = [kit.Node(cluster, name, at, ["proxy"], link_port=4741, port=4739)
                  for name, at in (("liar", LIAR), ("named", "localhost"))]
        cluster.write_members(1, [*cluster.nodes, *others])
        cluster.start()
        n2 = cluster.nodes[1]
        exporter = kit.Exporter(cluster.nodes[0])
        sent = set()
        announced = None
        for number, scenario in enumerate((strangers, named, silent, unfinished)):
            sent |= set(exporter.send(number * 1000, 600))
            announced = scenario(cluster)
            complete(cluster, sent, scenario.__name__)
        sent |= set(exporter.send(9000, 600))
        lies(cluster)
        kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.nodes))
        got, _ = kit.numbers([n.store for n in cluster.nodes])  # a member that tells of losses of its own is believed
        kit.check("link: lies: every flow once", set(got) == sent and set(got.values()) == {1}, len(got))
        kit.check("link: what does not go on is closed", kit.wait_for(lambda: refused(n2, "slow") == 1, 60) and
                  all_heard(announced) is not None or kit.wait_for(lambda: refused(n2, "slow") == 1), n2.status()["cluster"])
        kit.check("link: no more than a line a minute for each", all(lines(n2, s) <= 4 for s in (
            "tallies and news beyond", "had not greeted", "no member's at", "did not greet")), n2.log.read_text())
        exporter.close()
        flapping(cluster)
        kit.check("link: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
        kit.check("link: the log tells what it left out", 200 <= all_told(n2) <= 220, n2.log.read_text())
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())
