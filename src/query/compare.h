// SPDX-License-Identifier: BSD-3-Clause
/* One comparison of the filter over one row group. */
#ifndef SC_QUERY_COMPARE_H
#define SC_QUERY_COMPARE_H

#include "query/select.h"

/* Sets in out[] (whole words) exactly the rows for which the comparison holds; a null never does. */
enum sc_status sc_compare_rows(struct sc_selector *selector, struct sc_row_group *group,
                               const struct sc_filter *filter, uint64_t *out, struct sc_error *err);

#endif
