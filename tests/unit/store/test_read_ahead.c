// SPDX-License-Identifier: BSD-3-Clause
/* Files that the page cache has not got: what is read is the same, and what the row group before was read for is asked for at once. */
#include "store/read_ahead.h"
#include "store/segment_writer.h"

#include "store_kit.h"

#include <fcntl.h>
#include <time.h>

enum { GROUPS = 3, ROWS = 40000 };

struct lab {
    char *folder;
    char path[256];
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
};

static void write_segment(const char *path)
{
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300, .lane = 3, .stream = 0xabc};
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_SEALED, NULL), SC_OK);
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct sc_batch *batch = kit_batch((uint64_t)i * ROWS, ROWS, KIT_WINDOW);
        kit_span(batch, 0xabc, i);
        assert_int_equal(sc_segment_writer_add(&writer, &encoder, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    sc_row_group_encoder_free(&encoder);
    assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
}

static void drop_cache(const struct lab *lab)
{
    uint8_t byte;
    assert_int_equal(fdatasync(lab->segment->fd), 0);
    assert_int_equal(posix_fadvise(lab->segment->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    if (!sc_read_cached(lab->segment->fd, lab->segment->groups[0].offset, &byte, 1))
        return;
    print_message("this file system keeps everything in memory: nothing can be missing\n");
    skip();
}

static int start(void **state)
{
    struct lab *lab = calloc(1, sizeof(*lab));
    assert_non_null(lab);
    *state = lab;
    lab->folder = strdup("/var/tmp/sc-store-XXXXXX"); /* TMPDIR may lie in memory */
    assert_non_null(lab->folder);
    assert_non_null(mkdtemp(lab->folder));
    snprintf(lab->path, sizeof(lab->path), "%s/20270115T080000Z-0000000000000abc-00000001.scs", lab->folder);
    write_segment(lab->path);
    assert_int_equal(sc_segment_open(lab->path, &lab->segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&lab->context), SC_OK);
    return 0;
}

static int end(void **state)
{
    struct lab *lab = *state;
    sc_read_context_free(&lab->context);
    sc_segment_close(lab->segment);
    kit_remove(lab->folder);
    free(lab);
    return 0;
}

static void open_group(struct lab *lab, uint32_t index)
{
    sc_read_context_reset(&lab->context);
    assert_int_equal(sc_row_group_open(&lab->context, lab->segment, index, &lab->group, NULL), SC_OK);
}

static void check_column(struct lab *lab, uint32_t index, enum kit_column which)
{
    const struct sc_column *column;
    assert_int_equal(sc_row_group_column(lab->group, kit_keys[which], &column, NULL), SC_OK);
    for (uint32_t row = 0; row < ROWS; row++)
        kit_check_value(column, which, row, (uint64_t)index * ROWS + row);
}

/* Within two seconds: the disk takes its time. */
static bool comes(const struct lab *lab, enum kit_column which)
{
    const struct sc_entry *e = sc_row_group_entry(lab->group, kit_keys[which]);
    const struct timespec moment = {.tv_nsec = 1000000};
    uint8_t *bytes = malloc(e->length);
    bool there = false;
    assert_non_null(bytes);
    for (unsigned i = 0; i < 2000 && !there; i++) {
        there = sc_read_cached(lab->segment->fd, lab->group->ref->offset + e->offset, bytes, e->length);
        nanosleep(&moment, NULL);
    }
    free(bytes);
    return there;
}

static void what_was_read_before_comes(void **state)
{
    struct lab *lab = *state;
    open_group(lab, 0);
    check_column(lab, 0, KIT_SOURCE_PORT);
    check_column(lab, 0, KIT_BYTES);
    check_column(lab, 0, KIT_FLOAT);
    drop_cache(lab);
    open_group(lab, 1);
    assert_false(lab->context.asked);
    check_column(lab, 1, KIT_SOURCE_PORT);
    assert_true(lab->context.asked);
    assert_true(comes(lab, KIT_BYTES));
    assert_true(comes(lab, KIT_FLOAT));
    check_column(lab, 1, KIT_BYTES);
}

/* Where nothing is missing nothing is asked for; the system may have needed the memory of some meanwhile. */
static void what_is_there_is_read(void **state)
{
    struct lab *lab = *state;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < GROUPS; i++) {
        open_group(lab, i);
        for (enum kit_column c = 0; c < KIT_COLUMNS; c++)
            check_column(lab, i, c);
        asked += lab->context.asked;
    }
    assert_true(asked < GROUPS);
}

/* Each column after the next, from nothing. */
static void nothing_is_there(void **state)
{
    struct lab *lab = *state;
    for (uint32_t i = GROUPS; i-- > 0;) {
        drop_cache(lab);
        open_group(lab, i);
        for (enum kit_column c = 0; c < KIT_COLUMNS; c++)
            check_column(lab, i, c);
    }
}

UNIT(test_read_ahead)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_read_before_comes, start, end),
        cmocka_unit_test_setup_teardown(what_is_there_is_read, start, end),
        cmocka_unit_test_setup_teardown(nothing_is_there, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
