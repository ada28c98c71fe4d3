// SPDX-License-Identifier: BSD-3-Clause
/*
 * A subcollector pulls what it lacks, over sockets: from members that hold it, and past such as say what is not so. Whatever they
 * answer, its own store stays right, and what one does not give another one does.
 */
#include "heal_kit.h"

#include "base/clock.h"
#include "relay/asker.h"
#include "relay/holder.h"

/* ---- rounds ---- */

/* Hurries until it is so. */
static struct sc_healer_stats heal_until(struct sc_healer *h, bool (*when)(const struct sc_healer_stats *))
{
    struct sc_healer_stats stats;
    for (uint32_t tries = 0; tries < 3000; tries++) {
        sc_healer_hurry(h);
        nap();
        sc_healer_get_stats(h, &stats);
        if (when(&stats))
            return stats;
    }
    fail_msg("after %llu rounds: %llu batches, %llu lack, %llu failed: %s", (unsigned long long)stats.rounds,
             (unsigned long long)stats.batches, (unsigned long long)stats.lacking_batches,
             (unsigned long long)stats.failed, stats.problem);
    return stats;
}

static bool is_whole(const struct sc_healer_stats *s)
{
    return s->whole_ms != 0 && s->lacking_batches == 0;
}

static uint64_t rounds_before;

static bool went_on(const struct sc_healer_stats *s)
{
    return s->rounds >= rounds_before + 3;
}

/* A few rounds more. */
static struct sc_healer_stats heal_on(struct sc_healer *h)
{
    struct sc_healer_stats stats;
    sc_healer_get_stats(h, &stats);
    rounds_before = stats.rounds;
    return heal_until(h, went_on);
}

/* ---- three members: this one lacks some, the first that it asks is what a test makes it, the last one is honest ---- */

struct three {
    char *stores[MEMBERS];
    struct node node;
    struct peer first, last;
};

static const struct sc_retention no_bounds;

/* What is here; else each seventh batch. */
struct range {
    uint32_t first, end;
};

static void open_three(struct three *t, const struct sc_retention *retention, uint64_t first_ms,
                       const struct range *own,
                       bool (*first)(struct peer *, const struct sc_link_ask *, struct sc_link_writer *),
                       bool (*last)(struct peer *, const struct sc_link_ask *, struct sc_link_writer *))
{
    *t = (struct three){0};
    for (uint32_t i = 0; i < MEMBERS; i++)
        t->stores[i] = kit_folder();
    know_member(0, 9);
    open_peer(&t->first, 1, t->stores[1], first);
    open_peer(&t->last, 2, t->stores[2], last);
    if (own == NULL)
        fill(t->stores[0], 0, first_ms, 0, BATCHES, 7);
    else
        fill(t->stores[0], 0, first_ms, own->first, own->end, 1);
    fill(t->stores[1], 1, first_ms, 0, BATCHES, 1);
    fill(t->stores[2], 2, first_ms, 0, BATCHES, 1);
    start_peer(&t->first);
    start_peer(&t->last);
    t->node.path = t->stores[0];
    open_node(&t->node, retention);
}

static void close_three(struct three *t, uint32_t first, uint32_t end)
{
    stop_node(&t->node);
    stop_peer(&t->first);
    stop_peer(&t->last);
    check_store(t->stores[0], first, end);
    if (first == 0 && end == BATCHES)
        assert_same_holdings(t->stores[0], t->stores[2]);
    for (uint32_t i = 0; i < MEMBERS; i++)
        kit_remove(t->stores[i]);
}

enum { LACKING = BATCHES - (BATCHES + 6) / 7 };

static bool has_all(const struct sc_healer_stats *s)
{
    return s->batches >= LACKING;
}

static bool has_every_batch(const struct sc_healer_stats *s)
{
    return s->batches >= BATCHES;
}

/* What the first does not give, or not right, when it is asked for `what`, the last one does. @return the figures, some rounds later */
static struct sc_healer_stats heal_past(bool (*first)(struct peer *, const struct sc_link_ask *,
                                                      struct sc_link_writer *),
                                        enum sc_link_what what)
{
    static struct three t; /* threads outlive a test that fails */
    open_three(&t, &no_bounds, FIRST_MS, NULL, first, honest);
    heal_until(t.node.healer, has_all);
    struct sc_healer_stats stats = heal_on(t.node.healer);
    assert_true(atomic_load(&t.first.asked[what]) != 0);
    close_three(&t, 0, BATCHES);
    return stats;
}

static void honest_members_are_enough(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    open_three(&t, &no_bounds, FIRST_MS, NULL, honest, honest);
    struct sc_healer_stats stats = heal_until(t.node.healer, is_whole);
    assert_int_equal(stats.batches, LACKING);
    assert_int_equal(stats.failed, 0);
    assert_int_equal(stats.lacking_since_ms, 0);
    assert_string_equal(stats.problem, "");
    uint32_t groups = atomic_load(&t.first.asked[SC_ASK_GROUP]);
    assert_int_equal(stats.groups, groups);
    assert_int_equal(atomic_load(&t.last.asked[SC_ASK_GROUP]), 0);
    heal_on(t.node.healer); /* nothing is pulled twice */
    assert_int_equal(atomic_load(&t.first.asked[SC_ASK_GROUP]), groups);
    close_three(&t, 0, BATCHES);
}

/* ---- answers that are none ---- */

/* Digests where batches were asked for, and the other way round. */
static bool answers_something_else(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_link_ask other = *ask;
    if (ask->what == SC_ASK_DIGESTS && atomic_load(&p->asked[SC_ASK_DIGESTS]) % 2 != 0)
        return honest(p, ask, w);
    const struct sc_link_holds interval = {ask->lane, ask->window_ms, ask->window_s, STREAM, 0, 9};
    other.window_ms = 0;
    other.end_ms = UINT64_MAX;
    if (ask->what == SC_ASK_HOLDS)
        put_digests(p, &other, w);
    else
        sc_link_put_holds(w, &interval, 1);
    put_given(w, ask, SC_GIVEN_ALL);
    return true;
}

static void answers_to_other_questions(void **state)
{
    (void)state;
    heal_past(answers_something_else, SC_ASK_HOLDS);
}

/* ---- row groups that are not what was asked for ---- */

static const uint64_t other_windows[2] = {WINDOW_MS, -WINDOW_MS};

/* The row group of the batch in the same place of another window, or of another lane. */
static void take_other(struct peer *p, const struct sc_link_ask *ask, bool lane, struct sc_batch_head *head,
                       struct sc_buf *bytes)
{
    struct sc_link_ask other = *ask;
    const uint64_t a_window = BATCHES / WINDOWS;
    bool last = ask->sequence >= BATCHES - a_window;
    other.lane = !lane ? ask->lane : members[ask->lane == members[0].lane ? 1 : 0].lane;
    other.sequence = lane ? ask->sequence ^ 1 : ask->sequence + (last ? -a_window : a_window);
    other.window_ms += lane ? 0 : other_windows[last];
    assert_int_equal(take_group(p, &other, head, bytes), SC_OK);
}

enum wrong {
    DAMAGED_BYTES,
    CUT,
    OTHER_WINDOW,
    OTHER_WINDOW_AS_ASKED,
    OTHER_LANE,
    OTHER_LANE_AS_ASKED,
    MORE_RECORDS,
    OTHER_SEQUENCE,
    OTHER_STREAM,
    OTHER_KIND,
    NOT_GIVEN,
    WRONGS
};

static void make_wrong(struct peer *p, const struct sc_link_ask *ask, enum wrong wrong,
                       struct sc_batch_head *head, struct sc_buf *bytes)
{
    if (wrong >= OTHER_WINDOW && wrong <= OTHER_LANE_AS_ASKED)
        take_other(p, ask, wrong >= OTHER_LANE, head, bytes);
    else
        assert_int_equal(take_group(p, ask, head, bytes), SC_OK);
    bytes->data[bytes->len / 2] ^= wrong == DAMAGED_BYTES;
    bytes->len -= wrong == CUT ? 8 : 0;
    head->size = (uint32_t)bytes->len;
    head->window_ms = wrong == OTHER_WINDOW_AS_ASKED ? ask->window_ms : head->window_ms;
    head->id.lane = wrong == OTHER_LANE_AS_ASKED ? ask->lane : head->id.lane;
    head->records += wrong == MORE_RECORDS;
    head->id.sequence += wrong == OTHER_SEQUENCE;
    head->id.stream += wrong == OTHER_STREAM;
    head->record_kind = wrong == OTHER_KIND ? SC_RECORDS_OPTIONS : head->record_kind;
    head->hash = sc_link_hash(bytes->data, bytes->len);
}

static bool gives_others(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_batch_head head;
    struct sc_buf bytes = {0};
    if (ask->what != SC_ASK_GROUP)
        return honest(p, ask, w);
    enum wrong wrong = (enum wrong)(atomic_load(&p->asked[SC_ASK_GROUP]) % WRONGS);
    if (wrong != NOT_GIVEN) {
        make_wrong(p, ask, wrong, &head, &bytes);
        put_group(w, &head, &bytes);
    }
    put_given(w, ask, wrong == NOT_GIVEN ? SC_GIVEN_NONE : SC_GIVEN_ALL);
    sc_buf_free(&bytes);
    return true;
}

/* Each of the batches that lack is asked for once in a visit: none of the row groups is taken, and the visit goes on. */
static void row_groups_that_were_not_asked_for(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    open_three(&t, &no_bounds, FIRST_MS, NULL, gives_others, honest);
    struct sc_healer_stats stats = heal_until(t.node.healer, has_all);
    assert_int_equal(stats.batches, LACKING); /* all from the last */
    assert_int_equal(atomic_load(&t.first.asked[SC_ASK_GROUP]), LACKING);
    assert_int_equal(stats.failed, LACKING);
    close_three(&t, 0, BATCHES);
}

static bool gives_nothing(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    if (ask->what != SC_ASK_GROUP)
        return honest(p, ask, w);
    put_given(w, ask, SC_GIVEN_NONE);
    return true;
}

/* Never more, though two members have it. */
static bool lacks_each_once(const struct sc_healer_stats *s)
{
    assert_true(s->lacking_batches <= LACKING);
    assert_true(s->lacking_windows <= LANES * WINDOWS);
    return s->rounds >= 3;
}

static void what_nobody_gives_lacks_once(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    open_three(&t, &no_bounds, FIRST_MS, NULL, gives_nothing, gives_nothing);
    struct sc_healer_stats stats = heal_until(t.node.healer, lacks_each_once);
    assert_int_equal(stats.lacking_batches, LACKING);
    assert_int_equal(stats.lacking_windows, LANES * WINDOWS);
    assert_int_equal(stats.whole_ms, 0);
    assert_true(stats.lacking_since_ms != 0);
    stop_node(&t.node);
    stop_peer(&t.first);
    stop_peer(&t.last);
    for (uint32_t i = 0; i < MEMBERS; i++)
        kit_remove(t.stores[i]);
}

/* ---- ends and silence ---- */

static bool closes_at_groups(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    return ask->what != SC_ASK_GROUP && honest(p, ask, w);
}

/* With half of its answer sent. */
static bool closes_in_an_answer(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    size_t before = w->out.len;
    (void)honest(p, ask, w);
    w->out.len = before + (w->out.len - before) / 2;
    (void)send_all(p, &w->out);
    return false;
}

static bool cannot_read(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    (void)p;
    put_given(w, ask, SC_GIVEN_FAILED);
    return true;
}

static void members_that_close(void **state)
{
    (void)state;
    heal_past(closes_at_groups, SC_ASK_GROUP);
    heal_past(closes_in_an_answer, SC_ASK_DIGESTS);
    heal_past(cannot_read, SC_ASK_DIGESTS);
}

static bool says_nothing(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    (void)p;
    (void)ask;
    (void)w;
    return true;
}

/* One that beats still would have more time (SC_ASKER_STILL_MS). Who stops meanwhile need not wait. */
static void a_member_that_says_nothing(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    uint64_t begun = sc_clock_mono_ms();
    open_three(&t, &no_bounds, FIRST_MS, NULL, says_nothing, honest);
    heal_until(t.node.healer, has_all);
    assert_true(sc_clock_mono_ms() >= begun + SC_ASKER_SILENT_MS);
    uint32_t asked = atomic_load(&t.first.asked[SC_ASK_DIGESTS]);
    while (atomic_load(&t.first.asked[SC_ASK_DIGESTS]) == asked) {
        sc_healer_hurry(t.node.healer);
        nap();
    }
    begun = sc_clock_mono_ms();
    close_three(&t, 0, BATCHES);
    assert_true(sc_clock_mono_ms() < begun + SC_ASKER_SILENT_MS);
}

static void an_earlier_version(void **state)
{
    (void)state;
    static struct three t;
    open_three(&t, &no_bounds, FIRST_MS, NULL, NULL, honest);
    assert_int_equal(heal_until(t.node.healer, has_all).whole_ms, 0); /* the other one may have more */
    close_three(&t, 0, BATCHES);
}

/* ---- more than can be ---- */

/* Of each window it tells of more batches than there will ever be. */
static bool boasts(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    const struct sc_link_holds boast = {ask->lane,
                                        ask->window_ms,
                                        ask->window_s,
                                        STREAM + 1,
                                        0,
                                        ask->lane == members[0].lane ? UINT64_MAX : UINT64_MAX / 8};
    if (ask->what == SC_ASK_HOLDS)
        sc_link_put_holds(w, &boast, 1);
    if (ask->what == SC_ASK_DIGESTS)
        return honest(p, ask, w);
    put_given(w, ask, ask->what == SC_ASK_HOLDS ? SC_GIVEN_ALL : SC_GIVEN_NONE);
    return true;
}

static void a_member_that_tells_of_batches_and_has_none(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    open_three(&t, &no_bounds, FIRST_MS, NULL, boasts, honest);
    heal_until(t.node.healer, has_all);
    close_three(&t, 0, BATCHES);
}

static atomic_ullong endless_records;

/* Until it is read no more. */
static bool goes_on_without_end(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    enum { EACH = 1000 };
    static struct sc_link_digest digests[EACH];
    static struct sc_link_holds holds[EACH];
    if (ask->what == SC_ASK_DIGESTS && atomic_load(&p->asked[SC_ASK_DIGESTS]) % 2 != 0)
        return honest(p, ask, w);
    for (uint32_t i = 0; i < EACH; i++) {
        digests[i] = (struct sc_link_digest){members[0].lane, i, 300, 1, 1};
        holds[i] = (struct sc_link_holds){ask->lane, ask->window_ms, ask->window_s, i, 0, 0};
    }
    do {
        if (ask->what == SC_ASK_DIGESTS)
            sc_link_put_digests(w, digests, EACH);
        else
            sc_link_put_holds(w, holds, EACH);
        atomic_fetch_add(&endless_records, EACH);
    } while (send_all(p, &w->out));
    return false;
}

static void an_answer_without_end(void **state)
{
    (void)state;
    enum { MOST = 4 << 20, IN_SOCKETS = 1 << 20 };
    static struct three t; /* threads outlive a test that fails */
    atomic_store(&endless_records, 0);
    open_three(&t, &no_bounds, FIRST_MS, NULL, goes_on_without_end, honest);
    heal_until(t.node.healer, has_all);
    assert_true(atomic_load(&endless_records) >= MOST);
    assert_true(atomic_load(&endless_records) <
                (MOST + IN_SOCKETS) * (uint64_t)(atomic_load(&t.first.asked[SC_ASK_HOLDS]) +
                                                 atomic_load(&t.first.asked[SC_ASK_DIGESTS])));
    close_three(&t, 0, BATCHES);
}

/* ---- what retention would not keep ---- */

enum { A_WINDOW = BATCHES / WINDOWS };

static bool has_live_files(const char *path)
{
    bool any = false;
    struct sc_catalogue c = {.replicas = true};
    assert_int_equal(sc_catalogue_add(&c, path, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++)
        any = any || !c.files[i].sealed;
    sc_catalogue_free(&c);
    return any;
}

/* What an earlier process left is sealed soon, and has another size then. */
static void wait_until_sealed(const char *path)
{
    while (has_live_files(path))
        nap();
}

static uint64_t bytes_of(const char *path)
{
    struct sc_stock stock = {.store = path};
    assert_int_equal(sc_stock_refresh(&stock, NULL), SC_OK);
    uint64_t bytes = sc_stock_bytes(&stock, UINT64_MAX);
    sc_stock_free(&stock);
    return bytes;
}

/* The last window is whole, and there is nothing of the first. */
static void check_newest(const char *path)
{
    struct sc_stock stock = {.store = path};
    assert_int_equal(sc_stock_refresh(&stock, NULL), SC_OK);
    for (uint32_t i = 0; i < LANES; i++) {
        struct sc_link_holds *list;
        uint32_t count;
        const struct sc_window first = {FIRST_MS, 300}, last = {FIRST_MS + (WINDOWS - 1) * WINDOW_MS, 300};
        assert_int_equal(sc_stock_holds(&stock, members[i].lane, &last, &list, &count), SC_OK);
        assert_int_equal(sc_holds_batches(list, count), A_WINDOW / LANES);
        free(list);
        assert_int_equal(sc_stock_holds(&stock, members[i].lane, &first, &list, &count), SC_OK);
        assert_int_equal(count, 0);
        free(list);
    }
    sc_stock_free(&stock);
}

/* The newest windows first, as far as they are not more than the bound: nothing else lacks. With a greater one, the rest. */
static void no_more_than_retention_keeps(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    static const struct range nothing;
    struct sc_retention retention = {.bytes = 1};
    open_three(&t, &retention, FIRST_MS, &nothing, honest, honest);
    uint64_t all = bytes_of(t.stores[2]);
    assert_int_equal(heal_until(t.node.healer, is_whole).groups, 1); /* the first one is more than that */
    retention.bytes = all * 6 / 10;
    sc_healer_set_retention(t.node.healer, &retention);
    heal_on(t.node.healer);
    struct sc_healer_stats stats = heal_on(t.node.healer);
    assert_true(is_whole(&stats));
    assert_true(stats.batches >= A_WINDOW && stats.batches < BATCHES - A_WINDOW);
    assert_int_equal(heal_on(t.node.healer).batches, stats.batches);
    assert_true(bytes_of(t.stores[0]) < retention.bytes);
    check_newest(t.stores[0]);
    sc_healer_set_retention(t.node.healer, &no_bounds);
    stats = heal_until(t.node.healer, is_whole);
    assert_int_equal(stats.batches, BATCHES);
    close_three(&t, 0, BATCHES);
}

/* The bound is reached: it is by deleting the oldest that it is kept, so that there is room for what is newer. */
static void room_is_made_by_what_is_older(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    static const struct range oldest = {0, BATCHES - A_WINDOW}, newest = {A_WINDOW, BATCHES};
    struct sc_retention retention = {.bytes = UINT64_MAX};
    open_three(&t, &retention, FIRST_MS, &oldest, honest, honest);
    wait_until_sealed(t.stores[0]);
    retention.bytes = bytes_of(t.stores[0]);
    sc_healer_set_retention(t.node.healer, &retention);
    struct sc_healer_stats stats = heal_until(t.node.healer, is_whole);
    assert_int_equal(stats.batches, A_WINDOW);
    close_three(&t, 0, BATCHES);
    retention.bytes = 200;
    open_three(&t, &retention, FIRST_MS, &newest, honest, honest);
    wait_until_sealed(t.stores[0]);
    retention.bytes = bytes_of(t.stores[0]);
    sc_healer_set_retention(t.node.healer, &retention);
    stats = heal_until(t.node.healer, is_whole);
    assert_int_equal(stats.batches, 0);
    assert_int_equal(stats.lacking_since_ms, 0);
    close_three(&t, A_WINDOW, BATCHES);
}

/* By age it is neither pulled nor said to lack; nor is a window that is not over. */
static void nothing_that_is_too_old_or_not_over(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    static const struct range nothing;
    const struct sc_retention retention = {.age_s = 3600};
    set_time(FIRST_MS + 13 * WINDOW_MS + WINDOW_MS / 2);
    open_three(&t, &retention, FIRST_MS, &nothing, honest, honest);
    struct sc_healer_stats stats = heal_until(t.node.healer, is_whole);
    assert_int_equal(stats.batches, BATCHES - 2 * A_WINDOW);
    assert_int_equal(heal_on(t.node.healer).batches, stats.batches);
    close_three(&t, 2 * A_WINDOW, BATCHES);
    set_time(FIRST_MS + WINDOW_MS + WINDOW_MS / 2);
    open_three(&t, &retention, FIRST_MS, &nothing, honest, honest);
    stats = heal_until(t.node.healer, is_whole);
    assert_int_equal(stats.batches, A_WINDOW);
    close_three(&t, 0, A_WINDOW);
    sc_reference_set(&now, 0);
}

/* ---- what is to be here ---- */

/* With one copy of each only the own lane is; when there are to be more, the others are too. */
static void more_copies_than_before(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    static const struct range nothing;
    cluster.replication = 1;
    open_three(&t, &no_bounds, FIRST_MS, &nothing, honest, honest);
    cluster.replication = 3;
    struct sc_healer_stats stats = heal_until(t.node.healer, is_whole);
    assert_int_equal(stats.batches, BATCHES / LANES);
    assert_int_equal(sc_healer_set_cluster(t.node.healer, &cluster, 0), SC_OK);
    stats = heal_until(t.node.healer, has_every_batch);
    assert_int_equal(stats.batches, BATCHES);
    close_three(&t, 0, BATCHES);
}

/* ---- what is not known ---- */

/* All is here, and nobody has more; but it cannot be seen. */
static void a_store_that_cannot_be_read_is_not_whole(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    static const struct range all = {0, BATCHES};
    char nowhere[512];
    open_three(&t, &no_bounds, FIRST_MS, &all, honest, honest);
    snprintf(nowhere, sizeof(nowhere), "%s/nowhere", t.stores[0]);
    sc_healer_stop(t.node.healer);
    sc_lender_stop(t.node.lender);
    t.node.lender = sc_lender_start(nowhere, nobody_asked, NULL, NULL);
    assert_non_null(t.node.lender);
    start_healer(&t.node, &no_bounds);
    struct sc_healer_stats stats = heal_on(t.node.healer);
    assert_int_equal(stats.whole_ms, 0);
    assert_string_equal(stats.problem, "the own store cannot be read");
    close_three(&t, 0, BATCHES);
}

/* ---- in a hurry ---- */

static struct sc_healer *_Atomic to_hurry, *_Atomic observed;
static atomic_bool was_hurried;

/* When it is asked for the first time. */
static bool hurries_meanwhile(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_healer *healer = atomic_exchange(&to_hurry, NULL);
    if (healer != NULL)
        sc_healer_hurry(healer);
    return honest(p, ask, w);
}

/* Whether the healer was in a hurry when it asked. */
static bool looks_on(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_healer_stats stats;
    sc_healer_get_stats(atomic_load(&observed), &stats);
    atomic_store(&was_hurried, stats.hurried);
    return honest(p, ask, w);
}

/* Who was asked already in the round that goes on is asked again, without a pause, and in a hurry. */
static void a_hurry_while_a_round_goes_on(void **state)
{
    (void)state;
    static struct three t; /* threads outlive a test that fails */
    static const struct range all = {0, BATCHES};
    open_three(&t, &no_bounds, FIRST_MS, &all, looks_on, hurries_meanwhile);
    atomic_store(&observed, t.node.healer); /* before it asks anybody: it rests first */
    atomic_store(&to_hurry, t.node.healer);
    while (atomic_load(&to_hurry) != NULL)
        nap();
    uint64_t since = sc_clock_mono_ms();
    while (atomic_load(&t.first.asked[SC_ASK_DIGESTS]) < 2 &&
           sc_clock_mono_ms() < since + SC_HEALER_EVERY_MS / 2)
        nap();
    close_three(&t, 0, BATCHES);
    assert_int_equal(atomic_load(&t.first.asked[SC_ASK_DIGESTS]), 2);
    assert_true(atomic_load(&was_hurried));
}

/* ---- nodes with all that they have ---- */

enum { NODES = 2 };

static void start_holder(struct sc_holder **h, const char *store, uint32_t self)
{
    struct sc_error err = {0};
    const struct sc_holder_options options = {
        .listen = members[self].address,
        .store = {.store = store, .cluster = &cluster, .self = self, .window_s = 300}};
    if (sc_holder_start(&options, h, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static void reserve(uint32_t member)
{
    uint16_t port;
    close(listen_to_any(&port));
    know_member(member, port);
}

/* Each has what the other lacks, and some both have. Then one loses its disk. */
static void nodes_heal_each_other(void **state)
{
    (void)state;
    static struct sc_holder *nodes[NODES];
    char *stores[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        stores[i] = kit_folder();
        reserve(i);
    }
    know_member(2, 9);
    members[2].subcollector = false; /* a proxy */
    fill(stores[0], 0, FIRST_MS, 0, BATCHES, 3);
    fill(stores[1], 1, FIRST_MS, 1, BATCHES, 3);
    fill(stores[0], 0, FIRST_MS, 2, BATCHES, 3);
    fill(stores[1], 1, FIRST_MS, 2, BATCHES, 6);
    for (uint32_t i = 0; i < NODES; i++)
        start_holder(&nodes[i], stores[i], i);
    for (uint32_t i = 0; i < NODES; i++)
        heal_until(sc_holder_healer(nodes[i]), is_whole);
    sc_holder_stop(nodes[1], NULL);
    check_store(stores[1], 0, BATCHES);
    assert_same_holdings(stores[0], stores[1]);
    kit_remove(stores[1]);
    stores[1] = kit_folder();
    start_holder(&nodes[1], stores[1], 1);
    heal_until(sc_holder_healer(nodes[1]), is_whole);
    for (uint32_t i = 0; i < NODES; i++) {
        sc_holder_stop(nodes[i], NULL);
        check_store(stores[i], 0, BATCHES);
    }
    assert_same_holdings(stores[0], stores[1]);
    for (uint32_t i = 0; i < NODES; i++)
        kit_remove(stores[i]);
}

UNIT(test_healer)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_members_are_enough),
        cmocka_unit_test(answers_to_other_questions),
        cmocka_unit_test(row_groups_that_were_not_asked_for),
        cmocka_unit_test(what_nobody_gives_lacks_once),
        cmocka_unit_test(members_that_close),
        cmocka_unit_test(a_member_that_says_nothing),
        cmocka_unit_test(an_earlier_version),
        cmocka_unit_test(a_member_that_tells_of_batches_and_has_none),
        cmocka_unit_test(an_answer_without_end),
        cmocka_unit_test(no_more_than_retention_keeps),
        cmocka_unit_test(room_is_made_by_what_is_older),
        cmocka_unit_test(nothing_that_is_too_old_or_not_over),
        cmocka_unit_test(more_copies_than_before),
        cmocka_unit_test(a_store_that_cannot_be_read_is_not_whole),
        cmocka_unit_test(a_hurry_while_a_round_goes_on),
        cmocka_unit_test(nodes_heal_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
