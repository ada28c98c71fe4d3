// SPDX-License-Identifier: BSD-3-Clause
/* What is missing is named whoever has expired his copies, as long as not all have who should hold it. */
#include "source/expect.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define WINDOW(n) (UINT64_C(1800000000000) + (n)*UINT64_C(60000))
#define NOW       WINDOW(100)

enum { A = 1, B, C, D, MEMBERS = 4, WINDOWS = 4 };

struct answer {
    char text[2048];
    unsigned sentences;
};

static void take(void *arg, const char *sentence)
{
    struct answer *a = arg;
    size_t used = strlen(a->text);
    snprintf(a->text + used, sizeof(a->text) - used, "%s\n", sentence);
    a->sentences++;
}

/* Members on a ring, each lane held by its home and the next one; horizons are window numbers. */
static void add_ring(struct sc_expected *e, const unsigned horizons[MEMBERS])
{
    struct sc_horizons ring = {.version = 1};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        const struct sc_member_horizon m = {.lane = A + i,
                                            .horizon_ms = horizons[i] == 0 ? 0 : WINDOW(horizons[i])};
        const struct sc_lane_holders l = {
            .lane = A + i, .count = 2, .holders = {A + i, A + (i + 1) % MEMBERS}};
        assert_int_equal(sc_horizons_add_member(&ring, &m), SC_OK);
        assert_int_equal(sc_horizons_add_lane(&ring, &l), SC_OK);
    }
    assert_int_equal(sc_horizons_add_all(&e->horizons, &ring), SC_OK);
    sc_horizons_free(&ring);
}

/* In each window one batch of ten records a lane, and what the proxy dropped. */
static void add_tallies(struct sc_expected *e)
{
    const struct sc_stream open = {.proxy = "p", .stream = 9, .heard_ms = NOW};
    assert_int_equal(sc_expected_add_stream(e, &open), SC_OK);
    for (unsigned w = 0; w < WINDOWS; w++) {
        struct sc_tally t = {.proxy = "p", .stream = 9, .window_ms = WINDOW(w), .window_s = 60};
        for (uint32_t lane = A; lane <= D; lane++) {
            struct sc_tally_lane *l = sc_tally_lane(&t, lane);
            l->accepted = l->safe = (struct sc_tally_count){{1, 0}, {10, 0}};
        }
        assert_int_equal(sc_expected_add_tally(e, &t), SC_OK);
    }
}

static void find(struct sc_expected *e, uint32_t lane, unsigned window)
{
    const struct sc_held one = {9, WINDOW(window), 1, 10, lane};
    assert_int_equal(sc_expected_found_all(e, &one), SC_OK);
}

static struct answer judge(struct sc_expected *e)
{
    const struct sc_expected_range always = {.kind = SC_RECORDS_FLOWS, .end_ms = UINT64_MAX};
    struct answer a = {.text = ""};
    sc_expected_judge(e, &always, take, &a);
    sc_expected_free(e);
    return a;
}

/* Of windows 0 to 2 all but the lane of B are found, as A and D hold them; of window 3 all is. */
static struct answer answer_of(const unsigned horizons[MEMBERS])
{
    struct sc_expected e = {.now_ms = NOW};
    add_ring(&e, horizons);
    add_tallies(&e);
    for (unsigned w = 0; w < WINDOWS; w++) {
        for (uint32_t lane = A; lane <= D; lane++) {
            if (lane != B || w == 3)
                find(&e, lane, w);
        }
    }
    return judge(&e);
}

static void what_one_expired_is_named_all_the_same(void **state)
{
    (void)state;
    const struct answer nobody = answer_of((const unsigned[]){0, 0, 0, 0});
    const struct answer b_has = answer_of((const unsigned[]){0, 3, 0, 0});
    const struct answer others_have = answer_of((const unsigned[]){3, 3, 0, 3});
    assert_int_equal(nobody.sentences, 3);
    assert_non_null(strstr(nobody.text, "1 of 4 batches of proxy p are missing, with 10 records"));
    assert_string_equal(nobody.text, b_has.text);
    assert_int_equal(others_have.sentences, 3); /* their lanes are excused, and not counted any more */
    assert_non_null(strstr(others_have.text, "1 of 2 batches of proxy p are missing, with 10 records"));
}

static void what_all_holders_expired_is_excused(void **state)
{
    (void)state;
    assert_int_equal(answer_of((const unsigned[]){0, 2, 1, 0}).sentences, 2);
    assert_int_equal(answer_of((const unsigned[]){0, 1, 2, 0}).sentences, 2);
    assert_int_equal(answer_of((const unsigned[]){0, 3, 3, 0}).sentences, 0);
}

/* It is lost in no lane: it is said until all members are behind it. */
static void what_was_dropped_is_told_until_all_expired_it(void **state)
{
    (void)state;
    static const struct {
        unsigned horizons[MEMBERS];
        unsigned sentences;
    } cases[] = {{{0, 0, 0, 0}, 1}, {{3, 3, 3, 0}, 1}, {{3, 3, 3, 1}, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_expected e = {.now_ms = NOW};
        struct sc_tally t = {.proxy = "p", .stream = 9, .window_ms = WINDOW(0), .window_s = 60};
        const struct sc_stream closed = {.proxy = "p", .stream = 9, .heard_ms = NOW, .closed = true};
        add_ring(&e, cases[i].horizons);
        sc_tally_lane(&t, SC_DROPPED_LANE)->safe = (struct sc_tally_count){{1, 0}, {10, 0}};
        assert_int_equal(sc_expected_add_stream(&e, &closed), SC_OK);
        assert_int_equal(sc_expected_add_tally(&e, &t), SC_OK);
        assert_int_equal(judge(&e).sentences, cases[i].sentences);
    }
}

/* A store that knows no members, as all did in earlier versions. */
static void alone_its_horizon_holds_for_all_lanes(void **state)
{
    (void)state;
    struct sc_expected e = {.now_ms = NOW};
    const struct sc_horizons alone = {.alone_ms = WINDOW(3)};
    assert_int_equal(sc_horizons_add_all(&e.horizons, &alone), SC_OK);
    add_tallies(&e);
    for (uint32_t lane = A; lane <= D; lane++)
        find(&e, lane, 3);
    assert_int_equal(judge(&e).sentences, 0);
}

UNIT(test_expect)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_expired_is_named_all_the_same),
        cmocka_unit_test(what_all_holders_expired_is_excused),
        cmocka_unit_test(what_was_dropped_is_told_until_all_expired_it),
        cmocka_unit_test(alone_its_horizon_holds_for_all_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
