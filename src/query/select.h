// SPDX-License-Identifier: BSD-3-Clause
/*
 * Selecting rows of a row group: filter and time range to a set of rows. Columns are read only when
 * statistics, the Bloom filter and the dictionaries leave the answer open. One selector per thread.
 */
#ifndef SC_QUERY_SELECT_H
#define SC_QUERY_SELECT_H

#include "query/filter.h"
#include "query/source.h"

enum sc_time_field { SC_TIME_FIRST, SC_TIME_LAST, SC_TIME_RECEIVED, SC_TIME_OVERLAP };

struct sc_time_bounds {
    uint64_t begin_ms, end_ms; /* begin <= t < end; 0 and UINT64_MAX: unbounded */
    enum sc_time_field field;
};

struct sc_selection {
    uint64_t *rows; /* bitmap over the row group */
    uint32_t count;
    bool all; /* every row of the row group */
};

struct sc_selector {
    const struct sc_filter *filter; /* NULL: all */
    struct sc_time_bounds time;
    struct sc_field first, last, received, observed;
    uint64_t *numbers; /* scratch, SC_ROW_GROUP_ROWS */
    uint64_t *numbers2;
    uint64_t *valid; /* scratch bitmaps */
    uint64_t *valid2;
    uint8_t *bytes;            /* scratch, one per row */
    uint8_t *lookup;           /* scratch, 65,536 */
    struct sc_addr *addresses; /* scratch, one per row; allocated when first needed */
    bool use_bloom;
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

/*
 * The columns of `group` that a field needs, decoded, appended to columns[*count] (without repeats). The
 * array has room for SC_FIELD_COLUMNS more.
 */
#define SC_FIELD_COLUMNS 32u
enum sc_status sc_field_load(const struct sc_field *field, struct sc_row_group *group,
                             const struct sc_column **columns, uint32_t *count, struct sc_error *err);

/*
 * The only one of the columns that were loaded for a field, when the rows' values are in it unchanged; else NULL. It may
 * have nulls and any form.
 */
const struct sc_column *sc_field_plain(const struct sc_field *field, const struct sc_column *const *columns,
                                       uint32_t count);

#endif
