// SPDX-License-Identifier: BSD-3-Clause
/* The columns of a listing of everything: those that some row group has, each with what does not fit its learned type. */
#ifndef SC_QUERY_STORED_COLUMNS_H
#define SC_QUERY_STORED_COLUMNS_H

#include "query/request.h"
#include "source/source.h"

/* sc_stored_columns_init is the first call. */
struct sc_stored_columns {
    const struct sc_ie_learned *learned; /* borrowed */
    struct sc_schema schema;
    struct sc_field misfits[SC_MAX_COLUMNS];
    bool may_misfit[SC_MAX_COLUMNS], has_misfits[SC_MAX_COLUMNS];
};

void sc_stored_columns_init(struct sc_stored_columns *columns, const struct sc_ie_learned *learned);
void sc_stored_columns_free(struct sc_stored_columns *columns);

/* Adds those of a source. @return SC_OK; SC_LIMIT, SC_NOMEM. */
enum sc_status sc_stored_columns_find(struct sc_stored_columns *columns, const struct sc_source *source,
                                      struct sc_error *err);

/* To bytes and back; `take` adds what is not there yet. @return also SC_DAMAGED. */
void sc_stored_columns_put(const struct sc_stored_columns *columns, struct sc_buf *out);
enum sc_status sc_stored_columns_take(struct sc_stored_columns *columns, struct sc_cursor *in,
                                      struct sc_error *err);

/* Appends them to a listing. */
enum sc_status sc_stored_columns_list(const struct sc_stored_columns *columns,
                                      struct sc_request_listing *listing, struct sc_error *err);

#endif
