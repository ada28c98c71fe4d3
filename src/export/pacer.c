// SPDX-License-Identifier: BSD-3-Clause
#include "export/pacer.h"

#include <sys/prctl.h>
#include <time.h>

enum { NS = 1000000000, CATCH_UP_NS = 100000000, CHUNKS_A_SECOND = 2000 };

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

void sc_pacer_start(struct sc_pacer *p, uint64_t rate)
{
    *p = (struct sc_pacer){.rate = rate, .start_ns = now_ns()};
    if (rate != 0)
        prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); /* of this thread; 50 us by default */
}

void sc_pacer_spend(struct sc_pacer *p, uint64_t flows)
{
    if (p->rate == 0)
        return;
    p->spent += flows;
    if (p->spent >= p->rate) { /* keeps the product below small */
        p->start_ns += p->spent / p->rate * NS;
        p->spent %= p->rate;
    }
    uint64_t due = p->start_ns + (uint64_t)((unsigned __int128)p->spent * NS / p->rate);
    uint64_t now = now_ns();
    if (now > due + CATCH_UP_NS)
        p->start_ns += now - due - CATCH_UP_NS;
    if (now >= due)
        return;
    struct timespec ts = {.tv_sec = (time_t)(due / NS), .tv_nsec = (long)(due % NS)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

uint32_t sc_pacer_chunk(uint64_t rate, uint32_t most)
{
    if (rate == 0 || rate / CHUNKS_A_SECOND >= most)
        return most;
    return rate < CHUNKS_A_SECOND ? 1 : (uint32_t)(rate / CHUNKS_A_SECOND);
}
