// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which batch goes to which subcollector, and when it may leave the outbox: when it is durable on as many nodes as there are copies,
 * or on all that are usable. It touches no socket, no file and no clock: told what was accepted and where in the outbox it lies, who
 * is usable, what was acknowledged and what time it is, it says what to send.
 *
 * The targets of a batch are the first usable subcollectors on the ring from its home, as many as there are copies. It is
 * released when that many of those now usable (at least one) have acknowledged it. When usability changes, targets are
 * computed again for every batch; copies that are acknowledged stay where they are.
 *
 * When the first member becomes usable others are about to: for a while (sc_dispatch_settle) every subcollector counts as one that
 * will be, so that what the first one has is not released before the others were asked.
 *
 * A member is slow while the oldest batch in flight to it is older than 2 s. It stays usable, and what it acknowledges counts;
 * but while others can take its place it is neither home nor target of what was not sent to it, and what is in flight to it
 * for 10 s is given to the next on the ring in addition, 50 batches a second. When the outbox is half full (`pressed`), these
 * bounds are 0.5 s and 1 s, and the rate has none. So a member that is stuck cannot fill the outbox while others are well.
 *
 * A batch that a member does not take (of a window that cannot be, say) is given to others; it is offered to all again a minute after
 * the first refusal, then after 2, 4, ... 64 minutes, and to the member when it connects again. So it holds up no other batch, and is
 * in the outbox until it has its copies.
 *
 * What is accepted is held in memory until it is released, up to a bound; what comes beyond it, and what an earlier process left,
 * is to be read from the outbox. What is in no outbox is held whatever the bound: it is asked for before (sc_dispatch_takes).
 *
 * A batch that cannot be read from the outbox is tried again each second, five times; then it is forgotten here, and `given_up`
 * is called.
 *
 * All functions may be called from any thread; those that take a member's index from the thread that sets the cluster.
 */
#ifndef SC_RELAY_DISPATCH_H
#define SC_RELAY_DISPATCH_H

#include "conf/cluster.h"
#include "relay/outbox.h"

#define SC_DISPATCH_BYTES ((size_t)64 << 20)

struct sc_dispatch;

/* Called with the dispatch locked. */
struct sc_dispatch_events {
    /* A batch may leave the outbox. */
    void (*released)(void *arg, const struct sc_batch_head *head, struct sc_outbox_place place);
    /* A batch cannot be read, and stays in the outbox for the next start; or it is in none, and nobody acknowledged it in time. */
    void (*given_up)(void *arg, const struct sc_batch_head *head);
    void *arg;
};

/* Both are copied. NULL without memory. */
struct sc_dispatch *sc_dispatch_create(const struct sc_cluster *cluster,
                                       const struct sc_dispatch_events *events);
void sc_dispatch_free(struct sc_dispatch *dispatch);

/*
 * Other members: those that stay, known by their lanes, stay what they are; new ones are not usable yet; what belonged to one
 * that went goes to others. @return SC_OK; SC_NOMEM: all is as before.
 */
enum sc_status sc_dispatch_set_cluster(struct sc_dispatch *dispatch, const struct sc_cluster *cluster);

/*
 * The home of the next batch, a lane: round robin by weight over the usable subcollectors that are not slow, over the usable
 * when all are slow, over all when none is usable. 0: there is no subcollector.
 */
uint32_t sc_dispatch_home(struct sc_dispatch *dispatch);

/* Whether a batch of so many bytes that is in no outbox would be safe soon: there is room for them, and as many members as there are
 * copies are usable and not slow. */
bool sc_dispatch_takes(struct sc_dispatch *dispatch, size_t bytes);

/* A batch, whose bytes are held until it is released while all that are held are not more than SC_DISPATCH_BYTES. @return SC_OK;
 * SC_END: its id is known here already; SC_NOMEM: it is not known here, but stays in the outbox for the next start. */
enum sc_status sc_dispatch_add(struct sc_dispatch *dispatch, const struct sc_accepted *batch);

/* At the end: what is in no outbox is given up. */
void sc_dispatch_abandon(struct sc_dispatch *dispatch);

/* The next batch for a member, which is in flight from now on; its bytes, if there are, are to be released. False: nothing waits
 * for the member. */
bool sc_dispatch_next(struct sc_dispatch *dispatch, uint32_t member, uint64_t now_ms,
                      struct sc_accepted *batch);

/* What the member was not sent stays as it is. False: such a batch is among those acknowledged, or the interval is wider than all. */
bool sc_dispatch_ack(struct sc_dispatch *dispatch, uint32_t member, const struct sc_link_ack *ack);

/* The member does not take what it was sent. False: that was never sent to it. */
bool sc_dispatch_refused(struct sc_dispatch *dispatch, uint32_t member, const struct sc_batch_id *id,
                         uint64_t now_ms);

/*
 * What sc_dispatch_next gave could not be read. `counts`: it is the batch's fault, not one of memory. @return SC_OK: it is tried
 * again; SC_END: it was given up; SC_NOTFOUND: it was released meanwhile.
 */
enum sc_status sc_dispatch_unread(struct sc_dispatch *dispatch, uint32_t member, const struct sc_batch_id *id,
                                  uint64_t now_ms, bool counts);

/* Time passes: several times a second, by a monotonic clock. `pressed`: the outbox is more than half full. */
void sc_dispatch_tick(struct sc_dispatch *dispatch, uint64_t now_ms, bool pressed);

/* Until sc_dispatch_tick is told of that time, nothing is released with fewer copies than the subcollectors allow. */
void sc_dispatch_settle(struct sc_dispatch *dispatch, uint64_t until_ms);

/* Also forgets what is in flight to the member: after a new connection it is sent again. */
void sc_dispatch_set_usable(struct sc_dispatch *dispatch, uint32_t member, bool usable);

struct sc_dispatch_stats {
    uint64_t batches, records;             /* accepted, not released */
    uint64_t held_bytes;                   /* of them, in memory */
    uint64_t unwritten, unwritten_records; /* of them, in no outbox */
    uint64_t released;
    uint64_t released_short; /* of these with fewer copies than asked for: fewer nodes were usable */
    uint64_t copied_late;    /* copies that were made because a member was slow */
    uint64_t unreadable, unreadable_records;
    uint32_t usable, slow; /* members */
};

struct sc_dispatch_member {
    bool usable, slow;
    uint64_t waiting;   /* batches to be sent to it */
    uint64_t in_flight; /* sent, not acknowledged */
    uint64_t acknowledged;
    uint64_t refused; /* batches that it does not take, now */
};

void sc_dispatch_get_stats(struct sc_dispatch *dispatch, struct sc_dispatch_stats *out);
void sc_dispatch_get_member(struct sc_dispatch *dispatch, uint32_t member, struct sc_dispatch_member *out);

#endif
