// SPDX-License-Identifier: BSD-3-Clause
/*
 * The way of batches, as parcels (flow/parcel.h), from the receivers to the store thread or that of the proxy, and the memory of all
 * of them.
 *
 * One bound holds for the memory of all parcels from the first record on: those being filled ask before they grow (sc_queue_grant),
 * and those pushed keep what they have until they are done, the ones that wait for the disk included. Pushed ones get three quarters
 * of the bound at most, so that there is always room to fill the next. *Aside* is what would crowd the batches of others with
 * columns: it gets an eighth, nothing at all while half of the bound is used, and is popped when nothing else waits.
 *
 * What came over TCP can wait: it is not read any more when it holds a quarter of the bound, and never gets more than three eighths,
 * so that it does not take the room of datagrams.
 *
 * What did not fit is dropped by its receiver and noted here, by window and reason, for the thread at the other end to record
 * (collect/drops.h).
 * All functions may be called from any thread.
 */
#ifndef SC_COLLECT_QUEUE_H
#define SC_COLLECT_QUEUE_H

#include "base/status.h"
#include "collect/drops.h"
#include "flow/parcel.h"

struct sc_queue;

struct sc_queue_stats {
    uint32_t waiting; /* parcels pushed and not popped */
    uint32_t held;    /* parcels pushed and not done */
    uint64_t bytes;   /* of the parcels held */
    uint64_t peak_bytes;
    uint64_t limit_bytes;
    uint64_t filling_bytes; /* of the parcels that are being filled */
    uint64_t aside_bytes;   /* of those held: aside */
    uint64_t stream_bytes;  /* of those held: over TCP */
};

/* @return NULL without memory. */
struct sc_queue *sc_queue_create(uint64_t limit_bytes);
/* Parcels still in it are released. */
void sc_queue_free(struct sc_queue *queue);

/*
 * Before a parcel that is being filled grows to `memory` bytes. False: that would pass the bound. `force`: it is counted all the same.
 */
bool sc_queue_grant(struct sc_queue *queue, struct sc_parcel *parcel, size_t memory, bool force);

/* A parcel that is not pushed counts no more, and is released. */
void sc_queue_drop(struct sc_queue *queue, struct sc_parcel *parcel);
/* Also notes what was lost with it. */
void sc_queue_lose(struct sc_queue *queue, struct sc_parcel *parcel, enum sc_drop_reason reason);

/*
 * Hands a parcel over. With wait_ms > 0 it waits so long for room.
 * @return SC_OK; SC_FULL or SC_CANCELLED (the queue is closed): the caller still owns the parcel.
 */
enum sc_status sc_queue_push(struct sc_queue *queue, struct sc_parcel *parcel, uint64_t wait_ms);

/* Whether half of the bound is used, or a quarter by streams: senders that can be made to wait (TCP) should be. */
bool sc_queue_is_tight(struct sc_queue *queue);

/* What was dropped since the last call, to be freed by sc_drops_free. */
struct sc_drops sc_queue_take_drops(struct sc_queue *queue);

/* The oldest parcel, of those aside when there is no other; NULL when none came within wait_ms, or at once when the queue is empty and
 * closed. */
struct sc_parcel *sc_queue_pop(struct sc_queue *queue, uint64_t wait_ms);

/* A popped parcel is no longer needed: it counts no more here, and is released. */
void sc_queue_done(struct sc_queue *queue, struct sc_parcel *parcel);

/* No more pushes; what is in the queue can still be popped. */
void sc_queue_close(struct sc_queue *queue);
bool sc_queue_is_closed(struct sc_queue *queue);
bool sc_queue_is_finished(struct sc_queue *queue); /* closed and nothing waits */

void sc_queue_get_stats(struct sc_queue *queue, struct sc_queue_stats *out);

#endif
