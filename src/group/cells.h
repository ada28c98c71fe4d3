// SPDX-License-Identifier: BSD-3-Clause
/*
 * The greatest sums of very many groups without a table of all: what groups add up to is added to cells, which the hashes of their keys
 * choose. No group has more than its cell, so that those of small cells are not among the greatest. What is left are few groups, which
 * another scan of the same rows sums exactly, and it can be told whether these are the greatest: when the last of them has more than
 * any cell that was left out. (A count-min sketch of one row; its bound is exact, its estimate is not used.)
 *
 * Groups with cells have one accumulator, a sum or a count, and no entries. Rows of two groups (a key with `pair`) are added to both; of a
 * group in another cell there may be part then, which is no more than that cell has.
 */
#ifndef SC_GROUP_CELLS_H
#define SC_GROUP_CELLS_H

#include "group/aggregate.h"

/* The cells that may have the groups that are wanted. */
struct sc_chosen_cells {
    uint64_t *bits; /* one for each cell; malloc'ed */
    unsigned hash_bits;
    uint64_t left; /* no group of another cell has more */
};

/* Rows go to 2^hash_bits cells from now on. To be called before the first. @return SC_OK or SC_NOMEM. */
enum sc_status sc_groups_make_cells(struct sc_groups *groups, unsigned hash_bits);
uint64_t *sc_groups_cells(const struct sc_groups *groups, uint64_t *count);
/* Adds the cells of one to those of the other, which has as many. */
void sc_groups_merge_cells(struct sc_groups *to, const struct sc_groups *from);

/*
 * Those where the first `limit` groups by descending sums are sought: cells that are at least half as great as the limit-th, so that it may
 * be proven that no others are greater. Without `proof` so many of the greatest. @return SC_OK; SC_NOMEM; SC_NOTFOUND: for a proof there
 * would be too many.
 */
enum sc_status sc_groups_choose_cells(const struct sc_groups *groups, uint64_t limit, bool proof,
                                      struct sc_chosen_cells *out);

/* Rows of groups in other cells are left out. `chosen` is borrowed. */
void sc_groups_take_chosen(struct sc_groups *groups, const struct sc_chosen_cells *chosen);

#endif
