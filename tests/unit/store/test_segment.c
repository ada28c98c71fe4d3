// SPDX-License-Identifier: BSD-3-Clause
/* Segments: sealed and live files, what is refused, and damage: no flipped bit and no cut goes unnoticed, and
 * what is whole beside the damage is read and survives a repair. */
#include "store/segment_writer.h"

#include "store_kit.h"

#include <fcntl.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEALED_NAME "20270115T080000Z-0000000000000abc-00000001.scs"
#define LIVE_NAME   "20270115T080000Z-0000000000000abc-00000001.sclive"

enum { GROUPS = 3, GROUP_ROWS = 12, ROWS = GROUPS * GROUP_ROWS };

/* A store with one segment, and the segment's bytes as they should be. */
struct lab {
    char *folder;
    char path[256];
    uint8_t *bytes;
    size_t length;
    uint64_t group_at[GROUPS + 1]; /* the last: end of the last row group */
    int fd;
};

static void write_groups(struct sc_segment_writer *writer, enum sc_effort effort, uint64_t *group_at)
{
    struct sc_row_group_encoder encoder;
    assert_int_equal(sc_row_group_encoder_init(&encoder, effort, NULL), SC_OK);
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct sc_batch *batch = kit_batch(i * GROUP_ROWS, GROUP_ROWS, KIT_WINDOW);
        kit_span(batch, 0xabc, i);
        group_at[i] = writer->offset;
        assert_int_equal(sc_segment_writer_add(writer, &encoder, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    group_at[GROUPS] = writer->offset;
    sc_row_group_encoder_free(&encoder);
}

static void lab_start(struct lab *lab, bool sealed)
{
    struct sc_segment_writer writer;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300, .lane = 3, .stream = 0xabc};
    lab->folder = kit_folder();
    snprintf(lab->path, sizeof(lab->path), "%s/%s", lab->folder, sealed ? SEALED_NAME : LIVE_NAME);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), lab->path, &id, NULL), SC_OK);
    write_groups(&writer, sealed ? SC_EFFORT_SEALED : SC_EFFORT_LIVE, lab->group_at);
    if (sealed)
        assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
    else
        sc_segment_writer_abandon(&writer);
    lab->bytes = kit_read_file(lab->path, &lab->length);
    lab->fd = open(lab->path, O_RDWR);
    assert_true(lab->fd >= 0);
}

static void lab_end(struct lab *lab)
{
    close(lab->fd);
    free(lab->bytes);
    kit_remove(lab->folder);
}

/* The file is whole again, under its own name. */
static void lab_restore(struct lab *lab)
{
    char kept[300];
    snprintf(kept, sizeof(kept), "%s.damaged", lab->path);
    unlink(kept);
    close(lab->fd);
    kit_write_file(lab->path, lab->bytes, lab->length);
    lab->fd = open(lab->path, O_RDWR);
    assert_true(lab->fd >= 0);
}

static void poke(const struct lab *lab, size_t at, uint8_t byte)
{
    assert_int_equal(pwrite(lab->fd, &byte, 1, (off_t)at), 1);
}

static enum sc_status verify(const struct lab *lab, struct sc_verify_report *report)
{
    struct sc_error err = {0};
    return sc_store_verify(lab->folder, NULL, NULL, report, &err);
}

/* Every flow of the row groups for which `whole` has a bit is met once, and none of the others more than
 * once. */
static void check_rows(const struct lab *lab, unsigned whole)
{
    struct kit_scan scan;
    kit_scan_store(&scan, lab->folder, ROWS);
    for (uint32_t id = 0; id < ROWS; id++) {
        if ((whole >> (id / GROUP_ROWS) & 1) != 0 ? scan.seen[id] != 1 : scan.seen[id] > 1)
            fail_msg("flow %u is met %u times", id, scan.seen[id]);
    }
    kit_scan_free(&scan);
}

/* Row groups that a damaged byte does not touch. */
static unsigned groups_without(const struct lab *lab, size_t at)
{
    unsigned whole = (1u << GROUPS) - 1;
    for (unsigned i = 0; i < GROUPS; i++) {
        if (at >= lab->group_at[i] && at < lab->group_at[i + 1])
            whole &= ~(1u << i);
    }
    return whole;
}

/* ---- whole files ---- */

static void sealed_file(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_segment *segment;
    struct sc_verify_report report;
    lab_start(&lab, true);
    assert_int_equal(sc_segment_open(lab.path, &segment, NULL), SC_OK);
    assert_true(segment->sealed && !segment->unfinished_tail && !segment->footer_damaged &&
                !segment->head_damaged);
    assert_int_equal(segment->group_count, GROUPS);
    assert_true(segment->window_ms == KIT_WINDOW && segment->window_s == 300);
    assert_true(segment->lane == 3 && segment->stream == 0xabc);
    assert_int_equal(segment->damaged_stretches, 0);
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_int_equal(segment->groups[i].offset, lab.group_at[i]);
        assert_int_equal(segment->groups[i].rows, GROUP_ROWS);
    }
    sc_segment_close(segment);
    assert_int_equal(verify(&lab, &report), SC_OK);
    assert_int_equal(report.segments, 1);
    assert_int_equal(report.row_groups, GROUPS);
    assert_int_equal(report.rows, ROWS);
    assert_int_equal(report.unfinished_tails, 0);
    check_rows(&lab, 7);
    lab_end(&lab);
}

/* A live file and a sealed one tell the same of their row groups. */
static void live_file(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_segment *segment, *sealed;
    struct lab other;
    lab_start(&lab, false);
    lab_start(&other, true);
    assert_int_equal(sc_segment_open(lab.path, &segment, NULL), SC_OK);
    assert_int_equal(sc_segment_open(other.path, &sealed, NULL), SC_OK);
    assert_false(segment->sealed);
    assert_int_equal(segment->group_count, GROUPS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct sc_group_ref a = segment->groups[i], b = sealed->groups[i];
        assert_int_equal(a.rows, b.rows);
        assert_int_equal(a.record_kind, b.record_kind);
        assert_memory_equal(a.times, b.times, sizeof(a.times));
    }
    sc_segment_close(segment);
    sc_segment_close(sealed);
    check_rows(&lab, 7);
    lab_end(&lab);
    lab_end(&other);
}

static void empty_sealed_file(void **state)
{
    (void)state;
    struct sc_segment_writer writer;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    struct sc_segment *segment;
    char *folder = kit_folder(), path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, SEALED_NAME);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL),
                     SC_IO); /* it is there */
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    assert_true(segment->sealed);
    assert_int_equal(segment->group_count, 0);
    sc_segment_close(segment);
    kit_remove(folder);
}

/* ---- what is refused ---- */

static void refuse(struct lab *lab, size_t at, uint8_t byte, enum sc_status want)
{
    struct sc_segment *segment;
    struct sc_error err = {0};
    struct sc_verify_report report;
    uint8_t head[SC_SEGMENT_HEAD_BYTES];
    memcpy(head, lab->bytes, sizeof(head));
    head[at] = byte;
    sc_store_le64(head + 56, XXH3_64bits(head, 56));
    assert_int_equal(pwrite(lab->fd, head, sizeof(head), 0), sizeof(head));
    assert_int_equal(sc_segment_open(lab->path, &segment, &err), want);
    assert_non_null(strstr(err.message, "upgrade"));
    /* Neither damage nor something to repair: the file is of another time. */
    assert_int_equal(verify(lab, &report), want);
    assert_int_equal(sc_store_repair(lab->folder, NULL, NULL, NULL, &report, &err), want);
    assert_int_equal(access(lab->path, F_OK), 0);
    lab_restore(lab);
}

static void newer_versions_and_features(void **state)
{
    (void)state;
    struct lab lab;
    lab_start(&lab, true);
    refuse(&lab, 8, SC_SEGMENT_VERSION + 1, SC_UNSUPPORTED);
    refuse(&lab, 12, 1, SC_UNSUPPORTED);
    refuse(&lab, 15, 0x80, SC_UNSUPPORTED);
    check_rows(&lab, 7);
    lab_end(&lab);
}

static void other_files(void **state)
{
    (void)state;
    struct sc_segment *segment;
    char *folder = kit_folder(), path[256];
    static const char text[] =
        "This is a text that is longer than the head of a segment, but it is not one of ours.";
    snprintf(path, sizeof(path), "%s/%s", folder, SEALED_NAME);
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_NOTFOUND);
    kit_write_file(path, text, sizeof(text));
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_NOT_OURS);
    kit_write_file(path, "", 0);
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_NOT_OURS);
    assert_int_equal(sc_segment_open(folder, &segment, NULL), SC_IO); /* a folder */
    kit_remove(folder);
}

/* ---- damage of sealed files ---- */

static void every_flip_is_noticed(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    lab_start(&lab, true);
    for (size_t at = 0; at < lab.length; at++) {
        uint8_t bit = (uint8_t)(1u << (at * 5 + at / 8) % 8);
        poke(&lab, at, lab.bytes[at] ^ bit);
        if (verify(&lab, &report) != SC_DAMAGED)
            fail_msg("bit %x of byte %zu of %zu may be flipped", bit, at, lab.length);
        assert_int_equal(report.damaged_segments, 1);
        if (at % 8 == 0)
            check_rows(&lab, groups_without(&lab, at));
        poke(&lab, at, lab.bytes[at]);
    }
    assert_int_equal(verify(&lab, &report), SC_OK);
    lab_end(&lab);
}

/* More bits of heads, directories, footer and trailer, where single bits mean most. */
static void bits_of_the_structure(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    lab_start(&lab, true);
    for (size_t bit = 0; bit < 8 * lab.length; bit += 3) {
        size_t at = bit / 8;
        bool chunks = at >= lab.group_at[0] + 200 && at < lab.group_at[GROUPS];
        if (chunks)
            continue;
        poke(&lab, at, lab.bytes[at] ^ (uint8_t)(1u << bit % 8));
        if (verify(&lab, &report) != SC_DAMAGED)
            fail_msg("bit %zu of byte %zu of %zu may be flipped", bit % 8, at, lab.length);
        poke(&lab, at, lab.bytes[at]);
    }
    lab_end(&lab);
}

static void every_cut_is_noticed(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    lab_start(&lab, true);
    for (size_t length = lab.length - 1; length > 0; length -= length % 8 == 1 ? 1 : 2) {
        assert_int_equal(ftruncate(lab.fd, (off_t)length), 0);
        if (verify(&lab, &report) != SC_DAMAGED)
            fail_msg("a cut at %zu of %zu goes unnoticed", length, lab.length);
        unsigned whole = 0;
        for (unsigned i = 0; i < GROUPS; i++)
            whole |= (unsigned)(length >= lab.group_at[i + 1]) << i;
        check_rows(&lab, whole);
    }
    lab_end(&lab);
}

/* A file that lost its end at the very edge of a row group reads without complaint but for one: it says so.
 */
static void a_cut_between_row_groups_is_told(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_segment *segment;
    lab_start(&lab, true);
    assert_int_equal(ftruncate(lab.fd, (off_t)lab.group_at[2]), 0);
    assert_int_equal(sc_segment_open(lab.path, &segment, NULL), SC_OK);
    assert_int_equal(segment->group_count, 2);
    assert_true(segment->footer_damaged);
    assert_int_equal(segment->damaged_stretches, 1);
    sc_segment_close(segment);
    lab_restore(&lab);
    poke(&lab, lab.length - 1, 0); /* only the trailer is damaged: nothing is missing */
    assert_int_equal(sc_segment_open(lab.path, &segment, NULL), SC_OK);
    assert_int_equal(segment->group_count, GROUPS);
    assert_true(segment->footer_damaged);
    assert_int_equal(segment->damaged_stretches, 0);
    sc_segment_close(segment);
    lab_end(&lab);
}

static void repair_keeps_what_is_whole(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    struct sc_error err = {0};
    char kept[300];
    lab_start(&lab, true);
    snprintf(kept, sizeof(kept), "%s.damaged", lab.path);
    for (size_t at = 3; at < lab.length; at += 41) {
        poke(&lab, at, lab.bytes[at] ^ 0x10);
        if (sc_store_repair(lab.folder, NULL, NULL, NULL, &report, &err) != SC_OK)
            fail_msg("byte %zu: %s", at, err.message);
        assert_int_equal(report.repaired_segments, 1);
        assert_int_equal(verify(&lab, &report), SC_OK);
        check_rows(&lab, groups_without(&lab, at));
        size_t length;
        uint8_t *old = kit_read_file(kept, &length);
        assert_int_equal(length, lab.length);
        assert_int_equal(old[at], lab.bytes[at] ^ 0x10);
        old[at] ^= 0x10;
        assert_memory_equal(old, lab.bytes, length);
        free(old);
        lab_end(&lab);
        lab_start(&lab, true);
        snprintf(kept, sizeof(kept), "%s.damaged", lab.path);
    }
    lab_end(&lab);
}

/* What was repaired keeps its window, lane and stream, also when the head was what was damaged. */
static void repair_keeps_the_identity(void **state)
{
    (void)state;
    struct sc_verify_report report;
    struct sc_catalogue catalogue = {0};
    struct sc_segment *segment;
    struct lab lab;
    lab_start(&lab, true);
    poke(&lab, 20, 0x55);
    assert_int_equal(sc_store_repair(lab.folder, NULL, NULL, NULL, &report, NULL), SC_OK);
    assert_int_equal(sc_catalogue_add(&catalogue, lab.folder, NULL), SC_OK);
    assert_int_equal(catalogue.count, 1);
    assert_true(catalogue.files[0].sealed && catalogue.files[0].window_ms == KIT_WINDOW);
    assert_int_equal(sc_segment_open(catalogue.files[0].path, &segment, NULL), SC_OK);
    assert_true(segment->sealed && !segment->head_damaged && segment->window_ms == KIT_WINDOW);
    assert_true(segment->window_s == 300 && segment->lane == 3 && segment->stream == 0xabc);
    sc_segment_close(segment);
    sc_catalogue_free(&catalogue);
    check_rows(&lab, 7);
    lab_end(&lab);
}

static void nothing_to_repair(void **state)
{
    (void)state;
    struct sc_verify_report report;
    struct lab lab;
    size_t length;
    lab_start(&lab, true);
    assert_int_equal(sc_store_repair(lab.folder, NULL, NULL, NULL, &report, NULL), SC_OK);
    assert_int_equal(report.repaired_segments, 0);
    uint8_t *bytes = kit_read_file(lab.path, &length);
    assert_int_equal(length, lab.length);
    assert_memory_equal(bytes, lab.bytes, length);
    free(bytes);
    lab_end(&lab);
}

/* ---- live files ---- */

/* A live file may end anywhere: its writer died. That is no damage, and all that is whole is read. */
static void live_file_cut_anywhere(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    lab_start(&lab, false);
    for (size_t length = lab.length; length-- > 0;) {
        assert_int_equal(ftruncate(lab.fd, (off_t)length), 0);
        if (verify(&lab, &report) != SC_OK)
            fail_msg("a live file of %zu of %zu bytes counts as damaged", length, lab.length);
        unsigned whole = 0, edge = length == SC_SEGMENT_HEAD_BYTES;
        for (unsigned i = 0; i < GROUPS; i++) {
            whole |= (unsigned)(length >= lab.group_at[i + 1]) << i;
            edge |= length == lab.group_at[i + 1];
        }
        assert_int_equal(report.unfinished_tails, !edge);
        check_rows(&lab, whole);
    }
    lab_end(&lab);
}

/* The system died: the file has its length, but not all of its bytes. */
static void live_file_with_zeros_at_its_end(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    lab_start(&lab, false);
    assert_int_equal(ftruncate(lab.fd, (off_t)lab.group_at[2]), 0);
    assert_int_equal(ftruncate(lab.fd, (off_t)lab.length), 0);
    assert_int_equal(verify(&lab, &report), SC_OK);
    assert_int_equal(report.unfinished_tails, 1);
    check_rows(&lab, 3);
    assert_int_equal(ftruncate(lab.fd, 0), 0);
    assert_int_equal(ftruncate(lab.fd, (off_t)lab.length), 0);
    assert_int_equal(verify(&lab, &report), SC_OK);
    check_rows(&lab, 0);
    lab_end(&lab);
}

/* Damage in the midst of a live file is damage: what is behind it is read. */
static void live_file_damaged(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_verify_report report;
    lab_start(&lab, false);
    for (size_t at = lab.group_at[1]; at < lab.group_at[2]; at++) {
        poke(&lab, at, lab.bytes[at] ^ 4);
        if (verify(&lab, &report) != SC_DAMAGED)
            fail_msg("byte %zu of row group 1 may be changed", at - (size_t)lab.group_at[1]);
        check_rows(&lab, 5);
        poke(&lab, at, lab.bytes[at]);
    }
    lab_end(&lab);
}

/* ---- hostile values ---- */

/* A value that looks like a row group is not taken for one, wherever the file is cut or damaged around it: it
 * would have to lie where a row group can begin. */
static void magic_inside_values(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_segment *segment;
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    lab_start(&lab, false);
    size_t forged_length = (size_t)(lab.group_at[1] - lab.group_at[0]);
    struct sc_batch *batch = kit_batch(0, 1, KIT_WINDOW);
    struct sc_column *c =
        sc_batch_begin(batch, (struct sc_column_key){0, 313, 0, SC_COLUMN_BYTES}, NULL, 0, 1);
    assert_non_null(c);
    c->rows = 0;
    c->nulls = 0;
    assert_int_equal(sc_column_put_bytes(c, lab.bytes + lab.group_at[0], (uint32_t)forged_length), SC_OK);
    kit_span(batch, 1, 1);
    char path[300];
    snprintf(path, sizeof(path), "%s/y.sclive", lab.folder);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_add(&writer, &encoder, batch, NULL), SC_OK);
    uint64_t length = writer.offset;
    sc_segment_writer_abandon(&writer);
    /* While it is being written: a reader must not look inside. */
    assert_int_equal(truncate(path, (off_t)length - 1), 0);
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    assert_int_equal(segment->group_count, 0);
    assert_true(segment->unfinished_tail);
    sc_segment_close(segment);
    sc_row_group_encoder_free(&encoder);
    sc_batch_free(batch);
    lab_end(&lab);
}

UNIT(test_segment)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_file),
        cmocka_unit_test(live_file),
        cmocka_unit_test(empty_sealed_file),
        cmocka_unit_test(newer_versions_and_features),
        cmocka_unit_test(other_files),
        cmocka_unit_test(every_flip_is_noticed),
        cmocka_unit_test(bits_of_the_structure),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(a_cut_between_row_groups_is_told),
        cmocka_unit_test(repair_keeps_what_is_whole),
        cmocka_unit_test(repair_keeps_the_identity),
        cmocka_unit_test(nothing_to_repair),
        cmocka_unit_test(live_file_cut_anywhere),
        cmocka_unit_test(live_file_with_zeros_at_its_end),
        cmocka_unit_test(live_file_damaged),
        cmocka_unit_test(magic_inside_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
