// SPDX-License-Identifier: BSD-3-Clause
/*
 * Lines in the log about what exporters do wrong: at most one in a minute about each sort of trouble, with the number of cases that
 * had none, however many receivers there are. They share this; all calls from any thread.
 */
#ifndef SC_COLLECT_COMPLAINTS_H
#define SC_COLLECT_COMPLAINTS_H

#include "collect/missing.h"
#include "wire/decoder.h"

#include <pthread.h>
#include <stdatomic.h>

enum sc_complaint {
    SC_COMPLAINT_MESSAGE,
    SC_COMPLAINT_STREAM,
    SC_COMPLAINT_STATE, /* of another proxy */
    SC_COMPLAINT_REFUSAL,
    SC_COMPLAINTS
};

struct sc_complaints {
    struct {
        atomic_ullong next_ms;  /* monotonic */
        atomic_ullong left_out; /* since the last line */
    } sorts[SC_COMPLAINTS];
    struct sc_missing_minute missing;
    pthread_mutex_t mutex; /* of what follows */
    struct sc_overrun overrun;
    uint64_t next_overrun_ms;
};

void sc_complaints_init(struct sc_complaints *complaints);

/* True when a line may be written now; out is then what to put at its end about those that were not, often empty. */
#define SC_COMPLAINT_MAX 48
bool sc_complaint_due(struct sc_complaints *complaints, enum sc_complaint sort,
                      char out[static SC_COMPLAINT_MAX]);

/* Gathers what a decoder had no room for. True: it is to be told now, and *overrun is all that was not told yet. */
bool sc_complaints_overrun(struct sc_complaints *complaints, struct sc_overrun *overrun, uint64_t mono_ms);

#endif
