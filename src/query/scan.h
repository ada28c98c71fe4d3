// SPDX-License-Identifier: BSD-3-Clause
/*
 * The scan: all units of a source, one at a time per thread, each selected and handed to a consumer. Damage
 * of a row group makes the answer partial, not wrong: none of its rows is handed on.
 */
#ifndef SC_QUERY_SCAN_H
#define SC_QUERY_SCAN_H

#include "query/select.h"

#include <pthread.h>
#include <stdatomic.h>

struct sc_scan;

struct sc_scan_consumer {
    /*
     * Called in a worker for each unit that has selected rows (and with group NULL for each that has none,
     * when `every_unit` is set). @return SC_OK; SC_END: enough, stop the scan without an error; SC_DAMAGED or
     * SC_IO: noted as missing; anything else ends the scan with that status.
     */
    enum sc_status (*unit)(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                           struct sc_selection *selection, struct sc_error *err);
    void *arg;
    /* Fields whose columns are read and verified before `unit` is called. */
    const struct sc_field *fields;
    uint32_t field_count;
    bool every_unit;
};

struct sc_scan_options {
    const struct sc_filter *filter;
    struct sc_time_bounds time;
    unsigned threads;
    bool no_bloom;
    const atomic_int *cancel; /* not 0: stop (1: interrupted, 2: deadline); may be NULL */
    const uint8_t *wanted;    /* per unit: 0 = leave out; NULL = all */
    uint8_t *damaged;         /* per unit: set to 1 where it was noted as missing; may be NULL */
    bool no_summary;          /* nobody asks for the summary: no column is read for it */
    bool scale_sampling;      /* of the summary; fields are scaled one by one (sc_field_scale) */
    void (*progress)(void *arg, uint32_t done, uint32_t total); /* from one thread at a time; may be NULL */
    void *progress_arg;
};

/*
 * For answers that take two scans over the same row groups: options under which both leave out those that were
 * found damaged. After the scans, sc_undamaged_again is true when some were found since the last time: run both
 * anew.
 */
struct sc_undamaged {
    struct sc_scan_options options;
    uint8_t *wanted, *damaged;
    uint32_t count;
};

struct sc_scan_stats {
    uint64_t units_read;   /* row groups opened */
    uint64_t units_pruned; /* left out by the footer's statistics */
    uint64_t bytes_read;
};

/*
 * Runs the scan. Notes what is missing in source->missing (under a lock of its own). @return SC_OK, also when
 * row groups are missing; SC_CANCELLED when it was stopped before its end: what is there is partial.
 */
enum sc_status sc_scan_run(struct sc_source *source, const struct sc_scan_options *options,
                           const struct sc_scan_consumer *consumer, struct sc_scan_stats *stats,
                           struct sc_error *err);

enum sc_status sc_undamaged_init(struct sc_undamaged *marks, const struct sc_source *source,
                                 const struct sc_scan_options *options, struct sc_error *err);
bool sc_undamaged_again(struct sc_undamaged *marks);
void sc_undamaged_free(struct sc_undamaged *marks);

#endif
