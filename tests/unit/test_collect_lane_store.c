// SPDX-License-Identifier: BSD-3-Clause
/* The store thread of a subcollector: each batch is answered once, as durable only when it is, over disks that fail and fill. */
#include "fault_io.h"

#include "base/clock.h"
#include "collect/lane_names.h"
#include "collect/lane_store.h"
#include "collect/stream_keeper.h"
#include "store/row_group_encode.h"
#include "store/tally.h"

#include <stdatomic.h>
#include <time.h>

enum { ROWS = 20, BATCHES = 64, LIMIT = ROWS * BATCHES, STREAM = 77, FORMER = 0xdeadbeef };

/* Not ahead of anybody's clock. */
#define WINDOW UINT64_C(1699999800000)

/* ---- a disk with a switch ---- */

struct disk {
    struct sc_io_ops ops;
    struct fault_io *faults;
    atomic_bool held;         /* no datasync comes back */
    atomic_int failing_syncs; /* of so many the next ones fail, and what they should have written is gone */
    atomic_int syncs;         /* that succeeded */
};

static struct disk disk; /* the operations have no argument of ours */

static void nap(void)
{
    const struct timespec t = {.tv_nsec = 5000000};
    nanosleep(&t, NULL);
}

static void set_fault(enum fault fault)
{
    pthread_mutex_lock(&disk.faults->mutex);
    disk.faults->fault = fault;
    disk.faults->at = disk.faults->count;
    pthread_mutex_unlock(&disk.faults->mutex);
}

static int disk_datasync(struct sc_io *io, int handle)
{
    while (atomic_load(&disk.held))
        nap();
    bool failing = atomic_load(&disk.failing_syncs) > 0;
    if (failing) {
        atomic_fetch_sub(&disk.failing_syncs, 1);
        set_fault(FAULT_DROP);
    }
    int result = fault_datasync(io, handle);
    if (failing)
        set_fault(FAULT_NONE);
    atomic_fetch_add(&disk.syncs, result == 0);
    return result;
}

/* ---- a node ---- */

struct node {
    char *path;
    struct sc_cluster cluster;
    struct sc_member members[3];
    struct sc_lane_store *store;
    atomic_int calls; /* of `answered` */
    uint32_t window_s;
};

static struct sc_refusals *node_refusals; /* of the node that is opened next */

static const char *const names[] = {"alpha", "beta", "gamma"};

static void on_answered(void *arg)
{
    struct node *n = arg;
    atomic_fetch_add(&n->calls, 1);
}

static enum sc_status start(struct node *n, struct sc_error *err)
{
    const struct sc_lane_store_options options = {.store = n->path,
                                                  .cluster = &n->cluster,
                                                  .self = 0,
                                                  .window_s = n->window_s,
                                                  .io = disk.faults == NULL ? NULL : &disk.faults->io,
                                                  .refusals = node_refusals,
                                                  .answered = on_answered,
                                                  .arg = n};
    return sc_lane_store_start(&options, &n->store, err);
}

static void open_node(struct node *n, uint32_t window_s, bool faulty)
{
    struct sc_error err = {0};
    *n = (struct node){.path = kit_folder(), .window_s = window_s};
    for (uint32_t i = 0; i < 3; i++) {
        n->members[i] =
            (struct sc_member){.lane = sc_cluster_lane(names[i]), .weight = 1, .subcollector = true};
        snprintf(n->members[i].name, sizeof(n->members[i].name), "%s", names[i]);
    }
    n->cluster = (struct sc_cluster){.version = 1, .replication = 2, .members = n->members, .count = 3};
    disk.faults = NULL;
    atomic_store(&disk.held, false);
    atomic_store(&disk.failing_syncs, 0);
    if (faulty) {
        disk.faults = fault_create_io(FAULT_NONE, 0);
        disk.ops = fault_ops;
        disk.ops.datasync = disk_datasync;
        disk.faults->io.ops = &disk.ops;
    }
    if (start(n, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static void stop(struct node *n)
{
    sc_lane_store_stop(n->store);
    n->store = NULL;
}

static void close_node(struct node *n)
{
    stop(n);
    if (disk.faults != NULL)
        fault_free_io(disk.faults);
    disk.faults = NULL;
    kit_remove(n->path);
}

/* ---- batches: number i holds the flows [i * ROWS, (i + 1) * ROWS) ---- */

static struct sc_lane_batch *make(uint32_t number, uint32_t lane, uint64_t window_ms, uint32_t window_s)
{
    struct sc_batch *batch = kit_batch((uint64_t)number * ROWS, ROWS, window_ms);
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    struct sc_buf out = {0};
    kit_span(batch, STREAM, number);
    batch->spans[0].lane = lane;
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_row_group_encode(&encoder, batch, &out, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    sc_row_group_encoder_free(&encoder);
    sc_batch_free(batch);
    struct sc_lane_batch *b = malloc(sizeof(*b) + out.len);
    assert_non_null(b);
    *b = (struct sc_lane_batch){.connection = 1000 + number,
                                .head = {.id = {.stream = STREAM, .lane = lane, .sequence = number},
                                         .window_ms = window_ms,
                                         .window_s = window_s,
                                         .records = ROWS,
                                         .record_kind = SC_RECORDS_FLOWS,
                                         .size = (uint32_t)out.len,
                                         .hash = sc_link_hash(out.data, out.len)}};
    memcpy(b->bytes, out.data, out.len);
    sc_buf_free(&out);
    return b;
}

static void push(struct node *n, uint32_t number, uint32_t member)
{
    uint32_t lane = member < 3 ? n->members[member].lane : (uint32_t)FORMER;
    sc_lane_store_push(n->store, make(number, lane, WINDOW, n->window_s));
}

/* ---- answers ---- */

static uint32_t answers_now(struct node *n, struct sc_lane_answer *out)
{
    return sc_lane_store_answers(n->store, out, BATCHES);
}

/* That there are answers is said, at the latest just after they can be had. */
static void assert_told(struct node *n)
{
    for (int tries = 0; tries < 400 && atomic_load(&n->calls) == 0; tries++)
        nap();
    assert_true(atomic_exchange(&n->calls, 0) > 0);
}

/* Exactly `count` answers, one for each of the batches from `first` on, all alike. */
static void expect(struct node *n, uint32_t first, uint32_t count, bool durable)
{
    struct sc_lane_answer answers[BATCHES];
    bool seen[BATCHES] = {false};
    uint32_t got = 0;
    for (int tries = 0; tries < 4000 && got < count; tries++) {
        uint32_t more = answers_now(n, answers);
        for (uint32_t i = 0; i < more; i++) {
            uint64_t number = answers[i].id.sequence;
            assert_true(number >= first && number < first + count);
            assert_int_equal(answers[i].connection, 1000 + number);
            assert_int_equal(answers[i].id.stream, STREAM);
            assert_int_equal(answers[i].outcome, durable ? SC_LANE_DURABLE : SC_LANE_LOST);
            assert_false(seen[number]);
            seen[number] = true;
        }
        got += more;
        if (more == 0)
            nap();
    }
    assert_int_equal(got, count);
    assert_told(n);
}

/* Statistics are published once a second. */
static struct sc_lane_store_stats stats_when(struct node *n, bool (*when)(const struct sc_lane_store_stats *))
{
    struct sc_lane_store_stats stats = {0};
    for (int tries = 0; tries < 4000; tries++) {
        sc_lane_store_get_stats(n->store, &stats);
        if (when(&stats))
            return stats;
        nap();
    }
    fail_msg("the statistics do not come");
    return stats;
}

/* ---- what is on the disk ---- */

/* The lane's folder holds the flows of the batches first, first + step and so on below `count`, each once. */
static void check_lane(const struct node *n, const char *replica, uint32_t first, uint32_t step,
                       uint32_t count, uint64_t stored)
{
    struct kit_scan scan;
    char path[512];
    snprintf(path, sizeof(path), "%s%s%s", n->path, replica == NULL ? "" : "/" SC_REPLICA_FOLDER "/",
             replica == NULL ? "" : replica);
    kit_scan_store(&scan, path, LIMIT);
    assert_int_equal(scan.damaged, 0);
    for (uint32_t i = 0; i < BATCHES; i++) {
        bool here = i >= first && i < count && (i - first) % step == 0;
        for (uint32_t row = 0; row < ROWS; row++)
            assert_int_equal(scan.seen[i * ROWS + row], here);
    }
    assert_int_equal(scan.rows_stored, stored);
    kit_scan_free(&scan);
}

/* ---- each lane to its place ---- */

static void lanes_have_their_folders(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 40; i++)
        push(&n, i, i % 4);
    expect(&n, 0, 40, true);
    for (int stopped = 0; stopped < 2; stopped++) {
        check_lane(&n, NULL, 0, 4, 40, 10 * ROWS);
        check_lane(&n, "beta", 1, 4, 40, 10 * ROWS);
        check_lane(&n, "gamma", 2, 4, 40, 10 * ROWS);
        check_lane(&n, "lane-deadbeef", 3, 4, 40, 10 * ROWS); /* of a member that is none any more */
        if (stopped == 0)
            stop(&n);
    }
    close_node(&n);
}

static bool has_counted(const struct sc_lane_store_stats *s)
{
    return s->batches + s->duplicates >= 20;
}

static void everything_is_counted(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 20; i++)
        push(&n, i, i < 5 ? 0 : 1);
    expect(&n, 0, 20, true);
    const struct sc_lane_store_stats s = stats_when(&n, has_counted);
    assert_int_equal(s.batches, 20);
    assert_int_equal(s.records, 20 * ROWS);
    assert_int_equal(s.own.flows, 5 * ROWS);
    assert_int_equal(s.replicas.flows, 15 * ROWS);
    assert_int_equal(s.duplicates + s.refused + s.damaged, 0);
    assert_int_equal(s.waiting_bytes, 0);
    assert_true(s.free_bytes > 0);
    assert_false(sc_lane_store_tight(n.store));
    close_node(&n);
}

/* What was handed over before the stop is stored by it. */
static void a_stop_loses_nothing(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 30; i++)
        push(&n, i, i % 2);
    stop(&n);
    check_lane(&n, NULL, 0, 2, 30, 15 * ROWS);
    check_lane(&n, "beta", 1, 2, 30, 15 * ROWS);
    close_node(&n);
    sc_lane_store_stop(NULL);
}

/* ---- the same batch again ---- */

static bool has_duplicates(const struct sc_lane_store_stats *s)
{
    return s->duplicates >= 20;
}

static void duplicates_are_acknowledged_and_not_stored(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, false);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 10; i++)
            push(&n, i, i % 2);
        expect(&n, 0, 10, true);
    }
    const struct sc_lane_store_stats s = stats_when(&n, has_duplicates);
    assert_int_equal(s.duplicates, 20);
    assert_int_equal(s.batches, 10);
    check_lane(&n, NULL, 0, 2, 10, 5 * ROWS);
    check_lane(&n, "beta", 1, 2, 10, 5 * ROWS);
    close_node(&n);
}

/* A new process does not know the ids: it stores them once more, and readers count them once. */
/* Of a window that is not sealed meanwhile, however long this takes: sealing leaves them out. */
static void duplicates_of_an_earlier_process_are_counted_once(void **state)
{
    (void)state;
    struct node n;
    struct sc_error err = {0};
    uint64_t now = sc_clock_wall_ms(), coming = now - now % 300000 + 36000000;
    open_node(&n, 300, false);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 10; i++)
            sc_lane_store_push(n.store, make(i, n.members[0].lane, coming, 300));
        expect(&n, 0, 10, true);
        stop(&n);
        assert_int_equal(start(&n, &err), SC_OK);
    }
    check_lane(&n, NULL, 0, 1, 10, 20 * ROWS);
    close_node(&n);
}

/* ---- what is not what it says ---- */

typedef void damage(struct sc_lane_batch *b);

static void other_stream(struct sc_lane_batch *b)
{
    b->head.id.stream++;
}

static void other_lane(struct sc_lane_batch *b)
{
    b->head.id.lane ^= 1;
}

static void other_sequence(struct sc_lane_batch *b)
{
    b->head.id.sequence++;
}

static void other_records(struct sc_lane_batch *b)
{
    b->head.records--;
}

static void other_kind(struct sc_lane_batch *b)
{
    b->head.record_kind ^= 1;
}

static void cut(struct sc_lane_batch *b)
{
    b->head.size--;
}

static void cut_to_a_byte(struct sc_lane_batch *b)
{
    b->head.size = 1;
}

static void flipped(struct sc_lane_batch *b)
{
    b->bytes[b->head.size / 2] ^= 4;
}

static void other_window_length(struct sc_lane_batch *b)
{
    b->head.window_s = 60;
}

static void no_window_length(struct sc_lane_batch *b)
{
    b->head.window_s = 0;
}

static void within_a_window(struct sc_lane_batch *b)
{
    b->head.window_ms += 1000;
}

static bool has_damaged(const struct sc_lane_store_stats *s)
{
    return s->damaged >= 11 && s->batches >= 1;
}

static void batches_that_lie_are_refused(void **state)
{
    (void)state;
    static damage *const damages[] = {
        other_stream,  other_lane, other_sequence,      other_records,    other_kind,     cut,
        cut_to_a_byte, flipped,    other_window_length, no_window_length, within_a_window};
    enum { COUNT = sizeof(damages) / sizeof(damages[0]) };
    struct node n;
    struct sc_refusals refusals;
    sc_refusals_init(&refusals);
    node_refusals = &refusals;
    open_node(&n, 300, false);
    node_refusals = NULL;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sc_lane_batch *b = make(i, n.members[i % 2].lane, WINDOW, 300);
        struct sc_lane_answer answers[BATCHES];
        uint32_t got = 0;
        damages[i](b);
        const struct sc_batch_id id = b->head.id;
        sc_lane_store_push(n.store, b);
        for (int tries = 0; tries < 4000 && (got = answers_now(&n, answers)) == 0; tries++)
            nap();
        assert_int_equal(got, 1);
        assert_int_equal(answers[0].connection, 1000 + i);
        assert_true(answers[0].id.sequence == id.sequence && answers[0].id.stream == id.stream);
        assert_int_equal(answers[0].outcome, SC_LANE_REFUSED);
    }
    push(&n, 20, 0); /* nobody else suffers */
    expect(&n, 20, 1, true);
    const struct sc_lane_store_stats s = stats_when(&n, has_damaged);
    assert_int_equal(s.damaged, COUNT);
    assert_int_equal(s.batches, 1);
    uint64_t refused[SC_REFUSAL_COUNT];
    sc_refusals_get(&refusals, refused);
    assert_int_equal(refused[SC_REFUSAL_BATCH],
                     COUNT); /* so that the log has a line a minute, not one for each */
    check_lane(&n, NULL, 20, 1, 21, ROWS);
    close_node(&n);
    sc_refusals_free(&refusals);
}

static void assert_absent(const char *store, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", store, name);
    assert_int_equal(access(path, F_OK), -1);
}

/* Windows of no time that anybody lives in are refused, but for the one in which a clock that was never set begins. */
static void absurd_windows(void **state)
{
    (void)state;
    static const uint64_t windows[] = {0, UINT64_MAX / 300000 * 300000, UINT64_C(253402300800000)};
    struct node n;
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 3; i++) {
        struct sc_lane_answer answers[BATCHES];
        uint32_t got = 0;
        sc_lane_store_push(n.store, make(i, n.members[0].lane, windows[i], 300));
        for (int tries = 0; tries < 4000 && (got = answers_now(&n, answers)) == 0; tries++)
            nap();
        assert_int_equal(got, 1);
        assert_int_equal(answers[0].outcome, i == 0 ? SC_LANE_DURABLE : SC_LANE_REFUSED);
    }
    push(&n, 20, 0);
    expect(&n, 20, 1, true);
    stop(&n);
    assert_absent(n.path, "9999");
    assert_absent(n.path, "10000");
    close_node(&n);
}

/* ---- whose and when ---- */

static bool is_answered(struct node *n, struct sc_lane_batch *b, const char *proxy)
{
    struct sc_lane_answer answers[BATCHES];
    uint32_t got = 0;
    snprintf(b->proxy, sizeof(b->proxy), "%s", proxy);
    sc_lane_store_push(n->store, b);
    for (int tries = 0; tries < 4000 && (got = answers_now(n, answers)) == 0; tries++)
        nap();
    assert_int_equal(got, 1);
    return answers[0].outcome == SC_LANE_DURABLE;
}

/* A batch of another's stream, of a day that has not come, or of a lane too many is not taken, and leaves nothing. */
static void strange_batches_are_refused(void **state)
{
    (void)state;
    struct node n;
    struct sc_refusals refusals;
    uint64_t counts[SC_REFUSAL_COUNT], ahead = sc_clock_wall_ms() / 300000 * 300000 + 2 * 86400000;
    sc_refusals_init(&refusals);
    node_refusals = &refusals;
    open_node(&n, 300, false);
    node_refusals = NULL;
    const uint32_t own = n.members[0].lane;
    assert_true(is_answered(&n, make(0, own, WINDOW, 300), "beta"));
    assert_false(is_answered(&n, make(1, own, WINDOW, 300), "gamma"));
    assert_false(is_answered(&n, make(2, own, ahead, 300), "beta"));
    assert_true(is_answered(&n, make(3, own, ahead - 86400000 - 300000, 300), "beta"));
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(is_answered(&n, make(4 + i, 0x5000 + i, WINDOW, 300), "beta"), i < SC_LANES_OTHER);
    sc_refusals_get(&refusals, counts);
    assert_int_equal(counts[SC_REFUSAL_STREAM], 1);
    assert_int_equal(counts[SC_REFUSAL_WINDOW], 1);
    assert_int_equal(counts[SC_REFUSAL_LANE], 40 - SC_LANES_OTHER);
    check_lane(&n, NULL, 0, 3, 4, 2 * ROWS);
    assert_absent(n.path, SC_REPLICA_FOLDER "/lane-00005010");
    close_node(&n);
    sc_refusals_free(&refusals);
}

static void push_tally(struct node *n, const char *proxy, uint64_t stream, uint64_t window_ms, uint32_t lane)
{
    const struct sc_link_tally tally = {.stream = stream,
                                        .window_ms = window_ms,
                                        .window_s = 300,
                                        .lane = {.lane = lane, .accepted = {.batches = {9}}}};
    assert_int_equal(sc_lane_store_tally(n->store, proxy, &tally), SC_REFUSAL_NONE);
}

static bool has_tally(const struct node *n, uint64_t stream, uint64_t window_ms)
{
    char path[512];
    sc_tally_path(n->path, stream, window_ms, path, sizeof(path));
    return access(path, F_OK) == 0;
}

/* Of tallies likewise; nor are windows told of that retention has deleted. */
static void strange_tallies_are_passed_over(void **state)
{
    (void)state;
    struct node n;
    char path[512];
    struct sc_error err = {0};
    const uint64_t ahead = sc_clock_wall_ms() / 300000 * 300000 + 2 * 86400000;
    open_node(&n, 300, false);
    stop(&n);
    snprintf(path, sizeof(path), "%s/horizon", n.path);
    FILE *horizon = fopen(path, "w");
    assert_non_null(horizon);
    fprintf(horizon, "%llu\n", (unsigned long long)WINDOW);
    fclose(horizon);
    assert_int_equal(start(&n, &err), SC_OK);
    const uint32_t own = n.members[0].lane;
    push_tally(&n, "beta", 1, WINDOW, own);
    push_tally(&n, "gamma", 1, WINDOW + 300000, own);
    push_tally(&n, "beta", 1, ahead, own);
    push_tally(&n, "beta", 1, WINDOW - 300000, own);
    for (uint32_t i = 0; i < 40; i++)
        push_tally(&n, "beta", 2 + i, WINDOW, 0x5000 + i);
    stop(&n);
    assert_true(has_tally(&n, 1, WINDOW));
    assert_false(has_tally(&n, 1, WINDOW + 300000) || has_tally(&n, 1, ahead) ||
                 has_tally(&n, 1, WINDOW - 300000));
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(has_tally(&n, 2 + i, WINDOW), i < SC_LANES_OTHER);
    close_node(&n);
}

/* A hundred words that a stream is closed cost the disk one: a batch that comes behind them is stored at once. */
static void words_wait_for_nobody(void **state)
{
    (void)state;
    struct node n;
    struct sc_stream read;
    open_node(&n, 300, true);
    atomic_store(&disk.held, true);
    push(&n, 0, 0); /* the thread waits for the disk */
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(sc_lane_store_stream(n.store, "beta", &(struct sc_link_stream){5, true, true}),
                         SC_REFUSAL_NONE);
    atomic_store(&disk.held, false);
    expect(&n, 0, 1, true);
    push(&n, 1, 0);
    expect(&n, 1, 1, true);
    stop(&n);
    assert_true(atomic_load(&disk.syncs) < 20);
    assert_int_equal(sc_stream_read(n.path, 5, &read), SC_OK);
    assert_true(read.closed);
    close_node(&n);
}

static void await_word(const struct node *n, struct sc_refusals *refusals, uint64_t stream)
{
    struct sc_stream read;
    uint64_t before[SC_REFUSAL_COUNT], now[SC_REFUSAL_COUNT];
    sc_refusals_get(refusals, before);
    assert_int_equal(sc_lane_store_stream(n->store, "beta", &(struct sc_link_stream){stream, false, false}),
                     SC_REFUSAL_NONE);
    for (int tries = 0; tries < 4000; tries++) {
        sc_refusals_get(refusals, now);
        if (now[SC_REFUSAL_STREAM] != before[SC_REFUSAL_STREAM] ||
            sc_stream_read(n->path, stream, &read) == SC_OK)
            return;
        nap();
    }
    fail_msg("nothing becomes of a word");
}

/* More streams than a proxy may begin get no file; another's do. */
static void streams_have_a_share(void **state)
{
    (void)state;
    struct node n;
    struct sc_stream *streams;
    struct sc_refusals refusals;
    uint32_t count;
    sc_refusals_init(&refusals);
    node_refusals = &refusals;
    open_node(&n, 300, false);
    node_refusals = NULL;
    for (uint64_t i = 0; i < SC_STREAMS_NEW + 20; i++)
        await_word(&n, &refusals, i);
    assert_int_equal(sc_lane_store_stream(n.store, "gamma", &(struct sc_link_stream){1u << 30, false, false}),
                     SC_REFUSAL_NONE);
    stop(&n);
    assert_int_equal(sc_stream_list(n.path, &streams, &count, NULL), SC_OK);
    assert_int_equal(count, SC_STREAMS_NEW + 1);
    free(streams);
    close_node(&n);
    sc_refusals_free(&refusals);
}

/* More news than a proxy's share do not wait; another's do. */
static void news_have_a_share(void **state)
{
    (void)state;
    struct node n;
    struct sc_stream read;
    uint32_t refused = 0;
    open_node(&n, 300, true);
    atomic_store(&disk.held, true);
    push(&n, 0, 0); /* the thread waits for the disk */
    for (uint32_t i = 0; i < 2 * SC_NEWS_EACH + 1000; i++)
        refused += sc_lane_store_stream(n.store, "beta", &(struct sc_link_stream){i, false, false}) ==
                   SC_REFUSAL_TALLIES;
    assert_true(refused >= 1000);
    assert_int_equal(sc_lane_store_stream(n.store, "gamma", &(struct sc_link_stream){1u << 30, false, false}),
                     SC_REFUSAL_NONE);
    atomic_store(&disk.held, false);
    stop(&n);
    assert_int_equal(sc_stream_read(n.path, 1u << 30, &read), SC_OK);
    close_node(&n);
}

/* ---- durable means durable ---- */

static void no_answer_before_the_disk_has_it(void **state)
{
    (void)state;
    struct node n;
    struct sc_lane_answer answers[BATCHES];
    open_node(&n, 300, true);
    atomic_store(&disk.held, true);
    for (uint32_t i = 0; i < 10; i++)
        push(&n, i, i % 2);
    for (int times = 0; times < 120; times++) { /* three times as long as batches are gathered */
        assert_int_equal(answers_now(&n, answers), 0);
        nap();
    }
    int before = atomic_load(&disk.syncs);
    atomic_store(&disk.held, false);
    expect(&n, 0, 10, true);
    assert_true(atomic_load(&disk.syncs) >= before + 2); /* of both lanes */
    close_node(&n);
}

/* The machine stops at any moment: what was answered for is there, also when all that was not synced is lost. */
static void what_was_answered_for_survives_the_machine(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (uint32_t round = 0; round < 8; round++) {
        struct node n;
        struct sc_lane_answer answers[BATCHES];
        bool durable[BATCHES] = {false};
        uint32_t got, patience = (uint32_t)(kit_random(&random) % 60);
        open_node(&n, 300, true);
        for (uint32_t i = 0; i < BATCHES / 2; i++) {
            push(&n, i, 0);
            if (kit_random(&random) % 4 == 0)
                nap();
        }
        for (uint32_t i = 0; i < patience; i++)
            nap();
        pthread_mutex_lock(&disk.faults->mutex);
        disk.faults->stopped = true;
        pthread_mutex_unlock(&disk.faults->mutex);
        while ((got = answers_now(&n, answers)) != 0) {
            for (uint32_t i = 0; i < got; i++)
                durable[answers[i].id.sequence] = answers[i].outcome == SC_LANE_DURABLE;
        }
        stop(&n);
        fault_lose(disk.faults, round % 2 == 0 ? LOSS_ALL : LOSS_SOME, round);
        struct kit_scan scan;
        kit_scan_store(&scan, n.path, LIMIT);
        for (uint32_t i = 0; i < BATCHES; i++) {
            for (uint32_t row = 0; row < ROWS && durable[i]; row++)
                assert_int_equal(scan.seen[i * ROWS + row], 1);
        }
        kit_scan_free(&scan);
        close_node(&n);
    }
}

static bool is_full(const struct sc_lane_store_stats *s)
{
    return s->full && s->refused >= 10;
}

static void a_failed_sync_is_no_durability(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    for (uint32_t i = 0; i < 10; i++)
        push(&n, i, 0);
    expect(&n, 0, 10, true);
    atomic_store(&disk.failing_syncs, 1000);
    for (uint32_t i = 10; i < 20; i++)
        push(&n, i, 0);
    expect(&n, 10, 10, false);
    atomic_store(&disk.failing_syncs, 0);
    const struct sc_lane_store_stats s = stats_when(&n, is_full);
    assert_int_equal(s.refused, 10);
    assert_int_equal(s.batches, 10);
    for (uint32_t i = 10; i < 20; i++)
        push(&n, i, 0); /* nothing of them is remembered */
    expect(&n, 10, 10, true);
    check_lane(&n, NULL, 0, 1, 20, 20 * ROWS);
    close_node(&n);
}

static void count_once(const char *path, uint32_t batches)
{
    struct kit_scan scan;
    kit_scan_store(&scan, path, LIMIT);
    assert_int_equal(scan.rows, batches * ROWS);
    assert_int_equal(scan.damaged, 0);
    kit_scan_free(&scan);
}

/* One lane's sync fails: others are refused with it when they are in the same one, sent again, and counted once. */
static void a_failed_sync_of_one_lane(void **state)
{
    (void)state;
    struct node n;
    struct sc_lane_answer answers[BATCHES];
    bool durable[3] = {false};
    uint32_t got = 0;
    open_node(&n, 300, true);
    push(&n, 0, 0);
    push(&n, 1, 1);
    expect(&n, 0, 2, true);
    atomic_store(&disk.held, true);
    push(&n, 2, 0); /* the thread syncs this one while the others come */
    for (int times = 0; times < 100; times++)
        nap();
    struct sc_lane_batch *own = make(3, n.members[0].lane, WINDOW, 300);
    struct sc_lane_batch *other = make(4, n.members[1].lane, WINDOW, 300);
    atomic_store(&disk.failing_syncs, 2);
    sc_lane_store_push(n.store, own);
    sc_lane_store_push(n.store, other);
    atomic_store(&disk.held, false);
    for (int tries = 0; tries < 4000 && got < 3; tries++, nap()) {
        uint32_t more = answers_now(&n, answers);
        for (uint32_t i = 0; i < more; i++)
            durable[answers[i].id.sequence - 2] = answers[i].outcome == SC_LANE_DURABLE;
        got += more;
    }
    assert_int_equal(got, 3);
    assert_false(durable[0] || durable[1]); /* the third is, if the machine was slow between the two */
    push(&n, 2, 0);
    push(&n, 3, 0);
    push(&n, 4, 1);
    expect(&n, 2, 3, true);
    count_once(n.path, 3);
    char beta[512];
    snprintf(beta, sizeof(beta), "%s/" SC_REPLICA_FOLDER "/beta", n.path);
    count_once(beta, 2);
    close_node(&n);
}

static void a_full_disk_refuses(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    for (uint32_t i = 0; i < 10; i++)
        push(&n, i, 0);
    expect(&n, 0, 10, true);
    set_fault(FAULT_FULL);
    for (uint32_t i = 10; i < 20; i++)
        push(&n, i, i < 15 ? 0 : 1); /* beta's folder cannot even be made */
    expect(&n, 10, 10, false);
    const struct sc_lane_store_stats s = stats_when(&n, is_full);
    assert_int_equal(s.refused, 10);
    set_fault(FAULT_NONE);
    for (uint32_t i = 10; i < 20; i++)
        push(&n, i, i < 15 ? 0 : 1);
    expect(&n, 10, 10, true);
    check_lane(&n, NULL, 0, 1, 15, 15 * ROWS);
    check_lane(&n, "beta", 15, 1, 20, 5 * ROWS);
    close_node(&n);
}

/* Windows of all lanes in any order, such as an outbox holds after an outage: some files are open, whoever sends how many. */
static void files_are_few(void **state)
{
    (void)state;
    enum { LANES = 10, WINDOWS = 20 };
    struct node n;
    char unnamed[32];
    open_node(&n, 300, false);
    const uint64_t first = sc_clock_wall_ms() / 300000 * 300000 + 600000; /* nothing is sealed yet */
    for (uint32_t i = 0; i < LANES; i++) {
        for (uint32_t k = 0; k < WINDOWS; k++) {
            uint32_t lane = i < 3 ? n.members[i].lane : 0x6000 + i;
            sc_lane_store_push(n.store, make(k, lane, first + k * UINT64_C(300000), 300));
        }
        expect(&n, 0, WINDOWS, true);
        assert_true(kit_open_files(SC_LIVE_SUFFIX) <= 64 + LANES);
    }
    check_lane(&n, NULL, 0, 1, WINDOWS, WINDOWS * ROWS);
    for (uint32_t i = 3; i < LANES; i++) {
        snprintf(unnamed, sizeof(unnamed), "lane-%08x", 0x6000 + i);
        check_lane(&n, unnamed, 0, 1, WINDOWS, WINDOWS * ROWS);
    }
    close_node(&n);
}

/* ---- windows end ---- */

static bool both_are_sealed(const struct sc_lane_store_stats *s)
{
    return s->own.segments_sealed >= 2 && s->replicas.segments_sealed >= 2;
}

/* Short windows that are over: sealed a few seconds later, and what comes too late is taken all the same. */
static void windows_are_sealed(void **state)
{
    (void)state;
    struct node n;
    struct kit_scan scan;
    open_node(&n, 1, false);
    for (uint32_t i = 0; i < 20; i++)
        sc_lane_store_push(n.store, make(i, n.members[i % 2].lane, WINDOW - 3600000 * (1 + i / 10), 1));
    expect(&n, 0, 20, true);
    const struct sc_lane_store_stats s = stats_when(&n, both_are_sealed);
    assert_int_equal(s.own.segments_sealed, 2);
    assert_int_equal(s.replicas.segments_sealed, 2);
    kit_scan_store(&scan, n.path, LIMIT);
    assert_int_equal(scan.live, 0);
    kit_scan_free(&scan);
    check_lane(&n, NULL, 0, 2, 20, 10 * ROWS);
    check_lane(&n, "beta", 1, 2, 20, 10 * ROWS);
    sc_lane_store_push(n.store, make(20, n.members[0].lane, WINDOW - 3600000, 1));
    expect(&n, 20, 1, true);
    check_lane(&n, NULL, 0, 2, 21, 11 * ROWS);
    close_node(&n);
}

/* ---- what ought to be here ---- */

static bool tally_comes(const char *path, uint64_t batches, struct sc_tally *out)
{
    for (int tries = 0; tries < 4000; tries++) {
        if (sc_tally_read(path, out, NULL) == SC_OK) {
            if (out->lane_count == 2 && out->lanes[0].accepted.batches[0] == batches)
                return true;
            sc_tally_free(out);
        }
        nap();
    }
    return false;
}

/* Numbers only grow, whatever a proxy says later, also over a restart. */
static void tallies_are_kept(void **state)
{
    (void)state;
    struct node n;
    char path[512];
    struct sc_tally kept;
    struct sc_error err = {0};
    open_node(&n, 300, false);
    sc_tally_path(n.path, STREAM, WINDOW, path, sizeof(path));
    for (uint32_t round = 0; round < 3; round++) {
        static const uint64_t told[] = {10, 7, 12}, want[] = {10, 10, 12};
        for (uint32_t lane = 5; lane < 7; lane++) {
            const struct sc_link_tally tally = {
                .stream = STREAM,
                .window_ms = WINDOW,
                .window_s = 300,
                .lane = {.lane = lane, .accepted = {.batches = {told[round], 1}}}};
            assert_int_equal(sc_lane_store_tally(n.store, "p", &tally), SC_REFUSAL_NONE);
        }
        stop(&n);
        assert_true(tally_comes(path, want[round], &kept));
        assert_string_equal(kept.proxy, "p");
        assert_int_equal(kept.window_s, 300);
        assert_int_equal(kept.lanes[1].accepted.batches[1], 1);
        sc_tally_free(&kept);
        assert_int_equal(start(&n, &err), SC_OK);
    }
    const struct sc_link_tally absurd = {.stream = 1, .window_ms = UINT64_MAX, .window_s = UINT32_MAX};
    assert_int_equal(sc_lane_store_tally(n.store, "p", &absurd), SC_REFUSAL_NONE);
    close_node(&n);
}

static void streams_are_kept(void **state)
{
    (void)state;
    struct node n;
    struct sc_stream *streams;
    uint32_t count;
    open_node(&n, 300, false);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(sc_lane_store_stream(n.store, "p", &(struct sc_link_stream){i, i == 1, false}),
                         SC_REFUSAL_NONE);
    stop(&n);
    assert_int_equal(sc_stream_list(n.path, &streams, &count, NULL), SC_OK);
    assert_int_equal(count, 3);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(streams[i].proxy, "p");
        assert_int_equal(streams[i].closed, streams[i].stream == 1);
        assert_true(streams[i].heard_ms != 0);
    }
    free(streams);
    close_node(&n);
}

/* A tally of a window that cannot be makes no folder. */
static void tallies_of_absurd_windows(void **state)
{
    (void)state;
    static const uint64_t windows[] = {UINT64_C(253402300800000), WINDOW + 1};
    struct node n;
    char path[512];
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 2; i++) {
        const struct sc_link_tally tally = {.stream = STREAM, .window_ms = windows[i], .window_s = 300};
        assert_int_equal(sc_lane_store_tally(n.store, "p", &tally), SC_REFUSAL_NONE);
    }
    stop(&n);
    for (uint32_t i = 0; i < 2; i++) {
        sc_tally_path(n.path, STREAM, windows[i], path, sizeof(path));
        assert_int_equal(access(path, F_OK), -1);
    }
    close_node(&n);
}

/* ---- other members ---- */

/* What came before its lane had a name moves to the name; lanes that had one go on. */
static void lanes_get_names(void **state)
{
    (void)state;
    struct node n;
    char unnamed[64];
    struct sc_member members[4];
    open_node(&n, 300, false);
    const uint32_t lane = sc_cluster_lane("delta");
    sc_lane_store_push(n.store, make(0, lane, WINDOW, 300));
    push(&n, 1, 1);
    expect(&n, 0, 2, true);
    snprintf(unnamed, sizeof(unnamed), SC_REPLICA_FOLDER "/lane-%08x", lane);
    check_lane(&n, strchr(unnamed, '/') + 1, 0, 1, 1, ROWS);
    members[0] = (struct sc_member){.name = "delta", .lane = lane, .weight = 1, .subcollector = true};
    memcpy(&members[1], n.members, sizeof(n.members));
    const struct sc_cluster fresh = {.version = 2, .replication = 2, .members = members, .count = 4};
    assert_int_equal(sc_lane_store_set_cluster(n.store, &fresh), SC_OK);
    assert_int_equal(sc_lane_store_set_cluster(n.store, &fresh), SC_OK); /* twice in a row */
    for (int times = 0; times < 200; times++)
        nap();
    sc_lane_store_push(n.store, make(2, lane, WINDOW, 300));
    push(&n, 3, 1);
    expect(&n, 2, 2, true);
    check_lane(&n, "delta", 0, 2, 3, 2 * ROWS);
    check_lane(&n, "beta", 1, 2, 4, 2 * ROWS);
    assert_absent(n.path, unnamed);
    close_node(&n);
}

/* ---- starting ---- */

static void a_store_has_one_owner(void **state)
{
    (void)state;
    struct node n;
    struct sc_error err = {0};
    open_node(&n, 300, false);
    struct node other = n;
    assert_int_equal(start(&other, &err), SC_USAGE);
    other.path = (char *)(uintptr_t) "/proc/none/store";
    assert_int_not_equal(start(&other, &err), SC_OK);
    push(&n, 0, 0);
    expect(&n, 0, 1, true);
    close_node(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_have_their_folders),
        cmocka_unit_test(everything_is_counted),
        cmocka_unit_test(a_stop_loses_nothing),
        cmocka_unit_test(duplicates_are_acknowledged_and_not_stored),
        cmocka_unit_test(duplicates_of_an_earlier_process_are_counted_once),
        cmocka_unit_test(batches_that_lie_are_refused),
        cmocka_unit_test(absurd_windows),
        cmocka_unit_test(strange_batches_are_refused),
        cmocka_unit_test(strange_tallies_are_passed_over),
        cmocka_unit_test(words_wait_for_nobody),
        cmocka_unit_test(streams_have_a_share),
        cmocka_unit_test(news_have_a_share),
        cmocka_unit_test(no_answer_before_the_disk_has_it),
        cmocka_unit_test(what_was_answered_for_survives_the_machine),
        cmocka_unit_test(a_failed_sync_is_no_durability),
        cmocka_unit_test(a_failed_sync_of_one_lane),
        cmocka_unit_test(a_full_disk_refuses),
        cmocka_unit_test(files_are_few),
        cmocka_unit_test(windows_are_sealed),
        cmocka_unit_test(tallies_of_absurd_windows),
        cmocka_unit_test(lanes_get_names),
        cmocka_unit_test(tallies_are_kept),
        cmocka_unit_test(streams_are_kept),
        cmocka_unit_test(a_store_has_one_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
