// SPDX-License-Identifier: BSD-3-Clause
/* The reader of libsc.h on stores whose flows are a function of their number. */
#include "store_kit.h"

#include "securitycloud/libsc.h"

enum { ID, SOURCE, PROTOCOL, BYTES, FIRST, NAME };

/* A store of `batches` row groups of `rows` flows each, sealed into one segment or left live. */
static char *make_store(uint32_t batches, uint32_t rows, bool seal)
{
    char *path = kit_folder();
    struct sc_store_options options = {.window_s = 300};
    struct sc_error err = {0};
    struct sc_store_writer *writer = sc_store_writer_open(path, &options, &err);
    if (writer == NULL)
        fail_msg("%s", err.message);
    for (uint32_t i = 0; i < batches; i++) {
        struct sc_batch *batch = kit_batch((uint64_t)i * rows, rows, KIT_WINDOW);
        assert_int_equal(sc_store_writer_append(writer, batch, &err), SC_OK);
        assert_int_equal(sc_store_writer_sync(writer, &err), SC_OK);
        sc_batch_free(batch);
    }
    if (seal)
        assert_int_equal(sc_store_writer_seal(writer, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(writer, &err), SC_OK);
    return path;
}

static struct libsc_reader *open_reader(const char *path, const char *filter, const char *fields)
{
    struct libsc_reader *reader = NULL;
    struct libsc_error err;
    if (libsc_reader_open(&path, 1, filter, fields, &reader, &err) != LIBSC_OK)
        fail_msg("%s", err.message);
    assert_non_null(reader);
    return reader;
}

/* Reads to the end. @return the number of rows. */
static uint64_t count_rows(struct libsc_reader *reader)
{
    const struct libsc_value *row;
    struct libsc_error err;
    enum libsc_status status;
    uint64_t rows = 0;
    while ((status = libsc_reader_next(reader, &row, &err)) == LIBSC_OK)
        rows++;
    assert_int_equal(status, LIBSC_END);
    assert_null(row);
    return rows;
}

static enum libsc_status open_fails(const char *path, const char *filter, const char *fields,
                                    struct libsc_error *err)
{
    struct libsc_reader *reader = (struct libsc_reader *)err;
    enum libsc_status status = libsc_reader_open(&path, 1, filter, fields, &reader, err);
    assert_int_not_equal(status, LIBSC_OK);
    assert_int_equal(status, err->status);
    assert_null(reader);
    return status;
}

/* ---- values ---- */

static void check_row(const struct libsc_value *row, uint64_t id)
{
    struct kit_value source = kit_value(KIT_SOURCE, id), protocol = kit_value(KIT_PROTOCOL, id);
    struct kit_value name = kit_value(KIT_INTERFACE, id);
    assert_int_equal(row[SOURCE].type, LIBSC_ADDRESS);
    assert_memory_equal(row[SOURCE].as.address, source.address.b, 16);
    assert_int_equal(row[SOURCE].is_v4, sc_addr_is_v4(&source.address));
    assert_int_equal(row[PROTOCOL].null, protocol.null);
    assert_int_equal(row[PROTOCOL].as.u64, protocol.number);
    assert_int_equal(row[BYTES].as.u64, kit_value(KIT_BYTES, id).number);
    assert_int_equal(row[FIRST].type, LIBSC_TIME_MS);
    assert_int_equal(row[FIRST].as.u64, kit_value(KIT_FIRST, id).number);
    assert_int_equal(row[NAME].type, LIBSC_STRING);
    assert_int_equal(row[NAME].length, name.length);
    assert_memory_equal(row[NAME].as.bytes, name.bytes, name.length);
}

static void rows_hold_what_was_stored(void **state)
{
    (void)state;
    char *path = make_store(3, 5000, true);
    struct libsc_reader *reader = open_reader(path, NULL, "flowId,srcip,proto,bytes,first,interfaceName");
    const struct libsc_value *row;
    uint64_t id = 0;
    while (libsc_reader_next(reader, &row, NULL) == LIBSC_OK) {
        assert_int_equal(row[ID].as.u64, id);
        check_row(row, id++);
    }
    assert_int_equal(id, 15000);
    assert_null(libsc_reader_missing(reader, 0));
    libsc_reader_close(reader);
    kit_remove(path);
}

static void numbers_bytes_and_rates_are_typed(void **state)
{
    (void)state;
    char *path = make_store(1, 2000, false);
    struct libsc_reader *reader = open_reader(path, NULL, "0:434,0:320,64999:77#2,bps,bytes,duration");
    const struct libsc_value *row;
    for (uint64_t id = 0; id < 2000; id++) {
        struct kit_value other = kit_value(KIT_UNKNOWN, id), real = kit_value(KIT_FLOAT, id);
        double want;
        memcpy(&want, &real.number, sizeof(want));
        assert_int_equal(libsc_reader_next(reader, &row, NULL), LIBSC_OK);
        assert_int_equal(row[0].type, LIBSC_INT);
        assert_true(row[0].as.i64 == (int64_t)kit_value(KIT_SIGNED, id).number);
        assert_int_equal(row[1].type, LIBSC_FLOAT);
        assert_true(row[1].as.f64 == want);
        assert_int_equal(row[2].type, LIBSC_BYTES);
        assert_int_equal(row[2].null, other.null);
        assert_int_equal(row[2].length, other.length);
        if (other.length != 0)
            assert_memory_equal(row[2].as.bytes, other.bytes, other.length);
        assert_int_equal(row[3].type, LIBSC_FLOAT);
        want = row[5].as.u64 == 0 ? 0 : 8000 * (double)row[4].as.u64 / (double)row[5].as.u64;
        assert_true(row[3].as.f64 == want);
    }
    assert_int_equal(libsc_reader_next(reader, &row, NULL), LIBSC_END);
    libsc_reader_close(reader);
    kit_remove(path);
}

static void absent_is_null_and_zero(void **state)
{
    static const uint8_t zeros[16];
    char *path = make_store(1, 100, true);
    struct libsc_reader *reader = open_reader(path, NULL, "nexthop,dstport,applicationName");
    const struct libsc_value *row;
    (void)state;
    while (libsc_reader_next(reader, &row, NULL) == LIBSC_OK) {
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(row[i].null, 1);
            assert_int_equal(row[i].length, 0);
            assert_int_equal(row[i].is_v4, 0);
            assert_memory_equal(row[i].as.address, zeros, 16);
        }
    }
    libsc_reader_close(reader);
    kit_remove(path);
}

static void columns_are_described(void **state)
{
    (void)state;
    char *path = make_store(1, 10, true);
    struct libsc_reader *reader = open_reader(path, NULL, "SrcIP, bytes,duration");
    struct libsc_column column;
    assert_int_equal(libsc_reader_columns(reader), 3);
    assert_int_equal(libsc_reader_column(reader, 0, &column), 0);
    assert_string_equal(column.name, "SrcIP");
    assert_string_equal(column.unit, "-");
    assert_int_equal(column.type, LIBSC_ADDRESS);
    assert_int_equal(libsc_reader_column(reader, 1, &column), 0);
    assert_string_equal(column.unit, "octets");
    assert_int_equal(libsc_reader_column(reader, 2, &column), 0);
    assert_string_equal(column.unit, "milliseconds");
    assert_int_equal(column.type, LIBSC_UINT);
    assert_int_equal(libsc_reader_column(reader, 3, &column), -1);
    libsc_reader_close(reader);

    reader = open_reader(path, NULL, NULL);
    assert_int_equal(libsc_reader_column(reader, 0, &column), 0);
    assert_string_equal(column.name, "first");
    libsc_reader_close(reader);
    kit_remove(path);
}

/* ---- selection ---- */

static void a_filter_selects(void **state)
{
    (void)state;
    char *path = make_store(4, 3000, true);
    struct libsc_reader *reader = open_reader(path, "proto 17 and bytes > 500000", "flowId");
    const struct libsc_value *row;
    uint64_t next = 0;
    for (uint64_t id = 0; id < 12000; id++) {
        if (kit_value(KIT_PROTOCOL, id).number != 17 || kit_value(KIT_BYTES, id).number <= 500000)
            continue;
        assert_int_equal(libsc_reader_next(reader, &row, NULL), LIBSC_OK);
        assert_int_equal(row[0].as.u64, id);
        next++;
    }
    assert_true(next > 100);
    assert_int_equal(libsc_reader_next(reader, &row, NULL), LIBSC_END);
    libsc_reader_close(reader);
    kit_remove(path);
}

static void the_end_stays_the_end(void **state)
{
    (void)state;
    char *path = make_store(1, 100, false);
    struct libsc_reader *reader = open_reader(path, "", "bytes");
    const struct libsc_value *row;
    assert_int_equal(count_rows(reader), 100);
    assert_int_equal(libsc_reader_next(reader, &row, NULL), LIBSC_END);
    assert_int_equal(libsc_reader_next(reader, &row, NULL), LIBSC_END);
    libsc_reader_close(reader);

    reader = open_reader(path, "bytes > 100 and bytes < 50", "bytes");
    assert_int_equal(count_rows(reader), 0);
    libsc_reader_close(reader);
    kit_remove(path);
}

static void an_empty_store_has_no_rows(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct libsc_reader *reader = open_reader(path, NULL, "bytes");
    assert_int_equal(count_rows(reader), 0);
    assert_null(libsc_reader_missing(reader, 0));
    libsc_reader_close(reader);
    kit_remove(path);
}

static void overlapping_paths_count_once(void **state)
{
    (void)state;
    char *path = make_store(2, 1000, false);
    const char *paths[] = {path, path};
    struct libsc_reader *reader;
    assert_int_equal(libsc_reader_open(paths, 2, NULL, "bytes", &reader, NULL), LIBSC_OK);
    assert_int_equal(count_rows(reader), 2000);
    libsc_reader_close(reader);
    kit_remove(path);
}

static void two_readers_do_not_disturb_each_other(void **state)
{
    (void)state;
    char *path = make_store(2, 500, true);
    struct libsc_reader *a = open_reader(path, NULL, "flowId"), *b = open_reader(path, NULL, "bytes");
    const struct libsc_value *row_a, *row_b;
    for (uint64_t id = 0; id < 1000; id++) {
        assert_int_equal(libsc_reader_next(a, &row_a, NULL), LIBSC_OK);
        assert_int_equal(libsc_reader_next(b, &row_b, NULL), LIBSC_OK);
        assert_int_equal(row_a[0].as.u64, id);
        assert_int_equal(row_b[0].as.u64, kit_value(KIT_BYTES, id).number);
    }
    libsc_reader_close(a);
    assert_int_equal(count_rows(b), 0);
    libsc_reader_close(b);
    kit_remove(path);
}

/* ---- errors ---- */

static void bad_arguments_have_messages(void **state)
{
    (void)state;
    char *path = make_store(1, 10, true);
    struct libsc_error err;
    assert_int_equal(open_fails(path, "bytes >> 5", "bytes", &err), LIBSC_USAGE);
    assert_non_null(strstr(err.message, "bytes >> 5"));
    assert_non_null(strchr(err.message, '^'));
    assert_int_equal(open_fails(path, NULL, "bytes,srcipp", &err), LIBSC_NOT_FOUND);
    assert_non_null(strstr(err.message, "srcipp"));
    assert_int_equal(open_fails(path, NULL, "bytes,,srcip", &err), LIBSC_USAGE);
    assert_int_equal(open_fails("/nonexistent/store", NULL, "bytes", &err), LIBSC_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nonexistent/store"));
    assert_int_equal(open_fails(NULL, NULL, "bytes", &err), LIBSC_USAGE);

    struct libsc_reader *reader;
    const char *const paths[] = {path};
    assert_int_equal(libsc_reader_open(paths, 0, NULL, NULL, &reader, &err), LIBSC_USAGE);
    assert_int_equal(libsc_reader_open(NULL, 1, NULL, NULL, &reader, &err), LIBSC_USAGE);
    assert_int_equal(libsc_reader_open(paths, 1, NULL, NULL, NULL, &err), LIBSC_USAGE);
    assert_int_equal(libsc_reader_open(paths, 1, "nonsense", NULL, &reader, NULL), LIBSC_USAGE);
    libsc_reader_close(NULL);
    kit_remove(path);
}

static void too_many_fields_are_refused(void **state)
{
    (void)state;
    char *path = kit_folder();
    char fields[257 * 6 + 1] = "";
    struct libsc_error err;
    for (unsigned i = 0; i < 257; i++)
        strcat(fields, i == 0 ? "bytes" : ",bytes");
    assert_int_equal(open_fails(path, NULL, fields, &err), LIBSC_LIMIT);
    kit_remove(path);
}

static void another_file_is_not_ours(void **state)
{
    (void)state;
    char *path = kit_folder(), file[256];
    struct libsc_error err;
    snprintf(file, sizeof(file), "%s/other", path);
    kit_write_file(file, "this was never a segment, whatever it is", 40);
    assert_int_equal(open_fails(file, NULL, "bytes", &err), LIBSC_NOT_OURS);
    kit_remove(path);
}

static void an_unreadable_path_is_missing(void **state)
{
    (void)state;
    char *path = make_store(1, 100, true);
    const char *paths[] = {"/nonexistent/store", path};
    struct libsc_reader *reader;
    assert_int_equal(libsc_reader_open(paths, 2, NULL, "bytes", &reader, NULL), LIBSC_OK);
    assert_non_null(libsc_reader_missing(reader, 0));
    assert_non_null(strstr(libsc_reader_missing(reader, 0), "/nonexistent/store"));
    assert_int_equal(count_rows(reader), 100);
    assert_null(libsc_reader_missing(reader, 1));
    libsc_reader_close(reader);
    kit_remove(path);
}

/* Changes a byte of the first row group's chunks. */
static void damage_first_group(const char *store)
{
    struct sc_catalogue catalogue = {0};
    struct sc_segment *segment;
    struct sc_error err = {0};
    assert_int_equal(sc_catalogue_add(&catalogue, store, &err), SC_OK);
    assert_int_equal(catalogue.count, 1);
    assert_int_equal(sc_segment_open(catalogue.files[0].path, &segment, &err), SC_OK);
    assert_true(segment->group_count > 1);
    size_t length, at = (size_t)(segment->groups[0].offset + segment->groups[0].length / 2);
    uint8_t *bytes = kit_read_file(catalogue.files[0].path, &length);
    bytes[at] ^= 0x5a;
    kit_write_file(catalogue.files[0].path, bytes, length);
    free(bytes);
    sc_segment_close(segment);
    sc_catalogue_free(&catalogue);
}

static void a_damaged_row_group_is_left_out_whole(void **state)
{
    (void)state;
    char *path = make_store(3, 4000, false);
    damage_first_group(path);
    struct libsc_reader *reader =
        open_reader(path, NULL,
                    "flowId,srcip,dstip,proto,srcport,packets,bytes,first,last,srcas,"
                    "interfaceName,0:434,0:320,64999:77#2");
    const struct libsc_value *row;
    uint64_t id = 4000;
    for (; libsc_reader_next(reader, &row, NULL) == LIBSC_OK; id++)
        assert_int_equal(row[0].as.u64, id);
    assert_int_equal(id, 12000);
    assert_non_null(libsc_reader_missing(reader, 0));
    assert_non_null(strstr(libsc_reader_missing(reader, 0), "damaged"));
    assert_null(libsc_reader_missing(reader, 1));
    libsc_reader_close(reader);
    kit_remove(path);
}

UNIT(test_reader)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_hold_what_was_stored),
        cmocka_unit_test(numbers_bytes_and_rates_are_typed),
        cmocka_unit_test(absent_is_null_and_zero),
        cmocka_unit_test(columns_are_described),
        cmocka_unit_test(a_filter_selects),
        cmocka_unit_test(the_end_stays_the_end),
        cmocka_unit_test(an_empty_store_has_no_rows),
        cmocka_unit_test(overlapping_paths_count_once),
        cmocka_unit_test(two_readers_do_not_disturb_each_other),
        cmocka_unit_test(bad_arguments_have_messages),
        cmocka_unit_test(too_many_fields_are_refused),
        cmocka_unit_test(another_file_is_not_ours),
        cmocka_unit_test(an_unreadable_path_is_missing),
        cmocka_unit_test(a_damaged_row_group_is_left_out_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
