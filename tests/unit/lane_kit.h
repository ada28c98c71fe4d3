// SPDX-License-Identifier: BSD-3-Clause
/* A subcollector's store thread in a folder of its own, over a disk that can be made to fail: batches and answers. */
#ifndef LANE_KIT_H
#define LANE_KIT_H

#include "fault_io.h"

#include "base/clock.h"
#include "relay/lane_names.h"
#include "relay/lane_store.h"
#include "store/row_group_encode.h"
#include "store/tally.h"

#include <stdatomic.h>
#include <time.h>

enum { ROWS = 20, BATCHES = 64, LIMIT = ROWS * BATCHES, STREAM = 77, FORMER = 0xdeadbeef, CONNECTION = 1000 };

/* Not ahead of anybody's clock. */
#define WINDOW UINT64_C(1699999800000)

/* ---- a disk with a switch ---- */

struct disk {
    struct sc_io_ops ops;
    struct fault_io *faults;
    atomic_bool held;         /* no datasync comes back */
    atomic_bool stands;       /* one does not */
    atomic_int failing_syncs; /* of so many the next ones fail, and what they should have written is gone */
    atomic_int syncs;         /* that succeeded */
};

static struct disk disk; /* the operations have no argument of ours */

static inline void nap(void)
{
    const struct timespec t = {.tv_nsec = 5000000};
    nanosleep(&t, NULL);
}

static inline void set_fault(enum fault fault)
{
    pthread_mutex_lock(&disk.faults->mutex);
    disk.faults->fault = fault;
    disk.faults->at = disk.faults->count;
    pthread_mutex_unlock(&disk.faults->mutex);
}

static inline int disk_datasync(struct sc_io *io, int handle)
{
    while (atomic_load(&disk.held)) {
        atomic_store(&disk.stands, true);
        nap();
    }
    atomic_store(&disk.stands, false);
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

static struct sc_refusals *node_refusals; /* of the node that is opened next, as the two below */
static const struct sc_reference *node_reference;
static struct sc_retention node_retention;

static const char *const names[] = {"alpha", "beta", "gamma"};

static inline void on_answered(void *arg)
{
    struct node *n = arg;
    atomic_fetch_add(&n->calls, 1);
}

static inline enum sc_status start(struct node *n, struct sc_error *err)
{
    const struct sc_lane_store_options options = {.store = n->path,
                                                  .cluster = &n->cluster,
                                                  .self = 0,
                                                  .window_s = n->window_s,
                                                  .io = disk.faults == NULL ? NULL : &disk.faults->io,
                                                  .refusals = node_refusals,
                                                  .reference = node_reference,
                                                  .retention = node_retention,
                                                  .answered = on_answered,
                                                  .arg = n};
    return sc_lane_store_start(&options, &n->store, err);
}

static inline void open_node(struct node *n, uint32_t window_s, bool faulty)
{
    struct sc_error err = {0};
    *n = (struct node){.path = kit_folder(), .window_s = window_s};
    for (uint32_t i = 0; i < 3; i++) {
        n->members[i] =
            (struct sc_member){.lane = sc_cluster_lane(names[i]), .weight = 1, .subcollector = true};
        snprintf(n->members[i].name, sizeof(n->members[i].name), "%s", names[i]);
    }
    n->cluster =
        (struct sc_cluster){.version = 1, .format = 1, .replication = 2, .members = n->members, .count = 3};
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

static inline void stop(struct node *n)
{
    sc_lane_store_stop(n->store, NULL);
    n->store = NULL;
}

static inline void close_node(struct node *n)
{
    stop(n);
    if (disk.faults != NULL)
        fault_free_io(disk.faults);
    disk.faults = NULL;
    kit_remove(n->path);
}

/* ---- batches: number i holds the flows [i * ROWS, (i + 1) * ROWS) ---- */

static inline struct sc_lane_batch *make_numbered(uint64_t sequence, uint32_t number, uint32_t lane,
                                                  uint64_t window_ms, uint32_t window_s)
{
    struct sc_batch *batch = kit_batch((uint64_t)number * ROWS, ROWS, window_ms);
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    struct sc_buf out = {0};
    kit_span(batch, STREAM, sequence);
    batch->spans[0].lane = lane;
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_row_group_encode(&encoder, batch, &out, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    sc_row_group_encoder_free(&encoder);
    sc_batch_free(batch);
    struct sc_lane_batch *b = malloc(sizeof(*b));
    assert_non_null(b);
    *b = (struct sc_lane_batch){.connection = CONNECTION,
                                .head = {.id = {.stream = STREAM, .lane = lane, .sequence = sequence},
                                         .window_ms = window_ms,
                                         .window_s = window_s,
                                         .records = ROWS,
                                         .record_kind = SC_RECORDS_FLOWS,
                                         .size = (uint32_t)out.len,
                                         .hash = sc_link_hash(out.data, out.len)}};
    b->bytes = sc_buf_take(&out);
    return b;
}

static inline struct sc_lane_batch *make(uint32_t number, uint32_t lane, uint64_t window_ms,
                                         uint32_t window_s)
{
    return make_numbered(number, number, lane, window_ms, window_s);
}

static inline void push(struct node *n, uint32_t number, uint32_t member)
{
    uint32_t lane = member < 3 ? n->members[member].lane : (uint32_t)FORMER;
    sc_lane_store_push(n->store, make(number, lane, WINDOW, n->window_s));
}

/* ---- answers ---- */

static inline uint32_t answers_now(struct node *n, struct sc_lane_answer *out)
{
    return sc_lane_store_answers(n->store, out, BATCHES);
}

/* That there are answers is said, at the latest just after they can be had. */
static inline void assert_told(struct node *n)
{
    for (int tries = 0; tries < 400 && atomic_load(&n->calls) == 0; tries++)
        nap();
    assert_true(atomic_exchange(&n->calls, 0) > 0);
}

/* How many batches it is the answer for: several are durable. */
static inline uint32_t answered_by(const struct sc_lane_answer *a)
{
    assert_true(a->last == a->id.sequence || (a->last > a->id.sequence && a->outcome == SC_LANE_DURABLE));
    return (uint32_t)(a->last - a->id.sequence + 1);
}

/* Exactly one answer for each of the `count` batches from `first` on, all alike. */
static inline void expect(struct node *n, uint32_t first, uint32_t count, bool durable)
{
    struct sc_lane_answer answers[BATCHES];
    bool seen[BATCHES] = {false};
    uint32_t got = 0;
    for (int tries = 0; tries < 4000 && got < count; tries++) {
        uint32_t more = answers_now(n, answers);
        for (uint32_t i = 0; i < more; i++) {
            uint64_t number = answers[i].id.sequence;
            assert_int_equal(answers[i].connection, CONNECTION);
            assert_int_equal(answers[i].id.stream, STREAM);
            assert_int_equal(answers[i].outcome, durable ? SC_LANE_DURABLE : SC_LANE_LOST);
            got += answered_by(&answers[i]);
            for (; number <= answers[i].last; number++) {
                assert_true(number >= first && number < first + count);
                assert_false(seen[number]);
                seen[number] = true;
            }
        }
        if (more == 0)
            nap();
    }
    assert_int_equal(got, count);
    assert_told(n);
}

/* Statistics are published once a second. */
static inline struct sc_lane_store_stats stats_when(struct node *n,
                                                    bool (*when)(const struct sc_lane_store_stats *))
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

/* Has the store thread stand in the disk, with a batch of its own; until disk.held is false again. */
static inline void hold_disk(struct node *n, uint32_t number)
{
    atomic_store(&disk.held, true);
    push(n, number, 0);
    while (!atomic_load(&disk.stands))
        nap();
}

/* ---- what is on the disk ---- */

/* The lane's folder holds the flows of the batches first, first + step and so on below `count`, each once. */
static inline void check_lane(const struct node *n, const char *replica, uint32_t first, uint32_t step,
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

static inline void assert_absent(const char *store, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", store, name);
    assert_int_equal(access(path, F_OK), -1);
}

#endif
