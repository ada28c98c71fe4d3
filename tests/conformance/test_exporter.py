#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=120 beside=any
"""The command line of sc-exporter: exit codes, messages, signals. SC_BUILD is the build directory."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("SC_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
EXPORTER = str(BUILD / "bin" / "sc-exporter")


def run(*options):
    return subprocess.run([EXPORTER, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


def expect(done, code, *words):
    assert done.returncode == code, f"exit {done.returncode} instead of {code}: {done.stderr}"
    for word in words:
        assert word in done.stderr + done.stdout, f"{word!r} is not in {done.stderr + done.stdout!r}"


def unused_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wrong_usage_is_2_and_says_why(folder):
    to = ["--to", "udp://127.0.0.1:9"]
    pcap = str(folder / "x.pcap")
    for words, options in (
            (["source"], to),
            (["source"], ["--generate", "--read", pcap, *to]),
            (["no target"], ["--generate"]),
            (["--flow-count"], ["--generate", "--flow-count", "5", *to]),
            (["--to", "value"], ["--generate", "--to"]),
            (["--flows", "number"], ["--generate", "--flows", "many", *to]),
            (["--ipv6", "100"], ["--generate", "--ipv6", "101", *to]),
            (["--exporters", "1024"], ["--generate", "--exporters", "0", *to]),
            (["v5", "ipfix"], ["--generate", "--protocol", "v7", *to]),
            (["v5", "IPv6"], ["--generate", "--protocol", "v5", "--ipv6", "1", *to]),
            (["TCP", "IPFIX"], ["--generate", "--protocol", "v9", "--to", "tcp://127.0.0.1:9"]),
            (["IPFIX"], ["--generate", "--protocol", "v5", "--write", str(folder / "x.ipfix")]),
            ([".pcap"], ["--generate", "--write", str(folder / "x.dat")]),
            (["sctp"], ["--generate", "--to", "sctp://127.0.0.1:9"]),
            (["65507"], ["--generate", "--message-size", "65535", *to]),
            (["--seed", "--generate"], ["--read", pcap, "--seed", "4", *to]),
            (["--protocol", "--read"], ["--read", pcap, "--protocol", "v9", *to]),
            (["--filter", "--store"], ["--generate", "-f", "any", *to]),
            (["^"], ["--store", str(folder), "-f", "port port", *to]),
            (["extra"], ["--generate", *to, "extra"]),
            (["noon-ish"], ["--generate", "--start", "noon-ish", *to])):
        done = run(*options)
        expect(done, 2)
        for word in words:
            assert word.lstrip("-") in done.stderr, f"{options}: {word!r} is not in {done.stderr!r}"
        assert not done.stdout, f"{options}: {done.stdout!r} on standard output"


def help_and_version_are_0(_folder):
    done = run("--help")
    expect(done, 0, "--generate", "--read", "--store", "--to", "--write", "--truth", "--rate", "Exit status")
    for option in (w.strip("[](),:") for w in done.stdout.split() if w.startswith("--")):
        if option not in ("--help", "--version"):
            told = run(option)
            assert "unknown" not in told.stderr, f"{option} stands in --help and is unknown"
    expect(run("--version"), 0, "sc-exporter ")


def could_not_send_is_1(folder):
    expect(run("--generate", "--flows", "10", "--to", f"tcp://127.0.0.1:{unused_port()}"), 1, "refused")
    expect(run("--read", str(folder / "none.pcap"), "--to", "udp://127.0.0.1:9"), 1, "none.pcap")
    expect(run("--store", str(folder / "none"), "--to", "udp://127.0.0.1:9"), 1, "none")
    expect(run("--generate", "--flows", "10", "--write", str(folder / "no" / "x.pcap")), 1, "x.pcap")
    expect(run("--generate", "--flows", "10", "--write", str(folder / "x.pcap"), "--truth", "/dev/full"), 1, "/dev/full")


def refused_datagrams_are_no_failure(_folder):
    done = run("--generate", "--flows", "2000", "--to", f"udp://127.0.0.1:{unused_port()}")
    expect(done, 0, "2000 flows", "refusals")


def same_seed_same_file(folder):
    made = []
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        path = folder / f"{name}.pcap"
        expect(run("--generate", "--flows", "3000", "--seed", seed, "--ipv6", "10", "--start", "2026-01-01 12:00", "--write",
                   str(path), "--truth", str(folder / f"{name}.json")), 0)
        made.append((path.read_bytes(), (folder / f"{name}.json").read_text()))
    assert made[0] == made[1], "the same seed made another file"
    assert made[0] != made[2], "another seed made the same file"
    truth = json.loads(made[0][1])
    assert truth["flows"] == 3000
    assert truth["last"].startswith("2026-01-01T12:00:0") or truth["last"].startswith("2026-01-01T11:59:"), truth["last"]


def stop(options, number, folder):
    """Starts, waits for the first datagram, sends the signal."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(30)
        truth = folder / "truth.json"
        with subprocess.Popen([EXPORTER, *options, "--to", f"udp://127.0.0.1:{s.getsockname()[1]}", "--truth", str(truth)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            s.recv(65535)
            time.sleep(0.1)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err, json.loads(truth.read_text())


def a_signal_ends_it_in_order(folder):
    code, out, err, truth = stop(["--generate", "--flows", "1000000", "--rate", "2000"], signal.SIGINT, folder)
    assert code == 1 and "signal" in err, (code, err)
    assert 0 < truth["flows"] < 1000000 and f"{truth['flows']} flows" in out, out
    code, out, err, truth = stop(["--generate", "--flows", "0", "--rate", "2000"], signal.SIGTERM, folder)
    assert code == 0 and not err, (code, err)
    assert f"{truth['flows']} flows" in out, out


def main():
    if not os.path.exists(EXPORTER):
        print("skip exporter sc-exporter is not built")
        return 77
    failed = 0
    for case in (wrong_usage_is_2_and_says_why, help_and_version_are_0, could_not_send_is_1, refused_datagrams_are_no_failure,
                 same_seed_same_file, a_signal_ends_it_in_order):
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(pathlib.Path(folder))
                print(f"ok {case.__name__}", flush=True)
            except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as why:
                failed += 1
                print(f"not ok {case.__name__} {why}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
