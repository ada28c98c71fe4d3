// SPDX-License-Identifier: BSD-3-Clause
/*
 * A store of many more files than a process may open is read like any other. What keeps its descriptor is read whatever becomes of
 * its name; of what does not, the reader is told when it went away.
 */
#include "query_kit.h"

#include <dirent.h>
#include <sys/resource.h>

enum { WINDOWS = 200, ROWS = 3, DESCRIPTORS = 64 };

#define WINDOW(n) (KIT_WINDOW + (n)*UINT64_C(300000))

static char *store;

static int make_store(void **state)
{
    (void)state;
    store = kit_folder();
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, NULL);
    assert_non_null(w);
    for (unsigned i = 0; i < WINDOWS; i++) {
        struct sc_batch *batch = kit_batch((uint64_t)i * ROWS, ROWS, WINDOW(i));
        query_append(w, batch);
        sc_batch_free(batch);
        if (i != WINDOWS - 1)
            assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    }
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    return 0;
}

static int remove_store(void **state)
{
    (void)state;
    kit_remove(store);
    return 0;
}

/* @return what it was. */
static rlim_t limit_to(rlim_t most)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 3; /* itself, "." and ".." */
}

static uint64_t count_records(struct sc_source *source, unsigned threads)
{
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_groups *none[1];
    struct sc_error err = {0};
    if (sc_query_aggregate(source, &options, NULL, 0, 0, none, &summary, &stats, &err) != SC_OK)
        fail_msg("%s", err.message);
    return summary.records;
}

static void open_with(struct sc_source *source, const struct sc_source_bounds *bounds)
{
    const char *path = store;
    struct sc_error err = {0};
    if (sc_source_open(&path, 1, bounds, source, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static const struct sc_source_bounds everything = {0};

/* ---- many files ---- */

static void more_files_than_descriptors(void **state)
{
    (void)state;
    struct sc_source source;
    rlim_t before = limit_to(DESCRIPTORS);
    unsigned at_first = open_descriptors();
    open_with(&source, &everything);
    assert_int_equal(source.segment_count, WINDOWS);
    assert_true(open_descriptors() - at_first <= DESCRIPTORS / 4 + 1);
    for (unsigned threads = 1; threads <= 4; threads++)
        assert_int_equal(count_records(&source, threads), WINDOWS * ROWS);
    assert_int_equal(source.missing_count + source.damage_count, 0);
    sc_source_close(&source);
    assert_int_equal(open_descriptors(), at_first); /* those of the contexts too */
    limit_to(before);
}

/* Several stores, each batch in two of them: a plan reads the heads of all row groups. */
static void copies_are_planned(void **state)
{
    (void)state;
    struct sc_source source;
    char link[300];
    snprintf(link, sizeof(link), "%s/other", store);
    assert_int_equal(symlink(store, link), 0);
    const char *paths[] = {store, link};
    rlim_t before = limit_to(DESCRIPTORS);
    assert_int_equal(sc_source_open(paths, 2, &everything, &source, NULL), SC_OK);
    assert_int_equal(source.segment_count, 2 * WINDOWS);
    assert_int_equal(count_records(&source, 2), WINDOWS * ROWS);
    assert_int_equal(source.missing_count, 0);
    sc_source_close(&source);
    limit_to(before);
    assert_int_equal(unlink(link), 0);
}

/* ---- what is not asked for ---- */

static void what_is_not_asked_for_is_not_kept(void **state)
{
    (void)state;
    struct sc_source source;
    unsigned at_first = open_descriptors();
    open_with(&source, &(struct sc_source_bounds){.window_ms = WINDOW(50) + 7});
    assert_int_equal(open_descriptors() - at_first, 1);
    assert_int_equal(count_records(&source, 2), ROWS);
    sc_source_close(&source);
    uint64_t later = KIT_WINDOW + UINT64_C(30) * 86400000; /* no window is so long: not even opened */
    open_with(&source, &(struct sc_source_bounds){.window_ms = later});
    assert_int_equal(source.segment_count, 0);
    sc_source_close(&source);
}

/* ---- what goes away ---- */

static void unlink_segment(const struct sc_source *source, uint32_t i)
{
    assert_int_equal(unlink(source->segments[i]->path), 0);
}

static void what_is_kept_stays_readable(void **state)
{
    (void)state;
    struct sc_source source;
    open_with(&source, &everything);
    for (uint32_t i = 0; i < source.segment_count; i++)
        unlink_segment(&source, i);
    assert_int_equal(count_records(&source, 2), WINDOWS * ROWS);
    assert_int_equal(source.missing_count, 0);
    sc_source_close(&source);
}

static void what_went_away_is_told(void **state)
{
    (void)state;
    struct sc_source source;
    rlim_t before = limit_to(DESCRIPTORS);
    open_with(&source, &everything);
    unlink_segment(&source, 0);           /* it keeps its descriptor */
    unlink_segment(&source, WINDOWS - 2); /* it does not */
    unlink_segment(&source, WINDOWS - 1); /* a live file does */
    assert_int_equal(source.segments[WINDOWS - 2]->fd, -1);
    assert_int_equal(count_records(&source, 2), (WINDOWS - 1) * ROWS);
    assert_int_equal(source.missing_count, 1);
    assert_non_null(strstr(source.missing[0], "went away"));
    assert_non_null(strstr(source.missing[0], source.segments[WINDOWS - 2]->path));
    sc_source_close(&source);
    limit_to(before);
}

/* Another file under the same name, as a repair leaves it, is not taken for the one that was listed. */
static void another_file_is_told(void **state)
{
    (void)state;
    struct sc_source source;
    char kept[600];
    rlim_t before = limit_to(DESCRIPTORS);
    open_with(&source, &everything);
    const char *path = source.segments[WINDOWS - 3]->path;
    size_t length;
    uint8_t *bytes = kit_read_file(path, &length);
    snprintf(kept, sizeof(kept), "%s.damaged", path);
    assert_int_equal(rename(path, kept), 0);
    kit_write_file(path, bytes, length);
    free(bytes);
    assert_int_equal(count_records(&source, 2), (WINDOWS - 1) * ROWS);
    assert_int_equal(source.missing_count, 1);
    sc_source_close(&source);
    limit_to(before);
}

#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)

UNIT(test_descriptors)
{
    const struct CMUnitTest tests[] = {
        IN_STORE(more_files_than_descriptors),
        IN_STORE(copies_are_planned),
        IN_STORE(what_is_not_asked_for_is_not_kept),
        IN_STORE(what_is_kept_stays_readable),
        IN_STORE(what_went_away_is_told),
        IN_STORE(another_file_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
