// SPDX-License-Identifier: BSD-3-Clause
/* What a subcollector keeps of its members' horizons: the last that each told, also when it is away, and after a start. */
#include "relay/horizon_keeper.h"
#include "store_kit.h"

#include "base/clock.h"

enum { MEMBERS = 4, R = 2 };

static const char *const names[MEMBERS] = {"alpha", "beta", "gamma", "delta"};

struct node {
    char *path;
    struct sc_member members[MEMBERS];
    struct sc_cluster cluster;
    struct sc_horizon_keeper keeper;
    struct sc_facts *facts;
    uint64_t own_ms;
};

static void open_node(struct node *n)
{
    *n = (struct node){.path = kit_folder(), .facts = sc_facts_create()};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        n->members[i] =
            (struct sc_member){.lane = sc_cluster_lane(names[i]), .weight = 1, .subcollector = true};
        snprintf(n->members[i].name, sizeof(n->members[i].name), "%s", names[i]);
    }
    n->cluster = (struct sc_cluster){
        .version = 1, .format = 1, .replication = R, .members = n->members, .count = MEMBERS};
    sc_horizon_keeper_load(&n->keeper, n->path);
}

static void close_node(struct node *n)
{
    sc_horizon_keeper_free(&n->keeper);
    sc_facts_free(n->facts);
    kit_remove(n->path);
}

static void hear(struct node *n, unsigned i, uint64_t horizon_ms)
{
    struct sc_link_facts f = {.instance = i + 1, .horizon_ms = horizon_ms};
    snprintf(f.name, sizeof(f.name), "%s", names[i]);
    sc_facts_hear(n->facts, &f, sc_facts_now());
}

static struct sc_horizon_sources sources_of(const struct node *n, bool alone)
{
    return (struct sc_horizon_sources){.store = n->path,
                                       .cluster = &n->cluster,
                                       .node = n->members[0].lane,
                                       .own_ms = n->own_ms,
                                       .facts = alone ? NULL : n->facts};
}

/* A second of a node that hears of the others, or (`alone`) of nobody. */
static void tick(struct node *n, bool alone)
{
    const struct sc_horizon_sources s = sources_of(n, alone);
    struct sc_error err = {0};
    if (sc_horizon_keeper_tick(&n->keeper, &s, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static void start_again(struct node *n)
{
    sc_horizon_keeper_free(&n->keeper);
    n->keeper = (struct sc_horizon_keeper){0};
    sc_horizon_keeper_load(&n->keeper, n->path);
}

static void expect_file(const struct node *n, const uint64_t wanted[MEMBERS])
{
    struct sc_horizons h = {0};
    assert_int_equal(sc_horizons_read(n->path, &h, NULL), SC_OK);
    assert_int_equal(h.member_count, MEMBERS);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        assert_string_equal(h.members[i].name, names[i]);
        if (h.members[i].horizon_ms != wanted[i])
            fail_msg("%s: %llu", names[i], (unsigned long long)h.members[i].horizon_ms);
    }
    sc_horizons_free(&h);
}

static void the_last_word_of_each_is_kept(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    tick(&n, false);
    expect_file(&n, (const uint64_t[]){0, 0, 0, 0}); /* nobody was heard of: nothing is excused */
    n.own_ms = 70;
    hear(&n, 1, 50);
    hear(&n, 2, 60);
    tick(&n, false);
    expect_file(&n, (const uint64_t[]){70, 50, 60, 0});
    hear(&n, 1, 40); /* a gap was filled */
    tick(&n, false);
    expect_file(&n, (const uint64_t[]){70, 40, 60, 0});
    start_again(&n);
    assert_true(sc_horizon_keeper_least(&n.keeper) == 0);
    tick(&n, true); /* and all are away */
    expect_file(&n, (const uint64_t[]){70, 40, 60, 0});
    close_node(&n);
}

static void holders_are_those_of_the_ring(void **state)
{
    (void)state;
    struct node n;
    struct sc_horizons h = {0};
    open_node(&n);
    n.members[1].state = SC_MEMBER_GONE;
    n.members[1].subcollector = false;
    tick(&n, false);
    assert_int_equal(sc_horizons_read(n.path, &h, NULL), SC_OK);
    assert_true(h.version == 1 && h.node == n.members[0].lane);
    assert_int_equal(h.member_count, MEMBERS - 1); /* who is gone is not waited for */
    assert_int_equal(h.lane_count, MEMBERS);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        uint32_t holders[SC_CLUSTER_MAX_COPIES],
            count = sc_cluster_holders(&n.cluster, h.lanes[i].lane, holders);
        assert_int_equal(h.lanes[i].count, count);
        for (uint32_t k = 0; k < count; k++)
            assert_int_equal(h.lanes[i].holders[k], n.members[holders[k]].lane);
    }
    sc_horizons_free(&h);
    close_node(&n);
}

/* It is written when something changed, when the members did, and when it is gone. */
static void it_is_written_when_it_changes(void **state)
{
    (void)state;
    struct node n;
    char path[300];
    open_node(&n);
    snprintf(path, sizeof(path), "%s/" SC_HORIZONS_FILE, n.path);
    tick(&n, false);
    assert_int_equal(unlink(path), 0);
    tick(&n, false);
    assert_int_not_equal(access(path, F_OK), 0);
    n.cluster.version = 2;
    tick(&n, false);
    assert_int_equal(unlink(path), 0);
    sc_horizon_keeper_rewrite(&n.keeper);
    tick(&n, false);
    assert_int_equal(unlink(path), 0);
    n.own_ms = 5;
    tick(&n, false);
    expect_file(&n, (const uint64_t[]){5, 0, 0, 0});
    close_node(&n);
}

/* Lanes of the ring alpha, beta, gamma, delta that alpha is to hold: its own with beta, delta's with delta. */
static void what_others_keep_is_what_they_told_since(void **state)
{
    (void)state;
    struct node n;
    open_node(&n);
    const uint64_t before_ms = sc_clock_mono_ms();
    const struct sc_horizon_sources s = sources_of(&n, false), alone = sources_of(&n, true);
    assert_true(sc_horizon_keeper_others(&s, 1) == UINT64_MAX);
    hear(&n, 1, 50);
    hear(&n, 2, 90);                                            /* shares no lane */
    assert_true(sc_horizon_keeper_others(&s, 1) == UINT64_MAX); /* delta has not told */
    hear(&n, 3, 40);
    assert_true(sc_horizon_keeper_others(&s, before_ms) == 50);
    assert_true(sc_horizon_keeper_others(&s, sc_clock_mono_ms() + 1000) == UINT64_MAX);
    assert_true(sc_horizon_keeper_others(&alone, 0) == UINT64_MAX);
    n.cluster.replication = 1;
    assert_true(sc_horizon_keeper_others(&s, before_ms) == UINT64_MAX); /* nobody else has it */
    close_node(&n);
}

UNIT(test_horizon_keeper)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_word_of_each_is_kept),
        cmocka_unit_test(holders_are_those_of_the_ring),
        cmocka_unit_test(it_is_written_when_it_changes),
        cmocka_unit_test(what_others_keep_is_what_they_told_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
