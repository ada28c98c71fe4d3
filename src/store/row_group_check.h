// SPDX-License-Identifier: BSD-3-Clause
/* The bytes of a row group that came from somewhere else: are they whole, and what do they hold? */
#ifndef SC_STORE_ROW_GROUP_CHECK_H
#define SC_STORE_ROW_GROUP_CHECK_H

#include "store/reader.h"

/* What a segment writer must know of a row group that it did not encode itself. */
struct sc_encoded_group {
    const uint8_t *bytes; /* borrowed */
    size_t length;
    struct sc_group_ref ref; /* offset 0 */
    struct sc_row_stats stats;
    struct sc_span span; /* the only one */
};

/*
 * Verifies lengths and every hash of a row group with one span, as it stands in a segment. What the chunks decode to is not
 * looked at: readers check that whenever they read. @return SC_OK (free with sc_encoded_group_free), SC_DAMAGED, SC_NOMEM.
 */
enum sc_status sc_row_group_check(const uint8_t *bytes, size_t length, struct sc_encoded_group *out,
                                  struct sc_error *err);
void sc_encoded_group_free(struct sc_encoded_group *group);

/* The fields of *ref that statistics tell. */
void sc_group_ref_set_times(struct sc_group_ref *ref, const struct sc_row_stats *stats);

#endif
