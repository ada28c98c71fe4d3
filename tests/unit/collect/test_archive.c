// SPDX-License-Identifier: BSD-3-Clause
/* The command that gets windows: what it is given, what its end means, and when it is asked again. */
#include "collect/archive.h"
#include "store_kit.h"

#include "base/clock.h"

#define WINDOW_MS UINT64_C(1800000000000)

static struct sc_window_files window_of(const char *const *paths, uint32_t count, uint64_t mark)
{
    struct sc_window_files files = {.window_ms = WINDOW_MS, .mark = mark, .count = count};
    files.paths = calloc(count, sizeof(*files.paths));
    assert_non_null(files.paths);
    for (uint32_t i = 0; i < count; i++)
        files.paths[i] = strdup(paths[i]);
    return files;
}

static enum sc_status run(const char *script, uint32_t timeout_s, const char *store, struct sc_error *err)
{
    char *const words[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
    const struct sc_archive_command command = {words, timeout_s};
    struct sc_window_files files = window_of((const char *const[]){"2027/a b.scs", ".replica/x/c.scs"}, 2, 1);
    enum sc_status status = sc_archive_run(&command, store, &files, NULL, err);
    sc_window_files_free(&files);
    return status;
}

static void what_it_is_given(void **state)
{
    (void)state;
    char *store = kit_folder(), script[800];
    struct sc_error err = {0};
    snprintf(script, sizeof(script),
             "test \"$(pwd -P)\" = \"$SC_STORE\" && test \"$SC_WINDOW\" = 2027-01-15T08:00:00.000Z && test "
             "-n \"$PATH\" && "
             "test \"$(cat)\" = '2027/a b.scs\n.replica/x/c.scs' || { pwd; echo \"$SC_STORE $SC_WINDOW\"; "
             "exit 9; } >&2");
    if (run(script, 60, store, &err) != SC_OK)
        fail_msg("%s", err.message);
    kit_remove(store);
}

static void what_its_end_means(void **state)
{
    (void)state;
    static const struct {
        const char *script, *sentence;
    } cases[] = {
        {"exit 3", "the archive command ended with status 3"},
        {"echo first >&2; echo 'no room' >&2; echo answer; exit 1",
         "the archive command ended with status 1: no room"},
        {"kill -9 $$", "the archive command ended with status 137"},
        {"echo waits >&2; sleep 100", "the archive command took longer than 1 s, and was ended: waits"},
    };
    char *store = kit_folder();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_error err = {0};
        assert_int_equal(run(cases[i].script, i == 3 ? 1 : 60, store, &err), SC_IO);
        assert_string_equal(err.message, cases[i].sentence);
    }
    char *const words[] = {"/nonexistent/program", NULL};
    const struct sc_archive_command command = {words, 60};
    struct sc_window_files files = window_of((const char *const[]){"a"}, 1, 1);
    struct sc_error err = {0};
    assert_int_equal(sc_archive_run(&command, store, &files, NULL, &err), SC_NOTFOUND);
    assert_non_null(strstr(err.message, "/nonexistent/program cannot be run"));
    sc_window_files_free(&files);
    kit_remove(store);
}

/* ---- beside another thread ---- */

static void set(struct sc_archiver *a, const char *script)
{
    char *const words[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
    const struct sc_archive_command command = {script == NULL ? NULL : words, 60};
    assert_int_equal(sc_archiver_set(a, &command), SC_OK);
}

static struct sc_archiver_stats await(struct sc_archiver *a)
{
    struct sc_archiver_stats stats;
    do {
        usleep(2000);
        sc_archiver_get_stats(a, &stats);
    } while (stats.running);
    return stats;
}

/* Whether it took the window. */
static bool offer(struct sc_archiver *a, uint64_t mark, uint64_t now_ms)
{
    struct sc_window_files files = window_of((const char *const[]){"a"}, 1, mark);
    sc_archiver_offer(a, &files, now_ms);
    bool took = files.count == 0;
    sc_window_files_free(&files);
    return took;
}

static void one_window_after_the_other(void **state)
{
    (void)state;
    char *store = kit_folder();
    const struct sc_log log = {0}; /* silent */
    struct sc_archived got = {0};
    struct sc_archiver *a = sc_archiver_create(store, &log);
    assert_non_null(a);
    assert_false(sc_archiver_is_on(a) || sc_archiver_is_due(a, 0) || offer(a, 1, 0));
    set(a, "while ! test -e go; do sleep 0.01; done");
    assert_true(sc_archiver_is_on(a));
    assert_true(offer(a, 1, 0));
    assert_false(offer(a, 2, 0)); /* it is busy */
    sc_archiver_take(a, &got);
    assert_true(got.window_ms == 0);
    char path[300];
    snprintf(path, sizeof(path), "%s/go", store);
    kit_write_file(path, "", 0);
    assert_int_equal(await(a).windows, 1);
    assert_true(sc_archiver_is_due(a, 1));
    sc_archiver_take(a, &got);
    assert_true(got.window_ms == WINDOW_MS && got.mark == 1);
    got = (struct sc_archived){0};
    sc_archiver_take(a, &got); /* it is told once */
    assert_true(got.window_ms == 0);
    assert_true(offer(a, 2, 1));
    sc_archiver_free(a);
    kit_remove(store);
}

static void pauses_grow_until_it_succeeds(void **state)
{
    (void)state;
    char *store = kit_folder();
    const struct sc_log log = {0}; /* silent */
    uint64_t now_ms = 1000000, pause_ms = 10000;
    struct sc_archiver *a = sc_archiver_create(store, &log);
    assert_non_null(a);
    set(a, "exit 3");
    (void)sc_archiver_is_due(a, now_ms);
    for (unsigned i = 1; i < 13; i++) {
        assert_true(offer(a, 1, now_ms));
        struct sc_archiver_stats stats = await(a);
        assert_true(stats.failures == i && stats.windows == 0 && stats.problem[0] != '\0');
        assert_false(sc_archiver_is_due(a, now_ms));
        assert_false(sc_archiver_is_due(a, now_ms + pause_ms - 1) || offer(a, 1, now_ms + pause_ms - 1));
        assert_true(sc_archiver_is_due(a, now_ms + pause_ms));
        now_ms += pause_ms;
        pause_ms = pause_ms < 1800000 ? 2 * pause_ms : 3600000;
    }
    assert_true(offer(a, 1, now_ms));
    await(a);
    assert_false(sc_archiver_is_due(a, now_ms));
    set(a, "exit 0"); /* another command need not wait */
    assert_true(sc_archiver_is_due(a, now_ms) && !sc_archiver_is_due(a, now_ms));
    assert_true(offer(a, 1, now_ms));
    struct sc_archiver_stats stats = await(a);
    assert_true(stats.windows == 1 && stats.problem[0] == '\0');
    assert_true(offer(a, 2, now_ms));
    sc_archiver_free(a);
    kit_remove(store);
}

static void the_end_waits_for_nothing(void **state)
{
    (void)state;
    char *store = kit_folder();
    const struct sc_log log = {0}; /* silent */
    struct sc_archiver *a = sc_archiver_create(store, &log);
    assert_non_null(a);
    set(a, "sleep 1000");
    assert_true(offer(a, 1, 0));
    sc_archiver_free(a);
    kit_remove(store);
}

UNIT(test_archive)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_is_given),           cmocka_unit_test(what_its_end_means),
        cmocka_unit_test(one_window_after_the_other), cmocka_unit_test(pauses_grow_until_it_succeeds),
        cmocka_unit_test(the_end_waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
