// SPDX-License-Identifier: BSD-3-Clause
/* Constants and fixed structures of a segment. The specification is at the head of segment_writer.c. */
#ifndef SC_STORE_FORMAT_H
#define SC_STORE_FORMAT_H

#include "base/bounds.h"
#include "base/buf.h"
#include "flow/batch.h"
#include "store/names.h"

#define SC_SEGMENT_VERSION                                                                                   \
    2u /* the newest that is written; older ones are read, and written when asked for */
/* Feature bits that a reader must know to read the file; it refuses others by name. */
#define SC_SEGMENT_FEATURES_KNOWN 0u

#define SC_SEGMENT_MAGIC   "\x89SCSEG\r\n"
#define SC_ROW_GROUP_MAGIC "\x89SCRGRP\n"
#define SC_FOOTER_MAGIC    "\x89SCFOOT\n"
#define SC_TRAILER_MAGIC   "\x89SCEND\r\n"
#define SC_MAGIC_BYTES     8u

#define SC_SEGMENT_HEAD_BYTES   64u
#define SC_ROW_GROUP_HEAD_BYTES 64u
#define SC_ENTRY_BYTES          64u
#define SC_ROW_GROUP_PACKED     1u /* a flag of a row group */
#define SC_SPAN_BYTES           32u
#define SC_TRAILER_BYTES        32u

/* Bounds that a reader enforces before it believes a length. Writers keep to those of base/bounds.h, which are narrower. */
#define SC_MAX_META_BYTES      (16u << 20)
#define SC_MAX_ROW_GROUP_BYTES SC_BOUND_STORED_GROUP
#define SC_MAX_ENTRIES         16384u
#define SC_MAX_ADDRESSES       (1u << 24) /* in the address dictionary of a row group */

static_assert(SC_BOUND_COLUMNS + 2 <= SC_MAX_ENTRIES,
              "a directory names all columns, the addresses, their filter");
static_assert(SC_BOUND_GROUP_BYTES / sizeof(struct sc_addr) <= SC_MAX_ADDRESSES,
              "a dictionary holds all addresses");
static_assert(SC_BOUND_COLUMNS * SC_ENTRY_BYTES + SC_BOUND_GROUP_ROWS * SC_SPAN_BYTES + (64u << 10) <=
                  SC_MAX_META_BYTES,
              "a directory, a span for each row and the statistics fit");

enum sc_chunk_role {
    SC_CHUNK_COLUMN = 0,
    SC_CHUNK_ADDRESSES = 1,
    SC_CHUNK_BLOOM = 2,  /* a Bloom filter without pages */
    SC_CHUNK_FILTER = 3, /* a Bloom filter in pages: not in format 1 */
};

static inline bool sc_chunk_is_filter(uint8_t role)
{
    return role == SC_CHUNK_BLOOM || role == SC_CHUNK_FILTER;
}

enum sc_encoding {
    SC_ENCODING_VALUES = 0,     /* integers: one stream */
    SC_ENCODING_DICT = 1,       /* integers: dictionary stream, codes stream */
    SC_ENCODING_FUNCTION = 2,   /* one value (or address code) per address; codes of `reference` select */
    SC_ENCODING_DIFFERENCE = 3, /* integers: value - value of `reference` modulo 2^64, zigzag */
    SC_ENCODING_CODES = 4,      /* addresses: codes stream into the row group's address dictionary */
    SC_ENCODING_BYTES = 5,      /* lengths stream, heap stream */
    SC_ENCODING_BYTES_DICT = 6, /* lengths stream and heap stream of the distinct values, codes stream */
};

#define SC_NO_REFERENCE UINT32_MAX

/* One chunk of a row group, as its directory describes it. */
struct sc_entry {
    struct sc_column_key key;
    uint8_t role;
    uint8_t encoding;
    uint8_t width; /* bytes an integer needs in memory: 1, 2, 4, 8 */
    uint32_t nulls;
    uint32_t reference; /* entry that FUNCTION and DIFFERENCE refer to */
    uint32_t dict_count;
    uint64_t min, max; /* least and greatest value (integers as unsigned); codes for addresses; 0 for bytes */
    uint64_t offset;   /* of the chunk, from the start of the row group */
    uint32_t length;   /* of the chunk */
    uint64_t hash;     /* XXH3 64 of the chunk's bytes */
};

/* Flows, packets and bytes of one protocol. `protocol` 256: records that carry none. */
struct sc_protocol_total {
    uint32_t protocol;
    uint32_t reserved;
    uint64_t records;
    uint64_t flows;
    uint64_t packets;
    uint64_t bytes;
};

/* Of times in ms; least > greatest when no row has one. */
struct sc_time_range {
    uint64_t min, max;
};

#define SC_ROW_TIMES 4u

/* The times of struct sc_row_stats in the order in which a footer has them. */
static inline unsigned sc_footer_time(unsigned place)
{
    return place < 2 ? 3 - place : place - 2;
}

/* What pruning and totals need to know of some rows. */
struct sc_row_stats {
    union {
        struct {
            uint64_t first_min, first_max;       /* field `first` */
            uint64_t last_min, last_max;         /* field `last` */
            uint64_t received_min, received_max; /* field `received` */
            uint64_t time_min, time_max; /* first, else observation time, else received: what -T selects by */
        };
        struct sc_time_range times[SC_ROW_TIMES]; /* these, in this order */
    };
    struct sc_protocol_total *protocols; /* ascending by protocol */
    uint32_t protocol_count;
};

void sc_row_stats_init(struct sc_row_stats *stats);
void sc_row_stats_free(struct sc_row_stats *stats);
/* Adds `from` to `to`. @return SC_OK or SC_NOMEM (then `to` is as it was). */
enum sc_status sc_row_stats_merge(struct sc_row_stats *to, const struct sc_row_stats *from);
/* Bytes that they take when written. */
size_t sc_row_stats_size(const struct sc_row_stats *stats);
void sc_row_stats_write(const struct sc_row_stats *stats, struct sc_buf *out);
enum sc_status sc_row_stats_read(struct sc_cursor *in, struct sc_row_stats *stats);

#endif
