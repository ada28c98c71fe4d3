// SPDX-License-Identifier: BSD-3-Clause
#include "flow/parcel.h"

#include <pthread.h>
#include <stdlib.h>

/* Empty parcels that a pool keeps: one being filled, some on their way. The others' memory is given back. */
#define POOL_KEEPS 4u

struct sc_pool {
    pthread_mutex_t mutex;
    struct sc_parcel *free;
    uint32_t count;
    size_t bytes, keep_bytes; /* of those free */
    enum sc_record_kind kind;
};

struct sc_pool *sc_pool_create(enum sc_record_kind kind, size_t keep_bytes)
{
    struct sc_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    pthread_mutex_init(&pool->mutex, NULL);
    pool->kind = kind;
    pool->keep_bytes = keep_bytes;
    return pool;
}

static void free_parcel(struct sc_parcel *parcel)
{
    sc_batch_free(parcel->batch);
    free(parcel);
}

void sc_pool_free(struct sc_pool *pool)
{
    if (pool == NULL)
        return;
    for (struct sc_parcel *parcel = pool->free; parcel != NULL;) {
        struct sc_parcel *next = parcel->next;
        free_parcel(parcel);
        parcel = next;
    }
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

struct sc_parcel *sc_pool_take(struct sc_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    struct sc_parcel *parcel = pool->free;
    if (parcel != NULL) {
        pool->free = parcel->next;
        pool->count--;
        pool->bytes -= parcel->memory;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (parcel == NULL) {
        parcel = calloc(1, sizeof(*parcel));
        if (parcel == NULL)
            return NULL;
        parcel->home = pool;
        parcel->batch = sc_batch_create(pool->kind);
        if (parcel->batch == NULL) {
            free(parcel);
            return NULL;
        }
    }
    parcel->next = NULL;
    parcel->memory = 0;
    parcel->aside = parcel->stream = false;
    atomic_store(&parcel->holders, 1);
    return parcel;
}

void sc_parcel_hold(struct sc_parcel *parcel)
{
    atomic_fetch_add(&parcel->holders, 1);
}

void sc_parcel_release(struct sc_parcel *parcel)
{
    struct sc_pool *pool = parcel->home;
    if (atomic_fetch_sub(&parcel->holders, 1) != 1)
        return;
    sc_batch_reset(parcel->batch);
    parcel->memory = sc_batch_memory(parcel->batch);
    pthread_mutex_lock(&pool->mutex);
    bool keep = pool->count < POOL_KEEPS && pool->bytes + parcel->memory <= pool->keep_bytes;
    if (keep) {
        parcel->next = pool->free;
        pool->free = parcel;
        pool->count++;
        pool->bytes += parcel->memory;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (!keep)
        free_parcel(parcel);
}
