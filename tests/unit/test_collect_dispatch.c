// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which batch goes where and when it is released, against a model that is written anew here from DESIGN section 6: by random
 * walk, and by all interleavings of a small instance.
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
 */
#include "collect/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MEMBERS = 5, BATCHES = 4096, STREAM = 9, NO_LANE = 1000 };

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- the model ---- */

struct batch {
    uint32_t lane, records, home;
    uint32_t acked, queued, flying; /* bits by member */
    uint32_t late;                  /* bits: in flight, and given to another too */
    uint32_t given;                 /* bits: handed out since the member became usable */
    uint64_t since[MEMBERS];        /* in flight */
    uint64_t order[MEMBERS];        /* of those sent in the same moment */
    bool released, told;            /* by the model; by the dispatch */
    bool parked;                    /* could not be read, not tried again yet */
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
};

static uint32_t bits(uint32_t set)
{
    return (uint32_t)__builtin_popcount(set);
}

static uint32_t wanted(const struct world *w)
{
    uint32_t usable = bits(w->usable);
    return usable < w->cluster.replication ? usable : w->cluster.replication;
}

static bool may_go(const struct world *w, const struct batch *b)
{
    return w->usable != 0 && bits(b->acked & w->usable) >= wanted(w);
}

static uint32_t targets_of(const struct world *w, const struct batch *b)
{
    uint32_t last = w->slow & ~b->acked & (~b->flying | b->late), set = 0;
    for (uint32_t step = 0; step < 2 * w->cluster.count; step++) {
        uint32_t m = (b->home + step) % w->cluster.count;
        bool its_turn = (last >> m & 1) == (step >= w->cluster.count);
        if (bits(set) < w->cluster.replication && (w->usable >> m & 1) != 0 && its_turn)
            set |= 1u << m;
    }
    return set;
}

static void leave_line(struct world *w, uint32_t m, uint32_t number)
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

static uint32_t queue_it(struct world *w, uint32_t number)
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

static void leave(struct world *w, uint32_t number)
{
    for (uint32_t m = 0; m < w->cluster.count; m++)
        leave_line(w, m, number);
    w->batches[number].flying = 0;
    w->batches[number].released = true;
}

/* Members that have not got it and should are given it; then perhaps nobody needs it any more. */
static void look_again(struct world *w, uint32_t number)
{
    queue_it(w, number);
    if (!may_go(w, &w->batches[number]))
        return;
    leave(w, number);
    w->released++;
    w->released_short += bits(w->batches[number].acked) < w->cluster.replication;
}

/* The oldest in flight to a member; BATCHES: none. */
static uint32_t oldest_flying(const struct world *w, uint32_t m)
{
    uint32_t oldest = BATCHES;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        const struct batch *b = &w->batches[i];
        if ((b->flying >> m & 1) != 0 && (oldest == BATCHES || b->since[m] < w->batches[oldest].since[m]))
            oldest = i;
    }
    return oldest;
}

static bool judge(struct world *w, uint32_t m, uint64_t bound)
{
    uint32_t oldest = oldest_flying(w, m), before = w->slow;
    bool was = (w->slow >> m & 1) != 0;
    bool is = oldest != BATCHES && w->now - w->batches[oldest].since[m] >= (was ? bound / 2 : bound);
    w->slow = (w->slow & ~(1u << m)) | (uint32_t)is << m;
    return w->slow != before;
}

static void turn_away(struct world *w, uint32_t m)
{
    w->lines[m].count = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if ((w->batches[i].queued >> m & 1) == 0)
            continue;
        w->batches[i].queued &= ~(1u << m);
        look_again(w, i);
    }
}

static void copy_late(struct world *w, uint32_t m, uint64_t bound, bool limited)
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

/* I2, by itself: whatever the model thinks of the moment. */
static void on_released(void *arg, const struct sc_batch_head *head, struct sc_outbox_place place)
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

static void on_given_up(void *arg, const struct sc_batch_head *head)
{
    struct world *w = arg;
    struct batch *b = &w->batches[head->id.sequence];
    assert_false(b->told);
    b->told = true;
    w->given_up_told++;
}

/* ---- both are the same ---- */

static void compare_member(struct world *w, uint32_t m)
{
    struct sc_dispatch_member is;
    uint32_t flying = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++)
        flying += w->batches[i].flying >> m & 1;
    sc_dispatch_get_member(w->dispatch, m, &is);
    assert_int_equal(is.usable, w->usable >> m & 1);
    assert_int_equal(is.slow, w->slow >> m & 1);
    assert_int_equal(is.waiting, w->lines[m].count);
    assert_int_equal(is.in_flight, flying);
    assert_int_equal(is.acknowledged, w->acknowledged[m]);
}

static void compare(struct world *w)
{
    struct sc_dispatch_stats is;
    uint64_t batches = 0, records = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        const struct batch *b = &w->batches[i];
        assert_int_equal(b->told, b->released);
        batches += !b->released;
        records += b->released ? 0 : b->records;
    }
    while (w->first_kept < w->count && w->batches[w->first_kept].released)
        w->first_kept++;
    sc_dispatch_get_stats(w->dispatch, &is);
    assert_int_equal(is.batches, batches);
    assert_int_equal(is.records, records);
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

static void add(struct world *w, uint32_t lane, uint32_t home)
{
    uint32_t number = w->count;
    assert_true(number < BATCHES);
    const struct sc_batch_head head = {.id = {.stream = STREAM, .lane = lane, .sequence = number},
                                       .records = 1 + number % 100};
    w->batches[w->count++] = (struct batch){.lane = lane, .records = head.records, .home = home};
    look_again(w, number);
    assert_int_equal(sc_dispatch_add(w->dispatch, &head, (struct sc_outbox_place){lane, number}), SC_OK);
}

static void next(struct world *w, uint32_t m)
{
    struct sc_batch_head head;
    struct sc_outbox_place place;
    struct line *l = &w->lines[m];
    bool any = sc_dispatch_next(w->dispatch, m, w->now, &head, &place);
    assert_int_equal(any, l->count != 0);
    if (!any)
        return;
    uint32_t number = l->numbers[0];
    struct batch *b = &w->batches[number];
    assert_int_equal(head.id.sequence, number);
    assert_int_equal(head.id.lane, b->lane);
    assert_int_equal(head.id.stream, STREAM);
    assert_int_equal(head.records, b->records);
    assert_int_equal(place.offset, number);
    assert_true((w->usable >> m & 1) != 0 && !b->told);
    assert_true((b->given >> m & 1) == 0); /* once */
    assert_true((b->acked >> m & 1) == 0); /* it does not get what it has */
    leave_line(w, m, number);
    b->flying |= 1u << m;
    b->given |= 1u << m;
    b->since[m] = w->now;
    b->order[m] = w->sends++;
}

/* The time goes on, and the dispatch is told. */
static void tick(struct world *w, uint64_t ms, bool pressed)
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
    sc_dispatch_tick(w->dispatch, w->now, pressed);
}

/* What was given to the member cannot be read: nobody gets it for a second, and after five times nobody does. */
static void unread(struct world *w, uint32_t m, uint32_t number, bool counts)
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
static void note_ack(struct world *w, uint32_t m, uint32_t number)
{
    struct batch *b = &w->batches[number];
    if (b->released || (b->acked >> m & 1) != 0)
        return;
    b->acked |= 1u << m;
    b->flying &= ~(1u << m);
    b->late &= ~(1u << m);
    leave_line(w, m, number);
    w->acknowledged[m]++;
    if (may_go(w, b))
        look_again(w, number);
}

/* The batches `first` to `last` of a lane. */
static void ack(struct world *w, uint32_t m, uint32_t lane, uint64_t first, uint64_t last)
{
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if (w->batches[i].lane == lane && i >= first && i <= last)
            note_ack(w, m, i);
    }
    sc_dispatch_ack(w->dispatch, m, &(struct sc_link_ack){STREAM, lane, first, last});
}

static void ack_one(struct world *w, uint32_t m, uint32_t number)
{
    ack(w, m, w->batches[number].lane, number, number);
}

static void set_usable(struct world *w, uint32_t m, bool usable)
{
    w->usable = (w->usable & ~(1u << m)) | (uint32_t)usable << m;
    w->lines[m].count = 0;
    w->slow &= ~(1u << m);
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        w->batches[i].queued &= ~(1u << m);
        w->batches[i].flying &= ~(1u << m);
        w->batches[i].late &= ~(1u << m);
        w->batches[i].given &= ~(1u << m);
    }
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if (!w->batches[i].released)
            look_again(w, i);
    }
    sc_dispatch_set_usable(w->dispatch, m, usable);
}

/* ---- other members ---- */

static uint32_t member_of(const struct world *w, uint32_t lane)
{
    for (uint32_t i = 0; i < w->cluster.count; i++) {
        if (w->members[i].lane == lane)
            return i;
    }
    return SC_NO_MEMBER;
}

static uint32_t home_of(const struct world *w, uint32_t lane)
{
    uint32_t i = member_of(w, lane);
    return i == SC_NO_MEMBER ? lane % w->cluster.count : i;
}

/* The bits of `set` at the members' new places. */
static uint32_t moved(uint32_t set, const uint32_t *to, uint32_t count)
{
    uint32_t out = 0;
    for (uint32_t i = 0; i < count; i++)
        out |= to[i] == SC_NO_MEMBER ? 0 : (set >> i & 1) << to[i];
    return out;
}

static void move_batch(const struct world *w, struct batch *b, const uint32_t *to, uint32_t count)
{
    struct batch before = *b;
    uint32_t *const sets[] = {&b->acked, &b->queued, &b->flying, &b->late, &b->given};
    for (uint32_t i = 0; i < 5; i++)
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
static void change_members(struct world *w, const struct sc_member *fresh, uint32_t fresh_count)
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
static void change_any(struct world *w, uint64_t *random)
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
static void open_world(struct world *w, uint32_t copies, uint32_t count, uint32_t proxies, uint32_t capacity)
{
    *w = (struct world){.cluster = {.version = 1, .replication = copies, .count = count}};
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

static void close_world(struct world *w)
{
    sc_dispatch_free(w->dispatch);
    for (uint32_t i = 0; i < MEMBERS; i++)
        free(w->lines[i].numbers);
    free(w->batches);
}

static uint32_t unreleased(const struct world *w)
{
    uint32_t n = 0;
    for (uint32_t i = w->first_kept; i < w->count; i++)
        n += !w->batches[i].released;
    return n;
}

/* Liveness: members stay as they are, take what there is for them and acknowledge it. Then nothing is left. */
static void drain(struct world *w)
{
    assert_true(w->usable != 0);
    tick(w, 1000, false); /* what could not be read is tried again */
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

/* ---- random walks ---- */

static uint32_t any_subcollector(const struct world *w, uint64_t *random)
{
    uint32_t m;
    do
        m = (uint32_t)(next_random(random) % w->cluster.count);
    while (!w->members[m].subcollector);
    return m;
}

/* Mostly a batch that is known, else one that was, or will be. */
static uint32_t any_batch(const struct world *w, uint64_t *random)
{
    uint32_t kept = w->count - w->first_kept;
    if (kept == 0 || next_random(random) % 8 == 0)
        return (uint32_t)(next_random(random) % (w->count + 2));
    return w->first_kept + (uint32_t)(next_random(random) % kept);
}

static void add_any(struct world *w, uint64_t *random)
{
    uint32_t lane = sc_dispatch_home(w->dispatch);
    uint32_t home = member_of(w, lane);
    assert_true(home != SC_NO_MEMBER && w->members[home].subcollector);
    assert_true(w->usable == 0 || (w->usable >> home & 1) != 0);
    assert_true((w->usable & ~w->slow) == 0 || (w->slow >> home & 1) == 0);
    if (next_random(random) % 4 == 0) { /* of an earlier start: any member, also one that is none any more */
        home = (uint32_t)(next_random(random) % w->cluster.count);
        lane = next_random(random) % 2 != 0 ? w->members[home].lane : NO_LANE * w->cluster.count + home;
    }
    add(w, lane, home);
}

static void ack_any(struct world *w, uint32_t m, uint64_t *random)
{
    uint32_t number = any_batch(w, random);
    uint32_t lane = number < w->count ? w->batches[number].lane : w->members[m].lane;
    switch (next_random(random) % 8) {
    case 0: /* never asked for, of another stream */
        sc_dispatch_ack(w->dispatch, m, &(struct sc_link_ack){STREAM + 1, lane, 0, number});
        break;
    case 1: /* of another lane */
        ack(w, m, lane + 500, number, number);
        break;
    case 2: /* an interval */
        ack(w, m, lane, number > 3 ? number - 3 : 0, (uint64_t)number + next_random(random) % 100);
        break;
    case 3: /* more than can be meant */
        sc_dispatch_ack(w->dispatch, m, &(struct sc_link_ack){STREAM, lane, 0, UINT64_MAX});
        break;
    case 4: /* twice */
        ack(w, m, lane, number, number);
        ack(w, m, lane, number, number);
        break;
    default:
        ack(w, m, lane, number, number);
        break;
    }
}

/* Acknowledges the oldest that is in flight to the member, as a member does. */
static void ack_oldest(struct world *w, uint32_t m)
{
    for (uint32_t i = w->first_kept; i < w->count; i++) {
        if ((w->batches[i].flying >> m & 1) != 0) {
            ack_one(w, m, i);
            return;
        }
    }
}

/* Mostly a little; sometimes so much that somebody is slow, or what is in flight late. */
static void pass_time(struct world *w, uint64_t *random)
{
    static const uint32_t lengths[] = {0, 7, 50, 50, 300, 1100, 2500, 10500};
    tick(w, lengths[next_random(random) % 8], next_random(random) % 8 == 0);
}

static void unread_any(struct world *w, uint32_t m, uint64_t *random)
{
    uint32_t oldest = oldest_flying(w, m);
    if (oldest != BATCHES)
        unread(w, m, oldest, next_random(random) % 4 != 0);
}

static void step(struct world *w, uint64_t *random)
{
    uint32_t m = any_subcollector(w, random);
    uint64_t what = next_random(random) % 100;
    if (what < 22 && w->count < BATCHES && unreleased(w) < 40)
        add_any(w, random);
    else if (what < 55)
        next(w, m);
    else if (what < 70)
        ack_oldest(w, m);
    else if (what < 80)
        ack_any(w, m, random);
    else if (what < 88)
        pass_time(w, random);
    else if (what < 90)
        unread_any(w, m, random);
    else if (what < 94)
        set_usable(w, m, false);
    else if (what < 99)
        set_usable(w, m, true); /* also of one that is: a new connection */
    else if (next_random(random) % 2 == 0)
        change_any(w, random);
    else if (w->usable != 0)
        drain(w);
    compare(w);
}

static void walk(uint32_t copies, uint32_t members, uint32_t proxies, uint64_t seed)
{
    struct world w;
    uint64_t random = seed;
    open_world(&w, copies, members, proxies, BATCHES);
    for (uint32_t i = 0; i < 3000; i++)
        step(&w, &random);
    set_usable(&w, any_subcollector(&w, &random), true);
    drain(&w);
    assert_true(w.count > 50 && w.released + w.given_up == w.count);
    close_world(&w);
}

static void random_walks(void **state)
{
    (void)state;
    for (uint32_t copies = 1; copies <= SC_CLUSTER_MAX_COPIES; copies++) {
        for (uint32_t members = 1; members <= MEMBERS; members++) {
            for (uint32_t seed = 0; seed < 8; seed++) {
                uint64_t random = copies * 1000 + members * 100 + seed;
                uint32_t all = (1u << members) - 1;
                uint32_t proxies = seed % 2 == 0 ? 0 : (uint32_t)next_random(&random) & all;
                walk(copies, members, proxies == all ? all >> 1 : proxies, random);
            }
        }
    }
}

/* ---- all interleavings of a small instance ---- */

enum { SMALL_MEMBERS = 3, SMALL_BATCHES = 3, STATES = 1 << 18, PATH_MAX_STEPS = 32 };

/* 0: add; 1-3: next; 4-12: ack of a batch by a member; 13-15: the member changes; 16-18: it is connected anew; 19: 5 s pass. */
enum { ACTIONS = 20, TIME_PASSES = 19 };

struct node {
    uint64_t state;
    uint32_t parent;
    uint8_t action, depth;
};

struct search {
    struct node *nodes;
    uint32_t count;
    uint32_t *table; /* number of a node + 1, by its state */
    uint32_t batches;
    bool timed;
};

/* False: it means nothing here. */
static bool act(const struct search *s, struct world *w, uint32_t action)
{
    uint32_t m = (action - 1) % SMALL_MEMBERS;
    if (action == TIME_PASSES) {
        if (!s->timed)
            return false;
        tick(w, 5000, false);
    } else if (action == 0) {
        if (w->count == s->batches)
            return false;
        add(w, w->members[w->count].lane, w->count);
    } else if (action < 4) {
        next(w, m);
    } else if (action < 13) {
        uint32_t number = (action - 4) / 3;
        if (number >= w->count)
            return false;
        ack_one(w, m, number);
    } else if (action < 16) {
        set_usable(w, m, (w->usable >> m & 1) == 0);
    } else {
        if ((w->usable >> m & 1) == 0)
            return false;
        set_usable(w, m, true);
    }
    return true;
}

/* Of the times it matters whether they are 0, 5, or 10 s and more: two bits for each member. */
static uint64_t times_of(const struct world *w)
{
    uint64_t s = w->slow;
    for (uint32_t i = 0; i < SMALL_BATCHES - 1; i++) {
        for (uint32_t m = 0; m < SMALL_MEMBERS; m++) {
            const struct batch *b = &w->batches[i];
            bool flying = i < w->count && (b->flying >> m & 1) != 0;
            uint64_t age = flying ? (w->now - b->since[m]) / 5000 : 0;
            s = s << 2 | (age > 2 ? 2 : age);
            s = s << 1 | (flying ? b->late >> m & 1 : 0);
        }
    }
    return s;
}

/* Everything that the model knows, in one number. */
static uint64_t state_of(const struct search *search, const struct world *w)
{
    uint64_t s = search->timed ? times_of(w) : 0;
    s = s << 5 | w->usable | (uint64_t)w->count << 3;
    for (uint32_t i = 0; i < search->batches; i++) {
        const struct batch *b = &w->batches[i];
        uint64_t one = b->released ? 1 : (uint64_t)b->acked << 1 | (uint64_t)b->flying << 4;
        s = s << 7 | (i < w->count ? one : 0);
    }
    for (uint32_t m = 0; m < SMALL_MEMBERS; m++) {
        for (uint32_t i = 0; i < search->batches; i++)
            s = s << 2 | (i < w->lines[m].count ? w->lines[m].numbers[i] + 1 : 0);
    }
    return s;
}

static void remember(struct search *s, uint64_t state, uint32_t parent, uint32_t action)
{
    uint64_t random = state;
    uint32_t at = (uint32_t)next_random(&random) & (2 * STATES - 1);
    while (s->table[at] != 0 && s->nodes[s->table[at] - 1].state != state)
        at = (at + 1) & (2 * STATES - 1);
    if (s->table[at] != 0)
        return;
    assert_true(s->count < STATES);
    uint8_t depth = s->count == 0 ? 0 : (uint8_t)(s->nodes[parent].depth + 1);
    s->nodes[s->count] = (struct node){state, parent, (uint8_t)action, depth};
    s->table[at] = ++s->count;
}

/* The world again, from the beginning. */
static void replay(const struct search *s, uint32_t number, struct world *w)
{
    uint8_t path[PATH_MAX_STEPS];
    uint32_t length = 0;
    assert_true(s->nodes[number].depth <= PATH_MAX_STEPS);
    for (uint32_t i = number; s->nodes[i].depth != 0; i = s->nodes[i].parent)
        path[length++] = s->nodes[i].action;
    open_world(w, 2, SMALL_MEMBERS, 0, SMALL_BATCHES + 1);
    while (length > 0)
        assert_true(act(s, w, path[--length]));
}

/* Every batch that is not released is still to be had: in time it goes, with the members that are usable or the next one. */
static void check_obtainable(const struct search *s, uint32_t number)
{
    for (uint32_t m = 0; m < SMALL_MEMBERS; m++) {
        struct world w;
        replay(s, number, &w);
        bool up = w.usable != 0;
        if (!up)
            set_usable(&w, m, true);
        drain(&w);
        close_world(&w);
        if (up)
            return;
    }
}

/* What changes nothing needs no new world for the next. Returns how often all batches were released. */
static uint32_t try_actions(struct search *s, uint32_t number)
{
    struct world w;
    uint32_t releases = 0;
    replay(s, number, &w);
    for (uint32_t action = 0; action < ACTIONS; action++) {
        if (!act(s, &w, action))
            continue;
        compare(&w);
        uint64_t now = state_of(s, &w);
        if (now == s->nodes[number].state)
            continue;
        remember(s, now, number, action);
        releases += w.released == s->batches;
        close_world(&w);
        replay(s, number, &w);
    }
    close_world(&w);
    return releases;
}

/* Every state that can be reached at all: the walk ends by itself. Returns how many there are. */
static uint32_t search_all(uint32_t batches, bool timed)
{
    struct search search = {.nodes = calloc(STATES, sizeof(struct node)),
                            .table = calloc(2 * STATES, sizeof(uint32_t)),
                            .batches = batches,
                            .timed = timed};
    struct search *s = &search;
    struct world w;
    uint32_t releases = 0;
    assert_non_null(s->nodes);
    assert_non_null(s->table);
    open_world(&w, 2, SMALL_MEMBERS, 0, SMALL_BATCHES + 1);
    remember(s, state_of(s, &w), 0, 0);
    close_world(&w);
    for (uint32_t i = 0; i < s->count; i++) {
        check_obtainable(s, i);
        releases += try_actions(s, i);
    }
    assert_true(releases > 0);
    free(s->nodes);
    free(s->table);
    return s->count;
}

static void all_interleavings(void **state)
{
    (void)state;
    assert_true(search_all(SMALL_BATCHES, false) > 20000);
}

/* Members that are slow, and batches that are late, in every order. */
static void all_interleavings_in_time(void **state)
{
    (void)state;
    assert_true(search_all(SMALL_BATCHES - 1, true) > 30000);
}

/* ---- shares ---- */

static void count_homes(struct world *w, uint32_t rounds, uint32_t counts[MEMBERS])
{
    memset(counts, 0, MEMBERS * sizeof(counts[0]));
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t home = sc_dispatch_home(w->dispatch) - 100;
        assert_true(home < w->cluster.count);
        counts[home]++;
    }
}

static void assert_share(uint32_t count, uint32_t of, uint32_t weight, uint32_t weights)
{
    double want = (double)of * weight / weights;
    assert_true(count >= want * 0.98 && count <= want * 1.02);
}

/* Weights 1, 2, 3 and a proxy between them; of those usable when there are any. */
static void shares_follow_weights(void **state)
{
    (void)state;
    struct world w;
    uint32_t n[MEMBERS];
    open_world(&w, 2, 4, 1u << 1, 1);
    w.members[2].weight = 2;
    w.members[3].weight = 3;
    assert_int_equal(sc_dispatch_set_cluster(w.dispatch, &w.cluster), SC_OK);
    for (int usable = 0; usable < 2; usable++) {
        count_homes(&w, 6000, n);
        assert_int_equal(n[1], 0);
        assert_share(n[0], 6000, 1, 6);
        assert_share(n[2], 6000, 2, 6);
        assert_share(n[3], 6000, 3, 6);
        set_usable(&w, 0, true);
        set_usable(&w, 2, true);
        set_usable(&w, 3, true);
    }
    count_homes(&w, 6, n); /* they take turns: nobody waits for long */
    assert_true(n[0] == 1 && n[2] == 2 && n[3] == 3);
    set_usable(&w, 3, false);
    count_homes(&w, 3000, n);
    assert_int_equal(n[1] + n[3], 0);
    assert_share(n[0], 3000, 1, 3);
    assert_share(n[2], 3000, 2, 3);
    uint64_t random = 1;
    for (uint32_t i = 0; i < 500; i++) /* whatever they did before */
        set_usable(&w, i % 2 == 0 ? 2 : 3, next_random(&random) % 2 != 0), count_homes(&w, i % 7, n);
    set_usable(&w, 2, true);
    set_usable(&w, 3, true);
    count_homes(&w, 6000, n);
    assert_share(n[0], 6000, 1, 6);
    assert_share(n[2], 6000, 2, 6);
    assert_share(n[3], 6000, 3, 6);
    close_world(&w);
}

static void nobody_to_send_to(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 2, 3, 8);
    assert_int_equal(sc_dispatch_home(w.dispatch), 0);
    add(&w, NO_LANE, NO_LANE % 2);
    compare(&w);
    close_world(&w);
    sc_dispatch_free(NULL);
}

/* ---- a member that is stuck ---- */

/* Everything that the quick ones have is acknowledged, as often as there is something. */
static void serve(struct world *w, uint32_t quick)
{
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t m = 0; m < w->cluster.count; m++) {
            while ((quick >> m & 1) != 0 && w->lines[m].count != 0)
                next(w, m);
            for (uint32_t i = w->first_kept; i < w->count; i++) {
                if ((quick & w->batches[i].flying) >> m & 1)
                    ack_one(w, m, i);
            }
        }
    }
    compare(w);
}

static void open_stuck(struct world *w, uint32_t copies, uint32_t members, uint32_t batches)
{
    open_world(w, copies, members, 0, BATCHES);
    for (uint32_t m = 0; m < members; m++)
        set_usable(w, m, true);
    tick(w, 1, false);
    for (uint32_t i = 0; i < batches; i++) {
        add(w, 100, 0);
        next(w, 0); /* the home takes it and says nothing */
    }
    serve(w, ~1u);
    assert_int_equal(unreleased(w), batches);
}

/* It gets nothing new after 2 s; after 10 s the next has a copy of what it was sent, 50 batches a second. */
static void a_stuck_member(void **state)
{
    (void)state;
    struct world w;
    open_stuck(&w, 2, 3, 300);
    tick(&w, 1999, false);
    assert_int_equal(w.slow, 0);
    add(&w, 100, 0);
    tick(&w, 1, false);
    assert_int_equal(w.slow, 1);
    serve(&w, 6); /* what waited for it went to the third */
    assert_int_equal(unreleased(&w), 300);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_not_equal(sc_dispatch_home(w.dispatch), 100);
        add(&w, 100, 0);
    }
    serve(&w, 6);
    assert_int_equal(unreleased(&w), 300);
    for (uint32_t ms = 2000; ms < 10000; ms += 50)
        tick(&w, 50, false);
    serve(&w, 6);
    uint32_t at_once = 300 - unreleased(&w);
    assert_true(at_once >= 2 && at_once <= 50);
    for (uint32_t ms = 0; ms < 1000; ms += 50)
        tick(&w, 50, false);
    serve(&w, 6);
    assert_int_equal(300 - unreleased(&w), at_once + 50);
    ack(&w, 0, 100, 0, w.count - 1); /* in the end it does acknowledge: that counts */
    assert_int_equal(unreleased(&w), 0);
    tick(&w, 50, false);
    assert_int_equal(w.slow, 0);
    compare(&w);
    close_world(&w);
}

/* When the outbox fills, all of that happens within a second. */
static void a_stuck_member_under_pressure(void **state)
{
    (void)state;
    struct world w;
    open_stuck(&w, 2, 3, 300);
    tick(&w, 500, true);
    assert_int_equal(w.slow, 1);
    tick(&w, 499, true);
    serve(&w, 6);
    assert_int_equal(unreleased(&w), 300);
    tick(&w, 1, true);
    serve(&w, 6);
    assert_int_equal(unreleased(&w), 0);
    close_world(&w);
}

/* Nobody can take its place: two copies are still two copies. */
static void a_stuck_member_of_two(void **state)
{
    (void)state;
    struct world w;
    open_stuck(&w, 2, 2, 10);
    for (uint32_t ms = 0; ms < 20000; ms += 50)
        tick(&w, 50, ms % 100 == 0);
    add(&w, 101, 1);
    serve(&w, 2);
    assert_int_equal(unreleased(&w), 11);
    serve(&w, 3);
    assert_int_equal(unreleased(&w), 0);
    close_world(&w);
}

/* Two are stuck; what waits for one of them goes to the other as soon as that is well. */
static void a_stuck_member_while_another_recovers(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 3, 0, BATCHES);
    for (uint32_t m = 0; m < 3; m++)
        set_usable(&w, m, true);
    add(&w, 100, 0);
    next(&w, 0);
    add(&w, 102, 2);
    next(&w, 2); /* the first and the third are stuck */
    tick(&w, 2000, false);
    assert_int_equal(w.slow, 5);
    add(&w, 100, 0);
    assert_int_equal(w.lines[0].count, 1);
    ack(&w, 2, 102, 1, 1);
    tick(&w, 50, false);
    assert_int_equal(w.slow, 1);
    serve(&w, 6);
    assert_true(w.batches[2].released);
    close_world(&w);
}

/* ---- what cannot be read ---- */

static void unreadable(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2, 0, BATCHES);
    set_usable(&w, 0, true);
    add(&w, 100, 0);
    add(&w, 100, 0);
    for (uint32_t i = 0; i < 7; i++) {
        next(&w, 0);
        unread(&w, 0, 0, i >= 2); /* memory is short at first */
        if (i == 0)
            serve(&w, 1);
        compare(&w);
        tick(&w, 999, false);
        assert_int_equal(w.lines[0].count, 0); /* it holds up nobody, and is not tried again at once */
        tick(&w, 1, false);
        assert_int_equal(w.lines[0].count, i < 6);
    }
    compare(&w);
    assert_int_equal(w.given_up, 1);
    assert_int_equal(w.released, 1);
    close_world(&w);
}

/* ---- a long outage ---- */

/* A day's batches wait; the first member that comes gets them in the order in which they were accepted. */
static void a_long_line(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct world w;
    struct sc_dispatch_member view;
    struct sc_dispatch_stats stats;
    open_world(&w, 2, 3, 0, 1);
    free(w.batches);
    w.batches = calloc(COUNT, sizeof(struct batch));
    assert_non_null(w.batches);
    w.count = COUNT;
    for (uint32_t i = 0; i < COUNT; i++) {
        w.batches[i].lane = 101;
        const struct sc_batch_head head = {.id = {.stream = STREAM, .lane = 101, .sequence = i},
                                           .records = 2};
        assert_int_equal(sc_dispatch_add(w.dispatch, &head, (struct sc_outbox_place){101, i}), SC_OK);
    }
    for (uint32_t m = 1; m < 3; m++) { /* home and the next on the ring: both get them */
        w.usable |= 1u << m;
        sc_dispatch_set_usable(w.dispatch, m, true);
        sc_dispatch_get_member(w.dispatch, m, &view);
        assert_int_equal(view.waiting, COUNT);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sc_batch_head head;
        struct sc_outbox_place place;
        assert_true(sc_dispatch_next(w.dispatch, 1, 0, &head, &place));
        assert_int_equal(head.id.sequence, i);
        w.batches[i].acked = 1u << 1;
        sc_dispatch_ack(w.dispatch, 1, &(struct sc_link_ack){STREAM, 101, i, i});
    }
    /* The other one fails: one copy is all there can be, and the line of the other is forgotten. */
    w.usable = 1u << 1;
    sc_dispatch_set_usable(w.dispatch, 2, false);
    sc_dispatch_get_stats(w.dispatch, &stats);
    assert_int_equal(stats.batches, 0);
    assert_int_equal(stats.records, 0);
    assert_int_equal(stats.released, COUNT);
    assert_int_equal(stats.released_short, COUNT);
    close_world(&w);
}

/* A member has a long line that nobody needs any more: releasing what is in it costs no search through all of it. */
static void a_line_that_others_empty(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct world w;
    struct sc_dispatch_member view;
    open_world(&w, 1, 3, 0, 1);
    free(w.batches);
    w.batches = calloc(COUNT, sizeof(struct batch));
    assert_non_null(w.batches);
    w.count = COUNT;
    w.usable = 1u << 2;
    sc_dispatch_set_usable(w.dispatch, 2, true); /* not the home */
    for (uint32_t i = 0; i < COUNT; i++) {
        w.batches[i].lane = 101;
        const struct sc_batch_head head = {.id = {.stream = STREAM, .lane = 101, .sequence = i}};
        assert_int_equal(sc_dispatch_add(w.dispatch, &head, (struct sc_outbox_place){101, i}), SC_OK);
    }
    w.usable |= 1u << 1;
    sc_dispatch_set_usable(w.dispatch, 1, true); /* the home: it gets them all, and is faster */
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sc_batch_head head;
        struct sc_outbox_place place;
        assert_true(sc_dispatch_next(w.dispatch, 1, 0, &head, &place));
        w.batches[i].acked = 1u << 1;
        sc_dispatch_ack(w.dispatch, 1, &(struct sc_link_ack){STREAM, 101, i, i});
        sc_dispatch_get_member(w.dispatch, 2, &view);
        assert_int_equal(view.waiting, COUNT - i - 1);
        assert_int_equal(view.in_flight, 0);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_walks),
        cmocka_unit_test(all_interleavings),
        cmocka_unit_test(all_interleavings_in_time),
        cmocka_unit_test(shares_follow_weights),
        cmocka_unit_test(nobody_to_send_to),
        cmocka_unit_test(a_stuck_member),
        cmocka_unit_test(a_stuck_member_under_pressure),
        cmocka_unit_test(a_stuck_member_of_two),
        cmocka_unit_test(a_stuck_member_while_another_recovers),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(a_long_line),
        cmocka_unit_test(a_line_that_others_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
