// SPDX-License-Identifier: BSD-3-Clause
/* Names of fields and the values they take from a record: first present source, transforms, computed fields.
 */
#include "flow/field.h"

#include "base/clock.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0 UINT64_C(1795428672345)

/* One record, column by column; it is never committed, so that a test may add to it after a look. */
struct record {
    struct sc_batch *batch;
};

static struct sc_column *begin(struct record *r, uint32_t pen, uint16_t id, enum sc_column_kind kind,
                               unsigned width)
{
    struct sc_column_key key = {pen, id, 0, (uint8_t)kind};
    struct sc_column *c = sc_batch_begin(r->batch, key, NULL, width, 1);
    assert_non_null(c);
    return c;
}

static int set_up(void **state)
{
    struct record *r = calloc(1, sizeof(*r));
    r->batch = sc_batch_create(SC_RECORDS_FLOWS);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct record *r = *state;
    sc_batch_free(r->batch);
    free(r);
    return 0;
}

static void put(struct record *r, uint32_t pen, uint16_t id, uint64_t value)
{
    sc_column_put_u64(begin(r, pen, id, SC_COLUMN_UINT, 8), value);
}

static void put_null(struct record *r, uint16_t id)
{
    assert_int_equal(sc_column_put_null(begin(r, 0, id, SC_COLUMN_UINT, 8)), SC_OK);
}

static void put_addr(struct record *r, uint32_t pen, uint16_t id, const char *text)
{
    struct sc_addr a;
    assert_true(sc_addr_parse(text, strlen(text), &a));
    sc_column_put_addr(begin(r, pen, id, SC_COLUMN_ADDRESS, 16), &a);
}

static void put_bytes(struct record *r, uint32_t pen, uint16_t id, const char *bytes, uint32_t length)
{
    assert_int_equal(sc_column_put_bytes(begin(r, pen, id, SC_COLUMN_BYTES, 0), bytes, length), SC_OK);
}

static struct sc_value get(struct record *r, const char *name)
{
    struct sc_field field;
    struct sc_error err = {0};
    if (sc_field_find(NULL, name, strlen(name), &field, &err) != SC_OK)
        fail_msg("%s", err.message);
    return sc_field_value(&field, (const struct sc_column *const *)r->batch->columns, r->batch->slots, 0);
}

static void check(struct record *r, const char *name, uint64_t expected)
{
    struct sc_value v = get(r, name);
    if (v.null || v.u != expected)
        fail_msg("%s is %s%llu, want %llu", name, v.null ? "null " : "", (unsigned long long)v.u,
                 (unsigned long long)expected);
}

static void check_addr(struct record *r, const char *name, const char *expected)
{
    struct sc_value v = get(r, name);
    char text[SC_ADDR_TEXT_MAX] = "null";
    if (!v.null)
        sc_addr_format(&v.addr, text);
    assert_string_equal(text, expected);
}

static void check_name(const char *name, const char *canonical)
{
    struct sc_field field;
    struct sc_error err = {0};
    if (sc_field_find(NULL, name, strlen(name), &field, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_string_equal(field.name, canonical);
}

/* ---- names ---- */

static void aliases_name_the_same_field(void **state)
{
    (void)state;
    check_name("srcip", "srcip");
    check_name("SrcIP", "srcip");
    check_name("src ip", "srcip");
    check_name("sa", "srcip");
    check_name("in bytes", "bytes");
    check_name("octets", "bytes");
    check_name("pkts", "packets");
    check_name("outpkts", "outpackets");
    check_name("tcpflags", "flags");
    check_name("icmp-type", "icmptype");
    check_name("ip_nexthop", "nexthop");
    check_name("routerip", "exporterip");
    check_name("xsrcip", "natsrcip");
    check_name("input", "inif");
    check_name("in interface", "inif"); /* and nfdump's words: */
    check_name("next ip", "nexthop");
    check_name("bgpnext ip", "bgpnexthop");
    check_name("fwdstat", "fwd");
    check_name("flowdir", "dir");
}

static void elements_are_fields(void **state)
{
    (void)state;
    check_name("octetDeltaCount", "octetDeltaCount");
    check_name("OCTETDELTACOUNT", "octetDeltaCount");
    check_name("0:1", "octetDeltaCount");
    check_name("29305:1", "reverseOctetDeltaCount");
    check_name("35632:205", "DNS_QUERY");
    check_name("12345:678", "12345:678");
    check_name("v9:41000", "v9:41000");
    check_name("vlanId#2", "vlanId#2");
    check_name("vlanId#1", "vlanId");
    check_name("12345:678#3", "12345:678#3");
}

/* The short names win over elements of the same spelling, so they must not hide another element. */
static void short_names_hide_no_element(void **state)
{
    (void)state;
    struct sc_field field;
    const char *aliases;
    for (size_t i = 0; sc_field_at(i, &field, &aliases); i++) {
        char words[256];
        snprintf(words, sizeof(words), "%s %s", field.name, aliases);
        for (char *save, *word = strtok_r(words, " ", &save); word != NULL;
             word = strtok_r(NULL, " ", &save)) {
            const struct sc_ie *e = sc_ie_find_name(word, strlen(word));
            bool found = e == NULL;
            for (unsigned s = 0; !found && s < field.source_count; s++)
                found = field.sources[s].key.pen == e->pen && field.sources[s].key.id == e->id;
            if (!found)
                fail_msg("%s hides element %s", word, e->name);
        }
    }
}

static void every_name_of_the_table_is_found(void **state)
{
    (void)state;
    struct sc_field field;
    const char *aliases;
    size_t i;
    for (i = 0; sc_field_at(i, &field, &aliases); i++) {
        char words[256];
        snprintf(words, sizeof(words), "%s %s", field.name, aliases);
        for (char *save, *word = strtok_r(words, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
            check_name(word, field.name);
    }
    assert_true(i > 70);
}

static void unknown_names_get_a_hint(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"scrport", "did you mean \"srcport\"?"},
        {"octetDeltaCont", "did you mean \"octetDeltaCount\"?"},
        {"prot", NULL},
        {"dstadr", "did you mean \"dstip\"?"},
        {"prt", "did you mean \"port\"?"},
        {"zzzzzzzzzz", "the name of an information element"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_field field;
        struct sc_error err = {0};
        enum sc_status status = sc_field_find(NULL, cases[i][0], strlen(cases[i][0]), &field, &err);
        assert_int_equal(status, cases[i][1] == NULL ? SC_OK : SC_NOTFOUND);
        if (cases[i][1] != NULL && strstr(err.message, cases[i][1]) == NULL)
            fail_msg("%s", err.message);
    }
    struct sc_field field;
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(sc_field_find(NULL, longest, sizeof(longest), &field, NULL), SC_NOTFOUND);
    assert_int_equal(sc_field_find(NULL, "", 0, &field, NULL), SC_NOTFOUND);
    assert_int_equal(sc_field_find(NULL, "vlanId#0", 8, &field, NULL), SC_NOTFOUND);
    assert_int_equal(sc_field_find(NULL, "vlanId#257", 10, &field, NULL), SC_NOTFOUND);
    assert_int_equal(sc_field_find(NULL, "0:70000", 7, &field, NULL), SC_NOTFOUND);
}

/* A column of values of a wrong length can be asked for under the name that it is shown with. */
static void names_of_wrong_lengths(void **state)
{
    (void)state;
    static const char *const names[] = {"sourceIPv4Address:bytes", "sourceIPv4Address:BYTES#3", "0:8:bytes"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sc_field field;
        assert_int_equal(sc_field_find(NULL, names[i], strlen(names[i]), &field, NULL), SC_OK);
        assert_int_equal(field.source_count, 1);
        assert_int_equal(field.sources[0].key.id, 8);
        assert_int_equal(field.sources[0].key.kind, SC_COLUMN_BYTES);
        assert_int_equal(field.sources[0].key.instance, i == 1 ? 2 : 0);
    }
    assert_int_equal(sc_field_find(NULL, ":bytes", 6, &(struct sc_field){0}, NULL), SC_NOTFOUND);
    assert_int_equal(sc_field_find(NULL, "bytes", 5, &(struct sc_field){0}, NULL), SC_OK);
}

static void pairs(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"ip", "srcip", "dstip"},       {"HOST", "srcip", "dstip"},     {"net", "srcnet", "dstnet"},
        {"port", "srcport", "dstport"}, {"as", "srcas", "dstas"},       {"if", "inif", "outif"},
        {"mac", "srcmac", "dstmac"},    {"vlan", "srcvlan", "dstvlan"}, {"mask", "srcmask", "dstmask"},
    };
    struct sc_field pair[2];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(sc_field_find_pair(cases[i][0], strlen(cases[i][0]), pair));
        assert_string_equal(pair[0].name, cases[i][1]);
        assert_string_equal(pair[1].name, cases[i][2]);
        assert_int_equal(pair[0].type, pair[1].type);
    }
    assert_false(sc_field_find_pair("bytes", 5, pair));
}

static void fields_of_columns(void **state)
{
    (void)state;
    struct sc_field field;
    sc_field_of_column(NULL, (struct sc_column_key){0, 154, 0, SC_COLUMN_UINT}, &field);
    assert_string_equal(field.name, "flowStartMicroseconds");
    assert_int_equal(field.type, SC_VALUE_TIME_NS);
    sc_field_of_column(NULL, (struct sc_column_key){0, 1, 1, SC_COLUMN_UINT}, &field);
    assert_string_equal(field.name, "octetDeltaCount#2");
    assert_int_equal(field.combine, SC_COMBINE_SUM);
    sc_field_of_column(NULL, (struct sc_column_key){0, 8, 0, SC_COLUMN_BYTES},
                       &field); /* of a wrong length */
    assert_int_equal(field.type, SC_VALUE_BYTES);
    assert_string_equal(field.name, "sourceIPv4Address:bytes");
    sc_field_of_column(NULL, (struct sc_column_key){0, 8, 2, SC_COLUMN_BYTES}, &field);
    assert_string_equal(field.name, "sourceIPv4Address:bytes#3");
    sc_field_of_column(NULL, (struct sc_column_key){0, 371, 0, SC_COLUMN_BYTES}, &field); /* a string */
    assert_string_equal(field.name, "userName");
    sc_field_of_column(NULL, (struct sc_column_key){77, 8, 0, SC_COLUMN_BYTES}, &field);
    assert_string_equal(field.name, "77:8");
    assert_int_equal(field.source_count, 1);
}

/* ---- values ---- */

static void the_first_present_source_counts(void **state)
{
    struct record *r = *state;
    put_null(r, 1);
    put(r, 0, 85, 5000);
    put(r, 0, 231, 7);
    put(r, 0, 298, 3);
    check(r, "bytes", 5000);
    check(r, "packets", 3);
    assert_true(get(r, "outbytes").null);
    assert_true(get(r, "octetDeltaCount").null);
    check(r, "initiatorOctets", 7);
}

static void reverse_counters_are_out(void **state)
{
    struct record *r = *state;
    put(r, SC_PEN_REVERSE, 1, 11);
    put(r, 0, 232, 12);
    put(r, 0, 299, 13);
    check(r, "outbytes", 11);
    check(r, "outpackets", 13);
    assert_true(get(r, "bytes").null);
}

static void flows_are_never_null(void **state)
{
    struct record *r = *state;
    check(r, "flows", 1);
    put(r, 0, 3, 0);
    check(r, "flows", 1);
    assert_true(!get(r, "deltaFlowCount").null);
}

static void flows_count_delta(void **state)
{
    struct record *r = *state;
    put(r, 0, 3, 30);
    check(r, "flows", 30);
}

static void times_of_every_kind_are_ms(void **state)
{
    static const struct {
        uint32_t pen;
        uint16_t id;
        uint64_t value, ms;
    } cases[] = {
        {0, 152, T0, T0},
        {0, 150, T0 / 1000, T0 / 1000 * 1000},
        {0, 154, (T0 / 1000 + 2208988800u) << 32 | 0x80000000u, T0 / 1000 * 1000 + 500},
        {0, 156, (T0 / 1000 + 2208988800u) << 32, T0 / 1000 * 1000},
        {SC_PEN_COLLECTOR, SC_IE_FLOW_START, T0, T0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        void *one;
        set_up(&one);
        put(one, cases[i].pen, cases[i].id, cases[i].value);
        check(one, "first", cases[i].ms);
        tear_down(&one);
    }
}

static void delta_times_need_the_export_time(void **state)
{
    struct record *r = *state;
    put(r, 0, 158, 2500000);
    put(r, 0, 159, 500000);
    assert_true(get(r, "first").null);
    put(r, SC_PEN_COLLECTOR, SC_IE_EXPORT_TIME, T0);
    check(r, "first", T0 - 2500);
    check(r, "last", T0 - 500);
    check(r, "duration", 2000);
}

static void an_end_from_a_duration(void **state)
{
    struct record *r = *state;
    put(r, 0, 152, T0);
    put(r, 0, 161, 1500);
    check(r, "last", T0 + 1500);
    check(r, "duration", 1500);
}

static void a_start_from_a_duration(void **state)
{
    struct record *r = *state;
    put(r, 0, 153, T0);
    put(r, 0, 161, 1500);
    check(r, "first", T0 - 1500);
    check(r, "last", T0);
    check(r, "duration", 1500);
}

static void an_event_has_a_first_time(void **state)
{
    struct record *r = *state;
    put(r, 0, 323, T0);
    check(r, "first", T0);
    assert_true(get(r, "first").event);
    check(r, "eventtime", T0);
    assert_false(get(r, "eventtime").event);
    assert_true(get(r, "last").null);
}

static void a_vlan_of_zero_is_none(void **state)
{
    struct record *r = *state;
    put(r, 0, 58, 0);
    put(r, 0, 243, 100);
    put(r, 0, 59, 0);
    check(r, "srcvlan", 100);
    check(r, "dstvlan", 0); /* nothing else is known */
    check(r, "vlanId", 0);
}

static void networks_by_the_exported_mask(void **state)
{
    struct record *r = *state;
    put_addr(r, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.1.2.3");
    put_addr(r, SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, "2001:db8:1:2::3");
    put(r, 0, 9, 20);
    assert_true(get(r, "dstnet").null); /* no mask */
    put(r, 0, 30, 48);
    check_addr(r, "srcnet", "10.1.0.0");
    check_addr(r, "dstnet", "2001:db8:1::");
}

static void a_mask_that_is_none(void **state)
{
    struct record *r = *state;
    put_addr(r, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.1.2.3");
    put(r, 0, 9, 33);
    assert_true(get(r, "srcnet").null);
}

static void label_stacks(void **state)
{
    struct record *r = *state;
    put_bytes(r, 0, 70, "\x03\xe8\x1a", 3);
    put_bytes(r, 0, 71, "\x49\x30\x01", 3);
    put_bytes(r, 0, 72, "\x49\x30", 2);
    check(r, "mpls1", 16001);
    check(r, "mplsexp1", 5);
    check(r, "mplslabel2", 299776);
    check(r, "mplseos", 299776);
    assert_true(get(r, "mpls3").null); /* no entry */
    assert_true(get(r, "mpls4").null);
}

static void a_duration_without_a_start_gives_no_end(void **state)
{
    struct record *r = *state;
    put(r, 0, 162, 1500000);
    assert_true(get(r, "last").null);
    assert_true(get(r, "duration").null);
    check(r, "flowDurationMicroseconds", 1500000);
}

static void rates(void **state)
{
    struct record *r = *state;
    put(r, 0, 152, T0);
    put(r, 0, 153, T0 + 2000);
    put(r, 0, 1, 1000);
    put(r, 0, 2, 8);
    check(r, "duration", 2000);
    assert_true(get(r, "bps").f == 4000);
    assert_true(get(r, "pps").f == 4);
    assert_true(get(r, "bpp").f == 125);
}

static void rates_of_no_time_are_zero(void **state)
{
    struct record *r = *state;
    put(r, 0, 152, T0);
    put(r, 0, 153, T0 - 1); /* ends before it begins */
    put(r, 0, 1, 1000);
    check(r, "duration", 0);
    struct sc_value bps = get(r, "bps");
    assert_true(!bps.null && bps.f == 0);
    assert_true(get(r, "pps").null); /* no packets */
}

static void unified_addresses_show_as_elements(void **state)
{
    struct record *r = *state;
    put_addr(r, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.1");
    put_addr(r, SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, "2001:db8::1");
    put_addr(r, 0, 27, "2001:db8::2"); /* both families in one record */
    check_addr(r, "srcip", "10.0.0.1");
    check_addr(r, "sourceIPv4Address", "10.0.0.1");
    check_addr(r, "sourceIPv6Address", "2001:db8::2");
    check_addr(r, "dstip", "2001:db8::1");
    check_addr(r, "destinationIPv4Address", "null");
    check_addr(r, "destinationIPv6Address", "2001:db8::1");
}

static void raw_uptimes_come_back(void **state)
{
    struct record *r = *state;
    put(r, SC_PEN_COLLECTOR, SC_IE_FLOW_START, T0 + 5);
    put(r, SC_PEN_COLLECTOR, SC_IE_SYSTEM_INIT, T0 + 10);
    check(r, "first", T0 + 5);
    check(r, "flowStartSysUpTime", UINT64_C(0xfffffffb));
    assert_true(get(r, "flowEndSysUpTime").null);
}

static void icmp_type_of_both_spellings(void **state)
{
    struct record *r = *state;
    put(r, 0, 32, 0x0803);
    check(r, "icmptype", 8);
    check(r, "icmpcode", 3);
    put(r, 0, 176, 5);
    check(r, "icmptype", 5);
    check(r, "icmpcode", 3);
}

/* "type.code" of a record with destination port 0x0b01. */
static void check_port(uint64_t protocol, bool element, const char *expected)
{
    void *state;
    char text[40];
    set_up(&state);
    struct record *r = state;
    put(r, 0, 11, 0x0b01);
    put(r, 0, 4, protocol);
    if (element)
        put(r, 0, 32, 0x0803);
    struct sc_value type = get(r, "icmptype"), code = get(r, "icmpcode");
    assert_int_equal(type.null, code.null);
    snprintf(text, sizeof(text), type.null ? "null" : "%u.%u", (unsigned)type.u, (unsigned)code.u);
    assert_string_equal(text, expected);
    check(r, "dstport", 0x0b01);
    tear_down(&state);
}

static void icmp_type_in_the_port(void **state)
{
    (void)state;
    check_port(1, false, "11.1");
    check_port(58, false, "11.1");
    check_port(6, false, "null");
    check_port(1, true, "8.3");
    check_port(58, true, "8.3");
    check_port(17, true, "null"); /* a template that has the element for all */
}

static void engine_of_v5(void **state)
{
    struct record *r = *state;
    put(r, SC_PEN_COLLECTOR, SC_IE_OBSERVATION_DOMAIN, 0x0307);
    assert_true(get(r, "enginetype").null);
    put(r, SC_PEN_COLLECTOR, SC_IE_EXPORT_VERSION, 5);
    check(r, "enginetype", 3);
    check(r, "engineid", 7);
    put(r, 0, 39, 200);
    check(r, "engineid", 200);
}

static void texts_lose_their_padding(void **state)
{
    struct record *r = *state;
    put_bytes(r, 0, 96, "dns\0\0\0", 6);
    put_bytes(r, 0, 95, "\3\0\0\0", 4);
    struct sc_value name = get(r, "appname"), id = get(r, "app");
    assert_int_equal(name.type, SC_VALUE_STRING);
    assert_int_equal(name.length, 3);
    assert_memory_equal(name.bytes, "dns", 3);
    assert_int_equal(id.length, 4);
}

static void check_text(struct record *r, const char *name, const char *expected)
{
    struct sc_value v = get(r, name);
    assert_false(v.null);
    assert_int_equal(v.type, SC_VALUE_STRING);
    assert_int_equal(v.length, strlen(expected));
    assert_memory_equal(v.bytes, expected, v.length);
}

/* What stands in the record goes before what options data said of it. */
static void names_that_options_data_told(void **state)
{
    struct record *r = *state;
    assert_true(get(r, "inifname").null);
    put_bytes(r, SC_PEN_COLLECTOR, SC_IE_INGRESS_INTERFACE_NAME, "ge-0", 4);
    put_bytes(r, SC_PEN_COLLECTOR, SC_IE_EGRESS_INTERFACE_NAME, "ge-1", 4);
    put_bytes(r, SC_PEN_COLLECTOR, SC_IE_INGRESS_VRF_NAME, "red", 3);
    put_bytes(r, SC_PEN_COLLECTOR, SC_IE_EGRESS_VRF_NAME, "blue", 4);
    put_bytes(r, SC_PEN_COLLECTOR, SC_IE_APPLICATION_NAME, "told", 4);
    check_text(r, "in if name", "ge-0");
    check_text(r, "outifname", "ge-1");
    check_text(r, "invrfname", "red");
    check_text(r, "outvrfname", "blue");
    check_text(r, "egressVRFName", "blue");
    check_text(r, "appname", "told");
    put_bytes(r, 0, 96, "own\0", 4);
    check_text(r, "appname", "own");
    struct sc_field pair[2];
    assert_true(sc_field_find_pair("ifname", 6, pair));
    assert_string_equal(pair[0].name, "inifname");
    assert_string_equal(pair[1].name, "outifname");
}

static void the_exporter_is_the_original_one(void **state)
{
    struct record *r = *state;
    put_addr(r, SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, "192.0.2.1");
    check_addr(r, "exporterip", "192.0.2.1");
    put_addr(r, SC_PEN_COLLECTOR, SC_IE_TOLD_EXPORTER, "192.0.2.2"); /* in options data */
    check_addr(r, "exporterip", "192.0.2.2");
    put_addr(r, 0, 131, "2001:db8::131");
    check_addr(r, "exporterip", "2001:db8::131");
    put_addr(r, 0, 130, "192.0.2.130");
    check_addr(r, "exporterip", "192.0.2.130");
    put_addr(r, 0, 403, "192.0.2.99");
    check_addr(r, "router", "192.0.2.99");
    put(r, SC_PEN_COLLECTOR, SC_IE_OBSERVATION_DOMAIN, 4);
    check(r, "odid", 4);
    put(r, 0, 405, 5);
    check(r, "odid", 5);
}

static void precise_times_are_ns(void **state)
{
    struct record *r = *state;
    put(r, 0, 156, UINT64_C(2208988801) << 32 | 0x40000000u);
    struct sc_value v = get(r, "flowStartNanoseconds");
    assert_int_equal(v.type, SC_VALUE_TIME_NS);
    assert_int_equal(v.u, 1250000000u);
    check(r, "first", 1250);
}

static void transforms_do_not_wrap_below_zero(void **state)
{
    (void)state;
    assert_int_equal(sc_transform_u64(SC_TRANSFORM_EXPORT_MINUS_US, UINT32_MAX, 1000), 0);
    assert_int_equal(sc_transform_u64(SC_TRANSFORM_MINUS_INIT, 5, 10), 0xfffffffb);
    assert_int_equal(sc_transform_u64(SC_TRANSFORM_COUNT_OR_ONE, 0, 0), 1);
    assert_int_equal(sc_transform_u64(SC_TRANSFORM_LOW_BYTE, 0x1234, 0), 0x34);
}

#define WITH_RECORD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

UNIT(test_field)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aliases_name_the_same_field),
        cmocka_unit_test(elements_are_fields),
        cmocka_unit_test(short_names_hide_no_element),
        cmocka_unit_test(every_name_of_the_table_is_found),
        cmocka_unit_test(unknown_names_get_a_hint),
        cmocka_unit_test(pairs),
        cmocka_unit_test(fields_of_columns),
        cmocka_unit_test(names_of_wrong_lengths),
        WITH_RECORD(the_first_present_source_counts),
        WITH_RECORD(reverse_counters_are_out),
        WITH_RECORD(flows_are_never_null),
        WITH_RECORD(flows_count_delta),
        cmocka_unit_test(times_of_every_kind_are_ms),
        WITH_RECORD(delta_times_need_the_export_time),
        WITH_RECORD(an_end_from_a_duration),
        WITH_RECORD(a_start_from_a_duration),
        WITH_RECORD(an_event_has_a_first_time),
        WITH_RECORD(a_vlan_of_zero_is_none),
        WITH_RECORD(networks_by_the_exported_mask),
        WITH_RECORD(a_mask_that_is_none),
        WITH_RECORD(label_stacks),
        WITH_RECORD(a_duration_without_a_start_gives_no_end),
        WITH_RECORD(rates),
        WITH_RECORD(rates_of_no_time_are_zero),
        WITH_RECORD(unified_addresses_show_as_elements),
        WITH_RECORD(raw_uptimes_come_back),
        WITH_RECORD(icmp_type_of_both_spellings),
        cmocka_unit_test(icmp_type_in_the_port),
        WITH_RECORD(engine_of_v5),
        WITH_RECORD(texts_lose_their_padding),
        WITH_RECORD(names_that_options_data_told),
        WITH_RECORD(the_exporter_is_the_original_one),
        WITH_RECORD(precise_times_are_ns),
        cmocka_unit_test(transforms_do_not_wrap_below_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
