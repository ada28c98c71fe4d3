// SPDX-License-Identifier: BSD-3-Clause
/* Compaction: each batch once, in one file for a window, whatever stops it; nothing of what is written to, damaged or expired. */
#include "store/compact.h"

#include "fault_io.h"
#include "store/catalogue.h"
#include "store/merge.h"
#include "store/store.h"

enum { WINDOW_MS = 300000, ROWS = 400, FLOWS = 6 * ROWS };

static void append(struct sc_store_writer *w, uint64_t first, uint64_t window_ms)
{
    struct sc_batch *batch = kit_batch(first, ROWS, window_ms);
    kit_span(batch, 5, first);
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    sc_batch_free(batch);
}

static void seal(const char *folder, uint16_t format, uint64_t first, uint64_t window_ms, bool seals)
{
    const struct sc_store_options options = {.window_s = 300, .format = format};
    struct sc_store_writer *w = sc_store_writer_open(folder, &options, NULL);
    assert_non_null(w);
    append(w, first, window_ms);
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    if (seals)
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
}

/* Each file of the first window once more, under another name: a crash between the last steps leaves that. */
static void copy_first(const char *folder, const char *name)
{
    char from[512], to[512];
    size_t length;
    struct sc_catalogue c = {0};
    assert_int_equal(sc_catalogue_add(&c, folder, NULL), SC_OK);
    sc_catalogue_sort(&c);
    snprintf(from, sizeof(from), "%s", c.files[0].path);
    snprintf(to, sizeof(to), "%.*s/%s", (int)(strrchr(from, '/') - from), from, name);
    uint8_t *bytes = kit_read_file(from, &length);
    kit_write_file(to, bytes, length);
    free(bytes);
    sc_catalogue_free(&c);
}

/* Three windows: of three files and a double of both formats, of one, and with a live file. */
static char *make_store(void)
{
    char *folder = kit_folder();
    seal(folder, 1, 0, KIT_WINDOW, true);
    seal(folder, 0, ROWS, KIT_WINDOW, true);
    seal(folder, 0, 2 * ROWS, KIT_WINDOW, true);
    copy_first(folder, "20270115T080000Z-0000000000000001-00000001.scs");
    seal(folder, 1, 3 * ROWS, KIT_WINDOW + WINDOW_MS, true);
    seal(folder, 0, 4 * ROWS, KIT_WINDOW + 2 * WINDOW_MS, true);
    seal(folder, 0, 5 * ROWS, KIT_WINDOW + 2 * WINDOW_MS, false);
    return folder;
}

static void check_flows(const char *folder, uint32_t doubles)
{
    struct kit_scan scan;
    kit_scan_store(&scan, folder, FLOWS);
    assert_int_equal(scan.rows, FLOWS);
    assert_int_equal(scan.damaged, 0);
    for (uint32_t id = 0; id < FLOWS; id++)
        assert_int_equal(scan.seen[id], 1);
    if (doubles != UINT32_MAX)
        assert_int_equal(scan.rows_stored, FLOWS + doubles);
    kit_scan_free(&scan);
}

static uint32_t count_files(const char *folder, uint64_t *bytes)
{
    struct sc_catalogue c = {0};
    assert_int_equal(sc_catalogue_add(&c, folder, NULL), SC_OK);
    uint32_t count = c.count;
    *bytes = 0;
    for (uint32_t i = 0; i < c.count; i++)
        *bytes += c.files[i].bytes;
    sc_catalogue_free(&c);
    return count;
}

struct told {
    unsigned count, left;
    char words[200];
};

static void tell(void *arg, const struct sc_compacted *one)
{
    struct told *told = arg;
    told->count++;
    told->left += one->left != NULL;
    if (one->left != NULL)
        snprintf(told->words, sizeof(told->words), "%s", one->left);
}

static enum sc_status compact(const char *folder, struct sc_compact_options options,
                              struct sc_compaction *out, struct told *told)
{
    struct sc_error err;
    *told = (struct told){0};
    options.tell = tell;
    options.arg = told;
    return sc_store_compact(folder, &options, out, &err);
}

static uint64_t newest_created(const char *folder)
{
    uint64_t newest = 0;
    struct sc_catalogue c = {0};
    assert_int_equal(sc_catalogue_add(&c, folder, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++) {
        uint64_t created = sc_segment_created_ms(c.files[i].path);
        if (c.files[i].window_ms == KIT_WINDOW)
            newest = created > newest ? created : newest;
    }
    sc_catalogue_free(&c);
    return newest;
}

static void one_file_for_each_window(void **state)
{
    (void)state;
    char *folder = make_store();
    struct sc_compaction done;
    struct told told;
    uint64_t bytes, before, created = newest_created(folder);
    assert_int_equal(count_files(folder, &before), 7);
    check_flows(folder, ROWS);
    assert_int_equal(compact(folder, (struct sc_compact_options){.dry_run = true}, &done, &told), SC_OK);
    assert_true(done.windows == 3 && done.compacted == 2 && done.left == 0 && told.count == 2);
    assert_int_equal(count_files(folder, &bytes), 7);
    assert_int_equal(compact(folder, (struct sc_compact_options){0}, &done, &told), SC_OK);
    assert_true(done.windows == 3 && done.compacted == 2 && told.count == 2 && told.left == 0);
    assert_true(done.files_before == 5 && done.files_after == 2 && done.bytes_after < done.bytes_before);
    assert_int_equal(count_files(folder, &bytes), 4);
    assert_true(bytes < before);
    assert_int_equal(newest_created(folder), created); /* retention takes their age from that */
    check_flows(folder, 0);
    assert_int_equal(compact(folder, (struct sc_compact_options){0}, &done, &told), SC_OK);
    assert_true(done.compacted == 0 && told.count == 0);
    kit_remove(folder);
}

/* Packed, quick and of the old format, and back: the same flows, and each way something to do but once. */
static void any_kind_to_any(void **state)
{
    (void)state;
    static const struct sc_compact_options kinds[] = {
        {0}, {.quick = true}, {.format = 1}, {.quick = true}, {0}, {.format = 1}, {0}};
    char *folder = make_store();
    struct sc_compaction done;
    struct told told;
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (unsigned again = 0; again < 2; again++) {
            assert_int_equal(compact(folder, kinds[i], &done, &told), SC_OK);
            assert_int_equal(done.compacted, again ? 0 : 2);
            check_flows(folder, 0);
        }
    }
    kit_remove(folder);
}

/* A byte of the second file is changed. @return whether the window was left alone */
static bool compact_damaged(uint32_t part, uint32_t parts)
{
    char *folder = make_store(), path[512];
    struct sc_compaction done;
    struct told told;
    size_t length;
    uint64_t bytes;
    struct sc_catalogue c = {0};
    assert_int_equal(sc_catalogue_add(&c, folder, NULL), SC_OK);
    sc_catalogue_sort(&c);
    snprintf(path, sizeof(path), "%s", c.files[1].path);
    sc_catalogue_free(&c);
    uint8_t *content = kit_read_file(path, &length);
    size_t at = length * part / parts;
    content[at] ^= 0x40;
    kit_write_file(path, content, length);
    assert_int_equal(compact(folder, (struct sc_compact_options){0}, &done, &told), SC_OK);
    bool left = done.left != 0;
    if (left) {
        assert_true(done.left == 1 && told.left == 1 && strstr(told.words, "repair") != NULL);
        assert_int_equal(count_files(folder, &bytes), 7);
        content[at] ^= 0x40;
        kit_write_file(path, content, length);
    }
    check_flows(folder, left ? ROWS : 0);
    free(content);
    kit_remove(folder);
    return left;
}

/* What is damaged is not merged, unless no row needs it: a filter, the zeros at an end. */
static void damage_is_left_to_repair(void **state)
{
    (void)state;
    enum { PARTS = 23 };
    uint32_t left = 0;
    for (uint32_t part = 0; part < PARTS; part++)
        left += compact_damaged(part, PARTS);
    assert_true(left > PARTS / 2);
}

/* ---- what stops it ---- */

static bool compact_once(enum fault fault, uint64_t at, enum loss loss)
{
    char *folder = make_store();
    struct sc_compaction done;
    struct told told;
    uint64_t bytes;
    struct fault_io *io = fault_create_io(fault, at);
    enum sc_status status = compact(folder, (struct sc_compact_options){.io = &io->io}, &done, &told);
    bool hit = io->hit;
    assert_true(hit || (status == SC_OK && done.compacted == 2));
    fault_lose(io, loss, at);
    check_flows(folder, UINT32_MAX);
    assert_int_equal(compact(folder, (struct sc_compact_options){0}, &done, &told), SC_OK);
    check_flows(folder, 0);
    assert_int_equal(count_files(folder, &bytes), 4);
    fault_free_io(io);
    kit_remove(folder);
    return hit;
}

static void under_faults(void **state)
{
    (void)state;
    static const enum fault faults[] = {FAULT_EIO, FAULT_TORN, FAULT_FULL, FAULT_STOP, FAULT_STOP_TORN};
    static const enum loss losses[] = {LOSS_NONE, LOSS_ALL, LOSS_UNORDERED, LOSS_SOME};
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < (i < 3 ? 1 : 4); k++) { /* what is lost matters where it stops */
            uint64_t at = 0;
            while (compact_once(faults[i], at, losses[k]))
                at++;
            assert_true(at > 5);
        }
    }
}

/* The window expires while it is compacted: its files go, all or some, just before the new one gets its name. */
static struct sc_io_ops expiring_ops;
static const char *expiring_folder;

static int rename_late(struct sc_io *io, const char *from, const char *to)
{
    struct sc_catalogue c = {0};
    assert_int_equal(sc_catalogue_add(&c, expiring_folder, NULL), SC_OK);
    sc_catalogue_sort(&c);
    for (uint32_t i = 0; i < c.count; i++) {
        if (c.files[i].window_ms == KIT_WINDOW)
            unlink(c.files[i].path);
    }
    sc_catalogue_free(&c);
    return sc_io_system()->ops->rename(io, from, to);
}

static void what_has_expired_does_not_come_back(void **state)
{
    (void)state;
    char *folder = make_store();
    struct sc_compaction done;
    struct told told;
    uint64_t bytes;
    struct sc_io io = {&expiring_ops};
    struct kit_scan scan;
    expiring_ops = *sc_io_system()->ops;
    expiring_ops.rename = rename_late;
    expiring_folder = folder;
    assert_int_equal(compact(folder, (struct sc_compact_options){.io = &io}, &done, &told), SC_OK);
    assert_true(done.left == 1 && done.compacted == 1);
    assert_int_equal(count_files(folder, &bytes), 3);
    kit_scan_store(&scan, folder, FLOWS);
    assert_int_equal(scan.rows, 3 * ROWS);
    kit_scan_free(&scan);
    kit_remove(folder);
}

static void not_there(void **state)
{
    (void)state;
    struct sc_compaction done;
    struct told told;
    assert_int_equal(compact("/nonexistent/store", (struct sc_compact_options){0}, &done, &told),
                     SC_NOTFOUND);
    char *folder = kit_folder();
    assert_int_equal(compact(folder, (struct sc_compact_options){0}, &done, &told), SC_OK);
    assert_int_equal(done.windows, 0);
    kit_remove(folder);
}

/* One segment, by its bare name in its own folder. */
static void one_file_by_its_name(void **state)
{
    (void)state;
    char *folder = make_store(), back[512], day[512], name[128];
    struct sc_compaction done;
    struct told told;
    struct sc_catalogue c = {0};
    uint64_t bytes;
    assert_int_equal(sc_catalogue_add(&c, folder, NULL), SC_OK);
    sc_catalogue_sort(&c);
    const char *path = c.files[4].path, *slash = strrchr(path, '/'); /* the only one of its window */
    snprintf(day, sizeof(day), "%.*s", (int)(slash - path), path);
    snprintf(name, sizeof(name), "%s", slash + 1);
    sc_catalogue_free(&c);
    assert_non_null(getcwd(back, sizeof(back)));
    assert_int_equal(chdir(day), 0);
    assert_int_equal(compact(name, (struct sc_compact_options){0}, &done, &told), SC_OK);
    assert_int_equal(chdir(back), 0);
    assert_true(done.compacted == 1 && done.left == 0);
    assert_int_equal(count_files(folder, &bytes), 7);
    check_flows(folder, ROWS);
    kit_remove(folder);
}

/* What a collector finds and takes away when it starts is none of ours. */
static void a_collector_starts(void **state)
{
    (void)state;
    char *folder = make_store(), path[512];
    struct sc_compaction done;
    struct told told;
    snprintf(path, sizeof(path), "%s/2027/01/15/.20270115T080000Z-compact", folder);
    kit_write_file(path, "cut short", 9);
    struct sc_store_writer *w = sc_store_writer_open(folder, NULL, NULL);
    assert_non_null(w);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(compact(folder, (struct sc_compact_options){0}, &done, &told), SC_OK);
    assert_int_equal(done.compacted, 2);
    assert_int_equal(access(path, F_OK), -1); /* it was in the way of the new one */
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    check_flows(folder, 0);
    kit_remove(folder);
}

static void stopped(void **state)
{
    (void)state;
    char *folder = make_store();
    struct sc_compaction done;
    struct told told;
    volatile int cancel = 1;
    uint64_t bytes;
    assert_int_equal(compact(folder, (struct sc_compact_options){.cancel = &cancel}, &done, &told),
                     SC_CANCELLED);
    assert_int_equal(count_files(folder, &bytes), 7);
    kit_remove(folder);
}

UNIT(test_compact)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file_for_each_window),
        cmocka_unit_test(any_kind_to_any),
        cmocka_unit_test(damage_is_left_to_repair),
        cmocka_unit_test(under_faults),
        cmocka_unit_test(what_has_expired_does_not_come_back),
        cmocka_unit_test(not_there),
        cmocka_unit_test(one_file_by_its_name),
        cmocka_unit_test(a_collector_starts),
        cmocka_unit_test(stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
