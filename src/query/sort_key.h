// SPDX-License-Identifier: BSD-3-Clause
/* The order of sorted listings, as numbers: of one node's records, and of those of several. */
#ifndef SC_QUERY_SORT_KEY_H
#define SC_QUERY_SORT_KEY_H

#include "flow/field.h"

#define SC_MAX_SORT_KEYS 16u

/* An order-preserving number of 128 bits. */
struct sc_sort_key {
    uint64_t high, low;
};

static inline uint64_t sc_ordered_double(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    return bits >> 63 != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

/* What is no number has no place among numbers either. */
static inline bool sc_sort_key_is_null(const struct sc_value *v)
{
    return v->null || (v->type == SC_VALUE_FLOAT && v->f != v->f);
}

/* Of a value that is neither null nor text. Ascending order of the keys is the order asked for. */
static inline struct sc_sort_key sc_sort_key_of(const struct sc_value *v, bool descending)
{
    struct sc_sort_key key;
    switch (v->type) {
    case SC_VALUE_ADDRESS:
        key = (struct sc_sort_key){sc_load_be64(v->addr.b), sc_load_be64(v->addr.b + 8)};
        break;
    case SC_VALUE_FLOAT:
        key = (struct sc_sort_key){0, sc_ordered_double(v->f)};
        break;
    case SC_VALUE_INT:
        key = (struct sc_sort_key){0, v->u ^ UINT64_C(1) << 63};
        break;
    default:
        key = (struct sc_sort_key){0, v->u};
        break;
    }
    return descending ? (struct sc_sort_key){~key.high, ~key.low} : key;
}

/* `nulls`: bit i, key i is null. Nulls last, whatever the direction. Negative: x stands before y. */
static inline int sc_sort_keys_compare(const struct sc_sort_key *x, unsigned x_nulls,
                                       const struct sc_sort_key *y, unsigned y_nulls, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        unsigned x_null = x_nulls >> i & 1u, y_null = y_nulls >> i & 1u;
        if (x_null != y_null)
            return x_null ? 1 : -1;
        if (x_null)
            continue;
        if (x[i].high != y[i].high)
            return x[i].high < y[i].high ? -1 : 1;
        if (x[i].low != y[i].low)
            return x[i].low < y[i].low ? -1 : 1;
    }
    return 0;
}

#endif
