// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a subcollector does not take at the link port, and a proxy not of a subcollector that answers: counted by reason, and told in
 * the log at most once a minute for each, with the number of cases and the last peer. Any thread.
 */
#ifndef SC_RELAY_REFUSALS_H
#define SC_RELAY_REFUSALS_H

#include "base/log.h"

#include <pthread.h>
#include <stdint.h>

enum sc_refusal {
    SC_REFUSAL_NONE,
    SC_REFUSAL_ADDRESS, /* a connection from an address that is no member's */
    SC_REFUSAL_NAME,    /* a greeting under a name that is no member's at that address */
    SC_REFUSAL_TLS, /* a connection whose certificate is none of the authority's, or that speaks no TLS 1.3 */
    SC_REFUSAL_CERTIFICATE, /* a greeting under another name than the certificate's */
    SC_REFUSAL_SILENT,      /* a connection that did not greet in time */
    SC_REFUSAL_CROWD,       /* one that had not greeted, closed for a newer one of its address */
    SC_REFUSAL_DISPLACED,   /* an older connection of a member that has connected again */
    SC_REFUSAL_MALFORMED,   /* what makes no sense */
    SC_REFUSAL_SLOW,        /* something begun that does not go on */
    SC_REFUSAL_MEMORY, /* unfinished batches and states of all peers are too many bytes: the largest goes */
    SC_REFUSAL_BATCH,  /* batches that are damaged */
    SC_REFUSAL_LANE,   /* batches and tallies of lanes that are nobody's */
    SC_REFUSAL_STREAM, /* batches, tallies and news of streams that are another member's, or too many new ones */
    SC_REFUSAL_WINDOW,  /* batches and tallies of windows that cannot be */
    SC_REFUSAL_EXPIRED, /* tallies of windows that retention has deleted */
    SC_REFUSAL_TALLIES, /* tallies and news beyond a peer's share; they are told again each second */
    SC_REFUSAL_ACK,     /* acknowledgements of what was never sent */
    SC_REFUSAL_STATE,   /* states of templates of nobody */
    SC_REFUSAL_COUNT
};

struct sc_refusal_case {
    uint64_t count, told; /* of which the log has told */
    uint64_t next_ms;     /* no line before; monotonic */
    char peer[160];       /* the last */
};

struct sc_refusals {
    pthread_mutex_t mutex;
    struct sc_refusal_case cases[SC_REFUSAL_COUNT];
};

void sc_refusals_init(struct sc_refusals *refusals);
void sc_refusals_free(struct sc_refusals *refusals);

/* One more. `refusals` may be NULL: nobody counts. */
void sc_refusals_note(struct sc_refusals *refusals, const struct sc_log *log, enum sc_refusal why,
                      const char *peer, uint64_t now_ms);
/* Tells what came since the last lines, where a minute has passed. */
void sc_refusals_tell(struct sc_refusals *refusals, const struct sc_log *log, uint64_t now_ms);
void sc_refusals_get(struct sc_refusals *refusals, uint64_t counts[SC_REFUSAL_COUNT]);

/* As the status calls it, e.g. "no_member_address". */
const char *sc_refusal_name(enum sc_refusal why);

#endif
