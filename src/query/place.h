// SPDX-License-Identifier: BSD-3-Clause
/* Where a record of a sorted listing stands: its sort keys, and behind equal ones its place in the store. */
#ifndef SC_QUERY_PLACE_H
#define SC_QUERY_PLACE_H

#include "query/sort_key.h"
#include "store/format.h"

#include <assert.h>

/* The listing's sort keys stand behind the head. */
struct sc_place {
    uint32_t unit;
    uint16_t row;
    uint16_t nulls; /* bit i: sort key i is null */
    struct sc_sort_key keys[];
};
static_assert(SC_ROW_GROUP_ROWS <= 65536, "rows of a row group are 16 bits");

static inline size_t sc_place_bytes(uint32_t orders)
{
    return sizeof(struct sc_place) + orders * sizeof(struct sc_sort_key);
}

/* The order of the store. */
static inline uint64_t sc_place_number(const struct sc_place *place)
{
    return (uint64_t)place->unit << 16 | place->row;
}

/* No two are equal. */
static inline int sc_place_compare(const struct sc_place *x, const struct sc_place *y, uint32_t orders)
{
    int order = sc_sort_keys_compare(x->keys, x->nulls, y->keys, y->nulls, orders);
    uint64_t a = sc_place_number(x), b = sc_place_number(y);
    return order != 0 ? order : a < b ? -1 : a > b;
}

#endif
