// SPDX-License-Identifier: BSD-3-Clause
/*
 * The pool of memory that exporters' state takes, over all threads. Newcomers share a quarter of it among
 * themselves; the rest is kept for exporters that are established. Plain atomics: what two threads charge at the same instant
 * may pass the limit by what one message can bring.
 */
#ifndef SC_BASE_BUDGET_H
#define SC_BASE_BUDGET_H

#include "base/addr.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define SC_BUDGET_NEWCOMERS 4u /* their part: one in so many */

/* Another share for each exporter of a network: mediators, or many routers behind one address. */
struct sc_budget_share {
    struct sc_addr network; /* masked */
    uint8_t bits;           /* of the 128: an IPv4 prefix of n is 96 + n */
    uint64_t bytes;
};

struct sc_budget {
    size_t limit;
    atomic_size_t used;      /* by all */
    atomic_size_t newcomers; /* by newcomers, part of `used` */
};

static inline size_t sc_budget_used(const struct sc_budget *budget, bool newcomers)
{
    return atomic_load_explicit(newcomers ? &budget->newcomers : &budget->used, memory_order_relaxed);
}

/* Whether `size` bytes more may be taken. */
static inline bool sc_budget_allows(const struct sc_budget *budget, bool newcomer, size_t size)
{
    if (sc_budget_used(budget, false) + size > budget->limit)
        return false;
    return !newcomer || sc_budget_used(budget, true) + size <= budget->limit / SC_BUDGET_NEWCOMERS;
}

static inline void sc_budget_take(struct sc_budget *budget, bool newcomer, size_t size)
{
    atomic_fetch_add_explicit(&budget->used, size, memory_order_relaxed);
    if (newcomer)
        atomic_fetch_add_explicit(&budget->newcomers, size, memory_order_relaxed);
}

static inline void sc_budget_give(struct sc_budget *budget, bool newcomer, size_t size)
{
    atomic_fetch_sub_explicit(&budget->used, size, memory_order_relaxed);
    if (newcomer)
        atomic_fetch_sub_explicit(&budget->newcomers, size, memory_order_relaxed);
}

#endif
