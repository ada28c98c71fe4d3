// SPDX-License-Identifier: BSD-3-Clause
/*
 * A proxy's end of the link: a connection to each subcollector, kept up with growing pauses. It sends what the dispatch has for
 * a member as fast as the member takes it, reads acknowledgements and beats, and tells the dispatch who is usable: connected,
 * heard of within 2 s, and not full. A slow member holds up nobody else.
 *
 * The members can change: a connection to one that stays at its address stays.
 */
#ifndef SC_RELAY_PEERS_H
#define SC_RELAY_PEERS_H

#include "base/log.h"
#include "base/reference.h"
#include "net/tls.h"
#include "relay/accounts.h"
#include "relay/board.h"
#include "relay/dispatch.h"
#include "relay/facts.h"
#include "relay/refusals.h"

struct sc_peers;

struct sc_peers_options {
    const struct sc_cluster *cluster; /* copied */
    uint32_t self;                    /* member */
    struct sc_dispatch *dispatch;     /* borrowed, as the two below: lives longer */
    struct sc_outbox *outbox;
    struct sc_accounts *accounts;
    struct sc_board *board;               /* this proxy's state is sent, those of others come here */
    struct sc_tls *tls;                   /* NULL: plain */
    struct sc_facts *facts;               /* borrowed; NULL: none are told */
    const struct sc_reference *reference; /* as of the proxy */
    struct sc_log log;
};

struct sc_peer_view {
    bool connected;
    bool usable;
    bool full;
    uint64_t free_bytes;
    uint64_t bytes_sent;
    uint64_t connects; /* that came about */
    uint64_t deaths;   /* usable, then not any more */
    char problem[128]; /* why it is not connected */
};

enum sc_status sc_peers_start(const struct sc_peers_options *options, struct sc_peers **out,
                              struct sc_error *err);
/* There is something to send. Any thread. */
void sc_peers_wake(struct sc_peers *peers);
/* Other members (copied), `self` among them; soon, in the thread of the peers. Any thread. @return SC_OK or SC_NOMEM. */
enum sc_status sc_peers_set_cluster(struct sc_peers *peers, const struct sc_cluster *cluster, uint32_t self);
/* For connections from then on; those that there are stay. Any thread. */
void sc_peers_set_tls(struct sc_peers *peers, struct sc_tls *tls);
/* A snapshot of the member with a lane. Any thread. False: there is none (yet). */
bool sc_peers_get(struct sc_peers *peers, uint32_t lane, struct sc_peer_view *view,
                  struct sc_dispatch_member *queue);
/* What was not taken of members that answer, by reason. Any thread. */
void sc_peers_get_refused(struct sc_peers *peers, uint64_t counts[SC_REFUSAL_COUNT]);
/* Tells all who are there that the stream is closed, and waits up to half a second until it is sent. */
void sc_peers_end(struct sc_peers *peers);
/* NULL is allowed. */
void sc_peers_stop(struct sc_peers *peers);

#endif
