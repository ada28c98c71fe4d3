// SPDX-License-Identifier: BSD-3-Clause
/*
 * What ought to be in some stores, by the tallies of their proxies, and what of it is not (DESIGN section 6, I4). On a store that
 * never was part of a cluster there are no tallies, and nothing is expected.
 */
#ifndef SC_QUERY_EXPECT_H
#define SC_QUERY_EXPECT_H

#include "flow/batch.h"
#include "store/catalogue.h"
#include "store/tally.h"

/* Batches and records of a lane that were found in a window, each id once. */
struct sc_held {
    uint64_t stream, window_ms, batches, records;
    uint32_t lane;
    uint32_t used;
};

/* Zero-initialise. One thread. */
struct sc_expected {
    struct sc_tally *tallies; /* one per stream and window: what all stores together know */
    uint32_t tally_count;
    struct sc_stream *streams;
    uint32_t stream_count;
    uint64_t now_ms;      /* when they were read */
    uint64_t horizon_ms;  /* windows before it were expired somewhere: nothing is expected of them */
    struct sc_held *held; /* open hash */
    uint32_t held_size, held_count;
};

/* Reads what `paths` (stores; others are passed over) and their listing tell. *problem: called for each tally that cannot be read.
 * Before the segments are opened, so that nothing is called safe that is not there to be found. `now_ms`: the wall clock; a node
 * whose clock is ahead of it is no witness that a proxy was heard of. @return SC_OK or SC_NOMEM. */
enum sc_status sc_expected_load(struct sc_expected *expected, const char *const *paths, uint32_t path_count,
                                const struct sc_catalogue *catalogue, uint64_t now_ms,
                                void (*problem)(void *arg, const char *sentence), void *arg);
void sc_expected_free(struct sc_expected *expected);

/* A batch was found. @return SC_OK or SC_NOMEM. */
enum sc_status sc_expected_found(struct sc_expected *expected, const struct sc_span *span,
                                 uint64_t window_ms);

/* What the answer is judged for. */
struct sc_expected_range {
    enum sc_record_kind kind;
    uint64_t begin_ms, end_ms; /* windows that touch it are judged */
};

/* Calls `missing` with a sentence for everything that is. */
void sc_expected_judge(const struct sc_expected *expected, const struct sc_expected_range *range,
                       void (*missing)(void *arg, const char *sentence), void *arg);

#endif
