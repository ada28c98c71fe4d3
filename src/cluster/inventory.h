// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a rank tells rank 0, as bytes (little-endian; both ends are the same program, but lengths are checked all the same):
 * what its proxies' tallies expect, which batches it holds, found and could not read, sentences for the user, sums.
 */
#ifndef SC_CLUSTER_INVENTORY_H
#define SC_CLUSTER_INVENTORY_H

#include "show/summary.h"
#include "source/expect.h"
#include "source/source.h"

/* Streams, accepted losses and horizons. */
void sc_inventory_put_expected(const struct sc_expected *expected, struct sc_buf *out);
/* Adds them to what is known. @return SC_OK, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_inventory_get_expected(struct sc_cursor *in, struct sc_expected *expected);

/* How far the stores that this node reads have expired by now. @return SC_OK or SC_DAMAGED. */
void sc_inventory_put_own_horizons(const struct sc_expected *expected, struct sc_buf *out);
enum sc_status sc_inventory_get_own_horizons(struct sc_cursor *in, struct sc_expected *expected);

/* What rank 0 knows of tallies, so that others tell it only of what is news: a hash of each that is judged for the range. */
struct sc_inventory_digest {
    uint64_t seed;
    uint64_t *hashes; /* ascending */
    uint32_t count;
};

void sc_inventory_put_digest(const struct sc_expected *expected, const struct sc_expected_range *range,
                             uint64_t seed, struct sc_buf *out);
/* *digest is to be freed in any case. @return SC_OK, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_inventory_get_digest(struct sc_cursor *in, struct sc_inventory_digest *digest);
void sc_inventory_digest_free(struct sc_inventory_digest *digest);

/* The tallies that are judged for the range, without those of the digest. NULL: all; where none is judged then one that is not, since
 * that there are tallies is news, too. */
void sc_inventory_put_tallies(const struct sc_expected *expected, const struct sc_expected_range *range,
                              const struct sc_inventory_digest *digest, struct sc_buf *out);
/* Adds them; to be merged when all are there. @return SC_OK, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_inventory_get_tallies(struct sc_cursor *in, struct sc_expected *expected);

/* Batches by runs of their ids, to the end of the message: what a rank holds, and which of that it is to read. */
void sc_inventory_put_run(const struct sc_id_run *run, struct sc_buf *out);
/* *runs is to be freed. @return SC_OK; SC_DAMAGED, also when they are not in their order; SC_NOMEM. */
enum sc_status sc_inventory_get_runs(struct sc_cursor *in, struct sc_id_run **runs, uint32_t *count);

/* What of its batches a source is to read: how many, with how many records, by stream, lane and window. */
void sc_inventory_put_found(const struct sc_source *source, struct sc_buf *out);
/* @return SC_OK, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_inventory_get_found(struct sc_cursor *in, struct sc_expected *expected);

/* A batch that could not be read: rows of the span are its records. */
struct sc_lost_batch {
    struct sc_span span;
    uint64_t window_ms;
};

/* source->lost. */
void sc_inventory_put_lost(const struct sc_source *source, struct sc_buf *out);
/* The next one; false: there are no more, or in->failed. */
bool sc_inventory_get_lost(struct sc_cursor *in, struct sc_lost_batch *lost);

void sc_inventory_put_text(const char *text, struct sc_buf *out);
/* As a string again. False: damaged, or too long for it. */
bool sc_inventory_copy_text(struct sc_cursor *in, char *out, size_t size);

void sc_inventory_put_summary(const struct sc_summary *summary, struct sc_buf *out);
enum sc_status sc_inventory_get_summary(struct sc_cursor *in, struct sc_summary *summary);

#endif
