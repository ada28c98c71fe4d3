// SPDX-License-Identifier: BSD-3-Clause
/*
 * Distinct values that lie beside their groups (sc_aggregate.beside), counted to these partition by partition: what is the same is found among
 * a few thousand values at a time, dealt out by their hashes, which the caches hold; their groups are those of one partition. Only
 * group/values.c includes it.
 */
#ifndef SC_GROUP_BESIDE_H
#define SC_GROUP_BESIDE_H

#include "group/value_set.h"

struct sc_beside_work; /* of a thread */

struct sc_beside_values {
    struct sc_groups *const *partials; /* the first takes all */
    uint32_t count;
    uint32_t which; /* of their values, a bit for each */
    unsigned threads;
    struct sc_beside_work *works; /* of each */
};

/* False without memory. */
bool sc_beside_begin(struct sc_beside_values *values);
/* sc_beside.add; `values` is a struct sc_beside_values. @return SC_OK, SC_NOMEM, SC_CANCELLED, SC_FULL: the file cannot be read. */
enum sc_status sc_beside_add(void *values, unsigned thread, uint32_t number);
void sc_beside_end(struct sc_beside_values *values);

#endif
