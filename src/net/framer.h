// SPDX-License-Identifier: BSD-3-Clause
/*
 * Frames the IPFIX messages of a TCP stream by the length in their header (RFC 7011 sections 3.1 and 10.4).
 * It sees bytes that are not trusted, in pieces of any size, and never holds more than two messages.
 *
 *     uint8_t *room = sc_framer_room(f, &size);
 *     n = read(fd, room, size);
 *     sc_framer_filled(f, n);
 *     while ((status = sc_framer_next(f, &message, &length, &err)) == SC_OK)
 *         ...the message lies in the framer until the next sc_framer_room...
 *     if (status == SC_MALFORMED)
 *         ...close the connection: there is no way to find the next message...
 *
 * Zero-initialise; sc_framer_free at the end.
 */
#ifndef SC_NET_FRAMER_H
#define SC_NET_FRAMER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How long the IPFIX message at `bytes` is, of which `have` bytes are there so far; no more than SC_FRAMER_LOOK of
 * them are looked at. Pure, for whoever has a buffer of his own.
 * @return SC_OK with *length: all of it is there; SC_AGAIN: *length bytes at least are needed before it is worth
 * asking again; SC_MALFORMED with *err.
 */
#define SC_FRAMER_LOOK 4u
enum sc_status sc_framer_length(const uint8_t *bytes, size_t have, size_t *length, struct sc_error *err);

struct sc_framer {
    uint8_t *buffer;
    size_t start, end; /* bytes not yet framed */
};

void sc_framer_free(struct sc_framer *framer);

/* Where to put the next bytes, and how many fit (at least one). NULL without memory. */
uint8_t *sc_framer_room(struct sc_framer *framer, size_t *size);
void sc_framer_filled(struct sc_framer *framer, size_t count);

/* @return SC_OK with a whole message; SC_AGAIN: more bytes are needed; SC_MALFORMED with *err. */
enum sc_status sc_framer_next(struct sc_framer *framer, const uint8_t **message, size_t *length,
                              struct sc_error *err);

/* Bytes of a message that is not whole yet. */
size_t sc_framer_pending(const struct sc_framer *framer);

#endif
