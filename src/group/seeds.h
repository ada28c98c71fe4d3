// SPDX-License-Identifier: BSD-3-Clause
/*
 * The addresses of closed groups (sc_groups_close), so that row groups without any of them are left out, and rows before anything else of
 * them is looked at. Only the files of this room include it.
 */
#ifndef SC_GROUP_SEEDS_H
#define SC_GROUP_SEEDS_H

#include "group/aggregate.h"

/* Of one key. */
struct sc_seeds {
    struct sc_addr *addresses; /* ascending */
    uint32_t count;
    bool null; /* some group has none */
};

/* Marks those of `count` ascending addresses that are, cut to the prefixes of the key, among the seeds. Returns whether any is. `marks` may be NULL. */
bool sc_seeds_mark(const struct sc_seeds *seeds, const struct sc_group_key *key,
                   const struct sc_addr *addresses, uint32_t count, uint8_t *marks);
/* Puts them in order, each once. */
void sc_seeds_sort(struct sc_seeds *seeds);

/* An address cut to the prefix of a key. */
struct sc_addr sc_group_mask_key(const struct sc_group_key *key, const struct sc_addr *address);

#endif
