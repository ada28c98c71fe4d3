// SPDX-License-Identifier: BSD-3-Clause
/* The accounts of a proxy: what its tallies say, also of the batches of a process that was killed. */
#include "relay/accounts.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "fault_io.h"

#include <dirent.h>

enum { FIRST = 1, SECOND = 2, RECORD = 72 };

static uint64_t mono_ms; /* the tests' own time */

static uint64_t read_mono(void)
{
    return mono_ms;
}

static struct sc_batch_head batch(uint64_t stream, uint32_t lane, uint64_t window, uint64_t sequence)
{
    return (struct sc_batch_head){.id = {.stream = stream, .lane = lane, .sequence = sequence},
                                  .window_ms = window,
                                  .window_s = 300,
                                  .records = 10 + (uint32_t)sequence,
                                  .record_kind = sequence % 4 == 3};
}

/* Batches 0 .. n-1 of lane 7, of which `safe` are made safe; the process is killed. */
static void live(const char *folder, uint64_t stream, uint64_t window, uint64_t n, uint64_t safe)
{
    struct sc_accounts *a = sc_accounts_open(folder, stream, read_mono, NULL);
    assert_non_null(a);
    for (uint64_t i = 0; i < n; i++) {
        const struct sc_batch_head head = batch(stream, 7, window, i);
        sc_accounts_accept(a, &head);
        if (i < safe)
            sc_accounts_safe(a, &head);
    }
    sc_accounts_free(a);
}

/* The tally of a stream; false: it is not told. */
static bool told(struct sc_accounts *a, uint64_t stream, uint64_t now_ms, struct sc_link_tally *out)
{
    sc_accounts_tidy(a, now_ms);
    for (uint32_t at = 0; sc_accounts_tally(a, &at, now_ms, out);) {
        if (out->stream == stream)
            return true;
    }
    return false;
}

static void check(const struct sc_tally_count *c, uint64_t n)
{
    uint64_t batches[2] = {0}, records[2] = {0};
    for (uint64_t i = 0; i < n; i++) {
        batches[i % 4 == 3]++;
        records[i % 4 == 3] += 10 + i;
    }
    for (unsigned kind = 0; kind < 2; kind++) {
        assert_int_equal(c->batches[kind], batches[kind]);
        assert_int_equal(c->records[kind], records[kind]);
    }
}

static unsigned files_in(const char *folder)
{
    unsigned count = 0;
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        count += strstr(entry->d_name, ".accounts") != NULL;
    closedir(dir);
    return count;
}

/* Whatever was made safe, and whichever of it the outbox still has, the next process says the same in the end. */
static void the_next_process_tells_what_a_killed_one_accepted(void **state)
{
    (void)state;
    for (uint64_t safe = 0; safe <= 9; safe++) {
        for (uint64_t kept = 0; kept <= safe;
             kept++) { /* from here on batches are in files that did not go */
            char *folder = kit_folder();
            uint64_t now = sc_clock_wall_ms(), window = now - now % 300000;
            struct sc_link_tally tally;
            live(folder, FIRST, window, 9, safe);
            struct sc_accounts *a = sc_accounts_open(folder, SECOND, read_mono, NULL);
            for (uint64_t i = kept; i < 9; i++) {
                const struct sc_batch_head head = batch(FIRST, 7, window, i);
                sc_accounts_adopt(a, &head);
            }
            assert_true(told(a, FIRST, now, &tally));
            check(&tally.lane.accepted, 9);
            check(&tally.lane.safe, kept);
            assert_int_equal(sc_accounts_stream(a, false).earlier_closed, kept == 9);
            for (uint64_t i = kept; i < 9; i++) {
                const struct sc_batch_head head = batch(FIRST, 7, window, i);
                sc_accounts_safe(a, &head);
            }
            assert_true(told(a, FIRST, now, &tally));
            check(&tally.lane.safe, 9);
            assert_true(sc_accounts_stream(a, false).earlier_closed);
            sc_accounts_free(a);
            kit_remove(folder);
        }
    }
}

/* Killed between the outbox and the account; or by a version that had none. */
static void what_only_the_outbox_knows_is_counted(void **state)
{
    (void)state;
    for (uint64_t counted = 0; counted < 3; counted++) {
        char *folder = kit_folder();
        uint64_t now = sc_clock_wall_ms();
        struct sc_link_tally tally;
        live(folder, FIRST, now, counted, 0);
        for (unsigned start = 0; start < 2; start++) { /* killed again, before anything was safe */
            struct sc_accounts *a = sc_accounts_open(folder, SECOND + start, read_mono, NULL);
            for (uint64_t i = 0; i < 3; i++) {
                const struct sc_batch_head head = batch(FIRST, 7, now, i);
                sc_accounts_adopt(a, &head);
            }
            assert_true(told(a, FIRST, now, &tally));
            check(&tally.lane.accepted, 3);
            check(&tally.lane.safe, 0);
            sc_accounts_free(a);
        }
        kit_remove(folder);
    }
}

static void a_stream_that_was_told_for_a_minute_goes(void **state)
{
    (void)state;
    char *folder = kit_folder();
    uint64_t now = sc_clock_wall_ms(), later = now + 300000 + 61000;
    struct sc_link_tally tally;
    live(folder, FIRST, now, 5, 5);
    struct sc_accounts *a = sc_accounts_open(folder, SECOND, read_mono, NULL);
    const struct sc_batch_head own = batch(SECOND, 7, now, 0);
    sc_accounts_accept(a, &own);
    assert_true(told(a, FIRST, now + 30000, &tally));
    assert_true(told(a, FIRST, later, &tally)); /* the wall clock is set forward */
    mono_ms += 59000;
    assert_true(told(a, FIRST, later, &tally));
    assert_int_equal(files_in(folder), 2);
    mono_ms += 2000;
    assert_true(told(a, FIRST, now + 300000, &tally)); /* the window has not been over for long */
    assert_false(told(a, FIRST, later, &tally));
    assert_true(told(a, SECOND, later, &tally)); /* it is not safe yet */
    assert_int_equal(files_in(folder), 1);
    sc_accounts_safe(a, &own);
    assert_true(told(a, SECOND, later, &tally));
    mono_ms += 61000;
    assert_false(told(a, SECOND, later, &tally));
    assert_true(sc_accounts_stream(a, true).closed);
    sc_accounts_free(a);
    assert_int_equal(files_in(folder), 1); /* who was away at the end is told at the next start */
    kit_remove(folder);
}

/* What an earlier process told long ago is not told again: not thousands of windows to each member in each second. */
static void what_was_told_long_ago_is_not_told_again(void **state)
{
    (void)state;
    char *folder = kit_folder(), path[4096];
    uint64_t now = sc_clock_wall_ms();
    uint8_t record[RECORD];
    struct sc_link_tally tally;
    struct sc_accounts *a = sc_accounts_open(folder, FIRST, read_mono, NULL);
    for (uint64_t i = 0; i < 100; i++) {
        const struct sc_batch_head head = batch(FIRST, 7, now - (100 - i) * 600000, i);
        sc_accounts_accept(a, &head);
        sc_accounts_safe(a, &head);
    }
    sc_accounts_free(a);
    snprintf(path, sizeof(path), "%s/%016x.accounts", folder, FIRST);
    int fd = open(path, O_RDWR);
    for (uint32_t i = 0; i < 100; i++) { /* as if they had been written when their windows were open */
        assert_int_equal(pread(fd, record, RECORD, i * RECORD), RECORD);
        sc_store_le32(record + 20, (uint32_t)(now / 1000 - (100 - i) * 600));
        sc_store_le64(record + 64, sc_link_hash(record, 64));
        assert_int_equal(pwrite(fd, record, RECORD, i * RECORD), RECORD);
    }
    close(fd);
    mono_ms += 1000000;
    a = sc_accounts_open(folder, SECOND, read_mono, NULL);
    uint32_t count = 0;
    for (uint32_t at = 0; sc_accounts_tally(a, &at, now, &tally); count++)
        assert_true(tally.window_ms == now - 600000);
    assert_int_equal(count, 1);
    sc_accounts_free(a);
    kit_remove(folder);
}

/* Records of windows that were told long enough make room; the file does not grow with time. */
static void the_file_does_not_grow(void **state)
{
    (void)state;
    char *folder = kit_folder(), path[4096];
    uint64_t now = sc_clock_wall_ms();
    struct stat st;
    struct sc_accounts *a = sc_accounts_open(folder, FIRST, read_mono, NULL);
    for (uint64_t i = 0; i < 500; i++) {
        const struct sc_batch_head head = batch(FIRST, 7, now + i * 4000000, i);
        sc_accounts_accept(a, &head);
        sc_accounts_safe(a, &head);
        mono_ms += 40000;
    }
    sc_accounts_free(a);
    snprintf(path, sizeof(path), "%s/%016x.accounts", folder, FIRST);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, RECORD, 56 * RECORD); /* those of a day, in a block */
    kit_remove(folder);
}

/* The disk of the outbox stands still for hours: what came then is dropped and told, and the batches that waited come after it. */
static void a_window_counts_all_that_is_accepted_late(void **state)
{
    (void)state;
    for (uint64_t windows = 1; windows < 40; windows++) {
        char *folder = kit_folder();
        uint64_t now = sc_clock_wall_ms();
        struct sc_link_tally tally;
        const struct sc_tally_count lost = {.batches = {1}, .records = {5}};
        struct sc_accounts *a = sc_accounts_open(folder, FIRST, read_mono, NULL);
        for (uint64_t i = 0; i < 4; i++) {
            const struct sc_batch_head head = batch(FIRST, 7, now, i);
            sc_accounts_accept(a, &head);
            sc_accounts_safe(a, &head);
            for (uint64_t w = 1; i == 1 && w <= windows; w++) {
                mono_ms += 300000;
                sc_accounts_lose(a, now + w * 300000, 300, &lost);
            }
        }
        assert_true(told(a, FIRST, now, &tally));
        assert_true(tally.window_ms == now);
        check(&tally.lane.accepted, 4);
        check(&tally.lane.safe, 4);
        sc_accounts_free(a);
        kit_remove(folder);
    }
}

/* The clock is set ahead for ten minutes, into any window of a day, and back: what was counted before is counted on. */
static void a_clock_that_comes_back_goes_on_counting(void **state)
{
    (void)state;
    for (uint64_t hours = 1; hours < 24; hours++) {
        char *folder = kit_folder();
        uint64_t now = sc_clock_wall_ms();
        struct sc_link_tally tally;
        struct sc_accounts *a = sc_accounts_open(folder, FIRST, read_mono, NULL);
        for (uint64_t i = 0; i < 12; i++) {
            bool ahead = i >= 4 && i < 8;
            const struct sc_batch_head head = batch(FIRST, 7, now + (ahead ? hours * 3600000 : 0), i);
            sc_accounts_accept(a, &head);
            sc_accounts_safe(a, &head);
            mono_ms += 150000;
        }
        assert_true(told(a, FIRST, now, &tally));
        assert_true(tally.window_ms == now);
        assert_int_equal(tally.lane.accepted.batches[0] + tally.lane.accepted.batches[1], 8);
        sc_accounts_free(a);
        kit_remove(folder);
    }
}

/* As often as it happens, more than a batch counts, and in the next process too. */
static void what_was_lost_is_told(void **state)
{
    (void)state;
    char *folder = kit_folder();
    uint64_t now = sc_clock_wall_ms();
    struct sc_link_tally tally;
    const struct sc_tally_count lost = {.batches = {3, 1}, .records = {UINT64_C(5000000000), 7}};
    struct sc_accounts *a = sc_accounts_open(folder, FIRST, read_mono, NULL);
    sc_accounts_lose(a, now, 300, &lost);
    sc_accounts_lose(a, now, 300, &lost);
    for (int process = 0; process < 2; process++) {
        assert_true(told(a, FIRST, now, &tally));
        assert_int_equal(tally.lane.lane, SC_DROPPED_LANE);
        assert_int_equal(tally.lane.safe.batches[0], 6);
        assert_true(tally.lane.safe.records[0] == 2 * lost.records[0]);
        assert_int_equal(tally.lane.safe.records[1], 14);
        assert_memory_equal(&tally.lane.safe, &tally.lane.accepted, sizeof(tally.lane.safe));
        assert_true(sc_accounts_stream(a, true).closed);
        sc_accounts_free(a);
        a = sc_accounts_open(folder, SECOND, read_mono, NULL);
    }
    sc_accounts_free(a);
    kit_remove(folder);
}

/* Any byte: the record is passed over, or (in a length that nothing depends on) none. */
/* On a disk that gets full in between, more accounts than there were can be kept. */
static void a_full_disk_keeps_what_is_lost(void **state)
{
    (void)state;
    char *folder = kit_folder();
    uint64_t now = sc_clock_wall_ms(), window = now - now % 300000;
    struct sc_link_tally tally;
    live(folder, FIRST, window, 1, 1);
    char path[512];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%016x.accounts", folder, FIRST);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size >= 8 * RECORD); /* no byte behind is needed */
    struct sc_accounts *a = sc_accounts_open(folder, SECOND, read_mono, NULL);
    assert_non_null(a);
    assert_true(told(a, FIRST, now, &tally)); /* and none is an account */
    check(&tally.lane.accepted, 1);
    uint32_t at = 0, count = 0;
    while (sc_accounts_tally(a, &at, now, &tally))
        count++;
    assert_int_equal(count, 1);
    sc_accounts_free(a);
    kit_remove(folder);
}

static void a_damaged_record_is_passed_over(void **state)
{
    (void)state;
    for (int at = 0; at < RECORD; at++) {
        char *folder = kit_folder(), path[4096];
        uint64_t now = sc_clock_wall_ms();
        struct sc_link_tally tally;
        uint8_t byte;
        live(folder, FIRST, now, 4, 4);
        snprintf(path, sizeof(path), "%s/%016x.accounts", folder, FIRST);
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        struct sc_accounts *a = sc_accounts_open(folder, SECOND, read_mono, NULL);
        assert_false(told(a, FIRST, now, &tally));
        sc_accounts_free(a);
        kit_remove(folder);
    }
}

/* ---- a disk that fails ---- */

enum { LANES = 2, EACH = 6 };

/* Of a proxy that has a batch in its outbox until it is safe, and what its subcollectors heard of it. */
struct proxy {
    char *folder;
    struct fault_io *io;
    bool waits[LANES][EACH]; /* accepted, and in the outbox */
    uint32_t accepted[LANES];
    struct sc_tally heard;
};

static struct sc_accounts *begin(const struct proxy *p, uint64_t stream, bool faulty)
{
    struct sc_accounts *a = sc_accounts_open(p->folder, stream, read_mono, faulty ? &p->io->io : NULL);
    assert_non_null(a);
    return a;
}

/* All batches in turn, of which a third stays in the outbox, the last of each lane too; then the process is killed. */
static void accept_all(struct proxy *p)
{
    struct sc_accounts *a = begin(p, FIRST, true);
    for (uint32_t i = 0; i < LANES * EACH && !p->io->stopped; i++) {
        uint32_t lane = i % LANES, n = i / LANES;
        const struct sc_batch_head head = batch(FIRST, lane, KIT_WINDOW, n);
        p->accepted[lane]++;
        sc_accounts_accept(a, &head);
        p->waits[lane][n] = n % 3 == 2 || p->io->stopped;
        if (!p->waits[lane][n])
            sc_accounts_safe(a, &head);
    }
    sc_accounts_free(a);
}

static void for_each_waiting(struct proxy *p, struct sc_accounts *a,
                             void (*call)(struct sc_accounts *, const struct sc_batch_head *))
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (uint32_t n = 0; n < EACH; n++) {
            const struct sc_batch_head head = batch(FIRST, lane, KIT_WINDOW, n);
            if (p->waits[lane][n])
                call(a, &head);
        }
    }
}

static void tell(struct proxy *p, struct sc_accounts *a)
{
    struct sc_link_tally tally;
    for (uint32_t at = 0; sc_accounts_tally(a, &at, KIT_WINDOW, &tally);) {
        const struct sc_tally one = {.lane_count = 1, .lanes = &tally.lane};
        if (tally.stream == FIRST)
            assert_int_equal(sc_tally_merge(&p->heard, &one), SC_OK);
    }
}

/* What was heard is true, or, unless `whole`, less. */
static void check_heard(struct proxy *p, bool whole)
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const struct sc_tally_lane *heard = sc_tally_lane(&p->heard, lane);
        uint64_t accepted = heard->accepted.batches[0] + heard->accepted.batches[1];
        uint64_t safe = heard->safe.batches[0] + heard->safe.batches[1];
        if (accepted > p->accepted[lane] || safe > accepted || (whole && accepted != p->accepted[lane]))
            fail_msg("fault %d at operation %llu: of %u batches of lane %u %llu are told, %llu safe",
                     p->io->fault, (unsigned long long)p->io->at, p->accepted[lane], lane,
                     (unsigned long long)accepted, (unsigned long long)safe);
        if (whole)
            check(&heard->accepted, p->accepted[lane]);
    }
}

/* The next process sends what waits. @return whether it says that the first one's stream is closed. */
static bool send_rest(struct proxy *p, uint64_t stream, bool faulty)
{
    struct sc_accounts *a = begin(p, stream, faulty);
    for_each_waiting(p, a, sc_accounts_adopt);
    tell(p, a);
    check_heard(p, false);
    assert_true(!sc_accounts_stream(a, false).earlier_closed || !p->waits[0][2]);
    for_each_waiting(p, a, sc_accounts_safe);
    memset(p->waits, 0, sizeof(p->waits));
    tell(p, a);
    bool closed = sc_accounts_stream(a, false).earlier_closed;
    sc_accounts_tidy(a, KIT_WINDOW);
    sc_accounts_free(a);
    return closed;
}

/* A record that was torn is lost, and of a disk that was full all that was not written; else all that was accepted is told, at the
 * latest by the process after the next. */
static bool with_fault(enum fault fault, uint64_t at)
{
    struct proxy p = {.folder = kit_folder(), .io = fault_create_io(fault, at)};
    bool torn = fault == FAULT_TORN || fault == FAULT_STOP_TORN || fault == FAULT_FULL;
    mono_ms = 1000000;
    accept_all(&p);
    if (p.io->stopped) { /* it was the machine, which starts again */
        p.io->stopped = false;
        p.io->fault = FAULT_NONE;
    }
    bool closed = send_rest(&p, SECOND, true);
    check_heard(&p, closed && !torn);
    assert_true(send_rest(&p, 3, false));
    check_heard(&p, !torn);
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const struct sc_tally_lane *heard = sc_tally_lane(&p.heard, lane);
        assert_memory_equal(&heard->accepted, &heard->safe, sizeof(heard->safe));
    }
    bool hit = p.io->hit;
    sc_tally_free(&p.heard);
    fault_free_io(p.io);
    kit_remove(p.folder);
    return hit;
}

static void every_operation_failing(void **state)
{
    (void)state;
    static const enum fault faults[] = {FAULT_EIO,  FAULT_ENOSPC, FAULT_SHORT,    FAULT_TORN,
                                        FAULT_FULL, FAULT_STOP,   FAULT_STOP_TORN};
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        uint64_t at = 0;
        while (with_fault(faults[i], at))
            at++;
        assert_true(faults[i] == FAULT_SHORT || at > 0);
    }
}

UNIT(test_accounts)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_process_tells_what_a_killed_one_accepted),
        cmocka_unit_test(what_only_the_outbox_knows_is_counted),
        cmocka_unit_test(a_stream_that_was_told_for_a_minute_goes),
        cmocka_unit_test(what_was_told_long_ago_is_not_told_again),
        cmocka_unit_test(the_file_does_not_grow),
        cmocka_unit_test(a_window_counts_all_that_is_accepted_late),
        cmocka_unit_test(a_clock_that_comes_back_goes_on_counting),
        cmocka_unit_test(what_was_lost_is_told),
        cmocka_unit_test(a_full_disk_keeps_what_is_lost),
        cmocka_unit_test(a_damaged_record_is_passed_over),
        cmocka_unit_test(every_operation_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
