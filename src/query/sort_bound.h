// SPDX-License-Identifier: BSD-3-Clause
/* Of sorted listings with a limit: how good the rows of a row group can be by its directory, before any column is read. */
#ifndef SC_QUERY_SORT_BOUND_H
#define SC_QUERY_SORT_BOUND_H

#include "query/engine.h"

/* Whether the order's values are numbers that directories tell about: those of columns as they are. */
bool sc_sort_is_bounded(const struct sc_list_order *order);

/* The order's value as a number that ascends in the order asked for, nulls last (together with the greatest value). */
static inline uint64_t sc_sort_number(const struct sc_list_order *order, uint64_t value, bool null)
{
    return null ? UINT64_MAX : order->descending ? ~value : value;
}

/* No row of the row group has a smaller number. The order is bounded. */
uint64_t sc_sort_bound(const struct sc_list_order *order, const struct sc_row_group *group);

#endif
