// SPDX-License-Identifier: BSD-3-Clause
/*
 * A board on which the last template state of each proxy hangs (struct sc_link_state). A subcollector's takes what proxies send
 * and shows it to the others; a proxy's takes its own, to be sent, and what others know, for its decoders. Any thread.
 *
 * What comes gets the next number. A reader remembers the number of the last one that it took and asks for the next: it so sees
 * the newest of each proxy, once, and none that was replaced meanwhile. At most SC_BOARD_MOST states hang there, of at most
 * SC_LINK_MAX_STATE bytes each and SC_BOARD_BYTES together; beyond that the oldest goes.
 */
#ifndef SC_COLLECT_BOARD_H
#define SC_COLLECT_BOARD_H

#include "collect/link_stream.h"

#include <stdatomic.h>

#define SC_BOARD_MOST  64u
#define SC_BOARD_BYTES ((size_t)64 << 20)

struct sc_board;

/* Not changed any more; given back with sc_board_release. */
struct sc_board_state {
    struct sc_link_state head; /* `age_ms` when it came */
    uint64_t came_ms;          /* monotonic */
    uint64_t number;
    atomic_uint readers;
    uint8_t bytes[];
};

enum sc_board_whose { SC_BOARD_OF, SC_BOARD_ALL_BUT };

/* NULL without memory. */
struct sc_board *sc_board_create(void);
void sc_board_free(struct sc_board *board); /* NULL is allowed */

/* Replaces the proxy's last one; the same bytes once more are no news. @return SC_OK, SC_NOMEM. */
enum sc_status sc_board_put(struct sc_board *board, const struct sc_link_state *head, const uint8_t *bytes);
/* The state with the lowest number above `after`, of the proxy, or of all others. NULL: there is none. */
struct sc_board_state *sc_board_next(struct sc_board *board, uint64_t after, const char *proxy,
                                     enum sc_board_whose whose);
void sc_board_release(struct sc_board_state *state); /* NULL is allowed */
/* How old it is now, ms. */
uint64_t sc_board_age(const struct sc_board_state *state);
/* One more reader of it. */
struct sc_board_state *sc_board_keep(struct sc_board_state *state);

/* A reader that sends what it sees over a connection. Zero-initialise. */
struct sc_board_sender {
    struct sc_board_state *state; /* being sent */
    uint32_t sent;                /* bytes of it */
    uint64_t number;
};

/*
 * Sends what there is until `most` bytes wait for the socket: call it again when they are written. @return SC_OK, SC_NOMEM:
 * close the connection.
 */
enum sc_status sc_board_send(struct sc_board *board, const char *proxy, enum sc_board_whose whose,
                             struct sc_board_sender *sender, size_t most, struct bufferevent *to,
                             struct sc_link_writer *writer);
/* For another connection: from the beginning. */
void sc_board_sender_reset(struct sc_board_sender *sender);

#endif
