// SPDX-License-Identifier: BSD-3-Clause
/* A table of numbers against a plain list, with few hashes (so that searches run into one another) and with many. */
#include "base/hash.h"
#include "base/table.h"
#include "unit.h"

#include <stdlib.h>

#define KEYS 3000u

struct scene {
    struct sc_table table;
    uint32_t numbers[KEYS]; /* by key; SC_TABLE_NONE: it is not in */
    uint32_t keys[KEYS];    /* by number */
    uint64_t seed, random;
    uint32_t hashes; /* how many different ones; 0: as many as there are */
};

static uint32_t draw(struct scene *s, uint32_t most)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(s->random >> 33) % most;
}

static uint64_t hash_of(const struct scene *s, uint32_t key)
{
    return sc_hash_u64(s->hashes == 0 ? key : key % s->hashes, s->seed);
}

static struct sc_probe search(const struct scene *s, uint32_t key)
{
    struct sc_probe p = sc_table_first(&s->table, hash_of(s, key));
    while (p.number != SC_TABLE_NONE && s->keys[p.number] != key)
        sc_table_next(&s->table, &p);
    return p;
}

static struct scene *make_scene(uint32_t hashes)
{
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    for (uint32_t key = 0; key < KEYS; key++)
        s->numbers[key] = SC_TABLE_NONE;
    s->seed = sc_hash_draw_seed();
    s->random = 3;
    s->hashes = hashes;
    return s;
}

static void free_scene(struct scene *s)
{
    sc_table_free(&s->table);
    free(s);
}

static void add(struct scene *s, uint32_t key)
{
    assert_true(sc_table_reserve(&s->table, 1));
    struct sc_probe p = search(s, key);
    assert_int_equal(p.number, SC_TABLE_NONE);
    uint32_t number = s->table.count;
    sc_table_put(&s->table, &p, number);
    s->keys[number] = key;
    s->numbers[key] = number;
}

/* As a caller does whose array has no gaps: the last one gets the number of the one that goes. */
static void take(struct scene *s, uint32_t key)
{
    uint32_t number = s->numbers[key], last = s->table.count - 1, moved = s->keys[last];
    sc_table_remove(&s->table, hash_of(s, key), number);
    if (last != number)
        sc_table_renumber(&s->table, hash_of(s, moved), last, number);
    s->keys[number] = moved;
    s->numbers[moved] = number;
    s->numbers[key] = SC_TABLE_NONE;
}

static void check(const struct scene *s)
{
    uint32_t in = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        assert_int_equal(search(s, key).number, s->numbers[key]);
        in += s->numbers[key] != SC_TABLE_NONE;
    }
    assert_int_equal(in, s->table.count);
    assert_true(s->table.size >= 2 * in && (s->table.size & (s->table.size - 1)) == 0);
}

static void compare_with_a_list(uint32_t hashes, uint32_t keys, uint32_t turns)
{
    struct scene *s = make_scene(hashes);
    for (uint32_t turn = 0; turn < turns; turn++) {
        uint32_t key = draw(s, keys);
        if (s->numbers[key] == SC_TABLE_NONE)
            add(s, key);
        else
            take(s, key);
        if (turn % 500 == 0)
            check(s);
    }
    check(s);
    free_scene(s);
}

static void it_has_what_was_put_into_it(void **state)
{
    (void)state;
    compare_with_a_list(0, KEYS, 60000);
    compare_with_a_list(0, 6, 20000); /* a table of one size, whose end is met often */
}

static void hashes_that_agree_are_told_apart_by_keys(void **state)
{
    (void)state;
    compare_with_a_list(1, 60, 5000);
    compare_with_a_list(7, 300, 20000);
}

static void an_empty_one_has_nothing_and_no_memory(void **state)
{
    (void)state;
    struct sc_table table = {0};
    assert_int_equal(sc_table_first(&table, 5).number, SC_TABLE_NONE);
    sc_table_clear(&table);
    assert_true(sc_table_reserve(&table, 0));
    assert_null(table.slots);
    sc_table_free(&table);
}

static void a_cleared_one_keeps_its_memory(void **state)
{
    (void)state;
    struct sc_table table = {0};
    assert_true(sc_table_reserve(&table, 100));
    const uint64_t *slots = table.slots;
    assert_int_equal(table.size, sc_table_size(100));
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 128; i++) {
            assert_true(sc_table_reserve(&table, 1));
            assert_int_equal(sc_table_first(&table, sc_hash_u64(i, 1)).number, SC_TABLE_NONE);
            sc_table_add(&table, sc_hash_u64(i, 1), i);
        }
        assert_ptr_equal(table.slots, slots);
        sc_table_clear(&table);
        assert_int_equal(table.count, 0);
    }
    sc_table_free(&table);
}

static void what_has_no_size_is_refused(void **state)
{
    (void)state;
    struct sc_table table = {0};
    const uint32_t most = UINT32_C(1) << 30;
    assert_int_equal(sc_table_size(0), 0);
    assert_int_equal(sc_table_size(4), 8);
    assert_int_equal(sc_table_size(5), 16);
    assert_int_equal(sc_table_size(most), 2 * most);
    assert_int_equal(sc_table_size(most + 1), UINT32_MAX);
    assert_true(sc_table_reserve(&table, 1));
    sc_table_add(&table, 77, 5);
    assert_false(sc_table_reserve(&table, most));
    assert_false(sc_table_reserve(&table, UINT32_MAX));
    assert_int_equal(sc_table_first(&table, 77).number, 5);
    sc_table_free(&table);
}

UNIT(test_table)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_what_was_put_into_it),
        cmocka_unit_test(hashes_that_agree_are_told_apart_by_keys),
        cmocka_unit_test(an_empty_one_has_nothing_and_no_memory),
        cmocka_unit_test(a_cleared_one_keeps_its_memory),
        cmocka_unit_test(what_has_no_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
