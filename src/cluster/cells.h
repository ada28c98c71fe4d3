// SPDX-License-Identifier: BSD-3-Clause
/*
 * A top N by a descending sum, of all ranks together, by cells (group/cells.h). Where the first row groups of any rank have many groups,
 * all sum cells; these are added up through a tree, as numbers of 16 bits that are rounded up, so that a cell still has no less than any
 * of its groups. Rank 0 chooses cells, all sum the groups of these, and put them together: then the last of the first N has more than
 * any cell that was left out, which proves them, or all groups are summed after all.
 */
#ifndef SC_CLUSTER_CELLS_H
#define SC_CLUSTER_CELLS_H

#include "cluster/ranks.h"
#include "cluster/reduce_wish.h"
#include "query/by_cells.h"

struct sc_cluster_top {
    struct sc_by_cells by;
    struct sc_reduce_wish wish;    /* of the same order and limit */
    struct sc_summary *summary;    /* this rank's */
    struct sc_reduce_stats *stats; /* when `reduced` */
    bool reduced;                  /* out: the groups are put together, at rank 0 */
};

/*
 * Called by all ranks with the same top, which sc_by_cells_suits. *groups: this rank's own, to be put together by sc_reduce_groups, where
 * nothing was to be won by cells; else those that sc_reduce_groups leaves.
 * @return the same kind at all ranks: SC_OK; SC_CANCELLED: one was stopped, and *groups (or NULL) is this rank's part of an answer. Others:
 * one could not go on, and the other ranks wait.
 */
enum sc_status sc_cluster_top(const struct sc_ranks *ranks, struct sc_cluster_top *top,
                              struct sc_groups **groups, struct sc_error *err);

/* ---- numbers of 16 bits ---- */

/* Not less than the number, and less than a hundredth more: its ten uppermost bits, and how many are behind them. */
uint16_t sc_cell_round(uint64_t value);
uint64_t sc_cell_value(uint16_t rounded);

#endif
