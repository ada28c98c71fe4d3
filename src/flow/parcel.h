// SPDX-License-Identifier: BSD-3-Clause
/*
 * A *parcel* is a batch with the pool that it came from. Its owner changes with it: a receiver takes an empty parcel from its pool,
 * fills and hands it over; whoever has it last is done with it, which gives it back to its pool. Batches keep their columns over this
 * circle, so that nothing is allocated in the long run; a pool serves one receiver and one kind of records.
 *
 * Several may hold a finished parcel, to read the columns of its batch and nothing else of it: it goes home when the last holder has
 * released it. All functions may be called from any thread.
 */
#ifndef SC_FLOW_PARCEL_H
#define SC_FLOW_PARCEL_H

#include "flow/batch.h"

#include <stdatomic.h>

struct sc_pool;

struct sc_parcel {
    struct sc_batch *batch;
    struct sc_pool *home;
    struct sc_parcel *next; /* of whoever owns the parcel */
    size_t memory;          /* counted against the queue's bound */
    bool aside;
    bool stream; /* came over TCP: can wait */
    atomic_uint holders;
};

/* `keep_bytes`: of the parcels that came home, how much is kept for the next. @return NULL without memory. */
struct sc_pool *sc_pool_create(enum sc_record_kind kind, size_t keep_bytes);
/* All parcels must have come back. */
void sc_pool_free(struct sc_pool *pool);

/* An empty parcel; NULL without memory. */
struct sc_parcel *sc_pool_take(struct sc_pool *pool);
/* One holder more of a parcel whose batch is finished, before it is handed over. */
void sc_parcel_hold(struct sc_parcel *parcel);
/* One holder less of a parcel that is in no queue. The last one empties it and gives it back to its pool. */
void sc_parcel_release(struct sc_parcel *parcel);

#endif
