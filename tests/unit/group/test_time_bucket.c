// SPDX-License-Identifier: BSD-3-Clause
/* Buckets by the wall clock of central Europe, whose clocks change on 2026-03-29 and 2026-10-25 at 01:00 UTC. */
#include "group/time_bucket.h"

#include "base/clock.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOUR UINT64_C(3600000)
#define DAY  (24 * HOUR)
/* 2026-03-29T00:00Z, 2026-10-25T00:00Z */
#define SPRING UINT64_C(1774742400000)
#define AUTUMN UINT64_C(1792886400000)

static int set_zone(void **state)
{
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return 0;
}

static void check(uint64_t size, uint64_t ms, const char *expected)
{
    struct sc_time_bucket fresh = {.size = size};
    char shown[32];
    sc_time_format_utc(sc_time_bucket_start(&fresh, ms), shown, sizeof(shown));
    if (strcmp(shown, expected) != 0)
        fail_msg("bucket of %llu is %s, want %s", (unsigned long long)ms, shown, expected);
}

static void a_day_begins_at_its_midnight(void **state)
{
    (void)state;
    check(DAY, SPRING - 2 * HOUR, "2026-03-27T23:00:00.000Z");
    check(DAY, SPRING - HOUR, "2026-03-28T23:00:00.000Z");
    check(DAY, SPRING + HOUR - 1, "2026-03-28T23:00:00.000Z");
    check(DAY, SPRING + 22 * HOUR - 1, "2026-03-28T23:00:00.000Z"); /* 23 hours */
    check(DAY, SPRING + 22 * HOUR, "2026-03-29T22:00:00.000Z");
    check(DAY, AUTUMN - 2 * HOUR, "2026-10-24T22:00:00.000Z");
    check(DAY, AUTUMN + 23 * HOUR - 1, "2026-10-24T22:00:00.000Z"); /* 25 hours */
    check(DAY, AUTUMN + 23 * HOUR, "2026-10-25T23:00:00.000Z");
}

static void parts_of_a_day_too(void **state)
{
    (void)state;
    check(6 * HOUR, SPRING, "2026-03-28T23:00:00.000Z");
    check(6 * HOUR, SPRING + 4 * HOUR - 1, "2026-03-28T23:00:00.000Z");
    check(6 * HOUR, SPRING + 4 * HOUR, "2026-03-29T04:00:00.000Z");
    check(6 * HOUR, AUTUMN + HOUR, "2026-10-24T22:00:00.000Z");
    check(6 * HOUR, AUTUMN + 5 * HOUR, "2026-10-25T05:00:00.000Z");
}

static void an_hour_that_comes_twice_is_two(void **state)
{
    (void)state;
    check(HOUR, AUTUMN + HOUR / 2, "2026-10-25T00:00:00.000Z");
    check(HOUR, AUTUMN + HOUR + HOUR / 2, "2026-10-25T01:00:00.000Z");
}

static void days_are_whole_for_many_times(void **state)
{
    (void)state;
    struct sc_time_bucket kept = {.size = DAY};
    for (uint64_t ms = SPRING; ms < SPRING + 300 * DAY; ms += 7 * 60000 + 13) {
        struct sc_time_bucket fresh = {.size = DAY};
        uint64_t start = sc_time_bucket_start(&kept, ms);
        time_t seconds = (time_t)(start / 1000);
        struct tm local;
        localtime_r(&seconds, &local);
        assert_int_equal(local.tm_hour * 60 + local.tm_min, 0);
        assert_int_equal(start, sc_time_bucket_start(&fresh, ms));
        assert_true(ms >= start && ms - start < 25 * HOUR);
    }
}

static void the_ends_of_time_are_no_trouble(void **state)
{
    (void)state;
    check(DAY, 0, "1970-01-01T00:00:00.000Z");
    struct sc_time_bucket day = {.size = DAY};
    assert_int_equal(sc_time_bucket_start(&day, UINT64_MAX), UINT64_MAX - UINT64_MAX % DAY);
}

static void which_sizes(void **state)
{
    (void)state;
    assert_false(sc_time_bucket_is_local(HOUR / 2));
    assert_true(sc_time_bucket_is_local(HOUR));
    assert_true(sc_time_bucket_is_local(DAY * 7));
    assert_false(sc_time_bucket_is_local(HOUR + 1));
}

UNIT(test_time_bucket)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_begins_at_its_midnight),    cmocka_unit_test(parts_of_a_day_too),
        cmocka_unit_test(an_hour_that_comes_twice_is_two), cmocka_unit_test(days_are_whole_for_many_times),
        cmocka_unit_test(the_ends_of_time_are_no_trouble), cmocka_unit_test(which_sizes),
    };
    return cmocka_run_group_tests(tests, set_zone, NULL);
}
