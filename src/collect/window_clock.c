// SPDX-License-Identifier: BSD-3-Clause
#include "collect/window_clock.h"

#include "base/clock.h"

#include <string.h>

/* Batches of a window arrive so long after its end. */
#define GRACE_MS 3000u

void sc_window_clock_note(struct sc_window_clock *clock, uint64_t window_ms, uint64_t length_ms,
                          uint64_t now_ms)
{
    uint64_t end = window_ms + length_ms;
    for (uint32_t i = 0; i < clock->count; i++) {
        if (clock->windows[i].end_ms == end)
            return;
    }
    uint64_t left = end > now_ms ? end - now_ms : 0;
    if (left > length_ms)
        left = length_ms;
    if (clock->count == SC_WINDOW_CLOCK_MAX) /* clock steps galore: the oldest is due with the next one */
        memmove(clock->windows, clock->windows + 1, --clock->count * sizeof(clock->windows[0]));
    clock->windows[clock->count].end_ms = end;
    clock->windows[clock->count++].due_ms = sc_clock_mono_ms() + left + GRACE_MS;
}

bool sc_window_clock_due(struct sc_window_clock *clock, uint64_t mono_ms, uint64_t *end_ms)
{
    for (uint32_t i = 0; i < clock->count; i++) {
        if (mono_ms < clock->windows[i].due_ms)
            continue;
        *end_ms = clock->windows[i].end_ms;
        clock->windows[i] = clock->windows[--clock->count];
        return true;
    }
    return false;
}
