// SPDX-License-Identifier: BSD-3-Clause
#include "group/values.h"

#include "group/beside.h"
#include "group/direct.h"
#include "group/fold.h"
#include "group/part.h"

#include <math.h>
#include <stdlib.h>

#define TRIED_BYTES (384u << 10)
#define CROWDED     8u  /* a part of all in this many is too much for one thread */
#define FEW_BITS    16u /* of keys: so few groups do not need their values beside them */

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

/* Of the values that a key can have, about. */
static uint32_t bits_of(const struct sc_group_key *key)
{
    if (key->bucket != 0)
        return FEW_BITS;
    if (!key->address)
        return 8u * key->width[SC_KEY_NARROW];
    return key->prefix4 > key->prefix6 ? key->prefix4 : key->prefix6;
}

/* Whether there may be many groups. */
static bool are_many(const struct sc_aggregate *a)
{
    uint32_t bits = 0;
    for (uint32_t k = 0; k < a->key_count; k++)
        bits += bits_of(&a->keys[k]);
    return bits > FEW_BITS;
}

static void plan(const struct sc_groups *groups, const struct sc_accumulator *of, struct sc_values *v)
{
    const struct sc_aggregate *a = groups->aggregate;
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
    if (!groups->keep_values && !is_percentile(v) && !v->aggregate.interns && are_many(a)) {
        v->aggregate.beside = a;
        sc_aggregate_prepare(&v->aggregate);
    }
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
    if (sc_groups_fed(groups) != 0)
        groups->spill.memory /= 2; /* the other half is for the values */
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if (!begins(groups, i))
            continue;
        v->bound = groups->spill.memory / count;
        v->made = made_with(groups, i);
        plan(groups, &a->accumulators[i], v);
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

/* ---- beside their groups, or not ---- */

static enum sc_status move_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                   uint32_t count)
{
    struct sc_groups *to = arg;
    const struct sc_aggregate *a = to->aggregate;
    const uint8_t *key = entries + a->key_at;
    to->spill.apart = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++, key += a->entry_bytes[layout]) {
        if (sc_groups_append(to, layout, key, sc_groups_hash(to, layout, key)) == NULL)
            return SC_NOMEM;
    }
    return sc_groups_consider_spill(to, count);
}

/* The values leave their groups: they are dealt out by their own hashes. */
static enum sc_status leave(const struct sc_groups *groups, struct sc_values *v)
{
    struct sc_groups *from = v->exact;
    uint64_t apart = from->spill.apart;
    v->aggregate.beside = NULL;
    sc_aggregate_prepare(&v->aggregate);
    if (!make_exact(groups, v, groups->value_count)) {
        v->exact = from;
        return SC_NOMEM;
    }
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < SC_PARTITIONS && status == SC_OK; i++) {
        status = sc_groups_each_of(from, i, move_entries, v->exact);
        sc_partition_free(&from->partitions[i]);
    }
    v->exact->spill.apart = apart;
    sc_plain_free(from);
    return status;
}

static uint64_t bytes_held(const struct sc_groups *groups, uint32_t number)
{
    uint64_t bytes = 0;
    for (uint32_t layout = 0; layout < SC_KEY_LAYOUTS; layout++) {
        const struct sc_partition *p = &groups->partitions[layout << SC_PARTITION_BITS | number];
        bytes += sc_partition_held(p) * p->entry_bytes;
    }
    return bytes;
}

/* Bytes in the partitions of one number, which one thread puts together, where they are most, and in all. */
static uint64_t most_together(struct sc_groups *const *partials, uint32_t count, uint32_t i, uint64_t *all)
{
    uint64_t most = *all = 0;
    for (uint32_t number = 0; number < 1u << SC_PARTITION_BITS; number++) {
        uint64_t bytes = 0;
        for (uint32_t p = 0; p < count; p++)
            bytes += bytes_held(partials[p]->values[i].exact, number);
        most = bytes > most ? bytes : most;
        *all += bytes;
    }
    return most;
}

/* Whether few groups have most of them. */
static bool are_crowded(struct sc_groups *const *partials, uint32_t count, uint32_t i)
{
    uint64_t all, most = most_together(partials, count, i, &all);
    return all >= TRIED_BYTES && most > all / CROWDED;
}

/* The first ones tell, and now and then those that came since; whoever puts all together looks again. */
static enum sc_status consider_leaving(struct sc_groups *groups, uint32_t i)
{
    struct sc_values *v = &groups->values[i];
    uint64_t bytes = sc_groups_entries(v->exact) * v->aggregate.entry_bytes[SC_KEY_NARROW];
    if (v->aggregate.beside == NULL || bytes < TRIED_BYTES || bytes < v->tried_at)
        return SC_OK;
    v->tried_at = 2 * bytes;
    return are_crowded(&groups, 1, i) ? leave(groups, v) : SC_OK;
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
    struct sc_folding f = {.to = v->estimated, .from = v->exact, .values = v};
    enum sc_status status = sc_groups_each(v->exact, sc_fold_entries, &f);
    sc_plain_free(v->exact);
    v->exact = NULL;
    v->again_at = 0; /* what comes goes to the registers as soon as it passes the bound */
    return status != SC_OK || make_exact(groups, v, groups->value_count) ? status : SC_NOMEM;
}

/* Where values lie beside their groups a part of each group's, as others have in one partition. */
static bool is_of_sample(const struct sc_aggregate *a, enum sc_key_layout layout, const uint8_t *key)
{
    return a->beside == NULL || sc_key_hash_bytes(key, a->key_bytes[layout], a->seed) << SC_PARTITION_BITS >>
                                        (64 - SC_PARTITION_BITS) ==
                                    0;
}

static enum sc_status copy_sample(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                  uint32_t count)
{
    const struct sc_folding *f = arg;
    const struct sc_aggregate *a = f->from->aggregate;
    for (uint32_t i = 0; i < count; i++, entries += a->entry_bytes[layout]) {
        if (is_of_sample(a, layout, entries + a->key_at))
            SC_TRY(sc_groups_seed(f->to, f->from, entries));
    }
    return SC_OK;
}

/* By the groups of a sample, one value of so many: how many registers all values would have, and what part of them that is. */
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
    struct sc_folding copy = {.to = some, .from = v->exact}, f = {.to = of, .from = some, .values = v};
    bool room = some != NULL && of != NULL && sc_groups_settle_direct(v->exact);
    enum sc_status status = room ? SC_OK : SC_NOMEM;
    uint32_t step = v->aggregate.beside != NULL ? 1 : 1u << SC_PARTITION_BITS;
    for (uint32_t i = 0; i < SC_PARTITIONS && status == SC_OK; i += step)
        status = sc_groups_each_of(v->exact, i, copy_sample, &copy);
    if (status == SC_OK)
        status = sc_groups_each(some, sc_fold_entries, &f);
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
        enum sc_status status = consider_leaving(groups, i);
        status = status == SC_OK ? consider_estimate(groups, v) : status;
        if (status != SC_OK)
            return sc_groups_fail(groups, status, err);
    }
    return SC_OK;
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
    struct sc_folding f = {.to = join->into[thread], .from = from, .values = join->values};
    f.to->most = SC_SATURATED;
    if (is_percentile(f.values))
        SC_TRY(sc_fold_cells(&f, p));
    else
        SC_TRY(sc_partition_each(p, sc_fold_entries, &f));
    return f.to->closed ? SC_OK : sc_groups_consider_spill(f.to, p->count);
}

/* The i-th values of all are of one kind then. */
static enum sc_status agree(struct sc_groups *const *partials, uint32_t count, uint32_t i)
{
    bool any = false;
    for (uint32_t p = 0; p < count; p++)
        any = any || partials[p]->values[i].estimated != NULL;
    for (uint32_t p = 0; p < count && any; p++)
        SC_TRY(sc_groups_stopped(partials[p]) ? SC_CANCELLED
                                              : estimate(partials[p], &partials[p]->values[i]));
    return SC_OK;
}

static void list_values(struct sc_groups *const *partials, uint32_t count, uint32_t i, struct sc_groups **out)
{
    for (uint32_t p = 0; p < count; p++)
        out[p] = *sc_groups_values(partials[p], i);
}

/* The i-th, each thread to groups of its own, or with keep_values to those of the first. */
static enum sc_status join_apart(struct sc_groups *const *partials, uint32_t count, uint32_t i,
                                 unsigned threads, struct sc_error *err)
{
    struct value_join join = {.into = partials, .values = &partials[0]->values[i]};
    struct sc_groups **list = malloc(((size_t)count + 1) * sizeof(struct sc_groups *));
    if (list == NULL)
        return sc_fail_nomem(err, "merging groups");
    list_values(partials, count, i, list);
    enum sc_status status =
        partials[0]->keep_values
            ? sc_plain_join(list, count, NULL, NULL, threads, err)
            : sc_plain_join_to(list, count, fold_partition, &join, threads < count ? threads : count, err);
    free(list);
    return status;
}

static bool lie_beside(const struct sc_groups *groups, uint32_t i)
{
    return groups->values[i].aggregate.beside != NULL && !sc_groups_values_estimated(groups, i);
}

struct leave_job {
    struct sc_groups *const *partials;
    uint32_t count, values;
    uint32_t next; /* partial result, atomic */
    int failed;    /* enum sc_status, atomic */
};

static void *leave_main(void *arg)
{
    struct leave_job *job = arg;
    uint32_t p;
    while ((p = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->count) {
        enum sc_status status = SC_OK;
        if (sc_groups_stopped(job->partials[p]))
            status = SC_CANCELLED;
        else if (lie_beside(job->partials[p], job->values))
            status = leave(job->partials[p], &job->partials[p]->values[job->values]);
        if (status != SC_OK)
            __atomic_store_n(&job->failed, (int)status, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* What one thread would put together must not be too much for it, or for the memory; and all partial results are to have one way. */
static bool must_leave(struct sc_groups *const *partials, uint32_t count, uint32_t i, unsigned threads)
{
    uint64_t all, limit = partials[0]->spill.limit;
    uint32_t beside = 0;
    for (uint32_t p = 0; p < count; p++)
        beside += lie_beside(partials[p], i);
    if (beside != count)
        return beside != 0;
    return partials[0]->keep_values || are_crowded(partials, count, i) ||
           (limit != 0 && most_together(partials, count, i, &all) * threads > limit / 2);
}

static enum sc_status consider_leaving_all(struct sc_groups *const *partials, uint32_t count, uint32_t i,
                                           unsigned threads)
{
    struct leave_job job = {.partials = partials, .count = count, .values = i};
    if (must_leave(partials, count, i, threads))
        sc_groups_in_threads(leave_main, &job, threads);
    return (enum sc_status)job.failed;
}

/* Those that lie beside the groups, and the groups. */
static enum sc_status join_beside(struct sc_groups *const *partials, uint32_t count,
                                  const struct sc_keep *keep, unsigned threads, struct sc_error *err)
{
    uint32_t which = 0;
    for (uint32_t i = 0; i < partials[0]->value_count; i++)
        which |= (uint32_t)lie_beside(partials[0], i) << i;
    return which == 0 ? sc_plain_join(partials, count, NULL, keep, threads, err)
                      : sc_beside_join(partials, count, which, keep, threads, err);
}

static enum sc_status make_all(struct sc_groups *const *partials, uint32_t count, unsigned threads)
{
    bool any = false;
    for (uint32_t p = 0; p < count; p++)
        any = any || partials[p]->value_count != 0;
    for (uint32_t p = 0; p < count && any; p++)
        SC_TRY(sc_values_create(partials[p]));
    for (uint32_t i = 0; i < partials[0]->value_count; i++) {
        SC_TRY(agree(partials, count, i));
        SC_TRY(consider_leaving_all(partials, count, i, threads));
    }
    return SC_OK;
}

/* Values go to their groups, or with keep_values to the values of the first. */
enum sc_status sc_groups_join(struct sc_groups *const *partials, uint32_t count, const struct sc_keep *keep,
                              unsigned threads, struct sc_error *err)
{
    enum sc_status status = make_all(partials, count, threads);
    if (status != SC_OK)
        return sc_groups_fail(partials[0], status, err);
    for (uint32_t i = 0; i < partials[0]->value_count; i++) {
        if (!lie_beside(partials[0], i))
            SC_TRY(join_apart(partials, count, i, threads, err));
    }
    status = join_beside(partials, count, keep, threads, err);
    for (uint32_t p = partials[0]->keep_values; p < count; p++)
        sc_values_free(partials[p]);
    return status;
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
