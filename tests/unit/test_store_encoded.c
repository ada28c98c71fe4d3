// SPDX-License-Identifier: BSD-3-Clause
/* Row groups that come encoded: what is whole is stored as it is, a changed byte anywhere is found. */
#include "store_kit.h"

#include "store/row_group_encode.h"
#include "store/store.h"

static void encode(struct sc_batch *batch, struct sc_buf *out)
{
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_row_group_encode(&encoder, batch, out, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    sc_row_group_encoder_free(&encoder);
}

static void make(uint64_t first, uint32_t rows, uint64_t window_ms, uint64_t sequence, struct sc_buf *out)
{
    struct sc_batch *batch = kit_batch(first, rows, window_ms);
    kit_span(batch, 77, sequence);
    encode(batch, out);
    sc_batch_free(batch);
}

static void stored_as_they_came(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, &err);
    struct kit_scan scan;
    assert_non_null(w);
    for (uint32_t i = 0; i < 12; i++) {
        struct sc_buf bytes = {0};
        struct sc_encoded_group group;
        uint64_t window = KIT_WINDOW + i / 4 * 300000u;
        make(i * 500u, 500, window, i, &bytes);
        assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_OK);
        assert_int_equal(group.ref.rows, 500);
        assert_int_equal(group.span.stream, 77);
        assert_int_equal(group.span.sequence, i);
        /* the third comes twice: the reader counts it once */
        for (int times = i == 2 ? 2 : 1; times > 0; times--)
            assert_int_equal(sc_store_writer_append_encoded(w, window, &group, &err), SC_OK);
        sc_encoded_group_free(&group);
        sc_buf_free(&bytes);
    }
    for (int sealed = 0; sealed < 2; sealed++) {
        assert_int_equal(sc_store_writer_sync(w, &err), SC_OK);
        kit_scan_store(&scan, path, 6000);
        assert_int_equal(scan.rows, 6000);
        assert_int_equal(scan.rows_stored, sealed ? 6000 : 6500);
        assert_int_equal(scan.damaged, 0);
        kit_scan_free(&scan);
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    }
    struct sc_store_stats stats;
    sc_store_writer_stats(w, &stats);
    assert_int_equal(stats.flows, 6500);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    kit_remove(path);
}

static void every_changed_byte_is_found(void **state)
{
    (void)state;
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    struct sc_error err;
    make(3, 40, KIT_WINDOW, 1, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x10;
        assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_DAMAGED);
        bytes.data[i] ^= 0x10;
    }
    for (size_t length = 0; length < bytes.len; length++) {
        uint8_t *cut = malloc(length + 1); /* so that a read behind the end is seen */
        assert_non_null(cut);
        memcpy(cut, bytes.data, length);
        assert_int_equal(sc_row_group_check(cut, length, &group, NULL), SC_DAMAGED);
        free(cut);
    }
    assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_OK);
    sc_encoded_group_free(&group);
    sc_buf_free(&bytes);
}

/* What another lane's folder holds is part of the store, where it is asked for. */
static void replicas_are_listed(void **state)
{
    (void)state;
    char *path = kit_folder(), lane[4096];
    struct sc_error err = {0};
    snprintf(lane, sizeof(lane), "%s/.replica/beta", path);
    for (int own = 0; own < 2; own++) {
        struct sc_store_writer *w = sc_store_writer_open(own ? path : lane, NULL, &err);
        struct sc_batch *batch = kit_batch(own ? 0 : 100, 100, KIT_WINDOW);
        assert_non_null(w);
        assert_int_equal(sc_store_writer_append(w, batch, &err), SC_OK);
        assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
        sc_batch_free(batch);
    }
    for (unsigned replicas = 0; replicas < 2; replicas++) {
        struct sc_catalogue catalogue = {.replicas = replicas != 0};
        assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_OK);
        assert_int_equal(catalogue.count, 1 + replicas);
        sc_catalogue_free(&catalogue);
    }
    kit_remove(path);
}

/* A wrong path must not look like a store without flows. */
static void other_folders_are_no_stores(void **state)
{
    (void)state;
    char *path = kit_folder(), name[4096];
    struct sc_error err = {0};
    struct sc_catalogue catalogue = {0};
    assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_OK); /* empty: nothing was stored yet */
    snprintf(name, sizeof(name), "%s/nfcapd.202601050800", path);
    kit_write_file(name, "x", 1);
    assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_NOT_OURS);
    assert_non_null(strstr(err.message, "is no store"));
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, &err); /* a new store beside other things */
    assert_non_null(w);
    assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    sc_catalogue_free(&catalogue);
    kit_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_as_they_came),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(replicas_are_listed),
        cmocka_unit_test(other_folders_are_no_stores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
