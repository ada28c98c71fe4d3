// SPDX-License-Identifier: BSD-3-Clause
#include "group/cells.h"

#include "group/codes.h"
#include "group/rows.h"

#include <stdlib.h>

/* Of so many cells one may be chosen: more rows than these have are summed as soon by other ways. */
#define MOST_PART 32u

static uint64_t cell_of(uint64_t hash, unsigned hash_bits)
{
    return hash >> (64 - hash_bits);
}

enum sc_status sc_groups_make_cells(struct sc_groups *groups, unsigned hash_bits)
{
    groups->cells = (uint64_t *)(void *)sc_groups_make_block(sizeof(uint64_t) << hash_bits);
    if (groups->cells == NULL)
        return SC_NOMEM;
    memset(groups->cells, 0, sizeof(uint64_t) << hash_bits);
    groups->hash_bits = hash_bits;
    return SC_OK;
}

void sc_groups_merge_cells(struct sc_groups *to, const struct sc_groups *from)
{
    for (uint64_t i = 0; i >> to->hash_bits == 0; i++)
        to->cells[i] = sc_add_saturated(to->cells[i], from->cells[i]);
}

void sc_groups_take_chosen(struct sc_groups *groups, const struct sc_chosen_cells *chosen)
{
    groups->chosen = chosen->bits;
    groups->hash_bits = chosen->hash_bits;
}

/* ---- which cells ---- */

/* Values in an order of their own: a bit length, and the 8 bits behind the first. */
#define STEPS (64u << 8)

static uint32_t step_of(uint64_t value)
{
    unsigned bits = sc_cell_bits(value);
    return value < 256 ? (uint32_t)value : ((bits + 1) << 8) + (uint32_t)(value >> bits & 0xff);
}

static uint64_t least_of_step(uint32_t step)
{
    return step < 256 ? step : (uint64_t)(step & 0xff) << ((step >> 8) - 1);
}

static void count_steps(const struct sc_groups *groups, uint32_t *steps)
{
    for (uint64_t i = 0; i >> groups->hash_bits == 0; i++)
        steps[step_of(groups->cells[i])]++;
}

/* The highest step at or above which there are at least `count` cells; 0: there are no such many. */
static uint32_t step_with(const uint32_t *steps, uint64_t count, uint64_t *cells)
{
    uint32_t step = STEPS;
    for (*cells = 0; step > 1 && *cells < count;)
        *cells += steps[--step];
    return *cells < count ? 0 : step;
}

static uint64_t mark_from(const struct sc_groups *groups, uint32_t step, uint64_t *bits)
{
    uint64_t left = 0;
    for (uint64_t i = 0; i >> groups->hash_bits == 0; i++) {
        bool chosen = step_of(groups->cells[i]) >= step;
        bits[i / 64] |= (uint64_t)chosen << (i % 64);
        left = !chosen && groups->cells[i] > left ? groups->cells[i] : left;
    }
    return left;
}

enum sc_status sc_groups_choose_cells(const struct sc_groups *groups, uint64_t limit,
                                      struct sc_chosen_cells *out)
{
    uint32_t *steps = calloc(STEPS, sizeof(*steps));
    uint64_t *bits = calloc(((size_t)1 << groups->hash_bits) / 64 + 1, sizeof(*bits));
    enum sc_status status = steps == NULL || bits == NULL ? SC_NOMEM : SC_NOTFOUND;
    uint64_t cells = 0;
    if (status == SC_NOTFOUND) {
        count_steps(groups, steps);
        uint32_t step = step_with(steps, limit, &cells);
        uint32_t half = step_of(least_of_step(step) / 2);
        for (uint32_t i = step; step > 1 && i-- > half;)
            cells += steps[i];
        if (step > 1 && half != 0 && cells <= ((uint64_t)1 << groups->hash_bits) / MOST_PART) {
            status = SC_OK;
            *out = (struct sc_chosen_cells){.bits = bits, .hash_bits = groups->hash_bits};
            out->left = mark_from(groups, half, bits);
        }
    }
    if (status != SC_OK)
        free(bits);
    free(steps);
    return status;
}

/* ---- rows to cells ---- */

static void add_sums(struct sc_groups *groups, const uint64_t *hashes, const uint64_t *values, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++)
        __builtin_prefetch(&groups->cells[cell_of(hashes[j], groups->hash_bits)], 1);
    for (uint32_t j = 0; j < n; j++) {
        uint64_t *cell = &groups->cells[cell_of(hashes[j], groups->hash_bits)];
        *cell = sc_add_saturated(*cell, values[j]);
    }
}

void sc_cells_add(struct sc_groups *groups, const struct sc_key_rows *const *keys, const uint32_t *rows,
                  uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    uint64_t values[SC_GROUP_CHUNK];
    for (uint32_t i = 0, n; i < count; i += n) {
        n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        sc_group_pack(groups, &s->packed, keys, rows + i, n);
        sc_group_take_values(&s->accumulators[0], rows + i, n, values);
        add_sums(groups, s->packed.hashes, values, n);
    }
}

/* ---- of one address, by codes ---- */

/* Up to SC_GROUP_CHUNK codes, and the hashes of their addresses. */
struct code_chunk {
    uint32_t codes[SC_GROUP_CHUNK], count;
};

static void hash_codes(struct sc_groups *groups, const struct sc_key_rows *key, const struct code_chunk *c)
{
    const struct sc_addr *addresses[SC_GROUP_CHUNK] = {0};
    for (uint32_t j = 0; j < c->count; j++)
        addresses[j] = &key->addresses[c->codes[j]];
    sc_group_pack_addresses(groups, &groups->scratch->packed, addresses, c->count);
}

static uint64_t hash_of_null(const struct sc_groups *groups)
{
    uint8_t null[SC_MOST_KEY_BYTES];
    sc_group_null_key(groups->aggregate, null);
    return sc_groups_hash(groups, SC_KEY_NARROW, null);
}

static void add_chunk(struct sc_groups *groups, const struct sc_key_rows *key, const uint64_t *sums,
                      struct code_chunk *c)
{
    uint64_t values[SC_GROUP_CHUNK];
    for (uint32_t j = 0; j < c->count; j++)
        values[j] = sums[c->codes[j]];
    hash_codes(groups, key, c);
    add_sums(groups, groups->scratch->packed.hashes, values, c->count);
    c->count = 0;
}

/* What each code of the row group has, and behind the last one null; `sums` is zero. */
static void sum_codes(const struct sc_group_scratch *s, const struct sc_column *dict, const uint32_t *all,
                      uint32_t count, uint64_t *sums)
{
    uint64_t values[SC_GROUP_CHUNK];
    for (uint32_t i = 0, n; i < count; i += n) {
        const uint32_t *rows = all + i;
        n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        sc_group_take_values(&s->accumulators[0], rows, n, values);
        SC_EACH_CODE(sums[code] = sc_add_saturated(sums[code], values[j]));
    }
}

enum sc_status sc_cells_add_coded(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_key_rows *key, const uint32_t *rows, uint32_t count)
{
    const struct sc_column *dict = key->codes;
    uint32_t codes = dict->dict.count;
    uint64_t *sums = sc_arena_zalloc(&group->context->arena, ((size_t)codes + 1) * sizeof(*sums));
    struct code_chunk c = {.count = 0};
    if (sums == NULL)
        return SC_NOMEM;
    sum_codes(groups->scratch, dict, rows, count, sums);
    for (uint32_t code = 0; code < codes; code++) {
        c.codes[c.count] = code;
        c.count += sums[code] != 0;
        if (c.count == SC_GROUP_CHUNK)
            add_chunk(groups, key, sums, &c);
    }
    add_chunk(groups, key, sums, &c);
    uint64_t null = hash_of_null(groups);
    add_sums(groups, &null, &sums[codes], 1);
    return SC_OK;
}

/* ---- rows of chosen cells ---- */

static bool is_chosen(const struct sc_groups *groups, uint64_t hash)
{
    uint64_t cell = cell_of(hash, groups->hash_bits);
    return (groups->chosen[cell / 64] >> (cell % 64) & 1) != 0;
}

static void mark_chunk(struct sc_groups *groups, const struct sc_key_rows *key, struct code_chunk *c,
                       uint8_t *marks)
{
    hash_codes(groups, key, c);
    for (uint32_t j = 0; j < c->count; j++)
        marks[c->codes[j]] = is_chosen(groups, groups->scratch->packed.hashes[j]);
    c->count = 0;
}

/* From 1 where rows have a code to whether it is chosen. */
static void choose_codes(struct sc_groups *groups, const struct sc_key_rows *key, uint32_t codes,
                         uint8_t *marks)
{
    struct code_chunk c = {.count = 0};
    for (uint32_t code = 0; code < codes; code++) {
        c.codes[c.count] = code;
        c.count += marks[code];
        if (c.count == SC_GROUP_CHUNK)
            mark_chunk(groups, key, &c, marks);
    }
    mark_chunk(groups, key, &c, marks);
    marks[codes] = is_chosen(groups, hash_of_null(groups));
}

uint32_t sc_cells_drop_codes(struct sc_groups *groups, struct sc_row_group *group,
                             const struct sc_key_rows *key, uint32_t *rows, uint32_t n)
{
    const struct sc_column *dict = key->codes;
    uint8_t *marks = sc_arena_zalloc(&group->context->arena, (size_t)dict->dict.count + 1);
    uint32_t left = 0;
    if (marks == NULL)
        return UINT32_MAX;
    SC_EACH_CODE(marks[code] = 1);
    choose_codes(groups, key, dict->dict.count, marks);
    SC_EACH_CODE(rows[left] = rows[j]; left += marks[code]);
    return left;
}

uint32_t sc_cells_drop(struct sc_groups *groups, const struct sc_key_rows *const *keys, uint32_t *rows,
                       uint32_t count)
{
    struct sc_packed *packed = &groups->scratch->packed;
    uint32_t left = 0;
    for (uint32_t i = 0, n; i < count; i += n) {
        n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        sc_group_pack(groups, packed, keys, rows + i, n);
        for (uint32_t j = 0; j < n; j++) {
            rows[left] = rows[i + j];
            left += is_chosen(groups, packed->hashes[j]);
        }
    }
    return left;
}
