// SPDX-License-Identifier: BSD-3-Clause
/*
 * Ranks without memory: the n-th allocation of any of them fails, for every n until the work succeeds. All ranks end, those that
 * could not go on say so, and nothing leaks.
 */
#include "cluster/cells.h"
#include "cluster/listing.h"
#include "cluster/reduce.h"
#include "cluster/share.h"
#include "group/part.h"
#include "group_kit.h"
#include "nomem_kit.h"
#include "query_kit.h"
#include "ranks_threads.h"

#define RANKS 3u

/* ---- ranks ---- */

struct rank {
    struct sc_ranks ranks, under;
    struct sc_ranks_threads *threads;
    enum sc_status (*work)(struct rank *r);
    pthread_t thread;
    enum sc_status status;
    struct sc_error err;
    /* of reductions */
    const struct sc_reduce_wish *wish;
    struct sc_aggregate aggregate;
    struct sc_groups *groups;
    bool reduced;
    /* of listings */
    const struct sc_listing *listing;
    struct sc_source source;
    uint64_t written;
};

/* A pass that fails ends the others, as the one who started them would. */
static enum sc_status pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                           struct sc_buf *receive, struct sc_error *err)
{
    struct rank *r = arg;
    enum sc_status status = r->under.pass(r->under.arg, to, send, from, receive, err);
    if (status != SC_OK)
        sc_ranks_threads_stop(r->threads);
    return status;
}

static void *rank_main(void *arg)
{
    struct rank *r = arg;
    r->status = r->work(r);
    if (r->status != SC_OK) /* also where it could not pass a number */
        sc_ranks_threads_stop(r->threads);
    return NULL;
}

/* True when all succeeded, none was refused anything. */
static bool run(struct rank *ranks, long n)
{
    struct sc_ranks_threads *threads = sc_ranks_threads_create(RANKS);
    bool failed = false;
    assert_non_null(threads);
    nomem_arm(n, false);
    for (uint32_t i = 0; i < RANKS; i++) {
        ranks[i].threads = threads;
        ranks[i].under = sc_ranks_threads_rank(threads, i);
        ranks[i].ranks = (struct sc_ranks){.rank = i, .count = RANKS, .pass = pass, .arg = &ranks[i]};
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]), 0);
    }
    for (uint32_t i = 0; i < RANKS; i++)
        pthread_join(ranks[i].thread, NULL);
    bool whole = !nomem_disarm();
    for (uint32_t i = 0; i < RANKS; i++) {
        failed = failed || ranks[i].status != SC_OK;
        if (ranks[i].status != SC_OK && ranks[i].status != SC_NOMEM && ranks[i].status != SC_CANCELLED &&
            ranks[i].status != SC_FULL) /* no memory for a file */
            fail_msg("allocation %ld: %s", n, ranks[i].err.message);
    }
    sc_ranks_threads_free(threads);
    if (whole)
        assert_false(failed);
    return whole;
}

/* ---- groups ---- */

static enum sc_status reduce(struct rank *r)
{
    struct sc_reduce_stats stats;
    return sc_reduce_groups(&r->ranks, r->wish, &r->aggregate, &r->groups, &stats, &r->err);
}

static void add_values(struct sc_groups *groups, struct sc_value *values)
{
    uint32_t count;
    assert_int_equal(sc_groups_make_values(groups, &count), SC_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct sc_groups *of = *sc_groups_values(groups, i);
        uint8_t row[KIT_ROW_BYTES] = {0};
        assert_true(kit_put_key(of, values, row));
        assert_non_null(sc_groups_find_entry(of, row));
    }
}

static void add_row(struct sc_groups *groups, uint32_t number, bool wide)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_addr address = sc_addr_v4(number);
    struct sc_value values[SC_MAX_KEYS] = {{.addr = address},
                                           {.u = number % 7 | (wide ? UINT64_C(1) << 40 : 0)}};
    uint8_t row[KIT_ROW_BYTES] = {0};
    assert_true(kit_put_key(groups, values, row));
    uint32_t sums = a->accumulator_count;
    while (!sc_accumulates_rows(a->accumulators[sums - 1].how))
        sums--;
    sc_entry_set_seen(a, row, (1u << sums) - 1);
    for (uint32_t i = 0; i < sums; i++)
        sc_store_le64(row + (size_t)8 * i, 1 + 1000 / (number + 1));
    uint8_t *entry = sc_groups_find_entry(groups, row);
    assert_non_null(entry);
    sc_groups_combine(a, entry, row);
    add_values(groups, values); /* the last one is null */
}

static bool reduce_once(const struct sc_request *request, enum sc_reduce_way way, uint32_t groups, long n)
{
    struct rank ranks[RANKS] = {0};
    struct sc_reduce_wish wish = {
        .orders = request->orders, .order_count = request->order_count, .limit = 5, .way = way};
    for (uint32_t i = 0; i < RANKS; i++) {
        ranks[i].work = reduce;
        ranks[i].wish = &wish;
        ranks[i].aggregate = request->aggregate;
        sc_aggregate_prepare(&ranks[i].aggregate);
        ranks[i].groups = sc_groups_create(&ranks[i].aggregate);
        assert_non_null(ranks[i].groups);
        sc_groups_keep_values(ranks[i].groups);
        for (uint32_t g = 0; g < groups; g++)
            add_row(ranks[i].groups, g + groups / 10 * i, g % 3 == 0);
    }
    bool whole = run(ranks, n);
    if (whole)
        assert_non_null(ranks[0].groups);
    for (uint32_t i = 0; i < RANKS; i++)
        sc_groups_free(ranks[i].groups);
    return whole;
}

static void groups_of(const char *fields, uint32_t groups)
{
    struct sc_request *request = malloc(sizeof(*request));
    struct sc_error err;
    assert_non_null(request);
    assert_int_equal(sc_request_aggregate(NULL, "srcip,dstport", "bytes", fields, request, &err), SC_OK);
    for (enum sc_reduce_way way = SC_REDUCE_GATHER; way <= SC_REDUCE_TPUT; way++) {
        long n = 0;
        while (!reduce_once(request, way, groups, n))
            n++;
        assert_true(n > 10);
    }
    free(request);
}

static void groups_without_memory(void **state)
{
    (void)state;
    groups_of("flows", 200);
}

static void values_without_memory(void **state)
{
    (void)state;
    groups_of("flows,distinct(dstip),p50(packets)", 10);
}

/* ---- records ---- */

static bool count_bytes(void *arg, const void *bytes, size_t count)
{
    struct rank *r = arg;
    (void)bytes;
    r->written += count;
    return true;
}

static enum sc_status list(struct rank *r)
{
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    struct sc_sink sink = {count_bytes, r};
    struct sc_summary summary;
    struct sc_scan_stats stats;
    struct sc_cluster_list_stats list_stats;
    return sc_cluster_list(&r->ranks, &r->source, &options, r->listing, &sink, &summary, &stats, &list_stats,
                           &r->err);
}

static bool list_once(const struct query_table *table, const struct sc_listing *listing, long n)
{
    struct rank ranks[RANKS] = {0};
    for (uint32_t i = 0; i < RANKS; i++) {
        ranks[i].work = list;
        ranks[i].listing = listing;
        query_open(&ranks[i].source, table->store);
    }
    bool whole = run(ranks, n);
    if (whole)
        assert_true(ranks[0].written > 0);
    for (uint32_t i = 0; i < RANKS; i++)
        sc_source_close(&ranks[i].source);
    return whole;
}

static void records_without_memory(void **state)
{
    (void)state;
    struct query_table table;
    struct sc_request_listing *request = malloc(sizeof(*request));
    struct sc_error err;
    assert_non_null(request);
    query_table_make(&table, 5, 2, 20);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(sc_request_list(NULL, "flowId,srcip,bytes", i == 0 ? NULL : "bytes", request, &err),
                         SC_OK);
        struct sc_output_options options = {.format = SC_OUTPUT_PRETTY};
        struct sc_listing listing = {.output =
                                         sc_output_create(&options, request->columns, request->column_count),
                                     .fields = request->fields,
                                     .field_count = request->column_count,
                                     .orders = request->orders,
                                     .order_count = request->order_count,
                                     .limit = i == 0 ? 7 : 0,
                                     .separator = "",
                                     .summarize = true,
                                     .fit = true};
        long n = 0;
        while (!list_once(&table, &listing, n))
            n++;
        assert_true(n > 10);
        sc_output_free(listing.output);
    }
    query_table_free(&table);
    free(request);
}

/* ---- the first of many groups, by cells ---- */

static enum sc_status top(struct rank *r)
{
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    const struct sc_top first = {&r->aggregate, r->wish->orders, r->wish->order_count, r->wish->limit};
    struct sc_scan_stats stats = {0};
    struct sc_reduce_stats reduced;
    struct sc_summary summary;
    struct sc_cluster_top all = {.by = {.source = &r->source,
                                        .options = &options,
                                        .top = &first,
                                        .memory_limit = 140000, /* more than a thousand groups are many */
                                        .keep_values = true,
                                        .stats = &stats},
                                 .wish = *r->wish,
                                 .summary = &summary,
                                 .stats = &reduced};
    enum sc_status status = sc_cluster_top(&r->ranks, &all, &r->groups, &r->err);
    r->reduced = all.reduced;
    return status;
}

static bool top_once(const struct query_table *tables, const struct sc_request *request, long n)
{
    struct rank ranks[RANKS] = {0};
    const struct sc_reduce_wish wish = {
        .orders = request->orders, .order_count = request->order_count, .limit = 1};
    for (uint32_t i = 0; i < RANKS; i++) {
        ranks[i].work = top;
        ranks[i].wish = &wish;
        ranks[i].aggregate = request->aggregate;
        sc_aggregate_prepare(&ranks[i].aggregate);
        query_open(&ranks[i].source, tables[i].store);
    }
    bool whole = run(ranks, n);
    if (whole)
        assert_true(ranks[0].reduced);
    for (uint32_t i = 0; i < RANKS; i++) {
        sc_groups_free(ranks[i].groups);
        sc_source_close(&ranks[i].source);
    }
    return whole;
}

static void cells_without_memory(void **state)
{
    (void)state;
    struct query_table tables[RANKS];
    struct sc_request *request = malloc(sizeof(*request));
    struct sc_error err;
    long n = 0;
    assert_non_null(request);
    for (uint32_t i = 0; i < RANKS; i++)
        query_table_make(&tables[i], 5 + i, 2, 6000);
    assert_int_equal(sc_request_aggregate(NULL, "flowId", "bytes", "flows", request, &err), SC_OK);
    request->aggregate.seed =
        1; /* of a drawn one, cells may prove nothing, and the limit is too low for all groups */
    while (!top_once(tables, request, n))
        n++;
    assert_true(n > 10);
    for (uint32_t i = 0; i < RANKS; i++)
        query_table_free(&tables[i]);
    free(request);
}

/* ---- what ranks have in common ---- */

struct common {
    struct sc_words words;
    struct sc_ie_learned learned;
    struct sc_stored_columns columns;
};

static enum sc_status know_something(struct rank *r, struct common *c)
{
    struct sc_ie_definition d = {.pen = 64999, .id = (uint16_t)(r->ranks.rank + 1), .type = 4};
    const uint8_t column[] = {0xe7, 0xfd, 0, 0, (uint8_t)(r->ranks.rank + 1), 0, 0, SC_COLUMN_BYTES, 1};
    struct sc_cursor in = {.data = column, .len = sizeof(column)};
    if (r->ranks.rank == 0)
        sc_words_add(&c->words, "sc-query");
    if (sc_ie_learned_add(&c->learned, &d) == SC_IE_NOMEM)
        return SC_NOMEM;
    sc_stored_columns_init(&c->columns, &c->learned);
    return sc_stored_columns_take(&c->columns, &in, &r->err);
}

static enum sc_status share_all(struct rank *r, struct common *c)
{
    const struct sc_muster muster = {&r->ranks, "n", -1};
    struct sc_row_stats totals;
    sc_row_stats_init(&totals);
    SC_TRY(know_something(r, c));
    SC_TRY(sc_muster_version(&muster, "1", &r->err));
    SC_TRY(sc_muster_excuse(&muster, "", &r->err));
    SC_TRY(sc_share_words(&r->ranks, &c->words, &r->err));
    SC_TRY(sc_share_learned(&r->ranks, &c->learned, &r->err));
    SC_TRY(sc_share_columns(&r->ranks, &c->columns, &r->err));
    enum sc_status status = sc_share_totals(&r->ranks, &totals, &r->err);
    sc_row_stats_free(&totals);
    return status;
}

static enum sc_status share(struct rank *r)
{
    struct common c = {0};
    enum sc_status status = share_all(r, &c);
    if (status == SC_OK) {
        assert_int_equal(c.words.count, 1);
        assert_int_equal(c.learned.count, RANKS);
        assert_int_equal(c.columns.schema.count, RANKS);
    }
    sc_words_free(&c.words);
    sc_stored_columns_free(&c.columns);
    sc_ie_learned_free(&c.learned);
    return status;
}

static void what_is_common_without_memory(void **state)
{
    bool whole = false;
    long n = 0;
    (void)state;
    for (; !whole; n++) {
        struct rank ranks[RANKS] = {0};
        for (uint32_t i = 0; i < RANKS; i++)
            ranks[i].work = share;
        whole = run(ranks, n);
    }
    assert_true(n > 10);
}

UNIT(test_nomem)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_common_without_memory), cmocka_unit_test(groups_without_memory),
        cmocka_unit_test(values_without_memory),         cmocka_unit_test(records_without_memory),
        cmocka_unit_test(cells_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
