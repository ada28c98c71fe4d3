// SPDX-License-Identifier: BSD-3-Clause
/*
 * The time by the clocks of others, beside the own wall clock: told as what it is ahead of the monotonic clock, so that no step of the
 * own one moves it, and who reads it needs nobody. Lock-free: one thread at a time tells, any reads. Zero-initialise: nothing is known.
 */
#ifndef SC_BASE_REFERENCE_H
#define SC_BASE_REFERENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SC_CLOCK_APART_MS 2000u

struct sc_reference {
    _Atomic int64_t offset_ms; /* 0: not known */
    atomic_bool confirmed;     /* somebody's clock was that of this node */
};

/* How far a clock may be from others, with windows of that length, before anybody minds. */
static inline uint64_t sc_clock_tolerance_ms(uint32_t window_s)
{
    uint64_t tenth_ms = (uint64_t)window_s * 100;
    return tenth_ms > SC_CLOCK_APART_MS ? tenth_ms : SC_CLOCK_APART_MS;
}

/* `offset_ms`: the time by others less the monotonic clock; 0: it is not known any more. */
void sc_reference_set(struct sc_reference *reference, int64_t offset_ms);
/* The time by others. False: not known; `reference` may be NULL: it never is. */
bool sc_reference_time(const struct sc_reference *reference, uint64_t mono_ms, uint64_t *out_ms);
/* Somebody has much the same time: one is enough not to wait for more. */
void sc_reference_confirm(struct sc_reference *reference);
/* Whether the own clock was compared: the time by others is known, or somebody has much the same. */
bool sc_reference_is_compared(const struct sc_reference *reference);
/* The best that is known of the time: by others, else by the own wall clock. */
uint64_t sc_reference_now(const struct sc_reference *reference);

#endif
