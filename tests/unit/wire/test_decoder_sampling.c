// SPDX-License-Identifier: BSD-3-Clause
/* Where the sampling interval is told (four places), and which one is in force for a record. */
#include "decoder_kit.h"

static void put_flow(struct kit *k, uint32_t packets)
{
    begin_set(k, 256);
    put32(k, packets);
    end_set(k);
}

static void interval_in_the_record(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 3, 2, 4, 34, 4, 35, 1);
    begin_set(&k, 256);
    put32(&k, 10);
    put32(&k, 512);
    put8(&k, 2);
    put32(&k, 10);
    put32(&k, 0); /* not sampled, or not known */
    put8(&k, 0);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), 512);
    assert_false(flow_has_own(&k, 1, SC_IE_SAMPLING_RATE));
    assert_int_equal(flow_u(&k, 0, 34), 512); /* the raw elements stay */
    assert_int_equal(flow_u(&k, 1, 34), 0);
    assert_int_equal(flow_u(&k, 0, 35), 2);
    assert_int_equal(flow_u(&k, 0, 2), 10); /* counters are never scaled */
    kit_close(&k);
}

static void put_v9_sampler(struct kit *k, uint16_t id, uint32_t interval)
{
    begin_set(k, 300);
    put32(k, 0xac100001);
    put16(k, id);
    put8(k, 2);
    put32(k, interval);
    end_set(k);
}

/* v9 options 48-50: samplerId of the data record selects. */
static void v9_samplers(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 4, 1, 4, 48, 2, 49, 1, 50, 4);
    put_v9_sampler(&k, 1, 2000);
    put_v9_sampler(&k, 2, 500);
    put_template(&k, 256, 2, 2, 4, 48, 1);
    begin_set(&k, 256);
    for (uint8_t id = 0; id < 4; id++) {
        put32(&k, 1);
        put8(&k, id);
    }
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(flow_has_own(&k, 0, SC_IE_SAMPLING_RATE));
    assert_int_equal(flow_own(&k, 1, SC_IE_SAMPLING_RATE), 2000);
    assert_int_equal(flow_own(&k, 2, SC_IE_SAMPLING_RATE), 500);
    assert_false(flow_has_own(&k, 3, SC_IE_SAMPLING_RATE)); /* nobody told */
    kit_close(&k);
}

static void sampler_is_changed_on_the_way(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 4, 1, 4, 48, 2, 49, 1, 50, 4);
    put_v9_sampler(&k, 1, 2000);
    put_template(&k, 256, 2, 2, 4, 48, 1);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t i = 0; i < 3; i++) {
        begin_v9(&k, 2 + i);
        begin_set(&k, 256);
        put32(&k, 1);
        put8(&k, 1);
        end_set(&k);
        put_v9_sampler(&k, 1, 100 * (i + 1)); /* holds from here on */
        assert_int_equal(deliver(&k), SC_OK);
    }
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), 2000);
    assert_int_equal(flow_own(&k, 1, SC_IE_SAMPLING_RATE), 100);
    assert_int_equal(flow_own(&k, 2, SC_IE_SAMPLING_RATE), 200);
    assert_int_equal(stats_of(&k, 9, 7).sampling_rate, 200);
    kit_close(&k);
}

static void the_only_sampler_serves_records_that_name_none(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 4, 1, 4, 48, 2, 49, 1, 50, 4);
    put_template(&k, 256, 1, 2, 4);
    put_flow(&k, 1); /* nothing known yet */
    put_v9_sampler(&k, 9, 2000);
    put_flow(&k, 2);
    put_v9_sampler(&k, 10, 100);
    put_flow(&k, 3); /* which of two? */
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(flow_has_own(&k, 0, SC_IE_SAMPLING_RATE));
    assert_int_equal(flow_own(&k, 1, SC_IE_SAMPLING_RATE), 2000);
    assert_false(flow_has_own(&k, 2, SC_IE_SAMPLING_RATE));
    kit_close(&k);
}

static void samplers_belong_to_their_domain(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 4, 1, 4, 48, 2, 49, 1, 50, 4);
    put_v9_sampler(&k, 1, 2000);
    assert_int_equal(deliver(&k), SC_OK);
    begin_v9_at(&k, 1000000, KIT_SECONDS, 1, 8);
    put_template(&k, 256, 1, 2, 4);
    put_flow(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(flow_has_own(&k, 0, SC_IE_SAMPLING_RATE));
    kit_close(&k);
}

static void options_without_a_selector_hold_for_the_domain(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 3, 1, 4, 34, 4, 35, 1);
    begin_set(&k, 300);
    put32(&k, 0);
    put32(&k, 1024);
    put8(&k, 1);
    end_set(&k);
    put_template(&k, 256, 1, 2, 4);
    put_flow(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), 1024);
    kit_close(&k);
}

static void options_of_an_interface_do_not(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 2, 2, 4, 34, 4); /* scope 2: interface */
    begin_set(&k, 300);
    put32(&k, 5);
    put32(&k, 1024);
    end_set(&k);
    put_template(&k, 256, 1, 2, 4);
    put_flow(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(flow_has_own(&k, 0, SC_IE_SAMPLING_RATE));
    assert_int_equal(uint_at(k.sink.options, 0, 0, 34), 1024);
    kit_close(&k);
}

/* PSAMP parameters (RFC 5477) in options data, by selectorId. */
static uint64_t psamp_rate(uint16_t algorithm, uint32_t a, uint32_t b)
{
    struct kit k;
    uint64_t rate = 0;
    bool systematic = algorithm <= 2;
    int first = algorithm == 1 ? 305 : algorithm == 2 ? 307 : 309;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 4, 302, 8, 304, 2, first, 4, first + 1, 4);
    begin_set(&k, 300);
    put64(&k, UINT64_C(0x100000001));
    put16(&k, algorithm);
    put32(&k, a);
    put32(&k, b);
    end_set(&k);
    put_template(&k, 256, 2, 2, 4, 302, 8);
    begin_set(&k, 256);
    put32(&k, 1);
    put64(&k, UINT64_C(0x100000001));
    put32(&k, 1);
    put64(&k, 1);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_true(systematic || algorithm == 3);
    if (flow_has_own(&k, 0, SC_IE_SAMPLING_RATE))
        rate = flow_own(&k, 0, SC_IE_SAMPLING_RATE);
    assert_false(flow_has_own(&k, 1, SC_IE_SAMPLING_RATE)); /* another selector */
    kit_close(&k);
    return rate;
}

static void psamp_algorithms(void **state)
{
    (void)state;
    assert_int_equal(psamp_rate(1, 1, 99), 100);
    assert_int_equal(psamp_rate(1, 1, 0), 1);
    assert_int_equal(psamp_rate(1, 10, 90), 10);
    assert_int_equal(psamp_rate(1, 3, 7), 3); /* 10/3, to the nearest */
    assert_int_equal(psamp_rate(1, 0, 7), 0);
    assert_int_equal(psamp_rate(2, 1000, 9000), 10); /* by time, microseconds */
    assert_int_equal(psamp_rate(3, 1, 256), 256);
    assert_int_equal(psamp_rate(3, 2, 5), 3); /* 2.5 */
    assert_int_equal(psamp_rate(3, 0, 256), 0);
    assert_int_equal(psamp_rate(3, 256, 1), 0); /* more samples than packets */
    assert_int_equal(psamp_rate(1, 1, 0xffffffff), 0xffffffff);
}

static void psamp_probability(void **state)
{
    (void)state;
    static const struct {
        uint64_t bits;
        uint32_t rate;
    } cases[] = {{UINT64_C(0x3fb0000000000000), 16}, /* 1/16 */
                 {UINT64_C(0x3ff0000000000000), 1},  {0, 0},
                 {UINT64_C(0x4000000000000000), 0}, /* 2 is no probability */
                 {UINT64_C(0x7ff8000000000000), 0}, /* NaN */
                 {UINT64_C(0xbfb0000000000000), 0},  {1, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        put_options_template(&k, 300, 1, 3, 302, 4, 304, 2, 311, 8);
        begin_set(&k, 300);
        put32(&k, 1);
        put16(&k, 4);
        put64(&k, cases[i].bits);
        end_set(&k);
        put_template(&k, 256, 2, 2, 4, 302, 4);
        begin_set(&k, 256);
        put32(&k, 1);
        put32(&k, 1);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(flow_has_own(&k, 0, SC_IE_SAMPLING_RATE), cases[i].rate != 0);
        if (cases[i].rate != 0)
            assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), cases[i].rate);
        kit_close(&k);
    }
}

static void psamp_without_an_algorithm(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 3, 143, 4, 305, 4, 306, 4);
    begin_set(&k, 300);
    put32(&k, 1);
    put32(&k, 1);
    put32(&k, 9);
    end_set(&k);
    put_template(&k, 256, 1, 2, 4);
    put_flow(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), 10);
    kit_close(&k);
}

static void psamp_in_the_record(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 3, 2, 4, 309, 4, 310, 4);
    begin_set(&k, 256);
    put32(&k, 1);
    put32(&k, 1);
    put32(&k, 4096);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), 4096);
    kit_close(&k);
}

static void rate_above_32_bits_is_clamped(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 1, 34, 8);
    begin_set(&k, 256);
    put64(&k, UINT64_C(0x123456789a));
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_SAMPLING_RATE), UINT32_MAX);
    assert_int_equal(flow_u(&k, 0, 34), UINT64_C(0x123456789a));
    kit_close(&k);
}

UNIT(test_decoder_sampling)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interval_in_the_record),
        cmocka_unit_test(v9_samplers),
        cmocka_unit_test(sampler_is_changed_on_the_way),
        cmocka_unit_test(the_only_sampler_serves_records_that_name_none),
        cmocka_unit_test(samplers_belong_to_their_domain),
        cmocka_unit_test(options_without_a_selector_hold_for_the_domain),
        cmocka_unit_test(options_of_an_interface_do_not),
        cmocka_unit_test(psamp_algorithms),
        cmocka_unit_test(psamp_probability),
        cmocka_unit_test(psamp_without_an_algorithm),
        cmocka_unit_test(psamp_in_the_record),
        cmocka_unit_test(rate_above_32_bits_is_clamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
