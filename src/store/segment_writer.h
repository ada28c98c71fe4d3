// SPDX-License-Identifier: BSD-3-Clause
/* Writing one segment file; the format is at the head of segment_writer.c. A writer belongs to one thread. */
#ifndef SC_STORE_SEGMENT_WRITER_H
#define SC_STORE_SEGMENT_WRITER_H

#include "store/io.h"
#include "store/reader.h"
#include "store/row_group_encode.h"

struct sc_segment_id {
    uint64_t window_ms;
    uint32_t window_s;
    uint32_t lane;
    uint64_t stream;     /* of the writer that made the file */
    uint64_t created_ms; /* 0: now, by the wall clock */
    uint16_t format;     /* of the file: nothing of a newer one comes into it; 0: the newest */
    enum sc_effort
        anew; /* of a merge: all row groups are encoded so; LIVE: what was sealed may stay as it is */
    enum sc_verify verify; /* of a merge, too */
};

struct sc_segment_writer {
    struct sc_io *io;
    int handle;
    char *path;
    uint16_t format;
    uint64_t offset;                     /* bytes written */
    uint8_t head[SC_SEGMENT_HEAD_BYTES]; /* repeated in the footer */
    struct sc_buf buf;
    struct sc_group_ref *groups;
    uint32_t group_count;
    struct sc_buf spans; /* of all row groups, as the footer tells them */
    struct sc_row_stats flow_stats;
};

/* Creates the file and writes its head. On failure nothing is left behind. */
enum sc_status sc_segment_writer_create(struct sc_segment_writer *writer, struct sc_io *io, const char *path,
                                        const struct sc_segment_id *id, struct sc_error *err);

/*
 * Encodes a batch (at most 65,536 rows, spans set) and appends it with one write.
 * @return SC_OK; SC_NOMEM, SC_LIMIT: nothing was written, the writer is as it was; SC_IO, SC_FULL: the file
 * may end in an unfinished row group and must not be written any more (sc_segment_writer_abandon).
 */
enum sc_status sc_segment_writer_add(struct sc_segment_writer *writer, struct sc_row_group_encoder *encoder,
                                     const struct sc_batch *batch, struct sc_error *err);

/* As sc_segment_writer_add, of a row group that is encoded and checked already. @return also SC_LIMIT: its format is newer than the
 * file's. */
enum sc_status sc_segment_writer_add_encoded(struct sc_segment_writer *writer,
                                             const struct sc_encoded_group *group, struct sc_error *err);

enum sc_status sc_segment_writer_sync(struct sc_segment_writer *writer, struct sc_error *err);

/* Writes the footer, syncs and closes: the file is then sealed (under the name it has). */
enum sc_status sc_segment_writer_finish(struct sc_segment_writer *writer, struct sc_error *err);

/* Closes without a footer and frees. */
void sc_segment_writer_abandon(struct sc_segment_writer *writer);

#endif
