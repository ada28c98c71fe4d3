// SPDX-License-Identifier: BSD-3-Clause
/* Where templates live (RFC 7011 section 8), how long, and the bounds that protect the process. */
#include "decoder_kit.h"

static void send_template(struct kit *k, uint16_t id, uint32_t domain, uint16_t length)
{
    begin_ipfix_at(k, KIT_SECONDS, 0, domain);
    put_template(k, id, 1, 2, length);
    assert_int_equal(deliver(k), SC_OK);
}

/* Two bytes of data: one record of a two-byte template, two of a one-byte one. Returns the records decoded.
 */
static uint32_t send_data(struct kit *k, uint16_t id, uint32_t domain)
{
    begin_ipfix_at(k, KIT_SECONDS, 0, domain);
    begin_set(k, id);
    put16(k, 0x0102);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
    assert_int_equal(k->outcome.no_template_sets, k->outcome.flows == 0);
    return k->outcome.flows;
}

static void templates_are_not_shared_between_sessions(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    struct sc_message_source first = k.source;
    send_template(&k, 256, 7, 1);
    k.source.port++;
    assert_int_equal(send_data(&k, 256, 7), 0);
    k.source = first;
    k.source.exporter = sc_addr_v4(0xc0000202);
    assert_int_equal(send_data(&k, 256, 7), 0);
    k.source = first;
    k.source.transport = SC_TRANSPORT_TCP;
    assert_int_equal(send_data(&k, 256, 7), 0);
    k.source.connection = 2;
    assert_int_equal(send_data(&k, 256, 7), 0);
    k.source = first;
    assert_int_equal(send_data(&k, 256, 7), 2);
    kit_close(&k);
}

static void same_id_in_another_domain_is_another_template(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    send_template(&k, 256, 7, 1);
    send_template(&k, 256, 8, 2);
    assert_int_equal(send_data(&k, 256, 7), 2);
    assert_int_equal(send_data(&k, 256, 8), 1);
    assert_int_equal(send_data(&k, 256, 9), 0);
    kit_close(&k);
}

static void v9_and_ipfix_templates_are_apart(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    send_template(&k, 256, 7, 1);
    begin_v9(&k, 0);
    put_template(&k, 256, 1, 2, 2);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(send_data(&k, 256, 7), 2);
    kit_close(&k);
}

/* Some exporters send templates from one port and data from another. */
static void template_scope_address(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.template_scope = SC_TEMPLATE_SCOPE_ADDRESS;
    struct kit k;
    kit_open_with(&k, &limits);
    send_template(&k, 256, 7, 1);
    k.source.port = 50000;
    assert_int_equal(send_data(&k, 256, 7), 2);
    assert_int_equal(flow_own(&k, 0, SC_IE_EXPORTER_PORT), 50000);
    assert_int_equal(send_data(&k, 256, 8), 0);
    k.source.exporter = sc_addr_v4(0xc0000202);
    assert_int_equal(send_data(&k, 256, 7), 0);
    /* TCP sessions stay apart. */
    k.source.exporter = sc_addr_v4(0xc0000201);
    k.source.transport = SC_TRANSPORT_TCP;
    assert_int_equal(send_data(&k, 256, 7), 0);
    kit_close(&k);
}

static void address_scope_counts_sequences_by_port(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.template_scope = SC_TEMPLATE_SCOPE_ADDRESS;
    struct kit k;
    kit_open_with(&k, &limits);
    for (uint32_t i = 0; i < 6; i++) {
        k.source.port = (uint16_t)(1000 + i % 2);
        begin_v9_at(&k, 1000 + i, KIT_SECONDS, (i % 2 == 0 ? 100 : 9000) + i / 2, 7);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.lost, 0);
    }
    kit_close(&k);
}

static void end_of_a_session(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    k.source.connection = 5;
    send_template(&k, 256, 7, 1);
    assert_int_equal(send_data(&k, 256, 7), 2);
    sc_decoder_end_session(k.decoder, &k.source);
    struct sc_exporter_stats s = stats_of(&k, 10, 7);
    assert_int_equal(s.flows, 2); /* statistics stay */
    assert_int_equal(s.templates, 0);
    assert_int_equal(send_data(&k, 256, 7), 0);
    k.source.connection = 99;
    sc_decoder_end_session(k.decoder, &k.source); /* never seen: nothing happens */
    kit_close(&k);
}

/* ---- time ---- */

static void templates_expire(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    send_template(&k, 256, 7, 1);
    sc_decoder_expire(k.decoder, KIT_RECEIVED + 1800000);
    assert_int_equal(send_data(&k, 256, 7), 2);
    sc_decoder_expire(k.decoder, KIT_RECEIVED + 1800001);
    assert_int_equal(send_data(&k, 256, 7), 0);
    kit_close(&k);
}

static void refresh_keeps_a_template(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    send_template(&k, 256, 7, 1);
    k.source.receive_ms += 1000000;
    send_template(&k, 256, 7, 1);
    sc_decoder_expire(k.decoder, KIT_RECEIVED + 1000000 + 1800000);
    assert_int_equal(send_data(&k, 256, 7), 2);
    kit_close(&k);
}

/* Three times the observed refresh where that is longer. */
static void slow_refresh_lengthens_the_lifetime(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    send_template(&k, 256, 7, 1);
    k.source.receive_ms += 3600000; /* an hour */
    send_template(&k, 256, 7, 1);
    sc_decoder_expire(k.decoder, k.source.receive_ms + 3 * 3600000);
    assert_int_equal(send_data(&k, 256, 7), 2);
    sc_decoder_expire(k.decoder, k.source.receive_ms + 3 * 3600000 + 1);
    assert_int_equal(send_data(&k, 256, 7), 0);
    kit_close(&k);
}

/* A clock that was set from 1970 to today is no refresh of decades. */
static void a_clock_that_jumps_makes_no_template_immortal(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.receive_ms = 1000;
    send_template(&k, 256, 7, 1);
    k.source.receive_ms = KIT_RECEIVED;
    send_template(&k, 256, 7, 1);
    assert_int_equal(send_data(&k, 256, 7), 2);
    sc_decoder_expire(k.decoder, KIT_RECEIVED + UINT64_C(4) * 86400000);
    assert_int_equal(send_data(&k, 256, 7), 0);
    kit_close(&k);
}

static void templates_of_tcp_and_files_do_not_expire(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    for (int i = 0; i < 2; i++) {
        k.source.transport = i == 0 ? SC_TRANSPORT_TCP : SC_TRANSPORT_FILE;
        send_template(&k, 256, 7, 1);
        sc_decoder_expire(k.decoder, KIT_RECEIVED + 1000000000);
        assert_int_equal(send_data(&k, 256, 7), 2);
    }
    kit_close(&k);
}

/* ---- data that waits for its template ---- */

static void waiting_data_is_decoded_when_the_template_comes(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    assert_int_equal(send_data(&k, 256, 7), 0);
    k.source.receive_ms += 5000;
    assert_int_equal(send_data(&k, 256, 7), 0);
    assert_int_equal(send_data(&k, 257, 7), 0);
    k.source.receive_ms += 5000;
    begin_ipfix_at(&k, KIT_SECONDS + 10, 0, 7);
    put_template(&k, 256, 1, 2, 2);
    begin_set(&k, 256);
    put16(&k, 0x0909);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.recovered_sets, 2);
    assert_int_equal(k.outcome.flows, 3);
    assert_int_equal(flow_u(&k, 0, 2), 0x0102);
    assert_int_equal(flow_u(&k, 2, 2), 0x0909);
    /* They keep the times of their own message. */
    assert_int_equal(flow_own(&k, 0, SC_IE_RECEIVE_TIME), KIT_RECEIVED);
    assert_int_equal(flow_own(&k, 1, SC_IE_RECEIVE_TIME), KIT_RECEIVED + 5000);
    assert_int_equal(flow_own(&k, 2, SC_IE_RECEIVE_TIME), KIT_RECEIVED + 10000);
    assert_int_equal(flow_own(&k, 0, SC_IE_EXPORT_TIME), (uint64_t)KIT_SECONDS * 1000);
    struct sc_exporter_stats s = stats_of(&k, 10, 7);
    assert_int_equal(s.no_template_sets, 3);
    assert_int_equal(s.recovered_sets, 2);
    kit_close(&k);
}

static void waiting_v9_times_are_of_their_own_header(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9_at(&k, 1000000, KIT_SECONDS, 1, 7);
    begin_set(&k, 256);
    put32(&k, 999000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    begin_v9_at(&k, 2000000, KIT_SECONDS + 5000, 2, 7);
    put_template(&k, 256, 1, 22, 4);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), (uint64_t)KIT_SECONDS * 1000 - 1000);
    kit_close(&k);
}

static void waiting_ipfix_times_are_estimated_by_their_own_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix_at(&k, KIT_SECONDS, 0, 7);
    begin_set(&k, 256);
    put32(&k, 1000);
    put32(&k, 3000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix_at(&k, KIT_SECONDS + 100, 2, 7);
    put_template(&k, 256, 1, 22, 4);
    begin_set(&k, 256);
    put32(&k, 90000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_FLOW_START), (uint64_t)KIT_SECONDS * 1000 - 2000);
    assert_int_equal(flow_own(&k, 1, SC_IE_FLOW_START), (uint64_t)KIT_SECONDS * 1000);
    assert_int_equal(flow_own(&k, 2, SC_IE_FLOW_START), (uint64_t)KIT_SECONDS * 1000 + 100000);
    kit_close(&k);
}

static void waiting_data_of_another_domain_stays(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    assert_int_equal(send_data(&k, 256, 7), 0);
    send_template(&k, 256, 8, 1);
    assert_int_equal(k.outcome.recovered_sets, 0);
    send_template(&k, 256, 7, 1);
    assert_int_equal(k.outcome.recovered_sets, 1);
    kit_close(&k);
}

static void waiting_data_that_does_not_fit_the_template(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    begin_set(&k, 256);
    put8(&k, 200);
    put_zeros(&k, 20);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 1, 94, 65535);
    put_template(&k, 257, 1, 2, 4);
    begin_set(&k, 257);
    put32(&k, 7);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK); /* counted, but the message at hand is whole */
    assert_int_equal(k.outcome.malformed, 1);
    assert_int_equal(k.outcome.recovered_sets, 0);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

static void waiting_data_is_bounded_by_number(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_buffered_sets = 3;
    struct kit k;
    kit_open_with(&k, &limits);
    for (int i = 0; i < 10; i++) {
        k.source.receive_ms = KIT_RECEIVED + (uint64_t)i;
        assert_int_equal(send_data(&k, 256, 7), 0);
    }
    send_template(&k, 256, 7, 2);
    assert_int_equal(k.outcome.recovered_sets, 3);
    assert_int_equal(flow_own(&k, 0, SC_IE_RECEIVE_TIME), KIT_RECEIVED + 7); /* the newest are kept */
    kit_close(&k);
}

static void waiting_data_is_bounded_by_bytes(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_buffered_bytes = 5;
    struct kit k;
    kit_open_with(&k, &limits);
    for (int i = 0; i < 10; i++)
        assert_int_equal(send_data(&k, 256, 7), 0);
    send_template(&k, 256, 7, 2);
    assert_int_equal(k.outcome.recovered_sets, 2);
    kit_close(&k);
}

static void waiting_may_be_switched_off(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_buffered_sets = 0;
    struct kit k;
    kit_open_with(&k, &limits);
    assert_int_equal(send_data(&k, 256, 7), 0);
    send_template(&k, 256, 7, 2);
    assert_int_equal(k.outcome.recovered_sets, 0);
    kit_close(&k);
}

static void waiting_data_expires(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    assert_int_equal(send_data(&k, 256, 7), 0);
    sc_decoder_expire(k.decoder, KIT_RECEIVED + 600000);
    send_template(&k, 256, 7, 2);
    assert_int_equal(k.outcome.recovered_sets, 0);
    kit_close(&k);
}

/* ---- bounds ---- */

static void too_many_fields(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_fields = 3;
    struct kit k;
    kit_open_with(&k, &limits);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 4, 1, 1, 2, 1, 3, 1, 4, 1);
    put_template(&k, 257, 3, 1, 1, 2, 1, 3, 1);
    begin_set(&k, 257);
    put_zeros(&k, 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.flows, 1);
    assert_int_equal(stats_of(&k, 10, 7).templates, 1);
    kit_close(&k);
}

static void memory_of_an_exporter_is_bounded(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(20000);
    struct kit k;
    kit_open_with(&k, &limits);
    enum sc_status status = SC_OK;
    uint16_t id = 256;
    for (; id < 1256 && status == SC_OK; id++) {
        begin_ipfix(&k, 0);
        put_template(&k, id, 4, 1, 1, 2, 1, 3, 1, 4, 1);
        status = deliver(&k);
    }
    assert_int_equal(status, SC_LIMIT);
    assert_true(id > 270 && id < 400);
    begin_ipfix(&k, 0); /* nor do sets wait without end */
    begin_set(&k, 9999);
    put_zeros(&k, 30000);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    kit_close(&k);
}

/* Numbers get other names on the way; each record is kept with its receive time. */
static void option_maps_are_kept_as_records(void **state)
{
    (void)state;
    static const char *const names[] = {"red\0", "blue", "red\0"};
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 0);
    put_options_template(&k, 300, 1, 3, 1, 4, 234, 4, 236, 4);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t i = 0; i < 3; i++) {
        k.source.receive_ms = KIT_RECEIVED + i * 1000;
        begin_v9(&k, i + 1);
        begin_set(&k, 300);
        put32(&k, 0);
        put32(&k, 12);
        put_bytes(&k, names[i], 4);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.options, 1);
    }
    assert_int_equal(k.sink.options->rows, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(uint_at(k.sink.options, i, 0, 234), 12);
        assert_bytes(k.sink.options, i, 0, 236, 0, names[i], 4);
        assert_int_equal(uint_at(k.sink.options, i, SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME),
                         KIT_RECEIVED + i * 1000);
    }
    assert_int_equal(k.sink.flows->rows, 0);
    kit_close(&k);
}

UNIT(test_decoder_sessions)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_not_shared_between_sessions),
        cmocka_unit_test(same_id_in_another_domain_is_another_template),
        cmocka_unit_test(v9_and_ipfix_templates_are_apart),
        cmocka_unit_test(template_scope_address),
        cmocka_unit_test(address_scope_counts_sequences_by_port),
        cmocka_unit_test(end_of_a_session),
        cmocka_unit_test(templates_expire),
        cmocka_unit_test(refresh_keeps_a_template),
        cmocka_unit_test(slow_refresh_lengthens_the_lifetime),
        cmocka_unit_test(a_clock_that_jumps_makes_no_template_immortal),
        cmocka_unit_test(templates_of_tcp_and_files_do_not_expire),
        cmocka_unit_test(waiting_data_is_decoded_when_the_template_comes),
        cmocka_unit_test(waiting_v9_times_are_of_their_own_header),
        cmocka_unit_test(waiting_ipfix_times_are_estimated_by_their_own_message),
        cmocka_unit_test(waiting_data_of_another_domain_stays),
        cmocka_unit_test(waiting_data_that_does_not_fit_the_template),
        cmocka_unit_test(waiting_data_is_bounded_by_number),
        cmocka_unit_test(waiting_data_is_bounded_by_bytes),
        cmocka_unit_test(waiting_may_be_switched_off),
        cmocka_unit_test(waiting_data_expires),
        cmocka_unit_test(too_many_fields),
        cmocka_unit_test(memory_of_an_exporter_is_bounded),
        cmocka_unit_test(option_maps_are_kept_as_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
