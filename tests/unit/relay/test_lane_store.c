// SPDX-License-Identifier: BSD-3-Clause
/* The store thread of a subcollector: each batch is answered once, as durable only when it is, over disks that fail and fill. */
#include "lane_kit.h"

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
    assert_int_equal(s.stores.store.flows, 20 * ROWS);
    assert_int_equal(s.duplicates + s.refused + s.damaged, 0);
    assert_int_equal(s.waiting_bytes, 0);
    assert_true(s.stores.disk.free_bytes > 0);
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
    sc_lane_store_stop(NULL, NULL);
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

static void odd_window_length(struct sc_lane_batch *b) /* divides no day */
{
    b->head.window_s = 7;
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
    return s->damaged >= 16 && s->batches >= 1;
}

/* Its only answer. */
static struct sc_lane_answer answer_to(struct node *n, struct sc_lane_batch *b)
{
    struct sc_lane_answer answers[BATCHES];
    uint32_t got = 0;
    sc_lane_store_push(n->store, b);
    for (int tries = 0; tries < 4000 && (got = answers_now(n, answers)) == 0; tries++)
        nap();
    assert_int_equal(got, 1);
    assert_int_equal(answers[0].connection, CONNECTION);
    assert_int_equal(answered_by(&answers[0]), 1);
    return answers[0];
}

/* What was announced as it is will never be taken; what is other bytes than were announced is to be sent again. */
static void batches_that_lie_are_refused(void **state)
{
    (void)state;
    static damage *const damages[] = {
        other_stream,  other_lane, other_sequence,    other_records,    other_kind,     cut,
        cut_to_a_byte, flipped,    odd_window_length, no_window_length, within_a_window};
    enum { COUNT = sizeof(damages) / sizeof(damages[0]) };
    struct node n;
    struct sc_refusals refusals;
    uint32_t lost = 0;
    sc_refusals_init(&refusals);
    node_refusals = &refusals;
    open_node(&n, 300, false);
    node_refusals = NULL;
    for (uint32_t i = 0; i < 2 * COUNT; i++) {
        struct sc_lane_batch *b = make(i / 2, n.members[i % 2].lane, WINDOW, 300);
        damages[i / 2](b);
        const struct sc_batch_id id = b->head.id;
        if (i % 2 != 0)
            b->head.hash = sc_link_hash(b->bytes, b->head.size);
        bool changed = b->head.hash != sc_link_hash(b->bytes, b->head.size);
        const struct sc_lane_answer answer = answer_to(&n, b);
        assert_true(answer.id.sequence == id.sequence && answer.id.stream == id.stream);
        assert_int_equal(answer.outcome, changed ? SC_LANE_LOST : SC_LANE_REFUSED);
        lost += changed;
    }
    assert_int_equal(lost, 3); /* cut, cut to a byte, flipped */
    push(&n, 20, 0);           /* nobody else suffers */
    expect(&n, 20, 1, true);
    const struct sc_lane_store_stats s = stats_when(&n, has_damaged);
    assert_int_equal(s.damaged,
                     2 * (COUNT - 3)); /* the last three are whole, of windows that are none here */
    assert_int_equal(s.batches, 1);
    uint64_t refused[SC_REFUSAL_COUNT];
    sc_refusals_get(&refusals, refused);
    assert_int_equal(refused[SC_REFUSAL_BATCH],
                     s.damaged); /* so that the log has a line a minute, not one for each */
    assert_int_equal(refused[SC_REFUSAL_WINDOW], 6);
    check_lane(&n, NULL, 20, 1, 21, ROWS);
    close_node(&n);
    sc_refusals_free(&refusals);
}

/* Windows of no time that anybody lives in are refused, but for the one in which a clock that was never set begins. */
static void absurd_windows(void **state)
{
    (void)state;
    static const uint64_t windows[] = {0, UINT64_MAX / 300000 * 300000, UINT64_C(253402300800000)};
    struct node n;
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 3; i++) {
        const struct sc_lane_answer answer = answer_to(&n, make(i, n.members[0].lane, windows[i], 300));
        assert_int_equal(answer.outcome, i == 0 ? SC_LANE_DURABLE : SC_LANE_REFUSED);
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
    snprintf(b->proxy, sizeof(b->proxy), "%s", proxy);
    return answer_to(n, b).outcome == SC_LANE_DURABLE;
}

/* A day ahead of the others' clocks, not of the own. */
static void windows_ahead_are_so_by_others(void **state)
{
    (void)state;
    struct node n;
    struct sc_reference reference = {0};
    const uint64_t day = 86400000, now = sc_clock_wall_ms() / 300000 * 300000;
    const int64_t offset = (int64_t)(sc_clock_wall_ms() - sc_clock_mono_ms());
    node_reference = &reference;
    open_node(&n, 300, false);
    node_reference = NULL;
    const uint32_t own = n.members[0].lane;
    assert_false(
        is_answered(&n, make(0, own, now + 2 * day, 300), "beta")); /* nobody is known: by the own clock */
    sc_reference_set(&reference, offset + 3 * (int64_t)day);        /* which is three days behind */
    assert_true(is_answered(&n, make(1, own, now + 2 * day, 300), "beta"));
    assert_true(is_answered(&n, make(2, own, now + 4 * day - 300000, 300), "beta"));
    assert_false(is_answered(&n, make(3, own, now + 4 * day + 600000, 300), "beta"));
    sc_reference_set(&reference, offset - 3 * (int64_t)day); /* which is three days ahead */
    assert_false(is_answered(&n, make(4, own, now, 300), "beta"));
    assert_true(is_answered(&n, make(5, own, now - 3 * day, 300), "beta"));
    assert_true(is_answered(&n, make(6, own, now - 300 * day, 300), "beta")); /* of any past */
    close_node(&n);
}

/* A batch of a day that is long gone comes out of an outbox, and retention is shorter: it is not deleted on arrival. */
static void what_comes_late_is_kept(void **state)
{
    (void)state;
    struct node n;
    struct sc_reference reference = {0};
    sc_reference_set(&reference, (int64_t)(sc_clock_wall_ms() - sc_clock_mono_ms()));
    node_retention = (struct sc_retention){.age_s = 3600};
    node_reference = &reference;
    open_node(&n, 300, false);
    push(&n, 0, 1);
    push(&n, 1, 0);
    expect(&n, 0, 2, true);
    const uint64_t begun_ms = sc_clock_mono_ms();
    sc_lane_store_push(n.store, make(2, n.members[0].lane, WINDOW + 600000, 300));
    expect(&n, 2, 1, true);
    stop(&n);
    struct sc_error err;
    assert_int_equal(start(&n, &err), SC_OK); /* its first second */
    node_retention = (struct sc_retention){0};
    node_reference = NULL;
    while (sc_clock_mono_ms() < begun_ms + 2500)
        nap();
    check_lane(&n, "beta", 0, 1, 1, ROWS);
    check_lane(&n, NULL, 1, 1, 3, 2 * ROWS);
    close_node(&n);
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

/* ---- answers together ---- */

enum { EACH = 40 }; /* of a lane */

struct wanted {
    enum sc_lane_outcome outcome;
    uint64_t connection;
};

/* A batch of the first two lanes and connections, good or not; told by its number. */
static struct wanted push_any(struct node *n, uint32_t number, uint32_t lane, uint64_t *random)
{
    struct sc_lane_batch *b = make(number, n->members[lane].lane, WINDOW, 300);
    uint32_t kind = (uint32_t)(kit_random(random) % 8);
    b->connection = CONNECTION + kit_random(random) % 16 / 15;
    if (kind == 0)
        b->head.records++;
    else if (kind == 1)
        b->bytes[b->head.size / 3] ^= 1;
    const struct wanted want = {kind == 0   ? SC_LANE_REFUSED
                                : kind == 1 ? SC_LANE_LOST
                                            : SC_LANE_DURABLE,
                                b->connection};
    sc_lane_store_push(n->store, b);
    return want;
}

/* Takes some answers at a time, and compares. @return how many there were. */
static uint32_t take_answers(struct node *n, struct wanted want[2][EACH], bool seen[2][EACH], uint32_t most)
{
    struct sc_lane_answer answers[BATCHES];
    uint32_t count = sc_lane_store_answers(n->store, answers, most);
    assert_true(count <= most);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lane = answers[i].id.lane == n->members[1].lane;
        (void)answered_by(&answers[i]);
        for (uint64_t k = answers[i].id.sequence; k <= answers[i].last; k++) {
            assert_true(k < EACH && !seen[lane][k]);
            assert_int_equal(answers[i].outcome, want[lane][k].outcome);
            assert_int_equal(answers[i].connection, want[lane][k].connection);
            seen[lane][k] = true;
        }
    }
    return count;
}

/* Lanes that take turns, refused and lost ones among them: intervals cover what is durable, each once, and nothing else. */
static void intervals_cover_what_is_durable(void **state)
{
    (void)state;
    uint32_t answers = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct node n;
        uint64_t random = seed;
        struct wanted want[2][EACH];
        bool seen[2][EACH] = {{false}};
        uint32_t pushed[2] = {0}, got = 0;
        open_node(&n, 300, false);
        while (pushed[0] + pushed[1] < 2 * EACH) {
            uint32_t lane = kit_random(&random) % 2 == 0 ? pushed[0] == EACH : pushed[1] < EACH;
            want[lane][pushed[lane]] = push_any(&n, pushed[lane], lane, &random);
            pushed[lane]++;
        }
        for (int tries = 0; tries < 4000 && got < 2 * EACH; tries++) {
            answers += take_answers(&n, want, seen, 1 + (uint32_t)(kit_random(&random) % BATCHES));
            got = 0;
            for (uint32_t i = 0; i < 2 * EACH; i++)
                got += seen[i / EACH][i % EACH];
            if (got < 2 * EACH)
                nap();
        }
        assert_int_equal(got, 2 * EACH);
        close_node(&n);
    }
    assert_true(answers < 12 * 2 * EACH * 3 / 4); /* they are together where they can be */
}

/* The last sequence there is has none behind it. */
static void nothing_follows_the_last_sequence(void **state)
{
    (void)state;
    struct node n;
    struct sc_lane_answer answers[BATCHES];
    open_node(&n, 300, true);
    uint32_t got = 0, lane = n.members[0].lane;
    atomic_store(&disk.held, true);
    sc_lane_store_push(n.store, make_numbered(UINT64_MAX, 0, lane, WINDOW, 300));
    sc_lane_store_push(n.store, make_numbered(0, 1, lane, WINDOW, 300));
    atomic_store(&disk.held, false);
    for (int tries = 0; tries < 4000 && got < 2; tries++) {
        got += answers_now(&n, answers + got);
        nap();
    }
    assert_int_equal(got, 2);
    assert_true(answers[0].id.sequence == UINT64_MAX && answers[0].last == UINT64_MAX);
    assert_true(answers[1].id.sequence == 0 && answers[1].last == 0);
    close_node(&n);
}

/* Each bit of a row group is under one of its hashes, or checked by itself: none is changed on its way unseen. */
static void every_bit_is_looked_at(void **state)
{
    (void)state;
    struct sc_lane_batch *b = make(0, 7, WINDOW, 300);
    struct sc_encoded_group group;
    for (uint32_t bit = 0; bit < 8 * b->head.size; bit++) {
        b->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sc_row_group_check(b->bytes, b->head.size, &group, NULL), SC_DAMAGED);
        b->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(sc_row_group_check(b->bytes, b->head.size, &group, NULL), SC_OK);
    sc_encoded_group_free(&group);
    free(b->bytes);
    free(b);
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
            for (uint32_t i = 0; i < got; i++) {
                for (uint64_t k = answers[i].id.sequence; k <= answers[i].last; k++)
                    durable[k] = answers[i].outcome == SC_LANE_DURABLE;
            }
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
    assert_true(s.problem[0] != '\0'); /* the status says why: it is not for want of room */
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
    hold_disk(&n, 2); /* the thread syncs this one while the others come */
    struct sc_lane_batch *own = make(3, n.members[0].lane, WINDOW, 300);
    struct sc_lane_batch *other = make(4, n.members[1].lane, WINDOW, 300);
    atomic_store(&disk.failing_syncs, 2);
    sc_lane_store_push(n.store, own);
    sc_lane_store_push(n.store, other);
    atomic_store(&disk.held, false);
    for (int tries = 0; tries < 4000 && got < 3; tries++, nap()) {
        uint32_t more = answers_now(&n, answers);
        for (uint32_t i = 0; i < more; i++) {
            for (uint64_t k = answers[i].id.sequence; k <= answers[i].last; k++)
                durable[k - 2] = answers[i].outcome == SC_LANE_DURABLE;
            got += answered_by(&answers[i]);
        }
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

static bool is_wiped(const struct sc_lane_store_stats *s)
{
    return s->stores.wiped != 0;
}

/* After all of it was deleted: the lock file is one that was made since. */
static void await_lock(const struct node *n)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/collector.lock", n->path);
    for (int tries = 0; tries < 4000 && access(path, F_OK) != 0; tries++)
        nap();
    assert_int_equal(access(path, F_OK), 0);
}

/* What was durable is not here any more: who sends it again is not told that it is, and it is stored once more, in its lane. */
static void a_deleted_store_is_forgotten(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 20; i++)
        push(&n, i, i < 10 ? 0 : 1);
    expect(&n, 0, 20, true);
    kit_wipe(n.path);
    await_lock(&n);
    stats_when(&n, is_wiped);
    for (uint32_t i = 0; i < 20; i++)
        push(&n, i, i < 10 ? 0 : 1);
    expect(&n, 0, 20, true);
    check_lane(&n, NULL, 0, 1, 10, 10 * ROWS);
    check_lane(&n, "beta", 10, 1, 20, 10 * ROWS);
    close_node(&n);
}

/* One lane's part alone: the others stay. */
static void a_deleted_lane_is_forgotten(void **state)
{
    (void)state;
    struct node n;
    char beta[512];
    open_node(&n, 300, false);
    for (uint32_t i = 0; i < 20; i++)
        push(&n, i, i < 10 ? 0 : 1);
    expect(&n, 0, 20, true);
    snprintf(beta, sizeof(beta), "%s/" SC_REPLICA_FOLDER "/beta", n.path);
    kit_wipe(beta);
    stats_when(&n, is_wiped);
    for (uint32_t i = 10; i < 20; i++)
        push(&n, i, 1);
    expect(&n, 10, 10, true);
    check_lane(&n, NULL, 0, 1, 10, 10 * ROWS);
    check_lane(&n, "beta", 10, 1, 20, 10 * ROWS);
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
    return s->stores.store.segments_sealed >= 4;
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
    assert_int_equal(s.stores.store.segments_sealed, 4);
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

/* ---- other members ---- */

static bool has_live_files(const char *store)
{
    struct sc_catalogue c = {.replicas = true};
    bool any = false;
    assert_int_equal(sc_catalogue_add(&c, store, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++)
        any = any || !c.files[i].sealed;
    sc_catalogue_free(&c);
    return any;
}

/* A lane that gets nothing any more is sealed like the others, by the process after the one that wrote it. */
static void lanes_that_were_left_are_sealed(void **state)
{
    (void)state;
    struct node n;
    struct sc_error err = {0};
    open_node(&n, 300, false);
    push(&n, 0, 1);
    expect(&n, 0, 1, true);
    stop(&n);
    assert_true(has_live_files(n.path));
    assert_int_equal(start(&n, &err), SC_OK);
    for (uint32_t tries = 0; has_live_files(n.path) && tries < 1000; tries++)
        nap();
    assert_false(has_live_files(n.path));
    check_lane(&n, "beta", 0, 1, 1, ROWS);
    close_node(&n);
}

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
    const struct sc_cluster fresh = {
        .version = 2, .format = 1, .replication = 2, .members = members, .count = 4};
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
    assert_int_equal(start(&other, &err), SC_TAKEN);
    other.path = (char *)(uintptr_t) "/proc/none/store";
    assert_int_not_equal(start(&other, &err), SC_OK);
    push(&n, 0, 0);
    expect(&n, 0, 1, true);
    close_node(&n);
}

UNIT(test_lane_store)
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
        cmocka_unit_test(windows_ahead_are_so_by_others),
        cmocka_unit_test(what_comes_late_is_kept),
        cmocka_unit_test(intervals_cover_what_is_durable),
        cmocka_unit_test(nothing_follows_the_last_sequence),
        cmocka_unit_test(every_bit_is_looked_at),
        cmocka_unit_test(no_answer_before_the_disk_has_it),
        cmocka_unit_test(what_was_answered_for_survives_the_machine),
        cmocka_unit_test(a_failed_sync_is_no_durability),
        cmocka_unit_test(a_failed_sync_of_one_lane),
        cmocka_unit_test(a_deleted_store_is_forgotten),
        cmocka_unit_test(a_deleted_lane_is_forgotten),
        cmocka_unit_test(a_full_disk_refuses),
        cmocka_unit_test(files_are_few),
        cmocka_unit_test(windows_are_sealed),
        cmocka_unit_test(lanes_get_names),
        cmocka_unit_test(lanes_that_were_left_are_sealed),
        cmocka_unit_test(a_store_has_one_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
