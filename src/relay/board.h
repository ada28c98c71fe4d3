// SPDX-License-Identifier: BSD-3-Clause
/*
 * A board on which what each proxy knows of templates hangs: of each session its last record (collect/roll.h). A subcollector's
 * takes what proxies send and shows it to the others; a proxy's takes its own, to be sent, and what others know, for its decoders.
 * Any thread.
 *
 * Each record that comes gets the next number. A reader remembers the number of the last one that it took and asks for the next:
 * it so sees the newest of each session, once, and none that was replaced meanwhile; records that follow each other come together
 * as one state (struct sc_hearsay_head), of SC_BOARD_STATE bytes or one record. At most SC_BOARD_MOST proxies have a place, with
 * SC_BOARD_PROXY_BYTES each and SC_BOARD_BYTES together; over that the records that came longest ago are left out, those of the
 * proxy that has the most first. The whole state of a program before the records hangs there as it is.
 */
#ifndef SC_RELAY_BOARD_H
#define SC_RELAY_BOARD_H

#include "base/log.h"
#include "relay/link_stream.h"

#include <stdatomic.h>

#define SC_BOARD_MOST        64u
#define SC_BOARD_PROXY_BYTES ((size_t)64 << 20)
#define SC_BOARD_BYTES       ((size_t)256 << 20)
#define SC_BOARD_STATE       ((size_t)256 << 10)

struct sc_board;

enum sc_board_whose { SC_BOARD_OF, SC_BOARD_ALL_BUT };

/* NULL without memory. */
struct sc_board *sc_board_create(void);
void sc_board_free(struct sc_board *board); /* NULL is allowed */

/* Takes the records of a state; the same once more are no news. What cannot be read is left out. @return SC_OK, SC_NOMEM. */
enum sc_status sc_board_put(struct sc_board *board, const struct sc_hearsay_head *head, const uint8_t *bytes);
/* What came next after `after`, of the proxy, or of all others; to be released. NULL: there is nothing, or no memory now. */
struct sc_hearsay *sc_board_next(struct sc_board *board, uint64_t after, const char *proxy,
                                 enum sc_board_whose whose);
/* Tells, once a minute at most, how many records found no room, and of whom. */
void sc_board_complain(struct sc_board *board, const struct sc_log *log);

/* A reader that sends what it sees over a connection. Zero-initialise, or sc_board_sender_begin. */
struct sc_board_sender {
    struct sc_hearsay *state; /* being sent */
    uint32_t sent;            /* bytes of it */
    uint64_t number;
    uint64_t echo; /* up to this number the proxy's own, too, where those of all others are sent */
};

/* For another connection, from the beginning; its proxy gets back what is there now of its own: it may have lost its store. */
void sc_board_sender_begin(struct sc_board_sender *sender, struct sc_board *board);

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
