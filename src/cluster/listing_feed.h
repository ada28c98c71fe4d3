// SPDX-License-Identifier: BSD-3-Clause
/*
 * A rank's own listing, run in a thread of its own: its records are taken in pieces by the one who passes them on.
 * It runs at most two pieces ahead of that.
 */
#ifndef SC_CLUSTER_LISTING_FEED_H
#define SC_CLUSTER_LISTING_FEED_H

#include "query/engine.h"

/* A piece is at least so large, save the last and where somebody waits. */
#define SC_FEED_PIECE ((size_t)256 << 10)

struct sc_feed;

/* NULL with *err. All is borrowed until sc_feed_end. */
struct sc_feed *sc_feed_start(struct sc_source *source, const struct sc_scan_options *options,
                              const struct sc_listing *listing, struct sc_error *err);

/* Waits for the next piece, which takes the place of what `piece` held. *over: nothing comes behind it (it may be empty). */
void sc_feed_take(struct sc_feed *feed, struct sc_buf *piece, bool *over);

/* How it ended, once it is over. @return the status of sc_query_list, with its sentence. */
enum sc_status sc_feed_status(struct sc_feed *feed, struct sc_error *err);

/*
 * Stops it, waits for its thread and frees it. `used`: how many of its records are in the answer; in store order the summary is of
 * these. @return as sc_feed_status.
 */
enum sc_status sc_feed_end(struct sc_feed *feed, uint64_t used, struct sc_summary *summary,
                           struct sc_scan_stats *stats, struct sc_error *err);

/*
 * A record of a listing as bytes: their number (4), the values of the listing's fields, then those of its sort keys. A value is a
 * byte, its type and whether it is null; then an integer or a float of 8 bytes, an address of 16, or a length (4) and bytes.
 */
void sc_record_put(struct sc_buf *out, const struct sc_value *values, uint32_t count);

/* The number of bytes of the first record, its length included; 0 when they are not whole. */
size_t sc_record_length(const uint8_t *bytes, size_t length);

/* `count` values, borrowed from the bytes of one record. @return SC_OK; SC_DAMAGED: these are not so many values. */
enum sc_status sc_record_get(const uint8_t *bytes, size_t length, struct sc_value *values, uint32_t count);

#endif
