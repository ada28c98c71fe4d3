// SPDX-License-Identifier: BSD-3-Clause
/*
 * Distinct values that lie beside their groups (sc_aggregate.beside), counted to these partition by partition: what is the same is found among
 * a few thousand values at a time, dealt out by their hashes, which the caches hold; their groups are those of one partition. Only
 * group/values.c includes it.
 */
#ifndef SC_GROUP_BESIDE_H
#define SC_GROUP_BESIDE_H

#include "group/value_set.h"

/*
 * As sc_groups_join of groups all of whose values lie beside them, or have been added up to them already. `which`: those that are to be
 * counted, a bit for each of the values.
 */
enum sc_status sc_beside_join(struct sc_groups *const *partials, uint32_t count, uint32_t which,
                              const struct sc_keep *keep, unsigned threads, struct sc_error *err);

#endif
