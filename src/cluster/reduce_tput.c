// SPDX-License-Identifier: BSD-3-Clause
/*
 * The first k groups by a sum, of m ranks. A rank's part of a sum that it has not told is less than T = ceil(tau / m), where tau is
 * the k-th greatest sum of what was told first: a group told by nobody has less than tau in all, and is none of the first k, not even
 * with equals. After phase 2 the k-th greatest sum so far, tau2 >= tau, is passed by the first k; a group of which only some ranks
 * have told can still reach it when its sum so far and T - 1 from each of the others do. These candidates are asked for in full.
 */
#include "cluster/reduce_steps.h"

#include <stdlib.h>

/*
 * When more than this part of all groups would have to be told, everything is exchanged: what is told goes through rank 0, and the
 * candidates among it to all ranks. These are many where each group is met by few ranks of many: the others could all have T - 1.
 */
#define MOST_TOLD 16u

struct tput {
    struct sc_reduce *r;
    struct sc_aggregate sketch;
    uint32_t sum;           /* the accumulator */
    struct sc_groups *told; /* at rank 0, of the sketch */
    struct sc_result first; /* told in phase 1; by address */
    uint64_t least;         /* T; 0: given up */
};

static const struct sc_result_column sum_told = {
    .source = SC_RESULT_ACCUMULATOR, .type = SC_VALUE_UINT, .a = SC_SKETCH_VALUE};
static const struct sc_result_column ranks_told = {
    .source = SC_RESULT_ACCUMULATOR, .type = SC_VALUE_UINT, .a = SC_SKETCH_TOLD};

bool sc_reduce_tput_suits(const struct sc_reduce_wish *wish, const struct sc_aggregate *aggregate)
{
    if (wish->limit == 0 || wish->order_count == 0)
        return false;
    const struct sc_result_order *order = &wish->orders[0];
    if (!order->descending || order->column.source != SC_RESULT_ACCUMULATOR ||
        order->column.type != SC_VALUE_UINT)
        return false;
    uint8_t how = aggregate->accumulators[order->column.a].how;
    return how == SC_ACCUMULATE_SUM || how == SC_ACCUMULATE_COUNT;
}

/* Sketches of some groups to rank 0. */
static enum sc_status tell(struct tput *t, const struct sc_result *entries)
{
    struct sc_reduce *r = t->r;
    struct sc_buf mine = {0};
    if (sc_reduce_fine(r))
        sc_reduce_note(r, sc_groups_write_sketch(*r->groups, entries, &t->sketch, t->sum, &mine, r->err));
    enum sc_status status = sc_reduce_collect(r, &mine, t->told);
    sc_buf_free(&mine);
    return status;
}

/* The k-th greatest sum of what was told; false when there is none. */
static bool find_kth(struct tput *t, uint64_t *value)
{
    struct sc_reduce *r = t->r;
    struct sc_result_order order = {.column = sum_told, .descending = true};
    struct sc_result top = {0};
    if (!sc_reduce_fine(r))
        return false;
    sc_reduce_note(r, sc_groups_top(t->told, &order, 1, r->wish->limit, &top, r->err));
    bool found = sc_reduce_fine(r) && top.count == r->wish->limit;
    if (found) {
        struct sc_value v = sc_groups_value(t->told, top.entries[top.count - 1], &sum_told);
        *value = v.u;
        found = !v.null;
    }
    free(top.entries);
    return found;
}

static int compare_addresses(const void *x, const void *y)
{
    const uint8_t *a = *(const uint8_t *const *)x, *b = *(const uint8_t *const *)y;
    return a < b ? -1 : a > b;
}

/* ---- phase 1 ---- */

static enum sc_status tell_first(struct tput *t)
{
    struct sc_reduce *r = t->r;
    const struct sc_reduce_wish *wish = r->wish;
    if (sc_reduce_fine(r))
        sc_reduce_note(r, sc_groups_top(*r->groups, wish->orders, 1, wish->limit, &t->first, r->err));
    SC_TRY(tell(t, &t->first));
    if (t->first.count != 0)
        qsort(t->first.entries, t->first.count, sizeof(*t->first.entries), compare_addresses);
    uint64_t kth = 0;
    if (r->ranks.rank == 0 && find_kth(t, &kth))
        t->least = kth / r->ranks.count + (kth % r->ranks.count != 0);
    return sc_ranks_tell(&r->ranks, &t->least, 1, r->err);
}

/* ---- phase 2 ---- */

static void leave_out_first(const struct tput *t, struct sc_result *entries)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < entries->count; i++) {
        const uint8_t *entry = entries->entries[i];
        if (t->first.count == 0 || bsearch(&entry, t->first.entries, t->first.count,
                                           sizeof(*t->first.entries), compare_addresses) == NULL)
            entries->entries[kept++] = entry;
    }
    entries->count = kept;
}

static void add(uint64_t *sum, const uint64_t *theirs)
{
    *sum += *theirs;
}

/* Sets t->least to 0 where too much would have to be told; a test's wish is done all the same. */
static enum sc_status weigh(struct tput *t, uint64_t count)
{
    struct sc_reduce *r = t->r;
    uint64_t all = count;
    SC_TRY(sc_reduce_hear(r, &count, 1, add, &all));
    if (r->wish->way == SC_REDUCE_AUTO && all > r->total / MOST_TOLD)
        t->least = 0;
    return sc_ranks_tell(&r->ranks, &t->least, 1, r->err);
}

static enum sc_status tell_large(struct tput *t)
{
    struct sc_reduce *r = t->r;
    struct sc_result large = {0};
    if (sc_reduce_fine(r))
        sc_reduce_note(r, sc_groups_at_least(*r->groups, t->sum, t->least, &large, r->err));
    leave_out_first(t, &large);
    enum sc_status status = weigh(t, large.count);
    if (status == SC_OK && t->least != 0)
        status = tell(t, &large);
    free(large.entries);
    return status;
}

/* ---- phase 3 ---- */

/* The greatest sum that a group can turn out to have: ranks that did not tell have less than T of it. */
static uint64_t at_most(const struct tput *t, const uint8_t *entry)
{
    struct sc_value sum = sc_groups_value(t->told, entry, &sum_told);
    uint64_t silent = t->r->ranks.count - sc_groups_value(t->told, entry, &ranks_told).u;
    return (sum.null ? 0 : sum.u) + silent * (t->least - 1);
}

/* What rank 0 has to say of the candidates, before their keys; nothing where it has failed. */
enum { ASKED_FOR, TOO_MANY };

static bool too_many(const struct sc_reduce *r, uint64_t candidates)
{
    return r->wish->way == SC_REDUCE_AUTO && candidates > r->total / MOST_TOLD / r->ranks.count;
}

/* At rank 0: the keys of all that may be among the first. */
static void write_candidates(struct tput *t, struct sc_buf *out)
{
    struct sc_reduce *r = t->r;
    struct sc_result all = {0};
    uint64_t kth = 0, kept = 0;
    if (!find_kth(t, &kth))
        return;
    sc_reduce_note(r, sc_groups_split(t->told, 1, &all, r->err));
    for (uint64_t i = 0; i < all.count && sc_reduce_fine(r); i++) {
        if (at_most(t, all.entries[i]) >= kth)
            all.entries[kept++] = all.entries[i];
    }
    all.count = kept;
    r->stats->candidates = kept;
    sc_buf_append_u8(out, too_many(r, kept) ? TOO_MANY : ASKED_FOR);
    if (sc_reduce_fine(r) && !too_many(r, kept))
        sc_reduce_note(r, sc_groups_write_entries(t->told, &all, out, r->err));
    if (!sc_buf_ok(out) && sc_reduce_fine(r))
        sc_reduce_note(r, sc_fail_nomem(r->err, "the groups that are asked for"));
    if (!sc_reduce_fine(r))
        sc_buf_clear(out);
    free(all.entries);
}

/* What this rank has of the groups that are asked for, in full. */
static enum sc_status find_asked(struct tput *t, const struct sc_buf *keys, struct sc_result *found)
{
    struct sc_reduce *r = t->r;
    struct sc_groups *asked = sc_groups_create(&t->sketch);
    struct sc_result all = {0};
    enum sc_status status = asked == NULL ? sc_fail_nomem(r->err, "the groups that are asked for") : SC_OK;
    if (status == SC_OK && keys->len > 1)
        status = sc_groups_read(asked, keys->data + 1, keys->len - 1, r->err);
    if (status == SC_OK)
        status = sc_groups_split(asked, 1, &all, r->err);
    for (uint64_t i = 0; i < all.count && status == SC_OK; i++) {
        const uint8_t *entry = sc_groups_lookup(*r->groups, asked, all.entries[i]);
        if (entry != NULL)
            all.entries[found->count++] = entry;
    }
    found->entries = all.entries;
    sc_groups_free(asked);
    return status;
}

static void write_asked(struct tput *t, const struct sc_buf *keys, struct sc_buf *out)
{
    struct sc_reduce *r = t->r;
    struct sc_result found = {0};
    if (sc_reduce_fine(r))
        sc_reduce_note(r, find_asked(t, keys, &found));
    if (sc_reduce_fine(r))
        sc_reduce_note(r, sc_groups_write_entries(*r->groups, &found, out, r->err));
    free(found.entries);
}

static enum sc_status fetch(struct tput *t, const struct sc_buf *keys)
{
    struct sc_reduce *r = t->r;
    struct sc_groups *result = sc_groups_create(r->aggregate);
    struct sc_buf mine = {0};
    if (result == NULL)
        sc_reduce_note(r, sc_fail_nomem(r->err, "groups"));
    write_asked(t, keys, &mine);
    enum sc_status status = sc_reduce_collect(r, &mine, result);
    sc_buf_free(&mine);
    sc_groups_free(*r->groups);
    *r->groups = result;
    return status;
}

/* Sets t->least to 0 where there are too many; the groups are as they were then. */
static enum sc_status ask_for_candidates(struct tput *t)
{
    struct sc_reduce *r = t->r;
    struct sc_buf keys = {0};
    if (r->ranks.rank == 0)
        write_candidates(t, &keys);
    enum sc_status status = sc_ranks_broadcast(&r->ranks, &keys, r->err);
    if (status == SC_OK && keys.len != 0 && keys.data[0] == TOO_MANY)
        t->least = 0;
    else if (status == SC_OK)
        status = fetch(t, &keys);
    sc_buf_free(&keys);
    return status;
}

enum sc_status sc_reduce_tput(struct sc_reduce *r, bool *done)
{
    struct tput t = {.r = r, .sum = r->wish->orders[0].column.a};
    sc_aggregate_sketch(r->aggregate, t.sum, &t.sketch);
    t.told = sc_groups_create(&t.sketch);
    if (t.told == NULL)
        sc_reduce_note(r, sc_fail_nomem(r->err, "groups"));
    enum sc_status status = tell_first(&t);
    if (status == SC_OK && t.least != 0)
        status = tell_large(&t);
    if (status == SC_OK && t.least != 0)
        status = ask_for_candidates(&t);
    *done = t.least != 0;
    sc_groups_free(t.told);
    free(t.first.entries);
    return status;
}
