// SPDX-License-Identifier: BSD-3-Clause
#include "forward/queue.h"

#include <pthread.h>
#include <stdlib.h>

struct sc_forward_queue {
    pthread_mutex_t mutex;
    struct sc_forward_entry *entries; /* a ring */
    uint32_t capacity, first, count;
    uint32_t held; /* pushed and not done */
    struct sc_forward_queue_stats stats;
    bool closed;
};

struct sc_forward_queue *sc_forward_queue_create(uint64_t limit_bytes)
{
    struct sc_forward_queue *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return NULL;
    pthread_mutex_init(&q->mutex, NULL);
    q->stats.limit_bytes = limit_bytes;
    return q;
}

void sc_forward_queue_free(struct sc_forward_queue *q)
{
    if (q == NULL)
        return;
    for (; q->count > 0; q->count--, q->first = (q->first + 1) % q->capacity)
        sc_parcel_release(q->entries[q->first].parcel);
    pthread_mutex_destroy(&q->mutex);
    free(q->entries);
    free(q);
}

static bool has_room(const struct sc_forward_queue *q, size_t memory)
{
    return q->held == 0 || q->stats.bytes + memory <= q->stats.limit_bytes;
}

bool sc_forward_queue_has_room(struct sc_forward_queue *q, size_t memory)
{
    pthread_mutex_lock(&q->mutex);
    bool room = has_room(q, memory);
    pthread_mutex_unlock(&q->mutex);
    return room;
}

static bool grow(struct sc_forward_queue *q)
{
    if (q->count < q->capacity)
        return true;
    uint32_t capacity = q->capacity * 2 + 16;
    struct sc_forward_entry *entries = calloc(capacity, sizeof(*entries));
    if (entries == NULL)
        return false;
    for (uint32_t i = 0; i < q->count; i++)
        entries[i] = q->entries[(q->first + i) % q->capacity];
    free(q->entries);
    q->entries = entries;
    q->capacity = capacity;
    q->first = 0;
    return true;
}

static void append(struct sc_forward_queue *q, struct sc_parcel *parcel, size_t memory)
{
    sc_parcel_hold(parcel);
    q->entries[(q->first + q->count) % q->capacity] = (struct sc_forward_entry){parcel, memory};
    q->count++;
    q->held++;
    q->stats.waiting[parcel->batch->record_kind] += parcel->batch->rows;
    q->stats.bytes += memory;
    if (q->stats.bytes > q->stats.peak_bytes)
        q->stats.peak_bytes = q->stats.bytes;
}

void sc_forward_queue_push(struct sc_forward_queue *q, struct sc_parcel *parcel, size_t memory)
{
    const struct sc_batch *batch = parcel->batch;
    pthread_mutex_lock(&q->mutex);
    q->stats.offered[batch->record_kind] += batch->rows;
    if (!q->closed && has_room(q, memory) && grow(q))
        append(q, parcel, memory);
    else
        q->stats.dropped[batch->record_kind] += batch->rows;
    pthread_mutex_unlock(&q->mutex);
}

bool sc_forward_queue_pop(struct sc_forward_queue *q, struct sc_forward_entry *out)
{
    pthread_mutex_lock(&q->mutex);
    bool found = q->count != 0;
    if (found) {
        *out = q->entries[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->count--;
    }
    pthread_mutex_unlock(&q->mutex);
    return found;
}

void sc_forward_queue_done(struct sc_forward_queue *q, const struct sc_forward_entry *entry)
{
    const struct sc_batch *batch = entry->parcel->batch;
    pthread_mutex_lock(&q->mutex);
    q->held--;
    q->stats.waiting[batch->record_kind] -= batch->rows;
    q->stats.bytes -= entry->memory;
    pthread_mutex_unlock(&q->mutex);
    sc_parcel_release(entry->parcel);
}

void sc_forward_queue_close(struct sc_forward_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->closed = true;
    pthread_mutex_unlock(&q->mutex);
}

bool sc_forward_queue_is_empty(struct sc_forward_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    bool empty = q->count == 0;
    pthread_mutex_unlock(&q->mutex);
    return empty;
}

void sc_forward_queue_set_limit(struct sc_forward_queue *q, uint64_t limit_bytes)
{
    pthread_mutex_lock(&q->mutex);
    q->stats.limit_bytes = limit_bytes;
    pthread_mutex_unlock(&q->mutex);
}

void sc_forward_queue_get_stats(struct sc_forward_queue *q, struct sc_forward_queue_stats *out)
{
    pthread_mutex_lock(&q->mutex);
    *out = q->stats;
    pthread_mutex_unlock(&q->mutex);
}
