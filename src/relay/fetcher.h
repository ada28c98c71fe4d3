// SPDX-License-Identifier: BSD-3-Clause
/*
 * The thread that touches the outbox for the peers, so that a disk that stalls does not stop their beats, acknowledgements and
 * tallies: it reads the batches that are to be sent, and tidies up after those that were released.
 *
 *     f = malloc(sizeof(*f)); ...
 *     sc_fetcher_ask(fetcher, f);
 *     ...ready(arg) is called, in the fetcher's thread...
 *     f = sc_fetcher_take(fetcher);
 */
#ifndef SC_RELAY_FETCHER_H
#define SC_RELAY_FETCHER_H

#include "relay/outbox.h"

struct sc_fetcher;

/* A batch that is asked for; malloc'ed, owned by whoever has it. */
struct sc_fetch {
    struct sc_fetch *next;
    uint64_t connection;      /* of the one who asks */
    struct sc_accepted batch; /* with its bytes when err.status is SC_OK */
    struct sc_error err;      /* what sc_outbox_read said */
};

/* `outbox` lives longer. @return NULL with *err. */
struct sc_fetcher *sc_fetcher_start(struct sc_outbox *outbox, void (*ready)(void *arg), void *arg,
                                    struct sc_error *err);
/* What is under way is finished, what waits is given up. NULL is allowed. */
void sc_fetcher_stop(struct sc_fetcher *fetcher);

/* Zero but for what is wanted. */
void sc_fetcher_ask(struct sc_fetcher *fetcher, struct sc_fetch *fetch);
/* What is there, in the order in which it was asked for; NULL: nothing. */
struct sc_fetch *sc_fetcher_take(struct sc_fetcher *fetcher);
void sc_fetch_free(struct sc_fetch *fetch);

/* Batches were released. */
void sc_fetcher_tidy(struct sc_fetcher *fetcher);

#endif
