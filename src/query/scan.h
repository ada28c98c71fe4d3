// SPDX-License-Identifier: BSD-3-Clause
/*
 * The scan: all units of a source, one at a time per thread, each selected and handed to a consumer. Of a
 * damaged row group no row is handed on: other copies of its batches are read in its turn (sc_source_replace),
 * and what there is no copy of makes the answer partial, not wrong.
 */
#ifndef SC_QUERY_SCAN_H
#define SC_QUERY_SCAN_H

#include "query/select.h"

#include <pthread.h>
#include <stdatomic.h>

struct sc_scan_consumer {
    /*
     * Called in a worker for each unit that has selected rows. @return SC_OK; SC_END: enough, stop the scan
     * without an error; SC_DAMAGED or SC_IO, and nothing of the unit was counted: other copies are handed on
     * in its place; anything else ends the scan with that status.
     */
    enum sc_status (*unit)(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                           struct sc_selection *selection, struct sc_error *err);
    /* When set: sets the rows of a unit that are handed on, in a set that is empty; the filter is not asked. */
    void (*pick)(void *arg, uint32_t unit, uint64_t *rows);
    /* When set: whether no row of that turn is of interest any more; nothing of it is read then. */
    bool (*skip)(void *arg, uint32_t turn);
    /* When set: called in the same worker for each turn that was taken, behind all its units, come what may. */
    void (*turn_over)(void *arg, uint32_t turn);
    void *arg;
    uint64_t most; /* of the rows that a unit selects only the first so many are handed on; 0: all */
    /* Fields whose columns are read and verified before `unit` is called. */
    const struct sc_field *fields;
    uint32_t field_count;
};

/* What was read so far. Turns: planned units with what stands for them. */
struct sc_scan_progress {
    uint32_t done, total; /* turns */
    uint64_t rows, bytes; /* of the row groups that were opened; read from files */
};

struct sc_scan_options {
    const struct sc_filter *filter;
    struct sc_time_bounds time;
    unsigned threads;
    bool no_bloom;
    const atomic_int *cancel; /* not 0: stop (1: interrupted, 2: deadline); may be NULL */
    const uint8_t *wanted;    /* per turn: 0 = leave out; NULL = all */
    const uint32_t *order;    /* the turns in the order in which they are taken; NULL: by number */
    bool no_summary;          /* nobody asks for the summary: no column is read for it */
    bool scale_sampling;      /* of the summary; fields are scaled one by one (sc_field_scale) */
    /* From one thread at a time, after each turn; may be NULL. */
    void (*progress)(void *arg, const struct sc_scan_progress *so_far);
    void *progress_arg;
};

/* What the time of a query goes into; of the threads together. */
enum sc_scan_stage {
    SC_SCAN_OPEN,   /* heads and directories of row groups are read and verified */
    SC_SCAN_SELECT, /* the filter, with the columns that it needs */
    SC_SCAN_READ,   /* columns of what was selected */
    SC_SCAN_USE,    /* the consumer: groups, sorting, texts, and waiting for its turn to write them */
    SC_SCAN_JOIN,   /* what threads have apart is put together; by the clock, of all that work at it */
    SC_SCAN_STAGES
};

struct sc_scan_stats {
    uint64_t units_read;   /* row groups opened */
    uint64_t units_pruned; /* left out by the footer's statistics */
    uint64_t rows_read;    /* of these: what the filter looked at */
    uint64_t rows_selected;
    uint64_t bytes_read;
    uint64_t spent_ns[SC_SCAN_STAGES];
};

/*
 * Runs the scan. Replaces units of the source that cannot be read (under a lock of its own): source->units_failed then
 * counts more than before, and an answer that takes two scans over the same rows begins anew when the second finds some.
 * @return SC_OK, also when row groups are missing; SC_CANCELLED when it was stopped before its end: what is there is partial.
 */
enum sc_status sc_scan_run(struct sc_source *source, const struct sc_scan_options *options,
                           const struct sc_scan_consumer *consumer, struct sc_scan_stats *stats,
                           struct sc_error *err);

#endif
