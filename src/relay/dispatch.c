// SPDX-License-Identifier: BSD-3-Clause
#include "relay/dispatch.h"

#include "base/hash.h"
#include "base/roster.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COPY_COSTS_MS  20u   /* of the time that passes: 50 batches a second */
#define MOST_SAVED_MS  1000u /* of that time */
#define RETRY_MS       1000u
#define MOST_FAILURES  5u
#define REFUSED_MS     UINT64_C(60000)
#define MOST_DOUBLINGS 6u /* of that: an hour */

/* When a member is slow, and when what is in flight to it is given to another too: usually, and when the outbox fills. */
static const struct patience {
    uint32_t slow_ms, late_ms;
    bool rate_limited;
} patience[2] = {{2000, 10000, true}, {500, 1000, false}};

enum copy_state {
    COPY_NONE,
    COPY_WAITS,   /* in the member's line */
    COPY_SENT,    /* in flight to it */
    COPY_ACKED,   /* durable there */
    COPY_REFUSED, /* it does not take it */
};

/* What a member has to do with a batch. */
struct copy {
    struct copy *of_entry;        /* the next of the same batch */
    struct copy *next, *previous; /* in the line of those that wait for the member, or are in flight to it */
    struct entry *entry;
    uint64_t since_ms; /* in flight */
    uint32_t member;
    enum copy_state state;
    bool asked; /* it was ever sent: nobody else can acknowledge it */
    bool late;  /* in flight for so long that another got it too */
};

struct entry {
    struct sc_roster_entry by_id;
    struct entry *next, *previous; /* all, in the order of acceptance */
    struct sc_accepted batch;
    struct copy *copies;
    uint32_t home;
    uint64_t offer_ms; /* when members that refuse it are offered it again; 0: none does */
    uint32_t offers;   /* so far */
    bool parked;       /* it could not be read: nobody gets it until then */
    uint32_t failures;
    uint64_t retry_ms;
};

/* In the order in which they came. */
struct line {
    struct copy *first, *last;
    uint64_t batches;
};

struct peer {
    bool up;           /* heard of */
    bool usable, slow; /* usable: up, and a member that takes batches */
    int64_t credit;    /* of the weighted round robin */
    struct line waits, flight;
    uint64_t acknowledged, refused; /* refused: now */
};

struct sc_dispatch {
    struct sc_cluster cluster;
    struct sc_dispatch_events events;
    pthread_mutex_t mutex;
    struct peer *peers;
    bool quick[SC_CLUSTER_MAX_MEMBERS], slow[SC_CLUSTER_MAX_MEMBERS]; /* usable peers, when they are sorted */
    bool sorted;
    uint32_t takers; /* members that take batches */
    struct entry *first, *last;
    struct sc_roster entries; /* by id */
    uint64_t seed;            /* of their hashes */
    uint32_t parked_count;
    uint64_t offer_ms;            /* the earliest of all batches, or before; 0: none */
    uint64_t settle_ms;           /* until then not all are known that will be usable; 0: they are */
    uint64_t ticked_ms, saved_ms; /* the last tick; for copies of what is late */
    struct sc_dispatch_stats stats;
};

/* ---- entries by id ---- */

static uint64_t hash_id(const struct sc_dispatch *d, const struct sc_batch_id *id)
{
    return sc_hash_pair(id->stream, id->sequence, d->seed ^ id->lane);
}

static bool same_id(const struct sc_batch_id *x, const struct sc_batch_id *y)
{
    return x->stream == y->stream && x->sequence == y->sequence && x->lane == y->lane;
}

/* NULL: there is none. */
static struct entry *find_entry(const struct sc_dispatch *d, const struct sc_batch_id *id)
{
    struct sc_probe p;
    struct sc_roster_entry *e = sc_roster_first(&d->entries, hash_id(d, id), &p);
    while (e != NULL && !same_id(&((struct entry *)e)->batch.head.id, id))
        e = sc_roster_next(&d->entries, &p);
    return (struct entry *)e;
}

/* ---- copies ---- */

static struct copy *find_copy(const struct entry *e, uint32_t member)
{
    struct copy *c = e->copies;
    while (c != NULL && c->member != member)
        c = c->of_entry;
    return c;
}

/* NULL without memory. */
static struct copy *need_copy(struct entry *e, uint32_t member)
{
    struct copy *c = find_copy(e, member);
    if (c != NULL || (c = calloc(1, sizeof(*c))) == NULL)
        return c;
    *c = (struct copy){.of_entry = e->copies, .entry = e, .member = member};
    e->copies = c;
    return c;
}

static void line_put(struct line *l, struct copy *c)
{
    c->previous = l->last;
    c->next = NULL;
    *(l->last == NULL ? &l->first : &l->last->next) = c;
    l->last = c;
    l->batches++;
}

static void line_take(struct line *l, struct copy *c)
{
    *(c->previous == NULL ? &l->first : &c->previous->next) = c->next;
    *(c->next == NULL ? &l->last : &c->next->previous) = c->previous;
    l->batches--;
}

/* NULL: it is in none. */
static struct line *line_of(struct sc_dispatch *d, const struct copy *c)
{
    struct peer *p = &d->peers[c->member];
    return c->state == COPY_WAITS ? &p->waits : c->state == COPY_SENT ? &p->flight : NULL;
}

static void set_state(struct sc_dispatch *d, struct copy *c, enum copy_state state)
{
    struct line *before = line_of(d, c);
    d->peers[c->member].refused += (uint64_t)(state == COPY_REFUSED) - (uint64_t)(c->state == COPY_REFUSED);
    c->state = state;
    c->late = false;
    struct line *now = line_of(d, c);
    if (before != NULL)
        line_take(before, c);
    if (now != NULL)
        line_put(now, c);
}

static void free_copies(struct sc_dispatch *d, struct entry *e)
{
    for (struct copy *c = e->copies, *next; c != NULL; c = next) {
        next = c->of_entry;
        set_state(d, c, COPY_NONE);
        free(c);
    }
    e->copies = NULL;
}

/* ---- targets and release ---- */

static size_t bytes_held(const struct entry *e)
{
    return e->batch.bytes == NULL ? 0 : e->batch.bytes->size;
}

/* `more`: one comes, else it goes. */
static void count_entry(struct sc_dispatch *d, const struct entry *e, bool more)
{
    uint64_t one = more ? 1 : UINT64_MAX, records = one * e->batch.head.records;
    d->stats.batches += one;
    d->stats.records += records;
    d->stats.held_bytes += one * bytes_held(e);
    if (e->batch.place.file != SC_OUTBOX_NOWHERE)
        return;
    d->stats.unwritten += one;
    d->stats.unwritten_records += records;
}

static void forget(struct sc_dispatch *d, struct entry *e)
{
    free_copies(d, e);
    sc_roster_remove(&d->entries, &e->by_id);
    *(e->previous == NULL ? &d->first : &e->previous->next) = e->next;
    *(e->next == NULL ? &d->last : &e->next->previous) = e->previous;
    d->parked_count -= e->parked;
    count_entry(d, e, false);
    sc_shared_release(e->batch.bytes);
    free(e);
}

static void release(struct sc_dispatch *d, struct entry *e)
{
    uint32_t copies = 0;
    for (const struct copy *c = e->copies; c != NULL; c = c->of_entry)
        copies += c->state == COPY_ACKED;
    d->stats.released++;
    d->stats.released_short += copies < d->cluster.replication;
    d->events.released(d->events.arg, &e->batch.head, e->batch.place);
    forget(d, e);
}

/* Who can have a copy, now or soon. */
static uint32_t count_able(const struct sc_dispatch *d)
{
    return d->settle_ms == 0 ? d->stats.usable : d->takers;
}

static bool is_durable(const struct sc_dispatch *d, const struct entry *e)
{
    uint32_t copies = 0, wanted = d->cluster.replication, able = count_able(d);
    for (const struct copy *c = e->copies; c != NULL; c = c->of_entry)
        copies += c->state == COPY_ACKED && d->peers[c->member].usable;
    if (able < wanted)
        wanted = able;
    return wanted != 0 && copies >= wanted;
}

static void sort_member(struct sc_dispatch *d, uint32_t member)
{
    d->quick[member] = d->peers[member].usable && !d->peers[member].slow;
    d->slow[member] = d->peers[member].usable && d->peers[member].slow;
}

/* There may be many, and they change seldom: not for each batch. */
static void sort_members(struct sc_dispatch *d)
{
    for (uint32_t i = 0; i < d->cluster.count && !d->sorted; i++)
        sort_member(d, i);
    d->sorted = true;
}

/* The members that have or had the batch. A slow one that has it not, or not yet for too long, comes after the others. */
static void sort_holders(struct sc_dispatch *d, const struct entry *e)
{
    for (const struct copy *c = e->copies; c != NULL; c = c->of_entry) {
        uint32_t m = c->member;
        bool takes = d->peers[m].usable && c->state != COPY_REFUSED;
        bool held_up = d->peers[m].slow && c->state != COPY_ACKED && (c->state != COPY_SENT || c->late);
        d->quick[m] = takes && !held_up;
        d->slow[m] = takes && held_up;
    }
}

/* As they are for other batches. */
static void forget_holders(struct sc_dispatch *d, const struct entry *e)
{
    for (const struct copy *c = e->copies; c != NULL; c = c->of_entry)
        sort_member(d, c->member);
}

static uint32_t choose_targets(struct sc_dispatch *d, const struct entry *e,
                               uint32_t out[SC_CLUSTER_MAX_COPIES])
{
    uint32_t more[SC_CLUSTER_MAX_COPIES], n_more = 0;
    sort_members(d);
    sort_holders(d, e);
    uint32_t n = sc_cluster_targets(&d->cluster, e->home, d->quick, out);
    if (n < d->cluster.replication)
        n_more = sc_cluster_targets(&d->cluster, e->home, d->slow, more);
    for (uint32_t i = 0; i < n_more && n < d->cluster.replication; i++)
        out[n++] = more[i];
    forget_holders(d, e);
    return n;
}

/* Gives the batch to the targets that do not have it. Returns to how many. */
static uint32_t give(struct sc_dispatch *d, struct entry *e)
{
    uint32_t targets[SC_CLUSTER_MAX_COPIES], given = 0;
    uint32_t count = e->parked ? 0 : choose_targets(d, e, targets);
    for (uint32_t i = 0; i < count; i++) {
        struct copy *c = need_copy(e, targets[i]);
        if (c == NULL || c->state != COPY_NONE)
            continue;
        set_state(d, c, COPY_WAITS);
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
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        struct copy *c = find_copy(e, member);
        if (c == NULL || c->state != COPY_WAITS)
            continue;
        set_state(d, c, COPY_NONE);
        retarget(d, e);
    }
}

/* Slow from a bound on, until half of it: one that is near it does not change with each batch. Returns whether it changed. */
static bool judge(struct peer *p, uint64_t now_ms, uint32_t bound_ms)
{
    uint64_t bound = p->slow ? bound_ms / 2 : bound_ms;
    bool slow = p->usable && p->flight.first != NULL && now_ms >= p->flight.first->since_ms + bound;
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
    d->sorted = d->sorted && !changed;
    for (uint32_t i = 0; changed && i < d->cluster.count; i++) {
        if (d->peers[i].slow)
            turn_away(d, i);
    }
}

/* What is in flight to a slow member for long is given to the next on the ring in addition. */
static void copy_late(struct sc_dispatch *d, uint32_t member, uint64_t now_ms, const struct patience *how)
{
    for (struct copy *c = d->peers[member].flight.first; c != NULL; c = c->next) {
        if (how->rate_limited && d->saved_ms < COPY_COSTS_MS)
            return;
        if (c->late)
            continue;
        if (now_ms < c->since_ms + how->late_ms)
            return;
        c->late = true;
        uint32_t given = give(d, c->entry);
        d->stats.copied_late += given;
        d->saved_ms -= given * COPY_COSTS_MS < d->saved_ms ? given * COPY_COSTS_MS : d->saved_ms;
        c->late = given != 0; /* nobody else is there: looked at again */
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

static bool forget_refusals(struct sc_dispatch *d, const struct entry *e)
{
    bool any = false;
    for (struct copy *c = e->copies; c != NULL; c = c->of_entry) {
        if (c->state != COPY_REFUSED)
            continue;
        set_state(d, c, COPY_NONE);
        any = true;
    }
    return any;
}

static uint64_t earlier(uint64_t x, uint64_t y)
{
    return x == 0 || (y != 0 && y < x) ? y : x;
}

/* What was refused is offered again, for clocks and configurations get right; each time twice as late, so that what nobody will ever
 * take costs others little. */
static void offer_again(struct sc_dispatch *d, uint64_t now_ms)
{
    if (d->offer_ms == 0 || now_ms < d->offer_ms)
        return;
    d->offer_ms = 0;
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        if (e->offer_ms == 0 || now_ms < e->offer_ms) {
            d->offer_ms = earlier(d->offer_ms, e->offer_ms);
            continue;
        }
        e->offer_ms = 0;
        e->offers += e->offers < MOST_DOUBLINGS;
        if (forget_refusals(d, e))
            retarget(d, e);
    }
}

static void note_refusal(struct sc_dispatch *d, struct copy *c, uint64_t now_ms)
{
    struct entry *e = c->entry;
    set_state(d, c, COPY_REFUSED);
    if (e->offer_ms == 0)
        e->offer_ms = now_ms + (REFUSED_MS << e->offers);
    d->offer_ms = earlier(d->offer_ms, e->offer_ms);
    retarget(d, e);
}

/* ---- outside ---- */

static void count_members(struct sc_dispatch *d)
{
    d->takers = d->stats.usable = 0;
    d->sorted = false;
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        bool takes = sc_member_takes(&d->cluster.members[i]);
        d->peers[i].usable = d->peers[i].up && takes;
        d->stats.usable += d->peers[i].usable;
        d->takers += takes;
    }
}

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
    if (d->peers == NULL || sc_cluster_copy(cluster, &d->cluster) != SC_OK) {
        sc_dispatch_free(d);
        return NULL;
    }
    count_members(d);
    return d;
}

void sc_dispatch_free(struct sc_dispatch *d)
{
    if (d == NULL)
        return;
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        free_copies(d, e);
        sc_shared_release(e->batch.bytes);
        free(e);
    }
    free(d->peers);
    pthread_mutex_destroy(&d->mutex);
    sc_cluster_free(&d->cluster);
    sc_roster_free(&d->entries);
    free(d);
}

/* The better half of the subcollectors: usable and not slow, else usable, else all. */
static bool may_be_home(const struct sc_dispatch *d, uint32_t member, uint32_t quick)
{
    const struct peer *p = &d->peers[member];
    if (!sc_member_takes(&d->cluster.members[member]))
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

/* Batches of an earlier start may have a home that is no member any more. */
static uint32_t find_home(const struct sc_cluster *cluster, uint32_t lane)
{
    return cluster->count == 0 ? 0 : sc_cluster_home(cluster, lane);
}

/* What does not fit is read from the outbox when its turn comes, if it is in one. */
static void hold_bytes(const struct sc_dispatch *d, struct entry *e)
{
    if (e->batch.place.file != SC_OUTBOX_NOWHERE && d->stats.held_bytes + bytes_held(e) > SC_DISPATCH_BYTES)
        e->batch.bytes = NULL;
    sc_shared_hold(e->batch.bytes);
}

bool sc_dispatch_takes(struct sc_dispatch *d, size_t bytes)
{
    pthread_mutex_lock(&d->mutex);
    bool takes = d->stats.held_bytes + bytes <= SC_DISPATCH_BYTES &&
                 d->stats.usable >= d->stats.slow + d->cluster.replication;
    pthread_mutex_unlock(&d->mutex);
    return takes;
}

enum sc_status sc_dispatch_add(struct sc_dispatch *d, const struct sc_accepted *batch)
{
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return SC_NOMEM;
    *e = (struct entry){.batch = *batch};
    pthread_mutex_lock(&d->mutex);
    enum sc_status status = find_entry(d, &batch->head.id) != NULL ? SC_END : SC_OK;
    if (status == SC_OK && !sc_roster_add(&d->entries, &e->by_id, hash_id(d, &batch->head.id)))
        status = SC_NOMEM;
    if (status != SC_OK) {
        pthread_mutex_unlock(&d->mutex);
        free(e);
        return status;
    }
    e->home = find_home(&d->cluster, batch->head.id.lane);
    e->previous = d->last;
    *(d->last == NULL ? &d->first : &d->last->next) = e;
    d->last = e;
    hold_bytes(d, e);
    count_entry(d, e, true);
    retarget(d, e);
    pthread_mutex_unlock(&d->mutex);
    return SC_OK;
}

void sc_dispatch_abandon(struct sc_dispatch *d)
{
    pthread_mutex_lock(&d->mutex);
    for (struct entry *e = d->first, *next; e != NULL; e = next) {
        next = e->next;
        if (e->batch.place.file != SC_OUTBOX_NOWHERE)
            continue;
        d->events.given_up(d->events.arg, &e->batch.head);
        forget(d, e);
    }
    pthread_mutex_unlock(&d->mutex);
}

bool sc_dispatch_next(struct sc_dispatch *d, uint32_t member, uint64_t now_ms, struct sc_accepted *batch)
{
    pthread_mutex_lock(&d->mutex);
    struct copy *c = d->peers[member].waits.first;
    if (c != NULL) {
        *batch = c->entry->batch;
        sc_shared_hold(batch->bytes);
        set_state(d, c, COPY_SENT);
        c->asked = true;
        c->since_ms = now_ms;
    }
    pthread_mutex_unlock(&d->mutex);
    return c != NULL;
}

/* False: it was never sent to the member. */
static bool acknowledge(struct sc_dispatch *d, uint32_t member, struct entry *e)
{
    struct copy *c = find_copy(e, member);
    if (c == NULL || !c->asked)
        return false;
    if (c->state == COPY_ACKED)
        return true;
    set_state(d, c, COPY_ACKED);
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
        struct entry *e = find_entry(d, &id);
        sent = (e == NULL || acknowledge(d, member, e)) && sent;
    }
    return sent;
}

static bool is_meant(const struct entry *e, const struct sc_link_ack *ack)
{
    const struct sc_batch_id *id = &e->batch.head.id;
    return id->stream == ack->stream && id->lane == ack->lane && id->sequence >= ack->first &&
           id->sequence <= ack->last;
}

/* A wide interval costs no more than the member has in flight. */
static void acknowledge_flight(struct sc_dispatch *d, uint32_t member, const struct sc_link_ack *ack)
{
    for (struct copy *c = d->peers[member].flight.first, *next; c != NULL; c = next) {
        next = c->next;
        if (is_meant(c->entry, ack))
            (void)acknowledge(d, member, c->entry);
    }
}

bool sc_dispatch_ack(struct sc_dispatch *d, uint32_t member, const struct sc_link_ack *ack)
{
    bool sent = true;
    uint64_t more = ack->last - ack->first;
    pthread_mutex_lock(&d->mutex);
    if (more < SC_LINK_ACK_IDS)
        sent = acknowledge_each(d, member, ack);
    else if (more < d->entries.count + UINT64_C(65536)) /* no more than are known can be meant */
        acknowledge_flight(d, member, ack);
    else
        sent = false;
    pthread_mutex_unlock(&d->mutex);
    return sent;
}

bool sc_dispatch_refused(struct sc_dispatch *d, uint32_t member, const struct sc_batch_id *id,
                         uint64_t now_ms)
{
    pthread_mutex_lock(&d->mutex);
    struct entry *e = find_entry(d, id);
    struct copy *c = e == NULL ? NULL : find_copy(e, member);
    bool sent = e == NULL || (c != NULL && c->asked);
    if (sent && c != NULL && c->state == COPY_SENT)
        note_refusal(d, c, now_ms);
    pthread_mutex_unlock(&d->mutex);
    return sent;
}

/* It waits for nobody, and is not in flight to the member that it was to be read for. */
static void park(struct sc_dispatch *d, struct entry *e, uint32_t member, uint64_t now_ms)
{
    for (struct copy *c = e->copies; c != NULL; c = c->of_entry) {
        if (c->state == COPY_WAITS || (c->state == COPY_SENT && c->member == member))
            set_state(d, c, COPY_NONE);
    }
    d->parked_count += !e->parked;
    e->parked = true;
    e->retry_ms = now_ms + RETRY_MS;
}

enum sc_status sc_dispatch_unread(struct sc_dispatch *d, uint32_t member, const struct sc_batch_id *id,
                                  uint64_t now_ms, bool counts)
{
    enum sc_status status = SC_OK;
    pthread_mutex_lock(&d->mutex);
    struct entry *e = find_entry(d, id);
    if (e != NULL) {
        park(d, e, member, now_ms);
        e->failures += counts;
    } else
        status = SC_NOTFOUND;
    if (e != NULL && e->failures >= MOST_FAILURES) {
        d->stats.unreadable++;
        d->stats.unreadable_records += e->batch.head.records;
        d->events.given_up(d->events.arg, &e->batch.head);
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
    offer_again(d, now_ms);
    pthread_mutex_unlock(&d->mutex);
}

void sc_dispatch_set_usable(struct sc_dispatch *d, uint32_t member, bool usable)
{
    pthread_mutex_lock(&d->mutex);
    struct peer *p = &d->peers[member];
    p->up = usable;
    d->stats.usable -= p->usable;
    p->usable = usable && sc_member_takes(&d->cluster.members[member]);
    d->stats.usable += p->usable;
    p->slow = false;
    p->credit = 0;
    d->sorted = false;
    for (struct entry *e = d->first; e != NULL; e = e->next) {
        struct copy *c = find_copy(e, member);
        if (c != NULL && c->state != COPY_ACKED)
            set_state(d, c, COPY_NONE);
    }
    retarget_all(d);
    pthread_mutex_unlock(&d->mutex);
}

/* ---- other members ---- */

/* Members that are none any more have nothing to do with it. Before the peers move. */
static void renumber_copies(struct sc_dispatch *d, struct entry *e, const uint32_t *new_index)
{
    for (struct copy **at = &e->copies, *c; (c = *at) != NULL;) {
        if (new_index[c->member] == SC_NO_MEMBER) {
            set_state(d, c, COPY_NONE);
            *at = c->of_entry;
            free(c);
        } else {
            c->member = new_index[c->member];
            at = &c->of_entry;
        }
    }
}

static void renumber_entries(struct sc_dispatch *d, const struct sc_cluster *fresh, const uint32_t *new_index)
{
    for (struct entry *e = d->first; e != NULL; e = e->next) {
        e->home = find_home(fresh, e->batch.head.id.lane);
        renumber_copies(d, e, new_index);
    }
}

/* Peers move to their new places with their lines; those that are none any more stay behind, with empty ones. */
static void move_peers(struct sc_dispatch *d, struct peer *to, const uint32_t *new_index)
{
    for (uint32_t i = 0; i < d->cluster.count; i++) {
        if (new_index[i] == SC_NO_MEMBER)
            continue;
        to[new_index[i]] = d->peers[i];
        to[new_index[i]].credit = 0;
    }
    free(d->peers);
    d->peers = to;
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
        uint32_t now = sc_cluster_find_lane(&fresh, d->cluster.members[i].lane);
        new_index[i] = now == SC_NO_MEMBER || !fresh.members[now].subcollector ? SC_NO_MEMBER : now;
    }
    renumber_entries(d, &fresh, new_index);
    move_peers(d, peers, new_index);
    sc_cluster_free(&d->cluster);
    d->cluster = fresh;
    count_members(d);
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
    *out = (struct sc_dispatch_member){p->usable,         p->slow,         p->waits.batches,
                                       p->flight.batches, p->acknowledged, p->refused};
    pthread_mutex_unlock(&d->mutex);
}
