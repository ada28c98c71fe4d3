// SPDX-License-Identifier: BSD-3-Clause
/* Groups with what their distinct values and percentiles are made of. */
#include "group/part.h"
#include "group/values.h"

#define MOST_THREADS 64u

void sc_groups_free(struct sc_groups *groups)
{
    if (groups != NULL)
        sc_values_free(groups);
    sc_plain_free(groups);
}

size_t sc_groups_memory(const struct sc_groups *groups)
{
    return sc_plain_memory(groups) + sc_values_memory(groups);
}

void sc_groups_set_cancel(struct sc_groups *groups, const atomic_int *cancel)
{
    groups->cancel = cancel;
    sc_values_set_cancel(groups);
}

enum sc_status sc_groups_add_rows(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_selection *selection, struct sc_error *err)
{
    struct sc_rows_left rows;
    if (sc_groups_fed(groups) == 0 && !groups->closed && sc_values_wanted(groups))
        return sc_values_add_rows(groups, group, selection,
                                  err); /* each row's group has some value, if only null */
    enum sc_status status = sc_rows_prepare(groups, group, selection, &rows, err);
    if (status == SC_OK && rows.selection.count != 0)
        status = sc_rows_add(groups, group, &rows, err);
    if (status == SC_OK && rows.selection.count != 0)
        status = sc_values_add_rows(groups, group, &rows.selection, err);
    sc_rows_done(group, &rows);
    return status;
}

/* ---- for a planner ---- */

void sc_groups_keep_values(struct sc_groups *groups)
{
    groups->keep_values = true;
}

/* Each thread adds up to groups of its own. */
enum sc_status sc_groups_settle_values(struct sc_groups *groups, unsigned threads, struct sc_error *err)
{
    struct sc_groups *partials[MOST_THREADS] = {groups};
    uint32_t count = 1;
    groups->keep_values = false;
    for (; groups->value_count != 0 && count < threads && count < MOST_THREADS; count++) {
        partials[count] = sc_groups_create(groups->aggregate);
        if (partials[count] == NULL)
            break; /* fewer will do */
        partials[count]->cancel = groups->cancel;
        partials[count]->spill.limit = groups->spill.limit;
        partials[count]->spill.memory = groups->spill.memory;
    }
    enum sc_status status = sc_groups_join(partials, count, NULL, count, err);
    while (--count > 0)
        sc_groups_free(partials[count]);
    return status;
}
