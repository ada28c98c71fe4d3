// SPDX-License-Identifier: BSD-3-Clause
/* The link over libevent's buffers, plain or over TLS. */
#ifndef SC_RELAY_LINK_STREAM_H
#define SC_RELAY_LINK_STREAM_H

#include "base/shared.h"
#include "net/tls.h"
#include "relay/link.h"

#include <event2/bufferevent.h>
#include <event2/event.h>

/* Reads the whole messages of `in` and what there is of a batch, and leaves the rest. @return SC_OK, or what ended it: close the connection. */
enum sc_status sc_link_drain(struct evbuffer *in, struct sc_link_reader *reader, struct sc_error *err);

/*
 * The incoming half of a connection that batches come over. Plain, their bytes are read into their place, and wait in no buffer; over
 * TLS they are deciphered into one, of a bounded size. Zero-initialise.
 */
struct sc_link_input {
    struct bufferevent *io;
    bool secret; /* over TLS: `io` reads */
    bufferevent_data_cb readable;
    void *arg;
    struct event *event;   /* of the plain socket */
    struct evbuffer *rest; /* messages that are not whole; over TLS all that came, too */
    size_t left;           /* of it by the last look */
    bool paused;
};

struct sc_link_callbacks {
    bufferevent_data_cb readable, written; /* `readable`: call sc_link_input_read */
    bufferevent_event_cb event;
    void *arg;
};

/* Of a connection that sc_link_open made. SC_NOMEM: to be closed all the same. */
enum sc_status sc_link_input_open(struct sc_link_input *input, struct bufferevent *io, bool secret,
                                  const struct sc_link_callbacks *callbacks);
/* Before the connection is freed. */
void sc_link_input_close(struct sc_link_input *input);
/* Whoever doesn't want to read lets the other end wait for a while. */
void sc_link_input_pause(struct sc_link_input *input);
void sc_link_input_go_on(struct sc_link_input *input);
/* Reads what is there, for a turn at most. *came: the bytes. @return SC_OK; SC_END, SC_IO: the connection is over; what ended it. */
enum sc_status sc_link_input_read(struct sc_link_input *input, struct sc_link_reader *reader, uint64_t *came,
                                  struct sc_error *err);

/* A connection over a socket, which it closes. `tls` NULL: plain; else as sc_tls_open. NULL without memory. */
struct bufferevent *sc_link_open(struct event_base *base, int fd, struct sc_tls *tls, const char *member);

/* Hands what the writer has to the connection. */
enum sc_status sc_link_send(struct bufferevent *to, struct sc_link_writer *writer);
/* A batch, whose bytes the connection holds until they are written. @return SC_OK, SC_NOMEM: close the connection. */
enum sc_status sc_link_send_batch(struct bufferevent *to, struct sc_link_writer *writer,
                                  const struct sc_batch_head *head, struct sc_shared *bytes);

#endif
