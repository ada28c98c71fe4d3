// SPDX-License-Identifier: BSD-3-Clause
/* Reading a row group: directory first, then single chunks, each verified by its hash before it is decoded.
 */
#include "base/hash.h"
#include "store/address_dict.h"
#include "store/bloom.h"
#include "store/column_decode.h"
#include "store/io.h"
#include "store/read_ahead.h"
#include "store/reader.h"
#include "store/span_set.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Where more than one row, or page of a filter, of so many is wanted, all are read. */
#define FEW 4u

enum sc_status sc_read_context_init(struct sc_read_context *context)
{
    *context = (struct sc_read_context){0};
    return sc_stream_decoder_init(&context->decoder);
}

void sc_read_context_reset(struct sc_read_context *context)
{
    sc_arena_reset(&context->arena);
}

static void forget_file(struct sc_read_context *context)
{
    if (context->has_file)
        close(context->fd);
    context->has_file = false;
}

void sc_read_context_free(struct sc_read_context *context)
{
    forget_file(context);
    sc_arena_free(&context->arena);
    sc_stream_decoder_free(&context->decoder);
    sc_buf_free(&context->chunk);
}

static enum sc_status damaged(const struct sc_row_group *group, const char *what, struct sc_error *err)
{
    return sc_fail(err, SC_DAMAGED,
                   "%s: row group at byte %llu: %s is damaged; run sc-admin verify and repair",
                   group->segment->path, (unsigned long long)group->ref->offset, what);
}

/* ---- head and directory ---- */

/* The file of a released segment, when it still is the one that was listed. */
static enum sc_status open_again(struct sc_read_context *context, const struct sc_segment *segment,
                                 struct sc_error *err)
{
    struct stat st;
    if (context->has_file && context->device == segment->device && context->inode == segment->inode)
        return SC_OK;
    forget_file(context);
    context->fd = open(segment->path, O_RDONLY | O_CLOEXEC);
    if (context->fd < 0 && errno != ENOENT)
        return sc_fail_errno(err, errno, "cannot open %s", segment->path);
    context->has_file = context->fd >= 0;
    if (!context->has_file || fstat(context->fd, &st) != 0 || st.st_dev != segment->device ||
        st.st_ino != segment->inode) {
        forget_file(context);
        return sc_fail(err, SC_IO,
                       "%s went away while the store was read: it was sealed again, compacted, repaired or "
                       "expired; ask again",
                       segment->path);
    }
    context->device = st.st_dev;
    context->inode = st.st_ino;
    return SC_OK;
}

/* From a segment in memory. */
static enum sc_status copy_bytes(const struct sc_row_group *group, uint64_t offset, size_t count, void *out,
                                 struct sc_error *err)
{
    if (offset > group->segment->file_bytes || count > group->segment->file_bytes - offset)
        return damaged(group, "its end", err);
    memcpy(out, group->segment->memory + offset, count);
    return SC_OK;
}

/* `ahead`: what else is asked for when the page cache has not got it; or NULL. */
static enum sc_status read_bytes(const struct sc_row_group *group, uint64_t offset, size_t count, void *out,
                                 sc_read_ahead *ahead, struct sc_error *err)
{
    size_t got;
    group->context->bytes_read += count;
    if (group->segment->memory != NULL)
        return copy_bytes(group, offset, count, out, err);
    int fd = group->segment->fd;
    if (fd < 0) {
        SC_TRY(open_again(group->context, group->segment, err));
        fd = group->context->fd;
    }
    if (ahead != NULL) {
        if (sc_read_cached(fd, offset, out, count))
            return SC_OK;
        ahead(group, fd);
    }
    int failed = sc_io_read_all_at(sc_io_system(), fd, offset, out, count, &got);
    if (failed < 0)
        return sc_fail_errno(err, -failed, "cannot read %s", group->segment->path);
    return got < count ? damaged(group, "its end", err) : SC_OK;
}

static void read_entry(struct sc_cursor *in, struct sc_entry *e)
{
    e->key.pen = sc_cursor_le32(in);
    e->key.id = sc_cursor_le16(in);
    e->key.instance = sc_cursor_u8(in);
    e->key.kind = sc_cursor_u8(in);
    e->role = sc_cursor_u8(in);
    e->encoding = sc_cursor_u8(in);
    e->width = sc_cursor_u8(in);
    sc_cursor_u8(in);
    e->nulls = sc_cursor_le32(in);
    e->reference = sc_cursor_le32(in);
    e->dict_count = sc_cursor_le32(in);
    e->min = sc_cursor_le64(in);
    e->max = sc_cursor_le64(in);
    e->offset = sc_cursor_le64(in);
    e->length = sc_cursor_le32(in);
    sc_cursor_le32(in);
    e->hash = sc_cursor_le64(in);
}

/* What an encoding may refer to: an earlier column of the right sort. So no chain is longer than three
 * columns. */
static bool reference_possible(const struct sc_row_group *group, const struct sc_entry *e, uint32_t index)
{
    if (e->encoding != SC_ENCODING_FUNCTION && e->encoding != SC_ENCODING_DIFFERENCE)
        return e->reference == SC_NO_REFERENCE;
    if (e->reference >= index)
        return false;
    const struct sc_entry *to = &group->entries[e->reference];
    if (to->role != SC_CHUNK_COLUMN || to->nulls != 0)
        return false;
    if (e->encoding == SC_ENCODING_FUNCTION)
        return to->encoding == SC_ENCODING_CODES;
    return e->nulls == 0 && to->key.kind == SC_COLUMN_UINT && to->encoding != SC_ENCODING_DIFFERENCE;
}

static bool entry_possible(const struct sc_row_group *group, const struct sc_entry *e, uint32_t index)
{
    if (e->length > group->ref->length || e->offset > group->ref->length - e->length ||
        e->nulls >= group->rows)
        return false;
    if (e->role == SC_CHUNK_FILTER && group->format < 2)
        return false;
    if (e->role == SC_CHUNK_ADDRESSES || sc_chunk_is_filter(e->role))
        return e->dict_count <= SC_MAX_ADDRESSES &&
               e->dict_count <= (uint64_t)group->rows * group->entry_count;
    bool integers = e->key.kind <= SC_COLUMN_FLOAT;
    if (e->role != SC_CHUNK_COLUMN || !reference_possible(group, e, index))
        return false;
    if (e->width != 1 && e->width != 2 && e->width != 4 && e->width != 8 && e->key.kind != SC_COLUMN_BYTES)
        return false;
    switch (e->encoding) {
    case SC_ENCODING_VALUES:
    case SC_ENCODING_DICT:
    case SC_ENCODING_DIFFERENCE:
        return integers;
    case SC_ENCODING_FUNCTION:
        return integers || e->key.kind == SC_COLUMN_ADDRESS;
    case SC_ENCODING_CODES:
        return e->key.kind == SC_COLUMN_ADDRESS;
    case SC_ENCODING_BYTES:
    case SC_ENCODING_BYTES_DICT:
        return e->key.kind == SC_COLUMN_BYTES;
    default:
        return false;
    }
}

static enum sc_status parse_meta(struct sc_row_group *group, const uint8_t *meta, size_t length)
{
    struct sc_cursor in = {.data = meta, .len = length};
    struct sc_row_stats stats;
    SC_TRY(sc_row_stats_read(&in, &stats));
    group->stats = stats;
    size_t size = (size_t)stats.protocol_count * sizeof(*stats.protocols);
    group->stats.protocols = sc_arena_alloc(&group->context->arena, size);
    if (group->stats.protocols != NULL)
        memcpy(group->stats.protocols, stats.protocols, size);
    sc_row_stats_free(&stats);
    if (group->stats.protocols == NULL)
        return SC_NOMEM;
    uint64_t need =
        (uint64_t)group->span_count * SC_SPAN_BYTES + (uint64_t)group->entry_count * SC_ENTRY_BYTES;
    if (need != sc_cursor_left(&in))
        return SC_DAMAGED;
    struct sc_arena *arena = &group->context->arena;
    group->spans = sc_arena_alloc(arena, group->span_count * sizeof(*group->spans));
    group->entries = sc_arena_alloc(arena, group->entry_count * sizeof(*group->entries));
    group->columns = sc_arena_zalloc(arena, group->entry_count * sizeof(struct sc_column *));
    group->read_for = sc_arena_zalloc(arena, group->entry_count * sizeof(*group->read_for));
    group->kept = sc_arena_zalloc(arena, group->entry_count * sizeof(*group->kept));
    if (group->spans == NULL || group->entries == NULL || group->columns == NULL || group->read_for == NULL ||
        group->kept == NULL)
        return SC_NOMEM;
    SC_TRY(sc_spans_read(&in, group->spans, group->span_count, group->rows));
    for (uint32_t i = 0; i < group->entry_count; i++) {
        read_entry(&in, &group->entries[i]);
        if (!entry_possible(group, &group->entries[i], i))
            return SC_DAMAGED;
    }
    return in.failed ? SC_DAMAGED : SC_OK;
}

static bool as_footer(const struct sc_row_group *group)
{
    const struct sc_group_ref *ref = group->ref;
    return ref->span_count == 0 ||
           (ref->span_count == group->span_count &&
            memcmp(ref->spans, group->spans, group->span_count * sizeof(*ref->spans)) == 0);
}

enum sc_status sc_row_group_open(struct sc_read_context *context, const struct sc_segment *segment,
                                 uint32_t index, struct sc_row_group **out, struct sc_error *err)
{
    struct sc_row_group *group = sc_arena_zalloc(&context->arena, sizeof(*group));
    if (group == NULL)
        return sc_fail_nomem(err, "a row group");
    group->segment = segment;
    group->context = context;
    group->ref = &segment->groups[index];
    uint8_t head[SC_ROW_GROUP_HEAD_BYTES];
    sc_read_next(context);
    SC_TRY(read_bytes(group, group->ref->offset, sizeof(head), head, sc_read_heads_ahead, err));
    uint32_t meta_bytes = sc_load_le32(head + 12);
    group->rows = sc_load_le32(head + 8);
    group->record_kind = sc_load_le16(head + 24);
    group->format = sc_row_group_format(head);
    group->packed = (sc_load_le16(head + 42) & SC_ROW_GROUP_PACKED) != 0;
    group->entry_count = sc_load_le16(head + 26);
    group->front = SC_ROW_GROUP_HEAD_BYTES + meta_bytes;
    group->span_count = sc_load_le32(head + 28);
    if (memcmp(head, SC_ROW_GROUP_MAGIC, SC_MAGIC_BYTES) != 0 ||
        sc_load_le64(head + 56) != XXH3_64bits(head, 56) || sc_load_le64(head + 16) != group->ref->length ||
        group->rows == 0 || group->rows > SC_ROW_GROUP_ROWS || group->rows != group->ref->rows ||
        group->record_kind != group->ref->record_kind || group->format > SC_SEGMENT_VERSION ||
        meta_bytes > SC_MAX_META_BYTES || group->entry_count > SC_MAX_ENTRIES ||
        group->front > group->ref->length)
        return damaged(group, "its head", err);
    sc_buf_clear(&context->chunk);
    uint8_t *meta = sc_buf_reserve(&context->chunk, (size_t)meta_bytes + 1);
    if (meta == NULL)
        return sc_fail_nomem(err, "a row group");
    SC_TRY(read_bytes(group, group->ref->offset + SC_ROW_GROUP_HEAD_BYTES, meta_bytes, meta, NULL, err));
    if (sc_load_le64(head + 32) != XXH3_64bits(meta, meta_bytes))
        return damaged(group, "its directory", err);
    enum sc_status status = parse_meta(group, meta, meta_bytes);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "a row group");
    if (status != SC_OK)
        return damaged(group, "its directory", err);
    if (!as_footer(group))
        return damaged(group, "the list of its batches, or the footer's,", err);
    *out = group;
    return SC_OK;
}

const struct sc_entry *sc_row_group_entry(const struct sc_row_group *group, struct sc_column_key key)
{
    for (uint32_t i = 0; i < group->entry_count; i++) {
        if (group->entries[i].role == SC_CHUNK_COLUMN && sc_column_key_equal(group->entries[i].key, key))
            return &group->entries[i];
    }
    return NULL;
}

/* ---- chunks ---- */

#define BEHIND_CHUNK 16u /* bytes that may be read, whatever they are */

/* To `bytes`, and verified. */
static enum sc_status read_chunk(struct sc_row_group *group, const struct sc_entry *e, uint8_t *bytes,
                                 struct sc_error *err)
{
    if (bytes == NULL)
        return sc_fail_nomem(err, "a chunk");
    sc_read_note(group, e);
    SC_TRY(read_bytes(group, group->ref->offset + e->offset, e->length, bytes, sc_read_chunks_ahead, err));
    if (sc_hash_stored(bytes, e->length) != e->hash) {
        char name[SC_IE_NAME_MAX];
        sc_ie_name(e->key.pen, e->key.id, name);
        return damaged(group, e->role == SC_CHUNK_COLUMN ? name : "the address dictionary or its filter",
                       err);
    }
    return SC_OK;
}

/* The chunk's verified bytes, valid until the next call. */
static enum sc_status load_chunk(struct sc_row_group *group, const struct sc_entry *e, struct sc_cursor *in,
                                 struct sc_error *err)
{
    struct sc_buf *chunk = &group->context->chunk;
    const uint8_t *bytes = group->kept[e - group->entries];
    if (bytes == NULL) {
        sc_buf_clear(chunk);
        uint8_t *place = sc_buf_reserve(chunk, (size_t)e->length + BEHIND_CHUNK);
        SC_TRY(read_chunk(group, e, place, err));
        bytes = place;
    }
    *in = (struct sc_cursor){.data = bytes, .len = e->length};
    return SC_OK;
}

/* The same, valid as long as the row group. */
static enum sc_status keep_chunk(struct sc_row_group *group, const struct sc_entry *e, struct sc_cursor *in,
                                 struct sc_error *err)
{
    const uint8_t **kept = &group->kept[e - group->entries];
    if (*kept == NULL) {
        uint8_t *place = sc_arena_alloc(&group->context->arena, (size_t)e->length + BEHIND_CHUNK);
        SC_TRY(read_chunk(group, e, place, err));
        *kept = place;
    }
    *in = (struct sc_cursor){.data = *kept, .len = e->length};
    return SC_OK;
}

enum sc_status sc_row_group_want(struct sc_row_group *group, const uint64_t *bits, struct sc_error *err)
{
    const uint64_t *before = group->wanted.bits == NULL ? bits : group->wanted.bits;
    size_t words = sc_bitmap_words(group->rows);
    uint32_t count = sc_bitmap_count_both(bits, before, words);
    if (count > group->rows / FEW) /* all of a column is decoded as soon */
        return SC_OK;
    uint64_t *both = sc_arena_alloc(&group->context->arena, words * sizeof(*both));
    if (both == NULL)
        return sc_fail_nomem(err, "a set of rows");
    for (size_t w = 0; w < words; w++)
        both[w] = bits[w] & before[w];
    group->wanted = (struct sc_wanted){.bits = both, .count = count};
    return SC_OK;
}

/* Whether the column of an entry was decoded for all rows that are wanted now. */
static bool is_read(const struct sc_row_group *group, uint32_t index)
{
    const uint64_t *now = group->wanted.bits, *then = group->read_for[index];
    if (group->columns[index] == NULL || then == NULL || then == now)
        return group->columns[index] != NULL;
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++) {
        if (now == NULL || (now[w] & ~then[w]) != 0)
            return false;
    }
    return true;
}

static enum sc_status column_status(const struct sc_row_group *group, const struct sc_entry *e,
                                    enum sc_status status, struct sc_error *err)
{
    char name[SC_IE_NAME_MAX];
    if (status == SC_OK)
        return SC_OK;
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "a column");
    sc_ie_name(e->key.pen, e->key.id, name);
    return damaged(group, name, err);
}

enum sc_status sc_row_group_column_at(struct sc_row_group *group, uint32_t index,
                                      const struct sc_column **out, struct sc_error *err)
{
    const struct sc_entry *e = &group->entries[index];
    *out = NULL;
    if (e->role != SC_CHUNK_COLUMN)
        return SC_OK;
    *out = group->columns[index];
    if (is_read(group, index))
        return SC_OK;
    const struct sc_column *reference = NULL;
    const struct sc_dictionary *addresses;
    if (e->encoding == SC_ENCODING_CODES)
        SC_TRY(sc_row_group_addresses(group, &addresses, err));
    else if (e->reference != SC_NO_REFERENCE)
        SC_TRY(sc_row_group_column_at(group, e->reference, &reference, err));
    struct sc_column *c = sc_arena_zalloc(&group->context->arena, sizeof(*c));
    if (c == NULL)
        return sc_fail_nomem(err, "a column");
    *c = (struct sc_column){.key = e->key, .form = SC_FORM_FLAT, .rows = group->rows, .nulls = e->nulls};
    c->width = e->width;
    struct sc_cursor in = {0};
    SC_TRY(load_chunk(group, e, &in, err));
    SC_TRY(column_status(group, e, sc_column_decode(group, e, reference, &in, c), err));
    group->columns[index] = c;
    group->read_for[index] = group->wanted.bits;
    *out = c;
    return SC_OK;
}

enum sc_status sc_row_group_match(struct sc_row_group *group, uint32_t index, uint64_t low, uint64_t high,
                                  uint64_t *out, bool *done, struct sc_error *err)
{
    const struct sc_entry *e = &group->entries[index];
    struct sc_cursor in;
    *done = false;
    if (group->columns[index] != NULL)
        return SC_OK;
    SC_TRY(keep_chunk(group, e, &in, err));
    return column_status(group, e, sc_column_match(group, e, &in, low, high, out, done), err);
}

enum sc_status sc_row_group_column(struct sc_row_group *group, struct sc_column_key key,
                                   const struct sc_column **out, struct sc_error *err)
{
    const struct sc_entry *e = sc_row_group_entry(group, key);
    *out = NULL;
    return e == NULL ? SC_OK : sc_row_group_column_at(group, (uint32_t)(e - group->entries), out, err);
}

static const struct sc_entry *entry_of_role(const struct sc_row_group *group, enum sc_chunk_role role)
{
    for (uint32_t i = 0; i < group->entry_count; i++) {
        if (group->entries[i].role == role)
            return &group->entries[i];
    }
    return NULL;
}

enum sc_status sc_row_group_addresses(struct sc_row_group *group, const struct sc_dictionary **out,
                                      struct sc_error *err)
{
    *out = group->addresses;
    if (*out != NULL)
        return SC_OK;
    struct sc_dictionary *dict = sc_arena_zalloc(&group->context->arena, sizeof(*dict));
    if (dict == NULL)
        return sc_fail_nomem(err, "an address dictionary");
    const struct sc_entry *e = entry_of_role(group, SC_CHUNK_ADDRESSES);
    if (e != NULL) {
        struct sc_cursor in = {0};
        SC_TRY(load_chunk(group, e, &in, err));
        struct sc_address_dict read;
        enum sc_status status =
            sc_address_dict_read(&group->context->decoder, &in, e->dict_count, &group->context->arena, &read);
        if (status != SC_OK)
            return status == SC_NOMEM ? sc_fail_nomem(err, "an address dictionary")
                                      : damaged(group, "the address dictionary", err);
        *dict = (struct sc_dictionary){.count = read.count, .values = read.values};
    }
    group->addresses = dict;
    *out = dict;
    return SC_OK;
}

/* ---- the Bloom filter ---- */

struct sc_filter_read {
    const struct sc_entry *entry;
    struct sc_bloom_layout layout;
    const uint8_t **pages; /* NULL: not asked for so far, or damaged */
    const uint8_t *all;    /* when it was read at once, else NULL */
    uint32_t asked;        /* of how many pages the bytes were wanted */
};

const struct sc_entry *sc_row_group_filter(const struct sc_row_group *group)
{
    for (uint32_t i = 0; i < group->entry_count; i++) {
        if (sc_chunk_is_filter(group->entries[i].role))
            return &group->entries[i];
    }
    return NULL;
}

static bool filter_layout(const struct sc_entry *e, struct sc_bloom_layout *out)
{
    return sc_bloom_layout(e->role == SC_CHUNK_FILTER, e->length, out);
}

static enum sc_status begin_filter(struct sc_row_group *group, const struct sc_entry *e, struct sc_error *err)
{
    struct sc_arena *arena = &group->context->arena;
    struct sc_bloom_layout layout;
    if (!filter_layout(e, &layout))
        return damaged(group, "the Bloom filter", err);
    struct sc_filter_read *filter = sc_arena_zalloc(arena, sizeof(*filter));
    const uint8_t **pages = sc_arena_zalloc(arena, layout.pages * sizeof(*pages));
    if (filter == NULL || pages == NULL)
        return sc_fail_nomem(err, "a Bloom filter");
    *filter = (struct sc_filter_read){.entry = e, .layout = layout, .pages = pages};
    group->filter = filter;
    return SC_OK;
}

static enum sc_status read_filter(struct sc_row_group *group, uint32_t offset, uint32_t length,
                                  const uint8_t **out, struct sc_error *err)
{
    uint8_t *bytes = sc_arena_alloc(&group->context->arena, length);
    if (bytes == NULL)
        return sc_fail_nomem(err, "a Bloom filter");
    SC_TRY(read_bytes(group, group->ref->offset + group->filter->entry->offset + offset, length, bytes, NULL,
                      err));
    *out = bytes;
    return SC_OK;
}

/* A page as it is stored. When many are asked for, and always when there are few, the filter is read as a whole. */
static enum sc_status fetch_page(struct sc_row_group *group, uint32_t page, const uint8_t **out,
                                 struct sc_error *err)
{
    struct sc_filter_read *f = group->filter;
    uint32_t offset = page * f->layout.page_bytes;
    if (f->all == NULL && ++f->asked <= f->layout.pages / FEW)
        return read_filter(group, offset, sc_bloom_page_length(&f->layout, page), out, err);
    if (f->all == NULL)
        SC_TRY(read_filter(group, 0, f->layout.length, &f->all, err));
    *out = f->all + offset;
    return SC_OK;
}

/* What has no pages has the hash of its entry. */
static bool page_is_whole(const struct sc_filter_read *f, uint32_t page, const uint8_t *bytes)
{
    return sc_bloom_page_is_whole(&f->layout, page, bytes) &&
           (f->layout.paged || sc_hash_stored(bytes, f->layout.length) == f->entry->hash);
}

static enum sc_status load_page(struct sc_row_group *group, uint32_t page, struct sc_error *err)
{
    const uint8_t *bytes = NULL;
    if (group->filter->pages[page] != NULL)
        return SC_OK;
    SC_TRY(fetch_page(group, page, &bytes, err));
    if (!page_is_whole(group->filter, page, bytes))
        return damaged(group, "the Bloom filter", err);
    group->filter->pages[page] = bytes;
    return SC_OK;
}

enum sc_status sc_row_group_may_contain(struct sc_row_group *group, const struct sc_addr *prefix,
                                        unsigned bits, bool *possible, struct sc_error *err)
{
    struct sc_bloom_probe probe;
    *possible = true;
    const struct sc_entry *e = sc_row_group_filter(group);
    if (e == NULL)
        return SC_OK;
    if (group->filter == NULL)
        SC_TRY(begin_filter(group, e, err));
    if (!sc_bloom_ask(&group->filter->layout, prefix, bits, &probe))
        return SC_OK;
    SC_TRY(load_page(group, probe.page, err));
    *possible = sc_bloom_may_contain(&probe, group->filter->pages[probe.page]);
    return SC_OK;
}

static enum sc_status check_filter(struct sc_row_group *group, const struct sc_entry *e, struct sc_error *err)
{
    struct sc_bloom_layout layout;
    struct sc_cursor in = {0};
    SC_TRY(load_chunk(group, e, &in, err));
    bool whole = filter_layout(e, &layout);
    for (uint32_t i = 0; whole && i < layout.pages; i++)
        whole = sc_bloom_page_is_whole(&layout, i, in.data + (size_t)i * layout.page_bytes);
    return whole ? SC_OK : damaged(group, "the Bloom filter", err);
}

/* ---- all of it ---- */

/* Chunks lie one behind the other, from the directory to the zero bytes at the end: no byte is without a
 * check. */
static enum sc_status check_layout(struct sc_row_group *group, struct sc_error *err)
{
    uint8_t zeros[8];
    uint64_t at = group->front;
    for (uint32_t i = 0; i < group->entry_count; i++) {
        if (group->entries[i].offset != at)
            return damaged(group, "the order of its chunks", err);
        at += group->entries[i].length;
    }
    uint64_t padding = group->ref->length - at;
    if (at > group->ref->length || padding >= sizeof(zeros))
        return damaged(group, "its length", err);
    SC_TRY(read_bytes(group, group->ref->offset + at, padding, zeros, NULL, err));
    for (uint64_t i = 0; i < padding; i++) {
        if (zeros[i] != 0)
            return damaged(group, "its padding", err);
    }
    return SC_OK;
}

enum sc_status sc_row_group_bytes(const struct sc_row_group *group, struct sc_buf *out, struct sc_error *err)
{
    sc_buf_clear(out);
    uint8_t *bytes = sc_buf_reserve(out, group->ref->length);
    if (bytes == NULL)
        return sc_fail_nomem(err, "a row group");
    SC_TRY(read_bytes(group, group->ref->offset, group->ref->length, bytes, NULL, err));
    out->len = group->ref->length;
    return SC_OK;
}

static enum sc_status check_chunk(struct sc_row_group *group, uint32_t index, struct sc_error *err)
{
    const struct sc_column *column;
    const struct sc_dictionary *addresses;
    if (group->entries[index].role == SC_CHUNK_COLUMN)
        return sc_row_group_column_at(group, index, &column, err);
    if (group->entries[index].role == SC_CHUNK_ADDRESSES)
        return sc_row_group_addresses(group, &addresses, err);
    return check_filter(group, &group->entries[index], err);
}

enum sc_status sc_row_group_verify(struct sc_row_group *group, uint32_t *damaged_chunks, struct sc_error *err)
{
    enum sc_status worst = check_layout(group, err);
    *damaged_chunks = 0;
    for (uint32_t i = 0; i < group->entry_count; i++) {
        enum sc_status status = check_chunk(group, i, err);
        if (status != SC_OK) {
            worst = status;
            (*damaged_chunks)++;
        }
    }
    return worst;
}

bool sc_row_group_has_rows(struct sc_row_group *group)
{
    for (uint32_t i = 0; i < group->entry_count; i++) {
        if (!sc_chunk_is_filter(group->entries[i].role) && check_chunk(group, i, NULL) != SC_OK)
            return false;
    }
    return true;
}
