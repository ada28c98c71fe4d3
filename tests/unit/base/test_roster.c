// SPDX-License-Identifier: BSD-3-Clause
/* A roster against a plain list of which members it has, and what walking it in parts promises. */

#include "base/hash.h"
#include "base/roster.h"
#include "unit.h"

#include <stdlib.h>

#define MANY 65280u /* templates that a domain can have */

struct member {
    struct sc_roster_entry entry;
    uint32_t key;
    bool in, old, seen;
};

struct scene {
    struct sc_roster roster;
    struct member members[MANY];
    uint64_t seed, random;
    uint32_t looks; /* at members that were not meant */
};

static uint64_t draw(struct scene *s)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return s->random >> 33;
}

static struct scene *make_scene(void)
{
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->seed = sc_hash_draw_seed();
    s->random = 7;
    for (uint32_t i = 0; i < MANY; i++)
        s->members[i].key = i;
    return s;
}

static void free_scene(struct scene *s)
{
    sc_roster_free(&s->roster);
    free(s);
}

static void add(struct scene *s, struct member *m)
{
    size_t foreseen = sc_roster_bytes(&s->roster) + sc_roster_growth(&s->roster, 1);
    assert_true(sc_roster_add(&s->roster, &m->entry, sc_hash_u64(m->key, s->seed)));
    assert_int_equal(sc_roster_bytes(&s->roster), foreseen);
    m->in = true;
}

static void take(struct scene *s, struct member *m)
{
    sc_roster_remove(&s->roster, &m->entry);
    m->in = false;
}

static bool is_found(struct scene *s, const struct member *m)
{
    struct sc_probe p;
    struct sc_roster_entry *e = sc_roster_first(&s->roster, sc_hash_u64(m->key, s->seed), &p);
    for (; e != NULL && e != &m->entry; e = sc_roster_next(&s->roster, &p))
        s->looks++;
    return e != NULL;
}

static void it_has_what_was_put_into_it(void **state)
{
    (void)state;
    struct scene *s = make_scene();
    const uint32_t some = 500;
    for (uint32_t turn = 0; turn < 20000; turn++) {
        struct member *m = &s->members[draw(s) % some];
        if (m->in && draw(s) % 2 == 0)
            sc_roster_swap(&s->roster, &m->entry, (uint32_t)(draw(s) % s->roster.count));
        else if (m->in)
            take(s, m);
        else
            add(s, m);
        uint32_t in = 0;
        for (uint32_t i = 0; i < some && turn % 100 == 0; i++) {
            m = &s->members[i];
            in += m->in;
            assert_int_equal(is_found(s, m), m->in);
            assert_true(!m->in || s->roster.row[m->entry.place] == &m->entry);
        }
        assert_true(turn % 100 != 0 || in == s->roster.count);
    }
    free_scene(s);
}

/* One member at a time, while others come and go: none that was there all the time is left out. */
static void a_walk_that_pauses_sees_all_that_stay(void **state)
{
    (void)state;
    struct scene *s = make_scene();
    const uint32_t some = 1000;
    for (uint32_t i = 0; i < some / 2; i++) {
        add(s, &s->members[i]);
        s->members[i].old = true;
    }
    for (uint32_t left = s->roster.count; left > 0;) {
        if (left > s->roster.count) {
            left = s->roster.count;
            continue;
        }
        struct member *at_hand = (struct member *)s->roster.row[--left];
        at_hand->seen = true;
        struct member *m = draw(s) % 3 == 0 ? at_hand : &s->members[draw(s) % some];
        if (m->in)
            take(s, m);
        else
            add(s, m);
        m->old &= m->in && m == at_hand;
    }
    uint32_t stayed = 0;
    for (uint32_t i = 0; i < some; i++) {
        stayed += s->members[i].old;
        assert_true(!s->members[i].old || s->members[i].seen);
    }
    assert_true(stayed > 50);
    free_scene(s);
}

/* Each of 65,280 is found at once, in whatever order they came, and after every second one went. */
static void to_find_costs_the_same_however_many_there_are(void **state)
{
    (void)state;
    struct scene *s = make_scene();
    for (uint32_t i = MANY; i > 0; i--)
        add(s, &s->members[i - 1]);
    for (uint32_t i = 0; i < MANY; i += 2)
        take(s, &s->members[i]);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(is_found(s, &s->members[i]), i % 2);
    assert_true(s->looks < 16);
    free_scene(s);
}

UNIT(test_roster)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_what_was_put_into_it),
        cmocka_unit_test(a_walk_that_pauses_sees_all_that_stay),
        cmocka_unit_test(to_find_costs_the_same_however_many_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
