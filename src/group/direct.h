// SPDX-License-Identifier: BSD-3-Clause
/* One key of 1 or 2 bytes and many rows: an entry for each value that it can have, found without any search. Only the files of this room include it. */
#ifndef SC_GROUP_DIRECT_H
#define SC_GROUP_DIRECT_H

#include "group/rows.h"

/* Makes them where they pay for so many rows; without memory the rows are searched for, as others are. */
void sc_groups_need_direct(struct sc_groups *groups, uint32_t rows);

/* The entries of a chunk of rows to scratch->ahead. False: some value is wider than there are entries for. */
bool sc_group_find_direct(struct sc_groups *groups, const struct sc_row_values *key, const uint32_t *rows,
                          uint32_t n);

/* Where both have such entries: those of `from` to those of `to`. */
void sc_groups_merge_direct(struct sc_groups *to, struct sc_groups *from);
/* They become ordinary groups. False without memory. */
bool sc_groups_settle_direct(struct sc_groups *groups);
size_t sc_groups_direct_memory(const struct sc_groups *groups);

#endif
