// SPDX-License-Identifier: BSD-3-Clause
/* The first groups of several ranks by a sum, by cells: rank 0 has those that a table of all sums has, or all ranks sum everything. */
#include "cluster/cells.h"
#include "cluster/reduce.h"
#include "query_kit.h"
#include "ranks_threads.h"

#define MAX_RANKS 6u
#define ROWS      48000u /* of each rank */
#define PORTS     4u
#define SOURCES   6000u

/* ---- numbers of 16 bits ---- */

static void rounded_numbers(void **state)
{
    (void)state;
    uint64_t seed = 1, last = 0;
    assert_int_equal(sc_cell_value(sc_cell_round(0)), 0);
    assert_true(sc_cell_value(sc_cell_round(UINT64_MAX)) == UINT64_MAX);
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t value = kit_random(&seed) & kit_mask(i % 65), rounded = sc_cell_value(sc_cell_round(value));
        assert_true(rounded >= value);
        assert_true(rounded == UINT64_MAX || rounded - value <= value / 256);
        if (i < 2000)
            assert_true(sc_cell_value(sc_cell_round(i)) >= last);
        last = i < 2000 ? sc_cell_value(sc_cell_round(i)) : last;
    }
}

/* ---- stores, and what they add up to ---- */

static char *stores[MAX_RANKS];
static uint64_t sums[SOURCES * PORTS]; /* of the first `ranks` */

/* Few are large, or all are alike. */
static uint64_t bytes_of(uint32_t rank, uint32_t row, bool flat)
{
    uint64_t h = kit_mix(row, 1000 + rank);
    return flat ? 100 : 1 + (h & kit_mask(4 + (h >> 40) % 28));
}

static uint32_t group_of(uint32_t rank, uint32_t row)
{
    uint64_t h = kit_mix(row, rank);
    return (uint32_t)(h % SOURCES) * PORTS + (uint32_t)(h >> 32) % PORTS;
}

static struct sc_batch *make_batch(uint32_t rank, uint32_t first, uint32_t rows, bool flat)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    batch->window_ms = KIT_WINDOW;
    struct sc_column *c = sc_batch_begin(batch, query_rules[Q_BYTES].key, NULL, 8, rows);
    for (uint32_t row = first; row < first + rows; row++)
        sc_column_put_u64(c, bytes_of(rank, row, flat));
    c = sc_batch_begin(batch, query_rules[Q_SOURCE].key, NULL, 16, rows);
    for (uint32_t row = first; row < first + rows; row++) {
        struct sc_addr address = sc_addr_v4(0x0a000000u + group_of(rank, row) / PORTS);
        sc_column_put_addr(c, &address);
    }
    c = sc_batch_begin(batch, query_rules[Q_SOURCE_PORT].key, NULL, 2, rows);
    for (uint32_t row = first; row < first + rows; row++)
        sc_column_put_u64(c, group_of(rank, row) % PORTS);
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    return batch;
}

static void make_stores(bool flat)
{
    struct sc_error err = {0};
    for (uint32_t rank = 0; rank < MAX_RANKS; rank++) {
        stores[rank] = kit_folder();
        struct sc_store_writer *w = sc_store_writer_open(stores[rank], NULL, &err);
        assert_non_null(w);
        for (uint32_t first = 0; first < ROWS; first += ROWS / 6) {
            struct sc_batch *batch = make_batch(rank, first, ROWS / 6, flat);
            query_append(w, batch);
            sc_batch_free(batch);
        }
        assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    }
}

static void add_up(uint32_t ranks, bool flat)
{
    memset(sums, 0, sizeof(sums));
    for (uint32_t rank = 0; rank < ranks; rank++) {
        for (uint32_t row = 0; row < ROWS; row++)
            sums[group_of(rank, row)] += bytes_of(rank, row, flat);
    }
}

static int descending(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a < b) - (a > b);
}

/* ---- ranks ---- */

struct rank {
    struct sc_ranks ranks;
    struct sc_source source;
    struct sc_request request;
    struct sc_top top;
    struct sc_cluster_top all;
    struct sc_scan_options options;
    struct sc_scan_stats stats;
    struct sc_reduce_stats reduced;
    struct sc_summary summary;
    struct sc_groups *groups;
    struct sc_error err;
    enum sc_status status;
    atomic_int cancel;
    pthread_t thread;
};

/* One is stopped before it begins. */
static void *rank_main(void *arg)
{
    struct rank *r = arg;
    r->status = sc_cluster_top(&r->ranks, &r->all, &r->groups, &r->err);
    if (r->status == SC_OK && !r->all.reduced)
        r->status = sc_reduce_groups(&r->ranks, &r->all.wish, &r->request.aggregate, &r->groups, &r->reduced,
                                     &r->err);
    return NULL;
}

static void prepare(struct rank *r, uint32_t number, uint64_t limit, const char *keys, bool stopped)
{
    query_open(&r->source, stores[number]);
    assert_int_equal(sc_request_aggregate(NULL, keys, "bytes", "bytes,flows", &r->request, &r->err), SC_OK);
    r->request.aggregate.seed = 77;
    r->top = (struct sc_top){&r->request.aggregate, r->request.orders, r->request.order_count, limit};
    r->cancel = stopped;
    r->options = (struct sc_scan_options){.time = Q_ALWAYS, .threads = 1 + number % 2, .cancel = &r->cancel};
    r->all = (struct sc_cluster_top){
        .by = {.source = &r->source,
               .options = &r->options,
               .top = &r->top,
               .memory_limit = 1500000, /* a thread has many groups soon */
               .keep_values = true,
               .stats = &r->stats},
        .wish = {.orders = r->request.orders, .order_count = r->request.order_count, .limit = limit},
        .summary = &r->summary,
        .stats = &r->reduced};
    assert_true(sc_by_cells_suits(&r->top));
}

static void check(struct rank *root, uint64_t limit)
{
    struct sc_result first;
    uint64_t sorted[SOURCES * PORTS];
    memcpy(sorted, sums, sizeof(sums));
    qsort(sorted, SOURCES * PORTS, sizeof(*sorted), descending);
    assert_int_equal(
        sc_groups_top(root->groups, root->request.orders, root->request.order_count, limit, &first, NULL),
        SC_OK);
    assert_int_equal(first.count, limit);
    for (uint64_t i = 0; i < first.count; i++) {
        struct sc_value source =
            sc_groups_value(root->groups, first.entries[i], &root->request.columns[0].result);
        struct sc_value port =
            sc_groups_value(root->groups, first.entries[i], &root->request.columns[1].result);
        struct sc_value bytes =
            sc_groups_value(root->groups, first.entries[i], &root->request.orders[0].column);
        uint32_t number = (uint32_t)source.addr.b[14] << 8 | source.addr.b[15];
        assert_int_equal(bytes.u, sorted[i]);
        assert_int_equal(bytes.u, sums[number * PORTS + port.u]);
    }
    free(first.entries);
}

/* Returns whether it was by cells. */
static bool run(uint32_t count, uint64_t limit, bool stopped)
{
    struct sc_ranks_threads *threads = sc_ranks_threads_create(count);
    struct rank *ranks = calloc(count, sizeof(*ranks));
    assert_non_null(threads);
    assert_non_null(ranks);
    for (uint32_t i = 0; i < count; i++) {
        ranks[i].ranks = sc_ranks_threads_rank(threads, i);
        prepare(&ranks[i], i, limit, "srcip,srcport", stopped && i == count - 1);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]), 0);
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(ranks[i].thread, NULL);
        assert_int_equal(ranks[i].status, stopped ? SC_CANCELLED : SC_OK);
        assert_int_equal(ranks[i].all.reduced, ranks[0].all.reduced);
        assert_true(stopped || i == 0 || ranks[i].groups == NULL);
        assert_true(stopped || ranks[i].summary.records == ROWS);
    }
    bool reduced = ranks[0].all.reduced;
    if (!stopped)
        check(&ranks[0], limit);
    for (uint32_t i = 0; i < count; i++) {
        sc_groups_free(ranks[i].groups);
        sc_source_close(&ranks[i].source);
    }
    free(ranks);
    sc_ranks_threads_free(threads);
    return reduced;
}

static void tops(bool flat)
{
    static const uint64_t limits[] = {1, 10, 100};
    unsigned by_cells = 0;
    make_stores(flat);
    for (uint32_t count = 1; count <= MAX_RANKS; count++) {
        add_up(count, flat);
        for (unsigned i = 0; i < 3; i++)
            by_cells += run(count, limits[i], false);
        run(count, 10, true);
    }
    printf("# %u of %u by cells\n", by_cells, 3 * MAX_RANKS);
    assert_true(flat || by_cells >= MAX_RANKS);
    for (uint32_t i = 0; i < MAX_RANKS; i++)
        kit_remove(stores[i]);
}

static void tops_of_uneven_sums(void **state)
{
    (void)state;
    tops(false);
}

/* Cells prove nothing, and all is summed. */
static void tops_of_sums_alike(void **state)
{
    (void)state;
    tops(true);
}

UNIT(test_cells)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounded_numbers),
        cmocka_unit_test(tops_of_uneven_sums),
        cmocka_unit_test(tops_of_sums_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
