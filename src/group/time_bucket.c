// SPDX-License-Identifier: BSD-3-Clause
#include "group/time_bucket.h"

#include <time.h>

#define QUARTER_MS UINT64_C(900000) /* offsets from UTC change at quarters of an hour */

/* What the wall clock is ahead of UTC, in ms. */
static int64_t offset_at(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm local;
    return localtime_r(&seconds, &local) == NULL ? 0 : (int64_t)local.tm_gmtoff * 1000;
}

/*
 * The wall clock rounded down, and back to UTC. When the clocks change within the bucket, its begin has another offset
 * than the time itself.
 */
static int64_t local_start(int64_t ms, int64_t size)
{
    int64_t offset = offset_at(ms), wall = ms + offset;
    int64_t start = wall - ((wall % size) + size) % size;
    int64_t then = offset_at(start - offset);
    return start - then;
}

uint64_t sc_time_bucket_start(struct sc_time_bucket *b, uint64_t ms)
{
    uint64_t quarter = ms / QUARTER_MS;
    if (b->next_quarter == quarter + 1)
        return b->start;
    b->next_quarter = quarter + 1;
    b->start = ms - ms % b->size;
    if (ms <= INT64_MAX / 2 && b->size <= INT64_MAX / 4) { /* else the calendar has no such day */
        int64_t start = local_start((int64_t)(quarter * QUARTER_MS), (int64_t)b->size);
        b->start = start < 0 ? 0 : (uint64_t)start;
    }
    return b->start;
}
