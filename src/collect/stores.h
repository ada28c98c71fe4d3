// SPDX-License-Identifier: BSD-3-Clause
/*
 * The stores that one thread writes: its own, and on a subcollector those of other lanes, which lie under it. What such a thread
 * does beside taking things from its queue is here: one sync for all that was appended in a while (group commit), sealing of windows
 * that have ended or were left by an earlier process, retention each minute and at once when the disk is found full, by age only while
 * the clock is believed, what exporters tell of their elements, figures.
 *
 * The store may be deleted under it, or a lane's part of it. That is noticed before anything more is called durable, and within a
 * second: the store is made and locked anew, with the files that are known here, and the caller is told, who has to forget what is no
 * more there. When another process has taken it meanwhile, nothing more is written (`taken`).
 *
 * What comes of a failure is the caller's. Once an append or a commit has failed, nothing that waited for a commit is known to be on
 * the disk: the caller appends it again, under the ids that it got, or gives it up.
 *
 * Malloc. One thread, but for sc_stores_set_retention and sc_stores_set_archive. Does not move. Times are monotonic.
 */
#ifndef SC_COLLECT_STORES_H
#define SC_COLLECT_STORES_H

#include "base/log.h"
#include "collect/archive.h"
#include "collect/clock_trust.h"
#include "collect/disk.h"
#include "collect/window_clock.h"
#include "store/elements.h"
#include "store/store.h"

#include <pthread.h>

#define SC_STORES_LEAST_FREE ((uint64_t)4 << 30)
#define SC_STORES_FILES      64u /* live files that are open, of all stores together, and one more for each */

struct sc_stores_options {
    const char *path;      /* of the own store */
    uint32_t lane;         /* of the own store; 0 on a single node */
    uint16_t format;       /* as in struct sc_store_options */
    enum sc_verify verify; /* likewise */
    uint32_t window_s;
    bool import; /* reading files: windows are sealed when the data has left them behind, not by the clock */
    uint64_t commit_ms, commit_bytes;     /* so long, or so much, waits for a commit */
    struct sc_retention retention;        /* none when both are 0 */
    struct sc_archive_command archive;    /* as in sc_stores_set_archive; from the first window on */
    const struct sc_reference *reference; /* the time by others; NULL: there are none */
    bool others;                          /* as in collect/clock_trust.h */
    struct sc_io *io;                     /* NULL: the system's */
    const struct sc_log *log;
    /* What waited for a commit is durable, or, when there is a `failure`, not known to be. */
    void (*committed)(void *arg, const struct sc_error *failure);
    /* What was durable may not be any more, and what lies beside the segments is to be written again. NULL: nobody hears it. */
    void (*wiped)(void *arg);
    void *arg;
};

struct sc_stores_stats {
    struct sc_store_stats store; /* of all that are open */
    struct sc_disk disk;
    uint64_t expired_windows, expired_bytes;
    uint64_t horizon_ms;
    struct sc_archiver_stats archive;
    uint64_t waiting_windows;                      /* for the archive; they should be gone */
    uint64_t unarchived_windows, unarchived_bytes; /* deleted without it, for want of room */
    uint64_t age_paused_ms;                 /* for so long nothing has expired by age, though it should: */
    char clock_problem[SC_CLOCK_WORDS_MAX]; /* why; empty: there is nothing to say */
    struct sc_file_id lock;                 /* of the own store */
    uint64_t wiped, wiped_ms;               /* how often it was deleted, and when last, wall clock */
    bool taken;                             /* another process has it */
};

/* The store of one lane. Stays where it is until another is added or dropped. */
struct sc_stores_lane {
    uint32_t lane;
    bool dirty; /* since the last commit */
    char *path;
    struct sc_store_writer *writer;
    struct sc_window_clock windows;
};

struct sc_stores {
    struct sc_stores_options options;
    struct sc_stores_lane *lanes; /* the own first */
    uint32_t lane_count;
    struct sc_open_files open_files;
    struct sc_elements elements; /* of all: the whole store is asked at once */
    bool waits;                  /* something, for a commit: */
    uint64_t waiting_bytes, waiting_since_ms;
    uint64_t next_second_ms, next_retention_ms, next_days_ms;
    bool found_full;           /* since the last good commit */
    uint64_t newest_window_ms; /* import */
    uint64_t horizon_ms;       /* store/horizon.h */
    struct sc_archiver *archiver;
    struct sc_stores_stats stats;
    struct sc_clock_trust clock;
    bool clock_told;       /* the log knows that it is not believed */
    pthread_mutex_t mutex; /* of options.retention */
};

/* Opens the own store; `err` is not NULL. @return SC_OK, or what sc_store_writer_open says. */
enum sc_status sc_stores_open(struct sc_stores *stores, const struct sc_stores_options *options,
                              struct sc_error *err);
/* Closes all when nothing waits any more; `seal_all`: after sealing all windows, else live files stay live. @return SC_OK, or the first
 * failure. *stats (may be NULL): the last. */
enum sc_status sc_stores_close(struct sc_stores *stores, bool seal_all, struct sc_stores_stats *stats,
                               struct sc_error *err);
/* As sc_store_writer_set_format, of all. */
void sc_stores_set_format(struct sc_stores *stores, uint16_t format);

/* Takes effect with the next retention. Any thread. */
void sc_stores_set_retention(struct sc_stores *stores, const struct sc_retention *retention);

/* The command that gets each window before retention deletes it (collect/archive.h), or none. When the disk is nearly full, less than a
 * twentieth of it or SC_STORES_LEAST_FREE being free, windows go without it. Any thread. @return SC_OK or SC_NOMEM. */
enum sc_status sc_stores_set_archive(struct sc_stores *stores, const struct sc_archive_command *command);

/* NULL: it is not open. */
struct sc_stores_lane *sc_stores_find(struct sc_stores *stores, uint32_t lane);
/* Opens one more; `err` is not NULL here. @return SC_OK, SC_NOMEM, or what sc_store_writer_open says. */
enum sc_status sc_stores_add(struct sc_stores *stores, uint32_t lane, const char *path,
                             struct sc_stores_lane **out, struct sc_error *err);
/* Commits, and closes a lane that is not the own; the last one takes its place. */
void sc_stores_drop(struct sc_stores *stores, struct sc_stores_lane *lane);

/* As sc_store_writer_append with sc_store_writer_set_hurry, to the own store, and sc_store_writer_append_encoded. `bytes`: how much of the caller's waits with it. */
enum sc_status sc_stores_append(struct sc_stores *stores, struct sc_batch *batch, uint64_t bytes, bool hurry,
                                struct sc_error *err);
enum sc_status sc_stores_append_encoded(struct sc_stores *stores, struct sc_stores_lane *lane,
                                        const struct sc_window *window, uint64_t came_ms,
                                        const struct sc_encoded_group *group, uint64_t bytes,
                                        struct sc_error *err);
/* Whether an append failed for the disk or memory. Else it failed for what was to be appended, and the rest waits on. */
bool sc_stores_is_passing(enum sc_status failure);
/* Makes durable what waits, and calls `committed`; neither when nothing waits. */
void sc_stores_commit(struct sc_stores *stores);
bool sc_stores_commit_due(const struct sc_stores *stores, uint64_t now_ms);

/* False: the store was deleted, all or in part, and is made anew within a second. Looks at the disk. */
bool sc_stores_are_there(const struct sc_stores *stores);

/* What was expired before the horizon is here again, from `begin_ms` on: the horizon goes back to it, or to what is kept now. Looks at
 * the disk. */
void sc_stores_take_back_horizon(struct sc_stores *stores, uint64_t begin_ms);

/* Milliseconds to the next commit or second. */
uint64_t sc_stores_wait(const struct sc_stores *stores, uint64_t now_ms);
/* The duties of a second, when one is over. @return whether it was. */
bool sc_stores_each_second(struct sc_stores *stores, uint64_t now_ms);
/* Looks at the disk. */
void sc_stores_get_stats(struct sc_stores *stores, struct sc_stores_stats *out);

#endif
