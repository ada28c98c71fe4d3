// SPDX-License-Identifier: BSD-3-Clause
/*
 * Buckets of time by the wall clock of the zone of TZ: a day begins at its midnight there, and lasts 23 or 25 hours when the
 * clocks change. An hour that the clocks repeat is two buckets.
 */
#ifndef SC_GROUP_TIME_BUCKET_H
#define SC_GROUP_TIME_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/*
 * From an hour on the wall clock matters. Smaller buckets begin alike in all zones, and sizes that are no whole quarters of
 * an hour begin nowhere in particular.
 */
static inline bool sc_time_bucket_is_local(uint64_t size_ms)
{
    return size_ms >= UINT64_C(3600000) && size_ms % UINT64_C(900000) == 0;
}

/* Remembers where the last time fell, since the next is mostly near. Zero-initialise; one thread. */
struct sc_time_bucket {
    uint64_t size;         /* ms; sc_time_bucket_is_local */
    uint64_t next_quarter; /* of an hour, + 1; 0: none yet */
    uint64_t start;
};

/* The begin of the bucket that holds `ms`, both in ms of UTC. Call tzset before. */
uint64_t sc_time_bucket_start(struct sc_time_bucket *bucket, uint64_t ms);

#endif
