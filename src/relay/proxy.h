// SPDX-License-Identifier: BSD-3-Clause
/*
 * The proxy: takes parcels from the receivers' queue, cuts them into batches, accepts these into the outbox and has them sent
 * to the subcollectors (docs/architecture.md, "In a cluster").
 *
 * A batch keeps to the bounds of base/bounds.h in rows, columns and bytes, so that the outbox, the link and the stores take it. It
 * is encoded once, as the row group that subcollectors store. Its id is (stream, lane, sequence): the stream is drawn at
 * each start, the lane is the home's, the sequence counts from 0 without gaps. When the outbox is full the thread waits, the
 * queue fills, and the receivers do what they do then.
 *
 * At the end nobody waits any more: what the outbox refuses then is sent from memory, as far as there are members enough. It has an
 * id, and is told in the tallies, as any other batch is; so that one that nobody acknowledges until the process is over is named as
 * missing where nobody holds it, and counts where somebody does.
 */
#ifndef SC_RELAY_PROXY_H
#define SC_RELAY_PROXY_H

#include "collect/disk.h"
#include "collect/queue.h"
#include "relay/peers.h"

#define SC_PROXY_ROWS   7680u /* in a parcel: a message's records on top still fit a batch of 8,192 */
#define SC_PROXY_AGE_MS 200u

struct sc_proxy;

struct sc_proxy_options {
    const char *outbox;               /* folder */
    const struct sc_cluster *cluster; /* copied */
    uint32_t self;
    uint32_t window_s;
    struct sc_queue *queue;
    struct sc_board *board; /* borrowed; of template states */
    struct sc_outbox_options how;
    struct sc_tls *tls; /* as of peers */
    struct sc_facts *facts;
    const struct sc_reference
        *reference; /* the time by others, by which windows are stamped; NULL: the wall clock's */
    struct sc_log log;
};

struct sc_proxy_stats {
    uint64_t stream;
    uint64_t batches, records; /* accepted since the start */
    uint64_t lost_records;     /* decoded, and never accepted */
    uint64_t replayed;         /* batches that an earlier process left */
    bool blocked;              /* the outbox takes nothing */
    uint64_t blocked_ms;       /* monotonic: since then */
    char problem[256];
    struct sc_outbox_stats outbox;
    struct sc_disk disk; /* of the outbox */
    struct sc_dispatch_stats dispatch;
    uint64_t refused[SC_REFUSAL_COUNT]; /* of members that answer, by reason */
};

enum sc_status sc_proxy_start(const struct sc_proxy_options *options, struct sc_proxy **out,
                              struct sc_error *err);
void sc_proxy_get_stats(struct sc_proxy *proxy, struct sc_proxy_stats *out);
/* What the proxy knows of the member with a lane. False: nothing (yet). */
bool sc_proxy_get_member(struct sc_proxy *proxy, uint32_t lane, struct sc_peer_view *view,
                         struct sc_dispatch_member *queue);
/* Other members (copied); soon. Any thread. @return SC_OK or SC_NOMEM. */
enum sc_status sc_proxy_set_cluster(struct sc_proxy *proxy, const struct sc_cluster *cluster, uint32_t self);

void sc_proxy_set_tls(struct sc_proxy *proxy, struct sc_tls *tls); /* as of peers */

/* The process is about to end, before the receivers are asked to: from now on batches that the outbox refuses are sent from memory.
 * Any thread. NULL is allowed. */
void sc_proxy_end(struct sc_proxy *proxy);

/*
 * After sc_proxy_end, when the queue was closed: accepts all that is in it, waits up to `drain_ms` until it is with the subcollectors, ends the threads,
 * frees. An outbox that takes nothing is tried again for `patience_ms`; what finds no room then is dropped, accounted and told. What
 * is not acknowledged stays in the outbox for the next start; what is in memory only has the time of both. NULL is allowed. *last (may be
 * NULL): the last figures.
 */
void sc_proxy_finish(struct sc_proxy *proxy, uint64_t patience_ms, uint64_t drain_ms,
                     struct sc_proxy_stats *last);

#endif
