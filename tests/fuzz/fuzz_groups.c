// SPDX-License-Identifier: BSD-3-Clause
/*
 * Partial results from bytes that nobody trusts: what is read can be sorted, shown, written and read again, and
 * is then the same; and what distinct values and percentiles are made of. tests/unit/query/test_fuzz_seeds.c makes the seeds.
 */
#include "fuzz_groups.h"
#include "query/request.h"

#include <stdlib.h>

static struct sc_request requests[FUZZ_SHAPES];

static void need(bool holds)
{
    if (!holds)
        abort();
}

static void show(const struct sc_request *r, const struct sc_groups *groups, uint64_t limit)
{
    struct sc_result top;
    need(sc_groups_top(groups, r->orders, r->order_count, limit, &top, NULL) == SC_OK);
    need(top.count <= sc_groups_count(groups));
    for (uint64_t i = 0; i < top.count; i++) {
        for (uint32_t c = 0; c < r->column_count; c++) {
            struct sc_value v = sc_groups_value(groups, top.entries[i], &r->columns[c].result);
            uint8_t sum = 0;
            for (uint32_t k = 0; !v.null && v.bytes != NULL && k < v.length; k++)
                sum ^= v.bytes[k]; /* the sanitizer looks */
            (void)sum;
        }
    }
    free(top.entries);
}

static void write_and_read(const struct sc_request *r, const struct sc_groups *groups)
{
    struct sc_buf bytes = {0}, again = {0};
    struct sc_groups *copy = sc_groups_create(&r->aggregate);
    need(copy != NULL && sc_groups_write(groups, &bytes) == SC_OK);
    need(sc_groups_read(copy, bytes.data, bytes.len, NULL) == SC_OK);
    need(sc_groups_count(copy) == sc_groups_count(groups));
    need(sc_groups_write(copy, &again) == SC_OK && again.len == bytes.len);
    struct sc_groups *both[] = {copy, (struct sc_groups *)groups};
    need(sc_groups_join(both, 2, NULL, 1, NULL) == SC_OK);
    need(sc_groups_count(groups) == 0);
    show(r, copy, 0);
    sc_buf_free(&bytes);
    sc_buf_free(&again);
    sc_groups_free(copy);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    for (size_t i = 0; i < FUZZ_SHAPES; i++)
        need(sc_request_aggregate(NULL, fuzz_shapes[i].keys, fuzz_shapes[i].orders, fuzz_shapes[i].fields,
                                  &requests[i], NULL) == SC_OK);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct sc_request *r = &requests[data[0] % FUZZ_SHAPES];
    struct sc_groups *groups = sc_groups_create(&r->aggregate);
    need(groups != NULL);
    struct sc_groups *target = fuzz_target(groups, data[0] / FUZZ_SHAPES % FUZZ_PARTS);
    if (target != NULL && sc_groups_read(target, data + 1, size - 1, NULL) == SC_OK) {
        need(sc_groups_settle_values(groups, 2, NULL) == SC_OK);
        show(r, groups, 0);
        show(r, groups, 2);
        write_and_read(r, groups);
    }
    sc_groups_free(groups);
    return 0;
}
