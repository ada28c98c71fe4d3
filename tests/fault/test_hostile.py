#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=600 beside=quiet
"""Attacks beside honest exporters: nothing that one party sends costs another (docs/security.md, which holds the ceilings)."""
import os
import socket
import struct
import sys
import time

import hostile_kit as kit
from hostile_kit import (data, ipfix, options_template, options_templates, template, templates, v9, variable)

LONG = bool(os.environ.get("SC_LONG"))


# ---- state of exporters ----

def templates_of_many_ports(a):
    """8 MiB of templates for each port of one address."""
    messages = [ipfix(templates(*(template(256 + m * 15 + k, *((1 + i % 400, 1) for i in range(1024))) for k in range(15))))
                for m in range(12)]
    for _ in range(40):
        s = a.socket()
        for message in messages:
            a.send(s, message)


def names_of_many_interfaces(a):
    for _ in range(8):
        s = a.socket()
        a.send(s, ipfix(options_templates(options_template(300, 1, (10, 4), (82, 65535)))))
        for m in range(60):
            body = b"".join(struct.pack("!I", m * 250 + k) + variable(b"%08d" % k * 30) for k in range(250))
            a.send(s, ipfix(data(300, body)))


def junk_headers(a):
    """From thousands of ports and addresses: nothing that could ever be of use."""
    for i in range(6000):
        s = a.socket(f"127.{1 + i // 250 % 200}.{i % 250}.7" if i % 2 else "127.0.0.2")
        a.send(s, (v9, ipfix)[i % 2](sequence=i * 7919, domain=i))
        a.send(s, struct.pack("!HHIIIIBBH", 5, 30, 1, 2, 3, i, 0, 0, 0))
        s.close()


def many_domains(a):
    s = a.socket()
    for domain in range(20000):
        a.send(s, ipfix(templates(template(256, (8, 4), (1, 4))), domain=domain))


def many_addresses(a):
    """Strangers with a template each, from 8,000 addresses."""
    for i in range(8000):
        s = a.socket(f"127.{10 + i // 250 // 250}.{i // 250 % 250}.{1 + i % 250}")
        a.send(s, ipfix(templates(template(256, *((1 + k, 4) for k in range(100)))), domain=1))
        s.close()


def template_flapping(a):
    """The same id with another layout, and data, in turn."""
    s = a.socket()
    for i in range(8000):
        layout = ((8, 4), (1, 4)) if i % 2 else ((1, 8),)
        a.send(s, ipfix(templates(template(256, *layout)), data(256, bytes(8)), sequence=i))


# ---- columns, batches, the queue ----

def sparse_columns(a):
    """60,000 records of one byte, then templates of 256 elements that nobody knows, one record each, from 64 ports."""
    sockets = [a.socket() for _ in range(64)]
    for i, s in enumerate(sockets[1:]):
        a.send(s, ipfix(templates(template(256, *((1 + k, 1, 100000 + i) for k in range(256))))))
    a.send(sockets[0], ipfix(templates(template(256, (4, 1)))))
    for _ in range(4):
        a.send(sockets[0], ipfix(data(256, b"\x06" * 60000)))
        for s in sockets[1:]:
            a.send(s, ipfix(data(256, b"x" * 256)))
        time.sleep(0.5)


def unknown_elements(a):
    """More elements than any table has places, each once."""
    for i in range(300):
        s = a.socket()
        a.send(s, ipfix(templates(template(256, *((1 + k, 1, 200000 + i) for k in range(256)))), data(256, bytes(256))))
        s.close()


def fat_records(a):
    """Strings of 64,400 bytes over TCP, then small ones: what is weighed is what is there."""
    s = a.stream()
    s.sendall(ipfix(templates(template(300, (1, 65535, 50000)))))
    fat = ipfix(data(300, b"\xff" + struct.pack("!H", 64400) + os.urandom(4) + bytes(64396)))
    small = ipfix(data(300, b"\x08abcdefgh" * 100))
    for _ in range(1500):
        s.sendall(fat)
    for _ in range(2000):
        s.sendall(small)
    s.close()


# ---- connections ----

def idle_connections(a):
    """As many as there may be, of one host; half of them with the head of a message, nothing more."""
    kept = []
    for i in range(1200):
        try:
            s = a.stream()
            if i % 2:
                s.send(struct.pack("!HHIII", 10, 65535, 0, 0, 0))
            kept.append(s)
        except OSError:
            continue
    time.sleep(2)
    for s in kept:
        s.close()


def one_byte_at_a_time(a):
    message = ipfix(templates(template(256, (8, 4), (1, 4))))
    streams = [a.stream() for _ in range(50)]
    for byte in message[:6]:
        for s in streams:
            try:
                s.send(bytes([byte]))
            except OSError:
                pass
        time.sleep(0.5)
    for s in streams:
        s.close()


def idle_clients_of_the_control_socket(a):
    clients = []
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(2)
        try:
            s.connect(str(a.collector.store / "control.sock"))
            clients.append(s)
        except OSError:
            break
    for _ in range(20):
        if kit.subprocess.run([kit.kit.program("sc-admin"), "ping", str(a.collector.store)], check=False).returncode != 0:
            raise RuntimeError("ping was not answered")
        time.sleep(0.1)
    for s in clients:
        s.close()


# ---- who did it is told ----

def offender(scene, key, address="127.0.0.2"):
    rows = [e for e in scene.state["exporters"] if e["exporter"] == address]
    return sum(e[key] for e in rows)


def main():
    scenes = [templates_of_many_ports, names_of_many_interfaces, junk_headers, many_domains, many_addresses, template_flapping,
              sparse_columns, unknown_elements, fat_records, idle_connections, one_byte_at_a_time,
              idle_clients_of_the_control_socket]
    wanted = sys.argv[1:]
    for attack in scenes:
        name = attack.__name__.replace("_", " ")
        if wanted and attack.__name__ not in wanted:
            continue
        scene = kit.Scene(name, attack)
        scene.run()
        if attack in (templates_of_many_ports, names_of_many_interfaces, many_domains):
            scene.check("the offender's account tells of it", offender(scene, "over_budget") > 0, scene.state["received"])
            scene.check("the log names him", "127.0.0.2" in scene.log_text, scene.log_text[-500:])
        if attack is junk_headers:
            shown = {e["exporter"] for e in scene.state["exporters"]}
            scene.check("junk is no exporter", shown == {kit.HONEST}, shown)
    kit.kit.finish()


if __name__ == "__main__":
    main()
