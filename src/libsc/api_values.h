// SPDX-License-Identifier: BSD-3-Clause
/* Between the public types of libsc.h and those of the rooms: errors, columns, rows. */
#ifndef SC_LIBSC_API_VALUES_H
#define SC_LIBSC_API_VALUES_H

#include "base/status.h"
#include "query/request.h"
#include "securitycloud/libsc.h"
#include "show/cells.h"

/* Fills *to (when not NULL) from *from and returns the public status. SC_OK and SC_END leave *to alone. */
enum libsc_status sc_api_status(enum sc_status status, const struct sc_error *from, struct libsc_error *to);

/* As sc_fail, with LIBSC_USAGE: an argument of the caller is wrong. */
enum libsc_status sc_api_usage(struct libsc_error *to, const char *sentence);

/* The fields of a list, and room for one row of them. Zero-initialise; owned by the context. */
struct sc_api_columns {
    uint32_t count;
    struct sc_field *fields;
    char (*labels)[SC_LABEL_MAX];
    struct sc_cells *cells; /* set anew for each row group or message */
    struct libsc_value *row;
};

/* NULL `list`: the default fields. `learned` (NULL: none) as in sc_field_find. @return SC_OK; SC_NOTFOUND,
 * SC_USAGE, SC_LIMIT, SC_NOMEM, nothing to free. */
enum sc_status sc_api_columns_init(struct sc_api_columns *columns, const struct sc_ie_learned *learned,
                                   const char *list, struct sc_error *err);
void sc_api_columns_free(struct sc_api_columns *columns);

/* @return 0, or -1 past the last. */
int sc_api_columns_describe(const struct sc_api_columns *columns, size_t i, struct libsc_column *out);

/* Row `row` of the cells; the array is the columns' own. */
const struct libsc_value *sc_api_columns_row(struct sc_api_columns *columns, uint32_t row);

#endif
