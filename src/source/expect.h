// SPDX-License-Identifier: BSD-3-Clause
/*
 * What ought to be in some stores, by the tallies of their proxies, and what of it is not. On a store that
 * never was part of a cluster there are no tallies, and nothing is expected.
 */
#ifndef SC_SOURCE_EXPECT_H
#define SC_SOURCE_EXPECT_H

#include "base/table.h"
#include "flow/batch.h"
#include "store/catalogue.h"
#include "store/horizons.h"
#include "store/loss.h"

/* Batches and records of a lane that were found in a window, each id once. */
struct sc_held {
    uint64_t stream, window_ms, batches, records;
    uint32_t lane;
};

/* What is missing, and was accepted as lost (sc-admin accept-loss). */
struct sc_known_lost {
    uint64_t windows; /* of a proxy's stream */
    uint64_t batches, records;
};

/* Who wants to know what is missing in figures. */
struct sc_loss_sink {
    /* All that is missing, accepted or not; for good where nothing more can come. */
    void (*lost)(void *arg, const struct sc_tally *tally, const struct sc_loss *loss);
    void (*silent)(void *arg, const struct sc_stream *stream);
    void *arg;
};

/* Zero-initialise. One thread. */
struct sc_expected {
    struct sc_tally *tallies; /* one per stream and window: what all stores together know */
    uint32_t tally_count;
    struct sc_stream *streams;
    uint32_t stream_count;
    struct sc_table stream_table; /* of `streams` */
    uint64_t now_ms;              /* when they were read */
    struct sc_horizons horizons;  /* nothing is expected of what all have expired who should hold it */
    struct sc_losses losses;
    struct sc_known_lost known_lost; /* of the judgement */
    const struct sc_loss_sink *sink; /* NULL: nobody wants to know */
    struct sc_held *held;
    uint32_t held_count;
    struct sc_table held_table; /* of `held` */
    uint64_t seed;              /* of both tables */
};

/* Reads what `paths` (stores; others are passed over) and their listing tell. *problem: called for each tally that cannot be read.
 * Before the segments are opened, so that nothing is called safe that is not there to be found. `now_ms`: the wall clock; a node
 * whose clock is ahead of it is no witness that a proxy was heard of. @return SC_OK or SC_NOMEM. */
enum sc_status sc_expected_load(struct sc_expected *expected, const char *const *paths, uint32_t path_count,
                                const struct sc_catalogue *catalogue, uint64_t now_ms,
                                void (*problem)(void *arg, const char *sentence), void *arg);
void sc_expected_free(struct sc_expected *expected);

/* What another store knows. A tally is taken over; when all are there, those of one stream and window are to be merged. @return SC_OK
 * or SC_NOMEM. */
enum sc_status sc_expected_add_tally(struct sc_expected *expected, struct sc_tally *tally);
enum sc_status sc_expected_merge_tallies(struct sc_expected *expected);
enum sc_status sc_expected_add_stream(struct sc_expected *expected, const struct sc_stream *stream);

/* What was expired since the load: nothing is expected of it any more. For each further listing. @return SC_OK or SC_NOMEM. */
enum sc_status sc_expected_horizon(struct sc_expected *expected, const char *const *paths,
                                   uint32_t path_count);
/* Whether a lane's window was expired on purpose by all who should hold it. */
bool sc_expected_excuses(const struct sc_expected *expected, uint64_t window_ms, uint32_t lane);

#define SC_ANY_LANE UINT32_MAX
/* Whether the tallies say what ought to be in a lane's segments of a window: then it takes no look into a segment to know
 * whether something is missing. */
bool sc_expected_covers(const struct sc_expected *expected, uint64_t window_ms, uint32_t lane);

/* A batch was found. @return SC_OK or SC_NOMEM. */
enum sc_status sc_expected_found(struct sc_expected *expected, const struct sc_span *span,
                                 uint64_t window_ms);
/* Several of a lane were found, none of them told before. @return likewise. */
enum sc_status sc_expected_found_all(struct sc_expected *expected, const struct sc_held *found);

/* What the answer is judged for. */
struct sc_expected_range {
    enum sc_record_kind kind;
    uint64_t begin_ms, end_ms; /* windows that touch it are judged */
};

bool sc_expected_is_judged(const struct sc_expected *expected, const struct sc_expected_range *range,
                           const struct sc_tally *tally);

/*
 * Calls `missing` with a sentence for everything that is and was not accepted as lost; that is counted. What ought to be
 * there is what is safe, and of a stream that is closed all that was accepted.
 */
void sc_expected_judge(struct sc_expected *expected, const struct sc_expected_range *range,
                       void (*missing)(void *arg, const char *sentence), void *arg);

#endif
