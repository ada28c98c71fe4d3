// SPDX-License-Identifier: BSD-3-Clause
#include "base/hash.h"
#include "base/radix.h"
#include "store/address_dict.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define MOST 3000u

static int compare_keys(const void *x, const void *y)
{
    const struct sc_keyed *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->value < b->value ? -1 : 1; /* they came in the order of their values */
}

/* Keys of any length of bytes that differ, with many equal ones and with none. */
static void sorts_as_comparing_does(void **state)
{
    (void)state;
    struct sc_keyed *all = malloc(MOST * sizeof(*all)), *scratch = malloc(MOST * sizeof(*all));
    struct sc_keyed *expected = malloc(MOST * sizeof(*all));
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t count = round < 4 ? round : (uint32_t)(sc_hash_pair(round, 1, 0) % MOST);
        uint64_t mask = UINT64_MAX >> (sc_hash_pair(round, 2, 0) % 64) << (sc_hash_pair(round, 3, 0) % 32);
        for (uint32_t i = 0; i < count; i++)
            expected[i] = all[i] = (struct sc_keyed){sc_hash_pair(round, i, 7) & mask, i};
        qsort(expected, count, sizeof(*expected), compare_keys);
        sc_radix_sort(all, scratch, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(all[i].key == expected[i].key);
            assert_int_equal(all[i].value, expected[i].value);
        }
    }
    free(all);
    free(scratch);
    free(expected);
}

/* IPv4, below and above it, next to the edges, and of few networks. */
static struct sc_addr any_address(uint64_t random)
{
    struct sc_addr a = sc_addr_v4((uint32_t)(random >> 8) & 0xffff00ff);
    switch (random % 5) {
    case 0:
        return a;
    case 1:
        memset(&a, 0, 8); /* below: ::x */
        sc_store_be64(a.b + 8, (random >> 8) % UINT64_C(0xffff00000000));
        return a;
    case 2:
        memset(&a, 0, 8); /* just above */
        sc_store_be64(a.b + 8, UINT64_C(0x1000000000000) + (random >> 60));
        return a;
    default:
        sc_store_be64(a.b, UINT64_C(0x20010db800000000) + (random >> 62));
        sc_store_be64(a.b + 8, random % 3 == 0 ? random : random >> 56);
        return a;
    }
}

static void addresses_get_codes_in_ascending_order(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 100; round++) {
        struct sc_address_set set = {.seed = round};
        struct sc_addr came[MOST];
        uint32_t arrival[MOST], count = round < 3 ? round : (uint32_t)(sc_hash_pair(round, 5, 0) % MOST);
        for (uint32_t i = 0; i < count; i++) {
            came[i] = any_address(sc_hash_pair(round, i, 9));
            arrival[i] = sc_address_set_add(&set, &came[i]);
        }
        assert_int_equal(sc_address_set_sort(&set), SC_OK);
        for (uint32_t i = 1; i < set.count; i++)
            assert_true(sc_addr_compare(&set.values[i - 1], &set.values[i]) < 0);
        for (uint32_t i = 0; i < count; i++)
            assert_true(sc_addr_equal(&set.values[set.rank[arrival[i]]], &came[i]));
        sc_address_set_free(&set);
    }
}

UNIT(test_radix)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_as_comparing_does),
        cmocka_unit_test(addresses_get_codes_in_ascending_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
