// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sealing: live files of one window become one sealed segment: merge to a temporary file, fdatasync, verify by
 * reading it back, rename, fsync of the folder, unlink the live ones. Jobs run one after another on a
 * thread of their own, at the lowest priority that keeps up; a job that fails leaves the live files as they
 * are and is reported by sc_sealer_failed, with the reason. What fails twice is let rest for a minute, then for two, four, up to
 * an hour: what does not pass costs no more than that.
 */
#ifndef SC_STORE_SEALER_H
#define SC_STORE_SEALER_H

#include "base/log.h"
#include "store/merge.h"

struct sc_sealer;

struct sc_seal_job {
    struct sc_seal_job *next;
    struct sc_segment_id id;
    char *folder;    /* the day's folder */
    char *temporary; /* path while writing */
    char *sealed;    /* final path */
    char **inputs;   /* live files, oldest first */
    uint32_t input_count;
    char **before; /* sealed files of the window: what they hold is not stored again */
    uint32_t before_count;
    uint32_t failures;    /* how often it failed */
    struct sc_error *why; /* the last time; NULL: never, or memory was short */
    uint64_t retry_ms;    /* not before that, by a monotonic clock */
};

/* The job and those behind it. NULL is allowed. */
void sc_seal_jobs_free(struct sc_seal_job *job);

/* Does one job in the calling thread. @return SC_OK: sealed and verified, inputs gone; else nothing is lost.
 */
enum sc_status sc_seal(struct sc_io *io, const struct sc_log *log, const struct sc_seal_job *job,
                       const volatile int *cancel, struct sc_merge_report *report, struct sc_error *err);

/* Starts the thread. NULL with *err when it cannot. */
struct sc_sealer *sc_sealer_create(struct sc_io *io, const struct sc_log *log, struct sc_error *err);
/* Takes the job over. */
void sc_sealer_add(struct sc_sealer *sealer, struct sc_seal_job *job);
/* Waits until all jobs are done. */
void sc_sealer_wait(struct sc_sealer *sealer);
/* The oldest job that failed since the last call, NULL when none; the caller owns it, alone, and may add it again. */
struct sc_seal_job *sc_sealer_failed(struct sc_sealer *sealer);
/* Sums over finished jobs. */
void sc_sealer_stats(struct sc_sealer *sealer, uint64_t *segments, uint64_t *bytes, uint64_t *failures);
/* Cancels what runs (its live files stay), frees what waits. NULL is allowed. */
void sc_sealer_free(struct sc_sealer *sealer);

#endif
