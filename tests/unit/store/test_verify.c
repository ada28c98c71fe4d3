// SPDX-License-Identifier: BSD-3-Clause
/* What a merge writes is read back before anybody may rely on it: which errors are found by hashes, which by decoding. */
#include "store/merge.h"
#include "store/sealer.h"

#include "store_kit.h"

enum { GROUPS = 3, GROUP_ROWS = SC_FULL_ROWS };

static const struct sc_segment_id segment_id = {.window_ms = KIT_WINDOW, .window_s = 300};

struct lab {
    char *folder;
    char input[256], out[256];
};

/* A live file of row groups that are as a seal makes them: merges copy them. */
static void write_input(const struct lab *lab)
{
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_SEALED, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), lab->input, &segment_id, NULL), SC_OK);
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct sc_batch *batch = kit_batch((uint64_t)i * GROUP_ROWS, GROUP_ROWS, KIT_WINDOW);
        kit_span(batch, 1, i);
        assert_int_equal(sc_segment_writer_add(&writer, &encoder, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    sc_segment_writer_abandon(&writer);
    sc_row_group_encoder_free(&encoder);
}

static void lab_start(struct lab *lab)
{
    lab->folder = kit_folder();
    snprintf(lab->input, sizeof(lab->input), "%s/20270115T080000Z-0000000000000abc-00000001.sclive",
             lab->folder);
    snprintf(lab->out, sizeof(lab->out), "%s/20270115T080000Z-0000000000000abc-00000002.scs", lab->folder);
    write_input(lab);
}

static void lab_end(struct lab *lab)
{
    kit_remove(lab->folder);
}

static enum sc_status merge(const struct lab *lab, struct sc_io *io, enum sc_verify verify,
                            struct sc_error *err)
{
    struct sc_merge_report report;
    struct sc_segment_id id = segment_id;
    const char *inputs[] = {lab->input};
    id.verify = verify;
    unlink(lab->out);
    return sc_merge_segments(io, inputs, 1, lab->out, &id, NULL, NULL, &report, err);
}

/* The chunk of the last entry says a layout that there is not, and all hashes agree: what an encoder in error would write. */
static void spoil(uint8_t *group)
{
    uint32_t meta_bytes = sc_load_le32(group + 12);
    uint8_t *meta = group + SC_ROW_GROUP_HEAD_BYTES, *entry = meta + meta_bytes - SC_ENTRY_BYTES;
    uint8_t *chunk = group + sc_load_le64(entry + 40);
    chunk[0] = 0xee;
    sc_store_le64(entry + 56, XXH3_64bits(chunk, sc_load_le32(entry + 48)));
    sc_store_le64(group + 32, XXH3_64bits(meta, meta_bytes));
    sc_store_le64(group + 56, XXH3_64bits(group, 56));
}

/* Row group `index` of the input. */
static void spoil_input(const struct lab *lab, uint32_t index)
{
    struct sc_segment *segment;
    size_t length;
    uint8_t *bytes = kit_read_file(lab->input, &length);
    assert_int_equal(sc_segment_open(lab->input, &segment, NULL), SC_OK);
    spoil(bytes + segment->groups[index].offset);
    sc_segment_close(segment);
    kit_write_file(lab->input, bytes, length);
    free(bytes);
}

/* By hashes one row group in each file is looked into, by "full" all are. */
static void what_cannot_be_decoded(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct lab lab;
        struct sc_error err = {0};
        lab_start(&lab);
        spoil_input(&lab, i);
        assert_int_equal(merge(&lab, sc_io_system(), SC_VERIFY_FULL, &err), SC_DAMAGED);
        assert_non_null(strstr(err.message, "reads back"));
        assert_int_equal(access(lab.out, F_OK), -1);
        found += merge(&lab, sc_io_system(), SC_VERIFY_HASH, NULL) == SC_DAMAGED;
        lab_end(&lab);
    }
    assert_true(found < GROUPS);
}

/* ---- what a disk, or memory, makes of what was written ---- */

struct changing_io {
    struct sc_io io;
    uint32_t writes, changed; /* which write is changed */
    void (*change)(uint8_t *bytes);
    size_t flip; /* without `change`: the byte of it that is */
};

static ssize_t write_changed(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    struct changing_io *x = (struct changing_io *)io;
    if (x->writes++ != x->changed)
        return sc_io_system()->ops->write(io, handle, bytes, count);
    uint8_t *copy = malloc(count);
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    if (x->change != NULL)
        x->change(copy);
    else
        copy[x->flip % count] ^= 0x10;
    ssize_t n = sc_io_system()->ops->write(io, handle, copy, count);
    free(copy);
    return n;
}

static void expect_refused(const struct lab *lab, struct changing_io x, const char *words)
{
    static struct sc_io_ops ops;
    struct sc_error err = {0};
    ops = *sc_io_system()->ops;
    ops.write = write_changed;
    x.io.ops = &ops;
    assert_int_equal(merge(lab, &x.io, SC_VERIFY_HASH, &err), SC_DAMAGED);
    if (strstr(err.message, words) == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(access(lab->out, F_OK), -1);
}

/* The first write is the head of the file, the last one its footer; between them are the row groups, all of whose bytes count. */
static void a_flipped_bit_is_found_by_hashes(void **state)
{
    (void)state;
    struct lab lab;
    lab_start(&lab);
    assert_int_equal(merge(&lab, sc_io_system(), SC_VERIFY_HASH, NULL), SC_OK);
    for (uint32_t i = 1; i <= GROUPS + 1; i++) {
        static const size_t places[] = {3, 20, 60, 70, 300, 5000, 12345};
        for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++)
            expect_refused(&lab, (struct changing_io){.changed = i, .flip = places[k]}, lab.out);
    }
    lab_end(&lab);
}

/* Whole by its own hashes, of as many rows in as many batches: but not what was to be written there. */
static void another_row_group_is_found(void **state)
{
    (void)state;
    struct lab lab;
    lab_start(&lab);
    for (uint32_t i = 1; i <= GROUPS; i++)
        expect_refused(&lab, (struct changing_io){.changed = i, .change = spoil},
                       "is not the one that was written");
    lab_end(&lab);
}

/* The live files stay, and are sealed when the disk keeps what it is given. */
static void a_seal_that_is_refused_keeps_its_live_files(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_io_ops ops = *sc_io_system()->ops;
    struct changing_io x = {.io = {.ops = &ops}, .changed = 2, .flip = 4000};
    struct sc_merge_report report;
    struct sc_error err = {0};
    char temporary[256], *inputs[] = {NULL};
    lab_start(&lab);
    inputs[0] = lab.input;
    snprintf(temporary, sizeof(temporary), "%s/.x.tmp", lab.folder);
    const struct sc_seal_job job = {
        .id = {.window_ms = KIT_WINDOW, .window_s = 300, .verify = SC_VERIFY_HASH},
        .folder = lab.folder,
        .temporary = temporary,
        .sealed = lab.out,
        .inputs = inputs,
        .input_count = 1};
    ops.write = write_changed;
    assert_int_equal(sc_seal(&x.io, NULL, &job, NULL, &report, &err), SC_DAMAGED);
    assert_int_equal(access(lab.input, F_OK), 0);
    assert_true(access(lab.out, F_OK) == -1 && access(temporary, F_OK) == -1);
    assert_int_equal(sc_seal(sc_io_system(), NULL, &job, NULL, &report, &err), SC_OK);
    assert_true(access(lab.input, F_OK) == -1 && access(lab.out, F_OK) == 0);
    assert_int_equal(report.rows, GROUPS * GROUP_ROWS);
    lab_end(&lab);
}

UNIT(test_verify)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_decoded),
        cmocka_unit_test(a_flipped_bit_is_found_by_hashes),
        cmocka_unit_test(another_row_group_is_found),
        cmocka_unit_test(a_seal_that_is_refused_keeps_its_live_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
