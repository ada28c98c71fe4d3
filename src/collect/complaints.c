// SPDX-License-Identifier: BSD-3-Clause
#include "collect/complaints.h"

#include "base/clock.h"

#include <stdio.h>

#define MINUTE_MS 60000u

void sc_complaints_init(struct sc_complaints *complaints)
{
    *complaints = (struct sc_complaints){0};
    pthread_mutex_init(&complaints->mutex, NULL);
}

/* The line is the caller's who moves the next one on. */
bool sc_complaint_due(struct sc_complaints *complaints, enum sc_complaint sort,
                      char out[static SC_COMPLAINT_MAX])
{
    uint64_t now = sc_clock_mono_ms();
    unsigned long long next = atomic_load(&complaints->sorts[sort].next_ms);
    if (now < next ||
        !atomic_compare_exchange_strong(&complaints->sorts[sort].next_ms, &next, now + MINUTE_MS)) {
        atomic_fetch_add(&complaints->sorts[sort].left_out, 1);
        return false;
    }
    unsigned long long others = atomic_exchange(&complaints->sorts[sort].left_out, 0);
    out[0] = '\0';
    if (others != 0)
        snprintf(out, SC_COMPLAINT_MAX, " (%llu like it before)", others);
    return true;
}

static void add_overrun(struct sc_overrun *to, const struct sc_overrun *from)
{
    to->left_out += from->left_out;
    to->pushed_out += from->pushed_out;
    if (from->left_out == 0)
        return;
    to->exporter = from->exporter;
    to->own_share = from->own_share;
}

bool sc_complaints_overrun(struct sc_complaints *complaints, struct sc_overrun *overrun, uint64_t mono_ms)
{
    struct sc_overrun *all = &complaints->overrun;
    pthread_mutex_lock(&complaints->mutex);
    add_overrun(all, overrun);
    bool due = all->left_out + all->pushed_out != 0 && mono_ms >= complaints->next_overrun_ms;
    if (due) {
        *overrun = *all;
        *all = (struct sc_overrun){0};
        complaints->next_overrun_ms = mono_ms + MINUTE_MS;
    }
    pthread_mutex_unlock(&complaints->mutex);
    return due;
}
