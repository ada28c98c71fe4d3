// SPDX-License-Identifier: BSD-3-Clause
/* Programs run side by side: what they write, how they end, and that none outlives its time. */
#include "base/ask.h"
#include "store_kit.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

static struct sc_ask shell(const char *script)
{
    struct sc_ask ask = {0};
    assert_true(sc_ask_word(&ask, "sh") && sc_ask_word(&ask, "-c") && sc_ask_word(&ask, script));
    return ask;
}

static void done(struct sc_ask *ask)
{
    sc_buf_free(&ask->answer);
    sc_buf_free(&ask->errors);
}

static void check_text(const struct sc_buf *got, const char *want)
{
    assert_int_equal(got->len, strlen(want));
    assert_memory_equal(got->len == 0 ? "" : (const char *)got->data, want, got->len);
}

static void answers(void **state)
{
    (void)state;
    struct sc_ask asks[5] = {shell("echo one; echo two >&2"), shell("exit 7"), shell("kill -TERM $$"),
                             shell("head -c 300000 /dev/zero; head -c 100000 /dev/zero >&2"), shell("")};
    asks[4].word_count = 0;
    assert_true(sc_ask_word(&asks[4], "/nonexistent/program"));
    sc_ask_all(asks, 5, 60000);
    check_text(&asks[0].answer, "one\n");
    check_text(&asks[0].errors, "two\n");
    assert_int_equal(asks[0].exit, 0);
    assert_int_equal(asks[1].exit, 7);
    assert_int_equal(asks[2].exit, 128 + SIGTERM);
    assert_int_equal(asks[3].answer.len, 300000);
    assert_int_equal(asks[3].errors.len, 4096);
    assert_int_equal(asks[4].failed, ENOENT);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(asks[i].pid == -1 && !asks[i].timed_out && !asks[i].too_long);
        done(&asks[i]);
    }
}

/* Each reads all of its own; one that reads nothing holds up nobody. */
static void input(void **state)
{
    (void)state;
    static char much[300001];
    struct sc_ask asks[4] = {shell("wc -c"), shell("cat"), shell("exit 3"), shell("cat")};
    memset(much, 'x', sizeof(much) - 1);
    asks[0].input = asks[2].input = much;
    asks[1].input = "what is it?";
    sc_ask_all(asks, 4, 60000);
    check_text(&asks[0].answer, "300000\n");
    check_text(&asks[1].answer, "what is it?");
    assert_int_equal(asks[2].exit, 3);
    check_text(&asks[3].answer, "");
    for (unsigned i = 0; i < 4; i++)
        done(&asks[i]);
}

/* What a program has started goes with it, also when it has closed its pipes. */
static void deadline(void **state)
{
    (void)state;
    struct sc_ask asks[3] = {shell("echo $$; sleep 1000; echo never"), shell("exec >&- 2>&-; sleep 1000"),
                             shell("echo quick")};
    sc_ask_all(asks, 3, 1500);
    assert_true(asks[0].timed_out && asks[1].timed_out && !asks[2].timed_out);
    assert_int_equal(asks[0].exit, 128 + SIGKILL);
    check_text(&asks[2].answer, "quick\n");
    sc_buf_append_u8(&asks[0].answer, 0);
    pid_t group = (pid_t)strtol((const char *)asks[0].answer.data, NULL, 10);
    assert_true(group > 1);
    uint64_t until = sc_clock_mono_ms() + 20000; /* its child is init's to bury */
    while (kill(-group, 0) == 0 && sc_clock_mono_ms() < until)
        usleep(10000);
    assert_int_equal(kill(-group, 0), -1);
    for (unsigned i = 0; i < 3; i++)
        done(&asks[i]);
}

/* Each says how many of the others run. */
static void so_many_at_once(void **state)
{
    enum { ASKS = 3 * SC_ASK_AT_ONCE };
    (void)state;
    static struct sc_ask asks[ASKS];
    char *folder = kit_folder(), script[600];
    unsigned long most = 0;
    snprintf(script, sizeof(script), "cd %s && : > $$ && set -- * && echo $# && sleep 0.1 && rm $$", folder);
    for (unsigned i = 0; i < ASKS; i++)
        asks[i] = shell(script);
    sc_ask_all(asks, ASKS, 60000);
    for (unsigned i = 0; i < ASKS; i++) {
        assert_true(asks[i].exit == 0 && asks[i].failed == 0 && !asks[i].timed_out);
        sc_buf_append_u8(&asks[i].answer, 0);
        unsigned long running = strtoul((const char *)asks[i].answer.data, NULL, 10);
        most = running > most ? running : most;
        done(&asks[i]);
    }
    assert_true(most > 1 && most <= SC_ASK_AT_ONCE);
    kit_remove(folder);
}

/* The time of those that wait begins with themselves. */
static void each_has_its_time(void **state)
{
    enum { ASKS = SC_ASK_AT_ONCE + 1 };
    (void)state;
    static struct sc_ask asks[ASKS];
    for (unsigned i = 0; i < ASKS; i++)
        asks[i] = shell(i + 1 < ASKS ? "exec sleep 1000" : "echo late");
    sc_ask_all(asks, ASKS, 1500);
    for (unsigned i = 0; i + 1 < ASKS; i++)
        assert_true(asks[i].timed_out);
    assert_false(asks[ASKS - 1].timed_out);
    check_text(&asks[ASKS - 1].answer, "late\n");
    for (unsigned i = 0; i < ASKS; i++)
        done(&asks[i]);
}

/* As a daemon's thread would have it run. */
static void surroundings(void **state)
{
    (void)state;
    char *const environment[] = {"PATH=/bin:/usr/bin", "SC_WINDOW=now", NULL};
    sigset_t all, before;
    struct sc_ask ask = shell("pwd; echo $SC_WINDOW $HOME; kill -TERM $$; echo still here");
    ask.folder = "/usr";
    ask.environment = environment;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    sc_ask_all(&ask, 1, 60000);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    check_text(&ask.answer, "/usr\nnow\n");
    assert_int_equal(ask.exit, 128 + SIGTERM);
    done(&ask);
}

static void nobody_hears(void **state)
{
    (void)state;
    struct sc_ask ask = shell("echo much && echo little >&2");
    ask.unheard = true;
    sc_ask_all(&ask, 1, 60000);
    assert_int_equal(ask.exit, 0);
    check_text(&ask.answer, "");
    check_text(&ask.errors, "little\n");
    done(&ask);
}

static void no_more_time(void **state)
{
    (void)state;
    const atomic_bool stop = true;
    struct sc_ask ask = shell("sleep 1000");
    ask.stop = &stop;
    sc_ask_all(&ask, 1, 600000);
    assert_true(ask.timed_out);
    done(&ask);
}

UNIT(test_ask)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),           cmocka_unit_test(input),
        cmocka_unit_test(deadline),          cmocka_unit_test(so_many_at_once),
        cmocka_unit_test(each_has_its_time), cmocka_unit_test(surroundings),
        cmocka_unit_test(no_more_time),      cmocka_unit_test(nobody_hears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
