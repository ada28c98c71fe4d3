// SPDX-License-Identifier: BSD-3-Clause
/*
 * The one table of bounds: how large what passes from one part of the collector to the next may be. Who *makes* a thing cuts it by
 * these numbers; who *reads* it refuses what is larger. So they stand in one place, and their order is checked here: nothing that
 * was accepted can be refused further on.
 *
 *   message  ->  record  ->  batch (in columns)  ->  row group (in columns)  ->  row group (encoded)  ->  link, outbox, segment
 *
 * "In columns" are the bytes of the columns that a finished batch has: values, offsets, heaps and validity of all its rows, with
 * the nulls of rows that a column did not have when it was new (flow/batch.h, sc_batch_weight).
 */
#ifndef SC_BASE_BOUNDS_H
#define SC_BASE_BOUNDS_H

#include <assert.h>
#include <stdint.h>

#define SC_BOUND_MESSAGE (65535u) /* bytes of an export message: RFC 7011 section 3.1 */
#define SC_BOUND_FIELDS  (1024u)  /* field specifiers of a template */
#define SC_BOUND_RECORD                                                                                      \
    (128u << 10) /* bytes of one record in columns: the message's, and 16 for each field */

#define SC_BOUND_BATCH_ROWS  (8192u)    /* of a batch of the cluster */
#define SC_BOUND_BATCH_BYTES (4u << 20) /* in columns */
#define SC_BOUND_COLUMNS     (2048u)    /* of a batch, and of a row group */

#define SC_BOUND_GROUP_ROWS  (65536u)
#define SC_BOUND_GROUP_BYTES (64u << 20) /* in columns */

/*
 * Encoding never makes much more of columns than they had: an address may stand in the dictionary, in a filter and as a code, and
 * a column costs its entry and the heads of its streams.
 */
#define SC_BOUND_COLUMN_COST (512u)
#define SC_BOUND_ENCODED(columns_bytes)                                                                      \
    (2 * (uint64_t)(columns_bytes) + SC_BOUND_COLUMNS * SC_BOUND_COLUMN_COST)

/*
 * What a reader believes of a length: of the encoded bytes of one batch, on the link and in the outbox, and of one row group in a
 * segment. Readers are liberal: earlier versions made batches of up to 64 MiB and 64 messages more, which wait in their outboxes,
 * and row groups of up to 16,384 columns (store/format.h).
 */
#define SC_BOUND_LINK_BATCH   (128u << 20)
#define SC_BOUND_STORED_GROUP (1u << 30)
#define SC_BOUND_LEAST_OUTBOX (64u << 20) /* the least that an outbox may be bound to */

static_assert(SC_BOUND_MESSAGE + 16 * SC_BOUND_FIELDS < SC_BOUND_RECORD, "a record holds what a message can");
static_assert(2 * SC_BOUND_FIELDS <= SC_BOUND_COLUMNS, "a batch has the columns of any record, and our own");
static_assert(SC_BOUND_RECORD <= SC_BOUND_BATCH_BYTES, "a batch takes any record");
static_assert(SC_BOUND_BATCH_ROWS <= SC_BOUND_GROUP_ROWS && SC_BOUND_BATCH_BYTES <= SC_BOUND_GROUP_BYTES,
              "a row group takes any batch");
static_assert(SC_BOUND_ENCODED(SC_BOUND_BATCH_BYTES) <= SC_BOUND_LINK_BATCH, "the link takes any batch");
static_assert(4 * SC_BOUND_ENCODED(SC_BOUND_BATCH_BYTES) <= SC_BOUND_LEAST_OUTBOX,
              "the least outbox takes some");
static_assert(SC_BOUND_ENCODED(SC_BOUND_GROUP_BYTES) <= SC_BOUND_STORED_GROUP,
              "a segment takes any row group");
static_assert(SC_BOUND_LINK_BATCH <= SC_BOUND_STORED_GROUP,
              "a segment takes any batch that came by the link");

#endif
