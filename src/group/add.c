// SPDX-License-Identifier: BSD-3-Clause
/* The values of rows to the accumulators of the entries that were found for them, a chunk of rows at a time. */
#include "group/rows.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

static SC_IN_EACH void take_plain(const struct sc_column *c, const uint32_t *rows, uint32_t n, uint64_t *out)
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

static SC_IN_EACH void take_values(const struct sc_row_values *v, const uint32_t *rows, uint32_t n,
                                   uint64_t *out)
{
    if (v->plain != NULL) {
        take_plain(v->plain, rows, n, out);
    } else {
        for (uint32_t j = 0; j < n; j++)
            out[j] = v->ones ? 1 : v->values[rows[j]];
    }
}

void sc_group_take_values(const struct sc_row_values *v, const uint32_t *rows, uint32_t n, uint64_t *out)
{
    take_values(v, rows, n, out);
}

/* The values in the column itself, where they lie there as they are needed; else NULL. */
static SC_IN_EACH const uint64_t *values_in_place(const struct sc_row_values *v, const uint32_t *rows,
                                                  uint32_t n)
{
    const struct sc_column *c = v->plain;
    bool wide = c != NULL && c->form == SC_FORM_FLAT && c->width == 8;
    return wide && rows[n - 1] - rows[0] == n - 1 ? (const uint64_t *)c->values + rows[0] : NULL;
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
        unsigned how = a->accumulators[i].how;
        if ((s->fed >> i & 1) == 0 || !s->accumulators[i].all_valid ||
            (how == SC_ACCUMULATE_COUNT ? SC_ACCUMULATE_SUM : how) != sort)
            continue;
        out->offsets[at] = 8 * i;
        out->values[at] = values_in_place(&s->accumulators[i], rows, n);
        if (out->values[at] == NULL) {
            take_values(&s->accumulators[i], rows, n, space[at]);
            out->values[at] = space[at];
        }
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
    else if (s->sums_fit)
        add_lanes(lanes, s->entries, n, a->seen_at, seen, sums, mins, maxs, count, true);
    else
        add_lanes(lanes, s->entries, n, a->seen_at, seen, sums, mins, maxs, count, false);
}

/* ---- all numbers of an entry at a time ---- */

/* Four numbers of an entry that lie side by side. */
typedef uint64_t quad __attribute__((vector_size(32)));

#define QUADS   2u
#define NUMBERS (4 * QUADS) /* accumulators, and one in which `seen` is the first byte */
#define FEW     4u          /* of fewer accumulators it does not pay */

/* What is done with each of four numbers: all bits are set where it is. */
struct quad_ways {
    quad sums, ors, picks, /* MIN or MAX, */
        greatest;          /* and which of them */
    quad seen;             /* bits that are set in any case */
};

/* By addresses: not all machines can pass a quad. */
static SC_IN_EACH void load(quad *to, const void *from)
{
    memcpy(to, from, sizeof(*to));
}

static SC_IN_EACH void add_quad(const struct quad_ways *w, quad *numbers, const quad *v)
{
    quad pick = ((quad)(*v < *numbers) ^ w->greatest) & w->picks;
    quad sum = (*numbers + (*v & w->sums)) | (*v & w->ors) | w->seen;
    *numbers = (pick & *v) | (~pick & sum);
}

/* Four accumulators of four rows each become those of one row and the next. */
static SC_IN_EACH void turn(const uint64_t *const *values, uint32_t row, quad out[4])
{
    quad in[4], ab, cd;
    for (unsigned i = 0; i < 4; i++)
        load(&in[i], values[i] + row);
    ab = __builtin_shufflevector(in[0], in[1], 0, 4, 2, 6);
    cd = __builtin_shufflevector(in[2], in[3], 0, 4, 2, 6);
    out[0] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    out[2] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    ab = __builtin_shufflevector(in[0], in[1], 1, 5, 3, 7);
    cd = __builtin_shufflevector(in[2], in[3], 1, 5, 3, 7);
    out[1] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    out[3] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

/*
 * An entry stays in registers as long as row after row is of it: of few groups each sum would wait until the one before is written.
 * What lies behind its accumulators is written as it was read.
 */
struct held_entry {
    uint8_t *at;
    quad low, high;
};

static SC_IN_EACH void write_held(const struct held_entry *e)
{
    memcpy(e->at, &e->low, sizeof(e->low));
    memcpy(e->at + sizeof(e->low), &e->high, sizeof(e->high));
}

static SC_IN_EACH void hold(struct held_entry *e, uint8_t *entry)
{
    e->at = entry;
    load(&e->low, entry);
    load(&e->high, entry + sizeof(e->low));
}

static SC_IN_EACH void add_row(const struct quad_ways *ways, struct held_entry *e, uint8_t *entry,
                               const quad *low, const quad *high)
{
    if (entry != e->at) {
        write_held(e);
        hold(e, entry);
    }
    add_quad(&ways[0], &e->low, low);
    add_quad(&ways[1], &e->high, high);
}

static SC_IN_EACH void add_quads(const struct quad_ways *ways, const uint64_t *const *values,
                                 uint8_t *const *entries, uint32_t n)
{
    struct held_entry e;
    quad low[4], high[4];
    hold(&e, entries[0]);
    for (uint32_t j = 0; j < n; j += 4) {
        turn(values, j, low);
        turn(values + 4, j, high);
        if (n - j < 4) {
            for (uint32_t k = 0; k < n - j; k++)
                add_row(ways, &e, entries[j + k], &low[k], &high[k]);
            break;
        }
        add_row(ways, &e, entries[j], &low[0], &high[0]);
        add_row(ways, &e, entries[j + 1], &low[1], &high[1]);
        add_row(ways, &e, entries[j + 2], &low[2], &high[2]);
        add_row(ways, &e, entries[j + 3], &low[3], &high[3]);
    }
    write_held(&e);
}

/* From a bit for each number. */
static SC_IN_EACH void spread(quad *to, unsigned bits)
{
    const quad one = {1, 2, 4, 8};
    *to = (quad)((one & bits) != 0);
}

static SC_IN_EACH void set_ways(const struct sc_ways *ways, uint32_t count, uint8_t seen,
                                struct quad_ways out[QUADS])
{
    for (unsigned i = 0; i < QUADS; i++) {
        spread(&out[i].sums, (unsigned)ways->sums >> (4 * i));
        spread(&out[i].ors, (unsigned)ways->ors >> (4 * i));
        spread(&out[i].picks, (unsigned)(ways->leasts | ways->greatests) >> (4 * i));
        spread(&out[i].greatest, (unsigned)ways->greatests >> (4 * i));
        spread(&out[i].seen, 1u << count >> (4 * i));
        out[i].seen &= seen;
    }
}

/* Where the values of n rows are; `space` takes those that are not in place. As many can be read as there are numbers. */
static SC_IN_EACH void take_numbers(const struct sc_group_scratch *s, uint32_t count, const uint32_t *rows,
                                    uint32_t n, chunk_values *space, const uint64_t *values[NUMBERS])
{
    static const uint64_t zeros[SC_GROUP_CHUNK];
    for (unsigned i = 0; i < NUMBERS; i++) {
        values[i] = i < count && (s->fed >> i & 1) != 0 ? NULL : zeros;
        if (values[i] == NULL && n % NUMBERS == 0)
            values[i] = values_in_place(&s->accumulators[i], rows, n);
        if (values[i] != NULL)
            continue;
        take_values(&s->accumulators[i], rows, n, space[i]);
        memset(space[i] + n, 0, (NUMBERS - n % NUMBERS) % NUMBERS * sizeof(space[i][0]));
        values[i] = space[i];
    }
}

typedef void add_function(const struct sc_aggregate *a, const struct sc_group_scratch *s,
                          const uint32_t *rows, uint32_t n, uint8_t seen);

SC_FOR_AVX2 static void add_rows_avx2(const struct sc_aggregate *a, const struct sc_group_scratch *s,
                                      const uint32_t *rows, uint32_t n, uint8_t seen)
{
    const uint64_t *values[NUMBERS];
    chunk_values space[NUMBERS];
    struct quad_ways ways[QUADS];
    set_ways(&s->ways, a->accumulator_count, seen, ways);
    take_numbers(s, a->accumulator_count, rows, n, space, values);
    add_quads(ways, values, s->entries, n);
}

#if defined(__x86_64__)
/* Eight accumulators of eight rows each become those of one row and the next. */
SC_FOR_AVX512 static inline void turn_eight(const uint64_t *const *values, uint32_t row, __m512i out[8])
{
    __m512i in[8], pairs[8], fours[8];
    for (unsigned i = 0; i < 8; i++)
        in[i] = _mm512_loadu_si512(values[i] + row);
    for (unsigned i = 0; i < 8; i += 2) { /* rows 0, 2, 4, 6, then 1, 3, 5, 7 of two accumulators */
        pairs[i] = _mm512_unpacklo_epi64(in[i], in[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi64(in[i], in[i + 1]);
    }
    for (unsigned i = 0; i < 2; i++) { /* of four: rows 0, 4, and 2, 6, and those behind them */
        fours[i] = _mm512_shuffle_i64x2(pairs[i], pairs[i + 2], 0x88);
        fours[i + 2] = _mm512_shuffle_i64x2(pairs[i], pairs[i + 2], 0xdd);
        fours[i + 4] = _mm512_shuffle_i64x2(pairs[i + 4], pairs[i + 6], 0x88);
        fours[i + 6] = _mm512_shuffle_i64x2(pairs[i + 4], pairs[i + 6], 0xdd);
    }
    for (unsigned i = 0; i < 4; i++) {
        out[i] = _mm512_shuffle_i64x2(fours[i], fours[i + 4], 0x88);
        out[i + 4] = _mm512_shuffle_i64x2(fours[i], fours[i + 4], 0xdd);
    }
}

SC_FOR_AVX512 static void add_rows_avx512(const struct sc_aggregate *a, const struct sc_group_scratch *s,
                                          const uint32_t *rows, uint32_t n, uint8_t seen)
{
    const struct sc_ways ways = s->ways;
    const uint64_t *values[NUMBERS];
    chunk_values space[NUMBERS];
    take_numbers(s, a->accumulator_count, rows, n, space, values);
    const __m512i all_seen = _mm512_maskz_set1_epi64((__mmask8)(1u << a->accumulator_count), seen);
    uint8_t *held = s->entries[0];
    __m512i numbers = _mm512_or_si512(_mm512_loadu_si512(held), all_seen), turned[8];
    for (uint32_t j = 0; j < n; j++) {
        if (j % 8 == 0)
            turn_eight(values, j, turned);
        if (s->entries[j] != held) {
            _mm512_storeu_si512(held, numbers);
            held = s->entries[j];
            numbers = _mm512_or_si512(_mm512_loadu_si512(held), all_seen);
        }
        numbers = _mm512_mask_add_epi64(numbers, ways.sums, numbers, turned[j % 8]);
        numbers = _mm512_mask_min_epu64(numbers, ways.leasts, numbers, turned[j % 8]);
        numbers = _mm512_mask_max_epu64(numbers, ways.greatests, numbers, turned[j % 8]);
        numbers = _mm512_mask_or_epi64(numbers, ways.ors, numbers, turned[j % 8]);
    }
    _mm512_storeu_si512(held, numbers);
}
#else
#define add_rows_avx512 add_rows_avx2
#endif

void sc_group_set_ways(const struct sc_aggregate *a, uint32_t fed, struct sc_ways *out)
{
    *out = (struct sc_ways){0};
    for (uint32_t i = 0; i < a->accumulator_count && i < NUMBERS; i++) {
        uint8_t bit = (uint8_t)((fed >> i & 1) << i);
        unsigned how = a->accumulators[i].how;
        out->sums |= how == SC_ACCUMULATE_SUM || how == SC_ACCUMULATE_COUNT ? bit : 0;
        out->leasts |= how == SC_ACCUMULATE_MIN ? bit : 0;
        out->greatests |= how == SC_ACCUMULATE_MAX ? bit : 0;
        out->ors |= how == SC_ACCUMULATE_OR ? bit : 0;
    }
}

/* Of accumulators without nulls. */
static add_function *how_to_add(const struct sc_aggregate *a, const struct sc_group_scratch *s)
{
    static add_function *const ways[SC_VECTORS_COUNT] = {add_rows, add_rows_avx2, add_rows_avx512};
    bool fits = s->sums_fit && a->accumulator_count >= FEW && a->accumulator_count < NUMBERS;
    return ways[fits ? s->vectors : SC_VECTORS_PORTABLE];
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
        how_to_add(a, s)(a, s, rows, n, (uint8_t)(s->direct_seen | s->fed));
        return;
    }
    add_rows(a, s, rows, n, 0);
    for (uint32_t i = 0; i < a->accumulator_count && nulls; i++) {
        if ((s->fed >> i & 1) != 0 && !s->accumulators[i].all_valid)
            add_column_with_nulls(s, a->accumulators[i].how, 8 * i, &s->accumulators[i], rows, n);
    }
    mark_seen(a, s, rows, n);
}
