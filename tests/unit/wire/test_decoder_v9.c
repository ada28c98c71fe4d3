// SPDX-License-Identifier: BSD-3-Clause
/* NetFlow v9 (RFC 3954) as exporters really send it: wrong counts, variable lengths, padding, and the order of templates and
 * data. */
#include "decoder_kit.h"

static void put_simple_template(struct kit *k)
{
    put_template(k, 256, 3, 8, 4, 12, 4, 2, 4);
}

static void put_simple_data(struct kit *k, uint32_t n)
{
    begin_set(k, 256);
    for (uint32_t i = 0; i < n; i++) {
        put32(k, 0x0a000000 + i);
        put32(k, 0xc0000200 + i);
        put32(k, i + 1);
    }
    end_set(k);
}

/* It counts sets, records, or nothing, as the exporter likes. */
static void header_count_is_not_used(void **state)
{
    (void)state;
    static const uint16_t counts[] = {0, 1, 2, 5, 6, 1000, 65535};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct kit k;
        kit_open(&k);
        begin_v9(&k, 1);
        put_simple_template(&k);
        put_simple_data(&k, 5);
        sc_store_be16(k.message.data + 2, counts[i]);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 5);
        assert_int_equal(k.outcome.templates, 1);
        assert_int_equal(flow_u(&k, 4, 2), 5);
        assert_int_equal(stats_of(&k, 9, 7).count_mismatches, counts[i] != 6); /* 5 and the template */
        kit_close(&k);
    }
}

static void template_and_data_need_not_share_a_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_simple_template(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 0);
    begin_v9(&k, 2);
    put_simple_data(&k, 2);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 3);
    assert_int_equal(k.outcome.lost, 0);
    kit_close(&k);
}

static void several_templates_in_one_set(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    begin_set(&k, 0);
    for (uint16_t id = 256; id < 259; id++) {
        put16(&k, id);
        put16(&k, 1);
        put16(&k, 4);
        put16(&k, 1);
    }
    end_set(&k);
    begin_set(&k, 258);
    put32(&k, 0x01020304);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.templates, 3);
    assert_int_equal(k.outcome.flows, 4);
    kit_close(&k);
}

/* A different definition replaces; data before it in the message is read by the old one. */
static void redefinition_replaces(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 1, 2, 4);
    assert_int_equal(deliver(&k), SC_OK);
    begin_v9(&k, 2);
    begin_set(&k, 256);
    put32(&k, 77);
    end_set(&k);
    put_template(&k, 256, 1, 2, 2);
    begin_set(&k, 256);
    put16(&k, 88);
    put16(&k, 99);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 3);
    assert_int_equal(flow_u(&k, 0, 2), 77);
    assert_int_equal(flow_u(&k, 1, 2), 88);
    assert_int_equal(flow_u(&k, 2, 2), 99);
    assert_int_equal(stats_of(&k, 9, 7).templates, 1);
    kit_close(&k);
}

/* The length 65535 as in IPFIX, both forms. */
static void variable_length_fields(void **state)
{
    (void)state;
    uint8_t text[300];
    memset(text, 'x', sizeof(text));
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 3, 4, 1, 94, 65535, 7, 2);
    begin_set(&k, 256);
    put8(&k, 6);
    put8(&k, 3); /* short form */
    put_bytes(&k, "abc", 3);
    put16(&k, 80);
    put8(&k, 17);
    put8(&k, 255); /* long form */
    put16(&k, 300);
    put_bytes(&k, text, 300);
    put16(&k, 53);
    put8(&k, 1);
    put8(&k, 0);
    put16(&k, 9);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 3);
    assert_bytes(k.sink.flows, 0, 0, 94, 0, "abc", 3);
    assert_bytes(k.sink.flows, 1, 0, 94, 0, text, 300);
    assert_bytes(k.sink.flows, 2, 0, 94, 0, "", 0); /* empty is not absent */
    assert_int_equal(flow_u(&k, 0, 7), 80);
    assert_int_equal(flow_u(&k, 1, 7), 53);
    assert_int_equal(flow_u(&k, 2, 4), 1);
    kit_close(&k);
}

static void zero_length_fields_are_null(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 4, 0, 0, 8, 0, 2, 4, 94, 0);
    begin_set(&k, 256);
    put32(&k, 5);
    put32(&k, 6);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 2);
    assert_int_equal(flow_u(&k, 1, 2), 6);
    assert_false(has_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS));
    assert_null(column(k.sink.flows, 0, 94, 0, SC_COLUMN_BYTES));
    kit_close(&k);
}

static void template_without_bytes_never_loops(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 2, 8, 0, 12, 0);
    put_template(&k, 257, 0);
    begin_set(&k, 256);
    put_zeros(&k, 60000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.flows, 0);
    assert_int_equal(k.outcome.malformed, 1);
    begin_v9(&k, 2);
    begin_set(&k, 256);
    end_set(&k);
    begin_set(&k, 257);
    put32(&k, 0);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK); /* nothing but padding */
    assert_int_equal(k.outcome.flows, 0);
    kit_close(&k);
}

/* Behind the last set. */
static void zero_filled_datagrams(void **state)
{
    (void)state;
    for (size_t fill = 0; fill < 1400; fill += fill < 16 ? 1 : 97) {
        struct kit k;
        kit_open(&k);
        begin_v9(&k, 1);
        put_simple_template(&k);
        put_simple_data(&k, 1);
        put_zeros(&k, fill);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 1);
        assert_int_equal(k.outcome.malformed, 0);
        kit_close(&k);
    }
}

/* Up to 7 bytes, of any value. */
static void padding_of_sets(void **state)
{
    (void)state;
    for (uint32_t padding = 0; padding <= 7; padding++) {
        struct kit k;
        kit_open(&k);
        begin_v9(&k, 1);
        put_simple_template(&k);
        begin_set(&k, 256);
        put_zeros(&k, 12);
        for (uint32_t i = 0; i < padding; i++)
            put8(&k, (uint8_t)(0xa0 + i));
        end_set(&k);
        put_simple_data(&k, 1);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 2);
        kit_close(&k);
    }
}

static void padding_of_template_sets(void **state)
{
    (void)state;
    for (uint32_t padding = 0; padding <= 7; padding++) {
        struct kit k;
        kit_open(&k);
        begin_v9(&k, 1);
        begin_set(&k, 0);
        put16(&k, 256);
        put16(&k, 1);
        put16(&k, 2);
        put16(&k, 4);
        put_zeros(&k, padding);
        end_set(&k);
        begin_set(&k, 256);
        put32(&k, 42);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 1);
        kit_close(&k);
    }
}

/* v9 does not tell how long a message is: the set was cut off, its length is right. */
static void what_was_whole_before_the_break_is_kept(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_simple_template(&k);
    put_simple_data(&k, 2);
    begin_set(&k, 256); /* says 100 records, has 2 and a half */
    put_zeros(&k, 30);
    sc_store_be16(k.message.data + k.set + 2, 4 + 1200);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.malformed, 1);
    assert_int_equal(k.outcome.flows, 4);
    assert_int_equal(k.sink.flows->rows, 4);
    kit_close(&k);
}

static void whole_records_of_variable_length_before_the_break(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 2, 4, 1, 94, 65535);
    begin_set(&k, 256);
    put_bytes(&k, "\6\3abc\7\50abcdefghijkl", 20);
    sc_store_be16(k.message.data + k.set + 2, 4 + 5 + 42);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.malformed, 1);
    assert_int_equal(k.outcome.flows, 1);
    /* Within a set that is there it costs the set. */
    begin_v9(&k, 2);
    begin_set(&k, 256);
    put_bytes(&k, "\6\3abc\7\50abcdefghijkl", 20);
    end_set(&k);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.malformed, 1);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

static void set_shorter_than_its_header(void **state)
{
    (void)state;
    for (uint16_t length = 0; length < 4; length++) {
        struct kit k;
        kit_open(&k);
        begin_v9(&k, 1);
        put_simple_template(&k);
        put_simple_data(&k, 1);
        put16(&k, 256);
        put16(&k, length);
        assert_int_equal(deliver(&k), SC_MALFORMED);
        assert_int_equal(k.outcome.flows, 1);
        kit_close(&k);
    }
}

/* The old layout would make nonsense of the data. */
static void malformed_redefinition_forgets(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 300, 1, 2, 4);
    put_simple_template(&k);
    assert_int_equal(deliver(&k), SC_OK);
    begin_v9(&k, 2);
    begin_set(&k, 0);
    put16(&k, 300);
    put16(&k, 50); /* fields that are not there */
    put32(&k, 0x00020004);
    end_set(&k);
    begin_set(&k, 300);
    put32(&k, 168364297);
    end_set(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.no_template_sets, 1);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

/* Lengths that are no multiples of 4 tell no extent: it costs the rest of its set. */
static void odd_options_template_costs_its_set(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    begin_set(&k, 1);
    put16(&k, 257);
    put16(&k, 3);
    put16(&k, 5);
    put_zeros(&k, 3);
    put16(&k, 256); /* what could be read as another definition */
    put16(&k, 5000);
    end_set(&k);
    put_simple_template(&k);
    put_simple_data(&k, 2);
    put_options_template(&k, 258, 1, 2, 1, 4, 34, 4);
    begin_set(&k, 258);
    put64(&k, 64);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.malformed, 1);
    assert_int_equal(k.outcome.flows, 2);
    assert_int_equal(k.outcome.options, 1);
    kit_close(&k);
}

static void malformed_template_leaves_the_rest(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    begin_set(&k, 0);
    put16(&k, 300);
    put16(&k, 50); /* fields that are not there */
    put32(&k, 0x00020004);
    end_set(&k);
    begin_set(&k, 0);
    put16(&k, 255); /* no template id */
    put16(&k, 1);
    put32(&k, 0x00020004);
    end_set(&k);
    put_simple_template(&k);
    put_simple_data(&k, 3);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.malformed, 2);
    assert_int_equal(k.outcome.flows, 3);
    kit_close(&k);
}

static void vendor_types_and_scopes_have_their_enterprises(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 257, 2, 4, 1, 4, 2, 2, 39001, 2, 82, 4);
    begin_set(&k, 257);
    put32(&k, 0xac100001);
    put16(&k, 12);
    put16(&k, 0xbeef);
    put_bytes(&k, "eth0", 4);
    end_set(&k);
    put_template(&k, 256, 2, 39002, 2, 2, 4);
    begin_set(&k, 256);
    put16(&k, 0x1234);
    put32(&k, 1);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.options, 1);
    assert_int_equal(k.outcome.flows, 1);
    const struct sc_batch *o = k.sink.options;
    assert_bytes(o, 0, SC_PEN_V9_SCOPE, 1, 0, "\xac\x10\x00\x01", 4);
    assert_bytes(o, 0, SC_PEN_V9_SCOPE, 2, 0, "\x00\x0c", 2);
    assert_bytes(o, 0, SC_PEN_V9, 39001, 0, "\xbe\xef", 2);
    assert_bytes(o, 0, 0, 82, 0, "eth0", 4);
    assert_addr(o, 0, SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, "192.0.2.1");
    assert_int_equal(uint_at(o, 0, SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME), KIT_RECEIVED);
    assert_bytes(k.sink.flows, 0, SC_PEN_V9, 39002, 0, "\x12\x34", 2);
    kit_close(&k);
}

static void options_template_whose_lengths_make_no_sense(void **state)
{
    (void)state;
    static const uint16_t lengths[][2] = {{3, 4}, {4, 5}, {400, 4}, {4, 400}, {65532, 65532}};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct kit k;
        kit_open(&k);
        begin_v9(&k, 1);
        begin_set(&k, 1);
        put16(&k, 257);
        put16(&k, lengths[i][0]);
        put16(&k, lengths[i][1]);
        put_zeros(&k, 7);
        put8(&k, 1);
        end_set(&k);
        put_simple_template(&k);
        put_simple_data(&k, 1);
        assert_int_equal(deliver(&k), SC_MALFORMED);
        assert_int_equal(k.outcome.flows, 1);
        kit_close(&k);
    }
}

static void scope_of_length_zero(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 257, 1, 3, 1, 0, 35, 1, 34, 4);
    begin_set(&k, 257);
    put8(&k, 2);
    put32(&k, 512);
    put_zeros(&k, 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.options, 1);
    assert_int_equal(uint_at(k.sink.options, 0, 0, 34), 512);
    assert_null(column(k.sink.options, SC_PEN_V9_SCOPE, 1, 0, SC_COLUMN_BYTES));
    kit_close(&k);
}

static void reserved_sets_are_skipped_and_counted(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    begin_set(&k, 2);
    put32(&k, 1);
    end_set(&k);
    begin_set(&k, 255);
    put32(&k, 1);
    end_set(&k);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.malformed, 2);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

static void options_sink_may_be_absent(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    sc_batch_free(k.sink.options);
    k.sink.options = NULL;
    begin_v9(&k, 1);
    put_options_template(&k, 257, 1, 2, 1, 4, 34, 4);
    begin_set(&k, 257);
    put32(&k, 0);
    put32(&k, 64);
    end_set(&k);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.options, 1);
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), 64);
    kit_close(&k);
}

static void every_cut_of_a_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 257, 1, 2, 1, 4, 34, 4);
    put_template(&k, 256, 3, 4, 1, 94, 65535, 22, 4);
    begin_set(&k, 256);
    put8(&k, 6);
    put8(&k, 2);
    put_bytes(&k, "ab", 2);
    put32(&k, 5);
    end_set(&k);
    size_t whole = k.message.len;
    for (size_t length = 20; length < whole; length++) {
        k.message.len = length;
        enum sc_status status = deliver(&k);
        assert_true(status == SC_OK || status == SC_MALFORMED);
        assert_int_equal(k.outcome.flows, 0);
    }
    kit_close(&k);
}

UNIT(test_decoder_v9)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_count_is_not_used),
        cmocka_unit_test(template_and_data_need_not_share_a_message),
        cmocka_unit_test(several_templates_in_one_set),
        cmocka_unit_test(redefinition_replaces),
        cmocka_unit_test(variable_length_fields),
        cmocka_unit_test(zero_length_fields_are_null),
        cmocka_unit_test(template_without_bytes_never_loops),
        cmocka_unit_test(zero_filled_datagrams),
        cmocka_unit_test(padding_of_sets),
        cmocka_unit_test(padding_of_template_sets),
        cmocka_unit_test(what_was_whole_before_the_break_is_kept),
        cmocka_unit_test(whole_records_of_variable_length_before_the_break),
        cmocka_unit_test(set_shorter_than_its_header),
        cmocka_unit_test(malformed_template_leaves_the_rest),
        cmocka_unit_test(malformed_redefinition_forgets),
        cmocka_unit_test(odd_options_template_costs_its_set),
        cmocka_unit_test(vendor_types_and_scopes_have_their_enterprises),
        cmocka_unit_test(options_template_whose_lengths_make_no_sense),
        cmocka_unit_test(scope_of_length_zero),
        cmocka_unit_test(reserved_sets_are_skipped_and_counted),
        cmocka_unit_test(options_sink_may_be_absent),
        cmocka_unit_test(every_cut_of_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
