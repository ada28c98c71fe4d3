// SPDX-License-Identifier: BSD-3-Clause
/* Ids that are remembered, against a set of them. */
#include "relay/remembered.h"
#include "store/span_set.h"
#include "store_kit.h"

static struct sc_span id(uint64_t stream, uint32_t lane, uint64_t sequence)
{
    return (struct sc_span){.stream = stream, .lane = lane, .sequence = sequence};
}

static struct sc_span any(uint64_t *random)
{
    return id(kit_random(random) % 3 * UINT64_C(0x100000001), (uint32_t)(kit_random(random) % 2),
              kit_random(random) % 100 + (kit_random(random) % 8 == 0 ? UINT64_MAX - 99 : 0));
}

static void expect_ranges(const struct sc_id_ranges *ranges)
{
    for (uint32_t i = 0; i < ranges->count; i++) {
        const struct sc_id_range *r = &ranges->list[i], *next = r + 1;
        assert_true(r->first <= r->last);
        if (i + 1 < ranges->count && r->stream == next->stream && r->lane == next->lane)
            assert_true(r->last < next->first && next->first - r->last > 1);
    }
}

static void the_same_as_a_set(void **state)
{
    (void)state;
    uint64_t random = 3;
    struct sc_remembered here = {0};
    struct sc_span_set set = {0};
    for (unsigned i = 0; i < 3000; i++) {
        bool fresh;
        struct sc_span asked = any(&random), added = any(&random);
        assert_int_equal(sc_remembered_has(&here, &asked), sc_span_set_has(&set, &asked));
        sc_remembered_add(&here, &added);
        assert_int_equal(sc_span_set_add(&set, &added, &fresh), SC_OK);
        assert_true(sc_remembered_has(&here, &added));
        expect_ranges(&here.newer);
    }
    assert_true(set.count > 700);
    sc_span_set_free(&set);
    sc_remembered_free(&here);
    struct sc_span first = id(0, 0, 0);
    assert_false(sc_remembered_has(&here, &first));
}

/* Two lanes of three streams, batches that overtake each other: a range for each. */
static void numbers_in_a_row_are_one_range(void **state)
{
    (void)state;
    struct sc_remembered here = {0};
    for (uint64_t i = 0; i < 600000; i++) {
        struct sc_span span = id(i % 3, i / 3 % 2, (i / 6) ^ 1);
        sc_remembered_add(&here, &span);
    }
    assert_int_equal(here.newer.count, 6);
    assert_int_equal(here.older.count, 0);
    sc_remembered_free(&here);
}

/* Who leaves gaps makes us forget, the oldest first, and never grow. */
static void it_is_bounded(void **state)
{
    (void)state;
    struct sc_remembered here = {0};
    const uint64_t count = 3 * SC_REMEMBERED_RANGES + 7;
    for (uint64_t i = 0; i < count; i++) {
        struct sc_span span = id(1, 1, 2 * i);
        sc_remembered_add(&here, &span);
        assert_true(here.newer.count <= SC_REMEMBERED_RANGES && here.older.count <= SC_REMEMBERED_RANGES);
    }
    for (uint64_t i = 0; i < count; i++) {
        struct sc_span span = id(1, 1, 2 * i), gap = id(1, 1, 2 * i + 1);
        assert_int_equal(sc_remembered_has(&here, &span), i >= 2 * SC_REMEMBERED_RANGES);
        assert_false(sc_remembered_has(&here, &gap));
    }
    sc_remembered_free(&here);
}

UNIT(test_remembered)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_as_a_set),
        cmocka_unit_test(numbers_in_a_row_are_one_range),
        cmocka_unit_test(it_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
