// SPDX-License-Identifier: BSD-3-Clause
/* Columns of every kind come back as they were through v9 and IPFIX; what v9 cannot say is counted. */
#include "encoder_support.h"

static void round_trip(const struct table *t, enum sc_export_protocol protocol, struct table *back,
                       struct sc_encoder_stats *stats)
{
    struct messages m = {0};
    struct sc_encoder *e = encoder_of(protocol, &m);
    encode_all(e, t, EXPORT_MS);
    sc_encoder_get_stats(e, stats);
    table_open(back);
    decode_all(&m, back, NULL);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
}

static void assert_both_ways(const struct table *t)
{
    for (int protocol = SC_EXPORT_V9; protocol <= SC_EXPORT_IPFIX; protocol++) {
        struct table back;
        struct sc_encoder_stats stats;
        round_trip(t, (enum sc_export_protocol)protocol, &back, &stats);
        assert_int_equal(stats.flows, t->batch->rows);
        assert_int_equal(stats.skipped + stats.values_dropped, 0);
        assert_within(t, &back);
        table_close(&back);
    }
}

static void test_many_plain_flows(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    put_flows(&t, 5000);
    for (uint32_t i = 0; i < t.batch->slots; i++) /* the times change their element in IPFIX */
        assert_true(t.batch->columns[i] == NULL || t.batch->columns[i]->rows == 5000);
    struct table back;
    struct sc_encoder_stats stats;
    round_trip(&t, SC_EXPORT_V9, &back, &stats);
    assert_same_table(&t, &back);
    table_close(&back);
    round_trip(&t, SC_EXPORT_IPFIX, &back, &stats);
    const struct sc_column *start = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 152, SC_COLUMN_UINT));
    const struct sc_column *end = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 153, SC_COLUMN_UINT));
    assert_non_null(start);
    assert_non_null(end);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(sc_column_u64(start, i), EXPORT_MS - 5000 - i);
        assert_int_equal(sc_column_u64(end, i), EXPORT_MS - 1000 - i % 7);
    }
    table_close(&back);
    table_close(&t);
}

static void test_addresses_of_both_families(void **state)
{
    (void)state;
    static const uint16_t ids[] = {SC_IE_SOURCE_ADDRESS,  SC_IE_DESTINATION_ADDRESS,
                                   SC_IE_NEXT_HOP,        SC_IE_BGP_NEXT_HOP,
                                   SC_IE_POST_NAT_SOURCE, SC_IE_POST_NAT_DESTINATION};
    static const char *const text[] = {"192.0.2.1", "2001:db8::7"};
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 64; i++) { /* each of the six in each family, in all combinations */
        for (unsigned k = 0; k < 6; k++)
            put_address(&t, SC_PEN_COLLECTOR, ids[k], text[i >> k & 1]);
        table_commit(&t);
    }
    assert_both_ways(&t);
    table_close(&t);
}

static void test_integers_of_every_width(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 50; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, i * 5);
        put_uint(&t, SC_PEN_IANA, 7, 2, 65535 - i);
        put_uint(&t, SC_PEN_IANA, 10, 4, UINT32_MAX - i);
        put_uint(&t, SC_PEN_IANA, 1, 8, UINT64_MAX - i);
        put_uint(&t, SC_PEN_IANA, 56, 8, UINT64_C(0x0123456789ab) + i); /* sourceMacAddress */
        put_uint(&t, SC_PEN_IANA, 276, 1, 1 + i % 2);                   /* dataRecordsReliability, boolean */
        put_uint(&t, SC_PEN_IANA, 150, 4, 1700000000 + i);
        put_uint(&t, SC_PEN_IANA, 152, 8, EXPORT_MS + i);
        put_uint(&t, SC_PEN_IANA, 154, 8, UINT64_C(0xe000000080000000) + i);
        put_uint(&t, SC_PEN_IANA, 156, 8, UINT64_C(0xe000000080000000) + i);
        table_commit(&t);
    }
    assert_both_ways(&t);
    table_close(&t);
}

static void test_signed_and_floating(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    static const double values[] = {0.0, -1.5, 0.25, 1e300, -3.0};
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        sc_column_put_u64(table_column(&t, key_of(SC_PEN_IANA, 311, SC_COLUMN_FLOAT), 8, 1), bits);
        sc_column_put_u64(table_column(&t, key_of(SC_PEN_IANA, 434, SC_COLUMN_INT), 4, 1),
                          (uint64_t)((int64_t)i - 3)); /* mibObjectValueInteger */
        table_commit(&t);
    }
    assert_both_ways(&t);
    table_close(&t);
}

static void test_forms_of_the_store(void **state)
{
    (void)state;
    const uint64_t numbers[] = {6, 17};
    const struct sc_addr addresses[] = {sc_addr_v4(0x0a000001), {{0x20, 1, 0x0d, 0xb8, [15] = 1}}};
    uint8_t codes[] = {0, 1, 1, 0, 1};
    uint64_t valid = 0x1b; /* row 2 is null */
    struct sc_column protocol = {.key = key_of(SC_PEN_IANA, 4, SC_COLUMN_UINT),
                                 .form = SC_FORM_DICT,
                                 .width = 1,
                                 .rows = 5,
                                 .values = codes,
                                 .dict = {.count = 2, .values = numbers}};
    struct sc_column source = {.key = key_of(SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, SC_COLUMN_ADDRESS),
                               .form = SC_FORM_DICT,
                               .width = 1,
                               .rows = 5,
                               .values = codes,
                               .dict = {.count = 2, .values = addresses}};
    struct sc_column bytes = {.key = key_of(SC_PEN_IANA, 1, SC_COLUMN_UINT),
                              .form = SC_FORM_CONST,
                              .width = 8,
                              .rows = 5,
                              .nulls = 1,
                              .valid = &valid,
                              .dict = {.count = 1, .values = numbers}};
    const struct sc_column *columns[] = {&protocol, NULL, &source, &bytes};
    struct messages m = {0};
    struct table back;
    struct sc_encoder *e = encoder_of(SC_EXPORT_IPFIX, &m);
    assert_int_equal(sc_encoder_flows(e, columns, 4, 1, 4, EXPORT_MS, NULL), SC_OK); /* rows 1 to 4 */
    assert_int_equal(sc_encoder_flush(e, EXPORT_MS, NULL), SC_OK);
    table_open(&back);
    decode_all(&m, &back, NULL);
    assert_int_equal(back.batch->rows, 4);
    for (uint32_t c = 0; c < 4; c++) {
        if (columns[c] == NULL)
            continue;
        const struct sc_column *got = sc_batch_find(back.batch, columns[c]->key);
        assert_non_null(got);
        for (uint32_t row = 0; row < 4; row++) {
            assert_int_equal(sc_column_is_null(got, row), c == 3 && row == 1);
            if (sc_column_is_null(got, row))
                continue;
            if (c == 2)
                assert_memory_equal(sc_column_addr(got, row), &addresses[codes[row + 1]], 16);
            else
                assert_int_equal(sc_column_u64(got, row), c == 0 ? numbers[codes[row + 1]] : 6);
        }
    }
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&back);
}

static void test_strings_and_octets_in_ipfix(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 1, 7, 8, 9, 254, 255, 256, 1000};
    uint8_t text[1000];
    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)('a' + i % 26);
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 9; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, i);
        if (i != 4)
            put_bytes(&t, SC_PEN_IANA, 96, text, lengths[i] % 300); /* applicationName */
        put_bytes(&t, SC_PEN_IANA, 313, text, lengths[i]);          /* ipHeaderPacketSection */
        table_commit(&t);
    }
    assert_int_equal(sc_batch_finish(t.batch), SC_OK);
    struct table back;
    struct sc_encoder_stats stats;
    round_trip(&t, SC_EXPORT_IPFIX, &back, &stats);
    assert_same_table(&t, &back);
    table_close(&back);
    table_close(&t);
}

static void test_enterprise_and_unknown_elements(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 20; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, i);
        put_uint(&t, SC_PEN_REVERSE, 1, 8, UINT64_C(1) << (40 + i % 8)); /* reverseOctetDeltaCount */
        put_bytes(&t, 54321, 77, &i, i % 5);                             /* nobody's */
        put_bytes(&t, SC_PEN_IANA, 32000, "future", 6);
        table_commit(&t);
    }
    struct table back;
    struct sc_encoder_stats stats;
    round_trip(&t, SC_EXPORT_IPFIX, &back, &stats);
    assert_int_equal(stats.values_dropped, 0);
    assert_same_table(&t, &back);
    table_close(&back);
    round_trip(&t, SC_EXPORT_V9, &back, &stats);
    assert_int_equal(stats.flows, 20);
    assert_int_equal(stats.values_dropped, 40);
    assert_within(&back, &t); /* what v9 said is right */
    assert_non_null(sc_batch_find(back.batch, key_of(SC_PEN_IANA, 32000, SC_COLUMN_BYTES)));
    table_close(&back);
    table_close(&t);
}

static void test_v9_own_elements_have_no_place_in_ipfix(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 3; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, 6);
        put_bytes(&t, SC_PEN_V9, 41000, "abcd", 4);
        table_commit(&t);
    }
    struct table back;
    struct sc_encoder_stats stats;
    round_trip(&t, SC_EXPORT_V9, &back, &stats);
    assert_int_equal(stats.values_dropped, 0);
    assert_same_table(&t, &back);
    table_close(&back);
    round_trip(&t, SC_EXPORT_IPFIX, &back, &stats);
    assert_int_equal(stats.values_dropped, 3);
    assert_int_equal(back.batch->rows, 3);
    table_close(&back);
    table_close(&t);
}

static void test_v9_pads_strings(void **state)
{
    (void)state;
    static const char name[] = "GigabitEthernet0/0/1";
    struct table t, back;
    struct sc_encoder_stats stats;
    table_open(&t);
    put_bytes(&t, SC_PEN_IANA, 82, name, 20);
    table_commit(&t);
    round_trip(&t, SC_EXPORT_V9, &back, &stats);
    const struct sc_column *c = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 82, SC_COLUMN_BYTES));
    uint32_t length;
    assert_non_null(c);
    const uint8_t *bytes = sc_column_bytes(c, 0, &length);
    assert_int_equal(length, 32);
    assert_memory_equal(bytes, name, 21);
    table_close(&back);
    table_close(&t);
}

static void test_v9_flags_of_nine_bits(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 4; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, 6);
        put_uint(&t, SC_PEN_IANA, 6, 2, i == 2 ? 0x11b : 0x1b);
        table_commit(&t);
    }
    assert_both_ways(&t);
    table_close(&t);
}

/* Padding of a v9 set must not look like one more record. */
static void test_records_of_one_byte(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 7; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, i);
        table_commit(&t);
    }
    assert_both_ways(&t);
    table_close(&t);
}

static void test_sampling_becomes_an_element(void **state)
{
    (void)state;
    struct table t, back;
    struct sc_encoder_stats stats;
    table_open(&t);
    for (uint32_t i = 0; i < 3; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, 6);
        if (i > 0)
            put_uint(&t, SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, 4, 512);
        if (i == 2)
            put_uint(&t, SC_PEN_IANA, 34, 4, 512); /* the record's own: not sent twice */
        table_commit(&t);
    }
    assert_int_equal(sc_batch_finish(t.batch), SC_OK);
    for (int protocol = SC_EXPORT_V9; protocol <= SC_EXPORT_IPFIX; protocol++) {
        round_trip(&t, (enum sc_export_protocol)protocol, &back, &stats);
        const struct sc_column *own = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 34, SC_COLUMN_UINT));
        const struct sc_column *rate =
            sc_batch_find(back.batch, key_of(SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, SC_COLUMN_UINT));
        assert_non_null(own);
        assert_non_null(rate);
        assert_true(sc_column_is_null(own, 0));
        for (uint32_t row = 1; row < 3; row++) {
            assert_int_equal(sc_column_u64(own, row), 512);
            assert_int_equal(sc_column_u64(rate, row), 512);
        }
        struct sc_column_key second = key_of(SC_PEN_IANA, 34, SC_COLUMN_UINT);
        second.instance = 1;
        assert_null(sc_batch_find(back.batch, second));
        table_close(&back);
    }
    table_close(&t);
}

static void test_repeated_elements(void **state)
{
    (void)state;
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 5; i++) {
        for (uint8_t k = 0; k < 3; k++) {
            struct sc_column_key key = key_of(SC_PEN_IANA, 58, SC_COLUMN_UINT);
            key.instance = k;
            sc_column_put_u64(table_column(&t, key, 2, 1), 100 * k + i);
        }
        table_commit(&t);
    }
    assert_both_ways(&t);
    table_close(&t);
}

static void test_rows_without_any_value_are_skipped(void **state)
{
    (void)state;
    struct table t, back;
    struct sc_encoder_stats stats;
    table_open(&t);
    for (uint32_t i = 0; i < 4; i++) {
        if (i % 2 == 0)
            put_uint(&t, SC_PEN_IANA, 4, 1, 6);
        table_commit(&t);
    }
    assert_int_equal(sc_batch_finish(t.batch), SC_OK);
    round_trip(&t, SC_EXPORT_IPFIX, &back, &stats);
    assert_int_equal(stats.skipped, 2);
    assert_int_equal(back.batch->rows, 2);
    table_close(&back);
    table_close(&t);
}

static void test_times_outside_sysuptime_are_skipped(void **state)
{
    (void)state;
    struct table t, back;
    struct sc_encoder_stats stats;
    table_open(&t);
    for (uint32_t i = 0; i < 3; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, 6);
        put_uint(&t, SC_PEN_COLLECTOR, SC_IE_FLOW_START, 8,
                 EXPORT_MS - (i == 1 ? UINT64_C(21) * 86400000 : 1));
        table_commit(&t);
    }
    round_trip(&t, SC_EXPORT_V9, &back, &stats);
    assert_int_equal(stats.skipped, 1);
    assert_int_equal(back.batch->rows, 2);
    table_close(&back);
    round_trip(&t, SC_EXPORT_IPFIX, &back, &stats);
    assert_int_equal(stats.skipped, 0);
    table_close(&back);
    table_close(&t);
}

static void put_collector_columns(struct table *t)
{
    put_address(t, SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, "192.0.2.7");
    put_uint(t, SC_PEN_COLLECTOR, SC_IE_OBSERVATION_DOMAIN, 4, 77);
    put_uint(t, SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, 8, EXPORT_MS);
    put_uint(t, SC_PEN_COLLECTOR, SC_IE_EXPORTER_PORT, 2, 2055);
    put_bytes(t, SC_PEN_COLLECTOR, SC_IE_INGRESS_INTERFACE_NAME, "ge-0/0/7", 8);
}

static void test_origin_on_request_only(void **state)
{
    (void)state;
    struct table t, back;
    struct sc_encoder_stats stats;
    table_open(&t);
    for (uint32_t i = 0; i < 2; i++) {
        put_uint(&t, SC_PEN_IANA, 4, 1, 6);
        put_collector_columns(&t);
        if (i == 1) /* came through a proxy: the original one is known */
            put_address(&t, SC_PEN_IANA, 404, "2001:db8::5");
        table_commit(&t);
    }
    assert_int_equal(sc_batch_finish(t.batch), SC_OK);
    round_trip(&t, SC_EXPORT_IPFIX, &back, &stats);
    assert_int_equal(stats.values_dropped, 0);
    assert_null(sc_batch_find(back.batch, key_of(SC_PEN_IANA, 403, SC_COLUMN_ADDRESS)));
    assert_null(sc_batch_find(back.batch, key_of(SC_PEN_IANA, 258, SC_COLUMN_UINT)));
    table_close(&back);

    struct messages m = {0};
    struct sc_encoder_options options = sc_encoder_default_options();
    options.origin = true;
    options.collector_pen = 32473;
    struct sc_encoder *e = sc_encoder_create(&options, take_message, &m, NULL);
    encode_all(e, &t, EXPORT_MS);
    table_open(&back);
    decode_all(&m, &back, NULL);
    const struct sc_column *v4 = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 403, SC_COLUMN_ADDRESS));
    const struct sc_column *v6 = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 404, SC_COLUMN_ADDRESS));
    const struct sc_column *domain = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 405, SC_COLUMN_UINT));
    const struct sc_column *received = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 258, SC_COLUMN_UINT));
    const struct sc_column *port = sc_batch_find(back.batch, key_of(32473, 2, SC_COLUMN_BYTES));
    const struct sc_column *name =
        sc_batch_find(back.batch, key_of(32473, SC_IE_INGRESS_INTERFACE_NAME, SC_COLUMN_BYTES));
    assert_true(v4 != NULL && v6 != NULL && domain != NULL && received != NULL && port != NULL &&
                name != NULL);
    assert_int_equal(sc_addr_get_v4(sc_column_addr(v4, 0)), 0xc0000207);
    assert_true(sc_column_is_null(v4, 1) && sc_column_is_null(v6, 0) && !sc_column_is_null(v6, 1));
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t length;
        assert_int_equal(sc_column_u64(domain, i), 77);
        assert_int_equal(sc_column_u64(received, i), EXPORT_MS);
        assert_int_equal(sc_load_be16(sc_column_bytes(port, i, &length)), 2055);
        assert_int_equal(length, 2);
        assert_memory_equal(sc_column_bytes(name, i, &length), "ge-0/0/7", 8);
        assert_int_equal(length, 8);
    }
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&back);
    table_close(&t);
}

UNIT(test_encoder_columns)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_plain_flows),
        cmocka_unit_test(test_addresses_of_both_families),
        cmocka_unit_test(test_integers_of_every_width),
        cmocka_unit_test(test_signed_and_floating),
        cmocka_unit_test(test_forms_of_the_store),
        cmocka_unit_test(test_strings_and_octets_in_ipfix),
        cmocka_unit_test(test_enterprise_and_unknown_elements),
        cmocka_unit_test(test_v9_own_elements_have_no_place_in_ipfix),
        cmocka_unit_test(test_v9_pads_strings),
        cmocka_unit_test(test_v9_flags_of_nine_bits),
        cmocka_unit_test(test_records_of_one_byte),
        cmocka_unit_test(test_sampling_becomes_an_element),
        cmocka_unit_test(test_repeated_elements),
        cmocka_unit_test(test_rows_without_any_value_are_skipped),
        cmocka_unit_test(test_times_outside_sysuptime_are_skipped),
        cmocka_unit_test(test_origin_on_request_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
