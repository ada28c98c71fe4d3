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

uint64_t *sc_groups_cells(const struct sc_groups *groups, uint64_t *count)
{
    *count = UINT64_C(1) << groups->hash_bits;
    return groups->cells;
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

/* From which step on cells are chosen; 0: those would be too many. */
static uint32_t choose_step(const struct sc_groups *groups, const uint32_t *steps, uint64_t limit, bool proof)
{
    uint64_t cells, most = ((uint64_t)1 << groups->hash_bits) / MOST_PART;
    uint32_t step = step_with(steps, limit, &cells), half = step_of(least_of_step(step) / 2);
    if (step == 0 || !proof)
        return step == 0 ? 1 : step;
    for (uint32_t i = step; i-- > half;)
        cells += steps[i];
    return cells <= most ? half : 0;
}

enum sc_status sc_groups_choose_cells(const struct sc_groups *groups, uint64_t limit, bool proof,
                                      struct sc_chosen_cells *out)
{
    uint32_t *steps = calloc(STEPS, sizeof(*steps));
    uint64_t *bits = calloc(((size_t)1 << groups->hash_bits) / 64 + 1, sizeof(*bits));
    enum sc_status status = steps == NULL || bits == NULL ? SC_NOMEM : SC_NOTFOUND;
    if (status == SC_NOTFOUND) {
        count_steps(groups, steps);
        uint32_t step = choose_step(groups, steps, limit, proof);
        if (step != 0) {
            *out = (struct sc_chosen_cells){.bits = bits, .hash_bits = groups->hash_bits};
            out->left = mark_from(groups, step, bits);
            status = SC_OK;
        }
    }
    if (status != SC_OK)
        free(bits);
    free(steps);
    return status;
}

/* ---- hashes ---- */

/* Of a chunk of rows, by values: keys need not be packed for that. Of integers two are taken at a time. */
struct hashes {
    uint64_t of[SC_GROUP_CHUNK];
    uint64_t before[SC_GROUP_CHUNK]; /* the integers of a key that waits for another one */
    bool waits;
};

#define ADDRESSES UINT64_C(0xa0761d6478bd642f)
#define NULL_TERM UINT64_C(0x8ebc6af09c88c6e3)

static void more(uint64_t *hash, uint64_t x, uint64_t y, uint64_t seed)
{
    *hash = sc_hash_mix(*hash ^ x, y ^ seed ^ UINT64_C(0x9e3779b97f4a7c15));
}

static uint64_t term_of_address(const struct sc_addr *address, uint64_t seed)
{
    return sc_hash_mix(sc_load_le64(address->b + 8) ^ seed, sc_load_le64(address->b) ^ ADDRESSES);
}

static void hash_addresses(const struct sc_key_rows *key, const uint64_t *terms, const uint32_t *rows,
                           uint32_t n, uint64_t seed, struct hashes *h)
{
    const struct sc_column *dict = key->codes;
    if (terms != NULL) {
        SC_EACH_CODE(more(&h->of[j], terms[code], 0, seed));
        return;
    }
    for (uint32_t j = 0; j < n; j++) {
        bool null = !key->numbers.all_valid && !sc_row_is_set(key->numbers.valid, rows[j]);
        const struct sc_addr *address =
            key->addresses + (dict == NULL ? rows[j] : sc_column_code(dict, rows[j]));
        more(&h->of[j], null ? NULL_TERM : term_of_address(address, seed), 0, seed);
    }
}

static void hash_integers(const struct sc_row_values *v, const uint32_t *rows, uint32_t n, uint64_t seed,
                          struct hashes *h)
{
    uint64_t values[SC_GROUP_CHUNK];
    sc_group_take_values(v, rows, n, values);
    for (uint32_t j = 0; j < n && !v->all_valid; j++)
        values[j] += !sc_row_is_set(v->valid, rows[j]) ? UINT64_C(1) << 63 : 0;
    for (uint32_t j = 0; j < n && h->waits; j++)
        more(&h->of[j], h->before[j], values[j], seed);
    if (!h->waits)
        memcpy(h->before, values, n * sizeof(values[0]));
    h->waits = !h->waits;
}

/* Strings have other numbers in each thread: of these the packed key has the hash. */
static void hash_rows(struct sc_groups *groups, const struct sc_key_rows *const *keys, uint64_t *const *terms,
                      const uint32_t *rows, uint32_t n, struct hashes *h)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_packed *packed = &groups->scratch->packed;
    h->waits = false;
    if (a->interns) {
        sc_group_pack(groups, packed, keys, rows, n);
        memcpy(h->of, packed->hashes, n * sizeof(h->of[0]));
        return;
    }
    for (uint32_t j = 0; j < n; j++)
        h->of[j] = sc_hash_begin(a->seed);
    for (uint32_t k = 0; k < a->key_count; k++) {
        if (a->keys[k].address)
            hash_addresses(keys[k], terms[k], rows, n, a->seed, h);
        else
            hash_integers(&keys[k]->numbers, rows, n, a->seed, h);
    }
    for (uint32_t j = 0; j < n; j++) {
        if (h->waits)
            more(&h->of[j], h->before[j], 0, a->seed);
        h->of[j] = sc_hash_end(h->of[j]);
    }
}

/* Of each code of a dictionary what its address adds to a hash, and behind the last that of null. */
static uint64_t *make_terms(const struct sc_groups *groups, struct sc_row_group *group,
                            const struct sc_key_rows *key)
{
    uint32_t codes = key->codes->dict.count;
    uint64_t *terms = sc_arena_alloc(&group->context->arena, ((size_t)codes + 1) * sizeof(*terms));
    for (uint32_t code = 0; code < codes && terms != NULL; code++)
        terms[code] = term_of_address(&key->addresses[code], groups->aggregate->seed);
    if (terms != NULL)
        terms[codes] = NULL_TERM;
    return terms;
}

/* Where there are about as many rows as codes; keys of the same addresses share them. Without memory there are none. */
static void make_all_terms(const struct sc_groups *groups, struct sc_row_group *group,
                           const struct sc_key_rows *const *keys, uint32_t rows, uint64_t **terms)
{
    const struct sc_aggregate *a = groups->aggregate;
    for (uint32_t k = 0; k < a->key_count; k++) {
        const struct sc_column *dict = a->keys[k].address ? keys[k]->codes : NULL;
        terms[k] = NULL;
        if (dict == NULL || dict->form != SC_FORM_DICT || rows < dict->dict.count / 2)
            continue;
        for (uint32_t same = 0; same < k && terms[k] == NULL; same++) {
            if (a->keys[same].address && keys[same]->addresses == keys[k]->addresses)
                terms[k] = terms[same];
        }
        if (terms[k] == NULL)
            terms[k] = make_terms(groups, group, keys[k]);
    }
}

/* Of the only key, by the code of its dictionary. */
static uint64_t hash_of_code(const struct sc_groups *groups, const struct sc_key_rows *key, uint32_t code)
{
    uint64_t seed = groups->aggregate->seed, hash = sc_hash_begin(seed);
    more(&hash, code == key->codes->dict.count ? NULL_TERM : term_of_address(&key->addresses[code], seed), 0,
         seed);
    return sc_hash_end(hash);
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

void sc_cells_add(struct sc_groups *groups, struct sc_row_group *group, const struct sc_key_rows *const *keys,
                  const uint32_t *rows, uint32_t count)
{
    uint64_t values[SC_GROUP_CHUNK], *terms[SC_MAX_KEYS];
    struct hashes h;
    make_all_terms(groups, group, keys, count, terms);
    for (uint32_t i = 0, n; i < count; i += n) {
        n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        hash_rows(groups, keys, terms, rows + i, n, &h);
        sc_group_take_values(&groups->scratch->accumulators[0], rows + i, n, values);
        add_sums(groups, h.of, values, n);
    }
}

/* ---- of one address, by codes ---- */

/* What each code of the row group has, and behind the last one null; `sums` is zero. */
static void sum_codes(const struct sc_group_scratch *s, const struct sc_column *dict, const uint32_t *all,
                      uint32_t count, uint64_t *sums)
{
    uint64_t values[SC_GROUP_CHUNK];
    for (uint32_t i = 0, n; i < count; i += n) {
        const uint32_t *rows = all + i;
        n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        sc_group_take_values(&s->accumulators[0], rows, n, values);
        if (s->sums_fit)
            SC_EACH_CODE(sums[code] += values[j]);
        else
            SC_EACH_CODE(sums[code] = sc_add_saturated(sums[code], values[j]));
    }
}

static void add_codes(struct sc_groups *groups, const struct sc_key_rows *key, const uint64_t *sums,
                      const uint32_t *codes, uint32_t n)
{
    uint64_t hashes[SC_GROUP_CHUNK], values[SC_GROUP_CHUNK];
    for (uint32_t j = 0; j < n; j++) {
        hashes[j] = hash_of_code(groups, key, codes[j]);
        values[j] = sums[codes[j]];
    }
    add_sums(groups, hashes, values, n);
}

enum sc_status sc_cells_add_coded(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_key_rows *key, const uint32_t *rows, uint32_t count)
{
    const struct sc_column *dict = key->codes;
    uint32_t codes = dict->dict.count, n = 0;
    uint64_t *sums = sc_arena_zalloc(&group->context->arena, ((size_t)codes + 1) * sizeof(*sums));
    uint32_t some[SC_GROUP_CHUNK] = {0};
    if (sums == NULL)
        return SC_NOMEM;
    sum_codes(groups->scratch, dict, rows, count, sums);
    for (uint32_t code = 0; code <= codes; code++) {
        some[n] = code;
        n += sums[code] != 0;
        if (n == SC_GROUP_CHUNK || code == codes) {
            add_codes(groups, key, sums, some, n);
            n = 0;
        }
    }
    return SC_OK;
}

/* ---- rows of chosen cells ---- */

static bool is_chosen(const struct sc_groups *groups, uint64_t hash)
{
    uint64_t cell = cell_of(hash, groups->hash_bits);
    return (groups->chosen[cell / 64] >> (cell % 64) & 1) != 0;
}

uint32_t sc_cells_drop_codes(struct sc_groups *groups, struct sc_row_group *group,
                             const struct sc_key_rows *key, uint32_t *rows, uint32_t n)
{
    const struct sc_column *dict = key->codes;
    uint8_t *marks = sc_arena_alloc(&group->context->arena, (size_t)dict->dict.count + 1);
    uint32_t left = 0;
    if (marks == NULL)
        return UINT32_MAX;
    for (uint32_t code = 0; code <= dict->dict.count; code++)
        marks[code] = is_chosen(groups, hash_of_code(groups, key, code));
    SC_EACH_CODE(rows[left] = rows[j]; left += marks[code]);
    return left;
}

uint32_t sc_cells_drop(struct sc_groups *groups, struct sc_row_group *group,
                       const struct sc_key_rows *const *keys, const struct sc_key_rows *const *others,
                       uint32_t *rows, uint32_t count)
{
    uint64_t *terms[SC_MAX_KEYS], *other_terms[SC_MAX_KEYS];
    struct hashes h, other;
    uint32_t left = 0;
    make_all_terms(groups, group, keys, count, terms);
    if (others != NULL)
        make_all_terms(groups, group, others, count, other_terms);
    for (uint32_t i = 0, n; i < count; i += n) {
        n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        hash_rows(groups, keys, terms, rows + i, n, &h);
        if (others != NULL)
            hash_rows(groups, others, other_terms, rows + i, n, &other);
        for (uint32_t j = 0; j < n; j++) {
            rows[left] = rows[i + j];
            left += is_chosen(groups, h.of[j]) || (others != NULL && is_chosen(groups, other.of[j]));
        }
    }
    return left;
}
