// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a node tells of the batches that it holds, and the row groups that it gives to those who lack them: a thread that reads the
 * store, so that the link's need not. One question after the other; whoever asks has one at a time.
 */
#ifndef SC_RELAY_LENDER_H
#define SC_RELAY_LENDER_H

#include "base/shared.h"
#include "relay/link.h"

#define SC_LENDER_HERE 0u /* the connection of those who ask in this process */

struct sc_lender;

/* A question with its answer, malloc'ed, owned by whoever has it. */
struct sc_loan {
    struct sc_loan *next;
    uint64_t connection;
    struct sc_link_ask ask;
    uint8_t outcome; /* enum sc_link_outcome */
    struct sc_link_digest *digests;
    struct sc_link_holds *holds;
    struct sc_link_told *told;
    uint32_t count;      /* of one of the three */
    uint64_t hash;       /* of the digests; for those who ask here, as is: */
    uint64_t most_bytes; /* asked with digests: as many are to be kept; 0: all */
    uint64_t kept_from_ms;
    uint64_t held_bytes; /* of all files; beside `holds`, of those of earlier windows */
    struct sc_batch_head head;
    struct sc_shared *bytes; /* of a row group; else NULL */
};

void sc_loan_free(struct sc_loan *loan); /* NULL is allowed */

/* `answered` is called in the lender's thread when loans of connections wait. NULL with *err: no memory or thread. */
struct sc_lender *sc_lender_start(const char *store, void (*answered)(void *arg), void *arg,
                                  struct sc_error *err);
void sc_lender_stop(struct sc_lender *lender); /* NULL is allowed */

/* Never waits. False: no memory. Any thread. */
bool sc_lender_ask(struct sc_lender *lender, uint64_t connection, const struct sc_link_ask *ask);
/* One that is answered; NULL: none is. */
struct sc_loan *sc_lender_take(struct sc_lender *lender);
/* Asks and waits for the answer, in a thread that may wait for the disk. NULL without memory. One thread. `most_bytes`: as in the loan. */
struct sc_loan *sc_lender_ask_here(struct sc_lender *lender, const struct sc_link_ask *ask,
                                   uint64_t most_bytes);

#endif
