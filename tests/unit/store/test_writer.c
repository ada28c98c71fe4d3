// SPDX-License-Identifier: BSD-3-Clause
/* The writing side of a store: what is appended is read at once, once, and in order; windows; seals;
 * leftovers. */
#include "store_kit.h"

#include "base/bounds.h"
#include "flow/gather.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define WINDOW(n) (KIT_WINDOW + (n)*UINT64_C(300000))

static struct sc_store_writer *open_store(const char *path)
{
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, &err);
    if (w == NULL)
        fail_msg("%s", err.message);
    return w;
}

static void append(struct sc_store_writer *w, uint64_t first_id, uint32_t rows, uint64_t window_ms)
{
    struct sc_error err = {0};
    struct sc_batch *batch = kit_batch(first_id, rows, window_ms);
    if (sc_store_writer_append(w, batch, &err) != SC_OK)
        fail_msg("%s", err.message);
    sc_batch_free(batch);
}

static void seal(struct sc_store_writer *w, uint64_t before_ms)
{
    struct sc_error err = {0};
    if (sc_store_writer_seal(w, before_ms, &err) != SC_OK)
        fail_msg("%s", err.message);
}

/* Scans: each flow below `rows` is there once, nothing is damaged. The caller frees. */
static void expect(struct kit_scan *scan, const char *path, uint64_t rows)
{
    kit_scan_store(scan, path, rows);
    for (uint64_t id = 0; id < rows; id++) {
        if (scan->seen[id] != 1)
            fail_msg("flow %llu is met %u times", (unsigned long long)id, scan->seen[id]);
    }
    assert_int_equal(scan->damaged, 0);
    assert_int_equal(scan->tails, 0);
}

static void expect_files(const char *path, uint64_t rows, uint32_t sealed, uint32_t live)
{
    struct kit_scan scan;
    expect(&scan, path, rows);
    assert_int_equal(scan.live, live);
    assert_int_equal(scan.segments - scan.live, sealed);
    kit_scan_free(&scan);
}

/* ---- appending ---- */

static void appended_rows_are_read_at_once(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    expect_files(path, 0, 0, 0);
    for (uint32_t i = 0; i < 5; i++) {
        append(w, i * 100, 100, WINDOW(0));
        expect_files(path, (i + 1) * 100, 0, 1);
    }
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    expect_files(path, 500, 0, 1);
    seal(w, UINT64_MAX);
    expect_files(path, 500, 1, 0);
    append(w, 500, 10, WINDOW(0)); /* late rows of a window that is sealed */
    expect_files(path, 510, 1, 1);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    expect_files(path, 510, 1, 1);
    kit_remove(path);
}

static void empty_batches_are_nothing(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    sc_batch_free(batch);
    seal(w, UINT64_MAX);
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    sc_store_writer_close(w, NULL);
    expect_files(path, 0, 0, 0);
    kit_remove(path);
}

/* Batches that bring no spans get them: numbered without gaps in the writer's own stream, at most 8,192 rows
 * each. */
static void spans_are_numbered(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 8192, 8193, 20000, 3};
    char *path = kit_folder();
    struct sc_store_options options = {.lane = 9};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
    uint64_t next = 0, stream = 0;
    assert_non_null(w);
    for (unsigned i = 0; i < 5; i++) {
        struct sc_batch *batch = kit_batch(0, rows[i], WINDOW(0));
        assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
        uint32_t first = 0;
        for (uint32_t k = 0; k < batch->span_count; k++) {
            const struct sc_span *s = &batch->spans[k];
            stream = next == 0 ? s->stream : stream;
            assert_true(s->sequence == next++ && s->stream == stream && s->lane == 9);
            assert_true(s->rows >= 1 && s->rows <= SC_SPAN_ROWS && s->first_row == first);
            first += s->rows;
        }
        assert_int_equal(first, rows[i]);
        sc_batch_free(batch);
    }
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

static void large_batches_are_cut(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    struct kit_scan scan;
    append(w, 0, 150000, WINDOW(0));
    struct sc_batch *batch =
        kit_batch(150000, 100000, WINDOW(0)); /* and one that has its spans, not of equal size */
    batch->span_count = 3;
    batch->spans = calloc(3, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    static const uint32_t first[] = {0, 40000, 65536, 100000};
    for (uint32_t i = 0; i < 3; i++)
        batch->spans[i] = (struct sc_span){
            .stream = 5, .sequence = i, .first_row = first[i], .rows = first[i + 1] - first[i]};
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    expect(&scan, path, 250000);
    assert_int_equal(scan.groups, 3 + 2);
    assert_false(scan.out_of_order);
    kit_scan_free(&scan);
    batch->spans[1].rows = 1; /* spans that do not cover the rows are nobody's batch */
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_LIMIT);
    sc_batch_free(batch);
    seal(w, UINT64_MAX);
    expect(&scan, path, 250000);
    assert_int_equal(scan.live, 0);
    assert_false(scan.out_of_order);
    kit_scan_free(&scan);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

/* The bytes of the only row group of the only file, in *out; whether it has a filter. */
static bool only_group(const char *path, struct sc_buf *out)
{
    struct sc_catalogue catalogue = {0};
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    assert_int_equal(sc_catalogue_add(&catalogue, path, NULL), SC_OK);
    assert_int_equal(catalogue.count, 1);
    assert_int_equal(sc_segment_open(catalogue.files[0].path, &segment, NULL), SC_OK);
    assert_int_equal(segment->group_count, 1);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_row_group_open(&context, segment, 0, &group, NULL), SC_OK);
    assert_int_equal(sc_row_group_bytes(group, out, NULL), SC_OK);
    bool filter = sc_row_group_filter(group) != NULL;
    sc_read_context_free(&context);
    sc_segment_close(segment);
    sc_catalogue_free(&catalogue);
    return filter;
}

/* What fills a row group is compressed when it is written, and copied by the seal; in a hurry the seal does it. */
static void full_row_groups_are_encoded_once(void **state)
{
    (void)state;
    for (int hurry = 0; hurry < 2; hurry++) {
        char *path = kit_folder();
        struct sc_store_writer *w = open_store(path);
        struct sc_buf live = {0}, sealed = {0};
        sc_store_writer_set_hurry(w, hurry != 0);
        append(w, 0, 60000, WINDOW(0));
        assert_int_equal(only_group(path, &live), hurry == 0);
        seal(w, UINT64_MAX);
        assert_true(only_group(path, &sealed));
        bool same = live.len == sealed.len && memcmp(live.data, sealed.data, live.len) == 0;
        assert_int_equal(same, hurry == 0);
        sc_buf_free(&live);
        sc_buf_free(&sealed);
        sc_store_writer_close(w, NULL);
        kit_remove(path);
    }
}

/* ---- windows and seals ---- */

static void windows_are_sealed_as_they_end(void **state)
{
    (void)state;
    char *path = kit_folder(), live[256];
    struct sc_store_writer *w = open_store(path);
    for (uint32_t i = 0; i < 12; i++)
        append(w, i * 50, 50, WINDOW(i % 3));
    expect_files(path, 600, 0, 3);
    seal(w, WINDOW(1));
    while (true) { /* in the background: a seal that has not come to its end shows neither less nor more */
        struct kit_scan scan;
        kit_scan_store(&scan, path, 600);
        bool done = scan.gone == 0 && scan.live == 2 && scan.segments == 3;
        kit_scan_free(&scan);
        if (done)
            break;
        usleep(1000);
    }
    expect_files(path, 600, 1, 2);
    seal(w, UINT64_MAX);
    expect_files(path, 600, 3, 0);
    /* Each window in its day, under a name that begins with its time. */
    snprintf(live, sizeof(live), "%s/2027/01/15", path);
    struct sc_catalogue catalogue = {0};
    assert_int_equal(sc_catalogue_add(&catalogue, live, NULL), SC_OK);
    sc_catalogue_sort(&catalogue);
    assert_int_equal(catalogue.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(catalogue.files[i].window_ms == WINDOW(i));
    sc_catalogue_free(&catalogue);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

static void seals_merge_small_row_groups(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    struct kit_scan scan;
    for (uint32_t i = 0; i < 60; i++)
        append(w, i * 70, 70, WINDOW(0));
    for (uint32_t i = 0; i < 20; i++)
        append(w, 4200 + i * 7000, 7000, WINDOW(1));
    expect(&scan, path, 144200);
    assert_int_equal(scan.groups, 80);
    kit_scan_free(&scan);
    seal(w, UINT64_MAX);
    expect(&scan, path, 144200);
    assert_int_equal(scan.groups, 1 + 3); /* 9 batches of 7,000 rows to a row group */
    assert_int_equal(scan.rows_stored, 144200);
    assert_false(scan.out_of_order);
    kit_scan_free(&scan);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

/* ---- what cannot be sealed ---- */

/* No temporary file can be made. */
static int create_no_temporary(struct sc_io *io, const char *path)
{
    return strstr(path, ".tmp") != NULL ? -EDQUOT : sc_io_system()->ops->create(io, path);
}

static uint64_t failures_of(struct sc_store_writer *w)
{
    struct sc_store_stats stats;
    sc_store_writer_stats(w, &stats);
    return stats.write_failures;
}

static void nap(void)
{
    static const struct timespec moment = {.tv_nsec = 2000000};
    nanosleep(&moment, NULL);
}

/* It is tried once more with the next seal, then it rests; who seals everything tries it, and hears the reason. */
static void what_cannot_be_sealed_says_why_and_rests(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_io_ops ops = *sc_io_system()->ops;
    struct sc_io io = {.ops = &ops};
    const struct sc_store_options options = {.io = &io};
    struct sc_error err = {0};
    ops.create = create_no_temporary;
    struct sc_store_writer *w = sc_store_writer_open(path, &options, &err);
    assert_non_null(w);
    append(w, 0, 10, WINDOW(0));
    for (uint64_t failed = 1; failed <= 2; failed++) {
        seal(w, WINDOW(1));
        while (failures_of(w) < failed)
            nap();
    }
    for (int i = 0; i < 20; i++) {
        nap();
        seal(w, WINDOW(1));
    }
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_FULL);
    assert_int_equal(failures_of(w), 3);
    assert_non_null(strstr(err.message, strerror(EDQUOT)));
    expect_files(path, 10, 0, 1);
    ops.create = sc_io_system()->ops->create;
    seal(w, UINT64_MAX);
    expect_files(path, 10, 1, 0);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    kit_remove(path);
}

/* A batch as an earlier decoder could make it: more columns, and more bytes, than a row group has. */
static void batches_are_cut_by_columns_and_bytes(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    struct sc_batch *batch = kit_batch(0, 1200, WINDOW(0));
    uint8_t *text = calloc(1, 60000);
    assert_non_null(text);
    for (uint32_t i = 0; i < 6000; i++) { /* each row has five columns that no other has */
        struct sc_column_key key = {5, (uint16_t)i, 0, SC_COLUMN_UINT};
        batch->rows = i / 5;
        struct sc_column *c = sc_batch_begin(batch, key, NULL, 2, 1);
        assert_non_null(c);
        sc_column_put_u64(c, i);
    }
    batch->rows = 0;
    struct sc_column_key key = {6, 1, 0, SC_COLUMN_BYTES};
    struct sc_column *c = sc_batch_begin(batch, key, NULL, 0, 1200);
    for (uint32_t row = 0; row < 1200; row++)
        assert_int_equal(sc_column_put_bytes(c, text, 60000), SC_OK);
    batch->rows = 1200;
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    assert_true(batch->span_count >= 1200 * 60000 / SC_BOUND_BATCH_BYTES);
    for (uint32_t i = 0; i < batch->span_count; i++) {
        struct sc_weight weight =
            sc_batch_weight((const struct sc_column *const *)batch->columns, batch->slots,
                            batch->spans[i].first_row, batch->spans[i].rows);
        assert_true(sc_bounds_hold(&sc_batch_bounds, &weight));
    }
    seal(w, UINT64_MAX);
    struct kit_scan scan;
    expect(&scan, path, 1200);
    assert_int_equal(scan.groups, 4); /* by columns: 400 rows and fewer in each */
    kit_scan_free(&scan);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    sc_batch_free(batch);
    free(text);
    kit_remove(path);
}

static void options_lie_beside_flows(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    struct sc_store_stats stats;
    for (uint32_t i = 0; i < 4; i++) {
        struct sc_batch *batch = kit_batch(i * 10, 10, WINDOW(0));
        batch->record_kind = i % 2 == 0 ? SC_RECORDS_FLOWS : SC_RECORDS_OPTIONS;
        assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    sc_store_writer_stats(w, &stats);
    assert_int_equal(stats.flows, 20);
    assert_int_equal(stats.options, 20);
    assert_int_equal(stats.row_groups, 4);
    seal(w, UINT64_MAX);
    struct kit_scan scan;
    expect(&scan, path, 40);
    assert_int_equal(scan.groups, 2);
    kit_scan_free(&scan);
    sc_store_writer_stats(w, &stats);
    assert_int_equal(stats.segments_sealed, 1);
    assert_int_equal(stats.write_failures + stats.sync_failures + stats.full_events, 0);
    assert_true(stats.bytes_written > 1000 && stats.last_sync_ms != 0);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

static void large_files_are_sealed_early(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_options options = {.seal_bytes = 20000};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
    assert_non_null(w);
    for (uint32_t i = 0; i < 20; i++) {
        append(w, i * 200, 200, WINDOW(0));
        seal(w, WINDOW(0)); /* the window is not over */
    }
    struct sc_store_stats stats = {0};
    while (stats.segments_sealed < 2) {
        usleep(1000);
        sc_store_writer_stats(w, &stats);
    }
    sc_store_writer_close(w, NULL);
    struct kit_scan scan;
    expect(&scan, path, 4000);
    assert_true(scan.segments - scan.live >= 2);
    kit_scan_free(&scan);
    kit_remove(path);
}

static void more_windows_than_open_files(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    for (uint32_t i = 0; i < 300; i++)
        append(w, i, 1, WINDOW(i % 100));
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    struct kit_scan scan;
    expect(&scan, path, 300);
    kit_scan_free(&scan);
    seal(w, UINT64_MAX);
    expect_files(path, 300, 100, 0);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

/* ---- several writers share a bound ---- */

enum { SHARED = 6 };

static struct sc_store_writer *open_sharing(const char *path, struct sc_open_files *files, struct sc_io *io)
{
    const struct sc_store_options options = {.open_files = files, .io = io};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
    assert_non_null(w);
    return w;
}

/* However many windows a writer writes in whatever order: no more are open than all may have, a quiet one keeps its file, and
 * nothing is lost. */
static void files_are_bounded_over_writers(void **state)
{
    (void)state;
    enum { BUSY = 3, WINDOWS = 20 };
    struct sc_open_files files = {.most = SHARED};
    char *paths[BUSY + 1];
    struct sc_store_writer *w[BUSY + 1];
    for (unsigned i = 0; i <= BUSY; i++) {
        paths[i] = kit_folder();
        w[i] = open_sharing(paths[i], &files, NULL);
    }
    const unsigned before = kit_open_files(SC_LIVE_SUFFIX);
    append(w[BUSY], 0, 10, WINDOW(0));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < BUSY * WINDOWS; i++) {
            append(w[i % BUSY], (round * WINDOWS + i / BUSY) * 10, 10, WINDOW(i / BUSY));
            assert_true(kit_open_files(SC_LIVE_SUFFIX) <= before + SHARED);
        }
        append(w[BUSY], 10 + round * 10, 10, WINDOW(0));
    }
    assert_int_equal(kit_open_files(SC_LIVE_SUFFIX), before + SHARED);
    for (unsigned i = 0; i < BUSY; i++)
        expect_files(paths[i], 2 * WINDOWS * 10, 0, 2 * WINDOWS);
    expect_files(paths[BUSY], 30, 0, 1);
    for (unsigned i = 0; i <= BUSY; i++) { /* who leaves gives back */
        assert_int_equal(sc_store_writer_close(w[i], NULL), SC_OK);
        kit_remove(paths[i]);
    }
    assert_null(files.writers);
    assert_int_equal(kit_open_files(SC_LIVE_SUFFIX), before);
}

static int never_synced(struct sc_io *io, int handle)
{
    (void)io;
    (void)handle;
    return -EIO;
}

/* A file that is closed for another's sake and could not be synced is told of to both: who wanted room, and who had it. */
static void what_is_closed_for_another_is_not_forgotten(void **state)
{
    (void)state;
    struct sc_io_ops ops = *sc_io_system()->ops;
    struct sc_io io = {.ops = &ops};
    struct sc_open_files files = {.most = 1};
    char *paths[] = {kit_folder(), kit_folder()};
    struct sc_store_writer *had = open_sharing(paths[0], &files, &io);
    struct sc_store_writer *wants = open_sharing(paths[1], &files, NULL);
    struct sc_batch *batch = kit_batch(0, 10, WINDOW(0));
    append(had, 0, 10, WINDOW(0));
    ops.datasync = never_synced;
    assert_int_equal(sc_store_writer_append(wants, batch, NULL), SC_IO);
    ops.datasync = sc_io_system()->ops->datasync;
    assert_int_equal(sc_store_writer_append(wants, batch, NULL), SC_OK);
    assert_int_equal(sc_store_writer_sync(wants, NULL), SC_OK);
    assert_int_equal(sc_store_writer_sync(had, NULL), SC_IO);
    assert_int_equal(sc_store_writer_sync(had, NULL), SC_OK);
    append(had, 10, 10, WINDOW(0));
    expect_files(paths[1], 10, 0, 1);
    sc_batch_free(batch);
    sc_store_writer_close(wants, NULL);
    sc_store_writer_close(had, NULL);
    kit_remove(paths[0]);
    kit_remove(paths[1]);
}

/* ---- a batch stored twice ---- */

static void retried_batches_count_once(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_writer *w = open_store(path);
    struct kit_scan scan;
    for (uint32_t i = 0; i < 6; i++) {
        struct sc_batch *batch = kit_batch(i * 100, 100, WINDOW(0));
        assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
        if (i % 2 == 0) /* the spans it got are its own for ever */
            assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    expect(&scan, path, 600);
    assert_int_equal(scan.rows_stored, 900);
    kit_scan_free(&scan);
    seal(w, UINT64_MAX);
    expect(&scan, path, 600);
    assert_int_equal(scan.rows_stored, 600);
    assert_false(scan.out_of_order);
    kit_scan_free(&scan);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

/* ---- other processes, and processes that died ---- */

static void one_writer_at_a_time(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = open_store(path);
    assert_null(sc_store_writer_open(path, NULL, &err));
    assert_int_equal(err.status, SC_TAKEN);
    assert_non_null(strstr(err.message, path));
    sc_store_writer_close(w, NULL);
    sc_store_writer_close(open_store(path), NULL);
    kit_remove(path);
}

static void leftovers_are_sealed(void **state)
{
    (void)state;
    char *path = kit_folder();
    for (uint32_t round = 0; round < 3; round++) {
        struct sc_store_writer *w = open_store(path);
        append(w, round * 30, 10, WINDOW(0));
        append(w, round * 30 + 10, 20, WINDOW(1));
        sc_store_writer_close(w, NULL);
    }
    expect_files(path, 90, 0, 6);
    struct sc_store_writer *w = open_store(path);
    append(w, 90, 5, WINDOW(1));
    seal(w, UINT64_MAX);
    expect_files(path, 95, 2, 0);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

static void copy_file(const char *from, const char *to)
{
    size_t length;
    uint8_t *bytes = kit_read_file(from, &length);
    kit_write_file(to, bytes, length);
    free(bytes);
}

/* A crash after the rename and before the live file was removed: its rows are not stored a second time. */
static void crash_in_the_middle_of_a_seal(void **state)
{
    (void)state;
    char *path = kit_folder(), saved[256], name[512];
    struct sc_catalogue catalogue = {0};
    struct sc_store_writer *w = open_store(path);
    snprintf(saved, sizeof(saved), "%s/saved", path);
    append(w, 0, 100, WINDOW(0));
    assert_int_equal(sc_catalogue_add(&catalogue, path, NULL), SC_OK);
    assert_int_equal(catalogue.count, 1);
    copy_file(catalogue.files[0].path, saved);
    seal(w, UINT64_MAX);
    sc_store_writer_close(w, NULL);
    copy_file(saved, catalogue.files[0].path);
    snprintf(name, sizeof(name), "%s/2027/01/15/.20270115T080000Z-00000000000000aa-00000001.tmp", path);
    copy_file(saved, name); /* and the file that the seal before that was writing */
    struct kit_scan scan;
    expect(&scan, path, 100);
    assert_int_equal(scan.rows_stored, 200);
    kit_scan_free(&scan);
    w = open_store(path);
    assert_int_not_equal(access(name, F_OK), 0);
    seal(w, UINT64_MAX);
    expect(&scan, path, 100);
    assert_int_equal(scan.rows_stored, 100);
    assert_int_equal(scan.segments, 1);
    kit_scan_free(&scan);
    sc_store_writer_close(w, NULL);
    sc_catalogue_free(&catalogue);
    kit_remove(path);
}

/* Live files as crashes leave them: empty, half a head, a head only, half a row group. */
static void torn_leftovers(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 5; kind++) {
        char *path = kit_folder();
        struct sc_catalogue catalogue = {0};
        struct sc_store_writer *w = open_store(path);
        append(w, 0, 40, WINDOW(0));
        append(w, 40, 40, WINDOW(0));
        sc_store_writer_close(w, NULL);
        assert_int_equal(sc_catalogue_add(&catalogue, path, NULL), SC_OK);
        off_t bytes = (off_t)catalogue.files[0].bytes;
        off_t lengths[] = {0, 33, 64, bytes / 2 + 100, bytes - 1};
        uint64_t rows[] = {0, 0, 0, 40, 40};
        assert_int_equal(truncate(catalogue.files[0].path, lengths[kind]), 0);
        w = open_store(path);
        append(w, rows[kind], 3, WINDOW(0));
        seal(w, UINT64_MAX);
        sc_store_writer_close(w, NULL);
        expect_files(path, rows[kind] + 3, 1, 0);
        char kept[4200];
        snprintf(kept, sizeof(kept), "%s.damaged", catalogue.files[0].path);
        assert_int_not_equal(access(kept, F_OK), 0);
        sc_catalogue_free(&catalogue);
        kit_remove(path);
    }
}

/* A live file with damage in its midst: what is whole is sealed, the file is kept for those who want to look.
 */
static void damaged_leftovers_are_kept(void **state)
{
    (void)state;
    char *path = kit_folder(), kept[4200];
    struct sc_catalogue catalogue = {0};
    struct sc_store_writer *w = open_store(path);
    append(w, 0, 40, WINDOW(0));
    append(w, 100, 40, WINDOW(0));
    append(w, 40, 40, WINDOW(0));
    sc_store_writer_close(w, NULL);
    assert_int_equal(sc_catalogue_add(&catalogue, path, NULL), SC_OK);
    int fd = open(catalogue.files[0].path, O_RDWR);
    assert_int_equal(pwrite(fd, "\x55\xaa\x55", 3, (off_t)catalogue.files[0].bytes / 2), 3);
    close(fd);
    w = open_store(path);
    seal(w, UINT64_MAX);
    sc_store_writer_close(w, NULL);
    expect_files(path, 80, 1, 0);
    snprintf(kept, sizeof(kept), "%s.damaged", catalogue.files[0].path);
    assert_int_equal(access(kept, F_OK), 0);
    sc_catalogue_free(&catalogue);
    kit_remove(path);
}

static void impossible_stores(void **state)
{
    (void)state;
    char *path = kit_folder(), file[256];
    struct sc_error err = {0};
    struct sc_store_options seven = {.window_s = 7};
    snprintf(file, sizeof(file), "%s/file", path);
    kit_write_file(file, "x", 1);
    assert_null(sc_store_writer_open(file, NULL, &err));
    assert_non_null(strstr(err.message, file));
    assert_null(sc_store_writer_open("", NULL, &err));
    assert_int_equal(err.status, SC_USAGE);
    assert_null(sc_store_writer_open(path, &seven, &err));
    assert_int_equal(err.status, SC_USAGE);
    snprintf(file, sizeof(file), "%s/a/b/c", path); /* created when missing */
    sc_store_writer_close(open_store(file), NULL);
    kit_remove(path);
}

/* ---- readers beside the writer ---- */

enum { LOOKS = 400 };

struct watched {
    char *path;
    atomic_uint appended;
    atomic_bool done;
};

/* Each look counts every flow that was appended before it began, and none twice. */
static void *watch(void *arg)
{
    struct watched *watched = arg;
    bool last = false;
    while (!last) {
        struct kit_scan scan;
        last = atomic_load(&watched->done);
        unsigned least = atomic_load(&watched->appended);
        kit_scan_store(&scan, watched->path, LOOKS * 20);
        unsigned most = atomic_load(&watched->appended) + 20;
        for (unsigned id = 0; scan.gone == 0 && id < LOOKS * 20; id++) {
            if (scan.seen[id] > 1 || (id < least && scan.seen[id] == 0) || (id >= most && scan.seen[id] != 0))
                fail_msg("flow %u of %u to %u is met %u times", id, least, most, scan.seen[id]);
        }
        assert_int_equal(scan.damaged, 0);
        last = last && scan.gone == 0;
        kit_scan_free(&scan);
    }
    return NULL;
}

static void readers_beside_the_writer(void **state)
{
    (void)state;
    struct watched watched = {.path = kit_folder()};
    pthread_t thread;
    struct sc_store_writer *w = open_store(watched.path);
    assert_int_equal(pthread_create(&thread, NULL, watch, &watched), 0);
    for (unsigned i = 0; i < LOOKS; i++) {
        append(w, i * 20, 20, WINDOW(i / 4));
        atomic_store(&watched.appended, (i + 1) * 20);
        seal(w, WINDOW(i / 4));
    }
    seal(w, UINT64_MAX);
    atomic_store(&watched.done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    sc_store_writer_close(w, NULL);
    kit_remove(watched.path);
}

UNIT(test_writer)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_rows_are_read_at_once),
        cmocka_unit_test(empty_batches_are_nothing),
        cmocka_unit_test(spans_are_numbered),
        cmocka_unit_test(large_batches_are_cut),
        cmocka_unit_test(full_row_groups_are_encoded_once),
        cmocka_unit_test(windows_are_sealed_as_they_end),
        cmocka_unit_test(seals_merge_small_row_groups),
        cmocka_unit_test(what_cannot_be_sealed_says_why_and_rests),
        cmocka_unit_test(batches_are_cut_by_columns_and_bytes),
        cmocka_unit_test(options_lie_beside_flows),
        cmocka_unit_test(large_files_are_sealed_early),
        cmocka_unit_test(more_windows_than_open_files),
        cmocka_unit_test(files_are_bounded_over_writers),
        cmocka_unit_test(what_is_closed_for_another_is_not_forgotten),
        cmocka_unit_test(retried_batches_count_once),
        cmocka_unit_test(one_writer_at_a_time),
        cmocka_unit_test(leftovers_are_sealed),
        cmocka_unit_test(crash_in_the_middle_of_a_seal),
        cmocka_unit_test(torn_leftovers),
        cmocka_unit_test(damaged_leftovers_are_kept),
        cmocka_unit_test(impossible_stores),
        cmocka_unit_test(readers_beside_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
