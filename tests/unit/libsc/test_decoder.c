// SPDX-License-Identifier: BSD-3-Clause
/* The decoder of libsc.h. Messages are written with the decoder's kit; what becomes of them is seen from
 * outside. */
#include "decoder_kit.h"

#include "securitycloud/libsc.h"

#define FIELDS "srcip,dstip,bytes,packets,first,received,exporterip,exporterport,sampling,interfaceName"

enum { SOURCE, DESTINATION, BYTES, PACKETS, FIRST, RECEIVED, EXPORTER, PORT, SAMPLING, NAME, COLUMNS };

struct fixture {
    struct kit kit; /* its message only */
    struct libsc_decoder *decoder;
    struct libsc_source source;
    struct libsc_outcome outcome;
    struct libsc_error err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sc_addr exporter = sc_addr_v4(0xc0000201);
    if (f == NULL || libsc_decoder_create(FIELDS, "odid,0:34,bytes", &f->decoder, &f->err) != LIBSC_OK)
        return -1;
    memcpy(f->source.address, exporter.b, 16);
    f->source.port = 40000;
    f->source.receive_ms = KIT_RECEIVED;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    libsc_decoder_free(f->decoder);
    sc_buf_free(&f->kit.message);
    free(f);
    return 0;
}

static enum libsc_status send(struct fixture *f)
{
    uint8_t *p = f->kit.message.data;
    size_t length = f->kit.message.len;
    if (length >= 16 && sc_load_be16(p) == 10 && sc_load_be16(p + 2) == 0)
        sc_store_be16(p + 2, (uint16_t)length);
    uint8_t *copy = malloc(length + (length == 0)); /* exact, for the sanitizer */
    assert_non_null(copy);
    memcpy(copy, p, length);
    enum libsc_status status =
        libsc_decoder_message(f->decoder, &f->source, copy, length, &f->outcome, &f->err);
    free(copy);
    return status;
}

static const struct libsc_value *next(struct fixture *f)
{
    const struct libsc_value *row;
    assert_int_equal(libsc_decoder_next(f->decoder, &row), LIBSC_OK);
    assert_non_null(row);
    return row;
}

static void assert_no_more(struct fixture *f)
{
    const struct libsc_value *row;
    assert_int_equal(libsc_decoder_next(f->decoder, &row), LIBSC_END);
    assert_null(row);
}

static void put_v5_record(struct kit *k, uint32_t bytes)
{
    put32(k, 0x0a000001);
    put32(k, 0x0a000002);
    put32(k, 0);
    put32(k, 0);
    put32(k, 3);
    put32(k, bytes);
    put32(k, 1000); /* first */
    put32(k, 1500); /* last */
    put_zeros(k, 16);
}

/* Template 256: srcip v6, bytes in 8, interface name of variable length. */
static void put_named_template(struct kit *k)
{
    put_template(k, 256, 3, 27, 16, 1, 8, 82, 65535);
}

static void put_named_record(struct kit *k, uint32_t last, uint64_t bytes, const char *name)
{
    put_v6(k, last);
    put64(k, bytes);
    put8(k, (uint8_t)strlen(name));
    put_bytes(k, name, strlen(name));
}

/* ---- records ---- */

static void v5_gives_its_records(void **state)
{
    struct fixture *f = *state;
    begin_v5(&f->kit, 2, 2000, 0);
    put_v5_record(&f->kit, 100);
    put_v5_record(&f->kit, 200);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(f->outcome.flows, 2);
    const struct libsc_value *row = next(f);
    static const uint8_t source[4] = {10, 0, 0, 1};
    assert_int_equal(row[SOURCE].type, LIBSC_ADDRESS);
    assert_int_equal(row[SOURCE].is_v4, 1);
    assert_memory_equal(row[SOURCE].as.address + 12, source, 4);
    assert_int_equal(row[BYTES].as.u64, 100);
    assert_int_equal(row[PACKETS].as.u64, 3);
    /* export time - uptime + first */
    assert_int_equal(row[FIRST].as.u64, (uint64_t)KIT_SECONDS * 1000 + 500 - 2000 + 1000);
    assert_int_equal(row[RECEIVED].as.u64, KIT_RECEIVED);
    assert_memory_equal(row[EXPORTER].as.address, f->source.address, 16);
    assert_int_equal(row[PORT].as.u64, 40000);
    assert_int_equal(row[SAMPLING].as.u64, 100);
    assert_int_equal(row[NAME].null, 1);
    assert_int_equal(next(f)[BYTES].as.u64, 200);
    assert_no_more(f);
    assert_no_more(f);
}

static void ipfix_gives_texts_and_v6(void **state)
{
    struct fixture *f = *state;
    begin_ipfix(&f->kit, 0);
    put_named_template(&f->kit);
    begin_set(&f->kit, 256);
    put_named_record(&f->kit, 5, UINT64_C(1) << 40, "eth0");
    put_named_record(&f->kit, 6, 7, "");
    end_set(&f->kit);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(f->outcome.templates, 1);
    const struct libsc_value *row = next(f);
    assert_int_equal(row[SOURCE].is_v4, 0);
    assert_int_equal(row[SOURCE].as.address[15], 5);
    assert_int_equal(row[DESTINATION].null, 1);
    assert_int_equal(row[PACKETS].null, 1);
    assert_true(row[BYTES].as.u64 == UINT64_C(1) << 40);
    assert_int_equal(row[NAME].type, LIBSC_STRING);
    assert_int_equal(row[NAME].length, 4);
    assert_memory_equal(row[NAME].as.bytes, "eth0", 4);
    row = next(f);
    assert_int_equal(row[NAME].null, 0);
    assert_int_equal(row[NAME].length, 0);
    assert_no_more(f);
}

static void rows_not_taken_are_dropped(void **state)
{
    struct fixture *f = *state;
    begin_v5(&f->kit, 2, 2000, 0);
    put_v5_record(&f->kit, 1);
    put_v5_record(&f->kit, 2);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(next(f)[BYTES].as.u64, 1);
    begin_v5(&f->kit, 1, 2000, 2);
    put_v5_record(&f->kit, 3);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(next(f)[BYTES].as.u64, 3);
    assert_no_more(f);
}

/* A column of one message must not show through in the next. */
static void messages_of_other_shape_follow(void **state)
{
    struct fixture *f = *state;
    ipfix_gives_texts_and_v6(state);
    begin_v5(&f->kit, 1, 2000, 0);
    put_v5_record(&f->kit, 9);
    assert_int_equal(send(f), LIBSC_OK);
    const struct libsc_value *row = next(f);
    assert_int_equal(row[NAME].null, 1);
    assert_int_equal(row[SOURCE].is_v4, 1);
    assert_int_equal(row[BYTES].as.u64, 9);
}

static void data_waits_for_its_template(void **state)
{
    struct fixture *f = *state;
    begin_ipfix(&f->kit, 0);
    begin_set(&f->kit, 256);
    put_named_record(&f->kit, 1, 11, "a");
    end_set(&f->kit);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(f->outcome.no_template_sets, 1);
    assert_no_more(f);
    begin_ipfix(&f->kit, 1);
    put_named_template(&f->kit);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(f->outcome.recovered_sets, 1);
    assert_int_equal(next(f)[BYTES].as.u64, 11);
    assert_no_more(f);
}

/* ---- options ---- */

static void send_options(struct fixture *f)
{
    begin_ipfix(&f->kit, 0);
    put_options_template(&f->kit, 300, 1, 2, 149, 4, 34, 4);
    begin_set(&f->kit, 300);
    put32(&f->kit, 7);
    put32(&f->kit, 512);
    end_set(&f->kit);
    put_template(&f->kit, 256, 1, 1, 4);
    begin_set(&f->kit, 256);
    put32(&f->kit, 99);
    end_set(&f->kit);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(f->outcome.options, 1);
    assert_int_equal(f->outcome.flows, 1);
}

static void options_have_rows_of_their_own(void **state)
{
    struct fixture *f = *state;
    const struct libsc_value *row;
    struct libsc_column column;
    send_options(f);
    assert_int_equal(libsc_decoder_option_columns(f->decoder), 3);
    assert_int_equal(libsc_decoder_option_column(f->decoder, 0, &column), 0);
    assert_string_equal(column.name, "odid");
    assert_int_equal(libsc_decoder_next_option(f->decoder, &row), LIBSC_OK);
    assert_int_equal(row[0].as.u64, 7);
    assert_int_equal(row[1].as.u64, 512);
    assert_int_equal(row[2].null, 1);
    assert_int_equal(libsc_decoder_next_option(f->decoder, &row), LIBSC_END);
    assert_int_equal(next(f)[BYTES].as.u64, 99);
    assert_no_more(f);
}

static void options_are_given_on_request_only(void **state)
{
    struct fixture *f = *state;
    const struct libsc_value *row;
    libsc_decoder_free(f->decoder);
    assert_int_equal(libsc_decoder_create(FIELDS, NULL, &f->decoder, NULL), LIBSC_OK);
    send_options(f);
    assert_int_equal(libsc_decoder_option_columns(f->decoder), 0);
    assert_int_equal(libsc_decoder_next_option(f->decoder, &row), LIBSC_END);
    assert_null(row);
    assert_int_equal(next(f)[BYTES].as.u64, 99);
}

/* ---- errors ---- */

static void what_is_whole_of_a_malformed_message_is_given(void **state)
{
    struct fixture *f = *state;
    begin_ipfix(&f->kit, 0);
    put_named_template(&f->kit);
    begin_set(&f->kit, 256);
    put_named_record(&f->kit, 1, 1, "x");
    end_set(&f->kit);
    put16(&f->kit, 256);
    put16(&f->kit, 4000); /* a set that reaches beyond the message */
    assert_int_equal(send(f), LIBSC_MALFORMED);
    assert_int_equal(f->err.status, LIBSC_MALFORMED);
    assert_int_not_equal(strlen(f->err.message), 0);
    assert_int_equal(f->outcome.malformed, 1);
    assert_int_equal(f->outcome.flows, 1);
    assert_non_null(next(f));
    assert_no_more(f);
    v5_gives_its_records(state); /* the decoder goes on */
}

static void strange_bytes_are_refused(void **state)
{
    struct fixture *f = *state;
    sc_buf_clear(&f->kit.message);
    put16(&f->kit, 77);
    put_zeros(&f->kit, 30);
    assert_int_equal(send(f), LIBSC_UNSUPPORTED);
    assert_no_more(f);
    assert_int_not_equal(libsc_decoder_message(f->decoder, &f->source, "", 0, NULL, NULL), LIBSC_OK);
    assert_int_not_equal(libsc_decoder_message(f->decoder, &f->source, "\0", 1, NULL, NULL), LIBSC_OK);
    f->source.transport = 3;
    begin_v5(&f->kit, 0, 0, 0);
    assert_int_equal(send(f), LIBSC_USAGE);
    libsc_decoder_end_session(f->decoder, &f->source);
}

static void a_decoder_needs_good_fields(void **state)
{
    struct libsc_decoder *decoder = *state;
    struct libsc_error err;
    assert_int_equal(libsc_decoder_create("srcip,nosuch", NULL, &decoder, &err), LIBSC_NOT_FOUND);
    assert_null(decoder);
    assert_non_null(strstr(err.message, "nosuch"));
    assert_int_equal(libsc_decoder_create(NULL, "nosuch", &decoder, &err), LIBSC_NOT_FOUND);
    assert_int_equal(libsc_decoder_create(NULL, NULL, NULL, &err), LIBSC_USAGE);
    libsc_decoder_free(NULL);
    assert_int_equal(libsc_decoder_create(NULL, NULL, &decoder, NULL), LIBSC_OK);
    assert_true(libsc_decoder_columns(decoder) > 5);
    libsc_decoder_free(decoder);
}

/* ---- sessions ---- */

static int note_exporter(void *arg, const struct libsc_exporter *exporter)
{
    *(struct libsc_exporter *)arg = *exporter;
    return 0;
}

static void accounts_are_kept(void **state)
{
    struct fixture *f = *state;
    struct libsc_exporter e = {0};
    libsc_decoder_exporters(f->decoder, note_exporter, &e);
    assert_int_equal(e.messages, 0);
    begin_v5(&f->kit, 1, 2000, 10);
    put_v5_record(&f->kit, 1);
    assert_int_equal(send(f), LIBSC_OK);
    begin_v5(&f->kit, 1, 2000, 14);
    put_v5_record(&f->kit, 1);
    assert_int_equal(send(f), LIBSC_OK);
    assert_int_equal(f->outcome.lost, 3);
    libsc_decoder_exporters(f->decoder, note_exporter, &e);
    assert_int_equal(e.version, 5);
    assert_int_equal(e.port, 40000);
    assert_memory_equal(e.address, f->source.address, 16);
    assert_int_equal(e.messages, 2);
    assert_int_equal(e.bytes, 2 * (24 + 48));
    assert_int_equal(e.flows, 2);
    assert_int_equal(e.lost, 3);
    assert_int_equal(e.sampling_interval, 100);
    assert_int_equal(e.last_seen_ms, KIT_RECEIVED);
}

static void send_named(struct fixture *f, bool with_template, uint32_t sequence)
{
    begin_ipfix(&f->kit, sequence);
    if (with_template)
        put_named_template(&f->kit);
    begin_set(&f->kit, 256);
    put_named_record(&f->kit, 1, 1, "x");
    end_set(&f->kit);
    assert_int_equal(send(f), LIBSC_OK);
}

static void the_end_of_a_connection_forgets_templates(void **state)
{
    struct fixture *f = *state;
    f->source.transport = LIBSC_TCP;
    f->source.connection = 4711;
    send_named(f, true, 0);
    send_named(f, false, 1);
    assert_int_equal(f->outcome.flows, 1);
    libsc_decoder_end_session(f->decoder, &f->source);
    send_named(f, false, 2);
    assert_int_equal(f->outcome.flows, 0);
    assert_no_more(f);
}

static void old_templates_are_forgotten(void **state)
{
    struct fixture *f = *state;
    send_named(f, true, 0);
    libsc_decoder_expire(f->decoder, KIT_RECEIVED + 60 * 1000);
    send_named(f, false, 1);
    assert_int_equal(f->outcome.flows, 1);
    f->source.receive_ms = KIT_RECEIVED + 40 * 60 * 1000;
    libsc_decoder_expire(f->decoder, f->source.receive_ms);
    send_named(f, false, 2);
    assert_int_equal(f->outcome.flows, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

UNIT(test_decoder)
{
    const struct CMUnitTest tests[] = {
        TEST(v5_gives_its_records),
        TEST(ipfix_gives_texts_and_v6),
        TEST(rows_not_taken_are_dropped),
        TEST(messages_of_other_shape_follow),
        TEST(data_waits_for_its_template),
        TEST(options_have_rows_of_their_own),
        TEST(options_are_given_on_request_only),
        TEST(what_is_whole_of_a_malformed_message_is_given),
        TEST(strange_bytes_are_refused),
        cmocka_unit_test(a_decoder_needs_good_fields),
        TEST(accounts_are_kept),
        TEST(the_end_of_a_connection_forgets_templates),
        TEST(old_templates_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
