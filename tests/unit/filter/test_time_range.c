// SPDX-License-Identifier: BSD-3-Clause
/* Times and spans of the command line: every documented form, and the message of those that are none. */
#include "filter/time_range.h"

#include "base/clock.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 2026-11-23T10:11:12.345Z */
#define NOW UINT64_C(1795428672345)

static void check_point(const char *text, const char *expected)
{
    struct sc_error err = {0};
    uint64_t ms = 0;
    char shown[32];
    if (sc_time_parse(text, NOW, false, &ms, &err) != SC_OK)
        fail_msg("%s: %s", text, err.message);
    sc_time_format_utc(ms, shown, sizeof(shown));
    if (strcmp(shown, expected) != 0)
        fail_msg("%s is %s, want %s", text, shown, expected);
}

static void calendar_forms(void **state)
{
    (void)state;
    check_point("2026-11-23 10:00", "2026-11-23T10:00:00.000Z");
    check_point("2026-11-23T10:00:05", "2026-11-23T10:00:05.000Z");
    check_point("2026-11-23t10:00:05.25z", "2026-11-23T10:00:05.250Z");
    check_point("2026-11-23 10:00:05,123456", "2026-11-23T10:00:05.123Z");
    check_point("2026-11-23", "2026-11-23T00:00:00.000Z");
    check_point("2026/11/23.10:00:05", "2026-11-23T10:00:05.000Z");
    check_point("2026/11/23", "2026-11-23T00:00:00.000Z");
    check_point("202611231000", "2026-11-23T10:00:00.000Z");
    check_point("20261123100059", "2026-11-23T10:00:59.000Z");
    check_point("20261123", "2026-11-23T00:00:00.000Z");
    check_point("23.11.2026", "2026-11-23T00:00:00.000Z");
    check_point("1.2.2026 7:05", "2026-02-01T07:05:00.000Z");
    check_point("11/23/2026 10:00", "2026-11-23T10:00:00.000Z");
    check_point("  2024-02-29   23:59:59  ", "2024-02-29T23:59:59.000Z");
    check_point("2026-12-31 24:00", "2027-01-01T00:00:00.000Z");
    check_point("24:00 2026-12-31", "2027-01-01T00:00:00.000Z");
    check_point("24:00 31.12.2026", "2027-01-01T00:00:00.000Z");
    check_point("23:59:60 2016-12-31", "2017-01-01T00:00:00.000Z");
}

static void zones(void **state)
{
    (void)state;
    check_point("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z");
    check_point("2026-11-23T10:00:00+02:00", "2026-11-23T08:00:00.000Z");
    check_point("2026-11-23T10:00-0530", "2026-11-23T15:30:00.000Z");
    check_point("2026-11-23T10:00+01", "2026-11-23T09:00:00.000Z");
    check_point("2026-11-23 10:00 UTC", "2026-11-23T10:00:00.000Z");
    check_point("2026-11-23 10:00 gmt", "2026-11-23T10:00:00.000Z");
}

static void local_times(void **state)
{
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    check_point("2026-11-23 10:00 local", "2026-11-23T09:00:00.000Z");
    check_point("2026-07-01 10:00 local", "2026-07-01T08:00:00.000Z");
    uint64_t ms;
    assert_int_equal(sc_time_parse("2026-07-01 10:00", NOW, true, &ms, NULL), SC_OK);
    assert_int_equal(ms, 1782892800000u);
    assert_int_equal(sc_time_parse("2026-07-01 10:00Z", NOW, true, &ms, NULL), SC_OK);
    assert_int_equal(ms, 1782900000000u);
    /* 23:30 UTC is the next day there. */
    assert_int_equal(sc_time_parse("today", UINT64_C(1795476600000), true, &ms, NULL), SC_OK);
    assert_int_equal(ms, UINT64_C(1795474800000));
    unsetenv("TZ");
    tzset();
}

static uint64_t local_point(const char *text)
{
    uint64_t ms;
    if (sc_time_parse(text, NOW, true, &ms, NULL) != SC_OK)
        fail_msg("%s", text);
    return ms;
}

/* Each minute of the days on which clocks change: later texts mean no earlier time, whatever was asked before, and what is said
 * is what is shown, but for what the jump left out. */
static void clocks_that_change(void **state)
{
    (void)state;
    static const char *const zones[] = {"CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0",
                                        "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "UTC0"};
    static const char *const days[] = {"2026-03-29", "2026-10-25", "2026-03-08",
                                       "2026-11-01", "2026-04-05", "2026-10-04"};
    for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++) {
        setenv("TZ", zones[z], 1);
        tzset();
        for (size_t d = 0; d < sizeof(days) / sizeof(days[0]); d++) {
            uint64_t before = 0;
            for (unsigned minute = 0; minute < 24 * 60; minute++) {
                char text[32];
                snprintf(text, sizeof(text), "%s %02u:%02u", days[d], minute / 60, minute % 60);
                uint64_t ms = local_point(text);
                (void)local_point("2026-07-01 10:00"); /* leaves no trace */
                (void)local_point("2026-12-01 10:00");
                assert_int_equal(local_point(text), ms);
                assert_true(ms >= before);
                before = ms;
            }
        }
    }
    setenv("TZ", zones[0], 1);
    tzset();
    assert_int_equal(local_point("2026-10-25 02:00"), local_point("2026-10-25 00:00Z")); /* the earlier one */
    assert_int_equal(local_point("2026-10-25 03:00"), local_point("2026-10-25 02:00Z"));
    assert_int_equal(local_point("2026-03-29 02:30"), local_point("2026-03-29 01:00Z")); /* the jump */
    assert_int_equal(local_point("2026-03-29 03:00"), local_point("2026-03-29 01:00Z"));
    unsetenv("TZ");
    tzset();
}

static void relative_and_unix(void **state)
{
    (void)state;
    check_point("now", "2026-11-23T10:11:12.345Z");
    check_point("-90s", "2026-11-23T10:09:42.345Z");
    check_point("-15m", "2026-11-23T09:56:12.345Z");
    check_point("-1h", "2026-11-23T09:11:12.345Z");
    check_point("-1h30m", "2026-11-23T08:41:12.345Z");
    check_point("-2d", "2026-11-21T10:11:12.345Z");
    check_point("-1w", "2026-11-16T10:11:12.345Z");
    check_point("now - 1h", "2026-11-23T09:11:12.345Z");
    check_point("08:30", "2026-11-23T08:30:00.000Z");
    check_point("today", "2026-11-23T00:00:00.000Z");
    check_point("yesterday 12:00", "2026-11-22T12:00:00.000Z");
    check_point("@1795428672", "2026-11-23T10:11:12.000Z");
    check_point("@1795428672.5", "2026-11-23T10:11:12.500Z");
    check_point("@0", "1970-01-01T00:00:00.000Z");
    check_point("1795428672", "2026-11-23T10:11:12.000Z");
    check_point("1795428672345", "2026-11-23T10:11:12.345Z");
    check_point("-100000w", "1970-01-01T00:00:00.000Z");
}

static void bad_points(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "x",
        "2026-13-01",
        "2026-02-29",
        "2026-11-23 25:00",
        "2026-11-23 10:60",
        "10",
        "2026-11",
        "2026-11-23 2026-11-23",
        "10:00 11:00",
        "1969-12-31",
        "12345",
        "2026-11-23T10:00+15:00",
        "2026-11-23T10:00+14:01",
        "2026-11-23 10:00-12:01",
        "2026-11-23 14:20-14:21",
        "-1x",
        "-",
        "@",
        "@x",
        "2026-11-23 10:00 mars",
        "999999999999999",
        "2026-11-23 10:00 utc local",
        "utc",
        "32.1.2026",
        "2026-11-23 10:00:00 and something very long that cannot be a time at all, ever",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sc_error err = {0};
        uint64_t ms;
        if (sc_time_parse(bad[i], NOW, false, &ms, &err) != SC_USAGE)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(strstr(err.message, "-15m"));
    }
}

static void ranges(void **state)
{
    (void)state;
    uint64_t begin, end;
    struct sc_error err;
    assert_int_equal(sc_time_parse_range("2026-11-23 10:00#2026-11-23 10:05", NOW, false, &begin, &end, &err),
                     SC_OK);
    assert_int_equal(end - begin, 300000);
    assert_int_equal(sc_time_parse_range("-1h", NOW, false, &begin, &end, &err), SC_OK);
    assert_int_equal(begin, NOW - 3600000);
    assert_int_equal(end, NOW);
    assert_int_equal(sc_time_parse_range("-1h # -30m", NOW, false, &begin, &end, &err), SC_OK);
    assert_int_equal(end, NOW - 1800000);
    assert_int_equal(sc_time_parse_range("2026-11-23#+1d", NOW, false, &begin, &end, &err), SC_OK);
    assert_int_equal(end - begin, 86400000);
}

static void bad_ranges(void **state)
{
    (void)state;
    static const char *const bad[] = {"#now", "now#-1h", "now", "-1h#", "-1h#-1h", "2026-11-24", "-1h#+x"};
    uint64_t begin, end;
    struct sc_error err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (sc_time_parse_range(bad[i], NOW, false, &begin, &end, &err) != SC_USAGE)
            fail_msg("\"%s\" was taken", bad[i]);
    }
    assert_int_equal(sc_time_parse_range("2026-11-24", NOW, false, &begin, &end, &err), SC_USAGE);
    assert_non_null(
        strstr(err.message, "begins at 2026-11-24T00:00:00.000Z and ends at 2026-11-23T10:11:12.345Z (now)"));
}

static void spans(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"300", 300000},      {"5m", 300000},          {"1h30m", 5400000},
        {"250ms", 250},       {"2d", 172800000},       {"1w", 604800000},
        {"0.5", 500},         {"1.5h", 5400000},       {"0", 0},
        {"1h 5min", 3900000}, {"2 weeks", 1209600000}, {"10seconds", 10000},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ms = 1;
        assert_int_equal(sc_time_parse_span(good[i].text, &ms, NULL), SC_OK);
        assert_int_equal(ms, good[i].ms);
    }
    static const char *const bad[] = {"",     "x",           "5y", "-5m", "1h30", "m", "99999999999999999999",
                                      "1m x", "99999999999w"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ms;
        struct sc_error err;
        if (sc_time_parse_span(bad[i], &ms, &err) != SC_USAGE)
            fail_msg("span \"%s\" was taken", bad[i]);
        assert_non_null(strstr(err.message, "1h30m"));
    }
}

UNIT(test_time_range)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calendar_forms),
        cmocka_unit_test(zones),
        cmocka_unit_test(local_times),
        cmocka_unit_test(clocks_that_change),
        cmocka_unit_test(relative_and_unix),
        cmocka_unit_test(bad_points),
        cmocka_unit_test(ranges),
        cmocka_unit_test(bad_ranges),
        cmocka_unit_test(spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
