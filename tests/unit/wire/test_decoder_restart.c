// SPDX-License-Identifier: BSD-3-Clause
/* What a restart, a withdrawal or the transport means for templates and for data that waits: no data is decoded by a
 * layout that is not its own. */
#include "decoder_kit.h"

#define OLD_UPTIME 90000000u

/* ---- two layouts of template 256: packets, octets; octets, packets ---- */

static void put_layout(struct kit *k, bool swapped)
{
    put_template(k, 256, 2, swapped ? 1 : 2, 4, swapped ? 2 : 1, 4);
}

static void put_data(struct kit *k, uint32_t first, uint32_t second)
{
    begin_set(k, 256);
    put32(k, first);
    put32(k, second);
    end_set(k);
}

static void assert_flow(struct kit *k, uint32_t row, uint32_t packets, uint32_t octets)
{
    assert_int_equal(flow_u(k, row, 2), packets);
    assert_int_equal(flow_u(k, row, 1), octets);
}

/* One exporter's messages before and after it started anew, in both protocols. */
static void begin_old(struct kit *k, uint8_t version, uint32_t n)
{
    if (version == 9)
        begin_v9_at(k, OLD_UPTIME + 1000 * n, KIT_SECONDS + n, 5000 + n, 7);
    else
        begin_ipfix_at(k, KIT_SECONDS + n, 5000 + n, 7);
}

static void begin_new(struct kit *k, uint8_t version, uint32_t n)
{
    if (version == 9)
        begin_v9_at(k, 20000 + 1000 * n, KIT_SECONDS + 60 + n, n, 7);
    else
        begin_ipfix_at(k, KIT_SECONDS + 60 + n, n, 7);
}

#define BOTH(version)                                                                                        \
    uint8_t version = 9;                                                                                     \
    version <= 10;                                                                                           \
    version++

/* ---- data that waits ---- */

static void waiting_data_ends_with_the_restart(void **state)
{
    (void)state;
    for (BOTH(version)) {
        struct kit k;
        kit_open(&k);
        begin_old(&k, version, 0);
        put_data(&k, 10, 1000);
        assert_int_equal(deliver(&k), SC_OK);
        begin_new(&k, version, 0);
        put_layout(&k, true);
        put_data(&k, 4000, 4);
        assert_int_equal(deliver(&k), SC_OK);
        begin_new(&k, version, 1);
        put_layout(&k, false);
        put_data(&k, 5, 5000);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.sink.flows->rows, 2);
        assert_flow(&k, 0, 4, 4000);
        assert_flow(&k, 1, 5, 5000);
        assert_int_equal(stats_of(&k, version, 7).no_template_sets, 1);
        assert_int_equal(stats_of(&k, version, 7).recovered_sets, 0);
        assert_int_equal(stats_of(&k, version, 7).restarts, 1);
        kit_close(&k);
    }
}

/* A number that went back a little, while time went on, is no sure restart, but enough to give up what waits. */
static void waiting_data_ends_with_its_count(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix_at(&k, KIT_SECONDS, 10, 7);
    put_data(&k, 10, 1000);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix_at(&k, KIT_SECONDS + 60, 8, 7);
    put_layout(&k, true);
    put_data(&k, 4000, 4);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix_at(&k, KIT_SECONDS + 61, 9, 7);
    put_layout(&k, true);
    put_data(&k, 5000, 5);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.sink.flows->rows, 2);
    assert_int_equal(stats_of(&k, 10, 7).recovered_sets, 0);
    kit_close(&k);
}

/* With template_scope address templates outlive a restart, what waits does not. */
static void waiting_data_with_the_scope_address(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.template_scope = SC_TEMPLATE_SCOPE_ADDRESS;
    struct kit k;
    kit_open_with(&k, &limits);
    begin_old(&k, 9, 0);
    put_template(&k, 257, 1, 2, 4);
    put_data(&k, 10, 1000);
    assert_int_equal(deliver(&k), SC_OK);
    begin_new(&k, 9, 0);
    put_layout(&k, true);
    assert_int_equal(deliver(&k), SC_OK);
    begin_new(&k, 9, 1);
    begin_set(&k, 257);
    put32(&k, 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.sink.flows->rows, 1);
    assert_int_equal(flow_u(&k, 0, 2), 3);
    kit_close(&k);
}

/* ---- templates ---- */

/* Data of the new life wait for its own templates, from its first message on. */
static void templates_end_with_the_restart(void **state)
{
    (void)state;
    for (BOTH(version)) {
        struct kit k;
        kit_open(&k);
        begin_old(&k, version, 0);
        put_layout(&k, false);
        put_data(&k, 1, 1000);
        assert_int_equal(deliver(&k), SC_OK);
        for (uint32_t n = 0; n < 3; n++) {
            begin_new(&k, version, n);
            put_data(&k, 2000 + n, 2 + n);
            assert_int_equal(deliver(&k), SC_OK);
            assert_int_equal(k.outcome.flows, 0);
            assert_int_equal(stats_of(&k, version, 7).templates, n == 0);
        }
        begin_new(&k, version, 3);
        put_layout(&k, true);
        put_data(&k, 2003, 5);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.recovered_sets, 3);
        assert_int_equal(k.sink.flows->rows, 5);
        assert_flow(&k, 0, 1, 1000);
        for (uint32_t n = 0; n < 4; n++)
            assert_flow(&k, n + 1, 2 + n, 2000 + n);
        assert_int_equal(stats_of(&k, version, 7).restarts, 1);
        kit_close(&k);
    }
}

/* One datagram that looks like a restart costs nothing: what it brings waits for the next one's word. */
static void forged_restart_costs_no_template(void **state)
{
    (void)state;
    for (BOTH(version)) {
        struct kit k;
        kit_open(&k);
        begin_old(&k, version, 0);
        put_layout(&k, false);
        put_data(&k, 1, 1000);
        assert_int_equal(deliver(&k), SC_OK);
        begin_new(&k, version, 0);
        sc_store_be32(k.message.data + (version == 9 ? 8 : 4), KIT_SECONDS + 60);
        put_data(&k, 2, 2000);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 0);
        begin_old(&k, version, 1);
        put_data(&k, 3, 3000);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.sink.flows->rows, 3); /* it was a message like others */
        assert_flow(&k, 1, 2, 2000);
        assert_flow(&k, 2, 3, 3000);
        assert_int_equal(stats_of(&k, version, 7).templates, 1);
        assert_int_equal(stats_of(&k, version, 7).restarts, 0);
        assert_int_equal(stats_of(&k, version, 7).lost, 0);
        kit_close(&k);
    }
}

static void late_data_is_not_decoded_after_the_restart(void **state)
{
    (void)state;
    for (BOTH(version)) {
        struct kit k;
        kit_open(&k);
        for (uint32_t n = 0; n < 2; n++) {
            begin_old(&k, version, n);
            put_layout(&k, false);
            put_data(&k, n, 1000);
            assert_int_equal(deliver(&k), SC_OK);
        }
        for (uint32_t n = 0; n < 2; n++) {
            begin_new(&k, version, n);
            put_layout(&k, true);
            put_data(&k, 2000, n);
            assert_int_equal(deliver(&k), SC_OK);
        }
        begin_old(&k, version, 0);
        put_layout(&k, false);
        put_data(&k, 1, 1000);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 0);
        assert_int_equal(k.outcome.no_template_sets, 1);
        begin_old(&k, version, 1); /* nor does a definition of then forget one of now */
        begin_set(&k, version == 9 ? 0 : 2);
        put16(&k, 256);
        put16(&k, 99);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_MALFORMED);
        begin_new(&k, version, 2);
        put_data(&k, 3000, 3);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.sink.flows->rows, 5);
        assert_flow(&k, 4, 3, 3000);
        assert_int_equal(stats_of(&k, version, 7).restarts, 1);
        assert_int_equal(stats_of(&k, version, 7).lost, 0);
        kit_close(&k);
    }
}

/* Most exporters keep their layout and send it first: they lose nothing. */
static void restart_with_templates_first(void **state)
{
    (void)state;
    for (BOTH(version)) {
        struct kit k;
        kit_open(&k);
        begin_old(&k, version, 0);
        put_layout(&k, false);
        put_data(&k, 0, 0);
        assert_int_equal(deliver(&k), SC_OK);
        for (uint32_t n = 0; n < 6; n++) {
            begin_new(&k, version, n);
            if (n == 0)
                put_layout(&k, false);
            put_data(&k, n + 1, 1000 * n);
            assert_int_equal(deliver(&k), SC_OK);
            assert_int_equal(k.outcome.flows, 1);
        }
        assert_int_equal(stats_of(&k, version, 7).lost, 0);
        kit_close(&k);
    }
}

/* Sampling is configured: it holds until it is told anew. The base of sysUpTime was that of the old life. */
static void options_data_over_the_restart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_old(&k, 10, 0);
    put_options_template(&k, 300, 1, 3, 149, 4, 34, 4, 160, 8);
    begin_set(&k, 300);
    put32(&k, 7);
    put32(&k, 100);
    put64(&k, 1600000000000u);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t n = 0; n < 2; n++) {
        begin_new(&k, 10, n);
        put_template(&k, 256, 1, 22, 4);
        begin_set(&k, 256);
        put32(&k, 2000);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
    }
    assert_int_equal(flow_own(&k, 1, SC_IE_SAMPLING_RATE), 100);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_START), (uint64_t)(KIT_SECONDS + 61) * 1000);
    kit_close(&k);
}

/* Another collector may still know the templates of before. */
static void merge_brings_no_template_from_before_the_restart(void **state)
{
    (void)state;
    struct kit k, other;
    struct sc_buf saved = {0};
    kit_open(&k);
    kit_open(&other);
    begin_old(&other, 9, 0);
    put_layout(&other, false);
    assert_int_equal(deliver(&other), SC_OK);
    assert_int_equal(sc_decoder_save(other.decoder, &saved, &other.err), SC_OK);
    begin_old(&k, 9, 0);
    put_layout(&k, false);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t n = 0; n < 2; n++) {
        k.source.receive_ms = KIT_RECEIVED + 60000 + 1000 * n;
        begin_new(&k, 9, n);
        assert_int_equal(deliver(&k), SC_OK);
    }
    assert_int_equal(sc_decoder_merge_records(k.decoder, saved.data, saved.len, KIT_RECEIVED + 62000,
                                              KIT_RECEIVED + 62000, &k.err),
                     SC_OK);
    assert_int_equal(stats_of(&k, 9, 7).templates, 0);
    sc_buf_free(&saved);
    kit_close(&other);
    kit_close(&k);
}

/* ---- ordered transports ---- */

static void put_withdrawal(struct kit *k, uint16_t id)
{
    begin_set(k, 2);
    put16(k, id);
    put16(k, 0);
    end_set(k);
}

/* Templates of a connection are its own as long as it lasts, whatever its numbers do. */
static void templates_of_a_connection_stay(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    begin_old(&k, 10, 0);
    put_layout(&k, false);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t n = 0; n < 3; n++) {
        begin_new(&k, 10, n);
        put_data(&k, n, 1000);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 1);
    }
    kit_close(&k);
}

static void nothing_waits_on_tcp(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    begin_ipfix(&k, 0);
    put_layout(&k, false);
    put_data(&k, 1, 1000);
    put_withdrawal(&k, 256);
    put_data(&k, 2, 2000);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.no_template_sets, 1);
    begin_ipfix(&k, 2);
    put_layout(&k, true);
    put_data(&k, 3000, 3);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.sink.flows->rows, 2);
    assert_flow(&k, 1, 3, 3000);
    assert_int_equal(stats_of(&k, 10, 7).recovered_sets, 0);
    kit_close(&k);
}

/* A file may have been written as datagrams came, unless its exporter withdraws. */
static void waiting_in_files_ends_with_a_withdrawal(void **state)
{
    (void)state;
    for (unsigned withdrawal = 0; withdrawal < 3; withdrawal++) {
        struct kit k;
        kit_open(&k);
        k.source.transport = SC_TRANSPORT_FILE;
        begin_ipfix(&k, 0);
        put_data(&k, 1, 1000);
        if (withdrawal != 0)
            put_withdrawal(&k, withdrawal == 1 ? 256 : 2);
        put_data(&k, 2, 2000);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.no_template_sets, 2);
        begin_ipfix(&k, 2);
        put_layout(&k, true);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.sink.flows->rows, withdrawal == 0 ? 2 : 0);
        kit_close(&k);
    }
}

UNIT(test_decoder_restart)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_data_ends_with_the_restart),
        cmocka_unit_test(waiting_data_ends_with_its_count),
        cmocka_unit_test(waiting_data_with_the_scope_address),
        cmocka_unit_test(templates_end_with_the_restart),
        cmocka_unit_test(forged_restart_costs_no_template),
        cmocka_unit_test(late_data_is_not_decoded_after_the_restart),
        cmocka_unit_test(restart_with_templates_first),
        cmocka_unit_test(options_data_over_the_restart),
        cmocka_unit_test(merge_brings_no_template_from_before_the_restart),
        cmocka_unit_test(templates_of_a_connection_stay),
        cmocka_unit_test(nothing_waits_on_tcp),
        cmocka_unit_test(waiting_in_files_ends_with_a_withdrawal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
