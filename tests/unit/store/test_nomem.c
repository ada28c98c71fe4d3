// SPDX-License-Identifier: BSD-3-Clause
/*
 * The store without memory: the n-th allocation fails, alone or with all that follow, for every n until the work
 * succeeds. It says SC_NOMEM, keeps what it had, leaks nothing.
 */
#include "store/merge.h"

#include "nomem_kit.h"
#include "store_kit.h"

/* ---- the work ---- */

struct work {
    char *folder;
    char path[256];
    struct sc_batch *batch;
    struct sc_error err;
};

typedef enum sc_status work_fn(struct work *work);

static void must_be_out_of_memory(const struct work *work, enum sc_status status, long n)
{
    if (status != SC_NOMEM || work->err.status != SC_NOMEM || work->err.message[0] == '\0')
        fail_msg("allocation %ld fails: status %d, told as %d \"%s\"", n, status, work->err.status,
                 work->err.message);
}

/* Until it succeeds without a refusal; `check` looks at what is left each time. */
static void exhaust(struct work *work, work_fn *fn, void (*check)(struct work *work, bool succeeded))
{
    for (int all = 0; all < 2; all++) {
        bool more = true;
        long n = 0;
        for (; more; n++) {
            work->err = (struct sc_error){0};
            nomem_arm(n, all != 0);
            enum sc_status status = fn(work);
            more = nomem_disarm();
            if (status != SC_OK)
                must_be_out_of_memory(work, status, n);
            assert_true(more || status == SC_OK);
            if (check != NULL)
                check(work, status == SC_OK);
        }
        assert_true(n > 2);
    }
}

static void work_start(struct work *work)
{
    *work = (struct work){.folder = kit_folder()};
    snprintf(work->path, sizeof(work->path), "%s/20270115T080000Z-0000000000000abc-00000001.scs",
             work->folder);
    work->batch = kit_batch(0, 700, KIT_WINDOW);
    kit_span(work->batch, 1, 0);
}

static void work_end(struct work *work)
{
    sc_batch_free(work->batch);
    kit_remove(work->folder);
}

/* ---- encoding and writing one segment ---- */

static enum sc_status write_segment(struct work *work, enum sc_effort effort)
{
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    SC_TRY(sc_row_group_encoder_init(&encoder, effort, &work->err));
    enum sc_status status = sc_segment_writer_create(&writer, sc_io_system(), work->path, &id, &work->err);
    if (status != SC_OK) {
        sc_row_group_encoder_free(&encoder);
        return status;
    }
    status = sc_segment_writer_add(&writer, &encoder, work->batch, &work->err);
    if (status == SC_OK)
        status = sc_segment_writer_finish(&writer, &work->err);
    else
        sc_segment_writer_abandon(&writer);
    sc_row_group_encoder_free(&encoder);
    return status;
}

static enum sc_status write_live(struct work *work)
{
    return write_segment(work, SC_EFFORT_LIVE);
}

static enum sc_status write_sealed(struct work *work)
{
    return write_segment(work, SC_EFFORT_SEALED);
}

/* What was written without complaint is whole, however little memory there was to compress it. */
static void check_segment(struct work *work, bool succeeded)
{
    struct kit_scan scan;
    if (succeeded) {
        kit_scan_store(&scan, work->folder, 700);
        assert_int_equal(scan.damaged, 0);
        assert_int_equal(scan.rows, 700);
        kit_scan_free(&scan);
    }
    unlink(work->path);
}

static void writing(void **state)
{
    (void)state;
    struct work work;
    work_start(&work);
    exhaust(&work, write_live, check_segment);
    exhaust(&work, write_sealed, check_segment);
    work_end(&work);
}

/* A row group that could not be encoded leaves the file as it was; the next try goes on in it. */
static void a_second_try_in_the_same_file(void **state)
{
    (void)state;
    struct work work;
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    work_start(&work);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_SEALED, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), work.path, &id, NULL), SC_OK);
    enum sc_status status = SC_NOMEM;
    for (long n = 0; status != SC_OK; n++) {
        uint64_t offset = writer.offset;
        nomem_arm(n, true);
        status = sc_segment_writer_add(&writer, &encoder, work.batch, &work.err);
        nomem_disarm();
        if (status != SC_OK) {
            must_be_out_of_memory(&work, status, n);
            assert_int_equal(writer.offset, offset);
        }
    }
    assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
    sc_row_group_encoder_free(&encoder);
    check_segment(&work, true);
    work_end(&work);
}

/* ---- reading ---- */

static enum sc_status read_segment(struct work *work)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    SC_TRY(sc_segment_open(work->path, &segment, &work->err));
    enum sc_status status = sc_read_context_init(&context);
    if (status != SC_OK)
        sc_fail_nomem(&work->err, "a context");
    for (uint32_t i = 0; i < segment->group_count && status == SC_OK; i++) {
        uint32_t damaged;
        status = sc_row_group_open(&context, segment, i, &group, &work->err);
        if (status == SC_OK)
            status = sc_row_group_verify(group, &damaged, &work->err);
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
    return status;
}

static void reading(void **state)
{
    (void)state;
    struct work work;
    work_start(&work);
    assert_int_equal(write_sealed(&work), SC_OK);
    exhaust(&work, read_segment, NULL);
    assert_int_equal(truncate(work.path, 5000), 0); /* and by walking */
    unlink(work.path);
    assert_int_equal(write_live(&work), SC_OK);
    exhaust(&work, read_segment, NULL);
    work_end(&work);
}

/* ---- merging ---- */

static enum sc_status merge(struct work *work)
{
    char out[300];
    const char *inputs[] = {work->path, work->path};
    struct sc_merge_report report;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    snprintf(out, sizeof(out), "%s/merged", work->folder);
    enum sc_status status =
        sc_merge_segments(sc_io_system(), inputs, 2, out, &id, NULL, NULL, &report, &work->err);
    if (status == SC_OK) { /* nothing was skipped for want of memory */
        assert_int_equal(report.rows, 700);
        assert_int_equal(report.groups_damaged + report.stretches_damaged, 0);
        assert_int_equal(report.batches_double, 1);
        unlink(out);
    }
    assert_int_not_equal(access(out, F_OK), 0);
    return status;
}

static void merging(void **state)
{
    (void)state;
    struct work work;
    work_start(&work);
    assert_int_equal(write_live(&work), SC_OK);
    exhaust(&work, merge, NULL);
    work_end(&work);
}

/* ---- verify, repair, expire ---- */

static enum sc_status verify(struct work *work)
{
    struct sc_verify_report report;
    enum sc_status status = sc_store_verify(work->folder, NULL, NULL, &report, &work->err);
    assert_int_equal(report.damaged_segments, 0); /* to be out of memory is no damage */
    return status;
}

static void verifying(void **state)
{
    (void)state;
    struct work work;
    work_start(&work);
    assert_int_equal(write_sealed(&work), SC_OK);
    exhaust(&work, verify, NULL);
    work_end(&work);
}

static enum sc_status repair(struct work *work)
{
    struct sc_verify_report report;
    return sc_store_repair(work->folder, NULL, NULL, NULL, &report, &work->err);
}

static void damage_segment(struct work *work, bool succeeded)
{
    (void)succeeded;
    char kept[300];
    snprintf(kept, sizeof(kept), "%s.damaged", work->path);
    unlink(kept);
    unlink(work->path);
    struct sc_batch *both[] = {work->batch, kit_batch(700, 50, KIT_WINDOW)};
    kit_span(both[1], 1, 1);
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), work->path, &id, NULL), SC_OK);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sc_segment_writer_add(&writer, &encoder, both[i], NULL), SC_OK);
    assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
    sc_row_group_encoder_free(&encoder);
    sc_batch_free(both[1]);
    FILE *f = fopen(work->path, "r+b");
    assert_non_null(f);
    fseek(f, 5000, SEEK_SET);
    fputs("damage", f);
    fclose(f);
}

/* Whatever happened, the whole row group is there: under its name, or still in the file that is to be repaired. */
static void check_repair(struct work *work, bool succeeded)
{
    struct kit_scan scan;
    kit_scan_store(&scan, work->folder, 750);
    assert_int_equal(scan.rows, 50);
    assert_true(scan.damaged == 0 || !succeeded);
    kit_scan_free(&scan);
    damage_segment(work, succeeded);
}

static void repairing(void **state)
{
    (void)state;
    struct work work;
    work_start(&work);
    damage_segment(&work, false);
    exhaust(&work, repair, check_repair);
    work_end(&work);
}

static enum sc_status expire(struct work *work)
{
    struct sc_retention retention = {.bytes = 1};
    struct sc_expiry expiry;
    return sc_store_expire(work->folder, &retention, KIT_WINDOW, false, NULL, &expiry, &work->err);
}

static void expiring(void **state)
{
    (void)state;
    struct work work;
    work_start(&work);
    assert_int_equal(write_sealed(&work), SC_OK);
    exhaust(&work, expire, NULL);
    work_end(&work);
}

/* ---- the store's writer ---- */

/* A collector that keeps its batches until they are durable, and is patient. @return true when something was refused */
static bool store_batches(struct work *work, long n, bool all)
{
    enum { BATCHES = 3 };
    struct sc_batch *batches[BATCHES];
    struct sc_store_writer *w = NULL;
    for (uint32_t b = 0; b < BATCHES; b++)
        batches[b] = kit_batch(b * 20, 20, KIT_WINDOW + b % 2 * 300000);
    nomem_arm(n, all);
    w = sc_store_writer_open(work->folder, NULL, &work->err);
    if (w == NULL) {
        nomem_disarm();
        must_be_out_of_memory(work, work->err.status, n);
        w = sc_store_writer_open(work->folder, NULL, &work->err);
        assert_non_null(w);
    }
    for (uint32_t b = 0; b < BATCHES; b++) {
        enum sc_status status = sc_store_writer_append(w, batches[b], &work->err);
        if (status != SC_OK) {
            nomem_disarm();
            must_be_out_of_memory(work, status, n);
            assert_int_equal(sc_store_writer_append(w, batches[b], NULL), SC_OK);
        }
    }
    assert_int_equal(sc_store_writer_sync(w, NULL), SC_OK);
    enum sc_status status = sc_store_writer_seal(w, UINT64_MAX, &work->err);
    nomem_disarm();
    for (unsigned i = 0; i < 3 && status != SC_OK; i++) /* a job of the first try may fail behind our back */
        status = sc_store_writer_seal(w, UINT64_MAX, &work->err);
    assert_int_equal(status, SC_OK);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    for (uint32_t b = 0; b < BATCHES; b++)
        sc_batch_free(batches[b]);
    return nomem_disarm();
}

static void the_writer(void **state)
{
    (void)state;
    struct work work;
    for (int all = 0; all < 2; all++) {
        bool more = true;
        for (long n = 0; more; n++) {
            struct kit_scan scan;
            work_start(&work);
            more = store_batches(&work, n, all != 0);
            kit_scan_store(&scan, work.folder, 60);
            assert_int_equal(scan.rows, 60);
            assert_int_equal(scan.rows_stored, 60);
            assert_int_equal(scan.live + scan.damaged, 0);
            kit_scan_free(&scan);
            work_end(&work);
        }
    }
}

UNIT(test_nomem)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing),   cmocka_unit_test(a_second_try_in_the_same_file),
        cmocka_unit_test(reading),   cmocka_unit_test(merging),
        cmocka_unit_test(verifying), cmocka_unit_test(repairing),
        cmocka_unit_test(expiring),  cmocka_unit_test(the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
