// SPDX-License-Identifier: BSD-3-Clause
#include "group/fold.h"

#include "base/sort.h"

#include <stdlib.h>

#define BATCH 64u /* entries whose cache misses overlap */

struct projected {
    uint8_t keys[BATCH][SC_MOST_KEY_BYTES + 4];
    uint64_t hashes[BATCH];
    enum sc_key_layout layouts[BATCH];
    bool absent[BATCH];
};

/* The hash of F, the same at all ranks; false where it is null. */
static bool hash_value(const struct sc_groups *from, const uint8_t *entry, uint64_t *hash)
{
    const struct sc_aggregate *a = from->aggregate;
    const struct sc_result_column column = {.source = SC_RESULT_KEY, .a = a->key_count - 1};
    const struct sc_group_key *key = &a->keys[a->key_count - 1];
    struct sc_value v = sc_groups_value(from, entry, &column);
    if (key->address)
        *hash = sc_hash_pair(sc_load_le64(v.addr.b), sc_load_le64(v.addr.b + 8), a->seed);
    else if (key->interned && !v.null)
        *hash = sc_hash_bytes(v.bytes, v.length, a->seed);
    else
        *hash = sc_hash_u64(v.u, a->seed);
    return !v.null;
}

/* What the register of an entry of values is told. */
static uint64_t put_register(const struct sc_folding *f, const uint8_t *entry, enum sc_key_layout layout,
                             uint8_t *key)
{
    const struct sc_aggregate *a = f->to->aggregate;
    uint64_t hash;
    if (!hash_value(f->from, entry, &hash)) {
        sc_key_set_head(a, key, sc_key_head(a, key) | SC_HEAD_NULL(a->key_count - 1));
        return 0;
    }
    hash = sc_hash_end(hash ^ a->seed); /* other bits than those by which entries were dealt out */
    sc_store_le16(key + a->keys[a->key_count - 1].at[layout], (uint16_t)(hash >> (64 - SC_REGISTER_BITS)));
    uint64_t rest = hash << SC_REGISTER_BITS;
    unsigned zeros = rest == 0 ? SC_MOST_ZEROS : (unsigned)__builtin_clzll(rest);
    return 1 + (zeros < SC_MOST_ZEROS ? zeros : SC_MOST_ZEROS);
}

/* Where the groups of `to` are closed a string of no group makes the key absent. False without memory. */
static bool project_strings(const struct sc_folding *f, uint8_t *key, bool *absent)
{
    const struct sc_string_transfer strings = {&f->to->interner, &f->from->interner};
    bool known =
        sc_key_renumber(f->to->aggregate, key, f->to->closed ? sc_string_find : sc_string_add, &strings);
    *absent = !known && f->to->closed;
    return known || f->to->closed;
}

static bool project(const struct sc_folding *f, const uint8_t *entry, uint32_t j, struct projected *p,
                    uint64_t *told)
{
    p->layouts[j] =
        sc_key_project(f->to->aggregate, f->from->aggregate, entry + f->from->aggregate->key_at, p->keys[j]);
    if (f->to == f->values->estimated)
        *told = put_register(f, entry, p->layouts[j], p->keys[j]);
    if (!project_strings(f, p->keys[j], &p->absent[j]))
        return false;
    p->hashes[j] = sc_groups_hash(f->to, p->layouts[j], p->keys[j]);
    sc_groups_prefetch_slot(f->to, p->layouts[j], p->hashes[j]);
    return true;
}

/* The groups of up to BATCH entries; NULL where they are closed and have none. */
static enum sc_status find_each(const struct sc_folding *f, struct projected *p, uint32_t n, uint8_t **out)
{
    for (uint32_t j = 0; j < n; j++)
        sc_groups_prefetch_entry(f->to, p->layouts[j], p->hashes[j]);
    for (uint32_t j = 0; j < n; j++) {
        out[j] = p->absent[j] ? NULL : sc_groups_find(f->to, p->layouts[j], p->keys[j], p->hashes[j]);
        if (out[j] == NULL && !f->to->closed)
            return SC_NOMEM;
    }
    return SC_OK;
}

static void accumulate(const struct sc_aggregate *a, uint8_t *entry, uint32_t accumulator, uint64_t value)
{
    sc_accumulate(a->accumulators[accumulator].how, entry + (size_t)8 * accumulator, value);
    sc_entry_set_seen(a, entry, sc_entry_seen(a, entry) | UINT64_C(1) << accumulator);
}

/* 2^-value, times what makes it whole. A register of a peer may hold anything. */
static uint64_t share_of_register(uint64_t value)
{
    return UINT64_C(1) << (value > SC_MOST_ZEROS ? 0 : 1 + SC_MOST_ZEROS - value);
}

/* One value, or one register, of a group. */
static void count_value(const struct sc_folding *f, const uint8_t *entry, uint8_t *group)
{
    const struct sc_aggregate *of = f->from->aggregate;
    bool null = (sc_key_head(of, entry + of->key_at) & SC_HEAD_NULL(of->key_count - 1)) != 0;
    accumulate(f->to->aggregate, group, f->values->distinct, !null);
    if (of->keys[of->key_count - 1].cell == SC_CELL_REGISTER)
        accumulate(f->to->aggregate, group, f->values->harmonic,
                   null ? 0 : share_of_register(sc_load_le64(entry)));
}

/* What is told of up to BATCH entries, to their groups or registers. */
static enum sc_status fold_batch(struct sc_folding *f, const uint8_t *entries, uint32_t bytes, uint32_t n)
{
    struct projected p;
    uint8_t *groups[BATCH];
    uint64_t told[BATCH];
    for (uint32_t j = 0; j < n; j++) {
        if (!project(f, entries + (size_t)j * bytes, j, &p, &told[j]))
            return SC_NOMEM;
    }
    SC_TRY(find_each(f, &p, n, groups));
    for (uint32_t j = 0; j < n; j++) {
        if (groups[j] != NULL && f->to == f->values->estimated)
            accumulate(f->to->aggregate, groups[j], 0, told[j]);
        else if (groups[j] != NULL)
            count_value(f, entries + (size_t)j * bytes, groups[j]);
    }
    return SC_OK;
}

enum sc_status sc_fold_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries, uint32_t count)
{
    struct sc_folding *f = arg;
    uint32_t bytes = f->from->aggregate->entry_bytes[layout];
    for (uint32_t i = 0; i < count; i += BATCH)
        SC_TRY(fold_batch(f, entries + (size_t)i * bytes, bytes, count - i < BATCH ? count - i : BATCH));
    return SC_OK;
}

/* ---- what is counted already ---- */

enum sc_status sc_fold_counted(const struct sc_folding *f, enum sc_key_layout layout,
                               const struct sc_counted *counted, uint32_t count)
{
    const struct sc_aggregate *to = f->to->aggregate;
    uint64_t hashes[SC_COUNTED];
    for (uint32_t j = 0; j < count; j++) {
        hashes[j] = sc_key_hash_bytes(counted[j].key, to->key_bytes[layout], to->seed);
        sc_groups_prefetch_slot(f->to, layout, hashes[j]);
    }
    for (uint32_t j = 0; j < count; j++)
        sc_groups_prefetch_entry(f->to, layout, hashes[j]);
    for (uint32_t j = 0; j < count; j++) {
        uint8_t *group = sc_groups_find(f->to, layout, counted[j].key, hashes[j]);
        if (group != NULL)
            accumulate(to, group, f->values->distinct, counted[j].values);
        else if (!f->to->closed)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* ---- percentiles ---- */

static uint64_t cell_of(const struct sc_aggregate *a, const uint8_t *entry)
{
    const struct sc_group_key *last = &a->keys[a->key_count - 1];
    return sc_load_le64(entry + a->key_at + last->at[sc_entry_layout(a, entry)]);
}

static bool cell_is_null(const struct sc_aggregate *a, const uint8_t *entry)
{
    return (sc_key_head(a, entry + a->key_at) & SC_HEAD_NULL(a->key_count - 1)) != 0;
}

/* The keys but the last, of two entries of one layout. */
static int compare_keys(const struct sc_aggregate *a, const uint8_t *x, const uint8_t *y)
{
    uint32_t mask = ~SC_HEAD_NULL(a->key_count - 1), bytes = sc_head_bytes(a);
    uint32_t p = sc_key_head(a, x + a->key_at) & mask, q = sc_key_head(a, y + a->key_at) & mask;
    if (p != q)
        return p < q ? -1 : 1;
    return memcmp(x + a->key_at + bytes, y + a->key_at + bytes,
                  a->keys[a->key_count - 1].at[p & SC_HEAD_LAYOUT] - bytes);
}

struct cells {
    const struct sc_aggregate *aggregate;
    const uint8_t **entries;
};

/* Group by group the cells by their values, null last. */
static int compare_cells(const void *x, const void *y, void *arg)
{
    const struct sc_aggregate *a = ((const struct cells *)arg)->aggregate;
    const uint8_t *p = *(const uint8_t *const *)x, *q = *(const uint8_t *const *)y;
    int order = compare_keys(a, p, q);
    if (order != 0)
        return order;
    if (cell_is_null(a, p) || cell_is_null(a, q))
        return cell_is_null(a, p) - cell_is_null(a, q);
    uint64_t u = cell_of(a, p), v = cell_of(a, q);
    return u < v ? -1 : u > v;
}

/* The middle of the cell in which the value of that rank lies. */
static uint64_t value_of_rank(const struct sc_aggregate *a, const uint8_t *const *cells, uint64_t rank)
{
    uint64_t before = 0;
    while ((before = sc_add_saturated(before, sc_load_le64(*cells))) < rank)
        cells++;
    uint64_t value = cell_of(a, *cells);
    return value | UINT64_C(1) << sc_cell_bits(value) >> 1;
}

/* The cells of one group. */
static enum sc_status put_percentiles(const struct sc_folding *f, const uint8_t *const *cells, uint32_t count)
{
    const struct sc_aggregate *a = f->to->aggregate, *of = f->from->aggregate;
    struct projected p;
    uint8_t *group;
    uint64_t all = 0, unused;
    for (uint32_t i = 0; i < count && !cell_is_null(of, cells[i]); i++)
        all = sc_add_saturated(all, sc_load_le64(cells[i]));
    if (!project(f, cells[0], 0, &p, &unused))
        return SC_NOMEM;
    SC_TRY(find_each(f, &p, 1, &group));
    for (uint32_t left = group == NULL || all == 0 ? 0 : f->values->made; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left), permille = a->accumulators[i].permille;
        uint64_t rank = all / 1000 * permille + (all % 1000 * permille + 999) / 1000;
        accumulate(a, group, i, value_of_rank(of, cells, rank == 0 ? 1 : rank));
    }
    return SC_OK;
}

static enum sc_status list_cells(void *arg, enum sc_key_layout layout, const uint8_t *entries, uint32_t count)
{
    struct cells *cells = arg;
    uint32_t bytes = cells->aggregate->entry_bytes[layout];
    for (uint32_t i = 0; i < count; i++)
        *cells->entries++ = entries + (size_t)i * bytes;
    return SC_OK;
}

enum sc_status sc_fold_cells(const struct sc_folding *f, const struct sc_partition *p)
{
    const struct sc_aggregate *a = f->from->aggregate;
    const uint8_t **entries = malloc(((size_t)p->count + 1) * sizeof(*entries));
    if (entries == NULL)
        return SC_NOMEM;
    struct cells cells = {a, entries};
    enum sc_status status = sc_partition_each(p, list_cells, &cells);
    if (status == SC_OK)
        status = sc_sort(entries, p->count, sizeof(*entries), compare_cells, &cells, f->from->cancel);
    for (uint32_t i = 0, end; i < p->count && status == SC_OK; i = end) {
        for (end = i + 1; end < p->count && compare_keys(a, entries[i], entries[end]) == 0;)
            end++;
        status = put_percentiles(f, entries + i, end - i);
    }
    free(entries);
    return status;
}
