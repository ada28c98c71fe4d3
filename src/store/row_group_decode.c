// SPDX-License-Identifier: BSD-3-Clause
/* Reading a row group: directory first, then single chunks, each verified by its hash before it is decoded.
 */
#include "store/address_dict.h"
#include "store/io.h"
#include "store/reader.h"
#include "store/span_set.h"

#include "flow/vector.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

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
        return sc_fail(
            err, SC_IO,
            "%s went away while the store was read: it was sealed again, repaired or expired; ask again",
            segment->path);
    }
    context->device = st.st_dev;
    context->inode = st.st_ino;
    return SC_OK;
}

static enum sc_status read_bytes(const struct sc_row_group *group, uint64_t offset, size_t count, void *out,
                                 struct sc_error *err)
{
    size_t got;
    group->context->bytes_read += count;
    if (group->segment->memory != NULL) {
        if (offset > group->segment->file_bytes || count > group->segment->file_bytes - offset)
            return damaged(group, "its end", err);
        memcpy(out, group->segment->memory + offset, count);
        return SC_OK;
    }
    int fd = group->segment->fd;
    if (fd < 0) {
        SC_TRY(open_again(group->context, group->segment, err));
        fd = group->context->fd;
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
    if (e->role == SC_CHUNK_ADDRESSES || e->role == SC_CHUNK_BLOOM)
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
    if (group->spans == NULL || group->entries == NULL || group->columns == NULL)
        return SC_NOMEM;
    SC_TRY(sc_spans_read(&in, group->spans, group->span_count, group->rows));
    for (uint32_t i = 0; i < group->entry_count; i++) {
        read_entry(&in, &group->entries[i]);
        if (!entry_possible(group, &group->entries[i], i))
            return SC_DAMAGED;
    }
    return in.failed ? SC_DAMAGED : SC_OK;
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
    SC_TRY(read_bytes(group, group->ref->offset, sizeof(head), head, err));
    uint32_t meta_bytes = sc_load_le32(head + 12);
    group->rows = sc_load_le32(head + 8);
    group->record_kind = sc_load_le16(head + 24);
    group->entry_count = sc_load_le16(head + 26);
    group->front = SC_ROW_GROUP_HEAD_BYTES + meta_bytes;
    group->span_count = sc_load_le32(head + 28);
    if (memcmp(head, SC_ROW_GROUP_MAGIC, SC_MAGIC_BYTES) != 0 ||
        sc_load_le64(head + 56) != XXH3_64bits(head, 56) || sc_load_le64(head + 16) != group->ref->length ||
        group->rows == 0 || group->rows > SC_ROW_GROUP_ROWS || group->rows != group->ref->rows ||
        group->record_kind != group->ref->record_kind || meta_bytes > SC_MAX_META_BYTES ||
        group->entry_count > SC_MAX_ENTRIES || group->front > group->ref->length)
        return damaged(group, "its head", err);
    sc_buf_clear(&context->chunk);
    uint8_t *meta = sc_buf_reserve(&context->chunk, (size_t)meta_bytes + 1);
    if (meta == NULL)
        return sc_fail_nomem(err, "a row group");
    SC_TRY(read_bytes(group, group->ref->offset + SC_ROW_GROUP_HEAD_BYTES, meta_bytes, meta, err));
    if (sc_load_le64(head + 32) != XXH3_64bits(meta, meta_bytes))
        return damaged(group, "its directory", err);
    enum sc_status status = parse_meta(group, meta, meta_bytes);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "a row group");
    if (status != SC_OK)
        return damaged(group, "its directory", err);
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

/* The chunk's verified bytes, valid until the next call. */
static enum sc_status load_chunk(struct sc_row_group *group, const struct sc_entry *e, struct sc_cursor *in,
                                 struct sc_error *err)
{
    struct sc_buf *chunk = &group->context->chunk;
    sc_buf_clear(chunk);
    uint8_t *bytes = sc_buf_reserve(chunk, (size_t)e->length + 16);
    if (bytes == NULL)
        return sc_fail_nomem(err, "a chunk");
    SC_TRY(read_bytes(group, group->ref->offset + e->offset, e->length, bytes, err));
    if (XXH3_64bits(bytes, e->length) != e->hash) {
        char name[SC_IE_NAME_MAX];
        sc_ie_name(e->key.pen, e->key.id, name);
        return damaged(group, e->role == SC_CHUNK_COLUMN ? name : "the address dictionary or its filter",
                       err);
    }
    *in = (struct sc_cursor){.data = bytes, .len = e->length};
    return SC_OK;
}

static void *alloc(const struct sc_row_group *group, size_t size)
{
    return sc_arena_alloc(&group->context->arena, size);
}

/* An integer stream of exactly `count` values, to an array that has `room` for more. */
static enum sc_status get_integers(const struct sc_row_group *group, struct sc_cursor *in, uint32_t count,
                                   uint32_t room, unsigned width, void **out)
{
    struct sc_stream_head head;
    SC_TRY(sc_stream_head_read(in, count, &head));
    if (head.count != count)
        return SC_DAMAGED;
    *out = alloc(group, (size_t)room * width);
    if (*out == NULL)
        return SC_NOMEM;
    return sc_stream_get_integers(&group->context->decoder, in, &head, width, *out);
}

static enum sc_status get_validity(const struct sc_row_group *group, struct sc_cursor *in,
                                   struct sc_column *c)
{
    struct sc_stream_head head;
    uint32_t bytes = (uint32_t)(sc_bitmap_words(group->rows) * sizeof(uint64_t));
    SC_TRY(sc_stream_head_read(in, bytes, &head));
    if (head.count != bytes)
        return SC_DAMAGED;
    c->valid = alloc(group, bytes);
    if (c->valid == NULL)
        return SC_NOMEM;
    SC_TRY(sc_stream_get_bytes(&group->context->decoder, in, &head, (uint8_t *)c->valid));
    if (group->rows % 64 != 0 && c->valid[group->rows / 64] >> (group->rows % 64) != 0)
        return SC_DAMAGED; /* bits behind the last row: they would be counted below as rows */
    uint32_t present = 0;
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++)
        present += (uint32_t)__builtin_popcountll(c->valid[w]);
    return present == group->rows - c->nulls ? SC_OK : SC_DAMAGED;
}

/* DO of the type of values that are so wide. */
#define BY_WIDTH(width, DO)                                                                                  \
    do {                                                                                                     \
        if ((width) == 1)                                                                                    \
            DO(uint8_t);                                                                                     \
        else if ((width) == 2)                                                                               \
            DO(uint16_t);                                                                                    \
        else if ((width) == 4)                                                                               \
            DO(uint32_t);                                                                                    \
        else                                                                                                 \
            DO(uint64_t);                                                                                    \
    } while (0)

#define SPREAD(type)                                                                                         \
    do {                                                                                                     \
        type *v = c->values; /* NOLINT(bugprone-macro-parentheses) */                                        \
        for (uint32_t row = c->rows; row-- > 0;)                                                             \
            v[row] = sc_column_is_null(c, row) ? 0 : v[--present];                                           \
    } while (0)

/* Spreads `present` dense values over the rows that are not null, from the last row down, in place. */
static void spread(struct sc_column *c, uint32_t present)
{
    BY_WIDTH(c->width, SPREAD);
}

/* Integers for the rows that are not null, to an array over all rows. */
static enum sc_status get_rows(const struct sc_row_group *group, struct sc_cursor *in, struct sc_column *c,
                               unsigned width)
{
    uint32_t present = group->rows - c->nulls;
    c->width = (uint8_t)width;
    SC_TRY(get_integers(group, in, present, group->rows, width, &c->values));
    if (c->nulls != 0)
        spread(c, present);
    return SC_OK;
}

static unsigned code_width(uint32_t dict_count)
{
    return dict_count <= 256 ? 1 : dict_count <= 65536 ? 2 : 4;
}

#define GREATEST(type)                                                                                       \
    do {                                                                                                     \
        const type *code = c->values;                                                                        \
        for (uint32_t i = 0; i < c->rows; i++)                                                               \
            greatest = code[i] > greatest ? (uint32_t)code[i] : greatest;                                    \
    } while (0)

/* Codes index the column's dictionary; a chunk that says otherwise is damaged. */
static enum sc_status check_codes(const struct sc_column *c)
{
    uint32_t greatest = 0;
    BY_WIDTH(c->width, GREATEST);
    return greatest < c->dict.count ? SC_OK : SC_DAMAGED;
}

static enum sc_status get_codes(const struct sc_row_group *group, struct sc_cursor *in, struct sc_column *c)
{
    SC_TRY(get_rows(group, in, c, code_width(c->dict.count)));
    return check_codes(c);
}

static enum sc_status decode_values(struct sc_row_group *group, const struct sc_entry *e,
                                    struct sc_cursor *in, struct sc_column *c)
{
    struct sc_cursor peek = *in;
    struct sc_stream_head head;
    SC_TRY(sc_stream_head_read(&peek, group->rows, &head));
    if (head.layout != SC_LAYOUT_CONST)
        return get_rows(group, in, c, e->width);
    if (head.count != group->rows - c->nulls)
        return SC_DAMAGED;
    uint64_t *value = alloc(group, sizeof(*value));
    if (value == NULL)
        return SC_NOMEM;
    *value = head.base;
    c->form = SC_FORM_CONST;
    c->dict = (struct sc_dictionary){.count = 1, .values = value};
    return SC_OK;
}

static enum sc_status decode_dict(struct sc_row_group *group, const struct sc_entry *e, struct sc_cursor *in,
                                  struct sc_column *c)
{
    void *values;
    if (e->dict_count == 0 || e->dict_count > group->rows)
        return SC_DAMAGED;
    SC_TRY(get_integers(group, in, e->dict_count, e->dict_count, 8, &values));
    for (uint32_t i = 1; i < e->dict_count; i++) {
        if (((const uint64_t *)values)[i - 1] >= ((const uint64_t *)values)[i])
            return SC_DAMAGED;
    }
    c->form = SC_FORM_DICT;
    c->dict = (struct sc_dictionary){.count = e->dict_count, .values = values};
    return get_codes(group, in, c);
}

static enum sc_status decode_codes(struct sc_row_group *group, struct sc_cursor *in, struct sc_column *c)
{
    c->form = SC_FORM_DICT;
    c->dict = *group->addresses;
    return get_codes(group, in, c);
}

#define MAP(type, codes_type)                                                                                \
    do {                                                                                                     \
        const codes_type *code = by->values;                                                                 \
        for (uint32_t i = 0; i < rows; i++)                                                                  \
            ((type *)c->values)[i] = ((const type *)table)[code[i]];                                         \
    } while (0)

#define MAP_CODES(type)                                                                                      \
    do {                                                                                                     \
        if (by->width == 1)                                                                                  \
            MAP(type, uint8_t);                                                                              \
        else if (by->width == 2)                                                                             \
            MAP(type, uint16_t);                                                                             \
        else                                                                                                 \
            MAP(type, uint32_t);                                                                             \
    } while (0)

static void map_rows(const struct sc_column *by, const void *table, uint32_t rows, struct sc_column *c)
{
    BY_WIDTH(c->width, MAP_CODES);
}

#define CLEAR_NULLS(type)                                                                                    \
    do {                                                                                                     \
        for (uint32_t row = 0; row < c->rows; row++)                                                         \
            ((type *)c->values)[row] =                                                                       \
                (type)(((type *)c->values)[row] * (type)(c->valid[row / 64] >> (row % 64) & 1));             \
    } while (0)

/* A null row has the value 0. */
static void clear_null_rows(struct sc_column *c)
{
    BY_WIDTH(c->width, CLEAR_NULLS);
}

static enum sc_status decode_function(struct sc_row_group *group, const struct sc_entry *e,
                                      struct sc_cursor *in, const struct sc_column *by, struct sc_column *c)
{
    void *table;
    if (by == NULL)
        return SC_DAMAGED;
    bool address = c->key.kind == SC_COLUMN_ADDRESS;
    c->width = (uint8_t)(address ? code_width(by->dict.count) : e->width);
    SC_TRY(get_integers(group, in, by->dict.count, by->dict.count, c->width, &table));
    c->values = alloc(group, (size_t)group->rows * c->width);
    if (c->values == NULL)
        return SC_NOMEM;
    map_rows(by, table, group->rows, c);
    if (c->nulls != 0)
        clear_null_rows(c);
    if (!address)
        return SC_OK;
    c->form = SC_FORM_DICT;
    c->dict = by->dict;
    return check_codes(c);
}

static enum sc_status decode_difference(struct sc_row_group *group, struct sc_cursor *in,
                                        const struct sc_column *base, struct sc_column *c)
{
    if (base == NULL)
        return SC_DAMAGED;
    SC_TRY(get_rows(group, in, c, 8));
    uint64_t *values = c->values;
    const uint64_t *bases = base->values;
    if (base->form != SC_FORM_FLAT || base->width != 8) {
        uint64_t *wide = alloc(group, (size_t)group->rows * sizeof(*wide));
        if (wide == NULL)
            return SC_NOMEM;
        sc_column_widen(base, group->rows, wide);
        bases = wide;
    }
    for (uint32_t i = 0; i < group->rows; i++)
        values[i] = bases[i] + ((values[i] >> 1) ^ (0 - (values[i] & 1)));
    return SC_OK;
}

/* Lengths and heap of `count` values to offsets[count + 1] and heap. */
static enum sc_status get_byte_values(const struct sc_row_group *group, struct sc_cursor *in, uint32_t count,
                                      uint32_t **offsets_out, uint8_t **heap_out)
{
    void *lengths;
    SC_TRY(get_integers(group, in, count, count, 4, &lengths));
    struct sc_stream_head head;
    SC_TRY(sc_stream_head_read(in, SC_MAX_ROW_GROUP_BYTES, &head));
    uint32_t *offsets = alloc(group, ((size_t)count + 1) * sizeof(*offsets));
    uint8_t *heap = alloc(group, (size_t)head.count + 1);
    if (offsets == NULL || heap == NULL)
        return SC_NOMEM;
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = (uint32_t)at;
        at += ((const uint32_t *)lengths)[i];
        if (at > head.count)
            return SC_DAMAGED;
    }
    offsets[count] = (uint32_t)at;
    if (at != head.count)
        return SC_DAMAGED;
    *offsets_out = offsets;
    *heap_out = heap;
    return sc_stream_get_bytes(&group->context->decoder, in, &head, heap);
}

static enum sc_status decode_bytes(struct sc_row_group *group, struct sc_cursor *in, struct sc_column *c)
{
    uint32_t present = group->rows - c->nulls;
    SC_TRY(get_byte_values(group, in, present, &c->offsets, &c->heap));
    if (c->nulls == 0)
        return SC_OK;
    uint32_t *offsets = alloc(group, ((size_t)group->rows + 1) * sizeof(*offsets));
    if (offsets == NULL)
        return SC_NOMEM;
    uint32_t at = 0;
    for (uint32_t row = 0; row < group->rows; row++) {
        offsets[row] = c->offsets[at];
        at += !sc_column_is_null(c, row);
    }
    offsets[group->rows] = c->offsets[present];
    c->offsets = offsets;
    return SC_OK;
}

static enum sc_status decode_bytes_dict(struct sc_row_group *group, const struct sc_entry *e,
                                        struct sc_cursor *in, struct sc_column *c)
{
    uint32_t *offsets;
    uint8_t *heap;
    if (e->dict_count == 0 || e->dict_count > group->rows)
        return SC_DAMAGED;
    SC_TRY(get_byte_values(group, in, e->dict_count, &offsets, &heap));
    c->form = SC_FORM_DICT;
    c->dict = (struct sc_dictionary){.count = e->dict_count, .offsets = offsets, .heap = heap};
    return get_codes(group, in, c);
}

static enum sc_status decode_column(struct sc_row_group *group, const struct sc_entry *e,
                                    const struct sc_column *reference, struct sc_cursor *in,
                                    struct sc_column *c)
{
    if (c->nulls != 0)
        SC_TRY(get_validity(group, in, c));
    switch (e->encoding) {
    case SC_ENCODING_VALUES:
        return decode_values(group, e, in, c);
    case SC_ENCODING_DICT:
        return decode_dict(group, e, in, c);
    case SC_ENCODING_FUNCTION:
        return decode_function(group, e, in, reference, c);
    case SC_ENCODING_DIFFERENCE:
        return decode_difference(group, in, reference, c);
    case SC_ENCODING_CODES:
        return decode_codes(group, in, c);
    case SC_ENCODING_BYTES:
        return decode_bytes(group, in, c);
    default:
        return decode_bytes_dict(group, e, in, c);
    }
}

enum sc_status sc_row_group_column_at(struct sc_row_group *group, uint32_t index,
                                      const struct sc_column **out, struct sc_error *err)
{
    const struct sc_entry *e = &group->entries[index];
    *out = group->columns[index];
    if (*out != NULL || e->role != SC_CHUNK_COLUMN)
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
    enum sc_status status = decode_column(group, e, reference, &in, c);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "a column");
    if (status != SC_OK) {
        char name[SC_IE_NAME_MAX];
        sc_ie_name(e->key.pen, e->key.id, name);
        return damaged(group, name, err);
    }
    group->columns[index] = c;
    *out = c;
    return SC_OK;
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

static enum sc_status load_bloom(struct sc_row_group *group, const struct sc_entry *e, struct sc_error *err)
{
    struct sc_cursor in = {0};
    SC_TRY(load_chunk(group, e, &in, err));
    uint8_t *filter = alloc(group, in.len);
    if (filter == NULL)
        return sc_fail_nomem(err, "a Bloom filter");
    if (in.len % 32 != 0)
        return damaged(group, "the Bloom filter", err);
    memcpy(filter, in.data, in.len);
    group->bloom = filter;
    group->bloom_bytes = (uint32_t)in.len;
    return SC_OK;
}

enum sc_status sc_row_group_may_contain(struct sc_row_group *group, const struct sc_addr *prefix,
                                        unsigned bits, bool *possible, struct sc_error *err)
{
    *possible = true;
    const struct sc_entry *e = entry_of_role(group, SC_CHUNK_BLOOM);
    if (e == NULL)
        return SC_OK;
    if (group->bloom == NULL)
        SC_TRY(load_bloom(group, e, err));
    *possible = sc_bloom_may_contain(group->bloom, group->bloom_bytes, prefix, bits);
    return SC_OK;
}

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
    SC_TRY(read_bytes(group, group->ref->offset + at, padding, zeros, err));
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
    SC_TRY(read_bytes(group, group->ref->offset, group->ref->length, bytes, err));
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
    return load_bloom(group, &group->entries[index], err);
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
        if (group->entries[i].role != SC_CHUNK_BLOOM && check_chunk(group, i, NULL) != SC_OK)
            return false;
    }
    return true;
}
