// SPDX-License-Identifier: BSD-3-Clause
/*
 * One destination of forward/forward.h: a queue, and a thread with an event loop that connects (net/dial.h), encodes and sends.
 *
 * TCP: a connection that breaks is tried again with growing pauses (100 ms to 5 s); each begins with the
 * templates. Sent is what the operating system took whole; what of it had not arrived when the connection
 * broke is lost. A message that was taken in part is dropped, as are those of the same 1,024 rows after it;
 * the batch goes on over the next connection.
 *
 * UDP: sent is what left. Datagrams go in small bursts with pauses that vanish as the queue fills, so that the
 * peer's socket buffer is not overrun while there is time. After a refusal the templates are repeated.
 */
#ifndef SC_FORWARD_PEER_H
#define SC_FORWARD_PEER_H

#include "base/log.h"
#include "base/url.h"
#include "forward/queue.h"
#include "wire/encoder.h"

struct sc_forward_peer;

struct sc_forward_peer_options {
    struct sc_url to;
    enum sc_export_protocol protocol; /* TCP: IPFIX */
    uint64_t limit_bytes;             /* of the queue */
    struct sc_log log;
};

enum sc_forward_state {
    SC_FORWARD_CONNECTING, /* not connected: the name is unknown, or nobody answers */
    SC_FORWARD_UP,
    SC_FORWARD_STALLED /* TCP: connected, and for a second now it takes nothing */
};

/* offered = sent + dropped + skipped + waiting, always. */
struct sc_forward_counts {
    uint64_t offered;
    uint64_t sent;
    uint64_t dropped; /* no room in the queue, a connection that broke, the end of the process */
    uint64_t skipped; /* the protocol cannot say them */
    uint64_t waiting;
};

struct sc_forward_view {
    char name[SC_URL_TEXT_MAX]; /* the URL */
    enum sc_export_protocol protocol;
    bool round_robin; /* set by forward/forward.c */
    enum sc_forward_state state;
    struct sc_forward_counts flows, options;
    uint64_t messages, bytes; /* sent */
    uint64_t connects;
    uint64_t refused; /* UDP: datagrams of which word came back that nobody listens */
    uint64_t queue_bytes, queue_peak_bytes, queue_limit_bytes;
    char error[256];   /* the last one; empty: none since the start */
    uint64_t error_ms; /* wall clock */
};

/* Starts the thread; the destination need not be there. @return SC_OK, SC_NOMEM, SC_IO. */
enum sc_status sc_forward_peer_start(const struct sc_forward_peer_options *options,
                                     struct sc_forward_peer **out, struct sc_error *err);

/* Any thread; never waits. */
void sc_forward_peer_offer(struct sc_forward_peer *peer, struct sc_parcel *parcel, size_t memory);
bool sc_forward_peer_has_room(struct sc_forward_peer *peer, size_t memory);
bool sc_forward_peer_is_up(struct sc_forward_peer *peer);
void sc_forward_peer_set_limit(struct sc_forward_peer *peer, uint64_t limit_bytes);
void sc_forward_peer_get(struct sc_forward_peer *peer, struct sc_forward_view *out);

/* Takes no more; sends what waits for drain_ms at most, or until it is clear that the destination is not
 * there. Returns at once. */
void sc_forward_peer_close(struct sc_forward_peer *peer, uint64_t drain_ms);
/* After close: whether sc_forward_peer_free will not wait. */
bool sc_forward_peer_is_done(struct sc_forward_peer *peer);
/* After close: waits for the end, says what was not sent, frees. */
void sc_forward_peer_free(struct sc_forward_peer *peer);

#endif
