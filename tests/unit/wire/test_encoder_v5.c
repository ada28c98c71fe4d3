// SPDX-License-Identifier: BSD-3-Clause
/* NetFlow v5 is written as its specification says, and what it cannot say is skipped and counted. */
#include "encoder_support.h"

static void put_full_flow(struct table *t, uint32_t i)
{
    put_flow(t, i);
    put_address(t, SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, "198.51.100.9");
    put_uint(t, SC_PEN_IANA, 10, 2, 3);
    put_uint(t, SC_PEN_IANA, 14, 2, 4);
    put_uint(t, SC_PEN_IANA, 5, 1, 0xb8);
    put_uint(t, SC_PEN_IANA, 16, 4, 64512);
    put_uint(t, SC_PEN_IANA, 17, 4, 3333);
    put_uint(t, SC_PEN_IANA, 9, 1, 8);
    put_uint(t, SC_PEN_IANA, 13, 1, 24);
}

static void test_layout(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    table_open(&t);
    put_full_flow(&t, 1);
    table_commit(&t);
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    encode_all(e, &t, EXPORT_MS + 250);
    uint32_t length;
    const uint8_t *p = message_at(&m, 0, &length);
    assert_int_equal(length, 72);
    assert_int_equal(sc_load_be16(p), 5);
    assert_int_equal(sc_load_be16(p + 2), 1);
    assert_int_equal(sc_load_be32(p + 4), 20u * 86400 * 1000); /* sysUpTime: the default base */
    assert_int_equal(sc_load_be32(p + 8), EXPORT_MS / 1000);
    assert_int_equal(sc_load_be32(p + 12), 250000000);
    assert_int_equal(sc_load_be32(p + 16), 0);
    assert_int_equal(p[20], 1); /* engine type and id: the domain's two bytes */
    assert_int_equal(p[21], 7);
    assert_int_equal(sc_load_be16(p + 22), 0);
    p += 24;
    assert_int_equal(sc_load_be32(p), 0x0a000001);
    assert_int_equal(sc_load_be32(p + 4), 0xc0000201);
    assert_int_equal(sc_load_be32(p + 8), 0xc6336409);
    assert_int_equal(sc_load_be16(p + 12), 3);
    assert_int_equal(sc_load_be16(p + 14), 4);
    assert_int_equal(sc_load_be32(p + 16), 2);
    assert_int_equal(sc_load_be32(p + 20), 1100);
    assert_int_equal(sc_load_be32(p + 24), 20u * 86400 * 1000 - 250 - 5001);
    assert_int_equal(sc_load_be32(p + 28), 20u * 86400 * 1000 - 250 - 1001);
    assert_int_equal(sc_load_be16(p + 32), 1025);
    assert_int_equal(sc_load_be16(p + 34), 54);
    assert_int_equal(p[37], 0x1b);
    assert_int_equal(p[38], 6);
    assert_int_equal(p[39], 0xb8);
    assert_int_equal(sc_load_be16(p + 40), 64512);
    assert_int_equal(sc_load_be16(p + 42), 3333);
    assert_int_equal(p[44], 8);
    assert_int_equal(p[45], 24);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t, back;
    table_open(&t);
    table_open(&back);
    for (uint32_t i = 0; i < 1000; i++) {
        put_full_flow(&t, i);
        table_commit(&t);
    }
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    encode_all(e, &t, EXPORT_MS);
    decode_all(&m, &back, NULL);
    assert_within(&t, &back);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
    table_close(&back);
}

static void test_thirty_records_and_sequence_of_flows(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    table_open(&t);
    put_flows(&t, 95);
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    encode_all(e, &t, EXPORT_MS);
    assert_int_equal(m.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t length;
        const uint8_t *p = message_at(&m, i, &length);
        assert_int_equal(sc_load_be16(p + 2), i < 3 ? 30 : 5);
        assert_int_equal(length, 24 + 48 * sc_load_be16(p + 2));
        assert_int_equal(sc_load_be32(p + 16), 30 * i);
    }
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

/* Rows 0 and 9 are plain; each between has one thing that v5 cannot say. */
static void put_odd_flows(struct table *t)
{
    for (uint32_t i = 0; i < 10; i++) {
        put_flow(t, i);
        struct sc_column *c;
        struct sc_addr v6 = {{0x20, 1, 0x0d, 0xb8}};
        switch (i) {
        case 1: /* IPv6 */
            c = t->batch->columns[0];
            ((struct sc_addr *)c->values)[i] = v6;
            break;
        case 2: /* IPv6 next hop */
            put_address(t, SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, "2001:db8::1");
            break;
        case 3: /* a counter of 33 bits */
            c = t->batch->columns[3];
            ((uint64_t *)c->values)[i] = UINT64_C(1) << 32;
            break;
        case 4: /* an interface of 17 bits */
            put_uint(t, SC_PEN_IANA, 10, 4, 70000);
            break;
        case 5: /* before sysUpTime began */
            c = t->batch->columns[4];
            ((uint64_t *)c->values)[i] = EXPORT_MS - UINT64_C(21) * 86400 * 1000;
            break;
        case 6: /* a sampling interval of 15 bits */
            put_uint(t, SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, 4, 16384);
            break;
        case 7: /* no packets */
        case 8:
            c = t->batch->columns[i == 7 ? 2 : 1];
            assert_int_equal(sc_column_mark_null(c, i, 1), SC_OK);
            break;
        default:
            break;
        }
        table_commit(t);
    }
    assert_int_equal(sc_batch_finish(t->batch), SC_OK);
}

static void test_what_cannot_be_said_is_skipped(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t, back;
    table_open(&t);
    table_open(&back);
    put_odd_flows(&t);
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    encode_all(e, &t, EXPORT_MS);
    struct sc_encoder_stats stats;
    sc_encoder_get_stats(e, &stats);
    assert_int_equal(stats.flows, 2);
    assert_int_equal(stats.skipped, 8);
    decode_all(&m, &back, NULL);
    assert_int_equal(back.batch->rows, 2);
    const struct sc_column *packets = sc_batch_find(back.batch, key_of(SC_PEN_IANA, 2, SC_COLUMN_UINT));
    assert_int_equal(sc_column_u64(packets, 0), 1);
    assert_int_equal(sc_column_u64(packets, 1), 10);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
    table_close(&back);
}

static void test_sampling_goes_into_the_header(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    table_open(&t);
    for (uint32_t i = 0; i < 6; i++) {
        put_flow(&t, i);
        if (i >= 2)
            put_uint(&t, SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, 2, i < 4 ? 100 : 16383);
        table_commit(&t);
    }
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    encode_all(e, &t, EXPORT_MS);
    static const uint16_t words[] = {0, 1 << 14 | 100, 1 << 14 | 16383};
    assert_int_equal(m.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t length;
        const uint8_t *p = message_at(&m, i, &length);
        assert_int_equal(sc_load_be16(p + 2), 2);
        assert_int_equal(sc_load_be16(p + 22), words[i]);
    }
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

static void test_large_as_becomes_as_trans(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    table_open(&t);
    put_flow(&t, 0);
    put_uint(&t, SC_PEN_IANA, 16, 4, 65536);
    put_uint(&t, SC_PEN_IANA, 17, 4, 65535);
    table_commit(&t);
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    encode_all(e, &t, EXPORT_MS);
    uint32_t length;
    const uint8_t *p = message_at(&m, 0, &length);
    assert_int_equal(sc_load_be16(p + 24 + 40), 23456);
    assert_int_equal(sc_load_be16(p + 24 + 42), 65535);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

static void test_times_of_other_elements(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    table_open(&t);
    put_address(&t, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.1");
    put_address(&t, SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, "10.0.0.2");
    put_uint(&t, SC_PEN_IANA, 2, 4, 1);
    put_uint(&t, SC_PEN_IANA, 1, 4, 40);
    put_uint(&t, SC_PEN_IANA, 150, 4, EXPORT_MS / 1000 - 10);
    put_uint(&t, SC_PEN_IANA, 153, 8, EXPORT_MS - 1);
    table_commit(&t);
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    encode_all(e, &t, EXPORT_MS);
    uint32_t length;
    const uint8_t *p = message_at(&m, 0, &length);
    assert_int_equal(sc_load_be32(p + 4) - sc_load_be32(p + 24 + 24), 10000);
    assert_int_equal(sc_load_be32(p + 4) - sc_load_be32(p + 24 + 28), 1);
    sc_encoder_free(e);
    sc_buf_free(&m.bytes);
    table_close(&t);
}

static void test_options_are_refused(void **state)
{
    (void)state;
    struct messages m = {0};
    struct table t;
    table_open(&t);
    put_flows(&t, 1);
    struct sc_encoder *e = encoder_of(SC_EXPORT_V5, &m);
    assert_int_equal(sc_encoder_options_records(e, table_columns(&t), 2, 1, 0, 1, EXPORT_MS, NULL),
                     SC_UNSUPPORTED);
    sc_encoder_free(e);
    table_close(&t);
}

UNIT(test_encoder_v5)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_thirty_records_and_sequence_of_flows),
        cmocka_unit_test(test_what_cannot_be_said_is_skipped),
        cmocka_unit_test(test_sampling_goes_into_the_header),
        cmocka_unit_test(test_large_as_becomes_as_trans),
        cmocka_unit_test(test_times_of_other_elements),
        cmocka_unit_test(test_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
