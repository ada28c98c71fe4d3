// SPDX-License-Identifier: BSD-3-Clause
/* Queries beside a writer that appends, syncs and seals: every answer holds each batch that was stored before
 * the query began, whole and once, whatever is renamed and unlinked meanwhile. */
#include "query_kit.h"

#include <pthread.h>
#include <stdatomic.h>

#define BATCHES          160u
#define BATCHES_A_WINDOW 4u
#define READERS          3u

struct shared {
    char *store;
    atomic_uint begun;  /* batches whose append has begun */
    atomic_uint stored; /* batches whose append has returned */
    atomic_int done;
    atomic_uint answers;
    uint32_t rows[BATCHES];
};

/* Source port: the number of the batch; bytes: 1. */
static struct sc_batch *numbered_batch(uint32_t number, uint32_t rows, uint64_t window_ms)
{
    static const enum query_column columns[] = {Q_ID, Q_RECEIVED, Q_SOURCE_PORT, Q_BYTES, Q_SOURCE};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    batch->window_ms = window_ms;
    for (uint32_t i = 0; i < 5; i++) {
        struct sc_column *c = sc_batch_begin(batch, query_rules[columns[i]].key, NULL, 8, rows);
        assert_non_null(c);
        for (uint32_t row = 0; row < rows; row++) {
            struct sc_addr address = sc_addr_v4(0x0a000000u + row % 50);
            if (i == 4)
                sc_column_put_addr(c, &address);
            else
                sc_column_put_u64(c, i == 0   ? (uint64_t)number << 16 | row
                                     : i == 1 ? window_ms + row
                                     : i == 2 ? number
                                              : 1);
        }
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    return batch;
}

static void *write_all(void *arg)
{
    struct shared *s = arg;
    struct sc_store_options options = {.window_s = Q_WINDOW_S};
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(s->store, &options, &err);
    assert_non_null(w);
    for (uint32_t b = 0; b < BATCHES; b++) {
        uint64_t window = KIT_WINDOW + b / BATCHES_A_WINDOW * Q_WINDOW_S * 1000;
        struct sc_batch *batch = numbered_batch(b, s->rows[b], window);
        atomic_store(&s->begun, b + 1);
        assert_int_equal(sc_store_writer_append(w, batch, &err), SC_OK);
        atomic_store(&s->stored, b + 1);
        sc_batch_free(batch);
        if (b % 2 == 1)
            assert_int_equal(sc_store_writer_sync(w, &err), SC_OK);
        if (b % BATCHES_A_WINDOW == BATCHES_A_WINDOW - 1)
            assert_int_equal(sc_store_writer_seal(w, window, &err), SC_OK); /* all but the newest */
        usleep(2000);
    }
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    atomic_store(&s->done, 1);
    return NULL;
}

static bool count_lines(void *arg, const void *bytes, size_t count)
{
    uint64_t *lines = arg;
    for (size_t i = 0; i < count; i++)
        *lines += ((const char *)bytes)[i] == '\n';
    return true;
}

static uint64_t list_all(struct sc_source *source, unsigned threads)
{
    struct sc_request_listing *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    uint64_t lines = 0;
    assert_non_null(r);
    assert_int_equal(sc_request_list(NULL, "flowId,srcip,srcport", NULL, r, &err), SC_OK);
    struct sc_output_options options = {.format = SC_OUTPUT_CSV};
    struct sc_output *output = sc_output_create(&options, r->columns, r->column_count);
    struct sc_listing listing = {.output = output,
                                 .fields = r->fields,
                                 .field_count = r->column_count,
                                 .separator = "",
                                 .summarize = true};
    struct sc_scan_options scan = {.time = Q_ALWAYS, .threads = threads};
    struct sc_sink sink = {count_lines, &lines};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_query_list(source, &scan, &listing, &sink, &summary, &stats, &err), SC_OK);
    assert_int_equal(summary.records, lines);
    sc_output_free(output);
    free(r);
    return lines;
}

/* Counts by batch: each is there whole, or not at all; all that were stored before are there. */
static uint64_t group_by_batch(const struct shared *s, struct sc_source *source, unsigned threads,
                               uint32_t least, uint32_t most)
{
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    struct sc_groups *groups = NULL;
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_result all;
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "srcport", "srcport#asc", "flows,bytes", r, &err), SC_OK);
    struct sc_scan_options scan = {.time = Q_ALWAYS, .threads = threads};
    assert_int_equal(sc_query_aggregate(source, &scan, &r->aggregate, 1, 0, &groups, &summary, &stats, &err),
                     SC_OK);
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &all, &err), SC_OK);
    if (all.count < least || all.count > most)
        fail_msg("%llu batches, want %u to %u", (unsigned long long)all.count, least, most);
    for (uint64_t i = 0; i < all.count; i++) {
        struct sc_value number = sc_groups_value(groups, all.entries[i], &r->columns[0].result);
        struct sc_value flows = sc_groups_value(groups, all.entries[i], &r->columns[1].result);
        assert_true(number.u < most);
        if (i < least)
            assert_int_equal(number.u, i);
        if (flows.u != s->rows[number.u])
            fail_msg("batch %llu has %llu rows, want %u", (unsigned long long)number.u,
                     (unsigned long long)flows.u, s->rows[number.u]);
    }
    free(all.entries);
    sc_groups_free(groups);
    free(r);
    return summary.records;
}

static void *query_again_and_again(void *arg)
{
    struct shared *s = arg;
    uint64_t before = 0;
    bool last;
    do {
        struct sc_source source;
        last = atomic_load(&s->done) != 0;
        uint32_t least = atomic_load(&s->stored);
        query_open(&source, s->store);
        uint32_t most = atomic_load(&s->begun);
        if (source.missing_count != 0)
            fail_msg("%s", source.missing[0]);
        uint64_t records = group_by_batch(s, &source, 1 + least % 3, least, most);
        assert_int_equal(list_all(&source, 1 + least % 2), records);
        assert_int_equal(source.missing_count, 0);
        assert_true(records >= before);
        before = records;
        sc_source_close(&source);
        atomic_fetch_add(&s->answers, 1);
    } while (!last);
    return (void *)(uintptr_t)before;
}

static void queries_beside_a_writer(void **state)
{
    (void)state;
    struct shared s = {.store = kit_folder()};
    pthread_t writer, readers[READERS];
    uint64_t seed = 1, total = 0;
    for (uint32_t b = 0; b < BATCHES; b++) {
        s.rows[b] = 1 + (uint32_t)(kit_random(&seed) % 200);
        total += s.rows[b];
    }
    assert_int_equal(pthread_create(&writer, NULL, write_all, &s), 0);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, query_again_and_again, &s), 0);
    pthread_join(writer, NULL);
    for (unsigned i = 0; i < READERS; i++) {
        void *count;
        pthread_join(readers[i], &count);
        assert_int_equal((uintptr_t)count, total);
    }
    assert_true(atomic_load(&s.answers) > READERS);
    kit_remove(s.store);
}

/* Many workers over few and many row groups, sorted and grouped: the same answers, and nothing for the race
 * detector. */
static void many_workers(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 5, 40, 60);
    query_open(&source, t.store);
    uint64_t records = t.records;
    for (unsigned threads = 1; threads <= 16; threads *= 2) {
        struct sc_request *r = malloc(sizeof(*r));
        struct sc_error err = {0};
        struct sc_groups *groups = NULL;
        struct sc_summary summary;
        struct sc_scan_stats stats = {0};
        assert_non_null(r);
        assert_int_equal(list_all(&source, threads), records);
        assert_int_equal(sc_request_aggregate(NULL, "ip,appname,first/1s", "bytes", NULL, r, &err), SC_OK);
        struct sc_scan_options scan = {.time = Q_ALWAYS, .threads = threads};
        assert_int_equal(
            sc_query_aggregate(&source, &scan, &r->aggregate, 1, 0, &groups, &summary, &stats, &err), SC_OK);
        assert_int_equal(summary.records, records);
        sc_groups_free(groups);
        free(r);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

UNIT(test_parallel)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_beside_a_writer),
        cmocka_unit_test(many_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
