// SPDX-License-Identifier: BSD-3-Clause
/*
 * A store answers alike whatever it is called and whatever it lies in: it is listed downwards, and never told by a name above it.
 * The same store is moved under random hostile names; queries, verification, elements and retention find the same each time.
 */
#include "query_kit.h"

#include "store/elements.h"
#include "store/loss.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

enum { WINDOWS = 4, ROWS = 20, ROUNDS = 60 };

#define WINDOW(n) (KIT_WINDOW + (n)*UINT64_C(300000))

/* What is found in a store or a part of it. */
struct answer {
    uint64_t records, segments, verified, kept, foreign, tallies, expirable;
    uint32_t elements;
};

static void seal_windows(const char *path, unsigned first, unsigned count, bool seal)
{
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, NULL);
    assert_non_null(w);
    for (unsigned i = first; i < first + count; i++) {
        struct sc_batch *batch = kit_batch((uint64_t)i * ROWS, ROWS, WINDOW(i));
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    if (seal)
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
}

/* Three sealed windows and a live one, one for another lane, a tally, elements, and what a repair kept. */
static void make_store(const char *path)
{
    char name[600];
    seal_windows(path, 0, WINDOWS - 1, true);
    seal_windows(path, WINDOWS - 1, 1, false);
    snprintf(name, sizeof(name), "%s/.replica", path);
    assert_int_equal(mkdir(name, 0750), 0);
    snprintf(name, sizeof(name), "%s/.replica/2026", path); /* a member may be called that */
    seal_windows(name, WINDOWS, 1, true);
    struct sc_tally_lane lane = {.lane = 7};
    const struct sc_tally tally = {
        .proxy = "p", .stream = 9, .window_ms = WINDOW(0), .window_s = 300, .lane_count = 1, .lanes = &lane};
    assert_int_equal(sc_tally_write(path, &tally, NULL, NULL), SC_OK);
    snprintf(name, sizeof(name), "%s/elements", path);
    const char *text =
        "# securitycloud elements 1\n64999 7 unsigned32 deltaCounter octets 1764055070000 mine\n";
    kit_write_file(name, text, strlen(text));
    snprintf(name, sizeof(name), "%s/2027/01/15/20270115T080000Z-0000000000000abc-00000001.scs.damaged",
             path);
    kit_write_file(name, "kept by a repair", 16);
    snprintf(name, sizeof(name), "%s/2027/01/15/20270115T080000Z-0000000000000abc-00000002.scs", path);
    assert_int_equal(symlink("nowhere", name), 0); /* is no file of ours, and hides none */
}

static void ask(const char *path, struct answer *out)
{
    struct sc_source source;
    struct sc_verify_report report;
    struct sc_catalogue catalogue = {.replicas = true};
    struct sc_ie_learned learned = {0};
    struct sc_expiry expiry = {0};
    const struct sc_retention retention = {.bytes = 1};
    *out = (struct answer){0};
    query_open(&source, path);
    for (uint32_t i = 0; i < source.group_count; i++)
        out->records += source.segments[source.groups[i].segment]->groups[source.groups[i].group].rows;
    out->segments = source.segment_count;
    sc_source_close(&source);
    assert_int_equal(sc_store_verify(path, NULL, NULL, &report, NULL), SC_OK);
    out->verified = report.rows;
    out->kept = report.kept_files;
    out->foreign = report.foreign_files;
    assert_int_equal(sc_catalogue_add(&catalogue, path, NULL), SC_OK);
    out->tallies = catalogue.tally_count;
    sc_catalogue_free(&catalogue);
    assert_int_equal(sc_elements_load(path, &learned, NULL), SC_OK);
    out->elements = learned.count;
    sc_ie_learned_free(&learned);
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        assert_int_equal(sc_store_expire(path, &retention, WINDOW(100), true, NULL, &expiry, NULL), SC_OK);
    out->expirable = expiry.windows;
}

/* The parts of the store, as they are asked for. */
static const char *const parts[] = {"", "/", "/2027", "/2027/01", "/2027/01/15", "/2027/01/15/"};
enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

static void ask_all(const char *store, struct answer answers[PARTS])
{
    char path[1200];
    for (unsigned i = 0; i < PARTS; i++) {
        snprintf(path, sizeof(path), "%s%s", store, parts[i]);
        ask(path, &answers[i]);
    }
}

/* ---- names ---- */

static const char *const hostile[] = {
    "2026",
    "0000",
    "11",
    "28",
    ".replica",
    ".streams",
    ".lost",
    "lane-00000001",
    "elements",
    "collector.lock",
    "horizon",
    "20270115T080000Z-0000000000000abc-00000001.scs",
    "a b",
    "new\nline",
    "\xff\xfe",
    "20270115T080000Z-x.sclive",
    "\xe2\x80\xae"
    "x",
    "-T",
    "x.damaged",
    ".tmp",
    "123",
    "20260",
    "'\"$(x)`",
    "%s%n",
};

static const char *random_name(uint64_t *seed)
{
    return hostile[kit_random(seed) % (sizeof(hostile) / sizeof(hostile[0]))];
}

/* Folders below `parent`; *store: where the store is to lie, which is not there yet. */
static void make_place(const char *parent, uint64_t *seed, char *store, size_t size)
{
    size_t at = (size_t)snprintf(store, size, "%s", parent);
    unsigned depth = 1 + (unsigned)(kit_random(seed) % 4);
    for (unsigned i = 0; i < depth; i++) {
        at += (size_t)snprintf(store + at, size - at, "/%s", random_name(seed));
        if (i + 1 < depth)
            assert_int_equal(mkdir(store, 0750), 0);
    }
}

static void check_answers(const char *store, const struct answer want[PARTS])
{
    struct answer got[PARTS];
    ask_all(store, got);
    for (unsigned i = 0; i < PARTS; i++) {
        if (memcmp(&got[i], &want[i], sizeof(got[i])) != 0)
            fail_msg("%s%s: %llu records of %llu, %u elements of %u, %llu windows expire of %llu", store,
                     parts[i], (unsigned long long)got[i].records, (unsigned long long)want[i].records,
                     got[i].elements, want[i].elements, (unsigned long long)got[i].expirable,
                     (unsigned long long)want[i].expirable);
    }
}

static void any_name_answers_alike(void **state)
{
    (void)state;
    uint64_t seed = 13;
    char *folder = kit_folder(), before[1000], after[1000];
    struct answer want[PARTS];
    snprintf(before, sizeof(before), "%s/store", folder);
    make_store(before);
    ask_all(before, want);
    assert_int_equal(want[0].records, (WINDOWS + 1) * ROWS);
    assert_int_equal(want[2].records, WINDOWS * ROWS);
    assert_true(want[0].verified == want[0].records && want[4].verified == want[2].records);
    assert_true(want[0].kept == 1 && want[0].tallies == 1 && want[4].elements == 1 && want[0].foreign == 1);
    assert_int_equal(want[0].expirable, WINDOWS);
    assert_int_equal(want[4].expirable, WINDOWS - 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char parent[300];
        snprintf(parent, sizeof(parent), "%s/%u", folder, round);
        assert_int_equal(mkdir(parent, 0750), 0);
        make_place(parent, &seed, after, sizeof(after));
        assert_int_equal(rename(before, after), 0);
        check_answers(after, want);
        memcpy(before, after, sizeof(before));
    }
    kit_remove(folder);
}

/* A segment alone, under any name. */
static void a_file_answers_alike(void **state)
{
    (void)state;
    uint64_t seed = 14;
    char *folder = kit_folder(), store[300], before[1000], after[1000];
    struct sc_catalogue catalogue = {0};
    snprintf(store, sizeof(store), "%s/2026", folder);
    make_store(store);
    assert_int_equal(sc_catalogue_add(&catalogue, store, NULL), SC_OK);
    sc_catalogue_sort(&catalogue);
    snprintf(before, sizeof(before), "%s", catalogue.files[0].path);
    sc_catalogue_free(&catalogue);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct answer got;
        char parent[300];
        snprintf(parent, sizeof(parent), "%s/%u", folder, round);
        assert_int_equal(mkdir(parent, 0750), 0);
        make_place(parent, &seed, after, sizeof(after));
        assert_int_equal(rename(before, after), 0);
        memcpy(before, after, sizeof(before));
        ask(after, &got);
        if (got.records != ROWS || got.verified != ROWS)
            fail_msg("%s: %llu records", after, (unsigned long long)got.records);
    }
    kit_remove(folder);
}

/* Nor is a folder taken for a store because stores, named with digits, lie in it. */
static void a_folder_of_stores_is_none(void **state)
{
    (void)state;
    char *folder = kit_folder(), path[300];
    struct sc_catalogue catalogue = {.replicas = true};
    struct sc_error err = {0};
    snprintf(path, sizeof(path), "%s/2026", folder);
    make_store(path);
    assert_int_equal(sc_catalogue_add(&catalogue, folder, &err), SC_NOT_OURS);
    assert_non_null(strstr(err.message, folder));
    assert_int_equal(catalogue.count, 0);
    sc_catalogue_free(&catalogue);
    kit_remove(folder);
}

/* ---- a folder that changes while it is listed ---- */

enum { SEALS = 60, OTHERS = 2000 };

static void name_file(char out[400], const char *day, unsigned i, const char *suffix)
{
    snprintf(out, 400, "%s/20270115T0800%02uZ-0000000000000abc-00000001.%s", day, i, suffix);
}

static void make_empty(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    close(fd);
}

/* As a seal does: the new name, then the old one goes. In pairs, so that two fall within a tick of the file system's clock. */
static void *seal_all(void *arg)
{
    const char *day = arg;
    char live[400], sealed[400], temporary[320];
    snprintf(temporary, sizeof(temporary), "%s/.one.tmp", day);
    for (unsigned i = 0; i < SEALS; i++) {
        const struct timespec pause = {.tv_nsec = i % 2 == 0 ? 200000 : 9000000};
        name_file(live, day, i, "sclive");
        name_file(sealed, day, i, "scs");
        make_empty(temporary);
        assert_int_equal(rename(temporary, sealed), 0);
        assert_int_equal(unlink(live), 0);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* @return whether all are sealed. Every window is seen at every moment, or it is said that the folder could not be listed. */
static bool list_all(const char *store)
{
    struct sc_catalogue catalogue = {0};
    uint32_t sealed = 0, windows = 0;
    assert_int_equal(sc_catalogue_add(&catalogue, store, NULL), SC_OK);
    sc_catalogue_sort(&catalogue);
    for (uint32_t i = 0; i < catalogue.count; i++) {
        sealed += catalogue.files[i].sealed;
        windows += i == 0 || catalogue.files[i].window_ms != catalogue.files[i - 1].window_ms;
    }
    assert_true(windows == SEALS || catalogue.unreadable != 0);
    bool over = sealed == SEALS && catalogue.count == SEALS;
    sc_catalogue_free(&catalogue);
    return over;
}

static void no_window_is_overlooked(void **state)
{
    (void)state;
    char *store = kit_folder(), day[300], path[400];
    pthread_t thread;
    snprintf(day, sizeof(day), "%s/15", store);
    assert_int_equal(mkdir(day, 0750), 0);
    for (unsigned i = 0; i < OTHERS; i++) { /* so that reading the folder takes several calls */
        snprintf(path, sizeof(path), "%s/a-file-with-a-rather-long-name-that-is-not-ours-%u", day, i);
        make_empty(path);
    }
    for (unsigned i = 0; i < SEALS; i++) {
        name_file(path, day, i, "sclive");
        make_empty(path);
    }
    assert_int_equal(pthread_create(&thread, NULL, seal_all, day), 0);
    while (!list_all(store))
        continue;
    pthread_join(thread, NULL);
    kit_remove(store);
}

/* ---- what a repair kept ---- */

static void keep(const char *store, const char *name, size_t bytes)
{
    char path[600];
    static const uint8_t zeros[65536];
    snprintf(path, sizeof(path), "%s/2027/01/15/%s", store, name);
    kit_write_file(path, zeros, bytes);
}

static void expire(const char *store, uint64_t bytes, uint64_t age_s, struct sc_expiry *out)
{
    const struct sc_retention retention = {.bytes = bytes, .age_s = age_s};
    assert_int_equal(sc_store_expire(store, &retention, WINDOW(3), false, NULL, out, NULL), SC_OK);
}

/* Damaged files count in the bytes of a store and go with their windows, also when nothing else is left of these. */
static void damaged_files_expire(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_expiry expiry;
    struct sc_verify_report report;
    seal_windows(store, 1, 2, true);
    keep(store, "20270115T080000Z-0000000000000abc-00000001.scs.damaged", 60000); /* window 0: nothing else */
    keep(store, "20270115T080500Z-0000000000000abc-00000001.sclive.damaged", 50000);
    assert_int_equal(sc_store_verify(store, NULL, NULL, &report, NULL), SC_OK);
    assert_true(report.kept_files == 2 && report.kept_bytes == 110000 && report.foreign_files == 0);
    expire(store, 1 << 20, 0, &expiry);
    assert_int_equal(expiry.files, 0);
    expire(store, 100000, 0, &expiry);
    assert_true(expiry.windows == 1 && expiry.files == 1 && expiry.bytes == 60000);
    assert_true(expiry.horizon_ms == WINDOW(1));
    expire(store, 0, 1, &expiry);
    assert_true(expiry.windows == 1 && expiry.files == 2 && expiry.bytes > 50000);
    assert_int_equal(sc_store_verify(store, NULL, NULL, &report, NULL), SC_OK);
    assert_true(report.kept_files == 0 && report.segments == 1);
    kit_remove(store);
}

UNIT(test_paths)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_name_answers_alike),     cmocka_unit_test(a_file_answers_alike),
        cmocka_unit_test(a_folder_of_stores_is_none), cmocka_unit_test(no_window_is_overlooked),
        cmocka_unit_test(damaged_files_expire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
