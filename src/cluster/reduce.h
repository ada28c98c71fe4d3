// SPDX-License-Identifier: BSD-3-Clause
/*
 * The groups of all ranks put together at rank 0, exactly. Three ways, chosen by what there is:
 *
 * gather    Each rank sends all that it has. Best for little: one message from each.
 * exchange  Each rank puts the groups of its share of the hashes together, so that rank 0 is not the one through which all goes, and
 *           sends the first of them, as many as are wanted, to rank 0.
 * tput      For the greatest sums, few of many: each rank sends its own greatest, then what is at least the m-th part of the k-th
 *           greatest sum so far (a group that is smaller everywhere cannot be among the first), then all that it knows of the
 *           candidates. After P. Cao, Z. Wang: Efficient Top-K Query Calculation in Distributed Networks (2004).
 *
 * Groups: scanned in full by each rank (sc_query_aggregate; what sc_query_top leaves out at one rank may win when all are put
 * together), and joined with `keep` NULL.
 */
#ifndef SC_CLUSTER_REDUCE_H
#define SC_CLUSTER_REDUCE_H

#include "cluster/ranks.h"
#include "group/aggregate.h"

enum sc_reduce_way { SC_REDUCE_AUTO, SC_REDUCE_GATHER, SC_REDUCE_EXCHANGE, SC_REDUCE_TPUT };

/* The same at all ranks. */
struct sc_reduce_wish {
    const struct sc_result_order *orders;
    uint32_t order_count;
    uint64_t limit; /* 0 = all */
    /* AUTO, or what a test wants; TPUT where it cannot be done is done by exchange. */
    enum sc_reduce_way way;
};

struct sc_reduce_stats {
    enum sc_reduce_way way;
    uint32_t rounds;     /* rank 0 heard from all others so many times, for groups */
    uint64_t bytes;      /* sent by this rank */
    uint64_t candidates; /* TPUT, at rank 0: groups that were asked for in the end */
};

/*
 * Called by all ranks with groups of the same query. *groups is this rank's; afterwards, at rank 0, groups of which sc_groups_top by
 * the wish gives the first of all; elsewhere NULL. `aggregate` is the groups' own; it and they are laid out anew where keys of
 * another rank are wide (no need to scan again).
 *
 * @return the same kind at all ranks: SC_OK; SC_NOMEM, SC_DAMAGED: this rank or another could not go on, all have ended. What
 * `ranks` returns when it cannot pass bytes comes back at once, and the other ranks wait. Unless SC_OK *groups is the caller's to
 * free, and for nothing else.
 */
enum sc_status sc_reduce_groups(const struct sc_ranks *ranks, const struct sc_reduce_wish *wish,
                                struct sc_aggregate *aggregate, struct sc_groups **groups,
                                struct sc_reduce_stats *stats, struct sc_error *err);

#endif
