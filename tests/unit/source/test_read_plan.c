// SPDX-License-Identifier: BSD-3-Clause
/* Who reads which batch: random copies in random row groups, of which some turn out to be unreadable one by one, against what
 * must come of it. */
#include "source/read_plan.h"
#include "store_kit.h"

#define MOST_IDS    60
#define MOST_COPIES 5
#define MOST_GROUPS 40

struct world {
    uint64_t random;
    struct sc_read_plan plan;
    struct sc_span ids[MOST_IDS];
    uint32_t id_count, group_count;
    uint32_t next_row[MOST_GROUPS];
    bool bad[MOST_GROUPS];
    unsigned read[MOST_IDS], lost[MOST_IDS]; /* how often */
};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)(kit_random(&w->random) % n);
}

static bool same_id(const struct sc_span *a, const struct sc_span *b)
{
    return a->stream == b->stream && a->lane == b->lane && a->sequence == b->sequence;
}

static uint32_t id_of(const struct world *w, uint32_t copy)
{
    uint32_t i = 0;
    while (!same_id(&w->ids[i], &w->plan.copies[copy].span))
        i++;
    return i;
}

static void make_world(struct world *w, uint64_t seed)
{
    *w = (struct world){.random = seed};
    w->id_count = 1 + below(w, MOST_IDS);
    w->group_count = 1 + below(w, MOST_GROUPS);
    unsigned of_eight = below(w, 9);
    for (uint32_t g = 0; g < w->group_count; g++)
        w->bad[g] = below(w, 8) < of_eight;
    for (uint32_t i = 0; i < w->id_count; i++) {
        w->ids[i] =
            (struct sc_span){.stream = i % 3, .lane = i / 3 % 2, .sequence = i / 6, .rows = 1 + below(w, 50)};
        for (uint32_t copies = 1 + below(w, MOST_COPIES); copies > 0; copies--) {
            struct sc_span span = w->ids[i];
            uint32_t group = below(w, w->group_count);
            span.first_row = w->next_row[group];
            w->next_row[group] += span.rows;
            bool known =
                w->bad[group] && below(w, 4) == 0; /* some are known to be unreadable from the start */
            assert_int_equal(sc_read_plan_add(&w->plan, &span, group, (uint16_t)below(w, 3), !known), SC_OK);
        }
    }
    assert_int_equal(sc_read_plan_assign(&w->plan), SC_OK);
    assert_int_equal(w->plan.batches, w->id_count);
}

/* The copy that must be read in the end: the most preferred one that is good; UINT32_MAX: none is. */
static uint32_t best_copy(const struct world *w, uint32_t id)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t c = 0; c < w->plan.count; c++) {
        const struct sc_read_plan_copy *copy = &w->plan.copies[c];
        if (same_id(&copy->span, &w->ids[id]) && !w->bad[copy->group] &&
            (best == UINT32_MAX || copy->rank < w->plan.copies[best].rank))
            best = c;
    }
    return best;
}

/* Reads copies of one row group: all, or none. What has been assigned instead comes back in *news. */
static void read_group(struct world *w, const uint32_t *work, uint32_t count, struct sc_read_plan_news *news)
{
    uint32_t group = w->plan.copies[work[0]].group, first, end;
    *news = (struct sc_read_plan_news){0};
    if (!w->bad[group]) {
        for (uint32_t i = 0; i < count; i++)
            w->read[id_of(w, work[i])]++;
        return;
    }
    sc_read_plan_group(&w->plan, group, &first, &end);
    for (uint32_t c = first; c < end; c++) {
        assert_int_equal(w->plan.copies[c].group, group);
        if (below(w, 2) == 0) /* a caller may tell what it knows of the others, or not */
            sc_read_plan_exclude(&w->plan, c);
    }
    assert_int_equal(sc_read_plan_reassign(&w->plan, work, count, news), SC_OK);
    for (uint32_t i = 0; i < news->lost_count; i++)
        w->lost[id_of(w, news->lost[i])]++;
}

/* Row group by row group, and what stands for those that fail; a queue as long as there are copies. */
static void read_all(struct world *w)
{
    uint32_t *queue = malloc((w->plan.count + 1) * sizeof(*queue)), head = 0, tail = 0;
    assert_non_null(queue);
    for (uint32_t c = 0; c < w->plan.count; c++) {
        if (w->plan.copies[c].state == SC_COPY_ASSIGNED)
            queue[tail++] = c;
    }
    while (head < tail) {
        struct sc_read_plan_news news;
        uint32_t n = 1;
        while (head + n < tail &&
               w->plan.copies[queue[head + n]].group == w->plan.copies[queue[head]].group && below(w, 5) != 0)
            n++;
        read_group(w, queue + head, n, &news);
        head += n;
        for (uint32_t i = 0; i < news.work_count; i++) {
            assert_true(i == 0 || news.work[i] > news.work[i - 1]);
            assert_true(tail < w->plan.count); /* nothing is assigned twice */
            queue[tail++] = news.work[i];
        }
        sc_read_plan_news_free(&news);
    }
    free(queue);
}

static void every_batch_once(void **state)
{
    (void)state;
    unsigned lost = 0, moved = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct world w;
        make_world(&w, seed);
        bool nowhere[MOST_IDS];
        for (uint32_t i = 0; i < w.id_count; i++) {
            nowhere[i] = true;
            for (uint32_t c = 0; c < w.plan.count; c++)
                nowhere[i] = nowhere[i] && !(same_id(&w.plan.copies[c].span, &w.ids[i]) &&
                                             w.plan.copies[c].state == SC_COPY_ASSIGNED);
        }
        read_all(&w);
        for (uint32_t i = 0; i < w.id_count; i++) {
            uint32_t best = best_copy(&w, i);
            assert_int_equal(w.read[i], best != UINT32_MAX);
            /* One that had no readable copy from the start was never read, and so is not told as lost. */
            assert_int_equal(w.lost[i], best == UINT32_MAX && !nowhere[i]);
            if (best != UINT32_MAX)
                assert_int_equal(w.plan.copies[best].state, SC_COPY_ASSIGNED);
            lost += w.lost[i];
        }
        for (uint32_t c = 0; c < w.plan.count; c++)
            moved += w.plan.copies[c].state == SC_COPY_UNREADABLE;
        sc_read_plan_free(&w.plan);
    }
    assert_true(lost > 1000);
    assert_true(moved > 10000);
}

static void add(struct sc_read_plan *plan, uint64_t sequence, uint32_t group, uint32_t first, uint16_t rank)
{
    struct sc_span span = {.stream = 9, .lane = 1, .sequence = sequence, .first_row = first, .rows = 10};
    assert_int_equal(sc_read_plan_add(plan, &span, group, rank, true), SC_OK);
}

/* Two sources; row groups 0 and 1 are of the lane's home, 2 of another. */
static void home_first_then_others(void **state)
{
    (void)state;
    struct sc_read_plan plan = {0};
    struct sc_read_plan_news news;
    for (uint32_t i = 0; i < 4; i++)
        add(&plan, i, 2, 10 * i, 1);
    add(&plan, 0, 0, 0, 0);
    add(&plan, 1, 0, 10, 0);
    add(&plan, 2, 1, 0, 0);
    assert_int_equal(sc_read_plan_assign(&plan), SC_OK);
    uint32_t groups[] = {0, 0, 1, 2, 2, 2, 2}; /* sequences 0 1, 2, 0 1 2 3 */
    uint8_t states[] = {1, 1, 1, 0, 0, 0, 1};
    for (uint32_t c = 0; c < 7; c++) {
        assert_int_equal(plan.copies[c].group, groups[c]);
        assert_int_equal(plan.copies[c].state, states[c]);
    }
    uint32_t failed[] = {1, 0, 1}; /* in any order, and more than once */
    assert_int_equal(sc_read_plan_reassign(&plan, failed, 3, &news), SC_OK);
    assert_int_equal(news.work_count, 2);
    assert_int_equal(news.lost_count, 0);
    assert_int_equal(news.work[0], 3);
    assert_int_equal(news.work[1], 4);
    sc_read_plan_news_free(&news);
    uint32_t all[] = {4, 6, 3};
    assert_int_equal(sc_read_plan_reassign(&plan, all, 3, &news), SC_OK);
    assert_int_equal(news.work_count, 0);
    assert_int_equal(news.lost_count, 3);
    assert_int_equal(plan.copies[news.lost[0]].span.sequence, 0);
    assert_int_equal(plan.copies[news.lost[2]].span.sequence, 3);
    sc_read_plan_news_free(&news);
    assert_int_equal(plan.copies[2].state, SC_COPY_ASSIGNED);
    sc_read_plan_free(&plan);
}

/* A planner above: runs of one preference each, and what of them is for this plan. */
static void what_is_told_is_taken(void **state)
{
    (void)state;
    struct sc_read_plan plan = {0};
    struct sc_id_run *runs;
    uint32_t count, *lost, lost_count;
    for (uint32_t i = 0; i < 6; i++)
        add(&plan, i, i / 3, 10 * i, i < 4 ? 2 : 0); /* 0 1 2 | 3, 4 5 */
    add(&plan, 1, 2, 0, 3);
    add(&plan, 8, 2, 10, 0);
    assert_int_equal(sc_read_plan_assign(&plan), SC_OK);
    assert_int_equal(sc_read_plan_runs(&plan, &runs, &count), SC_OK);
    assert_int_equal(count, 3);
    assert_true(runs[0].first == 0 && runs[0].last == 3 && runs[0].rank == 2);
    assert_true(runs[1].first == 4 && runs[1].last == 5 && runs[1].rank == 0);
    assert_true(runs[2].first == 8 && runs[2].last == 8 && runs[2].lane == 1 && runs[2].stream == 9);
    free(runs);
    plan.copies[0].state = plan.copies[1].state = SC_COPY_UNREADABLE; /* of the numbers 0 and 1 */
    const struct sc_id_run mine[] = {{9, 0, 1, 1, 0}, {9, 4, 4, 1, 0}};
    assert_int_equal(sc_read_plan_take(&plan, mine, 2, &lost, &lost_count), SC_OK);
    assert_int_equal(lost_count, 1);
    assert_int_equal(plan.copies[lost[0]].span.sequence, 0);
    for (uint32_t c = 0; c < plan.count; c++) {
        bool read = plan.copies[c].span.sequence == 4 || (c > 2 && plan.copies[c].span.sequence == 1);
        assert_int_equal(plan.copies[c].state == SC_COPY_ASSIGNED, read);
    }
    free(lost);
    const struct sc_id_run unknown = {9, 5, 6, 1, 0};
    assert_int_equal(sc_read_plan_take(&plan, &unknown, 1, &lost, &lost_count), SC_DAMAGED);
    free(lost);
    sc_read_plan_free(&plan);
}

static void nothing_at_all(void **state)
{
    (void)state;
    struct sc_read_plan plan = {0};
    struct sc_read_plan_news news;
    uint32_t first, end;
    assert_int_equal(sc_read_plan_assign(&plan), SC_OK);
    sc_read_plan_group(&plan, 0, &first, &end);
    assert_int_equal(first, end);
    assert_int_equal(sc_read_plan_reassign(&plan, NULL, 0, &news), SC_OK);
    assert_int_equal(news.work_count + news.lost_count, 0);
    sc_read_plan_news_free(&news);
    sc_read_plan_free(&plan);
}

UNIT(test_read_plan)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_batch_once),
        cmocka_unit_test(home_first_then_others),
        cmocka_unit_test(what_is_told_is_taken),
        cmocka_unit_test(nothing_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
