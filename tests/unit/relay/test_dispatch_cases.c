// SPDX-License-Identifier: BSD-3-Clause
/* The dispatch: shares, members that are stuck, batches that cannot be read, long lines; at the side of its model. */
#include "dispatch_kit.h"

/* ---- shares ---- */

static void count_homes(struct world *w, uint32_t rounds, uint32_t counts[MEMBERS])
{
    memset(counts, 0, MEMBERS * sizeof(counts[0]));
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t home = sc_dispatch_home(w->dispatch) - 100;
        assert_true(home < w->cluster.count);
        counts[home]++;
    }
}

static void assert_share(uint32_t count, uint32_t of, uint32_t weight, uint32_t weights)
{
    double want = (double)of * weight / weights;
    assert_true(count >= want * 0.98 && count <= want * 1.02);
}

/* Weights 1, 2, 3 and a proxy between them; of those usable when there are any. */
static void shares_follow_weights(void **state)
{
    (void)state;
    struct world w;
    uint32_t n[MEMBERS];
    open_world(&w, 2, 4, 1u << 1, 1);
    w.members[2].weight = 2;
    w.members[3].weight = 3;
    assert_int_equal(sc_dispatch_set_cluster(w.dispatch, &w.cluster), SC_OK);
    for (int usable = 0; usable < 2; usable++) {
        count_homes(&w, 6000, n);
        assert_int_equal(n[1], 0);
        assert_share(n[0], 6000, 1, 6);
        assert_share(n[2], 6000, 2, 6);
        assert_share(n[3], 6000, 3, 6);
        set_usable(&w, 0, true);
        set_usable(&w, 2, true);
        set_usable(&w, 3, true);
    }
    count_homes(&w, 6, n); /* they take turns: nobody waits for long */
    assert_true(n[0] == 1 && n[2] == 2 && n[3] == 3);
    set_usable(&w, 3, false);
    count_homes(&w, 3000, n);
    assert_int_equal(n[1] + n[3], 0);
    assert_share(n[0], 3000, 1, 3);
    assert_share(n[2], 3000, 2, 3);
    uint64_t random = 1;
    for (uint32_t i = 0; i < 500; i++) /* whatever they did before */
        set_usable(&w, i % 2 == 0 ? 2 : 3, next_random(&random) % 2 != 0), count_homes(&w, i % 7, n);
    set_usable(&w, 2, true);
    set_usable(&w, 3, true);
    count_homes(&w, 6000, n);
    assert_share(n[0], 6000, 1, 6);
    assert_share(n[2], 6000, 2, 6);
    assert_share(n[3], 6000, 3, 6);
    close_world(&w);
}

static void nobody_to_send_to(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 2, 3, 8);
    assert_int_equal(sc_dispatch_home(w.dispatch), 0);
    add(&w, NO_LANE, NO_LANE % 2);
    compare(&w);
    close_world(&w);
    sc_dispatch_free(NULL);
}

/* ---- a member that is stuck ---- */

/* Everything that the quick ones have is acknowledged, as often as there is something. */
static void serve(struct world *w, uint32_t quick)
{
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t m = 0; m < w->cluster.count; m++) {
            while ((quick >> m & 1) != 0 && w->lines[m].count != 0)
                next(w, m);
            for (uint32_t i = w->first_kept; i < w->count; i++) {
                if ((quick & w->batches[i].flying) >> m & 1)
                    ack_one(w, m, i);
            }
        }
    }
    compare(w);
}

static void open_stuck(struct world *w, uint32_t copies, uint32_t members, uint32_t batches)
{
    open_world(w, copies, members, 0, BATCHES);
    for (uint32_t m = 0; m < members; m++)
        set_usable(w, m, true);
    tick(w, 1, false);
    for (uint32_t i = 0; i < batches; i++) {
        add(w, 100, 0);
        next(w, 0); /* the home takes it and says nothing */
    }
    serve(w, ~1u);
    assert_int_equal(unreleased(w), batches);
}

/* It gets nothing new after 2 s; after 10 s the next has a copy of what it was sent, 50 batches a second. */
static void a_stuck_member(void **state)
{
    (void)state;
    struct world w;
    open_stuck(&w, 2, 3, 300);
    tick(&w, 1999, false);
    assert_int_equal(w.slow, 0);
    add(&w, 100, 0);
    tick(&w, 1, false);
    assert_int_equal(w.slow, 1);
    serve(&w, 6); /* what waited for it went to the third */
    assert_int_equal(unreleased(&w), 300);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_not_equal(sc_dispatch_home(w.dispatch), 100);
        add(&w, 100, 0);
    }
    serve(&w, 6);
    assert_int_equal(unreleased(&w), 300);
    for (uint32_t ms = 2000; ms < 10000; ms += 50)
        tick(&w, 50, false);
    serve(&w, 6);
    uint32_t at_once = 300 - unreleased(&w);
    assert_true(at_once >= 2 && at_once <= 50);
    for (uint32_t ms = 0; ms < 1000; ms += 50)
        tick(&w, 50, false);
    serve(&w, 6);
    assert_int_equal(300 - unreleased(&w), at_once + 50);
    ack(&w, 0, 100, 0, w.count - 1); /* in the end it does acknowledge: that counts */
    assert_int_equal(unreleased(&w), 0);
    tick(&w, 50, false);
    assert_int_equal(w.slow, 0);
    compare(&w);
    close_world(&w);
}

/* When the outbox fills, all of that happens within a second. */
static void a_stuck_member_under_pressure(void **state)
{
    (void)state;
    struct world w;
    open_stuck(&w, 2, 3, 300);
    tick(&w, 500, true);
    assert_int_equal(w.slow, 1);
    tick(&w, 499, true);
    serve(&w, 6);
    assert_int_equal(unreleased(&w), 300);
    tick(&w, 1, true);
    serve(&w, 6);
    assert_int_equal(unreleased(&w), 0);
    close_world(&w);
}

/* Nobody can take its place: two copies are still two copies. */
static void a_stuck_member_of_two(void **state)
{
    (void)state;
    struct world w;
    open_stuck(&w, 2, 2, 10);
    for (uint32_t ms = 0; ms < 20000; ms += 50)
        tick(&w, 50, ms % 100 == 0);
    add(&w, 101, 1);
    serve(&w, 2);
    assert_int_equal(unreleased(&w), 11);
    serve(&w, 3);
    assert_int_equal(unreleased(&w), 0);
    close_world(&w);
}

/* Two are stuck; what waits for one of them goes to the other as soon as that is well. */
static void a_stuck_member_while_another_recovers(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 3, 0, BATCHES);
    for (uint32_t m = 0; m < 3; m++)
        set_usable(&w, m, true);
    add(&w, 100, 0);
    next(&w, 0);
    add(&w, 102, 2);
    next(&w, 2); /* the first and the third are stuck */
    tick(&w, 2000, false);
    assert_int_equal(w.slow, 5);
    add(&w, 100, 0);
    assert_int_equal(w.lines[0].count, 1);
    ack(&w, 2, 102, 1, 1);
    tick(&w, 50, false);
    assert_int_equal(w.slow, 1);
    serve(&w, 6);
    assert_true(w.batches[2].released);
    close_world(&w);
}

/* ---- what cannot be read ---- */

static void unreadable(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2, 0, BATCHES);
    set_usable(&w, 0, true);
    add(&w, 100, 0);
    add(&w, 100, 0);
    for (uint32_t i = 0; i < 7; i++) {
        next(&w, 0);
        unread(&w, 0, 0, i >= 2); /* memory is short at first */
        if (i == 0)
            serve(&w, 1);
        compare(&w);
        tick(&w, 999, false);
        assert_int_equal(w.lines[0].count, 0); /* it holds up nobody, and is not tried again at once */
        tick(&w, 1, false);
        assert_int_equal(w.lines[0].count, i < 6);
    }
    compare(&w);
    assert_int_equal(w.given_up, 1);
    assert_int_equal(w.released, 1);
    close_world(&w);
}

/* ---- the start ---- */

/* The first member that comes has a batch before the second was asked: it waits for that one, but not for ever. */
static void what_the_first_has_waits_for_the_second(void **state)
{
    (void)state;
    for (int comes = 0; comes < 2; comes++) {
        struct world w;
        struct sc_dispatch_stats stats;
        struct sc_accepted batch;
        open_world(&w, 2, 3, 0, 1);
        sc_dispatch_settle(w.dispatch, 3000);
        sc_dispatch_tick(w.dispatch, 10, false);
        sc_dispatch_set_usable(w.dispatch, 1, true);
        w.usable = 1u << 1;
        w.batches[w.count++] = (struct batch){.lane = 101};
        accept(w.dispatch, 101, 0, 2);
        assert_true(sc_dispatch_next(w.dispatch, 1, 20, &batch));
        w.batches[0].acked = 1u << 1;
        sc_dispatch_ack(w.dispatch, 1, &(struct sc_link_ack){STREAM, 101, 0, 0});
        sc_dispatch_tick(w.dispatch, 2999, false);
        sc_dispatch_get_stats(w.dispatch, &stats);
        assert_int_equal(stats.released, 0);
        if (comes != 0) {
            w.usable |= 1u << 2;
            sc_dispatch_set_usable(w.dispatch, 2, true);
            assert_true(sc_dispatch_next(w.dispatch, 2, 2999, &batch));
            w.batches[0].acked |= 1u << 2;
            sc_dispatch_ack(w.dispatch, 2, &(struct sc_link_ack){STREAM, 101, 0, 0});
        } else {
            sc_dispatch_tick(w.dispatch, 3000, false);
        }
        sc_dispatch_get_stats(w.dispatch, &stats);
        assert_int_equal(stats.released, 1);
        assert_int_equal(stats.released_short, comes == 0);
        close_world(&w);
    }
}

/* ---- a long outage ---- */

/* A day's batches wait; the first member that comes gets them in the order in which they were accepted. */
static void a_long_line(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct world w;
    struct sc_dispatch_member view;
    struct sc_dispatch_stats stats;
    open_world(&w, 2, 3, 0, 1);
    free(w.batches);
    w.batches = calloc(COUNT, sizeof(struct batch));
    assert_non_null(w.batches);
    w.count = COUNT;
    for (uint32_t i = 0; i < COUNT; i++) {
        w.batches[i].lane = 101;
        accept(w.dispatch, 101, i, 2);
    }
    for (uint32_t m = 1; m < 3; m++) { /* home and the next on the ring: both get them */
        w.usable |= 1u << m;
        sc_dispatch_set_usable(w.dispatch, m, true);
        sc_dispatch_get_member(w.dispatch, m, &view);
        assert_int_equal(view.waiting, COUNT);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sc_accepted batch;
        assert_true(sc_dispatch_next(w.dispatch, 1, 0, &batch));
        assert_int_equal(batch.head.id.sequence, i);
        w.batches[i].acked = 1u << 1;
        sc_dispatch_ack(w.dispatch, 1, &(struct sc_link_ack){STREAM, 101, i, i});
    }
    /* The other one fails: one copy is all there can be, and the line of the other is forgotten. */
    w.usable = 1u << 1;
    sc_dispatch_set_usable(w.dispatch, 2, false);
    sc_dispatch_get_stats(w.dispatch, &stats);
    assert_int_equal(stats.batches, 0);
    assert_int_equal(stats.records, 0);
    assert_int_equal(stats.released, COUNT);
    assert_int_equal(stats.released_short, COUNT);
    close_world(&w);
}

/* A member has a long line that nobody needs any more: releasing what is in it costs no search through all of it. */
static void a_line_that_others_empty(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct world w;
    struct sc_dispatch_member view;
    open_world(&w, 1, 3, 0, 1);
    free(w.batches);
    w.batches = calloc(COUNT, sizeof(struct batch));
    assert_non_null(w.batches);
    w.count = COUNT;
    w.usable = 1u << 2;
    sc_dispatch_set_usable(w.dispatch, 2, true); /* not the home */
    for (uint32_t i = 0; i < COUNT; i++) {
        w.batches[i].lane = 101;
        accept(w.dispatch, 101, i, 0);
    }
    w.usable |= 1u << 1;
    sc_dispatch_set_usable(w.dispatch, 1, true); /* the home: it gets them all, and is faster */
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sc_accepted batch;
        assert_true(sc_dispatch_next(w.dispatch, 1, 0, &batch));
        w.batches[i].acked = 1u << 1;
        sc_dispatch_ack(w.dispatch, 1, &(struct sc_link_ack){STREAM, 101, i, i});
        sc_dispatch_get_member(w.dispatch, 2, &view);
        assert_int_equal(view.waiting, COUNT - i - 1);
        assert_int_equal(view.in_flight, 0);
    }
    close_world(&w);
}

/* Every interval: of what is in flight to the member all that is meant is acknowledged, of what it was not sent nothing. */
static void intervals_of_any_width(void **state)
{
    (void)state;
    enum { COUNT = 1000, SENT = 600 };
    static const uint64_t firsts[] = {0, 1, 300, 599, 600},
                          widths[] = {1, 127, 128, 129, 600, 1000, 60000, 70000};
    for (uint32_t i = 0; i < sizeof(firsts) / sizeof(*firsts) * (sizeof(widths) / sizeof(*widths)); i++) {
        struct world w;
        struct sc_dispatch_stats stats;
        uint64_t first = firsts[i % 5], width = widths[i / 5];
        open_world(&w, 1, 3, 0, 1);
        free(w.batches);
        w.batches = calloc(COUNT, sizeof(struct batch));
        assert_non_null(w.batches);
        w.count = COUNT;
        w.usable = 1u << 1;
        sc_dispatch_set_usable(w.dispatch, 1, true);
        for (uint32_t k = 0; k < COUNT; k++) {
            w.batches[k].lane = 101;
            accept(w.dispatch, 101, k, 0);
        }
        for (uint32_t k = 0; k < SENT; k++) {
            struct sc_accepted batch;
            assert_true(sc_dispatch_next(w.dispatch, 1, 0, &batch));
            w.batches[k].acked = 1u << 1; /* as far as the interval goes */
        }
        sc_dispatch_ack(w.dispatch, 2, &(struct sc_link_ack){STREAM, 101, first, first + width - 1});
        sc_dispatch_get_stats(w.dispatch, &stats);
        assert_int_equal(stats.released, 0);
        sc_dispatch_ack(w.dispatch, 1, &(struct sc_link_ack){STREAM, 101, first, first + width - 1});
        sc_dispatch_get_stats(w.dispatch, &stats);
        uint64_t end = first + width < SENT ? first + width : SENT;
        assert_int_equal(stats.released, width > COUNT + 65536 || end < first ? 0 : end - first);
        close_world(&w);
    }
}

/* ---- in no outbox ---- */

static void note_place(void *arg, const struct sc_batch_head *head, struct sc_outbox_place place)
{
    (void)head;
    *(uint32_t *)arg = place.file;
}

static struct sc_shared *bytes_of_size(size_t size)
{
    struct sc_buf buf = {0};
    assert_non_null(sc_buf_reserve(&buf, size));
    memset(buf.data, 0, size);
    buf.len = size;
    return sc_shared_take(&buf);
}

static void note_given_up(void *arg, const struct sc_batch_head *head)
{
    *(uint32_t *)arg = (uint32_t)head->id.sequence;
}

/* It is held beyond the bound, sent from memory, and safe when both copies are; before, it is asked whether that is likely. */
static void what_is_nowhere_is_held_until_it_is_safe(void **state)
{
    (void)state;
    struct world w;
    struct sc_accepted out, batch = {.head = {.id = {.stream = STREAM, .lane = 100}, .records = 7},
                                     .place = {.file = SC_OUTBOX_NOWHERE},
                                     .bytes = bytes_of_size(SC_DISPATCH_BYTES + 1)};
    const struct sc_accepted last = {.head = {.id = {.stream = STREAM, .lane = 100, .sequence = 77}},
                                     .place = {.file = SC_OUTBOX_NOWHERE}};
    struct sc_dispatch_stats stats;
    uint32_t place = 0;
    open_world(&w, 2, 3, 0, 1);
    struct sc_dispatch *d = sc_dispatch_create(
        &w.cluster,
        &(struct sc_dispatch_events){.released = note_place, .given_up = note_given_up, .arg = &place});
    assert_non_null(d);
    sc_dispatch_set_usable(d, 0, true);
    assert_false(sc_dispatch_takes(d, 1)); /* one copy only */
    sc_dispatch_set_usable(d, 1, true);
    assert_true(sc_dispatch_takes(d, SC_DISPATCH_BYTES));
    assert_false(sc_dispatch_takes(d, SC_DISPATCH_BYTES + 1));
    assert_int_equal(sc_dispatch_add(d, &batch), SC_OK);
    sc_shared_release(batch.bytes);
    assert_false(sc_dispatch_takes(d, 1));
    for (uint32_t m = 0; m < 2; m++) {
        sc_dispatch_get_stats(d, &stats);
        assert_true(stats.unwritten == 1 && stats.unwritten_records == 7 && place == 0);
        assert_true(sc_dispatch_next(d, m, 0, &out));
        assert_non_null(out.bytes);
        sc_shared_release(out.bytes);
        assert_true(sc_dispatch_ack(d, m, &(struct sc_link_ack){STREAM, 100, 0, 0}));
    }
    sc_dispatch_get_stats(d, &stats);
    assert_true(stats.unwritten == 0 && stats.unwritten_records == 0 && stats.held_bytes == 0);
    assert_int_equal(place, SC_OUTBOX_NOWHERE);
    assert_true(sc_dispatch_takes(d, 1));
    assert_int_equal(
        sc_dispatch_add(
            d, &(struct sc_accepted){.head = {.id = {.stream = STREAM, .lane = 100, .sequence = 1}}}),
        SC_OK);
    assert_true(sc_dispatch_next(d, 0, 1, &out) || sc_dispatch_next(d, 1, 1, &out));
    sc_dispatch_tick(d, 5000, false);
    assert_false(sc_dispatch_takes(d, 1)); /* one of two is slow */
    assert_int_equal(sc_dispatch_add(d, &last), SC_OK);
    sc_dispatch_abandon(d);
    sc_dispatch_get_stats(d, &stats);
    assert_true(stats.batches == 1 && stats.unwritten == 0 && stats.held_bytes == 0);
    assert_int_equal(place, 77); /* that one, and not what is in the outbox */
    sc_dispatch_free(d);
    close_world(&w);
}

/* ---- many members ---- */

enum { MANY = SC_CLUSTER_MAX_MEMBERS };

static struct sc_dispatch *dispatch_for_many(void)
{
    static struct sc_member members[MANY];
    static uint32_t place;
    for (uint32_t i = 0; i < MANY; i++)
        members[i] = (struct sc_member){.lane = 1 + i, .weight = 1, .subcollector = true};
    const struct sc_cluster cluster = {
        .version = 1, .format = 1, .replication = 2, .members = members, .count = MANY};
    struct sc_dispatch *d = sc_dispatch_create(
        &cluster,
        &(struct sc_dispatch_events){.released = note_place, .given_up = note_given_up, .arg = &place});
    assert_non_null(d);
    return d;
}

/* A batch for each home waits until they come up, in any order: in the end it is given to its home and the next on the ring. */
static void a_thousand_members_come_up(void **state)
{
    (void)state;
    struct sc_dispatch *d = dispatch_for_many();
    struct sc_dispatch_stats stats;
    sc_dispatch_settle(d, 1000);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(
            sc_dispatch_add(d, &(struct sc_accepted){.head = {.id = {.stream = STREAM, .lane = 1 + i}}}),
            SC_OK);
    for (uint32_t i = 0; i < MANY; i++)
        sc_dispatch_set_usable(d, i * 617 % MANY, true);
    sc_dispatch_tick(d, 1000, false);
    for (uint32_t m = MANY; m-- > 0;) {
        const uint32_t before = (m + MANY - 1) % MANY;
        bool own = false, of_the_one_before = false;
        for (struct sc_accepted out; sc_dispatch_next(d, m, 1000, &out);) {
            own = own || out.head.id.lane == 1 + m;
            of_the_one_before = of_the_one_before || out.head.id.lane == 1 + before;
        }
        assert_true(own && of_the_one_before);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(sc_dispatch_ack(d, i, &(struct sc_link_ack){STREAM, 1 + i, 0, 0}));
        assert_true(sc_dispatch_ack(d, (i + 1) % MANY, &(struct sc_link_ack){STREAM, 1 + i, 0, 0}));
    }
    sc_dispatch_get_stats(d, &stats);
    assert_true(stats.batches == 0 && stats.usable == MANY);
    sc_dispatch_free(d);
}

UNIT(test_dispatch_cases)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_weights),
        cmocka_unit_test(nobody_to_send_to),
        cmocka_unit_test(a_stuck_member),
        cmocka_unit_test(a_stuck_member_under_pressure),
        cmocka_unit_test(a_stuck_member_of_two),
        cmocka_unit_test(a_stuck_member_while_another_recovers),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(what_the_first_has_waits_for_the_second),
        cmocka_unit_test(a_long_line),
        cmocka_unit_test(a_line_that_others_empty),
        cmocka_unit_test(intervals_of_any_width),
        cmocka_unit_test(what_is_nowhere_is_held_until_it_is_safe),
        cmocka_unit_test(a_thousand_members_come_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
