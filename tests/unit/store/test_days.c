// SPDX-License-Identifier: BSD-3-Clause
/* What is known of days: whatever happens in their folders, a listing of some times has each file that may have something of them. */
#include "store/days.h"

#include "store/catalogue.h"
#include "store/reader.h"
#include "store/store.h"
#include "store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <time.h>

enum { WINDOW_MS = 300000, DAY_MS = 86400000, DAYS = 4 };

struct model {
    char *store;
    uint64_t seed, flows;
};

static uint64_t some_window(struct model *m)
{
    return KIT_WINDOW + kit_random(&m->seed) % (DAYS * 3) * (DAY_MS / 3);
}

/* One flow, whose times may lie days apart from its window. */
static struct sc_batch *make_batch(struct model *m, uint64_t window_ms)
{
    static const struct sc_column_key keys[] = {{0, 152, 0, SC_COLUMN_UINT}, {0, 153, 0, SC_COLUMN_UINT}};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    batch->window_ms = window_ms;
    uint64_t first = window_ms - DAY_MS + kit_random(&m->seed) % (2 * DAY_MS);
    for (unsigned i = 0; i < 2; i++) {
        struct sc_column *c = sc_batch_begin(batch, keys[i], NULL, 8, 1);
        assert_non_null(c);
        sc_column_put_u64(c, first + i * (kit_random(&m->seed) % 60000));
    }
    sc_batch_commit(batch, 1);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, 5, m->flows++);
    return batch;
}

static void add(struct model *m, const char *store, bool seals)
{
    const struct sc_store_options options = {.window_s = 300};
    struct sc_store_writer *w = sc_store_writer_open(store, &options, NULL);
    assert_non_null(w);
    for (unsigned i = 0; i < 3; i++) {
        struct sc_batch *batch = make_batch(m, some_window(m));
        assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    if (seals)
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
}

static void list(const struct model *m, const struct sc_day_bounds *some, struct sc_catalogue *out)
{
    *out = (struct sc_catalogue){.replicas = true, .some = some};
    assert_int_equal(sc_catalogue_add(out, m->store, NULL), SC_OK);
    sc_catalogue_sort(out);
}

static const char *any_path(struct model *m, const struct sc_catalogue *all)
{
    return all->count == 0 ? NULL : all->files[kit_random(&m->seed) % all->count].path;
}

/* What retention, repair and an operator's hands do. */
static void meddle(struct model *m)
{
    struct sc_catalogue all;
    char other[PATH_MAX];
    list(m, NULL, &all);
    const char *path = any_path(m, &all);
    uint64_t what = kit_random(&m->seed) % 4;
    if (path != NULL && what == 0) {
        assert_int_equal(unlink(path), 0);
    } else if (path != NULL && what == 1) {
        snprintf(other, sizeof(other), "%s" SC_DAMAGED_SUFFIX, path);
        assert_int_equal(rename(path, other), 0);
    } else if (path != NULL && what == 2) {
        snprintf(other, sizeof(other), "%.*s-00000077" SC_SEGMENT_SUFFIX, (int)(strlen(path) - 4), path);
        assert_int_equal(rename(path, other), 0);
    } else {
        snprintf(other, sizeof(other), "%s/.replica/00000007", m->store);
        assert_int_equal(sc_io_make_folders(sc_io_system(), other, 0), 0);
        add(m, other, true);
    }
    sc_catalogue_free(&all);
}

static bool is_listed(const struct sc_catalogue *c, const char *path)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (strcmp(c->files[i].path, path) == 0)
            return true;
    }
    return false;
}

/* By the segment itself, flow by flow: every row group has one. */
static bool has_any(const char *path, const struct sc_day_bounds *b)
{
    struct sc_segment *s;
    bool any = false;
    assert_int_equal(sc_segment_open(path, &s, NULL), SC_OK);
    any = s->window_ms < b->end_ms && s->window_ms + WINDOW_MS > b->begin_ms;
    for (uint32_t g = 0; g < s->group_count; g++) {
        for (unsigned i = 0; i < SC_ROW_TIMES; i++) {
            const struct sc_time_range *t = &s->groups[g].times[i];
            any = any || (t->min <= t->max && t->min < b->end_ms && t->max >= b->begin_ms);
        }
    }
    sc_segment_close(s);
    return any;
}

/* @return files that were left out. */
static uint32_t check(struct model *m)
{
    uint64_t begin = KIT_WINDOW - 2 * DAY_MS + kit_random(&m->seed) % ((uint64_t)(DAYS + 3) * DAY_MS);
    static const uint64_t lengths[] = {1, 60000, WINDOW_MS, 3600000, DAY_MS};
    struct sc_day_bounds some = {begin, begin + lengths[kit_random(&m->seed) % 5]};
    struct sc_catalogue all, few;
    if (kit_random(&m->seed) % 10 == 0)
        some = (struct sc_day_bounds){0, UINT64_MAX};
    list(m, NULL, &all);
    list(m, &some, &few);
    for (uint32_t i = 0; i < few.count; i++)
        assert_true(is_listed(&all, few.files[i].path));
    for (uint32_t i = 0; i < all.count; i++) {
        if (has_any(all.files[i].path, &some))
            assert_true(is_listed(&few, all.files[i].path));
    }
    assert_int_equal(few.count + few.left_out, all.count);
    assert_int_equal(few.damaged_files, all.damaged_files);
    assert_int_equal(few.damaged_bytes, all.damaged_bytes);
    uint32_t left_out = few.left_out;
    sc_catalogue_free(&few);
    sc_catalogue_free(&all);
    return left_out;
}

static void nothing_is_left_out_that_is_wanted(void **state)
{
    (void)state;
    uint32_t left_out = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct model m = {.store = kit_folder(), .seed = seed};
        for (unsigned step = 0; step < 60; step++) {
            uint64_t what = kit_random(&m.seed) % 6;
            if (what <= 1)
                add(&m, m.store, what == 0);
            else if (what == 2)
                meddle(&m);
            else if (what == 3)
                (void)sc_days_make(m.store, 1 + (unsigned)(kit_random(&m.seed) % 3),
                                   kit_random(&m.seed) % 2 == 0, NULL);
            else if (what == 4)
                (void)sc_days_make(m.store, UINT_MAX, true, NULL);
            left_out += check(&m);
        }
        kit_remove(m.store);
    }
    assert_true(left_out > 1000);
}

static void set_changed(const char *path, int64_t seconds_ago)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    clock_gettime(CLOCK_REALTIME, &times[1]);
    times[1].tv_sec -= seconds_ago;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* KIT_WINDOW is of 2027-01-15. */
static void made_when_at_rest(void **state)
{
    (void)state;
    struct model m = {.store = kit_folder(), .seed = 5};
    const struct sc_store_options options = {.window_s = 300};
    struct sc_store_writer *w = sc_store_writer_open(m.store, &options, NULL);
    struct sc_batch *batch = make_batch(&m, KIT_WINDOW);
    char folder[PATH_MAX], file[PATH_MAX];
    struct stat st;
    assert_non_null(w);
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    sc_batch_free(batch);
    snprintf(folder, sizeof(folder), "%s/2027/01/15", m.store);
    assert_true(sc_day_path(folder, file));
    assert_false(sc_days_make(m.store, UINT_MAX, false, NULL)); /* it was changed just now */
    assert_int_not_equal(access(file, F_OK), 0);
    set_changed(folder, -3600); /* by a clock ahead of ours */
    assert_false(sc_days_make(m.store, UINT_MAX, false, NULL));
    assert_int_not_equal(access(file, F_OK), 0);
    set_changed(folder, 3);
    assert_true(sc_days_make(m.store, 0, false, NULL));
    assert_false(sc_days_make(m.store, 1, false, NULL));
    assert_int_equal(stat(folder, &st), 0);
    assert_true(sc_day_is_known(folder, &st));
    st.st_mtim.tv_nsec ^= 1;
    assert_false(sc_day_is_known(folder, &st));
    st.st_mtim.tv_nsec ^= 1;
    st.st_ino++;
    assert_false(sc_day_is_known(folder, &st));
    kit_wipe(folder);
    rmdir(folder);
    assert_false(sc_days_make(m.store, UINT_MAX, false, NULL));
    assert_int_not_equal(access(file, F_OK), 0); /* gone with the day */
    kit_remove(m.store);
}

struct full_io {
    struct sc_io io;
    struct sc_io_ops ops;
    uint32_t tried;
};

static int create_none(struct sc_io *io, const char *path)
{
    (void)path;
    ((struct full_io *)io)->tried++;
    return -ENOSPC;
}

/* Else a collector reads all days each minute, for nothing. */
static void full_disk(void **state)
{
    (void)state;
    struct model m = {.store = kit_folder(), .seed = 5};
    struct full_io full = {.io.ops = &full.ops, .ops = *sc_io_system()->ops};
    full.ops.create = create_none;
    for (unsigned i = 0; i < 12; i++)
        add(&m, m.store, true);
    assert_false(sc_days_make(m.store, 1, true, &full.io));
    assert_int_equal(full.tried, 1);
    assert_true(sc_days_make(m.store, 1, true, NULL));
    kit_remove(m.store);
}

/* Each byte: what is not whole is as good as nothing. */
static void damage(void **state)
{
    (void)state;
    struct model m = {.store = kit_folder(), .seed = 9};
    char folder[PATH_MAX] = "", file[PATH_MAX];
    struct sc_catalogue all;
    struct stat st;
    struct sc_day day;
    size_t length;
    add(&m, m.store, true);
    assert_false(sc_days_make(m.store, UINT_MAX, true, NULL));
    list(&m, NULL, &all);
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(all.files[0].path, '/') - all.files[0].path),
             all.files[0].path);
    sc_catalogue_free(&all);
    assert_int_equal(stat(folder, &st), 0);
    assert_true(sc_day_path(folder, file));
    assert_int_equal(sc_day_read(folder, &st, &day), SC_OK);
    assert_true(day.count != 0);
    sc_day_free(&day);
    uint8_t *bytes = kit_read_file(file, &length);
    for (size_t i = 0; i < length; i++) {
        bytes[i] ^= (uint8_t)(1 + i % 255);
        kit_write_file(file, bytes, length);
        assert_int_equal(sc_day_read(folder, &st, &day), SC_NOTFOUND);
        bytes[i] ^= (uint8_t)(1 + i % 255);
        kit_write_file(file, bytes, i);
        assert_int_equal(sc_day_read(folder, &st, &day), SC_NOTFOUND);
    }
    kit_write_file(file, bytes, length);
    assert_int_equal(sc_day_read(folder, &st, &day), SC_OK);
    sc_day_free(&day);
    free(bytes);
    kit_remove(m.store);
}

static void only_days_have_one(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_true(sc_day_path("/a/2027/01/15", path));
    assert_string_equal(path, "/a/.days/20270115");
    assert_true(sc_day_path("./2027/01/15", path));
    assert_false(sc_day_path("/2027/01", path));
    assert_false(sc_day_path("2027/01/15", path));
    assert_false(sc_day_path("/2027/01/15", path));
    assert_false(sc_day_path("/a/2027/1x/15", path));
    assert_false(sc_day_path("", path));
}

UNIT(test_days)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_left_out_that_is_wanted),
                                       cmocka_unit_test(made_when_at_rest), cmocka_unit_test(full_disk),
                                       cmocka_unit_test(damage), cmocka_unit_test(only_days_have_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
