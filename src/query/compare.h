// SPDX-License-Identifier: BSD-3-Clause
/* One comparison of the filter over one row group. One comparer per thread. */
#ifndef SC_QUERY_COMPARE_H
#define SC_QUERY_COMPARE_H

#include "base/machine.h"
#include "filter/filter.h"
#include "store/row_fields.h"

/* Scratch. */
struct sc_comparer {
    uint64_t *numbers; /* one per row of a row group */
    uint8_t *bytes;    /* likewise */
    uint8_t *lookup;   /* 65,536 */
    bool use_bloom;
    enum sc_vectors vectors;
};

enum sc_status sc_comparer_init(struct sc_comparer *comparer, bool use_bloom, struct sc_error *err);
void sc_comparer_free(struct sc_comparer *comparer);

/* Sets in out[] (whole words) exactly the rows for which the comparison holds; a null never does. */
enum sc_status sc_compare_rows(struct sc_comparer *comparer, struct sc_row_group *group,
                               const struct sc_filter *filter, uint64_t *out, struct sc_error *err);

#endif
