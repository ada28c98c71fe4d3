// SPDX-License-Identifier: BSD-3-Clause
/* The words of the command line: keys, prefixes, buckets, orders, functions, statistics, and what is said of
 * those that are wrong. */
#include "query/request.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static struct sc_request *make(const char *keys, const char *orders, const char *fields)
{
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    if (sc_request_aggregate(NULL, keys, orders, fields, r, &err) != SC_OK)
        fail_msg("%s: %s", keys, err.message);
    return r;
}

static void check_labels(const struct sc_request *r, const char *expected)
{
    char labels[1024] = "";
    for (uint32_t i = 0; i < r->column_count; i++) {
        strcat(labels, i == 0 ? "" : " ");
        strcat(labels, r->columns[i].label);
    }
    assert_string_equal(labels, expected);
}

/* Keys first, as they were spelt; then the fields; then sort keys that stand nowhere else. */
static void columns_as_spelt(void **state)
{
    (void)state;
    static const char *const cases[][4] = {
        {"srcip", NULL, NULL, "srcip duration flows packets bytes flags bps pps bpp"},
        {"SA, dp", NULL, "fl", "SA dp fl"},
        {"srcip/24/64,dstport", "bytes", "flows", "srcip dstport flows bytes"},
        {"srcip,srcip/24", NULL, "", "srcip srcip/24"},
        {"ip", "bytes#asc,flows", "bytes", "ip bytes flows"},
        {"first/5m", "first", "flows", "first flows"},
        {"proto", "proto#desc", "flows,max(bytes),avg(packets)", "proto flows max(bytes) avg(packets)"},
        {"proto", NULL, "bytes,bytes,BYTES", "proto bytes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_request *r = make(cases[i][0], cases[i][1], cases[i][2]);
        check_labels(r, cases[i][3]);
        assert_string_equal(r->name, cases[i][0]);
        free(r);
    }
}

static void prefixes_and_buckets(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint8_t prefix4, prefix6;
        uint64_t bucket;
    } cases[] = {
        {"srcip", 255, 255, 0},           {"srcip/24", 24, 255, 0},
        {"srcip/0/0", 0, 0, 0},           {"dstip/24/64", 24, 64, 0},
        {"nexthop/32/48", 32, 48, 0},     {"sourceIPv6Address/48", 255, 48, 0},
        {"srcip/32/128", 32, 128, 0},     {"first/5m", 255, 255, 300000},
        {"last/250ms", 255, 255, 250},    {"received/1h30m", 255, 255, 5400000},
        {"dstport/1000", 255, 255, 1000}, {"bytes/1", 255, 255, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_request *r = make(cases[i].key, NULL, "flows");
        assert_int_equal(r->aggregate.keys[0].prefix4, cases[i].prefix4);
        assert_int_equal(r->aggregate.keys[0].prefix6, cases[i].prefix6);
        assert_int_equal(r->aggregate.keys[0].bucket, cases[i].bucket);
        free(r);
    }
}

static void pair_keys(void **state)
{
    (void)state;
    struct sc_request *r = make("proto,port/10,tos", NULL, "flows");
    assert_false(r->aggregate.keys[0].pair);
    assert_true(r->aggregate.keys[1].pair);
    assert_string_equal(r->aggregate.keys[1].field.name, "srcport");
    assert_string_equal(r->aggregate.keys[1].other.name, "dstport");
    free(r);
}

static void orders(void **state)
{
    (void)state;
    struct sc_request *r = make("srcip", "bytes,srcip, flows#ASC ,duration#desc,first", "bytes");
    static const bool descending[] = {true, false, false, true, false};
    assert_int_equal(r->order_count, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(r->orders[i].descending, descending[i]);
    assert_int_equal(r->orders[1].column.source, SC_RESULT_KEY);
    assert_int_equal(r->orders[3].column.source, SC_RESULT_COMPUTED);
    free(r);
}

/* The same sum is kept once, whoever asks for it. */
static void sums_are_shared(void **state)
{
    (void)state;
    struct sc_request *r = make("srcip", "bps", "bytes,sum(bytes),bps,bpp,packets,avg(bytes),min(bytes)");
    /* bytes, first, last, packets, count of bytes, least of bytes */
    assert_int_equal(r->aggregate.accumulator_count, 6);
    free(r);
}

static void values_of_groups(void **state)
{
    (void)state;
    struct sc_request *r = make("srcip", "distinct(dstip),P95(bytes)",
                                "distinct(dstip),distinct( dstip/24 "
                                "),distinct(first/5m),p50(bytes),median(bytes),p99.9(bytes),p5(duration)");
    static const unsigned permilles[] = {500, 999, 50, 950};
    const struct sc_aggregate *a = &r->aggregate;
    unsigned percentiles = 0;
    assert_int_equal(a->accumulator_count, 3 * 2 + 4);
    for (uint32_t i = 6; i < a->accumulator_count; i++)
        assert_int_equal(a->accumulators[i].permille, permilles[percentiles++]);
    assert_int_equal(a->accumulators[2].key.prefix4, 24);
    assert_int_equal(a->accumulators[4].key.bucket, 300000);
    assert_true(r->orders[0].descending && r->orders[1].descending);
    free(r);
}

static void check_refused(const char *keys, const char *orders_text, const char *fields, const char *words)
{
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    enum sc_status status = sc_request_aggregate(NULL, keys, orders_text, fields, r, &err);
    if (status != SC_USAGE && status != SC_NOTFOUND)
        fail_msg("-a %s -o %s: status %d", keys, orders_text == NULL ? "" : orders_text, status);
    if (strstr(err.message, words) == NULL)
        fail_msg("-a %s: \"%s\" does not say \"%s\"", keys, err.message, words);
    free(r);
}

static void refused(void **state)
{
    (void)state;
    check_refused("", NULL, NULL, "missing");
    check_refused("srcip,", NULL, NULL, "missing");
    check_refused(",srcip", NULL, NULL, "missing");
    check_refused("srcip", "bytes,", NULL, "missing");
    check_refused("srcip", "", NULL, "missing");
    check_refused("srcip", NULL, "bytes,,flows", "missing");
    check_refused("scrip", NULL, NULL, "did you mean \"srcip\"");
    check_refused("bps", NULL, NULL, "rate");
    check_refused("ip,port", NULL, NULL, "only one key");
    check_refused("srcip/33/64", NULL, "flows", "/33/64");
    check_refused("srcip/129", NULL, "flows", "/129");
    check_refused("srcip/33", NULL, "flows", "/33");
    check_refused("proto/24", NULL, NULL, "neither a prefix length nor a bucket");
    check_refused("flags/24", NULL, NULL, "neither a prefix length nor a bucket");
    check_refused("srcas/10", NULL, NULL, "neither a prefix length nor a bucket");
    check_refused("first/300", NULL, NULL, "first/300s or first/300ms");
    check_refused("srcip/24/129", NULL, NULL, "prefix length");
    check_refused("srcip/", NULL, NULL, "prefix length");
    check_refused("srcip/24/", NULL, NULL, "prefix length");
    check_refused("srcip/x", NULL, NULL, "prefix length");
    check_refused("dstport/0", NULL, NULL, "bucket");
    check_refused("dstport/x", NULL, NULL, "bucket");
    check_refused("dstport/", NULL, NULL, "bucket");
    check_refused("dstport/-5", NULL, NULL, "bucket");
    check_refused("dstport/99999999999999999999999", NULL, NULL, "bucket");
    check_refused("first/x", NULL, NULL, "x");
    check_refused("appname/5", NULL, NULL, "neither");
    check_refused("srcmac/24", NULL, NULL, "neither");
    check_refused("srcip", "bytes#up", NULL, "asc or desc");
    check_refused("srcip", "nope", NULL, "unknown field");
    check_refused("srcip", NULL, "dstip", "has no sum");
    check_refused("ip", "srcip", "flows", "has no sum");
    check_refused("srcip", NULL, "mode(bytes)", "min, max, avg, sum, distinct, median and p1 to p99.9");
    check_refused("srcip", NULL, "p0(bytes)", "the functions are");
    check_refused("srcip", NULL, "p100(bytes)", "the functions are");
    check_refused("srcip", NULL, "p99.95(bytes)", "the functions are");
    check_refused("srcip", NULL, "p5.(bytes)", "the functions are");
    check_refused("srcip", NULL, "p(bytes)", "the functions are");
    check_refused("srcip", NULL, "p50(dstip)", "percentiles are of numbers and durations; dstip is neither");
    check_refused("srcip", NULL, "median(first)", "percentiles are of numbers and durations");
    check_refused("srcip", NULL, "p50(bps)", "percentiles are of numbers and durations");
    check_refused("srcip", NULL, "distinct(ip)", "stands for two fields");
    check_refused("srcip", NULL, "distinct(bps)", "rate");
    check_refused("srcip", NULL, "distinct()", "unknown field");
    check_refused("srcip", NULL, "distinct(dstip/33/64)", "/33/64");
    check_refused(
        "srcip,srcip/1,srcip/2,srcip/3,srcip/4,srcip/5,srcip/6,srcip/7,srcip/8,srcip/9,srcip/10,srcip/11,"
        "srcip/12,srcip/13,srcip/14,srcip/15",
        NULL, "distinct(dstip)", "at most 15 keys");
    check_refused(
        "proto", NULL,
        "distinct(srcip),distinct(dstip),distinct(tos),distinct(bytes),distinct(packets),distinct(ttl),"
        "distinct(srcas),distinct(dstas),p50(bytes)",
        "at most 16 sums");
    check_refused("srcip", NULL, "dstport", "make it a key, or ask for min(dstport) or max(dstport)");
    check_refused("srcip", NULL, "dstip", "dstip has no sum: make it a key");
    check_refused("srcip", NULL, "max(dstip)", "no number");
    check_refused("srcip", NULL, "max(appname)", "no number");
    check_refused("srcip", NULL, "max(nope)", "unknown field");
    check_refused("srcip", NULL, "max()", "unknown field");
    check_refused(
        "srcip,srcip/1,srcip/2,srcip/3,srcip/4,srcip/5,srcip/6,srcip/7,srcip/8,srcip/9,srcip/10,srcip/11,"
        "srcip/12,srcip/13,srcip/14,srcip/15,srcip/16",
        NULL, "flows", "at most 16 keys");
    check_refused("proto",
                  "flows,flows,flows,flows,flows,flows,flows,flows,flows,flows,flows,flows,flows,flows,"
                  "flows,flows,flows",
                  "flows", "at most 16 sort keys");
    check_refused(
        "proto", NULL,
        "min(tos),max(tos),min(bytes),max(bytes),min(packets),max(packets),min(ttl),max(ttl),min(srcas),"
        "max(srcas),min(dstas),max(dstas),min(inif),max(inif),min(outif),max(outif),min(flows)",
        "at most 16 sums");
}

/* Texts of any length neither overrun a label nor end the program. */
static void long_words(void **state)
{
    (void)state;
    char *text = malloc(100001);
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    static const char letters[] = "x,(#/";
    for (unsigned i = 0; i < sizeof(letters) - 1; i++) {
        memset(text, letters[i], 100000);
        text[100000] = '\0';
        assert_int_not_equal(sc_request_aggregate(NULL, text, NULL, NULL, r, &err), SC_OK);
        assert_int_not_equal(sc_request_aggregate(NULL, "srcip", text, NULL, r, &err), SC_OK);
        assert_int_not_equal(sc_request_aggregate(NULL, "srcip", NULL, text, r, &err), SC_OK);
    }
    memset(text, ' ', 100000);
    memcpy(text + 500, "src", 3); /* blanks and dashes within a name do not count */
    memcpy(text + 700, "ip", 2);
    struct sc_request *spaced = make(text, NULL, "flows");
    assert_int_equal(spaced->aggregate.key_count, 1);
    assert_true(strlen(spaced->columns[0].label) < SC_LABEL_MAX);
    free(spaced);
    free(r);
    free(text);
}

static void statistics(void **state)
{
    (void)state;
    static const struct {
        const char *text, *keys, *orders;
    } cases[] = {
        {"srcip", "srcip", "flows#desc"},
        {"srcip#bytes", "srcip", "bytes"},
        {"srcip#bytes#asc", "srcip", "bytes#asc"},
        {"srcip,dstport#bytes#asc,flows", "srcip,dstport", "bytes#asc,flows"},
        {"srcip/bytes", "srcip", "bytes"},
        {"srcip/24/BPS", "srcip/24", "BPS"},
        {"srcip/24", "srcip/24", "flows#desc"},
        {"dstport/100", "dstport/100", "flows#desc"},
        {"srcip/24/64#packets", "srcip/24/64", "packets"},
    };
    struct sc_error err = {0};
    char keys[100], orders_text[100];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sc_request_split_statistic(cases[i].text, keys, orders_text, &err), SC_OK);
        assert_string_equal(keys, cases[i].keys);
        assert_string_equal(orders_text, cases[i].orders);
    }
    assert_int_equal(sc_request_split_statistic("", keys, orders_text, &err), SC_USAGE);
    assert_int_equal(sc_request_split_statistic("#bytes", keys, orders_text, &err), SC_USAGE);
    assert_int_equal(sc_request_split_statistic("srcip#", keys, orders_text, &err), SC_USAGE);
}

static void listings(void **state)
{
    (void)state;
    struct sc_request_listing *l = malloc(sizeof(*l));
    struct sc_error err = {0};
    assert_non_null(l);
    assert_int_equal(sc_request_list(NULL, NULL, NULL, l, &err), SC_OK);
    assert_int_equal(l->column_count, 10);
    assert_string_equal(l->labels[0], "first");
    assert_int_equal(
        sc_request_list(NULL, "sa, DstIP ,bps,octetDeltaCount,64999:77#2", "bytes,sa#desc", l, &err), SC_OK);
    assert_int_equal(l->column_count, 5);
    assert_string_equal(l->labels[0], "sa");
    assert_string_equal(l->labels[1], "DstIP");
    assert_string_equal(l->fields[1].name, "dstip");
    assert_ptr_equal(l->columns[4].label, l->labels[4]);
    assert_int_equal(l->order_count, 2);
    assert_true(l->orders[0].descending && l->orders[1].descending);
    assert_int_equal(sc_request_list(NULL, NULL, "bps,octets#asc,bps#asc", l, &err), SC_OK);
    assert_int_equal(l->column_count, 11); /* bps once, bytes is there */
    assert_string_equal(l->labels[10], "bps");
    assert_int_equal(sc_request_list(NULL, "bytes,", NULL, l, &err), SC_USAGE);
    assert_int_equal(sc_request_list(NULL, "max(bytes)", NULL, l, &err), SC_NOTFOUND);
    assert_int_equal(sc_request_list(NULL, NULL, "appname", l, &err), SC_USAGE);
    assert_int_equal(sc_request_list(NULL, NULL, "ip", l, &err), SC_NOTFOUND);
    free(l);
}

static void too_many_columns(void **state)
{
    (void)state;
    struct sc_request_listing *l = malloc(sizeof(*l));
    struct sc_error err = {0};
    char text[4096] = "tos";
    assert_non_null(l);
    for (unsigned i = 1; i < SC_MAX_COLUMNS; i++)
        strcat(text, ",tos");
    assert_int_equal(sc_request_list(NULL, text, NULL, l, &err), SC_OK);
    assert_int_equal(l->column_count, SC_MAX_COLUMNS);
    strcat(text, ",tos");
    assert_int_not_equal(sc_request_list(NULL, text, NULL, l, &err), SC_OK);
    free(l);
}

UNIT(test_request)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_as_spelt), cmocka_unit_test(prefixes_and_buckets),
        cmocka_unit_test(pair_keys),        cmocka_unit_test(orders),
        cmocka_unit_test(sums_are_shared),  cmocka_unit_test(values_of_groups),
        cmocka_unit_test(refused),          cmocka_unit_test(long_words),
        cmocka_unit_test(statistics),       cmocka_unit_test(listings),
        cmocka_unit_test(too_many_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
