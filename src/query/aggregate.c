// SPDX-License-Identifier: BSD-3-Clause
#include "query/aggregate.h"

#include "base/clock.h"
#include "group/part.h"

#include <stdlib.h>

/* Of all threads: see sc_groups_set_spill_budget. */
#define SPILL_BUDGET ((uint64_t)256 << 20)

#define EARLY_UNITS 8u /* of each thread: few enough to be read again */

/* What one thread fills. */
struct partial {
    struct sc_groups **groups;
    struct sc_summary summary;
    struct sc_summarizer summarizer;
};

struct run {
    const struct sc_aggregate_run *request;
    const struct sc_scan_options *options;
    atomic_ullong memory;
    atomic_ullong rows, entries; /* of the first units */
    atomic_uint units;           /* done */
    uint32_t early;              /* units that are few of all */
    struct partial *partials;
    unsigned threads;
};

static uint64_t memory_of(const struct run *run, const struct partial *p)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < run->request->count; i++)
        bytes += sc_groups_memory(p->groups[i]);
    return bytes;
}

static uint64_t entries_of(const struct run *run, const struct partial *p)
{
    uint64_t entries = 0;
    for (uint32_t i = 0; i < run->request->count; i++)
        entries += sc_groups_entries(p->groups[i]);
    return entries;
}

/* A thread has too many, or all have, because rows hardly meet in groups: the more threads, the less each has read then. */
static bool are_many(struct run *run, uint64_t entries, uint64_t grown, uint32_t rows)
{
    uint64_t all_rows = atomic_fetch_add(&run->rows, rows) + rows;
    uint64_t all = atomic_fetch_add(&run->entries, grown) + grown;
    return entries > run->request->few || (all > run->request->few && all > all_rows / 2);
}

static enum sc_status add_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                               struct sc_selection *selection, struct sc_error *err)
{
    struct run *run = arg;
    const struct sc_aggregate_run *request = run->request;
    struct partial *p = &run->partials[thread];
    (void)unit;
    uint64_t before = memory_of(run, p), had = request->few == 0 ? 0 : entries_of(run, p);
    uint32_t done = atomic_fetch_add(&run->units, 1);
    if (!run->options->no_summary)
        SC_TRY(sc_summary_add_rows(&p->summary, &p->summarizer, group, selection, err));
    for (uint32_t i = 0; i < run->request->count; i++)
        SC_TRY(sc_groups_add_rows(p->groups[i], group, selection, err));
    uint64_t entries = request->few == 0 ? 0 : entries_of(run, p);
    uint64_t grown = memory_of(run, p) - before;
    uint64_t total = atomic_fetch_add(&run->memory, grown) + grown;
    if (request->few != 0 && done < run->early &&
        are_many(run, entries, entries > had ? entries - had : 0, selection->count))
        return sc_fail(err, SC_AGAIN, "many groups");
    if (request->memory_limit != 0 && total > request->memory_limit)
        return sc_fail(
            err, SC_NOMEM,
            "the groups need more than the memory limit of %llu bytes: narrow the filter, group by less, "
            "or raise --memory-limit",
            (unsigned long long)request->memory_limit);
    return SC_OK;
}

/* Every field that keys and accumulators read, so that a row group is verified before any of it counts. */
static struct sc_field *list_fields(const struct run *run, uint32_t *count)
{
    uint32_t most = 4;
    for (uint32_t i = 0; i < run->request->count; i++)
        most += 2 * run->request->aggregates[i]->key_count + run->request->aggregates[i]->accumulator_count;
    struct sc_field *fields = calloc(most, sizeof(*fields));
    *count = 0;
    for (uint32_t i = 0; i < run->request->count && fields != NULL; i++) {
        const struct sc_aggregate *a = run->request->aggregates[i];
        for (uint32_t k = 0; k < a->key_count; k++) {
            fields[(*count)++] = a->keys[k].field;
            if (a->keys[k].pair)
                fields[(*count)++] = a->keys[k].other;
        }
        for (uint32_t k = 0; k < a->accumulator_count; k++)
            fields[(*count)++] = a->accumulators[k].field;
    }
    return fields;
}

static void free_partials(struct run *run)
{
    for (unsigned t = 0; t < run->threads && run->partials != NULL; t++) {
        struct partial *p = &run->partials[t];
        for (uint32_t i = 0; i < run->request->count && p->groups != NULL; i++)
            sc_groups_free(p->groups[i]);
        free(p->groups);
        sc_summarizer_free(&p->summarizer);
    }
    free(run->partials);
    run->partials = NULL;
}

/* The first thread's have what is known of them, so that it counts once. */
static enum sc_status seed_groups(struct sc_groups *groups, const struct sc_seed *seed, bool first)
{
    for (uint64_t i = 0; i < seed->winners->count; i++) {
        const uint8_t *entry = seed->winners->entries[i];
        SC_TRY(first ? sc_groups_carry(groups, seed->from, entry)
                     : sc_groups_seed(groups, seed->from, entry));
    }
    sc_groups_know(groups, seed->from);
    return sc_groups_close(groups);
}

static enum sc_status make_partials(struct run *run, struct sc_error *err)
{
    const struct sc_seed *seeds = run->request->seeds;
    run->partials = calloc(run->threads, sizeof(*run->partials));
    if (run->partials == NULL)
        return sc_fail_nomem(err, "groups");
    for (unsigned t = 0; t < run->threads; t++) {
        struct partial *p = &run->partials[t];
        p->groups = calloc((size_t)run->request->count + 1, sizeof(struct sc_groups *));
        if (p->groups == NULL)
            return sc_fail_nomem(err, "groups");
        for (uint32_t i = 0; i < run->request->count; i++) {
            p->groups[i] = sc_groups_create(run->request->aggregates[i]);
            if (p->groups[i] == NULL ||
                (seeds != NULL && seed_groups(p->groups[i], &seeds[i], t == 0) != SC_OK))
                return sc_fail_nomem(err, "groups");
            if (run->request->hash_bits != 0 &&
                sc_groups_make_cells(p->groups[i], run->request->hash_bits) != SC_OK)
                return sc_fail_nomem(err, "cells of groups");
            if (run->request->chosen != NULL)
                sc_groups_take_chosen(p->groups[i], run->request->chosen);
            sc_groups_set_cancel(p->groups[i], run->options->cancel);
            if (run->request->keep_values)
                sc_groups_keep_values(p->groups[i]);
            sc_groups_set_spill_budget(p->groups[i], SPILL_BUDGET / run->threads / run->request->count);
            if (run->request->memory_limit != 0)
                sc_groups_set_memory_limit(p->groups[i], run->request->memory_limit,
                                           run->threads * run->request->count);
        }
        SC_TRY(sc_summarizer_init(&p->summarizer, run->options->scale_sampling, err));
    }
    return SC_OK;
}

static enum sc_status scan_once(struct run *run, struct sc_source *source, struct sc_scan_stats *stats,
                                struct sc_error *err)
{
    uint32_t field_count;
    struct sc_field *fields = list_fields(run, &field_count);
    if (fields == NULL)
        return sc_fail_nomem(err, "groups");
    struct sc_scan_consumer consumer = {
        .unit = add_unit, .arg = run, .fields = fields, .field_count = field_count};
    /* Most row groups have no row of groups that are known beforehand: sc_groups_add_rows reads what it needs, and that is
     * verified before it adds. */
    if ((run->request->seeds != NULL && run->request->count == 1) || run->request->chosen != NULL)
        consumer.field_count = 0;
    enum sc_status status = make_partials(run, err);
    if (status == SC_OK)
        status = sc_scan_run(source, run->options, &consumer, stats, err);
    free(fields);
    return status;
}

/* All threads' partial results into the first thread's. */
static enum sc_status merge_partials(struct run *run, struct sc_error *err)
{
    const struct sc_keep *keeps = run->request->keeps;
    struct sc_groups **column = calloc(run->threads, sizeof(struct sc_groups *));
    enum sc_status status = column == NULL ? sc_fail_nomem(err, "groups") : SC_OK;
    for (uint32_t i = 0; i < run->request->count && status == SC_OK; i++) {
        for (unsigned t = 0; t < run->threads; t++)
            column[t] = run->partials[t].groups[i];
        for (unsigned t = 1; t < run->threads && run->request->hash_bits != 0; t++)
            sc_groups_merge_cells(column[0], column[t]);
        if (run->request->hash_bits != 0)
            continue;
        status = sc_groups_join(column, run->threads, keeps == NULL || keeps[i].limit == 0 ? NULL : &keeps[i],
                                run->threads, err);
    }
    free(column);
    return status;
}

static struct sc_summary sum_up(const struct run *run)
{
    struct sc_summary sum = run->partials[0].summary;
    for (unsigned t = 1; t < run->threads; t++)
        sc_summary_merge(&sum, &run->partials[t].summary);
    return sum;
}

/* After a stop: few groups are put together all the same, many (some tenths of a second) are not. */
#define FEW_BYTES ((uint64_t)64 << 20)

static bool keep_going(const struct run *run)
{
    uint64_t bytes = 0;
    for (unsigned t = 0; t < run->threads; t++)
        bytes += memory_of(run, &run->partials[t]);
    for (unsigned t = 0; t < run->threads && bytes <= FEW_BYTES; t++) {
        for (uint32_t i = 0; i < run->request->count; i++)
            sc_groups_set_cancel(run->partials[t].groups[i], NULL);
    }
    return bytes <= FEW_BYTES;
}

enum sc_status sc_aggregate_run(const struct sc_aggregate_run *request, struct sc_source *source,
                                const struct sc_scan_options *options, struct sc_groups **groups,
                                struct sc_summary *summary, struct sc_scan_stats *stats, struct sc_error *err)
{
    struct run run = {
        .request = request, .options = options, .threads = options->threads == 0 ? 1 : options->threads};
    run.early = EARLY_UNITS * run.threads;
    enum sc_status status = scan_once(&run, source, stats, err);
    bool usable = status == SC_OK || status == SC_CANCELLED;
    bool few = usable && (keep_going(&run) || status == SC_OK || request->hash_bits != 0);
    uint64_t clock = sc_clock_mono_ns();
    enum sc_status merged = few ? merge_partials(&run, err) : SC_OK;
    if (stats != NULL)
        stats->spent_ns[SC_SCAN_JOIN] += sc_clock_mono_ns() - clock;
    if (merged != SC_OK)
        status = merged;
    if (usable && (merged == SC_OK || merged == SC_CANCELLED))
        *summary = sum_up(&run);
    for (uint32_t i = 0; i < request->count && few && merged == SC_OK; i++) {
        groups[i] = run.partials[0].groups[i];
        run.partials[0].groups[i] = NULL;
    }
    free_partials(&run);
    return status;
}

enum sc_status sc_query_aggregate(struct sc_source *source, const struct sc_scan_options *options,
                                  struct sc_aggregate *aggregates, uint32_t aggregate_count,
                                  uint64_t memory_limit, struct sc_groups **groups,
                                  struct sc_summary *summary, struct sc_scan_stats *stats,
                                  struct sc_error *err)
{
    struct sc_aggregate **list = malloc(((size_t)aggregate_count + 1) * sizeof(struct sc_aggregate *));
    if (list == NULL)
        return sc_fail_nomem(err, "groups");
    for (uint32_t i = 0; i < aggregate_count; i++)
        list[i] = &aggregates[i];
    struct sc_aggregate_run request = {
        .aggregates = list, .count = aggregate_count, .memory_limit = memory_limit};
    enum sc_status status = sc_aggregate_run(&request, source, options, groups, summary, stats, err);
    free(list);
    return status;
}
