// SPDX-License-Identifier: BSD-3-Clause
/*
 * A model of the dispatch, written anew from what a cluster promises (docs/reliability.md), that does the same as the dispatch at
 * its side.
 *
 * The model: a batch belongs to the first `copies` usable subcollectors on the ring from its home. Those that lack it get it
 * queued; queued, then in flight, then acknowledged, by any path at most once while the member stays usable. It is released in
 * the moment in which min(copies, usable) of those usable have acknowledged it. When a member changes, what is queued for it or
 * in flight to it is forgotten, and all batches are looked at again in the order in which they were accepted.
 *
 * A member is slow from the tick in which something is in flight to it for 2 s, to the one in which nothing is for 1 s. Slow ones
 * come last among the targets of batches that they neither have nor were sent, and of those that are late: in flight for 10 s,
 * of which each 20 ms one may get one more target (a second's worth can be saved). When somebody gets slow or ceases to be,
 * what is queued for slow ones is looked at again. Under pressure: 0.5, 0.25, 1 s, and no rate.
 *
 * The bytes of a batch are held from its acceptance until it leaves, if they and all that are held then are not more than the bound.
 *
 * A member that refuses what was sent to it is no target of that batch, until it changes, or for 1, 2, 4, ... 64 minutes since the
 * first refusal of that batch that is not forgotten: then all of it are.
 */
#ifndef DISPATCH_KIT_H
#define DISPATCH_KIT_H

#include "relay/dispatch.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 5, BATCHES = 4096, STREAM = 9, NO_LANE = 1000 };

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- the model ---- */

struct batch {
    uint32_t lane, records, home;
    struct sc_shared *bytes;        /* the test's own hold; NULL: it was accepted without */
    bool held;                      /* by the dispatch */
    uint32_t acked, queued, flying; /* bits by member */
    uint32_t refused, offers;
    uint64_t offer;          /* when it is offered again; 0: never */
    uint32_t late;           /* bits: in flight, and given to another too */
    uint32_t given;          /* bits: handed out since the member became usable */
    uint32_t asked;          /* bits: handed out ever: nobody else's acknowledgement counts */
    uint64_t since[MEMBERS]; /* in flight */
    uint64_t order[MEMBERS]; /* of those sent in the same moment */
    bool released, told;     /* by the model; by the dispatch */
    bool parked;             /* could not be read, not tried again yet */
    uint32_t failures;
    uint64_t retry;
};

/* What waits for a member: numbers of batches, oldest first. */
struct line {
    uint32_t *numbers;
    uint32_t count;
};

struct world {
    struct sc_cluster cluster;
    struct sc_member members[MEMBERS];
    struct sc_member pool[MEMBERS]; /* all that ever are members */
    uint32_t pool_count;
    struct sc_dispatch *dispatch;
    uint32_t usable, slow; /* bits */
    uint64_t now, ticked, saved, sends;
    struct batch *batches;
    uint32_t count, first_kept; /* all before are released */
    struct line lines[MEMBERS];
    uint64_t acknowledged[MEMBERS];
    uint64_t released, released_short, given_up, given_up_told, copied_late;
    uint64_t held; /* bytes */
};

static inline uint32_t bits(uint32_t set)
{
    return (uint32_t)__builtin_popcount(set);
}

static inline uint32_t wanted(const struct world *w)
{
    uint32_t usable = bits(w->usable);
    return usable < w->cluster.replication ? usable : w->cluster.replication;
}

static inline bool may_go(const struct world *w, const struct batch *b)
{
    return w->usable != 0 && bits(b->acked & w->usable) >= wanted(w);
}

static inline uint32_t targets_of(const struct world *w, const struct batch *b)
{
    uint32_t last = w->slow & ~b->acked & (~b->flying | b->late), set = 0;
    for (uint32_t step = 0; step < 2 * w->cluster.count; step++) {
        uint32_t m = (b->home + step) % w->cluster.count;
        bool its_turn = (last >> m & 1) == (step >= w->cluster.count);
        if (bits(set) < w->cluster.replication && ((w->usable & ~b->refused) >> m & 1) != 0 && its_turn)
            set |= 1u << m;
    }
    return set;
}

static inline void leave_line(struct world *w, uint32_t m, uint32_t number)
{
    struct line *l = &w->lines[m];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->numbers[i] != number)
            l->numbers[kept++] = l->numbers[i];
    }
    l->count = kept;
    w->batches[number].queued &= ~(1u << m);
}

static inline uint32_t queue_it(struct world *w, uint32_t number)
{
    struct batch *b = &w->batches[number];
    uint32_t lacking = b->parked ? 0 : targets_of(w, b) & ~(b->acked | b->queued | b->flying);
    for (uint32_t m = 0; m < w->cluster.count; m++) {
        if ((lacking >> m & 1) == 0)
            continue;
        b->queued |= 1u << m;
        w->lines[m].numbers[w->lines[m].count++] = number;
    }
    return bits(lacking);
}

static inline void leave(struct world *w, uint32_t number)
{
    for (uint32_t m = 0; m < w->cluster.count; m++)
        leave_line(w, m, number);
    w->batches[number].flying = 0;
    w->batches[number].refused = 0;
    w->batches[number].released = true;
    w->held -= w->batches[number].held ? w->batches[number].bytes->size : 0;
    w->batches[number].held = false;
}

/* Members that have not got it and should are given it; then perhaps nobody needs it any more. */
static inline void look_again(struct world *w, uint32_t number)
{
    queue_it(w, number);
    if (!may_go(w, &w->batches[number]))
        return;
    leave(w, number);
    w->released++;
    w->released_short += bits(w->batches[number].acked) < w->cluster.replication;
}

/* The oldest in flight to a member; BATCHES: none. */
static inline uint32_t oldest_flying(const struct world *w, uint32_t m)
{
    uint32_t oldest = BATCHES;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        const struct batch *b = &w->batches[i];
        if ((b->flying >> m & 1) != 0 && (oldest == BATCHES || b->since[m] < w->batches[oldest].since[m]))
            oldest = i;
    }
    return oldest;
}

static inline bool judge(struct world *w, uint32_t m, uint64_t bound)
{
    uint32_t oldest = oldest_flying(w, m), before = w->slow;
    bool was = (w->slow >> m & 1) != 0;
    bool is = oldest != BATCHES && w->now - w->batches[oldest].since[m] >= (was ? bound / 2 : bound);
    w->slow = (w->slow & ~(1u << m)) | (uint32_t)is << m;
    return w->slow != before;
}

static inline void turn_away(struct world *w, uint32_t m)
{
    w->lines[m].count = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if ((w->batches[i].queued >> m & 1) == 0)
            continue;
        w->batches[i].queued &= ~(1u << m);
        look_again(w, i);
    }
}

static inline void copy_late(struct world *w, uint32_t m, uint64_t bound, bool limited)
{
    uint32_t tried[BATCHES], count = 0, number;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if ((w->batches[i].flying & ~w->batches[i].late) >> m & 1)
            tried[count++] = i;
    }
    for (; count != 0; count--) { /* in the order in which they were sent */
        uint32_t at = 0;
        for (uint32_t i = 1; i < count; i++) {
            const struct batch *x = &w->batches[tried[i]], *y = &w->batches[tried[at]];
            if (x->since[m] < y->since[m] || (x->since[m] == y->since[m] && x->order[m] < y->order[m]))
                at = i;
        }
        number = tried[at];
        tried[at] = tried[count - 1];
        if ((limited && w->saved < 20) || w->now - w->batches[number].since[m] < bound)
            return;
        w->batches[number].late |= 1u << m;
        uint32_t given = queue_it(w, number);
        w->saved -= given * 20 < w->saved ? given * 20 : w->saved;
        w->copied_late += given;
        if (given == 0)
            w->batches[number].late &= ~(1u << m);
    }
}

/* ---- the dispatch tells ---- */

/* By itself, whatever the model thinks of the moment: a batch leaves the outbox when it has its copies, not before. */
static inline void on_released(void *arg, const struct sc_batch_head *head, struct sc_outbox_place place)
{
    struct world *w = arg;
    struct batch *b = &w->batches[head->id.sequence];
    assert_true(head->id.sequence < w->count);
    assert_int_equal(place.file, b->lane);
    assert_int_equal(place.offset, head->id.sequence);
    assert_false(b->told);
    b->told = true;
    assert_true(w->usable != 0);
    assert_true(bits(b->acked & w->usable) >= wanted(w));
}

static inline void on_given_up(void *arg, const struct sc_batch_head *head)
{
    struct world *w = arg;
    struct batch *b = &w->batches[head->id.sequence];
    assert_false(b->told);
    b->told = true;
    w->given_up_told++;
}

/* ---- both are the same ---- */

static inline void compare_member(struct world *w, uint32_t m)
{
    struct sc_dispatch_member is;
    uint32_t flying = 0, refused = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        flying += w->batches[i].flying >> m & 1;
        refused += w->batches[i].refused >> m & 1;
    }
    sc_dispatch_get_member(w->dispatch, m, &is);
    assert_int_equal(is.usable, w->usable >> m & 1);
    assert_int_equal(is.slow, w->slow >> m & 1);
    assert_int_equal(is.waiting, w->lines[m].count);
    assert_int_equal(is.in_flight, flying);
    assert_int_equal(is.acknowledged, w->acknowledged[m]);
    assert_int_equal(is.refused, refused);
}

static inline void compare(struct world *w)
{
    struct sc_dispatch_stats is;
    uint64_t batches = 0, records = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        const struct batch *b = &w->batches[i];
        assert_int_equal(b->told, b->released);
        batches += !b->released;
        records += b->released ? 0 : b->records;
        assert_true(b->bytes == NULL || atomic_load(&b->bytes->holders) == 1u + b->held);
    }
    while (w->first_kept < w->count && w->batches[w->first_kept].released)
        w->first_kept++;
    sc_dispatch_get_stats(w->dispatch, &is);
    assert_int_equal(is.batches, batches);
    assert_int_equal(is.records, records);
    assert_int_equal(is.held_bytes, w->held);
    assert_true(is.held_bytes <= SC_DISPATCH_BYTES);
    assert_int_equal(is.released, w->released);
    assert_int_equal(is.released_short, w->released_short);
    assert_int_equal(is.copied_late, w->copied_late);
    assert_int_equal(is.unreadable, w->given_up);
    assert_int_equal(is.unreadable, w->given_up_told);
    assert_int_equal(is.usable, bits(w->usable));
    for (uint32_t m = 0; m < w->cluster.count; m++)
        compare_member(w, m);
}

/* ---- what can happen, to both ---- */

/* So many bytes that nobody looks at; 0: none. The first two fill the bound, but what follows does not fit then. */
static inline struct sc_shared *bytes_of(uint32_t number)
{
    static const size_t sizes[] = {SC_DISPATCH_BYTES * 3 / 8,
                                   SC_DISPATCH_BYTES * 5 / 8,
                                   1,
                                   SC_DISPATCH_BYTES,
                                   SC_DISPATCH_BYTES / 8,
                                   0,
                                   SC_DISPATCH_BYTES + 1,
                                   1000};
    struct sc_buf empty = {0};
    size_t size = sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
    struct sc_shared *bytes = size == 0 ? NULL : sc_shared_take(&empty);
    assert_int_equal(bytes == NULL, size == 0);
    if (bytes != NULL)
        bytes->size = size;
    return bytes;
}

/* Of a test that has no model: batch `sequence` of a lane, in the outbox only. */
static inline void accept(struct sc_dispatch *dispatch, uint32_t lane, uint64_t sequence, uint32_t records)
{
    const struct sc_accepted batch = {
        .head = {.id = {.stream = STREAM, .lane = lane, .sequence = sequence}, .records = records},
        .place = {lane, sequence}};
    assert_int_equal(sc_dispatch_add(dispatch, &batch), SC_OK);
}

static inline void add(struct world *w, uint32_t lane, uint32_t home)
{
    uint32_t number = w->count;
    assert_true(number < BATCHES);
    const struct sc_accepted sent = {
        .head = {.id = {.stream = STREAM, .lane = lane, .sequence = number}, .records = 1 + number % 100},
        .place = {lane, number},
        .bytes = bytes_of(number)};
    struct batch *b = &w->batches[w->count++];
    *b = (struct batch){.lane = lane, .records = sent.head.records, .home = home, .bytes = sent.bytes};
    b->held = b->bytes != NULL && w->held + b->bytes->size <= SC_DISPATCH_BYTES;
    w->held += b->held ? b->bytes->size : 0;
    look_again(w, number);
    assert_int_equal(sc_dispatch_add(w->dispatch, &sent), SC_OK);
}

static inline void next(struct world *w, uint32_t m)
{
    struct sc_accepted is;
    struct line *l = &w->lines[m];
    bool any = sc_dispatch_next(w->dispatch, m, w->now, &is);
    assert_int_equal(any, l->count != 0);
    if (!any)
        return;
    uint32_t number = l->numbers[0];
    struct batch *b = &w->batches[number];
    assert_int_equal(is.head.id.sequence, number);
    assert_int_equal(is.head.id.lane, b->lane);
    assert_int_equal(is.head.id.stream, STREAM);
    assert_int_equal(is.head.records, b->records);
    assert_int_equal(is.place.offset, number);
    assert_ptr_equal(is.bytes, b->held ? b->bytes : NULL);
    sc_shared_release(is.bytes);
    assert_true((w->usable >> m & 1) != 0 && !b->told);
    assert_true((b->given >> m & 1) == 0); /* once */
    assert_true((b->acked >> m & 1) == 0); /* it does not get what it has */
    leave_line(w, m, number);
    b->flying |= 1u << m;
    b->given |= 1u << m;
    b->asked |= 1u << m;
    b->since[m] = w->now;
    b->order[m] = w->sends++;
}

static inline void offer_again(struct world *w)
{
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        struct batch *b = &w->batches[i];
        if (b->released || b->offer == 0 || w->now < b->offer)
            continue;
        b->offer = 0;
        b->offers += b->offers < 6;
        if (b->refused == 0)
            continue;
        b->given &= ~b->refused;
        b->refused = 0;
        look_again(w, i);
    }
}

/* What is in flight to the member is not taken. */
static inline void refuse(struct world *w, uint32_t m, uint32_t number)
{
    struct batch *b = &w->batches[number];
    const struct sc_batch_id id = {.stream = STREAM, .lane = b->lane, .sequence = number};
    bool asked = b->released || (b->asked >> m & 1) != 0;
    if (!b->released && (b->flying >> m & 1) != 0) {
        b->offer = b->offer == 0 ? w->now + (UINT64_C(60000) << b->offers) : b->offer;
        b->flying &= ~(1u << m);
        b->late &= ~(1u << m);
        b->refused |= 1u << m;
        look_again(w, number);
    }
    assert_int_equal(sc_dispatch_refused(w->dispatch, m, &id, w->now), asked);
}

/* The time goes on, and the dispatch is told. */
static inline void tick(struct world *w, uint64_t ms, bool pressed)
{
    bool changed = false;
    w->now += ms;
    uint64_t passed = w->ticked == 0 ? 0 : w->now - w->ticked;
    w->saved = w->saved + passed < 1000 ? w->saved + passed : 1000;
    w->ticked = w->now;
    for (uint32_t m = 0; m < w->cluster.count; m++)
        changed = judge(w, m, pressed ? 500 : 2000) || changed;
    for (uint32_t m = 0; changed && m < w->cluster.count; m++) {
        if ((w->slow >> m & 1) != 0)
            turn_away(w, m);
    }
    for (uint32_t m = 0; m < w->cluster.count; m++) {
        if ((w->slow >> m & 1) != 0)
            copy_late(w, m, pressed ? 1000 : 10000, !pressed);
    }
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        struct batch *b = &w->batches[i];
        if (!b->parked || b->released || w->now < b->retry)
            continue;
        b->parked = false;
        queue_it(w, i);
    }
    offer_again(w);
    sc_dispatch_tick(w->dispatch, w->now, pressed);
}

/* What was given to the member cannot be read: nobody gets it for a second, and after five times nobody does. */
static inline void unread(struct world *w, uint32_t m, uint32_t number, bool counts)
{
    struct batch *b = &w->batches[number];
    const struct sc_batch_id id = {.stream = STREAM, .lane = b->lane, .sequence = number};
    if (!b->released) {
        b->flying &= ~(1u << m);
        b->late &= ~(1u << m);
        b->given &= ~(1u << m);
        for (uint32_t i = 0; i < w->cluster.count; i++)
            leave_line(w, i, number);
        b->parked = true;
        b->retry = w->now + 1000;
        b->failures += counts;
        if (b->failures == 5) {
            leave(w, number);
            w->given_up++;
        }
    }
    enum sc_status status = sc_dispatch_unread(w->dispatch, m, &id, w->now, counts);
    assert_int_equal(status == SC_END, b->failures == 5 && counts);
}

/* The member has it, however it came to it. */
static inline void note_ack(struct world *w, uint32_t m, uint32_t number)
{
    struct batch *b = &w->batches[number];
    if (b->released || (b->acked >> m & 1) != 0 || (b->asked >> m & 1) == 0)
        return;
    b->acked |= 1u << m;
    b->flying &= ~(1u << m);
    b->late &= ~(1u << m);
    b->refused &= ~(1u << m);
    leave_line(w, m, number);
    w->acknowledged[m]++;
    if (may_go(w, b))
        look_again(w, number);
}

/* The batches `first` to `last` of a lane. */
static inline void ack(struct world *w, uint32_t m, uint32_t lane, uint64_t first, uint64_t last)
{
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if (w->batches[i].lane == lane && i >= first && i <= last)
            note_ack(w, m, i);
    }
    sc_dispatch_ack(w->dispatch, m, &(struct sc_link_ack){STREAM, lane, first, last});
}

static inline void ack_one(struct world *w, uint32_t m, uint32_t number)
{
    ack(w, m, w->batches[number].lane, number, number);
}

static inline void set_usable(struct world *w, uint32_t m, bool usable)
{
    w->usable = (w->usable & ~(1u << m)) | (uint32_t)usable << m;
    w->lines[m].count = 0;
    w->slow &= ~(1u << m);
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        w->batches[i].queued &= ~(1u << m);
        w->batches[i].flying &= ~(1u << m);
        w->batches[i].late &= ~(1u << m);
        w->batches[i].refused &= ~(1u << m);
        w->batches[i].given &= ~(1u << m);
    }
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if (!w->batches[i].released)
            look_again(w, i);
    }
    sc_dispatch_set_usable(w->dispatch, m, usable);
}

/* ---- other members ---- */

static inline uint32_t member_of(const struct world *w, uint32_t lane)
{
    for (uint32_t i = 0; i < w->cluster.count; i++) {
        if (w->members[i].lane == lane)
            return i;
    }
    return SC_NO_MEMBER;
}

static inline uint32_t home_of(const struct world *w, uint32_t lane)
{
    uint32_t i = member_of(w, lane);
    return i == SC_NO_MEMBER ? lane % w->cluster.count : i;
}

/* The bits of `set` at the members' new places. */
static inline uint32_t moved(uint32_t set, const uint32_t *to, uint32_t count)
{
    uint32_t out = 0;
    for (uint32_t i = 0; i < count; i++)
        out |= to[i] == SC_NO_MEMBER ? 0 : (set >> i & 1) << to[i];
    return out;
}

static inline void move_batch(const struct world *w, struct batch *b, const uint32_t *to, uint32_t count)
{
    struct batch before = *b;
    uint32_t *const sets[] = {&b->acked, &b->queued, &b->flying, &b->late, &b->refused, &b->given, &b->asked};
    for (uint32_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        *sets[i] = moved(*sets[i], to, count);
    for (uint32_t i = 0; i < count; i++) {
        if (to[i] == SC_NO_MEMBER)
            continue;
        b->since[to[i]] = before.since[i];
        b->order[to[i]] = before.order[i];
    }
    b->home = home_of(w, b->lane);
}

/* The members are `fresh` now: of each that was one before, and still is, everything stays. */
static inline void change_members(struct world *w, const struct sc_member *fresh, uint32_t fresh_count)
{
    uint32_t to[MEMBERS], before = w->cluster.count;
    struct sc_member old[MEMBERS];
    struct line lines[MEMBERS], spare[MEMBERS];
    uint64_t acknowledged[MEMBERS] = {0};
    uint32_t spares = 0;
    memcpy(old, w->members, sizeof(old));
    memcpy(w->members, fresh, fresh_count * sizeof(*fresh));
    w->cluster.count = fresh_count;
    bool used[MEMBERS] = {false};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        uint32_t now = i < before && old[i].subcollector ? member_of(w, old[i].lane) : SC_NO_MEMBER;
        if (now == SC_NO_MEMBER) {
            w->lines[i].count = 0;
            spare[spares++] = w->lines[i];
        } else {
            lines[now] = w->lines[i];
            acknowledged[now] = w->acknowledged[i];
            used[now] = true;
        }
        to[i] = now;
    }
    for (uint32_t i = 0; i < MEMBERS; i++)
        w->lines[i] = used[i] ? lines[i] : spare[--spares];
    memcpy(w->acknowledged, acknowledged, sizeof(acknowledged));
    w->usable = moved(w->usable, to, before);
    w->slow = moved(w->slow, to, before);
    for (uint32_t i = w->first_kept; i < w->count; i++)
        move_batch(w, &w->batches[i], to, before);
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if (!w->batches[i].released)
            look_again(w, i);
    }
    assert_int_equal(sc_dispatch_set_cluster(w->dispatch, &w->cluster), SC_OK);
}

/* Some of all members, in any order; a subcollector among them. */
static inline void change_any(struct world *w, uint64_t *random)
{
    struct sc_member fresh[MEMBERS];
    uint32_t count = 0, subcollectors = 0;
    while (subcollectors == 0) {
        subcollectors = count = 0;
        for (uint32_t i = 0; i < w->pool_count; i++) {
            if (next_random(random) % 4 == 0)
                continue;
            uint32_t at = (uint32_t)(next_random(random) % (count + 1));
            fresh[count++] = fresh[at];
            fresh[at] = w->pool[i];
            subcollectors += fresh[at].subcollector;
        }
    }
    change_members(w, fresh, count);
}

/* ---- making worlds ---- */

/* `proxies`: bits of members that are no subcollectors. */
static inline void open_world(struct world *w, uint32_t copies, uint32_t count, uint32_t proxies,
                              uint32_t capacity)
{
    *w = (struct world){.cluster = {.version = 1, .format = 1, .replication = copies, .count = count}};
    for (uint32_t i = 0; i < count; i++) {
        struct sc_member *m = &w->members[i];
        *m = (struct sc_member){
            .lane = 100 + i, .weight = 1 + i, .proxy = true, .subcollector = (proxies >> i & 1) == 0};
        snprintf(m->name, sizeof(m->name), "node-%u", i);
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        w->lines[i].numbers = calloc(capacity, sizeof(uint32_t));
        assert_non_null(w->lines[i].numbers);
    }
    memcpy(w->pool, w->members, sizeof(w->pool));
    w->pool_count = count;
    w->cluster.members = w->members;
    w->batches = calloc(capacity, sizeof(struct batch));
    w->now = 1000000;
    w->dispatch = sc_dispatch_create(
        &w->cluster,
        &(struct sc_dispatch_events){.released = on_released, .given_up = on_given_up, .arg = w});
    assert_non_null(w->batches);
    assert_non_null(w->dispatch);
}

static inline void close_world(struct world *w)
{
    sc_dispatch_free(w->dispatch);
    for (uint32_t i = 0; i < w->count; i++) {
        struct sc_shared *bytes = w->batches[i].bytes;
        assert_true(bytes == NULL || atomic_load(&bytes->holders) == 1);
        sc_shared_release(bytes);
    }
    for (uint32_t i = 0; i < MEMBERS; i++)
        free(w->lines[i].numbers);
    free(w->batches);
}

static inline uint32_t unreleased(const struct world *w)
{
    uint32_t n = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++)
        n += !w->batches[i].released;
    return n;
}

/* Liveness: members stay as they are, take what there is for them and acknowledge it. Then nothing is left. */
static inline void drain(struct world *w)
{
    assert_true(w->usable != 0);
    uint64_t last = w->now + 1000;
    for (uint32_t i = w->first_kept; i < w->count; i++)
        last = !w->batches[i].released && w->batches[i].offer > last ? w->batches[i].offer : last;
    tick(w, last - w->now, false); /* what could not be read, or was refused, is tried again */
    for (uint32_t m = 0; m < w->cluster.count; m++) {
        while ((w->usable >> m & 1) != 0 && w->lines[m].count != 0)
            next(w, m);
        for (uint32_t i = w->first_kept; i < w->count; i++) {
            if ((w->batches[i].flying >> m & 1) != 0)
                ack_one(w, m, i);
        }
    }
    compare(w);
    assert_int_equal(unreleased(w), 0);
}

#endif
