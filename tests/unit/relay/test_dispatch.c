// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which batch goes where and when it is released, against the model of dispatch_kit.h: by random walk, and by all interleavings
 * of small instances.
 */
#include "dispatch_kit.h"

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
    static const uint32_t lengths[] = {0, 7, 50, 50, 300, 1100, 2500, 10500, 30000};
    tick(w, lengths[next_random(random) % 9], next_random(random) % 8 == 0);
}

static void unread_any(struct world *w, uint32_t m, uint64_t *random)
{
    uint32_t oldest = oldest_flying(w, m);
    if (oldest != BATCHES)
        unread(w, m, oldest, next_random(random) % 4 != 0);
}

static void refuse_any(struct world *w, uint32_t m, uint64_t *random)
{
    uint32_t oldest = oldest_flying(w, m), any = any_batch(w, random);
    if (oldest != BATCHES)
        refuse(w, m, oldest);
    if (any < w->count)
        refuse(w, m, any);
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
    else if (what < 93)
        refuse_any(w, m, random);
    else if (what < 95)
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

/* 0: add; 1-3: next; 4-12: ack of a batch by a member; 13-15: the member changes; 16-18: it is connected anew; 19: 5 s pass; 20:
 * the first member refuses the oldest that is in flight to it. */
enum { ACTIONS = 21, TIME_PASSES = 19 };

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
    } else if (action < 19) {
        if ((w->usable >> m & 1) == 0)
            return false;
        set_usable(w, m, true);
    } else {
        uint32_t oldest = oldest_flying(w, 0);
        if (oldest == BATCHES || s->timed)
            return false;
        refuse(w, 0, oldest);
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

/* Everything that the model knows, in one number; of the largest instance all but who was asked once and is not any more, which
 * is looked at in the smaller one. */
static uint64_t state_of(const struct search *search, const struct world *w)
{
    bool whole = search->batches < SMALL_BATCHES;
    uint64_t s = search->timed ? times_of(w) : 0;
    s = s << 5 | w->usable | (uint64_t)w->count << 3;
    for (uint32_t i = 0; i < search->batches; i++) {
        const struct batch *b = &w->batches[i];
        uint64_t one = b->released ? 1 : (uint64_t)b->acked << 1 | (uint64_t)b->flying << 4;
        one |= whole && !b->released ? (uint64_t)b->asked << 7 : 0;
        one |= (uint64_t)b->refused << 10;
        s = s << 13 | (i < w->count ? one : 0);
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

UNIT(test_dispatch)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_walks),
        cmocka_unit_test(all_interleavings),
        cmocka_unit_test(all_interleavings_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
