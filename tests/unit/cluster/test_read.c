// SPDX-License-Identifier: BSD-3-Clause
/*
 * Ranks that are threads read the stores of one cluster: every batch once, whatever of it one of them cannot read anew from the other,
 * and the sums of all at rank 0.
 */
#include "cluster/distributed.h"
#include "query_kit.h"
#include "ranks_threads.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>

#define STREAM     UINT64_C(0x5ca1ab1e00000001)
#define LANE       7u
#define BATCHES    12u
#define BATCH_ROWS 100u
#define QUESTION   "packets != 33"
#define RANKS      3u /* the home of the lane, a replica of it, and one that reads nothing */

struct rank {
    struct sc_ranks ranks;
    struct sc_ranks_threads *threads;
    char *store;
    const char *path;
    struct sc_filter *filter;
    struct sc_distributed d;
    struct sc_summary summary;
    uint32_t reads, stop_at; /* the read in which it is stopped; 0: none */
    enum sc_status status, read;
    struct sc_error err;
    pthread_t thread;
};

/* ---- stores ---- */

static void write_lane(const char *path)
{
    struct sc_error err = {0};
    struct sc_store_options options = {.lane = LANE};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, &err);
    assert_non_null(w);
    for (uint32_t b = 0; b < BATCHES; b++) {
        struct sc_batch *batch = kit_batch((uint64_t)b * BATCH_ROWS, BATCH_ROWS, KIT_WINDOW);
        kit_span(batch, STREAM, b);
        batch->spans[0].lane = LANE;
        query_append(w, batch);
        sc_batch_free(batch);
        assert_int_equal(sc_store_writer_sync(w, &err), SC_OK); /* a row group for each */
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
}

static void make_stores(struct rank *all)
{
    char path[512];
    for (uint32_t i = 0; i < RANKS; i++)
        all[i] = (struct rank){.store = kit_folder()};
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, all[1].store);
    assert_int_equal(mkdir(path, 0755), 0);
    strcat(path, "/n1");
    write_lane(all[0].store);
    write_lane(path);
}

/* Damages the packets of some row groups of a store. */
static void damage(const char *store, uint32_t groups)
{
    struct sc_source source;
    struct sc_read_context context;
    struct sc_row_group *group;
    struct sc_error err = {0};
    query_open(&source, store);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    for (uint32_t u = 0; u < source.unit_count && u < groups; u++) {
        const struct sc_segment *s = source.segments[source.units[u].segment];
        sc_read_context_reset(&context);
        assert_int_equal(sc_row_group_open(&context, s, source.units[u].group, &group, &err), SC_OK);
        const struct sc_entry *e = sc_row_group_entry(group, kit_keys[KIT_PACKETS]);
        assert_non_null(e);
        int fd = open(s->path, O_WRONLY);
        off_t at = (off_t)(group->ref->offset + e->offset + e->length / 2);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, "\xff\x0f\xf0", 3, at), 3);
        close(fd);
    }
    sc_read_context_free(&context);
    sc_source_close(&source);
}

/* The records of batches from `first` that are asked for: their packets must be read. */
static uint64_t asked_for(uint32_t first, uint32_t batches)
{
    uint64_t count = 0;
    for (uint64_t id = (uint64_t)first * BATCH_ROWS; id < (uint64_t)(first + batches) * BATCH_ROWS; id++)
        count += kit_value(KIT_PACKETS, id).number != 33;
    return count;
}

/* ---- ranks ---- */

static enum sc_status read_once(void *arg, struct sc_error *err)
{
    struct rank *r = arg;
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 2, .filter = r->filter};
    struct sc_scan_stats stats = {0};
    struct sc_groups *none[1];
    r->summary = (struct sc_summary){0};
    if (++r->reads == r->stop_at)
        return sc_fail(err, SC_CANCELLED, "by hand");
    return sc_query_aggregate(&r->d.source, &options, NULL, 0, 0, none, &r->summary, &stats, err);
}

static void *rank_main(void *arg)
{
    struct rank *r = arg;
    const struct sc_distributed_options options = {
        .ranks = &r->ranks, .node = "n", .paths = &r->path, .path_count = r->path != NULL ? 1 : 0};
    r->filter = query_parse(QUESTION);
    r->status = sc_distributed_open(&r->d, &options, &r->err);
    if (r->status == SC_OK)
        r->read = sc_distributed_read(&r->d, read_once, r, &r->err);
    if (r->status == SC_OK)
        r->status = sc_distributed_summary(&r->d, &r->summary, &r->err);
    if (r->status == SC_OK)
        r->status = sc_distributed_notes(&r->d, &r->err);
    if (r->status != SC_OK)
        sc_ranks_threads_stop(r->threads);
    sc_filter_free(r->filter);
    return NULL;
}

static void run(struct rank *all)
{
    struct sc_ranks_threads *threads = sc_ranks_threads_create(RANKS);
    assert_non_null(threads);
    for (uint32_t i = 0; i < RANKS; i++) {
        all[i].threads = threads;
        all[i].ranks = sc_ranks_threads_rank(threads, i);
        all[i].path = i < 2 ? all[i].store : NULL;
        all[i].reads = 0;
        assert_int_equal(pthread_create(&all[i].thread, NULL, rank_main, &all[i]), 0);
    }
    for (uint32_t i = 0; i < RANKS; i++) {
        pthread_join(all[i].thread, NULL);
        if (all[i].status != SC_OK)
            fail_msg("rank %u: %s", i, all[i].err.message);
    }
    sc_ranks_threads_free(threads);
}

static void close_all(struct rank *all)
{
    for (uint32_t i = 0; i < RANKS; i++)
        sc_distributed_close(&all[i].d);
}

static void remove_stores(struct rank *all)
{
    for (uint32_t i = 0; i < RANKS; i++)
        kit_remove(all[i].store);
}

/* All have read so often and ended alike; so much of it came to rank 0. */
static void check(const struct rank *all, uint32_t reads, enum sc_status read, uint64_t records)
{
    for (uint32_t i = 0; i < RANKS; i++) {
        assert_int_equal(all[i].reads, reads);
        assert_int_equal(all[i].read, read);
    }
    assert_int_equal(all[0].summary.records, records);
}

/* ---- facts ---- */

static void every_batch_is_read_once(void **state)
{
    struct rank all[RANKS];
    (void)state;
    make_stores(all);
    run(all);
    check(all, 1, SC_OK, asked_for(0, BATCHES));
    assert_int_equal(all[1].summary.records, 0); /* the home has all */
    assert_int_equal(all[0].d.source.missing_count, 0);
    assert_int_equal(all[0].d.source.damage_count, 0);
    close_all(all);
    remove_stores(all);
}

static void what_one_cannot_read_another_reads_anew(void **state)
{
    struct rank all[RANKS];
    (void)state;
    make_stores(all);
    damage(all[0].store, 5);
    run(all);
    check(all, 2, SC_OK, asked_for(0, BATCHES));
    assert_int_equal(all[1].summary.records, asked_for(0, 5));
    assert_int_equal(all[0].d.source.missing_count, 0);
    assert_true(all[0].d.source.damage_count != 0);
    close_all(all);
    remove_stores(all);
}

/* The replica has the same batches damaged, and one more, which it is not asked for. */
static void what_nobody_can_read_is_missing(void **state)
{
    struct rank all[RANKS];
    (void)state;
    make_stores(all);
    damage(all[0].store, 5);
    damage(all[1].store, 6);
    run(all);
    check(all, 2, SC_OK, asked_for(5, BATCHES - 5));
    assert_true(all[0].d.source.missing_count != 0);
    close_all(all);
    remove_stores(all);
}

static void one_that_is_stopped_ends_the_reading_of_all(void **state)
{
    struct rank all[RANKS];
    (void)state;
    make_stores(all);
    for (uint32_t stopped = 0; stopped < RANKS; stopped++) {
        all[stopped].stop_at = 1;
        run(all);
        check(all, 1, SC_CANCELLED, stopped == 0 ? 0 : asked_for(0, BATCHES));
        assert_string_equal(all[stopped].err.message, "by hand");
        assert_string_equal(all[(stopped + 1) % RANKS].err.message, "before everything was read");
        all[stopped].stop_at = 0;
        close_all(all);
    }
    damage(all[0].store, 1); /* and in a later round */
    all[2].stop_at = 2;
    run(all);
    check(all, 2, SC_CANCELLED, asked_for(0, BATCHES));
    close_all(all);
    remove_stores(all);
}

UNIT(test_read)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_batch_is_read_once),
        cmocka_unit_test(what_one_cannot_read_another_reads_anew),
        cmocka_unit_test(what_nobody_can_read_is_missing),
        cmocka_unit_test(one_that_is_stopped_ends_the_reading_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
