// SPDX-License-Identifier: BSD-3-Clause
/*
 * A token bucket on the monotonic clock: so many flows a second, with gaps well below a millisecond. Time
 * lost to a stall is caught up at full speed, up to 100 ms of it.
 */
#ifndef SC_EXPORT_PACER_H
#define SC_EXPORT_PACER_H

#include <stdint.h>

struct sc_pacer {
    uint64_t rate;     /* flows a second; 0: no waiting */
    uint64_t start_ns; /* when `spent` was 0 */
    uint64_t spent;    /* flows since then */
};

void sc_pacer_start(struct sc_pacer *pacer, uint64_t rate);

/* Takes `flows` tokens, then sleeps until they are paid for. Ends early when a signal is caught. */
void sc_pacer_spend(struct sc_pacer *pacer, uint64_t flows);

/* How many flows to make at a time, so that the gaps stay short: 1 to `most`. */
uint32_t sc_pacer_chunk(uint64_t rate, uint32_t most);

#endif
