// SPDX-License-Identifier: BSD-3-Clause
/* Sorting: in order, nothing lost, equals as they came; and stopped soon after somebody says so. */
#include "base/sort.h"

#include "unit.h"

#include <stdlib.h>

struct element {
    uint32_t key, arrival, unused;
};

/* Who compares, and when to say stop. */
struct judge {
    uint64_t compared, stop_at;
    atomic_int cancel;
};

static int compare(const void *x, const void *y, void *arg)
{
    const struct element *a = x, *b = y;
    struct judge *judge = arg;
    if (++judge->compared == judge->stop_at)
        atomic_store(&judge->cancel, 1);
    return (a->key > b->key) - (a->key < b->key);
}

static struct element *make(uint32_t count, uint32_t keys)
{
    struct element *all = malloc((count + 1) * sizeof(*all));
    uint64_t random = 88172645463325252u;
    assert_non_null(all);
    for (uint32_t i = 0; i < count; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        all[i] = (struct element){(uint32_t)(random % keys), i, ~i};
    }
    return all;
}

static void all_sizes(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 16383, 16384, 16385, 40000, 65536, 100001};
    for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        for (uint32_t keys = 1; keys < 100000; keys = keys * 300 + 1) {
            struct element *all = make(counts[c], keys);
            struct judge judge = {0};
            assert_int_equal(sc_sort(all, counts[c], sizeof(*all), compare, &judge, &judge.cancel), SC_OK);
            uint64_t arrivals = 0;
            for (uint32_t i = 0; i < counts[c]; i++) {
                assert_int_equal(all[i].unused, ~all[i].arrival);
                arrivals += all[i].arrival;
                if (i > 0)
                    assert_true(all[i - 1].key <= all[i].key);
            }
            assert_int_equal(arrivals, (uint64_t)counts[c] * (counts[c] == 0 ? 0 : counts[c] - 1) / 2);
            free(all);
        }
    }
}

static void stops_soon(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    struct judge whole = {0};
    struct element *all = make(COUNT, 1u << 30);
    assert_int_equal(sc_sort(all, COUNT, sizeof(*all), compare, &whole, NULL), SC_OK);
    free(all);
    for (unsigned part = 1; part < 10; part++) { /* in the runs, then in the merges */
        struct judge judge = {.stop_at = whole.compared * part / 10};
        all = make(COUNT, 1u << 30);
        assert_int_equal(sc_sort(all, COUNT, sizeof(*all), compare, &judge, &judge.cancel), SC_CANCELLED);
        assert_true(judge.compared - judge.stop_at < 300000); /* what one run takes */
        free(all);
    }
}

UNIT(test_sort)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_sizes), cmocka_unit_test(stops_soon)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
