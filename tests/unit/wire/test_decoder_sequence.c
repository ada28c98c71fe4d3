// SPDX-License-Identifier: BSD-3-Clause
/* Sequence accounts: v5 counts flows, v9 messages, IPFIX data records; loss, lateness, wrap, restart. */
#include "decoder_kit.h"

static void v5(struct kit *k, uint16_t count, uint32_t uptime, uint32_t seconds, uint32_t sequence)
{
    begin_v5(k, count, uptime, sequence);
    sc_store_be32(k->message.data + 8, seconds);
    put_zeros(k, (size_t)count * 48);
    assert_int_equal(deliver(k), SC_OK);
}

static void v9(struct kit *k, uint32_t uptime, uint32_t seconds, uint32_t sequence)
{
    begin_v9_at(k, uptime, seconds, sequence, 7);
    put_template(k, 256, 1, 2, 4);
    begin_set(k, 256);
    put32(k, sequence);
    put32(k, sequence);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
}

static void ipfix(struct kit *k, uint32_t seconds, uint32_t sequence, uint32_t records)
{
    begin_ipfix_at(k, seconds, sequence, 7);
    put_template(k, 256, 1, 2, 4);
    begin_set(k, 256);
    for (uint32_t i = 0; i < records; i++)
        put32(k, sequence);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
}

static void assert_account(struct kit *k, uint8_t version, uint32_t domain, uint64_t lost, uint64_t reordered,
                           uint64_t restarts)
{
    struct sc_exporter_stats s = stats_of(k, version, domain);
    assert_int_equal(s.lost, lost);
    assert_int_equal(s.reordered, reordered);
    assert_int_equal(s.restarts, restarts);
}

static void v5_counts_flows(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v5(&k, 30, 1000, 100, 1234); /* the first number means nothing */
    assert_int_equal(k.outcome.lost, 0);
    v5(&k, 10, 2000, 101, 1264);
    assert_int_equal(k.outcome.lost, 0);
    v5(&k, 10, 3000, 102, 1304); /* 30 missing */
    assert_int_equal(k.outcome.lost, 30);
    v5(&k, 10, 4000, 103, 1314);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 5, 0x102, 30, 0, 0);
    kit_close(&k);
}

static void v9_counts_messages(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 1000, 100, 50);
    v9(&k, 2000, 101, 51);
    assert_int_equal(k.outcome.lost, 0);
    v9(&k, 3000, 102, 55);
    assert_int_equal(k.outcome.lost, 3);
    assert_account(&k, 9, 7, 3, 0, 0);
    assert_int_equal(stats_of(&k, 9, 7).messages, 3);
    assert_int_equal(stats_of(&k, 9, 7).flows, 6);
    kit_close(&k);
}

static void ipfix_counts_records(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    ipfix(&k, 100, 0, 5);
    ipfix(&k, 100, 5, 3);
    assert_int_equal(k.outcome.lost, 0);
    ipfix(&k, 100, 10, 1);
    assert_int_equal(k.outcome.lost, 2);
    assert_account(&k, 10, 7, 2, 0, 0);
    kit_close(&k);
}

static void ipfix_counts_options_records_too(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix_at(&k, 100, 0, 7);
    put_options_template(&k, 300, 1, 2, 149, 4, 41, 4);
    begin_set(&k, 300);
    put_zeros(&k, 24);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.options, 3);
    ipfix(&k, 100, 3, 1);
    assert_int_equal(k.outcome.lost, 0);
    kit_close(&k);
}

static void numbers_wrap(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 1000, 100, 0xffffffff);
    v9(&k, 2000, 101, 0);
    assert_int_equal(k.outcome.lost, 0);
    v9(&k, 3000, 102, 2);
    assert_int_equal(k.outcome.lost, 1);
    ipfix(&k, 100, 0xfffffffe, 5);
    ipfix(&k, 100, 3, 5);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 9, 7, 1, 0, 0);
    assert_account(&k, 10, 7, 0, 0, 0);
    kit_close(&k);
}

static void late_messages_make_good_the_loss(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 1000, 100, 1);
    v9(&k, 1300, 100, 4);
    v9(&k, 1100, 100, 2);
    v9(&k, 1200, 100, 3);
    v9(&k, 1400, 100, 5);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 9, 7, 0, 2, 0);
    ipfix(&k, 100, 0, 5);
    ipfix(&k, 101, 15, 5);
    assert_int_equal(k.outcome.lost, 10);
    ipfix(&k, 100, 5, 6);
    assert_account(&k, 10, 7, 4, 1, 0);
    ipfix(&k, 101, 20, 5);
    assert_int_equal(k.outcome.lost, 0);
    kit_close(&k);
}

/* RFC 3954: sysUptime going back = restart, which the next message confirms; its loss is not counted. */
static void v9_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 90000000, 100, 5000);
    v9(&k, 2000, 160, 0);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 9, 7, 0, 0, 0);
    v9(&k, 3000, 161, 1);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 9, 7, 0, 0, 1);
    /* Also when the number does not go back. */
    v9(&k, 90500, 250, 2);
    v9(&k, 500, 300, 800);
    v9(&k, 1500, 301, 802);
    assert_int_equal(k.outcome.lost, 1); /* since the first of the new life */
    assert_account(&k, 9, 7, 1, 0, 2);
    kit_close(&k);
}

/* The clock of a router that has just booted may be anywhere: then ours tells how long it may have been up. */
static void v9_restart_with_a_wrong_clock(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 90000000, KIT_SECONDS, 5000);
    k.source.receive_ms += 60000;
    v9(&k, 2000, 7200, 0);
    k.source.receive_ms += 1000;
    v9(&k, 3000, 7201, 1);
    k.source.receive_ms += 1000;
    v9(&k, 4000, KIT_SECONDS + 62, 2); /* set right */
    v9(&k, 5000, KIT_SECONDS + 63, 3);
    assert_account(&k, 9, 7, 0, 0, 1);
    kit_close(&k);
}

/* One datagram that looks as if the exporter had started anew changes nothing of its account. */
static void forged_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 90000000, 100, 5000);
    v9(&k, 500, 101, 0);
    v9(&k, 90001000, 101, 5001);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 9, 7, 0, 0, 0);
    ipfix(&k, 100, 70000, 5);
    ipfix(&k, 101, 0, 5);
    ipfix(&k, 101, 70005, 5);
    assert_int_equal(k.outcome.lost, 0);
    ipfix(&k, 102, 70011, 5);
    assert_int_equal(k.outcome.lost, 1);
    assert_account(&k, 10, 7, 1, 0, 0);
    kit_close(&k);
}

/* Nor does one of before the restart that comes after it. */
static void stale_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 90000000, 100, 5000);
    v9(&k, 2000, 160, 0);
    v9(&k, 3000, 161, 1);
    v9(&k, 89999000, 99, 4999);
    assert_int_equal(k.outcome.lost, 0);
    v9(&k, 4000, 162, 2);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 9, 7, 0, 1, 1);
    kit_close(&k);
}

/* Those of before the restart may also come between its first message and the second. */
static void late_message_beside_a_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 90000000, 100, 5000);
    v9(&k, 2000, 160, 0);
    v9(&k, 89999000, 99, 4999);
    v9(&k, 3000, 161, 1);
    assert_account(&k, 9, 7, 0, 1, 1);
    kit_close(&k);
}

static void v5_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v5(&k, 10, 90000000, 100, 50000);
    v5(&k, 10, 2000, 160, 0);
    assert_int_equal(k.outcome.lost, 0);
    v5(&k, 10, 3000, 161, 10);
    assert_account(&k, 5, 0x102, 0, 0, 1);
    kit_close(&k);
}

static void sysuptime_wrap_is_no_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 0xfffffff0, 100, 10);
    v9(&k, 2000, 102, 13);
    assert_int_equal(k.outcome.lost, 2);
    assert_account(&k, 9, 7, 2, 0, 0);
    kit_close(&k);
}

/* However long nothing was heard of the exporter. */
static void sysuptime_wraps_in_silence(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 0xffffffff - 7200000, 100, 10);
    v9(&k, 7200000, 100 + 14400, 11);
    v9(&k, 7201000, 101 + 14400, 12);
    assert_account(&k, 9, 7, 0, 0, 0);
    kit_close(&k);
}

/* A restart shortly before the 32 bits were full is one. */
static void restart_beside_the_wrap(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 0xffffffff - 600000, 100, 10);
    v9(&k, 2000, 200, 0);
    v9(&k, 3000, 201, 1);
    assert_account(&k, 9, 7, 0, 0, 1);
    kit_close(&k);
}

/* Several senders behind one account, or a clock that is set: sysUptime of somebody else is no restart. */
static void sysuptime_of_another_is_no_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    for (uint32_t i = 0; i < 8; i++)
        v9(&k, (i / 2 % 2 == 0 ? 90000000 : 70000000) + i * 1000, 100 + i, i);
    v9(&k, 90009000, 50, 8);
    v9(&k, 90010000, 7000, 9);
    assert_account(&k, 9, 7, 0, 0, 0);
    kit_close(&k);
}

/* Exporters that count messages, or nothing at all, do not start anew with each. */
static void wrong_ipfix_counters_are_no_restarts(void **state)
{
    (void)state;
    for (uint32_t step = 0; step < 2; step++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix_at(&k, 100, 0, 7);
        put_template(&k, 256, 1, 2, 4);
        assert_int_equal(deliver(&k), SC_OK);
        for (uint32_t i = 0; i < 20; i++) {
            begin_ipfix_at(&k, 101 + i, i * step, 7);
            begin_set(&k, 256);
            put_zeros(&k, 4 * (i % 5 + 1));
            end_set(&k);
            assert_int_equal(deliver(&k), SC_OK);
            assert_int_equal(k.outcome.flows, i % 5 + 1);
        }
        kit_close(&k);
    }
}

static void ipfix_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    ipfix(&k, 100, 70000, 5);
    ipfix(&k, 130, 0, 5); /* time went on, the number back; the next one confirms it */
    assert_int_equal(k.outcome.lost, 0);
    ipfix(&k, 131, 5, 5);
    assert_int_equal(k.outcome.lost, 0);
    assert_account(&k, 10, 7, 0, 0, 1);
    kit_close(&k);
}

/* After an undecodable set the expectation is unknown: set anew without loss. */
static void undecodable_set_loses_the_expectation(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    ipfix(&k, 100, 0, 5);
    begin_ipfix_at(&k, 100, 5, 7);
    begin_set(&k, 999);
    put_zeros(&k, 40);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.no_template_sets, 1);
    ipfix(&k, 100, 25, 5);
    assert_int_equal(k.outcome.lost, 0);
    ipfix(&k, 100, 31, 5);
    assert_int_equal(k.outcome.lost, 1);
    assert_account(&k, 10, 7, 1, 0, 0);
    assert_int_equal(stats_of(&k, 10, 7).no_template_sets, 1);
    kit_close(&k);
}

static void malformed_message_loses_the_expectation(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    ipfix(&k, 100, 0, 5);
    begin_ipfix_at(&k, 100, 5, 7);
    put32(&k, 0x01000001);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    ipfix(&k, 100, 50, 5);
    assert_int_equal(k.outcome.lost, 0);
    kit_close(&k);
}

static void domains_are_counted_apart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    for (uint32_t i = 0; i < 5; i++) {
        for (uint32_t domain = 1; domain < 4; domain++) {
            begin_v9_at(&k, 1000 + i, 100, 1000 * domain + i * (domain == 3 ? 2 : 1), domain);
            put_template(&k, 256, 1, 2, 2); /* a domain without anything of use is not kept */
            assert_int_equal(deliver(&k), SC_OK);
        }
    }
    assert_account(&k, 9, 1, 0, 0, 0);
    assert_account(&k, 9, 2, 0, 0, 0);
    assert_account(&k, 9, 3, 4, 0, 0);
    kit_close(&k);
}

static void gap_stands_on_the_first_record(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 1000, 100, 1);
    v9(&k, 2000, 101, 5);
    v9(&k, 3000, 102, 6);
    assert_int_equal(k.sink.flows->rows, 6);
    for (uint32_t row = 0; row < 6; row++)
        assert_int_equal(flow_has_own(&k, row, SC_IE_SEQUENCE_GAP), row == 2);
    assert_int_equal(flow_own(&k, 2, SC_IE_SEQUENCE_GAP), 3);
    kit_close(&k);
}

static void gap_before_a_message_without_records(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v9(&k, 1000, 100, 1);
    begin_v9_at(&k, 2000, 101, 4, 7);
    put_template(&k, 257, 1, 2, 4);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.lost, 2);
    v9(&k, 3000, 102, 6);
    assert_int_equal(flow_own(&k, 2, SC_IE_SEQUENCE_GAP), 3); /* both */
    kit_close(&k);
}

static void gap_of_v5(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    v5(&k, 2, 1000, 100, 0);
    v5(&k, 2, 1000, 100, 12);
    assert_int_equal(flow_own(&k, 2, SC_IE_SEQUENCE_GAP), 10);
    assert_false(flow_has_own(&k, 3, SC_IE_SEQUENCE_GAP));
    kit_close(&k);
}

UNIT(test_decoder_sequence)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v5_counts_flows),
        cmocka_unit_test(v9_counts_messages),
        cmocka_unit_test(ipfix_counts_records),
        cmocka_unit_test(ipfix_counts_options_records_too),
        cmocka_unit_test(numbers_wrap),
        cmocka_unit_test(late_messages_make_good_the_loss),
        cmocka_unit_test(v9_restart),
        cmocka_unit_test(v9_restart_with_a_wrong_clock),
        cmocka_unit_test(forged_restart),
        cmocka_unit_test(stale_message),
        cmocka_unit_test(late_message_beside_a_restart),
        cmocka_unit_test(v5_restart),
        cmocka_unit_test(sysuptime_wrap_is_no_restart),
        cmocka_unit_test(sysuptime_wraps_in_silence),
        cmocka_unit_test(restart_beside_the_wrap),
        cmocka_unit_test(sysuptime_of_another_is_no_restart),
        cmocka_unit_test(wrong_ipfix_counters_are_no_restarts),
        cmocka_unit_test(ipfix_restart),
        cmocka_unit_test(undecodable_set_loses_the_expectation),
        cmocka_unit_test(malformed_message_loses_the_expectation),
        cmocka_unit_test(domains_are_counted_apart),
        cmocka_unit_test(gap_stands_on_the_first_record),
        cmocka_unit_test(gap_before_a_message_without_records),
        cmocka_unit_test(gap_of_v5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
