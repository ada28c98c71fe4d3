// SPDX-License-Identifier: BSD-3-Clause
/* One column to one chunk, in the smallest encoding that fits. Part of the row group encoder. */
#ifndef SC_STORE_COLUMN_ENCODE_H
#define SC_STORE_COLUMN_ENCODE_H

#include "store/address_dict.h"
#include "store/bloom.h"
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
    uint64_t *values; /* scratch, one per row: the values that are not null */
    uint64_t *mapped; /* scratch, one per row or address: codes, differences, functions */
    uint8_t *known;   /* scratch, one per address */
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
