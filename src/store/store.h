// SPDX-License-Identifier: BSD-3-Clause
/*
 * The store: a folder of segments (docs/formats.md, head of store/segment_writer.c).
 *
 * Writing. One sc_store_writer per (process, store); all its functions are called from one thread, which may
 * block on the disk. It owns the live files of the windows being written and merges each at its end.
 *
 *     sc_store_writer_append(w, batch, &err)    row groups to the live file of batch->window_ms
 *     sc_store_writer_sync(w, &err)             fdatasync of what was appended; then it is durable
 *     sc_store_writer_seal(w, before_ms, &err)  merge and seal the windows that ended
 *
 * Reading is in store/reader.h and needs no writer and no lock: sealed files never change, live files only
 * grow.
 */
#ifndef SC_STORE_STORE_H
#define SC_STORE_STORE_H

#include "base/log.h"
#include "base/reference.h"
#include "base/status.h"
#include "flow/batch.h"
#include "store/io.h"
#include "store/reader.h"

struct sc_store_writer;

/*
 * The live files that several writers of one thread have open together. Windows may be written in any order (--read, an outbox after
 * an outage, a peer that likes to): when `most` are open, the writer that has most of them closes the one it did not use for longest.
 * So none has less than its share for what others write; give it one for each writer at least. Zero-initialise but for `most`, which
 * may grow; outlives them.
 */
struct sc_open_files {
    uint32_t most;
    uint64_t tick;
    struct sc_store_writer *writers;
};

/* Nodes of a cluster may have windows of different lengths: files are of one. */
struct sc_window {
    uint64_t begin_ms;
    uint32_t length_s;
};

static inline uint64_t sc_window_end(const struct sc_window *window)
{
    return window->begin_ms + (uint64_t)window->length_s * 1000;
}

struct sc_store_options {
    uint32_t window_s;        /* of batches that are appended; default 300; divides a day */
    uint16_t format;          /* of what is encoded here; 0: the newest */
    uint32_t lane;            /* the member whose batches the segments hold; 0 on a single node */
    enum sc_verify verify;    /* of what is sealed */
    uint64_t seal_bytes;      /* a live file larger than this is sealed before its window ends; 0 = 1 GiB */
    struct sc_io *io;         /* NULL = sc_io_system() */
    const struct sc_log *log; /* may be NULL */
    struct sc_open_files *open_files;     /* NULL: 64 of its own */
    const struct sc_reference *reference; /* says when files are made; NULL: the wall clock does */
};

struct sc_store_stats {
    uint64_t flows; /* rows appended since the start */
    uint64_t options;
    uint64_t row_groups;
    uint64_t bytes_written; /* live and sealed files */
    uint64_t segments_sealed;
    uint64_t sync_failures;
    uint64_t write_failures;
    uint64_t full_events;  /* ENOSPC / EDQUOT */
    uint64_t last_sync_ms; /* wall clock of the last durable moment */
};

/*
 * Opens the store at `path`, created when missing. Live files that an earlier process left behind are never
 * appended to; they are sealed by sc_store_writer_seal like any other. Temporary files of a seal that a crash
 * cut short are removed here.
 * @return NULL with *err: not a folder, not writable, another writer holds it (`collector.lock`).
 */
struct sc_store_writer *sc_store_writer_open(const char *path, const struct sc_store_options *options,
                                             struct sc_error *err);

/*
 * Encodes the batch (finished, rows > 0, one window) into row groups that keep to base/bounds.h and appends them; what fills a row group
 * is compressed as in a sealed file, and copied there, unless the writer is to hurry. A batch
 * without spans gets them here, each within the bounds of a batch of the cluster, numbered in the writer's own stream.
 * @return SC_OK; SC_FULL or SC_IO: nothing of the batch is counted as stored, the caller keeps it and may
 *   append it again (the writer has moved on to another file); SC_NOMEM; SC_LIMIT: a span that it
 *   brought is more than a row group holds.
 */
enum sc_status sc_store_writer_append(struct sc_store_writer *writer, struct sc_batch *batch,
                                      struct sc_error *err);

/* While more comes than can be compressed in time, that is left to the seal. */
void sc_store_writer_set_hurry(struct sc_store_writer *writer, bool hurry);

/* Of all that is encoded from now on; 0: the newest. */
void sc_store_writer_set_format(struct sc_store_writer *writer, uint16_t format);

/* As sc_store_writer_append, of a row group that came encoded, in whatever format, and of any window; it keeps its span. `came_ms`: when it came, by which
 * retention takes its age; 0: now. */
enum sc_status sc_store_writer_append_encoded(struct sc_store_writer *writer, const struct sc_window *window,
                                              uint64_t came_ms, const struct sc_encoded_group *group,
                                              struct sc_error *err);

/*
 * fdatasync of every live file that has grown; SC_OK means that all appended batches are durable. A failed
 * fsync is final for its file: the writer never touches that file again, and the caller appends every batch
 * since the last good sync once more (with the spans they have: readers count a batch id once, so that no row
 * is double).
 */
enum sc_status sc_store_writer_sync(struct sc_store_writer *writer, struct sc_error *err);

/* Windows that have live files, those of an earlier process too: the next ones after *at, which is 0 at first. False: there are no more. */
bool sc_store_writer_window(const struct sc_store_writer *writer, uint32_t *at, struct sc_window *out);

/* Seals every live file whose window ended at or before `before_ms` (UINT64_MAX: all). */
enum sc_status sc_store_writer_seal(struct sc_store_writer *writer, uint64_t before_ms, struct sc_error *err);

void sc_store_writer_stats(const struct sc_store_writer *writer, struct sc_store_stats *out);

/* Syncs, closes (live files stay live: the next writer seals them) and frees. NULL is allowed. */
enum sc_status sc_store_writer_close(struct sc_store_writer *writer, struct sc_error *err);

/* False: the store was deleted under the writer, or moved away; its lock file is gone, or is another's. What was appended is not in it. */
bool sc_store_writer_is_there(const struct sc_store_writer *writer);
/* Of the lock file that it holds; valid until the next call of sc_store_writer_renew. */
const struct sc_file_id *sc_store_writer_lock_id(const struct sc_store_writer *writer);
/* After that: makes and takes the store anew; what was not synced is forgotten. @return SC_OK; SC_TAKEN: another has it now; SC_IO,
 * SC_FULL: all is as it was. */
enum sc_status sc_store_writer_renew(struct sc_store_writer *writer, struct sc_error *err);
/* Closes without a sync, and frees: for a store that is gone. */
void sc_store_writer_abandon(struct sc_store_writer *writer);

/* ---- maintenance: also without a running writer; whole windows, oldest first ---- */

/* The files of a window, as they are. */
struct sc_window_files {
    uint64_t window_ms;
    uint64_t mark;  /* another one when a file comes or goes, or grows */
    char **paths;   /* below the store, without it; what is told of the window behind the rest. Malloc'ed */
    uint32_t count; /* 0: there is none that an archive could take now */
};

void sc_window_files_free(struct sc_window_files *files);

/* Somebody is to have each window before it goes (collect/archive.h). */
struct sc_archived {
    uint64_t window_ms, mark; /* he has this one; 0: none */
    uint64_t lacking_bytes;   /* for want of room windows go all the same, until so much is free */
};

struct sc_retention {
    uint64_t age_s; /* 0 = no bound */
    uint64_t bytes; /* of all segments, and of damaged ones that were kept; 0 = no bound */
    bool by_window; /* age counts from the window alone: the word of an operator, who sees what he deletes */
    const struct sc_archived *archived; /* NULL: nobody is asked */
};

struct sc_expiry {
    uint64_t windows;
    uint64_t files;
    uint64_t bytes;              /* freed, or to be freed with dry_run */
    uint64_t horizon_ms;         /* windows before this are gone */
    uint64_t waiting_windows;    /* should go, and nobody has them yet */
    struct sc_window_files next; /* the first of them; empty while it is written to. To be freed */
    uint64_t unarchived_windows, unarchived_bytes; /* of those that went, without anybody having them */
};

/* Deletes windows that retention does not keep, up to the first that waits. Never the window that is being written. `now_ms`: the time,
 * by the best clock there is; the horizon is never set later than that. */
enum sc_status sc_store_expire(const char *path, const struct sc_retention *retention, uint64_t now_ms,
                               bool dry_run, struct sc_io *io, struct sc_expiry *out, struct sc_error *err);

#endif
