// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which batch goes to which subcollector, and when it may leave the outbox (DESIGN section 6, I2). No sockets, no files, no
 * clocks: told what was accepted, who is usable and what was acknowledged, it says what to send.
 *
 * The targets of a batch are the first usable subcollectors on the ring from its home, as many as there are copies. It is
 * released when that many of those now usable (at least one) have acknowledged it. When usability changes, targets are
 * computed again for every batch; copies that are acknowledged stay where they are.
 *
 * All functions may be called from any thread.
 */
#ifndef SC_COLLECT_DISPATCH_H
#define SC_COLLECT_DISPATCH_H

#include "collect/outbox.h"
#include "conf/cluster.h"

struct sc_dispatch;

/* Called for a batch that is released, with the dispatch locked. */
typedef void sc_dispatch_released(void *arg, const struct sc_batch_head *head, struct sc_outbox_place place);

/* `cluster` is borrowed and must not change. NULL without memory. */
struct sc_dispatch *sc_dispatch_create(const struct sc_cluster *cluster, sc_dispatch_released *released,
                                       void *arg);
void sc_dispatch_free(struct sc_dispatch *dispatch);

/*
 * The home of the next batch: round robin by weight over the usable subcollectors, over all when none is usable. A member
 * index.
 */
uint32_t sc_dispatch_home(struct sc_dispatch *dispatch);

/* An accepted batch. @return SC_OK; SC_NOMEM: it is not known here, but stays in the outbox for the next start. */
enum sc_status sc_dispatch_add(struct sc_dispatch *dispatch, const struct sc_batch_head *head,
                               struct sc_outbox_place place);

/* The next batch for a member, which is in flight from now on. False: nothing waits for it. */
bool sc_dispatch_next(struct sc_dispatch *dispatch, uint32_t member, struct sc_batch_head *head,
                      struct sc_outbox_place *place);

void sc_dispatch_ack(struct sc_dispatch *dispatch, uint32_t member, const struct sc_link_ack *ack);

/* Also forgets what is in flight to the member: after a new connection it is sent again. */
void sc_dispatch_set_usable(struct sc_dispatch *dispatch, uint32_t member, bool usable);

struct sc_dispatch_stats {
    uint64_t batches, records; /* accepted, not released */
    uint64_t released;
    uint64_t released_short; /* of these with fewer copies than asked for: fewer nodes were usable */
    uint32_t usable;         /* members */
};

struct sc_dispatch_member {
    bool usable;
    uint64_t waiting;   /* batches to be sent to it */
    uint64_t in_flight; /* sent, not acknowledged */
    uint64_t acknowledged;
};

void sc_dispatch_get_stats(struct sc_dispatch *dispatch, struct sc_dispatch_stats *out);
void sc_dispatch_get_member(struct sc_dispatch *dispatch, uint32_t member, struct sc_dispatch_member *out);

#endif
