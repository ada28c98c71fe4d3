// SPDX-License-Identifier: BSD-3-Clause
/*
 * The store thread: takes parcels from the queue and puts them into the store, which it alone writes (collect/stores.h).
 *
 * A parcel is kept until a sync after its append succeeded. When the disk is full or fails, the thread keeps
 * what it has, tries again with growing pauses, and leaves the rest in the queue, whose bound then decides. Once the queue is
 * closed it is tried at once, and for patience_ms more; what the disk does not take until then is given up, counted and told.
 *
 *     sc_storer_start(&options, &storer, &err);
 *     ...producers push...
 *     sc_queue_close(queue);
 *     sc_storer_finish(storer, seal_all, &stats, &err);
 */
#ifndef SC_COLLECT_STORER_H
#define SC_COLLECT_STORER_H

#include "base/log.h"
#include "collect/queue.h"
#include "collect/stores.h"

struct sc_storer;

struct sc_storer_options {
    const char *store;
    uint32_t window_s;
    struct sc_queue *queue;
    struct sc_log log;             /* a copy of its own */
    struct sc_retention retention; /* none when both are 0 */
    struct sc_archive_command archive;
    enum sc_verify verify; /* of what is sealed */
    /* Reading files: as in collect/stores.h, and a failure of the store is given up after a while instead of never. */
    bool import;
    uint64_t patience_ms; /* how long a store that refuses is borne at the end, or when importing; 0 = 10 s */
    struct sc_io *io;     /* NULL: the system's */
};

struct sc_storer_stats {
    struct sc_stores_stats stores;
    bool blocked;          /* the store refuses what it is given; it is being tried again */
    uint64_t blocked_ms;   /* monotonic: since then */
    uint64_t retries;      /* appends and syncs that failed */
    uint64_t lost_records; /* given up: the store refused them for good */
    char problem[256];     /* the last failure; empty when all is well */
};

/* Opens the store and starts the thread. @return SC_OK, or what sc_store_writer_open says. */
enum sc_status sc_storer_start(const struct sc_storer_options *options, struct sc_storer **out,
                               struct sc_error *err);

/* Takes effect within a second. Any thread. */
void sc_storer_set_retention(struct sc_storer *storer, const struct sc_retention *retention);
/* As sc_stores_set_archive. */
enum sc_status sc_storer_set_archive(struct sc_storer *storer, const struct sc_archive_command *command);

/* A snapshot that is at most a second old. Any thread. */
void sc_storer_get_stats(struct sc_storer *storer, struct sc_storer_stats *out);

/*
 * Waits until the closed queue is empty and all is durable (for patience_ms at most while the store refuses),
 * closes the store and frees the storer. `seal_all`: all windows are sealed, else live files stay live.
 * *stats (may be NULL) is the last account. @return SC_OK, or SC_FULL or SC_IO when records were lost or a
 * window could not be sealed.
 */
enum sc_status sc_storer_finish(struct sc_storer *storer, bool seal_all, struct sc_storer_stats *stats,
                                struct sc_error *err);

#endif
