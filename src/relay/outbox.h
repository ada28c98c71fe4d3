// SPDX-License-Identifier: BSD-3-Clause
/*
 * The outbox of a proxy: files of batches that are accepted and not yet released. A batch is in it, whole,
 * before it is sent the first time; its file goes when all batches in it are released. The page cache makes it survive the
 * death of the process; with `sync` it survives that of the machine too.
 *
 * OUTBOX/<stream>-<n>.scout is a sequence of records: a head of 64 bytes, then the batch's bytes. Little-endian:
 *
 *   offset  size
 *        0     4  "SCOB"
 *        4     4  size of the bytes
 *        8     8  stream
 *       16     8  sequence
 *       24     8  window, ms
 *       32     8  XXH3 64 of the bytes
 *       40     4  lane
 *       44     4  window length, s
 *       48     4  records
 *       52     1  record kind
 *       53     1  0x52: released, not to be sent again; else it waits. Written in place, and 0 for the hash that follows
 *       54     2  0
 *       56     8  XXH3 64 of the 56 bytes before
 *
 * All records of a file are of the stream in its name. A record that is cut short at the end of a file was never accepted. Damage
 * costs the record in which it lies: when the head is whole the next one begins behind its bytes, else where the next whole head
 * of this stream is found.
 *
 * A file that could not be written to is not appended to any more: it goes when nothing in it waits, so that a disk which the outbox
 * itself has filled gets its space back.
 *
 * Append from one thread, read and tidy from one other: these two touch files, and no lock is held while they do. Release and
 * ask for figures from any. Three descriptors are open at most, however many files there are.
 */
#ifndef SC_RELAY_OUTBOX_H
#define SC_RELAY_OUTBOX_H

#include "base/shared.h"
#include "relay/link.h"
#include "store/io.h"

#include <stdbool.h>

struct sc_outbox;

struct sc_outbox_options {
    uint64_t limit_bytes; /* of all files; 0: 4 GiB */
    bool sync;            /* fdatasync after each append */
    struct sc_io *io;     /* NULL: the system's */
};

#define SC_OUTBOX_NOWHERE UINT32_MAX

/* Where a batch lies. */
struct sc_outbox_place {
    uint32_t
        file; /* counted from the first that this process opened or made; SC_OUTBOX_NOWHERE: in memory only */
    uint64_t offset;
};

/* An accepted batch. */
struct sc_accepted {
    struct sc_batch_head head;
    struct sc_outbox_place place;
    struct sc_shared *bytes; /* NULL: they are in the outbox only */
};

struct sc_outbox_stats {
    uint64_t bytes; /* of all files */
    uint64_t limit_bytes;
    uint64_t batches; /* not released */
    uint64_t appended, released;
    uint64_t refused;                        /* for want of room, or because the disk refused */
    uint64_t deleted_files, deleted_batches; /* by others; what was not released of them, then */
    /* In files of earlier processes: */
    uint64_t cut_short;                      /* ends that were never accepted */
    uint64_t damaged;                        /* places where something was skipped that had been */
    uint64_t damaged_records, skipped_bytes; /* the records as far as they are known */
};

/* Called for each batch that an earlier process left. SC_END: this one is not needed. A disk that failed may have it twice. */
typedef enum sc_status sc_outbox_found(void *arg, const struct sc_batch_head *head,
                                       struct sc_outbox_place place);

/*
 * Opens the folder, created when missing. `stream` names new files. @return NULL with *err; what `found` returned.
 */
struct sc_outbox *sc_outbox_open(const char *path, uint64_t stream, const struct sc_outbox_options *options,
                                 sc_outbox_found *found, void *arg, struct sc_error *err);
/* Files with batches that are not released stay. NULL is allowed. */
void sc_outbox_close(struct sc_outbox *outbox);

/* @return SC_OK: accepted; SC_FULL, SC_IO: it is not, and nothing of it is kept. */
enum sc_status sc_outbox_append(struct sc_outbox *outbox, const struct sc_batch_head *head,
                                const uint8_t *bytes, struct sc_outbox_place *place, struct sc_error *err);

/*
 * The bytes of a batch whose head came from here. @return SC_OK; SC_DAMAGED; SC_IO; SC_NOMEM, also for want of descriptors;
 * SC_NOTFOUND: it was released, and its file is gone. One whose file others have deleted is SC_DAMAGED.
 */
enum sc_status sc_outbox_read(struct sc_outbox *outbox, const struct sc_batch_head *head,
                              struct sc_outbox_place place, struct sc_buf *out, struct sc_error *err);

/* From the thread that appends, now and then: whether files were deleted by others. What they held is what is in memory of it; nothing
 * more is appended to them. @return whether there are any that were there the last time. */
bool sc_outbox_look(struct sc_outbox *outbox);

/* Of a batch that is not released; nothing is to be done for one that is nowhere. Its mark, or the end of its file, comes with sc_outbox_tidy. */
void sc_outbox_release(struct sc_outbox *outbox, struct sc_outbox_place place);
/* Marks what was released, and removes the files in which nothing waits. No file of the reading side is open behind it. */
void sc_outbox_tidy(struct sc_outbox *outbox);

void sc_outbox_get_stats(struct sc_outbox *outbox, struct sc_outbox_stats *out);

#endif
