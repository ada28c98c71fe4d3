// SPDX-License-Identifier: BSD-3-Clause
/* Fields over a row group: the columns that a field reads, and which rows were selected. */
#ifndef SC_STORE_ROW_FIELDS_H
#define SC_STORE_ROW_FIELDS_H

#include "flow/field.h"
#include "store/reader.h"

struct sc_selection {
    uint64_t *rows; /* bitmap over the row group */
    uint32_t count;
    bool all; /* every row of the row group */
};

/* The numbers of its rows, to an array with room for SC_BITMAP_SLACK more. */
void sc_selection_list(const struct sc_selection *selection, const struct sc_row_group *group, uint32_t *out);
/* Only its first `keep` rows stay, or all where there are no more. */
void sc_selection_cut(struct sc_selection *selection, const struct sc_row_group *group, uint64_t keep);

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
