// SPDX-License-Identifier: BSD-3-Clause
/*
 * The store's promise under failing disks and crashes, for every operation in turn until all pass: what a sync called
 * durable is there, once; nothing that is there is damaged; the next process goes on.
 */
#include "fault_io.h"

#define WINDOW(n) (KIT_WINDOW + (n)*UINT64_C(300000))

enum { BATCHES = 14, BATCH_ROWS = 6, TRIES = 4 };

/* A collector in short: it keeps batches until they are durable, and appends them again when they may not be. */
struct collector {
    struct fault_io *io;
    const char *path;
    struct sc_store_writer *writer;
    struct sc_batch *batches[BATCHES];
    bool appended[BATCHES]; /* since the last good sync */
    bool durable[BATCHES];
    bool sealed; /* the last seal went well */
};

static bool start(struct collector *c)
{
    struct sc_store_options options = {.io = &c->io->io, .seal_bytes = 30000};
    for (unsigned i = 0; i < TRIES && c->writer == NULL && !c->io->stopped; i++)
        c->writer = sc_store_writer_open(c->path, &options, NULL);
    return c->writer != NULL;
}

static void stop(struct collector *c)
{
    if (c->writer == NULL)
        return;
    enum sc_status status = sc_store_writer_close(c->writer, NULL);
    for (unsigned b = 0; b < BATCHES && status == SC_OK; b++)
        c->durable[b] = c->durable[b] || c->appended[b];
    memset(c->appended, 0, sizeof(c->appended));
    c->writer = NULL;
}

static bool append(struct collector *c, unsigned b)
{
    struct sc_error err = {0};
    for (unsigned i = 0; i < TRIES && !c->io->stopped; i++) {
        enum sc_status status = sc_store_writer_append(c->writer, c->batches[b], &err);
        c->appended[b] = status == SC_OK;
        if (status == SC_OK)
            return true;
        if (status != SC_IO && status != SC_FULL)
            fail_msg("append says %d: %s", status, err.message);
    }
    return false;
}

static bool sync_all(struct collector *c)
{
    for (unsigned i = 0; i < TRIES && !c->io->stopped; i++) {
        if (sc_store_writer_sync(c->writer, NULL) == SC_OK) {
            for (unsigned b = 0; b < BATCHES; b++)
                c->durable[b] = c->durable[b] || c->appended[b];
            memset(c->appended, 0, sizeof(c->appended));
            return true;
        }
        for (unsigned b = 0; b < BATCHES; b++) { /* the contract: once more, with the spans they have */
            if (c->appended[b] && !append(c, b))
                c->appended[b] = false;
        }
    }
    return false;
}

static void seal(struct collector *c, uint64_t before_ms)
{
    for (unsigned i = 0; i < TRIES && !c->io->stopped; i++) {
        if (!sync_all(c))
            return;
        c->sealed = sc_store_writer_seal(c->writer, before_ms, NULL) == SC_OK;
        if (c->sealed)
            return;
    }
}

static void append_some(struct collector *c, unsigned from, unsigned to, unsigned window)
{
    for (unsigned b = from; b < to; b++) {
        c->batches[b]->window_ms = WINDOW(window + b % 2);
        append(c, b);
        if (b % 3 == 2)
            sync_all(c);
    }
}

/* Append, sync, seal, append; then a second process that finds what the first left behind. */
static void scenario(struct collector *c)
{
    if (!start(c))
        return;
    append_some(c, 0, 6, 0);
    seal(c, UINT64_MAX);
    append_some(c, 6, 10, 1);
    sync_all(c);
    stop(c);
    if (!start(c))
        return;
    append_some(c, 10, BATCHES, 288); /* the next day */
    seal(c, UINT64_MAX);
    sync_all(c);
    stop(c);
}

static void check_store(const struct collector *c, bool all, const char *when)
{
    struct kit_scan scan;
    struct sc_verify_report report;
    struct sc_error err = {0};
    kit_scan_store(&scan, c->path, BATCHES * BATCH_ROWS);
    for (unsigned id = 0; id < BATCHES * BATCH_ROWS; id++) {
        unsigned b = id / BATCH_ROWS, seen = scan.seen[id];
        if (seen != scan.seen[b * BATCH_ROWS] || seen > 1 || (seen == 0 && (all || c->durable[b])))
            fail_msg("%s: fault %d at operation %llu: flow %u of batch %u (durable %d) is met %u times", when,
                     c->io->fault, (unsigned long long)c->io->at, id, b, c->durable[b], seen);
    }
    if (scan.damaged != 0 || sc_store_verify(c->path, NULL, NULL, &report, &err) != SC_OK)
        fail_msg("%s: fault %d at operation %llu: %u damaged; %s", when, c->io->fault,
                 (unsigned long long)c->io->at, scan.damaged, err.message);
    kit_scan_free(&scan);
}

static int count_odd_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    const char *name = path + ftw->base;
    bool segment = strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".scs") == 0 && name[0] != '.';
    if (type == FTW_F && !segment && strcmp(name, "collector.lock") != 0)
        fail_msg("%s is left behind", path);
    return 0;
}

/* The next process, on a disk that works: everything is sealed, each row stored once, nothing lies about. */
static void recover(const struct collector *c)
{
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(c->path, NULL, &err);
    if (w == NULL)
        fail_msg("%s", err.message);
    if (sc_store_writer_seal(w, UINT64_MAX, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    struct kit_scan scan;
    kit_scan_store(&scan, c->path, BATCHES * BATCH_ROWS);
    assert_int_equal(scan.live, 0);
    if (scan.rows_stored != scan.rows)
        fail_msg("fault %d at operation %llu: %llu rows are stored as %llu", c->io->fault,
                 (unsigned long long)c->io->at, (unsigned long long)scan.rows,
                 (unsigned long long)scan.rows_stored);
    kit_scan_free(&scan);
    nftw(c->path, count_odd_file, 16, FTW_PHYS);
}

/* One run. @return false when the fault lay behind the last operation. */
static bool run(enum fault fault, uint64_t at, enum loss loss)
{
    struct collector c = {.io = fault_create_io(fault, at)};
    char *path = kit_folder();
    c.path = path;
    for (unsigned b = 0; b < BATCHES; b++) {
        c.batches[b] = kit_batch(b * BATCH_ROWS, BATCH_ROWS, 0);
        kit_span(c.batches[b], 77, b);
    }
    scenario(&c);
    bool hit = c.io->hit, once = fault != FAULT_FULL && !c.io->stopped;
    stop(&c);
    if (loss != LOSS_NONE)
        fault_lose(c.io, loss, at);
    if (once || !hit) { /* who tries again gets all of it */
        for (unsigned b = 0; b < BATCHES; b++) {
            if (!c.durable[b])
                fail_msg("fault %d at operation %llu: batch %u was given up", fault, (unsigned long long)at,
                         b);
        }
        assert_true(c.sealed);
    }
    check_store(&c, once || !hit, "after the fault");
    recover(&c);
    check_store(&c, once || !hit, "after recovery");
    for (unsigned b = 0; b < BATCHES; b++)
        sc_batch_free(c.batches[b]);
    fault_free_io(c.io);
    kit_remove(path);
    return hit;
}

static void every_operation(enum fault fault, enum loss loss)
{
    uint64_t at = 0;
    while (run(fault, at, loss))
        at++;
    assert_true(at > 50); /* the scenario has that many operations and more */
}

static void without_faults(void **state)
{
    (void)state;
    for (int loss = LOSS_NONE; loss < LOSS_KINDS; loss++)
        assert_false(run(FAULT_NONE, 0, (enum loss)loss));
}

/* And the power fails at the end: what was called durable must be. */
static void an_error_then_power_loss(void **state)
{
    (void)state;
    every_operation(FAULT_EIO, LOSS_ALL);
    every_operation(FAULT_TWICE, LOSS_UNORDERED);
}

static void a_full_disk(void **state)
{
    (void)state;
    every_operation(FAULT_ENOSPC, LOSS_ALL);
}

static void a_disk_full_for_good(void **state)
{
    (void)state;
    every_operation(FAULT_FULL, LOSS_ALL);
}

static void a_short_write(void **state)
{
    (void)state;
    every_operation(FAULT_SHORT, LOSS_NONE);
}

static void a_torn_write(void **state)
{
    (void)state;
    every_operation(FAULT_TORN, LOSS_ALL);
}

static void a_sync_that_loses(void **state)
{
    (void)state;
    every_operation(FAULT_DROP, LOSS_NONE);
}

static void a_killed_process(void **state)
{
    (void)state;
    every_operation(FAULT_STOP, LOSS_NONE);
    every_operation(FAULT_STOP_TORN, LOSS_NONE);
}

static void power_loss_of_bytes(void **state)
{
    (void)state;
    every_operation(FAULT_STOP, LOSS_ZEROS);
}

static void power_loss_of_names(void **state)
{
    (void)state;
    every_operation(FAULT_STOP, LOSS_NAMES);
}

static void power_loss_of_all(void **state)
{
    (void)state;
    every_operation(FAULT_STOP, LOSS_UNORDERED);
    every_operation(FAULT_STOP_TORN, LOSS_SOME);
}

/* ---- repair ---- */

/* A sealed segment of three row groups, the second of them damaged. */
static void make_damaged(const char *folder)
{
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_ms = WINDOW(0), .window_s = 300};
    char path[256];
    snprintf(path, sizeof(path), "%s/20270115T080000Z-0000000000000abc-00000001.scs", folder);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_SEALED, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    uint64_t middle = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct sc_batch *batch = kit_batch(i * 10, 10, WINDOW(0));
        kit_span(batch, 1, i);
        middle = i == 1 ? writer.offset + 700 : middle;
        assert_int_equal(sc_segment_writer_add(&writer, &encoder, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
    sc_row_group_encoder_free(&encoder);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "damage", 6, (off_t)middle), 6);
    close(fd);
}

/* The rows that are whole have a name at every moment. */
static void check_whole_rows(const char *folder, bool repaired)
{
    struct kit_scan scan;
    kit_scan_store(&scan, folder, 30);
    for (unsigned id = 0; id < 30; id++)
        assert_int_equal(scan.seen[id], id / 10 != 1);
    assert_true(scan.damaged == 0 || !repaired);
    kit_scan_free(&scan);
}

static bool repair_once(enum fault fault, uint64_t at, enum loss loss)
{
    char *folder = kit_folder(), kept[300];
    struct sc_verify_report report;
    struct sc_error err = {0};
    make_damaged(folder);
    struct fault_io *io = fault_create_io(fault, at);
    enum sc_status status = sc_store_repair(folder, &io->io, NULL, NULL, &report, &err);
    bool hit = io->hit;
    assert_true(hit || (status == SC_OK && report.repaired_segments == 1));
    fault_lose(io, loss, at);
    check_whole_rows(folder, status == SC_OK);
    if (sc_store_repair(folder, NULL, NULL, NULL, &report, &err) != SC_OK)
        fail_msg("fault %d at operation %llu: %s", fault, (unsigned long long)at, err.message);
    check_whole_rows(folder, true);
    assert_int_equal(sc_store_verify(folder, NULL, NULL, &report, NULL), SC_OK);
    snprintf(kept, sizeof(kept), "%s/20270115T080000Z-0000000000000abc-00000001.scs.damaged", folder);
    assert_int_equal(access(kept, F_OK), 0);
    fault_free_io(io);
    kit_remove(folder);
    return hit;
}

static void repair_under_faults(void **state)
{
    (void)state;
    static const enum fault faults[] = {FAULT_EIO, FAULT_TORN, FAULT_FULL, FAULT_STOP, FAULT_STOP_TORN};
    static const enum loss losses[] = {LOSS_NONE, LOSS_ALL, LOSS_UNORDERED, LOSS_SOME};
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 4; k++) {
            uint64_t at = 0;
            while (repair_once(faults[i], at, losses[k]))
                at++;
            assert_true(at > 3);
        }
    }
}

UNIT(test_fault)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults),      cmocka_unit_test(an_error_then_power_loss),
        cmocka_unit_test(a_full_disk),         cmocka_unit_test(a_disk_full_for_good),
        cmocka_unit_test(a_short_write),       cmocka_unit_test(a_torn_write),
        cmocka_unit_test(a_sync_that_loses),   cmocka_unit_test(a_killed_process),
        cmocka_unit_test(power_loss_of_bytes), cmocka_unit_test(power_loss_of_names),
        cmocka_unit_test(power_loss_of_all),   cmocka_unit_test(repair_under_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
