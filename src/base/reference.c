// SPDX-License-Identifier: BSD-3-Clause
#include "base/reference.h"

#include "base/clock.h"

#include <stddef.h>

void sc_reference_set(struct sc_reference *reference, int64_t offset_ms)
{
    atomic_store_explicit(&reference->offset_ms, offset_ms, memory_order_relaxed);
}

bool sc_reference_time(const struct sc_reference *reference, uint64_t mono_ms, uint64_t *out_ms)
{
    if (reference == NULL)
        return false;
    int64_t offset_ms = atomic_load_explicit(&reference->offset_ms, memory_order_relaxed);
    *out_ms = mono_ms + (uint64_t)offset_ms;
    return offset_ms != 0;
}

void sc_reference_confirm(struct sc_reference *reference)
{
    atomic_store_explicit(&reference->confirmed, true, memory_order_relaxed);
}

bool sc_reference_is_compared(const struct sc_reference *reference)
{
    uint64_t time_ms;
    return sc_reference_time(reference, 0, &time_ms) ||
           (reference != NULL && atomic_load_explicit(&reference->confirmed, memory_order_relaxed));
}

uint64_t sc_reference_now(const struct sc_reference *reference)
{
    uint64_t now_ms;
    return sc_reference_time(reference, sc_clock_mono_ms(), &now_ms) ? now_ms : sc_clock_wall_ms();
}
