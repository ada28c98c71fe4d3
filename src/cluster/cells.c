// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/cells.h"

#include "base/clock.h"
#include "base/saturate.h"
#include "cluster/reduce.h"

#include <stdlib.h>
#include <string.h>

/* ---- numbers of 16 bits ---- */

#define MANTISSA 10u

uint16_t sc_cell_round(uint64_t value)
{
    unsigned behind = value >> MANTISSA == 0 ? 0 : 64 - MANTISSA - (unsigned)__builtin_clzll(value);
    uint64_t upper = value >> behind;
    upper += (value & ((UINT64_C(1) << behind) - 1)) != 0;
    if (upper >> MANTISSA != 0) { /* rounded up to the next power of two */
        upper >>= 1;
        behind++;
    }
    return (uint16_t)(behind << MANTISSA | upper);
}

uint64_t sc_cell_value(uint16_t rounded)
{
    unsigned behind = rounded >> MANTISSA;
    uint64_t upper = rounded & ((1u << MANTISSA) - 1);
    return behind > 64 - MANTISSA ? SC_SATURATED : upper << behind;
}

/* ---- cells of all ranks ---- */

static bool put_cells(const struct sc_groups *cells, struct sc_buf *out)
{
    uint64_t count;
    const uint64_t *sums = sc_groups_cells(cells, &count);
    uint8_t *to = sc_buf_reserve(out, 2 * count);
    for (uint64_t i = 0; i < count && to != NULL; i++)
        sc_store_le16(to + 2 * i, sc_cell_round(sums[i]));
    out->len += to == NULL ? 0 : 2 * count;
    return to != NULL;
}

static enum sc_status add_cells(struct sc_groups *cells, const struct sc_buf *theirs, struct sc_error *err)
{
    uint64_t count;
    uint64_t *sums = sc_groups_cells(cells, &count);
    if (theirs->len != 2 * count)
        return sc_fail(err, SC_DAMAGED, "what a node says makes no sense: is it of another version?");
    for (uint64_t i = 0; i < count; i++)
        sums[i] = sc_add_saturated(sums[i], sc_cell_value(sc_load_le16(theirs->data + 2 * i)));
    return SC_OK;
}

/* Through a tree, each rank adding what those behind it have. */
static enum sc_status add_up(const struct sc_ranks *r, struct sc_groups *cells, struct sc_error *err)
{
    struct sc_buf bytes = {0};
    enum sc_status status = SC_OK;
    uint32_t step = 1;
    for (; status == SC_OK && step < r->count && (r->rank & step) == 0; step *= 2) {
        if (r->rank + step >= r->count)
            continue;
        status = r->pass(r->arg, SC_NO_RANK, NULL, r->rank + step, &bytes, err);
        if (status == SC_OK)
            status = add_cells(cells, &bytes, err);
    }
    sc_buf_clear(&bytes);
    if (status == SC_OK && r->rank != 0)
        status = put_cells(cells, &bytes) ? r->pass(r->arg, r->rank - step, &bytes, SC_NO_RANK, NULL, err)
                                          : sc_fail_nomem(err, "cells of groups");
    sc_buf_free(&bytes);
    return status;
}

/* ---- the chosen ones ---- */

static size_t chosen_words(unsigned hash_bits)
{
    return ((size_t)1 << hash_bits) / 64;
}

/* Nothing where there are too many. */
static enum sc_status put_chosen(const struct sc_groups *cells, unsigned hash_bits, uint64_t limit,
                                 struct sc_buf *out, struct sc_error *err)
{
    struct sc_chosen_cells chosen;
    enum sc_status status = sc_groups_choose_cells(cells, limit, true, &chosen);
    if (status == SC_NOTFOUND)
        return SC_OK;
    if (status == SC_OK) {
        sc_buf_append_le64(out, chosen.left);
        for (size_t w = 0; w < chosen_words(hash_bits); w++)
            sc_buf_append_le64(out, chosen.bits[w]);
        free(chosen.bits);
    }
    return status == SC_OK && sc_buf_ok(out) ? SC_OK : sc_fail_nomem(err, "cells of groups");
}

static enum sc_status get_chosen(const struct sc_buf *bytes, unsigned hash_bits, struct sc_chosen_cells *out,
                                 struct sc_error *err)
{
    struct sc_cursor in = {.data = bytes->data, .len = bytes->len};
    *out = (struct sc_chosen_cells){.hash_bits = hash_bits};
    if (bytes->len == 0)
        return SC_OK;
    out->bits = malloc(chosen_words(hash_bits) * sizeof(*out->bits));
    if (out->bits == NULL)
        return sc_fail_nomem(err, "cells of groups");
    out->left = sc_cursor_le64(&in);
    for (size_t w = 0; w < chosen_words(hash_bits); w++)
        out->bits[w] = sc_cursor_le64(&in);
    return in.failed || sc_cursor_left(&in) != 0 ? sc_fail(err, SC_DAMAGED, "the cells of groups are cut")
                                                 : SC_OK;
}

/* out->bits is NULL where there are too many. */
static enum sc_status choose(const struct sc_ranks *r, struct sc_groups *cells, unsigned hash_bits,
                             uint64_t limit, struct sc_chosen_cells *out, struct sc_error *err)
{
    struct sc_buf bytes = {0};
    enum sc_status status = add_up(r, cells, err);
    if (status == SC_OK && r->rank == 0)
        status = put_chosen(cells, hash_bits, limit, &bytes, err);
    if (status == SC_OK)
        status = sc_ranks_broadcast(r, &bytes, err);
    if (status == SC_OK)
        status = get_chosen(&bytes, hash_bits, out, err);
    sc_buf_free(&bytes);
    return status;
}

/* ---- the steps ---- */

static void forget(struct sc_groups **groups)
{
    sc_groups_free(*groups);
    *groups = NULL;
}

/* All groups in full; with `few` only where no rank has more of them soon: *many then, and there are none. */
static enum sc_status sum_all(const struct sc_ranks *r, struct sc_cluster_top *top, uint64_t few, bool *many,
                              struct sc_groups **groups, struct sc_error *err)
{
    struct sc_aggregate *aggregate = top->by.top->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate,
                                       .count = 1,
                                       .memory_limit = top->by.memory_limit,
                                       .keep_values = top->by.keep_values,
                                       .few = few};
    forget(groups);
    enum sc_status status =
        sc_aggregate_run(&request, top->by.source, top->by.options, groups, top->summary, top->by.stats, err);
    uint64_t any = status == SC_AGAIN;
    SC_TRY(sc_ranks_agree(r, status == SC_AGAIN ? SC_OK : status, err));
    SC_TRY(sc_ranks_most(r, &any, err));
    *many = any != 0;
    if (*many)
        forget(groups);
    return SC_OK;
}

/* The same at all ranks: for the rows of them together, as far as the one with the least memory goes. */
static enum sc_status agree_on_bits(const struct sc_ranks *r, const struct sc_by_cells *by, unsigned *bits,
                                    struct sc_error *err)
{
    uint64_t rows = sc_by_cells_rows(by);
    SC_TRY(sc_ranks_most(r, &rows, err));
    uint64_t lacking = 64 - sc_by_cells_bits(by, rows * r->count);
    SC_TRY(sc_ranks_most(r, &lacking, err));
    *bits = 64 - (unsigned)lacking;
    return SC_OK;
}

static enum sc_status sum_cells(const struct sc_ranks *r, struct sc_cluster_top *top,
                                struct sc_chosen_cells *chosen, struct sc_groups **groups,
                                struct sc_error *err)
{
    struct sc_groups *cells = NULL;
    uint64_t begin_ns = sc_clock_mono_ns();
    unsigned bits;
    SC_TRY(agree_on_bits(r, &top->by, &bits, err));
    if (bits == 0)
        return SC_OK;
    enum sc_status status =
        sc_ranks_agree(r, sc_by_cells_sum(&top->by, bits, &cells, top->summary, err), err);
    if (status == SC_OK)
        status = choose(r, cells, bits, top->by.top->limit, chosen, err);
    else if (status == SC_CANCELLED && cells != NULL)
        status = sc_by_cells_stop(&top->by, cells, sc_clock_mono_ns() - begin_ns, groups, err);
    sc_groups_free(cells);
    return status;
}

/* Only rank 0 has the groups then. */
static enum sc_status put_together(const struct sc_ranks *r, struct sc_cluster_top *top,
                                   const struct sc_chosen_cells *chosen, struct sc_groups **groups,
                                   struct sc_error *err)
{
    SC_TRY(sc_ranks_agree(r, sc_by_cells_fill(&top->by, chosen, groups, err), err));
    SC_TRY(sc_reduce_groups(r, &top->wish, top->by.top->aggregate, groups, top->stats, err));
    uint64_t proven = r->rank == 0 && sc_by_cells_prove(top->by.top, chosen, *groups);
    SC_TRY(sc_ranks_tell(r, &proven, 1, err));
    top->reduced = proven != 0;
    return SC_OK;
}

enum sc_status sc_cluster_top(const struct sc_ranks *ranks, struct sc_cluster_top *top,
                              struct sc_groups **groups, struct sc_error *err)
{
    struct sc_chosen_cells chosen = {0};
    uint64_t few = sc_top_few_groups(top->by.top, top->by.options, top->by.memory_limit);
    bool many;
    top->reduced = false;
    enum sc_status status = sum_all(ranks, top, few, &many, groups, err);
    if (status != SC_OK || !many)
        return status;
    status = sum_cells(ranks, top, &chosen, groups, err);
    if (status == SC_OK && chosen.bits != NULL)
        status = put_together(ranks, top, &chosen, groups, err);
    free(chosen.bits);
    return status == SC_OK && !top->reduced ? sum_all(ranks, top, 0, &many, groups, err) : status;
}
