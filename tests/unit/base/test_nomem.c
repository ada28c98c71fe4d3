// SPDX-License-Identifier: BSD-3-Clause
/* Arrays, tables and rosters to which each growth is refused at first: what there was is there still, and the next attempt succeeds. */
#include "base/array.h"
#include "base/hash.h"
#include "base/roster.h"
#include "nomem_kit.h"

#define MANY 1000u

static void an_array_stays_as_it_was(void **state)
{
    (void)state;
    uint32_t *list = NULL, refused = 0;
    for (uint32_t count = 0; count < MANY; count++) {
        uint32_t *before = list;
        nomem_arm(0, false);
        bool grown = sc_array_more(list, count, 1);
        assert_int_equal(grown, !nomem_disarm());
        assert_ptr_equal(list, before);
        refused += !grown;
        assert_true(sc_array_more(list, count, 1));
        list[count] = count;
    }
    assert_int_equal(refused, 9); /* at 0, 4, 8, ... 512 */
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(list[i], i);
    free(list);
}

static void a_capacity_stays_as_it_was(void **state)
{
    (void)state;
    uint16_t *list = NULL;
    for (uint32_t count = 1, capacity = 0; count <= MANY; count++) {
        uint32_t before = capacity;
        nomem_arm(0, false);
        assert_int_equal(sc_array_reserve(list, capacity, count), count <= before);
        assert_int_equal(nomem_disarm(), count > before);
        assert_int_equal(capacity, before);
        assert_true(sc_array_reserve(list, capacity, count));
        list[count - 1] = 1;
    }
    free(list);
}

static void a_table_stays_as_it_was(void **state)
{
    (void)state;
    struct sc_table table = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        const uint64_t *before = table.slots;
        nomem_arm(0, false);
        bool grown = sc_table_reserve(&table, 1);
        assert_int_equal(grown, !nomem_disarm());
        assert_ptr_equal(table.slots, before);
        assert_true(sc_table_reserve(&table, 1));
        sc_table_add(&table, sc_hash_u64(i, 9), i);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        struct sc_probe p = sc_table_first(&table, sc_hash_u64(i, 9));
        while (p.number != i && p.number != SC_TABLE_NONE)
            sc_table_next(&table, &p);
        assert_int_equal(p.number, i);
    }
    sc_table_free(&table);
}

/* It asks twice when it grows. */
static void a_roster_stays_as_it_was(void **state)
{
    (void)state;
    static struct sc_roster_entry entries[MANY];
    struct sc_roster roster = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        size_t bytes = sc_roster_bytes(&roster);
        bool added = false;
        for (long n = 0; n < 3 && !added; n++) {
            nomem_arm(n, false);
            added = sc_roster_add(&roster, &entries[i], sc_hash_u64(i, 9));
            assert_int_equal(added, !nomem_disarm());
            assert_true(added || sc_roster_bytes(&roster) == bytes);
            assert_int_equal(roster.count, i + added);
        }
        assert_true(added);
    }
    for (uint32_t i = 0; i < MANY; i++)
        assert_ptr_equal(roster.row[entries[i].place], &entries[i]);
    sc_roster_free(&roster);
}

UNIT(test_nomem)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_stays_as_it_was),
        cmocka_unit_test(a_capacity_stays_as_it_was),
        cmocka_unit_test(a_table_stays_as_it_was),
        cmocka_unit_test(a_roster_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
