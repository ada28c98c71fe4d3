// SPDX-License-Identifier: BSD-3-Clause
/* The truth file: sums, tops with ties by key, distinct tuples, times. */
// clang-format off
// clang-format on

#include "export/truth.h"

#include "unit.h"

#include <jansson.h>

static json_t *write_and_parse(const struct sc_truth *truth)
{
    struct sc_truth_export sent = {.messages = 3, .skipped = 2, .values_dropped = 1};
    struct sc_buf text = {0};
    assert_int_equal(sc_truth_write(truth, &sent, &text), SC_OK);
    json_t *root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    sc_buf_free(&text);
    return root;
}

static long long number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *v = json_string_value(json_object_get(object, key));
    assert_non_null(v);
    return v;
}

static void add(struct sc_truth *t, uint32_t source, uint16_t port, uint8_t protocol, uint64_t bytes,
                uint64_t first)
{
    struct sc_addr s = sc_addr_v4(source), d = sc_addr_v4(0xc0000201);
    struct sc_truth_flow flow = {.source = &s,
                                 .destination = &d,
                                 .flows = 1,
                                 .packets = 2,
                                 .bytes = bytes,
                                 .first_ms = first,
                                 .last_ms = first + 500,
                                 .source_port = 1000,
                                 .destination_port = port,
                                 .protocol = protocol};
    assert_int_equal(sc_truth_add(t, &flow), SC_OK);
}

static void test_nothing(void **state)
{
    (void)state;
    struct sc_truth *t = sc_truth_create();
    json_t *root = write_and_parse(t);
    assert_int_equal(number(root, "flows"), 0);
    assert_true(json_is_null(json_object_get(root, "first")));
    assert_true(json_is_null(json_object_get(root, "last_ms")));
    assert_int_equal(json_array_size(json_object_get(root, "protocols")), 0);
    assert_int_equal(json_array_size(json_object_get(root, "top_srcip_by_flows")), 0);
    json_decref(root);
    sc_truth_free(t);
}

static void test_sums_and_distinct(void **state)
{
    (void)state;
    struct sc_truth *t = sc_truth_create();
    for (uint32_t i = 0; i < 200000; i++) /* past the first size of both hashes */
        add(t, 0x0a000000 + i % 50000, i % 4 == 0 ? 53 : 80, i % 4 == 0 ? 17 : 6, 100, 1767225600000 + i);
    json_t *root = write_and_parse(t);
    assert_int_equal(number(root, "flows"), 200000);
    assert_int_equal(number(root, "packets"), 400000);
    assert_int_equal(number(root, "bytes"), 20000000);
    assert_int_equal(number(root, "distinct_5tuples"), 50000);
    assert_int_equal(number(root, "dstport_53_flows"), 50000);
    assert_string_equal(text_of(root, "first"), "2026-01-01T00:00:00.000Z");
    assert_int_equal(number(root, "last_ms"), 1767225600000 + 199999 + 500);
    assert_int_equal(number(root, "messages"), 3);
    assert_int_equal(number(root, "skipped"), 2);
    assert_int_equal(number(root, "values_dropped"), 1);
    const json_t *protocols = json_object_get(root, "protocols");
    assert_int_equal(json_array_size(protocols), 2);
    assert_int_equal(number(json_array_get(protocols, 0), "proto"), 6);
    assert_int_equal(number(json_array_get(protocols, 0), "flows"), 150000);
    assert_int_equal(number(json_array_get(protocols, 1), "proto"), 17);
    json_decref(root);
    sc_truth_free(t);
}

static void test_tops_and_ties(void **state)
{
    (void)state;
    struct sc_truth *t = sc_truth_create();
    for (uint32_t host = 1; host <= 30; host++) /* hosts 1 and 2, 3 and 4 ... have equally many flows */
        for (uint32_t k = 0; k < (host + 1) / 2; k++)
            add(t, 0x0a000000 + host, (uint16_t)(100 + host), 6, host == 7 ? 1000000 : 10, 1767225600000);
    json_t *root = write_and_parse(t);
    const json_t *top = json_object_get(root, "top_srcip_by_flows");
    assert_int_equal(json_array_size(top), 10);
    for (unsigned i = 0; i < 10; i++) {
        char want[16];
        snprintf(want, sizeof(want), "10.0.0.%u", 29 - i / 2 * 2 + i % 2);
        assert_string_equal(text_of(json_array_get(top, i), "srcip"), want);
        assert_int_equal(number(json_array_get(top, i), "flows"), 15 - i / 2);
    }
    const json_t *by_bytes = json_object_get(root, "top_srcip_by_bytes");
    assert_string_equal(text_of(json_array_get(by_bytes, 0), "srcip"), "10.0.0.7");
    assert_int_equal(number(json_array_get(by_bytes, 0), "bytes"), 4000000);
    const json_t *ports = json_object_get(root, "top_dstport_by_flows");
    assert_int_equal(number(json_array_get(ports, 0), "dstport"), 129);
    assert_int_equal(number(json_array_get(ports, 1), "dstport"), 130);
    assert_int_equal(number(json_array_get(ports, 9), "dstport"), 122);
    json_decref(root);
    sc_truth_free(t);
}

static void test_absent_values(void **state)
{
    (void)state;
    struct sc_truth *t = sc_truth_create();
    struct sc_truth_flow none = {.flows = 3,
                                 .absent = SC_TRUTH_NO_PROTOCOL | SC_TRUTH_NO_SOURCE_PORT |
                                           SC_TRUTH_NO_DESTINATION_PORT | SC_TRUTH_NO_FIRST |
                                           SC_TRUTH_NO_LAST};
    struct sc_addr zero = sc_addr_v4(0);
    struct sc_truth_flow zeros = {
        .flows = 1, .source = &zero, .destination = &zero, .first_ms = 1, .last_ms = 1};
    assert_int_equal(sc_truth_add(t, &none), SC_OK);
    assert_int_equal(sc_truth_add(t, &none), SC_OK);
    assert_int_equal(sc_truth_add(t, &zeros), SC_OK);
    json_t *root = write_and_parse(t);
    assert_int_equal(number(root, "flows"), 7);
    assert_int_equal(number(root, "distinct_5tuples"), 2);
    assert_int_equal(number(root, "first_ms"), 1);
    assert_int_equal(json_array_size(json_object_get(root, "top_srcip_by_flows")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "top_dstport_by_flows")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "protocols")), 1);
    json_decref(root);
    sc_truth_free(t);
}

UNIT(test_truth)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_sums_and_distinct),
        cmocka_unit_test(test_tops_and_ties),
        cmocka_unit_test(test_absent_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
