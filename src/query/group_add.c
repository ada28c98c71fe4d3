// SPDX-License-Identifier: BSD-3-Clause
/* The values of rows to the accumulators of the entries that were found for them, a chunk of rows and a column at a time. */
#include "query/group_rows.h"

/* Rows in one stretch, the case without a filter, are widened by vector code. */
#define TAKE(type)                                                                                           \
    {                                                                                                        \
        const type *from = c->values;                                                                        \
        if (dict != NULL) {                                                                                  \
            for (uint32_t j = 0; j < n; j++)                                                                 \
                out[j] = dict[from[rows[j]]];                                                                \
        } else if (rows[n - 1] - rows[0] == n - 1) {                                                         \
            from += rows[0];                                                                                 \
            for (uint32_t j = 0; j < n; j++)                                                                 \
                out[j] = from[j];                                                                            \
        } else {                                                                                             \
            for (uint32_t j = 0; j < n; j++)                                                                 \
                out[j] = from[rows[j]];                                                                      \
        }                                                                                                    \
    }

static void take_plain(const struct sc_column *c, const uint32_t *rows, uint32_t n, uint64_t *out)
{
    const uint64_t *dict = c->form == SC_FORM_DICT ? c->dict.values : NULL;
    if (c->form == SC_FORM_CONST) {
        for (uint32_t j = 0; j < n; j++)
            out[j] = *(const uint64_t *)c->dict.values;
    } else if (c->width == 1) {
        TAKE(uint8_t)
    } else if (c->width == 2) {
        TAKE(uint16_t)
    } else if (c->width == 4) {
        TAKE(uint32_t)
    } else {
        TAKE(uint64_t)
    }
}

void sc_group_take_values(const struct sc_row_values *v, const uint32_t *rows, uint32_t n, uint64_t *out)
{
    if (v->plain != NULL) {
        take_plain(v->plain, rows, n, out);
    } else {
        for (uint32_t j = 0; j < n; j++)
            out[j] = v->ones ? 1 : v->values[rows[j]];
    }
}

/* `value` is that of row j of the chunk. */
#define EACH(value, expression)                                                                              \
    for (uint32_t j = 0; j < n; j++) {                                                                       \
        uint8_t *at = entries[j] + offset;                                                                   \
        uint64_t v = (value), old = sc_load_le64(at);                                                        \
        sc_store_le64(at, expression);                                                                       \
    }

#define BY_HOW(value)                                                                                        \
    switch (how) {                                                                                           \
    case SC_ACCUMULATE_SUM:                                                                                  \
    case SC_ACCUMULATE_COUNT:                                                                                \
        EACH(value, old + v)                                                                                 \
        break;                                                                                               \
    case SC_ACCUMULATE_MIN:                                                                                  \
        EACH(value, v < old ? v : old)                                                                       \
        break;                                                                                               \
    case SC_ACCUMULATE_MAX:                                                                                  \
        EACH(value, v > old ? v : old)                                                                       \
        break;                                                                                               \
    default:                                                                                                 \
        EACH(value, old | v)                                                                                 \
        break;                                                                                               \
    }

// NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in parentheses
#define DEFINE_ADD(type, suffix)                                                                             \
    static void add_##suffix(uint8_t *const *entries, enum sc_accumulate how, uint32_t offset,               \
                             const type *from, const uint32_t *rows, uint32_t n)                             \
    {                                                                                                        \
        BY_HOW(from[rows[j]])                                                                                \
    }
// NOLINTEND(bugprone-macro-parentheses)
DEFINE_ADD(uint8_t, u8)
DEFINE_ADD(uint16_t, u16)
DEFINE_ADD(uint32_t, u32)
DEFINE_ADD(uint64_t, u64)

static void add_flat(uint8_t *const *entries, enum sc_accumulate how, uint32_t offset,
                     const struct sc_column *c, const uint32_t *rows, uint32_t n)
{
    if (c->width == 1)
        add_u8(entries, how, offset, c->values, rows, n);
    else if (c->width == 2)
        add_u16(entries, how, offset, c->values, rows, n);
    else if (c->width == 4)
        add_u32(entries, how, offset, c->values, rows, n);
    else
        add_u64(entries, how, offset, c->values, rows, n);
}

static void add_constant(uint8_t *const *entries, enum sc_accumulate how, uint32_t offset, uint64_t constant,
                         uint32_t n)
{
    BY_HOW(constant)
}

/* One accumulator of all entries of the chunk; no value is null. */
static void add_column(uint8_t *const *entries, enum sc_accumulate how, uint32_t offset,
                       const struct sc_row_values *from, const uint32_t *rows, uint32_t n)
{
    const struct sc_column *c = from->plain;
    if (from->ones || (c != NULL && c->form == SC_FORM_CONST)) {
        add_constant(entries, how, offset, from->ones ? 1 : *(const uint64_t *)c->dict.values, n);
    } else if (c == NULL) {
        add_u64(entries, how, offset, from->values, rows, n);
    } else if (c->form == SC_FORM_FLAT) {
        add_flat(entries, how, offset, c, rows, n);
    } else {
        uint64_t values[SC_GROUP_CHUNK];
        sc_group_take_values(from, rows, n, values);
        BY_HOW(values[j])
    }
}

static void add_column_with_nulls(const struct sc_group_scratch *s, enum sc_accumulate how, uint32_t offset,
                                  const struct sc_row_values *v, const uint32_t *rows, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        if (sc_row_is_set(v->valid, rows[j]))
            sc_accumulate(how, s->entries[j] + offset, v->values[rows[j]]);
    }
}

/* The usual case: all accumulators of all entries have a value now. Most had before: what need not be written is not. */
static void mark_all(const struct sc_aggregate *a, const struct sc_group_scratch *s, uint64_t all, uint32_t n)
{
    if (a->accumulator_count > 8) {
        for (uint32_t j = 0; j < n; j++)
            sc_store_le16(s->entries[j] + a->seen_at,
                          (uint16_t)(sc_load_le16(s->entries[j] + a->seen_at) | all));
        return;
    }
    for (uint32_t j = 0; j < n; j++) {
        uint8_t *at = s->entries[j] + a->seen_at;
        if ((*at & all) != all)
            *at |= (uint8_t)all;
    }
}

static void mark_seen(const struct sc_aggregate *a, const struct sc_group_scratch *s, const uint32_t *rows,
                      uint32_t n)
{
    unsigned width = a->accumulator_count > 8 ? 2 : 1;
    uint64_t all = s->direct_seen, some = 0;
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        all |= (uint64_t)s->accumulators[i].all_valid << i;
        some |= (uint64_t)!s->accumulators[i].all_valid << i;
    }
    if (some == 0) {
        mark_all(a, s, all, n);
        return;
    }
    for (uint32_t j = 0; j < n; j++) {
        uint8_t *at = s->entries[j] + a->seen_at;
        uint64_t seen = sc_key_load(at, width), now = seen | all;
        for (uint64_t left = some; left != 0; left &= left - 1) {
            unsigned i = (unsigned)__builtin_ctzll(left);
            now |= (uint64_t)sc_row_is_set(s->accumulators[i].valid, rows[j]) << i;
        }
        if (now != seen)
            sc_key_store(at, width, now);
    }
}

void sc_group_add_values(const struct sc_aggregate *a, const struct sc_group_scratch *s, const uint32_t *rows,
                         uint32_t n)
{
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        uint32_t offset = a->accumulators_at + 8 * i;
        const struct sc_row_values *v = &s->accumulators[i];
        if (v->all_valid)
            add_column(s->entries, a->accumulators[i].how, offset, v, rows, n);
        else
            add_column_with_nulls(s, a->accumulators[i].how, offset, v, rows, n);
    }
    mark_seen(a, s, rows, n);
}
