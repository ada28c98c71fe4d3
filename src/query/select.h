// SPDX-License-Identifier: BSD-3-Clause
/*
 * Selecting rows of a row group: filter and time range to a set of rows. Columns are read only when
 * statistics, the Bloom filter and the dictionaries leave the answer open. One selector per thread.
 */
#ifndef SC_QUERY_SELECT_H
#define SC_QUERY_SELECT_H

#include "query/compare.h"
#include "source/source.h"

enum sc_time_field { SC_TIME_FIRST, SC_TIME_LAST, SC_TIME_RECEIVED, SC_TIME_OVERLAP };

struct sc_time_bounds {
    uint64_t begin_ms, end_ms; /* begin <= t < end; 0 and UINT64_MAX: unbounded */
    enum sc_time_field field;
};

struct sc_selector {
    const struct sc_filter *filter; /* NULL: all */
    struct sc_time_bounds time;
    struct sc_field first, last, received, observed;
    struct sc_comparer comparer;
};

enum sc_status sc_selector_init(struct sc_selector *selector, const struct sc_filter *filter,
                                const struct sc_time_bounds *time, bool use_bloom, struct sc_error *err);
void sc_selector_free(struct sc_selector *selector);

/* By the footer's statistics alone: false when no row of the row group can match the time bounds. */
bool sc_selector_group_possible(const struct sc_selector *selector, const struct sc_group_ref *ref);

/*
 * The rows of `group` (within the unit's ranges) that match; selection->rows lives in the group's arena.
 * @return SC_OK (count 0 when none), SC_DAMAGED, SC_IO, SC_NOMEM.
 */
enum sc_status sc_selector_run(struct sc_selector *selector, struct sc_row_group *group,
                               const struct sc_source_unit *unit, struct sc_selection *selection,
                               struct sc_error *err);

#endif
