// SPDX-License-Identifier: BSD-3-Clause
#include "query/by_cells.h"

#include "base/clock.h"

#include <stdlib.h>

/* Of so many groups at most: more cells would be chosen than it is worth. */
#define MOST_GROUPS 1024u
#define LEAST_BITS  12u
#define MOST_CELLS  (UINT64_C(1) << 22) /* of all threads: 32 MiB, as the last cache of a machine has */

/* Groups of a thread, of the first row groups; what was read until then is read again. */
#define FEW_GROUPS (UINT64_C(1) << 16)

static unsigned threads_of(const struct sc_scan_options *options)
{
    return options->threads == 0 ? 1 : options->threads;
}

bool sc_by_cells_suits(const struct sc_top *top)
{
    if (top->aggregate->key_count == 0 || top->limit == 0 || top->limit > MOST_GROUPS ||
        top->order_count != 1 || !top->orders[0].descending ||
        top->orders[0].column.source != SC_RESULT_ACCUMULATOR)
        return false;
    const struct sc_accumulator *sum = &top->aggregate->accumulators[top->orders[0].column.a];
    return sum->how == SC_ACCUMULATE_COUNT ||
           (sum->how == SC_ACCUMULATE_SUM && sum->field.type == SC_VALUE_UINT);
}

uint64_t sc_top_few_groups(const struct sc_top *top, const struct sc_scan_options *options,
                           uint64_t memory_limit)
{
    uint64_t fit = memory_limit / 2 / threads_of(options) / top->aggregate->entry_bytes[SC_KEY_WIDE];
    if (memory_limit == 0 || fit > FEW_GROUPS)
        return FEW_GROUPS;
    return fit == 0 ? 1 : fit;
}

uint64_t sc_by_cells_rows(const struct sc_by_cells *by)
{
    return (uint64_t)by->source->unit_count * SC_ROW_GROUP_ROWS;
}

unsigned sc_by_cells_bits(const struct sc_by_cells *by, uint64_t rows)
{
    uint64_t room = by->memory_limit == 0 ? UINT64_MAX : by->memory_limit / 4 / sizeof(uint64_t);
    uint64_t cells = (room < MOST_CELLS ? room : MOST_CELLS) / threads_of(by->options);
    unsigned bits = LEAST_BITS;
    while (rows / 16 >> bits != 0 && cells / 2 >> bits != 0)
        bits++;
    return cells >> bits == 0 ? 0 : bits;
}

enum sc_status sc_by_cells_sum(const struct sc_by_cells *by, unsigned hash_bits, struct sc_groups **cells,
                               struct sc_summary *summary, struct sc_error *err)
{
    struct sc_aggregate sum = *by->top->aggregate, *aggregate = &sum;
    struct sc_aggregate_run request = {
        .aggregates = &aggregate, .count = 1, .memory_limit = by->memory_limit, .hash_bits = hash_bits};
    sum.accumulator_count = 0;
    sc_aggregate_add_like(&sum, &by->top->aggregate->accumulators[by->top->orders[0].column.a]);
    sc_aggregate_prepare(&sum);
    *cells = NULL;
    return sc_aggregate_run(&request, by->source, by->options, cells, summary, by->stats, err);
}

static enum sc_status fill(const struct sc_by_cells *by, const struct sc_scan_options *options,
                           const struct sc_chosen_cells *chosen, struct sc_groups **groups,
                           struct sc_error *err)
{
    struct sc_aggregate *aggregate = by->top->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate,
                                       .count = 1,
                                       .memory_limit = by->memory_limit,
                                       .keep_values = by->keep_values,
                                       .chosen = chosen};
    struct sc_scan_options again = *options;
    struct sc_summary unused;
    again.no_summary = true;
    return sc_aggregate_run(&request, by->source, &again, groups, &unused, by->stats, err);
}

enum sc_status sc_by_cells_fill(const struct sc_by_cells *by, const struct sc_chosen_cells *chosen,
                                struct sc_groups **groups, struct sc_error *err)
{
    struct sc_scan_options options = *by->options;
    options.progress = NULL;
    return fill(by, &options, chosen, groups, err);
}

bool sc_by_cells_prove(const struct sc_top *top, const struct sc_chosen_cells *chosen,
                       const struct sc_groups *groups)
{
    struct sc_result first;
    bool proven = false;
    if (sc_groups_top(groups, top->orders, 1, top->limit, &first, NULL) != SC_OK)
        return false;
    if (first.count == top->limit) {
        struct sc_value last =
            sc_groups_value(groups, first.entries[first.count - 1], &top->orders[0].column);
        proven = !last.null && last.u > chosen->left;
    }
    free(first.entries);
    return proven;
}

/* ---- stopped ---- */

#define MOST_GRACE_NS UINT64_C(1000000000)

struct grace {
    uint64_t until_ns;
    atomic_int over;
};

static void look_at_clock(void *arg, const struct sc_scan_progress *so_far)
{
    struct grace *g = arg;
    (void)so_far;
    if (sc_clock_mono_ns() >= g->until_ns)
        atomic_store(&g->over, 1);
}

enum sc_status sc_by_cells_stop(const struct sc_by_cells *by, const struct sc_groups *cells,
                                uint64_t spent_ns, struct sc_groups **groups, struct sc_error *err)
{
    struct grace grace = {.until_ns =
                              sc_clock_mono_ns() + (spent_ns < MOST_GRACE_NS ? spent_ns : MOST_GRACE_NS)};
    struct sc_scan_options options = *by->options;
    struct sc_chosen_cells chosen;
    options.cancel = &grace.over;
    options.progress = look_at_clock;
    options.progress_arg = &grace;
    if (sc_groups_choose_cells(cells, by->top->limit, false, &chosen) != SC_OK)
        return sc_fail_nomem(err, "groups");
    enum sc_status status = fill(by, &options, &chosen, groups, err);
    free(chosen.bits);
    if (*groups != NULL)
        sc_groups_set_cancel(*groups, NULL); /* they are few */
    return status == SC_OK ? SC_CANCELLED : status;
}
