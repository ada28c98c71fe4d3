// SPDX-License-Identifier: BSD-3-Clause
/* Times relative to sysUpTime in v9 and IPFIX: which base they have, and what goes round. */
#include "decoder_kit.h"

#define EXPORT_MS ((uint64_t)KIT_SECONDS * 1000)
#define ROUND     (UINT64_C(1) << 32)

static void put_times(struct kit *k, uint32_t first, uint32_t last)
{
    put32(k, first);
    put32(k, last);
}

static void v9_times_by_sysuptime(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1); /* sysUptime 1000000 */
    put_template(&k, 256, 2, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_times(&k, 900000, 990000);
    put_times(&k, 0xffffffff, 990000); /* sentinel */
    put_times(&k, 0xfffffffe, 5);      /* began before the wrap */
    put_times(&k, 1000010, 1013000);   /* a little ahead of the header */
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    uint64_t init = EXPORT_MS - 1000000;
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), init + 900000);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_END), init + 990000);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_START), init + 0xffffffff);
    assert_int_equal(flow_own(&k, 2, SC_IE_FLOW_START), init - 2);
    assert_int_equal(flow_own(&k, 2, SC_IE_FLOW_END), init + 5);
    assert_int_equal(flow_own(&k, 3, SC_IE_FLOW_END), init + 1013000);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(flow_own(&k, i, SC_IE_SYSTEM_INIT), init);
        assert_false(flow_has_own(&k, i, SC_IE_TIME_QUALITY));
        assert_false(flow_has(&k, i, 22));
    }
    kit_close(&k);
}

static void v9_last_after_the_wrap(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9_at(&k, 0xffffff00, KIT_SECONDS, 1, 7);
    put_template(&k, 256, 2, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_times(&k, 0xfffff000, 16);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_END), EXPORT_MS + 0x100 + 16);
    assert_int_equal((uint32_t)(flow_own(&k, 0, SC_IE_FLOW_END) - flow_own(&k, 0, SC_IE_SYSTEM_INIT)), 16);
    kit_close(&k);
}

static void records_without_times_have_none(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 1, 2, 4);
    begin_set(&k, 256);
    put32(&k, 1);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(flow_has_own(&k, 0, SC_IE_FLOW_START));
    assert_false(flow_has_own(&k, 0, SC_IE_SYSTEM_INIT));
    kit_close(&k);
}

static void reduced_sysuptime_time(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_template(&k, 256, 1, 22, 3);
    begin_set(&k, 256);
    put_bytes(&k, "\x01\x02\x03", 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), EXPORT_MS - 1000000 + 0x010203);
    kit_close(&k);
}

static void ipfix_base_in_the_record(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 3, 160, 8, 22, 4, 21, 4);
    begin_set(&k, 256);
    put64(&k, EXPORT_MS - 50000);
    put_times(&k, 1000, 2000);
    put64(&k, EXPORT_MS - 60000);
    put_times(&k, 1000, 2000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), EXPORT_MS - 49000);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_END), EXPORT_MS - 58000);
    assert_int_equal(flow_own(&k, 1, SC_IE_SYSTEM_INIT), EXPORT_MS - 60000);
    assert_int_equal(flow_u(&k, 1, 160), EXPORT_MS - 60000);
    assert_false(flow_has_own(&k, 0, SC_IE_TIME_QUALITY));
    kit_close(&k);
}

static void put_init_options(struct kit *k, uint64_t init)
{
    put_options_template(k, 300, 1, 2, 143, 4, 160, 8);
    begin_set(k, 300);
    put32(k, 1);
    put64(k, init);
    end_set(k);
}

static void ipfix_base_of_earlier_options(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_init_options(&k, EXPORT_MS - 70000);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix(&k, 1);
    put_template(&k, 256, 2, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_times(&k, 1000, 2000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), EXPORT_MS - 69000);
    assert_false(flow_has_own(&k, 0, SC_IE_TIME_QUALITY));
    /* Another domain does not know it. */
    begin_ipfix_at(&k, KIT_SECONDS, 0, 8);
    put_template(&k, 256, 2, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_times(&k, 1000, 2000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_END), EXPORT_MS);
    assert_int_equal(flow_own(&k, 1, SC_IE_TIME_QUALITY), 1);
    kit_close(&k);
}

static void ipfix_base_later_in_the_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 2, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_times(&k, 1000, 2000);
    put_times(&k, 3000, 4000);
    end_set(&k);
    put_init_options(&k, EXPORT_MS - 70000);
    begin_set(&k, 256);
    put_times(&k, 5000, 6000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(flow_own(&k, i, SC_IE_FLOW_START), EXPORT_MS - 70000 + 1000 + i * 2000);
        assert_int_equal(flow_own(&k, i, SC_IE_SYSTEM_INIT), EXPORT_MS - 70000);
        assert_false(flow_has_own(&k, i, SC_IE_TIME_QUALITY));
    }
    kit_close(&k);
}

/* Else export time minus the largest such time in the message, and the record says so. */
static void ipfix_base_is_estimated(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 2, 22, 4, 21, 4);
    put_template(&k, 257, 2, 21, 4, 4, 1);
    put_template(&k, 258, 1, 4, 1);
    begin_set(&k, 256);
    put_times(&k, 1000, 2000);
    end_set(&k);
    begin_set(&k, 257);
    put32(&k, 9000);
    put8(&k, 6);
    end_set(&k);
    begin_set(&k, 258);
    put8(&k, 17);
    end_set(&k);
    begin_set(&k, 256);
    put_times(&k, 3000, 4000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    uint64_t base = EXPORT_MS - 9000;
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), base + 1000);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_END), base + 2000);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_END), EXPORT_MS);
    assert_false(flow_has_own(&k, 1, SC_IE_FLOW_START));
    assert_int_equal(flow_own(&k, 3, SC_IE_FLOW_START), base + 3000);
    assert_int_equal(flow_own(&k, 1, SC_IE_TIME_QUALITY), 1);
    assert_int_equal(flow_own(&k, 3, SC_IE_TIME_QUALITY), 1);
    assert_false(flow_has_own(&k, 2, SC_IE_TIME_QUALITY));
    assert_false(flow_has_own(&k, 2, SC_IE_SYSTEM_INIT));
    /* The estimate is made anew for each message. */
    begin_ipfix_at(&k, KIT_SECONDS + 10, 4, 7);
    begin_set(&k, 256);
    put_times(&k, 1000, 500);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 4, SC_IE_FLOW_START), EXPORT_MS + 10000);
    assert_int_equal(flow_own(&k, 4, SC_IE_FLOW_END), EXPORT_MS + 9500);
    kit_close(&k);
}

static void estimate_in_records_of_variable_length(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 3, 94, 65535, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_bytes(&k, "\2ab", 3);
    put_times(&k, 1000, 2000);
    put_bytes(&k, "\0", 1);
    put_times(&k, 1500, 2500);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), EXPORT_MS - 1500);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_END), EXPORT_MS);
    kit_close(&k);
}

/* Up for more than 49.7 days: the last round before the export. */
static void ipfix_uptime_of_many_rounds(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    uint64_t init = EXPORT_MS - 3 * ROUND - 5000;
    begin_ipfix(&k, 0);
    put_init_options(&k, init);
    put_template(&k, 256, 2, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_times(&k, 1000, 4000);
    put_times(&k, 0xffffff00, 4000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), EXPORT_MS - 4000);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_START), EXPORT_MS - 5000 - 256);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_END), EXPORT_MS - 1000);
    assert_int_equal((uint32_t)(flow_own(&k, 1, SC_IE_FLOW_START) - flow_own(&k, 1, SC_IE_SYSTEM_INIT)),
                     0xffffff00);
    kit_close(&k);
}

static void estimate_never_before_1970(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix_at(&k, 100, 0, 7);
    put_template(&k, 256, 2, 22, 4, 21, 4);
    begin_set(&k, 256);
    put_times(&k, 5000000, 6000000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    uint64_t init = flow_own(&k, 0, SC_IE_SYSTEM_INIT);
    assert_true(init < 2 * ROUND);
    assert_int_equal((uint32_t)(flow_own(&k, 0, SC_IE_FLOW_START) - init), 5000000);
    kit_close(&k);
}

UNIT(test_decoder_times)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v9_times_by_sysuptime),
        cmocka_unit_test(v9_last_after_the_wrap),
        cmocka_unit_test(records_without_times_have_none),
        cmocka_unit_test(reduced_sysuptime_time),
        cmocka_unit_test(ipfix_base_in_the_record),
        cmocka_unit_test(ipfix_base_of_earlier_options),
        cmocka_unit_test(ipfix_base_later_in_the_message),
        cmocka_unit_test(ipfix_base_is_estimated),
        cmocka_unit_test(estimate_in_records_of_variable_length),
        cmocka_unit_test(ipfix_uptime_of_many_rounds),
        cmocka_unit_test(estimate_never_before_1970),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
