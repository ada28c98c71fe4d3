// SPDX-License-Identifier: BSD-3-Clause
/* Distinct values that do not fit their memory: estimates are near the truth and the same however rows were dealt out; where they would
 * spare nothing the numbers stay exact. */
#include "group/part.h"
#include "group_kit.h"
#include "query_kit.h"

#include <math.h>

#define BATCHES 6u
#define ROWS    60000u

/* Of `groups` source ports one has half of all rows; a row's destination is one of about `distinct`. */
struct shape {
    uint32_t groups, distinct;
};

static uint32_t group_of(uint64_t id, const struct shape *s)
{
    return kit_mix(id, 1) % 2 == 0 ? 0 : (uint32_t)(kit_mix(id, 2) % s->groups);
}

static uint64_t value_of(uint64_t id, const struct shape *s)
{
    return kit_mix(id, 3) % s->distinct;
}

static struct sc_addr address_of(uint64_t value)
{
    struct sc_addr address = sc_addr_v4((uint32_t)(0x0a000000u + value));
    return value % 5 == 0 ? (struct sc_addr){{0x20, 1, 0xd, 0xb8, [13] = (uint8_t)(value >> 16),
                                              [14] = (uint8_t)(value >> 8), [15] = (uint8_t)value}}
                          : address;
}

static void put_row(struct sc_column *const *columns, uint64_t id, const void *arg)
{
    const struct shape *s = arg;
    struct sc_addr address = address_of(value_of(id, s));
    sc_column_put_u64(columns[0], group_of(id, s));
    sc_column_put_addr(columns[1], &address);
}

static char *make_store(const struct shape *s)
{
    static const enum query_column columns[] = {Q_SOURCE_PORT, Q_DESTINATION};
    return query_make_store(columns, 2, BATCHES, ROWS, put_row, s);
}

/* The distinct values of each group. */
static void count_all(const struct shape *s, uint32_t *out)
{
    uint8_t *seen = calloc(s->groups, s->distinct);
    assert_non_null(seen);
    memset(out, 0, s->groups * sizeof(*out));
    for (uint64_t id = 0; id < (uint64_t)BATCHES * ROWS; id++) {
        uint32_t group = group_of(id, s);
        uint8_t *mark = &seen[(size_t)group * s->distinct + value_of(id, s)];
        out[group] += *mark == 0;
        *mark = 1;
    }
    free(seen);
}

/* The answer under a memory limit; whether it is exact. */
static bool ask(const char *store, uint64_t limit, unsigned threads, const struct sc_request *r,
                const struct shape *s, uint64_t *out)
{
    struct sc_source source;
    struct sc_aggregate aggregate = r->aggregate;
    struct sc_top top = {&aggregate, r->orders, r->order_count, 0};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_groups *groups = NULL;
    struct sc_result all;
    struct sc_error err = {0};
    bool exact = true;
    query_open(&source, store);
    if (sc_query_top(&source, &options, &top, 1, limit, &groups, &summary, &stats, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &all, &err), SC_OK);
    assert_true(all.count <= s->groups);
    for (uint64_t i = 0; i < all.count; i++) {
        struct sc_value port = sc_groups_value(groups, all.entries[i], &r->columns[0].result);
        struct sc_value distinct = sc_groups_value(groups, all.entries[i], &r->columns[1].result);
        assert_false(distinct.null);
        assert_true(i == 0 || distinct.estimated == !exact);
        exact = !distinct.estimated;
        out[port.u] = distinct.u;
    }
    free(all.entries);
    sc_groups_free(groups);
    sc_source_close(&source);
    return exact;
}

static struct sc_request *make_request(const char *fields)
{
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcport", "distinct(dstip)", fields, r, &err), SC_OK);
    return r;
}

/* Five times the standard error, of few values one. */
static void check_near(const uint64_t *got, const uint32_t *want, uint32_t groups)
{
    for (uint32_t g = 0; g < groups; g++) {
        double most = 5 * 1.04 / 128 * want[g] + 1;
        if (fabs((double)got[g] - want[g]) > most)
            fail_msg("group %u: %llu, want about %u", g, (unsigned long long)got[g], want[g]);
    }
}

static void estimates(void **state)
{
    (void)state;
    const struct shape s = {1, 200000};
    char *store = make_store(&s);
    struct sc_request *r = make_request("distinct(dstip)");
    uint32_t want[1];
    uint64_t got[1], again[1];
    count_all(&s, want);
    assert_true(ask(store, 0, 2, r, &s, got));
    assert_int_equal(got[0], want[0]);
    assert_true(ask(store, UINT64_C(1) << 30, 2, r, &s, got));
    assert_false(ask(store, UINT64_C(4) << 20, 1, r, &s, got));
    check_near(got, want, 1);
    for (unsigned threads = 1; threads <= 4; threads++) {
        assert_false(ask(store, UINT64_C(3) << 20, threads, r, &s, again));
        assert_memory_equal(again, got, sizeof(got));
    }
    free(r);
    kit_remove(store);
}

/* Many groups of few values each: they go to a file. */
static void in_vain(void **state)
{
    (void)state;
    const struct shape s = {40000, 10000};
    char *store = make_store(&s);
    struct sc_request *r = make_request("distinct(dstip)");
    uint32_t *want = calloc(s.groups, sizeof(*want));
    uint64_t *got = calloc(s.groups, sizeof(*got));
    assert_non_null(want);
    assert_non_null(got);
    count_all(&s, want);
    for (unsigned threads = 1; threads <= 3; threads++) {
        assert_true(ask(store, UINT64_C(4) << 20, threads, r, &s, got));
        for (uint32_t g = 0; g < s.groups; g++)
            assert_int_equal(got[g], want[g]);
    }
    setenv("TMPDIR", "/nonexistent/folder", 1);
    struct sc_source source;
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, 0};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_groups *groups = NULL;
    struct sc_error err = {0};
    query_open(&source, store);
    assert_int_equal(
        sc_query_top(&source, &options, &top, 1, UINT64_C(4) << 20, &groups, &summary, &stats, &err),
        SC_FULL);
    assert_non_null(strstr(err.message, "/nonexistent/folder"));
    unsetenv("TMPDIR");
    sc_source_close(&source);
    free(want);
    free(got);
    free(r);
    kit_remove(store);
}

/* The limit is that of groups and all their values together. */
static void with_sums(void **state)
{
    (void)state;
    const struct shape s = {40000, 10000};
    char *store = make_store(&s);
    struct sc_request *r =
        make_request("distinct(dstip),flows,max(srcport),max(dstport),distinct(dstip/24/48)");
    uint32_t *want = calloc(s.groups, sizeof(*want));
    uint64_t *got = calloc(s.groups, sizeof(*got));
    assert_non_null(want);
    assert_non_null(got);
    count_all(&s, want);
    for (unsigned mb = 5; mb <= 8; mb++) {
        assert_true(ask(store, (uint64_t)mb << 20, 1, r, &s, got));
        for (uint32_t g = 0; g < s.groups; g++)
            assert_int_equal(got[g], want[g]);
    }
    free(want);
    free(got);
    free(r);
    kit_remove(store);
}

/* From nothing to many, by values that no exporter chose. */
static void any_number(void **state)
{
    (void)state;
    struct sc_request *r = make_request("distinct(dstip)");
    struct sc_error err = {0};
    static const uint32_t numbers[] = {0, 1, 2, 10, 100, 1000, 5000, 15000, 40000, 70000, 200000, 1000000};
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sc_groups *groups = sc_groups_create(&r->aggregate);
        struct sc_result all;
        uint32_t count;
        assert_non_null(groups);
        assert_int_equal(sc_groups_make_values(groups, &count), SC_OK);
        assert_int_equal(count, 1);
        struct sc_groups *of = *sc_groups_values(groups, 0);
        for (uint32_t n = 0; n <= numbers[i]; n++) {
            struct sc_value values[SC_MAX_KEYS] = {{.u = 7}, {.addr = sc_addr_v4(n), .null = n == 0}};
            uint8_t row[KIT_ROW_BYTES] = {0};
            assert_true(kit_put_key(of, values, row));
            assert_non_null(sc_groups_find_entry(of, row));
        }
        assert_int_equal(sc_groups_estimate_values(groups, 0), SC_OK);
        assert_int_equal(sc_groups_settle_values(groups, 2, &err), SC_OK);
        assert_int_equal(sc_groups_top(groups, NULL, 0, 0, &all, &err), SC_OK);
        assert_int_equal(all.count, 1);
        uint64_t got = sc_groups_value(groups, all.entries[0], &r->columns[1].result).u;
        check_near(&got, &numbers[i], 1);
        free(all.entries);
        sc_groups_free(groups);
    }
    free(r);
}

UNIT(test_values)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(estimates), cmocka_unit_test(in_vain),
                                       cmocka_unit_test(with_sums), cmocka_unit_test(any_number)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
