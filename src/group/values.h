// SPDX-License-Identifier: BSD-3-Clause
/*
 * Groups of groups: for distinct(F) and percentiles of F the groups' keys with F, or a cell of it, behind them. They are filled from the
 * same rows, and added up to their groups when all partial results of them have met. Only the files of this room include it.
 *
 *   distinct(F)  Each value is a group: their number is exact. Where groups may be many their values lie beside them, in the partition
 *                of the same number: one thread then counts all of them, a few thousand at a time (group/beside.h). Where one such
 *                partition would have an eighth of all values, or more than the memory allows, they are dealt out by themselves. Past a bound of memory, where that spares any, they are folded into an estimate
 *                (HyperLogLog, P. Flajolet et al. 2007): REGISTERS of each group, a register being chosen by some bits of a value's hash and
 *                holding the most leading zeros of the others, and one. The number of registers and the sum of 2^-value over them add up, whoever
 *                holds which of them; the number of values is told from these two (O. Ertl 2017, section 4). Standard error 1.04 /
 *                sqrt(REGISTERS) = 0.8 %.
 *   percentiles  F's 8 uppermost bits are the key, how many values have them is summed: a histogram whose cells are at most 1/128 of their
 *                values wide (exact below 256), of which there are at most 7,424 in a group. A percentile is the middle of its cell: at most 0.4 % off.
 *                All cells of a group must meet (hash_by_group).
 */
#ifndef SC_GROUP_VALUES_H
#define SC_GROUP_VALUES_H

#include "group/value_set.h"

/* Makes groups->values. @return SC_OK, SC_NOMEM. */
enum sc_status sc_values_create(struct sc_groups *groups);
void sc_values_free(struct sc_groups *groups);
/* That of the groups. */
void sc_values_set_cancel(struct sc_groups *groups);
size_t sc_values_memory(const struct sc_groups *groups);

/* Whether there are any to make that are not known beforehand. */
bool sc_values_wanted(const struct sc_groups *groups);

/* As sc_groups_add_rows. */
enum sc_status sc_values_add_rows(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_selection *selection, struct sc_error *err);

#endif
