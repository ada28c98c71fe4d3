// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sums that 64 bits do not hold: they stay at 2^64-1 and say so, in a group, in what is made of them, in the summary from columns and
 * from statistics, in the totals by protocol that are stored, and wherever partial results are put together.
 */
#include "base/saturate.h"

#include "query_kit.h"

#define HALF     (UINT64_C(1) << 63)
#define BATCHES  3u
#define ROWS     100u
#define TCP_EACH 7u /* bytes of each TCP flow */

enum { RECEIVED, PROTO, BYTES, PACKETS, COLUMNS };

/* UDP flows of 2^63 + 500 bytes, two of three in each batch; the others are TCP. */
static uint64_t cell(unsigned column, uint32_t row)
{
    static const uint64_t of_udp[COLUMNS] = {KIT_WINDOW, 17, HALF + 500, 3};
    static const uint64_t of_tcp[COLUMNS] = {KIT_WINDOW, 6, TCP_EACH, 1};
    return row % 3 == 0 ? of_tcp[column] : of_udp[column];
}

static char *make_store(void)
{
    static const enum query_column columns[COLUMNS] = {Q_RECEIVED, Q_PROTO, Q_BYTES, Q_PACKETS};
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    for (unsigned b = 0; b < BATCHES; b++) {
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        batch->window_ms = KIT_WINDOW;
        for (unsigned i = 0; i < COLUMNS; i++) {
            struct sc_column *c = sc_batch_begin(batch, query_rules[columns[i]].key, NULL, 8, ROWS);
            assert_non_null(c);
            for (uint32_t row = 0; row < ROWS; row++)
                sc_column_put_u64(c, cell(i, row));
        }
        sc_batch_commit(batch, ROWS);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    return store;
}

static const uint64_t tcp_flows = BATCHES * ((ROWS + 2) / 3);

static struct sc_groups *group(struct sc_source *source, const struct sc_filter *filter, unsigned threads,
                               struct sc_request *r, struct sc_summary *summary)
{
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads, .filter = filter};
    struct sc_scan_stats stats = {0};
    struct sc_error err = {0};
    struct sc_groups *groups;
    assert_int_equal(sc_request_aggregate(NULL, "proto", "bytes#desc",
                                          "bytes,avg(bytes),bpp,packets,min(bytes),max(bytes)", r, &err),
                     SC_OK);
    assert_int_equal(
        sc_query_aggregate(source, &options, &r->aggregate, 1, 0, &groups, summary, &stats, &err), SC_OK);
    return groups;
}

static void check_groups(const struct sc_request *r, const struct sc_groups *groups)
{
    static const char *const made_of_sums[] = {"bytes", "avg(bytes)", "bpp"};
    struct sc_result top;
    struct sc_error err;
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &top, &err), SC_OK);
    assert_int_equal(top.count, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(query_result_value(r, groups, top.entries[0], made_of_sums[i]).saturated);
        assert_false(query_result_value(r, groups, top.entries[1], made_of_sums[i]).saturated);
    }
    assert_true(query_result_value(r, groups, top.entries[0], "proto").u == 17);
    assert_true(query_result_value(r, groups, top.entries[0], "bytes").u == UINT64_MAX);
    assert_true(query_result_value(r, groups, top.entries[1], "bytes").u == TCP_EACH * tcp_flows);
    assert_true(query_result_value(r, groups, top.entries[0], "packets").u ==
                3 * (BATCHES * ROWS - tcp_flows));
    assert_true(query_result_value(r, groups, top.entries[0], "max(bytes)").u == HALF + 500);
    assert_false(query_result_value(r, groups, top.entries[0], "packets").saturated);
    assert_false(query_result_value(r, groups, top.entries[0], "max(bytes)").saturated);
    free(top.entries);
}

static void sums_of_groups(void **state)
{
    struct sc_request *r = malloc(sizeof(*r));
    char *store = make_store();
    struct sc_source source;
    struct sc_summary summary;
    (void)state;
    assert_non_null(r);
    query_open(&source, store);
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct sc_groups *groups = group(&source, NULL, threads, r, &summary);
        check_groups(r, groups);
        assert_true(summary.bytes == SC_SATURATED); /* from statistics */
        assert_true(summary.packets == tcp_flows + 3 * (BATCHES * ROWS - tcp_flows));
        sc_groups_free(groups);
    }
    sc_source_close(&source);
    kit_remove(store);
    free(r);
}

/* Read from the columns: all flows, and those whose sum is small. */
static void sums_of_a_filter(void **state)
{
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_filter *small = query_parse("bytes < 1000"), *great = query_parse("bytes > 1000");
    char *store = make_store();
    struct sc_source source;
    struct sc_summary summary;
    (void)state;
    assert_non_null(r);
    query_open(&source, store);
    sc_groups_free(group(&source, small, 1, r, &summary));
    assert_true(summary.bytes == TCP_EACH * tcp_flows);
    sc_groups_free(group(&source, great, 1, r, &summary));
    assert_true(summary.bytes == SC_SATURATED);
    sc_source_close(&source);
    sc_filter_free(small);
    sc_filter_free(great);
    kit_remove(store);
    free(r);
}

/* As ranks do it: what was saturated stays so, what was not is added up. */
static void sums_of_ranks(void **state)
{
    struct sc_request *r = malloc(sizeof(*r));
    char *store = make_store();
    struct sc_source source;
    struct sc_summary summary, sum = {.bytes = HALF};
    struct sc_buf bytes = {0};
    struct sc_error err;
    (void)state;
    assert_non_null(r);
    query_open(&source, store);
    struct sc_groups *groups = group(&source, NULL, 1, r, &summary), *to = sc_groups_create(&r->aggregate);
    assert_non_null(to);
    assert_int_equal(sc_groups_write(groups, &bytes), SC_OK);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sc_groups_read(to, bytes.data, bytes.len, &err), SC_OK);
    struct sc_result top;
    assert_int_equal(sc_groups_top(to, r->orders, r->order_count, 0, &top, &err), SC_OK);
    assert_true(query_result_value(r, to, top.entries[0], "bytes").u == UINT64_MAX);
    assert_true(query_result_value(r, to, top.entries[1], "bytes").u == 2 * TCP_EACH * tcp_flows);
    free(top.entries);
    summary = sum;
    sc_summary_merge(&sum, &summary);
    assert_true(sum.bytes == SC_SATURATED);
    sc_buf_free(&bytes);
    sc_groups_free(groups);
    sc_groups_free(to);
    sc_source_close(&source);
    kit_remove(store);
    free(r);
}

/* What answers totals by protocol without a scan. */
static void stored_totals(void **state)
{
    char *store = make_store();
    struct sc_source source;
    struct sc_row_stats all;
    (void)state;
    query_open(&source, store);
    sc_row_stats_init(&all);
    for (uint32_t i = 0; i < source.segment_count; i++)
        assert_int_equal(sc_row_stats_merge(&all, &source.segments[i]->flow_stats), SC_OK);
    assert_int_equal(all.protocol_count, 2);
    assert_true(all.protocols[0].protocol == 6 && all.protocols[0].bytes == TCP_EACH * tcp_flows);
    assert_true(all.protocols[1].protocol == 17 && all.protocols[1].bytes == SC_SATURATED);
    assert_true(all.protocols[1].records == BATCHES * ROWS - tcp_flows);
    sc_row_stats_free(&all);
    sc_source_close(&source);
    kit_remove(store);
}

UNIT(test_saturate)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_groups),
        cmocka_unit_test(sums_of_a_filter),
        cmocka_unit_test(sums_of_ranks),
        cmocka_unit_test(stored_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
