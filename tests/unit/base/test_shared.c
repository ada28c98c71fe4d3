// SPDX-License-Identifier: BSD-3-Clause
/* Bytes that several hold: whoever is last frees them, in whatever thread that is. */
#include "base/shared.h"

#include <pthread.h>
#include <stdlib.h>

#include "unit.h"

enum { SIZE = 4096, THREADS = 4, ROUNDS = 2000 };

static struct sc_shared *make(uint8_t of)
{
    struct sc_buf buf = {0};
    assert_non_null(sc_buf_reserve(&buf, SIZE));
    for (uint32_t i = 0; i < SIZE; i++)
        sc_buf_append_u8(&buf, of);
    const uint8_t *bytes = buf.data;
    struct sc_shared *shared = sc_shared_take(&buf);
    assert_non_null(shared);
    assert_ptr_equal(shared->bytes, bytes); /* nothing was copied */
    assert_int_equal(shared->size, SIZE);
    assert_true(buf.data == NULL && buf.len == 0 && buf.cap == 0);
    return shared;
}

static void the_last_frees(void **state)
{
    (void)state;
    struct sc_shared *shared = make(7);
    assert_ptr_equal(sc_shared_hold(shared), shared);
    assert_ptr_equal(sc_shared_hold(shared), shared);
    for (unsigned holders = 3; holders > 0; holders--) {
        assert_int_equal(atomic_load(&shared->holders), holders);
        assert_true(shared->bytes[0] == 7 && shared->bytes[SIZE - 1] == 7);
        sc_shared_release(shared);
    }
}

static void nothing_can_be_held(void **state)
{
    (void)state;
    struct sc_buf empty = {0};
    assert_null(sc_shared_hold(NULL));
    sc_shared_release(NULL);
    struct sc_shared *none = sc_shared_take(&empty);
    assert_non_null(none);
    assert_int_equal(none->size, 0);
    sc_shared_release(none);
}

/* Each reads it all before it lets go. */
static void *reader(void *arg)
{
    struct sc_shared *const *all = arg;
    uintptr_t sum = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct sc_shared *again = sc_shared_hold(all[i]);
        sum += again->bytes[i % SIZE];
        sc_shared_release(all[i]);
        sum += again->bytes[SIZE - 1];
        sc_shared_release(again);
    }
    return (void *)sum;
}

static void threads_let_go_in_any_order(void **state)
{
    (void)state;
    static struct sc_shared *all[ROUNDS];
    pthread_t threads[THREADS];
    void *sum;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        all[i] = make(1);
        for (uint32_t k = 1; k < THREADS; k++)
            sc_shared_hold(all[i]);
    }
    for (uint32_t k = 0; k < THREADS; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, reader, all), 0);
    for (uint32_t k = 0; k < THREADS; k++) {
        assert_int_equal(pthread_join(threads[k], &sum), 0);
        assert_int_equal((uintptr_t)sum, 2 * ROUNDS);
    }
}

UNIT(test_shared)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_frees),
        cmocka_unit_test(nothing_can_be_held),
        cmocka_unit_test(threads_let_go_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
