// SPDX-License-Identifier: BSD-3-Clause
/* What a subcollector is told beside batches: tallies, and words on streams. */
#include "lane_kit.h"

#include "relay/stream_keeper.h"
#include "store/horizon.h"
#include "store/horizons.h"

/* ---- whose and when ---- */

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

/* As an earlier process left it: windows before WINDOW are expired at all members, or at all but one. */
static void write_horizons(const struct node *n, bool all)
{
    struct sc_horizons h = {.version = 1, .node = n->members[0].lane};
    for (uint32_t i = 0; i < 3; i++) {
        struct sc_member_horizon m = {.lane = n->members[i].lane, .horizon_ms = i != 2 || all ? WINDOW : 0};
        snprintf(m.name, sizeof(m.name), "%s", names[i]);
        assert_int_equal(sc_horizons_add_member(&h, &m), SC_OK);
    }
    assert_int_equal(sc_store_set_horizon(n->path, WINDOW, NULL, NULL), SC_OK);
    assert_int_equal(sc_horizons_write(n->path, &h, NULL, NULL), SC_OK);
    sc_horizons_free(&h);
}

/* Of tallies likewise; nor are windows told of that retention has deleted everywhere. */
static void strange_tallies_are_passed_over(void **state)
{
    (void)state;
    struct node n;
    struct sc_error err = {0};
    const uint64_t ahead = sc_clock_wall_ms() / 300000 * 300000 + 2 * 86400000;
    open_node(&n, 300, false);
    stop(&n);
    write_horizons(&n, true);
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

/* What another member may still hold, or have lost, is told here too. */
static void tallies_of_what_others_keep_are_taken(void **state)
{
    (void)state;
    struct node n;
    struct sc_error err = {0};
    open_node(&n, 300, false);
    stop(&n);
    write_horizons(&n, false);
    assert_int_equal(start(&n, &err), SC_OK);
    push_tally(&n, "beta", 1, WINDOW - 300000, n.members[0].lane);
    stop(&n);
    assert_true(has_tally(&n, 1, WINDOW - 300000));
    close_node(&n);
}

/* A hundred words that a stream is closed cost the disk one: a batch that comes behind them is stored at once. */
static void words_wait_for_nobody(void **state)
{
    (void)state;
    struct node n;
    struct sc_stream read;
    open_node(&n, 300, true);
    hold_disk(&n, 0);
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

/* A batch that comes before any word on its stream is durable with one: the proxy may die before it says any. */
static void a_batch_brings_its_stream(void **state)
{
    (void)state;
    struct node n;
    struct sc_stream read;
    open_node(&n, 300, true);
    struct sc_lane_batch *b = make(0, n.members[0].lane, WINDOW, 300);
    snprintf(b->proxy, sizeof(b->proxy), "beta");
    sc_lane_store_push(n.store, b);
    expect(&n, 0, 1, true);
    assert_int_equal(sc_stream_read(n.path, STREAM, &read), SC_OK);
    assert_string_equal(read.proxy, "beta");
    assert_false(read.closed);
    assert_true(sc_clock_wall_ms() - read.heard_ms < 60000);
    close_node(&n);
}

/* None without it, for whatever the disk fails on the way. */
static void no_batch_without_its_stream(void **state)
{
    (void)state;
    static const enum fault kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_TORN, FAULT_DROP};
    for (uint32_t i = 0; i < 4 * 12; i++) {
        struct node n;
        struct sc_stream read;
        struct sc_lane_answer answer;
        open_node(&n, 300, true);
        pthread_mutex_lock(&disk.faults->mutex);
        disk.faults->fault = kinds[i % 4];
        disk.faults->at = disk.faults->count + i / 4;
        pthread_mutex_unlock(&disk.faults->mutex);
        struct sc_lane_batch *b = make(0, n.members[0].lane, WINDOW, 300);
        snprintf(b->proxy, sizeof(b->proxy), "beta");
        sc_lane_store_push(n.store, b);
        while (sc_lane_store_answers(n.store, &answer, 1) == 0)
            nap();
        assert_true(answer.outcome != SC_LANE_DURABLE || sc_stream_read(n.path, STREAM, &read) == SC_OK);
        set_fault(FAULT_NONE);
        close_node(&n);
    }
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
    hold_disk(&n, 0);
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

UNIT(test_lane_news)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strange_tallies_are_passed_over),
        cmocka_unit_test(tallies_of_what_others_keep_are_taken),
        cmocka_unit_test(words_wait_for_nobody),
        cmocka_unit_test(a_batch_brings_its_stream),
        cmocka_unit_test(no_batch_without_its_stream),
        cmocka_unit_test(streams_have_a_share),
        cmocka_unit_test(news_have_a_share),
        cmocka_unit_test(tallies_of_absurd_windows),
        cmocka_unit_test(tallies_are_kept),
        cmocka_unit_test(streams_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
