// SPDX-License-Identifier: BSD-3-Clause
/* A verification that is followed: what is sealed meanwhile is read, each file once; a filter is no row. */
#include "store/maintain.h"
#include "store/reader.h"
#include "store_kit.h"

#include "store/catalogue.h"
#include "store/store.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define WINDOWS 3u

struct lab {
    char *store;
    struct sc_catalogue files; /* as they were */
    uint64_t rows, groups_with_rows, groups_without, bytes;
    bool renames; /* the last file, once the first one is read */
    char renamed[4096];
};

static void write_windows(struct lab *lab)
{
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(lab->store, NULL, &err);
    assert_non_null(w);
    for (unsigned i = 0; i < WINDOWS; i++) {
        struct sc_batch *batch = kit_batch(i, 500, KIT_WINDOW + i * UINT64_C(300000));
        kit_span(batch, 7, i);
        assert_int_equal(sc_store_writer_append(w, batch, &err), SC_OK);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    assert_int_equal(sc_catalogue_add(&lab->files, lab->store, &err), SC_OK);
    sc_catalogue_sort(&lab->files);
    assert_int_equal(lab->files.count, WINDOWS);
}

static bool wants(void *arg, uint64_t window_ms, const uint32_t *lane)
{
    (void)arg;
    (void)lane;
    return window_ms != KIT_WINDOW + 300000; /* the one in the middle is nobody's */
}

static void take_group(void *arg, const struct sc_row_group *group, bool has_rows)
{
    struct lab *lab = arg;
    lab->rows += group->rows;
    *(has_rows ? &lab->groups_with_rows : &lab->groups_without) += 1;
}

static void take_progress(void *arg, uint64_t bytes, uint64_t of_bytes)
{
    struct lab *lab = arg;
    const char *path = lab->files.files[WINDOWS - 1].path;
    assert_true(bytes <= of_bytes);
    lab->bytes = bytes;
    if (!lab->renames)
        return;
    lab->renames = false;
    snprintf(lab->renamed, sizeof(lab->renamed), "%s", path);
    char *name = strrchr(lab->renamed, '-');
    assert_non_null(name);
    name[1] = name[1] == 'f' ? 'e' : 'f';
    assert_int_equal(rename(path, lab->renamed), 0);
}

static enum sc_status verify(struct lab *lab, struct sc_verify_report *report)
{
    const struct sc_verify_watch watch = {wants, take_group, take_progress, lab};
    lab->rows = lab->groups_with_rows = lab->groups_without = 0;
    return sc_store_verify_watched(lab->store, &watch, NULL, NULL, report, NULL);
}

static void begin(struct lab *lab)
{
    *lab = (struct lab){.store = kit_folder()};
    write_windows(lab);
}

static void end(struct lab *lab)
{
    sc_catalogue_free(&lab->files);
    kit_remove(lab->store);
}

static void what_is_sealed_meanwhile_is_read(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    for (int renames = 0; renames < 2; renames++) {
        begin(&lab);
        lab.renames = renames != 0;
        assert_int_equal(verify(&lab, &report), SC_OK);
        assert_true(report.segments == 2 && report.rows == 1000 && lab.rows == 1000 &&
                    lab.groups_without == 0);
        assert_true((lab.renamed[0] != '\0') == (renames != 0));
        assert_int_equal(sc_store_verify(lab.store, NULL, NULL, &report, NULL), SC_OK);
        assert_int_equal(report.rows, 1500);
        end(&lab);
    }
}

/* A byte of a chunk of the first file. */
static void damage(const struct lab *lab, uint8_t role)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    const char *path = lab->files.files[0].path;
    uint64_t at = 0;
    uint8_t byte;
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_row_group_open(&context, segment, 0, &group, NULL), SC_OK);
    for (uint32_t i = 0; i < group->entry_count && at == 0; i++) {
        if (group->entries[i].role == role && group->entries[i].length != 0)
            at = group->ref->offset + group->entries[i].offset + group->entries[i].length / 2;
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
    assert_true(at != 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    assert_int_equal(close(fd), 0);
}

static void a_filter_is_no_row(void **state)
{
    (void)state;
    static const uint8_t roles[] = {SC_CHUNK_FILTER, SC_CHUNK_ADDRESSES, SC_CHUNK_COLUMN};
    for (size_t i = 0; i < sizeof(roles); i++) {
        struct lab lab;
        struct sc_verify_report report;
        begin(&lab);
        damage(&lab, roles[i]);
        assert_int_equal(verify(&lab, &report), SC_DAMAGED);
        assert_true(report.damaged_segments == 1 && report.damaged_chunks >= 1);
        assert_int_equal(lab.groups_without, sc_chunk_is_filter(roles[i]) ? 0 : 1);
        assert_int_equal(lab.groups_with_rows + lab.groups_without, 2);
        end(&lab);
    }
}

UNIT(test_watched)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_sealed_meanwhile_is_read),
                                       cmocka_unit_test(a_filter_is_no_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
