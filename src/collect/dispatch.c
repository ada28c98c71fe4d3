// SPDX-License-Identifier: BSD-3-Clause
#include "collect/dispatch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SET_WORDS (SC_CLUSTER_MAX_MEMBERS / 64)

/* Members, by index. */
struct member_set {
    uint64_t words[SET_WORDS];
};

struct entry {
    struct entry *next, *previous; /* all, in the order of acceptance */
    struct entry *chain;           /* of the same bucket */
    struct sc_batch_head head;
    struct sc_outbox_place place;
    uint32_t home;
    struct member_set acked;
    struct member_set waits; /* in the member's ring */
    struct member_set sent;  /* in flight to it */
};

struct peer {
    bool usable;
    int64_t credit; /* of the weighted round robin */
    /* Waiting, as a ring; those that are not needed any more are NULL, but for the first. */
    struct entry **ring;
    uint32_t ring_size, ring_first, ring_count;
    uint64_t waiting, in_flight, acknowledged;
};

struct sc_dispatch {
    const struct sc_cluster *cluster;
    sc_dispatch_released *released;
    void *arg;
    pthread_mutex_t mutex;
    struct peer *peers;
    struct entry *first, *last;
    struct entry **buckets;
    uint32_t bucket_count, entry_count;
    bool usable[SC_CLUSTER_MAX_MEMBERS];
    struct sc_dispatch_stats stats;
};

/* ---- sets ---- */

static bool has(const struct member_set *set, uint32_t i)
{
    return (set->words[i / 64] >> (i % 64) & 1) != 0;
}

static void put(struct member_set *set, uint32_t i)
{
    set->words[i / 64] |= UINT64_C(1) << (i % 64);
}

static void take(struct member_set *set, uint32_t i)
{
    set->words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* ---- entries by id ---- */

static uint64_t hash_id(const struct sc_batch_id *id)
{
    uint64_t h = (id->stream ^ id->lane) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 29) ^ id->sequence) * UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ (h >> 32);
}

static bool same_id(const struct sc_batch_id *x, const struct sc_batch_id *y)
{
    return x->stream == y->stream && x->sequence == y->sequence && x->lane == y->lane;
}

static struct entry **slot_of(struct sc_dispatch *d, const struct sc_batch_id *id)
{
    struct entry **at = &d->buckets[hash_id(id) & (d->bucket_count - 1)];
    while (*at != NULL && !same_id(&(*at)->head.id, id))
        at = &(*at)->chain;
    return at;
}

static bool grow_buckets(struct sc_dispatch *d)
{
    uint32_t count = d->bucket_count * 2;
    struct entry **buckets = calloc(count, sizeof(struct entry *));
    if (buckets == NULL)
        return false;
    for (struct entry *e = d->first; e != NULL; e = e->next) {
        uint32_t b = (uint32_t)hash_id(&e->head.id) & (count - 1);
        e->chain = buckets[b];
        buckets[b] = e;
    }
    free(d->buckets);
    d->buckets = buckets;
    d->bucket_count = count;
    return true;
}

/* ---- what waits for a member ---- */

static bool ring_push(struct peer *p, struct entry *e)
{
    if (p->ring_count == p->ring_size) {
        uint32_t size = p->ring_size == 0 ? 64 : p->ring_size * 2;
        struct entry **ring = malloc(size * sizeof(struct entry *));
        if (ring == NULL)
            return false;
        for (uint32_t i = 0; i < p->ring_count; i++)
            ring[i] = p->ring[(p->ring_first + i) & (p->ring_size - 1)];
        free(p->ring);
        p->ring = ring;
        p->ring_size = size;
        p->ring_first = 0;
    }
    p->ring[(p->ring_first + p->ring_count++) & (p->ring_size - 1)] = e;
    p->waiting++;
    return true;
}

static void ring_trim(struct peer *p)
{
    while (p->ring_count != 0 && p->ring[p->ring_first] == NULL) {
        p->ring_first = (p->ring_first + 1) & (p->ring_size - 1);
        p->ring_count--;
    }
}

/* An entry that waits. Entries go in about the order in which they came: it is near the front. */
static void ring_forget(struct peer *p, const struct entry *e)
{
    for (uint32_t i = 0; i < p->ring_count; i++) {
        struct entry **at = &p->ring[(p->ring_first + i) & (p->ring_size - 1)];
        if (*at != e)
            continue;
        *at = NULL;
        p->waiting--;
        break;
    }
    ring_trim(p);
}

/* The member has it, or need not have it. */
static void withdraw(struct sc_dispatch *d, struct entry *e, uint32_t member)
{
    struct peer *p = &d->peers[member];
    if (has(&e->waits, member))
        ring_forget(p, e);
    if (has(&e->sent, member))
        p->in_flight--;
    take(&e->waits, member);
    take(&e->sent, member);
}

/* ---- targets and release ---- */

static void release(struct sc_dispatch *d, struct entry *e)
{
    uint32_t copies = 0;
    for (uint32_t i = 0; i < d->cluster->count; i++) {
        copies += has(&e->acked, i);
        withdraw(d, e, i);
    }
    *slot_of(d, &e->head.id) = e->chain;
    *(e->previous == NULL ? &d->first : &e->previous->next) = e->next;
    *(e->next == NULL ? &d->last : &e->next->previous) = e->previous;
    d->entry_count--;
    d->stats.batches--;
    d->stats.records -= e->head.records;
    d->stats.released++;
    d->stats.released_short += copies < d->cluster->replication;
    d->released(d->arg, &e->head, e->place);
    free(e);
}

static bool is_durable(const struct sc_dispatch *d, const struct entry *e)
{
    uint32_t copies = 0, wanted = d->cluster->replication;
    for (uint32_t i = 0; i < d->cluster->count; i++)
        copies += d->usable[i] && has(&e->acked, i);
    if (d->stats.usable < wanted)
        wanted = d->stats.usable;
    return wanted != 0 && copies >= wanted;
}

/* Gives the batch to the targets that do not have it. */
static void retarget(struct sc_dispatch *d, struct entry *e)
{
    uint32_t targets[SC_CLUSTER_MAX_COPIES];
    uint32_t count = sc_cluster_targets(d->cluster, e->home, d->usable, targets);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t t = targets[i];
        bool has_it = has(&e->acked, t) || has(&e->waits, t) || has(&e->sent, t);
        if (!has_it && ring_push(&d->peers[t], e))
            put(&e->waits, t);
    }
    if (is_durable(d, e))
        release(d, e);
}

static void retarget_all(struct sc_dispatch *d)
{
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        retarget(d, e);
    }
}

/* ---- outside ---- */

struct sc_dispatch *sc_dispatch_create(const struct sc_cluster *cluster, sc_dispatch_released *released,
                                       void *arg)
{
    struct sc_dispatch *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->cluster = cluster;
    d->released = released;
    d->arg = arg;
    pthread_mutex_init(&d->mutex, NULL);
    d->peers = calloc((size_t)cluster->count + 1, sizeof(*d->peers));
    d->bucket_count = 1024;
    d->buckets = calloc(d->bucket_count, sizeof(struct entry *));
    if (d->peers != NULL && d->buckets != NULL)
        return d;
    sc_dispatch_free(d);
    return NULL;
}

void sc_dispatch_free(struct sc_dispatch *d)
{
    if (d == NULL)
        return;
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        free(e);
    }
    for (uint32_t i = 0; d->peers != NULL && i < d->cluster->count; i++)
        free(d->peers[i].ring);
    pthread_mutex_destroy(&d->mutex);
    free(d->peers);
    free(d->buckets);
    free(d);
}

uint32_t sc_dispatch_home(struct sc_dispatch *d)
{
    uint32_t best = SC_NO_MEMBER;
    int64_t total = 0;
    pthread_mutex_lock(&d->mutex);
    for (uint32_t i = 0; i < d->cluster->count; i++) {
        const struct sc_member *m = &d->cluster->members[i];
        if (!m->subcollector || (d->stats.usable != 0 && !d->usable[i]))
            continue;
        d->peers[i].credit += m->weight;
        total += m->weight;
        if (best == SC_NO_MEMBER || d->peers[i].credit > d->peers[best].credit)
            best = i;
    }
    if (best != SC_NO_MEMBER)
        d->peers[best].credit -= total;
    pthread_mutex_unlock(&d->mutex);
    return best;
}

/* Batches of an earlier start may have a home that is no member any more. */
static uint32_t find_home(const struct sc_cluster *cluster, uint32_t lane)
{
    if (cluster->count == 0)
        return 0;
    for (uint32_t i = 0; i < cluster->count; i++) {
        if (cluster->members[i].lane == lane)
            return i;
    }
    return lane % cluster->count;
}

enum sc_status sc_dispatch_add(struct sc_dispatch *d, const struct sc_batch_head *head,
                               struct sc_outbox_place place)
{
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return SC_NOMEM;
    *e = (struct entry){.head = *head, .place = place, .home = find_home(d->cluster, head->id.lane)};
    pthread_mutex_lock(&d->mutex);
    if (d->entry_count >= d->bucket_count && !grow_buckets(d)) {
        pthread_mutex_unlock(&d->mutex);
        free(e);
        return SC_NOMEM;
    }
    struct entry **slot = slot_of(d, &head->id);
    e->chain = *slot;
    *slot = e;
    e->previous = d->last;
    *(d->last == NULL ? &d->first : &d->last->next) = e;
    d->last = e;
    d->entry_count++;
    d->stats.batches++;
    d->stats.records += head->records;
    retarget(d, e);
    pthread_mutex_unlock(&d->mutex);
    return SC_OK;
}

bool sc_dispatch_next(struct sc_dispatch *d, uint32_t member, struct sc_batch_head *head,
                      struct sc_outbox_place *place)
{
    pthread_mutex_lock(&d->mutex);
    struct peer *p = &d->peers[member];
    struct entry *e = p->ring_count == 0 ? NULL : p->ring[p->ring_first];
    if (e != NULL) {
        *head = e->head;
        *place = e->place;
        withdraw(d, e, member);
        put(&e->sent, member);
        p->in_flight++;
    }
    pthread_mutex_unlock(&d->mutex);
    return e != NULL;
}

static void acknowledge(struct sc_dispatch *d, uint32_t member, struct entry *e)
{
    struct peer *p = &d->peers[member];
    if (has(&e->acked, member))
        return;
    put(&e->acked, member);
    withdraw(d, e, member);
    p->acknowledged++;
    if (is_durable(d, e))
        release(d, e);
}

void sc_dispatch_ack(struct sc_dispatch *d, uint32_t member, const struct sc_link_ack *ack)
{
    struct sc_batch_id id = {.stream = ack->stream, .lane = ack->lane, .sequence = ack->first};
    pthread_mutex_lock(&d->mutex);
    /* No more than are known can be meant, however wide the interval is. */
    if (ack->last - ack->first < d->entry_count + UINT64_C(65536)) {
        for (uint64_t left = ack->last - ack->first + 1; left > 0; left--, id.sequence++) {
            struct entry *e = *slot_of(d, &id);
            if (e != NULL)
                acknowledge(d, member, e);
        }
    }
    pthread_mutex_unlock(&d->mutex);
}

void sc_dispatch_set_usable(struct sc_dispatch *d, uint32_t member, bool usable)
{
    pthread_mutex_lock(&d->mutex);
    struct peer *p = &d->peers[member];
    d->stats.usable += (uint32_t)usable - (uint32_t)d->usable[member];
    d->usable[member] = usable;
    p->usable = usable;
    p->credit = 0;
    p->ring_count = 0;
    p->waiting = p->in_flight = 0;
    for (struct entry *e = d->first; e != NULL; e = e->next) {
        take(&e->waits, member);
        take(&e->sent, member);
    }
    retarget_all(d);
    pthread_mutex_unlock(&d->mutex);
}

void sc_dispatch_get_stats(struct sc_dispatch *d, struct sc_dispatch_stats *out)
{
    pthread_mutex_lock(&d->mutex);
    *out = d->stats;
    pthread_mutex_unlock(&d->mutex);
}

void sc_dispatch_get_member(struct sc_dispatch *d, uint32_t member, struct sc_dispatch_member *out)
{
    pthread_mutex_lock(&d->mutex);
    const struct peer *p = &d->peers[member];
    *out = (struct sc_dispatch_member){p->usable, p->waiting, p->in_flight, p->acknowledged};
    pthread_mutex_unlock(&d->mutex);
}
