// SPDX-License-Identifier: BSD-3-Clause
/*
 * The steps that the ways of a reduction are made of. A rank that fails by itself goes on passing, empty messages where it has
 * nothing, until all settle at the end: nobody is left waiting.
 */
#ifndef SC_CLUSTER_REDUCE_STEPS_H
#define SC_CLUSTER_REDUCE_STEPS_H

#include "cluster/ranks.h"
#include "cluster/reduce_wish.h"
#include "group/part.h"

struct sc_reduce {
    struct sc_ranks ranks; /* counts what is sent */
    const struct sc_ranks *under;
    const struct sc_reduce_wish *wish;
    const struct sc_aggregate *aggregate;
    struct sc_groups **groups;
    uint64_t total; /* groups of all ranks, before they are put together */
    struct sc_reduce_stats *stats;
    enum sc_status status; /* of this rank's own work; the first failure stays */
    struct sc_error *err;
};

static inline bool sc_reduce_fine(const struct sc_reduce *r)
{
    return r->status == SC_OK;
}

static inline void sc_reduce_note(struct sc_reduce *r, enum sc_status status)
{
    r->status = r->status == SC_OK ? status : r->status;
}

/* Sends as `r->under` does, and counts. */
void sc_reduce_count_passes(struct sc_reduce *r);

/* Groups that a rank has written, to others. An empty message is of a rank that has failed. */
void sc_reduce_absorb(struct sc_reduce *r, struct sc_groups *into, const uint8_t *bytes, size_t length);

/* What each rank has written, to groups of rank 0 (`into`, of others not used), one rank after the other. Nothing where it has failed. */
enum sc_status sc_reduce_collect(struct sc_reduce *r, const struct sc_buf *mine, struct sc_groups *into);

#define SC_REDUCE_NUMBERS 4u

/* Up to SC_REDUCE_NUMBERS of each rank to rank 0, which adds those of the others to `sum`. */
enum sc_status sc_reduce_hear(struct sc_reduce *r, const uint64_t *mine, uint32_t count,
                              void (*add)(uint64_t *sum, const uint64_t *theirs), uint64_t *sum);

/* The way "tput" (reduce_tput.c). True when the wish is one for the greatest sums, few of many. */
bool sc_reduce_tput_suits(const struct sc_reduce_wish *wish, const struct sc_aggregate *aggregate);

/* *done false: it is not worth it, at any rank, and *groups is as it was. */
enum sc_status sc_reduce_tput(struct sc_reduce *r, bool *done);

#endif
