// SPDX-License-Identifier: BSD-3-Clause
#include "relay/remembered.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

static bool is_of(const struct sc_id_range *range, const struct sc_span *span)
{
    return range->stream == span->stream && range->lane == span->lane;
}

static bool begins_behind(const struct sc_id_range *range, const struct sc_span *span)
{
    if (range->stream != span->stream)
        return range->stream > span->stream;
    return range->lane != span->lane ? range->lane > span->lane : range->first > span->sequence;
}

/* The number of the first range that begins behind the id. */
static uint32_t find(const struct sc_id_ranges *ranges, const struct sc_span *span)
{
    uint32_t low = 0, high = ranges->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (begins_behind(&ranges->list[mid], span))
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static bool covers(const struct sc_id_ranges *ranges, uint32_t behind, const struct sc_span *span)
{
    const struct sc_id_range *before = behind == 0 ? NULL : &ranges->list[behind - 1];
    return before != NULL && is_of(before, span) && span->sequence <= before->last;
}

static void insert(struct sc_id_ranges *ranges, uint32_t at, const struct sc_span *span)
{
    if (!sc_array_more(ranges->list, ranges->count, 1))
        return;
    struct sc_id_range *place = &ranges->list[at];
    memmove(place + 1, place, (ranges->count - at) * sizeof(*place));
    *place = (struct sc_id_range){
        .stream = span->stream, .lane = span->lane, .first = span->sequence, .last = span->sequence};
    ranges->count++;
}

static void take_out(struct sc_id_ranges *ranges, uint32_t at)
{
    struct sc_id_range *place = &ranges->list[at];
    memmove(place, place + 1, (ranges->count - at - 1) * sizeof(*place));
    ranges->count--;
}

/* The id is in none of the ranges; `behind` is the first one behind it. */
static void add(struct sc_id_ranges *ranges, uint32_t behind, const struct sc_span *span)
{
    struct sc_id_range *before = behind == 0 ? NULL : &ranges->list[behind - 1],
                       *next = behind == ranges->count ? NULL : &ranges->list[behind];
    bool longer = before != NULL && is_of(before, span) && before->last + 1 == span->sequence;
    bool earlier = next != NULL && is_of(next, span) && next->first == span->sequence + 1;
    if (longer && earlier) {
        before->last = next->last;
        take_out(ranges, behind);
    } else if (longer) {
        before->last = span->sequence;
    } else if (earlier) {
        next->first = span->sequence;
    } else {
        insert(ranges, behind, span);
    }
}

void sc_remembered_add(struct sc_remembered *remembered, const struct sc_span *span)
{
    struct sc_id_ranges *newer = &remembered->newer;
    if (newer->count >= SC_REMEMBERED_RANGES) {
        free(remembered->older.list);
        remembered->older = *newer;
        *newer = (struct sc_id_ranges){0};
    }
    uint32_t behind = find(newer, span);
    if (!covers(newer, behind, span))
        add(newer, behind, span);
}

bool sc_remembered_has(const struct sc_remembered *remembered, const struct sc_span *span)
{
    return covers(&remembered->newer, find(&remembered->newer, span), span) ||
           covers(&remembered->older, find(&remembered->older, span), span);
}

void sc_remembered_free(struct sc_remembered *remembered)
{
    free(remembered->newer.list);
    free(remembered->older.list);
    *remembered = (struct sc_remembered){0};
}
