// SPDX-License-Identifier: BSD-3-Clause
/*
 * Ranks that are threads of one process, each with its own struct sc_ranks, where no MPI is. A pass ends when the
 * other side has taken what was sent, as large messages do over MPI, so that an order of calls that would hang there hangs here.
 */
#ifndef UNIT_RANKS_THREADS_H
#define UNIT_RANKS_THREADS_H

#include "cluster/ranks.h"

struct sc_ranks_threads;

/* NULL without memory. */
struct sc_ranks_threads *sc_ranks_threads_create(uint32_t count);
/* After the last call of the last rank. */
void sc_ranks_threads_free(struct sc_ranks_threads *threads);

/* For the thread that is this rank. */
struct sc_ranks sc_ranks_threads_rank(struct sc_ranks_threads *threads, uint32_t rank);

/* As if a rank had died: all that wait, now or later, end with SC_CANCELLED. */
void sc_ranks_threads_stop(struct sc_ranks_threads *threads);

/* All bytes that were passed, and the greatest number of them to or from one rank. */
uint64_t sc_ranks_threads_bytes(struct sc_ranks_threads *threads, uint64_t *busiest);

#endif
