// SPDX-License-Identifier: BSD-3-Clause
/* Names that options data give to numbers are joined to the flow records that come after them. */
#include "decoder_kit.h"

#include <stdio.h>

#define IN_NAME  SC_IE_INGRESS_INTERFACE_NAME
#define OUT_NAME SC_IE_EGRESS_INTERFACE_NAME

static void assert_name(const struct kit *k, uint32_t row, uint16_t id, const char *name)
{
    assert_bytes(k->sink.flows, row, SC_PEN_COLLECTOR, id, 0, name, (uint32_t)strlen(name));
}

static bool has_name(const struct kit *k, uint32_t row, uint16_t id)
{
    return !is_null(column(k->sink.flows, SC_PEN_COLLECTOR, id, 0, SC_COLUMN_BYTES), row);
}

/* As in a NetFlow v9 field of fixed length. */
static void put_padded(struct kit *k, const char *text, size_t length)
{
    put_bytes(k, text, strlen(text));
    put_zeros(k, length - strlen(text));
}

static void put_short(struct kit *k, const char *text)
{
    put8(k, (uint8_t)strlen(text));
    put_bytes(k, text, strlen(text));
}

/* Flow records of template 256: octets and the two interfaces. */
static void put_flow_template(struct kit *k)
{
    put_template(k, 256, 3, 1, 4, 10, 4, 14, 4);
}

static void put_flow(struct kit *k, uint32_t in, uint32_t out)
{
    begin_set(k, 256);
    put32(k, 100);
    put32(k, in);
    put32(k, out);
    end_set(k);
}

/* Options data of template 300: scope System, interface, interfaceName of variable length. */
static void put_name_template(struct kit *k)
{
    put_options_template(k, 300, 1, 3, 143, 4, 10, 4, 82, 65535);
}

static void put_name(struct kit *k, uint32_t interface, const char *name)
{
    begin_set(k, 300);
    put32(k, 1);
    put32(k, interface);
    put_short(k, name);
    end_set(k);
}

/* ---- interfaces ---- */

static void ipfix_names_by_number(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_name_template(&k);
    put_name(&k, 7, "xe-0/0/7");
    put_name(&k, 8, "xe-0/0/8");
    put_flow_template(&k);
    put_flow(&k, 7, 8);
    put_flow(&k, 9, 7);
    put_flow(&k, 9, 9);
    assert_int_equal(deliver(&k), SC_OK);
    assert_name(&k, 0, IN_NAME, "xe-0/0/7");
    assert_name(&k, 0, OUT_NAME, "xe-0/0/8");
    assert_false(has_name(&k, 1, IN_NAME)); /* nobody told: never made up */
    assert_name(&k, 1, OUT_NAME, "xe-0/0/7");
    assert_false(has_name(&k, 2, OUT_NAME));
    assert_int_equal(flow_u(&k, 0, 10), 7); /* what was exported stays as it was */
    assert_bytes(k.sink.options, 0, 0, 82, 0, "xe-0/0/7", 8);
    assert_int_equal(sc_batch_finish(k.sink.options), SC_OK);
    assert_null(column(k.sink.options, SC_PEN_COLLECTOR, IN_NAME, 0, SC_COLUMN_BYTES));
    kit_close(&k);
}

/* Scope type 2 of RFC 3954 is the interface; the name lies in 32 bytes. Records of one set, before and after. */
static void v9_scope_names(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 3, 2, 4, 82, 32, 83, 16);
    begin_set(&k, 300);
    put32(&k, 3);
    put_padded(&k, "Gi0/3", 32);
    put_padded(&k, "to the lab", 16);
    put32(&k, 4);
    put_zeros(&k, 32); /* no interfaceName: the description stands for it */
    put_padded(&k, "uplink", 16);
    end_set(&k);
    put_flow_template(&k);
    begin_set(&k, 256);
    for (uint32_t i = 0; i < 4; i++) {
        put32(&k, 100);
        put32(&k, 2 + i);
        put32(&k, 0);
    }
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(has_name(&k, 0, IN_NAME));
    assert_name(&k, 1, IN_NAME, "Gi0/3");
    assert_name(&k, 2, IN_NAME, "uplink");
    assert_false(has_name(&k, 3, IN_NAME));
    assert_false(has_name(&k, 1, OUT_NAME));
    kit_close(&k);
}

/* The interface-table of Cisco: scope System, both directions, description before name. */
static void both_directions_in_one_record(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 5, 1, 4, 10, 4, 14, 4, 83, 24, 82, 24);
    begin_set(&k, 300);
    put32(&k, 0xc0000201);
    put32(&k, 55);
    put32(&k, 55);
    put_padded(&k, "HundredGigE0/0/0/11", 24);
    put_padded(&k, "HundredGigE0_0_0_11", 24);
    put32(&k, 0xc0000201);
    put32(&k, 0); /* the other direction only */
    put32(&k, 87);
    put_padded(&k, "TenGigE0/0/0/12", 24);
    put_zeros(&k, 24);
    end_set(&k);
    put_flow_template(&k);
    put_flow(&k, 55, 87);
    put_flow(&k, 87, 0);
    assert_int_equal(deliver(&k), SC_OK);
    assert_name(&k, 0, IN_NAME, "HundredGigE0_0_0_11");
    assert_name(&k, 0, OUT_NAME, "TenGigE0/0/0/12");
    assert_name(&k, 1, IN_NAME, "TenGigE0/0/0/12");
    assert_false(has_name(&k, 1, OUT_NAME));
    kit_close(&k);
}

static void physical_interfaces(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 2, 252, 4, 82, 65535);
    begin_set(&k, 300);
    put32(&k, 20);
    put_short(&k, "port20");
    end_set(&k);
    put_template(&k, 256, 3, 1, 4, 252, 2, 253, 4);
    begin_set(&k, 256);
    put32(&k, 1);
    put16(&k, 20); /* an integer of reduced size is the same number */
    put32(&k, 20);
    end_set(&k);
    put_template(&k, 257, 2, 252, 4, 10, 4); /* the logical one goes first, as in the field inif */
    begin_set(&k, 257);
    put32(&k, 20);
    put32(&k, 1);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_name(&k, 0, IN_NAME, "port20");
    assert_name(&k, 0, OUT_NAME, "port20");
    assert_false(has_name(&k, 1, IN_NAME));
    kit_close(&k);
}

/* Flows keep the name that was in force when they came, within one message too. */
static void names_are_reassigned_on_the_way(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_name_template(&k);
    put_flow_template(&k);
    put_flow(&k, 7, 7);
    put_name(&k, 7, "old");
    put_flow(&k, 7, 7);
    put_name(&k, 7, "new and longer");
    put_flow(&k, 7, 7);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix(&k, 5);
    put_flow(&k, 7, 7);
    put_name(&k, 7, ""); /* taken away */
    put_flow(&k, 7, 7);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(has_name(&k, 0, IN_NAME));
    assert_name(&k, 1, IN_NAME, "old");
    assert_name(&k, 2, IN_NAME, "new and longer");
    assert_name(&k, 3, OUT_NAME, "new and longer");
    assert_false(has_name(&k, 4, IN_NAME));
    kit_close(&k);
}

/* ---- VRFs, applications, the exporter ---- */

static void vrf_names(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 4, 234, 4, 236, 16, 234, 4, 235, 4); /* as IOS XR sends it */
    begin_set(&k, 300);
    put32(&k, 0x60000000);
    put_padded(&k, "customer-a", 16);
    put32(&k, 0x60000000);
    put32(&k, 0x60000000);
    put32(&k, 0); /* the default table has the number 0 */
    put_padded(&k, "default", 16);
    put32(&k, 0);
    put32(&k, 0);
    end_set(&k);
    put_options_template(&k, 301, 1, 2, 235, 4, 236, 65535);
    begin_set(&k, 301);
    put32(&k, 2);
    put_short(&k, "A4");
    end_set(&k);
    put_template(&k, 256, 2, 234, 4, 235, 4);
    begin_set(&k, 256);
    put32(&k, 0x60000000);
    put32(&k, 2);
    put32(&k, 0);
    put32(&k, 3);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_name(&k, 0, SC_IE_INGRESS_VRF_NAME, "customer-a");
    assert_name(&k, 0, SC_IE_EGRESS_VRF_NAME, "A4");
    assert_name(&k, 1, SC_IE_INGRESS_VRF_NAME, "default");
    assert_false(has_name(&k, 1, SC_IE_EGRESS_VRF_NAME));
    kit_close(&k);
}

/* The application-table of Cisco NBAR. An id is compared as bytes: one of another length is another one. */
static void application_names(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_v9(&k, 1);
    put_options_template(&k, 300, 1, 4, 1, 4, 95, 4, 96, 24, 94, 8);
    begin_set(&k, 300);
    put32(&k, 0);
    put32(&k, 0x0300000d);
    put_padded(&k, "dns", 24);
    put_padded(&k, "names", 8);
    put32(&k, 0);
    put32(&k, 0x03000050);
    put_padded(&k, "http", 24);
    put_padded(&k, "web", 8);
    end_set(&k);
    put_template(&k, 256, 1, 95, 65535);
    begin_set(&k, 256);
    put_bytes(&k, "\4\3\0\0\15", 5);
    put_bytes(&k, "\3\3\0\0", 4);
    put_bytes(&k, "\5\3\0\0\15\0", 6);
    put_bytes(&k, "\0", 1);
    put8(&k, 40); /* no applicationId is so long */
    put_zeros(&k, 40);
    put_bytes(&k, "\4\3\0\0\120", 5);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 6);
    assert_name(&k, 0, SC_IE_APPLICATION_NAME, "dns");
    for (uint32_t row = 1; row < 5; row++)
        assert_false(has_name(&k, row, SC_IE_APPLICATION_NAME));
    assert_name(&k, 5, SC_IE_APPLICATION_NAME, "http");
    kit_close(&k);
}

#define assert_told(k, row, text)                                                                            \
    assert_addr((k)->sink.flows, row, SC_PEN_COLLECTOR, SC_IE_TOLD_EXPORTER, text)

static void exporter_tells_its_address(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 3, 144, 4, 130, 4, 131, 16);
    put_flow_template(&k);
    put_flow(&k, 1, 1);
    begin_set(&k, 300);
    put32(&k, 1);
    put32(&k, 0xc6336401);
    put_zeros(&k, 16);
    end_set(&k);
    put_flow(&k, 1, 1);
    begin_set(&k, 300);
    put32(&k, 1);
    put32(&k, 0);
    put_v6(&k, 9);
    put32(&k, 1);
    put32(&k, 0); /* neither: what was told stays */
    put_zeros(&k, 16);
    end_set(&k);
    put_flow(&k, 1, 1);
    put_options_template(&k, 301, 1, 3, 144, 4, 130, 4, 403, 4); /* behind a mediator */
    begin_set(&k, 301);
    put32(&k, 1);
    put32(&k, 0xc6336401);
    put32(&k, 0xc6336402);
    end_set(&k);
    put_flow(&k, 1, 1);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(has_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_TOLD_EXPORTER));
    assert_told(&k, 1, "198.51.100.1");
    assert_told(&k, 2, "2001:db8::9");
    assert_told(&k, 3, "198.51.100.2");
    assert_addr(k.sink.flows, 3, SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, "192.0.2.1");
    kit_close(&k);
}

/* Options data that hold for one interface say nothing of the domain. */
static void exporter_of_an_interface_is_not_the_domains(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 3, 10, 4, 130, 4, 82, 65535);
    begin_set(&k, 300);
    put32(&k, 7);
    put32(&k, 0xc6336401);
    put_short(&k, "eth7");
    end_set(&k);
    put_flow_template(&k);
    put_flow(&k, 7, 7);
    assert_int_equal(deliver(&k), SC_OK);
    assert_name(&k, 0, IN_NAME, "eth7");
    assert_false(has_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_TOLD_EXPORTER));
    kit_close(&k);
}

/* ---- whose names they are ---- */

static void send_names(struct kit *k, uint32_t domain, const char *name)
{
    begin_ipfix_at(k, KIT_SECONDS, 0, domain);
    put_name_template(k);
    put_flow_template(k);
    put_name(k, 7, name);
    assert_int_equal(deliver(k), SC_OK);
}

static uint32_t send_flow(struct kit *k, uint32_t domain)
{
    begin_ipfix_at(k, KIT_SECONDS, 1, domain);
    put_flow(k, 7, 8);
    assert_int_equal(deliver(k), SC_OK);
    return k->sink.flows->rows - 1;
}

static void domains_and_exporters_never_mix(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    send_names(&k, 1, "first");
    send_names(&k, 2, "second");
    k.source.port++;
    send_names(&k, 1, "other port");
    k.source.exporter = sc_addr_v4(0xc0000202);
    send_names(&k, 1, "other exporter");
    assert_name(&k, send_flow(&k, 1), IN_NAME, "other exporter");
    k.source.exporter = sc_addr_v4(0xc0000201);
    assert_name(&k, send_flow(&k, 1), IN_NAME, "other port");
    k.source.port--;
    assert_name(&k, send_flow(&k, 1), IN_NAME, "first");
    assert_name(&k, send_flow(&k, 2), IN_NAME, "second");
    kit_close(&k);
}

/* With template_scope address names live where templates do. */
static void names_go_with_the_templates(void **state)
{
    (void)state;
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.template_scope = SC_TEMPLATE_SCOPE_ADDRESS;
    kit_open_with(&k, &limits);
    send_names(&k, 1, "shared");
    k.source.port++;
    assert_name(&k, send_flow(&k, 1), IN_NAME, "shared");
    kit_close(&k);
}

static void names_end_with_the_session(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    k.source.transport = SC_TRANSPORT_TCP;
    k.source.connection = 1;
    send_names(&k, 1, "gone");
    sc_decoder_end_session(k.decoder, &k.source);
    begin_ipfix_at(&k, KIT_SECONDS, 0, 1);
    put_flow_template(&k);
    put_flow(&k, 7, 7);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(has_name(&k, k.sink.flows->rows - 1, IN_NAME));
    kit_close(&k);
}

/* A set that waited for its template gets the names that are known when it is decoded. */
static void waiting_flows_are_named_when_decoded(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_name_template(&k);
    put_name(&k, 7, "before");
    put_flow(&k, 7, 7);
    assert_int_equal(deliver(&k), SC_OK);
    begin_ipfix(&k, 2);
    put_flow_template(&k);
    put_name(&k, 7, "after");
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.recovered_sets, 1);
    assert_name(&k, 0, IN_NAME, "before");
    kit_close(&k);
}

/* ---- bounds ---- */

static void put_many_names(struct kit *k, uint32_t first, uint32_t count, const char *end)
{
    for (uint32_t i = 0; i < count; i += 2000) {
        begin_ipfix(k, 0);
        begin_set(k, 300);
        for (uint32_t n = first + i; n < first + i + 2000 && n < first + count; n++) {
            char name[32];
            snprintf(name, sizeof(name), "%u%s", n, end);
            put32(k, 1);
            put32(k, n);
            put_short(k, end[0] == '-' ? "" : name);
        }
        end_set(k);
        assert_int_equal(deliver(k), SC_OK);
        sc_batch_reset(k->sink.options);
    }
}

static void check_name(struct kit *k, uint32_t in, const char *name)
{
    begin_ipfix(k, 0);
    put_flow(k, in, 0);
    assert_int_equal(deliver(k), SC_OK);
    uint32_t row = k->sink.flows->rows - 1;
    if (name == NULL)
        assert_false(has_name(k, row, IN_NAME));
    else
        assert_name(k, row, IN_NAME, name);
}

static void open_with_templates(struct kit *k, const struct sc_decoder_limits *limits)
{
    kit_open_with(k, limits);
    begin_ipfix(k, 0);
    put_name_template(k);
    put_flow_template(k);
    assert_int_equal(deliver(k), SC_OK);
}

static void a_map_has_65536_names(void **state)
{
    (void)state;
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    open_with_templates(&k, &limits);
    put_many_names(&k, 1, 65537, "");
    check_name(&k, 1, "1");
    check_name(&k, 65536, "65536");
    check_name(&k, 65537, NULL);       /* one too many */
    put_many_names(&k, 1, 65536, "x"); /* those there are may change */
    check_name(&k, 40000, "40000x");
    put_many_names(&k, 1, 65535, "-"); /* and go */
    check_name(&k, 40000, NULL);
    check_name(&k, 65536, "65536x");
    put_many_names(&k, 65537, 1, "");
    check_name(&k, 65537, "65537");
    kit_close(&k);
}

/* Names removed in any order leave the others to be found. */
static void removal_keeps_the_others(void **state)
{
    (void)state;
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    open_with_templates(&k, &limits);
    put_many_names(&k, 0, 700, "");
    for (uint32_t n = 0; n < 700; n += 3)
        put_many_names(&k, n, 1, "-");
    for (uint32_t n = 0; n < 700; n++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", n);
        check_name(&k, n, n % 3 == 0 ? NULL : name);
    }
    kit_close(&k);
}

/* Names take no more of a session's memory than leaves room for its templates. */
static void names_are_bounded_by_the_session(void **state)
{
    (void)state;
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(64 * 1024);
    open_with_templates(&k, &limits);
    put_many_names(&k, 1, 20000, "");
    check_name(&k, 1, "1");
    check_name(&k, 20000, NULL);
    begin_ipfix(&k, 0);
    put_template(&k, 257, 2, 1, 4, 2, 4);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(stats_of(&k, 10, 7).templates, 3);
    put_many_names(&k, 1, 20000, "-"); /* what is given back can be used again */
    put_many_names(&k, 20000, 1, "");
    check_name(&k, 20000, "20000");
    kit_close(&k);
}

/* 255 bytes at most; a longer one is no name, and the one before is not in force any more. */
static void names_of_any_length(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 2, 10, 4, 82, 300);
    put_flow_template(&k);
    char name[301] = {0};
    for (size_t length = 254; length <= 256; length++) {
        memset(name, 'n', length);
        begin_set(&k, 300);
        put32(&k, 7);
        put_padded(&k, name, 300);
        end_set(&k);
        put_flow(&k, 7, 7);
    }
    assert_int_equal(deliver(&k), SC_OK);
    memset(name, 0, sizeof(name));
    memset(name, 'n', 254);
    assert_name(&k, 0, IN_NAME, name);
    name[254] = 'n';
    assert_name(&k, 1, IN_NAME, name);
    assert_false(has_name(&k, 2, IN_NAME));
    kit_close(&k);
}

/* Numbers and texts of lengths that are none. */
static void fields_of_wrong_length_name_nothing(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    put_options_template(&k, 300, 1, 4, 144, 4, 10, 9, 82, 65535, 130, 3);
    begin_set(&k, 300);
    put32(&k, 1);
    put_zeros(&k, 8);
    put8(&k, 7);
    put_short(&k, "nine bytes");
    put_bytes(&k, "\1\2\3", 3);
    end_set(&k);
    put_options_template(&k, 301, 1, 3, 144, 4, 10, 4, 82, 0);
    begin_set(&k, 301);
    put32(&k, 1);
    put32(&k, 7);
    end_set(&k);
    put_flow_template(&k);
    put_flow(&k, 7, 0);
    assert_int_equal(deliver(&k), SC_OK);
    assert_false(has_name(&k, 0, IN_NAME));
    assert_false(has_name(&k, 0, OUT_NAME));
    assert_false(has_addr(k.sink.flows, 0, SC_PEN_COLLECTOR, SC_IE_TOLD_EXPORTER));
    kit_close(&k);
}

/* The collector's columns are ours: values of them under our number on the wire are left out. */
static void names_cannot_be_forged(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    begin_ipfix(&k, 0);
    begin_set(&k, 2);
    put16(&k, 256);
    put16(&k, 2);
    put16(&k, 0x8000 | IN_NAME);
    put16(&k, 4);
    put32(&k, SC_PEN_COLLECTOR);
    put16(&k, 1);
    put16(&k, 4);
    end_set(&k);
    begin_set(&k, 256);
    put_bytes(&k, "fake", 4);
    put32(&k, 1);
    end_set(&k);
    assert_int_equal(deliver(&k), SC_OK);
    assert_int_equal(k.outcome.flows, 1);
    assert_false(has_name(&k, 0, IN_NAME));
    kit_close(&k);
}

UNIT(test_decoder_names)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipfix_names_by_number),
        cmocka_unit_test(v9_scope_names),
        cmocka_unit_test(both_directions_in_one_record),
        cmocka_unit_test(physical_interfaces),
        cmocka_unit_test(names_are_reassigned_on_the_way),
        cmocka_unit_test(vrf_names),
        cmocka_unit_test(application_names),
        cmocka_unit_test(exporter_tells_its_address),
        cmocka_unit_test(exporter_of_an_interface_is_not_the_domains),
        cmocka_unit_test(domains_and_exporters_never_mix),
        cmocka_unit_test(names_go_with_the_templates),
        cmocka_unit_test(names_end_with_the_session),
        cmocka_unit_test(waiting_flows_are_named_when_decoded),
        cmocka_unit_test(a_map_has_65536_names),
        cmocka_unit_test(removal_keeps_the_others),
        cmocka_unit_test(names_are_bounded_by_the_session),
        cmocka_unit_test(names_of_any_length),
        cmocka_unit_test(fields_of_wrong_length_name_nothing),
        cmocka_unit_test(names_cannot_be_forged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
