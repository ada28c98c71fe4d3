// SPDX-License-Identifier: BSD-3-Clause
/* The generator: the same from one seed, and plausible in what benchmarks depend on. */
// clang-format off
// clang-format on

#include "export/generator.h"
#include "export/network.h"
#include "unit.h"

#include <stdlib.h>

enum { N = 100000 };

static struct sc_generator_options options_of(uint64_t seed)
{
    struct sc_generator_options o = sc_generator_default_options();
    o.seed = seed;
    o.hosts = 20000;
    o.start_ms = UINT64_C(1767225600000);
    return o;
}

static struct sc_generated *generate(const struct sc_generator_options *options, uint32_t n)
{
    struct sc_generator *g = sc_generator_create(options);
    struct sc_generated *records = calloc(n, sizeof(*records));
    assert_non_null(g);
    assert_non_null(records);
    for (uint32_t i = 0; i < n; i++)
        sc_generator_next(g, &records[i]);
    sc_generator_free(g);
    return records;
}

static void test_same_seed_same_records(void **state)
{
    (void)state;
    struct sc_generator_options a = options_of(7), b = options_of(8);
    a.ipv6_percent = b.ipv6_percent = 30;
    struct sc_generated *x = generate(&a, N), *y = generate(&a, N), *z = generate(&b, N);
    assert_memory_equal(x, y, N * sizeof(*x));
    uint32_t equal = 0;
    for (uint32_t i = 0; i < N; i++)
        equal += sc_addr_equal(&x[i].source, &z[i].source);
    assert_true(equal < N / 10);
    free(x);
    free(y);
    free(z);
}

static void test_each_record_is_sound(void **state)
{
    (void)state;
    struct sc_generator_options o = options_of(1);
    o.ipv6_percent = 20;
    o.exporters = 5;
    struct sc_generated *r = generate(&o, N);
    for (uint32_t i = 0; i < N; i++) {
        bool v4 = sc_addr_is_v4(&r[i].source);
        uint64_t export_ms = o.start_ms + (uint64_t)(i + 1) * 1000 / o.rate;
        uint32_t least = (v4 ? 40 : 60) - (r[i].protocol == 17 ? 12 : 0);
        assert_int_equal(v4, sc_addr_is_v4(&r[i].destination));
        assert_int_equal(v4, sc_addr_is_v4(&r[i].next_hop));
        assert_true(r[i].packets >= 1);
        assert_in_range(r[i].bytes, (uint64_t)r[i].packets * least, (uint64_t)r[i].packets * 1500);
        assert_true(r[i].first_ms <= r[i].last_ms);
        assert_true(r[i].last_ms <= export_ms);
        assert_true(r[i].last_ms + 30000 > export_ms);
        assert_true(r[i].last_ms - r[i].first_ms <= 61000);
        assert_true(r[i].packets > 1 || r[i].first_ms == r[i].last_ms);
        assert_true(r[i].exporter < 5);
        assert_true(r[i].protocol == 6 || r[i].flags == 0);
        assert_int_not_equal(r[i].input, 0);
        assert_int_not_equal(r[i].output, 0);
        assert_true(r[i].source_as <= 65535 && r[i].destination_as <= 65535);
    }
    free(r);
}

static int compare_u64(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

/* Shares in percent of what benchmarks lean on. */
static void test_mix(void **state)
{
    (void)state;
    struct sc_generator_options o = options_of(3);
    struct sc_generated *r = generate(&o, N);
    uint32_t tcp = 0, udp = 0, dns = 0, web = 0, tos = 0, zero = 0, syn_only = 0, from_server = 0;
    uint64_t *bytes = calloc(N, sizeof(*bytes)), total = 0, top = 0;
    assert_non_null(bytes);
    for (uint32_t i = 0; i < N; i++) {
        tcp += r[i].protocol == 6;
        udp += r[i].protocol == 17;
        dns += r[i].destination_port == 53;
        web += r[i].destination_port == 443 || r[i].source_port == 443;
        from_server += r[i].source_port == 443;
        tos += r[i].tos == 0;
        zero += r[i].first_ms == r[i].last_ms;
        syn_only += r[i].flags == 2 && r[i].packets == 1 && r[i].bytes == 40;
        bytes[i] = r[i].bytes;
        total += r[i].bytes;
    }
    qsort(bytes, N, sizeof(*bytes), compare_u64);
    for (uint32_t i = N - N / 100; i < N; i++)
        top += bytes[i];
    assert_in_range(tcp * 100 / N, 45, 75);
    assert_in_range(udp * 100 / N, 20, 50);
    assert_in_range(dns * 100 / N, 5, 20);
    assert_in_range(web * 100 / N, 30, 60);
    assert_in_range(from_server * 100 / web, 40, 55); /* most requests are answered */
    assert_in_range(tos * 100 / N, 85, 99);
    assert_in_range(zero * 100 / N, 20, 60);
    assert_in_range(syn_only * 1000 / N, 10, 35); /* scans: about 2 % */
    assert_in_range(top * 100 / total, 40, 98);   /* the largest hundredth carries most of the bytes */
    free(bytes);
    free(r);
}

static void test_few_hosts_have_most_flows(void **state)
{
    (void)state;
    struct sc_generator_options o = options_of(4);
    struct sc_generated *r = generate(&o, N);
    uint32_t inside = 0;
    static uint32_t count[1 << 16];
    uint64_t sorted[1 << 16];
    for (uint32_t i = 0; i < N; i++) {
        uint32_t source = sc_addr_get_v4(&r[i].source);
        if (source >> 24 != 10)
            continue;
        inside++;
        count[(source * 2654435761u) >> 16]++;
    }
    for (uint32_t i = 0; i < 1 << 16; i++)
        sorted[i] = count[i];
    qsort(sorted, 1 << 16, sizeof(sorted[0]), compare_u64);
    uint64_t top = 0;
    for (uint32_t i = 0; i < 100; i++)
        top += sorted[(1 << 16) - 1 - i];
    assert_in_range(inside * 100 / N, 35, 75);
    assert_in_range(top * 100 / inside, 30, 80); /* of 4000 hosts the first 100 */
    free(r);
}

static void test_routing_is_a_function_of_the_address(void **state)
{
    (void)state;
    struct sc_generator_options o = options_of(5);
    struct sc_generated *r = generate(&o, 3000);
    for (uint32_t i = 0; i < 3000; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (!sc_addr_equal(&r[i].destination, &r[k].destination))
                continue;
            assert_int_equal(r[i].destination_as, r[k].destination_as);
            assert_int_equal(r[i].destination_length, r[k].destination_length);
            assert_int_equal(r[i].output, r[k].output);
            assert_memory_equal(&r[i].next_hop, &r[k].next_hop, 16);
        }
    }
    free(r);
}

static void test_share_of_ipv6_and_of_exporters(void **state)
{
    (void)state;
    struct sc_generator_options o = options_of(6);
    o.ipv6_percent = 25;
    o.exporters = 4;
    struct sc_generated *r = generate(&o, N);
    uint32_t v6 = 0, of[4] = {0};
    for (uint32_t i = 0; i < N; i++) {
        v6 += !sc_addr_is_v4(&r[i].source);
        of[r[i].exporter]++;
    }
    assert_in_range(v6 * 100 / N, 20, 30);
    for (int i = 0; i < 4; i++)
        assert_in_range(of[i] * 100 / N, 10, 45);
    free(r);
}

static void test_columns_hold_the_records(void **state)
{
    (void)state;
    struct sc_generator_options o = options_of(9);
    o.ipv6_percent = 50;
    struct sc_generated *r = generate(&o, 500);
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_int_equal(sc_generated_append(r, 200, batch), SC_OK);
    assert_int_equal(sc_generated_append(r + 200, 300, batch), SC_OK);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    assert_int_equal(batch->rows, 500);
    struct sc_column_key source = {SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, SC_COLUMN_ADDRESS};
    struct sc_column_key bytes = {SC_PEN_IANA, 1, 0, SC_COLUMN_UINT};
    struct sc_column_key length4 = {SC_PEN_IANA, 9, 0, SC_COLUMN_UINT};
    struct sc_column_key length6 = {SC_PEN_IANA, 29, 0, SC_COLUMN_UINT};
    for (uint32_t i = 0; i < 500; i++) {
        bool v4 = sc_addr_is_v4(&r[i].source);
        assert_memory_equal(sc_column_addr(sc_batch_find(batch, source), i), &r[i].source, 16);
        assert_int_equal(sc_column_u64(sc_batch_find(batch, bytes), i), r[i].bytes);
        assert_int_equal(sc_column_is_null(sc_batch_find(batch, length4), i), !v4);
        assert_int_equal(sc_column_is_null(sc_batch_find(batch, length6), i), v4);
        assert_int_equal(sc_column_u64(sc_batch_find(batch, v4 ? length4 : length6), i), r[i].source_length);
    }
    sc_batch_free(batch);
    free(r);
}

UNIT(test_generator)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_records),
        cmocka_unit_test(test_each_record_is_sound),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_few_hosts_have_most_flows),
        cmocka_unit_test(test_routing_is_a_function_of_the_address),
        cmocka_unit_test(test_share_of_ipv6_and_of_exporters),
        cmocka_unit_test(test_columns_hold_the_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
