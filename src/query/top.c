// SPDX-License-Identifier: BSD-3-Clause
/*
 * The first N groups of very many. One scan that sums everything is best while the groups fit the caches.
 * When they do not, which the first row groups tell, two scans take its place. Of a descending sum the first adds up cells of many
 * groups (group/cells.h), the second the groups of the greatest cells; where that proves nothing, and by other orders, the first sums
 * what the order needs of all groups, the second fills in the rest for the winners.
 */
#include "query/by_cells.h"

#include "base/clock.h"

#include <stdlib.h>

/* With a larger limit nothing is left out: it would hardly be less. */
#define MOST_KEPT 100000u

/* Sort keys that a cut-down aggregation may have. */
#define MAX_ORDERS 4u

/* An aggregation cut down to its order, where anything is won by that. */
struct narrow {
    bool cut;
    struct sc_aggregate aggregate;
    struct sc_result_order orders[MAX_ORDERS];
};

struct top_run {
    struct sc_source *source;
    const struct sc_scan_options *options;
    struct sc_top *tops;
    uint32_t count;
    uint64_t memory_limit;
    /* One per top: */
    struct narrow *narrow;
    struct sc_aggregate **aggregates; /* of the next scan */
    struct sc_keep *keeps;
    struct sc_groups **groups;
    struct sc_summary *summary;
    struct sc_scan_stats *stats;
    uint32_t failed; /* units of the source, when the first scan was over */
};

/* The accumulator of the full aggregation, in the narrow one. */
static uint32_t carry(const struct sc_aggregate *full, struct sc_aggregate *narrow, uint32_t index)
{
    return sc_aggregate_add_like(narrow, &full->accumulators[index]);
}

static void carry_column(const struct sc_aggregate *full, struct sc_aggregate *narrow,
                         struct sc_result_column *column)
{
    if (column->source == SC_RESULT_KEY)
        return;
    column->a = carry(full, narrow, column->a);
    if (column->source == SC_RESULT_ACCUMULATOR)
        return;
    column->b = carry(full, narrow, column->b);
    if (column->source == SC_RESULT_COMPUTED &&
        (column->computed == SC_COMPUTED_BPS || column->computed == SC_COMPUTED_PPS))
        column->c = carry(full, narrow, column->c);
}

static void cut_down(const struct sc_top *top, struct narrow *out)
{
    const struct sc_aggregate *full = top->aggregate;
    if (top->limit == 0 || top->limit > MOST_KEPT || top->order_count == 0 || top->order_count > MAX_ORDERS)
        return;
    out->aggregate = *full;
    out->aggregate.accumulator_count = 0;
    for (uint32_t i = 0; i < top->order_count; i++) {
        out->orders[i] = top->orders[i];
        carry_column(full, &out->aggregate, &out->orders[i].column);
    }
    sc_aggregate_prepare(&out->aggregate);
    out->cut = out->aggregate.accumulator_count < full->accumulator_count;
}

static bool any_cut(const struct top_run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->narrow[i].cut)
            return true;
    }
    return false;
}

static bool is_by_sum(const struct top_run *run)
{
    return run->count == 1 && sc_by_cells_suits(&run->tops[0]);
}

static uint64_t few_groups(const struct top_run *run)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < run->count; i++) {
        uint64_t few = sc_top_few_groups(&run->tops[i], run->options, run->memory_limit);
        least = few < least ? few : least;
    }
    return least;
}

/* Of all that is grouped only the first are wanted, by the orders of what a scan sums. */
static enum sc_status scan_all(struct top_run *run, bool narrow, struct sc_error *err)
{
    bool again = !narrow && (any_cut(run) || is_by_sum(run));
    for (uint32_t i = 0; i < run->count; i++) {
        const struct sc_top *top = &run->tops[i];
        bool cut = narrow && run->narrow[i].cut;
        run->aggregates[i] = cut ? &run->narrow[i].aggregate : top->aggregate;
        run->keeps[i] = (struct sc_keep){.orders = cut ? run->narrow[i].orders : top->orders,
                                         .order_count = top->order_count,
                                         .limit = top->limit > MOST_KEPT ? 0 : top->limit};
    }
    struct sc_aggregate_run request = {.aggregates = run->aggregates,
                                       .count = run->count,
                                       .memory_limit = run->memory_limit,
                                       .keeps = run->keeps,
                                       .few = again ? few_groups(run) : 0};
    return sc_aggregate_run(&request, run->source, run->options, run->groups, run->summary, run->stats, err);
}

/* What the first scan found of the winners, without the values that it did not sum. */
static enum sc_status carry_winners(const struct sc_aggregate *aggregate, const struct sc_groups *from,
                                    const struct sc_result *winners, struct sc_groups **out,
                                    struct sc_error *err)
{
    struct sc_groups *groups = sc_groups_create(aggregate);
    enum sc_status status = groups == NULL ? SC_NOMEM : SC_OK;
    for (uint64_t i = 0; i < winners->count && status == SC_OK; i++)
        status = sc_groups_carry(groups, from, winners->entries[i]);
    if (status != SC_OK) {
        sc_groups_free(groups);
        return sc_fail_nomem(err, "groups");
    }
    *out = groups;
    return SC_OK;
}

/* Fills in the winners; a scan that is stopped leaves them as the first scan found them. */
static enum sc_status fill_winners(struct top_run *run, struct sc_aggregate *aggregate,
                                   const struct sc_seed *seed, bool stopped, struct sc_groups **out,
                                   struct sc_error *err)
{
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .seeds = seed};
    struct sc_scan_options again = *run->options;
    struct sc_summary unused;
    enum sc_status status = SC_CANCELLED;
    again.progress = NULL;
    again.no_summary = true;
    if (!stopped)
        status = sc_aggregate_run(&request, run->source, &again, out, &unused, run->stats, err);
    if (status != SC_CANCELLED)
        return status;
    sc_groups_free(*out);
    *out = NULL;
    SC_TRY(carry_winners(aggregate, seed->from, seed->winners, out, err));
    return SC_CANCELLED;
}

/* The i-th aggregation in full; its groups are replaced. */
static enum sc_status second_scan(struct top_run *run, uint32_t i, bool stopped, struct sc_error *err)
{
    const struct sc_top *top = &run->tops[i];
    const struct narrow *narrow = &run->narrow[i];
    struct sc_result winners;
    struct sc_groups *filled = NULL;
    struct sc_seed seed = {.from = run->groups[i], .winners = &winners};
    enum sc_status status =
        sc_groups_top(run->groups[i], narrow->orders, top->order_count, top->limit, &winners, err);
    if (status == SC_OK)
        status = fill_winners(run, top->aggregate, &seed, stopped, &filled, err);
    free(winners.entries);
    sc_groups_free(run->groups[i]); /* of an aggregation that ends with the run */
    run->groups[i] = filled;
    return status;
}

/* ---- by cells ---- */

static enum sc_status prove(const struct sc_by_cells *by, const struct sc_chosen_cells *chosen,
                            struct sc_groups **groups, struct sc_error *err)
{
    SC_TRY(sc_by_cells_fill(by, chosen, groups, err));
    if (sc_by_cells_prove(by->top, chosen, *groups))
        return SC_OK;
    sc_groups_free(*groups);
    *groups = NULL;
    return SC_AGAIN;
}

static enum sc_status sum_cells(const struct sc_by_cells *by, struct top_run *run,
                                struct sc_chosen_cells *chosen, struct sc_error *err)
{
    struct sc_groups *cells = NULL;
    unsigned bits = sc_by_cells_bits(by, sc_by_cells_rows(by));
    uint64_t begin_ns = sc_clock_mono_ns();
    if (bits == 0)
        return SC_AGAIN;
    enum sc_status status = sc_by_cells_sum(by, bits, &cells, run->summary, err);
    if (status == SC_OK)
        status = sc_groups_choose_cells(cells, by->top->limit, true, chosen);
    else if (status == SC_CANCELLED && cells != NULL)
        status = sc_by_cells_stop(by, cells, sc_clock_mono_ns() - begin_ns, run->groups, err);
    sc_groups_free(cells);
    return status == SC_NOTFOUND ? SC_AGAIN : status == SC_NOMEM ? sc_fail_nomem(err, "groups") : status;
}

/* @return SC_AGAIN: nothing is proven, and there are no groups. */
static enum sc_status scan_by_cells(struct top_run *run, struct sc_error *err)
{
    const struct sc_by_cells by = {.source = run->source,
                                   .options = run->options,
                                   .top = &run->tops[0],
                                   .memory_limit = run->memory_limit,
                                   .stats = run->stats};
    enum sc_status status;
    do {
        struct sc_chosen_cells chosen = {0};
        sc_groups_free(run->groups[0]);
        run->groups[0] = NULL;
        status = sum_cells(&by, run, &chosen, err);
        run->failed = run->source->units_failed;
        if (status == SC_OK)
            status = prove(&by, &chosen, run->groups, err);
        free(chosen.bits);
    } while (status == SC_OK && run->failed != run->source->units_failed);
    return status;
}

static enum sc_status scan_twice(struct top_run *run, struct sc_error *err)
{
    for (uint32_t i = 0; i < run->count; i++) {
        sc_groups_free(run->groups[i]);
        run->groups[i] = NULL;
    }
    enum sc_status status = scan_all(run, true, err);
    run->failed = run->source->units_failed;
    bool stopped = status == SC_CANCELLED;
    for (uint32_t i = 0; i < run->count && (status == SC_OK || status == SC_CANCELLED); i++) {
        if (!run->narrow[i].cut || run->groups[i] == NULL)
            continue;
        enum sc_status second = second_scan(run, i, stopped, err);
        status = second == SC_OK ? status : second;
    }
    return status;
}

/*
 * The second scan reads columns that the first did not, and may find row groups damaged whose rows the first
 * has counted: then both are run again over other copies, or without them.
 */
static enum sc_status scan_whole(struct top_run *run, struct sc_error *err)
{
    enum sc_status status;
    do {
        status = scan_twice(run, err);
    } while (status == SC_OK && run->failed != run->source->units_failed);
    return status;
}

enum sc_status sc_query_top(struct sc_source *source, const struct sc_scan_options *options,
                            struct sc_top *tops, uint32_t count, uint64_t memory_limit,
                            struct sc_groups **groups, struct sc_summary *summary,
                            struct sc_scan_stats *stats, struct sc_error *err)
{
    struct top_run run = {.source = source,
                          .options = options,
                          .tops = tops,
                          .count = count,
                          .memory_limit = memory_limit,
                          .narrow = calloc((size_t)count + 1, sizeof(struct narrow)),
                          .aggregates = calloc((size_t)count + 1, sizeof(struct sc_aggregate *)),
                          .keeps = calloc((size_t)count + 1, sizeof(struct sc_keep)),
                          .groups = groups,
                          .summary = summary,
                          .stats = stats};
    bool room = run.narrow != NULL && run.aggregates != NULL && run.keeps != NULL;
    enum sc_status status = room ? SC_OK : sc_fail_nomem(err, "groups");
    for (uint32_t i = 0; i < count; i++) {
        groups[i] = NULL;
        if (room)
            cut_down(&tops[i], &run.narrow[i]);
    }
    if (room)
        status = scan_all(&run, false, err);
    if (status == SC_AGAIN && is_by_sum(&run))
        status = scan_by_cells(&run, err);
    if (status == SC_AGAIN)
        status = scan_whole(&run, err);
    free(run.aggregates);
    free(run.narrow);
    free(run.keeps);
    return status;
}
