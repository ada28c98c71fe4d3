// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a query reads: segments, and of each the row groups or parts of them. A planner may hand in any list
 * of (segment, row ranges); sc_source_open makes the list for paths, with every batch id counted once. Built
 * by one thread, then immutable and shared.
 */
#ifndef SC_QUERY_SOURCE_H
#define SC_QUERY_SOURCE_H

#include "query/expect.h"
#include "store/reader.h"

struct sc_row_range {
    uint32_t first, rows;
};

/* One unit of work: a row group, whole or in part. */
struct sc_source_unit {
    uint32_t segment;
    uint32_t group;
    struct sc_row_range *ranges; /* NULL: all rows; else ascending, disjoint; owned by the source */
    uint32_t range_count;
};

struct sc_source {
    struct sc_segment **segments;
    uint32_t segment_count;
    struct sc_source_unit *units; /* by window, file, place in the file */
    uint32_t unit_count;
    /* Sentences on what could not be read; the answer is partial when there are any. */
    char **missing;
    uint32_t missing_count;
    uint32_t unread;                 /* of these: that could not be read; the others are not there */
    struct sc_known_lost known_lost; /* what is not there, and need not be */
    uint32_t readable_paths;         /* of those given */
    uint64_t bytes;                  /* of all segments */
};

struct sc_source_bounds {
    bool options;       /* options records instead of flows */
    uint64_t window_ms; /* only the windows that hold this time; 0 = all */
    /* The times that are asked for, and so those for which it is judged what is missing; 0 and 0 = all. */
    uint64_t begin_ms, end_ms;
    const struct sc_loss_sink *sink; /* wants to know what is missing; NULL: nobody does */
};

/*
 * Opens all segments under `paths`. What cannot be read is noted in source->missing and left out.
 * @return SC_OK also when nothing is there; SC_NOMEM; when no path at all could be read: the status of the
 * first.
 */
enum sc_status sc_source_open(const char *const *paths, uint32_t path_count,
                              const struct sc_source_bounds *bounds, struct sc_source *out,
                              struct sc_error *err);
void sc_source_close(struct sc_source *source);

/* Notes something that is missing from the answer (copied; once, however often it is met). Not for use while
 * other threads read. */
enum sc_status sc_source_note_missing(struct sc_source *source, const char *sentence);

#endif
