// SPDX-License-Identifier: BSD-3-Clause
/*
 * Groups without memory: the n-th allocation fails, or all from it on. A query says so, or its answer is right all the same; nothing
 * leaks.
 */
#define NOMEM_ALIGNED
#include "aggregate_kit.h"
#include "nomem_kit.h"

#include <limits.h>

struct question {
    const char *keys, *order, *fields;
};

static const struct question questions[] = {
    {"srcip", "bytes", "flows,bytes"},
    {"dstport", "flows", "flows,max(bytes)"},
    {"srcip,dstport", "distinct(dstip)", "flows,distinct(dstip)"},
    {"ip,proto", "distinct(srcip)", "distinct(srcip),distinct(dstport)"},
    {"appname,srcip", "p50(bytes)", "p50(bytes),distinct(interfaceName),packets"},
};

/* Refusals grow rare: the first ones, of setting up, differ most. */
static long next_of(long n)
{
    return n + 1 + n / 30;
}

/* Whether anything was refused; *groups is NULL where that was told. */
static bool ask(const char *store, struct sc_request *r, uint64_t limit, uint64_t memory, unsigned threads,
                long n, bool for_good, struct sc_groups **groups)
{
    struct sc_source source;
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, limit};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads, .no_summary = true};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_error err = {0};
    query_open(&source, store);
    nomem_arm(n, for_good);
    enum sc_status status = sc_query_top(&source, &options, &top, 1, memory, groups, &summary, &stats, &err);
    bool refused = nomem_disarm();
    sc_source_close(&source);
    if (status != SC_OK && !(refused && (status == SC_NOMEM || status == SC_FULL)))
        fail_msg("allocation %ld: %s", n, err.message);
    if (status != SC_OK)
        assert_null(*groups);
    return refused;
}

static void ask_until_right(const struct query_table *t, const struct question *q, uint64_t limit,
                            uint64_t memory, unsigned threads)
{
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_groups *groups = NULL;
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, q->keys, q->order, q->fields, r, &err), SC_OK);
    assert_false(ask(t->store, r, limit, 0, 1, LONG_MAX, false, &groups));
    char *want = dump(r, groups, limit);
    sc_groups_free(groups);
    bool refused = true;
    for (long n = 0; refused; n = next_of(n)) {
        groups = NULL;
        refused = ask(t->store, r, limit, memory, threads, n, n % 2 == 0, &groups);
        char *got = groups == NULL ? NULL : dump(r, groups, limit);
        if (got != NULL && strcmp(got, want) != 0)
            fail_msg("%s by %s, allocation %ld: %s, want %s", q->fields, q->keys, n, got, want);
        free(got);
        sc_groups_free(groups);
    }
    free(want);
    free(r);
}

static void queries(void **state)
{
    (void)state;
    struct query_table t;
    query_table_make(&t, 5, 8, 3000);
    for (unsigned i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        ask_until_right(&t, &questions[i], 5, 0, 1);
        ask_until_right(&t, &questions[i], 5, 1500000, 1);
        ask_until_right(&t, &questions[i], 0, 8000000, 2);
    }
    query_table_free(&t);
}

/* ---- partial results that meet ---- */

#define PARTIALS 3u
#define SOURCES  400u /* of partial result p from 100 p on */
#define VALUES   10u  /* of each, in each partial result others */

enum kind { BESIDE, CROWDED, ESTIMATED, KINDS };

static void put_value(struct sc_groups *of, uint32_t source, uint32_t destination)
{
    struct sc_value values[SC_MAX_KEYS] = {{.addr = sc_addr_v4(source)}, {.addr = sc_addr_v4(destination)}};
    uint8_t row[KIT_ROW_BYTES] = {0};
    assert_true(kit_put_key(of, values, row));
    assert_non_null(sc_groups_find_entry(of, row));
}

static void put_values(struct sc_groups *groups, uint32_t p, enum kind kind)
{
    uint32_t count;
    assert_int_equal(sc_groups_make_values(groups, &count), SC_OK);
    struct sc_groups *of = *sc_groups_values(groups, 0);
    for (uint32_t n = 0; n < SOURCES * VALUES; n++)
        put_value(of, 100 * p + n % SOURCES, 1000 * p + n / SOURCES);
    for (uint32_t n = 0; n < 40000 && kind == CROWDED; n++)
        put_value(of, 100 * p, 5000 + n);
    if (kind == ESTIMATED && p == 1)
        assert_int_equal(sc_groups_estimate_values(groups, 0), SC_OK);
}

static bool join_once(const struct sc_request *r, enum kind kind, unsigned threads, long n)
{
    struct sc_groups *partials[PARTIALS];
    struct sc_error err = {0};
    for (uint32_t p = 0; p < PARTIALS; p++) {
        partials[p] = sc_groups_create(&r->aggregate);
        assert_non_null(partials[p]);
        put_values(partials[p], p, kind);
    }
    nomem_arm(n, n % 2 == 0);
    enum sc_status status = sc_groups_join(partials, PARTIALS, NULL, threads, &err);
    bool refused = nomem_disarm();
    assert_true(status == SC_OK || (refused && status == SC_NOMEM));
    if (status == SC_OK)
        assert_int_equal(sc_groups_count(partials[0]), SOURCES + 100 * (PARTIALS - 1));
    for (uint32_t p = 0; p < PARTIALS; p++)
        sc_groups_free(partials[p]);
    return refused;
}

static void joins(void **state)
{
    (void)state;
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcip", "distinct(dstip)", "distinct(dstip)", r, &err),
                     SC_OK);
    for (enum kind kind = BESIDE; kind < KINDS; kind++) {
        for (long n = 0; join_once(r, kind, 1 + n % 2, n);)
            n = next_of(n);
    }
    free(r);
}

/* To look for a group that is known takes no memory, however full the table is: its rows would be lost. */
static void closed_groups(void **state)
{
    (void)state;
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcip", "flows", "flows", r, &err), SC_OK);
    struct sc_groups *groups = sc_groups_create(&r->aggregate);
    uint8_t row[KIT_ROW_BYTES] = {0};
    assert_non_null(groups);
    for (uint32_t n = 0, full = 0; !full; n++) {
        struct sc_value values[SC_MAX_KEYS] = {{.addr = sc_addr_v4(n)}};
        assert_true(kit_put_key(groups, values, row));
        assert_non_null(sc_groups_find_entry(groups, row));
        const uint8_t *key = row + r->aggregate.key_at;
        const struct sc_partition *p =
            &groups->partitions[sc_partition_of(SC_KEY_NARROW, sc_groups_hash(groups, SC_KEY_NARROW, key))];
        full = p->count == p->slot_count - p->slot_count / 4;
    }
    assert_int_equal(sc_groups_close(groups), SC_OK);
    nomem_arm(0, true);
    const uint8_t *entry = sc_groups_find_entry(groups, row);
    assert_false(nomem_disarm());
    assert_non_null(entry);
    sc_groups_free(groups);
    free(r);
}

UNIT(test_nomem)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(queries), cmocka_unit_test(joins),
                                       cmocka_unit_test(closed_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
