// SPDX-License-Identifier: BSD-3-Clause
/* The first N of very many groups: two scans, the second of closed groups; stopped anywhere; memory limits. */
#include "aggregate_kit.h"

/* So many groups that sc_query_top sums what the order needs; under this limit they go to a file. */
static void top_of_many_groups(void **state)
{
    (void)state;
    struct query_table t = {.seed = 8, .store = kit_folder()};
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(t.store, NULL, &err);
    struct sc_request *r = calloc(2, sizeof(*r));
    assert_non_null(r);
    assert_non_null(w);
    for (unsigned b = 0; b < 8; b++) {
        struct sc_batch *batch = kit_batch(b * 30000, 30000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, t.store);
    for (unsigned round = 0; round < 2; round++) {
        const char *order = round == 0 ? "bytes#desc" : "flows#desc,packets#asc";
        char *want, *got;
        assert_int_equal(
            sc_request_aggregate(NULL, "flowId,srcip,dstip,srcport", order,
                                 round == 0 ? NULL : "max(packets),bpp,min(bytes),avg(bytes),first,last",
                                 &r[0], &err),
            SC_OK);
        assert_int_equal(sc_request_aggregate(NULL, "srcip/24/64", "bytes", NULL, &r[1], &err), SC_OK);
        struct sc_aggregate aggregates[2] = {r[0].aggregate, r[1].aggregate};
        struct sc_top tops[2];
        for (unsigned i = 0; i < 2; i++)
            tops[i] = (struct sc_top){&aggregates[i], r[i].orders, r[i].order_count, 20};
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 2};
        struct sc_groups *groups[2];
        struct sc_summary summary;
        struct sc_scan_stats stats = {0};
        assert_int_equal(sc_query_top(&source, &options, tops, 2, 16000000, groups, &summary, &stats, &err),
                         SC_OK);
        assert_int_equal(summary.records, 240000);
        assert_true(sc_groups_count(groups[0]) == 20); /* the two scans were made */
        for (unsigned i = 0; i < 2; i++) {
            struct sc_summary unused;
            struct sc_groups *full = run(&source, NULL, NULL, false, 1, &r[i], &unused);
            want = dump(&r[i], full, 20);
            got = dump(&r[i], groups[i], 20);
            assert_string_equal(got, want);
            free(want);
            free(got);
            sc_groups_free(full);
            sc_groups_free(groups[i]);
        }
    }
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- a pair of strings, closed: most rows have strings that no group has ---- */

static void closed_groups_of_pairs_of_strings(void **state)
{
    (void)state;
    static const struct sc_column_key keys[2] = {
        {SC_PEN_COLLECTOR, SC_IE_INGRESS_INTERFACE_NAME, 0, SC_COLUMN_BYTES},
        {SC_PEN_COLLECTOR, SC_IE_EGRESS_INTERFACE_NAME, 0, SC_COLUMN_BYTES}};
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    batch->window_ms = KIT_WINDOW;
    struct sc_column *c = sc_batch_begin(batch, query_rules[Q_BYTES].key, NULL, 8, 500);
    for (uint32_t row = 0; row < 500; row++)
        sc_column_put_u64(c, 1 + row % 7);
    for (unsigned side = 0; side < 2; side++) {
        c = sc_batch_begin(batch, keys[side], NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++) {
            char name[16];
            int n = snprintf(name, sizeof(name), "eth%u", (unsigned)(kit_mix(row, side) % 30));
            if (row % 11 == side)
                assert_int_equal(sc_column_put_null(c), SC_OK);
            else
                assert_int_equal(sc_column_put_bytes(c, name, (uint32_t)n), SC_OK);
        }
    }
    sc_batch_commit(batch, 500);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    query_append(w, batch);
    sc_batch_free(batch);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "ifname", "bytes", "bytes,flows", r, &err), SC_OK);
    struct sc_summary unused;
    struct sc_groups *full = run(&source, NULL, NULL, false, 1, r, &unused), *filled = NULL;
    struct sc_result winners;
    assert_int_equal(sc_groups_top(full, r->orders, r->order_count, 5, &winners, &err), SC_OK);
    struct partly partly;
    make_partly(&source, NULL, false, r, full, &winners, 0, &partly);
    struct sc_seed seed = {.from = partly.groups, .winners = &partly.winners};
    struct sc_aggregate *aggregate = &r->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .seeds = &seed};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1, .no_summary = true};
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_aggregate_run(&request, &source, &options, &filled, &unused, &stats, &err), SC_OK);
    char *want = dump(r, full, 5), *got = dump(r, filled, 5);
    assert_string_equal(got, want);
    free(want);
    free(got);
    free_partly(&partly);
    free(winners.entries);
    sc_groups_free(full);
    sc_groups_free(filled);
    free(r);
    sc_source_close(&source);
    kit_remove(store);
}

/* ---- addresses that an exporter has defined: bytes in the store, and in no dictionary of addresses ---- */

static void closed_groups_of_learned_addresses(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_ie_learned learned = {0};
    struct sc_ie_definition d = {.pen = 64998, .id = 5, .type = SC_TYPE_IPV4_ADDRESS};
    sc_ie_definition_name(&d, "tunnelEnd", 9);
    assert_int_equal(sc_ie_learned_add(&learned, &d), SC_IE_NEW);
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    for (unsigned b = 0; b < 3; b++) {
        static const struct sc_column_key key = {64998, 5, 0, SC_COLUMN_BYTES};
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        batch->window_ms = KIT_WINDOW;
        struct sc_column *c = sc_batch_begin(batch, query_rules[Q_BYTES].key, NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++)
            sc_column_put_u64(c, 1 + row % 7);
        c = sc_batch_begin(batch, query_rules[Q_SOURCE].key, NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++) {
            struct sc_addr address = sc_addr_v4(0xc0a80000u + row % 3);
            sc_column_put_addr(c, &address);
        }
        c = sc_batch_begin(batch, key, NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++) {
            uint8_t bytes[4] = {10, 0, 0, (uint8_t)(row % 50)};
            assert_int_equal(sc_column_put_bytes(c, bytes, 4), SC_OK);
        }
        sc_batch_commit(batch, 500);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(&learned, "tunnelEnd", "bytes", "bytes,flows", r, &err), SC_OK);
    assert_int_equal(r->aggregate.keys[0].field.type, SC_VALUE_ADDRESS);
    struct sc_summary unused;
    struct sc_groups *full = run(&source, NULL, NULL, false, 1, r, &unused), *filled = NULL;
    assert_int_equal(sc_groups_count(full), 50);
    struct sc_result winners;
    assert_int_equal(sc_groups_top(full, r->orders, r->order_count, 5, &winners, &err), SC_OK);
    struct partly partly;
    make_partly(&source, NULL, false, r, full, &winners, 0, &partly);
    struct sc_seed seed = {.from = partly.groups, .winners = &partly.winners};
    struct sc_aggregate *aggregate = &r->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .seeds = &seed};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1, .no_summary = true};
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_aggregate_run(&request, &source, &options, &filled, &unused, &stats, &err), SC_OK);
    char *want = dump(r, full, 5), *got = dump(r, filled, 5);
    assert_string_equal(got, want);
    free(want);
    free(got);
    free_partly(&partly);
    free(winners.entries);
    sc_groups_free(full);
    sc_groups_free(filled);
    free(r);
    sc_ie_learned_free(&learned);
    sc_source_close(&source);
    kit_remove(store);
}

/* ---- stopped just behind the first of two scans, when its groups are so many that sorting them may be given up ---- */

static void stop_at_the_end(void *arg, const struct sc_scan_progress *so_far)
{
    if (so_far->done == so_far->total)
        atomic_store((atomic_int *)arg, 1);
}

static void stopped_before_the_winners_are_sorted(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_non_null(w);
    for (unsigned b = 0; b < 16; b++) {
        struct sc_batch *batch = kit_batch(b * 60000, 60000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(
        sc_request_aggregate(NULL,
                             "flowId,flowId,flowId,flowId,flowId,flowId,flowId,flowId,flowId,flowId,flowId,"
                             "flowId,flowId,flowId,flowId",
                             "bytes", "flows,bytes,packets,first,last,flags", r, &err),
        SC_OK);
    atomic_int cancel = 0;
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, 20000};
    struct sc_scan_options options = {.time = Q_ALWAYS,
                                      .threads = 1,
                                      .cancel = &cancel,
                                      .progress = stop_at_the_end,
                                      .progress_arg = &cancel};
    struct sc_groups *groups = NULL;
    struct sc_summary summary = {0};
    struct sc_scan_stats stats = {0};
    struct sc_result all;
    enum sc_status status = sc_query_top(&source, &options, &top, 1, 0, &groups, &summary, &stats, &err);
    assert_int_equal(status, SC_CANCELLED);
    if (groups != NULL) {
        sc_groups_set_cancel(groups, NULL);
        assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 20, &all, &err), SC_OK);
        free(all.entries);
    }
    sc_groups_free(groups);
    free(r);
    sc_source_close(&source);
    kit_remove(store);
}

struct stopping {
    atomic_int cancel;
    unsigned calls, stop_at;
};

/* Row groups of 20,000 rows, all read by this thread. */
static void stop_later(void *arg, const struct sc_scan_progress *so_far)
{
    struct stopping *s = arg;
    assert_int_equal(so_far->total, 12);
    assert_true(so_far->done >= 1 && so_far->done <= so_far->total);
    assert_int_equal(so_far->rows, 20000 * so_far->done);
    assert_true(so_far->bytes >= so_far->done);
    if (++s->calls == s->stop_at)
        atomic_store(&s->cancel, 1);
}

/* Stopped in the first of two scans: the winners so far, with what was summed for the order; where cells were summed (few are wanted),
 * the groups of the greatest. */
static void stopped_tops(uint64_t limit)
{
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_non_null(w);
    for (unsigned b = 0; b < 12; b++) {
        struct sc_batch *batch = kit_batch(b * 20000, 20000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(source.unit_count, 12);
    assert_int_equal(
        sc_request_aggregate(NULL, "flowId", "bytes", "flows,bytes,packets,first,last,flags", r, &err),
        SC_OK);
    unsigned empty = 0, whole = 0;
    /* Four units of the scan that was given up, then 12 of the next, and where cells prove nothing 12 of another. */
    for (unsigned stop_at = 1; stop_at <= 30; stop_at++) {
        struct stopping stopping = {.stop_at = stop_at};
        struct sc_top top = {&r->aggregate, r->orders, r->order_count, limit};
        struct sc_scan_options options = {.time = Q_ALWAYS,
                                          .threads = 1,
                                          .cancel = &stopping.cancel,
                                          .progress = stop_later,
                                          .progress_arg = &stopping};
        struct sc_groups *groups = NULL;
        struct sc_summary summary = {0};
        struct sc_scan_stats stats = {0};
        struct sc_result all;
        enum sc_status status = sc_query_top(&source, &options, &top, 1, 0, &groups, &summary, &stats, &err);
        if (status == SC_OK) /* nothing was left to stop */
            assert_true(stopping.calls < stop_at || stopping.calls > 12);
        else
            assert_int_equal(status, SC_CANCELLED);
        assert_non_null(groups);
        assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &all, &err), SC_OK);
        assert_true(all.count <= limit);
        empty += all.count == 0;
        whole += all.count == limit;
        for (uint64_t i = 0; i < all.count; i++) {
            struct sc_value id = sc_groups_value(groups, all.entries[i], &r->columns[0].result);
            struct sc_value bytes = sc_groups_value(groups, all.entries[i], &r->columns[2].result);
            assert_false(bytes.null);
            assert_int_equal(bytes.u, kit_value(KIT_BYTES, id.u).number);
        }
        free(all.entries);
        sc_groups_free(groups);
    }
    assert_true(empty <= 2); /* just between two */
    assert_true(
        whole >=
        20); /* what was read is read again only as long as that took: a machine that stood still has less */
    free(r);
    sc_source_close(&source);
    kit_remove(store);
}

static void a_stopped_top(void **state)
{
    (void)state;
    stopped_tops(20);
    stopped_tops(2000);
}

static void memory_limit(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    struct sc_groups *groups = NULL;
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    query_table_make(&t, 21, 20, 400);
    query_open(&source, t.store);
    assert_int_equal(sc_request_aggregate(NULL, "flowId", "flows", NULL, r, &err), SC_OK);
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
        assert_int_equal(
            sc_query_aggregate(&source, &options, &r->aggregate, 1, 20000, &groups, &summary, &stats, &err),
            SC_NOMEM);
        assert_non_null(strstr(err.message, "--memory-limit"));
        assert_null(groups);
    }
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 2};
    assert_int_equal(
        sc_query_aggregate(&source, &options, &r->aggregate, 1, 100000000, &groups, &summary, &stats, &err),
        SC_OK);
    assert_int_equal(sc_groups_count(groups), t.records);
    sc_groups_free(groups);
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

UNIT(test_top)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_of_many_groups),
        cmocka_unit_test(a_stopped_top),
        cmocka_unit_test(closed_groups_of_learned_addresses),
        cmocka_unit_test(closed_groups_of_pairs_of_strings),
        cmocka_unit_test(stopped_before_the_winners_are_sorted),
        cmocka_unit_test(memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
