// SPDX-License-Identifier: BSD-3-Clause
/* The log: what one party can cause again and again takes a bounded number of lines, and none is left out in silence. */
#include "base/clock.h"
#include "base/log.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    char *text;
    size_t length;
    struct sc_log log;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){0};
    f->log = (struct sc_log){open_memstream(&f->text, &f->length), SC_LOG_DEBUG, sc_log_limits_create()};
    assert_non_null(f->log.stream);
    assert_non_null(f->log.limits);
}

static void end(struct fixture *f)
{
    fclose(f->log.stream);
    free(f->text);
    sc_log_limits_free(f->log.limits);
}

static unsigned count(const struct fixture *f, const char *what)
{
    unsigned n = 0;
    for (const char *at = f->text; at != NULL && (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static void come_and_go(const struct sc_log *log, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        sc_log(log, SC_LOG_INFO, "%u is connected", i);
        sc_log(log, SC_LOG_WARNING, "%u is disconnected", i);
    }
}

/* Whoever got a copy before, in another thread too. */
static void *write_at_each_level(void *arg)
{
    const struct sc_log *copy = arg;
    sc_log(copy, SC_LOG_ERROR, "an error");
    sc_log(copy, SC_LOG_INFO, "an info");
    return NULL;
}

static void a_level_reaches_all_copies(void **state)
{
    (void)state;
    struct fixture f;
    pthread_t other;
    begin(&f);
    struct sc_log copy = f.log;
    static const enum sc_log_level levels[] = {SC_LOG_ERROR, SC_LOG_INFO, SC_LOG_WARNING};
    for (unsigned i = 0; i < 3; i++) {
        sc_log_set_level(&f.log, levels[i]);
        write_at_each_level(&f.log);
        assert_int_equal(pthread_create(&other, NULL, write_at_each_level, &copy), 0);
        pthread_join(other, NULL);
    }
    assert_int_equal(count(&f, "an error"), 6);
    assert_int_equal(count(&f, "an info"), 2);
    end(&f);
}

static void each_format_has_its_lines(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    come_and_go(&f.log, SC_LOG_LINES);
    assert_int_equal(count(&f, "\n"), 2 * SC_LOG_LINES);
    come_and_go(&f.log, 1000);
    assert_int_equal(count(&f, "\n"), 2 * SC_LOG_LINES);
    sc_log(&f.log, SC_LOG_ERROR, "another thing");
    assert_int_equal(count(&f, "error another thing"), 1);
    end(&f);
}

static void what_is_left_out_is_told_once(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (unsigned minute = 1; minute <= 3; minute++) {
        uint64_t now = sc_clock_mono_ms();
        come_and_go(&f.log, SC_LOG_LINES + 100);
        sc_log_tell_left_out(&f.log, now + 1000);
        assert_int_equal(count(&f, "left out"), 2 * (minute - 1));
        sc_log_tell_left_out(&f.log, UINT64_MAX);
        sc_log_tell_left_out(&f.log, UINT64_MAX);
        assert_int_equal(count(&f, "info 119 is connected (the last of 100 like it that were left out)"),
                         minute);
        assert_int_equal(count(&f, "warning 119 is disconnected (the last of 100 like it"), minute);
        assert_int_equal(count(&f, "\n"), minute * (2 * SC_LOG_LINES + 2));
    }
    end(&f);
}

/* A complaint is made once a minute about each name, with its count. */
static void complaints_have_one_line_each(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (unsigned i = 0; i < 100; i++) {
        sc_log_complain(&f.log, SC_LOG_WARNING, "alpha", "%s is full", "alpha");
        sc_log_complain(&f.log, SC_LOG_WARNING, "beta", "%s is full", "beta");
        sc_log_complain(&f.log, SC_LOG_ERROR, "", "cannot write, %u", i);
    }
    assert_int_equal(count(&f, "\n"), 3);
    sc_log_tell_left_out(&f.log, UINT64_MAX);
    assert_int_equal(count(&f, "alpha is full (the last of 99 like it that were left out)"), 1);
    assert_int_equal(count(&f, "beta is full (the last of 99 like it that were left out)"), 1);
    assert_int_equal(count(&f, "cannot write, 99 (the last of 99 like it that were left out)"), 1);
    end(&f);
}

static void debug_lines_and_logs_without_limits_have_all(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (unsigned i = 0; i < 1000; i++)
        sc_log(&f.log, SC_LOG_DEBUG, "looked");
    assert_int_equal(count(&f, "debug looked"), 1000);
    const struct sc_log plain = {.stream = f.log.stream, .level = SC_LOG_INFO};
    come_and_go(&plain, 1000);
    assert_int_equal(count(&f, "connected"), 2000);
    end(&f);
}

static void *flap(void *log)
{
    come_and_go(log, 1000);
    return NULL;
}

/* No line is counted twice or lost between threads. */
static void threads_share_the_lines(void **state)
{
    (void)state;
    struct fixture f;
    pthread_t threads[4];
    begin(&f);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, flap, &f.log), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count(&f, "\n"), 2 * SC_LOG_LINES);
    sc_log_tell_left_out(&f.log, UINT64_MAX);
    assert_int_equal(count(&f, "(the last of 3980 like it that were left out)"), 2);
    end(&f);
}

UNIT(test_log)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_reaches_all_copies),
        cmocka_unit_test(each_format_has_its_lines),
        cmocka_unit_test(what_is_left_out_is_told_once),
        cmocka_unit_test(complaints_have_one_line_each),
        cmocka_unit_test(debug_lines_and_logs_without_limits_have_all),
        cmocka_unit_test(threads_share_the_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
