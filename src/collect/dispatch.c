// SPDX-License-Identifier: BSD-3-Clause
#include "collect/dispatch.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SET_WORDS     (SC_CLUSTER_MAX_MEMBERS / 64)
#define COPY_COSTS_MS 20u   /* of the time that passes: 50 batches a second */
#define MOST_SAVED_MS 1000u /* of that time */
#define RETRY_MS      1000u
#define MOST_FAILURES 5u
#define WIDE_ACK      128u

/* When a member is slow, and when what is in flight to it is given to another too: usually, and when the outbox fills. */
static const struct patience {
    uint32_t slow_ms, late_ms;
    bool rate_limited;
} patience[2] = {{2000, 10000, true}, {500, 1000, false}};

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
    struct member_set waits; /* in the member's line */
    struct member_set sent;  /* in flight to it */
    struct member_set asked; /* was ever: nobody else can acknowledge it */
    struct member_set late;  /* of those in flight: for so long that another got it too */
    bool parked;             /* it could not be read: nobody gets it until then */
    uint32_t failures;
    uint64_t retry_ms;
};

struct place_in_line {
    struct entry *entry;
    uint64_t since_ms; /* in flight */
};

/* Batches in the order in which they came, as a ring; those that left are NULL, but for the first. */
struct line {
    struct place_in_line *places;
    uint32_t size, first, count;
    uint64_t batches;
};

struct peer {
    bool usable, slow;
    int64_t credit; /* of the weighted round robin */
    struct line waits, flight;
    uint64_t acknowledged;
};

struct sc_dispatch {
    struct sc_cluster cluster;
    struct sc_dispatch_events events;
    pthread_mutex_t mutex;
    struct peer *peers;
    struct entry *first, *last;
    struct entry **buckets;
    uint64_t seed; /* of the buckets */
    uint32_t bucket_count, entry_count;
    uint32_t parked_count;
    uint64_t settle_ms;           /* until then not all are known that will be usable; 0: they are */
    uint64_t ticked_ms, saved_ms; /* the last tick; for copies of what is late */
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

static uint64_t hash_id(const struct sc_dispatch *d, const struct sc_batch_id *id)
{
    return sc_hash_pair(id->stream, id->sequence, d->seed ^ id->lane);
}

static bool same_id(const struct sc_batch_id *x, const struct sc_batch_id *y)
{
    return x->stream == y->stream && x->sequence == y->sequence && x->lane == y->lane;
}

static struct entry **slot_of(struct sc_dispatch *d, const struct sc_batch_id *id)
{
    struct entry **at = &d->buckets[hash_id(d, id) & (d->bucket_count - 1)];
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
        uint32_t b = (uint32_t)hash_id(d, &e->head.id) & (count - 1);
        e->chain = buckets[b];
        buckets[b] = e;
    }
    free(d->buckets);
    d->buckets = buckets;
    d->bucket_count = count;
    return true;
}

/* ---- lines ---- */

static struct place_in_line *in_line(const struct line *l, uint32_t i)
{
    return &l->places[(l->first + i) & (l->size - 1)];
}

static bool line_push(struct line *l, struct entry *e, uint64_t since_ms)
{
    if (l->count == l->size) {
        uint32_t size = l->size == 0 ? 64 : l->size * 2;
        struct place_in_line *places = malloc(size * sizeof(*places));
        if (places == NULL)
            return false;
        for (uint32_t i = 0; i < l->count; i++)
            places[i] = *in_line(l, i);
        free(l->places);
        l->places = places;
        l->size = size;
        l->first = 0;
    }
    *in_line(l, l->count++) = (struct place_in_line){e, since_ms};
    l->batches++;
    return true;
}

static void line_trim(struct line *l)
{
    while (l->count != 0 && in_line(l, 0)->entry == NULL) {
        l->first = (l->first + 1) & (l->size - 1);
        l->count--;
    }
}

/* One that is in it. Entries go in about the order in which they came: it is near the front. */
static void line_forget(struct line *l, const struct entry *e)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (in_line(l, i)->entry != e)
            continue;
        in_line(l, i)->entry = NULL;
        l->batches--;
        break;
    }
    line_trim(l);
}

static void line_clear(struct line *l)
{
    l->count = 0;
    l->batches = 0;
}

/* The member has it, or need not have it. */
static void withdraw(struct sc_dispatch *d, struct entry *e, uint32_t member)
{
    struct peer *p = &d->peers[member];
    if (has(&e->waits, member))
        line_forget(&p->waits, e);
    if (has(&e->sent, member))
        line_forget(&p->flight, e);
    take(&e->waits, member);
    take(&e->sent, member);
    take(&e->late, member);
}

/* ---- targets and release ---- */

static void forget(struct sc_dispatch *d, struct entry *e)
{
    for (uint32_t i = 0; i < d->cluster.count; i++)
        withdraw(d, e, i);
    *slot_of(d, &e->head.id) = e->chain;
    *(e->previous == NULL ? &d->first : &e->previous->next) = e->next;
    *(e->next == NULL ? &d->last : &e->next->previous) = e->previous;
    d->entry_count--;
    d->parked_count -= e->parked;
    d->stats.batches--;
    d->stats.records -= e->head.records;
    free(e);
}

static void release(struct sc_dispatch *d, struct entry *e)
{
    uint32_t copies = 0;
    for (uint32_t i = 0; i < d->cluster.count; i++)
        copies += has(&e->acked, i);
    d->stats.released++;
    d->stats.released_short += copies < d->cluster.replication;
    d->events.released(d->events.arg, &e->head, e->place);
    forget(d, e);
}

/* Who can have a copy, now or soon. */
static uint32_t count_able(const struct sc_dispatch *d)
{
    uint32_t able = 0;
    if (d->settle_ms == 0)
        return d->stats.usable;
    for (uint32_t i = 0; i < d->cluster.count; i++)
        able += d->cluster.members[i].subcollector;
    return able;
}

static bool is_durable(const struct sc_dispatch *d, const struct entry *e)
{
    uint32_t copies = 0, wanted = d->cluster.replication, able = count_able(d);
    for (uint32_t i = 0; i < d->cluster.count; i++)
        copies += d->peers[i].usable && has(&e->acked, i);
    if (able < wanted)
        wanted = able;
    return wanted != 0 && copies >= wanted;
}

/* A slow member has it not, or not yet for too long: others come first. */
static bool is_held_up(const struct sc_dispatch *d, const struct entry *e, uint32_t member)
{
    return d->peers[member].slow && !has(&e->acked, member) &&
           (!has(&e->sent, member) || has(&e->late, member));
}

static uint32_t choose_targets(const struct sc_dispatch *d, const struct entry *e,
                               uint32_t out[SC_CLUSTER_MAX_COPIES])
{
    bool quick[SC_CLUSTER_MAX_MEMBERS], slow[SC_CLUSTER_MAX_MEMBERS];
    uint32_t more[SC_CLUSTER_MAX_COPIES];
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        bool held_up = is_held_up(d, e, i);
        quick[i] = d->peers[i].usable && !held_up;
        slow[i] = d->peers[i].usable && held_up;
    }
    uint32_t n = sc_cluster_targets(&d->cluster, e->home, quick, out);
    if (n == d->cluster.replication)
        return n;
    uint32_t n_more = sc_cluster_targets(&d->cluster, e->home, slow, more);
    for (uint32_t i = 0; i < n_more && n < d->cluster.replication; i++)
        out[n++] = more[i];
    return n;
}

/* Gives the batch to the targets that do not have it. Returns to how many. */
static uint32_t give(struct sc_dispatch *d, struct entry *e)
{
    uint32_t targets[SC_CLUSTER_MAX_COPIES], given = 0;
    uint32_t count = e->parked ? 0 : choose_targets(d, e, targets);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t t = targets[i];
        bool has_it = has(&e->acked, t) || has(&e->waits, t) || has(&e->sent, t);
        if (has_it || !line_push(&d->peers[t].waits, e, 0))
            continue;
        put(&e->waits, t);
        given++;
    }
    return given;
}

static void retarget(struct sc_dispatch *d, struct entry *e)
{
    (void)give(d, e);
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

/* ---- slow members ---- */

/* What waits for the member goes to others where there are any. */
static void turn_away(struct sc_dispatch *d, uint32_t member)
{
    line_clear(&d->peers[member].waits);
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        if (!has(&e->waits, member))
            continue;
        take(&e->waits, member);
        retarget(d, e);
    }
}

/* Slow from a bound on, until half of it: one that is near it does not change with each batch. Returns whether it changed. */
static bool judge(struct peer *p, uint64_t now_ms, uint32_t bound_ms)
{
    uint64_t bound = p->slow ? bound_ms / 2 : bound_ms;
    bool slow = p->usable && p->flight.count != 0 && now_ms >= in_line(&p->flight, 0)->since_ms + bound;
    bool changed = slow != p->slow;
    p->slow = slow;
    return changed;
}

/* Also when one is quick again: it takes what waits for those that are still slow. */
static void judge_all(struct sc_dispatch *d, uint64_t now_ms, uint32_t bound_ms)
{
    bool changed = false;
    d->stats.slow = 0;
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        changed = judge(&d->peers[i], now_ms, bound_ms) || changed;
        d->stats.slow += d->peers[i].slow;
    }
    for (uint32_t i = 0; changed && i < d->cluster.count; i++) {
        if (d->peers[i].slow)
            turn_away(d, i);
    }
}

/* What is in flight to a slow member for long is given to the next on the ring in addition. */
static void copy_late(struct sc_dispatch *d, uint32_t member, uint64_t now_ms, const struct patience *how)
{
    struct line *flight = &d->peers[member].flight;
    for (uint32_t i = 0; i < flight->count; i++) {
        struct entry *e = in_line(flight, i)->entry;
        if (how->rate_limited && d->saved_ms < COPY_COSTS_MS)
            return;
        if (e == NULL || has(&e->late, member))
            continue;
        if (now_ms < in_line(flight, i)->since_ms + how->late_ms)
            return;
        put(&e->late, member);
        uint32_t given = give(d, e);
        d->stats.copied_late += given;
        d->saved_ms -= given * COPY_COSTS_MS < d->saved_ms ? given * COPY_COSTS_MS : d->saved_ms;
        if (given == 0)
            take(&e->late, member); /* nobody else is there: looked at again */
    }
}

static void read_again(struct sc_dispatch *d, uint64_t now_ms)
{
    for (struct entry *e = d->first; e != NULL && d->parked_count != 0; e = e->next) {
        if (!e->parked || now_ms < e->retry_ms)
            continue;
        e->parked = false;
        d->parked_count--;
        (void)give(d, e);
    }
}

/* ---- outside ---- */

struct sc_dispatch *sc_dispatch_create(const struct sc_cluster *cluster,
                                       const struct sc_dispatch_events *events)
{
    struct sc_dispatch *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->events = *events;
    pthread_mutex_init(&d->mutex, NULL);
    d->peers = calloc((size_t)cluster->count + 1, sizeof(*d->peers));
    d->seed = sc_hash_draw_seed();
    d->bucket_count = 1024;
    d->buckets = calloc(d->bucket_count, sizeof(struct entry *));
    if (d->peers != NULL && d->buckets != NULL && sc_cluster_copy(cluster, &d->cluster) == SC_OK)
        return d;
    sc_dispatch_free(d);
    return NULL;
}

static void free_peers(struct peer *peers, uint32_t count)
{
    for (uint32_t i = 0; peers != NULL && i < count; i++) {
        free(peers[i].waits.places);
        free(peers[i].flight.places);
    }
    free(peers);
}

void sc_dispatch_free(struct sc_dispatch *d)
{
    if (d == NULL)
        return;
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        free(e);
    }
    free_peers(d->peers, d->cluster.count);
    pthread_mutex_destroy(&d->mutex);
    sc_cluster_free(&d->cluster);
    free(d->buckets);
    free(d);
}

/* The better half of the subcollectors: usable and not slow, else usable, else all. */
static bool may_be_home(const struct sc_dispatch *d, uint32_t member, uint32_t quick)
{
    const struct peer *p = &d->peers[member];
    if (!d->cluster.members[member].subcollector)
        return false;
    return d->stats.usable == 0 || (p->usable && (quick == 0 || !p->slow));
}

uint32_t sc_dispatch_home(struct sc_dispatch *d)
{
    uint32_t best = SC_NO_MEMBER, quick = 0, lane = 0;
    int64_t total = 0;
    pthread_mutex_lock(&d->mutex);
    for (uint32_t i = 0; i < d->cluster.count; i++)
        quick += d->peers[i].usable && !d->peers[i].slow;
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        if (!may_be_home(d, i, quick))
            continue;
        d->peers[i].credit += d->cluster.members[i].weight;
        total += d->cluster.members[i].weight;
        if (best == SC_NO_MEMBER || d->peers[i].credit > d->peers[best].credit)
            best = i;
    }
    if (best != SC_NO_MEMBER) {
        d->peers[best].credit -= total;
        lane = d->cluster.members[best].lane;
    }
    pthread_mutex_unlock(&d->mutex);
    return lane;
}

static uint32_t find_lane(const struct sc_cluster *cluster, uint32_t lane)
{
    for (uint32_t i = 0; i < cluster->count; i++) {
        if (cluster->members[i].lane == lane)
            return i;
    }
    return SC_NO_MEMBER;
}

/* Batches of an earlier start may have a home that is no member any more. */
static uint32_t find_home(const struct sc_cluster *cluster, uint32_t lane)
{
    uint32_t i = find_lane(cluster, lane);
    if (i != SC_NO_MEMBER)
        return i;
    return cluster->count == 0 ? 0 : lane % cluster->count;
}

enum sc_status sc_dispatch_add(struct sc_dispatch *d, const struct sc_batch_head *head,
                               struct sc_outbox_place place)
{
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return SC_NOMEM;
    *e = (struct entry){.head = *head, .place = place};
    pthread_mutex_lock(&d->mutex);
    if (d->entry_count >= d->bucket_count && !grow_buckets(d)) {
        pthread_mutex_unlock(&d->mutex);
        free(e);
        return SC_NOMEM;
    }
    e->home = find_home(&d->cluster, head->id.lane);
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

bool sc_dispatch_next(struct sc_dispatch *d, uint32_t member, uint64_t now_ms, struct sc_batch_head *head,
                      struct sc_outbox_place *place)
{
    pthread_mutex_lock(&d->mutex);
    struct peer *p = &d->peers[member];
    struct entry *e = p->waits.count == 0 ? NULL : in_line(&p->waits, 0)->entry;
    if (e != NULL && !line_push(&p->flight, e, now_ms))
        e = NULL; /* without memory it waits on */
    if (e != NULL) {
        *head = e->head;
        *place = e->place;
        line_forget(&p->waits, e);
        take(&e->waits, member);
        put(&e->sent, member);
        put(&e->asked, member);
    }
    pthread_mutex_unlock(&d->mutex);
    return e != NULL;
}

/* False: it was never sent to the member. */
static bool acknowledge(struct sc_dispatch *d, uint32_t member, struct entry *e)
{
    if (has(&e->acked, member) || !has(&e->asked, member))
        return has(&e->asked, member);
    put(&e->acked, member);
    withdraw(d, e, member);
    d->peers[member].acknowledged++;
    if (is_durable(d, e))
        release(d, e);
    return true;
}

static bool acknowledge_each(struct sc_dispatch *d, uint32_t member, const struct sc_link_ack *ack)
{
    struct sc_batch_id id = {.stream = ack->stream, .lane = ack->lane, .sequence = ack->first};
    bool sent = true;
    for (uint64_t left = ack->last - ack->first + 1; left > 0; left--, id.sequence++) {
        struct entry *e = *slot_of(d, &id);
        sent = (e == NULL || acknowledge(d, member, e)) && sent;
    }
    return sent;
}

static bool is_meant(const struct entry *e, const struct sc_link_ack *ack)
{
    const struct sc_batch_id *id = &e->head.id;
    return id->stream == ack->stream && id->lane == ack->lane && id->sequence >= ack->first &&
           id->sequence <= ack->last;
}

/* A wide interval costs no more than the member has in flight. */
static void acknowledge_flight(struct sc_dispatch *d, uint32_t member, const struct sc_link_ack *ack)
{
    struct line *flight = &d->peers[member].flight;
    for (uint32_t i = 0; i < flight->count;) {
        struct entry *e = in_line(flight, i)->entry;
        uint32_t before = flight->count;
        if (e != NULL && is_meant(e, ack))
            (void)acknowledge(d, member, e);
        uint32_t gone = before - flight->count; /* in front */
        i = gone > i ? 0 : i + 1 - gone;
    }
}

bool sc_dispatch_ack(struct sc_dispatch *d, uint32_t member, const struct sc_link_ack *ack)
{
    bool sent = true;
    uint64_t more = ack->last - ack->first;
    pthread_mutex_lock(&d->mutex);
    if (more < WIDE_ACK)
        sent = acknowledge_each(d, member, ack);
    else if (more < d->entry_count + UINT64_C(65536)) /* no more than are known can be meant */
        acknowledge_flight(d, member, ack);
    else
        sent = false;
    pthread_mutex_unlock(&d->mutex);
    return sent;
}

enum sc_status sc_dispatch_unread(struct sc_dispatch *d, uint32_t member, const struct sc_batch_id *id,
                                  uint64_t now_ms, bool counts)
{
    enum sc_status status = SC_OK;
    pthread_mutex_lock(&d->mutex);
    struct entry *e = *slot_of(d, id);
    if (e != NULL) {
        withdraw(d, e, member);
        for (uint32_t i = 0; i < d->cluster.count; i++) {
            if (has(&e->waits, i))
                withdraw(d, e, i);
        }
        d->parked_count += !e->parked;
        e->parked = true;
        e->retry_ms = now_ms + RETRY_MS;
        e->failures += counts;
    } else
        status = SC_NOTFOUND;
    if (e != NULL && e->failures >= MOST_FAILURES) {
        d->stats.unreadable++;
        d->stats.unreadable_records += e->head.records;
        d->events.given_up(d->events.arg, &e->head);
        forget(d, e);
        status = SC_END;
    }
    pthread_mutex_unlock(&d->mutex);
    return status;
}

void sc_dispatch_settle(struct sc_dispatch *d, uint64_t until_ms)
{
    pthread_mutex_lock(&d->mutex);
    d->settle_ms = until_ms;
    pthread_mutex_unlock(&d->mutex);
}

static void end_settling(struct sc_dispatch *d, uint64_t now_ms)
{
    if (d->settle_ms == 0 || now_ms < d->settle_ms)
        return;
    d->settle_ms = 0;
    retarget_all(d);
}

void sc_dispatch_tick(struct sc_dispatch *d, uint64_t now_ms, bool pressed)
{
    pthread_mutex_lock(&d->mutex);
    uint64_t passed = d->ticked_ms == 0 || now_ms < d->ticked_ms ? 0 : now_ms - d->ticked_ms;
    d->ticked_ms = now_ms;
    d->saved_ms = d->saved_ms + passed < MOST_SAVED_MS ? d->saved_ms + passed : MOST_SAVED_MS;
    end_settling(d, now_ms);
    judge_all(d, now_ms, patience[pressed].slow_ms);
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        if (d->peers[i].slow)
            copy_late(d, i, now_ms, &patience[pressed]);
    }
    read_again(d, now_ms);
    pthread_mutex_unlock(&d->mutex);
}

void sc_dispatch_set_usable(struct sc_dispatch *d, uint32_t member, bool usable)
{
    pthread_mutex_lock(&d->mutex);
    struct peer *p = &d->peers[member];
    d->stats.usable += (uint32_t)usable - (uint32_t)p->usable;
    p->usable = usable;
    p->slow = false;
    p->credit = 0;
    line_clear(&p->waits);
    line_clear(&p->flight);
    for (struct entry *e = d->first; e != NULL; e = e->next) {
        take(&e->waits, member);
        take(&e->sent, member);
        take(&e->late, member);
    }
    retarget_all(d);
    pthread_mutex_unlock(&d->mutex);
}

/* ---- other members ---- */

static struct member_set renumber(const struct member_set *set, const uint32_t *new_index, uint32_t count)
{
    struct member_set out = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (has(set, i) && new_index[i] != SC_NO_MEMBER)
            put(&out, new_index[i]);
    }
    return out;
}

/* Peers move to their new places with their lines; those that are none any more stay behind, with empty ones. */
static void move_peers(struct sc_dispatch *d, struct peer *to, const uint32_t *new_index)
{
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        if (new_index[i] == SC_NO_MEMBER)
            continue;
        to[new_index[i]] = d->peers[i];
        to[new_index[i]].credit = 0;
        d->peers[i] = (struct peer){0};
    }
    free_peers(d->peers, d->cluster.count);
    d->peers = to;
}

static void renumber_entries(struct sc_dispatch *d, const struct sc_cluster *fresh, const uint32_t *new_index)
{
    uint32_t count = d->cluster.count;
    for (struct entry *e = d->first; e != NULL; e = e->next) {
        e->home = find_home(fresh, e->head.id.lane);
        e->acked = renumber(&e->acked, new_index, count);
        e->waits = renumber(&e->waits, new_index, count);
        e->sent = renumber(&e->sent, new_index, count);
        e->asked = renumber(&e->asked, new_index, count);
        e->late = renumber(&e->late, new_index, count);
    }
}

enum sc_status sc_dispatch_set_cluster(struct sc_dispatch *d, const struct sc_cluster *cluster)
{
    uint32_t new_index[SC_CLUSTER_MAX_MEMBERS];
    struct sc_cluster fresh;
    struct peer *peers = calloc((size_t)cluster->count + 1, sizeof(*peers));
    if (peers == NULL || sc_cluster_copy(cluster, &fresh) != SC_OK) {
        free(peers);
        return SC_NOMEM;
    }
    memset(new_index, 0xff, sizeof(new_index)); /* SC_NO_MEMBER */
    pthread_mutex_lock(&d->mutex);
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        uint32_t now = find_lane(&fresh, d->cluster.members[i].lane);
        new_index[i] = now == SC_NO_MEMBER || !fresh.members[now].subcollector ? SC_NO_MEMBER : now;
    }
    renumber_entries(d, &fresh, new_index);
    move_peers(d, peers, new_index);
    sc_cluster_free(&d->cluster);
    d->cluster = fresh;
    d->stats.usable = 0;
    for (uint32_t i = 0; i < fresh.count; i++)
        d->stats.usable += d->peers[i].usable;
    retarget_all(d);
    pthread_mutex_unlock(&d->mutex);
    return SC_OK;
}

/* ---- figures ---- */

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
    *out =
        (struct sc_dispatch_member){p->usable, p->slow, p->waits.batches, p->flight.batches, p->acknowledged};
    pthread_mutex_unlock(&d->mutex);
}
