// SPDX-License-Identifier: BSD-3-Clause
/* The store thread over a disk that is full, fails to sync, or refuses for good: what is lost, and what is
 * said. */
#include "collect/storer.h"

#include "base/clock.h"
#include "store/hold.h"
#include "store/reader.h"
#include "store/tally.h"
#include "store_kit.h"

#include <errno.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- a disk with faults ---- */

struct faulty_io {
    struct sc_io io;
    struct sc_io_ops ops;
    atomic_bool full;         /* no segment has room; a file of a few bytes may find some */
    bool small[1024];         /* by handle */
    atomic_int failing_syncs; /* of so many the next ones fail */
};

static int faulty_create(struct sc_io *io, const char *path)
{
    int handle = sc_io_system()->ops->create(sc_io_system(), path);
    if (handle >= 0 && handle < 1024)
        atomic_store(&((struct faulty_io *)io)->small[handle],
                     strstr(path, ".scs") == NULL && strstr(path, ".sclive") == NULL);
    return handle;
}

static ssize_t faulty_write(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    struct faulty_io *f = (struct faulty_io *)io;
    if (atomic_load(&f->full) && !(handle < 1024 && atomic_load(&f->small[handle])))
        return -ENOSPC;
    return sc_io_system()->ops->write(sc_io_system(), handle, bytes, count);
}

static int faulty_sync(struct sc_io *io, int handle)
{
    struct faulty_io *f = (struct faulty_io *)io;
    if (atomic_load(&f->failing_syncs) > 0) {
        atomic_fetch_sub(&f->failing_syncs, 1);
        return -EIO;
    }
    return sc_io_system()->ops->datasync(sc_io_system(), handle);
}

static struct faulty_io *make_io(void)
{
    struct faulty_io *f = calloc(1, sizeof(*f));
    f->ops = *sc_io_system()->ops;
    f->ops.create = faulty_create;
    f->ops.write = faulty_write;
    f->ops.datasync = faulty_sync;
    f->io.ops = &f->ops;
    return f;
}

/* ---- what is in the store: rows by distinct batch id ---- */

struct seen {
    uint64_t stream, sequence;
};

static struct seen seen[10000];
static size_t seen_count;
static uint64_t rows_stored, rows_twice;

static void count_span(const struct sc_span *span)
{
    for (size_t i = 0; i < seen_count; i++) {
        if (seen[i].stream == span->stream && seen[i].sequence == span->sequence) {
            rows_twice += span->rows;
            return;
        }
    }
    assert_true(seen_count < sizeof(seen) / sizeof(seen[0]));
    seen[seen_count++] = (struct seen){span->stream, span->sequence};
    rows_stored += span->rows;
}

static int count_file(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)where;
    struct sc_segment *segment;
    struct sc_read_context context = {0};
    if (type != FTW_F || strstr(path, ".sc") == NULL)
        return 0;
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    for (uint32_t i = 0; i < segment->group_count; i++) {
        struct sc_row_group *group;
        assert_int_equal(sc_row_group_open(&context, segment, i, &group, NULL), SC_OK);
        for (uint32_t k = 0; k < group->span_count; k++)
            count_span(&group->spans[k]);
        sc_read_context_reset(&context);
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
    return 0;
}

static void count_rows(const char *store)
{
    seen_count = 0;
    rows_stored = 0;
    rows_twice = 0;
    assert_int_equal(nftw(store, count_file, 16, FTW_PHYS), 0);
}

/* ---- fixture ---- */

struct fixture {
    char *store;
    struct faulty_io *io;
    struct sc_pool *pool;
    struct sc_queue *queue;
    struct sc_storer *storer;
    uint64_t pushed;
};

static void set_up(struct fixture *f, bool import, uint64_t patience_ms)
{
    struct sc_error err;
    *f = (struct fixture){.store = kit_folder(), .io = make_io()};
    f->pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    f->queue = sc_queue_create(1 << 30);
    const struct sc_storer_options options = {.store = f->store,
                                              .window_s = 300,
                                              .queue = f->queue,
                                              .import = import,
                                              .patience_ms = patience_ms,
                                              .io = &f->io->io};
    if (sc_storer_start(&options, &f->storer, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static enum sc_status finish(struct fixture *f, bool seal, struct sc_storer_stats *stats)
{
    sc_queue_close(f->queue);
    enum sc_status status = sc_storer_finish(f->storer, seal, stats, NULL);
    count_rows(f->store);
    return status;
}

static void tear_down(struct fixture *f)
{
    sc_queue_free(f->queue);
    sc_pool_free(f->pool);
    kit_remove(f->store);
    free(f->io);
}

static void push(struct fixture *f, uint64_t window_ms, uint32_t rows)
{
    static const struct sc_column_key port = {.id = 7, .kind = SC_COLUMN_UINT};
    static const struct sc_column_key received = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_RECEIVE_TIME, .kind = SC_COLUMN_UINT};
    struct sc_parcel *parcel = sc_pool_take(f->pool);
    struct sc_column *ports = sc_batch_begin(parcel->batch, port, NULL, 2, rows);
    struct sc_column *times = sc_batch_begin(parcel->batch, received, NULL, 8, rows);
    for (uint32_t i = 0; i < rows; i++) {
        sc_column_put_u64(ports, i & 0xffff);
        sc_column_put_u64(times, window_ms + i);
    }
    sc_batch_commit(parcel->batch, rows);
    assert_int_equal(sc_batch_finish(parcel->batch), SC_OK);
    parcel->batch->window_ms = window_ms;
    assert_int_equal(sc_queue_push(f->queue, parcel, 0), SC_OK);
    f->pushed += rows;
}

static uint64_t this_window(void)
{
    uint64_t now = sc_clock_wall_ms();
    return now - now % 300000;
}

static void nap(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- tests ---- */

static void all_that_was_pushed_is_stored(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, false, 0);
    for (int i = 0; i < 20; i++)
        push(&f, this_window(), 1000);
    assert_int_equal(finish(&f, false, &stats), SC_OK);
    assert_int_equal(rows_stored, f.pushed);
    assert_int_equal(rows_twice, 0);
    assert_int_equal(stats.stores.store.segments_sealed, 0); /* live files stay live */
    assert_int_equal(stats.retries, 0);
    tear_down(&f);
}

static void wait_until_durable(struct fixture *f)
{
    struct sc_queue_stats held;
    uint64_t deadline = sc_clock_mono_ms() + 5000;
    do {
        nap(20);
        sc_queue_get_stats(f->queue, &held); /* a parcel is done when it is synced */
    } while (held.held != 0 && sc_clock_mono_ms() < deadline);
    assert_int_equal(held.held, 0);
}

static void what_was_pushed_is_durable_within_a_second(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, false, 0);
    push(&f, this_window(), 10);
    wait_until_durable(&f);
    count_rows(f.store);
    assert_int_equal(rows_stored, 10);
    assert_int_equal(finish(&f, false, NULL), SC_OK);
    tear_down(&f);
}

static void a_full_disk_loses_nothing_that_fits_in_memory(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, false, 0);
    push(&f, this_window(), 1000);
    nap(600);
    atomic_store(&f.io->full, true);
    for (int i = 0; i < 10; i++) {
        push(&f, this_window(), 1000);
        nap(100);
    }
    uint64_t deadline = sc_clock_mono_ms() + 5000;
    do {
        nap(50);
        sc_storer_get_stats(f.storer, &stats);
    } while (!stats.blocked && sc_clock_mono_ms() < deadline);
    assert_true(stats.blocked);
    assert_non_null(strstr(stats.problem, "No space left on device"));
    atomic_store(&f.io->full, false);
    push(&f, this_window(), 1000);
    assert_int_equal(finish(&f, false, &stats), SC_OK);
    assert_int_equal(rows_stored, f.pushed);
    assert_int_equal(stats.lost_records, 0);
    assert_true(stats.retries > 0);
    assert_true(stats.stores.store.full_events > 0);
    assert_false(stats.blocked);
    assert_string_equal(stats.problem, "");
    tear_down(&f);
}

/* Retention is what makes room, and needs none itself. It is set after its first turn: the next one would come in a minute. */
static void a_full_disk_is_made_room_on_by_retention(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    const struct sc_retention retention = {.bytes = 1};
    set_up(&f, false, 0);
    push(&f, this_window() - 3000000, 1000);
    push(&f, this_window() - 2700000, 1000);
    nap(1500);
    sc_storer_set_retention(f.storer, &retention);
    atomic_store(&f.io->full, true);
    push(&f, this_window(), 1000);
    uint64_t deadline = sc_clock_mono_ms() + 20000;
    do {
        nap(50);
        sc_storer_get_stats(f.storer, &stats);
    } while (stats.stores.expired_windows == 0 && sc_clock_mono_ms() < deadline);
    assert_int_equal(stats.stores.expired_windows, 1);
    assert_true(stats.blocked);
    atomic_store(&f.io->full, false);
    assert_int_equal(finish(&f, false, &stats), SC_OK);
    assert_int_equal(stats.lost_records, 0);
    assert_int_equal(rows_stored, 2000);
    tear_down(&f);
}

/* What lay in a file whose sync failed is stored again elsewhere, under the ids it had. */
static void a_failed_sync_loses_nothing_and_doubles_no_id(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, false, 0);
    push(&f, this_window(), 1000);
    nap(600);
    atomic_store(&f.io->failing_syncs, 2);
    for (int i = 0; i < 5; i++) {
        push(&f, this_window(), 1000);
        nap(300);
    }
    assert_int_equal(finish(&f, false, &stats), SC_OK);
    assert_int_equal(atomic_load(&f.io->failing_syncs), 0);
    assert_int_equal(rows_stored, f.pushed);
    assert_int_equal(stats.lost_records, 0);
    assert_true(stats.retries >= 1);
    tear_down(&f);
}

static uint64_t told_lost; /* records that the tallies of what was dropped have */

static int add_tally(const char *path, const struct stat *info, int type, struct FTW *where)
{
    struct sc_tally tally;
    size_t length = strlen(path), suffix = strlen(SC_TALLY_SUFFIX);
    (void)info;
    (void)where;
    if (type != FTW_F || length < suffix || strcmp(path + length - suffix, SC_TALLY_SUFFIX) != 0)
        return 0;
    assert_int_equal(sc_tally_read(path, &tally, NULL), SC_OK);
    told_lost += sc_tally_lane(&tally, SC_DROPPED_LANE)->accepted.records[SC_RECORDS_FLOWS];
    sc_tally_free(&tally);
    return 0;
}

/* What is lost with it is told by answers. */
static void a_disk_that_stays_full_is_given_up_at_the_end(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, false, 300);
    push(&f, this_window(), 1000);
    nap(700);
    atomic_store(&f.io->full, true);
    push(&f, this_window(), 500);
    assert_int_equal(finish(&f, false, &stats), SC_IO);
    assert_int_equal(rows_stored, 1000);
    assert_int_equal(stats.lost_records, 500);
    told_lost = 0;
    assert_int_equal(nftw(f.store, add_tally, 16, FTW_PHYS), 0);
    assert_int_equal(told_lost, 500);
    tear_down(&f);
}

static void wait_until_blocked(struct fixture *f)
{
    struct sc_storer_stats stats;
    uint64_t deadline = sc_clock_mono_ms() + 10000;
    do {
        nap(20);
        sc_storer_get_stats(f->storer, &stats);
    } while (!stats.blocked && sc_clock_mono_ms() < deadline);
    assert_true(stats.blocked);
}

/* However much waits behind what the disk refuses. */
static void a_full_disk_is_given_up_with_a_queue_behind_it(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, false, 300);
    alarm(60); /* rather than for ever */
    atomic_store(&f.io->full, true);
    for (int i = 0; i < 5; i++)
        push(&f, this_window(), 100);
    wait_until_blocked(&f);
    assert_int_equal(finish(&f, false, &stats), SC_IO);
    alarm(0);
    assert_int_equal(rows_stored, 0);
    assert_int_equal(stats.lost_records, 500);
    told_lost = 0;
    assert_int_equal(nftw(f.store, add_tally, 16, FTW_PHYS), 0);
    assert_int_equal(told_lost, 500);
    tear_down(&f);
}

/* Patience begins with the end: who makes room and ends the process loses nothing, however long the disk was full before. */
static void a_disk_with_room_again_is_tried_at_the_end(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, false, 300);
    atomic_store(&f.io->full, true);
    push(&f, this_window(), 1000);
    wait_until_blocked(&f);
    nap(3500); /* the pause between two tries is three seconds and more then */
    atomic_store(&f.io->full, false);
    assert_int_equal(finish(&f, false, &stats), SC_OK);
    assert_int_equal(rows_stored, 1000);
    assert_int_equal(stats.lost_records, 0);
    tear_down(&f);
}

static void an_import_is_sealed_whole(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, true, 0);
    for (uint64_t i = 0; i < 30; i++)
        push(&f, UINT64_C(1700006400000) + (i * 7 % 10) * 300000, 1000);
    assert_int_equal(finish(&f, true, &stats), SC_OK);
    assert_int_equal(rows_stored, f.pushed);
    assert_true(stats.stores.store.segments_sealed >= 10);
    tear_down(&f);
}

/* After all of it was deleted: the lock file is one that was made since. */
static bool is_made_anew(const struct fixture *f)
{
    char path[256];
    struct sc_storer_stats stats;
    sc_storer_get_stats(f->storer, &stats);
    snprintf(path, sizeof(path), "%s/collector.lock", f->store);
    return stats.stores.wiped != 0 && access(path, F_OK) == 0;
}

/* A store that is deleted under the thread is made anew; from then on all is stored, each row once, and before nothing is called so. */
static void a_deleted_store_is_made_anew(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    set_up(&f, false, 0);
    for (unsigned turn = 1; turn <= 2; turn++) {
        push(&f, this_window(), 1000);
        wait_until_durable(&f);
        kit_wipe(f.store);
        uint64_t before = sc_clock_mono_ms();
        push(&f, this_window(), 10 * turn);
        while (!is_made_anew(&f) && sc_clock_mono_ms() < before + 20000)
            nap(10);
        assert_true(is_made_anew(&f));
    }
    push(&f, this_window(), 5);
    assert_int_equal(finish(&f, true, &stats), SC_OK);
    assert_int_equal(rows_stored, 20 + 5); /* all since it was deleted last */
    assert_int_equal(rows_twice, 0);
    assert_int_equal(stats.lost_records, 0);
    tear_down(&f);
}

static bool is_taken(struct sc_storer *storer)
{
    struct sc_storer_stats stats;
    sc_storer_get_stats(storer, &stats);
    return stats.stores.taken;
}

/* Another was quicker: nothing of ours gets into what is its. */
static void a_store_that_another_took_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer_stats stats;
    struct sc_hold other;
    struct sc_error err;
    set_up(&f, false, 0);
    push(&f, this_window(), 1000);
    wait_until_durable(&f);
    kit_wipe(f.store);
    while (sc_hold_take(&other, f.store, NULL, &err) == SC_TAKEN) /* it was quicker this time */
        kit_wipe(f.store);
    for (unsigned i = 0; i < 2000 && !is_taken(f.storer); i++)
        nap(10);
    assert_true(is_taken(f.storer));
    push(&f, this_window(), 7);
    sc_queue_close(f.queue);
    assert_int_equal(sc_storer_finish(f.storer, true, &stats, &err), SC_TAKEN);
    assert_int_equal(stats.lost_records, 7);
    count_rows(f.store);
    assert_int_equal(rows_stored, 0);
    sc_hold_release(&other);
    tear_down(&f);
}

static void a_second_writer_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct sc_storer *second;
    struct sc_error err;
    set_up(&f, false, 0);
    const struct sc_storer_options options = {.store = f.store, .window_s = 300, .queue = f.queue};
    assert_int_not_equal(sc_storer_start(&options, &second, &err), SC_OK);
    assert_non_null(strstr(err.message, f.store));
    assert_int_equal(finish(&f, false, NULL), SC_OK);
    tear_down(&f);
}

UNIT(test_storer)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_was_pushed_is_stored),
        cmocka_unit_test(what_was_pushed_is_durable_within_a_second),
        cmocka_unit_test(a_full_disk_loses_nothing_that_fits_in_memory),
        cmocka_unit_test(a_full_disk_is_made_room_on_by_retention),
        cmocka_unit_test(a_failed_sync_loses_nothing_and_doubles_no_id),
        cmocka_unit_test(a_disk_that_stays_full_is_given_up_at_the_end),
        cmocka_unit_test(a_full_disk_is_given_up_with_a_queue_behind_it),
        cmocka_unit_test(a_disk_with_room_again_is_tried_at_the_end),
        cmocka_unit_test(an_import_is_sealed_whole),
        cmocka_unit_test(a_deleted_store_is_made_anew),
        cmocka_unit_test(a_store_that_another_took_is_left_alone),
        cmocka_unit_test(a_second_writer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
