// SPDX-License-Identifier: BSD-3-Clause
/* The link over libevent's buffers. */
#ifndef SC_RELAY_LINK_STREAM_H
#define SC_RELAY_LINK_STREAM_H

#include "base/shared.h"
#include "relay/link.h"

#include <event2/bufferevent.h>
#include <event2/event.h>

/* Reads the whole messages of `in` and what there is of a batch, and leaves the rest. @return SC_OK, or what ended it: close the connection. */
enum sc_status sc_link_drain(struct evbuffer *in, struct sc_link_reader *reader, struct sc_error *err);

/*
 * The incoming half of a connection that batches come over: their bytes are read into their place, and wait in no buffer.
 * Zero-initialise. `event` is set off when the socket is readable; whoever doesn't want to read deletes it for a while.
 */
struct sc_link_input {
    struct event *event;
    struct evbuffer *rest; /* messages that are not whole */
};

/* SC_NOMEM: to be closed all the same. */
enum sc_status sc_link_input_open(struct sc_link_input *input, struct event_base *base, int fd,
                                  event_callback_fn readable, void *arg);
void sc_link_input_close(struct sc_link_input *input);
/* Reads what is there, for a turn at most. *came: the bytes. @return SC_OK; SC_END, SC_IO: the connection is over; what ended it. */
enum sc_status sc_link_input_read(struct sc_link_input *input, struct sc_link_reader *reader, uint64_t *came,
                                  struct sc_error *err);

/* A connection over a socket, which it closes; -1: it is to connect first. NULL without memory. */
struct bufferevent *sc_link_open(struct event_base *base, int fd);

/* Hands what the writer has to the connection. */
enum sc_status sc_link_send(struct bufferevent *to, struct sc_link_writer *writer);
/* A batch, whose bytes the connection holds until they are written. @return SC_OK, SC_NOMEM: close the connection. */
enum sc_status sc_link_send_batch(struct bufferevent *to, struct sc_link_writer *writer,
                                  const struct sc_batch_head *head, struct sc_shared *bytes);

#endif
