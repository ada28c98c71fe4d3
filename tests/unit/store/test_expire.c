// SPDX-License-Identifier: BSD-3-Clause
/* Retention: whole windows, oldest first, never the newest; the horizon is durable before the first file goes. */
#include "fault_io.h"

#include "base/clock.h"
#include "store/horizon.h"
#include "store/horizons.h"
#include "store/loss.h"

#include <inttypes.h>
#include <xxhash.h>

#define WINDOW(n) (KIT_WINDOW + (n)*UINT64_C(300000))

enum { WINDOWS = 10, ROWS = 30 };

/* A store with ten windows, the last two of the next day; window 3 has two files. */
static char *make_store(void)
{
    char *path = kit_folder();
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, NULL);
    assert_non_null(w);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < WINDOWS; i++) {
            if (pass == 1 && i != 3)
                continue;
            struct sc_batch *batch =
                kit_batch((uint64_t)i * ROWS + pass * 1000, ROWS, WINDOW(i < 8 ? i : i + 200));
            assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
            sc_batch_free(batch);
        }
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    }
    sc_store_writer_close(w, NULL);
    return path;
}

static uint64_t window_at(unsigned i)
{
    return WINDOW(i < 8 ? i : i + 200);
}

static void list(const char *path, struct sc_catalogue *catalogue)
{
    *catalogue = (struct sc_catalogue){0};
    assert_int_equal(sc_catalogue_add(catalogue, path, NULL), SC_OK);
    sc_catalogue_sort(catalogue);
}

/* The files of the windows from `first` on are there, and no others. */
static void expect_from(const char *path, unsigned first)
{
    struct sc_catalogue catalogue;
    list(path, &catalogue);
    uint32_t want = WINDOWS - first + (first <= 3);
    assert_int_equal(catalogue.count, want);
    assert_true(catalogue.files[0].window_ms == window_at(first));
    sc_catalogue_free(&catalogue);
}

static uint64_t size_of(const char *path, unsigned from)
{
    struct sc_catalogue catalogue;
    uint64_t total = 0;
    list(path, &catalogue);
    for (uint32_t i = 0; i < catalogue.count; i++)
        total += catalogue.files[i].window_ms >= window_at(from) ? catalogue.files[i].bytes : 0;
    sc_catalogue_free(&catalogue);
    return total;
}

static void name_horizon(const char *path, char out[300])
{
    snprintf(out, 300, "%s/horizon", path);
}

/* As all versions read it. */
static uint64_t read_horizon(const char *path)
{
    char file[300];
    unsigned long long horizon = 0;
    name_horizon(path, file);
    FILE *f = fopen(file, "r");
    if (f == NULL)
        return 0;
    assert_int_equal(fscanf(f, "%llu", &horizon), 1);
    fclose(f);
    assert_true(horizon == sc_store_horizon(path));
    return horizon;
}

/* As earlier versions wrote it. */
static void write_earlier(const char *path, uint64_t horizon_ms)
{
    char file[300], text[32];
    name_horizon(path, file);
    int length = snprintf(text, sizeof(text), "%" PRIu64 "\n", horizon_ms);
    kit_write_file(file, text, (size_t)length);
}

static void expire(const char *path, uint64_t age_s, uint64_t bytes, uint64_t now_ms, bool dry,
                   struct sc_expiry *out)
{
    struct sc_retention retention = {.age_s = age_s, .bytes = bytes};
    struct sc_error err = {0};
    if (sc_store_expire(path, &retention, now_ms, dry, NULL, out, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static void by_age(void **state)
{
    (void)state;
    char *path = make_store();
    struct sc_expiry e;
    uint64_t all = size_of(path, 0);
    expire(path, 3600, 0, WINDOW(4) + 3600000, true, &e); /* a dry run changes nothing */
    assert_int_equal(e.windows, 4);
    assert_int_equal(e.files, 5);
    assert_true(e.bytes == all - size_of(path, 4) && e.horizon_ms == WINDOW(4));
    expect_from(path, 0);
    assert_int_equal(read_horizon(path), 0);
    expire(path, 3600, 0, WINDOW(4) + 3600000, false, &e);
    assert_int_equal(e.windows, 4);
    expect_from(path, 4);
    assert_true(read_horizon(path) == WINDOW(4));
    expire(path, 3600, 0, WINDOW(4) + 3600000, false, &e); /* nothing more to do */
    assert_int_equal(e.windows + e.files + e.bytes, 0);
    assert_true(e.horizon_ms == WINDOW(4));
    expire(path, 3600, 0, WINDOW(0), false, &e); /* a clock that went back expires nothing */
    assert_int_equal(e.files, 0);
    expect_from(path, 4);
    kit_remove(path);
}

static void by_bytes(void **state)
{
    (void)state;
    char *path = make_store();
    struct sc_expiry e;
    uint64_t keep = size_of(path, 3);
    expire(path, 0, keep, WINDOW(9), false, &e); /* fits exactly */
    assert_int_equal(e.windows, 3);
    expect_from(path, 3);
    expire(path, 0, keep - 1, WINDOW(9), false, &e); /* one too many: both files of window 3 go */
    assert_int_equal(e.windows, 1);
    assert_int_equal(e.files, 2);
    expect_from(path, 4);
    kit_remove(path);
}

static void the_newest_window_stays(void **state)
{
    (void)state;
    char *path = make_store(), day[300];
    struct sc_expiry e;
    expire(path, 1, 1, WINDOW(100000), false, &e);
    assert_int_equal(e.windows, WINDOWS - 1);
    expect_from(path, WINDOWS - 1);
    assert_true(read_horizon(path) == window_at(WINDOWS - 1));
    snprintf(day, sizeof(day), "%s/2027/01/15", path); /* a day without segments is no more */
    assert_int_not_equal(access(day, F_OK), 0);
    kit_remove(path);
}

static void no_bounds_no_expiry(void **state)
{
    (void)state;
    char *path = make_store(), *empty = kit_folder();
    struct sc_expiry e;
    expire(path, 0, 0, WINDOW(100000), false, &e);
    assert_int_equal(e.files, 0);
    expect_from(path, 0);
    expire(empty, 1, 1, WINDOW(100000), false, &e);
    assert_int_equal(e.files + e.horizon_ms, 0);
    assert_int_equal(access(empty, F_OK), 0);
    kit_remove(path);
    kit_remove(empty);
}

static void a_store_that_is_not_there(void **state)
{
    (void)state;
    struct sc_retention retention = {.bytes = 1};
    struct sc_expiry e;
    struct sc_error err = {0};
    assert_int_equal(sc_store_expire("/nonexistent/store", &retention, 1, false, NULL, &e, &err),
                     SC_NOTFOUND);
    assert_non_null(strstr(err.message, "/nonexistent/store"));
}

/* Windows that were imported below the horizon and expired again do not move it back. */
static void the_horizon_never_goes_back(void **state)
{
    (void)state;
    char *path = make_store();
    struct sc_expiry e;
    expire(path, 0, size_of(path, 7), WINDOW(9), false, &e);
    assert_true(read_horizon(path) == WINDOW(7));
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, NULL);
    assert_non_null(w);
    for (unsigned i = 1; i < 3; i++) {
        struct sc_batch *batch = kit_batch(5000 + i * 100, ROWS, WINDOW(i));
        assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    sc_store_writer_close(w, NULL);
    expire(path, 0, size_of(path, 2), WINDOW(9), false, &e);
    assert_int_equal(e.windows, 1);
    assert_true(read_horizon(path) == WINDOW(7) && e.horizon_ms == WINDOW(7));
    kit_remove(path);
}

/* ---- faults ---- */

/* The disk, and the horizon that it has before. */
enum disk { ROOM, FULL, FULL_SINCE_EARLIER_VERSION, FULL_AND_EXPIRED_BEFORE, DISKS };

static uint64_t set_disk(enum disk disk, const char *path, struct fault_io *io)
{
    io->full = disk != ROOM;
    if (disk == ROOM)
        return 0;
    if (disk == FULL_SINCE_EARLIER_VERSION)
        write_earlier(path, WINDOW(0));
    else
        assert_int_equal(sc_store_prepare_horizon(path, NULL, NULL), SC_OK);
    if (disk == FULL_AND_EXPIRED_BEFORE) {
        assert_int_equal(sc_store_set_horizon(path, WINDOW(0) - 1, NULL, NULL), SC_OK);
        assert_int_equal(sc_store_set_horizon(path, WINDOW(0), &io->io, NULL), SC_OK);
        io->count = 0;
        io->hit = false;
    }
    return disk == FULL ? 0 : WINDOW(0);
}

/* Whatever stops it, wherever: no file is gone that the durable horizon does not account for, and that is the old or the new one. */
static bool stopped_expiry(enum disk disk, uint64_t at, enum fault fault, enum loss loss)
{
    char *path = make_store();
    struct fault_io *io = fault_create_io(FAULT_NONE, at);
    const uint64_t old = set_disk(disk, path, io);
    io->fault = fault;
    struct sc_retention retention = {.age_s = 1};
    struct sc_expiry e;
    struct sc_catalogue before, after;
    list(path, &before);
    enum sc_status status = sc_store_expire(path, &retention, WINDOW(6), false, &io->io, &e, NULL);
    bool hit = io->hit;
    assert_true(status == SC_OK || hit);
    fault_lose(io, loss, at);
    uint64_t horizon = sc_store_horizon(path);
    list(path, &after);
    assert_true(horizon == old || horizon == WINDOW(6));
    assert_true(after.count == before.count || horizon != 0);
    uint32_t k = 0;
    for (uint32_t i = 0; i < before.count; i++) {
        if (k < after.count && strcmp(after.files[k].path, before.files[i].path) == 0)
            k++;
        else
            assert_true(before.files[i].window_ms < horizon);
    }
    if (status == SC_OK)
        assert_true(horizon == WINDOW(6) && read_horizon(path) == horizon);
    struct sc_verify_report report;
    assert_int_equal(sc_store_verify(path, NULL, NULL, &report, NULL), SC_OK);
    expire(path, 1, 0, WINDOW(6), false, &e); /* the next one ends what this one began */
    expect_from(path, 6);
    assert_true(sc_store_horizon(path) == WINDOW(6));
    sc_catalogue_free(&before);
    sc_catalogue_free(&after);
    fault_free_io(io);
    kit_remove(path);
    return hit;
}

/* ---- what was accepted as lost ---- */

#define DAY UINT64_C(86400000)

/* A stream that lost something in a window (0: in none), and was given up or not; heard of: 0 is never. */
static void lose(const char *store, uint64_t number, uint64_t window, bool given_up, uint64_t heard_ms)
{
    struct sc_losses losses = {0};
    struct sc_stream stream = {.proxy = "p", .stream = number, .heard_ms = heard_ms};
    const struct sc_loss loss = {number, window, 300, 7, {{1, 0}, {8, 0}}};
    if (heard_ms != 0)
        assert_int_equal(sc_stream_write(store, &stream, NULL, NULL), SC_OK);
    stream.closed = given_up;
    if (window != 0)
        assert_int_equal(sc_losses_add(&losses, &loss), SC_OK);
    assert_int_equal(sc_losses_add_stream(&losses, &stream), SC_OK);
    assert_int_equal(sc_losses_write(store, &losses, NULL, NULL), SC_OK);
    sc_losses_free(&losses);
}

static bool is_there(const char *store, const char *folder, unsigned number)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s/%016x", store, folder, number);
    return access(path, F_OK) == 0;
}

static void losses_of_windows_that_are_over(void **state)
{
    (void)state;
    static const struct {
        uint64_t window;
        bool given_up;
        uint64_t heard_ms;
        bool lost_stays, stream_stays;
    } cases[] = {
        {WINDOW(3), false, WINDOW(7), false, true},       /* its stream goes on */
        {WINDOW(4), false, WINDOW(7), true, true},        /* of a window that is kept */
        {WINDOW(3), true, WINDOW(3), true, true},         /* closes a stream that is not old enough */
        {WINDOW(3), true, WINDOW(3) - DAY, false, false}, /* closes one that is */
        {0, true, WINDOW(3) - DAY, false, false},         /* nothing was lost of it */
        {WINDOW(3), false, WINDOW(3) - DAY, false, true}, /* it is not closed: it stays silent */
        {WINDOW(3), true, 0, false, false},               /* not heard of here */
        {0, true, 0, true, false},                        /* nobody knows how old that is */
        {WINDOW(4), true, WINDOW(3) - DAY, true, true},   /* a clock was wrong */
    };
    const unsigned count = sizeof(cases) / sizeof(cases[0]);
    char *path = make_store();
    struct sc_expiry e;
    for (unsigned i = 0; i < count; i++)
        lose(path, i + 1, cases[i].window, cases[i].given_up, cases[i].heard_ms);
    const struct sc_stream ended = {.proxy = "p", .stream = 100, .heard_ms = WINDOW(3) - DAY, .closed = true};
    assert_int_equal(sc_stream_write(path, &ended, NULL, NULL), SC_OK);
    expire(path, 3600, 0, WINDOW(4) + 3600000, true, &e);
    assert_true(is_there(path, SC_LOST_FOLDER, 1) && is_there(path, SC_STREAMS_FOLDER, 100));
    expire(path, 3600, 0, WINDOW(4) + 3600000, false, &e);
    for (unsigned i = 0; i < count; i++) {
        if (is_there(path, SC_LOST_FOLDER, i + 1) != cases[i].lost_stays ||
            is_there(path, SC_STREAMS_FOLDER, i + 1) != cases[i].stream_stays)
            fail_msg("case %u", i);
    }
    assert_false(is_there(path, SC_STREAMS_FOLDER, 100));
    kit_remove(path);
}

/* ---- a cluster ---- */

/* This node and another; the other's last known horizon. */
static void know_another(const char *path, uint64_t horizon_ms)
{
    const struct sc_member_horizon members[] = {{.lane = 1, .name = "a"},
                                                {.lane = 2, .horizon_ms = horizon_ms, .name = "b"}};
    struct sc_horizons h = {.version = 1, .node = 1};
    for (int i = 0; i < 2; i++)
        assert_int_equal(sc_horizons_add_member(&h, &members[i]), SC_OK);
    assert_int_equal(sc_horizons_write(path, &h, NULL, NULL), SC_OK);
    sc_horizons_free(&h);
}

static bool has_tally(const char *path, uint64_t window_ms)
{
    char file[600];
    sc_tally_path(path, 9, window_ms, file, sizeof(file));
    return access(file, F_OK) == 0;
}

/* What is told of a window stays until all members have expired it, whatever went here. */
static void what_is_told_stays_for_the_others(void **state)
{
    (void)state;
    char *path = make_store(), day[300];
    struct sc_expiry e;
    for (unsigned i = 0; i < WINDOWS; i++) {
        const struct sc_tally tally = {.proxy = "p", .stream = 9, .window_ms = window_at(i), .window_s = 300};
        assert_int_equal(sc_tally_write(path, &tally, NULL, NULL), SC_OK);
    }
    lose(path, 1, WINDOW(3), false, WINDOW(7));
    know_another(path, WINDOW(2));
    expire(path, 1, 0, window_at(WINDOWS - 1) + 1000, false, &e);
    expect_from(path, WINDOWS - 1);
    assert_true(!has_tally(path, WINDOW(1)) && has_tally(path, WINDOW(2)) && has_tally(path, WINDOW(7)));
    assert_true(is_there(path, SC_LOST_FOLDER, 1));
    know_another(path, window_at(8));
    expire(path, 1, 0, window_at(WINDOWS - 1) + 1000, true, &e);
    assert_true(has_tally(path, WINDOW(2)));
    expire(path, 1, 0, window_at(WINDOWS - 1) + 1000, false, &e); /* no file goes here */
    assert_int_equal(e.files, 0);
    assert_false(has_tally(path, WINDOW(2)) || has_tally(path, WINDOW(7)));
    assert_true(has_tally(path, window_at(8)));
    assert_false(is_there(path, SC_LOST_FOLDER, 1));
    snprintf(day, sizeof(day), "%s/2027/01/15", path);
    assert_int_not_equal(access(day, F_OK), 0);
    kit_remove(path);
}

/* When nobody knows how far the others are, all that is told stays. */
static void what_is_told_stays_when_nobody_knows(void **state)
{
    (void)state;
    char *path = make_store(), file[300];
    const struct sc_tally tally = {.proxy = "p", .stream = 9, .window_ms = WINDOW(0), .window_s = 300};
    struct sc_expiry e;
    assert_int_equal(sc_tally_write(path, &tally, NULL, NULL), SC_OK);
    snprintf(file, sizeof(file), "%s/horizons", path);
    kit_write_file(file, "securitycloud horizons 1\nversion", 32);
    expire(path, 1, 0, WINDOW(100000), false, &e);
    expect_from(path, WINDOWS - 1);
    assert_true(has_tally(path, WINDOW(0)));
    kit_remove(path);
}

/* ---- an archive ---- */

/* As retention does with an archive; what it has to wait for is in e->next, to be freed. */
static void expire_archived(const char *path, const struct sc_archived *archived, struct sc_expiry *e)
{
    const struct sc_retention retention = {.age_s = 1, .archived = archived};
    struct sc_error err = {0};
    if (sc_store_expire(path, &retention, window_at(5) + 1000, false, NULL, e, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static void windows_wait_for_the_archive(void **state)
{
    (void)state;
    char *path = make_store(), slash[300];
    struct sc_archived archived = {0};
    struct sc_expiry e;
    const struct sc_tally tally = {.proxy = "p", .stream = 9, .window_ms = WINDOW(3), .window_s = 300};
    assert_int_equal(sc_tally_write(path, &tally, NULL, NULL), SC_OK);
    snprintf(slash, sizeof(slash), "%s//", path);
    for (unsigned i = 0; i < 5; i++) {
        for (int twice = 0; twice < 2; twice++) { /* whoever asks, nothing goes before it is there */
            expire_archived(twice == 0 ? path : slash, &archived, &e);
            expect_from(path, i);
            assert_true(e.next.window_ms == WINDOW(i) && e.waiting_windows == 5 - i && e.windows == 0);
            assert_int_equal(e.next.count, i == 3 ? 3 : 1);
            assert_int_equal(strncmp(e.next.paths[0], "2027/01/15/", 11), 0);
            if (i == 3)
                assert_non_null(strstr(e.next.paths[2], ".tally"));
            sc_window_files_free(&e.next);
        }
        expire_archived(path, &archived, &e);
        archived = (struct sc_archived){.window_ms = e.next.window_ms, .mark = e.next.mark};
        sc_window_files_free(&e.next);
        expire_archived(path, &archived, &e);
        assert_true(e.windows == 1 && e.unarchived_windows == 0 && read_horizon(path) == WINDOW(i + 1));
        sc_window_files_free(&e.next);
        archived = (struct sc_archived){0};
    }
    expire_archived(path, &archived, &e);
    assert_true(e.next.count == 0 && e.waiting_windows == 0 && e.windows == 0);
    kit_remove(path);
}

/* What came to a window since the archive got it is not in the archive. */
static void a_window_that_has_changed_waits_again(void **state)
{
    (void)state;
    char *path = make_store();
    struct sc_archived archived = {0};
    struct sc_expiry e;
    expire_archived(path, &archived, &e);
    archived = (struct sc_archived){.window_ms = e.next.window_ms, .mark = e.next.mark};
    sc_window_files_free(&e.next);
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, NULL);
    struct sc_batch *batch = kit_batch(9000, ROWS, WINDOW(0));
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    expire_archived(path, &archived, &e);
    assert_true(e.windows == 0 && e.waiting_windows == 5 && e.next.count == 0); /* it is being written */
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    expire_archived(path, &archived, &e);
    assert_true(e.windows == 0 && e.next.window_ms == WINDOW(0) && e.next.mark != archived.mark);
    sc_window_files_free(&e.next);
    sc_batch_free(batch);
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

/* No more than are needed, the oldest first. */
static void want_of_room_does_not_wait(void **state)
{
    (void)state;
    char *path = make_store();
    struct sc_expiry e;
    struct sc_archived archived = {.lacking_bytes = 1};
    expire_archived(path, &archived, &e);
    assert_true(e.windows == 1 && e.unarchived_windows == 1 && e.unarchived_bytes == e.bytes);
    expect_from(path, 1);
    sc_window_files_free(&e.next);
    archived.lacking_bytes = e.bytes + 1;
    expire_archived(path, &archived, &e);
    assert_true(e.windows == 2 && e.unarchived_windows == 2 && e.waiting_windows == 2);
    sc_window_files_free(&e.next);
    archived.lacking_bytes = UINT64_MAX;
    expire_archived(path, &archived, &e);
    assert_true(e.windows == 2 && e.waiting_windows == 0); /* never what retention keeps */
    expect_from(path, 5);
    kit_remove(path);
}

/* ---- faults, one by one ---- */

static void every_operation_failing(void **state)
{
    (void)state;
    static const struct {
        enum fault fault;
        enum loss loss;
    } cases[] = {{FAULT_EIO, LOSS_ALL},   {FAULT_TORN, LOSS_NONE},      {FAULT_DROP, LOSS_NONE},
                 {FAULT_STOP, LOSS_NONE}, {FAULT_STOP, LOSS_UNORDERED}, {FAULT_STOP_TORN, LOSS_SOME}};
    for (unsigned i = 0; i < DISKS * sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t at = 0;
        while (stopped_expiry(i % DISKS, at, cases[i / DISKS].fault, cases[i / DISKS].loss))
            at++;
        assert_true(at > 8);
    }
}

/* ---- a full disk ---- */

/* What retention is to make room on has no room for anything new. */
static void a_full_disk_is_made_room_on(void **state)
{
    (void)state;
    for (enum disk disk = FULL; disk < DISKS; disk++) {
        char *path = make_store();
        struct fault_io *io = fault_create_io(FAULT_NONE, 0);
        const struct sc_retention retention = {.age_s = 1};
        struct sc_error err = {0};
        struct sc_expiry e;
        (void)set_disk(disk, path, io);
        for (unsigned kept = 2; kept < WINDOWS - 1; kept += 3) {
            if (sc_store_expire(path, &retention, window_at(kept), false, &io->io, &e, &err) != SC_OK)
                fail_msg("%s", err.message);
            expect_from(path, kept);
            assert_true(read_horizon(path) == window_at(kept));
        }
        fault_free_io(io);
        kit_remove(path);
    }
}

/* Without a file to be written over nothing is deleted. */
static void a_full_disk_without_a_horizon(void **state)
{
    (void)state;
    char *path = make_store();
    struct fault_io *io = fault_create_io(FAULT_NONE, 0);
    const struct sc_retention retention = {.age_s = 1};
    struct sc_error err = {0};
    struct sc_expiry e;
    io->full = true;
    assert_int_equal(sc_store_prepare_horizon(path, &io->io, &err), SC_FULL);
    assert_int_equal(sc_store_expire(path, &retention, WINDOW(6), false, &io->io, &e, &err), SC_FULL);
    assert_non_null(strstr(err.message, "/horizon: No space left on device"));
    expect_from(path, 0);
    fault_free_io(io);
    kit_remove(path);
}

/* ---- the file ---- */

static void put(const char *path, const char *text, size_t length, uint64_t wanted)
{
    char file[300];
    name_horizon(path, file);
    kit_write_file(file, text, length);
    if (sc_store_horizon(path) != wanted)
        fail_msg("%" PRIu64 " is read of \"%.*s\"", sc_store_horizon(path), (int)length, text);
}

/* Of two lines the greatest that is whole, whatever became of the other; of none nothing but what an earlier version wrote. */
static void the_greatest_whole_line_holds(void **state)
{
    (void)state;
    enum { LINE = 38 };
    char *path = kit_folder(), file[300], text[2 * LINE + 1] = {0};
    size_t length;
    put(path, "", 0, 0);
    put(path, "1800000000000\n", 14, WINDOW(0));
    put(path, "1800000000000", 13, 0);
    put(path, "-1800000000000\n", 15, 0);
    put(path, "180000000000000000000\n", 22, 0);
    name_horizon(path, file);
    assert_int_equal(sc_store_set_horizon(path, WINDOW(0), NULL, NULL), SC_OK);
    uint8_t *older = kit_read_file(file, &length);
    assert_int_equal(sc_store_set_horizon(path, WINDOW(1), NULL, NULL), SC_OK);
    uint8_t *newer = kit_read_file(file, &length);
    assert_int_equal(length, 2 * LINE);
    assert_memory_equal(newer, newer + LINE, LINE);
    assert_int_equal(sc_store_set_horizon(path, WINDOW(0), NULL, NULL), SC_OK);
    assert_true(sc_store_horizon(path) == WINDOW(1)); /* somebody else was further */
    for (size_t line = 0; line < 2 * LINE; line += LINE) {
        for (size_t torn = 0; torn <= LINE; torn++) {
            memcpy(text, older, 2 * LINE);
            memcpy(text + line, newer, torn);
            bool whole = memcmp(text + line, newer, LINE) == 0;
            put(path, text, 2 * LINE, whole ? WINDOW(1) : WINDOW(0));
            memset(text + line, 0, torn);
            put(path, text, 2 * LINE, WINDOW(0));
        }
    }
    for (size_t i = 0; i < 2 * LINE; i++) { /* one wrong byte in each line */
        memcpy(text, newer, 2 * LINE);
        text[i] ^= 1;
        put(path, text, 2 * LINE, WINDOW(1));
        text[(i + LINE) % (2 * LINE)] ^= 1;
        put(path, text, 2 * LINE, 0);
    }
    free(newer);
    free(older);
    kit_remove(path);
}

/* What stands there before a collector writes: it is kept. */
static void what_is_prepared_says_the_same(void **state)
{
    (void)state;
    char *path = kit_folder();
    assert_int_equal(sc_store_prepare_horizon(path, NULL, NULL), SC_OK);
    assert_true(read_horizon(path) == 0);
    write_earlier(path, WINDOW(3));
    assert_int_equal(sc_store_prepare_horizon(path, NULL, NULL), SC_OK);
    assert_true(read_horizon(path) == WINDOW(3));
    struct fault_io *io = fault_create_io(FAULT_NONE, 0);
    assert_int_equal(sc_store_prepare_horizon(path, &io->io, NULL), SC_OK);
    assert_int_equal(io->count, 0); /* nothing to do */
    fault_free_io(io);
    kit_remove(path);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Nobody knows what it was: it may have been further. Retention goes on with a new one; a start does not say 0 for ever. */
static void a_horizon_that_cannot_be_read_stays(void **state)
{
    (void)state;
    char *path = kit_folder(), file[300], text[16] = "";
    struct sc_error err;
    name_horizon(path, file);
    write_text(file, "garbage\n");
    assert_int_equal(sc_store_prepare_horizon(path, NULL, &err), SC_DAMAGED);
    FILE *f = fopen(file, "re");
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    assert_string_equal(text, "garbage\n");
    assert_int_equal(sc_store_set_horizon(path, WINDOW(3), NULL, &err), SC_OK);
    assert_true(sc_store_horizon(path) == WINDOW(3));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_int_not_equal(sc_store_prepare_horizon(path, NULL, &err), SC_OK);
    assert_int_not_equal(sc_store_set_horizon(path, WINDOW(3), NULL, &err), SC_OK);
    assert_non_null(strstr(err.message, "cannot read"));
    kit_remove(path);
}

/* ---- what comes late ---- */

/* Each file was made when its window ended; the second one of window 3 `late_ms` later. */
static void set_all_created(const char *path, uint64_t late_ms)
{
    struct sc_catalogue catalogue;
    list(path, &catalogue);
    for (uint32_t i = 0; i < catalogue.count; i++) {
        const struct sc_catalogue_file *file = &catalogue.files[i];
        bool late = i > 0 && file->window_ms == catalogue.files[i - 1].window_ms;
        kit_set_created(file->path, file->window_ms + 300000 + (late ? late_ms : 0));
        assert_true(sc_segment_created_ms(file->path) == file->window_ms + 300000 + (late ? late_ms : 0));
    }
    sc_catalogue_free(&catalogue);
}

#define DAY UINT64_C(86400000)

/* Days after its window a batch comes out of an outbox: its window is kept its retention from then on, and those behind it with it. */
static void an_old_window_that_came_late_is_kept(void **state)
{
    (void)state;
    struct sc_expiry e;
    char *path = make_store();
    set_all_created(path, 2 * DAY);
    expire(path, 86400, 0, WINDOW(4) + 2 * DAY, false, &e); /* on arrival */
    assert_int_equal(e.windows, 3);
    assert_true(e.horizon_ms == WINDOW(3));
    expect_from(path, 3);
    expire(path, 86400, 0, WINDOW(4) + 3 * DAY, false, &e); /* a day later, to the moment */
    assert_int_equal(e.windows, 0);
    expire(path, 86400, 0, WINDOW(4) + 3 * DAY + 1, false, &e);
    assert_int_equal(e.windows, 6);
    expect_from(path, 9);
    assert_true(read_horizon(path) == window_at(9));
    kit_remove(path);
}

/* Not by its bytes, nor for an operator who names an age. */
static void what_came_late_goes_for_other_reasons(void **state)
{
    (void)state;
    struct sc_expiry e;
    struct sc_retention age = {.age_s = 3600, .by_window = true};
    char *path = make_store();
    set_all_created(path, 2 * DAY);
    assert_int_equal(sc_store_expire(path, &age, WINDOW(5) + 3600000, false, NULL, &e, NULL), SC_OK);
    assert_int_equal(e.windows, 5);
    expire(path, 0, size_of(path, 7), WINDOW(9), false, &e);
    assert_int_equal(e.windows, 2);
    kit_remove(path);
}

/* A file that was made in a year to come holds up nothing; one that a clock a little ahead made is kept. */
static void clocks_that_were_never_right(void **state)
{
    (void)state;
    struct sc_expiry e;
    char *path = make_store();
    set_all_created(path, 5000 * DAY);
    expire(path, 86400, 0, WINDOW(6) + DAY, false, &e);
    assert_int_equal(e.windows, 5); /* the last was made when it ended */
    kit_remove(path);
    path = make_store();
    set_all_created(path, DAY + 3600000);
    expire(path, 86400, 0, WINDOW(6) + DAY, false, &e);
    assert_int_equal(e.windows, 3);
    kit_remove(path);
}

/* A node's clock may be days off: files are made by the others', live and sealed. */
static void files_are_made_by_the_time_of_others(void **state)
{
    (void)state;
    struct sc_reference reference = {0};
    const struct sc_store_options how = {.reference = &reference};
    const uint64_t theirs = sc_clock_wall_ms() - 2 * DAY;
    sc_reference_set(&reference, (int64_t)(theirs - sc_clock_mono_ms()));
    char *path = kit_folder();
    struct sc_store_writer *w = sc_store_writer_open(path, &how, NULL);
    assert_non_null(w);
    struct sc_batch *batch = kit_batch(0, ROWS, WINDOW(0));
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    sc_batch_free(batch);
    for (int sealed = 0; sealed < 2; sealed++) {
        struct sc_catalogue catalogue;
        list(path, &catalogue);
        assert_int_equal(catalogue.count, 1);
        assert_int_equal(catalogue.files[0].sealed, sealed);
        uint64_t created = sc_segment_created_ms(catalogue.files[0].path);
        assert_true(created >= theirs && created < theirs + 60000);
        sc_catalogue_free(&catalogue);
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    }
    sc_store_writer_close(w, NULL);
    kit_remove(path);
}

/* Where the head can't be read, the file system's time counts. */
static void without_a_head(void **state)
{
    (void)state;
    char *path = make_store(), file[600];
    static const uint8_t zeros[64];
    uint64_t now = sc_clock_wall_ms();
    snprintf(file, sizeof(file), "%s/none", path);
    assert_int_equal(sc_segment_created_ms(file), 0);
    snprintf(file, sizeof(file), "%s/20231114T000000Z-0000000000000abc-00000001.sclive", path);
    kit_write_file(file, zeros, sizeof(zeros));
    uint64_t made = sc_segment_created_ms(file);
    assert_true(made + 5000 > now && made < now + 60000);
    kit_remove(path);
}

/* Windows that were stamped ahead go when they have to, and are not called expired. */
static void no_horizon_is_ahead(void **state)
{
    (void)state;
    struct sc_expiry e;
    char *path = make_store();
    expire(path, 0, 1, WINDOW(5) + 1000, false, &e);
    assert_int_equal(e.windows, 9);
    expect_from(path, 9);
    assert_true(e.horizon_ms == WINDOW(5) + 1000 && read_horizon(path) == WINDOW(5) + 1000);
    kit_remove(path);
}

UNIT(test_expire)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_age),
        cmocka_unit_test(by_bytes),
        cmocka_unit_test(the_newest_window_stays),
        cmocka_unit_test(no_bounds_no_expiry),
        cmocka_unit_test(a_store_that_is_not_there),
        cmocka_unit_test(the_horizon_never_goes_back),
        cmocka_unit_test(losses_of_windows_that_are_over),
        cmocka_unit_test(what_is_told_stays_for_the_others),
        cmocka_unit_test(what_is_told_stays_when_nobody_knows),
        cmocka_unit_test(windows_wait_for_the_archive),
        cmocka_unit_test(a_window_that_has_changed_waits_again),
        cmocka_unit_test(want_of_room_does_not_wait),
        cmocka_unit_test(every_operation_failing),
        cmocka_unit_test(a_full_disk_is_made_room_on),
        cmocka_unit_test(a_full_disk_without_a_horizon),
        cmocka_unit_test(the_greatest_whole_line_holds),
        cmocka_unit_test(what_is_prepared_says_the_same),
        cmocka_unit_test(a_horizon_that_cannot_be_read_stays),
        cmocka_unit_test(an_old_window_that_came_late_is_kept),
        cmocka_unit_test(what_came_late_goes_for_other_reasons),
        cmocka_unit_test(clocks_that_were_never_right),
        cmocka_unit_test(files_are_made_by_the_time_of_others),
        cmocka_unit_test(without_a_head),
        cmocka_unit_test(no_horizon_is_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
