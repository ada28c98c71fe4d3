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
#include "cluster/reduce_wish.h"
#include "group/aggregate.h"

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
