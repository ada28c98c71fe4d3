// SPDX-License-Identifier: BSD-3-Clause
/* Groups by a port: an entry for each value, a chunk of rows at a time, and the tables of threads put together. */
#include "query_kit.h"

#define ROWS     60000u /* in a batch: no multiple of a chunk */
#define PARTIALS 3u
#define PORTS    65537u                                           /* the last stands for null */
#define FEW      "flows,packets,bytes,flags,min(first),max(last)" /* one sort of each, as the default columns */
#define MANY     FEW ",min(packets),max(packets),min(bytes),max(bytes)"

struct totals {
    uint64_t flows, packets, bytes, flags, first, last;
    uint64_t packets_min, packets_max, bytes_min, bytes_max;
    bool any_packets;
};

static uint32_t port_of(uint64_t id)
{
    uint64_t mix = kit_mix(id, 1);
    return mix % 97 == 0 ? PORTS - 1 : mix % 3 == 0 ? 443 : (uint32_t)(mix >> 8) & 0xffff;
}

static uint64_t bytes_of(uint64_t id)
{
    return (UINT64_C(1) << 33) + id;
}

static uint64_t packets_of(uint64_t id)
{
    return 1 + kit_mix(id, 2) % 200;
}

static uint64_t first_of(uint64_t id)
{
    return KIT_WINDOW + kit_mix(id, 3) % 1000;
}

static uint64_t last_of(uint64_t id)
{
    return first_of(id) + kit_mix(id, 4) % 5000;
}

static uint64_t flags_of(uint64_t id)
{
    return UINT64_C(1) << kit_mix(id, 5) % 6;
}

static bool has_packets(uint64_t id, bool nulls)
{
    return !nulls || id % 5 != 0;
}

/* The first batch whole; of the second a stretch, then rows with gaps; of the third too few for a table. */
static bool selected(uint64_t id)
{
    uint64_t row = id % ROWS;
    return id < ROWS || (id < 2 * ROWS ? row < 1000 || kit_mix(id, 6) % 2 == 0 : row % 100 == 0);
}

static void put_row(struct sc_column *const *columns, uint64_t id, const void *arg)
{
    const uint64_t values[] = {id,           KIT_WINDOW,   port_of(id), flags_of(id), packets_of(id),
                               bytes_of(id), first_of(id), last_of(id)};
    const bool *nulls = arg;
    for (uint32_t i = 0; i < 8; i++) {
        if ((i == 2 && port_of(id) == PORTS - 1) || (i == 4 && !has_packets(id, *nulls)))
            assert_int_equal(sc_column_put_null(columns[i]), SC_OK);
        else
            sc_column_put_u64(columns[i], values[i]);
    }
}

static char *make_store(bool nulls)
{
    static const enum query_column columns[] = {Q_ID,      Q_RECEIVED, Q_DESTINATION_PORT, Q_FLAGS,
                                                Q_PACKETS, Q_BYTES,    Q_FIRST_MS,         Q_LAST_MS};
    return query_make_store(columns, 8, PARTIALS, ROWS, put_row, &nulls);
}

static void add_record(struct totals *t, uint64_t id, bool nulls)
{
    bool fresh = t->flows == 0;
    t->flows++;
    t->bytes += bytes_of(id);
    t->flags |= flags_of(id);
    t->first = fresh || first_of(id) < t->first ? first_of(id) : t->first;
    t->last = fresh || last_of(id) > t->last ? last_of(id) : t->last;
    t->bytes_min = fresh || bytes_of(id) < t->bytes_min ? bytes_of(id) : t->bytes_min;
    t->bytes_max = fresh || bytes_of(id) > t->bytes_max ? bytes_of(id) : t->bytes_max;
    if (!has_packets(id, nulls))
        return;
    t->packets += packets_of(id);
    t->packets_min = !t->any_packets || packets_of(id) < t->packets_min ? packets_of(id) : t->packets_min;
    t->packets_max = !t->any_packets || packets_of(id) > t->packets_max ? packets_of(id) : t->packets_max;
    t->any_packets = true;
}

/* Each batch to a partial result of its own. */
static enum sc_status add_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                               struct sc_selection *selection, struct sc_error *err)
{
    struct sc_groups **partials = arg;
    const struct sc_column *ids;
    (void)thread;
    (void)unit;
    assert_int_equal(sc_row_group_column(group, query_rules[Q_ID].key, &ids, err), SC_OK);
    assert_non_null(ids);
    for (uint32_t row = 0; row < group->rows; row++) {
        if (!selected(sc_column_u64(ids, row))) {
            selection->rows[row / 64] &= ~(UINT64_C(1) << (row % 64));
            selection->count--;
            selection->all = false;
        }
    }
    return sc_groups_add_rows(partials[sc_column_u64(ids, 0) / ROWS], group, selection, err);
}

/* The result of all partial results, joined beginning with that of batch `begin`. */
static struct sc_groups *scan(const char *store, const struct sc_request *r, unsigned begin)
{
    struct sc_source source;
    struct sc_groups *partials[PARTIALS], *turned[PARTIALS];
    struct sc_error err = {0};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    struct sc_scan_consumer consumer = {.unit = add_unit, .arg = partials};
    struct sc_scan_stats stats = {0};
    for (unsigned t = 0; t < PARTIALS; t++) {
        partials[t] = sc_groups_create(&r->aggregate);
        assert_non_null(partials[t]);
    }
    query_open(&source, store);
    assert_int_equal(source.unit_count, PARTIALS);
    assert_int_equal(sc_scan_run(&source, &options, &consumer, &stats, &err), SC_OK);
    /* Two have a line of the cache for each value, the third has what groups it met. */
    assert_true(sc_groups_memory(partials[0]) >= (size_t)PORTS * 64);
    assert_true(sc_groups_memory(partials[1]) >= (size_t)PORTS * 64);
    assert_true(sc_groups_memory(partials[2]) < (size_t)PORTS * 64);
    for (unsigned t = 0; t < PARTIALS; t++)
        turned[t] = partials[(begin + t) % PARTIALS];
    assert_int_equal(sc_groups_join(turned, PARTIALS, NULL, 2, &err), SC_OK);
    for (unsigned t = 1; t < PARTIALS; t++) {
        assert_int_equal(sc_groups_count(turned[t]), 0);
        sc_groups_free(turned[t]);
    }
    sc_source_close(&source);
    return turned[0];
}

static void check_entry(const struct sc_request *r, const struct sc_groups *groups, const uint8_t *entry,
                        const struct totals *want)
{
    const uint64_t values[] = {want->flows,     want->packets,  want->bytes,       want->flags,
                               want->first,     want->last,     want->packets_min, want->packets_max,
                               want->bytes_min, want->bytes_max};
    for (uint32_t c = 1; c < r->column_count; c++) {
        struct sc_value v = sc_groups_value(groups, entry, &r->columns[c].result);
        bool packets = c == 2 || c == 7 || c == 8;
        assert_int_equal(v.null, packets && !want->any_packets);
        assert_int_equal(v.null ? 0 : v.u, v.null ? 0 : values[c - 1]);
    }
}

static void check(const struct sc_request *r, const struct sc_groups *groups, const struct totals *totals,
                  uint64_t limit)
{
    struct sc_result result;
    struct sc_error err = {0};
    uint64_t present = 0, previous = UINT64_MAX, better = 0;
    for (uint32_t p = 0; p < PORTS; p++)
        present += totals[p].flows != 0;
    assert_int_equal(sc_groups_count(groups), present);
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &result, &err), SC_OK);
    assert_int_equal(result.count, limit == 0 || limit > present ? present : limit);
    for (uint64_t i = 0; i < result.count; i++) {
        struct sc_value port = sc_groups_value(groups, result.entries[i], &r->columns[0].result);
        const struct totals *want = &totals[port.null ? PORTS - 1 : port.u];
        check_entry(r, groups, result.entries[i], want);
        assert_true(want->flows <= previous);
        previous = want->flows;
    }
    for (uint32_t p = 0; p < PORTS; p++)
        better += totals[p].flows > previous;
    assert_true(better < result.count);
    free(result.entries);
}

static void run(const char *fields, uint32_t accumulators, bool nulls)
{
    struct totals *totals = calloc(PORTS, sizeof(*totals));
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    char *store = make_store(nulls);
    assert_non_null(totals);
    assert_non_null(r);
    for (uint64_t id = 0; id < PARTIALS * ROWS; id++) {
        if (selected(id))
            add_record(&totals[port_of(id)], id, nulls);
    }
    assert_int_equal(sc_request_aggregate(NULL, "dstport", "flows#desc", fields, r, &err), SC_OK);
    assert_int_equal(r->aggregate.accumulator_count, accumulators);
    for (unsigned begin = 0; begin < PARTIALS; begin++) {
        struct sc_groups *groups = scan(store, r, begin);
        check(r, groups, totals, 0);
        check(r, groups, totals, 1);
        check(r, groups, totals, 100);
        check(r, groups, totals, 100000);
        sc_groups_free(groups);
    }
    free(totals);
    free(r);
    kit_remove(store);
}

static void one_sort_of_each(void **state)
{
    (void)state;
    run(FEW, 6, false);
}

static void values_that_are_null(void **state)
{
    (void)state;
    run(FEW, 6, true);
}

/* More than a byte tells of which were seen. */
static void many_accumulators(void **state)
{
    (void)state;
    run(MANY, 10, false);
    run(MANY, 10, true);
}

static void flows_alone(void **state)
{
    (void)state;
    run("flows", 1, false);
}

/* A limit that a table of all values would pass, and the few that there are do not. */
static void under_a_limit(void **state)
{
    (void)state;
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_filter *filter = query_parse("dst port 443");
    struct sc_error err = {0};
    char *store = make_store(false);
    struct sc_source source;
    struct sc_scan_options options = {.filter = filter, .time = Q_ALWAYS, .threads = 2};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_groups *groups = NULL;
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "dstport", "flows#desc", FEW, r, &err), SC_OK);
    query_open(&source, store);
    if (sc_query_aggregate(&source, &options, &r->aggregate, 1, 1 << 20, &groups, &summary, &stats, &err) !=
        SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(sc_groups_count(groups), 1);
    sc_groups_free(groups);
    sc_source_close(&source);
    sc_filter_free(filter);
    free(r);
    kit_remove(store);
}

UNIT(test_direct)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sort_of_each),  cmocka_unit_test(values_that_are_null),
        cmocka_unit_test(many_accumulators), cmocka_unit_test(flows_alone),
        cmocka_unit_test(under_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
