// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/reduce.h"

#include "cluster/reduce_steps.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the plan ---- */

/*
 * Less than this in all is sent at once; of many ranks, less than this of each, as with an exchange each passes a message to every
 * other one.
 */
#define LITTLE_BYTES      ((uint64_t)1 << 20)
#define LITTLE_BYTES_EACH ((uint64_t)16 << 10)

/*
 * TPUT sends `limit` groups, then a few times as many as the ranks' data is uneven; with fewer groups at each rank for every one that
 * is wanted the exchange is as cheap, and the candidates may be too many.
 */
#define TPUT_GROUPS_EACH 32u

/* What a rank tells about its groups, and what rank 0 makes of it. */
enum { GROUPS, GREATEST, ACCOUNT };
enum { PLAN_WAY = ACCOUNT, PLAN };
static_assert(PLAN <= SC_REDUCE_NUMBERS, "room for a plan");

static void add_account(uint64_t *sum, const uint64_t *theirs)
{
    sum[GROUPS] += theirs[GROUPS];
    sum[GREATEST] = theirs[GREATEST] > sum[GREATEST] ? theirs[GREATEST] : sum[GREATEST];
}

static enum sc_reduce_way choose(const struct sc_reduce *r, const uint64_t *sum)
{
    uint32_t ranks = r->ranks.count;
    uint64_t little = ranks * LITTLE_BYTES_EACH > LITTLE_BYTES ? ranks * LITTLE_BYTES_EACH : LITTLE_BYTES;
    /* Sums of several ranks that may not fit 64 bits have no order that sums of one rank tell about. */
    bool tput = sc_reduce_tput_suits(r->wish, r->aggregate) && sum[GREATEST] <= UINT64_MAX / ranks;
    if (r->wish->way != SC_REDUCE_AUTO)
        return r->wish->way == SC_REDUCE_TPUT && !tput ? SC_REDUCE_EXCHANGE : r->wish->way;
    if (ranks == 1 || sum[GROUPS] <= little / r->aggregate->entry_bytes[SC_KEY_NARROW])
        return SC_REDUCE_GATHER;
    return tput && r->wish->limit <= sum[GROUPS] / ranks / TPUT_GROUPS_EACH ? SC_REDUCE_TPUT
                                                                            : SC_REDUCE_EXCHANGE;
}

static enum sc_status make_plan(struct sc_reduce *r, uint64_t *plan)
{
    uint64_t mine[ACCOUNT] = {
        [GROUPS] = sc_groups_count(*r->groups),
    };
    if (sc_reduce_tput_suits(r->wish, r->aggregate))
        mine[GREATEST] = sc_groups_greatest(*r->groups, r->wish->orders[0].column.a);
    memcpy(plan, mine, sizeof(mine));
    SC_TRY(sc_reduce_hear(r, mine, ACCOUNT, add_account, plan));
    if (r->ranks.rank == 0)
        plan[PLAN_WAY] = choose(r, plan);
    return sc_ranks_tell(&r->ranks, plan, PLAN, r->err);
}

/* ---- gather ---- */

static enum sc_status gather(struct sc_reduce *r)
{
    struct sc_buf mine = {0};
    if (r->ranks.rank != 0 && sc_reduce_fine(r) && sc_groups_write(*r->groups, &mine) != SC_OK)
        sc_reduce_note(r, sc_fail_nomem(r->err, "groups to send"));
    enum sc_status status = sc_reduce_collect(r, &mine, *r->groups);
    sc_buf_free(&mine);
    return status;
}

/* ---- exchange ---- */

static void write_part(struct sc_reduce *r, const struct sc_result *parts, uint32_t part, struct sc_buf *out)
{
    sc_buf_clear(out);
    if (sc_reduce_fine(r))
        sc_reduce_note(r, sc_groups_write_entries(*r->groups, &parts[part], out, r->err));
    if (!sc_reduce_fine(r))
        sc_buf_clear(out);
}

/* In step s each rank sends to the s-th behind it: one part in memory at a time, and nobody is sent to by two. */
static enum sc_status exchange_parts(struct sc_reduce *r, const struct sc_result *parts,
                                     struct sc_groups *own)
{
    uint32_t count = r->ranks.count, rank = r->ranks.rank;
    struct sc_buf out = {0}, in = {0};
    write_part(r, parts, rank, &out);
    sc_reduce_absorb(r, own, out.data, out.len);
    enum sc_status status = SC_OK;
    for (uint32_t step = 1; step < count && status == SC_OK; step++) {
        uint32_t to = (rank + step) % count, from = (rank + count - step) % count;
        write_part(r, parts, to, &out);
        status = r->ranks.pass(r->ranks.arg, to, &out, from, &in, r->err);
        if (status == SC_OK)
            sc_reduce_absorb(r, own, in.data, in.len);
    }
    sc_buf_free(&out);
    sc_buf_free(&in);
    return status;
}

/* *groups becomes what this rank has put together. */
static enum sc_status take_share(struct sc_reduce *r)
{
    struct sc_result *parts = calloc(r->ranks.count, sizeof(*parts));
    struct sc_groups *own = sc_groups_create(r->aggregate);
    if (parts == NULL || own == NULL)
        sc_reduce_note(r, sc_fail_nomem(r->err, "parts of groups"));
    if (sc_reduce_fine(r))
        sc_reduce_note(r, sc_groups_split(*r->groups, r->ranks.count, parts, r->err));
    enum sc_status status = exchange_parts(r, parts, own);
    if (parts != NULL)
        free(parts[0].entries);
    free(parts);
    sc_groups_free(*r->groups);
    *r->groups = own;
    return status;
}

/* The first of a share: nothing else of it can be among the first of all. */
static void write_first(struct sc_reduce *r, struct sc_buf *out)
{
    const struct sc_reduce_wish *wish = r->wish;
    struct sc_result first = {0};
    if (sc_reduce_fine(r))
        sc_reduce_note(
            r, sc_groups_top(*r->groups, wish->orders, wish->order_count, wish->limit, &first, r->err));
    write_part(r, &first, 0, out);
    free(first.entries);
}

static enum sc_status exchange(struct sc_reduce *r)
{
    struct sc_buf mine = {0};
    r->stats->rounds++;
    SC_TRY(take_share(r));
    if (r->ranks.rank != 0)
        write_first(r, &mine);
    enum sc_status status = sc_reduce_collect(r, &mine, *r->groups);
    sc_buf_free(&mine);
    return status;
}

/* ---- what groups' values are made of ---- */

static void any_of(uint64_t *sum, const uint64_t *theirs)
{
    *sum |= *theirs;
}

/* Of one kind at all ranks: estimates, once they are at one of them. */
static enum sc_status agree(struct sc_reduce *r, uint32_t i)
{
    uint64_t mine = sc_reduce_fine(r) && sc_groups_values_estimated(*r->groups, i), any = mine;
    SC_TRY(sc_reduce_hear(r, &mine, 1, any_of, &any));
    SC_TRY(sc_ranks_tell(&r->ranks, &any, 1, r->err));
    if (any != 0 && sc_reduce_fine(r) && sc_groups_estimate_values(*r->groups, i) != SC_OK)
        sc_reduce_note(r, sc_fail_nomem(r->err, "values of groups"));
    return SC_OK;
}

/* Each rank puts those of its share of the hashes together; one without any (`made` false) passes nothing, as ever. */
static enum sc_status exchange_values(struct sc_reduce *r, uint32_t i, bool made)
{
    struct sc_reduce of_values = *r;
    struct sc_groups *none = NULL;
    of_values.groups = made ? sc_groups_values(*r->groups, i) : &none;
    of_values.aggregate = made ? sc_groups_aggregate(*of_values.groups) : r->aggregate;
    enum sc_status status = take_share(&of_values);
    r->status = of_values.status;
    sc_groups_free(none);
    return status;
}

static enum sc_status reduce_values(struct sc_reduce *r)
{
    uint32_t count;
    bool made = sc_groups_make_values(*r->groups, &count) == SC_OK;
    if (!made)
        sc_reduce_note(r, sc_fail_nomem(r->err, "values of groups"));
    for (uint32_t i = 0; i < count; i++) {
        SC_TRY(agree(r, i));
        SC_TRY(exchange_values(r, i, made));
    }
    if (count != 0 && sc_reduce_fine(r))
        sc_reduce_note(r, sc_groups_settle_values(*r->groups, r->wish->threads, r->err));
    return SC_OK;
}

/* ---- the whole ---- */

static enum sc_status run(struct sc_reduce *r, enum sc_reduce_way way)
{
    bool done = false;
    r->stats->way = way;
    if (way == SC_REDUCE_GATHER)
        return gather(r);
    if (way == SC_REDUCE_TPUT)
        SC_TRY(sc_reduce_tput(r, &done));
    if (done)
        return SC_OK;
    r->stats->way = SC_REDUCE_EXCHANGE;
    return exchange(r);
}

enum sc_status sc_reduce_groups(const struct sc_ranks *ranks, const struct sc_reduce_wish *wish,
                                struct sc_aggregate *aggregate, struct sc_groups **groups,
                                struct sc_reduce_stats *stats, struct sc_error *err)
{
    struct sc_reduce r = {
        .under = ranks, .wish = wish, .aggregate = aggregate, .groups = groups, .stats = stats, .err = err};
    uint64_t plan[PLAN];
    *stats = (struct sc_reduce_stats){0};
    sc_reduce_count_passes(&r);
    SC_TRY(reduce_values(&r));
    SC_TRY(make_plan(&r, plan));
    r.total = plan[GROUPS];
    SC_TRY(run(&r, (enum sc_reduce_way)plan[PLAN_WAY]));
    SC_TRY(sc_ranks_settle(&r.ranks, r.status, err));
    if (ranks->rank != 0) {
        sc_groups_free(*groups);
        *groups = NULL;
    }
    return SC_OK;
}
