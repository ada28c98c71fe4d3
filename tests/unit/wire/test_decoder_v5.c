// SPDX-License-Identifier: BSD-3-Clause
/* NetFlow v5: one layout, exact lengths, header sampling, times, sequence of flows. */
#include "decoder_kit.h"

static void put_v5_record(struct kit *k, uint32_t n, uint32_t first, uint32_t last)
{
    put32(k, 0x0a000000 + n); /* source */
    put32(k, 0xc0a80001);     /* destination */
    put32(k, 0x0a0000fe);     /* next hop */
    put16(k, 11);             /* input */
    put16(k, 12);             /* output */
    put32(k, 3);              /* packets */
    put32(k, 1500 + n);       /* octets */
    put32(k, first);
    put32(k, last);
    put16(k, 1024);
    put16(k, 443);
    put8(k, 0xee); /* padding, not to be kept */
    put8(k, 0x1b);
    put8(k, 6);
    put8(k, 0x28);
    put16(k, 65001);
    put16(k, 65002);
    put8(k, 24);
    put8(k, 16);
    put16(k, 0xeeee);
}

static void fields_become_elements(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v5(&k, 2, 100000, 0);
    put_v5_record(&k, 1, 90000, 95000);
    put_v5_record(&k, 2, 91000, 96000);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 2);
    const struct sc_batch *b = k.sink.flows;
    assert_int_equal(b->rows, 2);
    assert_addr(b, 1, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.2");
    assert_addr(b, 1, SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, "192.168.0.1");
    assert_addr(b, 1, SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, "10.0.0.254");
    static const struct {
        uint16_t id;
        uint32_t value;
    } expected[] = {{10, 11}, {14, 12},  {2, 3},      {1, 1502},   {7, 1024}, {11, 443}, {6, 0x1b},
                    {4, 6},   {5, 0x28}, {16, 65001}, {17, 65002}, {9, 24},   {13, 16}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(flow_u(&k, 1, expected[i].id), expected[i].value);
    kit_close(&k);
}

static void collector_columns(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v5(&k, 1, 100000, 0);
    put_v5_record(&k, 1, 90000, 95000);
    assert_int_equal(deliver(&k), SC_OK);
    assert_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, "192.0.2.1");
    assert_int_equal(flow_own(&k, 0, SC_IE_EXPORTER_PORT), 40000);
    assert_int_equal(flow_own(&k, 0, SC_IE_OBSERVATION_DOMAIN), 1 << 8 | 2); /* engine type, id */
    assert_int_equal(flow_own(&k, 0, SC_IE_RECEIVE_TIME), KIT_RECEIVED);
    assert_int_equal(flow_own(&k, 0, SC_IE_EXPORT_VERSION), 5);
    assert_int_equal(flow_own(&k, 0, SC_IE_EXPORT_TIME), (uint64_t)KIT_SECONDS * 1000 + 500);
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), 100); /* without the mode bits */
    assert_false(flow_has_own(&k, 0, SC_IE_SEQUENCE_GAP));
    assert_false(flow_has_own(&k, 0, SC_IE_TIME_QUALITY));
    assert_int_equal(k.sink.flows->used,
                     sizeof((int[]){8, 12, 15, 10, 14, 2, 1, 22, 21, 7, 11, 6, 4, 5, 16, 17, 9, 13}) /
                             sizeof(int) +
                         8); /* and no column for padding */
    kit_close(&k);
}

static void sampling_of_zero_is_null(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v5(&k, 1, 100000, 0);
    sc_store_be16(k.message.data + 22, 0x4000);
    put_v5_record(&k, 1, 90000, 95000);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(flow_has_own(&k, 0, SC_IE_SAMPLING_RATE));
    kit_close(&k);
}

/* unix ms - sysUptime + first/last; the exported value is (FLOW_START - SYSTEM_INIT) modulo 2^32. */
static void times_are_absolute(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 90000, 100000, 100500, 0xffffffff, 0xfffffff0, 0x80000000};
    struct kit k;
    kit_open(&k);
    begin_v5(&k, 7, 100000, 0);
    for (uint32_t i = 0; i < 7; i++)
        put_v5_record(&k, i, values[i], 95000);
    assert_int_equal(deliver(&k), SC_OK);
    uint64_t init = (uint64_t)KIT_SECONDS * 1000 + 500 - 100000;
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(flow_own(&k, i, SC_IE_SYSTEM_INIT), init);
        assert_int_equal((uint32_t)(flow_own(&k, i, SC_IE_FLOW_START) - init), values[i]);
        assert_int_equal(flow_own(&k, i, SC_IE_FLOW_END), init + 95000);
        assert_false(flow_has(&k, i, 22));
        assert_false(flow_has(&k, i, 21));
    }
    assert_int_equal(flow_own(&k, 3, SC_IE_FLOW_START), init + 100500);     /* a little ahead */
    assert_int_equal(flow_own(&k, 4, SC_IE_FLOW_START), init + 0xffffffff); /* the sentinel */
    assert_int_equal(flow_own(&k, 5, SC_IE_FLOW_START), init - 16);         /* before the wrap */
    assert_true(flow_own(&k, 1, SC_IE_FLOW_START) < flow_own(&k, 1, SC_IE_FLOW_END));
    assert_true(flow_own(&k, 3, SC_IE_FLOW_START) >
                flow_own(&k, 3, SC_IE_FLOW_END)); /* first > last is kept */
    kit_close(&k);
}

static void base_never_before_1970(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v5(&k, 1, 4000000000u, 0);
    sc_store_be32(k.message.data + 8, 1000); /* unix seconds */
    put_v5_record(&k, 1, 3999999000u, 3999999500u);
    assert_int_equal(deliver(&k), SC_OK);
    uint64_t init = flow_own(&k, 0, SC_IE_SYSTEM_INIT);
    assert_int_equal(init, UINT64_C(1000500) + (UINT64_C(1) << 32) - 4000000000u);
    assert_int_equal((uint32_t)(flow_own(&k, 0, SC_IE_FLOW_START) - init), 3999999000u);
    kit_close(&k);
}

/* Records lie 48 bytes apart whatever the header counts: those that it counts and that are there are taken. */
static void length_that_does_not_fit(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    for (int change = -48; change <= 48; change++) {
        begin_v5(&k, 2, 100000, 0);
        put_v5_record(&k, 1, 1, 2);
        put_v5_record(&k, 2, 1, 2);
        if (change > 0)
            put_zeros(&k, (size_t)change);
        else
            k.message.len -= (size_t)-change;
        assert_int_equal(deliver(&k), change == 0 ? SC_OK : SC_MALFORMED);
        assert_int_equal(k.outcome.malformed, change != 0);
        assert_int_equal(k.outcome.flows, change < 0 ? 1 : 2);
    }
    assert_int_equal(k.sink.flows->rows, 48 + 2 * 49);
    assert_int_equal(stats_of(&k, 5, 0x102).malformed, 96);
    kit_close(&k);
}

static void nothing_is_lost_after_a_count_that_does_not_fit(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v5(&k, 50000, 100000, 0);
    put_v5_record(&k, 1, 1, 2);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.flows, 1);
    begin_v5(&k, 1, 100000, 30);
    put_v5_record(&k, 1, 1, 2);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.lost, 0);
    kit_close(&k);
}

static void count_above_thirty_that_fits(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v5(&k, 40, 100000, 0);
    for (uint32_t i = 0; i < 40; i++)
        put_v5_record(&k, i, 1, 2);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 40);
    begin_v5(&k, 0, 100000, 40);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 0);
    kit_close(&k);
}

static void short_headers(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    for (size_t length = 0; length < 24; length++) {
        begin_v5(&k, 0, 1, 0);
        k.message.len = length;
        assert_int_equal(deliver(&k), length < 2 ? SC_UNSUPPORTED : SC_MALFORMED);
        assert_int_equal(k.outcome.malformed, 1);
    }
    kit_close(&k);
}

static void other_versions_are_unsupported(void **state)
{
    (void)state;
    static const uint16_t versions[] = {0, 1, 4, 6, 7, 8, 11, 1280, 65535};
    struct kit k;
    kit_open(&k);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        begin_v5(&k, 1, 1, 0);
        put_v5_record(&k, 1, 1, 2);
        sc_store_be16(k.message.data, versions[i]);
        assert_int_equal(deliver(&k), SC_UNSUPPORTED);
    }
    assert_int_equal(k.sink.flows->rows, 0);
    kit_close(&k);
}

UNIT(test_decoder_v5)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_become_elements),
        cmocka_unit_test(collector_columns),
        cmocka_unit_test(sampling_of_zero_is_null),
        cmocka_unit_test(times_are_absolute),
        cmocka_unit_test(base_never_before_1970),
        cmocka_unit_test(length_that_does_not_fit),
        cmocka_unit_test(nothing_is_lost_after_a_count_that_does_not_fit),
        cmocka_unit_test(count_above_thirty_that_fits),
        cmocka_unit_test(short_headers),
        cmocka_unit_test(other_versions_are_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
