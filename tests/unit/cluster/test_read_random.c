// SPDX-License-Identifier: BSD-3-Clause
/*
 * Random stores of a few nodes, read by ranks that are threads: row groups of one batch or several, lanes with gaps, batches that a
 * node holds twice, sealed and live files, and damage anywhere. Each batch of which a whole row group is left counts once, however
 * many rounds of reading that takes; the others are named, each once.
 */
#include "cluster/distributed.h"
#include "query_kit.h"
#include "ranks_threads.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>

#define STREAM     UINT64_C(0x5ca1ab1e00000001)
#define NODES      4u
#define LANES      2u  /* whose homes are the first nodes */
#define LENGTH     10u /* batches of a lane, in two windows */
#define BATCH_ROWS 20u
#define QUESTION   "packets != 33"

#ifdef __SANITIZE_THREAD__
#define WORLDS 20u
#else
#define WORLDS 120u
#endif

struct node {
    struct sc_ranks ranks;
    struct sc_ranks_threads *threads;
    char *store;
    struct sc_filter *filter;
    struct sc_distributed d;
    struct sc_summary summary;
    uint32_t reads;
    enum sc_status status;
    struct sc_error err;
    pthread_t thread;
};

struct world {
    uint64_t random;
    struct node nodes[NODES];
    bool held[LANES][LENGTH], whole[LANES][LENGTH]; /* by somebody; in a row group that can be read */
};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)(kit_random(&w->random) % n);
}

/* ---- stores ---- */

static uint64_t window_of(uint32_t sequence)
{
    return KIT_WINDOW + sequence / (LENGTH / 2) * UINT64_C(300000);
}

static uint64_t first_id(uint32_t lane, uint32_t sequence)
{
    return (uint64_t)(lane * LENGTH + sequence) * BATCH_ROWS;
}

/* A row group of `count` batches from `first`. */
static void append_group(struct sc_store_writer *writer, uint32_t lane, uint32_t first, uint32_t count)
{
    struct sc_error err = {0};
    struct sc_batch *batch = kit_batch(first_id(lane, first), count * BATCH_ROWS, window_of(first));
    free(batch->spans);
    batch->spans = calloc(count, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    batch->span_count = count;
    for (uint32_t i = 0; i < count; i++)
        batch->spans[i] = (struct sc_span){.stream = STREAM,
                                           .lane = lane + 1,
                                           .sequence = first + i,
                                           .first_row = i * BATCH_ROWS,
                                           .rows = BATCH_ROWS};
    query_append(writer, batch);
    sc_batch_free(batch);
    assert_int_equal(sc_store_writer_sync(writer, &err), SC_OK);
}

/* Some row groups, which may hold the same batches. */
static void append_groups(struct world *w, struct sc_store_writer *writer, uint32_t lane)
{
    for (uint32_t groups = below(w, 6); groups > 0; groups--) {
        uint32_t first = below(w, LENGTH), count = 1 + below(w, 3);
        while (first + count > LENGTH || window_of(first + count - 1) != window_of(first))
            count--;
        append_group(writer, lane, first, count);
    }
}

static void write_lane(struct world *w, uint32_t node, uint32_t lane)
{
    char path[1024];
    struct sc_error err = {0};
    struct sc_store_options options = {.lane = lane + 1};
    snprintf(path, sizeof(path), "%s", w->nodes[node].store);
    if (node != lane)
        snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER "/n%u", w->nodes[node].store, lane);
    struct sc_store_writer *writer = sc_store_writer_open(path, &options, &err);
    assert_non_null(writer);
    append_groups(w, writer, lane);
    if (below(w, 2) == 0)
        assert_int_equal(sc_store_writer_seal(writer, UINT64_MAX, &err), SC_OK);
    append_groups(w, writer, lane);
    assert_int_equal(sc_store_writer_close(writer, &err), SC_OK);
}

static void write_stores(struct world *w)
{
    for (uint32_t n = 0; n < NODES; n++) {
        char path[1024];
        w->nodes[n] = (struct node){.store = kit_folder()};
        snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, w->nodes[n].store);
        assert_int_equal(mkdir(path, 0755), 0);
        for (uint32_t lane = 0; lane < LANES; lane++)
            write_lane(w, n, lane);
    }
}

/* Damages what the question reads of a row group. */
static void damage(const struct sc_segment *segment, const struct sc_row_group *group)
{
    const struct sc_entry *e = sc_row_group_entry(group, kit_keys[KIT_PACKETS]);
    int fd = open(segment->path, O_WRONLY);
    assert_non_null(e);
    assert_true(fd >= 0);
    off_t at = (off_t)(group->ref->offset + e->offset + e->length / 2);
    assert_int_equal(pwrite(fd, "\xff\x0f\xf0", 3, at), 3);
    close(fd);
}

/* Looks at each row group of a node, and damages some. */
static void damage_node(struct world *w, const char *store, uint32_t of_eight)
{
    struct sc_source source;
    struct sc_read_context context;
    struct sc_row_group *group;
    struct sc_error err = {0};
    query_open(&source, store);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    for (uint32_t g = 0; g < source.group_count; g++) {
        const struct sc_segment *segment = source.segments[source.groups[g].segment];
        sc_read_context_reset(&context);
        assert_int_equal(sc_row_group_open(&context, segment, source.groups[g].group, &group, &err), SC_OK);
        bool damaged = below(w, 8) < of_eight;
        if (damaged)
            damage(segment, group);
        for (uint32_t i = 0; i < group->span_count; i++) {
            const struct sc_span *id = &group->spans[i];
            w->held[id->lane - 1][id->sequence] = true;
            w->whole[id->lane - 1][id->sequence] |= !damaged;
        }
    }
    sc_read_context_free(&context);
    sc_source_close(&source);
}

/* ---- ranks ---- */

static enum sc_status read_once(void *arg, struct sc_error *err)
{
    struct node *n = arg;
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1, .filter = n->filter};
    struct sc_scan_stats stats = {0};
    struct sc_groups *none[1];
    n->summary = (struct sc_summary){0};
    n->reads++;
    return sc_query_aggregate(&n->d.source, &options, NULL, 0, 0, none, &n->summary, &stats, err);
}

static void *rank_main(void *arg)
{
    struct node *n = arg;
    const char *const paths[] = {n->store};
    const struct sc_distributed_options options = {
        .ranks = &n->ranks, .node = "n", .paths = paths, .path_count = 1};
    n->filter = query_parse(QUESTION);
    n->status = sc_distributed_open(&n->d, &options, &n->err);
    if (n->status == SC_OK)
        n->status = sc_distributed_read(&n->d, read_once, n, &n->err);
    if (n->status == SC_OK)
        n->status = sc_distributed_summary(&n->d, &n->summary, &n->err);
    if (n->status != SC_OK)
        sc_ranks_threads_stop(n->threads);
    sc_filter_free(n->filter);
    return NULL;
}

static void run(struct world *w)
{
    struct sc_ranks_threads *threads = sc_ranks_threads_create(NODES);
    assert_non_null(threads);
    for (uint32_t i = 0; i < NODES; i++) {
        w->nodes[i].threads = threads;
        w->nodes[i].ranks = sc_ranks_threads_rank(threads, i);
        assert_int_equal(pthread_create(&w->nodes[i].thread, NULL, rank_main, &w->nodes[i]), 0);
    }
    for (uint32_t i = 0; i < NODES; i++) {
        pthread_join(w->nodes[i].thread, NULL);
        if (w->nodes[i].status != SC_OK)
            fail_msg("rank %u: %s", i, w->nodes[i].err.message);
    }
    sc_ranks_threads_free(threads);
}

/* ---- truth ---- */

static uint64_t asked_for(uint32_t lane, uint32_t sequence)
{
    uint64_t count = 0;
    for (uint64_t id = first_id(lane, sequence); id < first_id(lane, sequence) + BATCH_ROWS; id++)
        count += kit_value(KIT_PACKETS, id).number != 33;
    return count;
}

/* The batches that the answer names as missing. */
static uint32_t batches_missing(const struct sc_source *source)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < source->missing_count; i++) {
        const char *behind_window = strstr(source->missing[i], "Z: ");
        assert_non_null(behind_window);
        sum += (uint32_t)strtoul(behind_window + 3, NULL, 10);
    }
    return sum;
}

static void check(const struct world *w)
{
    uint64_t records = 0;
    uint32_t missing = 0;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (uint32_t s = 0; s < LENGTH; s++) {
            records += w->whole[lane][s] ? asked_for(lane, s) : 0;
            missing += w->held[lane][s] && !w->whole[lane][s];
        }
    }
    assert_int_equal(w->nodes[0].summary.records, records);
    assert_int_equal(batches_missing(&w->nodes[0].d.source), missing);
}

static void every_batch_once_whatever_is_damaged(void **state)
{
    uint32_t rounds[NODES + 2] = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct world w = {.random = seed};
        uint32_t of_eight = below(&w, 8);
        write_stores(&w);
        for (uint32_t n = 0; n < NODES; n++)
            damage_node(&w, w.nodes[n].store, of_eight);
        run(&w);
        check(&w);
        assert_true(w.nodes[0].reads <= NODES + 1);
        rounds[w.nodes[0].reads]++;
        for (uint32_t n = 0; n < NODES; n++) {
            sc_distributed_close(&w.nodes[n].d);
            kit_remove(w.nodes[n].store);
        }
    }
    assert_true(rounds[1] != 0 && rounds[2] != 0 && rounds[3] != 0); /* else it tests little */
}

UNIT(test_read_random)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_batch_once_whatever_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
