// SPDX-License-Identifier: BSD-3-Clause
/* The values of rows to the accumulators of the entries that were found for them, a chunk of rows at a time. */
#include "group/rows.h"

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

/* No value is greater. What is in the columns counts, not what a file says of it; of rows that were not read nothing does. */
static uint64_t bound_values(const struct sc_group_scratch *s, const struct sc_row_values *v, uint32_t rows,
                             uint32_t listed)
{
    const struct sc_column *c = v->plain;
    bool flat = c != NULL && c->form == SC_FORM_FLAT;
    if (v->ones)
        return 1;
    if (flat && c->width < 8)
        return (UINT64_C(1) << (8 * c->width)) - 1;
    const uint64_t *values = c == NULL ? v->values : flat ? c->values : c->dict.values;
    uint32_t count = c == NULL || flat ? rows : c->dict.count;
    uint64_t bits = 0;
    if (s->only_listed && (c == NULL || flat)) {
        for (uint32_t i = 0; i < listed; i++)
            bits |= values[s->rows[i]];
        return bits;
    }
    for (uint32_t i = 0; i < count; i++)
        bits |= values[i];
    return bits;
}

void sc_group_bound_sums(struct sc_groups *groups, uint32_t group_rows, uint32_t count)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint64_t most = 0, added;
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if ((groups->scratch->fed >> i & 1) != 0 &&
            (a->accumulators[i].how == SC_ACCUMULATE_SUM || a->accumulators[i].how == SC_ACCUMULATE_COUNT))
            most |= bound_values(groups->scratch, &groups->scratch->accumulators[i], group_rows, count);
    }
    added = __builtin_mul_overflow(most, count, &added) ? SC_SATURATED : added;
    groups->most = sc_add_saturated(groups->most, added);
    groups->scratch->sums_fit = groups->most != SC_SATURATED;
}

/* The values of a chunk of rows, by what is done with them: sums, then MIN, MAX, OR. */
struct lanes {
    const uint64_t *values[SC_MAX_ACCUMULATORS];
    uint32_t offsets[SC_MAX_ACCUMULATORS]; /* of the accumulator in its entry */
};

typedef uint64_t chunk_values[SC_GROUP_CHUNK];

/* Fills in the lanes of one sort from `at` on; returns where they end. No lane has nulls. */
static uint32_t take_sort(const struct sc_aggregate *a, const struct sc_group_scratch *s,
                          enum sc_accumulate sort, const uint32_t *rows, uint32_t n, uint32_t at,
                          chunk_values *space, struct lanes *out)
{
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        const struct sc_column *c = s->accumulators[i].plain;
        unsigned how = a->accumulators[i].how;
        if ((s->fed >> i & 1) == 0 || !s->accumulators[i].all_valid ||
            (how == SC_ACCUMULATE_COUNT ? SC_ACCUMULATE_SUM : how) != sort)
            continue;
        out->offsets[at] = 8 * i;
        out->values[at] = space[at];
        if (c != NULL && c->form == SC_FORM_FLAT && c->width == 8 && rows[n - 1] - rows[0] == n - 1)
            out->values[at] = (const uint64_t *)c->values + rows[0];
        else
            sc_group_take_values(&s->accumulators[i], rows, n, space[at]);
        at++;
    }
    return at;
}

static inline void add_sum(uint8_t *at, uint64_t v, bool fits)
{
    if (fits)
        sc_store_le64(at, sc_load_le64(at) + v);
    else
        sc_accumulate(SC_ACCUMULATE_SUM, at, v);
}

/*
 * Row by row: all that is written to an entry is in a line of the cache or two. Inlined, so that the numbers may be
 * constants: where each sort of lanes ends, and whether sums fit. An entry has seen `seen` then; most had before, and nothing is
 * written.
 */
static inline __attribute__((always_inline)) void add_lanes(struct lanes lanes, uint8_t *const *entries,
                                                            uint32_t n, uint32_t seen_at, uint8_t seen,
                                                            uint32_t sums, uint32_t mins, uint32_t maxs,
                                                            uint32_t count, bool fits)
{
    for (uint32_t j = 0; j < n; j++) {
        uint8_t *e = entries[j];
        for (uint32_t i = 0; i < sums; i++)
            add_sum(e + lanes.offsets[i], lanes.values[i][j], fits);
        for (uint32_t i = sums; i < mins; i++)
            sc_accumulate(SC_ACCUMULATE_MIN, e + lanes.offsets[i], lanes.values[i][j]);
        for (uint32_t i = mins; i < maxs; i++)
            sc_accumulate(SC_ACCUMULATE_MAX, e + lanes.offsets[i], lanes.values[i][j]);
        for (uint32_t i = maxs; i < count; i++)
            sc_accumulate(SC_ACCUMULATE_OR, e + lanes.offsets[i], lanes.values[i][j]);
        if ((e[seen_at] & seen) != seen)
            e[seen_at] |= seen;
    }
}

/* All accumulators without nulls, of all entries of the chunk; sets the bits `seen` there. */
static void add_rows(const struct sc_aggregate *a, const struct sc_group_scratch *s, const uint32_t *rows,
                     uint32_t n, uint8_t seen)
{
    chunk_values space[SC_MAX_ACCUMULATORS];
    struct lanes lanes;
    uint32_t sums = take_sort(a, s, SC_ACCUMULATE_SUM, rows, n, 0, space, &lanes);
    uint32_t mins = take_sort(a, s, SC_ACCUMULATE_MIN, rows, n, sums, space, &lanes);
    uint32_t maxs = take_sort(a, s, SC_ACCUMULATE_MAX, rows, n, mins, space, &lanes);
    uint32_t count = take_sort(a, s, SC_ACCUMULATE_OR, rows, n, maxs, space, &lanes);
    bool usual = sums == 3 && mins == 4 && maxs == 5 && count == 6; /* the default columns */
    if (usual && s->sums_fit)
        add_lanes(lanes, s->entries, n, a->seen_at, seen, 3, 4, 5, 6, true);
    else if (usual)
        add_lanes(lanes, s->entries, n, a->seen_at, seen, 3, 4, 5, 6, false);
    else if (s->sums_fit)
        add_lanes(lanes, s->entries, n, a->seen_at, seen, sums, mins, maxs, count, true);
    else
        add_lanes(lanes, s->entries, n, a->seen_at, seen, sums, mins, maxs, count, false);
}

static void add_column_with_nulls(const struct sc_group_scratch *s, enum sc_accumulate how, uint32_t offset,
                                  const struct sc_row_values *v, const uint32_t *rows, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        if (sc_row_is_set(v->valid, rows[j]))
            sc_accumulate(how, s->entries[j] + offset, v->values[rows[j]]);
    }
}

static void mark_seen(const struct sc_aggregate *a, const struct sc_group_scratch *s, const uint32_t *rows,
                      uint32_t n)
{
    uint64_t all = s->direct_seen, some = 0;
    for (uint64_t left = s->fed; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        all |= (uint64_t)s->accumulators[i].all_valid << i;
        some |= (uint64_t)!s->accumulators[i].all_valid << i;
    }
    for (uint32_t j = 0; j < n; j++) {
        uint64_t seen = sc_entry_seen(a, s->entries[j]), now = seen | all;
        for (uint64_t left = some; left != 0; left &= left - 1) {
            unsigned i = (unsigned)__builtin_ctzll(left);
            now |= (uint64_t)sc_row_is_set(s->accumulators[i].valid, rows[j]) << i;
        }
        if (now != seen)
            sc_entry_set_seen(a, s->entries[j], now);
    }
}

void sc_group_add_values(const struct sc_aggregate *a, const struct sc_group_scratch *s, const uint32_t *rows,
                         uint32_t n)
{
    bool one_byte = a->accumulator_count <= 8, nulls = false;
    for (uint32_t i = 0; i < a->accumulator_count; i++)
        nulls = nulls || ((s->fed >> i & 1) != 0 && !s->accumulators[i].all_valid);
    if (n == 0 || (s->fed | s->direct_seen) == 0)
        return;
    if (!nulls && one_byte) {
        add_rows(a, s, rows, n, (uint8_t)(s->direct_seen | s->fed));
        return;
    }
    add_rows(a, s, rows, n, 0);
    for (uint32_t i = 0; i < a->accumulator_count && nulls; i++) {
        if ((s->fed >> i & 1) != 0 && !s->accumulators[i].all_valid)
            add_column_with_nulls(s, a->accumulators[i].how, 8 * i, &s->accumulators[i], rows, n);
    }
    mark_seen(a, s, rows, n);
}
