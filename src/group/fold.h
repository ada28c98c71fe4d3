// SPDX-License-Identifier: BSD-3-Clause
/* Entries of values to entries of the groups that they are of. Only group/values.c includes it. */
#ifndef SC_GROUP_FOLD_H
#define SC_GROUP_FOLD_H

#include "group/value_set.h"

struct sc_folding {
    struct sc_groups *to;
    const struct sc_groups *from;
    const struct sc_values *values;
};

/* Values, or registers, that are counted; values that become registers where `to` has these. As sc_entries_fn, with a folding. */
enum sc_status sc_fold_entries(void *arg, enum sc_key_layout layout, const uint8_t *entries, uint32_t count);

#define SC_COUNTED 64u

/* What a group's key is known to have so many of. Up to SC_COUNTED of one layout. @return SC_OK, SC_NOMEM. */
struct sc_counted {
    const uint8_t *key;
    uint32_t values;
};
enum sc_status sc_fold_counted(const struct sc_folding *folding, enum sc_key_layout layout,
                               const struct sc_counted *counted, uint32_t count);

/* The cells of percentiles that are in a partition; all of each group are there. @return SC_OK, SC_NOMEM, SC_CANCELLED. */
enum sc_status sc_fold_cells(const struct sc_folding *folding, const struct sc_partition *partition);

#endif
