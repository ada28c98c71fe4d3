// SPDX-License-Identifier: BSD-3-Clause
#include "collect/accounts.h"

#include <pthread.h>
#include <stdlib.h>

#define TOLD_FOR_MS 60000u

struct account {
    struct sc_link_tally tally;
};

struct sc_accounts {
    pthread_mutex_t mutex;
    uint64_t stream;
    struct account *all;
    uint32_t count, capacity;
    uint64_t adopted; /* batches of earlier processes that are not safe yet */
    bool lost_track;  /* memory was short: nothing is ever called closed */
};

struct sc_accounts *sc_accounts_create(uint64_t stream)
{
    struct sc_accounts *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    pthread_mutex_init(&a->mutex, NULL);
    a->stream = stream;
    return a;
}

void sc_accounts_free(struct sc_accounts *a)
{
    if (a == NULL)
        return;
    pthread_mutex_destroy(&a->mutex);
    free(a->all);
    free(a);
}

static bool is_settled(const struct account *a, uint64_t now_ms)
{
    const struct sc_tally_lane *l = &a->tally.lane;
    bool safe = l->accepted.batches[0] == l->safe.batches[0] && l->accepted.batches[1] == l->safe.batches[1];
    return safe && a->tally.window_ms + (uint64_t)a->tally.window_s * 1000 + TOLD_FOR_MS < now_ms;
}

/* Of a window and lane; made when missing, in the place of one that was told long enough. */
static struct account *find(struct sc_accounts *a, const struct sc_batch_head *head)
{
    struct account *free_one = NULL;
    for (uint32_t i = 0; i < a->count; i++) {
        struct account *one = &a->all[i];
        if (one->tally.window_ms == head->window_ms && one->tally.lane.lane == head->id.lane)
            return one;
        if (free_one == NULL && is_settled(one, head->window_ms))
            free_one = one;
    }
    if (free_one == NULL && a->count == a->capacity) {
        uint32_t capacity = a->capacity == 0 ? 64 : a->capacity * 2;
        struct account *grown = realloc(a->all, capacity * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        a->all = grown;
        a->capacity = capacity;
    }
    if (free_one == NULL)
        free_one = &a->all[a->count++];
    *free_one = (struct account){.tally = {.stream = a->stream,
                                           .window_ms = head->window_ms,
                                           .window_s = head->window_s,
                                           .lane = {.lane = head->id.lane}}};
    return free_one;
}

static void count(struct sc_accounts *a, const struct sc_batch_head *head, bool safe)
{
    pthread_mutex_lock(&a->mutex);
    if (head->id.stream != a->stream) {
        a->adopted -= safe && a->adopted != 0;
    } else {
        struct account *one = find(a, head);
        a->lost_track = a->lost_track || one == NULL;
        if (one != NULL) {
            struct sc_tally_count *c = safe ? &one->tally.lane.safe : &one->tally.lane.accepted;
            c->batches[head->record_kind & 1]++;
            c->records[head->record_kind & 1] += head->records;
        }
    }
    pthread_mutex_unlock(&a->mutex);
}

void sc_accounts_accept(struct sc_accounts *a, const struct sc_batch_head *head)
{
    count(a, head, false);
}

void sc_accounts_safe(struct sc_accounts *a, const struct sc_batch_head *head)
{
    count(a, head, true);
}

void sc_accounts_adopt(struct sc_accounts *a)
{
    pthread_mutex_lock(&a->mutex);
    a->adopted++;
    pthread_mutex_unlock(&a->mutex);
}

struct sc_link_stream sc_accounts_stream(struct sc_accounts *a, bool ended)
{
    struct sc_link_stream out = {.stream = a->stream};
    pthread_mutex_lock(&a->mutex);
    out.earlier_closed = a->adopted == 0;
    out.closed = ended && !a->lost_track;
    for (uint32_t i = 0; i < a->count && out.closed; i++) {
        const struct sc_tally_lane *l = &a->all[i].tally.lane;
        out.closed =
            l->accepted.batches[0] == l->safe.batches[0] && l->accepted.batches[1] == l->safe.batches[1];
    }
    pthread_mutex_unlock(&a->mutex);
    return out;
}

bool sc_accounts_tally(struct sc_accounts *a, uint32_t i, uint64_t now_ms, struct sc_link_tally *out)
{
    bool found = false;
    pthread_mutex_lock(&a->mutex);
    for (uint32_t k = 0; k < a->count && !found; k++) {
        if (is_settled(&a->all[k], now_ms) || i-- != 0)
            continue;
        *out = a->all[k].tally;
        found = true;
    }
    pthread_mutex_unlock(&a->mutex);
    return found;
}
