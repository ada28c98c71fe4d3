// SPDX-License-Identifier: BSD-3-Clause
/*
 * What waits for one destination of forward/forward.h: parcels, in order, shared with whoever else holds them.
 * The queue is bounded by the memory of the parcels from push to done; what does not fit is refused and
 * counted, and nobody ever waits for room. All functions may be called from any thread.
 */
#ifndef SC_FORWARD_QUEUE_H
#define SC_FORWARD_QUEUE_H

#include "flow/parcel.h"

struct sc_forward_queue;

struct sc_forward_entry {
    struct sc_parcel *parcel;
    size_t memory;
};

/* Records by enum sc_record_kind. offered = dropped + waiting + done. */
struct sc_forward_queue_stats {
    uint64_t offered[2];
    uint64_t dropped[2]; /* did not fit */
    uint64_t waiting[2]; /* pushed and not done */
    uint64_t bytes;      /* of the parcels that wait */
    uint64_t peak_bytes;
    uint64_t limit_bytes;
};

/* @return NULL without memory. */
struct sc_forward_queue *sc_forward_queue_create(uint64_t limit_bytes);
/* Parcels still in it are released. NULL is allowed. */
void sc_forward_queue_free(struct sc_forward_queue *queue);

/* Whether a parcel of so much memory fits. One that is larger than the bound fits when it is alone. */
bool sc_forward_queue_has_room(struct sc_forward_queue *queue, size_t memory);
/* Becomes one more holder of the parcel; does not when it is full or closed, and counts that. */
void sc_forward_queue_push(struct sc_forward_queue *queue, struct sc_parcel *parcel, size_t memory);

/* The oldest parcel; false when there is none. */
bool sc_forward_queue_pop(struct sc_forward_queue *queue, struct sc_forward_entry *out);
/* A popped parcel is no longer needed: it counts no more and is released. */
void sc_forward_queue_done(struct sc_forward_queue *queue, const struct sc_forward_entry *entry);

/* No more pushes. */
void sc_forward_queue_close(struct sc_forward_queue *queue);
bool sc_forward_queue_is_empty(struct sc_forward_queue *queue);

void sc_forward_queue_set_limit(struct sc_forward_queue *queue, uint64_t limit_bytes);
void sc_forward_queue_get_stats(struct sc_forward_queue *queue, struct sc_forward_queue_stats *out);

#endif
