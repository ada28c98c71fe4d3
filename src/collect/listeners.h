// SPDX-License-Identifier: BSD-3-Clause
/* Listeners of either kind: taken, read to their end, removed. */
#ifndef SC_COLLECT_LISTENERS_H
#define SC_COLLECT_LISTENERS_H

#include "collect/sockets.h"

void sc_listener_free(struct sc_listener *listener);

/* Reads from it from now on. What cannot be is logged, and freed. */
void sc_listeners_take(struct sc_sockets *sockets, struct sc_listener *listener);
/* Takes what waits in its sockets, for a tick at most, then closes them. */
void sc_listeners_remove(struct sc_sockets *sockets, const struct sc_url *url);

/* Until when sockets are read before their end. */
struct sc_drain {
    uint64_t streams_ms; /* their senders may go on for ever; but they learn what was not read */
    uint64_t all_ms;
};

/* Takes what waits in the sockets of a list of listeners, turn by turn. */
void sc_listeners_drain(struct sc_listener *first, const struct sc_drain *until);

#endif
