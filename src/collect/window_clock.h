// SPDX-License-Identifier: BSD-3-Clause
/*
 * When windows that were written to are over. A window ends by the age of this process's view of it, on the monotonic clock,
 * so that steps of the wall clock seal neither early nor never. Zero-initialise; one thread.
 */
#ifndef SC_COLLECT_WINDOW_CLOCK_H
#define SC_COLLECT_WINDOW_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define SC_WINDOW_CLOCK_MAX 64u

struct sc_window_clock {
    struct {
        uint64_t end_ms;
        uint64_t due_ms; /* monotonic */
    } windows[SC_WINDOW_CLOCK_MAX];
    uint32_t count;
};

/* The window was written to. `length_ms`: of a window; `now_ms`: the time, by the best clock there is. */
void sc_window_clock_note(struct sc_window_clock *clock, uint64_t window_ms, uint64_t length_ms,
                          uint64_t now_ms);

/* Takes a window that is over, by its end. False: none is. */
bool sc_window_clock_due(struct sc_window_clock *clock, uint64_t mono_ms, uint64_t *end_ms);

#endif
