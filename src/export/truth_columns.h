// SPDX-License-Identifier: BSD-3-Clause
/* Rows of columns to the truth, by the scalar field access (never the query engine). */
#ifndef SC_EXPORT_TRUTH_COLUMNS_H
#define SC_EXPORT_TRUTH_COLUMNS_H

#include "export/truth.h"
#include "flow/field.h"

enum { SC_TRUTH_FIELDS = 10 };

struct sc_truth_columns {
    struct sc_field fields[SC_TRUTH_FIELDS];
};

/* Looks the fields up. @return SC_OK, or what sc_field_find says. */
enum sc_status sc_truth_columns_init(struct sc_truth_columns *t, struct sc_error *err);

/* Adds one row. @return SC_OK or SC_NOMEM. */
enum sc_status sc_truth_add_row(struct sc_truth *truth, const struct sc_truth_columns *t,
                                const struct sc_column *const *columns, uint32_t column_count, uint32_t row);

#endif
