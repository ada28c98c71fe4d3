#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=120 beside=any
"""SIGTERM or SIGKILL, start again, SIGHUP: what was received stays, templates are known at once, other listeners miss nothing."""
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

import collector_kit as kit


def v9(body, sequence, count=1):
    return struct.pack("!HHIIII", 9, count, 1000, int(time.time()), sequence, 7) + body


def v9_template():
    fields = [(8, 4), (12, 4), (7, 2), (11, 2)]
    body = struct.pack("!HH", 256, len(fields)) + b"".join(struct.pack("!HH", *f) for f in fields)
    return v9(struct.pack("!HH", 0, 4 + len(body)) + body, 0)


def v9_data(number):
    record = struct.pack("!IIHH", number, 0x0A000001, number >> 16 & 0xFFFF, number & 0xFFFF)
    return v9(struct.pack("!HH", 256, 4 + len(record)) + record, 1 + number)


def templates(folder):
    store, log = folder / "store", folder / "log"
    exporter = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    exporter.bind(("127.0.0.1", 0))  # the same port before and after: the same session
    collector = kit.Collector(store, log)
    exporter.sendto(v9_template(), ("127.0.0.1", collector.port))
    exporter.sendto(v9_data(0), ("127.0.0.1", collector.port))
    kit.check("restart: SIGTERM ends it with 0, at once after the last datagram", collector.stop() == 0,
              log.read_text())
    kit.check("restart: the last datagram before SIGTERM is stored", kit.stored_numbers(store) == ({0: 1}, 0))
    collector = kit.Collector(store, log)
    exporter.sendto(v9_data(1), ("127.0.0.1", collector.port))
    collector.stop()
    kit.check("restart: data is decoded without a new template", kit.stored_numbers(store) == ({0: 1, 1: 1}, 0))
    for state in (store / "templates.state", store / "templates.journal"):
        whole = state.read_bytes()
        state.write_bytes(whole[:-3] if len(whole) > 24 else whole)  # the head alone: no templates
    collector = kit.Collector(store, log)
    kit.check("restart: a damaged template state is a warning",
              re.search("warning saved templates are not used", log.read_text()) is not None, log.read_text())
    exporter.sendto(v9_data(2), ("127.0.0.1", collector.port))
    exporter.sendto(v9_template(), ("127.0.0.1", collector.port))
    kit.check("restart: without it the template is waited for", collector.stop() == 0)
    kit.check("restart: and what waited is decoded", kit.stored_numbers(store) == ({0: 1, 1: 1, 2: 1}, 0))
    kit.check("restart: no socket is left behind", not (store / "control.sock").exists())


def killed(folder):
    """kill -9 two seconds after a template, and again after a second one: both are known, whatever is torn at the journal's end."""
    store, log = folder / "store4", folder / "log4"
    exporters = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for exporter in exporters:
        exporter.bind(("127.0.0.1", 0))
    for exporter in exporters:
        collector = kit.Collector(store, log)
        exporter.sendto(v9_template(), ("127.0.0.1", collector.port))
        time.sleep(2)
        collector.kill()
    with open(store / "templates.journal", "ab") as journal:
        journal.write(b"\x80\0\0\0torn")
    collector = kit.Collector(store, log)
    for number, exporter in enumerate(exporters):
        exporter.sendto(v9_data(number), ("127.0.0.1", collector.port))
    kit.check("killed: it ends in good order after that", collector.stop() == 0, log.read_text())
    kit.check("killed: data is decoded without a new template", kit.stored_numbers(store) == ({0: 1, 1: 1}, 0),
              log.read_text())


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_line(log, pattern, count=1):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if len(re.findall(pattern, log.read_text())) >= count:
            return True
        time.sleep(0.02)
    return False


def reload_listeners(folder):
    store, log, conf, main, other = folder / "store2", folder / "log2", folder / "conf.yaml", free_port(), free_port()

    def configure(*ports, extra=""):
        urls = ", ".join(f'"udp://127.0.0.1:{p}"' for p in ports)
        conf.write_text(f"listeners: [{urls}]\nlog-level: info\n{extra}")

    configure(main)
    with open(log, "wb") as out:
        process = subprocess.Popen([kit.program("sc-collector"), "-c", str(conf), "--store", str(store)], stderr=out,
                                   stdin=subprocess.DEVNULL)
    kit.check("reload: it listens", await_line(log, f"listening udp 127.0.0.1:{main}\n"), log.read_text())
    sender, second = kit.Sender(), kit.Sender(1 << 24)
    for turn in range(3):
        configure(main, other)
        process.send_signal(signal.SIGHUP)
        sender.send(main, 0.5, 10000)
        kit.check(f"reload {turn}: a listener is added", await_line(log, f"listening udp 127.0.0.1:{other}\n", turn + 1),
                  log.read_text())
        second.send(other, 0.2, 10000)
        configure(main)
        process.send_signal(signal.SIGHUP)
        sender.send(main, 0.5, 10000)
        await_line(log, "the configuration is read again", 2 * turn + 2)
    configure(main, extra="windw: 3\n")
    process.send_signal(signal.SIGHUP)
    kit.check("reload: an error leaves the configuration as it is", await_line(log, 'unknown key "windw"'),
              log.read_text())
    sender.send(main, 0.2, 10000)
    configure(main, extra="queue-memory: 100M\nreceivers: 3\n")
    process.send_signal(signal.SIGHUP)
    kit.check("reload: the log names what needs a restart", await_line(log, "takes effect at the next start: receivers, queue-memory\n"),
              log.read_text())
    process.terminate()
    kit.check("reload: it ends well", process.wait(60) == 0, log.read_text())
    counts, code = kit.stored_numbers(store)
    wanted = set(range(sender.next)) | set(range(1 << 24, second.next))
    kit.check("reload: no listener missed a datagram", set(counts) == wanted,
              f"{len(wanted - set(counts))} of {len(wanted)} missing")
    kit.check("reload: the query is complete", code == 0)


def reload_taken(folder):
    """What cannot be opened when the configuration is read again is opened later; and a listener may take the address of another."""
    store, log, conf, main, taken = folder / "store5", folder / "log5", folder / "conf5.yaml", free_port(), free_port()
    conf.write_text(f'listeners: ["udp://127.0.0.1:{main}"]\n')
    with open(log, "wb") as out:
        process = subprocess.Popen([kit.program("sc-collector"), "-c", str(conf), "--store", str(store)], stderr=out,
                                   stdin=subprocess.DEVNULL)
    kit.check("taken: it listens", await_line(log, f"listening udp 127.0.0.1:{main}\n"), log.read_text())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", taken))
        conf.write_text(f'listeners: ["udp://127.0.0.1:{main}", "udp://127.0.0.1:{taken}"]\n')
        process.send_signal(signal.SIGHUP)
        kit.check("taken: the log says what cannot be opened", await_line(log, f"error .*127.0.0.1:{taken}.*tried again"), log.read_text())
    kit.check("taken: it is opened when it can be", await_line(log, f"listening udp 127.0.0.1:{taken}\n"), log.read_text())
    sender = kit.Sender()
    sender.send(taken, 0.2, 10000)
    conf.write_text(f'listeners: ["udp://127.0.0.1:{main}", "udp://0.0.0.0:{taken}"]\n')
    process.send_signal(signal.SIGHUP)
    kit.check("taken: one listener takes the address of another", await_line(log, f"listening udp 0.0.0.0:{taken}\n"), log.read_text())
    sender.send(taken, 0.2, 10000)
    process.terminate()
    kit.check("taken: it ends well", process.wait(60) == 0, log.read_text())
    kit.check("taken: there is one error", len(re.findall(" error ", log.read_text())) == 1, log.read_text())
    counts, _ = kit.stored_numbers(store)
    kit.check("taken: every record is there", set(counts) == set(range(sender.next)))


def default_file(folder):
    """The default file is away for a moment, as while it is replaced: the settings stay. In an /etc of its own."""
    store, log, conf, place = folder / "store4", folder / "log4", folder / "conf4.yaml", "/etc/securitycloud/collector.yaml"
    conf.write_text("log-level: info\nretention: {age: 30d}\n")
    alone = ("unshare", "--mount", "sh", "-c")
    if subprocess.run([*alone, "mount -t tmpfs tmpfs /etc"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("skip default file # it is hidden by a small tmpfs, which only root may mount")
        return
    script = f'mount -t tmpfs tmpfs /etc && mkdir /etc/securitycloud && cp {conf} {place} && exec "$0" "$@"'
    collector = kit.Collector(store, log, wrap=(*alone, script))
    seen = pathlib.Path(f"/proc/{collector.process.pid}/root{place}")
    for turn in range(2):
        seen.rename(seen.with_suffix(".old"))
        collector.process.send_signal(signal.SIGHUP)
        kit.check(f"default file {turn}: while it is away the settings stay",
                  await_line(log, f"the configuration stays as it is: cannot open the configuration {place}", turn + 1), log.read_text())
        seen.with_suffix(".old").rename(seen)
        collector.process.send_signal(signal.SIGHUP)
        kit.check(f"default file {turn}: it is read again", await_line(log, "the configuration is read again", turn + 1), log.read_text())
    kit.check("default file: it ends well", collector.stop() == 0, log.read_text())


def notify(folder):
    path = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        os.environ["NOTIFY_SOCKET"] = path
        collector = kit.Collector(folder / "store3", folder / "log3")
        del os.environ["NOTIFY_SOCKET"]
        kit.check("notify: READY=1 when it listens", manager.recv(100) == b"READY=1\n")
        collector.stop()
        kit.check("notify: STOPPING=1 at the end", manager.recv(100) == b"STOPPING=1\n")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        templates(folder)
        killed(folder)
        reload_listeners(folder)
        reload_taken(folder)
        default_file(folder)
        notify(folder)
    kit.finish()


if __name__ == "__main__":
    main()
