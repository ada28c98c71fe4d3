// SPDX-License-Identifier: BSD-3-Clause
/* The link over libevent's buffers. */
#ifndef SC_RELAY_LINK_STREAM_H
#define SC_RELAY_LINK_STREAM_H

#include "relay/link.h"

#include <event2/bufferevent.h>

/* Reads the whole messages of `in`, and leaves the rest. @return SC_OK, or what ended it: close the connection. */
enum sc_status sc_link_drain(struct evbuffer *in, struct sc_link_reader *reader, struct sc_error *err);

/* Hands what the writer has to the connection. */
enum sc_status sc_link_send(struct bufferevent *to, struct sc_link_writer *writer);

#endif
