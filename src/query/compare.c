// SPDX-License-Identifier: BSD-3-Clause
/*
 * The plain case: the field comes from one column as it is stored. Then the directory's least and greatest
 * value may settle it without reading; the Bloom filter may; a constant or a dictionary is compared once per
 * value; and rows of fixed width are compared in loops that the compiler turns into vector code. All other
 * cases go through the field's values.
 */
#include "query/compare.h"

#include "flow/vector.h"
#include "store/by_width.h"

#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum sc_status sc_comparer_init(struct sc_comparer *comparer, bool use_bloom, struct sc_error *err)
{
    *comparer = (struct sc_comparer){.numbers = malloc(SC_ROW_GROUP_ROWS * sizeof(uint64_t)),
                                     .bytes = malloc(SC_ROW_GROUP_ROWS + 64),
                                     .lookup = malloc(SC_ROW_GROUP_ROWS),
                                     .vectors = sc_machine_vectors(),
                                     .use_bloom = use_bloom};
    if (comparer->numbers != NULL && comparer->bytes != NULL && comparer->lookup != NULL)
        return SC_OK;
    sc_comparer_free(comparer);
    return sc_fail_nomem(err, "the filter");
}

void sc_comparer_free(struct sc_comparer *comparer)
{
    free(comparer->numbers);
    free(comparer->bytes);
    free(comparer->lookup);
    *comparer = (struct sc_comparer){0};
}

/* ---- ranges of the comparison as unsigned numbers ---- */

#define FEW_RANGES 4u /* more are looked up in a table as soon */

struct number_range {
    uint64_t low, high;
};

/* LT, LE, GT, GE as one range. False when nothing can match. */
static bool order_range(const struct sc_filter *f, struct number_range *out)
{
    uint64_t v = f->ranges[0].low;
    switch (f->compare) {
    case SC_COMPARE_LT:
        *out = (struct number_range){0, v - 1};
        return v != 0;
    case SC_COMPARE_LE:
        *out = (struct number_range){0, v};
        return true;
    case SC_COMPARE_GT:
        *out = (struct number_range){v + 1, UINT64_MAX};
        return v != UINT64_MAX;
    default:
        *out = (struct number_range){v, UINT64_MAX};
        return true;
    }
}

static bool in_ranges(const struct sc_filter *f, uint64_t v)
{
    uint32_t low = 0, high = f->range_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (v > f->ranges[mid].high)
            low = mid + 1;
        else
            high = mid;
    }
    return low < f->range_count && v >= f->ranges[low].low;
}

static bool number_matches(const struct sc_filter *f, uint64_t v)
{
    struct number_range r;
    switch (f->compare) {
    case SC_COMPARE_IN:
        return in_ranges(f, v);
    case SC_COMPARE_FLAGS:
        return (v & f->ranges[0].low) == f->ranges[0].low;
    case SC_COMPARE_ANY_FLAG:
        return (v & f->ranges[0].low) != 0;
    case SC_COMPARE_PRESENT:
        return true;
    case SC_COMPARE_LT:
    case SC_COMPARE_LE:
    case SC_COMPARE_GT:
    case SC_COMPARE_GE:
        return order_range(f, &r) && v >= r.low && v <= r.high;
    default:
        return false;
    }
}

/* ---- rows to bits ---- */

/* 64 bytes of 0 or 1 to one word. */
static uint64_t pack64(const uint8_t *bytes)
{
    uint64_t word = 0;
#if defined(__SSE2__)
    for (unsigned k = 0; k < 4; k++) {
        __m128i sixteen = _mm_loadu_si128((const __m128i *)(bytes + 16 * k));
        word |= (uint64_t)(uint16_t)_mm_movemask_epi8(_mm_slli_epi16(sixteen, 7)) << (16 * k);
    }
#else
    for (unsigned k = 0; k < 8; k++)
        word |= (sc_load_le64(bytes + 8 * k) * UINT64_C(0x0102040810204080) >> 56) << (8 * k);
#endif
    return word;
}

static void pack_rows(uint8_t *bytes, uint32_t rows, uint64_t *out)
{
    memset(bytes + rows, 0, (64 - rows % 64) % 64);
    for (uint32_t row = 0; row < rows; row += 64)
        out[row / 64] = pack64(bytes + row);
}

static void keep_valid(const struct sc_column *c, uint64_t *out)
{
    if (c->valid == NULL)
        return;
    for (size_t w = 0; w < sc_bitmap_words(c->rows); w++)
        out[w] &= c->valid[w];
}

static void set_rows(bool value, const struct sc_column *c, uint32_t rows, uint64_t *out)
{
    memset(out, value ? 0xff : 0, sc_bitmap_words(rows) * sizeof(*out));
    sc_bitmap_cut(out, rows);
    if (value && c != NULL)
        keep_valid(c, out);
}

#define COMPARE_RANGE(type)                                                                                  \
    do {                                                                                                     \
        const type *v = c->values;                                                                           \
        type low = (type)r.low, span = (type)(r.high - r.low);                                               \
        for (uint32_t i = 0; i < rows; i++)                                                                  \
            bytes[i] = (type)(v[i] - low) <= span;                                                           \
    } while (0)

typedef void compare_function(const struct sc_column *c, struct number_range r, uint32_t rows,
                              uint8_t *bytes);

static SC_IN_EACH void compare_range(const struct sc_column *c, struct number_range r, uint32_t rows,
                                     uint8_t *bytes)
{
    SC_BY_WIDTH(c->width, COMPARE_RANGE);
}

static void compare_range_portable(const struct sc_column *c, struct number_range r, uint32_t rows,
                                   uint8_t *bytes)
{
    compare_range(c, r, rows, bytes);
}

SC_FOR_AVX2 static void compare_range_avx2(const struct sc_column *c, struct number_range r, uint32_t rows,
                                           uint8_t *bytes)
{
    compare_range(c, r, rows, bytes);
}

static compare_function *const compare_range_of[SC_VECTORS_COUNT] = {compare_range_portable,
                                                                     compare_range_avx2, compare_range_avx2};

/* One range over a FLAT column or over codes. The range is cut to what the width can hold. */
static void range_rows(const struct sc_comparer *s, const struct sc_column *c, struct number_range r,
                       uint32_t rows)
{
    uint64_t most = c->width == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * c->width)) - 1;
    if (r.low > most) {
        memset(s->bytes, 0, rows);
        return;
    }
    if (r.high > most)
        r.high = most;
    compare_range_of[s->vectors](c, r, rows, s->bytes);
}

#define LOOK_UP(type)                                                                                        \
    do {                                                                                                     \
        const type *v = c->values;                                                                           \
        for (uint32_t i = 0; i < rows; i++)                                                                  \
            bytes[i] = table[v[i]];                                                                          \
    } while (0)

/* A table of results by code or by value of one or two bytes. */
static void lookup_rows(const struct sc_column *c, const uint8_t *table, uint32_t rows, uint8_t *bytes)
{
    if (c->width == 1)
        LOOK_UP(uint8_t);
    else if (c->width == 2)
        LOOK_UP(uint16_t);
    else
        LOOK_UP(uint32_t);
}

/* ---- the plain case: integers ---- */

static bool single_range(const struct sc_filter *f, struct number_range *r, bool *possible)
{
    *possible = true;
    if (f->compare == SC_COMPARE_IN && f->range_count == 1) {
        *r = (struct number_range){f->ranges[0].low, f->ranges[0].high};
        return true;
    }
    if (f->compare >= SC_COMPARE_LT && f->compare <= SC_COMPARE_GE) {
        *possible = order_range(f, r);
        return true;
    }
    return false;
}

/* By least and greatest value: 0 no row, 1 every row that is not null, -1 must look. */
static int settle_numbers(const struct sc_filter *f, uint64_t min, uint64_t max)
{
    struct number_range r;
    bool possible;
    if (f->compare == SC_COMPARE_PRESENT)
        return 1;
    if (single_range(f, &r, &possible)) {
        if (!possible || r.high < min || r.low > max)
            return 0;
        return r.low <= min && max <= r.high ? 1 : -1;
    }
    if (f->compare == SC_COMPARE_IN &&
        (f->range_count == 0 || f->ranges[f->range_count - 1].high < min || f->ranges[0].low > max))
        return 0;
    return min == max ? number_matches(f, min) : -1;
}

static enum sc_status dict_rows(struct sc_comparer *s, struct sc_row_group *group, const struct sc_filter *f,
                                const struct sc_column *c, struct sc_error *err)
{
    uint8_t *table = sc_arena_alloc(&group->context->arena, c->dict.count);
    if (table == NULL)
        return sc_fail_nomem(err, "the filter");
    for (uint32_t i = 0; i < c->dict.count; i++)
        table[i] = number_matches(f, ((const uint64_t *)c->dict.values)[i]);
    lookup_rows(c, table, group->rows, s->bytes);
    return SC_OK;
}

static void flat_rows(struct sc_comparer *s, const struct sc_filter *f, const struct sc_column *c,
                      uint32_t rows)
{
    struct number_range r;
    bool possible;
    if (single_range(f, &r, &possible)) {
        range_rows(s, c, r, rows);
    } else if (c->width <= 2) {
        uint32_t values = c->width == 1 ? 256 : 65536;
        for (uint32_t v = 0; v < values; v++)
            s->lookup[v] = number_matches(f, v);
        lookup_rows(c, s->lookup, rows, s->bytes);
    } else {
        for (uint32_t i = 0; i < rows; i++)
            s->bytes[i] = number_matches(f, sc_column_u64(c, i));
    }
}

/* Where the numbers that match are in few ranges, and need not be decoded for it. */
static enum sc_status match_ranges(const struct sc_filter *f, struct sc_row_group *group,
                                   const struct sc_entry *e, uint64_t *out, bool *done, struct sc_error *err)
{
    struct number_range r;
    bool possible, is_single = single_range(f, &r, &possible);
    *done = false;
    if (!is_single && (f->compare != SC_COMPARE_IN || f->range_count > FEW_RANGES))
        return SC_OK;
    set_rows(false, NULL, group->rows, out);
    for (uint32_t i = 0; i < (is_single ? 1 : f->range_count); i++) {
        if (!is_single)
            r = (struct number_range){f->ranges[i].low, f->ranges[i].high};
        SC_TRY(sc_row_group_match(group, (uint32_t)(e - group->entries), r.low, r.high, out, done, err));
        if (!*done)
            return SC_OK;
    }
    return SC_OK;
}

static enum sc_status plain_numbers(struct sc_comparer *s, struct sc_row_group *group,
                                    const struct sc_filter *f, const struct sc_entry *e, uint64_t *out,
                                    struct sc_error *err)
{
    const struct sc_column *c = NULL;
    bool done = false;
    int settled = settle_numbers(f, e->min, e->max);
    if (settled == 0 || (settled == 1 && e->nulls == 0)) {
        set_rows(settled == 1, NULL, group->rows, out);
        return SC_OK;
    }
    if (settled == -1)
        SC_TRY(match_ranges(f, group, e, out, &done, err));
    if (done)
        return SC_OK;
    SC_TRY(sc_row_group_column_at(group, (uint32_t)(e - group->entries), &c, err));
    if (settled == 1 || c->form == SC_FORM_CONST) {
        set_rows(settled == 1 || number_matches(f, *(const uint64_t *)c->dict.values), c, group->rows, out);
        return SC_OK;
    }
    if (c->form == SC_FORM_DICT)
        SC_TRY(dict_rows(s, group, f, c, err));
    else
        flat_rows(s, f, c, group->rows);
    pack_rows(s->bytes, group->rows, out);
    keep_valid(c, out);
    return SC_OK;
}

/* ---- the plain case: addresses ---- */

/* Index of the first dictionary entry that is not less (or, `after`, that is greater). */
static uint32_t dict_bound(const struct sc_dictionary *dict, const struct sc_addr *a, bool after)
{
    const struct sc_addr *values = dict->values;
    uint32_t low = 0, high = dict->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        int order = sc_addr_compare(&values[mid], a);
        if (order < 0 || (after && order == 0))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Length of the longest prefix that covers the range. */
static unsigned common_bits(const struct sc_filter_range *r)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned x = (unsigned)(r->low_addr.b[i] ^ r->high_addr.b[i]);
        if (x != 0)
            return 8 * i + (unsigned)__builtin_clz(x) - 24;
    }
    return 128;
}

/* A filter that is damaged says nothing; the rows themselves may be whole. */
static enum sc_status any_possible(struct sc_comparer *s, struct sc_row_group *group,
                                   const struct sc_filter *f, bool *possible, struct sc_error *err)
{
    *possible = true;
    if (!s->use_bloom || f->compare != SC_COMPARE_IN || f->range_count > 64)
        return SC_OK;
    for (uint32_t i = 0; i < f->range_count; i++) {
        enum sc_status status = sc_row_group_may_contain(group, &f->ranges[i].low_addr,
                                                         common_bits(&f->ranges[i]), possible, err);
        if (status == SC_DAMAGED)
            *possible = true;
        else
            SC_TRY(status);
        if (*possible)
            return SC_OK;
    }
    *possible = false;
    return SC_OK;
}

/* False when there are none. */
static bool address_bounds(const struct sc_filter *f, const struct sc_dictionary *dict, uint32_t i,
                           struct number_range *codes)
{
    uint32_t from = 0, to = dict->count;
    const struct sc_addr *low = &f->ranges[i].low_addr;
    switch (f->compare) {
    case SC_COMPARE_IN:
        from = dict_bound(dict, low, false);
        to = dict_bound(dict, &f->ranges[i].high_addr, true);
        break;
    case SC_COMPARE_LT:
        to = dict_bound(dict, low, false);
        break;
    case SC_COMPARE_LE:
        to = dict_bound(dict, low, true);
        break;
    case SC_COMPARE_GT:
        from = dict_bound(dict, low, true);
        break;
    case SC_COMPARE_GE:
        from = dict_bound(dict, low, false);
        break;
    default:
        break;
    }
    *codes = (struct number_range){from, to - 1};
    return from < to;
}

static enum sc_status code_rows(struct sc_comparer *s, struct sc_row_group *group, const struct sc_filter *f,
                                const struct sc_column *c, struct sc_error *err)
{
    struct number_range codes;
    uint32_t count = f->compare == SC_COMPARE_IN ? f->range_count : 1;
    if (count == 1) {
        if (address_bounds(f, &c->dict, 0, &codes))
            range_rows(s, c, codes, group->rows);
        else
            memset(s->bytes, 0, group->rows);
        return SC_OK;
    }
    uint8_t *table = sc_arena_zalloc(&group->context->arena, c->dict.count);
    if (table == NULL)
        return sc_fail_nomem(err, "the filter");
    for (uint32_t i = 0; i < count; i++) {
        if (address_bounds(f, &c->dict, i, &codes))
            memset(table + codes.low, 1, codes.high - codes.low + 1);
    }
    lookup_rows(c, table, group->rows, s->bytes);
    return SC_OK;
}

/* As match_ranges, of codes. */
static enum sc_status match_codes(const struct sc_filter *f, struct sc_row_group *group,
                                  const struct sc_entry *e, const struct sc_dictionary *dict, uint64_t *out,
                                  bool *done, struct sc_error *err)
{
    uint32_t count = f->compare == SC_COMPARE_IN ? f->range_count : 1;
    struct number_range r;
    *done = false;
    set_rows(false, NULL, group->rows, out);
    for (uint32_t i = 0; i < count && count <= FEW_RANGES; i++) {
        if (!address_bounds(f, dict, i, &r))
            continue;
        SC_TRY(sc_row_group_match(group, (uint32_t)(e - group->entries), r.low, r.high, out, done, err));
        if (!*done)
            return SC_OK;
    }
    return SC_OK;
}

/* True when some dictionary entry lies in the comparison's ranges. */
static bool dict_has_match(const struct sc_filter *f, const struct sc_dictionary *dict)
{
    uint32_t count = f->compare == SC_COMPARE_IN ? f->range_count : 1;
    struct number_range unused;
    for (uint32_t i = 0; i < count; i++) {
        if (address_bounds(f, dict, i, &unused))
            return true;
    }
    return false;
}

static enum sc_status plain_addresses(struct sc_comparer *s, struct sc_row_group *group,
                                      const struct sc_filter *f, const struct sc_entry *e, uint64_t *out,
                                      struct sc_error *err)
{
    const struct sc_column *c = NULL;
    const struct sc_dictionary *dict = NULL;
    bool possible, done = false;
    SC_TRY(any_possible(s, group, f, &possible, err));
    if (possible && f->compare != SC_COMPARE_PRESENT) {
        SC_TRY(sc_row_group_addresses(group, &dict, err));
        possible = dict_has_match(f, dict);
    }
    if (!possible) {
        set_rows(false, NULL, group->rows, out);
        return SC_OK;
    }
    if (f->compare != SC_COMPARE_PRESENT)
        SC_TRY(match_codes(f, group, e, dict, out, &done, err));
    if (done)
        return SC_OK;
    SC_TRY(sc_row_group_column_at(group, (uint32_t)(e - group->entries), &c, err));
    if (f->compare == SC_COMPARE_PRESENT) {
        set_rows(true, c, group->rows, out);
        return SC_OK;
    }
    SC_TRY(code_rows(s, group, f, c, err));
    pack_rows(s->bytes, group->rows, out);
    keep_valid(c, out);
    return SC_OK;
}

/* ---- all other cases: through the field's values ---- */

static void general_numbers(struct sc_comparer *s, struct sc_row_group *group, const struct sc_filter *f,
                            const struct sc_column *const *columns, uint32_t count, uint64_t *out)
{
    if (!sc_field_integers(&f->field, columns, count, group->rows, s->numbers, out))
        return; /* all null: out is all zero */
    for (uint32_t i = 0; i < group->rows; i++) {
        if (!number_matches(f, s->numbers[i]))
            out[i / 64] &= ~(UINT64_C(1) << (i % 64));
    }
}

static enum sc_status general_rows(struct sc_comparer *s, struct sc_row_group *group,
                                   const struct sc_filter *f, uint64_t *out, struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(&f->field, group, columns, &count, err));
    memset(out, 0, sc_bitmap_words(group->rows) * sizeof(*out));
    if (count == 0 && f->field.computed != SC_COMPUTED_FLOWS)
        return SC_OK;
    bool number = f->field.type == SC_VALUE_UINT || f->field.type == SC_VALUE_MAC ||
                  f->field.type == SC_VALUE_TIME_MS || f->field.type == SC_VALUE_TIME_NS;
    if (number)
        general_numbers(s, group, f, columns, count, out);
    for (uint32_t i = 0; !number && i < group->rows; i++) {
        if (sc_filter_match(f, columns, count, i))
            out[i / 64] |= UINT64_C(1) << (i % 64);
    }
    return SC_OK;
}

/* The one entry that the field comes from in this row group, unchanged; NULL when it is not so simple. */
static const struct sc_entry *plain_entry(const struct sc_row_group *group, const struct sc_field *field,
                                          bool *absent)
{
    const struct sc_entry *found = NULL;
    *absent = false;
    if (field->computed != SC_COMPUTED_NONE)
        return NULL;
    for (unsigned i = 0; i < field->source_count; i++) {
        const struct sc_entry *e = sc_row_group_entry(group, field->sources[i].key);
        if (e == NULL)
            continue;
        if (found != NULL || field->sources[i].transform != SC_TRANSFORM_NONE)
            return NULL;
        found = e;
        if (e->nulls == 0) /* settles the field: later sources do not matter */
            return e;
    }
    *absent = found == NULL;
    return found;
}

enum sc_status sc_compare_rows(struct sc_comparer *comparer, struct sc_row_group *group,
                               const struct sc_filter *filter, uint64_t *out, struct sc_error *err)
{
    bool absent;
    const struct sc_entry *e = plain_entry(group, &filter->field, &absent);
    if (absent) {
        set_rows(false, NULL, group->rows, out);
        return SC_OK;
    }
    if (e != NULL && e->key.kind == SC_COLUMN_UINT && filter->field.type != SC_VALUE_FLOAT)
        return plain_numbers(comparer, group, filter, e, out, err);
    if (e != NULL && e->key.kind == SC_COLUMN_ADDRESS && filter->compare != SC_COMPARE_FLAGS &&
        filter->compare != SC_COMPARE_ANY_FLAG)
        return plain_addresses(comparer, group, filter, e, out, err);
    return general_rows(comparer, group, filter, out, err);
}
