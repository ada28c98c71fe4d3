// SPDX-License-Identifier: BSD-3-Clause
/*
 * Connecting to a destination, over and over, without holding up the event loop: the pause that is due, the name, then each of its
 * addresses in turn until one answers. Pauses grow from 100 ms to 5 s until the caller says that a connection was a good one; the
 * very first try has none. A name that the name service has not found in time goes on being looked up during the next pause, and is
 * not asked for a second time meanwhile.
 *
 *     dial = sc_dial_create(&options);
 *     sc_dial_start(dial, NULL);     ...and again after each `failed`, and each connection that ended
 *
 * All functions belong in the thread of the loop. The callbacks come from the loop, never from within these functions, one for each
 * start; they may call all of them but sc_dial_free.
 */
#ifndef SC_NET_DIAL_H
#define SC_NET_DIAL_H

#include "base/url.h"

#include <stdbool.h>

struct event_base;
struct sc_dial;

struct sc_dial_options {
    struct event_base *base;
    struct sc_url to;
    uint32_t patience_ms; /* with the name service, and with all addresses; each has 1.5 s of it at least */
    void (*connected)(void *arg, int fd);                     /* the descriptor is the callee's */
    void (*failed)(void *arg, const struct sc_error *reason); /* of the last address, or of the name */
    void *arg;
};

/* @return NULL without memory or descriptors. */
struct sc_dial *sc_dial_create(const struct sc_dial_options *options);
/* NULL is allowed. */
void sc_dial_free(struct sc_dial *dial);

/* Tries once more when the pause is over; nothing, when it is trying. `from` (NULL: none): an address of this node to connect from,
 * where it can be had; else the system chooses. */
void sc_dial_start(struct sc_dial *dial, const struct sc_addr *from);
/* The pause, if there is one at present, ends now. */
void sc_dial_hurry(struct sc_dial *dial);
/* What was connected did well: pauses are short again. */
void sc_dial_praise(struct sc_dial *dial);

#endif
