# SPDX-License-Identifier: BSD-3-Clause
"""Seeded random queries of every kind, and what each must answer, by a slow and simple reading of the manual (man sc-query) over
random_flows' records: this shares nothing with the engine.

    query = random_query.Generator(random.Random(7), flows).query()
    query.options                       # words for sc-query, the format and the items apart
    query.reference(flows)              # [Table]: what it must answer, before the limit
    query.problem(flows, text)          # None, or what is wrong with an answer in ndjson
"""
import collections
import datetime
import ipaddress
import json
import math

FLAG_LETTERS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}
PAIRS = {"ip": ("srcip", "dstip"), "port": ("srcport", "dstport"), "as": ("srcas", "dstas"), "if": ("inif", "outif"),
         "vlan": ("srcvlan", "dstvlan")}
NUMBERS = ["bytes", "packets", "srcport", "dstport", "tos", "inif", "outif", "srcas", "dstas", "srcvlan", "tcpWindowSize", "flowId"]
COUNTERS = {"bytes", "packets", "flows", "duration", "bps", "pps", "bpp"}  # without a direction the greatest come first, as of averages
TIMES = {"first", "last"}
SIGNS = {"=": ("=", "==", "eq"), "!=": ("!=", "ne"), "<": ("<", "lt"), "<=": ("<=", "le"), ">": (">", "gt"), ">=": (">=", "ge")}
COMPARE = {"=": lambda a, b: a == b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
           ">=": lambda a, b: a >= b}


def value(flow, name):
    if name == "duration":
        return flow["last"] - flow["first"]
    if name == "flows":
        return 1
    if name == "bpp":
        return flow["bytes"] / flow["packets"]
    if name in ("bps", "pps"):
        span = flow["last"] - flow["first"]
        return 0 if span == 0 else (8000 * flow["bytes"] if name == "bps" else 1000 * flow["packets"]) / span
    return flow.get(name)


def rfc3339(ms):
    at = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


# ---- filters: a text and a function of a flow ----

class Term:
    def __init__(self, text, match, flags=None):
        self.text, self.match, self.flags = text, match, flags


def known(name, test):
    """A comparison with a field that is null is false."""
    return lambda flow: value(flow, name) is not None and test(value(flow, name))


def negate(term):
    if term.flags is not None:  # "not flags SA": none of them
        return Term(f"not {term.text}", lambda flow: not flow.get("flags", 0) & term.flags)
    return Term(f"not {term.text}", lambda flow: not term.match(flow))


class Filters:
    def __init__(self, rng, flows):
        self.rng, self.flows = rng, flows
        self.kinds = [self.number, self.number, self.interval, self.members, self.address, self.network, self.network, self.pair,
                      self.pair_network, self.flags, self.flags_equal, self.protocol, self.family, self.exists, self.text,
                      self.contains, self.span, self.time, self.everything]

    def some(self, name):
        """A value that the field has somewhere."""
        for _ in range(50):
            found = value(self.rng.choice(self.flows), name)
            if found is not None:
                return found
        return 0

    def spelt(self, number):
        if number >= 2000 and self.rng.random() < .3:
            number = number // 1000 * 1000
            return number, f"{number // 1000}k"
        return number, hex(number) if self.rng.random() < .1 else str(number)

    def number(self, name=None):
        name = name or self.rng.choice(NUMBERS)
        sign = self.rng.choice(list(SIGNS))
        wanted, text = self.spelt(self.some(name))
        spelt = self.rng.choice(SIGNS[sign])
        if sign == "!=":
            return Term(f"{name} {spelt} {text}", lambda flow: value(flow, name) != wanted)
        if sign == "=" and self.rng.random() < .4:
            spelt = ""
        return Term(f"{name} {spelt} {text}", known(name, lambda v: COMPARE[sign](v, wanted)))

    def interval(self):
        name = self.rng.choice(NUMBERS)
        low, high = sorted((self.some(name), self.some(name)))
        dash = self.rng.choice(("-", ".."))
        return Term(f"{name} {low}{dash}{high}", known(name, lambda v: low <= v <= high))

    def members(self):
        name = self.rng.choice(("dstport", "srcport", "proto", "srcas", "dstas", "tos", "srcvlan", "bytes"))
        ranges = []
        for _ in range(self.rng.randrange(1, 6)):
            low = self.some(name)
            ranges.append((low, low + (self.rng.randrange(1, 50) if self.rng.random() < .3 else 0)))
        glue = self.rng.choice((" ", ", "))
        left, right = self.rng.choice(("[]", "{}", "()"))
        body = left + glue.join(str(a) if a == b else f"{a}-{b}" for a, b in ranges) + right

        def inside(v):
            return any(a <= v <= b for a, b in ranges)
        if self.rng.random() < .3:
            return Term(f"{name} not in {body}", lambda flow: value(flow, name) is None or not inside(value(flow, name)))
        return Term(f"{name} in {body}", known(name, inside))

    def address(self):
        side = self.rng.choice(("src", "dst"))
        wanted = self.some(f"{side}ip")
        if self.rng.random() < .2:
            return Term(f"{side}ip != {wanted}", lambda flow: flow[f"{side}ip"] != wanted)
        return Term(f"{side}{self.rng.choice(('ip ', ' ip ', ' host '))}{wanted}", lambda flow: flow[f"{side}ip"] == wanted)

    def some_network(self):
        base = self.some(self.rng.choice(("srcip", "dstip")))
        bits = self.rng.choice((8, 15, 16, 23, 24, 29, 32) if base.version == 4 else (32, 48, 63, 64, 120, 128))
        return ipaddress.ip_network((base, bits), strict=False)

    def network(self):
        side, net = self.rng.choice(("src", "dst")), self.some_network()
        word = self.rng.choice((f"{side} net", f"{side}ip", f"{side}ip ="))
        return Term(f"{word} {net}", lambda flow: flow[f"{side}ip"] in net)

    def pair_network(self):
        net = self.some_network()
        kind = self.rng.randrange(3)
        if kind == 0:
            return Term(f"src and dst net {net}", lambda flow: flow["srcip"] in net and flow["dstip"] in net)
        if kind == 1:
            return Term(f"ip != {net}", lambda flow: flow["srcip"] not in net and flow["dstip"] not in net)
        return Term(f"{self.rng.choice(('net', 'ip', 'host'))} {net}", lambda flow: flow["srcip"] in net or flow["dstip"] in net)

    def pair(self):
        word = self.rng.choice(("port", "as", "if", "vlan"))
        names = PAIRS[word]
        wanted = self.some(self.rng.choice(names))
        kind = self.rng.randrange(4)
        if kind == 0:
            return Term(f"{word} != {wanted}", lambda flow: wanted not in [flow.get(n) for n in names])
        if kind == 1:
            return Term(f"src and dst {word} {wanted}", lambda flow: all(flow.get(n) == wanted for n in names)) \
                if word != "if" else Term(f"if {wanted}", lambda flow: any(flow.get(n) == wanted for n in names))
        if kind == 2:
            return Term(f"{word} > {wanted}", lambda flow: any(flow.get(n) is not None and flow[n] > wanted for n in names))
        return Term(f"{word} {wanted}", lambda flow: any(flow.get(n) == wanted for n in names))

    def flags(self):
        letters = self.rng.sample(list(FLAG_LETTERS), self.rng.randrange(1, 3))
        mask = sum(FLAG_LETTERS[x] for x in letters)
        return Term(f"flags {''.join(letters)}", known("flags", lambda v: v & mask == mask), flags=mask)

    def flags_equal(self):
        wanted = self.some("flags")
        return Term(f"flags = {hex(wanted)}", known("flags", lambda v: v == wanted))

    def protocol(self):
        name, number = self.rng.choice((("tcp", 6), ("udp", 17), ("icmp", 1), ("gre", 47)))
        return Term(self.rng.choice((name, name.upper(), f"proto {name}", f"proto {number}")), lambda flow: flow["proto"] == number)

    def family(self):
        version = self.rng.choice((4, 6))
        return Term(f"ipv{version}", lambda flow: flow["version"] == version)

    def exists(self):
        name = self.rng.choice(("flags", "username", "srcas", "srcvlan", "tcpWindowSize", "srcport", "bytes"))
        return Term(f"exists {name}", lambda flow: flow.get(name) is not None)

    @staticmethod
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def text(self):
        wanted = self.some("username") or "alice"
        return Term(f"username = {self.quoted(wanted)}", known("username", lambda v: v == wanted))

    def contains(self):
        wanted = self.rng.choice(("A", "o", "li", "sales\"", ", of", "zz"))
        return Term(f"username contains {self.quoted(wanted)}", known("username", lambda v: wanted.lower() in v.lower()))

    def span(self):
        text, ms = self.rng.choice((("1s", 1000), ("250ms", 250), ("5s", 5000), ("0", 0)))
        sign = self.rng.choice(("<", "<=", ">", ">="))
        return Term(f"duration {sign} {text}", lambda flow: COMPARE[sign](value(flow, "duration"), ms))

    def time(self):
        name, sign = self.rng.choice(("first", "last")), self.rng.choice(("<", "<=", ">", ">="))
        at = self.some(name)
        return Term(f'{name} {sign} "{rfc3339(at)}"', lambda flow: COMPARE[sign](flow[name], at))

    @staticmethod
    def everything():
        return Term("any", lambda _flow: True)

    def make(self, depth=3):
        dice = self.rng.random()
        if depth == 0 or dice < .35:
            return self.rng.choice(self.kinds)()
        if dice < .5:
            return negate(self.bracketed(depth - 1))
        parts = [self.bracketed(depth - 1) for _ in range(self.rng.randrange(2, 4))]
        if dice < .75:
            return Term(self.rng.choice((" and ", " && ")).join(p.text for p in parts),
                        lambda flow: all(p.match(flow) for p in parts))
        return Term(self.rng.choice((" or ", " || ")).join(p.text for p in parts), lambda flow: any(p.match(flow) for p in parts))

    def bracketed(self, depth):
        inner = self.make(depth)
        return inner if " " not in inner.text and inner.flags is None or inner.flags is not None \
            else Term(f"({inner.text})", inner.match)


# ---- keys of groups: a text, the flow's values, the shown name ----

class Key:
    def __init__(self, text, values):
        self.text, self.name, self.values = text, text.split("/")[0], values


def cut(address, bits4, bits6):
    if address is None:
        return None
    bits = bits4 if address.version == 4 else bits6
    return ipaddress.ip_network((address, bits), strict=False).network_address


def both(names, change=lambda v: v):
    """A record counts once under each of its two values."""
    return lambda flow: list(dict.fromkeys(change(flow.get(n)) for n in names))


def one(name, change=lambda v: v):
    return lambda flow: [None if value(flow, name) is None else change(value(flow, name))]


PLAIN_KEYS = ["srcip", "dstip", "srcport", "dstport", "proto", "flags", "tos", "inif", "outif", "srcas", "dstas", "srcvlan", "username",
              "tcpWindowSize", "duration"]


def random_key(rng):
    kind = rng.randrange(8)
    if kind < 4:
        name = rng.choice(PLAIN_KEYS)
        return Key(name, one(name))
    if kind == 4:
        name, bits4, bits6 = rng.choice(("srcip", "dstip")), rng.choice((8, 16, 24, 30)), rng.choice((32, 64, 120))
        return Key(f"{name}/{bits4}/{bits6}", one(name, lambda v: cut(v, bits4, bits6)))
    if kind == 5:
        name, text, size = rng.choice((("bytes", "1k", 1000), ("bytes", "777", 777), ("packets", "10", 10), ("duration", "1s", 1000),
                                       ("first", "1m", 60000), ("first", "5m", 300000), ("last", "30s", 30000),
                                       ("srcport", "1000", 1000)))
        return Key(f"{name}/{text}", one(name, lambda v: v // size * size))
    word = rng.choice(list(PAIRS))
    if word == "ip" and rng.random() < .5:
        return Key("ip/16/48", both(PAIRS[word], lambda v: cut(v, 16, 48)))
    return Key(word, both(PAIRS[word]))


# ---- what groups show ----

def known_values(flows, name):
    return [v for v in (value(f, name) for f in flows) if v is not None]


def least(flows, name):
    return min(known_values(flows, name), default=None)


def greatest(flows, name):
    return max(known_values(flows, name), default=None)


def summed(flows, name):
    values = known_values(flows, name)
    return sum(values) if values else None


def average(flows, name):
    values = known_values(flows, name)
    return sum(values) / len(values) if values else None


def length(flows):
    return greatest(flows, "last") - least(flows, "first")


def rate(name, factor):
    return lambda flows: factor * summed(flows, name) / length(flows) if length(flows) else 0


def any_of(flows):
    values = known_values(flows, "flags")
    total = 0
    for v in values:
        total |= v
    return total if values else None


def distinct(name, change=lambda v: v):
    return lambda flows: len({change(v) for v in known_values(flows, name)})


def percentile(name, permille):
    """The nearest rank, told by the 8 uppermost bits of the value and the middle of what they leave open."""
    def act(flows):
        values = sorted(known_values(flows, name))
        if not values:
            return None
        v = values[-(-len(values) * permille // 1000) - 1]
        bits = max(0, v.bit_length() - 8)
        return (v >> bits << bits) + (1 << bits >> 1)
    return act


MEASURES = {"flows": len, "packets": lambda f: summed(f, "packets"), "bytes": lambda f: summed(f, "bytes"),
            "first": lambda f: least(f, "first"), "last": lambda f: greatest(f, "last"), "duration": length, "flags": any_of,
            "bps": rate("bytes", 8000), "pps": rate("packets", 1000), "bpp": lambda f: summed(f, "bytes") / summed(f, "packets"),
            **{f"{how}({name})": lambda f, name=name, act=act: act(f, name)
               for how, act in (("min", least), ("max", greatest), ("avg", average), ("sum", summed))
               for name in ("bytes", "packets", "tcpWindowSize")},
            "min(srcport)": lambda f: least(f, "srcport"), "max(duration)": lambda f: greatest(f, "duration"),
            **{f"distinct({name})": distinct(name) for name in ("srcip", "dstip", "dstport", "username", "srcvlan", "bytes", "duration")},
            "distinct(dstip/16/48)": distinct("dstip", lambda v: cut(v, 16, 48)),
            "distinct(first/1m)": distinct("first", lambda v: v // 60000),
            "p50(bytes)": percentile("bytes", 500), "p95(bytes)": percentile("bytes", 950), "p99.9(packets)": percentile("packets", 999),
            "median(duration)": percentile("duration", 500), "p10(tcpWindowSize)": percentile("tcpWindowSize", 100)}


# ---- rows and their order ----

def show(v, name):
    """As json shows it."""
    if v is None or isinstance(v, float):
        return v
    return rfc3339(v) if name in TIMES else str(v) if hasattr(v, "packed") else v


def rank(v):
    """Addresses of both kinds, texts by their bytes."""
    if isinstance(v, str):
        return v.encode()
    if hasattr(v, "packed"):
        return v.packed if v.version == 6 else b"\0" * 10 + b"\xff\xff" + v.packed
    return v


class Order:
    def __init__(self, name, descending, text):
        self.name, self.descending, self.text = name, descending, text

    def sort(self, rows):
        null = [row for row in rows if row[self.name] is None]  # they stand last either way
        rows[:] = sorted((row for row in rows if row[self.name] is not None), key=lambda row: rank(row[self.name]),
                         reverse=self.descending) + null


def random_order(rng, name):
    """The text, and what it means."""
    base = name.split("(")[-1].rstrip(")")
    natural = base in COUNTERS or name.startswith(("avg(", "distinct("))
    dice = rng.randrange(3)
    return Order(name, natural if dice == 0 else dice == 1, name + ("", "#desc", "#asc")[dice])


def same(got, wanted):
    if isinstance(wanted, float) or isinstance(got, float):
        return None not in (got, wanted) and math.isclose(got, wanted, rel_tol=1e-9, abs_tol=0.00051)
    return got == wanted


class Table:
    """Rows (dictionaries of what json shows) in their order: `ties` has what rows are sorted by, before it is shown."""

    def __init__(self, rows, names, orders, limit):
        self.names, self.orders, self.limit = names, orders, limit
        for order in reversed(orders):
            order.sort(rows)
        self.rows = [{n: show(row[n], n) for n in names} for row in rows]
        self.ties = [tuple(rank(row[o.name]) for o in orders) for row in rows]

    def problem(self, got):
        wanted = len(self.rows) if self.limit == 0 else min(self.limit, len(self.rows))
        if len(got) != wanted:
            return f"{len(got)} rows instead of {wanted}"
        places = collections.defaultdict(list)  # rows that may stand at a place: those of its tie
        for tie, row in zip(self.ties, self.rows):
            places[tie].append(row)
        for number, row in enumerate(got):
            candidates = places[self.ties[number]]
            found = next((c for c in candidates if all(same(row.get(n), c[n]) for n in self.names)), None)
            if found is None:
                return f"row {number} is {row}; could be {candidates[:2]} ({len(candidates)})"
            candidates.remove(found)
        return None


# ---- queries ----

class Query:
    """`exact`: every run must write the same text (but for the time that it took)."""

    def __init__(self, options, matches, tables, exact, kind):
        self.options, self.matches, self.tables, self.exact, self.kind = options, matches, tables, exact, kind

    @property
    def limited(self):
        """It lists any records, but not all."""
        return self.kind == "unsorted" and "-l" in self.options

    def reference(self, flows):
        return self.tables([f for f in flows if self.matches(f)])

    def problem(self, flows, text):
        """Of an answer in ndjson (several results stand one behind the other)."""
        got = [json.loads(line) for line in text.splitlines()]
        at = 0
        for table in self.reference(flows):
            count = len(table.rows) if table.limit == 0 else min(table.limit, len(table.rows))
            wrong = table.problem(got[at:at + count])
            if wrong:
                return wrong
            at += count
        return None if at == len(got) else f"{len(got) - at} rows too many"


class Generator:
    def __init__(self, rng, flows):
        self.rng, self.flows = rng, flows
        self.filters = Filters(rng, flows)
        firsts = [f["first"] for f in flows]
        self.begin, self.end = min(firsts), max(firsts)

    def times(self):
        """(options, match)"""
        if self.rng.random() < .65:
            return [], lambda flow: True
        begin, end = sorted(self.rng.sample(range(self.begin, self.end + 10000), 2))
        field = self.rng.choice(("first", "last", "overlap", None))
        options = ["-T", f"{rfc3339(begin)}#{rfc3339(end)}"] + ([f"--time-field={field}"] if field else [])
        if field == "overlap":
            return options, lambda flow: flow["first"] < end and flow["last"] >= begin
        return options, lambda flow: begin <= flow[field or "first"] < end

    def selection(self):
        options, in_time = self.times()
        if self.rng.random() < .2:
            return options, in_time
        term = self.filters.make(self.rng.randrange(4))
        return [*options, "-f", term.text], lambda flow: in_time(flow) and term.match(flow)

    def query(self):
        kind = self.rng.choice((self.listing, self.sorted_listing, self.sorted_listing, self.groups, self.groups, self.statistics,
                                self.statistics))
        return kind()

    def listed_fields(self):
        fields = self.rng.sample(["srcip", "dstip", "bytes", "packets", "first", "last", "duration", "proto", "srcport", "dstport", "flags",
                                  "srcas", "dstas", "username", "bps", "pps", "bpp", "tcpWindowSize", "srcvlan", "tos", "flows"],
                                 self.rng.randrange(1, 7))
        return ["flowId", *fields]

    def list_tables(self, fields, orders, limit):
        def make(flows):
            return [Table([{n: value(f, n) for n in {*fields, *(o.name for o in orders)}} for f in flows], fields, orders, limit)]
        return make

    def listing(self):
        options, match = self.selection()
        fields = self.listed_fields()
        limit = self.rng.choice((0, 0, 7, 300))
        options += ["--output-fields=" + ",".join(fields)] + (["-l", str(limit)] if limit else [])
        return Query(options, match, self.list_tables(fields, [], limit), False, "unsorted")

    def sorted_listing(self):
        options, match = self.selection()
        fields = [*self.listed_fields(), "dstip"]
        fields = list(dict.fromkeys(fields))
        total = self.rng.random() < .7
        names = self.rng.sample([f for f in fields if f not in ("flowId", "username")], 1 + (len(fields) > 3))
        orders = [random_order(self.rng, n) for n in names + (["flowId"] if total else [])]
        limit = self.rng.choice((0, 1, 10, 50, 1000))
        options += ["-o", ",".join(o.text for o in orders), "--output-fields=" + ",".join(fields)]
        options += ["-l", str(limit)] if limit else []
        return Query(options, match, self.list_tables(fields, orders, limit), total, "sorted")

    def group_tables(self, wishes, fields):
        """`wishes`: (keys, orders, limit) of each table."""
        def make(flows):
            return [Table(group_rows(flows, keys, {*fields, *(o.name for o in orders)} - {k.name for k in keys}),
                          [k.name for k in keys] + fields, orders, limit) for keys, orders, limit in wishes]
        return make

    def some_keys(self, most=3):
        keys = {}
        for _ in range(self.rng.randrange(1, most + 1)):
            key = random_key(self.rng)
            if key.name not in PAIRS or not keys.keys() & PAIRS.keys():  # only one key may stand for two fields
                keys.setdefault(key.name, key)
        return list(keys.values())

    def measures(self, keys):
        names = [m for m in MEASURES if m not in {k.name for k in keys}]
        return self.rng.sample(names, self.rng.randrange(1, 6))

    def groups(self):
        options, match = self.selection()
        keys = self.some_keys()
        fields = self.measures(keys)
        names = self.rng.sample([*fields, *(k.name for k in keys)], 1) if self.rng.random() < .7 else []
        orders = [random_order(self.rng, n) for n in names]
        limit = self.rng.choice((0, 1, 20, 500))
        options += ["-a", ",".join(k.text for k in keys), "--output-fields=" + ",".join(fields)]
        options += (["-o", ",".join(o.text for o in orders)] if orders else []) + (["-l", str(limit)] if limit else [])
        return Query(options, match, self.group_tables([(keys, orders, limit)], fields), bool(orders), "groups" if orders else "unordered")

    def statistics(self):
        options, match = self.selection()
        limit = self.rng.choice((None, None, 3, 100))
        wishes, fields = [], ["flows", "bytes", *self.rng.sample(["packets", "max(bytes)", "avg(packets)", "duration"], 2)]
        for _ in range(self.rng.randrange(1, 4)):
            keys = self.some_keys(2)
            fields = [f for f in fields if f not in {k.name for k in keys}]
            if self.rng.random() < .3:
                text, orders = "", [Order("flows", True, "")]
            else:
                name, sort = self.rng.choice(("flows", "bytes", "packets", "distinct(dstip)", "p95(bytes)")), self.rng.choice(("", "#desc", "#asc"))
                text, orders = f"#{name}{sort}", [Order(name, sort != "#asc", "")]
            if {o.name for o in orders} & {k.name for k in keys}:
                text, orders = "", [Order("flows", True, "")]
            options += ["-s", ",".join(k.text for k in keys) + text]
            wishes.append((keys, orders, 10 if limit is None else limit))
        options += ["--output-fields=" + ",".join(fields)] + ([] if limit is None else ["-l", str(limit)])
        return Query(options, match, self.group_tables(wishes, fields), True, "statistics")


def group_rows(flows, keys, names):
    groups = collections.defaultdict(list)
    for flow in flows:
        tuples = [()]
        for key in keys:
            tuples = [t + (v,) for t in tuples for v in key.values(flow)]
        for t in tuples:
            groups[t].append(flow)
    return [{**{k.name: v for k, v in zip(keys, t)}, **{n: MEASURES[n](members) for n in names}} for t, members in groups.items()]
