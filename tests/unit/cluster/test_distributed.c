// SPDX-License-Identifier: BSD-3-Clause
/* What ranks that are threads know of tallies comes to rank 0, however many they are and wherever the last word of a tally lies. */
#include "base/clock.h"
#include "cluster/distributed.h"
#include "ranks_threads.h"
#include "store_kit.h"

#include <pthread.h>

#define MOST_RANKS 13u
#define PROXIES    2u
#define WINDOWS    4u /* of which the first and the last are not asked for */
#define WINDOW_MS  UINT64_C(300000)
#define FIRST_MS   UINT64_C(1795596000000)
#define LANES      3u

struct rank {
    struct sc_ranks ranks;
    char *store;
    bool reads;
    struct sc_distributed d;
    enum sc_status status;
    struct sc_error err;
    pthread_t thread;
};

struct world {
    uint32_t count;
    struct rank all[MOST_RANKS];
    uint64_t batches[PROXIES][WINDOWS]; /* the last word, of all lanes */
};

/* What a rank knows of a lane: one the last word, the others less or nothing. Rank 0 may have no store. */
static uint64_t count_at(const struct world *w, uint64_t seed, uint32_t rank, uint64_t last)
{
    uint32_t first = w->all[0].reads ? 0 : 1;
    if (rank == first + kit_mix(seed, 1) % (w->count - first))
        return last;
    return kit_mix(seed, 2 + rank) % 3 == 0 ? 0 : kit_mix(seed, 50 + rank) % last;
}

static void write_tally(struct world *w, uint32_t rank, uint32_t proxy, uint32_t window)
{
    struct sc_tally t = {.stream = 77 + proxy, .window_ms = FIRST_MS + window * WINDOW_MS, .window_s = 300};
    struct sc_error err;
    snprintf(t.proxy, sizeof(t.proxy), "p%u", proxy);
    for (uint32_t l = 0; l < LANES; l++) {
        uint64_t seed = kit_mix(w->count, proxy * 100 + window * 10 + l), last = 10 + seed % 90;
        uint64_t here = count_at(w, seed, rank, last);
        w->batches[proxy][window] += here == last ? last : 0;
        if (here == 0)
            continue;
        struct sc_tally_lane *lane = sc_tally_lane(&t, l + 1);
        assert_non_null(lane);
        lane->safe.batches[0] = lane->accepted.batches[0] = here;
    }
    assert_int_equal(sc_tally_write(w->all[rank].store, &t, NULL, &err), SC_OK);
    sc_tally_free(&t);
}

static void write_tallies(struct world *w)
{
    for (uint32_t r = 0; r < w->count; r++) {
        for (uint32_t i = 0; i < PROXIES * WINDOWS && w->all[r].reads; i++)
            write_tally(w, r, i / WINDOWS, i % WINDOWS);
    }
}

static void *open_main(void *arg)
{
    struct rank *r = arg;
    const char *const paths[] = {r->store};
    const struct sc_distributed_options options = {
        .ranks = &r->ranks,
        .node = "n",
        .paths = paths,
        .path_count = r->reads ? 1 : 0,
        .bounds = {.begin_ms = FIRST_MS + WINDOW_MS, .end_ms = FIRST_MS + (WINDOWS - 1) * WINDOW_MS}};
    r->status = sc_distributed_open(&r->d, &options, &r->err);
    return NULL;
}

/* Nothing is in the stores: all that is asked for is missing, and told by window and proxy. */
static void check_missing(const struct world *w)
{
    const struct sc_source *source = &w->all[0].d.source;
    uint32_t found = 0;
    for (uint32_t p = 0; p < PROXIES; p++) {
        for (uint32_t v = 1; v + 1 < WINDOWS; v++) {
            char when[32], want[128];
            sc_time_format_utc(FIRST_MS + v * WINDOW_MS, when, sizeof(when));
            snprintf(want, sizeof(want), "window %s: %llu of %llu batches of proxy p%u are missing,", when,
                     (unsigned long long)w->batches[p][v], (unsigned long long)w->batches[p][v], p);
            for (uint32_t i = 0; i < source->missing_count; i++)
                found += strncmp(source->missing[i], want, strlen(want)) == 0;
        }
    }
    assert_int_equal(found, PROXIES * (WINDOWS - 2));
    assert_int_equal(source->missing_count, found);
}

static void run(uint32_t count, bool root_reads)
{
    struct world w = {.count = count};
    struct sc_ranks_threads *threads = sc_ranks_threads_create(count);
    assert_non_null(threads);
    for (uint32_t r = 0; r < count; r++)
        w.all[r] = (struct rank){
            .ranks = sc_ranks_threads_rank(threads, r), .store = kit_folder(), .reads = r != 0 || root_reads};
    write_tallies(&w);
    for (uint32_t r = 0; r < count; r++)
        assert_int_equal(pthread_create(&w.all[r].thread, NULL, open_main, &w.all[r]), 0);
    for (uint32_t r = 0; r < count; r++) {
        pthread_join(w.all[r].thread, NULL);
        assert_int_equal(w.all[r].status, SC_OK);
    }
    check_missing(&w);
    for (uint32_t r = 0; r < count; r++) {
        /* Of what it has not itself a rank hears, if any, of those that are asked for. */
        assert_int_equal(w.all[r].d.expected.tally_count,
                         w.all[r].reads ? PROXIES * WINDOWS : PROXIES * (WINDOWS - 2));
        sc_distributed_close(&w.all[r].d);
        kit_remove(w.all[r].store);
    }
    sc_ranks_threads_free(threads);
}

static void the_last_word_of_a_tally_reaches_rank_0(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= MOST_RANKS; count++) {
        run(count, true);
        if (count > 1)
            run(count, false);
    }
}

/* ---- what all know ---- */

#define MANY_LANES 300u

static void write_long_tally(struct world *w, uint32_t rank)
{
    struct sc_tally t = {.proxy = "p", .stream = 77, .window_ms = FIRST_MS + WINDOW_MS, .window_s = 300};
    struct sc_error err;
    for (uint32_t l = 0; l < MANY_LANES; l++) {
        struct sc_tally_lane *lane = sc_tally_lane(&t, l + 1);
        assert_non_null(lane);
        lane->safe.batches[0] = lane->accepted.batches[0] = 5;
    }
    assert_int_equal(sc_tally_write(w->all[rank].store, &t, NULL, &err), SC_OK);
    sc_tally_free(&t);
}

/* Each proxy tells all: rank 0 hears it from none, or from the first when it has no store. */
static void what_all_know_is_not_told_by_all(void **state)
{
    (void)state;
    const uint64_t size = MANY_LANES * (4 + 2 * 4 * 8);
    for (unsigned root_reads = 0; root_reads < 2; root_reads++) {
        struct world w = {.count = MOST_RANKS};
        uint64_t busiest;
        struct sc_ranks_threads *threads = sc_ranks_threads_create(w.count);
        assert_non_null(threads);
        for (uint32_t r = 0; r < w.count; r++) {
            w.all[r] = (struct rank){.ranks = sc_ranks_threads_rank(threads, r),
                                     .store = kit_folder(),
                                     .reads = r != 0 || root_reads != 0};
            if (w.all[r].reads)
                write_long_tally(&w, r);
        }
        for (uint32_t r = 0; r < w.count; r++)
            assert_int_equal(pthread_create(&w.all[r].thread, NULL, open_main, &w.all[r]), 0);
        for (uint32_t r = 0; r < w.count; r++) {
            pthread_join(w.all[r].thread, NULL);
            assert_int_equal(w.all[r].status, SC_OK);
        }
        uint64_t bytes = sc_ranks_threads_bytes(threads, &busiest);
        assert_true(bytes < size / 2 + (root_reads ? 0 : size));
        assert_int_equal(w.all[0].d.source.missing_count, 1);
        assert_non_null(strstr(w.all[0].d.source.missing[0], "1500 of 1500 batches of proxy p are missing"));
        for (uint32_t r = 0; r < w.count; r++) {
            sc_distributed_close(&w.all[r].d);
            kit_remove(w.all[r].store);
        }
        sc_ranks_threads_free(threads);
    }
}

UNIT(test_distributed)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_word_of_a_tally_reaches_rank_0),
        cmocka_unit_test(what_all_know_is_not_told_by_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
