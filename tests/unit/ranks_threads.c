// SPDX-License-Identifier: BSD-3-Clause
#include "ranks_threads.h"

#include <pthread.h>
#include <stdlib.h>

struct member {
    struct sc_ranks_threads *all;
    uint32_t rank;
    pthread_cond_t
        changed;    /* something is offered to it, or what it offers was taken; only its own thread waits */
    uint64_t bytes; /* to and from it */
};

struct sc_ranks_threads {
    uint32_t count;
    pthread_mutex_t mutex; /* guards all below */
    bool stopped;
    uint64_t bytes;
    const struct sc_buf **offered; /* [from * count + to]; NULL: nothing, or taken */
    struct member *members;
};

/* Copies what is offered. The mutex is held. */
static bool take(struct sc_ranks_threads *t, uint32_t from, uint32_t to, struct sc_buf *receive)
{
    const struct sc_buf **place = &t->offered[(size_t)from * t->count + to];
    sc_buf_clear(receive);
    if ((*place)->len != 0)
        sc_buf_append(receive, (*place)->data, (*place)->len);
    t->bytes += (*place)->len;
    t->members[from].bytes += (*place)->len;
    t->members[to].bytes += (*place)->len;
    *place = NULL;
    pthread_cond_signal(&t->members[from].changed);
    return sc_buf_ok(receive);
}

static void await(struct sc_ranks_threads *t, uint32_t rank)
{
    pthread_cond_wait(&t->members[rank].changed, &t->mutex);
}

static enum sc_status pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                           struct sc_buf *receive, struct sc_error *err)
{
    const struct member *m = arg;
    struct sc_ranks_threads *t = m->all;
    bool ok = true;
    pthread_mutex_lock(&t->mutex);
    if (to != SC_NO_RANK) {
        t->offered[(size_t)m->rank * t->count + to] = send;
        pthread_cond_signal(&t->members[to].changed);
    }
    if (from != SC_NO_RANK) {
        while (t->offered[(size_t)from * t->count + m->rank] == NULL && !t->stopped)
            await(t, m->rank);
        ok = t->stopped || take(t, from, m->rank, receive);
    }
    while (to != SC_NO_RANK && t->offered[(size_t)m->rank * t->count + to] != NULL && !t->stopped)
        await(t, m->rank);
    bool stopped = t->stopped;
    pthread_mutex_unlock(&t->mutex);
    if (stopped)
        return sc_fail(err, SC_CANCELLED, "a rank has ended");
    return ok ? SC_OK : sc_fail_nomem(err, "what another rank sends");
}

struct sc_ranks_threads *sc_ranks_threads_create(uint32_t count)
{
    struct sc_ranks_threads *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->count = count;
    t->offered = calloc((size_t)count * count, sizeof(struct sc_buf *));
    t->members = calloc(count, sizeof(*t->members));
    pthread_mutex_init(&t->mutex, NULL);
    if (t->offered == NULL || t->members == NULL) {
        sc_ranks_threads_free(t);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        t->members[i] = (struct member){.all = t, .rank = i};
        pthread_cond_init(&t->members[i].changed, NULL);
    }
    return t;
}

void sc_ranks_threads_free(struct sc_ranks_threads *t)
{
    pthread_mutex_destroy(&t->mutex);
    for (uint32_t i = 0; t->members != NULL && i < t->count; i++)
        pthread_cond_destroy(&t->members[i].changed);
    free(t->offered);
    free(t->members);
    free(t);
}

struct sc_ranks sc_ranks_threads_rank(struct sc_ranks_threads *t, uint32_t rank)
{
    return (struct sc_ranks){.rank = rank, .count = t->count, .pass = pass, .arg = &t->members[rank]};
}

void sc_ranks_threads_stop(struct sc_ranks_threads *t)
{
    pthread_mutex_lock(&t->mutex);
    t->stopped = true;
    for (uint32_t i = 0; i < t->count; i++)
        pthread_cond_signal(&t->members[i].changed);
    pthread_mutex_unlock(&t->mutex);
}

uint64_t sc_ranks_threads_bytes(struct sc_ranks_threads *t, uint64_t *busiest)
{
    pthread_mutex_lock(&t->mutex);
    uint64_t bytes = t->bytes;
    *busiest = 0;
    for (uint32_t i = 0; i < t->count; i++)
        *busiest = t->members[i].bytes > *busiest ? t->members[i].bytes : *busiest;
    pthread_mutex_unlock(&t->mutex);
    return bytes;
}
