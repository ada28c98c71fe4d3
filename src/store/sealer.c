// SPDX-License-Identifier: BSD-3-Clause
#include "store/sealer.h"

#include "base/clock.h"
#include "store/catalogue.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REST_MS      UINT64_C(60000) /* after the second failure */
#define MOST_REST_MS UINT64_C(3600000)

static void free_job(struct sc_seal_job *job)
{
    for (uint32_t i = 0; i < job->input_count; i++)
        free(job->inputs[i]);
    for (uint32_t i = 0; i < job->before_count; i++)
        free(job->before[i]);
    free(job->inputs);
    free(job->before);
    free(job->folder);
    free(job->temporary);
    free(job->sealed);
    free(job->why);
    free(job);
}

void sc_seal_jobs_free(struct sc_seal_job *job)
{
    while (job != NULL) {
        struct sc_seal_job *next = job->next;
        free_job(job);
        job = next;
    }
}

/* A live file with damage is kept beside the sealed one: somebody may want to look at it. */
static void retire_inputs(struct sc_io *io, const struct sc_log *log, const struct sc_seal_job *job,
                          bool keep)
{
    for (uint32_t i = 0; i < job->input_count; i++) {
        char kept[4096];
        int result;
        if (keep && snprintf(kept, sizeof(kept), "%s" SC_DAMAGED_SUFFIX, job->inputs[i]) < (int)sizeof(kept))
            result = io->ops->rename(io, job->inputs[i], kept);
        else
            result = io->ops->unlink(io, job->inputs[i]);
        if (result < 0)
            sc_log_complain(log, SC_LOG_WARNING, "",
                            "%s is sealed but cannot be removed (%d); its records are counted once",
                            job->inputs[i], -result);
    }
}

/* A segment that cannot be read, or is gone, holds nothing. */
static enum sc_status note_before(const struct sc_seal_job *job, struct sc_span_set *held,
                                  struct sc_error *err)
{
    for (uint32_t i = 0; i < job->before_count; i++) {
        if (sc_merge_note_held(job->before[i], held, err) == SC_NOMEM)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* The window was expired before it was sealed. */
static bool all_gone(const struct sc_seal_job *job)
{
    for (uint32_t i = 0; i < job->input_count; i++) {
        if (access(job->inputs[i], F_OK) == 0 || errno != ENOENT)
            return false;
    }
    return true;
}

static enum sc_status merge_job(struct sc_io *io, const struct sc_seal_job *job, const volatile int *cancel,
                                struct sc_merge_report *report, struct sc_error *err)
{
    struct sc_span_set held = {0};
    enum sc_status status = note_before(job, &held, err);
    if (status == SC_OK)
        status = sc_merge_segments(io, (const char *const *)job->inputs, job->input_count, job->temporary,
                                   &job->id, &held, cancel, report, err);
    sc_span_set_free(&held);
    return status;
}

/* Without rows there is nothing to keep: the inputs were heads and unfinished tails, or all is held by sealed
 * files. */
static enum sc_status put_in_place(struct sc_io *io, const struct sc_seal_job *job, uint64_t rows,
                                   struct sc_error *err)
{
    int result =
        rows == 0 ? io->ops->unlink(io, job->temporary) : io->ops->rename(io, job->temporary, job->sealed);
    if (result < 0) {
        io->ops->unlink(io, job->temporary);
        return sc_fail_errno(err, -result, "cannot rename %s", job->temporary);
    }
    /* Before the inputs go, what replaces them must have its name for good. */
    result = io->ops->sync_dir(io, job->folder);
    return result < 0 ? sc_fail_errno(err, -result, "cannot sync %s", job->folder) : SC_OK;
}

enum sc_status sc_seal(struct sc_io *io, const struct sc_log *log, const struct sc_seal_job *job,
                       const volatile int *cancel, struct sc_merge_report *report, struct sc_error *err)
{
    *report = (struct sc_merge_report){0};
    if (all_gone(job))
        return SC_OK;
    io->ops->unlink(io, job->temporary); /* of a seal that was cut short */
    SC_TRY(merge_job(io, job, cancel, report, err));
    SC_TRY(put_in_place(io, job, report->rows, err));
    bool damage = report->groups_damaged != 0 || report->stretches_damaged != 0;
    if (damage)
        sc_log(log, SC_LOG_ERROR,
               "%s: %u row groups and %u stretches of its live files are damaged; kept as .damaged",
               job->sealed, report->groups_damaged, report->stretches_damaged);
    retire_inputs(io, log, job, damage);
    return SC_OK;
}

/* ---- the thread ---- */

struct sc_sealer {
    struct sc_io *io;
    const struct sc_log *log;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct sc_seal_job *waiting; /* guarded by the mutex, as all below */
    struct sc_seal_job *failed;
    bool busy;
    bool stopping;
    uint64_t segments, bytes, failures;
    volatile int cancel;
};

static void append_job(struct sc_seal_job **list, struct sc_seal_job *job)
{
    while (*list != NULL)
        list = &(*list)->next;
    job->next = NULL;
    *list = job;
}

/* Once it is tried again with the next seal: mostly it passes. */
static void note_failed(struct sc_seal_job *job, enum sc_status status, const struct sc_error *err)
{
    uint32_t doubled = job->failures < 2 ? 0 : job->failures - 1;
    uint64_t pause = job->failures == 0 ? 0 : doubled < 6 ? REST_MS << doubled : MOST_REST_MS;
    job->failures++;
    job->retry_ms = sc_clock_mono_ms() + pause;
    if (job->why == NULL)
        job->why = malloc(sizeof(*job->why));
    if (job->why == NULL)
        return;
    *job->why = *err;
    job->why->status = status;
}

static void run_job(struct sc_sealer *sealer, struct sc_seal_job *job)
{
    struct sc_merge_report report;
    struct sc_error err = {0};
    pthread_mutex_unlock(&sealer->mutex);
    enum sc_status status = sc_seal(sealer->io, sealer->log, job, &sealer->cancel, &report, &err);
    if (status != SC_OK)
        note_failed(job, status, &err);
    if (status != SC_OK && status != SC_CANCELLED)
        sc_log_complain(sealer->log, SC_LOG_ERROR, "", "cannot seal %s, will try again: %s", job->sealed,
                        err.message);
    pthread_mutex_lock(&sealer->mutex);
    if (status == SC_OK) {
        sealer->segments++;
        sealer->bytes += report.bytes_written;
        free_job(job);
    } else {
        sealer->failures++;
        append_job(&sealer->failed, job);
    }
}

static void *sealer_main(void *arg)
{
    struct sc_sealer *sealer = arg;
    pthread_mutex_lock(&sealer->mutex);
    while (!sealer->stopping) {
        struct sc_seal_job *job = sealer->waiting;
        if (job == NULL) {
            pthread_cond_wait(&sealer->changed, &sealer->mutex);
            continue;
        }
        sealer->waiting = job->next;
        sealer->busy = true;
        run_job(sealer, job);
        sealer->busy = false;
        pthread_cond_broadcast(&sealer->changed);
    }
    pthread_mutex_unlock(&sealer->mutex);
    return NULL;
}

struct sc_sealer *sc_sealer_create(struct sc_io *io, const struct sc_log *log, struct sc_error *err)
{
    struct sc_sealer *sealer = calloc(1, sizeof(*sealer));
    if (sealer == NULL) {
        sc_fail_nomem(err, "the sealer");
        return NULL;
    }
    sealer->io = io;
    sealer->log = log;
    pthread_mutex_init(&sealer->mutex, NULL);
    pthread_cond_init(&sealer->changed, NULL);
    int result = pthread_create(&sealer->thread, NULL, sealer_main, sealer);
    if (result != 0) {
        sc_fail_errno(err, result, "cannot start the sealer's thread");
        free(sealer);
        return NULL;
    }
    return sealer;
}

void sc_sealer_add(struct sc_sealer *sealer, struct sc_seal_job *job)
{
    pthread_mutex_lock(&sealer->mutex);
    append_job(&sealer->waiting, job);
    pthread_cond_broadcast(&sealer->changed);
    pthread_mutex_unlock(&sealer->mutex);
}

void sc_sealer_wait(struct sc_sealer *sealer)
{
    pthread_mutex_lock(&sealer->mutex);
    while (sealer->waiting != NULL || sealer->busy)
        pthread_cond_wait(&sealer->changed, &sealer->mutex);
    pthread_mutex_unlock(&sealer->mutex);
}

struct sc_seal_job *sc_sealer_failed(struct sc_sealer *sealer)
{
    pthread_mutex_lock(&sealer->mutex);
    struct sc_seal_job *job = sealer->failed;
    if (job != NULL) {
        sealer->failed = job->next;
        job->next = NULL;
    }
    pthread_mutex_unlock(&sealer->mutex);
    return job;
}

void sc_sealer_stats(struct sc_sealer *sealer, uint64_t *segments, uint64_t *bytes, uint64_t *failures)
{
    pthread_mutex_lock(&sealer->mutex);
    *segments = sealer->segments;
    *bytes = sealer->bytes;
    *failures = sealer->failures;
    pthread_mutex_unlock(&sealer->mutex);
}

void sc_sealer_free(struct sc_sealer *sealer)
{
    if (sealer == NULL)
        return;
    __atomic_store_n(&sealer->cancel, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&sealer->mutex);
    sealer->stopping = true;
    pthread_cond_broadcast(&sealer->changed);
    pthread_mutex_unlock(&sealer->mutex);
    pthread_join(sealer->thread, NULL);
    sc_seal_jobs_free(sealer->waiting);
    sc_seal_jobs_free(sealer->failed);
    pthread_mutex_destroy(&sealer->mutex);
    pthread_cond_destroy(&sealer->changed);
    free(sealer);
}
