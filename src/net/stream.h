// SPDX-License-Identifier: BSD-3-Clause
/*
 * Export messages one after another, as in a raw export payload or an IPFIX file (RFC 5655): where does the
 * next message end, and where does one begin after a damaged stretch? Pure functions over bytes that are not
 * trusted.
 *
 * NetFlow v5 and IPFIX say how long they are. NetFlow v9 does not: its message goes on while flow sets
 * follow, that is until a set id that NetFlow v9 reserves and that is the version word of another message, or
 * to the end.
 */
#ifndef SC_NET_STREAM_H
#define SC_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_STREAM_HEADER 24u                 /* bytes that always suffice to judge a header */
#define SC_STREAM_LIMIT  (16u * 1024 * 1024) /* a NetFlow v9 message is cut there */

/* Whether a message header may stand here. `length` bytes are there; less than a header is none. */
bool sc_stream_plausible(const uint8_t *bytes, size_t length);

enum sc_frame { SC_FRAME_WHOLE, SC_FRAME_MORE, SC_FRAME_BAD };

/*
 * The length of the message at `bytes`. `at_end`: no more bytes will come. SC_FRAME_MORE is given only when
 * not at_end. SC_FRAME_BAD: no message begins here, or it is cut off by the end; go on with sc_stream_scan.
 */
enum sc_frame sc_stream_frame(const uint8_t *bytes, size_t length, bool at_end, size_t *message);

/* Offset (at least 1) of the next plausible header, or `length` when there is none. */
size_t sc_stream_scan(const uint8_t *bytes, size_t length);

#endif
