#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=600 beside=any
"""The captures of real exporters through our programs: every record and every field that sc-query shows of a store
must be as compare.py expects of the decoder.

    test_pipeline.py [TEXT]...          only the tests whose name contains one of the texts

Each case goes in four ways, "read", "udp", "tcp" and "file" in the names of the tests:

    read    sc-collector --read CASE.pcap; the answer is also equal, record by record, to what the decoder alone gives
    udp     the payloads over a socket to a running sc-collector, one source port for each exporter of the capture
    tcp     cases of IPFIX only: a stream for each exporter, cut at random (SC_SEED=N does it again)
    file    cases of IPFIX only: the messages one after another in a file (RFC 5655), one for each exporter

and at the end all at the same time over UDP.

Ends with 77 where the captures are absent (docs/conformance.md). SC_BUILD is the build directory.
"""
import collections
import functools
import random
import struct
import sys

import compare
import pipeline
from pipeline import Failure, check

CAPTURES = pipeline.TOP.parent / "shared" / "captures"
EXPORTER_ADDRESS, EXPORTER_PORT = (compare.COLLECTOR, 1, 0), (compare.COLLECTOR, 2, 0)
RECEIVE_TIME, EXPORT_TIME = (compare.COLLECTOR, 4, 0), (compare.COLLECTOR, 8, 0)
SHOWN_PROBLEMS = 5


# ---- what is known of a case ----

class Case:
    def __init__(self, name, manifest, waits=True):
        self.name, self.manifest = name, manifest
        self.path = CAPTURES / f"{name}.pcap"
        self.recovered = compare.allowance(name, "recovered") or 0 if waits else 0

    @functools.cached_property
    def datagrams(self):
        return pipeline.read_pcap(self.path)

    @functools.cached_property
    def sessions(self):
        """{session: its payloads}, in the order in which they begin."""
        out = {}
        for datagram in self.datagrams:
            out.setdefault(datagram.session, []).append(datagram.payload)
        return out

    @functools.cached_property
    def expected(self):
        """(flows, options), as many as we must have, without those recovered."""
        return compare.read_expected(str(CAPTURES), self.name)

    def is_ipfix(self):
        return self.manifest["proto"] == "ipfix"

    def is_whole(self):
        """Whether the headers of its IPFIX messages tell their true length, so that a stream can be cut into them."""
        return all(struct.unpack_from(">H", d.payload, 2)[0] == len(d.payload) for d in self.datagrams)

    def counter(self, name, column):
        own = compare.allowance(self.name, name)
        return int(self.manifest[column]) if own is None else own

    def malformed(self):
        return self.counter("malformed", "malformed_events")

    def undecodable(self):
        """Data sets that nothing could be made of, in the end."""
        return 0 if self.recovered else self.counter("no-template", "undecodable_sets(no template)")


def show(problems):
    if problems:
        raise Failure("; ".join(problems[:SHOWN_PROBLEMS]) + (" ..." if len(problems) > SHOWN_PROBLEMS else ""))


def compare_answer(case, answer):
    """Counts, every field and the usual keys."""
    show(compare.compare_case(str(CAPTURES), case.name, lambda _: (answer.flows, answer.options, answer.outcome),
                              case.manifest, case.recovered)[1])


def check_source(case, answer, want):
    """want(datagram): what exporter address, port and receive time the record of this datagram must have."""
    for expected, own in zip(case.expected, (answer.flows[case.recovered:], answer.options)):
        for row, record in zip(expected, own):
            address, port, times = want(case.datagrams[row["msg"]])
            fields = record.fields
            check(str(fields.get(EXPORTER_ADDRESS)) == address and fields.get(EXPORTER_PORT) == port,
                  f"a record of message {row['msg']} comes from {fields.get(EXPORTER_ADDRESS)} port "
                  f"{fields.get(EXPORTER_PORT)}, not {address} port {port}")
            check(fields.get(RECEIVE_TIME) in times,
                  f"a record of message {row['msg']} was received at {fields.get(RECEIVE_TIME)}, not in {times}")


def check_status(case, done, whole=True):
    """Exit status and summary of --read. A file that is not whole may not even be taken for one of messages."""
    flows, options = len(case.expected[0]) + case.recovered, len(case.expected[1])
    check((done.flows, done.options) == (flows, options),
          f"{done.flows} flows and {done.options} options records were read instead of {flows} and {options}")
    clean = whole and case.malformed() == 0 and case.undecodable() == 0
    check(done.status in ((0,) if clean else (3,) if flows + options else (1, 3)), f"exit status {done.status}")
    if whole:
        check((done.malformed, done.undecodable) == (case.malformed(), case.undecodable()),
              f"{done.malformed} malformed, {done.undecodable} undecodable sets instead of {case.malformed()} and "
              f"{case.undecodable()}")


# ---- sc-collector --read of the capture ----

def same_as_decoded(shown, decoded):
    if isinstance(shown, compare.Nanoseconds) and isinstance(decoded, int):
        return shown == compare.ntp_to_unix(decoded, 10**9)
    if isinstance(shown, compare.Text) and isinstance(decoded, bytes):
        return shown == decoded.rstrip(b"\0")
    return shown == decoded and isinstance(shown, type(decoded))


def compare_with_decoder(case, answer):
    """The store and the query lose nothing: also the columns that the expectations do not speak of."""
    flows, options, _ = compare.dump_source(pipeline.program("decode_dump", "tests"))(str(case.path))
    for kind, decoded, shown in (("flow", flows, answer.flows), ("options", options, answer.options)):
        check(len(decoded) == len(shown), f"{len(shown)} {kind} records are shown, {len(decoded)} decoded")
        for i, (d, s) in enumerate(zip(decoded, shown)):
            check(d.fields.keys() == s.fields.keys(),
                  f"{kind} {i}: shown or decoded only: {sorted(d.fields.keys() ^ s.fields.keys())}")
            show([f"{kind} {i}: {key} is shown as {s.fields[key]!r}, decoded as {value!r}"
                  for key, value in d.fields.items() if not same_as_decoded(s.fields[key], value)])


def read_capture(case, folder):
    done = pipeline.Import(folder / "store", case.path)
    check(done.messages == len(case.datagrams), f"{done.messages} messages of {len(case.datagrams)} were read")
    check(done.also == "", f"the summary also tells{done.also}")
    check_status(case, done)
    answer = pipeline.Answer(folder / "store")
    compare_answer(case, answer)
    check_source(case, answer, lambda d: (*d.session, (d.ms,)))
    compare_with_decoder(case, answer)


# ---- the daemon ----

def finish(collector, case, whole=True):
    """Stops it when all is received: (its answer, the times between which it ran)."""
    outcome = collector.received(len(case.datagrams)) if whole else None
    listener = collector.status()["listeners"][0]
    check(listener.get("kernel_drops", 0) == 0, f"the socket dropped {listener.get('kernel_drops')} datagrams")
    times = collector.stop()
    return pipeline.Answer(collector.store, outcome), times


def over_udp(case, folder):
    with pipeline.collecting("udp") as collector:
        ports = collector.send_datagrams((d.session, d.payload) for d in case.datagrams)
        answer, times = finish(collector, case)
    compare_answer(case, answer)
    check_source(case, answer, lambda d: ("127.0.0.1", ports[d.session], times))


AT_ONCE = ("src", "dst", "sport", "dport", "proto", "octets", "in_if")
AT_ONCE_FIELDS = "exporterPort,sourceAddress,destinationAddress,sourceTransportPort,destinationTransportPort," \
    "protocolIdentifier,octetDeltaCount,octetTotalCount,initiatorOctets,ingressInterface"


def compare_session(case, session, records, problems):
    """The usual keys of one exporter's flows, in their order."""
    want = [row for row in case.expected[0] if case.datagrams[row["msg"]].session == session]
    if len(records) != len(want) + case.recovered:
        problems.append(f"{case.name}: {len(records)} flows of {session} instead of {len(want) + case.recovered}")
    for row, record in zip(want, records[case.recovered:]):
        problems += [f"{case.name}: norm.{key} of a record of message {row['msg']}" for key in AT_ONCE
                     if key in row["norm"] and not compare.same_norm(key, row["norm"][key], record)]


def all_at_once(cases, folder):
    """All exporters of all captures at the same time, to two receivers: none disturbs another."""
    waiting = [collections.deque(((case, d.session), d.payload) for d in case.datagrams) for case in cases]
    messages = []
    while waiting:
        messages += [queue.popleft() for queue in waiting]
        waiting = [queue for queue in waiting if queue]
    with pipeline.collecting("udp", "--receivers=2") as collector:
        ports = collector.send_datagrams(messages)
        sums = collector.received(len(messages))
        collector.stop()
        flows = pipeline.query(collector.store, fields=AT_ONCE_FIELDS)
    by_port, problems = collections.defaultdict(list), []
    for record in flows:
        by_port[record.fields[EXPORTER_PORT]].append(record)
    for (case, session), port in ports.items():
        compare_session(case, session, by_port[port], problems)
    show(problems)
    want = sum(case.malformed() for case in cases), sum(case.undecodable() for case in cases)
    got = sums["malformed"], sums["no_template_sets"] - sums["recovered_sets"]
    check(got == want, f"{got} malformed and undecodable instead of {want}")


# ---- streams and files ----

def arrange(case, answer, session_of):
    """Puts the records of several streams, which arrive in any order, into the order of the capture."""
    def put(own, expected):
        waiting = collections.defaultdict(collections.deque)
        for record in own:
            waiting[session_of(record)].append(record)
        order = [case.datagrams[row["msg"]].session for row in expected]
        out = [waiting[session].popleft() for session in order if waiting[session]]
        return out + [record for rest in waiting.values() for record in rest]
    if len(case.sessions) > 1:
        answer.flows, answer.options = put(answer.flows, case.expected[0]), put(answer.options, case.expected[1])


def over_tcp(case, folder):
    chance = random.Random(f"{pipeline.SEED} {case.name}")
    whole = case.is_whole()
    with pipeline.collecting("tcp") as collector:
        streams = {session: (collector.connect(), pipeline.cut(b"".join(payloads), chance))
                   for session, payloads in case.sessions.items()}
        ports = {session: sender.getsockname()[1] for session, (sender, _) in streams.items()}
        for i in range(max(len(pieces) for _, pieces in streams.values())):
            for sender, pieces in streams.values():
                collector.send_stream(sender, pieces[i:i + 1])
        for sender, _ in streams.values():
            sender.close()
        answer, times = finish(collector, case, whole)
    sessions = {port: session for session, port in ports.items()}
    arrange(case, answer, lambda record: sessions[record.fields[EXPORTER_PORT]])
    compare_answer(case, answer)
    check_source(case, answer, lambda d: ("127.0.0.1", ports[d.session], times))


def as_file(case, folder):
    """Several exporters' files are stored apart: the records of a file do not tell where they come from."""
    whole, answers = case.is_whole() and case.malformed() == 0, {}
    for number, (session, payloads) in enumerate(case.sessions.items()):
        path, store = folder / f"{number}.ipfix", folder / f"store{number}"
        path.write_bytes(b"".join(payloads))
        done = pipeline.Import(store, path)
        if len(case.sessions) == 1:
            check_status(case, done, whole)
        else:
            check(done.status == 0, f"exit status {done.status}")
        answers[session] = pipeline.Answer(store)
    for session, one in answers.items():
        for record in one.flows + one.options:
            record.session = session
            check(record.fields[RECEIVE_TIME] == record.fields[EXPORT_TIME], "received at another than the export time")
    answer = answers[next(iter(case.sessions))]
    for other in list(answers.values())[1:]:
        answer.flows += other.flows
        answer.options += other.options
    arrange(case, answer, lambda record: record.session)
    compare_answer(case, answer)


# ---- all of them ----

def tests():
    manifest = compare.read_manifest(str(CAPTURES))
    cases = [Case(name, manifest[name]) for name in sorted(manifest)]
    streams = [Case(name, manifest[name], waits=False) for name in sorted(manifest)]
    for kind, way in (("read", read_capture), ("udp", over_udp), ("tcp", over_tcp), ("file", as_file)):
        for case in streams if kind == "tcp" else cases:
            name = f"{kind} {case.name}"
            if kind in ("tcp", "file") and not case.is_ipfix():
                continue
            yield name, way, case
    yield "udp all at once", all_at_once, cases


def main():
    if not CAPTURES.is_dir():
        print(f"no captures in {CAPTURES}")
        return 77
    return pipeline.run_tests(tests())


if __name__ == "__main__":
    sys.exit(main())
