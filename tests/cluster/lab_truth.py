# SPDX-License-Identifier: BSD-3-Clause
"""What stores hold, by a reader that shares nothing with the query, and what an answer over some of them has to name."""
import collections
import datetime
import json
import pathlib
import re
import sys

import cluster_kit as kit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))
import segment as segments  # noqa: E402  (beside the other tests of the format)

Batch = collections.namedtuple("Batch", "window_ms records")
LIBRARIES = segments.Libraries()


def batches_of(store):
    """{(stream, lane, sequence): Batch} of the flows of a store and its replicas. The collector must be at rest."""
    found = {}
    for path in sorted(pathlib.Path(store).rglob("*.scs")) + sorted(pathlib.Path(store).rglob("*.sclive")):
        segment = segments.read_segment(LIBRARIES, path)
        if segment.damage:
            raise segments.Damaged(f"{path}: {segment.damage}")
        for group in segment.groups:
            for span in group.spans if group.kind == segments.FLOWS else []:
                batch = Batch(segment.head.window_ms, span.rows)
                known = found.setdefault((span.stream, span.lane, span.sequence), batch)
                if known != batch:
                    raise segments.Damaged(f"{path}: {span} is {known} elsewhere")
    return found


def streams_of(store):
    """{stream: (name of its proxy, closed)} as the store was told."""
    streams = {}
    for path in (pathlib.Path(store) / ".streams").glob("[0-9a-f]*"):
        said = re.search(r"^proxy (\S+)\nheard \d+\nclosed (\d)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if said:
            streams[int(path.name, 16)] = said[1], said[2] == "1"
    return streams


def tallied_proxies(store):
    """{stream: name} of the tallies of a store."""
    return {int(path.stem.rsplit("-", 1)[1], 16): re.search(r"^proxy (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)[1]
            for path in pathlib.Path(store).rglob("*.tally")}


class Truth:
    """Of all stores of a cluster, taken while they are whole."""

    def __init__(self, stores):
        self.stores = list(stores)
        self.held = [batches_of(s) for s in self.stores]
        self.streams = [streams_of(s) for s in self.stores]
        self.proxies = {number: name for streams in self.streams for number, (name, _) in streams.items()}
        for store in self.stores:  # a proxy may be killed before it says that its stream begins
            self.proxies.update(tallied_proxies(store))
        self.all = {}
        for held in self.held:
            for number, batch in held.items():
                if self.all.setdefault(number, batch) != batch:
                    raise segments.Damaged(f"{number}: two contents")

    def copies(self):
        """{id: how many stores hold it}"""
        return collections.Counter(number for held in self.held for number in held)

    def held_now(self):
        """As `held`, later, when some of it was deleted."""
        return [batches_of(s) for s in self.stores]

    def missing_without(self, gone, held_now=None):
        """{(window, proxy): (batches, records)} that only the stores with the indexes `gone` hold."""
        left = set().union(*(held for i, held in enumerate(held_now or self.held) if i not in gone))
        lost = collections.defaultdict(lambda: (0, 0))
        for number, batch in self.all.items():
            if number not in left:
                key = utc(batch.window_ms), self.proxies.get(number[0], "?")
                lost[key] = lost[key][0] + 1, lost[key][1] + batch.records
        return dict(lost)

    def may_be_silent(self, gone):
        """Proxies that ended when no node of the stores that are left was there to hear it."""
        left = [streams for i, streams in enumerate(self.streams) if i not in gone]
        closed = {number for streams in left for number, (_, is_closed) in streams.items() if is_closed}
        return {name for streams in left for number, (name, _) in streams.items() if number not in closed}

    def compare(self, gone, held_now=None, uneven=False):
        """What is wrong with the answer without the stores `gone`; "" when it is exact. Also whether it lacked anything. `uneven`: as
        as_named says."""
        stores = [s for i, s in enumerate(self.stores) if i not in gone]
        wanted = self.missing_without(gone, held_now)
        said, status, answer = named_missing(stores)
        silent = self.may_be_silent(gone)
        others = [line for line in answer["missing"] if not MISSING.search(line)
                  and not ((match := SILENT.match(line)) and match[1] in silent)]
        flows = sum(b.records for b in self.all.values()) - sum(records for _, records in wanted.values())
        good = as_named(said, wanted, uneven and answer.get("kept_since") or "") and status == (3 if answer["missing"] else 0) and not others \
            and answer["summary"]["flows"] == flows
        return "" if good else (f"without {sorted(gone)}: exit {status}, {answer['summary']['flows']} flows, missing "
                                f"{answer['missing']}; there are {flows}, missing {wanted}"), bool(wanted)


def as_named(said, wanted, kept_since):
    """Exactly what is missing, where all is kept. Of older windows that all have expired who should hold them, another may still have a
    copy; whether that is named when it is left out is left open."""
    return all(key in wanted and (value == wanted[key] or key[0] < kept_since) for key, value in said.items()) and \
        all(key in said or key[0] < kept_since for key in wanted)


SILENT = re.compile(r"proxy (\S+) (?:is silent since|was heard of at \S+, which is to come)")
MISSING = re.compile(r"window (\S+): (\d+) of \d+ batches of proxy (\S+) are missing, with (\d+) records")


def named_missing(stores):
    """{(window, proxy): (batches, records)} that the answer names, its exit status, and the answer."""
    done = kit.query(stores, "--output-format=json", "--output-items=p")
    answer = json.loads(done.stdout)
    said = collections.defaultdict(lambda: (0, 0))
    for line in answer["missing"]:
        if match := MISSING.search(line):
            key = match[1], match[3]
            said[key] = said[key][0] + int(match[2]), said[key][1] + int(match[4])
    return dict(said), done.returncode, answer


def utc(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"
