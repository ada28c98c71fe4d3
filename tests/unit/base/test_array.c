// SPDX-License-Identifier: BSD-3-Clause
/* Arrays that grow: what is in them stays, how much room there is follows from the count, and what no memory could hold is refused. */
#include "base/array.h"
#include "unit.h"

#include <stdlib.h>

struct wide {
    uint64_t a, b, c;
};

static void entries_stay_while_it_grows(void **state)
{
    (void)state;
    struct wide *list = NULL;
    uint32_t count = 0;
    while (count < 5000) {
        assert_true(sc_array_more(list, count, 1));
        list[count] = (struct wide){count, count * 2u, count * 3u};
        count++;
    }
    for (uint32_t i = 0; i < count; i++)
        assert_true(list[i].a == i && list[i].b == i * 2u && list[i].c == i * 3u);
    free(list);
}

static void room_is_a_power_of_two(void **state)
{
    (void)state;
    const size_t counts[] = {0, 1, 4, 5, 8, 9, 1000, (size_t)1 << 40};
    const size_t rooms[] = {0, 4, 4, 8, 8, 16, 1024, (size_t)1 << 40};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        assert_int_equal(sc_array_room(counts[i]), rooms[i]);
    assert_int_equal(sc_array_room(SIZE_MAX / 2 + 2), SIZE_MAX);
}

/* Whoever has room is not moved. */
static void it_moves_only_at_a_power_of_two(void **state)
{
    (void)state;
    uint16_t *list = NULL;
    for (uint32_t count = 0; count < 4096; count++) {
        uint16_t *before = list;
        assert_true(sc_array_more(list, count, 1));
        assert_true(list == before || count == 0 || (count & (count - 1)) == 0);
        list[count] = 1;
    }
    free(list);
}

/* Many at once, entries that go, and others that come in their place; ASan watches the end. */
static void it_has_room_whatever_went(void **state)
{
    (void)state;
    uint32_t *list = NULL;
    uint32_t count = 0, random = 1;
    for (int turn = 0; turn < 20000; turn++) {
        random = random * 1664525u + 1013904223u;
        uint32_t some = (random >> 16) % 40;
        if ((random >> 30) % 2 == 0) {
            assert_true(sc_array_more(list, count, some));
            for (uint32_t i = 0; i < some; i++)
                list[count + i] = count + i;
            count += some;
        } else {
            count -= some < count ? some : count;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(list[i], i);
    free(list);
}

static void a_reserve_keeps_its_capacity(void **state)
{
    (void)state;
    uint64_t *list = NULL;
    uint32_t capacity = 0, none = 0;
    assert_true(sc_array_reserve(list, capacity, none));
    assert_null(list);
    assert_true(sc_array_reserve(list, capacity, 100u));
    assert_int_equal(capacity, 128);
    uint64_t *before = list;
    assert_true(sc_array_reserve(list, capacity, 128u));
    assert_ptr_equal(list, before);
    assert_true(sc_array_reserve(list, capacity, 129u));
    assert_int_equal(capacity, 256);
    list[255] = 7;
    free(list);
}

static void what_has_no_size_is_refused(void **state)
{
    (void)state;
    struct wide *list = NULL;
    uint32_t capacity = 0;
    assert_true(sc_array_more(list, 0, 1));
    struct wide *before = list;
    list[3].c = 9;
    assert_false(sc_array_more(list, 4, SIZE_MAX));
    assert_false(sc_array_more(list, 4, SIZE_MAX - 4));
    assert_false(sc_array_more(list, 4, SIZE_MAX / sizeof(*list)));
    assert_ptr_equal(list, before);
    assert_int_equal(list[3].c, 9);
    struct wide *other = NULL;
    assert_false(sc_array_reserve(other, capacity, (size_t)UINT32_MAX));
    assert_int_equal(capacity, 0);
    assert_null(other);
    free(list);
}

static void room_for_no_more_is_always_there(void **state)
{
    (void)state;
    uint32_t *none = NULL, more = 0;
    assert_true(sc_array_more(none, 0, more));
    assert_null(none);
}

UNIT(test_array)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_for_no_more_is_always_there), cmocka_unit_test(entries_stay_while_it_grows),
        cmocka_unit_test(room_is_a_power_of_two),           cmocka_unit_test(it_moves_only_at_a_power_of_two),
        cmocka_unit_test(it_has_room_whatever_went),        cmocka_unit_test(a_reserve_keeps_its_capacity),
        cmocka_unit_test(what_has_no_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
