// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/over.h"

#include "base/array.h"

#include <stdlib.h>

#define DAY_S 86400u /* no window is longer */

static bool is_long_over(const struct sc_over *over, uint64_t window_ms)
{
    const struct sc_window day = {window_ms, DAY_S};
    return window_ms < over->end_ms && sc_window_end(&day) <= over->end_ms;
}

enum sc_status sc_over_hear(struct sc_over *over, const struct sc_holdings *held)
{
    for (uint32_t i = 0; i < held->tally_count; i++) {
        const struct sc_tally *t = &held->tallies[i];
        if (t->window_s > over->longest_s)
            over->longest_s = t->window_s;
        if (is_long_over(over, t->window_ms))
            continue;
        if (!sc_array_more(over->list, over->count, 1))
            return SC_NOMEM;
        over->list[over->count++] = (struct sc_window){t->window_ms, t->window_s};
    }
    return SC_OK;
}

static int compare_begins(const void *x, const void *y)
{
    const struct sc_window *a = x, *b = y;
    return a->begin_ms < b->begin_ms ? -1 : a->begin_ms > b->begin_ms;
}

void sc_over_settle(struct sc_over *over)
{
    uint32_t kept = 0;
    if (over->count > 1)
        qsort(over->list, over->count, sizeof(*over->list), compare_begins);
    for (uint32_t i = 0; i < over->count; i++) {
        const struct sc_window one = over->list[i];
        if (kept == 0 || over->list[kept - 1].begin_ms != one.begin_ms)
            over->list[kept++] = one;
        else if (over->list[kept - 1].length_s < one.length_s)
            over->list[kept - 1].length_s = one.length_s;
    }
    over->count = kept;
}

bool sc_over_has(const struct sc_over *over, uint64_t window_ms)
{
    struct sc_window key = {window_ms, over->longest_s == 0 ? DAY_S : over->longest_s};
    if (window_ms >= over->end_ms || is_long_over(over, window_ms))
        return window_ms < over->end_ms;
    const struct sc_window *told =
        over->count == 0 ? NULL : bsearch(&key, over->list, over->count, sizeof(key), compare_begins);
    return sc_window_end(told == NULL ? &key : told) <= over->end_ms;
}

static bool keeps(struct sc_over *over, uint64_t window_ms)
{
    bool kept = sc_over_has(over, window_ms);
    if (!kept && (over->left_from_ms == 0 || window_ms < over->left_from_ms))
        over->left_from_ms = window_ms;
    return kept;
}

void sc_over_leave_out(struct sc_over *over, struct sc_holdings *held)
{
    uint32_t batches = held->count, tallies = held->tally_count;
    held->count = held->tally_count = 0;
    for (uint32_t i = 0; i < batches; i++) {
        if (keeps(over, held->list[i].window_ms))
            held->list[held->count++] = held->list[i];
    }
    for (uint32_t i = 0; i < tallies; i++) {
        if (keeps(over, held->tallies[i].window_ms))
            held->tallies[held->tally_count++] = held->tallies[i];
        else
            sc_tally_free(&held->tallies[i]);
    }
}

void sc_over_free(struct sc_over *over)
{
    free(over->list);
    *over = (struct sc_over){0};
}
