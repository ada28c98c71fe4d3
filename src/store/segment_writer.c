// SPDX-License-Identifier: BSD-3-Clause
/*
 * Writing a segment. THIS COMMENT IS THE FORMAT, with stream.h (streams), address_dict.h and bloom.h (the
 * chunks of addresses and of their filter).
 *
 * All numbers are little-endian. Hashes are XXH3 64 with seed 0; those in a filter have seeds. Times are ms since 1970-01-01 UTC. Nothing
 * in a file is ever changed in place; a file grows only at its end and only while it is live.
 *
 * FILE
 *   head 64 bytes, row groups one behind the other, and when sealed a footer and a trailer. Every row
 *   group is a multiple of 8 bytes.
 *   Names: sealed *.scs, live *.sclive; temporary files begin with a dot and are not read.
 *
 * HEAD
 *      0  8  magic 89 'S' 'C' 'S' 'E' 'G' 0d 0a
 *      8  2  version: 1 or 2, that of its newest row group or a newer one. A reader refuses greater ones.
 *     10  2  0
 *     12  4  feature bits, all of which a reader must know; none are defined
 *     16  8  window: start
 *     24  4  window: length in seconds
 *     28  4  lane: of the member whose batches these are; 0 on a single node
 *     32  8  stream: random number of the writer that made the file
 *     40  8  time of creation, of a sealed file that of the seal; the end of the window, when another member of a cluster
 *            had all of it before
 *     48  8  0
 *     56  8  hash of bytes 0..55
 *
 * ROW GROUP: head, statistics, spans, directory, chunks in the order of their entries without gaps between
 * them, zero bytes up to a multiple of 8
 *      0  8  magic 89 'S' 'C' 'R' 'G' 'R' 'P' 0a. A reader that finds damage goes on at the next such magic.
 *      8  4  rows, 1 to 65,536
 *     12  4  length of statistics + spans + directory ("meta"), which follow the head
 *     16  8  length of the whole row group
 *     24  2  record kind: 0 flow records, 1 options records
 *     26  2  entries in the directory
 *     28  4  spans
 *     32  8  hash of the meta
 *     40  2  format: 0, which means 1; or 2, when its streams may have the layouts BLOCKS and STEPS, and its
 *            filter pages
 *     42  2  1: compaction packed it; else 0. A reader need not know
 *     44 12  0
 *     56  8  hash of bytes 0..55
 *   A row group is whole when its head's hash agrees, the file is long enough, and the meta's hash agrees. It
 *   begins at a multiple of 8 in the file. Where a live file has fewer than 64 bytes left, a head that agrees
 *   but not all of its row group, or nothing but zero bytes up to its end, it ends in a row group that is
 *   being written, or whose writer died: that is no damage, and nothing follows. All else that is not whole
 *   is damage. A live file that is shorter than its own head or nothing but zero bytes has no rows yet.
 *
 *   Statistics (also in the footer): least and greatest, each pair behind the other, of the fields first,
 *   last, received, and of the selection time (first, else observationTimeMilliseconds, else received): eight
 *   u64, least > greatest when no row has one; u32 number of protocols, u32 0; per protocol, ascending: u64
 *   protocol (256: records without one or with a greater number), records, flows, packets, bytes as u64,
 *   sums modulo 2^64. Which elements a field is taken from is in docs/formats.md.
 *
 *   Span (32 bytes): u64 stream, u64 sequence, u32 lane, u32 first row, u32 rows, u32 0. Ascending, without
 *   gaps, covering all rows. (stream, lane, sequence) names a batch of flows for ever; a reader counts an id
 *   once, whatever files it meets it in.
 *
 *   Directory entry (64 bytes):
 *      0  4  column's key: PEN    4  2  element id    6  1  instance    7  1  kind: 0 unsigned,
 *            1 signed, 2 double, 3 address, 4 bytes
 *      8  1  role: 0 column, 1 address dictionary, 2 Bloom filter, 3 Bloom filter in pages
 *      9  1  encoding (below)
 *     10  1  bytes that an integer needs: 1, 2, 4, 8 (signed and double: 8; codes: 1, 2, 4; bytes: 0)
 *     11  1  0
 *     12  4  rows that are null
 *     16  4  entry that the encoding refers to, a lower number: FUNCTION to a CODES column, DIFFERENCE to an
 *            unsigned column that is no DIFFERENCE itself, both without nulls; else ffffffff
 *     20  4  entries in the dictionary: of DICT and BYTES_DICT its own; of the address dictionary and of
 *            address columns those of the address dictionary, at most 2^24; else 0
 *     24  8  least value   32  8  greatest value, of the rows that are not null: of unsigned columns; codes
 *            of address columns; signed and double: 0 and 2^64-1; all else: 0 and 0
 *     40  8  offset of the chunk from the start of the row group
 *     48  4  its length
 *     52  4  0
 *     56  8  its hash
 *   A column that is null in every row has no entry. The address dictionary is there when any row has an
 *   address; its key is (PEN 4294967293, 0, 0, address). The Bloom filter, (4294967293, 0, 1, address), is
 *   there in flow row groups that were compressed and have a dictionary: nearly all of sealed files, and full ones of live files; options
 *   records, and larger ones of earlier versions have none. In format 2 it has pages (role 3), which early builds of that format did
 *   not write; in format 1 it has none (role 2). At most one dictionary and one filter, encoding 0.
 *
 *   Chunk of a column: when rows are null, a byte stream with ceil(rows / 64) * 8 bytes, bit r % 64 of the
 *   r / 64th u64 set where row r is not null, bits behind the last row 0; then the streams of the encoding,
 *   one behind the other, up to the end of the chunk. n is the number of rows that are not null, d that of
 *   the dictionary's entries; a code is an index into the dictionary, from 0.
 *     0 VALUES      integers: a stream of n
 *     1 DICT        integers: a stream of the d distinct values, ascending as unsigned; a stream of n codes
 *     2 FUNCTION    integers, and addresses as codes: a stream with a value for each entry of the address
 *                   dictionary. Row r, when not null, has the value at the index that is the code of the
 *                   referred address column in row r; entries that it does not use have any value.
 *     3 DIFFERENCE  integers, no nulls: a stream of n, zigzag (stream.h) of value - value of the referred
 *                   column in the same row, modulo 2^64
 *     4 CODES       addresses: a stream of n codes into the address dictionary of the row group
 *     5 BYTES       a stream of the n lengths; a byte stream of the n values one behind the other
 *     6 BYTES_DICT  a stream of d lengths and a byte stream of the d distinct values, in memcmp order, the
 *                   shorter before the longer; a stream of n codes
 *   Signed integers are 64 bit two's complement, floats the bits of a double; MAC addresses 48 bit numbers;
 *   times as exported.
 *
 * FOOTER (sealed only)
 *      0  8  magic 89 'S' 'C' 'F' 'O' 'O' 'T' 0a
 *      8  4  row groups   12  4  0
 *     16 64  the head of the file once more, so that a file whose first bytes are damaged can be read
 *     80     statistics of all flow row groups
 *            per row group 88 bytes: u64 offset, u64 length, u32 rows, u16 record kind, u16 0, least and
 *            greatest selection time, received, first, last (eight u64)
 *            in format 2, per row group: u32 spans, u32 0, and its spans once more
 * TRAILER (32 bytes, the last of the file)
 *      0  8  length of the footer
 *      8  8  its hash
 *     16  8  length of the file
 *     24  8  magic 89 'S' 'C' 'E' 'N' 'D' 0d 0a
 *   When trailer or footer are damaged the row groups are found by walking from the head, as in a live
 *   file; a walk that ends at a footer's magic has met all of them.
 */
#include "store/segment_writer.h"

#include "base/array.h"
#include "base/clock.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void put_hash(struct sc_buf *out, size_t from)
{
    if (sc_buf_ok(out))
        sc_buf_append_le64(out, XXH3_64bits(out->data + from, out->len - from));
}

static void put_head(struct sc_buf *out, const struct sc_segment_id *id, uint16_t format)
{
    size_t start = out->len;
    sc_buf_append(out, SC_SEGMENT_MAGIC, SC_MAGIC_BYTES);
    sc_buf_append_le16(out, format);
    sc_buf_append_le16(out, 0);
    sc_buf_append_le32(out, 0);
    sc_buf_append_le64(out, id->window_ms);
    sc_buf_append_le32(out, id->window_s);
    sc_buf_append_le32(out, id->lane);
    sc_buf_append_le64(out, id->stream);
    sc_buf_append_le64(out, id->created_ms != 0 ? id->created_ms : sc_clock_wall_ms());
    sc_buf_append_le64(out, 0);
    put_hash(out, start);
}

static enum sc_status write_bytes(struct sc_segment_writer *writer, const uint8_t *bytes, size_t length,
                                  struct sc_error *err)
{
    int result = sc_io_write_all(writer->io, writer->handle, bytes, length);
    if (result < 0)
        return sc_fail_errno(err, -result, "cannot write %s", writer->path);
    writer->offset += length;
    return SC_OK;
}

static enum sc_status write_buf(struct sc_segment_writer *writer, struct sc_error *err)
{
    if (!sc_buf_ok(&writer->buf))
        return sc_fail_nomem(err, writer->path);
    return write_bytes(writer, writer->buf.data, writer->buf.len, err);
}

static void release(struct sc_segment_writer *writer)
{
    sc_buf_free(&writer->buf);
    sc_buf_free(&writer->spans);
    sc_row_stats_free(&writer->flow_stats);
    free(writer->groups);
    free(writer->path);
    *writer = (struct sc_segment_writer){.handle = -1};
}

enum sc_status sc_segment_writer_create(struct sc_segment_writer *writer, struct sc_io *io, const char *path,
                                        const struct sc_segment_id *id, struct sc_error *err)
{
    *writer = (struct sc_segment_writer){.io = io, .handle = -1, .path = strdup(path)};
    sc_row_stats_init(&writer->flow_stats);
    if (writer->path == NULL)
        return sc_fail_nomem(err, path);
    writer->handle = io->ops->create(io, path);
    if (writer->handle < 0) {
        enum sc_status status = sc_fail_errno(err, -writer->handle, "cannot create %s", path);
        release(writer);
        return status;
    }
    writer->format = id->format == 0 ? SC_SEGMENT_VERSION : id->format;
    put_head(&writer->buf, id, writer->format);
    if (sc_buf_ok(&writer->buf))
        memcpy(writer->head, writer->buf.data, sizeof(writer->head));
    enum sc_status status = write_buf(writer, err);
    if (status != SC_OK) {
        io->ops->close(io, writer->handle);
        io->ops->unlink(io, path);
        release(writer);
    }
    return status;
}

static size_t spans_size(const struct sc_encoded_group *group)
{
    return 8 + (size_t)group->span_count * SC_SPAN_BYTES;
}

static bool make_room(struct sc_segment_writer *writer, const struct sc_encoded_group *group)
{
    bool room = sc_array_more(writer->groups, writer->group_count, 1) &&
                sc_buf_reserve(&writer->spans, spans_size(group)) != NULL;
    writer->spans.failed = false;
    return room;
}

/* There is room. */
static void note_group(struct sc_segment_writer *writer, const struct sc_encoded_group *group,
                       uint64_t offset)
{
    writer->groups[writer->group_count] = group->ref;
    writer->groups[writer->group_count++].offset = offset;
    sc_buf_append_le32(&writer->spans, group->span_count);
    sc_buf_append_le32(&writer->spans, 0);
    sc_buf_append(&writer->spans, group->encoded_spans, (size_t)group->span_count * SC_SPAN_BYTES);
}

/* All that needs memory comes before the write: afterwards only the file itself can fail. */
enum sc_status sc_segment_writer_add_encoded(struct sc_segment_writer *writer,
                                             const struct sc_encoded_group *group, struct sc_error *err)
{
    if (group->format > writer->format)
        return sc_fail(err, SC_LIMIT, "%s has format %u: a row group of format %u does not belong there",
                       writer->path, writer->format, group->format);
    enum sc_status status = make_room(writer, group) ? SC_OK : SC_NOMEM;
    uint64_t offset = writer->offset;
    if (status == SC_OK && group->ref.record_kind == SC_RECORDS_FLOWS)
        status = sc_row_stats_merge(&writer->flow_stats, &group->stats);
    if (status != SC_OK)
        return sc_fail_nomem(err, writer->path);
    SC_TRY(write_bytes(writer, group->bytes, group->length, err));
    note_group(writer, group, offset);
    return SC_OK;
}

enum sc_status sc_segment_writer_add(struct sc_segment_writer *writer, struct sc_row_group_encoder *encoder,
                                     const struct sc_batch *batch, struct sc_error *err)
{
    struct sc_encoded_group group = {.ref = {.rows = batch->rows, .record_kind = batch->record_kind}};
    sc_buf_clear(&writer->buf);
    SC_TRY(sc_row_group_encode(encoder, batch, &writer->buf, &group.stats, err));
    group.bytes = writer->buf.data;
    group.length = group.ref.length = writer->buf.len;
    group.format = sc_row_group_format(group.bytes);
    group.span_count = batch->span_count;
    group.encoded_spans = group.bytes + SC_ROW_GROUP_HEAD_BYTES + sc_row_stats_size(&group.stats);
    memcpy(group.ref.times, group.stats.times, sizeof(group.ref.times));
    enum sc_status status = sc_segment_writer_add_encoded(writer, &group, err);
    sc_row_stats_free(&group.stats);
    return status;
}

enum sc_status sc_segment_writer_sync(struct sc_segment_writer *writer, struct sc_error *err)
{
    int result = writer->io->ops->datasync(writer->io, writer->handle);
    return result < 0 ? sc_fail_errno(err, -result, "cannot sync %s", writer->path) : SC_OK;
}

static void put_footer(struct sc_segment_writer *writer)
{
    struct sc_buf *out = &writer->buf;
    sc_buf_clear(out);
    sc_buf_append(out, SC_FOOTER_MAGIC, SC_MAGIC_BYTES);
    sc_buf_append_le32(out, writer->group_count);
    sc_buf_append_le32(out, 0);
    sc_buf_append(out, writer->head, sizeof(writer->head));
    sc_row_stats_write(&writer->flow_stats, out);
    for (uint32_t i = 0; i < writer->group_count; i++) {
        const struct sc_group_ref *ref = &writer->groups[i];
        sc_buf_append_le64(out, ref->offset);
        sc_buf_append_le64(out, ref->length);
        sc_buf_append_le32(out, ref->rows);
        sc_buf_append_le16(out, ref->record_kind);
        sc_buf_append_le16(out, 0);
        for (unsigned k = 0; k < SC_ROW_TIMES; k++) {
            sc_buf_append_le64(out, ref->times[sc_footer_time(k)].min);
            sc_buf_append_le64(out, ref->times[sc_footer_time(k)].max);
        }
    }
    if (writer->format > 1)
        sc_buf_append(out, writer->spans.data, writer->spans.len);
    uint64_t length = out->len;
    uint64_t hash = sc_buf_ok(out) ? XXH3_64bits(out->data, out->len) : 0;
    sc_buf_append_le64(out, length);
    sc_buf_append_le64(out, hash);
    sc_buf_append_le64(out, writer->offset + length + SC_TRAILER_BYTES);
    sc_buf_append(out, SC_TRAILER_MAGIC, SC_MAGIC_BYTES);
}

enum sc_status sc_segment_writer_finish(struct sc_segment_writer *writer, struct sc_error *err)
{
    put_footer(writer);
    enum sc_status status = write_buf(writer, err);
    if (status == SC_OK)
        status = sc_segment_writer_sync(writer, err);
    int result = writer->io->ops->close(writer->io, writer->handle);
    if (status == SC_OK && result < 0)
        status = sc_fail_errno(err, -result, "cannot close %s", writer->path);
    release(writer);
    return status;
}

void sc_segment_writer_abandon(struct sc_segment_writer *writer)
{
    if (writer->handle >= 0)
        writer->io->ops->close(writer->io, writer->handle);
    release(writer);
}
