// SPDX-License-Identifier: BSD-3-Clause
/* The encodings of segment_writer.c, one function each. */
#include "store/column_decode.h"

#include "flow/vector.h"
#include "store/by_width.h"

static void *alloc(const struct sc_row_group *group, size_t size)
{
    return sc_arena_alloc(&group->context->arena, size);
}

/* Whether a column with this entry is decoded for some rows only: numbers of rows are places in its stream. */
static bool is_sparse(const struct sc_row_group *group, const struct sc_column *c)
{
    return group->wanted.bits != NULL && c->nulls == 0;
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
    return sc_bitmap_count(c->valid, sc_bitmap_words(group->rows)) == group->rows - c->nulls ? SC_OK
                                                                                             : SC_DAMAGED;
}

#define SPREAD(type)                                                                                         \
    do {                                                                                                     \
        type *v = c->values; /* NOLINT(bugprone-macro-parentheses) */                                        \
        for (uint32_t row = c->rows; row-- > 0;)                                                             \
            v[row] = sc_column_is_null(c, row) ? 0 : v[--present];                                           \
    } while (0)

/* Spreads `present` dense values over the rows that are not null, from the last row down, in place. */
static void spread(struct sc_column *c, uint32_t present)
{
    SC_BY_WIDTH(c->width, SPREAD);
}

/* Some values of an integer stream of exactly `count`. Others are set, too, or stay as they are: 0, where it is asked for. */
static enum sc_status get_some(const struct sc_row_group *group, struct sc_cursor *in, uint32_t count,
                               unsigned width, const uint64_t *bits, bool zero, void **out)
{
    struct sc_stream_head head;
    SC_TRY(sc_stream_head_read(in, count, &head));
    if (head.count != count)
        return SC_DAMAGED;
    *out = alloc(group, (size_t)count * width);
    if (*out == NULL)
        return SC_NOMEM;
    if (zero)
        memset(*out, 0, (size_t)count * width);
    return sc_stream_get_rows(&group->context->decoder, in, &head, width, bits, *out);
}

/* Integers for the rows that are not null, to an array over all rows. */
static enum sc_status get_rows(const struct sc_row_group *group, struct sc_cursor *in, struct sc_column *c,
                               unsigned width)
{
    uint32_t present = group->rows - c->nulls;
    c->width = (uint8_t)width;
    if (is_sparse(group, c))
        return get_some(group, in, present, width, group->wanted.bits, c->form == SC_FORM_DICT, &c->values);
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
        type most = 0;                                                                                       \
        for (uint32_t i = from; i < to; i++)                                                                 \
            most = code[i] > most ? code[i] : most; /* NOLINT(bugprone-macro-parentheses) */                 \
        greatest = most > greatest ? (uint32_t)most : greatest;                                              \
    } while (0)

/*
 * Codes index the column's dictionary, those of rows that are not wanted, too; a chunk that says otherwise is damaged. `sparse`: where
 * no row of a block is wanted all are 0.
 */
static enum sc_status check_codes(const struct sc_row_group *group, const struct sc_column *c, bool sparse)
{
    uint32_t greatest = 0;
    for (uint32_t from = 0; from < c->rows; from += SC_BLOCK_VALUES) {
        uint32_t to = c->rows - from < SC_BLOCK_VALUES ? c->rows : from + SC_BLOCK_VALUES;
        if (!sparse || sc_bitmap_any(group->wanted.bits + from / 64, sc_bitmap_words(to - from)))
            SC_BY_WIDTH(c->width, GREATEST);
    }
    return greatest < c->dict.count ? SC_OK : SC_DAMAGED;
}

static enum sc_status get_codes(const struct sc_row_group *group, struct sc_cursor *in, struct sc_column *c)
{
    bool sparse = is_sparse(group, c) && sc_stream_is_in_blocks(in);
    SC_TRY(get_rows(group, in, c, code_width(c->dict.count)));
    return check_codes(group, c, sparse);
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

/* Ascending numbers. */
static enum sc_status get_dictionary(const struct sc_row_group *group, const struct sc_entry *e,
                                     struct sc_cursor *in, struct sc_dictionary *out)
{
    void *values;
    if (e->dict_count == 0 || e->dict_count > group->rows)
        return SC_DAMAGED;
    SC_TRY(get_integers(group, in, e->dict_count, e->dict_count, 8, &values));
    for (uint32_t i = 1; i < e->dict_count; i++) {
        if (((const uint64_t *)values)[i - 1] >= ((const uint64_t *)values)[i])
            return SC_DAMAGED;
    }
    *out = (struct sc_dictionary){.count = e->dict_count, .values = values};
    return SC_OK;
}

static enum sc_status decode_dict(struct sc_row_group *group, const struct sc_entry *e, struct sc_cursor *in,
                                  struct sc_column *c)
{
    SC_TRY(get_dictionary(group, e, in, &c->dict));
    c->form = SC_FORM_DICT;
    return get_codes(group, in, c);
}

static enum sc_status decode_codes(struct sc_row_group *group, struct sc_cursor *in, struct sc_column *c)
{
    c->form = SC_FORM_DICT;
    c->dict = *group->addresses;
    return get_codes(group, in, c);
}

// NOLINTBEGIN(bugprone-macro-parentheses): statements cannot stand in parentheses
/* DO of all rows that are wanted, `row` being each. */
#define FOR_ROWS(DO)                                                                                         \
    if (group->wanted.bits == NULL) {                                                                        \
        for (uint32_t row = 0; row < group->rows; row++)                                                     \
            DO                                                                                               \
    } else {                                                                                                 \
        for (uint32_t w = 0; w < sc_bitmap_words(group->rows); w++) {                                        \
            for (uint64_t left = group->wanted.bits[w]; left != 0; left &= left - 1) {                       \
                uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(left);                                     \
                DO                                                                                           \
            }                                                                                                \
        }                                                                                                    \
    }
// NOLINTEND(bugprone-macro-parentheses)

#define MAP(type, codes_type)                                                                                \
    do {                                                                                                     \
        const codes_type *code = by->values;                                                                 \
        FOR_ROWS(((type *)c->values)[row] = ((const type *)table)[code[row]];)                               \
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

static void map_rows(const struct sc_row_group *group, const struct sc_column *by, const void *table,
                     struct sc_column *c)
{
    SC_BY_WIDTH(c->width, MAP_CODES);
}

#define CLEAR_NULLS(type)                                                                                    \
    do {                                                                                                     \
        type *v = c->values; /* NOLINT(bugprone-macro-parentheses) */                                        \
        FOR_ROWS(v[row] = (type)(v[row] * (type)(c->valid[row / 64] >> (row % 64) & 1));)                    \
    } while (0)

/* A null row has the value 0. */
static void clear_null_rows(const struct sc_row_group *group, struct sc_column *c)
{
    SC_BY_WIDTH(c->width, CLEAR_NULLS);
}

/* Where more than one value of so many is wanted most blocks are decoded whole. */
#define FEW_OF_TABLE 32u

/* The codes of the rows that are wanted, as a set. NULL without memory. */
static const uint64_t *wanted_codes(const struct sc_row_group *group, const struct sc_column *by)
{
    uint64_t *bits = sc_arena_zalloc(&group->context->arena, sc_bitmap_words(by->dict.count) * sizeof(*bits));
    if (bits == NULL)
        return NULL;
    FOR_ROWS({
        uint32_t code = sc_column_code(by, row);
        bits[code / 64] |= UINT64_C(1) << code % 64;
    })
    return bits;
}

/* The values of a function by code, where few rows are wanted only those that they need. */
static enum sc_status get_table(const struct sc_row_group *group, struct sc_cursor *in,
                                const struct sc_column *by, unsigned width, void **table)
{
    uint32_t count = by->dict.count;
    if (group->wanted.bits == NULL || group->wanted.count > count / FEW_OF_TABLE)
        return get_integers(group, in, count, count, width, table);
    const uint64_t *codes = wanted_codes(group, by);
    return codes == NULL ? SC_NOMEM : get_some(group, in, count, width, codes, false, table);
}

static enum sc_status decode_function(struct sc_row_group *group, const struct sc_entry *e,
                                      struct sc_cursor *in, const struct sc_column *by, struct sc_column *c)
{
    void *table;
    if (by == NULL)
        return SC_DAMAGED;
    bool address = c->key.kind == SC_COLUMN_ADDRESS;
    c->width = (uint8_t)(address ? code_width(by->dict.count) : e->width);
    SC_TRY(get_table(group, in, by, c->width, &table));
    c->values = alloc(group, (size_t)group->rows * c->width);
    if (c->values == NULL)
        return SC_NOMEM;
    if (address)
        memset(c->values, 0, (size_t)group->rows * c->width);
    map_rows(group, by, table, c);
    if (c->nulls != 0)
        clear_null_rows(group, c);
    if (!address)
        return SC_OK;
    c->form = SC_FORM_DICT;
    c->dict = by->dict;
    return check_codes(group, c, group->wanted.bits != NULL);
}

static uint64_t unzigzag(uint64_t v)
{
    return (v >> 1) ^ (0 - (v & 1));
}

static enum sc_status decode_difference(struct sc_row_group *group, struct sc_cursor *in,
                                        const struct sc_column *base, struct sc_column *c)
{
    if (base == NULL)
        return SC_DAMAGED;
    SC_TRY(get_rows(group, in, c, 8));
    uint64_t *values = c->values;
    const uint64_t *bases = base->values;
    bool wide = base->form == SC_FORM_FLAT && base->width == 8;
    if (!wide && group->wanted.bits == NULL) {
        uint64_t *widened = alloc(group, (size_t)group->rows * sizeof(*widened));
        if (widened == NULL)
            return SC_NOMEM;
        sc_column_widen(base, group->rows, widened);
        bases = widened;
        wide = true;
    }
    if (wide)
        FOR_ROWS(values[row] = bases[row] + unzigzag(values[row]);)
    else
        FOR_ROWS(values[row] = sc_column_u64(base, row) + unzigzag(values[row]);)
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

enum sc_status sc_column_decode(struct sc_row_group *group, const struct sc_entry *e,
                                const struct sc_column *reference, struct sc_cursor *in, struct sc_column *c)
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

/* How many of the numbers are less. */
static uint32_t count_less(const struct sc_dictionary *dict, uint64_t number)
{
    const uint64_t *values = dict->values;
    uint32_t low = 0, high = dict->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (values[mid] < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The codes of numbers in a range are one, too. */
static enum sc_status match_dict(const struct sc_row_group *group, const struct sc_entry *e,
                                 struct sc_cursor *in, uint64_t low, uint64_t high, uint64_t *out, bool *done)
{
    struct sc_dictionary dict;
    SC_TRY(get_dictionary(group, e, in, &dict));
    uint32_t from = count_less(&dict, low),
             to = high == UINT64_MAX ? dict.count : count_less(&dict, high + 1);
    *done = from == to;
    return *done ? SC_OK
                 : sc_stream_match(&group->context->decoder, in, group->rows, from, to - 1,
                                   group->wanted.bits, out, done);
}

enum sc_status sc_column_match(struct sc_row_group *group, const struct sc_entry *e, struct sc_cursor *in,
                               uint64_t low, uint64_t high, uint64_t *out, bool *done)
{
    *done = false;
    if (e->nulls != 0)
        return SC_OK;
    if (e->encoding == SC_ENCODING_DICT)
        return match_dict(group, e, in, low, high, out, done);
    if (e->encoding != SC_ENCODING_VALUES && e->encoding != SC_ENCODING_CODES)
        return SC_OK;
    return sc_stream_match(&group->context->decoder, in, group->rows, low, high, group->wanted.bits, out,
                           done);
}
