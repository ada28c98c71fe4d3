// SPDX-License-Identifier: BSD-3-Clause
/* A batch to the bytes of one row group. One encoder per thread. */
#ifndef SC_STORE_ROW_GROUP_ENCODE_H
#define SC_STORE_ROW_GROUP_ENCODE_H

#include "flow/field.h"
#include "store/column_encode.h"

enum sc_stat_field {
    SC_STAT_FIRST,
    SC_STAT_LAST,
    SC_STAT_RECEIVED,
    SC_STAT_OBSERVED,
    SC_STAT_PROTOCOL,
    SC_STAT_FLOWS,
    SC_STAT_PACKETS,
    SC_STAT_BYTES,
    SC_STAT_COUNT
};

struct sc_row_group_encoder {
    struct sc_column_encoder columns;
    struct sc_field fields[SC_STAT_COUNT];
    uint64_t *numbers[SC_STAT_COUNT]; /* scratch, SC_ROW_GROUP_ROWS values each */
    uint64_t *valid;
    struct sc_buf chunks;
};

enum sc_status sc_row_group_encoder_init(struct sc_row_group_encoder *encoder, enum sc_effort effort,
                                         struct sc_error *err);
void sc_row_group_encoder_free(struct sc_row_group_encoder *encoder);

/*
 * Appends the row group of `batch` (finished; 1 to 65,536 rows; spans cover them) to `out` and gives its
 * statistics (initialised by this call, freed by the caller on SC_OK).
 * @return SC_OK; SC_NOMEM; SC_LIMIT when it would pass what the format holds, which what keeps to base/bounds.h does not.
 */
enum sc_status sc_row_group_encode(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                   struct sc_buf *out, struct sc_row_stats *stats, struct sc_error *err);

#endif
