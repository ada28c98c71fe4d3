// SPDX-License-Identifier: BSD-3-Clause
/* The token bucket: never faster than asked, however the flows are cut. */
// clang-format off
// clang-format on

#include "export/pacer.h"

#include "unit.h"

#include <time.h>

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Seconds that `flows` take, spent `step` at a time. */
static double spend(uint64_t rate, uint64_t flows, uint64_t step)
{
    struct sc_pacer p;
    double start = now();
    sc_pacer_start(&p, rate);
    for (uint64_t n = 0; n < flows; n += step)
        sc_pacer_spend(&p, step);
    return now() - start;
}

static void test_not_faster_than_asked(void **state)
{
    (void)state;
    assert_true(spend(10000, 2000, 5) >= 0.1999);
    assert_true(spend(1000000, 200000, 500) >= 0.1999);
    assert_true(spend(7, 2, 1) >= 0.2856);
}

static void test_no_rate_no_wait(void **state)
{
    (void)state;
    assert_true(spend(0, 1000000, 1) < 5);
}

static void test_a_stall_is_caught_up_only_in_part(void **state)
{
    (void)state;
    struct sc_pacer p;
    sc_pacer_start(&p, 10000);
    nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    double start = now();
    for (int i = 0; i < 400; i++)
        sc_pacer_spend(&p, 10); /* 0.4 s worth; 0.1 s of the stall is given back */
    assert_true(now() - start >= 0.29);
}

static void test_chunks(void **state)
{
    (void)state;
    assert_int_equal(sc_pacer_chunk(0, 480), 480);
    assert_int_equal(sc_pacer_chunk(1, 480), 1);
    assert_int_equal(sc_pacer_chunk(1999, 480), 1);
    assert_int_equal(sc_pacer_chunk(100000, 480), 50);
    assert_int_equal(sc_pacer_chunk(100000000, 480), 480);
}

UNIT(test_pacer)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_faster_than_asked),
        cmocka_unit_test(test_no_rate_no_wait),
        cmocka_unit_test(test_a_stall_is_caught_up_only_in_part),
        cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
