// SPDX-License-Identifier: BSD-3-Clause
/* The link over libevent's buffers. */
#ifndef SC_RELAY_LINK_STREAM_H
#define SC_RELAY_LINK_STREAM_H

#include "relay/link.h"

#include <event2/bufferevent.h>
#include <event2/event.h>

/* Reads the whole messages of `in`, and leaves the rest. @return SC_OK, or what ended it: close the connection. */
enum sc_status sc_link_drain(struct evbuffer *in, struct sc_link_reader *reader, struct sc_error *err);

/* Hands what the writer has to the connection. */
enum sc_status sc_link_send(struct bufferevent *to, struct sc_link_writer *writer);

/* An event that other threads set off with sc_link_wake_up. NULL without memory or descriptors. */
struct event *sc_link_wake_event(struct event_base *base, event_callback_fn callback, void *arg, int *fd);
void sc_link_wake_up(int fd);
/* To be called in the callback. */
void sc_link_woken(int fd);

#endif
