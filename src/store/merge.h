// SPDX-License-Identifier: BSD-3-Clause
/* Merging segments of one window and lane into one sealed segment: at the end of a window, for repair and
 * compaction. */
#ifndef SC_STORE_MERGE_H
#define SC_STORE_MERGE_H

#include "store/segment_writer.h"
#include "store/span_set.h"

struct sc_merge_report {
    uint64_t rows;
    uint32_t groups_read;
    uint32_t groups_damaged; /* skipped: their batches are not held */
    uint32_t stretches_damaged;
    uint32_t batches_double; /* spans met again and left out */
    uint32_t groups_copied;  /* taken as they were: larger than is made today */
    uint64_t bytes_written;
};

/*
 * Writes the rows of `inputs` (paths) to a new segment at `path`, row groups as full as base/bounds.h lets them be, spans whole
 * and contiguous, each batch id once and none that is in `held` (may be NULL), arrival order kept; then footer and fdatasync.
 * `cancel` (may be NULL) is looked at between row groups. A row group with a span that alone is more than a row group may be, of
 * an earlier version, is copied byte for byte: whatever was read can be written.
 * @return SC_OK; otherwise the file at `path` is removed. Damage of an input is no failure, nor is an input
 * that is gone; see the report.
 */
enum sc_status sc_merge_segments(struct sc_io *io, const char *const *inputs, uint32_t input_count,
                                 const char *path, const struct sc_segment_id *id,
                                 const struct sc_span_set *held, const volatile int *cancel,
                                 struct sc_merge_report *report, struct sc_error *err);

/* Adds the ids of all batches that the segment holds in row groups that are whole to the last byte. */
enum sc_status sc_merge_note_held(const char *path, struct sc_span_set *held, struct sc_error *err);

#endif
