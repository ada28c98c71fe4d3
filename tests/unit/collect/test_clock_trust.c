// SPDX-License-Identifier: BSD-3-Clause
/* Whether a wall clock may say what is old: by others, by its own steps, and never before others were asked who are there. */
#include "collect/clock_trust.h"
#include "unit.h"

#include <string.h>

#define MONO UINT64_C(5000000)
#define WALL UINT64_C(1800000000000)
#define DAY  INT64_C(86400000)

struct node {
    struct sc_reference reference;
    struct sc_clock_trust trust;
};

static void open_node(struct node *n, bool others)
{
    *n = (struct node){0};
    sc_clock_trust_init(&n->trust, 60, &n->reference, others);
}

/* The other clocks are so far from what they should be. */
static void tell(struct node *n, int64_t ahead_ms)
{
    sc_reference_set(&n->reference, (int64_t)(WALL - MONO) + ahead_ms);
}

/* After so long, the own clock being so far ahead of what it should be. */
static enum sc_clock_state look(struct node *n, uint64_t after_ms, int64_t ahead_ms)
{
    return sc_clock_trust_look(&n->trust, MONO + after_ms, WALL + after_ms + (uint64_t)ahead_ms);
}

static void assert_says(const struct node *n, uint64_t after_ms, const char *sentence)
{
    char out[SC_CLOCK_WORDS_MAX];
    sc_clock_trust_say(&n->trust, MONO + after_ms, out);
    assert_string_equal(out, sentence);
}

/* A tenth of a window, and two seconds at least. */
static void tolerance(void **state)
{
    (void)state;
    static const struct {
        uint32_t window_s;
        int64_t most_ms;
    } cases[] = {{1, 2000}, {20, 2000}, {60, 6000}, {300, 30000}, {86400, 8640000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int sign = -1; sign < 2; sign += 2) {
            struct node n;
            open_node(&n, true);
            n.trust.tolerance_ms = sc_clock_tolerance_ms(cases[i].window_s);
            tell(&n, 0);
            assert_int_equal(look(&n, 0, sign * cases[i].most_ms), SC_CLOCK_BELIEVED);
            assert_int_equal(look(&n, 1000, sign * (cases[i].most_ms + 1)), SC_CLOCK_APART);
        }
    }
}

static void others_decide(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, true);
    tell(&n, 0);
    assert_int_equal(look(&n, 0, 2 * DAY), SC_CLOCK_APART); /* from the very start */
    assert_int_equal(look(&n, 35000, 2 * DAY), SC_CLOCK_APART);
    assert_int_equal(sc_clock_trust_doubt_ms(&n.trust, MONO + 35000), 35000);
    assert_says(
        &n, 35000,
        "nothing expires by age, for 35 s: this node's clock is 172800.000 s ahead of the median of the "
        "other members'");
    assert_int_equal(look(&n, 36000, -DAY), SC_CLOCK_APART);
    assert_says(
        &n, 36000,
        "nothing expires by age, for 36 s: this node's clock is 86400.000 s behind the median of the other "
        "members'");
    assert_int_equal(look(&n, 40000, 500), SC_CLOCK_BELIEVED);
    assert_int_equal(sc_clock_trust_doubt_ms(&n.trust, MONO + 40000), 0);
    assert_says(&n, 40000, "");
    tell(&n, DAY); /* it is not the own clock that moved: nobody knows */
    assert_int_equal(look(&n, 41000, 0), SC_CLOCK_APART);
    assert_int_equal(sc_clock_trust_doubt_ms(&n.trust, MONO + 42000), 1000);
}

/* Without others only a step is seen; a clock that creeps is followed. */
static void a_step(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, false);
    for (uint64_t s = 0; s < 100; s++)
        assert_int_equal(look(&n, 1000 * s, 100 * (int64_t)s), SC_CLOCK_BELIEVED);
    assert_int_equal(look(&n, 100000, 9900 + 6001), SC_CLOCK_STEPPED);
    assert_int_equal(look(&n, 86400000, 9900 + 6001), SC_CLOCK_STEPPED); /* no time heals it */
    assert_says(
        &n, 86400000,
        "nothing expires by age, for 86300 s: the clock was set 6.001 s forward; set it right, or start the "
        "collector anew if it is");
    assert_int_equal(look(&n, 86401000, 10000), SC_CLOCK_BELIEVED);
    assert_int_equal(look(&n, 86402000, 10000 - 3600000), SC_CLOCK_STEPPED);
    assert_says(
        &n, 86402000,
        "nothing expires by age, for 0 s: the clock was set 3600.000 s back; set it right, or start the "
        "collector anew if it is");
    tell(&n, 10000 - 3600000); /* others come, who say that it is right now */
    assert_int_equal(look(&n, 86403000, 10000 - 3600000), SC_CLOCK_BELIEVED);
    sc_reference_set(&n.reference, 0);
    assert_int_equal(look(&n, 86404000, 10000 - 3600000), SC_CLOCK_BELIEVED);
    sc_clock_trust_init(&n.trust, 60, NULL, false);
    assert_int_equal(look(&n, 0, 0), SC_CLOCK_BELIEVED);
}

/* A node whose clock was wrong when it lost the others does not believe it for that. */
static void cut_off(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, true);
    tell(&n, 0);
    assert_int_equal(look(&n, 0, 2 * DAY), SC_CLOCK_APART);
    sc_reference_set(&n.reference, 0);
    assert_int_equal(look(&n, 1000, 2 * DAY), SC_CLOCK_UNCONFIRMED);
    tell(&n, 0);
    assert_int_equal(look(&n, 2000, 0), SC_CLOCK_BELIEVED);
    assert_int_equal(look(&n, 3000, 2 * DAY), SC_CLOCK_APART);
    sc_reference_set(&n.reference, 0);
    assert_int_equal(look(&n, 4000, 2 * DAY), SC_CLOCK_STEPPED);
    assert_int_equal(sc_clock_trust_doubt_ms(&n.trust, MONO + 4000), 1000);
    assert_int_equal(look(&n, 5000, 0), SC_CLOCK_BELIEVED);
}

/* After a start nothing is old before others were heard of, who are members; a word on that is due when they should have been. */
static void before_others_were_heard_of(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, true);
    for (uint64_t s = 0; s < 10; s++) {
        assert_int_equal(look(&n, 1000 * s, 0), SC_CLOCK_UNCONFIRMED);
        assert_says(&n, 1000 * s, "");
    }
    assert_int_equal(look(&n, 10000, 0), SC_CLOCK_UNCONFIRMED);
    assert_says(&n, 10000,
                "nothing expires by age, for 10 s: the clocks of two other members were not heard of since "
                "the start");
    tell(&n, 0);
    assert_int_equal(look(&n, 11000, 0), SC_CLOCK_BELIEVED);
    sc_reference_set(&n.reference, 0); /* both end */
    assert_int_equal(look(&n, 12000, 0), SC_CLOCK_BELIEVED);
    open_node(&n, true);
    assert_int_equal(look(&n, 0, 0), SC_CLOCK_UNCONFIRMED);
    n.trust.others = false; /* the members are fewer now */
    assert_int_equal(look(&n, 1000, 0), SC_CLOCK_BELIEVED);
}

UNIT(test_clock_trust)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tolerance),
        cmocka_unit_test(others_decide),
        cmocka_unit_test(a_step),
        cmocka_unit_test(cut_off),
        cmocka_unit_test(before_others_were_heard_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
