// SPDX-License-Identifier: BSD-3-Clause
#include "query/sort_bound.h"

bool sc_sort_is_bounded(const struct sc_list_order *order)
{
    const struct sc_field *field = &order->field;
    bool number = field->type == SC_VALUE_UINT || field->type == SC_VALUE_TIME_MS;
    if (!number || field->computed != SC_COMPUTED_NONE || field->scaled)
        return false;
    for (unsigned i = 0; i < field->source_count; i++) {
        if (field->sources[i].transform != SC_TRANSFORM_NONE || field->sources[i].key.kind != SC_COLUMN_UINT)
            return false;
    }
    return true;
}

/* Any of the sources may give a row its value. */
uint64_t sc_sort_bound(const struct sc_list_order *order, const struct sc_row_group *group)
{
    uint64_t bound = UINT64_MAX;
    for (unsigned i = 0; i < order->field.source_count; i++) {
        const struct sc_entry *entry = sc_row_group_entry(group, order->field.sources[i].key);
        if (entry == NULL)
            continue;
        uint64_t best = sc_sort_number(order, order->descending ? entry->max : entry->min, false);
        bound = best < bound ? best : bound;
    }
    return bound;
}
