// SPDX-License-Identifier: BSD-3-Clause
#include "collect/queue.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct parcel_row {
    struct sc_parcel *first, *last;
};

struct sc_queue {
    pthread_mutex_t mutex;
    pthread_cond_t filled;     /* a parcel came, the queue was closed, or a wake-up */
    pthread_cond_t emptied;    /* memory became free, or the queue was closed */
    struct parcel_row rows[2]; /* [1]: aside */
    struct sc_queue_stats stats;
    struct sc_drops drops;
    bool closed;
};

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct sc_queue *sc_queue_create(uint64_t limit_bytes)
{
    struct sc_queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return NULL;
    pthread_mutex_init(&queue->mutex, NULL);
    init_condition(&queue->filled);
    init_condition(&queue->emptied);
    queue->stats.limit_bytes = limit_bytes;
    return queue;
}

static struct sc_parcel *take_first(struct sc_queue *queue)
{
    struct parcel_row *row = &queue->rows[queue->rows[0].first == NULL];
    struct sc_parcel *parcel = row->first;
    if (parcel == NULL)
        return NULL;
    row->first = parcel->next;
    if (row->first == NULL)
        row->last = NULL;
    parcel->next = NULL;
    return parcel;
}

void sc_queue_free(struct sc_queue *queue)
{
    if (queue == NULL)
        return;
    struct sc_parcel *parcel;
    while ((parcel = take_first(queue)) != NULL)
        sc_parcel_release(parcel);
    sc_drops_free(&queue->drops);
    pthread_cond_destroy(&queue->filled);
    pthread_cond_destroy(&queue->emptied);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

/* ---- parcels being filled ---- */

/* The parcel being filled has so much; under the mutex. */
static void set_filling(struct sc_queue *queue, struct sc_parcel *parcel, size_t memory)
{
    queue->stats.filling_bytes += memory;
    queue->stats.filling_bytes -= parcel->memory;
    parcel->memory = memory;
}

static void note_peak(struct sc_queue *queue)
{
    uint64_t bytes = queue->stats.bytes + queue->stats.filling_bytes;
    if (bytes > queue->stats.peak_bytes)
        queue->stats.peak_bytes = bytes;
}

bool sc_queue_grant(struct sc_queue *queue, struct sc_parcel *parcel, size_t memory, bool force)
{
    pthread_mutex_lock(&queue->mutex);
    uint64_t others = queue->stats.bytes + queue->stats.filling_bytes - parcel->memory;
    bool granted = force || others + memory <= queue->stats.limit_bytes;
    if (granted) {
        set_filling(queue, parcel, memory);
        note_peak(queue);
    }
    pthread_mutex_unlock(&queue->mutex);
    return granted;
}

void sc_queue_drop(struct sc_queue *queue, struct sc_parcel *parcel)
{
    pthread_mutex_lock(&queue->mutex);
    set_filling(queue, parcel, 0);
    pthread_cond_broadcast(&queue->emptied);
    pthread_mutex_unlock(&queue->mutex);
    sc_parcel_release(parcel);
}

void sc_queue_lose(struct sc_queue *queue, struct sc_parcel *parcel, enum sc_drop_reason reason)
{
    pthread_mutex_lock(&queue->mutex);
    sc_drops_note(&queue->drops, parcel->batch, reason);
    pthread_mutex_unlock(&queue->mutex);
    sc_queue_drop(queue, parcel);
}

struct sc_drops sc_queue_take_drops(struct sc_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    struct sc_drops drops = queue->drops;
    queue->drops = (struct sc_drops){0};
    pthread_mutex_unlock(&queue->mutex);
    return drops;
}

/* ---- parcels on their way ---- */

static bool is_tight(const struct sc_queue *queue)
{
    return queue->stats.bytes > queue->stats.limit_bytes / 2;
}

static bool is_tight_for_streams(const struct sc_queue *queue)
{
    return is_tight(queue) || queue->stats.stream_bytes > queue->stats.limit_bytes / 4;
}

static bool has_room(const struct sc_queue *queue, const struct sc_parcel *parcel)
{
    uint64_t limit = queue->stats.limit_bytes;
    if (parcel->aside && (is_tight(queue) || queue->stats.aside_bytes + parcel->memory > limit / 8))
        return false;
    if (parcel->stream && queue->stats.stream_bytes + parcel->memory > limit / 8 * 3)
        return false;
    return queue->stats.bytes + parcel->memory <= limit - limit / 4;
}

static void append(struct sc_queue *queue, struct sc_parcel *parcel)
{
    struct parcel_row *row = &queue->rows[parcel->aside];
    parcel->next = NULL;
    if (row->last == NULL)
        row->first = parcel;
    else
        row->last->next = parcel;
    row->last = parcel;
    queue->stats.waiting++;
    queue->stats.held++;
    queue->stats.filling_bytes -= parcel->memory;
    queue->stats.bytes += parcel->memory;
    queue->stats.aside_bytes += parcel->aside ? parcel->memory : 0;
    queue->stats.stream_bytes += parcel->stream ? parcel->memory : 0;
}

enum sc_status sc_queue_push(struct sc_queue *queue, struct sc_parcel *parcel, uint64_t wait_ms)
{
    size_t memory = sc_batch_memory(parcel->batch);
    struct timespec deadline = sc_clock_mono_in(wait_ms);
    enum sc_status status = SC_OK;
    pthread_mutex_lock(&queue->mutex);
    set_filling(queue, parcel, memory);
    note_peak(queue);
    while (status == SC_OK && !queue->closed && !has_room(queue, parcel)) {
        if (wait_ms == 0 || pthread_cond_timedwait(&queue->emptied, &queue->mutex, &deadline) == ETIMEDOUT)
            status = SC_FULL;
    }
    if (queue->closed)
        status = SC_CANCELLED;
    if (status == SC_OK) {
        append(queue, parcel);
        pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->mutex);
    return status;
}

bool sc_queue_is_tight(struct sc_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool tight = is_tight_for_streams(queue);
    pthread_mutex_unlock(&queue->mutex);
    return tight;
}

static bool is_empty(const struct sc_queue *queue)
{
    return queue->rows[0].first == NULL && queue->rows[1].first == NULL;
}

struct sc_parcel *sc_queue_pop(struct sc_queue *queue, uint64_t wait_ms)
{
    struct timespec deadline = sc_clock_mono_in(wait_ms);
    pthread_mutex_lock(&queue->mutex);
    while (is_empty(queue) && !queue->closed && wait_ms != 0) {
        if (pthread_cond_timedwait(&queue->filled, &queue->mutex, &deadline) == ETIMEDOUT)
            break;
    }
    struct sc_parcel *parcel = take_first(queue);
    queue->stats.waiting -= parcel != NULL;
    pthread_mutex_unlock(&queue->mutex);
    return parcel;
}

void sc_queue_done(struct sc_queue *queue, struct sc_parcel *parcel)
{
    pthread_mutex_lock(&queue->mutex);
    queue->stats.held--;
    queue->stats.bytes -= parcel->memory;
    queue->stats.aside_bytes -= parcel->aside ? parcel->memory : 0;
    queue->stats.stream_bytes -= parcel->stream ? parcel->memory : 0;
    pthread_cond_broadcast(&queue->emptied);
    pthread_mutex_unlock(&queue->mutex);
    sc_parcel_release(parcel);
}

void sc_queue_close(struct sc_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_cond_broadcast(&queue->emptied);
    pthread_mutex_unlock(&queue->mutex);
}

bool sc_queue_is_closed(struct sc_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool closed = queue->closed;
    pthread_mutex_unlock(&queue->mutex);
    return closed;
}

bool sc_queue_is_finished(struct sc_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool finished = queue->closed && is_empty(queue);
    pthread_mutex_unlock(&queue->mutex);
    return finished;
}

void sc_queue_get_stats(struct sc_queue *queue, struct sc_queue_stats *out)
{
    pthread_mutex_lock(&queue->mutex);
    *out = queue->stats;
    pthread_mutex_unlock(&queue->mutex);
}
