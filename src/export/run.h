// SPDX-License-Identifier: BSD-3-Clause
/* What all sources of flows share: where they send to, how fast, who counts and who may stop them. */
#ifndef SC_EXPORT_RUN_H
#define SC_EXPORT_RUN_H

#include "export/sender.h"
#include "export/truth.h"

#include <signal.h>

struct sc_export_totals {
    uint64_t flows;
    uint64_t messages;
    uint64_t skipped;        /* records that the protocol cannot express */
    uint64_t values_dropped; /* values that it cannot */
    uint64_t damaged;        /* row groups of a store that could not be read */
    uint64_t not_export;     /* messages of a file that are no export messages, not sent */
};

struct sc_export_run {
    struct sc_sender *sender;
    struct sc_truth *truth;            /* NULL: nobody asks */
    uint64_t rate;                     /* flows a second, 0: as fast as possible */
    const volatile sig_atomic_t *stop; /* not 0: end early, with SC_CANCELLED */
    void (*progress)(void *arg,
                     const struct sc_export_totals *totals); /* at most twice a second; may be NULL */
    void *arg;
    uint64_t reported_ms; /* 0 at the start */
};

/* Calls progress when it is time. */
void sc_export_report(struct sc_export_run *run, const struct sc_export_totals *totals);

#endif
