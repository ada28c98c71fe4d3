// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whether every batch that ought to exist is held whole by every member that is to hold it (sc-admin verify --cluster). Each subcollector
 * of a survey reads all files of its store and checks all hashes, which takes as long as its disk does, and tells which batches are in
 * the row groups whose rows can all be read, and which in those whose rows cannot. What all tell is joined: with the tallies (cluster/expectation.h:
 * what nobody has whole), and with the ring (cluster/lacking.h: who lacks a copy). Batches come late and files are sealed meanwhile: who
 * seems to lack something is asked a second time, for these windows, streams and lanes alone, before it is called so.
 *
 * Requests and answers are JSON objects; HELD is a list of batches as in cluster/holdings_json.c, streams and horizons are as in
 * cluster/expectation.h and horizons_told.h:
 *
 *   {}                          {"node": NAME, "store": PATH, "now_ms": MS, "streams": [...], "horizon_ms": MS, "horizons": TEXT, "kept_from_ms": MS,
 *                                "held": HELD, "damaged": HELD, "files": N, "row_groups": N, "records": N, "damaged_files": N,
 *                                "findings": [{"path": PATH, "text": SENTENCE}, ...], "more_findings": N, "failed": SENTENCE}
 *   {"lanes": {NAME: HELD}}     {"node": NAME, "horizon_ms": MS, "horizons": TEXT, "kept_from_ms": MS,
 *                                "held": HELD}   of these lanes, by the member's name, batches with their records
 *
 * "failed": some of the store could not be examined. Who could examine nothing says {"node": NAME, "problem": SENTENCE}. Before an
 * answer lines without a word may come, one for each hundredth of the bytes that were read.
 *
 * A member whose clock ("now_ms") is not told, or differs by more than a minute from that of who asks, has a problem as one that is silent.
 * What is judged are windows that are over since `settle_ms` by the clocks of all who answered, and of who asks, each by its own length
 * (cluster/over.h).
 *
 * A limit: what nobody holds is missed by how many batches a tally tells, not by their numbers. Where all tallies of a window tell too few, a
 * number that nobody holds between two that are held goes unseen. It cannot be told from one that is where it belongs: the numbers of a
 * stream run over all of its lanes and windows, of which some have expired, some are not over, and some wait in an outbox.
 */
#ifndef SC_CLUSTER_VERIFICATION_H
#define SC_CLUSTER_VERIFICATION_H

#include "cluster/lacking.h"
#include "cluster/survey.h"
#include "source/expect.h"
#include "store/store.h"

/* ---- the side of a member ---- */

/* Called with each file: bytes that are read, of how many. */
typedef void sc_verification_progress_fn(void *arg, uint64_t bytes, uint64_t of_bytes);

/* What a node answers for its store. `node`: its name, or NULL when it has none; `retention`: what it is to keep. */
json_t *sc_verification_answer(const char *store, const char *node, const struct sc_retention *retention,
                               const json_t *request, sc_verification_progress_fn *progress, void *arg);

/* ---- who asks ---- */

struct sc_verified_member {
    bool told;
    struct sc_holdings whole, damaged; /* of the windows that are judged; settled, without records */
    uint64_t kept_from_ms;             /* as in struct sc_lacking_member; by the clock of who asks */
    uint32_t unreadable;               /* tallies, accepted losses and folders of its store */
    json_t *answer;                    /* the first one; NULL: none */
    uint64_t absent, damaged_batches;  /* what it lacks, as in struct sc_lack */
};

struct sc_verification {
    struct sc_survey survey;
    struct sc_verified_member *members; /* one per member of the cluster */
    uint64_t asked_ms;                  /* when, by the clock of who asks */
    uint64_t over_ms;                   /* windows that were over by then are judged */
    uint64_t left_from_ms;              /* the earliest begin of those that are not; 0: there is none */
    struct sc_lack *lacks;              /* summed */
    uint32_t lack_count;
    char **missing; /* sentences, as answers have them: what nobody who told it has whole */
    uint32_t missing_count;
    struct sc_known_lost known_lost;
    uint64_t kept_since_ms; /* of earlier windows some or all were deleted on purpose; 0: of none */
    bool short_of_memory;   /* within the run */
};

/* Asks all subcollectors. *v is zero-initialised, to be freed in any case. @return SC_OK, whoever answered; SC_NOMEM. */
enum sc_status sc_verification_run(struct sc_verification *v, const struct sc_survey_options *options,
                                   const struct sc_cluster *cluster, uint64_t settle_ms,
                                   struct sc_error *err);
void sc_verification_free(struct sc_verification *v);

/* Whether something in its store is not as it was written, or cannot be looked at. */
bool sc_verified_is_damaged(const struct sc_verified_member *member);

#endif
