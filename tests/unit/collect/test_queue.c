// SPDX-License-Identifier: BSD-3-Clause
/* The queue between receivers and store thread: order, bound, waiting, the circle of parcels; what is dropped, and told. */
#include "collect/queue.h"
#include "source/expect.h"
#include "store_kit.h"

#include "base/clock.h"

#include <pthread.h>

#define WINDOW KIT_WINDOW

static const struct sc_column_key key = {.id = 7, .kind = SC_COLUMN_UINT};

/* A parcel with `rows` rows of 8 bytes that hold `value`. */
static struct sc_parcel *make_parcel(struct sc_pool *pool, uint32_t rows, uint64_t value)
{
    struct sc_parcel *parcel = sc_pool_take(pool);
    assert_non_null(parcel);
    assert_int_equal(parcel->batch->rows, 0);
    struct sc_column *c = sc_batch_begin(parcel->batch, key, NULL, 8, rows);
    assert_non_null(c);
    for (uint32_t i = 0; i < rows; i++)
        sc_column_put_u64(c, value);
    sc_batch_commit(parcel->batch, rows);
    return parcel;
}

static uint64_t value_of(const struct sc_parcel *parcel)
{
    return sc_column_u64(parcel->batch->columns[0], 0);
}

static void parcels_come_in_order_and_go_home(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_queue *queue = sc_queue_create(1 << 20);
    struct sc_queue_stats stats;
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 5; i++)
            assert_int_equal(sc_queue_push(queue, make_parcel(pool, 10, i), 0), SC_OK);
        sc_queue_get_stats(queue, &stats);
        assert_int_equal(stats.waiting, 5);
        for (uint64_t i = 0; i < 5; i++) {
            struct sc_parcel *parcel = sc_queue_pop(queue, 0);
            assert_int_equal(value_of(parcel), i);
            sc_queue_done(queue, parcel);
        }
    }
    sc_queue_get_stats(queue, &stats);
    assert_int_equal(stats.held, 0);
    assert_int_equal(stats.bytes, 0);
    assert_true(stats.peak_bytes > 0);
    sc_queue_free(queue);
    sc_pool_free(pool);
}

static void the_bound_holds_until_parcels_are_done(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_parcel *one = make_parcel(pool, 1000, 1), *two = make_parcel(pool, 1000, 2);
    size_t memory = sc_batch_memory(one->batch);
    struct sc_queue *queue = sc_queue_create(2 * memory);
    assert_int_equal(sc_queue_push(queue, one, 0), SC_OK);
    assert_int_equal(sc_queue_push(queue, two, 0), SC_FULL);
    assert_int_equal(sc_queue_pop(queue, 0) == one, true);
    assert_int_equal(sc_queue_push(queue, two, 0), SC_FULL); /* popped is not done */
    uint64_t before = sc_clock_mono_ms();
    assert_int_equal(sc_queue_push(queue, two, 50), SC_FULL);
    assert_true(sc_clock_mono_ms() - before >= 50);
    sc_queue_done(queue, one);
    assert_false(sc_queue_is_tight(queue));
    assert_int_equal(sc_queue_push(queue, two, 0), SC_OK);
    sc_queue_free(queue);
    sc_pool_free(pool);
}

/* Nothing passes the bound, also when it is alone: who fills a parcel cuts it before. */
static void a_parcel_larger_than_the_bound_never_passes(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_queue *queue = sc_queue_create(100);
    struct sc_parcel *parcel = make_parcel(pool, 1000, 1);
    struct sc_queue_stats stats;
    assert_int_equal(sc_queue_push(queue, parcel, 0), SC_FULL);
    sc_queue_get_stats(queue, &stats);
    assert_int_equal(stats.held, 0);
    assert_int_equal(stats.filling_bytes, sc_batch_memory(parcel->batch));
    sc_queue_lose(queue, parcel, SC_DROP_FULL);
    sc_queue_get_stats(queue, &stats);
    assert_int_equal(stats.filling_bytes, 0);
    struct sc_drops drops = sc_queue_take_drops(queue);
    assert_int_equal(drops.count, 1);
    assert_int_equal(drops.list[0].count.records[SC_RECORDS_FLOWS], 1000);
    assert_int_equal(drops.records[SC_DROP_FULL], 1000);
    sc_drops_free(&drops);
    assert_int_equal(sc_queue_take_drops(queue).count, 0);
    sc_queue_free(queue);
    sc_pool_free(pool);
}

/* What is being filled asks before it grows: all of them together stay within the bound. */
static void memory_is_granted_before_it_is_taken(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_queue *queue = sc_queue_create(1000);
    struct sc_parcel *one = sc_pool_take(pool), *two = sc_pool_take(pool);
    struct sc_queue_stats stats;
    assert_true(sc_queue_grant(queue, one, 600, false));
    assert_false(sc_queue_grant(queue, two, 500, false));
    assert_true(sc_queue_grant(queue, two, 400, false));
    assert_false(sc_queue_grant(queue, one, 601, false));
    assert_true(sc_queue_grant(queue, two, 410, true)); /* counted all the same */
    sc_queue_get_stats(queue, &stats);
    assert_int_equal(stats.filling_bytes, 1010);
    assert_int_equal(stats.peak_bytes, 1010);
    sc_queue_drop(queue, one);
    assert_true(sc_queue_grant(queue, two, 1000, false));
    sc_queue_drop(queue, two);
    sc_queue_get_stats(queue, &stats);
    assert_int_equal(stats.filling_bytes, 0);
    sc_queue_free(queue);
    sc_pool_free(pool);
}

static void what_is_aside_waits_for_all_others(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_parcel *parcels[4];
    for (uint32_t i = 0; i < 4; i++)
        parcels[i] = make_parcel(pool, 1000, i);
    parcels[0]->aside = parcels[1]->aside = true;
    size_t memory = sc_batch_memory(parcels[0]->batch);
    struct sc_queue *queue = sc_queue_create(memory * 12); /* an eighth: one and a half */
    assert_int_equal(sc_queue_push(queue, parcels[0], 0), SC_OK);
    assert_int_equal(sc_queue_push(queue, parcels[1], 0), SC_FULL);
    assert_int_equal(sc_queue_push(queue, parcels[2], 0), SC_OK);
    assert_int_equal(sc_queue_push(queue, parcels[3], 0), SC_OK);
    assert_ptr_equal(sc_queue_pop(queue, 0), parcels[2]);
    assert_ptr_equal(sc_queue_pop(queue, 0), parcels[3]);
    assert_ptr_equal(sc_queue_pop(queue, 0), parcels[0]);
    assert_null(sc_queue_pop(queue, 0));
    for (uint32_t i = 0; i < 4; i++) {
        if (i == 1)
            sc_queue_drop(queue, parcels[i]);
        else
            sc_queue_done(queue, parcels[i]);
    }
    sc_queue_free(queue);
    sc_pool_free(pool);
}

struct said {
    unsigned count;
    char last[512];
};

static void say(void *arg, const char *sentence)
{
    struct said *said = arg;
    said->count++;
    snprintf(said->last, sizeof(said->last), "%s", sentence);
}

/* What an answer over all of a store says is missing. */
static struct said judge(const char *store)
{
    struct said said = {0};
    struct sc_catalogue catalogue = {0};
    struct sc_expected expected = {0};
    const struct sc_expected_range range = {SC_RECORDS_FLOWS, 0, UINT64_MAX};
    assert_int_equal(sc_catalogue_add(&catalogue, store, NULL), SC_OK);
    assert_int_equal(sc_expected_load(&expected, &store, 1, &catalogue, sc_clock_wall_ms(), say, &said),
                     SC_OK);
    assert_false(sc_expected_covers(&expected, WINDOW, SC_ANY_LANE)); /* it says nothing about segments */
    sc_expected_judge(&expected, &range, say, &said);
    sc_expected_free(&expected);
    sc_catalogue_free(&catalogue);
    return said;
}

/* Numbers only grow, over several records of one process and over processes. */
static void answers_tell_what_was_dropped(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_drops all = {0}, later = {0}, other = {0};
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    struct sc_parcel *parcel = make_parcel(pool, 1000, 1);
    parcel->batch->window_ms = WINDOW;
    assert_int_equal(judge(store).count, 0);
    sc_drops_note(&later, parcel->batch, SC_DROP_FULL);
    for (uint64_t round = 1; round <= 2; round++) {
        char wanted[128];
        sc_drops_add(&all, &later);
        assert_int_equal(sc_drops_write(&all, store, "n1", 7, 300, NULL), SC_OK);
        struct said said = judge(store);
        snprintf(wanted, sizeof(wanted), ": %u records were dropped by collector n1: its queue was full",
                 (unsigned)(1000 * round));
        assert_int_equal(said.count, 1);
        assert_non_null(strstr(said.last, wanted));
    }
    sc_drops_add(&other, &later);
    assert_int_equal(sc_drops_write(&other, store, "n1", 8, 300, NULL), SC_OK);
    assert_non_null(strstr(judge(store).last, ": 3000 records were dropped"));
    sc_drops_free(&all);
    sc_drops_free(&later);
    sc_drops_free(&other);
    sc_parcel_release(parcel);
    sc_pool_free(pool);
    kit_remove(store);
}

static void a_closed_queue_takes_nothing_and_gives_the_rest(void **state)
{
    (void)state;
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_OPTIONS, 1 << 24);
    struct sc_queue *queue = sc_queue_create(1 << 20);
    assert_int_equal(sc_queue_push(queue, make_parcel(pool, 1, 1), 0), SC_OK);
    assert_false(sc_queue_is_finished(queue));
    sc_queue_close(queue);
    assert_false(sc_queue_is_finished(queue));
    struct sc_parcel *late = make_parcel(pool, 1, 2);
    assert_int_equal(sc_queue_push(queue, late, 1000), SC_CANCELLED);
    sc_parcel_release(late);
    sc_queue_done(queue, sc_queue_pop(queue, 1000));
    assert_true(sc_queue_is_finished(queue));
    assert_null(sc_queue_pop(queue, 100000)); /* at once */
    sc_queue_free(queue);
    sc_pool_free(pool);
}

#define PRODUCERS 3u
#define EACH      400u

struct producer {
    pthread_t thread;
    struct sc_queue *queue;
    struct sc_pool *pool;
    uint64_t number;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (uint64_t i = 0; i < EACH; i++) {
        struct sc_parcel *parcel = sc_pool_take(p->pool);
        struct sc_column *c = sc_batch_begin(parcel->batch, key, NULL, 8, 1);
        sc_column_put_u64(c, p->number << 32 | i);
        sc_batch_commit(parcel->batch, 1);
        if (sc_queue_push(p->queue, parcel, 60000) != SC_OK)
            return p;
    }
    return NULL;
}

static void many_producers_lose_nothing_over_a_narrow_queue(void **state)
{
    (void)state;
    struct producer producers[PRODUCERS];
    struct sc_queue *queue = sc_queue_create(1 << 14);
    uint64_t next[PRODUCERS] = {0};
    for (uint64_t i = 0; i < PRODUCERS; i++) {
        producers[i] =
            (struct producer){.queue = queue, .pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24), .number = i};
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    for (uint32_t n = 0; n < PRODUCERS * EACH; n++) {
        struct sc_parcel *parcel = sc_queue_pop(queue, 60000);
        assert_non_null(parcel);
        uint64_t value = value_of(parcel);
        assert_int_equal(value & UINT32_MAX, next[value >> 32]++);
        sc_queue_done(queue, parcel);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        void *failed;
        pthread_join(producers[i].thread, &failed);
        assert_null(failed);
    }
    sc_queue_free(queue);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        sc_pool_free(producers[i].pool);
}

UNIT(test_queue)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parcels_come_in_order_and_go_home),
        cmocka_unit_test(the_bound_holds_until_parcels_are_done),
        cmocka_unit_test(a_parcel_larger_than_the_bound_never_passes),
        cmocka_unit_test(memory_is_granted_before_it_is_taken),
        cmocka_unit_test(what_is_aside_waits_for_all_others),
        cmocka_unit_test(answers_tell_what_was_dropped),
        cmocka_unit_test(a_closed_queue_takes_nothing_and_gives_the_rest),
        cmocka_unit_test(many_producers_lose_nothing_over_a_narrow_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
