// SPDX-License-Identifier: BSD-3-Clause
/*
 * The planner's sweep over random runs against the rule, id by id: of the ranks that hold an id and have not lost it, the one that likes
 * it most reads it, of those the first. Runs of ranks overlap in each way, at the ends of the numbers too; readers lose some of what
 * they read, round by round, until nothing more is lost.
 */
#include "cluster/inventory.h"
#include "cluster/planner.h"
#include "store_kit.h"

#include <stdlib.h>

#define MOST_RANKS 6u
#define LANES      3u
#define LENGTH     48u /* of a lane; see number_of */
#define NOBODY     UINT32_MAX
#define WORLDS     3000u
#define WINDOW     UINT64_C(1795596000000)

struct world {
    uint64_t random;
    uint32_t ranks;
    struct sc_planner *planner;
    uint32_t liked[MOST_RANKS][LANES][LENGTH]; /* NOBODY: it does not hold it, or lost it */
    uint32_t readers[LANES][LENGTH];
    uint32_t missing; /* batches, so far */
};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)(kit_random(&w->random) % n);
}

/* The last lane has the greatest numbers that there are, the others the least. */
static uint64_t number_of(uint32_t lane, uint32_t i)
{
    return lane + 1 == LANES ? UINT64_MAX - (LENGTH - 1) + i : i;
}

static void put_held(struct world *w, uint32_t rank, struct sc_buf *out)
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (uint32_t at = below(w, 20), end; at < LENGTH; at = end + below(w, 3) * below(w, 8)) {
            const uint32_t liked = below(w, 3);
            end = at + 1 + below(w, 16);
            end = end < LENGTH ? end : LENGTH;
            const struct sc_id_run run = {5, number_of(lane, at), number_of(lane, end - 1), lane,
                                          (uint16_t)liked};
            sc_inventory_put_run(&run, out);
            for (uint32_t i = at; i < end; i++)
                w->liked[rank][lane][i] = liked;
        }
    }
}

static void make_world(struct world *w, uint64_t seed)
{
    *w = (struct world){.random = seed};
    memset(w->liked, 0xff, sizeof(w->liked));
    w->ranks = 1 + below(w, MOST_RANKS);
    w->planner = sc_planner_create(w->ranks);
    assert_non_null(w->planner);
    for (uint32_t rank = 0; rank < w->ranks; rank++) {
        struct sc_buf bytes = {0};
        put_held(w, rank, &bytes);
        struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
        assert_int_equal(sc_planner_add(w->planner, &in), SC_OK);
        sc_buf_free(&bytes);
    }
    assert_int_equal(sc_planner_assign(w->planner), SC_OK);
}

/* By the rule. */
static uint32_t reader_of(const struct world *w, uint32_t lane, uint32_t i)
{
    uint32_t best = NOBODY;
    for (uint32_t rank = 0; rank < w->ranks; rank++) {
        if (w->liked[rank][lane][i] != NOBODY &&
            (best == NOBODY || w->liked[rank][lane][i] < w->liked[best][lane][i]))
            best = rank;
    }
    return best;
}

/* What the planner tells a rank, to w->readers. */
static void take_assignment(struct world *w, uint32_t rank, const struct sc_buf *told)
{
    struct sc_cursor in = {.data = told->data, .len = told->len};
    struct sc_id_run *runs;
    uint32_t count;
    assert_int_equal(sc_inventory_get_runs(&in, &runs, &count), SC_OK);
    for (uint32_t r = 0; r < count; r++) {
        uint32_t first = (uint32_t)(runs[r].first - number_of(runs[r].lane, 0));
        for (uint32_t i = first; i - first <= runs[r].last - runs[r].first; i++) {
            assert_int_equal(w->readers[runs[r].lane][i], NOBODY); /* nobody else does */
            w->readers[runs[r].lane][i] = rank;
        }
    }
    free(runs);
}

static void check_assignment(struct world *w)
{
    struct sc_buf told[MOST_RANKS] = {{0}};
    sc_planner_put_assignments(w->planner, told);
    memset(w->readers, 0xff, sizeof(w->readers));
    for (uint32_t rank = 0; rank < w->ranks; rank++) {
        take_assignment(w, rank, &told[rank]);
        sc_buf_free(&told[rank]);
    }
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (uint32_t i = 0; i < LENGTH; i++)
            assert_int_equal(w->readers[lane][i], reader_of(w, lane, i));
    }
}

/* A reader loses some of what it reads.*/
static void lose_some(struct world *w, uint32_t rank, uint32_t of_eight, struct sc_buf *out)
{
    for (uint32_t lane = LANES; lane-- > 0;) { /* in no order */
        for (uint32_t i = 0; i < LENGTH; i++) {
            if (w->readers[lane][i] != rank || below(w, 8) >= of_eight)
                continue;
            sc_buf_append_le64(out, 5);
            sc_buf_append_le64(out, number_of(lane, i));
            sc_buf_append_le32(out, lane);
            sc_buf_append_le32(out, 10);
            sc_buf_append_le64(out, WINDOW + i / 16 * UINT64_C(300000));
            w->liked[rank][lane][i] = NOBODY;
        }
    }
}

/* @return whether anybody reads anew. */
static bool lose(struct world *w, uint32_t of_eight)
{
    struct sc_source source = {0};
    bool again = false;
    for (uint32_t rank = 0; rank < w->ranks; rank++) {
        struct sc_buf bytes = {0};
        lose_some(w, rank, of_eight, &bytes);
        struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
        assert_int_equal(sc_planner_lost(w->planner, rank, &in), SC_OK);
        sc_buf_free(&bytes);
    }
    assert_int_equal(sc_planner_reassign(w->planner, &source, &again), SC_OK);
    for (uint32_t i = 0; i < source.missing_count; i++) {
        const char *behind_window = strstr(source.missing[i], "Z: ");
        assert_non_null(behind_window);
        w->missing += (uint32_t)strtoul(behind_window + 3, NULL, 10);
    }
    sc_source_close(&source);
    return again;
}

/* Those that somebody read, and nobody does now. */
static uint32_t count_unread(const struct world *w, const uint32_t before[LANES][LENGTH])
{
    uint32_t count = 0;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (uint32_t i = 0; i < LENGTH; i++)
            count += before[lane][i] != NOBODY && w->readers[lane][i] == NOBODY;
    }
    return count;
}

static void each_id_has_the_reader_of_the_rule(void **state)
{
    uint32_t rounds = 0, missing = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct world w;
        uint32_t first[LANES][LENGTH];
        make_world(&w, seed);
        check_assignment(&w);
        memcpy(first, w.readers, sizeof(first));
        for (uint32_t of_eight = below(&w, 9); lose(&w, of_eight); rounds++) {
            check_assignment(&w);
            assert_int_equal(w.missing, count_unread(&w, first));
        }
        check_assignment(&w);
        assert_int_equal(w.missing, count_unread(&w, first));
        missing += w.missing;
        sc_planner_free(w.planner);
    }
    assert_true(rounds > WORLDS / 2 && missing > WORLDS);
}

UNIT(test_planner_random)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_id_has_the_reader_of_the_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
