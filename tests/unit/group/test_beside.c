// SPDX-License-Identifier: BSD-3-Clause
/* Distinct values of very many groups, whose keys are of any layout: exact through threads, memory limits and top N, and where one group
 * has most of them. */
#include "group/part.h"
#include "group_kit.h"
#include "query_kit.h"

#include <fcntl.h>
#include <unistd.h>

#define BATCHES 6u
#define ROWS    60000u

/* Of `heavy` rows in 256 the group is number 1. */
struct shape {
    uint32_t groups, distinct, heavy;
};

static uint32_t group_of(uint64_t id, const struct shape *s)
{
    return kit_mix(id, 1) % 256 < s->heavy ? 1 : (uint32_t)(kit_mix(id, 2) % s->groups);
}

static uint32_t value_of(uint64_t id, const struct shape *s)
{
    return (uint32_t)(kit_mix(id, 3) % s->distinct);
}

static struct sc_addr address_of(uint32_t number, bool v6)
{
    struct sc_addr address = {
        {0x20, 1, 0xd,
         0xb8, [13] = (uint8_t)(number >> 16), [14] = (uint8_t)(number >> 8), [15] = (uint8_t)number}};
    return v6 ? address : sc_addr_v4(0x0a000000u + number);
}

/* Numbers that the element has no room for are in the widest layout. */
static uint64_t port_of(uint32_t group)
{
    return group % 11 == 10 ? 70000 + group : group % 256;
}

static void put_row(struct sc_column *const *columns, uint64_t id, const void *arg)
{
    const struct shape *s = arg;
    uint32_t group = group_of(id, s), value = value_of(id, s);
    struct sc_addr source = address_of(group, group % 3 == 2),
                   destination = address_of(value, value % 4 == 3);
    if (group == 0)
        assert_int_equal(sc_column_put_null(columns[0]), SC_OK);
    else
        sc_column_put_addr(columns[0], &source);
    if (value == 0)
        assert_int_equal(sc_column_put_null(columns[1]), SC_OK);
    else
        sc_column_put_addr(columns[1], &destination);
    sc_column_put_u64(columns[2], port_of(group));
}

struct truth {
    uint32_t *rows, *distinct; /* of each group */
};

static struct truth count_all(const struct shape *s)
{
    uint8_t *seen = calloc(s->groups, s->distinct);
    struct truth t = {calloc(s->groups, sizeof(uint32_t)), calloc(s->groups, sizeof(uint32_t))};
    assert_non_null(seen);
    assert_non_null(t.rows);
    assert_non_null(t.distinct);
    for (uint64_t id = 0; id < (uint64_t)BATCHES * ROWS; id++) {
        uint32_t group = group_of(id, s), value = value_of(id, s);
        uint8_t *mark = &seen[(size_t)group * s->distinct + value];
        t.rows[group]++;
        t.distinct[group] += value != 0 && *mark == 0;
        *mark = 1;
    }
    free(seen);
    return t;
}

static uint64_t count_groups(const struct truth *t, const struct shape *s)
{
    uint64_t n = 0;
    for (uint32_t g = 0; g < s->groups; g++)
        n += t->rows[g] != 0;
    return n;
}

static uint32_t group_in(const struct sc_value *source)
{
    return source->null
               ? 0
               : (uint32_t)source->addr.b[13] << 16 | (uint32_t)source->addr.b[14] << 8 | source->addr.b[15];
}

static void check(struct sc_groups *groups, const struct sc_request *r, uint64_t limit, const struct shape *s,
                  const struct truth *t)
{
    struct sc_result all;
    struct sc_error err = {0};
    uint64_t want = count_groups(t, s), before = UINT64_MAX;
    bool distinct_first =
        r->columns[2].result.source == SC_RESULT_DISTINCT; /* what is ordered by stands before the others */
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &all, &err), SC_OK);
    assert_int_equal(all.count, limit != 0 && limit < want ? limit : want);
    for (uint64_t i = 0; i < all.count; i++) {
        struct sc_value source = sc_groups_value(groups, all.entries[i], &r->columns[0].result);
        struct sc_value port = sc_groups_value(groups, all.entries[i], &r->columns[1].result);
        struct sc_value flows =
            sc_groups_value(groups, all.entries[i], &r->columns[2 + distinct_first].result);
        struct sc_value distinct =
            sc_groups_value(groups, all.entries[i], &r->columns[3 - distinct_first].result);
        uint32_t group = group_in(&source);
        assert_int_equal(port.u, port_of(group));
        assert_int_equal(flows.u, t->rows[group]);
        assert_false(distinct.null || distinct.estimated);
        assert_int_equal(distinct.u, t->distinct[group]);
        struct sc_value order = sc_groups_value(groups, all.entries[i], &r->orders[0].column);
        assert_true(order.u <= before);
        before = order.u;
    }
    free(all.entries);
}

static void ask(const char *store, const char *order, uint64_t limit, uint64_t memory, unsigned threads,
                const struct shape *s, const struct truth *t)
{
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_source source;
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_groups *groups = NULL;
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcip,dstport", order, "flows,distinct(dstip)", r, &err),
                     SC_OK);
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, limit};
    query_open(&source, store);
    if (sc_query_top(&source, &options, &top, 1, memory, &groups, &summary, &stats, &err) != SC_OK)
        fail_msg("%s", err.message);
    check(groups, r, limit, s, t);
    sc_groups_free(groups);
    sc_source_close(&source);
    free(r);
}

static void ask_all(const struct shape *s, uint64_t memory)
{
    static const enum query_column columns[] = {Q_SOURCE, Q_DESTINATION, Q_DESTINATION_PORT};
    char *store = query_make_store(columns, 3, BATCHES, ROWS, put_row, s);
    struct truth t = count_all(s);
    for (unsigned threads = 1; threads <= 4; threads++) {
        for (uint64_t limit = 0; limit <= 10; limit += 10) {
            ask(store, "distinct(dstip)", limit, 0, threads, s, &t);
            ask(store, "distinct(dstip)", limit, memory, threads, s, &t);
            ask(store, "flows", limit, 0, threads, s, &t);
        }
    }
    free(t.rows);
    free(t.distinct);
    kit_remove(store);
}

static void even(void **state)
{
    (void)state;
    ask_all(&(struct shape){3000, 3000, 0}, UINT64_C(24) << 20);
}

static void many(void **state)
{
    (void)state;
    ask_all(&(struct shape){100000, 50, 0}, UINT64_C(48) << 20);
}

/* One of 64 partitions has more than others, not too much for a thread. */
static void uneven(void **state)
{
    (void)state;
    ask_all(&(struct shape){20000, 60000 / 256, 30}, UINT64_C(24) << 20);
    ask_all(&(struct shape){200, 45000, 28}, UINT64_C(24) << 20);
}

/* The values leave their groups. */
static void crowded(void **state)
{
    (void)state;
    ask_all(&(struct shape){1000, 9000, 200}, UINT64_C(6) << 20);
    ask_all(&(struct shape){2, 100000, 0}, UINT64_C(64) << 20);
}

/* ---- partial results that meet ---- */

#define PARTIALS 3u
#define SOURCES  500u

static struct sc_request *make_request(void)
{
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcip", "distinct(dstip)", "distinct(dstip)", r, &err),
                     SC_OK);
    return r;
}

static void put_value(struct sc_groups *of, uint32_t source, uint32_t destination)
{
    struct sc_value values[SC_MAX_KEYS] = {{.addr = address_of(source, source % 3 == 0)},
                                           {.addr = address_of(destination, destination % 2 == 0)}};
    uint8_t row[KIT_ROW_BYTES] = {0};
    assert_true(kit_put_key(of, values, row));
    assert_non_null(sc_groups_find_entry(of, row));
}

/* Of each source a hundred values, half of which the next one has, too; and of the first one `more`. */
static struct sc_groups *make_partial(const struct sc_request *r, uint32_t number, bool apart, uint32_t more)
{
    struct sc_groups *groups = sc_groups_create(&r->aggregate);
    uint32_t count;
    assert_non_null(groups);
    if (apart)
        sc_groups_keep_values(groups);
    assert_int_equal(sc_groups_make_values(groups, &count), SC_OK);
    struct sc_groups *of = *sc_groups_values(groups, 0);
    for (uint32_t n = 0; n < 100 * SOURCES; n++)
        put_value(of, n % SOURCES, n / SOURCES + number * 50);
    for (uint32_t n = 0; n < more; n++)
        put_value(of, 0, 1000 + n);
    return groups;
}

/* Some partial results have them beside their groups, others not: the first rows of one of them were of one group. */
static void of_both_kinds(void **state)
{
    (void)state;
    struct sc_request *r = make_request();
    struct sc_groups *partials[PARTIALS];
    struct sc_error err = {0};
    struct sc_result all;
    for (uint32_t p = 0; p < PARTIALS; p++)
        partials[p] = make_partial(r, p, p == 1, 0);
    assert_int_equal(sc_groups_join(partials, PARTIALS, NULL, 2, &err), SC_OK);
    assert_int_equal(sc_groups_top(partials[0], r->orders, r->order_count, 0, &all, &err), SC_OK);
    assert_int_equal(all.count, SOURCES);
    for (uint64_t i = 0; i < all.count; i++)
        assert_int_equal(sc_groups_value(partials[0], all.entries[i], &r->columns[1].result).u, 200);
    free(all.entries);
    for (uint32_t p = 0; p < PARTIALS; p++)
        sc_groups_free(partials[p]);
    free(r);
}

/* Values that a file holds, and that leave their groups, and the file gives nothing back: that is what is told. */
static void a_file_that_fails(void **state)
{
    (void)state;
    struct sc_request *r = make_request();
    for (uint32_t more = 0; more <= 100000; more += 100000) {
        struct sc_groups *groups = make_partial(r, 0, false, more), *of = *sc_groups_values(groups, 0);
        struct sc_error err = {0};
        int empty = open("/dev/null", O_RDWR);
        sc_groups_set_memory_limit(of, 1 << 20, 1);
        assert_int_equal(sc_groups_consider_spill(of, 1), SC_OK);
        assert_non_null(of->spill.file);
        assert_true(empty >= 0 && dup2(empty, of->spill.file->fd) >= 0);
        close(empty);
        assert_int_equal(sc_groups_join(&groups, 1, NULL, 2, &err), SC_FULL);
        assert_non_null(strstr(err.message, "$TMPDIR"));
        sc_groups_free(groups);
    }
    free(r);
}

/* Nobody waits any more: whether values are moved, or counted. */
static void cancelled(void **state)
{
    (void)state;
    struct sc_request *r = make_request();
    for (uint32_t more = 0; more <= 100000; more += 100000) {
        struct sc_groups *groups = make_partial(r, 0, false, more);
        struct sc_error err = {0};
        atomic_int cancel = 1;
        sc_groups_set_cancel(groups, &cancel);
        assert_int_equal(sc_groups_join(&groups, 1, NULL, 2, &err), SC_CANCELLED);
        sc_groups_free(groups);
    }
    free(r);
}

UNIT(test_beside)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(even),          cmocka_unit_test(many),
                                       cmocka_unit_test(uneven),        cmocka_unit_test(crowded),
                                       cmocka_unit_test(of_both_kinds), cmocka_unit_test(a_file_that_fails),
                                       cmocka_unit_test(cancelled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
