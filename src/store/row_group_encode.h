// SPDX-License-Identifier: BSD-3-Clause
/* A batch to the bytes of one row group. One encoder per thread. */
#ifndef SC_STORE_ROW_GROUP_ENCODE_H
#define SC_STORE_ROW_GROUP_ENCODE_H

#include "flow/field.h"
#include "store/address_dict.h"
#include "store/format.h"
#include "store/stream.h"

/* What is kept from one row group to the next. */
struct sc_column_encoder {
    uint64_t seed; /* of its tables; no byte that it writes depends on it */
    struct sc_stream_encoder streams;
    struct sc_address_set addresses;
    struct sc_buf trial, best;
    const char *bound; /* the one that was hit, after SC_LIMIT */
};

enum sc_stat_field {
    SC_STAT_FIRST, /* the first three as the times of struct sc_row_stats */
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

/* Of the newest format. */
enum sc_status sc_row_group_encoder_init(struct sc_row_group_encoder *encoder, enum sc_effort effort,
                                         struct sc_error *err);
/* What is encoded then is read by programs of that format; 0: the newest. */
void sc_row_group_encoder_set_format(struct sc_row_group_encoder *encoder, uint16_t format);
void sc_row_group_encoder_free(struct sc_row_group_encoder *encoder);

/*
 * Appends the row group of `batch` (finished; 1 to 65,536 rows; spans cover them) to `out` and gives its
 * statistics (initialised by this call, freed by the caller on SC_OK).
 * @return SC_OK; SC_NOMEM; SC_LIMIT when it would pass what the format holds, which what keeps to base/bounds.h does not.
 */
enum sc_status sc_row_group_encode(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                   struct sc_buf *out, struct sc_row_stats *stats, struct sc_error *err);

/* ---- one column to one chunk, in the smallest encoding that fits: for the above (column_encode.c) ---- */

/* An address column with the codes of all its rows (0 where null); another column may be a function of it. */
struct sc_coded_column {
    const struct sc_column *column;
    uint32_t *codes;
    uint32_t entry; /* number of its entry; SC_NO_REFERENCE until it is written */
};

/* What the columns of one row group share while they are encoded. */
struct sc_column_coder {
    struct sc_column_encoder *encoder;
    const struct sc_batch *batch;
    struct sc_coded_column *addresses;
    uint32_t address_count;
    /* Columns that a difference may refer to. */
    struct {
        const struct sc_column *column;
        uint32_t entry;
    } bases[8];
    uint32_t base_count;
    uint64_t *values;  /* scratch, one per row: the values that are not null */
    uint64_t *mapped;  /* scratch, one per row or address: codes, differences, functions */
    uint8_t *known;    /* scratch, one per address */
    uint32_t *present; /* scratch, one per row: codes of the rows that are not null */
    size_t least;      /* what the best encoding of a column takes, so far */
    bool estimated;    /* until another encoding is better, that is an estimate, and nothing is encoded */
};

/* Collects the address dictionary of the batch into encoder->addresses. */
enum sc_status sc_column_coder_init(struct sc_column_coder *coder, struct sc_column_encoder *encoder,
                                    const struct sc_batch *batch);
void sc_column_coder_free(struct sc_column_coder *coder);

/* Appends the chunk of `column`, the entry with number `number`, to `out` and describes it in *entry. */
enum sc_status sc_column_encode(struct sc_column_coder *coder, const struct sc_column *column,
                                uint32_t number, struct sc_entry *entry, struct sc_buf *out);

/* True when a column is expected to lie near another (an end near its start); *base is the other's key. */
bool sc_column_partner_of(struct sc_column_key key, struct sc_column_key *base);

#endif
