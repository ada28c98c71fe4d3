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

#define SC_BOUND_MESSAGE (65535u) /* bytes of an export message: RFC 7011 section 3.1 */
#define SC_BOUND_FIELDS  (1024u)  /* field specifiers of a template */
#define SC_BOUND_RECORD                                                                                      \
    (128u << 10) /* bytes of one record in columns: the message's, and 16 for each field */

#define SC_BOUND_BATCH_ROWS  (8192u)    /* of a batch of the cluster (DESIGN section 6) */
#define SC_BOUND_BATCH_BYTES (4u << 20) /* in columns; one record more may pass it */
#define SC_BOUND_COLUMNS     (2048u)    /* of a batch, and of a row group */

#define SC_BOUND_GROUP_ROWS  (65536u)
#define SC_BOUND_GROUP_BYTES (64u << 20) /* in columns */

/* What a reader believes of a length: of the encoded bytes of one row group, on the link, in the outbox and in a segment. Encoding
 * never makes much more of a column than it had; what a column costs beside its values is below SC_BOUND_COLUMN_COST. */
#define SC_BOUND_COLUMN_COST  (512u)
#define SC_BOUND_LINK_BATCH   (64u << 20)
#define SC_BOUND_STORED_GROUP (1u << 30)

static_assert(SC_BOUND_MESSAGE + 16 * SC_BOUND_FIELDS < SC_BOUND_RECORD, "a record holds what a message can");
static_assert(SC_BOUND_RECORD < SC_BOUND_BATCH_BYTES, "a batch takes any record");
static_assert(2 * (SC_BOUND_BATCH_BYTES + SC_BOUND_RECORD) + SC_BOUND_COLUMNS * SC_BOUND_COLUMN_COST <
                  SC_BOUND_LINK_BATCH,
              "the link takes any batch");
static_assert(SC_BOUND_BATCH_BYTES + SC_BOUND_RECORD < SC_BOUND_GROUP_BYTES, "a row group takes any batch");
static_assert(2 * SC_BOUND_GROUP_BYTES + SC_BOUND_COLUMNS * SC_BOUND_COLUMN_COST < SC_BOUND_STORED_GROUP,
              "a segment takes any row group");
static_assert(SC_BOUND_BATCH_ROWS <= SC_BOUND_GROUP_ROWS, "a row group takes the rows of any batch");

#endif
