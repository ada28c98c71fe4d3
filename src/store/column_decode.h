// SPDX-License-Identifier: BSD-3-Clause
/* One chunk to one column, the reverse of column_encode.c. */
#ifndef SC_STORE_COLUMN_DECODE_H
#define SC_STORE_COLUMN_DECODE_H

#include "store/reader.h"

/*
 * Decodes the verified chunk of an entry to *c, of which key, form, rows, nulls and width are set; everything lies in the group's arena.
 * `reference` is the column that the entry refers to, NULL when it has none. With `wanted`, values of other rows are of no
 * meaning, and codes of other rows lie in the dictionary. @return SC_OK, SC_DAMAGED, SC_NOMEM.
 */
enum sc_status sc_column_decode(struct sc_row_group *group, const struct sc_entry *e,
                                const struct sc_column *reference, struct sc_cursor *in, struct sc_column *c);

/* sc_row_group_match of the verified chunk of an entry. */
enum sc_status sc_column_match(struct sc_row_group *group, const struct sc_entry *e, struct sc_cursor *in,
                               uint64_t low, uint64_t high, uint64_t *out, bool *done);

#endif
