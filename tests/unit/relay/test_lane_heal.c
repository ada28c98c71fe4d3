// SPDX-License-Identifier: BSD-3-Clause
/* Row groups that other members give: they go in whole and durable, or not at all, and who gave them over is told which. */
#include "lane_kit.h"

#include "relay/stock.h"

#include <pthread.h>

enum { SPANS = 12 };

/* ---- row groups as another member holds them ---- */

struct lent {
    struct sc_batch_head head;
    uint8_t *bytes;
};

/* Of the batches `first` to `first` + SPANS - 1, each with a lane; they lie in one row group. */
static struct lent encode(uint32_t first, const uint32_t lanes[SPANS])
{
    struct sc_batch *batch = kit_batch((uint64_t)first * ROWS, SPANS * ROWS, WINDOW);
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    struct sc_buf out = {0};
    free(batch->spans);
    batch->spans = calloc(SPANS, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    batch->span_count = SPANS;
    for (uint32_t i = 0; i < SPANS; i++)
        batch->spans[i] = (struct sc_span){
            .stream = STREAM, .sequence = first + i, .lane = lanes[i], .first_row = i * ROWS, .rows = ROWS};
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_row_group_encode(&encoder, batch, &out, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    sc_row_group_encoder_free(&encoder);
    sc_batch_free(batch);
    struct lent lent = {.head = {.id = {.stream = STREAM, .lane = lanes[0], .sequence = first},
                                 .window_ms = WINDOW,
                                 .window_s = 300,
                                 .records = SPANS * ROWS,
                                 .record_kind = SC_RECORDS_FLOWS,
                                 .size = (uint32_t)out.len,
                                 .hash = sc_link_hash(out.data, out.len)}};
    lent.bytes = sc_buf_take(&out);
    return lent;
}

static struct lent make_lent(uint32_t first, uint32_t lane)
{
    uint32_t lanes[SPANS];
    for (uint32_t i = 0; i < SPANS; i++)
        lanes[i] = lane;
    return encode(first, lanes);
}

/* From a store in which they came one by one, and were sealed. */
static struct lent lend_sealed(uint32_t first, uint32_t lane)
{
    char *path = kit_folder();
    const struct sc_store_options options = {.lane = lane, .window_s = 300};
    const struct sc_window window = {WINDOW, 300};
    struct sc_stock stock = {.store = path};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
    struct sc_buf bytes = {0};
    struct lent lent;
    assert_non_null(w);
    for (uint32_t i = 0; i < SPANS; i++) {
        struct sc_batch *batch = kit_batch((uint64_t)(first + i) * ROWS, ROWS, WINDOW);
        kit_span(batch, STREAM, first + i);
        batch->spans[0].lane = lane;
        assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    assert_int_equal(sc_stock_refresh(&stock, NULL), SC_OK);
    assert_int_equal(sc_stock_group(&stock, lane, &window, STREAM, first + 5, &lent.head, &bytes, NULL),
                     SC_OK);
    assert_int_equal(lent.head.id.sequence, first);
    lent.bytes = sc_buf_take(&bytes);
    sc_stock_free(&stock);
    kit_remove(path);
    return lent;
}

static void give(struct node *n, struct lent lent)
{
    assert_true(sc_lane_store_heal(n->store, &lent.head, lent.bytes));
}

static void assert_no_answer(struct node *n)
{
    struct sc_lane_answer answers[BATCHES];
    struct sc_lane_store_stats stats;
    assert_int_equal(answers_now(n, answers), 0);
    sc_lane_store_get_stats(n->store, &stats);
    assert_int_equal(stats.waiting_bytes, 0);
}

/* ---- what is taken ---- */

static bool took_duplicates(const struct sc_lane_store_stats *s)
{
    return s->duplicates == SPANS;
}

/* Retention by age counts from the end of its window: another node had it since. */
static void assert_age(const struct node *n)
{
    struct sc_catalogue c = {.replicas = true};
    assert_int_equal(sc_catalogue_add(&c, n->path, NULL), SC_OK);
    assert_int_equal(c.count, 1);
    assert_true(sc_segment_created_ms(c.files[0].path) == WINDOW + 300000);
    sc_catalogue_free(&c);
}

/* No batch of a proxy, and answered to nobody; but when a proxy sends one of them it is here. */
static void a_sealed_row_group_is_here_with_all_its_batches(void **state)
{
    (void)state;
    struct node n;
    for (uint32_t member = 0; member < 2; member++) {
        open_node(&n, 300, true);
        give(&n, lend_sealed(7, n.members[member].lane));
        assert_int_equal(sc_lane_store_healed(n.store), 0);
        assert_true(atomic_load(&disk.syncs) > 0);
        assert_no_answer(&n);
        const char *replica = member == 0 ? NULL : "beta";
        check_lane(&n, replica, 7, 1, 7 + SPANS, SPANS * ROWS);
        assert_age(&n);
        atomic_store(&n.calls, 0);
        for (uint32_t i = 0; i < SPANS; i++)
            push(&n, 7 + i, member);
        expect(&n, 7, SPANS, true);
        struct sc_lane_store_stats stats = stats_when(&n, took_duplicates);
        assert_int_equal(stats.batches, 0);
        assert_int_equal(stats.records, 0);
        assert_int_equal(stats.healed, 1);
        check_lane(&n, replica, 7, 1, 7 + SPANS, SPANS * ROWS);
        close_node(&n);
    }
}

/* Some of its batches came before, and the whole of it comes twice: each is counted once. */
static void batches_that_are_here_already_do_no_harm(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    for (uint32_t i = 0; i < 10; i++)
        push(&n, i, 1);
    expect(&n, 0, 10, true);
    for (uint32_t i = 0; i < 2; i++)
        give(&n, make_lent(4, n.members[1].lane));
    assert_int_equal(sc_lane_store_healed(n.store), 0);
    check_lane(&n, "beta", 0, 1, 4 + SPANS, 10 * ROWS + 2 * SPANS * ROWS);
    close_node(&n);
}

/* Windows of another length than this node's: members may have them. */
static void windows_of_any_length_are_taken(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 60, true);
    give(&n, make_lent(0, n.members[1].lane));
    assert_int_equal(sc_lane_store_healed(n.store), 0);
    check_lane(&n, "beta", 0, 1, SPANS, SPANS * ROWS);
    close_node(&n);
}

/* ---- what is not ---- */

static void assert_refused(struct node *n, struct lent lent)
{
    give(n, lent);
    assert_int_equal(sc_lane_store_healed(n->store), 1);
    assert_int_equal(sc_lane_store_healed(n->store), 0); /* it is told once */
    assert_no_answer(n);
}

static void damaged_bytes_are_not_stored(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    struct lent whole = make_lent(0, n.members[1].lane);
    const uint32_t size = whole.head.size;
    free(whole.bytes);
    for (uint32_t at = 0; at < size; at += 1 + size / 60) {
        struct lent lent = make_lent(0, n.members[1].lane);
        lent.bytes[at] ^= 0x10;
        assert_refused(&n, lent);
    }
    for (uint32_t cut = 8; cut < size; cut += size / 20) {
        struct lent lent = make_lent(0, n.members[1].lane);
        lent.head.size -= cut;
        assert_refused(&n, lent);
    }
    assert_absent(n.path, SC_REPLICA_FOLDER "/beta");
    close_node(&n);
}

/* The head is what it is stored by. */
static void a_head_that_says_something_else(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    for (uint32_t what = 0; what < 5; what++) {
        struct lent lent = make_lent(0, n.members[1].lane);
        struct sc_batch_head *h = &lent.head;
        h->id.stream += what == 0;
        h->id.sequence += what == 1; /* it is in it, but not the first */
        h->id.lane = what == 2 ? n.members[2].lane : h->id.lane;
        h->records += what == 3;
        h->record_kind = what == 4 ? SC_RECORDS_OPTIONS : h->record_kind;
        assert_refused(&n, lent);
    }
    assert_absent(n.path, SC_REPLICA_FOLDER "/beta");
    assert_absent(n.path, SC_REPLICA_FOLDER "/gamma");
    close_node(&n);
}

static void a_batch_of_another_lane_is_in_it(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    for (uint32_t at = 1; at < SPANS; at++) {
        uint32_t lanes[SPANS];
        for (uint32_t i = 0; i < SPANS; i++)
            lanes[i] = n.members[i == at ? 2 : 1].lane;
        assert_refused(&n, encode(0, lanes));
    }
    assert_absent(n.path, SC_REPLICA_FOLDER "/beta");
    close_node(&n);
}

static void a_window_that_cannot_be(void **state)
{
    (void)state;
    static const struct sc_window windows[] = {
        {WINDOW, 0},      {WINDOW, 7}, {WINDOW + 1, 300}, {WINDOW, 86401}, {UINT64_C(7258118400000), 300},
        {UINT64_MAX, 300}};
    struct node n;
    open_node(&n, 300, true);
    for (uint32_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        struct lent lent = make_lent(0, n.members[1].lane);
        lent.head.window_ms = windows[i].begin_ms;
        lent.head.window_s = windows[i].length_s;
        assert_refused(&n, lent);
    }
    assert_absent(n.path, SC_REPLICA_FOLDER "/beta");
    give(&n, make_lent(0, n.members[1].lane));
    assert_int_equal(sc_lane_store_healed(n.store), 0);
    close_node(&n);
}

/* ---- disks ---- */

static void set_full(bool full)
{
    pthread_mutex_lock(&disk.faults->mutex);
    disk.faults->full = full;
    pthread_mutex_unlock(&disk.faults->mutex);
}

/* Nothing of it is here, nor is a proxy told that it is. When there is room it is. */
static void a_full_disk_takes_nothing_of_it(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    set_full(true);
    assert_refused(&n, make_lent(0, n.members[1].lane));
    push(&n, 3, 1);
    expect(&n, 3, 1, false);
    set_full(false);
    push(&n, 3, 1);
    expect(&n, 3, 1, true);
    check_lane(&n, "beta", 3, 1, 4, ROWS);
    give(&n, make_lent(0, n.members[1].lane));
    assert_int_equal(sc_lane_store_healed(n.store), 0);
    check_lane(&n, "beta", 0, 1, SPANS, SPANS * ROWS + ROWS);
    close_node(&n);
}

/* All that was not durable is told of as failed, what came with it from proxies too. */
static void a_sync_that_fails_takes_all_of_them(void **state)
{
    (void)state;
    struct node n;
    open_node(&n, 300, true);
    hold_disk(&n, 62);
    atomic_store(&disk.failing_syncs, 1000);
    for (uint32_t i = 0; i < 3; i++)
        give(&n, make_lent(i * SPANS, n.members[0].lane));
    push(&n, 63, 0);
    atomic_store(&disk.held, false);
    assert_int_equal(sc_lane_store_healed(n.store), 3);
    expect(&n, 62, 2, false);
    atomic_store(&disk.failing_syncs, 0);
    check_lane(&n, NULL, 0, 1, 0, 0);
    atomic_store(&disk.failing_syncs, 1);
    give(&n, make_lent(0, n.members[1].lane));
    assert_int_equal(sc_lane_store_healed(n.store), 1);
    give(&n, make_lent(0, n.members[1].lane));
    assert_int_equal(sc_lane_store_healed(n.store), 0);
    check_lane(&n, "beta", 0, 1, SPANS, SPANS * ROWS);
    close_node(&n);
}

/* ---- waiting ---- */

struct waiter {
    struct node *n;
    atomic_bool done;
    uint32_t failed;
};

static void *wait_for_all(void *arg)
{
    struct waiter *w = arg;
    w->failed = sc_lane_store_healed(w->n->store);
    atomic_store(&w->done, true);
    return NULL;
}

static bool took_all(const struct sc_lane_store_stats *s)
{
    return s->duplicates == 3 * SPANS;
}

/* Not before the disk has them all; with those that were refused it is the whole number. */
static void who_waits_waits_for_all(void **state)
{
    (void)state;
    struct node n;
    pthread_t thread;
    open_node(&n, 300, true);
    struct waiter waiter = {.n = &n};
    hold_disk(&n, 63);
    for (uint32_t i = 0; i < 5; i++) {
        struct lent lent = make_lent(i * SPANS, n.members[1].lane);
        lent.head.records += i % 2; /* two of them are refused */
        give(&n, lent);
    }
    assert_int_equal(pthread_create(&thread, NULL, wait_for_all, &waiter), 0);
    for (uint32_t i = 0; i < 20; i++)
        nap();
    assert_false(atomic_load(&waiter.done));
    atomic_store(&disk.held, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiter.failed, 2);
    expect(&n, 63, 1, true);
    for (uint32_t i = 0; i < 5; i += 2) {
        for (uint32_t k = 0; k < SPANS; k++)
            push(&n, i * SPANS + k, 1);
        expect(&n, i * SPANS, SPANS, true);
    }
    assert_int_equal(stats_when(&n, took_all).healed, 3);
    close_node(&n);
}

/* Who ends the store has made durable what was handed over. */
static void what_was_handed_over_is_stored_at_the_end(void **state)
{
    (void)state;
    struct node n;
    struct sc_error err = {0};
    open_node(&n, 300, true);
    give(&n, make_lent(0, n.members[1].lane));
    give(&n, make_lent(20, n.members[0].lane));
    stop(&n);
    check_lane(&n, "beta", 0, 1, SPANS, SPANS * ROWS);
    assert_int_equal(start(&n, &err), SC_OK);
    close_node(&n);
}

UNIT(test_lane_heal)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_row_group_is_here_with_all_its_batches),
        cmocka_unit_test(batches_that_are_here_already_do_no_harm),
        cmocka_unit_test(windows_of_any_length_are_taken),
        cmocka_unit_test(damaged_bytes_are_not_stored),
        cmocka_unit_test(a_head_that_says_something_else),
        cmocka_unit_test(a_batch_of_another_lane_is_in_it),
        cmocka_unit_test(a_window_that_cannot_be),
        cmocka_unit_test(a_full_disk_takes_nothing_of_it),
        cmocka_unit_test(a_sync_that_fails_takes_all_of_them),
        cmocka_unit_test(who_waits_waits_for_all),
        cmocka_unit_test(what_was_handed_over_is_stored_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
