// SPDX-License-Identifier: BSD-3-Clause
/* IPFIX messages (RFC 7011): sets, templates, withdrawals, what a malformed message leaves. */
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

static void put_enterprise_field(struct kit *k, uint16_t id, uint16_t length, uint32_t pen)
{
    put16(k, id | 0x8000);
    put16(k, length);
    put32(k, pen);
}

static void templates_and_data(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    put_simple_data(&k, 3);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 3);
    assert_int_equal(k.outcome.templates, 1);
    assert_addr(k.sink.flows, 2, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.2");
    assert_int_equal(flow_own(&k, 2, SC_IE_EXPORT_TIME), (uint64_t)KIT_SECONDS * 1000);
    assert_int_equal(flow_own(&k, 2, SC_IE_EXPORT_VERSION), 10);
    assert_int_equal(flow_own(&k, 2, SC_IE_OBSERVATION_DOMAIN), 7);
    kit_close(&k);
}

static void receive_time_falls_back_to_export_time(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.receive_ms = 0;
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_own(&k, 0, SC_IE_RECEIVE_TIME), (uint64_t)KIT_SECONDS * 1000);
    kit_close(&k);
}

/* Longer than what is there: it frames nothing. Shorter: it cuts off the data set, or ends before it. */
static void length_of_the_header(void **state)
{
    (void)state;
    for (int change = -20; change <= 20; change++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        put_simple_template(&k);
        put_simple_data(&k, 1);
        sc_store_be16(k.message.data + 2, (uint16_t)((int)k.message.len + change));
        assert_int_equal(deliver(&k), change == 0 ? SC_OK : SC_MALFORMED);
        assert_int_equal(k.outcome.flows, change == 0);
        assert_int_equal(k.outcome.templates, change <= 0 && change >= -16);
        assert_int_equal(k.outcome.malformed, change != 0);
        kit_close(&k);
    }
}

/* The datagram is longer than the message, by zeros. */
static void zeros_after_the_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    sc_store_be16(k.message.data + 2, (uint16_t)k.message.len);
    put_zeros(&k, 500);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 1);
    put8(&k, 1);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.flows, 1); /* what stands before it counts */
    kit_close(&k);
}

/* RFC 7011 section 10: up to 65,535 octets. */
static void longest_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 1, 4, 1);
    begin_set(&k, 256);
    put_zeros(&k, 65535 - k.message.len);
    end_set(&k);
    assert_int_equal(k.message.len, 65535);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 65535 - 16 - 12 - 4);
    kit_close(&k);
}

/* ---- the broken part is left out, not what stood beside it (a departure from section 9.1) ---- */

static void wrong_set_length_costs_the_rest(void **state)
{
    (void)state;
    static const uint16_t bad_lengths[] = {0, 1, 2, 3, 17, 1000, 65535};
    for (size_t i = 0; i < sizeof(bad_lengths) / sizeof(bad_lengths[0]); i++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        put_simple_template(&k);
        put_simple_data(&k, 2);
        begin_set(&k, 256);
        put_zeros(&k, 12);
        sc_store_be16(k.message.data + k.set + 2, bad_lengths[i]);
        assert_int_equal(deliver(&k), SC_MALFORMED);
        assert_int_equal(k.outcome.flows, 2);
        assert_int_equal(k.outcome.templates, 1);
        assert_int_equal(k.outcome.malformed, 1);
        assert_int_equal(k.sink.flows->rows, 2);
        begin_ipfix(&k, 0);
        put_simple_data(&k, 1);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 1);
        kit_close(&k);
    }
}

static void bytes_after_the_last_set(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 4; n++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        put_simple_template(&k);
        put_simple_data(&k, 2);
        put_bytes(&k, "abc", n);
        assert_int_equal(deliver(&k), SC_MALFORMED);
        assert_int_equal(k.outcome.malformed, 1);
        assert_int_equal(k.sink.flows->rows, 2);
        kit_close(&k);
    }
}

/* Words of a template record, behind which a good one (257: packets) stands in the same set; `known`: it is read. */
static const struct broken {
    uint16_t set, words[6], count;
    bool known;
} broken[] = {
    {2, {255, 1, 2, 4}, 4, true},       /* template id below 256 */
    {2, {300, 200, 2, 4}, 4, false},    /* more fields than there are */
    {2, {300, 6, 0x8002, 4}, 4, false}, /* likewise, enterprise numbers missing */
    {3, {300, 1, 0, 2, 4}, 5, true},    /* section 3.4.2.2: scope count of zero */
    {3, {300, 1, 2, 2, 4}, 5, true}, /* more scopes than fields: real exporters repeat it in each message */
    {3, {255, 1, 1, 2, 4}, 5, true},    {3, {300, 90, 1, 2, 4}, 5, false},
};

static void put_broken(struct kit *k, const struct broken *b)
{
    for (uint16_t i = 0; i < b->count; i++)
        put16(k, b->words[i]);
}

/* A template record whose extent is known costs itself, another one the rest of its set. */
static void malformed_template_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        put_simple_template(&k);
        put_simple_data(&k, 1);
        begin_set(&k, broken[i].set);
        put_broken(&k, &broken[i]);
        put16(&k, 257);
        put16(&k, 1);
        if (broken[i].set == 3)
            put16(&k, 1);
        put16(&k, 2);
        put16(&k, 4);
        end_set(&k);
        put_simple_data(&k, 3);
        assert_int_equal(deliver(&k), SC_MALFORMED);
        assert_int_equal(k.outcome.malformed, 1);
        assert_int_equal(k.outcome.templates, broken[i].known ? 2 : 1);
        assert_int_equal(k.sink.flows->rows, 4);
        kit_close(&k);
    }
}

/* The old layout would make nonsense of the data. */
static void malformed_redefinition_forgets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        put_template(&k, 300, 1, 2, 4);
        put_simple_template(&k);
        assert_int_equal(deliver(&k), SC_OK);
        begin_ipfix(&k, 0);
        begin_set(&k, 300);
        put32(&k, 1);
        end_set(&k);
        begin_set(&k, broken[i].set);
        put_broken(&k, &broken[i]);
        end_set(&k);
        begin_set(&k, 300);
        put64(&k, 168364297);
        end_set(&k);
        put_simple_data(&k, 1);
        assert_int_equal(deliver(&k), SC_MALFORMED);
        bool forgotten = broken[i].words[0] == 300;
        assert_int_equal(k.outcome.flows, forgotten ? 2 : 4);
        assert_int_equal(k.outcome.no_template_sets, forgotten);
        assert_int_equal(stats_of(&k, 10, 7).templates, forgotten ? 1 : 2);
        kit_close(&k);
    }
}

/* What is over a bound cannot be used either. */
static void redefinition_over_a_bound_forgets(void **state)
{
    (void)state;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_fields = 2;
    struct kit k;
    kit_open_with(&k, &limits);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 1, 2, 4);
    put_template(&k, 256, 3, 2, 4, 1, 4, 4, 1);
    begin_set(&k, 256);
    put_zeros(&k, 9);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.flows, 0);
    assert_int_equal(k.outcome.no_template_sets, 1);
    kit_close(&k);
}

static void nothing_is_lost_after_a_partial_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    put_simple_data(&k, 2);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix(&k, 2);
    put_simple_data(&k, 1);
    put16(&k, 256);
    put16(&k, 4000); /* how many were in it nobody knows */
    assert_int_equal(deliver(&k), SC_MALFORMED);
    begin_ipfix(&k, 30);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.lost, 0);
    begin_ipfix(&k, 33);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.lost, 2);
    kit_close(&k);
}

/* Section 3.3.2: others than 2, 3 and 256+ are ignored; we count them. */
static void reserved_sets(void **state)
{
    (void)state;
    static const uint16_t ids[] = {0, 1, 4, 5, 128, 255};
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        begin_set(&k, ids[i]);
        put32(&k, 0x12345678);
        end_set(&k);
    }
    put_simple_template(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.malformed, 6);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

static void enterprise_elements(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    begin_set(&k, 2);
    put16(&k, 256);
    put16(&k, 3);
    put16(&k, 1);
    put16(&k, 8);
    put_enterprise_field(&k, 1, 8, SC_PEN_REVERSE);
    put_enterprise_field(&k, 77, 3, 64999);
    end_set(&k);
    begin_set(&k, 256);
    put64(&k, 1000);
    put64(&k, 2000);
    put_bytes(&k, "\1\2\3", 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(flow_u(&k, 0, 1), 1000);
    assert_int_equal(uint_at(k.sink.flows, 0, SC_PEN_REVERSE, 1),
                     2000); /* RFC 5103: both directions in the record */
    assert_bytes(k.sink.flows, 0, 64999, 77, 0, "\1\2\3", 3);
    kit_close(&k);
}

/* Our pseudo enterprises cannot be claimed from outside. */
static void collector_elements_cannot_be_forged(void **state)
{
    (void)state;
    static const uint32_t pens[] = {SC_PEN_COLLECTOR, SC_PEN_V9_SCOPE, SC_PEN_V9};
    for (size_t i = 0; i < 3; i++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        begin_set(&k, 2);
        put16(&k, 256);
        put16(&k, 2);
        put_enterprise_field(&k, SC_IE_EXPORTER_PORT, 2, pens[i]);
        put16(&k, 2);
        put16(&k, 4);
        end_set(&k);
        begin_set(&k, 256);
        put16(&k, 6666);
        put32(&k, 5);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(flow_own(&k, 0, SC_IE_EXPORTER_PORT), 40000);
        assert_int_equal(flow_u(&k, 0, 2), 5);
        assert_null(column(k.sink.flows, pens[i], SC_IE_EXPORTER_PORT, 0, SC_COLUMN_BYTES));
        kit_close(&k);
    }
}

/* Section 7: the three-byte form is legal for short values. */
static void variable_length_forms(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 2, 94, 65535, 4, 1);
    begin_set(&k, 256);
    put8(&k, 255);
    put16(&k, 2);
    put_bytes(&k, "hi", 2);
    put8(&k, 6);
    put8(&k, 2);
    put_bytes(&k, "ho", 2);
    put8(&k, 17);
    put8(&k, 255);
    put16(&k, 0);
    put8(&k, 1);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 3);
    assert_bytes(k.sink.flows, 0, 0, 94, 0, "hi", 2);
    assert_bytes(k.sink.flows, 1, 0, 94, 0, "ho", 2);
    assert_bytes(k.sink.flows, 2, 0, 94, 0, "", 0);
    assert_int_equal(flow_u(&k, 2, 4), 1);
    kit_close(&k);
}

static void record_beyond_its_set(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 300, 2, 94, 65535, 4, 1);
    begin_set(&k, 300);
    put8(&k, 2);
    put_bytes(&k, "ok", 2);
    put8(&k, 6);
    put8(&k, 255);
    put16(&k, 40000);
    put_zeros(&k, 20);
    end_set(&k);
    put_simple_template(&k);
    put_simple_data(&k, 2);
    assert_int_equal(deliver(&k), SC_MALFORMED);
    assert_int_equal(k.outcome.malformed, 1);
    assert_int_equal(k.sink.flows->rows, 2); /* of data the set is left out */
    kit_close(&k);
}

static void data_before_and_after_its_template_in_one_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_simple_data(&k, 1);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.no_template_sets, 1);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

static void put_withdrawal(struct kit *k, uint16_t set, uint16_t id)
{
    begin_set(k, set);
    put16(k, id);
    put16(k, 0);
    end_set(k);
}

static void withdrawal_applies_on_tcp(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    k.source.connection = 1;
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    put_withdrawal(&k, 2, 256);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.templates, 2);
    assert_int_equal(k.outcome.flows, 0);
    assert_int_equal(k.outcome.no_template_sets, 1);
    assert_int_equal(stats_of(&k, 10, 7).templates, 0);
    kit_close(&k);
}

/* Section 8.4. */
static void withdrawal_is_ignored_on_udp(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    put_withdrawal(&k, 2, 256);
    put_withdrawal(&k, 2, 2);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

static void withdrawal_of_an_unknown_template(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    begin_ipfix(&k, 0);
    put_withdrawal(&k, 2, 300);
    put_withdrawal(&k, 3, 301);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.malformed, 0);
    assert_int_equal(k.outcome.flows, 1);
    kit_close(&k);
}

/* Section 8.1: ids 2 and 3 withdraw all templates, all options templates. */
static void withdrawal_of_all(void **state)
{
    (void)state;
    for (uint16_t kind = 2; kind <= 3; kind++) {
        struct kit k;
        kit_open(&k);
        k.source.transport = SC_TRANSPORT_TCP;
        begin_ipfix(&k, 0);
        put_simple_template(&k);
        put_template(&k, 257, 1, 2, 4);
        put_options_template(&k, 300, 1, 2, 149, 4, 34, 4);
        assert_int_equal(deliver(&k), SC_OK);
        begin_ipfix(&k, 0);
        put_withdrawal(&k, kind, kind);
        put_simple_data(&k, 1);
        begin_set(&k, 300);
        put_zeros(&k, 8);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, kind == 3);
        assert_int_equal(k.outcome.options, kind == 2);
        assert_int_equal(stats_of(&k, 10, 7).templates, kind == 2 ? 1 : 2);
        kit_close(&k);
    }
}

static void withdrawal_of_all_that_the_message_defined(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    put_simple_data(&k, 1);
    put_withdrawal(&k, 2, 2);
    put_simple_data(&k, 1);
    put_template(&k, 256, 1, 2, 4);
    put_simple_data(&k, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.no_template_sets, 1);
    assert_int_equal(k.outcome.flows, 1 + 3);
    assert_int_equal(stats_of(&k, 10, 7).templates, 1);
    kit_close(&k);
}

static void template_after_withdrawal(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    begin_ipfix(&k, 0);
    put_simple_template(&k);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix(&k, 0);
    put_withdrawal(&k, 2, 256);
    put_template(&k, 256, 1, 2, 2);
    begin_set(&k, 256);
    put16(&k, 9);
    put16(&k, 10);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 2);
    assert_int_equal(flow_u(&k, 1, 2), 10);
    kit_close(&k);
}

static void options_records(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 3, 10, 4, 82, 65535, 83, 3);
    begin_set(&k, 300);
    put32(&k, 12);
    put8(&k, 4);
    put_bytes(&k, "ge-1", 4);
    put_bytes(&k, "up\0", 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.options, 1);
    assert_int_equal(k.outcome.flows, 0);
    assert_int_equal(k.sink.flows->rows, 0);
    assert_int_equal(uint_at(k.sink.options, 0, 0, 10), 12);
    assert_bytes(k.sink.options, 0, 0, 82, 0, "ge-1", 4);
    assert_bytes(k.sink.options, 0, 0, 83, 0, "up\0", 3); /* as exported */
    kit_close(&k);
}

/* RFC 6313: lists are kept as they are; one that makes no sense costs no record. */
static void structured_data_is_kept(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 4, 291, 65535, 292, 65535, 293, 65535, 4, 1);
    begin_set(&k, 256);
    put8(&k, 3);
    put_bytes(&k, "\xff\xff\xff", 3);
    put8(&k, 0);
    put8(&k, 1);
    put8(&k, 9);
    put8(&k, 6);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 1);
    assert_bytes(k.sink.flows, 0, 0, 291, 0, "\xff\xff\xff", 3);
    assert_bytes(k.sink.flows, 0, 0, 292, 0, "", 0);
    assert_bytes(k.sink.flows, 0, 0, 293, 0, "\x09", 1);
    assert_int_equal(flow_u(&k, 0, 4), 6);
    kit_close(&k);
}

static void every_cut_of_a_message(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 2, 149, 4, 160, 8);
    put_template(&k, 256, 3, 4, 1, 94, 65535, 22, 4);
    begin_set(&k, 256);
    put8(&k, 6);
    put8(&k, 2);
    put_bytes(&k, "ab", 2);
    put32(&k, 5);
    end_set(&k);
    size_t whole = k.message.len;
    for (size_t length = 16; length < whole; length++) {
        k.message.len = length;
        sc_store_be16(k.message.data + 2, (uint16_t)length);
        enum sc_status status = deliver(&k);
        assert_true(status == SC_OK || status == SC_MALFORMED);
        assert_int_equal(k.sink.flows->rows, 0);
    }
    kit_close(&k);
}

UNIT(test_decoder_ipfix)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_and_data),
        cmocka_unit_test(receive_time_falls_back_to_export_time),
        cmocka_unit_test(length_of_the_header),
        cmocka_unit_test(zeros_after_the_message),
        cmocka_unit_test(longest_message),
        cmocka_unit_test(wrong_set_length_costs_the_rest),
        cmocka_unit_test(bytes_after_the_last_set),
        cmocka_unit_test(malformed_template_records),
        cmocka_unit_test(malformed_redefinition_forgets),
        cmocka_unit_test(redefinition_over_a_bound_forgets),
        cmocka_unit_test(nothing_is_lost_after_a_partial_message),
        cmocka_unit_test(reserved_sets),
        cmocka_unit_test(enterprise_elements),
        cmocka_unit_test(collector_elements_cannot_be_forged),
        cmocka_unit_test(variable_length_forms),
        cmocka_unit_test(record_beyond_its_set),
        cmocka_unit_test(data_before_and_after_its_template_in_one_message),
        cmocka_unit_test(withdrawal_applies_on_tcp),
        cmocka_unit_test(withdrawal_is_ignored_on_udp),
        cmocka_unit_test(withdrawal_of_an_unknown_template),
        cmocka_unit_test(withdrawal_of_all),
        cmocka_unit_test(withdrawal_of_all_that_the_message_defined),
        cmocka_unit_test(template_after_withdrawal),
        cmocka_unit_test(options_records),
        cmocka_unit_test(structured_data_is_kept),
        cmocka_unit_test(every_cut_of_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
