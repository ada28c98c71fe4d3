// SPDX-License-Identifier: BSD-3-Clause
/* What stores know of how far members have expired: the file, and what several say together. */
#include "store_kit.h"

#include "store/horizon.h"
#include "store/horizons.h"

/* Members 1 to 3, and lanes of two holders each, on a ring. */
static struct sc_horizons ring_of(uint64_t version, uint32_t node, const uint64_t horizons[3])
{
    static const char *const names[] = {"alpha", "beta", "gamma"};
    struct sc_horizons h = {.version = version, .node = node};
    for (uint32_t i = 0; i < 3; i++) {
        struct sc_member_horizon m = {.lane = i + 1, .horizon_ms = horizons[i]};
        const struct sc_lane_holders l = {.lane = i + 1, .count = 2, .holders = {i + 1, (i + 1) % 3 + 1}};
        snprintf(m.name, sizeof(m.name), "%s", names[i]);
        assert_int_equal(sc_horizons_add_member(&h, &m), SC_OK);
        assert_int_equal(sc_horizons_add_lane(&h, &l), SC_OK);
    }
    sc_horizons_settle(&h);
    return h;
}

static void check_lanes(const struct sc_horizons *h, uint64_t first, uint64_t second, uint64_t third)
{
    assert_true(sc_horizons_of(h, 1) == first && sc_horizons_of(h, 2) == second &&
                sc_horizons_of(h, 3) == third);
}

static void the_least_of_its_holders_excuses_a_lane(void **state)
{
    (void)state;
    struct sc_horizons h = ring_of(1, 1, (const uint64_t[]){100, 300, 200}), none = {0};
    check_lanes(&h, 100, 200, 100);
    assert_true(h.kept_since_ms == 200 && h.least_ms == 100);
    assert_true(sc_horizons_of(&h, 99) == 100); /* of a lane that nobody knows: all members */
    assert_true(sc_horizons_of(&none, 1) == 0);
    sc_horizons_free(&h);
}

static void it_comes_back_from_the_file(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_horizons h = ring_of(7, 2, (const uint64_t[]){100, 1800000000000, 0}), back = {0};
    assert_int_equal(sc_horizons_read(store, &back, NULL), SC_NOTFOUND);
    assert_int_equal(sc_horizons_write(store, &h, NULL, NULL), SC_OK);
    assert_int_equal(sc_horizons_read(store, &back, NULL), SC_OK);
    assert_true(back.version == 7 && back.node == 2 && back.member_count == 3 && back.lane_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct sc_member_horizon *x = &h.members[i], *y = &back.members[i];
        assert_true(x->lane == y->lane && x->horizon_ms == y->horizon_ms && !y->own);
        assert_string_equal(x->name, y->name);
        assert_memory_equal(&h.lanes[i], &back.lanes[i], sizeof(h.lanes[i]));
    }
    sc_horizons_free(&h);
    sc_horizons_free(&back);
    kit_remove(store);
}

#define HEAD "securitycloud horizons 1\nversion 3\nnode 00000001\n"

static void what_makes_no_sense_is_damaged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "securitycloud horizons 2\nversion 3\nnode 00000001\nmember 00000001 5 a\n",
        "securitycloud horizons 1\nversion 0\nnode 00000001\nmember 00000001 5 a\n",
        HEAD,
        HEAD "member 00000001 5\n",
        HEAD "member 00000001 5 a\nmember 00000001 6 a\n",
        HEAD "member 00000001 5 a\nlane 00000001\n",
        HEAD "member 00000001 5 a\nlane 00000001 00000002\n",
        HEAD "member 00000001 5 a\nlane x 00000001\n",
        HEAD "member 00000001 5 a\nother\n",
    };
    char *store = kit_folder(), path[300];
    snprintf(path, sizeof(path), "%s/" SC_HORIZONS_FILE, store);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sc_horizons h = {0};
        struct sc_error err = {0};
        kit_write_file(path, texts[i], strlen(texts[i]));
        if (sc_horizons_add_store(&h, store, &err) != SC_DAMAGED || h.member_count != 0)
            fail_msg("\"%s\" is taken", texts[i]);
        assert_non_null(strstr(err.message, "is damaged"));
        sc_horizons_free(&h);
    }
    kit_remove(store);
}

/* Too many members would cost memory. */
static void more_than_there_can_be_are_refused(void **state)
{
    (void)state;
    struct sc_horizons h = {0};
    struct sc_member_horizon m = {0};
    struct sc_lane_holders l = {0};
    for (; m.lane < SC_HORIZONS_MAX; m.lane++)
        assert_int_equal(sc_horizons_add_member(&h, &m), SC_OK);
    for (; l.lane < SC_HORIZONS_MAX; l.lane++)
        assert_int_equal(sc_horizons_add_lane(&h, &l), SC_OK);
    assert_int_equal(sc_horizons_add_member(&h, &m), SC_LIMIT);
    assert_int_equal(sc_horizons_add_lane(&h, &l), SC_LIMIT);
    sc_horizons_free(&h);
}

/* ---- several ---- */

/* A horizon goes back when a gap is filled: then others may have heard of a greater one. */
static void its_own_store_tells_for_a_member(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_horizons file = ring_of(3, 2, (const uint64_t[]){100, 700, 50}), all = {0},
                       others = ring_of(3, 1, (const uint64_t[]){200, 900, 60});
    assert_int_equal(sc_horizons_write(store, &file, NULL, NULL), SC_OK);
    assert_int_equal(sc_store_set_horizon(store, 300, NULL, NULL), SC_OK);
    for (int first = 0; first < 2; first++) {
        if (first == 0)
            assert_int_equal(sc_horizons_add_store(&all, store, NULL), SC_OK);
        assert_int_equal(sc_horizons_add_all(&all, &others), SC_OK);
        if (first == 1)
            assert_int_equal(sc_horizons_add_store(&all, store, NULL), SC_OK);
        assert_true(all.members[0].horizon_ms == 200 && all.members[1].horizon_ms == 300 &&
                    all.members[2].horizon_ms == 60);
        check_lanes(&all, 200, 60, 60);
        sc_horizons_free(&all);
    }
    sc_horizons_free(&file);
    sc_horizons_free(&others);
    kit_remove(store);
}

/* Who the members are is told by the newest membership file; what it does not name tells nothing. */
static void the_newest_members_count(void **state)
{
    (void)state;
    const struct sc_member_horizon second = {.lane = 2, .horizon_ms = 40}, fourth = {.lane = 4};
    const struct sc_lane_holders lane = {.lane = 2, .count = 2, .holders = {2, 4}};
    for (int order = 0; order < 2; order++) {
        struct sc_horizons old = ring_of(3, 1, (const uint64_t[]){100, 300, 0}), fresh = {.version = 4},
                           all = {0};
        assert_int_equal(sc_horizons_add_member(&fresh, &second), SC_OK);
        assert_int_equal(sc_horizons_add_member(&fresh, &fourth), SC_OK);
        assert_int_equal(sc_horizons_add_lane(&fresh, &lane), SC_OK);
        assert_int_equal(sc_horizons_add_all(&all, order == 0 ? &old : &fresh), SC_OK);
        assert_int_equal(sc_horizons_add_all(&all, order == 0 ? &fresh : &old), SC_OK);
        assert_true(all.version == 4 && all.member_count == 2 && all.lane_count == 1);
        assert_true(all.members[0].horizon_ms == 300 && all.members[1].horizon_ms == 0);
        sc_horizons_free(&old);
        sc_horizons_free(&fresh);
        sc_horizons_free(&all);
    }
}

/* Its horizon is all that there is to know; beside a store of a cluster it says nothing of the others' lanes. */
static void a_store_without_members(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_horizons all = {0}, ring = ring_of(1, 1, (const uint64_t[]){100, 100, 0});
    assert_int_equal(sc_store_set_horizon(store, 500, NULL, NULL), SC_OK);
    assert_int_equal(sc_horizons_add_store(&all, store, NULL), SC_OK);
    assert_true(sc_horizons_of(&all, 1) == 500 && all.least_ms == 500 && all.kept_since_ms == 500);
    assert_int_equal(sc_horizons_add_all(&all, &ring), SC_OK);
    check_lanes(&all, 100, 0, 0);
    assert_true(all.least_ms == 0 && all.kept_since_ms == 100);
    sc_horizons_free(&all);
    sc_horizons_free(&ring);
    kit_remove(store);
}

UNIT(test_horizons)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_of_its_holders_excuses_a_lane),
        cmocka_unit_test(it_comes_back_from_the_file),
        cmocka_unit_test(what_makes_no_sense_is_damaged),
        cmocka_unit_test(more_than_there_can_be_are_refused),
        cmocka_unit_test(its_own_store_tells_for_a_member),
        cmocka_unit_test(the_newest_members_count),
        cmocka_unit_test(a_store_without_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
