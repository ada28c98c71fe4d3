// SPDX-License-Identifier: BSD-3-Clause
/* Groups that are too many for a small table: entries leave it and are put together again, whatever leaves when. */
#include "group/table.h"
#include "query_kit.h"

#define BATCHES 6u
#define ROWS    60000u
#define THREADS 3u

struct reference {
    uint32_t groups; /* that rows can have */
    uint32_t present;
    uint64_t *flows, *bytes;
};

static uint32_t group_of(uint64_t id, uint32_t groups)
{
    return (uint32_t)(kit_mix(id, 5) % groups);
}

static uint64_t bytes_of(uint64_t id)
{
    return 1 + id % ROWS % 7;
}

/* A group is a source address and a source port; some have no port. */
static void put_row(struct sc_column *const *columns, uint64_t id, const void *arg)
{
    const struct reference *ref = arg;
    uint32_t group = group_of(id, ref->groups), port = group % 64;
    struct sc_addr address = sc_addr_v4(0x0a000000u + group / 64);
    sc_column_put_u64(columns[0], id);
    sc_column_put_u64(columns[1], KIT_WINDOW);
    sc_column_put_addr(columns[2], &address);
    if (port == 63)
        assert_int_equal(sc_column_put_null(columns[3]), SC_OK);
    else
        sc_column_put_u64(columns[3], port);
    sc_column_put_u64(columns[4], bytes_of(id));
}

static char *make_store(struct reference *ref, uint32_t groups)
{
    static const enum query_column columns[] = {Q_ID, Q_RECEIVED, Q_SOURCE, Q_SOURCE_PORT, Q_BYTES};
    *ref = (struct reference){.groups = groups,
                              .flows = calloc(groups, sizeof(uint64_t)),
                              .bytes = calloc(groups, sizeof(uint64_t))};
    assert_non_null(ref->flows);
    assert_non_null(ref->bytes);
    for (uint64_t id = 0; id < (uint64_t)BATCHES * ROWS; id++) {
        uint32_t group = group_of(id, groups);
        ref->present += ref->flows[group] == 0;
        ref->flows[group]++;
        ref->bytes[group] += bytes_of(id);
    }
    return query_make_store(columns, 5, BATCHES, ROWS, put_row, ref);
}

static enum sc_status add_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                               struct sc_selection *selection, struct sc_error *err)
{
    struct sc_groups **partials = arg;
    (void)thread;
    return sc_groups_add_rows(partials[unit % THREADS], group, selection, err);
}

struct setting {
    uint64_t budget, memory;
};

static struct sc_groups *scan(const char *store, const struct sc_request *r, struct setting s,
                              const struct sc_keep *keep, uint32_t count)
{
    struct sc_source source;
    struct sc_groups *partials[THREADS];
    struct sc_error err = {0};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    struct sc_scan_consumer consumer = {.unit = add_unit, .arg = partials};
    struct sc_scan_stats stats = {0};
    uint64_t spilled = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        partials[t] = sc_groups_create(&r->aggregate);
        assert_non_null(partials[t]);
        sc_groups_set_spill_budget(partials[t], s.budget);
        if (s.memory != 0)
            sc_groups_set_memory_limit(partials[t], s.memory, THREADS);
    }
    query_open(&source, store);
    assert_int_equal(source.unit_count, BATCHES);
    assert_int_equal(sc_scan_run(&source, &options, &consumer, &stats, &err), SC_OK);
    for (unsigned t = 0; t < THREADS; t++) {
        spilled += partials[t]->spill.bytes;
        assert_true(sc_groups_memory(partials[t]) >= partials[t]->spill.bytes);
    }
    assert_true(s.memory == 0 ? spilled > 0 : spilled <= s.memory / 2); /* the rest is in files */
    assert_int_equal(sc_groups_join(partials, THREADS, keep, count, &err), SC_OK);
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(partials[t]->spill.bytes, 0);
        if (t > 0) {
            assert_int_equal(sc_groups_count(partials[t]), 0);
            sc_groups_free(partials[t]);
        }
    }
    sc_source_close(&source);
    return partials[0];
}

static uint32_t group_of_entry(const struct sc_request *r, const struct sc_groups *groups,
                               const uint8_t *entry)
{
    struct sc_value address = sc_groups_value(groups, entry, &r->columns[0].result);
    struct sc_value port = sc_groups_value(groups, entry, &r->columns[1].result);
    assert_true(port.null || port.u < 63);
    return (sc_load_be32(address.addr.b + 12) - 0x0a000000u) * 64 + (port.null ? 63 : (uint32_t)port.u);
}

/* The first `limit` are right, and in order. */
static void check(const struct sc_request *r, const struct sc_groups *groups, const struct reference *ref,
                  uint64_t limit, uint64_t want)
{
    struct sc_result result;
    struct sc_error err = {0};
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &result, &err), SC_OK);
    assert_int_equal(result.count, want);
    uint64_t previous = UINT64_MAX, better = 0;
    for (uint64_t i = 0; i < result.count; i++) {
        uint32_t group = group_of_entry(r, groups, result.entries[i]);
        assert_true(group < ref->groups);
        assert_int_equal(sc_groups_value(groups, result.entries[i], &r->columns[2].result).u,
                         ref->flows[group]);
        assert_int_equal(sc_groups_value(groups, result.entries[i], &r->columns[3].result).u,
                         ref->bytes[group]);
        assert_true(ref->bytes[group] <= previous);
        previous = ref->bytes[group];
    }
    for (uint32_t g = 0; g < ref->groups; g++)
        better += ref->bytes[g] > previous;
    assert_true(better < limit || limit == 0);
    free(result.entries);
}

static void run(uint32_t group_count)
{
    static const struct setting settings[] = {
        {1, 0}, {UINT64_C(6) << 20, 0}, {0, 0}, {0, UINT64_C(24) << 20}, {1, UINT64_C(24) << 20}};
    struct reference ref;
    char *store = make_store(&ref, group_count);
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcip,srcport", "bytes#desc", "flows,bytes", r, &err),
                     SC_OK);
    for (unsigned b = 0; b < 5; b++) {
        struct sc_keep keep = {r->orders, r->order_count, 25};
        struct sc_groups *all = scan(store, r, settings[b], NULL, 2),
                         *first = scan(store, r, settings[b], &keep, 1 + b);
        assert_int_equal(sc_groups_count(all), ref.present);
        check(r, all, &ref, 0, ref.present);
        assert_true(sc_groups_count(first) < 25 * 64 + 1);
        check(r, first, &ref, 25, 25);
        sc_groups_free(all);
        sc_groups_free(first);
    }
    free(r);
    free(ref.flows);
    free(ref.bytes);
    kit_remove(store);
}

static void groups_of_few_rows(void **state)
{
    (void)state;
    run(300000);
}

/* Those that leave the table come back again and again. */
static void groups_of_several_rows(void **state)
{
    (void)state;
    run(50000);
}

/* Whatever the limit is, the first are found; the file needs room. */
static void any_memory_limit(void **state)
{
    (void)state;
    static const uint64_t limits[] = {UINT64_C(1) << 20, UINT64_C(4) << 20, UINT64_C(64) << 20};
    struct reference ref;
    char *store = make_store(&ref, 300000);
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcip,srcport", "bytes#desc", "flows,bytes", r, &err),
                     SC_OK);
    for (unsigned i = 0; i < 3; i++) {
        struct sc_source source;
        struct sc_top top = {&r->aggregate, r->orders, r->order_count, 25};
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1 + i};
        struct sc_summary summary;
        struct sc_scan_stats stats = {0};
        struct sc_groups *groups = NULL;
        query_open(&source, store);
        assert_int_equal(sc_query_top(&source, &options, &top, 1, limits[i], &groups, &summary, &stats, &err),
                         SC_OK);
        check(r, groups, &ref, 25, 25);
        sc_groups_free(groups);
        setenv("TMPDIR", "/nonexistent/folder", 1);
        enum sc_status status =
            sc_query_top(&source, &options, &top, 1, limits[i], &groups, &summary, &stats, &err);
        unsetenv("TMPDIR");
        assert_int_equal(status, i < 2 ? SC_FULL : SC_OK);
        if (i < 2)
            assert_non_null(strstr(err.message, "/nonexistent/folder"));
        else
            sc_groups_free(groups);
        sc_source_close(&source);
    }
    free(r);
    free(ref.flows);
    free(ref.bytes);
    kit_remove(store);
}

/* A filter leaves few rows of each row group, and yet there are many groups: they go to the file all the same. */
static void few_rows_at_a_time(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_non_null(w);
    for (unsigned b = 0; b < 60; b++) {
        struct sc_batch *batch = kit_batch(b * 4000, 4000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(sc_request_aggregate(NULL, "flowId,srcip", "bytes#desc", "flows,bytes", r, &err), SC_OK);
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, 25};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_groups *groups = NULL;
    if (sc_query_top(&source, &options, &top, 1, UINT64_C(4) << 20, &groups, &summary, &stats, &err) != SC_OK)
        fail_msg("%s", err.message);
    sc_groups_free(groups);
    sc_source_close(&source);
    free(r);
    kit_remove(store);
}

/* Ctrl-C while groups are put together, and while they are sorted. */
static void stopped(void **state)
{
    (void)state;
    struct reference ref;
    char *store = make_store(&ref, 50000);
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    atomic_int cancel = 0;
    struct sc_result result;
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcip,srcport", "bytes#desc", "flows,bytes", r, &err),
                     SC_OK);
    struct sc_groups *groups = scan(store, r, (struct setting){0}, NULL, 2);
    sc_groups_set_cancel(groups, &cancel);
    check(r, groups, &ref, 0, ref.present);
    atomic_store(&cancel, 1);
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &result, &err), SC_CANCELLED);
    assert_null(result.entries);
    check(r, groups, &ref, 25, 25); /* so few take no time */
    struct sc_groups *both[2] = {groups, sc_groups_create(&r->aggregate)};
    assert_non_null(both[1]);
    assert_int_equal(sc_groups_join(both, 2, NULL, 2, &err), SC_CANCELLED);
    assert_non_null(strstr(err.message, "before"));
    sc_groups_free(both[0]);
    sc_groups_free(both[1]);
    free(r);
    free(ref.flows);
    free(ref.bytes);
    kit_remove(store);
}

UNIT(test_spill)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_of_few_rows), cmocka_unit_test(groups_of_several_rows),
        cmocka_unit_test(any_memory_limit), cmocka_unit_test(few_rows_at_a_time), cmocka_unit_test(stopped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
