// SPDX-License-Identifier: BSD-3-Clause
#include "group/values.h"

#include "base/sort.h"
#include "group/direct.h"
#include "group/part.h"

#include <math.h>
#include <stdlib.h>

#define BATCH 64u /* entries whose cache misses overlap */

/* ---- what there is ---- */

static bool same_values(const struct sc_accumulator *x, const struct sc_accumulator *y)
{
    struct sc_accumulator a = *x, b = *y;
    a.permille = b.permille = 0;
    a.how = a.how == SC_ACCUMULATE_HARMONIC ? SC_ACCUMULATE_DISTINCT : a.how;
    b.how = b.how == SC_ACCUMULATE_HARMONIC ? SC_ACCUMULATE_DISTINCT : b.how;
    return sc_accumulator_same(&a, &b);
}

/* The accumulators that are to be made of the same values as the i-th, a bit for each. */
static uint32_t made_with(const struct sc_groups *groups, uint32_t i)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint32_t made = 0;
    for (uint32_t k = 0; k < a->accumulator_count && !sc_accumulates_rows(a->accumulators[i].how); k++)
        made |= (uint32_t)same_values(&a->accumulators[k], &a->accumulators[i]) << k;
    return made & ~groups->known;
}

/* Whether accumulator i is the first of these. */
static bool begins(const struct sc_groups *groups, uint32_t i)
{
    uint32_t made = made_with(groups, i);
    return made != 0 && (uint32_t)__builtin_ctz(made) == i;
}

static uint32_t count_values(const struct sc_groups *groups)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < groups->aggregate->accumulator_count; i++)
        count += begins(groups, i);
    return count;
}

bool sc_values_wanted(const struct sc_groups *groups)
{
    return count_values(groups) != 0;
}

static bool is_percentile(const struct sc_values *v)
{
    return v->of->how == SC_ACCUMULATE_PERCENTILE;
}

/* The keys of `a` and one more. */
static void add_key(const struct sc_aggregate *a, const struct sc_group_key *key, struct sc_aggregate *out)
{
    *out = *a;
    out->accumulator_count = 0;
    out->keys[out->key_count++] = *key;
}

static void plan(const struct sc_aggregate *a, const struct sc_accumulator *of, struct sc_values *v)
{
    const struct sc_group_key number = {.field.type = SC_VALUE_UINT, .cell = SC_CELL_REGISTER};
    struct sc_group_key key = of->key;
    struct sc_accumulator most = {.how = SC_ACCUMULATE_MAX}, how_many = {.how = SC_ACCUMULATE_COUNT};
    v->of = of;
    for (uint32_t left = v->made; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        v->distinct = a->accumulators[i].how == SC_ACCUMULATE_DISTINCT ? i : v->distinct;
        v->harmonic = a->accumulators[i].how == SC_ACCUMULATE_HARMONIC ? i : v->harmonic;
    }
    how_many.field = key.field;
    key.cell = is_percentile(v) ? SC_CELL_LOGARITHM : SC_CELL_ALL;
    add_key(a, &key, &v->aggregate);
    if (is_percentile(v))
        (void)sc_aggregate_add_like(&v->aggregate, &how_many);
    sc_aggregate_prepare(&v->aggregate);
    add_key(a, &number, &v->registers);
    (void)sc_aggregate_add_like(&v->registers, &most);
    sc_aggregate_prepare(&v->registers);
}

static bool make_exact(const struct sc_groups *groups, struct sc_values *v, uint32_t count)
{
    v->exact = sc_groups_create(&v->aggregate);
    if (v->exact == NULL)
        return false;
    v->exact->cancel = groups->cancel;
    uint64_t budget = groups->spill.budget / count;
    sc_groups_set_spill_budget(v->exact, v->bound != 0 && v->bound / 2 < budget ? v->bound / 2 : budget);
    if (v->bound != 0 && (v->again_at != 0 || is_percentile(v))) {
        v->exact->spill.limit = groups->spill.limit;
        v->exact->spill.memory = v->bound;
    }
    return true;
}

enum sc_status sc_values_create(struct sc_groups *groups)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint32_t count = count_values(groups);
    if (groups->values != NULL || count == 0)
        return groups->value_count == count ? SC_OK : SC_NOMEM; /* what could not be made stays so */
    groups->values = calloc(count, sizeof(*groups->values));
    if (groups->values == NULL)
        return SC_NOMEM;
    struct sc_values *v = groups->values;
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if (!begins(groups, i))
            continue;
        v->bound = groups->spill.memory / count;
        v->made = made_with(groups, i);
        plan(a, &a->accumulators[i], v);
        if (!make_exact(groups, v++, count))
            return SC_NOMEM;
        groups->value_count++;
    }
    return SC_OK;
}

void sc_values_free(struct sc_groups *groups)
{
    for (uint32_t i = 0; i < groups->value_count; i++) {
        sc_plain_free(groups->values[i].exact);
        sc_plain_free(groups->values[i].estimated);
    }
    free(groups->values);
    groups->values = NULL;
    groups->value_count = 0;
}

void sc_values_set_cancel(struct sc_groups *groups)
{
    for (uint32_t i = 0; i < groups->value_count; i++) {
        groups->values[i].exact->cancel = groups->cancel;
        if (groups->values[i].estimated != NULL)
            groups->values[i].estimated->cancel = groups->cancel;
    }
}

static size_t memory_of(const struct sc_values *v)
{
    return sc_plain_memory(v->exact) + (v->estimated == NULL ? 0 : sc_plain_memory(v->estimated));
}

size_t sc_values_memory(const struct sc_groups *groups)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < groups->value_count; i++)
        bytes += memory_of(&groups->values[i]);
    return bytes;
}

/* ---- entries of values to entries of groups ---- */

struct folding {
    struct sc_groups *to;
    const struct sc_groups *from;
    const struct sc_values *values;
};

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
static uint64_t put_register(const struct folding *f, const uint8_t *entry, enum sc_key_layout layout,
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
static bool project_strings(const struct folding *f, uint8_t *key, bool *absent)
{
    const struct sc_string_transfer strings = {&f->to->interner, &f->from->interner};
    bool known =
        sc_key_renumber(f->to->aggregate, key, f->to->closed ? sc_string_find : sc_string_add, &strings);
    *absent = !known && f->to->closed;
    return known || f->to->closed;
}

static bool project(const struct folding *f, const uint8_t *entry, uint32_t j, struct projected *p,
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
static enum sc_status find_each(const struct folding *f, struct projected *p, uint32_t n, uint8_t **out)
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
static void count_value(const struct folding *f, const uint8_t *entry, uint8_t *group)
{
    const struct sc_aggregate *of = f->from->aggregate;
    bool null = (sc_key_head(of, entry + of->key_at) & SC_HEAD_NULL(of->key_count - 1)) != 0;
    accumulate(f->to->aggregate, group, f->values->distinct, !null);
    if (of->keys[of->key_count - 1].cell == SC_CELL_REGISTER)
        accumulate(f->to->aggregate, group, f->values->harmonic,
                   null ? 0 : share_of_register(sc_load_le64(entry)));
}

/* What is told of up to BATCH entries, to their groups or registers. */
static enum sc_status fold_batch(struct folding *f, const uint8_t *entries, uint32_t bytes, uint32_t n)
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

static enum sc_status fold_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                   uint32_t count)
{
    struct folding *f = arg;
    uint32_t bytes = f->from->aggregate->entry_bytes[layout];
    for (uint32_t i = 0; i < count; i += BATCH)
        SC_TRY(fold_batch(f, entries + (size_t)i * bytes, bytes, count - i < BATCH ? count - i : BATCH));
    return SC_OK;
}

/* ---- estimates ---- */

/* All values to registers. */
static enum sc_status estimate(const struct sc_groups *groups, struct sc_values *v)
{
    if (v->estimated == NULL)
        v->estimated = sc_groups_create(&v->registers);
    if (v->estimated == NULL || !sc_groups_settle_direct(v->exact))
        return SC_NOMEM;
    v->estimated->cancel = groups->cancel;
    struct folding f = {.to = v->estimated, .from = v->exact, .values = v};
    enum sc_status status = sc_groups_each(v->exact, fold_entries, &f);
    sc_plain_free(v->exact);
    v->exact = NULL;
    v->again_at = 0; /* what comes goes to the registers as soon as it passes the bound */
    return status != SC_OK || make_exact(groups, v, groups->value_count) ? status : SC_NOMEM;
}

static enum sc_status copy_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                   uint32_t count)
{
    const struct folding *f = arg;
    for (uint32_t i = 0; i < count; i++)
        SC_TRY(sc_groups_seed(f->to, f->from, entries + (size_t)i * f->from->aggregate->entry_bytes[layout]));
    return SC_OK;
}

/* By the groups of one partition of the values of each layout: how many registers all values would have, and what part of them that is. */
static bool registers_are_fewer(const struct sc_groups *groups, const struct sc_values *v)
{
    const double share = 1u << SC_PARTITION_BITS;
    double values = 0, registers = 0;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        for (uint32_t n = 0; n < p->count; n++) {
            double count = share * (double)sc_load_le64(sc_partition_entry(p, n) + (size_t)8 * v->distinct);
            values += count;
            registers += SC_REGISTERS * (1 - exp(-count / SC_REGISTERS));
        }
    }
    return registers < values / 2;
}

/* Whether an estimate would take less than half of what the values take. */
static enum sc_status spares_any(const struct sc_groups *groups, const struct sc_values *v, bool *spares)
{
    struct sc_groups *some = sc_groups_create(&v->aggregate), *of = sc_groups_create(groups->aggregate);
    struct folding copy = {.to = some, .from = v->exact}, f = {.to = of, .from = some, .values = v};
    bool room = some != NULL && of != NULL && sc_groups_settle_direct(v->exact);
    enum sc_status status = room ? SC_OK : SC_NOMEM;
    for (unsigned layout = 0; layout < SC_KEY_LAYOUTS && status == SC_OK; layout++)
        status = sc_groups_each_of(v->exact, layout << SC_PARTITION_BITS, copy_entries, &copy);
    if (status == SC_OK)
        status = sc_groups_each(some, fold_entries, &f);
    *spares = status == SC_OK && registers_are_fewer(of, v);
    sc_plain_free(some);
    sc_plain_free(of);
    return status;
}

/* What does not fit goes to a file where an estimate spares nothing. */
static enum sc_status consider_estimate(struct sc_groups *groups, struct sc_values *v)
{
    uint64_t entries = sc_groups_entries(v->exact);
    bool spares = v->estimated != NULL;
    if (is_percentile(v) || v->bound == 0 || entries < v->again_at ||
        (v->again_at == 0 && sc_plain_memory(v->exact) <= v->bound))
        return SC_OK;
    if (!spares)
        SC_TRY(spares_any(groups, v, &spares));
    if (spares)
        return estimate(groups, v);
    v->again_at = 2 * entries;
    v->exact->spill.limit = groups->spill.limit;
    v->exact->spill.memory = v->bound;
    return SC_OK;
}

static enum sc_status add_rows(struct sc_groups *groups, struct sc_row_group *group,
                               const struct sc_selection *selection, struct sc_error *err)
{
    struct sc_rows_left rows;
    enum sc_status status = sc_rows_prepare(groups, group, selection, &rows, err);
    if (status == SC_OK)
        status = sc_rows_add(groups, group, &rows, err);
    sc_rows_done(group, &rows);
    return status;
}

enum sc_status sc_values_add_rows(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_selection *selection, struct sc_error *err)
{
    if (sc_values_create(groups) != SC_OK)
        return sc_fail_nomem(err, "groups");
    for (uint32_t i = 0; i < groups->value_count; i++) {
        struct sc_values *v = &groups->values[i];
        SC_TRY(add_rows(v->exact, group, selection, err));
        enum sc_status status = consider_estimate(groups, v);
        if (status != SC_OK)
            return status == SC_FULL
                       ? sc_fail(err, SC_FULL,
                                 "values that did not fit the memory limit cannot be read back from $TMPDIR")
                       : sc_fail_nomem(err, "groups");
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
static enum sc_status put_percentiles(const struct folding *f, const uint8_t *const *cells, uint32_t count)
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

static enum sc_status fold_cells(struct folding *f, const struct sc_partition *p)
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

/* ---- partial results put together ---- */

struct value_join {
    struct sc_groups *const *into; /* of each thread */
    const struct sc_values *values;
};

static enum sc_status fold_partition(void *arg, unsigned thread, struct sc_groups *from,
                                     struct sc_partition *p)
{
    const struct value_join *join = arg;
    struct folding f = {.to = join->into[thread], .from = from, .values = join->values};
    f.to->most = SC_SATURATED;
    if (is_percentile(f.values))
        SC_TRY(fold_cells(&f, p));
    else
        SC_TRY(sc_partition_each(p, fold_entries, &f));
    return f.to->closed ? SC_OK : sc_groups_consider_spill(f.to, p->count);
}

/* The i-th values of all are of one kind then. */
static enum sc_status agree(struct sc_groups *const *partials, uint32_t count, uint32_t i)
{
    bool any = false;
    for (uint32_t p = 0; p < count; p++)
        any = any || partials[p]->values[i].estimated != NULL;
    for (uint32_t p = 0; p < count && any; p++)
        SC_TRY(estimate(partials[p], &partials[p]->values[i]));
    return SC_OK;
}

static enum sc_status join_values(struct sc_groups *const *partials, uint32_t count, uint32_t i,
                                  unsigned threads, struct sc_error *err)
{
    struct value_join join = {.into = partials, .values = &partials[0]->values[i]};
    struct sc_groups **list = malloc(((size_t)count + 1) * sizeof(struct sc_groups *));
    enum sc_status status = list == NULL ? SC_NOMEM : agree(partials, count, i);
    if (status != SC_OK) {
        free(list);
        return sc_fail_nomem(err, "merging groups");
    }
    for (uint32_t p = 0; p < count; p++)
        list[p] = *sc_groups_values(partials[p], i);
    status = partials[0]->keep_values ? sc_plain_join(list, count, NULL, threads, err)
                                      : sc_plain_join_to(list, count, fold_partition, &join,
                                                         threads < count ? threads : count, err);
    free(list);
    return status;
}

enum sc_status sc_values_join(struct sc_groups *const *partials, uint32_t count, unsigned threads,
                              struct sc_error *err)
{
    bool any = false;
    for (uint32_t p = 0; p < count; p++)
        any = any || partials[p]->value_count != 0;
    for (uint32_t p = 0; p < count && any; p++) {
        if (sc_values_create(partials[p]) != SC_OK)
            return sc_fail_nomem(err, "merging groups");
    }
    for (uint32_t i = 0; i < partials[0]->value_count; i++)
        SC_TRY(join_values(partials, count, i, threads, err));
    for (uint32_t p = partials[0]->keep_values; p < count; p++)
        sc_values_free(partials[p]);
    return SC_OK;
}

/* ---- for a planner ---- */

enum sc_status sc_groups_make_values(struct sc_groups *groups, uint32_t *count)
{
    *count = count_values(groups);
    return sc_values_create(groups);
}

const struct sc_aggregate *sc_groups_aggregate(const struct sc_groups *groups)
{
    return groups->aggregate;
}

struct sc_groups **sc_groups_values(struct sc_groups *groups, uint32_t i)
{
    struct sc_values *v = &groups->values[i];
    return v->estimated != NULL ? &v->estimated : &v->exact;
}

bool sc_groups_values_estimated(const struct sc_groups *groups, uint32_t i)
{
    return groups->values[i].estimated != NULL;
}

enum sc_status sc_groups_estimate_values(struct sc_groups *groups, uint32_t i)
{
    return estimate(groups, &groups->values[i]);
}
