// SPDX-License-Identifier: BSD-3-Clause
/* Either family in one column, and records that carry both. */
#include "decoder_kit.h"

static const struct {
    uint16_t v4, v6, unified;
} pairs[] = {
    {8, 27, SC_IE_SOURCE_ADDRESS},     {12, 28, SC_IE_DESTINATION_ADDRESS},
    {15, 62, SC_IE_NEXT_HOP},          {18, 63, SC_IE_BGP_NEXT_HOP},
    {225, 281, SC_IE_POST_NAT_SOURCE}, {226, 282, SC_IE_POST_NAT_DESTINATION},
};
#define PAIRS 6

static void single_addresses_are_unified(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS; i++) {
        struct kit k;
        kit_open(&k);
        begin_ipfix(&k, 0);
        put_template(&k, 256, 1, pairs[i].v4, 4);
        put_template(&k, 257, 1, pairs[i].v6, 16);
        begin_set(&k, 256);
        put32(&k, 0x0a010203);
        put32(&k, 0);
        end_set(&k);
        begin_set(&k, 257);
        put_v6(&k, 0x99);
        put_zeros(&k, 16);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
        const struct sc_batch *b = k.sink.flows;
        assert_addr(b, 0, SC_PEN_COLLECTOR, pairs[i].unified, "10.1.2.3");
        assert_addr(b, 1, SC_PEN_COLLECTOR, pairs[i].unified, "0.0.0.0");
        assert_addr(b, 2, SC_PEN_COLLECTOR, pairs[i].unified, "2001:db8::99");
        assert_addr(b, 3, SC_PEN_COLLECTOR, pairs[i].unified, "::");
        assert_null(column(b, 0, pairs[i].v4, 0, SC_COLUMN_ADDRESS));
        assert_null(column(b, 0, pairs[i].v6, 0, SC_COLUMN_ADDRESS));
        kit_close(&k);
    }
}

/* ::ffff:a.b.c.d of an IPv6 element can be told from an IPv4 element. */
static void mapped_addresses_keep_their_element(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 1, 27, 16);
    begin_set(&k, 256);
    put_v6(&k, 1);
    put64(&k, 0);
    put32(&k, 0xffff);
    put32(&k, 0x0a000001);
    put_v6(&k, 2);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    const struct sc_batch *b = k.sink.flows;
    assert_addr(b, 1, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.1");
    assert_addr(b, 1, SC_PEN_IANA, 27, "10.0.0.1");
    assert_false(has_addr(b, 0, SC_PEN_IANA, 27));
    assert_false(has_addr(b, 2, SC_PEN_IANA, 27));
    kit_close(&k);
}

static void put_both(struct kit *k, uint8_t version, uint32_t v4, uint32_t v6)
{
    put8(k, version);
    put32(k, v4);
    if (v6 != 0)
        put_v6(k, v6);
    else
        put_zeros(k, 16);
}

static void assert_choice(struct kit *k, uint32_t row, bool v6, const char *v4_text, const char *v6_text)
{
    const struct sc_batch *b = k->sink.flows;
    assert_addr(b, row, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, v6 ? v6_text : v4_text);
    assert_int_equal(has_addr(b, row, SC_PEN_IANA, 8), v6);
    assert_int_equal(has_addr(b, row, SC_PEN_IANA, 27), !v6);
    /* The one not chosen is kept, also when it is zero. */
    assert_addr(b, row, SC_PEN_IANA, v6 ? 8 : 27, v6 ? v4_text : v6_text);
}

static void ip_version_decides(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 3, 60, 1, 8, 4, 27, 16);
    begin_set(&k, 256);
    put_both(&k, 4, 0x0a000001, 1);
    put_both(&k, 6, 0x0a000001, 1);
    put_both(&k, 4, 0, 1);
    put_both(&k, 6, 0x0a000001, 0);
    put_both(&k, 4, 0, 0);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_choice(&k, 0, false, "10.0.0.1", "2001:db8::1");
    assert_choice(&k, 1, true, "10.0.0.1", "2001:db8::1");
    assert_choice(&k, 2, false, "0.0.0.0", "2001:db8::1");
    assert_choice(&k, 3, true, "10.0.0.1", "::");
    assert_choice(&k, 4, false, "0.0.0.0", "::");
    kit_close(&k);
}

static void else_the_one_that_is_not_zero(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 3, 60, 1, 8, 4, 27, 16);
    begin_set(&k, 256);
    for (uint8_t version = 0; version < 2; version++) { /* neither 4 nor 6 */
        put_both(&k, version, 0x0a000001, 0);
        put_both(&k, version, 0, 1);
        put_both(&k, version, 0x0a000001, 1);
        put_both(&k, version, 0, 0);
    }
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    for (uint32_t row = 0; row < 8; row += 4) {
        assert_choice(&k, row, false, "10.0.0.1", "::");
        assert_choice(&k, row + 1, true, "0.0.0.0", "2001:db8::1");
        assert_choice(&k, row + 2, false, "10.0.0.1", "2001:db8::1");
        assert_choice(&k, row + 3, false, "0.0.0.0", "::");
    }
    kit_close(&k);
}

static void pairs_are_decided_one_by_one(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 4, 62, 16, 8, 4, 27, 16, 15, 4);
    begin_set(&k, 256);
    put_v6(&k, 5);
    put32(&k, 0x0a000001);
    put_zeros(&k, 16);
    put32(&k, 0);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.1");
    assert_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, "2001:db8::5");
    kit_close(&k);
}

/* In records of variable length too. */
static void pair_beside_a_variable_field(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 4, 94, 65535, 8, 4, 27, 16, 12, 4);
    begin_set(&k, 256);
    put_bytes(&k, "\3abc", 4);
    put32(&k, 0x0a000001);
    put_zeros(&k, 16);
    put32(&k, 0x0a0000ff);
    put_bytes(&k, "\0", 1);
    put32(&k, 0);
    put_v6(&k, 7);
    put32(&k, 0x0a0000fe);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_choice(&k, 0, false, "10.0.0.1", "::");
    assert_choice(&k, 1, true, "0.0.0.0", "2001:db8::7");
    assert_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, "10.0.0.255");
    assert_addr(k.sink.flows, 1, SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, "10.0.0.254");
    kit_close(&k);
}

static void second_instances_stay(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 2, 8, 4, 8, 4);
    begin_set(&k, 256);
    put32(&k, 0x0a000001);
    put32(&k, 0x0a000002);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.1");
    const struct sc_column *c = column(k.sink.flows, SC_PEN_IANA, 8, 1, SC_COLUMN_ADDRESS);
    assert_non_null(c);
    assert_int_equal(sc_addr_get_v4(sc_column_addr(c, 0)), 0x0a000002);
    kit_close(&k);
}

static void address_of_wrong_length_leaves_the_other(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 2, 8, 2, 27, 16);
    begin_set(&k, 256);
    put16(&k, 0x0102);
    put_v6(&k, 1);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "2001:db8::1");
    assert_bytes(k.sink.flows, 0, 0, 8, 0, "\1\2", 2);
    kit_close(&k);
}

static void other_addresses_have_their_own_columns(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_template(&k, 256, 3, 403, 4, 130, 4, 47, 4);
    begin_set(&k, 256);
    put32(&k, 0xc6336401);
    put32(&k, 0xc6336402);
    put32(&k, 0xc6336403);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_addr(k.sink.flows, 0, 0, 403, "198.51.100.1");
    assert_addr(k.sink.flows, 0, 0, 130, "198.51.100.2");
    assert_addr(k.sink.flows, 0, 0, 47, "198.51.100.3");
    kit_close(&k);
}

UNIT(test_decoder_addresses)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_addresses_are_unified),
        cmocka_unit_test(mapped_addresses_keep_their_element),
        cmocka_unit_test(ip_version_decides),
        cmocka_unit_test(else_the_one_that_is_not_zero),
        cmocka_unit_test(pairs_are_decided_one_by_one),
        cmocka_unit_test(pair_beside_a_variable_field),
        cmocka_unit_test(second_instances_stay),
        cmocka_unit_test(address_of_wrong_length_leaves_the_other),
        cmocka_unit_test(other_addresses_have_their_own_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
