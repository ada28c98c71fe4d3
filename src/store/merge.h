// SPDX-License-Identifier: BSD-3-Clause
/*
 * Merging segments of one window and lane into one sealed segment: the one way in which stored rows come into another file, at the end
 * of a window, for repair, and for whatever makes fewer or newer files of what is there.
 *
 * Takes segments, live or sealed, in any format that is read, with row groups of any size, any number of them damaged, the same batches
 * in several.
 *
 * Gives
 *   - each batch id once, of its first whole copy, and none that others hold;
 *   - batches whole and in the order in which they were met, flows and options each by themselves, their ids and numbers kept;
 *   - row groups that are filled anew, as full as base/bounds.h lets them be, encoded as this version does; and byte for byte those that
 *     were compressed before, full, and new as a whole, unless a few rows before them would have to become a row group of their own: so
 *     what healing pulled, what repair keeps, and what fills a row group of the live file costs no encoding;
 *   - nothing of a row group of which any chunk is damaged: it is counted, and what to do with its file is the caller's;
 *   - a file that is durable under the name that it was given and was read back, or none: it has the row groups that were written, by
 *     what the writer knew of each before it wrote it, every byte agrees with its hash, rows and batches are as many, and all row groups
 *     can be decoded, or one (enum sc_verify). To give it its final name and to take away the inputs is the caller's: only then are they
 *     not needed any more.
 *
 * A row group with a batch that alone is more than a row group may be, of an earlier version, is copied, too: whatever was read can be
 * written.
 */
#ifndef SC_STORE_MERGE_H
#define SC_STORE_MERGE_H

#include "store/segment_writer.h"
#include "store/span_set.h"

/* Of a row group that is as good as one that is filled anew; what is smaller is filled up. */
#define SC_FULL_ROWS (SC_BOUND_GROUP_ROWS / 4 * 3)

struct sc_merge_report {
    uint64_t rows;
    uint32_t groups_read;
    uint32_t groups_damaged; /* skipped: their batches are not held */
    uint32_t stretches_damaged;
    uint32_t batches_double; /* spans met again and left out */
    uint32_t groups_copied;  /* taken as they were */
    uint64_t bytes_written;
};

/*
 * Merges `inputs` (paths) into a new segment at `path`, without the batches that are in `held` (may be NULL). `cancel` (may be NULL) is
 * looked at between row groups.
 * @return SC_OK; otherwise there is no file of ours at `path`. Damage of an input is no failure, nor is an input that is gone; see the
 * report. SC_DAMAGED: what was written does not read back.
 */
enum sc_status sc_merge_segments(struct sc_io *io, const char *const *inputs, uint32_t input_count,
                                 const char *path, const struct sc_segment_id *id,
                                 const struct sc_span_set *held, const volatile int *cancel,
                                 struct sc_merge_report *report, struct sc_error *err);

/* Adds the ids of all batches that the segment holds in row groups that are whole to the last byte. */
enum sc_status sc_merge_note_held(const char *path, struct sc_span_set *held, struct sc_error *err);

#endif
