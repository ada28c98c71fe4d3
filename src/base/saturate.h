// SPDX-License-Identifier: BSD-3-Clause
/* Sums of counters that others chose: one that 64 bits do not hold stays at the greatest number, SC_SATURATED, whatever the order in
 * which it is added up. So that number stands for itself and all that is greater. */
#ifndef SC_BASE_SATURATE_H
#define SC_BASE_SATURATE_H

#include <stdint.h>

#define SC_SATURATED UINT64_MAX

static inline uint64_t sc_add_saturated(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? SC_SATURATED : sum;
}

#endif
