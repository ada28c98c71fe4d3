# SPDX-License-Identifier: BSD-3-Clause
"""Reads segment files (*.scs, *.sclive) with nothing of ours but their description: docs/formats.md, the head comments
of src/store/segment_writer.c, stream.h, blocks.h, address_dict.h and bloom.h. It believes nothing: every hash, length, count and
order that they promise is checked, and Damaged says what was not so.
"""
import collections
import ctypes
import dataclasses
import itertools
import struct

HEAD_MAGIC, GROUP_MAGIC = b"\x89SCSEG\r\n", b"\x89SCRGRP\n"
FOOTER_MAGIC, TRAILER_MAGIC = b"\x89SCFOOT\n", b"\x89SCEND\r\n"
HEAD, SPAN, ENTRY, TRAILER, FOOTER_GROUP = 64, 32, 64, 32, 88
MOST_ROWS = 65536
MOST_ADDRESSES = 1 << 24

FLOWS, OPTIONS = 0, 1
UINT, INT, FLOAT, ADDRESS, BYTES = range(5)
COLUMN, ADDRESSES, BLOOM, FILTER = range(4)
VALUES, DICT, FUNCTION, DIFFERENCE, CODES, PLAIN_BYTES, BYTES_DICT = range(7)
L_CONST, L_PLAIN, L_BITS, L_PLANES, L_DELTA, L_BYTES, L_BLOCKS, L_STEPS = range(8)
BLOCK, BLOCK_HEAD, LINE = 1024, 16, 128
PAGE, PAGE_HEAD, FILTER_BLOCK = 4096, 32, 32
NONE, LZ4, ZSTD, REPEAT = range(4)

WORD = (1 << 64) - 1
IPV4_FIRST = 0xffff << 32
IPV4_LAST = IPV4_FIRST | 0xffffffff
PREFIXES_IPV4, PREFIXES_IPV6 = (128, 120, 112), (128, 64, 48)
SALT = (0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31)

Key = collections.namedtuple("Key", "pen id instance kind")
Span = collections.namedtuple("Span", "stream sequence lane first rows")
Protocol = collections.namedtuple("Protocol", "protocol records flows packets bytes")


class Damaged(Exception):
    pass


class Unfinished(Exception):
    """A row group of which only the beginning is there, or zeros instead."""


def need(condition, text):
    if not condition:
        raise Damaged(text)


# ---- libraries ----

class Libraries:
    """The decompressors and the hash. OSError where one is missing."""

    def __init__(self):
        self.zstd, self.lz4 = ctypes.CDLL("libzstd.so.1"), ctypes.CDLL("liblz4.so.1")
        self.xxhash = ctypes.CDLL("libxxhash.so.0")
        self.zstd.ZSTD_decompress.restype = ctypes.c_size_t
        self.zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
        self.zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]
        self.lz4.LZ4_decompress_safe.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
        self.xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
        self.xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]

    def hash(self, data, seed=0):
        return self.xxhash.XXH3_64bits_withSeed(bytes(data), len(data), seed)

    def unpack(self, compression, data, length):
        """`length` bytes of what is stored as `data`."""
        out = ctypes.create_string_buffer(max(length, 1))
        if compression == NONE:
            need(len(data) == length, f"{len(data)} bytes stored for {length}")
            return bytes(data)
        if compression == ZSTD:
            got = self.zstd.ZSTD_decompress(out, length, bytes(data), len(data))
            need(not self.zstd.ZSTD_isError(got), "Zstandard cannot decompress")
        else:
            need(compression == LZ4, f"compression {compression}")
            got = self.lz4.LZ4_decompress_safe(bytes(data), out, len(data), length)
        need(got == length, f"{got} bytes come out instead of {length}")
        return out.raw[:length]


# ---- streams ----

def unzigzag(value):
    return value >> 1 ^ -(value & 1) & WORD


class Cursor:
    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def take(self, length):
        need(length <= len(self.data) - self.at, f"{length} bytes are needed, {len(self.data) - self.at} are left")
        self.at += length
        return self.data[self.at - length:self.at]

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def finish(self, what):
        need(self.at == len(self.data), f"{len(self.data) - self.at} bytes behind {what}")


class Streams:
    """Integer and byte streams. `met` counts the (layout, compression) of streams and planes."""

    def __init__(self, libraries):
        self.libraries = libraries
        self.met = collections.Counter()

    def head(self, cursor, count):
        layout, width, compression, zero, values, raw, stored, base = cursor.unpack("<4B3IQ")
        need(zero == 0, "a reserved byte of a stream is not 0")
        need(values == count, f"a stream has {values} values instead of {count}")
        self.met[layout, compression] += 1
        return layout, width, compression, raw, base, cursor.take(stored)

    def integers(self, cursor, count):
        layout, width, compression, raw, base, stored = self.head(cursor, count)
        if layout == L_CONST:
            need(raw == 0 and not stored and width == 0, "a constant has a payload")
            return [base] * count
        if layout == L_PLAIN:
            need(width in (1, 2, 4, 8) and raw == count * width, f"{raw} bytes for {count} of {width}")
            plain = self.libraries.unpack(compression, stored, raw)
            return [base + value & WORD for value in struct.unpack(f"<{count}{' BH I   Q'[width]}", plain)]
        if layout == L_BITS:
            return self.bits(self.libraries.unpack(compression, stored, raw), width, base, count)
        if layout == L_PLANES:
            return [base + value & WORD for value in self.planes(stored, width, count)]
        if layout in (L_BLOCKS, L_STEPS):
            need(width == 0 and compression == NONE and base == 0 and raw == len(stored), "the head of blocks")
            return self.blocks(stored, layout == L_STEPS, count)
        need(layout == L_DELTA, f"layout {layout} of integers")
        out = []
        for difference in self.planes(stored, width, count):
            base = base + unzigzag(difference) & WORD
            out.append(base)
        return out

    @staticmethod
    def block(payload, bits, count):
        """Numbers and what follows them; `payload` begins with the words."""
        lanes, width = (32, 32) if bits <= 32 else (16, 64)
        words = (-(-count // lanes) * bits + width - 1) // width
        need(len(payload) >= words * LINE, "a block is cut")
        lines = [struct.unpack_from("<32I" if width == 32 else "<16Q", payload, at) for at in range(0, words * LINE, LINE)]
        streams = [sum(line[lane] << width * i for i, line in enumerate(lines)) for lane in range(lanes)]
        numbers = [streams[i % lanes] >> i // lanes * bits & (1 << bits) - 1 for i in range(count)]
        filled = [bits * len(range(lane, count, lanes)) for lane in range(lanes)]
        need(not any(stream >> end for stream, end in zip(streams, filled)), "bits behind the numbers of a block")
        return numbers, payload[words * LINE:]

    def blocks(self, payload, steps, count):
        out, at = [], -(-count // BLOCK) * BLOCK_HEAD
        need(len(payload) >= at, "the heads of blocks are cut")
        for first in range(0, count, BLOCK):
            base, place, bits, high, exceptions = struct.unpack_from("<QIBBH", payload, first // BLOCK * BLOCK_HEAD)
            here = min(BLOCK, count - first)
            need(place == at and bits <= 64 and (high in (1, 2, 4, 8) if exceptions else high == 0), f"the head of a block at {at}")
            numbers, rest = self.block(payload[at:], bits, here)
            need(len(rest) >= exceptions * (2 + high), "exceptions are cut")
            places = struct.unpack_from(f"<{exceptions}H", rest)
            need(list(places) == sorted(set(places)) and all(p < here for p in places), f"exceptions at {places}")
            for i, exception in enumerate(places):
                part = rest[2 * exceptions + i * high:2 * exceptions + (i + 1) * high]
                numbers[exception] += int.from_bytes(part, "little") << bits
            at += len(payload[at:]) - len(rest) + exceptions * (2 + high)
            if steps:
                need(numbers[0] == 0, "a first step")
                numbers = itertools.accumulate(numbers)
            out += [base + number & WORD for number in numbers]
        need(at == len(payload), "bytes behind the blocks")
        return out

    @staticmethod
    def bits(payload, width, base, count):
        length = (count * width + 7) // 8
        need(1 <= width <= 64 and len(payload) == length + 8, f"{len(payload)} bytes for {count} of {width} bits")
        need(payload[length:] == bytes(8), "no zero bytes behind the bits")
        mask, number = (1 << width) - 1, int.from_bytes(payload[:length], "little")
        if count * width < 8192:
            return [base + (number >> i * width & mask) & WORD for i in range(count)]
        out = []  # pieces, because a shift of a long number takes long
        for first in range(0, count, 64):
            here = min(64, count - first)
            piece = int.from_bytes(payload[first * width // 8:first * width // 8 + 8 * width], "little")
            out += [base + (piece >> i * width & mask) & WORD for i in range(here)]
        return out

    def planes(self, stored, width, count):
        need(1 <= width <= 8, f"{width} planes")
        cursor, planes = Cursor(stored), []
        for _ in range(width):
            word, = cursor.unpack("<I")
            compression, plane = word >> 30, cursor.take(word & (1 << 30) - 1)
            self.met["plane", compression] += 1
            if compression == REPEAT:
                need(len(plane) == 1, f"a repeated byte has {len(plane)}")
                planes.append(plane * count)
            else:
                planes.append(self.libraries.unpack(compression, plane, count))
        cursor.finish("the planes")
        return [int.from_bytes(value, "little") for value in zip(*planes)]

    def bytes(self, cursor, count):
        layout, width, compression, raw, base, stored = self.head(cursor, count)
        need(layout == L_BYTES and width == 1 and base == 0, f"layout {layout} of bytes")
        need(raw == count, f"{raw} bytes in a stream of {count}")
        return self.libraries.unpack(compression, stored, raw)


# ---- parts of a file ----

@dataclasses.dataclass
class Bounds:
    first: tuple  # (least, greatest); least > greatest: none
    last: tuple
    received: tuple
    time: tuple


@dataclasses.dataclass
class Statistics:
    bounds: Bounds
    protocols: list


def read_statistics(cursor):
    times = cursor.unpack("<8Q")
    count, zero = cursor.unpack("<2I")
    need(zero == 0, "a reserved word of statistics is not 0")
    protocols = [Protocol(*cursor.unpack("<5Q")) for _ in range(count)]
    numbers = [protocol.protocol for protocol in protocols]
    need(numbers == sorted(set(numbers)) and all(n <= 256 for n in numbers), f"protocols {numbers}")
    return Statistics(Bounds(*zip(times[::2], times[1::2])), protocols)


@dataclasses.dataclass
class Head:
    version: int
    window_ms: int
    window_s: int
    lane: int
    stream: int
    created_ms: int


def read_head(libraries, data):
    need(len(data) == HEAD and data[:8] == HEAD_MAGIC, "no segment")
    version, zero, features, window, length, lane, stream, created, zeros, check = struct.unpack_from("<HHIQIIQQQQ",
                                                                                                     data, 8)
    need(libraries.hash(data[:56]) == check, "the hash of the head does not agree")
    need(version in (1, 2) and features == 0, f"version {version}, features {features:#x}")
    need(zero == 0 and zeros == 0, "a reserved field of the head is not 0")
    return Head(version, window, length, lane, stream, created)


@dataclasses.dataclass
class Entry:
    key: Key
    role: int
    encoding: int
    width: int
    nulls: int
    reference: int
    dictionary: int
    least: int
    greatest: int
    offset: int
    length: int
    hash: int


def read_entry(cursor):
    (pen, number, instance, kind, role, encoding, width, zero, nulls, reference, dictionary, least, greatest, offset,
     length, zeros, check) = cursor.unpack("<IHBBBBBBIIIQQQIIQ")
    need(zero == 0 and zeros == 0, "a reserved field of a directory entry is not 0")
    need(role <= FILTER and kind <= BYTES and encoding <= BYTES_DICT, f"role {role}, kind {kind}, encoding {encoding}")
    return Entry(Key(pen, number, instance, kind), role, encoding, width, nulls, reference, dictionary, least, greatest,
                 offset, length, check)


def read_span(cursor):
    *span, zero = cursor.unpack("<QQIIII")
    need(zero == 0, "a reserved field of a span is not 0")
    return Span(*span)


class RowGroup:
    """A row group of `data` at `offset`, whole: head and meta are verified. columns() verifies and reads the chunks."""

    def __init__(self, libraries, data, offset):
        self.libraries, self.offset = libraries, offset
        head = data[offset:offset + HEAD]
        if len(head) < HEAD or head == bytes(HEAD) and not any(data[offset:]):
            raise Unfinished
        need(head[:8] == GROUP_MAGIC, f"no row group at {offset}")
        self.rows, meta, self.length, self.kind, entries, spans, check = struct.unpack_from("<IIQHHIQ", head, 8)
        need(libraries.hash(head[:56]) == struct.unpack_from("<Q", head, 56)[0], "the hash of a row group's head")
        self.format = struct.unpack_from("<H", head, 40)[0]
        need(self.format in (0, 2) and head[42] < 2 and head[43:56] == bytes(13), "a reserved field of a row group's head is not 0")
        need(1 <= self.rows <= MOST_ROWS and self.kind in (FLOWS, OPTIONS), f"{self.rows} rows of kind {self.kind}")
        need(self.length % 8 == 0 and self.length >= HEAD + meta, f"a row group of {self.length} bytes, meta {meta}")
        if self.length > len(data) - offset:
            raise Unfinished
        self.data = bytes(data[offset:offset + self.length])
        self.read_meta(self.data[HEAD:HEAD + meta], check, spans, entries)

    def read_meta(self, meta, check, spans, entries):
        need(self.libraries.hash(meta) == check, f"the hash of the meta of the row group at {self.offset}")
        cursor = Cursor(meta)
        self.statistics = read_statistics(cursor)
        self.spans, row = [], 0
        for _ in range(spans):
            span = read_span(cursor)
            need(span.first == row and span.rows > 0, f"{span} at row {row}")
            row += span.rows
            self.spans.append(span)
        need(row == self.rows, f"spans cover {row} of {self.rows} rows")
        self.entries = [read_entry(cursor) for _ in range(entries)]
        cursor.finish("the directory")
        self.check_chunks(HEAD + len(meta))

    def check_chunks(self, at):
        for entry in self.entries:
            need(entry.offset == at and entry.length <= self.length - at, f"a chunk at {entry.offset} instead of {at}")
            at += entry.length
        need(self.length == (at + 7) // 8 * 8 and not any(self.data[at:]), "what follows the chunks is no padding")
        keys = [entry.key for entry in self.entries if entry.role == COLUMN]
        need(len(keys) == len(set(keys)), "two columns with the same key")
        for roles in ((ADDRESSES,), (BLOOM, FILTER)):
            need(sum(entry.role in roles for entry in self.entries) <= 1, f"two chunks with roles {roles}")
        need(self.format == 2 or not self.entry_of(FILTER), "a filter in pages in format 1")

    def chunk(self, entry):
        out = self.data[entry.offset:entry.offset + entry.length]
        need(self.libraries.hash(out) == entry.hash, f"the hash of the chunk of {entry.key}")
        return out

    def entry_of(self, *roles):
        return next((entry for entry in self.entries if entry.role in roles), None)


class Columns:
    """The columns of a row group: values[key] is a list with None where a row is null; addresses are 128 bit numbers.
    `codes` has the codes of address columns, `addresses` the dictionary."""

    def __init__(self, group, streams):
        self.group, self.streams = group, streams
        self.values, self.codes, self.addresses = {}, {}, []
        self.encodings = collections.Counter()
        dictionary = group.entry_of(ADDRESSES)
        if dictionary:
            self.read_addresses(dictionary)
        for number, entry in enumerate(group.entries):
            if entry.role == COLUMN:
                self.read(number, entry)

    def read_addresses(self, entry):
        cursor = Cursor(self.group.chunk(entry))
        below, ipv4, above = cursor.unpack("<3I")
        need(below + ipv4 + above == entry.dictionary <= MOST_ADDRESSES, f"{below} + {ipv4} + {above} addresses")
        low = self.streams.integers(cursor, ipv4)
        upper = self.streams.integers(cursor, below + above)
        lower = self.streams.integers(cursor, below + above)
        cursor.finish("the address dictionary")
        others = [high << 64 | value for high, value in zip(upper, lower)]
        need(all(value <= 0xffffffff for value in low), "an IPv4 address of more than 32 bits")
        self.addresses = others[:below] + [IPV4_FIRST | value for value in low] + others[below:]
        need(all(x < y for x, y in zip(self.addresses, self.addresses[1:])), "addresses are not in order")
        need(all(value < IPV4_FIRST for value in others[:below]), "an address is not below the IPv4 ones")
        need(all(value > IPV4_LAST for value in others[below:]), "an address is not above the IPv4 ones")

    def present(self, cursor, entry):
        """The numbers of the rows that are not null."""
        rows = self.group.rows
        need(entry.nulls < rows, "a column that is null in every row")
        if entry.nulls == 0:
            return range(rows)
        bitmap = int.from_bytes(self.streams.bytes(cursor, (rows + 63) // 64 * 8), "little")
        need(bitmap >> rows == 0, "bits behind the last row")
        out = [row for row, bit in enumerate(reversed(f"{bitmap:0{rows}b}")) if bit == "1"]
        need(len(out) == rows - entry.nulls, f"{len(out)} of {rows} rows present, {entry.nulls} null")
        return out

    def read(self, number, entry):
        self.encodings[entry.encoding] += 1
        cursor = Cursor(self.group.chunk(entry))
        rows = self.present(cursor, entry)
        if entry.encoding in (PLAIN_BYTES, BYTES_DICT):
            need(entry.key.kind == BYTES, f"encoding {entry.encoding} of {entry.key}")
            packed = self.read_bytes(cursor, entry, len(rows))
        else:
            need(entry.key.kind != BYTES, f"encoding {entry.encoding} of {entry.key}")
            packed = self.read_integers(cursor, entry, number, rows)
        cursor.finish(f"the chunk of {entry.key}")
        self.check_bounds(entry, packed)
        if entry.key.kind == ADDRESS:
            need(max(packed) < len(self.addresses), "a code beyond the dictionary")
            self.codes[entry.key] = self.spread(rows, packed)
            packed = [self.addresses[code] for code in packed]
        self.values[entry.key] = self.spread(rows, [self.typed(entry.key.kind, value) for value in packed])

    def spread(self, rows, packed):
        out = [None] * self.group.rows
        for row, value in zip(rows, packed, strict=True):
            out[row] = value
        return out

    @staticmethod
    def typed(kind, value):
        if kind == INT:
            return value - (value >> 63 << 64)
        if kind == FLOAT:
            return struct.unpack("<d", struct.pack("<Q", value))[0]
        return value

    @staticmethod
    def check_bounds(entry, packed):
        """Least and greatest, and the bytes that an integer needs."""
        if entry.key.kind in (UINT, ADDRESS):
            bounds = min(packed), max(packed)
        else:
            bounds = 0, 0 if entry.key.kind == BYTES else WORD
        need((entry.least, entry.greatest) == bounds, f"{entry.key}: {entry.least}..{entry.greatest}, in fact {bounds}")
        need(entry.width in ((0,) if entry.key.kind == BYTES else (1, 2, 4, 8)), f"width {entry.width} of {entry.key}")
        if entry.key.kind == UINT:
            need(bounds[1] < 1 << 8 * entry.width, f"{bounds[1]} in {entry.width} bytes")

    def referred(self, number, entry, encoding, kind):
        need(entry.reference < number, f"{entry.key} refers to entry {entry.reference}")
        other = self.group.entries[entry.reference]
        need(other.role == COLUMN and other.nulls == 0 and other.key.kind == kind, f"{entry.key} refers to {other.key}")
        need((other.encoding == encoding) == (encoding == CODES), f"{entry.key} refers to encoding {other.encoding}")
        return other.key

    def read_integers(self, cursor, entry, number, rows):
        count = len(rows)
        if entry.encoding == FUNCTION:
            codes = self.codes[self.referred(number, entry, CODES, ADDRESS)]
            values = self.streams.integers(cursor, len(self.addresses))
            return [values[codes[row]] for row in rows]
        if entry.encoding == DIFFERENCE:
            need(entry.nulls == 0, "a DIFFERENCE with nulls")
            base = self.values[self.referred(number, entry, DIFFERENCE, UINT)]
            return [x + unzigzag(y) & WORD for x, y in zip(base, self.streams.integers(cursor, count), strict=True)]
        need(entry.reference == 0xffffffff, f"{entry.key} refers to entry {entry.reference}")
        if entry.encoding == DICT:
            values = self.streams.integers(cursor, entry.dictionary)
            need(all(x < y for x, y in zip(values, values[1:])), "a dictionary is not in order")
            return self.of_codes(values, cursor, count)
        need(entry.encoding == (CODES if entry.key.kind == ADDRESS else VALUES), f"encoding of {entry.key}")
        return self.streams.integers(cursor, count)

    def of_codes(self, values, cursor, count):
        codes = self.streams.integers(cursor, count)
        need(max(codes) < len(values), "a code beyond the dictionary")
        return [values[code] for code in codes]

    def read_bytes(self, cursor, entry, count):
        is_dictionary = entry.encoding == BYTES_DICT
        lengths = self.streams.integers(cursor, entry.dictionary if is_dictionary else count)
        heap, values, at = self.streams.bytes(cursor, sum(lengths)), [], 0
        for length in lengths:
            values.append(heap[at:at + length])
            at += length
        if not is_dictionary:
            return values
        need(all(x < y for x, y in zip(values, values[1:])), "a dictionary is not in order")
        return self.of_codes(values, cursor, count)


class Bloom:
    def __init__(self, libraries, chunk, role):
        self.libraries = libraries
        blocks = self.unpage(chunk) if role == FILTER else chunk
        need(blocks and len(blocks) % FILTER_BLOCK == 0, f"a Bloom filter of {len(chunk)} bytes")
        self.words = struct.unpack(f"<{len(blocks) // 4}I", blocks)

    def unpage(self, chunk):
        out = b""
        for number, at in enumerate(range(0, len(chunk), PAGE)):
            page = chunk[at:at + PAGE]
            need(len(page) > PAGE_HEAD, f"page {number} of a filter has no blocks")
            need(struct.unpack_from("<Q", page)[0] == self.libraries.hash(page[8:], number), f"the hash of page {number} of a filter")
            need(not any(page[8:PAGE_HEAD]), f"page {number} of a filter has no zeros behind its hash")
            out += page[PAGE_HEAD:]
        return out

    def contains(self, address, bits):
        masked = (address >> 128 - bits << 128 - bits).to_bytes(16, "big")
        key = self.libraries.hash(masked, bits)
        block = (key >> 32) * (len(self.words) // 8) >> 32
        return all(self.words[block * 8 + i] >> ((key & 0xffffffff) * salt % (1 << 32) >> 27) & 1
                   for i, salt in enumerate(SALT))


def prefixes(address):
    """Lengths, of 128 bits, of the prefixes of an address that a filter holds."""
    return PREFIXES_IPV4 if IPV4_FIRST <= address <= IPV4_LAST else PREFIXES_IPV6


# ---- a file ----

@dataclasses.dataclass
class Footer:
    head: bytes
    statistics: Statistics
    groups: list  # (offset, length, rows, kind, Bounds, spans: None in version 1)


def read_footer(libraries, data):
    need(len(data) >= HEAD + TRAILER and data[-8:] == TRAILER_MAGIC, "no trailer")
    length, check, whole, _ = struct.unpack("<QQQ8s", data[-TRAILER:])
    need(whole == len(data), f"the trailer is that of a file of {whole} bytes")
    need(length <= len(data) - HEAD - TRAILER, f"a footer of {length} bytes")
    footer = data[len(data) - TRAILER - length:len(data) - TRAILER]
    need(libraries.hash(footer) == check, "the hash of the footer does not agree")
    cursor = Cursor(footer)
    magic, count, zero, head = cursor.unpack("<8sII64s")
    need(magic == FOOTER_MAGIC and zero == 0, "no footer")
    statistics, groups = read_statistics(cursor), []
    for _ in range(count):
        offset, size, rows, kind, zero, *times = cursor.unpack("<QQIHH8Q")
        need(zero == 0, "a reserved field of the footer is not 0")
        time, received, first, last = zip(times[::2], times[1::2])
        groups.append([offset, size, rows, kind, Bounds(first, last, received, time), None])
    for group in groups if read_head(libraries, head).version > 1 else ():
        spans, zero = cursor.unpack("<II")
        group[-1] = [read_span(cursor) for _ in range(spans)]
        need(zero == 0, "a reserved field of the footer is not 0")
    cursor.finish("the footer")
    return Footer(head, statistics, groups)


class Segment:
    """A file: its head (None: not written yet), row groups and footer (None: live, or damaged). `damage` has a sentence
    for each piece that is not as it should be, `unfinished` is true when it ends in what is still being written."""

    def __init__(self, libraries, data, sealed):
        self.libraries, self.data, self.damage = libraries, bytes(data), []
        self.footer, self.groups, self.unfinished = None, [], False
        if sealed:
            try:
                self.footer = read_footer(libraries, self.data)
            except Damaged as why:
                self.damage.append(str(why))
        if not sealed and (len(self.data) < HEAD or not any(self.data)):
            self.head, self.unfinished = None, True
            return
        self.read_file_head()
        if self.footer:
            self.read_listed()
        else:
            self.walk(sealed)

    def read_file_head(self):
        try:
            self.head = read_head(self.libraries, self.data[:HEAD])
        except Damaged as why:
            if not self.footer:
                raise
            self.damage.append(str(why))
            self.head = read_head(self.libraries, self.footer.head)

    def read_listed(self):
        for offset, length, rows, kind, _, spans in self.footer.groups:
            try:
                group = RowGroup(self.libraries, self.data, offset)
                need((group.length, group.rows, group.kind) == (length, rows, kind), f"another row group at {offset}")
                need(spans in (None, group.spans), f"other batches in the row group at {offset}")
                need(group.format <= self.head.version, f"a row group of format {group.format}")
                self.groups.append(group)
            except (Damaged, Unfinished) as why:
                self.damage.append(str(why) or f"the row group at {offset} is not whole")

    def walk(self, sealed):
        """From row group to row group; where there is none, on to the next magic."""
        at = HEAD
        while at < len(self.data) and self.data[at:at + 8] != FOOTER_MAGIC:
            try:
                group = RowGroup(self.libraries, self.data, at)
                self.groups.append(group)
                at += group.length
            except Unfinished:
                self.unfinished = not sealed
                if sealed:
                    self.damage.append(f"the row group at {at} is not whole")
                return
            except Damaged as why:
                self.damage.append(str(why))
                at = self.next_magic(at + 8)
        if sealed and at >= len(self.data):
            self.damage.append("the end of the file is missing")

    def next_magic(self, at):
        while (at := self.data.find(GROUP_MAGIC, at)) >= 0:
            if at % 8 == 0:
                return at
            at += 1
        return len(self.data)

    def rows(self, seen):
        """(RowGroup, Span) of the spans whose id is not yet in the set `seen`, to which it is added."""
        for group in self.groups:
            for span in group.spans:
                key = span.stream, span.lane, span.sequence
                if key not in seen:
                    seen.add(key)
                    yield group, span


def read_segment(libraries, path):
    return Segment(libraries, path.read_bytes(), path.suffix == ".scs")
