// SPDX-License-Identifier: BSD-3-Clause
/* Opening a segment and finding its row groups. The format is at the head of segment_writer.c. */
#include "store/reader.h"

#include "base/array.h"
#include "store/io.h"
#include "store/span_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Exactly `count` bytes at `offset`; SC_END when the file is shorter. */
static enum sc_status read_at(int fd, uint64_t offset, void *out, size_t count)
{
    size_t got;
    if (sc_io_read_all_at(sc_io_system(), fd, offset, out, count, &got) < 0)
        return SC_IO;
    return got < count ? SC_END : SC_OK;
}

static bool hash_agrees(const uint8_t *bytes, size_t count)
{
    return sc_load_le64(bytes + count) == XXH3_64bits(bytes, count);
}

static enum sc_status parse_head(struct sc_segment *segment, const uint8_t *head, struct sc_error *err)
{
    if (memcmp(head, SC_SEGMENT_MAGIC, SC_MAGIC_BYTES) != 0)
        return sc_fail(err, SC_NOT_OURS, "%s is not a segment of a flow store", segment->path);
    if (!hash_agrees(head, SC_SEGMENT_HEAD_BYTES - 8))
        return sc_fail(err, SC_DAMAGED, "the head of %s is damaged; run sc-admin repair", segment->path);
    unsigned version = sc_load_le16(head + 8);
    uint32_t unknown = sc_load_le32(head + 12) & ~SC_SEGMENT_FEATURES_KNOWN;
    if (version > SC_SEGMENT_VERSION || unknown != 0)
        return sc_fail(err, SC_UNSUPPORTED,
                       "%s has format version %u with feature bits 0x%x; this program reads versions up to "
                       "%u: upgrade it",
                       segment->path, version, unknown, SC_SEGMENT_VERSION);
    segment->format = (uint16_t)version;
    segment->window_ms = sc_load_le64(head + 16);
    segment->window_s = sc_load_le32(head + 24);
    segment->lane = sc_load_le32(head + 28);
    segment->stream = sc_load_le64(head + 32);
    segment->created_ms = sc_load_le64(head + 40);
    return SC_OK;
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

/*
 * @return SC_END for a live file whose head was never written whole: its writer is about to, or died before
 * anything in the file was durable.
 */
static enum sc_status read_segment_head(struct sc_segment *segment, struct sc_error *err)
{
    uint8_t head[SC_SEGMENT_HEAD_BYTES] = {0};
    size_t there = segment->file_bytes < sizeof(head) ? (size_t)segment->file_bytes : sizeof(head);
    enum sc_status status = read_at(segment->fd, 0, head, there);
    if (status == SC_IO)
        return sc_fail_errno(err, errno, "cannot read %s", segment->path);
    bool live = sc_name_ends(segment->path, SC_LIVE_SUFFIX);
    if (live && (there < sizeof(head) || all_zero(head, sizeof(head))))
        return SC_END;
    return parse_head(segment, head, err);
}

/* What the head of a file says, in a segment that is not open. False: it can't be read; *changed_ms: when the file was changed last, as
 * the file system says, 0 when that can't be told either. */
static bool look_at_head(const char *path, struct sc_segment *out, uint64_t *changed_ms)
{
    struct stat st;
    *out = (struct sc_segment){.path = (char *)(uintptr_t)path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    *changed_ms = 0;
    if (out->fd < 0)
        return false;
    bool there = fstat(out->fd, &st) == 0;
    if (there) {
        out->file_bytes = (uint64_t)st.st_size;
        *changed_ms = (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
    }
    bool good = there && read_segment_head(out, NULL) == SC_OK;
    close(out->fd);
    return good;
}

uint32_t sc_segment_window_s(const char *path, uint32_t otherwise)
{
    struct sc_segment segment;
    uint64_t changed_ms;
    return look_at_head(path, &segment, &changed_ms) && segment.window_s != 0 ? segment.window_s : otherwise;
}

uint64_t sc_segment_created_ms(const char *path)
{
    struct sc_segment segment;
    uint64_t changed_ms;
    return look_at_head(path, &segment, &changed_ms) ? segment.created_ms : changed_ms;
}

static bool add_group(struct sc_segment *segment, const struct sc_group_ref *ref)
{
    if (!sc_array_more(segment->groups, segment->group_count, 1))
        return false;
    segment->groups[segment->group_count++] = *ref;
    return true;
}

/* ---- sealed: from the footer ---- */

static enum sc_status parse_spans(struct sc_segment *segment, struct sc_cursor *in)
{
    size_t most = sc_cursor_left(in) / SC_SPAN_BYTES;
    struct sc_span *spans = segment->spans = malloc((most + 1) * sizeof(*spans));
    if (spans == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < segment->group_count; i++) {
        struct sc_group_ref *ref = &segment->groups[i];
        ref->span_count = sc_cursor_le32(in);
        sc_cursor_le32(in);
        if (ref->span_count == 0 || ref->span_count > sc_cursor_left(in) / SC_SPAN_BYTES)
            return SC_DAMAGED;
        SC_TRY(sc_spans_read(in, spans, ref->span_count, ref->rows));
        ref->spans = spans;
        spans += ref->span_count;
    }
    return sc_cursor_left(in) == 0 && !in->failed ? SC_OK : SC_DAMAGED;
}

static enum sc_status parse_footer(struct sc_segment *segment, const uint8_t *bytes, size_t length)
{
    struct sc_cursor in = {.data = bytes, .len = length};
    const uint8_t *magic = sc_cursor_take(&in, SC_MAGIC_BYTES);
    if (magic == NULL || memcmp(magic, SC_FOOTER_MAGIC, SC_MAGIC_BYTES) != 0)
        return SC_DAMAGED;
    uint32_t count = sc_cursor_le32(&in);
    sc_cursor_le32(&in);
    const uint8_t *head = sc_cursor_take(&in, SC_SEGMENT_HEAD_BYTES);
    if (head == NULL)
        return SC_DAMAGED;
    SC_TRY(parse_head(segment, head, NULL));
    SC_TRY(sc_row_stats_read(&in, &segment->flow_stats));
    for (uint32_t i = 0; i < count; i++) {
        struct sc_group_ref ref = {.offset = sc_cursor_le64(&in), .length = sc_cursor_le64(&in)};
        ref.rows = sc_cursor_le32(&in);
        ref.record_kind = sc_cursor_le16(&in);
        sc_cursor_le16(&in);
        for (unsigned k = 0; k < SC_ROW_TIMES; k++) {
            ref.times[sc_footer_time(k)].min = sc_cursor_le64(&in);
            ref.times[sc_footer_time(k)].max = sc_cursor_le64(&in);
        }
        if (in.failed || ref.length > segment->file_bytes || ref.offset > segment->file_bytes - ref.length)
            return SC_DAMAGED;
        if (!add_group(segment, &ref))
            return SC_NOMEM;
    }
    return segment->format > 1 ? parse_spans(segment, &in) : SC_OK;
}

/* @return SC_END when there is no trailer: a live file. */
static enum sc_status read_footer(struct sc_segment *segment)
{
    uint8_t trailer[SC_TRAILER_BYTES];
    if (segment->file_bytes < SC_SEGMENT_HEAD_BYTES + SC_TRAILER_BYTES)
        return SC_END;
    SC_TRY(read_at(segment->fd, segment->file_bytes - SC_TRAILER_BYTES, trailer, sizeof(trailer)));
    if (memcmp(trailer + 24, SC_TRAILER_MAGIC, SC_MAGIC_BYTES) != 0)
        return SC_END;
    uint64_t length = sc_load_le64(trailer);
    uint64_t hash = sc_load_le64(trailer + 8);
    if (sc_load_le64(trailer + 16) != segment->file_bytes || length > segment->file_bytes - SC_TRAILER_BYTES)
        return SC_DAMAGED;
    uint8_t *footer = malloc(length == 0 ? 1 : length);
    if (footer == NULL)
        return SC_NOMEM;
    enum sc_status status =
        read_at(segment->fd, segment->file_bytes - SC_TRAILER_BYTES - length, footer, length);
    if (status == SC_OK)
        status = XXH3_64bits(footer, length) == hash ? parse_footer(segment, footer, length) : SC_DAMAGED;
    free(footer);
    if (status == SC_OK)
        segment->sealed = true;
    return status == SC_END ? SC_DAMAGED : status;
}

/* ---- live or damaged: by walking the heads ---- */

enum walk { WALK_GROUP, WALK_NOT_HERE, WALK_CUT };

/* Looks at a place where a row group should begin: its head and its directory must be whole. */
static enum walk look_at(struct sc_segment *segment, uint64_t offset, struct sc_group_ref *ref)
{
    uint8_t head[SC_ROW_GROUP_HEAD_BYTES];
    uint64_t left = segment->file_bytes - offset;
    if (left < sizeof(head))
        return WALK_CUT;
    if (read_at(segment->fd, offset, head, sizeof(head)) != SC_OK ||
        memcmp(head, SC_ROW_GROUP_MAGIC, SC_MAGIC_BYTES) != 0 || !hash_agrees(head, sizeof(head) - 8))
        return WALK_NOT_HERE;
    *ref = (struct sc_group_ref){
        .offset = offset, .length = sc_load_le64(head + 16), .rows = sc_load_le32(head + 8)};
    ref->record_kind = sc_load_le16(head + 24);
    uint32_t meta_bytes = sc_load_le32(head + 12);
    if (ref->length > SC_MAX_ROW_GROUP_BYTES || ref->length % 8 != 0 || meta_bytes > SC_MAX_META_BYTES ||
        ref->length < (uint64_t)meta_bytes + SC_ROW_GROUP_HEAD_BYTES)
        return WALK_NOT_HERE;
    if (ref->length > left)
        return WALK_CUT;
    uint8_t times[SC_ROW_TIMES * 16];
    if (meta_bytes < sizeof(times) ||
        read_at(segment->fd, offset + SC_ROW_GROUP_HEAD_BYTES, times, sizeof(times)) != SC_OK)
        return WALK_NOT_HERE;
    for (size_t k = 0; k < SC_ROW_TIMES; k++) {
        ref->times[k].min = sc_load_le64(times + 16 * k);
        ref->times[k].max = sc_load_le64(times + 16 * k + 8);
    }
    return WALK_GROUP;
}

/* The next row-group magic at or after `offset`, a multiple of 8 as all row groups begin at; file_bytes when
 * there is none. */
static uint64_t find_magic(const struct sc_segment *segment, uint64_t offset)
{
    uint8_t window[65536];
    while (offset + SC_MAGIC_BYTES <= segment->file_bytes) {
        uint64_t left = segment->file_bytes - offset;
        size_t n = left < sizeof(window) ? (size_t)(left & ~UINT64_C(7)) : sizeof(window);
        if (read_at(segment->fd, offset, window, n) != SC_OK)
            break;
        for (size_t i = 0; i < n; i += 8) {
            if (memcmp(window + i, SC_ROW_GROUP_MAGIC, SC_MAGIC_BYTES) == 0)
                return offset + i;
        }
        offset += n;
    }
    return segment->file_bytes;
}

static bool at_footer(const struct sc_segment *segment, uint64_t offset)
{
    uint8_t magic[SC_MAGIC_BYTES];
    return offset + sizeof(magic) <= segment->file_bytes &&
           read_at(segment->fd, offset, magic, sizeof(magic)) == SC_OK &&
           memcmp(magic, SC_FOOTER_MAGIC, sizeof(magic)) == 0;
}

/* Nothing but zeros from here: the file grew, but the system died before what was written reached the disk.
 */
static bool never_written(const struct sc_segment *segment, uint64_t offset)
{
    uint8_t window[65536];
    while (offset < segment->file_bytes) {
        uint64_t left = segment->file_bytes - offset;
        size_t n = left < sizeof(window) ? (size_t)left : sizeof(window);
        if (read_at(segment->fd, offset, window, n) != SC_OK || !all_zero(window, n))
            return false;
        offset += n;
    }
    return true;
}

/*
 * A row group that cannot be read here ends at the next magic; behind one that is only cut short nothing can
 * follow. Returns where to go on.
 */
static uint64_t skip_damage(struct sc_segment *segment, uint64_t offset, enum walk found)
{
    uint64_t next = found == WALK_CUT ? segment->file_bytes : find_magic(segment, offset + 8);
    if (next == segment->file_bytes && !segment->footer_damaged &&
        (found == WALK_CUT || never_written(segment, offset))) {
        segment->unfinished_tail = true;
        return next;
    }
    segment->damaged_stretches++;
    segment->damaged_bytes += next - offset;
    return next;
}

static enum sc_status walk_groups(struct sc_segment *segment)
{
    uint64_t offset = SC_SEGMENT_HEAD_BYTES;
    while (offset < segment->file_bytes && !at_footer(segment, offset)) {
        struct sc_group_ref ref;
        enum walk found = look_at(segment, offset, &ref);
        if (found == WALK_GROUP) {
            if (!add_group(segment, &ref))
                return SC_NOMEM;
            offset += ref.length;
        } else {
            offset = skip_damage(segment, offset, found);
        }
    }
    if (offset >= segment->file_bytes && segment->footer_damaged && segment->damaged_stretches == 0)
        segment->damaged_stretches++; /* a sealed file without its footer was cut: nobody knows what is
                                         missing */
    return SC_OK;
}

static enum sc_status list_groups(struct sc_segment *segment, struct sc_error *err)
{
    enum sc_status status = read_footer(segment);
    if (status == SC_OK)
        return SC_OK;
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, segment->path);
    if (status == SC_IO)
        return sc_fail_errno(err, errno, "cannot read %s", segment->path);
    segment->footer_damaged = status != SC_END || sc_name_ends(segment->path, SC_SEGMENT_SUFFIX);
    segment->group_count = 0;
    sc_row_stats_free(&segment->flow_stats);
    return walk_groups(segment) == SC_OK ? SC_OK : sc_fail_nomem(err, segment->path);
}

static enum sc_status read_segment(struct sc_segment *segment, struct sc_error *err)
{
    enum sc_status status = read_segment_head(segment, err);
    if (status == SC_END) {
        segment->unfinished_tail = true;
        return SC_OK;
    }
    if (status == SC_OK)
        return list_groups(segment, err);
    /* The footer repeats the head: when it is whole, nothing is lost. */
    if ((status != SC_DAMAGED && status != SC_NOT_OURS) || read_footer(segment) != SC_OK)
        return status;
    segment->head_damaged = true;
    return SC_OK;
}

enum sc_status sc_segment_open(const char *path, struct sc_segment **out, struct sc_error *err)
{
    *out = NULL;
    struct sc_segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return sc_fail_nomem(err, path);
    sc_row_stats_init(&segment->flow_stats);
    segment->path = strdup(path);
    segment->fd = open(path, O_RDONLY | O_CLOEXEC);
    enum sc_status status = SC_OK;
    struct stat st;
    if (segment->path == NULL)
        status = sc_fail_nomem(err, path);
    else if (segment->fd < 0 || fstat(segment->fd, &st) != 0)
        status = sc_fail_errno(err, errno, "cannot open %s", path);
    if (status == SC_OK) {
        segment->file_bytes = (uint64_t)st.st_size;
        segment->device = st.st_dev;
        segment->inode = st.st_ino;
        status = read_segment(segment, err);
    }
    if (status != SC_OK) {
        sc_segment_close(segment);
        return status;
    }
    *out = segment;
    return SC_OK;
}

void sc_segment_release(struct sc_segment *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    segment->fd = -1;
}

void sc_segment_close(struct sc_segment *segment)
{
    if (segment == NULL)
        return;
    sc_segment_release(segment);
    sc_row_stats_free(&segment->flow_stats);
    free(segment->groups);
    free(segment->spans);
    free(segment->path);
    free(segment);
}
