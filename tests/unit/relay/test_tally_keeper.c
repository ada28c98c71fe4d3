// SPDX-License-Identifier: BSD-3-Clause
/* The tallies that a subcollector keeps: each proxy has a share of memory and of files, and is told of when it wants more. */
#include "store_kit.h"

#include "relay/tally_keeper.h"

#define WINDOW UINT64_C(1699999800000)
#define P      (UINT64_C(1) << 40) /* a stream */

static struct sc_link_tally tally(uint64_t stream, uint64_t window, uint64_t batches)
{
    return (struct sc_link_tally){.stream = stream,
                                  .window_ms = WINDOW + window * 60000,
                                  .window_s = 60,
                                  .lane = {.lane = 7, .accepted = {.batches = {batches}}}};
}

static enum sc_refusal tell(struct sc_tally_keeper *keeper, const char *proxy, uint64_t stream,
                            uint64_t window, uint64_t batches, uint64_t now_ms)
{
    const struct sc_link_tally t = tally(stream, window, batches);
    return sc_tally_keeper_take(keeper, proxy, &t, now_ms);
}

static uint64_t on_disk(const char *store, uint64_t stream, uint64_t window)
{
    char path[512];
    struct sc_tally read;
    sc_tally_path(store, stream, WINDOW + window * 60000, path, sizeof(path));
    if (sc_tally_read(path, &read, NULL) != SC_OK)
        return 0;
    uint64_t batches = read.lanes[0].accepted.batches[0];
    sc_tally_free(&read);
    return batches;
}

/* In whatever order they come, each is found again, and nothing is lost of what changes. */
static void any_order(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_tally_keeper keeper = {.store = store};
    for (uint64_t round = 1; round <= 3; round++) {
        for (uint64_t i = 0; i < 200; i++) {
            uint64_t window = i * 37 % 200, stream = window % 3;
            assert_int_equal(tell(&keeper, "p", stream, window, 10 - round, 1000 * round), SC_REFUSAL_NONE);
        }
        assert_int_equal(keeper.count, 200);
        assert_int_equal(keeper.changed, round == 1 ? 200 : 0);
        assert_true(sc_tally_keeper_write(&keeper, 1000 * round, 60000));
    }
    for (uint64_t window = 0; window < 200; window++)
        assert_int_equal(on_disk(store, window % 3, window), 9);
    sc_tally_keeper_free(&keeper);
    kit_remove(store);
}

/* A hundred thousand windows of one proxy: new ones at a rate, and no more than its share. Others tell theirs all the while. */
static void a_proxy_has_a_share(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_tally_keeper keeper = {.store = store};
    uint32_t taken = 0;
    for (uint64_t i = 0; i < 100000; i++)
        taken += tell(&keeper, "m", i, i, 1, 5000) == SC_REFUSAL_NONE;
    assert_int_equal(taken, SC_TALLIES_NEW);
    assert_int_equal(tell(&keeper, "p", P, 0, 3, 5000), SC_REFUSAL_NONE);
    for (uint64_t second = 0; second < 100; second++) {
        for (uint64_t i = 0; i < 2 * (uint64_t)SC_TALLIES_NEW; i++)
            taken += tell(&keeper, "m", 200000 + second * 1000 + i, i, 1, 10000 + second * 1000) ==
                     SC_REFUSAL_NONE;
        assert_int_equal(tell(&keeper, "p", P, second, 3, 10000 + second * 1000), SC_REFUSAL_NONE);
    }
    assert_int_equal(taken, SC_TALLIES_EACH);
    assert_int_equal(keeper.count, SC_TALLIES_EACH + 100);
    assert_int_equal(tell(&keeper, "m", 5, 5, 2, 200000), SC_REFUSAL_NONE); /* one that it has */
    sc_tally_keeper_free(&keeper);
    kit_remove(store);
}

/* Nobody is kept waiting by many files; what is not told any more makes room. */
static void room_comes_back(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_tally_keeper keeper = {.store = store};
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(tell(&keeper, "p", 1, i, 4, 1000), SC_REFUSAL_NONE);
    assert_false(sc_tally_keeper_write(&keeper, 1000, 0)); /* one at least */
    assert_int_equal(keeper.changed, 49);
    assert_true(sc_tally_keeper_write(&keeper, 1000, 60000));
    assert_int_equal(tell(&keeper, "p", 1, 49, 5, 500000), SC_REFUSAL_NONE);
    assert_true(sc_tally_keeper_write(&keeper, 700000, 60000));
    assert_int_equal(keeper.count, 1);
    assert_int_equal(on_disk(store, 1, 49), 5);
    assert_int_equal(tell(&keeper, "p", 1, 0, 3, 700000), SC_REFUSAL_NONE);
    assert_true(sc_tally_keeper_write(&keeper, 700000, 60000));
    assert_int_equal(on_disk(store, 1, 0), 4); /* numbers only grow */
    sc_tally_keeper_free(&keeper);
    kit_remove(store);
}

/* However many windows one proxy changes, and however often: what another tells is on the disk when each had its turn. */
static void tellers_take_turns(void **state)
{
    (void)state;
    enum { WINDOWS = 200, QUIET = 3 };
    static const char *const quiet[QUIET] = {"alpha", "gamma", "delta"};
    char *store = kit_folder();
    struct sc_tally_keeper keeper = {.store = store};
    for (uint64_t round = 1; round <= 5; round++) {
        for (uint64_t i = 0; i < WINDOWS; i++)
            assert_int_equal(tell(&keeper, "beta", 1, i, round * 1000, 1000 * round), SC_REFUSAL_NONE);
        for (uint64_t i = 0; i < QUIET; i++)
            assert_int_equal(tell(&keeper, quiet[i], UINT64_MAX - i, 0, round, 1000 * round),
                             SC_REFUSAL_NONE);
        for (uint64_t pass = 0; pass <= QUIET; pass++) { /* of one file each */
            for (uint64_t i = 0; i < WINDOWS; i++)
                (void)tell(&keeper, "beta", 1, i, round * 1000 + pass, 1000 * round);
            assert_false(sc_tally_keeper_write(&keeper, 1000 * round, 0));
        }
        for (uint64_t i = 0; i < QUIET; i++)
            assert_int_equal(on_disk(store, UINT64_MAX - i, 0), round);
    }
    sc_tally_keeper_free(&keeper);
    kit_remove(store);
}

/* Nor do a proxy's own windows wait for those of it that change all the time. */
static void the_longest_changed_comes_first(void **state)
{
    (void)state;
    enum { WINDOWS = 50 };
    char *store = kit_folder();
    struct sc_tally_keeper keeper = {.store = store};
    for (uint64_t pass = 1; pass <= WINDOWS; pass++) {
        for (uint64_t i = 0; i < WINDOWS; i++)
            assert_int_equal(tell(&keeper, "p", 1, i, pass, 1000), SC_REFUSAL_NONE);
        (void)sc_tally_keeper_write(&keeper, 1000, 0);
    }
    for (uint64_t i = 0; i < WINDOWS; i++)
        assert_true(on_disk(store, 1, i) != 0);
    sc_tally_keeper_free(&keeper);
    kit_remove(store);
}

/* Each is told for itself whether its words are on the disk; a stream that changes hands is the new owner's. */
static void settled_is_each_for_itself(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_tally_keeper keeper = {.store = store};
    assert_int_equal(tell(&keeper, "m", 1, 0, 4, 1000), SC_REFUSAL_NONE);
    assert_int_equal(tell(&keeper, "p", 2, 0, 4, 1000), SC_REFUSAL_NONE);
    assert_false(sc_tally_keeper_write(&keeper, 1000, 0));
    assert_true(sc_tally_keeper_settled(&keeper, "m") && !sc_tally_keeper_settled(&keeper, "p"));
    assert_true(sc_tally_keeper_settled(&keeper, "nobody"));
    assert_true(sc_tally_keeper_write(&keeper, 1000, 0));
    assert_int_equal(tell(&keeper, "renamed", 1, 0, 5, 2000), SC_REFUSAL_NONE);
    assert_true(sc_tally_keeper_settled(&keeper, "m") && !sc_tally_keeper_settled(&keeper, "renamed"));
    assert_int_equal(tell(&keeper, "again", 1, 0, 5, 2000), SC_REFUSAL_NONE); /* while it waits */
    assert_true(sc_tally_keeper_settled(&keeper, "renamed") && !sc_tally_keeper_settled(&keeper, "again"));
    assert_true(sc_tally_keeper_write(&keeper, 2000, 0));
    assert_true(sc_tally_keeper_settled(&keeper, "again"));
    assert_int_equal(on_disk(store, 1, 0), 5);
    assert_true(sc_tally_keeper_write(&keeper, 700000, 0)); /* forgets all: each has its share again */
    assert_int_equal(keeper.count, 0);
    sc_tally_keeper_free(&keeper);
    kit_remove(store);
}

UNIT(test_tally_keeper)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),
        cmocka_unit_test(a_proxy_has_a_share),
        cmocka_unit_test(room_comes_back),
        cmocka_unit_test(tellers_take_turns),
        cmocka_unit_test(the_longest_changed_comes_first),
        cmocka_unit_test(settled_is_each_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
