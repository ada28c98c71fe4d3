// SPDX-License-Identifier: BSD-3-Clause
/* Tables of several threads put together. */
#include "group/direct.h"

#include <pthread.h>
#include <stdlib.h>

struct join_job {
    struct sc_groups *const *partials; /* the first takes all */
    uint32_t count;
    bool spilled;      /* some have entries that are held apart */
    uint32_t **remaps; /* of each partial; NULL for the first */
    const struct sc_keep *keep;
    sc_partition_fn *take; /* instead; NULL: none */
    void *arg;
    const struct sc_beside *beside; /* what is to come to them; NULL: nothing */
    unsigned threads;
    unsigned arrived; /* threads, atomic */
    uint32_t next;    /* partition, or one of each layout, atomic */
    int failed;       /* enum sc_status, the last one, atomic */
    uint64_t bytes;   /* of what is put together, atomic */
};

static uint64_t bytes_of(const struct sc_partition *p)
{
    return (uint64_t)p->count * p->entry_bytes + (uint64_t)p->slot_count * sizeof(*p->slots);
}

static bool has_file(const struct join_job *job, uint32_t index)
{
    for (uint32_t i = 0; i < job->count; i++) {
        if (job->partials[i]->partitions[index].extent_count != 0)
            return true;
    }
    return false;
}

/* Room beforehand, where what is to come is in memory already. */
static bool reserve(const struct join_job *job, struct sc_partition *p, uint32_t index)
{
    uint64_t spilled = 0;
    for (uint32_t i = 0; i < job->count; i++)
        spilled += sc_partition_spilled(&job->partials[i]->partitions[index]);
    return spilled == 0 || has_file(job, index) ||
           sc_groups_reserve(job->partials[0], p, p->count + spilled / 2);
}

static enum sc_status join_partition(struct join_job *job, uint32_t index)
{
    struct sc_groups *to = job->partials[0];
    struct sc_partition *p = &to->partitions[index];
    if (!reserve(job, p, index))
        return SC_NOMEM;
    for (uint32_t i = 0; i < job->count; i++) {
        struct sc_partition *from = &job->partials[i]->partitions[index];
        if (!sc_groups_absorb_spilled(to, job->remaps[i], from) ||
            (i != 0 && !sc_groups_absorb_table(to, job->remaps[i], from)))
            return SC_NOMEM;
        SC_TRY(sc_groups_absorb_file(to, job->remaps[i], job->partials[i], from));
    }
    uint64_t bytes = __atomic_add_fetch(&job->bytes, bytes_of(p), __ATOMIC_RELAXED);
    if (job->keep != NULL || job->take != NULL) /* each thread has one in its hands */
        bytes = bytes_of(p) * job->threads;
    return to->spill.limit != 0 && bytes > to->spill.limit ? SC_LIMIT : SC_OK;
}

/* What is in the partition's own table, to the table of `spare`, which takes its place; `spare` is empty then. */
static bool change_table(struct sc_groups *to, struct sc_partition *p, struct sc_partition *spare)
{
    struct sc_partition own = *p;
    if (spare->entry_bytes != own.entry_bytes) { /* its blocks are of another size */
        sc_partition_empty(spare);
        *spare = sc_partition_like(&own);
    }
    *p = *spare;
    p->layout = own.layout;
    p->spilled = own.spilled;
    p->extents = own.extents;
    p->extent_count = own.extent_count;
    own.spilled = NULL;
    own.extents = NULL;
    *spare = (struct sc_partition){0};
    if (p->slots != NULL)
        memset(p->slots, 0, (size_t)p->slot_count * sizeof(*p->slots));
    return sc_groups_absorb_table(to, NULL, &own);
}

/* The partition's table becomes the spare one; its lists are empty. */
static void give_back(struct sc_partition *p, struct sc_partition *spare)
{
    *spare = *p;
    spare->count = 0;
    *p = sc_partition_like(p);
}

/* The first of a partition to a table of its own; the large one goes to `spare`. */
static bool keep_first(struct join_job *job, struct sc_partition *p, struct sc_partition *spare)
{
    struct sc_groups *to = job->partials[0];
    struct sc_result first;
    if (sc_partition_top(to, p, job->keep, &first) != SC_OK)
        return false;
    bool ok = true;
    give_back(p, spare);
    for (uint64_t i = 0; i < first.count && ok; i++) {
        uint8_t *entry = sc_groups_find_entry(to, first.entries[i]);
        ok = entry != NULL;
        if (ok)
            memcpy(entry, first.entries[i], p->entry_bytes);
    }
    free(first.entries);
    return ok;
}

/* The first of a partition stay, or `take` has it; where it had the spare table, that is empty again. */
static enum sc_status end_one(struct join_job *job, unsigned thread, uint32_t index,
                              struct sc_partition *spare)
{
    struct sc_partition *p = &job->partials[0]->partitions[index];
    SC_TRY(join_partition(job, index));
    if (job->keep != NULL)
        return keep_first(job, p, spare) ? SC_OK : SC_NOMEM;
    if (job->take == NULL)
        return SC_OK;
    SC_TRY(job->take(job->arg, thread, job->partials[0], p));
    if (job->spilled)
        give_back(p, spare);
    else
        sc_partition_empty(p);
    return SC_OK;
}

/* A table that is used again and again is warm; but where nothing waits in lists the partition's own takes all. */
static bool begin_one(struct join_job *job, uint32_t index, struct sc_partition *spare)
{
    bool own = job->keep == NULL && (job->take == NULL || !job->spilled);
    return own || change_table(job->partials[0], &job->partials[0]->partitions[index], spare);
}

static enum sc_status join_one(struct join_job *job, unsigned thread, uint32_t index,
                               struct sc_partition *spare)
{
    return begin_one(job, index, spare) ? end_one(job, thread, index, spare) : SC_NOMEM;
}

/* The partitions of that number, one of each layout: what lies beside them may be of any. */
static enum sc_status join_layouts(struct join_job *job, unsigned thread, uint32_t number,
                                   struct sc_partition *spares)
{
    for (uint32_t layout = 0; layout < SC_KEY_LAYOUTS; layout++) {
        if (!begin_one(job, layout << SC_PARTITION_BITS | number, &spares[layout]))
            return SC_NOMEM;
    }
    SC_TRY(job->beside->add(job->beside->arg, thread, number));
    for (uint32_t layout = 0; layout < SC_KEY_LAYOUTS; layout++)
        SC_TRY(end_one(job, thread, layout << SC_PARTITION_BITS | number, &spares[layout]));
    return SC_OK;
}

static uint32_t count_steps(const struct join_job *job)
{
    return job->beside != NULL ? 1u << SC_PARTITION_BITS : SC_PARTITIONS;
}

static void *join_main(void *arg)
{
    struct join_job *job = arg;
    struct sc_partition spares[SC_KEY_LAYOUTS] = {0};
    unsigned thread = __atomic_fetch_add(&job->arrived, 1, __ATOMIC_RELAXED);
    uint32_t step;
    while (!sc_groups_stopped(job->partials[0]) && __atomic_load_n(&job->failed, __ATOMIC_RELAXED) == SC_OK &&
           (step = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < count_steps(job)) {
        enum sc_status status = job->beside != NULL ? join_layouts(job, thread, step, spares)
                                                    : join_one(job, thread, step, spares);
        if (status != SC_OK)
            __atomic_store_n(&job->failed, (int)status, __ATOMIC_RELAXED);
    }
    for (uint32_t layout = 0; layout < SC_KEY_LAYOUTS; layout++)
        sc_partition_empty(&spares[layout]);
    return NULL;
}

void sc_groups_in_threads(void *(*run)(void *), void *arg, unsigned threads)
{
    pthread_t ids[64];
    unsigned started = 0;
    while (started + 1 < threads && started < 64 && pthread_create(&ids[started], NULL, run, arg) == 0)
        started++;
    run(arg);
    for (unsigned i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
}

static uint32_t *make_remap(struct sc_groups *to, struct sc_groups *from)
{
    const struct sc_string_transfer strings = {&to->interner, &from->interner};
    uint32_t *remap = malloc(((size_t)from->interner.count + 1) * sizeof(*remap));
    for (uint32_t id = 0; id < from->interner.count && remap != NULL; id++) {
        remap[id] = sc_string_add(&strings, id);
        if (remap[id] == UINT32_MAX) {
            free(remap);
            remap = NULL;
        }
    }
    sc_interner_free(&from->interner);
    return remap;
}

enum sc_status sc_groups_fail(const struct sc_groups *groups, enum sc_status status, struct sc_error *err)
{
    switch (status) {
    case SC_LIMIT:
        return sc_fail(
            err, SC_NOMEM,
            "the groups need more than the memory limit of %llu bytes: narrow the filter, group by "
            "less, or raise --memory-limit",
            (unsigned long long)groups->spill.limit);
    case SC_FULL:
        return sc_fail(err, SC_FULL,
                       "groups that did not fit the memory limit cannot be written to $TMPDIR, or read back");
    case SC_CANCELLED:
        return sc_fail(err, SC_CANCELLED, "before the groups were put together");
    default:
        return sc_fail_nomem(err, "groups");
    }
}

/* Whether entries are held apart by any. */
static bool any_spilled(struct sc_groups *const *partials, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (partials[i]->spill.bytes != 0 || partials[i]->spill.file != NULL)
            return true;
    }
    return false;
}

static bool settle(struct sc_groups *const *partials, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        partials[0]->most = sc_add_saturated(partials[0]->most, partials[i]->most);
        sc_groups_merge_direct(partials[0], partials[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!sc_groups_settle_direct(partials[i]))
            return false;
    }
    return true;
}

static bool make_remaps(struct join_job *job)
{
    job->remaps = calloc((size_t)job->count + 1, sizeof(*job->remaps));
    for (uint32_t i = 1; i < job->count && job->remaps != NULL; i++) {
        job->remaps[i] = make_remap(job->partials[0], job->partials[i]);
        if (job->remaps[i] == NULL)
            return false;
    }
    return job->remaps != NULL;
}

static void run_job(struct join_job *job)
{
    if (!make_remaps(job))
        job->failed = SC_NOMEM;
    else
        sc_groups_in_threads(join_main, job, job->threads);
    for (uint32_t i = 0; i < job->count; i++) {
        job->partials[i]->spill.bytes = job->partials[i]->spill.held = 0;
        if (job->remaps != NULL)
            free(job->remaps[i]);
    }
    free(job->remaps);
    if (job->failed == SC_OK && job->next < count_steps(job))
        job->failed = SC_CANCELLED;
}

static enum sc_status join(struct join_job *job, struct sc_error *err)
{
    bool alone = job->count == 1 && job->take == NULL && job->beside == NULL;
    if (!settle(job->partials, job->count))
        return sc_fail_nomem(err, "merging groups");
    if (!job->spilled && alone)
        return SC_OK;
    run_job(job);
    return job->failed == SC_OK ? SC_OK : sc_groups_fail(job->partials[0], (enum sc_status)job->failed, err);
}

/* Only what is put to a table anew, or was not there yet, is worth leaving out; closed groups are few. */
enum sc_status sc_plain_join(struct sc_groups *const *partials, uint32_t count,
                             const struct sc_beside *beside, const struct sc_keep *keep, unsigned threads,
                             struct sc_error *err)
{
    struct join_job job = {.partials = partials,
                           .count = count,
                           .spilled = any_spilled(partials, count),
                           .beside = beside,
                           .threads = threads};
    job.keep = (job.spilled || beside != NULL) && !partials[0]->closed ? keep : NULL;
    return join(&job, err);
}

enum sc_status sc_plain_join_to(struct sc_groups *const *partials, uint32_t count, sc_partition_fn *take,
                                void *arg, unsigned threads, struct sc_error *err)
{
    struct join_job job = {.partials = partials,
                           .count = count,
                           .spilled = any_spilled(partials, count),
                           .take = take,
                           .arg = arg,
                           .threads = threads};
    return join(&job, err);
}
